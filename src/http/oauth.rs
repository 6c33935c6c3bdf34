//! The OAuth endpoints, open to all. Their errors are RFC 6749 JSON, not OperationOutcomes.

use super::{State, request_id};
use crate::error::{Error, Kind};
use crate::oauth::{Issued, form, grant};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde_json::{Value, json};

pub fn routes(config: &mut web::ServiceConfig) {
    let only = |methods: &'static str| web::route().to(move || wrong_method(methods));
    config.service(web::resource("/oauth/token").route(web::post().to(token)).default_service(only("POST"))).service(
        web::resource("/oauth/jwks")
            .route(web::get().to(jwks))
            .route(web::head().to(jwks))
            .default_service(only("GET, HEAD")),
    );
}

async fn wrong_method(allowed: &'static str) -> HttpResponse {
    let mut response =
        refused(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "the address does not have this method");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// `POST /oauth/token`. Nothing of the query is looked at.
pub async fn token(state: web::Data<State>, req: HttpRequest, body: web::Payload) -> HttpResponse {
    if media_type(&req) != "application/x-www-form-urlencoded" {
        return refused(StatusCode::BAD_REQUEST, "invalid_request", "the body is application/x-www-form-urlencoded");
    }
    let Some(body) = small(body).await else {
        return refused(StatusCode::BAD_REQUEST, "invalid_request", "the body is too long or was cut");
    };
    // What is no text is a bad one, not an absent one.
    let authorization = req.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap_or(""));
    let id = request_id::of(&req);
    match grant::token(&state.authority, authorization, &body, &id).await {
        Ok(Ok(issued)) => granted(&issued, false),
        Ok(Err(refusal)) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            let mut response = refused(status, refusal.code, refusal.description);
            if status == StatusCode::UNAUTHORIZED {
                let challenge = HeaderValue::from_static("Basic realm=\"historia\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            response
        }
        Err(error) => fault(&error, &id),
    }
}

/// `GET /oauth/jwks` (RFC 7517).
pub async fn jwks(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/jwk-set+json"))
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .body(state.authority.keys().jwks().to_string())
}

/// A token response (RFC 6749, 5.1); `person`: with who it is, as `POST /login` says it.
pub(super) fn granted(issued: &Issued, person: bool) -> HttpResponse {
    let mut body = json!({
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": issued.scope,
    });
    if person && let Some(members) = body.as_object_mut() {
        members.insert("rol".to_owned(), issued.rol.code().into());
        members.insert("documento_id".to_owned(), issued.documento_id.as_str().into());
    }
    json_of(StatusCode::OK, &body)
}

pub(super) fn refused(status: StatusCode, code: &str, description: &str) -> HttpResponse {
    json_of(status, &json!({"error": code, "error_description": description}))
}

/// A fault of this server in the words of RFC 6749, 4.1.2.1, which has the only codes for it. It is logged here.
pub(super) fn fault(error: &Error, request_id: &str) -> HttpResponse {
    let cause = error.source.as_deref().map(tracing::field::display);
    tracing::error!(request_id, %error, cause, "a token request failed");
    let transient = matches!(error.kind, Kind::Transient | Kind::Timeout | Kind::Throttled);
    let (status, code) = match transient {
        true => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
        false => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    };
    let mut response = start(status);
    if let Some(after) = error.retry_after {
        response.insert_header((RETRY_AFTER, after.as_secs().max(1).to_string()));
    }
    response.body(json!({"error": code}).to_string())
}

pub(super) fn json_of(status: StatusCode, body: &Value) -> HttpResponse {
    start(status).body(body.to_string())
}

fn start(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((PRAGMA, "no-cache"));
    response
}

/// The media type of the body, lower case, without its parameters.
pub(super) fn media_type(req: &HttpRequest) -> String {
    let header = req.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    header.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// The body of a small request: none when it is longer than a form may be, or was cut.
pub(super) async fn small(body: web::Payload) -> Option<web::Bytes> {
    body.to_bytes_limited(form::LONGEST).await.ok()?.ok()
}
