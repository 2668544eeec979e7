//! The service: starts the parts in the order of their needs and stops them in the other.
//!
//! One cancellation at the front ends the receiving; closed channels carry the end on: receivers, jobs, recorder,
//! heartbeat. A deadline ends it where something hangs; what is still held is then given back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admin::{Admin, Listening};
use crate::config::{Config, fit};
use crate::heartbeat::Heartbeat;
use crate::identity::{self, Account};
use crate::limiter::{Limiter, Rate};
use crate::metrics::Metrics;
use crate::precheck::Precheck;
use crate::queue::{Attributes, CALL_MAX, Queue};
use crate::receiver::Receiver;
use crate::recorder::Recorder;
use crate::registrar::Registrar;
use crate::slots::Slots;
use crate::store::Store;
use crate::worker::{Parts, Target, Worker};

/// Messages a second that one receiver fetches from SQS, reckoned with a receive of ten in 50 ms.
const RECEIVER_RATE: f64 = 200.0;

/// Most receives at a time.
const RECEIVERS_MAX: usize = 16;

/// The time of one lease of tokens; jobs for two may wait, however slow the start is.
const LEASE: Duration = Duration::from_millis(50);

/// Longest that giving back what is held may take after the deadline.
const GIVE_BACK_TIME: Duration = Duration::from_secs(3);

/// A service that has started.
#[derive(Debug)]
pub struct Service {
    running: Running,
    listening: Option<Listening>,
    metrics: Arc<Metrics>,
    deadline: Duration,
}

/// What stops, in this order.
#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    receivers: TaskTracker,
    jobs: TaskTracker,
    recorder: JoinHandle<()>,
    heartbeat: JoinHandle<()>,
    slots: Slots,
    queue: Queue,
    store: Store,
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
        let store = Store::connect(&config.database.settings()).await.context("cannot reach the ledger")?;
        store.check_schema().await?;
        let aws = identity::load(&config.aws.access()).await;
        let queue = Queue::open(&aws, &config.queue.name).await.context("cannot open the queue")?;
        let attributes = queue.attributes().await.context("cannot read the queue's attributes")?;
        check_fit(config, &queue, &attributes).await?;

        let metrics = Arc::new(Metrics::new());
        publish(&metrics, config, &attributes);
        let targets = targets(config, &store).await?;
        let rate = config.rate();
        let slots = Slots::new(config.worker.slots, waiting_min(rate));

        let (ends, ended) = mpsc::channel(config.worker.slots);
        let recorder = Recorder { store: store.clone(), queue: queue.clone(), metrics: Arc::clone(&metrics) };
        let beat = Heartbeat {
            queue: queue.clone(),
            slots: slots.clone(),
            visibility: attributes.visibility_timeout,
            metrics: Arc::clone(&metrics),
        };
        let jobs = TaskTracker::new();
        let worker = Worker::new(Parts {
            targets,
            precheck: Precheck::new(config.precheck.policy(), config.precheck.known_cas()?),
            store: store.clone(),
            retry: config.retry.policy(),
            recorder: ends.clone(),
            metrics: Arc::clone(&metrics),
            stop: stop.clone(),
            tasks: jobs.clone(),
        });
        let listening = listen(config.admin.listen, &metrics, &slots, &store, &queue, &stop).await?;
        let running = Running {
            recorder: tokio::spawn(recorder.run(ended)),
            heartbeat: tokio::spawn(beat.run()),
            receivers: TaskTracker::new(),
            jobs,
            slots: slots.clone(),
            queue: queue.clone(),
            store,
            stop: stop.clone(),
        };
        let receiver = Receiver {
            queue,
            slots,
            worker,
            recorder: ends,
            metrics: Arc::clone(&metrics),
            stop,
            wait: config.queue.wait.into(),
            until_empty: until == Until::Empty,
        };
        for _ in 0..n_receivers(rate) {
            running.receivers.spawn(receiver.clone().run());
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
    /// The deadline passed before everything was written; what was held was given back.
    pub async fn run(self) -> anyhow::Result<()> {
        let listening = self.listening.map(|listening| tokio::spawn(listening.run()));
        self.running.stop.cancelled().await;
        info!(held = self.running.slots.held(), "stopping");
        let result = self.running.drain(self.deadline).await;
        if let Some(listening) = listening {
            listening.abort();
        }
        result
    }
}

impl Running {
    /// Takes what is held to its end, or gives it back when the time is over.
    async fn drain(self, deadline: Duration) -> anyhow::Result<()> {
        let (slots, queue, store) = (self.slots.clone(), self.queue.clone(), self.store.clone());
        let heartbeat = self.heartbeat.abort_handle();
        let drained = tokio::time::timeout(deadline, self.wait()).await;
        heartbeat.abort();
        let result = if drained.is_err() {
            let held = slots.receipts();
            warn!(held = held.len(), "the drain deadline has passed");
            let given_back = tokio::time::timeout(GIVE_BACK_TIME, give_back(&queue, &held)).await;
            if given_back.is_err() {
                warn!("could not give everything back; it comes back when its visibility ends");
            }
            Err(anyhow::anyhow!("{} jobs were not finished within the drain deadline of {deadline:?}", held.len()))
        } else {
            Ok(())
        };
        store.close().await;
        result
    }

    /// Waits for the parts to end, front to back.
    async fn wait(self) {
        self.receivers.close();
        self.receivers.wait().await;
        self.jobs.close();
        self.jobs.wait().await;
        // Every sender of ends is gone with the receivers and the jobs.
        if let Err(error) = self.recorder.await {
            warn!(%error, "the recorder broke");
        }
        self.heartbeat.abort();
    }
}

async fn give_back(queue: &Queue, receipts: &[String]) {
    for ten in receipts.chunks(CALL_MAX) {
        if let Err(error) = queue.hide(ten, Duration::ZERO).await {
            warn!(%error, "cannot give messages back");
        }
    }
}

/// Refuses settings that cannot work with the queue, and says loudly what may lose work.
async fn check_fit(config: &Config, queue: &Queue, attributes: &Attributes) -> Result<(), fit::Misfit> {
    let dead_letter = match &attributes.dead_letter_arn {
        Some(arn) => queue.dead_letter_attributes(arn).await.map_or_else(
            |error| {
                warn!(%error, arn, "cannot read the dead-letter queue, so it is not checked");
                None
            },
            Some,
        ),
        None => None,
    };
    for finding in fit::warnings(fit::findings(config, attributes, dead_letter.as_ref()))? {
        warn!(hint = finding.hint(), "{finding}");
    }
    Ok(())
}

/// Makes every target: its client, its account, its tokens.
async fn targets(config: &Config, store: &Store) -> anyhow::Result<HashMap<String, Target>> {
    let mut targets = HashMap::new();
    for (name, settings) in &config.targets {
        let aws = identity::load(&settings.access(&config.aws)).await;
        let account = Account::of(&aws).await.with_context(|| format!("cannot use target `{name}`"))?;
        store.claim_target(name, &account.id, &account.region).await?;
        let rate = settings.rates.register_certificate;
        info!(target_name = name, account = account.id, region = account.region, rate = rate.per_second(), "serving");
        let target = Target {
            account,
            registrar: Registrar::new(&aws, config.worker.attempt_timeout.into()),
            limiter: Limiter::start(rate),
            successes: AtomicU64::new(0),
        };
        targets.insert(name.clone(), target);
    }
    Ok(targets)
}

async fn listen(
    address: Option<SocketAddr>,
    metrics: &Arc<Metrics>,
    slots: &Slots,
    store: &Store,
    queue: &Queue,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Listening>> {
    let Some(address) = address else { return Ok(None) };
    let admin = Admin {
        metrics: Arc::clone(metrics),
        slots: slots.clone(),
        store: store.clone(),
        queue: queue.clone(),
        stop: stop.clone(),
    };
    let listening = admin.bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    info!(address = %listening.address()?, "metrics and health");
    Ok(Some(listening))
}

/// Sets the metrics that come from settings.
fn publish(metrics: &Metrics, config: &Config, attributes: &Attributes) {
    metrics.queue_retention.set(attributes.retention.as_secs_f64());
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
