//! The just-in-time provisioning config of a CA: stored and described, never carried out.

use serde::{Deserialize, Serialize};

use super::error::invalid;
use super::rules::check_length;
use crate::answer::AwsError;
use muster_core::role::RoleArn;

/// Maximum length of a template passed inline, in characters.
const BODY_MAX: usize = 10_240;

/// The provisioning template of a CA, inline or by name, and the role that carries it out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvisioningConfig {
    /// The inline template, at most 10,240 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_body: Option<String>,
    /// The ARN of the role, 20 to 2,048 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// The name of an existing template: 1 to 36 letters, digits, `_` and `-`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_name: Option<String>,
}

impl ProvisioningConfig {
    /// Checks the constraints of the API. Does not check whether the template and role exist.
    pub(super) fn check(&self) -> Result<(), AwsError> {
        if self.template_body.is_some() && self.template_name.is_some() {
            return Err(invalid("registrationConfig has both templateBody and templateName, but must have only one"));
        }
        if let Some(body) = &self.template_body {
            check_length("registrationConfig.templateBody", body, 0..=BODY_MAX)?;
        }
        if let Some(arn) = &self.role_arn {
            check_length("registrationConfig.roleArn", arn, 20..=2_048)?;
        }
        self.template_name.as_deref().map_or(Ok(()), check_name)
    }

    /// Returns the role it names, if any.
    pub(super) fn role(&self) -> Result<Option<RoleArn>, AwsError> {
        self.role_arn.as_deref().map(str::parse).transpose().map_err(|_| invalid("roleArn is not the ARN of a role"))
    }
}

/// Checks the name of a template.
pub(super) fn check_name(name: &str) -> Result<(), AwsError> {
    check_length("templateName", name, 1..=36)?;
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
        return Ok(());
    }
    Err(invalid("templateName has characters other than letters, digits, '_' and '-'"))
}
