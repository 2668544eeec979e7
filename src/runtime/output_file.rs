//! An output file whose path the user chose.
//!
//! Invariant: a regular file is replaced as a whole or stays unchanged. The content goes to a temporary file in the
//! same folder, which is renamed over the old file at the end. Anything that is not a regular file (device, FIFO,
//! socket, open descriptor) is never replaced, but written to directly. Symlinks stay: the file they point to is
//! replaced.
//!
//! Opening detects a path that cannot be written, so that a command fails before it does its work. Deliberately not
//! here: whether an existing file may be replaced, and what to do when a reader goes away. Both differ between
//! commands.

use std::borrow::Cow;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, fchown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use muster_core::advice::Advice;
use tempfile::NamedTempFile;

/// Maximum number of symlinks that are followed, as in Linux.
const LINKS_MAX: usize = 40;

/// An output file that is being written. A regular file is not replaced before [`OutputFile::finish`].
pub struct OutputFile {
    path: PathBuf,
    out: BufWriter<Sink>,
}

/// Who chose the path of an output file.
#[derive(Clone, Copy, Debug)]
pub enum ChosenBy {
    /// The user, with this option.
    Option(&'static str),
    /// Muster, which creates the file in the current folder. This option chooses another path.
    Default(&'static str),
}

/// Why an output file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct OutputFileError {
    path: PathBuf,
    chosen_by: ChosenBy,
    error: io::Error,
}

/// Where the bytes go.
enum Sink {
    /// Directly to where the path leads.
    Stream(Box<dyn Write + Send>),
    /// To a temporary file that becomes `target` at the end.
    Replacement { file: NamedTempFile, target: PathBuf, is_target_there: bool },
}

impl OutputFile {
    /// Opens a path for writing. An existing regular file stays unchanged until [`OutputFile::finish`].
    ///
    /// Blocks until there is a reader if the path is a FIFO.
    ///
    /// # Errors
    /// The folder is missing or read-only, or whatever exists at the path cannot be written to.
    pub fn open(path: PathBuf, chosen_by: ChosenBy) -> Result<Self, OutputFileError> {
        match Sink::open(&path) {
            Ok(sink) => Ok(Self { path, out: BufWriter::new(sink) }),
            Err(error) => Err(OutputFileError { path, chosen_by, error }),
        }
    }

    /// Returns the path as the user wrote it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether [`OutputFile::finish`] replaces a regular file, one that existed when the path was opened.
    pub fn replaces_file(&self) -> bool {
        matches!(self.out.get_ref(), Sink::Replacement { is_target_there: true, .. })
    }

    /// Writes what is buffered and moves a regular file into place.
    ///
    /// # Errors
    /// The file cannot be written. A regular file that existed before is unchanged.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        let Self { path, out } = self;
        let sink = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        sink.finish().map_err(|error| naming(&path, &error))
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).map_err(|error| naming(&self.path, &error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().map_err(|error| naming(&self.path, &error))
    }
}

impl OutputFileError {
    /// Returns how the user can fix the error.
    pub fn hint(&self) -> String {
        match self.chosen_by {
            ChosenBy::Option(option) => {
                format!("`{option} FILE` needs a folder that exists and that you may write to, or a device or FIFO")
            }
            ChosenBy::Default(option) => {
                format!(
                    "without `{option}` the file is created in the current folder: `{option} FILE` chooses another path"
                )
            }
        }
    }
}

/// Adds the path to a system error and keeps its kind.
fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl Sink {
    fn open(path: &Path) -> io::Result<Self> {
        let path = follow_links(path)?;
        if is_descriptor(&path) {
            return Ok(Self::Stream(open_descriptor(&path)?));
        }
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => Self::replacing(path, &found),
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if found.file_type().is_socket() => Ok(Self::Stream(Box::new(UnixStream::connect(path)?))),
            Ok(_) => Ok(Self::Stream(Box::new(File::options().write(true).open(path)?))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::creating(path),
            Err(error) => Err(error),
        }
    }

    fn replacing(target: PathBuf, found: &Metadata) -> io::Result<Self> {
        // A rename only needs permission on the folder, but a write-protected file must not be replaced either.
        File::options().write(true).open(&target)?;
        let file = temporary_file(&target, 0o600)?;
        // Only root can give files away; any other user becomes the owner. The owner is set first, because changing it
        // clears bits of the mode.
        let _ = fchown(file.as_file(), Some(found.uid()), Some(found.gid()));
        file.as_file().set_permissions(found.permissions())?;
        Ok(Self::Replacement { file, target, is_target_there: true })
    }

    fn creating(target: PathBuf) -> io::Result<Self> {
        if target.file_name().is_none() || target.as_os_str().as_bytes().ends_with(b"/") {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let file = temporary_file(&target, 0o666)?;
        Ok(Self::Replacement { file, target, is_target_there: false })
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Stream(mut out) => out.flush(),
            Self::Replacement { file, target, .. } => {
                // Otherwise a crash of the machine could leave an empty file under the new name.
                file.as_file().sync_all()?;
                file.persist(target)?;
                Ok(())
            }
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(out) => out.write(bytes),
            Self::Replacement { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(out) => out.flush(),
            Self::Replacement { file, .. } => file.flush(),
        }
    }
}

/// Creates a temporary file next to `target`, with `mode` minus the umask. It is removed unless it is renamed.
fn temporary_file(target: &Path, mode: u32) -> io::Result<NamedTempFile> {
    // Opened here, because the errors of `tempfile` name the temporary file, which means nothing to the user.
    let open = |path: &Path| File::options().write(true).create_new(true).mode(mode).open(path);
    tempfile::Builder::new().prefix(".muster-").suffix(".part").make_in(folder_of(target), open)
}

/// Returns the folder that contains a path.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Follows symlinks to the last path, which need not exist, or to an open descriptor.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if is_descriptor(&path) {
            return Ok(path);
        }
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            // Nothing exists there, or it is not a link.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    // Too many links: let the system report the loop.
    fs::metadata(&path).map(|_| path)
}

/// Returns whether the path is an open descriptor of a process, which is where `/dev/stdout`, `/dev/fd/63` or
/// `/proc/self/fd/1` lead. Read as a link, it does not always yield a path (`pipe:[42]`), and a file behind it was
/// opened by someone else.
fn is_descriptor(path: &Path) -> bool {
    let Ok(folder) = folder_of(path).canonicalize() else { return false };
    folder == Path::new("/dev/fd") || (folder.starts_with("/proc") && folder.ends_with("fd"))
}

fn open_descriptor(path: &Path) -> io::Result<Box<dyn Write + Send>> {
    // Opening it a second time would start at its own offset and overwrite other output of this process.
    match own_descriptor(path).as_deref() {
        Some("1") => return Ok(Box::new(File::from(duplicate(&io::stdout())?))),
        Some("2") => return Ok(Box::new(File::from(duplicate(&io::stderr())?))),
        _ => {}
    }
    // Append to what the file already contains, as writing to the descriptor itself would.
    Ok(Box::new(File::options().append(true).open(path)?))
}

/// Returns the number of a descriptor, if it is one of this process.
fn own_descriptor(path: &Path) -> Option<String> {
    let folder = folder_of(path).canonicalize().ok()?;
    let own = Path::new("/proc").join(std::process::id().to_string());
    let is_own = folder == Path::new("/dev/fd") || folder.starts_with(own);
    is_own.then(|| path.file_name()?.to_str().map(str::to_owned))?
}

fn duplicate(stream: &impl AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

impl Advice for OutputFileError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Self::hint(self).into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};

    use super::*;

    fn open(path: &Path) -> Result<OutputFile, OutputFileError> {
        OutputFile::open(path.to_owned(), ChosenBy::Option("--output"))
    }

    fn write(path: &Path, text: &str) -> io::Result<()> {
        let mut file = open(path).unwrap();
        file.write_all(text.as_bytes())?;
        file.finish()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// Returns the names in a folder, so that a test sees what was left there.
    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    fn run(program: &str, arguments: &[&str]) -> bool {
        Command::new(program).args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Creates a device like one of /dev, so that no test can replace a real one.
    fn device(path: &Path, minor: &str) -> bool {
        let is_made = run("mknod", &[path.to_str().unwrap(), "c", "1", minor]);
        if !is_made {
            println!("skipped: only root can create device nodes");
        }
        is_made
    }

    fn fifo(path: &Path) {
        assert!(run("mkfifo", &[path.to_str().unwrap()]), "mkfifo is part of coreutils");
    }

    #[test]
    fn a_new_file_has_the_mode_that_the_umask_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, usual) = (folder.path().join("ours"), folder.path().join("usual"));
        write(&ours, "new").unwrap();
        File::create(&usual).unwrap();
        assert_eq!((fs::read_to_string(&ours).unwrap().as_str(), mode(&ours)), ("new", mode(&usual)));
        assert_eq!(names(folder.path()), ["ours", "usual"]);
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_shows_old_content_until_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let mut file = open(&path).unwrap();
        assert!(file.replaces_file());
        file.write_all(b"new").unwrap();
        file.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        file.finish().unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("new", 0o640));
    }

    #[test]
    fn an_unfinished_file_leaves_only_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        let mut file = open(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.flush().unwrap();
        drop(file);
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(folder.path())), ("old", vec!["file".into()]));
    }

    #[test]
    fn a_symlink_stays_and_the_file_it_points_to_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("sub/file"), "old").unwrap();
        symlink("sub/second", at("first")).unwrap();
        // Relative to its own folder, not to ours.
        symlink("file", at("sub/second")).unwrap();
        write(&at("first"), "new").unwrap();
        assert!(at("first").is_symlink() && at("sub/second").is_symlink());
        assert!(!at("sub/file").is_symlink());
        assert_eq!(fs::read_to_string(at("sub/file")).unwrap(), "new");
        assert_eq!(
            (names(folder.path()), names(&at("sub"))),
            (vec!["first".into(), "sub".into()], vec!["file".to_owned(), "second".into()])
        );
    }

    #[test]
    fn a_dangling_symlink_creates_its_target() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("target", &link).unwrap();
        let file = open(&link).unwrap();
        assert!(!file.replaces_file());
        drop(file);
        write(&link, "new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(folder.path().join("target")).unwrap(), "new");

        symlink("no-folder/target", folder.path().join("lost")).unwrap();
        assert_eq!(open(&folder.path().join("lost")).err().unwrap().error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_loop_of_symlinks_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        let error = open(&folder.path().join("a")).err().unwrap();
        assert!(error.to_string().contains("symbolic links"), "{error}");
    }

    /// Premise: a rename over a device node, as root, replaces the node for the whole machine.
    #[test]
    fn a_device_is_written_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (node, link) = (folder.path().join("null"), folder.path().join("link"));
        if !device(&node, "3") {
            return;
        }
        symlink("null", &link).unwrap();
        let before = fs::metadata(&node).unwrap();
        for path in [&node, &link] {
            let file = open(path).unwrap();
            assert!(!file.replaces_file());
            drop(file);
            write(path, "gone").unwrap();
        }
        let after = fs::symlink_metadata(&node).unwrap();
        assert!(after.file_type().is_char_device() && link.is_symlink());
        assert_eq!((after.ino(), after.mode()), (before.ino(), before.mode()));
        assert_eq!(names(folder.path()), ["link", "null"]);
    }

    #[test]
    fn a_full_device_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("full");
        if !device(&node, "7") {
            return;
        }
        let error = write(&node, "text").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with(node.to_str().unwrap()), "{error}");
        assert!(fs::symlink_metadata(&node).unwrap().file_type().is_char_device());
    }

    #[test]
    fn a_fifo_is_written_to_its_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        fifo(&path);
        let reader = Command::new("cat").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
        write(&path, "through").unwrap();
        assert_eq!(reader.wait_with_output().unwrap().stdout, b"through");
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
    }

    /// Premise: a reader without a writer waits forever.
    #[test]
    fn a_fifo_reader_sees_the_end_if_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        fifo(&path);
        let reader = Command::new("cat").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
        drop(open(&path).unwrap());
        assert_eq!(reader.wait_with_output().unwrap().stdout, b"");
    }

    #[test]
    fn a_fifo_whose_reader_went_away_is_a_broken_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        fifo(&path);
        let mut reader = Command::new("head").args(["-c", "0"]).arg(&path).spawn().unwrap();
        let mut file = open(&path).unwrap();
        assert!(reader.wait().unwrap().success());
        file.write_all(b"too late").unwrap();
        assert_eq!(file.finish().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_socket_is_connected_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        write(&path, "through").unwrap();
        assert_eq!(io::read_to_string(listener.accept().unwrap().0).unwrap(), "through");
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    }

    #[test]
    fn an_unwritable_path_fails_when_opened() {
        let folder = tempfile::tempdir().unwrap();
        // Root can write to any folder, so this uses a missing one and one where the kernel lets no one create files.
        let missing = "No such file or directory (os error 2)";
        for (path, why) in [
            (folder.path().join("none/file"), missing),
            (PathBuf::from("/proc/file"), missing),
            (folder.path().join("new/"), "is a directory"),
        ] {
            let error = open(&path).err().unwrap_or_else(|| panic!("{} can be opened", path.display()));
            assert_eq!(error.to_string(), format!("{}: {why}", path.display()));
            assert!(error.hint().contains("`--output FILE`"), "{}", error.hint());
        }
        assert_eq!(open(folder.path()).err().unwrap().error.kind(), io::ErrorKind::IsADirectory);
        let chosen_by = ChosenBy::Default("--rejects");
        let hint = OutputFile::open("/proc/file".into(), chosen_by).err().unwrap().hint();
        assert!(hint.contains("current folder") && hint.contains("`--rejects FILE`"), "{hint}");
        assert_eq!(names(folder.path()).len(), 0);
    }

    /// Premise: a pipe that a shell creates for `>(command)` is one of our descriptors and has no name to replace.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_among_our_descriptors_is_written_while_it_has_a_reader() {
        use std::io::Read;
        use std::os::fd::AsRawFd;

        let (mut reader, writer) = io::pipe().unwrap();
        let path = PathBuf::from(format!("/dev/fd/{}", writer.as_raw_fd()));
        write(&path, "through").unwrap();
        let mut text = [0; 7];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"through");
        drop(reader);
        // A process that another test forks holds a copy of the reader until it calls exec.
        let error = std::iter::repeat_with(|| write(&path, "too late")).find_map(|written| {
            std::thread::yield_now();
            written.err()
        });
        assert_eq!(error.unwrap().kind(), io::ErrorKind::BrokenPipe);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_behind_a_descriptor_is_appended_to_and_not_replaced() {
        use std::os::fd::AsRawFd;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut opened = File::create(&path).unwrap();
        opened.write_all(b"first ").unwrap();
        write(&PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd())), "second").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first second");
        assert_eq!(fs::metadata(&path).unwrap().ino(), opened.metadata().unwrap().ino());
    }
}
