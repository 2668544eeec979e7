//! Which of the certificates of one text is meant: the device among its CAs, or the CA among its issuers.
//!
//! Order does not matter. Invariant: if anything in the text cannot be read, or several certificates may be meant, none is:
//! so a CA is never taken for the device that it stands beside.

use std::collections::{HashMap, HashSet};

use super::input::{Input, Oddity, Unreadable, inputs};
use super::{Certificate, CertificateId, NameKey, pem};

/// Most inputs of a text that are read. A PEM field has 65,536 characters, and the smallest certificates have some 300, so
/// only hostile texts have more.
pub(crate) const INPUTS_MAX: usize = 256;

/// The certificate that is meant, and what stood beside it.
#[derive(Clone, Debug)]
pub struct Meant {
    /// The certificate.
    pub certificate: Certificate,
    /// What is odd about its text.
    pub oddity: Option<Oddity>,
    /// How many others there are.
    pub n_others: usize,
}

/// Why no certificate of a text is meant.
#[derive(Clone, Debug, PartialEq)]
pub enum Ambiguity {
    /// There is nothing that looks like a certificate.
    Nothing,
    /// A private key stands in a certificate's place.
    PrivateKey,
    /// Something cannot be read. A certificate beside it may be its CA.
    Unreadable(Unreadable),
    /// Several certificates may be meant.
    Several {
        /// How many certificates there are.
        found: usize,
    },
}

/// Finds the device certificate of a text: the only one, or the only one that is no CA and issued none of the others.
///
/// # Errors
/// There is none, or several may be meant.
pub fn device(text: &str) -> Result<Meant, Ambiguity> {
    pick(text, |certificate| !certificate.is_ca())
}

/// Finds the certificate at the end of a chain, whatever it is: the only one that issued none of the others.
///
/// # Errors
/// There is none, or several may be meant.
pub fn end(text: &str) -> Result<Meant, Ambiguity> {
    pick(text, |_| true)
}

/// A certificate of a text, with the names by which it is compared.
struct Member {
    certificate: Certificate,
    oddity: Option<Oddity>,
    subject: NameKey,
    /// The name of its issuer, where that is another one.
    other_issuer: Option<NameKey>,
}

impl Member {
    fn new(certificate: Certificate, oddity: Option<Oddity>) -> Self {
        let (subject, issuer) = (certificate.subject_key(), certificate.issuer_key());
        let is_own = subject == issuer && certificate.has_one_key_id();
        let other_issuer = (!is_own).then_some(issuer);
        Self { certificate, oddity, subject, other_issuer }
    }
}

fn pick(text: &str, may_be_meant: impl Fn(&Certificate) -> bool) -> Result<Meant, Ambiguity> {
    pick_from(&pem::without_nuls(text), may_be_meant)
}

fn pick_from(text: &str, may_be_meant: impl Fn(&Certificate) -> bool) -> Result<Meant, Ambiguity> {
    let mut certificates: Vec<(Certificate, Option<Oddity>)> = Vec::new();
    let mut seen = HashSet::new();
    let mut n_all = 0;
    let mut first_trouble = None;
    for input in inputs(text) {
        // Whatever else is wrong: a text with a private key must never be kept.
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
        found => the_one_of(certificates, may_be_meant).ok_or(Ambiguity::Several { found })?,
    };
    Ok(Meant { certificate, oddity, n_others: n_all - 1 })
}

/// The only one that issued none of the others and may be meant.
fn the_one_of(
    certificates: Vec<(Certificate, Option<Oddity>)>,
    may_be_meant: impl Fn(&Certificate) -> bool,
) -> Option<(Certificate, Option<Oddity>)> {
    let members: Vec<_> =
        certificates.into_iter().map(|(certificate, oddity)| Member::new(certificate, oddity)).collect();
    let mut n_issued: HashMap<NameKey, usize> = HashMap::new();
    for issuer in members.iter().filter_map(|member| member.other_issuer.clone()) {
        *n_issued.entry(issuer).or_default() += 1;
    }
    let has_issued_another = |member: &Member| {
        // One that has an issuer of its own name counts as that one's, not as its own.
        let own = usize::from(member.other_issuer.as_ref() == Some(&member.subject));
        n_issued.get(&member.subject).is_some_and(|&n| n > own)
    };
    let mut meant = members.iter().filter(|member| may_be_meant(&member.certificate) && !has_issued_another(member));
    let (Some(one), None) = (meant.next(), meant.next()) else { return None };
    Some((one.certificate.clone(), one.oddity.clone()))
}

/// Finds the certificate with an id in a text, whatever else stands there.
pub fn with_id(text: &str, id: CertificateId) -> Option<Certificate> {
    let text = pem::without_nuls(text);
    inputs(&text).find_map(|input| input.certificate().filter(|certificate| certificate.id() == id).cloned())
}
