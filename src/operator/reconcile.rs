//! Compares the ledger with what AWS has registered, and fixes the ledger on request.
//!
//! AWS lists certificates by age and the ledger orders them by id, so the list is stored in the ledger's database until
//! it has been compared; memory use does not grow with the account. A certificate that is not listed counts as missing
//! only after AWS was asked for it by id. Rows recorded after the run began are never reported as drift.

mod drift;
mod findings;
mod fix;
mod inventory;
mod pace;
mod walk;

use std::borrow::Cow;
use std::num::NonZeroU32;

use crate::config::Config;
use crate::intake::ca_folder::{CaFolderError, known_cas};
use crate::ledger::drift::listing::{Listed, ReconcileRun};
use crate::ledger::drift::{CertificateSource, ComparedRow};
use crate::ledger::{Ledger, LedgerError};
use crate::operator::ca_registration::CaRegistrationError;
use muster_core::account::Account;
use muster_core::certificate::{Certificate, CertificateId, Issuer, Verification};
use muster_core::job::Name;
use muster_core::rate::Rate;

use drift::{Drift, drifts};
pub use findings::{FindingExample, Findings};
pub use fix::FixesMade;
pub use inventory::{Inventory, InventoryError};
use muster_core::advice::{Advice, Exit};

/// Certificates compared per page.
const PAGE: u32 = 500;

/// What to compare.
#[derive(Clone, Debug)]
pub struct ReconcileOrder {
    /// The target: the configured name of an account and region.
    pub target: Name,
    /// Compare only the rows of this batch.
    pub batch: Option<Name>,
    /// Compare only certificates that this CA issued.
    pub ca: Option<CertificateId>,
    /// Check N randomly chosen ledger certificates instead of listing AWS.
    pub sample: Option<NonZeroU32>,
    /// Most AWS calls per second.
    pub rate: Rate,
}

/// Why a comparison could not start or complete.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The target cannot be used.
    #[error(transparent)]
    Target(#[from] CaRegistrationError),
    /// A call to AWS failed.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger has no batch of this name.
    #[error("the ledger does not know batch `{0}`")]
    UnknownBatch(Name),
    /// The CA's certificate is not available, so its issued certificates cannot be identified.
    #[error("the certificate of CA {0} is neither in the ledger nor in `precheck.ca_folder`")]
    UnknownCa(CertificateId),
    /// A file of the CA folder cannot be used.
    #[error(transparent)]
    CaFolder(#[from] CaFolderError),
    /// The pages of AWS's list repeat.
    #[error("the list from AWS does not end: a page leads back to an earlier one")]
    EndlessList,
    /// The stored list from AWS is gone.
    #[error("the database server crashed during the run, and the list from AWS is lost")]
    ListLost,
}

impl Advice for ReconcileError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::UnknownBatch(_) => Some(
                "a batch is known once a worker has received its first message; leave --batch out to compare all"
                    .into(),
            ),
            Self::UnknownCa(_) => Some("put its PEM file into `precheck.ca_folder`, or leave --ca out".into()),
            Self::EndlessList | Self::ListLost => Some("run it again".into()),
            Self::Target(error) => error.hint(),
            Self::Inventory(error) => error.hint(),
            Self::Ledger(error) => Advice::hint(error),
            Self::CaFolder(_) => None,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Target(error) => error.exit(),
            Self::Inventory(error) => error.exit(),
            Self::Ledger(error) => error.exit(),
            Self::UnknownBatch(_) | Self::UnknownCa(_) | Self::EndlessList | Self::ListLost | Self::CaFolder(_) => {
                Exit::Error
            }
        }
    }
}

/// One run of a comparison.
#[derive(Debug)]
pub struct Reconciliation {
    ledger: Ledger,
    inventory: Inventory,
    order: ReconcileOrder,
    issuer: Option<Issuer>,
    sources: Vec<CertificateSource>,
    run: ReconcileRun,
    findings: Findings,
    /// The first stored certificate. While it exists, the whole list does: a server crash empties the table.
    first: Option<CertificateId>,
}

impl Reconciliation {
    /// Determines what to compare, and begins a run.
    ///
    /// # Errors
    /// The target, the batch or the CA cannot be used, or the ledger failed.
    pub async fn begin(config: &Config, ledger: &Ledger, order: ReconcileOrder) -> Result<Self, ReconcileError> {
        let inventory = Inventory::connect(config, &order.target, order.rate).await?;
        let account = inventory.account();
        ledger.check_target(order.target.as_str(), &account.id, &account.region).await?;
        let sources = sources(ledger, order.batch.as_ref()).await?;
        let issuer = match order.ca {
            Some(id) => Some(issuer(config, ledger, account, id).await?),
            None => None,
        };
        let run = ledger.begin_run().await?;
        let findings = Findings::none(run.began_at);
        Ok(Self { ledger: ledger.clone(), inventory, order, issuer, sources, run, findings, first: None })
    }

    /// Returns the account and region that are compared.
    pub fn account(&self) -> &Account {
        self.inventory.account()
    }

    /// Returns how many AWS calls were made.
    pub fn n_calls(&self) -> u64 {
        self.inventory.n_calls()
    }

    /// Returns what was found.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Lists what AWS has and compares it with the ledger. Calls `show` to report progress.
    ///
    /// # Errors
    /// AWS or the ledger failed.
    pub async fn compare(&mut self, show: &dyn Fn(&Self)) -> Result<(), ReconcileError> {
        if self.order.sample.is_none() {
            self.list(show).await?;
        }
        self.ask(show).await?;
        self.check_list().await?;
        let mut after = None;
        while let Some(page) = self.page(&mut after).await? {
            for (listed, drift) in page.drifts(self.order.batch.as_ref()) {
                self.findings.add(listed, &drift);
            }
            self.findings.n_compared += page.listed.len() as u64;
            show(self);
        }
        Ok(())
    }

    /// Removes the stored list from AWS.
    ///
    /// # Errors
    /// The ledger failed. A later comparison removes the list instead.
    pub async fn end(self) -> Result<(), LedgerError> {
        self.ledger.end_run(&self.run).await
    }

    /// Lists all certificates of the account, or of the CA, and stores the list.
    async fn list(&mut self, show: &dyn Fn(&Self)) -> Result<(), ReconcileError> {
        let mut marker = None;
        let mut cycle = CycleDetector::default();
        let mut n = 0;
        loop {
            let page = self.inventory.list(self.order.ca, marker.as_deref()).await?;
            n += page.certificates.len() as u64;
            self.findings.n_listed = Some(n);
            let reported = page.certificates.into_iter();
            let reported: Vec<_> = reported.map(|its| Listed { id: its.id, status: Some(its.status) }).collect();
            self.note(&reported).await?;
            show(self);
            let Some(next) = page.next else { return Ok(()) };
            if cycle.has_seen(&next) {
                return Err(ReconcileError::EndlessList);
            }
            marker = Some(next);
        }
    }

    /// Stores what AWS reported.
    async fn note(&mut self, reported: &[Listed]) -> Result<(), LedgerError> {
        self.first = self.first.or(reported.first().map(|listed| listed.id));
        self.ledger.note_listed(&self.run, reported).await
    }

    /// Checks that the stored list is still there: a server crash empties its table.
    async fn check_list(&self) -> Result<(), ReconcileError> {
        let Some(first) = self.first else { return Ok(()) };
        if self.ledger.has_listed(&self.run, first).await? { Ok(()) } else { Err(ReconcileError::ListLost) }
    }

    /// Returns the next page of the stored list with the ledger's rows, by keyset pagination; `None` after the last
    /// page.
    async fn page(&self, after: &mut Option<CertificateId>) -> Result<Option<ComparedPage>, LedgerError> {
        let listed = self.ledger.listed(&self.run, *after, PAGE).await?;
        let Some(last) = listed.last() else { return Ok(None) };
        *after = Some(last.id);
        let ids: Vec<CertificateId> = listed.iter().map(|listed| listed.id).collect();
        let mut rows = self.ledger.compared_rows(&self.run, self.account(), &ids).await?;
        rows.sort_by(|one, other| one.key.subject.cmp(&other.key.subject).then_with(|| one.key.cmp(&other.key)));
        Ok(Some(ComparedPage { listed, rows }))
    }
}

/// Detects page markers that repeat, by Brent's cycle detection: keeps one marker and replaces it at intervals that
/// double. Detects an endless list after at most four times as many pages as there are distinct ones.
#[derive(Default)]
struct CycleDetector {
    kept: Option<String>,
    n_since: u64,
    n_max: u64,
}

impl CycleDetector {
    /// Returns whether the marker is the kept one.
    fn has_seen(&mut self, marker: &str) -> bool {
        if self.kept.as_deref() == Some(marker) {
            return true;
        }
        self.n_since += 1;
        if self.n_since > self.n_max {
            (self.kept, self.n_since, self.n_max) = (Some(marker.to_owned()), 0, (self.n_max * 2).max(1));
        }
        false
    }
}

/// Some certificates as AWS reported them, and the ledger's rows of them, both ordered by id.
struct ComparedPage {
    listed: Vec<Listed>,
    rows: Vec<ComparedRow>,
}

impl ComparedPage {
    fn drifts(&self, batch: Option<&Name>) -> Vec<(&Listed, Drift<'_>)> {
        let mut rest = self.rows.iter().peekable();
        let mut found = Vec::new();
        for listed in &self.listed {
            let mut rows = Vec::new();
            while let Some(row) = rest.next_if(|row| row.key.subject <= listed.id.0) {
                rows.push(row);
            }
            found.extend(drifts(listed, &rows, batch.map(Name::as_str)).into_iter().map(|drift| (listed, drift)));
        }
        found
    }
}

/// Returns where to read the ledger's certificates: the whole account, or each target and operation of the batch.
async fn sources(ledger: &Ledger, batch: Option<&Name>) -> Result<Vec<CertificateSource>, ReconcileError> {
    let Some(batch) = batch else { return Ok(vec![CertificateSource::Account]) };
    let operations = ledger.batch_operations(batch.as_str()).await?;
    if operations.is_empty() {
        return Err(ReconcileError::UnknownBatch(batch.clone()));
    }
    let of_devices = operations.into_iter().filter(|(_, operation)| !operation.is_of_ca());
    Ok(of_devices.map(|(target, operation)| CertificateSource::Batch(batch.to_string(), target, operation)).collect())
}

/// Returns the CA with an id, from the ledger or from the CA folder.
async fn issuer(
    config: &Config,
    ledger: &Ledger,
    account: &Account,
    id: CertificateId,
) -> Result<Issuer, ReconcileError> {
    let kept = ledger.authority_pem(account, id).await?;
    let kept = kept.and_then(|pem| Issuer::new(Certificate::from_pem(&pem).ok()?).ok());
    if let Some(issuer) = kept {
        return Ok(issuer);
    }
    let mut known = known_cas(&config.precheck)?.into_iter();
    known.find(|issuer| issuer.certificate().id() == id).ok_or(ReconcileError::UnknownCa(id))
}

/// Returns whether a CA issued a certificate.
fn has_issued(issuer: &Issuer, certificate: &Certificate) -> bool {
    certificate.names_as_issuer(issuer.certificate()) && issuer.verify(certificate) != Verification::Bad
}

#[cfg(test)]
mod tests {
    use super::CycleDetector;

    #[test]
    fn repeating_pages_are_detected() {
        for n_before in 0..20 {
            for n_repeating in 1..20 {
                let mut cycle = CycleDetector::default();
                let mut markers = (0..n_before).chain((n_before..n_before + n_repeating).cycle());
                let n_asked = markers.position(|marker: usize| cycle.has_seen(&marker.to_string())).unwrap();
                assert!(n_asked >= n_before + n_repeating, "{n_before}, {n_repeating}");
                assert!(n_asked <= 4 * (n_before + n_repeating), "{n_before}, {n_repeating}: {n_asked}");
            }
        }
    }

    #[test]
    fn a_finite_list_has_no_cycle() {
        let mut cycle = CycleDetector::default();
        assert!((0..10_000).all(|marker| !cycle.has_seen(&marker.to_string())));
    }
}
