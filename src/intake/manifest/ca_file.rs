//! Reads the CA certificates of a file in the same formats as device certificates: PEM or DER, with anything around
//! them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{Content, Entries, FilePosition, open};
use muster_core::certificate::input::{Input, inputs};
use muster_core::certificate::{Certificate, CertificateError, Issuer, pem};

/// The CAs of a file.
#[derive(Debug)]
pub struct CaFile {
    /// Its CAs, in order.
    pub cas: Vec<Issuer>,
    /// The subject of the first certificate that is not a CA certificate.
    pub other: Option<String>,
}

/// A CA file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {place} as a CA certificate")]
pub struct CaFileError {
    /// The file, with the line if there is one.
    pub place: String,
    /// Why.
    pub source: CaError,
}

/// What is wrong with a CA file.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    /// The file contains a private key.
    #[error("a private key is in the file; only the CA's certificate is needed")]
    PrivateKey,
    /// Something that looks like a certificate is not one.
    #[error(transparent)]
    Certificate(CertificateError),
    /// None of the file's certificates is a CA certificate.
    #[error("{subject} is not a CA certificate: its basicConstraints do not have CA:true")]
    NoCa {
        /// The subject of the first certificate.
        subject: String,
    },
    /// A certificate is followed by unknown bytes.
    #[error("{bytes} bytes follow the certificate that do not belong to it")]
    Garbage {
        /// How many.
        bytes: u64,
    },
}

impl CaFile {
    /// Reads a file; `-` does not mean standard input here.
    ///
    /// # Errors
    /// The file cannot be read, contains a private key, or contains something that looks like a certificate but is not
    /// one.
    pub fn read(path: &Path) -> Result<Self, CaFileError> {
        let mut file = Self { cas: Vec::new(), other: None };
        for entry in Entries::of(path, open(path), Arc::new(AtomicU64::new(0))) {
            let place = entry.place;
            let fault = |source| CaFileError { place: place.to_string(), source };
            if entry.is_next_to_private_key {
                return Err(fault(CaError::PrivateKey));
            }
            match entry.content {
                Content::Pem(text) => inputs(&text).try_for_each(|input| file.take(&place, input))?,
                Content::Der(der) => file
                    .take_certificate(Certificate::from_der(&der).map_err(|error| fault(CaError::Certificate(error)))?),
                Content::Unreadable(error) => return Err(fault(CaError::Unreadable(error))),
                Content::Garbage { bytes } => return Err(fault(CaError::Garbage { bytes })),
                Content::NoBlock | Content::NotKept | Content::NoRecord => {}
            }
        }
        Ok(file)
    }

    /// Reads a file that must contain a CA. Ignores its other certificates.
    ///
    /// # Errors
    /// Those of [`CaFile::read`], or the file contains no CA.
    pub fn read_cas(path: &Path) -> Result<Vec<Issuer>, CaFileError> {
        let Self { cas, other } = Self::read(path)?;
        if !cas.is_empty() {
            return Ok(cas);
        }
        let source = match other {
            Some(subject) => CaError::NoCa { subject },
            None => CaError::Certificate(CertificateError::NoBlock),
        };
        Err(CaFileError { place: path.display().to_string(), source })
    }

    fn take(&mut self, place: &FilePosition, input: Input) -> Result<(), CaFileError> {
        let source = match input.read {
            Ok(certificate) => {
                self.take_certificate(certificate);
                return Ok(());
            }
            Err(_) if input.is_private_key() => CaError::PrivateKey,
            Err(unreadable) => CaError::Certificate(unreadable.cause),
        };
        Err(CaFileError { place: place.to_string(), source })
    }

    fn take_certificate(&mut self, certificate: Certificate) {
        let subject = certificate.subject();
        match Issuer::new(certificate) {
            Ok(ca) => self.cas.push(ca),
            Err(_) => {
                self.other.get_or_insert(subject);
            }
        }
    }
}

/// Reads a file with certificates as PEM text: encodes DER and decodes UTF-16. UTF-8 text without NULs is returned
/// unchanged; from any other content, a private key is reduced to its BEGIN marker.
///
/// # Errors
/// The file cannot be read.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = std::fs::read(path)?;
    if let Ok(text) = str::from_utf8(&bytes)
        && !text.contains('\0')
    {
        return Ok(text.to_owned());
    }
    let mut text = String::new();
    for entry in Entries::of(path, Ok(Box::new(io::Cursor::new(bytes))), Arc::new(AtomicU64::new(0))) {
        match entry.content {
            Content::Pem(block) => text.extend([block.as_str(), "\n"]),
            Content::Der(der) => text += &pem::encode(pem::CERTIFICATE, &der),
            Content::Unreadable(error) => return Err(error),
            Content::NoBlock | Content::Garbage { .. } | Content::NotKept | Content::NoRecord => {}
        }
        if entry.is_next_to_private_key {
            text += "-----BEGIN PRIVATE KEY-----\n";
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_sandbox::specimen::Ca;

    fn read(content: impl AsRef<[u8]>) -> Result<CaFile, CaFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca");
        std::fs::write(&path, content).unwrap();
        CaFile::read(&path)
    }

    #[test]
    fn a_ca_is_read_in_every_format_of_a_device() {
        let ca = Ca::new("Plant CA");
        let pem = ca.pem();
        let latin1 = [b"Pr\xfcfung\n".as_slice(), ca.pem().as_bytes()].concat();
        let utf16: Vec<u8> = format!("\u{feff}{}", ca.pem()).encode_utf16().flat_map(u16::to_le_bytes).collect();
        let padded = [ca.certificate().der(), &[0xff; 40]].concat();
        let forms: [&[u8]; 5] = [ca.certificate().der(), pem.as_bytes(), &latin1, &utf16, &padded];
        for form in forms {
            let file = read(form).unwrap();
            assert!(file.cas.len() == 1 && file.cas[0].certificate() == ca.certificate(), "{file:?}");
        }
    }

    #[test]
    fn all_cas_are_read_and_the_first_other_certificate_is_named() {
        let (a, b) = (Ca::new("A"), Ca::new("B"));
        let file = read(a.pem() + &a.leaf("device") + &b.pem()).unwrap();
        assert_eq!((file.cas.len(), file.other.as_deref()), (2, Some("CN=device")));
    }

    #[test]
    fn an_unusable_file_is_an_error_with_position_and_reason() {
        let ca = Ca::new("A");
        for (content, reason) in [
            (ca.pem() + &ca.pem().replace("MII", "XII"), "the decoded bytes are not a certificate"),
            (ca.pem() + &ca.key_pem(), "a private key is in the file; only the CA's certificate is needed"),
        ] {
            let error = read(content).unwrap_err();
            assert_eq!(error.source.to_string(), reason);
            assert!(error.place.contains("/ca:"), "{error}");
        }
    }
}
