//! The pages of the ops page, over HTTP, as a browser asks for them.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, ensure};
use muster::config::Config;
use muster::http::site::Site;
use muster_core::certificate::CertificateId;
use sqlx::postgres::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::fill::LARGE;
use super::questions::{Answered, answered};

/// How often a page is asked for before its times count.
const WARM_UP: usize = 5;

/// 31 days of history, as two workers with two targets leave it.
const HISTORY: &str = "
    insert into minute_counts (
        minute, target, operation, writer, n_registered, n_already_registered, n_failed, n_parked, n_throttled
    )
    select minute, 'target-' || target, 'RegisterCertificate', writer, 290, 0, 6, 0, 3
    from generate_series(
            date_trunc('minute', now()) - interval '31 days', date_trunc('minute', now()), interval '1 minute'
        ) as minute,
        generate_series(1, 2) as target,
        generate_series(1, 2) as writer
    on conflict do nothing";

/// Asks for every page `runs` times and returns how long each took.
pub(crate) async fn ask(pool: &PgPool, url: &str, rows: u64, runs: usize) -> anyhow::Result<Vec<Answered>> {
    sqlx::query(HISTORY).execute(pool).await?;
    let mut config = Config::default();
    config.database.url = url.into();
    config.http.listen = Some(([127, 0, 0, 1], 0).into());
    let listening = Site::listen(&config).await?.context("the page has a listener")?;
    let (address, stop) = (listening.address()?, CancellationToken::new());
    let server = tokio::spawn(listening.run(stop.clone()));
    let mut figures = Vec::new();
    for (page, path) in pages(rows) {
        let mut times = Vec::with_capacity(runs);
        for run in 0..WARM_UP + runs {
            let began = Instant::now();
            get(address, &path).await.with_context(|| path.clone())?;
            if run >= WARM_UP {
                times.push(began.elapsed().as_secs_f64() * 1000.0);
            }
        }
        figures.push(answered(page, times));
    }
    stop.cancel();
    server.await?;
    Ok(figures)
}

fn pages(rows: u64) -> Vec<(&'static str, String)> {
    let id = |n: u64| CertificateId::of_der(n.to_string().as_bytes());
    vec![
        ("page: overview", "/".to_owned()),
        ("page: overview, 31 days", "/?range=month".to_owned()),
        ("page: batches", "/batches".to_owned()),
        ("page: batches of one line that failed", "/batches?source=plant-3%2Fline-1&state=failed".to_owned()),
        ("page: batches, by a name that nothing has", "/batches?name=nowhere".to_owned()),
        ("page: the large batch", format!("/batches/{LARGE}")),
        ("page: failures of the large batch", format!("/batches/{LARGE}/failures?code=expired")),
        ("page: failures of all batches", "/failures".to_owned()),
        ("page: a certificate", format!("/certificates/{}", id(rows / 2 + 1))),
        ("page: a device by its ref", format!("/certificates/SN-{:09}", rows / 3)),
        ("page: holds", "/holds".to_owned()),
        ("page: replays", "/replays".to_owned()),
        ("page: quarantine", "/quarantine".to_owned()),
        ("page: audit", "/audit".to_owned()),
    ]
}

/// Asks for a page on a connection of its own.
async fn get(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{}", answer.lines().next().unwrap_or_default());
    Ok(())
}
