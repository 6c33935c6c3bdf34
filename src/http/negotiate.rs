//! What headers ask for (<https://hl7.org/fhir/R4/http.html#mime-type>); the outside of the answer is `http::shape`.

use crate::error::Result;
use crate::fhir::format::{Format, media};
use crate::http::respond::Return;
use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;

/// The format of the body.
pub fn sends(request: &HttpRequest) -> Result<Format> {
    media::sent(request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default())
}

/// `Prefer: handling=lenient` (<https://hl7.org/fhir/R4/search.html#errors>); the last one counts.
pub fn is_lenient(request: &HttpRequest) -> bool {
    let values = request.headers().get_all("prefer").filter_map(|v| v.to_str().ok());
    let handling = values.flat_map(|v| v.split([',', ';'])).filter_map(|one| one.trim().strip_prefix("handling="));
    handling.last() == Some("lenient")
}

/// `Prefer: return=...`; what it does not know it does not heed.
pub fn prefers(request: &HttpRequest) -> Option<Return> {
    let values = request.headers().get_all("prefer").filter_map(|v| v.to_str().ok());
    for preference in values.flat_map(|v| v.split([',', ';'])).map(str::trim) {
        match preference {
            "return=minimal" => return Some(Return::Minimal),
            "return=representation" => return Some(Return::Representation),
            "return=OperationOutcome" => return Some(Return::OperationOutcome),
            _ => {}
        }
    }
    None
}
