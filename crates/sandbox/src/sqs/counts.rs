//! Exact counts of one queue, by batch of jobs.

use std::collections::BTreeMap;

use serde::Serialize;

/// What happened to the messages of one batch in one queue, and where they are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchCounts {
    /// Messages that came in, by a sender or from another queue's redrive.
    pub sent: u64,
    /// Deliveries: a message received twice counts twice.
    pub deliveries: u64,
    /// Messages deleted by a receipt.
    pub deleted: u64,
    /// Messages moved to the dead-letter queue.
    pub dead_lettered: u64,
    /// Messages that outlived the retention.
    pub expired: u64,
    /// Messages purged.
    pub purged: u64,
    /// Messages that wait to be received.
    pub visible: u64,
    /// Messages that were received and are hidden.
    pub in_flight: u64,
    /// Messages that were sent with a delay and are hidden.
    pub delayed: u64,
}

/// The exact counts of one queue.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct QueueCounts {
    /// All batches together.
    pub total: BatchCounts,
    /// By the `batch` that the bodies name; `unbatched` where they name none or are no jobs.
    pub batches: BTreeMap<String, BatchCounts>,
}

impl BatchCounts {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            deliveries: self.deliveries + other.deliveries,
            deleted: self.deleted + other.deleted,
            dead_lettered: self.dead_lettered + other.dead_lettered,
            expired: self.expired + other.expired,
            purged: self.purged + other.purged,
            visible: self.visible + other.visible,
            in_flight: self.in_flight + other.in_flight,
            delayed: self.delayed + other.delayed,
        }
    }
}
