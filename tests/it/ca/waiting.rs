//! What operators see while jobs wait for a CA: its name, and the command that fixes it, wherever a hold is shown.

use std::time::Duration;

use muster_core::outcome::Code;
use muster_sandbox::specimen::Ca;
use serde_json::{Value, json};

use super::Setup;
use crate::factory::Factory;

const FIX: &str = "muster ca register CA.pem --key CA.key --activate";

/// A name that tries to control a terminal and to forge a log line.
const HOSTILE: &str = "Plant\u{1b}[2J\nERROR \"forged\"\u{202e}";

/// How the name is shown, quoted in a title.
const SHOWN: &str = "CN=Plant\\u{1b}[2J\\u{a}ERROR \\\"forged\\\"\\u{202e}";

/// Parks three jobs of a CA that is not registered.
async fn with_parked_jobs(name: &str) -> Setup {
    let mut setup = Setup { ca: Ca::new(name), ..Setup::new().await };
    setup.factory.config.breakers.issuer_probe = Duration::from_hours(1).into();
    setup.factory.enqueue(&[setup.ca.leaf("1"), setup.ca.leaf("2"), setup.ca.leaf("3")]).await;
    setup
}

async fn until_all_are_parked(factory: &Factory) {
    factory.until("all are parked", async |f| f.outcomes().await.into_iter().eq([(Code::IssuerInactive, 3)])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_and_readyz_name_the_ca_and_the_command_that_registers_it() {
    let setup = with_parked_jobs("Plant 3 CA").await;
    let serving = setup.factory.serve().await;
    until_all_are_parked(&setup.factory).await;
    let (code, stdout, stderr) = setup.factory.spawn(&["holds"]).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    let title = "CA \"CN=Plant 3 CA\" is not registered or not active (target default)";
    assert!(stdout.starts_with(&format!("{title}\n    held since ")), "{stdout}");
    let (_, stdout_json, _) = setup.factory.spawn(&["holds", "--json"]).wait().await;
    let holds: Value = serde_json::from_str(&stdout_json).unwrap();
    let hold = &holds[0];
    assert_eq!((&hold["subject"], &hold["title"]), (&json!("CN=Plant 3 CA"), &json!(title)));
    assert_eq!((&hold["fix"], &hold["n_waiting"]), (&json!(FIX), &json!(3)));
    let key = hold["hold"].as_str().unwrap();
    assert!(stdout.contains(&format!("    key: {key}\n    fix: {FIX}\n")), "{stdout}");

    let ready = serving.readiness().await;
    let trouble = &ready["breakers"][0];
    assert_eq!(trouble["what"], key, "{ready}");
    assert!(trouble["reason"].as_str().unwrap().starts_with(&format!("{title}: CertificateStateException")), "{ready}");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_ca_names_are_escaped() {
    let setup = with_parked_jobs(HOSTILE).await;
    let serving = setup.factory.serve().await;
    until_all_are_parked(&setup.factory).await;
    serving.stop().await;
    let title = format!("CA \"{SHOWN}\" is not registered or not active (target default)\n");
    for words in [&["holds"][..], &["ca", "list"]] {
        let (code, stdout, stderr) = setup.factory.spawn(words).wait().await;
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.contains(&title), "{stdout}");
        assert!(!stdout.contains(|c: char| c.is_control() && c != '\n'), "{stdout:?}");
        assert!(!stdout.lines().any(|line| line.starts_with("ERROR")), "{stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_the_ca_of_opened_and_released_holds() {
    let setup = with_parked_jobs("Plant 3 CA").await;
    let serve = setup.factory.spawn(&["serve"]);
    until_all_are_parked(&setup.factory).await;
    let holds = setup.factory.ledger.open_holds().await.unwrap();
    let key = holds[0].hold.as_str();
    setup.plant(true);
    let (code, _, released) = setup.factory.spawn(&["holds", "release", key]).wait().await;
    assert_eq!(code, Some(0), "{released}");
    setup.factory.until("all are registered", async |f| f.outcomes().await.into_iter().eq([(Code::Ok, 3)])).await;
    serve.signal("TERM");
    let (_, _, log) = serve.wait().await;
    let ca = "ca=\"CN=Plant 3 CA\"";
    let names = |log: &str, event: &str| log.lines().any(|line| line.contains(event) && line.contains(ca));
    assert!(names(&released, "hold released"), "{released}");
    for event in ["hold opened: its jobs are parked", "hold released: its jobs are resent"] {
        assert!(names(&log, event), "{event}: {log}");
    }
    assert!(!log.contains("Some("), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_shows_unregistered_cas_that_jobs_wait_for() {
    let setup = with_parked_jobs("Plant 3 CA").await;
    let serving = setup.factory.serve().await;
    until_all_are_parked(&setup.factory).await;
    serving.stop().await;
    let listed = setup.listed("list --json").await;
    let waited_for = &listed["waited_for"][0];
    assert_eq!((&waited_for["subject"], &waited_for["target"]), (&json!("CN=Plant 3 CA"), &json!("default")));
    assert_eq!((&waited_for["n_waiting"], &waited_for["fix"]), (&json!(3), &json!(FIX)));
    let (_, stdout, _) = setup.ca("list").await;
    let section = format!(
        "The ledger has no registered CA.

CAs that jobs wait for, not registered or not active:
CN=Plant 3 CA
    CA \"CN=Plant 3 CA\" is not registered or not active (target default)
    3 jobs wait for it
    fix: {FIX}
"
    );
    assert_eq!(stdout, section);
}
