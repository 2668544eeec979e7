//! Who we are at AWS: loads the SDK's configuration and asks STS. The only file that names `aws_sdk_sts`.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sts::Client;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use crate::sdk_error;

/// An account and region: what a quota, a registration and a known certificate belong to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Account {
    /// AWS account id, 12 digits.
    pub id: String,
    /// AWS region.
    pub region: String,
}

/// Why AWS did not say who we are.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Neither the configuration nor the environment names a region.
    #[error("no AWS region is configured")]
    NoRegion,
    /// AWS refuses the credentials, or there are none.
    #[error("AWS does not accept the credentials: {0}")]
    Denied(String),
    /// AWS cannot be reached or answered nonsense.
    #[error("cannot ask AWS who we are: {0}")]
    Unreachable(String),
}

/// How AWS is reached.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The region; none: what the environment or the profile says.
    pub region: Option<String>,
    /// The URL of every service, for a sandbox.
    pub endpoint_url: Option<String>,
    /// Whose credentials are used.
    pub credentials: Credentials,
}

/// Whose credentials are used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Credentials {
    /// What the SDK finds: environment, profiles, container, instance.
    #[default]
    Found,
    /// Made-up ones, which a sandbox takes.
    Sandbox,
}

/// Loads region, endpoints and credentials from the environment and the profile files, as every AWS tool does.
pub async fn load(access: &Access) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = &access.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(url) = &access.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if access.credentials == Credentials::Sandbox {
        let made_up = aws_credential_types::Credentials::new("sandbox", "sandbox", None, None, "sandbox");
        loader = loader.credentials_provider(made_up);
    }
    loader.load().await
}

impl Account {
    /// Asks STS whose credentials these are.
    ///
    /// # Errors
    /// [`IdentityError::Denied`] where AWS answered with an error, [`IdentityError::Unreachable`] where it did not.
    pub async fn of(config: &SdkConfig) -> Result<Self, IdentityError> {
        let region = config.region().ok_or(IdentityError::NoRegion)?.to_string();
        let answer = Client::new(config).get_caller_identity().send().await.map_err(|error| match &error {
            SdkError::ServiceError(service) => IdentityError::Denied(format!(
                "{}: {}",
                service.err().code().unwrap_or("no code"),
                service.err().message().unwrap_or("no message")
            )),
            _ if sdk_error::lacks_credentials(&error) => IdentityError::Denied(sdk_error::in_one_line(&error)),
            _ => IdentityError::Unreachable(sdk_error::in_one_line(&error)),
        })?;
        let id = answer.account.ok_or_else(|| IdentityError::Unreachable("the answer names no account".to_owned()))?;
        Ok(Self { id, region })
    }
}
