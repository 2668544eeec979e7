//! Opens the quota of each target in the ledger and starts its limiter.

use std::collections::HashMap;

use strum::VariantArray;

use super::Reached;
use crate::breakers::Breakers;
use crate::config::Config;
use crate::job::Operation;
use crate::limiter::{Gauges, Lessor, Limiter, Rate};
use crate::limiters::Limiters;
use crate::metrics::Metrics;
use crate::store::rate_limit::Quota;

/// Starts every limiter.
pub(super) async fn start(
    config: &Config,
    reached: &Reached,
    breakers: &Breakers,
    metrics: &Metrics,
) -> anyhow::Result<Limiters> {
    let mut limiters = HashMap::new();
    for (quota, names) in quotas(reached) {
        let operation = quota.operation;
        // All names of an account and region have one rate.
        let ceiling = config.targets[names[0]].rates.of(operation);
        let learnt = reached.store.open_quota(&quota, ceiling).await?;
        let lessor = Lessor { store: reached.store.clone(), quota, postgres: breakers.postgres.clone() };
        let limiter = Limiter::start(lessor, learnt, ceiling, gauges(metrics, &names, operation, ceiling));
        for name in names {
            limiters.insert((name.parse()?, operation), limiter.clone());
        }
    }
    Ok(Limiters::new(limiters, config.worker.slots))
}

/// Every quota, with the names of the targets that share it.
fn quotas(reached: &Reached) -> HashMap<Quota, Vec<&str>> {
    let mut quotas: HashMap<_, Vec<&str>> = HashMap::new();
    for (name, target) in &reached.targets.by_name {
        for &operation in Operation::VARIANTS {
            quotas.entry(Quota { account: target.account.clone(), operation }).or_default().push(name);
        }
    }
    quotas
}

fn gauges(metrics: &Metrics, targets: &[&str], operation: Operation, ceiling: Rate) -> Gauges {
    let rate = |target: &str, kind| metrics.limiter_rate.with_label_values(&[target, operation.into(), kind]);
    for target in targets {
        rate(target, "ceiling").set(ceiling.per_second());
    }
    let learnt = targets.iter().map(|target| rate(target, "learnt")).collect();
    Gauges { learnt, leased: metrics.limiter_tokens_leased.clone() }
}
