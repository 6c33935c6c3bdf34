//! Observations that are recorded often, with their names and units: `fhir-profiles/local/loinc-comunes.csv`. Found by
//! words in Spanish or English, whatever the accents, or by the LOINC code (<https://loinc.org>).

use crate::i18n::Language;
use crate::search::param::string::fold;
use serde::Serialize;
use serde_json::Value;
use std::sync::LazyLock;

const FILE: &str = include_str!("../../fhir-profiles/local/loinc-comunes.csv");
/// As many as fit a list that is looked through.
const MOST: usize = 12;
/// Longest text that is looked for, in characters.
const LONGEST: usize = 80;

/// One observation.
#[derive(Debug)]
pub struct Common {
    pub code: &'static str,
    es: &'static str,
    en: &'static str,
    /// As it is shown.
    pub unit: &'static str,
    /// UCUM; without one the value is text.
    pub ucum: &'static str,
    /// Code of observation-category.
    pub category: &'static str,
    folded: String,
}

impl Common {
    pub fn name(&self, language: Language) -> &'static str {
        match language {
            Language::Es => self.es,
            Language::En => self.en,
        }
    }

    pub fn is_text(&self) -> bool {
        self.ucum.is_empty()
    }

    fn fits(&self, word: &str) -> bool {
        self.code.starts_with(word) || self.folded.split(' ').any(|part| part.starts_with(word))
    }
}

const POSSIBLE: &str = include_str!("../../fhir-profiles/local/posibles.csv");

/// What no method measures is a slip of the hand.
static LIMITS: LazyLock<Vec<(&str, f64, f64)>> = LazyLock::new(|| {
    let limit = |line: &'static str| {
        let mut parts = line.split(',');
        Some((parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    POSSIBLE.lines().skip(1).filter_map(limit).collect()
});

/// The values that an observation can have in the unit of the list; nothing is measured below none.
pub fn possible(code: &str) -> (f64, f64) {
    let listed = LIMITS.iter().find(|(known, ..)| *known == code).map(|(_, low, high)| (*low, *high));
    listed.or_else(|| crate::view::signs::possible(code)).unwrap_or((0.0, 1e7))
}

static ALL: LazyLock<Vec<Common>> = LazyLock::new(|| FILE.lines().skip(1).filter_map(line).collect());

fn line(line: &'static str) -> Option<Common> {
    let mut parts = line.split(',');
    let mut next = || parts.next();
    let (code, es, en, unit, ucum, category) = (next()?, next()?, next()?, next()?, next()?, next()?);
    Some(Common { code, es, en, unit, ucum, category, folded: fold(&format!("{es} {en}")) })
}

pub fn all() -> impl Iterator<Item = &'static Common> {
    ALL.iter()
}

pub fn find(code: &str) -> Option<&'static Common> {
    ALL.iter().find(|known| known.code == code)
}

/// What a CodeableConcept means that has a common code and no words. Words are shown as they were said.
pub fn named(concept: &Value) -> Option<&'static Common> {
    let codings = || concept.get("coding").and_then(Value::as_array).into_iter().flatten();
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let code =
        codings().find(|coding| text(coding, "system") == "http://loinc.org").map(|coding| text(coding, "code"))?;
    let common = find(&code)?;
    let said = codings().any(|coding| !text(coding, "display").is_empty()) || !text(concept, "text").is_empty();
    if said { None } else { Some(common) }
}

/// Those of which every word is the beginning of a word; the ones that begin with the first word come first.
pub fn search(text: &str) -> Vec<&'static Common> {
    let text: String = text.chars().take(LONGEST).collect();
    let folded = fold(&text);
    // A code keeps its hyphen.
    let words: Vec<&str> = if find(text.trim()).is_some() {
        vec![text.trim()]
    } else {
        folded.split(' ').filter(|word| !word.is_empty()).collect()
    };
    let Some(first) = words.first() else { return Vec::new() };
    let mut found: Vec<&Common> = ALL.iter().filter(|known| words.iter().all(|word| known.fits(word))).collect();
    found.sort_by_key(|known| !known.folded.starts_with(first));
    found.truncate(MOST);
    found
}

/// One line of what a search for an examination has found.
#[derive(Serialize)]
pub struct Hit {
    pub href: String,
    pub name: &'static str,
    pub code: &'static str,
    pub unit: &'static str,
    pub first: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn a_common_code_without_words_is_named() {
        let named = |concept: Value| super::named(&concept).map(|common| common.name(Language::Es));
        let coding = |display: &str| json!([{"system": "http://loinc.org", "code": "2823-3", "display": display}]);
        assert_eq!(named(json!({"coding": coding("")})), Some("Potasio"));
        assert_eq!(named(json!({"coding": coding("Potassium")})), None);
        assert_eq!(named(json!({"coding": coding(""), "text": "K"})), None);
        assert_eq!(named(json!({"coding": [{"system": "http://example.org", "code": "2823-3"}]})), None);
    }

    #[test]
    fn what_is_possible_is_known_of_examinations_of_the_list() {
        assert_eq!(LIMITS.len(), POSSIBLE.lines().count() - 1);
        for (code, low, high) in LIMITS.iter() {
            assert!(low < high && find(code).is_some_and(|common| !common.is_text()), "{code}");
        }
        for reference in crate::view::lab::exam::references() {
            let (low, high) = possible(reference.code);
            let ends = [reference.low, reference.high, reference.critical_low, reference.critical_high];
            for end in ends.into_iter().flatten().map(|end| end.parse::<f64>().unwrap()) {
                assert!(low <= end && end <= high, "{}", reference.code);
            }
        }
        assert_eq!(possible("8310-5"), (25.0, 45.0));
    }

    #[test]
    fn the_list_is_whole() {
        assert_eq!(ALL.len(), FILE.lines().count() - 1);
        assert!(ALL.len() >= 120);
        assert_eq!(ALL.iter().map(|known| known.code).collect::<BTreeSet<_>>().len(), ALL.len());
        for known in ALL.iter() {
            assert!(is_loinc(known.code) && !known.es.is_empty() && !known.en.is_empty(), "{}", known.code);
            assert!(
                ["laboratory", "vital-signs", "exam", "survey", "social-history"].contains(&known.category),
                "{}",
                known.code
            );
        }
    }

    /// The check digit of LOINC (mod 10).
    fn is_loinc(code: &str) -> bool {
        let (digits, check) = code.split_once('-').unwrap();
        let sum: u32 = digits
            .chars()
            .rev()
            .enumerate()
            .map(|(n, c)| {
                let d = c.to_digit(10).unwrap() * if n % 2 == 0 { 2 } else { 1 };
                d / 10 + d % 10
            })
            .sum();
        (10 - sum % 10) % 10 == check.parse::<u32>().unwrap()
    }

    #[test]
    fn found_in_both_languages() {
        let check = |text: &str, expected: &str| {
            assert_eq!(search(text).first().map(|known| known.code), Some(expected), "{text}");
        };
        check("potasio", "2823-3");
        check("POTASS", "2823-3");
        check("acido urico", "3084-1");
        check("glucosa ayunas", "1558-6");
        check("fasting glucose", "1558-6");
        check("718-7", "718-7");
        for none in ["", " ", "zzz", "potasio zzz"] {
            assert!(search(none).is_empty(), "{none}");
        }
    }
}
