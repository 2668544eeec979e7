//! What people order, whatever they order it with: diagnosis, reconciliation with AWS, CA registration, resending raw bodies.
//!
//! A command, a page and an API that do the same thing share one function here.
//!
//! May use: [`quota`](crate::quota), [`health`](crate::health), [`ledger`](crate::ledger), [`aws`](crate::aws) and below.
//! Must not know: the workers, output formats.

pub mod ca_registration;
pub mod doctor;
pub mod reconcile;
pub mod redrive;
pub mod situation;
