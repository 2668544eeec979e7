//! Watches how much waits in the queues, for the gauges that operators and alerts look at, and notes in the ledger whether
//! anything does: what has no end while nothing is on its way is missing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::limiters::Limiters;
use crate::metrics::Metrics;
use crate::queue::{Attributes, Queue, QueueError};
use crate::store::reading::is_quiet;
use crate::store::{Store, StoreError};

/// How often it is asked: SQS's own counts lag by up to a minute.
const EVERY: Duration = Duration::from_secs(15);

/// How often it is counted what is missing, as that reads the counters of all batches.
const COUNT_EVERY: Duration = Duration::from_mins(1);

/// The queues that are watched.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// The queue of jobs.
    pub main: Queue,
    /// The second queue, of jobs that were sent again.
    pub replay: Option<Queue>,
    /// Their dead-letter queues, as far as we may look at them.
    pub dead: Vec<Queue>,
    /// Where the readings are noted.
    pub store: Store,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The tokens of every target.
    pub limiters: Limiters,
}

impl Backlog {
    /// Watches for ever.
    pub async fn run(self) {
        let mut looks = tokio::time::interval(EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut counted_at = None;
        loop {
            looks.tick().await;
            let main = self.look("main", std::slice::from_ref(&self.main)).await;
            let replay = self.look("replay", self.replay.as_slice()).await;
            if let (Some(main), Some(replay)) = (main, replay) {
                self.metrics.queue_retention.set(main.retention.as_secs_f64());
                let messages = main.messages().saturating_add(replay.messages());
                self.show_eta(messages);
                let noted = self.note(messages == 0, &mut counted_at).await;
                if let Err(error) = noted {
                    self.metrics.db_error(&error);
                    warn!(%error, "cannot tell what is missing");
                }
            }
            self.look("dead", &self.dead).await;
        }
    }

    fn show_eta(&self, messages: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a queue holds far fewer than 2^52 messages")]
        let messages = messages as f64;
        for (basis, rate) in [("ceiling", self.limiters.ceiling()), ("learnt", self.limiters.learnt())] {
            self.metrics.backlog_eta.with_label_values(&[basis]).set(messages / rate);
        }
    }

    /// Notes a reading and, where nothing is on its way any more, counts what is missing.
    async fn note(&self, is_empty: bool, counted_at: &mut Option<Instant>) -> Result<(), StoreError> {
        self.store.note_reading(self.main.url(), is_empty).await?;
        if !is_quiet(self.store.queues_empty_for().await?) {
            self.metrics.batch_missing_jobs.set(0);
            *counted_at = None;
        } else if counted_at.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
            let missing = self.store.outstanding_jobs().await?;
            self.metrics.batch_missing_jobs.set(i64::try_from(missing).unwrap_or(i64::MAX));
            *counted_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Adds up what queues hold that are one to operators; the retention is the last one's.
    async fn look(&self, name: &str, queues: &[Queue]) -> Option<Attributes> {
        let mut sum = Attributes::default();
        for queue in queues {
            let attributes = queue.attributes().await;
            self.metrics.sqs_request("GetQueueAttributes", &attributes);
            let unreadable = |error: &QueueError| warn!(%error, queue = queue.url(), "cannot look at a queue");
            let attributes = attributes.inspect_err(unreadable).ok()?;
            sum = Attributes {
                visible: sum.visible.saturating_add(attributes.visible),
                in_flight: sum.in_flight.saturating_add(attributes.in_flight),
                delayed: sum.delayed.saturating_add(attributes.delayed),
                ..attributes
            };
        }
        let gauge = |state, n: u64| {
            self.metrics.queue_messages.with_label_values(&[name, state]).set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        gauge("visible", sum.visible);
        gauge("in_flight", sum.in_flight);
        gauge("delayed", sum.delayed);
        Some(sum)
    }
}
