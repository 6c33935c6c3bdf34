//! Bytes <-> values: actix-web, the route table on one page, and nothing that decides.
//!
//! | address | file |
//! |---|---|
//! | `/fhir/...` | [`fhir`] |
//! | `/oauth/token`, `/oauth/jwks` | [`oauth`] |
//! | pages: `/`, `/login`, `/cuenta`, `/admin`, `/paciente/{id}`, `/conectar`, `/assets/...` | [`web`] |
//! | `/hl7v2` | [`hl7v2`] |
//! | `/openapi.json` | [`openapi`] |
//! | `/livez`, `/readyz`, `/metrics` | [`health`] |

pub mod binary;
pub mod body;
pub mod cors;
pub mod fhir;
pub mod health;
pub mod hl7v2;
pub mod negotiate;
pub mod oauth;
pub mod openapi;
pub mod origin;
pub mod request_id;
pub mod respond;
pub mod shape;
pub mod tls;
pub mod web;

use crate::app::App;
use crate::config::{Config, ConfigError};
use crate::error::{Error, Kind};
use crate::oauth::token::Authority;
use crate::telemetry::Telemetry;
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App as Router, HttpRequest, HttpResponse, HttpServer, web as routes};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// Runs `work` as the main task of a process that serves: actix-web wants its own system around the runtime.
pub fn block_on<T>(runtime: tokio::runtime::Runtime, work: impl Future<Output = T>) -> T {
    let mut runtime = Some(runtime);
    let system = actix_web::rt::System::with_tokio_rt(move || match runtime.take() {
        Some(runtime) => runtime,
        // The closure is called once; a second runtime could only be asked for by a change of the library.
        None => tokio::runtime::Runtime::new().unwrap_or_else(|_| std::process::abort()),
    });
    system.block_on(work)
}

/// What every handler may use.
pub struct State {
    pub app: Arc<App>,
    pub authority: Arc<Authority>,
    pub telemetry: Telemetry,
    pub hl7v2: crate::hl7v2::plan::Settings,
    pub sendings: web::screen::Sendings,
    /// Of the pages.
    pub turns: web::turn::Turns,
    /// Of the certificate that is served, when it is our own.
    pub lan: Option<crate::lan::authority::Authority>,
}

/// The routes for people and programs.
fn public(config: &mut routes::ServiceConfig) {
    config
        .route("/fhir", routes::route().to(fhir::handle))
        .route("/fhir/{tail:.*}", routes::route().to(fhir::handle))
        .configure(oauth::routes)
        .configure(openapi::routes)
        .configure(web::routes)
        .route("/hl7v2", routes::post().to(hl7v2::receive))
        .configure(health::probes)
        .default_service(routes::route().to(nowhere));
}

/// The routes of `ops.listen`: no login, so loopback only by default.
fn ops(config: &mut routes::ServiceConfig) {
    config
        .configure(health::probes)
        .route("/metrics", routes::get().to(health::metrics))
        .default_service(routes::route().to(nowhere));
}

async fn nowhere(request: HttpRequest, state: routes::Data<State>) -> HttpResponse {
    web::failed(&state, &request, None, &Error::new(Kind::NotFound, "there is no such address"))
}

/// Listeners that are bound but not served yet: a port in use is known before anything else is started.
pub struct Bound {
    pub plain: Option<TcpListener>,
    pub tls: Option<TcpListener>,
    pub ops: Option<TcpListener>,
}

fn bind(address: Option<SocketAddr>, key: &str) -> Result<Option<TcpListener>, ConfigError> {
    let Some(address) = address else { return Ok(None) };
    let bound = TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map(Some).map_err(|e| ConfigError::new(key, format!("cannot listen on {address}: {e}")))
}

impl Bound {
    pub fn of(config: &Config) -> Result<Bound, ConfigError> {
        Ok(Bound {
            plain: bind(config.http.listen, "http.listen")?,
            tls: bind(config.http.tls_listen, "http.tls_listen")?,
            ops: bind(config.ops.as_ref().copied(), "ops.listen")?,
        })
    }

    /// `scheme://address` of a listener.
    pub fn url(listener: Option<&TcpListener>, scheme: &str) -> Option<String> {
        let address = listener?.local_addr().ok()?;
        Some(format!("{scheme}://{address}"))
    }
}

/// The servers in work.
pub struct Running {
    handles: Vec<ServerHandle>,
}

impl Running {
    /// Serves until [`Running::stop`].
    pub fn start(bound: Bound, state: State) -> Result<Running, Error> {
        let config = state.app.config.clone();
        let state = routes::Data::new(state);
        let mut handles = Vec::new();
        let shared = state.clone();
        let mut server = HttpServer::new(move || {
            Router::new()
                .wrap(from_fn(cors::middleware))
                .wrap(from_fn(request_id::middleware))
                .app_data(shared.clone())
                .configure(public)
        })
        .workers(config.http.workers)
        .max_connections(config.http.connections)
        .keep_alive(config.http.keep_alive)
        .client_request_timeout(config.http.head_timeout)
        .shutdown_timeout(config.http.shutdown_timeout.as_secs())
        .disable_signals();
        if let Some(listener) = bound.plain {
            server = server.listen(listener).map_err(Error::internal)?;
        }
        if let (Some(listener), Some(cert), Some(key)) = (bound.tls, &config.http.tls_cert, &config.http.tls_key) {
            server = server.listen_rustls_0_23(listener, tls::server_config(cert, key)?).map_err(Error::internal)?;
        }
        let server = server.run();
        handles.push(server.handle());
        actix_web::rt::spawn(server);
        if let Some(listener) = bound.ops {
            let server = HttpServer::new(move || {
                Router::new().wrap(from_fn(request_id::middleware)).app_data(state.clone()).configure(ops)
            })
            .workers(1)
            .shutdown_timeout(1)
            .disable_signals()
            .listen(listener)
            .map_err(Error::internal)?
            .run();
            handles.push(server.handle());
            actix_web::rt::spawn(server);
        }
        Ok(Running { handles })
    }

    /// Takes no new connection, lets what is in hand end, closes.
    pub async fn stop(self) {
        for handle in self.handles {
            handle.stop(true).await;
        }
    }
}
