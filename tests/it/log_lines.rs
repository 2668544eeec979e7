//! What log lines say: words and round numbers, once for each event, and never in Rust's debug forms.

use muster::job::Job;
use muster::sandbox::{self, Effect, Fault, Operation};
use muster::specimen::Ca;

use crate::factory::{Factory, Program, count_only};

fn fault(operation: Operation, status: u16, code: &str) -> Fault {
    let effect = Effect::Error { status, code: code.into(), message: "as ordered".into(), executed: false };
    Fault::new(operation, effect)
}

fn n_receives(factory: &Factory) -> usize {
    factory.sandbox.ledger().summary(Operation::ReceiveMessage).calls
}

/// Stops a worker, and returns what it logged.
async fn log_of(worker: Program) -> String {
    worker.signal("INT");
    let (code, _, log) = worker.end().await;
    assert_eq!(code, Some(0), "{log}");
    log
}

/// Premise: a queue that could not be read filled the log with one and the same line.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_lines_are_collapsed_with_an_exact_count() {
    let factory = Factory::new(1000.0).await;
    factory.sandbox.faults().set(fault(Operation::ReceiveMessage, 403, "AccessDenied")).unwrap();
    let worker = factory.spawn(&["serve"]);
    factory.until("receives fail again and again", async |f| n_receives(f) >= 5).await;
    let log = log_of(worker).await;
    let lines: Vec<_> = log.lines().filter(|line| line.contains("cannot receive messages")).collect();
    let [first, last] = lines[..] else { panic!("not two lines: {log}") };
    assert!(!first.contains("repeated="), "{first}");
    let n: usize = last.rsplit_once("repeated=").unwrap().1.parse().unwrap();
    assert_eq!(n + 1, n_receives(&factory), "{log}");
}

/// Forms in which Rust prints values for programmers.
const DEBUG_FORMS: [&str; 8] = ["Some(", "None", "Name(", "Err(", "Ok(", " { ", "µs", "Error("];

/// Whether a word is a number with more decimals than anybody reads.
fn is_unrounded(word: &str) -> bool {
    let number = word.rsplit(['=', '(']).next().unwrap().trim_end_matches(|c: char| !c.is_ascii_digit());
    let decimals = number.rsplit_once('.').map_or(0, |(_, decimals)| decimals.len());
    decimals > 3 && number.parse::<f64>().is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_plain_through_troubles_of_every_kind() {
    let settings = sandbox::Settings { rates: sandbox::Rates::all(50.0), ..sandbox::Settings::default() };
    let factory = Factory::with(settings, 200.0).await;
    let stranger = Ca::new("Unknown CA");
    let mut jobs: Vec<_> = factory.leaves(60).iter().map(|pem| Factory::job(pem).to_body()).collect();
    jobs.extend([stranger.leaf("one"), stranger.leaf("two")].iter().map(|pem| Factory::job(pem).to_body()));
    let mut exposed: Job = Factory::job(&(factory.ca.leaf("exposed") + &factory.ca.key_pem()));
    exposed.reference = Some("SN-exposed".parse().unwrap());
    jobs.extend([exposed.to_body(), "no job".to_owned()]);
    factory.send(&jobs).await;
    for (operation, status, code) in [
        (Operation::RegisterCertificate, 403, "AccessDeniedException"),
        (Operation::RegisterCertificate, 503, "ServiceUnavailableException"),
        (Operation::ReceiveMessage, 403, "AccessDenied"),
        (Operation::SendMessageBatch, 403, "AccessDenied"),
    ] {
        let fault = Fault { calls: Some(25), seconds: None, ..fault(operation, status, code) };
        factory.sandbox.faults().set(fault).unwrap();
    }
    let worker = factory.spawn(&["serve"]);
    factory.until("all have an outcome or are parked", async |f| f.ends().await.values().sum::<u64>() == 63).await;
    let log = log_of(worker).await;

    for line in log.lines() {
        let form = DEBUG_FORMS.iter().find(|form| line.contains(**form));
        assert!(form.is_none(), "{form:?} in {line}");
        let number = line.split_whitespace().find(|word| is_unrounded(word));
        assert!(number.is_none(), "{number:?} in {line}");
    }
    let exposed = log.lines().find(|line| line.contains("holds a private key")).unwrap_or_else(|| panic!("{log}"));
    for words in ["batch=\"batch\"", "source=\"line-1\"", "ref=\"SN-exposed\""] {
        assert!(exposed.contains(words), "{words} is not in {exposed}");
    }
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

/// Premise: `aws_config` warned in Rust's debug form, beside our own error.
#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_one_plain_error() {
    let factory = Factory::with(count_only(), 100.0).await;
    let mut command = factory.command(&["serve"]);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        command.env_remove(name);
    }
    // Nobody listens there: what should be a metadata service refuses the connection.
    command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9").env("AWS_CONFIG_FILE", "/dev/null");
    let (code, _, log) = Program(command.spawn().unwrap()).end().await;
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("no credentials") && !log.contains("WARN"), "{log}");
    assert!(!DEBUG_FORMS.iter().any(|form| log.contains(form)), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_command_for_people_logs_nothing() {
    let factory = Factory::new(1000.0).await;
    crate::status::send(&factory, &factory.leaves(1), 2).await;
    factory.drain().await;
    for arguments in [&["status", "batch", "--wait"][..], &["status", "--watch"]] {
        let mut program = factory.spawn(arguments);
        let mut out = tokio::io::BufReader::new(program.0.stdout.take().unwrap());
        let mut said = tokio::io::BufReader::new(program.0.stderr.take().unwrap());
        let mut line = String::new();
        // The first word of either shows that it runs.
        tokio::select! {
            read = tokio::io::AsyncBufReadExt::read_line(&mut said, &mut line) => { read.unwrap(); }
            read = tokio::io::AsyncBufReadExt::fill_buf(&mut out) => { read.unwrap(); }
        }
        program.signal("INT");
        tokio::io::AsyncReadExt::read_to_string(&mut said, &mut line).await.unwrap();
        assert_eq!(program.0.wait().await.unwrap().code(), Some(130), "{arguments:?}");
        assert!(!line.contains("INFO") && !line.contains("WARN"), "{line}");
    }
}
