//! The meaning of AWS's error codes, in one table.

use crate::aws::identity::IdentityError;
use muster_core::outcome::Code;

/// The meaning of an answer that did not register the certificate. It defines the reaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorKind {
    /// The certificate is already registered in this account and region: a success.
    Exists,
    /// Too many calls: wait and retry. Never counts against the job.
    Throttled,
    /// A failure of AWS or the network: retry. The call may have been executed.
    Transient(Code),
    /// `LimitExceededException`: retry slowly, a few times.
    Limited,
    /// The issuing CA is not registered or not active. An operator can fix that.
    IssuerInactive,
    /// Several registered CAs share the issuer's name. The call must name the one that signed.
    Conflict,
    /// AWS refuses this certificate permanently.
    Refused(Code),
    /// Our credentials do not work. Not the fault of any job.
    Denied,
    /// The source of our credentials, or STS, did not answer. No call was made.
    Unreached,
}

/// The meaning of every error code that AWS declares for the calls, or is known to send in addition.
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

/// The permission to name a role in a call, as it appears in AWS's denials.
const PASS_ROLE: &str = "iam:PassRole";

impl ErrorKind {
    /// Returns the meaning of an error code. An unknown code is retried: it may be new, and the outcome can be
    /// replayed.
    pub fn of_code(code: &str) -> Self {
        KINDS.iter().find(|(name, _)| *name == code).map_or(Self::Transient(Code::UnknownError), |(_, kind)| *kind)
    }

    /// Returns the meaning of an error code with its message. If AWS denies the role that a job names, only that job is
    /// affected: other calls do not need that permission.
    pub(super) fn of(code: &str, message: &str) -> Self {
        match Self::of_code(code) {
            Self::Denied if message.contains(PASS_ROLE) => Self::Refused(Code::InvalidRequest),
            kind => kind,
        }
    }

    /// Adjusts the meaning for a call for which AWS does not look for a CA, so that the state of a CA cannot be the
    /// problem.
    pub(super) fn without_ca_lookup(self) -> Self {
        if self == Self::IssuerInactive { Self::Refused(Code::CertificateState) } else { self }
    }

    /// Returns the meaning of an AWS answer without an error code.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            429 => Self::Throttled,
            401 | 403 => Self::Denied,
            _ => Self::Transient(Code::ServerError),
        }
    }

    /// Returns the meaning of a call that was not made for lack of credentials.
    pub(in crate::aws) fn without_credentials(fault: &IdentityError) -> Self {
        if fault.is_denial() { Self::Denied } else { Self::Unreached }
    }

    /// Returns the value of the metric label `result`.
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
    fn every_declared_error_code_is_classified() {
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
    fn unknown_codes_are_retried() {
        assert_eq!(ErrorKind::of_code("BrandNewException"), ErrorKind::Transient(Code::UnknownError));
    }

    #[test]
    fn a_state_error_is_about_the_ca_only_if_aws_looks_for_one() {
        let kind = ErrorKind::of_code("CertificateStateException");
        assert_eq!(kind.without_ca_lookup(), ErrorKind::Refused(Code::CertificateState));
        assert_eq!(ErrorKind::Throttled.without_ca_lookup(), ErrorKind::Throttled);
    }

    #[test]
    fn a_pass_role_denial_affects_only_one_job() {
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
    fn every_label_is_in_the_closed_set() {
        for (_, kind) in KINDS {
            assert!(RESULT_LABELS.contains(&kind.label()), "{kind:?}");
        }
    }
}
