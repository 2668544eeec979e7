//! Executes the plan, and reports progress meanwhile.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::fleet::Fleet;
use crate::metrics::Scrapes;
use crate::plan::{Events, Plan, PostgresEvent, WorkerEvent};
use crate::plant::Plant;
use crate::proxy::Conduct;
use crate::server::{Server, kill};

/// How often progress is reported and metrics are scraped.
const REPORT_EVERY: Duration = Duration::from_secs(3);

/// Share of the messages that must be done for the storm to end early.
const DONE: f64 = 0.9;

/// What happened.
pub(crate) struct Storm {
    pub(crate) kills: usize,
    pub(crate) freezes: usize,
    pub(crate) terms: usize,
    pub(crate) bounces: usize,
    /// When Postgres was away or stopped answering.
    pub(crate) postgres_away: Vec<(Instant, Instant)>,
    /// When the clock of Postgres was set.
    pub(crate) clock_set: Vec<Instant>,
    pub(crate) scrapes: Scrapes,
    /// Kept until the end, because it holds the ledger to be judged.
    _server: Server,
}

impl Storm {
    /// Executes the plan until its time is over or most of the work is done.
    pub(crate) async fn run(plan: Plan, mut server: Server, plant: &Plant, fleet: &Fleet) -> Self {
        let stop = CancellationToken::new();
        let counts = Mutex::new((0, 0, 0));
        let scrapes = Scrapes::default();
        let started = Instant::now();
        let end = plan.workers.last().map_or(Duration::ZERO, |(at, _)| *at);
        let clock_set = Mutex::default();
        let ((), (bounces, postgres_away), (), (), ()) = tokio::join!(
            run_on_schedule(started, plan.workers, &stop, async |event| strike_worker(fleet, event, &counts)),
            strike_postgres(started, plan.postgres, &stop, &mut server, plant, &clock_set),
            run_on_schedule(started, plan.sandbox, &stop, async |fault| {
                plant.sandbox.faults().set(fault).unwrap();
            }),
            run_on_schedule(started, vec![(plan.activated_at, ())], &stop, async |()| activate_ca(plant)),
            report_progress(started, end, &stop, plant, fleet, &scrapes),
        );
        plant.sandbox.faults().clear_all();
        activate_ca(plant);
        let (kills, freezes, terms) = *counts.lock().unwrap();
        let clock_set = clock_set.into_inner().unwrap();
        Self { kills, freezes, terms, bounces, postgres_away, clock_set, scrapes, _server: server }
    }
}

/// Runs `strike` for each event at its time, until `stop` is cancelled.
async fn run_on_schedule<E>(
    started: Instant,
    events: Events<E>,
    stop: &CancellationToken,
    mut strike: impl AsyncFnMut(E),
) {
    for (at, event) in events {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until((started + at).into()) => {}
        }
        strike(event).await;
    }
}

fn strike_worker(fleet: &Fleet, event: WorkerEvent, counts: &Mutex<(usize, usize, usize)>) {
    match event {
        WorkerEvent::Kill(seat) => counts.lock().unwrap().0 += usize::from(fleet.kill(seat)),
        WorkerEvent::Terminate(seat) => counts.lock().unwrap().2 += usize::from(fleet.terminate(seat)),
        WorkerEvent::IgnoreLog(seat, time) => fleet.ignore_log(seat, time),
        WorkerEvent::Freeze(seat, time) => {
            let Some(pid) = fleet.freeze(seat) else { return };
            counts.lock().unwrap().1 += 1;
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                kill("CONT", pid);
            });
        }
    }
}

async fn strike_postgres(
    started: Instant,
    events: Events<PostgresEvent>,
    stop: &CancellationToken,
    server: &mut Server,
    plant: &Plant,
    clock_set: &Mutex<Vec<Instant>>,
) -> (usize, Vec<(Instant, Instant)>) {
    let mut away = Vec::new();
    run_on_schedule(started, events, stop, async |event| {
        let since = Instant::now();
        match event {
            PostgresEvent::Stop(time) => {
                server.go_down().await;
                tokio::time::sleep(time).await;
                server.come_up().await;
            }
            PostgresEvent::Freeze(time) => {
                server.freeze();
                tokio::time::sleep(time).await;
                server.thaw();
            }
            PostgresEvent::Network(conduct, time) => {
                plant.proxy.conduct(conduct);
                tokio::time::sleep(time).await;
                plant.proxy.conduct(Conduct::Forward);
            }
            PostgresEvent::Clock(seconds, time) => {
                for (seconds, time) in [(seconds, time), (0, Duration::ZERO)] {
                    set_clock(plant, seconds);
                    clock_set.lock().unwrap().push(Instant::now());
                    tokio::time::sleep(time).await;
                }
            }
            PostgresEvent::Cut(cut) => plant.proxy.cut(cut),
            PostgresEvent::Disconnect => plant.rows.disconnect_workers().await,
        }
        away.push((since, Instant::now()));
    })
    .await;
    (away.len(), away)
}

/// Sets the offset of Postgres's clock to `seconds`, if the machine supports it.
fn set_clock(plant: &Plant, seconds: i64) {
    if let Some(clock) = &plant.clock {
        clock.set(seconds);
    }
}

/// Activates the CA that was inactive.
fn activate_ca(plant: &Plant) {
    assert!(plant.sandbox.set_ca_active(plant.cas.inactive.certificate().id(), true));
}

/// Reports progress, and ends the storm when its time is over or most of the work is done.
async fn report_progress(
    started: Instant,
    end: Duration,
    stop: &CancellationToken,
    plant: &Plant,
    fleet: &Fleet,
    scrapes: &Scrapes,
) {
    #[expect(clippy::cast_precision_loss, reason = "messages fit into memory")]
    let left_share = |left: u64| left as f64 / plant.jobs.bodies.len() as f64;
    while started.elapsed() < end && left_share(plant.n_left().await) > 1.0 - DONE {
        tokio::time::sleep(REPORT_EVERY.min(end.saturating_sub(started.elapsed()))).await;
        let recipe = plant.recipe();
        for admin in fleet.admins() {
            scrapes.scrape(&admin, &recipe.canaries, &plant.violations).await;
        }
        let n_rows = plant.rows.n().await.map_or("no answer".to_owned(), |n| n.to_string());
        eprintln!(
            "{:3} s: {} messages left, {n_rows} rows, {} certificates, {} workers exited, {} violations",
            started.elapsed().as_secs(),
            plant.n_left().await,
            plant.sandbox.ledger().n_certificates(),
            fleet.exits().len(),
            plant.violations.count(),
        );
    }
    stop.cancel();
}
