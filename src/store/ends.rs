//! The ends of a batch, read out page by page, each page in statements of its own: however many there are, no transaction
//! is long.
//!
//! All rows are walked in the order of the primary key, so none that was there at the beginning is left out while others
//! are written. Where only bad ends are wanted they are found by the index `failures`, code by code; what changes its code
//! meanwhile may then be left out.

mod filter;
mod row;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::batch::Count;
use super::{Store, StoreError};
use crate::job::Name;

pub use filter::EndFilter;
pub use row::{EndRow, GoodEnd};

use filter::Way;
use row::{read_end, read_good};

/// Rows that the first page looks at, so that it comes at once, and that each page looks at in the end, so that none takes
/// long.
const PAGE: (i64, i64) = (100, 2000);

/// The ends of a batch that are being read out.
#[derive(Debug)]
pub struct Ends {
    walk: Walk,
    filter: EndFilter,
}

/// The certificates of a batch with a good end that are being read out, in the order of target, operation and id.
#[derive(Debug)]
pub struct GoodEnds {
    walk: Walk,
}

/// A walk through the rows of a batch.
#[derive(Debug)]
struct Walk {
    batch: String,
    /// What is still to be walked, the next one last.
    ways: Vec<Way>,
    after: Place,
    /// Rows that the next page looks at.
    size: i64,
}

/// Where a walk stands, inside its batch.
#[derive(Clone, Debug, Default)]
struct Place {
    target: String,
    operation: String,
    subject: Vec<u8>,
}

impl Ends {
    /// Begins with the first end of a batch that is wanted; `counts` are the batch's counters.
    pub fn of(batch: &str, filter: EndFilter, counts: &[Count]) -> Self {
        Self { walk: Walk::new(batch, filter.ways(counts)), filter }
    }

    /// The next rows, none after the last; a page may be without a row that is wanted.
    ///
    /// # Errors
    /// What the server or the connection met; the page can be asked for again.
    pub async fn next_page(&mut self, store: &Store) -> Result<Option<Vec<EndRow>>, StoreError> {
        let Some((way, until)) = self.walk.next_page(store).await? else { return Ok(None) };
        let rows = store.ends(&self.walk, &self.filter, way, &until).await?;
        self.walk.after = until;
        Ok(Some(rows))
    }
}

impl GoodEnds {
    /// Begins with the first certificate of a batch.
    pub fn of(batch: &str) -> Self {
        Self { walk: Walk::new(batch, vec![Way::Keys]) }
    }

    /// The next certificates, none after the last; a page may be without any.
    ///
    /// # Errors
    /// What the server or the connection met; the page can be asked for again.
    pub async fn next_page(&mut self, store: &Store) -> Result<Option<Vec<GoodEnd>>, StoreError> {
        let Some((_, until)) = self.walk.next_page(store).await? else { return Ok(None) };
        let good = store.good_ends(&self.walk, &until).await?;
        self.walk.after = until;
        Ok(Some(good))
    }
}

impl Walk {
    fn new(batch: &str, ways: Vec<Way>) -> Self {
        Self { batch: batch.to_owned(), ways, after: Place::default(), size: PAGE.0 }
    }

    /// Tells how the next page is come by and where it ends; none where nothing is left.
    async fn next_page(&mut self, store: &Store) -> Result<Option<(Way, Place)>, StoreError> {
        while let Some(&way) = self.ways.last() {
            if let Some(until) = store.page_end(self, way).await? {
                self.size = PAGE.1.min(self.size * 2);
                return Ok(Some((way, until)));
            }
            self.ways.pop();
            self.after = Place::default();
        }
        Ok(None)
    }
}

impl Store {
    /// Tells where a page ends that begins behind a place; none where nothing is left. So a page that looks for few rows
    /// among many has an end, too.
    async fn page_end(&self, walk: &Walk, way: Way) -> Result<Option<Place>, StoreError> {
        let Walk { batch, after, size, .. } = walk;
        let (order, condition, place) = (way.order(), way.condition(), way.place(3));
        let last_first = order.replace(',', " desc,");
        let query = format!(
            "-- page_end
            select target, operation, subject
            from (
                select target, operation, subject
                from registrations
                where {condition} and ({order}) > ({place})
                order by {order}
                limit $6
            ) as page
            order by {last_first} desc
            limit 1"
        );
        self.run(async |db| {
            let query = sqlx::query(AssertSqlSafe(query)).bind(batch).bind(way.code());
            let query = query.bind(&after.target).bind(&after.operation).bind(&after.subject).bind(size);
            let read = |row: PgRow| {
                let (target, operation) = (row.try_get("target")?, row.try_get("operation")?);
                Ok(Place { target, operation, subject: row.try_get("subject")? })
            };
            query.fetch_optional(db).await?.map(read).transpose()
        })
        .await
    }

    /// Reads the wanted rows of a page.
    async fn ends(&self, walk: &Walk, filter: &EndFilter, way: Way, until: &Place) -> Result<Vec<EndRow>, StoreError> {
        let (order, condition, first, last) = (way.order(), way.condition(), way.place(3), way.place(6));
        let query = format!(
            "-- ends
            select target, operation, certificate_id, serial, source, ref, status, code, detail, wanted_status,
                known_status, account, region, attempts, n_attempts, sent_at, received_at, ended_at, recorded_at,
                other_names
            from registrations
            where {condition} and ({order}) > ({first}) and ({order}) <= ({last})
                and (cardinality($9::text[]) = 0 or status = any($9))
                and (cardinality($10::text[]) = 0 or code = any($10))
                and (cardinality($11::text[]) = 0 or source = any($11))
            order by {order}"
        );
        let Walk { batch, after, .. } = walk;
        let statuses: Vec<&str> = filter.statuses.iter().map(|&status| status.into()).collect();
        let codes: Vec<&str> = filter.codes.iter().map(|code| code.as_str()).collect();
        let sources: Vec<&str> = filter.sources.iter().map(Name::as_str).collect();
        self.run(async |db| {
            let query = sqlx::query(AssertSqlSafe(query)).bind(batch).bind(way.code());
            let query = query.bind(&after.target).bind(&after.operation).bind(&after.subject);
            let query = query.bind(&until.target).bind(&until.operation).bind(&until.subject);
            query.bind(statuses).bind(codes).bind(sources).fetch_all(db).await?.iter().map(read_end).collect()
        })
        .await
    }

    /// Reads the certificates of good ends of a page.
    async fn good_ends(&self, walk: &Walk, until: &Place) -> Result<Vec<GoodEnd>, StoreError> {
        let query = "-- good_ends
            select target, operation, account, region, certificate_id
            from registrations
            where batch = $1
                and (target, operation, subject) > ($2, $3, $4) and (target, operation, subject) <= ($5, $6, $7)
                and status in ('registered', 'already_registered')
            order by target, operation, subject";
        let Walk { batch, after, .. } = walk;
        self.run(async |db| {
            let query = sqlx::query(query).bind(batch).bind(&after.target).bind(&after.operation).bind(&after.subject);
            let query = query.bind(&until.target).bind(&until.operation).bind(&until.subject);
            query.fetch_all(db).await?.iter().map(read_good).collect()
        })
        .await
    }
}
