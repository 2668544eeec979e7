//! The output of `muster report`, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::certificates::Certificates;
use crate::cli::format::{grouped, printable, rfc3339};
use crate::cli::user;
use crate::ledger::BatchStatus;
use crate::ledger::batch::Count;
use crate::operator::status::SourceCounts;
use muster_core::job::Name;

/// The inputs of a report.
pub(super) struct ReportFacts<'a> {
    /// The batch's name.
    pub name: &'a Name,
    /// Its counters.
    pub batch: &'a BatchStatus,
    /// How long the queues have been empty.
    pub queues_empty_for: Option<Duration>,
    /// The registered certificates.
    pub certificates: Vec<Certificates>,
}

/// The report.
#[derive(Debug, Serialize)]
pub(super) struct Filed {
    batch: String,
    made_at: String,
    /// User and host.
    made_by: String,
    /// Number of distinct certificates the producer announced; null: it announced none.
    announced: Option<u64>,
    finished: u64,
    parked: u64,
    /// Announced, without an outcome and not parked; null: the producer did not announce how many there are.
    outstanding: Option<u64>,
    /// Outstanding certificates once the queues have been empty for two minutes; null: they may still be on their way.
    missing: Option<u64>,
    first_outcome_at: Option<String>,
    last_outcome_at: Option<String>,
    /// Number of certificates by status and code.
    by_status_and_code: Vec<FiledOutcome>,
    /// Number of certificates by factory line.
    sources: Vec<SourceCounts>,
    /// The registered certificates by target, account, region and operation.
    certificates: Vec<Certificates>,
}

/// Certificates with one outcome, or parked for one reason.
#[derive(Debug, Serialize)]
struct FiledOutcome {
    status: String,
    code: &'static str,
    n: u64,
}

impl Filed {
    /// Builds the report with the current time and the current user.
    pub(super) fn of(facts: ReportFacts<'_>) -> Self {
        let batch = facts.batch;
        let outcomes = || batch.counts.iter().filter(|count| count.status.is_outcome());
        Self {
            batch: facts.name.to_string(),
            made_at: rfc3339(OffsetDateTime::now_utc()),
            made_by: user::who(),
            announced: batch.announced,
            finished: batch.finished(),
            parked: batch.parked(),
            outstanding: batch.outstanding(),
            missing: batch.missing(facts.queues_empty_for),
            first_outcome_at: outcomes().map(|count| count.first_at).min().map(rfc3339),
            last_outcome_at: outcomes().map(|count| count.last_at).max().map(rfc3339),
            by_status_and_code: by_code(&batch.counts),
            sources: SourceCounts::of(&batch.counts),
            certificates: facts.certificates,
        }
    }

    fn outstanding_line(&self) -> String {
        match (self.missing, self.outstanding) {
            (Some(missing), _) => format!("{} missing", grouped(missing)),
            (None, Some(outstanding)) => format!("{} outstanding", grouped(outstanding)),
            (None, None) => "an unknown number outstanding".to_owned(),
        }
    }
}

fn by_code(counts: &[Count]) -> Vec<FiledOutcome> {
    let mut by_code = BTreeMap::new();
    for count in counts {
        *by_code.entry((count.code, count.status.to_string())).or_default() += count.n;
    }
    by_code.into_iter().map(|((code, status), n)| FiledOutcome { status, code: code.as_str(), n }).collect()
}

impl fmt::Display for Filed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "batch {}, report of {} by {}\n", self.batch, self.made_at, printable(&self.made_by))?;
        let announced = self.announced.map_or_else(|| "an unknown number".to_owned(), grouped);
        let (finished, parked) = (grouped(self.finished), grouped(self.parked));
        writeln!(f, "{announced} announced, {finished} outcomes, {parked} parked, {}", self.outstanding_line())?;
        if let (Some(first), Some(last)) = (&self.first_outcome_at, &self.last_outcome_at) {
            writeln!(f, "first outcome {first}, last outcome {last}")?;
        }
        writeln!(f, "\nby status and code:")?;
        for FiledOutcome { status, code, n } in &self.by_status_and_code {
            writeln!(f, "{:>11}  {status} {code}", grouped(*n))?;
        }
        writeln!(f, "\nby factory line:")?;
        for SourceCounts { source, succeeded, failed, parked } in &self.sources {
            let name = source.as_deref().map_or_else(|| "(none)".to_owned(), printable);
            let (succeeded, failed, parked) = (grouped(*succeeded), grouped(*failed), grouped(*parked));
            writeln!(f, "{succeeded:>11}  succeeded, {failed} failed, {parked} parked: {name}")?;
        }
        writeln!(f, "\nregistered, with the SHA-256 of their ids:")?;
        self.certificates.iter().try_for_each(|group| group.fmt(f))
    }
}

impl fmt::Display for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, account, region, operation, n, ids_sha256 } = self;
        let target = printable(target);
        writeln!(f, "{:>11}  {target} ({account} in {region}), {operation}", grouped(*n))?;
        writeln!(f, "{:>11}  {ids_sha256}", "")
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use muster_core::job::Operation;
    use muster_core::outcome::Code;

    fn count(source: &str, code: Code, n: u64) -> Count {
        Count {
            source: source.to_owned(),
            status: code.status(),
            code,
            n,
            n_status_differs: 0,
            first_at: datetime!(2026-11-21 10:00:00.25 UTC),
            last_at: datetime!(2026-11-21 10:10:00.25 UTC),
        }
    }

    #[test]
    fn the_report_shows_outcomes_by_code_and_factory_line() {
        let counts = vec![
            count("", Code::Ok, 1),
            count("line-1", Code::Ok, 5_000),
            count("line-1", Code::Expired, 3),
            count("line-2", Code::IssuerInactive, 7),
        ];
        let certificates = Certificates {
            target: "default".into(),
            account: "123456789012".into(),
            region: "eu-central-1".into(),
            operation: Operation::RegisterCertificate,
            n: 5_001,
            ids_sha256: "ab".repeat(32),
        };
        let mut filed = Filed::of(ReportFacts {
            name: &"line-7".parse().unwrap(),
            batch: &BatchStatus { announced: Some(5_020), counts, ..BatchStatus::default() },
            queues_empty_for: Some(Duration::from_mins(3)),
            certificates: vec![certificates],
        });
        (filed.made_at, filed.made_by) = ("2026-11-22T08:00:00Z".into(), "eva@plant".into());
        let hash = "ab".repeat(32);
        let expected = format!(
            "batch line-7, report of 2026-11-22T08:00:00Z by eva@plant

5,020 announced, 5,004 outcomes, 7 parked, 9 missing
first outcome 2026-11-21T10:00:00Z, last outcome 2026-11-21T10:10:00Z

by status and code:
      5,001  registered ok
          3  rejected expired
          7  parked issuer_inactive

by factory line:
          1  succeeded, 0 failed, 0 parked: (none)
      5,000  succeeded, 3 failed, 0 parked: line-1
          0  succeeded, 0 failed, 7 parked: line-2

registered, with the SHA-256 of their ids:
      5,001  default (123456789012 in eu-central-1), RegisterCertificate
             {hash}
"
        );
        assert_eq!(filed.to_string(), expected);
    }
}
