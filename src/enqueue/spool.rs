//! What will be sent, between the two passes: in memory while it is small, else in a temporary file without a name.
//!
//! Only certificates that passed the precheck get here, so no private key is ever written. The file takes
//! 0.7 kB (P-256) to 1.5 kB (RSA) a certificate, in the folder that TMPDIR names.

use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};

use serde::{Deserialize, Serialize};
use tempfile::SpooledTempFile;

use crate::job::Name;

/// How much is kept in memory, in bytes: some ten thousand certificates.
const IN_MEMORY_MAX: usize = 16 << 20;

/// One certificate that will be sent.
#[derive(Deserialize, Serialize)]
pub struct Planned {
    /// The file in which it was found.
    pub file: String,
    /// The line in it.
    pub line: Option<u64>,
    /// The line's own name for the device.
    pub reference: Option<Name>,
    /// The certificate as canonical PEM.
    pub certificate_pem: String,
}

/// The certificates that will be sent, in order.
pub struct Spool(BufWriter<SpooledTempFile>);

impl Spool {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self(BufWriter::new(SpooledTempFile::new(IN_MEMORY_MAX)))
    }

    /// Adds one.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn push(&mut self, planned: &Planned) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, planned)?;
        self.0.write_all(b"\n")
    }

    /// Reads all of them back.
    ///
    /// # Errors
    /// The temporary file cannot be written or read.
    pub fn read(self) -> io::Result<impl Iterator<Item = io::Result<Planned>> + Send> {
        let mut file = self.0.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(BufReader::new(file).lines().map(|line| Ok(serde_json::from_str(&line?)?)))
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self::new()
    }
}
