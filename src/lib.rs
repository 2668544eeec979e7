//! Muster registers device certificates with AWS IoT Core in bulk.

pub mod backoff;
pub mod certificate;
pub mod identity;
pub mod job;
pub mod limiter;
pub mod outcome;
pub mod postgres;
pub mod precheck;
pub mod queue;
pub mod registrar;
pub mod sandbox;
pub mod specimen;
pub mod store;
