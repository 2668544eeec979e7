//! A target's way in: its IoT client, with credentials that were shown to be of the target's own account.
//!
//! Nothing is registered with credentials of which AWS did not say whose they are. A denial ends the trust: before the
//! next call is let out everything is loaded anew and asked again. So mended credentials are picked up without a
//! restart, where the SDK itself would keep those that it has until they expire by their own date.

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

/// How long the registration code is not asked for again after AWS did not say it, or where it may have changed.
const CODE_PAUSE: Duration = Duration::from_secs(30);

/// How often the registration code is asked for before it counts as unknown.
const CODE_ATTEMPTS: u32 = 4;

/// Longest first wait and longest wait between these.
const CODE_WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// How often a certificate may be described: half of what AWS allows an account.
const DESCRIBE_EVERY: Duration = Duration::from_millis(200);

/// Longest that a job waits for its turn to describe a certificate.
const DESCRIBE_WAIT: Duration = Duration::from_secs(10);

/// How long no certificate is described after a failure, and after a denial.
const DESCRIBE_THROTTLED: Duration = Duration::from_secs(2);
const DESCRIBE_DENIED: Duration = Duration::from_mins(10);

/// The way into one account and region.
#[derive(Debug)]
pub struct TargetClient {
    access: Access,
    /// Whose credentials are wanted.
    account: Account,
    /// Longest that a call may take, and so may the question whose credentials they are.
    attempt_timeout: Duration,
    /// The client, while its credentials are trusted.
    proven: Mutex<Option<Arc<Registrar>>>,
    /// The account's registration code, as it was last asked for.
    code: Mutex<Option<CodeAnswer>>,
    /// When the next certificate may be described.
    describe_at: Mutex<Instant>,
}

/// What came of asking for the registration code.
#[derive(Debug)]
struct CodeAnswer {
    at: Instant,
    code: Option<String>,
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

impl TargetClient {
    /// Makes a session that trusts nothing yet.
    pub fn new(access: Access, account: Account, attempt_timeout: Duration) -> Self {
        let describe_at = Mutex::new(Instant::now());
        Self { access, account, attempt_timeout, proven: Mutex::default(), code: Mutex::default(), describe_at }
    }

    /// Makes a session with a configuration whose credentials were shown to be of this account.
    pub fn proven(access: Access, account: Account, attempt_timeout: Duration, config: &SdkConfig) -> Self {
        let registrar = Arc::new(Registrar::new(config, attempt_timeout));
        Self { proven: Mutex::new(Some(registrar)), ..Self::new(access, account, attempt_timeout) }
    }

    /// Calls RegisterCertificate once. Without credentials of the right account nothing is called.
    pub async fn register(&self, certificate: &CheckedCertificate) -> Answer {
        let registrar = match self.registrar().await {
            Ok(registrar) => registrar,
            Err(error) => return Answer::uncalled(CallError::unproven(&error)),
        };
        let answer = registrar.register(certificate).await;
        if matches!(answer.result, Err(CallError { kind: ErrorKind::Denied, .. })) {
            self.distrust(&registrar).await;
        }
        answer
    }

    /// The account's registration code: asked for once, and where AWS did not say it, again after a while. None where it
    /// is not known; then AWS alone holds a proof against it.
    pub async fn registration_code(&self) -> Option<String> {
        let mut asked = self.code.lock().await;
        match &*asked {
            Some(last) if last.code.is_some() || last.at.elapsed() < CODE_PAUSE => last.code.clone(),
            _ => self.ask_for_code(&mut asked).await,
        }
    }

    /// The same, asked for again unless that was a moment ago: somebody may have had AWS make a new one.
    pub async fn latest_registration_code(&self) -> Option<String> {
        let mut asked = self.code.lock().await;
        match &*asked {
            Some(last) if last.at.elapsed() < CODE_PAUSE => last.code.clone(),
            _ => self.ask_for_code(&mut asked).await,
        }
    }

    /// What AWS says of a certificate that an operation registers: asked once, at most a few times a second, as the quota is shared with others.
    /// None where AWS does not say, or there are too many to ask about; `muster reconcile` finds out later.
    pub async fn describe(&self, id: CertificateId, operation: Operation) -> Option<DescribedCertificate> {
        tokio::time::timeout(DESCRIBE_WAIT, self.describe_turn()).await.ok()??;
        let registrar = self.registrar().await.ok()?;
        let answer = if operation.is_of_ca() { registrar.describe_ca(id).await } else { registrar.describe(id).await };
        match answer {
            Ok(described) => described,
            Err(error) => {
                let pause = if error.kind == ErrorKind::Denied { DESCRIBE_DENIED } else { DESCRIBE_THROTTLED };
                *self.describe_at.lock().await = Instant::now() + pause;
                warn!(account = %self.account, %error, "cannot ask what status a certificate has");
                None
            }
        }
    }

    /// Waits for a turn to describe a certificate; none where it would come too late.
    async fn describe_turn(&self) -> Option<()> {
        let mut at = self.describe_at.lock().await;
        if *at > Instant::now() + DESCRIBE_WAIT {
            return None;
        }
        tokio::time::sleep_until(*at).await;
        *at = Instant::now() + DESCRIBE_EVERY;
        Some(())
    }

    /// Asks a few times: calls of others may use up the quota for it.
    async fn ask_for_code(&self, asked: &mut Option<CodeAnswer>) -> Option<String> {
        let mut backoff = Backoff::new(CODE_WAITS.0, CODE_WAITS.1);
        let mut code = self.ask_for_code_once().await;
        for _ in 1..CODE_ATTEMPTS {
            if code.as_ref().is_err_and(|error| !matches!(error.kind, ErrorKind::Denied | ErrorKind::Unreached)) {
                backoff.wait().await;
                code = self.ask_for_code_once().await;
            }
        }
        let code = code.inspect_err(|error| warn!(account = %self.account, %error, "no registration code")).ok();
        asked.insert(CodeAnswer { at: Instant::now(), code }).code.clone()
    }

    async fn ask_for_code_once(&self) -> Result<String, CallError> {
        match self.registrar().await {
            Ok(registrar) => registrar.registration_code().await,
            Err(error) => Err(CallError::unproven(&error)),
        }
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
