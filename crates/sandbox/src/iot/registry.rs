//! The device certificates of the account: the id decides what is the same certificate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use time::OffsetDateTime;

use super::rows::{Kept, RowRange, Rows};
use muster_core::certificate::{CertificateId, pem};
use muster_core::job::CertificateMode;
use muster_core::job::CertificateStatus;

/// A device certificate that the sandbox has registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredCertificate {
    /// The SHA-256 of its DER.
    #[serde(rename = "certificateId")]
    pub id: CertificateId,
    /// Its status: what it was registered with, or what it was changed to since.
    pub status: CertificateStatus,
    /// How its clients must connect.
    pub mode: CertificateMode,
    /// The registered CA that issued it; `None` for one that was registered without a CA or planted.
    pub ca: Option<CertificateId>,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339")]
    pub registered_at: OffsetDateTime,
}

impl RegisteredCertificate {
    /// A certificate that is registered now.
    pub(super) fn now(
        id: CertificateId,
        status: CertificateStatus,
        mode: CertificateMode,
        ca: Option<CertificateId>,
    ) -> Self {
        Self { id, status, mode, ca, registered_at: OffsetDateTime::now_utc() }
    }
}

/// The certificates by id and in the order of their registration.
pub(super) struct Registry {
    keeps_der: bool,
    rows: Mutex<Rows<RegistryEntry>>,
}

/// A certificate and what became of it since it was registered.
#[derive(Clone)]
pub(super) struct RegistryEntry {
    pub(super) certificate: RegisteredCertificate,
    pub(super) modified_at: OffsetDateTime,
    /// 1 at first, one more with each change.
    pub(super) version: u32,
    der: Option<Arc<[u8]>>,
}

impl RegistryEntry {
    /// The certificate's PEM, if the sandbox keeps it.
    pub(super) fn pem(&self) -> Option<String> {
        self.der.as_deref().map(|der| pem::encode(pem::CERTIFICATE, der))
    }

    fn is_active(&self) -> bool {
        self.certificate.status == CertificateStatus::Active
    }
}

impl Registry {
    pub(super) fn new(keeps_der: bool) -> Self {
        Self { keeps_der, rows: Mutex::default() }
    }

    /// Registers a certificate with its DER; false when one with its id was there before.
    pub(super) fn register(&self, certificate: RegisteredCertificate, der: &[u8]) -> bool {
        let der = self.keeps_der.then(|| der.into());
        let entry = RegistryEntry { certificate, modified_at: certificate.registered_at, version: 1, der };
        self.rows().insert(certificate.id, entry)
    }

    /// The certificate with this id.
    pub(super) fn find(&self, id: CertificateId) -> Option<RegistryEntry> {
        self.rows().get(id).cloned()
    }

    /// Changes the status of a certificate; false when there is none with this id.
    #[must_use = "nothing changed if the certificate is not there"]
    pub(super) fn set_status(&self, id: CertificateId, status: CertificateStatus) -> bool {
        let mut rows = self.rows();
        let Some(entry) = rows.get_mut(id) else { return false };
        entry.certificate.status = status;
        entry.version += 1;
        entry.modified_at = OffsetDateTime::now_utc();
        true
    }

    /// Deletes a certificate that is not active.
    pub(super) fn remove(&self, id: CertificateId) -> Result<(), Kept> {
        self.rows().remove(id, RegistryEntry::is_active).map(drop)
    }

    /// One page of certificates, of one CA if it is named, and what the next page comes after, if there is one.
    pub(super) fn page(&self, page: &RowRange, ca: Option<CertificateId>) -> (Vec<RegisteredCertificate>, Option<u64>) {
        let rows = self.rows();
        let (page, next) = rows.page(page, |entry| ca.is_none() || entry.certificate.ca == ca);
        (page.into_iter().map(|entry| entry.certificate).collect(), next)
    }

    /// At most `limit` certificates from the `skip`-th on, oldest first.
    pub(super) fn slice(&self, skip: usize, limit: usize) -> Vec<RegisteredCertificate> {
        self.rows().iter().skip(skip).take(limit).map(|entry| entry.certificate).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.rows().len()
    }

    fn rows(&self) -> MutexGuard<'_, Rows<RegistryEntry>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
