//! The registered certificates of a batch, hashed while they are read; no id is kept in memory.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;

use crate::cli::progress::Progress;
use crate::ledger::outcomes::{SuccessPages, SuccessRow};
use crate::ledger::{BatchStatus, Ledger};
use muster_core::job::{Name, Operation};
use muster_core::outcome::Status;

/// The certificates of one target, account, region and operation.
#[derive(Debug, Serialize)]
pub(super) struct Certificates {
    pub(super) target: String,
    pub(super) account: String,
    pub(super) region: String,
    pub(super) operation: Operation,
    /// Number of certificates.
    pub(super) n: u64,
    /// SHA-256 over their sorted ids, each followed by a newline.
    pub(super) ids_sha256: String,
}

/// Target, account, region and operation.
type CertificateFiles = (String, String, String, Operation);

/// The ids hashed so far.
struct Hashed {
    n: u64,
    hash: Context,
}

impl Certificates {
    /// Reads them in key order, which is the order of their ids within a target and operation.
    pub(super) async fn read(ledger: &Ledger, name: &Name, batch: &BatchStatus) -> anyhow::Result<Vec<Self>> {
        let statuses = [Status::Registered, Status::AlreadyRegistered];
        let n_good = statuses.iter().map(|&status| batch.with_status(status)).sum();
        let mut ends = SuccessPages::open(ledger, name.as_str()).await?;
        let mut places = BTreeMap::new();
        let (progress, mut n) = (Progress::new(), 0);
        while let Some(page) = ends.next_page(ledger).await? {
            n += u64::try_from(page.len()).unwrap_or(0);
            for end in page {
                add(&mut places, end);
            }
            progress.show(n, Some(n_good), "hashed");
        }
        progress.done();
        Ok(places.into_iter().map(Self::of).collect())
    }

    fn of((place, hashed): (CertificateFiles, Hashed)) -> Self {
        let (target, account, region, operation) = place;
        let ids_sha256 = hex::encode(hashed.hash.finish());
        Self { target, account, region, operation, n: hashed.n, ids_sha256 }
    }
}

fn add(places: &mut BTreeMap<CertificateFiles, Hashed>, end: SuccessRow) {
    let place = (end.target, end.account, end.region, end.operation);
    let hashed = places.entry(place).or_insert_with(|| Hashed { n: 0, hash: Context::new(&SHA256) });
    hashed.n += 1;
    hashed.hash.update(format!("{}\n", end.certificate_id).as_bytes());
}
