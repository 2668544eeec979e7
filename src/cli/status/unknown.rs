//! The error for an unknown batch, with suggestions.

use std::borrow::Cow;

use crate::config::similar::similar;
use crate::ledger::{BatchStatus, Ledger};
use muster_core::advice::Advice;
use muster_core::job::Name;

/// Number of recent batches to search for a similar name.
const LOOKED_THROUGH: u32 = 1000;

/// Maximum number of batches to suggest.
const NAMED: usize = 3;

/// No message of this batch was received.
#[derive(Debug, thiserror::Error)]
#[error("the ledger does not know batch `{batch}`")]
pub(in crate::cli) struct UnknownBatch {
    batch: Name,
    similar: Vec<String>,
    recent: Vec<String>,
    /// What else the command can do.
    alternative: Option<&'static str>,
}

impl Advice for UnknownBatch {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let meant = match (self.similar.as_slice(), self.recent.as_slice()) {
            ([], []) => "the ledger has no batches yet".to_owned(),
            ([], recent) => format!("the latest batches are {}", recent.join(", ")),
            (similar, _) => format!("did you mean {}?", similar.join(" or ")),
        };
        let alternative = self.alternative.map_or_else(String::new, |alternative| format!("; {alternative}"));
        let hint = format!("{meant}; a batch is known once a worker has received its first message{alternative}");
        Some(hint.into())
    }
}

impl UnknownBatch {
    /// Creates the error and searches for similar names.
    pub(in crate::cli) async fn of(ledger: &Ledger, batch: &Name) -> anyhow::Result<Self> {
        let mut recent = ledger.recent_batches(LOOKED_THROUGH).await?;
        let similar = similar(batch.as_str(), &recent);
        recent.truncate(NAMED);
        Ok(Self { batch: batch.clone(), similar, recent, alternative: None })
    }

    /// Adds something else that the command can do.
    pub(in crate::cli) fn or(self, alternative: &'static str) -> Self {
        Self { alternative: Some(alternative), ..self }
    }
}

/// Reads the counters of a batch.
///
/// # Errors
/// [`UnknownBatch`], or a ledger error.
pub(in crate::cli) async fn counters(ledger: &Ledger, batch: &Name) -> anyhow::Result<BatchStatus> {
    match ledger.batch_status(batch.as_str()).await? {
        Some(counters) => Ok(counters),
        None => Err(UnknownBatch::of(ledger, batch).await?.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(similar: &[&str], recent: &[&str]) -> String {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let (similar, recent) = (own(similar), own(recent));
        UnknownBatch { batch: "b".parse().unwrap(), similar, recent, alternative: None }.hint().unwrap().into_owned()
    }

    #[test]
    fn a_slip_of_the_finger_is_found_and_another_name_is_not() {
        let names = ["line7-2026-11-21-a", "line7-2026-11-20-a", "enqueue-2026-11-21T10-15-00Z"].map(str::to_owned);
        assert_eq!(similar("lin7-2026-11-21-a", &names), names[..2]);
        assert!(similar("rework", &names).is_empty());
    }

    #[test]
    fn the_hint_names_what_may_have_been_meant() {
        assert!(error(&["line-1", "line-2"], &["x"]).starts_with("did you mean line-1 or line-2?; "));
        assert!(error(&[], &["x", "y"]).starts_with("the latest batches are x, y; "));
        assert!(error(&[], &[]).starts_with("the ledger has no batches yet; "));
    }
}
