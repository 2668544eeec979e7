//! Files modeled on what people reported; the folder itself has the expected results.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use muster_core::certificate::CertificateId;
use serde_json::Value;

use super::registers;
use crate::factory::{BATCH, Factory};

/// Returns the folder, if this machine has it.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures/field");
    if !folder.exists() {
        println!("skipped: {} is missing", folder.display());
        return None;
    }
    Some(folder)
}

/// One row of the table of expected results.
struct Expected {
    file: String,
    ca: Option<String>,
    sent: BTreeSet<String>,
    n_rejected: u64,
    n_cas: u64,
}

fn table(folder: &Path) -> Vec<Expected> {
    let text = std::fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let rows = text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    rows.map(|row| Expected {
        file: row[0].to_owned(),
        ca: row[1].strip_prefix("--ca ").map(str::to_owned),
        sent: row[2].split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        n_rejected: row[3].parse().unwrap(),
        n_cas: row[4].parse().unwrap(),
    })
    .collect()
}

fn prefix(id: CertificateId) -> String {
    id.to_string()[..16].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_from_the_field_gives_the_expected_result() {
    let Some(folder) = folder() else { return };
    let mut factory = Factory::new(1000.0).await;
    factory.config.precheck.ca_folder = None;
    for expected in table(&folder) {
        let path = |name: &str| folder.join(name).display().to_string();
        let (file, ca) = (path(&expected.file), expected.ca.as_deref().map(path));
        let mut arguments = vec!["enqueue", "--json", "--batch", BATCH, &file];
        arguments.extend(ca.iter().flat_map(|ca| ["--ca", ca]));
        let (code, stdout, stderr) = factory.spawn(&arguments).wait().await;
        let what = format!("{} {:?}: {stderr}{stdout}", expected.file, expected.ca);
        let numbers: Value = serde_json::from_str(&stdout).expect(&what);
        let n_rejected: u64 = numbers["rejected"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        let sent: BTreeSet<_> =
            factory.take_jobs().await.iter().map(|job| prefix(job.request.certificate().unwrap().id())).collect();
        assert_eq!(
            (&sent, n_rejected, numbers["issuers"].as_u64()),
            (&expected.sent, expected.n_rejected, Some(expected.n_cas)),
            "{what}"
        );
        assert_eq!(code, Some(if n_rejected > 0 { 3 } else { 0 }), "{what}");
    }
}

#[test]
fn the_worker_gives_the_same_verdict_for_the_same_text() {
    let Some(folder) = folder() else { return };
    for expected in table(&folder).iter().filter(|expected| expected.ca.is_none()) {
        let path = folder.join(&expected.file);
        let files = if path.is_dir() {
            path.read_dir().unwrap().map(|file| file.unwrap().path()).collect()
        } else {
            vec![path]
        };
        // A bundle of several devices becomes several messages.
        let n_texts = files.len();
        if expected.sent.len() > n_texts
            || expected.sent.len() + usize::try_from(expected.n_rejected).unwrap() > n_texts
        {
            continue;
        }
        let found: BTreeSet<_> = files
            .iter()
            .filter_map(|file| {
                let text = muster::intake::manifest::read_text(file).unwrap();
                registers(&text).ok().map(prefix)
            })
            .collect();
        assert_eq!(found, expected.sent, "{}", expected.file);
    }
}
