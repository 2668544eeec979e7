//! The integration tests: one binary, so that one Postgres serves them all.

// Tells clippy that helpers here are tests too, where unwrap and println are fine.
#![cfg(test)]

mod compose;
mod config;
mod crash_points;
mod database;
mod deletes;
mod enqueue;
mod factory;
mod ledger;
mod moto;
mod postgres;
mod postgres_faults;
mod precheck;
mod process_faults;
mod program;
#[path = "../stage/proxy.rs"]
mod proxy;
mod python;
mod readme;
mod sandbox;
#[path = "../stage/server.rs"]
mod server;
mod service;
mod status;
mod trouble;
