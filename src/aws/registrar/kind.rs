//! What the answers of AWS mean: one table of error codes.

use crate::aws::identity::IdentityError;
use muster_core::outcome::Code;

/// What an answer other than "registered" means, which is what to do about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorKind {
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
const KINDS: [(&str, ErrorKind); 36] = [
    ("ResourceAlreadyExistsException", ErrorKind::Exists),
    ("ThrottlingException", ErrorKind::Throttled),
    ("Throttling", ErrorKind::Throttled),
    ("ThrottledException", ErrorKind::Throttled),
    ("TooManyRequestsException", ErrorKind::Throttled),
    ("RequestLimitExceeded", ErrorKind::Throttled),
    ("RequestThrottled", ErrorKind::Throttled),
    ("RequestThrottledException", ErrorKind::Throttled),
    ("SlowDown", ErrorKind::Throttled),
    ("ServiceUnavailableException", ErrorKind::Transient(Code::ServerError)),
    ("ServiceUnavailable", ErrorKind::Transient(Code::ServerError)),
    ("InternalFailureException", ErrorKind::Transient(Code::ServerError)),
    ("InternalFailure", ErrorKind::Transient(Code::ServerError)),
    ("InternalServerError", ErrorKind::Transient(Code::ServerError)),
    ("LimitExceededException", ErrorKind::Limited),
    ("CertificateStateException", ErrorKind::IssuerInactive),
    ("CertificateValidationException", ErrorKind::Refused(Code::CertificateValidation)),
    ("CertificateConflictException", ErrorKind::Conflict),
    ("RegistrationCodeValidationException", ErrorKind::Refused(Code::RegistrationCode)),
    ("ResourceNotFoundException", ErrorKind::Refused(Code::ResourceNotFound)),
    ("InvalidRequestException", ErrorKind::Refused(Code::InvalidRequest)),
    ("ValidationException", ErrorKind::Refused(Code::InvalidRequest)),
    ("UnauthorizedException", ErrorKind::Denied),
    ("AccessDeniedException", ErrorKind::Denied),
    ("AccessDenied", ErrorKind::Denied),
    ("ForbiddenException", ErrorKind::Denied),
    ("ExpiredToken", ErrorKind::Denied),
    ("ExpiredTokenException", ErrorKind::Denied),
    ("InvalidClientTokenId", ErrorKind::Denied),
    ("UnrecognizedClientException", ErrorKind::Denied),
    ("SignatureDoesNotMatch", ErrorKind::Denied),
    ("InvalidSignatureException", ErrorKind::Denied),
    ("IncompleteSignatureException", ErrorKind::Denied),
    ("MissingAuthenticationTokenException", ErrorKind::Denied),
    ("RequestExpired", ErrorKind::Denied),
    ("OptInRequired", ErrorKind::Denied),
];

/// The right to name a role in a call, as AWS's denials name it.
const PASS_ROLE: &str = "iam:PassRole";

impl ErrorKind {
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
            ("ResourceAlreadyExistsException", ErrorKind::Exists),
            ("CertificateValidationException", ErrorKind::Refused(Code::CertificateValidation)),
            ("CertificateStateException", ErrorKind::IssuerInactive),
            ("CertificateConflictException", ErrorKind::Conflict),
            ("RegistrationCodeValidationException", ErrorKind::Refused(Code::RegistrationCode)),
            ("ResourceNotFoundException", ErrorKind::Refused(Code::ResourceNotFound)),
            ("InvalidRequestException", ErrorKind::Refused(Code::InvalidRequest)),
            ("ThrottlingException", ErrorKind::Throttled),
            ("UnauthorizedException", ErrorKind::Denied),
            ("ServiceUnavailableException", ErrorKind::Transient(Code::ServerError)),
            ("InternalFailureException", ErrorKind::Transient(Code::ServerError)),
            ("LimitExceededException", ErrorKind::Limited),
        ];
        for (code, kind) in declared {
            assert_eq!(ErrorKind::of_code(code), kind, "{code}");
        }
    }

    #[test]
    fn a_code_that_nobody_knows_is_tried_again() {
        assert_eq!(ErrorKind::of_code("BrandNewException"), ErrorKind::Transient(Code::UnknownError));
    }

    #[test]
    fn a_state_is_of_the_ca_only_where_aws_looks_for_one() {
        let kind = ErrorKind::of_code("CertificateStateException");
        assert_eq!(kind.where_no_ca_is_looked_for(), ErrorKind::Refused(Code::CertificateState));
        assert_eq!(ErrorKind::Throttled.where_no_ca_is_looked_for(), ErrorKind::Throttled);
    }

    #[test]
    fn a_role_that_may_not_be_passed_is_the_trouble_of_one_job() {
        let message =
            "User: arn:aws:iam::123456789012:user/a is not authorized to perform: iam:PassRole on resource: b";
        assert_eq!(ErrorKind::of("AccessDeniedException", message), ErrorKind::Refused(Code::InvalidRequest));
        assert_eq!(
            ErrorKind::of("AccessDeniedException", "not authorized to perform: iot:RegisterCertificate"),
            ErrorKind::Denied
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
