//! `/paciente/{id}` as JSON and `/exportar_pdf/{id}` (docs/contract.md, "Routes"); the page is `web`'s.

use super::{State, respond};
use crate::access::Caller;
use crate::clock;
use crate::i18n::Language;
use crate::interaction::{self, Answer};
use crate::view::export;
use crate::view::format::Reader;
use actix_web::http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse};
use jiff::tz::Offset;

/// The searchset of `Patient/{id}/$everything`, as far as the role may see.
pub async fn json(state: &State, request: &HttpRequest, caller: &Caller) -> HttpResponse {
    let app = &state.app;
    let make = async |answer: Answer| Ok((answer, "$everything".to_owned()));
    match interaction::show(app, caller, &given(request), request.query_string(), "operation", make).await {
        Ok(answer) => respond::answer(&app.base, answer, respond::Return::Representation),
        Err(error) => respond::error(request, &error),
    }
}

/// The clinical history as a file.
pub async fn pdf(state: &State, request: &HttpRequest, caller: &Caller) -> HttpResponse {
    match export::pdf(&state.app, caller, &reader(state, request), &given(request)).await {
        Ok(document) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "application/pdf"))
            .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"historia-clinica.pdf\""))
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(("X-Content-Type-Options", "nosniff"))
            .body(document.bytes),
        Err(error) => respond::error(request, &error),
    }
}

fn given(request: &HttpRequest) -> String {
    request.match_info().query("id").to_owned()
}

fn reader(state: &State, request: &HttpRequest) -> Reader {
    let header = request.headers().get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let offset = Offset::from_seconds(state.app.local).unwrap_or(Offset::UTC);
    Reader { language: Language::accepted(header), offset, now: clock::now() }
}
