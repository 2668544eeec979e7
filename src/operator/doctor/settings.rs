//! Checks the settings: which file, which targets, and whether they are consistent.

use std::path::Path;

use super::{Check, Finding};
use crate::config::Config;
use crate::health::fit;

pub(super) fn check(config: &Config, file: Option<&Path>) -> Vec<Finding> {
    let file = file.map_or_else(|| "no settings file".to_owned(), |file| file.display().to_string());
    let names: Vec<_> = config.targets.keys().map(String::as_str).collect();
    let found = format!("{file}, targets {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") });
    let mismatches = fit::of_settings(config);
    let mismatches = mismatches.iter().map(|mismatch| Finding::mismatch(Check::Settings, "", mismatch));
    [Finding::ok(Check::Settings, "", found)].into_iter().chain(mismatches).collect()
}
