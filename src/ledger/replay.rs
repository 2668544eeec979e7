//! Replays: what people asked to be sent again, how far that is, and what came of it.
//!
//! A replay has a hold of its own that is over from the start, so that a worker's sender takes it like any other. In each
//! turn it chooses some rows ([`choose`](Ledger::choose)) and sends what waits; when nothing is left to choose or to send,
//! the hold goes and the replay has ended. So it survives the death of every worker, and goes on where it was.

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

pub use plan::{LOOKED_AT_MAX, Matching, ReplayPlan};

/// A replay, as far as it is.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Its number.
    pub number: i64,
    /// What it chooses, as JSON; [`ReplayFilter`] reads it.
    pub filter: String,
    /// Its jobs insist on AWS's own answer.
    pub verify: bool,
    /// Who asked for it.
    pub asked_by: String,
    /// When; what ended later is not chosen.
    pub asked_at: OffsetDateTime,
    /// How many jobs it was to choose when it was asked for.
    pub n_expected: u64,
    /// How many it chose.
    pub n_chosen: u64,
    /// How many of those wait to be sent no more: SQS took them, or another message ended them before.
    pub n_sent: u64,
    /// When it had looked at everything.
    pub chosen_at: Option<OffsetDateTime>,
    /// When somebody cancelled it, and who.
    pub cancelled: Option<(OffsetDateTime, String)>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
}

/// What somebody asks to be sent again.
#[derive(Clone, Copy, Debug)]
pub struct ReplayRequest<'a> {
    /// Which jobs.
    pub filter: &'a ReplayFilter,
    /// They insist on AWS's own answer.
    pub verify: bool,
    /// Who asks.
    pub who: &'a str,
    /// How many jobs that was a moment ago.
    pub n_expected: u64,
}

/// What came of asking for a replay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReplayStart {
    /// It begins, under this number.
    New(i64),
    /// The same is under way already, under this number.
    UnderWay(i64),
}

/// How many of the jobs that a replay chose stand so.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// How they ended, the last time.
    pub status: Status,
    /// Why.
    pub code: Code,
    /// How many came to an end since they were sent.
    pub n_ended: u64,
    /// How many wait, or are on their way: this is how they ended before.
    pub n_under_way: u64,
}

impl Ledger {
    /// Begins a replay, unless the same is under way.
    pub async fn begin_replay(&self, wish: &ReplayRequest<'_>) -> Result<ReplayStart, LedgerError> {
        self.run(async |db| {
            loop {
                let mut transaction = self.begin(db).await?;
                if let Some(number) = insert(&mut transaction, wish).await? {
                    open_hold(&mut transaction, number, wish).await?;
                    let (what, detail) = (format!("replay {number}"), detail(wish));
                    note(&mut transaction, &AuditAction { who: wish.who, action: "replay", what: &what, detail })
                        .await?;
                    transaction.commit().await?;
                    return Ok(ReplayStart::New(number));
                }
                transaction.rollback().await?;
                // It may end in between: then this one is new.
                if let Some(number) = under_way(db, wish.filter, wish.verify).await? {
                    return Ok(ReplayStart::UnderWay(number));
                }
            }
        })
        .await
    }

    /// Finds the replay of a filter that is under way.
    pub async fn replay_under_way(&self, filter: &ReplayFilter, verify: bool) -> Result<Option<i64>, LedgerError> {
        self.run(async |db| under_way(db, filter, verify).await).await
    }

    /// Reads a replay.
    pub async fn replay(&self, number: i64) -> Result<Option<Replay>, LedgerError> {
        let query = format!("-- replay\n{SELECT} where replay = $1");
        self.run(async |db| {
            let row = sqlx::query(AssertSqlSafe(query)).bind(number).fetch_optional(db).await?;
            row.as_ref().map(read).transpose()
        })
        .await
    }

    /// Reads the replays, the latest first, from before a number on.
    pub async fn replays(&self, before: Option<i64>, n: u32) -> Result<Vec<Replay>, LedgerError> {
        let query = format!("-- replays\n{SELECT} where replay < $1 order by replay desc limit $2");
        let before = before.unwrap_or(i64::MAX);
        self.run(async |db| {
            let rows = sqlx::query(AssertSqlSafe(query)).bind(before).bind(i64::from(n)).fetch_all(db).await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Counts how the jobs stand that a replay chose and no later one did.
    pub async fn came_of_replay(&self, number: i64) -> Result<Vec<Came>, LedgerError> {
        let query = "-- came_of_replay
            select status, code, count(*) as n,
                count(*) filter (
                    where request is not null and (waits_for is not null or sent_again_at is not null)
                ) as n_under_way
            from registrations
            where replay = $1
            group by status, code
            order by n desc, code";
        self.run(async |db| sqlx::query(query).bind(number).fetch_all(db).await?.iter().map(read_came).collect()).await
    }

    /// Ends a replay because somebody says so: nothing more is chosen, and what waits to be sent stays as it is. What was
    /// sent is on its way. Tells whether it was under way.
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

/// Notes that jobs that a replay chose are not sent.
pub(super) async fn count_not_sent(db: &mut PgConnection, number: i64, n: u64) -> Result<(), LedgerError> {
    let update = "-- count_not_sent
        update replays
        set n_not_sent = n_not_sent + $2
        where replay = $1";
    sqlx::query(update).bind(number).bind(n.cast_signed()).execute(db).await?;
    Ok(())
}

/// Notes that a replay has nothing more to send.
pub(super) async fn end(db: &mut PgConnection, number: i64) -> Result<(), LedgerError> {
    let update = "-- end_replay
        update replays
        set ended_at = now()
        where replay = $1 and ended_at is null";
    sqlx::query(update).bind(number).execute(db).await?;
    Ok(())
}

/// What a filter says of a row `r`; its values are the first five parameters, see [`bind`].
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

/// Names as a parameter; none for all.
fn list(names: &BTreeSet<String>) -> Option<Vec<String>> {
    (!names.is_empty()).then(|| names.iter().cloned().collect())
}

/// What was sent is what waits no more: a job may end before its sending is noted, and a note may be lost.
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

async fn insert(db: &mut PgConnection, wish: &ReplayRequest<'_>) -> Result<Option<i64>, LedgerError> {
    let insert = "-- insert_replay
        insert into replays (filter, verify, asked_by, n_expected)
        values ($1, $2, $3, $4)
        on conflict (md5(filter), verify) where ended_at is null do nothing
        returning replay";
    let query = sqlx::query_scalar(insert).bind(wish.filter.to_json()).bind(wish.verify).bind(wish.who);
    Ok(query.bind(wish.n_expected.cast_signed()).fetch_optional(db).await?)
}

async fn under_way(db: &mut PgConnection, filter: &ReplayFilter, verify: bool) -> Result<Option<i64>, LedgerError> {
    let query = "-- replay_under_way
        select replay
        from replays
        where md5(filter) = md5($1) and verify = $2 and ended_at is null";
    Ok(sqlx::query_scalar(query).bind(filter.to_json()).bind(verify).fetch_optional(db).await?)
}

/// Makes the hold by which senders find the replay.
async fn open_hold(db: &mut PgConnection, number: i64, wish: &ReplayRequest<'_>) -> Result<(), LedgerError> {
    let insert = "-- open_replay
        insert into holds (hold, reason, is_closed, probe_every, probe_at, released_at)
        values ($1, $2, false, interval '1 minute', now(), clock_timestamp())";
    let reason = format!("{} asked for it", wish.who);
    sqlx::query(insert).bind(HoldKey::replay(number).as_str()).bind(reason).execute(db).await?;
    Ok(())
}

/// The audit's own copy of a filter says how many certificates it names, not which: the replay has them.
fn detail(wish: &ReplayRequest<'_>) -> serde_json::Value {
    let filter = ReplayFilter { certificates: BTreeSet::new(), ..wish.filter.clone() };
    serde_json::json!({
        "filter": filter,
        "certificates": wish.filter.certificates.len(),
        "verify": wish.verify,
        "expected": wish.n_expected,
    })
}

/// Lets the rows of a replay wait no more, in the order in which everybody locks them.
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

fn read_came(row: &PgRow) -> Result<Came, LedgerError> {
    let n = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    let n_under_way = n("n_under_way")?;
    Ok(Came {
        status: word("status", &row.try_get::<String, _>("status")?)?,
        code: word("code", &row.try_get::<String, _>("code")?)?,
        n_ended: n("n")? - n_under_way,
        n_under_way,
    })
}
