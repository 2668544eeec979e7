//! The CAs that a leaf can be verified against: those that the operator configured, and those that jobs carry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;

use crate::certificate::chain::INPUTS_MAX;
use crate::certificate::input::inputs;
use crate::certificate::{Certificate, CertificateError, Issuer, IssuerError, NameKey, Verification, pem};

use super::rules::{refuse_canonical_too_long, refuse_too_long};
use super::{Field, Rejection, Warning};

/// The CAs that the operator configured, by subject, normalised for comparison.
pub(super) struct KnownCas(HashMap<NameKey, Vec<Issuer>>);

impl KnownCas {
    pub(super) fn new(issuers: impl IntoIterator<Item = Issuer>) -> Self {
        let mut by_subject: HashMap<NameKey, Vec<Issuer>> = HashMap::new();
        for issuer in issuers {
            by_subject.entry(issuer.certificate().subject_key()).or_default().push(issuer);
        }
        Self(by_subject)
    }

    /// Verifies a leaf against the CAs with its issuer's name and key id. Several may share both, so one match is
    /// enough.
    ///
    /// An unknown issuer is not an error: AWS may know more CAs than the operator configured. Nor is a leaf without an
    /// authority key id that no CA of its issuer's name signed: after a key rollover, two CAs share a name.
    pub(super) fn verify(&self, leaf: &Certificate, now: OffsetDateTime) -> Result<Option<Warning>, Rejection> {
        let mut unverified = None;
        for issuer in self.named(leaf).filter(|issuer| issuer.may_have_issued(leaf)) {
            let ca = issuer.certificate();
            match issuer.verify(leaf) {
                Verification::Good => return Ok(Warning::about_ca(ca, now)),
                Verification::Unsupported => unverified = Some(Ok(Warning::signature_unverifiable(leaf, ca))),
                Verification::Bad => {
                    let is_sure = leaf.authority_key_id().is_some();
                    let found = || {
                        if is_sure { Err(Rejection::signature_invalid(leaf, ca)) } else { Ok(Warning::other_key(ca)) }
                    };
                    unverified = unverified.or_else(|| Some(found()));
                }
            }
        }
        unverified.unwrap_or_else(|| Ok(Warning::IssuerUnknown { issuer: leaf.issuer() })).map(Some)
    }

    /// Returns the CAs with the name of a leaf's issuer.
    pub(super) fn named(&self, leaf: &Certificate) -> impl Iterator<Item = &Issuer> {
        self.0.get(&leaf.issuer_key()).into_iter().flatten()
    }
}

const FIELD: Field = Field::CaCertificatePem;

/// Maximum number of CA texts from jobs that are cached in parsed form. A fleet has tens; more only cost a parse each.
const GIVEN_MAX: usize = 64;

/// A cache of the CAs that jobs carry, parsed once: a whole batch carries the same ones.
#[derive(Default)]
pub(super) struct GivenCas(Mutex<HashMap<Box<str>, Arc<GivenText>>>);

/// The text in which a job carried its CA.
pub(super) struct GivenText {
    /// Its CAs, in order; at least one.
    cas: Vec<GivenCa>,
    n_certificates: usize,
}

/// A CA that a job carried.
pub(super) struct GivenCa {
    pub(super) issuer: Issuer,
    pub(super) pem: Arc<str>,
}

impl GivenCas {
    /// Returns the CAs of a job, from the cache or by parsing them.
    pub(super) fn read(&self, text: &str) -> Result<Arc<GivenText>, Rejection> {
        refuse_too_long(FIELD, text)?;
        if let Some(given) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(text) {
            return Ok(Arc::clone(given));
        }
        // Parsed without the lock: at worst, two workers parse the same text once each.
        let given = Arc::new(GivenText::read(text)?);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= GIVEN_MAX {
            held.clear();
        }
        held.insert(text.into(), Arc::clone(&given));
        Ok(given)
    }
}

impl GivenText {
    /// Reads the CAs of a text. Ignores what cannot be read next to one that can: only one CA is sent to AWS, and the
    /// signature shows whether it is the right one.
    fn read(text: &str) -> Result<Self, Rejection> {
        let (mut cas, mut n_certificates) = (Vec::new(), 0);
        let mut first_trouble = None;
        for input in inputs(&pem::without_nuls(text)).take(INPUTS_MAX) {
            if input.is_private_key() {
                return Err(Rejection::PrivateKey { field: FIELD });
            }
            n_certificates += 1;
            match input.read.map_err(|unreadable| Rejection::CaUnreadable(unreadable.cause)).and_then(GivenCa::new) {
                Ok(ca) => cas.push(ca),
                Err(rejection) => first_trouble = first_trouble.or(Some(rejection)),
            }
        }
        if cas.is_empty() {
            return Err(first_trouble.unwrap_or(Rejection::CaUnreadable(CertificateError::NoBlock)));
        }
        Ok(Self { cas, n_certificates })
    }

    /// Finds the CA that issued a leaf, anywhere in the text. Returns it with the result of verifying the signature.
    pub(super) fn issuer_of(&self, leaf: &Certificate) -> Result<(&GivenCa, Verification), Rejection> {
        let found = Issuer::among(self.cas.iter().map(|ca| &ca.issuer), leaf);
        let (at, verification) = found.ok_or_else(|| {
            let ca = self.cas[0].issuer.certificate().subject();
            Rejection::IssuerMismatch { issuer: leaf.issuer(), ca }
        })?;
        Ok((&self.cas[at], verification))
    }

    /// Warns about other certificates in the text: only the CA that issued the leaf is sent to AWS.
    pub(super) fn warning(&self) -> Option<Warning> {
        let n_ignored = self.n_certificates - 1;
        (n_ignored > 0).then_some(Warning::SeveralCaCertificates { n_ignored })
    }
}

impl GivenCa {
    fn new(certificate: Certificate) -> Result<Self, Rejection> {
        refuse_canonical_too_long(FIELD, &certificate)?;
        let pem = certificate.to_pem().into();
        let issuer = Issuer::new(certificate)
            .map_err(|IssuerError::NotACa { subject }| Rejection::CaNotACa { field: FIELD, subject })?;
        Ok(Self { issuer, pem })
    }
}
