//! Why a replay cannot be planned or started.

use std::borrow::Cow;

use muster_core::advice::{Advice, Exit};

/// A replay cannot be planned or started.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PlanError {
    /// Neither batches nor certificates were named.
    #[error("nothing is selected: name batches or certificates, or select all batches")]
    NoScope,
    /// More certificates than one replay can name.
    #[error("a replay can name at most 100,000 certificates")]
    TooManyCertificates,
    /// A code or status of a success was selected.
    #[error("only failures can be resent")]
    Successful,
    /// Nothing matches.
    #[error("no job matches")]
    Nothing,
    /// There is no such plan.
    #[error("there is no plan `{0}`")]
    Unknown(String),
    /// The plan is too old.
    #[error("the plan is more than an hour old")]
    Expired,
    /// The number was not repeated.
    #[error("to resend {0} jobs, the number must be confirmed")]
    Unconfirmed(u64),
}

impl Advice for PlanError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Expired | Self::Unknown(_) => Some("plan it again: the numbers may have changed".into()),
            Self::Unconfirmed(n) => Some(format!("type {n}").into()),
            Self::Nothing => Some("permanent failures must be named by code or status".into()),
            Self::NoScope | Self::TooManyCertificates | Self::Successful => None,
        }
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}
