//! What people ask to be sent again. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strum::VariantArray;
use time::OffsetDateTime;

use crate::certificate::CertificateId;
use crate::outcome::{Code, Status};

/// Most certificates that one replay names: the filter is read again for every page.
pub const CERTIFICATES_MAX: usize = 100_000;

/// Which jobs are sent again: those that fit in every respect. Equal filters have equal JSON.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayFilter {
    /// Batches; none: all.
    pub batches: BTreeSet<String>,
    /// Factory lines; none: all.
    pub sources: BTreeSet<String>,
    /// Why they ended.
    pub codes: BTreeSet<Code>,
    /// They ended then or later.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// They ended before.
    #[serde(with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
    /// Certificate ids, or the subjects of what no certificate can be read from; none: all.
    pub certificates: BTreeSet<CertificateId>,
    /// Also those that were sent again already and have not ended since: their messages may be lost.
    pub even_sent: bool,
}

impl ReplayFilter {
    /// The codes that a filter has where nobody names any: what may go well when it is tried again as it is.
    pub fn usual_codes() -> BTreeSet<Code> {
        Code::VARIANTS.iter().copied().filter(|code| may_go_well(*code)).collect()
    }

    /// The text by which a filter is known.
    ///
    /// # Panics
    /// Never: every field becomes JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("every field becomes JSON")
    }
}

/// Says whether a job that ended so may go well when it is sent again unchanged.
fn may_go_well(code: Code) -> bool {
    // Time alone makes the second one valid.
    code.status() == Status::Exhausted || code == Code::NotYetValid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_go_well_is_not_sent_again_unless_it_is_named() {
        let usual = ReplayFilter::usual_codes();
        assert!(usual.contains(&Code::Timeout) && usual.contains(&Code::LimitExceeded));
        for code in [Code::Ok, Code::Expired, Code::PrivateKey, Code::IdMismatch, Code::IssuerInactive, Code::Deleted] {
            assert!(!usual.contains(&code), "{code}");
        }
    }

    #[test]
    fn equal_filters_have_equal_texts_in_whatever_order_they_were_named() {
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
