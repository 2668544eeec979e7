//! Operator actions: diagnosis, reconciliation with AWS, CA registration, resending raw message bodies.
//!
//! Commands that do the same thing share one function here.
//!
//! May use: [`quota`](crate::quota), [`intake`](crate::intake), [`health`](crate::health),
//! [`telemetry`](crate::telemetry) and below. Must not know: the workers, HTTP, how a command
//! prints.

pub mod audit_log;
pub mod authorities;
pub mod bulk;
pub mod ca_registration;
pub mod certificates;
pub mod dead;
pub mod doctor;
pub mod export;
pub mod failures;
pub mod fleet;
pub mod history;
pub mod holds;
pub mod long_task;
pub mod overview;
pub mod pausing;
pub mod quarantine;
pub mod reconcile;
pub mod redrive;
pub mod replays;
pub mod situation;
pub mod status;
