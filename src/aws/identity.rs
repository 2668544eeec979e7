//! Our identity at AWS: loads the SDK's configuration and asks STS which account the credentials belong to.
//!
//! The only part that uses `aws_sdk_sts`. It caches no answer: callers decide how long to trust one.

mod clock;
mod credential_process;
mod no_credentials;
mod proxies;

use std::borrow::Cow;
use std::error::Error;
use std::time::{Duration, Instant};

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::Client;
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;

use crate::aws::sdk_error;
use crate::config::access::{Access, Credentials};
use crate::runtime::causes;
use muster_core::account::Account;
use muster_core::format::span;

use clock::AwsClock;
use credential_process::Program;
use muster_core::advice::{Advice, Exit};

/// The session name for assumed roles. It appears in the logs of the role's account.
const SESSION_NAME: &str = "muster";

/// Maximum wait for credentials. Each source of credentials has its own, shorter limit and an error that names the
/// source.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(20);

/// How to give Muster credentials.
pub const CREDENTIALS_HINT: &str =
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role";

/// What to do if the source of the credentials does not answer.
pub const LATE_HINT: &str = "check whether `aws sts get-caller-identity` answers, and how long it takes";

/// Why our identity at AWS is not known.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Neither the configuration nor the environment names a region.
    #[error("no AWS region is configured")]
    NoRegion,
    /// There are no credentials.
    #[error("no AWS credentials: {0}")]
    NoCredentials(String),
    /// The source of the credentials does not answer.
    #[error("the source of the AWS credentials does not answer: {0}")]
    CredentialsLate(String),
    /// AWS refuses the credentials.
    #[error("AWS does not accept the credentials: {0}")]
    Denied(String),
    /// AWS does not let the credentials assume the role.
    #[error("AWS does not let us assume the role: {0}")]
    RoleDenied(String),
    /// AWS cannot be reached, or its answer is unusable.
    #[error("cannot ask AWS who we are: {0}")]
    Unreachable(String),
}

/// Loads region, endpoints and credentials from the environment and the profile files, as every AWS tool does.
///
/// AWS is not called yet: a role is assumed when its credentials are first needed, and again before they expire.
pub async fn load(access: &Access) -> SdkConfig {
    let cache = IdentityCache::lazy().load_timeout(CREDENTIALS_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).identity_cache(cache);
    if let Some(client) = proxies::client() {
        loader = loader.http_client(client);
    }
    if let Some(region) = &access.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(url) = &access.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    let mut roles = Vec::new();
    if access.credentials == Credentials::Sandbox {
        let made_up = aws_credential_types::Credentials::new("sandbox", "sandbox", None, None, "sandbox");
        loader = loader.credentials_provider(made_up);
    } else if let Some(mut program) = program().await {
        roles = std::mem::take(&mut program.roles);
        loader = loader.credentials_provider(program);
    }
    // Boxed, because these very large futures would be part of every future around them.
    let mut config = Box::pin(loader.load()).await;
    for role in roles {
        let name = role.session_name.as_deref().unwrap_or(SESSION_NAME);
        config = Box::pin(assume(config, &role.arn, role.external_id.as_deref(), name)).await;
    }
    if let Some(role) = &access.role {
        config = Box::pin(assume(config, role.arn.as_str(), role.external_id.as_deref(), SESSION_NAME)).await;
    }
    config
}

/// Returns the program that prints the credentials, if they come from one. The environment takes precedence over
/// profiles.
#[expect(clippy::default_trait_access, reason = "the types are internal to the SDK")]
async fn program() -> Option<Program> {
    let of_environment = EnvironmentVariableCredentialsProvider::new().provide_credentials().await;
    if !matches!(of_environment, Err(CredentialsError::CredentialsNotLoaded(_))) {
        return None;
    }
    let files = Default::default();
    let profiles = aws_config::profile::load(&Default::default(), &Default::default(), &files, None).await;
    profiles.ok().as_ref().and_then(Program::of)
}

/// Returns the configuration with the credentials of a role, assumed with those of `base`.
async fn assume(base: SdkConfig, role: &str, external_id: Option<&str>, session_name: &str) -> SdkConfig {
    let mut provider = AssumeRoleProvider::builder(role).session_name(session_name).configure(&base);
    if let Some(id) = external_id {
        provider = provider.external_id(id);
    }
    let provider = SharedCredentialsProvider::new(Box::pin(provider.build()).await);
    base.into_builder().credentials_provider(provider).build()
}

/// Loads the configuration and asks AWS which account it belongs to, within the given duration.
///
/// # Errors
/// As for [`account_of`]. [`IdentityError::Unreachable`] if there is no answer in time.
pub async fn verify(access: &Access, within: Duration) -> Result<(SdkConfig, Account), IdentityError> {
    ask(access, within).await.answer
}

/// The result of asking AWS which account the credentials belong to.
#[derive(Debug)]
pub struct IdentityAnswer {
    /// The configuration and its account, or why the account is not known.
    pub answer: Result<(SdkConfig, Account), IdentityError>,
    /// How far AWS's clock is ahead of ours, in seconds, accurate to half a second. `None`: no answer contained it.
    pub clock_ahead: Option<f64>,
    /// How long it took.
    pub took: Duration,
}

/// Does the same as [`verify`], and also returns the clock difference and the time taken.
pub async fn ask(access: &Access, within: Duration) -> IdentityAnswer {
    let (began, clock) = (Instant::now(), AwsClock::default());
    let asked = async {
        let config = load(access).await;
        let account = account_and_clock(&config, clock.clone()).await?;
        Ok((config, account))
    };
    let late = |_| Err(IdentityError::Unreachable(format!("no answer within {}", span(within))));
    let answer = tokio::time::timeout(within, asked).await.unwrap_or_else(late);
    // The date of an answer that did not come from AWS is worthless.
    let is_of_aws = !matches!(answer, Err(IdentityError::Unreachable(_)));
    IdentityAnswer { answer, clock_ahead: clock.ahead().filter(|_| is_of_aws), took: began.elapsed() }
}

impl IdentityError {
    /// Returns whether the problem may go away without a change of the settings.
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::NoRegion)
    }

    /// Returns whether the credentials do not work. `false` if there was merely no answer.
    pub fn is_denial(&self) -> bool {
        !matches!(self, Self::CredentialsLate(_) | Self::Unreachable(_))
    }

    /// Returns how to fix the problem.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoRegion => "set `aws.region` in the settings, or AWS_REGION",
            Self::NoCredentials(_) => CREDENTIALS_HINT,
            Self::CredentialsLate(_) => LATE_HINT,
            Self::Denied(text) if text.to_lowercase().contains("region") => sdk_error::REGION_HINT,
            Self::Denied(_) => "check the credentials with `aws sts get-caller-identity`",
            Self::RoleDenied(_) => {
                "check the target's `role_arn` and `external_id`, the role's trust policy, and that the credentials \
                 may call sts:AssumeRole"
            }
            Self::Unreachable(_) => sdk_error::NETWORK_HINT,
        }
    }
}

/// Asks STS which account the credentials belong to.
///
/// # Errors
/// [`IdentityError::Denied`] or [`IdentityError::RoleDenied`] if AWS answered with an error,
/// [`IdentityError::Unreachable`] if it did not answer.
pub async fn account_of(config: &SdkConfig) -> Result<Account, IdentityError> {
    account_and_clock(config, AwsClock::default()).await
}

/// Does the same as [`account_of`], and records AWS's time in the clock.
async fn account_and_clock(config: &SdkConfig, clock: AwsClock) -> Result<Account, IdentityError> {
    let region = config.region().ok_or(IdentityError::NoRegion)?.to_string();
    let call = Client::new(config).get_caller_identity().customize().interceptor(clock);
    let answer = call.send().await.map_err(|error| why(&error, IdentityError::Denied))?;
    let id = answer.account.ok_or_else(|| IdentityError::Unreachable("the answer names no account".to_owned()))?;
    Ok(Account { id, region })
}

/// Returns why STS did not answer a call. `denied` creates the error if STS refused the call.
fn why<E>(error: &SdkError<E, HttpResponse>, denied: fn(String) -> IdentityError) -> IdentityError
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    if let Some(text) = sdk_error::not_from_aws(error, error.code()) {
        return IdentityError::Unreachable(text);
    }
    if let SdkError::ServiceError(service) = error {
        let (status, error) = (service.raw().status().as_u16(), service.err());
        let is_refusal = sdk_error::is_refusal(status, error.code());
        return if is_refusal { denied(code_and_message(error)) } else { unavailable(status, error) };
    }
    let unreachable = || IdentityError::Unreachable(sdk_error::in_one_line(error));
    error.source().and_then(without_credentials).unwrap_or_else(unreachable)
}

fn unavailable(status: u16, error: &impl ProvideErrorMetadata) -> IdentityError {
    IdentityError::Unreachable(match error.code() {
        Some(_) => code_and_message(error),
        None => format!("HTTP {status} without an error code"),
    })
}

/// Returns why a call had no credentials, if that is what caused its error.
pub fn without_credentials(error: &(dyn Error + 'static)) -> Option<IdentityError> {
    let fault = no_credentials::why(error)?;
    Some(why_not_assumed(error).unwrap_or(fault))
}

/// Returns why a role was not assumed, by us or with a web identity, if that is what caused the error.
fn why_not_assumed(error: &(dyn Error + 'static)) -> Option<IdentityError> {
    causes(error).find_map(|cause| {
        let by_us =
            cause.downcast_ref::<SdkError<AssumeRoleError>>().map(|error| why(error, IdentityError::RoleDenied));
        let by_web = || cause.downcast_ref::<SdkError<AssumeRoleWithWebIdentityError>>();
        by_us.or_else(|| by_web().map(|error| why(error, IdentityError::RoleDenied)))
    })
}

fn code_and_message(error: &impl ProvideErrorMetadata) -> String {
    let (code, message) = (error.code().unwrap_or("no code"), error.message().unwrap_or("no message"));
    sdk_error::one_line(&format!("{code}: {message}"))
}

impl Advice for IdentityError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Self::hint(self).into())
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NoRegion => Exit::Error,
            error if error.is_denial() => Exit::Denied,
            _ => Exit::Unreachable,
        }
    }
}
