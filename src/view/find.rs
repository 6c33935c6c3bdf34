//! Finding patients by what people type: a document with or without points, either surname, a given name, a birth date.
//! Accents and ñ do not matter: the search folds them (`search::param::string`).

use crate::error::Result;
use crate::fhir::documento::{DocumentoId, type_code};
use crate::interaction::Unit;
use crate::search::param::string::fold;
use crate::view::format::{Reader, typed_date};
use crate::view::page::Badge;
use crate::view::patient::{self, Found, Name, search};
use crate::view::visit::{Visit, encoded};
use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;

/// Longest text that is looked for, in characters, and the most words of it.
const LONGEST: usize = 100;
const WORDS: usize = 6;
/// As many as fit a list that is looked through.
const MOST: usize = 20;

/// The first year in which somebody who is looked for was born.
const OLDEST: i16 = 1890;

/// What was asked: a number from its beginning, a birth date, words of a name, or several of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub number: Option<String>,
    pub birth: Option<Date>,
    /// Four digits are the beginning of a number and may be the year of a birth.
    pub year: Option<i16>,
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
            // CC51999208: the type and the number in one.
            let glued = word.find(|c: char| c.is_ascii_digit()).and_then(|at| word.split_at_checked(at));
            let (kind, rest) = glued.filter(|(kind, _)| type_code(kind).is_some()).unwrap_or((kind, rest));
            if let Some(date) = typed_date(word).filter(|_| !word.bytes().all(|b| b.is_ascii_digit())) {
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
        asked.year = number.parse().ok().filter(|year| number.len() == 4 && (OLDEST..2100).contains(year));
        asked.number = (number.len() >= 3).then(|| number.to_ascii_uppercase());
        let named = asked.words.iter().any(|word| word.chars().count() >= 2);
        (named || asked.number.is_some() || asked.birth.is_some()).then_some(asked)
    }

    fn queries(&self) -> Vec<String> {
        let mut terms: Vec<String> = self.birth.map(|date| format!("birthdate={date}")).into_iter().collect();
        terms.extend(self.words.iter().map(|word| format!("name={}", encoded(&escaped(word)))));
        terms.push(format!("_count={MOST}"));
        let terms = terms.join("&");
        let number = self.number.as_ref().map(|number| {
            let bare = bare(number);
            let or_bare = if bare == number { String::new() } else { format!(",{bare}") };
            format!("identifier:code-text={number}{or_bare}&{terms}")
        });
        let year = self.year.map(|year| format!("birthdate={year}&{terms}"));
        if number.is_none() { vec![terms] } else { number.into_iter().chain(year).collect() }
    }
}

/// A number without the zeros before it; what is no number, or zeros only, as it is.
fn bare(number: &str) -> &str {
    let rest = number.trim_start_matches('0');
    if rest.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) { number } else { rest }
}

/// The number as it may be stored: bare, with zeros before it, or with points by others.
pub fn spellings(reader: &Reader, documento: &DocumentoId) -> String {
    let numbers = documento.spellings();
    let pointed = numbers.iter().min_by_key(|number| number.len()).and_then(|number| {
        let text = reader.document(&format!("CC-{number}"))?;
        text.split_once(' ').map(|(_, number)| number.to_owned())
    });
    let pointed = pointed.filter(|pointed| !numbers.contains(pointed));
    numbers.iter().cloned().chain(pointed).map(|text| encoded(&text)).collect::<Vec<_>>().join(",")
}

/// The identifier that begins with a number, the official one before others, and whether it is the official one.
fn fitting<'p>(patient: &'p Value, number: &str) -> Option<(&'p Value, bool)> {
    let wanted = bare(number);
    let fits = |one: &&Value| {
        let value = one.get("value").and_then(Value::as_str).unwrap_or_default();
        let plain: String = value.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        bare(&plain.to_ascii_uppercase()).starts_with(wanted) || plain.to_ascii_uppercase().starts_with(number)
    };
    let is_official = |one: &Value| one.get("use").and_then(Value::as_str) == Some("official");
    let all = || patient.get("identifier").and_then(Value::as_array).into_iter().flatten();
    let official = all().filter(|one| is_official(one)).find(fits).map(|one| (one, true));
    official.or_else(|| all().find(fits).map(|one| (one, false)))
}

/// Why somebody is found by a number that is not the document: a former document, or another number.
pub fn otherwise(visit: &Visit, patient: &Value, number: Option<&str>) -> Option<String> {
    let (identifier, is_official) = fitting(patient, number?)?;
    let shown = DocumentoId::of_identifier(identifier, &visit.app.systems)
        .and_then(|documento| visit.reader.document(documento.as_str()))
        .or_else(|| Some(identifier.get("value")?.as_str()?.to_owned()))?;
    let own = patient::document(visit, patient);
    if is_official || own.as_ref() == Some(&shown) {
        return None;
    }
    let is_old = identifier.get("use").and_then(Value::as_str) == Some("old");
    Some(visit.reader.fill(if is_old { "find.former" } else { "find.other" }, &[("value", &shown)]))
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

/// The patients that fit, by surname; of a number first those whose document it is.
pub async fn find(unit: &mut Unit<'_>, asked: &Asked) -> Result<Found> {
    let mut found = Found::default();
    for query in asked.queries() {
        let more = search(unit, "Patient", &query).await?;
        found.more |= more.more;
        found.resources.extend(more.resources);
    }
    let id = |patient: &Value| patient.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_other = |patient: &Value| {
        asked.number.as_ref().is_some_and(|number| !fitting(patient, number).is_some_and(|(_, official)| official))
    };
    found.resources.sort_by_cached_key(|patient| (is_other(patient), fold(&Name::of(patient).whole()), id(patient)));
    found.resources.dedup_by_key(|patient| id(patient));
    found.more |= found.resources.len() > MOST;
    found.resources.truncate(MOST);
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
    pub lines: Vec<Vec<Part>>,
    pub badge: Option<Badge>,
    pub act: Option<&'static str>,
}

/// A line without marks.
pub fn plain(text: String) -> Vec<Part> {
    vec![Part { text, hit: false }]
}

/// A line that begins with a document, with the beginning of its number marked that was looked for; points do not count.
pub fn numbered(line: String, number: Option<&str>) -> Vec<Part> {
    let start = line.find(' ').map_or(0, |at| at + 1);
    let mut wanted = number.unwrap_or_default().chars().peekable();
    let mut end = start;
    for (at, c) in line.char_indices().skip_while(|(at, _)| *at < start) {
        match wanted.peek() {
            None => break,
            Some(next) if c.eq_ignore_ascii_case(next) => drop(wanted.next()),
            Some(_) if c == '.' => {}
            Some(_) => return plain(line),
        }
        end = at + c.len_utf8();
    }
    let parts = [(line.get(..start), false), (line.get(start..end), true), (line.get(end..), false)];
    let parts = parts.into_iter().filter_map(|(text, hit)| Some(Part { text: text?.to_owned(), hit }));
    parts.filter(|part| !part.text.is_empty()).collect()
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
                year: number.and_then(|number| number.parse().ok()).filter(|year| *year == 1968),
                words: words.iter().map(|w| (*w).to_owned()).collect(),
            };
            assert_eq!(asked, expected, "{input}");
        };
        check("munoz pe", None, None, &["munoz", "pe"]);
        check("51.999.208", Some("51999208"), None, &[]);
        check("51.999", Some("51999"), None, &[]);
        check("muñoz 1968", Some("1968"), None, &["muñoz"]);
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
    fn the_beginning_of_a_number_is_marked() {
        let check = |line: &str, number: Option<&str>, expected: &str| {
            let parts = numbered(line.to_owned(), number);
            let shown: String =
                parts.iter().map(|p| if p.hit { format!("[{}]", p.text) } else { p.text.clone() }).collect();
            assert_eq!(shown, expected);
        };
        check("CC 51.999.208 · 58 años", Some("51999"), "CC [51.999].208 · 58 años");
        check("CC 51.999.208 · 58 años", Some("519992"), "CC [51.999.2]08 · 58 años");
        check("CC 51.999.208 · 58 años", Some("1968"), "CC 51.999.208 · 58 años");
        check("PA A99940017 · Mujer", Some("A999"), "PA [A999]40017 · Mujer");
        check("58 años", None, "58 años");
    }

    #[test]
    fn separators_of_searches_are_escaped() {
        assert_eq!(escaped("a,b|c$d\\e"), "a\\,b\\|c\\$d\\\\e");
    }
}
