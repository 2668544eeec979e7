//! Picks the certificate that a text is about: the device among its CAs, or the CA among its issuers.
//!
//! Order does not matter. Invariant: if anything in the text cannot be read, or the choice is ambiguous, nothing is
//! picked. So a CA is never mistaken for the device next to it.

use std::collections::{HashMap, HashSet};

use super::input::{Input, Oddity, Unreadable, inputs};
use super::{Certificate, CertificateId, NameKey, pem};

/// Maximum number of inputs read from a text. A PEM field has 65,536 characters and the smallest certificates about
/// 300, so only hostile texts have more.
pub(crate) const INPUTS_MAX: usize = 256;

/// The certificate picked from a text, and what else the text held.
#[derive(Clone, Debug)]
pub struct PickedCertificate {
    /// The certificate.
    pub certificate: Certificate,
    /// What is unusual about its text, if anything.
    pub oddity: Option<Oddity>,
    /// Number of other certificates in the text, duplicates included.
    pub n_others: usize,
}

/// Why no certificate was picked from a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Ambiguity {
    /// Nothing in the text looks like a certificate.
    Nothing,
    /// A private key was sent in place of a certificate.
    PrivateKey,
    /// An input cannot be read. A readable certificate next to it may be its CA.
    Unreadable(Unreadable),
    /// Several certificates could be meant.
    Several {
        /// Number of certificates found.
        found: usize,
    },
}

/// Finds the device certificate of a text: the only one, or the only one that is not a CA and issued none of the
/// others.
///
/// # Errors
/// Fails if there is none, or if several could be meant.
pub fn find_device(text: &str) -> Result<PickedCertificate, Ambiguity> {
    pick(text, |certificate| !certificate.is_ca())
}

/// Finds the certificate at the end of a chain, CA or not: the only one that issued none of the others.
///
/// # Errors
/// Fails if there is none, or if several could be meant.
pub fn find_end(text: &str) -> Result<PickedCertificate, Ambiguity> {
    pick(text, |_| true)
}

/// A certificate of a text, with its names normalised for comparison.
struct Member {
    certificate: Certificate,
    oddity: Option<Oddity>,
    subject: NameKey,
    /// The name of its issuer, unless it issued itself.
    other_issuer: Option<NameKey>,
}

impl Member {
    fn new(certificate: Certificate, oddity: Option<Oddity>) -> Self {
        let (subject, issuer) = (certificate.subject_key(), certificate.issuer_key());
        let is_own = subject == issuer && certificate.has_matching_key_ids();
        let other_issuer = (!is_own).then_some(issuer);
        Self { certificate, oddity, subject, other_issuer }
    }
}

fn pick(text: &str, is_candidate: impl Fn(&Certificate) -> bool) -> Result<PickedCertificate, Ambiguity> {
    pick_from(&pem::without_nuls(text), is_candidate)
}

fn pick_from(text: &str, is_candidate: impl Fn(&Certificate) -> bool) -> Result<PickedCertificate, Ambiguity> {
    let mut certificates: Vec<(Certificate, Option<Oddity>)> = Vec::new();
    let mut seen = HashSet::new();
    let mut n_all = 0;
    let mut first_trouble = None;
    for input in inputs(text) {
        // Takes precedence over everything else: a text with a private key must never be stored.
        if input.is_private_key() {
            return Err(Ambiguity::PrivateKey);
        }
        n_all += 1;
        if n_all > INPUTS_MAX {
            break;
        }
        let Input { read, oddity, .. } = input;
        match read {
            Ok(certificate) if seen.insert(certificate.id()) => certificates.push((certificate, oddity)),
            Ok(_) => {}
            Err(trouble) => first_trouble = first_trouble.or(Some(trouble)),
        }
    }
    if let Some(trouble) = first_trouble {
        return Err(Ambiguity::Unreadable(trouble));
    }
    if n_all > INPUTS_MAX {
        return Err(Ambiguity::Several { found: n_all });
    }
    let (certificate, oddity) = match certificates.len() {
        0 => return Err(Ambiguity::Nothing),
        1 => certificates.swap_remove(0),
        found => only_candidate(certificates, is_candidate).ok_or(Ambiguity::Several { found })?,
    };
    Ok(PickedCertificate { certificate, oddity, n_others: n_all - 1 })
}

/// Returns the only certificate that issued none of the others and satisfies `is_candidate`.
fn only_candidate(
    certificates: Vec<(Certificate, Option<Oddity>)>,
    is_candidate: impl Fn(&Certificate) -> bool,
) -> Option<(Certificate, Option<Oddity>)> {
    let members: Vec<_> =
        certificates.into_iter().map(|(certificate, oddity)| Member::new(certificate, oddity)).collect();
    let mut n_issued: HashMap<NameKey, usize> = HashMap::new();
    for issuer in members.iter().filter_map(|member| member.other_issuer.clone()) {
        *n_issued.entry(issuer).or_default() += 1;
    }
    let has_issued_another = |member: &Member| {
        // A certificate whose issuer has the same name as itself does not count as having issued itself.
        let n_own = usize::from(member.other_issuer.as_ref() == Some(&member.subject));
        n_issued.get(&member.subject).is_some_and(|&n| n > n_own)
    };
    let mut candidates =
        members.iter().filter(|member| is_candidate(&member.certificate) && !has_issued_another(member));
    let (Some(one), None) = (candidates.next(), candidates.next()) else { return None };
    Some((one.certificate.clone(), one.oddity.clone()))
}

/// Finds the certificate with the given id in a text, ignoring everything else in it.
pub fn with_id(text: &str, id: CertificateId) -> Option<Certificate> {
    let text = pem::without_nuls(text);
    inputs(&text).find_map(|input| input.certificate().filter(|certificate| certificate.id() == id).cloned())
}
