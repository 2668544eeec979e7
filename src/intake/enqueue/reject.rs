//! What was not sent, and why: for people and for a file from which it can be mended and given again.

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

/// Why something was not sent.
#[derive(Debug, thiserror::Error)]
pub enum RejectReason {
    /// AWS would refuse it.
    #[error(transparent)]
    Precheck(Rejection),
    /// Its file holds a private key next to it.
    #[error("a private key stands next to the certificate")]
    BesidePrivateKey,
    /// Bytes behind a certificate in DER belong to nothing.
    #[error("{bytes} bytes follow the certificate that do not belong to it and are not padding")]
    Garbage {
        /// How many.
        bytes: u64,
    },
    /// A CA stands with its own issuer, and no device with them.
    #[error("a chain of CA certificates stands here without a device certificate")]
    ChainWithoutDevice,
    /// A line of a rejects file has no text.
    #[error("the rejects file does not have the text of this certificate")]
    NotKept,
    /// A line of a file of JSON Lines cannot be read.
    #[error("the line is not a JSON object with a certificatePem")]
    NoRecord,
    /// The system does not let it be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// SQS finds fault with the message.
    #[error("SQS refuses the message: {0}")]
    RefusedByQueue(EntryError),
    /// SQS failed on this message, or did not mention it, again and again.
    #[error("in {attempts} attempts SQS did not say that it took the message: {cause}")]
    NotSent {
        /// How often it was sent.
        attempts: u32,
        /// What SQS said last.
        cause: EntryError,
    },
}

/// One line of the rejects file.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reject {
    /// The file that was given; `-` is standard input.
    pub file: String,
    /// The line in it, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The `ref` of its job.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Name>,
    /// AWS's id of the certificate, where one can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_id: Option<CertificateId>,
    /// The certificate's subject for people, where one can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The reason, from a closed set: the codes of the precheck, `unreadable`, `refused_by_queue` and `not_sent`.
    pub code: &'static str,
    /// The reason for people.
    pub reason: String,
    /// What mends it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
    /// The text as it was found; none where a private key was near, or where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_pem: Option<String>,
}

impl RejectReason {
    /// The closed code of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Precheck(rejection) => rejection.code().as_str(),
            Self::BesidePrivateKey => Code::PrivateKey.as_str(),
            Self::Garbage { .. } => Code::TrailingData.as_str(),
            Self::ChainWithoutDevice => Code::SeveralCertificates.as_str(),
            Self::NotKept => "not_kept",
            Self::NoRecord => Code::NotACertificate.as_str(),
            Self::Unreadable(_) => "unreadable",
            Self::RefusedByQueue(_) => "refused_by_queue",
            Self::NotSent { .. } => NOT_SENT,
        }
    }

    /// What mends it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Precheck(rejection) => rejection.hint(),
            Self::BesidePrivateKey => Rejection::PrivateKey { field: Field::CertificatePem }.hint(),
            Self::ChainWithoutDevice => {
                Some("add the device certificate; `muster ca register` is for CAs that AWS does not know yet")
            }
            Self::NotKept => Some("give the file that it was found in once more"),
            Self::Garbage { .. } | Self::NoRecord | Self::Unreadable(_) | Self::RefusedByQueue(_) => None,
            Self::NotSent { .. } => Some("run the same command again: what is in already costs nothing"),
        }
    }

    /// Says whether the text may be kept: no private key is, and no CA that would be a device if it were sent again
    /// alone.
    fn lets_text_be_kept(&self) -> bool {
        self.code() != Code::PrivateKey.as_str() && !matches!(self, Self::ChainWithoutDevice)
    }
}

/// The certificate of a text, where one can be read.
fn first_certificate(text: &str) -> Option<Certificate> {
    inputs(&pem::without_nuls(text)).find_map(|input| input.certificate().cloned())
}

/// The code of what SQS failed on.
pub(super) const NOT_SENT: &str = "not_sent";

impl Reject {
    /// Describes what was not sent.
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

    /// Says whether it was sent in vain and may be sent again as it is.
    pub fn is_not_sent(&self) -> bool {
        self.code == NOT_SENT
    }
}

/// For people: place, code, reason, certificate, what fixes it.
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

/// What became of the rejects file.
pub enum RejectsWritten {
    /// It holds the rejects of this run.
    Here(PathBuf),
    /// This run wrote none, and the file that is there is from an earlier run.
    Earlier(PathBuf),
    /// This run wrote none, and there is no file.
    Nothing,
}

impl RejectsFile {
    /// Opens the file, to find out before anything is read or sent whether it can be written.
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

    /// Puts the file in its place, over an older one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> io::Result<RejectsWritten> {
        let path = self.file.path().to_owned();
        if !self.has_rejects {
            let is_there = self.file.replaces_file();
            return Ok(if is_there { RejectsWritten::Earlier(path) } else { RejectsWritten::Nothing });
        }
        // Not before the end: the older one may be what is being read right now.
        self.file.finish()?;
        Ok(RejectsWritten::Here(path))
    }
}
