//! Rows by certificate id, and in insertion order.
//!
//! Pages use keyset pagination: each row has a number that is never reused, and a page continues after the number of
//! the last row seen. So deleting a row while a caller pages never repeats or skips another row.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use muster_core::certificate::CertificateId;

/// Rows by certificate id, and in insertion order.
pub(super) struct Rows<T> {
    by_number: BTreeMap<u64, T>,
    numbers: HashMap<CertificateId, u64>,
    next: u64,
}

/// Which rows to list.
pub(super) struct RowRange {
    /// Maximum number of rows on the page.
    pub(super) size: usize,
    /// The number of the last row on the previous page.
    pub(super) after: Option<u64>,
    /// Whether to list the oldest rows first; AWS lists the newest first by default.
    pub(super) is_ascending: bool,
}

/// Why a row was not removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NotRemoved {
    /// No row has this id.
    Missing,
    /// The resource is active.
    Active,
}

impl<T> Rows<T> {
    /// Adds a row; returns false if a row with its id exists.
    pub(super) fn insert(&mut self, id: CertificateId, row: T) -> bool {
        if *self.numbers.entry(id).or_insert(self.next) != self.next {
            return false;
        }
        self.by_number.insert(self.next, row);
        self.next += 1;
        true
    }

    pub(super) fn get(&self, id: CertificateId) -> Option<&T> {
        self.by_number.get(self.numbers.get(&id)?)
    }

    pub(super) fn get_mut(&mut self, id: CertificateId) -> Option<&mut T> {
        self.by_number.get_mut(self.numbers.get(&id)?)
    }

    /// Removes a row unless it is active.
    pub(super) fn remove(&mut self, id: CertificateId, is_active: impl Fn(&T) -> bool) -> Result<T, NotRemoved> {
        if is_active(self.get(id).ok_or(NotRemoved::Missing)?) {
            return Err(NotRemoved::Active);
        }
        self.numbers.remove(&id).and_then(|number| self.by_number.remove(&number)).ok_or(NotRemoved::Missing)
    }

    /// Returns one page of the wanted rows, and the marker of the next page, if there is one.
    pub(super) fn page(&self, page: &RowRange, is_wanted: impl Fn(&T) -> bool) -> (Vec<&T>, Option<u64>) {
        let wanted = |(_, row): &(&u64, &T)| is_wanted(row);
        // One row more than requested shows whether there is a next page.
        let limit = page.size.saturating_add(1);
        let mut rows: Vec<(&u64, &T)> = if page.is_ascending {
            let start = page.after.map_or(Bound::Unbounded, Bound::Excluded);
            self.by_number.range((start, Bound::Unbounded)).filter(wanted).take(limit).collect()
        } else {
            self.by_number.range(..page.after.unwrap_or(u64::MAX)).rev().filter(wanted).take(limit).collect()
        };
        let has_next = rows.len() > page.size;
        rows.truncate(page.size);
        let last = rows.last().map(|(number, _)| **number).filter(|_| has_next);
        (rows.into_iter().map(|(_, row)| row).collect(), last)
    }

    /// Iterates over every row, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.by_number.values()
    }

    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { by_number: BTreeMap::new(), numbers: HashMap::new(), next: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(row: u8) -> CertificateId {
        CertificateId([row; 32])
    }

    fn rows(rows: &[u8]) -> Rows<u8> {
        let mut all = Rows::default();
        for &row in rows {
            assert!(all.insert(id(row), row));
        }
        all
    }

    fn page(rows: &Rows<u8>, is_ascending: bool, after: Option<u64>) -> (Vec<u8>, Option<u64>) {
        let (page, next) = rows.page(&RowRange { size: 2, after, is_ascending }, |_| true);
        (page.into_iter().copied().collect(), next)
    }

    #[test]
    fn a_row_is_inserted_once_and_keeps_its_position() {
        let mut rows = rows(&[3, 1, 2]);
        assert!(!rows.insert(id(1), 9));
        assert_eq!((rows.get(id(1)), rows.len()), (Some(&1), 3));
        assert_eq!(rows.iter().copied().collect::<Vec<_>>(), [3, 1, 2]);
    }

    #[test]
    fn deletes_between_pages_neither_repeat_nor_skip_rows() {
        for (is_ascending, first, second) in [(true, [0, 1], [2, 4]), (false, [5, 4], [2, 1])] {
            let mut rows = rows(&[0, 1, 2, 3, 4, 5]);
            let (seen, next) = page(&rows, is_ascending, None);
            assert_eq!(seen, first);
            let last_seen = if is_ascending { 1 } else { 4 };
            for gone in [first[0], 3, last_seen] {
                rows.remove(id(gone), |_| false).unwrap();
            }
            // The row that was seen last is inserted again, as a new row.
            assert!(rows.insert(id(last_seen), last_seen));
            assert_eq!(page(&rows, is_ascending, next).0, second, "ascending: {is_ascending}");
        }
    }

    #[test]
    fn only_a_page_with_a_successor_has_a_marker() {
        let rows = rows(&[0, 1, 2, 3]);
        let (_, next) = page(&rows, true, None);
        assert_eq!(page(&rows, true, next), (vec![2, 3], None));
        let even = rows.page(&RowRange { size: 2, after: None, is_ascending: true }, |row| row % 2 == 0);
        assert_eq!(even, (vec![&0, &2], None));
    }

    #[test]
    fn active_rows_are_not_removed() {
        let mut rows = rows(&[1]);
        assert_eq!(rows.remove(id(1), |_| true), Err(NotRemoved::Active));
        assert_eq!(rows.remove(id(1), |_| false), Ok(1));
        assert_eq!(rows.remove(id(1), |_| false), Err(NotRemoved::Missing));
    }
}
