use time::macros::datetime;

use super::*;
use crate::store::batch::Count;
use crate::store::rate_limit::{Change, Reason};

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

fn report(announced: Option<u64>, measured: Option<Measured>, detail: &str) -> Report {
    let batch = BatchStatus { announced, counts: vec![count(Code::Ok, 5_940), count(Code::Expired, 60)] };
    let example = Example {
        code: Code::Expired,
        subject: [0xab; 32],
        reference: Some("SN-7".into()),
        detail: Some(detail.into()),
    };
    Report::of(&Facts {
        name: &"line-7".parse().unwrap(),
        batch: &batch,
        queues_empty_for: None,
        measured,
        examples: vec![example],
        operations: vec![("default".into(), Operation::RegisterCertificate)],
        rates: vec![],
        config: &Config::default(),
    })
}

/// The report of counts alone.
fn of_counts(announced: Option<u64>, counts: Vec<Count>, queues_empty_for: Option<Duration>) -> Report {
    Report::of(&Facts {
        name: &"line-7".parse().unwrap(),
        batch: &BatchStatus { announced, counts },
        queues_empty_for,
        measured: None,
        examples: vec![],
        operations: vec![("default".into(), Operation::RegisterCertificate)],
        rates: vec![],
        config: &Config::default(),
    })
}

#[test]
fn people_read_how_far_a_batch_is_and_when_it_ends() {
    let measured = Measured { ends: 18, time: Duration::from_secs(2) };
    let report = report(Some(120_000), Some(measured), "it expired").to_string();
    assert_eq!(
        report,
        "batch line-7: 6,000 ended of 120,000 announced, 114,000 outstanding

      5,940  registered
          0  already registered
         60  rejected
          0  refused
          0  exhausted
          0  gone

what failed, with an example of each:
         60  expired  SN-7: it expired

        9.0  ends a second just now, measured for 2.0 s
       10.0  ends a second on average from 2026-11-21T10:00:00Z to 2026-11-21T10:10:00Z
     3h 31m  left at the rate of just now
     3h 10m  left at the configured quota of 10 a second
"
    );
}

#[test]
fn the_ledger_knows_a_quota_better_than_the_settings() {
    let at = datetime!(2026-11-22 03:30:00 UTC);
    let changes = vec![Change { at, rate: 37.5, reason: Reason::Throttled }];
    let (target, operation) = ("default".into(), "RegisterCertificate".into());
    let report = Report::of(&Facts {
        name: &"line-7".parse().unwrap(),
        batch: &BatchStatus { announced: Some(7_500), counts: vec![] },
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
     3m 20s  left at the learnt rate of 37.5 a second
     1m 15s  left at the configured quota of 100 a second
";
    let text = report.to_string();
    assert!(text.ends_with(wanted), "{text}");
}

#[test]
fn what_is_parked_is_not_outstanding_and_did_not_fail() {
    let counts = vec![count(Code::Ok, 5_000), count(Code::IssuerInactive, 1_200)];
    let report = of_counts(Some(7_000), counts, None);
    assert_eq!((report.ended, report.outstanding, report.parked), (5_000, Some(800), 1_200));
    let text = report.to_string();
    assert!(text.starts_with("batch line-7: 5,000 ended of 7,000 announced, 800 outstanding, 1,200 parked\n"));
    assert!(text.contains("\n\nwhat is parked until its cause is mended, with an example of each:\n"), "{text}");
    assert!(text.contains("      1,200  issuer_inactive\n") && !text.contains("what failed"), "{text}");
}

#[test]
fn what_is_outstanding_is_missing_once_the_queues_were_empty_for_long() {
    let counts = vec![count(Code::Ok, 5_000), count(Code::IssuerInactive, 1_200)];
    let of = |empty_for| of_counts(Some(7_000), counts.clone(), Some(empty_for));
    let early = of(Duration::from_secs(119));
    assert_eq!((early.missing, early.seconds_left_at_quota), (None, Some(80.0)));
    let report = of(Duration::from_mins(5));
    assert_eq!((report.outstanding, report.missing), (Some(800), Some(800)));
    assert_eq!((report.queues_empty_seconds, report.seconds_left_at_quota), (Some(300), None), "nothing comes");
    let text = report.to_string();
    let wanted = "batch line-7: 5,000 ended of 7,000 announced, 1,200 parked, 800 missing: announced, without an end, \
                  and the queues have been empty for 5m\n";
    assert!(text.starts_with(wanted) && !text.contains("left"), "{text}");
}

#[test]
fn what_was_registered_and_is_gone_failed() {
    let counts = vec![count(Code::Ok, 5_000), count(Code::Deleted, 12)];
    let report = of_counts(Some(5_012), counts, None);
    assert_eq!((report.ended, report.ends["gone"], report.is_complete()), (5_012, 12, true));
    let text = report.to_string();
    assert!(text.contains("what failed, with an example of each:\n         12  deleted\n"), "{text}");
}

#[test]
fn what_is_parked_is_no_first_end() {
    let report = Report::of(&Facts {
        name: &"line-7".parse().unwrap(),
        batch: &BatchStatus { announced: Some(7_000), counts: vec![count(Code::IssuerInactive, 1_200)] },
        queues_empty_for: None,
        measured: None,
        examples: vec![],
        operations: vec![],
        rates: vec![],
        config: &Config::default(),
    });
    assert_eq!((report.first_end_at, report.last_end_at, report.average_rate), (None, None, None));
}

#[test]
fn a_complete_batch_has_nothing_left() {
    let report = report(Some(6_000), None, "it expired");
    assert!(report.to_string().starts_with("batch line-7: complete, 6,000 ended of 6,000 announced\n"));
    assert!(!report.to_string().contains("left"));
    assert_eq!(report.seconds_left_at_quota, Some(0.0));
}

#[test]
fn a_batch_of_unknown_size_has_no_end_in_sight() {
    let report = report(None, None, "it expired");
    assert!(report.to_string().contains("the line did not say how many there are"));
    assert_eq!((report.outstanding, report.seconds_left_at_quota), (None, None));
}

#[test]
fn a_standstill_has_no_end_in_sight_at_its_rate() {
    let report = report(Some(7_000), Some(Measured { ends: 0, time: Duration::from_secs(2) }), "it expired");
    assert_eq!((report.measured_rate, report.seconds_left_at_measured_rate), (Some(0.0), None));
    assert_eq!(report.seconds_left_at_quota, Some(100.0));
}

#[test]
fn what_came_from_outside_does_not_steer_the_terminal() {
    let report = report(None, None, "\u{1b}[2Jü\n\u{202e}x").to_string();
    assert!(report.contains("SN-7: \u{fffd}[2Jü\u{fffd}\u{fffd}x\n"), "{report}");
}

/// A clock was set back between the two.
#[test]
fn ends_whose_last_is_before_their_first_have_no_average() {
    let mut ended = count(Code::Ok, 1_200);
    ended.last_at = ended.first_at - time::Duration::DAY;
    let report = of_counts(None, vec![ended], None);
    assert_eq!(report.average_rate, None);
}
