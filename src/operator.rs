//! What operators ask and change: status, certificates, failures, replays, messages, holds, diagnosis, reconciliation
//! with AWS, CA registration.
//!
//! Commands, the API and the ops page share one function and one view for the same thing. A view has its text
//! (`Display`) and its JSON (`Serialize`) here; how a page renders it is up to `http`.
//!
//! May use: [`quota`](crate::quota), [`intake`](crate::intake), [`health`](crate::health),
//! [`telemetry`](crate::telemetry) and below. Must not know: the workers, HTTP, the terminal.

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
