//! What a bulk change is to do, and its frozen form.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::BulkError;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::bulk_change::BulkAction;
use crate::operator::dead::{DeadQueues, DeadSelection, Sweep, SweepEffect, SweepTally};
use crate::operator::long_task::TaskControl;
use crate::operator::quarantine::QuarantineSelection;
use muster_core::job::Name;

/// Most dead letters that a plan receives to count them exactly; of more, the count is that of SQS.
const COUNTED_MAX: u64 = 1000;

/// What to do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageAction {
    /// Resend the quarantined messages that are jobs now.
    QuarantineReplay,
    /// Delete quarantined messages permanently.
    QuarantineDrop,
    /// Resend the dead letters that are jobs.
    DeadReplay,
    /// Move dead letters to the quarantine.
    DeadDrop,
}

/// What to do to which messages. One of `all`, `ids`, `reason` and `batch` selects them.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageOrder {
    /// What to do.
    pub action: MessageAction,
    /// Every message.
    #[serde(default)]
    pub all: bool,
    /// The messages with these SQS ids.
    #[serde(default)]
    pub ids: Vec<String>,
    /// The messages quarantined for this reason.
    pub reason: Option<String>,
    /// The dead letters that are jobs of this batch.
    #[schema(value_type = Option<String>)]
    pub batch: Option<Name>,
}

/// An order with the selection that no longer changes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FrozenOrder {
    /// Of the quarantine.
    Quarantine(QuarantineSelection),
    /// Of the dead-letter queues.
    Dead(DeadSelection),
}

/// The number of messages that an order selects.
pub(super) struct OrderCount {
    pub(super) n: u64,
    /// SQS counted, not Muster.
    pub(super) is_approximate: bool,
    /// The count in detail: by reason, or by batch.
    pub(super) detail: Value,
}

impl From<MessageAction> for BulkAction {
    fn from(action: MessageAction) -> Self {
        match action {
            MessageAction::QuarantineReplay => Self::QuarantineReplay,
            MessageAction::QuarantineDrop => Self::QuarantineDrop,
            MessageAction::DeadReplay => Self::DeadReplay,
            MessageAction::DeadDrop => Self::DeadDrop,
        }
    }
}

impl FrozenOrder {
    /// Freezes an order: of the quarantine, what arrives after `now` is not selected.
    pub(super) fn of(order: &MessageOrder, now: OffsetDateTime) -> Result<Self, BulkError> {
        let MessageOrder { action, all, ids, reason, batch } = order.clone();
        let n_scopes =
            [all, !ids.is_empty(), reason.is_some(), batch.is_some()].into_iter().filter(|is_set| *is_set).count();
        if n_scopes != 1 {
            return Err(BulkError::NoScope);
        }
        match action {
            MessageAction::QuarantineReplay | MessageAction::QuarantineDrop if batch.is_none() => {
                Ok(Self::Quarantine(QuarantineSelection { all, ids, reason, until: Some(now) }))
            }
            MessageAction::DeadReplay | MessageAction::DeadDrop if reason.is_none() => {
                Ok(Self::Dead(DeadSelection { all, ids, batch }))
            }
            _ => Err(BulkError::WrongScope),
        }
    }

    /// Counts the selected messages.
    pub(super) async fn count(&self, config: &Config, ledger: &Ledger) -> anyhow::Result<OrderCount> {
        match self {
            Self::Quarantine(selection) => {
                let by_reason = ledger.quarantined_by_reason(selection.filter()).await?;
                let n = by_reason.iter().map(|(_, n)| n).sum();
                let detail = by_reason.into_iter().map(|(reason, n)| (reason, Value::from(n))).collect();
                Ok(OrderCount { n, is_approximate: false, detail: Value::Object(detail) })
            }
            Self::Dead(selection) => count_dead(config, ledger, selection).await,
        }
    }
}

/// Counts dead letters: exactly, by receiving and releasing them, unless there are too many.
async fn count_dead(config: &Config, ledger: &Ledger, selection: &DeadSelection) -> anyhow::Result<OrderCount> {
    let queues = DeadQueues::open(config, None).await?;
    let n: u64 = queues.dead.iter().map(|dead| dead.attributes.messages()).sum();
    if n > COUNTED_MAX {
        return Ok(OrderCount { n, is_approximate: true, detail: Value::Null });
    }
    let (control, _) = TaskControl::new(CancellationToken::new());
    let sweep = Sweep { effect: SweepEffect::Replay, selection, dry_run: true, who: "", ledger };
    let (tallies, swept) = sweep.run(config, &queues, &control).await;
    swept?;
    let n = tallies.iter().map(SweepTally::n_found).sum();
    Ok(OrderCount { n, is_approximate: false, detail: serde_json::to_value(tallies)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(json: &str) -> Result<FrozenOrder, BulkError> {
        FrozenOrder::of(&serde_json::from_str(json).unwrap(), OffsetDateTime::UNIX_EPOCH)
    }

    #[test]
    fn exactly_one_scope_is_needed() {
        assert!(matches!(order(r#"{"action":"quarantine_drop"}"#), Err(BulkError::NoScope)));
        assert!(matches!(order(r#"{"action":"quarantine_drop","all":true,"reason":"x"}"#), Err(BulkError::NoScope)));
        assert!(matches!(order(r#"{"action":"dead_drop","ids":[]}"#), Err(BulkError::NoScope)));
        assert!(order(r#"{"action":"dead_drop","all":true}"#).is_ok());
        assert!(order(r#"{"action":"quarantine_replay","reason":"not_json"}"#).is_ok());
    }

    #[test]
    fn a_selection_fits_its_action() {
        assert!(matches!(order(r#"{"action":"quarantine_drop","batch":"b"}"#), Err(BulkError::WrongScope)));
        assert!(matches!(order(r#"{"action":"dead_replay","reason":"not_json"}"#), Err(BulkError::WrongScope)));
    }
}
