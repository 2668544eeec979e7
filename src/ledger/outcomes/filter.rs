//! Which outcomes an export wants, and the row ranges that find them while examining the fewest rows.

use std::collections::BTreeSet;

use crate::ledger::batch::Count;
use muster_core::job::{Name, Operation};
use muster_core::outcome::{Code, Status};

/// Which outcomes are wanted. An empty list means all.
#[derive(Clone, Debug, Default)]
pub struct OutcomeFilter {
    /// Wanted statuses.
    pub statuses: Vec<Status>,
    /// Wanted codes.
    pub codes: Vec<Code>,
    /// Wanted factory lines.
    pub sources: Vec<Name>,
}

/// A range of rows of a batch, walked in the order of their subjects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum BatchRange {
    /// All rows of a target and operation. Together these ranges follow the order of the primary key.
    Keys { target: String, operation: Operation },
    /// The failures with one code.
    Failures(Code),
}

impl OutcomeFilter {
    /// Returns whether a counter counts wanted outcomes.
    pub fn includes(&self, count: &Count) -> bool {
        let is_source = |source: &Name| source.as_str() == count.source;
        (self.statuses.is_empty() || self.statuses.contains(&count.status))
            && (self.codes.is_empty() || self.codes.contains(&count.code))
            && (self.sources.is_empty() || self.sources.iter().any(is_source))
    }

    /// Returns whether no success is wanted.
    fn wants_only_failures(&self) -> bool {
        let are_failed_statuses = !self.statuses.is_empty() && self.statuses.iter().all(|status| !status.is_success());
        are_failed_statuses || (!self.codes.is_empty() && self.codes.iter().all(|code| !code.status().is_success()))
    }

    /// Returns the row ranges that hold the wanted outcomes, the next one last. `counts` shows which outcomes exist,
    /// `operations` lists the targets and operations of the batch.
    pub(super) fn ranges(&self, counts: &[Count], operations: Vec<(String, Operation)>) -> Vec<BatchRange> {
        let codes: BTreeSet<Code> =
            counts.iter().filter(|count| self.includes(count)).map(|count| count.code).collect();
        if codes.is_empty() {
            return vec![];
        }
        if !self.wants_only_failures() {
            return BatchRange::all(operations);
        }
        codes.into_iter().rev().map(BatchRange::Failures).collect()
    }
}

impl BatchRange {
    /// Returns the ranges of all rows of a batch, the first one last.
    pub(super) fn all(operations: Vec<(String, Operation)>) -> Vec<Self> {
        operations.into_iter().rev().map(|(target, operation)| Self::Keys { target, operation }).collect()
    }

    /// Returns the SQL condition of the range in batch `$1`. It repeats that of the index `failures` word for word.
    pub(super) fn condition(&self) -> &'static str {
        match self {
            Self::Keys { .. } => "batch = $1 and target = $2 and operation = $3",
            Self::Failures(_) => {
                "batch = $1 and code = $2 and $3::text is null and status not in ('registered', 'already_registered')"
            }
        }
    }

    /// Returns the parameters `$2` and `$3` of the condition.
    pub(super) fn parameters(&self) -> (&str, Option<&'static str>) {
        match self {
            Self::Keys { target, operation } => (target, Some((*operation).into())),
            Self::Failures(code) => (code.as_str(), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    const OPERATION: Operation = Operation::RegisterCertificate;

    fn count(code: Code, source: &str) -> Count {
        let at = OffsetDateTime::UNIX_EPOCH;
        let source = source.to_owned();
        Count { source, status: code.status(), code, n: 1, n_status_differs: 0, first_at: at, last_at: at }
    }

    fn ranges(filter: &OutcomeFilter) -> Vec<BatchRange> {
        let operations = vec![("eu".to_owned(), OPERATION), ("us".to_owned(), OPERATION)];
        filter.ranges(&[count(Code::Ok, "a"), count(Code::Expired, "a"), count(Code::Timeout, "b")], operations)
    }

    #[test]
    fn all_outcomes_are_read_in_key_order() {
        let keys = |target: &str| BatchRange::Keys { target: target.to_owned(), operation: OPERATION };
        let wanted = [keys("us"), keys("eu")];
        assert_eq!(ranges(&OutcomeFilter::default()), wanted, "the next one is the last");
        assert_eq!(ranges(&OutcomeFilter { sources: vec!["b".parse().unwrap()], ..OutcomeFilter::default() }), wanted);
        let statuses = vec![Status::Registered, Status::Rejected];
        assert_eq!(ranges(&OutcomeFilter { statuses, ..OutcomeFilter::default() }), wanted);
    }

    #[test]
    fn failures_are_read_code_by_code_in_order() {
        let statuses = vec![Status::Exhausted, Status::Rejected, Status::Gone];
        let found = ranges(&OutcomeFilter { statuses, ..OutcomeFilter::default() });
        assert_eq!(
            found,
            [BatchRange::Failures(Code::Timeout), BatchRange::Failures(Code::Expired)],
            "the next one is the last"
        );
        let codes = vec![Code::Expired, Code::Deleted];
        assert_eq!(ranges(&OutcomeFilter { codes, ..OutcomeFilter::default() }), [BatchRange::Failures(Code::Expired)]);
    }

    #[test]
    fn outcomes_without_a_counter_are_not_searched() {
        let sources = vec!["c".parse().unwrap()];
        assert!(ranges(&OutcomeFilter { sources, ..OutcomeFilter::default() }).is_empty());
        let (codes, sources) = (vec![Code::Expired], vec!["b".parse().unwrap()]);
        assert!(ranges(&OutcomeFilter { codes, sources, ..OutcomeFilter::default() }).is_empty());
    }
}
