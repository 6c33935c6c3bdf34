//! The rules of validation as sentences of the catalogue (`rule.*`), so that a problem is told in the reader's language.
//!
//! A sentence follows the path of its element ("Patient.gender: must have a code of ..."). Its places hold names of types,
//! limits and addresses of the standard, never a value.

use crate::error::{Error, Issue, Kind, Sentence};
use crate::i18n::{self, Language};

/// A problem at a place, told in English until [`told_in`] says otherwise.
pub fn issue(kind: Kind, expression: impl Into<String>, key: &'static str, places: &[(&'static str, &str)]) -> Issue {
    let text = i18n::fill(Language::En, key, places);
    let places = places.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Issue { sentence: Some(Sentence { key, places }), ..Issue::at(kind, expression, text) }
}

/// The same problems in another language; what has no sentence stays English.
#[must_use]
pub fn told_in(language: Language, mut error: Error) -> Error {
    error.issues.iter_mut().for_each(|issue| tell(language, issue));
    error
}

/// [`told_in`] for one problem.
pub fn tell(language: Language, issue: &mut Issue) {
    if let Some(sentence) = issue.sentence.as_ref().filter(|_| language != Language::En) {
        let places: Vec<(&str, &str)> = sentence.places.iter().map(|(name, value)| (*name, value.as_str())).collect();
        issue.text = i18n::fill(language, sentence.key, &places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_in_the_language_of_its_reader() {
        let problems = || {
            Error::all(vec![
                issue(Kind::Value, "Observation.subject", "rule.target", &[("type", "Group")]),
                Issue::new(Kind::Value, "is told in English only"),
            ])
        };
        let texts = |language| told_in(language, problems()).issues.into_iter().map(|i| i.text).collect::<Vec<_>>();
        assert_eq!(texts(Language::En), ["must not refer to Group", "is told in English only"]);
        assert_eq!(texts(Language::Es), ["no puede apuntar a Group", "is told in English only"]);
    }
}
