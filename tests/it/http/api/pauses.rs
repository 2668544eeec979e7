//! Pauses, holds and the audit log.

use muster_core::hold::HoldKey;
use muster_core::outcome::Code;
use serde_json::{Value, json};

use crate::factory::{BATCH, Factory};
use crate::holds::{opening, park};
use crate::http::harness::{Ask, OPERATOR, Running, VIEWER, factory};
use crate::ledger::{record, row};

async fn open_holds(factory: &Factory) -> Vec<String> {
    factory.ledger.open_holds().await.unwrap().into_iter().map(|open| open.hold.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_names_nothing_pauses_nothing() {
    let factory = factory().await;
    record(&factory.ledger, vec![row(1, Code::Expired)]).await;
    let site = Running::start(&factory.config).await;
    for (body, status) in [
        (json!({}), 422),
        (json!(null), 422),
        (json!([]), 422),
        (json!({ "reason": "x" }), 422),
        (json!({ "scope": "" }), 422),
        (json!({ "scope": null }), 422),
        (json!({ "scope": "ALL" }), 422),
        (json!({ "scope": "everything" }), 422),
        (json!({ "scope": "all", "colour": 1 }), 422),
        (json!({ "scope": "all", "name": BATCH }), 400),
        (json!({ "scope": "all", "name": "" }), 422),
        (json!({ "scope": "batch" }), 400),
        (json!({ "scope": "target" }), 400),
        (json!({ "scope": "batch", "name": null }), 400),
        (json!({ "scope": "batch", "name": "" }), 422),
        (json!({ "scope": "batch", "name": "nobody" }), 404),
        (json!({ "scope": "target", "name": "nobody" }), 400),
        (json!({ "scope": "batch", "name": "a\0b" }), 422),
    ] {
        let reply = site.post("/pause", &body).await;
        // Some parsers report a wrong type as malformed JSON.
        let is_malformed = status == 422 && reply.status == 400;
        reply.problem(if is_malformed { 400 } else { status });
    }
    let raw = |content_type: &str, body: &str| {
        Ask::post("/api/v1/pause").token(OPERATOR).header("content-type", content_type).body(body)
    };
    site.send(&raw("application/json", "")).await.problem(400);
    site.send(&raw("text/plain", r#"{"scope":"all"}"#)).await.problem(415);
    site.send(&raw("application/x-www-form-urlencoded", "scope=all")).await.problem(415);
    for fields in [&[][..], &[("scope", "")], &[("scope", "batch")], &[("scope", "batch"), ("name", "")]] {
        let reply = site.send(&Ask::post("/pause").token(OPERATOR).form(fields)).await;
        assert!(reply.status == 422 || reply.status == 400, "{fields:?}: {reply:?}");
    }
    let empty = Ask::post("/pause").token(OPERATOR).header("content-type", "text/plain").body("scope=all");
    assert_eq!(site.send(&empty).await.status, 415);
    assert_eq!(open_holds(&factory).await, Vec::<String>::new());
    assert_eq!(site.get("/audit").await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_lasts_until_it_is_resumed() {
    let factory = factory().await;
    record(&factory.ledger, vec![row(1, Code::Expired)]).await;
    let site = Running::start(&factory.config).await;
    let scopes = [
        (json!({ "scope": "all" }), "pause:all", "everything"),
        (json!({ "scope": "target", "name": "default" }), "pause:target:default", "target `default`"),
        (json!({ "scope": "batch", "name": BATCH }), "pause:batch:batch", "batch `batch`"),
    ];
    for (scope, hold, what) in &scopes {
        let mut request = scope.clone();
        request["reason"] = json!(" line stopped ");
        let reply = site.post("/pause", &request).await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "what": what, "changed": true })));
        assert_eq!(site.post("/pause", scope).await.json(), json!({ "what": what, "changed": false }));
        assert_eq!(open_holds(&factory).await, [*hold]);
        let holds = site.get("/holds").await;
        // Those that were released are listed until their jobs are resent.
        let open = holds.as_array().unwrap().iter().find(|line| line["hold"] == *hold).unwrap();
        let found = ["reason", "is_closed", "released_at"].map(|name| open[name].clone());
        assert_eq!(found, [json!("paused by otto: line stopped"), json!(true), Value::Null], "{holds}");

        let release = site.post("/holds/release", &json!({ "hold": "pause:target:other" })).await;
        release.problem(404);
        let reply = site.post("/resume", scope).await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "what": what, "changed": true })));
        site.post("/resume", scope).await.problem(409);
        assert_eq!(open_holds(&factory).await, Vec::<String>::new());
    }
    let done = |line: &Value| ["who", "action", "what"].map(|name| line[name].as_str().unwrap().to_owned());
    let audit = site.get("/audit").await;
    let found: Vec<_> = audit.as_array().unwrap().iter().rev().map(done).collect();
    let expected = scopes.iter().flat_map(|(_, hold, _)| ["pause", "resume"].map(|action| ["otto", action, hold]));
    assert_eq!(found, expected.map(|line| line.map(str::to_owned)).collect::<Vec<_>>());
    assert_eq!(audit[1]["detail"], json!({ "reason": "paused by otto: line stopped" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_hold_resends_its_jobs() {
    let factory = factory().await;
    let (hold, _) = opening(1);
    park(&factory.ledger, [1], 1).await;
    let site = Running::start(&factory.config).await;
    let holds = site.get("/holds").await;
    assert_eq!((&holds[0]["hold"], &holds[0]["n_waiting"]), (&json!(hold.to_string()), &json!(1)), "{holds}");

    for (body, status) in [
        (json!({}), 422),
        (json!({ "hold": 1 }), 422),
        (json!({ "hold": "" }), 404),
        (json!({ "hold": "issuer:none" }), 404),
        (json!({ "hold": "\0" }), 400),
    ] {
        site.post("/holds/release", &body).await.problem(status);
    }
    site.send(&Ask::post("/api/v1/holds/release").token(VIEWER).json(&json!({ "hold": hold.to_string() })))
        .await
        .problem(403);
    assert_eq!(open_holds(&factory).await.len(), 1);
    let reply = site.post("/holds/release", &json!({ "hold": hold.to_string() })).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.json()[0]["released_at"].is_string(), "{reply:?}");
    site.post("/holds/release", &json!({ "hold": hold.to_string() })).await.problem(404);
    assert_eq!(open_holds(&factory).await, Vec::<String>::new());
    let audit = site.get("/audit").await;
    assert_eq!((&audit[0]["action"], &audit[0]["what"]), (&json!("holds release"), &json!(hold.to_string())));
    assert_eq!(audit.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_paged() {
    let factory = factory().await;
    let site = Running::start(&factory.config).await;
    for _ in 0..3 {
        factory.ledger.pause(&HoldKey::pause_all(), "a reason", "ann@plant").await.unwrap();
        site.post("/resume", &json!({ "scope": "all" })).await;
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=4".to_owned());
    loop {
        let page = site.get(&format!("/audit{query}")).await;
        let ids: Vec<_> = page.as_array().unwrap().iter().map(|line| line["id"].as_i64().unwrap()).collect();
        let Some(last) = ids.last() else { break };
        query = format!("?limit=4&before={last}");
        seen.extend(ids);
    }
    assert!(seen.len() == 6 && seen.is_sorted_by(|one, next| one > next), "{seen:?}");
    for query in ["?limit=0", "?limit=x", "?before=9223372036854775808", "?before=x", "?after=1"] {
        site.send(&Ask::get(&format!("/api/v1/audit{query}")).token(VIEWER)).await.problem(400);
    }
    assert_eq!(site.get("/audit?before=-9223372036854775808").await, json!([]));
    assert_eq!(site.get("/audit?before=9223372036854775807&limit=1000").await.as_array().unwrap().len(), 6);
}
