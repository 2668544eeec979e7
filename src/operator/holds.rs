//! Holds: what parked jobs wait for, the command that fixes it, and their release.
//!
//! [`Notice`] defines what a hold means and what fixes it, here and everywhere else.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tracing::info;
use utoipa::ToSchema;

use crate::ledger::hold::{COUNTED_MAX, HoldReport};
use crate::ledger::{Ledger, LedgerError};
use muster_core::advice::Advice;
use muster_core::format::{grouped, printable, rfc3339, span};
use muster_core::hold::{HoldKey, HoldKind, Notice};

/// There is no hold with this key.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not held")]
pub struct NotHeld(HoldKey);

impl Advice for NotHeld {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("`muster holds` lists what is held".into())
    }
}

/// Lists all holds, the oldest first.
pub async fn holds(ledger: &Ledger) -> Result<Vec<HoldLine>, LedgerError> {
    let reports = ledger.holds_report().await?;
    let now = ledger.now().await?;
    Ok(reports.into_iter().map(|report| HoldLine::of(report, now)).collect())
}

/// Releases a hold for `who`: the workers resend its jobs.
///
/// # Errors
/// [`NotHeld`], or a ledger error.
pub async fn release(ledger: &Ledger, hold: HoldKey, who: &str) -> anyhow::Result<()> {
    if !ledger.release_by_operator(&hold, "holds release", who).await? {
        return Err(NotHeld(hold).into());
    }
    let ca = ledger.hold_subject(&hold).await?;
    info!(%hold, ca, "hold released: a worker resends its jobs");
    Ok(())
}

/// Formats the number of waiting jobs; counting stops at [`COUNTED_MAX`].
pub fn jobs_wait(n: u64) -> String {
    match n {
        1 => "1 job waits".to_owned(),
        COUNTED_MAX.. => format!("{} or more jobs wait", grouped(n)),
        _ => format!("{} jobs wait", grouped(n)),
    }
}

/// One hold.
#[derive(Debug, Serialize, ToSchema)]
pub struct HoldLine {
    /// Its key: a kind and what is held, such as `issuer:...` or `batch:...`.
    pub hold: String,
    /// What is held, for people.
    pub title: String,
    /// The subject of the CA, for an issuer hold. Null: any other hold, or not known yet.
    pub subject: Option<String>,
    /// The command that releases the hold. Null: it is released automatically.
    pub fix: Option<String>,
    /// Why it was opened.
    pub reason: String,
    /// Whether further jobs are parked without a call.
    pub is_closed: bool,
    /// Number of waiting jobs, counted up to 10,000.
    pub n_waiting: u64,
    /// When it was opened.
    #[serde(with = "time::serde::rfc3339")]
    pub opened_at: OffsetDateTime,
    /// When the next job may be sent as a probe.
    #[serde(with = "time::serde::rfc3339")]
    pub probe_at: OffsetDateTime,
    /// When it was released; its jobs are being resent. Null: it is open.
    #[serde(with = "time::serde::rfc3339::option")]
    pub released_at: Option<OffsetDateTime>,
    /// Time to the next probe, by the ledger's clock.
    #[serde(skip)]
    probe_in: Duration,
}

impl HoldLine {
    /// Creates the line of a hold; `now` is the ledger's clock.
    fn of(report: HoldReport, now: OffsetDateTime) -> Self {
        let Notice { title, fix } = Notice::of(&report.hold, report.subject.as_deref());
        Self {
            title,
            // A released hold needs no fix.
            fix: fix.filter(|_| report.released_at.is_none()),
            subject: report.subject,
            probe_in: (report.probe_at - now).try_into().unwrap_or_default(),
            hold: report.hold.to_string(),
            reason: report.reason,
            is_closed: report.is_closed,
            n_waiting: report.n_waiting,
            opened_at: report.opened_at.truncate_to_second(),
            probe_at: report.probe_at.truncate_to_second(),
            released_at: report.released_at.map(OffsetDateTime::truncate_to_second),
        }
    }

    /// Returns the kind of the hold; `None`: a kind of another version.
    pub fn kind(&self) -> Option<HoldKind> {
        HoldKey::read(self.hold.clone()).kind()
    }

    /// Describes since when it is held and what happens next.
    pub fn state(&self) -> String {
        let since = rfc3339(self.opened_at);
        let is = |kind| self.kind() == Some(kind);
        match (self.released_at, self.is_closed) {
            _ if is(HoldKind::Replay) => "jobs are being resent, see `muster replay list`".to_owned(),
            (None, _) if is(HoldKind::Pause) => format!("since {since}, until `muster resume`"),
            (Some(_), _) => "released, its jobs are being resent".to_owned(),
            (None, _) if is(HoldKind::Busy) => format!("since {since}, its jobs are resent as the target catches up"),
            (None, true) => format!("held since {since}, next probe in {}", span(self.probe_in)),
            (None, false) => format!("since {since}, only jobs that failed for this reason wait"),
        }
    }
}

impl fmt::Display for HoldLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        writeln!(f, "    {}", self.state())?;
        writeln!(f, "    {}", jobs_wait(self.n_waiting))?;
        writeln!(f, "    reason: {}", printable(&self.reason))?;
        writeln!(f, "    key: {}", printable(&self.hold))?;
        self.fix.as_ref().map_or(Ok(()), |fix| writeln!(f, "    fix: {fix}"))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::ledger::hold::COUNTED_MAX;

    #[test]
    fn a_busy_target_is_not_shown_as_held() {
        let line = HoldLine {
            hold: "busy:slow:RegisterCertificate".into(),
            title: String::new(),
            subject: None,
            fix: None,
            reason: "it has more jobs than it can start, and other targets lack work".into(),
            is_closed: false,
            n_waiting: 12,
            opened_at: datetime!(2026-11-21 10:00:00 UTC),
            probe_at: datetime!(2026-11-21 10:00:01 UTC),
            released_at: None,
            probe_in: Duration::ZERO,
        };
        assert_eq!(line.state(), "since 2026-11-21T10:00:00Z, its jobs are resent as the target catches up");
    }

    #[test]
    fn a_hold_shows_its_start_reason_and_waiting_jobs() {
        let report = HoldReport {
            hold: HoldKey::read("batch:line7".into()),
            subject: None,
            reason: "190 of the last 200 calls for the batch ended as certificate_validation".into(),
            is_closed: true,
            n_waiting: COUNTED_MAX,
            opened_at: datetime!(2026-11-21 10:00:00 UTC),
            probe_at: datetime!(2026-11-21 10:05:00 UTC),
            released_at: None,
        };
        let hour = time::Duration::HOUR;
        for (now, probe_in) in [(report.opened_at, "5 min"), (report.opened_at + hour, "0 s")] {
            let expected = format!(
                "batch `line7`: nearly all of its certificates fail for one reason
    held since 2026-11-21T10:00:00Z, next probe in {probe_in}
    10,000 or more jobs wait
    reason: 190 of the last 200 calls for the batch ended as certificate_validation
    key: batch:line7
    fix: muster holds release batch:line7
"
            );
            assert_eq!(HoldLine::of(report.clone(), now).to_string(), expected);
        }
    }
}
