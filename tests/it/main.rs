//! The integration tests: one binary, so that one Postgres serves them all.

// Tells clippy that helpers here are tests too, where unwrap and println are fine.
#![cfg(test)]

mod breakers;
mod compose;
mod config;
mod connections;
mod database;
mod enqueue;
mod factory;
mod holds;
mod input;
mod ledger;
mod moto;
mod postgres;
mod precheck;
mod program;
mod python;
mod queue_trouble;
mod readme;
mod sandbox;
mod second_queue;
mod secrecy;
mod sender;
mod service;
mod status;
mod trouble;
mod unstorable;
mod visibility;
