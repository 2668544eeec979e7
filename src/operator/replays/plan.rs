//! The plan of a replay: a filter that the ledger keeps unchanged, what it selects, and the confirmation that starts it.
//!
//! What is confirmed is exactly what was shown: the plan ends at the time when it was made, so failures recorded later
//! are not resent with it.

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::forecast::Forecast;
use super::order::ReplayOrder;
use super::plan_error::PlanError;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::bulk_change::{Begin, BulkAction, BulkChange, NewChange, PLAN_VALID_FOR};
use crate::ledger::replay::{ReplayRequest, ReplayStart};
use crate::operator::status::counters;
use muster_core::replay_filter::ReplayFilter;

/// Number of jobs or messages above which the operator must type the number to confirm.
pub const TYPED_ABOVE: u64 = 1000;

/// A planned replay.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayPlan {
    /// Id of the plan; whoever starts it names this id.
    pub plan: String,
    /// The filter, which no longer changes.
    #[schema(value_type = Object)]
    pub filter: Box<RawValue>,
    /// Whether AWS is asked about each certificate.
    pub verify: bool,
    /// Number of jobs that were counted when it was planned.
    pub expected: u64,
    /// Whether there were more than could be counted.
    pub is_more: bool,
    /// Whether `confirm` must repeat `expected` to start it.
    pub needs_confirmation: bool,
    /// What it would resend now.
    pub forecast: Forecast,
    /// Who planned it.
    pub planned_by: String,
    /// Until when it can be started.
    #[serde(with = "time::serde::rfc3339")]
    pub valid_until: OffsetDateTime,
    /// The replay that was started from it. Null: none yet.
    pub replay: Option<i64>,
}

/// The filter and the options of a replay, as the plan keeps them.
#[derive(Debug, Deserialize, Serialize)]
struct FrozenReplay {
    filter: ReplayFilter,
    verify: bool,
}

impl ReplayPlan {
    /// Plans a replay for `who`: freezes the filter and counts what it selects.
    ///
    /// # Errors
    /// [`PlanError`], an unknown batch, or a ledger error.
    pub async fn make(config: &Config, ledger: &Ledger, order: &ReplayOrder, who: &str) -> anyhow::Result<Self> {
        let mut filter = order.filter()?;
        for batch in &order.batches {
            counters(ledger, batch).await?;
        }
        filter.until = Some(filter.until.map_or(ledger.now().await?, |until| until));
        let forecast = Forecast::of(config, ledger, &filter).await?;
        if forecast.to_resend == 0 {
            return Err(PlanError::Nothing.into());
        }
        let frozen = serde_json::to_string(&FrozenReplay { filter, verify: order.verify })?;
        let (action, n_expected, is_more) = (BulkAction::Replay, forecast.to_resend, forecast.is_more);
        let id = ledger.plan_change(&NewChange { action, filter: &frozen, n_expected, is_more, who }).await?;
        Self::of(read(ledger, &id).await?, forecast)
    }

    /// Reads a plan, and what it would resend now.
    ///
    /// # Errors
    /// [`PlanError::Unknown`], or a ledger error.
    pub async fn read(config: &Config, ledger: &Ledger, id: &str) -> anyhow::Result<Self> {
        let change = read(ledger, id).await?;
        let forecast = Forecast::of(config, ledger, &frozen(&change)?.filter).await?;
        Self::of(change, forecast)
    }

    fn of(change: BulkChange, forecast: Forecast) -> anyhow::Result<Self> {
        let FrozenReplay { filter, verify } = frozen(&change)?;
        Ok(Self {
            filter: RawValue::from_string(filter.to_json())?,
            verify,
            expected: change.n_expected,
            is_more: change.is_more,
            needs_confirmation: change.n_expected > TYPED_ABOVE,
            forecast,
            valid_until: (change.planned.0 + PLAN_VALID_FOR).truncate_to_second(),
            planned_by: change.planned.1,
            replay: change.replay,
            plan: change.id,
        })
    }
}

/// Starts a planned replay for `who` and returns its number; starting it twice starts one replay. `confirm` must repeat
/// the number of jobs if there are more than [`TYPED_ABOVE`].
///
/// # Errors
/// [`PlanError`], or a ledger error.
pub async fn start(ledger: &Ledger, id: &str, confirm: Option<u64>, who: &str) -> anyhow::Result<i64> {
    let plan = read(ledger, id).await?;
    if plan.n_expected > TYPED_ABOVE && confirm != Some(plan.n_expected) {
        return Err(PlanError::Unconfirmed(plan.n_expected).into());
    }
    let change = match ledger.begin_change(id, who).await? {
        // Without a replay, the process that began it died before it started the replay: this one goes on.
        Begin::Begun(change) | Begin::AlreadyBegun(change) => change,
        Begin::Expired => return Err(PlanError::Expired.into()),
        Begin::Unknown => return Err(PlanError::Unknown(id.to_owned()).into()),
    };
    if let Some(number) = change.replay {
        return Ok(number);
    }
    let FrozenReplay { filter, verify } = frozen(&change)?;
    let request = ReplayRequest { filter: &filter, verify, who, n_expected: change.n_expected };
    let (ReplayStart::New(number) | ReplayStart::UnderWay(number)) = ledger.begin_replay(&request).await?;
    ledger.note_change_replay(id, number).await?;
    ledger.end_change(id, Some(&json!({ "replay": number })), None).await?;
    Ok(number)
}

/// Reads the plan of a replay.
async fn read(ledger: &Ledger, id: &str) -> anyhow::Result<BulkChange> {
    let change = ledger.change(id).await?.filter(|change| change.action == BulkAction::Replay);
    change.ok_or_else(|| PlanError::Unknown(id.to_owned()).into())
}

fn frozen(change: &BulkChange) -> serde_json::Result<FrozenReplay> {
    serde_json::from_str(&change.filter)
}
