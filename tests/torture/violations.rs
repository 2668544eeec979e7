//! The violations, as they are found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Maximum number of texts kept per invariant: the first ones tell the story.
const KEPT: usize = 10;

/// A shared list of violations.
#[derive(Clone, Default)]
pub(crate) struct Violations(Arc<Mutex<Found>>);

/// How often each invariant was violated, and the first texts about it.
type Found = BTreeMap<String, (usize, Vec<String>)>;

impl Violations {
    pub(crate) fn note(&self, invariant: &str, text: &str) {
        let mut found = self.0.lock().unwrap();
        let (n, texts) = found.entry(invariant.to_owned()).or_default();
        *n += 1;
        if texts.len() < KEPT {
            texts.push(text.to_owned());
        }
    }

    /// Notes a violation if the condition does not hold.
    pub(crate) fn unless(&self, holds: bool, invariant: &str, text: impl FnOnce() -> String) {
        if !holds {
            self.note(invariant, &text());
        }
    }

    /// Returns how often one invariant was violated.
    pub(crate) fn of(&self, invariant: &str) -> usize {
        self.0.lock().unwrap().get(invariant).map_or(0, |(n, _)| *n)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().values().map(|(n, _)| n).sum()
    }

    pub(crate) fn list(&self) -> Vec<String> {
        let found = self.0.lock().unwrap();
        let show = |(invariant, (n, texts)): (&String, &(usize, Vec<String>))| {
            let more = n - texts.len();
            let texts = texts.iter().map(|text| format!("{invariant}: {text}")).collect::<Vec<_>>();
            texts.into_iter().chain((more > 0).then(|| format!("{invariant}: and {more} more"))).collect::<Vec<_>>()
        };
        found.iter().flat_map(show).collect()
    }
}
