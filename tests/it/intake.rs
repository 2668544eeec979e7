//! The intake: everything a person would call a certificate is sent or rejected, never ignored, and no CA is sent
//! instead of a device.
//!
//! Files go through the planner of `muster enqueue`, the same texts through the worker's precheck.

mod chains;
mod der;
mod field;
mod markers;
pub(crate) mod unusual;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use muster::intake::enqueue::{BatchOrder, EnqueueTally, Judge, Planner, Reject};
use muster::intake::manifest::Manifest;
use muster_core::certificate::{Certificate, CertificateId, Issuer};
use muster_core::job::RegisterCertificate;
use muster_core::precheck::{Policy, Precheck, Verdict};
use muster_sandbox::specimen::Ca;
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// What the planner read from files.
struct Planned {
    /// The ids to be sent, with the ref of each.
    sent: BTreeMap<CertificateId, Option<String>>,
    rejects: Vec<Reject>,
    tally: EnqueueTally,
}

impl Planned {
    /// Plans the files of a folder, in the order of their names.
    fn of(files: &[(&str, Vec<u8>)]) -> Self {
        Self::under(files, &[])
    }

    /// Plans the files of a folder, with the CAs given as `--ca`.
    fn under(files: &[(&str, Vec<u8>)], cas: &[&Ca]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        Self::of_folder(folder.path(), cas)
    }

    fn of_folder(folder: &Path, cas: &[&Ca]) -> Self {
        let cas: Vec<_> = cas.iter().map(|ca| Issuer::new(ca.certificate().clone()).unwrap()).collect();
        let order = Arc::new(BatchOrder {
            batch: "batch".parse().unwrap(),
            source: None,
            target: "default".parse().unwrap(),
            status: None,
            verify: false,
            cas: cas.into(),
            without_ca: false,
        });
        let manifest = Manifest::find(&[folder.to_owned()]).unwrap();
        let mut planner = Planner::new(manifest, order, Judge::new(Policy::default(), vec![], NOW));
        let mut rejects = Vec::new();
        while let Some(page) = planner.read_page().unwrap() {
            rejects.extend(page);
        }
        let (spool, tally) = planner.finish();
        let sent = spool.read().unwrap().map(|planned| {
            let planned = planned.unwrap();
            (id(&planned.certificate_pem), planned.reference.map(|name| name.to_string()))
        });
        let planned = Self { sent: sent.collect(), rejects, tally };
        planned.assert_adds_up();
        planned
    }

    fn ids(&self) -> BTreeSet<CertificateId> {
        self.sent.keys().copied().collect()
    }

    fn codes(&self) -> Vec<&'static str> {
        self.rejects.iter().map(|reject| reject.code).collect()
    }

    /// Asserts that every entry is counted once, and that every rejected one is listed.
    fn assert_adds_up(&self) {
        let tally = &self.tally;
        assert_eq!(tally.found, tally.to_send + tally.n_rejected() + tally.duplicates + tally.issuers, "{tally:?}");
        assert_eq!(tally.n_rejected(), self.rejects.len() as u64);
        assert_eq!(tally.to_send, self.sent.len() as u64);
    }
}

fn id(pem: &str) -> CertificateId {
    Certificate::from_pem(pem).unwrap().id()
}

fn ids(pems: &[&str]) -> BTreeSet<CertificateId> {
    pems.iter().map(|pem| id(pem)).collect()
}

/// Returns the worker's verdict on a text.
fn verdict(certificate_pem: &str) -> Verdict {
    let request = RegisterCertificate { certificate_pem: certificate_pem.to_owned(), ..RegisterCertificate::default() };
    Precheck::new(Policy::default(), []).check(&request.into(), NOW, None)
}

/// Returns the id that the worker would register for a text, or the code and reason of its rejection.
fn registers(text: &str) -> Result<CertificateId, String> {
    let verdict = verdict(text);
    verdict
        .result
        .map(|checked| checked.id())
        .map_err(|rejection| format!("{}: {rejection}", rejection.code().as_str()))
}
