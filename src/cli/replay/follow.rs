//! Waits for the end of a replay.

use std::time::Duration;

use super::report::Report;
use crate::cli::progress::Progress;
use crate::store::Store;

/// How often it is looked how far a replay is.
const EVERY: Duration = Duration::from_secs(1);

/// Returns when all that a replay chose has ended, and shows how far that is meanwhile. Workers do it: without one, this
/// waits for ever.
pub(super) async fn until_ended(store: &Store, number: i64) -> anyhow::Result<()> {
    let progress = Progress::new();
    loop {
        let report = Report::read(store, number).await?;
        if report.is_over() {
            progress.done();
            return Ok(());
        }
        let message = format!("ended again, {} of these not well", report.n_failed());
        progress.show(report.n_ended(), Some(report.n_chosen()), &message);
        tokio::time::sleep(EVERY).await;
    }
}
