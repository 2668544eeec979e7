//! Muster registers device certificates with AWS IoT Core in bulk.
//!
//! ```text
//! SQS --receive--> receiver --> worker -----------------------------> recorder --commit--> Postgres
//!                  takes a slot  precheck -> known already? -> token     |
//!                  a message     -> Register... (retry inside)           +--ack / release--> SQS
//!                  <------------------ slot comes back after the ack ----+
//! ```
//!
//! [`serve`] puts the parts together. One job's way: [`receiver`] takes [`slots`] and messages from the [`queue`] and
//! reads the [`job`] in each; the [`worker`] lets [`precheck`] judge it, waits for a token of the [`limiter`] and has the
//! [`registrar`] call AWS; the [`recorder`] writes the [`outcome`] into the [`store`] and deletes the message. The
//! [`heartbeat`] keeps everything held hidden meanwhile.
//!
//! [`enqueue`] is the other end of the queue: it reads a [`manifest`] of files, prechecks what is in them and sends it.
//!
//! [`single`] registers one certificate without the queue, for people who register a CA; [`proof`] makes what AWS asks for then.
//!
//! [`reconcile`] compares the ledger with what AWS holds, for people who ask for it.
//! [`doctor`] examines everything that a worker needs; [`forwarding`] sends bodies again that were taken out of the way.
//!
//! [`sandbox`] is a local SQS and AWS IoT with real rules, for tests, the demo and benches; [`postgres`] starts a
//! private server for them and [`specimen`] makes their certificates.

pub mod admin;
pub mod arrivals;
pub mod backlog;
pub mod backoff;
pub mod breaker;
pub mod breakers;
pub mod certificate;
pub mod claims;
pub mod cli;
pub mod clock;
mod command;
pub mod config;
mod crash_point;
pub mod doctor;
pub mod enqueue;
pub mod figures;
pub mod forwarding;
pub mod heartbeat;
pub mod hold;
pub mod holds;
pub mod identity;
pub mod job;
pub mod lessor;
pub mod limiter;
pub mod limiters;
pub mod manifest;
pub mod metrics;
pub mod outcome;
pub mod output_file;
pub mod postgres;
pub mod precheck;
pub mod presence;
pub mod proof;
pub mod queue;
pub mod receiver;
pub mod reconcile;
pub mod recorder;
pub mod registrar;
pub mod replay;
pub mod sandbox;
pub mod sdk_error;
pub mod sender;
pub mod serve;
pub mod session;
pub mod single;
mod single_flight;
pub mod situation;
pub mod slots;
pub mod specimen;
pub mod store;
pub mod telemetry;
pub mod trouble;
pub mod worker;
