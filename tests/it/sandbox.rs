//! The sandbox, seen through the SDK's own clients.

mod authorities;
mod boto3;
mod changes;
mod control;
mod faults;
mod iot;
mod limits;
mod lists;
mod provisioning;
mod queues;
mod roles;
mod tags;
mod without_ca;

use std::fmt::Debug;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_iot::error::ProvideErrorMetadata;
use aws_sdk_iot::operation::register_ca_certificate::builders::RegisterCACertificateFluentBuilder;
use aws_sdk_iot::types::{CertificateMode, CertificateStatus};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use muster_core::certificate::{Certificate, CertificateId};
use muster_sandbox::specimen::Ca;
use muster_sandbox::{Limiting, Sandbox, SandboxSettings};

/// A running sandbox and a client for each of its services. Retries are off, so every call is made exactly once.
struct Bench {
    sandbox: Sandbox,
    sqs: aws_sdk_sqs::Client,
    iot: aws_sdk_iot::Client,
    sts: aws_sdk_sts::Client,
}

impl Bench {
    async fn start(settings: SandboxSettings) -> Self {
        let sandbox = Sandbox::start(settings).await.unwrap();
        let sdk = sdk(&sandbox.url());
        let iot = aws_sdk_iot::config::Builder::from(&sdk)
            .retry_config(aws_sdk_iot::config::retry::RetryConfig::disabled())
            .build();
        let sqs = aws_sdk_sqs::config::Builder::from(&sdk)
            .retry_config(aws_sdk_sqs::config::retry::RetryConfig::disabled())
            .build();
        Self {
            sqs: aws_sdk_sqs::Client::from_conf(sqs),
            iot: aws_sdk_iot::Client::from_conf(iot),
            sts: aws_sdk_sts::Client::new(&sdk),
            sandbox,
        }
    }

    /// Starts a sandbox that never throttles.
    async fn unlimited() -> Self {
        Self::start(SandboxSettings { limiting: Limiting::CountOnly, ..SandboxSettings::default() }).await
    }

    fn register_ca(&self, ca: &Ca) -> RegisterCACertificateFluentBuilder {
        self.iot.register_ca_certificate().ca_certificate(ca.pem())
    }

    fn register_sni_only(&self, ca: &Ca) -> RegisterCACertificateFluentBuilder {
        self.register_ca(ca).certificate_mode(CertificateMode::SniOnly)
    }

    /// Registers a new device certificate of a registered CA.
    async fn register_leaf_of(&self, ca: &Ca, status: CertificateStatus) -> CertificateId {
        let pem = ca.leaf("device");
        self.iot.register_certificate().certificate_pem(&pem).status(status).send().await.unwrap();
        id_of(&pem)
    }

    /// Creates a queue with the given attributes and returns its URL.
    async fn queue(&self, name: &str, attributes: &[(&str, &str)]) -> String {
        let request = attributes.iter().fold(self.sqs.create_queue().queue_name(name), |request, (key, value)| {
            request.attributes((*key).into(), *value)
        });
        request.send().await.unwrap().queue_url.unwrap()
    }
}

/// Returns the error code with which a call is answered.
fn refusal<T: Debug>(answer: Result<T, impl ProvideErrorMetadata>) -> String {
    match answer {
        Ok(answer) => panic!("no error: {answer:?}"),
        Err(error) => error.code().unwrap_or_default().to_owned(),
    }
}

fn id_of(pem: &str) -> CertificateId {
    Certificate::from_pem(pem).unwrap().id()
}

fn sdk(url: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

#[tokio::test]
async fn get_caller_identity_returns_the_account() {
    let bench =
        Bench::start(SandboxSettings { account: "123456789012".to_owned(), ..SandboxSettings::default() }).await;
    let identity = bench.sts.get_caller_identity().send().await.unwrap();
    assert_eq!(identity.account(), Some("123456789012"));
    assert_eq!(identity.arn(), Some("arn:aws:iam::123456789012:user/sandbox"));
}

#[tokio::test]
async fn stopping_the_sandbox_closes_waiting_connections() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let url = bench.queue("jobs", &[]).await;
    let poll = bench.sqs.receive_message().queue_url(&url).wait_time_seconds(20).send();
    let poll = tokio::spawn(poll);
    while bench.sandbox.ledger().n_calls() < 2 {
        tokio::task::yield_now().await;
    }
    bench.sandbox.stop().await;
    assert!(poll.await.unwrap().is_err(), "an answer came from a stopped sandbox");
    assert!(bench.sqs.list_queues().send().await.is_err(), "the listener is still open");
}
