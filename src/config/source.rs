//! The layers that configuration comes from, merged key by key; each value remembers its layer.
//!
//! Does not know what a key means: that is `config`.

use super::ConfigError;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The compiled-in documentation and defaults: its keys are the keys there are.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// A configuration file larger than this is a mistake.
const FILE_LIMIT: u64 = 1 << 20;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// `section.key` -> value and origin.
#[derive(Clone, Default)]
pub struct Layers {
    pub values: BTreeMap<String, (Value, Origin)>,
}

/// Keys and origins only: a value may be a secret.
impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.iter().map(|(key, (_, origin))| (key, origin))).finish()
    }
}

impl Layers {
    /// The defaults, with the table of `command` (`dev`, `serve`) laid over them.
    pub fn defaults(command: &str) -> Result<Self, ConfigError> {
        let table: Table = DEFAULTS
            .parse()
            .map_err(|e| ConfigError::new("config.toml", format!("the compiled-in defaults cannot be read: {e}")))?;
        let mut layers = Layers::default();
        layers.lay(&table, command, &Origin::Default, None)?;
        Ok(layers)
    }

    /// Lays a file over what is there.
    pub fn file(&mut self, path: &Path, command: &str) -> Result<(), ConfigError> {
        let name = path.display().to_string();
        let text =
            read(path).map_err(|e| ConfigError::new(&name, format!("the configuration file cannot be read: {e}")))?;
        // The message of toml shows the line, which may hold a secret: only its place is kept.
        let table: Table = text.parse().map_err(|e: toml::de::Error| ConfigError::new(&name, syntax(&text, &e)))?;
        let known = self.clone();
        self.lay(&table, command, &Origin::File(path.to_owned()), Some(&known))
    }

    /// Lays the variables `HISTORIA_<SECTION>__<KEY>` and `DATABASE_URL` over what is there.
    pub fn environment<'a>(&mut self, variables: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), ConfigError> {
        let mut variables: Vec<_> = variables.collect();
        // DATABASE_URL first: the name of our own is the more exact one and wins.
        variables.sort_by_key(|(name, _)| *name != "DATABASE_URL");
        for (name, text) in variables {
            let key = match name.strip_prefix("HISTORIA_") {
                Some("CONFIG" | "SHARED") => continue,
                Some(rest) if rest.starts_with("TEST_") => continue,
                Some(rest) => rest.replace("__", ".").to_ascii_lowercase(),
                None if name == "DATABASE_URL" && !text.is_empty() => "database.url".to_owned(),
                None => continue,
            };
            let Some((default, _)) = self.values.get(&key) else {
                return Err(self.unknown(&key, &format!("environment {name}")));
            };
            let origin = Origin::Environment(name.to_owned());
            let value = from_text(default, text)
                .map_err(|sentence| ConfigError::new(&key, format!("{sentence} ({origin})")))?;
            self.values.insert(key, (value, origin));
        }
        Ok(())
    }

    fn lay(
        &mut self,
        table: &Table,
        command: &str,
        origin: &Origin,
        known: Option<&Layers>,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            if !matches!(name.as_str(), "dev" | "serve") {
                self.set(name, value, origin, known)?;
            }
        }
        for profile in ["dev", "serve"] {
            let Some(value) = table.get(profile) else { continue };
            let Value::Table(inner) = value else {
                return Err(ConfigError::new(profile, format!("must be a table ({origin})")));
            };
            // The other command's table is not used, but its mistakes are reported all the same.
            let mut other = self.clone();
            let target = if profile == command { &mut *self } else { &mut other };
            for (name, value) in inner {
                target.set(name, value, origin, known)?;
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &Value, origin: &Origin, known: Option<&Layers>) -> Result<(), ConfigError> {
        if let Value::Table(inner) = value {
            for (name, value) in inner {
                self.set(&format!("{key}.{name}"), value, origin, known)?;
            }
            return Ok(());
        }
        if let Some(known) = known {
            let Some((default, _)) = known.values.get(key) else {
                return Err(known.unknown(key, &origin.to_string()));
            };
            if default.type_str() != value.type_str() {
                return Err(ConfigError::new(key, format!("must be {} ({origin})", article(default))));
            }
        }
        self.values.insert(key.to_owned(), (value.clone(), origin.clone()));
        Ok(())
    }

    fn unknown(&self, key: &str, origin: &str) -> ConfigError {
        let nearest = self.values.keys().min_by_key(|known| distance(known, key));
        let hint = nearest.map_or_else(String::new, |nearest| format!("; the nearest key is {nearest}"));
        ConfigError::new(key, format!("there is no such key ({origin}){hint}"))
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    if length > FILE_LIMIT {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    std::fs::read_to_string(path)
}

fn syntax(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start);
    let line = text.get(..at).map_or(0, |before| before.matches('\n').count()) + 1;
    format!("the configuration file is not TOML: line {line}: {}", error.message())
}

/// Text of the environment as a value of the type that the key has; lists are written as in the file.
fn from_text(default: &Value, text: &str) -> Result<Value, String> {
    let wrong = || format!("must be {}", article(default));
    match default {
        Value::String(_) => Ok(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().map(Value::Integer).map_err(|_| wrong()),
        Value::Boolean(_) => text.trim().parse().map(Value::Boolean).map_err(|_| wrong()),
        Value::Array(_) => {
            let mut table: Table = format!("value = {text}").parse().map_err(|_| wrong())?;
            table.remove("value").filter(Value::is_array).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

fn article(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list, as in [\"a\", \"b\"]",
        _ => "a value of another kind",
    }
}

/// Levenshtein distance, for the nearest known key.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(100).enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for (j, cb) in b.iter().enumerate() {
            let at = |row: &[usize], n: usize| row.get(n).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&row, j) + usize::from(ca != *cb);
            next.push(replaced.min(at(&row, j + 1) + 1).min(at(&next, j) + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
