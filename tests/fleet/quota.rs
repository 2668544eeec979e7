//! The basic measurement: one account, one quota, and how much of it is used.

use std::time::{Duration, Instant};

use muster_sandbox::{ApiOperation, Limiting};
use serde_json::json;

use crate::allowed::Allowed;
use crate::arguments::Arguments;
use crate::figures::{Figures, Second, Window, allowed_second, rounded};
use crate::jobs;
use crate::plant::Plant;
use crate::plot::{Chart, Series};
use crate::report::Report;
use crate::run::{self, Run};
use crate::site::Plan;

pub(crate) async fn measure(arguments: &Arguments) -> Report {
    let plan = plan(arguments);
    let plant = Plant::build(vec![plan], arguments).await;
    let n_jobs = run::n_jobs(arguments, highest_rate(arguments));
    eprintln!("{} workers, {n_jobs} messages", arguments.workers);
    let certificates = jobs::certificates(&plant.ca, n_jobs).await.into_iter();
    let messages: Vec<_> = certificates.map(|pem| jobs::for_target(plan.target, pem)).collect();
    plant.send(&messages).await;

    let run = Run::start(&plant, arguments).await;
    let end = arguments.settle() + arguments.seconds;
    let allowed = allow(&plant, &run, arguments, end).await;
    run.until(end).await;
    let full = Window { from: run.started, to: run.started + end };
    let facts = run.stop(arguments).await;

    let calls = plant.sites[0].calls_from(0);
    let mut figures = Figures::new(&calls, &allowed, Window { from: full.from + arguments.settle(), ..full });
    if !arguments.settle().is_zero() {
        figures = figures.of_the_whole_window();
    }
    let seconds = full.seconds(&calls);
    if let Some(file) = &arguments.plot {
        std::fs::write(file, chart(&seconds, &allowed, full.from).svg()).unwrap();
    }
    report(arguments, &figures, &facts, &seconds)
}

fn plan(arguments: &Arguments) -> Plan {
    Plan {
        target: "default",
        account: "111111111111",
        real_rate: arguments.real_rate(),
        limiting: if arguments.count_only { Limiting::CountOnly } else { Limiting::Enforce },
    }
}

/// Returns the highest rate at which the fleet can ever register. If the sandbox only counts, nothing but the workers
/// enforces the rate, so there must be enough jobs for each worker to use the whole rate alone.
fn highest_rate(arguments: &Arguments) -> f64 {
    let each_alone = arguments.rate.per_second() * f64::from(arguments.workers);
    let raised = arguments.raise().map_or(0.0, |(rate, _)| rate.per_second());
    let real = arguments.real_rate().per_second().max(raised);
    if arguments.count_only { each_alone } else { each_alone.min(real) }
}

/// Raises the real rate when it is time, and returns what was allowed when.
async fn allow(plant: &Plant, run: &Run, arguments: &Arguments, end: Duration) -> Allowed {
    let allowed = Allowed::constant(arguments.real_rate().per_second());
    let Some((rate, after)) = arguments.raise().filter(|(_, after)| *after < end) else { return allowed };
    run.until(after).await;
    plant.sites[0].sandbox.set_rate(ApiOperation::RegisterCertificate, rate.per_second());
    allowed.raised(Instant::now(), rate.per_second())
}

fn report(arguments: &Arguments, figures: &Figures, facts: &serde_json::Value, seconds: &[Second]) -> Report {
    let bound = allowed_second(arguments.rate);
    let mut all = serde_json::to_value(figures).unwrap();
    let object = all.as_object_mut().unwrap();
    object.insert("allowed_second".to_owned(), json!(rounded(bound)));
    object.extend(facts.as_object().unwrap().clone());
    object.insert("real_rate".to_owned(), json!(arguments.real_rate().per_second()));
    if let Some((rate, after)) = arguments.raise() {
        object.insert("raise_to".to_owned(), json!(rate.per_second()));
        object.insert("raise_after".to_owned(), json!(after.as_secs_f64()));
    }
    object.insert("settle".to_owned(), json!(arguments.settle().as_secs_f64()));
    object.insert("seconds".to_owned(), json!(arguments.seconds.as_secs_f64()));
    object.insert("per_second".to_owned(), json!(seconds));
    let worst = figures.worst_second;
    let is_violated = arguments.count_only && f64::from(u32::try_from(worst).unwrap()) > bound;
    let violation =
        is_violated.then(|| format!("{worst} calls arrived in one second, but at most {bound:.1} are allowed"));
    Report { figures: all, violation }
}

fn chart(seconds: &[Second], allowed: &Allowed, from: Instant) -> Chart {
    let middle_of = |i: usize| f64::from(u32::try_from(i).unwrap()) + 0.5;
    let points = |count: fn(&Second) -> usize| {
        let counts = seconds.iter().enumerate();
        counts.map(|(i, second)| (middle_of(i), f64::from(u32::try_from(count(second)).unwrap()))).collect()
    };
    let quota = (0..seconds.len()).flat_map(|i| {
        let (begin, end) = (middle_of(i) - 0.5, middle_of(i) + 0.5);
        let rate = allowed.at(from + Duration::from_secs_f64(middle_of(i)));
        [(begin, rate), (end, rate)]
    });
    Chart {
        title: "Calls of RegisterCertificate in each second",
        x_label: "seconds after the first call",
        y_label: "calls",
        series: vec![
            Series { name: "real quota", colour: "#3a9a5b", is_dashed: true, points: quota.collect() },
            Series { name: "calls", colour: "#3b82d6", is_dashed: false, points: points(|second| second.calls) },
            Series {
                name: "throttled",
                colour: "#d9534f",
                is_dashed: false,
                points: points(|second| second.throttled),
            },
        ],
    }
}
