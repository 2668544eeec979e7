//! Checks that the groups of `src` depend on each other in one direction only, along the arrows listed here, and that
//! the documents name files that exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each group with the groups that it may use, from the bottom up. A group may only use groups listed above it, so the
/// list cannot contain a cycle.
const ARROWS: [(&str, &[&str]); 12] = [
    ("runtime", &[]),
    ("config", &[]),
    ("ledger", &["config", "runtime"]),
    ("aws", &["config", "runtime"]),
    ("telemetry", &["config", "ledger", "aws"]),
    ("health", &["config", "runtime", "ledger", "aws"]),
    ("intake", &["config", "runtime", "aws"]),
    ("quota", &["runtime", "ledger", "telemetry", "health"]),
    ("engine", &["config", "runtime", "ledger", "aws", "telemetry", "health", "intake", "quota"]),
    ("operator", &["config", "runtime", "ledger", "aws", "telemetry", "health", "intake", "quota"]),
    ("http", &["config", "runtime", "ledger", "aws", "telemetry", "health", "engine", "operator"]),
    ("cli", &["config", "runtime", "ledger", "aws", "telemetry", "health", "intake", "engine", "operator", "http"]),
];

/// Maximum number of layers between the commands and the pure crate.
const LAYERS_MAX: usize = 6;

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Returns the names after `crate::` in code; comments may refer to anything.
fn uses(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1)).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn groups_use_exactly_the_groups_listed() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed = BTreeMap::from(ARROWS);
    let mut wrong = Vec::new();
    let mut unused: BTreeMap<&str, Vec<&str>> = ARROWS.map(|(group, may_use)| (group, may_use.to_vec())).into();
    for path in files_below(&source) {
        let name = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        let group = name.split(['/', '.']).next().unwrap();
        let Some((&group, may_use)) = allowed.get_key_value(group) else {
            assert!(["lib", "main"].contains(&group), "{name} belongs to no group");
            continue;
        };
        for used in uses(&fs::read_to_string(&path).unwrap()) {
            unused.get_mut(group).unwrap().retain(|listed| *listed != used);
            if used != group && !may_use.contains(&used) {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that are not on the list: {wrong:#?}");
    unused.retain(|_, listed| !listed.is_empty());
    assert!(unused.is_empty(), "arrows on the list that nothing needs: {unused:#?}");
}

#[test]
fn the_list_has_no_cycle_and_few_layers() {
    let mut layers: BTreeMap<&str, usize> = BTreeMap::new();
    for (group, may_use) in ARROWS {
        let below = may_use
            .iter()
            .map(|used| layers.get(used).unwrap_or_else(|| panic!("{group} uses {used}, listed below it")));
        let layer = below.max().map_or(1, |layer| layer + 1);
        layers.insert(group, layer);
    }
    let between = layers["cli"] - 1;
    assert!(between <= LAYERS_MAX, "{between} layers between cli and muster_core: {layers:?}");
}

/// Returns the paths of files and folders in a Markdown text.
fn paths_named(text: &str) -> impl Iterator<Item = &str> {
    let is_path = |word: &&str| {
        let is_file = [".rs", ".md", ".toml", ".yml", ".json"].iter().any(|extension| word.ends_with(extension));
        (is_file || word.ends_with('/')) && !word.contains([' ', '*', '('])
    };
    text.split('`').skip(1).step_by(2).filter(is_path)
}

#[test]
fn the_documents_on_the_architecture_name_existing_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (document, n_min) in [("ARCHITECTURE.md", 40), ("docs/where_to_change.md", 40)] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let exists = |path: &&str| root.join(path).exists() || root.join("src").join(path).exists();
        let (found, wrong): (Vec<_>, Vec<_>) = paths_named(&text).partition(exists);
        assert!(wrong.is_empty(), "{document} names files that do not exist: {wrong:#?}");
        assert!(found.len() >= n_min, "{document} names only {}", found.len());
    }
}
