//! Resends parked jobs: one as a probe if no live job serves as one, all of them once their hold is released, and those
//! of a busy target as room becomes free.
//!
//! Transactional outbox: the ledger row stops waiting only after SQS accepted the message. A crash in between sends a
//! job twice, which is harmless. Only one worker at a time resends the jobs of a released hold, under a lease.

mod call;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::aws::queue::{EntryError, Queue, QueueError};
use crate::health::board::Board;
use crate::ledger::hold::OverdueProbe;
use crate::ledger::waiting::{ReleaseLease, WaitingJob};
use crate::ledger::{Ledger, LedgerError};
use crate::quota::by_target::PermitPools;
use crate::runtime::backoff::Backoff;
use crate::runtime::crash_point;
use crate::telemetry::metrics::Metrics;
use muster_core::hold::{HoldKey, HoldKind};

use call::{SendCall, calls};

/// How often the holds are read. For this long a worker may still park jobs, or call for them, after another worker or
/// an operator changed a hold.
const EVERY: Duration = Duration::from_secs(1);

/// Maximum number of holds probed between two reads: a pause or a release must be seen soon.
const PROBES_MAX: usize = 10;

/// Maximum number of jobs read at a time.
const PAGE_MAX: u32 = 100;

/// Maximum number of rows of a replay that are marked in one turn: about a second of work, after which other holds get
/// their turn.
const CHOSEN_MAX: u32 = 1000;

/// Maximum number of concurrent calls to SQS. More would be faster, but live work comes first.
const CALLS_MAX: usize = 4;

/// Length of the lease on a released hold, renewed with every page. If a worker is killed, its jobs wait this much
/// longer.
const LEASE: Duration = Duration::from_secs(10);

/// Upper bounds of the first and of any later wait after an error (exponential backoff with full jitter).
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Resends parked jobs.
#[derive(Clone, Debug)]
pub struct Resender {
    /// The ledger.
    pub ledger: Ledger,
    /// The queue that resent jobs go to.
    pub queue: Queue,
    /// The board, whose view of the holds is kept fresh here.
    pub board: Board,
    /// The permit pools of all targets.
    pub pools: PermitPools,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// Why jobs are resent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum ResendReason {
    /// To probe whether the hold can be released.
    Probe,
    /// The hold was released.
    Release,
    /// A busy target has room.
    Room,
    /// An operator asked for it.
    Replay,
}

/// Why jobs could not be resent for now.
#[derive(Debug, thiserror::Error)]
enum ResendFailure {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("SendMessageBatch: {0}")]
    Entry(#[from] EntryError),
}

impl Resender {
    /// Runs until the future is dropped.
    pub async fn run(self) {
        tokio::join!(self.watch(), self.send_released());
    }

    /// Keeps this worker's view of the holds fresh, releases holds whose cause is gone, and has the others probed.
    async fn watch(&self) {
        let mut releases = Vec::new();
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            match self.check(&mut releases).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    self.report(&error, "cannot check the holds");
                    backoff.wait().await;
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Checks the holds once. Holds to be released stay in `releases` until the ledger has recorded their release.
    async fn check(&self, releases: &mut Vec<HoldKey>) -> Result<(), ResendFailure> {
        if self.ledger.heal_holds().await? > 0 {
            warn!("the ledger's clock was wrong or was set back: affected holds are probed again");
        }
        self.board.holds.refresh(self.ledger.open_holds().await?);
        releases.extend(self.board.holds.take_releases());
        let n = self.ledger.release(releases).await?;
        releases.clear();
        if n > 0 {
            info!(holds = n, "released holds");
        }
        let excluded = [self.board.not_ours_to_probe(), self.without_room()].concat();
        for _ in 0..PROBES_MAX {
            let Some(OverdueProbe { hold, may_send }) = self.ledger.claim_overdue_probe(&excluded).await? else {
                break;
            };
            if !may_send {
                self.release_if_empty(&hold).await?;
            } else if hold.kind() == Some(HoldKind::Busy) {
                self.refill(&hold).await?;
            } else {
                self.probe(&hold).await?;
            }
        }
        Ok(())
    }

    /// Returns the holds of busy targets that have enough work here.
    fn without_room(&self) -> Vec<HoldKey> {
        let full = self.pools.iter().filter(|(_, _, permits)| !permits.is_short_of_work());
        full.map(|(target, operation, _)| HoldKey::busy(target, operation)).collect()
    }

    /// Resends as many jobs of a busy target as it has room for. Releases the hold if no job is left.
    async fn refill(&self, hold: &HoldKey) -> Result<(), ResendFailure> {
        let mut own = self.pools.iter().filter(|(target, operation, _)| HoldKey::busy(target, *operation) == *hold);
        // Another worker serves the target.
        let Some((_, _, permits)) = own.next() else { return Ok(()) };
        let mut n_left = u32::try_from(permits.demand()).unwrap_or(u32::MAX).max(1);
        while n_left > 0 {
            let jobs = self.ledger.waiting(hold, None, n_left.min(PAGE_MAX)).await?;
            if jobs.is_empty() {
                self.ledger.release_at_once(hold).await?;
                return Ok(());
            }
            n_left -= u32::try_from(jobs.len()).unwrap_or(n_left);
            self.send(hold, jobs, ResendReason::Room).await?;
        }
        Ok(())
    }

    /// Releases a hold that no job waits for: the next job that arrives serves as the probe. Otherwise returns one
    /// waiting job.
    async fn release_if_empty(&self, hold: &HoldKey) -> Result<Vec<WaitingJob>, ResendFailure> {
        let jobs = self.ledger.waiting(hold, None, 1).await?;
        if jobs.is_empty() {
            self.ledger.release_at_once(hold).await?;
        }
        Ok(jobs)
    }

    /// Resends one job of a hold as a half-open probe.
    async fn probe(&self, hold: &HoldKey) -> Result<(), ResendFailure> {
        let jobs = self.release_if_empty(hold).await?;
        if jobs.is_empty() {
            return Ok(());
        }
        info!(%hold, "resending one job as a probe");
        self.send(hold, jobs, ResendReason::Probe).await
    }

    /// Resends the jobs of released holds, one hold after the other.
    async fn send_released(&self) {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            let sent = match self.ledger.claim_released(LEASE).await {
                Ok(Some(lease)) => self.send_hold(lease).await,
                Ok(None) => {
                    tokio::time::sleep(EVERY).await;
                    Ok(())
                }
                Err(error) => Err(error.into()),
            };
            match sent {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    self.report(&error, "cannot resend parked jobs");
                    backoff.wait().await;
                }
            }
        }
    }

    /// Resends the jobs of one hold, and gives up the lease if that fails or jobs are left.
    async fn send_hold(&self, lease: ReleaseLease) -> Result<(), ResendFailure> {
        let hold = lease.hold.clone();
        let mut held = Some(lease);
        let sent = self.take_turn(&hold, &mut held).await;
        let is_done = match sent {
            Ok(is_last) => is_last && self.ledger.finish(&hold).await?,
            Err(_) => false,
        };
        if let Some(lease) = held.filter(|_| !is_done) {
            self.ledger.renew(&lease, Duration::ZERO).await?;
        }
        sent.map(drop)
    }

    /// Resends the jobs that wait for a hold; for a replay, chooses its next jobs first. Returns whether nothing is
    /// left to choose.
    async fn take_turn(&self, hold: &HoldKey, held: &mut Option<ReleaseLease>) -> Result<bool, ResendFailure> {
        let Some(number) = hold.replay_number() else {
            return self.send_pages(hold, held, ResendReason::Release).await.map(|()| true);
        };
        let is_last = self.ledger.choose(number, CHOSEN_MAX).await?;
        crash_point::reached("chosen");
        self.send_pages(hold, held, ResendReason::Replay).await?;
        Ok(is_last)
    }

    /// Resends jobs page by page (keyset pagination), while the lease is held and jobs wait.
    async fn send_pages(
        &self,
        hold: &HoldKey,
        held: &mut Option<ReleaseLease>,
        reason: ResendReason,
    ) -> Result<(), ResendFailure> {
        let mut last = None;
        while let Some(lease) = held {
            *held = self.ledger.renew(lease, LEASE).await?;
            if held.is_none() {
                warn!(%hold, "lost the lease on a hold: it was opened again, or another worker resends its jobs");
                break;
            }
            let jobs = self.ledger.waiting(hold, last.as_ref(), PAGE_MAX).await?;
            let Some(job) = jobs.last() else { break };
            last = Some(job.clone());
            info!(%hold, jobs = jobs.len(), "resending jobs");
            self.send(hold, jobs, reason).await?;
        }
        Ok(())
    }

    /// Resends jobs, up to [`CALLS_MAX`] calls at a time. Jobs that cannot be sent stop waiting too.
    async fn send(&self, hold: &HoldKey, jobs: Vec<WaitingJob>, reason: ResendReason) -> Result<(), ResendFailure> {
        // Before the messages exist: jobs that are being resent must not count as missing.
        self.ledger.note_activity().await?;
        let (ready, unreadable) = calls(jobs);
        self.set_aside(hold, &unreadable.iter().collect::<Vec<_>>()).await?;
        let mut in_progress = JoinSet::new();
        let mut sent = Ok(());
        for call in ready {
            if in_progress.len() == CALLS_MAX {
                sent = sent.and(join_next(&mut in_progress).await);
            }
            let (resender, hold) = (self.clone(), hold.clone());
            in_progress.spawn(async move { resender.make(call, &hold, reason).await });
        }
        while !in_progress.is_empty() {
            sent = sent.and(join_next(&mut in_progress).await);
        }
        sent
    }

    /// Makes one call to SQS and records its result for each job.
    async fn make(&self, call: SendCall, hold: &HoldKey, reason: ResendReason) -> Result<(), ResendFailure> {
        let answer = self.queue.send(&call.messages).await;
        crash_point::reached("sent_again");
        self.metrics.sqs_request("SendMessageBatch", &answer);
        let (mut accepted, mut refused, mut failed) = (vec![], vec![], Ok(()));
        for (job, result) in call.jobs.iter().zip(answer?) {
            match result {
                Ok(()) => accepted.push(job),
                Err(error) if error.is_final() => {
                    error!(%error, batch = job.batch, subject = hex::encode(job.subject), "SQS rejects a parked job");
                    refused.push(job);
                }
                Err(error) => failed = Err(error.into()),
            }
        }
        self.metrics.jobs_sent_again.with_label_values(&[<&str>::from(reason)]).inc_by(accepted.len() as u64);
        self.ledger.mark_resent(hold, &accepted).await?;
        self.set_aside(hold, &refused).await?;
        failed
    }

    /// Stops jobs that cannot be sent from waiting, because they would be retried forever.
    async fn set_aside(&self, hold: &HoldKey, jobs: &[&WaitingJob]) -> Result<(), ResendFailure> {
        self.ledger.mark_unsendable(hold, jobs).await?;
        Ok(())
    }

    fn report(&self, failure: &ResendFailure, message: &str) {
        if let ResendFailure::Ledger(error) = failure {
            self.metrics.db_error(error);
        }
        warn!(error = %failure, "{message}, retrying");
    }
}

/// Returns the result of the next call to finish.
async fn join_next(calls: &mut JoinSet<Result<(), ResendFailure>>) -> Result<(), ResendFailure> {
    match calls.join_next().await {
        Some(Ok(sent)) => sent,
        // A call that panicked has recorded nothing: its jobs still wait.
        Some(Err(_)) | None => Ok(()),
    }
}
