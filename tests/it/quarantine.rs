//! `muster quarantine`: quarantined messages are listed, shown, resent, dropped.

use std::collections::BTreeMap;

use muster::ledger::{Page, Quarantined};
use muster_core::job::Job;
use muster_core::outcome::Code;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::factory::{Factory, count_only};

/// Runs `muster quarantine`; returns exit code, standard output and standard error.
async fn quarantine(factory: &Factory, arguments: &[&str]) -> (Option<i32>, String, String) {
    factory.spawn(&[&["quarantine"], arguments].concat()).wait().await
}

async fn quarantine_json(factory: &Factory, arguments: &[&str], code: i32) -> Value {
    let (found, stdout, stderr) = quarantine(factory, &[arguments, &["--json"]].concat()).await;
    assert_eq!(found, Some(code), "{stdout}{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Quarantines `n` messages whose body is not a job: three with one reason and `n - 3` with another.
async fn fill_quarantine(factory: &Factory, n: usize) {
    let message = |i: usize| Quarantined {
        queue: factory.queue.url().to_owned(),
        message_id: format!("message-{i}"),
        reason: if i < 3 { "not_json" } else { "unknown_version" },
        detail: "it is none".into(),
        body: format!("body {i}"),
        sent_at: OffsetDateTime::now_utc(),
    };
    factory.ledger.record(&Page { quarantined: (0..n).map(message).collect(), ..Page::default() }).await.unwrap();
}

async fn n_quarantined(factory: &Factory) -> u64 {
    factory.ledger.quarantined().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_an_unknown_target_can_be_replayed_once_configured() {
    let mut factory = Factory::new(1000.0).await;
    let job = Job { target: "second".parse().unwrap(), ..Factory::job(&factory.ca.leaf("one")) };
    factory.send(&[job.to_body(), "no job".to_owned()]).await;
    factory.drain().await;

    let list = quarantine_json(&factory, &["list", "--reason", "unknown_target"], 0).await;
    assert_eq!(list["next"], Value::Null);
    let message = &list["messages"][0];
    assert_eq!((&message["reason"], &message["queue"]), (&json!("unknown_target"), &json!(factory.queue.url())));
    let id = message["message_id"].as_str().unwrap();
    let (code, shown, _) = quarantine(&factory, &["show", id]).await;
    assert_eq!(code, Some(0));
    assert!(shown.contains("    unknown_target: target `second` is not in the configuration\n"), "{shown}");
    assert!(shown.ends_with(&format!("\n\n{}\n", job.to_body())), "{shown}");
    assert_eq!(quarantine_json(&factory, &["show", id], 0).await[0]["body"], job.to_body());

    let stays = quarantine_json(&factory, &["replay", "--all", "--yes"], 3).await;
    assert_eq!((&stays["sent"], &stays["stay"]), (&json!(0), &json!({ "not_json": 1, "unknown_target": 1 })));
    assert_eq!(n_quarantined(&factory).await, 2);

    let settings = muster_sandbox::SandboxSettings { account: "222222222222".to_owned(), ..count_only() };
    let second = factory.add_target("second", settings).await;
    let dry = quarantine_json(&factory, &["replay", "--all", "--dry-run"], 0).await;
    assert_eq!((&dry["sent"], &dry["batches"]), (&json!(1), &json!({ "batch": 1 })));
    assert_eq!((n_quarantined(&factory).await, factory.counts("jobs").visible), (2, 0), "nothing was done");
    let sent = quarantine_json(&factory, &["replay", id, "--yes"], 0).await;
    assert_eq!((&sent["sent"], &sent["stay"]), (&json!(1), &json!({})));
    assert_eq!((n_quarantined(&factory).await, factory.counts("jobs").visible), (1, 1));
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 1)]));
    assert_eq!(second.ledger().n_certificates(), 1);

    let audited = factory.ledger.audit_entries(None, 10).await.unwrap();
    assert_eq!(audited.len(), 2, "listing and dry runs are not audited");
    assert_eq!((audited[0].action.as_str(), &audited[0].detail["sent"]), ("quarantine replay", &json!(1)));
    assert_eq!(audited[0].detail["chosen"], json!({ "messages": [id] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_paged() {
    let factory = Factory::new(1000.0).await;
    let (_, text, _) = quarantine(&factory, &["list"]).await;
    assert_eq!(text, "the quarantine is empty\n");
    fill_quarantine(&factory, 7).await;
    let (mut found, mut after) = (vec![], None::<String>);
    loop {
        let mut arguments = vec!["list", "--limit", "3"];
        arguments.extend(after.as_deref().map(|key| ["--after", key]).into_iter().flatten());
        let page = quarantine_json(&factory, &arguments, 0).await;
        let messages = page["messages"].as_array().unwrap();
        found.extend(messages.iter().map(|message| message["message_id"].as_str().unwrap().to_owned()));
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, (0..7).map(|i| format!("message-{i}")).collect::<Vec<_>>());
    let (_, text, stderr) = quarantine(&factory, &["list", "--limit", "1"]).await;
    assert!(text.starts_with("message-0\n    not_json: it is none\n    sent "), "{text}");
    assert_eq!(stderr, format!("hint: there may be more: --after {}/message-0\n", factory.queue.url()));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_messages_are_deleted_and_audited() {
    let factory = Factory::new(1000.0).await;
    fill_quarantine(&factory, 7).await;
    let (code, text, _) = quarantine(&factory, &["drop", "--reason", "not_json", "--dry-run"]).await;
    assert_eq!((code, text.as_str()), (Some(0), "3 messages (3 not_json) would be dropped\n"));
    let dry = quarantine_json(&factory, &["drop", "--reason", "not_json", "--dry-run"], 0).await;
    assert_eq!(dry, json!({ "dry_run": true, "dropped": 3, "reasons": { "not_json": 3 } }));
    let (code, _, stderr) = quarantine(&factory, &["drop", "--all"]).await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("cannot ask for confirmation: there is no terminal"), "{stderr}");
    assert_eq!(n_quarantined(&factory).await, 7);

    let (code, text, _) = quarantine(&factory, &["drop", "--reason", "not_json", "--yes"]).await;
    assert_eq!((code, text.as_str()), (Some(0), "3 dropped\n"));
    let (_, text, _) = quarantine(&factory, &["drop", "message-3", "message-9", "--yes"]).await;
    assert_eq!((text.as_str(), n_quarantined(&factory).await), ("1 dropped\n", 3));
    let again = quarantine_json(&factory, &["drop", "message-3", "--yes"], 0).await;
    assert_eq!(again, json!({ "dry_run": false, "dropped": 0, "reasons": {} }));
    let audited = factory.ledger.audit_entries(None, 10).await.unwrap();
    let details: Vec<_> = audited.into_iter().map(|entry| (entry.action, entry.detail)).collect();
    let wanted = [
        json!({ "chosen": { "messages": ["message-3", "message-9"] }, "dropped": 1 }),
        json!({ "chosen": { "reason": "not_json" }, "dropped": 3 }),
    ];
    assert_eq!(details, wanted.map(|detail| ("quarantine drop".to_owned(), detail)));

    let (code, _, stderr) = quarantine(&factory, &["show", "message-0"]).await;
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("message `message-0` is not in the quarantine; `muster quarantine list` lists those that are"),
        "{stderr}"
    );
    let (code, _, stderr) = quarantine(&factory, &["list", "--reason", "not-json"]).await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("not_json, unknown_version, not_a_job, wrapped, unknown_target, dropped"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_sends_page_by_page_to_the_second_queue() {
    let factory = Factory::new(1000.0).await;
    let job = |i: usize| Job { target: "mars".parse().unwrap(), ..Factory::job(&factory.ca.leaf(&i.to_string())) };
    let message = |i: usize| Quarantined {
        queue: factory.queue.url().to_owned(),
        message_id: format!("message-{i:02}"),
        reason: "unknown_target",
        detail: "it was".into(),
        // Every fifth target stays unknown.
        body: if i.is_multiple_of(5) { job(i).to_body() } else { job(i).to_body().replace("mars", "default") },
        sent_at: OffsetDateTime::now_utc(),
    };
    factory.ledger.record(&Page { quarantined: (0..35).map(message).collect(), ..Page::default() }).await.unwrap();
    let sent = quarantine_json(
        &factory,
        &["replay", "--reason", "unknown_target", "--yes", "--set", "queue.replay=jobs-dead"],
        3,
    )
    .await;
    assert_eq!((&sent["sent"], &sent["stay"]), (&json!(28), &json!({ "unknown_target": 7 })));
    assert_eq!((factory.counts("jobs-dead").visible, n_quarantined(&factory).await), (28, 7));
}
