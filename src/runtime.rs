//! Small tools on top of tokio and the file system: waits, retries, output files, crash points for tests.
//!
//! Nothing here knows about certificates.
//!
//! May use: nothing else of this crate.

pub mod backoff;
mod causes;
pub(crate) mod crash_point;
pub mod output_file;
pub(crate) mod shared_call;
mod sleep_until;

pub(crate) use causes::causes;
pub(crate) use sleep_until::sleep_until;
