//! Whether workers are at work, and what is held or paused, as the ledger knows it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::queues::Queues;
use super::{Check, Finding};
use crate::figures::span;
use crate::hold::HoldKind;
use crate::store::server::LastWork;
use crate::store::{Store, StoreError};

/// How old the last sign of a worker may be.
const RECENT: Duration = Duration::from_mins(1);

pub(super) async fn check(queues: &Queues, store: Option<&Store>) -> Vec<Finding> {
    let Some(store) = store else {
        return [Check::Work, Check::Holds]
            .map(|check| Finding::skipped(check, "", "the ledger cannot be read"))
            .to_vec();
    };
    let main = queues.0.first().and_then(|queue| queue.reached.as_ref().ok());
    let url = main.map(|main| main.queue.url()).unwrap_or_default();
    let n_waiting = main.map_or(0, |main| main.attributes.messages());
    let work =
        store.last_work(url).await.map_or_else(|error| unread(Check::Work, &error), |last| work(last, n_waiting));
    vec![work, held(store).await]
}

fn unread(check: Check, error: &StoreError) -> Finding {
    Finding::skipped(check, "", error.to_string())
}

fn work(last: LastWork, n_waiting: u64) -> Finding {
    let ago = |time: Option<Duration>| time.map_or_else(|| "never".to_owned(), |time| format!("{} ago", span(time)));
    let found =
        format!("the queue was last looked at {}, the last end recorded {}", ago(last.read_ago), ago(last.ended_ago));
    let is_recent = |time: Option<Duration>| time.is_some_and(|time| time < RECENT);
    if n_waiting > 0 && !is_recent(last.read_ago) && !is_recent(last.ended_ago) {
        let found = format!("{found}, and {n_waiting} messages are in it");
        return Finding::warning(Check::Work, "", found, "start a worker: `muster serve`");
    }
    Finding::ok(Check::Work, "", found)
}

async fn held(store: &Store) -> Finding {
    let holds = match store.open_holds().await {
        Ok(holds) => holds,
        Err(error) => return unread(Check::Holds, &error),
    };
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for hold in holds {
        let word = hold.hold.kind().filter(|kind| !matches!(kind, HoldKind::Busy | HoldKind::Replay));
        if let Some(kind) = word {
            *kinds.entry(kind.into()).or_default() += 1;
        }
    }
    if kinds.is_empty() {
        return Finding::ok(Check::Holds, "", "nothing is held or paused");
    }
    let each: Vec<_> = kinds.iter().map(|(kind, n)| format!("{n} of kind {kind}")).collect();
    let mend = "`muster holds` tells why, `muster resume` ends a pause";
    Finding::warning(Check::Holds, "", format!("jobs are held: {}", each.join(", ")), mend)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn messages_without_a_worker_are_a_warning() {
        let last = |read_ago: Option<u64>, ended_ago: Option<u64>| LastWork {
            read_ago: read_ago.map(Duration::from_secs),
            ended_ago: ended_ago.map(Duration::from_secs),
        };
        for (last, n_waiting, verdict) in [
            (last(None, None), 0, Verdict::Ok),
            (last(None, None), 5, Verdict::Warning),
            (last(Some(10), None), 5, Verdict::Ok),
            (last(None, Some(10)), 5, Verdict::Ok),
            (last(Some(3600), Some(3600)), 5, Verdict::Warning),
        ] {
            assert_eq!(work(last, n_waiting).verdict, verdict, "{last:?} {n_waiting}");
        }
    }
}
