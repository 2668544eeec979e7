//! The quota of AWS, shared by all workers: permits, leased from one row of the ledger per account, region and
//! operation.
//!
//! The pace is GCRA over that row; the rate in it adapts to what AWS allows (AIMD-style). One permit is one call.
//!
//! May use: [`health`](crate::health), [`ledger`](crate::ledger), [`telemetry`](crate::telemetry) and below.
//! Must not know: messages, certificates, what a permit is used for.

pub mod by_target;
pub mod lease_client;
pub mod permits;
