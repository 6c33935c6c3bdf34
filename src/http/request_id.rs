//! `X-Request-Id`: taken when it is harmless, else made; always returned. Also the log line and the metrics of a request, and
//! the header that every answer has.

use crate::clock;
use crate::telemetry::metric;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest};
use std::time::Instant;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ones are cut off from the log of others.
const LONGEST: usize = 64;

#[derive(Clone)]
struct RequestId(String);

/// The id of a request, as the middleware has set it.
pub fn of(request: &HttpRequest) -> String {
    request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default()
}

/// Twelve characters: people dictate it on the telephone.
fn made() -> String {
    clock::random::<8>().map_or_else(|_| clock::uuid().to_string(), |bytes| clock::base32(&bytes, 12))
}

fn taken(request: &ServiceRequest) -> Option<String> {
    let text = request.headers().get(HEADER)?.to_str().ok()?;
    let harmless = !text.is_empty()
        && text.len() <= LONGEST
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    harmless.then(|| text.to_owned())
}

pub async fn middleware(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let id = taken(&request).unwrap_or_else(made);
    request.extensions_mut().insert(RequestId(id.clone()));
    let started = Instant::now();
    let method = request.method().clone();
    let mut response = next.call(request).await?;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    // No browser takes an answer for a page because of what stands in it.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The template, never the path: ids and search values are personal.
    let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
    let status = response.status().as_u16();
    let seconds = started.elapsed().as_secs_f64();
    metrics::histogram!(metric::HTTP_SECONDS, "route" => route.clone(), "status" => format!("{}xx", status / 100))
        .record(seconds);
    tracing::debug!(request_id = %id, %route, %method, status, ms = seconds * 1000.0, "request");
    Ok(response)
}
