//! Pages for people: the table of their addresses. What all have in common is in [`screen`].
//!
//! | address | file |
//! |---|---|
//! | `/login`, `/logout`, `/idioma`, `/tema` | [`session`] |
//! | `/registro` | [`register`] |
//! | `/admin/...` | [`admin`] |
//! | `/assets/...` | [`assets`] |
//! | `/conectar` | [`connect`] |
//! | `/admision/...` | [`admission`] |
//! | `/resultados/...` | [`lab`] |
//! | `/mi-historia/...` | [`own`] |
//! | `/medico`, `/paciente/{id}` and below | [`medico`] |
//! | `/`, `/cuenta`, `/sesion` | here |

pub mod admin;
pub mod admission;
pub mod assets;
pub mod connect;
pub mod lab;
pub mod medico;
pub mod own;
pub mod register;
pub mod screen;
pub mod session;
pub mod turn;

use crate::access::Role;
use crate::error::{Error, Kind, Result};
use crate::http::State;
use crate::view;
use crate::view::visit::{Reply, Visit};
use actix_web::{HttpRequest, web};
pub use screen::failed;
use screen::{act, form, other, screen};

pub fn routes(config: &mut web::ServiceConfig) {
    assets::name_assets();
    open(config);
    admission::routes(config);
    own::routes(config);
    medico::routes(config);
    lab::routes(config);
    admin::routes(config);
    config
        .service(screen("/", &[], home))
        .service(screen("/sesion", &[], still_here))
        .service(form("/cuenta", &[], view::account::page, view::account::change))
        .service(act("/cuenta/sesion", &[], view::account::end))
        .service(act("/paciente/{id}/codigo", &[Role::Admisionista], view::activation::make));
}

/// What answers without a session.
fn open(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/login")
                .route(web::get().to(session::login_page))
                .route(web::head().to(session::login_page))
                .route(web::post().to(session::login))
                .default_service(other("GET, HEAD, POST")),
        )
        .service(web::resource("/login/olvido").route(web::get().to(session::forgotten)).default_service(other("GET")))
        .service(web::resource("/logout").route(web::post().to(session::logout)).default_service(other("POST")))
        .service(
            web::resource("/registro")
                .route(web::get().to(register::show))
                .route(web::head().to(register::show))
                .route(web::post().to(register::submit))
                .default_service(other("GET, HEAD, POST")),
        )
        .configure(connect::routes)
        .service(web::resource("/idioma/{code}").route(web::get().to(session::choose)).default_service(other("GET")))
        .service(web::resource("/tema/{code}").route(web::get().to(session::choose)).default_service(other("GET")))
        .service(
            web::resource("/assets/{name}")
                .route(web::get().to(assets::serve))
                .route(web::head().to(assets::serve))
                .default_service(other("GET, HEAD")),
        );
}

/// Whether a request comes from a page of this server: only then may a cookie change something.
pub fn is_same_origin(request: &HttpRequest, state: &State) -> bool {
    super::origin::site(request, state) == super::origin::Site::Same
}

fn absent() -> Error {
    Error::new(Kind::NotFound, "there is no such address")
}

/// `/`: to the desk of the role.
async fn home(visit: &Visit) -> Result<Reply> {
    Ok(Reply::see(view::page::home(visit.caller.role)))
}

/// `/sesion`: says that somebody is there.
async fn still_here(_: &Visit) -> Result<Reply> {
    Ok(Reply::Json { status: 200, body: "{}".to_owned() })
}
