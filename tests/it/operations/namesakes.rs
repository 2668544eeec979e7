//! CAs that share a name.

use std::collections::BTreeMap;

use muster_core::outcome::Code;
use muster_sandbox::ApiOperation;
use muster_sandbox::specimen::{Ca, KeyKind};

use super::{device, factory, n_calls, only_row, send, sni_only};
use crate::factory::Factory;

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_retried_with_the_ca_from_the_ledger() {
    let factory = factory(500.0).await;
    let one = Ca::new("Twin CA");
    let other = one.impostor(KeyKind::P256);
    send(&factory, [&one, &other].map(|ca| Factory::job_of(sni_only(ca)))).await;
    factory.drain().await;
    // One after the other: only the first meets the conflict.
    for (i, ca) in [&one, &other, &one, &other].into_iter().enumerate() {
        send(&factory, [device(ca.leaf(&format!("device {i}")))]).await;
    }
    let serving = factory.serve().await;
    let all_registered = BTreeMap::from([(Code::Ok, 6)]);
    factory.until("all are registered", async |factory| factory.outcomes().await == all_registered).await;
    let conflicts = n_calls(&factory, ApiOperation::RegisterCertificate) - 4;
    assert!((1..=4).contains(&conflicts), "{conflicts}");
    let calls = n_calls(&factory, ApiOperation::RegisterCertificate);
    send(&factory, [device(other.leaf("a later device"))]).await;
    let all_registered = BTreeMap::from([(Code::Ok, 7)]);
    factory.until("it is registered", async |factory| factory.outcomes().await == all_registered).await;
    assert_eq!(n_calls(&factory, ApiOperation::RegisterCertificate), calls + 1, "its CA is sent at once");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_waits_while_the_ledger_is_unavailable() {
    let factory = factory(500.0).await;
    let one = Ca::new("Twin CA");
    let other = one.impostor(KeyKind::P256);
    send(&factory, [&one, &other].map(|ca| Factory::job_of(sni_only(ca)))).await;
    factory.drain().await;
    let rename = async |from: &str, to: &str| {
        let statement = sqlx::AssertSqlSafe(format!("alter table {from} rename to {to}"));
        sqlx::query(statement).execute(&factory.database.pool).await.unwrap();
    };
    rename("authorities", "hidden").await;
    send(&factory, [device(other.leaf("device"))]).await;
    let serving = factory.serve().await;
    let is_failing = |readiness: &serde_json::Value| readiness.to_string().contains("authorities");
    factory.until("the ledger fails", async |_| is_failing(&serving.readiness().await)).await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 2)]), "no certificate is blamed");
    rename("hidden", "authorities").await;
    let all_registered = BTreeMap::from([(Code::Ok, 3)]);
    factory.until("it is registered", async |factory| factory.outcomes().await == all_registered).await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_retried_with_a_configured_ca() {
    let factory = factory(500.0).await;
    let twin = factory.ca.impostor(KeyKind::P256);
    factory.sandbox.plant_ca(&twin.pem()).unwrap();
    send(&factory, [device(factory.ca.leaf("device"))]).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 1)]));
    assert_eq!(n_calls(&factory, ApiOperation::RegisterCertificate), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_with_an_unknown_ca_says_what_to_resend() {
    let factory = factory(500.0).await;
    let one = Ca::new("Twin CA");
    let other = one.impostor(KeyKind::P256);
    for ca in [&one, &other] {
        factory.sandbox.plant_ca(&ca.pem()).unwrap();
    }
    send(&factory, [device(one.leaf("device"))]).await;
    factory.drain().await;
    let (code, detail, _) = only_row(&factory, "RegisterCertificate").await;
    assert_eq!(code, "certificate_conflict");
    assert!(detail.starts_with("CertificateConflictException: "), "{detail}");
    assert!(detail.contains("resend it with caCertificatePem"), "{detail}");
    assert_eq!(n_calls(&factory, ApiOperation::RegisterCertificate), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eleventh_ca_of_one_name_is_exhausted_and_names_the_ten() {
    let factory = factory(500.0).await;
    let cas: Vec<_> = (0..10).map(|_| Ca::new("Common CA")).collect();
    send(&factory, cas.iter().map(|ca| Factory::job_of(sni_only(ca)))).await;
    factory.drain().await;
    let calls = n_calls(&factory, ApiOperation::RegisterCACertificate);
    send(&factory, [Factory::job_of(sni_only(&Ca::new("Common CA")))]).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 10), (Code::LimitExceeded, 1)]));
    assert_eq!(n_calls(&factory, ApiOperation::RegisterCACertificate), calls + 5, "a bounded backoff");
    let detail: String = sqlx::query_scalar("select detail from registrations where code = 'limit_exceeded'")
        .fetch_one(&factory.database.pool)
        .await
        .unwrap();
    for ca in &cas {
        assert!(detail.contains(&ca.certificate().id().to_string()), "{detail}");
    }
}
