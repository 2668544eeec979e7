//! The only users of the AWS SDKs: SQS, IoT and STS, and what their answers mean.
//!
//! Errors are classified here, once; whoever calls sees kinds, never SDK types. Every call has a time-out, and the SDK's own
//! retries are off for IoT: one attempt is one permit.
//!
//! May use: [`config`](crate::config), [`runtime`](crate::runtime). Must not know: the ledger, permits, or whether a job exists.

pub mod attempts;
pub mod identity;
pub mod queue;
pub mod registrar;
pub mod sdk_error;
pub mod target_client;
