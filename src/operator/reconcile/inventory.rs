//! Asks AWS what it holds, with what the account has to spare: at a pace of its own, and again where an answer did not
//! come.

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
use muster_core::certificate::CertificateId;
use muster_core::job::Name;
use muster_core::rate::Rate;

/// How often in a row trouble other than a throttle may meet a call: two minutes on average.
const ATTEMPTS: u32 = 10;

/// One target, as it is asked what it holds.
#[derive(Debug)]
pub struct Inventory {
    registrar: Registrar,
    account: Account,
    pace: CallSpacing,
    waits: (Duration, Duration),
    n_calls: u64,
}

/// AWS did not say what it holds.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {error}")]
pub struct InventoryError {
    /// The call.
    pub operation: &'static str,
    /// What came of it.
    pub error: CallError,
}

impl Inventory {
    /// Asks AWS whose account a target is, and makes what it takes to call there.
    ///
    /// # Errors
    /// The settings have no such target, or AWS did not say who we are.
    pub async fn connect(config: &Config, target: &Name, rate: Rate) -> Result<Self, CaRegistrationError> {
        let settings = config.target(target)?;
        let timeout = config.worker.attempt_timeout.into();
        let (aws, account) = identity::prove(&settings.access(&config.aws), timeout).await?;
        let retry = config.retry.policy();
        Ok(Self {
            registrar: Registrar::new(&aws, timeout),
            account,
            pace: CallSpacing::new(rate),
            waits: (retry.first_wait, retry.max_wait),
            n_calls: 0,
        })
    }

    /// Whose account and which region it is.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// How many calls were made.
    pub fn n_calls(&self) -> u64 {
        self.n_calls
    }

    /// Lists one page of the device certificates, of one CA where it is named.
    ///
    /// # Errors
    /// AWS denies or refuses the call, or did not answer for long.
    pub async fn list(
        &mut self,
        ca: Option<CertificateId>,
        marker: Option<&str>,
    ) -> Result<ListedPage, InventoryError> {
        let operation = if ca.is_some() { "ListCertificatesByCA" } else { "ListCertificates" };
        self.call(operation, async |registrar| registrar.list(ca, marker).await).await
    }

    /// Describes a device certificate; none where AWS does not have it.
    ///
    /// # Errors
    /// AWS denies or refuses the call, or did not answer for long.
    pub async fn describe(&mut self, id: CertificateId) -> Result<Option<DescribedCertificate>, InventoryError> {
        self.call("DescribeCertificate", async |registrar| registrar.describe(id).await).await
    }

    /// Makes a call until it is answered. A throttle slows all further ones and never counts.
    async fn call<T>(
        &mut self,
        operation: &'static str,
        make: impl AsyncFn(&Registrar) -> Result<T, CallError>,
    ) -> Result<T, InventoryError> {
        let mut backoff = Backoff::new(self.waits.0, self.waits.1);
        let mut n_failed = 0;
        loop {
            self.pace.turn().await;
            self.n_calls += 1;
            let error = match make(&self.registrar).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match error.kind {
                ErrorKind::Throttled | ErrorKind::Limited => self.pace.throttled(),
                ErrorKind::Transient(_) if n_failed + 1 < ATTEMPTS => n_failed += 1,
                _ => return Err(InventoryError { operation, error }),
            }
            warn!(%error, operation, "AWS did not say what it holds, asking again");
            backoff.wait().await;
        }
    }
}
