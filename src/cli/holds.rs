//! `muster holds`: what parked jobs wait for, and letting them go.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::info;

use super::figures::{jobs_wait, printable, span};
use super::operator;
use super::{ledger, stdout};
use crate::config::Config;
use crate::hold::{HoldKey, HoldKind};
use crate::store::Store;
use crate::store::hold::HoldReport;

/// Lists what parked jobs wait for, or releases it.
///
/// Jobs are parked where only they are held: an issuer whose CA is not registered or not active, a batch of which nearly
/// everything fails for one reason, one of several targets that takes no calls. A hold ends by itself when a probe goes
/// through; its jobs are then sent again.
#[derive(Args, Debug)]
pub(super) struct Holds {
    #[command(subcommand)]
    action: Option<Action>,
    /// Prints the list as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Ends holds by hand: the workers send their jobs again.
    Release {
        /// The holds, as the list names them.
        #[arg(required = true)]
        holds: Vec<String>,
    },
}

/// Nothing of this name is held.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not held")]
pub(super) struct NotHeld(HoldKey);

impl NotHeld {
    /// What to do.
    pub(super) const HINT: &str = "`muster holds` lists what is held";
}

impl Holds {
    /// Lists or releases.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let store = ledger::open(config).await?;
        let result = match self.action {
            None => list(&store, self.json).await,
            Some(Action::Release { holds }) => release(&store, holds).await,
        };
        store.close().await;
        result.map(|()| ExitCode::SUCCESS)
    }
}

async fn list(store: &Store, is_json: bool) -> anyhow::Result<()> {
    let reports = store.holds_report().await?;
    let now = store.now().await?;
    let lines: Vec<Line> = reports.into_iter().map(|report| Line::of(report, now)).collect();
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

async fn release(store: &Store, holds: Vec<String>) -> anyhow::Result<()> {
    let who = operator::who();
    for hold in holds.into_iter().map(HoldKey::read) {
        if !store.release_on_order(&hold, "holds release", &who).await? {
            return Err(NotHeld(hold).into());
        }
        info!(%hold, "released; a worker sends its jobs again");
    }
    Ok(())
}

/// One hold.
#[derive(Debug, Serialize)]
struct Line {
    hold: String,
    reason: String,
    /// Further jobs are parked without a call.
    is_closed: bool,
    /// How many jobs wait, counted up to 10,000.
    n_waiting: u64,
    #[serde(with = "time::serde::rfc3339")]
    opened_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    probe_at: OffsetDateTime,
    /// When it was over: its jobs are being sent again.
    #[serde(with = "time::serde::rfc3339::option")]
    released_at: Option<OffsetDateTime>,
    /// From the clock of the ledger to the next probe.
    #[serde(skip)]
    probe_in: Duration,
}

impl Line {
    /// The line of a hold, as of an instant of the ledger's clock.
    fn of(report: HoldReport, now: OffsetDateTime) -> Self {
        Self {
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
        let since = self.opened_at.format(&Rfc3339).expect("the ledger's times lie in years of four digits");
        let is = |kind| HoldKey::read(self.hold.clone()).kind() == Some(kind);
        match (self.released_at, self.is_closed) {
            _ if is(HoldKind::Replay) => "jobs are being sent again, see `muster replay list`".to_owned(),
            (None, _) if is(HoldKind::Pause) => format!("since {since}, until `muster resume`"),
            (Some(_), _) => "over, its jobs are being sent again".to_owned(),
            (None, _) if is(HoldKind::Busy) => format!("since {since}, its jobs are sent again as there is room"),
            (None, true) => format!("held since {since}, next probe in {}", span(self.probe_in)),
            (None, false) => format!("watched since {since}, others are let through"),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.hold)?;
        writeln!(f, "    {}", self.state())?;
        writeln!(f, "    {}", jobs_wait(self.n_waiting))?;
        writeln!(f, "    {}", printable(&self.reason))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::store::hold::COUNTED_MAX;

    #[test]
    fn what_made_room_is_not_held() {
        let line = Line {
            hold: "busy:slow:RegisterCertificate".into(),
            reason: "it has more jobs than it can start, and other targets lack work".into(),
            is_closed: false,
            n_waiting: 12,
            opened_at: datetime!(2026-11-21 10:00:00 UTC),
            probe_at: datetime!(2026-11-21 10:00:01 UTC),
            released_at: None,
            probe_in: Duration::ZERO,
        };
        assert_eq!(line.state(), "since 2026-11-21T10:00:00Z, its jobs are sent again as there is room");
    }

    #[test]
    fn a_hold_says_since_when_why_and_how_many_wait() {
        let report = HoldReport {
            hold: HoldKey::read("batch:line7".into()),
            reason: "190 of the last 200 calls for the batch ended as certificate_validation".into(),
            is_closed: true,
            n_waiting: COUNTED_MAX,
            opened_at: datetime!(2026-11-21 10:00:00 UTC),
            probe_at: datetime!(2026-11-21 10:05:00 UTC),
            released_at: None,
        };
        let hour = time::Duration::HOUR;
        for (now, probe_in) in [(report.opened_at, "5m"), (report.opened_at + hour, "0s")] {
            let expected = format!(
                "batch:line7
    held since 2026-11-21T10:00:00Z, next probe in {probe_in}
    10,000 or more jobs wait
    190 of the last 200 calls for the batch ended as certificate_validation
"
            );
            assert_eq!(Line::of(report.clone(), now).to_string(), expected);
        }
    }
}
