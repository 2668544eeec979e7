//! Every setting of the service, with its default.
//!
//! The structs in this file, and in `rates` for `targets.*.rates`, are the only list of keys. [`keys`] reads the keys
//! and their doc comments from the JSON Schema of the structs, for the errors about unknown keys, `muster config show`
//! and `config/muster.toml`. [`layers`] merges defaults, file, environment and flags. Whether settings fit each other
//! and the queue is not checked here but in `health::fit`.
//!
//! May use: nothing else of this crate. Must not know: who uses a setting.

pub mod access;
pub(crate) mod command;
pub mod database_settings;
pub mod error;
pub mod http;
pub mod keys;
pub mod layers;
pub mod log;
pub mod origin;
pub mod probe_times;
mod rates;
pub mod retry_policy;
pub mod show;
pub mod similar;
pub mod template;
mod units;
pub mod url_source;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use self::access::{Access, Credentials};
use crate::config::http::HttpConfig;
use crate::config::log::{LogFilter, LogFormat};
use crate::config::probe_times::ProbeTimes;
use crate::config::retry_policy::RetryPolicy;
use crate::config::url_source::UrlSource;
use muster_core::job::{DEFAULT_TARGET, Name};
use muster_core::precheck::{NotYetValid, Policy};
use muster_core::role::{Role, RoleArn};

use self::database_settings::DatabaseSettings;
pub use error::{ConfigError, UnknownTarget};
pub use layers::{Settings, Sources};
pub use rates::TargetRates;
pub use units::Time;

/// All settings.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How to reach AWS. What is not set here comes from the environment, AWS profiles or the instance role, as usual.
    pub aws: AwsConfig,
    /// The job queue.
    pub queue: QueueConfig,
    /// The ledger, a Postgres database.
    pub database: DatabaseConfig,
    /// One account and region, under the name that jobs use as their `target`. There can be several.
    pub targets: BTreeMap<String, TargetConfig>,
    /// Concurrency and time limits of a worker.
    pub worker: WorkerConfig,
    /// How often and how slowly a failed call is retried.
    pub retry: RetryConfig,
    /// How often one probe call checks whether a problem that blocks many jobs is over.
    pub breakers: BreakersConfig,
    /// What is checked before an AWS call is made.
    pub precheck: PrecheckConfig,
    /// The HTTP endpoint for metrics and health checks.
    pub admin: AdminConfig,
    /// The ops page and its API.
    pub http: HttpConfig,
    /// Logging, to standard error.
    pub log: LogConfig,
}

/// How to reach AWS.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsConfig {
    /// Region.
    #[schemars(example = "eu-central-1")]
    pub region: Option<String>,
    /// URL to use for every AWS service, for a sandbox.
    #[schemars(example = "http://127.0.0.1:4566")]
    pub endpoint_url: Option<String>,
    /// Which credentials to use. Not a key, so that no settings file can select the sandbox credentials.
    #[serde(skip)]
    pub credentials: Credentials,
}

/// The job queue.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Queue name or URL.
    pub name: String,
    /// Name or URL of a second queue, for resent jobs. It gets a tenth of the capacity, and what live jobs do not use.
    #[schemars(example = "muster-replay")]
    pub replay: Option<String>,
    /// How long one receive call waits for messages (SQS long polling): whole seconds, at most 20.
    pub wait: Time,
}

/// The ledger, a Postgres database.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// Database URL: `postgres://user:password@host/database`. If it is not set, `DATABASE_URL` is used.
    #[serde(serialize_with = "units::masked_url")]
    #[schemars(with = "String")]
    pub url: SecretString,
    /// File that contains the URL, instead of `url`. Read for every new connection, so the password can be rotated.
    #[schemars(example = "/run/secrets/muster-database-url")]
    pub url_file: Option<PathBuf>,
    /// Command that prints the URL, instead of `url`. Run with `sh` for every new connection.
    #[schemars(example = "/usr/local/bin/muster-database-url")]
    pub url_command: Option<String>,
    /// PEM file of the CA that signed the server's certificate, if it is not a public CA.
    #[schemars(example = "/etc/muster/postgres-ca.pem")]
    pub root_certificate: Option<PathBuf>,
    /// Maximum number of connections of this process.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_connections: u32,
    /// Maximum time for one operation, including the wait for a connection.
    pub timeout: Time,
}

/// One account and region.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetConfig {
    /// Region, if it is not the one in `aws`.
    #[schemars(example = "eu-central-1")]
    pub region: Option<String>,
    /// URL of its AWS services, if it is not the one in `aws`.
    #[schemars(example = "http://127.0.0.1:4566")]
    pub endpoint_url: Option<String>,
    /// Role to assume with the credentials of `aws`, if the target is in another account.
    #[schemars(example = "arn:aws:iam::123456789012:role/muster")]
    pub role_arn: Option<RoleArn>,
    /// External ID, if the role's trust policy requires one.
    #[schemars(example = "muster-plant-3")]
    pub external_id: Option<String>,
    /// The account's quotas in that region, in calls per second.
    pub rates: TargetRates,
}

/// Concurrency and time limits of a worker.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Maximum number of messages held at a time. SQS allows about 120,000 messages in flight per queue.
    #[schemars(range(min = 1, max = 120_000))]
    pub slots: usize,
    /// Maximum time for one AWS IoT call.
    pub attempt_timeout: Time,
    /// Maximum time for a graceful stop. Messages still held after it are released to the queue.
    pub drain_deadline: Time,
}

/// How often and how slowly a failed call is retried.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// Attempts before a job is `exhausted`. One counts only if other calls succeed meanwhile; throttles never count.
    #[schemars(range(min = 1))]
    pub attempts: u32,
    /// Maximum first wait. The maximum doubles with each retry; the wait is random below it (full jitter).
    pub first_wait: Time,
    /// Maximum wait between two attempts.
    pub max_wait: Time,
    /// Attempts answered with `LimitExceededException` before a job is `exhausted`.
    #[schemars(range(min = 1))]
    pub limited_attempts: u32,
    /// Maximum first wait after `LimitExceededException`. The maximum doubles with each retry.
    pub limited_first_wait: Time,
}

/// How often one probe call checks whether a problem that blocks many jobs is over.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakersConfig {
    /// Probe interval of a target that denies or fails every call.
    pub target_probe: Time,
    /// Probe interval of an issuer whose CA is not registered or not active.
    pub issuer_probe: Time,
    /// Probe interval of a batch in which nearly every job fails for the same reason.
    pub batch_probe: Time,
}

/// What is checked before an AWS call is made.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrecheckConfig {
    /// What to do with a certificate that is not valid yet: `warn` forwards it to AWS, `reject` rejects the job.
    pub not_yet_valid: NotYetValid,
    /// Folder with PEM files of the issuing CAs, used to verify the signatures of jobs that carry no CA.
    #[schemars(example = "/etc/muster/ca")]
    pub ca_folder: Option<PathBuf>,
}

/// The HTTP endpoint for metrics and health checks.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address to listen on, or `off`.
    #[serde(with = "units::address_or_off")]
    #[schemars(with = "String")]
    pub listen: Option<SocketAddr>,
}

/// Logging, to standard error.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Log filter, for example `debug` or `muster=debug,warn`.
    pub filter: LogFilter,
    /// Log format: `text` or `json`.
    pub format: LogFormat,
}

impl Config {
    /// Returns the sum of each target's highest quota, in calls per second.
    ///
    /// The highest is used because the mix of operations in a backlog is not known.
    pub fn rate(&self) -> f64 {
        self.targets.values().map(|target| target.rates.greatest()).sum()
    }
}

impl AwsConfig {
    /// Returns how to reach the queue.
    pub fn access(&self) -> Access {
        Access {
            region: self.region.clone(),
            endpoint_url: self.endpoint_url.clone(),
            credentials: self.credentials,
            role: None,
        }
    }
}

impl TargetConfig {
    /// Returns how to reach the target. What the target does not set comes from `aws`.
    pub fn access(&self, aws: &AwsConfig) -> Access {
        let base = aws.access();
        Access {
            region: self.region.clone().or(base.region),
            endpoint_url: self.endpoint_url.clone().or(base.endpoint_url),
            role: self.role_arn.clone().map(|arn| Role { arn, external_id: self.external_id.clone() }),
            credentials: base.credentials,
        }
    }
}

impl DatabaseConfig {
    /// Returns where to find the URL.
    fn url_source(&self) -> UrlSource {
        match (&self.url_command, &self.url_file) {
            (Some(command), _) => UrlSource::Command(command.clone()),
            (None, Some(file)) => UrlSource::File(file.clone()),
            (None, None) => UrlSource::Given(self.url.clone()),
        }
    }

    /// Returns how to reach the ledger.
    pub fn settings(&self) -> DatabaseSettings {
        DatabaseSettings {
            url: self.url_source(),
            root_certificate: self.root_certificate.clone(),
            max_connections: self.max_connections,
            timeout: self.timeout.into(),
            statement_timeout: None,
        }
    }
}

impl RetryConfig {
    /// Returns the retry policy of the worker.
    pub fn policy(&self) -> RetryPolicy {
        RetryPolicy {
            attempts: self.attempts,
            first_wait: self.first_wait.into(),
            max_wait: self.max_wait.into(),
            limited_attempts: self.limited_attempts,
            limited_first_wait: self.limited_first_wait.into(),
        }
    }
}

impl BreakersConfig {
    /// Returns the probe intervals.
    pub fn probes(&self) -> ProbeTimes {
        ProbeTimes {
            issuer: self.issuer_probe.into(),
            batch: self.batch_probe.into(),
            target: self.target_probe.into(),
        }
    }
}

impl PrecheckConfig {
    /// Returns the policy of the precheck.
    pub fn policy(&self) -> Policy {
        Policy { not_yet_valid: self.not_yet_valid }
    }
}

impl Config {
    /// Returns the target with this name.
    ///
    /// # Errors
    /// The settings have no such target.
    pub fn target(&self, name: &Name) -> Result<&TargetConfig, UnknownTarget> {
        let unknown = || UnknownTarget { target: name.clone(), known: self.targets.keys().cloned().collect() };
        self.targets.get(name.as_str()).ok_or_else(unknown)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            aws: AwsConfig::default(),
            queue: QueueConfig::default(),
            database: DatabaseConfig::default(),
            targets: BTreeMap::from([(DEFAULT_TARGET.to_owned(), TargetConfig::default())]),
            worker: WorkerConfig::default(),
            retry: RetryConfig::default(),
            breakers: BreakersConfig::default(),
            precheck: PrecheckConfig::default(),
            admin: AdminConfig::default(),
            http: HttpConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { name: "muster-jobs".to_owned(), replay: None, wait: Duration::from_secs(10).into() }
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: "postgres://localhost/muster".into(),
            url_file: None,
            url_command: None,
            root_certificate: None,
            max_connections: 8,
            timeout: Duration::from_secs(10).into(),
        }
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            slots: 1024,
            attempt_timeout: Duration::from_secs(8).into(),
            drain_deadline: Duration::from_secs(25).into(),
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        let policy = RetryPolicy::default();
        Self {
            attempts: policy.attempts,
            first_wait: policy.first_wait.into(),
            max_wait: policy.max_wait.into(),
            limited_attempts: policy.limited_attempts,
            limited_first_wait: policy.limited_first_wait.into(),
        }
    }
}

impl Default for BreakersConfig {
    fn default() -> Self {
        Self {
            target_probe: Duration::from_secs(30).into(),
            issuer_probe: Duration::from_mins(1).into(),
            batch_probe: Duration::from_mins(5).into(),
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: Some((Ipv4Addr::LOCALHOST, 9464).into()) }
    }
}
