//! The examples in README.md and docs/producers.md are valid, and work.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use muster::aws::identity;
use muster::aws::queue::Queue;
use muster::config::Config;
use muster::config::access::Credentials;
use muster_core::job::{Job, UNBATCHED};
use muster_core::outcome::Code;
use muster_sandbox::{self, ApiOperation, Effect, Fault, Sandbox};

use crate::factory::{BATCH, Factory};
use crate::python::python_with;

const README: &str = include_str!("../../README.md");
const PRODUCERS: &str = include_str!("../../docs/producers.md");
const EXAMPLE: &str = include_str!("../../docs/enqueue_with_boto3.py");

/// Returns the text of the first fenced block of a page in a language.
fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let start = page.find(&format!("```{language}\n")).unwrap() + language.len() + 4;
    &page[start..start + page[start..].find("```").unwrap()]
}

#[test]
fn the_python_example_is_the_file_that_is_tested() {
    assert_eq!(block(PRODUCERS, "python"), EXAMPLE);
}

/// The commands for a new operator, run by the AWS CLI against a sandbox of another region.
#[tokio::test(flavor = "multi_thread")]
async fn the_queues_in_the_readme_suit_a_worker() {
    let Some(python) = python_with("awscli", "awscli>=1.40,<2") else { return };
    let settings = muster_sandbox::SandboxSettings {
        region: "eu-central-1".to_owned(),
        ..muster_sandbox::SandboxSettings::default()
    };
    let sandbox = Sandbox::start(settings).await.unwrap();
    let start = README.find("<!-- test: queues -->").unwrap();
    let (_, commands) = README[start..].split_once("```sh\n").unwrap();
    let commands = commands.split("```").next().unwrap();
    // Old versions do not read AWS_ENDPOINT_URL.
    let script =
        format!("set -eu\naws() {{ \"$PYTHON\" -m awscli --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"; }}\n{commands}");
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).env("PYTHON", python.get_program());
    for (name, value) in python.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.env("AWS_ENDPOINT_URL", sandbox.url()).env("AWS_DEFAULT_REGION", "eu-central-1");
    shell.env("AWS_ACCESS_KEY_ID", "sandbox").env("AWS_SECRET_ACCESS_KEY", "sandbox");
    let output = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut config = Config::default();
    config.aws.endpoint_url = Some(sandbox.url());
    config.aws.region = Some("eu-central-1".to_owned());
    config.aws.credentials = Credentials::Sandbox;
    let aws = identity::load(&config.aws.access()).await;
    for name in ["muster-jobs", "muster-jobs-replay"] {
        let queue = Queue::open(&aws, name).await.unwrap();
        let attributes = queue.attributes().await.unwrap();
        let (dead, n_max) = (attributes.dead_letter_arn.unwrap(), attributes.max_receive_count);
        assert_eq!((dead.as_str(), n_max), ("arn:aws:sqs:eu-central-1:000000000000:muster-jobs-dead", Some(20)));
        assert_eq!(attributes.retention, Duration::from_hours(14 * 24));
    }
}

#[test]
fn the_job_message_in_the_readme_is_valid() {
    let job = Job::parse(block(README, "json")).unwrap();
    assert_ne!(job.batch.as_str(), UNBATCHED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_like_the_example_loses_nothing() {
    let Some(mut python) = python_with("boto3", "boto3>=1.40,<2") else { return };
    let factory = Factory::new(1000.0).await;
    let files: Vec<_> = (0..25).map(|i| factory.folder().join(format!("SN-{i}.pem"))).collect();
    for (file, pem) in files.iter().zip(factory.leaves(25)) {
        std::fs::write(file, pem).unwrap();
    }
    let effect = Effect::FailEntries { entries: 3, code: "InternalError".into(), sender_fault: false };
    let operation = ApiOperation::SendMessageBatch;
    let fault = Fault { operation, effect, calls: Some(2), seconds: None, probability: None, seed: 0 };
    factory.sandbox.faults().set(fault).unwrap();

    python
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/enqueue_with_boto3.py"))
        .args(["jobs", BATCH])
        .args(files)
        .env("AWS_ENDPOINT_URL", factory.sandbox.url())
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "sandbox")
        .env("AWS_SECRET_ACCESS_KEY", "sandbox");
    let output = tokio::task::spawn_blocking(move || python.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "sent 25 of 25\n");
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 25)]));
    let names: Vec<String> = sqlx::query_scalar("select distinct source from registrations")
        .fetch_all(&factory.database.pool)
        .await
        .unwrap();
    assert_eq!(names, ["plant-3/line-7"]);
}
