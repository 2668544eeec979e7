//! The quota that all workers share: one row from which permits are leased, and the learnt rate.
//!
//! Leasing is GCRA (the virtual scheduling form of the token bucket, ITU-T I.371): the row holds the time of the next
//! free permit, and a lease moves it ahead by its permits. The rate adapts with multiplicative decrease, as in AIMD: a
//! throttle cuts it; leased time without a throttle raises it, the faster the longer it lasts, up to the ceiling.
//!
//! The invariant: no permit is granted twice. A lease is one statement on one table, and every expression uses only the
//! row itself: under READ COMMITTED a join or a subquery would read the row as it was before the wait for the lock.

mod throttled;

use std::fmt;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use strum::{Display, EnumString, IntoStaticStr};
use time::OffsetDateTime;

use super::{Ledger, LedgerError, word};
use muster_core::account::Account;
use muster_core::job::Operation;
use muster_core::rate::{BURST, BURST_MIN, Rate};

pub use throttled::Throttle;

/// How far ahead permits may be leased: this many seconds plus this many calls. All workers together may lease that
/// much if they are many or the ledger is slow: one lease each, of a second or of one call. With a lower limit, two of
/// them would get the same permits. The limit is not for a clock that was set back: the leased permits move back with
/// the clock.
const AHEAD: (f64, f64) = (10.0, 100.0);

/// The factor by which a throttle cuts the rate.
const CUT: f64 = 0.9;

/// The share of the ceiling, and the rate in calls a second, below which no throttle cuts the rate.
const FLOOR: (f64, f64) = (0.01, 0.2);

/// The share of itself by which the rate rises in each leased second, for every second since the last cut. The rate
/// recovers from one cut in 15 s and doubles in 37 s.
const RISE: f64 = 0.001;

/// The largest share of itself by which the rate rises in a leased second.
const RISE_MAX: f64 = 0.05;

/// How many changes of a rate are kept.
const CHANGES_KEPT: i64 = 100;

/// The unit by which AWS limits calls: one operation in one account and region.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Quota {
    /// Account and region of the calls.
    pub account: Account,
    /// AWS call.
    pub operation: Operation,
}

/// A change of a learnt rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// When it changed.
    pub at: OffsetDateTime,
    /// The new rate, in calls a second.
    pub rate: f64,
    /// Why it changed.
    pub reason: RateChangeReason,
}

/// Why a learnt rate changed.
#[derive(Clone, Copy, Debug, Display, EnumString, Eq, IntoStaticStr, PartialEq)]
#[strum(serialize_all = "snake_case")]
pub enum RateChangeReason {
    /// The configured rate changed.
    Configured,
    /// AWS throttled a call.
    Throttled,
    /// AWS has not throttled a call for a while.
    Unthrottled,
}

/// A run of permits that the ledger granted.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// Number of permits.
    pub n: usize,
    /// Seconds from the ledger's answer, by the ledger's clock, to the first permit; negative if it is already due.
    pub first_in: f64,
    /// The learnt rate. The permits are its period apart.
    pub rate: Rate,
    /// The rate that was last recorded as a change.
    pub noted_rate: f64,
    /// When the lease was granted, by the ledger's clock.
    pub granted_at: OffsetDateTime,
}

/// The state of a quota.
#[derive(Clone, Debug, PartialEq)]
pub struct RateReport {
    /// A target that uses the quota.
    pub target: String,
    /// AWS call.
    pub operation: String,
    /// The configured rate, in calls a second.
    pub ceiling: f64,
    /// The learnt rate, in calls a second.
    pub learnt: f64,
    /// The last hundred changes, latest first.
    pub changes: Vec<Change>,
}

impl Quota {
    /// Returns the key of its row.
    pub(super) fn key(&self) -> [&str; 3] {
        [&self.account.id, &self.account.region, self.operation.into()]
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} in {}", self.operation, self.account.id, self.account.region)
    }
}

impl Ledger {
    /// Creates the row of a quota, or sets a new ceiling, and returns the learnt rate. A new ceiling is an operator's
    /// decision: the rate starts at it at once.
    pub async fn open_quota(&self, quota: &Quota, ceiling: Rate) -> Result<Rate, LedgerError> {
        self.run(async |db| {
            if set_ceiling(db, quota, ceiling).await? {
                note(db, quota, ceiling.per_second(), RateChangeReason::Configured).await?;
            }
            read_rate(learnt(db, quota).await?)
        })
        .await
    }

    /// Leases `n` permits, and raises the rate by the time that they span.
    ///
    /// Unused permits of the past are available for half a burst; the other half is the time in which a worker may
    /// still use what it was granted. If the server's clock was set back since the last lease, the next permits move
    /// back with it.
    pub async fn lease(&self, quota: &Quota, n: usize) -> Result<Lease, LedgerError> {
        let [account, region, operation] = quota.key();
        let update = "-- lease
            update rate_limits
            set next_free = least(
                    greatest(
                        next_free - greatest(leased_at - clock_timestamp(), interval '0'),
                        clock_timestamp() - make_interval(secs => greatest($5, floor(rate * $6)) / rate / 2)
                    ),
                    clock_timestamp() + make_interval(secs => $7 + $8 / rate)
                ) + make_interval(secs => $4 / rate),
                rate = least(ceiling, rate + least($9 * clean_seconds, $10) * $4),
                clean_seconds = clean_seconds + $4 / rate,
                leased_at = clock_timestamp()
            where account = $1 and region = $2 and operation = $3
            returning
                extract(epoch from next_free - make_interval(secs => $4 / rate) - clock_timestamp())::float8 as first_in,
                rate,
                noted_rate,
                clock_timestamp() as granted_at";
        self.run(async |db| {
            #[expect(clippy::cast_precision_loss, reason = "a lease has far fewer than 2^52 permits")]
            let n_permits = n as f64;
            #[expect(clippy::cast_precision_loss, reason = "it is a small constant")]
            let burst_min = BURST_MIN as f64;
            let query = sqlx::query(update)
                .bind(account)
                .bind(region)
                .bind(operation)
                .bind(n_permits)
                .bind(burst_min)
                .bind(BURST.as_secs_f64());
            let row = query.bind(AHEAD.0).bind(AHEAD.1).bind(RISE).bind(RISE_MAX).fetch_one(db).await?;
            read_lease(&row, n)
        })
        .await
    }

    /// Cuts the rate after a throttled call, if its permit was granted after the last cut: an earlier permit was used
    /// at the rate from before that cut. Returns the change, if the rate was cut.
    ///
    /// If the server's clock was set back, a last cut in its future is ignored, and so is a permit granted in its
    /// future.
    ///
    /// `calls_succeeded`: whether calls succeeded since the last cut. Then the rate before this cut was good.
    pub async fn cut_rate(
        &self,
        quota: &Quota,
        granted_at: OffsetDateTime,
        calls_succeeded: bool,
    ) -> Result<Option<Change>, LedgerError> {
        let [account, region, operation] = quota.key();
        let update = "-- cut_rate
            update rate_limits
            set rate = least(rate, greatest(rate * $5, ceiling * $6, least(ceiling, $7))),
                good_rate = case when $8 then greatest(rate, good_rate * $5) else coalesce(good_rate, rate) end,
                clean_seconds = 0,
                cut_at = clock_timestamp()
            where account = $1 and region = $2 and operation = $3
                and (cut_at < $4 and $4 <= clock_timestamp() or cut_at > clock_timestamp())
            returning cut_at as at, rate, noted_rate, 'throttled' as reason";
        self.run(async |db| {
            let query = sqlx::query(update).bind(account).bind(region).bind(operation).bind(granted_at);
            let query = query.bind(CUT).bind(FLOOR.0).bind(FLOOR.1).bind(calls_succeeded);
            let Some(row) = query.fetch_optional(&mut *db).await? else { return Ok(None) };
            note_change(db, quota, row.try_get("noted_rate")?, RateChangeReason::Throttled).await?;
            Ok(Some(read_change(&row)?))
        })
        .await
    }

    /// Restores a rate that was cut while AWS throttled every call, once calls succeed again: the rate was good before,
    /// and throttles will cut it at once if it no longer is. Returns the change, if the rate was restored.
    pub async fn restore_rate(&self, quota: &Quota) -> Result<Option<Change>, LedgerError> {
        let [account, region, operation] = quota.key();
        let update = "-- restore_rate
            update rate_limits
            set rate = least(ceiling, good_rate), good_rate = null, clean_seconds = 0
            where account = $1 and region = $2 and operation = $3 and good_rate > rate
            returning noted_rate";
        self.run(async |db| {
            let query = sqlx::query_scalar(update).bind(account).bind(region).bind(operation);
            let Some(noted_rate) = query.fetch_optional(&mut *db).await? else { return Ok(None) };
            note_change(db, quota, noted_rate, RateChangeReason::Unthrottled).await
        })
        .await
    }

    /// Records that the rate has risen since it was last recorded, unless another worker did. Returns the change, if it
    /// was recorded.
    pub async fn note_rise(&self, quota: &Quota, noted_rate: f64) -> Result<Option<Change>, LedgerError> {
        self.run(async |db| note_change(db, quota, noted_rate, RateChangeReason::Unthrottled).await).await
    }

    /// Returns the state of the quotas of the given targets and operations.
    pub async fn rate_reports(&self, of: &[(String, Operation)]) -> Result<Vec<RateReport>, LedgerError> {
        let (targets, operations): (Vec<&str>, Vec<&str>) =
            of.iter().map(|(target, operation)| (target.as_str(), <&str>::from(operation))).unzip();
        let limits = "-- rate_limits
            select t.target, q.operation, q.ceiling, q.rate
            from unnest($1::text[], $2::text[]) as wanted (target, operation)
            join targets t using (target)
            join rate_limits q using (account, region, operation)
            order by t.target, q.operation";
        let changes = "-- rate_changes
            select t.target, c.operation, c.at, c.rate, c.reason
            from unnest($1::text[], $2::text[]) as wanted (target, operation)
            join targets t using (target)
            join rate_changes c using (account, region, operation)
            order by t.target, c.operation, c.id desc";
        self.run(async |db| {
            let limits = sqlx::query(limits).bind(&targets).bind(&operations).fetch_all(&mut *db).await?;
            let mut reports: Vec<_> = limits.iter().map(read_report).collect::<Result<_, _>>()?;
            for row in sqlx::query(changes).bind(&targets).bind(&operations).fetch_all(&mut *db).await? {
                let (target, operation): (String, String) = (row.try_get("target")?, row.try_get("operation")?);
                let its =
                    reports.iter_mut().find(|report| (&report.target, &report.operation) == (&target, &operation));
                if let Some(report) = its {
                    report.changes.push(read_change(&row)?);
                }
            }
            Ok(reports)
        })
        .await
    }

    /// Returns the state of the quota of every target and operation that a worker has served.
    pub async fn all_rate_reports(&self) -> Result<Vec<RateReport>, LedgerError> {
        let query = "-- served_operations
            select t.target, q.operation
            from targets t
            join rate_limits q using (account, region)
            order by t.target, q.operation";
        let served: Vec<(String, String)> = self.run(async |db| Ok(sqlx::query_as(query).fetch_all(db).await?)).await?;
        let read = |(target, operation): (String, String)| Ok((target, word("operation", &operation)?));
        self.rate_reports(&served.into_iter().map(read).collect::<Result<Vec<_>, LedgerError>>()?).await
    }
}

/// Sets the ceiling of a quota. Returns whether it had none or another one.
async fn set_ceiling(db: &mut PgConnection, quota: &Quota, ceiling: Rate) -> Result<bool, LedgerError> {
    let [account, region, operation] = quota.key();
    let insert = "-- set_ceiling
        insert into rate_limits as q (account, region, operation, ceiling, rate, noted_rate, next_free)
        values ($1, $2, $3, $4, $4, $4, clock_timestamp() + make_interval(secs => 1 / $4))
        on conflict (account, region, operation) do update
        set ceiling = excluded.ceiling,
            rate = excluded.rate,
            noted_rate = excluded.noted_rate,
            good_rate = null,
            clean_seconds = 0
        where q.ceiling <> excluded.ceiling";
    let done =
        sqlx::query(insert).bind(account).bind(region).bind(operation).bind(ceiling.per_second()).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

async fn learnt(db: &mut PgConnection, quota: &Quota) -> Result<f64, LedgerError> {
    let [account, region, operation] = quota.key();
    let query = "-- learnt
        select rate
        from rate_limits
        where account = $1 and region = $2 and operation = $3";
    Ok(sqlx::query_scalar(query).bind(account).bind(region).bind(operation).fetch_one(db).await?)
}

/// Records that the rate differs from the last recorded one, unless another worker did. Not in a transaction: a worker
/// that stalls inside one would block the leases of all.
async fn note_change(
    db: &mut PgConnection,
    quota: &Quota,
    noted_rate: f64,
    reason: RateChangeReason,
) -> Result<Option<Change>, LedgerError> {
    let [account, region, operation] = quota.key();
    let update = "-- note_change
        update rate_limits
        set noted_rate = rate
        where account = $1 and region = $2 and operation = $3 and noted_rate = $4 and rate <> noted_rate
        returning rate";
    let query = sqlx::query_scalar(update).bind(account).bind(region).bind(operation).bind(noted_rate);
    match query.fetch_optional(&mut *db).await? {
        Some(rate) => Ok(Some(note(db, quota, rate, reason).await?)),
        None => Ok(None),
    }
}

/// Inserts a change, and deletes those that are too old to keep.
async fn note(
    db: &mut PgConnection,
    quota: &Quota,
    rate: f64,
    reason: RateChangeReason,
) -> Result<Change, LedgerError> {
    let [account, region, operation] = quota.key();
    let insert = "-- note
        insert into rate_changes (account, region, operation, rate, reason)
        values ($1, $2, $3, $4, $5)
        returning at, rate, reason";
    let query = sqlx::query(insert).bind(account).bind(region).bind(operation).bind(rate).bind(<&str>::from(reason));
    let change = read_change(&query.fetch_one(&mut *db).await?)?;
    let delete = "-- forget_changes
        delete from rate_changes
        where account = $1 and region = $2 and operation = $3
            and id <= (
                select id
                from rate_changes
                where account = $1 and region = $2 and operation = $3
                order by id desc
                offset $4
                limit 1
            )";
    sqlx::query(delete).bind(account).bind(region).bind(operation).bind(CHANGES_KEPT).execute(db).await?;
    Ok(change)
}

fn read_lease(row: &PgRow, n: usize) -> Result<Lease, LedgerError> {
    Ok(Lease {
        n,
        first_in: row.try_get("first_in")?,
        rate: read_rate(row.try_get("rate")?)?,
        noted_rate: row.try_get("noted_rate")?,
        granted_at: row.try_get("granted_at")?,
    })
}

fn read_rate(rate: f64) -> Result<Rate, LedgerError> {
    Rate::new(rate).map_err(|_| LedgerError::UnknownWord { column: "rate", found: rate.to_string() })
}

fn read_change(row: &PgRow) -> Result<Change, LedgerError> {
    let reason: String = row.try_get("reason")?;
    Ok(Change { at: row.try_get("at")?, rate: row.try_get("rate")?, reason: word("reason", &reason)? })
}

fn read_report(row: &PgRow) -> Result<RateReport, LedgerError> {
    Ok(RateReport {
        target: row.try_get("target")?,
        operation: row.try_get("operation")?,
        ceiling: row.try_get("ceiling")?,
        learnt: row.try_get("rate")?,
        changes: vec![],
    })
}
