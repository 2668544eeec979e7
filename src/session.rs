//! A target's way in: its IoT client, with credentials that were shown to be of the target's own account.
//!
//! Nothing is registered with credentials of which AWS did not say whose they are. A denial ends the trust: before the
//! next call is let out everything is loaded anew and asked again. So mended credentials are picked up without a
//! restart, where the SDK itself would keep those that it has until they expire by their own date.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::sync::Mutex;
use tracing::info;

use crate::identity::{self, Access, Account, IdentityError};
use crate::precheck::CheckedCertificate;
use crate::registrar::{Answer, CallError, Kind, Registrar};

/// The way into one account and region.
#[derive(Debug)]
pub struct Session {
    access: Access,
    /// Whose credentials are wanted.
    account: Account,
    /// Longest that a call may take, and so may the question whose credentials they are.
    attempt_timeout: Duration,
    /// The client, while its credentials are trusted.
    proven: Mutex<Option<Arc<Registrar>>>,
}

/// Why a session does not come about.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// AWS did not say whose the credentials are.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// They are of another account or region.
    #[error("the credentials are for {found}, wanted is {wanted}")]
    Foreign {
        /// Account and region of the credentials.
        found: Account,
        /// Account and region of the target.
        wanted: Account,
    },
}

impl Session {
    /// Makes a session that trusts nothing yet.
    pub fn new(access: Access, account: Account, attempt_timeout: Duration) -> Self {
        Self { access, account, attempt_timeout, proven: Mutex::default() }
    }

    /// Makes a session with a configuration whose credentials were shown to be of this account.
    pub fn proven(access: Access, account: Account, attempt_timeout: Duration, config: &SdkConfig) -> Self {
        let registrar = Arc::new(Registrar::new(config, attempt_timeout));
        Self { proven: Mutex::new(Some(registrar)), ..Self::new(access, account, attempt_timeout) }
    }

    /// Calls RegisterCertificate once. Without credentials of the right account that is a denial, and nothing is called.
    pub async fn register(&self, certificate: &CheckedCertificate) -> Answer {
        let registrar = match self.registrar().await {
            Ok(registrar) => registrar,
            Err(error) => return Answer::denied("no identity", error.to_string()),
        };
        let answer = registrar.register(certificate).await;
        if matches!(answer.result, Err(CallError { kind: Kind::Denied, .. })) {
            self.distrust(&registrar).await;
        }
        answer
    }

    /// The client that is trusted, or else a new one once it can be.
    async fn registrar(&self) -> Result<Arc<Registrar>, SessionError> {
        let mut proven = self.proven.lock().await;
        if let Some(registrar) = &*proven {
            return Ok(Arc::clone(registrar));
        }
        let (config, found) = identity::prove(&self.access, self.attempt_timeout).await?;
        if found != self.account {
            return Err(SessionError::Foreign { found, wanted: self.account.clone() });
        }
        info!(account = %self.account, "new credentials, of the right account");
        Ok(Arc::clone(proven.insert(Arc::new(Registrar::new(&config, self.attempt_timeout)))))
    }

    /// Ends the trust in a client, unless it is over already.
    async fn distrust(&self, denied: &Arc<Registrar>) {
        let mut proven = self.proven.lock().await;
        proven.take_if(|registrar| Arc::ptr_eq(registrar, denied));
    }
}
