//! The output of `muster config show`: all settings with their origins, as TOML for people or as JSON.
//!
//! Values are shown as the structs serialize them, so a secret is masked whatever its origin.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};

use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use super::keys::{self, Path};
use super::layers::Settings;
use super::origin::Origin;

/// All settings, ready for display.
#[derive(Debug, Serialize)]
pub struct ShownConfig {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// The settings, in the order of the structs.
    #[serde(serialize_with = "by_key")]
    pub settings: Vec<Setting>,
}

/// One setting, ready for display.
#[derive(Debug, Serialize)]
pub struct Setting {
    /// Its key.
    #[serde(skip)]
    pub key: Path,
    /// Its value. Secrets are masked; null if it is not set.
    pub value: Json,
    /// Its origin.
    #[serde(flatten)]
    pub origin: Origin,
}

impl Settings {
    /// Returns the value and origin of every key.
    pub fn shown(&self) -> ShownConfig {
        let values = serde_json::to_value(&self.config).expect("settings are plain values");
        let paths = keys::keys().flat_map(|key| {
            if key.path.has_wildcard() {
                self.config.targets.keys().map(|target| key.path.named(target)).collect()
            } else {
                vec![key.path.clone()]
            }
        });
        let setting = |key: Path| Setting {
            value: key.0.iter().fold(&values, |value, part| &value[part.as_str()]).clone(),
            origin: self.origin(&key).clone(),
            key,
        };
        ShownConfig { file: self.file.clone(), settings: paths.map(setting).collect() }
    }
}

fn by_key<S: Serializer>(settings: &[Setting], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(settings.iter().map(|setting| (setting.key.to_string(), setting)))
}

/// Writes a settings file with the same effect, except for masked secrets.
impl fmt::Display for ShownConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().map(FilePath::display);
        match file {
            Some(file) => writeln!(f, "# settings file: {file}")?,
            None => writeln!(f, "# settings file: none; --config or MUSTER_CONFIG names one")?,
        }
        let lines: Vec<_> = self.settings.iter().map(Setting::line).collect();
        let width = lines.iter().map(String::len).max().unwrap_or_default();
        for (line, setting) in lines.iter().zip(&self.settings) {
            writeln!(f, "{line:width$}  # {}", setting.origin)?;
        }
        Ok(())
    }
}

impl Setting {
    // A JSON string or number is also valid TOML.
    fn line(&self) -> String {
        if self.value.is_null() {
            format!("# {} is not set", self.key)
        } else {
            format!("{} = {}", self.key, self.value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::config::layers::{File, Flag};

    fn settings() -> Settings {
        let flag = |key: &str, value: &str| Flag { flag: "--set", key: key.to_owned(), value: value.to_owned() };
        let file = File { path: "f".into(), text: "targets.\"plant.1\".rates.register_certificate = 20".to_owned() };
        let flags = vec![flag("database.url", "postgres://ada:secret@db/muster"), flag("admin.listen", "off")];
        Sources { file: Some(file), flags, ..Sources::default() }.merge().unwrap()
    }

    #[test]
    fn no_view_shows_a_secret() {
        let shown = settings().shown();
        for view in [shown.to_string(), serde_json::to_string(&shown).unwrap(), format!("{:?}", settings())] {
            assert!(view.contains("database") && !view.contains("secret@"), "{view}");
        }
    }

    #[test]
    fn the_text_is_an_equivalent_settings_file() {
        let settings = settings();
        let file = File { path: "g".into(), text: settings.shown().to_string() };
        let again = Sources { file: Some(file), ..Sources::default() }.merge().unwrap();
        let values = |settings: &Settings| settings.shown().settings.into_iter().map(|s| (s.key, s.value)).collect();
        let (values, values_again): (Vec<_>, Vec<_>) = (values(&settings), values(&again));
        assert_eq!(values, values_again);
    }

    #[test]
    fn json_has_a_value_and_an_origin_for_every_key() {
        let shown = serde_json::to_value(settings().shown()).unwrap();
        let setting = &shown["settings"]["targets.\"plant.1\".rates.register_certificate"];
        assert_eq!(setting, &serde_json::json!({ "value": 20.0, "origin": "file", "path": "f", "line": 1 }));
        assert_eq!(shown["settings"]["aws.region"], serde_json::json!({ "value": null, "origin": "default" }));
        assert_eq!(shown["settings"]["admin.listen"]["flag"], "--set");
    }
}
