//! Writes the findings of a comparison to the ledger and has missing certificates resent.

use std::collections::HashMap;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

use super::drift::Drift;
use super::{ComparedPage, PAGE, ReconcileError, Reconciliation};
use crate::ledger::LedgerError;
use crate::ledger::drift::changes::{ChangeCounts, RowChange};
use crate::ledger::drift::{ComparedRow, DriftKey};
use muster_core::certificate::{CertificateId, pem};
use muster_core::hold::HoldKey;
use muster_core::job::{
    CertificateStatus, Name, Operation, RegisterCertificate, RegisterCertificateWithoutCa, Request,
};
use muster_core::outcome::known::differing_status;

/// What was changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct FixesMade {
    /// Rows that were marked as gone.
    pub n_gone: u64,
    /// How many of these cannot be resent, because the ledger does not keep the certificate.
    pub n_gone_without_certificate: u64,
    /// Rows whose status at AWS was stored.
    pub n_learnt: u64,
    /// Jobs that workers will resend.
    #[serde(rename = "n_sent_again")]
    pub n_resent: u64,
}

impl Reconciliation {
    /// Counts the rows that were already gone before this run and can be resent.
    pub async fn gone_before(&self) -> Result<u64, ReconcileError> {
        let mut n = 0;
        self.each_gone(async |keys| {
            n += keys.len() as u64;
            Ok(true)
        })
        .await?;
        Ok(n)
    }

    /// Marks rows that are gone and stores the statuses that AWS reported; with `is_repair`, also has jobs resent.
    /// `done` counts what was changed, even if this fails or is stopped.
    pub async fn fix(
        &self,
        is_repair: bool,
        stop: &CancellationToken,
        done: &mut FixesMade,
    ) -> Result<(), ReconcileError> {
        let mut after = None;
        while let Some(page) = self.page(&mut after).await? {
            if stop.is_cancelled() {
                return Ok(());
            }
            self.fix_page(&page, is_repair, done).await?;
        }
        if is_repair {
            self.each_gone(async |keys| {
                done.n_resent += self.resend(keys).await?;
                Ok(!stop.is_cancelled())
            })
            .await?;
        }
        Ok(())
    }

    async fn fix_page(&self, page: &ComparedPage, is_repair: bool, done: &mut FixesMade) -> Result<(), LedgerError> {
        let drifts = page.drifts(self.order.batch.as_ref());
        let missing = drifts.iter().filter(|(_, drift)| matches!(drift, Drift::Missing { .. }));
        let missing: Vec<CertificateId> = missing.map(|(listed, _)| listed.id).collect();
        let kept: HashMap<_, _> = self.ledger.kept_certificates(self.account(), &missing).await?.into_iter().collect();
        let (mut changes, mut sendable) = (vec![], vec![]);
        for (listed, drift) in &drifts {
            match drift {
                Drift::Missing { row, .. } => changes.push((*row, gone(row, kept.get(&listed.id)))),
                Drift::OtherStatus(row) => {
                    changes.extend(learnt(row, listed.status.as_deref()).map(|change| (*row, change)));
                }
                Drift::FailedInLedger(rows) if is_repair => {
                    sendable.extend(rows.iter().filter(|row| row.is_sendable).map(|row| row.key.clone()));
                }
                Drift::FailedInLedger(_) | Drift::Unknown => {}
            }
        }
        if !changes.is_empty() {
            let ChangeCounts { n_gone, n_gone_without_request, n_learnt } =
                self.ledger.change_compared(&changes).await?;
            done.n_gone += n_gone;
            done.n_gone_without_certificate += n_gone_without_request;
            done.n_learnt += n_learnt;
        }
        done.n_resent += self.resend(&sendable).await?;
        Ok(())
    }

    async fn resend(&self, keys: &[DriftKey]) -> Result<u64, LedgerError> {
        let hold = HoldKey::read(format!("repair:{}", self.order.target));
        self.ledger.repair(&hold, "AWS and the ledger differed: these jobs are resent", keys).await
    }

    /// Passes the rows that are gone and can be resent to `take`, page by page (keyset pagination), until it returns
    /// false.
    async fn each_gone(
        &self,
        mut take: impl AsyncFnMut(&[DriftKey]) -> Result<bool, LedgerError>,
    ) -> Result<(), LedgerError> {
        for batch in self.ledger.batches_with_gone(self.order.batch.as_ref().map(Name::as_str)).await? {
            let mut last: Option<DriftKey> = None;
            loop {
                let only_of = self.is_partial().then_some(&self.run);
                let keys = self.ledger.gone_rows(self.account(), &batch, only_of, last.as_ref(), PAGE).await?;
                let Some(key) = keys.last() else { break };
                last = Some(key.clone());
                if !take(&keys).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Returns whether the run covers only some rows of the account or batch.
    fn is_partial(&self) -> bool {
        self.order.sample.is_some() || self.order.ca.is_some()
    }
}

/// Returns the change for a row whose certificate AWS does not have.
fn gone(row: &ComparedRow, der: Option<&Vec<u8>>) -> RowChange {
    let now = OffsetDateTime::now_utc().truncate_to_second().format(&Rfc3339);
    let now = now.expect("the current year has four digits");
    let request = der.and_then(|der| request(row.operation, der, row.wanted_status));
    RowChange::Gone { detail: format!("it was registered; AWS did not have it on {now}"), request }
}

/// Returns the request that registers a device certificate again; `None` for a CA.
fn request(operation: Operation, der: &[u8], wanted: CertificateStatus) -> Option<String> {
    let (certificate_pem, status) = (pem::encode(pem::CERTIFICATE, der), Some(wanted));
    let request: Request = match operation {
        Operation::RegisterCertificate => {
            RegisterCertificate { certificate_pem, status, ..RegisterCertificate::default() }.into()
        }
        Operation::RegisterCertificateWithoutCA => RegisterCertificateWithoutCa { certificate_pem, status }.into(),
        Operation::RegisterCACertificate => return None,
    };
    Some(serde_json::to_string(&request).expect("strings always become JSON"))
}

/// Returns the change for a row whose status at AWS the ledger did not know, if there is one. A status that this
/// version does not know is ignored.
fn learnt(row: &ComparedRow, status: Option<&str>) -> Option<RowChange> {
    let status: CertificateStatus = status?.parse().ok()?;
    let detail = differing_status(Some(status), row.wanted_status);
    (row.known_status != Some(status)).then_some(RowChange::Known { status, detail })
}
