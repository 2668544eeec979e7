//! The ledger on a real Postgres: every statement, and the rules that hold in any order of events.

mod authorities;
mod batches;
mod bulk_changes;
mod commit;
mod history;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster::ledger::audit::AuditAction;
use muster::ledger::row::{Names, Row, RowOutcome};
use muster::ledger::{Ledger, LedgerError, Page, Quarantined};
use muster_core::account::Account;
use muster_core::certificate::CertificateId;
use muster_core::hold::{HoldKey, Opening};
use muster_core::job::{CertificateStatus, Operation};
use muster_core::outcome::{Attempt, Code, Status};
use serde_json::{Value, json};
use strum::VariantArray;
use time::OffsetDateTime;
use tokio::sync::Barrier;

use crate::database::Database;

const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-west-1";

/// Returns a row with an outcome for the certificate with the given number.
pub(crate) fn row(n: u32, code: Code) -> Row {
    let mut subject = [0; 32];
    subject[..4].copy_from_slice(&n.to_be_bytes());
    let now = OffsetDateTime::now_utc();
    let is_success = code.status().is_success();
    let attempts = match code.status() {
        Status::Registered => {
            vec![Attempt { at: now, result: "ok".into(), request_id: Some("r".into()), ms: 7 }]
        }
        _ => vec![],
    };
    Row {
        batch: "batch".into(),
        target: "default".into(),
        operation: Operation::RegisterCertificate,
        subject,
        account: ACCOUNT.into(),
        region: REGION.into(),
        certificate_id: Some(CertificateId(subject)),
        serial: Some(n.to_be_bytes().to_vec()),
        certificate: is_success.then(|| vec![0x30, 0]),
        names: Names { reference: Some(format!("SN-{n}")), source: Some("line-1".into()) },
        message_id: format!("message-{n}"),
        outcome: RowOutcome {
            code,
            detail: Some("detail".into()),
            wanted_status: CertificateStatus::Active,
            known_status: is_success.then_some(CertificateStatus::Active),
            request: (!is_success).then(|| r#"{"certificatePem":"pem"}"#.into()),
            waits_for: (code.status() == Status::Parked).then(|| HoldKey::read("batch:batch".into())),
            verify: false,
            resent_at: None,
            sent_at: now,
            received_at: now,
            ended_at: now,
        },
        n_attempts: attempts.len(),
        attempts,
        n_duplicates: 0,
        other_names: vec![],
    }
}

pub(crate) fn page(rows: Vec<Row>) -> Page {
    Page { announced: BTreeMap::from([("batch".to_owned(), None)]), rows, ..Page::default() }
}

pub(crate) async fn record(ledger: &Ledger, rows: Vec<Row>) {
    ledger.record(&page(rows)).await.unwrap();
}

/// Returns the counts of the batch by code.
async fn counts(ledger: &Ledger) -> BTreeMap<Code, u64> {
    let batch = ledger.batch_status("batch").await.unwrap().unwrap();
    batch.counts.iter().map(|count| (count.code, count.n)).collect()
}

/// Asserts invariant I9: the counters equal a count of the rows.
pub(crate) async fn assert_counters_equal_the_rows(database: &Database) {
    let differences: i64 = sqlx::query_scalar(
        "select count(*)
        from (
            select batch, coalesce(source, '') as source, status, code, count(*) as n,
                count(*) filter (where status_differs) as n_status_differs
            from registrations
            group by 1, 2, 3, 4
        ) as rows
        full join (select * from batch_counters where n > 0) as counters using (batch, source, status, code)
        where rows.n is distinct from counters.n
            or rows.n_status_differs is distinct from counters.n_status_differs",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!(differences, 0, "the counters differ from the rows");
}

#[tokio::test]
async fn an_outcome_is_read_back_as_written() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![row(1, Code::Expired), row(2, Code::Ok)]).await;
    let (status, code, detail, request, source, reference): (String, String, String, String, String, String) =
        sqlx::query_as("select status, code, detail, request::text, source, ref from registrations where code <> 'ok'")
            .fetch_one(&database.pool)
            .await
            .unwrap();
    assert_eq!((status.as_str(), code.as_str(), detail.as_str()), ("rejected", "expired", "detail"));
    assert_eq!((request.as_str(), source.as_str()), (r#"{"certificatePem":"pem"}"#, "line-1"));
    assert_eq!(reference, "SN-1");
    let (id, attempts): (Vec<u8>, serde_json::Value) =
        sqlx::query_as("select certificate_id, attempts from registrations where code = 'ok'")
            .fetch_one(&database.pool)
            .await
            .unwrap();
    assert_eq!(id, row(2, Code::Ok).subject);
    assert_eq!((attempts[0]["result"].as_str(), attempts[0]["request_id"].as_str()), (Some("ok"), Some("r")));
    assert_counters_equal_the_rows(&database).await;
}

/// One code of each status; unit tests check the rule for all codes.
const CODES: [Code; 6] =
    [Code::Ok, Code::Exists, Code::Expired, Code::InvalidRequest, Code::Timeout, Code::IssuerInactive];

#[tokio::test]
async fn a_worse_outcome_never_replaces_a_better_one() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    for first in CODES {
        for second in CODES {
            sqlx::query("truncate registrations, batch_counters").execute(&database.pool).await.unwrap();
            record(&ledger, vec![row(1, first)]).await;
            record(&ledger, vec![row(1, second)]).await;
            let best = first.status().rank().max(second.status().rank());
            let counts = counts(&ledger).await;
            let (code, n) = counts.iter().next().unwrap();
            assert_eq!((counts.len(), *n, code.status().rank()), (1, 1, best), "{first} then {second}");
            let waits: bool = sqlx::query_scalar("select waits_for is not null from registrations")
                .fetch_one(&database.pool)
                .await
                .unwrap();
            assert_eq!(waits, code.status() == Status::Parked, "{first} then {second}");
            assert_counters_equal_the_rows(&database).await;
        }
    }
}

/// Older versions recorded some codes with another status than today. Such rows are counted by their recorded status.
#[tokio::test]
async fn rows_of_older_versions_keep_their_recorded_status_in_counters() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![row(1, Code::IssuerInactive), row(2, Code::IssuerInactive)]).await;
    for old in [
        "update registrations set status = 'exhausted', waits_for = null",
        "update batch_counters set status = 'exhausted'",
    ] {
        sqlx::query(old).execute(&database.pool).await.unwrap();
    }
    let batch = ledger.batch_status("batch").await.unwrap().unwrap();
    assert_eq!((batch.finished(), batch.parked()), (2, 0), "the recorded status was final");
    record(&ledger, vec![row(1, Code::Ok), row(2, Code::IssuerInactive)]).await;
    assert_counters_equal_the_rows(&database).await;
    let batch = ledger.batch_status("batch").await.unwrap().unwrap();
    assert_eq!((batch.finished(), batch.parked()), (1, 1));
}

/// A worker of an older version does not clear `waits_for`: rows that it leaves in this state must not be resent.
#[tokio::test]
async fn a_success_written_by_an_older_version_does_not_wait() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![row(1, Code::BatchFailing)]).await;
    sqlx::query("update registrations set status = 'already_registered', code = 'exists', request = null")
        .execute(&database.pool)
        .await
        .unwrap();
    let hold = HoldKey::read("batch:batch".into());
    assert!(ledger.waiting(&hold, None, 10).await.unwrap().is_empty());
    assert!(ledger.finish(&hold).await.unwrap());
    assert!(ledger.holds_report().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_duplicate_with_another_name_is_kept_and_counted() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![row(1, Code::Ok)]).await;
    let names = Names { reference: Some("SN-other".into()), source: Some("line-2".into()) };
    let duplicate = Row { names, message_id: "another".into(), ..row(1, Code::Known) };
    record(&ledger, vec![duplicate]).await;
    let (n, names): (i32, serde_json::Value) =
        sqlx::query_as("select n_duplicates, other_names from registrations").fetch_one(&database.pool).await.unwrap();
    assert_eq!((n, names), (1, serde_json::json!([{ "ref": "SN-other", "source": "line-2" }])));
    assert_eq!(counts(&ledger).await, BTreeMap::from([(Code::Ok, 1)]));
}

#[tokio::test]
async fn writing_the_same_page_again_changes_no_count() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let rows = vec![row(1, Code::Ok), row(2, Code::Expired), row(3, Code::Exists)];
    for _ in 0..3 {
        record(&ledger, rows.clone()).await;
    }
    assert_eq!(counts(&ledger).await, BTreeMap::from([(Code::Ok, 1), (Code::Expired, 1), (Code::Exists, 1)]));
    assert_counters_equal_the_rows(&database).await;
}

#[tokio::test]
async fn only_successes_of_this_account_and_region_are_known() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let elsewhere = Row { region: "us-east-1".into(), target: "us".into(), ..row(4, Code::Ok) };
    record(&ledger, vec![row(1, Code::Ok), row(2, Code::Exists), row(3, Code::Timeout), elsewhere]).await;
    let ids: Vec<_> = (1..=5).map(|n| CertificateId(row(n, Code::Ok).subject)).collect();
    let known = ledger.known(ACCOUNT, REGION, Operation::RegisterCertificate, &ids).await.unwrap();
    let mut found: Vec<_> = known.keys().copied().collect();
    found.sort();
    assert_eq!(found, ids[..2]);
    assert_eq!(known[&ids[0]], Some(CertificateStatus::Active));
}

#[tokio::test]
async fn a_target_never_changes_its_account_or_region() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    for _ in 0..2 {
        ledger.claim_target("default", ACCOUNT, REGION).await.unwrap();
    }
    let known = Account { id: ACCOUNT.to_owned(), region: REGION.to_owned() };
    assert_eq!(ledger.account_of_target("default").await.unwrap(), Some(known));
    assert_eq!(ledger.account_of_target("other").await.unwrap(), None);
    let changed = ledger.claim_target("default", ACCOUNT, "us-east-1").await;
    assert!(matches!(changed, Err(LedgerError::TargetChanged { .. })), "{changed:?}");
    let changed = ledger.claim_target("default", "000000000000", REGION).await;
    assert!(matches!(changed, Err(LedgerError::TargetChanged { .. })), "{changed:?}");
}

#[tokio::test]
async fn a_quarantined_body_is_stored_unchanged_and_once() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let message = Quarantined {
        queue: "http://queue".into(),
        message_id: "m".into(),
        reason: "not_json",
        detail: "NUL \0 in a detail".into(),
        body: "no job \u{1f980}".into(),
        sent_at: OffsetDateTime::now_utc(),
    };
    for _ in 0..2 {
        ledger.record(&Page { quarantined: vec![message.clone()], ..Page::default() }).await.unwrap();
    }
    assert_eq!(ledger.quarantined().await.unwrap(), 1);
    let body: Vec<u8> = sqlx::query_scalar("select body from quarantine").fetch_one(&database.pool).await.unwrap();
    assert_eq!(body, message.body.as_bytes());
}

#[tokio::test]
async fn hostile_text_is_stored_and_not_executed() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    // A NUL, and the six characters of its JSON escape, which are harmless as text.
    let text = "'; drop table registrations; -- \0 \\u0000 \u{202e} =cmd|' /C calc'!A0 <script>";
    let mut hostile = row(1, Code::ServerError);
    hostile.outcome.detail = Some(text.into());
    hostile.outcome.request = Some(serde_json::json!({ "certificatePem": text }).to_string());
    hostile.attempts =
        vec![Attempt { at: OffsetDateTime::now_utc(), result: text.into(), request_id: Some(text.into()), ms: 1 }];
    record(&ledger, vec![hostile.clone()]).await;
    // Recording it again also reads it back.
    record(&ledger, vec![hostile]).await;
    let detail: String =
        sqlx::query_scalar("select detail from registrations").fetch_one(&database.pool).await.unwrap();
    let stored = text.replace('\0', "\u{fffd}");
    assert_eq!(detail, stored);
    let attempts: Value =
        sqlx::query_scalar("select attempts from registrations").fetch_one(&database.pool).await.unwrap();
    assert_eq!((&attempts[0]["result"], &attempts[1]["request_id"]), (&json!(stored), &json!(stored)));
}

/// Every text column that outside input can reach accepts a NUL and text that looks like its escape. Other columns hold
/// names (ASCII without NUL), words from closed sets, or identifiers of Postgres and AWS.
#[tokio::test]
async fn no_nul_reaches_a_text_column() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let text = "a\0b\\u0000";
    let mut parked = row(1, Code::IssuerInactive);
    (parked.outcome.detail, parked.other_names) =
        (Some(text.into()), vec![Names { reference: Some(text.into()), source: Some(text.into()) }]);
    parked.outcome.request = Some(json!({ "certificatePem": text }).to_string());
    parked.attempts =
        vec![Attempt { at: OffsetDateTime::now_utc(), result: text.into(), request_id: Some(text.into()), ms: 1 }];
    let hold = parked.outcome.waits_for.clone().unwrap();
    let opening = Opening {
        witness: None,
        is_closed: true,
        subject: None,
        reason: text.into(),
        probe_every: Duration::from_mins(1),
    };
    let quarantined = Quarantined {
        queue: "http://queue".into(),
        message_id: "m".into(),
        reason: "not_json",
        detail: text.into(),
        body: text.into(),
        sent_at: OffsetDateTime::now_utc(),
    };
    let page = Page { openings: vec![(hold, opening)], quarantined: vec![quarantined], ..page(vec![parked]) };
    ledger.record(&page).await.unwrap();
    let action = AuditAction { who: text, action: "replay", what: text, detail: json!({ text: text }) };
    ledger.audit(&action).await.unwrap();
    let stored: Vec<String> = sqlx::query_scalar(
        "select detail from registrations
        union all select attempts -> 0 ->> 'result' from registrations
        union all select other_names -> 0 ->> 'ref' from registrations
        union all select reason from holds
        union all select detail from quarantine
        union all select who from audit
        union all select what from audit
        union all select jsonb_object_keys(detail) from audit",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(stored, vec!["a\u{fffd}b\\u0000"; 8]);
    let bodies: (Vec<u8>, String) = sqlx::query_as("select body, request::text from quarantine, registrations")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(
        bodies,
        (text.as_bytes().to_vec(), json!({ "certificatePem": text }).to_string()),
        "these are stored unchanged"
    );
}

#[tokio::test]
async fn constraints_reject_invalid_rows() {
    let database = Database::fresh().await;
    record(&database.ledger().await, vec![row(1, Code::Ok)]).await;
    for (change, constraint) in [
        ("status = 'parked somewhere', certificate = null", "status_is_known"),
        ("status = 'gone', code = 'deleted'", "only_a_good_end_keeps_the_certificate"),
        ("certificate_id = null", "good_end_names_its_certificate"),
        ("request = '{}'", "good_end_drops_its_request"),
        ("status = 'parked', code = 'issuer_inactive', certificate = null", "parked_keeps_its_request"),
        ("n_attempts = 0", "registering_costs_a_call"),
        ("subject = '\\x00'", "subject_has_32_bytes"),
    ] {
        let update = sqlx::AssertSqlSafe(format!("update registrations set {change}"));
        let error = sqlx::query(update).execute(&database.pool).await.expect_err(change);
        let found = error.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
        assert_eq!(found.as_deref(), Some(constraint));
    }
}

#[tokio::test]
async fn every_table_and_column_has_a_comment() {
    let database = Database::fresh().await;
    let uncommented: Vec<String> = sqlx::query_scalar(
        "select c.relname || '.' || coalesce(a.attname, '')
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and c.relname <> '_sqlx_migrations'
            and (col_description(c.oid, a.attnum) is null or obj_description(c.oid) is null)",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(uncommented, Vec::<String>::new());
}

/// Two recorders repeatedly write the same keys in opposite order, with changing outcomes: neither may wait for the
/// other forever, and no count may be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_recorders_with_the_same_keys_neither_deadlock_nor_miscount() {
    const ROUNDS: u32 = 30;
    const KEYS: u32 = 400;
    const FRESH: u32 = 200;
    let database = Database::fresh().await;
    let barrier = Arc::new(Barrier::new(2));
    let write = |ledger: Ledger, reversed: bool| {
        let barrier = Arc::clone(&barrier);
        async move {
            for round in 0..ROUNDS {
                // Keys that exist from the first round on, and keys that are new in this round.
                let fresh = 10_000 + round * FRESH;
                let code = |n: u32| Code::VARIANTS[(round * 7 + n * 3) as usize % Code::VARIANTS.len()];
                let mut rows: Vec<Row> = (0..KEYS).chain(fresh..fresh + FRESH).map(|n| row(n, code(n))).collect();
                if reversed {
                    rows.reverse();
                }
                barrier.wait().await;
                ledger.record(&page(rows)).await.unwrap();
            }
        }
    };
    let mut recorders = tokio::task::JoinSet::new();
    recorders.spawn(write(database.ledger().await, false));
    recorders.spawn(write(database.ledger().await, true));
    while let Some(joined) = recorders.join_next().await {
        joined.unwrap();
    }
    assert_counters_equal_the_rows(&database).await;
    let n: u64 = counts(&database.ledger().await).await.values().sum();
    assert_eq!(n, u64::from(KEYS + ROUNDS * FRESH));
}
