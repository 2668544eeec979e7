//! Bulk changes of messages: plan, confirm, carry out in the background, follow and cancel.
//!
//! The plan freezes the selection and counts it. Once confirmed, a task of this process carries the change out, reports
//! its progress to the ledger, and stops when the change is cancelled there. If the process dies, the change shows as
//! interrupted; what was done stays done, and planning it again finds the rest.

mod carry_out;
mod order;
mod view;

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::bulk_change::{Begin, BulkAction, NewChange};
use muster_core::advice::{Advice, Exit};

pub use order::{MessageAction, MessageOrder};
pub use view::{ChangePlan, ChangeView};

use order::FrozenOrder;

/// A bulk change cannot be planned, started or cancelled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BulkError {
    /// Nothing was named.
    #[error("nothing is selected: name messages, a reason or a batch, or select all")]
    NoScope,
    /// The selection does not fit the action.
    #[error("the quarantine is selected by reason, dead letters by batch")]
    WrongScope,
    /// Nothing matches.
    #[error("no message matches")]
    Nothing,
    /// There is no such change.
    #[error("there is no change `{0}`")]
    Unknown(String),
    /// The plan is too old.
    #[error("the plan is more than an hour old")]
    Expired,
    /// The number was not repeated.
    #[error("to change {0} messages, the number must be confirmed")]
    Unconfirmed(u64),
    /// It is not in progress.
    #[error("change `{0}` is not in progress")]
    NotRunning(String),
}

impl Advice for BulkError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Expired | Self::Unknown(_) => Some("plan it again: the numbers may have changed".into()),
            Self::Unconfirmed(n) => Some(format!("type {n}").into()),
            _ => None,
        }
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// Plans a change for `who`: freezes the selection and counts it. Changes nothing.
///
/// # Errors
/// [`BulkError`], an error of SQS, or a ledger error.
pub async fn plan(config: &Config, ledger: &Ledger, order: &MessageOrder, who: &str) -> anyhow::Result<ChangePlan> {
    let frozen = FrozenOrder::of(order, ledger.now().await?)?;
    let count = frozen.count(config, ledger).await?;
    if count.n == 0 {
        return Err(BulkError::Nothing.into());
    }
    let filter = serde_json::to_string(&frozen)?;
    let action = BulkAction::from(order.action);
    let new = NewChange { action, filter: &filter, n_expected: count.n, is_more: count.is_approximate, who };
    let id = ledger.plan_change(&new).await?;
    let change = ledger.change(&id).await?.ok_or(BulkError::Unknown(id))?;
    ChangePlan::of(change, Some(count.detail))
}

/// Reads a plan.
///
/// # Errors
/// [`BulkError::Unknown`], or a ledger error.
pub async fn planned(ledger: &Ledger, id: &str) -> anyhow::Result<ChangePlan> {
    let change = ledger.change(id).await?.filter(|change| change.action != BulkAction::Replay);
    ChangePlan::of(change.ok_or_else(|| BulkError::Unknown(id.to_owned()))?, None)
}

/// Starts a planned change for `who`, in a task of this process. Starting it twice starts it once. `confirm` must repeat
/// the number of messages if there are more than [`TYPED_ABOVE`](crate::operator::replays::TYPED_ABOVE).
///
/// # Errors
/// [`BulkError`], or a ledger error.
pub async fn start(
    config: &Arc<Config>,
    ledger: &Ledger,
    id: &str,
    confirm: Option<u64>,
    who: &str,
) -> anyhow::Result<ChangeView> {
    let plan = planned(ledger, id).await?;
    if plan.needs_confirmation && confirm != Some(plan.expected) {
        return Err(BulkError::Unconfirmed(plan.expected).into());
    }
    match ledger.begin_change(id, who).await? {
        Begin::Begun(change) => {
            let (config, ledger, who) = (Arc::clone(config), ledger.clone(), who.to_owned());
            tokio::spawn(async move { Box::pin(carry_out::carry_out(&config, &ledger, &change, &who)).await });
        }
        Begin::AlreadyBegun(_) => {}
        Begin::Expired => return Err(BulkError::Expired.into()),
        Begin::Unknown => return Err(BulkError::Unknown(id.to_owned()).into()),
    }
    show(ledger, id).await
}

/// Shows a change that was begun.
///
/// # Errors
/// [`BulkError::Unknown`], or a ledger error.
pub async fn show(ledger: &Ledger, id: &str) -> anyhow::Result<ChangeView> {
    let change = ledger.change(id).await?.filter(|change| change.begun.is_some());
    Ok(ChangeView::of(change.ok_or_else(|| BulkError::Unknown(id.to_owned()))?))
}

/// Lists up to `limit` changes that were begun before the change `before`, the latest first.
pub async fn changes(ledger: &Ledger, before: Option<&str>, limit: u32) -> anyhow::Result<Vec<ChangeView>> {
    Ok(ledger.changes(before, limit).await?.into_iter().map(ChangeView::of).collect())
}

/// Cancels a change for `who`: it stops within seconds. What is done stays done.
///
/// # Errors
/// [`BulkError`], or a ledger error.
pub async fn cancel(ledger: &Ledger, id: &str, who: &str) -> anyhow::Result<ChangeView> {
    if !ledger.cancel_change(id, who).await? {
        let is_known = ledger.change(id).await?.is_some();
        let id = id.to_owned();
        return Err(if is_known { BulkError::NotRunning(id) } else { BulkError::Unknown(id) }.into());
    }
    show(ledger, id).await
}
