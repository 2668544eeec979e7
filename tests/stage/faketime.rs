//! Wrong clocks for single processes, using `libfaketime` if it is installed.

use std::ffi::OsString;
use std::path::PathBuf;

/// Where Debian installs it.
const FOLDERS: [&str; 3] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];

/// Makes the clock of a process wrong, adjustable at any time.
#[derive(Clone, Debug)]
pub(crate) struct Faketime {
    library: PathBuf,
    /// Contains the clock's offset; read whenever the process reads the clock.
    file: PathBuf,
}

impl Faketime {
    /// Returns `None`, and prints that this is skipped, if `libfaketime` is not installed.
    pub(crate) fn find(file: PathBuf) -> Option<Self> {
        let libraries = FOLDERS.iter().map(|folder| PathBuf::from(folder).join("faketime/libfaketimeMT.so.1"));
        let Some(library) = libraries.into_iter().find(|library| library.exists()) else {
            eprintln!("SKIPPED: clocks do not jump, because libfaketime is not installed");
            return None;
        };
        let faketime = Self { library, file };
        faketime.set(0);
        Some(faketime)
    }

    /// Returns the environment that gives a program the wrong clock. Its monotonic clock stays right, as on a real
    /// machine.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// Sets the clock's offset to `seconds`.
    pub(crate) fn set(&self, seconds: i64) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }
}
