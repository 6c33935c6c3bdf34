//! What the laboratory measures, from `fhir-profiles/local`: examinations (`loinc-comunes.csv`), what an order of several
//! asks for (`paneles.csv`), the reference of adults and where a value is critical (`referencias.csv`). Pure.

use crate::i18n::Language;
use crate::search::param::string::fold;
use crate::view::loinc::{self, Common};
use std::sync::LazyLock;

const PANELS: &str = include_str!("../../../fhir-profiles/local/paneles.csv");
const REFERENCES: &str = include_str!("../../../fhir-profiles/local/referencias.csv");

/// An examination, and the names of its fields in a form.
#[derive(Debug)]
pub struct Exam {
    pub common: &'static Common,
    pub value: String,
    pub low: String,
    pub high: String,
    pub critical: String,
}

/// Examinations that are ordered together.
#[derive(Debug)]
pub struct Panel {
    pub code: &'static str,
    es: &'static str,
    en: &'static str,
    pub exams: Vec<&'static Exam>,
}

impl Panel {
    pub fn name(&self, language: Language) -> &'static str {
        match language {
            Language::Es => self.es,
            Language::En => self.en,
        }
    }
}

/// The reference of an adult; numbers as they are written in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    pub code: &'static str,
    sex: &'static str,
    pub low: Option<&'static str>,
    pub high: Option<&'static str>,
    pub critical_low: Option<&'static str>,
    pub critical_high: Option<&'static str>,
}

static EXAMS: LazyLock<Vec<Exam>> = LazyLock::new(|| {
    let exam = |common: &'static Common| Exam {
        common,
        value: format!("valor-{}", common.code),
        low: format!("desde-{}", common.code),
        high: format!("hasta-{}", common.code),
        critical: format!("critico-{}", common.code),
    };
    loinc::all().filter(|common| common.category == "laboratory").map(exam).collect()
});

static PANEL: LazyLock<Vec<Panel>> = LazyLock::new(|| PANELS.lines().skip(1).filter_map(panel_of).collect());

static REFERENCE: LazyLock<Vec<Reference>> =
    LazyLock::new(|| REFERENCES.lines().skip(1).filter_map(range_of).collect());

fn panel_of(line: &'static str) -> Option<Panel> {
    let mut parts = line.split(',');
    let mut next = || parts.next();
    let (code, es, en, exams) = (next()?, next()?, next()?, next()?);
    Some(Panel { code, es, en, exams: exams.split(' ').filter_map(exam).collect() })
}

fn range_of(line: &'static str) -> Option<Reference> {
    let mut parts = line.split(',');
    let (code, sex) = (parts.next()?, parts.next()?);
    let mut end = || parts.next().map(|end| Some(end).filter(|end| !end.is_empty()));
    Some(Reference { code, sex, low: end()?, high: end()?, critical_low: end()?, critical_high: end()? })
}

pub fn exam(code: &str) -> Option<&'static Exam> {
    EXAMS.iter().find(|exam| exam.common.code == code)
}

pub fn panel(code: &str) -> Option<&'static Panel> {
    PANEL.iter().find(|panel| panel.code == code)
}

/// Panels whose words begin as the typed ones do.
pub fn panels(typed: &str) -> Vec<&'static Panel> {
    let typed = fold(typed);
    let words: Vec<&str> = typed.split(' ').filter(|word| !word.is_empty()).collect();
    let fits = |panel: &&Panel| {
        let known = fold(&format!("{} {}", panel.es, panel.en));
        words.iter().all(|word| known.split(' ').any(|part| part.starts_with(word)))
    };
    if words.is_empty() { Vec::new() } else { PANEL.iter().filter(fits).collect() }
}

#[cfg(test)]
pub fn references() -> impl Iterator<Item = &'static Reference> {
    REFERENCE.iter()
}

/// The reference of an adult of this sex (`Patient.gender`).
pub fn reference(code: &str, gender: &str) -> Option<&'static Reference> {
    let sex = match gender {
        "female" => "F",
        "male" => "M",
        _ => "",
    };
    REFERENCE.iter().find(|range| range.code == code && (range.sex.is_empty() || range.sex == sex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_whole() {
        assert_eq!(PANEL.len(), PANELS.lines().count() - 1);
        for (panel, line) in PANEL.iter().zip(PANELS.lines().skip(1)) {
            let codes = line.rsplit(',').next().unwrap();
            assert_eq!(panel.exams.len(), codes.split(' ').count(), "{codes}");
        }
        assert_eq!(REFERENCE.len(), REFERENCES.lines().count() - 1);
        let number = |text: &str| text.parse::<f64>().unwrap();
        for range in REFERENCE.iter() {
            assert!(exam(range.code).is_some_and(|exam| !exam.common.is_text()), "{}", range.code);
            let ends: Vec<f64> = [range.critical_low, range.low, range.high, range.critical_high]
                .into_iter()
                .flatten()
                .map(number)
                .collect();
            assert!(ends.is_sorted() && !ends.is_empty(), "{}", range.code);
        }
    }

    #[test]
    fn references_go_by_sex_and_panels_by_words() {
        let low = |code: &str, gender: &str| reference(code, gender).and_then(|range| range.low);
        assert_eq!(
            (low("718-7", "female"), low("718-7", "male"), low("718-7", "unknown")),
            (Some("12.0"), Some("13.5"), None)
        );
        assert_eq!(low("2823-3", "unknown"), Some("3.5"));
        assert_eq!(panels("quimica").first().map(|panel| panel.code), Some("24321-2"));
        assert_eq!(panels("blood count").first().map(|panel| panel.code), Some("58410-2"));
        assert!(panels(" ").is_empty());
    }
}
