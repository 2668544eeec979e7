//! The most that libraries may log, whatever the filter of the settings asks for.
//!
//! Found by logging everything: at `trace`, the AWS SDK logs requests, answers and message bodies, and with them private keys
//! and session tokens; at `debug`, it logs errors that may hold an answer. No other library was found to log what it sends or
//! receives at `debug`.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// The layer that lets through all of Muster's own events, and those of libraries up to a level that holds no contents.
pub(super) fn layer() -> Targets {
    Targets::new()
        .with_default(LevelFilter::DEBUG)
        .with_target("aws", LevelFilter::INFO)
        .with_target("muster", LevelFilter::TRACE)
}
