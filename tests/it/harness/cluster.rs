//! A Citus cluster of this run's own: a coordinator and two workers on this machine, when its PostgreSQL has the extension.
//!
//! What is made here is a test cluster, nothing that a site would run: no durability, trust on loopback. It ends with the
//! test process, like the instances of the server (`harness::instance`).

use crate::harness::database::{connect, count};
use crate::harness::instance::{command, kill};
use nix::unistd::{Uid, User};
use std::future::Future;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// $1: folder, $2: folder of the programs. Stops what runs there when the pipe to the test process closes.
const GUARD: &str = r#"
trap '' INT TERM
cat >/dev/null
for node in "$1"/*/; do
  pid=$(head -n 1 "$node/postmaster.pid" 2>/dev/null) || continue
  kill -CONT $pid $(pgrep -P $pid) 2>/dev/null
  "$2/pg_ctl" -D "$node" -m immediate -t 30 -w stop
done
rm -rf "$1"
"#;

pub struct Cluster {
    /// Held for its pipe.
    _guard: Child,
    machine: Machine,
    /// The coordinator's, then the workers'.
    ports: Vec<u16>,
    /// The database on the coordinator.
    pub url: String,
}

/// The cluster that the tests of this run share, migrated and distributed; none when the machine's PostgreSQL has no
/// Citus. Its nodes are left alone: who wants to lose some takes nodes of its own.
pub fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| {
            let cluster = Cluster::nodes(2)?;
            let ports = [cluster.ports[0], cluster.ports[1], cluster.ports[2]];
            on_thread(&url(ports[0], "postgres"), move |_| join_nodes(ports));
            migrate_twice(&cluster.url);
            Some(cluster)
        })
        .as_ref()
}

impl Cluster {
    /// A coordinator and some workers that do not know each other, without a database.
    pub fn nodes(workers: usize) -> Option<Cluster> {
        let machine = Machine::new()?;
        if !machine.has_citus() {
            return None;
        }
        let guard = machine.guard();
        let ports: Vec<u16> = (0..=workers).map(|node| machine.node(node)).collect();
        let url = url(ports[0], "historia");
        Some(Cluster { _guard: guard, machine, ports, url })
    }

    /// Nodes of one's own, made a cluster by the command that a site uses.
    pub fn own(workers: usize) -> Option<Cluster> {
        let cluster = Cluster::nodes(workers)?;
        let addresses: Vec<String> = (1..=workers).map(|node| cluster.address(node)).collect();
        let mut arguments = vec!["cluster", "init"];
        for address in &addresses {
            arguments.extend(["--worker", address]);
        }
        let made = command(&arguments, &[("DATABASE_URL", &cluster.url)], "");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(cluster)
    }

    /// `HOST:PORT` of a node; 0 is the coordinator.
    pub fn address(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.ports[node])
    }

    pub fn port(&self, node: usize) -> u16 {
        self.ports[node]
    }

    /// Sends a signal to every process of a node: `KILL` is a machine that is gone, `STOP` one that froze.
    pub fn signal(&self, node: usize, signal: &str) {
        let pid = self.machine.pid(node);
        let children = Command::new("pgrep").arg("-P").arg(pid.to_string()).output().expect("pgrep runs").stdout;
        kill(pid, signal);
        for child in String::from_utf8_lossy(&children).split_whitespace() {
            kill(child.parse().expect("a process id"), signal);
        }
    }

    /// Starts a node that was killed.
    pub fn start(&self, node: usize) {
        // Its port may still be in the hands of a process that is dying.
        for _ in 0..20 {
            if self.machine.start(node) {
                return;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("node {node} does not start:\n{}", self.machine.log(node));
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

async fn join_nodes(ports: [u16; 3]) {
    for port in ports {
        let server = connect(&url(port, "postgres")).await.expect("the node answers");
        server.batch_execute("create database historia").await.expect("a database");
        let database = connect(&url(port, "historia")).await.expect("the node answers");
        database.batch_execute("create extension citus").await.expect("the extension");
    }
    let coordinator = connect(&url(ports[0], "historia")).await.expect("the coordinator answers");
    let mut register = format!("select citus_set_coordinator_host('127.0.0.1', {});", ports[0]);
    for port in &ports[1..] {
        register.push_str(&format!("select citus_add_node('127.0.0.1', {port});"));
    }
    coordinator.batch_execute(&register).await.expect("the workers are registered");
    let started = Instant::now();
    let open = "select count(*) from pg_dist_node where not (hasmetadata and metadatasynced and isactive)";
    while count(&coordinator, open, &[]).await > 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "the metadata of the nodes is not synced");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// As a site grows: the first migration, the distribution, then a newer version, started as two instances at once: one
/// migrates what is distributed already, the other finds it done.
fn migrate_twice(url: &str) {
    let (name, foundation) = historia::store::migrate::MIGRATIONS[0];
    let distribute = include_str!("../../../sql/citus/distribute.sql");
    on_thread(url, move |client| async move {
        let table =
            "create table migration (name text collate \"C\" primary key, applied timestamptz not null default now())";
        client
            .batch_execute(&format!("{table}; {foundation}; insert into migration (name) values ('{name}')"))
            .await
            .expect("the foundation");
        for _ in 0..2 {
            client.batch_execute(distribute).await.unwrap_or_else(|e| panic!("sql/citus/distribute.sql: {e:?}"));
        }
    });
    let migrate = || command(&["migrate", "--json"], &[("DATABASE_URL", url)], "");
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(migrate);
        let other = scope.spawn(migrate);
        (one.join().expect("a migration"), other.join().expect("a migration"))
    });
    let mut applied = 0;
    for output in [one, other] {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        applied += report["applied"].as_array().expect("what was applied").len();
    }
    assert_eq!(applied, historia::store::migrate::MIGRATIONS.len() - 1, "each migration ran once");
}

/// Runs `work` with a connection outside the runtime of the tests, which the caller may be inside of.
fn on_thread<F: Future<Output = ()>>(url: &str, work: impl FnOnce(Client) -> F + Send + 'static) {
    let url = url.to_owned();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move { work(connect(&url).await.expect("the node answers")).await });
    });
    thread.join().expect("the work on the cluster is done");
}

/// PostgreSQL's programs, the folder of the nodes, and the user that they run as.
struct Machine {
    programs: PathBuf,
    folder: PathBuf,
    account: Option<(u32, u32)>,
}

/// Folder of a node; the coordinator is 0.
fn name(node: usize) -> String {
    format!("node{node}")
}

impl Machine {
    fn new() -> Option<Machine> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let programs = programs()?;
        let account = match Uid::effective().is_root() {
            true => User::from_name("postgres").ok().flatten().map(|user| (user.uid.as_raw(), user.gid.as_raw())),
            false => None,
        };
        let folder = std::env::temp_dir().join(format!("historia-citus-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&folder).ok()?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).ok()?;
        if let Some((uid, gid)) = account {
            chown(&folder, Some(uid), Some(gid)).ok()?;
        }
        Some(Machine { programs, folder, account })
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Makes the coordinator's data and asks it, single-user and for a moment, what it could install.
    fn has_citus(&self) -> bool {
        let there = self.initdb(0)
            && self.asks("select name from pg_available_extensions where name = 'citus'").contains("\"citus\"");
        if !there {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
        there
    }

    fn initdb(&self, node: usize) -> bool {
        let mut command = self.program("initdb");
        command
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(self.folder.join(name(node)));
        command.status().is_ok_and(|status| status.success())
    }

    fn asks(&self, question: &str) -> String {
        use std::io::Write;
        let mut command = self.program("postgres");
        command.arg("--single").arg("-D").arg(self.folder.join(name(0))).arg("template1");
        let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else { return String::new() };
        if let Some(mut stdin) = child.stdin.take() {
            let _ = writeln!(stdin, "{question}");
        }
        child.wait_with_output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    fn guard(&self) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard"]).arg(&self.folder).arg(&self.programs);
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the guard starts")
    }

    /// Makes a node on a free port and starts it.
    fn node(&self, node: usize) -> u16 {
        let data = self.folder.join(name(node));
        assert!(data.is_dir() || self.initdb(node), "initdb of node {node}");
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a free port").port();
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nshared_preload_libraries = 'citus'\n\
             wal_level = logical\nmax_prepared_transactions = 200\nmax_connections = 200\nshared_buffers = 64MB\nfsync = off\nssl = off\n\
             citus.node_conninfo = 'sslmode=prefer'\ncitus.shard_count = 8\ncitus.enable_statistics_collection = off\n\
             citus.background_task_queue_interval = 200\n"
        );
        std::fs::write(data.join("postgresql.auto.conf"), settings).expect("settings");
        assert!(self.start(node), "node {node} does not start:\n{}", self.log(node));
        port
    }

    fn start(&self, node: usize) -> bool {
        let mut start = self.program("pg_ctl");
        start
            .args(["-w", "-t", "60", "-D"])
            .arg(self.folder.join(name(node)))
            .arg("-l")
            .arg(self.log_file(node))
            .arg("start");
        start.status().is_ok_and(|status| status.success())
    }

    fn log_file(&self, node: usize) -> PathBuf {
        self.folder.join(format!("{}.log", name(node)))
    }

    fn log(&self, node: usize) -> String {
        std::fs::read_to_string(self.log_file(node)).unwrap_or_default()
    }

    fn pid(&self, node: usize) -> u64 {
        let file = self.folder.join(name(node)).join("postmaster.pid");
        let text = std::fs::read_to_string(file).expect("a running node");
        text.lines().next().and_then(|line| line.trim().parse().ok()).expect("a process id")
    }
}

/// The first on PATH, else Debian's newest.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    debian.sort_by(|a, b| b.cmp(a));
    folders.extend(debian.into_iter().map(|(_, folder)| folder));
    folders
        .into_iter()
        .find(|folder: &PathBuf| ["postgres", "initdb", "pg_ctl"].iter().all(|name| folder.join(name).is_file()))
}
