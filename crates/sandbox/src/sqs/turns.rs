//! Which waiting message comes next: fair among message groups, oldest first within a group.
//!
//! The group with the fewest messages in flight is served first, as SQS fair queues do for their quiet tenants; among
//! equals, the one served longest ago. Every step takes logarithmic time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The waiting messages of one queue, by group.
#[derive(Default)]
pub(super) struct Turns {
    groups: HashMap<Arc<str>, MessageGroup>,
    /// Groups with waiting messages: number in flight, turn of the last service, name.
    order: BTreeSet<(usize, u64, Arc<str>)>,
    /// Number of turns so far.
    turn: u64,
}

#[derive(Default)]
struct MessageGroup {
    waiting: BTreeSet<u64>,
    in_flight: usize,
    last_turn: u64,
}

impl Turns {
    /// Adds a waiting message.
    pub(super) fn wait(&mut self, group: &Arc<str>, number: u64) {
        self.change(group, |group| {
            group.waiting.insert(number);
        });
    }

    /// Removes a waiting message.
    pub(super) fn withdraw(&mut self, group: &Arc<str>, number: u64) {
        self.change(group, |group| {
            group.waiting.remove(&number);
        });
    }

    /// Takes the next message; it counts as in flight until [`Turns::land`].
    pub(super) fn next(&mut self) -> Option<u64> {
        let (.., group) = self.order.first()?.clone();
        self.turn += 1;
        let turn = self.turn;
        let mut next = None;
        self.change(&group, |group| {
            next = group.waiting.pop_first();
            group.in_flight += 1;
            group.last_turn = turn;
        });
        next
    }

    /// Records that a message of the group is no longer in flight.
    pub(super) fn land(&mut self, group: &Arc<str>) {
        self.change(group, |group| group.in_flight -= 1);
    }

    /// Changes a group and its position in the order; drops a group with nothing left.
    fn change(&mut self, name: &Arc<str>, change: impl FnOnce(&mut MessageGroup)) {
        let group = self.groups.entry(Arc::clone(name)).or_default();
        let before = (group.in_flight, group.last_turn, Arc::clone(name));
        let was_waiting = !group.waiting.is_empty();
        change(group);
        let after = (group.in_flight, group.last_turn, Arc::clone(name));
        let is_waiting = !group.waiting.is_empty();
        if was_waiting && !(is_waiting && before == after) {
            self.order.remove(&before);
        }
        if is_waiting {
            self.order.insert(after);
        } else if group.in_flight == 0 {
            self.groups.remove(name);
        }
    }
}

#[cfg(test)]
impl Turns {
    pub(super) fn n_waiting(&self) -> usize {
        self.groups.values().map(|group| group.waiting.len()).sum()
    }

    pub(super) fn n_in_flight(&self) -> usize {
        self.groups.values().map(|group| group.in_flight).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_group_does_not_wait_behind_a_loud_one() {
        let (loud, quiet): (Arc<str>, Arc<str>) = ("loud".into(), "quiet".into());
        let mut turns = Turns::default();
        (0..100).for_each(|number| turns.wait(&loud, number));
        assert_eq!([turns.next(), turns.next()], [Some(0), Some(1)]);
        turns.wait(&quiet, 100);
        assert_eq!([turns.next(), turns.next()], [Some(100), Some(2)]);
    }

    #[test]
    fn equal_groups_take_turns() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut turns = Turns::default();
        (0..4).for_each(|number| turns.wait(&a, number));
        (4..8).for_each(|number| turns.wait(&b, number));
        let taken: Vec<_> = std::iter::from_fn(|| turns.next()).collect();
        assert_eq!(taken, [0, 4, 1, 5, 2, 6, 3, 7]);
    }

    #[test]
    fn withdrawn_messages_are_not_served_and_empty_groups_are_dropped() {
        let group: Arc<str> = "a".into();
        let mut turns = Turns::default();
        turns.wait(&group, 1);
        turns.wait(&group, 2);
        turns.withdraw(&group, 1);
        assert_eq!([turns.next(), turns.next()], [Some(2), None]);
        turns.land(&group);
        assert!(turns.groups.is_empty() && turns.order.is_empty());
    }
}
