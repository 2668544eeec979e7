//! The dead-letter queues of the queues of jobs.

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::aws::identity;
use crate::aws::queue::{Queue, QueueAttributes};
use crate::config::Config;

/// Whose dead-letter queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Of {
    /// The one of `queue.name`.
    Main,
    /// The one of `queue.replay`.
    Replay,
}

/// A dead-letter queue, and what it holds.
#[derive(Debug)]
pub(super) struct DeadQueue {
    pub(super) queue: Queue,
    pub(super) attributes: QueueAttributes,
}

/// The queues of jobs and their dead-letter queues.
#[derive(Debug)]
pub(super) struct DeadQueues {
    /// Where jobs are sent again.
    pub(super) for_sent_again: Queue,
    /// Each once: both queues of jobs may share one.
    pub(super) dead: Vec<DeadQueue>,
}

impl DeadQueues {
    /// Opens the queues of jobs and finds the dead-letter queue of one of them, or of both.
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
            bail!("no dead-letter queue is configured: give the queue a RedrivePolicy with maxReceiveCount 20");
        }
        Ok(Self { for_sent_again: replay.unwrap_or(main), dead })
    }

    /// The dead-letter queues and how much they hold, for a question.
    pub(super) fn described(&self) -> String {
        let each = self.dead.iter().map(|dead| format!("`{}` (about {})", dead.name(), dead.attributes.messages()));
        each.collect::<Vec<_>>().join(" and ")
    }
}

impl DeadQueue {
    async fn of(queue: &Queue) -> anyhow::Result<Option<Self>> {
        let Some(arn) = queue.attributes().await?.dead_letter_arn else { return Ok(None) };
        let dead = queue.dead_letter_queue(&arn).await.with_context(|| format!("cannot open {arn}"))?;
        let attributes = dead.attributes().await.with_context(|| format!("cannot look at {arn}"))?;
        Ok(Some(Self { queue: dead, attributes }))
    }

    fn is(&self, other: &Self) -> bool {
        self.queue.url() == other.queue.url()
    }

    /// The queue's name.
    pub(super) fn name(&self) -> &str {
        self.queue.url().rsplit('/').next().unwrap_or_default()
    }
}
