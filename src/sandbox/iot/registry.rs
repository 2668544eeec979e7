//! The device certificates of the account: the id decides what is the same certificate.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use time::OffsetDateTime;

use super::CertificateMode;
use crate::certificate::{CertificateId, pem};
use crate::job::CertificateStatus;

/// A device certificate that the sandbox has registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredCertificate {
    /// The SHA-256 of its DER.
    #[serde(rename = "certificateId")]
    pub id: CertificateId,
    /// The status that it was registered with.
    pub status: CertificateStatus,
    /// How its clients must connect.
    pub mode: CertificateMode,
    /// The registered CA that issued it; `None` for one that was planted.
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

    /// Registers a certificate with its DER; false when one with its id was there before.
    pub(super) fn register(&self, certificate: RegisteredCertificate, der: &[u8]) -> bool {
        let inner = &mut *self.inner();
        let next = inner.rows.len();
        if *inner.by_id.entry(certificate.id).or_insert(next) != next {
            return false;
        }
        inner.rows.push(Row { certificate, der: self.keeps_der.then(|| der.into()) });
        true
    }

    /// The certificate with this id, and its PEM if the sandbox keeps it.
    pub(super) fn find(&self, id: CertificateId) -> Option<(RegisteredCertificate, Option<String>)> {
        let inner = self.inner();
        let row = &inner.rows[*inner.by_id.get(&id)?];
        Some((row.certificate, row.der.as_deref().map(|der| pem::encode(pem::CERTIFICATE, der))))
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
