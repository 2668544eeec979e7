//! The audit log: what operators did, when, to what, and with what result.

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;

use super::{Ledger, LedgerError, storable, storable_json};

/// An action of an operator, to be recorded.
#[derive(Clone, Debug)]
pub struct AuditAction<'a> {
    /// User and host.
    pub who: &'a str,
    /// The command, for example `replay`.
    pub action: &'static str,
    /// The object of the action: a batch, a hold, a queue.
    pub what: &'a str,
    /// Parameters and result. Never holds a PEM or a message body.
    pub detail: Value,
}

/// A recorded action of an operator.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// Number of the entry; later entries have higher numbers.
    pub id: i64,
    /// When it was done.
    pub at: OffsetDateTime,
    /// User and host.
    pub who: String,
    /// The command.
    pub action: String,
    /// The object of the action.
    pub what: String,
    /// Parameters and result.
    pub detail: Value,
}

impl Ledger {
    /// Records an action that changed nothing else in the ledger.
    pub async fn audit(&self, action: &AuditAction<'_>) -> Result<(), LedgerError> {
        self.run(async |db| note(db, action).await).await
    }

    /// Returns up to `n` entries, latest first, starting below entry `before` (keyset pagination).
    pub async fn audit_entries(&self, before: Option<i64>, n: u32) -> Result<Vec<AuditEntry>, LedgerError> {
        let query = "-- audit_entries
            select id, at, who, action, what, detail
            from audit
            where id < $1
            order by id desc
            limit $2";
        let before = before.unwrap_or(i64::MAX);
        self.run(async |db| {
            sqlx::query(query).bind(before).bind(i64::from(n)).fetch_all(db).await?.iter().map(read).collect()
        })
        .await
    }
}

/// Records an action in the transaction that carries it out.
pub(super) async fn note(db: &mut PgConnection, action: &AuditAction<'_>) -> Result<(), LedgerError> {
    sqlx::query(
        "-- audit
        insert into audit (who, action, what, detail)
        values ($1, $2, $3, $4::jsonb)",
    )
    .bind(storable(action.who))
    .bind(action.action)
    .bind(storable(action.what))
    .bind(storable_json(action.detail.to_string()))
    .execute(db)
    .await?;
    Ok(())
}

fn read(row: &PgRow) -> Result<AuditEntry, LedgerError> {
    Ok(AuditEntry {
        id: row.try_get("id")?,
        at: row.try_get("at")?,
        who: row.try_get("who")?,
        action: row.try_get("action")?,
        what: row.try_get("what")?,
        detail: row.try_get::<Json<Value>, _>("detail")?.0,
    })
}
