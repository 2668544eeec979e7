//! What only reads changes nothing, and no header turns reading into changing.

use serde_json::json;

use super::harness::{Ask, OPERATOR, Running, dump, factory};
use super::routes::routes;
use crate::ledger::{record, row};
use muster_core::outcome::Code;

/// A request that would change something if it were taken for a POST.
fn pause(method: &str, path: &str) -> Ask {
    let ask = Ask::new(method, path).token(OPERATOR);
    if path.starts_with("/api") { ask.json(&json!({ "scope": "all" })) } else { ask.form(&[("scope", "all")]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_options_change_nothing() {
    let factory = factory().await;
    record(&factory.ledger, vec![row(1, Code::Timeout)]).await;
    let site = Running::start(&factory.config).await;
    let session = site.log_in(OPERATOR).await;
    let before = dump(&factory.database.pool).await;
    for route in routes() {
        for method in ["HEAD", "OPTIONS"] {
            for ask in [
                Ask::new(method, &route.path).token(OPERATOR),
                Ask::new(method, &route.path).header("cookie", &session),
                pause(method, &route.path),
            ] {
                let reply = site.send(&ask).await;
                assert!(reply.status < 500, "{method} {}: {reply:?}", route.path);
                assert!(method != "HEAD" || reply.body.is_empty(), "{reply:?}");
            }
        }
    }
    assert_eq!(dump(&factory.database.pool).await, before);
    assert_eq!(site.send(&Ask::get("/").header("cookie", &session)).await.status, 200, "nobody was logged out");
}

#[tokio::test(flavor = "multi_thread")]
async fn method_override_headers_do_nothing() {
    let factory = factory().await;
    record(&factory.ledger, vec![row(1, Code::Timeout)]).await;
    let site = Running::start(&factory.config).await;
    let before = dump(&factory.database.pool).await;
    for header in ["x-http-method-override", "x-http-method", "x-method-override"] {
        for path in ["/api/v1/pause", "/pause"] {
            let reply = site.send(&pause("GET", path).header(header, "POST")).await;
            assert_eq!(reply.status, 405, "{reply:?}");
            let reply = site.send(&pause("GET", &format!("{path}?_method=POST")).header(header, "POST")).await;
            assert_eq!(reply.status, 405, "{reply:?}");
        }
        let reply = site.send(&pause("POST", "/api/v1/batches").header(header, "GET")).await;
        assert_eq!(reply.status, 405, "{reply:?}");
    }
    assert_eq!(dump(&factory.database.pool).await, before);
}

/// Premise: a client retries a GET, a browser prefetches it, and a crawler follows it.
#[tokio::test(flavor = "multi_thread")]
async fn reading_every_page_changes_nothing() {
    let factory = factory().await;
    record(&factory.ledger, vec![row(1, Code::Timeout)]).await;
    let site = Running::start(&factory.config).await;
    let before = dump(&factory.database.pool).await;
    for route in routes().iter().filter(|route| route.method == "GET") {
        let reply = site.send(&route.ask().token(OPERATOR)).await;
        assert!(reply.status == 200 || reply.status == 404, "{route:?}: {reply:?}");
    }
    assert_eq!(dump(&factory.database.pool).await, before);
}
