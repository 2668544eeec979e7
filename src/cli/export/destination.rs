//! Where an export goes: standard output, or an output file.

use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::CANNOT_WRITE;
use crate::runtime::output_file::{ChosenBy, OutputFile};

/// Where an export goes.
pub(super) enum Destination {
    Stdout(BufWriter<Stdout>),
    File(OutputFile),
}

impl Destination {
    /// Opens the destination; without a path it is standard output.
    ///
    /// # Errors
    /// A regular file is there and may not be replaced, or the path cannot be written.
    pub(super) fn open(path: Option<PathBuf>, is_forced: bool) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout(BufWriter::new(io::stdout()))) };
        let file = OutputFile::open(path, ChosenBy::Option("--output")).context(CANNOT_WRITE)?;
        if file.replaces_file() && !is_forced {
            bail!("{} is there already: `--force` replaces it", file.path().display());
        }
        Ok(Self::File(file))
    }

    /// The path, unless it is standard output.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout(_) => None,
            Self::File(file) => Some(file.path()),
        }
    }

    /// Writes what is buffered and puts a regular file in its place.
    ///
    /// # Errors
    /// The destination cannot be written; a file that was there before is as it was.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Stdout(mut out) => out.flush(),
            Self::File(file) => file.finish(),
        }
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(file) => file.flush(),
        }
    }
}
