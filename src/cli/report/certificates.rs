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
type CertificateGroup = (String, String, String, Operation);

/// The ids hashed so far.
struct Hashed {
    n: u64,
    hash: Context,
}

impl Certificates {
    /// Reads them in key order, which is the order of their ids within a target and operation.
    pub(super) async fn read(ledger: &Ledger, name: &Name, batch: &BatchStatus) -> anyhow::Result<Vec<Self>> {
        let statuses = [Status::Registered, Status::AlreadyRegistered];
        let n_registered = statuses.iter().map(|&status| batch.with_status(status)).sum();
        let mut pages = SuccessPages::open(ledger, name.as_str()).await?;
        let mut groups = BTreeMap::new();
        let (progress, mut n) = (Progress::new(), 0);
        while let Some(page) = pages.next_page(ledger).await? {
            n += u64::try_from(page.len()).unwrap_or(0);
            for row in page {
                add(&mut groups, row);
            }
            progress.show(n, Some(n_registered), "hashed");
        }
        progress.done();
        Ok(groups.into_iter().map(Self::of).collect())
    }

    fn of((group, hashed): (CertificateGroup, Hashed)) -> Self {
        let (target, account, region, operation) = group;
        let ids_sha256 = hex::encode(hashed.hash.finish());
        Self { target, account, region, operation, n: hashed.n, ids_sha256 }
    }
}

fn add(groups: &mut BTreeMap<CertificateGroup, Hashed>, row: SuccessRow) {
    let group = (row.target, row.account, row.region, row.operation);
    let hashed = groups.entry(group).or_insert_with(|| Hashed { n: 0, hash: Context::new(&SHA256) });
    hashed.n += 1;
    hashed.hash.update(format!("{}\n", row.certificate_id).as_bytes());
}
