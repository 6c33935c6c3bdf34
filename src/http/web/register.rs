//! `/registro`: open to all; a page with a form, and JSON for programs.

use super::screen::{failed, page, reader, see_other, strict, theme, wants_html};
use crate::error::{Error, Kind};
use crate::http::oauth::{json_of, media_type, refused, small};
use crate::http::origin::{Site, site};
use crate::http::{State, request_id, respond};
use crate::i18n::Language;
use crate::oauth::activation::{self, Registered, Registration};
use crate::oauth::attempt;
use crate::oauth::form::Form;
use crate::view::register::{self, Outcome, Visitor};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

/// The JSON body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    documento_id: String,
    /// `1968-03-14`.
    fecha_nacimiento: String,
    codigo: String,
    clave: String,
}

pub async fn show(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    let reader = reader(&req, &state);
    let visitor = Visitor { app: &state.app, reader: &reader, theme: theme(&req), source: "", request_id: "" };
    match register::page(visitor) {
        Ok(html) => shown(&state, 200, reader.language, html),
        Err(error) => failed(&state, &req, None, &error),
    }
}

fn shown(state: &State, status: u16, language: Language, html: String) -> HttpResponse {
    let mut response = page(StatusCode::from_u16(status).unwrap_or(StatusCode::OK), language);
    strict(&mut response, state.app.public_url());
    response.body(html)
}

pub async fn submit(state: web::Data<State>, req: HttpRequest, body: web::Payload) -> HttpResponse {
    let media_type = media_type(&req);
    let is_form = media_type == "application/x-www-form-urlencoded";
    if !is_form && media_type != "application/json" {
        let text = "the body is application/json or application/x-www-form-urlencoded";
        return respond::error(&req, &Error::at(Kind::UnsupportedMediaType, "Content-Type", text));
    }
    let Some(body) = small(body).await else {
        return failed(&state, &req, None, &Error::new(Kind::TooLong, "the body is at most 16 kB"));
    };
    let source = attempt::source(req.peer_addr().map(|peer| peer.ip()));
    if is_form { by_form(&state, &req, &body, &source).await } else { by_json(&state, &req, &body, &source).await }
}

async fn by_form(state: &State, req: &HttpRequest, body: &[u8], source: &str) -> HttpResponse {
    if site(req, state) == Site::Other {
        return failed(state, req, None, &Error::new(Kind::Forbidden, "the form belongs to a page of this server"));
    }
    let Some(form) = Form::parse(body) else {
        return failed(state, req, None, &Error::new(Kind::Invalid, "the form cannot be read"));
    };
    let (reader, id) = (reader(req, state), request_id::of(req));
    let visitor = Visitor { app: &state.app, reader: &reader, theme: theme(req), source, request_id: &id };
    match register::submit(visitor, &form).await {
        Ok(Outcome::Opened) if wants_html(req) => see_other("/login?abierta=1", None),
        Ok(Outcome::Opened) => see_other("/login", None),
        Ok(Outcome::Page { status, html, wait }) => waiting(shown(state, status, reader.language, html), wait),
        Err(error) => failed(state, req, None, &error),
    }
}

/// Seconds until the next try is looked at.
fn waiting(mut response: HttpResponse, seconds: u64) -> HttpResponse {
    if seconds > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn by_json(state: &State, req: &HttpRequest, body: &[u8], source: &str) -> HttpResponse {
    let Ok(typed) = serde_json::from_slice::<Typed>(body) else {
        let text = "the body is {\"documento_id\", \"fecha_nacimiento\", \"codigo\", \"clave\"}, all strings";
        return refused(StatusCode::BAD_REQUEST, "invalid_request", text);
    };
    let registration = Registration {
        documento_id: &typed.documento_id,
        fecha_nacimiento: typed.fecha_nacimiento.trim(),
        codigo: &typed.codigo,
        clave: &typed.clave,
    };
    match activation::register(&state.app, registration, source, &request_id::of(req)).await {
        Ok(Registered::Done(usuario)) => json_of(StatusCode::CREATED, &json!({"usuario": usuario})),
        Ok(Registered::Refused { wait }) => {
            waiting(json_of(StatusCode::FORBIDDEN, &json!({"error": "access_denied"})), wait)
        }
        Ok(Registered::Wait { seconds }) => {
            waiting(json_of(StatusCode::TOO_MANY_REQUESTS, &json!({"error": "slow_down"})), seconds)
        }
        Err(error) if error.kind == Kind::BusinessRule => {
            refused(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", &error.to_string())
        }
        Err(error) => respond::error(req, &error),
    }
}
