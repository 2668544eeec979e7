//! Batches and failures: filters and pages.

use std::collections::{BTreeMap, BTreeSet};

use muster::ledger::Page;
use muster::ledger::row::Row;
use muster_core::outcome::Code;
use serde_json::Value;

use crate::factory::Factory;
use crate::http::harness::{Ask, Running, VIEWER, factory};
use crate::ledger::row;

/// Records a row in a batch whose producer announced `announced` certificates.
async fn record(factory: &Factory, batch: &str, announced: Option<u64>, rows: Vec<Row>) {
    let rows = rows.into_iter().map(|row| Row { batch: batch.into(), ..row }).collect();
    let announced = BTreeMap::from([(batch.to_owned(), announced)]);
    factory.ledger.record(&Page { announced, rows, ..Page::default() }).await.unwrap();
}

/// Creates a site with five batches, the last one the newest.
async fn with_batches() -> (Factory, Running) {
    let factory = factory().await;
    let from = |source: &str, mut row: Row| {
        row.names.source = Some(source.to_owned());
        row
    };
    for (batch, announced, row) in [
        ("line7/monday", Some(1), row(1, Code::Ok)),
        ("line7/tuesday", Some(2), row(2, Code::Ok)),
        ("line8/monday", Some(1), from("line-8", row(3, Code::Expired))),
        ("line8/a_tuesday", Some(1), from("line-8", row(4, Code::BatchFailing))),
        ("rework", None, row(5, Code::Exists)),
    ] {
        record(&factory, batch, announced, vec![row]).await;
    }
    let site = Running::start(&factory.config).await;
    (factory, site)
}

fn names(listing: &Value) -> Vec<&str> {
    listing["batches"].as_array().unwrap().iter().map(|batch| batch["batch"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_filtered() {
    let (factory, site) = with_batches().await;
    let newest_first = ["rework", "line8/a_tuesday", "line8/monday", "line7/tuesday", "line7/monday"];
    for (query, wanted) in [
        ("", &newest_first[..]),
        ("?name=line7", &newest_first[3..]),
        ("?name=LINE7", &[]),
        ("?name=%25", &[]),
        ("?name=_", &newest_first[1..2]),
        ("?name=%27%20or%201%3D1", &[]),
        ("?source=line-8", &newest_first[1..3]),
        ("?source=line", &[]),
        ("?state=complete", &["line8/monday", "line7/monday"]),
        ("?state=unfinished", &["rework", "line8/a_tuesday", "line7/tuesday"]),
        ("?state=failed", &["line8/monday"]),
        ("?state=parked", &["line8/a_tuesday"]),
        ("?state=complete&name=line7", &["line7/monday"]),
        ("?since=2020-01-01T00:00:00Z", &newest_first),
        ("?until=2020-01-01T00:00:00Z", &[]),
        ("?since=2999-01-01T00:00:00%2B02:00", &[]),
        ("?before=line8%2Fmonday", &newest_first[3..]),
        ("?before=line8%2Fmonday&name=monday", &newest_first[4..]),
    ] {
        let listing = site.get(&format!("/batches{query}")).await;
        assert_eq!(names(&listing), wanted, "{query}");
        assert_eq!(listing["next"], Value::Null, "{query}");
    }
    let middle = "select first_recorded_at::text from batches where batch = 'line8/monday'";
    let middle: String = sqlx::query_scalar(middle).fetch_one(&factory.database.pool).await.unwrap();
    let middle = middle.replace(' ', "T").replace("+00", "Z").replace(':', "%3A");
    assert_eq!(names(&site.get(&format!("/batches?since={middle}")).await), newest_first[..3]);
    assert_eq!(names(&site.get(&format!("/batches?until={middle}")).await), newest_first[3..]);
    for (query, status) in [
        ("?before=nobody", 404),
        ("?before=%3Cscript%3E", 400),
        ("?state=odd", 400),
        ("?since=yesterday", 400),
        ("?limit=0", 400),
        ("?limit=1001", 400),
        ("?limit=-1", 400),
        ("?limit=4294967296", 400),
        ("?limit=", 400),
        ("?name=%00", 400),
        ("?source=a%00b", 400),
        ("?name=a&name=b", 400),
        ("?colour=red", 400),
    ] {
        site.send(&Ask::get(&format!("/api/v1/batches{query}")).token(VIEWER)).await.problem(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_batches_have_each_batch_once() {
    let (factory, site) = with_batches().await;
    // Batches that were first recorded at the same time must be told apart too.
    sqlx::query("update batches set first_recorded_at = now()").execute(&factory.database.pool).await.unwrap();
    for limit in [1, 2, 4, 5] {
        let (mut seen, mut query) = (Vec::new(), format!("?limit={limit}"));
        loop {
            let listing = site.get(&format!("/batches{query}")).await;
            seen.extend(names(&listing).into_iter().map(str::to_owned));
            let Some(next) = listing["next"].as_str() else { break };
            query = format!("?limit={limit}&before={}", next.replace('/', "%2F"));
        }
        assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (5, 5), "{limit}: {seen:?}");
    }
    assert_eq!(site.get("/batches?limit=5").await["next"], Value::Null, "nothing follows the last one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_failures_have_each_failure_once() {
    let factory = factory().await;
    let mut rows: Vec<_> = (0..7).map(|n| row(n, Code::Expired)).collect();
    rows.push(Row { target: "eu.plant-1".into(), ..row(3, Code::Expired) });
    rows.extend([row(20, Code::Ok), row(21, Code::Timeout), row(22, Code::BatchFailing)]);
    record(&factory, "batch", None, rows).await;
    record(&factory, "another", None, vec![row(30, Code::Expired)]).await;
    let site = Running::start(&factory.config).await;
    for limit in [1, 3, 8] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = site.get(&format!("/batches/batch/failures?code=expired&limit={limit}{after}")).await;
            let failures = page["failures"].as_array().unwrap();
            assert!(failures.len() <= limit && !failures.is_empty(), "{page}");
            seen.extend(failures.iter().map(|one| format!("{}{}", one["subject"], one["target"])));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (8, 8), "{limit}: {seen:?}");
        assert!(seen.is_sorted(), "{seen:?}");
    }
    let page = site.get("/batches/batch/failures?code=expired&limit=1").await;
    let expected = serde_json::json!({
        "subject": hex::encode(row(0, Code::Expired).subject), "is_certificate": true, "target": "default",
        "operation": "RegisterCertificate", "source": "line-1", "ref": "SN-0", "status": "rejected", "detail": "detail",
        "n_attempts": 0, "recorded_at": page["failures"][0]["recorded_at"], "resent_at": null,
    });
    assert_eq!(page["failures"][0], expected);
    let parked = site.get("/batches/batch/failures?code=batch_failing").await;
    assert_eq!((&parked["failures"][0]["ref"], &parked["failures"][0]["status"]), (&"SN-22".into(), &"parked".into()));
    for code in ["ok", "exists", "private_key"] {
        let page = site.get(&format!("/batches/batch/failures?code={code}")).await;
        assert_eq!(page, serde_json::json!({ "failures": [], "next": null }), "{code}");
    }
    for (path, status) in [
        ("/batches/nobody/failures?code=expired", 404),
        ("/batches/batch/failures", 400),
        ("/batches/batch/failures?code=odd", 400),
        ("/batches/batch/failures?code=expired&after=odd", 400),
        ("/batches/batch/failures?code=expired&limit=1001", 400),
    ] {
        site.send(&Ask::get(&format!("/api/v1{path}")).token(VIEWER)).await.problem(status);
    }
    let nul = format!("/api/v1/batches/batch/failures?code=expired&after={}.%00.RegisterCertificate", "00".repeat(32));
    site.send(&Ask::get(&nul).token(VIEWER)).await.problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_all_batches_are_grouped_by_code() {
    let factory = factory().await;
    record(&factory, "monday", None, vec![row(1, Code::Expired), row(2, Code::Expired), row(3, Code::Timeout)]).await;
    record(&factory, "tuesday", None, vec![row(4, Code::Expired), row(5, Code::Ok), row(6, Code::BatchFailing)]).await;
    let site = Running::start(&factory.config).await;
    let failures = site.get("/failures").await;
    let found: Vec<_> = failures
        .as_array()
        .unwrap()
        .iter()
        .map(|group| ["code", "status", "n", "n_batches", "batch", "may_succeed"].map(|name| group[name].clone()))
        .collect();
    let expected = [
        serde_json::json!(["expired", "rejected", 3, 2, "tuesday", false]),
        serde_json::json!(["timeout", "exhausted", 1, 1, "monday", true]),
    ];
    assert_eq!(serde_json::to_value(found).unwrap(), Value::from(expected.to_vec()));
    assert_eq!(site.get("/failures?since=2999-01-01T00:00:00Z").await, serde_json::json!([]));
    site.send(&Ask::get("/api/v1/failures?since=now").token(VIEWER)).await.problem(400);
}
