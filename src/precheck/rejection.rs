//! Why a certificate cannot pass: one variant for each cause, with the facts that a line needs to mend it.

use std::fmt;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::certificate::{Certificate, CertificateError, CertificateId};
use crate::job::CertificateStatus;
use crate::outcome::Code;

use super::{PEM_CHARS_MAX, RSA_BITS_MIN};

/// Why AWS would refuse a job. Its text is safe to log: it never repeats the job's PEM.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// A private key is no part of a certificate and must not be stored.
    #[error("{field} holds a private key")]
    PrivateKey {
        /// Where it stands.
        field: Field,
    },
    /// The text, or the certificate in canonical PEM, is longer than AWS takes.
    #[error("{field} has {found} characters, at most {PEM_CHARS_MAX} are taken")]
    PemTooLong {
        /// Which text.
        field: Field,
        /// Its length in characters.
        found: usize,
    },
    /// There is no readable CERTIFICATE block.
    #[error("certificatePem holds no certificate: {cause}")]
    NotACertificate {
        /// What is missing or damaged.
        cause: CertificateError,
        /// Whether line ends are written as a backslash and an n.
        has_escaped_line_ends: bool,
    },
    /// The line sent what it shall have signed.
    #[error("certificatePem holds a certificate signing request and no certificate")]
    CertificateRequest,
    /// The block holds something else than a certificate, or a damaged one.
    #[error("certificatePem: {0}")]
    Malformed(CertificateError),
    /// The block holds a certificate and more.
    #[error("certificatePem has {bytes} bytes behind the certificate inside its block, none may be there")]
    TrailingData {
        /// How many bytes.
        bytes: usize,
    },
    /// Several certificates that are not a device certificate and, behind it, its CAs.
    #[error("certificatePem holds {found} certificates that are not one device certificate followed by its CAs")]
    SeveralCertificates {
        /// How many.
        found: usize,
    },
    /// A registration cannot set this status.
    #[error("status {status} cannot be set by a registration, only ACTIVE, INACTIVE and REVOKED can")]
    StatusUnusable {
        /// The status that the job wants.
        status: CertificateStatus,
    },
    /// The validity has ended.
    #[error("the certificate expired at {}, checked at {}", rfc3339(*.not_after), rfc3339(*.now))]
    Expired {
        /// The end of the validity.
        not_after: OffsetDateTime,
        /// The time of the check.
        now: OffsetDateTime,
    },
    /// The validity has not begun, and the policy rejects that.
    #[error("the certificate is valid from {} on, checked at {}", rfc3339(*.not_before), rfc3339(*.now))]
    NotYetValid {
        /// The begin of the validity.
        not_before: OffsetDateTime,
        /// The time of the check.
        now: OffsetDateTime,
    },
    /// AWS takes no RSA key this short.
    #[error("the RSA key has {bits} bits, at least {RSA_BITS_MIN} are needed")]
    KeyTooSmall {
        /// The bits of the modulus.
        bits: usize,
    },
    /// AWS takes no key of this kind.
    #[error("the key is {found}, RSA, P-256, P-384 and P-521 are taken")]
    KeyUnsupported {
        /// The algorithm or curve.
        found: String,
    },
    /// AWS takes no signature of this kind.
    #[error("the signature is {found}, RSA, ECDSA and DSA with SHA-256, SHA-384 and SHA-512 are taken")]
    SignatureAlgorithmUnsupported {
        /// The algorithm.
        found: String,
    },
    /// The CA's certificate cannot be read.
    #[error("caCertificatePem: {0}")]
    CaUnreadable(CertificateError),
    /// The CA's certificate is not a CA's.
    #[error("caCertificatePem is the certificate of {subject}, whose basicConstraints do not say CA:true")]
    CaNotACa {
        /// Its subject.
        subject: String,
    },
    /// The job's CA has another name than the issuer.
    #[error("the certificate was issued by {issuer}, caCertificatePem is {ca}")]
    IssuerMismatch {
        /// The leaf's issuer.
        issuer: String,
        /// The CA's subject.
        ca: String,
    },
    /// The CA's key did not make the signature.
    #[error("the {algorithm} signature does not verify under the key of {ca} (CA certificate {ca_id})")]
    SignatureInvalid {
        /// The algorithm of the signature.
        algorithm: String,
        /// The CA's subject.
        ca: String,
        /// Which of the certificates of that name.
        ca_id: CertificateId,
    },
}

/// The PEM fields of a job, in AWS's spelling.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Field {
    /// The device certificate.
    CertificatePem,
    /// The CA that signed it.
    CaCertificatePem,
    /// The CA that is to be registered.
    CaCertificate,
}

impl Rejection {
    pub(super) fn not_a_certificate(cause: CertificateError, text: &str) -> Self {
        Self::NotACertificate { cause, has_escaped_line_ends: text.contains("\\n") }
    }

    pub(super) fn signature_invalid(leaf: &Certificate, ca: &Certificate) -> Self {
        Self::SignatureInvalid { algorithm: leaf.signature_algorithm().to_string(), ca: ca.subject(), ca_id: ca.id() }
    }

    /// The closed code of the cause.
    pub fn code(&self) -> Code {
        match self {
            Self::PrivateKey { .. } => Code::PrivateKey,
            Self::PemTooLong { .. } => Code::PemTooLong,
            Self::NotACertificate { .. } => Code::NotACertificate,
            Self::CertificateRequest => Code::CertificateRequest,
            Self::Malformed(_) => Code::MalformedCertificate,
            Self::TrailingData { .. } => Code::TrailingData,
            Self::SeveralCertificates { .. } => Code::SeveralCertificates,
            Self::StatusUnusable { .. } => Code::StatusUnusable,
            Self::Expired { .. } => Code::Expired,
            Self::NotYetValid { .. } => Code::NotYetValid,
            Self::KeyTooSmall { .. } => Code::KeyTooSmall,
            Self::KeyUnsupported { .. } => Code::KeyUnsupported,
            Self::SignatureAlgorithmUnsupported { .. } => Code::SignatureAlgorithmUnsupported,
            Self::CaUnreadable(_) => Code::CaUnreadable,
            Self::CaNotACa { .. } => Code::CaNotACa,
            Self::IssuerMismatch { .. } => Code::IssuerMismatch,
            Self::SignatureInvalid { .. } => Code::SignatureInvalid,
        }
    }

    /// What mends it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::PrivateKey { .. } => "send the certificate only, and replace the key: it has left its device",
            Self::NotACertificate { has_escaped_line_ends: true, .. } => {
                "the line ends are written as a backslash and an n; send real ones"
            }
            Self::NotACertificate { .. } => {
                "send the text from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
            }
            Self::CertificateRequest => "have the CA sign the request and send the certificate",
            Self::SeveralCertificates { .. } => {
                "send one job for each device certificate, alone or in front of its CAs"
            }
            Self::Expired { .. } => "issue the certificate anew",
            Self::NotYetValid { .. } => "send it again later, or set precheck.not_yet_valid to \"warn\"",
            Self::KeyTooSmall { .. } | Self::KeyUnsupported { .. } => "give the device another key and certificate",
            Self::SignatureAlgorithmUnsupported { .. } => "have the CA sign with SHA-256",
            Self::CaNotACa { .. } | Self::IssuerMismatch { .. } => {
                "send the certificate of the CA that signed this one directly"
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CertificatePem => "certificatePem",
            Self::CaCertificatePem => "caCertificatePem",
            Self::CaCertificate => "caCertificate",
        })
    }
}

/// Writes a time in UTC, to the second as certificates have it. Hostile certificates reach beyond the first and last
/// year that the format knows.
pub(super) fn rfc3339(time: OffsetDateTime) -> String {
    let utc = time.checked_to_offset(UtcOffset::UTC).map(OffsetDateTime::truncate_to_second);
    utc.and_then(|utc| utc.format(&Rfc3339).ok()).unwrap_or_else(|| time.to_string())
}
