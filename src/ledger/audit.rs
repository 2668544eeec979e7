//! What people did: who, when, to what, and what came of it.

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;

use super::{Ledger, LedgerError, storable, storable_json};

/// Something that somebody does.
#[derive(Clone, Debug)]
pub struct AuditAction<'a> {
    /// User and host.
    pub who: &'a str,
    /// The command, for example `replay`.
    pub action: &'static str,
    /// What it is done to: a batch, a hold, a queue.
    pub what: &'a str,
    /// How, and what came of it; no PEM, no body of a message.
    pub detail: Value,
}

/// Something that somebody did.
#[derive(Clone, Debug)]
pub struct Audited {
    /// Tells the order.
    pub id: i64,
    /// When.
    pub at: OffsetDateTime,
    /// User and host.
    pub who: String,
    /// The command.
    pub action: String,
    /// What it was done to.
    pub what: String,
    /// How, and what came of it.
    pub detail: Value,
}

impl Ledger {
    /// Notes what somebody did, where that changed nothing else in the ledger.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn audit(&self, action: &AuditAction<'_>) -> Result<(), LedgerError> {
        self.run(async |db| note(db, action).await).await
    }

    /// Reads what was done, the latest first, from before an entry on.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn audited(&self, before: Option<i64>, n: u32) -> Result<Vec<Audited>, LedgerError> {
        let query = "-- audited
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

/// Notes it in the transaction of what is done.
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

fn read(row: &PgRow) -> Result<Audited, LedgerError> {
    Ok(Audited {
        id: row.try_get("id")?,
        at: row.try_get("at")?,
        who: row.try_get("who")?,
        action: row.try_get("action")?,
        what: row.try_get("what")?,
        detail: row.try_get::<Json<Value>, _>("detail")?.0,
    })
}
