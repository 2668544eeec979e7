//! The queries that operators run, as their commands run them.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::Context;
use muster::ledger::Ledger;
use muster::ledger::batch::BatchFilter;
use muster::ledger::outcomes::{OutcomeFilter, OutcomePages};
use muster_core::certificate::CertificateId;
use muster_core::job::Operation;
use muster_core::outcome::{Code, Status};
use muster_core::replay_filter::ReplayFilter;
use serde::Serialize;

use super::fill::{BATCH_ROWS, LARGE};

/// The batch that is pruned at the end.
pub(crate) const OLD_BATCH: &str = "batch-60";

/// How often a query runs before its times count.
const WARM_UP: usize = 5;

/// How many certificates a worker looks up at a time.
const LOOKED_UP: u64 = 10;

/// How long a query took, in milliseconds.
#[derive(Serialize)]
pub(crate) struct Answered {
    pub(crate) question: &'static str,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) most_ms: f64,
}

/// How many rows there are, and how often each query runs.
struct Asker {
    rows: u64,
    runs: usize,
}

/// Runs every query, each time about a different batch or certificate.
pub(crate) async fn ask(ledger: &Ledger, rows: u64, runs: usize) -> anyhow::Result<Vec<Answered>> {
    let asker = Asker { rows, runs };
    let large = ledger.batch_status(LARGE).await?.context("the large batch")?.counts;
    let bad = OutcomeFilter { codes: vec![Code::Expired], ..OutcomeFilter::default() };
    let exhausted = OutcomeFilter { statuses: vec![Status::Exhausted], ..OutcomeFilter::default() };
    let codes = [Code::Expired, Code::Timeout];
    let one = |n: u64| ReplayFilter {
        batches: [format!("batch-{}", asker.batch(n))].into(),
        codes: ReplayFilter::usual_codes(),
        ..ReplayFilter::default()
    };
    Ok(vec![
        asker.time("status: counters, large batch", async |_| ledger.batch_status(LARGE).await.map(drop)).await?,
        asker.time("status: operations, large batch", async |_| ledger.batch_operations(LARGE).await.map(drop)).await?,
        asker
            .time("status: an example of each failure, large batch", async |_| {
                ledger.batch_examples(LARGE, &codes).await.map(drop)
            })
            .await?,
        asker
            .time("status: the last 50 batches", async |_| {
                ledger.batch_lines(&BatchFilter::default(), None, 50).await.map(drop)
            })
            .await?,
        asker.time("missing: all batches", async |_| ledger.outstanding_jobs().await.map(drop)).await?,
        asker.time("worker: the counts that every worker reads", async |_| ledger.facts().await.map(drop)).await?,
        asker
            .time("show: by id, succeeded", async |n| {
                ledger.entries_of_certificate(asker.id(n, 1), 100).await.map(drop)
            })
            .await?,
        asker
            .time("show: by id, failed", async |n| ledger.entries_of_certificate(asker.id(n, 0), 100).await.map(drop))
            .await?,
        asker
            .time("show: by serial", async |n| {
                ledger.entries_of_serial(&[asker.id(n, 1).0[..16].to_vec()], 100).await.map(drop)
            })
            .await?,
        asker
            .time("show: by ref", async |n| {
                ledger.entries_of_ref(&format!("SN-{:09}", asker.number(n)), 100).await.map(drop)
            })
            .await?,
        asker
            .time("export: first page of the large batch", async |_| {
                first(ledger, &OutcomeFilter::default(), &large).await
            })
            .await?,
        asker.time("export: first page of one code", async |_| first(ledger, &bad, &large).await).await?,
        asker.time("export: first page of one status", async |_| first(ledger, &exhausted, &large).await).await?,
        asker
            .time("replay: plan for a batch of 100,000", async |n| ledger.plan_replay(&one(n)).await.map(drop))
            .await?,
        asker
            .time("worker: look up ten certificates", async |n| {
                ledger
                    .known("123456789012", "eu-central-1", Operation::RegisterCertificate, &asker.ids(n))
                    .await
                    .map(drop)
            })
            .await?,
        asker.time("holds: jobs by hold", async |_| ledger.holds_report().await.map(drop)).await?,
    ])
}

async fn first(
    ledger: &Ledger,
    filter: &OutcomeFilter,
    counts: &[muster::ledger::batch::Count],
) -> Result<(), muster::ledger::LedgerError> {
    OutcomePages::open(ledger, LARGE, filter.clone(), counts).await?.next_page(ledger).await.map(drop)
}

/// Prints and returns what the times in milliseconds amount to.
pub(crate) fn answered(question: &'static str, mut times: Vec<f64>) -> Answered {
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() * share).div_ceil(100).max(1) - 1];
    eprintln!("{:>9.2} ms  {question}", at(95));
    Answered { question, p50_ms: at(50), p95_ms: at(95), most_ms: at(100) }
}

impl Asker {
    async fn time<E: std::error::Error + Send + Sync + 'static>(
        &self,
        question: &'static str,
        ask: impl AsyncFn(u64) -> Result<(), E>,
    ) -> anyhow::Result<Answered> {
        let mut times = Vec::with_capacity(self.runs);
        for run in 0..WARM_UP + self.runs {
            let began = Instant::now();
            ask(run as u64).await.context(question)?;
            if run >= WARM_UP {
                times.push(began.elapsed().as_secs_f64() * 1000.0);
            }
        }
        Ok(answered(question, times))
    }

    /// Returns a row number for a run: pseudo-random, but the same in every run of the benchmark.
    fn number(&self, n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.rows
    }

    /// Returns the id of a pseudo-random row whose number is `rest` modulo 50: 0 for a failure, anything else for a
    /// success.
    fn id(&self, n: u64, rest: u64) -> CertificateId {
        CertificateId::of_der((self.number(n) / 50 * 50 + rest).to_string().as_bytes())
    }

    fn ids(&self, n: u64) -> Vec<CertificateId> {
        let ids: BTreeSet<_> = (0..LOOKED_UP).map(|i| self.id(n * LOOKED_UP + i, 1)).collect();
        ids.into_iter().collect()
    }

    /// Returns a pseudo-random batch other than the large one.
    fn batch(&self, n: u64) -> u64 {
        let (first, last) = (self.rows.div_ceil(4 * BATCH_ROWS), self.rows / BATCH_ROWS);
        first + self.number(n) % (last - first)
    }
}
