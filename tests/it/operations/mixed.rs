//! One queue with everything in it, in an unfavorable order.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_core::certificate::Certificate;
use muster_core::job::{Job, RegisterCaCertificate};
use muster_core::outcome::Code;
use muster_core::rate::{Rate, burst_of};
use muster_sandbox::specimen::{Ca, Flaw};
use muster_sandbox::{self, ApiOperation};

use super::{device, device_without_ca, factory, n_calls, proven, send, sni_only};
use crate::factory::{BATCH, Factory};

#[tokio::test(flavor = "multi_thread")]
async fn a_mixed_queue_drains_correctly_at_each_operations_rate() {
    let mut factory = factory(100.0).await;
    // The only calls before the CA is registered are those that detect it; no probe is added.
    factory.config.breakers.issuer_probe = Duration::from_hours(1).into();
    let rates = &mut factory.config.targets.get_mut("default").unwrap().rates;
    rates.register_certificate_without_ca = Rate::new(50.0).unwrap();
    rates.register_ca_certificate = Rate::new(10.0).unwrap();
    let cas: Vec<_> = (0..20).map(|i| Ca::new(&format!("CA {i}"))).collect();
    // The devices come first, and their CAs last.
    let mut jobs: Vec<Job> = (0..100).map(|i| device(cas[i % 5].leaf(&format!("early {i}")))).collect();
    jobs.extend((0..100).map(|i| device_without_ca(Ca::new("Unregistered CA").leaf(&format!("alone {i}")))));
    jobs.extend((0..50).map(|i| device(factory.ca.leaf(&format!("device {i}")))));
    jobs.push(device_without_ca(factory.ca.flawed(Flaw::Expired, "expired")));
    jobs.push(Factory::job_of(RegisterCaCertificate {
        ca_certificate: factory.ca.leaf("no CA"),
        ..sni_only(&factory.ca)
    }));
    jobs.extend(
        cas.iter()
            .enumerate()
            .map(|(i, ca)| Factory::job_of(if i % 2 == 0 { sni_only(ca) } else { proven(&factory, ca) })),
    );
    send(&factory, jobs).await;
    factory.drain().await;

    let outcomes = factory.outcomes().await;
    assert_eq!(outcomes, BTreeMap::from([(Code::Ok, 270), (Code::Expired, 1), (Code::CaNotACa, 1)]));
    let ledger = factory.sandbox.ledger();
    assert_eq!((ledger.n_certificates(), ledger.n_authorities()), (250, 21));
    for (operation, rate) in [
        (ApiOperation::RegisterCertificate, 100),
        (ApiOperation::RegisterCertificateWithoutCA, 50),
        (ApiOperation::RegisterCACertificate, 10),
    ] {
        // Other tests share the machine: allow a twentieth more, because a network can bunch calls.
        let most = (rate + burst_of(Rate::new(f64::from(rate)).unwrap()) + 1) * 21 / 20 + 1;
        let worst = ledger.worst_second(operation);
        assert!(worst <= most as usize, "{worst} calls of {operation} in a second, {most} allowed");
    }
    let mut quotas: Vec<(String, f64)> =
        sqlx::query_as("select operation, ceiling from rate_limits").fetch_all(&factory.database.pool).await.unwrap();
    quotas.sort_by(|(one, _), (other, _)| one.cmp(other));
    let quota = |operation: ApiOperation, rate| (operation.to_string(), rate);
    assert_eq!(
        quotas,
        [
            quota(ApiOperation::RegisterCACertificate, 10.0),
            quota(ApiOperation::RegisterCertificate, 100.0),
            quota(ApiOperation::RegisterCertificateWithoutCA, 50.0),
        ]
    );
    // Two calls per CA are enough to detect it; on a busy machine more may be in flight meanwhile.
    let wasted = n_calls(&factory, ApiOperation::RegisterCertificate) - 150;
    assert!(wasted <= 60, "{wasted} calls for devices whose CA was not registered");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_a_refused_ca_wait_until_it_is_registered() {
    let mut factory = factory(500.0).await;
    // No probe helps: jobs are resent only because the CA was registered.
    factory.config.breakers.issuer_probe = Duration::from_hours(1).into();
    let ca = Ca::new("Late CA");
    let no_template = RegisterCaCertificate {
        registration_config: Some(muster_core::job::RegistrationConfig {
            template_name: Some("nowhere".to_owned()),
            ..Default::default()
        }),
        ..sni_only(&ca)
    };
    send(&factory, [Factory::job_of(no_template)]).await;
    send(&factory, (0..40).map(|i| device(ca.leaf(&format!("device {i}"))))).await;
    let serving = factory.serve().await;
    factory.until("all devices are parked", async |factory| n_parked(factory).await == 40).await;
    let refused = BTreeMap::from([(Code::ResourceNotFound, 1), (Code::IssuerInactive, 40)]);
    assert_eq!(factory.outcomes().await, refused);
    let calls = n_calls(&factory, ApiOperation::RegisterCertificate);

    send(&factory, [Factory::job_of(sni_only(&ca))]).await;
    let all_registered = BTreeMap::from([(Code::Ok, 41)]);
    factory.until("all are registered", async |factory| factory.outcomes().await == all_registered).await;
    assert!(n_calls(&factory, ApiOperation::RegisterCertificate) <= calls + 40 + 1);
    serving.stop().await;
}

async fn n_parked(factory: &Factory) -> u64 {
    let status = factory.ledger.batch_status(BATCH).await.unwrap();
    status.map_or(0, |status| status.parked())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_registered_once_by_either_operation() {
    let factory = factory(500.0).await;
    let pem = factory.ca.leaf("device");
    send(&factory, [device(pem.clone()), device_without_ca(pem.clone())]).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 1), (Code::Known, 1)]));

    let later = Job { batch: "later".parse().unwrap(), ..device_without_ca(pem.clone()) };
    send(&factory, [later, Job { batch: "later".parse().unwrap(), ..device(pem) }]).await;
    factory.drain().await;
    let calls = [ApiOperation::RegisterCertificate, ApiOperation::RegisterCertificateWithoutCA];
    assert_eq!(calls.map(|operation| n_calls(&factory, operation)).iter().sum::<usize>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_can_be_a_ca_and_a_device() {
    let factory = factory(500.0).await;
    let ca = Ca::new("CA");
    send(&factory, [Factory::job_of(sni_only(&ca)), device_without_ca(ca.pem())]).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 2)]));
    let id = Certificate::from_pem(&ca.pem()).unwrap().id();
    let ledger = factory.sandbox.ledger();
    assert!(ledger.authority(id).is_some() && ledger.certificate(id).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_operation_does_not_stop_the_others() {
    let factory = factory(500.0).await;
    let denied = muster_sandbox::Effect::Error {
        status: 403,
        code: "AccessDeniedException".into(),
        message: "not allowed".into(),
        executed: false,
    };
    let fault =
        factory.sandbox.faults().set(muster_sandbox::Fault::new(ApiOperation::RegisterCACertificate, denied)).unwrap();
    send(&factory, [Factory::job_of(sni_only(&Ca::new("CA")))]).await;
    let serving = factory.serve().await;
    let is_denied = async |factory: &Factory| n_calls(factory, ApiOperation::RegisterCACertificate) > 0;
    factory.until("the CA is denied", is_denied).await;
    send(&factory, (0..20).map(|i| device(factory.ca.leaf(&format!("device {i}"))))).await;
    let others_registered = BTreeMap::from([(Code::Ok, 20), (Code::TargetUnavailable, 1)]);
    factory
        .until("the devices are registered and the CA waits", async |factory| {
            factory.outcomes().await == others_registered
        })
        .await;
    assert!(factory.sandbox.faults().clear(fault));
    let all_registered = BTreeMap::from([(Code::Ok, 21)]);
    factory.until("the CA is registered", async |factory| factory.outcomes().await == all_registered).await;
    serving.stop().await;
}
