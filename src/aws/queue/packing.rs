//! Packs messages into `SendMessageBatch` calls, within the limits of SQS.

use super::{CALL_MAX, OutgoingMessage};

/// Maximum bytes in one call. SQS allows 1 MiB for all messages of a batch together.
pub const CALL_BYTES_MAX: usize = 1 << 20;

/// The size of one call so far.
#[derive(Debug, Default)]
pub struct CallSize {
    n: usize,
    n_bytes: usize,
}

impl CallSize {
    /// Adds a message if the call has room for it. An empty call accepts any message: SQS itself reports one that is
    /// too large.
    pub fn add(&mut self, message: &OutgoingMessage) -> bool {
        let n_bytes = self.n_bytes + message.n_bytes();
        let fits = self.n == 0 || (self.n < CALL_MAX && n_bytes <= CALL_BYTES_MAX);
        if fits {
            (self.n, self.n_bytes) = (self.n + 1, n_bytes);
        }
        fits
    }
}

/// Packs entries into as few calls as possible while keeping their order. `message` returns the message of an entry.
pub fn pack<T>(entries: impl IntoIterator<Item = T>, message: impl Fn(&T) -> &OutgoingMessage) -> Vec<Vec<T>> {
    let (mut calls, mut size) = (Vec::<Vec<T>>::new(), CallSize::default());
    for entry in entries {
        match calls.last_mut() {
            Some(call) if size.add(message(&entry)) => call.push(entry),
            _ => {
                size = CallSize::default();
                size.add(message(&entry));
                calls.push(vec![entry]);
            }
        }
    }
    calls
}

impl OutgoingMessage {
    /// Returns the largest size that SQS might count, in bytes. It includes the message group id, because it is not
    /// documented whether SQS counts that.
    pub fn n_bytes(&self) -> usize {
        self.body.len() + self.group.as_ref().map_or(0, String::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(bodies: &[&str]) -> Vec<usize> {
        let messages = bodies.iter().map(|body| OutgoingMessage { body: (*body).to_owned(), group: None });
        pack(messages, |message| message).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_call_holds_ten_messages_and_one_mebibyte_at_most() {
        let (small, half) = ("x", "x".repeat(CALL_BYTES_MAX / 2));
        let large = "x".repeat(CALL_BYTES_MAX + 1);
        assert_eq!(sizes(&[small; 25]), [10, 10, 5]);
        assert_eq!(sizes(&[&half, &half, &half]), [2, 1]);
        assert_eq!(sizes(&[small, &large, small]), [1, 1, 1]);
        assert!(sizes(&[]).is_empty());
    }
}
