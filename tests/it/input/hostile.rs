//! The hostile corpus, end to end: every request has one outcome, and the worker survives.

use muster_core::job::RegisterCertificate;
use muster_core::outcome::Status;
use muster_sandbox::specimen::hostile;

use crate::factory::Factory;

/// Maximum size of a message, in bytes.
const MESSAGE_MAX: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_request_is_rejected_without_a_call() {
    let factory = Factory::new(1000.0).await;
    let mut n_sent = 0;
    for hostile in hostile::corpus().into_iter().filter(|hostile| hostile.request.ca_certificate_pem.is_none()) {
        // Their issuer is unknown: with the factory's CA in the request, every case is rejected without a call.
        let ca_certificate_pem = Some(factory.ca.pem());
        let body = Factory::job_of(RegisterCertificate { ca_certificate_pem, ..hostile.request }).to_body();
        if body.len() <= MESSAGE_MAX {
            factory.send(&[body]).await;
            n_sent += 1;
        }
    }
    assert!(n_sent > 30, "{n_sent}");
    let metrics = factory.drain().await;
    let outcomes = factory.outcomes().await;
    assert_eq!(metrics.job_panics.get(), 0);
    assert_eq!(outcomes.values().sum::<u64>(), n_sent);
    assert!(outcomes.keys().all(|code| code.status() == Status::Rejected), "{outcomes:?}");
}
