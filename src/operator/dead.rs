//! Dead letters: messages that SQS gave up on, to be listed, resent or dropped.

mod list;
mod queues;
mod reading;
mod selection;
mod sweep;
mod tally;

pub use list::{LetterJob, ListedLetter, NotAJobReason, list, summary};
pub use queues::{DeadQueue, DeadQueues, JobQueue};
pub use selection::DeadSelection;
pub use sweep::Sweep;
pub use tally::{SweepEffect, SweepTally};
