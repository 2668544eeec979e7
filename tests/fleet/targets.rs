//! Three targets of one service: does a bad one hold back the good one?

use muster_core::rate::Rate;
use muster_sandbox::{ApiOperation, Effect, Fault, Limiting};
use serde_json::{Value, json};

use crate::allowed::Allowed;
use crate::arguments::Arguments;
use crate::figures::{Figures, Window};
use crate::jobs;
use crate::plant::Plant;
use crate::report::Report;
use crate::run::{self, Run};
use crate::site::{Plan, Site};

/// The share of its configured rate that the slow target allows.
const SLOW: f64 = 0.1;

/// Measures the targets. `quota_used` covers the whole window here: a target that is held back has pauses, and they
/// must show.
pub(crate) async fn measure(arguments: &Arguments) -> Report {
    let plant = Plant::build(plans(arguments.rate), arguments).await;
    deny(&plant.sites[1]);
    let n_each = run::n_jobs(arguments, arguments.rate.per_second());
    eprintln!("{} workers, {n_each} messages for each target", arguments.workers);
    let certificates = jobs::certificates(&plant.ca, n_each * plant.sites.len()).await;
    let targets = plant.sites.iter().map(|site| site.plan.target).cycle();
    let messages: Vec<_> = targets.zip(certificates).map(|(target, pem)| jobs::for_target(target, pem)).collect();
    plant.send(&messages).await;

    let run = Run::start(&plant, arguments).await;
    let end = arguments.settle() + arguments.seconds;
    run.until(end).await;
    let window = Window { from: run.started + arguments.settle(), to: run.started + end };
    let mut figures = run.stop(arguments).await;
    figures["settle"] = json!(arguments.settle().as_secs_f64());
    figures["seconds"] = json!(arguments.seconds.as_secs_f64());
    let targets: serde_json::Map<_, _> =
        plant.sites.iter().map(|site| (site.plan.target.to_owned(), site_figures(site, window))).collect();
    figures["targets"] = Value::Object(targets);
    Report { figures, violation: None }
}

fn plans(rate: Rate) -> Vec<Plan> {
    let slow = Rate::new((rate.per_second() * SLOW).max(Rate::MIN)).unwrap();
    [("default", "111111111111", rate), ("denied", "222222222222", rate), ("slow", "333333333333", slow)]
        .map(|(target, account, real_rate)| Plan { target, account, real_rate, limiting: Limiting::Enforce })
        .into()
}

fn deny(site: &Site) {
    let effect = Effect::Error {
        status: 403,
        code: "AccessDeniedException".to_owned(),
        message: "the policy of the account denies it".to_owned(),
        executed: false,
    };
    site.sandbox.faults().set(Fault::new(ApiOperation::RegisterCertificate, effect)).unwrap();
}

fn site_figures(site: &Site, window: Window) -> Value {
    let rate = site.plan.real_rate.per_second();
    let calls = site.calls_from(0);
    let figures = Figures::new(&calls, &Allowed::constant(rate), window).of_the_whole_window();
    let mut figures = serde_json::to_value(figures).unwrap();
    figures["real_rate"] = json!(rate);
    figures["per_second"] = json!(window.seconds(&calls));
    figures
}
