//! `muster export`: every outcome of a batch exactly once, whatever its texts contain and whatever is written
//! meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use muster::ledger::Ledger;
use muster::ledger::row::{Names, Row};
use muster_core::outcome::Code;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::factory::{BATCH, Factory};
use crate::ledger::{record, row};

const TITLES: &str = "batch,target,operation,certificate_id,serial,ref,source,status,code,detail,wanted_status,\
                      known_status,account,region,attempts,last_request_id,sent_at,received_at,ended_at,recorded_at,\
                      other_names";

/// Runs `muster export`; returns exit code, standard output and standard error.
pub(crate) async fn export(factory: &Factory, arguments: &[&str]) -> (Option<i32>, String, String) {
    factory.spawn(&[&["export"], arguments].concat()).wait().await
}

/// Exports the batch as JSON; returns the lines.
pub(crate) async fn lines(factory: &Factory, arguments: &[&str]) -> Vec<Value> {
    let (code, data, stderr) = export(factory, &[&[BATCH, "--format", "jsonl"], arguments].concat()).await;
    assert_eq!(code, Some(0), "{stderr}");
    data.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Records rows, a thousand at a time: recorders write no larger pages.
pub(crate) async fn record_many(ledger: &Ledger, rows: impl IntoIterator<Item = Row>) {
    let rows: Vec<_> = rows.into_iter().collect();
    for thousand in rows.chunks(1000) {
        record(ledger, thousand.to_vec()).await;
    }
}

/// Returns how often an export contains each certificate, by the number passed to [`row`].
fn numbers(lines: &[Value]) -> BTreeMap<u32, usize> {
    let mut numbers = BTreeMap::new();
    for line in lines {
        let id = line["certificate_id"].as_str().unwrap();
        *numbers.entry(u32::from_str_radix(&id[..8], 16).unwrap()).or_default() += 1;
    }
    numbers
}

fn each_once(range: impl IntoIterator<Item = u32>) -> BTreeMap<u32, usize> {
    range.into_iter().map(|n| (n, 1)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_one_line_of_csv() {
    let factory = Factory::new(1000.0).await;
    let mut first = row(1, Code::Ok);
    first.outcome.detail = Some("two, \"three\"".into());
    first.other_names = vec![Names { reference: Some("SN-other".into()), source: None }];
    let time = |time: time::OffsetDateTime| {
        time.truncate_to_second().format(&time::format_description::well_known::Rfc3339).unwrap()
    };
    let sent_at = time(first.outcome.sent_at);
    record(&factory.ledger, vec![first]).await;
    let recorded_at: time::OffsetDateTime =
        sqlx::query_scalar("select recorded_at from registrations").fetch_one(&factory.database.pool).await.unwrap();
    let (code, table, _) = export(&factory, &[BATCH]).await;
    let id = format!("00000001{}", "00".repeat(28));
    let wanted = format!(
        "{TITLES}\r\nbatch,default,RegisterCertificate,{id},00000001,SN-1,line-1,registered,ok,\"two, \"\"three\"\"\",\
         ACTIVE,ACTIVE,123456789012,eu-west-1,1,r,{sent_at},{sent_at},{sent_at},{},\
         \"[{{\"\"ref\"\":\"\"SN-other\"\"}}]\"\r\n",
        time(recorded_at)
    );
    assert_eq!((code, table.as_str()), (Some(0), wanted.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_one_line_of_json_with_its_attempts() {
    let factory = Factory::new(1000.0).await;
    let mut unreadable = row(2, Code::NotACertificate);
    (unreadable.certificate_id, unreadable.serial, unreadable.names) = (None, None, Names::default());
    record(&factory.ledger, vec![row(1, Code::Ok), unreadable]).await;
    let lines = lines(&factory, &[]).await;
    let success = &lines[0];
    assert_eq!(
        (&success["ref"], &success["n_attempts"], &success["last_request_id"]),
        (&json!("SN-1"), &json!(1), &json!("r"))
    );
    let attempt = &success["attempts"][0];
    assert_eq!((&attempt["result"], &attempt["ms"]), (&json!("ok"), &json!(7)));
    assert_eq!(success["other_names"], json!([]));
    let failure = &lines[1];
    for unknown in ["certificate_id", "serial", "ref", "source", "known_status", "last_request_id"] {
        assert_eq!(failure[unknown], Value::Null, "{unknown}");
    }
    assert_eq!((&failure["status"], &failure["code"]), (&json!("rejected"), &json!("not_a_certificate")));
    let fields: BTreeSet<&str> = success.as_object().unwrap().keys().map(String::as_str).collect();
    let titles = TITLES.split(',').chain(["n_attempts"]).collect();
    assert_eq!(fields, titles, "the fields are the CSV columns");
}

/// A name may begin with `=`, `+`, `-` or `@`; a detail may repeat what AWS says, so it may begin with anything.
#[tokio::test(flavor = "multi_thread")]
async fn csv_defuses_formulas_and_json_keeps_them() {
    let factory = Factory::new(1000.0).await;
    let mut first = row(1, Code::Expired);
    first.names = Names { reference: Some("=1+1".into()), source: Some("@line".into()) };
    first.outcome.detail = Some("=HYPERLINK(\"http://x\",\"y\")".into());
    let mut other = row(2, Code::Expired);
    other.names = Names { reference: Some("-SN".into()), source: Some("+49".into()) };
    other.outcome.detail = Some("\tx".into());
    record(&factory.ledger, vec![first, other]).await;
    let (_, table, _) = export(&factory, &[BATCH]).await;
    let wanted = ",'=1+1,'@line,rejected,expired,\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",";
    assert!(table.contains(wanted), "{table}");
    assert!(table.contains(",'-SN,'+49,rejected,expired,'\tx,"), "{table}");
    let lines = lines(&factory, &[]).await;
    assert_eq!((&lines[0]["ref"], &lines[1]["detail"]), (&json!("=1+1"), &json!("\tx")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_every_outcome_once_in_key_order() {
    let factory = Factory::new(1000.0).await;
    let elsewhere = (5_000..5_010).map(|n| Row { target: "eu".into(), ..row(n, Code::Ok) });
    record_many(&factory.ledger, (0..5_000).map(|n| row(n, Code::Ok)).chain(elsewhere)).await;
    record(&factory.ledger, vec![Row { batch: "another".into(), ..row(9_999, Code::Ok) }]).await;
    let lines = lines(&factory, &[]).await;
    assert_eq!(numbers(&lines), each_once(0..5_010));
    let keys: Vec<_> =
        lines.iter().map(|line| (line["target"].to_string(), line["certificate_id"].to_string())).collect();
    assert!(keys.is_sorted(), "rows are in the order of the primary key");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_select_by_status_code_and_source() {
    let factory = Factory::new(1000.0).await;
    let code = |n: u32| [Code::Ok, Code::Expired, Code::Timeout, Code::IssuerInactive, Code::Known][n as usize % 5];
    let source = |n: u32| if n.is_multiple_of(2) { "even" } else { "odd" };
    let rows = (0..4_500).map(|n| {
        let names = Names { reference: None, source: Some(source(n).into()) };
        Row { names, ..row(n, code(n)) }
    });
    record_many(&factory.ledger, rows).await;
    let of = async |arguments: &[&str]| numbers(&lines(&factory, arguments).await);
    let wanted = |codes: &[Code], sources: &[&str]| {
        each_once((0..4_500).filter(|&n| codes.contains(&code(n)) && sources.contains(&source(n))))
    };
    let (both, even): (&[&str], &[&str]) = (&["even", "odd"], &["even"]);
    assert_eq!(of(&["--status", "rejected,exhausted"]).await, wanted(&[Code::Expired, Code::Timeout], both));
    assert_eq!(of(&["--status", "parked", "--source", "even"]).await, wanted(&[Code::IssuerInactive], even));
    assert_eq!(of(&["--code", "known", "--code", "expired"]).await, wanted(&[Code::Known, Code::Expired], both));
    assert_eq!(of(&["--source", "even"]).await, wanted(&[0, 1, 2, 3, 4].map(code), even));
    assert_eq!(of(&["--status", "registered", "--source", "even"]).await, wanted(&[Code::Ok], even));
    assert_eq!(of(&["--status", "gone"]).await, BTreeMap::new());
    assert_eq!(of(&["--code", "expired", "--status", "registered"]).await, BTreeMap::new());
    let (exit, _, stderr) = export(&factory, &[BATCH, "--code", "bad_luck"]).await;
    assert_eq!(exit, Some(2), "{stderr}");
}

/// Failures of one certificate for two targets and operations are adjacent in the index.
#[tokio::test(flavor = "multi_thread")]
async fn all_failures_of_one_certificate_are_exported() {
    let factory = Factory::new(1000.0).await;
    for target in ["default", "eu", "us"] {
        let rows = (0..1_500).map(|n| Row { target: target.into(), ..row(n, Code::Expired) });
        record_many(&factory.ledger, rows).await;
    }
    let found = numbers(&lines(&factory, &["--status", "rejected"]).await);
    assert_eq!(found, (0..1_500).map(|n| (n, 3)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_stays_complete_while_rows_are_written() {
    let factory = Factory::new(1000.0).await;
    record_many(&factory.ledger, (0..5_000).map(|n| row(n * 2, Code::Timeout))).await;
    let mut program = factory.spawn(&["export", BATCH, "--format", "jsonl"]);
    let mut out = BufReader::new(program.0.stdout.take().unwrap());
    let mut data = String::new();
    out.read_line(&mut data).await.unwrap();
    // The pipe is full long before the last row. Rows written now lie before and after the position of the export, and
    // some replace rows that it has not read yet.
    record_many(&factory.ledger, (0..5_000).map(|n| row(n * 2 + 1, Code::Timeout))).await;
    record_many(&factory.ledger, (0..5_000).map(|n| row(n * 2, Code::Ok))).await;
    out.read_to_string(&mut data).await.unwrap();
    assert_eq!(program.wait().await.0, Some(0));
    let lines: Vec<Value> = data.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = numbers(&lines);
    assert!(found.values().all(|&n| n == 1), "no row appears twice");
    assert!((0..5_000).all(|n| found.contains_key(&(n * 2))), "every row that existed at the start is exported");
    let status = |n: usize| lines[n]["status"].as_str().unwrap().to_owned();
    assert_eq!((status(0), status(lines.len() - 1)), ("exhausted".into(), "exhausted".into()));
    assert!(lines.iter().any(|line| line["status"] == "registered"), "rows written meanwhile are read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_closes_early_ends_the_export_quietly() {
    let factory = Factory::new(1000.0).await;
    record_many(&factory.ledger, (0..5_000).map(|n| row(n, Code::Ok))).await;
    let mut program = factory.spawn(&["export", BATCH]);
    let mut out = BufReader::new(program.0.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).await.unwrap();
    drop(out);
    let (code, _, stderr) = program.wait().await;
    assert_eq!((code, stderr.as_str(), first.trim_end()), (Some(0), "", TITLES));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_file_is_complete_and_replaced_only_with_force() {
    let factory = Factory::new(1000.0).await;
    record(&factory.ledger, (0..3).map(|n| row(n, Code::Ok)).collect()).await;
    let file = factory.folder().join("outcomes.csv");
    let (code, data, stderr) = export(&factory, &[BATCH, "--output", "outcomes.csv"]).await;
    assert_eq!((code, data.as_str(), stderr.as_str()), (Some(0), "", "3 outcomes written to outcomes.csv\n"));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 4);

    record(&factory.ledger, vec![row(3, Code::Ok)]).await;
    let (code, _, stderr) = export(&factory, &[BATCH, "--output", "outcomes.csv"]).await;
    assert_eq!((code, stderr.as_str()), (Some(1), "error: outcomes.csv already exists: `--force` replaces it\n"));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 4, "the file is unchanged");
    let (code, _, stderr) = export(&factory, &[BATCH, "--output", "outcomes.csv", "--force"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_batch_cannot_be_exported() {
    let factory = Factory::new(1000.0).await;
    record(&factory.ledger, vec![row(1, Code::Ok)]).await;
    let (code, data, stderr) = export(&factory, &["batsch"]).await;
    assert_eq!((code, data.as_str()), (Some(1), ""));
    assert!(stderr.contains("`batsch`") && stderr.contains("hint: did you mean batch?"), "{stderr}");
}
