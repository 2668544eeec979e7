//! A ledger with something on every page, long names included.

use std::collections::BTreeMap;
use std::time::Duration;

use muster::ledger::replay::ReplayRequest;
use muster::ledger::{Page, Row};
use muster::operator::replays::{ReplayOrder, ReplayPlan};
use muster_core::hold::{HoldKey, Opening};
use muster_core::outcome::Code;
use muster_core::replay_filter::ReplayFilter;
use muster_sandbox::specimen::Flaw;

use crate::factory::{BATCH, Factory};
use crate::ledger::{page, row};

/// Fills the ledger; returns the path of every page.
pub(super) async fn fill(factory: &Factory) -> Vec<String> {
    let mut pems = factory.leaves(5);
    pems.push(factory.ca.flawed(Flaw::Expired, "late"));
    factory.enqueue(&pems).await;
    factory.drain().await;
    factory.ledger.record(&trouble()).await.unwrap();
    let long = "x".repeat(128);
    let announced = BTreeMap::from([(long.clone(), Some(100_000))]);
    let rows = vec![Row { batch: long.clone(), ..row(9, Code::Ok) }];
    factory.ledger.record(&Page { announced, rows, ..Page::default() }).await.unwrap();
    factory.ledger.pause(&HoldKey::pause_all(), "paused by eva: line 7 is being moved", "eva").await.unwrap();
    let request = ReplayRequest { filter: &timeouts(), verify: false, who: "eva", n_expected: 3 };
    factory.ledger.begin_replay(&request).await.unwrap();
    paths(&plan(factory).await, &certificate(factory).await, &long)
}

/// Failed and parked jobs, with a detail that cannot be wrapped.
fn trouble() -> Page {
    let mut rows: Vec<Row> = (0..3).map(|n| row(n, Code::Timeout)).collect();
    rows.extend((3..6).map(|n| row(n, Code::IssuerInactive)));
    rows.push(row(6, Code::ServerError));
    rows[0].outcome.detail = Some("unbroken".repeat(60));
    rows[0].names.reference = Some("SN".repeat(60));
    let hold = rows[3].outcome.waits_for.clone().unwrap();
    let opening = Opening {
        witness: None,
        is_closed: true,
        subject: None,
        reason: "CertificateStateException: the CA is not active".into(),
        probe_every: Duration::from_mins(1),
    };
    Page { openings: vec![(hold, opening)], ..page(rows) }
}

fn timeouts() -> ReplayFilter {
    ReplayFilter { batches: [BATCH.to_owned()].into(), codes: [Code::Timeout].into(), ..ReplayFilter::default() }
}

async fn plan(factory: &Factory) -> String {
    let order = ReplayOrder {
        batches: [BATCH.parse().unwrap()].into(),
        codes: [Code::ServerError].into(),
        ..ReplayOrder::default()
    };
    ReplayPlan::make(&factory.config, &factory.ledger, &order, "eva").await.unwrap().plan
}

/// Returns the id of a certificate that was registered.
async fn certificate(factory: &Factory) -> String {
    let registered = "select encode(certificate_id, 'hex') from registrations where code = 'ok' and batch = $1 limit 1";
    sqlx::query_scalar(registered).bind(BATCH).fetch_one(&factory.database.pool).await.unwrap()
}

fn paths(plan: &str, certificate: &str, long: &str) -> Vec<String> {
    [
        "/".to_owned(),
        "/?range=day".to_owned(),
        "/batches".to_owned(),
        format!("/batches/{BATCH}"),
        format!("/batches/{long}"),
        format!("/batches/{BATCH}/failures?code=timeout"),
        "/failures".to_owned(),
        "/search".to_owned(),
        format!("/certificates/{certificate}"),
        format!("/certificates/{}", "SN".repeat(60)),
        "/holds".to_owned(),
        "/replays".to_owned(),
        format!("/replays/plans/{plan}"),
        "/replays/1".to_owned(),
        "/cas".to_owned(),
        "/dead-letters".to_owned(),
        "/quarantine".to_owned(),
        "/changes".to_owned(),
        "/audit".to_owned(),
    ]
    .into()
}
