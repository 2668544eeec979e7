//! Postgres fails in every way: nothing is lost, everything is counted once, and work resumes by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster::config::DatabaseConfig;
use muster::engine::serve::Until;
use muster::http::service::Service;
use muster::ledger::Ledger;
use muster::telemetry::metrics::Metrics;
use muster_core::outcome::Code;
use muster_sandbox::{ApiOperation, Effect, Fault};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::factory::Factory;
use crate::proxy::{Conduct, Cut, Proxy};
use crate::server::Server;

/// The database timeout in these tests; anything that hangs must hang longer.
const TIMEOUT: Duration = Duration::from_millis(500);

/// How long a server is away: several timeouts.
const AWAY: Duration = Duration::from_millis(1_500);

/// Creates a factory whose worker reaches Postgres through a proxy, with a short timeout.
async fn behind_a_proxy(rate: f64) -> (Factory, Proxy) {
    let mut factory = Factory::new(rate).await;
    let proxy = Proxy::before(&factory.database.url).await;
    factory.config.database.url = proxy.url.as_str().into();
    shorten_timeouts(&mut factory);
    (factory, proxy)
}

/// Creates a factory with its own server.
async fn on_its_own_server(rate: f64) -> (Factory, Server) {
    let (mut factory, server) = (Factory::new(rate).await, Server::start().await);
    let url = server.url("none");
    let settings = DatabaseConfig { url: url.as_str().into(), timeout: TIMEOUT.into(), ..DatabaseConfig::default() };
    factory.ledger = Ledger::connect(&settings.settings()).await.unwrap();
    factory.ledger.migrate().await.unwrap();
    factory.database.pool = PgPool::connect(&url).await.unwrap();
    factory.config.database = settings;
    shorten_timeouts(&mut factory);
    (factory, server)
}

fn shorten_timeouts(factory: &mut Factory) {
    factory.config.database.timeout = TIMEOUT.into();
    factory.config.retry.first_wait = Duration::from_millis(20).into();
    factory.config.retry.max_wait = Duration::from_millis(200).into();
}

/// A worker in this process that stops when the queue is empty.
struct Worker {
    task: JoinHandle<()>,
    metrics: Arc<Metrics>,
}

impl Worker {
    /// Returns how many Postgres operations failed with an error of this class.
    fn n_errors(&self, class: &str) -> u64 {
        self.metrics.db_errors.with_label_values(&[class]).get()
    }
}

async fn start(factory: &Factory) -> Worker {
    let service = Service::start(&factory.config, Until::Empty, CancellationToken::new()).await.unwrap();
    let metrics = service.metrics();
    Worker { task: tokio::spawn(async move { service.run().await.unwrap() }), metrics }
}

/// Waits until the worker stops, then checks that every certificate was called, recorded, counted and deleted once.
async fn assert_settled(factory: &Factory, worker: Worker, n: usize) {
    let patience = Duration::from_mins(1);
    tokio::time::timeout(patience, worker.task).await.expect("the queue does not become empty").unwrap();
    assert_eq!(factory.outcomes().await, BTreeMap::from([(Code::Ok, n as u64)]));
    assert_eq!((factory.n_calls(), factory.sandbox.ledger().n_certificates()), (n, n));
    let (rows, duplicates): (i64, i64) =
        sqlx::query_as("select count(*), coalesce(sum(n_duplicates), 0) from registrations")
            .fetch_one(&factory.database.pool)
            .await
            .unwrap();
    assert_eq!((rows, duplicates), (n.try_into().unwrap(), 0));
    assert_eq!(factory.counts("jobs").deleted, n as u64);
}

/// Makes the first `n` inserts of rows run a statement first. A sequence counts them, because rollbacks do not undo it.
async fn strike_inserts(factory: &Factory, n: u32, statement: &str) {
    let trigger = format!(
        "create sequence strikes;
        create function strike() returns trigger language plpgsql as $$
        begin if nextval('strikes') <= {n} then {statement}; end if; return null; end $$;
        create trigger strike before insert on registrations for each statement execute function strike()"
    );
    sqlx::raw_sql(AssertSqlSafe(trigger)).execute(&factory.database.pool).await.unwrap();
}

async fn n_strikes(factory: &Factory) -> i64 {
    sqlx::query_scalar("select last_value from strikes").fetch_one(&factory.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_in_doubt_is_retried_and_counted_once() {
    for executed in [true, false] {
        let (factory, proxy) = behind_a_proxy(1000.0).await;
        factory.enqueue(&factory.leaves(30)).await;
        proxy.cut(Cut::AtCommit { executed });
        let worker = start(&factory).await;
        assert_settled(&factory, worker, 30).await;
        assert_eq!(proxy.n_cuts(), 1, "no connection was cut");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_in_mid_answer_loses_nothing() {
    for bytes in [100, 1_000, 3_000] {
        let (factory, proxy) = behind_a_proxy(1000.0).await;
        factory.enqueue(&factory.leaves(30)).await;
        let worker = start(&factory).await;
        proxy.cut(Cut::AfterBytes(bytes));
        assert_settled(&factory, worker, 30).await;
        assert_eq!(proxy.n_cuts(), 1, "no connection was cut");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_resumes_after_a_database_outage() {
    for conduct in [Conduct::Stall, Conduct::Refuse] {
        let (factory, proxy) = behind_a_proxy(100.0).await;
        factory.enqueue(&factory.leaves(100)).await;
        let worker = start(&factory).await;
        factory.until("some are called", async |f| f.n_calls() >= 30).await;
        proxy.conduct(conduct);
        tokio::time::sleep(AWAY).await;
        factory
            .until("operations fail", async |_| worker.n_errors("timeout") + worker.n_errors("connection") > 0)
            .await;
        assert!(factory.n_calls() < 100, "{conduct:?} stops the work meanwhile");
        proxy.conduct(Conduct::Forward);
        assert_settled(&factory, worker, 100).await;
    }
}

/// Premise: a connection that went silent reports nothing, not even when it is closed or tested.
#[tokio::test(flavor = "multi_thread")]
async fn silently_dead_connections_are_abandoned() {
    for time in [AWAY, 4 * AWAY] {
        let (factory, proxy) = behind_a_proxy(100.0).await;
        factory.enqueue(&factory.leaves(100)).await;
        let worker = start(&factory).await;
        factory.until("some are called", async |f| f.n_calls() >= 30).await;
        proxy.conduct(Conduct::Swallow);
        tokio::time::sleep(time).await;
        proxy.conduct(Conduct::Forward);
        assert_settled(&factory, worker, 100).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_statements_only_take_longer() {
    let (mut factory, proxy) = behind_a_proxy(500.0).await;
    factory.config.database.timeout = DatabaseConfig::default().timeout;
    proxy.conduct(Conduct::Delay(Duration::from_millis(20)));
    factory.enqueue(&factory.leaves(100)).await;
    let worker = start(&factory).await;
    assert_settled(&factory, worker, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_terminated_in_mid_flush_loses_nothing() {
    let (factory, _proxy) = behind_a_proxy(1000.0).await;
    strike_inserts(&factory, 2, "perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1)").await;
    factory.enqueue(&factory.leaves(30)).await;
    let worker = start(&factory).await;
    assert_settled(&factory, worker, 30).await;
    assert!(n_strikes(&factory).await > 2);
}

/// Disk full, too many connections, read-only, deadlock, serialization failure, starting up, lock not available.
#[tokio::test(flavor = "multi_thread")]
async fn server_errors_do_not_blame_the_rows() {
    for code in ["53100", "53300", "25006", "40P01", "40001", "57P03", "55P03"] {
        let (factory, _proxy) = behind_a_proxy(1000.0).await;
        strike_inserts(&factory, 3, &format!("raise exception 'as ordered' using errcode = '{code}'")).await;
        factory.enqueue(&factory.leaves(20)).await;
        let worker = start(&factory).await;
        assert_settled(&factory, worker, 20).await;
        assert!(n_strikes(&factory).await > 3, "{code}");
    }
}

/// Premise: after a failover the old server accepts connections but refuses writes. A session keeps the setting that it
/// started with, just as a session with the old server stays on that server.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_server_is_abandoned_for_another() {
    let (factory, _proxy) = behind_a_proxy(100.0).await;
    let pool = &factory.database.pool;
    let database: String = sqlx::query_scalar("select current_database()").fetch_one(pool).await.unwrap();
    let run = async |sql: String| {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
    };
    factory.enqueue(&factory.leaves(60)).await;
    let worker = start(&factory).await;
    factory.until("some are called", async |f| f.n_calls() >= 20).await;
    run(format!("alter database {database} set default_transaction_read_only = on")).await;
    run("select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'muster' and datname = current_database()"
        .to_owned())
    .await;
    factory.until("a write is refused", async |_| worker.n_errors("25") > 0).await;
    run(format!("alter database {database} reset default_transaction_read_only")).await;
    assert_settled(&factory, worker, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_is_used_again() {
    let (factory, mut server) = on_its_own_server(100.0).await;
    factory.enqueue(&factory.leaves(100)).await;
    let worker = start(&factory).await;
    factory.until("some are called", async |f| f.n_calls() >= 30).await;
    server.go_down().await;
    tokio::time::sleep(AWAY).await;
    assert!(!worker.task.is_finished());
    server.come_up().await;
    assert_settled(&factory, worker, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_times_out_and_is_used_again() {
    let (factory, server) = on_its_own_server(100.0).await;
    factory.enqueue(&factory.leaves(100)).await;
    let worker = start(&factory).await;
    factory.until("some are called", async |f| f.n_calls() >= 30).await;
    server.freeze();
    // Either the timeout of the operation, or that of the pool, which waits for a sign of life from the connection.
    let has_failed = async |_: &Factory| worker.n_errors("timeout") + worker.n_errors("connection") > 0;
    factory.until("operations fail", has_failed).await;
    assert!(factory.n_calls() < 100);
    server.thaw();
    assert_settled(&factory, worker, 100).await;
}

/// Starts a worker program, and makes its server unreachable while it holds jobs with unrecorded outcomes.
async fn start_and_cut_off_from_postgres(conduct: Conduct) -> (Factory, Proxy, crate::factory::Program) {
    let (mut factory, proxy) = behind_a_proxy(50.0).await;
    factory.database.url.clone_from(&proxy.url);
    // Calls are always in flight, so some finish after the server is gone; and many more jobs wait for a permit.
    let slow = Effect::Latency { milliseconds: 400, up_to: None };
    factory.sandbox.faults().set(Fault::new(ApiOperation::RegisterCertificate, slow)).unwrap();
    factory.enqueue(&factory.leaves(300)).await;
    let program = factory.spawn(&[
        "serve",
        "--set=database.timeout=500ms",
        "--set=worker.attempt_timeout=1s",
        "--set=worker.drain_deadline=2s",
    ]);
    factory.until("some are recorded", async |f| f.counts("jobs").deleted >= 10).await;
    proxy.conduct(conduct);
    (factory, proxy, program)
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_without_postgres_fails_in_time_and_releases_messages() {
    for conduct in [Conduct::Refuse, Conduct::Stall] {
        let (factory, _proxy, program) = start_and_cut_off_from_postgres(conduct).await;
        assert!(factory.counts("jobs").in_flight > 0);
        program.signal("TERM");
        let (code, _, log) = program.wait().await;
        assert_eq!(code, Some(1), "{conduct:?}: {log}");
        assert!(log.contains("were not finished within the drain deadline"), "{log}");
        assert_eq!(factory.counts("jobs").in_flight, 0, "all messages are visible again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_exits_at_once() {
    let (factory, _proxy, program) = start_and_cut_off_from_postgres(Conduct::Stall).await;
    program.signal("TERM");
    // Wait until the first signal is handled: signals are handled in order, and only a second one counts.
    tokio::time::sleep(Duration::from_millis(200)).await;
    program.signal("TERM");
    let since = std::time::Instant::now();
    assert_eq!(program.wait().await.0, Some(130));
    assert!(since.elapsed() < Duration::from_millis(1_500), "the drain deadline is 2 s after the first signal");
    assert!(factory.counts("jobs").in_flight > 0, "something was released");
}

/// Premise: `/readyz` reported that the pool gave no answer, instead of that the server refuses connections.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_why_the_server_is_unreachable() {
    let (mut factory, mut server) = on_its_own_server(1000.0).await;
    factory.config.database.timeout = Duration::from_secs(20).into();
    let service = factory.serve().await;
    assert_eq!(service.readiness().await["postgres"], "ok");
    server.go_down().await;
    let started = std::time::Instant::now();
    let reason = service.readiness().await["postgres"].to_string();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let is_clear = ["No such file", "refused", "shutting down"].iter().any(|cause| reason.contains(cause));
    assert!(is_clear, "{reason}");
    server.come_up().await;
    factory.until("it is ready again", async |_| service.readiness().await["postgres"] == "ok").await;
    service.stop().await;
}
