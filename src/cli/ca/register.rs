//! `muster ca register`: registers a CA immediately, alongside the workers and within their quota.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tracing::warn;

use super::order::{CaOrder, OrderError, ProofSource};
use super::report::CaReport;
use crate::cli::open_ledger::open_ledger;
use crate::cli::user;
use crate::config::Config;
use crate::intake::ca_folder::known_cas;
use crate::ledger::Ledger;
use crate::ledger::audit::AuditAction;
use crate::ledger::authority::Authority;
use crate::operator::ca_registration::CaRegistration;
use muster_core::account::Account;
use muster_core::job::{Job, Request};
use muster_core::precheck::{CheckedCertificate, Precheck};

/// Registers a CA immediately, without the queue, and activates it with --activate.
///
/// The call takes a permit of the quota that all workers share, is retried like their calls, and is recorded in the
/// ledger. AWS is always asked, even if the ledger knows the CA. If AWS already has the CA but it is INACTIVE,
/// --activate activates it (`UpdateCACertificate`). Jobs that wait for the CA are resent once it is active.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Register {
    #[command(flatten)]
    order: CaOrder,
    /// Registers nothing: runs the precheck, asks AWS whether it has the CA, and shows what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Prints the result as JSON.
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  the CA is registered, and active if --activate was given
  3  the precheck rejected the CA, or AWS refused to register or activate it
  4  AWS denies a call: the credentials lack a permission
  5  AWS could not be reached, or answered every attempt with a throttle or a server error
For other exit codes see `muster --help`.";

impl Register {
    /// Registers the CA and prints the result.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ca = self.order.read_ca()?;
        let proof = match self.order.read_proof() {
            Ok(proof) => proof,
            Err(error) => return Err(self.with_code(error, config).await),
        };
        let ledger = open_ledger(config).await?;
        let report = self.register(config, &ledger, ca, proof).await;
        ledger.close().await;
        let report = report?;
        report.print(self.json)?;
        Ok(report.exit_code())
    }

    /// Adds the registration code to the error about a missing proof, if AWS returns it.
    async fn with_code(&self, mut error: anyhow::Error, config: &Config) -> anyhow::Error {
        if let Some(OrderError::NoProof { code }) = error.downcast_mut()
            && let Ok(client) = CaRegistration::connect(config, &self.order.target).await
        {
            *code = client.registration_code().await.ok();
        }
        error
    }

    async fn register(
        &self,
        config: &Config,
        ledger: &Ledger,
        ca: String,
        proof: ProofSource,
    ) -> anyhow::Result<CaReport> {
        let target = &self.order.target;
        let client =
            CaRegistration::connect(config, target).await.with_context(|| format!("cannot use target `{target}`"))?;
        ledger.check_target(target.as_str(), &client.account().id, &client.account().region).await?;
        let code = match proof {
            ProofSource::Unneeded => None,
            ProofSource::Key(_) | ProofSource::Certificate(_) => Some(client.registration_code().await?),
        };
        let request = self.order.request(ca, proof, code.as_deref())?;
        let precheck = Precheck::new(config.precheck.policy(), known_cas(&config.precheck)?);
        let job = self.job(request.into());
        let verdict = precheck.check(&job.request, client.now(), code.as_deref());
        let report = CaReport::of(&self.order, client.account(), &job, &verdict.warnings);
        let certificate = match verdict.result {
            Ok(certificate) => certificate,
            Err(rejection) => return Ok(report.with_rejection(&rejection)),
        };
        if self.dry_run {
            return Ok(report.with_plan(&certificate, client.inspect_ca(certificate.id()).await.as_ref()));
        }
        let registration = client.register(ledger, &job, &certificate).await?;
        let report = report.with_outcome(&registration, &namesakes(ledger, client.account(), &certificate).await);
        self.audit(ledger, &report).await?;
        Ok(report)
    }

    async fn audit(&self, ledger: &Ledger, report: &CaReport) -> anyhow::Result<()> {
        let (what, detail) = report.audited();
        let action = AuditAction { who: &user::who(), action: "ca register", what: &what, detail };
        ledger.audit(&action).await.context("the CA was processed, but the audit entry could not be recorded")
    }

    fn job(&self, request: Request) -> Job {
        Job {
            batch: self.order.batch.clone(),
            batch_size: None,
            source: None,
            reference: None,
            target: self.order.target.clone(),
            verify: true,
            request,
        }
    }
}

/// Returns the CAs of the same name in the ledger. They only improve the report, so a ledger error returns none.
async fn namesakes(ledger: &Ledger, account: &Account, certificate: &CheckedCertificate) -> Vec<Authority> {
    let Some(name) = certificate.subject_key() else { return vec![] };
    let found = ledger.authorities_named(&account.id, &account.region, name).await;
    found.inspect_err(|error| warn!(%error, "cannot look up the CAs of the same name")).unwrap_or_default()
}
