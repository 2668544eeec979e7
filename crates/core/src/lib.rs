//! The rules of Muster, pure: no I/O, no clock, no AWS SDK, no SQL.
//!
//! A [`job`] asks to register one [`certificate`] in one [`account`]. The [`precheck`] finds what AWS would refuse
//! before a call is made, and an [`outcome`] records the result of the job. Jobs that cannot proceed are parked under a
//! [`hold`]; a [`replay_filter`] selects failed jobs to resend. A [`rate`] is the pace of calls, a [`role`] the IAM
//! role that makes them in another account, [`trouble`] what a worker reports while calls are held back, and [`proof`]
//! the verification certificate for registering a CA. [`mod@format`] formats durations and counts for display, and
//! [`advice`] is what an error says to a shell.
//!
//! Anything that depends on the time takes it as an argument.

pub mod account;
pub mod advice;
pub mod certificate;
pub mod format;
pub mod hold;
pub mod job;
pub mod outcome;
pub mod precheck;
pub mod proof;
pub mod rate;
pub mod replay_filter;
pub mod role;
pub mod trouble;
