//! Places in the code at which a test lets the process die, or a task panic.
//!
//! `MUSTER_CRASH_AT=committed` aborts the process where it gets to that place, `committed:3` where it gets there for
//! the third time; `MUSTER_PANIC_AT` panics there. Only builds with debug assertions look at it: a release binary holds nothing of this file. It uses
//! nothing beside the standard library, so that a test can compile it alone in both ways.

#[cfg(debug_assertions)]
use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// Says that a place was reached; the process or the task ends here where it was told to.
#[cfg(debug_assertions)]
pub(crate) fn reached(place: &str) {
    static CRASH: OnceLock<Option<Crash>> = OnceLock::new();
    static PANIC: OnceLock<Option<Crash>> = OnceLock::new();
    let is_due = |order: &OnceLock<Option<Crash>>, variable: &str| {
        order.get_or_init(|| Crash::ordered(variable)).as_ref().is_some_and(|crash| crash.is_due(place))
    };
    if is_due(&CRASH, "MUSTER_CRASH_AT") {
        std::process::abort();
    }
    assert!(!is_due(&PANIC, "MUSTER_PANIC_AT"), "as ordered");
}

/// Says that a place was reached.
#[cfg(not(debug_assertions))]
pub(crate) fn reached(_place: &str) {}

/// A crash on order.
#[cfg(debug_assertions)]
struct Crash {
    place: String,
    /// How many times the place is still passed, this one included.
    left: AtomicUsize,
}

#[cfg(debug_assertions)]
impl Crash {
    fn ordered(variable: &str) -> Option<Self> {
        Some(Self::read(&std::env::var(variable).ok()?))
    }

    /// Reads `PLACE` or `PLACE:N`.
    fn read(order: &str) -> Self {
        let (place, n) = order.split_once(':').unwrap_or((order, "1"));
        Self { place: place.to_owned(), left: AtomicUsize::new(n.parse().unwrap_or(1)) }
    }

    fn is_due(&self, place: &str) -> bool {
        self.place == place && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_due_at_its_place_and_time_only() {
        let crash = Crash::read("committed:2");
        let due = ["committed", "token", "committed", "committed"].map(|place| crash.is_due(place));
        assert_eq!(due, [false, false, true, false]);
        assert!(Crash::read("token").is_due("token"));
    }
}
