//! Rows that wait to be resent, and the worker that resends them: a transactional outbox.
//!
//! A released hold has one sender at a time, for as long as its [`ReleaseLease`] lasts. A row stops waiting only after
//! its message was sent, and only if it still has the outcome that was read. So a crash in between sends some messages
//! twice, but loses none.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};
use time::OffsetDateTime;

use super::columns::KeyColumns;
use super::{Ledger, LedgerError, replay};
use muster_core::hold::HoldKey;

/// Delay between the release of a hold and the resending of its jobs. By then every worker has seen the release and
/// parks no more jobs for it: workers check once a second.
const SEEN_BY_ALL: Duration = Duration::from_secs(2);

/// Greatest total size of the requests of a page, in bytes.
const PAGE_BYTES: i64 = 8 << 20;

/// The right to send the jobs of a released hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReleaseLease {
    /// The hold.
    pub hold: HoldKey,
    /// When it expires, by the server's clock. It also distinguishes this sender from the next.
    until: OffsetDateTime,
}

/// A waiting row, with its fields as text: one that cannot be parsed must not block the others.
#[derive(Clone, Eq, PartialEq)]
pub struct WaitingJob {
    /// Batch that the job named.
    pub batch: String,
    /// Target that the job named.
    pub target: String,
    /// AWS call that the job asked for.
    pub operation: String,
    /// Certificate id, or SHA-256 of the PEM text if no certificate can be read.
    pub subject: [u8; 32],
    /// Factory line.
    pub source: Option<String>,
    /// The producer's own name for the device (`ref`).
    pub reference: Option<String>,
    /// The fields of the AWS call as JSON.
    pub request: String,
    /// Whether the job skips the lookup of registered certificates, so that AWS itself answers.
    pub verify: bool,
    /// Distinguishes this outcome of the row from a later one.
    ended_at: OffsetDateTime,
}

/// Prints no request: a PEM body never reaches a log.
impl fmt::Debug for WaitingJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingJob").field("batch", &self.batch).field("target", &self.target).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Leases, for the given duration, the released hold without a sender whose last lease is the oldest.
    pub async fn claim_released(&self, time: Duration) -> Result<Option<ReleaseLease>, LedgerError> {
        let update = "-- claim_released
            update holds
            set sender_until = clock_timestamp() + make_interval(secs => $1)
            where hold = (
                select hold
                from holds
                where (released_at <= clock_timestamp() - make_interval(secs => $2) or starts_with(hold, 'replay:'))
                    and coalesce(
                        sender_until <= clock_timestamp()
                            or sender_until > clock_timestamp() + make_interval(secs => $1),
                        true
                    )
                order by coalesce(sender_until, released_at), hold
                limit 1
                for update skip locked
            )
            returning hold, sender_until";
        self.run(async |db| {
            let query = sqlx::query(update).bind(time.as_secs_f64()).bind(SEEN_BY_ALL.as_secs_f64());
            let row = query.fetch_optional(db).await?;
            row.as_ref().map(read_lease).transpose()
        })
        .await
    }

    /// Extends a lease. `None`: it was lost, because the hold was opened again or because it expired and another worker
    /// sends.
    pub async fn renew(&self, lease: &ReleaseLease, time: Duration) -> Result<Option<ReleaseLease>, LedgerError> {
        let update = "-- renew
            update holds
            set sender_until = clock_timestamp() + make_interval(secs => $3)
            where hold = $1 and sender_until = $2
            returning hold, sender_until";
        self.run(async |db| {
            let query = sqlx::query(update).bind(lease.hold.as_str()).bind(lease.until).bind(time.as_secs_f64());
            query.fetch_optional(db).await?.as_ref().map(read_lease).transpose()
        })
        .await
    }

    /// Returns up to `n` waiting jobs in key order, starting after `after` (keyset pagination); fewer if they are
    /// large.
    pub async fn waiting(
        &self,
        hold: &HoldKey,
        after: Option<&WaitingJob>,
        n: u32,
    ) -> Result<Vec<WaitingJob>, LedgerError> {
        let query = "-- waiting
            select batch, target, operation, subject, source, ref, request, verify, ended_at
            from (
                select *,
                    sum(octet_length(request)) over next_ones as n_bytes,
                    row_number() over next_ones as place
                from (
                    select batch, target, operation, subject, source, ref, request::text, verify, ended_at
                    from registrations
                    where waits_for = $1 and request is not null
                        and (batch, target, operation, subject) > ($2, $3, $4, $5)
                    order by batch, target, operation, subject
                    limit $6
                ) as next
                window next_ones as (order by batch, target, operation, subject)
            ) as page
            where n_bytes <= $7 or place = 1
            order by place";
        // No name is empty: empty ones sort before all.
        let (batch, target, operation, subject) = after.map_or(("", "", "", [].as_slice()), WaitingJob::key);
        self.run(async |db| {
            let query = sqlx::query(query).bind(hold.as_str()).bind(batch).bind(target).bind(operation).bind(subject);
            query.bind(i64::from(n)).bind(PAGE_BYTES).fetch_all(db).await?.iter().map(read_job).collect()
        })
        .await
    }

    /// Records that jobs were resent: they no longer wait. Their status stays until the message has an outcome.
    pub async fn mark_resent(&self, hold: &HoldKey, jobs: &[&WaitingJob]) -> Result<u64, LedgerError> {
        self.run(async |db| stop_waiting(db, hold, jobs, "sent_again_at = now()").await).await
    }

    /// Records that jobs cannot be resent: they no longer wait, and keep their status.
    pub async fn mark_unsendable(&self, hold: &HoldKey, jobs: &[&WaitingJob]) -> Result<u64, LedgerError> {
        let change = "detail = 'it cannot be resent: ' || coalesce(r.detail, r.code)";
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let n = stop_waiting(&mut transaction, hold, jobs, change).await?;
            if let Some(number) = hold.replay_number() {
                replay::count_not_sent(&mut transaction, number, n).await?;
            }
            transaction.commit().await?;
            Ok(n)
        })
        .await
    }

    /// Removes a released hold for which no job waits. Returns whether nothing is left to send.
    pub async fn finish(&self, hold: &HoldKey) -> Result<bool, LedgerError> {
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let is_done = !lock_released(&mut transaction, hold).await? || remove(&mut transaction, hold).await?;
            if let Some(number) = hold.replay_number().filter(|_| is_done) {
                replay::end(&mut transaction, number).await?;
            }
            transaction.commit().await?;
            Ok(is_done)
        })
        .await
    }
}

/// Takes rows off their hold if they still have the outcome that was read. Returns how many.
async fn stop_waiting(
    db: &mut PgConnection,
    hold: &HoldKey,
    jobs: &[&WaitingJob],
    change: &'static str,
) -> Result<u64, LedgerError> {
    if jobs.is_empty() {
        return Ok(0);
    }
    // Every process locks rows in the order of their keys.
    let mut jobs = jobs.to_vec();
    jobs.sort_by_key(|job| job.key());
    let keys = KeyColumns::of(jobs.iter().map(|job| job.key()));
    let ended_at: Vec<_> = jobs.iter().map(|job| job.ended_at).collect();
    let update = format!(
        "-- stop_waiting
        with still as (
            select r.batch, r.target, r.operation, r.subject
            from unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[]) with ordinality
                as k (batch, target, operation, subject, ended_at, place)
            join registrations r using (batch, target, operation, subject)
            where r.waits_for = $1 and r.ended_at = k.ended_at
            order by k.place
            for update of r
        )
        update registrations r
        set waits_for = null, {change}
        from still
        where (r.batch, r.target, r.operation, r.subject)
            = (still.batch, still.target, still.operation, still.subject)"
    );
    let query = keys.bind_to(sqlx::query(AssertSqlSafe(update)).bind(hold.as_str()));
    Ok(query.bind(ended_at).execute(db).await?.rows_affected())
}

/// Locks a released hold, after pages in progress that name it are written. Returns whether it exists.
async fn lock_released(db: &mut PgConnection, hold: &HoldKey) -> Result<bool, LedgerError> {
    let query = "-- lock_released
        select true
        from holds
        where hold = $1 and released_at is not null
        for update";
    Ok(sqlx::query_scalar::<_, bool>(query).bind(hold.as_str()).fetch_optional(db).await?.is_some())
}

/// Removes a locked hold if no row waits for it. Returns whether it was removed.
///
/// This must be a statement of its own, so that it sees the rows of a page that the lock waited for. A condition in the
/// locking statement would not see them.
async fn remove(db: &mut PgConnection, hold: &HoldKey) -> Result<bool, LedgerError> {
    let delete = "-- remove
        delete from holds
        where hold = $1
            and not exists (select from registrations where waits_for = $1 and request is not null)";
    Ok(sqlx::query(delete).bind(hold.as_str()).execute(db).await?.rows_affected() == 1)
}

impl WaitingJob {
    fn key(&self) -> (&str, &str, &str, &[u8]) {
        (&self.batch, &self.target, &self.operation, &self.subject)
    }
}

fn read_lease(row: &PgRow) -> Result<ReleaseLease, LedgerError> {
    Ok(ReleaseLease { hold: HoldKey::read(row.try_get("hold")?), until: row.try_get("sender_until")? })
}

fn read_job(row: &PgRow) -> Result<WaitingJob, LedgerError> {
    Ok(WaitingJob {
        batch: row.try_get("batch")?,
        target: row.try_get("target")?,
        operation: row.try_get("operation")?,
        subject: row.try_get("subject")?,
        source: row.try_get("source")?,
        reference: row.try_get("ref")?,
        request: row.try_get("request")?,
        verify: row.try_get("verify")?,
        ended_at: row.try_get("ended_at")?,
    })
}
