//! `muster reconcile`: compares the ledger with what AWS holds.

mod report;

use std::num::NonZeroU32;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::change_flags::ChangeFlags;
use super::format::grouped;
use super::open_ledger::open_ledger;
use super::progress::Progress;
use super::user::{check_terminal, who};
use super::{exit, signals};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::audit::AuditAction;
use crate::operator::reconcile::{FixesMade, ReconcileOrder, Reconciliation};
use muster_core::certificate::CertificateId;
use muster_core::job::{DEFAULT_TARGET, Name};
use muster_core::rate::Rate;

use report::ReconcileReport;

/// Compares the ledger with the certificates at AWS and corrects the ledger.
///
/// Finds three kinds of differences. Rows that are registered in the ledger but missing at AWS: they become `gone`, so
/// that the next job for the certificate registers it again. Certificates at AWS that the ledger does not know, or has
/// only as failed: they are reported, nothing is changed. Certificates whose status at AWS differs from the requested
/// or the recorded one: the ledger records the status, AWS is not changed. With --repair, workers resend the jobs of
/// certificates that are gone or failed.
///
/// AWS is listed with 250 certificates per call; a certificate missing from the list is looked up by id before it
/// counts. These calls have their own quotas, which other tools share: the default --rate is half of AWS's default
/// quota.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Reconcile {
    /// Target (account and region), by its name in the settings.
    #[arg(long, default_value = DEFAULT_TARGET)]
    target: Name,
    /// Compares only the rows of this batch.
    #[arg(long)]
    batch: Option<Name>,
    /// Compares only certificates issued by this CA, given by its id at AWS.
    #[arg(long, value_name = "ID", conflicts_with = "batch")]
    ca: Option<CertificateId>,
    /// Checks N randomly chosen ledger certificates instead of listing AWS. Does not find certificates that the ledger
    /// lacks.
    #[arg(long, value_name = "N")]
    sample: Option<NonZeroU32>,
    /// Maximum number of calls per second; a throttle halves it for a minute.
    #[arg(long, default_value = "5")]
    rate: Rate,
    /// Resends, through the workers, jobs whose certificate is gone from AWS, and failed jobs whose certificate AWS
    /// has.
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    flags: ChangeFlags,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  the ledger and AWS agree
  1  not confirmed, or another error
  4  AWS denies a call: the credentials need iot:ListCertificates, iot:ListCertificatesByCA, iot:DescribeCertificate
  6  they differed, even if the ledger was corrected
For other exit codes see `muster --help`.";

impl Reconcile {
    /// Compares, asks for confirmation and corrects the ledger.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let stop = signals::stop_token()?;
        let ledger = open_ledger(config).await?;
        let result = self.reconcile(config, &ledger, &stop).await;
        ledger.close().await;
        result
    }

    async fn reconcile(&self, config: &Config, ledger: &Ledger, stop: &CancellationToken) -> anyhow::Result<ExitCode> {
        let mut run = Reconciliation::begin(config, ledger, self.order()).await?;
        let result = self.work(ledger, &mut run, stop).await;
        if let Err(error) = run.end().await {
            warn!(%error, "the list from AWS is still in the ledger's database; a later run removes it");
        }
        result
    }

    async fn work(
        &self,
        ledger: &Ledger,
        run: &mut Reconciliation,
        stop: &CancellationToken,
    ) -> anyhow::Result<ExitCode> {
        // The comparison may take hours, so check first that there is a terminal to ask on.
        if !(self.flags.dry_run || self.flags.yes) {
            check_terminal()?;
        }
        let progress = Progress::new();
        progress.say(&format!(
            "comparing the ledger with {}, at most {} calls/s",
            run.account(),
            self.rate.per_second()
        ));
        let show = |run: &Reconciliation| show(&progress, run);
        let compared = tokio::select! {
            compared = run.compare(&show) => Some(compared),
            () = stop.cancelled() => None,
        };
        progress.done();
        let Some(compared) = compared else {
            progress.say("interrupted: nothing was changed");
            return Ok(exit::INTERRUPTED.into());
        };
        compared?;
        let n_gone_before = if self.repair { run.gone_before().await? } else { 0 };
        let report = ReconcileReport::of(self, run, n_gone_before);
        let code = report.code();
        if self.flags.dry_run || !report.has_work() {
            report.print(self.flags.json)?;
            return Ok(code);
        }
        if !self.flags.json {
            report.print(false)?;
        }
        if let Some(unconfirmed) = self.flags.confirm(&report.question())? {
            return Ok(unconfirmed);
        }
        let mut done = FixesMade::default();
        let fixed = run.fix(self.repair, stop, &mut done).await;
        self.audit(ledger, &report, done).await?;
        fixed?;
        if stop.is_cancelled() {
            progress.say("interrupted: run the same command again to continue");
            return Ok(exit::INTERRUPTED.into());
        }
        report.done(done).print_done(self.flags.json)?;
        Ok(code)
    }

    fn order(&self) -> ReconcileOrder {
        ReconcileOrder {
            target: self.target.clone(),
            batch: self.batch.clone(),
            ca: self.ca,
            sample: self.sample,
            rate: self.rate,
        }
    }

    async fn audit(&self, ledger: &Ledger, report: &ReconcileReport<'_>, done: FixesMade) -> anyhow::Result<()> {
        let what = match (&self.batch, self.ca) {
            (Some(batch), _) => format!("batch {batch} at target {}", self.target),
            (None, Some(ca)) => format!("CA {ca} at target {}", self.target),
            (None, None) => format!("target {}", self.target),
        };
        let detail = json!({
            "sample": self.sample, "repair": self.repair, "found": report.counts(), "done": done,
        });
        let action = AuditAction { who: &who(), action: "reconcile", what: &what, detail };
        ledger.audit(&action).await.context("the ledger was corrected, but the audit entry could not be recorded")
    }
}

fn show(progress: &Progress, run: &Reconciliation) {
    let findings = run.findings();
    let listed = findings.n_listed.unwrap_or_default();
    let message = format!(
        "certificates seen, {} of them looked up by id, {} compared; {} calls",
        grouped(findings.n_described),
        grouped(findings.n_compared),
        grouped(run.n_calls())
    );
    progress.show(listed + findings.n_described, None, &message);
}
