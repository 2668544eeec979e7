//! The worker process: from a received message to a recorded outcome.
//!
//! A [`receiver`] takes a slot and a message, a [`worker`] brings its job to an outcome, the [`recorder`] commits
//! outcomes in groups and then deletes the messages; a [`heartbeat`] keeps held messages hidden. [`serve`] starts and
//! stops them all.
//!
//! May use: [`quota`](crate::quota), [`intake`](crate::intake) (the CA folder), [`health`](crate::health),
//! [`telemetry`](crate::telemetry) and below. Must not know: HTTP, commands.

pub mod arrivals;
pub mod backlog;
pub mod heartbeat;
pub mod presence;
pub mod receiver;
pub mod recorder;
pub mod resender;
pub mod serve;
pub mod single_flight;
pub mod slots;
pub mod throttles;
pub mod worker;
