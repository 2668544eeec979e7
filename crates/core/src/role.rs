//! The IAM role that is assumed to work in another account. Pure: parses and formats ARNs, makes no calls.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum number of characters in a role's ARN that STS accepts.
const ARN_MAX: usize = 2048;

/// A role, and what is needed to assume it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Role {
    /// Its ARN.
    pub arn: RoleArn,
    /// The external id that its trust policy requires, if any. AWS does not treat it as a secret.
    pub external_id: Option<String>,
}

/// The ARN of an IAM role: `arn:aws:iam::123456789012:role/path/name`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn(String);

/// Text that is not a [`RoleArn`].
#[derive(Debug, thiserror::Error)]
#[error("expected a role's ARN such as `arn:aws:iam::123456789012:role/muster`, found `{0}`")]
pub struct RoleArnError(String);

impl RoleArn {
    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account that the role belongs to, 12 digits.
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).expect("a parsed ARN has an account")
    }

    /// The role's name, without its path.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().expect("a split has a last part")
    }
}

/// Returns whether a text has the form of a role's ARN, in any partition.
fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return false };
    let is_partition = partition.strip_prefix("aws").is_some_and(|rest| all(rest, "-", |c| c.is_ascii_lowercase()));
    let is_account = account.len() == 12 && all(account, "", |c| c.is_ascii_digit());
    let is_name =
        |name: &str| !name.is_empty() && !name.ends_with('/') && all(name, "/_+=,.@-", |c| c.is_ascii_alphanumeric());
    text.len() <= ARN_MAX && is_partition && is_account && resource.strip_prefix("role/").is_some_and(is_name)
}

fn all(text: &str, others: &str, is_one: impl Fn(char) -> bool) -> bool {
    text.chars().all(|c| is_one(c) || others.contains(c))
}

impl FromStr for RoleArn {
    type Err = RoleArnError;

    fn from_str(text: &str) -> Result<Self, RoleArnError> {
        if is_role_arn(text) { Ok(Self(text.to_owned())) } else { Err(RoleArnError(text.to_owned())) }
    }
}

impl TryFrom<String> for RoleArn {
    type Error = RoleArnError;

    fn try_from(text: String) -> Result<Self, RoleArnError> {
        text.parse()
    }
}

impl From<RoleArn> for String {
    fn from(arn: RoleArn) -> Self {
        arn.0
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_gives_its_account_and_role_name() {
        for (text, account, name) in [
            ("arn:aws:iam::123456789012:role/muster", "123456789012", "muster"),
            ("arn:aws-cn:iam::210987654321:role/plants/line-7/muster@eu", "210987654321", "muster@eu"),
            ("arn:aws-us-gov:iam::123456789012:role/a", "123456789012", "a"),
        ] {
            let arn: RoleArn = text.parse().unwrap();
            assert_eq!((arn.account(), arn.name(), arn.as_str()), (account, name, text));
        }
    }

    #[test]
    fn text_that_is_not_a_role_arn_is_refused() {
        for text in [
            "",
            "muster",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/muster/",
            "arn:aws:iam::123456789012:role/mus ter",
            "arn:aws:iam::123456789012:role/mus:ter",
            "arn:aws:iam::12345678901:role/muster",
            "arn:aws:iam::12345678901x:role/muster",
            "arn:aws:iam:eu-west-1:123456789012:role/muster",
            "arn:aws:sts::123456789012:role/muster",
            "arn:aws:iam::123456789012:user/muster",
            "arn:amazon:iam::123456789012:role/muster",
            "arn:aws!:iam::123456789012:role/muster",
            &format!("arn:aws:iam::123456789012:role/{}", "a".repeat(ARN_MAX)),
        ] {
            assert!(text.parse::<RoleArn>().is_err(), "{text}");
        }
    }
}
