//! The list of batches, one line each, from the counters.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::ledger::missing::Quiet;
use crate::ledger::{Ledger, LedgerError};

/// The progress of a batch, in one line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BatchLine {
    /// Its name.
    pub batch: String,
    /// How many distinct certificates the producer announced.
    pub announced: Option<u64>,
    /// How long ago the size was announced, or the first message of the batch was received. `None`: only an older
    /// version saw the batch.
    pub announced_ago: Option<Duration>,
    /// How many have an outcome.
    pub finished: u64,
    /// How many of these failed.
    pub failed: u64,
    /// How many are parked.
    pub parked: u64,
    /// When the first outcome was recorded.
    pub first_at: Option<OffsetDateTime>,
    /// When the last outcome was recorded.
    pub last_at: Option<OffsetDateTime>,
}

/// Which batches a list contains: those that match every field.
#[derive(Clone, Debug, Default)]
pub struct BatchFilter {
    /// Batches whose name contains this text. `None`: all.
    pub name: Option<String>,
    /// Batches with a job of this factory line. `None`: all.
    pub source: Option<String>,
    /// Batches in this state. `None`: all.
    pub state: Option<BatchState>,
    /// Batches first seen at this time or later. `None`: all.
    pub since: Option<OffsetDateTime>,
    /// Batches first seen before this time. `None`: all.
    pub until: Option<OffsetDateTime>,
}

/// The state of a batch, by its counters. A batch can be in several states.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Display,
    EnumString,
    Eq,
    IntoStaticStr,
    PartialEq,
    Serialize,
    ToSchema,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BatchState {
    /// Every announced certificate has an outcome, and none is parked.
    Complete,
    /// An announced certificate has no outcome, one is parked, or the producer announced no size.
    Unfinished,
    /// A certificate failed.
    Failed,
    /// A certificate is parked.
    Parked,
}

impl BatchLine {
    /// Returns how many announced certificates have no outcome and are not parked. `None`: no size was announced.
    pub fn outstanding(&self) -> Option<u64> {
        super::outstanding(self.announced, self.finished, self.parked)
    }

    /// Returns how many of these are missing, given how long the queues have been empty. `None`: unknown.
    pub fn missing(&self, queues_empty_for: Option<Duration>) -> Option<u64> {
        Quiet { queues_empty_for, announced_ago: self.announced_ago }.missing(self.outstanding())
    }
}

impl Ledger {
    /// Lists up to `n` batches, most recently recorded first, starting after batch `before` (keyset pagination).
    /// `None`: the ledger does not have that batch.
    pub async fn batch_lines(
        &self,
        filter: &BatchFilter,
        before: Option<&str>,
        n: u32,
    ) -> Result<Option<Vec<BatchLine>>, LedgerError> {
        let position = "-- batch_place
select first_recorded_at from batches where batch = $1";
        let query = "-- batch_lines
            select b.batch, b.announced, c.finished, c.failed, c.parked, c.first_at, c.last_at,
                extract(epoch from clock_timestamp() - b.announced_at)::float8 as announced_ago
            from batches b
            cross join lateral (
                select coalesce(sum(n) filter (where status <> 'parked'), 0)::bigint as finished,
                    coalesce(
                        sum(n) filter (where status not in ('registered', 'already_registered', 'parked')), 0
                    )::bigint as failed,
                    coalesce(sum(n) filter (where status = 'parked'), 0)::bigint as parked,
                    min(first_at) filter (where status <> 'parked') as first_at,
                    max(last_at) filter (where status <> 'parked') as last_at
                from batch_counters
                where batch = b.batch and n > 0
            ) as c
            where (b.first_recorded_at, b.batch) < (coalesce($1, timestamptz 'infinity'), $2)
                and ($4::text is null or position($4 in b.batch) > 0)
                and ($5::timestamptz is null or b.first_recorded_at >= $5)
                and ($6::timestamptz is null or b.first_recorded_at < $6)
                and (
                    $7::text is null
                    or exists (select from batch_counters where batch = b.batch and source = $7 and n > 0)
                )
                and case $8::text
                    when 'complete' then b.announced <= c.finished and c.parked = 0
                    when 'unfinished' then b.announced is null or b.announced > c.finished or c.parked > 0
                    when 'failed' then c.failed > 0
                    when 'parked' then c.parked > 0
                    else true
                end
            order by b.first_recorded_at desc, b.batch desc
            limit $3";
        self.run(async |db| {
            let mut first: Option<OffsetDateTime> = None;
            if let Some(before) = before {
                first = sqlx::query_scalar(position).bind(before).fetch_optional(&mut *db).await?;
                if first.is_none() {
                    return Ok(None);
                }
            }
            let state = filter.state.map(<&str>::from);
            let query = sqlx::query(query).bind(first).bind(before.unwrap_or_default()).bind(i64::from(n));
            let query = query.bind(&filter.name).bind(filter.since).bind(filter.until).bind(&filter.source).bind(state);
            query.fetch_all(db).await?.iter().map(read).collect::<Result<_, _>>().map(Some)
        })
        .await
    }
}

fn read(row: &PgRow) -> Result<BatchLine, LedgerError> {
    let count = |column: &str| Ok::<_, LedgerError>(row.try_get::<i64, _>(column)?.cast_unsigned());
    Ok(BatchLine {
        batch: row.try_get("batch")?,
        announced: super::announced_of(row)?,
        announced_ago: super::announced_ago(row)?,
        finished: count("finished")?,
        failed: count("failed")?,
        parked: count("parked")?,
        first_at: row.try_get("first_at")?,
        last_at: row.try_get("last_at")?,
    })
}
