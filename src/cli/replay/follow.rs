//! `muster replay --wait`: waits for a replay to finish.

use std::time::Duration;

use crate::cli::progress::Progress;
use crate::cli::signals;
use crate::ledger::Ledger;
use crate::operator::replays::ReplayReport;

/// Polling interval.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Waits until every job of a replay has an outcome, and shows the progress. Returns `false` if interrupted.
///
/// The workers do the work: while none is running, this waits forever.
pub(super) async fn until_finished(ledger: &Ledger, number: i64) -> anyhow::Result<bool> {
    let (progress, stop) = (Progress::new(), signals::stop_token()?);
    loop {
        let report = ReplayReport::read(ledger, number).await?;
        if report.is_over() {
            progress.done();
            return Ok(true);
        }
        let message = format!("outcomes, {} failed again", report.n_failed());
        progress.show(report.n_outcomes(), Some(report.n_chosen()), &message);
        tokio::select! {
            () = stop.cancelled() => {
                progress.done();
                return Ok(false);
            }
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}
