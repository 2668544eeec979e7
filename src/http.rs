//! The HTTP endpoints of a worker: metrics, liveness and readiness.
//!
//! May use: [`engine`](crate::engine), [`operator`](crate::operator), [`telemetry`](crate::telemetry) and below.
//! Must not know: commands.

pub mod admin;
pub mod service;
