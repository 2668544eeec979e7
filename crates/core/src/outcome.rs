//! How a job ended, or how one attempt of it went.
//!
//! Every end has a [`Status`], a [`Code`] from one closed set (database column, metric label and log field are the same
//! word) and a free `detail` for people. Pure: no I/O, no clock.

pub mod known;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use time::OffsetDateTime;

use crate::certificate::CertificateId;
use crate::hold::Parking;
use crate::job::CertificateStatus;

/// How a job ended.
#[derive(Clone, Copy, Debug, Display, EnumString, Eq, Hash, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// AWS took the certificate.
    Registered,
    /// The certificate was there before.
    AlreadyRegistered,
    /// The precheck found why AWS would refuse it; no call was spent.
    Rejected,
    /// AWS refused this certificate for good.
    Refused,
    /// Transient trouble outlasted the attempt budget; it can be sent again.
    Exhausted,
    /// Not an end: the job waits in the ledger for what an operator or AWS must mend, and is then sent again.
    Parked,
    /// It was in, and AWS holds it no more: somebody deleted it there.
    Gone,
}

impl Status {
    /// Says which of two ends of one certificate stays: the higher rank, and between ends of rank 1 the later one.
    pub fn rank(self) -> u8 {
        match self {
            Self::Registered => 3,
            Self::AlreadyRegistered => 2,
            Self::Rejected | Self::Refused | Self::Exhausted | Self::Parked | Self::Gone => 1,
        }
    }

    /// Says whether AWS holds the certificate.
    pub fn is_success(self) -> bool {
        self.rank() > 1
    }

    /// Says whether nothing more comes unless somebody asks for it.
    pub fn is_end(self) -> bool {
        self != Self::Parked
    }
}

/// Why a job ended as it did: the closed set behind the database column, the metric label and the log field.
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
    /// AWS answered with the id that we expected.
    Ok,
    /// AWS said that the certificate is there after an attempt of this process whose answer was lost.
    AnswerLost,

    // already_registered
    /// Our own ledger knows it for this account and region; no call was spent.
    Known,
    /// AWS said that it is there.
    Exists,
    /// AWS said that it is there, and the message had been delivered before: probably ours, before a crash.
    Redelivered,

    // rejected
    /// No certificate can be read from the text.
    NotACertificate,
    /// The PEM text is longer than AWS takes.
    PemTooLong,
    /// The text holds a private key.
    PrivateKey,
    /// The text holds a certificate signing request instead of a certificate.
    CertificateRequest,
    /// The DER is not a well-formed X.509 certificate.
    MalformedCertificate,
    /// Bytes follow the certificate inside its PEM block.
    TrailingData,
    /// Several certificates, and the first is not the leaf.
    SeveralCertificates,
    /// The certificate's validity has ended.
    Expired,
    /// The certificate's validity has not begun (only where the policy rejects that).
    NotYetValid,
    /// The key is shorter than AWS takes.
    KeyTooSmall,
    /// The key's algorithm or curve is none that AWS takes.
    KeyUnsupported,
    /// The signature algorithm is none that AWS takes.
    SignatureAlgorithmUnsupported,
    /// The CA certificate of the job cannot be read.
    CaUnreadable,
    /// The CA certificate of the job is not a CA (no basicConstraints CA:true).
    CaNotACa,
    /// The certificate's issuer is not the subject of the job's CA certificate.
    IssuerMismatch,
    /// The signature does not verify under the CA's key.
    SignatureInvalid,
    /// The wanted status is none that a registration can set.
    StatusUnusable,
    /// A field of the call breaks a rule of AWS's: its length, its form or what stands beside it.
    ParameterInvalid,
    /// Mode DEFAULT has no verification certificate.
    VerificationMissing,
    /// Mode `SNI_ONLY` has a verification certificate.
    VerificationUnexpected,
    /// The verification certificate is none that AWS takes.
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
    /// `CertificateStateException` where AWS looks for no CA.
    CertificateState,
    /// `RegistrationCodeValidationException`: the verification certificate does not name the account's registration
    /// code.
    RegistrationCode,
    /// `ResourceNotFoundException`: the role or the template is not there.
    ResourceNotFound,
    /// `InvalidRequestException`.
    InvalidRequest,
    /// AWS answered with an id that is not the SHA-256 of the certificate.
    IdMismatch,

    // exhausted
    /// `ServiceUnavailableException` or `InternalFailureException`, too often.
    ServerError,
    /// No answer in time, too often.
    Timeout,
    /// The connection failed, too often.
    Transport,
    /// `LimitExceededException`, five times.
    LimitExceeded,
    /// An error code that this version does not know, too often.
    UnknownError,

    // parked
    /// `CertificateStateException`: the issuing CA is not registered or not active. An operator can mend that.
    IssuerInactive,
    /// Nearly all of the batch fails for one reason.
    BatchFailing,
    /// The target denies or fails every call, while others work.
    TargetUnavailable,
    /// The target has more work than it can start, while others lack some: the job made room for theirs.
    TargetBusy,
    /// Somebody paused the target or the batch.
    Paused,

    // gone
    /// It was registered, and a reconciliation did not find it at AWS any more.
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

/// One call to AWS, as the ledger keeps it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Attempt {
    /// When the call began.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// AWS's error code, or `ok`, `timeout`, `transport`.
    pub result: String,
    /// AWS's request id, where an answer came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// How long the call took, in milliseconds.
    pub ms: u64,
}

/// How one job ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Why it ended so; its status follows.
    pub code: Code,
    /// What a person needs beyond the code.
    pub detail: Option<String>,
    /// The certificate's id, or the SHA-256 of the PEM text where no certificate can be read.
    pub subject: [u8; 32],
    /// The certificate's id, where one can be read.
    pub certificate_id: Option<CertificateId>,
    /// The certificate's status at AWS, when it was we who set it.
    pub known_status: Option<CertificateStatus>,
    /// The last calls that were made for it, oldest first.
    pub attempts: Vec<Attempt>,
    /// How many calls were made for it.
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
    fn a_good_end_outranks_every_bad_one() {
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
