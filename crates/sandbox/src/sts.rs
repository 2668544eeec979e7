//! STS: who a caller is, and the roles that it may assume.
//!
//! The sandbox checks no signatures, so any credentials count as those of the account's one user, except those it
//! issued for a role. If the sandbox is configured with a role, IoT accepts only credentials of that role.

mod sessions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::sessions::{CredentialStanding, Session, Sessions};
use super::answer::{AwsError, Reply, escape_xml};
use super::form::Form;
use super::operation::{ApiOperation, AwsService};
use super::roles::Roles;
use super::settings::SandboxSettings;
use muster_core::role::RoleArn;

/// Default duration of a session, in seconds.
const DURATION_DEFAULT: u64 = 3_600;

/// Allowed duration of a session, in seconds: 15 minutes to 12 hours.
const DURATIONS: std::ops::RangeInclusive<u64> = 900..=43_200;

/// The STS of one account.
pub(super) struct Sts {
    account: String,
    roles: Arc<Roles>,
    sessions: Sessions,
}

impl Sts {
    pub(super) fn new(settings: &SandboxSettings, roles: Arc<Roles>) -> Self {
        Self { account: settings.account.clone(), roles, sessions: Sessions::default() }
    }

    /// Expires every session issued so far.
    pub(super) fn expire_sessions(&self) {
        self.sessions.expire(Instant::now());
    }

    /// Checks the credentials of a call, if its service does so.
    ///
    /// # Errors
    /// AWS's error for unknown or expired credentials.
    pub(super) fn authenticate(&self, operation: ApiOperation, head: &Parts) -> Result<(), AwsError> {
        if operation.service() != AwsService::Iot || !self.roles.is_configured() {
            return Ok(());
        }
        match self.sessions.standing(head, Instant::now()) {
            CredentialStanding::Valid(_) => Ok(()),
            CredentialStanding::Expired => Err(AwsError::new(403, "ExpiredTokenException", EXPIRED)),
            CredentialStanding::Unknown => Err(AwsError::new(403, "UnrecognizedClientException", INVALID)),
        }
    }

    /// Answers one STS operation.
    pub(super) fn answer(&self, operation: ApiOperation, request_id: &str, head: &Parts, body: &[u8]) -> Reply {
        let result = match operation {
            ApiOperation::AssumeRole => self.assume_role(head, &Form::read(body))?,
            _ => self.get_caller_identity(head)?,
        };
        Ok(format!(
            "<{operation}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{operation}Result>{result}\
             </{operation}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>\
             </{operation}Response>"
        ))
    }

    fn get_caller_identity(&self, head: &Parts) -> Reply {
        let (arn, id) = self.caller(head)?;
        let account = &self.account;
        Ok(format!("<Arn>{}</Arn><UserId>{}</UserId><Account>{account}</Account>", escape_xml(&arn), escape_xml(&id)))
    }

    /// Returns the caller's ARN and id.
    fn caller(&self, head: &Parts) -> Result<(String, String), AwsError> {
        match self.sessions.standing(head, Instant::now()) {
            CredentialStanding::Valid(session) => Ok((session.arn(&self.account), session.user_id())),
            CredentialStanding::Expired => Err(AwsError::new(403, "ExpiredToken", EXPIRED)),
            CredentialStanding::Unknown => {
                Ok((format!("arn:aws:iam::{}:user/sandbox", self.account), "AIDASANDBOX".to_owned()))
            }
        }
    }

    fn assume_role(&self, head: &Parts, form: &Form) -> Reply {
        let (caller, _) = self.caller(head)?;
        let arn: RoleArn = required(form, "RoleArn")?.parse().map_err(|_| invalid("RoleArn"))?;
        let name = required(form, "RoleSessionName")?;
        if !is_session_name(&name) {
            return Err(invalid("RoleSessionName"));
        }
        let seconds = form.get("DurationSeconds").map_or(Ok(DURATION_DEFAULT), |text| text.parse());
        let seconds = seconds.ok().filter(|seconds| DURATIONS.contains(seconds));
        let lifetime = Duration::from_secs(seconds.ok_or_else(|| invalid("DurationSeconds"))?);
        if !self.roles.trusts(&arn, form.get("ExternalId").as_deref()) {
            let message = format!("User: {caller} is not authorized to perform: sts:AssumeRole on resource: {arn}");
            return Err(AwsError::new(403, "AccessDenied", message));
        }
        let session = Session { role: arn.name().to_owned(), name };
        let keys = self.sessions.begin(session.clone(), Instant::now() + lifetime);
        let expiration =
            (OffsetDateTime::now_utc() + lifetime).replace_nanosecond(0).expect("zero nanoseconds are valid");
        Ok(format!(
            "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
             <SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials>\
             <AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>",
            keys.access_key_id,
            keys.secret_access_key,
            keys.session_token,
            expiration.format(&Rfc3339).expect("RFC 3339 can express the current time"),
            escape_xml(&session.user_id()),
            escape_xml(&session.arn(&self.account)),
        ))
    }
}

const EXPIRED: &str = "The security token included in the request is expired";

const INVALID: &str = "The security token included in the request is invalid.";

fn invalid(field: &str) -> AwsError {
    AwsError::new(400, "ValidationError", format!("1 validation error detected: the value of {field} is not allowed"))
}

/// Returns the value of a required field.
fn required(form: &Form, name: &str) -> Result<String, AwsError> {
    let missing = || AwsError::new(400, "MissingParameter", format!("The request must contain the parameter {name}"));
    form.get(name).ok_or_else(missing)
}

/// Returns whether a session name is valid: 2 to 64 letters, digits and some punctuation.
fn is_session_name(name: &str) -> bool {
    (2..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_field_has_its_own_error() {
        assert_eq!(required(&Form::read(b"Action=AssumeRole"), "Role").unwrap_err().code, "MissingParameter");
    }
}
