//! The service's connections, all made before it receives its first message.

use anyhow::Context;
use aws_config::SdkConfig;
use tracing::warn;

use super::targets::ServedTargets;
use crate::aws::identity;
use crate::aws::queue::{Queue, QueueAttributes, QueueError};
use crate::config::Config;
use crate::health::fit::{self, FoundQueue};
use crate::ledger::{Ledger, retry_conflicts};

/// Connections to everything outside the process.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) ledger: Ledger,
    pub(super) main: JobQueue,
    /// The second queue, if `queue.replay` is configured.
    pub(super) replay: Option<JobQueue>,
    pub(super) targets: ServedTargets,
}

/// A queue of jobs, and its attributes.
#[derive(Debug)]
pub(super) struct JobQueue {
    /// Its name in the settings.
    name: String,
    pub(super) queue: Queue,
    pub(super) attributes: QueueAttributes,
    /// Its dead-letter queue, if it has one that this worker has permission to read.
    pub(super) dead: Option<(Queue, QueueAttributes)>,
}

impl Connections {
    /// Connects to everything and checks that the settings fit it.
    pub(super) async fn connect(config: &Config) -> anyhow::Result<Self> {
        let ledger = Ledger::connect(&config.database.settings()).await.context("cannot reach the ledger")?;
        retry_conflicts(async || ledger.check_schema().await).await?;
        let aws = identity::load(&config.aws.access()).await;
        let main = JobQueue::reach(&aws, &config.queue.name).await.context("cannot use the queue")?;
        let replay = match &config.queue.replay {
            Some(name) => {
                let queue = JobQueue::reach(&aws, name).await;
                Some(queue.with_context(|| format!("cannot use the second queue, `{name}`"))?)
            }
            None => None,
        };
        let found: Vec<_> = [&main].into_iter().chain(&replay).map(JobQueue::found).collect();
        for finding in fit::warnings(fit::findings(config, &found))? {
            warn!(hint = finding.hint(), "{finding}");
        }
        let targets = ServedTargets::connect(config, &ledger).await?;
        Ok(Self { ledger, main, replay, targets })
    }

    /// Returns the main queue and the second one, if configured.
    pub(super) fn queues(&self) -> impl Iterator<Item = &JobQueue> {
        [&self.main].into_iter().chain(&self.replay)
    }

    /// Returns the queue for resent jobs: the second one if configured, else the main one.
    pub(super) fn resend_queue(&self) -> &Queue {
        &self.replay.as_ref().unwrap_or(&self.main).queue
    }

    /// Returns the dead-letter queues, each once: both queues may share one.
    pub(super) fn dead(&self) -> Vec<Queue> {
        let mut dead: Vec<Queue> = Vec::new();
        for (queue, _) in self.queues().filter_map(|queue| queue.dead.as_ref()) {
            if dead.iter().all(|known| known.url() != queue.url()) {
                dead.push(queue.clone());
            }
        }
        dead
    }
}

impl JobQueue {
    async fn reach(aws: &SdkConfig, name: &str) -> Result<Self, QueueError> {
        let queue = Queue::open(aws, name).await?;
        let attributes = queue.attributes().await?;
        let dead = dead_letters(&queue, &attributes).await;
        Ok(Self { name: name.to_owned(), queue, attributes, dead })
    }

    fn found(&self) -> FoundQueue<'_> {
        FoundQueue {
            name: &self.name,
            url: self.queue.url(),
            attributes: &self.attributes,
            dead_letter: self.dead.as_ref().map(|(_, attributes)| attributes),
        }
    }
}

/// Returns the dead-letter queue if it can be read; a worker does not need the permission.
async fn dead_letters(queue: &Queue, attributes: &QueueAttributes) -> Option<(Queue, QueueAttributes)> {
    let arn = attributes.dead_letter_arn.as_deref()?;
    let reading = async {
        let dead = queue.dead_letter_queue(arn).await?;
        let attributes = dead.attributes().await?;
        Ok((dead, attributes))
    };
    let unreadable = |error: &QueueError| warn!(%error, arn, "cannot read the dead-letter queue");
    reading.await.inspect_err(unreadable).ok()
}
