//! The holds that parked jobs wait for: which are open, which worker probes them, and when they are released.
//!
//! A hold is opened in the transaction that writes its parked rows (`opening`), and removed after these were resent
//! ([`super::waiting`]). A hold on an issuer, a batch or a target is a circuit breaker shared by all workers: a
//! successful half-open probe releases it.

mod report;

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::rate_limit::Quota;
use super::{Ledger, LedgerError};
use muster_core::hold::HoldKey;

pub use report::{COUNTED_MAX, HoldReport};

/// How long a due probe waits for a live job that takes it. After that a waiting job is resent as the probe.
const PROBE_GRACE: Duration = Duration::from_secs(5);

/// The time from one probe of a hold to the next: `probe_every`, doubled with each probe, up to ten times itself.
const INTERVAL: &str = "probe_every * least(power(2, n_probes), 10)";

/// The share of a quota that the probes of all holds may use.
const PROBE_SHARE: f64 = 0.02;

/// The earliest time of the next probe after one that is granted now, for a row `l` of `rate_limits`. `$3` is
/// [`PROBE_SHARE`], `$4` is [`PROBES_SAVED`] in seconds.
const NEXT_PROBE: &str = "least(
        greatest(l.next_probe, clock_timestamp() - make_interval(secs => $4)),
        clock_timestamp()
    ) + make_interval(secs => 1 / (l.rate * $3))";

/// Whether a probe may be granted now. A time further ahead than a probe can set it was written while the server's
/// clock was wrong, and is ignored.
const IS_PROBE_FREE: &str = "coalesce(
        l.next_probe not between clock_timestamp()
            and clock_timestamp() + make_interval(secs => 1 + 1 / (l.rate * $3)),
        true
    )";

/// Period from which unused probes of a quota can still be used later.
const PROBES_SAVED: Duration = Duration::from_secs(10);

/// An open hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenHold {
    /// Its key.
    pub hold: HoldKey,
    /// Subject of the CA, for a hold on an issuer. `None`: any other hold, or an older version opened it.
    pub subject: Option<String>,
    /// Human-readable reason for the hold.
    pub reason: String,
    /// Further jobs are parked without calling AWS.
    pub is_closed: bool,
    /// One job may be sent as a probe now.
    pub is_probe_due: bool,
}

/// A hold whose probe is overdue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OverdueProbe {
    /// Its key.
    pub hold: HoldKey,
    /// A job may be resent as the probe. If not, the probes of other holds have used up their share of the quota.
    pub may_send: bool,
}

impl Ledger {
    /// Resets times that lie further in the future than is possible, because the server's clock was wrong or was set
    /// back. Until then no worker would probe or resend. Returns the number of holds that were changed.
    pub async fn heal_holds(&self) -> Result<u64, LedgerError> {
        let update = "-- heal_holds
            with ahead as (
                select hold
                from holds
                where greatest(probe_at - 10 * probe_every, opened_at, asked_at, released_at, sender_until - interval '1 hour')
                    > clock_timestamp() + interval '1 second'
                order by hold collate \"C\"
                for update
            )
            update holds h
            set probe_at = least(h.probe_at, clock_timestamp() + h.probe_every),
                opened_at = least(h.opened_at, clock_timestamp()),
                asked_at = case when h.asked_at <= clock_timestamp() then h.asked_at end,
                -- `least` ignores null, and would release an open hold.
                released_at = case when h.released_at is not null then least(h.released_at, clock_timestamp()) end,
                sender_until = case when h.sender_until <= clock_timestamp() then h.sender_until end
            from ahead
            where h.hold = ahead.hold";
        self.run(async |db| Ok(sqlx::query(update).execute(db).await?.rows_affected())).await
    }

    /// Returns the open holds.
    pub async fn open_holds(&self) -> Result<Vec<OpenHold>, LedgerError> {
        let query = "-- open_holds
            select hold, subject, reason, is_closed, probe_at <= clock_timestamp() as is_probe_due
            from holds
            where released_at is null
            order by hold";
        self.run(async |db| sqlx::query(query).fetch_all(db).await?.iter().map(read_open).collect()).await
    }

    /// Requests the right to send one job of a hold as a probe, with one call of a quota. Returns whether it is
    /// granted.
    ///
    /// Of all workers that ask, one gets it in each probe interval, which doubles with each probe, up to ten times
    /// itself. All holds together get a small share of the quota.
    pub async fn claim_probe(&self, hold: &HoldKey, quota: &Quota) -> Result<bool, LedgerError> {
        let update = format!(
            "-- claim_probe
            with due as (
                select hold
                from holds
                where hold = $1 and released_at is null and probe_at <= clock_timestamp()
            ),
            granted as (
                update rate_limits l
                set next_probe = {NEXT_PROBE}
                where (account, region, operation) = ($2, $5, $6)
                    and {IS_PROBE_FREE}
                    and exists (select from due)
                returning true
            )
            update holds
            set probe_at = clock_timestamp() + {INTERVAL}, n_probes = n_probes + 1
            from granted
            where hold = $1 and released_at is null and probe_at <= clock_timestamp()"
        );
        let [account, region, operation] = quota.key();
        self.run(async |db| {
            let query = sqlx::query(AssertSqlSafe(update)).bind(hold.as_str()).bind(account);
            let query = query.bind(PROBE_SHARE).bind(PROBES_SAVED.as_secs_f64()).bind(region).bind(operation);
            let claimed = query.execute(db).await?;
            Ok(claimed.rows_affected() == 1)
        })
        .await
    }

    /// Returns a hold whose due probe no worker took, because no job of it arrives: a waiting job must be resent as the
    /// probe. Returns each hold once in each probe interval, and none of `excluded`.
    ///
    /// A job that arrives at a hold that is not closed requests no probe. For a hold on an issuer the probe is
    /// therefore claimed here, as in [`Ledger::claim_probe`]: thousands of issuers may have one certificate each.
    pub async fn claim_overdue_probe(&self, excluded: &[HoldKey]) -> Result<Option<OverdueProbe>, LedgerError> {
        let update = format!(
            "-- claim_overdue_probe
            with overdue as (
                select hold, not is_closed and starts_with(hold, 'issuer:') as is_lone
                from holds
                where released_at is null
                    and probe_at + least(probe_every / 2, make_interval(secs => $2)) <= clock_timestamp()
                    and coalesce(asked_at + {INTERVAL} <= clock_timestamp(), true)
                    and hold <> all($1::text[])
                order by probe_at, hold
                limit 1
                for update skip locked
            ),
            granted as (
                update rate_limits l
                set next_probe = {NEXT_PROBE}
                from overdue
                join targets t on t.target = substring(overdue.hold from '^issuer:(.*):[^:]*$')
                where overdue.is_lone
                    and (l.account, l.region, l.operation) = (t.account, t.region, 'RegisterCertificate')
                    and {IS_PROBE_FREE}
                returning true
            )
            update holds h
            set asked_at = clock_timestamp(),
                probe_at = case when exists (select from granted) then clock_timestamp() + {INTERVAL} else h.probe_at end,
                n_probes = h.n_probes + case when exists (select from granted) then 1 else 0 end
            from overdue
            where h.hold = overdue.hold
            returning h.hold, not overdue.is_lone or exists (select from granted) as may_send"
        );
        let excluded = texts(excluded);
        self.run(async |db| {
            let query = sqlx::query(AssertSqlSafe(update)).bind(&excluded).bind(PROBE_GRACE.as_secs_f64());
            let query = query.bind(PROBE_SHARE).bind(PROBES_SAVED.as_secs_f64());
            query.fetch_optional(db).await?.as_ref().map(read_overdue).transpose()
        })
        .await
    }

    /// Releases holds after a call succeeded. Returns how many were released.
    ///
    /// A hold lasts at least one probe interval, so that calls already in flight when it was opened do not release it.
    pub async fn release(&self, holds: &[HoldKey]) -> Result<u64, LedgerError> {
        if holds.is_empty() {
            return Ok(0);
        }
        let update = "-- release
            with due as (
                select h.hold
                from unnest($1::text[]) with ordinality as k (hold, place)
                join holds h using (hold)
                where h.released_at is null and h.opened_at + h.probe_every <= clock_timestamp()
                order by k.place
                for update of h
            )
            update holds h
            set released_at = clock_timestamp()
            from due
            where h.hold = due.hold";
        // In key order, as every process locks them.
        let mut holds = texts(holds);
        holds.sort_unstable();
        self.run(async |db| Ok(sqlx::query(update).bind(&holds).execute(db).await?.rows_affected())).await
    }

    /// Releases a hold at once, however long it has lasted. Returns whether it was open.
    pub async fn release_at_once(&self, hold: &HoldKey) -> Result<bool, LedgerError> {
        self.run(async |db| release(db, hold).await).await
    }

    /// Returns whether parked jobs will be resent without any action: their hold was released, or they were parked only
    /// to make room for another target.
    pub async fn will_resend(&self) -> Result<bool, LedgerError> {
        let query = "-- will_resend
            select exists (
                select
                from holds
                where released_at is not null or starts_with(hold, 'busy:')
            )";
        self.run(async |db| Ok(sqlx::query_scalar(query).fetch_one(db).await?)).await
    }
}

/// Releases a hold. Returns whether it was open.
pub(super) async fn release(db: &mut PgConnection, hold: &HoldKey) -> Result<bool, LedgerError> {
    let update = "-- release_at_once
        update holds
        set released_at = clock_timestamp()
        where hold = $1 and released_at is null";
    Ok(sqlx::query(update).bind(hold.as_str()).execute(db).await?.rows_affected() == 1)
}

fn texts(holds: &[HoldKey]) -> Vec<&str> {
    holds.iter().map(HoldKey::as_str).collect()
}

fn read_open(row: &PgRow) -> Result<OpenHold, LedgerError> {
    Ok(OpenHold {
        hold: HoldKey::read(row.try_get("hold")?),
        subject: row.try_get("subject")?,
        reason: row.try_get("reason")?,
        is_closed: row.try_get("is_closed")?,
        is_probe_due: row.try_get("is_probe_due")?,
    })
}

fn read_overdue(row: &PgRow) -> Result<OverdueProbe, LedgerError> {
    Ok(OverdueProbe { hold: HoldKey::read(row.try_get("hold")?), may_send: row.try_get("may_send")? })
}
