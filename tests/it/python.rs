//! Python packages for tests that run other programs against ours.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns a python3 that can import a module, either as installed or from a copy that pip installs into the target
/// folder. Returns `None` if neither is possible; the caller then skips its test visibly.
pub(crate) fn python_with(module: &str, requirement: &str) -> Option<Command> {
    let packages = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(module);
    if imports(module, &packages) || (install(&[requirement], &packages) && imports(module, &packages)) {
        return Some(python(&packages));
    }
    eprintln!("skipped: there is no python3 with {module} here, and pip cannot install it");
    None
}

/// Returns a file of a Python package, which pip installs into the target folder without its dependencies. Returns `None`
/// if that is not possible; the caller then skips its check visibly.
pub(crate) fn file_of(requirement: &str, file: &str) -> Option<PathBuf> {
    let packages = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(requirement);
    let path = packages.join(file);
    let is_there = path.exists() || (install(&["--no-deps", requirement], &packages) && path.exists());
    if !is_there {
        eprintln!("skipped: pip cannot install {requirement} here");
    }
    is_there.then_some(path)
}

fn imports(module: &str, packages: &Path) -> bool {
    python(packages).args(["-c", &format!("import {module}")]).output().is_ok_and(|output| output.status.success())
}

fn install(requirement: &[&str], packages: &Path) -> bool {
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
    python(packages).args(pip).arg(packages).args(requirement).output().is_ok_and(|output| output.status.success())
}

fn python(packages: &Path) -> Command {
    let mut command = Command::new("python3");
    // boto3 must not use the AWS account of the user who runs the test.
    command.env("PYTHONPATH", packages).env("AWS_CONFIG_FILE", "/dev/null").env_remove("AWS_PROFILE");
    command
}
