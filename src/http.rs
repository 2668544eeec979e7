//! The HTTP endpoints of a worker: metrics, liveness and readiness.
//!
//! May use: [`engine`](crate::engine), [`telemetry`](crate::telemetry), [`health`](crate::health) and below. Must not
//! know: commands.

pub mod admin;
pub mod api;
mod download;
pub mod guard;
pub mod listener;
pub mod page;
pub mod problem;
pub mod request;
pub mod service;
pub mod site;
