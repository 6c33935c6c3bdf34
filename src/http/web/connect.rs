//! `/conectar`: how a phone comes to this server, and the authority that it is to trust.

use super::screen::{failed, other, page, reader, strict, theme};
use crate::http::State;
use crate::http::respond;
use crate::view::connect::{self, Way};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/conectar")
                .route(web::get().to(show))
                .route(web::head().to(show))
                .default_service(other("GET, HEAD")),
        )
        .service(
            web::resource("/conectar/ca.crt")
                .route(web::get().to(authority))
                .route(web::head().to(authority))
                .default_service(other("GET, HEAD")),
        );
}

async fn show(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    let reader = reader(&req, &state);
    let way = Way { url: state.app.public_url(), authority: state.lan.as_ref() };
    match connect::page(&reader, theme(&req), &state.app.config.institution.name, way) {
        Ok(html) => {
            let mut response = page(StatusCode::OK, reader.language);
            strict(&mut response, state.app.public_url());
            response.body(html)
        }
        Err(error) => failed(&state, &req, None, &error),
    }
}

/// The certificate as phones install it.
async fn authority(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    let Some(authority) = &state.lan else { return respond::error(&req, &super::absent()) };
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/x-x509-ca-cert"))
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"historia-ca.crt\""))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .body(authority.der.clone())
}
