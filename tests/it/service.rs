//! The complete service over real HTTP and a real Postgres.

use std::collections::BTreeMap;

use muster::aws::queue::QueueAttributes;
use muster_core::job::{Job, RegisterCertificate};
use muster_core::outcome::Code;
use muster_sandbox::specimen::{Ca, Flaw};
use strum::VariantArray;

use crate::factory::{Factory, count_only, queue_attributes};

#[tokio::test(flavor = "multi_thread")]
async fn every_certificate_is_registered_and_its_message_deleted() {
    let factory = Factory::new(1000.0).await;
    let pems = factory.leaves(50);
    factory.enqueue(&pems).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 50)]));
    assert_eq!((factory.n_calls(), factory.sandbox.ledger().n_certificates()), (50, 50));
    let counts = factory.counts("jobs");
    assert_eq!((counts.deleted, counts.deliveries), (50, 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flaw_is_rejected_for_its_reason_and_costs_no_call() {
    let factory = Factory::new(1000.0).await;
    let mut wanted = BTreeMap::new();
    for &flaw in Flaw::VARIANTS {
        let certificate_pem = factory.ca.flawed(flaw, &format!("device {flaw}"));
        let ca_certificate_pem = Some(factory.ca.pem());
        let request = RegisterCertificate { certificate_pem, ca_certificate_pem, ..RegisterCertificate::default() };
        factory.send(&[Factory::job_of(request).to_body()]).await;
        *wanted.entry(flaw.code()).or_insert(0) += 1;
    }
    factory.drain().await;
    assert_eq!(factory.outcomes().await, wanted);
    assert_eq!(factory.n_calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_verified_with_a_ca_from_the_folder() {
    let factory = Factory::new(1000.0).await;
    factory.enqueue(&[factory.ca.flawed(Flaw::WronglySigned, "device"), factory.ca.leaf("device")]).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 1), (Code::SignatureInvalid, 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_one_certificate_cost_one_call() {
    let factory = Factory::new(1000.0).await;
    let pems = factory.leaves(5);
    for _ in 0..4 {
        factory.enqueue(&pems).await;
    }
    factory.drain().await;
    assert_eq!(factory.n_calls(), 5);
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 5)]));
    let duplicates: Vec<i32> =
        sqlx::query_scalar("select n_duplicates from registrations").fetch_all(&factory.database.pool).await.unwrap();
    assert_eq!(duplicates, [3; 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_certificate_costs_no_call_in_another_batch() {
    let factory = Factory::new(1000.0).await;
    let pems = factory.leaves(5);
    factory.enqueue(&pems).await;
    factory.drain().await;
    let mut bodies: Vec<String> = Vec::new();
    for pem in &pems {
        let mut job = Factory::job(pem);
        job.batch = "second".parse().unwrap();
        bodies.push(job.to_body());
    }
    factory.send(&bodies).await;
    factory.drain().await;
    assert_eq!(factory.n_calls(), 5);
    let second = factory.ledger.batch_status("second").await.unwrap().unwrap();
    assert_eq!(second.counts.iter().map(|count| (count.code, count.n)).collect::<Vec<_>>(), [(Code::Known, 5)]);
    assert_eq!(second.counts[0].n_status_differs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_verify_calls_aws_again() {
    let factory = Factory::new(1000.0).await;
    let pems = factory.leaves(1);
    factory.enqueue(&pems).await;
    factory.drain().await;
    let mut job = Factory::job(&pems[0]);
    (job.verify, job.batch) = (true, "second".parse().unwrap());
    factory.send(&[job.to_body()]).await;
    factory.drain().await;
    assert_eq!(factory.n_calls(), 2);
    let second = factory.ledger.batch_status("second").await.unwrap().unwrap();
    let found = (second.counts[0].code, second.counts[0].n_status_differs);
    assert_eq!(found, (Code::Exists, 0), "the ledger knows the status that it was registered with");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_verify_ignores_the_look_up_of_a_copy() {
    let factory = Factory::new(1000.0).await;
    let pems = factory.leaves(1);
    factory.enqueue(&pems).await;
    factory.drain().await;
    let plain = Factory::job(&pems[0]);
    let verifying = Job { verify: true, batch: "second".parse().unwrap(), ..plain.clone() };
    factory.send(&[plain.to_body(), verifying.to_body()]).await;
    factory.drain().await;
    let second = factory.ledger.batch_status("second").await.unwrap().unwrap();
    assert_eq!((second.counts[0].code, factory.n_calls()), (Code::Exists, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles_fail_no_job() {
    let settings = muster_sandbox::SandboxSettings {
        rates: muster_sandbox::Rates::all(100.0),
        burst: Some(1.0),
        ..Default::default()
    };
    let factory = Factory::with(settings, 400.0).await;
    factory.enqueue(&factory.leaves(120)).await;
    factory.drain().await;
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, 120)]));
    let throttled = factory.sandbox.ledger().throttled(muster_sandbox::ApiOperation::RegisterCertificate);
    assert!(throttled > 0, "no call was throttled");
    assert_eq!(factory.n_calls(), 120 + throttled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_a_job_is_quarantined_without_its_key() {
    let factory = Factory::new(1000.0).await;
    let key = "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----";
    factory.send(&["no job".into(), format!("no job either: {key}")]).await;
    let metrics = factory.drain().await;
    assert_eq!((factory.ledger.quarantined().await.unwrap(), metrics.n_failed()), (2, 2));
    let bodies: Vec<Vec<u8>> =
        sqlx::query_scalar("select body from quarantine").fetch_all(&factory.database.pool).await.unwrap();
    assert!(bodies.iter().all(|body| !String::from_utf8_lossy(body).contains("SECRET")));
    assert_eq!(factory.counts("jobs").deleted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_an_unknown_target_is_quarantined() {
    let factory = Factory::new(1000.0).await;
    let mut job = Factory::job(&factory.ca.leaf("device"));
    job.target = "mars".parse().unwrap();
    factory.send(&[job.to_body()]).await;
    factory.drain().await;
    let reason: String =
        sqlx::query_scalar("select reason from quarantine").fetch_one(&factory.database.pool).await.unwrap();
    assert_eq!((reason.as_str(), factory.n_calls()), ("unknown_target", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_is_never_stored() {
    let factory = Factory::new(1000.0).await;
    factory.enqueue(&[factory.ca.flawed(Flaw::WithPrivateKey, "device")]).await;
    factory.drain().await;
    let (code, has_request): (String, bool) = sqlx::query_as("select code, request is not null from registrations")
        .fetch_one(&factory.database.pool)
        .await
        .unwrap();
    assert_eq!((code.as_str(), has_request), ("private_key", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_job_keeps_its_request_for_a_replay() {
    let factory = Factory::new(1000.0).await;
    let pem = factory.ca.flawed(Flaw::Expired, "device");
    factory.enqueue(std::slice::from_ref(&pem)).await;
    factory.drain().await;
    let request: String = sqlx::query_scalar("select request ->> 'certificatePem' from registrations")
        .fetch_one(&factory.database.pool)
        .await
        .unwrap();
    assert_eq!(request, pem);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_loses_nothing_and_wastes_only_calls_in_flight() {
    // The messages of a killed worker come back soon; a busy machine needs more deliveries than the kills alone cause.
    let attributes = QueueAttributes { max_receive_count: Some(20), ..queue_attributes() };
    let factory = Factory::with_queue(count_only(), 200.0, attributes).await;
    factory.enqueue(&factory.leaves(300)).await;
    for calls in [60, 150] {
        let program = factory.spawn(&["serve"]);
        factory.until("calls are made", async |f| f.n_calls() >= calls).await;
        program.signal("KILL");
        assert_eq!(program.wait().await.0, None);
    }
    let in_flight_at_kills = factory.counts("jobs").in_flight;
    let (code, _, log) = factory.spawn(&["serve", "--until-empty"]).wait().await;
    assert_eq!(code, Some(0), "{log}");
    let outcomes = factory.outcomes().await;
    assert_eq!(outcomes.values().sum::<u64>(), 300, "{outcomes:?}");
    assert!(outcomes.keys().all(|code| code.status().is_success()), "{outcomes:?}");
    assert_eq!(factory.sandbox.ledger().n_certificates(), 300);
    let wasted = factory.n_calls() - 300;
    assert!(wasted <= 2 * 100, "{wasted} calls were wasted, {in_flight_at_kills} were in flight");
    assert_eq!(factory.counts("jobs-dead").sent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_worker_exits_cleanly_and_releases_its_messages() {
    let factory = Factory::new(100.0).await;
    factory.enqueue(&factory.leaves(300)).await;
    let program = factory.spawn(&["serve"]);
    factory.until("calls are made", async |f| f.n_calls() >= 50).await;
    program.signal("TERM");
    let (code, _, log) = program.wait().await;
    assert_eq!(code, Some(0), "{log}");
    let counts = factory.counts("jobs");
    assert_eq!(counts.in_flight, 0, "all messages are visible again");
    assert_eq!(factory.n_calls() as u64, counts.deleted, "every call's job was recorded and deleted");
    assert_eq!(factory.outcomes().await.values().sum::<u64>(), counts.deleted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_unknown_ca_is_not_blamed() {
    let factory = Factory::new(1000.0).await;
    let other = Ca::new("Another CA");
    factory.enqueue(&[other.leaf("device")]).await;
    factory.drain().await;
    assert!(factory.outcomes().await.keys().all(|code| *code != Code::SignatureInvalid));
}
