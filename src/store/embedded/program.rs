//! The programs of PostgreSQL on this machine: finding them, `initdb`, and the settings that ours runs with.
//!
//! PostgreSQL's settings: <https://www.postgresql.org/docs/15/runtime-config.html>.

use super::folder::{self, DataFolder};
use super::{DATABASE, StartError, failed};
use crate::config::ConfigError;
use std::path::{Path, PathBuf};
use std::process::Output;
use tokio::process::Command;

/// Where Debian keeps them, one folder per major version.
const DEBIAN: &str = "/usr/lib/postgresql";
const OLDEST: u32 = 14;

/// One installation of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    folder: PathBuf,
    major: u32,
}

impl Program {
    /// The first on PATH, then the newest of Debian's; with data already there, the one of its version.
    pub async fn find(path: &[PathBuf], data: &Path) -> Result<Program, StartError> {
        let mut programs = Vec::new();
        for folder in candidates(path, Path::new(DEBIAN)) {
            if let Some(major) = version(&folder).await {
                programs.push(Program { folder, major });
            }
        }
        let text = std::fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
        Ok(choose(programs, text.trim().parse().ok())?)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes the data in a folder beside `data` and renames it, so that a half-made one is never taken for whole.
    pub async fn initialise(&self, folder: &DataFolder, data: &Path) -> Result<(), StartError> {
        let new = folder.path().join("postgresql.new");
        let mut words = String::new();
        // Order by code point, and letters known beyond ASCII; C is everywhere.
        for locale in ["C.UTF-8", "C"] {
            if new.exists() {
                std::fs::remove_dir_all(&new).map_err(|e| folder::cannot(&new, "remove", &e))?;
            }
            let new = folder.own_folder("postgresql.new")?;
            let output =
                self.initdb(folder, &new, locale).await.map_err(|e| failed("initdb cannot be started").caused_by(e))?;
            if output.status.success() {
                std::fs::rename(&new, data).map_err(|e| folder::cannot(data, "make", &e))?;
                return Ok(());
            }
            words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " | ");
        }
        Err(failed(&format!("initdb could not make the database files: {words}")).into())
    }

    async fn initdb(&self, folder: &DataFolder, new: &Path, locale: &str) -> std::io::Result<Output> {
        let mut command = Command::new(self.file("initdb"));
        // Whoever can reach the socket is in: its folder is closed to all but the owner.
        command.args(["--encoding=UTF8", "--auth-local=trust", "--auth-host=reject", "--data-checksums"]);
        command.arg(format!("--username={DATABASE}")).arg(format!("--locale={locale}")).arg("-D").arg(new);
        folder.run_as_owner(&mut command);
        command.stdin(std::process::Stdio::null()).process_group(0).kill_on_drop(true).output().await
    }
}

/// Folders that hold `postgres` and `initdb`: those of PATH through symbolic links, then Debian's, newest first.
fn candidates(path: &[PathBuf], debian: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = path
        .iter()
        .filter_map(|folder| folder.join("postgres").canonicalize().ok()?.parent().map(Path::to_owned))
        .collect();
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(debian)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    folders.extend(versions.into_iter().map(|(_, folder)| folder));
    let mut seen = Vec::new();
    for folder in folders {
        if !seen.contains(&folder) && folder.join("postgres").is_file() && folder.join("initdb").is_file() {
            seen.push(folder);
        }
    }
    seen
}

/// Major version by `postgres --version`: `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
async fn version(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres")).arg("--version").kill_on_drop(true).output().await.ok()?;
    major(&String::from_utf8_lossy(&output.stdout))
}

fn major(text: &str) -> Option<u32> {
    let number = text.split_once(") ")?.1;
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number.get(..end)?.parse().ok()
}

fn choose(programs: Vec<Program>, data_version: Option<u32>) -> Result<Program, ConfigError> {
    let key = "database.url";
    let found: Vec<String> = programs.iter().map(|program| program.major.to_string()).collect();
    let chosen = match data_version {
        Some(version) => programs.into_iter().find(|program| program.major == version),
        None => programs.into_iter().find(|program| program.major >= OLDEST),
    };
    chosen.ok_or_else(|| match (data_version, found.is_empty()) {
        (Some(version), _) => ConfigError::new(
            key,
            format!("is not set, and the data folder was made by PostgreSQL {version}, which is not on this machine: install it (Debian: apt-get install postgresql-{version}), or set database.url"),
        ),
        (None, true) => ConfigError::new(
            key,
            "is not set, and there is no PostgreSQL on this machine to run: install it (Debian: apt-get install postgresql), or set database.url",
        ),
        (None, false) => ConfigError::new(
            key,
            format!("is not set, and PostgreSQL {} on this machine is too old: {OLDEST} or newer is needed (Debian: apt-get install postgresql), or set database.url", found.join(", ")),
        ),
    })
}

/// Memory that this process may use, in MiB: the machine's, or what its control group leaves.
pub fn memory() -> u64 {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = text("/proc/meminfo").lines().find_map(|line| {
        line.strip_prefix("MemTotal:").and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
    });
    let group = text("/sys/fs/cgroup/memory.max").trim().parse::<u64>().ok().map(|bytes| bytes >> 20);
    let machine = machine.map_or(2_048, |kilobytes| kilobytes >> 10);
    group.map_or(machine, |group| group.min(machine))
}

/// `postgresql.conf` of ours, written anew at each start. `memory` in MiB.
pub fn settings(sockets: &Path, logs: &Path, cluster: &str, memory: u64) -> String {
    let quoted = |path: &Path| path.display().to_string().replace('\'', "''");
    let shared = (memory / 16).clamp(128, 1_024);
    let cache = (memory / 2).clamp(256, 65_536);
    format!(
        "# Written by historia at each start. Settings of your own belong in postgresql.local.conf beside this file.
cluster_name = '{cluster}'
# Reached by the socket only; its folder is closed.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 200
# The defaults of PostgreSQL are for machines of 1 GB; this one has {memory} MiB.
shared_buffers = {shared}MB
effective_cache_size = {cache}MB
# Durable, always: what was acknowledged is on disk.
fsync = on
synchronous_commit = on
full_page_writes = on
wal_compression = on
max_wal_size = 2GB
min_wal_size = 256MB
checkpoint_timeout = 10min
# Compiling takes longer than any of our statements.
jit = off
# Above 1 MB a search pays for the writes before it.
gin_pending_list_limit = 1024kB
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
default_text_search_config = 'pg_catalog.simple'
# The log names no values: no statement texts, no parameters, no DETAIL or CONTEXT of errors.
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_min_error_statement = panic
log_error_verbosity = terse
logging_collector = on
log_directory = '{logs}'
log_filename = 'postgresql-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
log_rotation_size = 0
log_line_prefix = '%m [%p] '
include_if_exists = 'postgresql.local.conf'
",
        sockets = quoted(sockets),
        logs = quoted(logs),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let check = |text: &str, expected: Option<u32>| assert_eq!(major(text), expected, "{text}");
        check("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15));
        check("postgres (PostgreSQL) 18beta1", Some(18));
        check("postgres (PostgreSQL) 9.6.24", Some(9));
        check("something else", None);
    }

    #[test]
    fn the_program_fits_the_data() {
        let programs =
            || [13, 15, 17].map(|major| Program { folder: PathBuf::from(format!("/{major}")), major }).to_vec();
        let check = |programs, data, expected: Result<u32, &str>| match (choose(programs, data), expected) {
            (Ok(program), Ok(major)) => assert_eq!(program.major, major),
            (Err(error), Err(words)) => {
                assert!(error.sentence.contains(words) && error.key == "database.url", "{error}")
            }
            (outcome, expected) => panic!("{outcome:?}, not {expected:?}"),
        };
        check(programs(), None, Ok(15));
        check(programs(), Some(17), Ok(17));
        check(programs(), Some(16), Err("apt-get install postgresql-16"));
        check(Vec::new(), None, Err("apt-get install postgresql)"));
        check(programs().into_iter().take(1).collect(), None, Err("too old"));
    }

    #[test]
    fn no_folder_without_both_programs() {
        assert_eq!(candidates(&[PathBuf::from("/nonexistent")], Path::new("/nonexistent")), Vec::<PathBuf>::new());
    }
}
