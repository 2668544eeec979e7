//! Whether writes keep their speed, and how pruning a batch affects them.

use std::fmt;
use std::time::{Duration, Instant};

use muster::ledger::prune::PruneProgress;
use muster::ledger::row::{Names, RowOutcome};
use muster::ledger::{Ledger, Page, Row};
use muster_core::certificate::CertificateId;
use muster_core::job::{CertificateStatus, Operation};
use muster_core::outcome::{Attempt, Code};
use serde::Serialize;
use time::OffsetDateTime;

/// Pages written for one figure; each has as many rows as a recorder's pages.
const PAGES: u32 = 200;
const PAGE_ROWS: u32 = 200;

/// Rows pruned in one transaction, as `muster prune` does.
const PRUNED_ROWS: u32 = 2000;

/// The results of the writes.
#[derive(Serialize)]
pub(crate) struct Writes {
    /// Outcomes per second into the empty ledger.
    empty_rows_per_second: f64,
    /// Outcomes per second into the full ledger.
    full_rows_per_second: f64,
    /// `full_rows_per_second` divided by `empty_rows_per_second`.
    ratio: f64,
    /// Outcomes per second while a batch is being pruned.
    pruning_rows_per_second: f64,
    /// Longest time that a page took during pruning.
    pruning_longest_page_ms: f64,
    /// Rows pruned per second.
    pruned_rows_per_second: f64,
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>9.0} outcomes per second into an empty ledger", self.empty_rows_per_second)?;
        writeln!(f, "{:>9.0} into the full one: ratio {:.2}", self.full_rows_per_second, self.ratio)?;
        writeln!(
            f,
            "{:>9.0} while a batch is pruned at {:.0} rows per second; the longest page took {:.0} ms",
            self.pruning_rows_per_second, self.pruned_rows_per_second, self.pruning_longest_page_ms
        )
    }
}

/// Writes pages into two ledgers alternately, so that both see the same noise, each as one recorder does. Returns the
/// outcomes per second of each.
async fn rates(one: &Ledger, other: &Ledger) -> anyhow::Result<(f64, f64)> {
    let mut took = [Duration::ZERO; 2];
    for page in 0..PAGES {
        let page = new_page("new", page);
        for (ledger, took) in [one, other].into_iter().zip(&mut took) {
            let began = Instant::now();
            ledger.record(&page).await?;
            *took += began.elapsed();
        }
    }
    let [one, other] = took.map(|took| f64::from(PAGES * PAGE_ROWS) / took.as_secs_f64());
    Ok((one, other))
}

/// Writes into the empty and the full ledger, then prunes a batch while writing pages.
pub(crate) async fn measure(empty: &Ledger, ledger: &Ledger) -> anyhow::Result<Writes> {
    let (empty, full) = rates(empty, ledger).await?;
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    let pruning = ledger.clone();
    let pruning = tokio::spawn(async move {
        let (began, mut pruned) = (Instant::now(), PruneProgress::default());
        while !pruned.is_done {
            pruned = pruning.prune(super::questions::OLD_BATCH, &pruned, PRUNED_ROWS).await?;
        }
        anyhow::Ok((pruned.n_dropped, began.elapsed()))
    });
    let mut n_pages = 0;
    while !pruning.is_finished() {
        let page_began = Instant::now();
        ledger.record(&new_page("beside", n_pages)).await?;
        longest = longest.max(page_began.elapsed());
        n_pages += 1;
    }
    let took = began.elapsed().as_secs_f64();
    let (n_dropped, pruning_took) = pruning.await??;
    Ok(Writes {
        empty_rows_per_second: empty,
        full_rows_per_second: full,
        ratio: full / empty,
        pruning_rows_per_second: f64::from(n_pages * PAGE_ROWS) / took,
        pruning_longest_page_ms: longest.as_secs_f64() * 1000.0,
        pruned_rows_per_second: f64::from(u32::try_from(n_dropped)?) / pruning_took.as_secs_f64(),
    })
}

fn new_page(batch: &str, page: u32) -> Page {
    let rows = (0..PAGE_ROWS).map(|i| new_row(batch, page * PAGE_ROWS + i)).collect();
    Page { rows, announced: [(batch.to_owned(), None)].into(), ..Page::default() }
}

/// Returns the success of a made-up certificate, as large as one with a P-256 key.
fn new_row(batch: &str, n: u32) -> Row {
    let id = CertificateId::of_der(format!("{batch} {n}").as_bytes());
    let now = OffsetDateTime::now_utc();
    Row {
        batch: batch.to_owned(),
        target: "default".to_owned(),
        operation: Operation::RegisterCertificate,
        subject: id.0,
        account: "123456789012".to_owned(),
        region: "eu-central-1".to_owned(),
        certificate_id: Some(id),
        serial: Some(id.0[..16].to_vec()),
        certificate: Some(id.0.repeat(16)),
        names: Names { reference: Some(format!("SN-{batch}-{n}")), source: Some("plant-3/line-1".to_owned()) },
        message_id: id.to_string(),
        outcome: RowOutcome {
            code: Code::Ok,
            detail: None,
            wanted_status: CertificateStatus::Active,
            known_status: Some(CertificateStatus::Active),
            request: None,
            waits_for: None,
            verify: false,
            resent_at: None,
            sent_at: now,
            received_at: now,
            ended_at: now,
        },
        attempts: vec![Attempt { at: now, result: "ok".to_owned(), request_id: Some(id.to_string()), ms: 40 }],
        n_attempts: 1,
        n_duplicates: 0,
        other_names: vec![],
    }
}
