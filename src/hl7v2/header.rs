//! The header segment read from the bytes alone, before anything else is known to be right.
//!
//! An answer needs it even when the message cannot be read (HL7 v2 chapter 2, acknowledgment): what is echoed is echoed
//! byte for byte. See [`super::message`] for the text of the whole message.

use super::charset::Charset;
use super::irregular::{Irregularity, Kind, Location};

/// Bytes of the first segment that are looked at, and fields of it that are kept.
const LINE: usize = 16 * 1024;
const FIELDS: usize = 64;

/// The five delimiters of MSH-1 and MSH-2: different ASCII punctuation, never the quotation mark (`""` means delete).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiters {
    pub field: char,
    pub component: char,
    pub repetition: char,
    pub escape: char,
    pub subcomponent: char,
}

/// MSH as bytes.
#[derive(Clone, Debug)]
pub struct Header {
    /// Where MSH begins in the message.
    pub(super) start: usize,
    field: u8,
    /// From MSH-2 on.
    fields: Vec<Vec<u8>>,
    delimiters: Option<Delimiters>,
}

impl Delimiters {
    fn of(field: u8, encoding: &[u8]) -> Option<Self> {
        // A fifth character is the truncation mark of version 2.7.
        let (four, rest) = encoding.split_at_checked(4)?;
        let all: Vec<u8> = std::iter::once(field).chain(encoding.iter().copied()).collect();
        let distinct = all.iter().enumerate().all(|(n, byte)| !all.iter().skip(n + 1).any(|other| other == byte));
        let marks = all.iter().all(|byte| byte.is_ascii_punctuation() && *byte != b'"');
        match four {
            [component, repetition, escape, subcomponent] if rest.len() <= 1 && distinct && marks => Some(Delimiters {
                field: char::from(field),
                component: char::from(*component),
                repetition: char::from(*repetition),
                escape: char::from(*escape),
                subcomponent: char::from(*subcomponent),
            }),
            _ => None,
        }
    }
}

impl Header {
    /// The header of a message, or `None` when the message does not begin with MSH and a field separator.
    /// A byte order mark and empty lines before it are passed over.
    pub fn read(raw: &[u8]) -> Option<Self> {
        let body = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
        let start = raw.len() - body.trim_ascii_start().len();
        let line = raw.get(start..)?.strip_prefix(b"MSH")?;
        let field = *line.first().filter(|byte| byte.is_ascii_punctuation())?;
        let end = line.iter().take(LINE).position(|byte| matches!(byte, b'\r' | b'\n'));
        let line = line.get(1..end.unwrap_or_else(|| line.len().min(LINE)))?;
        let fields: Vec<Vec<u8>> = line.split(|byte| *byte == field).take(FIELDS).map(<[u8]>::to_vec).collect();
        let delimiters = fields.first().and_then(|encoding| Delimiters::of(field, encoding));
        Some(Header { start, field, fields, delimiters })
    }

    pub fn delimiters(&self) -> Result<Delimiters, Irregularity> {
        self.delimiters.ok_or(Irregularity::at(Kind::Delimiters, Location::field("MSH", 2)))
    }

    /// MSH-1 as a byte.
    pub fn separator(&self) -> u8 {
        self.field
    }

    /// MSH-`number` (2 and up) as it came; empty when it is not there.
    pub fn raw(&self, number: usize) -> &[u8] {
        number.checked_sub(2).and_then(|n| self.fields.get(n)).map_or(&[], Vec::as_slice)
    }

    /// The first repetition of a component of MSH-`number`, for codes: empty when it is not plain ASCII.
    pub fn code(&self, number: usize, component: usize) -> &str {
        let Some(delimiters) = self.delimiters else { return "" };
        let text = std::str::from_utf8(self.raw(number)).unwrap_or_default();
        let first = text.split(delimiters.repetition).next().unwrap_or_default();
        let part = first.split(delimiters.component).nth(component.saturating_sub(1)).unwrap_or_default().trim();
        if part.is_ascii() { part } else { "" }
    }

    /// MSH-18, or the character set of the sender when it is empty.
    pub fn charset(&self, default: Charset) -> Result<Charset, Irregularity> {
        if self.raw(18).trim_ascii().is_empty() {
            return Ok(default);
        }
        Charset::named(self.code(18, 1)).ok_or(Irregularity::at(Kind::Charset, Location::field("MSH", 18)))
    }

    /// What makes a message the same message, within one sender: MSH-3, MSH-4, MSH-10.
    pub fn key(&self, default: Charset) -> [String; 3] {
        let charset = self.charset(default).unwrap_or(default);
        let text = |number: usize| {
            let raw = self.raw(number);
            // Latin-1 by code point gives every byte string a text of its own.
            let any = || raw.iter().map(|byte| char::from(*byte)).collect();
            charset.decode(raw).map_or_else(any, |text| text.into_owned())
        };
        [text(3), text(4), text(10)]
    }

    /// The message type, MSH-9.1.
    pub fn message_type(&self) -> &str {
        self.code(9, 1)
    }

    /// The trigger event, MSH-9.2 (two and three components alike).
    pub fn event(&self) -> &str {
        self.code(9, 2)
    }

    /// MSH-12.1.
    pub fn version(&self) -> &str {
        self.code(12, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_five_different_marks() {
        let check = |start: &str, expected: bool| {
            let header = Header::read(format!("{start}|A|B").replace('|', &start[3..4]).as_bytes());
            assert_eq!(header.is_some_and(|header| header.delimiters().is_ok()), expected, "{start}");
        };
        check(r"MSH|^~\&", true);
        check(r"MSH|^~\&#", true);
        check(r"MSH$%*!@", true);
        check(r"MSH|^~\", false);
        check(r"MSH|^^\&", false);
        check(r"MSH|^~\&##", false);
        check(r#"MSH|^~\""#, false);
        check(r"MSH|ab~\", false);
        check(r"MSHA^~\&", false);
    }

    #[test]
    fn fields_are_bytes() {
        let header = Header::read(
            b"\r\nMSH|^~\\&|HIS|H\xd1|X|Y|20240101||ADT^A01^ADT_A01|\xd1-1|P|2.5.1^COL|||||170|8859/1\rPID|1",
        )
        .unwrap();
        assert_eq!(header.raw(2), br"^~\&");
        assert_eq!(header.raw(10), b"\xd1-1");
        assert_eq!((header.message_type(), header.event(), header.version()), ("ADT", "A01", "2.5.1"));
        assert_eq!(header.raw(19), b"");
        assert_eq!(header.charset(Charset::Utf8), Ok(Charset::Latin1));
        assert_eq!(header.key(Charset::Utf8), ["HIS", "HÑ", "Ñ-1"]);
        assert!(Header::read(b"PID|1").is_none());
        assert!(Header::read(b"MSH").is_none());
        assert!(Header::read(b"").is_none());
    }
}
