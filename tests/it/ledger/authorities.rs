//! The CAs in the ledger: which are registered, which failed, and which jobs wait for them.

use muster::ledger::authority::Authority;
use muster::ledger::{Ledger, Page, Row};
use muster_core::certificate::CertificateId;
use muster_core::hold::HoldKey;
use muster_core::job::{CertificateMode, CertificateStatus, Operation, RegisterCaCertificate};
use muster_core::outcome::Code;
use muster_sandbox::specimen::Ca;
use time::{Duration, OffsetDateTime};

use super::{ACCOUNT, REGION, assert_counters_equal_the_rows, page, record, row};
use crate::database::Database;

const SUBJECT_KEY: [u8; 32] = [9; 32];

/// Returns the CA with the given number, as registered or found at `registered_at`.
fn authority(n: u32, status: Option<CertificateStatus>, registered_at: OffsetDateTime) -> Authority {
    Authority {
        account: ACCOUNT.into(),
        region: REGION.into(),
        certificate_id: CertificateId(row(n, Code::Ok).subject),
        subject: "CN=Plant CA".into(),
        subject_key: SUBJECT_KEY,
        pem: "pem".into(),
        mode: status.map(|_| CertificateMode::SniOnly),
        status,
        not_before: OffsetDateTime::UNIX_EPOCH,
        not_after: OffsetDateTime::UNIX_EPOCH,
        registered_at,
    }
}

fn ca_row(n: u32, code: Code) -> Row {
    Row { operation: Operation::RegisterCACertificate, ..row(n, code) }
}

/// Returns a page with CAs and their rows.
fn page_with(authorities: &[Authority]) -> Page {
    let rows = (1..).zip(authorities).map(|(n, ca)| Row { subject: ca.certificate_id.0, ..ca_row(n, Code::Exists) });
    Page { authorities: authorities.to_vec(), ..page(rows.collect()) }
}

async fn write(ledger: &Ledger, authorities: &[Authority]) {
    ledger.record(&page_with(authorities)).await.unwrap();
}

async fn named(ledger: &Ledger) -> Vec<Authority> {
    ledger.authorities_named(ACCOUNT, REGION, SUBJECT_KEY).await.unwrap()
}

fn hold(target: &str) -> HoldKey {
    HoldKey::issuer(&target.parse().unwrap(), SUBJECT_KEY)
}

/// Parks a device for the CA in each target, which opens the holds.
async fn park(ledger: &Ledger, targets: &[&str]) {
    for (n, target) in (100..).zip(targets) {
        let mut parked = Row { target: (*target).into(), ..row(n, Code::IssuerInactive) };
        parked.outcome.waits_for = Some(hold(target));
        let opening = (hold(target), crate::holds::opening(1).1);
        ledger.record(&Page { openings: vec![opening], ..page(vec![parked]) }).await.unwrap();
    }
}

/// Returns the open holds.
async fn held(ledger: &Ledger) -> Vec<HoldKey> {
    ledger.open_holds().await.unwrap().into_iter().map(|hold| hold.hold).collect()
}

/// Claims targets of one account and region, and one of another region.
async fn claim_targets(ledger: &Ledger) {
    for (target, region) in [("default", REGION), ("same", REGION), ("elsewhere", "us-east-1")] {
        ledger.claim_target(target, ACCOUNT, region).await.unwrap();
    }
}

#[tokio::test]
async fn a_ca_is_read_back_as_written() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let now = OffsetDateTime::now_utc().truncate_to_second();
    let written = [authority(1, None, now), authority(2, Some(CertificateStatus::Active), now + Duration::SECOND)];
    write(&ledger, &[written[1].clone(), written[0].clone()]).await;
    assert_eq!(named(&ledger).await, written);
    assert!(ledger.authorities_named(ACCOUNT, "us-east-1", SUBJECT_KEY).await.unwrap().is_empty());
    assert!(ledger.authorities_named(ACCOUNT, REGION, [8; 32]).await.unwrap().is_empty());
    assert_counters_equal_the_rows(&database).await;
}

#[tokio::test]
async fn a_known_status_is_replaced_only_by_a_newer_one() {
    use CertificateStatus::{Active, Inactive};
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let now = OffsetDateTime::now_utc().truncate_to_second();
    let then = |seconds| now + Duration::seconds(seconds);
    for (written_ca, wanted) in [
        (authority(1, None, then(0)), None),
        (authority(1, Some(Active), then(5)), Some(Active)),
        (authority(1, None, then(9)), Some(Active)),
        (authority(1, Some(Inactive), then(1)), Some(Active)),
        (authority(1, Some(Inactive), then(9)), Some(Inactive)),
    ] {
        write(&ledger, &[written_ca]).await;
        assert_eq!(named(&ledger).await[0].status, wanted);
    }
    // The same CA twice in one page.
    write(&ledger, &[authority(1, None, then(20)), authority(1, Some(Active), then(20))]).await;
    assert_eq!((named(&ledger).await.len(), named(&ledger).await[0].status), (1, Some(Active)));
    assert_counters_equal_the_rows(&database).await;
}

#[tokio::test]
async fn an_active_ca_releases_its_holds_at_once() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    claim_targets(&ledger).await;
    park(&ledger, &["default", "same", "elsewhere"]).await;
    let active = page_with(&[authority(1, Some(CertificateStatus::Active), OffsetDateTime::now_utc())]);
    ledger.record(&active).await.unwrap();
    assert_eq!(held(&ledger).await, [hold("elsewhere")]);
    assert!(ledger.will_resend().await.unwrap());
    // Again, as after a COMMIT whose result is unknown.
    ledger.record(&active).await.unwrap();
    assert_eq!(held(&ledger).await, [hold("elsewhere")]);
    assert_counters_equal_the_rows(&database).await;
}

#[tokio::test]
async fn a_ca_that_is_not_known_to_be_active_releases_nothing() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    claim_targets(&ledger).await;
    park(&ledger, &["default"]).await;
    for status in [None, Some(CertificateStatus::Inactive)] {
        write(&ledger, &[authority(1, status, OffsetDateTime::now_utc())]).await;
        assert_eq!(held(&ledger).await, [hold("default")]);
    }
}

/// Premise: a CA and a device can be the same certificate, in two lists of the account.
#[tokio::test]
async fn known_cas_and_known_devices_are_separate() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let without_ca = Row { operation: Operation::RegisterCertificateWithoutCA, ..row(2, Code::Ok) };
    record(&ledger, vec![row(1, Code::Ok), without_ca, ca_row(3, Code::Ok)]).await;
    let ids: Vec<_> = (1..=3).map(|n| CertificateId(row(n, Code::Ok).subject)).collect();
    for (operation, wanted) in [
        (Operation::RegisterCertificate, &ids[..2]),
        (Operation::RegisterCertificateWithoutCA, &ids[..2]),
        (Operation::RegisterCACertificate, &ids[2..]),
    ] {
        let known = ledger.known(ACCOUNT, REGION, operation, &ids).await.unwrap();
        let mut found: Vec<_> = known.keys().copied().collect();
        found.sort();
        assert_eq!(found, wanted, "{operation}");
    }
}

#[tokio::test]
async fn reports_list_the_targets_of_a_ca_and_count_waiting_jobs() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    assert!(ledger.authority_reports().await.unwrap().is_empty());
    claim_targets(&ledger).await;
    park(&ledger, &["same", "default", "default"]).await;
    let now = OffsetDateTime::now_utc();
    let elsewhere = Authority { region: "us-east-1".into(), ..authority(2, None, now + Duration::SECOND) };
    let idle = Authority { subject_key: [7; 32], ..authority(3, None, now + Duration::MINUTE) };
    write(&ledger, &[idle, authority(1, None, now), elsewhere]).await;
    let reports = ledger.authority_reports().await.unwrap();
    let found: Vec<_> = reports.iter().map(|report| (report.targets.len(), report.n_waiting)).collect();
    assert_eq!(found, [(2, 3), (1, 0), (2, 0)]);
    assert_eq!(reports[0].targets, ["default", "same"].map(|name| name.parse().unwrap()));
}

#[tokio::test]
async fn failed_cas_exclude_those_registered_by_another_job() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let ca = Ca::new("Plant CA");
    let request = RegisterCaCertificate { ca_certificate: ca.pem(), ..RegisterCaCertificate::default() };
    let mut readable = ca_row(1, Code::VerificationMissing);
    readable.outcome.request = Some(serde_json::to_string(&request).unwrap());
    let mut unreadable = Row { certificate_id: None, ..ca_row(2, Code::NotACertificate) };
    unreadable.outcome.ended_at -= Duration::HOUR;
    let device = row(4, Code::Expired);
    record(&ledger, vec![unreadable, readable, ca_row(3, Code::LimitExceeded), device]).await;
    let registered_by_another = Row { batch: "another".into(), ..ca_row(3, Code::Ok) };
    let authorities = vec![authority(3, Some(CertificateStatus::Active), OffsetDateTime::now_utc())];
    ledger.record(&Page { authorities, ..page(vec![registered_by_another]) }).await.unwrap();

    let failed = ledger.failed_authorities().await.unwrap();
    let found: Vec<_> = failed.iter().map(|ca| (ca.code, ca.subject.as_deref())).collect();
    assert_eq!(found, [(Code::VerificationMissing, Some("CN=Plant CA")), (Code::NotACertificate, None)]);
    assert_eq!((failed[0].target.as_str(), failed[0].detail.as_deref()), ("default", Some("detail")));
    assert_eq!((failed[0].certificate_id, failed[1].certificate_id), (readable_id(), None));
    assert_counters_equal_the_rows(&database).await;
}

fn readable_id() -> Option<CertificateId> {
    row(1, Code::Ok).certificate_id
}
