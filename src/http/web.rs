//! Sign-in, sign-out and pages. So far the pages of a record only say who may not see them.

use super::oauth::{fault, granted, json_of, media_type, refused, small};
use super::origin::{Site, site};
use super::{State, fhir, record, request_id, respond};
use crate::error::{Error, Kind};
use crate::i18n::Language;
use crate::oauth::form::Form;
use crate::oauth::login as sign_in;
use crate::oauth::token::{self, COOKIE_NAME, Proof};
use crate::view;
use crate::view::login::{Reason, local};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, HeaderValue, LOCATION,
    SET_COOKIE, VARY, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::Deserialize;
use serde_json::json;

/// What a page may load: its own style sheet, and nothing else from anywhere.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub fn routes(config: &mut web::ServiceConfig) {
    let only = |methods: &'static str| web::route().to(move |req: HttpRequest| wrong_method(req, methods));
    config
        .service(
            web::resource("/login")
                .route(web::get().to(login_page))
                .route(web::head().to(login_page))
                .route(web::post().to(login))
                .default_service(only("GET, HEAD, POST")),
        )
        .service(web::resource("/logout").route(web::post().to(logout)).default_service(only("POST")))
        .service(
            web::resource("/paciente/{id}")
                .route(web::get().to(record_page))
                .route(web::head().to(record_page))
                .default_service(only("GET, HEAD")),
        )
        .service(
            web::resource("/exportar_pdf/{id}")
                .route(web::get().to(record_pdf))
                .route(web::head().to(record_pdf))
                .default_service(only("GET, HEAD")),
        )
        .service(
            web::resource("/assets/historia.css")
                .route(web::get().to(style))
                .route(web::head().to(style))
                .default_service(only("GET, HEAD")),
        );
}

async fn wrong_method(req: HttpRequest, allowed: &'static str) -> HttpResponse {
    let mut response =
        respond::error(&req, &Error::new(Kind::MethodNotAllowed, "the address does not have this method"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Whether a request comes from a page of this server: only then may a cookie change something.
pub fn is_same_origin(request: &HttpRequest, state: &State) -> bool {
    site(request, state) == Site::Same
}

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
        return respond::error(&req, &Error::at(Kind::UnsupportedMediaType, "Content-Type", text));
    }
    let Some(body) = small(body).await else {
        return respond::error(&req, &Error::new(Kind::TooLong, "the body of a sign-in is at most 16 kB"));
    };
    if is_form { by_form(&state, &req, &body).await } else { by_json(&state, &req, &body).await }
}

async fn by_json(state: &State, req: &HttpRequest, body: &[u8]) -> HttpResponse {
    let Ok(typed) = serde_json::from_slice::<Credentials>(body) else {
        return refused(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "the body is {\"usuario\", \"clave\"}, both strings",
        );
    };
    let id = request_id::of(req);
    match sign_in::bearer(&state.authority, &typed.usuario, &typed.clave, &id).await {
        Ok(Some(issued)) => granted(&issued, true),
        Ok(None) => challenged(json_of(StatusCode::UNAUTHORIZED, &json!({"error": "invalid_grant"})), "Bearer"),
        Err(error) => fault(&error, &id),
    }
}

async fn by_form(state: &State, req: &HttpRequest, body: &[u8]) -> HttpResponse {
    // Somebody else's page must not sign a browser in to an account of its choice.
    if site(req, state) == Site::Other {
        return respond::error(req, &Error::new(Kind::Forbidden, "the sign-in form belongs to a page of this server"));
    }
    let Some(form) = Form::parse(body) else {
        return respond::error(req, &Error::new(Kind::Invalid, "the form cannot be read"));
    };
    let (usuario, clave) = (form.get("usuario").unwrap_or(""), form.get("clave").unwrap_or(""));
    let next = form.get("next").and_then(local);
    match sign_in::cookie(&state.authority, usuario, clave, &request_id::of(req)).await {
        Ok(Some(cookie)) => see_other(next.unwrap_or("/"), set_cookie(&cookie.value, cookie.expires_in)),
        Ok(None) => form_page(req, StatusCode::UNAUTHORIZED, next, Reason::Wrong, Some("Bearer")),
        Err(error) => respond::error(req, &error),
    }
}

/// `POST /logout`: ends the session of the token (204) or of the cookie (303).
pub async fn logout(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    // What is no text is a bad one, not an absent one.
    let text = |name| req.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap_or(""));
    let identity = match state.authority.identify(text(AUTHORIZATION), text(COOKIE)).await {
        Ok(identity) => identity,
        Err(error) if error.kind == Kind::Login => {
            // A browser is rid of a dead cookie in any case.
            let mut response = unknown(&req, None, &error);
            response.headers_mut().append(SET_COOKIE, set_cookie("", 0));
            return response;
        }
        Err(error) => return respond::error(&req, &error),
    };
    let by_cookie = identity.proof == Proof::Cookie;
    if by_cookie && !is_same_origin(&req, &state) {
        return respond::error(&req, &Error::new(Kind::Forbidden, "the sign-out belongs to a page of this server"));
    }
    match sign_in::logout(&state.app, &identity, &request_id::of(&req)).await {
        Ok(()) if by_cookie => see_other("/login", set_cookie("", 0)),
        Ok(()) => HttpResponse::NoContent().insert_header((CACHE_CONTROL, "no-store")).finish(),
        Err(error) => respond::error(&req, &error),
    }
}

/// `GET /exportar_pdf/{id}`.
pub async fn record_pdf(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    match fhir::caller(&req, &state).await {
        Ok(caller) => record::pdf(&state, &req, &caller).await,
        Err(error) if error.kind == Kind::Login => unknown(&req, Some(req.path()), &error),
        Err(error) => respond::error(&req, &error),
    }
}

/// `GET /paciente/{id}`: JSON; the page is not there yet.
pub async fn record_page(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    match fhir::caller(&req, &state).await {
        Ok(caller) if !wants_html(&req) => record::json(&state, &req, &caller).await,
        Ok(_) => {
            respond::error(&req, &Error::new(Kind::NotFound, "this version does not have the page of a record yet"))
        }
        Err(error) if error.kind == Kind::Login => unknown(&req, Some(req.path()), &error),
        Err(error) => respond::error(&req, &error),
    }
}

/// 401: for people the sign-in form, which leads to `next`.
fn unknown(req: &HttpRequest, next: Option<&str>, error: &Error) -> HttpResponse {
    let challenge = token::challenge(error);
    if wants_html(req) {
        return form_page(req, StatusCode::UNAUTHORIZED, next, Reason::Needed, Some(challenge));
    }
    challenged(respond::error(req, error), challenge)
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

fn form_page(
    req: &HttpRequest,
    status: StatusCode,
    next: Option<&str>,
    reason: Reason,
    challenge: Option<&'static str>,
) -> HttpResponse {
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
        Err(error) => respond::error(req, &error),
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

/// 303 with the cookie of a session.
fn see_other(to: &str, cookie: HeaderValue) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, to))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, cookie))
        .finish()
}

/// 0 seconds take the cookie away.
fn set_cookie(value: &str, seconds: u64) -> HeaderValue {
    let cookie = format!("{COOKIE_NAME}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    // The value is base64url, so it always is a header; the fallback sets nothing.
    HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""))
}

fn challenged(mut response: HttpResponse, challenge: &'static str) -> HttpResponse {
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}
