//! Watches how much waits in the queues, for the gauges that operators and alerts look at.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::limiters::Limiters;
use crate::metrics::Metrics;
use crate::queue::{Attributes, Queue, QueueError};

/// How often it is asked: SQS's own counts lag by up to a minute.
const EVERY: Duration = Duration::from_secs(15);

/// The queues that are watched.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// The queue of jobs.
    pub main: Queue,
    /// The second queue, of jobs that were sent again.
    pub replay: Option<Queue>,
    /// Their dead-letter queues, as far as we may look at them.
    pub dead: Vec<Queue>,
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
        loop {
            looks.tick().await;
            let main = self.look("main", std::slice::from_ref(&self.main)).await;
            let replay = self.look("replay", self.replay.as_slice()).await;
            if let (Some(main), Some(replay)) = (main, replay) {
                self.metrics.queue_retention.set(main.retention.as_secs_f64());
                #[expect(clippy::cast_precision_loss, reason = "a queue holds far fewer than 2^52 messages")]
                let backlog = (main.messages() + replay.messages()) as f64;
                for (basis, rate) in [("ceiling", self.limiters.ceiling()), ("learnt", self.limiters.learnt())] {
                    self.metrics.backlog_eta.with_label_values(&[basis]).set(backlog / rate);
                }
            }
            self.look("dead", &self.dead).await;
        }
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
                visible: sum.visible + attributes.visible,
                in_flight: sum.in_flight + attributes.in_flight,
                delayed: sum.delayed + attributes.delayed,
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
