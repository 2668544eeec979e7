//! No text from outside can create a log line of its own, in either format.

use muster_sandbox::specimen::Ca;
use muster_sandbox::{ApiOperation, Effect, Fault};
use serde_json::{Value, json};

use crate::factory::{Factory, Program};

/// A line that an attacker wants to see in the log, after various line ends and terminal control characters.
const FORGED: &str =
    "\r\n2026-11-21T12:00:00.000000Z ERROR muster::forged: \u{85}\u{9b}31m\u{1b}[31m\u{7}\u{8}\u{2028}\0 all is well";

/// Returns the most verbose log of a worker while certificates and AWS send such lines.
async fn log(format: &str) -> String {
    let factory = Factory::new(1000.0).await;
    let unknown = Ca::new(&format!("unknown{FORGED}"));
    factory.sandbox.plant_ca(&unknown.pem()).unwrap();
    let effect = |status, code: &str| Effect::Error {
        status,
        code: code.to_owned(),
        message: format!("forged by AWS{FORGED}"),
        executed: false,
    };
    // A fault also counts the calls that another fault struck, so the second call meets the second fault. The SDK
    // itself tries a receive three times.
    for (operation, effect, calls) in [
        (ApiOperation::RegisterCertificate, effect(403, "AccessDeniedException"), 1),
        (ApiOperation::RegisterCertificate, effect(503, "ServiceUnavailableException"), 2),
        (ApiOperation::ReceiveMessage, effect(500, "InternalError"), 20),
    ] {
        factory.sandbox.faults().set(Fault::new(operation, effect).calls(calls)).unwrap();
    }
    factory.enqueue(&[unknown.leaf(&format!("device{FORGED}"))]).await;
    factory.send(&[json!({ FORGED: FORGED }).to_string()]).await;
    let mut command = factory.command(&["serve", "--until-empty"]);
    command.env("MUSTER__LOG__FILTER", "muster=trace").env("MUSTER__LOG__FORMAT", format);
    command.env("MUSTER__BREAKERS__TARGET_PROBE", "100ms");
    let (code, _, log) = Program(command.spawn().unwrap()).wait().await;
    assert_eq!(code, Some(3), "a message was not a job: {log}");
    for expected in ["forged by AWS", "AWS denies the call", "the call did not register", "cannot receive", "unknown"] {
        assert!(log.contains(expected), "the test proves nothing without {expected:?}:\n{log}");
    }
    assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "{log:?}");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_one_line_of_text() {
    for line in log("text").await.lines() {
        let mut words = line.split_whitespace();
        let time = words.next().unwrap_or_default();
        let level = words.next().unwrap_or_default();
        let source = words.next().unwrap_or_default();
        assert!(time.ends_with('Z') && ["DEBUG", "INFO", "WARN", "ERROR"].contains(&level), "{line:?}");
        assert!(source.starts_with("muster::") && source != "muster::forged:", "{line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_one_line_of_json() {
    for line in log("json").await.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not an event: {line:?}"));
        let target = event["target"].as_str().unwrap();
        assert!(target.starts_with("muster::") && target != "muster::forged", "{line}");
        assert!(event["fields"]["message"].is_string(), "{line}");
    }
}
