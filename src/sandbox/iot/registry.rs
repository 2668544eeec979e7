//! The device certificates of the account: the id decides what is the same certificate.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use crate::certificate::{Certificate, CertificateId, pem};
use crate::job::CertificateStatus;

/// A device certificate that the sandbox has registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RegisteredCertificate {
    /// The SHA-256 of its DER.
    pub id: CertificateId,
    /// The status that it was registered with.
    pub status: CertificateStatus,
    /// When it was registered.
    pub registered_at: OffsetDateTime,
}

/// The certificates by id and in the order of their registration.
pub(super) struct Registry {
    keeps_der: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    rows: Vec<Row>,
    by_id: HashMap<CertificateId, usize>,
}

struct Row {
    certificate: RegisteredCertificate,
    der: Option<Box<[u8]>>,
}

/// Which certificates to list.
pub(super) struct Page {
    /// Most certificates of the page.
    pub(super) size: usize,
    /// How many certificates earlier pages had.
    pub(super) after: usize,
    /// Oldest first, or newest first as AWS does by default.
    pub(super) ascending: bool,
}

impl Registry {
    pub(super) fn new(keeps_der: bool) -> Self {
        Self { keeps_der, inner: Mutex::default() }
    }

    /// Registers a certificate; false when it was there before.
    pub(super) fn register(&self, certificate: &Certificate, status: CertificateStatus) -> bool {
        let id = certificate.id();
        let inner = &mut *self.inner();
        let next = inner.rows.len();
        if *inner.by_id.entry(id).or_insert(next) != next {
            return false;
        }
        let der = self.keeps_der.then(|| certificate.der().into());
        let certificate = RegisteredCertificate { id, status, registered_at: OffsetDateTime::now_utc() };
        inner.rows.push(Row { certificate, der });
        true
    }

    /// The certificate with this id, and its PEM if the sandbox keeps it.
    pub(super) fn find(&self, id: CertificateId) -> Option<(RegisteredCertificate, Option<String>)> {
        let inner = self.inner();
        let row = &inner.rows[*inner.by_id.get(&id)?];
        Some((row.certificate, row.der.as_deref().map(|der| pem::encode("CERTIFICATE", der))))
    }

    /// One page of certificates, and what the next page comes after, if there is one.
    pub(super) fn page(&self, page: &Page) -> (Vec<RegisteredCertificate>, Option<usize>) {
        let inner = self.inner();
        let rows = inner.rows.iter().map(|row| row.certificate);
        let certificates: Vec<_> = if page.ascending {
            rows.skip(page.after).take(page.size).collect()
        } else {
            rows.rev().skip(page.after).take(page.size).collect()
        };
        let seen = page.after.saturating_add(certificates.len());
        (certificates, (seen < inner.rows.len()).then_some(seen))
    }

    pub(super) fn len(&self) -> usize {
        self.inner().rows.len()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
