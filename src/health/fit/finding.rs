//! What does not fit, in words, and the hint that fixes it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Time;
use muster_core::format::span;
use muster_core::job::{DEFAULT_TARGET, NameError};

/// A setting that does not fit another setting or the queue.
#[derive(Debug, thiserror::Error)]
pub enum FitFinding {
    /// No target is configured, so nothing could be registered.
    #[error("no target is configured")]
    NoTarget,
    /// A target has a name that is not valid in a job message.
    #[error("no job can name target `{target}`: {error}")]
    UnnameableTarget {
        /// The target.
        target: String,
        /// What is wrong with its name.
        error: NameError,
    },
    /// An external id is set but there is no role to assume that would ask for it.
    #[error("`targets.{target}.external_id` is set, but `targets.{target}.role_arn` is not")]
    ExternalIdWithoutRole {
        /// The target.
        target: String,
    },
    /// Two targets share one quota but have different rates for it.
    #[error(
        "targets `{one}` and `{other}` are both account {account} in {region} and share its quota, but have rates of \
         {} and {} calls a second",
        rates.0,
        rates.1
    )]
    OneQuotaTwoRates {
        /// The first target.
        one: String,
        /// The second target.
        other: String,
        /// The setting of their rate, under `targets.<name>.rates`.
        key: &'static str,
        /// The account of both.
        account: String,
        /// The region of both.
        region: String,
        /// Their rates, in calls a second.
        rates: (f64, f64),
    },
    /// SQS would reject every receive.
    #[error("`queue.wait` is {} but SQS waits {} at most", span(*wait), span(*max))]
    WaitTooLong {
        /// The setting.
        wait: Duration,
        /// SQS's limit.
        max: Duration,
    },
    /// The first wait between retries is longer than the longest one.
    #[error("`retry.first_wait` is {}, longer than `retry.max_wait`, which is {}", span(*first), span(*max))]
    WaitsReversed {
        /// The first wait.
        first: Duration,
        /// The longest wait.
        max: Duration,
    },
    /// The second queue is the main queue itself.
    #[error("`queue.replay` is `{queue}`, which is the main queue itself")]
    OneQueueTwice {
        /// The setting.
        queue: String,
    },
    /// Jobs parked to make room for another target are resent to the end of the backlog.
    #[error(
        "{n} targets share queue `{queue}` and there is no second queue: jobs of a slow target that were parked to \
         make room for others wait behind the whole backlog when they are resent"
    )]
    NoSecondQueue {
        /// How many targets there are.
        n: usize,
        /// The setting.
        queue: String,
    },
    /// The heartbeat cannot keep messages hidden.
    #[error("queue `{queue}` has a visibility timeout of {}; the minimum is {}", span(*visibility), span(*min))]
    VisibilityTooShort {
        /// The queue.
        queue: String,
        /// Its visibility timeout.
        visibility: Duration,
        /// The shortest timeout that works.
        min: Duration,
    },
    /// The heartbeat may extend the visibility of some messages too late.
    #[error(
        "queue `{queue}` has a visibility timeout of {}, but keeping all held messages hidden takes {}",
        span(*visibility),
        span(*needed)
    )]
    VisibilityShort {
        /// The queue.
        queue: String,
        /// Its visibility timeout.
        visibility: Duration,
        /// The timeout that leaves time for one hanging call to SQS, and for the calls that extend all held messages.
        needed: Duration,
    },
    /// Receives on an empty queue return at once.
    #[error("`queue.wait` is {}: SQS counts whole seconds, so an empty queue is polled without a pause", span(*wait))]
    WaitTooShort {
        /// The setting.
        wait: Duration,
    },
    /// The drain deadline is shorter than a call may take.
    #[error(
        "`worker.drain_deadline` is {} but a call may take {}: stopping may cut calls off",
        span(*drain),
        span(*call)
    )]
    DrainTooShort {
        /// The deadline.
        drain: Duration,
        /// The longest time that a call may take.
        call: Duration,
    },
    /// There are too few slots to use the whole rate.
    #[error("`worker.slots` is {slots} but {needed} are needed at {rate}/s")]
    FewSlots {
        /// The setting.
        slots: usize,
        /// What the rate needs.
        needed: usize,
        /// Calls a second, all targets together.
        rate: f64,
    },
    /// Messages may expire before their turn comes.
    #[error(
        "queue `{queue}` keeps messages for {}, but the backlog takes {} at {rate}/s",
        span(*retention),
        span(*needed)
    )]
    RetentionShort {
        /// The queue.
        queue: String,
        /// How long it keeps messages.
        retention: Duration,
        /// How long the backlog takes.
        needed: Duration,
        /// Calls a second, all targets together.
        rate: f64,
        /// SQS's maximum retention.
        max: Duration,
    },
    /// Dead letters may expire as soon as they arrive.
    #[error(
        "the dead-letter queue of `{queue}` keeps messages for {} after they were first sent, and the queue itself for \
         {}: one that moves late is soon lost",
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
        /// SQS's maximum retention.
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
    /// A message that kills the process is delivered again and again.
    #[error("queue `{queue}` has no dead-letter queue: a message that kills the process comes back forever")]
    NoDeadLetterQueue {
        /// The queue.
        queue: String,
    },
    /// Jobs that name no target would be quarantined.
    #[error("no target is named `{DEFAULT_TARGET}`: jobs that name no target will be quarantined")]
    NoDefaultTarget,
    /// The admin endpoints listen on more than a loopback address.
    #[error("metrics and health are exposed to everyone who can reach {address}")]
    AdminExposed {
        /// The address that they listen on.
        address: SocketAddr,
    },
}

impl FitFinding {
    /// Returns whether the service cannot work with it and must refuse to start.
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

    /// Returns the hint that fixes it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoTarget | Self::NoDefaultTarget => format!("add `[targets.{DEFAULT_TARGET}]` to the settings"),
            Self::UnnameableTarget { .. } => "rename the target in the settings".to_owned(),
            Self::ExternalIdWithoutRole { target } => {
                format!("set `targets.{target}.role_arn` to the role that requires it, or remove the external id")
            }
            Self::OneQuotaTwoRates { one, other, key, .. } => {
                format!("set `targets.{one}.rates.{key}` and `targets.{other}.rates.{key}` to the account's quota")
            }
            Self::WaitTooLong { max, .. } => format!("set `queue.wait` to {} or less", setting(*max)),
            Self::WaitTooShort { .. } => "set `queue.wait` to 1s or more".to_owned(),
            Self::WaitsReversed { first, .. } => format!("set `retry.max_wait` to {} or more", setting(*first)),
            Self::OneQueueTwice { .. } => {
                "create a separate queue for resent jobs, or remove `queue.replay`".to_owned()
            }
            Self::NoSecondQueue { .. } => {
                "create a queue for resent jobs and set `queue.replay` to its name".to_owned()
            }
            Self::VisibilityTooShort { .. } => "set VisibilityTimeout to 60 on the queue".to_owned(),
            Self::VisibilityShort { needed, .. } => {
                format!("set VisibilityTimeout to {} on the queue", needed.as_secs().max(60))
            }
            Self::DrainTooShort { call, .. } => format!("set `worker.drain_deadline` to {} or more", setting(*call)),
            Self::FewSlots { needed, .. } => format!("set `worker.slots` to {needed} or more"),
            Self::RetentionShort { needed, max, .. } if needed > max => {
                "ask AWS for a higher quota, or enqueue fewer jobs at a time: SQS keeps no message longer than 14 days"
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
                "set `admin.listen` to a loopback address, or allow only your monitoring to reach it".to_owned()
            }
        }
    }
}

/// Formats a time as it is written in a settings file.
fn setting(time: Duration) -> String {
    Time::from(time).into()
}
