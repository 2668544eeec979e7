//! The certificate of a PEM field, found in its text.

use crate::certificate::pem::{self, Section};
use crate::certificate::{Certificate, CertificateError};

use super::{Field, Rejection, Warning, refuse_canonical_too_long, refuse_too_long};

/// The certificate of a field, and what stood beside it.
pub(super) struct Found {
    pub(super) certificate: Certificate,
    field: Field,
    n_trailing_bytes: usize,
    n_others: usize,
}

impl Found {
    /// Finds the certificate of a field.
    pub(super) fn read(field: Field, text: &str) -> Result<Self, Rejection> {
        refuse_too_long(field, text)?;
        let mut blocks = pem::sections(text).filter(Section::is_certificate);
        let Some(first) = blocks.next() else { return Err(without_certificate(field, text)) };
        let der = first.decode().map_err(|damage| Rejection::not_a_certificate(field, damage.into(), text))?;
        let (certificate, n_trailing_bytes) =
            Certificate::from_der_start(&der).map_err(|cause| Rejection::Malformed { field, cause })?;
        let n_others = blocks.clone().count();
        let is_chain = match field {
            Field::CertificatePem => is_device_before_cas(&certificate, blocks),
            _ => is_before_its_issuers(&certificate, blocks),
        };
        if n_others > 0 && !is_chain {
            return Err(Rejection::SeveralCertificates { field, found: n_others + 1 });
        }
        refuse_canonical_too_long(field, &certificate)?;
        Ok(Self { certificate, field, n_trailing_bytes, n_others })
    }

    pub(super) fn refuse_trailing_data(&self) -> Result<(), Rejection> {
        match self.n_trailing_bytes {
            0 => Ok(()),
            bytes => Err(Rejection::TrailingData { field: self.field, bytes }),
        }
    }

    /// What is odd about the text, and about any certificate.
    pub(super) fn warnings(&self) -> impl Iterator<Item = Warning> {
        let version = self.certificate.version();
        let several = Warning::SeveralCertificates { field: self.field, n_ignored: self.n_others };
        let several = (self.n_others > 0).then_some(several);
        [several, (version != 3).then_some(Warning::NotVersion3 { found: version })].into_iter().flatten()
    }
}

fn without_certificate(field: Field, text: &str) -> Rejection {
    if pem::sections(text).any(|section| section.is_certificate_request()) {
        return Rejection::CertificateRequest { field };
    }
    Rejection::not_a_certificate(field, CertificateError::NoBlock, text)
}

/// Says whether all certificates behind the first are CAs and the first is none: then it is the leaf of its chain. Of
/// two device certificates one would be lost without a word.
fn is_device_before_cas<'a>(first: &Certificate, mut others: impl Iterator<Item = Section<'a>>) -> bool {
    !first.is_ca() && others.all(|other| ca_of(&other).is_some())
}

/// Says whether each certificate behind the first is the issuer of the one before it. Any other would be lost without
/// a word: behind one that issued itself, even one of the same name.
fn is_before_its_issuers<'a>(first: &Certificate, mut others: impl Iterator<Item = Section<'a>>) -> bool {
    let mut below = first.clone();
    others.all(|other| {
        let Some(ca) = ca_of(&other) else { return false };
        let is_issuer = if below.is_self_issued() { below == ca } else { below.names_as_issuer(&ca) };
        below = ca;
        is_issuer
    })
}

fn ca_of(block: &Section<'_>) -> Option<Certificate> {
    Certificate::from_der(&block.decode().ok()?).ok().filter(Certificate::is_ca)
}
