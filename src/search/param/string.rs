//! String parameters: text folded (case and accents) and compared from the start of any word.
//! <https://hl7.org/fhir/R4/search.html#string>
//!
//! `garcia mar` finds `García Márquez`, and so does `marquez`. Of one value the first 16 words can be found, and the
//! comparison ends after 128 characters; `:contains` looks anywhere in that; `:exact` compares the whole original text.

use crate::fhir::path::Node;
use crate::search::hash::{Form, Slot};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

const WORDS: usize = 16;
const CHARACTERS: usize = 128;
/// Enough for 16 words of 128 characters; the rest of a long text is not read.
const READ: usize = 4096;

/// Rows of `search_string` (whole values under the parameter's `Strings` key, what follows under `Words`) and the keys for
/// `:exact` of one node.
pub fn index(slot: &Slot, node: Node<'_>, strings: &mut Vec<(i64, String)>, keys: &mut Vec<i64>) {
    let [whole, words] = both(slot);
    let mut put = |value: &Value| {
        let Some(text) = value.as_str() else { return };
        keys.push(slot.key(Form::Exact, &[text]));
        let folded = fold(text);
        strings.extend(
            starts(&folded)
                .zip(std::iter::once(whole).chain(std::iter::repeat(words)))
                .map(|(start, key)| (key, start.to_owned())),
        );
    };
    let parts: &[&str] = match node.fhir_type {
        "HumanName" => &["text", "family", "given", "prefix", "suffix"],
        "Address" => &["text", "line", "city", "district", "state", "postalCode", "country"],
        "CodeableConcept" | "Annotation" => &["text"],
        _ => return put(node.value),
    };
    for part in parts {
        match node.value.get(part) {
            Some(Value::Array(items)) => items.iter().for_each(&mut put),
            Some(value) => put(value),
            None => {}
        }
    }
}

/// The keys of whole values and of what follows their first words: together every place where a word begins.
pub fn both(slot: &Slot) -> [i64; 2] {
    [slot.key(Form::Strings, &[]), slot.key(Form::Words, &[])]
}

/// A text as one row of `search_string`.
pub fn whole(text: &str) -> String {
    prefix(text)
}

/// What a query text is compared as.
pub fn prefix(text: &str) -> String {
    let mut folded = fold(text);
    folded.truncate(cut(&folded));
    folded
}

/// Lower case, without accents and other marks (ñ is n), each run of anything else than letters and digits one blank.
/// A text of nothing but such characters stays as it is.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len().min(READ));
    let letters = text.chars().take(READ).nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
    for c in letters.filter(|c| !is_combining_mark(*c)) {
        match c.is_alphanumeric() {
            true => folded.push(c),
            false if folded.ends_with(' ') || folded.is_empty() => {}
            false => folded.push(' '),
        }
    }
    folded.truncate(folded.trim_end().len());
    if folded.is_empty() {
        folded.extend(text.trim().chars().take(CHARACTERS).flat_map(char::to_lowercase));
    }
    folded
}

/// The folded text from the start of each word on.
fn starts(folded: &str) -> impl Iterator<Item = &str> {
    let words = folded.match_indices(' ').map(|(at, _)| at + 1);
    std::iter::once(0)
        .chain(words)
        .take(WORDS)
        .filter_map(|at| folded.get(at..))
        .map(|start| start.get(..cut(start)).unwrap_or(start))
        .filter(|start| !start.is_empty())
}

/// Where the comparison ends, in bytes.
fn cut(text: &str) -> usize {
    text.char_indices().nth(CHARACTERS).map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_folded() {
        let check = |text: &str, expected: &str| assert_eq!(fold(text), expected, "{text}");
        check("José", "jose");
        check("JOSE\u{301}", "jose");
        check("Muñoz  de la  Peña", "munoz de la pena");
        check("O'Brien-Łukasz (2)", "o brien łukasz 2");
        check(" ÀÉÎÕÜ ", "aeiou");
        check("İstanbul", "istanbul");
        check("???", "???");
        check("", "");
    }

    #[test]
    fn words_are_found_from_their_start() {
        let rows = |text: &str| starts(&fold(text)).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(rows("García Márquez"), ["garcia marquez", "marquez"]);
        assert_eq!(rows(&"x ".repeat(40)).len(), WORDS);
        let long = "ñ".repeat(300);
        assert_eq!(rows(&long), ["n".repeat(128)]);
        assert_eq!(prefix(&long), "n".repeat(128));
        assert!(rows("García Márquez").iter().any(|row| row.starts_with(&prefix("garcía MÁR"))));
        assert!(!rows("García Márquez").iter().any(|row| row.starts_with(&prefix("arquez"))));
    }
}
