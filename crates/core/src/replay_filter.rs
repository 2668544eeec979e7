//! Selects the jobs that a replay resends. Pure: no I/O, no clock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strum::VariantArray;
use time::OffsetDateTime;

use crate::certificate::CertificateId;
use crate::outcome::{Code, Status};

/// Maximum number of certificates that one replay can name: the filter is read again for every page.
pub const CERTIFICATES_MAX: usize = 100_000;

/// Selects the jobs to resend: those that match every field. Equal filters have equal JSON.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayFilter {
    /// Batches; empty selects all.
    pub batches: BTreeSet<String>,
    /// Factory lines; empty selects all.
    pub sources: BTreeSet<String>,
    /// The codes of the outcomes.
    pub codes: BTreeSet<Code>,
    /// The outcome was recorded at this time or later.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// The outcome was recorded before this time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
    /// Certificate ids, or the subjects of jobs without a readable certificate; empty selects all.
    pub certificates: BTreeSet<CertificateId>,
    /// Also selects jobs that were already resent but have had no outcome since: their messages may be lost.
    pub even_sent: bool,
}

impl ReplayFilter {
    /// The default codes of a filter: outcomes that may become a success if the job is resent unchanged.
    pub fn usual_codes() -> BTreeSet<Code> {
        Code::VARIANTS.iter().copied().filter(|code| may_succeed(*code)).collect()
    }

    /// The JSON that identifies a filter.
    ///
    /// # Panics
    /// Never: every field becomes JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("every field becomes JSON")
    }
}

/// Returns whether a job with this outcome may succeed if it is resent unchanged.
fn may_succeed(code: Code) -> bool {
    // A certificate that is not yet valid becomes valid with time.
    code.status() == Status::Exhausted || code == Code::NotYetValid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_succeed_are_resent_by_default() {
        let usual = ReplayFilter::usual_codes();
        assert!(usual.contains(&Code::Timeout) && usual.contains(&Code::LimitExceeded));
        for code in [Code::Ok, Code::Expired, Code::PrivateKey, Code::IdMismatch, Code::IssuerInactive, Code::Deleted] {
            assert!(!usual.contains(&code), "{code}");
        }
    }

    #[test]
    fn equal_filters_have_equal_json_in_any_order() {
        let filter = |batches: [&str; 2]| ReplayFilter {
            batches: batches.map(str::to_owned).into(),
            codes: ReplayFilter::usual_codes(),
            ..ReplayFilter::default()
        };
        assert_eq!(filter(["b", "a"]).to_json(), filter(["a", "b"]).to_json());
        let text = filter(["a", "b"]).to_json();
        assert_eq!(serde_json::from_str::<ReplayFilter>(&text).unwrap(), filter(["a", "b"]));
    }
}
