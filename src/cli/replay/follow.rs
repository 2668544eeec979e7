//! Waits for the end of a replay.

use std::time::Duration;

use super::report::ReplayReport;
use crate::cli::progress::Progress;
use crate::cli::signals;
use crate::ledger::Ledger;

/// How often it is looked how far a replay is.
const EVERY: Duration = Duration::from_secs(1);

/// Waits until all that a replay chose has ended, and shows how far that is meanwhile; tells whether it has, or
/// somebody stopped the waiting. Workers do it: without one, nothing ends.
pub(super) async fn until_ended(ledger: &Ledger, number: i64) -> anyhow::Result<bool> {
    let (progress, stop) = (Progress::new(), signals::stop_token()?);
    loop {
        let report = ReplayReport::read(ledger, number).await?;
        if report.is_over() {
            progress.done();
            return Ok(true);
        }
        let message = format!("ended again, {} of these not well", report.n_failed());
        progress.show(report.n_ended(), Some(report.n_chosen()), &message);
        tokio::select! {
            () = stop.cancelled() => {
                progress.done();
                return Ok(false);
            }
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
