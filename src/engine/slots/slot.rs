//! One message's slot, from before its receive to after its ack, and a receiver's wait for one.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{Lane, SharedSlots, SlotState, StageProgress};
use crate::aws::queue::{Queue, ReceivedMessage};
use crate::telemetry::metrics::Stage;

/// A slot for one message, from before it is received until it is acked; dropping it frees the slot.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<SharedSlots>,
    lane: Lane,
    /// The id of the message that it holds.
    id: Option<u64>,
    /// The bytes reserved for the message before it arrives.
    n_reserved: usize,
}

/// One delivery of a message, in its slot.
#[derive(Debug)]
pub struct Delivery {
    /// The slot; dropping the delivery frees it.
    pub slot: Slot,
    /// The queue that it was received from; its receipt is valid only there.
    pub queue: Queue,
    /// SQS's `MessageId`.
    pub message_id: String,
    /// The receipt handle, which deletes this delivery or changes its visibility.
    pub receipt: String,
    /// Whether the message had been delivered before.
    pub is_redelivery: bool,
    /// When the message was sent.
    pub sent_at: OffsetDateTime,
    /// When this delivery was received.
    pub received_at: OffsetDateTime,
    /// Size of the body in bytes, which is about what its job takes in memory.
    pub n_bytes: usize,
}

impl Slot {
    /// Creates a slot that `lane` has already taken, with `n_reserved` bytes reserved for its message.
    pub(super) fn new(shared: &Arc<SharedSlots>, lane: Lane, n_reserved: usize) -> Self {
        Self { shared: Arc::clone(shared), lane, id: None, n_reserved }
    }

    /// Puts a message into the slot; returns the delivery and the message's body.
    pub fn hold(mut self, message: ReceivedMessage) -> (Delivery, String) {
        self.id = Some(self.shared.lock().hold(self.lane, &message, self.n_reserved));
        let delivery = Delivery {
            slot: self,
            queue: message.queue,
            message_id: message.id,
            receipt: message.receipt,
            is_redelivery: message.receive_count > 1,
            sent_at: message.sent_at,
            received_at: OffsetDateTime::now_utc(),
            n_bytes: message.body.len(),
        };
        (delivery, message.body)
    }

    /// Moves the job to a stage. The furthest progress counts: a retry does not make a started job wait again.
    pub fn enter(&self, stage: Stage) {
        let mut state = self.shared.lock();
        let Some(held) = self.id.and_then(|id| state.messages.get_mut(&id)) else { return };
        held.stage = stage;
        let before = held.progress;
        held.progress = match before {
            _ if stage.has_started() => StageProgress::Started,
            StageProgress::Undecided => StageProgress::Waiting,
            later => later,
        };
        let after = held.progress;
        if before == StageProgress::Undecided {
            state.lanes.decide();
        }
        if before != StageProgress::Started && after == StageProgress::Started {
            if stage == Stage::Calling {
                state.lanes.start(self.lane);
            } else {
                state.lanes.finish_without_call(self.lane);
            }
            drop(state);
            self.shared.freed.notify_waiters();
        }
    }

    /// Waits until no extension of its message's visibility is in progress: an extension would undo a release.
    pub async fn until_extension_done(&self) {
        loop {
            let freed = self.shared.freed.notified();
            let held = |state: &SlotState| state.messages.get(&self.id?).map(|held| held.is_being_hidden);
            if held(&self.shared.lock()) != Some(true) {
                return;
            }
            freed.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let held = self.id.and_then(|id| state.messages.remove(&id));
        match &held {
            Some(held) => state.bytes.free(held.n_bytes),
            None => state.bytes.release_reserved(self.n_reserved),
        }
        state.lanes.free(self.lane, held.map_or(StageProgress::Undecided, |held| held.progress));
        drop(state);
        self.shared.freed.notify_waiters();
    }
}

/// Counts a receiver that waits for a slot, until it is dropped.
pub(super) struct SlotWait {
    shared: Arc<SharedSlots>,
    lane: Lane,
}

impl SlotWait {
    pub(super) fn new(shared: &Arc<SharedSlots>, lane: Lane) -> Self {
        shared.lock().lanes.start_waiting(lane);
        Self { shared: Arc::clone(shared), lane }
    }
}

impl Drop for SlotWait {
    fn drop(&mut self) {
        self.shared.lock().lanes.stop_waiting(self.lane);
    }
}
