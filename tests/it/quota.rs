//! The quota that all workers share: its row in a real Postgres, and (in `workers`) the workers that use it.

mod workers;

use std::sync::Arc;

use muster::ledger::Ledger;
use muster::ledger::rate_limit::Lease;
use muster::ledger::rate_limit::{Change, Quota, RateChangeReason, RateReport};
use muster_core::account::Account;
use muster_core::job::Operation;
use muster_core::rate::{Rate, burst_of};
use tokio::sync::Barrier;

use crate::database::Database;

const ACCOUNT: &str = "123456789012";

fn quota(region: &str) -> Quota {
    let account = Account { id: ACCOUNT.into(), region: region.into() };
    Quota { account, operation: Operation::RegisterCertificate }
}

fn rate(per_second: f64) -> Rate {
    Rate::new(per_second).unwrap()
}

/// Creates a ledger with one open quota, whose target is `default`.
async fn open(per_second: f64) -> (Database, Ledger, Quota) {
    let database = Database::fresh().await;
    let (ledger, quota) = (database.ledger().await, quota("eu-west-1"));
    ledger.claim_target("default", ACCOUNT, "eu-west-1").await.unwrap();
    assert_eq!(ledger.open_quota(&quota, rate(per_second)).await.unwrap(), rate(per_second));
    (database, ledger, quota)
}

/// Returns what is known about the only operation of a target.
async fn report(ledger: &Ledger, target: &str) -> RateReport {
    ledger.rate_reports(&[(target.to_owned(), Operation::RegisterCertificate)]).await.unwrap().remove(0)
}

/// Uses a permit that AWS throttles.
async fn throttle(ledger: &Ledger, quota: &Quota) -> Option<Change> {
    let lease = ledger.lease(quota, 1).await.unwrap();
    ledger.cut_rate(quota, lease.granted_at, true).await.unwrap()
}

/// Moves everything that happened an hour back.
async fn idle_for_an_hour(database: &Database) {
    let shift = "update rate_limits set next_free = next_free - interval '1 hour', cut_at = cut_at - interval '1 hour'";
    sqlx::query(shift).execute(&database.pool).await.unwrap();
}

/// Returns when the permits of a lease are due, in seconds by the ledger's clock.
fn due_times(lease: &Lease) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a double holds microseconds of this century")]
    let granted_at = lease.granted_at.unix_timestamp_nanos() as f64 / 1e9;
    #[expect(clippy::cast_precision_loss, reason = "a lease has few permits")]
    let due = |i| granted_at + lease.first_in + i as f64 / lease.rate.per_second();
    (0..lease.n).map(due).collect()
}

fn assert_close(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-6, "{found} is not {wanted}");
}

/// Returns the ledger's clock, in seconds.
async fn ledger_time(database: &Database) -> f64 {
    let time = "select extract(epoch from clock_timestamp())::float8";
    sqlx::query_scalar(time).fetch_one(&database.pool).await.unwrap()
}

/// Leases from all ledgers at once; returns when the permits are due.
async fn leased_at_once(ledgers: &[Ledger], quota: &Quota) -> Vec<f64> {
    let barrier = Arc::new(Barrier::new(ledgers.len()));
    let mut leasers = Vec::new();
    for ledger in ledgers {
        let (ledger, quota, barrier) = (ledger.clone(), quota.clone(), Arc::clone(&barrier));
        leasers.push(tokio::spawn(async move {
            barrier.wait().await;
            let mut all = Vec::new();
            for i in 0..10 {
                all.extend(due_times(&ledger.lease(&quota, 1 + i % 4).await.unwrap()));
            }
            all
        }));
    }
    let mut all = Vec::new();
    for leaser in leasers {
        all.extend(leaser.await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_concurrent_leasers_get_distinct_permits() {
    let database = Database::fresh().await;
    let mut ledgers = Vec::new();
    for _ in 0..8 {
        ledgers.push(database.ledger().await);
    }
    // The permits of a round stay below what may be leased ahead. The period is far longer than the time a busy machine
    // puts between two clock readings.
    let rate = rate(10.0);
    for round in 0..20 {
        let quota = quota(&format!("round-{round}"));
        ledgers[0].open_quota(&quota, rate).await.unwrap();
        let mut all = leased_at_once(&ledgers, &quota).await;
        assert_eq!(all.len(), 184);
        all.sort_by(f64::total_cmp);
        let n_equal = all.windows(2).filter(|two| two[1] - two[0] < 0.5 / rate.per_second()).count();
        assert_eq!(n_equal, 0, "in round {round}");
        let span = all[all.len() - 1] - all[0];
        assert!(span * rate.per_second() > 182.5, "all permits of round {round} are within {span} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_quota_grants_at_most_its_burst() {
    for per_second in [1.0, 100.0, 2000.0] {
        let (database, ledger, quota) = open(per_second).await;
        idle_for_an_hour(&database).await;
        let burst = burst_of(rate(per_second)) as usize;
        let asked_at = ledger_time(&database).await;
        let due_times = due_times(&ledger.lease(&quota, 5 * burst).await.unwrap());
        let n_past = due_times.iter().filter(|&&due| due < asked_at).count();
        assert!(n_past <= burst, "{n_past} permits in the past at {per_second}/s");
        assert!(due_times[0] < ledger_time(&database).await, "the first can be used at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_quota_starts_without_a_burst() {
    let database = Database::fresh().await;
    let (ledger, quota) = (database.ledger().await, quota("eu-west-1"));
    let asked_at = ledger_time(&database).await;
    ledger.open_quota(&quota, rate(1.0)).await.unwrap();
    let first = due_times(&ledger.lease(&quota, 1).await.unwrap())[0];
    assert!(first > asked_at + 0.999, "{} s too early", asked_at + 1.0 - first);
}

#[tokio::test(flavor = "multi_thread")]
async fn permits_are_leased_only_a_little_ahead() {
    let (_database, ledger, quota) = open(10.0).await;
    for _ in 0..10 {
        let lease = ledger.lease(&quota, 100).await.unwrap();
        assert!(lease.first_in <= 20.0, "{}", lease.first_in);
    }
}

/// Premise: permits leased before the clock was set back lie in its future.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_neither_blocks_leases_nor_repeats_permits() {
    let (database, ledger, quota) = open(10.0).await;
    idle_for_an_hour(&database).await;
    let ahead = ledger.lease(&quota, 30).await.unwrap();
    let shift = "update rate_limits
        set next_free = next_free + interval '1 day', leased_at = leased_at + interval '1 day'";
    sqlx::query(shift).execute(&database.pool).await.unwrap();
    for n_leased in [30.0, 31.0] {
        let lease = ledger.lease(&quota, 1).await.unwrap();
        let passed = (lease.granted_at - ahead.granted_at).as_seconds_f64();
        let expected = ahead.first_in + n_leased / 10.0;
        assert!((lease.first_in - expected).abs() < passed + 0.1, "{} is not {expected}", lease.first_in);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_cuts_once_for_all_permits_granted_before() {
    let (database, ledger, quota) = open(100.0).await;
    let mut leases = Vec::new();
    for _ in 0..8 {
        leases.push(ledger.lease(&quota, 5).await.unwrap());
    }
    let mut throttles = Vec::new();
    for lease in leases {
        let (ledger, quota) = (database.ledger().await, quota.clone());
        throttles.push(tokio::spawn(async move { ledger.cut_rate(&quota, lease.granted_at, true).await.unwrap() }));
    }
    let mut cuts = Vec::new();
    for throttle in throttles {
        cuts.extend(throttle.await.unwrap());
    }
    assert_eq!(
        cuts.iter().map(|cut| cut.reason).collect::<Vec<_>>(),
        [RateChangeReason::Throttled],
        "one cut is enough"
    );
    assert_close(cuts[0].rate, 90.0);
    assert_close(throttle(&ledger, &quota).await.expect("its permit was granted after the cut").rate, 81.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_throttle_cuts_below_the_floor() {
    for (ceiling, floor) in [(1000.0, 10.0), (10.0, 0.2), (0.1, 0.1)] {
        let (_database, ledger, quota) = open(ceiling).await;
        for _ in 0..60 {
            throttle(&ledger, &quota).await.unwrap();
        }
        let report = report(&ledger, "default").await;
        assert_close(report.learnt, floor);
        let mut rates: Vec<_> = report.changes.iter().map(|change| change.rate).collect();
        rates.dedup();
        assert_eq!(rates.len(), report.changes.len(), "a cut that changes nothing is not recorded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifteen_leased_seconds_undo_a_cut_up_to_the_ceiling() {
    let (_database, ledger, quota) = open(100.0).await;
    throttle(&ledger, &quota).await.unwrap();
    let mut leased_seconds = 0.0;
    loop {
        let lease = ledger.lease(&quota, 5).await.unwrap();
        if lease.rate == rate(100.0) {
            break;
        }
        leased_seconds += 5.0 / lease.rate.per_second();
        assert!(leased_seconds < 20.0, "it is at {:?}", lease.rate);
    }
    assert!(leased_seconds > 10.0, "after {leased_seconds} s");
    for _ in 0..20 {
        assert_eq!(ledger.lease(&quota, 50).await.unwrap().rate, rate(100.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_rises_only_while_permits_are_leased() {
    let (database, ledger, quota) = open(100.0).await;
    throttle(&ledger, &quota).await.unwrap();
    let before = ledger.lease(&quota, 90).await.unwrap().rate;
    idle_for_an_hour(&database).await;
    assert_eq!(ledger.open_quota(&quota, rate(100.0)).await.unwrap(), before);
    let after = ledger.lease(&quota, 1).await.unwrap().rate;
    // Only the second leased since the cut counts, not the hour.
    assert_close(after.per_second(), before.per_second() + 0.001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rise_is_recorded_once() {
    let (_database, ledger, quota) = open(100.0).await;
    throttle(&ledger, &quota).await.unwrap();
    let cut = throttle(&ledger, &quota).await.unwrap().rate;
    assert_eq!(ledger.note_rise(&quota, cut).await.unwrap(), None, "it has not risen");
    let mut rises = Vec::new();
    for _ in 0..20 {
        let lease = ledger.lease(&quota, 90).await.unwrap();
        assert_close(lease.noted_rate, rises.last().map_or(cut, |rise: &Change| rise.rate));
        if lease.rate.per_second() >= lease.noted_rate * 1.05 {
            rises.extend(ledger.note_rise(&quota, lease.noted_rate).await.unwrap());
            assert_eq!(ledger.note_rise(&quota, lease.noted_rate).await.unwrap(), None, "another worker recorded it");
        }
    }
    assert!(rises.len() > 1, "{rises:?}");
    rises.reverse();
    assert_eq!(report(&ledger, "default").await.changes[..rises.len()], rises);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_ceiling_applies_at_once_and_an_unchanged_one_keeps_the_rate() {
    let (_database, ledger, quota) = open(100.0).await;
    let cut = throttle(&ledger, &quota).await.unwrap();
    assert_close(cut.rate, 90.0);
    let before = report(&ledger, "default").await;
    assert_eq!(ledger.open_quota(&quota, rate(100.0)).await.unwrap(), rate(cut.rate));
    assert_eq!(report(&ledger, "default").await, before);
    for ceiling in [50.0, 200.0] {
        assert_eq!(ledger.open_quota(&quota, rate(ceiling)).await.unwrap(), rate(ceiling));
        assert_eq!(ledger.lease(&quota, 1).await.unwrap().rate, rate(ceiling));
    }
    let after = report(&ledger, "default").await;
    assert_close(after.ceiling, 200.0);
    let noted: Vec<_> = after.changes.iter().map(|change| (change.rate, change.reason)).collect();
    let configured = |rate| (rate, RateChangeReason::Configured);
    assert_eq!(
        noted,
        [configured(200.0), configured(50.0), (cut.rate, RateChangeReason::Throttled), configured(100.0)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_hundred_changes_of_each_quota_are_kept() {
    let (_database, ledger, busy) = open(1000.0).await;
    ledger.claim_target("quiet", ACCOUNT, "us-east-1").await.unwrap();
    ledger.open_quota(&quota("us-east-1"), rate(10.0)).await.unwrap();
    for n in 1..=130 {
        ledger.open_quota(&busy, rate(1000.0 + f64::from(n))).await.unwrap();
    }
    let kept: Vec<_> = report(&ledger, "default").await.changes.iter().map(|change| change.rate).collect();
    assert_eq!(kept, (31..=130).rev().map(|n| 1000.0 + f64::from(n)).collect::<Vec<_>>());
    assert_eq!(report(&ledger, "quiet").await.changes.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_targets_of_one_account_and_region_share_a_rate() {
    let (_database, ledger, quota) = open(100.0).await;
    ledger.claim_target("second", ACCOUNT, "eu-west-1").await.unwrap();
    ledger.claim_target("elsewhere", ACCOUNT, "us-east-1").await.unwrap();
    throttle(&ledger, &quota).await.unwrap();
    let targets = ["default", "second", "elsewhere"].map(|target| (target.to_owned(), Operation::RegisterCertificate));
    let reports = ledger.rate_reports(&targets).await.unwrap();
    let seen: Vec<_> = reports.iter().map(|r| (r.target.as_str(), r.learnt, r.changes.len())).collect();
    assert_eq!(seen, [("default", 90.0, 2), ("second", 90.0, 2)]);
}
