//! The client of one target: its IoT client, with credentials that belong to the target's own account.
//!
//! Invariant: nothing is registered with credentials whose account AWS has not confirmed. A denial ends the trust:
//! before the next call, everything is loaded again and AWS is asked again. So fixed credentials are picked up without
//! a restart; the SDK itself would keep the old ones until they expire.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::aws::identity::{self, IdentityError};
use crate::aws::registrar::inventory::DescribedCertificate;
use crate::aws::registrar::{Answer, CallError, ErrorKind, Registrar};
use crate::config::access::Access;
use crate::runtime::backoff::Backoff;
use muster_core::account::Account;
use muster_core::certificate::CertificateId;
use muster_core::job::Operation;
use muster_core::precheck::CheckedCertificate;

/// Minimum time between two requests for the registration code, after a failure or if the code may have changed.
const CODE_PAUSE: Duration = Duration::from_secs(30);

/// Number of requests for the registration code before it counts as unknown.
const CODE_ATTEMPTS: u32 = 4;

/// Maximum first wait and maximum wait between these requests.
const CODE_WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// Minimum time between two describe calls: uses half of what AWS allows an account.
const DESCRIBE_EVERY: Duration = Duration::from_millis(200);

/// Maximum time that a job waits for its turn to describe a certificate.
const DESCRIBE_WAIT: Duration = Duration::from_secs(10);

/// Pause of the describe calls after a failure, and after a denial.
const DESCRIBE_THROTTLED: Duration = Duration::from_secs(2);
const DESCRIBE_DENIED: Duration = Duration::from_mins(10);

/// The client of one account and region.
#[derive(Debug)]
pub struct TargetClient {
    access: Access,
    /// The account that the credentials must belong to.
    account: Account,
    /// Maximum time for one call. Also limits confirming the account of the credentials.
    attempt_timeout: Duration,
    /// The client, while its credentials are trusted.
    trusted: Mutex<Option<Arc<Registrar>>>,
    /// The result of the last request for the account's registration code.
    code: Mutex<Option<CodeAnswer>>,
    /// When the next certificate may be described.
    describe_at: Mutex<Instant>,
}

/// The result of a request for the registration code.
#[derive(Debug)]
struct CodeAnswer {
    at: Instant,
    code: Option<String>,
}

/// Why the credentials of a target cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TargetClientError {
    /// AWS did not confirm the account of the credentials.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The credentials belong to another account or region.
    #[error("the credentials are for {found}, expected {wanted}")]
    Foreign {
        /// Account and region of the credentials.
        found: Account,
        /// Account and region of the target.
        wanted: Account,
    },
}

impl TargetClient {
    /// Creates a client whose credentials are not trusted yet.
    pub fn new(access: Access, account: Account, attempt_timeout: Duration) -> Self {
        let describe_at = Mutex::new(Instant::now());
        Self { access, account, attempt_timeout, trusted: Mutex::default(), code: Mutex::default(), describe_at }
    }

    /// Creates a client from a configuration whose credentials AWS has confirmed for this account.
    pub fn verified(access: Access, account: Account, attempt_timeout: Duration, config: &SdkConfig) -> Self {
        let registrar = Arc::new(Registrar::new(config, attempt_timeout));
        Self { trusted: Mutex::new(Some(registrar)), ..Self::new(access, account, attempt_timeout) }
    }

    /// Makes the call that registers a certificate, once. Makes no call without credentials of the right account.
    pub async fn register(&self, certificate: &CheckedCertificate) -> Answer {
        let registrar = match self.registrar().await {
            Ok(registrar) => registrar,
            Err(error) => return Answer::uncalled(CallError::unverified(&error)),
        };
        let answer = registrar.register(certificate).await;
        if matches!(answer.result, Err(CallError { kind: ErrorKind::Denied, .. })) {
            self.distrust(&registrar).await;
        }
        answer
    }

    /// Returns the account's registration code. It is requested once, and again some time after a failure.
    ///
    /// Returns `None` if it is not known. Then only AWS checks a proof against it.
    pub async fn registration_code(&self) -> Option<String> {
        let mut asked = self.code.lock().await;
        match &*asked {
            Some(last) if last.code.is_some() || last.at.elapsed() < CODE_PAUSE => last.code.clone(),
            _ => self.ask_for_code(&mut asked).await,
        }
    }

    /// Requests the registration code again, unless that just happened: an operator may have had AWS create a new one.
    pub async fn latest_registration_code(&self) -> Option<String> {
        let mut asked = self.code.lock().await;
        match &*asked {
            Some(last) if last.at.elapsed() < CODE_PAUSE => last.code.clone(),
            _ => self.ask_for_code(&mut asked).await,
        }
    }

    /// Describes a certificate of the kind that `operation` registers. Makes one call, and only a few per second,
    /// because others share the quota.
    ///
    /// Returns `None` if AWS does not describe it or too many jobs are waiting for their turn; `muster reconcile` finds
    /// out later.
    pub async fn describe(&self, id: CertificateId, operation: Operation) -> Option<DescribedCertificate> {
        tokio::time::timeout(DESCRIBE_WAIT, self.describe_turn()).await.ok()??;
        let registrar = self.registrar().await.ok()?;
        let answer = if operation.is_of_ca() { registrar.describe_ca(id).await } else { registrar.describe(id).await };
        match answer {
            Ok(described) => described,
            Err(error) => {
                let pause = if error.kind == ErrorKind::Denied { DESCRIBE_DENIED } else { DESCRIBE_THROTTLED };
                *self.describe_at.lock().await = Instant::now() + pause;
                warn!(account = %self.account, %error, "cannot look up the status of a certificate");
                None
            }
        }
    }

    /// Waits for a turn to describe a certificate. Returns `None` if it would come too late.
    async fn describe_turn(&self) -> Option<()> {
        let mut at = self.describe_at.lock().await;
        if *at > Instant::now() + DESCRIBE_WAIT {
            return None;
        }
        tokio::time::sleep_until(*at).await;
        *at = Instant::now() + DESCRIBE_EVERY;
        Some(())
    }

    /// Requests the code up to [`CODE_ATTEMPTS`] times, because calls of others may use up the quota.
    async fn ask_for_code(&self, asked: &mut Option<CodeAnswer>) -> Option<String> {
        let is_transient = |error: &CallError| !matches!(error.kind, ErrorKind::Denied | ErrorKind::Unreached);
        let waits = Backoff::new(CODE_WAITS.0, CODE_WAITS.1);
        let code = waits.retry(CODE_ATTEMPTS, is_transient, || self.ask_for_code_once()).await;
        let code = code.inspect_err(|error| warn!(account = %self.account, %error, "no registration code")).ok();
        asked.insert(CodeAnswer { at: Instant::now(), code }).code.clone()
    }

    async fn ask_for_code_once(&self) -> Result<String, CallError> {
        match self.registrar().await {
            Ok(registrar) => registrar.registration_code().await,
            Err(error) => Err(CallError::unverified(&error)),
        }
    }

    /// Returns the trusted client, or creates a new one after confirming its account.
    async fn registrar(&self) -> Result<Arc<Registrar>, TargetClientError> {
        let mut trusted = self.trusted.lock().await;
        if let Some(registrar) = &*trusted {
            return Ok(Arc::clone(registrar));
        }
        let (config, found) = identity::verify(&self.access, self.attempt_timeout).await?;
        if found != self.account {
            return Err(TargetClientError::Foreign { found, wanted: self.account.clone() });
        }
        info!(account = %self.account, "loaded new credentials for the right account");
        Ok(Arc::clone(trusted.insert(Arc::new(Registrar::new(&config, self.attempt_timeout)))))
    }

    /// Stops trusting a client, unless it is no longer the trusted one.
    async fn distrust(&self, denied: &Arc<Registrar>) {
        let mut trusted = self.trusted.lock().await;
        trusted.take_if(|registrar| Arc::ptr_eq(registrar, denied));
    }
}

impl CallError {
    /// Returns the error of a call that was not made because the account of the credentials is not confirmed.
    fn unverified(error: &TargetClientError) -> Self {
        let kind = match error {
            TargetClientError::Identity(fault) => ErrorKind::without_credentials(fault),
            TargetClientError::Foreign { .. } => ErrorKind::Denied,
        };
        Self { kind, code: "no identity".to_owned(), message: error.to_string(), may_have_executed: false }
    }
}
