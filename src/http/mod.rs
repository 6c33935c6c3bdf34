//! Stub of the lead's file: only what the handlers of sessions and tokens need to compile. On merge the lead's wins.

pub mod oauth;
pub mod session;
pub mod web;

use crate::app::App;
use crate::clock;
use crate::oauth::Authority;
use actix_web::{HttpMessage, HttpRequest};
use std::sync::Arc;

pub struct State {
    pub app: Arc<App>,
    pub authority: Arc<Authority>,
}

/// The request id, put into the extensions by the middleware.
#[derive(Clone)]
pub struct RequestId(pub String);

pub fn request_id(req: &HttpRequest) -> String {
    req.extensions().get::<RequestId>().map_or_else(|| clock::uuid().to_string(), |id| id.0.clone())
}

pub mod respond {
    use crate::error::{Error, Kind};
    use crate::fhir::outcome;
    use crate::oauth::token::challenge;
    use actix_web::http::StatusCode;
    use actix_web::{HttpRequest, HttpResponse};

    pub fn error(_: &HttpRequest, error: Error) -> HttpResponse {
        let status = StatusCode::from_u16(outcome::status(error.kind)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if error.kind == Kind::Login {
            response.insert_header(("WWW-Authenticate", challenge(&error)));
        }
        response.content_type("application/fhir+json").body(outcome::to_bytes(&error))
    }
}
