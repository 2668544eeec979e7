//! Certificate intake: reads files and folders, prechecks what they contain, and sends jobs to the queue.
//!
//! May use: [`aws`](crate::aws), [`config`](crate::config), [`runtime`](crate::runtime). Must not know: the ledger, the
//! workers, permits.

pub mod ca_folder;
pub mod enqueue;
pub mod manifest;
