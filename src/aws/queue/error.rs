//! What SQS may answer other than what was asked for.

use crate::aws::identity::{CREDENTIALS_HINT, LATE_HINT};
use crate::aws::sdk_error::{NETWORK_HINT, REGION_HINT};

/// The code where the SDK found no credentials to sign a call with.
pub const NO_CREDENTIALS: &str = "no credentials";

/// The code where whoever has the credentials does not answer.
pub const CREDENTIALS_LATE: &str = "credentials out of reach";

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
    /// SQS's error code, or `unreachable`, [`NO_CREDENTIALS`] or [`CREDENTIALS_LATE`].
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
    /// SQS says that the caller is to blame; it says so of throttles and denials too.
    pub is_senders_fault: bool,
}

impl EntryError {
    /// Says whether the entry itself is wrong, so that the same call fails again whatever else is fixed. Only codes
    /// that are known to say so count.
    pub fn is_final(&self) -> bool {
        let code = self.code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(&self.code);
        let is_of_entry = code.starts_with("Invalid")
            || matches!(code, "ReceiptHandleIsInvalid" | "MessageNotInflight" | "MessageTooLong" | "MissingParameter");
        self.is_senders_fault && is_of_entry && QueueErrorKind::of(&self.code) == QueueErrorKind::Transient
    }
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

    /// Whether AWS refused the signature because it was made for another region.
    fn is_of_region(&self) -> bool {
        self.message.to_lowercase().contains("region")
    }

    /// How to fix it.
    pub fn hint(&self) -> &'static str {
        match self.kind {
            QueueErrorKind::Missing => {
                "check `queue.name` and `queue.replay`, and that `aws.region` and the account are those of the queue"
            }
            QueueErrorKind::Fifo => "make a standard queue: jobs need no order, and a FIFO queue would hold them up",
            QueueErrorKind::Denied if self.is_of_kms() => KMS_HINT,
            QueueErrorKind::Denied if self.is_of_region() => REGION_HINT,
            QueueErrorKind::Denied if self.code == NO_CREDENTIALS => CREDENTIALS_HINT,
            QueueErrorKind::Denied if self.operation == "SendMessageBatch" => {
                "the credentials need sqs:GetQueueUrl and sqs:SendMessage on the queue"
            }
            QueueErrorKind::Denied => {
                "the credentials need sqs:GetQueueUrl, GetQueueAttributes, ReceiveMessage, DeleteMessage and \
                 ChangeMessageVisibility on the queue"
            }
            QueueErrorKind::Transient if self.code == CREDENTIALS_LATE => LATE_HINT,
            QueueErrorKind::Transient => NETWORK_HINT,
        }
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
    fn only_what_is_wrong_with_an_entry_is_final() {
        let is_final = |code: &str, is_senders_fault| {
            EntryError { code: code.to_owned(), message: String::new(), is_senders_fault }.is_final()
        };
        for code in ["InvalidMessageContents", "InvalidParameterValue", "ReceiptHandleIsInvalid", "MessageNotInflight"]
        {
            assert!(is_final(code, true) && !is_final(code, false), "{code}");
            assert!(is_final(&format!("AWS.SimpleQueueService.{code}"), true), "{code}");
        }
        for code in
            ["RequestThrottled", "KMS.AccessDeniedException", "AccessDenied", "InvalidClientTokenId", "InternalError"]
        {
            assert!(!is_final(code, true), "{code}");
        }
    }

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
