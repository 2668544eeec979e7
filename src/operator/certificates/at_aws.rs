//! Asks AWS about certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Context;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::KnownCertificate;
use crate::aws::registrar::inventory::DescribedCertificate;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::operator::reconcile::Inventory;
use muster_core::account::Account;
use muster_core::format::{printable, rfc3339};
use muster_core::job::Name;
use muster_core::rate::Rate;

/// Calls per second: half of the default quota, which other tools share.
const RATE: f64 = 5.0;

/// AWS's answer about a certificate in one account and region.
#[derive(Debug, Serialize, ToSchema)]
pub struct AtAws {
    /// Name of the target.
    pub target: String,
    /// Its AWS account.
    pub account: String,
    /// Its region.
    pub region: String,
    /// False: AWS does not have it; null: AWS could not be asked.
    pub is_there: Option<bool>,
    /// The status of the certificate at AWS.
    pub status: Option<String>,
    /// Its certificate mode: `DEFAULT` or `SNI_ONLY`.
    pub mode: Option<String>,
    /// When it was registered.
    #[serde(with = "time::serde::rfc3339::option")]
    pub created_at: Option<OffsetDateTime>,
    /// Id of the registered CA that issued it.
    pub ca_certificate_id: Option<String>,
    /// Why AWS could not be asked.
    pub problem: Option<String>,
}

/// Asks AWS about each certificate at the targets in its rows. CAs are skipped.
pub(super) async fn ask(config: &Config, ledger: &Ledger, certificates: &mut [KnownCertificate]) -> anyhow::Result<()> {
    let mut inventories = BTreeMap::new();
    for known in certificates {
        let rows = known.rows.iter().filter(|row| !row.operation.is_of_ca());
        let locations: BTreeSet<_> =
            rows.map(|row| (row.target.clone(), row.account.clone(), row.region.clone())).collect();
        let mut answers = Vec::new();
        for (target, account, region) in locations {
            let Some(id) = known.certificate_id else { continue };
            let unasked = AtAws::unasked(target, account, region);
            if !config.targets.contains_key(&unasked.target) {
                answers.push(AtAws { problem: Some("the settings have no such target".to_owned()), ..unasked });
                continue;
            }
            if !inventories.contains_key(&unasked.target) {
                let inventory = connect(config, ledger, &unasked.target).await?;
                inventories.insert(unasked.target.clone(), inventory);
            }
            let inventory = inventories.get_mut(&unasked.target).expect("it was inserted above");
            answers.push(unasked.with_answer(inventory.describe(id).await?));
        }
        known.at_aws = Some(answers);
    }
    Ok(())
}

async fn connect(config: &Config, ledger: &Ledger, target: &str) -> anyhow::Result<Inventory> {
    let name: Name = target.parse()?;
    let rate = Rate::new(RATE).expect("the constant is a valid rate");
    let inventory = Inventory::connect(config, &name, rate).await;
    let inventory = inventory.with_context(|| format!("cannot use target `{target}`"))?;
    let Account { id, region } = inventory.account().clone();
    ledger.check_target(target, &id, &region).await?;
    Ok(inventory)
}

impl AtAws {
    fn unasked(target: String, account: String, region: String) -> Self {
        Self {
            target,
            account,
            region,
            is_there: None,
            status: None,
            mode: None,
            created_at: None,
            ca_certificate_id: None,
            problem: None,
        }
    }

    fn with_answer(self, described: Option<DescribedCertificate>) -> Self {
        let Some(described) = described else { return Self { is_there: Some(false), ..self } };
        Self {
            is_there: Some(true),
            status: Some(described.status),
            mode: described.mode,
            created_at: described.created_at,
            ca_certificate_id: described.ca_id,
            ..self
        }
    }
}

impl fmt::Display for AtAws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |text: &Option<String>| text.as_deref().map_or_else(|| "unknown".to_owned(), printable);
        let (target, account) = (printable(&self.target), printable(&self.account));
        write!(f, "at AWS, target {target} ({account} in {}): ", printable(&self.region))?;
        match self.is_there {
            None => writeln!(f, "not asked, {}", word(&self.problem)),
            Some(false) => writeln!(f, "not registered"),
            Some(true) => {
                let since = self.created_at.map_or_else(|| "unknown".to_owned(), rfc3339);
                let ca = self.ca_certificate_id.as_deref().map_or_else(|| "none".to_owned(), printable);
                writeln!(f, "{}, registered {since}, mode {}, CA {ca}", word(&self.status), word(&self.mode))
            }
        }
    }
}
