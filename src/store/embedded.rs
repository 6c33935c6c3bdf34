//! The private PostgreSQL of `historia dev` (and of `serve` without a database address).
//!
//! It runs from the binaries on the machine, in the data folder, on a Unix socket only, as an unprivileged user when
//! root starts it. It is durable (fsync on), is stopped with the server, and recovers when either was killed: an orphaned
//! one is stopped and started again. It does not download PostgreSQL and does not upgrade data between major versions.

mod folder;
mod orphan;
mod program;

use crate::config::ConfigError;
use crate::error::{Error, Kind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use program::Program;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

pub use folder::{Account, DataFolder, Tenant};

/// Name of the database and of its superuser.
const DATABASE: &str = "historia";
/// The socket is `<folder>/.s.PGSQL.<PORT>`; nothing listens on TCP.
const PORT: u16 = 5432;
/// Crash recovery replays up to `max_wal_size`: minutes on a slow disk.
const START_DEADLINE: Duration = Duration::from_secs(600);
/// Back ends of a killed PostgreSQL hold its shared memory until they notice: at most a few seconds.
const RETRY_DEADLINE: Duration = Duration::from_secs(30);
const FAST_STOP: Duration = Duration::from_secs(30);
const QUICK_STOP: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(30);

/// Why the embedded PostgreSQL does not run: something that the operator can change (exit 3), or a failure (exit 4).
#[derive(Debug)]
pub enum StartError {
    Config(ConfigError),
    Failed(Error),
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        StartError::Config(error)
    }
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        StartError::Failed(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Config(error) => error.fmt(f),
            StartError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

/// A running PostgreSQL of ours. End it with [`Embedded::stop`]; dropping it only asks it to stop.
#[derive(Debug)]
pub struct Embedded {
    child: Child,
    pid: u32,
    sockets: PathBuf,
    /// Where the sockets lie when the data folder's path is too long for them; removed at the end.
    short_sockets: bool,
}

impl Embedded {
    /// Starts PostgreSQL in `folder` and waits until it answers and the database is there. `path`: the folders of PATH.
    pub async fn start(folder: &DataFolder, path: &[PathBuf]) -> Result<Embedded, StartError> {
        let data = folder.path().join("postgresql");
        let program = Program::find(path, &data).await?;
        let cluster = folder.cluster_name();
        orphan::stop(&data, &cluster).await?;
        if !data.join("PG_VERSION").exists() {
            program.initialise(folder, &data).await?;
        }
        let logs = folder.own_folder("log")?;
        let socket = format!(".s.PGSQL.{PORT}");
        let (sockets, short_sockets) = folder.sockets(&socket)?;
        orphan::clear_socket(&sockets, &socket)?;
        let settings = folder.path().join("postgresql.conf");
        let text = program::settings(&sockets, &logs, &cluster, program::memory());
        std::fs::write(&settings, text).map_err(|e| folder::cannot(folder.path(), "write postgresql.conf into", &e))?;
        let launch = Launch { program: &program, folder, data: &data, settings: &settings, sockets: &sockets };
        let child = launch.until_it_answers().await?;
        let pid = child.id().ok_or_else(|| failed("PostgreSQL ended as soon as it had started"))?;
        Ok(Embedded { child, pid, sockets, short_sockets })
    }

    /// For tokio-postgres and psql alike.
    pub fn url(&self) -> String {
        let host = percent_encoding::utf8_percent_encode(&self.sockets.to_string_lossy(), PATH_SAFE).to_string();
        format!("postgres:///{DATABASE}?host={host}&port={PORT}&user={DATABASE}")
    }

    /// Process id of the postmaster.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends when PostgreSQL ends by itself; cancel safe, so it can stand in a `select!`.
    pub async fn exited(&mut self) -> Option<ExitStatus> {
        self.child.wait().await.ok()
    }

    /// Stops PostgreSQL: open transactions are rolled back, everything committed is on disk.
    pub async fn stop(mut self) -> Result<(), Error> {
        for (signal, patience) in
            [(Signal::SIGINT, FAST_STOP), (Signal::SIGQUIT, QUICK_STOP), (Signal::SIGKILL, QUICK_STOP)]
        {
            self.signal(signal);
            if timeout(patience, self.child.wait()).await.is_ok() {
                if self.short_sockets {
                    let _ = std::fs::remove_dir_all(&self.sockets);
                }
                return Ok(());
            }
        }
        Err(failed("PostgreSQL does not stop"))
    }

    fn signal(&self, signal: Signal) {
        // `id` is none once the child was reaped: then the number may belong to somebody else.
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.signal(Signal::SIGINT);
    }
}

/// Everything of a path that a URL query may hold as it is.
const PATH_SAFE: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a start needs to know.
struct Launch<'a> {
    program: &'a Program,
    folder: &'a DataFolder,
    data: &'a Path,
    settings: &'a Path,
    sockets: &'a Path,
}

impl Launch<'_> {
    /// Starts until it answers; again when what a killed PostgreSQL left behind is still going away.
    async fn until_it_answers(&self) -> Result<Child, StartError> {
        let retries = RETRY_DEADLINE.as_millis() / 500;
        for _ in 0..=retries {
            let mut child = self.spawn()?;
            match timeout(START_DEADLINE, self.answers(&mut child)).await {
                Ok(Ok(())) => return Ok(child),
                Ok(Err(_)) if self.is_leftover() => sleep(Duration::from_millis(500)).await,
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {
                    let _ = child.start_kill();
                    return Err(failed("PostgreSQL did not answer within ten minutes").into());
                }
            }
        }
        Err(failed("processes of an earlier PostgreSQL still use the data folder").into())
    }

    fn start_log(&self) -> PathBuf {
        self.folder.path().join("log").join("start.log")
    }

    fn spawn(&self) -> Result<Child, Error> {
        let log = File::create(self.start_log()).map_err(Error::internal)?;
        let again = log.try_clone().map_err(Error::internal)?;
        let mut command = Command::new(self.program.file("postgres"));
        let mut config_file = std::ffi::OsString::from("config_file=");
        config_file.push(self.settings);
        command.arg("-D").arg(self.data).arg("-c").arg(config_file);
        self.folder.run_as_owner(&mut command);
        // A group of its own: Ctrl-C in the terminal reaches the server, which stops PostgreSQL when it is done with it.
        command.process_group(0).stdin(Stdio::null()).stdout(log).stderr(again);
        command.spawn().map_err(|e| failed("PostgreSQL cannot be started").caused_by(e))
    }

    /// Waits until the database `historia` exists and answers.
    async fn answers(&self, child: &mut Child) -> Result<(), Error> {
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(failed(&format!("PostgreSQL did not start ({status}): {}", self.last_words())));
            }
            if let Ok(client) = connect(self.sockets).await {
                match create_database(&client).await {
                    Ok(()) => return Ok(()),
                    Err(error) => {
                        let _ = child.start_kill();
                        let _ = child.wait().await;
                        return Err(error);
                    }
                }
            }
            sleep(POLL).await;
        }
    }

    /// The last lines that PostgreSQL wrote before its log files took over: it names files and settings, never rows.
    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.start_log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let from = lines.len().saturating_sub(4);
        let last = lines.get(from..).unwrap_or_default().join(" | ");
        format!("{last} (logs: {})", self.folder.path().join("log").display())
    }

    /// PostgreSQL's own words for "my predecessor is not quite gone".
    fn is_leftover(&self) -> bool {
        let text = std::fs::read_to_string(self.start_log()).unwrap_or_default();
        text.contains("pre-existing shared memory block") || text.contains("\"postmaster.pid\" already exists")
    }
}

/// A connection to the maintenance database, over the socket in `sockets`.
async fn connect(sockets: &Path) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(sockets).port(PORT).user(DATABASE).dbname("postgres").connect_timeout(Duration::from_secs(5));
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    client.simple_query("select 1").await?;
    Ok(client)
}

async fn create_database(client: &Client) -> Result<(), Error> {
    const EXISTS: &str = "select 1 from pg_database where datname = 'historia'";
    const CREATE: &str = "create database historia encoding 'UTF8' template template0";
    let found =
        client.query(EXISTS, &[]).await.map_err(|e| failed("the new PostgreSQL does not answer").caused_by(e))?;
    if found.is_empty() {
        client.batch_execute(CREATE).await.map_err(|e| failed("the database cannot be created").caused_by(e))?;
    }
    Ok(())
}

fn failed(text: &str) -> Error {
    Error::new(Kind::Transient, text)
}

#[cfg(test)]
mod tests;
