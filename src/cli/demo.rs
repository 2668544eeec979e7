//! `muster demo`: runs the whole system on one machine, with a private Postgres and the sandbox.

mod line;
mod own_files;
mod stage;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::token::random_token;
use super::{enqueue, exit, signals, stdout};
use crate::engine::serve::Until;
use crate::http::service::Service;
use crate::intake::manifest::{CaFile, Manifest};
use crate::ledger::BatchStatus;
use muster_core::outcome::Status;
use muster_core::rate::Rate;
use muster_sandbox::ApiOperation;
use muster_sandbox::specimen::Ca;

use line::{BATCH, LinePlan};
use own_files::OwnFiles;
use stage::{DemoStage, QUEUE};
use summary::{DemoFacts, DemoReport, DemoSummary};

/// How often the demo checks whether every job has an outcome.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Runs the whole system on this machine: generates certificates and registers them with the sandbox.
///
/// If you pass your own files, nothing is generated: they go through the precheck of `muster enqueue` and then to the
/// sandbox. Nothing leaves this machine.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// Your own files and folders of certificates, in any form that `muster enqueue` accepts; `-` is standard input.
    #[arg(value_name = "PATH", conflicts_with = "certificates")]
    paths: Vec<PathBuf>,
    /// File of CAs (PEM or DER) that issued your certificates; the sandbox registers them. Can be repeated.
    #[arg(long, value_name = "FILE", requires = "paths")]
    ca: Vec<PathBuf>,
    /// Number of certificates to generate; 4 % of them have a flaw on purpose.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    certificates: usize,
    /// The sandbox's quota, in calls per second.
    #[arg(long, default_value = "200", value_name = "CALLS")]
    rate: Rate,
    /// Keeps everything running at the end and prints the addresses, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Prints the results as JSON.
    #[arg(long)]
    json: bool,
    /// Folder with the PostgreSQL programs, if they are not found automatically.
    #[arg(long, env = "PG_BIN", value_name = "FOLDER")]
    pg_bin: Option<PathBuf>,
}

impl Demo {
    /// Runs the demo and cleans up afterwards.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let stop = signals::stop_token()?;
        let progress = Progress::new();
        let cas: Vec<_> = self.ca.iter().map(|path| CaFile::read_cas(path)).collect::<Result<Vec<_>, _>>()?;
        let ca_pems = cas.iter().flatten().map(|ca| ca.certificate().to_pem()).collect();
        let manifest = Manifest::find(&self.paths)?;
        progress.say("starting Postgres and the sandbox");
        let ca = self.paths.is_empty().then(|| Ca::new("Muster demo CA"));
        let token = random_token()?;
        let tokens = format!("operator demo {token}");
        let stage = DemoStage::set_up(self.pg_bin.clone(), self.rate, ca, ca_pems, &tokens).await?;
        let result = self.run_on(&stage, manifest, &token, &progress, &stop).await;
        stage.tear_down().await?;
        result
    }

    async fn run_on(
        &self,
        stage: &DemoStage,
        manifest: Manifest,
        token: &str,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> anyhow::Result<ExitCode> {
        let own_files = match &stage.ca {
            Some(_) => None,
            None => Some(OwnFiles::enqueue(stage, manifest, progress, stop).await?),
        };
        let service_stop = stop.child_token();
        let service = Service::start(&stage.config, Until::Stopped, service_stop.clone()).await?;
        let metrics_address = service.admin_address();
        let page = service.page_url().unwrap_or_default();
        progress.say(&format!("the ops page is at {page} (token {token})"));
        let service = tokio::spawn(service.run());
        let result = self.watch_and_report(stage, own_files, progress, stop).await;
        if self.keep && result.is_ok() && !stop.is_cancelled() {
            progress.say(&format!(
                "everything keeps running until Ctrl-C:\n  ops page  {page} (token {token})\n  Postgres  {}\n  sandbox   {}\n  metrics   \
                 http://{}/metrics",
                stage.postgres.url(),
                stage.sandbox.url(),
                metrics_address.map_or_else(String::new, |address| address.to_string()),
            ));
            stop.cancelled().await;
        }
        service_stop.cancel();
        service.await??;
        result
    }

    /// Waits until every job has an outcome and prints the results.
    async fn watch_and_report(
        &self,
        stage: &DemoStage,
        own_files: Option<OwnFiles>,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> anyhow::Result<ExitCode> {
        let plan = own_files.as_ref().map_or_else(
            || LinePlan::new(self.certificates),
            |own_files| LinePlan::all_registered(own_files.summary.sent),
        );
        let began = Instant::now();
        let sender = tokio::spawn(line::send(stage.queue.clone(), stage.ca.clone(), self.certificates));
        watch(stage, &plan, progress, sender, stop).await?;
        if stop.is_cancelled() {
            progress.say("interrupted");
            return Ok(exit::INTERRUPTED.into());
        }
        let summary = summarise(stage, &plan, began.elapsed()).await?;
        if let Some(own_files) = &own_files {
            own_files.list_rejects(progress);
            if summary.has_unknown_issuers() {
                progress.say("hint: pass the CAs that issued these certificates with --ca FILE");
            }
        }
        self.report(summary, own_files.map(|own_files| own_files.summary))
    }

    fn report(&self, summary: DemoSummary, input: Option<enqueue::Summary>) -> anyhow::Result<ExitCode> {
        let code = match &input {
            _ if !summary.matches_plan() => exit::SOME_FAILED.into(),
            Some(input) => input.exit_code(),
            None => ExitCode::SUCCESS,
        };
        let report = DemoReport { summary, input };
        if self.json {
            stdout::print_json(&report)?;
        } else {
            stdout::print(&report)?;
        }
        Ok(code)
    }
}

/// Shows progress until every message has left the queue, or until a signal arrives.
async fn watch(
    stage: &DemoStage,
    plan: &LinePlan,
    progress: &Progress,
    sender: tokio::task::JoinHandle<anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let call_log = stage.sandbox.ledger();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
        let batch = stage.ledger.batch_status(BATCH).await?.unwrap_or_default();
        show(progress, &batch, plan);
        let counts = call_log.queue(QUEUE).context("the demo's queue no longer exists")?.total;
        if sender.is_finished() && counts.visible + counts.in_flight + counts.delayed == 0 {
            progress.done();
            return sender.await?;
        }
    }
}

fn show(progress: &Progress, batch: &BatchStatus, plan: &LinePlan) {
    let registered = batch.with_status(Status::Registered);
    let message = format!("outcomes: {registered} registered, {} other", batch.finished() - registered);
    progress.show(batch.finished(), Some(plan.outcomes.values().sum()), &message);
}

async fn summarise(stage: &DemoStage, plan: &LinePlan, took: Duration) -> anyhow::Result<DemoSummary> {
    let call_log = stage.sandbox.ledger();
    let facts = DemoFacts {
        plan,
        batch: &stage.ledger.batch_status(BATCH).await?.unwrap_or_default(),
        quarantined: stage.ledger.quarantined().await?,
        calls: &call_log.summary(ApiOperation::RegisterCertificate),
        held: call_log.n_certificates(),
        took,
    };
    Ok(DemoSummary::of(&facts))
}
