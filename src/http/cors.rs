//! CORS (<https://fetch.spec.whatwg.org/#http-cors-protocol>) for apps in the browser: the origins of `http.cors` may use the
//! FHIR API and the OAuth endpoints with their token. Never with a cookie: no answer allows credentials. What is open to
//! all (`metadata`, `openapi.json`) is open to every page.

use crate::http::State;
use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, web};
use std::sync::Arc;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Accept, Accept-Language, Authorization, Content-Encoding, Content-Type, If-Match, If-Modified-Since, If-None-Exist, If-None-Match, Prefer, X-Request-Id, X-Security-Context",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Content-Location, ETag, Last-Modified, Location, Retry-After, WWW-Authenticate, X-Request-Id",
);
/// Seconds that a browser may remember an answer: a change of the configuration counts after ten minutes at the latest.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// What of the server pages of other origins may use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    None,
    Configured,
    All,
}

fn reach(path: &str) -> Reach {
    let path = path.trim_end_matches('/');
    match path {
        "/fhir/metadata" | "/openapi.json" => Reach::All,
        "/fhir" | "/oauth/token" | "/oauth/jwks" => Reach::Configured,
        _ if path.starts_with("/fhir/") => Reach::Configured,
        _ => Reach::None,
    }
}

/// What `Access-Control-Allow-Origin` says, if anything.
fn allowed(path: &str, origin: &HeaderValue, configured: &[String]) -> Option<HeaderValue> {
    match reach(path) {
        Reach::None => None,
        Reach::All => Some(HeaderValue::from_static("*")),
        Reach::Configured if configured.iter().any(|known| known == "*") => Some(HeaderValue::from_static("*")),
        Reach::Configured => {
            configured.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
        }
    }
}

pub async fn middleware<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if reach(request.path()) == Reach::None {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    }
    let state = request.app_data::<web::Data<State>>().map(|state| Arc::clone(state));
    let configured = state.as_ref().map_or(&[][..], |state| &state.app.config.http.cors);
    let origin = request.headers().get(ORIGIN).cloned();
    let allowed = origin.as_ref().and_then(|origin| allowed(request.path(), origin, configured));
    let asks_first =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if asks_first && origin.is_some() {
        let mut response = HttpResponse::NoContent().finish();
        tell(response.headers_mut(), allowed.as_ref());
        if allowed.is_some() {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
            response.headers_mut().insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
        }
        return Ok(request.into_response(response).map_into_right_body());
    }
    let mut response = next.call(request).await?;
    tell(response.headers_mut(), allowed.as_ref());
    if allowed.is_some() {
        response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    Ok(response.map_into_left_body())
}

/// The same address answers other origins otherwise.
fn tell(headers: &mut HeaderMap, allowed: Option<&HeaderValue>) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(allowed) = allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_use_what() {
        let check = |path: &str, origin: &'static str, configured: &[&str], expected: Option<&str>| {
            let configured: Vec<String> = configured.iter().map(|one| (*one).to_owned()).collect();
            let found = allowed(path, &HeaderValue::from_static(origin), &configured);
            assert_eq!(found.as_ref().and_then(|value| value.to_str().ok()), expected, "{path} {origin}");
        };
        let app = "https://app.example.org";
        check("/fhir/Patient/1", app, &[app], Some(app));
        check("/fhir", app, &["https://other.example.org", app], Some(app));
        check("/oauth/token", app, &["*"], Some("*"));
        check("/fhir/metadata", app, &[], Some("*"));
        check("/openapi.json", "null", &[], Some("*"));
        check("/fhir/Patient/1", app, &[], None);
        check("/fhir/Patient/1", "https://app.example.org.evil", &[app], None);
        check("/fhir/Patient/1", "http://app.example.org", &[app], None);
        check("/fhir/Patient/1", "null", &[app], None);
        // Pages and sign-in are for our own pages alone.
        for path in ["/login", "/", "/paciente/1", "/fhirx", "/hl7v2", "/exportar_pdf/1"] {
            check(path, app, &["*"], None);
        }
    }
}
