//! What the command accepts, shows and refuses.

use muster_core::outcome::Code;
use serde_json::Value;

use super::{json, n_sent, replay, with_failures};
use crate::factory::{BATCH, Factory};

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_counts_reasons_and_time_and_changes_nothing() {
    let (factory, _) = with_failures(&[(Code::Timeout, 20), (Code::Expired, 3)]).await;
    let (code, stdout, stderr) = replay(&factory, &[BATCH, "--dry-run"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("20 jobs would be resent\n"), "{stdout}");
    assert!(stdout.contains("20  timeout (RegisterCertificate at default)"), "{stdout}");
    assert!(stdout.contains("at the quota") && !stdout.contains("expired"), "{stdout}");
    let shown = json(&factory, &[BATCH, "--dry-run", "--status", "rejected,exhausted"]).await;
    assert_eq!((&shown["plan"]["sent_again"], &shown["replay"]), (&23.into(), &Value::Null), "{shown}");
    assert_eq!(shown["plan"]["seconds_at_quota"], 0.023);
    assert!(factory.ledger.replays(None, 10).await.unwrap().is_empty());
    assert!(factory.ledger.audit_entries(None, 10).await.unwrap().is_empty());
    assert_eq!(n_sent(&factory), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_a_replay_needs_yes() {
    let (factory, _) = with_failures(&[(Code::Timeout, 2)]).await;
    let (code, _, stderr) = replay(&factory, &[BATCH]).await;
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("there is no terminal") && stderr.contains("`--yes` does it"), "{stderr}");
    assert!(factory.ledger.replays(None, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_are_listed_and_audited() {
    let (factory, _) = with_failures(&[(Code::Timeout, 2), (Code::Expired, 2)]).await;
    for codes in ["timeout", "expired"] {
        let (code, _, stderr) = replay(&factory, &[BATCH, "--code", codes, "--yes"]).await;
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("has started; `muster replay show"), "{stderr}");
    }
    let shown = json(&factory, &["list"]).await;
    assert_eq!((shown.as_array().unwrap().len(), &shown[0]["state"]), (2, &"sending".into()));
    assert_eq!(shown[0]["filter"]["codes"][0], "expired", "the latest first");
    let page = json(&factory, &["list", "--limit", "1", "--before", &shown[0]["replay"].to_string()]).await;
    assert_eq!((page.as_array().unwrap().len(), &page[0]), (1, &shown[1]));
    let (_, stdout, _) = replay(&factory, &["list"]).await;
    assert!(stdout.contains("0 of 0 sent"), "{stdout}");

    let (code, stdout, _) = factory.spawn(&["audit", "--json"]).wait().await;
    let audited: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (code, &audited[0]["action"], &audited[0]["detail"]["expected"]),
        (Some(0), &"replay".into(), &2.into())
    );
    let (_, stdout, _) = factory.spawn(&["audit", "--limit", "1"]).wait().await;
    assert_eq!(stdout.lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn typos_are_reported() {
    let factory = Factory::new(1000.0).await;
    for (arguments, exit, words) in [
        (vec!["nothing-like-it", "--yes"], 1, "the ledger does not know batch `nothing-like-it`"),
        (vec!["--yes"], 2, "required"),
        (vec![BATCH, "--code", "ok"], 2, "invalid value 'ok'"),
        (vec!["--certificates", "missing.txt"], 1, "cannot read missing.txt"),
        (vec!["show", "7"], 1, "there is no replay 7"),
    ] {
        let (code, _, stderr) = replay(&factory, &arguments).await;
        assert_eq!(code, Some(exit), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
    std::fs::write(factory.folder().join("ids.txt"), "SN-7\n").unwrap();
    let (code, _, stderr) = replay(&factory, &["--certificates", "ids.txt"]).await;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("line 1 of ids.txt: not a certificate id: expected 64 hex digits"), "{stderr}");
}
