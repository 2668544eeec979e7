//! Shows messages to a watcher just before a call deletes them.
//!
//! The call waits for the watcher, so the watcher sees the state before the delete.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use super::message::Receipt;
use super::receipts::handles;
use super::{Sqs, name_in};

/// A message that a call is about to delete.
#[derive(Clone, Debug)]
pub struct Deleting {
    /// The name of its queue.
    pub queue: String,
    /// Its id.
    pub message_id: String,
    /// Its body.
    pub body: Arc<str>,
}

type WatcherFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Inspects messages before they are deleted.
type Watcher = Arc<dyn Fn(Vec<Deleting>) -> WatcherFuture + Send + Sync>;

/// The watcher of all deletes, if there is one.
#[derive(Default)]
pub(super) struct DeleteWatch(Mutex<Option<Watcher>>);

impl DeleteWatch {
    fn watcher(&self) -> Option<Watcher> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Sqs {
    /// Makes every delete wait for `watcher` from now on.
    pub(crate) fn watch_deletes<W>(&self, watcher: impl Fn(Vec<Deleting>) -> W + Send + Sync + 'static)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let watcher: Watcher = Arc::new(move |messages| Box::pin(watcher(messages)));
        *self.deletes.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
    }

    /// Shows the watcher the messages of a delete call, whether or not its receipts are from the latest delivery.
    pub(super) async fn show_deletes(&self, body: &[u8]) {
        if let Some(watcher) = self.deletes.watcher() {
            let messages = self.named_in(body);
            watcher(messages).await;
        }
    }

    /// Returns the messages of a delete call that still exist; none if the call cannot be parsed.
    fn named_in(&self, body: &[u8]) -> Vec<Deleting> {
        let Ok((queue_url, handles)) = handles(body) else { return vec![] };
        let mut queues = self.queues();
        let Ok(queue) = queues.at(&queue_url) else { return vec![] };
        let receipts = handles.iter().filter_map(|handle| Receipt::read(handle));
        let messages = receipts.filter_map(|receipt| queue.find(receipt.number));
        let show = |message: &super::message::QueuedMessage| Deleting {
            queue: name_in(&queue_url).to_owned(),
            message_id: self.message_id(message.number),
            body: Arc::clone(&message.content.body),
        };
        messages.map(show).collect()
    }
}
