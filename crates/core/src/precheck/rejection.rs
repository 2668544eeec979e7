//! Why a certificate is rejected: one variant for each cause, with the facts that a producer needs to fix it.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::certificate::{Certificate, CertificateError, CertificateId};
use crate::job::CertificateStatus;
use crate::outcome::Code;

use super::rules::{PEM_CHARS_MAX, RSA_BITS_MIN};
use super::{Field, ParameterError};

/// Why AWS would refuse a job. Its text is safe to log: it never repeats the job's PEM.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// There is a private key, which is not part of a certificate and must not be stored.
    #[error("a private key was sent with {field}")]
    PrivateKey {
        /// The field that contains it.
        field: Field,
    },
    /// The text, or the certificate in canonical PEM, is longer than AWS accepts.
    #[error("{field} has {found} characters, AWS accepts at most {PEM_CHARS_MAX}")]
    PemTooLong {
        /// The field.
        field: Field,
        /// Its length in characters.
        found: usize,
    },
    /// There is no readable CERTIFICATE block.
    #[error("{field} cannot be read: {cause}")]
    NotACertificate {
        /// The field.
        field: Field,
        /// What is missing or damaged.
        cause: CertificateError,
        /// Whether line ends are written as a backslash and an n.
        has_escaped_line_ends: bool,
    },
    /// A certificate signing request was sent instead of a certificate.
    #[error("a certificate signing request was sent instead of {field}")]
    CertificateRequest {
        /// The field.
        field: Field,
    },
    /// The block holds a damaged certificate.
    #[error("{field} cannot be read: {cause}")]
    Malformed {
        /// The field.
        field: Field,
        /// What is damaged.
        cause: CertificateError,
    },
    /// The block holds a certificate and more.
    #[error("{bytes} bytes that are not padding follow {field} inside its block")]
    TrailingData {
        /// The field.
        field: Field,
        /// How many bytes.
        bytes: usize,
    },
    /// There are several certificates, and it is unclear which one to register.
    #[error("{found} certificates were sent as {field}, expected exactly one {} with its CAs", subject_of(*.field))]
    SeveralCertificates {
        /// The field.
        field: Field,
        /// How many.
        found: usize,
    },
    /// A registration cannot set this status.
    #[error("status {status} cannot be set by a registration, only ACTIVE, INACTIVE or REVOKED")]
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
    #[error("the certificate is not valid before {}, checked at {}", rfc3339(*.not_before), rfc3339(*.now))]
    NotYetValid {
        /// The start of the validity.
        not_before: OffsetDateTime,
        /// The time of the check.
        now: OffsetDateTime,
    },
    /// AWS accepts no RSA key this short.
    #[error("the RSA key has {bits} bits, AWS requires at least {RSA_BITS_MIN}")]
    KeyTooSmall {
        /// The bits of the modulus.
        bits: usize,
    },
    /// AWS accepts no key of this kind.
    #[error("the key is {found}; AWS accepts RSA, P-256, P-384 and P-521")]
    KeyUnsupported {
        /// The algorithm or curve.
        found: String,
    },
    /// AWS accepts no signature of this kind.
    #[error("the signature is {found}; AWS accepts RSA, ECDSA and DSA with SHA-256, SHA-384 or SHA-512")]
    SignatureAlgorithmUnsupported {
        /// The algorithm.
        found: String,
    },
    /// The CA's certificate cannot be read.
    #[error("caCertificatePem cannot be read: {0}")]
    CaUnreadable(CertificateError),
    /// The CA's certificate is not a CA's.
    #[error("{field} is the certificate of {subject}, whose basicConstraints do not say CA:true")]
    CaNotACa {
        /// The field.
        field: Field,
        /// Its subject.
        subject: String,
    },
    /// The job's CA has a different name than the issuer.
    #[error("the certificate was issued by {issuer}, but the CA sent with it is {ca}")]
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
        /// The id of that CA certificate, because several may have the same name.
        ca_id: CertificateId,
    },
    /// A field other than the certificates breaks an AWS rule.
    #[error(transparent)]
    ParameterInvalid(#[from] ParameterError),
    /// Mode DEFAULT requires proof of possession of the CA's key.
    #[error("verificationCertificate is missing; certificateMode DEFAULT requires it")]
    VerificationMissing,
    /// Mode `SNI_ONLY` forbids a verification certificate.
    #[error("verificationCertificate is set; certificateMode SNI_ONLY forbids it")]
    VerificationUnexpected,
    /// The verification certificate is not one that AWS accepts.
    #[error("the verification certificate cannot be used: {0}")]
    VerificationInvalid(Box<Rejection>),
    /// The CA did not sign the verification certificate.
    #[error(
        "verificationCertificate was issued by {issuer} and not signed by the key of {ca} (CA certificate {ca_id})"
    )]
    VerificationNotSigned {
        /// Its issuer.
        issuer: String,
        /// The CA's subject.
        ca: String,
        /// The id of that CA certificate, because several may have the same name.
        ca_id: CertificateId,
    },
    /// The verification certificate was made for another account.
    #[error("verificationCertificate has the subject {subject}, its common name must be the registration code {code}")]
    RegistrationCodeMismatch {
        /// Its subject.
        subject: String,
        /// The registration code of the account.
        code: String,
    },
}

impl Rejection {
    pub(super) fn signature_invalid(leaf: &Certificate, ca: &Certificate) -> Self {
        Self::SignatureInvalid { algorithm: leaf.signature_algorithm().to_string(), ca: ca.subject(), ca_id: ca.id() }
    }

    /// The code of the cause, from a closed set.
    pub fn code(&self) -> Code {
        match self {
            Self::PrivateKey { .. } => Code::PrivateKey,
            Self::PemTooLong { .. } => Code::PemTooLong,
            Self::NotACertificate { .. } => Code::NotACertificate,
            Self::CertificateRequest { .. } => Code::CertificateRequest,
            Self::Malformed { .. } => Code::MalformedCertificate,
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
            Self::ParameterInvalid(_) => Code::ParameterInvalid,
            Self::VerificationMissing => Code::VerificationMissing,
            Self::VerificationUnexpected => Code::VerificationUnexpected,
            Self::VerificationInvalid(_) => Code::VerificationInvalid,
            Self::VerificationNotSigned { .. } => Code::VerificationNotSigned,
            Self::RegistrationCodeMismatch { .. } => Code::RegistrationCodeMismatch,
        }
    }
}

/// What a field holds.
fn subject_of(field: Field) -> &'static str {
    match field {
        Field::CertificatePem => "device certificate",
        Field::CaCertificate => "CA certificate",
        _ => "certificate",
    }
}

/// Formats a time in UTC, to the second, like the dates in certificates. Hostile certificates have years beyond the
/// first and last that RFC 3339 can represent, so these are formatted differently.
pub(super) fn rfc3339(time: OffsetDateTime) -> String {
    let utc = time.checked_to_offset(UtcOffset::UTC).map(OffsetDateTime::truncate_to_second);
    utc.and_then(|utc| utc.format(&Rfc3339).ok()).unwrap_or_else(|| time.to_string())
}
