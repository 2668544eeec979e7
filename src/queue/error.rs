//! What SQS may answer other than what was asked for.

/// The code where the SDK found no credentials to sign a call with.
pub const NO_CREDENTIALS: &str = "no credentials";

/// How to fix a denial by KMS for an encrypted queue.
pub const KMS_HINT: &str = "allow kms:Decrypt to whoever receives and kms:GenerateDataKey too to whoever sends, in the IAM \
                            policy and in the policy of the queue's KMS key; the key must be enabled";

/// Why SQS did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation}: {code}: {message}")]
pub struct QueueError {
    /// The SQS call.
    pub operation: &'static str,
    /// What it means.
    pub kind: QueueErrorKind,
    /// SQS's error code, or `unreachable`, or [`NO_CREDENTIALS`].
    pub code: String,
    /// SQS's message.
    pub message: String,
}

/// What an error of SQS means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QueueErrorKind {
    /// There is no such queue.
    Missing,
    /// It is a FIFO queue.
    Fifo,
    /// Our credentials do not work, or lack the permission.
    Denied,
    /// Anything else: try again.
    Transient,
}

/// The code of what an answer does not say: whatever was asked may have been done or not.
pub const UNKNOWN: &str = "not in the answer";

/// What a batch call did to one entry.
pub type EntryResult = Result<(), EntryError>;

/// Why SQS did not do one entry of a batch call.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct EntryError {
    /// SQS's error code.
    pub code: String,
    /// SQS's message.
    pub message: String,
    /// The entry itself is wrong: sending it again is of no use.
    pub is_senders_fault: bool,
}

impl QueueError {
    /// An answer that lacks what it must have: something else than SQS may have given it.
    pub(super) fn odd(operation: &'static str, lacks: &str) -> Self {
        let message = format!("the answer has no {lacks}; a proxy may have answered in place of SQS");
        Self { operation, kind: QueueErrorKind::Transient, code: UNKNOWN.to_owned(), message }
    }

    /// Says whether it is about the KMS key of an encrypted queue.
    pub fn is_of_kms(&self) -> bool {
        kms(&self.code).is_some()
    }

    /// The refusal of a FIFO queue, which SQS itself does not make before the first message.
    pub(super) fn fifo(name_or_url: &str) -> Self {
        Self {
            operation: "GetQueueUrl",
            kind: QueueErrorKind::Fifo,
            code: "wrong kind of queue".to_owned(),
            message: format!("`{name_or_url}` is a FIFO queue, a standard queue is needed"),
        }
    }
}

impl QueueErrorKind {
    /// The kind of SQS's error code.
    pub(super) fn of(code: &str) -> Self {
        match code {
            "AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist" | "InvalidAddress" => Self::Missing,
            "AccessDenied"
            | "AccessDeniedException"
            | "InvalidClientTokenId"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "InvalidSecurity"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "OptInRequired"
            | "RequestExpired" => Self::Denied,
            _ if kms(code).is_some_and(|rest| !rest.starts_with("Throttl")) => Self::Denied,
            _ => Self::Transient,
        }
    }
}

/// What follows in a code that is about the key of an encrypted queue, such as `KMS.AccessDeniedException`.
fn kms(code: &str) -> Option<&str> {
    code.strip_prefix("KMS.").or_else(|| code.strip_prefix("Kms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_kms_says_is_a_denial_but_for_its_throttle() {
        for code in ["KMS.AccessDeniedException", "KmsAccessDenied", "KMS.DisabledException", "KMS.OptInRequired"] {
            assert_eq!(QueueErrorKind::of(code), QueueErrorKind::Denied, "{code}");
        }
        for code in ["KMS.ThrottlingException", "KmsThrottled", "InternalError", "RequestThrottled"] {
            assert_eq!(QueueErrorKind::of(code), QueueErrorKind::Transient, "{code}");
        }
    }
}
