//! The ledger at size: how long questions take, whether writes keep their speed, and how old batches go.
//!
//! `cargo ledger [--rows N] [--runs N] [--plans FILE] [--json]`. An embedded Postgres as it comes, with N ends, of which one
//! in fifty is bad: a quarter of them in one batch, the others in batches of 100,000. 20 million take about 30 GB in the
//! temporary folder (`TMPDIR`) and a quarter of an hour to make.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures are the bench's output")]

#[path = "ledger/fill.rs"]
mod fill;
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

/// What is measured.
#[derive(Parser)]
struct Arguments {
    /// Ends in the ledger.
    #[arg(long, default_value_t = 20_000_000)]
    rows: u64,
    /// How often each question is asked, after a few that do not count.
    #[arg(long, default_value_t = 100)]
    runs: usize,
    /// Writes the plan of every question, with buffers, to a file; Postgres needs its module `auto_explain`.
    #[arg(long, value_name = "FILE")]
    plans: Option<PathBuf>,
    /// Measures on this server instead of an embedded one; the database must be empty, and one named `empty` is made beside it.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What came out.
#[derive(Serialize)]
struct Figures {
    rows: u64,
    /// Size of the ledger with its indexes.
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
    let questions = questions::ask(&ledger, arguments.rows, arguments.runs).await?;
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

/// An empty ledger on the same server.
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
    println!("{} ends, {:.1} GiB with indexes", figures.rows, figures.gib);
    println!("{:>9} {:>9} {:>9}  ms", "p50", "p95", "most");
    for its in &figures.questions {
        println!("{:>9.2} {:>9.2} {:>9.2}  {}", its.p50_ms, its.p95_ms, its.most_ms, its.question);
    }
    print!("{}", figures.writes);
    Ok(())
}
