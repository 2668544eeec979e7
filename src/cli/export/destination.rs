//! The destination of an export: standard output or a file.

use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::CANNOT_WRITE;
use crate::runtime::output_file::{ChosenBy, OutputFile};

/// The destination of an export.
pub(super) enum Destination {
    Stdout(BufWriter<Stdout>),
    File(OutputFile),
}

impl Destination {
    /// Opens the destination; without a path it is standard output.
    ///
    /// # Errors
    /// A regular file exists and may not be replaced, or the path cannot be written.
    pub(super) fn open(path: Option<PathBuf>, is_forced: bool) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout(BufWriter::new(io::stdout()))) };
        let file = OutputFile::open(path, ChosenBy::Option("--output")).context(CANNOT_WRITE)?;
        if file.replaces_file() && !is_forced {
            bail!("{} already exists: `--force` replaces it", file.path().display());
        }
        Ok(Self::File(file))
    }

    /// Returns the path, unless the destination is standard output.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout(_) => None,
            Self::File(file) => Some(file.path()),
        }
    }

    /// Flushes the buffer and moves a regular file into place.
    ///
    /// # Errors
    /// The destination cannot be written; an existing file is left unchanged.
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
