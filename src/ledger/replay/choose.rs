//! Chooses the rows that a replay resends, page by page (keyset pagination), each row once.
//!
//! Rows are examined by index: one batch and code after another, or one named certificate after another. The position
//! is saved in the transaction that marks the rows, and each row keeps the number of the replay that chose it. So
//! neither a crash nor a second worker makes a replay choose a row twice, even if the row's code changed meanwhile.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};
use time::OffsetDateTime;

use super::super::{Ledger, LedgerError};
use super::{MATCHES, bind, codes, list};
use muster_core::certificate::CertificateId;
use muster_core::hold::HoldKey;
use muster_core::replay_filter::ReplayFilter;

/// A replay that is choosing rows, with its own row locked.
struct Choosing {
    number: i64,
    filter: ReplayFilter,
    verify: bool,
    asked_at: OffsetDateTime,
    /// The batch and code being examined. `None`: certificates are named, or nothing was examined yet.
    group: Option<(String, String)>,
    /// The last row examined there.
    last: Option<RowPosition>,
}

/// The position of a row within its batch and code.
struct RowPosition {
    subject: Vec<u8>,
    target: String,
    operation: String,
}

/// Keys of rows, as columns.
#[derive(Default)]
struct ChosenKeys {
    batch: Vec<String>,
    target: Vec<String>,
    operation: Vec<String>,
    subject: Vec<Vec<u8>>,
}

/// The next rows to choose from.
struct NextRows {
    keys: ChosenKeys,
    /// The batch and code of these rows, to be saved as the position.
    group: Option<(String, String)>,
    last: RowPosition,
}

impl Ledger {
    /// Examines up to `n` more rows of a replay and chooses those that match. Returns whether all rows were examined,
    /// which is also true for a replay that has ended or does not exist.
    ///
    /// # Errors
    /// [`LedgerError::UnknownWord`] for a filter of a newer version.
    pub async fn choose(&self, number: i64, n: u32) -> Result<bool, LedgerError> {
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let Some(choosing) = lock(&mut transaction, number).await? else { return Ok(true) };
            let next = choosing.next(&mut transaction, i64::from(n)).await?;
            let is_done = next.is_none();
            match next {
                Some(next) => {
                    let n_chosen = choosing.mark(&mut transaction, &next.keys).await?;
                    advance(&mut transaction, number, n_chosen, &next).await?;
                }
                None => note_all_examined(&mut transaction, number).await?,
            }
            transaction.commit().await?;
            Ok(is_done)
        })
        .await
    }
}

impl Choosing {
    async fn next(&self, db: &mut PgConnection, n: i64) -> Result<Option<NextRows>, LedgerError> {
        if !self.filter.certificates.is_empty() {
            return self.next_certificates(db, n).await;
        }
        let (mut group, mut last) = (self.group.clone(), self.last.as_ref());
        loop {
            if let Some(current) = &group {
                let keys = read_group(db, current, last, n).await?;
                if let Some(last) = keys.last() {
                    return Ok(Some(NextRows { keys, group, last }));
                }
            }
            group = next_group(db, &self.filter, group.as_ref()).await?;
            last = None;
            if group.is_none() {
                return Ok(None);
            }
        }
    }

    /// Returns the rows of the next `n` named certificates. A certificate has few rows, so a page has all of them.
    async fn next_certificates(&self, db: &mut PgConnection, n: i64) -> Result<Option<NextRows>, LedgerError> {
        let after = self.last.as_ref().and_then(|last| last.subject.as_slice().try_into().ok()).map(CertificateId);
        let named = self.filter.certificates.iter().filter(|id| after.is_none_or(|after| **id > after));
        let ids: Vec<&[u8]> = named.take(usize::try_from(n).unwrap_or(1)).map(|id| id.0.as_slice()).collect();
        let Some(last) = ids.last() else { return Ok(None) };
        let last = RowPosition { subject: last.to_vec(), target: String::new(), operation: String::new() };
        let query = "-- rows_of_certificates
            select batch, target, operation, subject
            from registrations
            where subject = any($1::bytea[]) and status not in ('registered', 'already_registered')";
        let rows = sqlx::query(query).bind(ids).fetch_all(db).await?;
        Ok(Some(NextRows { keys: ChosenKeys::read(&rows)?, group: None, last }))
    }

    /// Marks the rows that match the filter, locked in the order that every process uses. Returns their number.
    async fn mark(&self, db: &mut PgConnection, keys: &ChosenKeys) -> Result<u64, LedgerError> {
        let update = format!(
            "-- mark_chosen
            with chosen as (
                select r.batch, r.target, r.operation, r.subject
                from unnest($6::text[], $7::text[], $8::text[], $9::bytea[]) as k (batch, target, operation, subject)
                join registrations r using (batch, target, operation, subject)
                where {MATCHES} and r.request is not null and r.waits_for is null
                    and (r.sent_again_at is null or $10) and coalesce(r.replay, 0) < $11
                    and (r.recorded_at <= $12 or r.recorded_at > clock_timestamp())
                order by r.batch collate \"C\", r.target collate \"C\", r.operation collate \"C\", r.subject
                for update of r
            )
            update registrations r
            set waits_for = $13, replay = $11, verify = r.verify or $14
            from chosen
            where (r.batch, r.target, r.operation, r.subject)
                = (chosen.batch, chosen.target, chosen.operation, chosen.subject)"
        );
        let query = bind(sqlx::query(AssertSqlSafe(update)), &self.filter);
        let query = query.bind(&keys.batch).bind(&keys.target).bind(&keys.operation).bind(&keys.subject);
        let query = query.bind(self.filter.even_sent).bind(self.number).bind(self.asked_at);
        let query = query.bind(HoldKey::replay(self.number).to_string()).bind(self.verify);
        Ok(query.execute(db).await?.rows_affected())
    }
}

impl ChosenKeys {
    fn read(rows: &[PgRow]) -> Result<Self, LedgerError> {
        let mut keys = Self::default();
        for row in rows {
            keys.batch.push(row.try_get("batch")?);
            keys.target.push(row.try_get("target")?);
            keys.operation.push(row.try_get("operation")?);
            keys.subject.push(row.try_get("subject")?);
        }
        Ok(keys)
    }

    /// Returns the position of the last row.
    fn last(&self) -> Option<RowPosition> {
        Some(RowPosition {
            subject: self.subject.last()?.clone(),
            target: self.target.last()?.clone(),
            operation: self.operation.last()?.clone(),
        })
    }
}

/// Locks a replay that is still choosing rows.
async fn lock(db: &mut PgConnection, number: i64) -> Result<Option<Choosing>, LedgerError> {
    let query = "-- lock_replay
        select filter, verify, asked_at, last_batch, last_code, last_subject, last_target, last_operation
        from replays
        where replay = $1 and chosen_at is null and ended_at is null
        for update";
    let Some(row) = sqlx::query(query).bind(number).fetch_optional(db).await? else { return Ok(None) };
    let filter: String = row.try_get("filter")?;
    let group = row.try_get::<Option<String>, _>("last_batch")?.zip(row.try_get("last_code")?);
    let position = |subject| -> Result<RowPosition, LedgerError> {
        Ok(RowPosition { subject, target: row.try_get("last_target")?, operation: row.try_get("last_operation")? })
    };
    Ok(Some(Choosing {
        number,
        filter: serde_json::from_str(&filter)
            .map_err(|_| LedgerError::UnknownWord { column: "filter", found: filter })?,
        verify: row.try_get("verify")?,
        asked_at: row.try_get("asked_at")?,
        group,
        last: row.try_get::<Option<Vec<u8>>, _>("last_subject")?.map(position).transpose()?,
    }))
}

/// Returns the next batch and code that have rows, according to the counters.
async fn next_group(
    db: &mut PgConnection,
    filter: &ReplayFilter,
    after: Option<&(String, String)>,
) -> Result<Option<(String, String)>, LedgerError> {
    let query = "-- next_group
        select batch, code
        from batch_counters
        where (batch, code) > ($4, $5) and n > 0 and status not in ('registered', 'already_registered')
            and code = any($1) and ($2::text[] is null or batch = any($2)) and ($3::text[] is null or source = any($3))
        order by batch, code
        limit 1";
    let (batch, code) = after.map_or(("", ""), |(batch, code)| (batch, code));
    let query = sqlx::query_as(query).bind(codes(filter)).bind(list(&filter.batches)).bind(list(&filter.sources));
    Ok(query.bind(batch).bind(code).fetch_optional(db).await?)
}

/// Returns the rows of a batch and code after a position, by the index `failures`.
async fn read_group(
    db: &mut PgConnection,
    (batch, code): &(String, String),
    after: Option<&RowPosition>,
    n: i64,
) -> Result<ChosenKeys, LedgerError> {
    let query = "-- read_group
        select batch, target, operation, subject
        from registrations
        where batch = $1 and code = $2 and status not in ('registered', 'already_registered')
            and (subject, target, operation) > ($3, $4, $5)
        order by subject, target, operation
        limit $6";
    let position = after.map_or(([].as_slice(), "", ""), |last| (&last.subject, &last.target, &last.operation));
    let query = sqlx::query(query).bind(batch).bind(code).bind(position.0).bind(position.1).bind(position.2);
    ChosenKeys::read(&query.bind(n).fetch_all(db).await?)
}

async fn advance(db: &mut PgConnection, number: i64, n_chosen: u64, next: &NextRows) -> Result<(), LedgerError> {
    let update = "-- advance_replay
        update replays
        set n_chosen = n_chosen + $2, last_batch = $3, last_code = $4, last_subject = $5, last_target = $6,
            last_operation = $7
        where replay = $1";
    let (group, last) = (next.group.as_ref(), &next.last);
    let query = sqlx::query(update).bind(number).bind(n_chosen.cast_signed());
    let query = query.bind(group.map(|(batch, _)| batch)).bind(group.map(|(_, code)| code));
    query.bind(&last.subject).bind(&last.target).bind(&last.operation).execute(db).await?;
    Ok(())
}

async fn note_all_examined(db: &mut PgConnection, number: i64) -> Result<(), LedgerError> {
    let update = "-- note_all_examined
        update replays
        set chosen_at = now()
        where replay = $1";
    sqlx::query(update).bind(number).execute(db).await?;
    Ok(())
}
