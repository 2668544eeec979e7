//! Holds and the rows that wait for them, on a real Postgres: in any order of events, no row waits without a hold.

use std::time::Duration;

use muster::ledger::hold::{HoldReport, OverdueProbe};
use muster::ledger::rate_limit::Quota;
use muster::ledger::row::RowOutcome;
use muster::ledger::{Ledger, Page, Row};
use muster_core::account::Account;
use muster_core::certificate::CertificateId;
use muster_core::hold::{HoldKey, Opening};
use muster_core::job::Operation;
use muster_core::outcome::Code;
use muster_core::rate::Rate;
use sqlx::{AssertSqlSafe, Postgres, Transaction};
use tokio::task::JoinSet;

use crate::database::Database;
use crate::ledger::{assert_counters_equal_the_rows, page, record, row};

const LEASE: Duration = Duration::from_mins(1);

pub(crate) fn hold() -> HoldKey {
    HoldKey::read("issuer:default:aa".into())
}

/// Returns a row that waits for the hold.
pub(crate) fn parked(n: u32) -> Row {
    let mut row = row(n, Code::IssuerInactive);
    row.outcome.waits_for = Some(hold());
    row
}

/// Returns the opening of the hold by a certificate with the given number.
pub(crate) fn opening(witness: u8) -> (HoldKey, Opening) {
    let opening = Opening {
        witness: Some(CertificateId([witness; 32])),
        is_closed: false,
        subject: None,
        reason: "the CA is not active".into(),
        probe_every: Duration::from_mins(1),
    };
    (hold(), opening)
}

/// Parks rows under the hold, which opens if it is not open yet.
pub(crate) async fn park(ledger: &Ledger, numbers: impl IntoIterator<Item = u32>, witness: u8) {
    let rows = numbers.into_iter().map(parked).collect();
    ledger.record(&Page { openings: vec![opening(witness)], ..page(rows) }).await.unwrap();
}

/// Moves the times of all holds into the past.
pub(crate) async fn age(database: &Database, by: &str) {
    let update = format!(
        "update holds
        set opened_at = opened_at - interval '{by}', probe_at = probe_at - interval '{by}',
            asked_at = asked_at - interval '{by}', sender_until = sender_until - interval '{by}'"
    );
    sqlx::query(AssertSqlSafe(update)).execute(&database.pool).await.unwrap();
}

/// Moves releases far enough into the past that every worker has seen them.
async fn age_releases(database: &Database) {
    let update = "update holds set released_at = released_at - interval '3 seconds'";
    sqlx::query(update).execute(&database.pool).await.unwrap();
}

async fn report(ledger: &Ledger) -> HoldReport {
    let mut reports = ledger.holds_report().await.unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.remove(0)
}

#[tokio::test]
async fn a_hold_closes_at_its_second_certificate() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    park(&ledger, [1], 1).await;
    let first = report(&ledger).await;
    assert_eq!((first.is_closed, first.n_waiting, first.reason.as_str()), (false, 1, "the CA is not active"));
    park(&ledger, [1, 2], 1).await;
    assert!(!report(&ledger).await.is_closed);
    park(&ledger, [3], 2).await;
    let closed = report(&ledger).await;
    assert_eq!((closed.is_closed, closed.n_waiting), (true, 3));
    assert_eq!((closed.opened_at, closed.probe_at), (first.opened_at, first.probe_at), "its times do not change");
    assert_counters_equal_the_rows(&database).await;
}

#[tokio::test]
async fn a_released_hold_can_open_again() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    park(&ledger, [1], 1).await;
    park(&ledger, [2], 2).await;
    let first = report(&ledger).await;
    assert!(ledger.release_at_once(&hold()).await.unwrap());
    assert!(ledger.open_holds().await.unwrap().is_empty());
    assert_eq!(ledger.claim_released(LEASE).await.unwrap(), None, "a worker may not have seen the release yet");
    age_releases(&database).await;
    let lease = ledger.claim_released(LEASE).await.unwrap().unwrap();
    park(&ledger, [3], 3).await;
    let again = report(&ledger).await;
    assert_eq!((again.is_closed, again.released_at, again.n_waiting), (false, None, 3));
    assert!(again.opened_at > first.opened_at && again.probe_at > first.probe_at);
    assert_eq!(ledger.renew(&lease, LEASE).await.unwrap(), None, "the sender must stop");
    assert!(ledger.finish(&hold()).await.unwrap() && ledger.open_holds().await.unwrap().len() == 1);
}

#[tokio::test]
async fn a_hold_keeps_its_ca_name_and_accepts_a_missing_one() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let named = async |n: u8, subject: Option<&str>| {
        let (hold, opening) = opening(n);
        let opening = Opening { subject: subject.map(str::to_owned), ..opening };
        let rows = vec![parked(n.into())];
        ledger.record(&Page { openings: vec![(hold, opening)], ..page(rows) }).await.unwrap();
        (report(&ledger).await.subject, ledger.hold_subject(&self::hold()).await.unwrap())
    };
    let both = |name: &str| (Some(name.to_owned()), Some(name.to_owned()));
    // An older version opens holds without a name.
    assert_eq!(named(1, None).await, (None, None));
    assert_eq!(named(2, Some("CN=Plant\0 CA")).await, both("CN=Plant\u{fffd} CA"));
    assert_eq!(named(3, Some("CN=Another")).await, both("CN=Plant\u{fffd} CA"));
    assert!(ledger.release_at_once(&hold()).await.unwrap());
    assert_eq!(named(4, None).await, both("CN=Plant\u{fffd} CA"));
    assert_eq!(ledger.open_holds().await.unwrap()[0].subject.as_deref(), Some("CN=Plant\u{fffd} CA"));
}

#[tokio::test]
async fn a_row_parked_without_a_hold_gets_a_released_one() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![parked(1), parked(2)]).await;
    assert!(report(&ledger).await.released_at.is_some());
    age_releases(&database).await;
    assert_eq!(ledger.claim_released(LEASE).await.unwrap().unwrap().hold, hold());
    // An open hold is left unchanged.
    park(&ledger, [3], 1).await;
    record(&ledger, vec![parked(4)]).await;
    assert_eq!((report(&ledger).await.released_at, report(&ledger).await.n_waiting), (None, 4));
}

#[tokio::test]
async fn a_row_stops_waiting_when_it_is_resent_or_finished() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    park(&ledger, 1..=3, 1).await;
    record(&ledger, vec![row(1, Code::Ok)]).await;
    let jobs = ledger.waiting(&hold(), None, 10).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.subject).collect::<Vec<_>>(), [parked(2).subject, parked(3).subject]);
    assert_eq!(jobs[0].request, r#"{"certificatePem":"pem"}"#);
    assert_eq!(ledger.mark_resent(&hold(), &[&jobs[0]]).await.unwrap(), 1);
    assert_eq!(ledger.waiting(&hold(), None, 10).await.unwrap(), jobs[1..]);
    let batch = ledger.batch_status("batch").await.unwrap().unwrap();
    assert_eq!((batch.finished(), batch.parked()), (1, 2), "a resent job has no outcome yet");
    assert_counters_equal_the_rows(&database).await;
}

/// The job is resent, fails and is parked again before its sender has recorded that it was resent.
#[tokio::test]
async fn a_row_parked_again_meanwhile_still_waits() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![parked(1)]).await;
    let jobs = ledger.waiting(&hold(), None, 10).await.unwrap();
    record(&ledger, vec![Row { message_id: "sent again".into(), ..parked(1) }]).await;
    assert_eq!(ledger.mark_resent(&hold(), &jobs.iter().collect::<Vec<_>>()).await.unwrap(), 0);
    assert_eq!(ledger.waiting(&hold(), None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_resent_message_is_not_a_duplicate() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![parked(1)]).await;
    let jobs = ledger.waiting(&hold(), None, 10).await.unwrap();
    ledger.mark_resent(&hold(), &jobs.iter().collect::<Vec<_>>()).await.unwrap();
    let fresh = Row { message_id: "fresh".into(), ..row(1, Code::Ok) };
    // The second time it is a redelivery.
    for _ in 0..2 {
        record(&ledger, vec![fresh.clone()]).await;
    }
    let found: (String, i32, bool) =
        sqlx::query_as("select code, n_duplicates, sent_again_at is null and waits_for is null from registrations")
            .fetch_one(&database.pool)
            .await
            .unwrap();
    assert_eq!(found, ("ok".to_owned(), 0, true));
    record(&ledger, vec![Row { message_id: "another".into(), ..row(1, Code::Known) }]).await;
    let n: i32 = sqlx::query_scalar("select n_duplicates from registrations").fetch_one(&database.pool).await.unwrap();
    assert_eq!(n, 1);
}

#[tokio::test]
async fn waiting_rows_are_read_in_pages_and_keep_verify() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    let mut rows: Vec<Row> = (0..25).map(parked).collect();
    rows[7].outcome.verify = true;
    record(&ledger, rows).await;
    let (mut found, mut last) = (Vec::new(), None);
    loop {
        let page = ledger.waiting(&hold(), last.as_ref(), 10).await.unwrap();
        let Some(job) = page.last() else { break };
        last = Some(job.clone());
        found.extend(page);
    }
    assert_eq!(
        found.iter().map(|job| job.subject).collect::<Vec<_>>(),
        (0..25).map(|n| parked(n).subject).collect::<Vec<_>>()
    );
    assert_eq!(found.iter().position(|job| job.verify), Some(7));
}

fn quota() -> Quota {
    let account = Account { id: "123456789012".into(), region: "eu-west-1".into() };
    Quota { account, operation: Operation::RegisterCertificate }
}

/// A hundred holds are due. At a quota of 100/s they may use two calls per second, plus those of the last ten seconds.
#[tokio::test]
async fn probes_of_all_holds_use_two_percent_of_the_quota() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    open_a_hundred_due_holds(&database, &ledger).await;
    let mut n_granted = 0;
    for n in 0..100 {
        n_granted += usize::from(ledger.claim_probe(&numbered_hold(n), &quota()).await.unwrap());
    }
    // Twenty probes have accumulated, and each second that this test takes adds two.
    assert!((19..=60).contains(&n_granted), "{n_granted}");
}

/// Jobs arriving for such a hold cause no probe, because a single certificate does not hold up others.
#[tokio::test]
async fn probes_of_single_certificate_holds_share_that_limit_and_back_off() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    open_a_hundred_due_holds(&database, &ledger).await;
    ledger.claim_target("default", "123456789012", "eu-west-1").await.unwrap();
    age(&database, "10 seconds").await;
    let (mut n_granted, mut n_claimed) = (0, 0);
    while let Some(overdue) = ledger.claim_overdue_probe(&[]).await.unwrap() {
        n_claimed += 1;
        n_granted += i64::from(overdue.may_send);
    }
    assert_eq!(n_claimed, 100, "each hold is claimed once");
    assert!((19..=60).contains(&n_granted), "{n_granted}");
    let n_probes: i64 =
        sqlx::query_scalar("select sum(n_probes)::bigint from holds").fetch_one(&database.pool).await.unwrap();
    assert_eq!(n_probes, n_granted, "each granted probe lengthens the next interval");
}

/// Opens a hundred holds of one certificate each whose probe is due, at a quota of a hundred per second.
async fn open_a_hundred_due_holds(database: &Database, ledger: &Ledger) {
    ledger.open_quota(&quota(), Rate::new(100.0).unwrap()).await.unwrap();
    let rows = (0..100)
        .map(|n| Row { outcome: RowOutcome { waits_for: Some(numbered_hold(n)), ..parked(n).outcome }, ..parked(n) });
    let openings = (0..100).map(|n| (numbered_hold(n), opening(1).1)).collect();
    ledger.record(&Page { openings, ..page(rows.collect()) }).await.unwrap();
    age(database, "1 minute").await;
}

fn numbered_hold(n: u32) -> HoldKey {
    HoldKey::read(format!("issuer:default:{n}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_worker_may_probe_in_each_interval() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    park(&ledger, [1], 1).await;
    ledger.open_quota(&quota(), Rate::new(100.0).unwrap()).await.unwrap();
    assert!(!ledger.claim_probe(&hold(), &quota()).await.unwrap(), "the first interval starts when the hold opens");
    for age_of_probe in ["1 minute", "2 minutes", "4 minutes"] {
        age(&database, "59 seconds").await;
        assert!(!ledger.claim_probe(&hold(), &quota()).await.unwrap(), "{age_of_probe}");
        age(&database, age_of_probe).await;
        assert!(ledger.open_holds().await.unwrap()[0].is_probe_due);
        let mut asking = JoinSet::new();
        for _ in 0..8 {
            let ledger = ledger.clone();
            asking.spawn(async move { ledger.claim_probe(&hold(), &quota()).await.unwrap() });
        }
        assert_eq!(asking.join_all().await.into_iter().filter(|&may| may).count(), 1);
        assert!(!ledger.open_holds().await.unwrap()[0].is_probe_due);
    }
}

#[tokio::test]
async fn an_overdue_probe_is_claimed_once_per_interval() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    for witness in [1, 2] {
        park(&ledger, [u32::from(witness)], witness).await;
    }
    assert_eq!(ledger.claim_overdue_probe(&[]).await.unwrap(), None);
    age(&database, "1 minute").await;
    assert_eq!(ledger.claim_overdue_probe(&[]).await.unwrap(), None, "a live job may take the probe");
    for _ in 0..2 {
        age(&database, "1 minute").await;
        assert_eq!(ledger.claim_overdue_probe(&[hold()]).await.unwrap(), None);
        let overdue = OverdueProbe { hold: hold(), may_send: true };
        assert_eq!(ledger.claim_overdue_probe(&[]).await.unwrap(), Some(overdue));
        assert_eq!(ledger.claim_overdue_probe(&[]).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_hold_lasts_at_least_one_probe_interval() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    park(&ledger, [1], 1).await;
    assert_eq!(ledger.release(&[hold()]).await.unwrap(), 0, "the call was in flight when the hold opened");
    age(&database, "1 minute").await;
    let unknown = HoldKey::read("batch:nobody".into());
    assert_eq!(ledger.release(&[hold(), unknown]).await.unwrap(), 1);
    assert!(report(&ledger).await.released_at.is_some());
}

#[tokio::test]
async fn one_sender_owns_a_hold_until_its_lease_expires() {
    let database = Database::fresh().await;
    let ledger = database.ledger().await;
    record(&ledger, vec![parked(1)]).await;
    age_releases(&database).await;
    let lease = ledger.claim_released(LEASE).await.unwrap().unwrap();
    assert_eq!(ledger.claim_released(LEASE).await.unwrap(), None);
    let lease = ledger.renew(&lease, LEASE).await.unwrap().unwrap();
    age(&database, "2 minutes").await;
    let next = ledger.claim_released(LEASE).await.unwrap().unwrap();
    assert_eq!(ledger.renew(&lease, LEASE).await.unwrap(), None, "another sender took over the expired lease");
    // Zero gives up the lease.
    ledger.renew(&next, Duration::ZERO).await.unwrap();
    assert!(ledger.claim_released(LEASE).await.unwrap().is_some());
}

/// Blocks every transaction whose trigger waits for it.
struct Gate(Transaction<'static, Postgres>);

impl Gate {
    /// Closes the gate, and creates a trigger function that waits for it.
    async fn close(database: &Database, trigger: &'static str) -> Self {
        for sql in [
            "create function wait_for_gate() returns trigger language plpgsql
                as 'begin perform pg_advisory_xact_lock_shared(7); return coalesce(new, old); end'",
            trigger,
        ] {
            sqlx::query(sql).execute(&database.pool).await.unwrap();
        }
        let mut gate = database.pool.begin().await.unwrap();
        sqlx::query("select pg_advisory_xact_lock(7)").execute(&mut *gate).await.unwrap();
        Self(gate)
    }

    async fn open(self) {
        self.0.rollback().await.unwrap();
    }
}

/// Waits until `n` connections of the database wait for a lock.
async fn until_waiting(database: &Database, n: i64) {
    let query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let waiting = async {
        while sqlx::query_scalar::<_, i64>(query).fetch_one(&database.pool).await.unwrap() < n {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_kept_while_a_page_that_names_it_commits() {
    let database = Database::fresh().await;
    let (recorder, sender) = (database.ledger().await, database.ledger().await);
    record(&recorder, vec![parked(1)]).await;
    record(&recorder, vec![row(1, Code::Ok)]).await;
    let gate = Gate::close(
        &database,
        "create constraint trigger commits_wait after insert on registrations
            deferrable initially deferred for each row execute function wait_for_gate()",
    )
    .await;
    let recording = tokio::spawn(async move { recorder.record(&page(vec![parked(2)])).await });
    until_waiting(&database, 1).await;
    let finishing = tokio::spawn(async move { sender.finish(&hold()).await });
    until_waiting(&database, 2).await;
    gate.open().await;
    recording.await.unwrap().unwrap();
    assert!(!finishing.await.unwrap().unwrap());
    assert_eq!(report(&database.ledger().await).await.n_waiting, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_being_removed_is_recreated_for_a_new_page() {
    let database = Database::fresh().await;
    let (recorder, sender) = (database.ledger().await, database.ledger().await);
    record(&recorder, vec![parked(1)]).await;
    record(&recorder, vec![row(1, Code::Ok)]).await;
    let gate = Gate::close(
        &database,
        "create trigger removal_waits before delete on holds for each row execute function wait_for_gate()",
    )
    .await;
    let finishing = tokio::spawn(async move { sender.finish(&hold()).await });
    until_waiting(&database, 1).await;
    let recording = tokio::spawn(async move { recorder.record(&page(vec![parked(2)])).await });
    until_waiting(&database, 2).await;
    gate.open().await;
    assert!(finishing.await.unwrap().unwrap());
    recording.await.unwrap().unwrap();
    assert_eq!(report(&database.ledger().await).await.n_waiting, 1);
}

/// Two recorders and two senders work on the same rows and holds in opposite orders: they do not deadlock, no count is
/// lost, and every waiting row has its hold.
#[tokio::test(flavor = "multi_thread")]
async fn recorders_and_senders_neither_deadlock_nor_lose_a_row() {
    const ROUNDS: u32 = 40;
    const KEYS: u32 = 60;
    let database = Database::fresh().await;
    let holds = ["batch:a", "batch:b", "batch:c"].map(|key| HoldKey::read(key.into()));
    let mut tasks = JoinSet::new();
    for reversed in [false, true] {
        let (ledger, named) = (database.ledger().await, holds.clone());
        tasks.spawn(async move {
            for round in 0..ROUNDS {
                let mut rows: Vec<Row> = (0..KEYS).map(|n| row(n, Code::BatchFailing)).collect();
                for (n, row) in (round..).zip(&mut rows) {
                    row.outcome.waits_for = Some(named[n as usize % 3].clone());
                }
                let openings =
                    if round % 3 == 0 { vec![(named[round as usize % 2].clone(), opening(1).1)] } else { vec![] };
                if reversed {
                    rows.reverse();
                }
                ledger.record(&Page { openings, ..page(rows) }).await.unwrap();
            }
        });
        let (ledger, mut holds) = (database.ledger().await, holds.clone());
        if reversed {
            holds.reverse();
        }
        tasks.spawn(async move {
            for _ in 0..ROUNDS {
                for hold in &holds {
                    ledger.release_at_once(hold).await.unwrap();
                    let jobs = ledger.waiting(hold, None, 30).await.unwrap();
                    ledger.mark_resent(hold, &jobs.iter().rev().collect::<Vec<_>>()).await.unwrap();
                    ledger.finish(hold).await.unwrap();
                }
                ledger.release(&holds).await.unwrap();
            }
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap();
    }
    assert_counters_equal_the_rows(&database).await;
    let n_without_hold: i64 = sqlx::query_scalar(
        "select count(*) from registrations r
        where waits_for is not null and not exists (select from holds where hold = r.waits_for)",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!(n_without_hold, 0, "rows wait for a hold that does not exist");
}
