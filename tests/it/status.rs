//! `muster status`: a batch in all its states, as a person and as a script see it.

mod list;
pub(crate) mod missing;
mod over;

use std::collections::BTreeMap;

use muster::ledger::rate_limit::Quota;
use muster_core::account::Account;
use muster_core::job::Operation;
use muster_core::rate::Rate;
use muster_sandbox::specimen::Flaw;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use crate::factory::{BATCH, Factory};

/// Runs `muster status`; returns exit code, standard output and standard error.
pub(crate) async fn status(factory: &Factory, arguments: &[&str]) -> (Option<i32>, String, String) {
    factory.spawn(&[&["status"], arguments].concat()).wait().await
}

pub(crate) async fn numbers(factory: &Factory, arguments: &[&str]) -> Value {
    let (code, stdout, stderr) = status(factory, &[&["--json", BATCH], arguments].concat()).await;
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Sends jobs of the batch that announce `size`.
pub(crate) async fn send(factory: &Factory, pems: &[String], size: u64) {
    let body = |(i, pem): (usize, &String)| {
        let mut job = Factory::job(pem);
        (job.batch_size, job.reference) = (Some(size), Some(format!("SN-{i}").parse().unwrap()));
        job.to_body()
    };
    factory.send(&pems.iter().enumerate().map(body).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_follows_a_batch_from_its_first_outcome_to_its_last() {
    let factory = Factory::new(1000.0).await;
    let mut pems = factory.leaves(6);
    pems.push(factory.ca.flawed(Flaw::Expired, "late"));
    pems.push(factory.ca.flawed(Flaw::Expired, "later"));
    send(&factory, &pems[..7], 8).await;
    factory.drain().await;

    let partial = numbers(&factory, &["--measure", "10ms"]).await;
    assert_eq!((&partial["announced"], &partial["ended"], &partial["outstanding"]), (&json!(8), &json!(7), &json!(1)));
    let outcomes =
        json!({ "registered": 6, "already_registered": 0, "rejected": 1, "refused": 0, "exhausted": 0, "gone": 0 });
    assert_eq!(partial["ends"], outcomes);
    let failure = &partial["failures"][0];
    assert_eq!(
        (&failure["code"], &failure["status"], &failure["n"]),
        (&json!("expired"), &json!("rejected"), &json!(1))
    );
    assert_eq!(failure["example"]["ref"], "SN-6");
    assert!(failure["example"]["detail"].as_str().unwrap().starts_with("the certificate expired at 2019"));
    assert_eq!(
        (&partial["measured_rate"], &partial["seconds_left_at_measured_rate"]),
        (&json!(null), &json!(null)),
        "the time is too short"
    );
    assert_eq!(
        (&partial["quota"], &partial["seconds_left_at_quota"]),
        (&json!(1000.0), &json!(null)),
        "no worker is running"
    );
    assert_eq!(partial["targets"], json!(["default"]));

    send(&factory, &pems, 8).await;
    factory.drain().await;
    let complete = numbers(&factory, &[]).await;
    assert_eq!((&complete["ended"], &complete["outstanding"]), (&json!(8), &json!(0)));
    assert_eq!((&complete["measured_rate"], &complete["seconds_left_at_quota"]), (&json!(null), &json!(0.0)));
    let (_, text, _) = status(&factory, &[BATCH]).await;
    assert!(text.starts_with("batch batch: complete, 8 of 8 certificates have an outcome\n"), "{text}");
    assert!(text.contains("          2  expired  SN-"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_measured_while_a_batch_runs() {
    let factory = Factory::new(50.0).await;
    send(&factory, &factory.leaves(300), 300).await;
    let program = factory.spawn(&["serve"]);
    factory.until("outcomes are recorded", async |f| f.outcomes().await.values().sum::<u64>() > 20).await;
    let running = numbers(&factory, &["--measure", "1s"]).await;
    program.signal("TERM");
    program.wait().await;
    let (rate, seconds) = (running["measured_rate"].as_f64().unwrap(), running["measured_seconds"].as_f64().unwrap());
    assert!(rate > 0.0 && seconds >= 1.0, "{running}");
    let left = running["outstanding"].as_f64().unwrap() / rate;
    assert!((running["seconds_left_at_measured_rate"].as_f64().unwrap() - left).abs() < 1e-6, "{running}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learnt_rate_is_shown_with_its_changes_and_the_time_left() {
    let mut factory = Factory::new(1000.0).await;
    send(&factory, &factory.leaves(10), 910).await;
    let worker = factory.serve().await;
    factory.until("all have an outcome", async |f| f.outcomes().await.values().sum::<u64>() == 10).await;
    let (_, plain, _) = status(&factory, &["--measure", "0s", BATCH]).await;
    assert!(
        plain.ends_with("  left at the configured quota of 1000 a second, at least\n") && !plain.contains("learnt"),
        "{plain}"
    );

    let muster_sandbox::SandboxSettings { account: id, region, .. } = muster_sandbox::SandboxSettings::default();
    let quota = Quota { account: Account { id, region }, operation: Operation::RegisterCertificate };
    // The ledger returns the quota that the workers have, whatever these settings say.
    let ceiling = &mut factory.config.targets.get_mut("default").unwrap().rates.register_certificate;
    *ceiling = Rate::new(7.0).unwrap();
    let lease = factory.ledger.lease(&quota, 1).await.unwrap();
    let cut = factory.ledger.cut_rate(&quota, lease.granted_at, true).await.unwrap().unwrap();
    let numbers = numbers(&factory, &["--measure", "0s"]).await;
    assert_eq!((&numbers["quota"], &numbers["learnt_rate"]), (&json!(1000.0), &json!(900.0)));
    let left = (&numbers["seconds_left_at_quota"], &numbers["seconds_left_at_learnt_rate"]);
    assert_eq!(left, (&json!(0.9), &json!(1.0)));
    let learnt = &numbers["rates"][0];
    assert_eq!((&learnt["target"], &learnt["operation"]), (&json!("default"), &json!("RegisterCertificate")));
    assert_eq!((&learnt["ceiling"], &learnt["learnt"]), (&json!(1000.0), &json!(900.0)));
    let at = cut.at.truncate_to_second().format(&Rfc3339).unwrap();
    assert_eq!(learnt["changes"][0], json!({ "at": at, "rate": 900.0, "reason": "throttled" }));
    assert_eq!(learnt["changes"][1]["reason"], "configured");

    let (_, text, _) = status(&factory, &["--measure", "0s", "--rates", BATCH]).await;
    let wanted = format!("      900.0  of 1000 a second learnt for default, cut by a throttle {at}\n");
    assert!(text.contains(&wanted), "{text}");
    assert!(text.contains("  left at the learnt rate of 900 a second, at least\n"), "{text}");
    let wanted = format!("the latest change first:\n      900.0  cut by a throttle {at}\n     1000.0  configured ");
    assert!(text.contains(&wanted), "{text}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_unknown_size_and_target_says_so() {
    let factory = Factory::new(1000.0).await;
    factory.enqueue(&factory.leaves(2)).await;
    factory.drain().await;
    sqlx::query("update registrations set target = 'mars'").execute(&factory.database.pool).await.unwrap();
    let unknown = numbers(&factory, &["--measure", "0s"]).await;
    for field in ["announced", "outstanding", "quota", "learnt_rate", "measured_rate", "seconds_left_at_quota"] {
        assert_eq!(unknown[field], Value::Null, "{field}");
    }
    let (_, text, _) = status(&factory, &["--measure", "0s", BATCH]).await;
    assert!(text.contains("neither the ledger nor the settings have one for mars"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_batch_is_an_error_with_suggestions() {
    let factory = Factory::new(1000.0).await;
    let (code, _, stderr) = status(&factory, &["batsch"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("error: the ledger does not know batch `batsch`"), "{stderr}");
    assert!(stderr.contains("hint: the ledger has no batches yet"), "{stderr}");
    factory.enqueue(&factory.leaves(1)).await;
    factory.drain().await;
    let (_, _, stderr) = status(&factory, &["batsch"]).await;
    assert!(stderr.contains("hint: did you mean batch?"), "{stderr}");
    let (_, _, stderr) = status(&factory, &["something-else"]).await;
    assert!(stderr.contains("hint: the latest batches are batch;"), "{stderr}");
}

/// The shape that scripts rely on: no field may disappear or change its type.
#[tokio::test(flavor = "multi_thread")]
async fn the_json_has_a_stable_shape() {
    let factory = Factory::new(1000.0).await;
    send(&factory, &[factory.ca.leaf("a"), factory.ca.flawed(Flaw::Expired, "b")], 5).await;
    factory.drain().await;
    let numbers = numbers(&factory, &["--measure", "10ms"]).await;
    let kinds: BTreeMap<&str, &str> =
        numbers.as_object().unwrap().iter().map(|(key, value)| (key.as_str(), kind(value))).collect();
    let wanted = [
        ("announced", "number"),
        ("average_rate", "number or null"),
        ("batch", "string"),
        ("being_resent", "number or null"),
        ("by_status", "object"),
        ("dead_letters", "number or null"),
        ("ended", "number"),
        ("ends", "object"),
        ("failures", "array"),
        ("finished", "number"),
        ("first_end_at", "string"),
        ("first_outcome_at", "string"),
        ("last_end_at", "string"),
        ("last_outcome_at", "string"),
        ("learnt_rate", "number"),
        ("measured_rate", "number or null"),
        ("measured_seconds", "number"),
        ("missing", "number or null"),
        ("obstacles", "array"),
        ("outstanding", "number"),
        ("parked", "number"),
        ("parked_for", "array"),
        ("quarantined", "number"),
        ("queue_messages", "number or null"),
        ("queues_empty_seconds", "number or null"),
        ("queues_read_seconds_ago", "number or null"),
        ("quota", "number"),
        ("rates", "array"),
        ("seconds_left_at_learnt_rate", "number or null"),
        ("seconds_left_at_measured_rate", "number or null"),
        ("seconds_left_at_quota", "number or null"),
        ("seconds_left_with_other_batches", "number or null"),
        ("sources", "array"),
        ("status_differs", "number"),
        ("targets", "array"),
        ("waiting_for", "array"),
    ];
    assert_eq!(kinds.keys().copied().collect::<Vec<_>>(), wanted.map(|(key, _)| key));
    for (key, kind) in wanted {
        assert!(kind.contains(kinds[key]), "{key} is {}, {kind} wanted", kinds[key]);
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
