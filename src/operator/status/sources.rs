//! Certificates of a batch by factory line.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::ledger::batch::Count;

/// Certificates of one factory line.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct SourceCounts {
    /// Name of the line. Null: the jobs named none.
    pub source: Option<String>,
    /// Certificates that AWS holds.
    pub succeeded: u64,
    /// Certificates that failed.
    pub failed: u64,
    /// Parked certificates.
    pub parked: u64,
}

impl SourceCounts {
    /// Sums the counters of a batch by factory line.
    pub fn of(counts: &[Count]) -> Vec<Self> {
        let mut sources: BTreeMap<&str, Self> = BTreeMap::new();
        for count in counts {
            let source = sources.entry(&count.source).or_default();
            source.source = Some(count.source.clone()).filter(|name| !name.is_empty());
            *match (count.status.is_success(), count.status.is_outcome()) {
                (true, _) => &mut source.succeeded,
                (false, true) => &mut source.failed,
                (false, false) => &mut source.parked,
            } += count.n;
        }
        sources.into_values().collect()
    }
}
