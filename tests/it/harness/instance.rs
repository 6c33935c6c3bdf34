//! Instances of the binary: the one that all tests share, and those that a test starts for itself.
//!
//! Each runs under a small shell that holds a pipe to the test process: when the pipe closes (the test has ended, or died)
//! the server is told to stop, an orphaned PostgreSQL with it, and the folder is removed. libtest has no hook at its exit.

use crate::harness::cluster::cluster;
use crate::harness::database;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_historia");

/// Longer than this no start takes, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// $1: folder, $2: 1 = remove it at the end; then the command. The exit code is the command's.
const GUARD: &str = r#"
folder=$1 remove=$2; shift 2
exec 3<&0
"$@" </dev/null 3<&- & pid=$!
( cat <&3 >/dev/null; kill -TERM $pid 2>/dev/null ) & watch=$!
wait $pid; code=$?
kill $watch 2>/dev/null
if [ "$remove" = 1 ]; then
  if [ -f "$folder/postgresql/postmaster.pid" ]; then
    orphan=$(head -n 1 "$folder/postgresql/postmaster.pid")
    kill -INT "$orphan" 2>/dev/null
    n=0; while kill -0 "$orphan" 2>/dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
  fi
  rm -rf "$folder"
fi
exit $code
"#;

/// What is started.
pub struct Start {
    pub command: &'static str,
    pub env: BTreeMap<String, String>,
    /// Its folder; a new one otherwise. A folder that was given stays.
    pub data_dir: Option<PathBuf>,
}

impl Start {
    pub fn dev() -> Start {
        Start::of("dev")
    }

    /// `serve` without TLS on a database that is there.
    pub fn serve(database_url: &str) -> Start {
        Start::serve_alone().with("DATABASE_URL", database_url)
    }

    /// `serve` without TLS, with a PostgreSQL of its own and nothing in it.
    pub fn serve_alone() -> Start {
        Start::of("serve")
            .with("HISTORIA_HTTP__TLS_LISTEN", "off")
            .with("HISTORIA_HTTP__PUBLIC_URL", "http://127.0.0.1")
    }

    fn of(command: &'static str) -> Start {
        let start = Start { command, env: BTreeMap::new(), data_dir: None };
        let start = start.with("HISTORIA_HTTP__LISTEN", "127.0.0.1:0").with("HISTORIA_OPS__LISTEN", "127.0.0.1:0");
        start.with("HISTORIA_MLLP__LISTEN", "127.0.0.1:0").with("HISTORIA_LOG__LEVEL", "warn")
    }

    pub fn with(mut self, name: &str, value: &str) -> Start {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn within(mut self, data_dir: &Path) -> Start {
        self.data_dir = Some(data_dir.to_owned());
        self
    }

    /// Starts it and waits until it is ready.
    pub fn ready(self) -> Instance {
        let mut instance = self.spawn();
        instance.wait_ready();
        instance
    }

    /// Starts it.
    pub fn spawn(self) -> Instance {
        let own = self.data_dir.is_none();
        let data_dir = self.data_dir.unwrap_or_else(folder);
        let log = log_of(&data_dir);
        let out = File::options().create(true).append(true).open(&log).expect("a log file");
        let mut command = Command::new("sh");
        command
            .args(["-c", GUARD, "guard"])
            .arg(&data_dir)
            .arg(if own { "1" } else { "0" })
            .arg(BINARY)
            .arg(self.command);
        bare(&mut command);
        command.envs(&self.env).env("HISTORIA_DATA_DIR", &data_dir);
        command.stdin(Stdio::piped()).stdout(out.try_clone().expect("a file handle")).stderr(out);
        let child = command.spawn().expect("the guard starts");
        Instance { child, data_dir, log, ready: Value::Null }
    }
}

/// A new name for a folder that a PostgreSQL under another user can reach.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("historia-it-{}-{n}", std::process::id()))
}

/// A folder that outlives its instances, for tests that start one after the other in it.
pub struct Folder {
    pub path: PathBuf,
}

impl Folder {
    pub fn new() -> Folder {
        Folder { path: folder() }
    }

    /// Process id of the PostgreSQL whose data lie here.
    pub fn postgres(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.path.join("postgresql/postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok().filter(|pid| alive(*pid))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(orphan) = self.postgres() {
            kill(orphan, "INT");
            let started = Instant::now();
            while alive(orphan) && started.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn log_of(data_dir: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("logs");
    std::fs::create_dir_all(&folder).expect("a folder for logs");
    folder.join(data_dir.file_name().expect("a name")).with_extension("log")
}

/// Nothing of the caller's configuration reaches what is started.
fn bare(command: &mut Command) {
    for (name, _) in std::env::vars() {
        if name.starts_with("HISTORIA_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command.current_dir(std::env::temp_dir());
}

/// A running server.
pub struct Instance {
    child: Child,
    pub data_dir: PathBuf,
    pub log: PathBuf,
    pub ready: Value,
}

impl Instance {
    pub fn wait_ready(&mut self) {
        let started = Instant::now();
        let file = self.data_dir.join("ready.json");
        loop {
            let own = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            if let Some(ready) = own.filter(|ready| alive(ready["pid"].as_u64().unwrap_or(0))) {
                self.ready = ready;
                return;
            }
            if let Some(status) = self.child.try_wait().expect("the guard can be waited for") {
                panic!("the server ended with {status} before it was ready:\n{}", self.log());
            }
            assert!(started.elapsed() < PATIENCE, "the server is not ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn text(&self, name: &str) -> String {
        self.ready[name].as_str().unwrap_or_else(|| panic!("ready.json has no {name}")).to_owned()
    }

    pub fn http(&self) -> String {
        self.text("http")
    }

    pub fn ops(&self) -> String {
        self.text("ops")
    }

    /// `address:port` of the MLLP listener.
    pub fn mllp(&self) -> String {
        self.text("mllp").trim_start_matches("mllp://").to_owned()
    }

    pub fn database_url(&self) -> String {
        self.text("database_url")
    }

    /// The most memory that the server has taken so far, in bytes.
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kb| kb.parse::<usize>().ok()).map_or(0, |kb| kb * 1024)
    }

    pub fn pid(&self) -> u64 {
        self.ready["pid"].as_u64().expect("a pid")
    }

    /// Name and password of the login of a role.
    pub fn login(&self, rol: &str) -> (String, String) {
        let logins = self.ready["logins"].as_array().expect("logins");
        let login = logins.iter().find(|login| login["rol"] == rol).unwrap_or_else(|| panic!("no login of {rol}"));
        (login["usuario"].as_str().unwrap().to_owned(), login["clave"].as_str().unwrap().to_owned())
    }

    /// Id and secret of the client of integracion.
    pub fn client(&self) -> (String, String) {
        let client = &self.ready["client"];
        (client["id"].as_str().unwrap().to_owned(), client["secret"].as_str().unwrap().to_owned())
    }

    pub fn signal(&self, signal: &str) {
        kill(self.pid(), signal);
    }

    /// Waits until the process has ended by itself, or by what a test did to it.
    pub fn ended(&mut self, patience: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the guard can be waited for") {
                return status;
            }
            assert!(started.elapsed() < patience, "the process does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs another command of the binary on this instance's folder.
    pub fn command(&self, arguments: &[&str]) -> Output {
        command(arguments, &[("HISTORIA_DATA_DIR", self.data_dir.to_str().unwrap())], "")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Runs a command of the binary to its end.
pub fn command(arguments: &[&str], env: &[(&str, &str)], stdin: &str) -> Output {
    use std::io::Write;
    let mut command = Command::new(BINARY);
    command.args(arguments);
    bare(&mut command);
    command.envs(env.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let written = child.stdin.take().expect("stdin").write_all(stdin.as_bytes());
    // A command that does not read its input may have closed it.
    drop(written);
    child.wait_with_output().expect("an output")
}

pub fn kill(pid: u64, signal: &str) {
    let _ = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Whether a process runs (a zombie does not).
pub fn alive(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The server that all tests share.
pub fn server() -> &'static Instance {
    static SERVER: OnceLock<Instance> = OnceLock::new();
    SERVER.get_or_init(|| {
        if std::env::var("HISTORIA_TEST_URL").is_ok() {
            return running();
        }
        let start = match std::env::var("HISTORIA_TEST_DATABASE_URL") {
            Ok(url) => Start::dev().with("DATABASE_URL", &database::own(&url)),
            Err(_) if std::env::var("HISTORIA_TEST_CITUS").is_ok_and(|wanted| wanted == "1") => {
                let cluster = cluster().expect("HISTORIA_TEST_CITUS=1 needs a PostgreSQL with the extension citus");
                Start::dev().with("DATABASE_URL", &database::own(&cluster.url))
            }
            Err(_) => Start::dev(),
        };
        start.ready()
    })
}

/// The server of `HISTORIA_TEST_URL`; `HISTORIA_TEST_READY` is the path of its ready.json.
fn running() -> Instance {
    let file = std::env::var("HISTORIA_TEST_READY")
        .expect("HISTORIA_TEST_URL needs HISTORIA_TEST_READY, the path of its ready.json");
    let text = std::fs::read(&file).expect("HISTORIA_TEST_READY can be read");
    let mut ready: Value = serde_json::from_slice(&text).expect("HISTORIA_TEST_READY is a ready.json");
    let url = std::env::var("HISTORIA_TEST_URL").unwrap();
    let url = url.trim_end_matches('/').trim_end_matches("/fhir");
    ready["http"] = url.into();
    ready["fhir"] = format!("{url}/fhir").into();
    let child = Command::new("true").stdin(Stdio::piped()).spawn().expect("true runs");
    let data_dir = Path::new(&file).parent().unwrap_or(Path::new(".")).to_owned();
    Instance { child, data_dir, log: PathBuf::new(), ready }
}
