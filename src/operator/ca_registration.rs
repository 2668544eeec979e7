//! Registers one CA certificate immediately, without the queue.
//!
//! Uses the same quota, retry rules and ledger as the workers, with two differences. An access denial is an error; a
//! worker waits for working credentials instead. Every other failure counts against the certificate, because there are
//! no other calls in this process to show whether the failure is general.

mod authority;

use std::borrow::Cow;
use std::sync::Arc;

use time::OffsetDateTime;
use tracing::warn;

use crate::aws::attempts::{Attempts, ExistingCertificate, NextStep};
use crate::aws::identity::{self, IdentityError};
use crate::aws::registrar::{Answer, CallError, ErrorKind, Registrar};
use crate::config::retry_policy::RetryPolicy;
use crate::config::{Config, TargetRates, UnknownTarget};
use crate::health::breaker::{Changes, Dependency};
use crate::health::clock::Clock;
use crate::ledger::rate_limit::Quota;
use crate::ledger::written::Marks;
use crate::ledger::{Ledger, LedgerError, MessageOrigin, Page, retry_conflicts};
use crate::quota::lease_client::LeaseClient;
use crate::quota::permits::{Gauges, PermitPool};
use crate::runtime::backoff::Backoff;
use crate::telemetry::metrics::Metrics;
use muster_core::account::Account;
use muster_core::advice::{Advice, Exit};
use muster_core::certificate::CertificateId;
use muster_core::format::span;
use muster_core::job::{CertificateStatus, Job, Name, Operation};
use muster_core::outcome::{Code, Outcome, Status};
use muster_core::precheck::CheckedCertificate;

pub use authority::Existing;

/// Attempts to record an outcome, or to make a call other than the registration, before giving up.
const ATTEMPTS: u32 = 4;

/// One target, for registrations from the command line.
#[derive(Debug)]
pub struct CaRegistration {
    target: Name,
    account: Account,
    registrar: Registrar,
    rates: TargetRates,
    retry: RetryPolicy,
    clock: Clock,
}

/// Why a registration failed without a recorded outcome.
#[derive(Debug, thiserror::Error)]
pub enum CaRegistrationError {
    /// The target is not configured.
    #[error(transparent)]
    UnknownTarget(#[from] UnknownTarget),
    /// The identity behind the target's credentials could not be determined.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A call failed. This says nothing about the certificate.
    #[error("{operation}: {error}")]
    Call {
        /// The call.
        operation: &'static str,
        /// Why it failed.
        error: CallError,
    },
    /// The CA is already registered, but activating it failed.
    #[error(
        "AWS has the CA already, {}, and it was not activated: UpdateCACertificate: {error} (certificate {id})",
        .status.map_or_else(|| "its status is unknown".to_owned(), |status| format!("it is {status}"))
    )]
    NotActivated {
        /// The CA's certificate id at AWS.
        id: CertificateId,
        /// Its status at AWS, if known.
        status: Option<CertificateStatus>,
        /// Why the call failed.
        error: CallError,
    },
    /// The ledger could not be read. AWS was not called yet.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The certificate has an outcome, but it could not be recorded.
    #[error("the outcome is `{code}`, but it could not be recorded in the ledger: {error}")]
    Unrecorded {
        /// The code of the outcome.
        code: Code,
        /// Why recording failed.
        error: LedgerError,
    },
}

/// The result of a registration.
#[derive(Debug)]
pub struct Registration {
    /// The recorded outcome.
    pub outcome: Outcome,
    /// The CA's state at AWS, if it was already registered.
    pub existing: Option<Existing>,
}

impl CaRegistration {
    /// Determines the account behind a target's credentials and creates a client for it.
    ///
    /// # Errors
    /// The target is not configured, or AWS did not confirm the identity.
    pub async fn connect(config: &Config, target: &Name) -> Result<Self, CaRegistrationError> {
        let settings = config.target(target)?;
        let timeout = config.worker.attempt_timeout.into();
        let asked = identity::ask(&settings.access(&config.aws), timeout).await;
        let (aws, account) = asked.answer?;
        let clock = Clock::default();
        asked.clock_ahead.inspect(|&ahead| clock.set_ahead(ahead));
        Ok(Self {
            clock,
            target: target.clone(),
            account,
            registrar: Registrar::new(&aws, timeout),
            rates: settings.rates.clone(),
            retry: config.retry.policy(),
        })
    }

    /// Returns the time used to check validity periods, corrected by the clock of AWS.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// Returns the account and region of the target.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Returns the account's registration code. Retries throttles and transient errors.
    ///
    /// # Errors
    /// AWS did not return it.
    pub async fn registration_code(&self) -> Result<String, CaRegistrationError> {
        self.ask("GetRegistrationCode", async || self.registrar.registration_code().await).await
    }

    /// Registers the certificate of a job of this target and records the outcome.
    ///
    /// Claims the target's name in the ledger first. Every call takes a permit of the quota that all workers share. A
    /// CA that is already registered is activated if the job requests ACTIVE.
    ///
    /// # Errors
    /// AWS denied the call or did not activate an already registered CA, or the ledger failed. A certificate that AWS
    /// rejects is an outcome, not an error.
    pub async fn register(
        &self,
        ledger: &Ledger,
        job: &Job,
        certificate: &CheckedCertificate,
    ) -> Result<Registration, CaRegistrationError> {
        let began = OffsetDateTime::now_utc();
        let (target, Account { id, region }) = (self.target.as_str(), &self.account);
        retry_conflicts(async || ledger.claim_target(target, id, region).await).await?;
        let (permits, work) = self.permits(ledger, job.operation()).await?;
        let work = tokio::spawn(work);
        let outcome = self.call(permits, job, certificate).await;
        // The lease client exits once it has written the rate feedback of these calls to the ledger.
        work.await.expect("the lease client never panics");
        let (Registration { outcome, existing }, failed) = outcome?;
        let mut page = Page::default();
        let id = format!("by-hand-{:032x}", fastrand::u128(..));
        let message = MessageOrigin { id: &id, sent_at: began, received_at: began };
        page.add_outcome(message, job, &self.account, &outcome);
        let mut written = self.record(ledger, page).await;
        if let (Ok(()), Some(existing)) = (&written, &existing) {
            written = self.note(ledger, certificate.id(), existing).await;
        }
        // A failure at AWS matters more than a failed write to the ledger.
        if let Some(failed) = failed {
            return Err(failed);
        }
        written.map_err(|error| CaRegistrationError::Unrecorded { code: outcome.code, error })?;
        Ok(Registration { outcome, existing })
    }

    /// Returns a permit pool of the quota, and the future of its lease client, which the caller must poll.
    async fn permits(
        &self,
        ledger: &Ledger,
        operation: Operation,
    ) -> Result<(PermitPool, impl Future<Output = ()> + Send + use<>), LedgerError> {
        let (quota, ceiling) = (Quota { account: self.account.clone(), operation }, self.rates.of(operation));
        let learnt = retry_conflicts(async || ledger.open_quota(&quota, ceiling).await).await?;
        let metrics = Arc::new(Metrics::new());
        let gauges = Gauges { learnt: vec![], leased: metrics.limiter_tokens_leased.clone() };
        let postgres = Dependency::new("postgres", Changes::default());
        Ok(LeaseClient { ledger: ledger.clone(), quota, postgres, metrics }.permits(learnt, ceiling, gauges))
    }

    /// Calls AWS until the certificate has an outcome. Also returns the error if an already registered CA could not be
    /// activated.
    async fn call(
        &self,
        permits: PermitPool,
        job: &Job,
        certificate: &CheckedCertificate,
    ) -> Result<(Registration, Option<CaRegistrationError>), CaRegistrationError> {
        let mut attempts = Attempts::new(self.retry, 0);
        let mut n_calls = 0;
        loop {
            let permit = permits.acquire().await;
            let answer = self.registrar.register(certificate).await;
            n_calls += 1;
            match answer.kind() {
                Some(ErrorKind::Denied) => return Err(denied(job.operation(), answer)),
                Some(ErrorKind::Throttled) => permits.throttled(&permit),
                _ => {}
            }
            match attempts.after(&answer, n_calls, false) {
                NextStep::Finish(code) => {
                    return Ok(self.build_outcome(code, job, certificate, attempts, &answer).await);
                }
                NextStep::Wait(wait) => {
                    let error = answer.result.err().map(|error| error.to_string()).unwrap_or_default();
                    warn!(error, wait = span(wait), "the call failed, retrying");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Builds the outcome. For an already registered CA, reads its state at AWS first and activates it if requested.
    async fn build_outcome(
        &self,
        code: Code,
        job: &Job,
        certificate: &CheckedCertificate,
        attempts: Attempts,
        answer: &Answer,
    ) -> (Registration, Option<CaRegistrationError>) {
        let wanted = job.request.wanted_status();
        let id = certificate.id();
        let is_foreign = answer.existing_id.as_ref().is_some_and(|found| *found != id.to_string());
        if code != Code::Exists || is_foreign {
            let outcome = attempts.outcome(code, certificate, wanted, false, answer, ExistingCertificate::default());
            return (Registration { outcome, existing: None }, None);
        }
        let (existing, known, failed) = self.existing(id, wanted, &attempts).await;
        let outcome = attempts.outcome(code, certificate, wanted, false, answer, known);
        let existing = Some(existing).filter(|_| outcome.status() == Status::AlreadyRegistered);
        (Registration { outcome, existing }, failed)
    }

    /// Records an outcome. Retries unless the rows themselves are at fault, so that the ledger knows what AWS did.
    async fn record(&self, ledger: &Ledger, page: Page) -> Result<(), LedgerError> {
        let page = Page { mark: Some(Marks::default().next_mark()), ..page };
        self.waits().retry(ATTEMPTS, |error| !LedgerError::is_caused_by_a_row(error), || ledger.record(&page)).await
    }

    /// Returns the waits between the attempts of one call.
    fn waits(&self) -> Backoff {
        Backoff::new(self.retry.first_wait, self.retry.max_wait)
    }
}

fn denied(operation: Operation, answer: Answer) -> CaRegistrationError {
    let error = answer.result.expect_err("a denied call has an error");
    CaRegistrationError::Call { operation: operation.into(), error }
}

impl Advice for CaRegistrationError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::UnknownTarget(error) => error.hint(),
            Self::Identity(error) => Advice::hint(error),
            Self::Ledger(error) => Advice::hint(error),
            Self::Call { error, .. } => (error.kind == ErrorKind::Denied).then_some(
                "the credentials need iot:RegisterCACertificate and iot:GetRegistrationCode, with --tag iot:TagResource, \
                 with --role iam:PassRole"
                    .into(),
            ),
            Self::NotActivated { error, .. } => Some(
                match error.kind {
                    ErrorKind::Denied => {
                        "allow iot:UpdateCACertificate in the IAM policy of the credentials, then run it again"
                    }
                    ErrorKind::Refused(_) => {
                        "look at the CA in the AWS IoT console; run it again once AWS can activate it"
                    }
                    _ => "run it again: the CA is registered, only activating it failed",
                }
                .into(),
            ),
            Self::Unrecorded { .. } => {
                Some("run it again: what AWS has is then recorded as already registered".into())
            }
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::UnknownTarget(error) => error.exit(),
            Self::Identity(error) => error.exit(),
            // A refusal says something about the CA itself.
            Self::NotActivated { error, .. } if matches!(error.kind, ErrorKind::Refused(_)) => Exit::SomeFailed,
            Self::Call { error, .. } | Self::NotActivated { error, .. } => error.exit(),
            Self::Ledger(error) | Self::Unrecorded { error, .. } => error.exit(),
        }
    }
}
