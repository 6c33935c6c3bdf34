//! What an earlier PostgreSQL of the same data folder left: its processes and its `postmaster.pid`.
//!
//! Called with the folder locked, so whatever still runs there has no server any more. Processes are recognised by
//! `/proc/PID/cmdline`, which every user may read: the postmaster by its `-D`, its children by the cluster's name.

use crate::error::{Error, Kind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

const POLL: Duration = Duration::from_millis(50);

/// Stops what still runs on `data`, gently first, and clears its `postmaster.pid`.
pub async fn stop(data: &Path, cluster: &str) -> Result<(), Error> {
    // Back ends without postmaster end by themselves; a postmaster takes SIGINT as "fast shutdown".
    for (signal, patience) in [(Signal::SIGINT, 30_000), (Signal::SIGQUIT, 10_000), (Signal::SIGKILL, 10_000)] {
        let found = Found::on(data, cluster);
        if found.is_empty() {
            break;
        }
        tracing::warn!(processes = found.all().count(), signal = %signal, "an orphaned PostgreSQL is stopped");
        // Children follow their postmaster; told one by one only when it is gone or will not go.
        let targets: Vec<i32> = match (found.postmaster, signal) {
            (Some(postmaster), Signal::SIGINT | Signal::SIGQUIT) => vec![postmaster],
            _ => found.all().collect(),
        };
        for pid in targets {
            let _ = kill(Pid::from_raw(pid), signal);
        }
        for _ in 0..patience / POLL.as_millis() {
            if Found::on(data, cluster).is_empty() {
                break;
            }
            sleep(POLL).await;
        }
    }
    if !Found::on(data, cluster).is_empty() {
        return Err(Error::new(Kind::Transient, "an orphaned PostgreSQL of this data folder does not stop"));
    }
    clear(&data.join("postmaster.pid"))
}

/// Clears the lock file of a socket, after [`stop`].
pub fn clear_socket(sockets: &Path, socket: &str) -> Result<(), Error> {
    clear(&sockets.join(format!("{socket}.lock")))
}

/// PostgreSQL refuses to start while the process of a lock file lives, even when that is a zombie, or the number was
/// given to another program since. None of ours runs and the folder is locked, so whatever lock file is there is stale.
fn clear(lock: &Path) -> Result<(), Error> {
    match std::fs::remove_file(lock) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::internal(e)),
        _ => Ok(()),
    }
}

/// Processes of the PostgreSQL on one data folder.
struct Found {
    postmaster: Option<i32>,
    children: Vec<i32>,
}

impl Found {
    fn on(data: &Path, cluster: &str) -> Found {
        let mut found = Found { postmaster: None, children: Vec::new() };
        let Ok(entries) = std::fs::read_dir("/proc") else { return found };
        for entry in entries.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            // Empty for zombies and kernel threads: neither holds the folder.
            let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
            match part(&line, data, cluster) {
                Some(Part::Postmaster) => found.postmaster = Some(pid),
                Some(Part::Child) => found.children.push(pid),
                None => {}
            }
        }
        found
    }

    fn is_empty(&self) -> bool {
        self.postmaster.is_none() && self.children.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = i32> {
        self.postmaster.into_iter().chain(self.children.iter().copied())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Postmaster,
    Child,
}

/// What a command line (arguments ended by NUL) is in the PostgreSQL of `data`.
fn part(line: &[u8], data: &Path, cluster: &str) -> Option<Part> {
    let line = String::from_utf8_lossy(line);
    if line.starts_with(&format!("postgres: {cluster}: ")) {
        return Some(Part::Child);
    }
    let mut arguments = line.split('\0');
    let program = arguments.next()?;
    if Path::new(program).file_name()? != "postgres" {
        return None;
    }
    let is_here = arguments.next() == Some("-D") && arguments.next().is_some_and(|folder| Path::new(folder) == data);
    is_here.then_some(Part::Postmaster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_told_apart() {
        let check = |line: &str, expected: Option<Part>| {
            assert_eq!(part(line.as_bytes(), Path::new("/d/postgresql"), "historia-abc"), expected, "{line:?}");
        };
        check("/usr/lib/postgresql/15/bin/postgres\0-D\0/d/postgresql\0-c\0x=y\0", Some(Part::Postmaster));
        check("postgres\0-D\0/d/postgresql\0", Some(Part::Postmaster));
        check("postgres\0-D\0/d/postgresql2\0", None);
        check("vim\0-D\0/d/postgresql\0", None);
        check("postgres: historia-abc: walwriter \0\0", Some(Part::Child));
        check("postgres: historia-abcd: walwriter \0\0", None);
        check("postgres: walwriter \0", None);
        check("", None);
    }
}
