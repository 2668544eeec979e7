//! `muster enqueue` against the sandbox: what it finds, rejects, sends and prints.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use muster_core::job::{Job, Name, Request};
use muster_core::outcome::Code;
use muster_core::precheck::NotYetValid;
use muster_sandbox::specimen::{Ca, Flaw, KeyKind};
use muster_sandbox::{ApiOperation, Effect, Fault};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use crate::factory::{BATCH, Factory};

/// A run of `muster enqueue --json`: exit code, numbers, standard error.
struct Run {
    code: Option<i32>,
    numbers: Value,
    stderr: String,
}

impl Run {
    async fn of(factory: &Factory, arguments: &[&str]) -> Self {
        let arguments = [&["enqueue", "--json", "--batch", BATCH], arguments].concat();
        let (code, stdout, stderr) = factory.spawn(&arguments).wait().await;
        let numbers = serde_json::from_str(&stdout).unwrap_or(Value::Null);
        Self { code, numbers, stderr }
    }

    fn n(&self, field: &str) -> u64 {
        self.numbers[field]
            .as_u64()
            .unwrap_or_else(|| panic!("{field} is not a count: {}\n{}", self.numbers, self.stderr))
    }

    /// Asserts that every entry is counted exactly once.
    fn assert_adds_up(&self) {
        let rejected: u64 = self.numbers["rejected"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        assert_eq!(self.n("found"), self.n("to_send") + rejected + self.n("duplicates") + self.n("issuers"));
        assert_eq!(self.n("to_send"), self.n("sent") + self.n("refused_by_queue") + self.n("not_sent"));
    }
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Returns the lines of a rejects file.
fn rejects(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Takes every message from the queue; returns the jobs by their certificate.
async fn jobs(factory: &Factory) -> BTreeMap<String, Job> {
    factory.take_jobs().await.into_iter().map(|job| (job.request.pem().to_owned(), job)).collect()
}

fn fault(effect: Effect, calls: u64) -> Fault {
    let operation = ApiOperation::SendMessageBatch;
    Fault { operation, effect, calls: Some(calls), seconds: None, probability: None, seed: 0 }
}

fn fail_entries(entries: usize, sender_fault: bool) -> Effect {
    let code = if sender_fault { "InvalidMessageContents" } else { "InternalError" };
    Effect::FailEntries { entries, code: code.into(), sender_fault }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_all_kinds_of_files_becomes_jobs() {
    let factory = Factory::new(1000.0).await;
    let leaves = factory.leaves(25);
    let folder = factory.folder();
    write(folder, "in/SN-1.pem", leaves[0].replace('\n', "\r\n"));
    write(folder, "in/SN-2.der", muster_core::certificate::Certificate::from_pem(&leaves[1]).unwrap().der());
    write(folder, "in/a name.crt", format!("\u{feff}subject=CN = 2\n{}", leaves[2]));
    write(folder, "in/chain.pem", leaves[3].clone() + &factory.ca.pem());
    write(folder, "in/sub/bundle.pem", leaves[4..].concat());
    write(folder, "in/readme.txt", "not read");
    let run = Run::of(&factory, &["in", "--source", "line-1", "--status", "active", "--verify"]).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.assert_adds_up();
    assert_eq!((run.n("sent"), run.n("issuers"), run.n("files"), run.n("skipped_files")), (25, 1, 5, 1));

    let jobs = jobs(&factory).await;
    assert_eq!(jobs.keys().collect::<BTreeSet<_>>(), leaves.iter().collect());
    let refs: Vec<_> = leaves[..5].iter().map(|leaf| jobs[leaf].reference.as_ref().map(Name::as_str)).collect();
    assert_eq!(refs, [Some("SN-1"), Some("SN-2"), None, Some("chain"), None]);
    for job in jobs.values() {
        assert_eq!((job.batch.as_str(), job.batch_size, job.verify), (BATCH, Some(25), true));
        assert_eq!((job.source.as_ref().unwrap().as_str(), job.target.as_str()), ("line-1", "default"));
        assert_eq!(job.request.wanted_status().to_string(), "ACTIVE");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_certificates_again_costs_no_call() {
    let factory = Factory::new(1000.0).await;
    write(factory.folder(), "bundle.pem", factory.leaves(30).concat());
    for _ in 0..2 {
        assert_eq!(Run::of(&factory, &["bundle.pem"]).await.code, Some(0));
        factory.drain().await;
    }
    assert_eq!((factory.n_calls(), factory.outcomes().await), (30, BTreeMap::from([(Code::Ok, 30)])));
    assert_eq!(factory.ledger.batch_status(BATCH).await.unwrap().unwrap().announced, Some(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_are_listed_with_everything_needed_to_fix_them() {
    let factory = Factory::new(1000.0).await;
    let (good, expired) = (factory.ca.leaf("good"), factory.ca.flawed(Flaw::Expired, "late"));
    write(
        factory.folder(),
        "bundle.pem",
        [good.as_str(), &expired, &factory.ca.flawed(Flaw::WeakKey, "weak")].concat(),
    );
    write(factory.folder(), "text.pem", "hello");
    let run = Run::of(&factory, &["bundle.pem", "text.pem"]).await;
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    run.assert_adds_up();
    let counts = serde_json::json!({ "expired": 1, "key_too_small": 1, "not_a_certificate": 1 });
    assert_eq!((&run.numbers["rejected"], run.n("sent")), (&counts, 1));
    assert_eq!(run.numbers["rejects_file"], "batch.rejects.jsonl");

    let rejects = rejects(&factory.folder().join("batch.rejects.jsonl"));
    let certificate = muster_core::certificate::Certificate::from_pem(&expired).unwrap();
    let line = 1 + good.lines().count();
    assert_eq!((&rejects[0]["file"], &rejects[0]["line"]), (&"bundle.pem".into(), &line.into()));
    assert_eq!(rejects[0]["certificateId"], certificate.id().to_string());
    assert_eq!((&rejects[0]["subject"], &rejects[0]["code"]), (&"CN=late".into(), &"expired".into()));
    assert!(rejects[0]["reason"].as_str().unwrap().starts_with("the certificate expired at 2019-12-31T23:59:59Z"));
    assert_eq!(rejects[0]["hint"], "have the CA issue a new certificate");
    assert_eq!(rejects[0]["certificatePem"].as_str().unwrap(), expired.trim_end());
    assert_eq!((&rejects[2]["file"], &rejects[2]["ref"]), (&"text.pem".into(), &"text".into()));
    assert_eq!(rejects[2].get("certificatePem"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resent_rejects_file_keeps_its_refs_and_announces_nothing() {
    let mut factory = Factory::new(1000.0).await;
    factory.config.precheck.not_yet_valid = NotYetValid::Reject;
    write(factory.folder(), "in/SN-1.pem", factory.ca.leaf("1"));
    for n in 2..=4 {
        write(factory.folder(), &format!("in/SN-{n}.pem"), factory.ca.not_yet_valid_leaf(&n.to_string()));
    }
    write(factory.folder(), "in/SN-5.pem", factory.ca.flawed(Flaw::WithPrivateKey, "5"));
    let run = Run::of(&factory, &["in"]).await;
    assert_eq!((run.code, run.n("sent")), (Some(3), 1), "{}", run.stderr);
    factory.drain().await;
    assert_eq!(factory.ledger.batch_status(BATCH).await.unwrap().unwrap().announced, Some(1));

    factory.config.precheck.not_yet_valid = NotYetValid::Warn;
    let run = Run::of(&factory, &["batch.rejects.jsonl"]).await;
    // The certificate next to its private key was not stored in the file: its original must be passed.
    assert_eq!(
        (run.code, run.n("sent"), &run.numbers["rejected"]),
        (Some(3), 3, &serde_json::json!({ "not_kept": 1 })),
        "{}",
        run.stderr
    );
    let left = rejects(&factory.folder().join("batch.rejects.jsonl"));
    assert_eq!((left.len(), &left[0]["file"], &left[0]["code"]), (1, &"in/SN-5.pem".into(), &"not_kept".into()));
    let jobs = jobs(&factory).await;
    let refs: BTreeSet<_> = jobs.values().map(|job| job.reference.as_ref().map(Name::as_str)).collect();
    assert_eq!(refs, [Some("SN-2"), Some("SN-3"), Some("SN-4")].into());
    assert!(jobs.values().all(|job| job.batch_size.is_none()), "a resent file announces no size");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_lists_the_first_rejects_and_says_how_to_get_all() {
    let factory = Factory::new(10.0).await;
    let expired: String = (0..12).map(|n| factory.ca.flawed(Flaw::Expired, &format!("late {n}"))).collect();
    write(factory.folder(), "bundle.pem", &expired);
    let run = Run::of(&factory, &["--dry-run", "bundle.pem"]).await;
    let listed: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("rejected: ")).collect();
    assert_eq!((run.code, listed.len()), (Some(3), 10), "{}", run.stderr);
    let id = muster_core::certificate::Certificate::from_pem(&expired).unwrap().id();
    assert!(
        listed[0].contains("bundle.pem:1 expired: the certificate expired at 2019-12-31T23:59:59Z"),
        "{}",
        listed[0]
    );
    assert!(listed[0].contains(&format!("(CN=late 0, id {id})")), "{}", listed[0]);
    assert!(
        run.stderr.contains("2 more rejects are not listed: --rejects FILE writes all of them to a file"),
        "{}",
        run.stderr
    );
    let run = Run::of(&factory, &["--dry-run", "--rejects", "r", "bundle.pem"]).await;
    assert!(!run.stderr.contains("rejected: "), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_carries_the_ca_that_signed_its_certificate() {
    let mut factory = Factory::new(1000.0).await;
    factory.config.precheck.ca_folder = None;
    let (one, other) = (Ca::new("One CA"), Ca::new("Other CA"));
    let (of_one, of_other) = (one.leaf("1"), other.leaf("2"));
    write(factory.folder(), "cas.pem", one.pem() + &other.pem());
    write(factory.folder(), "bundle.pem", of_one.clone() + &of_other + &Ca::new("Third CA").leaf("3"));
    let run = Run::of(&factory, &["bundle.pem", "--ca", "cas.pem"]).await;
    assert_eq!(
        (run.code, &run.numbers["rejected"]),
        (Some(3), &serde_json::json!({ "issuer_mismatch": 1 })),
        "{}",
        run.stderr
    );
    let jobs = jobs(&factory).await;
    let ca_of = |leaf: &String| match &jobs[leaf].request {
        Request::RegisterCertificate(request) => request.ca_certificate_pem.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((ca_of(&of_one), ca_of(&of_other)), (Some(one.pem()), Some(other.pem())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_with_its_private_key_is_rejected() {
    let factory = Factory::new(1000.0).await;
    let with_key = factory.ca.flawed(Flaw::WithPrivateKey, "device");
    let (certificate, key) = with_key.split_at(with_key.find("-----BEGIN PRIVATE").unwrap());
    write(factory.folder(), "in/1.pem", &with_key);
    write(factory.folder(), "in/2.pem", key.to_owned() + certificate);
    write(factory.folder(), "in/3.pem", certificate.to_owned() + &factory.ca.pem() + key);
    write(factory.folder(), "in/4.pem", key);
    let der = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    write(factory.folder(), "in/5.der", der.secret_der());
    let run = Run::of(&factory, &["in"]).await;
    assert_eq!((run.code, run.n("sent")), (Some(3), 0), "{}", run.stderr);
    run.assert_adds_up();
    assert_eq!(run.numbers["rejected"]["private_key"], 5);
    let listed = std::fs::read_to_string(factory.folder().join("batch.rejects.jsonl")).unwrap();
    assert_eq!(listed.lines().count(), 5);
    assert!(!listed.contains("BEGIN"), "no certificate text is stored:\n{listed}");
    let secret = key.lines().nth(1).unwrap();
    assert!(!run.stderr.contains(secret) && !run.numbers.to_string().contains(secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_sent_once_and_counted() {
    let factory = Factory::new(1000.0).await;
    let leaves = factory.leaves(3);
    write(factory.folder(), "a.pem", leaves.concat() + &leaves[0]);
    write(factory.folder(), "b.pem", &leaves[1]);
    let run = Run::of(&factory, &["a.pem", "b.pem", "a.pem"]).await;
    assert_eq!((run.code, run.n("duplicates"), run.n("sent")), (Some(0), 6, 3), "{}", run.stderr);
    run.assert_adds_up();
    assert_eq!(jobs(&factory).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_ca_is_not_sent_as_a_device() {
    let factory = Factory::new(1000.0).await;
    let given = Ca::new("Given CA");
    // The factory's own CA is in the settings.
    write(factory.folder(), "in/a.pem", factory.ca.pem());
    write(factory.folder(), "in/b.pem", given.pem() + &given.leaf("device"));
    let run = Run::of(&factory, &["in", "--ca", "in/b.pem"]).await;
    assert_eq!((run.code, run.n("sent"), run.n("issuers")), (Some(0), 1, 2), "{}", run.stderr);
    run.assert_adds_up();
    assert_eq!(jobs(&factory).await.values().next().unwrap().reference.as_ref().map(Name::as_str), Some("b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_never_taken_for_the_ca_of_another() {
    let factory = Factory::new(1000.0).await;
    // Careless factory lines sign each certificate with its own key, all with CA:true and the same name.
    let careless: String = (0..3).map(|_| Ca::new("device").pem()).collect();
    write(factory.folder(), "careless.pem", factory.ca.leaf("device") + &careless);
    let run = Run::of(&factory, &["careless.pem"]).await;
    assert_eq!((run.n("sent"), run.n("issuers")), (4, 0), "{}", run.stderr);
    assert_eq!(run.numbers["warnings"]["leaf_is_a_ca"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_fail_are_retried_until_sqs_accepts_them() {
    let factory = Factory::new(1000.0).await;
    let leaves = factory.leaves(40);
    write(factory.folder(), "bundle.pem", leaves.concat());
    factory.sandbox.faults().set(fault(fail_entries(4, false), 6)).unwrap();
    let run = Run::of(&factory, &["bundle.pem"]).await;
    assert_eq!((run.code, run.n("sent")), (Some(0), 40), "{}", run.stderr);
    assert_eq!(jobs(&factory).await.keys().collect::<BTreeSet<_>>(), leaves.iter().collect());
    assert_eq!(factory.counts("jobs").sent, 40, "none was sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_sqs_rejects_are_not_retried() {
    let factory = Factory::new(1000.0).await;
    let leaves = factory.leaves(5);
    write(factory.folder(), "bundle.pem", leaves.concat());
    factory.sandbox.faults().set(fault(fail_entries(2, true), 1)).unwrap();
    let run = Run::of(&factory, &["bundle.pem"]).await;
    assert_eq!((run.code, run.n("sent"), run.n("refused_by_queue")), (Some(3), 3, 2), "{}", run.stderr);
    run.assert_adds_up();
    let listed: Vec<_> = rejects(&factory.folder().join("batch.rejects.jsonl"));
    assert!(listed.iter().all(|reject| reject["code"] == "refused_by_queue"));
    let refused: BTreeSet<_> = listed.iter().map(|reject| reject["certificatePem"].as_str().unwrap()).collect();
    assert_eq!(refused, leaves[..2].iter().map(String::as_str).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_sqs_never_accepts_are_listed_and_exit_with_1() {
    let factory = Factory::new(1000.0).await;
    write(factory.folder(), "bundle.pem", factory.leaves(3).concat());
    factory.sandbox.faults().set(Fault { calls: None, ..fault(fail_entries(1, false), 0) }).unwrap();
    let run = Run::of(&factory, &["bundle.pem"]).await;
    assert_eq!((run.code, run.n("sent"), run.n("not_sent")), (Some(1), 2, 1), "{}", run.stderr);
    run.assert_adds_up();
    assert_eq!(rejects(&factory.folder().join("batch.rejects.jsonl"))[0]["code"], "not_sent");
    assert!(run.stderr.contains("run this again with --batch batch"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_queue_stops_the_run_and_reports_what_was_sent() {
    let factory = Factory::new(1000.0).await;
    write(factory.folder(), "bundle.pem", factory.leaves(3).concat());
    let effect = Effect::Error { status: 403, code: "AccessDenied".into(), message: "no".into(), executed: false };
    factory.sandbox.faults().set(Fault { calls: None, ..fault(effect, 0) }).unwrap();
    let run = Run::of(&factory, &["bundle.pem"]).await;
    assert_eq!((run.code, run.n("sent"), run.n("not_sent")), (Some(4), 0, 3), "{}", run.stderr);
    assert!(run.stderr.contains("sqs:SendMessage"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_stops_sending_gracefully() {
    let factory = Factory::new(1000.0).await;
    write(factory.folder(), "bundle.pem", factory.leaves(300).concat());
    let slow = Effect::Latency { milliseconds: 300, up_to: None };
    factory.sandbox.faults().set(Fault { calls: None, ..fault(slow, 0) }).unwrap();
    let program = factory.spawn(&["enqueue", "--json", "--batch", BATCH, "bundle.pem"]);
    factory.until("something is sent", async |f| f.counts("jobs").sent > 0).await;
    program.signal("INT");
    let (code, stdout, stderr) = program.wait().await;
    let run = Run { code, numbers: serde_json::from_str(&stdout).unwrap(), stderr };
    assert_eq!((run.code, run.n("sent")), (Some(130), factory.counts("jobs").sent), "{}", run.stderr);
    assert!(run.n("not_sent") > 0, "the test proves nothing if all were sent");
    run.assert_adds_up();
    assert!(run.stderr.contains("run this again with --batch batch"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_needs_no_queue_and_writes_nothing() {
    let factory = Factory::new(10.0).await;
    write(factory.folder(), "bundle.pem", factory.leaves(7).concat() + &factory.ca.flawed(Flaw::Expired, "late"));
    let n_calls = |f: &Factory| f.sandbox.ledger().summary(ApiOperation::GetQueueUrl).calls;
    let before = n_calls(&factory);
    let arguments = ["enqueue", "--dry-run", "--batch", BATCH, "bundle.pem"];
    let (code, stdout, _) = factory.spawn(&arguments).wait().await;
    assert_eq!(code, Some(3));
    assert!(stdout.contains("7  would be sent") && stdout.contains("rejected: 1 expired"), "{stdout}");
    assert!(!factory.folder().join("batch.rejects.jsonl").exists());
    assert_eq!(Run::of(&factory, &["--dry-run", "--rejects", "r", "bundle.pem"]).await.n("to_send"), 7);
    assert_eq!(rejects(&factory.folder().join("r")).len(), 1);
    assert_eq!((n_calls(&factory), factory.counts("jobs").sent), (before, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_ca_verifies_signatures_and_is_sent_with_every_job() {
    let mut factory = Factory::new(1000.0).await;
    factory.config.precheck.ca_folder = None;
    let other = Ca::with_key(KeyKind::P384, "Another CA");
    write(factory.folder(), "ca.pem", format!("# the CA\n{}", other.pem()));
    write(factory.folder(), "bundle.pem", other.leaf("mine") + &factory.ca.leaf("not mine"));
    let run = Run::of(&factory, &["bundle.pem", "--ca", "ca.pem"]).await;
    assert_eq!((run.code, &run.numbers["rejected"]["issuer_mismatch"]), (Some(3), &1.into()), "{}", run.stderr);
    let jobs = jobs(&factory).await;
    let Request::RegisterCertificate(request) = &jobs.values().next().unwrap().request else {
        panic!("another operation")
    };
    assert_eq!(request.ca_certificate_pem.as_ref(), Some(&other.pem()));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_are_packed_by_size() {
    let factory = Factory::new(1000.0).await;
    // Subject and issuer of 20,000 letters each: ten such certificates, each with its CA, are more than 1 MiB.
    let long = |name: &str| name.repeat(20_000);
    let ca = Ca::new(&long("c"));
    let leaves: Vec<_> = ["d", "e", "f"].iter().flat_map(|name| (0..7).map(|_| ca.leaf(&long(name)))).collect();
    assert!(10 * (leaves[0].len() + ca.pem().len()) > 1 << 20);
    write(factory.folder(), "ca.pem", ca.pem());
    write(factory.folder(), "bundle.pem", leaves.concat());
    let run = Run::of(&factory, &["bundle.pem", "--ca", "ca.pem"]).await;
    assert_eq!((run.code, run.n("sent")), (Some(0), 21), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_arguments_fail_before_anything_is_sent() {
    let factory = Factory::new(1000.0).await;
    write(factory.folder(), "leaf.pem", factory.ca.leaf("device"));
    std::fs::create_dir(factory.folder().join("empty")).unwrap();
    for (arguments, code, expected) in [
        (&["no-such-file"][..], 1, "cannot read no-such-file"),
        (&["empty"], 1, "found nothing to read"),
        (&["leaf.pem", "--target", "mars"], 1, "target `mars` is not in the settings, which have default"),
        (&["leaf.pem", "--ca", "leaf.pem"], 1, "CN=device is not a CA certificate"),
        (&["leaf.pem", "--status", "PENDING_ACTIVATION"], 2, "[possible values: ACTIVE, INACTIVE, REVOKED]"),
        (&["leaf.pem", "--source", "a line"], 2, "a name has 1 to 128 characters"),
        (&[], 2, "<PATH>..."),
    ] {
        let run = Run::of(&factory, arguments).await;
        assert_eq!(run.code, Some(code), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{arguments:?}: {}", run.stderr);
    }
    assert_eq!(factory.counts("jobs").sent, 0);
}
