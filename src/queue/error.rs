//! What SQS may answer other than what was asked for.

/// The code where the SDK found no credentials to sign a call with.
pub const NO_CREDENTIALS: &str = "no credentials";

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
            | "InvalidSecurity" => Self::Denied,
            _ => Self::Transient,
        }
    }
}
