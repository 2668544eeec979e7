//! Every setting of the service, with its default.
//!
//! The structs here are the only list of keys: [`keys`] reads it from them, with these doc comments, and from that
//! come the errors about unknown keys, `muster config show` and `config/muster.toml`. [`layers`] merges defaults, file,
//! environment and flags; [`fit`] says whether settings fit each other and the queue.

pub mod access;
pub(crate) mod command;
pub mod database_settings;
pub mod error;
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
    /// Where AWS is; what is not set here is found as every AWS tool finds it: environment, profiles, instance role.
    pub aws: AwsConfig,
    /// The queue of jobs.
    pub queue: QueueConfig,
    /// The ledger, in Postgres.
    pub database: DatabaseConfig,
    /// An account and region that is served, by the name that jobs use as their `target`; there may be several.
    pub targets: BTreeMap<String, TargetConfig>,
    /// How much is done at a time.
    pub worker: WorkerConfig,
    /// When a call is tried again.
    pub retry: RetryConfig,
    /// How often one call is made to see whether trouble is over that meets many jobs alike.
    pub breakers: BreakersConfig,
    /// What is found before a call is spent.
    pub precheck: PrecheckConfig,
    /// Metrics and health.
    pub admin: AdminConfig,
    /// Log lines, on standard error.
    pub log: LogConfig,
}

/// Where AWS is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsConfig {
    /// The region.
    #[schemars(example = "eu-central-1")]
    pub region: Option<String>,
    /// The URL of every AWS service, for a sandbox.
    #[schemars(example = "http://127.0.0.1:4566")]
    pub endpoint_url: Option<String>,
    /// Whose credentials are used; no key, so that no file can turn them off.
    #[serde(skip)]
    pub credentials: Credentials,
}

/// The queue of jobs.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Its name or URL.
    pub name: String,
    /// Name or URL of a second queue, for jobs that are sent again: live work leaves it a tenth, and what it has spare.
    #[schemars(example = "muster-replay")]
    pub replay: Option<String>,
    /// How long an empty queue is waited on: whole seconds, at most 20.
    pub wait: Time,
}

/// The ledger.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// Where it is: `postgres://user:password@host/database`; `DATABASE_URL` stands in where it is not set.
    #[serde(serialize_with = "units::masked_url")]
    #[schemars(with = "String")]
    pub url: SecretString,
    /// File that holds the URL, in place of `url`; it is read for every new connection, so a password may be rotated.
    #[schemars(example = "/run/secrets/muster-database-url")]
    pub url_file: Option<PathBuf>,
    /// Command that prints the URL, in place of `url`; `sh` runs it for every new connection.
    #[schemars(example = "/usr/local/bin/muster-database-url")]
    pub url_command: Option<String>,
    /// PEM file of the CA that signed the server's certificate, where it is not a public one.
    #[schemars(example = "/etc/muster/postgres-ca.pem")]
    pub root_certificate: Option<PathBuf>,
    /// Most connections of this process.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_connections: u32,
    /// Longest that one operation may take.
    pub timeout: Time,
}

/// One account and region.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetConfig {
    /// Its region, where it is not the one of `aws`.
    #[schemars(example = "eu-central-1")]
    pub region: Option<String>,
    /// The URL of its services, where it is not the one of `aws`.
    #[schemars(example = "http://127.0.0.1:4566")]
    pub endpoint_url: Option<String>,
    /// The role that the credentials of `aws` assume for it, where it is in another account.
    #[schemars(example = "arn:aws:iam::123456789012:role/muster")]
    pub role_arn: Option<RoleArn>,
    /// What the role's trust policy asks for as external id, if it does.
    #[schemars(example = "muster-plant-3")]
    pub external_id: Option<String>,
    /// The account's quotas in that region, in calls a second.
    pub rates: TargetRates,
}

/// How much is done at a time.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Most messages that are held at a time; SQS hands out about 120,000 of a queue at most.
    #[schemars(range(min = 1, max = 120_000))]
    pub slots: usize,
    /// Longest that one call of AWS IoT may take.
    pub attempt_timeout: Time,
    /// Longest that stopping may take; what is then still held goes back to the queue.
    pub drain_deadline: Time,
}

/// When a call is tried again.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// How often trouble may meet a job alone, while others go through; throttles and outages never count.
    #[schemars(range(min = 1))]
    pub attempts: u32,
    /// Longest first wait; it doubles.
    pub first_wait: Time,
    /// Longest wait.
    pub max_wait: Time,
    /// How often AWS may answer a job with `LimitExceededException`.
    #[schemars(range(min = 1))]
    pub limited_attempts: u32,
    /// Longest first wait after `LimitExceededException`; it doubles.
    pub limited_first_wait: Time,
}

/// How often one call is made to see whether trouble is over that meets many jobs alike.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakersConfig {
    /// A target that denies or fails every call.
    pub target_probe: Time,
    /// An issuer whose CA is not registered or not active.
    pub issuer_probe: Time,
    /// A batch of which nearly everything fails for one reason.
    pub batch_probe: Time,
}

/// What is found before a call is spent.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrecheckConfig {
    /// A certificate that is not valid yet: `warn` forwards it, `reject` ends it.
    pub not_yet_valid: NotYetValid,
    /// Folder with PEM files of the issuing CAs, so that signatures can be verified where jobs carry no CA.
    #[schemars(example = "/etc/muster/ca")]
    pub ca_folder: Option<PathBuf>,
}

/// Metrics and health.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// The address to listen on, or `off`.
    #[serde(with = "units::address_or_off")]
    #[schemars(with = "String")]
    pub listen: Option<SocketAddr>,
}

/// Log lines, on standard error.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// What is logged, for example `debug` or `muster=debug,warn`.
    pub filter: LogFilter,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Config {
    /// Calls a second of the operation that has most, all targets together: what a backlog is mostly made of is not known.
    pub fn rate(&self) -> f64 {
        self.targets.values().map(|target| target.rates.greatest()).sum()
    }
}

impl AwsConfig {
    /// How the queue is reached.
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
    /// How the target is reached, where it does not say otherwise as everything else.
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
    /// Where the URL is found.
    fn url_source(&self) -> UrlSource {
        match (&self.url_command, &self.url_file) {
            (Some(command), _) => UrlSource::Command(command.clone()),
            (None, Some(file)) => UrlSource::File(file.clone()),
            (None, None) => UrlSource::Given(self.url.clone()),
        }
    }

    /// How the store reaches it.
    pub fn settings(&self) -> DatabaseSettings {
        DatabaseSettings {
            url: self.url_source(),
            root_certificate: self.root_certificate.clone(),
            max_connections: self.max_connections,
            timeout: self.timeout.into(),
        }
    }
}

impl RetryConfig {
    /// The policy of the worker.
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
    /// The probe times of the holds.
    pub fn probes(&self) -> ProbeTimes {
        ProbeTimes {
            issuer: self.issuer_probe.into(),
            batch: self.batch_probe.into(),
            target: self.target_probe.into(),
        }
    }
}

impl PrecheckConfig {
    /// The policy of the precheck.
    pub fn policy(&self) -> Policy {
        Policy { not_yet_valid: self.not_yet_valid }
    }
}

impl Config {
    /// A target, by its name.
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
