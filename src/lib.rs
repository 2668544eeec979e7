//! Muster registers device certificates with AWS IoT Core in bulk.
//!
//! ```text
//! SQS --receive--> receiver --job--> worker ------outcome-----------------> recorder --commit--> Postgres
//!                  takes a slot,     precheck -> already registered?          |
//!                  then a message    -> board: a call, wait, or park          +--delete / release--> SQS
//!                        ^           -> permit -> call AWS, and retry         |
//!                        +-------------- the slot is free again --------------+
//! ```
//!
//! # The groups
//! Each folder is a group with a root file that states its purpose and what it may use. Dependencies point down only;
//! the test `arrows` checks them against a list.
//!
//! ```text
//! cli        the commands: arguments in, text or JSON out
//! http       metrics, health, the ops page and its API
//! engine     the worker process: receive, work, record     operator   what operators ask and request
//! intake     certificate file readers, enqueue             quota      permits, leased from the ledger
//! health     circuit breakers, holds, clocks               telemetry  logs, metrics
//! aws        the only calls to AWS: SQS, IoT, STS          ledger     the only SQL
//! config     settings and their typed form                 runtime    waits, retries, files
//! muster_core   certificate, job, outcome, precheck: pure
//! ```
//!
//! # The path of one job
//! 1. [`engine::receiver`] takes a [slot](engine::slots), receives a message from the [queue](aws::queue) and parses
//!    the [job](muster_core::job) in it. A body that is not a job, or whose target is not configured, is quarantined.
//! 2. [`engine::worker`] runs the [precheck](muster_core::precheck), lets only one of several copies of a
//!    certificate proceed ([`engine::single_flight`]) and looks it up in the [`ledger`].
//! 3. It checks the [board](health::board) for open circuit breakers and holds; if one applies, the job is parked or
//!    waits.
//! 4. It acquires a permit of the [quota](quota::permits) and calls AWS through the [target's
//!    client](aws::target_client). [`aws::registrar`] says what an error means, [`aws::attempts`] whether the job
//!    has an outcome or is retried.
//! 5. [`engine::recorder`] commits the [outcome](muster_core::outcome) and then deletes the message. The
//!    [`engine::heartbeat`] keeps the message hidden until then.
//!
//! `muster_sandbox` is a local SQS, AWS IoT and STS that enforces their rules and quotas, for tests, the demo and
//! benches.

pub mod aws;
pub mod cli;
pub mod config;
pub mod engine;
pub mod health;
pub mod http;
pub mod intake;
pub mod ledger;
pub mod operator;
pub mod quota;
pub mod runtime;
pub mod telemetry;
