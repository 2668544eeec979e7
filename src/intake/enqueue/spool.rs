//! What waits to be sent or to be decided: in memory while it is small, else in a temporary file without a name.
//!
//! Only certificates that could be read get here, so no private key is ever written. The file takes
//! 0.7 kB (P-256) to 1.5 kB (RSA) a certificate, in the folder that TMPDIR names.

use std::io::{self, BufRead, BufReader, BufWriter, Lines, Seek, Write};
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::SpooledTempFile;

use muster_core::job::Name;

/// How much is kept in memory, in bytes: some ten thousand certificates.
const IN_MEMORY_MAX: usize = 16 << 20;

/// One certificate that will be sent.
#[derive(Deserialize, Serialize)]
pub struct Planned {
    /// The file in which it was found.
    pub file: String,
    /// The line in it.
    pub line: Option<u64>,
    /// The producer's own name for the device.
    pub reference: Option<Name>,
    /// The certificate as canonical PEM.
    pub certificate_pem: String,
    /// The CA that its job carries, by its place among those of the order.
    pub ca: Option<usize>,
    /// Whether it comes from a rejects file.
    pub is_resent: bool,
}

/// Things in the order in which they were added.
pub struct Spool<T>(BufWriter<SpooledTempFile>, PhantomData<T>);

impl<T: Serialize + DeserializeOwned> Spool<T> {
    /// Adds one.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn push(&mut self, thing: &T) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, thing)?;
        self.0.write_all(b"\n")
    }

    /// Reads all of them back.
    ///
    /// # Errors
    /// The temporary file cannot be written or read.
    pub fn read(self) -> io::Result<SpoolReader<T>> {
        let mut file = self.0.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(SpoolReader(BufReader::new(file).lines(), PhantomData))
    }
}

impl<T> Default for Spool<T> {
    fn default() -> Self {
        Self(BufWriter::new(SpooledTempFile::new(IN_MEMORY_MAX)), PhantomData)
    }
}

/// Reads a spool back.
pub struct SpoolReader<T>(Lines<BufReader<SpooledTempFile>>, PhantomData<T>);

impl<T: DeserializeOwned> Iterator for SpoolReader<T> {
    type Item = io::Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.and_then(|line| Ok(serde_json::from_str(&line)?)))
    }
}
