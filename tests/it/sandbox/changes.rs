//! AWS IoT: updating and deleting certificates and CAs.

use aws_sdk_iot::operation::update_ca_certificate::builders::UpdateCACertificateFluentBuilder;
use aws_sdk_iot::types::{
    AutoRegistrationStatus, CaCertificateDescription, CaCertificateStatus, CertificateDescription, CertificateStatus,
    RegistrationConfig,
};
use muster_core::certificate::CertificateId;
use muster_sandbox::ApiOperation;
use muster_sandbox::specimen::Ca;

use super::{Bench, refusal};

impl Bench {
    async fn with_ca(ca: &Ca) -> Self {
        let bench = Self::unlimited().await;
        bench.sandbox.plant_ca(&ca.pem()).unwrap();
        bench
    }

    async fn describe(&self, id: CertificateId) -> CertificateDescription {
        let described = self.iot.describe_certificate().certificate_id(id.to_string()).send().await.unwrap();
        described.certificate_description.unwrap()
    }

    async fn describe_ca(&self, id: CertificateId) -> (CaCertificateDescription, Option<RegistrationConfig>) {
        let described = self.iot.describe_ca_certificate().certificate_id(id.to_string()).send().await.unwrap();
        (described.certificate_description.unwrap(), described.registration_config)
    }

    fn update_ca(&self, id: CertificateId) -> UpdateCACertificateFluentBuilder {
        self.iot.update_ca_certificate().certificate_id(id.to_string())
    }
}

#[tokio::test]
async fn a_certificate_can_be_revoked_and_activated_again() {
    let ca = Ca::new("Plant CA");
    let bench = Bench::with_ca(&ca).await;
    let id = bench.register_leaf_of(&ca, CertificateStatus::Active).await;
    for (version, status) in (2..).zip([CertificateStatus::Revoked, CertificateStatus::Active]) {
        let update = bench.iot.update_certificate().certificate_id(id.to_string()).new_status(status.clone());
        update.send().await.unwrap();
        let described = bench.describe(id).await;
        assert_eq!((described.status(), described.customer_version()), (Some(&status), Some(version)));
        assert!(described.last_modified_date().unwrap() >= described.creation_date().unwrap());
        assert_eq!(bench.sandbox.ledger().certificate(id).unwrap().status.to_string(), status.as_str());
    }
}

#[tokio::test]
async fn a_caller_cannot_set_a_status_reserved_for_aws() {
    let ca = Ca::new("Plant CA");
    let bench = Bench::with_ca(&ca).await;
    let id = bench.register_leaf_of(&ca, CertificateStatus::Active).await;
    let update =
        |id: String, status: &str| bench.iot.update_certificate().certificate_id(id).new_status(status.into()).send();
    for status in ["PENDING_TRANSFER", "PENDING_ACTIVATION", "REGISTER_INACTIVE"] {
        assert_eq!(refusal(update(id.to_string(), status).await), "CertificateStateException", "{status}");
    }
    assert_eq!(refusal(update(id.to_string(), "BLUE").await), "InvalidRequestException");
    assert_eq!(refusal(update("0".repeat(64), "ACTIVE").await), "ResourceNotFoundException");
    assert_eq!(bench.describe(id).await.customer_version(), Some(1));
}

#[tokio::test]
async fn an_active_certificate_is_not_deleted_even_by_force() {
    let ca = Ca::new("Plant CA");
    let bench = Bench::with_ca(&ca).await;
    let id = bench.register_leaf_of(&ca, CertificateStatus::Active).await;
    let delete = |force| bench.iot.delete_certificate().certificate_id(id.to_string()).set_force_delete(force).send();
    for force in [None, Some(true)] {
        let refused = delete(force).await.unwrap_err();
        assert_eq!(refused.raw_response().unwrap().status().as_u16(), 406);
        assert!(refused.into_service_error().is_certificate_state_exception());
    }
    let update = bench.iot.update_certificate().certificate_id(id.to_string());
    update.new_status(CertificateStatus::Inactive).send().await.unwrap();
    delete(None).await.unwrap();
    assert_eq!(refusal(delete(None).await), "ResourceNotFoundException");
    assert_eq!(bench.sandbox.ledger().n_certificates(), 0);
    let calls = bench.sandbox.ledger().calls();
    let deletes: Vec<_> = calls.iter().filter(|call| call.operation == ApiOperation::DeleteCertificate).collect();
    assert!(deletes.len() == 4 && deletes.iter().all(|call| call.certificate_id == Some(id)));
}

#[tokio::test]
async fn a_deleted_certificate_can_be_registered_again() {
    let ca = Ca::new("Plant CA");
    let bench = Bench::with_ca(&ca).await;
    let pem = ca.leaf("device");
    for _ in 0..2 {
        let registered = bench.iot.register_certificate().certificate_pem(&pem).send().await.unwrap();
        bench.iot.delete_certificate().set_certificate_id(registered.certificate_id).send().await.unwrap();
    }
}

#[tokio::test]
async fn each_update_of_a_ca_is_a_new_version() {
    let bench = Bench::unlimited().await;
    let ca = Ca::new("Plant CA");
    let id = ca.certificate().id();
    bench.register_sni_only(&ca).send().await.unwrap();
    let body = RegistrationConfig::builder().template_body("{}").build();

    bench.update_ca(id).new_status(CaCertificateStatus::Active).send().await.unwrap();
    let update = bench.update_ca(id).new_auto_registration_status(AutoRegistrationStatus::Enable);
    update.registration_config(body.clone()).send().await.unwrap();
    let (described, config) = bench.describe_ca(id).await;
    assert_eq!(described.status(), Some(&CaCertificateStatus::Active));
    assert_eq!(described.auto_registration_status(), Some(&AutoRegistrationStatus::Enable));
    assert_eq!((described.customer_version(), config), (Some(3), Some(body)));
    assert!(described.last_modified_date().unwrap() >= described.creation_date().unwrap());

    bench.update_ca(id).remove_auto_registration(true).send().await.unwrap();
    let (described, config) = bench.describe_ca(id).await;
    assert_eq!(described.auto_registration_status(), Some(&AutoRegistrationStatus::Disable));
    assert_eq!((described.customer_version(), config), (Some(4), None));
}

#[tokio::test]
async fn an_invalid_update_of_a_ca_is_refused() {
    let bench = Bench::unlimited().await;
    let ca = Ca::new("Plant CA");
    let id = ca.certificate().id();
    bench.register_sni_only(&ca).send().await.unwrap();
    let config = |name: &str| RegistrationConfig::builder().template_name(name).build();
    let both = bench.update_ca(id).registration_config(config("line-7")).remove_auto_registration(true);
    let invalid = "InvalidRequestException";
    for (update, code) in [
        (both, invalid),
        (bench.update_ca(id).new_status("REVOKED".into()), invalid),
        (bench.update_ca(id).new_auto_registration_status("MAYBE".into()), invalid),
        (bench.update_ca(id).registration_config(config("line 7")), invalid),
        (bench.update_ca(id).registration_config(config("line-7")), "ResourceNotFoundException"),
        (bench.update_ca(CertificateId([0; 32])), "ResourceNotFoundException"),
    ] {
        assert_eq!(refusal(update.clone().send().await), code, "{update:?}");
    }
    assert_eq!(bench.describe_ca(id).await.0.customer_version(), Some(1));
}

#[tokio::test]
async fn only_an_inactive_ca_is_deleted_and_its_certificates_stay() {
    let ca = Ca::new("Plant CA");
    let bench = Bench::with_ca(&ca).await;
    let leaf = bench.register_leaf_of(&ca, CertificateStatus::Active).await;
    let id = ca.certificate().id();
    let delete = || bench.iot.delete_ca_certificate().certificate_id(id.to_string()).send();
    let generation = bench.describe_ca(id).await.0.generation_id;
    let refused = delete().await.unwrap_err();
    assert_eq!(refused.raw_response().unwrap().status().as_u16(), 406);
    assert!(refused.into_service_error().is_certificate_state_exception());

    bench.update_ca(id).new_status(CaCertificateStatus::Inactive).send().await.unwrap();
    delete().await.unwrap();
    assert_eq!(refusal(delete().await), "ResourceNotFoundException");
    assert_eq!(bench.describe(leaf).await.ca_certificate_id(), Some(id.to_string().as_str()));
    let orphan = bench.iot.register_certificate().certificate_pem(ca.leaf("device")).send().await;
    assert_eq!(refusal(orphan), "CertificateStateException");

    bench.register_sni_only(&ca).set_as_active(true).send().await.unwrap();
    assert_ne!(bench.describe_ca(id).await.0.generation_id, generation);
    bench.register_leaf_of(&ca, CertificateStatus::Inactive).await;
}
