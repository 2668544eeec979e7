//! Which ends are wanted, and the way to them that looks at the fewest rows.

use crate::job::Name;
use crate::outcome::{Code, Status};
use crate::store::batch::Count;

/// Which ends are wanted; an empty list stands for all.
#[derive(Clone, Debug, Default)]
pub struct EndFilter {
    /// How they ended.
    pub statuses: Vec<Status>,
    /// Why they ended so.
    pub codes: Vec<Code>,
    /// The factory lines that sent them.
    pub sources: Vec<Name>,
}

/// In what order rows are come by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// All rows, in the order of their keys.
    Keys,
    /// Those that ended badly for one reason, in the order of their subjects.
    Failures(Code),
}

impl EndFilter {
    /// Says whether a counter counts ends that are wanted.
    pub fn takes(&self, count: &Count) -> bool {
        let is_source = |source: &Name| source.as_str() == count.source;
        (self.statuses.is_empty() || self.statuses.contains(&count.status))
            && (self.codes.is_empty() || self.codes.contains(&count.code))
            && (self.sources.is_empty() || self.sources.iter().any(is_source))
    }

    /// Says whether no end is wanted that is a good one.
    fn is_of_bad_ends(&self) -> bool {
        let names_bad = !self.statuses.is_empty() && self.statuses.iter().all(|status| !status.is_good());
        names_bad || (!self.codes.is_empty() && self.codes.iter().all(|code| !code.status().is_good()))
    }

    /// How the wanted ends are come by, the next way last; the counters tell which there are.
    pub(super) fn ways(&self, counts: &[Count]) -> Vec<Way> {
        let mut codes: Vec<Code> = counts.iter().filter(|count| self.takes(count)).map(|count| count.code).collect();
        if codes.is_empty() {
            return vec![];
        }
        if !self.is_of_bad_ends() {
            return vec![Way::Keys];
        }
        codes.sort_unstable_by_key(|code| std::cmp::Reverse(*code));
        codes.dedup();
        codes.into_iter().map(Way::Failures).collect()
    }
}

impl Way {
    /// The columns that order its rows.
    pub(super) fn order(self) -> &'static str {
        match self {
            Self::Keys => "target, operation, subject",
            Self::Failures(_) => "subject, target, operation",
        }
    }

    /// The same columns of a place, as parameters from a number on.
    pub(super) fn place(self, from: u8) -> String {
        let (target, operation, subject) = (from, from + 1, from + 2);
        match self {
            Self::Keys => format!("${target}, ${operation}, ${subject}"),
            Self::Failures(_) => format!("${subject}, ${target}, ${operation}"),
        }
    }

    /// The rows that it is about; the condition of the index `failures` stands here word for word.
    pub(super) fn condition(self) -> &'static str {
        match self {
            Self::Keys => "batch = $1 and $2::text is null",
            Self::Failures(_) => "batch = $1 and code = $2 and status not in ('registered', 'already_registered')",
        }
    }

    pub(super) fn code(self) -> Option<&'static str> {
        match self {
            Self::Keys => None,
            Self::Failures(code) => Some(code.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn count(code: Code, source: &str) -> Count {
        let at = OffsetDateTime::UNIX_EPOCH;
        let source = source.to_owned();
        Count { source, status: code.status(), code, n: 1, n_status_differs: 0, first_at: at, last_at: at }
    }

    fn ways(filter: &EndFilter) -> Vec<Way> {
        filter.ways(&[count(Code::Ok, "a"), count(Code::Expired, "a"), count(Code::Timeout, "b")])
    }

    #[test]
    fn all_ends_are_read_by_their_keys() {
        assert_eq!(ways(&EndFilter::default()), [Way::Keys]);
        assert_eq!(ways(&EndFilter { sources: vec!["b".parse().unwrap()], ..EndFilter::default() }), [Way::Keys]);
        let statuses = vec![Status::Registered, Status::Rejected];
        assert_eq!(ways(&EndFilter { statuses, ..EndFilter::default() }), [Way::Keys]);
    }

    #[test]
    fn bad_ends_are_read_code_by_code_in_their_order() {
        let statuses = vec![Status::Exhausted, Status::Rejected, Status::Gone];
        let found = ways(&EndFilter { statuses, ..EndFilter::default() });
        assert_eq!(found, [Way::Failures(Code::Timeout), Way::Failures(Code::Expired)], "the next one is the last");
        let codes = vec![Code::Expired, Code::Deleted];
        assert_eq!(ways(&EndFilter { codes, ..EndFilter::default() }), [Way::Failures(Code::Expired)]);
    }

    #[test]
    fn what_the_counters_do_not_have_is_not_looked_for() {
        let sources = vec!["c".parse().unwrap()];
        assert!(ways(&EndFilter { sources, ..EndFilter::default() }).is_empty());
        let (codes, sources) = (vec![Code::Expired], vec!["b".parse().unwrap()]);
        assert!(ways(&EndFilter { codes, sources, ..EndFilter::default() }).is_empty());
    }
}
