//! `--wait`, `--check` and `--watch`: for scripts that continue once a batch is complete and in order, and for people
//! who watch it.

use std::process::Command;

use muster_core::outcome::Code;
use muster_sandbox::specimen::Flaw;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStderr;

use super::missing::{set_queues_empty_for, seven_of_eight};
use super::{send, status};
use crate::factory::{BATCH, Factory, Program};
use crate::ledger::{record, row};

/// Starts to wait for the batch. The line that no worker is running shows that the program has checked.
async fn wait_for(factory: &Factory, arguments: &[&str]) -> (Program, BufReader<ChildStderr>) {
    let mut program = factory.spawn(&[&["status", BATCH, "--wait"], arguments].concat());
    let mut stderr = BufReader::new(program.0.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).await.unwrap();
    assert_eq!(line, "STOPPED: no worker is running\n");
    (program, stderr)
}

/// Returns what a program prints until it exits.
async fn rest_of(mut stderr: BufReader<ChildStderr>) -> String {
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).await.unwrap();
    rest
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_may_start_early_and_stops_with_the_last_outcome() {
    let factory = Factory::new(1000.0).await;
    let waiter = factory.spawn(&["status", BATCH, "--wait"]);
    let pems = factory.leaves(6);
    send(&factory, &pems[..3], 6).await;
    factory.drain().await;
    send(&factory, &pems[3..], 6).await;
    factory.drain().await;
    let (code, text, stderr) = waiter.wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(text.starts_with("batch batch: complete, 6 of 6 certificates have an outcome\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_exits_3_if_a_job_failed() {
    let factory = Factory::new(1000.0).await;
    send(&factory, &[factory.ca.leaf("good"), factory.ca.flawed(Flaw::Expired, "late")], 2).await;
    factory.drain().await;
    assert_eq!(status(&factory, &[BATCH, "--wait"]).await.0, Some(3));
    let (code, _, stderr) = status(&factory, &[BATCH, "--wait", "--check"]).await;
    assert_eq!(code, Some(6));
    assert!(
        stderr.starts_with("problem: 1 failed as expired, for example SN-1: the certificate expired at 2019"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_stops_when_the_rest_is_missing() {
    let factory = seven_of_eight().await;
    set_queues_empty_for(&factory.database, "2 minutes").await;
    let (mut waiter, stderr) = wait_for(&factory, &["--check"]).await;
    assert!(waiter.0.try_wait().unwrap().is_none(), "without a worker, the contents of the queues are unknown");
    let worker = factory.serve().await;
    set_queues_empty_for(&factory.database, "2 minutes").await;
    let (code, text, _) = waiter.wait().await;
    let stderr = rest_of(stderr).await;
    worker.stop().await;
    let missing = "1 missing: announced, no outcome, and the queues have been empty for 2 min";
    assert_eq!(code, Some(6), "{stderr}");
    assert!(stderr.contains(&format!("problem: {missing}")), "{stderr}");
    assert!(text.contains(&format!("batch batch: 7 of 8 certificates have an outcome, {missing}")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_unknown_size_is_over_once_the_queues_stay_empty() {
    let factory = Factory::new(1000.0).await;
    factory.enqueue(&factory.leaves(2)).await;
    factory.drain().await;
    let (waiter, _said) = wait_for(&factory, &[]).await;
    let worker = factory.serve().await;
    set_queues_empty_for(&factory.database, "3 minutes").await;
    assert_eq!(waiter.wait().await.0, Some(0));
    worker.stop().await;
}

/// Premise: two idle minutes made every batch that had just been sent unknown, and the script failed.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_batch_is_waited_for_despite_idle_queues() {
    let factory = seven_of_eight().await;
    let worker = factory.serve().await;
    set_queues_empty_for(&factory.database, "2 hours").await;
    let mut waiter = factory.spawn(&["status", "batsch", "--wait"]);
    let mut stderr = BufReader::new(waiter.0.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).await.unwrap();
    let wanted = "the ledger does not know batch `batsch` yet, waiting for it: did you mean batch?; a batch is known once a \
                  worker has received its first message\n";
    assert_eq!(line, wanted);
    waiter.signal("INT");
    assert_eq!(waiter.0.wait().await.unwrap().code(), Some(130));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_exits_130_when_interrupted() {
    let factory = seven_of_eight().await;
    let (mut program, _said) = wait_for(&factory, &[]).await;
    assert!(program.0.try_wait().unwrap().is_none());
    program.signal("INT");
    assert_eq!(program.wait().await.0, Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_passes_for_a_complete_batch_without_failures() {
    let factory = Factory::new(1000.0).await;
    send(&factory, &factory.leaves(2), 2).await;
    factory.drain().await;
    let (code, text, stderr) = status(&factory, &[BATCH, "--check"]).await;
    let sentence = "nothing is wrong with batch batch: complete, 2 of 2 certificates have an outcome\n";
    assert_eq!((code, stderr.as_str()), (Some(0), sentence));
    assert!(text.starts_with("batch batch: complete"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_a_line_for_each_problem() {
    let factory = Factory::new(1000.0).await;
    let mut differs = row(1, Code::Exists);
    differs.outcome.known_status = None;
    let failures = [row(2, Code::Expired), row(3, Code::Expired), row(4, Code::Deleted), row(5, Code::Paused)];
    record(&factory.ledger, [vec![differs, row(6, Code::Ok)], failures.into()].concat()).await;
    sqlx::query("update batches set announced = 9").execute(&factory.database.pool).await.unwrap();
    let (code, _, stderr) = status(&factory, &[BATCH, "--check"]).await;
    let wanted = "problem: no worker is running; fix: start one with `muster serve`
problem: 3 outstanding: announced, no outcome yet
problem: 2 failed as expired, for example SN-2: detail
problem: 1 failed as deleted, for example SN-4: detail
problem: 1 parked as paused, for example SN-5: detail
problem: 1 at AWS with another status than requested, or an unknown one
";
    assert_eq!((code, stderr.as_str()), (Some(6), wanted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_watched_until_it_is_complete() {
    let factory = Factory::new(1000.0).await;
    let pems = factory.leaves(4);
    send(&factory, &pems[..2], 4).await;
    factory.drain().await;
    let mut program = factory.spawn(&["status", "--watch=100ms", BATCH]);
    let mut out = BufReader::new(program.0.stdout.take().unwrap());
    let mut text = String::new();
    out.read_line(&mut text).await.unwrap();
    let wanted = "batch batch: 2 of 4 certificates have an outcome, 2 outstanding; stopped: no worker is running\n";
    assert_eq!(text, wanted);
    send(&factory, &pems[2..], 4).await;
    factory.drain().await;
    out.read_to_string(&mut text).await.unwrap();
    assert!(text.ends_with("\nbatch batch: complete, 4 of 4 certificates have an outcome\n"), "{text}");
    assert_eq!(program.wait().await.0, Some(0));
}

/// Uses a pseudo-terminal from `script`, if the machine has it.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_a_batch_is_shown_in_place() {
    if Command::new("script").arg("--version").output().is_err() {
        return;
    }
    let factory = Factory::new(1000.0).await;
    send(&factory, &factory.leaves(2), 2).await;
    factory.drain().await;
    let program = factory.command(&["status", "--watch", BATCH]);
    let words: Vec<_> = std::iter::once(program.as_std().get_program())
        .chain(program.as_std().get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut script = tokio::process::Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).stdin(std::process::Stdio::null());
    let output = script.output().await.unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("\u{1b}[H\u{1b}[2Jbatch batch: complete, 2 of 2 certificates have an outcome"), "{shown:?}");
    assert!(shown.contains("2  registered"), "{shown:?}");
    assert!(output.status.success());
}
