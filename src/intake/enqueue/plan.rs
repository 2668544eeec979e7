//! The first pass: reads all entries, prechecks them on every core, drops duplicates and counts.
//!
//! Every entry is counted exactly once: as to be sent, rejected, a duplicate or an issuer. Memory holds the ids of what
//! will be sent, about 70 bytes each, and about 300 bytes for each distinct certificate that may be a CA.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;
use std::thread;

use serde::Serialize;
use time::OffsetDateTime;

use super::candidates::{Candidates, Decisions, Resolution, TextCandidates};
use super::device::{Fate, Judged};
use super::{BatchOrder, Planned, Reject, RejectReason, Spool};
use crate::intake::manifest::{Content, Entry, Manifest};
use muster_core::certificate::{Certificate, CertificateId, Issuer, NameKey};
use muster_core::precheck::{Policy, Precheck, Warning};

/// Entries that one thread checks at a time: about 20 ms of work, and at most 16 MB of text.
const SHARE: usize = 256;

/// The first pass, in progress.
pub struct Planner {
    entries: Box<dyn Iterator<Item = Entry> + Send>,
    order: Arc<BatchOrder>,
    judge: Judge,
    n_threads: usize,
    text: Option<CurrentText>,
    candidates: Candidates,
    /// The decisions about the candidates, once all entries are read.
    decisions: Option<Decisions>,
    planned: HashSet<CertificateId>,
    spool: Spool<Planned>,
    tally: EnqueueTally,
}

/// How entries are prechecked.
pub struct Judge {
    precheck: Precheck,
    known_cas: HashSet<CertificateId>,
    now: OffsetDateTime,
}

/// The text that is being read: a file or one line of JSON Lines.
struct CurrentText {
    number: u64,
    /// Entries that are not CAs.
    n_devices: u64,
    has_unreadable: bool,
    candidates: TextCandidates,
    /// The last device, held back: what follows shows whether it is alone, and whether a private key after its chain
    /// belongs to it.
    held: Option<Judged>,
    /// The issuer of the held device, or of the last CA of its chain so far.
    issuer_of_held: Option<NameKey>,
}

/// Counts of the entries: `found` is the sum of `to_send`, `duplicates`, `issuers` and all of `rejected`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EnqueueTally {
    /// Entries.
    pub found: u64,
    /// Distinct certificates that passed the precheck.
    pub to_send: u64,
    /// Certificates that appeared before in the same run.
    pub duplicates: u64,
    /// CA certificates: known ones, those that issued something, and those next to something unreadable.
    pub issuers: u64,
    /// How many of `issuers` are treated as CAs only because something next to them is unreadable.
    pub issuers_in_doubt: u64,
    /// Rejected entries, by code.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Warnings about certificates that will be sent, by code.
    pub warnings: BTreeMap<&'static str, u64>,
    /// The first warning of each code, as text with its position.
    pub first_warnings: BTreeMap<&'static str, String>,
    /// How many of `to_send` come from a rejects file. Their batch was announced by an earlier run.
    #[serde(skip)]
    pub resent: u64,
}

impl EnqueueTally {
    /// Returns how many were rejected.
    pub fn n_rejected(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Returns the announced size of the batch. Excludes entries from a rejects file: they were announced, or not, by
    /// the run that read them first.
    pub fn batch_size(&self) -> Option<u64> {
        Some(self.to_send - self.resent).filter(|&n| n > 0)
    }

    fn warn(&mut self, planned: &Planned, warning: &Warning) {
        *self.warnings.entry(warning.code()).or_default() += 1;
        self.first_warnings.entry(warning.code()).or_insert_with(|| {
            let Planned { file, line, .. } = planned;
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{file}{line}: {warning}")
        });
    }
}

impl Judge {
    /// Creates a judge with a precheck policy as of `now`; `cas` are the known CAs, in addition to those that jobs
    /// carry.
    pub fn new(policy: Policy, cas: Vec<Issuer>, now: OffsetDateTime) -> Self {
        let known_cas = cas.iter().map(|ca| ca.certificate().id()).collect();
        Self { precheck: Precheck::new(policy, cas), known_cas, now }
    }

    fn is_known_ca(&self, certificate: &Certificate, order: &BatchOrder) -> bool {
        self.known_cas.contains(&certificate.id()) || order.cas.iter().any(|ca| ca.certificate() == certificate)
    }
}

impl CurrentText {
    fn new(number: u64) -> Self {
        Self {
            number,
            n_devices: 0,
            has_unreadable: false,
            candidates: TextCandidates::default(),
            held: None,
            issuer_of_held: None,
        }
    }

    /// Follows the chain of the held device to one of its CAs. A private key next to that CA counts as next to the
    /// device.
    fn follow_chain(&mut self, ca: &Judged, subject: &NameKey) {
        if self.issuer_of_held.as_ref() == Some(subject) {
            self.issuer_of_held.clone_from(&ca.issuer);
            self.held.iter_mut().for_each(|held| held.is_next_to_private_key |= ca.is_next_to_private_key);
        }
    }
}

impl Planner {
    /// Creates the first pass over a manifest.
    pub fn new(manifest: Manifest, order: Arc<BatchOrder>, judge: Judge) -> Self {
        Self {
            entries: Box::new(manifest.entries()),
            order,
            judge,
            n_threads: thread::available_parallelism().map_or(1, usize::from),
            text: None,
            candidates: Candidates::default(),
            decisions: None,
            planned: HashSet::new(),
            spool: Spool::default(),
            tally: EnqueueTally::default(),
        }
    }

    /// Returns the counts so far.
    pub fn tally(&self) -> &EnqueueTally {
        &self.tally
    }

    /// Processes the next page of entries and returns its rejects; `None` once everything is read. Blocks the thread.
    ///
    /// # Errors
    /// The spool cannot be written.
    pub fn read_page(&mut self) -> io::Result<Option<Vec<Reject>>> {
        let mut rejects = Vec::new();
        if self.decisions.is_some() {
            return Ok(self.decide_page(&mut rejects)?.then_some(rejects));
        }
        let page: Vec<Entry> = self.entries.by_ref().take(SHARE * self.n_threads).collect();
        if page.is_empty() {
            self.end_text(&mut rejects)?;
            self.decisions = Some(std::mem::take(&mut self.candidates).decide()?);
        }
        self.tally.found += page.len() as u64;
        for judged in self.judge(page) {
            self.take(judged, &mut rejects)?;
        }
        Ok(Some(rejects))
    }

    /// Returns what will be sent, and the counts.
    pub fn finish(self) -> (Spool<Planned>, EnqueueTally) {
        (self.spool, self.tally)
    }

    /// Prechecks entries on all cores, in order.
    fn judge(&self, page: Vec<Entry>) -> Vec<Judged> {
        let (order, precheck, now) = (self.order.as_ref(), &self.judge.precheck, self.judge.now);
        let judge = move |share: Vec<Entry>| -> Vec<Judged> {
            share.into_iter().map(|entry| Judged::new(entry, order, precheck, now)).collect()
        };
        let mut entries = page.into_iter();
        thread::scope(|scope| {
            let shares = std::iter::from_fn(|| Some(entries.by_ref().take(SHARE).collect::<Vec<_>>()));
            let threads: Vec<_> =
                shares.take_while(|share| !share.is_empty()).map(|share| scope.spawn(move || judge(share))).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("the precheck never panics");
            threads.into_iter().flat_map(join).collect()
        })
    }

    /// Classifies an entry as a known CA, a possible CA or a device.
    fn take(&mut self, entry: Judged, rejects: &mut Vec<Reject>) -> io::Result<()> {
        if self.text.as_ref().is_none_or(|text| text.number != entry.text) {
            self.end_text(rejects)?;
        }
        let text = self.text.get_or_insert_with(|| CurrentText::new(entry.text));
        if let Some(certificate) = &entry.certificate {
            let subject = certificate.subject_key();
            let has_issued = entry.issuer.as_ref() != Some(&subject) && text.candidates.has_issued(&subject);
            if let Some(issuer) = entry.issuer.clone() {
                self.candidates.add_issuer(issuer, &mut text.candidates);
            }
            let is_known = !entry.is_next_to_private_key && self.judge.is_known_ca(certificate, &self.order);
            if is_known || has_issued {
                text.follow_chain(&entry, &subject);
                text.candidates.add_known(subject);
                self.tally.issuers += 1;
                return Ok(());
            }
            if certificate.may_be_a_ca() {
                text.follow_chain(&entry, &subject);
                return self.candidates.add(entry, &mut text.candidates);
            }
        }
        text.n_devices += 1;
        text.has_unreadable |= entry.is_unreadable();
        text.issuer_of_held.clone_from(&entry.issuer);
        match text.held.replace(entry) {
            Some(before) => self.settle(before.fate(false), rejects),
            None => Ok(()),
        }
    }

    /// Settles the device that was held until the end of its text.
    fn end_text(&mut self, rejects: &mut Vec<Reject>) -> io::Result<()> {
        let Some(text) = self.text.take() else { return Ok(()) };
        self.candidates.end_text(&text.candidates, text.has_unreadable, text.n_devices > 0);
        text.held.map_or(Ok(()), |held| self.settle(held.fate(text.n_devices == 1), rejects))
    }

    /// Decides about the next page of candidates; returns false if none were left.
    fn decide_page(&mut self, rejects: &mut Vec<Reject>) -> io::Result<bool> {
        let decisions = self.decisions.iter_mut().flatten().take(SHARE * self.n_threads);
        let resolutions = decisions.collect::<io::Result<Vec<Resolution>>>()?;
        let is_over = resolutions.is_empty();
        let (mut devices, mut are_alone) = (Vec::new(), Vec::new());
        for resolution in resolutions {
            match resolution {
                Resolution::Ca { n_seen, is_in_doubt } => {
                    self.tally.issuers += n_seen;
                    self.tally.issuers_in_doubt += if is_in_doubt { n_seen } else { 0 };
                }
                Resolution::ChainWithoutDevice { n_seen, entry } => {
                    self.tally.duplicates += n_seen - 1;
                    self.settle(Fate::Rejected(without_device(entry)), rejects)?;
                }
                Resolution::Device { n_seen, entry, is_alone } => {
                    self.tally.duplicates += n_seen - 1;
                    devices.push(entry);
                    are_alone.push(is_alone);
                }
            }
        }
        for (judged, is_alone) in self.judge(devices).into_iter().zip(are_alone) {
            self.settle(judged.fate(is_alone), rejects)?;
        }
        Ok(!is_over)
    }

    fn settle(&mut self, fate: Fate, rejects: &mut Vec<Reject>) -> io::Result<()> {
        match fate {
            Fate::Rejected(reject) => {
                *self.tally.rejected.entry(reject.code).or_default() += 1;
                rejects.push(reject);
            }
            Fate::Sent { checked, .. } if !self.planned.insert(checked.id()) => self.tally.duplicates += 1,
            Fate::Sent { planned, warnings, .. } => {
                self.tally.to_send += 1;
                self.tally.resent += u64::from(planned.is_resent);
                for warning in &warnings {
                    self.tally.warn(&planned, warning);
                }
                self.spool.push(&planned)?;
            }
        }
        Ok(())
    }
}

fn without_device(entry: Entry) -> Reject {
    let pem = match entry.content {
        Content::Pem(text) => Some(text),
        _ => None,
    };
    Reject::new(&entry.place, entry.reference, pem, &RejectReason::ChainWithoutDevice)
}
