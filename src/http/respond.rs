//! Values -> responses. The source of an error goes to the log here, once, with the request id that the client also sees.

use crate::error::{Error, Kind};
use crate::fhir::outcome;
use crate::http::request_id;
use crate::interaction::Answer;
pub use crate::interaction::Return;
use crate::oauth::token::challenge;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_LOCATION, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use jiff::Timestamp;

pub const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";

/// An error as OperationOutcome.
pub fn error(request: &HttpRequest, error: &Error) -> HttpResponse {
    log(request, error);
    start(error).content_type(FHIR_JSON).body(outcome::to_bytes(error))
}

/// Tells the log of what is our fault.
pub fn log(request: &HttpRequest, error: &Error) {
    if outcome::status(error.kind) >= 500 {
        let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
        let route = request.match_pattern().unwrap_or_default();
        tracing::error!(request_id = %request_id::of(request), route, error = %source, "{error}");
    }
}

/// Status and headers of an error.
pub fn start(error: &Error) -> HttpResponseBuilder {
    let status = StatusCode::from_u16(outcome::status(error.kind)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    if error.kind == Kind::Login {
        response.insert_header((WWW_AUTHENTICATE, challenge(error)));
    }
    if let Some(after) = error.retry_after {
        response.insert_header((RETRY_AFTER, after.as_secs().max(1).to_string()));
    }
    response
}

/// An HTTP date (RFC 9110, 5.6.7).
fn http_date(instant: Timestamp) -> String {
    instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The answer of an interaction.
pub fn answer(base: &str, answer: Answer, wanted: Return) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    // Records are personal: no cache between us and the client keeps them.
    response.insert_header((CACHE_CONTROL, "private, no-cache"));
    if let Some(version) = answer.version {
        response.insert_header((ETAG, format!("W/\"{version}\"")));
    }
    if let Some(updated) = answer.updated {
        response.insert_header((LAST_MODIFIED, http_date(updated)));
    }
    response.insert_header((VARY, "Accept, Authorization, Cookie"));
    if let (200 | 201 | 304, Some(location)) = (answer.status, &answer.location) {
        let location = format!("{base}/{location}");
        if answer.is_write {
            response.insert_header((LOCATION, location.clone()));
        }
        // What the body is, where there is one (RFC 9110, 8.7).
        if !answer.is_write || wanted == Return::Representation {
            response.insert_header((CONTENT_LOCATION, location));
        }
    }
    if let Some(location) = &answer.content_location {
        response.insert_header((CONTENT_LOCATION, format!("{base}/{location}")));
    }
    match (wanted, answer.body) {
        (_, None) => response.finish(),
        (Return::Minimal, _) if answer.is_write => response.finish(),
        (Return::OperationOutcome, _) if answer.is_write => {
            response.insert_header((CONTENT_TYPE, FHIR_JSON)).body(outcome::stored(answer.updated).to_string())
        }
        (_, Some(body)) => response.insert_header((CONTENT_TYPE, FHIR_JSON)).body(body),
    }
}
