//! Ties a target's name permanently to one AWS account and region.

use super::{Ledger, LedgerError};
use muster_core::account::Account;

impl Ledger {
    /// Claims a target's name for an account and region the first time, and later checks that they are still the same.
    ///
    /// # Errors
    /// [`LedgerError::TargetChanged`] if the name already belongs to another account or region: registered certificates
    /// would be looked up in the wrong place.
    pub async fn claim_target(&self, target: &str, account: &str, region: &str) -> Result<(), LedgerError> {
        let (found_account, found_region): (String, String) = self
            .run(async |db| {
                // Updating the row to itself returns an existing row.
                let row = sqlx::query_as(
                    "-- claim_target
                    insert into targets as t (target, account, region)
                    values ($1, $2, $3)
                    on conflict (target) do update set account = t.account
                    returning account, region",
                )
                .bind(target)
                .bind(account)
                .bind(region)
                .fetch_one(&mut *db)
                .await?;
                Ok(row)
            })
            .await?;
        same(target, &Account { id: found_account, region: found_region }, account, region)
    }

    /// Checks that a target's name does not belong to another account or region. Claims nothing.
    ///
    /// # Errors
    /// [`LedgerError::TargetChanged`] if it does.
    pub async fn check_target(&self, target: &str, account: &str, region: &str) -> Result<(), LedgerError> {
        let found = self.account_of_target(target).await?;
        found.map_or(Ok(()), |found| same(target, &found, account, region))
    }

    /// Returns the account and region of a target's name, if it was ever claimed.
    pub async fn account_of_target(&self, target: &str) -> Result<Option<Account>, LedgerError> {
        let found: Option<(String, String)> = self
            .run(async |db| {
                let row = sqlx::query_as(
                    "-- account_of_target
                    select account, region
                    from targets
                    where target = $1",
                )
                .bind(target)
                .fetch_optional(&mut *db)
                .await?;
                Ok(row)
            })
            .await?;
        Ok(found.map(|(id, region)| Account { id, region }))
    }
}

fn same(target: &str, found: &Account, account: &str, region: &str) -> Result<(), LedgerError> {
    if (found.id.as_str(), found.region.as_str()) == (account, region) {
        return Ok(());
    }
    Err(LedgerError::TargetChanged {
        target: target.to_owned(),
        found: found.to_string(),
        wanted: format!("{account} in {region}"),
    })
}
