//! What the answers of AWS mean: one table of error codes.

use crate::aws::identity::IdentityError;
use muster_core::outcome::Code;

/// What an answer other than "registered" means, which is what to do about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The certificate is in this account and region already: a good end.
    Exists,
    /// Too many calls: wait, try again; never counts against the job.
    Throttled,
    /// Trouble of AWS or of the way there: try again. The call may have been executed.
    Transient(Code),
    /// `LimitExceededException`: try again slowly, a few times.
    Limited,
    /// The issuing CA is not registered or not active: an operator can mend that.
    IssuerInactive,
    /// Several registered CAs share the issuer's name: the call must say which one signed.
    Conflict,
    /// AWS refuses this certificate for good.
    Refused(Code),
    /// Our credentials do not work: nobody's job failed.
    Denied,
    /// Whoever has or knows our credentials did not answer: nothing was called.
    Unreached,
}

/// The meaning of every error code that AWS declares for the calls, or is known to send beside those.
const KINDS: [(&str, Kind); 36] = [
    ("ResourceAlreadyExistsException", Kind::Exists),
    ("ThrottlingException", Kind::Throttled),
    ("Throttling", Kind::Throttled),
    ("ThrottledException", Kind::Throttled),
    ("TooManyRequestsException", Kind::Throttled),
    ("RequestLimitExceeded", Kind::Throttled),
    ("RequestThrottled", Kind::Throttled),
    ("RequestThrottledException", Kind::Throttled),
    ("SlowDown", Kind::Throttled),
    ("ServiceUnavailableException", Kind::Transient(Code::ServerError)),
    ("ServiceUnavailable", Kind::Transient(Code::ServerError)),
    ("InternalFailureException", Kind::Transient(Code::ServerError)),
    ("InternalFailure", Kind::Transient(Code::ServerError)),
    ("InternalServerError", Kind::Transient(Code::ServerError)),
    ("LimitExceededException", Kind::Limited),
    ("CertificateStateException", Kind::IssuerInactive),
    ("CertificateValidationException", Kind::Refused(Code::CertificateValidation)),
    ("CertificateConflictException", Kind::Conflict),
    ("RegistrationCodeValidationException", Kind::Refused(Code::RegistrationCode)),
    ("ResourceNotFoundException", Kind::Refused(Code::ResourceNotFound)),
    ("InvalidRequestException", Kind::Refused(Code::InvalidRequest)),
    ("ValidationException", Kind::Refused(Code::InvalidRequest)),
    ("UnauthorizedException", Kind::Denied),
    ("AccessDeniedException", Kind::Denied),
    ("AccessDenied", Kind::Denied),
    ("ForbiddenException", Kind::Denied),
    ("ExpiredToken", Kind::Denied),
    ("ExpiredTokenException", Kind::Denied),
    ("InvalidClientTokenId", Kind::Denied),
    ("UnrecognizedClientException", Kind::Denied),
    ("SignatureDoesNotMatch", Kind::Denied),
    ("InvalidSignatureException", Kind::Denied),
    ("IncompleteSignatureException", Kind::Denied),
    ("MissingAuthenticationTokenException", Kind::Denied),
    ("RequestExpired", Kind::Denied),
    ("OptInRequired", Kind::Denied),
];

/// The right to name a role in a call, as AWS's denials name it.
const PASS_ROLE: &str = "iam:PassRole";

impl Kind {
    /// The meaning of an error code. A code that nobody knows is tried again: it may be new, and the end that follows
    /// can be replayed.
    pub fn of_code(code: &str) -> Self {
        KINDS.iter().find(|(name, _)| *name == code).map_or(Self::Transient(Code::UnknownError), |(_, kind)| *kind)
    }

    /// The meaning of an error code with its message. A denial of a role that a job names is that job's trouble alone: other
    /// calls need no such right.
    pub(super) fn of(code: &str, message: &str) -> Self {
        match Self::of_code(code) {
            Self::Denied if message.contains(PASS_ROLE) => Self::Refused(Code::InvalidRequest),
            kind => kind,
        }
    }

    /// The same of a call for which AWS looks for no CA: its state cannot be what is wrong.
    pub(super) fn where_no_ca_is_looked_for(self) -> Self {
        if self == Self::IssuerInactive { Self::Refused(Code::CertificateState) } else { self }
    }

    /// The meaning of an answer of AWS without an error code.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            429 => Self::Throttled,
            401 | 403 => Self::Denied,
            _ => Self::Transient(Code::ServerError),
        }
    }

    /// The meaning of a call that was not made.
    pub(super) fn without_credentials(fault: &IdentityError) -> Self {
        if fault.is_denial() { Self::Denied } else { Self::Unreached }
    }

    /// The value of the metric label `result`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Exists => "already_exists",
            Self::Throttled => "throttled",
            Self::Transient(Code::Timeout) => "timeout",
            Self::Transient(Code::Transport) | Self::Unreached => "transport",
            Self::Transient(_) => "server_error",
            Self::Limited | Self::IssuerInactive | Self::Conflict | Self::Refused(_) => "refused",
            Self::Denied => "denied",
        }
    }
}

/// The values of the metric label `result`.
pub const RESULT_LABELS: [&str; 8] =
    ["ok", "already_exists", "throttled", "refused", "denied", "server_error", "timeout", "transport"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_error_of_the_calls_has_its_meaning() {
        let declared = [
            ("ResourceAlreadyExistsException", Kind::Exists),
            ("CertificateValidationException", Kind::Refused(Code::CertificateValidation)),
            ("CertificateStateException", Kind::IssuerInactive),
            ("CertificateConflictException", Kind::Conflict),
            ("RegistrationCodeValidationException", Kind::Refused(Code::RegistrationCode)),
            ("ResourceNotFoundException", Kind::Refused(Code::ResourceNotFound)),
            ("InvalidRequestException", Kind::Refused(Code::InvalidRequest)),
            ("ThrottlingException", Kind::Throttled),
            ("UnauthorizedException", Kind::Denied),
            ("ServiceUnavailableException", Kind::Transient(Code::ServerError)),
            ("InternalFailureException", Kind::Transient(Code::ServerError)),
            ("LimitExceededException", Kind::Limited),
        ];
        for (code, kind) in declared {
            assert_eq!(Kind::of_code(code), kind, "{code}");
        }
    }

    #[test]
    fn a_code_that_nobody_knows_is_tried_again() {
        assert_eq!(Kind::of_code("BrandNewException"), Kind::Transient(Code::UnknownError));
    }

    #[test]
    fn a_state_is_of_the_ca_only_where_aws_looks_for_one() {
        let kind = Kind::of_code("CertificateStateException");
        assert_eq!(kind.where_no_ca_is_looked_for(), Kind::Refused(Code::CertificateState));
        assert_eq!(Kind::Throttled.where_no_ca_is_looked_for(), Kind::Throttled);
    }

    #[test]
    fn a_role_that_may_not_be_passed_is_the_trouble_of_one_job() {
        let message =
            "User: arn:aws:iam::123456789012:user/a is not authorized to perform: iam:PassRole on resource: b";
        assert_eq!(Kind::of("AccessDeniedException", message), Kind::Refused(Code::InvalidRequest));
        assert_eq!(
            Kind::of("AccessDeniedException", "not authorized to perform: iot:RegisterCertificate"),
            Kind::Denied
        );
    }

    #[test]
    fn no_code_has_two_meanings() {
        let mut names: Vec<_> = KINDS.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), KINDS.len());
    }

    #[test]
    fn every_label_is_of_the_closed_set() {
        for (_, kind) in KINDS {
            assert!(RESULT_LABELS.contains(&kind.label()), "{kind:?}");
        }
    }
}
