//! Rows that Postgres refuses, and Postgres errors that no row causes.

use std::time::Duration;

use muster::engine::serve::Until;
use muster::http::service::Service;
use muster::telemetry::metrics::Metrics;
use muster_core::job::{CertificateMode, Job, RegisterCaCertificate, RegisterCertificate, Request};
use muster_core::outcome::Code;
use muster_sandbox::BatchCounts;
use muster_sandbox::specimen::{Ca, Flaw};
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

use crate::factory::Factory;
use crate::ledger::assert_counters_equal_the_rows;

/// Makes Postgres raise an error for every new row that meets a condition.
async fn refuse(factory: &Factory, condition: &str, sqlstate: &str) {
    for sql in [
        "create sequence n_refused".to_owned(),
        format!(
            "create function refuse() returns trigger language plpgsql as $$
            begin
                if {condition} then
                    raise exception 'refused as ordered' using errcode = '{sqlstate}';
                end if;
                return new;
            end $$"
        ),
        "create trigger refuse before insert on registrations for each row execute function refuse()".to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&factory.database.pool).await.unwrap();
    }
}

/// Sends 30 jobs; the 11th is an expired certificate named `bad`.
async fn send(factory: &Factory) {
    let mut bodies = Vec::new();
    for n in 0..30 {
        let mut job = Factory::job(&factory.ca.leaf(&format!("device {n}")));
        if n == 10 {
            job = Factory::job(&factory.ca.flawed(Flaw::Expired, "bad"));
            job.reference = Some("bad".parse().unwrap());
        }
        bodies.push(job.to_body());
    }
    factory.send(&bodies).await;
}

fn db_errors(metrics: &Metrics, class: &str) -> u64 {
    metrics.db_errors.with_label_values(&[class]).get()
}

async fn refused_row(factory: &Factory) -> (String, String, bool) {
    sqlx::query_as("select code, detail, request is not null from registrations where ref = 'bad'")
        .fetch_one(&factory.database.pool)
        .await
        .unwrap()
}

async fn n_blanked(factory: &Factory) -> i64 {
    sqlx::query_scalar("select count(*) from registrations where detail like 'unstorable%'")
        .fetch_one(&factory.database.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_postgres_refuses_is_written_without_its_texts() {
    for sqlstate in ["22P05", "22021", "23514", "54000"] {
        let factory = Factory::new(1000.0).await;
        refuse(&factory, "new.ref = 'bad' and new.detail not like 'unstorable: %'", sqlstate).await;
        send(&factory).await;
        factory.drain().await;
        assert_eq!(factory.outcomes().await.into_iter().collect::<Vec<_>>(), [(Code::Ok, 29), (Code::Expired, 1)]);
        assert_eq!(refused_row(&factory).await, ("expired".to_owned(), format!("unstorable: {sqlstate}"), true));
        assert_eq!(n_blanked(&factory).await, 1, "only the row that is to blame");
        assert_counters_equal_the_rows(&factory.database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_postgres_refuses_is_omitted_in_the_end() {
    let factory = Factory::new(1000.0).await;
    refuse(&factory, "new.ref = 'bad' and new.request is not null", "22P05").await;
    send(&factory).await;
    factory.drain().await;
    assert_eq!(refused_row(&factory).await, ("expired".to_owned(), "unstorable: 22P05".to_owned(), false));
}

/// Makes Postgres refuse every optional value, in every table to which a page of outcomes is written. What remains is
/// the outcome: keys, status, code, times and counts, and the request of a job to be resent.
async fn refuse_optional_values(factory: &Factory) {
    let optional_of_a_row = "new.detail not like 'unstorable: %' or new.attempts <> '[]' or new.other_names <> '[]'
        or new.ref is not null or new.source is not null or new.serial is not null or new.certificate is not null
        or (new.request is not null and new.status <> 'parked')";
    for (table, has_optional_value) in [
        ("registrations", optional_of_a_row),
        ("authorities", "new.subject not like 'unstorable: %' or new.pem <> ''"),
        ("holds", "new.reason not like 'unstorable: %' and new.reason <> 'the hold was already released'"),
        ("batches", "new.announced is not null"),
        ("quarantine", "new.detail not like 'unstorable: %'"),
    ] {
        let sql = format!(
            "create function refuse_{table}() returns trigger language plpgsql as $$
            begin
                if {has_optional_value} then
                    raise exception 'refused as ordered' using errcode = '54000';
                end if;
                return new;
            end $$;
            create trigger refuse before insert or update on {table} for each row execute function refuse_{table}()"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&factory.database.pool).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_recorded_even_without_any_optional_value() {
    let mut factory = Factory::new(1000.0).await;
    factory.config.breakers.issuer_probe = Duration::from_mins(10).into();
    refuse_optional_values(&factory).await;
    let (stranger, new_ca) = (Ca::new("Stranger CA"), Ca::new("New CA"));
    let ca_request = RegisterCaCertificate {
        ca_certificate: new_ca.pem(),
        certificate_mode: Some(CertificateMode::SniOnly),
        ..RegisterCaCertificate::default()
    };
    let named = |request: Request| Job {
        batch_size: Some(7),
        reference: Some("SN-7".parse().unwrap()),
        ..Factory::job_of(request)
    };
    let device = |certificate_pem: String| RegisterCertificate { certificate_pem, ..RegisterCertificate::default() };
    let bodies = [
        device(factory.ca.leaf("registered")).into(),
        device(factory.ca.flawed(Flaw::Expired, "rejected")).into(),
        device(stranger.leaf("parked")).into(),
        ca_request.into(),
    ];
    let mut bodies = bodies.map(|request| named(request).to_body()).to_vec();
    bodies.push("no job".to_owned());
    factory.send(&bodies).await;
    factory.drain().await;
    // A copy, so that an existing row is updated, too.
    factory.send(&bodies[..1]).await;
    factory.drain().await;
    let wanted = [(Code::Ok, 2), (Code::Expired, 1), (Code::IssuerInactive, 1)];
    assert_eq!(factory.outcomes().await.into_iter().collect::<Vec<_>>(), wanted);
    let (jobs, dead) = (factory.counts("jobs"), factory.counts("jobs-dead"));
    assert_eq!((jobs.deleted, jobs.deliveries, dead.sent), (6, 6, 0));
    assert_eq!((factory.n_calls(), factory.sandbox.ledger().n_certificates()), (2, 1));
    let kept: Vec<(String, String, i32, bool, bool)> = sqlx::query_as(
        "select code, detail, n_attempts, certificate_id is not null, request is not null
        from registrations
        order by code, operation",
    )
    .fetch_all(&factory.database.pool)
    .await
    .unwrap();
    let row = |code: &str, n_attempts, has_request| {
        (code.to_owned(), "unstorable: 54000".to_owned(), n_attempts, true, has_request)
    };
    assert_eq!(
        kept,
        [row("expired", 0, false), row("issuer_inactive", 1, true), row("ok", 1, false), row("ok", 1, false)]
    );
    assert_eq!(factory.ledger.quarantined().await.unwrap(), 1);
    assert_counters_equal_the_rows(&factory.database).await;

    // What is parked can still be resent and registered.
    factory.sandbox.plant_ca(&stranger.pem()).unwrap();
    let hold: String = sqlx::query_scalar("select hold from holds").fetch_one(&factory.database.pool).await.unwrap();
    let (code, _, stderr) = factory.spawn(&["holds", "release", &hold]).wait().await;
    assert_eq!(code, Some(0), "{stderr}");
    let service = factory.serve().await;
    factory.until("it is registered", async |f| f.outcomes().await.get(&Code::Ok) == Some(&3)).await;
    service.stop().await;
    assert_counters_equal_the_rows(&factory.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_row_keeps_its_message_and_delays_no_other() {
    let factory = Factory::new(1000.0).await;
    refuse(&factory, "new.code = 'expired'", "23514").await;
    send(&factory).await;
    let stop = CancellationToken::new();
    let service = Service::start(&factory.config, Until::Stopped, stop.clone()).await.unwrap();
    let serving = tokio::spawn(service.run());
    factory.until("the others are done", async |f| f.counts("jobs").deleted == 29).await;
    factory.until("it comes back by itself", async |f| f.counts("jobs").deliveries > 31).await;
    stop.cancel();
    serving.await.unwrap().unwrap();
    let BatchCounts { sent, deleted, .. } = factory.counts("jobs");
    assert_eq!((sent, deleted, factory.outcomes().await.values().sum::<u64>()), (30, 29, 29));
    assert_counters_equal_the_rows(&factory.database).await;
}

/// Makes Postgres fail so often in a row that halving the page would reach a single row and blank it or give it up.
async fn assert_the_whole_page_is_retried(sqlstate: &str, class: &str) {
    let factory = Factory::new(1000.0).await;
    refuse(&factory, "nextval('n_refused') <= 8", sqlstate).await;
    send(&factory).await;
    let metrics = factory.drain().await;
    assert_eq!(factory.outcomes().await.into_iter().collect::<Vec<_>>(), [(Code::Ok, 29), (Code::Expired, 1)]);
    assert_eq!((db_errors(&metrics, class), n_blanked(&factory).await), (8, 0), "{sqlstate}");
    assert_eq!(factory.counts("jobs").deliveries, 30, "no message was left in the queue");
    assert_counters_equal_the_rows(&factory.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_deadlock_the_whole_page_is_retried() {
    assert_the_whole_page_is_retried("40P01", "40").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_serialization_failure_the_whole_page_is_retried() {
    assert_the_whole_page_is_retried("40001", "40").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_the_whole_page_is_retried() {
    assert_the_whole_page_is_retried("53100", "53").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_the_whole_page_is_retried() {
    assert_the_whole_page_is_retried("25006", "25").await;
}
