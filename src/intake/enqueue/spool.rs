//! Certificates that wait to be sent or classified: in memory while they are few, otherwise in an unnamed temporary
//! file.
//!
//! Contains only certificates that could be read, so no private key is ever written. The file is in the folder given by
//! TMPDIR and takes 0.7 kB (P-256) to 1.5 kB (RSA) per certificate.

use std::io::{self, BufRead, BufReader, BufWriter, Lines, Seek, Write};
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::SpooledTempFile;

use muster_core::job::Name;

/// Most bytes kept in memory: about ten thousand certificates.
const IN_MEMORY_MAX: usize = 16 << 20;

/// One certificate that will be sent.
#[derive(Deserialize, Serialize)]
pub struct Planned {
    /// The file that contains it.
    pub file: String,
    /// The line in it.
    pub line: Option<u64>,
    /// The producer's own name for the device.
    pub reference: Option<Name>,
    /// The certificate as canonical PEM.
    pub certificate_pem: String,
    /// The CA that its job carries, as an index into [`BatchOrder::cas`](super::BatchOrder::cas).
    pub ca: Option<usize>,
    /// Whether it comes from a rejects file.
    pub is_resent: bool,
}

/// A queue of items, read back in the order in which they were added.
pub struct Spool<T>(BufWriter<SpooledTempFile>, PhantomData<T>);

impl<T: Serialize + DeserializeOwned> Spool<T> {
    /// Adds an item.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn push(&mut self, item: &T) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, item)?;
        self.0.write_all(b"\n")
    }

    /// Returns an iterator that reads the items back.
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

/// An iterator over the items of a spool.
pub struct SpoolReader<T>(Lines<BufReader<SpooledTempFile>>, PhantomData<T>);

impl<T: DeserializeOwned> Iterator for SpoolReader<T> {
    type Item = io::Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.and_then(|line| Ok(serde_json::from_str(&line)?)))
    }
}
