//! AWS IoT: the just-in-time provisioning config of a CA.

use aws_sdk_iot::error::SdkError;
use aws_sdk_iot::types::RegistrationConfig;
use aws_sdk_iot::types::builders::RegistrationConfigBuilder;
use muster_sandbox::specimen::Ca;
use muster_sandbox::{self, Limiting, SandboxSettings};

use super::{Bench, refusal};

const ROLE: &str = "arn:aws:iam::000000000000:role/provisioning";

impl Bench {
    /// Starts a sandbox with the template `line-7`.
    async fn with_template() -> Self {
        let templates = vec!["line-7".to_owned()];
        Self::start(SandboxSettings { limiting: Limiting::CountOnly, templates, ..SandboxSettings::default() }).await
    }

    /// Returns the error code of a registration with this config.
    async fn refused(&self, config: RegistrationConfigBuilder) -> String {
        let request = self.register_sni_only(&Ca::new("Plant CA")).registration_config(config.build());
        refusal(request.send().await)
    }
}

fn config() -> RegistrationConfigBuilder {
    RegistrationConfig::builder()
}

#[tokio::test]
async fn the_config_is_kept_and_described() {
    let bench = Bench::with_template().await;
    for config in [
        config().template_body("{\"Resources\":{}}").role_arn(ROLE),
        config().template_body("x".repeat(10_240)),
        config().template_body(""),
        config().template_name("line-7"),
        config(),
    ] {
        let (ca, sent) = (Ca::new("Plant CA"), config.build());
        bench.register_sni_only(&ca).registration_config(sent.clone()).send().await.unwrap();
        let id = ca.certificate().id();
        let described = bench.iot.describe_ca_certificate().certificate_id(id.to_string()).send().await.unwrap();
        assert_eq!(described.registration_config(), Some(&sent));
        let kept = bench.sandbox.ledger().authority(id).unwrap().registration_config.unwrap();
        let muster_sandbox::ProvisioningConfig { template_body, role_arn, template_name } = kept;
        assert_eq!(template_body.as_deref(), sent.template_body());
        assert_eq!((role_arn.as_deref(), template_name.as_deref()), (sent.role_arn(), sent.template_name()));
    }
}

#[tokio::test]
async fn an_invalid_config_is_refused() {
    let bench = Bench::with_template().await;
    for config in [
        config().template_body("x".repeat(10_241)),
        config().template_body("{}").template_name("line-7"),
        config().template_name(""),
        config().template_name("x".repeat(37)),
        config().template_name("line 7"),
        config().role_arn("arn:aws:iam::1:role"),
        config().role_arn("x".repeat(2_049)),
        config().role_arn("arn:aws:iam::000000000000:user/somebody"),
    ] {
        assert_eq!(bench.refused(config.clone()).await, "InvalidRequestException", "{config:?}");
    }
    assert_eq!(bench.sandbox.ledger().n_authorities(), 0);
}

#[tokio::test]
async fn the_template_must_exist() {
    let bench = Bench::with_template().await;
    let ca = Ca::new("Plant CA");
    let register = || bench.register_sni_only(&ca).registration_config(config().template_name("line-8").build()).send();
    let Err(SdkError::ServiceError(refused)) = register().await else { panic!("it was accepted") };
    assert_eq!(refused.raw().status().as_u16(), 404);
    assert!(refused.err().is_resource_not_found_exception());
    bench.sandbox.add_template("line-8");
    register().await.unwrap();
}

#[tokio::test]
async fn the_role_must_exist() {
    let bench = Bench::with_template().await;
    let foreign = "arn:aws:iam::999999999999:role/provisioning";
    assert_eq!(bench.refused(config().role_arn(foreign)).await, "ResourceNotFoundException");
    let request = bench.register_sni_only(&Ca::new("Plant CA"));
    request.registration_config(config().role_arn(ROLE).build()).send().await.unwrap();

    // An account configured with a role has no other role.
    let registered = bench.sandbox.ledger().n_authorities();
    let role = |name: &str| muster_core::role::Role {
        arn: format!("arn:aws:iam::000000000000:role/{name}").parse().unwrap(),
        external_id: None,
    };
    bench.sandbox.set_role(Some(role("muster")));
    let assume = bench.sts.assume_role().role_arn(role("muster").arn.as_str()).role_session_name("muster");
    let keys = assume.send().await.unwrap().credentials.unwrap();
    let keys = super::Credentials::new(keys.access_key_id, keys.secret_access_key, Some(keys.session_token), None, "x");
    let sdk = super::sdk(&bench.sandbox.url()).into_builder();
    let sdk = sdk.credentials_provider(super::SharedCredentialsProvider::new(keys)).build();
    let iot = aws_sdk_iot::Client::new(&sdk);
    for (name, exists) in [("muster", true), ("provisioning", false)] {
        let config = config().role_arn(role(name).arn.as_str()).build();
        let request = bench.register_sni_only(&Ca::new("Plant CA")).registration_config(config);
        let answer = request.as_input().clone().send_with(&iot).await;
        assert_eq!(answer.is_ok(), exists, "{name}: {answer:?}");
    }
    assert_eq!(bench.sandbox.ledger().n_authorities(), registered + 1);
}
