//! One request of a person who is signed in, as pages see it; and what pages answer. Nothing of HTTP is here.

use crate::access::{Caller, Role};
use crate::app::App;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::interaction::{self, Unit};
use crate::oauth::form::Form;
use crate::store;
use crate::view::format::Reader;
use crate::view::html;
use crate::view::page::{Message, Page, Person, Section, sections};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;

/// Everything else is escaped in what we put into addresses.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A value for the query of an address, or one segment of its path.
pub fn encoded(value: &str) -> String {
    utf8_percent_encode(value, PLAIN).to_string()
}

pub struct Visit {
    pub app: Arc<App>,
    pub caller: Caller,
    pub usuario_id: Uuid,
    /// The session.
    pub jti: Uuid,
    pub reader: Reader,
    pub theme: Option<&'static str>,
    /// The person's own.
    pub name: String,
    /// Seconds until the session ends if nothing happens.
    pub seconds_left: u64,
    pub csrf: String,
    /// The one-time key of the forms of the page; on a POST that of the form.
    pub form_key: String,
    /// What the form of a POST says: [`sent`].
    pub sent: String,
    /// Path of the address, and path with query.
    pub path: String,
    pub address: String,
    /// The variable parts of the address.
    pub parts: Vec<(String, String)>,
    pub wants_html: bool,
    /// The password was made by somebody else: only `/cuenta` is seen until it is changed.
    pub must_change: bool,
    pub query: Form,
    /// What was typed before the session ended: the form is to be shown with it.
    pub draft: Option<Form>,
    /// What the page before had to say.
    pub message: Option<Message>,
}

/// The text of a role.
pub fn role_key(role: Role) -> &'static str {
    match role {
        Role::Paciente => "role.paciente",
        Role::Admisionista => "role.admisionista",
        Role::Medico => "role.medico",
        Role::Resultados => "role.resultados",
        Role::Admin => "role.admin",
        Role::Integracion => "role.integracion",
    }
}

impl Visit {
    /// The `page` of a model, with the sections of the role.
    pub fn page(&self, title: impl Into<String>) -> Page {
        let section = |(href, label, icon): &(&'static str, &'static str, &'static str)| Section {
            href,
            label: self.reader.text(label),
            icon,
            current: false,
        };
        let sections: Vec<Section> = sections(self.caller.role).iter().map(section).collect();
        let page = Page::open(&self.reader, self.theme, &self.app.config.institution.name, title, &self.address);
        let page = Page {
            person: Some(Person { name: self.name.clone(), role: self.reader.text(role_key(self.caller.role)) }),
            session: Some(self.seconds_left),
            message: self.message.clone(),
            csrf: self.csrf.clone(),
            form: self.form_key.clone(),
            sections,
            ..page
        };
        if page.sections.is_empty() { page } else { page.class("has-bar") }
    }

    /// A variable part of the address, empty when it has none of this name.
    pub fn part(&self, name: &str) -> &str {
        self.parts.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// What a query chooses of a list; one that is not on it is refused, not taken for another.
    pub fn one_of(&self, name: &'static str, known: &[&str]) -> Result<&str> {
        let typed = self.query.typed(name);
        if typed.is_empty() || known.contains(&typed) {
            return Ok(typed);
        }
        Err(Error::at(Kind::Value, name, format!("is none of: {}", known.join(", "))))
    }

    pub fn text(&self, key: &str) -> &'static str {
        self.reader.text(key)
    }

    pub fn show(&self, template: &str, model: &impl Serialize) -> Result<Reply> {
        self.show_as(200, template, model)
    }

    /// A page with another status: 422 for a form with errors, 409 for a conflict.
    pub fn show_as(&self, status: u16, template: &str, model: &impl Serialize) -> Result<Reply> {
        Ok(Reply::Page { status, html: html::render(self.reader.language, template, model)? })
    }

    /// Several interactions as one unit, all or nothing, done again after a lost race; a refusal is audited.
    pub async fn unit<T>(&self, work: impl AsyncFn(&mut Unit<'_>) -> Result<T>) -> Result<T> {
        interaction::together(&self.app, &self.caller, "transaction", work).await
    }

    /// The same for what a form does: it happens once for the form's key. `work` returns where the answer leads; of a
    /// second sending that comes at the same time `http` gives the answer of the first.
    pub async fn once(&self, work: impl AsyncFn(&mut Unit<'_>) -> Result<String>) -> Result<String> {
        let done = interaction::together(&self.app, &self.caller, "transaction", async |unit| {
            let location = work(unit).await?;
            let conn = unit.transaction().await?;
            let first = store::form::claim(conn, self.sending(), &location, clock::now()).await?;
            if first { Ok(location) } else { Err(Error::new(Kind::Conflict, "the form was sent twice")) }
        });
        done.await
    }

    /// Keeps where a second sending of this form leads, when the first shows something that is shown only once.
    pub async fn answered(&self, answer: &str) -> Result<()> {
        let conn = self.app.pool.lane().await?;
        store::form::claim(&conn, self.sending(), answer, clock::now()).await.map(drop)
    }

    fn sending(&self) -> store::form::Sending<'_> {
        store::form::Sending { key: &self.form_key, action: &self.path, session: self.jti, sent: &self.sent }
    }

    /// Keeps what was typed for the form of another page; the address that shows it there.
    pub async fn draft_for(&self, page: &str, pairs: &[(&str, &str)]) -> Result<String> {
        keep_draft(&self.app, self.usuario_id, page, pairs.iter().copied()).await
    }
}

/// The field by which somebody goes on after a question: what the question was about.
pub const SURE: &str = "seguro";

fn joined<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Secrets never wait anywhere, nor does the token of a session.
fn may_wait(name: &str) -> bool {
    !name.starts_with("clave") && name != "csrf"
}

/// What a form says, by which two sendings are told apart: without secrets and what the page says of itself.
pub fn sent(form: &Form) -> String {
    let says = |name: &str| may_wait(name) && !matches!(name, "form" | "version" | "pagina" | SURE);
    joined(form.pairs().filter(|(name, _)| says(name)))
}

/// Keeps what was typed for an account. Returns the address of the page that shows it again.
pub async fn keep_draft<'p>(
    app: &App,
    usuario: Uuid,
    page: &str,
    pairs: impl Iterator<Item = (&'p str, &'p str)>,
) -> Result<String> {
    let body = joined(pairs.filter(|(name, _)| may_wait(name)));
    let id = clock::secret()?;
    let (path, _) = page.split_once('?').unwrap_or((page, ""));
    store::form::keep_draft(&*app.pool.lane().await?, &id, usuario, path, &body, clock::now()).await?;
    let join = if page.contains('?') { '&' } else { '?' };
    Ok(format!("{page}{join}borrador={id}"))
}

/// What a page answers.
#[derive(Debug)]
pub enum Reply {
    Page {
        status: u16,
        html: String,
    },
    /// After a form: where it leads, and the key of the text that is said there.
    SeeOther {
        to: String,
        said: Option<&'static str>,
    },
    /// JSON of a status.
    Json {
        status: u16,
        body: String,
    },
    /// A resource or Bundle, 200.
    Fhir {
        body: Vec<u8>,
    },
    /// A file to keep.
    File {
        media_type: &'static str,
        name: &'static str,
        bytes: Vec<u8>,
    },
}

impl Reply {
    pub fn see(to: impl Into<String>) -> Reply {
        Reply::SeeOther { to: to.into(), said: None }
    }

    pub fn said(to: impl Into<String>, said: &'static str) -> Reply {
        Reply::SeeOther { to: to.into(), said: Some(said) }
    }
}
