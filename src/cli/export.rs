//! `muster export`: the ends of a batch as a table or as JSON Lines.

mod csv;
mod destination;
mod record;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::figures::grouped;
use super::ledger;
use super::progress::Progress;
use super::{status, words};
use crate::config::Config;
use crate::job::Name;
use crate::outcome::{Code, Status};
use crate::store::Store;
use crate::store::ends::{EndFilter, EndRow, Ends};

use destination::Destination;
use record::Record;

/// Writes out how each certificate of a batch ended, or what it is parked for.
///
/// The ends come page by page in the order of target, operation and certificate, the first at once, whatever the size of the
/// batch. All that were there at the beginning are in it, also while workers write more. Where only bad ends are asked for,
/// they come reason by reason, and what ends anew meanwhile may be left out.
///
/// In CSV a text that a spreadsheet would take for a formula begins with an apostrophe: one that began with = + - @, a tab or a
/// carriage return. JSON Lines have every text as it is, and each attempt.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Export {
    /// The batch.
    batch: Name,
    /// The form.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// The file to write, which appears when it is whole; until then it is FILE.part [default: standard output].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replaces a file that is there already.
    #[arg(long, requires = "output")]
    force: bool,
    /// Only what ended so.
    #[arg(long, value_delimiter = ',', value_parser = words::statuses(|_| true))]
    status: Vec<Status>,
    /// Only what ended for these reasons.
    #[arg(long, value_delimiter = ',', value_parser = words::codes(|_| true), hide_possible_values = true)]
    code: Vec<Code>,
    /// Only what came from these factory lines.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    source: Vec<Name>,
}

const AFTER_HELP: &str = "\
--status, --code and --source take several values, with commas or each with the option again.

What failed, for a spreadsheet:

  muster export BATCH --status rejected,refused,exhausted,gone --output failed.csv

The ids of all certificates that AWS holds:

  muster export BATCH --status registered,already_registered --format jsonl | jq -r .certificate_id";

/// The forms of an export.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A table with a line of titles, as RFC 4180 has it.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl Export {
    /// Reads page by page and writes each at once.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let store = ledger::open(config).await?;
        let written = self.write(&store).await;
        store.close().await;
        match written {
            // Whoever reads has seen enough, as `head` has.
            Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
            written => written.map(|()| ExitCode::SUCCESS),
        }
    }

    async fn write(self, store: &Store) -> anyhow::Result<()> {
        let counts = status::counters(store, &self.batch).await?.counts;
        let filter = EndFilter { statuses: self.status, codes: self.code, sources: self.source };
        let n_wanted = counts.iter().filter(|count| filter.takes(count)).map(|count| count.n).sum();
        let mut ends = Ends::open(store, self.batch.as_str(), filter, &counts).await?;
        let mut destination = Destination::open(self.output, self.force)?;
        let progress = Progress::new();
        let mut n = 0;
        self.format.begin(&mut destination)?;
        while let Some(page) = ends.next_page(store).await? {
            for row in &page {
                self.format.write(&mut destination, &self.batch, row)?;
            }
            destination.flush()?;
            n += u64::try_from(page.len()).unwrap_or(0);
            if destination.is_file() {
                progress.show(n, Some(n_wanted), "written");
            }
        }
        progress.done();
        if let Some(path) = destination.finish()? {
            progress.say(&format!("{} ends in {}", grouped(n), path.display()));
        }
        Ok(())
    }
}

impl Format {
    fn begin(self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Csv => csv::write_line(out, record::TITLES),
            Self::Jsonl => Ok(()),
        }
    }

    fn write(self, out: &mut impl Write, batch: &Name, row: &EndRow) -> io::Result<()> {
        let record = Record::of(batch, row);
        match self {
            Self::Csv => csv::write_line(out, record.cells()),
            Self::Jsonl => {
                serde_json::to_writer(&mut *out, &record)?;
                out.write_all(b"\n")
            }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe)
}
