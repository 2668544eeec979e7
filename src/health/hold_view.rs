//! This worker's view of the holds: those in the ledger, and those that it has just found itself.
//!
//! A worker's own finding applies at once. The ledger records it with the first job that is parked for it, and from
//! then on the ledger's state applies, for all workers. Memory is bounded: findings are forgotten after one probe
//! interval, and the number of batches is limited.

mod batches;
mod state;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::config::probe_times::ProbeTimes;
use crate::health::breaker::Changes;
use crate::ledger::hold::OpenHold;
use muster_core::certificate::CertificateId;
use muster_core::hold::{HoldKey, HoldKind, Opening, Parking};
use muster_core::job::Name;
use muster_core::outcome::Code;

use state::{HoldState, LocalFinding, open_hold};

/// How often a busy target is checked for room for parked jobs.
const ROOM_CHECK_EVERY: Duration = Duration::from_secs(1);

/// The view of the holds; clones share it.
#[derive(Clone, Debug)]
pub struct HoldView(Arc<SharedHolds>);

#[derive(Debug)]
struct SharedHolds {
    probes: ProbeTimes,
    state: Mutex<HoldState>,
    changes: Changes,
}

/// The answer of the holds for one job.
#[derive(Debug, Eq, PartialEq)]
pub enum Gate {
    /// No hold blocks it.
    Open,
    /// It is held, but becomes the half-open probe if the ledger grants it; otherwise it is parked.
    ProbeDue(Parking, String),
    /// It is held: the hold to park it for, and the reason.
    Closed(Parking, String),
}

impl HoldView {
    /// Creates a view without holds.
    pub fn new(probes: ProbeTimes, changes: Changes) -> Self {
        Self(Arc::new(SharedHolds { probes, state: Mutex::default(), changes }))
    }

    /// Returns whether a job that any of `keys` could hold may make its call, ignoring the holds in `probed`, which the
    /// job itself probes.
    pub fn gate(&self, keys: &[HoldKey], probed: &[HoldKey]) -> Gate {
        let state = self.lock();
        let keys = keys.iter().filter(|key| !probed.contains(key));
        keys.map(|key| state.gate(key)).find(|gate| *gate != Gate::Open).unwrap_or(Gate::Open)
    }

    /// Returns whether an operator has paused everything, or each of these targets.
    pub fn is_paused<'a>(&self, mut targets: impl Iterator<Item = &'a Name>) -> bool {
        let state = self.lock();
        if !state.ledger.values().any(|open| open.hold.kind() == Some(HoldKind::Pause)) {
            return false;
        }
        let holds = |hold| state.ledger.contains_key(&hold);
        holds(HoldKey::pause_all()) || targets.all(|target| holds(HoldKey::pause_target(target)))
    }

    /// Returns whether there is no hold at all.
    pub fn is_empty(&self) -> bool {
        let state = self.lock();
        state.ledger.is_empty() && state.found.is_empty()
    }

    /// Returns whether the ledger had a hold when it was last read, closed or not.
    pub fn is_known(&self, hold: &HoldKey) -> bool {
        self.lock().ledger.contains_key(hold)
    }

    /// Notes that the ledger was asked for the right to probe a hold: no other job needs to ask for a while.
    pub fn probe_requested(&self, hold: &HoldKey) {
        if let Some(open) = self.lock().ledger.get_mut(hold) {
            open.is_probe_due = false;
        }
    }

    /// Notes that a call found the issuer's CA not active. Once this happens for a second certificate, the hold is
    /// closed. `subject` is the human-readable name of the CA.
    pub fn issuer_inactive(&self, hold: HoldKey, id: CertificateId, subject: Option<String>, reason: &str) -> Parking {
        let mut state = self.lock();
        let (first, _) = *state.witnesses.entry(hold.clone()).or_insert((id, Instant::now()));
        let opening = Opening {
            witness: Some(id),
            is_closed: first != id,
            subject,
            reason: reason.to_owned(),
            probe_every: self.0.probes.issuer,
        };
        if opening.is_closed {
            self.record_finding(state, &hold, &opening);
        }
        Parking { hold, opening: Some(opening) }
    }

    /// Returns how to park a job of a target that does not work while others do; such jobs are released when a call
    /// succeeds.
    pub fn target_unavailable(&self, hold: HoldKey, reason: &str) -> Parking {
        let opening = Opening {
            witness: None,
            is_closed: false,
            subject: None,
            reason: reason.to_owned(),
            probe_every: self.0.probes.target,
        };
        Parking { hold, opening: Some(opening) }
    }

    /// Returns how to park a job of a target with more jobs than it can start; such jobs wait in the ledger until there
    /// is room for them.
    pub fn target_busy(&self, hold: HoldKey) -> Parking {
        let reason = "it has more jobs than it can start, and other targets lack work".to_owned();
        let opening = Opening { witness: None, is_closed: false, subject: None, reason, probe_every: ROOM_CHECK_EVERY };
        Parking { hold, opening: Some(opening) }
    }

    /// Notes the outcome of a job that spent a call. When nearly all jobs of a batch fail for one reason, its hold is
    /// closed.
    pub fn note_outcome(&self, batch: &Name, code: Code) {
        let mut state = self.lock();
        let Some(reason) = state.batches.note_outcome(batch, code) else { return };
        let opening =
            Opening { witness: None, is_closed: true, subject: None, reason, probe_every: self.0.probes.batch };
        self.record_finding(state, &HoldKey::batch(batch), &opening);
    }

    /// Notes that a call succeeded for a job that any of `keys` could hold: these holds may be released, except pauses,
    /// which only an operator releases.
    pub fn note_success(&self, keys: &[HoldKey]) {
        let mut state = self.lock();
        let keys = keys.iter().filter(|key| key.kind() != Some(HoldKind::Pause));
        let releasable: Vec<_> = keys.filter(|key| state.ledger.contains_key(key)).cloned().collect();
        state.releasable.extend(releasable);
    }

    /// Takes the holds under which a call has succeeded since the last time: they can be released.
    pub fn take_releases(&self) -> Vec<HoldKey> {
        self.lock().releasable.drain().collect()
    }

    /// Notes that the ledger has recorded this worker's finding: from now on the ledger's state applies.
    pub fn recorded(&self, parking: &Parking) {
        let Some(opening) = &parking.opening else { return };
        let mut state = self.lock();
        state.found.remove(&parking.hold);
        if opening.is_closed {
            let open = open_hold(&parking.hold, opening);
            state.ledger.entry(parking.hold.clone()).or_insert(open);
        }
    }

    /// Replaces the view with the open holds of the ledger.
    pub fn refresh(&self, open: Vec<OpenHold>) {
        let ledger: HashMap<_, _> = open.into_iter().map(|open| (open.hold.clone(), open)).collect();
        let mut state = self.lock();
        let is_changed = state.ledger != ledger;
        state.log_changes(&ledger);
        state.found.retain(|hold, found| !ledger.contains_key(hold) && found.at.elapsed() < found.opening.probe_every);
        state.witnesses.retain(|_, (_, at)| at.elapsed() < self.0.probes.issuer);
        state.ledger = ledger;
        drop(state);
        if is_changed {
            self.0.changes.notify();
        }
    }

    /// Returns the holds that are closed, those found here included.
    pub fn closed(&self) -> Vec<OpenHold> {
        let state = self.lock();
        let ledger = state.ledger.values().filter(|open| open.is_closed).cloned();
        ledger.chain(state.found.iter().map(|(hold, found)| open_hold(hold, &found.opening))).collect()
    }

    fn record_finding(&self, mut state: MutexGuard<'_, HoldState>, hold: &HoldKey, opening: &Opening) {
        let is_new = !state.ledger.get(hold).is_some_and(|open| open.is_closed) && !state.found.contains_key(hold);
        if is_new {
            state.found.insert(hold.clone(), LocalFinding { opening: opening.clone(), at: Instant::now() });
            drop(state);
            warn!(%hold, ca = opening.subject, reason = opening.reason, "hold opened: its jobs are parked");
            self.0.changes.notify();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HoldState> {
        self.0.state.lock().expect("nothing panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: Duration = Duration::from_mins(1);

    fn holds() -> HoldView {
        HoldView::new(ProbeTimes { issuer: PROBE, batch: PROBE, target: PROBE }, Changes::default())
    }

    fn issuer() -> HoldKey {
        HoldKey::issuer(&"default".parse().unwrap(), [7; 32])
    }

    fn open(hold: HoldKey, is_closed: bool, is_probe_due: bool) -> OpenHold {
        OpenHold { hold, subject: None, reason: "on purpose".into(), is_closed, is_probe_due }
    }

    fn is_closed(holds: &HoldView) -> bool {
        matches!(holds.gate(&[issuer()], &[]), Gate::Closed(..))
    }

    #[tokio::test]
    async fn a_second_certificate_closes_the_hold() {
        let holds = holds();
        let (one, two) = (CertificateId([1; 32]), CertificateId([2; 32]));
        for _ in 0..2 {
            let parking = holds.issuer_inactive(issuer(), one, None, "406");
            assert!(!parking.opening.unwrap().is_closed && !is_closed(&holds), "one certificate alone closes nothing");
        }
        assert!(holds.issuer_inactive(issuer(), two, None, "406").opening.unwrap().is_closed);
        assert!(is_closed(&holds));
    }

    #[tokio::test(start_paused = true)]
    async fn a_local_finding_applies_until_recorded_or_expired() {
        let holds = holds();
        for id in [1, 2] {
            holds.issuer_inactive(issuer(), CertificateId([id; 32]), None, "406");
        }
        holds.refresh(vec![]);
        assert!(is_closed(&holds), "the ledger may not have it yet");
        holds.refresh(vec![open(issuer(), true, false)]);
        assert!(is_closed(&holds));
        holds.refresh(vec![]);
        assert!(!is_closed(&holds), "the ledger had it and no longer has it");
        for id in [1, 2] {
            holds.issuer_inactive(issuer(), CertificateId([id; 32]), None, "406");
        }
        tokio::time::advance(PROBE).await;
        holds.refresh(vec![]);
        assert!(holds.is_empty());
    }

    #[tokio::test]
    async fn a_recorded_hold_follows_the_ledger() {
        let holds = holds();
        holds.issuer_inactive(issuer(), CertificateId([1; 32]), None, "406");
        let parking = holds.issuer_inactive(issuer(), CertificateId([2; 32]), None, "406");
        holds.recorded(&parking);
        assert!(is_closed(&holds));
        holds.refresh(vec![]);
        assert!(!is_closed(&holds), "it was released before it was read here");
    }

    #[tokio::test]
    async fn a_job_is_not_held_by_the_hold_it_probes() {
        let holds = holds();
        holds.refresh(vec![open(issuer(), true, true)]);
        assert!(matches!(holds.gate(&[issuer()], &[]), Gate::ProbeDue(..)));
        assert_eq!(holds.gate(&[issuer()], &[issuer()]), Gate::Open);
    }

    #[tokio::test]
    async fn a_hold_that_is_not_closed_blocks_no_job_but_can_be_released() {
        let holds = holds();
        holds.refresh(vec![open(issuer(), false, true)]);
        assert_eq!(holds.gate(&[issuer()], &[]), Gate::Open);
        holds.note_success(&[issuer(), HoldKey::batch(&"b".parse().unwrap())]);
        assert_eq!(holds.take_releases(), [issuer()]);
        assert!(holds.take_releases().is_empty());
    }

    #[tokio::test]
    async fn everything_is_paused_if_all_or_each_target_is() {
        let holds = holds();
        let (a, b): (Name, Name) = ("a".parse().unwrap(), "b".parse().unwrap());
        let is_paused = |paused: &[HoldKey]| {
            holds.refresh(paused.iter().map(|hold| open(hold.clone(), true, false)).collect());
            holds.is_paused([&a, &b].into_iter())
        };
        assert!(!is_paused(&[]));
        assert!(!is_paused(&[HoldKey::pause_target(&a), HoldKey::pause_batch(&b)]));
        assert!(is_paused(&[HoldKey::pause_target(&a), HoldKey::pause_target(&b)]));
        assert!(is_paused(&[HoldKey::pause_all()]));
        holds.note_success(&[HoldKey::pause_all()]);
        assert!(holds.take_releases().is_empty(), "a call that was in progress resumes nothing");
    }

    #[tokio::test]
    async fn only_the_failing_batch_is_held() {
        let holds = holds();
        let (failing, healthy): (Name, Name) = ("failing".parse().unwrap(), "healthy".parse().unwrap());
        for _ in 0..200 {
            holds.note_outcome(&failing, Code::CertificateValidation);
            holds.note_outcome(&healthy, Code::Ok);
        }
        assert!(matches!(holds.gate(&[HoldKey::batch(&failing)], &[]), Gate::Closed(..)));
        assert_eq!(holds.gate(&[HoldKey::batch(&healthy)], &[]), Gate::Open);
    }
}
