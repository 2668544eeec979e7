//! Interprets the argument that identifies a certificate.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::intake::manifest;
use crate::ledger::certificate::CertificateRow;
use crate::ledger::{Ledger, LedgerError};
use muster_core::advice::{Advice, Exit};
use muster_core::certificate::input::inputs;
use muster_core::certificate::{Certificate, CertificateError, CertificateId, chain};
use muster_core::format::printable;

/// Maximum length of a text from a browser that is not PEM, in bytes: far more than any id, serial number or ref has.
const NAME_LENGTH_MAX: usize = 1000;

/// What the argument is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum QueryKind {
    /// AWS's id, 64 hex digits.
    Id,
    /// The serial number in hex; colons, `0x` and leading zeros do not matter.
    Serial,
    /// The producer's name for the device.
    Ref,
    /// A PEM or DER file.
    File,
}

/// The argument in a form that can be looked up.
#[derive(Debug)]
pub struct CertificateQuery {
    text: String,
    id: Option<CertificateId>,
    serials: Vec<Vec<u8>>,
    reference: Option<String>,
    certificate: Option<Certificate>,
}

/// The argument does not identify a certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateQueryError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file contains no certificate.
    #[error("{} contains no certificate: {source}", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// The pasted text contains no certificate.
    #[error("the text contains no certificate: {0}")]
    NotACertificate(#[source] CertificateError),
    /// Neither an id nor a name.
    #[error("a certificate is found by id, serial number, ref or PEM, found {0}")]
    NoName(String),
    /// Not an id.
    #[error("an id has 64 hex digits, found `{0}`")]
    NoId(String),
    /// Not a serial number.
    #[error("a serial number has hex digits and colons, found `{0}`")]
    NoSerial(String),
}

impl Advice for CertificateQueryError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl CertificateQuery {
    /// Interprets a text from a browser: a PEM certificate, an id, a serial number or a ref. Never reads a file.
    ///
    /// # Errors
    /// The text looks like PEM but contains no certificate, or cannot be a name.
    pub fn of_text(text: &str) -> Result<Self, CertificateQueryError> {
        let text = text.trim();
        let mut query = Self { text: String::new(), id: None, serials: vec![], reference: None, certificate: None };
        if text.contains("-----BEGIN") {
            let certificate = certificate_in(text).map_err(CertificateQueryError::NotACertificate)?;
            query.text = certificate.id().to_string();
            query.id = Some(certificate.id());
            query.certificate = Some(certificate);
        } else {
            check_name(text)?;
            query.text = printable(text);
            query.take_name(text);
        }
        Ok(query)
    }

    /// Interprets the argument of a command as `kind`. Without one, it is a file if that exists, an id if it has 64 hex digits, and
    /// otherwise both a serial number and a ref.
    pub fn of_argument(text: &str, kind: Option<QueryKind>) -> Result<Self, CertificateQueryError> {
        let found = || printable(text);
        let mut query = Self { text: found(), id: None, serials: vec![], reference: None, certificate: None };
        let id: Option<CertificateId> = text.parse().ok();
        match kind {
            Some(QueryKind::File) => query.take_file(Path::new(text))?,
            Some(QueryKind::Id) => query.id = Some(id.ok_or_else(|| CertificateQueryError::NoId(found()))?),
            Some(QueryKind::Serial) => {
                query.serials = serials(text).ok_or_else(|| CertificateQueryError::NoSerial(found()))?;
            }
            Some(QueryKind::Ref) => query.reference = Some(text.to_owned()),
            None if Path::new(text).is_file() => query.take_file(Path::new(text))?,
            None => query.take_name(text),
        }
        Ok(query)
    }

    /// Takes 64 hex digits as an id, and anything else as both a serial number and a ref.
    fn take_name(&mut self, text: &str) {
        self.id = text.parse().ok();
        if self.id.is_none() {
            self.serials = serials(text).unwrap_or_default();
            self.reference = Some(text.to_owned());
        }
    }

    fn take_file(&mut self, path: &Path) -> Result<(), CertificateQueryError> {
        let text = manifest::read_text(path)
            .map_err(|source| CertificateQueryError::Unreadable { path: path.to_owned(), source })?;
        let certificate = certificate_in(&text)
            .map_err(|source| CertificateQueryError::NoCertificate { path: path.to_owned(), source })?;
        self.id = Some(certificate.id());
        self.certificate = Some(certificate);
        Ok(())
    }

    /// Returns the certificate if the argument is a file.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// Returns at most `n` matching rows, each once.
    pub async fn entries(&self, ledger: &Ledger, n: u32) -> Result<Vec<CertificateRow>, LedgerError> {
        let mut entries = Vec::new();
        if let Some(id) = self.id {
            entries.extend(ledger.entries_of_certificate(id, n).await?);
        }
        if !self.serials.is_empty() {
            entries.extend(ledger.entries_of_serial(&self.serials, n).await?);
        }
        if let Some(reference) = &self.reference {
            entries.extend(ledger.entries_of_ref(reference, n).await?);
        }
        let mut seen = HashSet::new();
        entries.retain(|entry| {
            let (batch, target, operation, subject) = entry.row.key();
            seen.insert((batch.to_owned(), target.to_owned(), operation, *subject))
        });
        entries.sort_by(|one, other| one.row.key().cmp(&other.row.key()));
        entries.truncate(n as usize);
        Ok(entries)
    }
}

/// Refuses what cannot be an id, a serial number or a ref.
fn check_name(text: &str) -> Result<(), CertificateQueryError> {
    let found = match text {
        "" => "nothing".to_owned(),
        text if text.len() > NAME_LENGTH_MAX => format!("{} characters", text.chars().count()),
        text if text.contains('\0') => "a NUL character".to_owned(),
        _ => return Ok(()),
    };
    Err(CertificateQueryError::NoName(found))
}

/// Returns the device certificate in a text or, if there are several, the first certificate.
fn certificate_in(text: &str) -> Result<Certificate, CertificateError> {
    if let Ok(device) = chain::find_device(text) {
        return Ok(device.certificate);
    }
    match inputs(text).next() {
        Some(input) => input.read.map_err(|unreadable| unreadable.cause),
        None => Err(CertificateError::NoBlock),
    }
}

impl fmt::Display for CertificateQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}

/// Returns the DER forms of a serial number: as it is, and with the leading zero byte that marks it as positive.
fn serials(text: &str) -> Option<Vec<Vec<u8>>> {
    let text = text.trim();
    let text = text.strip_prefix("serial=").unwrap_or(text);
    let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let digits: String = text.chars().filter(|&c| c != ':').collect();
    if digits.is_empty() {
        return None;
    }
    let digits = if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") };
    let bytes = hex::decode(digits).ok()?;
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    let number = &bytes[zeros..];
    let positive = [&[0], number].concat();
    Some(if number.is_empty() { vec![positive] } else { vec![number.to_vec(), positive] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_read_as_openssl_prints_it() {
        for text in ["01:02:ab", "0102ab", "102AB", "0x102ab", "0000000102AB", "serial=0102AB", " 01:02:AB "] {
            let found = serials(text).unwrap();
            assert_eq!(found, [vec![1, 2, 0xab], vec![0, 1, 2, 0xab]], "{text}");
        }
        assert_eq!(serials("00"), Some(vec![vec![0]]));
        for text in ["", ":", "0x", "SN-1", "xyz"] {
            assert_eq!(serials(text), None, "{text}");
        }
    }

    #[test]
    fn an_ambiguous_argument_is_both_a_serial_and_a_ref() {
        let query = CertificateQuery::of_argument("ab12", None).unwrap();
        assert_eq!((query.id, query.serials.len(), query.reference.as_deref()), (None, 2, Some("ab12")));
        let id = "0f".repeat(32);
        let query = CertificateQuery::of_argument(&id, None).unwrap();
        assert_eq!((query.id, query.serials.len(), query.reference), (Some(CertificateId([0x0f; 32])), 0, None));
        let query = CertificateQuery::of_argument(&id, Some(QueryKind::Ref)).unwrap();
        assert_eq!((query.id, query.reference.as_deref()), (None, Some(id.as_str())));
        assert!(matches!(
            CertificateQuery::of_argument("SN-1", Some(QueryKind::Id)),
            Err(CertificateQueryError::NoId(_))
        ));
        assert!(matches!(
            CertificateQuery::of_argument("SN-1", Some(QueryKind::Serial)),
            Err(CertificateQueryError::NoSerial(_))
        ));
        assert!(matches!(
            CertificateQuery::of_argument("/nowhere/a.pem", Some(QueryKind::File)),
            Err(CertificateQueryError::Unreadable { .. })
        ));
    }
}
