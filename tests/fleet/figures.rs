//! The figures of one account, computed purely from its calls in order of arrival.

use std::time::{Duration, Instant};

use muster_core::rate::{Rate, burst_of};
use serde::Serialize;

use crate::allowed::Allowed;
use crate::site::Call;

const SECOND: Duration = Duration::from_secs(1);

/// The measured time, excluding its end.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

/// What one account saw in a window.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// See [`quota_used`]; equal to `window_used` if there is a settling time or a raised rate.
    pub(crate) quota_used: Option<f64>,
    /// Calls that were not throttled, as a share of what the quota refilled in the whole window.
    pub(crate) window_used: f64,
    pub(crate) calls: usize,
    pub(crate) throttled_ratio: f64,
    /// The most calls that arrived within any one second, whatever the answer.
    pub(crate) worst_second: usize,
}

/// The calls of one second.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Second {
    pub(crate) calls: usize,
    pub(crate) throttled: usize,
}

impl Figures {
    /// Computes the figures of a window that begins with the first call; for a later window, see
    /// [`Figures::of_the_whole_window`].
    pub(crate) fn new(calls: &[Call], allowed: &Allowed, window: Window) -> Self {
        let calls = window.cut(calls);
        let passed: Vec<Instant> = calls.iter().filter(|call| !call.is_throttled).map(|call| call.at).collect();
        let window_used = ratio(passed.len(), allowed.calls(window.from, window.to));
        Self {
            quota_used: match allowed.if_constant() {
                Some(rate) => quota_used(&passed, rate),
                None => Some(window_used),
            },
            window_used,
            calls: calls.len(),
            throttled_ratio: throttled_ratio(calls),
            worst_second: worst_second(calls),
        }
    }

    /// Returns the same figures, with the share of the whole window as `quota_used`.
    pub(crate) fn of_the_whole_window(self) -> Self {
        Self { quota_used: Some(self.window_used), ..self }
    }
}

impl Window {
    /// Returns the calls within the window.
    pub(crate) fn cut(self, calls: &[Call]) -> &[Call] {
        let first = calls.partition_point(|call| call.at < self.from);
        let end = calls.partition_point(|call| call.at < self.to);
        &calls[first..end]
    }

    /// Returns the counts of each second; an incomplete last second is left out.
    pub(crate) fn seconds(self, calls: &[Call]) -> Vec<Second> {
        let n_seconds = usize::try_from((self.to - self.from).as_secs()).unwrap();
        let mut seconds = vec![Second::default(); n_seconds];
        for call in self.cut(calls) {
            let index = usize::try_from((call.at - self.from).as_secs()).unwrap();
            let Some(second) = seconds.get_mut(index) else { continue };
            second.calls += 1;
            second.throttled += usize::from(call.is_throttled);
        }
        seconds
    }
}

/// Delay between a permit's time and the arrival of its call that a busy machine may add, in seconds.
const JITTER: f64 = 0.1;

/// Returns the maximum number of calls of the whole fleet that may arrive in any second: those of the second, a burst, and
/// late ones from the jitter before it.
pub(crate) fn allowed_second(rate: Rate) -> f64 {
    rate.per_second() * (1.0 + JITTER) + f64::from(burst_of(rate)) + 1.0
}

/// Rounds to four decimal places: nothing is measured more finely.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

fn throttled_ratio(calls: &[Call]) -> f64 {
    let throttled = calls.iter().filter(|call| call.is_throttled).count();
    if calls.is_empty() { 0.0 } else { ratio(throttled, as_f64(calls.len())) }
}

/// Returns the most calls that lie within one second.
fn worst_second(calls: &[Call]) -> usize {
    let mut first = 0;
    let mut worst = 0;
    for (last, call) in calls.iter().enumerate() {
        while call.at - calls[first].at >= SECOND {
            first += 1;
        }
        worst = worst.max(last + 1 - first);
    }
    worst
}

/// Computes [`muster_sandbox::CallLog::quota_used`] of the calls that were not throttled: with N of them and K = N -
/// ceil(rate), (K - 1) / (rate x time from the first to the K-th). Does not reflect a standstill at the end.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is above zero and bounded")]
fn quota_used(passed: &[Instant], rate: f64) -> Option<f64> {
    let k = passed.len().checked_sub(rate.ceil() as usize).filter(|&k| k >= 2)?;
    let seconds = (passed[k - 1] - passed[0]).as_secs_f64();
    (seconds > 0.0).then(|| ratio(k - 1, rate * seconds))
}

fn ratio(n: usize, of: f64) -> f64 {
    rounded(as_f64(n) / of)
}

#[expect(clippy::cast_precision_loss, reason = "calls fit into memory")]
fn as_f64(n: usize) -> f64 {
    n as f64
}
