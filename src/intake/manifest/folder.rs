//! Finds the certificate files of a folder and all folders below it.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{Manifest, ManifestInput};

/// The file extensions read in folders. Containers (PKCS#7, PKCS#12) are read only to be rejected with a reason: a user
/// who puts one there expects its certificates to be registered.
const EXTENSIONS: [&str; 9] = ["pem", "crt", "cer", "der", "cert", "p7b", "p7c", "p12", "pfx"];

/// Adds the files of a folder, in the order of names. `seen` holds the folders already read, because symlinks may form
/// loops.
pub(super) fn walk(folder: &Path, seen: &mut HashSet<PathBuf>, manifest: &mut Manifest) {
    match paths(folder, seen) {
        Ok(paths) => paths.into_iter().for_each(|path| add(path, seen, manifest)),
        Err(error) => manifest.inputs.push(ManifestInput::Unreadable(folder.to_owned(), error)),
    }
}

/// Lists a folder; empty if it was already read.
fn paths(folder: &Path, seen: &mut HashSet<PathBuf>) -> io::Result<Vec<PathBuf>> {
    if !seen.insert(folder.canonicalize()?) {
        return Ok(vec![]);
    }
    let mut paths = folder.read_dir()?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

fn add(path: PathBuf, seen: &mut HashSet<PathBuf>, manifest: &mut Manifest) {
    // A dangling symlink is not a folder; opening it reports the error.
    if path.is_dir() {
        walk(&path, seen, manifest);
    } else if path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|e| extension.eq_ignore_ascii_case(e))) {
        manifest.inputs.push(ManifestInput::File(path));
    } else {
        manifest.n_skipped += 1;
    }
}
