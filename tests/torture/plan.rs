//! What goes wrong and when: everything follows from the seed, so a run can be repeated.

use std::time::Duration;

use muster_sandbox::{ApiOperation, Effect, Fault};

use crate::proxy::{Conduct, Cut};

/// Whether the program gives up connections that have gone silent; otherwise they would block its pool forever.
const ABANDONS_DEAD_CONNECTIONS: bool = true;

/// Events with their times since the start of the storm.
pub(crate) type Events<E> = Vec<(Duration, E)>;

/// Everything that goes wrong.
pub(crate) struct Plan {
    pub(crate) workers: Events<WorkerEvent>,
    pub(crate) postgres: Events<PostgresEvent>,
    pub(crate) sandbox: Events<Fault>,
    /// When the inactive CA becomes active.
    pub(crate) activated_at: Duration,
}

/// What happens to the worker on a seat.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WorkerEvent {
    Kill(usize),
    Freeze(usize, Duration),
    Terminate(usize),
    /// Its log is not read.
    IgnoreLog(usize, Duration),
}

/// What happens to Postgres.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PostgresEvent {
    /// It is stopped and restarted.
    Stop(Duration),
    Freeze(Duration),
    /// The program's connections are terminated.
    Disconnect,
    /// The proxy treats bytes in both directions like this for a time.
    Network(Conduct, Duration),
    /// A connection is cut.
    Cut(Cut),
    /// Its clock is off by this many seconds for a time.
    Clock(i64, Duration),
}

impl Plan {
    pub(crate) fn new(seed: u64, seats: usize, time: Duration) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let kills = events(&mut random.fork(), time, 0.2..2.0, |random| WorkerEvent::Kill(random.usize(0..seats)));
        // Some last longer than the visibility timeout.
        let freezes = events(&mut random.fork(), time, 2.0..8.0, |random| {
            WorkerEvent::Freeze(random.usize(0..seats), seconds(random, 0.3, 6.0))
        });
        let terms = events(&mut random.fork(), time, 4.0..9.0, |random| WorkerEvent::Terminate(random.usize(0..seats)));
        let ignored = events(&mut random.fork(), time, 2.0..6.0, |random| {
            WorkerEvent::IgnoreLog(random.usize(0..seats), seconds(random, 0.5, 8.0))
        });
        let mut workers = [kills, freezes, terms, ignored].concat();
        workers.sort_by_key(|(at, _)| *at);
        Self {
            workers,
            postgres: events(&mut random.fork(), time, 1.0..5.0, postgres_event),
            sandbox: events(&mut random.fork(), time, 0.4..1.6, fault),
            activated_at: time / 2,
        }
    }
}

/// Draws events at random intervals.
fn events<E>(
    random: &mut fastrand::Rng,
    time: Duration,
    interval: std::ops::Range<f64>,
    mut draw: impl FnMut(&mut fastrand::Rng) -> E,
) -> Events<E> {
    let mut events = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        at += seconds(random, interval.start, interval.end);
        if at >= time {
            return events;
        }
        events.push((at, draw(random)));
    }
}

fn postgres_event(random: &mut fastrand::Rng) -> PostgresEvent {
    match random.u8(0..8) {
        0 => PostgresEvent::Stop(seconds(random, 0.2, 3.0)),
        1 => PostgresEvent::Freeze(seconds(random, 0.3, 5.0)),
        2 => PostgresEvent::Disconnect,
        3 => PostgresEvent::Network(conduct(random), seconds(random, 0.3, 3.0)),
        7 => PostgresEvent::Clock(
            random.i64(1_000..100_000) * if random.bool() { 1 } else { -1 },
            seconds(random, 0.3, 3.0),
        ),
        4 => PostgresEvent::Cut(Cut::AfterBytes(random.usize(..5_000))),
        _ => PostgresEvent::Cut(Cut::AtCommit { executed: random.bool() }),
    }
}

fn conduct(random: &mut fastrand::Rng) -> Conduct {
    match random.u8(0..5) {
        0 => Conduct::Delay(seconds(random, 0.01, 0.2)),
        4 => Conduct::Narrow(random.u32(20_000..500_000)),
        1 => Conduct::Stall,
        2 if ABANDONS_DEAD_CONNECTIONS => Conduct::Swallow,
        _ => Conduct::Refuse,
    }
}

/// Draws an AWS fault, mostly for a share of the calls so small that no job meets eight in a row.
fn fault(random: &mut fastrand::Rng) -> Fault {
    use ApiOperation as O;
    let executed = random.bool();
    let error = |status, code: &str| Effect::Error {
        status,
        code: code.to_owned(),
        message: "as ordered".to_owned(),
        executed,
    };
    let n_entries = random.usize(1..=5);
    let failed = |code: &str| Effect::FailEntries { entries: n_entries, code: code.to_owned(), sender_fault: false };
    let odd = [
        ("application/json", "{}".to_owned()),
        ("application/json", String::new()),
        ("text/html", "<html>Access blocked by proxy</html>".to_owned()),
    ];
    let (content_type, body) = odd[random.usize(0..odd.len())].clone();
    let odd = |status| Effect::Answer { status, content_type: content_type.into(), body: body.clone(), executed };
    let latency = Effect::Latency { milliseconds: 50, up_to: Some(1_500) };
    let menu = [
        (O::RegisterCertificate, Effect::Reset { executed }),
        (O::RegisterCertificate, Effect::Hang { executed }),
        (O::RegisterCertificate, error(500, "InternalFailureException")),
        (O::RegisterCertificate, error(503, "ServiceUnavailableException")),
        (O::RegisterCertificate, Effect::Throttle),
        (O::RegisterCertificate, odd(200)),
        (O::ReceiveMessage, odd(200)),
        (O::ReceiveMessage, Effect::CorruptBodies),
        (O::SendMessageBatch, odd(200)),
        (O::SendMessageBatch, Effect::OmitEntries { entries: n_entries, executed }),
        (O::DeleteMessageBatch, odd(200)),
        (O::DeleteMessageBatch, Effect::OmitEntries { entries: n_entries, executed }),
        (O::ChangeMessageVisibilityBatch, odd(200)),
        (O::GetQueueAttributes, odd(200)),
        (O::DescribeCertificate, odd(200)),
        (O::RegisterCertificate, latency.clone()),
        (O::ReceiveMessage, error(500, "InternalError")),
        (O::ReceiveMessage, Effect::Reset { executed }),
        (O::ReceiveMessage, Effect::DeliverTwice),
        (O::ReceiveMessage, latency.clone()),
        (O::DeleteMessageBatch, error(500, "InternalError")),
        (O::DeleteMessageBatch, Effect::Reset { executed }),
        (O::DeleteMessageBatch, Effect::StaleHandles),
        (O::DeleteMessageBatch, failed("InternalError")),
        (O::DeleteMessageBatch, latency),
        (O::ChangeMessageVisibilityBatch, error(503, "ServiceUnavailable")),
        (O::ChangeMessageVisibilityBatch, failed("InternalError")),
        (O::GetQueueAttributes, error(500, "InternalError")),
    ];
    let (operation, effect) = menu[random.usize(0..menu.len())].clone();
    let is_outage = random.u8(0..10) == 0;
    let share = if is_outage { 1.0 } else { 0.02 + 0.18 * random.f64() };
    Fault::new(operation, effect).for_share(share, random.u64(..)).during(seconds(random, 0.3, 3.0))
}

fn seconds(random: &mut fastrand::Rng, from: f64, to: f64) -> Duration {
    Duration::from_secs_f64(from + (to - from) * random.f64())
}
