//! Writes the results of a comparison with AWS: rows, and the counters in the same transaction.
//!
//! As in the recorder, rows are locked in key order, and the counters change by what each row was before and after. A
//! row that changed since it was compared stays as it is.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use time::OffsetDateTime;

use super::{ComparedRow, DriftKey};
use crate::ledger::columns::{KeyColumns, SELECT, read_row};
use crate::ledger::counters::{self, count};
use crate::ledger::record::update_rows;
use crate::ledger::row::{Row, RowOutcome};
use crate::ledger::{Ledger, LedgerError, word};
use muster_core::job::CertificateStatus;
use muster_core::outcome::{Code, Status};

/// How a successful row changes.
#[derive(Clone, Eq, PartialEq)]
pub enum RowChange {
    /// AWS no longer has the certificate.
    Gone {
        /// Human-readable text that says when AWS reported that.
        detail: String,
        /// The fields of the AWS call as JSON, so that the job can be resent. `None`: it cannot be.
        request: Option<String>,
    },
    /// AWS reported the status of the certificate.
    Known {
        /// The status.
        status: CertificateStatus,
        /// Human-readable text that says how it differs from the requested status.
        detail: Option<String>,
    },
}

/// Number of rows that a comparison changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChangeCounts {
    /// Certificates that are gone from AWS.
    pub n_gone: u64,
    /// How many of these have no request and cannot be resent.
    pub n_gone_without_request: u64,
    /// Certificates whose status is known now.
    pub n_learnt: u64,
}

impl Ledger {
    /// Changes the successful rows that are still as they were compared.
    ///
    /// # Errors
    /// After an error nothing was written, unless the COMMIT was in doubt.
    pub async fn change_compared(&self, changes: &[(&ComparedRow, RowChange)]) -> Result<ChangeCounts, LedgerError> {
        let mut changes: Vec<_> = changes.iter().collect();
        changes.sort_by_key(|(row, _)| &row.key);
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let existing = lock(&mut transaction, changes.iter().map(|(row, _)| *row)).await?;
            let by_key: HashMap<&DriftKey, &RowChange> =
                changes.iter().map(|(row, change)| (&row.key, change)).collect();
            let (mut counted, mut changed, mut rows) =
                (counters::CounterChanges::default(), ChangeCounts::default(), vec![]);
            for (mut row, status) in existing {
                let key = DriftKey::of((row.batch.clone(), row.target.clone(), row.operation, row.subject));
                counted.disappears(&row, status);
                changed.add(apply(&mut row, by_key[&key]));
                counted.appears(&row);
                rows.push(row);
            }
            update_rows(&mut transaction, &rows).await?;
            count(&mut transaction, counted).await?;
            transaction.commit().await?;
            Ok(changed)
        })
        .await
    }
}

impl ChangeCounts {
    fn add(&mut self, other: Self) {
        self.n_gone += other.n_gone;
        self.n_gone_without_request += other.n_gone_without_request;
        self.n_learnt += other.n_learnt;
    }
}

/// Applies a change to a row.
fn apply(row: &mut Row, change: &RowChange) -> ChangeCounts {
    match change {
        RowChange::Gone { detail, request } => {
            row.certificate = None;
            row.outcome = RowOutcome {
                code: Code::Deleted,
                detail: Some(detail.clone()),
                known_status: None,
                request: request.clone(),
                waits_for: None,
                resent_at: None,
                ended_at: OffsetDateTime::now_utc(),
                ..row.outcome.clone()
            };
            ChangeCounts { n_gone: 1, n_gone_without_request: u64::from(request.is_none()), n_learnt: 0 }
        }
        RowChange::Known { status, detail } => {
            row.outcome.known_status = Some(*status);
            row.outcome.detail.clone_from(detail);
            ChangeCounts { n_learnt: 1, ..ChangeCounts::default() }
        }
    }
}

/// Reads and locks the rows that are still as they were compared, in key order, each with the status under which it is
/// counted.
async fn lock(
    db: &mut PgConnection,
    rows: impl Iterator<Item = &ComparedRow> + Clone,
) -> Result<Vec<(Row, Status)>, LedgerError> {
    let keys = KeyColumns::of(rows.clone().map(|row| row.key.texts()));
    let select = SELECT.as_str();
    let query = sqlx::query(AssertSqlSafe(format!(
        "-- lock_compared
        select {select}
        from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[], $6::int[]) with ordinality
            as k (batch, target, operation, subject, ended_at, n_attempts, place)
        join registrations r using (batch, target, operation, subject)
        where r.status in ('registered', 'already_registered')
            and r.ended_at = k.ended_at and r.n_attempts = k.n_attempts
        order by k.place
        for update of r"
    )));
    let found = keys
        .bind_to(query)
        .bind(rows.clone().map(|row| row.ended_at).collect::<Vec<_>>())
        .bind(rows.map(|row| row.n_attempts).collect::<Vec<_>>())
        .fetch_all(db)
        .await?;
    let read = |row| Ok((read_row(row)?, word("status", &row.try_get::<String, _>("status")?)?));
    found.iter().map(read).collect()
}
