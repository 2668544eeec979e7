//! Call rates, and the intervals and bursts that follow from them.

use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rate in calls per second: finite and above zero.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Rate(f64);

/// A number that is not a valid rate.
#[derive(Debug, thiserror::Error)]
#[error("a rate lies between {min} and {max} calls a second, found {0}", min = Rate::MIN, max = Rate::MAX)]
pub struct RateError(f64);

impl Rate {
    /// One call in 1,000 seconds.
    pub const MIN: f64 = 0.001;
    /// One call in ten microseconds: more than any quota. `governor` counts whole nanoseconds.
    pub const MAX: f64 = 100_000.0;

    /// Creates a rate from calls per second.
    ///
    /// # Errors
    /// [`RateError`] for a rate outside [`Rate::MIN`] to [`Rate::MAX`].
    pub fn new(per_second: f64) -> Result<Self, RateError> {
        if (Self::MIN..=Self::MAX).contains(&per_second) { Ok(Self(per_second)) } else { Err(RateError(per_second)) }
    }

    /// The rate in calls per second.
    pub fn per_second(self) -> f64 {
        self.0
    }

    /// The time between two calls.
    pub fn period(self) -> Duration {
        Duration::from_secs_f64(self.0.recip())
    }

    /// Returns the number of calls in the given duration, rounded down.
    pub fn calls_in(self, time: Duration) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are above zero and bounded")]
        let calls = (self.0 * time.as_secs_f64()) as usize;
        calls
    }
}

impl FromStr for Rate {
    type Err = String;

    /// Reads a rate as people write it: `10`, `2.5`.
    fn from_str(text: &str) -> Result<Self, String> {
        let per_second: f64 = text.parse().map_err(|_| format!("expected a number, found {text:?}"))?;
        Self::new(per_second).map_err(|error| error.to_string())
    }
}

impl TryFrom<f64> for Rate {
    type Error = RateError;

    fn try_from(per_second: f64) -> Result<Self, RateError> {
        Self::new(per_second)
    }
}

impl From<Rate> for f64 {
    fn from(rate: Rate) -> Self {
        rate.per_second()
    }
}

/// The burst that builds up while no calls are made, as a duration. It makes up for late timers; the quota's own bucket
/// holds ten times as much.
pub const BURST: Duration = Duration::from_millis(100);

/// The minimum burst, in calls. At low rates [`BURST`] is less than one permit, and every late timer would lose a
/// permit.
pub const BURST_MIN: usize = 2;

/// Returns the burst of a rate: the number of calls that build up while none are made.
pub fn burst_of(rate: Rate) -> u32 {
    u32::try_from(rate.calls_in(BURST).max(BURST_MIN)).unwrap_or(u32::MAX)
}

/// Returns the burst of a rate as a duration.
pub fn burst_time(rate: Rate) -> Duration {
    rate.period() * burst_of(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_outside_the_limits_are_refused() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(Rate::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Rate::new(10.0).unwrap().period(), Duration::from_millis(100));
    }
}
