//! What every page has: head, top bar with the sections of the role, one message, the keys of its forms.

use crate::access::Role;
use crate::i18n::Language;
use crate::view::format::Reader;
use crate::view::patient::Banner;
use serde::Serialize;
use std::sync::OnceLock;

/// The sections of a role: address, text, icon. The first is its desk, where `/` leads. Only pages that exist stand
/// here; at most four, because they are the bottom bar of a phone.
pub fn sections(role: Role) -> &'static [(&'static str, &'static str, &'static str)] {
    match role {
        Role::Admin => &[
            ("/admin", "admin.users", "person"),
            ("/admin/clientes", "admin.clients", "key"),
            ("/admin/mensajes", "admin.messages", "mail"),
            ("/admin/auditoria", "admin.audit", "eye"),
        ],
        Role::Admisionista => &[
            ("/admision", "admission.patients", "search"),
            ("/admision/llegadas", "admission.arrivals", "arrive"),
            ("/admision/registrar", "admission.register", "plus"),
            ("/admision/mensajes", "messages.short", "mail"),
        ],
        Role::Medico => &[
            ("/medico", "medico.patients", "search"),
            ("/medico/hospitalizados", "medico.inpatients", "bed"),
            ("/cuenta", "account.title", "person"),
        ],
        Role::Resultados => &[
            ("/resultados", "lab.list", "list"),
            ("/resultados/pacientes", "lab.patients", "search"),
            ("/resultados/historico", "lab.history", "page"),
        ],
        Role::Paciente => &[
            ("/mi-historia", "own.area", "home"),
            ("/mi-historia/resultados", "own.tab_results", "flask"),
            ("/mi-historia/visitas", "own.tab_visits", "page"),
            ("/mi-historia/accesos", "own.tab_seen", "eye"),
        ],
        Role::Integracion => &[],
    }
}

/// Where `/` leads somebody of a role.
pub fn home(role: Role) -> &'static str {
    sections(role).first().map_or("/cuenta", |(href, ..)| href)
}

/// The addresses of the assets, which carry the hash of their content; `http` names them once at the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Assets {
    pub css: String,
    pub js: String,
    pub icon: String,
}

pub static ASSETS: OnceLock<Assets> = OnceLock::new();

#[derive(Clone, Debug, Serialize)]
pub struct Link {
    pub href: String,
    pub label: String,
}

impl Link {
    pub fn new(href: impl Into<String>, label: impl Into<String>) -> Link {
        Link { href: href.into(), label: label.into() }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Section {
    pub href: &'static str,
    pub label: &'static str,
    pub icon: &'static str,
    pub current: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct Person {
    pub name: String,
    pub role: &'static str,
}

/// Shape and colour of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    Ok,
    Info,
    Warn,
    Crit,
}

/// The one line at the top of `main`; the partial `message`.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    pub kind: Tone,
    pub icon: &'static str,
    /// Read at once by screen readers, and focused.
    pub alert: bool,
    pub strong: String,
    pub text: String,
    pub link: Option<Link>,
    pub items: Vec<Item>,
}

/// One line of a message's list; `href` leads to the field.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    pub href: Option<String>,
    pub label: String,
}

impl Message {
    pub fn new(kind: Tone, strong: impl Into<String>, text: impl Into<String>) -> Message {
        let icon = match kind {
            Tone::Ok => "check",
            Tone::Info => "info",
            Tone::Warn => "triangle",
            Tone::Crit => "octagon",
        };
        let (strong, text) = (strong.into(), text.into());
        Message { kind, icon, alert: kind == Tone::Crit, strong, text, link: None, items: Vec::new() }
    }

    #[must_use]
    pub fn link(mut self, href: impl Into<String>, label: impl Into<String>) -> Message {
        self.link = Some(Link::new(href, label));
        self
    }
}

/// A status: partial `badge`. `kind`: plain, ok, warn, info, crit, off, origin.
#[derive(Clone, Debug, Serialize)]
pub struct Badge {
    pub kind: &'static str,
    pub icon: Option<&'static str>,
    pub label: String,
}

impl Badge {
    pub fn new(kind: &'static str, icon: Option<&'static str>, label: impl Into<String>) -> Badge {
        Badge { kind, icon, label: label.into() }
    }
}

/// High, low or critical: partial `flag`. Normal has none.
#[derive(Clone, Debug, Serialize)]
pub struct Flag {
    pub crit: bool,
    pub icon: &'static str,
    pub label: String,
}

/// "Nothing here yet": partial `empty`.
#[derive(Clone, Debug, Serialize)]
pub struct Empty {
    pub icon: &'static str,
    pub title: &'static str,
    pub text: &'static str,
    pub action: Option<Link>,
}

/// The `page` of every model.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    pub lang: &'static str,
    pub theme: Option<&'static str>,
    pub title: String,
    /// Classes of `body`: `narrow`, `dialog`, `inside` (one patient), `has-bar`.
    pub body: String,
    /// Without the top bar.
    pub bare: bool,
    pub site: String,
    pub back: Option<Link>,
    pub sections: Vec<Section>,
    pub person: Option<Person>,
    pub banner: Option<Banner>,
    /// Seconds to the end of the session.
    pub session: Option<u64>,
    pub message: Option<Message>,
    pub assets: Assets,
    pub csrf: String,
    pub form: String,
    /// The other language: the address that switches to it and comes back here.
    pub switch: Link,
}

impl Page {
    /// The page of somebody who is not signed in.
    pub fn open(
        reader: &Reader,
        theme: Option<&'static str>,
        site: &str,
        title: impl Into<String>,
        here: &str,
    ) -> Page {
        let (other, label) = match reader.language {
            Language::Es => (Language::En, "English"),
            Language::En => (Language::Es, "Español"),
        };
        Page {
            lang: reader.language.tag(),
            theme,
            title: title.into(),
            body: String::new(),
            bare: false,
            site: site.to_owned(),
            back: None,
            sections: Vec::new(),
            person: None,
            banner: None,
            session: None,
            message: None,
            assets: ASSETS.get().cloned().unwrap_or_default(),
            csrf: String::new(),
            form: String::new(),
            switch: Link::new(format!("/idioma/{}?volver={}", other.code(), super::visit::encoded(here)), label),
        }
    }

    /// Marks the section of an address.
    #[must_use]
    pub fn at(mut self, section: &str) -> Page {
        for known in &mut self.sections {
            known.current = known.href == section;
        }
        self
    }

    #[must_use]
    pub fn class(mut self, class: &str) -> Page {
        if !self.body.is_empty() {
            self.body.push(' ');
        }
        self.body.push_str(class);
        self
    }

    /// A page inside one thing: on a phone its way back takes the place of mark and sections.
    #[must_use]
    pub fn inside(self, href: impl Into<String>, label: impl Into<String>) -> Page {
        let page = Page { back: Some(Link::new(href, label)), ..self };
        page.class("inside")
    }

    #[must_use]
    pub fn says(self, message: Message) -> Page {
        Page { message: Some(message), ..self }
    }

    /// A message, when there is one; else what the page before had to say stays.
    #[must_use]
    pub fn with(self, message: Option<Message>) -> Page {
        match message {
            Some(message) => self.says(message),
            None => self,
        }
    }

    /// A page about one patient: banner above, its actions as the bottom bar of a phone.
    #[must_use]
    pub fn about(self, banner: Banner) -> Page {
        let has_bar = !banner.actions.is_empty();
        let page = Page { banner: Some(banner), ..self };
        if has_bar { page.class("has-bar") } else { page }
    }
}
