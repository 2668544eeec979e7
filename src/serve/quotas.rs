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
    for (name, target) in &reached.targets {
        for &operation in Operation::VARIANTS {
            let ceiling = config.targets[name].rates.of(operation);
            let quota = Quota { account: target.account.clone(), operation };
            let learnt = reached.store.open_quota(&quota, ceiling).await?;
            let lessor = Lessor { store: reached.store.clone(), quota, postgres: breakers.postgres.clone() };
            let limiter = Limiter::start(lessor, learnt, ceiling, gauges(metrics, name, operation, ceiling));
            limiters.insert((name.parse()?, operation), limiter);
        }
    }
    Ok(Limiters::new(limiters, config.worker.slots))
}

fn gauges(metrics: &Metrics, target: &str, operation: Operation, ceiling: Rate) -> Gauges {
    let rate = |kind| metrics.limiter_rate.with_label_values(&[target, operation.into(), kind]);
    rate("ceiling").set(ceiling.per_second());
    Gauges { learnt: rate("learnt"), leased: metrics.limiter_tokens_leased.clone() }
}
