//! Sleeping until an optional instant.

use tokio::time::Instant;

/// Sleeps until the instant, or forever if there is none.
pub(crate) async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
