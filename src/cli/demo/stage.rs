//! What a demo needs besides the worker: a private Postgres, the sandbox, a queue, and registered CAs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::aws::identity;
use crate::aws::queue::{self, Queue, QueueAttributes};
use crate::config::Config;
use crate::config::access::Credentials;
use crate::ledger::Ledger;
use muster_core::job::DEFAULT_TARGET;
use muster_core::rate::Rate;
use muster_sandbox::postgres::{self, Postgres};
use muster_sandbox::specimen::Ca;
use muster_sandbox::{self, Rates, Sandbox};

/// The demo's queue.
pub(super) const QUEUE: &str = "demo-jobs";

/// Everything besides the worker.
pub(super) struct DemoStage {
    pub(super) postgres: Postgres,
    pub(super) sandbox: Sandbox,
    pub(super) config: Config,
    pub(super) ledger: Ledger,
    pub(super) queue: Queue,
    /// The CA of the simulated line; `None` if the user supplies the certificates.
    pub(super) ca: Option<Arc<Ca>>,
    /// Keeps the folder of CA files that the worker reads.
    _ca_folder: tempfile::TempDir,
}

impl DemoStage {
    /// Starts everything; `ca_pems` are the CAs of the user's own certificates, `tokens` those of the ops page.
    pub(super) async fn set_up(
        bin_dir: Option<PathBuf>,
        rate: Rate,
        ca: Option<Ca>,
        ca_pems: Vec<String>,
        tokens: &str,
    ) -> anyhow::Result<Self> {
        let postgres = Postgres::start(postgres::PostgresSettings { bin_dir, durable: true }).await?;
        let settings = muster_sandbox::SandboxSettings { rates: Rates::all(rate.per_second()), ..Default::default() };
        let sandbox = Sandbox::start(settings).await?;
        let ca_folder = tempfile::tempdir()?;
        for (i, pem) in ca.iter().map(Ca::pem).chain(ca_pems).enumerate() {
            sandbox.plant_ca(&pem).context("the sandbox refused a CA")?;
            std::fs::write(ca_folder.path().join(format!("{i}.pem")), pem)?;
        }

        let mut config = Config::default();
        config.aws.endpoint_url = Some(sandbox.url());
        config.aws.region = Some("us-east-1".to_owned());
        config.aws.credentials = Credentials::Sandbox;
        config.database.url = postgres.url().into();
        QUEUE.clone_into(&mut config.queue.name);
        config.queue.wait = Duration::from_secs(1).into();
        config.precheck.ca_folder = Some(ca_folder.path().to_owned());
        config.admin.listen = Some(([127, 0, 0, 1], 0).into());
        config.http.listen = Some(([127, 0, 0, 1], 0).into());
        config.http.tokens = tokens.into();
        config.targets.entry(DEFAULT_TARGET.to_owned()).or_default().rates.register_certificate = rate;

        let ledger = Ledger::connect(&config.database.settings()).await?;
        ledger.migrate().await?;
        let attributes = QueueAttributes {
            visibility_timeout: Duration::from_secs(30),
            retention: Duration::from_hours(4 * 24),
            max_receive_count: Some(5),
            ..QueueAttributes::default()
        };
        let queue = queue::create(&identity::load(&config.aws.access()).await, QUEUE, &attributes).await?;
        Ok(Self { postgres, sandbox, config, ledger, queue, ca: ca.map(Arc::new), _ca_folder: ca_folder })
    }

    /// Returns the sandbox's quota.
    pub(super) fn quota(&self) -> Rate {
        self.config.targets[DEFAULT_TARGET].rates.register_certificate
    }

    /// Stops everything and removes its files.
    pub(super) async fn tear_down(self) -> Result<(), postgres::Error> {
        self.ledger.close().await;
        self.sandbox.stop().await;
        self.postgres.stop().await
    }
}
