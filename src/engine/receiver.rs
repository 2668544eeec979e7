//! Receives jobs from SQS: only as many as free slots and the rate allow, up to ten at a time, with long polling.
//!
//! A receiver polls one queue. The receiver of the second queue (`queue.replay`) waits with one slot only: a long poll
//! occupies all slots that it might fill, and live work needs the others.
//!
//! A receive in progress is always awaited, even during shutdown: otherwise its messages would stay hidden until their
//! visibility timeout expires, and would have used up a delivery.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::aws::queue::{CALL_MAX, Queue, QueueError, QueueErrorKind, ReceivedMessage};
use crate::engine::arrivals::Arrivals;
use crate::engine::recorder::{Finish, Finished, NotAJob};
use crate::engine::slots::{Delivery, Lane, Slot, Slots};
use crate::engine::worker::Worker;
use crate::health::board::Board;
use crate::health::breaker::{Dependency, Failing};
use crate::ledger::Ledger;
use crate::runtime::backoff::Backoff;
use crate::runtime::crash_point;
use crate::telemetry::metrics::{Metrics, delivery};
use muster_core::job::Job;

/// Upper bounds of the first and of any later wait after a failed receive (exponential backoff with full jitter).
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Consecutive failed receives before SQS counts as failing: single failures are normal.
const FAILURES_MAX: u32 = 5;

/// The same for slow failures, such as connection timeouts: this many consecutive failures that span at least this
/// time.
const SLOW_FAILURES: (u32, Duration) = (2, Duration::from_secs(4));

/// How long a queue may be unreachable before `--until-empty` gives up. If the queue is missing, of the wrong type or
/// access is denied, it gives up after [`FAILURES_MAX`] failures: only an operator can fix that.
const GIVE_UP_AFTER: Duration = Duration::from_mins(1);

/// After this many consecutive empty long polls that return at once, a warning is logged. A single one is normal.
const IMMEDIATE_POLLS_MAX: u32 = 3;

/// Receives messages and hands their jobs to the worker.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// The queue to receive from.
    pub queue: Queue,
    /// The lane of its messages.
    pub lane: Lane,
    /// The slots that hold them.
    pub slots: Slots,
    /// Reports arriving messages to the ledger.
    pub arrivals: Arrivals,
    /// Processes the jobs.
    pub worker: Worker,
    /// Takes the bodies that are not jobs.
    pub recorder: mpsc::Sender<Finished>,
    /// The board: nothing is received while no call could be made.
    pub board: Board,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Stops the receiver when cancelled.
    pub stop: CancellationToken,
    /// How long one long poll waits on an empty queue.
    pub wait: Duration,
    /// Stops the service once nothing is left to do; `None` to run until stopped.
    pub until_empty: Option<Drained>,
}

/// What `--until-empty` checks before it stops.
#[derive(Clone, Debug)]
pub struct Drained {
    /// The main queue and the second one.
    pub queues: Vec<Queue>,
    /// The ledger, which knows whether parked jobs will still be resent.
    pub ledger: Ledger,
    /// Set to the error if a queue could not be read and the check was abandoned.
    pub given_up: Arc<OnceLock<QueueError>>,
}

/// Consecutive failed receives.
#[derive(Default)]
struct Failures {
    n: u32,
    since: Option<Instant>,
    failing: Option<Failing>,
}

impl Failures {
    /// Counts a failure; too many open the SQS breaker until a receive succeeds.
    fn record(&mut self, error: &QueueError, sqs: &Dependency) {
        self.n += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        let (n_slow, time) = SLOW_FAILURES;
        if self.n >= FAILURES_MAX || (self.n >= n_slow && since.elapsed() >= time) {
            self.failing.get_or_insert_with(|| sqs.failing(&error.to_string()));
        }
    }

    /// Returns whether to stop waiting for the queue to be empty.
    fn are_too_many(&self, error: &QueueError) -> bool {
        match error.kind {
            QueueErrorKind::Transient => self.since.is_some_and(|since| since.elapsed() >= GIVE_UP_AFTER),
            QueueErrorKind::Missing | QueueErrorKind::Fifo | QueueErrorKind::Denied => self.n >= FAILURES_MAX,
        }
    }
}

/// Consecutive long polls of an empty queue that returned at once.
#[derive(Default)]
struct ImmediatePolls(u32);

impl ImmediatePolls {
    fn record(&mut self, queue: &Queue) {
        self.0 += 1;
        if self.0 == IMMEDIATE_POLLS_MAX {
            warn!(
                queue = queue.url(),
                "a long poll on an empty queue returns at once instead of waiting; polling less often. A proxy may be \
                 answering in place of SQS"
            );
        }
    }
}

impl Receiver {
    /// Receives until stopped.
    pub async fn run(self) {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let mut failures = Failures::default();
        let mut immediate_polls = ImmediatePolls::default();
        let mut may_be_more = false;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.board.until_usable() => {}
            }
            let (n_max, wait) = self.next_receive(may_be_more);
            // Taken before receiving: the visibility timeout of a message that waits for a slot would keep running.
            let slots = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                slots = self.slots.take(self.lane, n_max) => slots,
            };
            let asked_at = Instant::now();
            let received = self.queue.receive(slots.len(), wait).await;
            let is_immediate = asked_at.elapsed() < wait / 2;
            self.metrics.sqs_request("ReceiveMessage", &received);
            let polled = match received {
                Ok(messages) if messages.is_empty() => {
                    may_be_more = false;
                    drop(slots);
                    self.stop_if_drained().await.map(|()| is_immediate)
                }
                Ok(messages) => {
                    may_be_more = messages.len() == slots.len();
                    self.take(slots, messages).await;
                    Ok(false)
                }
                Err(error) => {
                    drop(slots);
                    Err(error)
                }
            };
            match polled {
                Ok(is_immediate) => {
                    failures = Failures::default();
                    if !is_immediate {
                        immediate_polls = ImmediatePolls::default();
                        backoff.reset();
                        continue;
                    }
                    immediate_polls.record(&self.queue);
                }
                Err(error) => {
                    warn!(%error, queue = self.queue.url(), "cannot receive messages");
                    failures.record(&error, &self.board.sqs);
                    if failures.are_too_many(&error) {
                        self.give_up(error);
                    }
                }
            }
            tokio::select! {
                () = backoff.wait() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Stops the service if it runs until empty and the queue cannot be read.
    fn give_up(&self, error: QueueError) {
        if let Some(Drained { given_up, .. }) = &self.until_empty {
            // Fails only if another receiver has set a reason; one is enough.
            let _ = given_up.set(error);
            self.stop.cancel();
        }
    }

    /// Returns how many messages to ask for, and how long to wait for the first.
    fn next_receive(&self, may_be_more: bool) -> (usize, Duration) {
        match self.lane {
            Lane::Live => (CALL_MAX, self.wait),
            Lane::Replay if may_be_more => (CALL_MAX, Duration::ZERO),
            Lane::Replay => (1, self.wait),
        }
    }

    /// Puts the messages into slots and passes their jobs to the worker.
    async fn take(&self, slots: Vec<Slot>, messages: Vec<ReceivedMessage>) {
        let mut jobs = Vec::with_capacity(messages.len());
        for (slot, message) in slots.into_iter().zip(messages) {
            let (delivery, body) = slot.hold(message);
            self.count(&delivery);
            crash_point::reached("received");
            match Job::parse_served(&body, |target| self.worker.serves(target)) {
                Ok(job) => jobs.push((delivery, job)),
                Err(error) => self.quarantine(delivery, NotAJob { error, body }).await,
            }
        }
        self.arrivals.note(jobs.iter().map(|(_, job)| job));
        if !jobs.is_empty() {
            self.worker.take(jobs);
        }
    }

    fn count(&self, received: &Delivery) {
        self.metrics.jobs_received.with_label_values(&[delivery(received.is_redelivery)]).inc();
    }

    async fn quarantine(&self, delivery: Delivery, no_job: NotAJob) {
        warn!(message_id = delivery.message_id, reason = no_job.error.code(), "a message is not a job");
        let finish = Finish::Quarantined(Box::new(no_job));
        // Fails only once the drain deadline has ended the recorder; then the message becomes visible again by itself.
        let _ = self.recorder.send(Finished::new(delivery, finish)).await;
    }

    /// Stops the service if no queue holds a message, not even one in flight at another worker, and no parked job will
    /// be resent without an operator.
    ///
    /// # Errors
    /// A queue's message counts cannot be read.
    async fn stop_if_drained(&self) -> Result<(), QueueError> {
        let Some(Drained { queues, ledger, .. }) = self.until_empty.as_ref().filter(|_| self.slots.held() == 0) else {
            return Ok(());
        };
        // Checked before the queues: a job that is resent in between is then counted in a queue.
        if ledger.will_resend().await.unwrap_or(true) {
            return Ok(());
        }
        for queue in queues {
            let attributes = queue.attributes().await;
            self.metrics.sqs_request("GetQueueAttributes", &attributes);
            if attributes?.messages() > 0 {
                return Ok(());
            }
        }
        info!("no queue holds a message");
        self.stop.cancel();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::breaker::Changes;

    fn error() -> QueueError {
        let (kind, code) = (QueueErrorKind::Transient, "unreachable".to_owned());
        QueueError { operation: "ReceiveMessage", kind, code, message: "no answer".to_owned() }
    }

    /// Premise: a connection timeout takes seconds, and five of them take longer than operators may wait for the alert.
    #[tokio::test(start_paused = true)]
    async fn a_queue_fails_after_five_fast_failures_or_two_slow_ones() {
        for (wait, n) in [(Duration::ZERO, FAILURES_MAX), (SLOW_FAILURES.1, SLOW_FAILURES.0)] {
            let (sqs, mut failures) = (Dependency::new("sqs", Changes::default()), Failures::default());
            for _ in 1..n {
                failures.record(&error(), &sqs);
                assert_eq!(sqs.open(), None);
                tokio::time::advance(wait).await;
            }
            failures.record(&error(), &sqs);
            assert!(sqs.open().is_some(), "{wait:?}");
        }
    }
}
