//! The folder of issuing CAs: every certificate of every file in it.

use std::io;
use std::path::{Path, PathBuf};

use crate::certificate::{Certificate, CertificateError, Issuer, IssuerError, pem};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFolderError {
    /// The folder or a file in it cannot be read as text.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate in it is no usable CA's.
    #[error("cannot use a CA of {}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CaError,
    },
}

/// Why a block of a file is no usable CA certificate.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The block is damaged.
    #[error(transparent)]
    Pem(#[from] pem::PemError),
    /// It holds no certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate is no CA's.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
}

/// Reads the folder; blocks that are no certificates are passed over.
pub(super) fn read(folder: &Path) -> Result<Vec<Issuer>, CaFolderError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| CaFolderError::Unreadable { path, source }
    };
    let mut cas = Vec::new();
    for file in folder.read_dir().map_err(unreadable(folder))? {
        let path = file.map_err(unreadable(folder))?.path();
        let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
        for section in pem::sections(&text).filter(pem::Section::is_certificate) {
            cas.push(issuer(&section).map_err(|source| CaFolderError::Unusable { path: path.clone(), source })?);
        }
    }
    Ok(cas)
}

fn issuer(section: &pem::Section<'_>) -> Result<Issuer, CaError> {
    let der = section.decode()?;
    Ok(Issuer::new(Certificate::from_der(&der)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::specimen::Ca;

    #[test]
    fn every_ca_of_every_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["A", "B", "C"].map(|name| Ca::new(name).pem());
        std::fs::write(folder.path().join("two.pem"), format!("{a}\n{b}")).unwrap();
        std::fs::write(folder.path().join("one.pem"), c).unwrap();
        assert_eq!(read(folder.path()).unwrap().len(), 3);
    }

    #[test]
    fn a_file_with_a_leaf_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("leaf.pem"), Ca::new("A").leaf("device")).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("leaf.pem"), "{error}");
        assert!(matches!(error, CaFolderError::Unusable { source: CaError::Issuer(_), .. }));
        assert!(matches!(read(Path::new("no/such")), Err(CaFolderError::Unreadable { .. })));
    }
}
