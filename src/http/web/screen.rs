//! Between actix-web and the pages: a request becomes a [`Visit`], a [`Reply`] becomes a response. What all pages need is
//! done here: session, role, origin, keys of forms, drafts, one answer for a form sent twice, headers, errors.

use super::session::{Gone, sign_in_form};
use crate::access::Role;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::http::origin::{Site, site};
use crate::http::{State, request_id, respond};
use crate::i18n::Language;
use crate::oauth::form::{Form, LONGEST_OF_PAGE};
use crate::oauth::token::{Attention, COOKIE_NAME, Identity, Proof, challenge};
use crate::store;
use crate::view::failure;
use crate::view::format::Reader;
use crate::view::login::local;
use crate::view::page::{Message, Page, Tone};
use crate::view::sheet::{SAVED, SAVED_AT};
use crate::view::visit::{Reply, Visit, keep_draft, role_key, sent};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, COOKIE,
    HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE, VARY, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Resource, web};
use jiff::tz::Offset;
use moka::sync::Cache;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use uuid::Uuid;

/// What a page may load: our style sheet, script and signs, and nothing else from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'";

/// Says once, on the next page, what a form has done.
const SAID: &str = "__Host-dicho";
const LANGUAGE: &str = "idioma";
const THEME: &str = "tema";
/// Pages that look for news by themselves say so.
const POLL: &str = "x-historia-poll";

/// The value of one of our own cookies.
pub fn cookie<'r>(req: &'r HttpRequest, name: &str) -> Option<&'r str> {
    let headers = req.headers().get_all(COOKIE).filter_map(|value| value.to_str().ok());
    headers
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

pub fn theme(req: &HttpRequest) -> Option<&'static str> {
    match cookie(req, THEME) {
        Some("oscuro") => Some("dark"),
        Some("claro") => Some("light"),
        _ => None,
    }
}

/// For whom a page is written: by the choice that was made, else by the browser.
pub fn reader(req: &HttpRequest, state: &State) -> Reader {
    let header = req.headers().get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let chosen = cookie(req, LANGUAGE).and_then(Language::parse);
    Reader {
        language: chosen.unwrap_or_else(|| Language::accepted(header)),
        offset: Offset::from_seconds(state.app.local).unwrap_or(Offset::UTC),
        now: clock::now(),
    }
}

pub fn wants_html(req: &HttpRequest) -> bool {
    let accepts = req.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    accepts.flat_map(|header| header.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or("").trim();
        range.eq_ignore_ascii_case("text/html")
    })
}

/// Who a request is of.
async fn identify(state: &State, req: &HttpRequest) -> Result<std::sync::Arc<Identity>> {
    // What is no text is a bad one, not an absent one.
    let text = |name| req.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap_or(""));
    let attention = if req.headers().contains_key(POLL) { Attention::Script } else { Attention::Person };
    state.authority.identify(text(AUTHORIZATION), text(COOKIE), attention).await
}

/// A request as a visit.
async fn visit(state: &State, req: &HttpRequest) -> Result<(Visit, Proof)> {
    let identity = identify(state, req).await?;
    let (reader, caller) = (reader(req, state), identity.caller(&request_id::of(req)));
    let forms = state.authority.forms();
    let (usuario_id, name) = match &identity.usuario {
        Some((id, name)) => (*id, name.clone()),
        None => (Uuid::nil(), reader.text(role_key(identity.role)).to_owned()),
    };
    let path = req.path().to_owned();
    // PostgreSQL's text has no NUL.
    let query = Form::of_page(req.query_string().as_bytes())
        .filter(|query| !query.pairs().any(|(_, value)| value.contains('\0')))
        .ok_or_else(|| Error::new(Kind::Invalid, "the address cannot be read"))?;
    let draft = match query.get("borrador").filter(|_| req.method().is_safe()) {
        Some(id) => {
            let conn = state.app.pool.lane().await?;
            let body = store::form::draft(&conn, id, usuario_id, &path, clock::now()).await?;
            body.and_then(|body| Form::of_page(body.as_bytes()))
        }
        None => None,
    };
    // The key stays with the form, so that it is taken once even across the sign-in.
    let kept = draft.as_ref().and_then(|draft| draft.get("form")).filter(|key| forms.is_form_key(usuario_id, key));
    let form_key = kept.map_or_else(|| forms.form_key(usuario_id), |key| Ok(key.to_owned()))?;
    let message = draft.as_ref().map_or_else(|| said(req, &reader), |draft| Some(refilled(&reader, draft)));
    let visit = Visit {
        app: state.app.clone(),
        usuario_id,
        jti: identity.jti,
        theme: theme(req),
        name,
        seconds_left: state.authority.seconds_left(&identity, reader.now),
        csrf: forms.csrf(identity.jti),
        form_key,
        sent: String::new(),
        path,
        address: req.uri().path_and_query().map_or("/", |address| address.as_str()).to_owned(),
        parts: req.match_info().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        wants_html: wants_html(req),
        must_change: identity.must_change,
        query,
        draft,
        message,
        caller,
        reader,
    };
    Ok((visit, identity.proof))
}

/// What a page says of the draft that it shows.
fn refilled(reader: &Reader, draft: &Form) -> Message {
    let at = draft.get(SAVED_AT).and_then(|at| at.parse().ok()).map(|at| reader.short_moment(at));
    match (draft.get(SAVED).and_then(local), at) {
        (Some(saved), Some(at)) => {
            let text = reader.fill("form.saved_before", &[("time", &at)]);
            let message = Message::new(Tone::Warn, text, reader.text("form.saved_before_help"));
            Message { alert: true, ..message }.link(saved, reader.text("form.see_saved"))
        }
        _ => Message::new(Tone::Info, reader.text("form.refilled"), reader.text("form.refilled_help")),
    }
}

fn said(req: &HttpRequest, reader: &Reader) -> Option<Message> {
    let key = cookie(req, SAID)?;
    let text = key.starts_with("said.").then(|| crate::i18n::find(reader.language, key)).flatten()?;
    Some(Message::new(Tone::Ok, crate::i18n::filled(text, &[("time", &reader.time(reader.now))]), ""))
}

/// A page at an address: GET and HEAD, for some roles. An empty list is everybody who is signed in.
pub fn screen<V>(path: &str, roles: &'static [Role], view: V) -> Resource
where
    V: AsyncFn(&Visit) -> Result<Reply> + Copy + 'static,
{
    let get = move |state: web::Data<State>, req: HttpRequest| async move { show(&state, &req, roles, view).await };
    web::resource(path).route(web::get().to(get)).route(web::head().to(get)).default_service(other("GET, HEAD"))
}

/// A form: its page, and what happens when it is sent.
pub fn form<V, S>(path: &str, roles: &'static [Role], view: V, save: S) -> Resource
where
    V: AsyncFn(&Visit) -> Result<Reply> + Copy + 'static,
    S: AsyncFn(&Visit, &Form) -> Result<Reply> + Copy + 'static,
{
    let get = move |state: web::Data<State>, req: HttpRequest| async move { show(&state, &req, roles, view).await };
    let post = move |state: web::Data<State>, req: HttpRequest, body: web::Payload| async move {
        submit(&state, &req, body, roles, save).await
    };
    let resource = web::resource(path).route(web::get().to(get)).route(web::head().to(get)).route(web::post().to(post));
    resource.default_service(other("GET, HEAD, POST"))
}

/// A button that stands on another page.
pub fn act<S>(path: &str, roles: &'static [Role], save: S) -> Resource
where
    S: AsyncFn(&Visit, &Form) -> Result<Reply> + Copy + 'static,
{
    let post = move |state: web::Data<State>, req: HttpRequest, body: web::Payload| async move {
        submit(&state, &req, body, roles, save).await
    };
    web::resource(path).route(web::post().to(post)).default_service(other("POST"))
}

pub fn other(methods: &'static str) -> actix_web::Route {
    web::route().to(move |state: web::Data<State>, req: HttpRequest| async move {
        let error = Error::new(Kind::MethodNotAllowed, "the address does not have this method");
        let mut response = failed(&state, &req, None, &error);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        response
    })
}

/// Pages that somebody sees whose password must be changed first.
fn is_about_oneself(path: &str) -> bool {
    path == "/cuenta"
}

async fn show<V>(state: &State, req: &HttpRequest, roles: &[Role], view: V) -> HttpResponse
where
    V: AsyncFn(&Visit) -> Result<Reply>,
{
    let (visit, _) = match visit(state, req).await {
        Ok(visit) => visit,
        Err(error) => return unknown(state, req, None, &error),
    };
    if visit.must_change && !is_about_oneself(&visit.path) {
        return see_other("/cuenta", None);
    }
    if !roles.is_empty() && !roles.contains(&visit.caller.role) {
        return failed(state, req, Some(&visit), &Error::new(Kind::Forbidden, "the role may not see this page"));
    }
    let _turn = state.turns.take().await;
    match view(&visit).await {
        Ok(reply) => answered(&visit, reply),
        Err(error) => failed(state, req, Some(&visit), &error),
    }
}

async fn submit<S>(state: &State, req: &HttpRequest, body: web::Payload, roles: &[Role], save: S) -> HttpResponse
where
    S: AsyncFn(&Visit, &Form) -> Result<Reply>,
{
    let form = posted(req, body).await;
    let (mut visit, proof) = match visit(state, req).await {
        Ok(visit) => visit,
        Err(error) => return unknown(state, req, form.as_ref().ok(), &error),
    };
    let form = match form {
        Ok(form) => form,
        Err(error) => return failed(state, req, Some(&visit), &error),
    };
    let checked = permitted(state, req, &visit, proof, &form, roles);
    match checked {
        Ok(Sent::Fresh) => {}
        Ok(Sent::OtherSession) => {
            return match keep_draft(&state.app, visit.usuario_id, &page_of(&form, &visit.path), form.pairs()).await {
                Ok(to) => see_other(&to, None),
                Err(error) => failed(state, req, Some(&visit), &error),
            };
        }
        Err(error) => return failed(state, req, Some(&visit), &error),
    }
    if proof == Proof::Cookie {
        visit.form_key = form.typed("form").to_owned();
    }
    visit.sent = sent(&form);
    match once(state, &visit, &form, save).await {
        Ok(reply) => answered(&visit, reply),
        Err(error) => failed(state, req, Some(&visit), &error),
    }
}

/// Forms on their way, by key and address: a second sending waits here for the first. What the first has shown that is
/// shown once (a password, a code) is kept for two minutes, in memory only, and the second shows the same.
pub struct Sendings(Cache<String, Arc<Mutex<Option<String>>>>);

impl Default for Sendings {
    fn default() -> Sendings {
        Sendings(Cache::builder().max_capacity(SENDINGS).time_to_idle(Duration::from_secs(120)).build())
    }
}

const SENDINGS: u64 = 10_000;

/// The first sending of a form does it; the second gets the answer of the first, also when both come at once, or come to
/// two instances: then it finds what the first has changed, and is refused for that.
async fn once<S>(state: &State, visit: &Visit, form: &Form, save: S) -> Result<Reply>
where
    S: AsyncFn(&Visit, &Form) -> Result<Reply>,
{
    let pool = &visit.app.pool;
    let sending = state.sendings.0.get_with(format!("{} {}", visit.form_key, visit.path), Arc::default);
    let mut shown = sending.lock().await;
    if let Some(first) = store::form::answer(&*pool.lane().await?, &visit.form_key, &visit.path).await? {
        return again(visit, form, &first, shown.as_ref()).await;
    }
    *shown = None;
    match save(visit, form).await {
        Ok(Reply::SeeOther { to, said }) => {
            visit.answered(&to).await?;
            Ok(Reply::SeeOther { to, said })
        }
        Ok(Reply::Page { status: 200, html }) => {
            *shown = Some(html.clone());
            Ok(Reply::Page { status: 200, html })
        }
        other => {
            let mut waits = if is_conflict(&other) { WAITS } else { &[] }.iter();
            loop {
                if let Ok(conn) = pool.lane().await
                    && let Ok(Some(first)) = store::form::answer(&conn, &visit.form_key, &visit.path).await
                {
                    drop(conn);
                    return again(visit, form, &first, None).await;
                }
                let Some(wait) = waits.next() else { return other };
                tokio::time::sleep(Duration::from_millis(*wait)).await;
            }
        }
    }
}

/// The answer to a form that was sent before. One that says something else now is not done: it is shown again, what is
/// saved beside what was typed, as a form of its own.
async fn again(visit: &Visit, form: &Form, first: &store::form::First, shown: Option<&String>) -> Result<Reply> {
    if !first.sent.is_empty() && first.sent != visit.sent {
        let saved = Form::of_page(first.sent.as_bytes()).unwrap_or_default();
        let names = form.pairs().chain(saved.pairs()).map(|(name, _)| name).filter(|name| *name != "form");
        let names: BTreeSet<&str> = names.filter(|name| form.typed(name) != saved.typed(name)).collect();
        let differ: Vec<(String, &str)> =
            names.iter().map(|name| (format!("{SAVED}.{name}"), saved.typed(name))).collect();
        let at = first.at.to_string();
        let typed = form.pairs().filter(|(name, _)| *name != "form");
        let pairs: Vec<(&str, &str)> = typed
            .chain(differ.iter().map(|(name, value)| (name.as_str(), *value)))
            .chain([(SAVED, first.answer.as_str()), (SAVED_AT, &at)])
            .collect();
        return visit.draft_for(&page_of(form, &visit.path), &pairs).await.map(Reply::see);
    }
    Ok(match shown {
        Some(html) => Reply::Page { status: 200, html: html.clone() },
        None => Reply::see(first.answer.clone()),
    })
}

/// Milliseconds between the looks of one that came second: the first has changed things, and keeps its answer next.
const WAITS: &[u64] = &[20, 60, 180];

fn is_conflict(answer: &Result<Reply>) -> bool {
    match answer {
        Ok(Reply::Page { status, .. }) => matches!(status, 409 | 412),
        Ok(_) => false,
        Err(error) => matches!(error.kind, Kind::Conflict | Kind::Transient),
    }
}

enum Sent {
    Fresh,
    /// By the same account, but from a page of a session that has ended: shown again, not done.
    OtherSession,
}

fn permitted(
    state: &State,
    req: &HttpRequest,
    visit: &Visit,
    proof: Proof,
    form: &Form,
    roles: &[Role],
) -> Result<Sent> {
    let refused = |text| Err(Error::new(Kind::Forbidden, text));
    if (visit.must_change && !is_about_oneself(&visit.path))
        || (!roles.is_empty() && !roles.contains(&visit.caller.role))
    {
        return refused("the role may not do this");
    }
    // A token is sent by no browser of its own accord.
    if proof == Proof::Bearer {
        return Ok(Sent::Fresh);
    }
    if site(req, state) != Site::Same {
        return refused("the form belongs to a page of this server");
    }
    // A program of a page sends no form: Site::Same is its guard.
    if !wants_html(req) && form.get("form").is_none() {
        return Ok(Sent::Fresh);
    }
    let forms = state.authority.forms();
    if !forms.is_form_key(visit.usuario_id, form.typed("form")) {
        return refused("the form was made for another account");
    }
    if forms.is_csrf(visit.jti, form.typed("csrf")) { Ok(Sent::Fresh) } else { Ok(Sent::OtherSession) }
}

/// The form of a request. An empty body is an empty form, and so is `{}`: programs have nothing to say.
async fn posted(req: &HttpRequest, body: web::Payload) -> Result<Form> {
    let too_long = || Error::new(Kind::TooLong, "a form is at most 128 kB");
    let body = body.to_bytes_limited(LONGEST_OF_PAGE).await.map_err(|_| too_long())?;
    let body = body.map_err(|_| Error::new(Kind::Invalid, "the form was cut"))?;
    if body.is_empty() || body.as_ref() == b"{}" {
        return Ok(Form::default());
    }
    if super::super::oauth::media_type(req) != "application/x-www-form-urlencoded" {
        let text = "the body is application/x-www-form-urlencoded";
        return Err(Error::at(Kind::UnsupportedMediaType, "Content-Type", text));
    }
    Form::of_page(&body).ok_or_else(|| Error::new(Kind::Invalid, "the form cannot be read"))
}

/// The page of a form: its own address, or what it names.
pub fn page_of(form: &Form, path: &str) -> String {
    form.get("pagina").and_then(local).unwrap_or(path).to_owned()
}

/// Nobody: for people the sign-in form, which leads back; what was typed waits in it.
fn unknown(state: &State, req: &HttpRequest, form: Option<&Form>, error: &Error) -> HttpResponse {
    if error.kind != Kind::Login {
        return failed(state, req, None, error);
    }
    if !wants_html(req) {
        let mut response = respond::error(req, error);
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge(error)));
        return response;
    }
    let address = match form {
        Some(form) => page_of(form, req.path()),
        None => req.uri().path_and_query().map_or("/", |address| address.as_str()).to_owned(),
    };
    let had_session = cookie(req, COOKIE_NAME).is_some();
    let gone = if had_session { Gone::Ended } else { Gone::Never };
    sign_in_form(state, req, StatusCode::UNAUTHORIZED, Some(&address), form, gone, Some(error))
}

/// A reply as a response.
fn answered(visit: &Visit, reply: Reply) -> HttpResponse {
    match reply {
        Reply::Page { status, html } => {
            let mut response = page(StatusCode::from_u16(status).unwrap_or(StatusCode::OK), visit.reader.language);
            if visit.message.is_some() {
                response
                    .append_header((SET_COOKIE, format!("{SAID}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")));
            }
            strict(&mut response, visit.app.public_url());
            response.body(html)
        }
        Reply::SeeOther { to, said } => {
            let cookie = said.map(|key| format!("{SAID}={key}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60"));
            see_other(&to, cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()))
        }
        Reply::Json { status, body } => {
            let mut response = HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::OK));
            response.insert_header((CONTENT_TYPE, "application/json")).insert_header((CACHE_CONTROL, "no-store"));
            response.insert_header(("X-Content-Type-Options", "nosniff")).insert_header((VARY, "Accept")).body(body)
        }
        Reply::Fhir { body } => {
            let mut response = HttpResponse::Ok();
            response
                .insert_header((CONTENT_TYPE, respond::FHIR_JSON))
                .insert_header((CACHE_CONTROL, "private, no-cache"));
            response.insert_header((VARY, "Accept")).body(body)
        }
        Reply::File { media_type, name, bytes } => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, media_type))
            .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(("X-Content-Type-Options", "nosniff"))
            .body(bytes),
    }
}

/// The headers of every page.
pub fn page(status: StatusCode, language: Language) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header(("Content-Language", language.code()))
        .insert_header(("Content-Security-Policy", POLICY))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .insert_header(("Cross-Origin-Opener-Policy", "same-origin"))
        .insert_header(("Permissions-Policy", "camera=(), microphone=(), geolocation=()"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "Accept, Accept-Language, Cookie"));
    response
}

/// HSTS where people come by TLS (RFC 6797).
pub fn strict(response: &mut HttpResponseBuilder, public_url: &str) {
    if public_url.starts_with("https://") {
        response.insert_header(("Strict-Transport-Security", "max-age=31536000; includeSubDomains"));
    }
}

pub fn see_other(to: &str, cookie: Option<HeaderValue>) -> HttpResponse {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, to)).insert_header((CACHE_CONTROL, "no-store"));
    if let Some(cookie) = cookie {
        response.insert_header((SET_COOKIE, cookie));
    }
    response.finish()
}

/// An error: for people a page in their language, else an OperationOutcome.
pub fn failed(state: &State, req: &HttpRequest, visit: Option<&Visit>, error: &Error) -> HttpResponse {
    if !wants_html(req) {
        return respond::error(req, error);
    }
    respond::log(req, error);
    let (reader, id) = (reader(req, state), request_id::of(req));
    let title = reader.text("error.title");
    let page_model = match visit {
        Some(visit) => Page { message: None, ..visit.page(title) },
        None => Page::open(&reader, theme(req), &state.app.config.institution.name, title, "/"),
    };
    let page_model = page_model.class("narrow");
    let again = req.method().is_safe().then(|| req.uri().path_and_query().map_or("/", |address| address.as_str()));
    let Some(html) = failure::page(&reader, page_model, error, &id, again) else { return respond::error(req, error) };
    let mut response = page(respond::start(error).finish().status(), reader.language);
    if error.kind == Kind::Login {
        response.insert_header((WWW_AUTHENTICATE, challenge(error)));
    }
    if let Some(after) = error.retry_after {
        response.insert_header((RETRY_AFTER, after.as_secs().max(1).to_string()));
    }
    strict(&mut response, state.app.public_url());
    response.body(html)
}
