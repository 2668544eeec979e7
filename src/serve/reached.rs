//! What a service needs and has reached before it receives its first message.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;

use anyhow::Context;
use tracing::{info, warn};

use crate::config::{Config, fit};
use crate::identity::{self, Account};
use crate::limiter::Limiter;
use crate::queue::{Attributes, Queue};
use crate::registrar::Registrar;
use crate::store::Store;
use crate::worker::Target;

/// Everything outside the process.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) store: Store,
    pub(super) queue: Queue,
    /// The dead-letter queue, where there is one that we may look at.
    pub(super) dead: Option<Queue>,
    pub(super) attributes: Attributes,
    pub(super) targets: HashMap<String, Target>,
}

impl Reached {
    /// Reaches everything and checks that the settings fit it.
    pub(super) async fn connect(config: &Config) -> anyhow::Result<Self> {
        let store = Store::connect(&config.database.settings()).await.context("cannot reach the ledger")?;
        store.check_schema().await?;
        let aws = identity::load(&config.aws.access()).await;
        let queue = Queue::open(&aws, &config.queue.name).await.context("cannot open the queue")?;
        let attributes = queue.attributes().await.context("cannot read the queue's attributes")?;
        let (dead, dead_attributes) = dead_letters(&queue, &attributes).await.unzip();
        for finding in fit::warnings(fit::findings(config, &attributes, dead_attributes.as_ref()))? {
            warn!(hint = finding.hint(), "{finding}");
        }
        let targets = targets(config, &store).await?;
        Ok(Self { store, queue, dead, attributes, targets })
    }
}

/// The dead-letter queue; a worker does well without the permission to look at it.
async fn dead_letters(queue: &Queue, attributes: &Attributes) -> Option<(Queue, Attributes)> {
    let arn = attributes.dead_letter_arn.as_deref()?;
    let reached = async {
        let dead = queue.dead_letter_queue(arn).await?;
        let attributes = dead.attributes().await?;
        Ok((dead, attributes))
    };
    let unreadable = |error: &crate::queue::QueueError| warn!(%error, arn, "cannot read the dead-letter queue");
    reached.await.inspect_err(unreadable).ok()
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
