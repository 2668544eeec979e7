//! Replays: the jobs that operators asked to have resent, with progress and results.
//!
//! A replay has a hold of its own that is released from the start, so that a worker resends its jobs like those of any
//! other released hold. In each round the worker chooses some rows ([`choose`](Ledger::choose)) and resends the waiting
//! ones. When nothing is left to choose or to send, the hold is removed and the replay has ended. All progress is in
//! the ledger, so a replay survives the death of every worker and continues where it was.

mod choose;
mod plan;

use std::collections::BTreeSet;

use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row as _};
use time::OffsetDateTime;

use super::audit::{AuditAction, note};
use super::{Ledger, LedgerError, word};
use muster_core::hold::HoldKey;
use muster_core::outcome::{Code, Status};
use muster_core::replay_filter::ReplayFilter;

pub use plan::{EXAMINED_MAX, Matching, ReplayPlan};

/// A replay and its progress.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Its number.
    pub number: i64,
    /// Which jobs it chooses: a [`ReplayFilter`] as JSON.
    pub filter: String,
    /// Whether its jobs skip the lookup of registered certificates, so that AWS itself answers.
    pub verify: bool,
    /// Who requested it: user and host.
    pub asked_by: String,
    /// When it was requested. It does not choose rows whose outcome was recorded later.
    pub asked_at: OffsetDateTime,
    /// Number of jobs that it was expected to choose when it was requested.
    pub n_expected: u64,
    /// Number of jobs chosen so far.
    pub n_chosen: u64,
    /// Number of chosen jobs that no longer wait to be sent: SQS accepted them, or another message brought an outcome.
    pub n_sent: u64,
    /// When it had examined every row.
    pub chosen_at: Option<OffsetDateTime>,
    /// When an operator cancelled it, and who did.
    pub cancelled: Option<(OffsetDateTime, String)>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
}

/// A request for a replay.
#[derive(Clone, Copy, Debug)]
pub struct ReplayRequest<'a> {
    /// Which jobs to resend.
    pub filter: &'a ReplayFilter,
    /// Whether the jobs skip the lookup of registered certificates, so that AWS itself answers.
    pub verify: bool,
    /// Who requests it: user and host.
    pub who: &'a str,
    /// Number of jobs that it is expected to choose.
    pub n_expected: u64,
}

/// The result of a request for a replay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReplayStart {
    /// A new replay with this number began.
    New(i64),
    /// The same replay is already in progress under this number.
    UnderWay(i64),
}

/// How many of a replay's jobs have one status and code.
#[derive(Clone, Copy, Debug)]
pub struct OutcomeCount {
    /// Status of their last outcome.
    pub status: Status,
    /// Code of their last outcome.
    pub code: Code,
    /// Number of jobs that got this outcome after they were resent.
    pub n_outcomes: u64,
    /// Number of jobs that wait to be resent or are on their way: this is their outcome from before.
    pub n_under_way: u64,
}

impl Ledger {
    /// Begins a replay, unless the same one is in progress.
    pub async fn begin_replay(&self, request: &ReplayRequest<'_>) -> Result<ReplayStart, LedgerError> {
        self.run(async |db| {
            loop {
                let mut transaction = self.begin(db).await?;
                if let Some(number) = insert(&mut transaction, request).await? {
                    open_hold(&mut transaction, number, request).await?;
                    let (what, detail) = (format!("replay {number}"), detail(request));
                    note(&mut transaction, &AuditAction { who: request.who, action: "replay", what: &what, detail })
                        .await?;
                    transaction.commit().await?;
                    return Ok(ReplayStart::New(number));
                }
                transaction.rollback().await?;
                // The other one may end between the two statements: then this one is new.
                if let Some(number) = under_way(db, request.filter, request.verify).await? {
                    return Ok(ReplayStart::UnderWay(number));
                }
            }
        })
        .await
    }

    /// Returns the number of the replay in progress with this filter.
    pub async fn replay_under_way(&self, filter: &ReplayFilter, verify: bool) -> Result<Option<i64>, LedgerError> {
        self.run(async |db| under_way(db, filter, verify).await).await
    }

    /// Returns a replay, if it exists.
    pub async fn replay(&self, number: i64) -> Result<Option<Replay>, LedgerError> {
        let query = format!("-- replay\n{SELECT} where replay = $1");
        self.run(async |db| {
            let row = sqlx::query(AssertSqlSafe(query)).bind(number).fetch_optional(db).await?;
            row.as_ref().map(read).transpose()
        })
        .await
    }

    /// Lists up to `n` replays, latest first, starting below the number `before` (keyset pagination).
    pub async fn replays(&self, before: Option<i64>, n: u32) -> Result<Vec<Replay>, LedgerError> {
        let query = format!("-- replays\n{SELECT} where replay < $1 order by replay desc limit $2");
        let before = before.unwrap_or(i64::MAX);
        self.run(async |db| {
            let rows = sqlx::query(AssertSqlSafe(query)).bind(before).bind(i64::from(n)).fetch_all(db).await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Counts the jobs of a replay by status and code. Jobs that a later replay chose are not included.
    pub async fn replay_outcomes(&self, number: i64) -> Result<Vec<OutcomeCount>, LedgerError> {
        let query = "-- replay_outcomes
            select status, code, count(*) as n,
                count(*) filter (
                    where request is not null and (waits_for is not null or sent_again_at is not null)
                ) as n_under_way
            from registrations
            where replay = $1
            group by status, code
            order by n desc, code";
        self.run(async |db| {
            sqlx::query(query).bind(number).fetch_all(db).await?.iter().map(read_outcome_count).collect()
        })
        .await
    }

    /// Cancels a replay: nothing more is chosen or sent, and jobs that wait to be sent keep their outcome. Jobs already
    /// sent are on their way. Returns whether the replay was in progress.
    pub async fn cancel_replay(&self, number: i64, who: &str) -> Result<bool, LedgerError> {
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let update = "-- cancel_replay
                update replays
                set cancelled_at = now(), cancelled_by = $2, ended_at = now()
                where replay = $1 and ended_at is null";
            let cancelled = sqlx::query(update).bind(number).bind(who).execute(&mut *transaction).await?;
            if cancelled.rows_affected() == 0 {
                return Ok(false);
            }
            let n = stop_waiting_for(&mut transaction, number).await?;
            count_not_sent(&mut transaction, number, n).await?;
            let delete = "-- cancel_hold\ndelete from holds where hold = $1";
            sqlx::query(delete).bind(HoldKey::replay(number).as_str()).execute(&mut *transaction).await?;
            let (what, detail) = (format!("replay {number}"), serde_json::json!({ "not_sent": n }));
            note(&mut transaction, &AuditAction { who, action: "replay cancel", what: &what, detail }).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }
}

/// Records that `n` chosen jobs of a replay will not be sent.
pub(super) async fn count_not_sent(db: &mut PgConnection, number: i64, n: u64) -> Result<(), LedgerError> {
    let update = "-- count_not_sent
        update replays
        set n_not_sent = n_not_sent + $2
        where replay = $1";
    sqlx::query(update).bind(number).bind(n.cast_signed()).execute(db).await?;
    Ok(())
}

/// Records that a replay has nothing more to send.
pub(super) async fn end(db: &mut PgConnection, number: i64) -> Result<(), LedgerError> {
    let update = "-- end_replay
        update replays
        set ended_at = now()
        where replay = $1 and ended_at is null";
    sqlx::query(update).bind(number).execute(db).await?;
    Ok(())
}

/// SQL condition of a filter for a row `r`. Its values are the first five parameters, see [`bind`].
const MATCHES: &str = "r.status not in ('registered', 'already_registered') and r.code = any($1::text[])
                    and ($2::text[] is null or r.batch = any($2))
                    and ($3::text[] is null or coalesce(r.source, '') = any($3))
                    and ($4::timestamptz is null or r.ended_at >= $4)
                    and ($5::timestamptz is null or r.ended_at < $5)";

/// Binds the values of [`MATCHES`].
fn bind<'q>(query: Query<'q, Postgres, PgArguments>, filter: &ReplayFilter) -> Query<'q, Postgres, PgArguments> {
    let query = query.bind(codes(filter)).bind(list(&filter.batches)).bind(list(&filter.sources));
    query.bind(filter.since).bind(filter.until)
}

fn codes(filter: &ReplayFilter) -> Vec<&'static str> {
    filter.codes.iter().map(|code| code.as_str()).collect()
}

/// Returns names as a parameter, `None` for all.
fn list(names: &BTreeSet<String>) -> Option<Vec<String>> {
    (!names.is_empty()).then(|| names.iter().cloned().collect())
}

/// The number sent is the number chosen that no longer waits. It is not counted on sending: a job may have an outcome
/// before its sending is recorded, and that record may be lost.
const SELECT: &str = "
    select replay, filter, verify, asked_by, asked_at, n_expected, n_chosen, chosen_at, cancelled_at, cancelled_by,
        ended_at,
        n_chosen - n_not_sent - case
            when ended_at is null then (
                select count(*)
                from registrations
                where waits_for = 'replay:' || replays.replay and request is not null
            )
            else 0
        end as n_sent
    from replays";

async fn insert(db: &mut PgConnection, request: &ReplayRequest<'_>) -> Result<Option<i64>, LedgerError> {
    let insert = "-- insert_replay
        insert into replays (filter, verify, asked_by, n_expected)
        values ($1, $2, $3, $4)
        on conflict (md5(filter), verify) where ended_at is null do nothing
        returning replay";
    let query = sqlx::query_scalar(insert).bind(request.filter.to_json()).bind(request.verify).bind(request.who);
    Ok(query.bind(request.n_expected.cast_signed()).fetch_optional(db).await?)
}

async fn under_way(db: &mut PgConnection, filter: &ReplayFilter, verify: bool) -> Result<Option<i64>, LedgerError> {
    let query = "-- replay_under_way
        select replay
        from replays
        where md5(filter) = md5($1) and verify = $2 and ended_at is null";
    Ok(sqlx::query_scalar(query).bind(filter.to_json()).bind(verify).fetch_optional(db).await?)
}

/// Creates the hold by which workers find the replay.
async fn open_hold(db: &mut PgConnection, number: i64, request: &ReplayRequest<'_>) -> Result<(), LedgerError> {
    let insert = "-- open_replay
        insert into holds (hold, reason, is_closed, probe_every, probe_at, released_at)
        values ($1, $2, false, interval '1 minute', now(), clock_timestamp())";
    let reason = format!("requested by {}", request.who);
    sqlx::query(insert).bind(HoldKey::replay(number).as_str()).bind(reason).execute(db).await?;
    Ok(())
}

/// Returns the audit detail. It has the number of the filter's certificates, not their ids: the replay has those.
fn detail(request: &ReplayRequest<'_>) -> serde_json::Value {
    let filter = ReplayFilter { certificates: BTreeSet::new(), ..request.filter.clone() };
    serde_json::json!({
        "filter": filter,
        "certificates": request.filter.certificates.len(),
        "verify": request.verify,
        "expected": request.n_expected,
    })
}

/// Takes a replay's rows off its hold. Locks them in the order that every process uses. Returns how many.
async fn stop_waiting_for(db: &mut PgConnection, number: i64) -> Result<u64, LedgerError> {
    let update = "-- stop_waiting_for
        with chosen as (
            select batch, target, operation, subject
            from registrations
            where waits_for = $1 and request is not null
            order by batch collate \"C\", target collate \"C\", operation collate \"C\", subject
            for update
        )
        update registrations r
        set waits_for = null
        from chosen
        where (r.batch, r.target, r.operation, r.subject)
            = (chosen.batch, chosen.target, chosen.operation, chosen.subject)";
    Ok(sqlx::query(update).bind(HoldKey::replay(number).as_str()).execute(db).await?.rows_affected())
}

fn read(row: &PgRow) -> Result<Replay, LedgerError> {
    let n = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let cancelled_at: Option<OffsetDateTime> = row.try_get("cancelled_at")?;
    Ok(Replay {
        number: row.try_get("replay")?,
        filter: row.try_get("filter")?,
        verify: row.try_get("verify")?,
        asked_by: row.try_get("asked_by")?,
        asked_at: row.try_get("asked_at")?,
        n_expected: n("n_expected")?,
        n_chosen: n("n_chosen")?,
        n_sent: n("n_sent")?,
        chosen_at: row.try_get("chosen_at")?,
        cancelled: cancelled_at.zip(row.try_get("cancelled_by")?),
        ended_at: row.try_get("ended_at")?,
    })
}

fn read_outcome_count(row: &PgRow) -> Result<OutcomeCount, LedgerError> {
    let n = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let n_under_way = n("n_under_way")?;
    Ok(OutcomeCount {
        status: word("status", &row.try_get::<String, _>("status")?)?,
        code: word("code", &row.try_get::<String, _>("code")?)?,
        n_outcomes: n("n")? - n_under_way,
        n_under_way,
    })
}
