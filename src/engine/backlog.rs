//! Reads the queue depths every 15 s, for the gauges that operators and alerts watch, and for the ledger, which needs
//! them to decide whether outstanding certificates are missing.
//!
//! A queue that cannot be read has no gauge: unknown is not 0.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::aws::queue::{Queue, QueueAttributes, QueueError};
use crate::ledger::Ledger;
use crate::ledger::queue_readings::QueueReading;
use crate::quota::by_target::PermitPools;
use crate::telemetry::metrics::{Metrics, QUEUE_STATES};

/// How often the queues are read. More often gains little: SQS's own counts lag by up to a minute.
const EVERY: Duration = Duration::from_secs(15);

/// Watches the queues.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// The main queue.
    pub main: Queue,
    /// The second queue, for resent jobs, if `queue.replay` is configured.
    pub replay: Option<Queue>,
    /// Their dead-letter queues, as far as this worker has permission to read them.
    pub dead: Vec<Queue>,
    /// The ledger that readings are written to.
    pub ledger: Ledger,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The permit pools of all targets.
    pub pools: PermitPools,
}

impl Backlog {
    /// Reads the queues until the future is dropped.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let main = self.read_and_show("main", std::slice::from_ref(&self.main)).await;
            let replay = self.read_and_show("replay", self.replay.as_slice()).await;
            let dead = self.read_and_show("dead", &self.dead).await;
            self.show_retention(main.as_ref());
            let n_messages = self.n_messages(main.as_ref(), replay.as_ref());
            self.show_eta(n_messages);
            if let Some(n_messages) = n_messages {
                self.record(QueueReading { n_messages, n_dead: dead.map(|dead| dead.messages()) }).await;
            }
        }
    }

    /// Returns the total number of messages in the main and the second queue, or `None` if one of them cannot be read.
    fn n_messages(&self, main: Option<&QueueAttributes>, replay: Option<&QueueAttributes>) -> Option<u64> {
        let main = main?.messages();
        if self.replay.is_none() { Some(main) } else { Some(main.saturating_add(replay?.messages())) }
    }

    fn show_retention(&self, main: Option<&QueueAttributes>) {
        let gauge = &self.metrics.queue_retention;
        match main {
            Some(main) => gauge.with_label_values(&[""; 0]).set(main.retention.as_secs_f64()),
            None => gauge.reset(),
        }
    }

    fn show_eta(&self, n_messages: Option<u64>) {
        let Some(n_messages) = n_messages else { return self.metrics.backlog_eta.reset() };
        #[expect(clippy::cast_precision_loss, reason = "a queue holds far fewer than 2^52 messages")]
        let n_messages = n_messages as f64;
        for (basis, rate) in [("ceiling", self.pools.ceiling()), ("learnt", self.pools.learnt())] {
            self.metrics.backlog_eta.with_label_values(&[basis]).set(n_messages / rate);
        }
    }

    async fn record(&self, reading: QueueReading) {
        if let Err(error) = self.ledger.note_reading(self.main.url(), reading).await {
            self.metrics.db_error(&error);
            warn!(%error, "cannot record the queue depths");
        }
    }

    /// Adds up the counts of these queues, which are shown under one name; the retention is that of the last one.
    /// Returns `None` if `queues` is empty or one of them cannot be read.
    async fn read_and_show(&self, name: &str, queues: &[Queue]) -> Option<QueueAttributes> {
        let sum = self.read_all(queues).await;
        let gauge = &self.metrics.queue_messages;
        match &sum {
            Some(sum) => {
                let counts = [sum.visible, sum.in_flight, sum.delayed];
                for (state, n) in QUEUE_STATES.into_iter().zip(counts) {
                    gauge.with_label_values(&[name, state]).set(i64::try_from(n).unwrap_or(i64::MAX));
                }
            }
            // The only error is that the series does not exist.
            None => QUEUE_STATES.iter().for_each(|state| drop(gauge.remove_label_values(&[name, state]))),
        }
        sum
    }

    async fn read_all(&self, queues: &[Queue]) -> Option<QueueAttributes> {
        let mut sum: Option<QueueAttributes> = None;
        for queue in queues {
            let read = queue.attributes().await;
            self.metrics.sqs_request("GetQueueAttributes", &read);
            let unreadable = |error: &QueueError| warn!(%error, queue = queue.url(), "cannot read the queue depth");
            let read = read.inspect_err(unreadable).ok()?;
            let before = sum.unwrap_or_default();
            sum = Some(QueueAttributes {
                visible: before.visible.saturating_add(read.visible),
                in_flight: before.in_flight.saturating_add(read.in_flight),
                delayed: before.delayed.saturating_add(read.delayed),
                ..read
            });
        }
        sum
    }
}
