//! Sends parked jobs again: one as a probe where no live job does it, all once what they wait for is over, those of a busy
//! target as it gets room for them.
//!
//! A job stops to wait only after SQS took its message; a crash in between sends it twice, which is harmless. Of several
//! workers, one sends for a released hold at a time, under a lease.

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

/// How often the holds are looked at: so long may a worker park jobs, or call for them, after another knew better.
const EVERY: Duration = Duration::from_secs(1);

/// Most holds that are probed in one look: what somebody pauses or releases must be seen soon.
const PROBES_MAX: usize = 10;

/// How many jobs are read at a time.
const PAGE_MAX: u32 = 100;

/// How many rows of a replay are marked at a time: a turn of about a second, after which other holds have theirs.
const CHOSEN_MAX: u32 = 1000;

/// Most calls of SQS at a time: as fast as SQS takes them is not wanted, live work comes first.
const CALLS_MAX: usize = 4;

/// How long nobody else sends for a hold; renewed with every page. So long the jobs of a worker that was killed wait
/// more.
const LEASE: Duration = Duration::from_secs(10);

/// Longest first wait and longest wait after an error.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Sends parked jobs again.
#[derive(Clone, Debug)]
pub struct Resender {
    /// The ledger.
    pub ledger: Ledger,
    /// Where fresh messages go.
    pub queue: Queue,
    /// What holds calls back.
    pub board: Board,
    /// The tokens of every target.
    pub pools: PermitPools,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// Why jobs are sent again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum ResendReason {
    /// To see whether the hold is over.
    Probe,
    /// The hold is over.
    Release,
    /// A busy target has room.
    Room,
    /// Somebody asked for it.
    Replay,
}

/// Why jobs could not be sent again for now.
#[derive(Debug, thiserror::Error)]
enum ResendFailure {
    #[error(transparent)]
    Store(#[from] LedgerError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("SendMessageBatch: {0}")]
    Entry(#[from] EntryError),
}

impl Resender {
    /// Works until it is dropped.
    pub async fn run(self) {
        tokio::join!(self.watch(), self.send_released());
    }

    /// Keeps this worker's view of the holds fresh, ends those that are over and has the others probed.
    async fn watch(&self) {
        let mut over = Vec::new();
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            match self.look(&mut over).await {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    self.note(&error, "cannot look at the holds");
                    backoff.wait().await;
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Looks once. What is over stays in `over` until the ledger has it.
    async fn look(&self, over: &mut Vec<HoldKey>) -> Result<(), ResendFailure> {
        if self.ledger.heal_holds().await? > 0 {
            warn!("the clock of the ledger was set back: holds are probed anew");
        }
        self.board.holds.refresh(self.ledger.open_holds().await?);
        over.extend(self.board.holds.take_releases());
        let n = self.ledger.release(over).await?;
        over.clear();
        if n > 0 {
            info!(holds = n, "holds are over");
        }
        let not = [self.board.not_ours_to_probe(), self.without_room()].concat();
        for _ in 0..PROBES_MAX {
            let Some(OverdueProbe { hold, may_send }) = self.ledger.claim_overdue_probe(&not).await? else { break };
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

    /// The holds of busy targets that have enough work here.
    fn without_room(&self) -> Vec<HoldKey> {
        let full = self.pools.iter().filter(|(_, _, permits)| !permits.is_short_of_work());
        full.map(|(target, operation, _)| HoldKey::busy(target, operation)).collect()
    }

    /// Sends as many jobs of a busy target again as it has room for. Where none is left, the hold is over.
    async fn refill(&self, hold: &HoldKey) -> Result<(), ResendFailure> {
        let mut its = self.pools.iter().filter(|(target, operation, _)| HoldKey::busy(target, *operation) == *hold);
        // Another worker serves the target.
        let Some((_, _, permits)) = its.next() else { return Ok(()) };
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

    /// Ends a hold for which nothing waits: the next job that comes finds out. Otherwise gives back one that waits.
    async fn release_if_empty(&self, hold: &HoldKey) -> Result<Vec<WaitingJob>, ResendFailure> {
        let jobs = self.ledger.waiting(hold, None, 1).await?;
        if jobs.is_empty() {
            self.ledger.release_at_once(hold).await?;
        }
        Ok(jobs)
    }

    /// Sends one job of a hold again, so that a worker lets it through.
    async fn probe(&self, hold: &HoldKey) -> Result<(), ResendFailure> {
        let jobs = self.release_if_empty(hold).await?;
        if jobs.is_empty() {
            return Ok(());
        }
        info!(%hold, "sending one job again as a probe");
        self.send(hold, jobs, ResendReason::Probe).await
    }

    /// Sends the jobs of released holds, one hold after the other.
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
                    self.note(&error, "cannot send parked jobs again");
                    backoff.wait().await;
                }
            }
        }
    }

    /// Sends the jobs of one hold, and gives the lease up where that fails or something is left.
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

    /// Sends what waits for a hold, a replay's next jobs among it; tells whether nothing more is to come.
    async fn take_turn(&self, hold: &HoldKey, held: &mut Option<ReleaseLease>) -> Result<bool, ResendFailure> {
        let Some(number) = hold.replay_number() else {
            return self.send_pages(hold, held, ResendReason::Release).await.map(|()| true);
        };
        let is_last = self.ledger.choose(number, CHOSEN_MAX).await?;
        crash_point::reached("chosen");
        self.send_pages(hold, held, ResendReason::Replay).await?;
        Ok(is_last)
    }

    /// Sends page by page, for as long as the lease is ours and something waits.
    async fn send_pages(
        &self,
        hold: &HoldKey,
        held: &mut Option<ReleaseLease>,
        cause: ResendReason,
    ) -> Result<(), ResendFailure> {
        let mut last = None;
        while let Some(lease) = held {
            *held = self.ledger.renew(lease, LEASE).await?;
            if held.is_none() {
                warn!(%hold, "the hold began anew, or another worker sends its jobs");
                break;
            }
            let jobs = self.ledger.waiting(hold, last.as_ref(), PAGE_MAX).await?;
            let Some(job) = jobs.last() else { break };
            last = Some(job.clone());
            info!(%hold, jobs = jobs.len(), "sending jobs again");
            self.send(hold, jobs, cause).await?;
        }
        Ok(())
    }

    /// Sends jobs, several calls at a time. What cannot be sent stops to wait too.
    async fn send(&self, hold: &HoldKey, jobs: Vec<WaitingJob>, cause: ResendReason) -> Result<(), ResendFailure> {
        // Before the messages are there: what is being resent must not count as missing.
        self.ledger.note_activity().await?;
        let (ready, unreadable) = calls(jobs);
        self.set_aside(hold, &unreadable.iter().collect::<Vec<_>>()).await?;
        let mut under_way = JoinSet::new();
        let mut sent = Ok(());
        for call in ready {
            if under_way.len() == CALLS_MAX {
                sent = sent.and(join_next(&mut under_way).await);
            }
            let (resender, hold) = (self.clone(), hold.clone());
            under_way.spawn(async move { resender.make(call, &hold, cause).await });
        }
        while !under_way.is_empty() {
            sent = sent.and(join_next(&mut under_way).await);
        }
        sent
    }

    /// Makes one call, and notes of each job what SQS said.
    async fn make(&self, call: SendCall, hold: &HoldKey, cause: ResendReason) -> Result<(), ResendFailure> {
        let answer = self.queue.send(&call.messages).await;
        crash_point::reached("sent_again");
        self.metrics.sqs_request("SendMessageBatch", &answer);
        let (mut taken, mut refused, mut failed) = (vec![], vec![], Ok(()));
        for (job, result) in call.jobs.iter().zip(answer?) {
            match result {
                Ok(()) => taken.push(job),
                Err(error) if error.is_final() => {
                    error!(%error, batch = job.batch, subject = hex::encode(job.subject), "SQS refuses a parked job");
                    refused.push(job);
                }
                Err(error) => failed = Err(error.into()),
            }
        }
        self.metrics.jobs_sent_again.with_label_values(&[<&str>::from(cause)]).inc_by(taken.len() as u64);
        self.ledger.sent_again(hold, &taken).await?;
        self.set_aside(hold, &refused).await?;
        failed
    }

    /// Lets jobs that cannot be sent wait no more, as they would be tried for ever.
    async fn set_aside(&self, hold: &HoldKey, jobs: &[&WaitingJob]) -> Result<(), ResendFailure> {
        self.ledger.unsendable(hold, jobs).await?;
        Ok(())
    }

    fn note(&self, failure: &ResendFailure, message: &str) {
        if let ResendFailure::Store(error) = failure {
            self.metrics.db_error(error);
        }
        warn!(error = %failure, "{message}, trying again");
    }
}

/// What the next finished call came to.
async fn join_next(calls: &mut JoinSet<Result<(), ResendFailure>>) -> Result<(), ResendFailure> {
    match calls.join_next().await {
        Some(Ok(sent)) => sent,
        // A call that panicked has noted nothing: its jobs still wait.
        Some(Err(_)) | None => Ok(()),
    }
}
