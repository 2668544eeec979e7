//! Operator actions: diagnosis, reconciliation with AWS, CA registration, resending raw message bodies.
//!
//! Commands, web pages and APIs that do the same thing share one function here.
//!
//! May use: [`quota`](crate::quota), [`health`](crate::health), [`ledger`](crate::ledger), [`aws`](crate::aws) and
//! below. Must not know: the workers, output formats.

pub mod ca_registration;
pub mod doctor;
pub mod reconcile;
pub mod redrive;
pub mod situation;
