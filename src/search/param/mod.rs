//! One file per parameter type: what is indexed and what a query asks for stand side by side, so that they cannot differ.
//! <https://hl7.org/fhir/R4/search.html#ptypes>

pub mod composite;
pub mod date;
pub mod near;
pub mod number;
pub mod quantity;
pub mod reference;
pub mod string;
pub mod token;
pub mod uri;
pub mod words;

use crate::error::{Error, Kind};
use std::borrow::Cow;

/// Splits at each `separator` that has no `\` before it; the parts keep their escapes.
/// <https://hl7.org/fhir/R4/search.html#escaping>
pub fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((part, after)) = split_once(rest, separator) {
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

/// Splits at the first `separator` that has no `\` before it.
pub fn split_once(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == separator => return Some((text.get(..at)?, text.get(at + c.len_utf8()..)?)),
            _ => {}
        }
    }
    None
}

/// Takes the escapes away: `\,` `\|` `\$` `\\`. A `\` before anything else stands for itself.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(next @ (',' | '|' | '$' | '\\'))) => {
                plain.push(*next);
                chars.next();
            }
            _ => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// An error about the value of a parameter; the text says what is expected, never what was given.
pub fn bad_value(parameter: &str, expected: &str) -> Error {
    Error::at(Kind::Value, parameter, format!("the value is not {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(split("a,b", ','), ["a", "b"]);
        assert_eq!(split(r"a\,b,c", ','), [r"a\,b", "c"]);
        assert_eq!(split(r"a\\,b", ','), [r"a\\", "b"]);
        assert_eq!(split(",", ','), ["", ""]);
        assert_eq!(split_once(r"a\|b|c|d", '|'), Some((r"a\|b", "c|d")));
        assert_eq!(split_once("ñandú", '|'), None);
        assert_eq!(unescape(r"a\,b\|c\$d\\e\f\"), r"a,b|c$d\e\f\");
    }
}
