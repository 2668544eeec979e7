//! A queue: waiting, in-flight and delayed messages, and exact counts of everything that happened.
//!
//! Time is an argument, so nothing here sleeps. Every message is in exactly one state: waiting in [`Turns`], or hidden
//! until an instant. Only the counts scan all messages, so a queue of any length answers at once.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::counts::{BatchCounts, QueueCounts};
use super::limits::VISIBILITY_MAX;
use super::message::{Instants, MessageContent, QueuedMessage, Receipt, batch_of, body_md5};
use super::settings::QueueSettings;
use super::turns::Turns;
use muster_core::job::UNBATCHED;

/// Maximum number of messages in flight in a standard queue; beyond it, a receive returns nothing.
const IN_FLIGHT_MAX: usize = 120_000;

/// The state of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum MessageState {
    Waiting,
    Delayed { until: Instant },
    InFlight { until: Instant, since: Instant },
}

struct QueueSlot {
    message: QueuedMessage,
    state: MessageState,
}

/// A queue.
pub(super) struct SandboxQueue {
    pub(super) serial: u32,
    pub(super) settings: QueueSettings,
    /// Wakes long polls when a message arrives.
    pub(super) arrival: Arc<Notify>,
    slots: HashMap<u64, QueueSlot>,
    turns: Turns,
    hidden: BTreeSet<(Instant, u64)>,
    by_age: BTreeSet<(u64, u64)>,
    in_flight: usize,
    delayed: usize,
    /// Messages in flight that the next receive delivers again.
    echoes: VecDeque<u64>,
    tallies: HashMap<Arc<str>, BatchCounts>,
    deleted: Vec<u64>,
}

/// The result of one receive.
#[derive(Default)]
pub(super) struct Received {
    /// The numbers of the messages to deliver.
    pub(super) delivered: Vec<u64>,
    /// Messages received too often, to be moved to the dead-letter queue.
    pub(super) dead: Vec<QueuedMessage>,
}

/// Why a visibility timeout was not changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum VisibilityRefusal {
    /// The message is gone, or the receipt is not from its latest delivery.
    Stale,
    /// The message is waiting to be received.
    NotInFlight,
    /// It would be hidden until more than 12 hours after it was received.
    TooLong,
}

impl SandboxQueue {
    pub(super) fn new(serial: u32, settings: QueueSettings) -> Self {
        Self {
            serial,
            settings,
            arrival: Arc::default(),
            slots: HashMap::new(),
            turns: Turns::default(),
            hidden: BTreeSet::new(),
            by_age: BTreeSet::new(),
            in_flight: 0,
            delayed: 0,
            echoes: VecDeque::new(),
            deleted: Vec::new(),
            tallies: HashMap::new(),
        }
    }

    /// Adds a new message.
    pub(super) fn send(&mut self, number: u64, content: MessageContent, delay: Duration, now: Instants) {
        let batch = batch_of(&content.body);
        let message = QueuedMessage {
            number,
            body_md5: body_md5(&content.body),
            batch: batch.as_deref().unwrap_or(UNBATCHED).into(),
            content,
            sent_ms: now.unix_ms,
            first_received_ms: None,
            receives: 0,
            source_arn: None,
        };
        self.admit(message, delay, now);
    }

    /// Adds a message, new or from another queue; it keeps its number, age and receive count.
    pub(super) fn admit(&mut self, mut message: QueuedMessage, delay: Duration, now: Instants) {
        let number = message.number;
        message.batch = self.batch_name(&message.batch);
        self.by_age.insert((message.sent_ms, number));
        self.tally(&message.batch).sent += 1;
        let state = if delay.is_zero() {
            self.turns.wait(&message.content.group, number);
            self.arrival.notify_waiters();
            MessageState::Waiting
        } else {
            let until = now.at + delay;
            self.hidden.insert((until, number));
            self.delayed += 1;
            MessageState::Delayed { until }
        };
        self.slots.insert(number, QueueSlot { message, state });
    }

    /// Receives at most `max` messages and hides them for `visibility`.
    pub(super) fn receive(&mut self, max: usize, visibility: Duration, now: Instants) -> Received {
        self.wake(now);
        let mut received = Received { delivered: self.repeat_echoes(max, visibility, now), dead: Vec::new() };
        while received.delivered.len() < max && self.in_flight < IN_FLIGHT_MAX {
            let Some(number) = self.turns.next() else { break };
            if self.has_used_up_receives(number) {
                received.dead.push(self.take_dead_letter(number));
            } else {
                self.deliver(number, visibility, now);
                received.delivered.push(number);
            }
        }
        received
    }

    /// Makes the next receive deliver the messages again, if they are still in flight by then.
    pub(super) fn echo(&mut self, numbers: &[u64]) {
        self.echoes.extend(numbers);
        self.arrival.notify_waiters();
    }

    /// Returns the numbers of the deleted messages, in the order of their deletes.
    pub(super) fn deleted(&self) -> &[u64] {
        &self.deleted
    }

    /// Returns the message with this number, which must be in the queue.
    pub(super) fn message(&self, number: u64) -> &QueuedMessage {
        &self.slots[&number].message
    }

    /// Returns the message with this number, if it is still in the queue.
    pub(super) fn find(&self, number: u64) -> Option<&QueuedMessage> {
        self.slots.get(&number).map(|slot| &slot.message)
    }

    /// Returns the next instant at which a hidden message becomes visible again.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.hidden.first().map(|(due, _)| *due)
    }

    /// Deletes the message of a receipt. A stale receipt changes nothing, and like SQS this reports no error.
    pub(super) fn delete(&mut self, receipt: Receipt) {
        if self.is_current(receipt) {
            let message = self.remove(receipt.number);
            self.tally(&message.batch).deleted += 1;
            self.deleted.push(receipt.number);
        }
    }

    /// Hides the message of a receipt for `timeout` from now on.
    pub(super) fn change_visibility(
        &mut self,
        receipt: Receipt,
        timeout: Duration,
        now: Instants,
    ) -> Result<(), VisibilityRefusal> {
        self.wake(now);
        if !self.is_current(receipt) {
            return Err(VisibilityRefusal::Stale);
        }
        let slot = self.slots.get_mut(&receipt.number).expect("a current receipt belongs to a message in the queue");
        let MessageState::InFlight { until, since } = slot.state else {
            return Err(VisibilityRefusal::NotInFlight);
        };
        if now.at + timeout > since + Duration::from_secs(VISIBILITY_MAX) {
            return Err(VisibilityRefusal::TooLong);
        }
        let new = now.at + timeout;
        slot.state = MessageState::InFlight { until: new, since };
        self.hidden.remove(&(until, receipt.number));
        self.hidden.insert((new, receipt.number));
        // A long poll may be sleeping until the old instant.
        self.arrival.notify_waiters();
        Ok(())
    }

    /// Deletes every message.
    pub(super) fn purge(&mut self) {
        let numbers: Vec<u64> = self.slots.keys().copied().collect();
        for number in numbers {
            let message = self.remove(number);
            self.tally(&message.batch).purged += 1;
        }
    }

    /// Advances time: hidden messages become visible again, old ones expire.
    pub(super) fn wake(&mut self, now: Instants) {
        while let Some(&(due, number)) = self.hidden.first().filter(|(due, _)| *due <= now.at) {
            self.hidden.remove(&(due, number));
            self.show(number);
        }
        let oldest_kept = now.unix_ms.saturating_sub(self.settings.retention_ms());
        while let Some(&(_, number)) = self.by_age.first().filter(|(sent_ms, _)| *sent_ms < oldest_kept) {
            let message = self.remove(number);
            self.tally(&message.batch).expired += 1;
        }
    }

    /// Returns how many messages are waiting, in flight and delayed.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.slots.len() - self.in_flight - self.delayed, self.in_flight, self.delayed)
    }

    /// Returns the exact counts, by batch and in total; scans every message.
    pub(super) fn counts(&self) -> QueueCounts {
        let mut batches: BTreeMap<String, BatchCounts> =
            self.tallies.iter().map(|(batch, tally)| (batch.to_string(), *tally)).collect();
        for slot in self.slots.values() {
            let counts = batches.get_mut(&*slot.message.batch).expect("a batch has a tally from its first message on");
            match slot.state {
                MessageState::Waiting => counts.visible += 1,
                MessageState::Delayed { .. } => counts.delayed += 1,
                MessageState::InFlight { .. } => counts.in_flight += 1,
            }
        }
        let total = batches.values().copied().fold(BatchCounts::default(), BatchCounts::plus);
        QueueCounts { total, batches }
    }

    /// Returns whether a message has used up its receives, so that it must move to the dead-letter queue.
    fn has_used_up_receives(&self, number: u64) -> bool {
        let limit = self.settings.redrive.as_ref().map(|redrive| redrive.max_receive_count);
        limit.is_some_and(|limit| self.message(number).receives >= limit)
    }

    /// Removes the message whose turn it is, because it has used up its receives.
    fn take_dead_letter(&mut self, number: u64) -> QueuedMessage {
        let message = self.slots.remove(&number).expect("only messages in the queue have a turn").message;
        self.by_age.remove(&(message.sent_ms, number));
        self.turns.land(&message.content.group);
        self.tally(&message.batch).dead_lettered += 1;
        message
    }

    /// Delivers in-flight messages again that were marked with [`Self::echo`]; each still counts once as in flight.
    fn repeat_echoes(&mut self, max: usize, visibility: Duration, now: Instants) -> Vec<u64> {
        let mut repeated = Vec::new();
        while repeated.len() < max {
            let Some(number) = self.echoes.pop_front() else { break };
            let state = self.slots.get(&number).map(|slot| slot.state);
            if let Some(MessageState::InFlight { until, .. }) = state {
                self.hidden.remove(&(until, number));
                self.hide(number, visibility, now);
                repeated.push(number);
            }
        }
        repeated
    }

    /// Delivers the message whose turn it is.
    fn deliver(&mut self, number: u64, visibility: Duration, now: Instants) {
        self.in_flight += 1;
        self.hide(number, visibility, now);
    }

    /// Counts a delivery and hides the message.
    fn hide(&mut self, number: u64, visibility: Duration, now: Instants) {
        let slot = self.slots.get_mut(&number).expect("only messages in the queue are delivered");
        slot.message.receives += 1;
        slot.message.first_received_ms.get_or_insert(now.unix_ms);
        let until = now.at + visibility;
        slot.state = MessageState::InFlight { until, since: now.at };
        let batch = Arc::clone(&slot.message.batch);
        self.hidden.insert((until, number));
        self.tally(&batch).deliveries += 1;
    }

    /// Makes a hidden message wait again. The caller has already removed it from `hidden`.
    fn show(&mut self, number: u64) {
        let slot = self.slots.get_mut(&number).expect("only messages in the queue are hidden");
        let group = &slot.message.content.group;
        match slot.state {
            MessageState::InFlight { .. } => {
                self.in_flight -= 1;
                self.turns.land(group);
            }
            MessageState::Delayed { .. } => self.delayed -= 1,
            MessageState::Waiting => {}
        }
        self.turns.wait(group, number);
        slot.state = MessageState::Waiting;
        self.arrival.notify_waiters();
    }

    fn remove(&mut self, number: u64) -> QueuedMessage {
        let QueueSlot { message, state } = self.slots.remove(&number).expect("only messages in the queue are removed");
        self.by_age.remove(&(message.sent_ms, number));
        match state {
            MessageState::Waiting => self.turns.withdraw(&message.content.group, number),
            MessageState::Delayed { until } => {
                self.hidden.remove(&(until, number));
                self.delayed -= 1;
            }
            MessageState::InFlight { until, .. } => {
                self.hidden.remove(&(until, number));
                self.in_flight -= 1;
                self.turns.land(&message.content.group);
            }
        }
        message
    }

    /// Returns whether the receipt is from the latest delivery of a message that is still in the queue.
    fn is_current(&self, receipt: Receipt) -> bool {
        self.slots.get(&receipt.number).is_some_and(|slot| slot.message.receives == receipt.receives)
    }

    fn tally(&mut self, batch: &Arc<str>) -> &mut BatchCounts {
        self.tallies.get_mut(batch).expect("a batch has a tally from its first message on")
    }

    /// Returns the shared copy of a batch's name, creating its tally if needed.
    fn batch_name(&mut self, name: &str) -> Arc<str> {
        if let Some((known, _)) = self.tallies.get_key_value(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.tallies.insert(Arc::clone(&name), BatchCounts::default());
        name
    }
}

#[cfg(test)]
mod tests;
