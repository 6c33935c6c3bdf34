//! Sign-in, sign-out and pages. Routes (all without a guard in front; each judges by itself):
//! `GET /login` -> [`login_page`], `POST /login` -> [`login`], `POST /logout` -> [`logout`],
//! `GET /paciente/{id}` and `GET /exportar_pdf/{id}` -> [`record_page`], `GET /assets/historia.css` -> [`style`].

use super::oauth::{fault, granted, json_of, media_type, refused, small};
use super::session::{self, COOKIE_NAME, Site};
use super::{State, request_id, respond};
use crate::error::{Error, Kind};
use crate::i18n::Language;
use crate::oauth::form::Form;
use crate::oauth::token::{self, Proof};
use crate::oauth::login as sign_in;
use crate::view;
use crate::view::login::{Reason, local};
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE, VARY, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::Deserialize;
use serde_json::json;

/// What a page may load: its own style sheet, and nothing else from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The JSON body of `POST /login`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    usuario: String,
    clave: String,
}

/// `GET /login`: the form; `?next=` is where it leads.
pub async fn login_page(req: HttpRequest) -> HttpResponse {
    let query = Form::parse(req.query_string().as_bytes());
    let next = query.as_ref().and_then(|query| query.get("next"));
    form_page(&req, StatusCode::OK, next, Reason::Asked, None)
}

/// `POST /login`: JSON for programs, a form for people.
pub async fn login(state: web::Data<State>, req: HttpRequest, body: web::Payload) -> HttpResponse {
    let media_type = media_type(&req);
    let is_form = media_type == "application/x-www-form-urlencoded";
    if !is_form && media_type != "application/json" {
        let text = "the body is application/json or application/x-www-form-urlencoded";
        return respond::error(&req, Error::at(Kind::UnsupportedMediaType, "Content-Type", text));
    }
    let Some(body) = small(body).await else {
        return respond::error(&req, Error::new(Kind::TooLong, "the body of a sign-in is at most 16 kB"));
    };
    if is_form { by_form(&state, &req, &body).await } else { by_json(&state, &req, &body).await }
}

async fn by_json(state: &State, req: &HttpRequest, body: &[u8]) -> HttpResponse {
    let Ok(typed) = serde_json::from_slice::<Credentials>(body) else {
        return refused(StatusCode::BAD_REQUEST, "invalid_request", "the body is {\"usuario\", \"clave\"}, both strings");
    };
    let id = request_id(req);
    match sign_in::bearer(&state.authority, &typed.usuario, &typed.clave, &id).await {
        Ok(Some(issued)) => granted(&issued, true),
        Ok(None) => challenged(json_of(StatusCode::UNAUTHORIZED, &json!({"error": "invalid_grant"})), "Bearer"),
        Err(error) => fault(&error, &id),
    }
}

async fn by_form(state: &State, req: &HttpRequest, body: &[u8]) -> HttpResponse {
    // Somebody else's page must not sign a browser in to an account of its choice.
    if session::site(state, req) == Site::Other {
        return respond::error(req, Error::new(Kind::Forbidden, "the sign-in form belongs to a page of this server"));
    }
    let Some(form) = Form::parse(body) else {
        return respond::error(req, Error::new(Kind::Invalid, "the form cannot be read"));
    };
    let (usuario, clave) = (form.get("usuario").unwrap_or(""), form.get("clave").unwrap_or(""));
    let next = form.get("next").and_then(local);
    match sign_in::cookie(&state.authority, usuario, clave, &request_id(req)).await {
        Ok(Some(cookie)) => see_other(next.unwrap_or("/"), Some((&cookie.value, cookie.expires_in))),
        Ok(None) => form_page(req, StatusCode::UNAUTHORIZED, next, Reason::Wrong, Some("Bearer")),
        Err(error) => respond::error(req, error),
    }
}

/// `POST /logout`: ends the session of the token (204) or of the cookie (303).
pub async fn logout(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    let identity = match session::identify(&state, &req).await {
        Ok(identity) => identity,
        // A cookie that is dead already: the browser is rid of it, and that is what was asked for.
        Err(error) if error.kind == Kind::Login && by_cookie(&req) => return see_other("/login", Some(("", 0))),
        Err(error) => return respond::error(&req, error),
    };
    if identity.proof == Proof::Cookie && session::site(&state, &req) != Site::Same {
        return respond::error(&req, Error::new(Kind::Forbidden, "the sign-out belongs to a page of this server"));
    }
    match sign_in::logout(&state.app, &identity, &request_id(&req)).await {
        Ok(()) if identity.proof == Proof::Cookie => see_other("/login", Some(("", 0))),
        Ok(()) => HttpResponse::NoContent().insert_header((CACHE_CONTROL, "no-store")).finish(),
        Err(error) => respond::error(&req, error),
    }
}

fn by_cookie(req: &HttpRequest) -> bool {
    session::authorization(req).is_none() && session::cookie(req).is_some()
}

/// `GET /paciente/{id}`, `GET /exportar_pdf/{id}`: so far only who may not see them.
pub async fn record_page(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    match session::caller(&state, &req).await {
        Ok(_) => respond::error(&req, Error::new(Kind::NotFound, "this version does not have pages and PDFs of a record yet")),
        Err(error) if error.kind == Kind::Login && wants_html(&req) => {
            form_page(&req, StatusCode::UNAUTHORIZED, Some(req.path()), Reason::Needed, Some(token::challenge(&error)))
        }
        Err(error) => respond::error(&req, error),
    }
}

/// `GET /assets/historia.css`.
pub async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/css; charset=utf-8"))
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .body(view::html::STYLE)
}

fn wants_html(req: &HttpRequest) -> bool {
    let accepts = req.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    accepts.flat_map(|header| header.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or("").trim();
        range.eq_ignore_ascii_case("text/html")
    })
}

fn form_page(req: &HttpRequest, status: StatusCode, next: Option<&str>, reason: Reason, challenge: Option<&'static str>) -> HttpResponse {
    let header = req.headers().get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let language = Language::accepted(header);
    match view::login::page(language, next, reason) {
        Ok(html) => {
            let mut response = page(status, language);
            if let Some(challenge) = challenge {
                response.insert_header((WWW_AUTHENTICATE, challenge));
            }
            response.body(html)
        }
        Err(error) => respond::error(req, error),
    }
}

/// The headers of every page.
fn page(status: StatusCode, language: Language) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header(("Content-Language", language.code()))
        .insert_header(("Content-Security-Policy", POLICY))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .insert_header(("Cross-Origin-Opener-Policy", "same-origin"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "Accept, Accept-Language"));
    response
}

/// 303, with a session cookie (value and seconds) when there is one to set; 0 seconds takes it away.
fn see_other(to: &str, cookie: Option<(&str, u64)>) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, to)).insert_header((CACHE_CONTROL, "no-store"));
    if let Some((value, seconds)) = cookie {
        let cookie = format!("{COOKIE_NAME}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
        response.insert_header((SET_COOKIE, cookie));
    }
    response.finish()
}

fn challenged(mut response: HttpResponse, challenge: &'static str) -> HttpResponse {
    let value = actix_web::http::header::HeaderValue::from_static(challenge);
    response.headers_mut().insert(WWW_AUTHENTICATE, value);
    response
}
