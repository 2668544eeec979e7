//! `muster status` promptly names whatever stops or slows the work, with the command that fixes it; the gauges of every
//! worker agree.

use std::collections::BTreeSet;

use muster::aws::queue::OutgoingMessage;
use muster_core::job::Job;
use muster_sandbox::specimen::Ca;
use muster_sandbox::{self, ApiOperation, Effect, Fault};
use serde_json::{Value, json};

use crate::factory::{BATCH, Factory, Program, count_only};
use crate::status::missing::set_queues_empty_for;
use crate::status::{numbers, send, status};

/// Returns what `muster status` reports without a batch.
async fn listing(factory: &Factory) -> Value {
    let (code, data, stderr) = status(factory, &["--json"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&data).unwrap()
}

/// Returns the kinds of the obstacles, each with its severity.
fn kinds(listing: &Value) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let obstacles = listing["obstacles"].as_array().unwrap().iter();
    obstacles.map(|obstacle| (text(&obstacle["kind"]), text(&obstacle["severity"]))).collect()
}

/// Waits until `muster status` names an obstacle, and returns what it reports about it.
async fn until_named(factory: &Factory, kind: &str, severity: &str) -> Value {
    let wanted = (kind.to_owned(), severity.to_owned());
    factory.until(kind, async |f| kinds(&listing(f).await).contains(&wanted)).await;
    let listing = listing(factory).await;
    let found = listing["obstacles"].as_array().unwrap().iter().find(|obstacle| obstacle["kind"] == kind);
    let found = found.unwrap_or_else(|| panic!("{kind} is gone: {listing}")).clone();
    let (_, text, _) = status(factory, &[]).await;
    let (what, fix) = (found["what"].as_str().unwrap(), found["fix"].as_str().unwrap());
    assert!(text.contains(&format!("    fix: {fix}\n")), "{what} {fix} is not in {text}");
    found
}

async fn until_no_obstacle_is_named(factory: &Factory) {
    factory.until("nothing stops the work", async |f| kinds(&listing(f).await).is_empty()).await;
}

fn fault(operation: ApiOperation, status: u16, code: &str) -> Fault {
    let effect = Effect::Error { status, code: code.into(), message: "as ordered".into(), executed: false };
    Fault::new(operation, effect)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_listed_while_it_runs() {
    let factory = Factory::new(1000.0).await;
    assert_eq!(listing(&factory).await["workers_alive"], 0);
    let worker = factory.serve().await;
    until_no_obstacle_is_named(&factory).await;
    assert_eq!(listing(&factory).await["workers_alive"], 1);
    let reports = factory.ledger.workers().await.unwrap();
    assert_eq!((reports[0].version.as_str(), reports[0].pid), (env!("CARGO_PKG_VERSION"), std::process::id()));
    worker.stop().await;
    assert_eq!(factory.ledger.workers().await.unwrap(), []);
    until_named(&factory, "no_worker", "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_noticed() {
    let factory = Factory::new(1000.0).await;
    let mut worker = factory.spawn(&["serve"]);
    until_no_obstacle_is_named(&factory).await;
    worker.0.kill().await.unwrap();
    let found = until_named(&factory, "no_worker", "stopped").await;
    assert!(found["what"].as_str().unwrap().contains("the last one to report, "), "{found}");
    assert_eq!(found["fix"], "start one with `muster serve`");
}

#[tokio::test(flavor = "multi_thread")]
async fn denials_and_outages_are_named_until_they_are_over() {
    let factory = Factory::with(count_only(), 1000.0).await;
    let worker = factory.serve().await;
    for (status, code, kind) in [(403, "AccessDeniedException", "auth"), (503, "ServiceUnavailableException", "outage")]
    {
        let id = factory.sandbox.faults().set(fault(ApiOperation::RegisterCertificate, status, code)).unwrap();
        send(&factory, &factory.leaves(40), 80).await;
        let found = until_named(&factory, kind, "stopped").await;
        let what = found["what"].as_str().unwrap();
        assert!(what.contains("RegisterCertificate of target default: ") && what.contains("as ordered"), "{what}");
        let batch = numbers(&factory, &["--measure", "0s"]).await;
        assert_eq!(batch["obstacles"][0]["kind"], kind);
        assert_eq!(
            (&batch["seconds_left_at_quota"], &batch["seconds_left_at_learnt_rate"]),
            (&Value::Null, &Value::Null)
        );
        factory.sandbox.faults().clear(id);
        until_no_obstacle_is_named(&factory).await;
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_cannot_be_read_is_named() {
    let factory = Factory::new(1000.0).await;
    let worker = factory.serve().await;
    factory.sandbox.faults().set(fault(ApiOperation::ReceiveMessage, 403, "AccessDenied")).unwrap();
    let found = until_named(&factory, "sqs", "stopped").await;
    assert!(found["what"].as_str().unwrap().starts_with("SQS fails: ReceiveMessage: AccessDenied"), "{found}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_is_named_with_both_rates() {
    let settings = muster_sandbox::SandboxSettings {
        rates: muster_sandbox::Rates::all(5.0),
        ..muster_sandbox::SandboxSettings::default()
    };
    let factory = Factory::with(settings, 100.0).await;
    send(&factory, &factory.leaves(150), 150).await;
    let worker = factory.serve().await;
    let found = until_named(&factory, "throttled", "slowed").await;
    let what = found["what"].as_str().unwrap();
    assert!(what.contains("of the configured 100 calls a second"), "{what}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_named_first() {
    let factory = Factory::new(1000.0).await;
    let worker = factory.serve().await;
    until_no_obstacle_is_named(&factory).await;
    let (code, _, stderr) = factory.spawn(&["pause", "all", "--reason", "audit"]).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    let found = until_named(&factory, "pause", "stopped").await;
    assert!(found["what"].as_str().unwrap().contains("audit"), "{found}");
    assert!(found["fix"].as_str().unwrap().contains("muster resume all"), "{found}");
    worker.stop().await;
}

/// Premise: dead letters and quarantined messages were only visible elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_and_quarantine_are_shown_with_missing_jobs() {
    let factory = Factory::new(1000.0).await;
    let arn = factory.queue.attributes().await.unwrap().dead_letter_arn.unwrap();
    let dead = factory.queue.dead_letter_queue(&arn).await.unwrap();
    dead.send(&[OutgoingMessage { body: "dead".to_owned(), group: None }]).await.unwrap();
    factory.send(&["no job".to_owned()]).await;
    send(&factory, &factory.leaves(2), 3).await;
    let worker = factory.serve().await;
    until_named(&factory, "dead_letters", "attention").await;
    until_named(&factory, "quarantined", "attention").await;
    factory.until("both have an outcome", async |f| f.outcomes().await.values().sum::<u64>() == 2).await;
    factory
        .until("the third is missing", async |f| {
            set_queues_empty_for(&f.database, "5 minutes").await;
            numbers(f, &["--measure", "0s"]).await["missing"] == json!(1)
        })
        .await;
    set_queues_empty_for(&factory.database, "5 minutes").await;
    let (_, text, _) = status(&factory, &[BATCH, "--measure", "0s"]).await;
    assert!(text.contains("have been empty for 5 min") && text.contains(" (1 dead letter, 1 quarantined)\n"), "{text}");
    worker.stop().await;
}

/// Premise: jobs whose CA had been registered were shown as parked and waiting for it.
#[tokio::test(flavor = "multi_thread")]
async fn parked_jobs_wait_until_their_hold_is_released() {
    let factory = Factory::new(1000.0).await;
    let late = Ca::new("Late CA");
    let pems: Vec<_> = (0..5).map(|i| late.leaf(&format!("device {i}"))).collect();
    send(&factory, &pems, 5).await;
    let worker = factory.serve().await;
    factory
        .until("all are parked", async |f| {
            let batch = f.ledger.batch_status(BATCH).await.unwrap().unwrap_or_default();
            batch.waiting() == Some(5) && batch.being_resent() == Some(0)
        })
        .await;
    let batch = numbers(&factory, &["--measure", "0s"]).await;
    assert_eq!((&batch["parked"], &batch["being_resent"]), (&json!(5), &json!(0)));
    assert_eq!(batch["waiting_for"][0]["n"], 5);
    assert_eq!(batch["seconds_left_at_quota"], Value::Null, "the CA must be registered first");
    worker.stop().await;

    // Without a worker, nothing is resent yet.
    let released = "update holds set released_at = now()";
    sqlx::query(released).execute(&factory.database.pool).await.unwrap();
    let batch = numbers(&factory, &["--measure", "0s"]).await;
    assert_eq!((&batch["being_resent"], &batch["waiting_for"]), (&json!(5), &json!([])));
    factory.sandbox.plant_ca(&late.pem()).unwrap();
    factory.drain().await;
    assert_eq!(numbers(&factory, &[]).await["parked"], 0);
}

/// Premise: a batch was unknown until its first outcome, which a denial or a long backlog delays.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_known_from_its_first_message() {
    let factory = Factory::new(1000.0).await;
    factory.sandbox.faults().set(fault(ApiOperation::RegisterCertificate, 403, "AccessDeniedException")).unwrap();
    send(&factory, &factory.leaves(3), 20_000).await;
    let worker = factory.serve().await;
    factory.until("it is known", async |f| f.ledger.batch_status(BATCH).await.unwrap().is_some()).await;
    let batch = numbers(&factory, &["--measure", "0s"]).await;
    assert_eq!((&batch["announced"], &batch["ended"]), (&json!(20_000), &json!(0)));
    worker.stop().await;
}

/// Premise: two idle minutes made every new batch "missing", with exit code 6.
#[tokio::test(flavor = "multi_thread")]
async fn sends_receives_and_outcomes_each_count_as_activity() {
    let factory = Factory::new(1000.0).await;
    factory.enqueue(&factory.leaves(1)).await;
    factory.drain().await;
    let is_quiet = async || factory.ledger.queues_empty_for().await.unwrap().is_some();
    set_queues_empty_for(&factory.database, "2 hours").await;
    factory.ledger.note_activity().await.unwrap();
    assert!(!is_quiet().await, "a message was sent");
    set_queues_empty_for(&factory.database, "2 hours").await;
    factory.ledger.note_arrivals(&[("new".to_owned(), Some(3))].into()).await.unwrap();
    assert!(!is_quiet().await, "a message was received");
    set_queues_empty_for(&factory.database, "2 hours").await;
    crate::ledger::record(&factory.ledger, vec![crate::ledger::row(7, muster_core::outcome::Code::Ok)]).await;
    assert!(!is_quiet().await, "an outcome was recorded");
}

/// The script of docs/operations.md (`enqueue`, then `status --wait --check`), run twice on queues that have long been
/// empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_batch_on_idle_queues_is_not_missing() {
    let factory = Factory::new(1000.0).await;
    let worker = factory.serve().await;
    factory.until("a worker has read the queues", async |f| !f.ledger.queue_reports().await.unwrap().is_empty()).await;
    for batch in ["first", "second"] {
        set_queues_empty_for(&factory.database, "2 hours").await;
        let waiter = factory.spawn(&["status", batch, "--wait", "--check"]);
        let jobs = factory.leaves(20).into_iter().enumerate().map(|(i, _)| {
            let pem = factory.ca.leaf(&format!("{batch} {i}"));
            Job { batch: batch.parse().unwrap(), batch_size: Some(20), ..Factory::job(&pem) }.to_body()
        });
        factory.send(&jobs.collect::<Vec<_>>()).await;
        let (code, text, stderr) = waiter.wait().await;
        assert_eq!(code, Some(0), "{text}{stderr}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fleet_gauges_are_equal_on_every_worker() {
    let factory = Factory::new(1000.0).await;
    let stranger = Ca::new("Unknown CA");
    send(&factory, &[stranger.leaf("one"), stranger.leaf("two")], 2).await;
    factory.send(&["no job".to_owned()]).await;
    let (one, other) = (factory.serve().await, factory.serve().await);
    let wanted = [
        "\nmuster_workers_alive 2\n",
        "\nmuster_parked_jobs{code=\"issuer_inactive\"} 2\n",
        "\nmuster_parked_jobs{code=\"paused\"} 0\n",
        "\nmuster_holds_open{kind=\"issuer\"} 1\n",
        "\nmuster_quarantined_messages 1\n",
        "\nmuster_queue_messages{queue=\"dead\",state=\"visible\"} 0\n",
    ];
    for worker in [&one, &other] {
        for line in wanted {
            factory.until(line, async |_| worker.metrics().await.contains(line)).await;
        }
        let metrics = worker.metrics().await;
        assert!(!metrics.contains("queue=\"replay\""), "there is no second queue");
        assert!(!metrics.contains("muster_batch_missing_jobs"), "messages may still be on their way");
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn last_progress_is_absent_before_the_first_outcome() {
    let factory = Factory::new(1000.0).await;
    let worker = factory.serve().await;
    let name = "\nmuster_last_progress_timestamp_seconds ";
    assert!(!worker.metrics().await.contains(name));
    factory.enqueue(&factory.leaves(1)).await;
    factory.until("it is exported", async |_| worker.metrics().await.contains(name)).await;
    worker.stop().await;
}

/// Premise: `muster status` and `muster doctor` wrote a count into the ledger, so a read-only role could not use them.
#[tokio::test(flavor = "multi_thread")]
async fn status_needs_only_read_access() {
    let factory = Factory::new(1000.0).await;
    send(&factory, &factory.leaves(1), 2).await;
    factory.drain().await;
    set_queues_empty_for(&factory.database, "5 minutes").await;
    let url = format!("{}&options=-c%20default_transaction_read_only%3Don", with_parameters(&factory.database.url));
    for arguments in [&["status", "--json"][..], &["status", BATCH, "--json", "--measure", "0s"]] {
        let mut command = factory.command(arguments);
        command.env("MUSTER__DATABASE__URL", &url);
        let (code, data, stderr) = Program(command.spawn().unwrap()).wait().await;
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(serde_json::from_str::<Value>(&data).unwrap()["missing"], 1);
    }
}

/// Returns a URL to which another parameter can be appended.
fn with_parameters(url: &str) -> String {
    if url.contains('?') { url.to_owned() } else { format!("{url}?application_name=reader") }
}
