//! The ledger is away: nothing is known, and nothing is shown as zero.

use std::sync::Arc;
use std::time::Duration;

use super::harness::{Ask, OPERATOR, Reply, Running, VIEWER, factory};
use super::routes::routes;
use crate::factory::BATCH;
use crate::ledger::{record, row};
use crate::proxy::{Conduct, Proxy};
use muster::http::api;
use muster_core::outcome::Code;
use serde_json::json;
use tokio::task::JoinSet;

/// Returns requests for everything that needs the ledger.
fn asks() -> Vec<(String, Ask)> {
    let reads = routes().into_iter().filter(|route| route.method == "GET" && route.role.is_some());
    let mut asks: Vec<_> = reads.map(|route| (route.path.clone(), route.ask())).collect();
    asks.retain(|(path, _)| !path.ends_with("/openapi.json"));
    let changes = [
        ("/pause", json!({ "scope": "all" })),
        ("/resume", json!({ "scope": "all" })),
        ("/holds/release", json!({ "hold": "pause:all" })),
        ("/replays/plans", json!({ "batches": [BATCH] })),
        ("/replays", json!({ "plan": "x" })),
        ("/certificates/search", json!({ "certificate": "SN-1" })),
    ];
    let changes = changes.map(|(path, body)| (format!("{}{path}", api::PREFIX), body));
    asks.extend(changes.map(|(path, body)| (path.clone(), Ask::post(&path).json(&body))));
    asks
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_ledger_every_answer_is_unavailable() {
    let mut factory = factory().await;
    record(&factory.ledger, vec![row(1, Code::Timeout)]).await;
    let proxy = Proxy::before(&factory.database.url).await;
    factory.config.database.url = proxy.url.as_str().into();
    factory.config.http.statement_timeout = Duration::from_millis(300).into();
    let site = Arc::new(Running::start(&factory.config).await);
    let session = site.log_in(OPERATOR).await;
    for conduct in [Conduct::Refuse, Conduct::Stall] {
        proxy.conduct(conduct);
        let mut sent = JoinSet::new();
        for (path, ask) in asks() {
            let with_cookie = ask.clone().header("cookie", &session).same_origin(site.address);
            for ask in [ask.token(OPERATOR), with_cookie] {
                let (path, site) = (path.clone(), Arc::clone(&site));
                sent.spawn(async move { (path, site.send(&ask).await) });
            }
        }
        for (path, reply) in sent.join_all().await {
            assert_unavailable(&path, &reply);
        }
        let login = site.send(&Ask::login(VIEWER, "").same_origin(site.address)).await;
        assert_unavailable("/login", &login);
        let logout = Ask::post("/logout").header("cookie", &session).same_origin(site.address);
        let reply = site.send(&logout).await;
        assert_unavailable("/logout", &reply);
        assert_eq!(reply.header("set-cookie"), None, "the session may live on");
        // What needs no ledger is there.
        assert_eq!(site.send(&Ask::get("/assets/style.css")).await.status, 200);
        assert_eq!(site.send(&Ask::get("/login")).await.status, 200);
        site.send(&Ask::get("/api/v1/overview")).await.problem(401);

        proxy.conduct(Conduct::Forward);
        factory.until("the site works again", async |_| site.page("/").await.status == 200).await;
        let reply = site.send(&Ask::get("/").header("cookie", &session)).await;
        assert_eq!(reply.status, 200, "nobody was logged out");
        assert!(factory.ledger.open_holds().await.unwrap().is_empty());
    }
}

/// Asserts that an answer says that the ledger is away, and shows no number.
fn assert_unavailable(path: &str, reply: &Reply) {
    assert_eq!(reply.status, 503, "{path}: {reply:?}");
    assert!(reply.body.contains("The ledger is unavailable"), "{path}: {reply:?}");
    let is_page = reply.header("content-type") != Some("application/problem+json");
    assert!(!(is_page && path.starts_with(api::PREFIX)), "{path}: {reply:?}");
    if !is_page {
        let detail = reply.problem(503);
        assert!(detail.contains("postgres"), "{path}: {detail}");
        assert!(reply.json()["hint"].as_str().unwrap().contains("database.url"), "{path}: {reply:?}");
        return;
    }
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{path}: {reply:?}");
    for part in ["<dd>", "<td", "unknown", "Nothing", "No "] {
        assert!(!reply.body.contains(part), "{path}: {reply:?}");
    }
}
