//! Several accounts and regions in one service, each with its own credentials.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use muster::aws::identity;

use muster_core::job::Job;
use muster_core::outcome::Code;
use muster_core::rate::Rate;
use muster_core::role::Role;
use muster_sandbox::{self, ApiOperation, Effect, Fault, Sandbox};

use crate::factory::{Factory, Program, Serving, count_only};

/// The account and region of the second target.
const SECOND: (&str, &str) = ("222222222222", "eu-central-1");

/// The role that the second target requires.
fn role() -> Role {
    let arn = format!("arn:aws:iam::{}:role/muster", SECOND.0);
    Role { arn: arn.parse().unwrap(), external_id: Some("plant-3".to_owned()) }
}

fn settings(role: Option<Role>) -> muster_sandbox::SandboxSettings {
    muster_sandbox::SandboxSettings { account: SECOND.0.to_owned(), region: SECOND.1.to_owned(), role, ..count_only() }
}

/// Creates a factory with a second target.
async fn two_targets(role: Option<Role>) -> (Factory, Sandbox) {
    let mut factory = Factory::new(200.0).await;
    let second = factory.add_target("second", settings(role)).await;
    (factory, second)
}

/// Sends jobs for new certificates to a target.
async fn enqueue(factory: &Factory, target: &str, n: usize) {
    let pems = (0..n).map(|i| factory.ca.leaf(&format!("{target} {i}")));
    let job = |pem: String| Job { target: target.parse().unwrap(), ..Factory::job(&pem) }.to_body();
    factory.send(&pems.map(job).collect::<Vec<_>>()).await;
}

/// Returns how many rows there are for each target, account, region and code.
async fn rows(factory: &Factory) -> Vec<(String, String, String, String, i64)> {
    let counts = "select target, account, region, code, count(*) from registrations group by 1, 2, 3, 4 order by 1, 4";
    sqlx::query_as(counts).fetch_all(&factory.database.pool).await.unwrap()
}

fn row(target: &str, (account, region): (&str, &str), n: i64) -> (String, String, String, String, i64) {
    (target.to_owned(), account.to_owned(), region.to_owned(), "ok".to_owned(), n)
}

/// Returns how many calls got an answer.
fn answers(sandbox: &Sandbox, operation: ApiOperation, answer: &str) -> usize {
    sandbox.ledger().summary(operation).answers.get(answer).copied().unwrap_or_default()
}

async fn until_all_are_registered(factory: &Factory, n: u64) {
    factory.until("all are registered", async |f| f.outcomes().await == BTreeMap::from([(Code::Ok, n)])).await;
}

/// Waits until the circuit breaker of the second target is open for a reason.
async fn until_open(factory: &Factory, service: &Serving, reason: &str) {
    let is_open = async |_: &Factory| {
        let readiness = service.readiness().await;
        let open = readiness["breakers"].as_array().unwrap();
        open.iter().any(|open| {
            let is_second = open["what"] == "second:RegisterCertificate" && open["breaker"] == "auth";
            is_second && open["reason"].as_str().unwrap().contains(reason)
        })
    };
    factory.until(reason, is_open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_registered_in_their_targets_account_and_region() {
    let (factory, second) = two_targets(None).await;
    enqueue(&factory, "default", 20).await;
    enqueue(&factory, "second", 30).await;
    factory.drain().await;
    let first = ("000000000000", "us-east-1");
    assert_eq!(rows(&factory).await, [row("default", first, 20), row("second", SECOND, 30)]);
    assert_eq!((factory.sandbox.ledger().n_certificates(), second.ledger().n_certificates()), (20, 30));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_a_target_is_assumed_once_for_all_its_calls() {
    let (factory, second) = two_targets(Some(role())).await;
    enqueue(&factory, "default", 10).await;
    enqueue(&factory, "second", 30).await;
    factory.drain().await;
    assert_eq!(rows(&factory).await[1], row("second", SECOND, 30));
    assert_eq!(answers(&second, ApiOperation::RegisterCertificate, "ok"), 30);
    assert_eq!(second.ledger().n_calls(), 32, "one call to assume the role, and one to ask whose it is");
}

/// The SDK would keep the credentials for the hour for which they were issued.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_expire_early_are_replaced_without_a_restart() {
    let (mut factory, second) = two_targets(Some(role())).await;
    for target in factory.config.targets.values_mut() {
        target.rates.register_certificate = Rate::new(50.0).unwrap();
    }
    enqueue(&factory, "default", 10).await;
    enqueue(&factory, "second", 60).await;
    let service = factory.serve().await;
    factory.until("some are registered", async |_| second.ledger().n_certificates() > 10).await;
    second.expire_sessions();
    until_open(&factory, &service, "ExpiredTokenException").await;
    until_all_are_registered(&factory, 70).await;
    service.stop().await;
    assert_eq!(answers(&second, ApiOperation::AssumeRole, "ok"), 2);
    assert!(answers(&second, ApiOperation::RegisterCertificate, "ExpiredTokenException") > 0);
    assert_eq!((second.ledger().n_certificates(), factory.counts("jobs-dead").sent), (60, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_denied_at_start_delays_no_other_and_recovers() {
    let (mut factory, second) = two_targets(Some(role())).await;
    factory.ledger.claim_target("second", SECOND.0, SECOND.1).await.unwrap();
    factory.config.targets.get_mut("second").unwrap().external_id = Some("plant-4".to_owned());
    enqueue(&factory, "second", 20).await;
    enqueue(&factory, "default", 20).await;
    let service = factory.serve().await;
    until_open(&factory, &service, "AWS does not let us assume the role: AccessDenied: User: ").await;
    factory.until("the first target's are registered", async |f| f.outcomes().await.get(&Code::Ok) == Some(&20)).await;
    // It is asked again at a probe, and denies again.
    factory.until("it is asked again", async |_| answers(&second, ApiOperation::AssumeRole, "AccessDenied") > 1).await;
    assert_eq!(second.ledger().summary(ApiOperation::RegisterCertificate).calls, 0);
    second.set_role(Some(Role { external_id: Some("plant-4".to_owned()), ..role() }));
    until_all_are_registered(&factory, 40).await;
    service.stop().await;
    assert_eq!(rows(&factory).await[1], row("second", SECOND, 20));
    assert_eq!(factory.counts("jobs-dead").sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_another_account_register_nothing() {
    let (factory, second) = two_targets(None).await;
    factory.ledger.claim_target("second", "333333333333", SECOND.1).await.unwrap();
    let denial = Effect::Error { status: 403, code: "ExpiredToken".into(), message: "late".into(), executed: false };
    let denied = second.faults().set(Fault::new(ApiOperation::GetCallerIdentity, denial)).unwrap();
    enqueue(&factory, "default", 10).await;
    enqueue(&factory, "second", 10).await;
    let service = factory.serve().await;
    until_open(&factory, &service, "AWS does not accept the credentials: ExpiredToken: late").await;
    second.faults().clear(denied);
    let expected =
        "no identity: the credentials are for 222222222222 in eu-central-1, expected 333333333333 in eu-central-1";
    until_open(&factory, &service, expected).await;
    factory.until("the first target's are registered", async |f| f.outcomes().await.get(&Code::Ok) == Some(&10)).await;
    service.stop().await;
    assert_eq!(second.ledger().summary(ApiOperation::RegisterCertificate).calls, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_unreachable_at_start_delays_no_other() {
    let (mut factory, second) = two_targets(None).await;
    factory.ledger.claim_target("second", SECOND.0, SECOND.1).await.unwrap();
    factory.config.worker.attempt_timeout = Duration::from_secs(1).into();
    let silent =
        second.faults().set(Fault::new(ApiOperation::GetCallerIdentity, Effect::Hang { executed: false })).unwrap();
    enqueue(&factory, "default", 10).await;
    enqueue(&factory, "second", 10).await;
    let service = factory.serve().await;
    until_open(&factory, &service, "no answer within 1 s").await;
    factory.until("the first target's are registered", async |f| f.outcomes().await.get(&Code::Ok) == Some(&10)).await;
    second.faults().clear(silent);
    until_all_are_registered(&factory, 20).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_fails_if_the_account_of_a_denied_target_is_unknown() {
    let (factory, second) = two_targets(Some(role())).await;
    second.set_role(Some(Role { external_id: Some("plant-4".to_owned()), ..role() }));
    for claimed_region in [None, Some("eu-west-1")] {
        if let Some(region) = claimed_region {
            factory.ledger.claim_target("second", SECOND.0, region).await.unwrap();
        }
        let (code, _, stderr) = factory.spawn(&["serve", "--until-empty"]).wait().await;
        assert_eq!(code, Some(4), "{stderr}");
        let error = "error: cannot use target `second`: AWS does not let us assume the role: AccessDenied: User: ";
        let hint = "hint: check the target's `role_arn` and `external_id`";
        assert!(stderr.contains(error) && stderr.contains(hint), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn start_fails_if_no_target_works() {
    let factory = Factory::new(200.0).await;
    factory.drain().await;
    for (effect, code) in [
        (Effect::Error { status: 403, code: "ExpiredToken".into(), message: "late".into(), executed: false }, 4),
        (Effect::Reset { executed: false }, 5),
    ] {
        let fault = factory.sandbox.faults().set(Fault::new(ApiOperation::GetCallerIdentity, effect)).unwrap();
        let (found, _, stderr) = factory.spawn(&["serve", "--until-empty"]).wait().await;
        assert!(found == Some(code) && stderr.contains("error: cannot use target `default`: "), "{found:?} {stderr}");
        factory.sandbox.faults().clear(fault);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_targets_of_one_account_and_region_must_have_one_rate() {
    let (mut factory, _second) = two_targets(None).await;
    let mut twin = factory.config.targets["second"].clone();
    twin.rates.register_certificate = Rate::new(7.5).unwrap();
    factory.config.targets.insert("twin".to_owned(), twin);
    let (code, _, stderr) = factory.spawn(&["serve", "--until-empty"]).wait().await;
    let error = "error: targets `second` and `twin` are both account 222222222222 in eu-central-1 and share its quota, but \
                 have rates of 200 and 7.5 calls a second\n\
                 hint: set `targets.second.rates.register_certificate` and `targets.twin.rates.register_certificate` to \
                 the account's quota\n";
    assert!(code == Some(6) && stderr.ends_with(error), "{code:?} {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_targets_of_one_account_and_region_share_its_quota() {
    let mut factory = Factory::new(40.0).await;
    let twin = factory.config.targets["default"].clone();
    factory.config.targets.insert("twin".to_owned(), twin);
    enqueue(&factory, "default", 30).await;
    enqueue(&factory, "twin", 30).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 60)]));
    let calls = factory.sandbox.ledger().calls();
    let mut arrivals =
        calls.iter().filter(|call| call.operation == ApiOperation::RegisterCertificate).map(|c| c.arrived);
    let (first, last) = (arrivals.next().unwrap(), arrivals.next_back().unwrap());
    // 59 periods of 25 ms, less a burst of 4; at twice the rate it would take half as long.
    assert!(last.saturating_sub(first) > Duration::from_millis(1100), "{first:?} to {last:?}");
}

/// Writes the keys of a new session into a profile file, as an operator's tool would.
async fn write_profile(factory: &Factory, file: &Path) {
    let sts = aws_sdk_sts::Client::new(&identity::load(&factory.config.aws.access()).await);
    let call = sts.assume_role().role_arn(role().arn.as_str()).role_session_name("operator").external_id("plant-3");
    let keys = call.send().await.unwrap().credentials.unwrap();
    let text = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        keys.access_key_id, keys.secret_access_key, keys.session_token
    );
    std::fs::write(file, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_replaced_in_a_profile_are_used_without_a_restart() {
    let factory = Factory::with(settings(Some(role())), 50.0).await;
    let file = factory.folder().join("credentials");
    write_profile(&factory, &file).await;
    enqueue(&factory, "default", 60).await;
    let mut command = factory.command(&["serve", "--until-empty"]);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let program = Program(command.env("AWS_SHARED_CREDENTIALS_FILE", &file).spawn().unwrap());
    let sandbox = &factory.sandbox;
    factory.until("some are registered", async |_| sandbox.ledger().n_certificates() > 10).await;
    sandbox.expire_sessions();
    let n_denied = || answers(sandbox, ApiOperation::GetCallerIdentity, "ExpiredToken");
    factory.until("a probe finds the same keys", async |_| n_denied() > 0).await;
    write_profile(&factory, &file).await;
    let (code, _, stderr) = program.wait().await;
    assert_eq!((code, factory.outcomes().await), (Some(0), BTreeMap::from([(Code::Ok, 60)])), "{stderr}");
}
