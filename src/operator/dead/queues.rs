//! The dead-letter queues of the job queues.

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::aws::identity;
use crate::aws::queue::{Queue, QueueAttributes};
use crate::config::Config;

/// The job queue whose dead-letter queue to read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum JobQueue {
    /// The dead-letter queue of `queue.name`.
    Main,
    /// The dead-letter queue of `queue.replay`.
    Replay,
}

/// A dead-letter queue and its attributes.
#[derive(Debug)]
pub struct DeadQueue {
    /// The queue.
    pub queue: Queue,
    /// Its attributes.
    pub attributes: QueueAttributes,
}

/// The dead-letter queues, and the queue to which their jobs are resent.
#[derive(Debug)]
pub struct DeadQueues {
    /// The queue to which jobs are resent.
    pub resend_queue: Queue,
    /// Each queue once: both job queues may share one.
    pub dead: Vec<DeadQueue>,
}

impl DeadQueues {
    /// Opens the job queues and finds the dead-letter queue of one of them, or of both.
    pub async fn open(config: &Config, only: Option<JobQueue>) -> anyhow::Result<Self> {
        if only == Some(JobQueue::Replay) && config.queue.replay.is_none() {
            bail!("there is no second queue: `queue.replay` is not set");
        }
        let aws = identity::load(&config.aws.access()).await;
        let main = Queue::open(&aws, &config.queue.name).await.context("cannot open the queue")?;
        let replay = match &config.queue.replay {
            Some(name) => Some(Queue::open(&aws, name).await.context("cannot open the second queue")?),
            None => None,
        };
        let mut dead: Vec<DeadQueue> = Vec::new();
        for queue in [&main]
            .into_iter()
            .filter(|_| only != Some(JobQueue::Replay))
            .chain(replay.iter().filter(|_| only != Some(JobQueue::Main)))
        {
            let found = DeadQueue::of(queue).await?;
            if let Some(found) = found.filter(|found| dead.iter().all(|known| !known.is_same_as(found))) {
                dead.push(found);
            }
        }
        if dead.is_empty() {
            bail!("no dead-letter queue is configured: set a RedrivePolicy with maxReceiveCount 20 on the queue");
        }
        Ok(Self { resend_queue: replay.unwrap_or(main), dead })
    }

    /// Returns the dead-letter queues and their approximate sizes, for a question.
    pub fn described(&self) -> String {
        let each = self.dead.iter().map(|dead| format!("`{}` (about {})", dead.name(), dead.attributes.messages()));
        each.collect::<Vec<_>>().join(" and ")
    }
}

impl DeadQueue {
    async fn of(queue: &Queue) -> anyhow::Result<Option<Self>> {
        let Some(arn) = queue.attributes().await?.dead_letter_arn else { return Ok(None) };
        let dead = queue.dead_letter_queue(&arn).await.with_context(|| format!("cannot open {arn}"))?;
        let attributes = dead.attributes().await.with_context(|| format!("cannot read the attributes of {arn}"))?;
        Ok(Some(Self { queue: dead, attributes }))
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.queue.url() == other.queue.url()
    }

    /// Returns the queue's name.
    pub fn name(&self) -> &str {
        self.queue.url().rsplit('/').next().unwrap_or_default()
    }
}
