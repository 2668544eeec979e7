//! The fields of the `RegisterCACertificate` call.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// The fields of the `RegisterCACertificate` call.
#[derive(Clone, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterCaCertificate {
    /// The CA's certificate as PEM.
    #[schemars(length(min = 1, max = 65_536))]
    pub ca_certificate: String,
    /// A certificate signed by the CA, with the account's registration code as its common name. Mode DEFAULT requires
    /// it, mode `SNI_ONLY` forbids it.
    #[schemars(length(min = 1, max = 65_536))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verification_certificate: Option<String>,
    /// Whether certificates signed by the CA can be registered at once. AWS's default: false.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub set_as_active: bool,
    /// Whether devices may register their own certificates when they first connect. AWS's default: false.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub allow_auto_registration: bool,
    /// What AWS provisions for a device that registers its own certificate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub registration_config: Option<RegistrationConfig>,
    /// The tags of the CA.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<Tag>,
    /// How AWS determines the account of a device that connects. AWS's default: DEFAULT.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate_mode: Option<CertificateMode>,
}

/// What AWS provisions for a device that registers its own certificate.
#[derive(Clone, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistrationConfig {
    /// The provisioning template, as JSON text.
    #[schemars(length(max = 10_240))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub template_body: Option<String>,
    /// The ARN of the role that AWS assumes to provision it.
    #[schemars(length(min = 20, max = 2_048))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role_arn: Option<String>,
    /// The name of a provisioning template in the account.
    #[schemars(length(min = 1, max = 36), extend("pattern" = "^[0-9A-Za-z_-]+$"))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub template_name: Option<String>,
}

/// A tag.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Tag {
    /// The key, different from every other tag's.
    #[schemars(length(min = 1, max = 128))]
    pub key: String,
    /// The value.
    #[schemars(length(max = 256))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<String>,
}

/// How AWS determines the account of a device that connects. A device certificate inherits it from its CA.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Display,
    EnumString,
    Eq,
    Hash,
    IntoStaticStr,
    JsonSchema,
    PartialEq,
    Serialize,
    VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum CertificateMode {
    /// By the CA, which only one account in a region can register.
    #[default]
    Default,
    /// By the server name that the device sends.
    SniOnly,
}

impl RegisterCaCertificate {
    /// The mode to register the CA with: the job's, or AWS's default.
    pub fn mode(&self) -> CertificateMode {
        self.certificate_mode.unwrap_or_default()
    }
}

/// Prints sizes only: a PEM body never reaches a log.
impl fmt::Debug for RegisterCaCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterCaCertificate")
            .field("ca_certificate_bytes", &self.ca_certificate.len())
            .field("verification_certificate_bytes", &self.verification_certificate.as_ref().map(String::len))
            .field("set_as_active", &self.set_as_active)
            .field("allow_auto_registration", &self.allow_auto_registration)
            .field("registration_config", &self.registration_config)
            .field("tags", &self.tags.len())
            .field("certificate_mode", &self.certificate_mode)
            .finish()
    }
}

/// Prints the template's size only: it may hold anything.
impl fmt::Debug for RegistrationConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationConfig")
            .field("template_body_bytes", &self.template_body.as_ref().map(String::len))
            .field("role_arn", &self.role_arn)
            .field("template_name", &self.template_name)
            .finish()
    }
}
