//! The outcomes of a batch as CSV or JSON Lines, page by page.

mod csv;
mod record;

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::ledger::outcomes::OutcomeRow;
use muster_core::job::Name;
use muster_core::outcome::Status;

use record::ExportRecord;

/// The formats of an export.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ToSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// CSV with a header line (RFC 4180).
    #[default]
    Csv,
    /// JSON Lines: one object per line.
    Jsonl,
}

/// The statuses of failures.
pub const FAILED: [Status; 4] = [Status::Rejected, Status::Refused, Status::Exhausted, Status::Gone];

impl ExportFormat {
    /// Writes what stands before the first row.
    pub fn begin(self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Csv => csv::write_line(out, record::TITLES),
            Self::Jsonl => Ok(()),
        }
    }

    /// Writes rows.
    pub fn write_page(self, out: &mut impl Write, batch: &Name, page: &[OutcomeRow]) -> io::Result<()> {
        page.iter().try_for_each(|row| self.write(out, batch, row))
    }

    /// Returns the media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Jsonl => "application/jsonl",
        }
    }

    fn write(self, out: &mut impl Write, batch: &Name, row: &OutcomeRow) -> io::Result<()> {
        let record = ExportRecord::of(batch, row);
        match self {
            Self::Csv => csv::write_line(out, record.cells()),
            Self::Jsonl => {
                serde_json::to_writer(&mut *out, &record)?;
                out.write_all(b"\n")
            }
        }
    }
}
