//! Operator actions: diagnosis, reconciliation with AWS, CA registration, resending raw message bodies.
//!
//! Commands that do the same thing share one function here.
//!
//! May use: [`quota`](crate::quota), [`intake`](crate::intake), [`health`](crate::health),
//! [`telemetry`](crate::telemetry) and below. Must not know: the workers, output formats.

pub mod ca_registration;
pub mod doctor;
pub mod reconcile;
pub mod redrive;
pub mod situation;
