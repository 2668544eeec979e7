//! The files that users name with `enqueue --rejects` and `export --output`: devices, FIFOs, symlinks, full disks.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use muster_core::outcome::Code;
use muster_sandbox::specimen::Flaw;
use serde_json::Value;
use tokio::process::Command;

use crate::export::record_many;
use crate::factory::{BATCH, Factory, Program};
use crate::ledger::{record, row};

/// Exit code, standard output and standard error.
type Output = (Option<i32>, String, String);

/// Creates a factory with a file of one valid and one rejected certificate.
async fn with_a_reject() -> Factory {
    let factory = Factory::new(1000.0).await;
    let certificates = factory.ca.leaf("good") + &factory.ca.flawed(Flaw::Expired, "late");
    fs::write(factory.folder().join("in.pem"), certificates).unwrap();
    factory
}

async fn enqueue(factory: &Factory, arguments: &[&str]) -> Output {
    factory.spawn(&[&["enqueue", "--json", "--batch", BATCH, "in.pem"], arguments].concat()).wait().await
}

async fn export(factory: &Factory, arguments: &[&str]) -> Output {
    factory.spawn(&[&["export", BATCH, "--format", "jsonl"], arguments].concat()).wait().await
}

/// Runs the program from a shell; `"$@"` in the script is the program with its arguments.
async fn from_shell(factory: &Factory, script: &str, arguments: &[&str]) -> Output {
    let program = factory.command(arguments);
    let program = program.as_std();
    let mut shell = Command::new("bash");
    shell.args(["-c", script, "bash"]).arg(program.get_program()).args(program.get_args());
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(factory.folder()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Program(shell.spawn().unwrap()).wait().await
}

/// Creates a device node like those in /dev, so that no test can replace a real one. Minor number 3 is null, 7 is full.
fn device(path: &Path, minor: &str) -> bool {
    let made = std::process::Command::new("mknod").arg(path).args(["c", "1", minor]).stderr(Stdio::null()).status();
    let is_made = made.is_ok_and(|status| status.success());
    if !is_made {
        println!("skipped: only root may make device nodes");
    }
    is_made
}

fn is_device(path: &Path) -> bool {
    fs::symlink_metadata(path).unwrap().file_type().is_char_device()
}

/// Returns the partially written files that the program may have left in its folder.
fn leftovers(factory: &Factory) -> Vec<String> {
    let names = fs::read_dir(factory.folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".muster-") || name.contains(".part")).collect()
}

/// Premise: as root, `--rejects /dev/null` replaced the device node for the whole machine with a file of mode 0600.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_node_is_never_replaced() {
    let factory = with_a_reject().await;
    let (node, link) = (factory.folder().join("null"), factory.folder().join("link"));
    if !device(&node, "3") {
        return;
    }
    symlink("null", &link).unwrap();
    let before = fs::metadata(&node).unwrap();
    for path in ["null", "link"] {
        let (code, _, stderr) = enqueue(&factory, &["--dry-run", "--rejects", path]).await;
        assert_eq!(code, Some(3), "{stderr}");
        let (code, _, stderr) = enqueue(&factory, &["--rejects", path]).await;
        assert_eq!(code, Some(3), "{stderr}");
    }
    record(&factory.ledger, vec![row(1, Code::Ok)]).await;
    for arguments in [&["--output", "null"][..], &["--output", "null", "--force"], &["--output", "link", "--force"]] {
        let (code, _, stderr) = export(&factory, arguments).await;
        assert_eq!(code, Some(0), "{stderr}");
    }
    let after = fs::symlink_metadata(&node).unwrap();
    assert!(is_device(&node) && link.is_symlink());
    assert_eq!((after.ino(), after.mode()), (before.ino(), before.mode()));
    assert_eq!(leftovers(&factory), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_device_is_an_error() {
    let factory = with_a_reject().await;
    let node = factory.folder().join("full");
    if !device(&node, "7") {
        return;
    }
    let (code, numbers, stderr) = enqueue(&factory, &["--rejects", "full"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("error: cannot write the rejects file: full: No space left"), "{stderr}");
    let numbers: Value = serde_json::from_str(&numbers).unwrap();
    assert_eq!((&numbers["sent"], &numbers["rejects_file"]), (&1.into(), &Value::Null), "what was sent is reported");

    record(&factory.ledger, vec![row(1, Code::Ok)]).await;
    let (code, _, stderr) = export(&factory, &["--output", "full"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("error: cannot write the export: full: No space left"), "{stderr}");
    assert!(is_device(&node));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_go_through_a_process_substitution() {
    let factory = with_a_reject().await;
    let arguments = ["enqueue", "--json", "--batch", BATCH, "in.pem"];
    // Standard error ends only when both processes have exited.
    let (code, _, stderr) = from_shell(&factory, r#""$@" --rejects >(sed "s/^/piped: /" >&2)"#, &arguments).await;
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("piped: {\"file\":\"in.pem\""), "{stderr}");
}

/// Premise: `/dev/stdout` leads to a file if a shell redirects it. If that file were replaced, it would lack everything
/// else that is printed.
#[tokio::test(flavor = "multi_thread")]
async fn rejects_and_numbers_share_a_redirected_stdout() {
    let factory = with_a_reject().await;
    let arguments = ["enqueue", "--json", "--batch", BATCH, "in.pem", "--rejects", "/dev/stdout"];
    let (code, _, stderr) = from_shell(&factory, r#""$@" > out"#, &arguments).await;
    assert_eq!(code, Some(3), "{stderr}");
    let out = fs::read_to_string(factory.folder().join("out")).unwrap();
    let (reject, numbers) = out.split_once('\n').unwrap();
    assert_eq!(serde_json::from_str::<Value>(reject).unwrap()["code"], "expired");
    assert_eq!(serde_json::from_str::<Value>(numbers).unwrap()["sent"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_pipe_fails_rejects_but_not_an_export() {
    let factory = with_a_reject().await;
    record_many(&factory.ledger, (0..3_000).map(|n| row(n, Code::Ok))).await;
    // The program starts after the reader is gone.
    let gone = |option: &str| format!(r#"exec {{pipe}}> >(exec true); wait $!; "$@" {option} /dev/fd/$pipe"#);
    let (code, _, stderr) = from_shell(&factory, &gone("--rejects"), &["enqueue", "in.pem"]).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("Broken pipe"), "{stderr}");
    let (code, _, stderr) = from_shell(&factory, &gone("--output"), &["export", BATCH]).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));

    // The reader exits while the program writes.
    let script = r#"mkfifo fifo; head -n 1 fifo & "$@" --output fifo"#;
    let (code, head, stderr) = from_shell(&factory, script, &["export", BATCH]).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(head.starts_with("batch,"), "{head}");
    assert!(fs::symlink_metadata(factory.folder().join("fifo")).unwrap().file_type().is_fifo());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symlink_is_kept_and_its_target_keeps_its_mode() {
    let factory = with_a_reject().await;
    let (file, link) = (factory.folder().join("file"), factory.folder().join("link"));
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
    symlink("file", &link).unwrap();
    let holds = |text: &str| {
        let mode = fs::metadata(&file).unwrap().mode() & 0o777;
        link.is_symlink() && mode == 0o604 && fs::read_to_string(&file).unwrap().contains(text)
    };
    let (code, _, stderr) = enqueue(&factory, &["--rejects", "link"]).await;
    assert_eq!(code, Some(3), "{stderr}");
    assert!(holds("\"expired\""));

    record(&factory.ledger, vec![row(1, Code::Ok)]).await;
    let (code, _, stderr) = export(&factory, &["--output", "link"]).await;
    assert_eq!((code, stderr.as_str()), (Some(1), "error: link already exists: `--force` replaces it\n"));
    assert!(holds("\"expired\""));
    let (code, _, stderr) = export(&factory, &["--output", "link", "--force"]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(holds("\"registered\""));
    assert_eq!(leftovers(&factory), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_may_replace_the_input_file() {
    let factory = with_a_reject().await;
    let (code, _, stderr) = enqueue(&factory, &["--rejects", "in.pem"]).await;
    assert_eq!((code, factory.counts("jobs").sent), (Some(3), 1), "{stderr}");
    let rejects = fs::read_to_string(factory.folder().join("in.pem")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&rejects).unwrap()["code"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_rejects_file_is_reported_if_nothing_is_rejected() {
    let factory = with_a_reject().await;
    let (code, _, stderr) = enqueue(&factory, &[]).await;
    assert_eq!(code, Some(3), "{stderr}");
    let older = fs::read_to_string(factory.folder().join("batch.rejects.jsonl")).unwrap();
    fs::write(factory.folder().join("in.pem"), factory.ca.leaf("good")).unwrap();
    let (code, numbers, stderr) = enqueue(&factory, &[]).await;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("batch.rejects.jsonl is from an earlier run"), "{stderr}");
    assert_eq!(serde_json::from_str::<Value>(&numbers).unwrap()["rejects_file"], Value::Null);
    assert_eq!(fs::read_to_string(factory.folder().join("batch.rejects.jsonl")).unwrap(), older);
    assert_eq!(leftovers(&factory), [""; 0]);

    fs::remove_file(factory.folder().join("batch.rejects.jsonl")).unwrap();
    let (_, _, stderr) = enqueue(&factory, &[]).await;
    assert!(!stderr.contains("earlier run"), "{stderr}");
    assert!(!factory.folder().join("batch.rejects.jsonl").exists());
}

/// Premise: if this were detected only at the end, everything would have been sent and no reject written.
#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_file_is_reported_before_anything_is_sent() {
    let factory = with_a_reject().await;
    let (code, numbers, stderr) = enqueue(&factory, &["--rejects", "none/r.jsonl"]).await;
    assert_eq!((code, numbers.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.starts_with("error: cannot write the rejects file: none/r.jsonl: No such file"), "{stderr}");
    assert!(stderr.contains("hint: `--rejects FILE`") && !stderr.contains("batch batch"), "{stderr}");

    let input = factory.folder().join("in.pem").display().to_string();
    let mut elsewhere = factory.command(&["enqueue", "--batch", BATCH, &input]);
    // No one can create a file there, not even root.
    let (code, _, stderr) = Program(elsewhere.current_dir("/proc").spawn().unwrap()).wait().await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("current folder: `--rejects FILE` chooses another path"), "{stderr}");
    assert_eq!(factory.counts("jobs").sent, 0);

    let (code, _, stderr) = export(&factory, &["--output", "none/outcomes.csv"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: cannot write the export: none/outcomes.csv: No such file"), "{stderr}");
    assert!(stderr.contains("hint: `--output FILE`"), "{stderr}");
}

/// Premise: a limit on the file size makes a write fail in the middle, as a full disk does.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_the_old_file_untouched() {
    let factory = Factory::new(1000.0).await;
    record_many(&factory.ledger, (0..3_000).map(|n| row(n, Code::Ok))).await;
    let file = factory.folder().join("outcomes.csv");
    fs::write(&file, "older").unwrap();
    // With the signal ignored, the write itself fails.
    let script = r#"trap "" XFSZ; ulimit -f 64; "$@""#;
    for name in ["outcomes.csv", "new.csv"] {
        let (code, _, stderr) = from_shell(&factory, script, &["export", BATCH, "--force", "--output", name]).await;
        assert_eq!(code, Some(1));
        assert!(stderr.contains(&format!("error: cannot write the export: {name}: File too large")), "{stderr}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "older");
    assert!(!factory.folder().join("new.csv").exists());
    assert_eq!(leftovers(&factory), [""; 0]);
}
