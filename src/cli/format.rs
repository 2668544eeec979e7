//! Formats counts, durations, timestamps and foreign texts for people.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::ledger::hold::COUNTED_MAX;

pub(super) use muster_core::format::{counted, grouped, printable, rate, span};

/// Formats the number of waiting jobs; counting stops at [`COUNTED_MAX`].
pub(super) fn jobs_wait(n: u64) -> String {
    match n {
        1 => "1 job waits".to_owned(),
        COUNTED_MAX.. => format!("{} or more jobs wait", grouped(n)),
        _ => format!("{} jobs wait", grouped(n)),
    }
}

/// Returns how long `n` calls take at a rate per second; `None` at a rate of zero.
pub(super) fn time_for(n: u64, per_second: f64) -> Option<Duration> {
    #[expect(clippy::cast_precision_loss, reason = "counts of certificates are far below 2^52")]
    Duration::try_from_secs_f64(n as f64 / per_second).ok()
}

/// Formats a timestamp in whole seconds.
pub(super) fn rfc3339(time: OffsetDateTime) -> String {
    time.truncate_to_second().format(&Rfc3339).expect("the ledger's timestamps have four-digit years")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_zero_has_no_duration() {
        assert_eq!(time_for(100, 10.0), Some(Duration::from_secs(10)));
        assert_eq!(time_for(100, 0.0), None);
    }
}
