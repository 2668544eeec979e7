//! Stops on Ctrl-C or SIGTERM: once in order, twice at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::exit::INTERRUPTED;

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
        info!("stopping; a second signal stops at once");
        token.cancel();
        next(&mut interrupt, &mut terminate).await;
        #[expect(clippy::disallowed_methods, reason = "a second signal asks for just that")]
        std::process::exit(INTERRUPTED.into());
    });
    Ok(stop)
}

async fn next(interrupt: &mut tokio::signal::unix::Signal, terminate: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
