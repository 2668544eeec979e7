//! What a replay is to resend, as an operator orders it.

use std::collections::BTreeSet;

use serde::Deserialize;
use strum::VariantArray;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::plan_error::PlanError;
use muster_core::certificate::CertificateId;
use muster_core::job::Name;
use muster_core::outcome::{Code, Status};
use muster_core::replay_filter::{CERTIFICATES_MAX, ReplayFilter};

/// Selects the failed jobs that match every condition.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayOrder {
    /// Batches to replay.
    #[schema(value_type = Vec<String>)]
    pub batches: BTreeSet<Name>,
    /// Every batch of the ledger.
    pub all_batches: bool,
    /// Certificate ids, at most 100,000.
    #[schema(value_type = Vec<String>)]
    pub certificates: BTreeSet<CertificateId>,
    /// Only these factory lines.
    #[schema(value_type = Vec<String>)]
    pub sources: BTreeSet<Name>,
    /// Only these codes. Without codes and statuses: those that may succeed if they are resent unchanged.
    #[schema(value_type = Vec<String>)]
    pub codes: BTreeSet<Code>,
    /// Only these statuses, with any code.
    #[schema(value_type = Vec<String>)]
    pub statuses: Vec<Status>,
    /// Only outcomes recorded at this time or later.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// Only outcomes recorded before this time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
    /// Also resends jobs that were already resent but have no outcome yet.
    pub even_sent: bool,
    /// Asks AWS about each certificate, even if the ledger knows it as registered.
    pub verify: bool,
}

impl ReplayOrder {
    /// Returns the filter that selects the jobs.
    ///
    /// # Errors
    /// No scope was named, there are too many certificates, or a successful outcome was selected.
    pub fn filter(&self) -> Result<ReplayFilter, PlanError> {
        let names_batches = !self.batches.is_empty();
        if names_batches == self.all_batches && self.certificates.is_empty() || names_batches && self.all_batches {
            return Err(PlanError::NoScope);
        }
        if self.certificates.len() > CERTIFICATES_MAX {
            return Err(PlanError::TooManyCertificates);
        }
        let codes = self.wanted_codes();
        if codes.iter().any(|code| code.status().is_success()) {
            return Err(PlanError::Successful);
        }
        let texts = |names: &BTreeSet<Name>| names.iter().map(ToString::to_string).collect();
        Ok(ReplayFilter {
            batches: texts(&self.batches),
            sources: texts(&self.sources),
            codes,
            since: self.since,
            until: self.until,
            certificates: self.certificates.clone(),
            even_sent: self.even_sent,
        })
    }

    fn wanted_codes(&self) -> BTreeSet<Code> {
        if self.codes.is_empty() && self.statuses.is_empty() {
            return ReplayFilter::usual_codes();
        }
        let of_status = Code::VARIANTS.iter().copied().filter(|code| self.statuses.contains(&code.status()));
        self.codes.iter().copied().chain(of_status).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_batch() -> ReplayOrder {
        ReplayOrder { batches: ["b".parse().unwrap()].into(), ..ReplayOrder::default() }
    }

    #[test]
    fn an_order_without_a_scope_selects_nothing_rather_than_everything() {
        assert!(matches!(ReplayOrder::default().filter(), Err(PlanError::NoScope)));
        assert!(matches!(ReplayOrder { all_batches: true, ..of_batch() }.filter(), Err(PlanError::NoScope)));
        assert!(of_batch().filter().is_ok());
        assert!(ReplayOrder { all_batches: true, ..ReplayOrder::default() }.filter().is_ok());
        let certificates = [CertificateId([7; 32])].into();
        assert!(ReplayOrder { certificates, ..ReplayOrder::default() }.filter().is_ok());
    }

    #[test]
    fn successes_cannot_be_selected() {
        let order = ReplayOrder { codes: [Code::Ok].into(), ..of_batch() };
        assert!(matches!(order.filter(), Err(PlanError::Successful)));
    }

    #[test]
    fn a_status_selects_all_its_codes() {
        let order = ReplayOrder { statuses: vec![Status::Refused], codes: [Code::Expired].into(), ..of_batch() };
        let codes = order.filter().unwrap().codes;
        assert!(codes.contains(&Code::IdMismatch) && codes.contains(&Code::Expired) && !codes.contains(&Code::Timeout));
        assert_eq!(of_batch().filter().unwrap().codes, ReplayFilter::usual_codes());
    }
}
