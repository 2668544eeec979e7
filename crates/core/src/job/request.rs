//! The three AWS calls that a job can ask for, and the fields of each, with AWS's own names.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::authority::RegisterCaCertificate;
use super::json;
use crate::certificate::{Certificate, chain};

/// The AWS call that a job asks for.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Display,
    EnumString,
    Eq,
    Hash,
    IntoStaticStr,
    JsonSchema,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    VariantArray,
)]
pub enum Operation {
    /// Registers a device certificate under a CA that the account has registered.
    RegisterCertificate,
    /// Registers a device certificate whose CA the account need not have registered.
    RegisterCertificateWithoutCA,
    /// Registers a CA, so that certificates signed by it can be registered.
    RegisterCACertificate,
}

/// The status of a certificate in AWS IoT.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub enum CertificateStatus {
    /// The device may connect. For a CA: certificates signed by it can be registered.
    Active,
    /// The device may not connect. AWS's default.
    Inactive,
    /// Revoked.
    Revoked,
    /// Waiting for a transfer to be accepted. A registration cannot set this status.
    PendingTransfer,
    /// Registered by just-in-time registration. A registration cannot set this status.
    RegisterInactive,
    /// Waiting for activation. A registration cannot set this status.
    PendingActivation,
}

/// The fields of one call.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Request {
    /// The fields of `RegisterCertificate`.
    RegisterCertificate(RegisterCertificate),
    /// The fields of `RegisterCertificateWithoutCA`.
    RegisterCertificateWithoutCa(RegisterCertificateWithoutCa),
    /// The fields of `RegisterCACertificate`.
    RegisterCaCertificate(Box<RegisterCaCertificate>),
}

/// The fields of the `RegisterCertificate` call.
#[derive(Clone, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterCertificate {
    /// The device certificate as PEM.
    #[schemars(length(min = 1, max = 65_536))]
    pub certificate_pem: String,
    /// The CA that signed it, as PEM. AWS needs it only if several CAs share a subject.
    #[schemars(length(min = 1, max = 65_536))]
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ca_certificate_pem: Option<String>,
    /// The status to register it with. AWS's default: INACTIVE.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<CertificateStatus>,
    /// The older way to ask for ACTIVE or INACTIVE, sent to AWS as `status`. If both are given, `status` wins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set_as_active: Option<bool>,
}

/// The fields of the `RegisterCertificateWithoutCA` call.
#[derive(Clone, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterCertificateWithoutCa {
    /// The device certificate as PEM.
    #[schemars(length(min = 1, max = 65_536))]
    pub certificate_pem: String,
    /// The status to register it with. AWS's default: INACTIVE.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<CertificateStatus>,
}

impl Request {
    /// Reads the fields of an operation's call from a JSON object.
    ///
    /// # Errors
    /// Fails if the text is not an object, or if a field is missing, unknown, duplicated or malformed.
    pub fn read(operation: Operation, text: &str) -> Result<Self, serde_json::Error> {
        match operation {
            Operation::RegisterCertificate => json::object(text).map(Self::RegisterCertificate),
            Operation::RegisterCertificateWithoutCA => json::object(text).map(Self::RegisterCertificateWithoutCa),
            Operation::RegisterCACertificate => json::object(text).map(Self::RegisterCaCertificate),
        }
    }

    /// The call that these fields are for.
    pub fn operation(&self) -> Operation {
        match self {
            Self::RegisterCertificate(_) => Operation::RegisterCertificate,
            Self::RegisterCertificateWithoutCa(_) => Operation::RegisterCertificateWithoutCA,
            Self::RegisterCaCertificate(_) => Operation::RegisterCACertificate,
        }
    }

    /// The name of an operation's fields in the schema.
    pub(super) fn schema_name_of(operation: Operation) -> Cow<'static, str> {
        match operation {
            Operation::RegisterCertificate => RegisterCertificate::schema_name(),
            Operation::RegisterCertificateWithoutCA => RegisterCertificateWithoutCa::schema_name(),
            Operation::RegisterCACertificate => RegisterCaCertificate::schema_name(),
        }
    }

    /// The text of the certificate to register.
    pub fn pem(&self) -> &str {
        match self {
            Self::RegisterCertificate(request) => &request.certificate_pem,
            Self::RegisterCertificateWithoutCa(request) => &request.certificate_pem,
            Self::RegisterCaCertificate(request) => &request.ca_certificate,
        }
    }

    /// The certificate to register, found in its text in the same way as the precheck finds it.
    pub fn certificate(&self) -> Option<Certificate> {
        let picked =
            if self.operation().is_of_ca() { chain::find_end(self.pem()) } else { chain::find_device(self.pem()) };
        picked.ok().map(|picked| picked.certificate)
    }

    /// Returns whether the request has a verification certificate, which proves possession of a CA's key.
    pub fn has_proof(&self) -> bool {
        matches!(self, Self::RegisterCaCertificate(request) if request.verification_certificate.is_some())
    }

    /// The status to register the certificate with: the job's, or AWS's default.
    pub fn wanted_status(&self) -> CertificateStatus {
        let status = match self {
            Self::RegisterCertificate(request) => request.sent_status(),
            Self::RegisterCertificateWithoutCa(request) => request.status,
            Self::RegisterCaCertificate(request) => Some(status_for(request.set_as_active)),
        };
        status.unwrap_or(CertificateStatus::Inactive)
    }
}

impl RegisterCertificate {
    /// The status to send: what the job asks for, in the newer or the older way.
    pub fn sent_status(&self) -> Option<CertificateStatus> {
        self.status.or_else(|| self.set_as_active.map(status_for))
    }
}

fn status_for(is_active: bool) -> CertificateStatus {
    if is_active { CertificateStatus::Active } else { CertificateStatus::Inactive }
}

impl Operation {
    /// Returns whether this registers a CA. The other operations register devices, in one list per account.
    pub fn is_of_ca(self) -> bool {
        self == Self::RegisterCACertificate
    }
}

impl From<RegisterCertificate> for Request {
    fn from(request: RegisterCertificate) -> Self {
        Self::RegisterCertificate(request)
    }
}

impl From<RegisterCertificateWithoutCa> for Request {
    fn from(request: RegisterCertificateWithoutCa) -> Self {
        Self::RegisterCertificateWithoutCa(request)
    }
}

impl From<RegisterCaCertificate> for Request {
    fn from(request: RegisterCaCertificate) -> Self {
        Self::RegisterCaCertificate(Box::new(request))
    }
}

/// Prints sizes only: a PEM body never reaches a log.
impl fmt::Debug for RegisterCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterCertificate")
            .field("certificate_pem_bytes", &self.certificate_pem.len())
            .field("ca_certificate_pem_bytes", &self.ca_certificate_pem.as_ref().map(String::len))
            .field("status", &self.status)
            .field("set_as_active", &self.set_as_active)
            .finish()
    }
}

/// Prints sizes only: a PEM body never reaches a log.
impl fmt::Debug for RegisterCertificateWithoutCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterCertificateWithoutCa")
            .field("certificate_pem_bytes", &self.certificate_pem.len())
            .field("status", &self.status)
            .finish()
    }
}
