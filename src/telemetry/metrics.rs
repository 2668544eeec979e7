//! The Prometheus metrics of a worker. Label values come from closed sets, and every counter starts at 0.
//!
//! A gauge whose value is not known yet, or no longer known, is absent, because 0 would be a claim. No label contains a
//! batch, a source, a certificate or a message, so input cannot add series.

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
    /// Messages received, by delivery (first or redelivery).
    pub jobs_received: IntCounterVec,
    /// Jobs with a committed outcome, by status and code.
    pub jobs_finished: IntCounterVec,
    /// Jobs that were parked, by code.
    pub jobs_parked: IntCounterVec,
    /// Jobs of the ledger that were resent, by reason.
    pub jobs_sent_again: IntCounterVec,
    /// Messages held, by stage.
    pub jobs_in_flight: IntGaugeVec,
    /// Age of the message held longest.
    pub oldest_in_flight_age: Gauge,
    /// Time from sending a message to its committed outcome, by delivery.
    pub job_age: HistogramVec,
    /// Time that a job spends in a stage, by stage.
    pub stage_duration: HistogramVec,
    /// AWS IoT calls, by operation and result.
    pub iot_requests: IntCounterVec,
    /// Duration of AWS IoT calls, by operation.
    pub iot_request_duration: HistogramVec,
    /// Calls per second, by target, operation and kind (ceiling or learnt).
    pub limiter_rate: GaugeVec,
    /// Permits leased from the ledger.
    pub limiter_tokens_leased: IntCounter,
    /// Time that a job waits for a permit.
    pub limiter_wait: Histogram,
    /// Whether a circuit breaker is open or a hold is in force, by breaker.
    pub breaker_open: IntGaugeVec,
    /// Jobs rejected by the precheck, by code.
    pub precheck_rejections: IntCounterVec,
    /// Certificates forwarded with a warning.
    pub precheck_warnings: IntCounter,
    /// SQS calls, by operation and result.
    pub sqs_requests: IntCounterVec,
    /// Messages that SQS was asked to delete, by result.
    pub sqs_delete_entries: IntCounterVec,
    /// Messages whose visibility was extended, by result.
    pub sqs_visibility_extensions: IntCounterVec,
    /// Messages in the queues, by queue (main, replay, dead) and state.
    pub queue_messages: IntGaugeVec,
    /// How long the queue keeps a message.
    pub queue_retention: GaugeVec,
    /// Estimated time to work off the backlog, by basis: at the configured rate (ceiling) and at the learnt rate.
    pub backlog_eta: GaugeVec,
    /// Gauges of the whole fleet, from the ledger.
    pub fleet: Arc<Fleet>,
    /// Duration of a flush to Postgres.
    pub record_flush_duration: Histogram,
    /// Rows written per flush.
    pub record_flush_rows: Histogram,
    /// Failed Postgres operations, by class.
    pub db_errors: IntCounterVec,
    /// Jobs whose task panicked. Their messages reappear in the queue after the visibility timeout.
    pub job_panics: IntCounter,
    /// When this worker last recorded an outcome.
    pub last_progress: GaugeVec,
    /// Log lines of this process that could not be written.
    pub log_lines_lost: IntCounter,
}

/// The values of the label `state` of messages in a queue.
pub const QUEUE_STATES: [&str; 3] = ["visible", "in_flight", "delayed"];

/// The SQS operations that a worker calls.
pub const SQS_OPERATIONS: [&str; 5] =
    ["ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "GetQueueAttributes", "SendMessageBatch"];

/// Why a job is resent: to probe its hold, because the hold was released, because a busy target has room again, or
/// because an operator asked for a replay.
pub const RESEND_REASONS: [&str; 4] = ["probe", "release", "room", REPLAY];

/// The only reason for resending a job that was not parked.
const REPLAY: &str = "replay";

const OK_OR_ERROR: [&str; 2] = ["ok", "error"];
const DELIVERIES: [&str; 2] = ["first", "redelivery"];

/// 50 µs to 10 s.
const STAGE_BUCKETS: [f64; 12] = [0.000_05, 0.000_2, 0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0];

/// 1 s to 14 days, the maximum time that SQS keeps a message.
const AGE_BUCKETS: [f64; 12] =
    [1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 86_400.0, 259_200.0, 604_800.0, 1_209_600.0];

/// One row to the largest flush.
const ROW_BUCKETS: [f64; 8] = [1.0, 5.0, 20.0, 50.0, 100.0, 200.0, 400.0, 800.0];

impl Metrics {
    /// Creates every series whose labels are known, at 0.
    ///
    /// # Panics
    /// Never: the names are constants in this file, and a test creates them all.
    pub fn new() -> Self {
        let make = Maker(Registry::new_custom(Some("muster".into()), None).expect("the prefix is a valid name"));
        let metrics = Self {
            jobs_received: make.counters("jobs_received_total", "Messages received.", &["delivery"]),
            jobs_finished: make.counters("jobs_finished_total", "Jobs with a committed outcome.", &["status", "code"]),
            jobs_parked: make.counters("jobs_parked_total", "Jobs that were parked.", &["code"]),
            jobs_sent_again: make.counters(
                "jobs_sent_again_total",
                "Jobs of the ledger that were resent.",
                &["reason"],
            ),
            jobs_in_flight: make.gauges("jobs_in_flight", "Messages held.", &["stage"]),
            oldest_in_flight_age: make.gauge("oldest_in_flight_age_seconds", "Age of the message held longest."),
            job_age: make.histograms(
                ("job_age_seconds", "Time from sending a message to its committed outcome."),
                &["delivery"],
                &AGE_BUCKETS,
            ),
            stage_duration: make.histograms(
                ("stage_duration_seconds", "Time that a job spends in a stage."),
                &["stage"],
                &STAGE_BUCKETS,
            ),
            iot_requests: make.counters("iot_requests_total", "AWS IoT calls.", &["operation", "result"]),
            iot_request_duration: make.histograms(
                ("iot_request_duration_seconds", "Duration of AWS IoT calls."),
                &["operation"],
                &STAGE_BUCKETS,
            ),
            limiter_rate: make.float_gauges("limiter_rate", "Calls per second.", &["target", "operation", "kind"]),
            limiter_tokens_leased: make.counter("limiter_tokens_leased_total", "Permits leased from the ledger."),
            limiter_wait: make
                .histogram(("limiter_wait_seconds", "Time that a job waits for a permit."), &STAGE_BUCKETS),
            breaker_open: make.gauges("breaker_open", "1 while this breaker or hold blocks calls.", &["breaker"]),
            precheck_rejections: make.counters(
                "precheck_rejections_total",
                "Jobs rejected by the precheck.",
                &["code"],
            ),
            precheck_warnings: make.counter("precheck_warnings_total", "Certificates forwarded with a warning."),
            sqs_requests: make.counters("sqs_requests_total", "SQS calls.", &["operation", "result"]),
            sqs_delete_entries: make.counters(
                "sqs_delete_entries_total",
                "Messages that SQS was asked to delete.",
                &["result"],
            ),
            sqs_visibility_extensions: make.counters(
                "sqs_visibility_extensions_total",
                "Messages whose visibility was extended.",
                &["result"],
            ),
            queue_messages: make.gauges("queue_messages", "Messages in the queues.", &["queue", "state"]),
            queue_retention: make.float_gauges("queue_retention_seconds", "How long the queue keeps a message.", &[]),
            backlog_eta: make.float_gauges(
                "backlog_eta_seconds",
                "Estimated time to work off the backlog.",
                &["basis"],
            ),
            fleet: Arc::new(Fleet::new(&make)),
            record_flush_duration: make
                .histogram(("record_flush_duration_seconds", "Duration of a flush to Postgres."), &STAGE_BUCKETS),
            record_flush_rows: make.histogram(("record_flush_rows", "Rows written per flush."), &ROW_BUCKETS),
            db_errors: make.counters("db_errors_total", "Failed Postgres operations.", &["class"]),
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

    /// Returns the metrics in the Prometheus text format.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        let families = self.registry.gather();
        TextEncoder::new().encode(&families, &mut text).expect("writing to memory does not fail");
        String::from_utf8(text).expect("the text format is UTF-8")
    }

    /// Counts the committed outcome of a job. A parked job has no final outcome and is counted as parked.
    pub fn finished(&self, code: Code) {
        if code.status().is_outcome() {
            self.jobs_finished.with_label_values(&[<&str>::from(code.status()), code.as_str()]).inc();
        } else {
            self.jobs_parked.with_label_values(&[code.as_str()]).inc();
        }
    }

    /// Returns how many jobs this process parked and did not resend.
    pub fn n_parked(&self) -> u64 {
        let parked = Code::VARIANTS.iter().filter(|code| !code.status().is_outcome());
        let parked: u64 = parked.map(|code| self.jobs_parked.with_label_values(&[code.as_str()]).get()).sum();
        let resent = RESEND_REASONS
            .iter()
            .filter(|why| **why != REPLAY)
            .map(|why| self.jobs_sent_again.with_label_values(&[why]).get());
        parked.saturating_sub(resent.sum())
    }

    /// Returns how many jobs failed since the start, including quarantined messages.
    pub fn n_failed(&self) -> u64 {
        let failed = Code::VARIANTS.iter().filter(|code| code.status().is_outcome() && !code.status().is_success());
        let failed = failed.map(|code| [<&str>::from(code.status()), code.as_str()]);
        let quarantined = ParseError::CODES.iter().map(|reason| ["quarantined", reason]);
        failed.chain(quarantined).map(|labels| self.jobs_finished.with_label_values(&labels).get()).sum()
    }

    /// Counts a failed Postgres operation.
    pub fn db_error(&self, error: &LedgerError) {
        self.db_errors.with_label_values(&[error.class()]).inc();
    }

    /// Counts the quarantine of a message.
    pub fn quarantined(&self, reason: &str) {
        self.jobs_finished.with_label_values(&["quarantined", reason]).inc();
    }

    /// Counts an SQS call.
    pub fn sqs_request<T, E>(&self, operation: &str, result: &Result<T, E>) {
        self.sqs_requests.with_label_values(&[operation, ok_or_error(result)]).inc();
    }

    /// Counts an AWS IoT call and its duration.
    pub fn iot_request(&self, operation: Operation, result: &str, took: Duration) {
        let operation: &str = operation.into();
        self.iot_requests.with_label_values(&[operation, result]).inc();
        self.iot_request_duration.with_label_values(&[operation]).observe(took.as_secs_f64());
    }

    /// Records how long a job was in a stage.
    pub fn stage(&self, stage: Stage, took: Duration) {
        self.stage_duration.with_label_values(&[<&str>::from(stage)]).observe(took.as_secs_f64());
    }

    fn publish_build(&self) {
        let opts = Opts::new("build_info", "Version of the program.").const_label("version", env!("CARGO_PKG_VERSION"));
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
            if code.status().is_outcome() {
                self.jobs_finished.with_label_values(&[<&str>::from(code.status()), code.as_str()]);
            } else {
                self.jobs_parked.with_label_values(&[code.as_str()]);
            }
            if code.status() == Status::Rejected {
                self.precheck_rejections.with_label_values(&[code.as_str()]);
            }
        }
        for reason in RESEND_REASONS {
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

/// Returns the value of a label `result`.
pub fn ok_or_error<T, E>(result: &Result<T, E>) -> &'static str {
    if result.is_ok() { "ok" } else { "error" }
}

/// Returns the value of a label `delivery`.
pub fn delivery(is_redelivery: bool) -> &'static str {
    if is_redelivery { "redelivery" } else { "first" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_exists_from_the_start() {
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
            assert!(text.contains(series), "{series} is missing from\n{text}");
        }
    }

    #[test]
    fn a_gauge_with_an_unknown_value_is_absent() {
        let text = Metrics::new().text();
        for name in
            ["batch_missing_jobs", "last_progress", "queue_messages", "queue_retention", "backlog_eta", "workers"]
        {
            assert!(!text.contains(&format!("\nmuster_{name}")), "{name} is present in\n{text}");
        }
    }

    #[test]
    fn a_committed_outcome_is_counted_by_status_and_code() {
        let metrics = Metrics::new();
        metrics.finished(Code::Expired);
        assert!(metrics.text().contains(r#"muster_jobs_finished_total{code="expired",status="rejected"} 1"#));
    }

    #[test]
    fn a_parked_job_is_neither_finished_nor_failed() {
        let metrics = Metrics::new();
        metrics.finished(Code::IssuerInactive);
        metrics.finished(Code::Expired);
        assert_eq!((metrics.n_parked(), metrics.n_failed()), (1, 1));
        assert!(!metrics.text().contains(r#"status="parked""#));
    }
}
