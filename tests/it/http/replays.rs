//! Replays over the API: planned, confirmed, started once, followed, cancelled.

use muster::http::api;
use muster_core::outcome::Code;
use serde_json::{Value, json};

use super::harness::{Ask, OPERATOR, Running, VIEWER, factory};
use crate::factory::{BATCH, Factory};
use crate::ledger::{record, row};
use crate::replay::{add_failures, n_sent, until_finished};

/// Plans a replay.
async fn plan(site: &Running, order: &Value) -> Value {
    let reply = site.post("/replays/plans", order).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn of_batch() -> Value {
    json!({ "batches": [BATCH] })
}

/// Reads a plan again.
async fn planned(site: &Running, plan: &Value) -> Value {
    let path = format!("{}/replays/plans/{}", api::PREFIX, plan["plan"].as_str().unwrap());
    site.send(&Ask::get(&path).token(OPERATOR)).await.json()
}

async fn n_replays(factory: &Factory) -> usize {
    factory.ledger.replays(None, 100).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_planned_started_and_followed_to_its_end() {
    let factory = factory().await;
    add_failures(&factory, &[(Code::Timeout, 12), (Code::Expired, 3)]).await;
    let site = Running::start(&factory.config).await;
    let plan = plan(&site, &of_batch()).await;
    let numbers = ["expected", "is_more", "needs_confirmation", "planned_by", "replay"].map(|name| plan[name].clone());
    assert_eq!(numbers, [json!(12), json!(false), json!(false), json!("otto"), Value::Null], "{plan}");
    assert_eq!(plan["forecast"]["to_resend"], 12, "{plan}");
    assert_eq!(plan["forecast"]["by_code"][0]["code"], "timeout", "{plan}");
    assert_eq!(plan["filter"]["batches"], json!([BATCH]), "{plan}");
    assert_eq!(planned(&site, &plan).await, plan);
    assert_eq!((n_replays(&factory).await, site.get("/audit").await), (0, json!([])), "a plan changes nothing");

    let reply = site.post("/replays", &json!({ "plan": plan["plan"] })).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let started = reply.json();
    let number = started["replay"].as_i64().unwrap();
    assert_eq!((&started["state"], &started["requested_by"]), (&json!("sending"), &json!("otto")), "{started}");
    assert_eq!((&started["expected"], &started["chosen"]), (&json!(12), &json!(0)), "{started}");
    assert_eq!(planned(&site, &plan).await["replay"], number);

    let serving = factory.serve().await;
    until_finished(&factory, number).await;
    serving.stop().await;
    let report = site.get(&format!("/replays/{number}")).await;
    let found = ["state", "expected", "chosen", "sent", "in_progress", "outcomes"].map(|name| report[name].clone());
    let outcomes = json!([{ "status": "registered", "code": "ok", "n": 12 }]);
    assert_eq!(found, [json!("sent"), json!(12), json!(12), json!(12), json!(0), outcomes], "{report}");
    let mut listed = site.get("/replays").await;
    assert_eq!((listed[0]["outcomes"].take(), listed[0]["in_progress"].take()), (Value::Null, Value::Null));
    assert_eq!((&listed[0]["replay"], &listed[0]["sent"]), (&json!(number), &json!(12)), "{listed}");
    let page = site.page(&format!("/replays/{number}")).await;
    assert!(page.body.contains("Done: every selected job has an outcome."), "{page:?}");
    let batch = site.get("/batches/batch").await;
    assert_eq!((&batch["by_status"]["registered"], &batch["by_status"]["rejected"]), (&json!(12), &json!(3)));
    let replay = site.get("/audit").await.as_array().unwrap().iter().filter(|line| line["action"] == "replay").count();
    assert!(replay >= 1, "who started it is in the audit log");
}

/// Premise: an operator reads a plan for a while, and workers record more failures meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn failures_recorded_after_the_plan_are_not_resent() {
    let factory = factory().await;
    add_failures(&factory, &[(Code::Timeout, 5)]).await;
    let site = Running::start(&factory.config).await;
    let plan = plan(&site, &of_batch()).await;
    add_failures(&factory, &[(Code::Timeout, 7)]).await;
    assert_eq!(planned(&site, &plan).await["forecast"]["to_resend"], 5);
    let started = site.post("/replays", &json!({ "plan": plan["plan"] })).await.json();
    let number = started["replay"].as_i64().unwrap();
    let serving = factory.serve().await;
    until_finished(&factory, number).await;
    serving.stop().await;
    let report = site.get(&format!("/replays/{number}")).await;
    assert_eq!((&report["chosen"], n_sent(&factory)), (&json!(5), 5), "{report}");
    assert_eq!(factory.outcomes().await[&Code::Timeout], 7);
}

/// Premise: a button is pressed twice, two operators press it, and a browser repeats the request after the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_started_twice_is_one_replay() {
    let factory = factory().await;
    add_failures(&factory, &[(Code::Timeout, 8)]).await;
    let site = Running::start(&factory.config).await;
    let plan = plan(&site, &of_batch()).await;
    let start = json!({ "plan": plan["plan"] });
    let form = Ask::post("/replays").token(OPERATOR).form(&[("plan", plan["plan"].as_str().unwrap())]);
    let (one, other, of_page) =
        tokio::join!(site.post("/replays", &start), site.post("/replays", &start), site.send(&form));
    let number = one.json()["replay"].as_i64().unwrap_or_else(|| panic!("{one:?}"));
    assert_eq!(other.json()["replay"], number, "{other:?}");
    assert_eq!(of_page.header("location"), Some(format!("/replays/{number}").as_str()), "{of_page:?}");
    let serving = factory.serve().await;
    until_finished(&factory, number).await;
    assert_eq!(site.post("/replays", &start).await.json()["replay"], number, "after its end");
    serving.stop().await;
    assert_eq!((n_replays(&factory).await, n_sent(&factory)), (1, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_thousand_jobs_must_be_confirmed_by_number() {
    let factory = factory().await;
    let failed = |n: u32| row(n, Code::Timeout);
    record(&factory.ledger, (0..1000).map(failed).collect()).await;
    let site = Running::start(&factory.config).await;
    let small = plan(&site, &of_batch()).await;
    assert_eq!((&small["expected"], &small["needs_confirmation"]), (&json!(1000), &json!(false)));
    record(&factory.ledger, vec![failed(1000)]).await;
    let plan = plan(&site, &of_batch()).await;
    assert_eq!((&plan["expected"], &plan["needs_confirmation"]), (&json!(1001), &json!(true)));
    let id = plan["plan"].as_str().unwrap();
    for confirm in [Value::Null, json!(0), json!(1000), json!(1002), json!(u64::MAX)] {
        let detail = site.post("/replays", &json!({ "plan": id, "confirm": confirm })).await.problem(409);
        assert_eq!(detail, "to resend 1001 jobs, the number must be confirmed", "{confirm}");
    }
    for confirm in [json!(-1), json!("1001"), json!(1001.5)] {
        site.post("/replays", &json!({ "plan": id, "confirm": confirm })).await.problem(422);
    }
    for fields in [&[("plan", id)][..], &[("plan", id), ("confirm", "1000")]] {
        let reply = site.send(&Ask::post("/replays").token(OPERATOR).form(fields)).await;
        assert_eq!(reply.status, 409, "{reply:?}");
    }
    let page = site.page(&format!("/replays/plans/{id}")).await;
    assert!(page.body.contains("Type <strong>1001</strong> to confirm"), "{page:?}");
    assert_eq!(n_replays(&factory).await, 0);
    let reply = site.post("/replays", &json!({ "plan": id, "confirm": 1001 })).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(n_replays(&factory).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_replay_sends_nothing_more() {
    let factory = factory().await;
    add_failures(&factory, &[(Code::Timeout, 9)]).await;
    let site = Running::start(&factory.config).await;
    let plan = plan(&site, &of_batch()).await;
    let started = site.post("/replays", &json!({ "plan": plan["plan"] })).await.json();
    let cancel = format!("/replays/{}/cancel", started["replay"]);
    let viewer = Ask::post(&format!("{}{cancel}", api::PREFIX)).token(VIEWER);
    site.send(&viewer).await.problem(403);
    let reply = site.post(&cancel, &json!({})).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let report = reply.json();
    assert_eq!((&report["state"], &report["cancelled_by"]), (&json!("cancelled"), &json!("otto")), "{report}");
    site.post(&cancel, &json!({})).await.problem(409);
    factory.drain().await;
    assert_eq!((n_sent(&factory), factory.outcomes().await[&Code::Timeout]), (0, 9));
    site.post("/replays/0/cancel", &json!({})).await.problem(404);
    site.post("/replays/9223372036854775807/cancel", &json!({})).await.problem(404);
    site.post("/replays/9223372036854775808/cancel", &json!({})).await.problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_selects_nothing_is_refused() {
    let factory = factory().await;
    record(&factory.ledger, vec![row(1, Code::Timeout), row(2, Code::Expired), row(3, Code::Ok)]).await;
    let site = Running::start(&factory.config).await;
    let certificate = hex::encode(row(3, Code::Ok).subject);
    for (order, status) in [
        (json!({}), 400),
        (json!({ "all_batches": false }), 400),
        (json!({ "all_batches": true, "batches": [BATCH] }), 400),
        (json!({ "batches": ["nobody"] }), 404),
        (json!({ "batches": [""] }), 422),
        (json!({ "batches": ["a\0"] }), 422),
        (json!({ "batches": BATCH }), 422),
        (json!({ "batches": [BATCH], "codes": ["ok"] }), 400),
        (json!({ "batches": [BATCH], "codes": ["odd"] }), 422),
        (json!({ "batches": [BATCH], "statuses": ["registered"] }), 400),
        (json!({ "batches": [BATCH], "codes": ["private_key"] }), 409),
        (json!({ "batches": [BATCH], "sources": ["nobody"] }), 409),
        (json!({ "batches": [BATCH], "until": "2020-01-01T00:00:00Z" }), 409),
        (json!({ "batches": [BATCH], "since": "yesterday" }), 422),
        (json!({ "certificates": [certificate] }), 409),
        (json!({ "certificates": ["xyz"] }), 422),
        (json!({ "batches": [BATCH], "colour": 1 }), 422),
    ] {
        site.post("/replays/plans", &order).await.problem(status);
    }
    assert_eq!(plan(&site, &json!({ "all_batches": true, "codes": ["expired"] })).await["expected"], 1);
    let subject = hex::encode(row(2, Code::Ok).subject);
    assert_eq!(plan(&site, &json!({ "certificates": [subject], "codes": ["expired"] })).await["expected"], 1);
    for (id, status) in [("nothing", 404), ("%00", 404), (&"0".repeat(32), 404), (&"0".repeat(9000), 404)] {
        site.send(&Ask::get(&format!("{}/replays/plans/{id}", api::PREFIX)).token(OPERATOR)).await.problem(status);
        site.post("/replays", &json!({ "plan": id.replace("%00", "\0") })).await.problem(status);
    }
    for number in ["-1", "0", "2"] {
        site.send(&Ask::get(&format!("{}/replays/{number}", api::PREFIX)).token(VIEWER)).await.problem(404);
    }
    // The plan of an hour ago counts what is no longer so.
    let old = plan(&site, &of_batch()).await;
    let age = "update bulk_changes set planned_at = planned_at - interval '61 minutes'";
    sqlx::query(age).execute(&factory.database.pool).await.unwrap();
    site.post("/replays", &json!({ "plan": old["plan"] })).await.problem(409);
    assert_eq!(n_replays(&factory).await, 0);
}
