//! Logs panics. The default hook writes to standard error directly and would wait for a blocked reader.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use tracing::error;

/// The `tracing` target of these lines.
pub(super) const TARGET: &str = module_path!();

/// Logs a panic, with a backtrace if `RUST_BACKTRACE` asks for one.
pub(super) fn log(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("no message");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        error!(thread, %backtrace, "panicked at {location}: {message}");
    } else {
        error!(thread, "panicked at {location}: {message}");
    }
}
