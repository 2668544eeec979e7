//! What a worker's own work costs, compared with a bare loop of SDK calls against the same sandbox in the same run.
//!
//! `cargo speed [--certificates N] [--waiting N] [--json]`. There is no quota, so the figure is the cost of receive,
//! precheck, look-up, permit, call, record and delete together. The worker and the sandbox are separate processes; CPU
//! times come from the kernel.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures are the benchmark's output")]

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aws_sdk_iot::config::retry::RetryConfig;
use clap::Parser;
use muster::aws::identity::{self};
use muster::aws::queue::{self, CALL_MAX, OutgoingMessage, Queue, QueueAttributes};
use muster::config::Config;
use muster::config::access::Credentials;
use muster::ledger::Ledger;
use muster_core::job::{Job, RegisterCertificate};
use muster_sandbox::postgres::{self, Postgres};
use muster_sandbox::specimen::Ca;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Concurrent calls of the bare loop: enough that the sandbox never waits for it.
const CONCURRENCY: usize = 64;

/// A rate that no run reaches, in calls per second.
const UNLIMITED: f64 = 100_000.0;

/// Measures the cost of a worker's own work.
#[derive(Parser)]
struct Arguments {
    /// Number of certificates in each of the two runs.
    #[arg(long, default_value_t = 20_000)]
    certificates: usize,
    /// Number of messages waiting while the worker's memory is measured.
    #[arg(long, default_value_t = 100_000)]
    waiting: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The flag that cargo passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The results.
#[derive(Serialize)]
struct Figures {
    certificates: usize,
    /// Jobs the worker completes per CPU-second of its process.
    jobs_per_cpu_second: f64,
    /// Calls the bare loop makes per CPU-second of its process.
    bare_calls_per_cpu_second: f64,
    /// The first divided by the second: how much of a bare loop's speed remains with everything else included.
    ratio: f64,
    /// Jobs per second of wall time, on a machine shared with the sandbox and Postgres.
    jobs_per_second: f64,
    bare_calls_per_second: f64,
    /// Peak resident memory of a worker with the default number of slots, with messages waiting.
    worker_peak_mib: f64,
    messages_waiting: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let bench = Bench::start().await?;
    let (bare_cpu, bare_time) = bench.bare_loop(arguments.certificates).await?;
    let (worker_cpu, worker_time) = bench.worker(arguments.certificates).await?;
    let peak = bench.peak_memory(arguments.waiting).await?;
    let n = f64::from(u32::try_from(arguments.certificates)?);
    let figures = Figures {
        certificates: arguments.certificates,
        jobs_per_cpu_second: n / worker_cpu,
        bare_calls_per_cpu_second: n / bare_cpu,
        ratio: bare_cpu / worker_cpu,
        jobs_per_second: n / worker_time,
        bare_calls_per_second: n / bare_time,
        worker_peak_mib: peak,
        messages_waiting: arguments.waiting,
    };
    bench.postgres.stop().await?;
    print(&figures, arguments.json)
}

fn print(figures: &Figures, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(figures)?);
        return Ok(());
    }
    println!("{:>10.0} jobs per CPU-second of the worker", figures.jobs_per_cpu_second);
    println!("{:>10.0} calls per CPU-second of a bare SDK loop", figures.bare_calls_per_cpu_second);
    println!("{:>10.2} ratio", figures.ratio);
    println!(
        "{:>10.0} jobs per second, {:.0} bare calls per second",
        figures.jobs_per_second, figures.bare_calls_per_second
    );
    println!(
        "{:>10.1} MiB peak memory of the worker, with {} messages waiting",
        figures.worker_peak_mib, figures.messages_waiting
    );
    Ok(())
}

/// A sandbox in its own process, a ledger, and a queue.
struct Bench {
    sandbox: Child,
    postgres: Postgres,
    config: Config,
    queue: Queue,
    ca: Arc<Ca>,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn start() -> anyhow::Result<Self> {
        let mut sandbox = Command::new(env!("CARGO_BIN_EXE_muster"))
            .args(["sandbox", "--listen", "127.0.0.1:0", "--rate", "100000", "--count-only"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(sandbox.stdout.take().context("the sandbox has no standard output")?).lines();
        let url = lines.next_line().await?.context("the sandbox did not print its address")?;
        let postgres = Postgres::start(postgres::PostgresSettings { bin_dir: None, durable: true }).await?;

        let mut config = Config::default();
        config.aws.endpoint_url = Some(url);
        config.aws.region = Some("us-east-1".to_owned());
        config.aws.credentials = Credentials::Sandbox;
        config.database.url = postgres.url().into();
        let aws = identity::load(&config.aws.access()).await;
        let attributes = QueueAttributes {
            visibility_timeout: Duration::from_mins(2),
            retention: Duration::from_hours(96),
            max_receive_count: Some(20),
            ..QueueAttributes::default()
        };
        let queue = queue::create(&aws, "speed", &attributes).await?;
        let ledger = Ledger::connect(&config.database.settings()).await?;
        ledger.migrate().await?;
        ledger.close().await;
        let ca = Arc::new(Ca::new("Speed CA"));
        let iot = aws_sdk_iot::Client::new(&aws);
        iot.register_ca_certificate()
            .ca_certificate(ca.pem())
            .certificate_mode(aws_sdk_iot::types::CertificateMode::SniOnly)
            .set_as_active(true)
            .send()
            .await?;
        Ok(Self { sandbox, postgres, config, queue, ca, folder: tempfile::tempdir()? })
    }

    /// Registers certificates with nothing but the SDK; returns CPU-seconds and seconds.
    async fn bare_loop(&self, n: usize) -> anyhow::Result<(f64, f64)> {
        eprintln!("a bare loop of {n} calls ...");
        let aws = identity::load(&self.config.aws.access()).await;
        let config = aws_sdk_iot::config::Builder::from(&aws).retry_config(RetryConfig::disabled()).build();
        let client = aws_sdk_iot::Client::from_conf(config);
        let pems = Arc::new(self.leaves("bare", n));
        let next = Arc::new(AtomicUsize::new(0));
        let (began, cpu) = (Instant::now(), cpu_seconds(std::process::id())?);
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..CONCURRENCY {
            let (client, pems, next) = (client.clone(), Arc::clone(&pems), Arc::clone(&next));
            calls.spawn(async move {
                while let Some(pem) = pems.get(next.fetch_add(1, Ordering::Relaxed)) {
                    client.register_certificate().certificate_pem(pem).send().await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = calls.join_next().await {
            ended??;
        }
        Ok((cpu_seconds(std::process::id())? - cpu, began.elapsed().as_secs_f64()))
    }

    /// Lets a worker process jobs; returns the CPU-seconds of its process, and seconds.
    async fn worker(&self, n: usize) -> anyhow::Result<(f64, f64)> {
        eprintln!("a worker with {n} jobs ...");
        let worker = self.spawn_worker(UNLIMITED)?;
        let pid = worker.id().context("the worker exited at once")?;
        // The cost of starting is not a cost of the jobs. The worker is idle once it has begun to receive.
        let idle = settled_cpu(pid).await?;
        let pems = self.leaves("worker", n);
        let began = Instant::now();
        self.enqueue(&pems).await?;
        while self.queue.attributes().await?.messages() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let figures = (cpu_seconds(pid)? - idle, began.elapsed().as_secs_f64());
        self.stop(worker).await?;
        Ok(figures)
    }

    /// Returns the peak resident memory, in MiB, of a worker with far more messages waiting than it can take.
    async fn peak_memory(&self, n: usize) -> anyhow::Result<f64> {
        eprintln!("a worker with {n} messages waiting ...");
        let pems = self.leaves("waiting", n);
        self.enqueue(&pems).await?;
        let worker = self.spawn_worker(500.0)?;
        let pid = worker.id().context("the worker exited at once")?;
        // Long enough to fill every slot and every buffer.
        tokio::time::sleep(Duration::from_secs(15)).await;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc")?;
        let kib: f64 = peak.trim().trim_end_matches(" kB").parse()?;
        self.stop(worker).await?;
        Ok(kib / 1024.0)
    }

    fn leaves(&self, kind: &str, n: usize) -> Vec<String> {
        (0..n).map(|i| self.ca.leaf(&format!("{kind} {i}"))).collect()
    }

    async fn enqueue(&self, pems: &[String]) -> anyhow::Result<()> {
        for ten in pems.chunks(CALL_MAX) {
            let ten: Vec<OutgoingMessage> = ten.iter().map(|pem| outgoing(pem)).collect();
            let results = self.queue.send(&ten).await?;
            ensure!(results.iter().all(Result::is_ok), "the sandbox refused a message: {results:?}");
        }
        Ok(())
    }

    fn spawn_worker(&self, rate: f64) -> anyhow::Result<Child> {
        // The CA is configured, so every signature is verified, as it should be in production.
        let cas = self.folder.path().join("cas");
        std::fs::create_dir_all(&cas)?;
        std::fs::write(cas.join("ca.pem"), self.ca.pem())?;
        let file = self.folder.path().join("muster.toml");
        let settings = format!(
            "aws = {{ endpoint_url = '{}', region = 'us-east-1' }}\n\
             precheck = {{ ca_folder = '{}' }}\n\
             queue = {{ name = 'speed', wait = '1s' }}\n\
             database = {{ url = '{}' }}\n\
             admin = {{ listen = '127.0.0.1:0' }}\n\
             log = {{ filter = 'error' }}\n\
             targets.default.rates.register_certificate = {rate:?}\n",
            self.config.aws.endpoint_url.as_deref().unwrap_or_default(),
            cas.display(),
            self.postgres.url(),
        );
        std::fs::write(&file, settings)?;
        let worker = Command::new(env!("CARGO_BIN_EXE_muster"))
            .args(["serve", "--config"])
            .arg(file)
            .env("AWS_ACCESS_KEY_ID", "sandbox")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .kill_on_drop(true)
            .spawn()?;
        Ok(worker)
    }

    async fn stop(&self, mut worker: Child) -> anyhow::Result<()> {
        worker.kill().await?;
        ensure!(self.sandbox.id().is_some(), "the sandbox exited");
        Ok(())
    }
}

fn outgoing(pem: &str) -> OutgoingMessage {
    let name = |text: &str| text.parse().expect("a constant name");
    let job = Job {
        batch: name("speed"),
        batch_size: None,
        source: Some(name("line")),
        reference: None,
        target: name("default"),
        verify: false,
        request: RegisterCertificate { certificate_pem: pem.to_owned(), ..RegisterCertificate::default() }.into(),
    };
    OutgoingMessage { body: job.to_body(), group: None }
}

/// Returns the CPU-seconds that a process has used in total, from `/proc`.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    /// Clock ticks per second on every Linux that this runs on (`getconf CLK_TCK`).
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().context("no fields in stat")?.split(' ').collect();
    // Fields 14 and 15 of proc(5): user and system time. The first two fields come before the bracket.
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / TICKS)
}

/// Returns the CPU-seconds of a process once it is idle.
async fn settled_cpu(pid: u32) -> anyhow::Result<f64> {
    let mut before = -1.0;
    loop {
        let now = cpu_seconds(pid)?;
        if now > 0.0 && (now - before).abs() < f64::EPSILON {
            return Ok(now);
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
