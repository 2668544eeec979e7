//! The service: starts the parts in the order of their needs and stops them in the other.
//!
//! One cancellation at the front ends the receiving; closed channels carry the end on: receivers, jobs, recorder,
//! heartbeat. A deadline ends it where something hangs; what is still held is then given back.

mod reached;
mod running;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::admin::{Admin, Listening};
use crate::backlog::Backlog;
use crate::config::Config;
use crate::heartbeat::{self, Heartbeat};
use crate::limiter::Rate;
use crate::metrics::Metrics;
use crate::precheck::Precheck;
use crate::queue::Queue;
use crate::receiver::Receiver;
use crate::recorder::{Finished, Recorder};
use crate::slots::{Lane, Slots};
use crate::worker::{Parts, Worker};

use reached::Reached;
use running::{Essential, Running};

/// Messages a second that one receiver fetches from SQS, reckoned with a receive of ten in 50 ms.
const RECEIVER_RATE: f64 = 200.0;

/// Most receives at a time.
const RECEIVERS_MAX: usize = 16;

/// The time of one lease of tokens; jobs for two may wait, however slow the start is.
const LEASE: Duration = Duration::from_millis(50);

/// A service that has started.
#[derive(Debug)]
pub struct Service {
    running: Running,
    listening: Option<Listening>,
    metrics: Arc<Metrics>,
    deadline: Duration,
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
        let reached = Reached::connect(config).await?;
        let metrics = Arc::new(Metrics::new());
        publish_rates(&metrics, config);
        let make_slots = if reached.replay.is_some() { Slots::shared } else { Slots::new };
        let slots = make_slots(config.worker.slots, waiting_min(config.rate()));
        let listening = listen(config, &reached, &metrics, &slots, &stop).await?;

        let essential = Essential::new(stop.clone());
        let helpers = helpers(config, &reached, &metrics, &slots, &essential);
        let (ends, ended) = mpsc::channel(config.worker.slots);
        let recorder = Recorder { store: reached.store.clone(), metrics: Arc::clone(&metrics) };
        let running = Running {
            receivers: TaskTracker::new(),
            jobs: TaskTracker::new(),
            recorder: tokio::spawn(essential.run(recorder.run(ended))),
            helpers,
            broken: essential.broken.clone(),
            slots: slots.clone(),
            store: reached.store.clone(),
            stop: stop.clone(),
        };
        let queues: Vec<Queue> = reached.queues().map(|queue| queue.queue.clone()).collect();
        let receiver = Receiver {
            queue: reached.main.queue.clone(),
            lane: Lane::Live,
            slots,
            worker: worker(config, reached, &metrics, ends.clone(), &running)?,
            recorder: ends,
            metrics: Arc::clone(&metrics),
            stop,
            wait: config.queue.wait.into(),
            until_empty: (until == Until::Empty).then(|| queues.clone()),
        };
        for queue in queues.into_iter().skip(1) {
            let receiver = Receiver { queue, lane: Lane::Replay, ..receiver.clone() };
            running.receivers.spawn(essential.run(receiver.run()));
        }
        for _ in 0..n_receivers(config.rate()) {
            running.receivers.spawn(essential.run(receiver.clone().run()));
        }
        Ok(Self { running, listening, metrics, deadline: config.worker.drain_deadline.into() })
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
    /// The deadline passed before everything was written; what was held was given back. Or a part broke.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut listener = JoinSet::new();
        if let Some(listening) = self.listening {
            listener.spawn(listening.run());
        }
        self.running.stop.cancelled().await;
        info!(held = self.running.slots.held(), "stopping");
        self.running.drain(self.deadline).await
    }
}

fn worker(
    config: &Config,
    reached: Reached,
    metrics: &Arc<Metrics>,
    recorder: mpsc::Sender<Finished>,
    running: &Running,
) -> anyhow::Result<Worker> {
    Ok(Worker::new(Parts {
        targets: reached.targets,
        precheck: Precheck::new(config.precheck.policy(), config.precheck.known_cas()?),
        store: reached.store,
        retry: config.retry.policy(),
        recorder,
        metrics: Arc::clone(metrics),
        stop: running.stop.clone(),
        tasks: running.jobs.clone(),
    }))
}

/// Starts what works beside the jobs for as long as there are any.
fn helpers(
    config: &Config,
    reached: &Reached,
    metrics: &Arc<Metrics>,
    slots: &Slots,
    essential: &Essential,
) -> JoinSet<()> {
    let mut helpers = JoinSet::new();
    for queue in reached.queues() {
        let heartbeat = Heartbeat {
            queue: queue.queue.clone(),
            slots: slots.clone(),
            visibility: queue.attributes.visibility_timeout,
            held_max: heartbeat::HELD_MAX,
            metrics: Arc::clone(metrics),
        };
        helpers.spawn(essential.run(heartbeat.run()));
    }
    let backlog = Backlog {
        main: reached.main.queue.clone(),
        replay: reached.replay.as_ref().map(|replay| replay.queue.clone()),
        dead: reached.dead(),
        metrics: Arc::clone(metrics),
        rate: config.rate(),
    };
    helpers.spawn(backlog.run());
    helpers
}

async fn listen(
    config: &Config,
    reached: &Reached,
    metrics: &Arc<Metrics>,
    slots: &Slots,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Listening>> {
    let Some(address) = config.admin.listen else { return Ok(None) };
    let admin = Admin {
        metrics: Arc::clone(metrics),
        slots: slots.clone(),
        store: reached.store.clone(),
        queue: reached.main.queue.clone(),
        stop: stop.clone(),
    };
    let listening = admin.bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    info!(address = %listening.address()?, "metrics and health");
    Ok(Some(listening))
}

fn publish_rates(metrics: &Metrics, config: &Config) {
    for (name, target) in &config.targets {
        let rate = target.rates.register_certificate.per_second();
        metrics.limiter_rate.with_label_values(&[name, "RegisterCertificate", "ceiling"]).set(rate);
    }
}

/// How many jobs may wait for a token before anything has started: two leases.
fn waiting_min(rate: f64) -> usize {
    let lease = Rate::new(rate).map_or(1, |rate| rate.calls_in(LEASE));
    2 * lease.max(1)
}

fn n_receivers(rate: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is above zero and bounded")]
    let wanted = (rate / RECEIVER_RATE).ceil() as usize;
    wanted.clamp(1, RECEIVERS_MAX)
}
