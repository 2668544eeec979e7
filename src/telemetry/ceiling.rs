//! The most verbose level at which libraries may log, whatever the filter asks for.
//!
//! Found by logging everything: at `trace`, the AWS SDK logs requests, responses and message bodies, which include
//! private keys and session tokens. At `debug`, it logs errors that may contain a response. No other library was found
//! to log what it sends or receives at `debug`.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Returns the layer that passes all of Muster's events, and those of libraries up to a level that reveals no contents.
pub(super) fn layer() -> Targets {
    Targets::new()
        .with_default(LevelFilter::DEBUG)
        .with_target("aws", LevelFilter::INFO)
        .with_target("muster", LevelFilter::TRACE)
}
