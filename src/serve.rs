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
use crate::breakers::Breakers;
use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::job::Name;
use crate::limiter::Rate;
use crate::metrics::Metrics;
use crate::precheck::Precheck;
use crate::receiver::Receiver;
use crate::recorder::{Finished, Recorder};
use crate::slots::Slots;
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
        let slots = Slots::new(config.worker.slots, waiting_min(config.rate()));
        let breakers = breakers(config)?;
        let listening = listen(config, &reached, &metrics, &slots, &breakers, &stop).await?;

        let essential = Essential::new(stop.clone());
        let helpers = helpers(config, &reached, &metrics, &slots, &essential);
        let (ends, ended) = mpsc::channel(config.worker.slots);
        let recorder =
            Recorder { store: reached.store.clone(), queue: reached.queue.clone(), metrics: Arc::clone(&metrics) };
        let running = Running {
            receivers: TaskTracker::new(),
            jobs: TaskTracker::new(),
            recorder: tokio::spawn(essential.run(recorder.run(ended))),
            helpers,
            broken: essential.broken.clone(),
            slots: slots.clone(),
            queue: reached.queue.clone(),
            store: reached.store.clone(),
            stop: stop.clone(),
        };
        let receiver = Receiver {
            queue: reached.queue.clone(),
            slots,
            worker: worker(config, reached, &metrics, ends.clone(), &breakers, &running)?,
            breakers,
            recorder: ends,
            metrics: Arc::clone(&metrics),
            stop,
            wait: config.queue.wait.into(),
            until_empty: until == Until::Empty,
        };
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

fn breakers(config: &Config) -> anyhow::Result<Breakers> {
    let names: Result<Vec<Name>, _> = config.targets.keys().map(|name| name.parse()).collect();
    Ok(Breakers::new(names.context("a target's name")?, config.breakers.probes()))
}

fn worker(
    config: &Config,
    reached: Reached,
    metrics: &Arc<Metrics>,
    recorder: mpsc::Sender<Finished>,
    breakers: &Breakers,
    running: &Running,
) -> anyhow::Result<Worker> {
    Ok(Worker::new(Parts {
        targets: reached.targets,
        precheck: Precheck::new(config.precheck.policy(), config.precheck.known_cas()?),
        store: reached.store,
        breakers: breakers.clone(),
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
    let heartbeat = Heartbeat {
        queue: reached.queue.clone(),
        slots: slots.clone(),
        visibility: reached.attributes.visibility_timeout,
        metrics: Arc::clone(metrics),
    };
    let backlog = Backlog {
        main: reached.queue.clone(),
        dead: reached.dead.clone(),
        metrics: Arc::clone(metrics),
        rate: config.rate(),
    };
    helpers.spawn(essential.run(heartbeat.run()));
    helpers.spawn(backlog.run());
    helpers
}

async fn listen(
    config: &Config,
    reached: &Reached,
    metrics: &Arc<Metrics>,
    slots: &Slots,
    breakers: &Breakers,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Listening>> {
    let Some(address) = config.admin.listen else { return Ok(None) };
    let admin = Admin {
        metrics: Arc::clone(metrics),
        slots: slots.clone(),
        breakers: breakers.clone(),
        store: reached.store.clone(),
        queue: reached.queue.clone(),
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
