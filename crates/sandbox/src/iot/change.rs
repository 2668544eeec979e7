//! The update and delete operations for certificates and CAs.

use axum::http::request::Parts;
use serde::Deserialize;

use super::authorities::RegisteredAuthority;
use super::error::{invalid, no_certificate, wrong_state};
use super::registration_config::ProvisioningConfig;
use super::rows::NotRemoved;
use super::{Iot, request, rules};
use crate::answer::{AwsError, Reply};
use muster_core::certificate::CertificateId;
use muster_core::job::CertificateStatus;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateCertificate {
    new_status: CertificateStatus,
}

/// The query string of `UpdateCACertificate`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewStatuses {
    new_status: Option<CaStatus>,
    new_auto_registration_status: Option<AutoRegistration>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum CaStatus {
    Active,
    Inactive,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum AutoRegistration {
    Enable,
    Disable,
}

/// The body of `UpdateCACertificate`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provisioning {
    registration_config: Option<ProvisioningConfig>,
    #[serde(default)]
    remove_auto_registration: bool,
}

impl Iot {
    pub(super) fn update_certificate(&self, head: &Parts) -> Reply {
        let id = request::id(head)?;
        let UpdateCertificate { new_status } = request::query(head)?;
        if self.registry.set_status(id, rules::settable(new_status)?) {
            Ok(String::new())
        } else {
            Err(no_certificate(id))
        }
    }

    /// Deletes a certificate. Ignores `forceDelete`: it concerns policies, which the sandbox does not have.
    pub(super) fn delete_certificate(&self, head: &Parts) -> Reply {
        let id = request::id(head)?;
        self.registry.remove(id).map_err(|reason| not_deleted(id, reason))?;
        Ok(String::new())
    }

    pub(super) fn update_ca_certificate(&self, head: &Parts, body: &[u8]) -> Reply {
        let id = request::id(head)?;
        let statuses: NewStatuses = request::query(head)?;
        let provisioning = if body.is_empty() { Provisioning::default() } else { request::body(body)? };
        if provisioning.remove_auto_registration && provisioning.registration_config.is_some() {
            return Err(invalid("removeAutoRegistration together with a registrationConfig"));
        }
        self.check_provisioning(provisioning.registration_config.as_ref())?;
        let changed = self.authorities.change(id, |ca| ca.update(|ca| apply(statuses, provisioning, ca)));
        changed.map(|()| String::new()).ok_or_else(|| no_certificate(id))
    }

    pub(super) fn delete_ca_certificate(&self, head: &Parts) -> Reply {
        let id = request::id(head)?;
        self.authorities.remove(id).map_err(|reason| not_deleted(id, reason))?;
        Ok(String::new())
    }
}

fn apply(statuses: NewStatuses, provisioning: Provisioning, ca: &mut RegisteredAuthority) {
    if let Some(status) = statuses.new_status {
        ca.is_active = status == CaStatus::Active;
    }
    if let Some(status) = statuses.new_auto_registration_status {
        ca.auto_registration = status == AutoRegistration::Enable;
    }
    if provisioning.registration_config.is_some() {
        ca.registration_config = provisioning.registration_config;
    }
    if provisioning.remove_auto_registration {
        ca.auto_registration = false;
        ca.registration_config = None;
    }
}

fn not_deleted(id: CertificateId, reason: NotRemoved) -> AwsError {
    match reason {
        NotRemoved::Missing => no_certificate(id),
        NotRemoved::Active => {
            wrong_state(format!("The certificate {id} is ACTIVE and must be deactivated before it is deleted"))
        }
    }
}
