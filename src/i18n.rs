//! The texts that people read, in Spanish (first) and English, from `templates/i18n`.
//!
//! No text of a page stands in code. The catalogues are compiled in; a test keeps their keys equal.

use std::collections::HashMap;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    #[default]
    Es,
    En,
}

impl Language {
    /// The better of the two for an `Accept-Language` (RFC 9110, 12.5.4); Spanish when it names neither.
    pub fn accepted(header: &str) -> Language {
        Language::preferred(header, Language::Es)
    }

    /// The better of the two for an `Accept-Language`; `otherwise` when it names neither.
    pub fn preferred(header: &str, otherwise: Language) -> Language {
        let mut best = (0_u32, otherwise);
        for range in header.split(',').take(20) {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or("").to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1_000, thousandths);
            let language = match tag.split('-').next() {
                Some("es") => Language::Es,
                Some("en") => Language::En,
                Some("*") => otherwise,
                _ => continue,
            };
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }

    /// The language of a code, as a cookie and an address name it.
    pub fn parse(code: &str) -> Option<Language> {
        [Language::Es, Language::En].into_iter().find(|language| language.code() == code)
    }

    /// For the `lang` attribute: the Spanish is that of Colombia.
    pub fn tag(self) -> &'static str {
        match self {
            Language::Es => "es-CO",
            Language::En => "en",
        }
    }

    /// For `Content-Language`, cookies and addresses.
    pub fn code(self) -> &'static str {
        match self {
            Language::Es => "es",
            Language::En => "en",
        }
    }
}

/// A weight such as `0.8` in thousandths; what is no weight counts as nothing.
fn thousandths(text: &str) -> u32 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{fraction:0<3}");
    let fraction: u32 = digits.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    whole.parse::<u32>().map_or(0, |whole| (whole.min(1) * 1_000 + fraction).min(1_000))
}

type Catalogue = HashMap<String, String>;

static ES: LazyLock<Catalogue> = LazyLock::new(|| read(include_str!("../templates/i18n/es.json")));
static EN: LazyLock<Catalogue> = LazyLock::new(|| read(include_str!("../templates/i18n/en.json")));

/// A test reads both files, so what cannot be read never gets this far.
fn read(text: &str) -> Catalogue {
    serde_json::from_str(text).unwrap_or_default()
}

/// All texts of a language: the `t` of a page's model.
pub fn catalogue(language: Language) -> &'static HashMap<String, String> {
    match language {
        Language::Es => &ES,
        Language::En => &EN,
    }
}

/// What stands for a text that is missing, so that the gap is seen; tests look for it before.
const MISSING: &str = "[?]";

pub fn find(language: Language, key: &str) -> Option<&'static str> {
    catalogue(language).get(key).map(String::as_str)
}

/// The text of a key.
pub fn text(language: Language, key: &str) -> &'static str {
    find(language, key).unwrap_or(MISSING)
}

/// The text of a key with its `{name}` places filled.
pub fn fill(language: Language, key: &str, places: &[(&str, &str)]) -> String {
    filled(text(language, key), places)
}

/// Fills the places in one pass: what is filled in is not looked at again.
pub fn filled(text: &str, places: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let place = after.split_once('}').and_then(|(name, after)| {
            places.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value, after))
        });
        match place {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn both_catalogues_have_the_same_keys() {
        let keys = |language| catalogue(language).keys().cloned().collect::<BTreeSet<_>>();
        assert!(!keys(Language::Es).is_empty());
        assert_eq!(keys(Language::Es), keys(Language::En));
        assert_eq!(text(Language::Es, "login.submit"), "Ingresar");
        let places = |text: &str| {
            text.split('{')
                .skip(1)
                .filter_map(|rest| rest.split('}').next())
                .map(str::to_owned)
                .collect::<BTreeSet<_>>()
        };
        for (key, text) in catalogue(Language::Es) {
            assert!(
                (!text.is_empty() || key == "flag.none") && places(text) == places(&catalogue(Language::En)[key]),
                "{key}"
            );
        }
    }

    #[test]
    fn places_are_filled_once() {
        let check = |text: &str, expected: &str| assert_eq!(filled(text, &[("a", "{b}"), ("b", "2")]), expected);
        check("{a} y {b}", "{b} y 2");
        check("{c} { {a", "{c} { {a");
        check("", "");
    }

    #[test]
    fn languages_are_chosen_by_weight() {
        let check = |header: &str, expected| assert_eq!(Language::accepted(header), expected, "{header}");
        check("", Language::Es);
        check("en-US,en;q=0.9", Language::En);
        check("en;q=0.5, es-CO;q=0.8", Language::Es);
        check("de, en;q=0.1", Language::En);
        check("de", Language::Es);
        check("en;q=0", Language::Es);
        check("es;q=x, en;q=0.2", Language::En);
        let of_program = |header: &str| Language::preferred(header, Language::En);
        assert_eq!(["", "*", "fr"].map(of_program), [Language::En; 3]);
        assert_eq!(["es", "es-CO, en;q=0.9"].map(of_program), [Language::Es; 2]);
    }
}
