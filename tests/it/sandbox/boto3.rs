//! The sandbox, seen through the AWS SDK for Python: a client that nobody here wrote.

use std::path::Path;

use muster::sandbox::{Limiting, Sandbox, Settings};
use muster::specimen::{Ca, Flaw};

use crate::python::python_with;

#[tokio::test(flavor = "multi_thread")]
async fn boto3_finds_what_it_expects() {
    let Some(mut python) = python_with("boto3", "boto3>=1.40,<2") else { return };
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
