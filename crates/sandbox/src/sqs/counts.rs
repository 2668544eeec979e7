//! Exact counts of one queue, by batch of jobs.

use std::collections::BTreeMap;

use serde::Serialize;

/// What happened to the messages of one batch in one queue, and where they are now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchCounts {
    /// Messages added by a sender or by another queue's redrive.
    pub sent: u64,
    /// Deliveries: a message received twice counts twice.
    pub deliveries: u64,
    /// Messages deleted by receipt handle.
    pub deleted: u64,
    /// Messages moved to the dead-letter queue.
    pub dead_lettered: u64,
    /// Messages that exceeded the retention period.
    pub expired: u64,
    /// Messages purged.
    pub purged: u64,
    /// Messages waiting to be received.
    pub visible: u64,
    /// Messages that were received and are hidden.
    pub in_flight: u64,
    /// Messages that were sent with a delay and are still hidden.
    pub delayed: u64,
}

/// The exact counts of one queue.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct QueueCounts {
    /// Sums over all batches.
    pub total: BatchCounts,
    /// By the `batch` in the bodies; `unbatched` for bodies that name none or are not jobs.
    pub batches: BTreeMap<String, BatchCounts>,
}

impl BatchCounts {
    /// Returns the sum of both.
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
