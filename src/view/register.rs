//! `/registro`: a patient opens an account with the code that admission printed. Nobody is signed in here.

use crate::app::App;
use crate::error::{Kind, Result};
use crate::oauth::activation::{self, Registered, Registration};
use crate::oauth::form::Form;
use crate::view::account::password_problem;
use crate::view::format::{Reader, typed_date};
use crate::view::html;
use crate::view::page::{Message, Page, Tone};
use crate::view::sheet::{Fields, Problems, Sheet};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct Model {
    page: Page,
    said: Option<Message>,
    fields: Fields,
}

/// For whom the page is shown, as long as nobody is known.
#[derive(Clone, Copy)]
pub struct Visitor<'v> {
    pub app: &'v Arc<App>,
    pub reader: &'v Reader,
    pub theme: Option<&'static str>,
    /// Where the request is from (`attempt::source`).
    pub source: &'v str,
    pub request_id: &'v str,
}

/// How it ended.
pub enum Outcome {
    Page {
        status: u16,
        html: String,
        /// Seconds until the next try is looked at.
        wait: u64,
    },
    /// The account is open.
    Opened,
}

/// The form.
pub fn page(visitor: Visitor<'_>) -> Result<String> {
    shown(visitor, Sheet::new(visitor.reader, None, Problems::default()), None)
}

fn shown(visitor: Visitor<'_>, mut sheet: Sheet<'_>, said: Option<Message>) -> Result<String> {
    let reader = visitor.reader;
    sheet
        .line("documento_id", "register.documento_id", "")
        .hint(reader.text("register.documento_hint"))
        .plain()
        .longest(40)
        .autocomplete("username");
    sheet
        .line("fecha_nacimiento", "register.birth", "")
        .hint(reader.text("register.birth_hint"))
        .digits()
        .longest(10)
        .autocomplete("bday");
    sheet
        .line("codigo", "register.code", "")
        .hint(reader.text("register.code_hint"))
        .plain()
        .longest(40)
        .autocomplete("one-time-code");
    sheet.secret("clave", "register.password", "new-password").hint(reader.text("account.rule"));
    let page = Page::open(
        reader,
        visitor.theme,
        &visitor.app.config.institution.name,
        reader.text("register.title"),
        "/registro",
    );
    let said = said.or_else(|| sheet.summary());
    let model = Model { page: Page { bare: true, ..page.class("narrow") }, said, fields: sheet.fields() };
    html::render(reader.language, "register", &model)
}

/// Takes the form.
pub async fn submit(visitor: Visitor<'_>, form: &Form) -> Result<Outcome> {
    let reader = visitor.reader;
    let mut problems = Problems::default();
    for name in ["documento_id", "codigo", "clave"] {
        if form.typed(name).is_empty() {
            problems.add(name, reader.text("form.missing"));
        }
    }
    let birth = typed_date(form.typed("fecha_nacimiento")).map(|date| date.to_string());
    if birth.is_none() {
        problems.add("fecha_nacimiento", reader.text("register.birth_wrong"));
    }
    if !problems.is_empty() {
        return wrong(visitor, 422, form, problems, None, 0);
    }
    let typed = Registration {
        documento_id: form.typed("documento_id"),
        fecha_nacimiento: birth.as_deref().unwrap_or(""),
        codigo: form.typed("codigo"),
        clave: form.get("clave").unwrap_or(""),
    };
    match activation::register(visitor.app, typed, visitor.source, visitor.request_id).await {
        Ok(Registered::Done(_)) => Ok(Outcome::Opened),
        Ok(Registered::Refused { wait }) => {
            let mut help = reader.text("register.refused_help").to_owned();
            if wait > 0 {
                help = format!("{help} {}", reader.count("login.wait", i64::try_from(wait).unwrap_or(30)));
            }
            let message = Message::new(Tone::Crit, reader.text("register.refused"), help);
            wrong(visitor, 403, form, problems, Some(message), wait)
        }
        Ok(Registered::Wait { seconds }) => {
            let text = reader.count("login.wait", i64::try_from(seconds).unwrap_or(30));
            let message = Message::new(Tone::Crit, reader.text("register.wait"), text);
            wrong(visitor, 429, form, problems, Some(message), seconds)
        }
        Err(error) if error.kind == Kind::BusinessRule => {
            problems.add("clave", reader.text(password_problem(&error)));
            wrong(visitor, 422, form, problems, None, 0)
        }
        Err(error) => Err(error),
    }
}

fn wrong(
    visitor: Visitor<'_>,
    status: u16,
    form: &Form,
    problems: Problems,
    said: Option<Message>,
    wait: u64,
) -> Result<Outcome> {
    let html = shown(visitor, Sheet::new(visitor.reader, Some(form), problems), said)?;
    Ok(Outcome::Page { status, html, wait })
}
