//! The process dies at a given crash point; another one finishes the work, and nothing is lost or repeated.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::process::Command;

use muster_core::certificate::CertificateId;
use muster_core::outcome::Code;
use muster_sandbox::{ApiOperation, Effect, Fault};
use tokio::task::JoinSet;

use crate::factory::{Factory, Program};

/// The crash points, and the occurrence at which the process dies: some jobs are then before the point and some after
/// it.
const POINTS: [&str; 7] =
    ["received:15", "checked:15", "token:15", "answered:15", "before_commit:2", "committed:2", "deleted_ten:2"];

/// Number of jobs.
const N: usize = 60;

/// Returns how often AWS was called for each certificate.
fn calls(factory: &Factory) -> HashMap<CertificateId, usize> {
    let mut calls = HashMap::new();
    for call in factory.sandbox.ledger().calls() {
        if let Some(id) = call.certificate_id.filter(|_| call.operation == ApiOperation::RegisterCertificate) {
            *calls.entry(id).or_default() += 1;
        }
    }
    calls
}

/// Returns the certificates with a committed success.
async fn committed(factory: &Factory) -> HashSet<CertificateId> {
    let ids: Vec<Vec<u8>> =
        sqlx::query_scalar("select subject from registrations").fetch_all(&factory.database.pool).await.unwrap();
    ids.into_iter().map(|id| CertificateId(id.try_into().unwrap())).collect()
}

/// Finishes the work after a crash, and checks that the result is the same as without a crash.
async fn finish(factory: &Factory, point: &str) {
    let (done, calls_before) = (committed(factory).await, calls(factory));
    let (code, _, log) = factory.spawn(&["serve", "--until-empty"]).wait().await;
    assert_eq!(code, Some(0), "{point}: {log}");

    let outcomes = factory.outcomes().await;
    assert_eq!(outcomes.values().sum::<u64>(), N as u64, "{point}: {outcomes:?}");
    assert!(outcomes.keys().all(|code| code.status().is_success()), "{point}: {outcomes:?}");
    assert_eq!((factory.sandbox.ledger().n_certificates(), committed(factory).await.len()), (N, N), "{point}");
    for (id, n) in calls(factory) {
        assert!(n <= 2, "{point}: {n} calls for one certificate after one crash");
        assert!(
            !done.contains(&id) || n == calls_before[&id],
            "{point}: a call for a certificate with a recorded success"
        );
    }
    assert_eq!(counted_rows(factory).await, outcomes, "{point}: the counters equal the rows");
    let counts = factory.counts("jobs");
    assert_eq!((counts.deleted, factory.counts("jobs-dead").sent), (N as u64, 0), "{point}");
}

async fn counted_rows(factory: &Factory) -> BTreeMap<Code, u64> {
    let rows: Vec<(String, i64)> = sqlx::query_as("select code, count(*) from registrations group by code")
        .fetch_all(&factory.database.pool)
        .await
        .unwrap();
    rows.into_iter().map(|(code, n)| (code.parse().unwrap(), n.try_into().unwrap())).collect()
}

async fn crash_at(point: &str) {
    let factory = Factory::new(200.0).await;
    factory.enqueue(&factory.leaves(N)).await;
    let program = Program(factory.command(&["serve"]).env("MUSTER_CRASH_AT", point).spawn().unwrap());
    let (code, _, log) = program.wait().await;
    assert_eq!(code, None, "{point}: the process did not crash\n{log}");
    finish(&factory, point).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_loses_nothing_and_repeats_no_recorded_call() {
    let mut crashes = JoinSet::new();
    for point in POINTS {
        crashes.spawn(crash_at(point));
    }
    crashes.join_all().await;
}

/// Premise: the sandbox delays its answers, so the kill happens while requests are in flight.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_during_a_call_loses_nothing() {
    for executed in [true, false] {
        let factory = Factory::new(200.0).await;
        let hang = Fault::new(ApiOperation::RegisterCertificate, Effect::Hang { executed });
        factory.sandbox.faults().set(hang).unwrap();
        factory.enqueue(&factory.leaves(N)).await;
        let program = factory.spawn(&["serve"]);
        factory.until("calls are in flight", async |f| f.n_calls() >= 10).await;
        program.signal("KILL");
        assert_eq!(program.wait().await.0, None);
        factory.sandbox.faults().clear_all();
        finish(&factory, "sent").await;
    }
}

/// Compiles the crash point file on its own, as a build with or without debug assertions does.
fn compile(folder: &Path, assertions: &str) -> std::path::PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/runtime/crash_point.rs");
    let main = folder.join("main.rs");
    let text = format!("#[path = {source:?}] mod crash_point; fn main() {{ crash_point::reached(\"here\"); }}");
    std::fs::write(&main, text).unwrap();
    let program = folder.join(assertions);
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut rustc = Command::new(rustc);
    rustc.args(["--edition", "2024", "-C", &format!("debug-assertions={assertions}"), "-o"]);
    assert!(rustc.arg(&program).arg(&main).status().unwrap().success());
    program
}

#[test]
fn a_release_binary_has_no_crash_points() {
    let folder = tempfile::tempdir().unwrap();
    for (assertions, survives) in [("on", false), ("off", true)] {
        let program = compile(folder.path(), assertions);
        let status = Command::new(program).env("MUSTER_CRASH_AT", "here").status().unwrap();
        assert_eq!(status.success(), survives, "debug assertions {assertions}: {status}");
    }
}
