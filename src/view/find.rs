//! Finding patients by what people type: a document with or without points, either surname, a given name, a birth date.
//! Accents and ñ do not matter: the search folds them (`search::param::string`).

use crate::error::Result;
use crate::fhir::documento::type_code;
use crate::interaction::Unit;
use crate::search::param::string::fold;
use crate::view::format::{Reader, typed_date};
use crate::view::page::Badge;
use crate::view::patient::{Found, Name, search};
use crate::view::visit::encoded;
use jiff::civil::Date;
use serde::Serialize;

/// Longest text that is looked for, in characters, and the most words of it.
const LONGEST: usize = 100;
const WORDS: usize = 6;
/// As many as fit a list that is looked through.
const MOST: usize = 20;

/// What was asked: a number, a birth date, words of a name, or several of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub number: Option<String>,
    pub birth: Option<Date>,
    /// As typed.
    pub words: Vec<String>,
}

impl Asked {
    /// None when there is nothing to look for yet: no word of two letters, no number of three places.
    pub fn read(text: &str) -> Option<Asked> {
        let text: String = text.chars().take(LONGEST).collect();
        let mut asked = Asked::default();
        let mut number = String::new();
        for (n, word) in text.split([' ', ',', '\t', '\u{a0}']).filter(|word| !word.is_empty()).enumerate() {
            let (kind, rest) = word.split_once('-').unwrap_or((word, ""));
            let digits = |text: &str| text.chars().any(|c| c.is_ascii_digit());
            if let Some(date) = typed_date(word) {
                asked.birth = Some(date);
            } else if n == 0 && type_code(kind).is_some() && !digits(kind) {
                number.push_str(rest);
            } else if digits(word) {
                number.push_str(word);
            } else if asked.words.len() < WORDS {
                asked.words.push(word.to_owned());
            }
        }
        number.retain(|c| c.is_ascii_alphanumeric());
        asked.number = (number.len() >= 3).then(|| number.to_ascii_uppercase());
        let named = asked.words.iter().any(|word| word.chars().count() >= 2);
        (named || asked.number.is_some() || asked.birth.is_some()).then_some(asked)
    }

    fn query(&self, reader: &Reader) -> String {
        let mut terms = Vec::new();
        if let Some(number) = &self.number {
            terms.push(format!("identifier={}", spellings(reader, number)));
        }
        terms.extend(self.birth.map(|date| format!("birthdate={date}")));
        terms.extend(self.words.iter().map(|word| format!("name={}", encoded(&escaped(word)))));
        format!("{}&_count={MOST}", terms.join("&"))
    }
}

/// The number as it is stored: bare, or with points by others.
pub fn spellings(reader: &Reader, number: &str) -> String {
    let pointed = reader
        .document(&format!("CC-{number}"))
        .and_then(|text| text.split_once(' ').map(|(_, number)| number.to_owned()));
    let all = std::iter::once(number.to_owned()).chain(pointed.filter(|pointed| pointed != number));
    all.map(|text| encoded(&text)).collect::<Vec<_>>().join(",")
}

/// A value of a search with its separators escaped (<https://hl7.org/fhir/R4/search.html#escaping>).
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, ',' | '|' | '$' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The patients that fit, by surname.
pub async fn find(unit: &mut Unit<'_>, reader: &Reader, asked: &Asked) -> Result<Found> {
    let mut found = search(unit, "Patient", &asked.query(reader)).await?;
    found.resources.sort_by_cached_key(|patient| fold(&Name::of(patient).whole()));
    Ok(found)
}

/// A piece of a name; `hit`: it is what was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    pub text: String,
    pub hit: bool,
}

/// The partial `row`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub href: String,
    pub first: bool,
    pub surnames: Vec<Part>,
    pub names: Vec<Part>,
    pub lines: Vec<String>,
    pub badge: Option<Badge>,
    pub act: Option<&'static str>,
}

/// The words of a name, with the beginnings marked that were looked for.
pub fn marked(name: &str, words: &[String]) -> Vec<Part> {
    let wanted: Vec<String> = words.iter().map(|word| fold(word)).filter(|word| !word.is_empty()).collect();
    let mut parts: Vec<Part> = Vec::new();
    let mut plain = |text: String, hit: bool| match parts.last_mut() {
        Some(last) if last.hit == hit => last.text.push_str(&text),
        _ if text.is_empty() => {}
        _ => parts.push(Part { text, hit }),
    };
    for (n, word) in name.split(' ').enumerate() {
        if n > 0 {
            plain(" ".to_owned(), false);
        }
        let folded = fold(word);
        let longest = wanted
            .iter()
            .filter(|wanted| folded.starts_with(wanted.as_str()))
            .map(|wanted| wanted.chars().count())
            .max();
        let length = longest.unwrap_or(0);
        plain(word.chars().take(length).collect(), length > 0);
        plain(word.chars().skip(length).collect(), false);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_text_is_a_number_a_date_or_a_name() {
        let check = |input: &str, number: Option<&str>, birth: Option<&str>, words: &[&str]| {
            let asked = Asked::read(input).unwrap_or_default();
            let expected = Asked {
                number: number.map(str::to_owned),
                birth: birth.map(|date| date.parse().unwrap()),
                words: words.iter().map(|w| (*w).to_owned()).collect(),
            };
            assert_eq!(asked, expected, "{input}");
        };
        check("munoz pe", None, None, &["munoz", "pe"]);
        check("51.999.208", Some("51999208"), None, &[]);
        check("CC 51 999 208", Some("51999208"), None, &[]);
        check("ti-1099999412", Some("1099999412"), None, &[]);
        check("pa A99940017", Some("A99940017"), None, &[]);
        check("14/03/1968", None, Some("1968-03-14"), &[]);
        check("muñoz 14/03/1968", None, Some("1968-03-14"), &["muñoz"]);
        check("Muñoz, Gloria", None, None, &["Muñoz", "Gloria"]);
        for nothing in ["", " ", "m", "1", "12"] {
            assert_eq!(Asked::read(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn beginnings_that_were_looked_for_are_marked() {
        let check = |name: &str, words: &[&str], expected: &str| {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            let shown: String = marked(name, &words)
                .iter()
                .map(|p| if p.hit { format!("[{}]", p.text) } else { p.text.clone() })
                .collect();
            assert_eq!(shown, expected);
        };
        check("Muñoz Peñaranda", &["munoz", "pe"], "[Muñoz] [Pe]ñaranda");
        check("Peláez Munoz", &["MUÑO"], "Peláez [Muno]z");
        check("Ana", &[], "Ana");
        check("", &["a"], "");
    }

    #[test]
    fn separators_of_searches_are_escaped() {
        assert_eq!(escaped("a,b|c$d\\e"), "a\\,b\\|c\\$d\\\\e");
    }
}
