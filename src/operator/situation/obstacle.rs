//! One obstacle to the work: a sentence that describes it, and the command that fixes it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::ledger::facts::QUARANTINED_MAX;
use crate::ledger::hold::OpenHold;
use crate::ledger::rate_limit::Throttle;
use crate::ledger::workers::WorkerReport;
use muster_core::format::{counted, printable, rate, span};
use muster_core::hold::{HoldKind, Notice};

/// How long a silent worker is reported while others continue.
const SILENT_FOR: Duration = Duration::from_mins(10);

/// How an obstacle affects the work, the worst first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is registered.
    Stopped,
    /// Less is registered than the quota allows.
    Slowed,
    /// Some jobs wait.
    Partial,
    /// Work continues, but an operator should look.
    Attention,
}

/// One thing that stops or slows the work.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub struct Obstacle {
    /// How it affects the work.
    pub severity: Severity,
    /// The kind of obstacle: a circuit breaker, a kind of hold, or one of `no_worker`, `queue_unread`, `throttled`,
    /// `silent_worker`, `dead_letters`, `quarantined`.
    pub kind: String,
    /// What it concerns, if that has a name: a hold, an operation of a target.
    pub about: Option<String>,
    /// What happens, in one sentence.
    pub what: String,
    /// The command that fixes it, or an instruction.
    pub fix: String,
}

impl Obstacle {
    pub(super) fn new(severity: Severity, kind: &str, what: String, fix: impl Into<String>) -> Self {
        Self { severity, kind: kind.to_owned(), about: None, what, fix: fix.into() }
    }

    pub(super) fn about(self, about: &str) -> Self {
        Self { about: Some(printable(about)).filter(|about| !about.is_empty()), ..self }
    }

    /// Creates the obstacle that no worker reports; `last` is the worker that reported last.
    pub(super) fn no_worker(last: Option<&WorkerReport>) -> Self {
        let what = match last {
            Some(last) => format!(
                "no worker is running: the last one to report, {}, did so {} ago",
                name_of(last),
                span(last.seen_ago)
            ),
            None => "no worker is running".to_owned(),
        };
        Self::new(Severity::Stopped, "no_worker", what, "start one with `muster serve`")
    }

    /// Creates the obstacle that a worker stopped reporting while others continue; `None` after [`SILENT_FOR`].
    pub(super) fn silent_worker(worker: &WorkerReport) -> Option<Self> {
        let ago = worker.seen_ago;
        let what = format!("worker {} has not reported for {}", name_of(worker), span(ago));
        let fix = "check whether its process still runs; SQS redelivers the messages it held";
        (ago < SILENT_FOR).then(|| Self::new(Severity::Attention, "silent_worker", what, fix))
    }

    /// Creates the obstacle that no worker could read the queues for `ago`.
    pub(super) fn unread_queue(ago: Duration) -> Self {
        let what = format!("no worker could read what the queue holds for {}", span(ago));
        Self::new(Severity::Slowed, "queue_unread", what, "check the queue and its permissions with `muster doctor`")
    }

    /// Creates the obstacle that AWS throttles a quota.
    pub(super) fn throttled(throttle: &Throttle) -> Self {
        let Throttle { target, operation, ceiling, learnt, cut_ago } = throttle;
        let learnt = rate(*learnt);
        let what = format!(
            "AWS throttles {operation} of target {}: {learnt} of the configured {ceiling} calls a second, last lowered {} ago",
            printable(target),
            span(*cut_ago)
        );
        let fix = format!(
            "the rate recovers by itself; find out who else calls {operation} in the account, or compare the quota with \
             `muster doctor`"
        );
        Self::new(Severity::Slowed, "throttled", what, fix).about(&format!("{target}:{operation}"))
    }

    /// Creates the obstacle for an open hold or pause.
    pub(super) fn held(open: &OpenHold, severity: Severity) -> Self {
        let kind = open.hold.kind().map_or("held", Into::into);
        let Notice { title, fix } = Notice::of(&open.hold, open.subject.as_deref());
        let fix = fix.map_or_else(|| "it ends by itself".to_owned(), |fix| format!("`{fix}`"));
        Self::new(severity, kind, format!("{title}: {}", printable(&open.reason)), fix).about(open.hold.as_str())
    }

    /// Creates the obstacle that counts the holds of a kind that are not listed individually.
    pub(super) fn more_holds(n: usize, kind: HoldKind) -> Option<Self> {
        let kind: &str = kind.into();
        let what = format!(
            "and {}",
            counted(n as u64, &format!("more hold of kind {kind}"), &format!("more holds of kind {kind}"))
        );
        (n > 0).then(|| Self::new(Severity::Partial, kind, what, "`muster holds` lists all of them"))
    }

    /// Creates the obstacle for messages in the dead-letter queues.
    pub(super) fn dead_letters(n: u64) -> Self {
        let what = format!("{} in the dead-letter queue", counted(n, "message", "messages"));
        Self::new(
            Severity::Attention,
            "dead_letters",
            what,
            "`muster dead list`, then `muster dead replay` or `muster dead drop`",
        )
    }

    /// Creates the obstacle for quarantined messages.
    pub(super) fn quarantined(n: u64) -> Self {
        let or_more = if n >= QUARANTINED_MAX { " or more" } else { "" };
        let what = format!(
            "{}{or_more} in the quarantine",
            counted(n, "message that is not a job", "messages that are not jobs")
        );
        Self::new(
            Severity::Attention,
            "quarantined",
            what,
            "`muster quarantine list`, then `muster quarantine replay` or `muster quarantine drop`",
        )
    }
}

fn name_of(worker: &WorkerReport) -> String {
    format!("{} (process {}, version {})", printable(&worker.host), worker.pid, printable(&worker.version))
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Stopped => "STOPPED",
            Severity::Slowed => "SLOWED",
            Severity::Partial => "PARTLY HELD",
            Severity::Attention => "ATTENTION",
        };
        writeln!(f, "{word}: {}\n    fix: {}", self.what, self.fix)
    }
}
