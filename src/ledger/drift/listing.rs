//! The certificates that AWS reported, kept in a table while they are compared: a list of millions does not belong in
//! memory.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use crate::ledger::{Ledger, LedgerError};
use muster_core::certificate::CertificateId;

/// Age after which a run is certainly dead: a run that confirms 100,000 deletions takes hours, none takes a week.
const DEAD_AFTER: Duration = Duration::from_hours(7 * 24);

/// One reconciliation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReconcileRun {
    /// Distinguishes it from other runs.
    pub(super) number: i64,
    /// When it began, by the server's clock.
    pub began_at: OffsetDateTime,
}

/// What AWS reported about one device certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listed {
    /// Its id.
    pub id: CertificateId,
    /// Its status at AWS, as AWS spells it. `None`: AWS does not have it.
    pub status: Option<String>,
}

impl Ledger {
    /// Begins a reconciliation, and removes the remains of dead ones.
    pub async fn begin_run(&self) -> Result<ReconcileRun, LedgerError> {
        let query = "-- begin_run
            select now() as began_at, (extract(epoch from now()) * 1000000)::bigint as run";
        let run = self
            .run(async |db| {
                let row = sqlx::query(query).fetch_one(db).await?;
                Ok(ReconcileRun { number: row.try_get("run")?, began_at: row.try_get("began_at")? })
            })
            .await?;
        let dead_below = run.number - i64::try_from(DEAD_AFTER.as_micros()).unwrap_or(i64::MAX);
        while let Some(dead) = self.oldest_run(dead_below).await? {
            self.remove_run(dead).await?;
        }
        Ok(run)
    }

    /// Removes everything that AWS reported in a reconciliation.
    pub async fn end_run(&self, run: &ReconcileRun) -> Result<(), LedgerError> {
        self.remove_run(run.number).await
    }

    async fn oldest_run(&self, below: i64) -> Result<Option<i64>, LedgerError> {
        let query = "-- oldest_run
            select min(run)
            from listed
            where run < $1";
        self.run(async |db| Ok(sqlx::query_scalar(query).bind(below).fetch_one(db).await?)).await
    }

    /// Removes a run in parts, each well within the timeout: ids are hashes, so their first byte divides them evenly.
    async fn remove_run(&self, run: i64) -> Result<(), LedgerError> {
        let delete = "-- remove_run
            delete from listed
            where run = $1 and certificate_id >= $2 and certificate_id < $3";
        for first in 0..=u8::MAX {
            // Sorts after every id: ids have 32 bytes.
            let end = first.checked_add(1).map_or_else(|| vec![u8::MAX; 33], |next| vec![next]);
            self.run(async |db| {
                sqlx::query(delete).bind(run).bind(vec![first]).bind(end).execute(db).await?;
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Records what AWS reported. The first report about a certificate stays.
    pub async fn note_listed(&self, run: &ReconcileRun, listed: &[Listed]) -> Result<(), LedgerError> {
        let insert = "-- note_listed
            insert into listed (run, certificate_id, status)
            select $1, certificate_id, status
            from unnest($2::bytea[], $3::text[]) as new (certificate_id, status)
            on conflict do nothing";
        let ids: Vec<&[u8]> = listed.iter().map(|listed| listed.id.0.as_slice()).collect();
        let statuses: Vec<Option<&str>> = listed.iter().map(|listed| listed.status.as_deref()).collect();
        self.run(async |db| {
            sqlx::query(insert).bind(run.number).bind(ids).bind(statuses).execute(db).await?;
            Ok(())
        })
        .await
    }

    /// Returns whether the report about a certificate is still stored. If one that was stored is not, the database
    /// server has crashed since and lost all of them: the table is unlogged.
    pub async fn has_listed(&self, run: &ReconcileRun, id: CertificateId) -> Result<bool, LedgerError> {
        let query = "-- has_listed
            select exists (select from listed where run = $1 and certificate_id = $2)";
        self.run(async |db| Ok(sqlx::query_scalar(query).bind(run.number).bind(id.0.as_slice()).fetch_one(db).await?))
            .await
    }

    /// Returns what AWS reported about up to `n` certificates, by id, starting after `after` (keyset pagination).
    pub async fn listed(
        &self,
        run: &ReconcileRun,
        after: Option<CertificateId>,
        n: u32,
    ) -> Result<Vec<Listed>, LedgerError> {
        let query = "-- listed
            select certificate_id, status
            from listed
            where run = $1 and certificate_id > $2
            order by certificate_id
            limit $3";
        let after = after.as_ref().map_or([].as_slice(), |id| id.0.as_slice());
        self.run(async |db| {
            let query = sqlx::query(query).bind(run.number).bind(after).bind(i64::from(n));
            query.fetch_all(db).await?.iter().map(read).collect()
        })
        .await
    }
}

fn read(row: &PgRow) -> Result<Listed, LedgerError> {
    Ok(Listed { id: CertificateId(row.try_get("certificate_id")?), status: row.try_get("status")? })
}
