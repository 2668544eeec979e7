//! `muster replay` end to end: what failed is resent, each job once, no matter how often the command runs or which
//! process dies.

mod choosing;
mod selection;

use std::collections::BTreeMap;

use muster::ledger::Row;
use muster::ledger::replay::{ReplayRequest, ReplayStart};
use muster_core::certificate::Certificate;
use muster_core::hold::HoldKey;
use muster_core::outcome::Code;
use muster_core::replay_filter::ReplayFilter;
use muster_sandbox::ApiOperation;
use serde_json::Value;

use crate::factory::{BATCH, Factory};
use crate::ledger::{self, assert_counters_equal_the_rows, page, row};

/// Returns the row of a job for a certificate that failed with a code.
fn failed(n: u32, pem: &str, code: Code) -> Row {
    let certificate = Certificate::from_pem(pem).unwrap();
    let mut row = row(n, code);
    (row.subject, row.certificate_id) = (certificate.id().0, Some(certificate.id()));
    (row.account, row.region) = ("000000000000".into(), "us-east-1".into());
    row.outcome.request = Some(serde_json::to_string(&Factory::job(pem).request).unwrap());
    row
}

/// Creates a factory whose ledger has `n` failed jobs for each code.
async fn with_failures(failures: &[(Code, usize)]) -> (Factory, Vec<Row>) {
    let factory = Factory::new(1000.0).await;
    let rows = add_failures(&factory, failures).await;
    (factory, rows)
}

/// Adds `n` failed jobs for each code to the ledger of a factory.
pub(crate) async fn add_failures(factory: &Factory, failures: &[(Code, usize)]) -> Vec<Row> {
    let codes = failures.iter().flat_map(|&(code, n)| std::iter::repeat_n(code, n));
    let pems = factory.leaves(failures.iter().map(|(_, n)| n).sum());
    let mut rows: Vec<Row> = (0..).zip(codes).zip(&pems).map(|((n, code), pem)| failed(n, pem, code)).collect();
    let account = account(factory).await;
    for row in &mut rows {
        row.account.clone_from(&account);
    }
    factory.ledger.record(&page(rows.clone())).await.unwrap();
    rows
}

/// Returns the account of the sandbox.
async fn account(factory: &Factory) -> String {
    let aws = muster::aws::identity::load(&factory.config.aws.access()).await;
    muster::aws::identity::account_of(&aws).await.unwrap().id
}

pub(crate) fn n_sent(factory: &Factory) -> u64 {
    factory.counts("jobs").sent
}

fn default_filter() -> ReplayFilter {
    ReplayFilter { batches: [BATCH.to_owned()].into(), codes: ReplayFilter::usual_codes(), ..ReplayFilter::default() }
}

/// Begins a replay, as the command does.
async fn begin(factory: &Factory, filter: &ReplayFilter) -> ReplayStart {
    let request = ReplayRequest { filter, verify: false, who: "somebody@here", n_expected: 0 };
    factory.ledger.begin_replay(&request).await.unwrap()
}

async fn replay(factory: &Factory, arguments: &[&str]) -> (Option<i32>, String, String) {
    factory.spawn(&[&["replay"], arguments].concat()).wait().await
}

async fn json(factory: &Factory, arguments: &[&str]) -> Value {
    let (code, stdout, stderr) = replay(factory, &[arguments, &["--json"]].concat()).await;
    assert!(code == Some(0) || code == Some(3), "{code:?} {stderr}");
    serde_json::from_str(&stdout).unwrap()
}

pub(crate) async fn until_finished(factory: &Factory, number: i64) {
    factory
        .until("the replay and its jobs have finished", async |f| {
            let has_ended = f.ledger.replay(number).await.unwrap().unwrap().ended_at.is_some();
            let outcomes = f.ledger.replay_outcomes(number).await.unwrap();
            has_ended && outcomes.iter().all(|outcome| outcome.n_under_way == 0)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retriable_failures_are_resent_and_waited_for() {
    let (factory, _) = with_failures(&[(Code::Timeout, 25), (Code::ServerError, 5), (Code::Expired, 4)]).await;
    let serving = factory.serve().await;
    let report = json(&factory, &[BATCH, "--yes", "--wait"]).await;
    assert_eq!((&report["plan"]["sent_again"], &report["replay"]["chosen"]), (&30.into(), &30.into()), "{report}");
    assert_eq!((&report["replay"]["sent"], &report["replay"]["state"]), (&30.into(), &"sent".into()), "{report}");
    assert_eq!(report["replay"]["came_of_it"][0]["n"], 30);
    assert_eq!(report["replay"]["came_of_it"][0]["code"], "ok");
    serving.stop().await;
    assert_eq!(n_sent(&factory), 30, "each once");
    assert_eq!(
        factory.outcomes().await,
        BTreeMap::from([(Code::Ok, 30), (Code::Expired, 4), (Code::Timeout, 0), (Code::ServerError, 0)])
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .collect()
    );
    assert_counters_equal_the_rows(&factory.database).await;
    let duplicates: i64 = sqlx::query_scalar("select sum(n_duplicates)::bigint from registrations")
        .fetch_one(&factory.database.pool)
        .await
        .unwrap();
    assert_eq!(duplicates, 0, "a resent message is not a duplicate");
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_twice_is_one_replay() {
    let (factory, _) = with_failures(&[(Code::Timeout, 40)]).await;
    let filter = default_filter();
    let (one, other) = tokio::join!(begin(&factory, &filter), begin(&factory, &filter));
    let numbers: Vec<i64> = [one, other]
        .map(|start| match start {
            ReplayStart::New(number) | ReplayStart::UnderWay(number) => number,
        })
        .into();
    assert_eq!(numbers[0], numbers[1]);
    assert!(matches!(
        (one, other),
        (ReplayStart::New(_), ReplayStart::UnderWay(_)) | (ReplayStart::UnderWay(_), ReplayStart::New(_))
    ));
    let (code, _, stderr) = replay(&factory, &[BATCH, "--yes"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains(&format!("already in progress as replay {}", numbers[0])), "{stderr}");

    let serving = factory.serve().await;
    until_finished(&factory, numbers[0]).await;
    serving.stop().await;
    assert_eq!(n_sent(&factory), 40);
    let report = json(&factory, &[BATCH, "--yes"]).await;
    assert_eq!((&report["plan"]["sent_again"], &report["replay"]), (&0.into(), &Value::Null), "nothing is left");
}

/// The worker dies after rows were chosen but not sent, or after SQS accepted some but before the ledger recorded it.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_continues_after_a_crash() {
    for (crash_point, n_twice_max) in [("chosen:1", 0), ("sent_again:3", 40)] {
        let (factory, _) = with_failures(&[(Code::Timeout, 120), (Code::Transport, 30)]).await;
        let ReplayStart::New(number) = begin(&factory, &default_filter()).await else { panic!("it is new") };
        let mut dying = factory.command(&["serve"]).env("MUSTER_CRASH_AT", crash_point).spawn().unwrap();
        assert!(!dying.wait().await.unwrap().success(), "{crash_point}");
        sqlx::query("update holds set sender_until = now()").execute(&factory.database.pool).await.unwrap();

        let serving = factory.serve().await;
        until_finished(&factory, number).await;
        serving.stop().await;
        let report = factory.ledger.replay(number).await.unwrap().unwrap();
        assert_eq!((report.n_chosen, report.n_sent), (150, 150), "{crash_point}");
        assert!((150..=150 + n_twice_max).contains(&n_sent(&factory)), "{crash_point}: {}", n_sent(&factory));
        assert_eq!(factory.outcomes().await.get(&Code::Ok), Some(&150), "{crash_point}");
        assert_counters_equal_the_rows(&factory.database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_finished_before_its_sending_is_recorded_counts_as_sent() {
    let (factory, rows) = with_failures(&[(Code::Timeout, 3)]).await;
    let ReplayStart::New(number) = begin(&factory, &default_filter()).await else { panic!("it is new") };
    factory.ledger.choose(number, 10).await.unwrap();
    let n_sent = async || factory.ledger.replay(number).await.unwrap().unwrap().n_sent;
    let hold = HoldKey::replay(number);
    let jobs = factory.ledger.waiting(&hold, None, 10).await.unwrap();
    assert_eq!((n_sent().await, jobs.len()), (0, 3));

    let finished = rows[..2].iter().map(|row| Row {
        subject: row.subject,
        certificate_id: row.certificate_id,
        account: row.account.clone(),
        region: row.region.clone(),
        ..ledger::row(0, Code::Ok)
    });
    factory.ledger.record(&page(finished.collect())).await.unwrap();
    assert_eq!(n_sent().await, 2);
    factory.ledger.mark_resent(&hold, &jobs.iter().collect::<Vec<_>>()).await.unwrap();
    assert_eq!(n_sent().await, 3, "each once");
    while !factory.ledger.choose(number, 10).await.unwrap() {}
    assert!(factory.ledger.finish(&hold).await.unwrap());
    assert_eq!(n_sent().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_replay_sends_nothing_more() {
    let (factory, _) = with_failures(&[(Code::Timeout, 30)]).await;
    let ReplayStart::New(number) = begin(&factory, &default_filter()).await else { panic!("it is new") };
    assert!(!factory.ledger.choose(number, 10).await.unwrap(), "there are more");
    let (code, _, stderr) = replay(&factory, &["cancel", &number.to_string()]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(factory.ledger.choose(number, 10).await.unwrap());
    let waiting: i64 = sqlx::query_scalar("select count(*) from registrations where waits_for is not null")
        .fetch_one(&factory.database.pool)
        .await
        .unwrap();
    assert_eq!((waiting, factory.ledger.holds_report().await.unwrap().len()), (0, 0));
    factory.drain().await;
    assert_eq!(n_sent(&factory), 0);
    let (code, _, stderr) = replay(&factory, &["cancel", &number.to_string()]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is not in progress") && stderr.contains("muster replay list"), "{stderr}");

    let report = json(&factory, &["show", &number.to_string()]).await;
    assert_eq!((&report["state"], &report["chosen"], &report["sent"]), (&"cancelled".into(), &10.into(), &0.into()));
    // The rows it had chosen can be selected again.
    let ReplayStart::New(again) = begin(&factory, &default_filter()).await else { panic!("it is new") };
    let serving = factory.serve().await;
    until_finished(&factory, again).await;
    serving.stop().await;
    assert_eq!(n_sent(&factory), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupting_the_wait_does_not_stop_the_replay() {
    let (factory, _) = with_failures(&[(Code::Timeout, 5)]).await;
    let waiting = factory.spawn(&["replay", BATCH, "--yes", "--wait"]);
    let is_waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and query like '-- replay_outcomes%'";
    factory
        .until("it waits", async |f| {
            sqlx::query_scalar::<_, i64>(is_waiting).fetch_one(&f.database.pool).await.unwrap() > 0
        })
        .await;
    waiting.signal("INT");
    let (code, _, stderr) = waiting.wait().await;
    assert!(
        code == Some(130) && stderr.contains("continues; `muster replay show") || code.is_none(),
        "{code:?} {stderr}"
    );
    assert!(factory.ledger.replays(None, 1).await.unwrap()[0].ended_at.is_none(), "the replay itself continues");
}

/// More rows than the sender takes in one turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_replay_takes_several_turns() {
    let factory = Factory::new(5000.0).await;
    let pem = &factory.leaves(1)[0];
    let request = Some(serde_json::to_string(&Factory::job(pem).request).unwrap());
    let rows = (0..2_500).map(|n| {
        let mut row = row(n, Code::Timeout);
        row.outcome.request.clone_from(&request);
        row
    });
    factory.ledger.record(&page(rows.collect())).await.unwrap();
    let ReplayStart::New(number) = begin(&factory, &default_filter()).await else { panic!("it is new") };
    let serving = factory.serve().await;
    factory
        .until("it has finished", async |f| f.ledger.replay(number).await.unwrap().unwrap().ended_at.is_some())
        .await;
    serving.stop().await;
    let report = factory.ledger.replay(number).await.unwrap().unwrap();
    assert_eq!((report.n_chosen, report.n_sent, n_sent(&factory)), (2_500, 2_500, 2_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_and_live_jobs_do_not_disturb_each_other() {
    let (factory, _) = with_failures(&[(Code::Timeout, 200)]).await;
    let serving = factory.serve().await;
    let ReplayStart::New(number) = begin(&factory, &default_filter()).await else { panic!("it is new") };
    factory.enqueue(&factory.leaves(200)).await;
    until_finished(&factory, number).await;
    factory.until("all are registered", async |f| f.outcomes().await.get(&Code::Ok) == Some(&400)).await;
    serving.stop().await;
    assert_eq!((n_sent(&factory), factory.n_calls()), (400, 400));
    assert_counters_equal_the_rows(&factory.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_registered_meanwhile_cost_a_call_only_with_verify() {
    let (factory, rows) = with_failures(&[(Code::Timeout, 6)]).await;
    let registered = rows.iter().take(4).map(|failed| {
        let mut known = Row { batch: "another".into(), ..failed.clone() };
        known.outcome = row(1, Code::Ok).outcome;
        (known.attempts, known.n_attempts) = (row(1, Code::Ok).attempts, 1);
        known
    });
    factory.ledger.record(&page(registered.collect())).await.unwrap();
    let report = json(&factory, &[BATCH, "--dry-run"]).await;
    assert_eq!(
        (&report["plan"]["sent_again"], &report["plan"]["registered_meanwhile"]),
        (&6.into(), &4.into()),
        "{report}"
    );

    let serving = factory.serve().await;
    json(&factory, &[BATCH, "--yes", "--wait"]).await;
    assert_eq!(factory.n_calls(), 2);
    let unknown = rows.iter().take(2).map(|failed| Row { batch: "third".into(), ..failed.clone() });
    let mut third = page(unknown.collect());
    third.announced = BTreeMap::from([("third".to_owned(), None)]);
    factory.ledger.record(&third).await.unwrap();
    json(&factory, &["third", "--yes", "--wait", "--verify"]).await;
    assert_eq!(factory.n_calls(), 4, "AWS itself was asked");
    serving.stop().await;
    assert_eq!(factory.sandbox.ledger().summary(ApiOperation::RegisterCertificate).calls, 4);
}
