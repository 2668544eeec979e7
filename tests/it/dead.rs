//! `muster dead`: dead letters are listed and kept, resent, or moved to quarantine.

use std::collections::BTreeMap;
use std::time::Duration;

use muster::aws::identity;
use muster::aws::queue::{self, OutgoingMessage, Queue, QueueAttributes};
use muster_core::job::Job;
use muster_core::outcome::Code;
use muster_sandbox::{ApiOperation, Effect, Fault};
use serde_json::{Value, json};

use crate::factory::{Factory, queue_attributes};

/// Runs `muster dead`; returns exit code, standard output and standard error.
async fn dead(factory: &Factory, arguments: &[&str]) -> (Option<i32>, String, String) {
    factory.spawn(&[&["dead"], arguments].concat()).wait().await
}

async fn dead_json(factory: &Factory, arguments: &[&str], code: i32) -> Value {
    let (found, stdout, stderr) = dead(factory, &[arguments, &["--json"]].concat()).await;
    assert_eq!(found, Some(code), "{stdout}{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

async fn open_queue(factory: &Factory, name: &str) -> Queue {
    let aws = identity::load(&factory.config.aws.access()).await;
    Queue::open(&aws, name).await.unwrap()
}

/// Sends bodies to the dead-letter queue, as if they had been received too often.
async fn send_dead_letters(factory: &Factory, bodies: &[String]) {
    let queue = open_queue(factory, "jobs-dead").await;
    for ten in bodies.chunks(queue::CALL_MAX) {
        let ten: Vec<_> = ten.iter().map(|body| OutgoingMessage { body: body.clone(), group: None }).collect();
        assert!(queue.send(&ten).await.unwrap().iter().all(Result::is_ok));
    }
}

fn job(factory: &Factory, batch: &str, n: usize) -> String {
    let pem = factory.ca.leaf(&format!("{batch} {n}"));
    Job { batch: batch.parse().unwrap(), ..Factory::job(&pem) }.to_body()
}

/// Returns how many messages of a queue are visible, and how many are in flight.
fn counts(factory: &Factory, queue: &str) -> (u64, u64) {
    let counts = factory.counts(queue);
    (counts.visible, counts.in_flight)
}

async fn audited(factory: &Factory) -> Vec<(String, Value)> {
    let entries = factory.ledger.audit_entries(None, 10).await.unwrap();
    entries.into_iter().map(|entry| (entry.action, entry.detail)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_shows_no_bodies_and_leaves_the_messages() {
    let factory = Factory::new(1000.0).await;
    let body = Job { reference: Some("SN-1".parse().unwrap()), ..Factory::job(&factory.ca.leaf("one")) }.to_body();
    send_dead_letters(&factory, &[body, "no job".to_owned()]).await;
    let letters = dead_json(&factory, &["list"], 0).await;
    let letters = letters.as_array().unwrap();
    assert_eq!(letters.len(), 2);
    let found = letters.iter().find(|letter| !letter["job"].is_null()).unwrap();
    let job = &found["job"];
    assert_eq!((&found["queue"], &found["receive_count"]), (&json!("jobs-dead"), &json!(1)));
    assert_eq!((&job["batch"], &job["target"], &job["ref"]), (&json!("batch"), &json!("default"), &json!("SN-1")));
    assert_eq!((&job["source"], &job["operation"]), (&json!("line-1"), &json!("RegisterCertificate")));
    assert_eq!(job["certificate_id"].as_str().unwrap().len(), 64);
    let other = letters.iter().find(|letter| letter["job"].is_null()).unwrap();
    assert_eq!(other["no_job"]["reason"], "not_json");
    assert_eq!(counts(&factory, "jobs-dead"), (2, 0), "each is visible again");

    let (code, text, _) = dead(&factory, &["list"]).await;
    assert_eq!(code, Some(0));
    for part in
        ["received 2 times", "in batch batch for target default, ref SN-1, from line-1", "not a job, not_json: "]
    {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.ends_with("jobs-dead: 2 in total\n") && !text.contains("BEGIN"), "{text}");
    let (_, text, _) = dead(&factory, &["list", "--limit", "1"]).await;
    assert!(text.ends_with("jobs-dead: 1 shown of about 2\n"), "{text}");
    assert_eq!(counts(&factory, "jobs-dead"), (2, 0));
    assert!(audited(&factory).await.is_empty(), "listing is not audited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_resent_and_registered() {
    let factory = Factory::new(1000.0).await;
    factory.enqueue(&factory.leaves(1)).await;
    factory
        .until("the message is dead", async |f| {
            // The last of these receives moves it to the dead-letter queue.
            for message in f.queue.receive(1, Duration::ZERO).await.unwrap() {
                f.queue.hide(&[message.receipt], Duration::ZERO).await.unwrap();
            }
            f.counts("jobs-dead").visible == 1
        })
        .await;
    let (code, text, stderr) = dead(&factory, &["replay", "--all", "--yes"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(text, "jobs-dead: 1 resent\n          1  of batch batch\n");
    assert_eq!((counts(&factory, "jobs-dead"), counts(&factory, "jobs")), ((0, 0), (1, 0)));
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 1)]));
    let audited = audited(&factory).await;
    assert_eq!(audited.len(), 1);
    let (action, detail) = &audited[0];
    assert_eq!((action.as_str(), &detail["done"], &detail["chosen"]), ("dead replay", &json!(1), &json!("all")));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_not_jobs_stay_and_are_counted() {
    let factory = Factory::new(1000.0).await;
    let mut bodies: Vec<_> = (0..12).map(|n| job(&factory, "a", n)).collect();
    bodies.push("no job".to_owned());
    bodies.push(Job { target: "mars".parse().unwrap(), ..Factory::job(&factory.ca.leaf("m")) }.to_body());
    send_dead_letters(&factory, &bodies).await;

    let dry = dead_json(&factory, &["replay", "--all", "--dry-run"], 0).await;
    assert_eq!((&dry[0]["done"], &dry[0]["dry_run"]), (&json!(12), &json!(true)));
    assert_eq!(
        (counts(&factory, "jobs-dead"), counts(&factory, "jobs")),
        ((14, 0), (0, 0)),
        "a dry run changes nothing"
    );
    assert!(audited(&factory).await.is_empty());

    let done = dead_json(&factory, &["replay", "--all", "--yes"], 3).await;
    assert_eq!((&done[0]["done"], &done[0]["batches"]), (&json!(12), &json!({ "a": 12 })));
    assert_eq!(done[0]["no_job"], json!({ "not_json": 1, "unknown_target": 1 }));
    assert_eq!((counts(&factory, "jobs-dead"), counts(&factory, "jobs")), ((2, 0), (12, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_selected_messages_are_resent_to_the_second_queue() {
    let factory = Factory::new(1000.0).await;
    let aws = identity::load(&factory.config.aws.access()).await;
    queue::create(&aws, "again", &QueueAttributes { ..queue_attributes() }).await.unwrap();
    send_dead_letters(&factory, &[job(&factory, "a", 1), job(&factory, "b", 1), job(&factory, "b", 2)]).await;
    let second = ["--set", "queue.replay=again"];
    let (code, text, _) = dead(&factory, &[&["replay", "--batch", "b", "--yes"], &second[..]].concat()).await;
    assert_eq!(code, Some(0));
    assert!(text.starts_with("jobs-dead: 2 resent\n          2  of batch b\n"), "{text}");
    assert_eq!((counts(&factory, "again"), counts(&factory, "jobs-dead")), ((2, 0), (1, 0)));

    let letters = dead_json(&factory, &["list", "--queue", "main"], 0).await;
    let id = letters[0]["message_id"].as_str().unwrap();
    let (code, _, stderr) = dead(&factory, &["replay", id, "nobody", "--yes"]).await;
    assert_eq!(code, Some(3));
    assert!(stderr.contains("1 of the named messages were not found"), "{stderr}");
    assert_eq!((counts(&factory, "jobs"), counts(&factory, "jobs-dead")), ((1, 0), (0, 0)));
    let (code, _, stderr) = dead(&factory, &["list", "--queue", "replay"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("`queue.replay` is not set"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_sqs_does_not_accept_stay_and_become_visible_again() {
    let factory = Factory::new(1000.0).await;
    send_dead_letters(&factory, &[job(&factory, "a", 1), job(&factory, "a", 2)]).await;
    let effect = Effect::FailEntries { entries: 1, code: "InternalError".into(), sender_fault: false };
    factory.sandbox.faults().set(Fault::new(ApiOperation::SendMessageBatch, effect).calls(1)).unwrap();
    let done = dead_json(&factory, &["replay", "--all", "--yes"], 3).await;
    assert_eq!((&done[0]["done"], &done[0]["refused"]), (&json!(1), &json!({ "InternalError": 1 })));
    assert_eq!((counts(&factory, "jobs"), counts(&factory, "jobs-dead")), ((1, 0), (1, 0)));

    let denied = Effect::Error { status: 403, code: "AccessDenied".into(), message: "no".into(), executed: false };
    factory.sandbox.faults().set(Fault::new(ApiOperation::SendMessageBatch, denied)).unwrap();
    let (code, text, stderr) = dead(&factory, &["replay", "--all", "--yes"]).await;
    assert_eq!((code, text.as_str()), (Some(4), "jobs-dead: 0 resent\n"));
    assert!(stderr.contains("cannot resend jobs: SendMessageBatch: AccessDenied"), "{stderr}");
    assert_eq!(counts(&factory, "jobs-dead"), (1, 0), "it is visible again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_resent_twice_is_registered_once() {
    let factory = Factory::new(1000.0).await;
    send_dead_letters(&factory, &[job(&factory, "batch", 1)]).await;
    let effect = Effect::FailEntries { entries: 1, code: "InternalError".into(), sender_fault: false };
    factory.sandbox.faults().set(Fault::new(ApiOperation::DeleteMessageBatch, effect).calls(1)).unwrap();
    let done = dead_json(&factory, &["replay", "--all", "--yes"], 3).await;
    assert_eq!((&done[0]["done"], &done[0]["not_deleted"]), (&json!(1), &json!(1)));
    assert_eq!((counts(&factory, "jobs"), counts(&factory, "jobs-dead")), ((1, 0), (1, 0)), "it is in both queues");
    dead_json(&factory, &["replay", "--all", "--yes"], 0).await;
    assert_eq!((counts(&factory, "jobs"), counts(&factory, "jobs-dead")), ((2, 0), (0, 0)));
    factory.drain().await;
    assert_eq!((factory.outcomes().await, factory.n_calls()), (BTreeMap::from([(Code::Ok, 1)]), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_list_releases_its_messages() {
    let factory = Factory::new(1000.0).await;
    send_dead_letters(&factory, &[job(&factory, "a", 1)]).await;
    let slow = Effect::Latency { milliseconds: 1000, up_to: None };
    factory.sandbox.faults().set(Fault::new(ApiOperation::ReceiveMessage, slow)).unwrap();
    let program = factory.spawn(&["dead", "list"]);
    factory.until("the command holds the message", async |f| f.counts("jobs-dead").in_flight == 1).await;
    program.signal("INT");
    let (code, text, stderr) = program.wait().await;
    assert_eq!(code, Some(130), "{stderr}");
    assert!(text.contains("in batch a for target default"), "{text}");
    assert_eq!(counts(&factory, "jobs-dead"), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_dead_letters_are_quarantined_without_private_keys() {
    let factory = Factory::new(1000.0).await;
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
    send_dead_letters(&factory, &[job(&factory, "a", 1), key.to_owned()]).await;
    let done = dead_json(&factory, &["drop", "--all", "--yes"], 0).await;
    assert_eq!((&done[0]["done"], &done[0]["batches"]), (&json!(2), &json!({ "a": 1 })));
    assert_eq!((counts(&factory, "jobs-dead"), counts(&factory, "jobs")), ((0, 0), (0, 0)));
    let bodies: Vec<String> =
        sqlx::query_scalar("select convert_from(body, 'UTF8') from quarantine where reason = 'dropped'")
            .fetch_all(&factory.database.pool)
            .await
            .unwrap();
    assert_eq!(bodies.len(), 2);
    assert!(bodies.iter().all(|body| !body.contains("MC4CAQ")), "the key is removed");
    assert_eq!(audited(&factory).await[0].0, "dead drop");

    let (code, text, stderr) = factory.spawn(&["quarantine", "replay", "--reason", "dropped", "--yes"]).wait().await;
    assert_eq!(code, Some(3), "{stderr}");
    assert_eq!(text, "1 resent\n          1  of batch a\n          1  stay, not_json\n");
    factory.drain().await;
    let batch = factory.ledger.batch_status("a").await.unwrap().unwrap();
    assert_eq!(batch.finished(), 1, "nothing was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_and_drop_need_a_selection_and_confirmation() {
    let factory = Factory::new(1000.0).await;
    send_dead_letters(&factory, &[job(&factory, "a", 1)]).await;
    for (arguments, part) in [
        (&["replay"][..], "the following required arguments were not provided"),
        (&["replay", "--all", "--batch", "a"], "cannot be used with"),
        (&["replay", "--all"], "error: cannot ask for confirmation: there is no terminal\nhint: `--dry-run`"),
        (&["drop", "--all"], "error: cannot ask for confirmation: there is no terminal\nhint: `--dry-run`"),
    ] {
        let (code, _, stderr) = dead(&factory, arguments).await;
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
    assert_eq!((counts(&factory, "jobs-dead"), counts(&factory, "jobs")), ((1, 0), (0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_dead_letter_queue_is_an_error_with_a_fix() {
    let factory = Factory::new(1000.0).await;
    let (code, _, stderr) = dead(&factory, &["list", "--set", "queue.name=jobs-dead"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("no dead-letter queue is configured: set a RedrivePolicy"), "{stderr}");
}
