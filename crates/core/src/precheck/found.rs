//! The certificate of a PEM field, found in its text.

use crate::certificate::chain::{self, Ambiguity, PickedCertificate};
use crate::certificate::input::Oddity;
use crate::certificate::{Certificate, CertificateError, CertificateId, InputKind, Key};

use super::rules::{refuse_canonical_too_long, refuse_too_long};
use super::{Field, Rejection, Warning};

/// The certificate of a field, and what else the field held.
pub(super) struct FoundCertificate {
    pub(super) certificate: Certificate,
    field: Field,
    oddity: Option<Oddity>,
    n_others: usize,
}

/// Why a field has no certificate that can be used, and the id of one that could be read nevertheless.
pub(super) struct NotFound {
    pub(super) rejection: Box<Rejection>,
    pub(super) id: Option<CertificateId>,
}

impl FoundCertificate {
    /// Finds the certificate of a field: the device among its CAs, or the end of a chain.
    pub(super) fn read(field: Field, text: &str) -> Result<Self, NotFound> {
        refuse_too_long(field, text)?;
        let picked = if field == Field::CertificatePem { chain::find_device(text) } else { chain::find_end(text) };
        let PickedCertificate { certificate, oddity, n_others } =
            picked.map_err(|ambiguity| NotFound::of(field, ambiguity, text))?;
        refuse_canonical_too_long(field, &certificate)?;
        Ok(Self { certificate, field, oddity, n_others })
    }

    /// Returns what is unusual about the text, and about the encoding of the certificate.
    pub(super) fn warnings(&self) -> impl Iterator<Item = Warning> {
        let (field, form) = (self.field, self.certificate.form());
        let several = Warning::SeveralCertificates { field, n_ignored: self.n_others };
        let version = self.certificate.version();
        let curve = match self.certificate.key() {
            Key::ExplicitEc { bits } => Some(Warning::ExplicitCurve { field, bits: *bits }),
            _ => None,
        };
        [
            self.oddity.clone().map(|oddity| Warning::of_oddity(field, oddity)),
            (self.n_others > 0).then_some(several),
            (version != 3).then_some(Warning::NotVersion3 { found: version }),
            form.has_unusual_date.then_some(Warning::UnusualDate { field }),
            form.algorithms_differ_in_null.then_some(Warning::AlgorithmsDifferInNull { field }),
            curve,
        ]
        .into_iter()
        .flatten()
    }
}

impl NotFound {
    fn of(field: Field, ambiguity: Ambiguity, text: &str) -> Self {
        let (cause, certificate) = match ambiguity {
            Ambiguity::Several { found } => return Rejection::SeveralCertificates { field, found }.into(),
            Ambiguity::PrivateKey => return Rejection::PrivateKey { field }.into(),
            Ambiguity::Nothing => (CertificateError::NoBlock, None),
            Ambiguity::Unreadable(unreadable) => (unreadable.cause, unreadable.certificate),
        };
        let rejection = Box::new(Rejection::unreadable(field, cause, text));
        Self { rejection, id: certificate.map(|certificate| certificate.id()) }
    }
}

impl From<Rejection> for NotFound {
    fn from(rejection: Rejection) -> Self {
        Self { rejection: Box::new(rejection), id: None }
    }
}

impl Rejection {
    /// Classifies why no certificate could be read from a text.
    pub(super) fn unreadable(field: Field, cause: CertificateError, text: &str) -> Self {
        match cause {
            CertificateError::Is(InputKind::Request) => Self::CertificateRequest { field },
            CertificateError::TrailingData { bytes } => Self::TrailingData { field, bytes },
            CertificateError::NoBlock | CertificateError::Pem(_) | CertificateError::Is(_) => {
                Self::NotACertificate { field, cause, has_escaped_line_ends: text.contains("\\n") }
            }
            cause => Self::Malformed { field, cause },
        }
    }
}
