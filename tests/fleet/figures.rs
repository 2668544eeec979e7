//! The figures of one account: pure, from its calls in the order of arrival.

use std::time::{Duration, Instant};

use muster_core::rate::{Rate, burst_of};
use serde::Serialize;

use crate::allowed::Allowed;
use crate::site::Seen;

const SECOND: Duration = Duration::from_secs(1);

/// The time that is measured, without its end.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

/// What one account saw in a window.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// See [`quota_used`]; with a time to settle or a raised rate it is `window_used`.
    pub(crate) quota_used: Option<f64>,
    /// Calls that were not throttled, as a share of what the quota refilled in the whole window.
    pub(crate) window_used: f64,
    pub(crate) calls: usize,
    pub(crate) throttled_ratio: f64,
    /// Most calls that arrived in any second, whatever the answer.
    pub(crate) worst_second: usize,
}

/// The calls of one second.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Second {
    pub(crate) calls: usize,
    pub(crate) throttled: usize,
}

impl Figures {
    /// The figures of a window that begins with the first call; for a later one, see
    /// [`Figures::of_the_whole_window`].
    pub(crate) fn new(calls: &[Seen], allowed: &Allowed, window: Window) -> Self {
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

    /// The same, with the share of the whole window as `quota_used`.
    pub(crate) fn of_the_whole_window(self) -> Self {
        Self { quota_used: Some(self.window_used), ..self }
    }
}

impl Window {
    /// The calls within it.
    pub(crate) fn cut(self, calls: &[Seen]) -> &[Seen] {
        let first = calls.partition_point(|call| call.at < self.from);
        let behind = calls.partition_point(|call| call.at < self.to);
        &calls[first..behind]
    }

    /// Its calls, by the second; a last second that is not whole is left out.
    pub(crate) fn seconds(self, calls: &[Seen]) -> Vec<Second> {
        let whole = usize::try_from((self.to - self.from).as_secs()).unwrap();
        let mut seconds = vec![Second::default(); whole];
        for call in self.cut(calls) {
            let place = usize::try_from((call.at - self.from).as_secs()).unwrap();
            let Some(second) = seconds.get_mut(place) else { continue };
            second.calls += 1;
            second.throttled += usize::from(call.is_throttled);
        }
        seconds
    }
}

/// Most calls of the whole fleet that may arrive in a second, whatever happens; the share on top is the network's.
pub(crate) fn allowed_second(rate: Rate) -> f64 {
    (rate.per_second() + f64::from(burst_of(rate)) + 1.0) * 1.05
}

/// Rounds for people and files: nobody measures finer here.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

fn throttled_ratio(calls: &[Seen]) -> f64 {
    let throttled = calls.iter().filter(|call| call.is_throttled).count();
    if calls.is_empty() { 0.0 } else { ratio(throttled, as_f64(calls.len())) }
}

/// The most calls that lie within one second.
fn worst_second(calls: &[Seen]) -> usize {
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

/// [`muster_sandbox::CallLog::quota_used`] of the calls that were not throttled: with N of them and
/// K = N - ceil(rate), (K - 1) / (rate x time from the first to the K-th). A standstill at the end does not show in it.
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
