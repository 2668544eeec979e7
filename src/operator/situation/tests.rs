use std::time::Duration;

use super::*;
use muster_core::trouble::Trouble;

fn worker(seen_ago: u64, troubles: &[(&'static str, &str)]) -> WorkerReport {
    let trouble = |&(breaker, what): &(&'static str, &str)| Trouble {
        breaker: breaker.into(),
        what: what.to_owned(),
        reason: "the reason".to_owned(),
    };
    WorkerReport {
        host: "plant-3".to_owned(),
        pid: 7,
        version: "1.2.3".to_owned(),
        started_ago: Duration::from_hours(1),
        seen_ago: Duration::from_secs(seen_ago),
        troubles: troubles.iter().map(trouble).collect(),
    }
}

fn queue(read_ago: u64, n_messages: Option<u64>, n_dead: Option<u64>) -> QueueReport {
    QueueReport { queue: "q".to_owned(), read_ago: Duration::from_secs(read_ago), n_messages, n_dead }
}

fn texts(situation: &Situation) -> Vec<String> {
    situation.obstacles().iter().map(ToString::to_string).collect()
}

#[test]
fn a_worker_without_troubles_is_not_an_obstacle() {
    let situation = Situation { workers: vec![worker(2, &[])], ..Situation::default() };
    assert_eq!(texts(&situation), [""; 0]);
}

#[test]
fn work_is_stopped_if_no_worker_reports() {
    assert_eq!(
        texts(&Situation::default()),
        ["STOPPED: no worker is running\n    fix: start one with `muster serve`\n"]
    );
    let killed = Situation { workers: vec![worker(95, &[])], ..Situation::default() };
    assert_eq!(
        killed.obstacles()[0].what,
        "no worker is running: the last one to report, plant-3 (process 7, version 1.2.3), did so 1 min 35 s ago"
    );
    let older = Situation { queues: vec![queue(5, None, None)], ..Situation::default() };
    assert!(older.obstacles().is_empty(), "a worker of an older version reads the queue");
}

#[test]
fn a_killed_worker_needs_attention_for_a_while() {
    let two = |ago| Situation { workers: vec![worker(2, &[]), worker(ago, &[])], ..Situation::default() };
    assert_eq!(two(60).obstacles()[0].severity, Severity::Attention);
    assert!(two(60).obstacles()[0].what.contains("has not reported for 1 min"), "{:?}", two(60).obstacles());
    assert!(two(3600).obstacles().is_empty());
}

#[test]
fn troubles_of_all_workers_stop_work_and_of_some_slow_it() {
    let denied = [("auth", "default:RegisterCertificate")];
    let all = Situation { workers: vec![worker(1, &denied), worker(2, &denied)], ..Situation::default() };
    let obstacles = all.obstacles();
    assert_eq!((obstacles.len(), obstacles[0].severity), (1, Severity::Stopped));
    assert_eq!(obstacles[0].what, "AWS denies RegisterCertificate of target default: the reason");
    let some = Situation { workers: vec![worker(1, &denied), worker(2, &[])], ..Situation::default() };
    assert_eq!(some.obstacles()[0].severity, Severity::Slowed);
    assert!(some.obstacles()[0].what.contains(", on 1 of 2 workers: "), "{:?}", some.obstacles());
}

#[test]
fn the_most_severe_obstacle_comes_first() {
    let hold =
        |hold: HoldKey| OpenHold { hold, subject: None, reason: "r".to_owned(), is_closed: true, is_probe_due: false };
    let situation = Situation {
        workers: vec![worker(1, &[])],
        holds: vec![hold(HoldKey::batch(&"b".parse().unwrap())), hold(HoldKey::pause_all())],
        queues: vec![queue(5, Some(10), Some(3))],
        throttles: vec![Throttle {
            target: "default".to_owned(),
            operation: "RegisterCertificate".to_owned(),
            ceiling: 10.0,
            learnt: 2.134,
            cut_ago: Duration::from_secs(12),
        }],
        ..Situation::default()
    };
    let obstacles = situation.obstacles();
    let kinds: Vec<_> = obstacles.iter().map(|obstacle| obstacle.kind.as_str()).collect();
    assert_eq!(kinds, ["pause", "throttled", "batch", "dead_letters"]);
    let wanted = "AWS throttles RegisterCertificate of target default: 2.13 of the configured 10 calls a second, last lowered 12 s ago";
    assert_eq!(obstacles[1].what, wanted);
}

#[test]
fn only_the_first_holds_of_a_kind_are_named() {
    let hold = |n: u8| OpenHold {
        hold: HoldKey::issuer(&"default".parse().unwrap(), [n; 32]),
        subject: None,
        reason: "r".to_owned(),
        is_closed: true,
        is_probe_due: false,
    };
    let situation =
        Situation { workers: vec![worker(1, &[])], holds: (0..9).map(hold).collect(), ..Situation::default() };
    assert_eq!(situation.obstacles().len(), NAMED_MAX + 1);
    assert_eq!(situation.obstacles()[NAMED_MAX].what, "and 4 more holds of kind issuer");
}

#[test]
fn a_queue_that_workers_cannot_read_is_named() {
    let situation = |read_ago| Situation {
        workers: vec![worker(1, &[])],
        queues: vec![queue(read_ago, Some(0), Some(0)), queue(90_000, Some(0), None)],
        ..Situation::default()
    };
    assert_eq!(situation(25).obstacles(), []);
    assert_eq!(situation(31).obstacles()[0].kind, "queue_unread");
    assert!(situation(31).summary().contains("queue contents unknown (q last read 1 day 1 h ago)"));
}

#[test]
fn stale_queue_readings_count_as_unknown() {
    let situation = |queues| Situation { queues, ..Situation::default() };
    assert_eq!(situation(vec![]).n_messages(), None);
    assert_eq!(situation(vec![queue(5, Some(10), None)]).n_messages(), Some(10));
    assert_eq!(situation(vec![queue(5, Some(10), None)]).n_dead(), None);
    assert_eq!(situation(vec![queue(61, Some(10), Some(1))]).n_messages(), None);
    assert_eq!(situation(vec![queue(5, Some(10), Some(1)), queue(5, Some(1), Some(1))]).n_dead(), Some(2));
}
