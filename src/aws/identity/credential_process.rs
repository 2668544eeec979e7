//! Credentials from a program: `credential_process` of an AWS profile.
//!
//! The SDK starts such a program for every client that needs credentials, and leaves it running when the client gives
//! up. Here, a program runs at most once at a time in this process, for everyone who waits for it (single-flight), and
//! is killed after [`TIMEOUT`] together with everything that it started.

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use aws_config::profile::{Profile, ProfileSet};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::aws::sdk_error::one_line;
use crate::config::command::{self, CommandError};
use crate::runtime::shared_call::{RunResult, SharedCall};
use muster_core::format::span;

/// Maximum time that a program may run.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum time that one caller waits for it. The SDK gives up after five seconds, with an error that does not name the
/// program.
const CALLER_WAIT_MAX: Duration = Duration::from_secs(4);

/// How long a result or an error is reused for later callers, so that clients that start together need one run.
const REUSE_FOR: Duration = Duration::from_secs(5);

/// The runs of one command line.
type Runs = SharedCall<Result<Printed, ProgramError>>;

/// The runs of each command line.
static RUNS: LazyLock<Mutex<HashMap<String, Arc<Runs>>>> = LazyLock::new(Mutex::default);

/// The name of the provider in the SDK's messages.
const PROVIDER: &str = "credential_process";

/// A program that prints credentials, and the roles to assume from there to the selected profile.
#[derive(Debug, PartialEq)]
pub(super) struct Program {
    /// The profile that names it.
    profile: String,
    /// The command line, which may contain secrets.
    command: String,
    /// The account of the credentials, if the profile names one.
    account: Option<String>,
    /// The roles to assume with its credentials, in order.
    pub(super) roles: Vec<ProfileRole>,
}

/// A role that a profile assumes with the credentials of another.
#[derive(Debug, PartialEq)]
pub(super) struct ProfileRole {
    pub(super) arn: String,
    pub(super) external_id: Option<String>,
    pub(super) session_name: Option<String>,
}

/// Properties that give a profile another source of credentials, which the SDK tries before a program.
const OTHER_SOURCES: [&str; 8] = [
    "credential_source",
    "web_identity_token_file",
    "sso_session",
    "sso_account_id",
    "sso_region",
    "sso_role_name",
    "sso_start_url",
    "login_session",
];

impl Program {
    /// Finds the program from which the selected profile gets its credentials, directly or through other profiles.
    ///
    /// Returns `None` if they come from elsewhere, or if the profiles are invalid; the SDK then reports the error.
    pub(super) fn of(profiles: &ProfileSet) -> Option<Self> {
        let mut visited: Vec<&str> = Vec::new();
        let mut roles = Vec::new();
        let mut name = profiles.selected_profile();
        let base = loop {
            let profile = profiles.get_profile(name)?;
            let has_own_keys = !visited.is_empty() && profile.get("aws_access_key_id").is_some();
            if visited.contains(&name) || has_own_keys {
                return None;
            }
            visited.push(name);
            let Some(role) = ProfileRole::of(profile) else { break profile };
            roles.push(role);
            match profile.get("source_profile")? {
                itself if itself == name => break profile,
                source => name = source,
            }
        };
        if OTHER_SOURCES.iter().any(|property| base.get(property).is_some()) {
            return None;
        }
        roles.reverse();
        let text = |property| base.get(property).map(str::to_owned);
        let (command, account) = (text("credential_process")?, text("aws_account_id"));
        Some(Self { profile: base.name().to_owned(), command, account, roles })
    }

    async fn credentials(&self) -> provider::Result {
        let command = self.command.clone();
        let run = runs_of(&command).join(REUSE_FOR, || async move { run_program(&command, TIMEOUT).await });
        let trouble = match run.wait(CALLER_WAIT_MAX).await {
            RunResult::Outcome(Ok(printed)) => return Ok(printed.credentials(self.account.as_deref())),
            RunResult::Outcome(Err(trouble)) => trouble,
            RunResult::Late { .. } => {
                let text = format!("has not answered for {}", span(CALLER_WAIT_MAX));
                ProgramError { kind: ErrorKind::TimedOut, text }
            }
        };
        let text = format!("`credential_process` of the AWS profile `{}` {}", self.profile, trouble.text);
        Err(CredentialsError::provider_error(Error::new(trouble.kind, text)))
    }
}

impl ProvideCredentials for Program {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl ProfileRole {
    fn of(profile: &Profile) -> Option<Self> {
        if profile.get("web_identity_token_file").is_some() {
            return None;
        }
        let text = |property| profile.get(property).map(str::to_owned);
        Some(Self { arn: text("role_arn")?, external_id: text("external_id"), session_name: text("role_session_name") })
    }
}

/// The JSON that a program prints.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    expiration: Option<OffsetDateTime>,
    account_id: Option<String>,
}

impl Printed {
    fn credentials(self, account: Option<&str>) -> Credentials {
        let mut builder = Credentials::builder()
            .access_key_id(self.access_key_id)
            .secret_access_key(self.secret_access_key)
            .provider_name(PROVIDER);
        builder.set_session_token(self.session_token);
        builder.set_expiry(self.expiration.map(Into::into));
        if let Some(account) = self.account_id.as_deref().or(account) {
            builder = builder.account_id(account);
        }
        builder.build()
    }
}

/// Why a program returned no credentials.
#[derive(Clone, Debug)]
struct ProgramError {
    kind: ErrorKind,
    text: String,
}

fn runs_of(command: &str) -> Arc<Runs> {
    let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(runs.entry(command.to_owned()).or_default())
}

/// Runs a command and reads the credentials that it prints. Its standard output never appears in an error.
async fn run_program(command: &str, within: Duration) -> Result<Printed, ProgramError> {
    let failed = |text: String| ProgramError { kind: ErrorKind::Other, text };
    let late = |_| ProgramError {
        kind: ErrorKind::TimedOut,
        text: format!("did not finish within {} and was stopped", span(within)),
    };
    let output = tokio::time::timeout(within, command::output(command)).await.map_err(late)?;
    let output = output.map_err(|error| match error {
        CommandError::Io(error) => failed(format!("cannot be run: {error}")),
        CommandError::Failed { status, stderr } if stderr.trim().is_empty() => failed(format!("failed with {status}")),
        CommandError::Failed { status, stderr } => failed(format!("failed with {status}: {}", one_line(stderr.trim()))),
    })?;
    let printed = serde_json::from_slice(&output).ok().filter(|printed: &Printed| printed.version == 1);
    printed.ok_or_else(|| {
        let expected = "`Version` 1, `AccessKeyId`, `SecretAccessKey` and, if it expires, `Expiration` (RFC 3339)";
        failed(format!("printed no JSON object with {expected}"))
    })
}

#[cfg(test)]
mod tests {
    use aws_credential_types::attributes::AccountId;

    use super::*;

    #[tokio::test]
    async fn a_program_yields_credentials_or_an_error_without_its_output() {
        let within = Duration::from_secs(20);
        let printed = run_program(
            r#"echo '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s","Expiration":"2030-01-02T03:04:05Z"}'"#,
            within,
        );
        let credentials = printed.await.unwrap().credentials(Some("111122223333"));
        assert_eq!((credentials.access_key_id(), credentials.secret_access_key()), ("A", "s"));
        assert_eq!(credentials.account_id().map(AccountId::as_str), Some("111122223333"));
        assert!(credentials.expiry().is_some() && credentials.session_token().is_none());
        for (command, reason) in [
            ("echo secret; echo log in first >&2; exit 3", "failed with exit status: 3: log in first"),
            ("echo secret", "printed no JSON object with `Version` 1"),
            (r#"echo '{"Version":2,"AccessKeyId":"secret","SecretAccessKey":"secret"}'"#, "printed no JSON object"),
        ] {
            let trouble = run_program(command, within).await.err().unwrap();
            assert!(trouble.text.starts_with(reason) && !trouble.text.contains("secret"), "{}", trouble.text);
        }
    }

    #[tokio::test]
    async fn a_hanging_program_is_stopped() {
        let trouble = run_program("sleep 600", Duration::from_millis(100)).await.err().unwrap();
        assert_eq!(
            (trouble.kind, trouble.text.as_str()),
            (ErrorKind::TimedOut, "did not finish within 100 ms and was stopped")
        );
    }
}
