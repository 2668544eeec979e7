//! The SQS errors that the sandbox returns.

use crate::answer::AwsError;

/// Creates an error whose code in the query protocol differs.
fn with_query_code(code: &'static str, query_code: &'static str, message: impl Into<String>) -> AwsError {
    AwsError { query_code: Some(query_code), ..AwsError::new(400, code, message) }
}

/// The queue named in a request does not exist.
pub(super) fn no_queue() -> AwsError {
    let message = "The specified queue does not exist.";
    with_query_code("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", message)
}

/// A queue with that name has different attributes.
pub(super) fn queue_exists(name: &str, attribute: &str) -> AwsError {
    let message = format!("A queue already exists with the same name {name} and a different value for {attribute}");
    with_query_code("QueueNameExists", "QueueAlreadyExists", message)
}

/// A parameter has a value that SQS does not accept.
pub(super) fn invalid_parameter(message: impl Into<String>) -> AwsError {
    with_query_code("InvalidParameterValueException", "InvalidParameterValue", message)
}

/// A parameter is out of its range.
pub(super) fn out_of_range(name: &str, value: i64, low: i64, high: i64) -> AwsError {
    invalid_parameter(format!(
        "Value {value} for parameter {name} is invalid. Reason: Must be between {low} and {high}, if provided."
    ))
}

/// A parameter is missing.
pub(super) fn missing_parameter(name: &str) -> AwsError {
    let message = format!("The request must contain the parameter {name}.");
    with_query_code("MissingRequiredParameterException", "MissingParameter", message)
}

/// The request body is not JSON of the operation's shape.
pub(super) fn unreadable(error: &serde_json::Error) -> AwsError {
    let text = error.to_string();
    match text.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
        Some((field, _)) => missing_parameter(field),
        None => AwsError::new(400, "SerializationException", text),
    }
}

/// A batch call without entries.
pub(super) fn empty_batch() -> AwsError {
    let message = "There should be at least one entry in the request.";
    with_query_code("EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", message)
}

/// A batch call with more than ten entries.
pub(super) fn too_many_entries(n: usize) -> AwsError {
    let message = format!("Maximum number of entries per request are 10. You have sent {n}.");
    with_query_code("TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", message)
}

/// A batch entry id with invalid characters or an invalid length.
pub(super) fn invalid_entry_id() -> AwsError {
    let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at \
                   most 80 letters long.";
    with_query_code("InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", message)
}

/// Two batch entries with the same id.
pub(super) fn repeated_entry_id(id: &str) -> AwsError {
    let message = format!("Id {id} repeated.");
    with_query_code("BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", message)
}

/// A batch whose total size is too large.
pub(super) fn batch_too_long(size: usize) -> AwsError {
    let message = format!("Batch requests cannot be longer than 1048576 bytes. You have sent {size} bytes.");
    with_query_code("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", message)
}

/// A message with characters that XML 1.0 does not allow.
pub(super) fn invalid_characters() -> AwsError {
    AwsError::new(400, "InvalidMessageContents", "Message contains characters outside the allowed set.")
}

/// A receipt handle that was not issued by this queue.
pub(super) fn invalid_receipt(handle: &str) -> AwsError {
    AwsError::new(
        400,
        "ReceiptHandleIsInvalid",
        format!("The input receipt handle \"{handle}\" is not a valid receipt handle."),
    )
}

/// The message of a receipt handle is waiting to be received, so there is no visibility timeout to change.
pub(super) fn not_in_flight() -> AwsError {
    with_query_code("MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", "The message is not in flight.")
}

/// An attribute that queues do not have.
pub(super) fn unknown_attribute(name: &str) -> AwsError {
    AwsError::new(400, "InvalidAttributeName", format!("Unknown Attribute {name}."))
}

/// An attribute with an invalid value.
pub(super) fn invalid_attribute(name: &str, reason: &str) -> AwsError {
    AwsError::new(400, "InvalidAttributeValue", format!("Invalid value for the parameter {name}. Reason: {reason}"))
}
