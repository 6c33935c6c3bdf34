//! `historia serve`: production, with the configured database, or the embedded one when none is configured. Also the life
//! of a server as `dev` has it: bind, start the database, open, listen, tell that it is ready, stop in order.

use super::ready::{Client, Login, Ready};
use super::{Exit, Failure, certs, say};
use crate::app::App;
use crate::config::{Command as For, Config, ConfigError, Environment, LogFormat};
use crate::error::Error;
use crate::hl7v2::mllp;
use crate::hl7v2::plan::Settings;
use crate::hl7v2::sender::Desk;
use crate::http::web::screen::Sendings;
use crate::http::web::turn::Turns;
use crate::http::{Bound, Running, State};
use crate::oauth::dev::DevAccess;
use crate::oauth::token::Authority;
use crate::store::embedded::{DataFolder, Embedded, Tenant};
use crate::telemetry::Telemetry;
use jiff::tz::Offset;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The server, as configured
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  historia serve --config /etc/historia/historia.toml")]
pub struct Arguments {}

pub fn run(file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    let config = Config::load(For::Serve, file, environment)?;
    start(config, environment, false)
}

/// Threads beside those of the HTTP workers: MLLP, audit, jobs.
const THREADS: usize = 2;

/// Runs a server until it is told to stop.
pub fn start(mut config: Config, environment: &Environment, dev: bool) -> Result<Exit, Failure> {
    if config.mllp.tls_listen.is_some() {
        return Err(
            ConfigError::new("mllp.tls_listen", "MLLP over TLS is not in this version; set it to \"off\"").into()
        );
    }
    let telemetry = Telemetry::start(config.log.format == LogFormat::Json, &config.log.level)
        .map_err(|e| ConfigError::new("log.level", e.to_string()))?;
    let path = environment.path();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(Exit::Failed, format!("no runtime: {e}")))?;
    crate::http::block_on(runtime, async move {
        let data = DataFolder::open(
            &config.data_dir,
            if config.database.url.is_some() { Tenant::OwnFiles } else { Tenant::PostgreSql },
        )?;
        certs::prepare(&mut config, dev)?;
        live(config, data, &path, telemetry, dev).await
    })
}

/// What a server listens on, bound before anything else is started.
struct Listeners {
    http: Bound,
    mllp: Option<TcpListener>,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Listeners, ConfigError> {
        let http = Bound::of(config)?;
        let mllp = match config.mllp.listen {
            None => None,
            Some(address) => {
                let bound =
                    TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
                Some(bound.map_err(|e| ConfigError::new("mllp.listen", format!("cannot listen on {address}: {e}")))?)
            }
        };
        Ok(Listeners { http, mllp })
    }

    fn public_url(&self, config: &Config) -> String {
        let own = || certs::https(self.http.tls.as_ref()).or_else(|| Bound::url(self.http.plain.as_ref(), "http"));
        config.http.public_url.clone().or_else(own).unwrap_or_default()
    }
}

async fn live(
    config: Config,
    data: DataFolder,
    path: &[std::path::PathBuf],
    telemetry: Telemetry,
    dev: bool,
) -> Result<Exit, Failure> {
    let mut told = Told::new()?;
    Ready::remove(data.path())
        .map_err(|e| Failure::new(Exit::Failed, format!("cannot remove an old ready.json: {e}")))?;
    let listeners = Listeners::bind(&config)?;
    let mut embedded = match &config.database.url {
        Some(_) => None,
        None => tokio::select! {
            started = Embedded::start(&data, path) => Some(started?),
            () = told.stop_signal() => return Ok(Exit::Done),
        },
    };
    let result = serve(&config, &data, path, &mut embedded, listeners, telemetry, dev, &mut told).await;
    let _ = Ready::remove(data.path());
    if let Some(postgres) = embedded {
        postgres.stop().await?;
    }
    result
}

#[allow(clippy::too_many_arguments, reason = "the parts of one server, used once")]
async fn serve(
    config: &Config,
    data: &DataFolder,
    path: &[std::path::PathBuf],
    embedded: &mut Option<Embedded>,
    listeners: Listeners,
    telemetry: Telemetry,
    dev: bool,
    told: &mut Told,
) -> Result<Exit, Failure> {
    let url = match (&config.database.url, embedded.as_ref()) {
        (Some(url), _) => url.expose().to_owned(),
        (None, Some(postgres)) => postgres.url(),
        (None, None) => return Err(Failure::new(Exit::DatabaseUnreachable, "there is no database")),
    };
    let migrates = dev || config.database.migrate || embedded.is_some();
    let app = App::open(config.clone(), &url, &listeners.public_url(config), migrates).await?;
    let access = if dev { super::dev::prepare(&app).await? } else { DevAccess::default() };
    let _ = app.dev_logins.set(access.logins.iter().map(|login| login.usuario.clone()).collect());
    let ready = ready(&listeners, &app, embedded.as_ref(), &url, access);
    let (settings, lan) = (settings(&app), certs::served(config));
    let stop_mllp = CancellationToken::new();
    let mllp = listeners
        .mllp
        .map(|listener| serve_mllp(&app, listener, settings.clone(), dev, stop_mllp.clone()))
        .transpose()?;
    let authority = Authority::open(app.clone()).await?;
    let running = Running::start(
        listeners.http,
        State {
            app: app.clone(),
            authority,
            telemetry: telemetry.clone(),
            hl7v2: settings,
            sendings: Sendings::default(),
            turns: Turns::default(),
            lan,
        },
    )?;
    tokio::spawn(crate::job::upkeep::run(app.clone(), telemetry));
    tokio::spawn(crate::job::reindex::run(app.clone()));
    ready.write(data.path()).map_err(|e| Failure::new(Exit::Failed, format!("cannot write ready.json: {e}")))?;
    say(&ready.block());

    let result = watch(embedded, data, path, told).await;
    // First nothing new, then what is in hand, then the database.
    app.draining.store(true, Ordering::Relaxed);
    stop_mllp.cancel();
    running.stop().await;
    if let Some(mllp) = mllp {
        let _ = tokio::time::timeout(config.http.shutdown_timeout, mllp).await;
    }
    // Without it the others wait some seconds for what is gone.
    let _ = app.leave().await;
    result
}

/// Waits for a signal; an embedded PostgreSQL that ends by itself is started again.
async fn watch(
    embedded: &mut Option<Embedded>,
    data: &DataFolder,
    path: &[std::path::PathBuf],
    told: &mut Told,
) -> Result<Exit, Failure> {
    loop {
        match embedded {
            None => {
                told.stop_signal().await;
                return Ok(Exit::Done);
            }
            Some(postgres) => tokio::select! {
                () = told.stop_signal() => return Ok(Exit::Done),
                status = postgres.exited() => tracing::error!(?status, "PostgreSQL ended by itself and is started again"),
            },
        }
        *embedded = None;
        *embedded = Some(Embedded::start(data, path).await?);
    }
}

fn serve_mllp(
    app: &Arc<App>,
    listener: TcpListener,
    settings: Settings,
    dev: bool,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, Failure> {
    let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::internal)?;
    let mllp = &app.config.mllp;
    let limits = mllp::Limits {
        frame: app.config.limits.mllp_frame,
        connections: mllp.connections,
        between_bytes: mllp.byte_timeout,
        between_messages: mllp.idle_timeout,
        message: mllp.idle_timeout.max(Duration::from_secs(60)),
        write: mllp.write_timeout,
    };
    let desk = Arc::new(Desk::new(app.clone(), settings, dev));
    let handler = move |frame, peer| {
        let desk = desk.clone();
        async move { desk.handle(frame, peer).await }
    };
    Ok(tokio::spawn(mllp::serve(listener, handler, stop, limits)))
}

/// What a site says about its senders.
fn settings(app: &App) -> Settings {
    Settings {
        processing: app.config.hl7v2.processing_ids.clone(),
        offset: Offset::from_seconds(app.local).unwrap_or(Offset::UTC),
        systems: app.systems.clone(),
        ..Settings::default()
    }
}

fn ready(listeners: &Listeners, app: &App, embedded: Option<&Embedded>, url: &str, access: DevAccess) -> Ready {
    let login = |l: crate::oauth::dev::DevLogin| Login {
        rol: l.rol,
        usuario: l.usuario,
        clave: l.clave,
        documento_id: l.documento_id,
    };
    Ready {
        pid: std::process::id(),
        postgres_pid: embedded.map(Embedded::pid),
        http: Bound::url(listeners.http.plain.as_ref(), "http"),
        https: certs::https(listeners.http.tls.as_ref()),
        fhir: app.base.clone(),
        mllp: Bound::url(listeners.mllp.as_ref(), "mllp"),
        ops: Bound::url(listeners.http.ops.as_ref(), "http"),
        database_url: url.to_owned(),
        logins: access.logins.into_iter().map(login).collect(),
        client: access.client.map(|c| Client { id: c.id, secret: c.secret }),
    }
}

/// SIGTERM and SIGINT.
struct Told {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Told {
    fn new() -> Result<Told, Failure> {
        let hear = |kind| signal(kind).map_err(|e| Failure::new(Exit::Failed, format!("cannot hear signals: {e}")));
        Ok(Told { term: hear(SignalKind::terminate())?, int: hear(SignalKind::interrupt())? })
    }

    async fn stop_signal(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
