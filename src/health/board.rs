//! The board: all breakers and holds of a worker. One breaker per target and operation, one each for Postgres and SQS.
//!
//! Answers whether calls can be made and which targets work. What a job does meanwhile is decided by the worker.

use std::collections::HashMap;

use strum::VariantArray;
use tokio::time::Instant;

use crate::config::probe_times::ProbeTimes;
use crate::health::breaker::{Breaker, Changes, Dependency};
use crate::health::hold_view::HoldView;
use crate::ledger::hold::OpenHold;
use crate::runtime::sleep_until;
use muster_core::hold::{HoldKey, HoldKind, Notice};
use muster_core::job::{Name, Operation};
use muster_core::trouble::Trouble;

/// The board; clones share it.
#[derive(Clone, Debug)]
pub struct Board {
    /// The breaker of each target and operation.
    pub targets: HashMap<(Name, Operation), Breaker>,
    /// The breaker of Postgres: no permit is taken while an outcome could not be recorded.
    pub postgres: Dependency,
    /// The breaker of SQS.
    pub sqs: Dependency,
    /// The holds that jobs are parked for.
    pub holds: HoldView,
    /// Wakes waiters when something opens or closes.
    pub changes: Changes,
}

impl Board {
    /// Creates a board for these targets, on which nothing is open.
    pub fn new(targets: impl IntoIterator<Item = Name>, probes: ProbeTimes) -> Self {
        let changes = Changes::default();
        let mut board = HashMap::new();
        for target in targets {
            for &operation in Operation::VARIANTS {
                let breaker = Breaker::new(format!("{target}:{operation}"), probes.target, changes.clone());
                board.insert((target.clone(), operation), breaker);
            }
        }
        Self {
            targets: board,
            postgres: Dependency::new("postgres", changes.clone()),
            sqs: Dependency::new("sqs", changes.clone()),
            holds: HoldView::new(probes, changes.clone()),
            changes,
        }
    }

    /// Returns the breaker of a target's operation.
    ///
    /// # Panics
    /// If the target is not configured here. Jobs for other targets are quarantined when they are received.
    pub fn of(&self, target: &Name, operation: Operation) -> &Breaker {
        self.targets.get(&(target.clone(), operation)).expect("every configured target has its breakers")
    }

    /// Notes that a target's credentials do not work for any operation. Opens the breaker of one operation, which
    /// stands for all until calls are answered.
    pub fn denied(&self, target: &Name, reason: &str) {
        self.of(target, Operation::VARIANTS[0]).presume_denied(reason);
    }

    /// Notes that a call that began at this instant was answered, successfully or not.
    pub fn answered(&self, target: &Name, operation: Operation, began: Instant) {
        let was_working = self.works(target, operation);
        self.of(target, operation).answered(began);
        self.siblings(target, operation).for_each(Breaker::credentials_work);
        if !was_working && self.works(target, operation) {
            self.changes.notify();
        }
    }

    /// Returns whether a target's operation works, as far as is known. While the breaker of another operation of the
    /// target is open, it works only if one of its calls was answered since: an unused operation says nothing about its
    /// target.
    pub fn works(&self, target: &Name, operation: Operation) -> bool {
        let own = self.of(target, operation);
        let trouble = self.siblings(target, operation).filter_map(|breaker| Some(breaker.open()?.since)).max();
        own.open().is_none() && trouble.is_none_or(|since| own.answered_at().is_some_and(|at| at >= since))
    }

    /// Returns whether a target's operation is worth trying. While the breaker of another operation of the target is
    /// open, it is worth trying only if it has been used at all.
    fn may_work(&self, target: &Name, operation: Operation) -> bool {
        let own = self.of(target, operation);
        let is_alone = self.siblings(target, operation).all(|breaker| breaker.open().is_none());
        own.open().is_none() && (is_alone || own.answered_at().is_some())
    }

    /// Returns whether any operation of any target works, apart from this one.
    pub fn others_work(&self, target: &Name, operation: Operation) -> bool {
        let mut others = self.targets.keys().filter(|(name, other)| (name, *other) != (target, operation));
        others.any(|(name, other)| self.works(name, *other))
    }

    /// Returns the breakers of the target's other operations.
    fn siblings(&self, target: &Name, operation: Operation) -> impl Iterator<Item = &Breaker> {
        let others = Operation::VARIANTS.iter().filter(move |other| **other != operation);
        others.map(|other| self.of(target, *other))
    }

    /// Returns whether an operator has paused everything that this worker could do.
    pub fn is_paused(&self) -> bool {
        self.holds.is_paused(self.targets.keys().map(|(target, _)| target))
    }

    /// Waits while no job could be processed: everything is paused, the ledger accepts no outcomes, or no target can be
    /// called or probed.
    pub async fn until_usable(&self) {
        let mut watch = self.changes.watch();
        while !self.is_usable() {
            tokio::select! {
                () = watch.changed() => {}
                () = sleep_until(self.probe_at()) => {}
            }
        }
    }

    /// Returns whether some job could be processed: not everything is paused, the ledger accepts outcomes, and some
    /// target is due for a probe or, as far as is known, worth calling.
    pub fn is_usable(&self) -> bool {
        let now = Instant::now();
        let takes_probe = |breaker: &Breaker| breaker.probe_at().is_some_and(|at| at <= now);
        let mut targets = self.targets.iter();
        self.postgres.open().is_none()
            && !self.is_paused()
            && targets.any(|((target, operation), breaker)| takes_probe(breaker) || self.may_work(target, *operation))
    }

    /// Returns when the next probe becomes due, if one lies ahead.
    fn probe_at(&self) -> Option<Instant> {
        let now = Instant::now();
        self.targets.values().filter_map(Breaker::probe_at).filter(|at| *at > now).min()
    }

    /// Returns the holds of targets whose breaker is open here and not due for a probe: a resent job would not get
    /// through.
    pub fn not_ours_to_probe(&self) -> Vec<HoldKey> {
        let now = Instant::now();
        let lets_none_through =
            |breaker: &Breaker| breaker.open().is_some() && breaker.probe_at().is_none_or(|at| at > now);
        let closed = self.targets.iter().filter(|(_, breaker)| lets_none_through(breaker));
        closed.map(|((target, operation), _)| HoldKey::target(target, *operation)).collect()
    }

    /// Returns everything that is open, as trouble.
    pub fn open(&self) -> Vec<Trouble> {
        let targets = self.targets.iter().filter_map(|((target, operation), breaker)| {
            let open = breaker.open()?;
            Some(Trouble {
                breaker: <&str>::from(open.cause).into(),
                what: format!("{target}:{operation}"),
                reason: open.reason,
            })
        });
        let dependencies =
            [("postgres", &self.postgres), ("sqs", &self.sqs)].into_iter().filter_map(|(breaker, dependency)| {
                Some(Trouble { breaker: breaker.into(), what: String::new(), reason: dependency.open()? })
            });
        let holds = self.holds.closed().into_iter().filter_map(trouble_of);
        targets.chain(dependencies).chain(holds).collect()
    }
}

/// Returns a hold as trouble, or `None` for holds on a target and replays, which block only work that others can do.
fn trouble_of(open: OpenHold) -> Option<Trouble> {
    let kind = open.hold.kind()?;
    let reason = match kind {
        HoldKind::Issuer => {
            let title = Notice::of(&open.hold, open.subject.as_deref()).title;
            format!("{title}: {}", open.reason)
        }
        HoldKind::Batch | HoldKind::Pause => open.reason,
        HoldKind::Target | HoldKind::Busy | HoldKind::Replay => return None,
    };
    Some(Trouble { breaker: <&str>::from(kind).into(), what: open.hold.to_string(), reason })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::health::breaker::Cause;
    use muster_core::trouble::BREAKER_LABELS;

    const PROBE: Duration = Duration::from_secs(30);
    const OPERATION: Operation = Operation::RegisterCertificate;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn board(targets: &[&str]) -> Board {
        let probes = ProbeTimes { issuer: PROBE, batch: PROBE, target: PROBE };
        Board::new(targets.iter().map(|target| name(target)), probes)
    }

    #[test]
    fn every_cause_and_kind_has_its_label() {
        for &cause in Cause::VARIANTS {
            assert!(BREAKER_LABELS.contains(&<&str>::from(cause)));
        }
        assert!(BREAKER_LABELS.contains(&<&str>::from(HoldKind::Issuer)));
        assert!(BREAKER_LABELS.contains(&<&str>::from(HoldKind::Batch)));
        assert!(BREAKER_LABELS.contains(&<&str>::from(HoldKind::Pause)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_board_is_unusable_while_the_ledger_or_all_targets_fail() {
        let board = board(&["a", "b"]);
        board.until_usable().await;
        board.of(&name("a"), OPERATION).denied("expired");
        assert!(board.others_work(&name("a"), OPERATION));
        board.until_usable().await;
        let failing = board.postgres.failing("refused");
        assert!(tokio::time::timeout(PROBE, board.until_usable()).await.is_err());
        drop(failing);
        let probe = board.of(&name("a"), OPERATION).pass();
        board.of(&name("b"), OPERATION).denied("expired");
        assert!(!board.others_work(&name("a"), OPERATION) && !board.others_work(&name("b"), OPERATION));
        let began = Instant::now();
        board.until_usable().await;
        assert_eq!(began.elapsed(), PROBE, "the next probe belongs to the other target");
        drop(probe);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_operation_does_not_count_as_working() {
        let board = board(&["a"]);
        let (a, other) = (name("a"), Operation::RegisterCACertificate);
        board.of(&a, OPERATION).denied("not allowed");
        assert!(!board.others_work(&a, OPERATION) && !board.is_usable());
        board.of(&a, OPERATION).answered(Instant::now());

        board.answered(&a, other, Instant::now());
        tokio::time::advance(PROBE).await;
        board.of(&a, OPERATION).denied("not allowed");
        assert!(!board.others_work(&a, OPERATION), "it was answered before the trouble began");
        assert!(board.is_usable(), "it has been used, so it is worth trying");
        let mut watch = board.changes.watch();
        board.answered(&a, other, Instant::now());
        assert!(board.others_work(&a, OPERATION));
        tokio::time::timeout(PROBE, watch.changed()).await.expect("waiters are woken");
        board.of(&a, OPERATION).answered(Instant::now());
        assert!(
            board.works(&a, Operation::RegisterCertificateWithoutCA),
            "without trouble, every operation counts as working"
        );
    }

    #[tokio::test]
    async fn an_answer_to_one_operation_shows_that_the_credentials_work() {
        let board = board(&["a"]);
        board.denied(&name("a"), "expired");
        assert!(!board.is_usable());
        board.answered(&name("a"), Operation::RegisterCACertificate, Instant::now());
        assert_eq!(board.open(), []);
    }

    #[tokio::test]
    async fn the_board_reports_what_is_open_and_why() {
        let board = board(&["a"]);
        assert_eq!(board.open(), []);
        board.of(&name("a"), OPERATION).denied("expired");
        let _failing = board.postgres.failing("refused");
        let reported: Vec<_> =
            board.open().into_iter().map(|open| (open.breaker.into_owned(), open.what, open.reason)).collect();
        assert_eq!(
            reported,
            [
                ("auth".to_owned(), "a:RegisterCertificate".to_owned(), "expired".to_owned()),
                ("postgres".to_owned(), String::new(), "refused".to_owned())
            ]
        );
        assert_eq!(board.not_ours_to_probe(), [HoldKey::target(&name("a"), OPERATION)]);
    }
}
