//! One HL7 v2 message as segments and fields (chapter 2, message framework); the only file that names `hl7_parser`.
//!
//! `hl7_parser` finds segments and fields in text that this file has made fit for it: decoded by MSH-18, CR between
//! segments, checked delimiters, counted elements. It drops what follows a bad segment, so the lines are compared
//! afterwards. Its unescaping breaks on accents, so that is done here. Batches (FHS, BHS) are not messages.

use super::charset::Charset;
use super::header::{Delimiters, Header};
use super::irregular::{Irregularity, Kind, Location};

/// How much of a message is looked at; a parsed element costs some 60 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bytes: usize,
    pub segments: usize,
    pub fields_per_segment: usize,
    pub repetitions_per_field: usize,
    /// Delimiters in the whole message.
    pub elements: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bytes: 10 * 1024 * 1024,
            segments: 10_000,
            fields_per_segment: 500,
            repetitions_per_field: 1_000,
            elements: 300_000,
        }
    }
}

/// A message that was read to its last byte.
#[derive(Clone, Debug)]
pub struct Message {
    pub header: Header,
    spelling: Spelling,
    /// MSH-2 as sent (it may have the truncation mark).
    encoding: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
struct Segment {
    name: String,
    fields: Vec<String>,
}

/// What is needed to read a part of a message.
#[derive(Clone, Copy, Debug)]
struct Spelling {
    delimiters: Delimiters,
    charset: Charset,
}

/// What a field, component or subcomponent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing: what is stored stays.
    Absent,
    /// `""`: what is stored is deleted.
    Null,
    Text(String),
}

impl Message {
    /// Reads a message within the default limits; `charset` counts when MSH-18 is empty.
    pub fn parse(raw: &[u8], charset: Charset) -> Result<Self, Irregularity> {
        Self::parse_within(raw, charset, &Limits::default())
    }

    pub fn parse_within(raw: &[u8], charset: Charset, limits: &Limits) -> Result<Self, Irregularity> {
        let header = Header::read(raw).ok_or(Irregularity::new(Kind::NoHeader))?;
        if raw.len() > limits.bytes {
            return Err(Irregularity::new(Kind::TooLarge));
        }
        let delimiters = header.delimiters()?;
        let charset = header.charset(charset)?;
        let text =
            charset.decode(raw.get(header.start..).unwrap_or_default()).ok_or(Irregularity::new(Kind::Encoding))?;
        let forbidden = |c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t');
        if text.chars().any(forbidden) {
            return Err(Irregularity::new(Kind::ControlCharacter));
        }
        let encoding = encoding_characters(&text, delimiters);
        let lines = lines(&text, delimiters, &encoding, limits)?;
        let segments = split(&lines.join("\r"), &lines)?;
        Ok(Message { header, spelling: Spelling { delimiters, charset }, encoding, segments })
    }

    /// The first segment of this name.
    pub fn segment(&self, name: &str) -> Option<SegmentView<'_>> {
        self.segments_named(name).next()
    }

    /// All segments of this name, in their order.
    pub fn segments_named<'m>(&'m self, name: &str) -> impl Iterator<Item = SegmentView<'m>> {
        let found = self.segments.iter().filter(move |segment| segment.name == name);
        found.map(|segment| SegmentView { segment, spelling: self.spelling })
    }

    /// Field `number` of the first segment of this name; an empty field when there is none.
    pub fn field(&self, segment: &str, number: usize) -> Field<'_> {
        match self.segment(segment) {
            Some(view) => view.field(number),
            None => Field { raw: "", spelling: self.spelling },
        }
    }

    pub fn segment_names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(|segment| segment.name.as_str())
    }

    pub fn charset(&self) -> Charset {
        self.spelling.charset
    }

    /// The message as text again, CR after every segment.
    pub fn encode(&self) -> String {
        let separator = self.spelling.delimiters.field;
        let mut text = String::new();
        for segment in &self.segments {
            text.push_str(&segment.name);
            let header = segment.name == "MSH";
            if header {
                text.push(separator);
                text.push_str(&self.encoding);
            }
            for field in segment.fields.iter().skip(if header { 2 } else { 0 }) {
                text.push(separator);
                text.push_str(field);
            }
            text.push('\r');
        }
        text
    }
}

/// MSH-2 as sent.
fn encoding_characters(text: &str, delimiters: Delimiters) -> String {
    let rest = text.get(4..).unwrap_or_default();
    rest.chars().take_while(|c| *c != delimiters.field && *c != '\r' && *c != '\n').collect()
}

/// The segments as lines: CR, LF and CRLF alike, empty ones passed over, each checked for its name and its size.
fn lines(text: &str, delimiters: Delimiters, encoding: &str, limits: &Limits) -> Result<Vec<String>, Irregularity> {
    let mut lines = Vec::new();
    let mut elements = 0;
    for line in text.split(['\r', '\n']).filter(|line| !line.trim().is_empty()) {
        let at = Location::line(lines.len() + 1);
        let fields = line.matches(delimiters.field).count();
        elements +=
            fields + line.matches([delimiters.component, delimiters.repetition, delimiters.subcomponent]).count();
        let repetitions = line.split(delimiters.field).map(|field| field.matches(delimiters.repetition).count()).max();
        if lines.len() >= limits.segments
            || fields > limits.fields_per_segment
            || repetitions.unwrap_or(0) >= limits.repetitions_per_field
            || elements > limits.elements
        {
            return Err(Irregularity::at(Kind::TooLarge, at));
        }
        let (name, rest) = line.split_at_checked(3).ok_or(Irregularity::at(Kind::Structure, at))?;
        let named = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !named || !(rest.is_empty() || rest.starts_with(delimiters.field)) {
            return Err(Irregularity::at(Kind::Structure, at));
        }
        if name == "MSH" && !lines.is_empty() {
            return Err(Irregularity::at(Kind::SecondHeader, at));
        }
        lines.push(match rest.is_empty() {
            // A segment that is its name alone is one without values; the parser wants a field.
            true => format!("{line}{}", delimiters.field),
            // The truncation mark would shift the fields of MSH by one.
            false if name == "MSH" => line.replacen(encoding, encoding.get(..4).unwrap_or_default(), 1),
            false => line.to_owned(),
        });
    }
    Ok(lines)
}

/// Segments and fields by `hl7_parser`, which must have found every line whole.
fn split(text: &str, lines: &[String]) -> Result<Vec<Segment>, Irregularity> {
    let parsed = hl7_parser::Message::parse(text).map_err(|_| Irregularity::at(Kind::Structure, Location::line(1)))?;
    let found = parsed.segments().count();
    if parsed.raw_value().len() != text.len() || found != lines.len() {
        return Err(Irregularity::at(Kind::Structure, Location::line(found + 1)));
    }
    let segments = parsed.segments().map(|segment| Segment {
        name: segment.name.to_owned(),
        fields: segment.fields().map(|field| field.raw_value().to_owned()).collect(),
    });
    Ok(segments.collect())
}

/// A segment to read from.
#[derive(Clone, Copy, Debug)]
pub struct SegmentView<'m> {
    segment: &'m Segment,
    spelling: Spelling,
}

impl<'m> SegmentView<'m> {
    /// Field `number` by HL7's count (MSH-1 is the separator); a field past the end is empty.
    pub fn field(&self, number: usize) -> Field<'m> {
        let raw = number.checked_sub(1).and_then(|n| self.segment.fields.get(n)).map_or("", String::as_str);
        Field { raw, spelling: self.spelling }
    }
}

/// A field: repetitions.
#[derive(Clone, Copy, Debug)]
pub struct Field<'m> {
    raw: &'m str,
    spelling: Spelling,
}

impl<'m> Field<'m> {
    /// As it came, escapes and all.
    pub fn raw(&self) -> &'m str {
        self.raw
    }

    /// Whether the whole field is `""`.
    pub fn is_null(&self) -> bool {
        self.raw.trim() == "\"\""
    }

    /// Whether it says anything, `""` included.
    pub fn is_valued(&self) -> bool {
        !self.raw.trim().is_empty()
    }

    /// The repetitions that say something other than `""`, each with its number.
    pub fn repetitions(&self) -> impl Iterator<Item = (usize, Repetition<'m>)> {
        let spelling = self.spelling;
        let all = self.raw.split(spelling.delimiters.repetition).enumerate();
        let valued = all.filter(|(_, raw)| !matches!(raw.trim(), "" | "\"\""));
        valued.map(move |(n, raw)| (n + 1, Repetition { raw, spelling }))
    }

    /// The first repetition, empty or not.
    pub fn first(&self) -> Repetition<'m> {
        let raw = self.raw.split(self.spelling.delimiters.repetition).next().unwrap_or_default();
        Repetition { raw, spelling: self.spelling }
    }

    /// The first subcomponent of the first component of the first repetition.
    pub fn value(&self) -> Value {
        self.first().value(1)
    }

    pub fn text(&self) -> Option<String> {
        self.first().text(1)
    }
}

/// One repetition of a field: components.
#[derive(Clone, Copy, Debug)]
pub struct Repetition<'m> {
    raw: &'m str,
    spelling: Spelling,
}

impl<'m> Repetition<'m> {
    /// Component `number`; one past the end is empty.
    pub fn component(&self, number: usize) -> Component<'m> {
        let mut parts = self.raw.split(self.spelling.delimiters.component);
        let raw = number.checked_sub(1).and_then(|n| parts.nth(n)).unwrap_or_default();
        Component { raw, spelling: self.spelling }
    }

    pub fn value(&self, number: usize) -> Value {
        self.component(number).value(1)
    }

    /// The first subcomponent of component `number`, when it is text.
    pub fn text(&self, number: usize) -> Option<String> {
        self.component(number).text(1)
    }
}

/// One component: subcomponents.
#[derive(Clone, Copy, Debug)]
pub struct Component<'m> {
    raw: &'m str,
    spelling: Spelling,
}

impl Component<'_> {
    pub fn value(&self, subcomponent: usize) -> Value {
        let mut parts = self.raw.split(self.spelling.delimiters.subcomponent);
        let raw = subcomponent.checked_sub(1).and_then(|n| parts.nth(n)).unwrap_or_default();
        match raw.trim() {
            "" => Value::Absent,
            "\"\"" => Value::Null,
            raw => match unescape(raw, self.spelling).trim() {
                "" => Value::Absent,
                text => Value::Text(text.to_owned()),
            },
        }
    }

    pub fn text(&self, subcomponent: usize) -> Option<String> {
        match self.value(subcomponent) {
            Value::Text(text) => Some(text),
            Value::Absent | Value::Null => None,
        }
    }
}

/// Escape sequences (chapter 2.7) become text; an unknown or open one stays as it came, so that nothing is lost.
fn unescape(raw: &str, spelling: Spelling) -> String {
    let escape = spelling.delimiters.escape;
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((before, after)) = rest.split_once(escape) {
        text.push_str(before);
        match after.split_once(escape).and_then(|(inner, next)| Some((sequence(inner, spelling)?, next))) {
            Some((meaning, next)) => {
                text.push_str(&meaning);
                rest = next;
            }
            None => {
                text.push(escape);
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

fn sequence(inner: &str, spelling: Spelling) -> Option<String> {
    let marks = spelling.delimiters;
    Some(match inner {
        "F" => marks.field.to_string(),
        "S" => marks.component.to_string(),
        "T" => marks.subcomponent.to_string(),
        "R" => marks.repetition.to_string(),
        "E" => marks.escape.to_string(),
        "P" => "#".to_owned(),
        ".br" | ".sp" => "\n".to_owned(),
        // Highlighting on and off: no text of its own.
        "H" | "N" => String::new(),
        _ => return hexadecimal(inner.strip_prefix('X')?, spelling.charset),
    })
}

/// Bytes in the character set of the message; control characters other than white space are not let in this way.
fn hexadecimal(digits: &str, charset: Charset) -> Option<String> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = digits.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    let bytes: Vec<u8> = pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    let text = charset.decode(&bytes)?;
    let forbidden = |c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t');
    (!text.chars().any(forbidden)).then(|| text.into_owned())
}

#[cfg(test)]
mod tests;
