//! The registered device certificates of the account, identified by certificate id.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use time::OffsetDateTime;

use super::rows::{NotRemoved, RowRange, Rows};
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
    /// Its status: the one it was registered with, or the latest update.
    pub status: CertificateStatus,
    /// How its clients must connect.
    pub mode: CertificateMode,
    /// The registered CA that issued it; `None` if it was registered without a CA or planted.
    pub ca: Option<CertificateId>,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339")]
    pub registered_at: OffsetDateTime,
}

impl RegisteredCertificate {
    /// Creates a certificate registered now.
    pub(super) fn now(
        id: CertificateId,
        status: CertificateStatus,
        mode: CertificateMode,
        ca: Option<CertificateId>,
    ) -> Self {
        Self { id, status, mode, ca, registered_at: OffsetDateTime::now_utc() }
    }
}

/// The certificates by id, and in order of registration.
pub(super) struct Registry {
    keeps_der: bool,
    rows: Mutex<Rows<RegistryEntry>>,
}

/// A certificate, and what has changed since it was registered.
#[derive(Clone)]
pub(super) struct RegistryEntry {
    pub(super) certificate: RegisteredCertificate,
    pub(super) modified_at: OffsetDateTime,
    /// Starts at 1; each change adds 1.
    pub(super) version: u32,
    der: Option<Arc<[u8]>>,
}

impl RegistryEntry {
    /// Returns the certificate's PEM, if the sandbox keeps it.
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

    /// Registers a certificate with its DER; returns false if its id is already registered.
    pub(super) fn register(&self, certificate: RegisteredCertificate, der: &[u8]) -> bool {
        let der = self.keeps_der.then(|| der.into());
        let entry = RegistryEntry { certificate, modified_at: certificate.registered_at, version: 1, der };
        self.rows().insert(certificate.id, entry)
    }

    /// Returns the certificate with this id.
    pub(super) fn find(&self, id: CertificateId) -> Option<RegistryEntry> {
        self.rows().get(id).cloned()
    }

    /// Changes the status of a certificate; returns false if it does not exist.
    #[must_use = "nothing changes if the certificate does not exist"]
    pub(super) fn set_status(&self, id: CertificateId, status: CertificateStatus) -> bool {
        let mut rows = self.rows();
        let Some(entry) = rows.get_mut(id) else { return false };
        entry.certificate.status = status;
        entry.version += 1;
        entry.modified_at = OffsetDateTime::now_utc();
        true
    }

    /// Deletes a certificate unless it is active.
    pub(super) fn remove(&self, id: CertificateId) -> Result<(), NotRemoved> {
        self.rows().remove(id, RegistryEntry::is_active).map(drop)
    }

    /// Returns one page of certificates, restricted to `ca` if given, and the marker of the next page, if there is one.
    pub(super) fn page(&self, page: &RowRange, ca: Option<CertificateId>) -> (Vec<RegisteredCertificate>, Option<u64>) {
        let rows = self.rows();
        let (page, next) = rows.page(page, |entry| ca.is_none() || entry.certificate.ca == ca);
        (page.into_iter().map(|entry| entry.certificate).collect(), next)
    }

    /// Returns at most `limit` certificates, oldest first, skipping the first `skip`.
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
