//! The sign-in form: for `/login`, and as the body of a 401 of a page. Also "I forgot my password".

use crate::error::Result;
use crate::oauth::form::Form;
use crate::view::format::Reader;
use crate::view::html;
use crate::view::page::{Message, Page, Tone};
use serde::Serialize;

/// Longest address that one is led to after the sign-in.
const LONGEST_NEXT: usize = 2_000;
/// Before the names of fields that wait for the sign-in.
pub const DRAFT: &str = "borrador.";

/// Why the form is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// One came here oneself.
    Asked,
    /// A page that needs a session.
    Needed,
    /// The session was not used for so many minutes.
    Idle(u64),
    /// The session has ended otherwise.
    Ended,
    /// The last try was wrong; seconds until the next is looked at.
    Wrong(u64),
    /// The account was just opened or its password changed.
    Opened,
}

#[derive(Serialize)]
struct Hidden<'m> {
    name: String,
    value: &'m str,
}

#[derive(Serialize)]
struct Model<'m> {
    page: Page,
    said: Option<Message>,
    next: &'m str,
    wrong: bool,
    usuario: &'m str,
    draft: Vec<Hidden<'m>>,
}

/// What the form remembers.
#[derive(Clone, Copy, Default)]
pub struct Kept<'k> {
    /// Where the sign-in leads.
    pub next: Option<&'k str>,
    pub usuario: &'k str,
    /// The fields of a form that could not be taken because the session had ended.
    pub draft: Option<&'k Form>,
}

/// Fields that never wait in a page: secrets, and the token of the session that has ended.
fn waits(name: &str) -> bool {
    !name.starts_with("clave") && name != "csrf"
}

/// The page.
pub fn page(
    reader: &Reader,
    theme: Option<&'static str>,
    site: &str,
    kept: Kept<'_>,
    reason: Reason,
) -> Result<String> {
    let next = kept.next.and_then(led).unwrap_or("");
    let here =
        if next.is_empty() { "/login".to_owned() } else { format!("/login?next={}", super::visit::encoded(next)) };
    let page = Page::open(reader, theme, site, reader.text("login.title"), &here).class("narrow");
    let page = Page { bare: true, ..page };
    let said = message(reader, reason, kept.draft.is_some());
    let hidden = |(name, value)| Hidden { name: format!("{DRAFT}{name}"), value };
    let draft = kept.draft.into_iter().flat_map(Form::pairs).filter(|(name, _)| waits(name)).map(hidden).collect();
    let model = Model { page, said, next, wrong: matches!(reason, Reason::Wrong(_)), usuario: kept.usuario, draft };
    html::render(reader.language, "login", &model)
}

fn message(reader: &Reader, reason: Reason, keeps: bool) -> Option<Message> {
    let rest = if keeps { "login.draft_kept" } else { "login.come_back" };
    Some(match reason {
        Reason::Asked => return None,
        Reason::Needed => Message::new(Tone::Info, reader.text("login.needed"), ""),
        Reason::Idle(minutes) => {
            let strong = reader.fill("login.idle", &[("n", &minutes.to_string())]);
            Message::new(Tone::Info, strong, reader.text(rest))
        }
        Reason::Ended => Message::new(Tone::Info, reader.text("login.ended"), reader.text(rest)),
        Reason::Wrong(0) => Message::new(Tone::Crit, reader.text("login.wrong"), reader.text("login.wrong_help")),
        Reason::Wrong(wait) => {
            let text = reader.count("login.wait", i64::try_from(wait).unwrap_or(30));
            Message::new(Tone::Crit, reader.text("login.wrong"), text)
        }
        Reason::Opened => Message::new(Tone::Ok, reader.text("login.opened"), reader.text("login.opened_help")),
    })
}

/// The fields that waited in the sign-in form, under their own names.
pub fn draft_of(form: &Form) -> Option<Form> {
    let fields: Vec<(&str, &str)> =
        form.pairs().filter_map(|(name, value)| Some((name.strip_prefix(DRAFT)?, value))).collect();
    (!fields.is_empty()).then(|| Form::of(fields))
}

#[derive(Serialize)]
struct Forgotten {
    page: Page,
}

/// Whom to ask for a new password.
pub fn forgotten(reader: &Reader, theme: Option<&'static str>, site: &str) -> Result<String> {
    let page = Page::open(reader, theme, site, reader.text("forgotten.title"), "/login/olvido").class("narrow");
    html::render(reader.language, "forgotten", &Forgotten { page: Page { bare: true, ..page } })
}

/// An address of this server, as path: what may be led to. Everything that a browser could read as another host is none.
pub fn local(next: &str) -> Option<&str> {
    let mut bytes = next.bytes();
    let rooted = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    let clean = next.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>'));
    (rooted && clean && next.len() <= LONGEST_NEXT).then_some(next)
}

/// The first parts of the addresses of pages, and what below them is none: programs ask for it, or buttons post to it.
const PAGES: [&str; 9] =
    ["", "admin", "admision", "cuenta", "exportar_pdf", "medico", "mi-historia", "paciente", "resultados"];
const NO_PAGES: [&str; 4] = ["/admision/municipios", "/admision/llegadas/nuevas", "/cuenta/sesion", "/codigo"];

/// Where one may be led after a form of the browser: to a page of this server.
pub fn led(next: &str) -> Option<&str> {
    let path = local(next)?.split(['?', '#']).next()?;
    let first = path.split('/').nth(1)?;
    (PAGES.contains(&first) && !NO_PAGES.iter().any(|none| path.ends_with(none))).then_some(next)
}

/// Where a choice of the browser leads back: also to the pages of somebody who is not signed in.
pub fn back(next: &str) -> Option<&str> {
    let path = local(next)?.split(['?', '#']).next()?;
    if matches!(path, "/conectar" | "/login" | "/login/olvido" | "/registro") { Some(next) } else { led(next) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Language;
    use jiff::Timestamp;
    use jiff::tz::Offset;

    fn shown(language: Language, kept: Kept<'_>, reason: Reason) -> String {
        let reader = Reader { language, offset: Offset::UTC, now: Timestamp::UNIX_EPOCH };
        page(&reader, None, "Hospital", kept, reason).unwrap()
    }

    #[test]
    fn a020_only_addresses_of_this_server_are_led_to() {
        let check = |next: &str, ok: bool| assert_eq!(local(next).is_some(), ok, "{next:?}");
        check("/", true);
        check("/paciente/CC-1020304050?x=1#a", true);
        check("/paciente/%C3%B1", true);
        for next in
            ["", "paciente", "//evil.example", "/\\evil.example", "\\\\evil", "https://evil.example", "javascript:x"]
        {
            check(next, false);
        }
        for next in ["/\t/evil.example", "/a\r\nSet-Cookie: x", " /a", "/a b", "/ñ", "/a\"b", "/x\\y"] {
            check(next, false);
        }
        check(&format!("/{}", "a".repeat(2000)), false);
    }

    #[test]
    fn a_sign_in_leads_to_pages_only() {
        let check = |next: &str, ok: bool| assert_eq!(led(next).is_some(), ok, "{next:?}");
        for page in ["/", "/?x=1", "/medico?q=ana", "/paciente/x/registro/Observation/y", "/exportar_pdf/x", "/cuenta"]
        {
            check(page, true);
        }
        for none in ["/logout", "/login", "/idioma/en", "/fhir/Patient", "/assets/x.css", "/paciente/x/codigo", "//x"] {
            check(none, false);
        }
    }

    #[test]
    fn the_form_speaks_both_languages_and_escapes() {
        let next = Some("/paciente/x?a=1&b='2'");
        let es = shown(Language::Es, Kept { next, usuario: "<b>\"x", ..Kept::default() }, Reason::Wrong(0));
        assert!(es.contains("<html lang=\"es-CO\">") && es.contains("Usuario o clave no coinciden"), "{es}");
        assert!(es.contains("value=\"/paciente/x?a&#x3D;1&amp;b&#x3D;&#x27;2&#x27;\""), "{es}");
        assert!(es.contains("value=\"&lt;b&gt;&quot;x\""), "{es}");
        let next = Some("//evil.example");
        let en = shown(Language::En, Kept { next, ..Kept::default() }, Reason::Needed);
        assert!(en.contains("lang=\"en\"") && en.contains("Sign in to see this page") && !en.contains("evil"), "{en}");
        assert!(!en.contains("name=\"next\"") && !en.contains("role=\"alert\""), "{en}");
        assert!(!shown(Language::Es, Kept::default(), Reason::Asked).contains("Entre para ver"));
    }

    #[test]
    fn what_was_typed_waits_without_its_secrets() {
        let form = Form::parse(b"peso=71%2C4&clave=geheim&clave_nueva=x&csrf=t&form=k.t&nota=%3Cscript%3E").unwrap();
        let kept = Kept { draft: Some(&form), ..Kept::default() };
        let html = shown(Language::Es, kept, Reason::Idle(30));
        assert!(html.contains("name=\"borrador.peso\" value=\"71,4\"") && html.contains("borrador.form"), "{html}");
        assert!(!html.contains("geheim") && !html.contains("borrador.csrf") && !html.contains("<script>"), "{html}");
        let sent = Form::parse(b"usuario=ana&clave=x&borrador.peso=71%2C4&borrador.form=k.t").unwrap();
        assert_eq!(draft_of(&sent).unwrap().pairs().collect::<Vec<_>>(), [("peso", "71,4"), ("form", "k.t")]);
        assert!(draft_of(&form).is_none());
    }
}
