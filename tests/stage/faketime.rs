//! Wrong clocks for single processes: `libfaketime`, where the machine has it.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where Debian puts it.
const FOLDERS: [&str; 3] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];

/// Makes the clock of a process wrong, at any time.
#[derive(Clone, Debug)]
pub(crate) struct Faketime {
    library: PathBuf,
    /// Holds how far the clock is off; read at every look at the clock.
    file: PathBuf,
}

impl Faketime {
    /// None, and a line that says so, where the machine has no `libfaketime`.
    pub(crate) fn find(file: PathBuf) -> Option<Self> {
        let libraries = FOLDERS.iter().map(|folder| PathBuf::from(folder).join("faketime/libfaketimeMT.so.1"));
        let Some(library) = libraries.into_iter().find(|library| library.exists()) else {
            eprintln!("SKIPPED: clocks do not jump, as libfaketime is not here");
            return None;
        };
        let faketime = Self { library, file };
        faketime.set(0);
        Some(faketime)
    }

    /// What puts a program under the wrong clock. What it measures time spans with stays right, as on a real machine.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// Lets the clock be off by so many seconds.
    pub(crate) fn set(&self, seconds: i64) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }
}
