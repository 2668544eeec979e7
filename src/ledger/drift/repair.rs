//! Has jobs resent whose certificates AWS does not have, or has without the ledger knowing.
//!
//! The rows wait for a hold that is released from the start, so a worker resends them; the hold is removed once all are
//! sent. Rows are locked first, in key order, then the hold, as in `opening`.

use sqlx::PgConnection;

use super::DriftKey;
use super::listing::ReconcileRun;
use crate::ledger::columns::{KeyColumns, owned_key};
use crate::ledger::{Ledger, LedgerError};
use muster_core::account::Account;
use muster_core::hold::HoldKey;

impl Ledger {
    /// Returns the batches that have rows whose certificates are gone; only `batch`, if one is given.
    pub async fn batches_with_gone(&self, batch: Option<&str>) -> Result<Vec<String>, LedgerError> {
        let query = "-- batches_with_gone
            select distinct batch
            from batch_counters
            where status = 'gone' and n > 0 and batch = coalesce($1, batch)
            order by batch";
        self.run(async |db| Ok(sqlx::query_scalar(query).bind(batch).fetch_all(db).await?)).await
    }

    /// Returns up to `n` rows of a batch whose certificates are gone and whose jobs can be resent, ordered by subject,
    /// starting after `after` (keyset pagination). With `only_of`, only certificates that this reconciliation checked.
    pub async fn gone_rows(
        &self,
        account: &Account,
        batch: &str,
        only_of: Option<&ReconcileRun>,
        after: Option<&DriftKey>,
        n: u32,
    ) -> Result<Vec<DriftKey>, LedgerError> {
        // Uses the index `failures`: the query must repeat the index condition word for word.
        let query = "-- gone_rows
            select batch, target, operation, subject
            from registrations r
            where batch = $1 and code = 'deleted'
                and status not in ('registered', 'already_registered')
                and (subject, target, operation) > ($2, $3, $4)
                and account = $5 and region = $6
                and request is not null and waits_for is null and sent_again_at is null
                and ($7::bigint is null or exists (
                    select from listed where run = $7 and listed.certificate_id = r.subject
                ))
            order by subject, target, operation
            limit $8";
        let (subject, target, operation) =
            after.map_or(([].as_slice(), "", ""), |key| (key.subject.as_slice(), key.target.as_str(), key.operation));
        self.run(async |db| {
            let query = sqlx::query(query).bind(batch).bind(subject).bind(target).bind(operation);
            let query = query.bind(&account.id).bind(&account.region).bind(only_of.map(|run| run.number));
            let rows = query.bind(i64::from(n)).fetch_all(db).await?;
            rows.iter().map(|row| owned_key(row).map(DriftKey::of)).collect()
        })
        .await
    }

    /// Has workers resend the jobs that can be resent and are not waiting yet. Returns how many there are.
    ///
    /// # Errors
    /// After an error nothing was written, unless the COMMIT was in doubt.
    pub async fn repair(&self, hold: &HoldKey, reason: &str, keys: &[DriftKey]) -> Result<u64, LedgerError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let mut keys: Vec<&DriftKey> = keys.iter().collect();
        keys.sort();
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let n = wait(&mut transaction, hold, &keys).await?;
            if n > 0 {
                release(&mut transaction, hold, reason).await?;
            }
            transaction.commit().await?;
            Ok(n)
        })
        .await
    }
}

async fn wait(db: &mut PgConnection, hold: &HoldKey, keys: &[&DriftKey]) -> Result<u64, LedgerError> {
    let keys = KeyColumns::of(keys.iter().map(|key| key.texts()));
    let query = sqlx::query(
        "-- wait_for_repair
        with sendable as (
            select r.batch, r.target, r.operation, r.subject
            from unnest($2::text[], $3::text[], $4::text[], $5::bytea[]) with ordinality
                as k (batch, target, operation, subject, place)
            join registrations r using (batch, target, operation, subject)
            where r.status not in ('registered', 'already_registered', 'parked')
                and r.request is not null and r.waits_for is null and r.sent_again_at is null
            order by k.place
            for update of r
        )
        update registrations r
        set waits_for = $1
        from sendable
        where (r.batch, r.target, r.operation, r.subject)
            = (sendable.batch, sendable.target, sendable.operation, sendable.subject)",
    )
    .bind(hold.as_str());
    let updated = keys.bind_to(query).execute(db).await?;
    Ok(updated.rows_affected())
}

/// Creates the hold as released. An existing hold is released, unless it is already.
async fn release(db: &mut PgConnection, hold: &HoldKey, reason: &str) -> Result<(), LedgerError> {
    sqlx::query(
        "-- release_for_repair
        insert into holds as h (hold, reason, is_closed, probe_every, probe_at, released_at)
        values ($1, $2, false, interval '1 minute', now(), now())
        on conflict (hold) do update
        set reason = excluded.reason, released_at = coalesce(h.released_at, excluded.released_at)",
    )
    .bind(hold.as_str())
    .bind(reason)
    .execute(db)
    .await?;
    Ok(())
}
