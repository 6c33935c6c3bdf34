//! A Binary as what it holds (<https://hl7.org/fhir/R4/binary.html#rest>): a body of any other media type is its data, and
//! who asks for that media type gets the data. Whoever speaks FHIR has it as a resource, as ever.
//!
//! What people stored is served from our own address: so it is never shown by a browser, only saved, and never guessed at.

use crate::error::{Error, Kind, Result};
use crate::fhir::format::media;
use crate::fhir::resource::text;
use crate::http::respond::FHIR_JSON;
use crate::http::shape;
use actix_web::body::MessageBody;
use actix_web::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The Binary of a body that is no FHIR, where one is to be written; none where it is not.
pub fn wrapped(request: &HttpRequest, path: &str, body: &[u8]) -> Option<Value> {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let id = match (request.method().as_str(), segments.as_slice()) {
        ("POST", ["Binary"]) => None,
        ("PUT", ["Binary", id]) => Some(*id),
        _ => return None,
    };
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let content_type = header("content-type").filter(|media| media.contains('/') && media::sent(media).is_err())?;
    let mut binary = Map::new();
    binary.insert("resourceType".to_owned(), "Binary".into());
    if let Some(id) = id {
        binary.insert("id".to_owned(), id.into());
    }
    binary.insert("contentType".to_owned(), content_type.into());
    if let Some(reference) = header("x-security-context") {
        binary.insert("securityContext".to_owned(), json!({"reference": reference}));
    }
    if !body.is_empty() {
        binary.insert("data".to_owned(), STANDARD.encode(body).into());
    }
    Some(Value::Object(binary))
}

/// Whether the address is that of one Binary, or of a version of one.
pub fn is_one(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    matches!(segments.as_slice(), ["Binary", _] | ["Binary", _, "_history", _])
}

/// The answer with the data of the Binary as its body, when that is what the client likes best. `refused`: it takes no
/// FHIR, so that it gets the data or nothing.
pub fn unwrapped(request: &HttpRequest, response: HttpResponse, refused: Option<Error>) -> Result<HttpResponse> {
    if response.headers().get(CONTENT_TYPE).is_none_or(|media| media != FHIR_JSON) {
        return Ok(response);
    }
    let (mut head, body) = response.into_parts();
    let Ok(body) = body.try_into_bytes() else {
        return Err(Error::new(Kind::Exception, "internal error"));
    };
    let binary: Value = serde_json::from_slice(&body).map_err(Error::internal)?;
    let content_type = text(&binary, "contentType").unwrap_or_default();
    // Parts of a resource (`_elements`) may be without.
    let data = text(&binary, "data");
    let liked = media::likes_better(&shape::accept(request)?, content_type);
    let (true, Some(data), Ok(content_type)) = (liked, data, HeaderValue::from_str(content_type)) else {
        return match refused {
            Some(error) => Err(error),
            None => Ok(head.set_body(body).map_into_boxed_body()),
        };
    };
    // White space between its groups is allowed.
    let data: String = data.split_ascii_whitespace().collect();
    let data = STANDARD.decode(data).map_err(Error::internal)?;
    let headers = head.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    Ok(head.set_body(data).map_into_boxed_body())
}
