//! Circuit breakers and holds: trouble that affects all jobs fails none, uses up no delivery and wastes no call.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_core::job::Job;
use muster_core::outcome::{Code, Status};
use muster_sandbox::specimen::{Ca, Flaw};
use muster_sandbox::{self, ApiOperation, Effect, Fault, Sandbox};

use crate::factory::{BATCH, Factory, PROBE_EVERY, count_only};

/// Creates a factory whose jobs wait only briefly between attempts.
async fn factory(rate: f64) -> Factory {
    let settings = muster_sandbox::SandboxSettings { rates: muster_sandbox::Rates::all(rate), ..count_only() };
    let mut factory = Factory::with(settings, rate).await;
    let short = |ms| Duration::from_millis(ms).into();
    (factory.config.retry.first_wait, factory.config.retry.max_wait) = (short(5), short(20));
    factory
}

fn every_call(code: &str, status: u16) -> Fault {
    let error = Effect::Error { status, code: code.into(), message: "as ordered".into(), executed: false };
    Fault::new(ApiOperation::RegisterCertificate, error)
}

/// Returns when the calls of RegisterCertificate arrived.
fn arrivals(factory: &Factory) -> Vec<Duration> {
    let calls = factory.sandbox.ledger().calls();
    calls.iter().filter(|call| call.operation == ApiOperation::RegisterCertificate).map(|call| call.arrived).collect()
}

/// Applies a fault to every call until `n_calls` were made, then clears it; returns when those calls arrived.
async fn calls_until_fixed(factory: &Factory, fault: Fault, n_calls: usize) -> Vec<Duration> {
    let id = factory.sandbox.faults().set(fault).unwrap();
    let fix = async {
        factory.until("probes are made", async |f| f.n_calls() >= n_calls).await;
        factory.sandbox.faults().clear(id);
        arrivals(factory)
    };
    tokio::join!(Box::pin(factory.drain()), fix).1
}

fn assert_each_registered_once(factory: &Factory, outcomes: &BTreeMap<Code, u64>, n: u64) {
    assert_eq!(*outcomes, BTreeMap::from([(Code::Ok, n)]));
    let counts = factory.counts("jobs");
    assert_eq!((counts.deliveries, counts.deleted), (n, n), "each message was delivered once");
    assert_eq!(factory.counts("jobs-dead").sent, 0);
}

/// Asserts that the calls from index `first` on are half-open probes; some earlier calls may have been in flight when
/// the breaker opened.
fn assert_are_probes(arrivals: &[Duration], first: usize) {
    for pair in arrivals[first..].windows(2) {
        let between = pair[1].saturating_sub(pair[0]);
        assert!(between >= PROBE_EVERY, "{between:?} between two calls of {arrivals:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_stop_all_calls_but_probes_and_fail_no_job() {
    let factory = factory(20.0).await;
    factory.enqueue(&factory.leaves(30)).await;
    let arrivals = calls_until_fixed(&factory, every_call("ExpiredTokenException", 403), 12).await;
    assert_are_probes(&arrivals, 7);
    assert_each_registered_once(&factory, &factory.outcomes().await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_stops_all_calls_but_probes_and_fails_no_job() {
    let mut factory = factory(50.0).await;
    factory.config.retry.attempts = 2;
    factory.enqueue(&factory.leaves(30)).await;
    let arrivals = calls_until_fixed(&factory, every_call("ServiceUnavailableException", 503), 36).await;
    assert_are_probes(&arrivals, 31);
    assert_each_registered_once(&factory, &factory.outcomes().await, 30);
}

/// Returns the number of calls that did not register a certificate.
fn n_wasted(factory: &Factory) -> usize {
    factory.n_calls() - factory.sandbox.ledger().n_certificates()
}

/// Sends jobs of a healthy issuer mixed with jobs of an issuer whose CA is not registered; registers the CA once all
/// are processed.
async fn run_with_an_unregistered_ca(n: u32, rate: f64) -> (Factory, Option<f64>) {
    let mut factory = factory(rate).await;
    factory.patience += Duration::from_secs_f64(2.0 * f64::from(n) / rate);
    let unregistered = Ca::new("A CA that nobody registered");
    let mut pems: Vec<_> = (0..n).map(|i| unregistered.leaf(&format!("held {i}"))).collect();
    pems.extend(factory.leaves(n as usize));
    fastrand::Rng::with_seed(7).shuffle(&mut pems);
    factory.enqueue(&pems).await;
    let service = factory.serve().await;
    let n = u64::from(n);
    let outcomes = BTreeMap::from([(Code::Ok, n), (Code::IssuerInactive, n)]);
    factory
        .until("jobs of the healthy issuer are registered, the others parked", async |f| f.outcomes().await == outcomes)
        .await;
    let healthy_quota_used = factory.sandbox.ledger().quota_used(ApiOperation::RegisterCertificate);
    factory.sandbox.plant_ca(&unregistered.pem()).unwrap();
    let outcomes = BTreeMap::from([(Code::Ok, 2 * n)]);
    factory.until("all are registered", async |f| f.outcomes().await == outcomes).await;
    service.stop().await;
    assert_eq!(factory.counts("jobs-dead").sent, 0);
    (factory, healthy_quota_used)
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_an_unregistered_ca_are_parked_and_resent() {
    let (factory, _) = run_with_an_unregistered_ca(150, 300.0).await;
    let n_wasted = n_wasted(&factory);
    assert!(n_wasted < 75, "{n_wasted} calls were wasted on 150 jobs of the CA");
    let n_holds: i64 =
        sqlx::query_scalar("select count(*) from holds").fetch_one(&factory.database.pool).await.unwrap();
    assert_eq!(n_holds, 0, "no hold is left");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: cargo test --test it -- --ignored --nocapture twenty_thousand"]
async fn twenty_thousand_jobs_of_an_unregistered_ca_do_not_slow_others() {
    let (factory, quota_used) = run_with_an_unregistered_ca(20_000, 200.0).await;
    let quota_used = quota_used.unwrap();
    println!("quota used by the healthy issuer {quota_used:.3}, wasted calls {}", n_wasted(&factory));
    assert!(quota_used > 0.9);
}

/// Each certificate has an issuer of its own, and only a call shows that AWS does not know it.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_a_new_issuer_per_certificate_is_held() {
    const N: u32 = 500;
    let factory = factory(300.0).await;
    let stray = |i| {
        let pem = Ca::new(&format!("issuer {i}")).leaf("device");
        Job { batch: "strays".parse().unwrap(), ..Factory::job(&pem) }.to_body()
    };
    factory.send(&(0..N).map(stray).collect::<Vec<_>>()).await;
    factory.enqueue(&factory.leaves(50)).await;
    let service = factory.serve().await;
    let parked = async |f: &Factory| f.ledger.batch_status("strays").await.unwrap().map_or(0, |batch| batch.parked());
    factory.until("all strays are parked", async |f| parked(f).await == u64::from(N)).await;
    factory.until("the others are registered", async |f| f.outcomes().await == BTreeMap::from([(Code::Ok, 50)])).await;
    let holds = factory.ledger.open_holds().await.unwrap();
    assert!(holds.iter().any(|open| open.hold.as_str() == "batch:strays" && open.is_closed), "{}", holds.len());
    // The hold begins after 200 failures, and more calls may be in flight by then.
    let before = n_wasted(&factory);
    assert!(before < 420, "{before} calls for {N} strays");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let n_probes = n_wasted(&factory) - before;
    service.stop().await;
    assert!(n_probes <= 80, "{n_probes} probes in three seconds at 300/s, plus those accumulated in ten seconds");
}

/// Repeated probes of a few certificates do not count as further outcomes of their batch.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_probe_failures_do_not_hold_their_batch() {
    const N: usize = 20;
    let mut factory = factory(300.0).await;
    factory.config.breakers.batch_probe = Duration::from_mins(10).into();
    let strays: Vec<_> = (0..N).map(|i| Ca::new(&format!("issuer {i}")).leaf("device")).collect();
    factory.enqueue(&strays).await;
    let service = factory.serve().await;
    let parked = async |f: &Factory| f.ledger.batch_status(BATCH).await.unwrap().map_or(0, |batch| batch.parked());
    factory.until("all are parked", async |f| parked(f).await == N as u64).await;
    factory.until("probes are made", async |f| f.n_calls() > N).await;
    // It takes 200 outcomes to hold a batch.
    for _ in 0..220 / N {
        factory.enqueue(&strays).await;
        let is_empty = |f: &Factory| f.counts("jobs").visible + f.counts("jobs").in_flight == 0;
        factory.until("the queue is empty", async |f| is_empty(f)).await;
    }
    assert!(factory.n_calls() > 200 + N, "{} calls", factory.n_calls());
    factory.enqueue(&factory.leaves(10)).await;
    factory.until("the valid ones are registered", async |f| f.outcomes().await.get(&Code::Ok) == Some(&10)).await;
    service.stop().await;
    let holds = factory.ledger.open_holds().await.unwrap();
    assert!(holds.iter().all(|open| !open.is_closed), "{holds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_batch_is_parked_until_an_operator_releases_it() {
    // More than can be in flight when the 200th outcome is recorded.
    const N: u64 = 600;
    let mut factory = factory(300.0).await;
    factory.config.breakers.batch_probe = Duration::from_mins(10).into();
    // The precheck does not know this CA, so only AWS detects that its certificates are wrongly signed.
    let ca = Ca::new("A CA known only to AWS");
    factory.sandbox.plant_ca(&ca.pem()).unwrap();
    let in_batch = |batch: &str, pem: String| Job { batch: batch.parse().unwrap(), ..Factory::job(&pem) }.to_body();
    let failing_job = |i| in_batch("bad", ca.flawed(Flaw::WronglySigned, &format!("bad {i}")));
    let valid_job = |i| in_batch("good", factory.ca.leaf(&format!("good {i}")));
    factory.send(&(0..N).map(failing_job).collect::<Vec<_>>()).await;
    factory.send(&(0..20).map(valid_job).collect::<Vec<_>>()).await;
    let service = factory.serve().await;
    let failing = async |f: &Factory| {
        let failing = f.ledger.batch_status("bad").await.unwrap().unwrap_or_default();
        (failing.finished(), failing.parked())
    };
    let valid = async |f: &Factory| f.ledger.batch_status("good").await.unwrap().unwrap_or_default();
    factory
        .until("the rest is parked and the other batch registered", async |f| {
            let (n_failed, n_parked) = failing(f).await;
            n_parked > 0 && n_failed + n_parked == N && valid(f).await.with_status(Status::Registered) == 20
        })
        .await;

    let (n_failed, _) = failing(&factory).await;
    let (code, list, _) = factory.spawn(&["holds"]).wait().await;
    assert!(code == Some(0) && list.contains("calls for the batch failed with certificate_validation"), "{list}");
    assert_eq!(factory.spawn(&["holds", "release", "batch:bad"]).wait().await.0, Some(0));
    // The resent jobs fail again, so the rest may be parked again.
    factory.until("jobs are resent", async |f| failing(f).await.0 > n_failed).await;
    service.stop().await;
    assert_eq!(factory.counts("jobs-dead").sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_denies_calls_does_not_hold_up_another() {
    let mut factory = factory(200.0).await;
    let second = Sandbox::start(muster_sandbox::SandboxSettings::default()).await.unwrap();
    second.plant_ca(&factory.ca.pem()).unwrap();
    let mut target = factory.config.targets["default"].clone();
    (target.endpoint_url, target.region) = (Some(second.url()), Some("eu-west-1".to_owned()));
    factory.config.targets.insert("second".to_owned(), target);
    let denied = second.faults().set(every_call("UnrecognizedClientException", 403)).unwrap();
    let to_second = |pem: &String| Job { target: "second".parse().unwrap(), ..Factory::job(pem) }.to_body();
    factory.send(&factory.leaves(60).iter().map(to_second).collect::<Vec<_>>()).await;
    factory.enqueue(&(0..60).map(|i| factory.ca.leaf(&format!("here {i}"))).collect::<Vec<_>>()).await;
    let service = factory.serve().await;
    factory
        .until("jobs of the first target are registered", async |f| f.outcomes().await.get(&Code::Ok) == Some(&60))
        .await;
    assert_eq!(second.ledger().n_certificates(), 0);
    second.faults().clear(denied);
    factory.until("all are registered", async |f| f.outcomes().await == BTreeMap::from([(Code::Ok, 120)])).await;
    service.stop().await;
    assert_eq!((second.ledger().n_certificates(), factory.counts("jobs-dead").sent), (60, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_made_while_outcomes_cannot_be_recorded() {
    let factory = factory(100.0).await;
    factory.enqueue(&factory.leaves(100)).await;
    let service = factory.serve().await;
    factory.until("some are registered", async |f| f.outcomes().await.get(&Code::Ok).is_some_and(|&n| n > 10)).await;
    let full = "create function no_space() returns trigger language plpgsql as
        $$ begin raise exception 'no space left on device' using errcode = '53100'; end $$;
        create trigger no_space before insert on registrations execute function no_space()";
    sqlx::raw_sql(full).execute(&factory.database.pool).await.unwrap();
    factory
        .until("the breaker opens", async |_| service.readiness().await["breakers"][0]["breaker"] == "postgres")
        .await;
    let before = factory.n_calls();
    // At 100/s, one second would allow 100 calls. Calls in flight when the fault was noticed still finish meanwhile.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let n_meanwhile = factory.n_calls() - before;
    assert!(n_meanwhile <= 3, "{n_meanwhile} calls were made whose outcome could not be recorded");
    sqlx::raw_sql("drop trigger no_space on registrations").execute(&factory.database.pool).await.unwrap();
    factory.until("all are registered", async |f| f.outcomes().await == BTreeMap::from([(Code::Ok, 100)])).await;
    service.stop().await;
    assert_eq!(factory.n_calls(), 100);
    assert_each_registered_once(&factory, &factory.outcomes().await, 100);
}
