//! The integration tests: one binary, so that one Postgres serves them all.

// Tells clippy that helpers here are tests too, where unwrap and println are fine.
#![cfg(test)]

mod compose;
mod config;
mod database;
mod enqueue;
mod factory;
mod input;
mod ledger;
mod moto;
mod postgres;
mod precheck;
mod program;
mod python;
mod readme;
mod sandbox;
mod secrecy;
mod service;
mod status;
mod trouble;
