//! `muster pause` and `muster resume`: stop and restart all workers, one target or one batch.

use std::borrow::Cow;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::open_ledger::open_ledger;
use super::status::UnknownBatch;
use super::talk::talk;
use super::user;
use crate::config::Config;
use crate::config::UnknownTarget;
use crate::ledger::Ledger;
use muster_core::advice::Advice;
use muster_core::hold::{HoldKey, HoldKind, Notice};
use muster_core::job::Name;

/// Pauses all workers, one target or one batch, until `muster resume`.
///
/// The pause takes effect within a second. Calls in progress are finished. While everything is paused, or every target
/// of a worker, messages stay in the queue. Jobs of one target among several, or of one batch, are parked in the ledger
/// instead, so that other jobs continue; they are resent after `muster resume`. `muster holds` lists what is paused.
#[derive(Args, Debug)]
pub(super) struct Pause {
    #[command(subcommand)]
    what: PauseScope,
    /// The reason, shown by `muster status` and `muster holds`.
    #[arg(long, global = true, default_value = "no reason given")]
    reason: String,
    /// Pauses a batch that the ledger does not know yet, before its first job arrives.
    #[arg(long, global = true)]
    new: bool,
}

/// Resumes what was paused: its parked jobs are resent.
#[derive(Args, Debug)]
pub(super) struct Resume {
    #[command(subcommand)]
    what: PauseScope,
}

#[derive(Debug, Subcommand)]
enum PauseScope {
    /// All workers of this ledger.
    All,
    /// One target.
    Target {
        /// Its name in the settings.
        target: Name,
    },
    /// One batch.
    Batch {
        /// Its name.
        batch: Name,
    },
}

/// There is nothing to resume.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not paused")]
pub(super) struct NotPaused {
    what: String,
    /// Everything that is paused.
    paused: Vec<String>,
}

impl Advice for NotPaused {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self.paused.as_slice() {
            [] => "nothing is paused; `muster holds` lists what else parked jobs wait for".to_owned(),
            paused => format!("currently paused: {}", paused.join(", ")),
        };
        Some(hint.into())
    }
}

impl Pause {
    /// Pauses and reports it.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        self.what.check_target(config)?;
        let ledger = open_ledger(config).await?;
        let paused = self.pause(&ledger).await;
        ledger.close().await;
        let (what, is_new) = (self.what.described(), paused?);
        talk(&format!(
            "{what} {} paused; `muster resume {}` resumes",
            if is_new { "is" } else { "was already" },
            self.what.arguments()
        ));
        Ok(ExitCode::SUCCESS)
    }

    /// Pauses and returns whether it was not paused before.
    async fn pause(&self, ledger: &Ledger) -> anyhow::Result<bool> {
        if !self.new {
            self.what.check_batch(ledger).await?;
        }
        let who = user::who();
        let reason = format!("paused by {who}: {}", self.reason);
        Ok(ledger.pause(&self.what.hold(), &reason, &who).await?)
    }
}

impl Resume {
    /// Resumes and reports it.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let ledger = open_ledger(config).await?;
        let resumed = self.resume(&ledger).await;
        ledger.close().await;
        resumed?;
        talk(&format!("{} resumed; parked jobs are being resent", self.what.described()));
        Ok(ExitCode::SUCCESS)
    }

    async fn resume(&self, ledger: &Ledger) -> anyhow::Result<()> {
        if ledger.release_by_operator(&self.what.hold(), "resume", &user::who()).await? {
            return Ok(());
        }
        let open = ledger.open_holds().await?;
        let paused = open.iter().filter(|open| open.hold.kind() == Some(HoldKind::Pause));
        let paused = paused.map(|open| Notice::of(&open.hold, None).title.replace(" is paused", "")).collect();
        Err(NotPaused { what: self.what.described(), paused }.into())
    }
}

impl PauseScope {
    fn hold(&self) -> HoldKey {
        match self {
            Self::All => HoldKey::pause_all(),
            Self::Target { target } => HoldKey::pause_target(target),
            Self::Batch { batch } => HoldKey::pause_batch(batch),
        }
    }

    fn described(&self) -> String {
        match self {
            Self::All => "everything".to_owned(),
            Self::Target { target } => format!("target `{target}`"),
            Self::Batch { batch } => format!("batch `{batch}`"),
        }
    }

    fn arguments(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Target { target } => format!("target {target}"),
            Self::Batch { batch } => format!("batch {batch}"),
        }
    }

    fn check_target(&self, config: &Config) -> Result<(), UnknownTarget> {
        match self {
            Self::Target { target } => config.target(target).map(drop),
            _ => Ok(()),
        }
    }

    /// Returns an error for a batch that the ledger does not know.
    async fn check_batch(&self, ledger: &Ledger) -> anyhow::Result<()> {
        match self {
            Self::Batch { batch } if ledger.batch_status(batch.as_str()).await?.is_none() => {
                Err(UnknownBatch::of(ledger, batch)
                    .await?
                    .with_alternative("`--new` pauses it before its first message")
                    .into())
            }
            _ => Ok(()),
        }
    }
}
