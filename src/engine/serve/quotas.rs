//! Opens the quota of each target in the ledger and starts its permit pool.

use std::collections::HashMap;
use std::sync::Arc;

use strum::VariantArray;

use super::running::Essential;
use super::targets::ServedTargets;
use crate::config::Config;
use crate::health::board::Board;
use crate::ledger::rate_limit::Quota;
use crate::ledger::{Ledger, retry_conflicts};
use crate::quota::by_target::PermitPools;
use crate::quota::lease_client::LeaseClient;
use crate::quota::permits::{Gauges, PermitPool};
use crate::telemetry::metrics::Metrics;
use muster_core::job::Operation;
use muster_core::rate::Rate;

/// What the permit pools need.
pub(super) struct Quotas<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) board: &'a Board,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) essential: &'a Essential,
}

impl Quotas<'_> {
    /// Starts the permit pools of all targets.
    pub(super) async fn open(&self, config: &Config, targets: &ServedTargets) -> anyhow::Result<PermitPools> {
        let mut pools = HashMap::new();
        for (quota, names) in quotas(targets) {
            let operation = quota.operation;
            // All targets of one account and region have the same rate: `targets` has checked it.
            let ceiling = config.targets[names[0]].rates.of(operation);
            let permits = self.start(quota, &names, ceiling).await?;
            for name in names {
                pools.insert((name.parse()?, operation), permits.clone());
            }
        }
        Ok(PermitPools::new(pools, config.worker.slots))
    }

    async fn start(&self, quota: Quota, names: &[&str], ceiling: Rate) -> anyhow::Result<PermitPool> {
        let learnt = retry_conflicts(async || self.ledger.open_quota(&quota, ceiling).await).await?;
        let gauges = gauges(self.metrics, names, quota.operation, ceiling);
        let lease_client = LeaseClient {
            ledger: self.ledger.clone(),
            quota,
            postgres: self.board.postgres.clone(),
            metrics: Arc::clone(self.metrics),
        };
        let (permits, work) = lease_client.permits(learnt, ceiling, gauges);
        tokio::spawn(self.essential.run(work));
        Ok(permits)
    }
}

/// Returns every quota, with the names of the targets that share it.
fn quotas(targets: &ServedTargets) -> HashMap<Quota, Vec<&str>> {
    let mut quotas: HashMap<_, Vec<&str>> = HashMap::new();
    for (name, target) in &targets.by_name {
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
