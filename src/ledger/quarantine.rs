//! Quarantined messages, to be inspected, resent or dropped.
//!
//! [`record`](Ledger::record) writes them. Their key is queue and `MessageId`, and they are listed in that order.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};
use time::OffsetDateTime;

use super::audit::{AuditAction, note};
use super::{Ledger, LedgerError};

/// The reason of a message that was dropped from a dead-letter queue. All other reasons are those of a
/// [`ParseError`](muster_core::job::ParseError).
pub const DROPPED: &str = "dropped";

/// A quarantined message, without its body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QuarantineEntry {
    /// URL of the queue that delivered it.
    pub queue: String,
    /// `MessageId` at SQS.
    pub message_id: String,
    /// Why it was quarantined, from a closed set.
    pub reason: String,
    /// Human-readable reason.
    pub detail: String,
    /// Size of its body in bytes.
    pub n_bytes: u64,
    /// When it was sent to the queue.
    pub sent_at: OffsetDateTime,
    /// When it was quarantined.
    pub recorded_at: OffsetDateTime,
}

/// The body of a quarantined message. It has no `Debug`: what producers send never reaches a log.
#[derive(Clone)]
pub struct Body {
    /// URL of the queue that delivered it.
    pub queue: String,
    /// `MessageId` at SQS.
    pub message_id: String,
    /// What the producer sent, with private keys blanked.
    pub text: String,
}

/// A selection of quarantined messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuarantineFilter<'a> {
    /// Messages with one of these ids. `None`: all.
    pub ids: Option<&'a [String]>,
    /// Messages quarantined for this reason. `None`: all.
    pub reason: Option<&'a str>,
    /// Messages quarantined at this time or earlier. `None`: all.
    pub until: Option<OffsetDateTime>,
}

/// SQL condition of the next selected messages (keyset pagination). Its values are the first six parameters.
const NEXT: &str = "(queue, message_id) > ($1, $2)
                and ($3::text[] is null or message_id = any($3))
                and ($4::text is null or reason = $4)
                and ($6::timestamptz is null or recorded_at <= $6)
            order by queue, message_id
            limit $5";

impl Ledger {
    /// Lists up to `n` selected messages, starting after a queue and `MessageId`.
    pub async fn quarantine_entries(
        &self,
        chosen: QuarantineFilter<'_>,
        after: Option<(&str, &str)>,
        n: u32,
    ) -> Result<Vec<QuarantineEntry>, LedgerError> {
        let query = format!(
            "-- quarantine_entries
            select queue, message_id, reason, detail, octet_length(body) as n_bytes, sent_at, recorded_at
            from quarantine
            where {NEXT}"
        );
        let (queue, message_id) = after.unwrap_or_default();
        self.run(async |db| {
            let query =
                sqlx::query(AssertSqlSafe(query)).bind(queue).bind(message_id).bind(chosen.ids).bind(chosen.reason);
            query.bind(i64::from(n)).bind(chosen.until).fetch_all(db).await?.iter().map(read).collect()
        })
        .await
    }

    /// Returns the bodies of up to `n` selected messages, in the same order.
    pub async fn quarantine_bodies(
        &self,
        chosen: QuarantineFilter<'_>,
        after: Option<(&str, &str)>,
        n: u32,
    ) -> Result<Vec<Body>, LedgerError> {
        let query = format!(
            "-- quarantine_bodies
            select queue, message_id, body
            from quarantine
            where {NEXT}"
        );
        let (queue, message_id) = after.unwrap_or_default();
        self.run(async |db| {
            let query =
                sqlx::query(AssertSqlSafe(query)).bind(queue).bind(message_id).bind(chosen.ids).bind(chosen.reason);
            query.bind(i64::from(n)).bind(chosen.until).fetch_all(db).await?.iter().map(read_body).collect()
        })
        .await
    }

    /// Counts the selected messages by reason.
    pub async fn quarantined_by_reason(&self, chosen: QuarantineFilter<'_>) -> Result<Vec<(String, u64)>, LedgerError> {
        let query = "-- quarantined_by_reason
            select reason, count(*)
            from quarantine
            where ($1::text[] is null or message_id = any($1))
                and ($2::text is null or reason = $2)
                and ($3::timestamptz is null or recorded_at <= $3)
            group by reason
            order by reason";
        self.run(async |db| {
            let query =
                sqlx::query_as::<_, (String, i64)>(query).bind(chosen.ids).bind(chosen.reason).bind(chosen.until);
            let counts = query.fetch_all(db).await?;
            Ok(counts.into_iter().map(|(reason, n)| (reason, n.cast_unsigned())).collect())
        })
        .await
    }

    /// Removes messages after they were resent. Returns how many were removed.
    pub async fn remove_resent(&self, messages: &[&Body]) -> Result<u64, LedgerError> {
        let delete = "-- remove_resent
            delete from quarantine q
            using unnest($1::text[], $2::text[]) as gone (queue, message_id)
            where (q.queue, q.message_id) = (gone.queue, gone.message_id)";
        let (queues, ids): (Vec<_>, Vec<_>) =
            messages.iter().map(|message| (message.queue.as_str(), message.message_id.as_str())).unzip();
        self.run(async |db| Ok(sqlx::query(delete).bind(queues).bind(ids).execute(db).await?.rows_affected())).await
    }

    /// Drops messages for good, and records `action` in the audit log with their number as `dropped`. Returns this
    /// number.
    ///
    /// # Errors
    /// After an error nothing was dropped, unless the COMMIT was in doubt.
    pub async fn drop_quarantined(
        &self,
        chosen: QuarantineFilter<'_>,
        mut action: AuditAction<'_>,
    ) -> Result<u64, LedgerError> {
        let delete = "-- drop_quarantined
            delete from quarantine
            where ($1::text[] is null or message_id = any($1))
                and ($2::text is null or reason = $2)
                and ($3::timestamptz is null or recorded_at <= $3)";
        self.run(async move |db| {
            let mut transaction = self.begin(db).await?;
            let query = sqlx::query(delete).bind(chosen.ids).bind(chosen.reason).bind(chosen.until);
            let n = query.execute(&mut *transaction).await?.rows_affected();
            action.detail["dropped"] = n.into();
            note(&mut transaction, &action).await?;
            transaction.commit().await?;
            Ok(n)
        })
        .await
    }
}

fn read(row: &PgRow) -> Result<QuarantineEntry, LedgerError> {
    Ok(QuarantineEntry {
        queue: row.try_get("queue")?,
        message_id: row.try_get("message_id")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        n_bytes: u64::from(row.try_get::<i32, _>("n_bytes")?.cast_unsigned()),
        sent_at: row.try_get("sent_at")?,
        recorded_at: row.try_get("recorded_at")?,
    })
}

fn read_body(row: &PgRow) -> Result<Body, LedgerError> {
    Ok(Body {
        queue: row.try_get("queue")?,
        message_id: row.try_get("message_id")?,
        text: String::from_utf8_lossy(row.try_get("body")?).into_owned(),
    })
}
