//! What was not sent and why: as text, and as lines of a rejects file that can be fixed and enqueued again.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::aws::queue::EntryError;
use crate::intake::manifest::FilePosition;
use crate::runtime::output_file::{ChosenBy, OutputFile, OutputFileError};
use muster_core::certificate::input::inputs;
use muster_core::certificate::{Certificate, CertificateId, pem};
use muster_core::job::Name;
use muster_core::outcome::Code;
use muster_core::precheck::{Field, Rejection};

/// Why an entry was not sent.
#[derive(Debug, thiserror::Error)]
pub enum RejectReason {
    /// AWS would refuse it.
    #[error(transparent)]
    Precheck(Rejection),
    /// A private key is next to it in the file.
    #[error("a private key is next to the certificate")]
    NextToPrivateKey,
    /// A certificate in DER is followed by unknown bytes.
    #[error("{bytes} bytes follow the certificate that do not belong to it and are not padding")]
    Garbage {
        /// How many.
        bytes: u64,
    },
    /// A CA and its issuer, but no device certificate with them.
    #[error("a chain of CA certificates without a device certificate")]
    ChainWithoutDevice,
    /// A line of a rejects file without the certificate's text.
    #[error("the rejects file does not contain the text of this certificate")]
    NotKept,
    /// An invalid line of a JSON Lines file.
    #[error("the line is not a JSON object with a certificatePem")]
    NoRecord,
    /// The input cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// SQS rejected the message as invalid.
    #[error("SQS refuses the message: {0}")]
    RefusedByQueue(EntryError),
    /// SQS failed on this message, or its answer did not mention it, on every attempt.
    #[error("in {attempts} attempts SQS did not say that it took the message: {cause}")]
    NotSent {
        /// How many times it was sent.
        attempts: u32,
        /// The last error from SQS.
        cause: EntryError,
    },
}

/// One line of the rejects file.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reject {
    /// The input file; `-` is standard input.
    pub file: String,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The `ref` of its job.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Name>,
    /// The certificate id, if the certificate can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_id: Option<CertificateId>,
    /// The certificate's subject, if the certificate can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The reason, from a closed set: the codes of the precheck, `not_kept`, `unreadable`, `refused_by_queue` and
    /// `not_sent`.
    pub code: &'static str,
    /// The reason as text.
    pub reason: String,
    /// How to fix it, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
    /// The original PEM text. Omitted if a private key was next to it, or if it was not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_pem: Option<String>,
}

impl RejectReason {
    /// Returns the code of the reason, from a closed set.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Precheck(rejection) => rejection.code().as_str(),
            Self::NextToPrivateKey => Code::PrivateKey.as_str(),
            Self::Garbage { .. } => Code::TrailingData.as_str(),
            Self::ChainWithoutDevice => Code::SeveralCertificates.as_str(),
            Self::NotKept => "not_kept",
            Self::NoRecord => Code::NotACertificate.as_str(),
            Self::Unreadable(_) => "unreadable",
            Self::RefusedByQueue(_) => "refused_by_queue",
            Self::NotSent { .. } => NOT_SENT,
        }
    }

    /// Returns how to fix it, if known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Precheck(rejection) => rejection.hint(),
            Self::NextToPrivateKey => Rejection::PrivateKey { field: Field::CertificatePem }.hint(),
            Self::ChainWithoutDevice => {
                Some("add the device certificate; `muster ca register` registers CAs that AWS does not know yet")
            }
            Self::NotKept => Some("enqueue the original file again"),
            Self::Garbage { .. } | Self::NoRecord | Self::Unreadable(_) | Self::RefusedByQueue(_) => None,
            Self::NotSent { .. } => {
                Some("run the same command again: certificates that are already registered cost nothing")
            }
        }
    }

    /// Returns whether the text may be kept. A private key must not be, nor a CA of a chain: resent alone, it would be
    /// taken for a device.
    fn lets_text_be_kept(&self) -> bool {
        self.code() != Code::PrivateKey.as_str() && !matches!(self, Self::ChainWithoutDevice)
    }
}

/// Returns the first readable certificate of a text.
fn first_certificate(text: &str) -> Option<Certificate> {
    inputs(&pem::without_nuls(text)).find_map(|input| input.certificate().cloned())
}

/// The code of messages that SQS did not accept.
pub(super) const NOT_SENT: &str = "not_sent";

impl Reject {
    /// Creates the reject of an entry.
    pub fn new(place: &FilePosition, reference: Option<Name>, pem: Option<String>, reason: &RejectReason) -> Self {
        let certificate = pem.as_deref().and_then(first_certificate);
        Self {
            file: place.file.to_string(),
            line: place.line,
            reference,
            certificate_id: certificate.as_ref().map(Certificate::id),
            subject: certificate.as_ref().map(Certificate::subject),
            code: reason.code(),
            reason: reason.to_string(),
            hint: reason.hint(),
            certificate_pem: pem.filter(|_| reason.lets_text_be_kept()),
        }
    }

    /// Returns whether SQS did not accept it although nothing is wrong with it, so that it may be resent unchanged.
    pub fn is_not_sent(&self) -> bool {
        self.code == NOT_SENT
    }
}

/// Displays the position, code, reason, certificate and hint.
impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, " {}: {}", self.code, self.reason)?;
        if let (Some(subject), Some(id)) = (&self.subject, self.certificate_id) {
            write!(f, " ({subject}, id {id})")?;
        }
        self.hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// The rejects file: JSON Lines. A regular file is replaced at the end, and only if something was rejected.
pub struct RejectsFile {
    file: OutputFile,
    has_rejects: bool,
}

/// The state of the rejects file after a run.
pub enum RejectsWritten {
    /// It contains the rejects of this run.
    Here(PathBuf),
    /// This run had no rejects; an existing file is from an earlier run.
    Earlier(PathBuf),
    /// This run had no rejects, and there is no file.
    Nothing,
}

impl RejectsFile {
    /// Opens the file. Done before anything is read or sent, to fail early if it cannot be written.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(path: PathBuf, chosen_by: ChosenBy) -> Result<Self, OutputFileError> {
        Ok(Self { file: OutputFile::open(path, chosen_by)?, has_rejects: false })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn push(&mut self, reject: &Reject) -> io::Result<()> {
        self.has_rejects = true;
        serde_json::to_writer(&mut self.file, reject)?;
        self.file.write_all(b"\n")
    }

    /// Moves the file into place, over an older one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> io::Result<RejectsWritten> {
        let path = self.file.path().to_owned();
        if !self.has_rejects {
            let is_there = self.file.replaces_file();
            return Ok(if is_there { RejectsWritten::Earlier(path) } else { RejectsWritten::Nothing });
        }
        // Not earlier: the older file may be the input of this run.
        self.file.finish()?;
        Ok(RejectsWritten::Here(path))
    }
}
