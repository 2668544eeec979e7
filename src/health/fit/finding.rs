//! What does not fit, in words, and its mend.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Time;
use muster_core::format::span;
use muster_core::job::{DEFAULT_TARGET, NameError};

/// Something that does not fit.
#[derive(Debug, thiserror::Error)]
pub enum FitFinding {
    /// Nothing is served.
    #[error("no target is configured")]
    NoTarget,
    /// A target has a name that the job message does not allow.
    #[error("no job can name target `{target}`: {error}")]
    UnnameableTarget {
        /// The target.
        target: String,
        /// What is wrong with its name.
        error: NameError,
    },
    /// Nobody asks for the external id.
    #[error("`targets.{target}.external_id` is set, but `targets.{target}.role_arn` is not")]
    ExternalIdWithoutRole {
        /// The target.
        target: String,
    },
    /// Two targets share one quota and disagree on it.
    #[error(
        "targets `{one}` and `{other}` are both account {account} in {region} and share its quota, but have rates of \
         {} and {} calls a second",
        rates.0,
        rates.1
    )]
    OneQuotaTwoRates {
        /// A target.
        one: String,
        /// Another target.
        other: String,
        /// The key of their quota.
        key: &'static str,
        /// The account of both.
        account: String,
        /// The region of both.
        region: String,
        /// Their settings, calls a second.
        rates: (f64, f64),
    },
    /// SQS would refuse every receive.
    #[error("`queue.wait` is {} but SQS waits {} at most", span(*wait), span(*max))]
    WaitTooLong {
        /// The setting.
        wait: Duration,
        /// SQS's limit.
        max: Duration,
    },
    /// Waits cannot grow from the first to the longest.
    #[error("`retry.first_wait` is {}, longer than `retry.max_wait`, which is {}", span(*first), span(*max))]
    WaitsReversed {
        /// The first wait.
        first: Duration,
        /// The longest wait.
        max: Duration,
    },
    /// The second queue is the first one.
    #[error("`queue.replay` is `{queue}`, which is the main queue itself")]
    OneQueueTwice {
        /// The setting.
        queue: String,
    },
    /// What made room for another target's jobs comes back at the end of the backlog.
    #[error(
        "{n} targets share queue `{queue}` and there is no second one: jobs of a slow target that made room for others \
         wait behind the whole backlog when they are sent again"
    )]
    NoSecondQueue {
        /// How many targets there are.
        n: usize,
        /// The setting.
        queue: String,
    },
    /// The heartbeat cannot keep messages hidden.
    #[error(
        "queue `{queue}` hides messages for {} but {} are the least that can be kept up",
        span(*visibility),
        span(*min)
    )]
    VisibilityTooShort {
        /// The queue.
        queue: String,
        /// Its visibility time-out.
        visibility: Duration,
        /// The shortest that works.
        min: Duration,
    },
    /// The heartbeat may come too late.
    #[error(
        "queue `{queue}` hides messages for {} but {} are needed to keep all that is held hidden",
        span(*visibility),
        span(*needed)
    )]
    VisibilityShort {
        /// The queue.
        queue: String,
        /// Its visibility time-out.
        visibility: Duration,
        /// What leaves time for one call of SQS that hangs, and for as many calls as there may be messages.
        needed: Duration,
    },
    /// Receives return at once.
    #[error("`queue.wait` is {}: SQS counts whole seconds, so an empty queue is asked without a pause", span(*wait))]
    WaitTooShort {
        /// The setting.
        wait: Duration,
    },
    /// Stopping is cut off.
    #[error(
        "`worker.drain_deadline` is {} but a call may take {}: stopping may cut calls off",
        span(*drain),
        span(*call)
    )]
    DrainTooShort {
        /// The deadline.
        drain: Duration,
        /// Longest that a call may take.
        call: Duration,
    },
    /// The quota cannot be used.
    #[error("`worker.slots` is {slots} but {needed} are needed at {rate}/s")]
    FewSlots {
        /// The setting.
        slots: usize,
        /// What the rate needs.
        needed: usize,
        /// Calls a second, all targets together.
        rate: f64,
    },
    /// Messages end before their turn comes.
    #[error("queue `{queue}` keeps messages {} but {} are needed at {rate}/s", span(*retention), span(*needed))]
    RetentionShort {
        /// The queue.
        queue: String,
        /// How long it keeps messages.
        retention: Duration,
        /// How long the backlog takes.
        needed: Duration,
        /// Calls a second, all targets together.
        rate: f64,
        /// Longest that SQS keeps messages.
        max: Duration,
    },
    /// Dead letters may end as soon as they are there.
    #[error(
        "the dead-letter queue of `{queue}` keeps messages {} from their first sending, and the queue itself {}: one \
         that moves late is soon lost",
        span(*dead),
        span(*retention)
    )]
    DeadRetentionShort {
        /// The queue.
        queue: String,
        /// How long it keeps messages.
        retention: Duration,
        /// How long its dead-letter queue keeps them.
        dead: Duration,
        /// Longest that SQS keeps messages.
        max: Duration,
    },
    /// Valid jobs may become dead letters.
    #[error(
        "queue `{queue}` moves messages to its dead-letter queue after {receives} receives: restarts may use them up"
    )]
    FewReceives {
        /// The queue.
        queue: String,
        /// Its `maxReceiveCount`.
        receives: u32,
    },
    /// A message that kills the process circles.
    #[error("queue `{queue}` has no dead-letter queue: a message that kills the process comes back for ever")]
    NoDeadLetterQueue {
        /// The queue.
        queue: String,
    },
    /// Jobs without a target are no jobs.
    #[error("no target is named `{DEFAULT_TARGET}`: jobs that name no target will be quarantined")]
    NoDefaultTarget,
    /// Others can read what only we should.
    #[error("metrics and health are shown to everybody who reaches {address}")]
    AdminExposed {
        /// Where they are shown.
        address: SocketAddr,
    },
}

impl FitFinding {
    /// Says whether nothing can work with it.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::NoTarget
            | Self::UnnameableTarget { .. }
            | Self::ExternalIdWithoutRole { .. }
            | Self::OneQuotaTwoRates { .. }
            | Self::WaitTooLong { .. }
            | Self::WaitsReversed { .. }
            | Self::OneQueueTwice { .. }
            | Self::VisibilityTooShort { .. } => true,
            Self::VisibilityShort { .. }
            | Self::WaitTooShort { .. }
            | Self::DrainTooShort { .. }
            | Self::FewSlots { .. }
            | Self::RetentionShort { .. }
            | Self::DeadRetentionShort { .. }
            | Self::FewReceives { .. }
            | Self::NoDeadLetterQueue { .. }
            | Self::NoDefaultTarget
            | Self::NoSecondQueue { .. }
            | Self::AdminExposed { .. } => false,
        }
    }

    /// What mends it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoTarget | Self::NoDefaultTarget => format!("add `[targets.{DEFAULT_TARGET}]` to the settings"),
            Self::UnnameableTarget { .. } => "give the target another name in the settings".to_owned(),
            Self::ExternalIdWithoutRole { target } => {
                format!("set `targets.{target}.role_arn` to the role that asks for it, or leave the external id out")
            }
            Self::OneQuotaTwoRates { one, other, key, .. } => {
                format!("set `targets.{one}.rates.{key}` and `targets.{other}.rates.{key}` to the account's quota")
            }
            Self::WaitTooLong { max, .. } => format!("set `queue.wait` to {} or less", setting(*max)),
            Self::WaitTooShort { .. } => "set `queue.wait` to 1s or more".to_owned(),
            Self::WaitsReversed { first, .. } => format!("set `retry.max_wait` to {} or more", setting(*first)),
            Self::OneQueueTwice { .. } => {
                "make a queue of its own for jobs that are sent again, or leave `queue.replay` out".to_owned()
            }
            Self::NoSecondQueue { .. } => {
                "make a queue for jobs that are sent again, and name it in `queue.replay`".to_owned()
            }
            Self::VisibilityTooShort { .. } => "set VisibilityTimeout to 60 on the queue".to_owned(),
            Self::VisibilityShort { needed, .. } => {
                format!("set VisibilityTimeout to {} on the queue", needed.as_secs().max(60))
            }
            Self::DrainTooShort { call, .. } => format!("set `worker.drain_deadline` to {} or more", setting(*call)),
            Self::FewSlots { needed, .. } => format!("set `worker.slots` to {needed} or more"),
            Self::RetentionShort { needed, max, .. } if needed > max => {
                "ask AWS for a higher quota, or send fewer at a time: SQS keeps no message longer than 14 days"
                    .to_owned()
            }
            Self::RetentionShort { max, .. } => {
                format!("set MessageRetentionPeriod to {} on the queue", max.as_secs())
            }
            Self::DeadRetentionShort { max, .. } => {
                format!("set MessageRetentionPeriod to {} on the dead-letter queue", max.as_secs())
            }
            Self::FewReceives { .. } => "set maxReceiveCount to 20 in the queue's RedrivePolicy".to_owned(),
            Self::NoDeadLetterQueue { .. } => "give the queue a RedrivePolicy with maxReceiveCount 20".to_owned(),
            Self::AdminExposed { .. } => {
                "set `admin.listen` to a loopback address, or let only the monitoring reach it".to_owned()
            }
        }
    }
}

/// A time as a settings file holds it.
fn setting(time: Duration) -> String {
    Time::from(time).into()
}
