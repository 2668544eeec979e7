//! `muster dead list`: the messages in the dead-letter queues.

use std::process::ExitCode;

use clap::Args;

use crate::cli::{exit, signals, stdout};
use crate::config::Config;
use crate::operator::dead::{self, DeadQueues, JobQueue};

/// Lists the messages in the dead-letter queues, without their bodies.
///
/// Messages are received and then released as soon as the list is complete, or on Ctrl-C. This counts as a delivery,
/// which has no effect on a dead-letter queue without a redrive policy of its own.
#[derive(Args, Debug)]
pub(super) struct ListDead {
    /// Reads only the dead-letter queue of this job queue [default: both].
    #[arg(long, value_name = "QUEUE")]
    queue: Option<JobQueue>,
    /// Maximum number of messages to list.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// Prints the list as JSON.
    #[arg(long)]
    json: bool,
}

impl ListDead {
    /// Receives, lists and releases the messages.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let stop = signals::stop_token()?;
        let queues = DeadQueues::open(config, self.queue).await?;
        let letters = dead::list(config, &queues, self.limit, &stop).await?;
        if self.json {
            stdout::print_json(&letters)?;
        } else {
            for letter in &letters {
                stdout::print(letter)?;
            }
            for queue in &queues.dead {
                stdout::print(format_args!("{}\n", dead::summary(queue, &letters)))?;
            }
        }
        Ok(if stop.is_cancelled() { exit::INTERRUPTED.into() } else { ExitCode::SUCCESS })
    }
}
