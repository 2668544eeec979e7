//! The progress of a batch, formatted for people.

use std::fmt;
use std::time::Duration;

use super::rates::LearntRate;
use super::report::{BatchReport, FailureGroup, outcome_statuses};
use muster_core::format::{counted, grouped, printable, rate, rfc3339, span};

impl fmt::Display for BatchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for obstacle in &self.obstacles {
            write!(f, "{obstacle}")?;
        }
        if !self.obstacles.is_empty() {
            writeln!(f)?;
        }
        writeln!(f, "batch {}: {}\n", self.batch, self.headline())?;
        for status in outcome_statuses() {
            let name = status.to_string();
            writeln!(f, "{:>11}  {}", grouped(self.by_status[&name]), name.replace('_', " "))?;
        }
        if self.status_differs > 0 {
            let n = grouped(self.status_differs);
            writeln!(f, "\n{n} of them have another status at AWS than requested, or an unknown one")?;
        }
        write_counts(f, "failed, with an example each", &self.failures)?;
        self.write_parked(f)?;
        writeln!(f)?;
        self.write_rates(f)
    }
}

fn write_counts(f: &mut fmt::Formatter<'_>, title: &str, counts: &[FailureGroup]) -> fmt::Result {
    if !counts.is_empty() {
        writeln!(f, "\n{title}:")?;
    }
    for count in counts {
        writeln!(f, "{:>11}  {}{}", grouped(count.n), count.code, count.example_line())?;
    }
    Ok(())
}

impl BatchReport {
    /// Returns the progress in one line.
    pub fn headline(&self) -> String {
        let finished = grouped(self.finished);
        let parked = match self.parked {
            0 => String::new(),
            n => format!(", {} parked", grouped(n)),
        };
        let Some((announced, outstanding)) = self.announced.zip(self.outstanding) else {
            let finished = counted(self.finished, "certificate has", "certificates have");
            return format!("{finished} an outcome{parked}; the producer did not announce how many there are");
        };
        let announced = grouped(announced);
        if self.is_complete() {
            return format!("complete, {finished} of {announced} certificates have an outcome");
        }
        let so_far = format!("{finished} of {announced} certificates have an outcome");
        match self.missing_line() {
            Some(missing) => format!("{so_far}{parked}, {missing}"),
            None => format!("{so_far}, {} outstanding{parked}", grouped(outstanding)),
        }
    }

    /// Returns how many certificates are missing, how that is known, and where to look for them.
    pub fn missing_line(&self) -> Option<String> {
        let missing = grouped(self.missing.filter(|&n| n > 0)?);
        let time = span(Duration::from_secs(self.queues_empty_seconds?));
        let dead = self.dead_letters.map_or_else(|| "an unknown number of".to_owned(), grouped);
        let dead = format!("{dead} {}", if self.dead_letters == Some(1) { "dead letter" } else { "dead letters" });
        let quarantined = grouped(self.quarantined);
        Some(format!(
            "{missing} missing: announced, no outcome, and the queues have been empty for {time} ({dead}, {quarantined} \
             quarantined)"
        ))
    }

    fn write_parked(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_counts(f, "parked, with an example each", &self.parked_for)?;
        if self.parked == 0 {
            return Ok(());
        }
        writeln!(f, "\nparked jobs wait for:")?;
        for waiting in &self.waiting_for {
            let or_more = if waiting.is_capped() { " or more" } else { "" };
            writeln!(f, "{:>11}{or_more}  {}", grouped(waiting.n), waiting.what)?;
            if let Some(fix) = &waiting.fix {
                writeln!(f, "{:>11}  fix: `{fix}`", "")?;
            }
        }
        match self.being_resent {
            Some(0) => Ok(()),
            Some(n) => writeln!(f, "{:>11}  nothing any more: being resent", grouped(n)),
            None => writeln!(f, "{:>11}  nothing any more: being resent", "unknown"),
        }
    }

    fn write_rates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(rate), Some(seconds)) = (self.measured_rate, self.measured_seconds) {
            writeln!(f, "{rate:>11.1}  outcomes per second, measured over {seconds:.1} s just now")?;
        }
        if let (Some(rate), Some(first), Some(last)) = (self.average_rate, self.first_outcome_at, self.last_outcome_at)
        {
            writeln!(f, "{rate:>11.1}  outcomes per second on average, from {} to {}", rfc3339(first), rfc3339(last))?;
        }
        for line in self.rates.iter().filter_map(LearntRate::line) {
            writeln!(f, "{line}")?;
        }
        if self.is_complete() {
            return Ok(());
        }
        if self.quota.is_none() && !self.targets.is_empty() {
            let targets = self.targets.join(", ");
            writeln!(f, "the quota is unknown: neither the ledger nor the settings have one for {targets}")?;
        }
        if self.is_stopped() { Ok(()) } else { self.write_times_left(f) }
    }

    fn write_times_left(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(time) = self.seconds_left_at_measured_rate.and_then(to_time) {
            writeln!(f, "{:>11}  left at the measured rate", span(time))?;
        }
        let is_slower = self.learnt_rate.zip(self.quota).is_some_and(|(learnt, quota)| learnt < quota);
        let (seconds, per_second, name) = if is_slower {
            (self.seconds_left_at_learnt_rate, self.learnt_rate, "learnt rate")
        } else {
            (self.seconds_left_at_quota, self.quota, "configured quota")
        };
        if let (Some(per_second), Some(time)) = (per_second, seconds.and_then(to_time)) {
            writeln!(f, "{:>11}  left at the {name} of {} a second, at least", span(time), rate(per_second))?;
        }
        if let (Some(time), Some(n)) = (self.seconds_left_with_other_batches.and_then(to_time), self.queue_messages) {
            writeln!(f, "{:>11}  left at that rate for all {} messages in the queues", span(time), grouped(n))?;
        }
        Ok(())
    }
}

fn to_time(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

impl FailureGroup {
    /// Returns one of the certificates with its detail.
    pub fn example_line(&self) -> String {
        let Some(example) = &self.example else { return String::new() };
        let name = example.reference.as_ref().unwrap_or(&example.subject);
        let detail = example.detail.as_ref().map_or_else(String::new, |detail| format!(": {}", printable(detail)));
        format!("  {name}{detail}")
    }
}
