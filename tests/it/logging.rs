//! Whatever happens to standard error, the work is done, a stop is obeyed, and lost lines are counted.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use muster::queue::Attributes;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::factory::{Factory, Program, count_only, queue_attributes};
use crate::program::get;

/// So many jobs that what is logged of them overflows a pipe and the queue behind it.
const N_JOBS: usize = 1200;

/// An address on which nobody listens.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A service that logs much, with a known address.
fn command(factory: &Factory) -> (tokio::process::Command, SocketAddr) {
    let address = free_address();
    let mut command = factory.command(&["serve"]);
    command
        .env("MUSTER__LOG__FILTER", "trace")
        .env("MUSTER__LOG__FORMAT", "json")
        .env("MUSTER__ADMIN__LISTEN", address.to_string())
        .stdout(Stdio::null());
    (command, address)
}

/// A factory with many jobs. What is received stays hidden for long, so that only blocked work would end in a dead letter.
async fn with_many_jobs() -> Factory {
    let attributes = Attributes { visibility_timeout: Duration::from_mins(1), ..queue_attributes() };
    let factory = Factory::with_queue(count_only(), 2000.0, attributes).await;
    factory.enqueue(&factory.leaves(N_JOBS)).await;
    factory
}

/// The value of the counter of lost lines.
async fn n_lost(address: SocketAddr) -> u64 {
    let (_, text) = get(address, "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix("muster_log_lines_lost_total "));
    line.unwrap_or_else(|| panic!("no such metric:\n{text}")).parse().unwrap()
}

/// Waits until every job is done.
async fn all_done(factory: &Factory, n: usize) {
    factory.until("all are deleted", async |f| f.counts("jobs").deleted == n as u64).await;
    assert_eq!(factory.n_calls(), n);
}

/// Stops a service and checks that it obeys.
async fn stop(program: Program) {
    program.signal("TERM");
    let (code, _, _) = program.end().await;
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_disk_costs_log_lines_and_nothing_else() {
    let factory = Factory::new(500.0).await;
    factory.enqueue(&factory.leaves(20)).await;
    let (mut command, address) = command(&factory);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let program = Program(command.stderr(full).spawn().unwrap());
    all_done(&factory, 20).await;
    assert!(n_lost(address).await > 20);
    stop(program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_costs_log_lines_and_nothing_else() {
    let factory = Factory::new(500.0).await;
    factory.enqueue(&factory.leaves(20)).await;
    let (mut command, address) = command(&factory);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let program = Program(command.stderr(writer).spawn().unwrap());
    all_done(&factory, 20).await;
    assert!(n_lost(address).await > 20);
    stop(program).await;
}

/// Rust opens `/dev/null` in place of a standard error that is closed at the start: nothing is lost that could be counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_standard_error_that_was_never_open_harms_nothing() {
    let factory = Factory::new(500.0).await;
    factory.enqueue(&factory.leaves(20)).await;
    let (program, address) = command(&factory);
    let program = program.into_std();
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", r#"exec "$0" "$@" 2>&-"#]).arg(program.get_program()).args(program.get_args());
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).kill_on_drop(true);
    let program = Program(shell.spawn().unwrap());
    all_done(&factory, 20).await;
    assert_eq!(n_lost(address).await, 0);
    stop(program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_blocks_nobody() {
    let factory = with_many_jobs().await;
    let (mut command, address) = command(&factory);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = child.stderr.take().unwrap();
    all_done(&factory, N_JOBS).await;
    assert!(n_lost(address).await > 0);

    // The pipe is still full: the last lines are waited for only so long.
    let program = Program(child);
    stop(program).await;
    drop(log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_reads_again_is_told_how_much_was_lost() {
    let factory = with_many_jobs().await;
    let (mut command, address) = command(&factory);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = child.stderr.take().unwrap();
    all_done(&factory, N_JOBS).await;
    let n_before = n_lost(address).await;

    let mut lines = BufReader::new(log).lines();
    let reading = tokio::spawn(async move {
        let (mut n_reported, mut last) = (0, String::new());
        while let Some(line) = lines.next_line().await.unwrap() {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            n_reported += event["fields"]["lost"].as_u64().unwrap_or(0);
            last = line;
        }
        (n_reported, last)
    });
    let program = Program(child);
    program.signal("TERM");
    let (code, _, _) = program.end().await;
    assert_eq!(code, Some(0));
    let (n_reported, last) = reading.await.unwrap();
    assert!(n_before > 0 && n_reported >= n_before, "{n_reported} of {n_before} were reported, last: {last}");
}

/// Premise: a panic prints its message itself, and would wait for whoever reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_that_cannot_be_printed_costs_no_more_than_its_job() {
    let factory = Factory::new(500.0).await;
    factory.enqueue(&factory.leaves(20)).await;
    let (mut command, address) = command(&factory);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let program = Program(command.env("MUSTER_PANIC_AT", "checked:5").stderr(full).spawn().unwrap());
    factory.until("all are deleted", async |f| f.counts("jobs").deleted == 20).await;
    assert!(n_lost(address).await > 0);
    stop(program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_line_before_an_exit_is_there() {
    let factory = Factory::new(10.0).await;
    let mut command = factory.command(&["serve"]);
    command.env("MUSTER__DATABASE__URL", "postgres://nobody@127.0.0.1:1/none").env("MUSTER__DATABASE__TIMEOUT", "1s");
    let (code, _, log) = Program(command.spawn().unwrap()).end().await;
    assert_eq!(code, Some(5));
    assert!(log.contains("error: cannot reach the ledger") && log.trim_end().contains("\nhint: "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_file_at_the_limit_of_its_size_stops_nothing() {
    let factory = with_many_jobs().await;
    let (command, address) = command(&factory);
    let (program, arguments) = (command.as_std().get_program(), command.as_std().get_args());
    let mut limited = tokio::process::Command::new("sh");
    limited.arg("-c").arg("ulimit -f 8 && exec \"$0\" \"$@\"").arg(program).args(arguments);
    limited.envs(command.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let log = std::fs::File::create(factory.folder().join("serve.log")).unwrap();
    let program = Program(limited.stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn().unwrap());
    all_done(&factory, N_JOBS).await;
    factory.until("lost lines are counted", async |_| n_lost(address).await > 0).await;
    stop(program).await;
}
