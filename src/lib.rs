//! Muster registers device certificates with AWS IoT Core in bulk.

pub mod certificate;
pub mod job;
pub mod outcome;
pub mod postgres;
pub mod precheck;
pub mod sandbox;
pub mod specimen;
