//! The HTTP endpoints: metrics and health of a worker; the ops page, its API, and who may use them.
//!
//! May use: [`engine`](crate::engine), [`operator`](crate::operator), [`telemetry`](crate::telemetry),
//! [`health`](crate::health) and below. Must not know: commands.

pub mod admin;
pub mod api;
mod document;
mod download;
pub mod guard;
pub mod listener;
mod ops_listener;
pub mod page;
pub mod problem;
pub mod request;
pub mod service;
pub mod site;
