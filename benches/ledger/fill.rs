//! Fills the ledger as years of operation would.

use std::time::Instant;

use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Row};

/// Rows inserted by one statement.
const CHUNK: u64 = 500_000;

/// Rows of each batch except the large one.
pub(crate) const BATCH_ROWS: u64 = 100_000;

/// The batch with a quarter of all rows.
pub(crate) const LARGE: &str = "large";

/// Inserts the rows. Indexes are dropped and rebuilt afterwards, which is faster.
pub(crate) async fn fill(pool: &PgPool, rows: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    let indexes: Vec<(String, String)> = sqlx::query(
        "select indexname, indexdef
        from pg_indexes
        where tablename = 'registrations' and indexname <> 'registrations_pkey'",
    )
    .fetch_all(pool)
    .await?
    .iter()
    .map(|row| (row.get(0), row.get(1)))
    .collect();
    for (name, _) in &indexes {
        sqlx::query(AssertSqlSafe(format!("drop index {name}"))).execute(pool).await?;
    }
    sqlx::query("alter table registrations drop constraint registrations_pkey").execute(pool).await?;
    for start in (0..rows).step_by(usize::try_from(CHUNK)?) {
        insert(pool, start, (start + CHUNK).min(rows) - 1, rows / 4).await?;
        eprintln!("{} of {rows} rows, {:.0} s", (start + CHUNK).min(rows), began.elapsed().as_secs_f64());
    }
    sqlx::query("alter table registrations add primary key (batch, target, operation, subject)").execute(pool).await?;
    for (name, definition) in &indexes {
        sqlx::query(AssertSqlSafe(definition.clone())).execute(pool).await?;
        eprintln!("index {name}, {:.0} s", began.elapsed().as_secs_f64());
    }
    for statement in [COUNTERS, BATCHES, "vacuum analyze"] {
        sqlx::query(statement).execute(pool).await?;
    }
    eprintln!("filled in {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

async fn insert(pool: &PgPool, first: u64, last: u64, n_large: u64) -> anyhow::Result<()> {
    sqlx::query(INSERT)
        .bind(first.cast_signed())
        .bind(last.cast_signed())
        .bind(n_large.cast_signed())
        .bind(BATCH_ROWS.cast_signed())
        .execute(pool)
        .await?;
    Ok(())
}

/// One row in fifty is a failure: half of these are `expired`, the others `timeout`. Sizes are those of a P-256
/// certificate.
const INSERT: &str = "
    insert into registrations (
        batch, target, operation, subject, account, region, certificate_id, source, ref, message_id, status, code, detail,
        wanted_status, known_status, request, attempts, n_attempts, sent_at, received_at, ended_at, recorded_at, serial,
        certificate
    )
    select
        case when i < $3 then 'large' else 'batch-' || (i / $4) end, 'default', 'RegisterCertificate', id, '123456789012',
        'eu-central-1', id, 'plant-3/line-' || i % 7, 'SN-' || lpad(i::text, 9, '0'), gen_random_uuid()::text,
        case when i % 50 > 0 then 'registered' when i % 100 = 0 then 'rejected' else 'exhausted' end,
        case when i % 50 > 0 then 'ok' when i % 100 = 0 then 'expired' else 'timeout' end,
        case when i % 50 = 0 then 'a line of detail for people' end,
        'ACTIVE', case when i % 50 > 0 then 'ACTIVE' end,
        case when i % 50 = 0 then json_build_object('certificatePem', repeat(md5(i::text), 25), 'status', 'ACTIVE') end,
        jsonb_build_array(jsonb_build_object(
            'at', '2026-11-21T10:00:00.123456Z', 'result', 'ok', 'request_id', gen_random_uuid(), 'ms', i % 90
        )),
        1, at, at, at, at, substring(id for 16), case when i % 50 > 0 then decode(repeat(md5(i::text), 31), 'hex') end
    from generate_series($1::bigint, $2::bigint) as i,
        lateral (select sha256(i::text::bytea) as id, timestamptz '2025-01-01' + i * interval '1 second' as at) as made";

const COUNTERS: &str = "
    insert into batch_counters (batch, source, status, code, n, n_status_differs, first_at, last_at)
    select batch, source, status, code, count(*), 0, min(recorded_at), max(recorded_at)
    from registrations
    where batch not in (select batch from batches)
    group by batch, source, status, code";

const BATCHES: &str = "
    insert into batches (batch, announced, first_recorded_at)
    select batch, sum(n), min(first_at)
    from batch_counters
    where batch not in (select batch from batches)
    group by batch";
