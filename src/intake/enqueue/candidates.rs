//! Certificates that may be CAs. Whether one is a device is decided once everything is read.
//!
//! A root may come before the certificates that it issued, in another file, or after a device certificate that cannot
//! be read, so every possible CA waits in a spool. Invariant (I14): a CA is never sent as if it were a device. A
//! certificate with CA:true that issued nothing and has nothing unreadable next to it is treated as a device, because
//! some devices have such certificates.

use std::collections::{HashMap, HashSet};
use std::io;

use serde::{Deserialize, Serialize};

use super::device::Judged;
use super::spool::{Spool, SpoolReader};
use crate::intake::manifest::{Content, Entry, FilePosition};
use muster_core::certificate::{CertificateId, NameKey};
use muster_core::job::Name;

/// The possible CAs of a run.
#[derive(Default)]
pub(super) struct Candidates {
    waiting: Spool<WaitingCandidate>,
    seen: HashMap<CertificateId, Candidate>,
    /// The names of the issuers of this run's certificates.
    issuers: HashSet<NameKey>,
}

/// What is known about one possible CA.
struct Candidate {
    subject: NameKey,
    issuer: Option<NameKey>,
    n_seen: u64,
    /// Whether a text with it also has something unreadable, which it may have issued.
    is_next_to_unreadable: bool,
    /// Whether a text with it also has its issuer. Then it is part of a chain without a device.
    is_next_to_issuer: bool,
    /// Whether it is alone in a text.
    is_alone: bool,
}

/// A waiting entry. Its certificate can be read, so it contains no private key.
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

/// What a candidate turned out to be.
pub(super) enum Resolution {
    /// A CA. Not sent.
    Ca {
        n_seen: u64,
        /// Whether the only reason is something unreadable next to it.
        is_in_doubt: bool,
    },
    /// Part of a chain of CAs without a device.
    ChainWithoutDevice { n_seen: u64, entry: Entry },
    /// A device, as far as can be determined.
    Device { n_seen: u64, entry: Entry, is_alone: bool },
}

/// The candidates and issuers of one text.
#[derive(Default)]
pub(super) struct TextCandidates {
    ids: HashSet<CertificateId>,
    /// The names of all possible CAs.
    subjects: HashSet<NameKey>,
    /// The names of the issuers of this text's certificates.
    issuers: HashSet<NameKey>,
}

impl TextCandidates {
    /// Returns whether a subject issued a certificate that came before in this text.
    pub(super) fn has_issued(&self, subject: &NameKey) -> bool {
        self.issuers.contains(subject)
    }

    /// Adds a known CA.
    pub(super) fn add_known(&mut self, subject: NameKey) {
        self.subjects.insert(subject);
    }
}

impl Candidates {
    /// Records the issuer of a certificate.
    pub(super) fn add_issuer(&mut self, issuer: NameKey, of_text: &mut TextCandidates) {
        of_text.issuers.insert(issuer.clone());
        self.issuers.insert(issuer);
    }

    /// Adds a possible CA. Spools it the first time that it is seen, and counts it after that.
    ///
    /// # Errors
    /// The spool cannot be written.
    pub(super) fn add(&mut self, judged: Judged, of_text: &mut TextCandidates) -> io::Result<()> {
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
            is_next_to_unreadable: false,
            is_next_to_issuer: false,
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

    /// Updates the candidates of a text when it has been read completely.
    pub(super) fn end_text(&mut self, of_text: &TextCandidates, has_unreadable: bool, has_device: bool) {
        let is_alone = !has_device && of_text.ids.len() == 1;
        for id in &of_text.ids {
            let Some(candidate) = self.seen.get_mut(id) else { continue };
            candidate.is_next_to_unreadable |= has_unreadable;
            candidate.is_next_to_issuer |=
                candidate.issuer.as_ref().is_some_and(|issuer| of_text.subjects.contains(issuer));
            candidate.is_alone |= is_alone;
        }
    }

    /// Returns an iterator that decides every candidate.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub(super) fn decide(self) -> io::Result<Decisions> {
        let Self { waiting, seen, issuers } = self;
        Ok(Decisions { waiting: waiting.read()?, seen, issuers })
    }
}

/// An iterator over the decisions about the candidates of a run.
pub(super) struct Decisions {
    waiting: SpoolReader<WaitingCandidate>,
    seen: HashMap<CertificateId, Candidate>,
    issuers: HashSet<NameKey>,
}

impl Decisions {
    fn resolve(&self, waiting: WaitingCandidate) -> Resolution {
        let candidate = &self.seen[&waiting.id];
        let n_seen = candidate.n_seen;
        let has_issued = self.issuers.contains(&candidate.subject);
        if has_issued || candidate.is_next_to_unreadable {
            return Resolution::Ca { n_seen, is_in_doubt: !has_issued };
        }
        let (is_alone, entry) = (candidate.is_alone, waiting.into_entry());
        if candidate.is_next_to_issuer {
            return Resolution::ChainWithoutDevice { n_seen, entry };
        }
        Resolution::Device { n_seen, entry, is_alone }
    }
}

impl Iterator for Decisions {
    type Item = io::Result<Resolution>;

    fn next(&mut self) -> Option<Self::Item> {
        let waiting = self.waiting.next()?;
        Some(waiting.map(|waiting| self.resolve(waiting)))
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
