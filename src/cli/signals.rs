//! Stops on Ctrl-C or SIGTERM: once in order, twice at once; and survives another signal.

use std::io::IsTerminal;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::INTERRUPTED;
use super::talk::talk;

/// A token that the first signal cancels; the second ends the process.
///
/// # Errors
/// The system gives no signals.
pub(super) fn stop_token() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = stop.clone();
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        if std::io::stderr().is_terminal() {
            talk("stopping; press Ctrl-C again to stop at once");
        }
        token.cancel();
        next(&mut interrupt, &mut terminate).await;
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
