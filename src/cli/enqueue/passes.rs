//! The two passes of enqueueing, read and send, with progress; used by `enqueue` and `demo`.

use std::io;

use anyhow::Context;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::summary::Summary;
use crate::cli::progress::Progress;
use crate::intake::enqueue::{BatchSender, EnqueueTally, Planned, Planner, Reject, Spool};

/// Receives the rejects.
pub(in crate::cli) type Sink<'a> = &'a mut (dyn FnMut(Reject) -> io::Result<()> + Send);

/// Reads and prechecks everything; returns `None` if stopped.
pub(in crate::cli) async fn read(
    mut planner: Planner,
    progress: &Progress,
    stop: &CancellationToken,
    sink: Sink<'_>,
) -> anyhow::Result<Option<(Spool<Planned>, EnqueueTally)>> {
    while !stop.is_cancelled() {
        let page;
        (planner, page) = spawn_blocking(move || {
            let page = planner.read_page();
            (planner, page)
        })
        .await?;
        let Some(rejects) = page.context("cannot write to the temporary folder")? else {
            progress.done();
            return Ok(Some(planner.finish()));
        };
        rejects.into_iter().try_for_each(&mut *sink).context("cannot write the rejects file")?;
        let tally = planner.tally();
        progress.show(tally.found, None, &format!("read, {} rejected", tally.n_rejected()));
    }
    progress.done();
    Ok(None)
}

/// Sends everything. The summary counts the results even if an error is returned.
pub(in crate::cli) async fn send(
    mut sender: BatchSender,
    summary: &mut Summary,
    progress: &Progress,
    stop: &CancellationToken,
    sink: Sink<'_>,
) -> anyhow::Result<()> {
    let mut result = Ok(());
    while let Some(called) = sender.next_call(stop).await.context("cannot read the temporary file")? {
        summary.count(&called);
        called.rejects.into_iter().try_for_each(&mut *sink).context("cannot write the rejects file")?;
        if let Some(error) = called.error {
            result = Err(error).context("cannot send everything");
        }
        progress.show(summary.sent, Some(summary.tally.to_send), "sent");
    }
    progress.done();
    result
}
