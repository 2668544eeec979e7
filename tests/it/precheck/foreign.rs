//! Certificates shipped by vendors, checked against ids computed by others.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use base64::Engine;
use muster_core::certificate::{Certificate, pem};

use super::{check, job};

/// Reads one of the vendors' sample files, or prints that the folder is missing.
fn fixture(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures").join(name);
    let text = fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: {} is missing", path.display());
    }
    text
}

/// Returns the expected ids of one vendor's file.
fn expected_ids(source: &str) -> Option<BTreeSet<String>> {
    let table = fixture("expected_certificate_ids.tsv")?;
    let rows = table.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    Some(rows.filter(|row| row[0] == source).map(|row| row[3].to_owned()).collect())
}

fn checked_ids(pems: impl Iterator<Item = String>) -> BTreeSet<String> {
    pems.map(|pem| check(&job(pem)).result.expect("a vendor's certificate passes").id().to_string()).collect()
}

#[test]
fn espressif_certificates_have_the_expected_ids() {
    let source = "espressif/manifest-espressif.csv";
    let (Some(text), Some(expected)) = (fixture(source), expected_ids(source)) else { return };
    // The CSV contains the PEM text verbatim, so its blocks can be read without parsing the CSV.
    let pems = pem::blocks(&text).map(|block| pem::encode(pem::CERTIFICATE, &block.decode().unwrap()));
    assert_eq!(checked_ids(pems), expected);
}

#[test]
fn microchip_certificates_have_the_expected_ids() {
    let source = "microchip/ECC608C-TNGTLSU-B.json";
    let (Some(text), Some(expected)) = (fixture(source), expected_ids(source)) else { return };
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let pems = manifest.as_array().unwrap().iter().map(|entry| {
        let payload = entry["payload"].as_str().unwrap();
        let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
        let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        let leaf = payload["publicKeySet"]["keys"].as_array().unwrap().iter().find_map(|key| key["x5c"][0].as_str());
        let der = base64::engine::general_purpose::STANDARD.decode(leaf.unwrap()).unwrap();
        pem::encode(pem::CERTIFICATE, &der)
    });
    assert_eq!(checked_ids(pems), expected);
}

#[test]
fn a_certificate_valid_until_9999_is_read() {
    let name = "microchip/signers/MCHP_manifest_signer_5_Mar_6-2024_noExpiration.crt";
    let Some(text) = fixture(name) else { return };
    assert_eq!(Certificate::from_pem(&text).unwrap().not_after().year(), 9999);
}
