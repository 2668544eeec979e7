//! Python, for tests that look at Muster and its sandbox through a client that nobody here wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A python3 that can import boto3: as it is, or with a copy that pip brings into the target folder.
pub(crate) fn python_with_boto3() -> Option<Command> {
    let packages = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("boto3");
    if imports_boto3(&packages) || (install(&packages) && imports_boto3(&packages)) {
        return Some(python(&packages));
    }
    None
}

fn imports_boto3(packages: &Path) -> bool {
    python(packages).args(["-c", "import boto3"]).output().is_ok_and(|output| output.status.success())
}

fn install(packages: &Path) -> bool {
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "boto3>=1.40,<2", "--target"];
    python(packages).args(pip).arg(packages).output().is_ok_and(|output| output.status.success())
}

fn python(packages: &Path) -> Command {
    let mut command = Command::new("python3");
    // boto3 must not look at the account of whoever runs the test.
    command.env("PYTHONPATH", packages).env("AWS_CONFIG_FILE", "/dev/null").env_remove("AWS_PROFILE");
    command
}
