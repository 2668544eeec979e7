//! The rules of Muster, pure: no I/O, no clock, no AWS SDK, no SQL.
//!
//! A [`job`] asks to register one [`certificate`] in one [`account`]. The [`precheck`] finds what AWS would refuse before a
//! call is spent, and an [`outcome`] says what became of the job. Jobs that cannot go on are parked under a [`hold`]; a
//! [`replay_filter`] selects failed jobs to resend. A [`rate`] is the pace of calls, a [`role`] the IAM role that makes them
//! in another account, [`trouble`] what a worker reports while calls are held back, and [`proof`] the verification
//! certificate for registering a CA. [`format`] writes durations and counts for people; an error gives its [`advice`].
//!
//! Whatever depends on the time takes it as an argument.

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
