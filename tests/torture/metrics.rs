//! Checks the workers' metrics while they work: a constant number of series, and no more jobs in flight than slots.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::plant::SLOTS;
use crate::violations::Violations;

/// How long to wait for an answer: a frozen worker gives none.
const PATIENCE: Duration = Duration::from_secs(1);

/// The prefix of every series.
const PREFIX: &str = "muster_";

/// Gauges that are absent while their value is unknown.
const MAY_BE_ABSENT: [&str; 9] = [
    "workers_alive",
    "parked_jobs",
    "holds_open",
    "quarantined_messages",
    "batch_missing_jobs",
    "last_progress",
    "queue_messages",
    "queue_retention",
    "backlog_eta",
];

/// What was seen so far.
#[derive(Clone, Default)]
pub(crate) struct Scrapes {
    n_series: Arc<Mutex<Option<usize>>>,
    pub(crate) n: Arc<Mutex<usize>>,
}

impl Scrapes {
    /// Scrapes one worker.
    pub(crate) async fn scrape(&self, address: &str, canaries: &[String], violations: &Violations) {
        let Ok(Some(page)) = tokio::time::timeout(PATIENCE, get(address)).await else { return };
        let series: Vec<&str> = page.lines().filter(|line| line.starts_with(PREFIX)).collect();
        let is_constant = |line: &&&str| !MAY_BE_ABSENT.iter().any(|name| line[PREFIX.len()..].starts_with(name));
        let n_constant = series.iter().filter(is_constant).count();
        let wanted = *self.n_series.lock().unwrap().get_or_insert(n_constant);
        violations.unless(n_constant == wanted, "I6", || format!("{n_constant} series, but {wanted} at first"));
        let in_flight = series.iter().filter(|line| line.starts_with("muster_jobs_in_flight{"));
        let in_flight: usize = in_flight.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum();
        violations.unless(in_flight <= SLOTS, "I6", || format!("{in_flight} jobs in flight, but only {SLOTS} slots"));
        for canary in canaries.iter().filter(|canary| page.contains(canary.as_str())) {
            violations.note("I11", &format!("{canary} is in the metrics"));
        }
        *self.n.lock().unwrap() += 1;
    }
}

/// Returns how long ago a worker last completed a job; `None` if it does not answer.
pub(crate) async fn since_progress(address: &str) -> Option<Duration> {
    let page = tokio::time::timeout(PATIENCE, get(address)).await.ok()??;
    let line = page.lines().find_map(|line| line.strip_prefix("muster_last_progress_timestamp_seconds "))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(now.saturating_sub(Duration::from_secs_f64(line.parse().ok()?)))
}

/// Returns the metrics page, if it arrived completely.
async fn get(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: torture\r\nConnection: close\r\n\r\n").await.ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await.ok()?;
    let (head, body) = page.split_once("\r\n\r\n")?;
    let length: usize =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())?;
    (body.len() == length).then(|| body.to_owned())
}
