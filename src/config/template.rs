//! The text of `config/muster.toml`: every key with its default and what it is for.
//!
//! It is made from the structs and checked in, so that it can be read without running anything.

use std::fmt::Write;

use super::keys::{Section, SettingKey, sections};
use muster_core::job::DEFAULT_TARGET;

const HEAD: &str = "\
# Every setting of Muster with its default; what is commented out has none, and shows an example.
# Muster reads the file that --config or MUSTER_CONFIG names, and no other.
# What the environment sets wins over the file: `queue.name` is MUSTER__QUEUE__NAME. What `--set queue.name=jobs` sets
# wins over both. `muster config show` prints what holds and where it comes from.
# Times have a unit: 100ms, 8s, 5m.
# Made by `muster config template`.
";

/// Writes a file with every key.
pub fn template() -> String {
    let with_keys = sections().iter().filter(|section| !section.keys.is_empty());
    with_keys.fold(HEAD.to_owned(), |text, section| text + &table(section))
}

fn table(section: &Section) -> String {
    let mut text = format!("\n# {}\n[{}]\n", section.comment, section.path.named(DEFAULT_TARGET));
    for key in &section.keys {
        text.push_str(&lines(key));
    }
    text
}

fn lines(key: &SettingKey) -> String {
    let name = key.path.0.last().expect("a key has a name");
    let mut text = format!("# {}\n", key.comment);
    // A text or number of JSON is one of TOML too.
    let (mark, value) = if key.default.is_null() { ("# ", &key.example) } else { ("", &key.default) };
    writeln!(text, "{mark}{name} = {value}").expect("a string takes all text");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::config::layers::File;

    #[test]
    fn the_file_in_the_repository_is_the_template() {
        let file = include_str!("../../config/muster.toml");
        assert_eq!(file, template(), "run `cargo run -- config template > config/muster.toml`");
    }

    #[test]
    fn the_template_sets_nothing_but_defaults() {
        let file = File { path: "f".into(), text: template() };
        let settings = Sources { file: Some(file), ..Sources::default() }.merge().unwrap();
        let values = |shown: crate::config::show::ShownConfig| shown.settings.into_iter().map(|s| (s.key, s.value));
        let defaults = Sources::default().merge().unwrap();
        assert!(values(settings.shown()).eq(values(defaults.shown())));
    }
}
