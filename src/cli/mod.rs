//! The command line: one file per subcommand; here is what they share (arguments, exit codes, how a failure is told).
//!
//! Exit: 0 done, 1 failed, 2 usage, 3 configuration (the message names the key), 4 database unreachable, 5 partly done.

pub mod certs;
pub mod client;
pub mod cluster;
pub mod config;
pub mod copy;
pub mod dev;
pub mod health;
pub mod import;
pub mod migrate;
pub mod ready;
pub mod sample;
pub mod serve;
pub mod user;

use crate::app::App;
use crate::config::{Command as For, Config, ConfigError, Environment, Secret};
use crate::error::{Error, Kind};
use crate::store::embedded::StartError;
use clap::{Parser, Subcommand};
use ready::Ready;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Keys of the configuration that an error may name once the database is open.
const CONFIGURED: [&str; 6] =
    ["data_dir", "database.url", "database.migrate", "documento.systems", "http.tls_cert", "http.tls_key"];

/// The codes of `roles` in the contract.
pub const ROLES: [&str; 6] = ["paciente", "admisionista", "medico", "resultados", "admin", "integracion"];

#[derive(Debug, Parser)]
#[command(name = "historia", version, about = "FHIR R4, HL7 v2 and SMART health-record server on PostgreSQL and Citus")]
pub struct Cli {
    /// Configuration file; else HISTORIA_CONFIG, ./historia.toml, /etc/historia/historia.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Dev(dev::Arguments),
    Serve(serve::Arguments),
    Migrate(migrate::Arguments),
    Import(import::Arguments),
    Copy(copy::Arguments),
    User(user::Arguments),
    Client(client::Arguments),
    Cluster(cluster::Arguments),
    Certs(certs::Arguments),
    Health(health::Arguments),
    Config(config::Arguments),
}

/// Exit code of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Configuration = 3,
    DatabaseUnreachable = 4,
    PartlyDone = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked: the exit code, and the sentence for stderr.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub sentence: String,
}

impl Failure {
    pub fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Failure { exit, sentence: sentence.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::new(Exit::Configuration, error.to_string())
    }
}

impl From<Error> for Failure {
    /// The private source is shown too: at a command line its reader is the operator.
    fn from(error: Error) -> Self {
        let names_a_key =
            error.issues.iter().any(|issue| issue.expression.as_deref().is_some_and(|e| CONFIGURED.contains(&e)));
        let exit = match error.kind {
            _ if names_a_key => Exit::Configuration,
            Kind::Transient | Kind::Timeout => Exit::DatabaseUnreachable,
            _ => Exit::Failed,
        };
        let cause = error.source.as_ref().map_or_else(String::new, |source| format!(": {source}"));
        Failure::new(exit, format!("{error}{cause}"))
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => error.into(),
            StartError::Failed(error) => error.into(),
        }
    }
}

/// Runs the process's command line.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not mistakes.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    match dispatch(cli, &Environment::of_process()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "historia: {failure}");
            failure.exit.into()
        }
    }
}

fn dispatch(cli: Cli, environment: &Environment) -> Result<Exit, Failure> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Dev(_) => dev::run(file, environment),
        Command::Serve(_) => serve::run(file, environment),
        Command::Migrate(arguments) => migrate::run(&arguments, file, environment),
        Command::Import(arguments) => import::run(&arguments, file, environment),
        Command::Copy(arguments) => copy::run(&arguments, file, environment),
        Command::User(arguments) => user::run(&arguments, file, environment),
        Command::Client(arguments) => client::run(&arguments, file, environment),
        Command::Cluster(arguments) => cluster::run(&arguments, file, environment),
        Command::Certs(arguments) => certs::run(&arguments, file, environment),
        Command::Health(arguments) => health::run(&arguments, file, environment),
        Command::Config(arguments) => config::run(&arguments, file, environment),
    }
}

/// Writes to stdout; a reader that has gone away (`| head`) is no error.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The database of a command other than `dev` and `serve`: `database.url`, else that of the running instance.
pub fn database_url(config: &Config) -> Result<Secret, Failure> {
    if let Some(url) = &config.database.url {
        return Ok(url.clone());
    }
    match Ready::of_running(&config.data_dir)? {
        Some(ready) => Ok(Secret::new(ready.database_url)),
        None => Err(Failure::new(
            Exit::DatabaseUnreachable,
            format!(
                "database.url is not set, and no historia runs in {}: start one (historia dev), or set database.url",
                config.data_dir.display()
            ),
        )),
    }
}

/// The configuration of a command other than `dev` and `serve`.
pub fn configuration(file: Option<&std::path::Path>, environment: &Environment) -> Result<Config, Failure> {
    Ok(Config::load(For::Other, file, environment)?)
}

/// The runtime of a command other than `dev` and `serve`.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|e| Failure::new(Exit::Failed, format!("no runtime: {e}")))
}

/// The application over the database of a command other than `dev` and `serve`.
pub async fn app(file: Option<&std::path::Path>, environment: &Environment) -> Result<Arc<App>, Failure> {
    let config = configuration(file, environment)?;
    let url = database_url(&config)?;
    let running = Ready::of_running(&config.data_dir)?.map(|ready| ready.fhir.trim_end_matches("/fhir").to_owned());
    let public_url = config.http.public_url.clone().or(running).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    Ok(App::open(config, url.expose(), &public_url, false).await?)
}

#[cfg(test)]
mod tests;
