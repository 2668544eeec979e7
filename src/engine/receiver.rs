//! Asks SQS for work: only as much as free slots and the rate allow, ten at a time, with a long poll.
//!
//! A receiver asks one queue. That of the second queue waits for messages with one slot only: a long poll holds what it
//! might fill, and live work shall have the rest.
//!
//! A receive under way is always awaited, also at the end: its messages would otherwise stay hidden until their
//! visibility ends, and would have burnt a delivery.

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
use muster_core::job::{Job, ParseError};

/// Longest first wait and longest wait after a receive that failed.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Receives that fail in a row before SQS counts as failing: single ones come and go.
const FAILURES_MAX: u32 = 5;

/// The same for slow failures, such as connections that time out: so many within this time.
const SLOW_FAILURES: (u32, Duration) = (2, Duration::from_secs(4));

/// How long a queue may be out of reach before whoever waits for it to be empty gives up. A denial is given less: only
/// people end it.
const GIVE_UP_AFTER: Duration = Duration::from_mins(1);

/// After this many empty long polls in a row that end at once, a warning is logged. A single one is normal.
const HURRIED_MAX: u32 = 3;

/// Receives messages and hands their jobs to the worker.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Where messages come from.
    pub queue: Queue,
    /// Whose messages they are.
    pub lane: Lane,
    /// The room for them.
    pub slots: Slots,
    /// What reports to the ledger that they arrived.
    pub arrivals: Arrivals,
    /// Who does their jobs.
    pub worker: Worker,
    /// Where bodies go that are no job.
    pub recorder: mpsc::Sender<Finished>,
    /// What holds calls back.
    pub board: Board,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Ends the receiving.
    pub stop: CancellationToken,
    /// How long an empty queue is waited on.
    pub wait: Duration,
    /// Stops everything once there is nothing more to do here.
    pub until_empty: Option<Drained>,
}

/// Where it is looked whether there is more to do.
#[derive(Clone, Debug)]
pub struct Drained {
    /// All queues of jobs.
    pub queues: Vec<Queue>,
    /// The ledger, where jobs wait that will be sent again.
    pub ledger: Ledger,
    /// Why it was given up to find out.
    pub given_up: Arc<OnceLock<QueueError>>,
}

/// Receives that failed in a row.
#[derive(Default)]
struct Failures {
    n: u32,
    since: Option<Instant>,
    failing: Option<Failing>,
}

impl Failures {
    /// Notes one; too many open the breaker until a receive goes through.
    fn one_more(&mut self, error: &QueueError, sqs: &Dependency) {
        self.n += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        let (n_slow, time) = SLOW_FAILURES;
        if self.n >= FAILURES_MAX || (self.n >= n_slow && since.elapsed() >= time) {
            self.failing.get_or_insert_with(|| sqs.failing(&error.to_string()));
        }
    }

    /// Says whether it is of no use to go on waiting for the queue to be empty.
    fn are_too_many(&self, error: &QueueError) -> bool {
        match error.kind {
            QueueErrorKind::Transient => self.since.is_some_and(|since| since.elapsed() >= GIVE_UP_AFTER),
            QueueErrorKind::Missing | QueueErrorKind::Fifo | QueueErrorKind::Denied => self.n >= FAILURES_MAX,
        }
    }
}

/// Long polls in a row that ended at once with nothing.
#[derive(Default)]
struct Hurried(u32);

impl Hurried {
    fn one_more(&mut self, queue: &Queue) {
        self.0 += 1;
        if self.0 == HURRIED_MAX {
            warn!(
                queue = queue.url(),
                "an empty queue does not wait for messages as it was asked to; asking less often. Something on the way may \
                 answer in place of SQS"
            );
        }
    }
}

impl Receiver {
    /// Receives until it is stopped.
    pub async fn run(self) {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let mut failures = Failures::default();
        let mut hurried = Hurried::default();
        let mut may_be_more = false;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.board.until_usable() => {}
            }
            let (n_max, wait) = self.wish(may_be_more);
            // Taken before receiving: a message that waits for a slot would burn its visibility time-out.
            let slots = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                slots = self.slots.take(self.lane, n_max) => slots,
            };
            let asked_at = Instant::now();
            let received = self.queue.receive(slots.len(), wait).await;
            let is_hurried = asked_at.elapsed() < wait / 2;
            self.metrics.sqs_request("ReceiveMessage", &received);
            let looked = match received {
                Ok(messages) if messages.is_empty() => {
                    may_be_more = false;
                    drop(slots);
                    self.stop_if_drained().await.map(|()| is_hurried)
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
            match looked {
                Ok(is_hurried) => {
                    failures = Failures::default();
                    if !is_hurried {
                        hurried = Hurried::default();
                        backoff.reset();
                        continue;
                    }
                    hurried.one_more(&self.queue);
                }
                Err(error) => {
                    warn!(%error, queue = self.queue.url(), "cannot receive messages");
                    failures.one_more(&error, &self.board.sqs);
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

    /// Stops where the queue was to be emptied and cannot be read.
    fn give_up(&self, error: QueueError) {
        if let Some(Drained { given_up, .. }) = &self.until_empty {
            // The first reason is as good as any.
            let _ = given_up.set(error);
            self.stop.cancel();
        }
    }

    /// How many messages are asked for, and how long is waited for the first.
    fn wish(&self, may_be_more: bool) -> (usize, Duration) {
        match self.lane {
            Lane::Live => (CALL_MAX, self.wait),
            Lane::Replay if may_be_more => (CALL_MAX, Duration::ZERO),
            Lane::Replay => (1, self.wait),
        }
    }

    /// Puts the messages into their slots and hands them on.
    async fn take(&self, slots: Vec<Slot>, messages: Vec<ReceivedMessage>) {
        let mut jobs = Vec::with_capacity(messages.len());
        for (slot, message) in slots.into_iter().zip(messages) {
            let (delivery, body) = slot.hold(message);
            self.count(&delivery);
            crash_point::reached("received");
            match self.parse(&body) {
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

    fn parse(&self, body: &str) -> Result<Job, ParseError> {
        let job = Job::parse(body)?;
        if self.worker.serves(&job) { Ok(job) } else { Err(ParseError::UnknownTarget { target: job.target }) }
    }

    async fn quarantine(&self, delivery: Delivery, no_job: NotAJob) {
        warn!(message_id = delivery.message_id, reason = no_job.error.code(), "a message is no job");
        let finish = Finish::Quarantined(Box::new(no_job));
        // The recorder is gone only after its deadline; then the message comes back by itself.
        let _ = self.recorder.send(Finished::new(delivery, finish)).await;
    }

    /// Stops where no queue holds anything, not even for other workers, and nothing will be sent again by itself.
    ///
    /// # Errors
    /// A queue does not say how much it holds.
    async fn stop_if_drained(&self) -> Result<(), QueueError> {
        let Some(Drained { queues, ledger, .. }) = self.until_empty.as_ref().filter(|_| self.slots.held() == 0) else {
            return Ok(());
        };
        // Asked first: what is sent again in between is in a queue then.
        if ledger.will_send_again().await.unwrap_or(true) {
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

    /// Premise: connections that time out take seconds each, and five of them more than operators may wait to be told.
    #[tokio::test(start_paused = true)]
    async fn a_queue_fails_after_five_fast_failures_or_two_slow_ones() {
        for (wait, n) in [(Duration::ZERO, FAILURES_MAX), (SLOW_FAILURES.1, SLOW_FAILURES.0)] {
            let (sqs, mut failures) = (Dependency::new("sqs", Changes::default()), Failures::default());
            for _ in 1..n {
                failures.one_more(&error(), &sqs);
                assert_eq!(sqs.open(), None);
                tokio::time::advance(wait).await;
            }
            failures.one_more(&error(), &sqs);
            assert!(sqs.open().is_some(), "{wait:?}");
        }
    }
}
