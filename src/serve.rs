//! The service: starts the parts in the order of their needs and stops them in the other.
//!
//! One cancellation at the front ends the receiving; closed channels carry the end on: receivers, jobs, recorder,
//! heartbeat. A deadline ends it where something hangs; what is still held is then given back.

mod descriptors;
mod quotas;
mod reached;
mod running;
mod targets;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::admin::{Admin, Listening};
use crate::arrivals::Arrivals;
use crate::backlog::Backlog;
use crate::breakers::Breakers;
use crate::config::Config;
use crate::heartbeat::{self, Heartbeat};
use crate::job::Name;
use crate::limiters::Limiters;
use crate::metrics::Metrics;
use crate::precheck::Precheck;
use crate::presence::{self, Presence};
use crate::queue::{Queue, QueueError};
use crate::receiver::{Drained, Receiver};
use crate::recorder::{Finished, Recorder};
use crate::sender::Sender;
use crate::slots::{Lane, Slots};
use crate::store::insist;
use crate::store::workers::Identity;
use crate::worker::{Parts, Worker};

use quotas::Quotas;
use reached::Reached;
use running::{Essential, Running};

/// Messages a second that one receiver fetches from SQS, reckoned with a receive of ten in 50 ms.
const RECEIVER_RATE: f64 = 200.0;

/// Most receives at a time.
const RECEIVERS_MAX: usize = 16;

/// A service that has started.
#[derive(Debug)]
pub struct Service {
    running: Running,
    listening: Option<Listening>,
    metrics: Arc<Metrics>,
    deadline: Duration,
    /// Why it was given up to wait for an empty queue.
    given_up: Arc<OnceLock<QueueError>>,
}

/// Whether a service goes on when there is nothing to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Until {
    /// It waits for more.
    Stopped,
    /// It stops.
    Empty,
}

impl Service {
    /// Connects to everything and begins to work; whatever is wrong shows here.
    ///
    /// # Errors
    /// A dependency that cannot be reached or used, or settings that do not fit it.
    pub async fn start(config: &Config, until: Until, stop: CancellationToken) -> anyhow::Result<Self> {
        let n_slots = descriptors::slots(config.worker.slots, config.database.max_connections);
        let metrics = Arc::new(Metrics::new());
        let breakers = board(config)?;
        let reached = Reached::connect(config).await?;
        for (target, reason) in &reached.targets.denied {
            breakers.denied(target, reason);
        }
        // What is paused is so from the first message on.
        breakers.holds.refresh(insist(async || reached.store.open_holds().await).await?);
        let essential = Essential::new(stop.clone());
        let quotas = Quotas { store: &reached.store, breakers: &breakers, metrics: &metrics, essential: &essential };
        let limiters = quotas.open(config, &reached.targets).await?;
        let slots = slots(n_slots, &reached, &limiters);
        let (arrivals, identity) = (Arrivals::default(), Arc::new(presence::identity()));
        let shared = Shared { config, reached, limiters, metrics, slots, breakers, arrivals, identity, stop };
        let listening = shared.listen().await?;

        let (ends, ended) = mpsc::channel(n_slots);
        let running = Running {
            receivers: TaskTracker::new(),
            jobs: TaskTracker::new(),
            recorder: tokio::spawn(essential.run(shared.recorder().run(ended))),
            helpers: shared.helpers(&essential),
            broken: essential.broken.clone(),
            slots: shared.slots.clone(),
            store: shared.reached.store.clone(),
            identity: Arc::clone(&shared.identity),
            stop: shared.stop.clone(),
        };
        let worker = shared.worker(ends.clone(), running.jobs.clone())?;
        let given_up = Arc::default();
        let queues: Vec<Queue> = shared.reached.queues().map(|queue| queue.queue.clone()).collect();
        let receiver = Receiver {
            queue: shared.reached.main.queue.clone(),
            lane: Lane::Live,
            arrivals: shared.arrivals.clone(),
            slots: shared.slots.clone(),
            worker,
            breakers: shared.breakers.clone(),
            recorder: ends,
            metrics: Arc::clone(&shared.metrics),
            stop: shared.stop.clone(),
            wait: config.queue.wait.into(),
            until_empty: (until == Until::Empty).then(|| Drained {
                queues: queues.clone(),
                store: shared.reached.store.clone(),
                given_up: Arc::clone(&given_up),
            }),
        };
        for queue in queues.into_iter().skip(1) {
            let receiver = Receiver { queue, lane: Lane::Replay, ..receiver.clone() };
            running.receivers.spawn(essential.run(receiver.run()));
        }
        for _ in 0..n_receivers(config.rate()) {
            running.receivers.spawn(essential.run(receiver.clone().run()));
        }
        let deadline = config.worker.drain_deadline.into();
        Ok(Self { running, listening, metrics: shared.metrics, deadline, given_up })
    }

    /// What is measured.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Where metrics and health are shown.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.listening.as_ref().and_then(|listening| listening.address().ok())
    }

    /// Works until it is told to stop, then takes everything to its end.
    ///
    /// # Errors
    /// The deadline passed before everything was written; what was held was given back. Or a part broke, or the queue that
    /// was to be emptied cannot be read.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut listener = JoinSet::new();
        if let Some(listening) = self.listening {
            listener.spawn(listening.run());
        }
        self.running.stop.cancelled().await;
        info!(held = self.running.slots.held(), "stopping");
        self.running.drain(self.deadline).await?;
        match self.given_up.get() {
            Some(error) => Err(error.clone()).context("the queue cannot be read"),
            None => Ok(()),
        }
    }
}

/// What the parts of a service share.
struct Shared<'a> {
    config: &'a Config,
    reached: Reached,
    limiters: Limiters,
    metrics: Arc<Metrics>,
    slots: Slots,
    breakers: Breakers,
    arrivals: Arrivals,
    identity: Arc<Identity>,
    stop: CancellationToken,
}

impl Shared<'_> {
    fn recorder(&self) -> Recorder {
        Recorder {
            store: self.reached.store.clone(),
            breakers: self.breakers.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    fn worker(&self, recorder: mpsc::Sender<Finished>, tasks: TaskTracker) -> anyhow::Result<Worker> {
        let precheck = &self.config.precheck;
        Ok(Worker::new(Parts {
            targets: self.reached.targets.by_name.clone(),
            limiters: self.limiters.clone(),
            precheck: Precheck::new(precheck.policy(), precheck.known_cas()?),
            clock: self.reached.targets.clock.clone(),
            store: self.reached.store.clone(),
            breakers: self.breakers.clone(),
            retry: self.config.retry.policy(),
            recorder,
            metrics: Arc::clone(&self.metrics),
            stop: self.stop.clone(),
            tasks,
        }))
    }

    /// Starts what works beside the jobs for as long as there are any.
    fn helpers(&self, essential: &Essential) -> JoinSet<()> {
        let mut helpers = JoinSet::new();
        for queue in self.reached.queues() {
            let heartbeat = Heartbeat {
                queue: queue.queue.clone(),
                slots: self.slots.clone(),
                visibility: queue.attributes.visibility_timeout,
                held_max: heartbeat::HELD_MAX,
                metrics: Arc::clone(&self.metrics),
            };
            helpers.spawn(essential.run(heartbeat.run()));
        }
        let sender = Sender {
            store: self.reached.store.clone(),
            queue: self.reached.for_sent_again().clone(),
            breakers: self.breakers.clone(),
            limiters: self.limiters.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        helpers.spawn(essential.run(sender.run()));
        helpers.spawn(self.backlog().run());
        helpers.spawn(self.presence().run());
        helpers.spawn(self.arrivals.clone().report_to(self.reached.store.clone()));
        if let Some(target) = self.config.targets.values().next() {
            let (clock, access) = (self.reached.targets.clock.clone(), target.access(&self.config.aws));
            helpers.spawn(clock.watch(access, self.reached.store.clone()));
        }
        helpers
    }

    fn backlog(&self) -> Backlog {
        Backlog {
            main: self.reached.main.queue.clone(),
            replay: self.reached.replay.as_ref().map(|replay| replay.queue.clone()),
            dead: self.reached.dead(),
            store: self.reached.store.clone(),
            metrics: Arc::clone(&self.metrics),
            limiters: self.limiters.clone(),
        }
    }

    fn presence(&self) -> Presence {
        Presence {
            identity: Arc::clone(&self.identity),
            store: self.reached.store.clone(),
            breakers: self.breakers.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    async fn listen(&self) -> anyhow::Result<Option<Listening>> {
        let Some(address) = self.config.admin.listen else { return Ok(None) };
        let admin = Admin {
            metrics: Arc::clone(&self.metrics),
            slots: self.slots.clone(),
            breakers: self.breakers.clone(),
            store: self.reached.store.clone(),
            queue: self.reached.main.queue.clone(),
            stop: self.stop.clone(),
            checks: Arc::default(),
        };
        let listening = admin.bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        info!(address = %listening.address()?, "metrics and health");
        Ok(Some(listening))
    }
}

/// The board of everything whose failing holds calls back.
fn board(config: &Config) -> anyhow::Result<Breakers> {
    let names: Result<Vec<Name>, _> = config.targets.keys().map(|name| name.parse()).collect();
    Ok(Breakers::new(names.context("a target's name")?, config.breakers.probes()))
}

/// The slots, which hold as many waiting jobs as the limiters have room for.
fn slots(n: usize, reached: &Reached, limiters: &Limiters) -> Slots {
    let limiters = limiters.clone();
    let room = move || limiters.room();
    let make = if reached.replay.is_some() { Slots::shared } else { Slots::new };
    make(n, room)
}

fn n_receivers(rate: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is above zero and bounded")]
    let wanted = (rate / RECEIVER_RATE).ceil() as usize;
    wanted.clamp(1, RECEIVERS_MAX)
}
