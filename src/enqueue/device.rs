//! One device certificate of a file, as the precheck sees it, together with its CAs that stand behind it.
//!
//! Many tools write a certificate and its chain into one file. A CA certificate that issued the one right before it is
//! part of that chain and no device; any other that is not known as a CA is taken for a device's, as some really are.

use std::io;
use std::path::Path;
use std::sync::Arc;

use time::OffsetDateTime;

use super::{Order, Planned, Reason, Reject};
use crate::certificate::{Certificate, pem};
use crate::job::Name;
use crate::manifest::{Content, Entry, Place, STDIN};
use crate::precheck::{CheckedCertificate, Precheck, Warning};

/// One entry and what the precheck says about it.
pub(super) struct Judged {
    place: Place,
    /// The block, where there is one that may be shown.
    pem: Option<String>,
    is_next_to_private_key: bool,
    is_ca: bool,
    result: Result<CheckedCertificate, Reason>,
    warnings: Vec<Warning>,
}

/// A device certificate and the CAs behind it.
pub(super) struct Device {
    leaf: Judged,
    last_ca: Option<Judged>,
    /// Whether its file holds nothing before it.
    is_first: bool,
}

/// What becomes of a device certificate.
pub(super) enum Fate {
    /// It is sent.
    Sent(Planned, CheckedCertificate, Vec<Warning>),
    /// It is not.
    Rejected(Reject),
}

impl Judged {
    /// Prechecks an entry.
    pub(super) fn new(entry: Entry, order: &Order, precheck: &Precheck, now: OffsetDateTime) -> Self {
        let (text, is_der) = match entry.content {
            Content::Pem(text) => (text, false),
            Content::Der(der) => (pem::encode(pem::CERTIFICATE, &der), true),
            Content::NoBlock => (String::new(), true),
            Content::Unreadable(error) => return Self::unreadable(entry.place, error),
        };
        let request = order.request(text.clone());
        let verdict = precheck.check(&request, now, None);
        // Bytes that are no certificate may be anything, also a private key: they are not shown.
        let may_be_shown = !is_der || verdict.certificate_id.is_some();
        Self {
            place: entry.place,
            pem: may_be_shown.then_some(text),
            is_next_to_private_key: entry.is_next_to_private_key,
            is_ca: verdict.warnings.contains(&Warning::LeafIsACa),
            result: verdict.result.map_err(Reason::Precheck),
            warnings: verdict.warnings,
        }
    }

    fn unreadable(place: Place, error: io::Error) -> Self {
        Self {
            place,
            pem: None,
            is_next_to_private_key: false,
            is_ca: false,
            result: Err(Reason::Unreadable(error)),
            warnings: vec![],
        }
    }

    /// Says whether it is a CA certificate and no private key stands next to it, so that it may be passed over.
    pub(super) fn is_ca(&self) -> bool {
        self.is_ca && !self.is_next_to_private_key
    }

    pub(super) fn certificate(&self) -> Option<Certificate> {
        Certificate::from_pem(self.pem.as_deref()?).ok()
    }

    fn is_in_file_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.place.file, &other.place.file)
    }

    /// Says whether this is the CA that issued `below`, standing in the same file.
    fn is_issuer_of(&self, below: &Self) -> bool {
        if !self.is_ca || !self.is_in_file_of(below) {
            return false;
        }
        let (Some(ca), Some(below)) = (self.certificate(), below.certificate()) else { return false };
        // A certificate that issued itself has no other issuer, whoever shares its name.
        below.names_as_issuer(&ca) && !below.names_as_issuer(&below)
    }
}

impl Device {
    /// Begins a device with its certificate; `before` is the device before it.
    pub(super) fn new(leaf: Judged, before: Option<&Self>) -> Self {
        let is_first = before.is_none_or(|before| !before.leaf.is_in_file_of(&leaf));
        Self { leaf, last_ca: None, is_first }
    }

    /// Takes an entry that is a CA of this device, and gives any other back.
    pub(super) fn absorb(&mut self, entry: Judged) -> Option<Judged> {
        if !entry.is_issuer_of(self.last_ca.as_ref().unwrap_or(&self.leaf)) {
            return Some(entry);
        }
        self.leaf.is_next_to_private_key |= entry.is_next_to_private_key;
        self.last_ca = Some(entry);
        None
    }

    /// Decides what becomes of it; `after` is the device behind it.
    pub(super) fn fate(self, after: Option<&Self>) -> Fate {
        let is_alone = self.is_first && after.is_none_or(|after| after.is_first);
        let reference = if is_alone { file_stem(&self.leaf.place) } else { None };
        let Judged { place, pem, warnings, is_next_to_private_key, .. } = self.leaf;
        let result = if is_next_to_private_key { Err(Reason::BesidePrivateKey) } else { self.leaf.result };
        match result {
            Ok(checked) => {
                let (file, certificate_pem) = (place.file.to_string(), checked.pem().to_owned());
                Fate::Sent(Planned { file, line: place.line, reference, certificate_pem }, checked, warnings)
            }
            Err(reason) => Fate::Rejected(Reject::new(&place, reference, pem, &reason)),
        }
    }
}

/// The name of a file without its last ending, where it is a name that jobs may carry.
fn file_stem(place: &Place) -> Option<Name> {
    if &*place.file == STDIN {
        return None;
    }
    Path::new(&*place.file).file_stem()?.to_str()?.parse().ok()
}
