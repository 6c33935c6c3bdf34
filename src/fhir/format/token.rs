//! Tokens of XML 1.0 (<https://www.w3.org/TR/xml/>), as much of it as FHIR uses, strictly well-formed.
//!
//! Refused, because FHIR has no use for them and attackers do: document types, processing instructions, CDATA, entities
//! beyond the five, names that are not ASCII. Nothing is expanded, so memory stays that of the text; depth and
//! attributes have an end. Comments are skipped. The whole text was checked by [`not_xml`] before.

use crate::error::Kind;
use std::borrow::Cow;

/// Elements inside each other: those of a resource (`limits.depth`) and of a narrative below it.
const MAX_OPEN: usize = 256;
/// Attributes of one element; FHIR needs two, a narrative a few.
const MAX_ATTRIBUTES: usize = 64;

/// What is wrong at [`Tokens::at`].
pub(in crate::fhir) struct Fault {
    pub kind: Kind,
    pub text: String,
}

pub(in crate::fhir) type Step<T> = Result<T, Fault>;

pub(in crate::fhir) fn fault<T>(text: &str) -> Step<T> {
    Err(Fault { kind: Kind::Structure, text: text.to_owned() })
}

pub(in crate::fhir) fn over<T>(text: String) -> Step<T> {
    Err(Fault { kind: Kind::TooCostly, text })
}

/// A start tag.
pub(in crate::fhir) struct Tag<'a> {
    pub name: &'a str,
    /// Names and values as they stand: [`attribute`] reads a value.
    pub attributes: Vec<(&'a str, &'a str)>,
    /// Where its `<` is.
    pub start: usize,
}

pub(in crate::fhir) enum Token<'a> {
    /// An element without content is opened and closed too.
    Open(Tag<'a>),
    Close,
    /// As it stands, entities and all.
    Text(&'a str),
    End,
}

pub(in crate::fhir) struct Tokens<'a> {
    text: &'a str,
    pub at: usize,
    open: Vec<&'a str>,
    /// `<x/>` was opened and is to be closed.
    pending: bool,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a str) -> Self {
        Tokens { text, at: 0, open: Vec::new(), pending: false }
    }

    /// `<?xml version="1.0" encoding="UTF-8"?>` at the very start, when it is there.
    pub fn declaration(&mut self) -> Step<()> {
        if !self.rest().starts_with("<?xml") || !self.rest().get(5..6).is_some_and(is_space) {
            return Ok(());
        }
        self.at += 5;
        let attributes = self.attributes()?;
        if !self.eats("?>") {
            return fault("the XML declaration is not closed");
        }
        for (place, (name, value)) in attributes.into_iter().enumerate() {
            match (place, name) {
                (0, "version") if value == "1.0" => {}
                (0, _) => return fault("only XML 1.0 is read"),
                (_, "encoding") if value.eq_ignore_ascii_case("utf-8") => {}
                (_, "encoding") => return fault("only the encoding UTF-8 is read"),
                (_, "standalone") if matches!(value, "yes" | "no") => {}
                _ => return fault("the XML declaration is not well-formed"),
            }
        }
        Ok(())
    }

    pub fn next(&mut self) -> Step<Token<'a>> {
        if self.pending {
            self.pending = false;
            self.open.pop();
            return Ok(Token::Close);
        }
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return if self.open.is_empty() { Ok(Token::End) } else { fault("the XML text ends too early") };
            }
            if !rest.starts_with('<') {
                let text = rest.get(..rest.find('<').unwrap_or(rest.len())).unwrap_or_default();
                self.at += text.len();
                return Ok(Token::Text(text));
            }
            if self.eats("<!--") {
                self.comment()?;
            } else if rest.starts_with("<![CDATA[") {
                return fault("CDATA sections are refused");
            } else if rest.starts_with("<!") {
                return fault("document type declarations are refused");
            } else if rest.starts_with("<?") {
                return fault("processing instructions are refused");
            } else if self.eats("</") {
                return self.close();
            } else {
                return self.open();
            }
        }
    }

    /// Goes to the end of the element that was opened last; the text that it takes, from its start tag on.
    pub fn rest_of(&mut self, tag: &Tag<'a>) -> Step<&'a str> {
        let outside = self.open.len().saturating_sub(1);
        while self.open.len() > outside {
            self.next()?;
        }
        Ok(self.text.get(tag.start..self.at).unwrap_or_default())
    }

    fn comment(&mut self) -> Step<()> {
        let Some(length) = self.rest().find("--") else { return fault("a comment is not closed") };
        self.at += length;
        if self.eats("-->") { Ok(()) } else { fault("a comment must not hold two hyphens") }
    }

    fn close(&mut self) -> Step<Token<'a>> {
        let name = self.name()?;
        self.space();
        if !self.eats(">") {
            return fault("an end tag is not closed");
        }
        match self.open.pop() {
            Some(open) if open == name => Ok(Token::Close),
            _ => fault("the end tag does not match the start tag"),
        }
    }

    fn open(&mut self) -> Step<Token<'a>> {
        let start = self.at;
        self.at += 1;
        let name = self.name()?;
        let attributes = self.attributes()?;
        self.pending = self.eats("/>");
        if !self.pending && !self.eats(">") {
            return fault("a start tag is not closed");
        }
        if self.open.len() >= MAX_OPEN {
            return over(format!("more than {MAX_OPEN} elements inside each other (limits.depth)"));
        }
        self.open.push(name);
        Ok(Token::Open(Tag { name, attributes, start }))
    }

    fn attributes(&mut self) -> Step<Vec<(&'a str, &'a str)>> {
        let mut attributes: Vec<(&str, &str)> = Vec::new();
        loop {
            let spaced = self.space();
            if !self.rest().starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                return Ok(attributes);
            }
            if !spaced {
                return fault("white space is expected before an attribute");
            }
            let name = self.name()?;
            self.space();
            if !self.eats("=") {
                return fault("an attribute needs a value");
            }
            self.space();
            let value = self.quoted()?;
            if attributes.iter().any(|(other, _)| *other == name) {
                return fault("an attribute stands twice in its element");
            }
            if attributes.len() >= MAX_ATTRIBUTES {
                return over(format!("more than {MAX_ATTRIBUTES} attributes in one element"));
            }
            attributes.push((name, value));
        }
    }

    fn quoted(&mut self) -> Step<&'a str> {
        let quote = match self.rest().chars().next() {
            Some(quote @ ('"' | '\'')) => quote,
            _ => return fault("the value of an attribute must be in quotes"),
        };
        self.at += 1;
        let Some(length) = self.rest().find([quote, '<']) else {
            return fault("the value of an attribute is not closed");
        };
        let value = self.rest().get(..length).unwrap_or_default();
        self.at += length;
        if self.rest().starts_with('<') {
            return fault("the value of an attribute must not hold <");
        }
        self.at += 1;
        Ok(value)
    }

    /// A name with at most one prefix.
    fn name(&mut self) -> Step<&'a str> {
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.');
        let rest = self.rest();
        let name = rest.get(..rest.find(|c| !letters(c)).unwrap_or(rest.len())).unwrap_or_default();
        let part = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !part.contains(':');
        let holds = match name.split_once(':') {
            Some((prefix, local)) => part(prefix) && part(local),
            None => part(name),
        };
        if !holds {
            return fault("a name is expected");
        }
        self.at += name.len();
        Ok(name)
    }

    fn space(&mut self) -> bool {
        let length = self.rest().bytes().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.at += length;
        length > 0
    }

    fn eats(&mut self, text: &str) -> bool {
        let eats = self.rest().starts_with(text);
        if eats {
            self.at += text.len();
        }
        eats
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }
}

pub(in crate::fhir) fn is_space(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

/// The place of the first character that XML cannot carry, not even as a reference.
pub(in crate::fhir) fn not_xml(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let low = |b: u8| b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r');
    bytes
        .iter()
        .enumerate()
        .position(|(at, b)| low(*b) || (*b == 0xEF && matches!(bytes.get(at..at + 3), Some([0xEF, 0xBF, 0xBE | 0xBF]))))
}

/// A reference at the start of `text`, after its `&`: what it means, and its length with the semicolon.
pub(in crate::fhir) fn reference(text: &str) -> Option<(char, usize)> {
    // `&#x0010FFFF;` is the longest that makes sense.
    let end = text.bytes().take(16).position(|b| b == b';')?;
    let name = text.get(..end)?;
    let meant = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |hex| (hex, 16));
            let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            let meant = char::from_u32(u32::from_str_radix(digits, radix).ok().filter(|_| plain)?)?;
            let mut bytes = [0; 4];
            if not_xml(meant.encode_utf8(&mut bytes)).is_some() {
                return None;
            }
            meant
        }
    };
    Some((meant, end + 1))
}

/// The value of an attribute: references resolved, line breaks and tabs that are not references become spaces.
pub(in crate::fhir) fn attribute(raw: &str) -> Step<Cow<'_, str>> {
    if !raw.contains(['&', '\t', '\n', '\r']) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        let (before, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        value.push_str(before);
        let skipped = match after.strip_prefix('&') {
            Some(name) => {
                let Some((meant, length)) = reference(name) else {
                    return fault("an entity that is not one of amp, lt, gt, quot, apos and no character of XML");
                };
                value.push(meant);
                1 + length
            }
            None => {
                value.push(' ');
                if after.starts_with("\r\n") { 2 } else { 1 }
            }
        };
        rest = after.get(skipped..).unwrap_or_default();
    }
    value.push_str(rest);
    Ok(Cow::Owned(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_normalised_as_xml_wants_it() {
        let check = |raw: &str, expected: Option<&str>| {
            let value = attribute(raw).ok();
            assert_eq!(value.as_deref(), expected, "{raw:?}");
        };
        check("plain", Some("plain"));
        check("a\nb\r\nc\td\re", Some("a b c d e"));
        check("a&#10;b&#xD;&#9;", Some("a\nb\r\t"));
        check("&lt;&amp;&gt;&quot;&apos;", Some("<&>\"'"));
        check("&#x1F600;é", Some("😀é"));
        for bad in
            ["&nbsp;", "&", "&amp", "&#0;", "&#xD800;", "&#xFFFE;", "&#x110000;", "&#;", "&#x;", "&#+9;", "&#11;"]
        {
            check(bad, None);
        }
    }

    #[test]
    fn characters_that_xml_does_not_have() {
        assert_eq!(not_xml("a\tb\r\n\u{7F}\u{FFFD}é😀"), None);
        assert_eq!(not_xml("ab\u{1}"), Some(2));
        assert_eq!(not_xml("é\u{FFFE}"), Some(2));
        assert_eq!(not_xml("\u{FFFF}"), Some(0));
        assert_eq!(not_xml("\u{FFBE}\u{EFBF}"), None);
    }
}
