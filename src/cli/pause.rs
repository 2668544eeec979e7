//! `muster pause` and `muster resume`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::ledger;
use super::operator;
use super::talk::talk;
use crate::config::Config;
use crate::hold::HoldKey;
use crate::job::Name;

/// Pauses all workers, one target or one batch, until it is resumed.
///
/// It takes effect within a second. Calls that were begun are finished. While all is paused, or every target of a worker,
/// its messages stay in the queue. Jobs of one target among several, or of one batch, are parked in the ledger instead, so
/// that others go on; resuming sends them again. `muster holds` lists what is paused.
#[derive(Args, Debug)]
pub(super) struct Pause {
    #[command(subcommand)]
    what: What,
    /// Why, for whoever wonders.
    #[arg(long, global = true, default_value = "no reason given")]
    reason: String,
}

/// Resumes what was paused: parked jobs are sent again.
#[derive(Args, Debug)]
pub(super) struct Resume {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Everything that all workers of this ledger do.
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

/// It cannot be resumed.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not paused")]
pub(super) struct NotPaused(String);

impl NotPaused {
    /// What to do.
    pub(super) const HINT: &str = "`muster holds` lists what is paused";
}

/// The settings have no such target.
#[derive(Debug, thiserror::Error)]
#[error("target `{target}` is not in the settings, which have {known}")]
pub(super) struct UnknownTarget {
    target: Name,
    known: String,
}

impl Pause {
    /// Pauses.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        self.what.check(config)?;
        let store = ledger::open(config).await?;
        let who = operator::who();
        let reason = format!("{who} paused it: {}", self.reason);
        let paused = store.pause(&self.what.hold(), &reason, &who).await;
        store.close().await;
        let (what, is_new) = (self.what.in_words(), paused?);
        talk(&format!(
            "{what} {} paused; `muster resume {}` ends that",
            if is_new { "is" } else { "was already" },
            self.what.arguments()
        ));
        Ok(ExitCode::SUCCESS)
    }
}

impl Resume {
    /// Resumes.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let store = ledger::open(config).await?;
        let resumed = store.release_on_order(&self.what.hold(), "resume", &operator::who()).await;
        store.close().await;
        if !resumed? {
            return Err(NotPaused(self.what.in_words()).into());
        }
        talk(&format!("{} goes on; what was parked for it is sent again", self.what.in_words()));
        Ok(ExitCode::SUCCESS)
    }
}

impl What {
    fn hold(&self) -> HoldKey {
        match self {
            Self::All => HoldKey::pause_all(),
            Self::Target { target } => HoldKey::pause_target(target),
            Self::Batch { batch } => HoldKey::pause_batch(batch),
        }
    }

    fn in_words(&self) -> String {
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

    /// A batch may be paused before its first job; a target that nobody serves is a slip of the pen.
    fn check(&self, config: &Config) -> Result<(), UnknownTarget> {
        match self {
            Self::Target { target } if !config.targets.contains_key(target.as_str()) => {
                let known = config.targets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                Err(UnknownTarget { target: target.clone(), known })
            }
            _ => Ok(()),
        }
    }
}
