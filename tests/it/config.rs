//! Settings as a user sees them: the program, its output and its exit codes.

use std::process::Command;

use serde_json::Value;

use crate::factory::Factory;

/// The output of a run: exit code, standard output and standard error.
type Output = (Option<i32>, String, String);

/// A run that fails: arguments, environment, and a part of the error.
type FailingRun<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

/// Runs the program with only the given variables in its environment.
fn muster(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    let output = command.args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Creates a settings file in its own folder.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("muster.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// Returns the comment after a setting, which names its origin.
fn origin_of<'a>(shown: &'a str, setting: &str) -> &'a str {
    let line = shown.lines().find(|line| line.starts_with(setting)).unwrap();
    line.rsplit_once("# ").unwrap().1
}

#[test]
fn every_setting_is_shown_with_its_origin() {
    let (_folder, path) = file("[worker]\nslots = 64\n");
    let variables = [("MUSTER_CONFIG", path.as_str()), ("MUSTER__QUEUE__NAME", "jobs")];
    let (code, out, err) = muster(&["--set", "queue.wait=5s", "config", "show", "--log", "debug"], &variables);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with(&format!("# settings file: {path}\n")), "{out}");
    assert_eq!(origin_of(&out, "worker.slots = 64 "), format!("{path} line 2"));
    assert_eq!(origin_of(&out, "queue.name = \"jobs\" "), "MUSTER__QUEUE__NAME");
    assert_eq!(origin_of(&out, "queue.wait = \"5s\" "), "--set");
    assert_eq!(origin_of(&out, "log.filter = \"debug\" "), "--log");
    assert_eq!(origin_of(&out, "# aws.region is not set "), "default");
}

#[test]
fn show_says_when_no_settings_file_is_used() {
    let (code, out, _) = muster(&["config", "show"], &[]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with("# settings file: none;"), "{out}");
}

#[test]
fn a_password_is_masked_in_text_and_json() {
    let variables = [("DATABASE_URL", "postgres://ada:secret@db/muster")];
    let (_, text, _) = muster(&["config", "show"], &variables);
    assert!(text.contains("\"postgres://ada:***@db/muster\"") && !text.contains("secret"), "{text}");

    let (_, json, _) = muster(&["config", "show", "--json"], &variables);
    assert!(!json.contains("secret"), "{json}");
    let json: Value = serde_json::from_str(&json).unwrap();
    let url = &json["settings"]["database.url"];
    assert_eq!(url["value"], "postgres://ada:***@db/muster");
    assert_eq!((&url["origin"], &url["variable"]), (&"environment".into(), &"DATABASE_URL".into()));
}

#[test]
fn a_key_may_be_set_before_and_after_the_command() {
    let arguments = ["--set", "queue.name=a", "config", "--set", "worker.slots=7", "show", "--set", "log.filter=warn"];
    let (code, out, _) = muster(&arguments, &[("MUSTER_CONFIG", "")]);
    assert_eq!(code, Some(0));
    for setting in ["queue.name = \"a\" ", "worker.slots = 7 ", "log.filter = \"warn\" "] {
        assert_eq!(origin_of(&out, setting), "--set");
    }
}

#[test]
fn a_subcommand_has_its_own_help() {
    let (_, help, _) = muster(&["config", "show", "--help"], &[]);
    assert!(help.starts_with("Prints each setting and where it comes from"), "{help}");
    assert!(help.contains("--set <KEY=VALUE>"), "{help}");
}

#[test]
fn wrong_settings_make_every_command_exit_with_2() {
    let (_folder, path) = file("[queue]\nnmae = 'jobs'\n");
    let table: [FailingRun<'_>; 7] = [
        (
            &["serve", "--config", &path],
            &[],
            &format!("error: unknown key `queue.nmae` in {path} line 2; did you mean `queue.name`?\n"),
        ),
        (
            &["migrate"],
            &[("MUSTER__WORKER__SLOT", "5")],
            "error: unknown key `worker.slot` in MUSTER__WORKER__SLOT; did you mean `worker.slots`?\n",
        ),
        (&["config", "show", "--set", "sky=5"], &[], "hint: `muster config template` prints every key\n"),
        (&["config", "show", "--set", "worker.slots=0"], &[], "error: `worker.slots` in --set: expected 1 to 120000"),
        (&["config", "show", "--set", "worker.slots"], &[], "expected KEY=VALUE"),
        (&["config", "show", "--log", "=["], &[], "error: `log.filter` in --log: "),
        (&["config", "show", "--config", "no/such/file"], &[], "error: cannot read no/such/file: No such file"),
    ];
    for (arguments, variables, part) in table {
        let (code, out, err) = muster(arguments, variables);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(err.contains(part), "{arguments:?}: {err}");
    }
}

#[test]
fn the_template_is_a_valid_settings_file() {
    let (code, template, _) = muster(&["config", "template"], &[]);
    assert_eq!(code, Some(0));
    let (_folder, path) = file(&template);
    let (code, out, err) = muster(&["config", "show", "--config", &path], &[]);
    assert_eq!(code, Some(0), "{err}");
    assert!(origin_of(&out, "worker.slots = 1024 ").starts_with(&path), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_settings_are_refused_with_every_fix() {
    let factory = Factory::new(1000.0).await;
    let program = factory.spawn(&["serve", "--set", "queue.wait=30s", "--set", "retry.first_wait=60s"]);
    let (code, _, err) = program.wait().await;
    assert_eq!(code, Some(6), "{err}");
    let errors = "error: `queue.wait` is 30 s but SQS waits 20 s at most\n\
                  hint: set `queue.wait` to 20s or less\n\
                  error: `retry.first_wait` is 1 min, longer than `retry.max_wait`, which is 30 s\n\
                  hint: set `retry.max_wait` to 1m or more\n";
    assert!(err.ends_with(errors), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_settings_that_may_lose_messages_are_logged_with_a_fix() {
    let factory = Factory::new(1000.0).await;
    let (code, _, err) = factory.spawn(&["serve", "--until-empty"]).wait().await;
    assert_eq!(code, Some(0), "{err}");
    for part in [
        "queue `jobs` moves messages to its dead-letter queue after 3 receives",
        "hint=\"set maxReceiveCount to 20 in the queue's RedrivePolicy\"",
        "the dead-letter queue of `jobs` keeps messages for 4 days after they were first sent, and the queue itself for 4 days",
    ] {
        assert!(err.contains(part), "{err}");
    }
}
