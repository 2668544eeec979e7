//! The integration tests: a single binary, so that one Postgres serves them all.

// Tells clippy that helpers here are tests too, where unwrap and println are allowed.
#![cfg(test)]

mod arrows;
mod bounds;
mod breakers;
mod browser;
mod bulk;
mod ca;
mod closed_output;
mod compose;
mod config;
mod connections;
mod crash_points;
mod credential_process;
mod database;
mod database_url;
mod dead;
mod deletes;
mod doctor;
mod doubt;
mod enqueue;
mod export;
mod factory;
mod head_of_line;
mod holds;
mod http;
mod http_guard;
mod input;
mod intake;
#[path = "../stage/lag.rs"]
mod lag;
mod large;
mod ledger;
mod logging;
mod moto;
mod odd_answers;
mod operations;
mod output_file;
mod pause;
mod pooler;
mod postgres;
mod postgres_faults;
mod precheck;
mod process_faults;
mod program;
mod proxies;
#[path = "../stage/proxy.rs"]
mod proxy;
mod prune;
mod python;
mod quarantine;
mod queue_trouble;
mod quota;
mod readme;
mod reconcile;
mod replay;
mod report;
mod sandbox;
mod second_queue;
mod secrecy;
mod sender;
#[path = "../stage/server.rs"]
mod server;
mod service;
mod show;
mod situation;
mod status;
mod targets;
mod trouble;
mod unstorable;
mod visibility;
mod wrapped;
