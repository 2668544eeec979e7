//! The CA folder (`precheck.ca_folder`): reads every certificate in every file of it.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::PrecheckConfig;
use crate::intake::manifest::{CaError, CaFile, CaFileError};
use muster_core::certificate::Issuer;

/// Why the CA folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFolderError {
    /// The folder cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate in it is not a usable CA certificate.
    #[error(transparent)]
    Unusable(#[from] CaFileError),
}

/// Returns the CAs of the configured folder; empty if none is configured.
///
/// # Errors
/// A file of the folder cannot be read, or contains a block that is not a usable CA certificate.
pub fn known_cas(precheck: &PrecheckConfig) -> Result<Vec<Issuer>, CaFolderError> {
    precheck.ca_folder.as_deref().map_or_else(|| Ok(vec![]), read)
}

/// Reads the folder. Skips files without certificates, and does not descend into subfolders.
fn read(folder: &Path) -> Result<Vec<Issuer>, CaFolderError> {
    let unreadable = |source| CaFolderError::Unreadable { path: folder.to_owned(), source };
    let mut cas = Vec::new();
    for file in folder.read_dir().map_err(unreadable)? {
        let path = file.map_err(unreadable)?.path();
        // Kubernetes keeps the files of a mounted ConfigMap in hidden folders, with symlinks next to them.
        if path.is_dir() {
            continue;
        }
        let CaFile { cas: of_file, other } = CaFile::read(&path)?;
        if let Some(subject) = other {
            let (place, source) = (path.display().to_string(), CaError::NoCa { subject });
            return Err(CaFileError { place, source }.into());
        }
        cas.extend(of_file);
    }
    Ok(cas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_sandbox::specimen::Ca;

    #[test]
    fn every_ca_in_every_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["A", "B", "C"].map(Ca::new);
        std::fs::write(folder.path().join("two.pem"), format!("{}\n{}", a.pem(), b.pem())).unwrap();
        std::fs::write(folder.path().join("one.der"), c.certificate().der()).unwrap();
        std::fs::write(folder.path().join("README"), "no certificate").unwrap();
        assert_eq!(read(folder.path()).unwrap().len(), 3);
    }

    #[test]
    fn a_file_with_a_leaf_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("leaf.pem"), Ca::new("A").leaf("device")).unwrap();
        let CaFolderError::Unusable(error) = read(folder.path()).unwrap_err() else { panic!("it can be read") };
        assert!(error.to_string().contains("leaf.pem"), "{error}");
        assert!(matches!(error.source, CaError::NoCa { .. }));
        assert!(matches!(read(Path::new("no/such")), Err(CaFolderError::Unreadable { .. })));
    }
}
