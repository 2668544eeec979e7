//! Texts of producers, devices and operators never become part of a page's markup (cross-site scripting).

use std::collections::BTreeMap;

use muster::ledger::Page;
use muster::ledger::audit::AuditAction;
use muster::ledger::row::{Names, Row};
use muster_core::certificate::Certificate;
use muster_core::hold::{HoldKey, Opening};
use muster_core::outcome::Code;
use muster_sandbox::specimen::Ca;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::harness::{Ask, OPERATOR, Reply, Running, factory};
use crate::factory::Factory;
use crate::ledger::row;

/// What would run, or break out of an attribute, if it were not escaped. The name tells where it came from.
fn hostile(name: &str) -> String {
    format!("{name}<script>alert('{name}')</script>\"'><img src=x onerror=alert(1)> javascript:alert(1)")
}

/// How a page must show it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Asserts that a page has no markup but its own.
fn assert_harmless(what: &str, reply: &Reply) {
    if reply.header("content-type") == Some("application/problem+json") {
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{what}: no browser takes JSON for a page");
        return;
    }
    let body = reply.body.to_ascii_lowercase();
    for part in ["<img", "<script>", "onerror=alert(1)>", "'><", "=\"javascript:", "='javascript:", "=javascript:"] {
        assert!(!body.contains(part), "{what}: {part} in {}", reply.body);
    }
    assert_eq!(body.matches("<script").count(), 1, "{what}: only the page's own script: {}", reply.body);
    assert_eq!(body.matches("style=").count(), 0, "{what}: {}", reply.body);
    for header in ["location", "set-cookie"] {
        assert!(!reply.header(header).unwrap_or_default().contains(['<', '"']), "{what}: {reply:?}");
    }
}

/// Fills a ledger with hostile texts. Returns the name of a certificate.
async fn fill(factory: &Factory) -> String {
    let ca = Ca::new(&hostile("issuer"));
    let certificate = Certificate::from_pem(&ca.leaf(&hostile("subject"))).unwrap();
    let names =
        |i: u32| Names { reference: Some(hostile(&format!("ref{i}"))), source: Some(hostile(&format!("source{i}"))) };
    let hold = HoldKey::read(format!("batch:{}", hostile("hold")));
    let mut rows: Vec<Row> =
        (0..).zip([Code::Expired, Code::Ok, Code::BatchFailing]).map(|(n, code)| row(n, code)).collect();
    for (i, row) in (0..).zip(&mut rows) {
        (row.batch, row.target) = (if i == 0 { "plain".to_owned() } else { hostile("batch") }, hostile("target"));
        (row.account, row.region) = ("123456789012".into(), hostile("region"));
        (row.subject, row.certificate_id) = (certificate.id().0, Some(certificate.id()));
        row.certificate = (row.outcome.code == Code::Ok).then(|| certificate.der().to_vec());
        row.names = names(i);
        row.other_names = vec![names(10 + i)];
        row.message_id = hostile("message");
        row.outcome.detail = Some(hostile(&format!("detail{i}")));
        for attempt in &mut row.attempts {
            attempt.request_id = Some(hostile("request"));
        }
        if row.outcome.code == Code::BatchFailing {
            row.outcome.waits_for = Some(hold.clone());
        }
    }
    let opening = Opening {
        witness: None,
        is_closed: true,
        subject: Some(hostile("ca")),
        reason: hostile("reason"),
        probe_every: std::time::Duration::from_mins(1),
    };
    let announced = BTreeMap::from([("plain".to_owned(), Some(9)), (hostile("batch"), None)]);
    let issuer = HoldKey::read(format!("issuer:{}", hostile("issuerhold")));
    let openings = vec![(hold, opening.clone()), (issuer, opening)];
    factory.ledger.record(&Page { announced, rows, openings, ..Page::default() }).await.unwrap();
    let plain = "plain".parse().unwrap();
    factory.ledger.pause(&HoldKey::pause_batch(&plain), &hostile("pause"), &hostile("who")).await.unwrap();
    let detail = json!({ hostile("key"): hostile("value"), "list": [hostile("item")] });
    let (who, what) = (hostile("somebody"), hostile("something"));
    let action = AuditAction { who: &who, action: "action", what: &what, detail };
    factory.ledger.audit(&action).await.unwrap();
    certificate.id().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_of_the_ledger_are_escaped_on_every_page() {
    let factory = factory().await;
    let id = fill(&factory).await;
    let site = Running::start(&factory.config).await;
    let plan = site.post("/replays/plans", &json!({ "batches": ["plain"], "codes": ["expired"] })).await.json();
    let plan = plan["plan"].as_str().unwrap_or_else(|| panic!("{plan}"));
    sqlx::query("update bulk_changes set planned_by = $1")
        .bind(hostile("planner"))
        .execute(&factory.database.pool)
        .await
        .unwrap();
    let replays = [("/replays", &["starter"][..]), ("/replays/1", &["starter"])];
    let pages = [
        ("/", &["region"][..0]),
        ("/batches", &["batch"]),
        ("/batches/plain", &["ref0", "detail0", "source0"]),
        ("/batches/plain/failures?code=expired", &["ref0", "detail0", "source0", "target"]),
        ("/failures", &["batch"][..0]),
        ("/holds", &["hold", "ca", "reason", "pause", "issuerhold"]),
        ("/audit", &["somebody", "something", "key", "value", "item", "who"]),
    ];
    for (path, shown) in pages {
        let reply = site.page(path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert_harmless(path, &reply);
        for name in shown {
            assert!(reply.body.contains(&escaped(&hostile(name))), "{path} does not show {name}: {}", reply.body);
        }
    }
    let page = site.page(&format!("/certificates/{id}")).await;
    assert_harmless("certificate", &page);
    // RFC 4514 puts a backslash before special characters of a name.
    let body = page.body.replace('\\', "");
    for name in
        ["subject", "issuer", "batch", "target", "region", "ref1", "source1", "ref11", "message", "request", "hold"]
    {
        assert!(body.contains(&format!("{name}&lt;script&gt;alert(")), "{name}: {body}");
    }
    let page = site.page(&format!("/replays/plans/{plan}")).await;
    assert_harmless("plan", &page);
    assert!(page.body.contains(&escaped(&hostile("planner"))), "{}", page.body);

    assert_eq!(site.post("/replays", &json!({ "plan": plan })).await.status, 200);
    let started = sqlx::query("update replays set asked_by = $1, cancelled_by = $1").bind(hostile("starter"));
    started.execute(&factory.database.pool).await.unwrap();
    for (path, shown) in replays {
        let reply = site.page(path).await;
        assert_harmless(path, &reply);
        for name in shown {
            assert!(reply.body.contains(&escaped(&hostile(name))), "{path} does not show {name}: {}", reply.body);
        }
    }
}

/// Premise: a link on another site leads here.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_of_a_request_are_escaped() {
    let mut factory = factory().await;
    fill(&factory).await;
    factory.config.http.proxies = Some("127.0.0.1".to_owned().try_into().unwrap());
    factory.config.http.identity_header = Some("X-Forwarded-User".to_owned());
    let site = Running::start(&factory.config).await;
    let text = hostile("request");
    let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
    for path in [
        format!("/{encoded}"),
        format!("/login?next={encoded}"),
        format!("/login?next=%2F{encoded}"),
        format!("/login?{encoded}={encoded}"),
        format!("/batches?name={encoded}&source={encoded}"),
        format!("/batches?state={encoded}"),
        format!("/batches?since={encoded}"),
        format!("/batches?before={encoded}"),
        format!("/batches/{encoded}"),
        format!("/batches/plain/failures?code={encoded}"),
        format!("/batches/plain/failures?code=expired&after={encoded}"),
        format!("/certificates/{encoded}"),
        format!("/replays/{encoded}"),
        format!("/replays/plans/{encoded}"),
        format!("/search?q={encoded}"),
        format!("/audit?before={encoded}"),
        format!("/?range={encoded}"),
    ] {
        for ask in [Ask::get(&path), Ask::get(&path).token(OPERATOR), Ask::get(&path).header("x-forwarded-user", "ada")]
        {
            let reply = site.send(&ask).await;
            if reply.status == 303 {
                let to = reply.header("location").unwrap();
                assert!(to.starts_with("/login?next=%2F") || to.starts_with("/certificates/"), "{path}: {reply:?}");
                assert!(!to.contains(['<', '"', '\'', '\\']), "{path}: {reply:?}");
            } else {
                assert_harmless(&path, &reply);
            }
        }
    }
    for (path, fields) in [
        ("/search", vec![("text", text.as_str())]),
        ("/holds/release", vec![("hold", &text)]),
        ("/pause", vec![("scope", &text)]),
        ("/pause", vec![("scope", "batch"), ("name", &text)]),
        ("/resume", vec![("scope", "batch"), ("name", &text)]),
        ("/replays", vec![("plan", &text)]),
        ("/replays", vec![(&*text, &*text)]),
        ("/replays/plans", vec![("batch", &text)]),
        ("/replays/plans", vec![("batch", "plain"), ("code", &text)]),
    ] {
        let reply = site.send(&Ask::post(path).token(OPERATOR).form(&fields)).await;
        assert!((400..500).contains(&reply.status), "{path} {fields:?}: {reply:?}");
        assert_harmless(path, &reply);
    }
    let login = Ask::login(&text, &text).same_origin(site.address);
    assert_harmless("/login", &site.send(&login).await);
    let page = site.send(&Ask::get("/").header("x-forwarded-user", &text)).await;
    assert_eq!(page.status, 200);
    assert_harmless("a user's name", &page);
    assert!(page.body.contains(&escaped(&text)), "{page:?}");
}
