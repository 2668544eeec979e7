//! The error for an unknown batch, with suggestions.

use std::borrow::Cow;

use crate::config::similar::similar;
use crate::ledger::{BatchStatus, Ledger};
use muster_core::advice::Advice;
use muster_core::job::Name;

/// Number of recent batches to search for a similar name.
const SEARCHED_MAX: u32 = 1000;

/// Maximum number of batches to suggest.
const SUGGESTED_MAX: usize = 3;

/// The ledger has no batch of this name.
#[derive(Debug, thiserror::Error)]
#[error("the ledger does not know batch `{batch}`")]
pub struct UnknownBatch {
    batch: Name,
    similar: Vec<String>,
    recent: Vec<String>,
    /// What else the command can do.
    alternative: Option<&'static str>,
}

impl Advice for UnknownBatch {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let suggestion = match (self.similar.as_slice(), self.recent.as_slice()) {
            ([], []) => "the ledger has no batches yet".to_owned(),
            ([], recent) => format!("the latest batches are {}", recent.join(", ")),
            (similar, _) => format!("did you mean {}?", similar.join(" or ")),
        };
        let alternative = self.alternative.map_or_else(String::new, |alternative| format!("; {alternative}"));
        let hint = format!("{suggestion}; a batch is known once a worker has received its first message{alternative}");
        Some(hint.into())
    }
}

impl UnknownBatch {
    /// Creates the error and searches for similar names.
    pub async fn of(ledger: &Ledger, batch: &Name) -> anyhow::Result<Self> {
        let mut recent = ledger.recent_batches(SEARCHED_MAX).await?;
        let similar = similar(batch.as_str(), &recent);
        recent.truncate(SUGGESTED_MAX);
        Ok(Self { batch: batch.clone(), similar, recent, alternative: None })
    }

    /// Adds to the hint what else the command can do.
    #[must_use]
    pub fn with_alternative(self, alternative: &'static str) -> Self {
        Self { alternative: Some(alternative), ..self }
    }
}

/// Reads the counters of a batch.
///
/// # Errors
/// [`UnknownBatch`], or a ledger error.
pub async fn counters(ledger: &Ledger, batch: &Name) -> anyhow::Result<BatchStatus> {
    match ledger.batch_status(batch.as_str()).await? {
        Some(counters) => Ok(counters),
        None => Err(UnknownBatch::of(ledger, batch).await?.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(similar: &[&str], recent: &[&str]) -> String {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let (similar, recent) = (owned(similar), owned(recent));
        UnknownBatch { batch: "b".parse().unwrap(), similar, recent, alternative: None }.hint().unwrap().into_owned()
    }

    #[test]
    fn only_similar_batch_names_are_suggested() {
        let names = ["line7-2026-11-21-a", "line7-2026-11-20-a", "enqueue-2026-11-21T10-15-00Z"].map(str::to_owned);
        assert_eq!(similar("lin7-2026-11-21-a", &names), names[..2]);
        assert!(similar("rework", &names).is_empty());
    }

    #[test]
    fn the_hint_suggests_similar_or_recent_batches() {
        assert!(error(&["line-1", "line-2"], &["x"]).starts_with("did you mean line-1 or line-2?; "));
        assert!(error(&[], &["x", "y"]).starts_with("the latest batches are x, y; "));
        assert!(error(&[], &[]).starts_with("the ledger has no batches yet; "));
    }
}
