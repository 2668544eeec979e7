//! Divides the slots between live work and resent messages. Pure except for the clock.
//!
//! Two limits apply: the number of slots, and the number of jobs that may wait for a permit, which the permit pools
//! know. If there is a second queue, live work leaves it the last tenth of both, and it may use whatever live work does
//! not need.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::StageProgress;
use crate::quota::by_target::Room;
use crate::quota::permits::WINDOW;

/// One part in this many is kept for resent messages.
const KEPT_PART: usize = 10;

/// Maximum number of jobs taken beyond the room because some are expected to need no call. If all of them need one,
/// this many wait too long.
const BEYOND_MAX: usize = 100;

/// Which queue's messages a slot is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lane {
    /// The main queue.
    Live,
    /// The second queue, for resent messages.
    Replay,
}

/// What each lane has taken.
#[derive(Debug)]
pub(super) struct Lanes {
    capacity: usize,
    /// Whether there is a second queue.
    is_shared: bool,
    /// Slots taken, including those of receives in progress.
    taken: Usage,
    /// Of these, slots whose job has not started.
    waiting: Usage,
    /// Of these, slots for which it is not known whether they wait for a permit, including those of receives in
    /// progress.
    undecided: usize,
    /// Times of the outcomes without a call in the last [`WINDOW`].
    finished_without_call: VecDeque<Instant>,
    /// How many receivers of live work wait for a slot.
    n_live_waiting: usize,
    /// When the last live message arrived.
    last_live_arrival: Option<Instant>,
}

/// How much of something each lane uses.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    live: usize,
    replay: usize,
}

impl Lanes {
    pub(super) fn new(capacity: usize, is_shared: bool) -> Self {
        Self {
            // A lane without a slot would never receive.
            capacity: capacity.max(if is_shared { 2 } else { 1 }),
            is_shared,
            taken: Usage::default(),
            waiting: Usage::default(),
            undecided: 0,
            finished_without_call: VecDeque::new(),
            n_live_waiting: 0,
            last_live_arrival: None,
        }
    }

    /// Takes as many slots as a lane may have now, at most `max`; returns how many.
    pub(super) fn take(&mut self, lane: Lane, max: usize, room: Room) -> usize {
        let may_wait = self.may_wait(room);
        let n = max.min(self.room(lane, self.capacity, self.taken)).min(self.room(lane, may_wait, self.waiting));
        *self.taken.of(lane) += n;
        *self.waiting.of(lane) += n;
        self.undecided += n;
        n
    }

    /// Returns how many jobs may be in the state "not started": those that wait for permits, plus as many undecided
    /// ones as there is room for. Assumes that undecided jobs need a call in the same proportion as recent ones did.
    fn may_wait(&mut self, room: Room) -> usize {
        self.forget_old_outcomes();
        let beyond = room.free * self.finished_without_call.len() / room.served.max(1);
        let decided = self.waiting.live + self.waiting.replay - self.undecided;
        decided + room.free + beyond.min(BEYOND_MAX)
    }

    /// Notes that it is now known whether a job waits for a permit.
    pub(super) fn decide(&mut self) {
        self.undecided -= 1;
    }

    /// Notes that a job has its permit.
    pub(super) fn start(&mut self, lane: Lane) {
        *self.waiting.of(lane) -= 1;
    }

    /// Notes that a job has an outcome without a permit.
    pub(super) fn finish_without_call(&mut self, lane: Lane) {
        *self.waiting.of(lane) -= 1;
        self.finished_without_call.push_back(Instant::now());
        self.forget_old_outcomes();
    }

    /// Frees the slot of a job that has made this progress.
    pub(super) fn free(&mut self, lane: Lane, progress: StageProgress) {
        *self.taken.of(lane) -= 1;
        if progress != StageProgress::Started {
            *self.waiting.of(lane) -= 1;
        }
        if progress == StageProgress::Undecided {
            self.undecided -= 1;
        }
    }

    /// Notes that a message arrived.
    pub(super) fn arrived(&mut self, lane: Lane) {
        if lane == Lane::Live {
            self.last_live_arrival = Some(Instant::now());
        }
    }

    /// Notes that a receiver has begun to wait for a slot.
    pub(super) fn start_waiting(&mut self, lane: Lane) {
        self.n_live_waiting += usize::from(lane == Lane::Live);
    }

    /// Notes that a receiver no longer waits for a slot.
    pub(super) fn stop_waiting(&mut self, lane: Lane) {
        self.n_live_waiting -= usize::from(lane == Lane::Live);
    }

    /// Returns how many of `all` a lane may still take, given what both lanes use.
    fn room(&self, lane: Lane, all: usize, used: Usage) -> usize {
        let kept = if self.is_shared { (all / KEPT_PART).max(1) } else { 0 };
        let free = all.saturating_sub(used.live + used.replay);
        match lane {
            Lane::Live => free.min((all - kept).saturating_sub(used.live)),
            Lane::Replay if self.has_live_work() => kept.saturating_sub(used.replay),
            Lane::Replay => free.max(kept.saturating_sub(used.replay)),
        }
    }

    fn has_live_work(&self) -> bool {
        self.n_live_waiting > 0 || self.last_live_arrival.is_some_and(|instant| instant.elapsed() < WINDOW)
    }

    fn forget_old_outcomes(&mut self) {
        while self.finished_without_call.front().is_some_and(|at| at.elapsed() > WINDOW) {
            self.finished_without_call.pop_front();
        }
    }
}

impl Usage {
    fn of(&mut self, lane: Lane) -> &mut usize {
        match lane {
            Lane::Live => &mut self.live,
            Lane::Replay => &mut self.replay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns lanes in which a live message has just arrived.
    fn busy(capacity: usize) -> Lanes {
        let mut lanes = Lanes::new(capacity, true);
        lanes.arrived(Lane::Live);
        lanes
    }

    /// Returns room for `free` jobs, after ten permits.
    fn room(free: usize) -> Room {
        Room { free, served: 10 }
    }

    #[test]
    fn without_a_second_queue_live_work_gets_every_slot() {
        let mut lanes = Lanes::new(20, false);
        assert_eq!(lanes.take(Lane::Live, 100, room(20)), 20);
    }

    #[test]
    fn live_work_leaves_a_tenth_to_the_second_queue() {
        let mut lanes = busy(50);
        assert_eq!(lanes.take(Lane::Live, 100, room(20)), 18, "a tenth of the jobs that may wait is kept");
        assert_eq!(lanes.take(Lane::Replay, 100, room(20)), 2);
        let mut lanes = busy(50);
        assert_eq!(lanes.take(Lane::Live, 100, room(50)), 45, "a tenth of the slots is kept");
        assert_eq!(lanes.take(Lane::Replay, 100, room(50)), 5);
    }

    #[test]
    fn each_lane_has_at_least_one_slot() {
        let mut lanes = busy(1);
        assert_eq!((lanes.take(Lane::Live, 10, room(2)), lanes.take(Lane::Replay, 10, room(2))), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_queue_gets_what_live_work_leaves() {
        let mut lanes = busy(50);
        assert_eq!(lanes.take(Lane::Live, 10, room(50)), 10);
        assert_eq!(lanes.take(Lane::Replay, 100, room(50)), 5, "there may be more live work");
        tokio::time::advance(WINDOW).await;
        assert_eq!(lanes.take(Lane::Replay, 100, room(50)), 35);
    }

    #[tokio::test(start_paused = true)]
    async fn freed_slots_go_to_waiting_live_work() {
        let mut lanes = Lanes::new(50, true);
        assert_eq!(lanes.take(Lane::Replay, 100, room(50)), 50);
        assert_eq!(lanes.take(Lane::Live, 10, room(50)), 0);
        lanes.start_waiting(Lane::Live);
        (0..3).for_each(|_| lanes.free(Lane::Replay, StageProgress::Undecided));
        assert_eq!((lanes.take(Lane::Replay, 10, room(50)), lanes.take(Lane::Live, 10, room(50))), (0, 3));
        lanes.stop_waiting(Lane::Live);
        lanes.free(Lane::Replay, StageProgress::Undecided);
        assert_eq!(lanes.take(Lane::Replay, 10, room(50)), 1);
    }

    /// With both queues full and one job started at a time, nine of ten started jobs are live work.
    #[test]
    fn permits_are_shared_nine_to_one() {
        let mut lanes = busy(1000);
        let mut waiting = VecDeque::new();
        let mut started = Usage::default();
        for _ in 0..1000 {
            for lane in [Lane::Replay, Lane::Live] {
                waiting.extend(std::iter::repeat_n(lane, lanes.take(lane, 10, room(50))));
            }
            let lane = waiting.pop_front().expect("there is always work");
            lanes.decide();
            lanes.start(lane);
            lanes.free(lane, StageProgress::Started);
            *started.of(lane) += 1;
        }
        assert!((80..=120).contains(&started.replay), "{started:?}");
    }
}
