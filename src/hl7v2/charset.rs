//! The character sets of MSH-18 (HL7 table 0211), strict both ways: no byte is guessed, none is replaced.
//!
//! <https://terminology.hl7.org/CodeSystem-v2-0211.html>. UTF-16, UTF-32 and the escape-switched Asian sets are not read:
//! HL7 allows UTF-8 alone for Unicode.

use encoding_rs::{Encoding, ISO_8859_2, ISO_8859_15, WINDOWS_1252};
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Charset {
    Ascii,
    #[default]
    Utf8,
    /// ISO 8859-1, read as its superset Windows-1252, which is what senders on Windows send under this name.
    Latin1,
    Latin2,
    Latin9,
}

impl Charset {
    /// By its name in table 0211, or by the names that senders write instead.
    pub fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_uppercase().as_str() {
            "ASCII" | "ISO IR6" => Some(Charset::Ascii),
            "UNICODE UTF-8" | "UTF-8" | "UTF8" => Some(Charset::Utf8),
            "8859/1" | "ISO-8859-1" | "ISO8859-1" | "ISO IR100" => Some(Charset::Latin1),
            "8859/2" | "ISO-8859-2" | "ISO IR101" => Some(Charset::Latin2),
            "8859/15" | "ISO-8859-15" => Some(Charset::Latin9),
            _ => None,
        }
    }

    /// The text, or `None` when a byte does not belong to the set.
    pub fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self.table() {
            None if self == Charset::Ascii && !bytes.is_ascii() => None,
            None => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Some(table) => {
                let text = table.decode_without_bom_handling_and_without_replacement(bytes)?;
                // Bytes without a letter come out as C1 controls: no text holds them.
                (!text.chars().any(|c| ('\u{80}'..='\u{9f}').contains(&c))).then_some(text)
            }
        }
    }

    /// The bytes of a text of ours; letters that the set lacks lose their accents, anything else becomes `?`.
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self.table() {
            None if self == Charset::Ascii => plain(text).into_bytes(),
            None => text.as_bytes().to_vec(),
            Some(table) => {
                let (bytes, _, lossy) = table.encode(text);
                if lossy { plain(text).into_bytes() } else { bytes.into_owned() }
            }
        }
    }

    fn table(self) -> Option<&'static Encoding> {
        match self {
            Charset::Ascii | Charset::Utf8 => None,
            Charset::Latin1 => Some(WINDOWS_1252),
            Charset::Latin2 => Some(ISO_8859_2),
            Charset::Latin9 => Some(ISO_8859_15),
        }
    }
}

fn plain(text: &str) -> String {
    let letters = text.nfd().filter(|c| !unicode_normalization::char::is_combining_mark(*c));
    letters.map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bytes() {
        let check = |name: &str, bytes: &[u8], expected: Option<&str>| {
            let charset = Charset::named(name).unwrap();
            assert_eq!(charset.decode(bytes).as_deref(), expected, "{name}");
            if let Some(text) = expected {
                assert_eq!(charset.encode(text), bytes, "{name}");
            }
        };
        check("UNICODE UTF-8", "Ñáé¿€".as_bytes(), Some("Ñáé¿€"));
        check("UNICODE UTF-8", b"NU\xd1EZ", None);
        check("8859/1", b"NU\xd1EZ \xe1\xe9\xbf", Some("NUÑEZ áé¿"));
        check("8859/1", b"\x80", Some("€"));
        check("8859/1", b"a\x81", None);
        check("8859/15", b"\xa4 \xd1", Some("€ Ñ"));
        check("8859/15", b"\x85", None);
        check("ASCII", b"NUNEZ", Some("NUNEZ"));
        check("ASCII", b"NU\xd1EZ", None);
        for refused in ["UNICODE UTF-16", "UNICODE", "ISO IR87", "", "8859/5"] {
            assert_eq!(Charset::named(refused), None, "{refused}");
        }
        assert_eq!(Charset::Ascii.encode("Acción ß"), b"Accion ?");
    }
}
