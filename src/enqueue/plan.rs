//! The first pass: reads all entries, prechecks them on every core, drops duplicates and counts.
//!
//! Every entry is counted exactly once: as sent later, rejected, a duplicate or an issuer. Memory holds the ids of what
//! will be sent, about 70 bytes each, and nothing else that grows with the input.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;
use std::thread;

use serde::Serialize;
use time::OffsetDateTime;

use super::device::{Device, Fate, Judged};
use super::{Order, Reject, Spool};
use crate::certificate::{CertificateId, Issuer};
use crate::manifest::{Entry, Manifest};
use crate::precheck::{Policy, Precheck};

/// Entries that one thread checks at a time: some 20 ms of work, and at most 16 MB of text.
const SHARE: usize = 256;

/// The first pass, under way.
pub struct Planner {
    entries: Box<dyn Iterator<Item = Entry> + Send>,
    order: Arc<Order>,
    judge: Judge,
    n_threads: usize,
    held: Option<Device>,
    planned: HashSet<CertificateId>,
    spool: Spool,
    tally: Tally,
}

/// How entries are judged.
pub struct Judge {
    precheck: Precheck,
    known_cas: HashSet<CertificateId>,
    now: OffsetDateTime,
}

/// What was found: `found` is the sum of `to_send`, `duplicates`, `issuers` and all of `rejected`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Entries.
    pub found: u64,
    /// Distinct certificates that passed the precheck.
    pub to_send: u64,
    /// Certificates that stood there before.
    pub duplicates: u64,
    /// CA certificates that are known as such, or stand behind what they issued.
    pub issuers: u64,
    /// What was rejected, by code.
    pub rejected: BTreeMap<&'static str, u64>,
    /// What looks wrong with certificates that will be sent, by code.
    pub warnings: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// How many were rejected.
    pub fn n_rejected(&self) -> u64 {
        self.rejected.values().sum()
    }
}

impl Judge {
    /// Judges by a policy and as of `now`; `cas` are the known CAs, beside the one that jobs carry.
    pub fn new(policy: Policy, cas: Vec<Issuer>, now: OffsetDateTime) -> Self {
        let known_cas = cas.iter().map(|ca| ca.certificate().id()).collect();
        Self { precheck: Precheck::new(policy, cas), known_cas, now }
    }

    fn is_known_ca(&self, entry: &Judged, order: &Order) -> bool {
        entry.is_ca()
            && entry.certificate().is_some_and(|ca| {
                self.known_cas.contains(&ca.id()) || order.ca_pem.as_ref().is_some_and(|pem| *pem == ca.to_pem())
            })
    }
}

impl Planner {
    /// Begins the first pass.
    pub fn new(manifest: Manifest, order: Arc<Order>, judge: Judge) -> Self {
        Self {
            entries: Box::new(manifest.entries()),
            order,
            judge,
            n_threads: thread::available_parallelism().map_or(1, usize::from),
            held: None,
            planned: HashSet::new(),
            spool: Spool::new(),
            tally: Tally::default(),
        }
    }

    /// What was found up to now.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Reads on and tells what was rejected; nothing once everything is read. It blocks its thread.
    ///
    /// # Errors
    /// The spool cannot be written.
    pub fn read_page(&mut self) -> io::Result<Option<Vec<Reject>>> {
        let page: Vec<Entry> = self.entries.by_ref().take(SHARE * self.n_threads).collect();
        let mut rejects = Vec::new();
        if page.is_empty() {
            let Some(last) = self.held.take() else { return Ok(None) };
            self.settle(last.fate(None), &mut rejects)?;
        }
        self.tally.found += page.len() as u64;
        for judged in self.judge(page) {
            self.take(judged, &mut rejects)?;
        }
        Ok(Some(rejects))
    }

    /// What will be sent.
    pub fn finish(self) -> (Spool, Tally) {
        (self.spool, self.tally)
    }

    /// Prechecks entries on all cores, and keeps their order.
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

    /// Takes an entry as a CA of the device before it, or as the next device.
    fn take(&mut self, entry: Judged, rejects: &mut Vec<Reject>) -> io::Result<()> {
        let entry = match &mut self.held {
            Some(device) => device.absorb(entry),
            None => Some(entry),
        };
        let Some(leaf) = entry.filter(|entry| !self.judge.is_known_ca(entry, &self.order)) else {
            self.tally.issuers += 1;
            return Ok(());
        };
        let device = Device::new(leaf, self.held.as_ref());
        let before = self.held.replace(device);
        let fate = before.map(|before| before.fate(self.held.as_ref()));
        fate.map_or(Ok(()), |fate| self.settle(fate, rejects))
    }

    fn settle(&mut self, fate: Fate, rejects: &mut Vec<Reject>) -> io::Result<()> {
        match fate {
            Fate::Rejected(reject) => {
                *self.tally.rejected.entry(reject.code).or_default() += 1;
                rejects.push(reject);
            }
            Fate::Sent(_, checked, _) if !self.planned.insert(checked.id()) => self.tally.duplicates += 1,
            Fate::Sent(planned, _, warnings) => {
                self.tally.to_send += 1;
                for warning in warnings {
                    *self.tally.warnings.entry(warning.code()).or_default() += 1;
                }
                self.spool.push(&planned)?;
            }
        }
        Ok(())
    }
}
