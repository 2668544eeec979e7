//! Whatever happens to standard error, the work is done, stop signals work, and lost lines are counted. Repeated lines
//! are counted too, and every line is readable for people.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use muster::aws::queue::QueueAttributes;
use muster_core::job::{Job, RegisterCertificate};
use muster_sandbox::specimen::Ca;
use muster_sandbox::{ApiOperation, Effect, Fault};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::factory::{Factory, Program, count_only, queue_attributes};
use crate::program::get;

/// Number of jobs: enough that their log overflows a pipe and the queue behind it.
const N_JOBS: usize = 1200;

/// Returns an address on which nothing listens.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Returns a verbose service with a known address.
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

/// Creates a factory with many jobs. The visibility timeout is long, so a dead letter would mean that the work was
/// blocked.
async fn with_many_jobs() -> Factory {
    let attributes = QueueAttributes { visibility_timeout: Duration::from_mins(1), ..queue_attributes() };
    let factory = Factory::with_queue(count_only(), 2000.0, attributes).await;
    factory.enqueue(&factory.leaves(N_JOBS)).await;
    factory
}

/// Returns the counter of lost lines.
async fn n_lost(address: SocketAddr) -> u64 {
    let (_, text) = get(address, "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix("muster_log_lines_lost_total "));
    line.unwrap_or_else(|| panic!("no such metric:\n{text}")).parse().unwrap()
}

/// Waits until every job is done.
async fn until_all_are_done(factory: &Factory, n: usize) {
    factory.until("all are deleted", async |f| f.counts("jobs").deleted == n as u64).await;
    assert_eq!(factory.n_calls(), n);
}

/// Stops a service and checks its exit code.
async fn stop(program: Program) {
    program.signal("TERM");
    let (code, _, _) = program.wait().await;
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_disk_loses_only_log_lines() {
    let factory = Factory::new(500.0).await;
    factory.enqueue(&factory.leaves(20)).await;
    let (mut command, address) = command(&factory);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let program = Program(command.stderr(full).spawn().unwrap());
    until_all_are_done(&factory, 20).await;
    assert!(n_lost(address).await > 20);
    stop(program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_loses_only_log_lines() {
    let factory = Factory::new(500.0).await;
    factory.enqueue(&factory.leaves(20)).await;
    let (mut command, address) = command(&factory);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let program = Program(command.stderr(writer).spawn().unwrap());
    until_all_are_done(&factory, 20).await;
    assert!(n_lost(address).await > 20);
    stop(program).await;
}

/// Rust opens `/dev/null` in place of a standard error that is closed at startup, so there are no lost lines to count.
#[tokio::test(flavor = "multi_thread")]
async fn a_standard_error_closed_at_startup_does_no_harm() {
    let factory = Factory::new(500.0).await;
    factory.enqueue(&factory.leaves(20)).await;
    let (program, address) = command(&factory);
    let program = program.into_std();
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", r#"exec "$0" "$@" 2>&-"#]).arg(program.get_program()).args(program.get_args());
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).kill_on_drop(true);
    let program = Program(shell.spawn().unwrap());
    until_all_are_done(&factory, 20).await;
    assert_eq!(n_lost(address).await, 0);
    stop(program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_log_reader_blocks_nothing() {
    let factory = with_many_jobs().await;
    let (mut command, address) = command(&factory);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = child.stderr.take().unwrap();
    until_all_are_done(&factory, N_JOBS).await;
    assert!(n_lost(address).await > 0);

    // The pipe is still full: the program waits only a limited time for its last lines.
    let program = Program(child);
    stop(program).await;
    drop(log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_log_reader_learns_how_many_lines_were_lost() {
    let factory = with_many_jobs().await;
    let (mut command, address) = command(&factory);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = child.stderr.take().unwrap();
    until_all_are_done(&factory, N_JOBS).await;
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
    let (code, _, _) = program.wait().await;
    assert_eq!(code, Some(0));
    let (n_reported, last) = reading.await.unwrap();
    assert!(n_before > 0 && n_reported >= n_before, "{n_reported} of {n_before} were reported, last: {last}");
}

/// Premise: a panic prints its message directly, and would wait for the reader.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_that_cannot_be_printed_does_not_stop_the_worker() {
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
async fn the_last_line_before_an_exit_is_written() {
    let factory = Factory::new(10.0).await;
    let mut command = factory.command(&["serve"]);
    command.env("MUSTER__DATABASE__URL", "postgres://nobody@127.0.0.1:1/none").env("MUSTER__DATABASE__TIMEOUT", "1s");
    let (code, _, log) = Program(command.spawn().unwrap()).wait().await;
    assert_eq!(code, Some(5));
    assert!(log.contains("error: cannot reach the ledger") && log.trim_end().contains("\nhint: "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_file_at_its_size_limit_stops_nothing() {
    let factory = with_many_jobs().await;
    let (command, address) = command(&factory);
    let (program, arguments) = (command.as_std().get_program(), command.as_std().get_args());
    let mut limited = tokio::process::Command::new("sh");
    limited.arg("-c").arg("ulimit -f 8 && exec \"$0\" \"$@\"").arg(program).args(arguments);
    limited.envs(command.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let log = std::fs::File::create(factory.folder().join("serve.log")).unwrap();
    let program = Program(limited.stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn().unwrap());
    until_all_are_done(&factory, N_JOBS).await;
    factory.until("lost lines are counted", async |_| n_lost(address).await > 0).await;
    stop(program).await;
}

fn error(code: &str, status: u16) -> Effect {
    Effect::Error { status, code: code.into(), message: "as ordered".into(), executed: false }
}

/// Returns how many lines a line stands for: its `repeated` field, or 1.
fn n_lines(line: &str) -> usize {
    line.rsplit_once(" repeated=").map_or(1, |(_, n)| n.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_receive_failures_are_a_few_lines_with_an_exact_count() {
    let factory = Factory::new(1000.0).await;
    let program = factory.spawn(&["serve"]);
    let n_calls = |f: &Factory| f.sandbox.ledger().summary(ApiOperation::ReceiveMessage).calls;
    factory.until("the worker receives", async |f| n_calls(f) > 0).await;
    factory.sandbox.faults().set(Fault::new(ApiOperation::ReceiveMessage, error("AccessDenied", 403))).unwrap();
    let n_denied = |f: &Factory| {
        let answers = f.sandbox.ledger().summary(ApiOperation::ReceiveMessage).answers;
        answers.get("AccessDenied").copied().unwrap_or_default()
    };
    factory.until("receives are denied", async |f| n_denied(f) >= 5).await;
    program.signal("TERM");
    let (code, _, log) = program.wait().await;
    assert_eq!(code, Some(0), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("cannot receive messages")).collect();
    assert_eq!(lines.iter().copied().map(n_lines).sum::<usize>(), n_denied(&factory), "{log}");
    assert!((2..=3).contains(&lines.len()) && lines[1].contains(" repeated="), "{log}");
}

/// Fails if a text contains something that only programmers understand: a debug format, a number with many digits.
fn assert_plain(text: &str) {
    for line in text.lines() {
        // Ignore the timestamp, whose seconds have six decimals.
        let line = line.split_once("Z ").map_or(line, |(_, line)| line);
        for form in ["Some(", "None", "Name(", "Err(", "Ok(", " { ", "Error(", "kind: "] {
            assert!(!line.contains(form), "{form} in {line}\n\n{text}");
        }
        assert!(!has_many_decimals(line) && !has_small_unit(line), "{line}\n\n{text}");
    }
}

/// Returns whether there is a number of at least 1 with four or more decimals.
fn has_many_decimals(line: &str) -> bool {
    line.match_indices('.').any(|(at, _)| {
        let is_digit = |c: &char| c.is_ascii_digit();
        let is_from_one = line[..at].chars().rev().take_while(is_digit).any(|digit| digit != '0');
        is_from_one && line[at + 1..].chars().take_while(is_digit).count() >= 4
    })
}

/// Returns whether there is a duration in nanoseconds or microseconds.
fn has_small_unit(line: &str) -> bool {
    let is_span = |(at, _): (usize, &str)| line[..at].ends_with(|c: char| c.is_ascii_digit());
    line.match_indices("ns").any(is_span) || line.match_indices("µs").any(is_span)
}

/// Returns a job that also contains the private key.
fn job_with_private_key(factory: &Factory) -> String {
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
    let certificate_pem = key.to_owned() + &factory.ca.leaf("device");
    let request = RegisterCertificate { certificate_pem, ..RegisterCertificate::default() };
    Job { reference: Some("device-7".parse().unwrap()), ..Factory::job_of(request) }.to_body()
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_are_logged_in_plain_language() {
    let factory = Factory::new(200.0).await;
    let short = Duration::from_secs(2);
    for fault in [
        // A fault also counts the calls that another fault struck.
        Fault::new(ApiOperation::RegisterCertificate, error("AccessDeniedException", 403)).calls(2),
        Fault::new(ApiOperation::RegisterCertificate, Effect::Throttle).calls(12),
        Fault::new(ApiOperation::RegisterCertificate, error("ServiceUnavailableException", 503)).during(short),
        Fault::new(ApiOperation::ReceiveMessage, Effect::Reset { executed: false }).calls(2),
        Fault::new(ApiOperation::ReceiveMessage, error("AccessDenied", 403)).calls(2),
        Fault::new(ApiOperation::DeleteMessageBatch, error("InternalError", 500)).calls(2),
    ] {
        factory.sandbox.faults().set(fault).unwrap();
    }
    let program = factory.spawn(&["serve"]);
    factory.enqueue(&factory.leaves(30)).await;
    factory.send(&[job_with_private_key(&factory), "{\"no\": \"job\"}".to_owned()]).await;
    factory.enqueue(&[Ca::new("A CA that nobody registered").leaf("device")]).await;
    factory.until("all are deleted", async |f| f.counts("jobs").deleted == 33).await;
    program.signal("INT");
    let (code, _, log) = program.wait().await;
    assert_eq!(code, Some(0), "{log}");
    assert_plain(&log);
    let of_key: Vec<&str> = log.lines().filter(|line| line.contains("private key")).collect();
    let parts = [r#"batch="batch""#, r#"source="line-1""#, r#"ref="device-7""#];
    assert!(of_key.len() == 1 && parts.iter().all(|part| of_key[0].contains(part)), "{log}");
    assert!(!log.contains("MC4CAQ") && !log.contains("BEGIN"), "{log}");
    for part in ["AWS denies the call", "a message is not a job", "cannot receive messages", "stopping"] {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_reported_in_plain_language() {
    let factory = Factory::new(10.0).await;
    let config = factory.folder().join("aws-config");
    let run = async |text: &str, profile: &str, arguments: &[&str]| {
        std::fs::write(&config, text).unwrap();
        let mut command = factory.command(arguments);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("AWS_CONFIG_FILE", &config).env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.env("AWS_PROFILE", profile).env("AWS_EC2_METADATA_DISABLED", "true");
        let (code, stdout, log) = Program(command.spawn().unwrap()).wait().await;
        assert_ne!(code, Some(0), "{log}");
        stdout + &log
    };
    let broken_role = "[default]\nrole_arn = arn:aws:iam::123456789012:role/a\nsource_profile = absent\n";
    for (text, profile) in [
        ("", "default"),
        ("[default]\n", "absent"),
        ("[default]\ncredential_process = false\n", "default"),
        (broken_role, "default"),
        ("no profile\n", "default"),
    ] {
        for command in ["doctor", "serve"] {
            let output = run(text, profile, &[command]).await;
            assert_plain(&output);
            assert!(!output.contains("aws_config"), "{output}");
        }
    }
}

/// Runs a command that waits for an answer that never comes; returns its exit code after two signals, and its output.
async fn interrupted_twice(factory: &Factory, operation: ApiOperation, arguments: &[&str]) -> (Option<i32>, String) {
    factory.sandbox.faults().set(Fault::new(operation, Effect::Hang { executed: false })).unwrap();
    let n_before = factory.sandbox.ledger().summary(operation).calls;
    let mut program = factory.spawn(arguments);
    factory.until("the command calls", async |f| f.sandbox.ledger().summary(operation).calls > n_before).await;
    program.signal("INT");
    // Wait until the first signal is handled, so that the second is not merged with it.
    let exited = tokio::time::timeout(Duration::from_millis(500), program.0.wait()).await;
    assert!(exited.is_err(), "the test proves nothing if one signal stops the command");
    program.signal("INT");
    let began = std::time::Instant::now();
    let (code, _, stderr) = program.wait().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    factory.sandbox.faults().clear_all();
    (code, stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_stops_a_command_at_once() {
    let factory = Factory::new(10.0).await;
    std::fs::write(factory.folder().join("bundle.pem"), factory.leaves(3).concat()).unwrap();
    for (operation, arguments) in
        [(ApiOperation::SendMessageBatch, ["enqueue", "bundle.pem"]), (ApiOperation::ReceiveMessage, ["dead", "list"])]
    {
        let (code, stderr) = interrupted_twice(&factory, operation, &arguments).await;
        assert_eq!(code, Some(130), "{stderr}");
        assert!(!stderr.contains("INFO") && !stderr.contains("WARN"), "{stderr}");
    }
}
