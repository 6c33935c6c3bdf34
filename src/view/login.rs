//! The bare sign-in form: for `/login`, and as the body of a 401 of a page.

use crate::error::Result;
use crate::i18n::{self, Language};
use crate::view::html;
use serde::Serialize;
use std::collections::HashMap;

/// Longest address that one is led to after the sign-in.
const LONGEST_NEXT: usize = 2_000;

/// Why the form is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// One came here oneself.
    Asked,
    /// A page that needs a session.
    Needed,
    /// The last try was wrong.
    Wrong,
}

#[derive(Serialize)]
struct Model<'m> {
    t: &'m HashMap<String, String>,
    lang: &'static str,
    next: &'m str,
    needed: bool,
    wrong: bool,
}

/// The page; `next` is where the sign-in leads.
pub fn page(language: Language, next: Option<&str>, reason: Reason) -> Result<String> {
    let model = Model {
        t: i18n::catalogue(language),
        lang: language.code(),
        next: next.and_then(local).unwrap_or(""),
        needed: reason == Reason::Needed,
        wrong: reason == Reason::Wrong,
    };
    html::render("login", &model)
}

/// An address of this server, as path: what may be led to. Everything that a browser could read as another host is none.
pub fn local(next: &str) -> Option<&str> {
    let mut bytes = next.bytes();
    let rooted = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    let clean = next.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>'));
    (rooted && clean && next.len() <= LONGEST_NEXT).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_form_speaks_both_languages_and_escapes() {
        let es = page(Language::Es, Some("/paciente/x?a=1&b='2'"), Reason::Wrong).unwrap();
        assert!(es.contains("<html lang=\"es\">") && es.contains("El usuario o la clave"), "{es}");
        assert!(es.contains("value=\"/paciente/x?a&#x3D;1&amp;b&#x3D;&#x27;2&#x27;\""), "{es}");
        let en = page(Language::En, Some("//evil.example"), Reason::Needed).unwrap();
        assert!(en.contains("lang=\"en\"") && en.contains("Sign in to see this page") && !en.contains("evil"), "{en}");
        assert!(!en.contains("name=\"next\"") && !en.contains("role=\"alert\""), "{en}");
        assert!(!page(Language::Es, None, Reason::Asked).unwrap().contains("Entre para ver"));
    }
}
