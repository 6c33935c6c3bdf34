//! `/fhir`: authenticate, negotiate, parse, execute, respond. Everything FHIR is decided in `interaction`.

use crate::access::{Caller, Role};
use crate::config::Limits;
use crate::error::{Error, Kind, Result};
use crate::fhir::format::{self, Format, parse_json, parse_xml};
use crate::fhir::patch::Patch;
use crate::fhir::rule;
use crate::http::shape::Shape;
use crate::http::{State, binary, body, negotiate, request_id, respond};
use crate::i18n::Language;
use crate::interaction::operation;
use crate::interaction::request::{self, Conditions, Method, pairs};
use crate::interaction::{self, Interaction, Return};
use actix_web::http::header::{ACCEPT_LANGUAGE, ALLOW, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::BytesMut;
use serde_json::Value;
use std::time::Duration;

/// Bodies above this are parsed away from the thread that serves others.
const LARGE: usize = 64 * 1024;
/// How long a Bundle waits for its turn before the client is told to come back.
const BUNDLE_WAIT: Duration = Duration::from_secs(20);

pub async fn handle(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> HttpResponse {
    if request.method() == actix_web::http::Method::OPTIONS {
        // What the address takes; whether it is there is not told to those who have not signed in.
        let allow = allowed(request.match_info().query("tail"));
        return HttpResponse::NoContent().insert_header((ALLOW, allow)).finish();
    }
    let parameters = pairs(request.query_string()).unwrap_or_default();
    let mut shape = Shape::wanted(&request, &parameters).unwrap_or_default();
    let response = match serve(&request, payload, &state, &mut shape).await {
        Ok(response) => response,
        Err(error) => {
            let error = rule::told_in(language(&request), error);
            let mut response = respond::error(&request, &error);
            if error.kind == Kind::MethodNotAllowed {
                response.headers_mut().insert(ALLOW, allowed(request.match_info().query("tail")));
            }
            response
        }
    };
    shape.give(&request, response).await
}

/// The methods of an address.
fn allowed(path: &str) -> HeaderValue {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let methods = match segments.as_slice() {
        [.., operation] if operation.starts_with('$') => operation::methods(operation),
        ["$reindex", _] => "GET, HEAD, DELETE, OPTIONS",
        [.., "_search"] => "POST, OPTIONS",
        [.., "_history"] | ["metadata"] => "GET, HEAD, OPTIONS",
        [] => "GET, HEAD, POST, OPTIONS",
        [_] => "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        [_, _] => "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
        _ => "GET, HEAD, OPTIONS",
    };
    HeaderValue::from_static(methods)
}

async fn serve(request: &HttpRequest, payload: web::Payload, state: &State, shape: &mut Shape) -> Result<HttpResponse> {
    let app = &state.app;
    let path = request.match_info().query("tail");
    let raw_query = request.query_string();
    head(request, &app.config.limits)?;
    let caller = match path.trim_end_matches('/') {
        "metadata" => anonymous(request),
        _ => Caller { language: language(request), ..caller(request, state).await? },
    };
    let method = method(request)?;
    let is_search = path.trim_end_matches('/').ends_with("_search") && method == Method::Post;
    let mut query = raw_query.to_owned();
    let body = match method {
        Method::Post | Method::Put | Method::Patch => {
            body::read(request, payload, app.config.limits.body, "limits.body").await?
        }
        Method::Get | Method::Delete => BytesMut::new(),
    };
    if is_search {
        add_form(request, &body, &mut query)?;
    }
    let refused = match Shape::wanted(request, &pairs(&query)?) {
        Ok(wanted) => {
            *shape = wanted;
            None
        }
        // What a Binary holds may be what is wanted.
        Err(error) if method == Method::Get && binary::is_one(path) => Some(error),
        Err(error) => return Err(error),
    };
    let (body, patch) = match method {
        Method::Patch => (BytesMut::new(), Some(patched(request, state, body).await?)),
        _ => (body, None),
    };
    let value = match method {
        // The parameters of an operation may all stand in the address.
        Method::Post if body.is_empty() && path.contains('$') => None,
        Method::Post | Method::Put if !is_search => Some(match binary::wrapped(request, path, &body) {
            Some(binary) => binary,
            None => parsed(request, state, body).await?,
        }),
        _ => None,
    };
    let returns = negotiate::prefers(request);
    let lenient = negotiate::is_lenient(request);
    let conditions = Conditions { lenient, returns, ..conditions(request.headers())? };
    let interaction = match patch {
        Some(patch) => request::patch(path, &query, &conditions, patch)?,
        None => request::parse(method, path, &query, &conditions, value)?,
    };
    let _bundle = match interaction {
        Interaction::Transaction { .. } | Interaction::Batch { .. } => {
            let busy = || Error::new(Kind::Transient, "too many Bundles are in work (limits.bundles_at_once)");
            let place = tokio::time::timeout(BUNDLE_WAIT, app.bundles.acquire()).await;
            Some(place.map_err(|_| busy())?.map_err(|_| busy())?)
        }
        _ => None,
    };
    let answer = interaction::execute(app, &caller, &interaction).await?;
    let response = respond::answer(&app.base, answer, returns.unwrap_or(Return::Representation));
    if method == Method::Get && binary::is_one(path) {
        return binary::unwrapped(request, response, refused);
    }
    Ok(response)
}

/// The language in which problems are told: English unless the client asks for Spanish.
fn language(request: &HttpRequest) -> Language {
    let header = request.headers().get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Language::preferred(header, Language::En)
}

/// The address and the headers within their limits.
fn head(request: &HttpRequest, limits: &Limits) -> Result<()> {
    if request.uri().path_and_query().is_some_and(|whole| whole.as_str().len() > limits.url) {
        let text = format!("the address is longer than {} bytes (limits.url)", limits.url);
        return Err(Error::new(Kind::TooCostly, text));
    }
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > limits.headers {
        let text = format!("the headers are longer than {} bytes (limits.headers)", limits.headers);
        return Err(Error::new(Kind::HeadersTooLong, text));
    }
    Ok(())
}

/// Who asks for what is open to all.
fn anonymous(request: &HttpRequest) -> Caller {
    Caller {
        role: Role::Paciente,
        actor: "anonymous".to_owned(),
        documento_id: "-".to_owned(),
        patient: None,
        language: Language::En,
        request_id: request_id::of(request),
    }
}

/// The caller of a request, by its token or its cookie. A cookie writes only from our own pages (CSRF).
pub async fn caller(request: &HttpRequest, state: &State) -> Result<Caller> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let authorization = text(AUTHORIZATION);
    let caller = state.authority.caller(authorization, text(COOKIE), &request_id::of(request)).await?;
    let safe = request.method().is_safe();
    if authorization.is_none() && !safe && !crate::http::web::is_same_origin(request, state) {
        return Err(Error::new(Kind::Forbidden, "a cookie writes from the pages of this server only"));
    }
    Ok(caller)
}

fn method(request: &HttpRequest) -> Result<Method> {
    let name = request.method().as_str();
    let name = if name == "HEAD" { "GET" } else { name };
    Method::parse(name).ok_or_else(|| Error::new(Kind::MethodNotAllowed, "the address does not have this method"))
}

/// The parameters of POST _search stand in the body, in the address, or in both.
fn add_form(request: &HttpRequest, body: &BytesMut, query: &mut String) -> Result<()> {
    let media =
        request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    if !media.starts_with("application/x-www-form-urlencoded") {
        if body.is_empty() {
            return Ok(());
        }
        return Err(Error::new(
            Kind::UnsupportedMediaType,
            "the body of _search must be application/x-www-form-urlencoded",
        ));
    }
    let form = std::str::from_utf8(body).map_err(|_| Error::new(Kind::Invalid, "the body is not UTF-8"))?;
    if !query.is_empty() && !form.is_empty() {
        query.push('&');
    }
    query.push_str(form);
    Ok(())
}

/// A patch, by its media type (<https://hl7.org/fhir/R4/http.html#patch>).
async fn patched(request: &HttpRequest, state: &State, body: BytesMut) -> Result<Patch> {
    let limits = interaction::patch_limits(&state.app);
    let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json-patch+json" => Patch::json(read(state, Format::Json, body).await?, &limits),
        "application/merge-patch+json" => Patch::merge(read(state, Format::Json, body).await?),
        "application/xml-patch+xml" => Patch::xml(&body, &limits),
        media => {
            let document = parsed(request, state, body).await?;
            // What is no resource, and is not said to be FHIR, is what clients mean by "these elements only".
            if media == "application/json" && document.is_object() && document.get("resourceType").is_none() {
                return Patch::merge(document);
            }
            Patch::fhirpath(&document, &limits)
        }
    }
}

async fn parsed(request: &HttpRequest, state: &State, body: BytesMut) -> Result<Value> {
    let format = negotiate::sends(request)?;
    read(state, format, body).await
}

async fn read(state: &State, format: Format, body: BytesMut) -> Result<Value> {
    let parse = match format {
        Format::Json => parse_json,
        Format::Xml => parse_xml,
    };
    let limits = format::Limits { depth: state.app.config.limits.depth, ..format::Limits::default() };
    if body.len() < LARGE {
        return parse(&body, &limits);
    }
    let work = web::block(move || parse(&body, &limits)).await;
    work.map_err(|_| Error::new(Kind::Transient, "the server is stopping"))?
}

fn conditions(headers: &HeaderMap) -> Result<Conditions> {
    let text = |name: &'static str| -> Result<Option<String>> {
        let Some(value) = headers.get(name) else { return Ok(None) };
        value.to_str().map(|v| Some(v.to_owned())).map_err(|_| Error::at(Kind::Value, name, "the header is not ASCII"))
    };
    // A list may come as several lines.
    let several = |name: &'static str| -> Result<Option<String>> {
        let lines = headers.get_all(name).map(|value| value.to_str()).collect::<std::result::Result<Vec<_>, _>>();
        let lines = lines.map_err(|_| Error::at(Kind::Value, name, "the header is not ASCII"))?;
        Ok((!lines.is_empty()).then(|| lines.join(", ")))
    };
    Ok(Conditions {
        if_match: text("if-match")?,
        if_none_exist: text("if-none-exist")?,
        if_none_match: several("if-none-match")?,
        if_modified_since: text("if-modified-since")?,
        lenient: false,
        returns: None,
    })
}
