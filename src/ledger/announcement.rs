//! Records batches and the sizes that their producers announce.
//!
//! The ledger has a batch from its first message on: a worker records it before the batch has an outcome.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::queue_readings::mark_queues_not_empty;
use super::{Ledger, LedgerError};
use muster_core::job::BATCH_SIZE_MAX;

/// Batches, each with its announced size. `None`: its messages announced no size.
pub type Announced = BTreeMap<String, Option<u64>>;

impl Ledger {
    /// Records the batches named by received messages, and that the queues are not empty.
    pub async fn note_arrivals(&self, announced: &Announced) -> Result<(), LedgerError> {
        self.run(async |db| {
            let mut transaction = self.begin(db).await?;
            if !announced.is_empty() {
                announce(&mut transaction, announced).await?;
            }
            mark_queues_not_empty(&mut transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }
}

/// Records batches, each with the greatest size announced for it.
pub(super) async fn announce(db: &mut PgConnection, announced: &Announced) -> Result<(), LedgerError> {
    let (batches, sizes): (Vec<_>, Vec<_>) =
        announced.iter().map(|(batch, n)| (batch.as_str(), n.map(|n| n.min(BATCH_SIZE_MAX).cast_signed()))).unzip();
    sqlx::query(
        "-- announce
        insert into batches as b (batch, announced, announced_at)
        select batch, announced, now()
        from unnest($1::text[], $2::bigint[]) as new (batch, announced)
        on conflict (batch) do update
        set announced = excluded.announced, announced_at = excluded.announced_at
        where excluded.announced > coalesce(b.announced, -1)",
    )
    .bind(batches)
    .bind(sizes)
    .execute(db)
    .await?;
    Ok(())
}
