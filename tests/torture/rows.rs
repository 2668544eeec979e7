//! The ledger as the oracle sees it, on its own connections.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use muster_core::certificate::CertificateId;
use muster_core::outcome::Code;
use sqlx::postgres::{PgPool, PgPoolOptions};
use time::OffsetDateTime;

use crate::jobs::Place;

/// Records outcomes that got worse and rows that vanished, in the transaction that caused it.
const WATCH: &str = "
    create table worse_ends (what text not null);
    create function end_rank(status text) returns int immutable language sql
    return case status when 'registered' then 3 when 'already_registered' then 2 else 1 end;
    create function note_worse_end() returns trigger language plpgsql as $$
    begin
        if tg_op = 'DELETE' then
            insert into worse_ends values ('row deleted: ' || old.status || ' ' || encode(old.subject, 'hex'));
        elsif end_rank(old.status) > 1 and end_rank(new.status) < end_rank(old.status) then
            insert into worse_ends values (old.status || ' -> ' || new.status || ' ' || encode(old.subject, 'hex'));
        end if;
        return coalesce(new, old);
    end $$;
    create trigger note_worse_end after update or delete on registrations
    for each row execute function note_worse_end()";

/// How long the oracle waits before it asks an unavailable server again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long to wait for an answer: a frozen server gives none.
const PATIENCE: Duration = Duration::from_secs(1);

/// The ledger.
#[derive(Clone)]
pub(crate) struct Rows(PgPool);

/// The outcome of one certificate.
pub(crate) struct Row {
    pub(crate) code: Code,
    pub(crate) certificate_id: Option<CertificateId>,
    pub(crate) recorded_at: OffsetDateTime,
    pub(crate) has_key: bool,
}

impl Rows {
    pub(crate) async fn open(url: &str) -> Self {
        let pool = PgPoolOptions::new().max_connections(8).acquire_timeout(PATIENCE).connect_lazy(url).unwrap();
        sqlx::raw_sql(WATCH).execute(&pool).await.unwrap();
        Self(pool)
    }

    /// Returns the places with nothing committed; retries until the server answers.
    pub(crate) async fn missing(&self, places: &[Place]) -> Vec<Place> {
        loop {
            if let Ok(Ok(missing)) = tokio::time::timeout(PATIENCE, self.try_missing(places)).await {
                return missing;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_missing(&self, places: &[Place]) -> sqlx::Result<Vec<Place>> {
        let rows = places.iter().filter_map(|place| match place {
            Place::Row(batch, subject) => Some((batch.as_str(), subject.as_slice())),
            Place::Quarantine(_) => None,
        });
        let (batches, subjects): (Vec<&str>, Vec<&[u8]>) = rows.unzip();
        let marks = places.iter().filter_map(|place| match place {
            Place::Quarantine(mark) => Some(mark.as_str()),
            Place::Row(..) => None,
        });
        // Queries by the whole key, because the deletes of all workers wait for this.
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "select batch, subject from unnest($1::text[], $2::bytea[]) as wanted (batch, subject)
            where not exists (
                select from registrations r
                where (r.batch, r.target, r.operation, r.subject)
                    = (wanted.batch, 'default', 'RegisterCertificate', wanted.subject)
            )",
        )
        .bind(batches)
        .bind(subjects)
        .fetch_all(&self.0)
        .await?;
        let marks: Vec<String> = sqlx::query_scalar(
            "select mark from unnest($1::text[]) as wanted (mark)
            where not exists (select from quarantine where starts_with(convert_from(body, 'utf8'), mark))",
        )
        .bind(marks.collect::<Vec<_>>())
        .fetch_all(&self.0)
        .await?;
        let rows = rows.into_iter().map(|(batch, subject)| Place::Row(batch, subject.try_into().unwrap()));
        Ok(rows.chain(marks.into_iter().map(Place::Quarantine)).collect())
    }

    /// Returns how many jobs are parked; 0 while the server does not answer.
    pub(crate) async fn parked(&self) -> u64 {
        let query = "select coalesce(sum(n), 0)::bigint from batch_counters where status = 'parked'";
        let n = tokio::time::timeout(PATIENCE, sqlx::query_scalar::<_, i64>(query).fetch_one(&self.0)).await;
        n.ok().and_then(Result::ok).unwrap_or(0).cast_unsigned()
    }

    /// Returns every row by its place.
    pub(crate) async fn all(&self) -> HashMap<Place, Row> {
        type Found = (String, Vec<u8>, String, Option<Vec<u8>>, OffsetDateTime, bool);
        let rows: Vec<Found> = sqlx::query_as(
            "select batch, subject, code, certificate_id, recorded_at, coalesce(request::text like '%PRIVATE KEY%', false)
            from registrations",
        )
        .fetch_all(&self.0)
        .await
        .unwrap();
        let read = |(batch, subject, code, certificate_id, recorded_at, has_key): Found| {
            let certificate_id = certificate_id.map(|id| CertificateId(id.try_into().unwrap()));
            let row = Row { code: code.parse().unwrap(), certificate_id, recorded_at, has_key };
            (Place::Row(batch, subject.try_into().unwrap()), row)
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns the current learnt rate, and the lowest of its last hundred changes, in calls per second.
    pub(crate) async fn learnt_rates(&self) -> (f64, f64) {
        let query =
            "select l.rate, least(l.rate, (select min(rate) from rate_changes c where c.operation = l.operation))
            from rate_limits l
            where l.operation = 'RegisterCertificate'";
        sqlx::query_as(query).fetch_one(&self.0).await.unwrap()
    }

    /// Returns the bodies that were not jobs.
    pub(crate) async fn quarantined(&self) -> Vec<String> {
        sqlx::query_scalar("select convert_from(body, 'utf8') from quarantine").fetch_all(&self.0).await.unwrap()
    }

    /// Returns the outcomes that got worse, and the rows that vanished.
    pub(crate) async fn regressions(&self) -> Vec<String> {
        sqlx::query_scalar("select what from worse_ends").fetch_all(&self.0).await.unwrap()
    }

    /// Returns the outcomes by batch, source and code: according to the counters, and according to the rows.
    pub(crate) async fn counts(&self) -> [BTreeMap<(String, String, String), i64>; 2] {
        let counters = "select batch, source, code, n from batch_counters where n > 0";
        let rows = "select batch, coalesce(source, ''), code, count(*) from registrations group by 1, 2, 3";
        [self.counted(counters).await, self.counted(rows).await]
    }

    async fn counted(&self, sql: &'static str) -> BTreeMap<(String, String, String), i64> {
        let rows: Vec<(String, String, String, i64)> = sqlx::query_as(sql).fetch_all(&self.0).await.unwrap();
        rows.into_iter().map(|(batch, source, code, n)| ((batch, source, code), n)).collect()
    }

    /// Returns how many rows there are; `None` if the server does not answer.
    pub(crate) async fn n(&self) -> Option<i64> {
        let n = sqlx::query_scalar("select coalesce(sum(n), 0)::bigint from batch_counters").fetch_one(&self.0);
        tokio::time::timeout(PATIENCE, n).await.ok()?.ok()
    }

    /// Terminates every connection of the program.
    pub(crate) async fn disconnect_workers(&self) {
        let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'muster'";
        let _ = tokio::time::timeout(PATIENCE, sqlx::query(sql).execute(&self.0)).await;
    }
}
