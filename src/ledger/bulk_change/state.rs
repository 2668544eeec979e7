//! The state of a bulk change, which follows from its times. Pure: no I/O, no clock.

use strum::{Display, IntoStaticStr, VariantArray};

use super::{BulkChange, PLAN_VALID_FOR};

/// The state of a bulk change.
#[derive(Clone, Copy, Debug, Display, Eq, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ChangeState {
    /// It can be begun.
    Planned,
    /// It was planned too long ago and must be planned anew.
    Expired,
    /// Its process is alive.
    Running,
    /// Its process stopped reporting: it died, or it cannot reach the ledger.
    Interrupted,
    /// An operator cancelled it. Until it has ended, its process may still finish what it is doing.
    Cancelled,
    /// It was carried out.
    Ended,
    /// It failed.
    Failed,
}

impl BulkChange {
    /// Returns the state at the time when the change was read.
    pub fn state(&self) -> ChangeState {
        if self.begun.is_none() {
            let is_expired = self.read_at - self.planned.0 >= PLAN_VALID_FOR;
            return if is_expired { ChangeState::Expired } else { ChangeState::Planned };
        }
        if self.error.is_some() {
            ChangeState::Failed
        } else if self.cancelled.is_some() {
            ChangeState::Cancelled
        } else if self.ended_at.is_some() {
            ChangeState::Ended
        } else if self.runner_until.is_some_and(|until| self.read_at < until) {
            ChangeState::Running
        } else {
            ChangeState::Interrupted
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::OffsetDateTime;

    use super::*;
    use crate::ledger::bulk_change::{BulkAction, RUNNER_ALIVE_FOR};

    const ALMOST: f64 = 0.999;

    fn plan(read_after: Duration) -> BulkChange {
        let now = OffsetDateTime::UNIX_EPOCH;
        BulkChange {
            id: "7f".repeat(16),
            action: BulkAction::DeadDrop,
            filter: "{}".into(),
            n_expected: 1,
            is_more: false,
            planned: (now, "ann".into()),
            begun: None,
            replay: None,
            n_done: 0,
            n_failed: 0,
            runner_until: None,
            cancelled: None,
            ended_at: None,
            result: None,
            error: None,
            read_at: now + read_after,
        }
    }

    fn begun(read_after: Duration) -> BulkChange {
        let plan = plan(read_after);
        let at = plan.planned.0;
        BulkChange { begun: Some((at, "bob".into())), runner_until: Some(at + RUNNER_ALIVE_FOR), ..plan }
    }

    #[test]
    fn a_plan_expires_after_an_hour() {
        assert_eq!(plan(PLAN_VALID_FOR.mul_f64(ALMOST)).state(), ChangeState::Planned);
        assert_eq!(plan(PLAN_VALID_FOR).state(), ChangeState::Expired);
    }

    #[test]
    fn a_change_is_interrupted_once_its_process_stops_reporting() {
        assert_eq!(begun(RUNNER_ALIVE_FOR.mul_f64(ALMOST)).state(), ChangeState::Running);
        assert_eq!(begun(RUNNER_ALIVE_FOR).state(), ChangeState::Interrupted);
    }

    #[test]
    fn the_end_decides_however_long_ago_it_was() {
        let late = begun(Duration::from_hours(1000));
        let at = late.planned.0;
        let cancelled = BulkChange { cancelled: Some((at, "eve".into())), ..late.clone() };
        assert_eq!(cancelled.state(), ChangeState::Cancelled);
        assert_eq!(BulkChange { ended_at: Some(at), ..cancelled.clone() }.state(), ChangeState::Cancelled);
        let ended = BulkChange { ended_at: Some(at), ..late };
        assert_eq!(ended.state(), ChangeState::Ended);
        for ended in [ended, cancelled] {
            assert_eq!(BulkChange { error: Some("no queue".into()), ..ended }.state(), ChangeState::Failed);
        }
    }
}
