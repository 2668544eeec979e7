//! Reads SQS answers and accepts only what they state: a proxy may have answered in place of SQS.

use aws_sdk_sqs::types::BatchResultErrorEntry;
use md5::{Digest, Md5};

use super::error::UNKNOWN;
use super::{EntryError, EntryResult, QueueError};
use crate::aws::sdk_error;

/// Returns the result of each of the `n` entries of a batch call. An entry is done only if the answer says so. One that
/// the answer does not mention may or may not be done.
///
/// # Errors
/// The answer mentions no entry.
pub(super) fn by_entry(
    operation: &'static str,
    n: usize,
    done: impl Iterator<Item = (String, EntryResult)>,
    failed: Vec<BatchResultErrorEntry>,
) -> Result<Vec<EntryResult>, QueueError> {
    let mut results: Vec<Option<EntryResult>> = vec![None; n];
    let failed = failed.into_iter().map(|entry| {
        let (message, is_senders_fault) = (entry.message.unwrap_or_default(), entry.sender_fault);
        let [code, message] = [entry.code, message].map(|text| sdk_error::one_line(&text));
        (entry.id, Err(EntryError { code, message, is_senders_fault }))
    });
    for (id, result) in done.chain(failed) {
        if let Some(entry) = index_of(&id).and_then(|i| results.get_mut(i)) {
            *entry = Some(result);
        }
    }
    if n > 0 && results.iter().all(Option::is_none) {
        return Err(QueueError::incomplete(operation, "entries"));
    }
    Ok(results.into_iter().map(|result| result.unwrap_or_else(|| Err(not_mentioned()))).collect())
}

/// Returns the index of an entry in its call, from its id.
pub(super) fn index_of(id: &str) -> Option<usize> {
    id.parse().ok()
}

/// Compares a body with the checksum that SQS computed of it.
///
/// # Errors
/// They differ, so something on the way changed the body, or there is no checksum.
pub(super) fn check_md5(body: &str, md5: &str) -> EntryResult {
    if hex::encode(Md5::digest(body)) == md5 {
        return Ok(());
    }
    let message = if md5.is_empty() {
        "the answer has no checksum of the body; a proxy may have answered in place of SQS"
    } else {
        "the body at SQS is different: something on the way changed it"
    };
    let message = message.to_owned();
    Err(EntryError { code: "wrong checksum".to_owned(), message, is_senders_fault: false })
}

/// Returns the queue URL of an answer.
///
/// # Errors
/// The answer has none.
pub(super) fn url(operation: &'static str, url: Option<String>) -> Result<String, QueueError> {
    url.filter(|url| !url.is_empty()).ok_or_else(|| QueueError::incomplete(operation, "QueueUrl"))
}

/// Returns the error for an entry that the answer does not mention.
pub fn not_mentioned() -> EntryError {
    let message = "it may or may not be done".to_owned();
    EntryError { code: UNKNOWN.to_owned(), message, is_senders_fault: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(n: usize, done: &[&str], failed: &[&str]) -> Result<Vec<EntryResult>, QueueError> {
        let done = done.iter().map(|id| ((*id).to_owned(), Ok(())));
        let failed = failed.iter().map(|id| BatchResultErrorEntry::builder().id(*id).code("Busy").sender_fault(false));
        by_entry("SendMessageBatch", n, done, failed.map(|entry| entry.build().unwrap()).collect())
    }

    fn codes(results: Vec<EntryResult>) -> Vec<String> {
        results.into_iter().map(|result| result.map_or_else(|error| error.code, |()| "done".to_owned())).collect()
    }

    #[test]
    fn an_entry_is_done_only_if_the_answer_says_so() {
        assert_eq!(codes(of(4, &["0", "3"], &["1"]).unwrap()), ["done", "Busy", UNKNOWN, "done"]);
        assert_eq!(codes(of(2, &["1", "7", "x"], &[]).unwrap()), [UNKNOWN, "done"]);
        assert_eq!(codes(of(1, &["0"], &["0"]).unwrap()), ["Busy"], "done and failed at once");
    }

    #[test]
    fn an_answer_that_mentions_no_entry_is_an_error() {
        for (done, failed) in [(&[][..], &[][..]), (&["7", ""], &["x"])] {
            let error = of(2, done, failed).unwrap_err();
            assert_eq!((error.code.as_str(), error.operation), (UNKNOWN, "SendMessageBatch"));
        }
        assert!(of(0, &[], &[]).unwrap().is_empty());
    }

    #[test]
    fn a_body_changed_in_transit_is_detected() {
        assert!(check_md5("", "d41d8cd98f00b204e9800998ecf8427e").is_ok());
        assert!(check_md5("a", "d41d8cd98f00b204e9800998ecf8427e").is_err());
        assert!(check_md5("", "").is_err());
    }
}
