//! All batches, page by page.

use std::collections::BTreeMap;

use muster::ledger::{Page, Row};
use muster_core::outcome::Code;
use serde_json::{Value, json};

use super::status;
use crate::factory::Factory;
use crate::ledger::row;

/// Creates batches of one certificate each, with their outcomes.
async fn three_batches() -> Factory {
    let factory = Factory::new(1000.0).await;
    for (batch, code, announced) in
        [("first", Code::Ok, Some(1)), ("second", Code::Expired, Some(4)), ("third", Code::IssuerInactive, None)]
    {
        let announced = BTreeMap::from([(batch.to_owned(), announced)]);
        let row = Row { batch: batch.into(), ..row(1, code) };
        factory.ledger.record(&Page { announced, rows: vec![row], ..Page::default() }).await.unwrap();
    }
    factory
}

async fn listing(factory: &Factory, arguments: &[&str]) -> Value {
    let (code, data, stderr) = status(factory, &[&["--json"], arguments].concat()).await;
    assert_eq!(code, Some(0), "{stderr}");
    serde_json::from_str(&data).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_batches_are_listed_latest_first() {
    let factory = three_batches().await;
    sqlx::raw_sql(
        "insert into queue_readings (queue, read_at, empty_since) values ('q', now(), now() - interval '3 minutes');
        update batches set announced_at = announced_at - interval '3 minutes'",
    )
    .execute(&factory.database.pool)
    .await
    .unwrap();
    let listing = listing(&factory, &[]).await;
    let of = |field: &str| -> Vec<Value> {
        listing["batches"].as_array().unwrap().iter().map(|line| line[field].clone()).collect()
    };
    assert_eq!(of("batch"), ["third", "second", "first"]);
    assert_eq!(of("announced"), [Value::Null, json!(4), json!(1)]);
    assert_eq!(of("ended"), [0, 1, 1]);
    assert_eq!(of("failed"), [0, 1, 0]);
    assert_eq!(of("parked"), [1, 0, 0]);
    assert_eq!(of("outstanding"), [Value::Null, json!(3), json!(0)]);
    assert_eq!(of("missing"), [Value::Null, json!(3), json!(0)]);
    assert_eq!(of("first_end_at").iter().map(Value::is_string).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(listing["next"], Value::Null);

    let (_, text, _) = status(&factory, &[]).await;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let table = &lines[lines.iter().position(|line| line.first() == Some(&"batch")).unwrap()..];
    assert_eq!(table[0][..6], ["batch", "announced", "outcomes", "failed", "parked", "outstanding"]);
    assert_eq!(table[1], ["third", "?", "0", "0", "1", "?"]);
    assert_eq!(table[2][..7], ["second", "4", "1", "1", "0", "3", "missing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_continues_after_its_last_batch() {
    let factory = three_batches().await;
    let page = async |arguments: &[&str]| {
        let page = listing(&factory, arguments).await;
        let names: Vec<_> = page["batches"].as_array().unwrap().iter().map(|line| line["batch"].to_string()).collect();
        (names.join(" "), page["next"].clone())
    };
    assert_eq!(page(&["--limit", "2"]).await, (r#""third" "second""#.into(), json!("second")));
    assert_eq!(page(&["--limit", "2", "--before", "second"]).await, (r#""first""#.into(), Value::Null));
    // One transaction may create several batches: then they are ordered by name.
    sqlx::query("update batches set first_recorded_at = now()").execute(&factory.database.pool).await.unwrap();
    assert_eq!(page(&["--limit", "1"]).await, (r#""third""#.into(), json!("third")));
    assert_eq!(page(&["--limit", "1", "--before", "third"]).await, (r#""second""#.into(), json!("second")));
    assert_eq!(page(&["--limit", "1", "--before", "second"]).await, (r#""first""#.into(), Value::Null));
    let (_, _, stderr) = status(&factory, &["--limit", "2"]).await;
    assert_eq!(stderr, "there are more: --before second\n");
    let (code, _, stderr) = status(&factory, &["--before", "secnd"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("hint: did you mean second?"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_for_one_batch_require_a_batch() {
    let factory = Factory::new(1000.0).await;
    for option in [&["--check"][..], &["--wait"], &["--rates"], &["--measure", "1s"]] {
        let (code, _, stderr) = status(&factory, option).await;
        assert_eq!(code, Some(2), "{option:?}: {stderr}");
    }
    let (code, text, _) = status(&factory, &[]).await;
    let wanted = "STOPPED: no worker is running
    fix: start one with `muster serve`
0 workers reported in the last 12 s; queue contents unknown; 0 parked, missing not yet known, 0 quarantined

no batches
";
    assert_eq!((code, text.as_str()), (Some(0), wanted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_watched_until_interrupted() {
    let factory = three_batches().await;
    let mut program = factory.spawn(&["status", "--watch=100ms"]);
    let mut out = tokio::io::BufReader::new(program.0.stdout.take().unwrap());
    let mut line = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut out, &mut line).await.unwrap();
    assert_eq!(line, "stopped: no worker is running\n", "without a terminal it prints lines");
    program.signal("INT");
    assert_eq!(program.wait().await.0, Some(130));
}
