//! A planned change and a change in progress, for people and as JSON.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::ledger::bulk_change::{BulkChange, PLAN_VALID_FOR};
use crate::operator::replays::TYPED_ABOVE;

/// A planned change of messages.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangePlan {
    /// Id of the plan; whoever starts it names this id.
    pub plan: String,
    /// What is to be done: `quarantine replay`, `quarantine drop`, `dead replay` or `dead drop`.
    pub action: String,
    /// The selection, which no longer changes.
    #[schema(value_type = Object)]
    pub filter: Box<RawValue>,
    /// Number of messages that were counted when it was planned.
    pub expected: u64,
    /// Whether SQS counted them, so that the number is approximate.
    pub is_approximate: bool,
    /// The count by reason or by batch. Null: not counted again.
    pub detail: Option<Value>,
    /// Whether `confirm` must repeat `expected` to start it.
    pub needs_confirmation: bool,
    /// Who planned it.
    pub planned_by: String,
    /// Until when it can be started.
    #[serde(with = "time::serde::rfc3339")]
    pub valid_until: OffsetDateTime,
    /// Whether it was started.
    pub is_begun: bool,
}

/// A change that was started.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeView {
    /// Its id.
    pub change: String,
    /// What is done.
    pub action: String,
    /// `running`, `interrupted` (its process died), `cancelled`, `ended` or `failed`.
    pub state: String,
    /// The selection.
    #[schema(value_type = Object)]
    pub filter: Box<RawValue>,
    /// Number of messages that were counted when it was planned.
    pub expected: u64,
    /// Whether SQS counted them, so that the number is approximate.
    pub is_approximate: bool,
    /// Messages changed so far.
    pub done: u64,
    /// Messages that could not be changed.
    pub failed: u64,
    /// Who started it.
    pub requested_by: String,
    /// When it was started.
    #[serde(with = "time::serde::rfc3339")]
    pub requested_at: OffsetDateTime,
    /// Who cancelled it. Null: nobody.
    pub cancelled_by: Option<String>,
    /// When it ended. Null: it has not.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The replay that it started. Null: none.
    pub replay: Option<i64>,
    /// The result in detail. Null: there is none yet.
    pub result: Option<Value>,
    /// Why it failed. Null: it did not.
    pub error: Option<String>,
}

impl ChangePlan {
    /// Creates it from a row of the ledger.
    pub(super) fn of(change: BulkChange, detail: Option<Value>) -> anyhow::Result<Self> {
        Ok(Self {
            action: change.action.to_string(),
            filter: RawValue::from_string(change.filter)?,
            expected: change.n_expected,
            is_approximate: change.is_more,
            detail: detail.filter(|detail| !detail.is_null()),
            needs_confirmation: change.n_expected > TYPED_ABOVE,
            planned_by: change.planned.1,
            valid_until: (change.planned.0 + PLAN_VALID_FOR).truncate_to_second(),
            is_begun: change.begun.is_some(),
            plan: change.id,
        })
    }
}

impl ChangeView {
    /// Creates it from a row of the ledger.
    pub(super) fn of(change: BulkChange) -> Self {
        let state = change.state().to_string();
        let (requested_at, requested_by) = change.begun.unwrap_or(change.planned);
        Self {
            action: change.action.to_string(),
            state,
            filter: RawValue::from_string(change.filter).unwrap_or_else(|_| RawValue::NULL.to_owned()),
            expected: change.n_expected,
            is_approximate: change.is_more,
            done: change.n_done,
            failed: change.n_failed,
            requested_by,
            requested_at: requested_at.truncate_to_second(),
            cancelled_by: change.cancelled.map(|(_, who)| who),
            ended_at: change.ended_at.map(OffsetDateTime::truncate_to_second),
            replay: change.replay,
            result: change.result,
            error: change.error,
            change: change.id,
        }
    }

    /// Returns whether it may still go on.
    pub fn is_in_progress(&self) -> bool {
        self.ended_at.is_none() && self.state == "running"
    }
}
