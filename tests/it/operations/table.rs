//! The table in docs/operations.md: every row names tests, and each of them exists.

use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = include_str!("../../../docs/operations.md");
const BOTO3: &str = include_str!("../sandbox/boto3.rs");

/// Returns the rows of the three tables: what each is about, and its tests.
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let section = PAGE.split("## The three operations").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().expect("a section has text");
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what "));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        (cells[0], cells[3].split(", ").map(|test| test.trim_matches('`')).collect())
    })
    .collect()
}

/// Returns the names of the tests in this folder, and of the rows checked with boto3.
fn tests() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/operations");
    let mut names = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let tests = text.split("#[tokio::test").skip(1).filter_map(|test| test.split("async fn ").nth(1));
        names.extend(tests.filter_map(|test| Some(test.split_once('(')?.0.to_owned())));
    }
    let rows = BOTO3.split("const ROWS").nth(1).unwrap().split("];").next().unwrap();
    names.extend(rows.split('"').skip(1).step_by(2).map(str::to_owned));
    names
}

#[test]
fn every_row_names_existing_tests() {
    let tests = tests();
    let rows = rows();
    assert!(rows.len() > 40, "{}", rows.len());
    for (what, names) in rows {
        for name in names {
            assert!(tests.contains(name), "{what}: no test is called {name}");
        }
    }
}

#[test]
fn every_boto3_check_has_a_row() {
    let named: BTreeSet<_> = rows().into_iter().flat_map(|(_, names)| names).collect();
    let rows = BOTO3.split("const ROWS").nth(1).unwrap().split("];").next().unwrap();
    for name in rows.split('"').skip(1).step_by(2) {
        assert!(named.contains(name), "{name} has no row in docs/operations.md");
    }
}
