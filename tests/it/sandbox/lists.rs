//! AWS IoT: listing certificates and CAs in pages.

use aws_sdk_iot::types::{CertificateMode, CertificateStatus, RegistrationConfig};
use muster_core::certificate::CertificateId;
use muster_sandbox::specimen::Ca;
use muster_sandbox::{ApiOperation, Rates, SandboxSettings};

use super::{Bench, refusal};

/// Walks the pages of a list call, and runs `$between` after each.
macro_rules! walk {
    ($request:expr, $between:expr) => {{
        let (mut ids, mut marker) = (Vec::new(), None);
        loop {
            let page = $request.set_marker(marker).send().await.unwrap();
            ids.extend(
                page.certificates()
                    .iter()
                    .map(|listed| -> CertificateId { listed.certificate_id().unwrap().parse().unwrap() }),
            );
            marker = page.next_marker().map(str::to_owned);
            if marker.is_none() {
                break ids;
            }
            $between.await;
        }
    }};
}

impl Bench {
    /// Registers a CA, and `n` certificates that it issued.
    async fn register_with_leaves(&self, ca: &Ca, n: usize) -> Vec<CertificateId> {
        self.sandbox.plant_ca(&ca.pem()).unwrap();
        let mut ids = Vec::new();
        for _ in 0..n {
            ids.push(self.register_leaf_of(ca, CertificateStatus::Inactive).await);
        }
        ids
    }

    async fn delete_certificate(&self, id: CertificateId) {
        self.iot.delete_certificate().certificate_id(id.to_string()).send().await.unwrap();
    }
}

fn reversed(ids: &[CertificateId]) -> Vec<CertificateId> {
    ids.iter().rev().copied().collect()
}

#[tokio::test]
async fn certificates_are_listed_page_by_page() {
    let bench = Bench::unlimited().await;
    let ids = bench.register_with_leaves(&Ca::new("Plant CA"), 5).await;
    let request = || bench.iot.list_certificates().page_size(2);
    assert_eq!(walk!(request().ascending_order(true), async {}), ids);
    assert_eq!(walk!(request(), async {}), reversed(&ids));
    let newest = request().send().await.unwrap();
    assert_eq!(newest.certificates()[0].certificate_mode(), Some(&CertificateMode::Default));
    assert_eq!(refusal(request().page_size(251).send().await), "InvalidRequestException");
    assert_eq!(refusal(request().page_size(0).send().await), "InvalidRequestException");
    assert_eq!(refusal(request().marker("x").send().await), "InvalidRequestException");
}

#[tokio::test]
async fn deletes_between_pages_skip_and_repeat_nothing() {
    let bench = Bench::unlimited().await;
    let ids = bench.register_with_leaves(&Ca::new("Plant CA"), 7).await;
    let deleted = std::sync::atomic::AtomicUsize::new(0);
    let delete_seen = || async {
        // Deletes what the pages so far returned, while other certificates are still to come.
        let seen = deleted.fetch_add(2, std::sync::atomic::Ordering::Relaxed);
        bench.delete_certificate(ids[seen]).await;
        bench.delete_certificate(ids[seen + 1]).await;
    };
    let request = || bench.iot.list_certificates().page_size(2).ascending_order(true);
    assert_eq!(walk!(request(), delete_seen()), ids);
    assert_eq!(walk!(request(), async {}), ids[6..]);
}

#[tokio::test]
async fn the_certificates_of_one_ca_are_listed() {
    let bench = Bench::unlimited().await;
    let (one, other) = (Ca::new("One CA"), Ca::new("Another CA"));
    let mut ids = bench.register_with_leaves(&one, 2).await;
    bench.register_with_leaves(&other, 3).await;
    ids.extend(bench.register_with_leaves(&one, 1).await);
    let of = |id: CertificateId| bench.iot.list_certificates_by_ca().ca_certificate_id(id.to_string()).page_size(2);
    assert_eq!(walk!(of(one.certificate().id()).ascending_order(true), async {}), ids);
    assert_eq!(walk!(of(other.certificate().id()), async {}).len(), 3);
    assert_eq!(walk!(of(CertificateId([0; 32])), async {}), []);
    let revoke = bench.iot.update_certificate().certificate_id(ids[2].to_string());
    revoke.new_status(CertificateStatus::Revoked).send().await.unwrap();
    let page = of(one.certificate().id()).send().await.unwrap();
    assert_eq!(page.certificates()[0].status(), Some(&CertificateStatus::Revoked));
    let call = bench.sandbox.ledger().calls().pop().unwrap();
    assert_eq!(
        (call.operation, call.certificate_id),
        (ApiOperation::ListCertificatesByCA, Some(one.certificate().id()))
    );
}

#[tokio::test]
async fn cas_are_listed_page_by_page_and_by_template() {
    let bench = Bench::unlimited().await;
    bench.sandbox.add_template("line-7");
    let cas: Vec<Ca> = (0..5).map(|i| Ca::new(&format!("CA {i}"))).collect();
    let ids: Vec<CertificateId> = cas.iter().map(|ca| ca.certificate().id()).collect();
    for (i, ca) in cas.iter().enumerate() {
        let name = (i % 2 == 0).then(|| RegistrationConfig::builder().template_name("line-7").build());
        bench.register_sni_only(ca).set_registration_config(name).send().await.unwrap();
    }
    let request = || bench.iot.list_ca_certificates().page_size(2);
    assert_eq!(walk!(request().ascending_order(true), async {}), ids);
    assert_eq!(walk!(request(), async {}), reversed(&ids));
    assert_eq!(walk!(request().template_name("line-7"), async {}), [ids[4], ids[2], ids[0]]);
    assert_eq!(walk!(request().template_name("line-8"), async {}), []);
    assert_eq!(refusal(request().template_name("line 7").send().await), "InvalidRequestException");

    let page = request().ascending_order(true).send().await.unwrap();
    let first = &page.certificates()[0];
    let arn = format!("arn:aws:iot:us-east-1:000000000000:cacert/{}", ids[0]);
    assert_eq!((first.certificate_arn(), first.status().unwrap().as_str()), (Some(arn.as_str()), "INACTIVE"));
    assert!(first.creation_date().is_some());
}

#[tokio::test]
async fn each_operation_has_its_own_quota() {
    let bench =
        Bench::start(SandboxSettings { rates: Rates::all(0.001), burst: Some(1.0), ..SandboxSettings::default() })
            .await;
    let nothing = || "0".repeat(64);
    // The first call empties the bucket of its operation, whatever its answer.
    macro_rules! second_is_throttled {
        ($($request:expr),+ $(,)?) => {$(
            let _ = $request.send().await;
            assert_eq!(refusal($request.send().await), "ThrottlingException", stringify!($request));
        )+};
    }
    let iot = &bench.iot;
    second_is_throttled!(
        iot.register_certificate_without_ca().certificate_pem("x"),
        iot.update_certificate().certificate_id(nothing()).new_status(CertificateStatus::Active),
        iot.delete_certificate().certificate_id(nothing()),
        iot.list_certificates(),
        iot.list_certificates_by_ca().ca_certificate_id(nothing()),
        iot.update_ca_certificate().certificate_id(nothing()),
        iot.delete_ca_certificate().certificate_id(nothing()),
        iot.list_ca_certificates(),
        iot.tag_resource().resource_arn("x").tags(aws_sdk_iot::types::Tag::builder().key("a").build().unwrap()),
        iot.untag_resource().resource_arn("x").tag_keys("a"),
        iot.list_tags_for_resource().resource_arn("x"),
    );
}
