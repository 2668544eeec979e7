//! Changes of many things at once: an operator plans one, confirms it, and can follow and cancel it.
//!
//! The plan freezes the filter and the count; what is confirmed is what was shown. [`begin_change`] claims a plan
//! exactly once, however often a button is pressed, and writes the audit entry in the same transaction. One process then
//! carries the change out and reports its progress; if it dies, its reports stop and the change counts as interrupted.
//! This module does not carry out anything.
//!
//! [`begin_change`]: Ledger::begin_change

mod confirmation;
mod state;

use std::time::Duration;

use aws_lc_rs::rand;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use time::OffsetDateTime;

use super::audit::{AuditAction, note};
use super::queue_readings::as_i64;
use super::{Ledger, LedgerError, storable, storable_json, word};

pub use confirmation::Begin;
pub use state::ChangeState;

/// For how long a plan can be begun. Later, its count may no longer be true: it must be planned anew.
pub const PLAN_VALID_FOR: Duration = Duration::from_hours(1);

/// For how long the process that carries out a change counts as alive after each report.
pub const RUNNER_ALIVE_FOR: Duration = Duration::from_secs(30);

/// For how long a plan that was not begun is kept.
const PLAN_KEPT: Duration = Duration::from_hours(24);

/// For how long a change is kept after its end.
const CHANGE_KEPT: Duration = Duration::from_hours(31 * 24);

/// Most rows that one call of [`Ledger::forget_changes`] deletes.
const FORGOTTEN_MAX: i64 = 1000;

/// What is done to everything that matches the filter.
#[derive(Clone, Copy, Debug, Display, EnumString, Eq, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum BulkAction {
    /// Jobs are resent.
    Replay,
    /// Quarantined messages are sent to the queue again.
    #[strum(serialize = "quarantine replay")]
    QuarantineReplay,
    /// Quarantined messages are dropped.
    #[strum(serialize = "quarantine drop")]
    QuarantineDrop,
    /// Dead letters are sent to the queue again.
    #[strum(serialize = "dead replay")]
    DeadReplay,
    /// Dead letters are dropped.
    #[strum(serialize = "dead drop")]
    DeadDrop,
}

/// A change to plan.
#[derive(Clone, Copy, Debug)]
pub struct NewChange<'a> {
    /// What to do.
    pub action: BulkAction,
    /// To what: JSON with its keys in a fixed order.
    pub filter: &'a str,
    /// Number of things that match now.
    pub n_expected: u64,
    /// Whether counting stopped at a maximum, so that more than `n_expected` match.
    pub is_more: bool,
    /// Who plans it.
    pub who: &'a str,
}

/// A change of many things, and its progress.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkChange {
    /// 128 random bits in hexadecimal.
    pub id: String,
    /// What is done.
    pub action: BulkAction,
    /// To what: JSON, exactly as it was planned.
    pub filter: String,
    /// Number of things that matched when it was planned.
    pub n_expected: u64,
    /// Whether more than `n_expected` matched.
    pub is_more: bool,
    /// When it was planned, and by whom.
    pub planned: (OffsetDateTime, String),
    /// When it was begun, and by whom. `None`: it was not.
    pub begun: Option<(OffsetDateTime, String)>,
    /// Number of the replay that it started.
    pub replay: Option<i64>,
    /// Number of things changed so far.
    pub n_done: u64,
    /// Number of things that could not be changed.
    pub n_failed: u64,
    /// Until when the process that carries it out counts as alive.
    pub runner_until: Option<OffsetDateTime>,
    /// When it was cancelled, and by whom.
    pub cancelled: Option<(OffsetDateTime, String)>,
    /// When its process was done with it.
    pub ended_at: Option<OffsetDateTime>,
    /// What came of it.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
    /// When this was read, by the clock of the server, which also set all other times.
    pub read_at: OffsetDateTime,
}

impl Ledger {
    /// Records a plan and returns its id, which cannot be guessed.
    pub async fn plan_change(&self, new: &NewChange<'_>) -> Result<String, LedgerError> {
        let insert = "-- plan_change
            insert into bulk_changes (id, action, filter, n_expected, is_more, planned_by)
            values ($1, $2, $3, $4, $5, $6)";
        let id = random_id();
        self.run(async |db| {
            let query = sqlx::query(insert).bind(&id).bind(<&str>::from(new.action)).bind(new.filter);
            let query = query.bind(as_i64(new.n_expected)).bind(new.is_more).bind(storable(new.who));
            query.execute(db).await?;
            Ok(id)
        })
        .await
    }

    /// Returns a change, if it exists.
    pub async fn change(&self, id: &str) -> Result<Option<BulkChange>, LedgerError> {
        self.run(async |db| change(db, id).await).await
    }

    /// Records how far a change is, as totals, and that its process is alive. Returns whether to go on: not if it was
    /// cancelled, has ended or does not exist.
    pub async fn note_change_progress(&self, id: &str, n_done: u64, n_failed: u64) -> Result<bool, LedgerError> {
        let update = "-- note_change_progress
            update bulk_changes
            set n_done = $2, n_failed = $3, runner_until = clock_timestamp() + make_interval(secs => $4)
            where id = $1 and begun_at is not null and ended_at is null
            returning cancelled_at is null";
        let alive_for = RUNNER_ALIVE_FOR.as_secs_f64();
        self.run(async |db| {
            let query = sqlx::query_scalar(update).bind(storable(id)).bind(as_i64(n_done)).bind(as_i64(n_failed));
            Ok(query.bind(alive_for).fetch_optional(db).await? == Some(true))
        })
        .await
    }

    /// Records which replay a change started.
    pub async fn note_change_replay(&self, id: &str, replay: i64) -> Result<(), LedgerError> {
        let update = "-- note_change_replay
            update bulk_changes
            set replay = $2
            where id = $1 and begun_at is not null";
        self.run(async |db| Ok(sqlx::query(update).bind(storable(id)).bind(replay).execute(db).await.map(drop)?)).await
    }

    /// Cancels a change that was begun: its process stops at its next report. What is done stays done. Returns whether
    /// there was something to cancel. A plan needs no cancelling.
    pub async fn cancel_change(&self, id: &str, who: &str) -> Result<bool, LedgerError> {
        let update = "-- cancel_change
            update bulk_changes
            set cancelled_at = now(), cancelled_by = $2
            where id = $1 and begun_at is not null and ended_at is null and cancelled_at is null
            returning action, n_done";
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let query = sqlx::query_as(update).bind(storable(id)).bind(storable(who));
            let cancelled: Option<(String, i64)> = query.fetch_optional(&mut *transaction).await?;
            let Some((action, n_done)) = cancelled else { return Ok(false) };
            let (what, detail) = (format!("change {id}"), json!({ "cancelled": action, "done": n_done }));
            note(&mut transaction, &AuditAction { who, action: "change cancel", what: &what, detail }).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Records that the process is done with a change: what came of it, or why it failed. Does nothing if it has ended.
    pub async fn end_change(&self, id: &str, result: Option<&Value>, error: Option<&str>) -> Result<(), LedgerError> {
        let update = "-- end_change
            update bulk_changes
            set ended_at = now(), result = $2::jsonb, error = $3
            where id = $1 and begun_at is not null and ended_at is null";
        let result = result.map(|value| storable_json(value.to_string()));
        self.run(async |db| {
            let query = sqlx::query(update).bind(storable(id)).bind(&result).bind(error.map(storable));
            Ok(query.execute(db).await.map(drop)?)
        })
        .await
    }

    /// Lists up to `n` changes that were begun, latest first, after the change `before` (keyset pagination). Nothing
    /// follows a change that does not exist.
    pub async fn changes(&self, before: Option<&str>, n: u32) -> Result<Vec<BulkChange>, LedgerError> {
        let query = format!(
            "-- changes
            {SELECT}
            where begun_at is not null
                and ($1::text is null or (begun_at, id) < (select begun_at, id from bulk_changes where id = $1))
            order by begun_at desc, id desc
            limit $2"
        );
        self.run(async |db| {
            let rows =
                sqlx::query(AssertSqlSafe(query)).bind(before.map(storable)).bind(i64::from(n)).fetch_all(db).await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Deletes plans that were not begun within a day, and changes that ended 31 days ago or whose process stopped
    /// reporting then; up to a thousand. Returns how many it deleted.
    pub async fn forget_changes(&self) -> Result<u64, LedgerError> {
        let delete = "-- forget_changes
            with old as (
                select id
                from bulk_changes
                where (begun_at is null and planned_at < now() - make_interval(secs => $1))
                    or coalesce(ended_at, runner_until) < now() - make_interval(secs => $2)
                limit $3
                for update skip locked
            )
            delete from bulk_changes c
            using old
            where c.id = old.id";
        let [plan, ended] = [PLAN_KEPT, CHANGE_KEPT].map(|time| time.as_secs_f64());
        self.run(async |db| {
            let query = sqlx::query(delete).bind(plan).bind(ended).bind(FORGOTTEN_MAX);
            Ok(query.execute(db).await?.rows_affected())
        })
        .await
    }
}

/// Returns 128 random bits in hexadecimal.
fn random_id() -> String {
    let mut bits = [0; 16];
    rand::fill(&mut bits).expect("aws-lc ends the process if the system has no random bits");
    hex::encode(bits)
}

const SELECT: &str = "
    select id, action, filter, n_expected, is_more, planned_by, planned_at, begun_by, begun_at, replay, n_done,
        n_failed, runner_until, cancelled_at, cancelled_by, ended_at, result, error, clock_timestamp() as read_at
    from bulk_changes";

async fn change(db: &mut PgConnection, id: &str) -> Result<Option<BulkChange>, LedgerError> {
    let query = format!("-- change\n{SELECT} where id = $1");
    sqlx::query(AssertSqlSafe(query)).bind(storable(id)).fetch_optional(db).await?.as_ref().map(read).transpose()
}

fn read(row: &PgRow) -> Result<BulkChange, LedgerError> {
    let n = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let at = |column| row.try_get::<Option<OffsetDateTime>, _>(column);
    let who = |column| row.try_get::<Option<String>, _>(column);
    Ok(BulkChange {
        id: row.try_get("id")?,
        action: word("action", &row.try_get::<String, _>("action")?)?,
        filter: row.try_get("filter")?,
        n_expected: n("n_expected")?,
        is_more: row.try_get("is_more")?,
        planned: (row.try_get("planned_at")?, row.try_get("planned_by")?),
        begun: at("begun_at")?.zip(who("begun_by")?),
        replay: row.try_get("replay")?,
        n_done: n("n_done")?,
        n_failed: n("n_failed")?,
        runner_until: at("runner_until")?,
        cancelled: at("cancelled_at")?.zip(who("cancelled_by")?),
        ended_at: at("ended_at")?,
        result: row.try_get::<Option<Json<Value>>, _>("result")?.map(|json| json.0),
        error: row.try_get("error")?,
        read_at: row.try_get("read_at")?,
    })
}
