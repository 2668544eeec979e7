//! Places in the code where a test can make the process abort or a task panic.
//!
//! `MUSTER_CRASH_AT=committed` aborts the process when it reaches that place, `committed:3` when it reaches it for the
//! third time. `MUSTER_PANIC_AT` panics instead. Only builds with debug assertions read these variables; a release
//! binary contains nothing of this file. It uses nothing but the standard library, so that a test can compile it alone,
//! with and without debug assertions.

#[cfg(debug_assertions)]
use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// Marks a place as reached. Aborts the process or panics if the environment asks for that here.
#[cfg(debug_assertions)]
pub(crate) fn reached(place: &str) {
    static CRASH: OnceLock<Option<Crash>> = OnceLock::new();
    static PANIC: OnceLock<Option<Crash>> = OnceLock::new();
    let is_due = |request: &OnceLock<Option<Crash>>, variable: &str| {
        request.get_or_init(|| Crash::requested(variable)).as_ref().is_some_and(|crash| crash.is_due(place))
    };
    if is_due(&CRASH, "MUSTER_CRASH_AT") {
        std::process::abort();
    }
    assert!(!is_due(&PANIC, "MUSTER_PANIC_AT"), "panic requested by MUSTER_PANIC_AT");
}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
pub(crate) fn reached(_place: &str) {}

/// A requested crash or panic.
#[cfg(debug_assertions)]
struct Crash {
    place: String,
    /// How many more times the place must be reached. The crash happens when this goes from 1 to 0.
    left: AtomicUsize,
}

#[cfg(debug_assertions)]
impl Crash {
    fn requested(variable: &str) -> Option<Self> {
        Some(Self::read(&std::env::var(variable).ok()?))
    }

    /// Parses `PLACE` or `PLACE:N`.
    fn read(request: &str) -> Self {
        let (place, n) = request.split_once(':').unwrap_or((request, "1"));
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
    fn a_crash_happens_only_at_its_place_and_count() {
        let crash = Crash::read("committed:2");
        let due = ["committed", "token", "committed", "committed"].map(|place| crash.is_due(place));
        assert_eq!(due, [false, false, true, false]);
        assert!(Crash::read("token").is_due("token"));
    }
}
