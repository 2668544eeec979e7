//! The CAs that a leaf can be verified under: those that the operator configured, and those that jobs carry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

use crate::certificate::pem::{self, Section};
use crate::certificate::{Certificate, Issuer, IssuerError, Verification};

use super::{Field, Rejection, Warning, refuse_canonical_too_long, refuse_too_long};

/// The CAs that the operator configured, by subject.
pub(super) struct KnownCas(HashMap<Box<[u8]>, Vec<Issuer>>);

impl KnownCas {
    pub(super) fn new(issuers: impl IntoIterator<Item = Issuer>) -> Self {
        let mut by_subject: HashMap<Box<[u8]>, Vec<Issuer>> = HashMap::new();
        for issuer in issuers {
            by_subject.entry(issuer.certificate().subject_der().into()).or_default().push(issuer);
        }
        Self(by_subject)
    }

    /// Verifies a leaf under the CAs of its issuer's name and key id. Several may share both, so one that fits is enough.
    ///
    /// A leaf of an unknown issuer is no error: AWS may know more CAs than the operator configured.
    pub(super) fn verify(&self, leaf: &Certificate, now: OffsetDateTime) -> Result<Option<Warning>, Rejection> {
        let mut unverified = None;
        for issuer in self.named(leaf).filter(|issuer| may_have_issued(issuer, leaf)) {
            let ca = issuer.certificate();
            match issuer.verify(leaf) {
                Verification::Good => return Ok(Warning::about_ca(ca, now)),
                Verification::Unsupported => unverified = Some(Ok(Warning::signature_unverifiable(leaf, ca))),
                Verification::Bad => unverified = unverified.or(Some(Err(Rejection::signature_invalid(leaf, ca)))),
            }
        }
        unverified.unwrap_or_else(|| Ok(Warning::IssuerUnknown { issuer: leaf.issuer() })).map(Some)
    }

    /// The CAs of a leaf's issuer's name.
    pub(super) fn named(&self, leaf: &Certificate) -> impl Iterator<Item = &Issuer> {
        self.0.get(leaf.issuer_der()).into_iter().flatten()
    }
}

/// Says whether the key ids let an issuer have signed a certificate.
pub(super) fn may_have_issued(issuer: &Issuer, leaf: &Certificate) -> bool {
    leaf.authority_key_id().is_none_or(|wanted| issuer.certificate().subject_key_id() == Some(wanted))
}

const FIELD: Field = Field::CaCertificatePem;

/// Most CAs of jobs that are held parsed, by their text. A fleet has tens; jobs that bring more only cost a parse each.
const GIVEN_MAX: usize = 64;

/// The CAs that jobs carry, parsed once: a whole batch carries the same one.
#[derive(Default)]
pub(super) struct GivenCas(Mutex<HashMap<Box<str>, Arc<GivenCa>>>);

/// A CA that a job carried.
pub(super) struct GivenCa {
    pub(super) issuer: Issuer,
    pub(super) pem: Arc<str>,
    n_ignored: usize,
}

impl GivenCas {
    /// Reads the CA of a job, or remembers it.
    pub(super) fn read(&self, text: &str) -> Result<Arc<GivenCa>, Rejection> {
        refuse_too_long(FIELD, text)?;
        if let Some(ca) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(text) {
            return Ok(Arc::clone(ca));
        }
        // Parsed without the lock: the worst that can happen is that two workers parse the same CA once each.
        let ca = Arc::new(GivenCa::read(text)?);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= GIVEN_MAX {
            held.clear();
        }
        held.insert(text.into(), Arc::clone(&ca));
        Ok(ca)
    }
}

impl GivenCa {
    fn read(text: &str) -> Result<Self, Rejection> {
        let mut blocks = pem::sections(text).filter(Section::is_certificate);
        let certificate = Certificate::from_block(blocks.next()).map_err(Rejection::CaUnreadable)?;
        refuse_canonical_too_long(FIELD, &certificate)?;
        let (n_ignored, pem) = (blocks.count(), certificate.to_pem().into());
        let issuer = Issuer::new(certificate)
            .map_err(|IssuerError::NotACa { subject }| Rejection::CaNotACa { field: FIELD, subject })?;
        Ok(Self { issuer, pem, n_ignored })
    }

    /// AWS does not say what several certificates mean here. The first is the direct issuer wherever chains are in order.
    pub(super) fn warning(&self) -> Option<Warning> {
        (self.n_ignored > 0).then_some(Warning::SeveralCaCertificates { n_ignored: self.n_ignored })
    }
}
