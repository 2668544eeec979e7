//! What the API answers about a ledger with real outcomes: the same as the commands.

mod batches;
mod certificates;
mod pauses;

use std::collections::BTreeMap;

use muster::ledger::batch::BatchFilter;
use muster_sandbox::specimen::Flaw;
use serde_json::{Value, json};

use super::harness::{Ask, Running, VIEWER, factory};
use crate::factory::{BATCH, Factory};
use crate::status::send;

/// Creates a factory whose batch is complete: 6 certificates are registered, 2 are expired, 1 has a weak key, and 1 text
/// is no certificate. Returns the PEM texts, whose refs are `SN-0` to `SN-9`.
pub(super) async fn worked_off() -> (Factory, Vec<String>) {
    let factory = factory().await;
    let mut pems = factory.leaves(6);
    let flaws = [Flaw::Expired, Flaw::Expired, Flaw::WeakKey, Flaw::NotACertificate];
    pems.extend(flaws.iter().enumerate().map(|(i, &flaw)| factory.ca.flawed(flaw, &format!("flawed {i}"))));
    send(&factory, &pems, 10).await;
    factory.drain().await;
    (factory, pems)
}

/// Runs a command with `--json`.
async fn command(factory: &Factory, arguments: &[&str]) -> Value {
    let (code, stdout, stderr) = factory.spawn(&[arguments, &["--json"]].concat()).wait().await;
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Asserts that a command prints what the API returned, besides the old names of fields, and what depends on the time of
/// the reading.
fn assert_same(what: &str, api: &Value, command: &Value) {
    match (api, command) {
        (Value::Object(fields), Value::Object(_)) => {
            for (name, value) in fields {
                let depends_on_time =
                    name.ends_with("_seconds_ago") || ["queues_empty_seconds", "summary"].contains(&&**name);
                if !depends_on_time {
                    assert_same(&format!("{what}.{name}"), value, &command[name]);
                }
            }
        }
        (Value::Array(some), Value::Array(others)) => {
            assert_eq!(some.len(), others.len(), "{what}: {api} {command}");
            some.iter().zip(others).for_each(|(one, other)| assert_same(&format!("{what}[]"), one, other));
        }
        _ => assert_eq!(api, command, "{what}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_and_the_commands_return_the_same_numbers() {
    let (factory, _) = worked_off().await;
    let site = Running::start(&factory.config).await;
    assert_eq!(site.post("/pause", &json!({ "scope": "batch", "name": BATCH, "reason": "a check" })).await.status, 200);
    for (path, arguments) in [
        ("/batches/batch", &["status", BATCH, "--measure", "0s"][..]),
        ("/batches", &["status"]),
        ("/certificates/SN-0", &["show", "SN-0"]),
        ("/certificates/SN-9", &["show", "SN-9"]),
        ("/holds", &["holds"]),
        ("/audit", &["audit"]),
    ] {
        let (api, command) = (site.get(path).await, command(&factory, arguments).await);
        assert_same(path, &api, &command);
        assert!(api != json!([]) && api != json!({}), "{path}: {api}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_says_what_is_going_on() {
    let (factory, _) = worked_off().await;
    let site = Running::start(&factory.config).await;
    let stopped = site.get("/overview").await;
    assert_eq!(stopped["state"], "stopped");
    assert_eq!(stopped["sentence"], "Stopped: no worker is running.");

    let serving = factory.serve().await;
    factory.until("a worker reports", async |_| site.get("/overview").await["state"] == "idle").await;
    let overview = site.get("/overview").await;
    assert_eq!(overview["sentence"], "The queues are empty; 4 failed in the last 24 hours, missing not yet known.");
    let numbers = ["queue_messages", "failed_last_day", "missing", "parked", "dead_letters", "quarantined", "quota"];
    let numbers = numbers.map(|name| overview[name].clone());
    assert_eq!(numbers, [json!(0), json!(4), Value::Null, json!(0), json!(0), json!(0), json!(1000.0)], "{overview}");
    let workers = site.get("/workers").await;
    assert_eq!((&workers[0]["is_alive"], &workers[0]["breakers"]), (&json!(true), &json!([])), "{workers}");
    assert_eq!(workers[0]["pid"], std::process::id());
    let queues = site.get("/queues").await;
    assert!(queues[0]["queue"].as_str().unwrap().ends_with("/jobs"), "{queues}");
    assert_eq!((&queues[0]["messages"], &queues[0]["dead_letters"]), (&json!(0), &json!(0)), "{queues}");
    serving.stop().await;

    let rates = site.get("/rates").await;
    let devices = rates.as_array().unwrap().iter().find(|rate| rate["operation"] == "RegisterCertificate").unwrap();
    assert_eq!((&devices["target"], &devices["ceiling"]), (&json!("default"), &json!(1000.0)), "{rates}");
    assert_eq!(rates, overview["rates"]);
}

/// Premise: a ledger that nothing was written to yet.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_ledger_has_no_numbers_rather_than_zeros() {
    let factory = factory().await;
    let site = Running::start(&factory.config).await;
    let overview = site.get("/overview").await;
    for name in ["queue_messages", "failed_last_day", "dead_letters", "rate", "done_at"] {
        assert_eq!(overview[name], Value::Null, "{name}: {overview}");
    }
    assert_eq!(overview["state"], "stopped", "{overview}");
    for path in ["/failures", "/holds", "/workers", "/queues", "/rates", "/replays", "/audit"] {
        assert_eq!(site.get(path).await, json!([]), "{path}");
    }
    let page = site.page("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<dt>in the queues</dt><dd><span class=\"none\">unknown</span>"), "{page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_points_of_the_history_add_up_to_the_outcomes() {
    let (factory, _) = worked_off().await;
    let site = Running::start(&factory.config).await;
    for range in ["hour", "day", "month"] {
        let history = site.get(&format!("/history?range={range}")).await;
        let points = history["points"].as_array().unwrap();
        let sum = |name: &str| points.iter().map(|point| point[name].as_u64().unwrap()).sum::<u64>();
        let sums = ["registered", "already_registered", "failed", "parked", "throttled"].map(sum);
        assert_eq!(sums, [6, 0, 4, 0, 0], "{history}");
        assert_eq!((&history["range"], &history["quota"]), (&json!(range), &json!(1000.0)), "{history}");
    }
    assert_eq!(site.get("/history").await["range"], "hour");
    site.send(&Ask::get("/api/v1/history?range=year").token(VIEWER)).await.problem(400);
}

/// Premise: the tests above compare with the ledger through the program, this one with the rows.
#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_of_a_batch_are_those_of_its_rows() {
    let (factory, _) = worked_off().await;
    let site = Running::start(&factory.config).await;
    let batch = site.get("/batches/batch").await;
    let query = "select status, count(*) from registrations where batch = 'batch' group by status";
    let counts: Vec<(String, i64)> = sqlx::query_as(query).fetch_all(&factory.database.pool).await.unwrap();
    assert_eq!(counts.iter().map(|(_, n)| n).sum::<i64>(), batch["finished"]);
    for (status, n) in counts {
        assert_eq!(batch["by_status"][&status], n, "{batch}");
    }
    let groups = batch["failures"].as_array().unwrap().iter();
    let codes: BTreeMap<_, _> = groups.map(|group| (group["code"].as_str().unwrap(), group["n"].as_u64())).collect();
    let expected = [(Flaw::Expired, 2), (Flaw::WeakKey, 1), (Flaw::NotACertificate, 1)];
    assert_eq!(codes, expected.map(|(flaw, n)| (flaw.code().as_str(), Some(n))).into());
    assert_eq!(site.get("/failures").await[0]["n"], 2);
    let lines = factory.ledger.batch_lines(&BatchFilter::default(), None, 10).await.unwrap().unwrap();
    assert_eq!((lines[0].finished, lines[0].failed), (10, 4));
}
