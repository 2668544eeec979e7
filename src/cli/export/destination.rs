//! Where an export goes: standard output, or a file that appears when it is whole.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};

/// Where an export goes.
pub(super) struct Destination {
    out: BufWriter<Box<dyn Write + Send>>,
    file: Option<Unfinished>,
}

/// A file that is being written.
struct Unfinished {
    file: File,
    path: PathBuf,
    part: PathBuf,
}

impl Destination {
    /// Opens it.
    ///
    /// # Errors
    /// The file is there already and is not to be replaced, or cannot be written.
    pub(super) fn open(path: Option<PathBuf>, is_forced: bool) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self { out: BufWriter::new(Box::new(io::stdout())), file: None });
        };
        if path.exists() && !is_forced {
            bail!("{} is there already: `--force` replaces it", path.display());
        }
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).with_context(|| format!("cannot write {}", part.display()))?;
        let out = BufWriter::new(Box::new(file.try_clone()?) as Box<dyn Write + Send>);
        Ok(Self { out, file: Some(Unfinished { file, path, part }) })
    }

    /// Says whether it is a file.
    pub(super) fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// Ends it; tells which file there is now.
    ///
    /// # Errors
    /// What the disk met; the unfinished file stays.
    pub(super) fn finish(mut self) -> anyhow::Result<Option<PathBuf>> {
        self.out.flush()?;
        let Some(Unfinished { file, path, part }) = self.file else { return Ok(None) };
        let put = || file.sync_all().and_then(|()| std::fs::rename(&part, &path));
        put().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Some(path))
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
