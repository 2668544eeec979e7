//! Pauses and resumes all workers, one target or one batch.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::config::Config;
use crate::ledger::Ledger;
use crate::operator::status::UnknownBatch;
use muster_core::advice::{Advice, Exit};
use muster_core::hold::{HoldKey, HoldKind, Notice};
use muster_core::job::Name;

/// What is paused or resumed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PauseScope {
    /// All workers of the ledger.
    All,
    /// One target.
    Target(Name),
    /// One batch.
    Batch(Name),
}

/// The kinds of scope. A request names one explicitly, so that an empty request never pauses everything.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// All workers of the ledger.
    All,
    /// The target that is named.
    Target,
    /// The batch that is named.
    Batch,
}

/// The kind of scope and the name do not fit.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a target or a batch needs a `name`, and `all` must have none")]
pub struct ScopeError;

impl Advice for ScopeError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// Who pauses what, and why.
#[derive(Clone, Debug)]
pub struct PauseOrder<'a> {
    /// What to pause.
    pub scope: &'a PauseScope,
    /// The reason, shown with the hold.
    pub reason: &'a str,
    /// Pauses a batch even if the ledger does not know it yet.
    pub is_new: bool,
    /// Who pauses it, for the audit.
    pub who: &'a str,
}

/// There is nothing to resume.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not paused")]
pub struct NotPaused {
    what: String,
    /// Everything that is paused.
    paused: Vec<String>,
}

impl Advice for NotPaused {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self.paused.as_slice() {
            [] => "nothing is paused; `muster holds` lists what else parked jobs wait for".to_owned(),
            paused => format!("currently paused: {}", paused.join(", ")),
        };
        Some(hint.into())
    }
}

/// Pauses and returns whether it was not paused before.
///
/// # Errors
/// The settings do not know the target, the ledger does not know the batch, or a ledger error.
pub async fn pause(config: &Config, ledger: &Ledger, order: &PauseOrder<'_>) -> anyhow::Result<bool> {
    match order.scope {
        PauseScope::Target(target) => drop(config.target(target)?),
        PauseScope::Batch(batch) if !order.is_new => check_batch(ledger, batch).await?,
        PauseScope::All | PauseScope::Batch(_) => {}
    }
    let reason = format!("paused by {}: {}", order.who, order.reason);
    Ok(ledger.pause(&order.scope.hold(), &reason, order.who).await?)
}

/// Resumes: the parked jobs are resent.
///
/// # Errors
/// [`NotPaused`], or a ledger error.
pub async fn resume(ledger: &Ledger, scope: &PauseScope, who: &str) -> anyhow::Result<()> {
    if ledger.release_by_operator(&scope.hold(), "resume", who).await? {
        return Ok(());
    }
    let open = ledger.open_holds().await?;
    let paused = open.iter().filter(|open| open.hold.kind() == Some(HoldKind::Pause));
    let paused = paused.map(|open| Notice::of(&open.hold, None).title.replace(" is paused", "")).collect();
    Err(NotPaused { what: scope.to_string(), paused }.into())
}

/// Returns an error for a batch that the ledger does not know.
async fn check_batch(ledger: &Ledger, batch: &Name) -> anyhow::Result<()> {
    if ledger.batch_status(batch.as_str()).await?.is_some() {
        return Ok(());
    }
    let unknown = UnknownBatch::of(ledger, batch).await?;
    Err(unknown.with_alternative("`--new` pauses it before its first message").into())
}

impl PauseScope {
    /// Creates the scope of a kind.
    pub fn new(kind: ScopeKind, name: Option<Name>) -> Result<Self, ScopeError> {
        match (kind, name) {
            (ScopeKind::All, None) => Ok(Self::All),
            (ScopeKind::Target, Some(target)) => Ok(Self::Target(target)),
            (ScopeKind::Batch, Some(batch)) => Ok(Self::Batch(batch)),
            _ => Err(ScopeError),
        }
    }

    /// Returns the hold that stands for the pause.
    pub fn hold(&self) -> HoldKey {
        match self {
            Self::All => HoldKey::pause_all(),
            Self::Target(target) => HoldKey::pause_target(target),
            Self::Batch(batch) => HoldKey::pause_batch(batch),
        }
    }

    /// Returns the arguments of `muster pause` and `muster resume`.
    pub fn arguments(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Target(target) => format!("target {target}"),
            Self::Batch(batch) => format!("batch {batch}"),
        }
    }
}

impl fmt::Display for PauseScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "everything"),
            Self::Target(target) => write!(f, "target `{target}`"),
            Self::Batch(batch) => write!(f, "batch `{batch}`"),
        }
    }
}
