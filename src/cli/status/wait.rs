//! `muster status --wait`: until a batch is over.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::unknown::UnknownBatch;
use crate::cli::figures::grouped;
use crate::cli::progress::Progress;
use crate::job::Name;
use crate::store::reading::{is_quiet, missing};
use crate::store::{BatchStatus, Store};

/// How often the counters are read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits until a batch is complete or nothing more comes; tells whether that is so, or it was interrupted.
///
/// A batch that has no end yet is waited for while something may be on its way.
pub(super) async fn wait(store: &Store, name: &Name, stop: &CancellationToken) -> anyhow::Result<bool> {
    let progress = Progress::new();
    let over = until_over(store, name, stop, &progress).await;
    progress.done();
    over
}

async fn until_over(store: &Store, name: &Name, stop: &CancellationToken, progress: &Progress) -> anyhow::Result<bool> {
    let mut is_told = false;
    loop {
        let empty_for = store.queues_empty_for().await?;
        match store.batch_status(name.as_str()).await? {
            Some(batch) if is_over(&batch, empty_for) => return Ok(true),
            Some(batch) => progress.show(batch.ended(), batch.announced, &message(&batch)),
            None if is_quiet(empty_for) => return Err(UnknownBatch::of(store, name).await?.into()),
            None if is_told => {}
            None => {
                let unknown = UnknownBatch::of(store, name).await?;
                progress.say(&format!("{unknown} yet: {}", unknown.hint()));
                is_told = true;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Says whether a batch is complete, or what it lacks is missing. One of unknown size is over when nothing more comes; what
/// is parked does, after the mend.
fn is_over(batch: &BatchStatus, empty_for: Option<Duration>) -> bool {
    let is_last = batch.announced.is_none() && batch.parked() == 0 && is_quiet(empty_for);
    batch.is_complete() || is_last || missing(batch.outstanding(), empty_for).is_some_and(|n| n > 0)
}

fn message(batch: &BatchStatus) -> String {
    let failed = grouped(batch.failed());
    match batch.parked() {
        0 => format!("ended, {failed} failed"),
        parked => format!("ended, {failed} failed, {} parked", grouped(parked)),
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::outcome::Code;
    use crate::store::batch::Count;
    use crate::store::reading::MISSING_AFTER;

    fn batch(announced: Option<u64>, registered: u64, parked: u64) -> BatchStatus {
        let at = OffsetDateTime::UNIX_EPOCH;
        let count = |code: Code, n| {
            let (source, status) = (String::new(), code.status());
            Count { source, status, code, n, n_status_differs: 0, first_at: at, last_at: at }
        };
        BatchStatus { announced, counts: vec![count(Code::Ok, registered), count(Code::IssuerInactive, parked)] }
    }

    #[test]
    fn a_complete_batch_is_over_whatever_the_queues_hold() {
        assert!(is_over(&batch(Some(5), 5, 0), None));
    }

    #[test]
    fn what_may_be_on_its_way_or_sent_again_is_waited_for() {
        assert!(!is_over(&batch(Some(5), 4, 0), None));
        assert!(!is_over(&batch(Some(5), 4, 0), Some(Duration::from_secs(119))));
        assert!(!is_over(&batch(Some(5), 3, 2), Some(MISSING_AFTER)));
        assert!(!is_over(&batch(None, 3, 2), Some(MISSING_AFTER)));
    }

    #[test]
    fn a_batch_is_over_when_nothing_more_comes() {
        assert!(is_over(&batch(Some(5), 4, 0), Some(MISSING_AFTER)));
        assert!(is_over(&batch(None, 4, 0), Some(MISSING_AFTER)));
        assert!(!is_over(&batch(None, 4, 0), None));
    }
}
