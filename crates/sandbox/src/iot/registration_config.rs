//! What just-in-time provisioning shall do with the devices of a CA: kept and described, never carried out.

use serde::{Deserialize, Serialize};

use super::error::invalid;
use super::rules::check_length;
use crate::answer::AwsError;
use muster_core::role::RoleArn;

/// Most characters of a template in the call itself.
const BODY_MAX: usize = 10_240;

/// The provisioning template of a CA, in the call itself or by its name, and the role that carries it out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvisioningConfig {
    /// The template itself, at most 10,240 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_body: Option<String>,
    /// The ARN of the role, 20 to 2,048 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// The name of a template that is there, 1 to 36 letters, digits, `_` and `-`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_name: Option<String>,
}

impl ProvisioningConfig {
    /// Checks the constraints of the API. Whether template and role are there is another question.
    pub(super) fn check(&self) -> Result<(), AwsError> {
        if self.template_body.is_some() && self.template_name.is_some() {
            return Err(invalid("registrationConfig has both templateBody and templateName, wanted is one of them"));
        }
        if let Some(body) = &self.template_body {
            check_length("registrationConfig.templateBody", body, 0..=BODY_MAX)?;
        }
        if let Some(arn) = &self.role_arn {
            check_length("registrationConfig.roleArn", arn, 20..=2_048)?;
        }
        self.template_name.as_deref().map_or(Ok(()), check_name)
    }

    /// The role that it names, if it names one.
    pub(super) fn role(&self) -> Result<Option<RoleArn>, AwsError> {
        self.role_arn.as_deref().map(str::parse).transpose().map_err(|_| invalid("roleArn is no ARN of a role"))
    }
}

/// Checks the name of a template.
pub(super) fn check_name(name: &str) -> Result<(), AwsError> {
    check_length("templateName", name, 1..=36)?;
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
        return Ok(());
    }
    Err(invalid("templateName has other characters than letters, digits, '_' and '-'"))
}
