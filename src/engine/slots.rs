//! What this worker has in flight: one slot per message, held from before the receive to after the ack.
//!
//! Slots are limited in number and in the bytes that they hold. The number in flight is at once the back-pressure, the
//! gauge and the drain condition. A slot also knows its message's stage, and its receipt, so that the heartbeat can
//! keep it hidden. Jobs that wait for a permit are limited to what the permit pools have room for, so that one worker
//! does not sit on work that another could do. If there is a second queue, two [`Lane`]s share the slots.

mod bytes;
mod lanes;
mod slot;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use strum::VariantArray;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::aws::queue::{Queue, ReceivedMessage};

use crate::quota::by_target::Room;
use crate::telemetry::metrics::Stage;
use bytes::Bytes;
pub use lanes::Lane;
use lanes::Lanes;
use slot::SlotWait;
pub use slot::{Delivery, Slot};

/// The slots of a worker.
#[derive(Clone, Debug)]
pub struct Slots(Arc<SharedSlots>);

struct SharedSlots {
    state: Mutex<SlotState>,
    freed: Notify,
    room: Box<dyn Fn() -> Room + Send + Sync>,
}

impl fmt::Debug for SharedSlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSlots").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct SlotState {
    lanes: Lanes,
    bytes: Bytes,
    messages: HashMap<u64, Held>,
    next_id: u64,
}

#[derive(Debug)]
struct Held {
    queue: Queue,
    receipt: String,
    n_bytes: usize,
    received_at: Instant,
    hidden_since: Instant,
    stage: Stage,
    progress: StageProgress,
    is_lost: bool,
    is_being_hidden: bool,
}

/// How far a job has progressed: the furthest of the stages that it has been in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum StageProgress {
    /// It is not known yet whether the job will wait for a permit.
    Undecided,
    /// The job waits for its first permit.
    Waiting,
    /// The job has had a permit, or has an outcome without one.
    Started,
}

/// A message whose visibility timeout the heartbeat must extend; until this is dropped, the message is not released.
#[derive(Debug)]
pub struct Due {
    shared: Arc<SharedSlots>,
    id: u64,
    /// The receipt of the message.
    pub receipt: String,
}

impl Slots {
    /// Creates `capacity` slots for the main queue alone; `room` returns how many more jobs may wait for permits.
    pub fn new(capacity: usize, room: impl Fn() -> Room + Send + Sync + 'static) -> Self {
        Self::with(Lanes::new(capacity, false), Box::new(room))
    }

    /// Creates slots shared by the main queue and a second one; each queue has at least one.
    pub fn shared(capacity: usize, room: impl Fn() -> Room + Send + Sync + 'static) -> Self {
        Self::with(Lanes::new(capacity, true), Box::new(room))
    }

    fn with(lanes: Lanes, room: Box<dyn Fn() -> Room + Send + Sync>) -> Self {
        let state = Mutex::new(SlotState { lanes, bytes: Bytes::default(), messages: HashMap::new(), next_id: 0 });
        Self(Arc::new(SharedSlots { state, freed: Notify::new(), room }))
    }

    /// Takes between one and `max` slots; waits until at least one is free.
    pub async fn take(&self, lane: Lane, max: usize) -> Vec<Slot> {
        let mut turn = None;
        loop {
            // Created before the check, so that a slot freed in between is not missed.
            let freed = self.0.freed.notified();
            let room = (self.0.room)();
            let (n, n_reserved) = self.0.lock().take(lane, max, room);
            if n > 0 {
                return (0..n).map(|_| Slot::new(&self.0, lane, n_reserved)).collect();
            }
            turn.get_or_insert_with(|| SlotWait::new(&self.0, lane));
            freed.await;
        }
    }

    /// Returns how many slots hold a message.
    pub fn held(&self) -> usize {
        self.0.lock().messages.len()
    }

    /// Returns how many slots hold a message, by stage.
    pub fn by_stage(&self) -> HashMap<Stage, usize> {
        let mut counts: HashMap<Stage, usize> = Stage::VARIANTS.iter().map(|&stage| (stage, 0)).collect();
        for held in self.0.lock().messages.values() {
            *counts.entry(held.stage).or_default() += 1;
        }
        counts
    }

    /// Returns how long the longest-held message has been held; zero if none is held.
    pub fn oldest_age(&self) -> Duration {
        let oldest = self.0.lock().messages.values().map(|held| held.received_at).min();
        oldest.map_or(Duration::ZERO, |instant| instant.elapsed())
    }

    /// Returns the messages of a queue whose visibility timeout was set at least `set_ago` ago and that have been held
    /// for less than `held_max`. Leaves out messages that are being released, which must not be hidden again, and lost
    /// ones, which cannot be.
    pub fn due(&self, queue: &Queue, set_ago: Duration, held_max: Duration) -> Vec<Due> {
        let mut state = self.0.lock();
        let is_due = |held: &Held| {
            held.stage != Stage::Releasing
                && !held.is_lost
                && held.queue.url() == queue.url()
                && held.hidden_since.elapsed() >= set_ago
                && held.received_at.elapsed() < held_max
        };
        let due = state.messages.iter_mut().filter(|(_, held)| is_due(held));
        let due = due.map(|(&id, held)| {
            held.is_being_hidden = true;
            Due { shared: Arc::clone(&self.0), id, receipt: held.receipt.clone() }
        });
        due.collect()
    }

    /// Returns the receipt of every held message, with the queue that it is valid for.
    pub fn receipts(&self) -> Vec<(Queue, String)> {
        self.0.lock().messages.values().map(|held| (held.queue.clone(), held.receipt.clone())).collect()
    }
}

impl SharedSlots {
    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

impl SlotState {
    /// Takes slots; returns how many, and how many bytes are reserved for each.
    fn take(&mut self, lane: Lane, max: usize, room: Room) -> (usize, usize) {
        let n = self.lanes.take(lane, max.min(self.bytes.messages_max()), room);
        (n, self.bytes.reserve(n))
    }

    fn hold(&mut self, lane: Lane, message: &ReceivedMessage, n_reserved: usize) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.bytes.release_reserved(n_reserved);
        self.bytes.hold(message.body.len());
        let held = Held {
            n_bytes: message.body.len(),
            queue: message.queue.clone(),
            receipt: message.receipt.clone(),
            received_at: message.asked_at,
            hidden_since: message.asked_at,
            stage: Stage::Checking,
            progress: StageProgress::Undecided,
            is_lost: false,
            is_being_hidden: false,
        };
        self.messages.insert(id, held);
        self.lanes.arrived(lane);
        id
    }
}

impl Due {
    /// Notes that the message's visibility timeout was set again.
    pub fn hidden(self, since: Instant) {
        self.note(|held| held.hidden_since = since);
    }

    /// Notes that the receipt is no longer valid: another worker may have received the message.
    pub fn lost(self) {
        self.note(|held| held.is_lost = true);
    }

    fn note(&self, change: impl FnOnce(&mut Held)) {
        // The slot may have been freed meanwhile.
        if let Some(held) = self.shared.lock().messages.get_mut(&self.id) {
            change(held);
        }
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        self.note(|held| held.is_being_hidden = false);
        self.shared.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use time::OffsetDateTime;

    use super::*;
    use crate::quota::permits::WINDOW;

    fn message(receipt: &str) -> ReceivedMessage {
        ReceivedMessage {
            queue: Queue::uncalled("jobs"),
            id: receipt.into(),
            body: "body".into(),
            receipt: receipt.into(),
            receive_count: 1,
            sent_at: OffsetDateTime::UNIX_EPOCH,
            asked_at: Instant::now(),
        }
    }

    async fn delivery(slots: &Slots, receipt: &str) -> Delivery {
        slots.take(Lane::Live, 1).await.remove(0).hold(message(receipt)).0
    }

    fn room() -> Room {
        Room { free: 10, served: 10 }
    }

    /// Takes the slots that are free right now.
    fn take_now(slots: &Slots, max: usize) -> Vec<Slot> {
        now(slots.take(Lane::Live, max)).unwrap_or_default()
    }

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn no_more_than_the_capacity_is_in_flight() {
        let slots = Slots::new(3, room);
        let taken = take_now(&slots, 10);
        assert_eq!(taken.len(), 3);
        assert_eq!(take_now(&slots, 1).len(), 0);
        drop(taken);
        assert_eq!(take_now(&slots, 10).len(), 3);
    }

    #[tokio::test]
    async fn a_freed_slot_wakes_a_waiting_receiver() {
        let slots = Slots::new(1, room);
        let taken = slots.take(Lane::Live, 1).await;
        let waiter = tokio::spawn({
            let slots = slots.clone();
            async move { slots.take(Lane::Live, 1).await.len() }
        });
        tokio::task::yield_now().await;
        drop(taken);
        assert_eq!(waiter.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn waiting_jobs_are_limited_to_the_room_for_them() {
        let waiting = Arc::new(AtomicUsize::new(0));
        let slots = Slots::new(100, {
            let waiting = Arc::clone(&waiting);
            move || Room { free: 5 - waiting.load(Ordering::Relaxed), served: 0 }
        });
        let first = delivery(&slots, "first").await;
        assert_eq!(take_now(&slots, 10).len(), 4, "it is not known yet whether the first waits");
        first.slot.enter(Stage::Waiting);
        waiting.store(1, Ordering::Relaxed);
        assert_eq!(take_now(&slots, 10).len(), 4, "it waits");
        first.slot.enter(Stage::Calling);
        waiting.store(0, Ordering::Relaxed);
        first.slot.enter(Stage::Waiting);
        assert_eq!(take_now(&slots, 10).len(), 5, "it has started, even though it waits for a second attempt");
    }

    #[tokio::test(start_paused = true)]
    async fn outcomes_without_a_call_make_room_for_more_jobs() {
        let slots = Slots::new(1000, || Room { free: 2, served: 2 });
        for i in 0..10 {
            delivery(&slots, &i.to_string()).await.slot.enter(Stage::Recording);
        }
        assert_eq!(take_now(&slots, 100).len(), 2 + 10);
        tokio::time::advance(WINDOW + Duration::from_millis(1)).await;
        assert_eq!(take_now(&slots, 100).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_being_released_is_not_hidden_again() {
        let slots = Slots::new(10, room);
        let delivery = delivery(&slots, "a").await;
        delivery.slot.enter(Stage::Releasing);
        let jobs = Queue::uncalled("jobs");
        tokio::time::advance(Duration::from_secs(15)).await;
        assert!(slots.due(&jobs, Duration::from_secs(15), Duration::from_hours(1)).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_waits_for_a_pending_visibility_extension() {
        let slots = Slots::new(10, room);
        let delivery = delivery(&slots, "a").await;
        let due = slots.due(&Queue::uncalled("jobs"), Duration::ZERO, Duration::from_hours(1));
        delivery.slot.enter(Stage::Releasing);
        assert_eq!(now(delivery.slot.until_extension_done()), None);
        drop(due);
        assert_eq!(now(delivery.slot.until_extension_done()), Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_due_until_its_visibility_is_extended() {
        let slots = Slots::new(10, room);
        let (half, held_max) = (Duration::from_secs(15), Duration::from_hours(1));
        let jobs = Queue::uncalled("jobs");
        let kept = delivery(&slots, "kept").await;
        let done = delivery(&slots, "done").await;
        assert!(slots.due(&jobs, half, held_max).is_empty());
        tokio::time::advance(half).await;
        drop(done);
        let due = slots.due(&jobs, half, held_max);
        assert_eq!(due.iter().map(|due| due.receipt.as_str()).collect::<Vec<_>>(), ["kept"]);
        for due in due {
            due.hidden(Instant::now());
        }
        assert!(slots.due(&jobs, half, held_max).is_empty());
        tokio::time::advance(held_max).await;
        assert!(slots.due(&jobs, half, held_max).is_empty(), "a message held too long is no longer hidden");
        drop(kept);
        assert_eq!(slots.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_due_on_its_own_queue_until_lost() {
        let slots = Slots::new(10, room);
        let delivery = delivery(&slots, "a").await;
        let (jobs, other) = (Queue::uncalled("jobs"), Queue::uncalled("other"));
        let (half, held_max) = (Duration::from_secs(15), Duration::from_hours(1));
        tokio::time::advance(half).await;
        assert!(slots.due(&other, half, held_max).is_empty());
        let due = slots.due(&jobs, half, held_max);
        assert_eq!(due.len(), 1);
        due.into_iter().for_each(Due::lost);
        assert!(slots.due(&jobs, half, held_max).is_empty());
        assert_eq!(slots.held(), 1, "its job continues");
        drop(delivery);
    }

    #[tokio::test]
    async fn a_dropped_wait_no_longer_reserves_slots() {
        let slots = Slots::shared(10, room);
        let taken = slots.take(Lane::Replay, 10).await;
        assert_eq!(taken.len(), 10);
        assert!(now(slots.take(Lane::Live, 1)).is_none(), "it waits, and is dropped");
        drop(taken);
        assert_eq!(slots.take(Lane::Replay, 10).await.len(), 10);
    }
}
