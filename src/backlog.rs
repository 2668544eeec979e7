//! Watches how much waits in the queue, for the gauges that operators and alerts look at.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::metrics::Metrics;
use crate::queue::{Attributes, Queue};

/// How often it is asked: SQS's own counts lag by up to a minute.
const EVERY: Duration = Duration::from_secs(15);

/// The queues that are watched.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// The queue of jobs.
    pub main: Queue,
    /// Its dead-letter queue, where there is one that we may look at.
    pub dead: Option<Queue>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Calls a second that all targets together allow.
    pub rate: f64,
}

impl Backlog {
    /// Watches for ever.
    pub async fn run(self) {
        let mut looks = tokio::time::interval(EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if let Some(attributes) = self.look("main", &self.main).await {
                self.metrics.queue_retention.set(attributes.retention.as_secs_f64());
                #[expect(clippy::cast_precision_loss, reason = "a queue holds far fewer than 2^52 messages")]
                let eta = attributes.messages() as f64 / self.rate;
                self.metrics.backlog_eta.with_label_values(&["ceiling"]).set(eta);
            }
            if let Some(dead) = &self.dead {
                self.look("dead", dead).await;
            }
        }
    }

    async fn look(&self, name: &str, queue: &Queue) -> Option<Attributes> {
        let attributes = queue.attributes().await;
        self.metrics.sqs_request("GetQueueAttributes", &attributes);
        let attributes = attributes.inspect_err(|error| warn!(%error, queue = name, "cannot look at a queue")).ok()?;
        let gauge = |state, n: u64| {
            self.metrics.queue_messages.with_label_values(&[name, state]).set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        gauge("visible", attributes.visible);
        gauge("in_flight", attributes.in_flight);
        gauge("delayed", attributes.delayed);
        Some(attributes)
    }
}
