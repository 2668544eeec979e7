//! Everything a run needs besides the workers: sandbox, ledger, queue, messages, and watchers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::aws::queue::{CALL_MAX, CALL_TIMEOUT, OutgoingMessage};
use muster::ledger::Ledger;
use muster_core::rate::Rate;
use muster_sandbox::specimen::Ca;
use muster_sandbox::{self, BatchCounts, Deleting, Sandbox};
use tokio::task::JoinSet;

use crate::faketime::Faketime;
use crate::fleet::{AWS_CANARY, Fleet, Recipe};
use crate::jobs::{Cas, Jobs, KEY_CANARY};
use crate::lag::Lag;
use crate::metrics;
use crate::proxy::Proxy;
use crate::rows::Rows;
use crate::server::Server;
use crate::violations::Violations;

/// Calls per second of all workers together: they share one quota.
const RATE: f64 = 300.0;

/// Maximum number of messages that one worker holds.
pub(crate) const SLOTS: usize = 256;

/// The visibility timeout of received messages.
pub(crate) const VISIBILITY: Duration = Duration::from_secs(4);

/// How long a worker may take to stop.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// The password of the database, which must never leak.
const PASSWORD_CANARY: &str = "canary-of-the-database-password";

/// How long a call or a wait from the storm may outlast it: an SQS call that hangs, then the longest wait.
const AFTERMATH: Duration = Duration::from_secs(10).saturating_add(CALL_TIMEOUT);

/// By what factor the work after the storm may be slower than the rate. On a dedicated machine 1.1 would be enough;
/// here workers, sandbox, Postgres and whatever else runs share the cores.
const SHARED_MACHINE: f64 = 3.0;

/// How much longer to wait before the remaining messages count as lost.
const LAST_PATIENCE: Duration = Duration::from_mins(2);

/// A worker that completes nothing for this long while [`PLENTY`] of messages can be received has stalled.
const STANDSTILL: Duration = Duration::from_secs(10);

/// More messages than all workers hold.
const PLENTY: u64 = 1_000;

/// How often progress is reported.
const REPORT_EVERY: Duration = Duration::from_secs(3);

pub(crate) struct Plant {
    pub(crate) sandbox: Arc<Sandbox>,
    /// Between the workers and Postgres; the oracle bypasses it.
    pub(crate) proxy: Proxy,
    pub(crate) rows: Rows,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) cas: Arc<Cas>,
    pub(crate) violations: Violations,
    pub(crate) lag: Lag,
    /// The instant at which the sandbox's clock was zero.
    pub(crate) started: Instant,
    /// The clock of Postgres.
    pub(crate) clock: Option<Faketime>,
    folder: PathBuf,
}

/// The result of draining the queue.
pub(crate) struct Drain {
    pub(crate) n_left: u64,
    pub(crate) took: Duration,
    pub(crate) bound: Duration,
}

/// Returns the quota that the workers share.
pub(crate) fn rate() -> Rate {
    Rate::new(RATE).unwrap()
}

impl Plant {
    /// Builds everything and fills the queue.
    pub(crate) async fn build(n_jobs: usize, seed: u64) -> (Self, Server) {
        let started = Instant::now();
        let settings = muster_sandbox::SandboxSettings {
            limiting: muster_sandbox::Limiting::CountOnly,
            keep_pem: false,
            ..Default::default()
        };
        let sandbox = Arc::new(Sandbox::start(settings).await.unwrap());
        let cas = Arc::new(Cas { valid: Ca::new("Valid CA"), inactive: Ca::new("Inactive CA") });
        let jobs = {
            let cas = Arc::clone(&cas);
            tokio::task::spawn_blocking(move || Jobs::make(n_jobs, &cas, seed)).await.unwrap()
        };
        for ca in [&cas.valid, &cas.inactive] {
            sandbox.plant_ca(&ca.pem()).unwrap();
        }
        assert!(sandbox.set_ca_active(cas.inactive.certificate().id(), false));
        for pem in &jobs.planted {
            sandbox.plant_certificate(pem, muster_core::job::CertificateStatus::Active).unwrap();
        }
        let mut server = Server::start().await;
        let clock = Faketime::find(server.folder().join("clock"));
        if let Some(clock) = &clock {
            server.environment = clock.environment();
            server.go_down().await;
            server.come_up().await;
        }
        let url = server.url(PASSWORD_CANARY);
        let database = muster::config::DatabaseConfig { url: url.as_str().into(), ..Default::default() };
        Ledger::connect(&database.settings()).await.unwrap().migrate().await.unwrap();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("torture-{seed}"));
        let proxy = Proxy::before(&url).await;
        write_settings(&folder, &sandbox.url(), &proxy.url, &cas);
        let plant = Self {
            rows: Rows::open(&url).await,
            proxy,
            violations: Violations::default(),
            lag: Lag::default(),
            jobs: Arc::new(jobs),
            cas,
            sandbox,
            started,
            clock,
            folder,
        };
        plant.fill().await;
        (plant, server)
    }

    /// Sends all messages.
    async fn fill(&self) {
        let queue = crate::queue::create(&self.sandbox, "jobs", VISIBILITY).await;
        for ten in self.jobs.bodies.chunks(CALL_MAX) {
            let ten: Vec<_> = ten.iter().map(|body| OutgoingMessage { body: body.clone(), group: None }).collect();
            let results = queue.send(&ten).await.unwrap();
            assert!(results.iter().all(Result::is_ok), "{results:?}");
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn recipe(&self) -> Recipe {
        let canaries = [KEY_CANARY, PASSWORD_CANARY, AWS_CANARY, "-----BEGIN", "PRIVATE KEY-----"];
        Recipe {
            settings: self.folder.join("muster.toml"),
            folder: self.folder.clone(),
            canaries: canaries.map(str::to_owned).to_vec(),
            violations: self.violations.clone(),
        }
    }

    /// Watches every delete, and how late this process runs, until the result is dropped.
    pub(crate) fn watch(&self) -> JoinSet<()> {
        let (rows, jobs, violations) = (self.rows.clone(), Arc::clone(&self.jobs), self.violations.clone());
        self.sandbox.watch_deletes(move |deleting| {
            let (rows, jobs, violations) = (rows.clone(), Arc::clone(&jobs), violations.clone());
            async move { check_deletes(&rows, &jobs, &violations, deleting).await }
        });
        let mut tasks = JoinSet::new();
        self.lag.watch(&mut tasks);
        tasks
    }

    pub(crate) fn counts(&self, queue: &str) -> BatchCounts {
        self.sandbox.ledger().queue(queue).unwrap().total
    }

    /// Returns how many jobs are in the queue or parked.
    pub(crate) async fn n_left(&self) -> u64 {
        let counts = self.counts("jobs");
        counts.visible + counts.in_flight + counts.delayed + self.rows.parked().await
    }

    /// Waits until the queue is empty and nothing is parked; notes workers that stall meanwhile.
    pub(crate) async fn drain(&self, fleet: &Fleet) -> Drain {
        let (n_left, started_at) = (self.n_left().await, Instant::now());
        let (learnt, _) = self.rows.learnt_rates().await;
        #[expect(clippy::cast_precision_loss, reason = "messages fit into memory")]
        // Throttling during the storm may have left a low rate, which rises again meanwhile.
        let working = Duration::from_secs_f64(n_left as f64 * (SHARED_MACHINE / RATE + 1.0 / learnt - 1.0 / RATE));
        let bound = working + VISIBILITY + AFTERMATH;
        let mut reported_at = Instant::now();
        while self.n_left().await > 0 && started_at.elapsed() < bound + LAST_PATIENCE {
            if reported_at.elapsed() > REPORT_EVERY {
                reported_at = Instant::now();
                eprintln!("{} messages left", self.n_left().await);
                if started_at.elapsed() > AFTERMATH + STANDSTILL {
                    self.note_stalled_workers(fleet).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Drain { n_left, took: started_at.elapsed(), bound }
    }

    /// Notes workers that have completed nothing for long although there is plenty of work.
    async fn note_stalled_workers(&self, fleet: &Fleet) {
        for admin in fleet.admins() {
            let idle = metrics::since_progress(&admin).await;
            let is_stalled = idle.is_none_or(|idle| idle > STANDSTILL) && self.counts("jobs").visible > PLENTY;
            self.violations.unless(!is_stalled, "I7", || format!("{admin} has completed nothing for {idle:?}"));
        }
    }
}

/// Checks that at this instant another connection sees the committed outcome of each message.
async fn check_deletes(rows: &Rows, jobs: &Jobs, violations: &Violations, deleting: Vec<Deleting>) {
    let places: Vec<_> = deleting.iter().filter_map(|message| jobs.place(&message.body).cloned()).collect();
    for place in rows.missing(&places).await {
        violations.note("I2", &format!("deleted before its outcome was committed: {place:?}"));
    }
}

fn write_settings(folder: &Path, sandbox: &str, database: &str, cas: &Cas) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder.join("cas")).unwrap();
    std::fs::write(folder.join("cas/valid.pem"), cas.valid.pem()).unwrap();
    let settings = format!(
        "aws = {{ endpoint_url = '{sandbox}', region = 'us-east-1' }}\n\
         queue = {{ name = 'jobs', wait = '1s' }}\n\
         database = {{ url = '{database}', timeout = '2s' }}\n\
         admin = {{ listen = '127.0.0.1:0' }}\n\
         http = {{ listen = 'off' }}\n\
         worker = {{ slots = {SLOTS}, attempt_timeout = '2s', drain_deadline = '{}s' }}\n\
         breakers = {{ target_probe = '500ms', issuer_probe = '1s', batch_probe = '1s' }}\n\
         retry = {{ first_wait = '50ms', max_wait = '1s' }}\n\
         precheck = {{ ca_folder = '{}' }}\n\
         targets.default.rates.register_certificate = {RATE:?}\n",
        DRAIN_DEADLINE.as_secs(),
        folder.join("cas").display(),
    );
    std::fs::write(folder.join("muster.toml"), settings).unwrap();
}
