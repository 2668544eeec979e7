//! Keys and proofs written by OpenSSL, if the machine has it.

use std::process::Command;

use muster_sandbox::specimen::{Ca, KeyKind};

use super::Setup;

/// Runs an OpenSSL command line in the folder of the setup; returns false if there is no OpenSSL, which skips the test
/// visibly.
fn run(setup: &Setup, line: &str) -> bool {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).current_dir(setup.factory.folder()).output();
    let Ok(output) = output else {
        eprintln!("skipped: openssl is not installed");
        return false;
    };
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_openssl_commands_produce_a_valid_proof() {
    let setup = Setup::new().await;
    let (_, _, stderr) = setup.ca("code").await;
    for command in stderr.lines().filter(|line| line.starts_with("  openssl ")) {
        if !run(&setup, command.trim()) {
            return;
        }
    }
    let (code, report) = setup.register("ca.pem --verification verification.pem").await;
    assert_eq!(code, Some(0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn older_key_formats_work_and_encrypted_keys_are_rejected() {
    let setup = Setup::new().await;
    let rsa = Ca::with_key(KeyKind::Rsa2048, "RSA CA");
    setup.write("rsa.pem", &rsa.pem());
    setup.write("rsa.key", &rsa.key_pem());
    for line in [
        "openssl ec -in ca.key -out sec1.key",
        "openssl rsa -in rsa.key -traditional -out pkcs1.key",
        "openssl pkcs8 -topk8 -in ca.key -passout pass:secret -out encrypted.key",
        "openssl rsa -in rsa.key -traditional -aes128 -passout pass:secret -out older.key",
    ] {
        if !run(&setup, line) {
            return;
        }
    }
    for (ca, key, label) in [("ca.pem", "sec1.key", "EC PRIVATE KEY"), ("rsa.pem", "pkcs1.key", "RSA PRIVATE KEY")] {
        let text = std::fs::read_to_string(setup.factory.folder().join(key)).unwrap();
        assert!(text.contains(&format!("BEGIN {label}")), "{text}");
        let (code, report) = setup.register(&format!("{ca} --key {key}")).await;
        assert_eq!(code, Some(0), "{report}");
    }
    for (ca, key) in [("ca.pem", "encrypted.key"), ("rsa.pem", "older.key")] {
        let (code, _, stderr) = setup.ca(&format!("register {ca} --key {key}")).await;
        assert!(
            code == Some(2) && stderr.contains("error: the private key is encrypted\nhint: decrypt it"),
            "{stderr}"
        );
    }
}
