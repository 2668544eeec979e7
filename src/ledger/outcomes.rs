//! Exports the outcomes of a batch page by page (keyset pagination). Each page has statements of its own, so that no
//! transaction is long, whatever the size of the batch.
//!
//! All rows are walked in the order of the primary key, so no row that existed at the start is left out while others
//! are written. If only failures are wanted, they are found by the index `failures`, code by code; a row that changes
//! its code meanwhile may then be left out. A page lies between two subjects of one target and operation, or of one
//! code: Postgres ends an index scan at an upper bound on one column, but not at one on a row of columns.

mod filter;
mod row;

use sqlx::AssertSqlSafe;

use super::batch::Count;
use super::{Ledger, LedgerError};
use muster_core::job::Name;

pub use filter::OutcomeFilter;
pub use row::{OutcomeRow, SuccessRow};

use filter::BatchRange;
use row::{read_outcome, read_success};

/// Rows that the first page examines, few so that it comes at once, and the maximum for a page. The page size doubles
/// from the first to the second.
const PAGE: (i64, i64) = (100, 2000);

/// An export of the outcomes of a batch.
#[derive(Debug)]
pub struct OutcomePages {
    walk: Walk,
    filter: OutcomeFilter,
}

/// An export of the registered certificates of a batch, in the order of target, operation and id.
#[derive(Debug)]
pub struct SuccessPages {
    walk: Walk,
}

/// A walk through the rows of a batch.
#[derive(Debug)]
struct Walk {
    batch: String,
    /// The row ranges still to be walked, the next one last.
    ranges: Vec<BatchRange>,
    /// The last subject of the previous page; empty at the start of a range.
    after: Vec<u8>,
    /// Rows that the next page examines.
    size: i64,
}

impl OutcomePages {
    /// Starts at the first wanted outcome of a batch. `counts` are the counters of the batch.
    pub async fn open(
        ledger: &Ledger,
        batch: &str,
        filter: OutcomeFilter,
        counts: &[Count],
    ) -> Result<Self, LedgerError> {
        let operations = ledger.batch_operations(batch).await?;
        Ok(Self { walk: Walk::new(batch, filter.ranges(counts, operations)), filter })
    }

    /// Returns the next page, `None` after the last one. A page may be empty, because no row on it is wanted.
    ///
    /// # Errors
    /// After an error the same page can be requested again.
    pub async fn next_page(&mut self, ledger: &Ledger) -> Result<Option<Vec<OutcomeRow>>, LedgerError> {
        let Some(until) = self.walk.page_end(ledger).await? else { return Ok(None) };
        let rows = ledger.outcomes(&self.walk, &until, &self.filter).await?;
        self.walk.after = until;
        Ok(Some(rows))
    }
}

impl SuccessPages {
    /// Starts at the first certificate of a batch.
    pub async fn open(ledger: &Ledger, batch: &str) -> Result<Self, LedgerError> {
        Ok(Self { walk: Walk::new(batch, BatchRange::all(ledger.batch_operations(batch).await?)) })
    }

    /// Returns the next page, `None` after the last one. A page may be empty.
    ///
    /// # Errors
    /// After an error the same page can be requested again.
    pub async fn next_page(&mut self, ledger: &Ledger) -> Result<Option<Vec<SuccessRow>>, LedgerError> {
        let Some(until) = self.walk.page_end(ledger).await? else { return Ok(None) };
        let successes = ledger.successes(&self.walk, &until).await?;
        self.walk.after = until;
        Ok(Some(successes))
    }
}

impl Walk {
    fn new(batch: &str, ranges: Vec<BatchRange>) -> Self {
        Self { batch: batch.to_owned(), ranges, after: Vec::new(), size: PAGE.0 }
    }

    /// Returns the last subject of the next page, `None` if nothing is left.
    async fn page_end(&mut self, ledger: &Ledger) -> Result<Option<Vec<u8>>, LedgerError> {
        while let Some(range) = self.ranges.last() {
            if let Some(until) = ledger.page_end(self, range).await? {
                self.size = PAGE.1.min(self.size * 2);
                return Ok(Some(until));
            }
            self.ranges.pop();
            self.after.clear();
        }
        Ok(None)
    }

    fn range(&self) -> &BatchRange {
        self.ranges.last().expect("a page end was found, so a range is left")
    }
}

impl Ledger {
    /// Returns the last subject of the page after the current one, `None` if nothing is left. This ignores the filter,
    /// so that a page has an end even if few of its rows are wanted.
    async fn page_end(&self, walk: &Walk, range: &BatchRange) -> Result<Option<Vec<u8>>, LedgerError> {
        let Walk { batch, after, size, .. } = walk;
        let condition = range.condition();
        let query = format!(
            "-- page_end
            select subject
            from (
                select subject
                from registrations
                where {condition} and subject > $4
                order by subject
                limit $5
            ) as page
            order by subject desc
            limit 1"
        );
        let (first, second) = range.parameters();
        self.run(async |db| {
            let query = sqlx::query_scalar(AssertSqlSafe(query)).bind(batch).bind(first).bind(second);
            Ok(query.bind(after).bind(size).fetch_optional(db).await?)
        })
        .await
    }

    /// Returns the wanted rows of a page.
    async fn outcomes(
        &self,
        walk: &Walk,
        until: &[u8],
        filter: &OutcomeFilter,
    ) -> Result<Vec<OutcomeRow>, LedgerError> {
        let condition = walk.range().condition();
        let query = format!(
            "-- outcomes
            select target, operation, certificate_id, serial, source, ref, status, code, detail, wanted_status,
                known_status, account, region, attempts, n_attempts, sent_at, received_at, ended_at, recorded_at,
                other_names
            from registrations
            where {condition} and subject > $4 and subject <= $5
                and (cardinality($6::text[]) = 0 or status = any($6))
                and (cardinality($7::text[]) = 0 or code = any($7))
                and (cardinality($8::text[]) = 0 or source = any($8))
            order by subject, target, operation"
        );
        let statuses: Vec<&str> = filter.statuses.iter().map(|&status| status.into()).collect();
        let codes: Vec<&str> = filter.codes.iter().map(|code| code.as_str()).collect();
        let sources: Vec<&str> = filter.sources.iter().map(Name::as_str).collect();
        let (first, second) = walk.range().parameters();
        self.run(async |db| {
            let query = sqlx::query(AssertSqlSafe(query)).bind(&walk.batch).bind(first).bind(second);
            let query = query.bind(&walk.after).bind(until).bind(statuses).bind(codes).bind(sources);
            query.fetch_all(db).await?.iter().map(read_outcome).collect()
        })
        .await
    }

    /// Returns the registered certificates of a page.
    async fn successes(&self, walk: &Walk, until: &[u8]) -> Result<Vec<SuccessRow>, LedgerError> {
        let query = "-- successes
            select target, operation, account, region, certificate_id
            from registrations
            where batch = $1 and target = $2 and operation = $3 and subject > $4 and subject <= $5
                and status in ('registered', 'already_registered')
            order by subject";
        let (target, operation) = walk.range().parameters();
        self.run(async |db| {
            let query = sqlx::query(query).bind(&walk.batch).bind(target).bind(operation);
            query.bind(&walk.after).bind(until).fetch_all(db).await?.iter().map(read_success).collect()
        })
        .await
    }
}
