//! The layers of the settings: defaults, shared variables, file, environment, flags. A later layer wins, key by key.
//!
//! Every setting remembers its origin. An unknown key or an invalid value is an error in every layer. The sources
//! contain secrets in plain text, so they do not implement `Debug`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::Config;
use super::error::ConfigError;
use super::keys::{self, Path, ValueError};
use super::origin::Origin;

/// Prefix of the environment variables that are settings: `MUSTER__SECTION__KEY`.
const PREFIX: &str = "MUSTER__";

/// Stands for a dot in the name of a variable.
const DOT: &str = "__";

/// Variables that other programs also read, and their keys. They may be meant for those programs, so they only replace
/// the default: anything set for Muster itself wins, including its file.
const SHARED: [(&str, &str); 1] = [("DATABASE_URL", "database.url")];

/// Two mutually exclusive keys.
const EXCLUSIVE: (&str, &str) = ("database.url_file", "database.url_command");

/// Everything that settings are merged from.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file.
    pub file: Option<File>,
    /// The environment variables. Those that are not Muster's are ignored.
    pub environment: BTreeMap<String, String>,
    /// The settings of the command line, in order.
    pub flags: Vec<Flag>,
}

/// A settings file.
#[derive(Clone)]
pub struct File {
    /// Its path, for messages.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

/// A setting on the command line.
#[derive(Clone)]
pub struct Flag {
    /// The flag.
    pub flag: &'static str,
    /// The dotted key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// The merged settings and their origins.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The settings.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    origins: BTreeMap<Path, Origin>,
}

impl Sources {
    /// Merges the layers; a later layer wins, key by key.
    ///
    /// # Errors
    /// [`ConfigError`] for the first unknown key or invalid value, or if two keys exclude each other.
    pub fn merge(&self) -> Result<Settings, ConfigError> {
        let mut layers = Layers::default();
        layers.add_shared_variables(&self.environment)?;
        if let Some(file) = &self.file {
            layers.add_file(file)?;
        }
        layers.add_variables(&self.environment)?;
        for Flag { flag, key, value } in &self.flags {
            layers.add_text(Path::dotted(key), value, Origin::Flag { flag })?;
        }
        layers.check_exclusive()?;
        Ok(layers.settings(self.file.as_ref().map(|file| file.path.clone())))
    }
}

impl Settings {
    /// Returns where the value of a key comes from.
    pub fn origin(&self, key: &Path) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

/// The values set so far, ordered by path: a table comes before its entries.
#[derive(Default)]
struct Layers(BTreeMap<Path, (Value, Origin)>);

impl Layers {
    fn add_file(&mut self, file: &File) -> Result<(), ConfigError> {
        let origin = |at: usize| Origin::File {
            path: file.path.clone(),
            line: 1 + file.text.bytes().take(at).filter(|&byte| byte == b'\n').count(),
        };
        let document = DeTable::parse(&file.text).map_err(|error| ConfigError::Syntax {
            place: origin(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        self.add_table(&Path(vec![]), document.into_inner(), &origin)
    }

    fn add_table(
        &mut self,
        path: &Path,
        table: DeTable<'_>,
        origin: &impl Fn(usize) -> Origin,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let (path, place) = (path.join(name.get_ref()), origin(name.span().start));
            match value.into_inner() {
                DeValue::Table(table) if keys::is_section(&path) => {
                    // A target exists even if its table is empty and everything has its default.
                    self.0.insert(path.clone(), (Value::Table(Table::new()), place));
                    self.add_table(&path, table, origin)?;
                }
                value => match Value::deserialize(ValueDeserializer::from(Spanned::new(0..0, value))) {
                    Ok(value) => self.add(path, value, place)?,
                    Err(error) => return Err(invalid(path, place, ValueError::Refused(error))),
                },
            }
        }
        Ok(())
    }

    fn add_shared_variables(&mut self, variables: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        for (name, key) in SHARED {
            if let Some(value) = variables.get(name) {
                self.add_variable(name, key, value)?;
            }
        }
        Ok(())
    }

    fn add_variables(&mut self, variables: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        for (name, value) in variables {
            if let Some(key) = name.strip_prefix(PREFIX) {
                self.add_variable(name, &key.to_ascii_lowercase().replace(DOT, "."), value)?;
            }
        }
        Ok(())
    }

    fn add_variable(&mut self, name: &str, key: &str, value: &str) -> Result<(), ConfigError> {
        // `NAME=${UNSET}` in a compose file yields an empty variable, which means that nothing was set.
        if value.is_empty() {
            return Ok(());
        }
        self.add_text(Path::dotted(key), value, Origin::Environment { variable: name.to_owned() })
    }

    fn add_text(&mut self, path: Path, text: &str, place: Origin) -> Result<(), ConfigError> {
        let value = keys::find(&path).map_or_else(|| text.into(), |key| key.kind.read(text));
        self.add(path, value, place)
    }

    fn add(&mut self, path: Path, value: Value, place: Origin) -> Result<(), ConfigError> {
        if keys::is_section(&path) {
            return Err(ConfigError::Table { table: path, place });
        }
        let Some(key) = keys::find(&path) else {
            return Err(ConfigError::UnknownKey { nearest: keys::nearest(&path), key: path, place });
        };
        // Deserialized alone, so that an error can be blamed on this key and this layer.
        let mut alone = Self::default();
        alone.0.insert(path.clone(), (value.clone(), Origin::Default));
        let checked = key.kind.check(&value).and_then(|()| alone.config().map_err(ValueError::Refused));
        if let Err(error) = checked {
            return Err(invalid(path, place, error));
        }
        self.0.insert(path, (value, place));
        Ok(())
    }

    fn check_exclusive(&self) -> Result<(), ConfigError> {
        let set = |key: &str| {
            self.0.get_key_value(&Path::dotted(key)).map(|(path, (_, origin))| (path.clone(), origin.clone()))
        };
        let (Some((one, place)), Some((other, other_place))) = (set(EXCLUSIVE.0), set(EXCLUSIVE.1)) else {
            return Ok(());
        };
        Err(ConfigError::Exclusive { one, place: place.into(), other, other_place: other_place.into() })
    }

    fn config(&self) -> Result<Config, toml::de::Error> {
        let mut root = Table::new();
        for (path, (value, _)) in &self.0 {
            insert(&mut root, &path.0, value.clone());
        }
        root.try_into()
    }

    fn settings(self, file: Option<PathBuf>) -> Settings {
        let config = self.config().expect("every setting was checked when it was added");
        let origins = self.0.into_iter().map(|(path, (_, origin))| (path, origin)).collect();
        Settings { config, file, origins }
    }
}

fn invalid(key: Path, place: Origin, error: ValueError) -> ConfigError {
    ConfigError::Value { key, place, error: Box::new(error) }
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => _ = table.insert(name.clone(), value),
        [section, rest @ ..] => {
            let section = table.entry(section.clone()).or_insert_with(|| Table::new().into());
            insert(section.as_table_mut().expect("a section is a table"), rest, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    /// Returns sources with a file `f`, variables and `--set` flags.
    fn sources(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let flag = |(key, value)| Flag { flag: "--set", key, value };
        Sources {
            file: (!file.is_empty()).then(|| File { path: "f".into(), text: file.to_owned() }),
            environment: environment.iter().map(owned).collect(),
            flags: flags.iter().map(owned).map(flag).collect(),
        }
    }

    fn refused(sources: &Sources) -> String {
        sources.merge().unwrap_err().to_string()
    }

    #[test]
    fn each_layer_overrides_the_one_below() {
        let file = "[queue]\nname = \"of-file\"";
        let variable = [("MUSTER__QUEUE__NAME", "of-environment")];
        let flag = [("queue.name", "of-flag")];
        let name = |sources: Sources| {
            let settings = sources.merge().unwrap();
            (settings.config.queue.name.clone(), settings.origin(&Path::dotted("queue.name")).to_string())
        };
        let table = [
            (sources("", &[], &[]), "muster-jobs", "default"),
            (sources(file, &[], &[]), "of-file", "f line 2"),
            (sources(file, &variable, &[]), "of-environment", "MUSTER__QUEUE__NAME"),
            (sources(file, &variable, &flag), "of-flag", "--set"),
        ];
        for (sources, value, origin) in table {
            assert_eq!(name(sources), (value.to_owned(), origin.to_owned()));
        }
    }

    #[test]
    fn a_shared_variable_overrides_only_the_default() {
        let url = |sources: Sources| sources.merge().unwrap().config.database.url.expose_secret().to_owned();
        let (shared, ours) = (("DATABASE_URL", "postgres://shared"), ("MUSTER__DATABASE__URL", "postgres://ours"));
        let file = "database.url = \"postgres://file\"";
        assert_eq!(url(sources("", &[shared], &[])), "postgres://shared");
        assert_eq!(url(sources(file, &[shared], &[])), "postgres://file");
        assert_eq!(url(sources(file, &[shared, ours], &[])), "postgres://ours");
    }

    #[test]
    fn an_empty_variable_sets_nothing() {
        let settings = sources("", &[("MUSTER__QUEUE__NAME", ""), ("DATABASE_URL", "")], &[]).merge().unwrap();
        assert_eq!(settings.config.queue.name, "muster-jobs");
        assert_eq!(settings.origin(&Path::dotted("database.url")), &Origin::Default);
    }

    #[test]
    fn numbers_durations_and_words_are_parsed_from_text() {
        let variables = [
            ("MUSTER__WORKER__SLOTS", "32"),
            ("MUSTER__TARGETS__EU__RATES__REGISTER_CERTIFICATE", "2.5"),
            ("MUSTER__DATABASE__TIMEOUT", "3s"),
            ("MUSTER__LOG__FORMAT", "json"),
            ("MUSTER__ADMIN__LISTEN", "off"),
            ("MUSTER__QUEUE__NAME", "5"),
        ];
        let config = sources("", &variables, &[]).merge().unwrap().config;
        assert_eq!(config.worker.slots, 32);
        assert_eq!(config.targets.keys().collect::<Vec<_>>(), ["eu"]);
        assert!((config.targets["eu"].rates.register_certificate.per_second() - 2.5).abs() < f64::EPSILON);
        assert_eq!(config.database.timeout, std::time::Duration::from_secs(3).into());
        assert_eq!(config.log.format, crate::config::log::LogFormat::Json);
        assert_eq!(config.admin.listen, None);
        assert_eq!(config.queue.name, "5");
    }

    #[test]
    fn a_target_with_an_empty_table_exists() {
        let config = sources("[targets.\"plant.1\"]\n[targets.eu]\nregion = \"eu-central-1\"", &[], &[]).merge();
        assert_eq!(config.unwrap().config.targets.keys().collect::<Vec<_>>(), ["eu", "plant.1"]);
    }

    #[test]
    fn an_unknown_key_is_reported_with_origin_and_suggestion() {
        let table = [
            (sources("\n[queue]\nnmae = 1", &[], &[]), "f line 3; did you mean `queue.name`?"),
            (sources("queu.name = 1", &[], &[]), "f line 1; did you mean `queue`?"),
            (sources("", &[("MUSTER__QUEUE__NMAE", "x")], &[]), "MUSTER__QUEUE__NMAE; did you mean `queue.name`?"),
            (sources("", &[], &[("slots", "1")]), "--set; did you mean `worker.slots`?"),
        ];
        for (sources, end) in table {
            let error = refused(&sources);
            assert!(error.starts_with("unknown key `") && error.ends_with(end), "{error}");
        }
        assert_eq!(refused(&sources("", &[], &[("a.b.c.d", "1")])), "unknown key `a.b.c.d` in --set");
    }

    #[test]
    fn url_file_and_url_command_exclude_each_other() {
        let file = "database.url_file = \"/run/url\"";
        assert!(sources(file, &[("DATABASE_URL", "postgres://shared")], &[]).merge().is_ok());
        let error = refused(&sources(file, &[("MUSTER__DATABASE__URL_COMMAND", "cat /run/url")], &[]));
        let expected = "`database.url_file` in f line 1 and `database.url_command` in MUSTER__DATABASE__URL_COMMAND are both \
                        set: expected one of them";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_table_cannot_have_a_value() {
        assert!(refused(&sources("queue = 5", &[], &[])).starts_with("`queue` in f line 1 is a table"));
        assert!(refused(&sources("", &[("MUSTER__TARGETS__EU", "5")], &[])).starts_with("`targets.eu` in MUSTER__"));
    }

    #[test]
    fn an_invalid_value_is_reported_with_key_and_origin() {
        let table = [
            (sources("[worker]\nslots = 0", &[], &[]), "`worker.slots` in f line 2: expected 1 to 120000, found 0"),
            (sources("worker.slots = 99999999999999999999", &[], &[]), "`worker.slots` in f line 1: "),
            (sources("", &[("MUSTER__WORKER__SLOTS", "abc")], &[]), "expected a whole number, found \"abc\""),
            (
                sources("", &[], &[("precheck.not_yet_valid", "no")]),
                "unknown variant `no`, expected `warn` or `reject`",
            ),
            (sources("", &[], &[("log.filter", "=[")]), "`log.filter` in --set: invalid filter directive"),
            (sources("", &[], &[("targets.eu.rates.register_certificate", "0")]), "calls a second, found 0"),
            (
                sources("", &[("MUSTER__TARGETS__EU__ROLE_ARN", "muster")], &[]),
                "`targets.eu.role_arn` in MUSTER__TARGETS__EU__ROLE_ARN: expected a role's ARN such as",
            ),
        ];
        for (sources, part) in table {
            let error = refused(&sources);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn no_error_repeats_a_secret() {
        let secret = "postgres://ada:secret@db";
        let broken = [format!("database.url = \"{secret}"), format!("database.url = [\"{secret}\"]")];
        for file in broken {
            let error = refused(&sources(&file, &[], &[]));
            assert!(error.contains("f line 1") && !error.contains("secret"), "{error}");
        }
    }
}
