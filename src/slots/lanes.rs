//! How many slots live work and messages that were sent again may take. Pure but for the clock.
//!
//! Two limits hold: the slots there are, and the jobs that may wait for a token. Of both, live work leaves the last
//! tenth to a second queue where there is one; that queue has whatever live work does not want.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The time whose starts bound the jobs that wait: long enough to bridge a slow receive. A live message that came
/// within it stands for more.
pub(super) const WINDOW: Duration = Duration::from_secs(2);

/// The share that is kept for sent-again messages: one part in so many.
const KEPT_PART: usize = 10;

/// Whose messages a slot is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lane {
    /// Those of the main queue.
    Live,
    /// Those that were sent again, to a queue of their own.
    Replay,
}

/// What the lanes have taken.
#[derive(Debug)]
pub(super) struct Lanes {
    capacity: usize,
    waiting_min: usize,
    /// Whether there is a second queue.
    is_shared: bool,
    /// Slots taken, those of a receive under way included.
    taken: Usage,
    /// Of these, the ones whose job has not started.
    waiting: Usage,
    /// Starts of the last [`WINDOW`].
    started: VecDeque<Instant>,
    /// How many receivers of live work wait for a slot.
    live_takers: usize,
    /// When a live message came last.
    live_came: Option<Instant>,
}

/// How much of something each lane uses.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    live: usize,
    replay: usize,
}

impl Lanes {
    pub(super) fn new(capacity: usize, waiting_min: usize, is_shared: bool) -> Self {
        // Each lane needs one, or it would never receive.
        let least = if is_shared { 2 } else { 1 };
        let capacity = capacity.max(least);
        Self {
            capacity,
            waiting_min: waiting_min.clamp(least, capacity),
            is_shared,
            taken: Usage::default(),
            waiting: Usage::default(),
            started: VecDeque::new(),
            live_takers: 0,
            live_came: None,
        }
    }

    /// Takes what a lane may have at this moment, at most `max`.
    pub(super) fn take(&mut self, lane: Lane, max: usize) -> usize {
        self.forget_old_starts();
        let may_wait = self.started.len().max(self.waiting_min);
        let n = max.min(self.room(lane, self.capacity, self.taken)).min(self.room(lane, may_wait, self.waiting));
        *self.taken.of(lane) += n;
        *self.waiting.of(lane) += n;
        n
    }

    /// Notes that a job has its token, or will not need one.
    pub(super) fn start(&mut self, lane: Lane) {
        *self.waiting.of(lane) -= 1;
        self.started.push_back(Instant::now());
        self.forget_old_starts();
    }

    /// Gives a slot back.
    pub(super) fn free(&mut self, lane: Lane, has_started: bool) {
        *self.taken.of(lane) -= 1;
        if !has_started {
            *self.waiting.of(lane) -= 1;
        }
    }

    /// Notes that a message came.
    pub(super) fn came(&mut self, lane: Lane) {
        if lane == Lane::Live {
            self.live_came = Some(Instant::now());
        }
    }

    /// Notes that a receiver begins to wait for a slot.
    pub(super) fn begin_to_wait(&mut self, lane: Lane) {
        self.live_takers += usize::from(lane == Lane::Live);
    }

    /// Notes that a receiver no longer waits for a slot.
    pub(super) fn end_to_wait(&mut self, lane: Lane) {
        self.live_takers -= usize::from(lane == Lane::Live);
    }

    /// How many of `all` a lane may still take, where the lanes use so much of it.
    fn room(&self, lane: Lane, all: usize, used: Usage) -> usize {
        let kept = if self.is_shared { (all / KEPT_PART).max(1) } else { 0 };
        let free = all.saturating_sub(used.live + used.replay);
        match lane {
            Lane::Live => free.min((all - kept).saturating_sub(used.live)),
            Lane::Replay if self.is_live_work_there() => kept.saturating_sub(used.replay),
            Lane::Replay => free.max(kept.saturating_sub(used.replay)),
        }
    }

    fn is_live_work_there(&self) -> bool {
        self.live_takers > 0 || self.live_came.is_some_and(|instant| instant.elapsed() < WINDOW)
    }

    fn forget_old_starts(&mut self) {
        while self.started.front().is_some_and(|start| start.elapsed() > WINDOW) {
            self.started.pop_front();
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

    /// Lanes in which a live message has just come.
    fn busy(capacity: usize, waiting_min: usize) -> Lanes {
        let mut lanes = Lanes::new(capacity, waiting_min, true);
        lanes.came(Lane::Live);
        lanes
    }

    #[test]
    fn without_a_second_queue_live_work_has_everything() {
        let mut lanes = Lanes::new(20, 20, false);
        assert_eq!(lanes.take(Lane::Live, 100), 20);
    }

    #[test]
    fn live_work_leaves_the_last_tenth() {
        let mut lanes = busy(50, 20);
        assert_eq!(lanes.take(Lane::Live, 100), 18, "a tenth of the jobs that may wait is kept");
        assert_eq!(lanes.take(Lane::Replay, 100), 2);
        let mut lanes = busy(50, 50);
        assert_eq!(lanes.take(Lane::Live, 100), 45, "a tenth of the slots is kept");
        assert_eq!(lanes.take(Lane::Replay, 100), 5);
    }

    #[test]
    fn each_lane_has_one_slot_at_least() {
        let mut lanes = busy(1, 1);
        assert_eq!((lanes.take(Lane::Live, 10), lanes.take(Lane::Replay, 10)), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_queue_has_what_live_work_leaves() {
        let mut lanes = busy(50, 50);
        assert_eq!(lanes.take(Lane::Live, 10), 10);
        assert_eq!(lanes.take(Lane::Replay, 100), 5, "there may be more live work");
        tokio::time::advance(WINDOW).await;
        assert_eq!(lanes.take(Lane::Replay, 100), 35);
    }

    #[tokio::test(start_paused = true)]
    async fn freed_slots_go_to_live_work_that_waits() {
        let mut lanes = Lanes::new(50, 50, true);
        assert_eq!(lanes.take(Lane::Replay, 100), 50);
        assert_eq!(lanes.take(Lane::Live, 10), 0);
        lanes.begin_to_wait(Lane::Live);
        (0..3).for_each(|_| lanes.free(Lane::Replay, false));
        assert_eq!((lanes.take(Lane::Replay, 10), lanes.take(Lane::Live, 10)), (0, 3));
        lanes.end_to_wait(Lane::Live);
        lanes.free(Lane::Replay, false);
        assert_eq!(lanes.take(Lane::Replay, 10), 1);
    }

    /// Both queues full, one job started at a time: what is started is shared nine to one.
    #[test]
    fn the_tokens_are_shared_nine_to_one() {
        let mut lanes = busy(1000, 20);
        let mut waiting = VecDeque::new();
        let mut started = Usage::default();
        for _ in 0..1000 {
            for lane in [Lane::Replay, Lane::Live] {
                waiting.extend(std::iter::repeat_n(lane, lanes.take(lane, 10)));
            }
            let lane = waiting.pop_front().expect("there is always work");
            lanes.start(lane);
            lanes.free(lane, true);
            *started.of(lane) += 1;
        }
        assert!((80..=120).contains(&started.replay), "{started:?}");
    }
}
