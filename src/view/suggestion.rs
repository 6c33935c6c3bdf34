//! What the fields of allergies and medication suggest: short compiled lists (`fhir-profiles/local`), coded where the code
//! is known. Anything else may be typed.

use crate::i18n::Language;
use crate::search::param::string::fold;
use serde_json::{Value, json};
use std::sync::LazyLock;

const ATC: &str = "http://www.whocc.no/atc";
const SNOMED: &str = "http://snomed.info/sct";

/// One entry of a list.
#[derive(Debug)]
pub struct Known {
    system: &'static str,
    pub code: &'static str,
    es: &'static str,
    en: &'static str,
    /// Code of allergy-intolerance-category; of a medicine always `medication`.
    pub category: &'static str,
    folded: [String; 2],
}

impl Known {
    fn new(
        system: &'static str,
        code: &'static str,
        names: (&'static str, &'static str),
        category: &'static str,
    ) -> Self {
        let system = match (system, code) {
            (_, "") => "",
            ("atc", _) => ATC,
            _ => SNOMED,
        };
        Known { system, code, es: names.0, en: names.1, category, folded: [fold(names.0), fold(names.1)] }
    }

    fn name(&self, language: Language) -> &'static str {
        match language {
            Language::Es => self.es,
            Language::En => self.en,
        }
    }

    /// The ATC code, or that of a group.
    fn atc(&self) -> Option<&'static str> {
        (self.system == ATC).then_some(self.code)
    }
}

pub type List = LazyLock<Vec<Known>>;

fn rows(file: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    file.lines().skip(1).map(|line| line.split(',').collect())
}

pub static MEDICINES: List = LazyLock::new(|| {
    let file = include_str!("../../fhir-profiles/local/medicamentos-comunes.csv");
    let known = |row: Vec<&'static str>| match row.as_slice() {
        [code, es, en] => Some(Known::new("atc", code, (es, en), "medication")),
        _ => None,
    };
    rows(file).filter_map(known).collect()
});

pub static ALLERGENS: List = LazyLock::new(|| {
    let file = include_str!("../../fhir-profiles/local/alergenos-comunes.csv");
    let known = |row: Vec<&'static str>| match row.as_slice() {
        [system, code, es, en, category] => Some(Known::new(system, code, (es, en), category)),
        _ => None,
    };
    rows(file).filter_map(known).collect()
});

pub static REACTIONS: List = LazyLock::new(|| {
    let file = include_str!("../../fhir-profiles/local/reacciones-comunes.csv");
    let known = |row: Vec<&'static str>| match row.as_slice() {
        [code, es, en] => Some(Known::new("sct", code, (es, en), "")),
        _ => None,
    };
    rows(file).filter_map(known).collect()
});

pub fn names(list: &'static List, language: Language) -> Vec<String> {
    list.iter().map(|known| known.name(language).to_owned()).collect()
}

/// Groups, food and environment first, then single medicines.
pub fn substances(language: Language) -> Vec<String> {
    names(&ALLERGENS, language).into_iter().chain(names(&MEDICINES, language)).collect()
}

/// The entry that is called so in either language.
pub fn find(list: &'static List, typed: &str) -> Option<&'static Known> {
    let folded = fold(typed);
    list.iter().find(|known| known.folded.contains(&folded))
}

pub fn substance(typed: &str) -> Option<&'static Known> {
    find(&ALLERGENS, typed).or_else(|| find(&MEDICINES, typed))
}

/// What was typed as a CodeableConcept, coded when it is known.
pub fn concept(typed: &str, known: Option<&Known>) -> Value {
    match known.filter(|known| !known.code.is_empty()) {
        Some(known) => json!({"coding": [{"system": known.system, "code": known.code}], "text": typed}),
        None => json!({"text": typed}),
    }
}

/// The names and the ATC code of each entry that has one.
pub fn coded(list: &'static List) -> impl Iterator<Item = ([&'static str; 2], &'static str)> {
    list.iter().filter_map(|known| Some(([known.es, known.en], known.atc()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_lists_are_whole() {
        for (list, least) in [(&MEDICINES, 100), (&ALLERGENS, 15), (&REACTIONS, 12)] {
            assert!(list.len() >= least, "{}", list.len());
            for language in [Language::Es, Language::En] {
                assert_eq!(names(list, language).iter().collect::<BTreeSet<_>>().len(), list.len());
            }
        }
        let shape = |code: &str| code.bytes().map(|b| if b.is_ascii_digit() { 'n' } else { 'A' }).collect::<String>();
        for known in MEDICINES.iter() {
            assert!(matches!(shape(known.code).as_str(), "AnnAAnn" | "AnnAA"), "{}", known.code);
        }
        assert!(ALLERGENS.iter().all(|known| ["medication", "food", "environment"].contains(&known.category)));
    }

    #[test]
    fn names_are_found_in_both_languages_and_coded() {
        let check =
            |typed: &str, code: &str| assert_eq!(substance(typed).map(|known| known.code), Some(code), "{typed}");
        check("penicilina", "J01C");
        check("MANI", "762952008");
        check("Metamizole", "N02BB02");
        assert!(substance("Polvo de estrellas").is_none());
        assert_eq!(concept("Fresa", substance("Fresa")), json!({"text": "Fresa"}));
        assert_eq!(concept("Látex", substance("Látex"))["coding"][0]["system"], SNOMED);
    }
}
