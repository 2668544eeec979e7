//! The targets of a service: the account and region of each, and a client to call there.
//!
//! A target whose credentials do not work blocks no other. It starts with its breaker open if the ledger knows the
//! account that its name stands for; otherwise the service could not verify later that the credentials are the right
//! ones.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use strum::VariantArray;
use tracing::{info, warn};

use crate::aws::identity::{self, IdentityError};
use crate::aws::target_client::TargetClient;
use crate::config::{self, Config, TargetRates};
use crate::engine::worker::ServedTarget;
use crate::health::clock::Clock;
use crate::health::fit::{FitFinding, Misfit};
use crate::ledger::{Ledger, retry_conflicts};
use muster_core::account::Account;
use muster_core::format::rounded;
use muster_core::job::{Name, Operation};

/// All targets.
#[derive(Debug)]
pub(super) struct ServedTargets {
    pub(super) by_name: HashMap<String, ServedTarget>,
    /// Targets whose credentials could not be verified, and why.
    pub(super) denied: Vec<(Name, String)>,
    /// The clock, set to AWS's time.
    pub(super) clock: Clock,
}

/// A target as found at start-up.
struct FoundTarget<'a> {
    name: &'a str,
    rates: &'a TargetRates,
    account: Account,
    client: TargetClient,
    /// Why its credentials could not be verified, if they were not.
    trouble: Option<IdentityError>,
}

impl ServedTargets {
    /// Asks AWS for the account of every target and creates the targets.
    pub(super) async fn connect(config: &Config, ledger: &Ledger) -> anyhow::Result<Self> {
        let mut found = Vec::with_capacity(config.targets.len());
        let clock = Clock::default();
        for (name, settings) in &config.targets {
            let target = FoundTarget::find(name, settings, config, ledger, &clock).await;
            found.push(target.with_context(|| cannot_use(name))?);
        }
        check_quota_rates(&found)?;
        require_working_target(&mut found)?;
        let mut targets = Self { by_name: HashMap::new(), denied: vec![], clock };
        for target in found {
            if let Some(trouble) = &target.trouble {
                targets.denied.push((target.name.parse()?, trouble.to_string()));
            }
            let served = ServedTarget { account: target.account, client: Arc::new(target.client) };
            targets.by_name.insert(target.name.to_owned(), served);
        }
        Ok(targets)
    }
}

fn cannot_use(name: &str) -> String {
    format!("cannot use target `{name}`")
}

impl<'a> FoundTarget<'a> {
    /// Asks AWS for a target's account and claims its name in the ledger; falls back to the account that the ledger
    /// knows.
    async fn find(
        name: &'a str,
        settings: &'a config::TargetConfig,
        config: &Config,
        ledger: &Ledger,
        clock: &Clock,
    ) -> anyhow::Result<FoundTarget<'a>> {
        let (access, timeout) = (settings.access(&config.aws), config.worker.attempt_timeout.into());
        let rates = &settings.rates;
        let asked = identity::ask(&access, timeout).await;
        if let Some(ahead) = asked.clock_ahead {
            clock.set_ahead(ahead);
        }
        let trouble = match asked.answer {
            Ok((aws, account)) => {
                retry_conflicts(async || ledger.claim_target(name, &account.id, &account.region).await).await?;
                let (id, region) = (&account.id, &account.region);
                info!(
                    target_name = name,
                    account = id,
                    region,
                    rate = rounded(rates.register_certificate.per_second()),
                    "serving"
                );
                let client = TargetClient::verified(access, account.clone(), timeout, &aws);
                return Ok(Self { name, rates, account, client, trouble: None });
            }
            Err(trouble) => trouble,
        };
        let is_wanted = |known: &Account| access.region.as_ref().is_none_or(|region| *region == known.region);
        match ledger.account_of_target(name).await?.filter(is_wanted) {
            Some(account) if trouble.may_pass() => {
                warn!(
                    target_name = name,
                    %account,
                    error = %trouble,
                    "cannot verify the credentials: calls wait, except probes"
                );
                let client = TargetClient::new(access, account.clone(), timeout);
                Ok(Self { name, rates, account, client, trouble: Some(trouble) })
            }
            _ => Err(trouble.into()),
        }
    }
}

/// Refuses to start if no target's credentials could be verified: there is nothing to do.
fn require_working_target(found: &mut [FoundTarget<'_>]) -> anyhow::Result<()> {
    if found.iter().any(|target| target.trouble.is_none()) {
        return Ok(());
    }
    let first = found.first_mut().and_then(|target| Some((target.name, target.trouble.take()?)));
    first.map_or(Ok(()), |(name, trouble)| Err(trouble).with_context(|| cannot_use(name)))
}

/// Refuses targets of one account and region that are configured with different rates for its quota.
fn check_quota_rates(found: &[FoundTarget<'_>]) -> Result<(), Misfit> {
    let mut firsts: HashMap<&Account, &FoundTarget<'_>> = HashMap::new();
    let mut findings = Vec::new();
    for target in found {
        let first = firsts.entry(&target.account).or_insert(target);
        let differs = |operation: Operation| first.rates.of(operation) != target.rates.of(operation);
        for &operation in Operation::VARIANTS.iter().filter(|&&operation| differs(operation)) {
            findings.push(FitFinding::OneQuotaTwoRates {
                one: first.name.to_owned(),
                other: target.name.to_owned(),
                key: TargetRates::key_of(operation),
                account: target.account.id.clone(),
                region: target.account.region.clone(),
                rates: (first.rates.of(operation).per_second(), target.rates.of(operation).per_second()),
            });
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(Misfit(findings)) }
}
