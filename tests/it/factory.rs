//! A complete setup for one test: a sandbox, a ledger, a CA, a queue, and workers (in this process or as programs).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use muster::aws::identity;
use muster::aws::queue::{self, OutgoingMessage, Queue, QueueAttributes};
use muster::config::access::Credentials;
use muster::config::{BreakersConfig, Config, TargetConfig};
use muster::engine::serve::Until;
use muster::http::service::Service;
use muster::ledger::Ledger;
use muster::telemetry::metrics::Metrics;
use muster_core::job::{CertificateStatus, Job, RegisterCertificate, Request};
use muster_core::outcome::Code;
use muster_core::rate::Rate;
use muster_sandbox::specimen::Ca;
use muster_sandbox::{self, BatchCounts, Sandbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::database::Database;

/// The batch of every job that tests send.
pub(crate) const BATCH: &str = "batch";

/// How often breakers and holds allow a probe, unless a test sets another interval.
pub(crate) const PROBE_EVERY: Duration = Duration::from_millis(300);

/// How long a test waits for an event; far longer than any takes.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Factory {
    pub(crate) sandbox: Sandbox,
    pub(crate) database: Database,
    pub(crate) ledger: Ledger,
    pub(crate) queue: Queue,
    pub(crate) ca: Arc<Ca>,
    pub(crate) config: Config,
    /// How long `until` waits.
    pub(crate) patience: Duration,
    folder: tempfile::TempDir,
}

impl Factory {
    /// Creates a factory with the given worker rate, in calls a second, and a sandbox without a limit.
    pub(crate) async fn new(rate: f64) -> Self {
        Self::with(count_only(), rate).await
    }

    pub(crate) async fn with(settings: muster_sandbox::SandboxSettings, rate: f64) -> Self {
        Self::with_queue(settings, rate, queue_attributes()).await
    }

    /// Creates a factory whose queue has the given attributes.
    pub(crate) async fn with_queue(
        settings: muster_sandbox::SandboxSettings,
        rate: f64,
        attributes: QueueAttributes,
    ) -> Self {
        let sandbox = Sandbox::start(settings).await.unwrap();
        let database = Database::fresh().await;
        let folder = tempfile::tempdir().unwrap();
        let ca = Arc::new(Ca::new("Plant CA"));
        sandbox.plant_ca(&ca.pem()).unwrap();
        std::fs::create_dir(folder.path().join("cas")).unwrap();
        std::fs::write(folder.path().join("cas/plant.pem"), ca.pem()).unwrap();

        let mut config = Config::default();
        config.aws.endpoint_url = Some(sandbox.url());
        config.aws.region = Some("us-east-1".to_owned());
        config.aws.credentials = Credentials::Sandbox;
        config.database.url = database.url.as_str().into();
        config.queue.name = "jobs".to_owned();
        config.queue.wait = Duration::from_secs(1).into();
        config.precheck.ca_folder = Some(folder.path().join("cas"));
        config.admin.listen = Some(([127, 0, 0, 1], 0).into());
        config.http.listen = None;
        let probe = PROBE_EVERY.into();
        config.breakers = BreakersConfig { target_probe: probe, issuer_probe: probe, batch_probe: probe };
        config.targets.get_mut("default").unwrap().rates.register_certificate = Rate::new(rate).unwrap();

        let aws = identity::load(&config.aws.access()).await;
        let queue = queue::create(&aws, "jobs", &attributes).await.unwrap();
        let ledger = database.ledger().await;
        Self { sandbox, database, ledger, queue, ca, config, patience: PATIENCE, folder }
    }

    /// Adds a target with its own sandbox, at the rate of the first target.
    pub(crate) async fn add_target(&mut self, name: &str, settings: muster_sandbox::SandboxSettings) -> Sandbox {
        let (region, role) = (settings.region.clone(), settings.role.clone());
        let sandbox = Sandbox::start(settings).await.unwrap();
        sandbox.plant_ca(&self.ca.pem()).unwrap();
        let target = TargetConfig {
            region: Some(region),
            endpoint_url: Some(sandbox.url()),
            external_id: role.as_ref().and_then(|role| role.external_id.clone()),
            role_arn: role.map(|role| role.arn),
            rates: self.config.targets["default"].rates.clone(),
        };
        self.config.targets.insert(name.to_owned(), target);
        sandbox
    }

    /// Receives and deletes every message of the queue.
    pub(crate) async fn take_jobs(&self) -> Vec<Job> {
        let mut jobs = Vec::new();
        loop {
            let messages = self.queue.receive(10, Duration::ZERO).await.unwrap();
            if messages.is_empty() {
                return jobs;
            }
            jobs.extend(messages.iter().map(|message| Job::parse(&message.body).unwrap()));
            let receipts: Vec<_> = messages.into_iter().map(|message| message.receipt).collect();
            self.queue.delete(&receipts).await.unwrap().into_iter().for_each(|deleted| deleted.unwrap());
        }
    }

    /// Returns a job for a certificate.
    pub(crate) fn job(certificate_pem: &str) -> Job {
        Self::job_of(RegisterCertificate {
            certificate_pem: certificate_pem.to_owned(),
            status: Some(CertificateStatus::Active),
            ..RegisterCertificate::default()
        })
    }

    /// Returns a job for a request.
    pub(crate) fn job_of(request: impl Into<Request>) -> Job {
        Job {
            batch: BATCH.parse().unwrap(),
            batch_size: None,
            source: Some("line-1".parse().unwrap()),
            reference: None,
            target: "default".parse().unwrap(),
            verify: false,
            request: request.into(),
        }
    }

    /// Returns valid certificates.
    pub(crate) fn leaves(&self, n: usize) -> Vec<String> {
        (0..n).map(|i| self.ca.leaf(&format!("device {i}"))).collect()
    }

    /// Sends a job for each certificate.
    pub(crate) async fn enqueue(&self, pems: &[String]) {
        let bodies: Vec<_> = pems.iter().map(|pem| Self::job(pem).to_body()).collect();
        self.send(&bodies).await;
    }

    /// Sends message bodies.
    pub(crate) async fn send(&self, bodies: &[String]) {
        for ten in bodies.chunks(queue::CALL_MAX) {
            let ten: Vec<_> = ten.iter().map(|body| OutgoingMessage { body: body.clone(), group: None }).collect();
            let results = self.queue.send(&ten).await.unwrap();
            assert!(results.iter().all(Result::is_ok), "{results:?}");
        }
    }

    /// Runs a worker in this process until the queue is empty.
    pub(crate) async fn drain(&self) -> Arc<Metrics> {
        let service = Service::start(&self.config, Until::Empty, CancellationToken::new()).await.unwrap();
        let metrics = service.metrics();
        tokio::time::timeout(PATIENCE, service.run()).await.expect("the queue does not drain").unwrap();
        metrics
    }

    /// Starts a worker in this process that runs until it is stopped.
    pub(crate) async fn serve(&self) -> Serving {
        let stop = CancellationToken::new();
        let service = Service::start(&self.config, Until::Stopped, stop.clone()).await.unwrap();
        let address = service.admin_address();
        Serving { stop, address, task: tokio::spawn(service.run()) }
    }

    /// Returns how many certificates of the batch have each code.
    pub(crate) async fn outcomes(&self) -> BTreeMap<Code, u64> {
        let batch = self.ledger.batch_status(BATCH).await.unwrap().unwrap_or_default();
        let mut outcomes = BTreeMap::new();
        for count in batch.counts {
            *outcomes.entry(count.code).or_default() += count.n;
        }
        outcomes
    }

    /// Returns how many calls of `RegisterCertificate` the sandbox saw.
    pub(crate) fn n_calls(&self) -> usize {
        self.sandbox.ledger().summary(muster_sandbox::ApiOperation::RegisterCertificate).calls
    }

    /// Returns the exact counts of a queue.
    pub(crate) fn counts(&self, queue: &str) -> BatchCounts {
        self.sandbox.ledger().queue(queue).unwrap().total
    }

    /// Waits until a condition holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let holding = async {
            while !holds(self).await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(self.patience, holding).await.is_err() {
            let (outcomes, left, dead) = (self.outcomes().await, self.counts("jobs"), self.counts("jobs-dead"));
            panic!("timed out waiting for: {what}; outcomes {outcomes:?}, queue {left:?}, dead-letter queue {dead:?}");
        }
    }

    /// Returns the working folder of programs: for files that they read and write.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the program as a separate process.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Program {
        Program(self.command(arguments).spawn().unwrap())
    }

    /// Returns a command that runs the program.
    pub(crate) fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let (file, new) = (self.folder.path().join("muster.toml"), self.folder.path().join("new.toml"));
        // Replaced atomically, as another program may be reading it.
        std::fs::write(&new, self.settings_file()).unwrap();
        std::fs::rename(&new, &file).unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"));
        command
            .args(arguments)
            .arg("--config")
            .arg(file)
            .current_dir(self.folder.path())
            .env("AWS_ACCESS_KEY_ID", "sandbox")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn settings_file(&self) -> String {
        let precheck = &self.config.precheck;
        let ca_folder = precheck.ca_folder.as_ref().map(|folder| format!("ca_folder = '{}', ", folder.display()));
        let not_yet_valid = serde_json::to_string(&precheck.not_yet_valid).unwrap();
        let settings = format!(
            "aws = {{ endpoint_url = '{}', region = 'us-east-1' }}\n\
             queue = {{ name = 'jobs', wait = '1s' }}\n\
             database = {{ url = '{}' }}\n\
             admin = {{ listen = '127.0.0.1:0' }}\n\
             precheck = {{ {}not_yet_valid = {not_yet_valid} }}\n\
             breakers = {{ target_probe = '300ms', issuer_probe = '300ms', batch_probe = '300ms' }}\n",
            self.sandbox.url(),
            self.database.url,
            ca_folder.unwrap_or_default(),
        );
        self.config.targets.iter().fold(settings, |settings, (name, target)| settings + &target_keys(name, target))
    }
}

/// Returns the settings of a target, as TOML keys.
fn target_keys(name: &str, target: &TargetConfig) -> String {
    let rate = target.rates.register_certificate.per_second();
    let texts = [
        ("region", target.region.clone()),
        ("endpoint_url", target.endpoint_url.clone()),
        ("role_arn", target.role_arn.clone().map(String::from)),
        ("external_id", target.external_id.clone()),
    ];
    let texts = texts.into_iter().filter_map(|(key, value)| Some(format!("targets.{name}.{key} = '{}'\n", value?)));
    format!("targets.{name}.rates.register_certificate = {rate:?}\n") + &texts.collect::<String>()
}

/// A queue with a short visibility timeout that allows three deliveries of a message.
pub(crate) fn queue_attributes() -> QueueAttributes {
    QueueAttributes {
        visibility_timeout: Duration::from_secs(2),
        retention: Duration::from_hours(96),
        max_receive_count: Some(3),
        ..QueueAttributes::default()
    }
}

/// A queue as operators create it, with a visibility timeout long enough for a busy machine.
pub(crate) fn patient_queue_attributes() -> QueueAttributes {
    QueueAttributes {
        visibility_timeout: Duration::from_mins(1),
        retention: Duration::from_hours(48),
        max_receive_count: Some(20),
        ..QueueAttributes::default()
    }
}

/// A sandbox that counts calls and does not limit them.
pub(crate) fn count_only() -> muster_sandbox::SandboxSettings {
    muster_sandbox::SandboxSettings { limiting: muster_sandbox::Limiting::CountOnly, ..Default::default() }
}

/// A worker in this process.
pub(crate) struct Serving {
    stop: CancellationToken,
    address: Option<SocketAddr>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Serving {
    /// Stops the worker gracefully.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the worker does not stop").unwrap().unwrap();
    }

    /// Returns the response of `/readyz`.
    pub(crate) async fn readiness(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/readyz").await).unwrap()
    }

    /// Returns the response of `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        self.get("/metrics").await
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address.unwrap()).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

/// The running `muster` program.
pub(crate) struct Program(pub(crate) tokio::process::Child);

impl Program {
    /// Sends the program a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.0.id().expect("the program is running").to_string();
        let status = std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until the program exits; returns the exit code, standard output and standard error.
    pub(crate) async fn wait(self) -> (Option<i32>, String, String) {
        let output = tokio::time::timeout(PATIENCE, self.0.wait_with_output())
            .await
            .expect("the program does not exit")
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}
