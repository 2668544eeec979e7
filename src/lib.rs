//! Muster registers device certificates with AWS IoT Core in bulk.
//!
//! ```text
//! SQS --receive--> receiver --> worker -----------------------------> recorder --commit--> Postgres
//!                  takes a slot  precheck -> known already? -> permit    |
//!                  a message     -> Register... (retry inside)           +--ack / release--> SQS
//!                  <------------------ slot comes back after the ack ----+
//! ```
//!
//! # The groups
//! Each folder is a group, opened by one file that says what it is for and what it may use. Arrows point down only; the
//! test `arrows` holds them to a list.
//!
//! ```text
//! cli        one file per command: arguments in, text or JSON out
//! http       metrics and health
//! operator   what people order: doctor, reconcile, CA registration, resending bodies
//! engine     the worker process: receive, work, record, acknowledge
//! intake     readers of certificate files, enqueue            quota      permits, leased from the ledger
//! health     breakers, holds, clocks                          telemetry  logs, metrics
//! aws        the only AWS SDK users: SQS, IoT, STS            ledger     the only SQL
//! config     settings and the types they become               runtime    waits, retries, files
//! muster_core   certificate, job, outcome, precheck: pure
//! ```
//!
//! # The walk of one job
//! 1. [`engine::receiver`] takes a [slot](engine::slots) and a message from the [queue](aws::queue), and parses the
//!    [job](muster_core::job) in it. A body that is not a job is quarantined.
//! 2. [`engine::worker`] has the [precheck](muster_core::precheck) judge it, joins copies of one certificate
//!    ([`engine::single_flight`]) and looks it up in the [`ledger`].
//! 3. It asks the [board](health::board) whether anything holds the job back; if so, the job is parked or waits.
//! 4. It takes a permit of the [quota](quota::permits) and calls AWS through the [target's client](aws::target_client).
//!    [`aws::attempts`] decides what an error means: retry, outcome, or a hold.
//! 5. [`engine::recorder`] commits the [outcome](muster_core::outcome) and then deletes the message. The
//!    [`engine::heartbeat`] keeps the message hidden until then.
//!
//! `muster_sandbox` is a local SQS, AWS IoT and STS with their rules and quotas, for tests, the demo and benches.

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
