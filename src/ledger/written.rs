//! Idempotency keys of pages: the ledger keeps the last page of each writer, so that a page whose COMMIT is in doubt is
//! not written twice.

use sqlx::PgConnection;

use super::{Ledger, LedgerError};

/// Idempotency key of a page: it stays the same however often the page is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark {
    writer: i64,
    number: i64,
}

/// Creates the marks of one writer's pages. A writer must be done with a page before it writes the next.
#[derive(Debug)]
pub struct Marks {
    writer: i64,
    next: i64,
}

impl Mark {
    /// Returns the random number of its writer.
    pub(super) fn writer(self) -> i64 {
        self.writer
    }
}

impl Default for Marks {
    fn default() -> Self {
        Self { writer: fastrand::i64(..), next: 1 }
    }
}

impl Marks {
    /// Returns the mark of the next page.
    pub fn next_mark(&mut self) -> Mark {
        let mark = Mark { writer: self.writer, number: self.next };
        self.next += 1;
        mark
    }
}

impl Ledger {
    /// Returns whether a page is written. A transaction that this process gave up may still be running at the server:
    /// this waits for it.
    pub async fn is_written(&self, mark: Mark) -> Result<bool, LedgerError> {
        let touch = "-- is_written
            insert into page_writers as w (writer, page)
            values ($1, $2 - 1)
            on conflict (writer) do update set page = w.page
            returning page >= $2";
        self.run(async |db| Ok(sqlx::query_scalar(touch).bind(mark.writer).bind(mark.number).fetch_one(db).await?))
            .await
    }

    /// Removes the writers that have written nothing for a week.
    pub async fn forget_writers(&self) -> Result<(), LedgerError> {
        let delete = "-- forget_writers\ndelete from page_writers where written_at < now() - interval '7 days'";
        self.run(async |db| Ok(sqlx::query(delete).execute(db).await.map(drop)?)).await
    }
}

/// Marks a page as written, in the transaction that writes it, and returns whether it was not marked yet.
pub(super) async fn mark_page(db: &mut PgConnection, mark: Mark) -> Result<bool, LedgerError> {
    let upsert = "-- mark_page
        insert into page_writers as w (writer, page)
        values ($1, $2)
        on conflict (writer) do update set page = excluded.page, written_at = now()
        where w.page < excluded.page";
    let marked = sqlx::query(upsert).bind(mark.writer).bind(mark.number).execute(db).await?;
    Ok(marked.rows_affected() == 1)
}
