//! Decides when a job may call: a permit is taken only for a call that can succeed.
//!
//! A job waits while the ledger accepts no outcomes, everything is paused or no target works. If only its issuer, batch
//! or target is held or paused, it is parked. Jobs that already wait for a permit react at once to anything that opens
//! or closes meanwhile.

use tokio::time::Instant;
use tracing::warn;

use super::{Admitted, Worker};
use crate::health::breaker::{Pass, Probe};
use crate::health::hold_view::Gate;
use crate::ledger::rate_limit::Quota;
use crate::quota::permits::{Permit, PermitPool};
use crate::runtime::sleep_until;
use crate::telemetry::metrics::Stage;
use muster_core::hold::{HoldKey, Parking};
use muster_core::job::{Name, Operation};

/// What a job may do.
pub(super) enum Admission {
    /// It has a permit and calls, possibly as a half-open probe.
    Call(Permit, Option<Probe>),
    /// It is parked, for the given reason.
    Park(Parking, String),
}

/// The result of one look at the board.
enum Inspection {
    /// Only a permit is missing.
    Free(Option<Probe>),
    /// The hold is due for a probe, if the ledger grants it to this job.
    MayProbe(Parking, String),
    Park(Parking, String),
    /// The job must wait until the board changes or, if given, until the instant.
    Wait(Option<Instant>),
}

impl Worker {
    /// Waits until a job may call and takes its permit; returns `None` if the process stops before. `probed` remembers
    /// the holds that the job probes.
    pub(super) async fn admit(&self, admitted: &Admitted, probed: &mut Vec<HoldKey>) -> Option<Admission> {
        let permits = self.parts.pools.of(&admitted.job.target, admitted.job.operation());
        let _wait = permits.wait();
        let mut watch = self.parts.board.changes.watch();
        loop {
            match self.inspect(admitted, probed) {
                Inspection::Park(parking, reason) => return Some(Admission::Park(parking, reason)),
                Inspection::MayProbe(parking, reason) => {
                    if !self.claim_probe(&parking.hold, admitted).await {
                        return Some(Admission::Park(parking, reason));
                    }
                    probed.push(parking.hold);
                }
                Inspection::Wait(until) => tokio::select! {
                    biased;
                    () = self.parts.stop.cancelled() => return None,
                    () = watch.changed() => {}
                    () = sleep_until(until) => {}
                },
                Inspection::Free(probe) => tokio::select! {
                    biased;
                    () = self.parts.stop.cancelled() => return None,
                    // Dropping the wait loses the job's position in the queue, but no permit.
                    () = watch.changed(), if probe.is_none() => {}
                    permit = self.acquire(permits) => return Some(Admission::Call(permit, probe)),
                },
            }
        }
    }

    /// Parks a job whose target has more jobs than it can start, if it takes slots from a working target that is
    /// underfed.
    pub(super) fn make_room(&self, admitted: &Admitted) -> Option<Parking> {
        let (target, operation) = (&admitted.job.target, admitted.job.operation());
        let works = |target: &Name, operation: Operation| self.parts.board.works(target, operation);
        let is_in_the_way = self.parts.pools.is_in_the_way(target, operation, works);
        is_in_the_way.then(|| self.parts.board.holds.target_busy(HoldKey::busy(target, operation)))
    }

    fn inspect(&self, admitted: &Admitted, probed: &[HoldKey]) -> Inspection {
        let board = &self.parts.board;
        if board.postgres.open().is_some() || board.is_paused() {
            return Inspection::Wait(None);
        }
        if !board.holds.is_empty() {
            match board.holds.gate(&admitted.holds(), probed) {
                Gate::Closed(parking, reason) => return Inspection::Park(parking, reason),
                Gate::ProbeDue(parking, reason) => return Inspection::MayProbe(parking, reason),
                Gate::Open => {}
            }
        }
        let (target, operation) = (&admitted.job.target, admitted.job.operation());
        let breaker = board.of(target, operation);
        match breaker.pass() {
            Pass::Free => Inspection::Free(None),
            Pass::Probe(probe) => Inspection::Free(Some(probe)),
            Pass::Closed(_) if board.others_work(target, operation) => {
                let reason = breaker.open().map_or_else(String::new, |open| open.reason);
                let hold = HoldKey::target(target, operation);
                Inspection::Park(board.holds.target_unavailable(hold, &reason), reason)
            }
            Pass::Closed(until) => Inspection::Wait(until),
        }
    }

    /// Asks the ledger for the right to be the one probe of a hold in the whole fleet.
    async fn claim_probe(&self, hold: &HoldKey, admitted: &Admitted) -> bool {
        self.parts.board.holds.probe_requested(hold);
        let account = self.parts.targets[admitted.job.target.as_str()].account.clone();
        let quota = Quota { account, operation: admitted.job.operation() };
        let claimed = self.parts.ledger.claim_probe(hold, &quota).await;
        claimed.inspect_err(|error| warn!(%error, %hold, "cannot ask the ledger for a probe")).unwrap_or(false)
    }

    /// Waits for a permit.
    async fn acquire(&self, permits: &PermitPool) -> Permit {
        let began = Instant::now();
        let permit = permits.acquire().await;
        let waited = began.elapsed();
        self.parts.metrics.limiter_wait.observe(waited.as_secs_f64());
        self.parts.metrics.stage(Stage::Waiting, waited);
        permit
    }
}

impl Admitted {
    /// Returns the keys of all holds that could hold this job.
    pub(super) fn holds(&self) -> Vec<HoldKey> {
        let job = &self.job;
        let paused = [HoldKey::pause_batch(&job.batch), HoldKey::pause_target(&job.target)];
        let others = [HoldKey::batch(&job.batch), HoldKey::target(&job.target, job.operation())];
        paused.into_iter().chain(self.issuer_hold()).chain(others).collect()
    }

    /// Returns the key of the hold on its issuer, or `None` if AWS does not look for a CA.
    pub(super) fn issuer_hold(&self) -> Option<HoldKey> {
        self.certificate.issuer_key().map(|key| HoldKey::issuer(&self.job.target, key))
    }
}
