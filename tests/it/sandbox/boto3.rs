//! The sandbox, seen through the AWS SDK for Python: a client that nobody here wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use muster::sandbox::{Limiting, Sandbox, Settings};
use muster::specimen::{Ca, Flaw};

#[tokio::test(flavor = "multi_thread")]
async fn boto3_finds_what_it_expects() {
    let Some(mut python) = python_with_boto3() else {
        eprintln!("skipped: there is no python3 with boto3 here, and pip cannot bring it");
        return;
    };
    let sandbox = Sandbox::start(Settings { limiting: Limiting::CountOnly, ..Settings::default() }).await.unwrap();
    let folder = certificates();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/boto3_against_sandbox.py");
    python.arg(script).arg(sandbox.url()).arg(folder.path());
    let output = tokio::task::spawn_blocking(move || python.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with a CA and certificates, by what they are.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("Plant CA");
    for (name, pem) in [
        ("ca", ca.pem()),
        ("leaf", ca.leaf("device")),
        ("expired", ca.flawed(Flaw::Expired, "device")),
        ("foreign", ca.flawed(Flaw::Foreign, "device")),
    ] {
        std::fs::write(folder.path().join(name).with_extension("pem"), pem).unwrap();
    }
    folder
}

/// A python3 that can import boto3: as it is, or with a copy that pip brings into the target folder.
fn python_with_boto3() -> Option<Command> {
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
