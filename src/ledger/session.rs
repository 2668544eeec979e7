//! Logins to the ops page. They hold for every process of the ledger, and a logout ends them for all.

use std::time::Duration;

use super::audit::{AuditAction, note};
use super::{Ledger, LedgerError, storable};

/// A login.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Name that belongs to the token.
    pub who: String,
    /// Role of the token, by name.
    pub role: String,
    /// Fingerprint of the token.
    pub token: String,
}

/// SHA-256 of the id that the browser keeps.
pub type SessionKey = [u8; 32];

impl Ledger {
    /// Opens a session, records the login in the audit log, and deletes expired sessions.
    pub async fn open_session(
        &self,
        key: &SessionKey,
        session: &Session,
        lasts: Duration,
        client: &str,
    ) -> Result<(), LedgerError> {
        let insert = "-- open_session
            insert into sessions (session, who, role, token, expires_at)
            values ($1, $2, $3, $4, now() + make_interval(secs => $5))";
        let forget = "-- forget_sessions
            delete from sessions
            where expires_at < now()";
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            sqlx::query(forget).execute(&mut *transaction).await?;
            let query = sqlx::query(insert).bind(key.as_slice()).bind(storable(&session.who)).bind(&session.role);
            query.bind(&session.token).bind(lasts.as_secs_f64()).execute(&mut *transaction).await?;
            let detail = serde_json::json!({ "role": session.role });
            let action = AuditAction { who: &session.who, action: "login", what: client, detail };
            note(&mut transaction, &action).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Returns a session that has not expired.
    pub async fn session(&self, key: &SessionKey) -> Result<Option<Session>, LedgerError> {
        let query = "-- session
            select who, role, token
            from sessions
            where session = $1 and expires_at > now()";
        let found: Option<(String, String, String)> =
            self.run(async |db| Ok(sqlx::query_as(query).bind(key.as_slice()).fetch_optional(db).await?)).await?;
        Ok(found.map(|(who, role, token)| Session { who, role, token }))
    }

    /// Closes a session and records the logout in the audit log. Returns whether it existed.
    pub async fn close_session(&self, key: &SessionKey, client: &str) -> Result<bool, LedgerError> {
        let delete = "-- close_session
            delete from sessions
            where session = $1
            returning who";
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let who: Option<String> =
                sqlx::query_scalar(delete).bind(key.as_slice()).fetch_optional(&mut *transaction).await?;
            if let Some(who) = &who {
                let detail = serde_json::json!({});
                note(&mut transaction, &AuditAction { who, action: "logout", what: client, detail }).await?;
            }
            transaction.commit().await?;
            Ok(who.is_some())
        })
        .await
    }
}
