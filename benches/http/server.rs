//! The two servers under load, as child processes: both end with the bench.

use crate::floor;
use crate::{Result, load};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The first start makes the database.
const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(30);

/// A child that is told to stop when this goes.
struct Process {
    child: Child,
    folder: Option<PathBuf>,
}

impl Process {
    fn end(&mut self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        if self.child.try_wait()?.is_none() {
            let _ = kill(pid, Signal::SIGTERM);
        }
        let until = Instant::now() + STOP;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(folder) = self.folder.take() {
            std::fs::remove_dir_all(folder)?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// `historia dev` on a data folder of its own.
pub struct Historia {
    process: Process,
    pub pid: u32,
    pub postgres_pid: u32,
    pub address: SocketAddr,
    pub database_url: String,
    /// `authorization: Bearer ...`, of a médico.
    pub authorization: String,
    ready: Value,
}

impl Historia {
    /// `data`: a folder that stays; else it goes with the bench.
    pub async fn start(binary: Option<&Path>, data: Option<&Path>) -> Result<Historia> {
        let folder = std::env::temp_dir().join(format!("historia-bench-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&folder)?;
        // PostgreSQL runs as another user than root and must be able to come here.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
        let data = data.map_or_else(|| Ok(folder.join("data")), std::path::absolute)?;
        std::fs::create_dir_all(&data)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let child = Command::new(binary.unwrap_or(Path::new(env!("CARGO_BIN_EXE_historia"))))
            .arg("dev")
            .env("HISTORIA_DATA_DIR", &data)
            .env("HISTORIA_HTTP__LISTEN", "127.0.0.1:0")
            .env("HISTORIA_OPS__LISTEN", "127.0.0.1:0")
            .env("HISTORIA_MLLP__LISTEN", "off")
            .env_remove("HISTORIA_CONFIG")
            .env_remove("DATABASE_URL")
            .env_remove("HISTORIA_DATABASE__URL")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut process = Process { child, folder: Some(folder.clone()) };
        let ready = ready(&mut process.child, &data.join("ready.json"), &folder.join("log")).await?;
        let text = |name: &str| ready.get(name).and_then(Value::as_str).ok_or(format!("ready.json has no {name}"));
        let number = |name: &str| ready.get(name).and_then(Value::as_u64).ok_or(format!("ready.json has no {name}"));
        let address: SocketAddr = text("http")?.trim_start_matches("http://").parse()?;
        Ok(Historia {
            pid: u32::try_from(number("pid")?)?,
            postgres_pid: u32::try_from(number("postgres_pid")?)?,
            address,
            database_url: text("database_url")?.to_owned(),
            authorization: sign_in(address, &ready, "medico").await?,
            process,
            ready,
        })
    }

    /// Name and password of the login of a role.
    pub fn login(&self, role: &str) -> Result<&Value> {
        login(&self.ready, role)
    }

    /// The header of a new token of the client, of role integracion.
    pub async fn client_authorization(&self) -> Result<String> {
        let of =
            |name: &str| self.ready.pointer(&format!("/client/{name}")).and_then(Value::as_str).unwrap_or_default();
        let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", of("id"), of("secret"));
        let mut request = Vec::new();
        load::request(
            "POST",
            "/oauth/token",
            "content-type: application/x-www-form-urlencoded\r\n",
            &form,
            &mut request,
        );
        token(load::once(self.address, &request).await?)
    }

    /// The header of a new session of a role.
    pub async fn authorization(&self, role: &str) -> Result<String> {
        sign_in(self.address, &self.ready, role).await
    }

    pub fn stop(mut self) -> Result<()> {
        self.process.end()
    }
}

async fn ready(child: &mut Child, file: &Path, log: &Path) -> Result<Value> {
    let until = Instant::now() + START;
    loop {
        if let Ok(text) = std::fs::read(file) {
            return Ok(serde_json::from_slice(&text)?);
        }
        if let Some(status) = child.try_wait()? {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            return Err(format!("historia ended with {status}\n{log}").into());
        }
        if Instant::now() > until {
            return Err("historia is not ready in time".into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn login<'r>(ready: &'r Value, role: &str) -> Result<&'r Value> {
    let mut logins = ready.get("logins").and_then(Value::as_array).into_iter().flatten();
    let found = logins.find(|login| login.get("rol").and_then(Value::as_str) == Some(role));
    found.ok_or_else(|| format!("ready.json has no login of {role}").into())
}

async fn sign_in(address: SocketAddr, ready: &Value, role: &str) -> Result<String> {
    let medico = login(ready, role)?;
    let body = serde_json::json!({"usuario": medico.get("usuario"), "clave": medico.get("clave")}).to_string();
    let mut request = Vec::new();
    load::request(
        "POST",
        "/login",
        "content-type: application/json\r\naccept: application/json\r\n",
        &body,
        &mut request,
    );
    token(load::once(address, &request).await?)
}

fn token((status, answer): (u16, Vec<u8>)) -> Result<String> {
    let answer: Value = serde_json::from_slice(&answer)?;
    match answer.get("access_token").and_then(Value::as_str) {
        Some(token) if status == 200 => Ok(format!("authorization: Bearer {token}\r\n")),
        _ => Err(format!("the sign-in was answered {status}").into()),
    }
}

/// The floor on the same PostgreSQL.
pub struct Floor {
    _process: Process,
    pub pid: u32,
    pub address: SocketAddr,
}

impl Floor {
    pub async fn start(database_url: &str) -> Result<Floor> {
        let config: tokio_postgres::Config = database_url.parse()?;
        batch(&config, &format!("create database {}", floor::DATABASE)).await?;
        batch(config.clone().dbname(floor::DATABASE), floor::TABLE).await?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["floor", database_url])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take();
        let process = Process { child, folder: None };
        let mut line = String::new();
        BufReader::new(out.ok_or("the floor has no output")?).read_line(&mut line)?;
        Ok(Floor { pid: process.child.id(), address: line.trim().parse()?, _process: process })
    }
}

/// Opens a connection of the bench's own.
pub async fn connect(config: &tokio_postgres::Config) -> Result<tokio_postgres::Client> {
    let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn batch(config: &tokio_postgres::Config, sql: &str) -> Result<()> {
    Ok(connect(config).await?.batch_execute(sql).await?)
}
