//! The heartbeats of the workers: which are alive, and what blocks their calls.
//!
//! A worker that shuts down removes its row. A killed worker stops reporting, and its row stays for a day, so that
//! people see where it ran. Ages are measured by the clock of the server.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use super::{Ledger, LedgerError, storable_json};
use muster_core::trouble::Trouble;

/// How long a worker counts as alive after its last heartbeat: three heartbeats may be late.
pub const ALIVE_FOR: Duration = Duration::from_secs(12);

/// How long the row of a worker that no longer reports stays.
const REMEMBERED_FOR: Duration = Duration::from_hours(24);

/// The identity that a worker reports.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Random id of the process.
    pub id: String,
    /// Name of its host.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Version of Muster.
    pub version: &'static str,
}

/// A worker, as it last reported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WorkerReport {
    /// Name of its host.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Version of Muster.
    pub version: String,
    /// How long ago it first reported.
    pub started_ago: Duration,
    /// How long ago it last reported.
    pub seen_ago: Duration,
    /// What blocked its calls at that time.
    pub troubles: Vec<Trouble>,
}

impl WorkerReport {
    /// Returns whether its last heartbeat is recent enough.
    pub fn is_alive(&self) -> bool {
        self.seen_ago <= ALIVE_FOR
    }
}

impl Ledger {
    /// Records a heartbeat, and removes workers that have not reported for a day.
    pub async fn beat(&self, worker: &Identity, troubles: &[Trouble]) -> Result<(), LedgerError> {
        let beat = "-- beat
            insert into workers as w (worker, host, pid, version, troubles)
            values ($1, $2, $3, $4, $5::jsonb)
            on conflict (worker) do update
            set seen_at = now(), troubles = excluded.troubles";
        let forget = "-- forget_workers
            delete from workers
            where seen_at < now() - make_interval(secs => $1)";
        let troubles = serde_json::to_string(troubles).expect("strings always become JSON");
        self.run(async |db| {
            let query = sqlx::query(beat).bind(&worker.id).bind(&worker.host).bind(worker.pid.cast_signed());
            query.bind(worker.version).bind(storable_json(troubles.clone())).execute(&mut *db).await?;
            sqlx::query(forget).bind(REMEMBERED_FOR.as_secs_f64()).execute(db).await?;
            Ok(())
        })
        .await
    }

    /// Removes the row of a worker that shuts down.
    pub async fn leave(&self, worker: &Identity) -> Result<(), LedgerError> {
        let leave = "-- leave\ndelete from workers where worker = $1";
        self.run(async |db| Ok(sqlx::query(leave).bind(&worker.id).execute(db).await.map(drop)?)).await
    }

    /// Lists the workers that reported in the last day, most recent report first.
    pub async fn workers(&self) -> Result<Vec<WorkerReport>, LedgerError> {
        let query = "-- workers
            select host, pid, version, troubles,
                extract(epoch from clock_timestamp() - started_at)::float8 as started_ago,
                extract(epoch from clock_timestamp() - seen_at)::float8 as seen_ago
            from workers
            order by seen_at desc, worker";
        self.run(async |db| sqlx::query(query).fetch_all(db).await?.iter().map(read).collect()).await
    }
}

fn read(row: &PgRow) -> Result<WorkerReport, LedgerError> {
    let ago = |column| Ok::<_, LedgerError>(Duration::try_from_secs_f64(row.try_get(column)?).unwrap_or_default());
    Ok(WorkerReport {
        host: row.try_get("host")?,
        pid: row.try_get::<i32, _>("pid")?.cast_unsigned(),
        version: row.try_get("version")?,
        started_ago: ago("started_ago")?,
        seen_ago: ago("seen_ago")?,
        troubles: row.try_get::<Json<Vec<Trouble>>, _>("troubles")?.0,
    })
}
