//! What the sandbox really allows, over time.

use std::time::Instant;

/// The real rate, which may be raised once.
#[derive(Clone, Copy)]
pub(crate) struct Allowed {
    first: f64,
    raised: Option<(Instant, f64)>,
}

impl Allowed {
    pub(crate) fn constant(rate: f64) -> Self {
        Self { first: rate, raised: None }
    }

    pub(crate) fn raised(self, at: Instant, to: f64) -> Self {
        Self { raised: Some((at, to)), ..self }
    }

    /// Returns the allowed calls per second at an instant.
    pub(crate) fn at(&self, instant: Instant) -> f64 {
        self.raised.filter(|(at, _)| *at <= instant).map_or(self.first, |(_, rate)| rate)
    }

    /// Returns the rate, unless it was raised.
    pub(crate) fn if_constant(&self) -> Option<f64> {
        self.raised.is_none().then_some(self.first)
    }

    /// Returns how many calls it refills between two instants, not counting what was in its bucket before.
    pub(crate) fn calls(&self, from: Instant, to: Instant) -> f64 {
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        let Some((at, rate)) = self.raised else { return self.first * seconds(from, to) };
        self.first * seconds(from, at.min(to)) + rate * seconds(at.max(from), to)
    }
}
