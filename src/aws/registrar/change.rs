//! Changes certificates that AWS IoT has: activates a registered CA. The call has its own quota.

use aws_sdk_iot::types;

use super::answer::classify;
use super::{CallError, Registrar};
use muster_core::certificate::CertificateId;

impl Registrar {
    /// Calls `UpdateCACertificate` once, which makes a CA ACTIVE and changes nothing else. It has no effect if the CA
    /// is already ACTIVE.
    pub async fn activate_ca(&self, id: CertificateId) -> Result<(), CallError> {
        let call = self.client.update_ca_certificate().certificate_id(id.to_string());
        let answer = call.new_status(types::CaCertificateStatus::Active).send().await;
        answer.map(drop).map_err(|failure| classify(&failure))
    }
}
