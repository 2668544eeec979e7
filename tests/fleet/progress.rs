//! Reports progress, and whether there was always work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use muster_sandbox::{ApiOperation, CallLog};
use tokio::task::JoinSet;

use crate::plant::{Plant, QUEUE};
use crate::strikes::Counts;

/// How often progress is reported.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// How often the queue is checked.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// The fewest visible messages in the queue so far.
#[derive(Clone)]
pub(crate) struct Supply(Arc<AtomicU64>);

impl Supply {
    /// Watches until the set is dropped.
    pub(crate) fn watch(tasks: &mut JoinSet<()>, plant: &Plant) -> Self {
        let queue = plant.sites[0].ledger();
        let supply = Self(Arc::new(AtomicU64::new(visible(&queue))));
        let least = supply.clone();
        tasks.spawn(async move {
            loop {
                least.0.fetch_min(visible(&queue), Ordering::Relaxed);
                tokio::time::sleep(CHECK_EVERY).await;
            }
        });
        supply
    }

    pub(crate) fn least(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reports progress on standard error until the set is dropped.
pub(crate) fn report(tasks: &mut JoinSet<()>, plant: &Plant, started: Instant, counts: Arc<Counts>) {
    let sites: Vec<_> = plant.sites.iter().map(|site| (site.plan.target, site.ledger())).collect();
    tasks.spawn(async move {
        let mut at = started;
        loop {
            at += REPORT_EVERY;
            tokio::time::sleep_until(at.into()).await;
            eprintln!("{:4} s: {}", (at - started).as_secs(), line(&sites, &counts));
        }
    });
}

fn line(sites: &[(&str, CallLog)], counts: &Counts) -> String {
    let mut parts: Vec<_> = sites
        .iter()
        .map(|(target, ledger)| {
            let calls = ledger.summary(ApiOperation::RegisterCertificate);
            format!("{target} {} calls, {} throttled", calls.calls, calls.throttled)
        })
        .collect();
    parts.push(format!("{} messages left", visible(&sites[0].1)));
    let struck = [("kills", &counts.kills), ("freezes", &counts.freezes), ("restarts", &counts.restarts)];
    let struck = struck.map(|(name, count)| (name, count.load(Ordering::Relaxed)));
    parts.extend(struck.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{n} {name}")));
    parts.join("; ")
}

fn visible(queue: &CallLog) -> u64 {
    queue.queue(QUEUE).unwrap().total.visible
}
