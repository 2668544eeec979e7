//! Outcomes of jobs, and the attempts that led to them.
//!
//! Every outcome has a [`Status`], a [`Code`] from one closed set (the database column, the metric label and the log
//! field are the same word) and a free-text `detail`. Pure: no I/O, no clock.

pub mod known;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use time::OffsetDateTime;

use crate::certificate::CertificateId;
use crate::hold::Parking;
use crate::job::CertificateStatus;

/// Maximum number of attempts kept in an outcome and in a row of the ledger: enough to see a pattern, small enough for
/// millions of rows.
pub const ATTEMPTS_KEPT: usize = 10;

/// The status of a job.
#[derive(
    Clone, Copy, Debug, Deserialize, Display, EnumString, Eq, Hash, IntoStaticStr, PartialEq, Serialize, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// AWS registered the certificate.
    Registered,
    /// The certificate was already registered.
    AlreadyRegistered,
    /// The precheck found why AWS would refuse the certificate; no call was made.
    Rejected,
    /// AWS refused this certificate for good.
    Refused,
    /// Transient errors used up the attempt budget; the job can be resent.
    Exhausted,
    /// Not final: the job waits in the ledger until an operator or AWS fixes the cause, and is then resent.
    Parked,
    /// The certificate was registered, and AWS no longer has it: it was deleted there.
    Gone,
}

impl Status {
    /// Decides which of two outcomes of one certificate is kept: the higher rank or, if both have rank 1, the later
    /// one.
    pub fn rank(self) -> u8 {
        match self {
            Self::Registered => 3,
            Self::AlreadyRegistered => 2,
            Self::Rejected | Self::Refused | Self::Exhausted | Self::Parked | Self::Gone => 1,
        }
    }

    /// Returns whether AWS has the certificate.
    pub fn is_success(self) -> bool {
        self.rank() > 1
    }

    /// Returns whether the status is final: nothing more happens unless an operator asks for it.
    pub fn is_outcome(self) -> bool {
        self != Self::Parked
    }
}

/// The reason for an outcome: the closed set behind the database column, the metric label and the log field.
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
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Code {
    // registered
    /// AWS returned the expected id.
    Ok,
    /// AWS reported that the certificate exists, after an attempt of this process whose response was lost.
    AnswerLost,

    // already_registered
    /// The ledger already has the certificate for this account and region; no call was made.
    Known,
    /// AWS reported that the certificate exists.
    Exists,
    /// AWS reported that the certificate exists, and the message had been delivered before: Muster probably registered
    /// it before a crash.
    Redelivered,

    // rejected
    /// No certificate can be read from the text.
    NotACertificate,
    /// The PEM text is longer than AWS accepts.
    PemTooLong,
    /// The text holds a private key.
    PrivateKey,
    /// The text holds a certificate signing request instead of a certificate.
    CertificateRequest,
    /// The DER is not a well-formed X.509 certificate.
    MalformedCertificate,
    /// Bytes follow the certificate inside its PEM block.
    TrailingData,
    /// There are several certificates, and it is unclear which one to register.
    SeveralCertificates,
    /// The certificate's validity has ended.
    Expired,
    /// The certificate's validity has not begun (only if the policy rejects that).
    NotYetValid,
    /// The key is shorter than AWS accepts.
    KeyTooSmall,
    /// AWS does not accept the key's algorithm or curve.
    KeyUnsupported,
    /// AWS does not accept the signature algorithm.
    SignatureAlgorithmUnsupported,
    /// The CA certificate of the job cannot be read.
    CaUnreadable,
    /// The CA certificate of the job is not a CA (no basicConstraints CA:true).
    CaNotACa,
    /// The certificate's issuer is not the subject of the job's CA certificate.
    IssuerMismatch,
    /// The signature does not verify under the CA's key.
    SignatureInvalid,
    /// A registration cannot set the wanted status.
    StatusUnusable,
    /// A field of the call breaks an AWS rule: about its length, its format or the fields next to it.
    ParameterInvalid,
    /// Mode DEFAULT was requested without a verification certificate.
    VerificationMissing,
    /// Mode `SNI_ONLY` was requested with a verification certificate.
    VerificationUnexpected,
    /// AWS does not accept the verification certificate.
    VerificationInvalid,
    /// The CA did not sign the verification certificate.
    VerificationNotSigned,
    /// The verification certificate's common name is not the account's registration code.
    RegistrationCodeMismatch,

    // refused
    /// `CertificateValidationException`.
    CertificateValidation,
    /// `CertificateConflictException`: several registered CAs share the issuer's name.
    CertificateConflict,
    /// `CertificateStateException` from a call for which AWS does not look for a CA.
    CertificateState,
    /// `RegistrationCodeValidationException`: the verification certificate does not name the account's registration
    /// code.
    RegistrationCode,
    /// `ResourceNotFoundException`: the role or the template does not exist.
    ResourceNotFound,
    /// `InvalidRequestException`.
    InvalidRequest,
    /// AWS returned an id that is not the SHA-256 of the certificate.
    IdMismatch,

    // exhausted
    /// `ServiceUnavailableException` or `InternalFailureException`, too often.
    ServerError,
    /// No response in time, too often.
    Timeout,
    /// The connection failed, too often.
    Transport,
    /// `LimitExceededException`, five times.
    LimitExceeded,
    /// An error code that this version does not know, too often.
    UnknownError,

    // parked
    /// `CertificateStateException`: the issuing CA is not registered or not active. An operator can fix that.
    IssuerInactive,
    /// Nearly all of the batch fails for the same reason.
    BatchFailing,
    /// Every call to the target is denied or fails, while other targets work.
    TargetUnavailable,
    /// The target has more work than it can start, while other targets are underfed: it makes room for theirs.
    TargetBusy,
    /// An operator paused the target or the batch.
    Paused,

    // gone
    /// The certificate was registered, and a reconciliation no longer found it in AWS.
    Deleted,
}

impl Code {
    /// The code's name: the database column, the metric label, the log field.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The status that the code belongs to.
    pub fn status(self) -> Status {
        use Code as C;
        match self {
            C::Ok | C::AnswerLost => Status::Registered,
            C::Known | C::Exists | C::Redelivered => Status::AlreadyRegistered,
            C::NotACertificate
            | C::PemTooLong
            | C::PrivateKey
            | C::CertificateRequest
            | C::MalformedCertificate
            | C::TrailingData
            | C::SeveralCertificates
            | C::Expired
            | C::NotYetValid
            | C::KeyTooSmall
            | C::KeyUnsupported
            | C::SignatureAlgorithmUnsupported
            | C::CaUnreadable
            | C::CaNotACa
            | C::IssuerMismatch
            | C::SignatureInvalid
            | C::StatusUnusable
            | C::ParameterInvalid
            | C::VerificationMissing
            | C::VerificationUnexpected
            | C::VerificationInvalid
            | C::VerificationNotSigned
            | C::RegistrationCodeMismatch => Status::Rejected,
            C::CertificateValidation
            | C::CertificateConflict
            | C::CertificateState
            | C::RegistrationCode
            | C::ResourceNotFound
            | C::InvalidRequest
            | C::IdMismatch => Status::Refused,
            C::ServerError | C::Timeout | C::Transport | C::LimitExceeded | C::UnknownError => Status::Exhausted,
            C::IssuerInactive | C::BatchFailing | C::TargetUnavailable | C::TargetBusy | C::Paused => Status::Parked,
            C::Deleted => Status::Gone,
        }
    }
}

/// One call to AWS, as the ledger records it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Attempt {
    /// When the call began.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// AWS's error code, or `ok`, `timeout`, `transport`.
    pub result: String,
    /// AWS's request id, if there was a response.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// How long the call took, in milliseconds.
    pub ms: u64,
}

/// The outcome of one job.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The reason; the status follows from it.
    pub code: Code,
    /// What an operator needs to know beyond the code.
    pub detail: Option<String>,
    /// The certificate's id, or the SHA-256 of the PEM text if no certificate can be read.
    pub subject: [u8; 32],
    /// The certificate's id, if one can be read.
    pub certificate_id: Option<CertificateId>,
    /// The certificate's status in AWS, if Muster set it.
    pub known_status: Option<CertificateStatus>,
    /// The last calls made for the job, oldest first.
    pub attempts: Vec<Attempt>,
    /// How many calls were made for the job.
    pub n_attempts: usize,
    /// What a parked job waits for.
    pub parking: Option<Parking>,
}

impl Outcome {
    /// The status that follows from the code.
    pub fn status(&self) -> Status {
        self.code.status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_outranks_every_other_status() {
        for &status in Status::VARIANTS {
            assert_eq!(status.is_success(), status.rank() > Status::Refused.rank(), "{status}");
        }
        assert!(Status::Registered.rank() > Status::AlreadyRegistered.rank());
    }

    #[test]
    fn code_names_are_distinct_and_read_back() {
        for &code in Code::VARIANTS {
            assert_eq!(code.as_str().parse::<Code>(), Ok(code));
        }
    }
}
