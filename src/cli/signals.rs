//! Signals: the first Ctrl-C or SIGTERM stops gracefully, the second one at once; SIGXFSZ does not end the process.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::exit::INTERRUPTED;
use super::talk::talk;
use crate::telemetry;

/// A command that takes longer than this to stop prints how to stop it at once.
const STOP_HINT_AFTER: Duration = Duration::from_secs(1);

/// Returns a token that the first signal cancels; the second signal exits the process with 130.
///
/// Nothing is logged: the person who pressed Ctrl-C knows.
///
/// # Errors
/// The signal handlers cannot be installed.
pub(super) fn stop_token() -> std::io::Result<CancellationToken> {
    let stop = cancelled_by_signal(|| {})?;
    tokio::spawn(say_how_to_stop_at_once(stop.clone()));
    Ok(stop)
}

async fn say_how_to_stop_at_once(stop: CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_HINT_AFTER).await;
    talk("stopping; Ctrl-C again stops at once");
}

/// Returns a token like [`stop_token`] for a service, which logs that it stops.
///
/// # Errors
/// The signal handlers cannot be installed.
pub(super) fn logged_stop_token() -> std::io::Result<CancellationToken> {
    cancelled_by_signal(|| info!("stopping; a second signal stops at once"))
}

fn cancelled_by_signal(on_first: impl FnOnce() + Send + 'static) -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = stop.clone();
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        on_first();
        token.cancel();
        next(&mut interrupt, &mut terminate).await;
        telemetry::flush();
        #[expect(clippy::disallowed_methods, reason = "a second signal asks for an immediate exit")]
        std::process::exit(INTERRUPTED.into());
    });
    Ok(stop)
}

/// Makes a write beyond the file size limit fail like a full disk. By default, SIGXFSZ kills the process.
///
/// # Errors
/// The signal handler cannot be installed.
pub(super) fn survive_file_size_limit() -> std::io::Result<()> {
    // The handler stays installed after the stream is dropped.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

async fn next(interrupt: &mut tokio::signal::unix::Signal, terminate: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
