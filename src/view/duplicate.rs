//! Whether a stored Patient may be the one that is being registered, and why: line by line the same (=), alike (≈) or
//! different (≠), each with the values. Pure.

use crate::fhir::documento::{DocumentoId, Systems};
use crate::search::param::string::fold;
use crate::view::admission::municipality;
use crate::view::format::Reader;
use crate::view::patient::{Name, sex};
use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    Different,
    Alike,
    Same,
}

/// What is being registered.
#[derive(Clone, Debug)]
pub struct Typed {
    pub documento: Option<DocumentoId>,
    pub surnames: String,
    pub names: String,
    pub birth: Option<Date>,
    pub gender: String,
    pub city: String,
}

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    pub sign: &'static str,
    pub text: String,
    /// Speaks for one person.
    pub speaks: bool,
}

#[derive(Clone, Debug)]
pub struct Match {
    /// Type and number of the document are the same: it is this one, or the document is wrong.
    pub same_document: bool,
    /// The number is, whatever the type.
    pub same_number: bool,
    pub why: Vec<Why>,
    /// How much speaks for it: the best first.
    pub weight: usize,
}

/// How alike two texts are: case and accents do not count, one letter of a word may differ, and words may be missing.
pub fn likeness(one: &str, other: &str) -> Likeness {
    let (one, other) = (fold(one), fold(other));
    if one.is_empty() || other.is_empty() {
        return Likeness::Different;
    }
    if one == other {
        return Likeness::Same;
    }
    let (one, other): (Vec<&str>, Vec<&str>) = (one.split(' ').collect(), other.split(' ').collect());
    let (few, many) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let has = |word: &&str| many.iter().any(|known| is_near(word, known));
    if few.iter().all(has) { Likeness::Alike } else { Likeness::Different }
}

/// The same word but for one letter that is another, missing or too many; short words must be the same.
pub fn is_near(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len().min(other.len()) < 4 || one.len().abs_diff(other.len()) > 1 {
        return false;
    }
    let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let rest = |text: &[char], skip: usize| text.get(same + skip..).map(<[char]>::to_vec).unwrap_or_default();
    rest(&one, 1) == rest(&other, 1) || rest(&one, 1) == rest(&other, 0) || rest(&one, 0) == rest(&other, 1)
}

/// Compares; none when too little speaks for one person.
pub fn compare(reader: &Reader, systems: &Systems, typed: &Typed, patient: &Value) -> Option<Match> {
    let name = Name::of(patient);
    let stored = DocumentoId::of_patient(patient, systems);
    let number = |documento: &Option<DocumentoId>| {
        let number = documento.as_ref().and_then(DocumentoId::parts).map(|(_, number)| number);
        // Zeros before a number say nothing.
        number.map(|number| number.trim_start_matches('0').to_owned()).filter(|number| !number.is_empty())
    };
    let same_document = typed.documento.is_some() && typed.documento == stored;
    let same_number = number(&typed.documento).is_some() && number(&typed.documento) == number(&stored);
    let birth = patient.get("birthDate").and_then(Value::as_str);
    let same_birth = typed.birth.is_some_and(|typed| birth == Some(typed.to_string().as_str()));
    let (surnames, names) = (likeness(&typed.surnames, &name.surnames), likeness(&typed.names, &name.names));
    let alike = surnames != Likeness::Different && names != Likeness::Different;
    if !(same_number || (same_birth && alike) || (surnames == Likeness::Same && names == Likeness::Same)) {
        return None;
    }
    let but_zeros = typed.documento.as_ref().zip(stored.as_ref()).is_some_and(|(typed, stored)| typed.is_same(stored));
    let mut why = vec![document_line(reader, (same_document, same_number, but_zeros), stored.as_ref())];
    // What was not typed yet is compared with nothing.
    why.extend(typed.birth.map(|_| match (same_birth, birth) {
        (true, Some(date)) => line("=", reader.fill("duplicate.same_birth", &[("value", &reader.fhir(date))])),
        (_, Some(date)) => line("≠", reader.fill("duplicate.other_birth", &[("value", &reader.fhir(date))])),
        (_, None) => line("≠", reader.text("duplicate.no_birth").to_owned()),
    }));
    if !typed.surnames.is_empty() {
        why.push(named(reader, "surnames", surnames, &name.surnames, &typed.surnames));
    }
    if !typed.names.is_empty() {
        why.push(named(reader, "names", names, &name.names, &typed.names));
    }
    let is_sex = patient.get("gender").and_then(Value::as_str) == Some(typed.gender.as_str());
    why.extend(
        sex(reader, patient)
            .filter(|_| !typed.gender.is_empty())
            .map(|text| same_or_not(reader, is_sex, "duplicate.same_sex", "duplicate.other_sex", text)),
    );
    let city = municipality(patient).filter(|_| !typed.city.is_empty());
    let is_city = |city: &str| likeness(city, &typed.city) == Likeness::Same;
    why.extend(
        city.map(|city| same_or_not(reader, is_city(city), "duplicate.same_city", "duplicate.other_city", city)),
    );
    let weight = why.iter().filter(|line| line.speaks).count() + if same_number { 10 } else { 0 };
    Some(Match { same_document, same_number, why, weight })
}

fn line(sign: &'static str, text: String) -> Why {
    Why { sign, text, speaks: sign != "≠" }
}

fn same_or_not(reader: &Reader, same: bool, yes: &str, no: &str, value: &str) -> Why {
    let (sign, key) = if same { ("=", yes) } else { ("≠", no) };
    line(sign, reader.fill(key, &[("value", value)]))
}

/// `same`: the document, the number whatever its type, the document but for the zeros before its number.
fn document_line(reader: &Reader, same: (bool, bool, bool), stored: Option<&DocumentoId>) -> Why {
    let shown = stored.and_then(|stored| reader.document(stored.as_str()));
    match (same.0, same.1, shown) {
        (true, _, Some(shown)) => line("=", reader.fill("duplicate.same_document", &[("value", &shown)])),
        (false, true, Some(shown)) => {
            let key = if same.2 { "duplicate.same_zeros" } else { "duplicate.same_number" };
            line("=", reader.fill(key, &[("value", &shown)]))
        }
        (_, _, Some(shown)) => line("≠", reader.fill("duplicate.other_document", &[("value", &shown)])),
        (_, _, None) => line("≠", reader.text("duplicate.no_document").to_owned()),
    }
}

fn named(reader: &Reader, what: &str, likeness: Likeness, stored: &str, typed: &str) -> Why {
    let (sign, key) = match likeness {
        Likeness::Same => ("=", "same"),
        Likeness::Alike => ("≈", "alike"),
        Likeness::Different => ("≠", "other"),
    };
    line(sign, reader.fill(&format!("duplicate.{key}_{what}"), &[("value", stored), ("typed", typed)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Language;
    use jiff::tz::Offset;
    use serde_json::json;

    #[test]
    fn names_are_alike_but_for_accents_a_letter_or_a_missing_word() {
        let check =
            |one: &str, other: &str, expected: Likeness| assert_eq!(likeness(one, other), expected, "{one} {other}");
        check("Ibáñez Güiza", "ibanez guiza", Likeness::Same);
        check("Ibañes Güiza", "Ibáñez Güiza", Likeness::Alike);
        check("Ibáñez", "Ibáñez Güiza", Likeness::Alike);
        check("Muños", "Muñoz", Likeness::Alike);
        check("Munos", "Nunez", Likeness::Different);
        check("Paz", "Pas", Likeness::Different);
        check("Rodrigez", "Rodríguez", Likeness::Alike);
        check("Ana", "", Likeness::Different);
        check("Muñoz Pedraza", "Muñoz Peñaranda", Likeness::Different);
    }

    #[test]
    fn a_possible_duplicate_says_why() {
        let reader =
            Reader { language: Language::Es, offset: Offset::UTC, now: "2026-11-23T12:00:00Z".parse().unwrap() };
        let coding = json!([{"system": "urn:types", "code": "TI"}]);
        let stored = json!({
            "identifier": [{"use": "official", "type": {"coding": coding}, "value": "1099999412"}],
            "name": [{"use": "official", "family": "Ibáñez Güiza", "given": ["María", "José"]}], "gender": "female",
            "birthDate": "2008-02-02", "address": [{"city": "Chía"}]
        });
        let typed = |document: &str, surnames: &str, birth: &str| Typed {
            documento: DocumentoId::parse(document),
            surnames: surnames.to_owned(),
            names: "María José".to_owned(),
            birth: birth.parse().ok(),
            gender: "female".to_owned(),
            city: "Soacha".to_owned(),
        };
        let check = |typed: Typed, expected: Option<&str>| {
            let found = compare(&reader, &Systems::default(), &typed, &stored);
            let signs: Option<String> = found.map(|found| found.why.iter().map(|line| line.sign).collect());
            assert_eq!(signs.as_deref(), expected, "{typed:?}");
        };
        check(typed("CC-1099999412", "Ibañes Güiza", "2008-02-02"), Some("==≈==≠"));
        check(typed("TI-01099999412", "Pérez", "1999-02-02"), Some("=≠≠==≠"));
        check(typed("CC-1000000001", "Ibañes Güiza", "2008-02-02"), Some("≠=≈==≠"));
        check(typed("CC-1000000001", "Ibáñez Güiza", "1999-02-02"), Some("≠≠===≠"));
        check(typed("CC-1000000001", "Ibañes Güiza", "1999-02-02"), None);
        check(typed("CC-1000000001", "Pérez", "2008-02-02"), None);
        assert!(
            compare(&reader, &Systems::default(), &typed("TI-1099999412", "X", "1999-01-01"), &stored)
                .unwrap()
                .same_document
        );
    }
}
