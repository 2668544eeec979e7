//! Reads possible certificates from files, folders and standard input, as a stream of entries.
//!
//! PEM text, DER and the lines of a rejects file are recognised by their content. Memory holds one chunk of a file,
//! however large the file is. Every input yields at least one entry, so nothing is ignored silently. Does not check
//! whether an entry is a valid certificate.

mod ca_file;
mod folder;
mod pieces;
mod record;
mod source;
mod text;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_core::job::Name;

use pieces::{Piece, Pieces};
use record::{JsonRecord, RejectedAt};

pub use ca_file::{CaError, CaFile, CaFileError, read_text};

/// The path that means standard input.
pub const STDIN: &str = "-";

/// The inputs to read, in order.
#[derive(Debug, Default)]
pub struct Manifest {
    inputs: Vec<ManifestInput>,
    n_skipped: u64,
}

/// One input.
#[derive(Debug)]
enum ManifestInput {
    Stdin,
    File(PathBuf),
    /// A folder that cannot be listed.
    Unreadable(PathBuf, io::Error),
}

/// A possible certificate in an input.
#[derive(Debug)]
pub struct Entry {
    /// Its position.
    pub place: FilePosition,
    /// The number of the text that contains it, from 0. A text is a file or one line of JSON Lines; a chain never spans
    /// texts.
    pub text: u64,
    /// What was found there.
    pub content: Content,
    /// Bytes of padding after it, for a certificate in DER.
    pub n_padding: u64,
    /// Whether a private key is directly before or after it, with no other entry in between.
    pub is_next_to_private_key: bool,
    /// The producer's own name for the device, if the entry has one.
    pub reference: Option<Name>,
    /// Whether it comes from a rejects file. Then its batch was announced by an earlier run.
    pub is_resent: bool,
}

/// The position of an entry. Displays as `bundle.pem:31`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FilePosition {
    /// The file as displayed; `-` is standard input. Shared by all entries of the file.
    pub file: Arc<str>,
    /// The line of the entry's first marker, from 1. `None` for binary content.
    pub line: Option<u64>,
}

/// What was found at a position.
pub enum Content {
    /// One PEM block of a certificate, or of something that looks like one, unchanged.
    Pem(String),
    /// A certificate in DER, or bytes that begin like one. Truncated if far too long.
    Der(Vec<u8>),
    /// A file without a certificate block.
    NoBlock,
    /// Bytes after a certificate in DER that are neither padding nor another certificate.
    Garbage {
        /// How many.
        bytes: u64,
    },
    /// A line of a rejects file whose certificate text was not kept.
    NotKept,
    /// A line of a JSON Lines file that is not a valid record.
    NoRecord,
    /// The input cannot be read.
    Unreadable(io::Error),
}

/// A given path does not exist or cannot be accessed.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {cause}", path.display())]
pub struct ManifestError {
    path: PathBuf,
    cause: io::Error,
}

impl Manifest {
    /// Finds the files to read: given files in the given order, and folders recursively in the order of names.
    ///
    /// In folders, takes only files with the extension of a certificate or certificate container (`.pem`, `.crt`,
    /// `.p7b`). Follows symlinks, but reads no folder twice.
    ///
    /// # Errors
    /// A path does not exist or cannot be accessed.
    pub fn find(paths: &[PathBuf]) -> Result<Self, ManifestError> {
        let mut manifest = Self::default();
        let mut seen = HashSet::new();
        for path in paths {
            if path.as_os_str() == STDIN {
                manifest.inputs.push(ManifestInput::Stdin);
                continue;
            }
            let found = path.metadata().map_err(|cause| ManifestError { path: path.clone(), cause })?;
            if found.is_dir() {
                folder::walk(path, &mut seen, &mut manifest);
            } else {
                manifest.inputs.push(ManifestInput::File(path.clone()));
            }
        }
        Ok(manifest)
    }

    /// Returns how many files there are to read, including standard input.
    pub fn n_files(&self) -> u64 {
        self.inputs.len() as u64
    }

    /// Returns how many files in folders are skipped because of their extension.
    pub fn n_skipped(&self) -> u64 {
        self.n_skipped
    }

    /// Returns an iterator that reads the entries.
    pub fn entries(self) -> impl Iterator<Item = Entry> + Send {
        let texts = Arc::new(AtomicU64::new(0));
        self.inputs.into_iter().flat_map(move |input| match input {
            ManifestInput::Stdin => Entries::of(STDIN.as_ref(), Ok(Box::new(io::stdin())), Arc::clone(&texts)),
            ManifestInput::File(path) => Entries::of(&path, open(&path), Arc::clone(&texts)),
            ManifestInput::Unreadable(path, cause) => Entries::of(&path, Err(cause), Arc::clone(&texts)),
        })
    }
}

fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    File::open(path).map(|file| Box::new(file) as Box<dyn Read + Send>)
}

/// The entries of one file. Holds back one entry, because a private key or padding after it is recorded on it.
struct Entries {
    file: Arc<str>,
    pieces: Option<Pieces<Box<dyn Read + Send>>>,
    held: Option<Entry>,
    key_before: Option<u64>,
    is_empty: bool,
    /// The number of the next text, shared by all inputs.
    texts: Arc<AtomicU64>,
    text: u64,
}

impl Entries {
    fn of(path: &Path, opened: io::Result<Box<dyn Read + Send>>, texts: Arc<AtomicU64>) -> Self {
        let file = path.display().to_string().into();
        let text = texts.fetch_add(1, Ordering::Relaxed);
        let mut entries = Self { file, pieces: None, held: None, key_before: None, is_empty: true, texts, text };
        match opened {
            Ok(reader) => entries.pieces = Some(Pieces::new(reader)),
            Err(error) => entries.held = Some(entries.entry(None, Content::Unreadable(error))),
        }
        entries
    }

    fn entry(&self, line: Option<u64>, content: Content) -> Entry {
        Entry {
            place: FilePosition { file: Arc::clone(&self.file), line },
            text: self.text,
            content,
            n_padding: 0,
            is_next_to_private_key: self.key_before.is_some(),
            reference: None,
            is_resent: false,
        }
    }

    /// Holds back an entry and returns the one held before.
    fn hold(&mut self, entry: Entry) -> Option<Entry> {
        self.is_empty = false;
        self.key_before = None;
        self.held.replace(entry)
    }

    /// Creates the entry of a JSON Lines record, which is a text of its own.
    fn of_record(&mut self, line: u64, record: JsonRecord) -> Entry {
        self.text = self.texts.fetch_add(1, Ordering::Relaxed);
        let place = |rejected_at: RejectedAt| FilePosition { file: rejected_at.file.into(), line: rejected_at.line };
        let entry = |content| self.entry(Some(line), content);
        match record {
            JsonRecord::Certificate { pem, reference, rejected_at: None } => {
                Entry { reference, ..entry(Content::Pem(pem)) }
            }
            JsonRecord::Certificate { pem, reference, rejected_at: Some(at) } => {
                Entry { reference, place: place(at), is_resent: true, ..entry(Content::Pem(pem)) }
            }
            JsonRecord::NotKept(at) => Entry { place: place(at), is_resent: true, ..entry(Content::NotKept) },
            JsonRecord::Unreadable => entry(Content::NoRecord),
        }
    }

    /// Takes a piece; returns the entry before it if that is complete.
    fn take(&mut self, piece: Piece) -> Option<Entry> {
        let entry = match piece {
            Piece::Block { line, text } => self.entry(Some(line), Content::Pem(text)),
            Piece::Der(der) => self.entry(None, Content::Der(der)),
            Piece::Garbage { bytes } => self.entry(None, Content::Garbage { bytes }),
            Piece::Record { line, record } => self.of_record(line, record),
            Piece::Padding { bytes } => {
                self.held.iter_mut().for_each(|entry| entry.n_padding += bytes);
                return None;
            }
            Piece::PrivateKey { line } => {
                self.key_before = Some(line);
                self.held.iter_mut().for_each(|entry| entry.is_next_to_private_key = true);
                return None;
            }
        };
        self.hold(entry)
    }
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while let Some(pieces) = &mut self.pieces {
            let before = match pieces.next() {
                Some(Ok(piece)) => self.take(piece),
                Some(Err(error)) => {
                    self.pieces = None;
                    self.hold(self.entry(None, Content::Unreadable(error)))
                }
                None => {
                    self.pieces = None;
                    if self.is_empty { self.hold(self.entry(self.key_before, Content::NoBlock)) } else { None }
                }
            };
            if before.is_some() {
                return before;
            }
        }
        self.held.take()
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// Prints only sizes: the text may contain secrets.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(text) => write!(f, "Pem({} characters)", text.len()),
            Self::Der(der) => write!(f, "Der({} bytes)", der.len()),
            Self::NoBlock => f.write_str("NoBlock"),
            Self::Garbage { bytes } => write!(f, "Garbage({bytes} bytes)"),
            Self::NotKept => f.write_str("NotKept"),
            Self::NoRecord => f.write_str("NoRecord"),
            Self::Unreadable(error) => write!(f, "Unreadable({error})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n";

    /// A folder with files of these names and texts.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn find(folder: &tempfile::TempDir) -> Manifest {
        Manifest::find(&[folder.path().to_owned()]).unwrap()
    }

    fn entries(text: &str) -> Vec<Entry> {
        find(&folder(&[("a.pem", text)])).entries().collect()
    }

    /// The names of the files of entries, below their folder.
    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let prefix = format!("{}/", folder.path().display());
        find(folder).entries().map(|entry| entry.place.file.strip_prefix(&prefix).unwrap().to_owned()).collect()
    }

    #[test]
    fn a_folder_is_read_recursively_in_name_order() {
        let folder =
            folder(&[("b.pem", BLOCK), ("a/z.CRT", BLOCK), ("a/c.cer", BLOCK), ("d.der", BLOCK), ("e.csv", "")]);
        assert_eq!(names(&folder), ["a/c.cer", "a/z.CRT", "b.pem", "d.der"]);
        assert_eq!((find(&folder).n_files(), find(&folder).n_skipped()), (4, 1));
    }

    #[test]
    fn an_empty_folder_has_no_files() {
        assert_eq!(find(&folder(&[])).n_files(), 0);
    }

    #[test]
    fn symlinks_are_followed_and_loops_end() {
        let folder = folder(&[("a/one.pem", BLOCK)]);
        symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        symlink(folder.path().join("a/one.pem"), folder.path().join("two.pem")).unwrap();
        assert_eq!(names(&folder), ["a/one.pem", "two.pem"]);
    }

    #[test]
    fn an_unreadable_file_is_an_entry() {
        let folder = folder(&[("a.pem", BLOCK)]);
        symlink("nowhere", folder.path().join("b.pem")).unwrap();
        let entries: Vec<_> = find(&folder).entries().collect();
        assert!(matches!(entries[..], [_, Entry { content: Content::Unreadable(_), .. }]), "{entries:?}");
    }

    #[test]
    fn a_path_that_does_not_exist_is_an_error() {
        let error = Manifest::find(&["no/such.pem".into()]).unwrap_err().to_string();
        assert!(error.starts_with("cannot read no/such.pem: "), "{error}");
    }

    #[test]
    fn a_file_without_a_block_is_an_entry() {
        for text in ["", "hello", &BLOCK.replace("CERTIFICATE", "PUBLIC KEY")] {
            assert!(matches!(entries(text)[..], [Entry { content: Content::NoBlock, .. }]), "{text}");
        }
    }

    #[test]
    fn the_neighbours_of_a_private_key_are_marked() {
        let marked =
            |text: &str| -> Vec<bool> { entries(text).iter().map(|entry| entry.is_next_to_private_key).collect() };
        assert_eq!(marked(&format!("{BLOCK}{BLOCK}{KEY}{BLOCK}{BLOCK}")), [false, true, true, false]);
        assert_eq!(marked(&format!("{BLOCK}{KEY}")), [true]);
        assert_eq!(marked(&format!("{KEY}{BLOCK}{BLOCK}")), [true, false]);
        assert_eq!(marked(KEY), [true]);
        assert_eq!(marked(&format!("{BLOCK}{BLOCK}")), [false, false]);
    }

    #[test]
    fn each_file_and_each_reject_line_is_its_own_text() {
        let reject = |line: u64| {
            let fields =
                serde_json::json!({ "file": "x.pem", "line": line, "code": "expired", "certificatePem": BLOCK });
            format!("{fields}\n")
        };
        let folder = folder(&[("a.pem", &BLOCK.repeat(2)), ("b.pem", &(reject(7) + &reject(9))), ("c.pem", BLOCK)]);
        let found: Vec<_> =
            find(&folder).entries().map(|entry| (entry.text, entry.place.line, entry.is_resent)).collect();
        assert_eq!(found[..2], [(0, Some(1), false), (0, Some(4), false)]);
        assert!(found[2].2 && found[3].2 && found[2].0 != found[3].0, "{found:?}");
        assert_eq!((found[2].1, found[3].1, found[4].1), (Some(7), Some(9), Some(1)));
        assert!(!found[..4].iter().any(|(text, ..)| *text == found[4].0), "{found:?}");
    }

    #[test]
    fn a_private_key_does_not_mark_the_next_file() {
        let folder = folder(&[("a.pem", KEY), ("b.pem", BLOCK)]);
        let marked: Vec<_> = find(&folder).entries().map(|entry| entry.is_next_to_private_key).collect();
        assert_eq!(marked, [true, false]);
    }

    #[test]
    fn a_position_displays_file_and_line() {
        let place = FilePosition { file: "a.pem".into(), line: Some(3) };
        assert_eq!(place.to_string(), "a.pem:3");
        assert_eq!(FilePosition { line: None, ..place }.to_string(), "a.pem");
    }
}
