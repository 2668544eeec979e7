//! Reads from AWS what is registered, using only spare quota: at a rate of its own, and slower after a throttle.
//! Retries failed calls.

use std::borrow::Cow;
use std::time::Duration;

use tracing::warn;

use super::pace::CallSpacing;
use crate::aws::identity;
use crate::aws::registrar::inventory::{DescribedCertificate, ListedPage};
use crate::aws::registrar::{CallError, ErrorKind, Registrar};
use crate::config::Config;
use crate::operator::ca_registration::CaRegistrationError;
use crate::runtime::backoff::Backoff;
use muster_core::account::Account;
use muster_core::advice::{Advice, Exit};
use muster_core::certificate::CertificateId;
use muster_core::job::Name;
use muster_core::rate::Rate;

/// Attempts of one call before giving up, not counting throttles. The waits add up to two minutes on average.
const ATTEMPTS: u32 = 10;

/// One target whose certificates are read.
#[derive(Debug)]
pub struct Inventory {
    registrar: Registrar,
    account: Account,
    pace: CallSpacing,
    waits: (Duration, Duration),
    n_calls: u64,
}

/// A call to AWS failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {error}")]
pub struct InventoryError {
    /// The call.
    pub operation: &'static str,
    /// Why it failed.
    pub error: CallError,
}

impl Inventory {
    /// Determines the account behind a target's credentials and creates a client for it.
    ///
    /// # Errors
    /// The target is not configured, or AWS did not confirm the identity.
    pub async fn connect(config: &Config, target: &Name, rate: Rate) -> Result<Self, CaRegistrationError> {
        let settings = config.target(target)?;
        let timeout = config.worker.attempt_timeout.into();
        let (aws, account) = identity::verify(&settings.access(&config.aws), timeout).await?;
        let retry = config.retry.policy();
        Ok(Self {
            registrar: Registrar::new(&aws, timeout),
            account,
            pace: CallSpacing::new(rate),
            waits: (retry.first_wait, retry.max_wait),
            n_calls: 0,
        })
    }

    /// Returns the account and region of the target.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Returns how many AWS calls were made.
    pub fn n_calls(&self) -> u64 {
        self.n_calls
    }

    /// Returns one page of the device certificates of the account, or of one CA.
    ///
    /// # Errors
    /// AWS denied or refused the call, or every attempt failed.
    pub async fn list(
        &mut self,
        ca: Option<CertificateId>,
        marker: Option<&str>,
    ) -> Result<ListedPage, InventoryError> {
        let operation = if ca.is_some() { "ListCertificatesByCA" } else { "ListCertificates" };
        self.call(operation, |registrar| async move { registrar.list(ca, marker).await }).await
    }

    /// Describes a device certificate; returns `None` if AWS does not have it.
    ///
    /// # Errors
    /// AWS denied or refused the call, or every attempt failed.
    pub async fn describe(&mut self, id: CertificateId) -> Result<Option<DescribedCertificate>, InventoryError> {
        self.call("DescribeCertificate", |registrar| async move { registrar.describe(id).await }).await
    }

    /// Makes a call, with retries. A throttle slows all further calls and is not counted as a failed attempt.
    ///
    /// `make` gets a client of its own: the future of an async closure over a reference could not move between threads.
    async fn call<T, F: Future<Output = Result<T, CallError>>>(
        &mut self,
        operation: &'static str,
        make: impl Fn(Registrar) -> F,
    ) -> Result<T, InventoryError> {
        let mut backoff = Backoff::new(self.waits.0, self.waits.1);
        let mut n_failed = 0;
        loop {
            self.pace.turn().await;
            self.n_calls += 1;
            let error = match make(self.registrar.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match error.kind {
                ErrorKind::Throttled | ErrorKind::Limited => self.pace.throttled(),
                ErrorKind::Transient(_) if n_failed + 1 < ATTEMPTS => n_failed += 1,
                _ => return Err(InventoryError { operation, error }),
            }
            warn!(%error, operation, "a call to AWS failed, retrying");
            backoff.wait().await;
        }
    }
}

impl Advice for InventoryError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        (self.error.kind == ErrorKind::Denied).then_some(
            "the credentials need iot:ListCertificates, iot:ListCertificatesByCA and iot:DescribeCertificate".into(),
        )
    }

    fn exit(&self) -> Exit {
        self.error.exit()
    }
}
