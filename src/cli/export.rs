//! `muster export`: the outcomes of a batch as CSV or JSON Lines.

mod destination;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::format::grouped;
use super::open_ledger::open_ledger;
use super::progress::Progress;
use super::words;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::outcomes::{OutcomeFilter, OutcomePages};
use crate::operator::export::ExportFormat;
use crate::operator::status::counters;
use muster_core::job::Name;
use muster_core::outcome::{Code, Status};

use destination::Destination;

/// Exports the outcome of each certificate of a batch, or why it is parked.
///
/// Rows are read page by page, ordered by target, operation and certificate, so the first rows appear at once
/// regardless of the size of the batch. Every outcome that existed at the start is included, even while workers write
/// more. If only failures are selected, they are ordered by code, and an outcome that changes meanwhile may be missing.
///
/// In CSV, a text that a spreadsheet would take for a formula (because it begins with = + - @, a tab or a carriage
/// return) is prefixed with an apostrophe. JSON Lines contain every text unchanged, and each attempt.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Export {
    /// The batch.
    batch: Name,
    /// Output format.
    #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
    format: ExportFormat,
    /// File to write. It appears once it is complete; devices and FIFOs are written directly [default: standard
    /// output].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replaces the file if it exists.
    #[arg(long, requires = "output")]
    force: bool,
    /// Only these statuses.
    #[arg(long, value_delimiter = ',', value_parser = words::statuses(|_| true))]
    status: Vec<Status>,
    /// Only these codes, as shown by `muster status`.
    #[arg(long, value_delimiter = ',', value_parser = words::codes(|_| true), hide_possible_values = true)]
    code: Vec<Code>,
    /// Only these factory lines.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    source: Vec<Name>,
}

const AFTER_HELP: &str = "\
--status, --code and --source take several values, separated by commas or by repeating the option.

To export the failures for a spreadsheet:

  muster export BATCH --status rejected,refused,exhausted,gone --output failed.csv

To list the ids of all registered certificates:

  muster export BATCH --status registered,already_registered --format jsonl | jq -r .certificate_id";

impl Export {
    /// Reads page by page and writes each page at once.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        match self.export(config).await {
            // The reader closed the pipe, like `head`.
            Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
            written => written.map(|()| ExitCode::SUCCESS),
        }
    }

    async fn export(mut self, config: &Config) -> anyhow::Result<()> {
        // Opened before the ledger is read, so that an unwritable path fails at once.
        let destination = Destination::open(self.output.take(), self.force)?;
        let ledger = open_ledger(config).await?;
        let written = self.write(&ledger, destination).await;
        ledger.close().await;
        written
    }

    async fn write(self, ledger: &Ledger, mut destination: Destination) -> anyhow::Result<()> {
        let counts = counters(ledger, &self.batch).await?.counts;
        let filter = OutcomeFilter { statuses: self.status, codes: self.code, sources: self.source };
        let n_wanted = counts.iter().filter(|count| filter.includes(count)).map(|count| count.n).sum();
        let mut ends = OutcomePages::open(ledger, self.batch.as_str(), filter, &counts).await?;
        let progress = Progress::new();
        let mut n = 0;
        self.format.begin(&mut destination).context(CANNOT_WRITE)?;
        while let Some(page) = ends.next_page(ledger).await? {
            self.format.write_page(&mut destination, &self.batch, &page).context(CANNOT_WRITE)?;
            destination.flush().context(CANNOT_WRITE)?;
            n += u64::try_from(page.len()).unwrap_or(0);
            if destination.path().is_some() {
                progress.show(n, Some(n_wanted), "written");
            }
        }
        progress.done();
        let path = destination.path().map(Path::to_owned);
        destination.finish().context(CANNOT_WRITE)?;
        if let Some(path) = path {
            progress.say(&format!("{} outcomes written to {}", grouped(n), path.display()));
        }
        Ok(())
    }
}

/// Context of a write error; the error itself names the path.
const CANNOT_WRITE: &str = "cannot write the export";

/// Returns whether the reader of the destination closed the pipe.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe)
}
