//! The sandbox, seen through the AWS SDK for Python: a client written by others.

use std::collections::BTreeSet;
use std::path::Path;

use muster_sandbox::specimen::{Ca, Flaw, KeyKind};
use muster_sandbox::{Limiting, Rates, Sandbox, SandboxSettings};

use crate::python::python_with;

/// Every parameter, response field and exception of the three register calls, in boto3's spelling.
const ROWS: [&str; 48] = [
    "register_certificate_certificate_pem",
    "register_certificate_ca_certificate_pem",
    "register_certificate_set_as_active",
    "register_certificate_status",
    "register_certificate_certificate_arn",
    "register_certificate_certificate_id",
    "register_certificate_resource_already_exists",
    "register_certificate_invalid_request",
    "register_certificate_certificate_validation",
    "register_certificate_certificate_state",
    "register_certificate_certificate_conflict",
    "register_certificate_throttling",
    "register_certificate_unauthorized",
    "register_certificate_service_unavailable",
    "register_certificate_internal_failure",
    "register_certificate_without_ca_certificate_pem",
    "register_certificate_without_ca_status",
    "register_certificate_without_ca_certificate_arn",
    "register_certificate_without_ca_certificate_id",
    "register_certificate_without_ca_resource_already_exists",
    "register_certificate_without_ca_invalid_request",
    "register_certificate_without_ca_certificate_validation",
    "register_certificate_without_ca_certificate_state",
    "register_certificate_without_ca_throttling",
    "register_certificate_without_ca_unauthorized",
    "register_certificate_without_ca_service_unavailable",
    "register_certificate_without_ca_internal_failure",
    "register_ca_certificate_ca_certificate",
    "register_ca_certificate_verification_certificate",
    "register_ca_certificate_set_as_active",
    "register_ca_certificate_allow_auto_registration",
    "register_ca_certificate_registration_config_template_body",
    "register_ca_certificate_registration_config_role_arn",
    "register_ca_certificate_registration_config_template_name",
    "register_ca_certificate_tags",
    "register_ca_certificate_certificate_mode",
    "register_ca_certificate_certificate_arn",
    "register_ca_certificate_certificate_id",
    "register_ca_certificate_resource_not_found",
    "register_ca_certificate_resource_already_exists",
    "register_ca_certificate_registration_code_validation",
    "register_ca_certificate_invalid_request",
    "register_ca_certificate_certificate_validation",
    "register_ca_certificate_limit_exceeded",
    "register_ca_certificate_throttling",
    "register_ca_certificate_unauthorized",
    "register_ca_certificate_service_unavailable",
    "register_ca_certificate_internal_failure",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_behaves_as_boto3_expects() {
    let sandbox =
        Sandbox::start(SandboxSettings { limiting: Limiting::CountOnly, ..SandboxSettings::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("Plant CA");
    for (name, pem) in [
        ("ca", ca.pem()),
        ("leaf", ca.leaf("device")),
        ("expired", ca.flawed(Flaw::Expired, "device")),
        ("foreign", ca.flawed(Flaw::Foreign, "device")),
    ] {
        write(folder.path(), name, pem);
    }
    run("boto3_against_sandbox.py", &sandbox, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_checks_every_part_of_the_register_calls() {
    // The quota is enforced, but only a rate set by a row is ever reached.
    let templates = vec!["line-7".to_owned()];
    let settings = SandboxSettings { rates: Rates::all(1e6), templates, ..SandboxSettings::default() };
    let sandbox = Sandbox::start(settings).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for row in ROWS {
        write_certificates_of(row, folder.path(), &sandbox.registration_code());
    }
    for i in 0..11 {
        write(folder.path(), &format!("namesake-{i}"), Ca::new("Namesake").pem());
    }
    let Some(output) = run("boto3_register_calls.py", &sandbox, folder.path()).await else { return };
    let rows: BTreeSet<&str> = output.lines().collect();
    assert_eq!(rows, BTreeSet::from(ROWS));
}

/// Creates a CA and certificates for one row alone.
fn write_certificates_of(row: &str, folder: &Path, registration_code: &str) {
    let folder = folder.join(row);
    std::fs::create_dir(&folder).unwrap();
    let ca = Ca::new(row);
    for (name, pem) in [
        ("ca", ca.pem()),
        ("twin", ca.impostor(KeyKind::P256).pem()),
        ("leaf", ca.leaf("device")),
        ("expired", ca.flawed(Flaw::Expired, "device")),
        ("forged", ca.flawed(Flaw::WronglySigned, "device")),
        ("proof", ca.verification(registration_code)),
    ] {
        write(&folder, name, pem);
    }
}

fn write(folder: &Path, name: &str, pem: String) {
    std::fs::write(folder.join(name).with_extension("pem"), pem).unwrap();
}

/// Runs a script, asserts that it succeeds, and returns its output; `None` if there is no boto3.
async fn run(script: &str, sandbox: &Sandbox, folder: &Path) -> Option<String> {
    let mut python = python_with("boto3", "boto3>=1.40,<2")?;
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script));
    python.arg(sandbox.url()).arg(folder).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tokio::task::spawn_blocking(move || python.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
