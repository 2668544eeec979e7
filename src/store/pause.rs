//! Pauses: holds that people make and end.

use super::audit::{Action, note};
use super::{Store, StoreError, storable};
use crate::hold::HoldKey;

impl Store {
    /// Pauses what a hold names, until somebody resumes it; tells whether it was not paused yet.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn pause(&self, hold: &HoldKey, reason: &str, who: &str) -> Result<bool, StoreError> {
        // No probe ever comes: a century is the longest that every program reads.
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
                note(&mut transaction, &Action { who, action: "pause", what: hold.as_str(), detail }).await?;
            }
            transaction.commit().await?;
            Ok(is_new)
        })
        .await
    }

    /// Resumes what a hold names: jobs that were parked for it are sent again. Tells whether it was paused.
    ///
    /// # Errors
    /// What the server or the connection met.
    pub async fn resume(&self, hold: &HoldKey, who: &str) -> Result<bool, StoreError> {
        let update = "-- resume
            update holds
            set released_at = clock_timestamp()
            where hold = $1 and released_at is null";
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            let resumed = sqlx::query(update).bind(hold.as_str()).execute(&mut *transaction).await?;
            let was_paused = resumed.rows_affected() == 1;
            if was_paused {
                let detail = serde_json::json!({});
                note(&mut transaction, &Action { who, action: "resume", what: hold.as_str(), detail }).await?;
            }
            transaction.commit().await?;
            Ok(was_paused)
        })
        .await
    }
}
