//! `/login`, `/logout`, and what belongs to a browser rather than to an account: language, colours, the session's life.

use super::screen::{failed, page, page_of, reader, see_other, strict, theme, wants_html};
use crate::error::{Error, Kind};
use crate::http::oauth::{fault, granted, json_of, media_type, refused};
use crate::http::origin::{Site, site};
use crate::http::{State, request_id, respond};
use crate::i18n::Language;
use crate::oauth::attempt;
use crate::oauth::form::{Form, LONGEST, LONGEST_OF_PAGE};
use crate::oauth::login::{self as sign_in, SignIn, Typed};
use crate::oauth::token::{self, Attention, COOKIE_NAME, Proof};
use crate::view;
use crate::view::login::{Kept, Reason, back, led};
use crate::view::visit::keep_draft;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, COOKIE, HeaderValue, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

/// A year: a choice of language or colours is not personal.
const CHOICE: u32 = 31_536_000;

/// The JSON body of `POST /login`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    usuario: String,
    clave: String,
}

/// Whether there was a session before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    Never,
    Ended,
}

/// `GET /login`: the form; `?next=` is where it leads.
pub async fn login_page(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    let query = Form::parse(req.query_string().as_bytes()).unwrap_or_default();
    let reason = if query.get("abierta").is_some() { Reason::Opened } else { Reason::Asked };
    let kept = Kept { next: query.get("next"), ..Kept::default() };
    form_page(&state, &req, StatusCode::OK, kept, reason, None)
}

/// `GET /login/olvido`.
pub async fn forgotten(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    let reader = reader(&req, &state);
    match view::login::forgotten(&reader, theme(&req), &state.app.config.institution.name) {
        Ok(html) => page(StatusCode::OK, reader.language).body(html),
        Err(error) => failed(&state, &req, None, &error),
    }
}

/// `POST /login`: JSON for programs, a form for people.
pub async fn login(state: web::Data<State>, req: HttpRequest, body: web::Payload) -> HttpResponse {
    let media_type = media_type(&req);
    let is_form = media_type == "application/x-www-form-urlencoded";
    if !is_form && media_type != "application/json" {
        let text = "the body is application/json or application/x-www-form-urlencoded";
        return respond::error(&req, &Error::at(Kind::UnsupportedMediaType, "Content-Type", text));
    }
    // A form may carry what was typed before the session ended.
    let longest = if is_form { LONGEST_OF_PAGE } else { LONGEST };
    let Ok(Ok(body)) = body.to_bytes_limited(longest).await else {
        return respond::error(&req, &Error::new(Kind::TooLong, "the body of a sign-in is at most 16 kB"));
    };
    let source = attempt::source(req.peer_addr().map(|peer| peer.ip()));
    if is_form { by_form(&state, &req, &body, &source).await } else { by_json(&state, &req, &body, &source).await }
}

async fn by_json(state: &State, req: &HttpRequest, body: &[u8], source: &str) -> HttpResponse {
    let Ok(typed) = serde_json::from_slice::<Credentials>(body) else {
        return refused(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "the body is {\"usuario\", \"clave\"}, both strings",
        );
    };
    let id = request_id::of(req);
    let typed = Typed { usuario: &typed.usuario, clave: &typed.clave, source };
    match sign_in::bearer(&state.authority, typed, &id).await {
        Ok(SignIn::Done(issued)) => granted(&issued, true),
        Ok(SignIn::Wrong { wait }) => {
            let mut response = json_of(StatusCode::UNAUTHORIZED, &json!({"error": "invalid_grant"}));
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            waits(&mut response, wait);
            response
        }
        Err(error) => fault(&error, &id),
    }
}

fn waits(response: &mut HttpResponse, seconds: u64) {
    if seconds > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

async fn by_form(state: &State, req: &HttpRequest, body: &[u8], source: &str) -> HttpResponse {
    // Somebody else's page must not sign a browser in to an account of its choice.
    if site(req, state) == Site::Other {
        return failed(
            state,
            req,
            None,
            &Error::new(Kind::Forbidden, "the sign-in form belongs to a page of this server"),
        );
    }
    let Some(form) = Form::of_page(body) else {
        return failed(state, req, None, &Error::new(Kind::Invalid, "the form cannot be read"));
    };
    let next = form.get("next").and_then(led);
    let draft = view::login::draft_of(&form);
    let typed = Typed { usuario: form.get("usuario").unwrap_or(""), clave: form.get("clave").unwrap_or(""), source };
    match sign_in::cookie(&state.authority, typed, &request_id::of(req)).await {
        Ok(SignIn::Done(cookie)) => {
            if let Err(error) = end_former(state, req).await {
                return failed(state, req, None, &error);
            }
            let to = match refilled(state, next, draft.as_ref(), &cookie).await {
                Ok(to) => to,
                Err(error) => return failed(state, req, None, &error),
            };
            see_other(&to, Some(set_cookie(&cookie.value, cookie.expires_in)))
        }
        Ok(SignIn::Wrong { wait }) => {
            let kept = Kept { next, usuario: typed.usuario, draft: draft.as_ref() };
            let mut response =
                form_page(state, req, StatusCode::UNAUTHORIZED, kept, Reason::Wrong(wait), Some("Bearer"));
            waits(&mut response, wait);
            response
        }
        Err(error) => failed(state, req, None, &error),
    }
}

/// A browser has one session: the one that it held ends when somebody has signed in.
async fn end_former(state: &State, req: &HttpRequest) -> Result<(), Error> {
    let cookie = req.headers().get(COOKIE).map(|value| value.to_str().unwrap_or(""));
    match state.authority.identify(None, cookie, Attention::Script).await {
        Ok(former) => sign_in::logout(&state.app, &former, &request_id::of(req)).await,
        Err(error) if error.kind == Kind::Login => Ok(()),
        Err(error) => Err(error),
    }
}

/// Where a sign-in leads: to the page that was wanted, with what was typed when the same account signs in.
async fn refilled(
    state: &State,
    next: Option<&str>,
    draft: Option<&Form>,
    cookie: &sign_in::NewCookie,
) -> Result<String, Error> {
    let to = next.unwrap_or("/");
    let Some(draft) = draft.filter(|draft| state.authority.forms().is_form_key(cookie.usuario, draft.typed("form")))
    else {
        return Ok(to.to_owned());
    };
    keep_draft(&state.app, cookie.usuario, &page_of(draft, to), draft.pairs()).await
}

/// `POST /logout`: ends the session of the token (204) or of the cookie (303).
pub async fn logout(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    // What is no text is a bad one, not an absent one.
    let text = |name| req.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap_or(""));
    let identity = match state.authority.identify(text(AUTHORIZATION), text(COOKIE), Attention::Person).await {
        Ok(identity) => identity,
        Err(error) if error.kind == Kind::Login => {
            // A browser is rid of a dead cookie in any case.
            let mut response = if wants_html(&req) {
                sign_in_form(&state, &req, StatusCode::UNAUTHORIZED, None, None, Gone::Never, Some(&error))
            } else {
                let mut response = respond::error(&req, &error);
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(token::challenge(&error)));
                response
            };
            response.headers_mut().append(SET_COOKIE, set_cookie("", 0));
            return response;
        }
        Err(error) => return failed(&state, &req, None, &error),
    };
    let by_cookie = identity.proof == Proof::Cookie;
    if by_cookie && site(&req, &state) != Site::Same {
        return failed(
            &state,
            &req,
            None,
            &Error::new(Kind::Forbidden, "the sign-out belongs to a page of this server"),
        );
    }
    match sign_in::logout(&state.app, &identity, &request_id::of(&req)).await {
        Ok(()) if by_cookie => see_other("/login", Some(set_cookie("", 0))),
        Ok(()) => HttpResponse::NoContent().insert_header((CACHE_CONTROL, "no-store")).finish(),
        Err(error) => failed(&state, &req, None, &error),
    }
}

/// The sign-in form as the body of a 401.
pub fn sign_in_form(
    state: &State,
    req: &HttpRequest,
    status: StatusCode,
    next: Option<&str>,
    draft: Option<&Form>,
    gone: Gone,
    error: Option<&Error>,
) -> HttpResponse {
    let reason = match (gone, error) {
        (Gone::Never, _) => Reason::Needed,
        (Gone::Ended, Some(error)) if token::is_idle(error) => {
            Reason::Idle(state.app.config.sessions.idle.as_secs() / 60)
        }
        (Gone::Ended, _) => Reason::Ended,
    };
    let challenge = error.map_or("Bearer", token::challenge);
    form_page(state, req, status, Kept { next, usuario: "", draft }, reason, Some(challenge))
}

fn form_page(
    state: &State,
    req: &HttpRequest,
    status: StatusCode,
    kept: Kept<'_>,
    reason: Reason,
    challenge: Option<&'static str>,
) -> HttpResponse {
    let reader = reader(req, state);
    match view::login::page(&reader, theme(req), &state.app.config.institution.name, kept, reason) {
        Ok(html) => {
            let mut response = page(status, reader.language);
            if let Some(challenge) = challenge {
                response.insert_header((WWW_AUTHENTICATE, challenge));
            }
            strict(&mut response, state.app.public_url());
            response.body(html)
        }
        Err(error) => respond::error(req, &error),
    }
}

/// 0 seconds take the cookie away.
fn set_cookie(value: &str, seconds: u64) -> HeaderValue {
    let cookie = format!("{COOKIE_NAME}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    // The value is base64url, so it always is a header; the fallback sets nothing.
    HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""))
}

/// `GET /idioma/{code}` and `GET /tema/{code}`: a choice of this browser, kept by it; then back to `?volver=`.
pub async fn choose(state: web::Data<State>, req: HttpRequest) -> HttpResponse {
    let query = Form::parse(req.query_string().as_bytes()).unwrap_or_default();
    let back = query.get("volver").and_then(back).unwrap_or("/");
    let code = req.match_info().query("code");
    let name = if req.path().starts_with("/idioma/") { "idioma" } else { "tema" };
    let known = match name {
        "idioma" => Language::parse(code).is_some(),
        _ => matches!(code, "auto" | "claro" | "oscuro"),
    };
    if !known {
        return failed(&state, &req, None, &super::absent());
    }
    let cookie = format!("{name}={code}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={CHOICE}");
    see_other(back, HeaderValue::from_str(&cookie).ok())
}
