//! Checks that the settings fit each other and the queue, before the first message is received.
//!
//! Pure: everything it needs comes in as arguments. Settings that cannot work are refused; settings that may lose work
//! or waste calls cause a warning. Limits of a single value are not checked here: they belong to its type.

mod finding;

use std::time::Duration;

use crate::aws::queue::{CALL_MAX, CALL_TIMEOUT, QueueAttributes};
use crate::config::Config;
use muster_core::job::{DEFAULT_TARGET, Name};

pub use finding::FitFinding;

/// Minimum visibility timeout with which messages stay hidden: SQS counts whole seconds, and the heartbeat needs time
/// for several attempts.
const VISIBILITY_MIN: Duration = Duration::from_secs(2);

/// Time for one extension call on a slow day, as if the heartbeat made its calls one after the other.
const EXTENSION_TIME: Duration = Duration::from_millis(20);

/// Maximum long poll of SQS.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Maximum message retention of SQS: 14 days.
const RETENTION_MAX: Duration = Duration::from_hours(14 * 24);

/// How long a job holds its slot at full rate: the wait for its permit, the call, the commit and the ack. Determines
/// the number of slots needed.
const SLOT_TIME: Duration = Duration::from_secs(1);

/// Deliveries that a message should be allowed: every restart and every delay of ours may use one up.
const RECEIVES_MIN: u32 = 10;

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(FitFinding::to_string).collect::<Vec<_>>().join("; "))]
pub struct Misfit(pub Vec<FitFinding>);

/// A queue of jobs as found in SQS.
#[derive(Clone, Copy, Debug)]
pub struct FoundQueue<'a> {
    /// Its name in the settings.
    pub name: &'a str,
    /// Its URL.
    pub url: &'a str,
    /// Its attributes.
    pub attributes: &'a QueueAttributes,
    /// The attributes of its dead-letter queue, if it has one that can be read.
    pub dead_letter: Option<&'a QueueAttributes>,
}

/// Returns everything that does not fit. `queues` are the main queue and the second one, if configured.
pub fn findings(config: &Config, queues: &[FoundQueue<'_>]) -> Vec<FitFinding> {
    let mut findings = of_settings(config);
    findings.extend(of_queues(config, queues));
    findings
}

/// Returns what does not fit in the settings alone.
pub fn of_settings(config: &Config) -> Vec<FitFinding> {
    let mut findings = targets(config);
    findings.extend(times(config));
    findings.extend(slots(config));
    findings.extend(exposed(config));
    findings
}

/// Returns what does not fit between the settings and the queues.
pub fn of_queues(config: &Config, queues: &[FoundQueue<'_>]) -> Vec<FitFinding> {
    let mut findings: Vec<FitFinding> = one_queue_twice(queues).into_iter().collect();
    findings.extend(no_second_queue(config, queues));
    let backlog = queues.iter().map(|queue| queue.attributes.messages()).fold(0, u64::saturating_add);
    for queue in queues {
        findings.extend(visibility(config, queue));
        findings.extend(retention(config, queue, backlog));
        findings.extend(dead_letters(queue));
    }
    findings
}

/// Returns the warnings among `findings` if none of them is fatal.
///
/// # Errors
/// [`Misfit`] with everything that cannot work.
pub fn warnings(findings: Vec<FitFinding>) -> Result<Vec<FitFinding>, Misfit> {
    let (fatal, warnings): (Vec<_>, Vec<_>) = findings.into_iter().partition(FitFinding::is_fatal);
    if fatal.is_empty() { Ok(warnings) } else { Err(Misfit(fatal)) }
}

fn targets(config: &Config) -> Vec<FitFinding> {
    if config.targets.is_empty() {
        return vec![FitFinding::NoTarget];
    }
    let unnameable = config.targets.keys().filter_map(|target| {
        let error = target.parse::<Name>().err()?;
        Some(FitFinding::UnnameableTarget { target: target.clone(), error })
    });
    let no_default = (!config.targets.contains_key(DEFAULT_TARGET)).then_some(FitFinding::NoDefaultTarget);
    let role_forgotten =
        config.targets.iter().filter(|(_, settings)| settings.external_id.is_some() && settings.role_arn.is_none());
    let role_forgotten = role_forgotten.map(|(target, _)| FitFinding::ExternalIdWithoutRole { target: target.clone() });
    unnameable.chain(role_forgotten).chain(no_default).collect()
}

fn times(config: &Config) -> Vec<FitFinding> {
    let wait: Duration = config.queue.wait.into();
    let (first, max) = (config.retry.first_wait.into(), config.retry.max_wait.into());
    // A stop never cuts off a receive, whose messages would stay hidden, nor a call to AWS IoT.
    let (drain, call): (_, Duration) = (config.worker.drain_deadline.into(), config.worker.attempt_timeout.into());
    let call = call.max(wait.min(WAIT_MAX));
    let candidates = [
        (wait > WAIT_MAX, FitFinding::WaitTooLong { wait, max: WAIT_MAX }),
        (wait < Duration::from_secs(1), FitFinding::WaitTooShort { wait }),
        (first > max, FitFinding::WaitsReversed { first, max }),
        (drain < call, FitFinding::DrainTooShort { drain, call }),
    ];
    candidates.into_iter().filter_map(|(applies, finding)| applies.then_some(finding)).collect()
}

fn slots(config: &Config) -> Option<FitFinding> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are above zero and bounded")]
    let needed = (config.rate() * SLOT_TIME.as_secs_f64()).ceil() as usize;
    let slots = config.worker.slots;
    (slots < needed).then_some(FitFinding::FewSlots { slots, needed, rate: config.rate() })
}

fn one_queue_twice(queues: &[FoundQueue<'_>]) -> Option<FitFinding> {
    let [main, replay] = queues else { return None };
    (main.url == replay.url).then(|| FitFinding::OneQueueTwice { queue: replay.name.to_owned() })
}

fn no_second_queue(config: &Config, queues: &[FoundQueue<'_>]) -> Option<FitFinding> {
    let ([main], n) = (queues, config.targets.len()) else { return None };
    (n > 1).then(|| FitFinding::NoSecondQueue { n, queue: main.name.to_owned() })
}

fn visibility(config: &Config, queue: &FoundQueue<'_>) -> Option<FitFinding> {
    let (name, visibility) = (queue.name.to_owned(), queue.attributes.visibility_timeout);
    if visibility < VISIBILITY_MIN {
        return Some(FitFinding::VisibilityTooShort { queue: name, visibility, min: VISIBILITY_MIN });
    }
    // Extensions are due at half the timeout, and one call may hang for the other half.
    let n_calls = u32::try_from(config.worker.slots.div_ceil(CALL_MAX)).unwrap_or(u32::MAX);
    let needed = 2 * CALL_TIMEOUT.max(EXTENSION_TIME.saturating_mul(n_calls));
    (visibility < needed).then_some(FitFinding::VisibilityShort { queue: name, visibility, needed })
}

/// Checks that a queue keeps messages long enough. `backlog` counts the messages of all queues, because they share the
/// rate.
fn retention(config: &Config, queue: &FoundQueue<'_>, backlog: u64) -> Option<FitFinding> {
    let rate = config.rate();
    if rate <= 0.0 || queue.attributes.messages() == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "SQS's counts are approximate")]
    let seconds = backlog as f64 / rate;
    let needed = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let (name, retention) = (queue.name.to_owned(), queue.attributes.retention);
    (retention < needed).then_some(FitFinding::RetentionShort {
        queue: name,
        retention,
        needed,
        rate,
        max: RETENTION_MAX,
    })
}

fn dead_letters(queue: &FoundQueue<'_>) -> Vec<FitFinding> {
    let (name, attributes) = (queue.name.to_owned(), queue.attributes);
    let Some(receives) = attributes.max_receive_count else {
        return vec![FitFinding::NoDeadLetterQueue { queue: name }];
    };
    let few = (receives < RECEIVES_MIN).then(|| FitFinding::FewReceives { queue: name.clone(), receives });
    // A message that moves there keeps its original timestamp.
    let is_short = |dead: &&QueueAttributes| dead.retention <= attributes.retention && dead.retention < RETENTION_MAX;
    let short = queue.dead_letter.filter(is_short).map(|dead| FitFinding::DeadRetentionShort {
        queue: name.clone(),
        retention: attributes.retention,
        dead: dead.retention,
        max: RETENTION_MAX,
    });
    few.into_iter().chain(short).collect()
}

fn exposed(config: &Config) -> Option<FitFinding> {
    let address = config.admin.listen.filter(|address| !address.ip().is_loopback())?;
    Some(FitFinding::AdminExposed { address })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TargetConfig;
    use muster_core::rate::Rate;

    const DAY: Duration = Duration::from_hours(24);

    /// Returns a queue as the deployment templates create it.
    fn good_queue() -> QueueAttributes {
        QueueAttributes {
            visibility_timeout: Duration::from_mins(1),
            retention: 14 * DAY,
            max_receive_count: Some(20),
            ..QueueAttributes::default()
        }
    }

    /// Returns the findings after one change to good settings and a good queue.
    fn found(change: impl FnOnce(&mut Config, &mut QueueAttributes)) -> Vec<String> {
        let (mut config, mut queue) = (Config::default(), good_queue());
        change(&mut config, &mut queue);
        let mark = |finding: &FitFinding| if finding.is_fatal() { "refused" } else { "warning" };
        let dead_letter = QueueAttributes { retention: 4 * DAY, ..QueueAttributes::default() };
        let dead_letter = if queue.retention == 4 * DAY { Some(&dead_letter) } else { None };
        let main = FoundQueue { name: "jobs", url: "jobs", attributes: &queue, dead_letter };
        let findings = findings(&config, &[main]);
        findings.iter().map(|finding| format!("{}: {finding}", mark(finding))).collect()
    }

    #[test]
    fn the_defaults_fit_a_good_queue() {
        assert!(found(|_, _| {}).is_empty());
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        assert_eq!(found(|config, _| config.targets.clear()), ["refused: no target is configured"]);
        assert_eq!(
            found(|config, _| _ = config.targets.insert("plant 1".to_owned(), TargetConfig::default()))[..1],
            ["refused: no job can name target `plant 1`: a name has 1 to 128 characters of \
              A-Z a-z 0-9 . _ : / + @ = -, found  "]
        );
        assert_eq!(
            found(|config, _| {
                config.targets.get_mut(DEFAULT_TARGET).unwrap().external_id = Some("plant-3".to_owned());
            }),
            ["refused: `targets.default.external_id` is set, but `targets.default.role_arn` is not"]
        );
        assert_eq!(
            found(|config, _| config.queue.wait = Duration::from_secs(30).into()),
            ["refused: `queue.wait` is 30 s but SQS waits 20 s at most"]
        );
        assert_eq!(
            found(|config, _| config.retry.first_wait = Duration::from_mins(1).into()),
            ["refused: `retry.first_wait` is 1 min, longer than `retry.max_wait`, which is 30 s"]
        );
        assert_eq!(
            found(|_, queue| queue.visibility_timeout = Duration::from_secs(1)),
            ["refused: queue `jobs` has a visibility timeout of 1 s; the minimum is 2 s"]
        );
    }

    #[test]
    fn settings_that_may_lose_work_or_waste_calls_are_warnings() {
        assert_eq!(
            found(|config, _| {
                let target = config.targets.remove(DEFAULT_TARGET).unwrap();
                config.targets.insert("eu".to_owned(), target);
            }),
            ["warning: no target is named `default`: jobs that name no target will be quarantined"]
        );
        assert_eq!(
            found(|config, _| _ = config.targets.insert("eu".to_owned(), TargetConfig::default())),
            ["warning: 2 targets share queue `jobs` and there is no second queue: jobs of a slow target that were \
                 parked to make room for others wait behind the whole backlog when they are resent"]
        );
        assert_eq!(
            found(|config, _| config.queue.wait = Duration::from_millis(500).into()),
            ["warning: `queue.wait` is 500 ms: SQS counts whole seconds, so an empty queue is polled without a pause"]
        );
        assert_eq!(
            found(|config, _| config.worker.drain_deadline = Duration::from_secs(5).into()),
            ["warning: `worker.drain_deadline` is 5 s but a call may take 10 s: stopping may cut calls off"]
        );
        assert_eq!(
            found(|config, _| {
                config.worker.slots = 100;
                config.targets.get_mut(DEFAULT_TARGET).unwrap().rates.register_certificate = Rate::new(200.0).unwrap();
            }),
            ["warning: `worker.slots` is 100 but 200 are needed at 200/s"]
        );
        assert_eq!(
            found(|_, queue| queue.visibility_timeout = Duration::from_secs(15)),
            ["warning: queue `jobs` has a visibility timeout of 15 s, but keeping all held messages hidden takes 20 s"]
        );
        assert_eq!(
            found(|config, _| config.worker.slots = 20_000),
            ["warning: queue `jobs` has a visibility timeout of 1 min, but keeping all held messages hidden takes \
                 1 min 20 s"]
        );
        assert_eq!(
            found(|_, queue| queue.max_receive_count = None),
            ["warning: queue `jobs` has no dead-letter queue: a message that kills the process comes back forever"]
        );
        assert_eq!(
            found(|_, queue| queue.max_receive_count = Some(5)),
            [
                "warning: queue `jobs` moves messages to its dead-letter queue after 5 receives: restarts may use them up"
            ]
        );
        assert_eq!(
            found(|config, _| config.admin.listen = Some(([0, 0, 0, 0], 9464).into())),
            ["warning: metrics and health are exposed to everyone who can reach 0.0.0.0:9464"]
        );
    }

    #[test]
    fn a_backlog_that_outlasts_the_retention_is_a_warning() {
        let backlog = |queue: &mut QueueAttributes, n| {
            queue.retention = 5 * DAY;
            queue.visible = n;
        };
        assert_eq!(
            found(|_, queue| backlog(queue, 5_000_000)),
            ["warning: queue `jobs` keeps messages for 5 days, but the backlog takes 5 days 18 h at 10/s"]
        );
        assert!(found(|_, queue| backlog(queue, 4_000_000)).is_empty());
    }

    #[test]
    fn the_second_queue_is_checked_too() {
        let (config, main) = (Config::default(), QueueAttributes { visible: 4_000_000, ..good_queue() });
        let found = |replay: &QueueAttributes, url: &'static str| {
            let main = FoundQueue { name: "jobs", url: "jobs", attributes: &main, dead_letter: None };
            let replay = FoundQueue { name: "again", url, attributes: replay, dead_letter: None };
            findings(&config, &[main, replay]).iter().map(FitFinding::to_string).collect::<Vec<_>>()
        };
        assert!(found(&good_queue(), "again").is_empty());
        let bad = QueueAttributes {
            visible: 1_000_000,
            visibility_timeout: Duration::from_secs(15),
            retention: 5 * DAY,
            max_receive_count: None,
            ..QueueAttributes::default()
        };
        assert_eq!(
            found(&bad, "again"),
            [
                "queue `again` has a visibility timeout of 15 s, but keeping all held messages hidden takes 20 s",
                "queue `again` keeps messages for 5 days, but the backlog takes 5 days 18 h at 10/s",
                "queue `again` has no dead-letter queue: a message that kills the process comes back forever",
            ]
        );
        assert_eq!(found(&good_queue(), "jobs"), ["`queue.replay` is `again`, which is the main queue itself"]);
    }

    #[test]
    fn a_short_dead_letter_retention_is_a_warning() {
        assert_eq!(
            found(|_, queue| queue.retention = 4 * DAY),
            ["warning: the dead-letter queue of `jobs` keeps messages for 4 days after they were first sent, and the \
              queue itself for 4 days: one that moves late is soon lost"]
        );
    }

    #[test]
    fn one_error_lists_everything_that_is_refused() {
        let (wait, max) = (Duration::from_secs(30), WAIT_MAX);
        let findings = vec![FitFinding::NoTarget, FitFinding::NoDefaultTarget, FitFinding::WaitTooLong { wait, max }];
        let error = warnings(findings).unwrap_err().to_string();
        assert_eq!(error, "no target is configured; `queue.wait` is 30 s but SQS waits 20 s at most");
        assert_eq!(warnings(vec![FitFinding::NoDefaultTarget]).unwrap().len(), 1);
    }
}
