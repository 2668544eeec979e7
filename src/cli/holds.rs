//! `muster holds`: lists what parked jobs wait for with the command that fixes it, and releases holds.
//!
//! [`Notice`] defines what a hold means and what fixes it, here and everywhere else.

use std::borrow::Cow;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::info;

use super::format::{jobs_wait, printable, span};
use super::open_ledger::open_ledger;
use super::stdout;
use super::user;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::hold::HoldReport;
use muster_core::advice::Advice;
use muster_core::hold::{HoldKey, HoldKind, Notice};

/// Lists what parked jobs wait for and the command that fixes it, or releases a hold.
///
/// Jobs are parked if their CA is not registered or not active, if nearly all of their batch fails for one reason, or
/// if their target accepts no calls while another one does. A hold is released automatically when a probe succeeds; its
/// jobs are then resent.
#[derive(Args, Debug)]
pub(super) struct HoldsCommand {
    #[command(subcommand)]
    action: Option<HoldsAction>,
    /// Prints the list as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum HoldsAction {
    /// Releases holds: the workers resend their jobs.
    Release {
        /// Keys of the holds, as shown by `muster holds`.
        #[arg(required = true)]
        holds: Vec<String>,
    },
}

/// There is no hold with this key.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not held")]
pub(super) struct NotHeld(HoldKey);

impl Advice for NotHeld {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("`muster holds` lists what is held".into())
    }
}

impl HoldsCommand {
    /// Lists or releases holds.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = open_ledger(config).await?;
        let result = match self.action {
            None => list(&ledger, self.json).await,
            Some(HoldsAction::Release { holds }) => release(&ledger, holds).await,
        };
        ledger.close().await;
        result.map(|()| ExitCode::SUCCESS)
    }
}

async fn list(ledger: &Ledger, is_json: bool) -> anyhow::Result<()> {
    let reports = ledger.holds_report().await?;
    let now = ledger.now().await?;
    let lines: Vec<HoldLine> = reports.into_iter().map(|report| HoldLine::of(report, now)).collect();
    if is_json {
        stdout::print_json(&lines)?;
    } else if lines.is_empty() {
        stdout::print("nothing is held\n")?;
    } else {
        for line in lines {
            stdout::print(line)?;
        }
    }
    Ok(())
}

async fn release(ledger: &Ledger, holds: Vec<String>) -> anyhow::Result<()> {
    let who = user::who();
    for hold in holds.into_iter().map(HoldKey::read) {
        if !ledger.release_by_operator(&hold, "holds release", &who).await? {
            return Err(NotHeld(hold).into());
        }
        let ca = ledger.hold_subject(&hold).await?;
        info!(%hold, ca, "hold released: a worker resends its jobs");
    }
    Ok(())
}

/// One hold.
#[derive(Debug, Serialize)]
struct HoldLine {
    hold: String,
    /// What is held, for people.
    title: String,
    /// The subject of the CA, for an issuer hold. Null: any other hold, or not known yet.
    subject: Option<String>,
    /// The command that releases the hold. Null: it is released automatically.
    fix: Option<String>,
    reason: String,
    /// Whether further jobs are parked without a call.
    is_closed: bool,
    /// Number of waiting jobs, counted up to 10,000.
    n_waiting: u64,
    #[serde(with = "time::serde::rfc3339")]
    opened_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    probe_at: OffsetDateTime,
    /// When it was released; its jobs are being resent.
    #[serde(with = "time::serde::rfc3339::option")]
    released_at: Option<OffsetDateTime>,
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

    fn state(&self) -> String {
        let since = self.opened_at.format(&Rfc3339).expect("the ledger's timestamps have four-digit years");
        let is = |kind| HoldKey::read(self.hold.clone()).kind() == Some(kind);
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
