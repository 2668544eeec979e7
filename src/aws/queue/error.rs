//! Errors of SQS calls and of single entries of batch calls.

use std::borrow::Cow;

use crate::aws::identity::{CREDENTIALS_HINT, LATE_HINT};
use crate::aws::sdk_error::{NETWORK_HINT, REGION_HINT};
use muster_core::advice::{Advice, Exit};

/// The error code if the SDK found no credentials to sign a call.
pub const NO_CREDENTIALS: &str = "no credentials";

/// The error code if the source of the credentials does not answer.
pub const CREDENTIALS_LATE: &str = "credentials out of reach";

/// How to fix a KMS denial for an encrypted queue.
pub const KMS_HINT: &str = "allow kms:Decrypt to receivers, and also kms:GenerateDataKey to senders, in the IAM policy \
                            and in the policy of the queue's KMS key; the key must be enabled";

/// Why an SQS call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation}: {code}: {message}")]
pub struct QueueError {
    /// The SQS call.
    pub operation: &'static str,
    /// What the error means.
    pub kind: QueueErrorKind,
    /// SQS's error code, or `unreachable`, [`NO_CREDENTIALS`] or [`CREDENTIALS_LATE`].
    pub code: String,
    /// SQS's message.
    pub message: String,
}

/// What an SQS error means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QueueErrorKind {
    /// The queue does not exist.
    Missing,
    /// The queue is a FIFO queue.
    Fifo,
    /// Our credentials do not work, or lack the permission.
    Denied,
    /// Anything else: retry.
    Transient,
}

/// The error code if something is missing from the answer: the request may or may not have been executed.
pub const UNKNOWN: &str = "not in the answer";

/// The result of one entry of a batch call.
pub type EntryResult = Result<(), EntryError>;

/// Why one entry of a batch call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct EntryError {
    /// SQS's error code.
    pub code: String,
    /// SQS's message.
    pub message: String,
    /// Whether SQS blames the caller. It does so for throttles and denials too.
    pub is_senders_fault: bool,
}

impl EntryError {
    /// Returns whether the entry itself is wrong, so that the same call fails again whatever else is fixed. Only error
    /// codes known to mean that count.
    pub fn is_final(&self) -> bool {
        let code = self.code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(&self.code);
        let is_about_entry = code.starts_with("Invalid")
            || matches!(code, "ReceiptHandleIsInvalid" | "MessageNotInflight" | "MessageTooLong" | "MissingParameter");
        self.is_senders_fault && is_about_entry && QueueErrorKind::of(&self.code) == QueueErrorKind::Transient
    }
}

impl QueueError {
    /// Returns the error for an answer without a required part. Something other than SQS may have sent it.
    pub(super) fn incomplete(operation: &'static str, missing: &str) -> Self {
        let message = format!("the answer has no {missing}; a proxy may have answered in place of SQS");
        Self { operation, kind: QueueErrorKind::Transient, code: UNKNOWN.to_owned(), message }
    }

    /// Returns whether the error is about the KMS key of an encrypted queue.
    pub fn is_about_kms(&self) -> bool {
        kms(&self.code).is_some()
    }

    /// Returns whether AWS refused the signature because it was made for another region.
    fn is_about_region(&self) -> bool {
        self.message.to_lowercase().contains("region")
    }

    /// Returns how to fix the problem.
    pub fn hint(&self) -> &'static str {
        match self.kind {
            QueueErrorKind::Missing => {
                "check `queue.name` and `queue.replay`, and that `aws.region` and the account are those of the queue"
            }
            QueueErrorKind::Fifo => "create a standard queue: jobs need no order, and a FIFO queue would hold them up",
            QueueErrorKind::Denied if self.is_about_kms() => KMS_HINT,
            QueueErrorKind::Denied if self.is_about_region() => REGION_HINT,
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

    /// Returns the error for a FIFO queue. SQS itself would not refuse it before the first message.
    pub(super) fn fifo(name_or_url: &str) -> Self {
        Self {
            operation: "GetQueueUrl",
            kind: QueueErrorKind::Fifo,
            code: "wrong kind of queue".to_owned(),
            message: format!("`{name_or_url}` is a FIFO queue; expected a standard queue"),
        }
    }
}

impl QueueErrorKind {
    /// Returns the kind of an SQS error code.
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

/// Returns the rest of an error code about the key of an encrypted queue, such as `KMS.AccessDeniedException`.
fn kms(code: &str) -> Option<&str> {
    code.strip_prefix("KMS.").or_else(|| code.strip_prefix("Kms"))
}

impl Advice for QueueError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Self::hint(self).into())
    }

    fn exit(&self) -> Exit {
        match self.kind {
            QueueErrorKind::Missing => Exit::Error,
            QueueErrorKind::Denied => Exit::Denied,
            QueueErrorKind::Transient => Exit::Unreachable,
            QueueErrorKind::Fifo => Exit::Problems,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_entry_itself_are_final() {
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
    fn kms_errors_are_denials_except_throttles() {
        for code in ["KMS.AccessDeniedException", "KmsAccessDenied", "KMS.DisabledException", "KMS.OptInRequired"] {
            assert_eq!(QueueErrorKind::of(code), QueueErrorKind::Denied, "{code}");
        }
        for code in ["KMS.ThrottlingException", "KmsThrottled", "InternalError", "RequestThrottled"] {
            assert_eq!(QueueErrorKind::of(code), QueueErrorKind::Transient, "{code}");
        }
    }
}
