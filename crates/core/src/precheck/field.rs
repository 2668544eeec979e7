//! The text fields of a job's request.

use std::fmt;

/// A text field of a request. Displays as its path with AWS's own names, except for the device certificate, which may
/// have come in a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Field {
    /// The device certificate.
    CertificatePem,
    /// The CA that signed it.
    CaCertificatePem,
    /// The CA to register.
    CaCertificate,
    /// The certificate that proves possession of the CA's key.
    VerificationCertificate,
    /// The body of the template for devices that register themselves.
    TemplateBody,
    /// The role that provisions what such a template says.
    RoleArn,
    /// The name of such a template.
    TemplateName,
    /// The key of a tag, counted from 0.
    TagKey(usize),
    /// The value of a tag, counted from 0.
    TagValue(usize),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CertificatePem => f.write_str("the device certificate"),
            Self::CaCertificatePem => f.write_str("caCertificatePem"),
            Self::CaCertificate => f.write_str("caCertificate"),
            Self::VerificationCertificate => f.write_str("verificationCertificate"),
            Self::TemplateBody => f.write_str("registrationConfig.templateBody"),
            Self::RoleArn => f.write_str("registrationConfig.roleArn"),
            Self::TemplateName => f.write_str("registrationConfig.templateName"),
            Self::TagKey(at) => write!(f, "tags[{at}].Key"),
            Self::TagValue(at) => write!(f, "tags[{at}].Value"),
        }
    }
}
