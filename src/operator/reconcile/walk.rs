//! Goes through the ledger's certificates and asks AWS, by id, for those that it has not reported yet.

use super::{PAGE, ReconcileError, Reconciliation, has_issued};
use crate::ledger::LedgerError;
use crate::ledger::drift::CertificateSource;
use crate::ledger::drift::listing::Listed;
use muster_core::certificate::{Certificate, CertificateId};

/// Certificates that are asked for between two writes to the ledger and progress reports.
const ASKED_AT_A_TIME: usize = 20;

impl Reconciliation {
    /// Asks AWS for the certificates that it did not list, or for a random sample if one was requested.
    pub(super) async fn ask(&mut self, show: &dyn Fn(&Self)) -> Result<(), ReconcileError> {
        if let Some(n) = self.order.sample {
            let sample = self.sample(n.get() as usize).await?;
            return self.describe(&sample, show).await;
        }
        for source in self.sources.clone() {
            let mut after = None;
            while let Some(open) = self.open(&source, &mut after).await? {
                self.describe(&open, show).await?;
            }
        }
        Ok(())
    }

    /// Describes certificates one by one and stores the answers.
    async fn describe(&mut self, ids: &[CertificateId], show: &dyn Fn(&Self)) -> Result<(), ReconcileError> {
        for some in ids.chunks(ASKED_AT_A_TIME) {
            let mut reported = Vec::new();
            for &id in some {
                let described = self.inventory.describe(id).await?;
                reported.push(Listed { id, status: described.map(|its| its.status) });
                self.findings.n_described += 1;
            }
            self.note(&reported).await?;
            show(self);
        }
        Ok(())
    }

    /// Returns `n` random certificates. Ids are hashes, so the ones that follow a random id are as random as
    /// independent draws.
    async fn sample(&mut self, n: usize) -> Result<Vec<CertificateId>, ReconcileError> {
        let start = CertificateId(std::array::from_fn(|_| fastrand::u8(..)));
        let mut sample = Vec::new();
        for source in self.sources.clone() {
            sample.extend(self.ring(&source, start, n).await?);
        }
        // Merges the sources in ring order from `start`, as if they were one.
        sample.sort_by_key(|&id| (id <= start, id));
        sample.dedup();
        sample.truncate(n);
        Ok(sample)
    }

    /// Returns `n` certificates of a source after `start`, wrapping around at the end up to `start`.
    async fn ring(
        &mut self,
        source: &CertificateSource,
        start: CertificateId,
        n: usize,
    ) -> Result<Vec<CertificateId>, ReconcileError> {
        let mut found = Vec::new();
        for (mut after, last) in [(Some(start), None), (None, Some(start))] {
            while found.len() < n && last.is_none_or(|last| after < Some(last)) {
                let Some(open) = self.open(source, &mut after).await? else { break };
                found.extend(open.into_iter().filter(|id| last.is_none_or(|last| *id <= last)));
            }
        }
        found.truncate(n);
        Ok(found)
    }

    /// Returns the next page of certificates of a source that AWS has not reported yet, limited to those of the
    /// requested CA, if any; `None` after the last page.
    async fn open(
        &mut self,
        source: &CertificateSource,
        after: &mut Option<CertificateId>,
    ) -> Result<Option<Vec<CertificateId>>, LedgerError> {
        let page = self.ledger.registered_rows(&self.run, source, self.account(), *after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        *after = Some(last.id);
        let mut open: Vec<CertificateId> = page.iter().filter(|its| its.is_open).map(|its| its.id).collect();
        open.dedup();
        self.of_ca(open).await.map(Some)
    }

    /// Keeps only what the requested CA issued, if there is one. Counts certificates that the ledger does not keep.
    async fn of_ca(&mut self, ids: Vec<CertificateId>) -> Result<Vec<CertificateId>, LedgerError> {
        let Some(issuer) = &self.issuer else { return Ok(ids) };
        if ids.is_empty() {
            return Ok(ids);
        }
        let kept = self.ledger.kept_certificates(self.account(), &ids).await?;
        self.findings.n_of_unknown_ca += (ids.len() - kept.len()) as u64;
        let is_its = |der: &[u8]| Certificate::from_der(der).is_ok_and(|its| has_issued(issuer, &its));
        Ok(kept.into_iter().filter(|(_, der)| is_its(der)).map(|(id, _)| id).collect())
    }
}
