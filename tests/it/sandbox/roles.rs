//! Roles: who can assume them, and what their sessions allow.

use aws_config::SdkConfig;
use aws_sdk_iot::error::ProvideErrorMetadata;
use aws_sdk_sts::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use muster_core::role::Role;
use muster_sandbox::{ApiOperation, Effect, Fault, Limiting, SandboxSettings};
use time::{Duration, OffsetDateTime};

use super::{Bench, sdk};

const ACCOUNT: &str = "222222222222";

fn role() -> Role {
    Role { arn: arn(ACCOUNT, "muster").parse().unwrap(), external_id: Some("plant-3".to_owned()) }
}

fn arn(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:role/{name}")
}

/// Starts a sandbox whose IoT requires a role, with an external id.
async fn bench() -> Bench {
    let account = ACCOUNT.to_owned();
    Bench::start(SandboxSettings {
        account,
        role: Some(role()),
        limiting: Limiting::CountOnly,
        ..SandboxSettings::default()
    })
    .await
}

impl Bench {
    /// Returns the call that assumes the role correctly.
    fn assume(&self) -> AssumeRoleFluentBuilder {
        let call = self.sts.assume_role().role_arn(role().arn.as_str());
        call.role_session_name("muster").external_id("plant-3")
    }

    /// Returns a configuration with the credentials of a new session.
    async fn assumed(&self) -> SdkConfig {
        let keys = self.assume().send().await.unwrap().credentials.unwrap();
        assert!(keys.access_key_id.starts_with("ASIA"));
        let (secret, token) = (keys.secret_access_key, Some(keys.session_token));
        let keys = Credentials::new(keys.access_key_id, secret, token, None, "test");
        let provider = SharedCredentialsProvider::new(keys);
        sdk(&self.sandbox.url()).into_builder().credentials_provider(provider).build()
    }

    /// Returns how often STS was called to assume a role.
    fn n_assumed(&self) -> usize {
        self.sandbox.ledger().summary(ApiOperation::AssumeRole).calls
    }
}

/// Returns the error code of an IoT call with these credentials, if it fails.
async fn iot_error(sdk: &SdkConfig) -> Option<String> {
    let answer = aws_sdk_iot::Client::new(sdk).list_certificates().send().await;
    answer.err().map(|error| error.code().unwrap().to_owned())
}

#[tokio::test]
async fn iot_accepts_only_sessions_of_the_role() {
    let bench = bench().await;
    assert_eq!(iot_error(&sdk(&bench.sandbox.url())).await.as_deref(), Some("UnrecognizedClientException"));
    let assumed = bench.assumed().await;
    assert_eq!(iot_error(&assumed).await, None);
    let caller = aws_sdk_sts::Client::new(&assumed).get_caller_identity().send().await.unwrap();
    assert_eq!(caller.arn(), Some("arn:aws:sts::222222222222:assumed-role/muster/muster"));
    assert_eq!(caller.account(), Some(ACCOUNT));
    assert_eq!(bench.n_assumed(), 1);
}

#[tokio::test]
async fn a_session_lasts_as_long_as_requested() {
    let bench = bench().await;
    for (asked, seconds) in [(None, 3600), (Some(900), 900), (Some(43_200), 43_200)] {
        let before = OffsetDateTime::now_utc();
        let keys = bench.assume().set_duration_seconds(asked).send().await.unwrap().credentials.unwrap();
        let duration = OffsetDateTime::from_unix_timestamp(keys.expiration.secs()).unwrap() - before;
        let wanted = Duration::seconds(seconds);
        assert!((wanted - Duration::SECOND..wanted + Duration::MINUTE).contains(&duration), "{duration} for {asked:?}");
    }
    for asked in [899, 43_201] {
        let error = bench.assume().duration_seconds(asked).send().await.unwrap_err();
        assert_eq!(error.code(), Some("ValidationError"), "{asked}");
    }
}

#[tokio::test]
async fn expired_sessions_are_refused_and_new_ones_accepted() {
    let bench = bench().await;
    let assumed = bench.assumed().await;
    bench.sandbox.expire_sessions();
    assert_eq!(iot_error(&assumed).await.as_deref(), Some("ExpiredTokenException"));
    let error = aws_sdk_sts::Client::new(&assumed).get_caller_identity().send().await.unwrap_err();
    assert_eq!(error.code(), Some("ExpiredToken"));
    assert_eq!(iot_error(&bench.assumed().await).await, None);
}

#[tokio::test]
async fn an_untrusted_caller_cannot_assume_the_role() {
    let bench = bench().await;
    let refused = [
        bench.assume().external_id("plant-4"),
        bench.assume().set_external_id(None),
        bench.assume().role_arn(arn(ACCOUNT, "other")),
        bench.assume().role_arn(arn("333333333333", "muster")),
    ];
    for call in refused {
        let error = call.send().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 403);
        assert_eq!(error.code(), Some("AccessDenied"));
        let message = error.message().unwrap();
        assert!(message.starts_with("User: arn:aws:iam::222222222222:user/sandbox is not authorized"), "{message}");
    }
    bench.sandbox.set_role(Some(Role { external_id: None, ..role() }));
    bench.assume().external_id("plant-4").send().await.unwrap();
}

#[tokio::test]
async fn any_role_of_the_account_can_be_assumed_if_iot_requires_none() {
    let bench = Bench::start(SandboxSettings::default()).await;
    let assume = |account: &str| bench.assume().role_arn(arn(account, "any")).send();
    assume("000000000000").await.unwrap();
    assert_eq!(assume(ACCOUNT).await.unwrap_err().code(), Some("AccessDenied"));
}

#[tokio::test]
async fn faults_strike_assume_role_and_unknown_actions_are_invalid() {
    let bench = bench().await;
    bench.sandbox.faults().set(Fault::new(ApiOperation::AssumeRole, Effect::Throttle).calls(1)).unwrap();
    let config = aws_sdk_sts::config::Builder::from(&sdk(&bench.sandbox.url()))
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
        .build();
    let sts = aws_sdk_sts::Client::from_conf(config);
    let throttled = bench.assume().as_input().clone().send_with(&sts).await.unwrap_err();
    assert_eq!(throttled.code(), Some("Throttling"));
    assert_eq!(sts.get_session_token().send().await.unwrap_err().code(), Some("InvalidAction"));
    assert_eq!(bench.n_assumed(), 1);
}
