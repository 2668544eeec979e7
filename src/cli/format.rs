//! How commands format counts, durations, timestamps and foreign texts.

pub(super) use muster_core::format::{counted, grouped, printable, rfc3339, span};
