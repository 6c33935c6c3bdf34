//! `<data_dir>/ready.json`: where a running instance is reached, for scripts, and the block on stdout for people.
//!
//! It appears when every listener answers and goes when the instance ends. It holds passwords of `dev` and perhaps that of
//! the database, so it is 0600.

use super::{Exit, Failure};
use crate::clock;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file, member for member as the contract names them. Addresses are absolute URLs, that of MLLP too
/// (`mllp://127.0.0.1:2575`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    pub pid: u32,
    /// Null when the database is not the embedded one.
    pub postgres_pid: Option<u32>,
    pub http: Option<String>,
    pub https: Option<String>,
    pub fhir: String,
    pub mllp: Option<String>,
    pub ops: Option<String>,
    pub database_url: String,
    /// Only in `dev`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logins: Vec<Login>,
    /// Only in `dev`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    pub rol: String,
    pub usuario: String,
    pub clave: String,
    pub documento_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub id: String,
    pub secret: String,
}

impl Ready {
    pub fn file(data_dir: &Path) -> PathBuf {
        data_dir.join("ready.json")
    }

    /// Puts the file in place whole: who sees it can read all of it.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let new = data_dir.join(format!("ready.json.{}", clock::uuid()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let written = file.write_all(&text).and_then(|()| std::fs::rename(&new, Self::file(data_dir)));
        if written.is_err() {
            let _ = std::fs::remove_file(&new);
        }
        written
    }

    /// Takes the file away: at the end, and at the start when a killed instance left one.
    pub fn remove(data_dir: &Path) -> io::Result<()> {
        match std::fs::remove_file(Self::file(data_dir)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// That of the instance that runs in `data_dir`; none when there is no file or its process is gone.
    pub fn of_running(data_dir: &Path) -> Result<Option<Ready>, Failure> {
        let file = Self::file(data_dir);
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Failure::new(Exit::Failed, format!("cannot read {}: {e}", file.display()))),
        };
        let ready: Ready = serde_json::from_slice(&text)
            .map_err(|e| Failure::new(Exit::Failed, format!("{} is not what historia writes: {e}", file.display())))?;
        Ok(Some(ready).filter(|ready| runs(ready.pid)))
    }

    /// The block for people.
    pub fn block(&self) -> String {
        let mut text = String::from("\nhistoria is ready. Ctrl-C stops it.\n\n");
        let phones = self.https.as_ref().map(|_| format!("{}/conectar", self.fhir.trim_end_matches("/fhir")));
        let rows = [
            ("web", self.https.as_deref().or(self.http.as_deref())),
            ("phones", phones.as_deref()),
            ("FHIR", Some(self.fhir.as_str())),
            ("MLLP", self.mllp.as_deref()),
            ("metrics", self.ops.as_deref()),
        ];
        for (name, address) in rows {
            if let Some(address) = address {
                let _ = writeln!(text, "  {name:<8} {address}");
            }
        }
        if self.postgres_pid.is_some() {
            let _ = writeln!(text, "  psql     psql '{}'", self.database_url);
        }
        if !self.logins.is_empty() {
            text.push_str("\n  role           user             password\n");
        }
        for login in &self.logins {
            let _ = writeln!(text, "  {:<14} {:<16} {}", login.rol, login.usuario, login.clave);
        }
        if let Some(client) = &self.client {
            let _ = writeln!(text, "  {:<14} {:<16} {}   (OAuth client)", "integracion", client.id, client.secret);
        }
        text.push('\n');
        text
    }
}

/// Whether a process with this id lives; one that we may not signal does.
fn runs(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    pid > 0 && !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn ready(pid: u32) -> Ready {
        let login = |rol: &str| Login {
            rol: rol.to_owned(),
            usuario: rol.to_owned(),
            clave: "clave".to_owned(),
            documento_id: "CC-1".to_owned(),
        };
        Ready {
            pid,
            postgres_pid: None,
            http: Some("http://127.0.0.1:8080".to_owned()),
            https: None,
            fhir: "http://127.0.0.1:8080/fhir".to_owned(),
            mllp: None,
            ops: None,
            database_url: "postgres:///historia".to_owned(),
            logins: vec![login("medico")],
            client: None,
        }
    }

    #[test]
    fn it_is_found_while_its_process_lives() {
        let folder = std::env::temp_dir().join(format!("historia-ready-{}", clock::uuid()));
        std::fs::create_dir(&folder).unwrap();
        assert!(Ready::of_running(&folder).unwrap().is_none());
        let own = ready(std::process::id());
        own.write(&folder).unwrap();
        assert_eq!(Ready::of_running(&folder).unwrap(), Some(own));
        let mode = std::fs::metadata(Ready::file(&folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        ready(gone.id()).write(&folder).unwrap();
        assert!(Ready::of_running(&folder).unwrap().is_none());
        Ready::remove(&folder).unwrap();
        Ready::remove(&folder).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn members_are_those_of_the_contract() {
        let value = serde_json::to_value(ready(1)).unwrap();
        let members: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["pid", "postgres_pid", "http", "https", "fhir", "mllp", "ops", "database_url", "logins"]);
        assert!(ready(1).block().contains("medico") && ready(1).block().contains("http://127.0.0.1:8080/fhir"));
        assert!(!ready(1).block().contains("conectar"));
        let https = Ready { https: Some("https://x".to_owned()), fhir: "https://x/fhir".to_owned(), ..ready(1) };
        assert!(https.block().contains("https://x/conectar"));
    }
}
