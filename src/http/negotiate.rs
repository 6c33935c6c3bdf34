//! Media types of FHIR in and out (<https://hl7.org/fhir/R4/http.html#mime-type>). JSON only so far.

use crate::error::{Error, Kind, Result};
use crate::http::respond::Return;
use actix_web::HttpRequest;
use actix_web::http::header::{ACCEPT, CONTENT_TYPE};

/// Media types and `_format` codes that mean JSON.
fn is_json(media: &str) -> bool {
    matches!(media, "application/fhir+json" | "application/json" | "json" | "text/json" | "application/json+fhir")
}

/// Whether JSON will do: `_format` wins over Accept.
pub fn wants(request: &HttpRequest, format: Option<&str>) -> Result<()> {
    let refused = || Error::new(Kind::NotAcceptable, "only application/fhir+json can be served");
    if let Some(format) = format {
        let media = format.split(';').next().unwrap_or(format).trim().replace(' ', "+");
        return if is_json(&media) { Ok(()) } else { Err(refused()) };
    }
    let Some(accept) = request.headers().get(ACCEPT) else { return Ok(()) };
    let accept = accept.to_str().map_err(|_| refused())?.to_ascii_lowercase();
    let fits = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let none = parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.trim_matches(['0', '.']).is_empty()));
        !none && (is_json(media) || matches!(media, "*/*" | "application/*" | ""))
    };
    if accept.split(',').map(str::trim).any(fits) { Ok(()) } else { Err(refused()) }
}

/// Whether the body is JSON.
pub fn sends(request: &HttpRequest) -> Result<()> {
    let refused = || Error::new(Kind::UnsupportedMediaType, "the body must be application/fhir+json");
    let Some(media) = request.headers().get(CONTENT_TYPE) else { return Err(refused()) };
    let media = media.to_str().map_err(|_| refused())?.to_ascii_lowercase();
    let media = media.split(';').next().unwrap_or_default().trim();
    if is_json(media) { Ok(()) } else { Err(refused()) }
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
