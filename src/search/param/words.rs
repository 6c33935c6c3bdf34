//! `_content` and `_text`: words of the whole resource, and of its narrative (<https://hl7.org/fhir/R4/search.html#all>).
//!
//! A word is one key of `resource.keys`, without case and accents and by its Spanish stem: `alergia` finds `Alergias`, and
//! `dolor` `dolores`. All words of a value must be there, in any order. What is written as an address, a reference or a
//! whole date, numbers and binary data are no words. No phrases, no operators: both are refused.

use super::{bad_value, unescape};
use crate::error::Result;
use crate::fhir::datetime::{DateTime, Form as DateForm};
use crate::search::hash::{Form, Slot};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Members that hold no words.
const SILENT: [&str; 13] = [
    "id",
    "reference",
    "system",
    "url",
    "uri",
    "profile",
    "versionId",
    "lastUpdated",
    "source",
    "data",
    "hash",
    "resourceType",
    "implicitRules",
];
/// Characters of a word that count.
const LONGEST: usize = 64;

/// The keys of all words of a resource (`content`), and of those of its narrative (`text`).
pub fn index(content: &Slot, text: &Slot, resource: &Value, keys: &mut Vec<i64>) {
    walk(resource, &mut |one| words(one, &mut |word| keys.push(content.key(Form::Stem, &[word]))));
    if let Some(div) = resource.get("text").and_then(|text| text.get("div")).and_then(Value::as_str) {
        words(&visible(div), &mut |word| keys.push(text.key(Form::Stem, &[word])));
    }
}

fn walk(value: &Value, put: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) if is_prose(text) => put(text),
        Value::Array(items) => items.iter().for_each(|item| walk(item, put)),
        Value::Object(members) => {
            for (name, member) in members.iter().filter(|(name, _)| !SILENT.contains(&name.as_str())) {
                match member {
                    Value::String(div) if name == "div" => put(&visible(div)),
                    _ => walk(member, put),
                }
            }
        }
        _ => {}
    }
}

fn is_prose(text: &str) -> bool {
    let is_date = text.len() >= 10 && text.starts_with(|c: char| c.is_ascii_digit()) && {
        DateTime::parse(text, DateForm::Search).is_some()
    };
    !is_date && !text.contains("://") && !text.starts_with("urn:")
}

/// What a reader of XHTML sees: without tags, and with the characters that entities stand for.
fn visible(div: &str) -> String {
    let mut plain = String::with_capacity(div.len());
    let mut rest = div;
    while let Some(at) = rest.find(['<', '&']) {
        plain.push_str(rest.get(..at).unwrap_or_default());
        let from = rest.get(at..).unwrap_or_default();
        let closing = if from.starts_with('<') { '>' } else { ';' };
        let Some(end) = from.find(closing) else { return plain };
        match from.get(1..end) {
            Some(entity) if closing == ';' => plain.push(character(entity)),
            _ => plain.push(' '),
        }
        rest = from.get(end + 1..).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

fn character(entity: &str) -> char {
    let number = match entity.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        },
        None => None,
    };
    number.and_then(char::from_u32).unwrap_or(' ')
}

/// The stems of a text.
fn words(text: &str, put: &mut impl FnMut(&str)) {
    let folded: String = match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => {
            let plain = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
            plain.filter(|c| !is_combining_mark(*c)).collect()
        }
    };
    for word in folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let end = word.char_indices().nth(LONGEST).map_or(word.len(), |(at, _)| at);
        put(&stem(word.get(..end).unwrap_or(word)));
    }
}

/// The light stemmer of Savoy for Spanish (<https://members.unine.ch/jacques.savoy/clef/>), on words without accents: the
/// endings of number and gender, from three letters on. What is not only letters stays.
fn stem(word: &str) -> std::borrow::Cow<'_, str> {
    let cut = |count: usize| word.get(..word.len() - count).unwrap_or(word).into();
    if word.len() < 3 || !word.bytes().all(|b| b.is_ascii_alphabetic()) {
        return word.into();
    }
    match word {
        _ if word.len() > 4 && word.ends_with("ces") => {
            format!("{}z", word.get(..word.len() - 3).unwrap_or(word)).into()
        }
        _ if word.len() > 3 && ["os", "as", "es"].iter().any(|ending| word.ends_with(ending)) => cut(2),
        _ if word.ends_with(['o', 'a', 'e']) => cut(1),
        _ => word.into(),
    }
}

/// The keys of the words of a query value (escapes still in it), all of which must be there.
pub fn keys(slot: &Slot, parameter: &str, value: &str) -> Result<Vec<i64>> {
    let value = unescape(value);
    let wrong = || bad_value(parameter, "words; all of them are looked for, and values joined by , are alternatives");
    if value.contains(['"', '(', ')', '*']) || value.split_whitespace().any(|word| matches!(word, "AND" | "OR" | "NOT"))
    {
        return Err(wrong());
    }
    let mut keys = Vec::new();
    words(&value, &mut |word| keys.push(slot.key(Form::Stem, &[word])));
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() { Err(wrong()) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_are_compared_by_their_stems() {
        let all = |text: &str| {
            let mut all = Vec::new();
            words(text, &mut |word| all.push(word.to_owned()));
            all.join(" ")
        };
        let same = |one: &str, other: &str| assert_eq!(all(one), all(other));
        same("Alergias", "alergia");
        same("dolores", "DOLOR");
        same("pulmones", "Pulmón");
        same("canciones", "cancio\u{301}n");
        same("meses", "mes");
        same("veces", "vez");
        same("fracturada", "fracturados");
        same("niña", "NIN\u{303}AS");
        same("ojo", "ojos");
        same("tos", "toses");
        same("peso", "pesos");
        same("headache", "headaches");
        assert_eq!(all("Diabetes mellitus tipo 2 (E11.9)"), "diabet mellitus tip 2 e11 9");
        assert_eq!(all("29463-7"), "29463 7");
        assert_eq!(all("x".repeat(200).as_str()), "x".repeat(64));
        assert_eq!(all("¿? --"), "");
    }

    #[test]
    fn what_a_reader_sees_of_a_narrative() {
        assert_eq!(
            visible("<div xmlns=\"x\"><b>Ana</b>&#233;&amp;<br/>y <i>cef&#xE1;lea</i></div>").trim(),
            "Ana é  y  cefálea"
        );
        assert_eq!(visible("sin etiquetas"), "sin etiquetas");
        assert_eq!(visible("roto <b"), "roto ");
    }

    #[test]
    fn prose_is_told_from_addresses_and_dates() {
        let resource = json!({"resourceType": "Observation", "id": "oculto", "status": "final",
            "text": {"div": "<div title=\"oculto\">Visible <b>aquí</b></div>"},
            "code": {"coding": [{"system": "http://oculto", "code": "29463-7", "display": "Peso"}]},
            "subject": {"reference": "Patient/oculto", "display": "Ana"}, "effectiveDateTime": "2024-05-06T10:00:00Z",
            "note": [{"text": "en ayunas"}], "valueQuantity": {"value": 72.5, "unit": "kg"}, "valueAttachment": {"data": "b2N1bHRv"}});
        let mut seen = Vec::new();
        walk(&resource, &mut |one| words(one, &mut |word| seen.push(word.to_owned())));
        let expected = ["final", "visibl", "aqui", "29463", "7", "pes", "an", "en", "ayun", "kg"];
        assert_eq!(seen, expected);
    }
}
