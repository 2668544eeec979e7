//! Standard output without a reader, and standard output that cannot be written to: a command still does its work, or
//! does not start it.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use muster::ledger::{Page, Quarantined};
use muster_sandbox::specimen::Flaw;
use time::OffsetDateTime;

use crate::factory::{BATCH, Factory, Program};

/// Every command that prints a result, with arguments that work on the setup below, and its exit code. Commands that
/// change something appear once, after the read-only ones.
const COMMANDS: &[(&[&str], i32)] = &[
    (&["status"], 0),
    (&["status", "--json"], 0),
    (&["status", BATCH, "--rates"], 0),
    (&["status", BATCH, "--check"], 6),
    (&["status", "--watch=1s"], 0),
    (&["show", "SN-1"], 0),
    (&["show", "SN-1", "--json"], 0),
    (&["export", BATCH], 0),
    (&["export", BATCH, "--format=jsonl"], 0),
    (&["report", BATCH], 0),
    (&["report", BATCH, "--json"], 0),
    (&["reconcile", "--target=default", "--dry-run"], 0),
    (&["reconcile", "--target=default", "--dry-run", "--json"], 0),
    (&["holds"], 0),
    (&["dead", "list"], 0),
    (&["dead", "drop", "--all", "--dry-run"], 0),
    (&["quarantine", "list"], 0),
    (&["quarantine", "list", "--json"], 0),
    (&["quarantine", "show", "message-0"], 0),
    (&["ca", "list"], 0),
    (&["ca", "code"], 0),
    (&["doctor"], 0),
    (&["audit"], 0),
    (&["audit", "--json"], 0),
    (&["config", "show"], 0),
    (&["config", "template"], 0),
    (&["migrate"], 0),
    (&["replay", BATCH, "--code=expired", "--dry-run"], 0),
    (&["replay", "list"], 0),
    (&["prune", "--older-than=0s", "--dry-run"], 0),
    (&["enqueue", "--dry-run", "leaf.pem"], 0),
    (&["ca", "register", "cas/plant.pem", "--mode=sni-only", "--dry-run"], 0),
    (&["token", "eva"], 0),
    (&["token", "eva", "--json"], 0),
    (&["demo", "--help"], 0),
];

/// Creates a factory in which every command has something to show.
async fn filled_factory() -> Factory {
    let factory = Factory::new(1000.0).await;
    let mut job = Factory::job(&factory.ca.leaf("one"));
    job.reference = Some("SN-1".parse().unwrap());
    factory.send(&[job.to_body(), Factory::job(&factory.ca.flawed(Flaw::Expired, "late")).to_body()]).await;
    factory.drain().await;
    let message = |i: usize| Quarantined {
        queue: factory.queue.url().to_owned(),
        message_id: format!("message-{i}"),
        reason: "not_json",
        detail: "not JSON".into(),
        body: format!("body {i}"),
        sent_at: OffsetDateTime::now_utc(),
    };
    factory.ledger.record(&Page { quarantined: (0..3).map(message).collect(), ..Page::default() }).await.unwrap();
    std::fs::write(factory.folder().join("leaf.pem"), factory.ca.leaf("two")).unwrap();
    factory
}

/// Returns a pipe whose reader is gone.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// Runs a command; returns its exit code and standard error.
async fn run(factory: &Factory, arguments: &[&str], stdout: Stdio) -> (Option<i32>, String) {
    let mut command = factory.command(arguments);
    let (code, _, stderr) = Program(command.stdout(stdout).spawn().unwrap()).wait().await;
    assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    (code, stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_without_a_reader_exit_as_usual() {
    let factory = filled_factory().await;
    for (arguments, code) in COMMANDS {
        let found = run(&factory, arguments, closed_pipe()).await;
        assert_eq!((found.0, found.1.contains("Broken pipe")), (Some(*code), false), "{arguments:?}: {}", found.1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_cannot_be_written_is_an_error() {
    let factory = filled_factory().await;
    // These print nothing here, or have no other purpose than their output.
    let silent = [&["migrate"][..], &["demo", "--help"], &["enqueue", "--dry-run", "leaf.pem"]];
    for (arguments, _) in COMMANDS.iter().filter(|(arguments, _)| !silent.contains(arguments)) {
        let (code, stderr) = run(&factory, arguments, full_disk()).await;
        assert_eq!(code, Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains("No space left on device"), "{arguments:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_without_a_reader_still_make_their_changes() {
    let factory = filled_factory().await;
    let (code, stderr) = run(&factory, &["quarantine", "drop", "message-0", "--yes"], closed_pipe()).await;
    assert_eq!((code, factory.ledger.quarantined().await.unwrap()), (Some(0), 2), "{stderr}");
    // The exit code reports the failure, and the number of messages left shows what was done.
    let (code, stderr) = run(&factory, &["quarantine", "drop", "message-1", "--yes"], full_disk()).await;
    assert_eq!((code, factory.ledger.quarantined().await.unwrap()), (Some(1), 1), "{stderr}");
    let (code, stderr) = run(&factory, &["enqueue", "--batch=piped", "leaf.pem"], closed_pipe()).await;
    assert_eq!((code, factory.counts("jobs").sent), (Some(0), 3), "{stderr}");
    let (code, stderr) = run(&factory, &["replay", BATCH, "--code=expired", "--yes"], closed_pipe()).await;
    assert_eq!((code, factory.ledger.replays(None, 10).await.unwrap().len()), (Some(0), 1), "{stderr}");
    let (code, stderr) = run(&factory, &["pause", "batch", BATCH], closed_pipe()).await;
    assert_eq!((code, factory.ledger.open_holds().await.unwrap().len()), (Some(0), 1), "{stderr}");
    let (code, stderr) =
        run(&factory, &["prune", BATCH, "--older-than=0s", "--yes", "--force", "--json"], closed_pipe()).await;
    assert_eq!((code, factory.ledger.batch_status(BATCH).await.unwrap().is_none()), (Some(0), true), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_watch_exits_when_its_reader_is_gone() {
    let factory = filled_factory().await;
    let run = run(&factory, &["status", "--watch=1s"], closed_pipe());
    let (code, stderr) = tokio::time::timeout(Duration::from_secs(30), run).await.expect("the command does not exit");
    assert_eq!(code, Some(0), "{stderr}");
}

/// Fails if a new command is missing from the list above.
#[test]
fn every_command_is_tested_without_a_reader() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_muster")).arg("help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: BTreeSet<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    let tried: BTreeSet<&str> = COMMANDS.iter().map(|(arguments, _)| arguments[0]).collect();
    // `page`, `serve` and `sandbox` keep running and print no result; `pause` and `resume` are tested with the commands that
    // change something.
    let others = BTreeSet::from(["help", "page", "pause", "resume", "sandbox", "serve"]);
    assert_eq!(names, &tried | &others);
}
