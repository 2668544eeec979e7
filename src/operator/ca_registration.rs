//! Registers one certificate without a queue: by hand, now, with the quota, the retry rules and the ledger of the workers.
//!
//! A denial ends it, where a worker waits for better credentials. Other trouble always counts, as nobody else's calls tell
//! here whether it meets everybody.

mod authority;

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
use crate::ledger::{Ledger, LedgerError, MessageOrigin, Page, insist};
use crate::quota::lease_client::LeaseClient;
use crate::quota::permits::{Gauges, PermitPool};
use crate::runtime::backoff::Backoff;
use crate::telemetry::metrics::Metrics;
use muster_core::account::Account;
use muster_core::certificate::CertificateId;
use muster_core::format::span;
use muster_core::job::{CertificateStatus, Job, Name, Operation};
use muster_core::outcome::{Code, Outcome, Status};
use muster_core::precheck::CheckedCertificate;

pub use authority::Existing;

/// Attempts to write an outcome before that is given up.
const ATTEMPTS: u32 = 4;

/// One target, as somebody at a terminal uses it.
#[derive(Debug)]
pub struct CaRegistration {
    target: Name,
    account: Account,
    registrar: Registrar,
    rates: TargetRates,
    retry: RetryPolicy,
    clock: Clock,
}

/// Why a certificate did not come to an end.
#[derive(Debug, thiserror::Error)]
pub enum CaRegistrationError {
    /// The settings have no such target.
    #[error(transparent)]
    UnknownTarget(#[from] UnknownTarget),
    /// AWS did not say who we are.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// AWS did not do what was asked, which says nothing of the certificate.
    #[error("{operation}: {error}")]
    Call {
        /// The call.
        operation: &'static str,
        /// What came of it.
        error: CallError,
    },
    /// AWS has the CA already, and did not activate it.
    #[error(
        "AWS has the CA already, {}, and it was not activated: UpdateCACertificate: {error} (certificate {id})",
        .status.map_or_else(|| "its status is unknown".to_owned(), |status| format!("it is {status}"))
    )]
    NotActivated {
        /// AWS's id of the CA.
        id: CertificateId,
        /// Its status at AWS, where AWS said it.
        status: Option<CertificateStatus>,
        /// What came of the call.
        error: CallError,
    },
    /// The ledger could not be asked; nothing was called yet.
    #[error(transparent)]
    Store(#[from] LedgerError),
    /// It ended, and the ledger does not know.
    #[error("it ended as `{code}`, which could not be recorded: {error}")]
    Unrecorded {
        /// Why it ended so.
        code: Code,
        /// What the ledger met.
        error: LedgerError,
    },
}

/// What came of registering a certificate.
#[derive(Debug)]
pub struct Registration {
    /// The outcome, as it was recorded.
    pub outcome: Outcome,
    /// What AWS has, where it had the CA before.
    pub existing: Option<Existing>,
}

impl CaRegistration {
    /// Asks AWS whose account a target is, and makes what it takes to call there.
    ///
    /// # Errors
    /// The settings have no such target, or AWS did not say who we are.
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

    /// The time by which certificates are judged.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// Whose account and which region it is.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Asks for the account's registration code, again where calls of others use up the quota for it.
    ///
    /// # Errors
    /// AWS did not say.
    pub async fn registration_code(&self) -> Result<String, CaRegistrationError> {
        self.ask("GetRegistrationCode", async || self.registrar.registration_code().await).await
    }

    /// Registers the certificate of a job of this target, and records the outcome. The target's name is claimed first, and
    /// every call has a token of the quota that all workers share. A CA that AWS has already is activated where the job
    /// wants it ACTIVE.
    ///
    /// # Errors
    /// AWS denies the call, or did not activate a CA that it has already, or the ledger does not take its part. How AWS
    /// judges the certificate is no error.
    pub async fn register(
        &self,
        ledger: &Ledger,
        job: &Job,
        certificate: &CheckedCertificate,
    ) -> Result<Registration, CaRegistrationError> {
        let began = OffsetDateTime::now_utc();
        let (target, Account { id, region }) = (self.target.as_str(), &self.account);
        insist(async || ledger.claim_target(target, id, region).await).await?;
        let (permits, work) = self.permits(ledger, job.operation()).await?;
        let work = tokio::spawn(work);
        let outcome = self.call(permits, job, certificate).await;
        // What the calls taught of the rate is written before the end.
        work.await.expect("nothing that grants tokens panics");
        let (Registration { outcome, existing }, failed) = outcome?;
        let mut page = Page::default();
        let id = format!("by-hand-{:032x}", fastrand::u128(..));
        let message = MessageOrigin { id: &id, sent_at: began, received_at: began };
        page.add_outcome(message, job, &self.account, &outcome);
        let mut written = self.record(ledger, page).await;
        if let (Ok(()), Some(existing)) = (&written, &existing) {
            written = self.note(ledger, certificate.id(), existing).await;
        }
        // What is wrong at AWS comes before what the ledger lacks.
        if let Some(failed) = failed {
            return Err(failed);
        }
        written.map_err(|error| CaRegistrationError::Unrecorded { code: outcome.code, error })?;
        Ok(Registration { outcome, existing })
    }

    /// The tokens of the quota, and what must run for them.
    async fn permits(
        &self,
        ledger: &Ledger,
        operation: Operation,
    ) -> Result<(PermitPool, impl Future<Output = ()> + Send + use<>), LedgerError> {
        let (quota, ceiling) = (Quota { account: self.account.clone(), operation }, self.rates.of(operation));
        let learnt = insist(async || ledger.open_quota(&quota, ceiling).await).await?;
        let metrics = Arc::new(Metrics::new());
        let gauges = Gauges { learnt: vec![], leased: metrics.limiter_tokens_leased.clone() };
        let postgres = Dependency::new("postgres", Changes::default());
        Ok(LeaseClient { ledger: ledger.clone(), quota, postgres, metrics }.permits(learnt, ceiling, gauges))
    }

    /// Calls AWS until the certificate has an outcome; with it, why a CA that AWS has already was not activated.
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
                NextStep::End(code) => {
                    return Ok(self.end(code, job, certificate, attempts, &answer).await);
                }
                NextStep::Wait(wait) => {
                    let error = answer.result.err().map(|error| error.to_string()).unwrap_or_default();
                    warn!(error, wait = span(wait), "the call failed, trying again");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// The outcome, and what AWS has where the certificate was there already.
    async fn end(
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

    /// Writes an end, again where that may help: what AWS did should be known.
    async fn record(&self, ledger: &Ledger, page: Page) -> Result<(), LedgerError> {
        let page = Page { mark: Some(Marks::default().next_mark()), ..page };
        let mut backoff = Backoff::new(self.retry.first_wait, self.retry.max_wait);
        let mut written = ledger.record(&page).await;
        for _ in 1..ATTEMPTS {
            if written.as_ref().is_err_and(|error| !error.is_rows_fault()) {
                backoff.wait().await;
                written = ledger.record(&page).await;
            }
        }
        written
    }
}

fn denied(operation: Operation, answer: Answer) -> CaRegistrationError {
    let error = answer.result.expect_err("a denial is no success");
    CaRegistrationError::Call { operation: operation.into(), error }
}
