//! The device certificate of a job, found in the text of `certificatePem`.

use crate::certificate::pem::{self, Section};
use crate::certificate::{Certificate, CertificateError};

use super::{Field, PEM_CHARS_MAX, Rejection, Warning, refuse_too_long};

/// The device certificate, and what stood beside it.
pub(super) struct Leaf {
    pub(super) certificate: Certificate,
    n_trailing_bytes: usize,
    n_others: usize,
}

impl Leaf {
    /// Finds the device certificate.
    pub(super) fn read(text: &str) -> Result<Self, Rejection> {
        refuse_too_long(Field::CertificatePem, text)?;
        let mut blocks = pem::sections(text).filter(Section::is_certificate);
        let Some(first) = blocks.next() else { return Err(without_certificate(text)) };
        let der = first.decode().map_err(|damage| Rejection::not_a_certificate(damage.into(), text))?;
        let (certificate, n_trailing_bytes) = Certificate::from_der_start(&der).map_err(Rejection::Malformed)?;
        let n_others = n_issuers(&certificate, blocks).map_err(|found| Rejection::SeveralCertificates { found })?;
        // One line as long as AWS takes becomes longer when it is broken into lines.
        match pem::encoded_chars(pem::CERTIFICATE, certificate.der().len()) {
            0..=PEM_CHARS_MAX => Ok(Self { certificate, n_trailing_bytes, n_others }),
            found => Err(Rejection::PemTooLong { field: Field::CertificatePem, found }),
        }
    }

    pub(super) fn refuse_trailing_data(&self) -> Result<(), Rejection> {
        match self.n_trailing_bytes {
            0 => Ok(()),
            bytes => Err(Rejection::TrailingData { bytes }),
        }
    }

    pub(super) fn warnings(&self) -> Vec<Warning> {
        let leaf = &self.certificate;
        let several = (self.n_others > 0).then_some(Warning::SeveralCertificates { n_ignored: self.n_others });
        let version = (leaf.version() != 3).then_some(Warning::NotVersion3 { found: leaf.version() });
        let ca = leaf.is_ca().then_some(Warning::LeafIsACa);
        let usage = (!leaf.may_sign()).then_some(Warning::KeyUsage);
        let extended = (!leaf.may_authenticate_a_client()).then_some(Warning::ExtendedKeyUsage);
        [several, version, ca, usage, extended].into_iter().flatten().collect()
    }
}

fn without_certificate(text: &str) -> Rejection {
    if pem::sections(text).any(|section| section.is_certificate_request()) {
        return Rejection::CertificateRequest;
    }
    Rejection::not_a_certificate(CertificateError::NoBlock, text)
}

/// Counts the certificates behind the first, if all of them are CAs and the first is none: then it is the leaf of its
/// chain. Of two device certificates one would be lost without a word, so that is an error: the number of all.
fn n_issuers<'a>(first: &Certificate, mut others: impl Iterator<Item = Section<'a>> + Clone) -> Result<usize, usize> {
    let n_others = others.clone().count();
    let is_chain = !first.is_ca() && others.all(|other| holds_ca(&other));
    if n_others == 0 || is_chain { Ok(n_others) } else { Err(n_others + 1) }
}

fn holds_ca(block: &Section<'_>) -> bool {
    block.decode().is_ok_and(|der| Certificate::from_der(&der).is_ok_and(|certificate| certificate.is_ca()))
}
