//! The ledger at scale: how long queries take, whether writes keep their speed, and how fast old batches are pruned.
//!
//! `cargo ledger [--rows N] [--runs N] [--plans FILE] [--json]`. Runs an embedded Postgres with default settings and N
//! outcomes, one in fifty of them a failure: a quarter in one batch, the rest in batches of 100,000. 20 million take
//! about 30 GB in the temporary folder (`TMPDIR`) and a quarter of an hour to create.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures are the benchmark's output")]

#[path = "ledger/fill.rs"]
mod fill;
#[path = "ledger/pages.rs"]
mod pages;
#[path = "ledger/plans.rs"]
mod plans;
#[path = "ledger/questions.rs"]
mod questions;
#[path = "ledger/writes.rs"]
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use muster::config::database_settings::DatabaseSettings;
use muster::ledger::Ledger;
use muster_sandbox::postgres::{self, Postgres};
use serde::Serialize;
use sqlx::postgres::PgPool;

use questions::Answered;
use writes::Writes;

/// Measures a ledger of many rows.
#[derive(Parser)]
struct Arguments {
    /// Number of outcomes in the ledger.
    #[arg(long, default_value_t = 20_000_000)]
    rows: u64,
    /// How often each query runs, not counting a few warm-up runs.
    #[arg(long, default_value_t = 100)]
    runs: usize,
    /// Write the plan of every query, with buffers, to FILE. Postgres needs the `auto_explain` module.
    #[arg(long, value_name = "FILE")]
    plans: Option<PathBuf>,
    /// Measure on this server instead of an embedded one. The database must be empty; another one named `empty` is
    /// created on the same server.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The flag that cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The results.
#[derive(Serialize)]
struct Figures {
    rows: u64,
    /// Size of the table with its indexes, in GiB.
    gib: f64,
    questions: Vec<Answered>,
    writes: Writes,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let server = match &arguments.url {
        Some(_) => None,
        None => Some(Postgres::start(postgres::PostgresSettings { bin_dir: None, durable: false }).await?),
    };
    let url = server.as_ref().map(Postgres::url).or(arguments.url.as_deref()).unwrap_or_default();
    let pool = PgPool::connect(url).await?;
    let ledger = connect(url).await?;
    ledger.migrate().await?;
    fill::fill(&pool, arguments.rows).await?;
    let mut questions = questions::ask(&ledger, arguments.rows, arguments.runs).await?;
    questions.extend(pages::ask(&pool, url, arguments.rows, arguments.runs).await?);
    let writes = writes::measure(&empty(&pool, url).await?, &ledger).await?;
    if let Some(path) = &arguments.plans {
        plans::write(&pool, url, arguments.rows, path).await?;
    }
    let figures = Figures { rows: arguments.rows, gib: size(&pool).await?, questions, writes };
    ledger.close().await;
    pool.close().await;
    if let Some(server) = server {
        server.stop().await?;
    }
    print(&figures, arguments.json)
}

/// Creates an empty ledger on the same server.
async fn empty(pool: &PgPool, url: &str) -> anyhow::Result<Ledger> {
    sqlx::query("create database empty").execute(pool).await?;
    let (server, _) = url.rsplit_once('/').context("a URL ends with the name of its database")?;
    let ledger = connect(&format!("{server}/empty")).await?;
    ledger.migrate().await?;
    Ok(ledger)
}

async fn connect(url: &str) -> anyhow::Result<Ledger> {
    let settings = DatabaseSettings {
        url: url.into(),
        root_certificate: None,
        max_connections: 8,
        timeout: Duration::from_mins(2),
        statement_timeout: None,
    };
    Ok(Ledger::connect(&settings).await?)
}

async fn size(pool: &PgPool) -> anyhow::Result<f64> {
    let query = "select pg_total_relation_size('registrations')::float8 / 1073741824";
    Ok(sqlx::query_scalar(query).fetch_one(pool).await?)
}

fn print(figures: &Figures, is_json: bool) -> anyhow::Result<()> {
    if is_json {
        println!("{}", serde_json::to_string_pretty(figures)?);
        return Ok(());
    }
    println!("{} outcomes, {:.1} GiB with indexes", figures.rows, figures.gib);
    println!("{:>9} {:>9} {:>9}  ms", "p50", "p95", "max");
    for its in &figures.questions {
        println!("{:>9.2} {:>9.2} {:>9.2}  {}", its.p50_ms, its.p95_ms, its.most_ms, its.question);
    }
    print!("{}", figures.writes);
    Ok(())
}
