//! What mends a certificate or a request that cannot pass.

use super::{Field, Rejection};

/// How one comes by a verification certificate.
const PROOF: &str =
    "`muster ca register --key` makes one; or have the CA sign one whose common name is what `muster ca code` prints";

impl Rejection {
    /// What mends it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::PrivateKey { field: Field::CertificatePem | Field::CaCertificatePem } => {
                "send the certificate only, and replace the key: it has left its device"
            }
            Self::PrivateKey { .. } => "send certificates only, and replace the key: others may have read it",
            Self::NotACertificate { has_escaped_line_ends: true, .. } => {
                "the line ends are written as a backslash and an n; send real ones"
            }
            Self::NotACertificate { .. } => {
                "send the text from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
            }
            Self::CertificateRequest { .. } => "have the CA sign the request and send the certificate",
            Self::SeveralCertificates { field: Field::CertificatePem, .. } => {
                "send one job for each device certificate, alone or in front of its CAs"
            }
            Self::SeveralCertificates { .. } => "send one certificate, alone or in front of its CAs",
            Self::Expired { .. } => "issue the certificate anew",
            Self::NotYetValid { .. } => "send it again later, or set precheck.not_yet_valid to \"warn\"",
            Self::KeyTooSmall { .. } | Self::KeyUnsupported { .. } => "make another key and a certificate for it",
            Self::SignatureAlgorithmUnsupported { .. } => "have the certificate signed with SHA-256",
            Self::CaNotACa { field: Field::CaCertificate, .. } => {
                "send a CA's certificate; a version 1 root cannot say that it is one and must be issued anew"
            }
            Self::CaNotACa { .. } | Self::IssuerMismatch { .. } => {
                "send the certificate of the CA that signed this one directly"
            }
            Self::ParameterInvalid(error) => return error.hint(),
            Self::VerificationMissing | Self::VerificationNotSigned { .. } => PROOF,
            Self::VerificationUnexpected => "leave verificationCertificate out, or set certificateMode to DEFAULT",
            Self::VerificationInvalid(cause) => return cause.hint(),
            Self::RegistrationCodeMismatch { .. } => {
                "`muster ca code` prints the code of the account; have the CA sign a certificate with it as common name"
            }
            _ => return None,
        })
    }
}
