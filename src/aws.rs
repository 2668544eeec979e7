//! SQS, IoT and STS: the only code that calls AWS, and the meaning of its answers.
//!
//! Errors are classified here, once. Callers see error kinds, never SDK types. Every call has a timeout. The SDK's own
//! retries are disabled for IoT, so that one attempt uses one permit.
//!
//! May use: [`config`](crate::config), [`runtime`](crate::runtime). Must not know: the ledger, permits, or whether a
//! job exists.

pub mod attempts;
pub mod identity;
pub mod queue;
pub mod registrar;
pub mod sdk_error;
pub mod target_client;
