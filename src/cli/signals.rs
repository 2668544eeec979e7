//! Stops on Ctrl-C or SIGTERM: once in order, twice at once; and survives another signal.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::exit::INTERRUPTED;
use super::talk::talk;
use crate::telemetry;

/// How long a command may take to stop before it says how to stop it at once.
const STOPS_WITHIN: Duration = Duration::from_secs(1);

/// A token for a command: the first signal cancels it, the second ends the process with 130. Nothing is logged: whoever
/// presses Ctrl-C knows.
///
/// # Errors
/// The system gives no signals.
pub(super) fn stop_token() -> std::io::Result<CancellationToken> {
    let stop = cancelled_by_signal(|| {})?;
    tokio::spawn(say_how_to_stop_at_once(stop.clone()));
    Ok(stop)
}

async fn say_how_to_stop_at_once(stop: CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOPS_WITHIN).await;
    talk("stopping; Ctrl-C again stops at once");
}

/// The same for a service, whose log says why it stops.
///
/// # Errors
/// The system gives no signals.
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
        #[expect(clippy::disallowed_methods, reason = "a second signal asks for just that")]
        std::process::exit(INTERRUPTED.into());
    });
    Ok(stop)
}

/// Lets a write beyond the limit of a file's size fail, as on a full disk: the system's default is to kill the process.
///
/// # Errors
/// The system gives no signals.
pub(super) fn outlive_file_size_limit() -> std::io::Result<()> {
    // What is handled once stays handled.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

async fn next(interrupt: &mut tokio::signal::unix::Signal, terminate: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
