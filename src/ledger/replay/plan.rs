//! What a replay would do: the number of matching jobs by code, and what has happened to them since.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::super::{Ledger, LedgerError, word};
use super::{MATCHES, bind, codes, list};
use muster_core::job::Operation;
use muster_core::outcome::{Code, Status};
use muster_core::replay_filter::ReplayFilter;

/// Maximum number of rows that a plan examines, so that it takes a second or two, however many jobs failed.
pub const EXAMINED_MAX: u64 = 100_000;

/// What a replay would choose.
#[derive(Clone, Debug)]
pub struct ReplayPlan {
    /// Matching jobs by target, operation, status and code.
    pub matching: Vec<Matching>,
    /// There may be more matching jobs than were examined.
    pub is_more: bool,
}

/// Matching jobs of one target and operation with one status and code.
#[derive(Clone, Debug)]
pub struct Matching {
    /// The target.
    pub target: String,
    /// The AWS call.
    pub operation: Operation,
    /// Their status.
    pub status: Status,
    /// Their code.
    pub code: Code,
    /// Number of jobs.
    pub n: u64,
    /// How many of these the replay would choose.
    pub n_chosen: u64,
    /// How many cannot be resent: the ledger has no request for them.
    pub n_without_request: u64,
    /// How many are not chosen because they already wait to be resent, or were resent and have no outcome yet.
    pub n_under_way: u64,
    /// How many of the chosen ones were registered by another batch since. They cost no AWS call.
    pub n_known: u64,
}

impl Ledger {
    /// Returns what a replay would choose now.
    pub async fn plan_replay(&self, filter: &ReplayFilter) -> Result<ReplayPlan, LedgerError> {
        self.run(async |db| {
            let batches: Vec<String> = sqlx::query_scalar(BATCHES)
                .bind(codes(filter))
                .bind(list(&filter.batches))
                .bind(list(&filter.sources))
                .fetch_all(&mut *db)
                .await?;
            let certificates: Vec<&[u8]> = filter.certificates.iter().map(|id| id.0.as_slice()).collect();
            let query = bind(sqlx::query(AssertSqlSafe(query(!certificates.is_empty()))), filter);
            let query = query.bind(batches).bind(certificates).bind(filter.even_sent);
            let rows = query.bind(EXAMINED_MAX.cast_signed()).fetch_all(&mut *db).await?;
            let matching: Vec<Matching> = rows.iter().map(read).collect::<Result<_, _>>()?;
            let is_more = matching.iter().map(|its| its.n).sum::<u64>() >= EXAMINED_MAX;
            Ok(ReplayPlan { matching, is_more })
        })
        .await
    }
}

/// The batches that have matching rows, so that the index `failures` is searched for these and not for all batches.
const BATCHES: &str = "-- replay_batches
    select distinct batch
    from batch_counters
    where n > 0 and status not in ('registered', 'already_registered')
        and code = any($1) and ($2::text[] is null or batch = any($2)) and ($3::text[] is null or source = any($3))";

/// Returns the query: named certificates are looked up by index, otherwise the batches are searched.
fn query(names_certificates: bool) -> String {
    let scope = if names_certificates { "r.subject = any($7::bytea[])" } else { "$7::bytea[] is not null" };
    format!(
        "-- plan_replay
        with matching as (
            select r.target, r.operation, r.status, r.code, r.certificate_id, r.account, r.region,
                r.request is not null as is_kept,
                r.request is not null and (r.waits_for is not null or (r.sent_again_at is not null and not $8))
                    as is_under_way
            from registrations r
            where {MATCHES} and r.batch = any($6::text[]) and {scope}
            limit $9
        ), judged as (
            select target, operation, status, code, is_kept, is_under_way, is_kept and not is_under_way as is_chosen,
                exists (
                    select
                    from registrations good
                    where good.certificate_id = m.certificate_id and good.account = m.account and good.region = m.region
                        and good.status in ('registered', 'already_registered')
                        and (good.operation = 'RegisterCACertificate') = (m.operation = 'RegisterCACertificate')
                ) as is_known
            from matching m
        )
        select target, operation, status, code, count(*) as n,
            count(*) filter (where is_chosen) as n_chosen,
            count(*) filter (where not is_kept) as n_without_request,
            count(*) filter (where is_under_way) as n_under_way,
            count(*) filter (where is_chosen and is_known) as n_known
        from judged
        group by target, operation, status, code
        order by n desc, code, target, operation"
    )
}

fn read(row: &PgRow) -> Result<Matching, LedgerError> {
    let n = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
    Ok(Matching {
        target: row.try_get("target")?,
        operation: word("operation", &row.try_get::<String, _>("operation")?)?,
        status: word("status", &row.try_get::<String, _>("status")?)?,
        code: word("code", &row.try_get::<String, _>("code")?)?,
        n: n("n")?,
        n_chosen: n("n_chosen")?,
        n_without_request: n("n_without_request")?,
        n_under_way: n("n_under_way")?,
        n_known: n("n_known")?,
    })
}
