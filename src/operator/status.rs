//! The progress of batches and of the fleet: what `muster status`, the API and the ops page show.
//!
//! Numbers come from counters, so even a batch of millions is answered at once. What is unknown is `None`, never zero.

mod facts;
mod list;
mod pace;
mod query;
mod rates;
mod report;
mod sources;
mod text;
mod unknown;

pub use facts::Measured;
pub use list::{BatchListing, ListedBatch};
pub use query::StatusQuery;
pub use rates::{LearntRate, ShownChange};
pub use report::{BatchReport, FailureGroup, ShownFailure, WaitingFor, outcome_statuses};
pub use sources::SourceCounts;
pub use unknown::{UnknownBatch, counters};
