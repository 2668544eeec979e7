//! Checks whether AWS allows a call, without registering anything.
//!
//! AWS checks permissions before it judges the content, so a refusal of the content means that the call is allowed.

use aws_sdk_iot::operation::register_ca_certificate::RegisterCaCertificateOutput;
use aws_sdk_iot::operation::register_certificate::RegisterCertificateOutput;
use aws_sdk_iot::operation::register_certificate_without_ca::RegisterCertificateWithoutCaOutput;
use aws_sdk_iot::types;

use super::answer::CallStart;
use super::{CallError, ErrorKind, Registrar};
use muster_core::certificate::CertificateId;
use muster_core::job::Operation;

/// A PEM certificate whose content is not a certificate, so it cannot be registered in any account.
const NO_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nbm90IGE=\n-----END CERTIFICATE-----\n";

/// An id that no certificate has.
const NO_ID: CertificateId = CertificateId([0; 32]);

impl Registrar {
    /// Makes the call of an operation once, with text that is not a certificate. Uses one call of the quota.
    ///
    /// # Errors
    /// AWS denied the call, or did not get as far as judging the text. The expected refusal of the text is not an
    /// error.
    pub async fn probe(&self, operation: Operation) -> Result<(), CallError> {
        let start = CallStart::now();
        let answer = match operation {
            Operation::RegisterCertificate => {
                let call = self.client.register_certificate().certificate_pem(NO_CERTIFICATE);
                start.answer(call.send().await, RegisterCertificateOutput::certificate_id)
            }
            Operation::RegisterCertificateWithoutCA => {
                let call = self.client.register_certificate_without_ca().certificate_pem(NO_CERTIFICATE);
                start.answer(call.send().await, RegisterCertificateWithoutCaOutput::certificate_id)
            }
            Operation::RegisterCACertificate => {
                let call = self.client.register_ca_certificate().ca_certificate(NO_CERTIFICATE);
                let call = call.certificate_mode(types::CertificateMode::SniOnly);
                start.answer(call.send().await, RegisterCaCertificateOutput::certificate_id)
            }
        };
        check_allowed(answer.result)
    }

    /// Calls `UpdateCACertificate` once for a CA that cannot exist, which changes nothing.
    ///
    /// # Errors
    /// AWS denied the call, or did not get as far as looking for the CA. That the CA is not found is not an error.
    pub async fn probe_activation(&self) -> Result<(), CallError> {
        check_allowed(self.activate_ca(NO_ID).await)
    }

    /// Calls `DescribeCACertificate` once for a CA that cannot exist.
    ///
    /// # Errors
    /// As for [`Self::probe_activation`].
    pub async fn probe_description(&self) -> Result<(), CallError> {
        check_allowed(self.describe_ca(NO_ID).await)
    }
}

/// Returns success if the call was allowed. AWS refuses the content of a probe only after it has allowed the call.
fn check_allowed<T>(answer: Result<T, CallError>) -> Result<(), CallError> {
    match answer {
        Err(error)
            if matches!(
                error.kind,
                ErrorKind::Denied | ErrorKind::Unreached | ErrorKind::Throttled | ErrorKind::Transient(_)
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}
