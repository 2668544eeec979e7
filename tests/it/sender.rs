//! Resending parked jobs, through a real ledger and the sandbox's SQS.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use muster::config::probe_times::ProbeTimes;
use muster::engine::resender::Resender;
use muster::health::board::Board;
use muster::ledger::{Page, Row};
use muster::quota::by_target::PermitPools;
use muster::telemetry::metrics::Metrics;
use muster_core::certificate::Certificate;
use muster_core::hold::HoldKey;
use muster_core::job::{Job, RegisterCertificate};
use muster_core::outcome::Code;
use muster_sandbox::{ApiOperation, Effect, Fault};
use tokio::task::JoinHandle;

use crate::factory::Factory;
use crate::holds::{age, hold, opening, parked};
use crate::ledger::{assert_counters_equal_the_rows, page};

/// Returns the row of a parked job for a certificate.
fn waiting(n: u32, pem: &str) -> Row {
    let certificate = Certificate::from_pem(pem).unwrap();
    let mut row = Row { subject: certificate.id().0, certificate_id: Some(certificate.id()), ..parked(n) };
    row.outcome.request = Some(serde_json::to_string(&Factory::job(pem).request).unwrap());
    row
}

/// Parks jobs under a hold that is already released.
async fn park(factory: &Factory, pems: &[String]) {
    let rows = (0..).zip(pems).map(|(n, pem)| waiting(n, pem)).collect();
    factory.ledger.record(&page(rows)).await.unwrap();
}

/// A running sender of a worker.
struct Running {
    task: JoinHandle<()>,
    metrics: Arc<Metrics>,
}

impl Running {
    fn start(factory: &Factory) -> Self {
        let metrics = Arc::new(Metrics::new());
        let minute = Duration::from_mins(1);
        let probes = ProbeTimes { issuer: minute, batch: minute, target: minute };
        let sender = Resender {
            ledger: factory.ledger.clone(),
            queue: factory.queue.clone(),
            board: Board::new(["default".parse().unwrap()], probes),
            pools: PermitPools::new(HashMap::new(), 100),
            metrics: Arc::clone(&metrics),
        };
        Self { task: tokio::spawn(sender.run()), metrics }
    }

    fn n_sent(&self, reason: &str) -> u64 {
        self.metrics.jobs_sent_again.with_label_values(&[reason]).get()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn until_no_hold_remains(factory: &Factory) {
    factory.until("no hold remains", async |f| f.ledger.holds_report().await.unwrap().is_empty()).await;
}

fn n_messages(factory: &Factory) -> u64 {
    factory.counts("jobs").sent
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_jobs_are_resent_once_their_hold_is_released() {
    let factory = Factory::new(1000.0).await;
    park(&factory, &factory.leaves(250)).await;
    let sender = Running::start(&factory);
    until_no_hold_remains(&factory).await;
    assert_eq!((n_messages(&factory), sender.n_sent("release"), sender.n_sent("probe")), (250, 250, 0));
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 250)]));
    assert_counters_equal_the_rows(&factory.database).await;
    let n_inconsistent: i64 = sqlx::query_scalar(
        "select count(*) from registrations
        where n_duplicates > 0 or sent_again_at is not null or waits_for is not null or ref is null",
    )
    .fetch_one(&factory.database.pool)
    .await
    .unwrap();
    assert_eq!(n_inconsistent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_hold_is_probed_with_one_job() {
    let factory = Factory::new(1000.0).await;
    let rows = (0..).zip(&factory.leaves(20)).map(|(n, pem)| waiting(n, pem)).collect();
    factory.ledger.record(&Page { openings: vec![opening(1), opening(2)], ..page(rows) }).await.unwrap();
    age(&factory.database, "2 minutes").await;
    let sender = Running::start(&factory);
    factory.until("a probe is sent", async |_| sender.n_sent("probe") == 1).await;
    // Later jobs are sent, so the probe's turn is over, and there was no second probe.
    factory.ledger.release_at_once(&hold()).await.unwrap();
    until_no_hold_remains(&factory).await;
    assert_eq!((sender.n_sent("probe"), sender.n_sent("release"), n_messages(&factory)), (1, 19, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_without_jobs_is_removed() {
    let factory = Factory::new(1000.0).await;
    let rows = vec![waiting(1, &factory.leaves(1)[0])];
    factory.ledger.record(&Page { openings: vec![opening(1)], ..page(rows) }).await.unwrap();
    sqlx::query("update registrations set waits_for = null").execute(&factory.database.pool).await.unwrap();
    age(&factory.database, "2 minutes").await;
    let _sender = Running::start(&factory);
    until_no_hold_remains(&factory).await;
    assert_eq!(n_messages(&factory), 0);
}

/// SQS accepts ten messages and 1 MiB per call; these have 130 kB each.
#[tokio::test(flavor = "multi_thread")]
async fn calls_with_the_largest_jobs_stay_within_sqs_limits() {
    let factory = Factory::new(1000.0).await;
    let filler = "x".repeat(64_000);
    let rows = (0..20).map(|n| {
        let request = RegisterCertificate {
            certificate_pem: filler.clone(),
            ca_certificate_pem: Some(filler.clone()),
            ..RegisterCertificate::default()
        };
        let mut row = parked(n);
        row.outcome.request = Some(serde_json::to_string(&request).unwrap());
        row
    });
    factory.ledger.record(&page(rows.collect())).await.unwrap();
    let _sender = Running::start(&factory);
    until_no_hold_remains(&factory).await;
    assert_eq!(n_messages(&factory), 20);
    let calls = factory.sandbox.ledger().summary(ApiOperation::SendMessageBatch);
    assert_eq!((calls.calls, calls.answers.len()), (3, 1), "{:?}", calls.answers);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_not_accepted_by_sqs_are_sent_later() {
    let partly = |code: &str, sender_fault| Effect::FailEntries { entries: 4, code: code.to_owned(), sender_fault };
    let failing =
        Effect::Error { status: 500, code: "InternalError".into(), message: "as ordered".into(), executed: false };
    for effect in [
        partly("InternalError", false),
        // SQS reports throttles and denials as sender faults.
        partly("RequestThrottled", true),
        partly("KMS.AccessDeniedException", true),
        failing,
    ] {
        let factory = Factory::new(1000.0).await;
        factory.sandbox.faults().set(Fault::new(ApiOperation::SendMessageBatch, effect.clone()).calls(3)).unwrap();
        park(&factory, &factory.leaves(60)).await;
        let sender = Running::start(&factory);
        until_no_hold_remains(&factory).await;
        assert_eq!((n_messages(&factory), sender.n_sent("release")), (60, 60), "each once, after {effect:?}");
    }
}

/// The sender dies after SQS accepted messages and before it could record that.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_killed_before_recording_loses_nothing() {
    let factory = Factory::new(1000.0).await;
    let lost = Effect::Hang { executed: true };
    let lost = factory.sandbox.faults().set(Fault::new(ApiOperation::SendMessageBatch, lost)).unwrap();
    park(&factory, &factory.leaves(50)).await;
    let dying = Running::start(&factory);
    factory.until("SQS has taken some", async |f| n_messages(f) > 0).await;
    drop(dying);
    factory.sandbox.faults().clear(lost);
    assert_eq!(factory.ledger.waiting(&hold(), None, 100).await.unwrap().len(), 50);
    // The lease of the dead sender expires.
    age(&factory.database, "1 minute").await;
    let _sender = Running::start(&factory);
    until_no_hold_remains(&factory).await;
    assert!(n_messages(&factory) > 50, "no message was sent twice");
    factory.drain().await;
    assert_eq!((factory.outcomes().await, factory.n_calls()), (BTreeMap::from([(Code::Ok, 50)]), 50));
    assert_counters_equal_the_rows(&factory.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_job_stays_parked_and_delays_no_other() {
    let factory = Factory::new(1000.0).await;
    park(&factory, &factory.leaves(5)).await;
    sqlx::query("update registrations set request = '{\"pem\":1}' where ref = 'SN-2'")
        .execute(&factory.database.pool)
        .await
        .unwrap();
    let _sender = Running::start(&factory);
    until_no_hold_remains(&factory).await;
    assert_eq!(n_messages(&factory), 4);
    let (status, detail, is_waiting): (String, String, bool) =
        sqlx::query_as("select status, detail, waits_for is not null from registrations where ref = 'SN-2'")
            .fetch_one(&factory.database.pool)
            .await
            .unwrap();
    assert_eq!((status.as_str(), detail.as_str(), is_waiting), ("parked", "it cannot be resent: detail", false));
}

/// What a replay does: rows with any failed status, marked by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_job_marked_for_replay_is_sent_unchanged() {
    let factory = Factory::new(1000.0).await;
    let pem = factory.leaves(1).remove(0);
    let mut row = waiting(1, &pem);
    (row.outcome.code, row.outcome.verify) = (Code::InvalidRequest, true);
    row.outcome.waits_for = Some(HoldKey::read("replay:1".into()));
    factory.ledger.record(&page(vec![row])).await.unwrap();
    let _sender = Running::start(&factory);
    until_no_hold_remains(&factory).await;
    let message = factory.queue.receive(1, Duration::ZERO).await.unwrap().remove(0);
    let wanted = Job { verify: true, reference: Some("SN-1".parse().unwrap()), ..Factory::job(&pem) };
    assert_eq!(Job::parse(&message.body).unwrap(), wanted);
}
