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

    /// The same for what a form does: it happens once for the form's key. `work` returns where the answer leads; a
    /// second sending of the same form gets the address of the first, also after a restart.
    pub async fn once(&self, work: impl AsyncFn(&mut Unit<'_>) -> Result<String>) -> Result<String> {
        let done = interaction::together(&self.app, &self.caller, "transaction", async |unit| {
            let location = work(unit).await?;
            let conn = unit.transaction().await?;
            let first = store::form::claim(conn, &self.form_key, &self.path, self.jti, &location, clock::now()).await?;
            if first { Ok(location) } else { Err(Error::new(Kind::Conflict, SENT_TWICE)) }
        });
        match done.await {
            Err(error) if error.text() == SENT_TWICE => {
                let answer = store::form::answer(&*self.app.pool.lane().await?, &self.form_key, &self.path).await?;
                answer.ok_or_else(|| Error::internal("the answer of a form is gone"))
            }
            done => done,
        }
    }

    /// Keeps where a second sending of this form leads, when the first shows something that is shown only once.
    pub async fn answered(&self, answer: &str) -> Result<()> {
        let conn = self.app.pool.lane().await?;
        store::form::claim(&conn, &self.form_key, &self.path, self.jti, answer, clock::now()).await.map(drop)
    }
}

const SENT_TWICE: &str = "the form was sent twice";

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
