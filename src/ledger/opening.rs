//! Opens holds, in the transaction that writes the rows that wait for them.
//!
//! No row ever waits for a hold that does not exist. Every hold that a page names is locked until the commit, so that a
//! worker that removes the hold (see [`super::waiting`]) waits and then sees the rows. Holds are locked in key order,
//! after all rows.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{LedgerError, Page, storable};
use muster_core::hold::{HoldKey, Opening};

/// Probe interval, in seconds, of a hold that is created as released. The column needs a value; such a hold is not
/// probed.
const PROBE_SECONDS: f64 = 60.0;

/// The findings of one page about one hold.
#[derive(Clone, Debug, Eq, PartialEq)]
struct HoldFinding<'a> {
    opening: &'a Opening,
    /// The first certificate whose call led to the finding.
    witness: Option<&'a [u8]>,
    is_closed: bool,
    /// The subject of the CA, for a hold on an issuer.
    subject: Option<&'a str>,
}

impl<'a> HoldFinding<'a> {
    fn of(opening: &'a Opening) -> Self {
        let subject = opening.subject.as_deref();
        Self { opening, witness: witness(opening), is_closed: opening.is_closed, subject }
    }

    /// Merges a further finding. A second witness closes the hold.
    fn add(&mut self, later: &'a Opening) {
        let further = witness(later);
        let is_second = self.witness.zip(further).is_some_and(|(one, other)| one != other);
        self.is_closed |= later.is_closed || is_second;
        self.witness = self.witness.or(further);
        self.subject = self.subject.or(later.subject.as_deref());
    }
}

fn witness(opening: &Opening) -> Option<&[u8]> {
    opening.witness.as_ref().map(|id| id.0.as_slice())
}

/// Creates and opens the holds that a page names.
pub(super) async fn hold(db: &mut PgConnection, page: &Page) -> Result<(), LedgerError> {
    let found = findings(&page.openings);
    let mut holds: Vec<&HoldKey> = page.rows.iter().filter_map(|row| row.outcome.waits_for.as_ref()).collect();
    holds.extend(found.keys());
    holds.sort();
    holds.dedup();
    if holds.is_empty() {
        return Ok(());
    }
    lock_holds(db, &holds).await?;
    if found.is_empty() {
        return Ok(());
    }
    let columns = OpeningColumns::of(&found);
    begin_holds(db, &columns).await?;
    close_holds(db, &columns).await
}

fn findings(openings: &[(HoldKey, Opening)]) -> BTreeMap<&HoldKey, HoldFinding<'_>> {
    let mut findings: BTreeMap<&HoldKey, HoldFinding<'_>> = BTreeMap::new();
    for (hold, opening) in openings {
        findings.entry(hold).and_modify(|finding| finding.add(opening)).or_insert_with(|| HoldFinding::of(opening));
    }
    findings
}

/// Findings as columns of equal length.
#[derive(Default)]
struct OpeningColumns<'a> {
    hold: Vec<&'a str>,
    reason: Vec<String>,
    witness: Vec<Option<&'a [u8]>>,
    is_closed: Vec<bool>,
    probe_seconds: Vec<f64>,
    subject: Vec<Option<String>>,
}

impl<'a> OpeningColumns<'a> {
    fn of(findings: &BTreeMap<&'a HoldKey, HoldFinding<'a>>) -> Self {
        let mut columns = Self::default();
        for (hold, finding) in findings {
            columns.hold.push(hold.as_str());
            columns.reason.push(storable(&finding.opening.reason));
            columns.witness.push(finding.witness);
            columns.is_closed.push(finding.is_closed);
            columns.probe_seconds.push(finding.opening.probe_every.as_secs_f64());
            columns.subject.push(finding.subject.map(storable));
        }
        columns
    }
}

/// Locks the holds. If a hold no longer exists, it was released and removed meanwhile; it is recreated as released, so
/// that the rows that wait for it are resent soon.
async fn lock_holds(db: &mut PgConnection, holds: &[&HoldKey]) -> Result<(), LedgerError> {
    // Updating the row to itself locks an existing row; `do nothing` would not.
    sqlx::query(
        "-- lock_holds
        insert into holds as h (hold, reason, is_closed, probe_every, probe_at, released_at)
        select hold, 'the hold was already released', false, make_interval(secs => $2), now(), now()
        from unnest($1::text[]) as new (hold)
        on conflict (hold) do update set hold = h.hold",
    )
    .bind(holds.iter().map(|hold| hold.as_str()).collect::<Vec<_>>())
    .bind(PROBE_SECONDS)
    .execute(db)
    .await?;
    Ok(())
}

/// Opens the holds that are new or were released.
async fn begin_holds(db: &mut PgConnection, columns: &OpeningColumns<'_>) -> Result<(), LedgerError> {
    sqlx::query(
        "-- begin_holds
        update holds h
        set reason = new.reason,
            subject = coalesce(new.subject, h.subject),
            witness = new.witness,
            is_closed = new.is_closed,
            opened_at = now(),
            probe_every = make_interval(secs => new.probe_seconds),
            probe_at = now() + make_interval(secs => new.probe_seconds),
            n_probes = 0,
            asked_at = null,
            released_at = null,
            sender_until = null
        from unnest($1::text[], $2::text[], $3::bytea[], $4::bool[], $5::float8[], $6::text[])
            as new (hold, reason, witness, is_closed, probe_seconds, subject)
        where h.hold = new.hold and h.released_at is not null",
    )
    .bind(&columns.hold)
    .bind(&columns.reason)
    .bind(&columns.witness)
    .bind(&columns.is_closed)
    .bind(&columns.probe_seconds)
    .bind(&columns.subject)
    .execute(db)
    .await?;
    Ok(())
}

/// Closes open holds if this finding closes them, or if it is from a second witness. A hold that an older version
/// opened gets its subject.
async fn close_holds(db: &mut PgConnection, columns: &OpeningColumns<'_>) -> Result<(), LedgerError> {
    sqlx::query(
        "-- close_holds
        update holds h
        set is_closed = h.is_closed or new.is_closed or coalesce(h.witness <> new.witness, false),
            witness = coalesce(h.witness, new.witness),
            subject = coalesce(h.subject, new.subject)
        from unnest($1::text[], $2::bytea[], $3::bool[], $4::text[]) as new (hold, witness, is_closed, subject)
        where h.hold = new.hold",
    )
    .bind(&columns.hold)
    .bind(&columns.witness)
    .bind(&columns.is_closed)
    .bind(&columns.subject)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use muster_core::certificate::CertificateId;

    fn opening(witness: Option<u8>) -> Opening {
        let witness = witness.map(|byte| CertificateId([byte; 32]));
        Opening {
            witness,
            is_closed: false,
            subject: None,
            reason: "reason".into(),
            probe_every: Duration::from_mins(1),
        }
    }

    #[test]
    fn only_a_second_certificate_closes_a_hold() {
        for (witnesses, is_closed) in [
            (vec![Some(1)], false),
            (vec![Some(1), Some(1)], false),
            (vec![Some(1), None], false),
            (vec![None, Some(1)], false),
            (vec![Some(1), Some(2)], true),
            (vec![None, Some(1), Some(2), Some(1)], true),
        ] {
            let key = HoldKey::read("issuer:default:aa".into());
            let openings: Vec<_> = witnesses.iter().map(|&witness| (key.clone(), opening(witness))).collect();
            assert_eq!(findings(&openings)[&key].is_closed, is_closed, "{witnesses:?}");
        }
    }
}
