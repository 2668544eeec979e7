//! `muster demo`: everything at work on one machine, with a private Postgres and the sandbox.

mod given;
mod line;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::enqueue::ca_pem;
use super::progress::Progress;
use super::{enqueue, failure, signals};
use crate::config::Config;
use crate::identity::{self, Credentials};
use crate::job::DEFAULT_TARGET;
use crate::limiter::Rate;
use crate::manifest::Manifest;
use crate::outcome::Status;
use crate::postgres::{self, Postgres};
use crate::queue::{self, Attributes, CALL_MAX, Outgoing, Queue};
use crate::sandbox::{Operation, Rates, Sandbox};
use crate::serve::{Service, Until};
use crate::specimen::Ca;
use crate::store::{BatchStatus, Store};

use given::Given;
use line::{BATCH, Plan};
use summary::{Facts, Summary, Whole};

/// The demo's queue.
const QUEUE: &str = "demo-jobs";

/// How often it is looked whether everything has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Shows everything at work on this machine: makes certificates and registers them with the sandbox.
///
/// With files of your own nothing is made: they go through the precheck of `muster enqueue` and, from there, to the
/// sandbox. Nothing leaves this machine.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// Your own files and folders of certificates, as `muster enqueue` takes them; `-` is standard input.
    #[arg(value_name = "PATH", conflicts_with = "certificates")]
    paths: Vec<PathBuf>,
    /// PEM file of a CA that issued your certificates, for the sandbox to know it; may be given several times.
    #[arg(long, value_name = "FILE", requires = "paths")]
    ca: Vec<PathBuf>,
    /// How many certificates are made; a few per cent of them are bad.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    certificates: usize,
    /// The sandbox's quota, in calls a second.
    #[arg(long, default_value = "200", value_name = "CALLS", value_parser = rate)]
    rate: Rate,
    /// Leaves everything running at the end and says where, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Prints the numbers as JSON.
    #[arg(long)]
    json: bool,
    /// Folder with the programs of PostgreSQL, where they are not found by themselves.
    #[arg(long, env = "PG_BIN", value_name = "FOLDER")]
    pg_bin: Option<PathBuf>,
}

fn rate(text: &str) -> Result<Rate, String> {
    let per_second: f64 = text.parse().map_err(|_| format!("expected a number, found {text:?}"))?;
    Rate::new(per_second).map_err(|error| error.to_string())
}

/// What runs beside the worker.
struct Stage {
    postgres: Postgres,
    sandbox: Sandbox,
    config: Config,
    store: Store,
    queue: Queue,
    /// The CA of the made-up line; none where the certificates are the user's own.
    ca: Option<Arc<Ca>>,
    /// Holds the CAs' files for the worker.
    _ca_folder: tempfile::TempDir,
}

impl Stage {
    /// The sandbox's quota.
    fn quota(&self) -> Rate {
        self.config.targets[DEFAULT_TARGET].rates.register_certificate
    }
}

impl Demo {
    /// Runs the demo and cleans up behind it.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let stop = signals::stop_token()?;
        let progress = Progress::new();
        let ca_pems = self.ca.iter().map(|path| ca_pem(path)).collect::<anyhow::Result<Vec<_>>>()?;
        let manifest = Manifest::find(&self.paths)?;
        progress.say("starting Postgres and the sandbox");
        let stage = self.set_up(ca_pems).await?;
        let ended = self.act(&stage, manifest, &progress, &stop).await;
        stage.store.close().await;
        stage.sandbox.stop().await;
        stage.postgres.stop().await?;
        ended
    }

    async fn set_up(&self, ca_pems: Vec<String>) -> anyhow::Result<Stage> {
        let settings = postgres::Settings { bin_dir: self.pg_bin.clone(), durable: true };
        let postgres = Postgres::start(settings).await?;
        let sandbox = Sandbox::start(crate::sandbox::Settings {
            rates: Rates::all(self.rate.per_second()),
            ..Default::default()
        })
        .await?;
        let ca = self.paths.is_empty().then(|| Arc::new(Ca::new("Muster demo CA")));
        let ca_folder = tempfile::tempdir()?;
        for (i, pem) in ca.iter().map(|ca| ca.pem()).chain(ca_pems).enumerate() {
            sandbox.plant_ca(&pem).context("the sandbox does not take a CA")?;
            std::fs::write(ca_folder.path().join(format!("{i}.pem")), pem)?;
        }

        let mut config = Config::default();
        config.aws.endpoint_url = Some(sandbox.url());
        config.aws.region = Some("us-east-1".to_owned());
        config.aws.credentials = Credentials::Sandbox;
        config.database.url = postgres.url().into();
        QUEUE.clone_into(&mut config.queue.name);
        config.queue.wait = Duration::from_secs(1).into();
        config.precheck.ca_folder = Some(ca_folder.path().to_owned());
        config.admin.listen = Some(([127, 0, 0, 1], 0).into());
        config.targets.entry(DEFAULT_TARGET.to_owned()).or_default().rates.register_certificate = self.rate;

        let store = Store::connect(&config.database.settings()).await?;
        store.migrate().await?;
        let attributes = Attributes {
            visibility_timeout: Duration::from_secs(30),
            retention: Duration::from_hours(4 * 24),
            max_receive_count: Some(5),
            ..Attributes::default()
        };
        let queue = queue::create(&identity::load(&config.aws.access()).await, QUEUE, &attributes).await?;
        Ok(Stage { postgres, sandbox, config, store, queue, ca, _ca_folder: ca_folder })
    }

    async fn act(
        &self,
        stage: &Stage,
        manifest: Manifest,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> anyhow::Result<ExitCode> {
        let given = match &stage.ca {
            Some(_) => None,
            None => Some(Given::enqueue(stage, manifest, progress, stop).await?),
        };
        let plan =
            given.as_ref().map_or_else(|| Plan::new(self.certificates), |given| Plan::of_good(given.summary.sent));
        let served = stop.child_token();
        let service = Service::start(&stage.config, Until::Stopped, served.clone()).await?;
        let metrics_address = service.admin_address();
        let began = Instant::now();
        let service = tokio::spawn(service.run());
        let sender = tokio::spawn(send(stage.queue.clone(), stage.ca.clone(), self.certificates));

        let finished = watch(stage, &plan, progress, sender, stop).await;
        let took = began.elapsed();
        if self.keep && finished.is_ok() {
            progress.say(&format!(
                "everything stays up until Ctrl-C:\n  Postgres  {}\n  sandbox   {}\n  metrics   http://{}/metrics",
                stage.postgres.url(),
                stage.sandbox.url(),
                metrics_address.map_or_else(String::new, |address| address.to_string()),
            ));
            stop.cancelled().await;
        }
        served.cancel();
        service.await??;
        finished?;
        let interrupted = stop.is_cancelled() && !self.keep;
        if interrupted {
            progress.say("interrupted");
            return Ok(failure::INTERRUPTED.into());
        }
        let summary = summarise(stage, &plan, took).await?;
        if let Some(given) = &given {
            given.tell_rejects(progress);
            if summary.has_unknown_issuers() {
                progress.say("hint: give the CAs that issued these certificates with --ca FILE");
            }
        }
        self.report(summary, given.map(|given| given.summary))
    }

    #[expect(clippy::print_stdout, reason = "the numbers are the command's data")]
    fn report(&self, summary: Summary, input: Option<enqueue::Summary>) -> anyhow::Result<ExitCode> {
        let code = match &input {
            _ if !summary.is_right() => failure::SOME_FAILED.into(),
            Some(input) => input.exit_code(),
            None => ExitCode::SUCCESS,
        };
        let whole = Whole { summary, input };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&whole)?);
        } else {
            print!("{whole}");
        }
        Ok(code)
    }
}

/// Sends what the made-up line makes, where there is one, ten messages a call.
async fn send(queue: Queue, ca: Option<Arc<Ca>>, n: usize) -> anyhow::Result<()> {
    let Some(ca) = ca else { return Ok(()) };
    let (made, mut messages) = tokio::sync::mpsc::channel(100);
    let making = tokio::task::spawn_blocking(move || {
        for message in (0..n).flat_map(|i| line::messages(&ca, i, n)) {
            if made.blocking_send(message).is_err() {
                return;
            }
        }
    });
    let mut ten = Vec::with_capacity(CALL_MAX);
    while messages.recv_many(&mut ten, CALL_MAX).await > 0 {
        send_all(&queue, std::mem::take(&mut ten)).await?;
    }
    Ok(making.await?)
}

/// Sends messages, again where SQS did not take one.
async fn send_all(queue: &Queue, mut messages: Vec<Outgoing>) -> anyhow::Result<()> {
    while !messages.is_empty() {
        let mut results = queue.send(&messages).await?.into_iter();
        messages.retain(|_| matches!(results.next(), Some(Err(_))));
    }
    Ok(())
}

/// Shows the progress until everything that was sent has left the queue, or a signal comes.
async fn watch(
    stage: &Stage,
    plan: &Plan,
    progress: &Progress,
    sender: tokio::task::JoinHandle<anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let ledger = stage.sandbox.ledger();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
        let batch = stage.store.batch_status(BATCH).await?.unwrap_or_default();
        show(progress, &batch, plan);
        let counts = ledger.queue(QUEUE).context("the demo's queue is gone")?.total;
        if sender.is_finished() && counts.visible + counts.in_flight + counts.delayed == 0 {
            progress.done();
            return sender.await?;
        }
    }
}

fn show(progress: &Progress, batch: &BatchStatus, plan: &Plan) {
    let registered = batch.with_status(Status::Registered);
    let message = format!("ended: {registered} registered, {} otherwise", batch.ended() - registered);
    progress.show(batch.ended(), Some(plan.ends.values().sum()), &message);
}

async fn summarise(stage: &Stage, plan: &Plan, took: Duration) -> anyhow::Result<Summary> {
    let ledger = stage.sandbox.ledger();
    let facts = Facts {
        plan,
        batch: &stage.store.batch_status(BATCH).await?.unwrap_or_default(),
        quarantined: stage.store.quarantined().await?,
        calls: &ledger.summary(Operation::RegisterCertificate),
        held: ledger.n_certificates(),
        took,
    };
    Ok(Summary::of(&facts))
}
