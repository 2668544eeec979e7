//! Credentials from a program named in the AWS profile: one run at a time, killed when it hangs, and named in errors.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use muster_core::role::Role;
use serde_json::Value;

use crate::factory::{Factory, Program, count_only};
use crate::program::get;

/// The output of the program.
const KEYS: &str = r#"{"Version":1,"AccessKeyId":"sandbox","SecretAccessKey":"sandbox"}"#;

/// How long to wait for an event; far longer than any takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program that records each of its runs, and hangs from a given run on.
struct Helper {
    runs: PathBuf,
    config: PathBuf,
    /// Receives once no process of any run is left.
    all_gone: Receiver<Vec<u8>>,
}

impl Helper {
    /// Creates the program, which hangs from run number `first_hanging` on. Keys from earlier runs are valid for
    /// `valid_seconds`.
    fn new(folder: &Path, first_hanging: usize, valid_seconds: u64) -> Self {
        let (runs, fifo, script) = (folder.join("runs"), folder.join("fifo"), folder.join("helper"));
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let (sender, all_gone) = sync_channel(1);
        let to_read = fifo.clone();
        // The reader of the FIFO sees end-of-file once no process has it open any more.
        std::thread::Builder::new().spawn(move || sender.send(std::fs::read(to_read).unwrap())).unwrap();
        let (open, keys) = (fifo.display(), KEYS.trim_end_matches('}'));
        let text = format!(
            "echo run >> '{}'\n\
             if [ $(wc -l < '{}') -ge {first_hanging} ]; then exec 3> '{open}'; sleep 600 & sleep 600; fi\n\
             echo '{keys},\"Expiration\":\"'$(date -u -d '+{valid_seconds} seconds' +%Y-%m-%dT%H:%M:%SZ)'\"}}'\n",
            runs.display(),
            runs.display(),
        );
        std::fs::write(&script, text).unwrap();
        let config = folder.join("aws-config");
        std::fs::write(&config, format!("[default]\ncredential_process = sh '{}'\n", script.display())).unwrap();
        Self { runs, config, all_gone }
    }

    fn n_runs(&self) -> usize {
        std::fs::read_to_string(&self.runs).unwrap_or_default().lines().count()
    }

    fn assert_all_gone(&self) {
        assert!(self.all_gone.recv_timeout(PATIENCE).expect("a process is still running").is_empty());
    }
}

fn spawn(factory: &Factory, arguments: &[&str], aws_config: &Path) -> Program {
    let mut command = factory.command(arguments);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_PROFILE");
    command.env("AWS_CONFIG_FILE", aws_config).env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    Program(command.spawn().unwrap())
}

/// Returns what `muster doctor` found about the identity of each target.
async fn identities(program: Program) -> Vec<String> {
    let (_, stdout, stderr) = program.wait().await;
    let findings: Vec<Value> =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    let of_identity = findings.iter().filter(|finding| finding["check"] == "identity");
    of_identity.map(|finding| finding["found"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_program_runs_once_for_all_targets_and_is_killed() {
    let mut factory = Factory::new(10.0).await;
    for name in ["second", "third"] {
        factory.add_target(name, count_only()).await;
    }
    let helper = Helper::new(factory.folder(), 1, 0);
    let identities = identities(spawn(&factory, &["doctor", "--json"], &helper.config)).await;
    let reason = "the source of the AWS credentials does not answer: `credential_process` of the AWS profile `default` \
                  has not answered for 4 s";
    assert_eq!(identities, [reason; 3]);
    assert_eq!(helper.n_runs(), 1);
    helper.assert_all_gone();
}

/// Premise: the SDK requests new keys ten seconds before the old ones expire.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_starts_to_hang_is_named_and_killed() {
    let factory = Factory::new(50.0).await;
    let helper = Helper::new(factory.folder(), 2, 13);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let program = spawn(&factory, &["serve", &format!("--set=admin.listen={port}")], &helper.config);
    factory.until("the program hangs", async |_| helper.n_runs() == 2).await;
    factory.enqueue(&factory.leaves(5)).await;
    let mut slowest = Duration::ZERO;
    factory
        .until("/readyz names the program", async |_| {
            let asked_at = Instant::now();
            let (_, answer) = get(port, "/readyz").await;
            slowest = slowest.max(asked_at.elapsed());
            answer.contains("`credential_process` of the AWS profile `default` has not answered")
        })
        .await;
    assert!(slowest < Duration::from_secs(3), "/readyz took {slowest:?}");
    program.signal("TERM");
    let (code, _, log) = program.wait().await;
    assert_eq!((code, helper.n_runs()), (Some(0), 2), "{log}");
    helper.assert_all_gone();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_with_credentials_of_the_source_profile() {
    let arn: muster_core::role::RoleArn = "arn:aws:iam::210987654321:role/muster".parse().unwrap();
    let role = Role { arn: arn.clone(), external_id: Some("plant-3".to_owned()) };
    let settings =
        muster_sandbox::SandboxSettings { account: arn.account().to_owned(), role: Some(role), ..count_only() };
    let factory = Factory::with(settings, 10.0).await;
    let helper = Helper::new(factory.folder(), 9, 3600);
    let base = std::fs::read_to_string(&helper.config).unwrap().replace("[default]", "[profile base]");
    for (external_id, found) in
        [("plant-3", "account 210987654321 in us-east-1, answered in "), ("plant-4", "AWS does not let us assume")]
    {
        let roles =
            format!("[default]\nrole_arn = {}\nexternal_id = {external_id}\nsource_profile = base\n", arn.as_str());
        std::fs::write(&helper.config, format!("{roles}{base}")).unwrap();
        let identities = identities(spawn(&factory, &["doctor", "--json"], &helper.config)).await;
        assert!(identities[0].starts_with(found), "{identities:?}");
    }
    assert_eq!(helper.n_runs(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unresponsive_credential_source_is_named_and_not_a_denial() {
    let factory = Factory::new(10.0).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let imds_error = "Ec2InstanceMetadata: could not communicate with IMDS: ";
    let (metadata, container) = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    for (variable, url, expected) in [
        (metadata, silent.as_str(), [imds_error, "HTTP read timeout occurred"]),
        (container, "http://127.0.0.1:1/credentials", ["credentials out of reach: ", "Connection refused"]),
    ] {
        let mut command = factory.command(&["serve"]);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_PROFILE");
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        let (code, _, log) = Program(command.env(variable, url).spawn().unwrap()).wait().await;
        assert!(expected.iter().all(|expected| log.contains(expected)), "{expected:?}: {log}");
        assert!(log.contains("hint: check whether `aws sts get-caller-identity` answers"), "{log}");
        assert_eq!(code, Some(5), "{log}");
    }
}
