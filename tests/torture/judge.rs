//! Judges the invariants at the end of a run.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use muster_core::certificate::CertificateId;
use muster_core::outcome::Code;
use muster_sandbox::{ApiOperation, LoggedCall};
use serde_json::json;
use time::OffsetDateTime;

use crate::fleet::Exit;
use crate::jobs::{Kind, Place};
use crate::lag::calls_a_second_max;
use crate::plant::{DRAIN_DEADLINE, Drain, Plant, SLOTS, VISIBILITY, rate};
use crate::rows::Row;
use crate::storm::Storm;

/// How long after the success of a certificate was recorded a copy of its job may still make a call, in addition to its
/// wait for a permit: visibility timeout, freeze, retries.
const STRAGGLERS_MAX: Duration = Duration::from_secs(15);

/// How long a worker may take to stop beyond its deadline: releasing what it holds, closing connections.
const LAST_STEPS: Duration = Duration::from_secs(3 + 2 + 2);

/// The exit code of a worker that could not reach something when it started.
const UNREACHABLE: i32 = 5;

/// Notes every violated invariant.
pub(crate) async fn judge(plant: &Plant, storm: &Storm, exits: &[Exit], drain: &Drain) {
    let rows = plant.rows.all().await;
    judge_rows(plant, &rows);
    judge_truth(plant, &rows);
    judge_quarantine(plant).await;
    judge_calls(plant, &rows).await;
    judge_rate(plant, storm);
    judge_exits(plant, storm, exits);
    let violations = &plant.violations;
    let dead = plant.counts("jobs-dead").sent;
    violations.unless(dead == 0, "I8", || format!("{dead} dead letters"));
    let [counters, counted] = plant.rows.counts().await;
    violations.unless(counters == counted, "I9", || format!("counters {counters:?}, rows {counted:?}"));
    for what in plant.rows.regressions().await {
        violations.note("I12", &what);
    }
    let Drain { n_left, took, bound } = drain;
    violations.unless(took <= bound, "I7", || {
        format!("{n_left} messages took {took:?} after the storm, but may take at most {bound:?}")
    });
    let counts = plant.counts("jobs");
    let is_empty = counts.visible + counts.in_flight + counts.delayed == 0;
    violations.unless(is_empty, "I7", || format!("the queue never became empty: {counts:?}"));
}

/// Checks that every certificate has an outcome, and the right one.
fn judge_rows(plant: &Plant, rows: &HashMap<Place, Row>) {
    let violations = &plant.violations;
    for (place, kind) in plant.jobs.wanted.iter().filter(|(place, _)| matches!(place, Place::Row(..))) {
        let Some(row) = rows.get(place) else {
            violations.note("I1", &format!("no row: {kind:?} {place:?}"));
            continue;
        };
        violations.unless(!row.has_key, "I11", || format!("a row with a private key: {place:?}"));
        violations
            .unless(is_expected(*kind, row.code), "blame", || format!("{kind:?} has outcome {}: {place:?}", row.code));
    }
    for place in rows.keys().filter(|place| !plant.jobs.wanted.contains_key(place)) {
        violations.note("I1", &format!("a row that no job asked for: {place:?}"));
    }
}

/// Checks that AWS holds every certificate with a success, and that everything AWS holds has a success in some batch.
fn judge_truth(plant: &Plant, rows: &HashMap<Place, Row>) {
    let held: HashSet<CertificateId> = plant.sandbox.ledger().certificates().iter().map(|c| c.id).collect();
    let succeeded = rows.values().filter(|row| row.code.status().is_success());
    let succeeded: HashSet<CertificateId> = succeeded.filter_map(|row| row.certificate_id).collect();
    for id in succeeded.difference(&held) {
        plant.violations.note("I3", &format!("{id} succeeded, but AWS does not hold it"));
    }
    for id in held.difference(&succeeded) {
        plant.violations.note("I3", &format!("AWS holds {id}, but it did not succeed"));
    }
}

fn is_expected(kind: Kind, code: Code) -> bool {
    match kind {
        Kind::Valid | Kind::Planted | Kind::Held => code.status().is_success(),
        Kind::Flawed(flaw) => code == flaw.code(),
        Kind::NotAJob => false,
    }
}

async fn judge_quarantine(plant: &Plant) {
    let quarantined = plant.rows.quarantined().await;
    let marks: HashSet<&str> = quarantined.iter().filter_map(|body| Some(body.split_once(';')?.0)).collect();
    for place in plant.jobs.wanted.keys() {
        let Place::Quarantine(mark) = place else { continue };
        plant
            .violations
            .unless(marks.contains(mark.trim_end_matches(';')), "I1", || format!("not quarantined: {mark}"));
    }
    for body in quarantined.iter().filter(|body| body.contains("PRIVATE KEY--")) {
        plant.violations.note("I11", &format!("a private key is in quarantine: {body}"));
    }
}

/// Judges I5: how many calls were made, and when.
async fn judge_calls(plant: &Plant, rows: &HashMap<Place, Row>) {
    let (calls, bound) = (register_calls(plant), calls_bound(plant));
    plant
        .violations
        .unless(calls.len() <= bound, "I5", || format!("{} calls, at most {bound} are allowed", calls.len()));
    let mut succeeded_since = HashMap::new();
    // The time of a row is unknown if it was recorded while the clock of Postgres was far behind.
    let started_at = OffsetDateTime::now_utc() - plant.started.elapsed();
    for row in rows.values().filter(|row| row.code.status().is_success() && row.recorded_at >= started_at) {
        let since = succeeded_since.entry(row.certificate_id.unwrap()).or_insert(row.recorded_at);
        *since = row.recorded_at.min(*since);
    }
    let (_, lowest) = plant.rows.learnt_rates().await;
    #[expect(clippy::cast_precision_loss, reason = "slots are a few hundred")]
    let stragglers_max = STRAGGLERS_MAX + Duration::from_secs_f64(SLOTS as f64 / lowest);
    for call in &calls {
        let Some(id) = call.certificate_id else { continue };
        let since = succeeded_since.get(&id).copied().unwrap_or(call.at);
        let is_late = call.at > since + stragglers_max;
        plant
            .violations
            .unless(!is_late, "I5", || format!("a call for {id} at {}, which had succeeded at {since}", call.at));
    }
}

/// Returns the allowed number of calls: one for each certificate, one more for each call that did not settle it, and
/// one more for each redelivery, because a worker died with it in flight or another worker got a copy.
fn calls_bound(plant: &Plant) -> usize {
    let calls = register_calls(plant);
    let unique: HashSet<_> = calls.iter().filter_map(|call| call.certificate_id).collect();
    let is_settled =
        |call: &&LoggedCall| matches!(call.answer.as_deref(), Some("ok" | "ResourceAlreadyExistsException"));
    let struck = calls.len() - calls.iter().filter(is_settled).count();
    let counts = plant.counts("jobs");
    unique.len() + struck + usize::try_from(counts.deliveries - counts.sent).unwrap()
}

fn register_calls(plant: &Plant) -> Vec<LoggedCall> {
    let calls = plant.sandbox.ledger().calls();
    calls.into_iter().filter(|call| call.operation == ApiOperation::RegisterCertificate).collect()
}

/// After the clock of Postgres is set, permits are granted a second time, for as long as a lease reaches.
const LEASED_TWICE: Duration = Duration::from_secs(3);

/// Judges I4: no second has more arrivals than the shared quota allows, allowing for delays caused by this process.
fn judge_rate(plant: &Plant, storm: &Storm) {
    let arrivals: Vec<Duration> = register_calls(plant).iter().map(|call| call.arrived).collect();
    for (n, arrived) in plant.lag.crowded(rate(), plant.started, &arrivals) {
        let at = plant.started + arrived;
        let is_excused = storm.clock_set.iter().any(|&set| set <= at && at <= set + LEASED_TWICE);
        plant.violations.unless(is_excused, "I4", || format!("{n} calls in the second before {arrived:?}"));
    }
}

/// Judges I10, and every other exit of a worker.
fn judge_exits(plant: &Plant, storm: &Storm, exits: &[Exit]) {
    for exit in exits.iter().filter(|exit| !exit.was_killed) {
        let violations = &plant.violations;
        let Some((terminated_at, took)) = exit.terminated else {
            let excused = exit.status.code() == Some(UNREACHABLE);
            violations.unless(excused, "end", || format!("a worker exited by itself: {:?}", exit.status));
            continue;
        };
        if !exit.had_started || exit.was_frozen {
            continue;
        }
        violations.unless(took <= DRAIN_DEADLINE + LAST_STEPS, "I10", || format!("a worker took {took:?} to stop"));
        let excused = exit.status.code() == Some(1) && is_postgres_away(storm, terminated_at, took);
        violations.unless(exit.status.success() || excused, "I10", || {
            format!("told to stop: {:?} after {took:?}", exit.status)
        });
    }
}

/// Returns whether Postgres was away while a worker stopped, or shortly before: then it may be unable to record
/// everything.
fn is_postgres_away(storm: &Storm, terminated_at: Instant, took: Duration) -> bool {
    storm.postgres_away.iter().any(|&(from, to)| from <= terminated_at + took && to + VISIBILITY >= terminated_at)
}

/// Returns the numbers of the run.
pub(crate) async fn report(plant: &Plant, storm: &Storm, exits: &[Exit], drain: &Drain) -> serde_json::Value {
    let ledger = plant.sandbox.ledger();
    let rows = plant.rows.all().await;
    let mut codes: HashMap<String, usize> = HashMap::new();
    for row in rows.values() {
        *codes.entry(row.code.to_string()).or_default() += 1;
    }
    let calls = register_calls(plant);
    let unique: HashSet<_> = calls.iter().filter_map(|call| call.certificate_id).collect();
    let summary = ledger.summary(ApiOperation::RegisterCertificate);
    let counts = plant.counts("jobs");
    json!({
        "jobs": plant.jobs.bodies.len(),
        "kills": storm.kills,
        "sigstops": storm.freezes,
        "terms": storm.terms,
        "postgres_bounces": storm.bounces,
        "postgres_cuts": plant.proxy.n_cuts(),
        "workers": exits.len(),
        "lost": plant.violations.of("I1"),
        "false_ends": plant.violations.of("I3"),
        "dead_lettered": plant.counts("jobs-dead").sent,
        "iot_calls": calls.len(),
        "iot_calls_bound": calls_bound(plant),
        "unique": unique.len(),
        "answers": summary.answers,
        "worst_second": summary.worst_second,
        "worst_second_bound": calls_a_second_max(rate()),
        "deliveries": counts.deliveries,
        "drain_seconds": drain.took.as_secs_f64(),
        "drain_bound": drain.bound.as_secs_f64(),
        "ends": codes,
        "scrapes": *storm.scrapes.n.lock().unwrap(),
    })
}
