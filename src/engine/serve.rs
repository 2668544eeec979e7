//! The service: starts its parts in dependency order and drains them front to back.
//!
//! One cancellation stops the receivers; closed channels then stop the rest in turn: receivers, jobs, recorder,
//! heartbeat. If something hangs, a deadline ends the drain, and the messages still held are released.

mod connections;
mod descriptors;
mod quotas;
mod running;
mod targets;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::aws::queue::{Queue, QueueError};
use crate::config::Config;
use crate::engine::arrivals::Arrivals;
use crate::engine::backlog::Backlog;
use crate::engine::heartbeat::{self, Heartbeat};
use crate::engine::presence::{self, Presence};
use crate::engine::receiver::{Drained, Receiver};
use crate::engine::recorder::{Finished, Recorder};
use crate::engine::resender::Resender;
use crate::engine::slots::{Lane, Slots};
use crate::engine::throttles::Throttles;
use crate::engine::worker::{Worker, WorkerParts};
use crate::health::board::Board;
use crate::intake::ca_folder::known_cas;
use crate::ledger::workers::Identity;
use crate::ledger::{Ledger, retry_conflicts};
use crate::quota::by_target::PermitPools;
use crate::telemetry::metrics::Metrics;
use muster_core::job::Name;
use muster_core::precheck::Precheck;

use connections::Connections;
use quotas::Quotas;
use running::{Essential, Running};

/// Messages per second that one receiver fetches from SQS, assuming a receive of ten messages takes 50 ms.
const RECEIVER_RATE: f64 = 200.0;

/// Maximum number of concurrent receives on the main queue.
const RECEIVERS_MAX: usize = 16;

/// A worker that has started.
#[derive(Debug)]
pub struct Engine {
    running: Running,
    deadline: Duration,
    /// Set if `--until-empty` gave up because a queue could not be read.
    given_up: Arc<OnceLock<QueueError>>,
}

/// Whether a service keeps running when there is nothing to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Until {
    /// It keeps waiting for messages until it is stopped.
    Stopped,
    /// It stops once the queues are empty.
    Empty,
}

impl Engine {
    /// Runs until `stop` is cancelled, then drains.
    ///
    /// # Errors
    /// The drain deadline passed before everything was committed (held messages were then released), a part panicked,
    /// or a queue to be emptied cannot be read.
    pub async fn run(self) -> anyhow::Result<()> {
        self.running.stop.cancelled().await;
        info!(held = self.running.slots.held(), "stopping");
        self.running.drain(self.deadline).await?;
        match self.given_up.get() {
            Some(error) => Err(error.clone()).context("the queue cannot be read"),
            None => Ok(()),
        }
    }
}

/// A worker that is connected to its dependencies but does not receive yet; its parts share these fields.
pub struct Connected<'a> {
    config: &'a Config,
    connections: Connections,
    pools: PermitPools,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The slots, which hold the jobs in flight.
    pub slots: Slots,
    /// The board.
    pub board: Board,
    arrivals: Arrivals,
    throttles: Throttles,
    identity: Arc<Identity>,
    essential: Essential,
    n_slots: usize,
    /// Stops the worker when cancelled.
    pub stop: CancellationToken,
}

impl<'a> Connected<'a> {
    /// Connects to everything that the settings name and checks that the settings fit it.
    ///
    /// # Errors
    /// A dependency cannot be reached or used, or the settings do not fit it.
    pub async fn connect(config: &'a Config, stop: CancellationToken) -> anyhow::Result<Self> {
        let n_slots = descriptors::slots(config.worker.slots, config.database.max_connections);
        let metrics = Arc::new(Metrics::new());
        let board = board(config)?;
        let connections = Connections::connect(config).await?;
        for (target, reason) in &connections.targets.denied {
            board.denied(target, reason);
        }
        // Read before the first message, so that a pause applies from the start.
        board.holds.refresh(retry_conflicts(async || connections.ledger.open_holds().await).await?);
        let essential = Essential::new(stop.clone());
        let quotas = Quotas { ledger: &connections.ledger, board: &board, metrics: &metrics, essential: &essential };
        let pools = quotas.open(config, &connections.targets).await?;
        let slots = slots(n_slots, &connections, &pools);
        let (arrivals, throttles) = (Arrivals::default(), Throttles::default());
        let identity = Arc::new(presence::identity());
        Ok(Self {
            config,
            connections,
            pools,
            metrics,
            slots,
            board,
            arrivals,
            throttles,
            identity,
            essential,
            n_slots,
            stop,
        })
    }

    /// Starts receiving.
    ///
    /// # Errors
    /// The CA folder cannot be read.
    pub fn start(self, until: Until) -> anyhow::Result<Engine> {
        let (finished_sender, finished) = mpsc::channel(self.n_slots);
        let running = Running {
            receivers: TaskTracker::new(),
            jobs: TaskTracker::new(),
            recorder: tokio::spawn(self.essential.run(self.recorder().run(finished))),
            helpers: self.helpers(),
            broken: self.essential.broken.clone(),
            slots: self.slots.clone(),
            ledger: self.connections.ledger.clone(),
            identity: Arc::clone(&self.identity),
            throttles: self.throttles.clone(),
            stop: self.stop.clone(),
        };
        let worker = self.worker(finished_sender.clone(), running.jobs.clone())?;
        let given_up = Arc::default();
        let queues: Vec<Queue> = self.connections.queues().map(|queue| queue.queue.clone()).collect();
        let receiver = Receiver {
            queue: self.connections.main.queue.clone(),
            lane: Lane::Live,
            arrivals: self.arrivals.clone(),
            slots: self.slots.clone(),
            worker,
            board: self.board.clone(),
            recorder: finished_sender,
            metrics: Arc::clone(&self.metrics),
            stop: self.stop.clone(),
            wait: self.config.queue.wait.into(),
            until_empty: (until == Until::Empty).then(|| Drained {
                queues: queues.clone(),
                ledger: self.connections.ledger.clone(),
                given_up: Arc::clone(&given_up),
            }),
        };
        for queue in queues.into_iter().skip(1) {
            let receiver = Receiver { queue, lane: Lane::Replay, ..receiver.clone() };
            running.receivers.spawn(self.essential.run(receiver.run()));
        }
        for _ in 0..n_receivers(self.config.rate()) {
            running.receivers.spawn(self.essential.run(receiver.clone().run()));
        }
        let deadline = self.config.worker.drain_deadline.into();
        Ok(Engine { running, deadline, given_up })
    }

    /// Returns the settings.
    pub fn config(&self) -> &Config {
        self.config
    }

    /// Returns the ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.connections.ledger
    }

    /// Returns the main queue.
    pub fn queue(&self) -> &Queue {
        &self.connections.main.queue
    }

    fn recorder(&self) -> Recorder {
        Recorder {
            ledger: self.connections.ledger.clone(),
            board: self.board.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    fn worker(&self, recorder: mpsc::Sender<Finished>, tasks: TaskTracker) -> anyhow::Result<Worker> {
        let precheck = &self.config.precheck;
        Ok(Worker::new(WorkerParts {
            targets: self.connections.targets.by_name.clone(),
            pools: self.pools.clone(),
            precheck: Precheck::new(precheck.policy(), known_cas(precheck)?),
            clock: self.connections.targets.clock.clone(),
            ledger: self.connections.ledger.clone(),
            board: self.board.clone(),
            retry: self.config.retry.policy(),
            recorder,
            throttles: self.throttles.clone(),
            metrics: Arc::clone(&self.metrics),
            stop: self.stop.clone(),
            tasks,
        }))
    }

    /// Starts the background tasks that run as long as there are jobs.
    fn helpers(&self) -> JoinSet<()> {
        let essential = &self.essential;
        let mut helpers = JoinSet::new();
        for queue in self.connections.queues() {
            let heartbeat = Heartbeat {
                queue: queue.queue.clone(),
                slots: self.slots.clone(),
                visibility: queue.attributes.visibility_timeout,
                held_max: heartbeat::HELD_MAX,
                metrics: Arc::clone(&self.metrics),
            };
            helpers.spawn(essential.run(heartbeat.run()));
        }
        let resender = Resender {
            ledger: self.connections.ledger.clone(),
            queue: self.connections.resend_queue().clone(),
            board: self.board.clone(),
            pools: self.pools.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        helpers.spawn(essential.run(resender.run()));
        helpers.spawn(self.backlog().run());
        helpers.spawn(self.presence().run());
        helpers.spawn(self.arrivals.clone().report_to(self.connections.ledger.clone()));
        if let Some(target) = self.config.targets.values().next() {
            let (clock, access) = (self.connections.targets.clock.clone(), target.access(&self.config.aws));
            helpers.spawn(clock.watch(access, self.connections.ledger.clone()));
        }
        helpers
    }

    fn backlog(&self) -> Backlog {
        Backlog {
            main: self.connections.main.queue.clone(),
            replay: self.connections.replay.as_ref().map(|replay| replay.queue.clone()),
            dead: self.connections.dead(),
            ledger: self.connections.ledger.clone(),
            metrics: Arc::clone(&self.metrics),
            pools: self.pools.clone(),
        }
    }

    fn presence(&self) -> Presence {
        Presence {
            identity: Arc::clone(&self.identity),
            ledger: self.connections.ledger.clone(),
            board: self.board.clone(),
            throttles: self.throttles.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

/// Creates the board, with a breaker for each target and operation.
fn board(config: &Config) -> anyhow::Result<Board> {
    let names: Result<Vec<Name>, _> = config.targets.keys().map(|name| name.parse()).collect();
    Ok(Board::new(names.context("a target's name")?, config.breakers.probes()))
}

/// Creates the slots, which hold as many waiting jobs as the permit pools have room for.
fn slots(n: usize, connections: &Connections, pools: &PermitPools) -> Slots {
    let pools = pools.clone();
    let room = move || pools.room();
    let make = if connections.replay.is_some() { Slots::shared } else { Slots::new };
    make(n, room)
}

fn n_receivers(rate: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is above zero and bounded")]
    let wanted = (rate / RECEIVER_RATE).ceil() as usize;
    wanted.clamp(1, RECEIVERS_MAX)
}
