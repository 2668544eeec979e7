//! Certificates that may be CAs: whether one is a device is known when everything is read.
//!
//! A root may stand before what it issued, in another file or behind a device that cannot be read. So whatever may be a
//! CA waits in a spool. Invariant (I14): a CA is never sent in the place of a device; a certificate with CA:true that
//! issued nothing and stands beside nothing unreadable is taken for a device, as some really are.

use std::collections::{HashMap, HashSet};
use std::io;

use serde::{Deserialize, Serialize};

use super::device::Judged;
use super::spool::{Spool, SpoolReader};
use crate::intake::manifest::{Content, Entry, FilePosition};
use muster_core::certificate::{CertificateId, NameKey};
use muster_core::job::Name;

/// The certificates of a run that may be CAs.
#[derive(Default)]
pub(super) struct Candidates {
    waiting: Spool<WaitingCandidate>,
    seen: HashMap<CertificateId, Candidate>,
    /// The names of those that issued a certificate of this run.
    issuers: HashSet<NameKey>,
}

/// What is known of one of them.
struct Candidate {
    subject: NameKey,
    issuer: Option<NameKey>,
    n_seen: u64,
    /// Something in a text with it could not be read, and may be what it issued.
    is_beside_unreadable: bool,
    /// Its issuer stands in a text with it, so it is part of a chain without a device.
    is_beside_issuer: bool,
    /// The only thing in its text.
    is_alone: bool,
}

/// One that waits: an entry whose certificate can be read, so that it holds no private key.
#[derive(Deserialize, Serialize)]
struct WaitingCandidate {
    id: CertificateId,
    file: String,
    line: Option<u64>,
    text: u64,
    pem: String,
    n_padding: u64,
    is_next_to_private_key: bool,
    reference: Option<Name>,
    is_resent: bool,
}

/// What a candidate turns out to be.
pub(super) enum Resolution {
    /// A CA: it is not sent.
    Ca {
        n_seen: u64,
        /// Whether that is only because something beside it could not be read.
        is_in_doubt: bool,
    },
    /// Part of a chain of CAs without a device.
    ChainWithoutDevice { n_seen: u64, entry: Entry },
    /// A device, as far as anybody can tell.
    Device { n_seen: u64, entry: Entry, is_alone: bool },
}

/// The part of one text in it.
#[derive(Default)]
pub(super) struct OfText {
    ids: HashSet<CertificateId>,
    /// The names of everything that may be a CA.
    subjects: HashSet<NameKey>,
    /// The names of those that issued something in this text.
    issuers: HashSet<NameKey>,
}

impl OfText {
    /// Says whether a certificate issued another one before it.
    pub(super) fn has_issued(&self, subject: &NameKey) -> bool {
        self.issuers.contains(subject)
    }

    /// Adds a CA that is known as one.
    pub(super) fn add_known(&mut self, subject: NameKey) {
        self.subjects.insert(subject);
    }
}

impl Candidates {
    /// Notes who issued a certificate.
    pub(super) fn add_issuer(&mut self, issuer: NameKey, of_text: &mut OfText) {
        of_text.issuers.insert(issuer.clone());
        self.issuers.insert(issuer);
    }

    /// Lets one wait, the first time that it is seen.
    ///
    /// # Errors
    /// The spool cannot be written.
    pub(super) fn add(&mut self, judged: Judged, of_text: &mut OfText) -> io::Result<()> {
        let (Some(certificate), Some(pem)) = (judged.certificate, judged.pem) else { return Ok(()) };
        let id = certificate.id();
        of_text.ids.insert(id);
        of_text.subjects.insert(certificate.subject_key());
        if let Some(candidate) = self.seen.get_mut(&id) {
            candidate.n_seen += 1;
            return Ok(());
        }
        let candidate = Candidate {
            subject: certificate.subject_key(),
            issuer: judged.issuer,
            n_seen: 1,
            is_beside_unreadable: false,
            is_beside_issuer: false,
            is_alone: false,
        };
        self.seen.insert(id, candidate);
        self.waiting.push(&WaitingCandidate {
            id,
            file: judged.place.file.to_string(),
            line: judged.place.line,
            text: judged.text,
            pem,
            n_padding: judged.n_padding,
            is_next_to_private_key: judged.is_next_to_private_key,
            reference: judged.reference,
            is_resent: judged.is_resent,
        })
    }

    /// Notes what a text says about those in it, once it is read to its end.
    pub(super) fn end_text(&mut self, of_text: &OfText, has_unreadable: bool, has_device: bool) {
        let is_alone = !has_device && of_text.ids.len() == 1;
        for id in &of_text.ids {
            let Some(candidate) = self.seen.get_mut(id) else { continue };
            candidate.is_beside_unreadable |= has_unreadable;
            candidate.is_beside_issuer |=
                candidate.issuer.as_ref().is_some_and(|issuer| of_text.subjects.contains(issuer));
            candidate.is_alone |= is_alone;
        }
    }

    /// Decides about all of them, one after the other.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub(super) fn decide(self) -> io::Result<Decisions> {
        let Self { waiting, seen, issuers } = self;
        Ok(Decisions { waiting: waiting.read()?, seen, issuers })
    }
}

/// The decisions about the candidates of a run.
pub(super) struct Decisions {
    waiting: SpoolReader<WaitingCandidate>,
    seen: HashMap<CertificateId, Candidate>,
    issuers: HashSet<NameKey>,
}

impl Decisions {
    fn turn(&self, waiting: WaitingCandidate) -> Resolution {
        let candidate = &self.seen[&waiting.id];
        let n_seen = candidate.n_seen;
        let has_issued = self.issuers.contains(&candidate.subject);
        if has_issued || candidate.is_beside_unreadable {
            return Resolution::Ca { n_seen, is_in_doubt: !has_issued };
        }
        let (is_alone, entry) = (candidate.is_alone, waiting.into_entry());
        if candidate.is_beside_issuer {
            return Resolution::ChainWithoutDevice { n_seen, entry };
        }
        Resolution::Device { n_seen, entry, is_alone }
    }
}

impl Iterator for Decisions {
    type Item = io::Result<Resolution>;

    fn next(&mut self) -> Option<Self::Item> {
        let waiting = self.waiting.next()?;
        Some(waiting.map(|waiting| self.turn(waiting)))
    }
}

impl WaitingCandidate {
    fn into_entry(self) -> Entry {
        Entry {
            place: FilePosition { file: self.file.into(), line: self.line },
            text: self.text,
            content: Content::Pem(self.pem),
            n_padding: self.n_padding,
            is_next_to_private_key: self.is_next_to_private_key,
            reference: self.reference,
            is_resent: self.is_resent,
        }
    }
}
