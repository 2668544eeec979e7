//! Brings jobs to an outcome: precheck, ledger look-up, permit, RegisterCertificate with its retries.
//!
//! A worker never fails: every path ends in an [`Outcome`], or releases the message because the process is stopping.
//! Only a [`CheckedCertificate`] can reach AWS, and one permit is one call.

mod admission;
mod call;
mod existing;
mod judge;
mod namesakes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::aws::attempts::{Attempts, ExistingCertificate};
use crate::aws::target_client::TargetClient;
use crate::config::retry_policy::RetryPolicy;
use crate::engine::recorder::{Finish, Finished};
use crate::engine::single_flight::{Claim, Claimed, Join, SingleFlight};
use crate::engine::slots::Delivery;
use crate::engine::throttles::Throttles;
use crate::health::board::Board;
use crate::health::clock::Clock;
use crate::ledger::{Ledger, LedgerError};
use crate::quota::by_target::PermitPools;
use crate::runtime::backoff::Backoff;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::Stage;
use muster_core::account::Account;
use muster_core::hold::Parking;
use muster_core::job::{Job, Name};
use muster_core::outcome::known::{copy_of, known_outcome};
use muster_core::outcome::{Code, Outcome};
use muster_core::precheck::{CheckedCertificate, Precheck};

use namesakes::Namesakes;

pub use namesakes::limit_advice;

/// Upper bounds of the first and of any later wait before a query to the ledger is retried (exponential backoff with
/// full jitter).
const LOOK_UP_WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// One account and region, and the client that registers there.
#[derive(Clone, Debug)]
pub struct ServedTarget {
    /// The account and region.
    pub account: Account,
    /// The client.
    pub client: Arc<TargetClient>,
}

/// What a worker needs.
#[derive(Debug)]
pub struct WorkerParts {
    /// The targets by name.
    pub targets: HashMap<String, ServedTarget>,
    /// The permit pools of each target and operation.
    pub pools: PermitPools,
    /// The precheck.
    pub precheck: Precheck,
    /// The time that the precheck judges by.
    pub clock: Clock,
    /// The ledger, which is asked for known certificates.
    pub ledger: Ledger,
    /// The board.
    pub board: Board,
    /// How often and after which waits a call is retried.
    pub retry: RetryPolicy,
    /// Takes finished deliveries.
    pub recorder: mpsc::Sender<Finished>,
    /// Counts throttled calls for the history.
    pub throttles: Throttles,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Stops the worker when cancelled: messages of jobs that have not started are released.
    pub stop: CancellationToken,
    /// Tracks the jobs' tasks.
    pub tasks: TaskTracker,
}

/// The worker; clones share everything.
#[derive(Clone, Debug)]
pub struct Worker {
    parts: Arc<WorkerParts>,
    flights: SingleFlight,
    namesakes: Arc<Namesakes>,
}

/// A job that passed the precheck.
#[derive(Debug)]
struct Admitted {
    delivery: Delivery,
    job: Job,
    certificate: CheckedCertificate,
}

impl Worker {
    /// Creates a worker.
    pub fn new(parts: WorkerParts) -> Self {
        Self { parts: Arc::new(parts), flights: SingleFlight::default(), namesakes: Arc::default() }
    }

    /// Returns whether a target is configured here.
    pub fn serves(&self, target: &Name) -> bool {
        self.parts.targets.contains_key(target.as_str())
    }

    /// Brings the jobs of one receive to an outcome, in separate tasks.
    pub fn take(&self, jobs: Vec<(Delivery, Job)>) {
        // A CA may wait for its account's registration code; devices must not wait with it.
        let (of_cas, of_devices): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|(_, job)| job.operation().is_of_ca());
        for jobs in [of_devices, of_cas].into_iter().filter(|jobs| !jobs.is_empty()) {
            let worker = self.clone();
            self.spawn(async move {
                let mut admitted = Vec::with_capacity(jobs.len());
                for (delivery, job) in jobs {
                    admitted.extend(worker.precheck(delivery, job).await);
                }
                worker.claim(admitted).await;
            });
        }
    }

    /// Spawns a task that the drain waits for. If it panics, its messages become visible again by themselves.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let panics = CountPanic(self.parts.metrics.job_panics.clone());
        self.parts.tasks.spawn(async move {
            let _panics = panics;
            task.await;
        });
    }

    /// Single-flight: continues with jobs whose certificate no other job in this process works on; the others wait for
    /// its outcome.
    async fn claim(&self, admitted: Vec<Admitted>) {
        let mut firsts = Vec::with_capacity(admitted.len());
        for admitted in admitted {
            match self.flights.claim(&admitted.job, admitted.certificate.id()) {
                Claimed::First(claim) => firsts.push((admitted, claim)),
                Claimed::Joined(join) => self.join(admitted, join),
            }
        }
        self.look_up(firsts).await;
    }

    /// Waits for the outcome of the first copy and takes it over; if that one gave up, claims the certificate again.
    fn join(&self, admitted: Admitted, join: Join) {
        let worker = self.clone();
        self.spawn(async move {
            admitted.delivery.slot.enter(Stage::Waiting);
            let outcome = tokio::select! {
                outcome = join.outcome(admitted.job.operation()) => outcome,
                () = worker.parts.stop.cancelled() => return worker.release(admitted.delivery).await,
            };
            match outcome {
                Some(outcome) => {
                    let wanted = admitted.job.request.wanted_status();
                    let outcome = copy_of(outcome, admitted.certificate.id(), wanted);
                    worker.finish(admitted.delivery, admitted.job, outcome, None).await;
                }
                None => Box::pin(worker.claim(vec![admitted])).await,
            }
        });
    }

    /// Finishes the jobs whose certificate is already registered, with one look-up per target and operation, and calls
    /// AWS for the others.
    async fn look_up(&self, firsts: Vec<(Admitted, Claim)>) {
        let mut by_target: HashMap<_, Vec<(Admitted, Claim)>> = HashMap::new();
        for first in firsts {
            let job = &first.0.job;
            by_target.entry((job.target.to_string(), job.operation())).or_default().push(first);
        }
        for ((target, operation), firsts) in by_target {
            let ids = firsts.iter().filter(|(admitted, _)| !admitted.job.verify);
            let ids: Vec<_> = ids.map(|(admitted, _)| admitted.certificate.id()).collect();
            let account = &self.parts.targets[&target].account;
            let ask = || self.parts.ledger.known(&account.id, &account.region, operation, &ids);
            let Some(known) = self.ask_ledger(ask).await else {
                for (admitted, _) in firsts {
                    self.release(admitted.delivery).await;
                }
                continue;
            };
            for (admitted, claim) in firsts {
                let known = known.get(&admitted.certificate.id());
                // A job without `verify` in this group may have asked for the same certificate.
                match known.filter(|_| !admitted.job.verify) {
                    Some(&status) => {
                        let wanted = admitted.job.request.wanted_status();
                        let outcome = known_outcome(admitted.certificate.id(), status, wanted);
                        self.finish(admitted.delivery, admitted.job, outcome, Some(claim)).await;
                    }
                    None => self.start(admitted, claim),
                }
            }
        }
    }

    /// Asks the ledger until it answers: nothing is decided without it, and no permit is taken while an outcome could
    /// not be recorded. Returns `None` if the process is stopping.
    async fn ask_ledger<T, F: Future<Output = Result<T, LedgerError>>>(&self, ask: impl Fn() -> F) -> Option<T> {
        let mut backoff = Backoff::new(LOOK_UP_WAITS.0, LOOK_UP_WAITS.1);
        let mut failing = None;
        loop {
            match ask().await {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    self.parts.metrics.db_error(&error);
                    warn!(%error, "cannot query the ledger, retrying");
                    failing.get_or_insert_with(|| self.parts.board.postgres.failing(&error.to_string()));
                }
            }
            tokio::select! {
                () = backoff.wait() => {}
                () = self.parts.stop.cancelled() => return None,
            }
        }
    }

    /// Calls AWS for a job, in a separate task.
    fn start(&self, mut admitted: Admitted, claim: Claim) {
        let worker = self.clone();
        self.spawn(async move {
            match worker.register(&mut admitted).await {
                Some(outcome) => worker.finish(admitted.delivery, admitted.job, outcome, Some(claim)).await,
                None => worker.release(admitted.delivery).await,
            }
        });
    }

    /// Passes an outcome to the recorder.
    async fn finish(&self, delivery: Delivery, job: Job, outcome: Outcome, claim: Option<Claim>) {
        if let Some(claim) = &claim {
            claim.settle(outcome.clone());
        }
        if outcome.n_attempts > 0 && (outcome.status().is_outcome() || self.is_new_lone_issuer(&outcome)) {
            self.parts.board.holds.note_outcome(&job.batch, outcome.code);
        }
        let account = self.parts.targets[job.target.as_str()].account.clone();
        let finish = Finish::Outcome { job: Box::new(job), account, outcome: Box::new(outcome), claim };
        self.send(Finished::new(delivery, finish)).await;
    }

    /// Returns whether a job is parked for an issuer that no other certificate has been seen of: a batch of only such
    /// certificates, for example self-signed ones, spends a call on each. A job that is resent as a probe was counted
    /// before, because its hold is known.
    fn is_new_lone_issuer(&self, outcome: &Outcome) -> bool {
        let Some(Parking { hold, opening: Some(opening) }) = &outcome.parking else { return false };
        outcome.code == Code::IssuerInactive && !opening.is_closed && !self.parts.board.holds.is_known(hold)
    }

    /// Releases a message.
    async fn release(&self, delivery: Delivery) {
        self.send(Finished::new(delivery, Finish::Released)).await;
    }

    async fn send(&self, finished: Finished) {
        // Fails only once the drain deadline has ended the recorder; then the message becomes visible again by itself.
        let _ = self.parts.recorder.send(finished).await;
    }
}

/// Counts a panic if it is dropped by one.
struct CountPanic(prometheus::IntCounter);

impl Drop for CountPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.inc();
        }
    }
}
