//! The dead-letter queues of the job queues.

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::aws::identity;
use crate::aws::queue::{Queue, QueueAttributes};
use crate::config::Config;

/// The job queue whose dead-letter queue to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Of {
    /// The dead-letter queue of `queue.name`.
    Main,
    /// The dead-letter queue of `queue.replay`.
    Replay,
}

/// A dead-letter queue and its attributes.
#[derive(Debug)]
pub(super) struct DeadQueue {
    pub(super) queue: Queue,
    pub(super) attributes: QueueAttributes,
}

/// The dead-letter queues, and the queue for resending.
#[derive(Debug)]
pub(super) struct DeadQueues {
    /// The queue to which jobs are resent.
    pub(super) resend_queue: Queue,
    /// Each queue once: both job queues may share one.
    pub(super) dead: Vec<DeadQueue>,
}

impl DeadQueues {
    /// Opens the job queues and finds the dead-letter queue of one of them, or of both.
    pub(super) async fn open(config: &Config, of: Option<Of>) -> anyhow::Result<Self> {
        if of == Some(Of::Replay) && config.queue.replay.is_none() {
            bail!("there is no second queue: `queue.replay` is not set");
        }
        let aws = identity::load(&config.aws.access()).await;
        let main = Queue::open(&aws, &config.queue.name).await.context("cannot open the queue")?;
        let replay = match &config.queue.replay {
            Some(name) => Some(Queue::open(&aws, name).await.context("cannot open the second queue")?),
            None => None,
        };
        let mut dead: Vec<DeadQueue> = Vec::new();
        for queue in
            [&main].into_iter().filter(|_| of != Some(Of::Replay)).chain(replay.iter().filter(|_| of != Some(Of::Main)))
        {
            if let Some(its) = DeadQueue::of(queue).await?.filter(|its| dead.iter().all(|known| !known.is(its))) {
                dead.push(its);
            }
        }
        if dead.is_empty() {
            bail!("no dead-letter queue is configured: set a RedrivePolicy with maxReceiveCount 20 on the queue");
        }
        Ok(Self { resend_queue: replay.unwrap_or(main), dead })
    }

    /// Returns the dead-letter queues and their approximate sizes, for a question.
    pub(super) fn described(&self) -> String {
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

    fn is(&self, other: &Self) -> bool {
        self.queue.url() == other.queue.url()
    }

    /// Returns the queue's name.
    pub(super) fn name(&self) -> &str {
        self.queue.url().rsplit('/').next().unwrap_or_default()
    }
}
