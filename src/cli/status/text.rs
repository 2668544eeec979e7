//! What `status` says of a batch for people.

use std::fmt;
use std::time::Duration;

use super::rates::LearntRate;
use super::report::{Failure, Report, end_statuses};
use crate::cli::figures::{grouped, printable, span};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "batch {}: {}\n", self.batch, self.headline())?;
        for status in end_statuses() {
            let name = status.to_string();
            writeln!(f, "{:>11}  {}", grouped(self.ends[&name]), name.replace('_', " "))?;
        }
        if self.status_differs > 0 {
            let n = grouped(self.status_differs);
            writeln!(f, "\n{n} of them are at AWS with another or an unknown status than was asked for.")?;
        }
        write_failures(f, "what failed, with an example of each", &self.failures)?;
        write_failures(f, "what is parked until its cause is mended, with an example of each", &self.parked_for)?;
        writeln!(f)?;
        self.write_rates(f)
    }
}

fn write_failures(f: &mut fmt::Formatter<'_>, title: &str, failures: &[Failure]) -> fmt::Result {
    if !failures.is_empty() {
        writeln!(f, "\n{title}:")?;
    }
    for failure in failures {
        writeln!(f, "{:>11}  {}{}", grouped(failure.n), failure.code, failure.example_line())?;
    }
    Ok(())
}

impl Report {
    /// How far it is, in a line.
    pub(super) fn headline(&self) -> String {
        let ended = grouped(self.ended);
        let parked = match self.parked {
            0 => String::new(),
            n => format!(", {} parked", grouped(n)),
        };
        let Some((announced, outstanding)) = self.announced.zip(self.outstanding) else {
            return format!("{ended} ended{parked}; the line did not say how many there are");
        };
        let announced = grouped(announced);
        if self.is_complete() {
            return format!("complete, {ended} ended of {announced} announced");
        }
        match self.missing_line() {
            Some(missing) => format!("{ended} ended of {announced} announced{parked}, {missing}"),
            None => format!("{ended} ended of {announced} announced, {} outstanding{parked}", grouped(outstanding)),
        }
    }

    /// What is missing, and how that is known.
    pub(super) fn missing_line(&self) -> Option<String> {
        let missing = grouped(self.missing.filter(|&n| n > 0)?);
        let time = span(Duration::from_secs(self.queues_empty_seconds?));
        Some(format!("{missing} missing: announced, without an end, and the queues have been empty for {time}"))
    }

    fn write_rates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(rate), Some(seconds)) = (self.measured_rate, self.measured_seconds) {
            writeln!(f, "{rate:>11.1}  ends a second just now, measured for {seconds:.1} s")?;
        }
        if let (Some(rate), Some(first), Some(last)) = (self.average_rate, &self.first_end_at, &self.last_end_at) {
            writeln!(f, "{rate:>11.1}  ends a second on average from {first} to {last}")?;
        }
        for line in self.rates.iter().filter_map(LearntRate::line) {
            writeln!(f, "{line}")?;
        }
        if self.outstanding != Some(0) && self.missing.is_none() {
            self.write_times_left(f)?;
        }
        Ok(())
    }

    fn write_times_left(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(time) = self.seconds_left_at_measured_rate.and_then(to_time) {
            writeln!(f, "{:>11}  left at the rate of just now", span(time))?;
        }
        let slower = self.learnt_rate.filter(|&learnt| self.quota.is_some_and(|quota| learnt < quota));
        if let (Some(rate), Some(time)) = (slower, self.seconds_left_at_learnt_rate.and_then(to_time)) {
            writeln!(f, "{:>11}  left at the learnt rate of {rate:.1} a second", span(time))?;
        }
        match (self.seconds_left_at_quota.and_then(to_time), self.quota) {
            (Some(time), Some(quota)) => {
                writeln!(f, "{:>11}  left at the configured quota of {quota} a second", span(time))
            }
            (_, None) => {
                writeln!(f, "the quota is not known: ledger and settings lack one of {}", self.targets.join(", "))
            }
            _ => Ok(()),
        }
    }
}

fn to_time(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

impl Failure {
    /// One that ended so, and what is known of it.
    pub(super) fn example_line(&self) -> String {
        let Some(example) = &self.example else { return String::new() };
        let name = example.reference.as_ref().unwrap_or(&example.subject);
        let detail = example.detail.as_ref().map_or_else(String::new, |detail| format!(": {}", printable(detail)));
        format!("  {name}{detail}")
    }
}
