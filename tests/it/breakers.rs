//! What holds calls back: trouble that meets all jobs alike blames none, burns no delivery and wastes no call.

use std::collections::BTreeMap;
use std::time::Duration;

use muster::outcome::Code;
use muster::sandbox::{Effect, Fault, Operation};

use crate::factory::Factory;

const PROBE_EVERY: Duration = Duration::from_millis(300);

/// A factory whose breakers probe often.
async fn factory(rate: f64) -> Factory {
    let mut factory = Factory::new(rate).await;
    let probe = PROBE_EVERY.into();
    let breakers = &mut factory.config.breakers;
    (breakers.target_probe, breakers.issuer_probe, breakers.batch_probe) = (probe, probe, probe);
    let short = |ms| Duration::from_millis(ms).into();
    (factory.config.retry.first_wait, factory.config.retry.max_wait) = (short(5), short(20));
    factory
}

fn every_call(code: &str, status: u16) -> Fault {
    let error = Effect::Error { status, code: code.into(), message: "as ordered".into(), executed: false };
    Fault::new(Operation::RegisterCertificate, error)
}

/// When the calls of RegisterCertificate arrived.
fn arrivals(factory: &Factory) -> Vec<Duration> {
    let calls = factory.sandbox.ledger().calls();
    calls.iter().filter(|call| call.operation == Operation::RegisterCertificate).map(|call| call.arrived).collect()
}

/// Lets every call meet a fault until `n_calls` were made, then mends it; tells when the calls arrived until then.
async fn calls_until_mended(factory: &Factory, fault: Fault, n_calls: usize) -> Vec<Duration> {
    let id = factory.sandbox.faults().set(fault).unwrap();
    let mend = async {
        factory.until("probes are made", async |f| f.n_calls() >= n_calls).await;
        factory.sandbox.faults().clear(id);
        arrivals(factory)
    };
    tokio::join!(factory.drain(), mend).1
}

fn all_went_well(factory: &Factory, ends: &BTreeMap<Code, u64>, n: u64) {
    assert_eq!(*ends, BTreeMap::from([(Code::Ok, n)]));
    let counts = factory.counts("jobs");
    assert_eq!((counts.deliveries, counts.deleted), (n, n), "each message was delivered once");
    assert_eq!(factory.counts("jobs-dead").sent, 0);
}

/// Some calls may have been under way when the breaker opened; from the `first` on they are probes.
fn are_probes(arrivals: &[Duration], first: usize) {
    for pair in arrivals[first..].windows(2) {
        let between = pair[1].saturating_sub(pair[0]);
        assert!(between >= PROBE_EVERY, "{between:?} between two calls of {arrivals:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_stop_the_calls_but_for_a_probe_and_blame_nobody() {
    let factory = factory(20.0).await;
    factory.enqueue(&factory.leaves(30)).await;
    let arrivals = calls_until_mended(&factory, every_call("ExpiredTokenException", 403), 12).await;
    are_probes(&arrivals, 7);
    all_went_well(&factory, &factory.ends().await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_stops_the_calls_but_for_a_probe_and_blames_nobody() {
    let mut factory = factory(50.0).await;
    factory.config.retry.attempts = 2;
    factory.enqueue(&factory.leaves(30)).await;
    let arrivals = calls_until_mended(&factory, every_call("ServiceUnavailableException", 503), 36).await;
    are_probes(&arrivals, 31);
    all_went_well(&factory, &factory.ends().await, 30);
}
