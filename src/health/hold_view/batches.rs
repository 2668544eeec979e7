//! Detects batches in which nearly all jobs fail for one reason: the individual certificates are then not the cause.

use std::collections::{HashMap, VecDeque};

use muster_core::job::Name;
use muster_core::outcome::Code;

/// Number of a batch's latest outcomes with a call that are considered: enough that they do not all fail by chance.
const WINDOW_SIZE: usize = 200;

/// More failures than this for one reason are not by chance: nine in ten.
const FAILED_MAX: usize = WINDOW_SIZE * 9 / 10;

/// Maximum number of batches tracked, those with the latest outcomes. Bounds the memory, whatever producers send.
const BATCHES_MAX: usize = 1000;

/// The last outcomes of each batch.
#[derive(Debug, Default)]
pub(super) struct Batches {
    windows: HashMap<Name, BatchWindow>,
    n_outcomes: u64,
}

#[derive(Debug, Default)]
struct BatchWindow {
    /// Why each of the latest jobs failed; `None` for a success.
    outcomes: VecDeque<Option<Code>>,
    /// The number of the last outcome, counted over all batches.
    last: u64,
}

impl Batches {
    /// Notes an outcome; returns the reason if the batch fails as a whole.
    pub(super) fn note_outcome(&mut self, batch: &Name, code: Code) -> Option<String> {
        self.n_outcomes += 1;
        if self.windows.len() >= BATCHES_MAX && !self.windows.contains_key(batch) {
            self.forget_oldest();
        }
        let window = self.windows.entry(batch.clone()).or_default();
        window.last = self.n_outcomes;
        let n_failed = window.push(code)?;
        self.windows.remove(batch);
        Some(format!("{n_failed} of the last {WINDOW_SIZE} calls for the batch failed with {code}"))
    }

    fn forget_oldest(&mut self) {
        let oldest = self.windows.iter().min_by_key(|(_, window)| window.last).map(|(batch, _)| batch.clone());
        oldest.and_then(|batch| self.windows.remove(&batch));
    }
}

impl BatchWindow {
    /// Notes an outcome; returns how many failed for the same reason if that is too many.
    fn push(&mut self, code: Code) -> Option<usize> {
        if self.outcomes.len() == WINDOW_SIZE {
            self.outcomes.pop_front();
        }
        let failure = (!code.status().is_success()).then_some(code);
        self.outcomes.push_back(failure);
        if failure.is_none() || self.outcomes.len() < WINDOW_SIZE {
            return None;
        }
        let n_failed = self.outcomes.iter().filter(|outcome| **outcome == failure).count();
        (n_failed > FAILED_MAX).then_some(n_failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// Returns after how many outcomes a batch is held, with outcomes given by `code_of`.
    fn held_after(code_of: impl Fn(usize) -> Code) -> Option<usize> {
        let mut batches = Batches::default();
        (1..=1000).find(|&n| batches.note_outcome(&name("b"), code_of(n)).is_some())
    }

    #[test]
    fn a_batch_is_held_only_after_two_hundred_outcomes() {
        assert_eq!(held_after(|_| Code::CertificateValidation), Some(WINDOW_SIZE));
    }

    #[test]
    fn nine_failures_in_ten_do_not_hold_a_batch() {
        let one_in_ten_succeeds = |n: usize| if n.is_multiple_of(10) { Code::Ok } else { Code::CertificateValidation };
        assert_eq!(held_after(one_in_ten_succeeds), None);
        let one_in_twenty_succeeds =
            |n: usize| if n.is_multiple_of(20) { Code::Ok } else { Code::CertificateValidation };
        assert!(held_after(one_in_twenty_succeeds).is_some());
    }

    #[test]
    fn failures_for_different_reasons_do_not_hold_a_batch() {
        let two_reasons =
            |n: usize| if n.is_multiple_of(2) { Code::InvalidRequest } else { Code::CertificateValidation };
        assert_eq!(held_after(two_reasons), None);
    }

    #[test]
    fn at_most_a_thousand_batches_are_tracked() {
        let mut batches = Batches::default();
        for i in 0..BATCHES_MAX + 10 {
            batches.note_outcome(&name(&format!("b{i}")), Code::Ok);
        }
        assert_eq!(batches.windows.len(), BATCHES_MAX);
        assert!(!batches.windows.contains_key(&name("b0")));
    }
}
