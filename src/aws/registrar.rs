//! Calls AWS IoT. The only part that uses `aws_sdk_iot`.
//!
//! One call is one attempt: the SDK's own retries are disabled, so that one permit, one request and one metric
//! increment always go together. Every answer is classified here, once, by its error code in one table. The
//! [`ErrorKind`] defines the reaction; the worker decides what to do next.

mod answer;
mod change;
pub mod inventory;
mod kind;
mod probe;

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_iot::Client;
use aws_sdk_iot::operation::register_ca_certificate::RegisterCaCertificateOutput;
use aws_sdk_iot::operation::register_ca_certificate::builders::RegisterCACertificateFluentBuilder;
use aws_sdk_iot::operation::register_certificate::RegisterCertificateOutput;
use aws_sdk_iot::operation::register_certificate_without_ca::RegisterCertificateWithoutCaOutput;
use aws_sdk_iot::types;

use muster_core::job::{CertificateStatus, RegisterCaCertificate, RegistrationConfig, Tag};
use muster_core::precheck::{Call, CheckedCertificate};

use answer::{CallStart, classify};

pub use answer::{Answer, CallError};
pub use kind::{ErrorKind, RESULT_LABELS};

/// The IoT client of one target.
#[derive(Clone, Debug)]
pub struct Registrar {
    client: Client,
}

impl Registrar {
    /// Creates a client for an account and region. A call without an answer fails after `attempt_timeout`.
    pub fn new(config: &SdkConfig, attempt_timeout: Duration) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt_timeout).build();
        let config = aws_sdk_iot::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Self { client: Client::from_conf(config) }
    }

    /// Makes the call that registers a certificate, once, without retries.
    pub async fn register(&self, certificate: &CheckedCertificate) -> Answer {
        let start = CallStart::now();
        match certificate.call() {
            Call::RegisterCertificate { pem, ca_pem, status, .. } => {
                let call = self.client.register_certificate().certificate_pem(pem);
                let call = call.set_ca_certificate_pem(ca_pem.as_deref().map(str::to_owned));
                let answer = call.set_status(status.map(to_sdk_status)).send().await;
                start.answer(answer, RegisterCertificateOutput::certificate_id)
            }
            Call::RegisterCertificateWithoutCa { pem, status } => {
                let call = self.client.register_certificate_without_ca().certificate_pem(pem);
                let answer = call.set_status(status.map(to_sdk_status)).send().await;
                start.answer(answer, RegisterCertificateWithoutCaOutput::certificate_id).without_ca_lookup()
            }
            Call::RegisterCaCertificate { request, .. } => {
                let answer = self.call_for_ca(request).send().await;
                start.answer(answer, RegisterCaCertificateOutput::certificate_id).without_ca_lookup()
            }
        }
    }

    /// Requests the account's registration code, once: 64 hexadecimal digits. It changes only if the code is deleted.
    ///
    /// # Errors
    /// The call failed, or the answer has no code.
    pub async fn registration_code(&self) -> Result<String, CallError> {
        let answer = self.client.get_registration_code().send().await.map_err(|failure| classify(&failure))?;
        let code = answer.registration_code.filter(|code| !code.is_empty());
        code.ok_or_else(|| CallError::unusable("the answer has no registration code"))
    }

    fn call_for_ca(&self, request: &RegisterCaCertificate) -> RegisterCACertificateFluentBuilder {
        let tags = request.tags.iter().map(to_sdk_tag).collect();
        self.client
            .register_ca_certificate()
            .ca_certificate(&request.ca_certificate)
            .set_verification_certificate(request.verification_certificate.clone())
            .set_as_active(request.set_as_active)
            .allow_auto_registration(request.allow_auto_registration)
            .set_registration_config(request.registration_config.as_ref().map(to_sdk_config))
            .set_tags((!request.tags.is_empty()).then_some(tags))
            .set_certificate_mode(request.certificate_mode.map(|mode| <&str>::from(mode).into()))
    }
}

fn to_sdk_status(status: CertificateStatus) -> types::CertificateStatus {
    <&str>::from(status).into()
}

fn to_sdk_tag(tag: &Tag) -> types::Tag {
    types::Tag::builder().key(&tag.key).set_value(tag.value.clone()).build().expect("every tag has a key")
}

fn to_sdk_config(config: &RegistrationConfig) -> types::RegistrationConfig {
    types::RegistrationConfig::builder()
        .set_template_body(config.template_body.clone())
        .set_role_arn(config.role_arn.clone())
        .set_template_name(config.template_name.clone())
        .build()
}
