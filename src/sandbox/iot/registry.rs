//! The device certificates of the account: the id decides what is the same certificate.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use crate::certificate::CertificateId;
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

    /// Registers a certificate; says its id and whether it was not there before.
    pub(super) fn register(&self, der: &[u8], status: CertificateStatus) -> (CertificateId, bool) {
        let id = CertificateId(sha256(der));
        let inner = &mut *self.inner();
        let next = inner.rows.len();
        if *inner.by_id.entry(id).or_insert(next) != next {
            return (id, false);
        }
        let certificate = RegisteredCertificate { id, status, registered_at: OffsetDateTime::now_utc() };
        inner.rows.push(Row { certificate, der: self.keeps_der.then(|| der.into()) });
        (id, true)
    }

    /// The certificate with this id, and its PEM if the sandbox keeps it.
    pub(super) fn find(&self, id: CertificateId) -> Option<(RegisteredCertificate, Option<String>)> {
        let inner = self.inner();
        let row = &inner.rows[*inner.by_id.get(&id)?];
        Some((row.certificate, row.der.as_deref().map(to_pem)))
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

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Writes DER as the PEM that OpenSSL would write: lines of 64 characters.
fn to_pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}
