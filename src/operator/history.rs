//! Outcomes and throttles over time, for charts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::ledger::history::HistoryPoint;
use crate::ledger::rate_limit::RateReport;
use crate::ledger::{Ledger, LedgerError};

/// The time that a chart covers.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Display,
    EnumString,
    Eq,
    IntoStaticStr,
    PartialEq,
    Serialize,
    ToSchema,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ChartRange {
    /// The last hour, by the minute.
    #[default]
    Hour,
    /// The last day, by ten minutes.
    Day,
    /// The last 31 days, by six hours.
    Month,
}

/// Outcomes and throttles over time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct History {
    /// The time covered.
    pub range: ChartRange,
    /// When the ledger was read; the last point is not complete.
    #[serde(with = "time::serde::rfc3339")]
    pub read_at: OffsetDateTime,
    /// Length of a point.
    pub point_seconds: u64,
    /// When the history begins; nothing is known about earlier times. Null: it is empty.
    #[serde(with = "time::serde::rfc3339::option")]
    pub began_at: Option<OffsetDateTime>,
    /// The points with anything to count, the oldest first.
    pub points: Vec<ChartPoint>,
    /// The quota of all targets, in calls per second; of each target the highest.
    pub quota: f64,
}

/// What happened in one span of time, over all targets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChartPoint {
    /// When the span begins.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Certificates that Muster registered.
    pub registered: u64,
    /// Certificates that AWS already had.
    pub already_registered: u64,
    /// Certificates that failed.
    pub failed: u64,
    /// Certificates that were parked.
    pub parked: u64,
    /// Calls that AWS throttled.
    pub throttled: u64,
}

impl ChartRange {
    /// Returns the time covered and the length of a point.
    pub fn spans(self) -> (Duration, Duration) {
        match self {
            Self::Hour => (Duration::from_hours(1), Duration::from_mins(1)),
            Self::Day => (Duration::from_hours(24), Duration::from_mins(10)),
            Self::Month => (Duration::from_hours(31 * 24), Duration::from_hours(6)),
        }
    }
}

impl History {
    /// Reads the history of a range from the ledger.
    pub async fn read(ledger: &Ledger, range: ChartRange) -> Result<Self, LedgerError> {
        let (covered, point) = range.spans();
        let points = ledger.history(covered, point).await?;
        Ok(Self {
            range,
            read_at: ledger.now().await?.truncate_to_second(),
            point_seconds: point.as_secs(),
            began_at: ledger.history_began().await?,
            points: over_targets(&points),
            quota: quota(&ledger.all_rate_reports().await?),
        })
    }
}

/// Returns the quota of all targets, in calls per second. Of a target only the highest one counts: the quota of a few CA
/// registrations does not speed up the devices.
fn quota(rates: &[RateReport]) -> f64 {
    let mut targets: BTreeMap<&str, f64> = BTreeMap::new();
    for rate in rates {
        let highest = targets.entry(&rate.target).or_default();
        *highest = highest.max(rate.ceiling);
    }
    // The sum of no numbers is -0.0, which would be shown.
    targets.values().fold(0.0, |sum, rate| sum + rate)
}

/// Sums the points of all targets and operations.
fn over_targets(points: &[HistoryPoint]) -> Vec<ChartPoint> {
    let mut sums: BTreeMap<OffsetDateTime, ChartPoint> = BTreeMap::new();
    for point in points {
        let sum = sums.entry(point.at).or_insert_with(|| ChartPoint::new(point.at));
        sum.registered += point.n_registered;
        sum.already_registered += point.n_already_registered;
        sum.failed += point.n_failed;
        sum.parked += point.n_parked;
        sum.throttled += point.n_throttled;
    }
    sums.into_values().collect()
}

impl ChartPoint {
    fn new(at: OffsetDateTime) -> Self {
        Self { at, registered: 0, already_registered: 0, failed: 0, parked: 0, throttled: 0 }
    }

    /// Returns the number of outcomes.
    pub fn n_outcomes(&self) -> u64 {
        self.registered + self.already_registered + self.failed
    }
}
