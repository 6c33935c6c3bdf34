//! Configuration: every key with its meaning for the program; `config.toml` is its documentation and holds the defaults.
//!
//! The only file that reads the environment. Does not open files that keys name, nor bind addresses.

mod read;
mod source;
mod value;

use crate::lan::authority;
use source::Layers;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Value;

pub use source::{DEFAULTS, Origin};
pub use value::{Network, Secret, mask_password};

/// For whom the configuration is read: the defaults of `dev` and `serve` differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Dev,
    Serve,
    /// Every other command: it uses `database.url`, else the running instance of `data_dir`.
    Other,
}

/// What is wrong with the configuration: the key and a sentence that helps. Exit 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub key: String,
    pub sentence: String,
}

impl ConfigError {
    pub fn new(key: impl Into<String>, sentence: impl Into<String>) -> Self {
        ConfigError { key: key.into(), sentence: sentence.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.sentence)
    }
}

impl std::error::Error for ConfigError {}

#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub http: Http,
    pub mllp: Mllp,
    pub hl7v2: Hl7v2,
    /// `ops.listen`.
    pub ops: Option<SocketAddr>,
    pub database: Database,
    pub cluster: Cluster,
    pub fhir: Fhir,
    /// `documento.systems`.
    pub documento_systems: Vec<DocumentoSystem>,
    pub tokens: Tokens,
    pub sessions: Sessions,
    pub institution: Institution,
    pub limits: Limits,
    pub log: Log,
    /// The point at which a test build dies (`HISTORIA_TEST_FAILPOINT`); always none in a release.
    pub failpoint: Option<String>,
    layers: Layers,
}

#[derive(Clone, Debug)]
pub struct Http {
    pub listen: Option<SocketAddr>,
    pub tls_listen: Option<SocketAddr>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// Without a slash at the end.
    pub public_url: Option<String>,
    /// At least 1.
    pub workers: usize,
    pub connections: usize,
    pub keep_alive: Duration,
    pub head_timeout: Duration,
    pub shutdown_timeout: Duration,
    /// Origins whose pages may use the API; `*` = any.
    pub cors: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Mllp {
    pub listen: Option<SocketAddr>,
    pub tls_listen: Option<SocketAddr>,
    pub senders: Vec<Sender>,
    pub connections: usize,
    pub idle_timeout: Duration,
    pub byte_timeout: Duration,
    pub write_timeout: Duration,
}

/// Who may send over MLLP; absent fields match anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    pub name: String,
    pub address: Network,
    pub sending_application: Option<String>,
    pub sending_facility: Option<String>,
    pub charset: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Hl7v2 {
    pub processing_ids: Vec<String>,
    pub charset: String,
    /// As written: `-05:00`.
    pub time_zone: String,
}

#[derive(Clone, Debug)]
pub struct Database {
    /// `None`: the embedded PostgreSQL.
    pub url: Option<Secret>,
    pub pool_size: u32,
    pub pool_timeout: Duration,
    pub connect_timeout: Duration,
    pub statement_timeout: Duration,
    pub migrate: bool,
}

/// The database as a Citus cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Shards of the distributed tables; counts when they are distributed.
    pub shards: usize,
    /// How long `historia cluster` waits for a node.
    pub patience: Duration,
    /// How long a node may take to accept a connection; twice in a row is lost.
    pub node_timeout: Duration,
    /// Whether work on one record goes to its node.
    pub direct: Direct,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direct {
    Auto,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum References {
    Enforce,
    Off,
}

/// What a conditional delete does with several matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionalDelete {
    Single,
    Multiple,
}

#[derive(Clone, Debug)]
pub struct Fhir {
    pub references: References,
    pub conditional_delete: ConditionalDelete,
}

/// An identifier system that names identity documents of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentoSystem {
    pub system: String,
    pub type_code: String,
}

#[derive(Clone, Debug)]
pub struct Tokens {
    pub login: Duration,
    pub client: Duration,
}

/// Cookie sessions of people.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub idle: Duration,
    pub absolute: Duration,
}

/// Whose documents these are: the letterhead. What is empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Institution {
    pub name: String,
    pub nit: String,
    pub code: String,
    pub address: String,
    pub telephone: String,
}

/// Sizes in bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    pub bundle_entries: usize,
    pub conditional_deletes: usize,
    pub patch_operations: usize,
    pub body: usize,
    pub depth: usize,
    pub string: usize,
    pub count_default: usize,
    pub count_max: usize,
    pub or_terms: usize,
    pub search_parameters: usize,
    pub parameters: usize,
    pub search_rows: usize,
    pub chain_depth: usize,
    pub iterate_depth: usize,
    pub linked: usize,
    pub includes: usize,
    pub everything: usize,
    pub url: usize,
    pub headers: usize,
    pub mllp_frame: usize,
    pub bundles_at_once: usize,
    pub patients_per_resource: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    pub level: String,
}

/// The variables of a process, handed in so that tests have their own.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    /// Those of this process; names and values that are not UTF-8 are none of ours.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Environment { variables: std::env::vars_os().filter_map(text).collect() }
    }

    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Environment {
            variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The folders of `PATH`.
    pub fn path(&self) -> Vec<PathBuf> {
        self.get("PATH").map(|path| std::env::split_paths(path).collect()).unwrap_or_default()
    }
}

impl Config {
    /// Reads and checks everything that `command` needs.
    pub fn load(command: Command, explicit: Option<&Path>, environment: &Environment) -> Result<Config, ConfigError> {
        let config = Self::gather(command, explicit, environment)?;
        config.check(command)?;
        Ok(config)
    }

    /// Reads the layers; every value has its form, but what a command needs may be missing (`historia config` shows it).
    pub fn gather(command: Command, explicit: Option<&Path>, environment: &Environment) -> Result<Config, ConfigError> {
        let name = match command {
            Command::Dev => "dev",
            Command::Serve => "serve",
            Command::Other => "other",
        };
        let mut layers = Layers::defaults(name)?;
        if command == Command::Other && Path::new("./.historia").is_dir() {
            layers.values.insert("data_dir".to_owned(), (Value::String("./.historia".to_owned()), Origin::Default));
        }
        if let Some(path) = file(explicit, environment)? {
            layers.file(&path, name)?;
        }
        layers.environment(environment.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
        let mut config = read::interpret(layers)?;
        config.certificate_of_its_own();
        if cfg!(feature = "failpoints") {
            config.failpoint = environment.get("HISTORIA_TEST_FAILPOINT").map(str::to_owned);
        }
        Ok(config)
    }

    /// HTTPS without a named certificate: that of `historia certs`, when it is there.
    fn certificate_of_its_own(&mut self) {
        let http = &mut self.http;
        if http.tls_listen.is_some() && http.tls_cert.is_none() && http.tls_key.is_none() {
            let (certificate, key) = authority::certificate(&self.data_dir);
            if certificate.is_file() && key.is_file() {
                (http.tls_cert, http.tls_key) = (Some(certificate), Some(key));
            }
        }
    }

    /// Whether HTTPS is served with the certificate of `historia certs`.
    pub fn has_its_own_certificate(&self) -> bool {
        self.http.tls_listen.is_some() && self.http.tls_cert == Some(authority::certificate(&self.data_dir).0)
    }

    /// What `serve` cannot guess must be there; pairs of keys must fit.
    pub fn check(&self, command: Command) -> Result<(), ConfigError> {
        let http = &self.http;
        if command == Command::Serve {
            if http.tls_listen.is_some() && (http.tls_cert.is_none() || http.tls_key.is_none()) {
                let key = if http.tls_cert.is_none() { "http.tls_cert" } else { "http.tls_key" };
                return Err(ConfigError::new(
                    key,
                    "is missing: name a PEM file, make one for the local network with `historia certs`, or set http.tls_listen = \"off\" when something in front of historia ends TLS",
                ));
            }
            if http.public_url.is_none() {
                return Err(ConfigError::new(
                    "http.public_url",
                    "is missing: `serve` needs the address that people and programs use, as in https://historia.example.org",
                ));
            }
        }
        if command != Command::Other && http.listen.is_none() && http.tls_listen.is_none() {
            return Err(ConfigError::new(
                "http.listen",
                "http.listen and http.tls_listen are both off: nobody could reach this server",
            ));
        }
        if self.mllp.tls_listen.is_some() && (http.tls_cert.is_none() || http.tls_key.is_none()) {
            return Err(ConfigError::new(
                "http.tls_cert",
                "is missing: mllp.tls_listen uses the certificate of http.tls_cert and http.tls_key",
            ));
        }
        Ok(())
    }

    /// Every key in order: its value (secrets masked; shown as TOML, serialised as anything) and where it came from.
    pub fn effective(&self) -> impl Iterator<Item = (&str, Value, &Origin)> {
        self.layers.values.iter().map(|(key, (value, origin))| (key.as_str(), shown(key, value), origin))
    }

    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.layers.values.get(key).map(|(_, origin)| origin)
    }
}

/// `value`, secrets masked.
fn shown(key: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if key == "database.url" => Value::String(mask_password(text)),
        value => value.clone(),
    }
}

/// The first configuration file that is named or that exists.
fn file(explicit: Option<&Path>, environment: &Environment) -> Result<Option<PathBuf>, ConfigError> {
    let named = explicit
        .map(Path::to_owned)
        .or_else(|| environment.get("HISTORIA_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from));
    if let Some(path) = named {
        if !path.is_file() {
            return Err(ConfigError::new(path.display().to_string(), "there is no such configuration file"));
        }
        return Ok(Some(path));
    }
    let usual = ["./historia.toml", "/etc/historia/historia.toml"];
    Ok(usual.iter().map(PathBuf::from).find(|path| path.is_file()))
}

#[cfg(test)]
mod tests;
