//! What blocks calls, as this worker sees it: circuit breakers with half-open probes, holds, wrong clocks, settings
//! that do not fit.
//!
//! May use: [`aws`](crate::aws), [`ledger`](crate::ledger), [`config`](crate::config), [`runtime`](crate::runtime).
//! Must not know: permits, jobs in flight, metrics.

pub mod board;
pub mod breaker;
pub mod clock;
pub mod fit;
pub mod hold_view;
