//! What parked jobs wait for, while it lasts: which holds there are, who probes them, when they are over.
//!
//! Holds begin in the transaction that writes parked rows (`opening`), and go when these have been sent again
//! ([`super::waiting`]).

mod report;

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::rate_limit::Quota;
use super::{Ledger, LedgerError};
use muster_core::hold::HoldKey;

pub use report::{COUNTED_MAX, HoldReport};

/// Longest after its time that a probe may be without a live job that takes it.
const PROBE_GRACE: Duration = Duration::from_secs(5);

/// How long a hold waits for its next probe: its interval, doubled with each probe, up to ten times.
const INTERVAL: &str = "probe_every * least(power(2, n_probes), 10)";

/// The share of a quota that the probes of all holds may use.
const PROBE_SHARE: f64 = 0.02;

/// When the next probe may come after one that is granted now, in a row `l` of `rate_limits`; $3 is [`PROBE_SHARE`], $4
/// [`PROBES_SAVED`] in seconds.
const NEXT_PROBE: &str = "least(
        greatest(l.next_probe, clock_timestamp() - make_interval(secs => $4)),
        clock_timestamp()
    ) + make_interval(secs => 1 / (l.rate * $3))";

/// Says whether a probe may be granted now. An instant further ahead than a probe can put it was written while the server's
/// clock was wrong.
const IS_PROBE_FREE: &str = "coalesce(
        l.next_probe not between clock_timestamp()
            and clock_timestamp() + make_interval(secs => 1 + 1 / (l.rate * $3)),
        true
    )";

/// For how long probes that were not made may be made up for.
const PROBES_SAVED: Duration = Duration::from_secs(10);

/// A hold that is not over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenHold {
    /// Its name.
    pub hold: HoldKey,
    /// The CA's name for people, for a hold on an issuer. None: any other hold, or an older version opened it.
    pub subject: Option<String>,
    /// What was found, for people.
    pub reason: String,
    /// Further jobs are parked without a call.
    pub is_closed: bool,
    /// One job may be let through now.
    pub is_probe_due: bool,
}

/// A hold whose probe is overdue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OverdueProbe {
    /// Its name.
    pub hold: HoldKey,
    /// A job may be sent again; else the probes of other holds have used up their share of the quota.
    pub may_send: bool,
}

impl Ledger {
    /// Brings instants that lie further ahead than they can back into the present: the server's clock was wrong, or was set
    /// back. Nobody would probe or send until then.
    ///
    /// # Errors
    /// What the server or the connection met.
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
                -- `least` would take null for the greater one.
                released_at = case when h.released_at is not null then least(h.released_at, clock_timestamp()) end,
                sender_until = case when h.sender_until <= clock_timestamp() then h.sender_until end
            from ahead
            where h.hold = ahead.hold";
        self.run(async |db| Ok(sqlx::query(update).execute(db).await?.rows_affected())).await
    }

    /// Reads the holds that are not over.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn open_holds(&self) -> Result<Vec<OpenHold>, LedgerError> {
        let query = "-- open_holds
            select hold, subject, reason, is_closed, probe_at <= clock_timestamp() as is_probe_due
            from holds
            where released_at is null
            order by hold";
        self.run(async |db| sqlx::query(query).fetch_all(db).await?.iter().map(read_open).collect()).await
    }

    /// Asks for the right to let one job through, with a call of a quota. Of all that ask, one gets it in each probe interval,
    /// which doubles up to ten times itself; and all holds together get a small share of the quota.
    ///
    /// # Errors
    /// What the server or the connection met.
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

    /// Finds a hold whose probe nobody took, as no job of it comes: one that waits must be sent again. Each is told
    /// once in each probe interval, and `not` are left out.
    ///
    /// A job of a hold that is not closed asks for no probe where it arrives. For an issuer's, it is claimed here, as
    /// [`Ledger::claim_probe`] does: there may be thousands of issuers with one certificate each.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn claim_overdue_probe(&self, not: &[HoldKey]) -> Result<Option<OverdueProbe>, LedgerError> {
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
        let not = texts(not);
        self.run(async |db| {
            let query = sqlx::query(AssertSqlSafe(update)).bind(&not).bind(PROBE_GRACE.as_secs_f64());
            let query = query.bind(PROBE_SHARE).bind(PROBES_SAVED.as_secs_f64());
            query.fetch_optional(db).await?.as_ref().map(read_overdue).transpose()
        })
        .await
    }

    /// Ends holds after a call went through, and tells how many. A hold lasts at least one probe interval, so that calls
    /// that were under way when it began do not end it.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn release(&self, holds: &[HoldKey]) -> Result<u64, LedgerError> {
        if holds.is_empty() {
            return Ok(0);
        }
        let update = "-- release
            with over as (
                select h.hold
                from unnest($1::text[]) with ordinality as k (hold, place)
                join holds h using (hold)
                where h.released_at is null and h.opened_at + h.probe_every <= clock_timestamp()
                order by k.place
                for update of h
            )
            update holds h
            set released_at = clock_timestamp()
            from over
            where h.hold = over.hold";
        // In key order, as everybody locks them.
        let mut holds = texts(holds);
        holds.sort_unstable();
        self.run(async |db| Ok(sqlx::query(update).bind(&holds).execute(db).await?.rows_affected())).await
    }

    /// Ends a hold at once; tells whether it was there and not over.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn release_at_once(&self, hold: &HoldKey) -> Result<bool, LedgerError> {
        self.run(async |db| release(db, hold).await).await
    }

    /// Says whether parked jobs will be sent again without anybody's doing: what they waited for is over, or they only made
    /// room.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn will_send_again(&self) -> Result<bool, LedgerError> {
        let query = "-- will_send_again
            select exists (
                select
                from holds
                where released_at is not null or starts_with(hold, 'busy:')
            )";
        self.run(async |db| Ok(sqlx::query_scalar(query).fetch_one(db).await?)).await
    }
}

/// Ends a hold; tells whether it was there and not over.
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
