//! Holds that operators open and release: pauses and releases by command.

use super::audit::{AuditAction, note};
use super::hold::release;
use super::{Ledger, LedgerError, storable};
use muster_core::hold::HoldKey;

impl Ledger {
    /// Opens a hold as a pause, which lasts until an operator resumes it. Returns whether it was not paused before.
    pub async fn pause(&self, hold: &HoldKey, reason: &str, who: &str) -> Result<bool, LedgerError> {
        // Never probed: a century is the longest interval that every version of Muster can read.
        let upsert = "-- pause
            insert into holds as h (hold, reason, is_closed, probe_every, probe_at)
            values ($1, $2, true, interval '100 years', now() + interval '100 years')
            on conflict (hold) do update
            set reason = excluded.reason,
                is_closed = true,
                opened_at = now(),
                probe_every = excluded.probe_every,
                probe_at = excluded.probe_at,
                released_at = null,
                sender_until = null
            where h.released_at is not null";
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let paused =
                sqlx::query(upsert).bind(hold.as_str()).bind(storable(reason)).execute(&mut *transaction).await?;
            let is_new = paused.rows_affected() == 1;
            if is_new {
                let detail = serde_json::json!({ "reason": reason });
                note(&mut transaction, &AuditAction { who, action: "pause", what: hold.as_str(), detail }).await?;
            }
            transaction.commit().await?;
            Ok(is_new)
        })
        .await
    }

    /// Releases a hold on the command `action` of an operator: its parked jobs are resent. Returns whether it was open.
    pub async fn release_by_operator(
        &self,
        hold: &HoldKey,
        action: &'static str,
        who: &str,
    ) -> Result<bool, LedgerError> {
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let was_open = release(&mut transaction, hold).await?;
            if was_open {
                let detail = serde_json::json!({});
                note(&mut transaction, &AuditAction { who, action, what: hold.as_str(), detail }).await?;
            }
            transaction.commit().await?;
            Ok(was_open)
        })
        .await
    }
}
