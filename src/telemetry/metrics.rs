//! What Prometheus sees: closed label sets, every counter there from the start at 0.
//!
//! A gauge of something that is not known yet, or no longer, is absent: 0 would be a claim.
//!
//! No label ever holds a batch, a source, a certificate or a message, so input cannot add series.

mod fleet;
mod maker;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use strum::VariantArray;

use crate::aws::registrar::RESULT_LABELS;
use crate::ledger::{ERROR_CLASSES, LedgerError};
use crate::telemetry;
use muster_core::job::{Operation, ParseError};
use muster_core::outcome::{Code, Status};
use muster_core::trouble::BREAKER_LABELS;

pub use fleet::Fleet;
pub use stage::Stage;

use maker::Maker;

/// Every metric of a worker.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Messages received, by delivery (first, redelivery).
    pub jobs_received: IntCounterVec,
    /// Jobs whose end is committed, by status and code.
    pub jobs_finished: IntCounterVec,
    /// Jobs that were parked, by code.
    pub jobs_parked: IntCounterVec,
    /// Parked jobs that were sent again, by reason.
    pub jobs_sent_again: IntCounterVec,
    /// Messages held, by stage.
    pub jobs_in_flight: IntGaugeVec,
    /// Age of the message held longest.
    pub oldest_in_flight_age: Gauge,
    /// From sending a message to its committed end, by delivery.
    pub job_age: HistogramVec,
    /// How long a job is in a stage.
    pub stage_duration: HistogramVec,
    /// Calls of AWS IoT, by operation and result.
    pub iot_requests: IntCounterVec,
    /// How long a call of AWS IoT takes, by operation.
    pub iot_request_duration: HistogramVec,
    /// Calls a second, by target, operation and kind.
    pub limiter_rate: GaugeVec,
    /// Tokens leased from the ledger.
    pub limiter_tokens_leased: IntCounter,
    /// How long a job waits for a token.
    pub limiter_wait: Histogram,
    /// Whether something holds calls back, by breaker.
    pub breaker_open: IntGaugeVec,
    /// What the precheck found, by code.
    pub precheck_rejections: IntCounterVec,
    /// Certificates that were forwarded with a warning.
    pub precheck_warnings: IntCounter,
    /// Calls of SQS, by operation and result.
    pub sqs_requests: IntCounterVec,
    /// Messages that SQS was told to delete, by result.
    pub sqs_delete_entries: IntCounterVec,
    /// Messages whose visibility was extended, by result.
    pub sqs_visibility_extensions: IntCounterVec,
    /// Messages in the queues, by queue (main, replay, dead) and state.
    pub queue_messages: IntGaugeVec,
    /// How long the queue keeps a message.
    pub queue_retention: GaugeVec,
    /// How long the backlog takes, by basis: at the configured and at the learnt rate.
    pub backlog_eta: GaugeVec,
    /// What the ledger says of the whole fleet.
    pub fleet: Arc<Fleet>,
    /// How long a flush to Postgres takes.
    pub record_flush_duration: Histogram,
    /// How many rows a flush writes.
    pub record_flush_rows: Histogram,
    /// Failed operations of Postgres, by class.
    pub db_errors: IntCounterVec,
    /// Jobs whose task panicked; their messages come back by themselves.
    pub job_panics: IntCounter,
    /// When this worker last recorded an outcome.
    pub last_progress: GaugeVec,
    /// Log lines of this process that could not be written.
    pub log_lines_lost: IntCounter,
}

/// The values of the label `state` of messages in a queue.
pub const QUEUE_STATES: [&str; 3] = ["visible", "in_flight", "delayed"];

/// The SQS calls that a worker makes.
pub const SQS_OPERATIONS: [&str; 5] =
    ["ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "GetQueueAttributes", "SendMessageBatch"];

/// Why a job is sent again: to see whether its hold is over, because it is, as a busy target has room, or because somebody
/// asked for it.
pub const SENT_AGAIN_REASONS: [&str; 4] = ["probe", "release", "room", REPLAY];

/// The one of them of which the job was not parked.
const REPLAY: &str = "replay";

const OK_OR_ERROR: [&str; 2] = ["ok", "error"];
const DELIVERIES: [&str; 2] = ["first", "redelivery"];

/// 50 us to 10 s.
const STAGE_BUCKETS: [f64; 12] = [0.000_05, 0.000_2, 0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0];

/// 1 s to 14 days, the longest that SQS keeps a message.
const AGE_BUCKETS: [f64; 12] =
    [1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 86_400.0, 259_200.0, 604_800.0, 1_209_600.0];

/// One row to the largest flush.
const ROW_BUCKETS: [f64; 8] = [1.0, 5.0, 20.0, 50.0, 100.0, 200.0, 400.0, 800.0];

impl Metrics {
    /// Makes every series at 0.
    ///
    /// # Panics
    /// Never: the names are constants of this file, and a test makes them.
    pub fn new() -> Self {
        let make = Maker(Registry::new_custom(Some("muster".into()), None).expect("the prefix is a valid name"));
        let metrics = Self {
            jobs_received: make.counters("jobs_received_total", "Messages received.", &["delivery"]),
            jobs_finished: make.counters("jobs_finished_total", "Jobs whose end is committed.", &["status", "code"]),
            jobs_parked: make.counters("jobs_parked_total", "Jobs that were parked.", &["code"]),
            jobs_sent_again: make.counters(
                "jobs_sent_again_total",
                "Jobs of the ledger that were sent again.",
                &["reason"],
            ),
            jobs_in_flight: make.gauges("jobs_in_flight", "Messages held.", &["stage"]),
            oldest_in_flight_age: make.gauge("oldest_in_flight_age_seconds", "Age of the message held longest."),
            job_age: make.histograms(
                ("job_age_seconds", "From sending a message to its committed end."),
                &["delivery"],
                &AGE_BUCKETS,
            ),
            stage_duration: make.histograms(
                ("stage_duration_seconds", "How long a job is in a stage."),
                &["stage"],
                &STAGE_BUCKETS,
            ),
            iot_requests: make.counters("iot_requests_total", "Calls of AWS IoT.", &["operation", "result"]),
            iot_request_duration: make.histograms(
                ("iot_request_duration_seconds", "How long a call of AWS IoT takes."),
                &["operation"],
                &STAGE_BUCKETS,
            ),
            limiter_rate: make.float_gauges("limiter_rate", "Calls a second.", &["target", "operation", "kind"]),
            limiter_tokens_leased: make.counter("limiter_tokens_leased_total", "Tokens leased from the ledger."),
            limiter_wait: make.histogram(("limiter_wait_seconds", "How long a job waits for a token."), &STAGE_BUCKETS),
            breaker_open: make.gauges("breaker_open", "Whether this holds calls back.", &["breaker"]),
            precheck_rejections: make.counters("precheck_rejections_total", "What the precheck found.", &["code"]),
            precheck_warnings: make.counter("precheck_warnings_total", "Certificates forwarded with a warning."),
            sqs_requests: make.counters("sqs_requests_total", "Calls of SQS.", &["operation", "result"]),
            sqs_delete_entries: make.counters("sqs_delete_entries_total", "Messages to be deleted.", &["result"]),
            sqs_visibility_extensions: make.counters(
                "sqs_visibility_extensions_total",
                "Messages whose visibility was extended.",
                &["result"],
            ),
            queue_messages: make.gauges("queue_messages", "Messages in the queue.", &["queue", "state"]),
            queue_retention: make.float_gauges("queue_retention_seconds", "How long the queue keeps a message.", &[]),
            backlog_eta: make.float_gauges("backlog_eta_seconds", "How long the backlog takes.", &["basis"]),
            fleet: Arc::new(Fleet::new(&make)),
            record_flush_duration: make
                .histogram(("record_flush_duration_seconds", "How long a flush to Postgres takes."), &STAGE_BUCKETS),
            record_flush_rows: make.histogram(("record_flush_rows", "How many rows a flush writes."), &ROW_BUCKETS),
            db_errors: make.counters("db_errors_total", "Failed operations of Postgres.", &["class"]),
            job_panics: make.counter("job_panics_total", "Jobs whose task panicked."),
            last_progress: make.float_gauges(
                "last_progress_timestamp_seconds",
                "When this worker last recorded an outcome.",
                &[],
            ),
            log_lines_lost: make.register(Ok(telemetry::lost())),
            registry: make.0,
        };
        metrics.publish_build();
        metrics.start_at_zero();
        metrics
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        let families = self.registry.gather();
        TextEncoder::new().encode(&families, &mut text).expect("writing to memory does not fail");
        String::from_utf8(text).expect("the text format is UTF-8")
    }

    /// Counts what a job came to, once that is committed; one that is parked has not ended.
    pub fn finished(&self, code: Code) {
        if code.status().is_end() {
            self.jobs_finished.with_label_values(&[<&str>::from(code.status()), code.as_str()]).inc();
        } else {
            self.jobs_parked.with_label_values(&[code.as_str()]).inc();
        }
    }

    /// How many jobs this process parked and did not send again.
    pub fn n_parked(&self) -> u64 {
        let parked = Code::VARIANTS.iter().filter(|code| !code.status().is_end());
        let parked: u64 = parked.map(|code| self.jobs_parked.with_label_values(&[code.as_str()]).get()).sum();
        let sent_again = SENT_AGAIN_REASONS
            .iter()
            .filter(|why| **why != REPLAY)
            .map(|why| self.jobs_sent_again.with_label_values(&[why]).get());
        parked.saturating_sub(sent_again.sum())
    }

    /// How many jobs ended other than well, quarantined messages included, since the start.
    pub fn n_failed(&self) -> u64 {
        let ended = Code::VARIANTS.iter().filter(|code| code.status().is_end() && !code.status().is_success());
        let ended = ended.map(|code| [<&str>::from(code.status()), code.as_str()]);
        let quarantined = ParseError::CODES.iter().map(|reason| ["quarantined", reason]);
        ended.chain(quarantined).map(|labels| self.jobs_finished.with_label_values(&labels).get()).sum()
    }

    /// Counts a failed operation of Postgres.
    pub fn db_error(&self, error: &LedgerError) {
        self.db_errors.with_label_values(&[error.class()]).inc();
    }

    /// Counts the quarantine of a message.
    pub fn quarantined(&self, reason: &str) {
        self.jobs_finished.with_label_values(&["quarantined", reason]).inc();
    }

    /// Counts a call of SQS.
    pub fn sqs_request<T, E>(&self, operation: &str, result: &Result<T, E>) {
        self.sqs_requests.with_label_values(&[operation, ok_or_error(result)]).inc();
    }

    /// Counts a call of AWS IoT.
    pub fn iot_request(&self, operation: Operation, result: &str, took: Duration) {
        let operation: &str = operation.into();
        self.iot_requests.with_label_values(&[operation, result]).inc();
        self.iot_request_duration.with_label_values(&[operation]).observe(took.as_secs_f64());
    }

    /// Notes how long a job was in a stage.
    pub fn stage(&self, stage: Stage, took: Duration) {
        self.stage_duration.with_label_values(&[<&str>::from(stage)]).observe(took.as_secs_f64());
    }

    fn publish_build(&self) {
        let opts = Opts::new("build_info", "The program.").const_label("version", env!("CARGO_PKG_VERSION"));
        let build = IntGauge::with_opts(opts).expect("the name is valid");
        build.set(1);
        self.registry.register(Box::new(build)).expect("the name is used once");
        #[cfg(target_os = "linux")]
        self.registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("the names are used once");
    }

    fn start_at_zero(&self) {
        for delivery in DELIVERIES {
            self.jobs_received.with_label_values(&[delivery]);
            self.job_age.with_label_values(&[delivery]);
        }
        for &code in Code::VARIANTS {
            if code.status().is_end() {
                self.jobs_finished.with_label_values(&[<&str>::from(code.status()), code.as_str()]);
            } else {
                self.jobs_parked.with_label_values(&[code.as_str()]);
            }
            if code.status() == Status::Rejected {
                self.precheck_rejections.with_label_values(&[code.as_str()]);
            }
        }
        for reason in SENT_AGAIN_REASONS {
            self.jobs_sent_again.with_label_values(&[reason]);
        }
        for reason in ParseError::CODES {
            self.jobs_finished.with_label_values(&["quarantined", reason]);
        }
        for &stage in Stage::VARIANTS {
            self.jobs_in_flight.with_label_values(&[<&str>::from(stage)]);
            self.stage_duration.with_label_values(&[<&str>::from(stage)]);
        }
        for &operation in Operation::VARIANTS {
            self.iot_request_duration.with_label_values(&[<&str>::from(operation)]);
            for result in RESULT_LABELS {
                self.iot_requests.with_label_values(&[<&str>::from(operation), result]);
            }
        }
        for result in OK_OR_ERROR {
            self.sqs_delete_entries.with_label_values(&[result]);
            self.sqs_visibility_extensions.with_label_values(&[result]);
            for operation in SQS_OPERATIONS {
                self.sqs_requests.with_label_values(&[operation, result]);
            }
        }
        for breaker in BREAKER_LABELS {
            self.breaker_open.with_label_values(&[breaker]);
        }
        for class in ERROR_CLASSES {
            self.db_errors.with_label_values(&[class]);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The value of a label `result`.
pub fn ok_or_error<T, E>(result: &Result<T, E>) -> &'static str {
    if result.is_ok() { "ok" } else { "error" }
}

/// The value of a label `delivery`.
pub fn delivery(is_redelivery: bool) -> &'static str {
    if is_redelivery { "redelivery" } else { "first" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start() {
        let text = Metrics::new().text();
        for series in [
            r#"muster_jobs_finished_total{code="ok",status="registered"} 0"#,
            r#"muster_jobs_finished_total{code="not_json",status="quarantined"} 0"#,
            r#"muster_iot_requests_total{operation="RegisterCertificate",result="throttled"} 0"#,
            r#"muster_precheck_rejections_total{code="expired"} 0"#,
            r#"muster_jobs_parked_total{code="issuer_inactive"} 0"#,
            r#"muster_jobs_sent_again_total{reason="probe"} 0"#,
            r#"muster_jobs_in_flight{stage="waiting"} 0"#,
            "muster_log_lines_lost_total 0",
            "muster_build_info{version=",
        ] {
            assert!(text.contains(series), "{series} is not in\n{text}");
        }
    }

    #[test]
    fn a_gauge_of_something_unknown_is_absent() {
        let text = Metrics::new().text();
        for name in
            ["batch_missing_jobs", "last_progress", "queue_messages", "queue_retention", "backlog_eta", "workers"]
        {
            assert!(!text.contains(&format!("\nmuster_{name}")), "{name} is in\n{text}");
        }
    }

    #[test]
    fn a_committed_end_is_counted_under_its_status_and_code() {
        let metrics = Metrics::new();
        metrics.finished(Code::Expired);
        assert!(metrics.text().contains(r#"muster_jobs_finished_total{code="expired",status="rejected"} 1"#));
    }

    #[test]
    fn a_parked_job_has_not_ended_and_did_not_fail() {
        let metrics = Metrics::new();
        metrics.finished(Code::IssuerInactive);
        metrics.finished(Code::Expired);
        assert_eq!((metrics.n_parked(), metrics.n_failed()), (1, 1));
        assert!(!metrics.text().contains(r#"status="parked""#));
    }
}
