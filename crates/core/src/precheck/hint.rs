//! Hints on how to fix a certificate or a request that was rejected.

use super::{Field, Rejection};
use crate::certificate::{CertificateError, InputKind};

/// How to get a verification certificate.
const PROOF: &str =
    "`muster ca register --key` makes one; or have the CA sign one whose common name is the code from `muster ca code`";

impl Rejection {
    /// How to fix it, if that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::PrivateKey { field: Field::CertificatePem | Field::CaCertificatePem } => {
                "send the certificate only, and replace the key: it has left its device"
            }
            Self::PrivateKey { .. } => "send certificates only, and replace the key: others may have read it",
            Self::NotACertificate { has_escaped_line_ends: true, .. } => {
                "the line ends are written as a backslash and an n; send real line ends"
            }
            Self::NotACertificate { cause: CertificateError::Is(kind), .. } => hint_for(*kind),
            Self::NotACertificate { cause: CertificateError::Pem(_), .. } => {
                "copy the certificate again from where it was issued: its text is damaged"
            }
            Self::NotACertificate { .. } => {
                "send the text from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
            }
            Self::Malformed { cause: CertificateError::CutOff { .. }, .. } => "copy the whole file again",
            Self::CertificateRequest { .. } => "have the CA sign the request and send the certificate",
            Self::SeveralCertificates { field: Field::CertificatePem, .. } => {
                "send one job for each device certificate, alone or together with its CAs"
            }
            Self::SeveralCertificates { .. } => "send one certificate, alone or together with its CAs",
            Self::Expired { .. } => "have the CA issue a new certificate",
            Self::NotYetValid { .. } => "resend it later, or set precheck.not_yet_valid to \"warn\"",
            Self::KeyTooSmall { .. } | Self::KeyUnsupported { .. } => "generate another key and a certificate for it",
            Self::SignatureAlgorithmUnsupported { .. } => "have the CA sign the certificate with SHA-256",
            Self::CaNotACa { field: Field::CaCertificate, .. } => {
                "send a CA's certificate; a version 1 root cannot say that it is a CA and must be reissued"
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

/// How to get a certificate from what was sent in its place.
fn hint_for(kind: InputKind) -> &'static str {
    match kind {
        InputKind::Pkcs7 => {
            "`openssl pkcs7 -print_certs -in FILE` writes the certificates in it as PEM; add -inform der for DER"
        }
        InputKind::Pkcs12 => "`openssl pkcs12 -nokeys -in FILE` writes the certificates in it as PEM",
        InputKind::Pem => "decode the base64 once, then send the text",
        InputKind::Request => "have the CA sign the request and send the certificate",
        InputKind::PrivateKey | InputKind::PublicKey | InputKind::RevocationList => {
            "send the certificate that belongs to it"
        }
    }
}
