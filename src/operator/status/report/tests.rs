use std::time::Duration;

use time::macros::datetime;

use super::super::facts::Measured;
use super::*;
use crate::config::Config;
use crate::ledger::batch::Count;
use crate::ledger::rate_limit::{Change, RateChangeReason, RateReport};
use crate::ledger::workers::WorkerReport;
use crate::operator::situation::Situation;
use muster_core::hold::HoldKey;
use muster_core::job::Operation;

fn count(code: Code, n: u64) -> Count {
    Count {
        source: String::new(),
        status: code.status(),
        code,
        n,
        n_status_differs: 0,
        first_at: datetime!(2026-11-21 10:00:00.25 UTC),
        last_at: datetime!(2026-11-21 10:10:00.25 UTC),
    }
}

/// Returns a fleet of one healthy worker.
fn working() -> Situation {
    let worker = WorkerReport {
        host: "host".into(),
        pid: 1,
        version: "1.0.0".into(),
        started_ago: Duration::ZERO,
        seen_ago: Duration::ZERO,
        troubles: vec![],
    };
    Situation { workers: vec![worker], ..Situation::default() }
}

/// Returns the report of a batch for one target.
fn of_batch(batch: &BatchStatus, situation: &Situation, measured: Option<Measured>) -> BatchReport {
    BatchReport::of(&StatusFacts {
        name: &"line-7".parse().unwrap(),
        batch,
        situation,
        queues_empty_for: None,
        measured,
        examples: vec![],
        operations: vec![("default".into(), Operation::RegisterCertificate)],
        rates: vec![],
        config: &Config::default(),
    })
}

fn report(announced: Option<u64>, measured: Option<Measured>, detail: &str) -> BatchReport {
    let counts = vec![count(Code::Ok, 5_940), count(Code::Expired, 60)];
    let batch = BatchStatus { announced, counts, ..BatchStatus::default() };
    let example = FailureExample {
        code: Code::Expired,
        subject: [0xab; 32],
        reference: Some("SN-7".into()),
        detail: Some(detail.into()),
    };
    BatchReport::of(&StatusFacts {
        name: &"line-7".parse().unwrap(),
        batch: &batch,
        situation: &working(),
        queues_empty_for: None,
        measured,
        examples: vec![example],
        operations: vec![("default".into(), Operation::RegisterCertificate)],
        rates: vec![],
        config: &Config::default(),
    })
}

/// Returns the report of counts alone.
fn of_counts(announced: Option<u64>, counts: Vec<Count>, queues_empty_for: Option<Duration>) -> BatchReport {
    BatchReport::of(&StatusFacts {
        name: &"line-7".parse().unwrap(),
        batch: &BatchStatus { announced, counts, ..BatchStatus::default() },
        situation: &working(),
        queues_empty_for,
        measured: None,
        examples: vec![],
        operations: vec![("default".into(), Operation::RegisterCertificate)],
        rates: vec![],
        config: &Config::default(),
    })
}

#[test]
fn the_report_shows_progress_and_time_left() {
    let measured = Measured { n_outcomes: 18, time: Duration::from_secs(2) };
    let report = report(Some(120_000), Some(measured), "it expired").to_string();
    assert_eq!(
        report,
        "batch line-7: 6,000 of 120,000 certificates have an outcome, 114,000 outstanding

      5,940  registered
          0  already registered
         60  rejected
          0  refused
          0  exhausted
          0  gone

failed, with an example each:
         60  expired  SN-7: it expired

        9.0  outcomes per second, measured over 2.0 s just now
       10.0  outcomes per second on average, from 2026-11-21T10:00:00Z to 2026-11-21T10:10:00Z
 3 h 31 min  left at the measured rate
 3 h 10 min  left at the configured quota of 10 a second, at least
"
    );
}

#[test]
fn the_quota_in_the_ledger_overrides_the_settings() {
    let at = datetime!(2026-11-22 03:30:00 UTC);
    let changes = vec![Change { at, rate: 37.5, reason: RateChangeReason::Throttled }];
    let (target, operation) = ("default".into(), "RegisterCertificate".into());
    let report = BatchReport::of(&StatusFacts {
        name: &"line-7".parse().unwrap(),
        batch: &BatchStatus { announced: Some(7_500), ..BatchStatus::default() },
        situation: &working(),
        queues_empty_for: None,
        measured: None,
        examples: vec![],
        operations: vec![("default".into(), Operation::RegisterCertificate)],
        rates: vec![RateReport { target, operation, ceiling: 100.0, learnt: 37.5, changes }],
        config: &Config::default(),
    });
    assert_eq!((report.quota, report.learnt_rate), (Some(100.0), Some(37.5)));
    let wanted = "
       37.5  of 100 a second learnt for default, cut by a throttle 2026-11-22T03:30:00Z
 3 min 20 s  left at the learnt rate of 37.5 a second, at least
";
    let text = report.to_string();
    assert!(text.ends_with(wanted), "{text}");
}

#[test]
fn parked_jobs_are_neither_outstanding_nor_failed() {
    let counts = vec![count(Code::Ok, 5_000), count(Code::IssuerInactive, 1_200)];
    let report = of_counts(Some(7_000), counts, None);
    assert_eq!((report.finished, report.outstanding, report.parked), (5_000, Some(800), 1_200));
    let text = report.to_string();
    assert!(
        text.starts_with("batch line-7: 5,000 of 7,000 certificates have an outcome, 800 outstanding, 1,200 parked\n")
    );
    assert!(text.contains("\n\nparked, with an example each:\n"), "{text}");
    assert!(text.contains("      1,200  issuer_inactive\n") && !text.contains("failed, with"), "{text}");
}

#[test]
fn outstanding_certificates_become_missing_once_the_queues_stay_empty() {
    let counts = vec![count(Code::Ok, 5_000), count(Code::IssuerInactive, 1_200)];
    let of = |empty_for| of_counts(Some(7_000), counts.clone(), Some(empty_for));
    let early = of(Duration::from_secs(119));
    assert_eq!((early.missing, early.seconds_left_at_quota), (None, Some(200.0)));
    let report = of(Duration::from_mins(5));
    assert_eq!((report.outstanding, report.missing), (Some(800), Some(800)));
    assert_eq!(
        (report.queues_empty_seconds, report.seconds_left_at_quota),
        (Some(300), Some(120.0)),
        "the time for the jobs being resent"
    );
    let text = report.to_string();
    let wanted = "batch line-7: 5,000 of 7,000 certificates have an outcome, 1,200 parked, 800 missing: announced, no \
                  outcome, and the queues have been empty for 5 min (an unknown number of dead letters, 0 quarantined)\n";
    assert!(text.starts_with(wanted), "{text}");
}

#[test]
fn gone_certificates_count_as_failed() {
    let counts = vec![count(Code::Ok, 5_000), count(Code::Deleted, 12)];
    let report = of_counts(Some(5_012), counts, None);
    assert_eq!((report.finished, report.by_status["gone"], report.is_complete()), (5_012, 12, true));
    let text = report.to_string();
    assert!(text.contains("failed, with an example each:\n         12  deleted\n"), "{text}");
}

#[test]
fn parked_jobs_do_not_count_as_first_or_last_outcome() {
    let report = BatchReport::of(&StatusFacts {
        name: &"line-7".parse().unwrap(),
        batch: &BatchStatus {
            announced: Some(7_000),
            counts: vec![count(Code::IssuerInactive, 1_200)],
            ..BatchStatus::default()
        },
        situation: &working(),
        queues_empty_for: None,
        measured: None,
        examples: vec![],
        operations: vec![],
        rates: vec![],
        config: &Config::default(),
    });
    assert_eq!((report.first_outcome_at, report.last_outcome_at, report.average_rate), (None, None, None));
}

#[test]
fn a_complete_batch_has_nothing_left() {
    let report = report(Some(6_000), None, "it expired");
    assert!(report.to_string().starts_with("batch line-7: complete, 6,000 of 6,000 certificates have an outcome\n"));
    assert!(!report.to_string().contains("left"));
    assert_eq!(report.seconds_left_at_quota, Some(0.0));
}

#[test]
fn a_batch_of_unknown_size_has_no_time_left() {
    let report = report(None, None, "it expired");
    assert!(report.to_string().contains("the producer did not announce how many there are"));
    assert_eq!((report.outstanding, report.seconds_left_at_quota), (None, None));
}

#[test]
fn a_measured_rate_of_zero_gives_no_time_left() {
    let report = report(Some(7_000), Some(Measured { n_outcomes: 0, time: Duration::from_secs(2) }), "it expired");
    assert_eq!((report.measured_rate, report.seconds_left_at_measured_rate), (Some(0.0), None));
    assert_eq!(report.seconds_left_at_quota, Some(100.0));
}

#[test]
fn foreign_text_cannot_control_the_terminal() {
    let report = report(None, None, "\u{1b}[2Jü\n\u{202e}x").to_string();
    assert!(report.contains("SN-7: \u{fffd}[2Jü\u{fffd}\u{fffd}x\n"), "{report}");
}

/// Premise: a clock was set back between the two outcomes.
#[test]
fn there_is_no_average_if_the_last_outcome_precedes_the_first() {
    let mut outcomes = count(Code::Ok, 1_200);
    outcomes.last_at = outcomes.first_at - time::Duration::DAY;
    let report = of_counts(None, vec![outcomes], None);
    assert_eq!(report.average_rate, None);
}

/// Premise: a remaining time was shown while everything was paused, denied or without a worker.
#[test]
fn stopped_work_has_no_time_left() {
    let batch = BatchStatus { announced: Some(7_000), counts: vec![count(Code::Ok, 5_000)], ..BatchStatus::default() };
    let report = of_batch(&batch, &Situation::default(), None);
    assert_eq!((report.seconds_left_at_quota, report.seconds_left_at_learnt_rate), (None, None));
    let text = report.to_string();
    assert!(
        text.starts_with("STOPPED: no worker is running\n    fix: start one with `muster serve`\n\nbatch"),
        "{text}"
    );
    assert!(!text.contains(" left "), "{text}");
    assert_eq!(of_batch(&batch, &working(), None).seconds_left_at_quota, Some(200.0));
}

#[test]
fn a_complete_batch_has_no_obstacles() {
    let batch = BatchStatus { announced: Some(5_000), counts: vec![count(Code::Ok, 5_000)], ..BatchStatus::default() };
    assert_eq!(of_batch(&batch, &Situation::default(), None).obstacles, []);
}

/// Premise: parked jobs whose CA was registered meanwhile were shown as waiting for it.
#[test]
fn parked_jobs_wait_for_a_hold_or_are_being_resent() {
    let hold = HoldKey::batch(&"line-7".parse().unwrap());
    let batch = |waiting| BatchStatus {
        announced: Some(1_500),
        counts: vec![count(Code::Ok, 300), count(Code::BatchFailing, 1_200)],
        waiting,
        ..BatchStatus::default()
    };
    let some = batch(vec![WaitingJobs { hold: hold.clone(), subject: None, n: 200 }]);
    let report = of_batch(&some, &working(), None);
    assert_eq!((report.being_resent, report.waiting_for[0].n), (Some(1_000), 200));
    assert_eq!(report.seconds_left_at_quota, Some(100.0), "the time for the jobs being resent");
    assert!(report.to_string().contains("      1,000  nothing any more: being resent\n"), "{report}");
    let report = of_batch(&batch(vec![WaitingJobs { hold: hold.clone(), subject: None, n: 1_200 }]), &working(), None);
    assert_eq!((report.being_resent, report.seconds_left_at_quota), (Some(0), None), "somebody must fix it first");
    let report = of_batch(&batch(vec![WaitingJobs { hold, subject: None, n: COUNTED_MAX }]), &working(), None);
    assert_eq!((report.being_resent, report.seconds_left_at_quota), (None, None), "unknown is not 0");
}

#[test]
fn no_rate_is_computed_over_less_than_a_second() {
    let mut outcomes = count(Code::Ok, 1_200);
    outcomes.last_at = outcomes.first_at + time::Duration::milliseconds(900);
    assert_eq!(of_counts(None, vec![outcomes], None).average_rate, None);
    let measured = Measured { n_outcomes: 3, time: Duration::from_millis(10) };
    assert_eq!(report(Some(7_000), Some(measured), "").measured_rate, None);
}

#[test]
fn messages_of_other_batches_add_to_the_time_left() {
    let batch = BatchStatus { announced: Some(7_000), counts: vec![count(Code::Ok, 5_000)], ..BatchStatus::default() };
    let queue = crate::ledger::queue_readings::QueueReport {
        queue: "q".into(),
        read_ago: Duration::ZERO,
        n_messages: Some(50_000),
        n_dead: Some(0),
    };
    let report = of_batch(&batch, &Situation { queues: vec![queue], ..working() }, None);
    assert_eq!(report.seconds_left_with_other_batches, Some(5_000.0));
    assert!(report.to_string().contains("left at that rate for all 50,000 messages in the queues\n"), "{report}");
}
