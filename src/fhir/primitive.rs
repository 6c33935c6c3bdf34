//! The values of the primitive types (<https://hl7.org/fhir/R4/datatypes.html#primitive>): JSON kind and format.
//!
//! An error is the key of the rule that is broken (`fhir::rule`); it never holds the value.

use crate::fhir::datetime::{DateTime, Form, is_time};
use crate::fhir::format::xhtml;
use crate::fhir::narrative;
use crate::fhir::reference::is_id;
use serde_json::{Number, Value};

/// "Strings SHALL NOT exceed 1MB (1024*1024 characters) in size"; base64Binary may be as long as the body.
pub const MAX_STRING: usize = 1024 * 1024;

/// A broken rule, by the key of its sentence: the JSON kind is not that of the type, or the text has not its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Kind(&'static str),
    Format(&'static str),
}

impl Broken {
    pub fn rule(self) -> &'static str {
        match self {
            Broken::Kind(rule) | Broken::Format(rule) => rule,
        }
    }
}

/// Characters that are not seen, or turn what stands beside them: no part of a name.
pub fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Judges one value of a primitive type by its name (`dateTime`); `longest`: characters of a string. A name that is no
/// primitive of R4 breaks a rule too.
pub fn check(type_name: &str, value: &Value, longest: usize) -> Result<(), Broken> {
    match (type_name, value) {
        ("boolean", Value::Bool(_)) | ("decimal", Value::Number(_)) => Ok(()),
        ("boolean", _) => Err(Broken::Kind("rule.boolean")),
        ("decimal", _) => Err(Broken::Kind("rule.decimal")),
        ("integer", Value::Number(number)) => whole(number, i32::MIN, "rule.integer"),
        ("unsignedInt", Value::Number(number)) => whole(number, 0, "rule.unsigned"),
        ("positiveInt", Value::Number(number)) => whole(number, 1, "rule.positive"),
        ("integer" | "unsignedInt" | "positiveInt", _) => Err(Broken::Kind("rule.whole")),
        (_, Value::String(text)) => format(type_name, text, longest).map_err(Broken::Format),
        _ => Err(Broken::Kind("rule.string")),
    }
}

fn whole(number: &Number, least: i32, rule: &'static str) -> Result<(), Broken> {
    // The text decides: 1.0 and 1e2 are decimals, and "-0" is not in the form of an unsigned number.
    let text = number.as_str();
    let fits = text.parse::<i32>().is_ok_and(|n| n >= least) && (least == i32::MIN || !text.starts_with('-'));
    if fits { Ok(()) } else { Err(Broken::Format(rule)) }
}

fn format(type_name: &str, text: &str, longest: usize) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("rule.empty");
    }
    if text.len() > longest && type_name != "base64Binary" && text.chars().count() > longest {
        return Err("rule.long");
    }
    // XML has no such characters, and both formats hold the same resources.
    if !text.is_ascii() && text.contains(['\u{FFFE}', '\u{FFFF}']) {
        return Err("rule.xml");
    }
    let (holds, rule) = match type_name {
        "string" | "markdown" => (is_text(text), "rule.text"),
        "code" => (is_code(text), "rule.code"),
        "id" => (is_id(text), "rule.id"),
        "uri" | "url" | "canonical" => (is_uri(text), "rule.uri"),
        "oid" => (is_oid(text), "rule.oid"),
        "uuid" => (is_uuid(text), "rule.uuid"),
        "date" => (is_date(text, Form::Date), "rule.date"),
        "dateTime" => (is_date(text, Form::DateTime), "rule.date_time"),
        "instant" => (is_date(text, Form::Instant), "rule.instant"),
        "time" => (is_time(text), "rule.time"),
        "base64Binary" => (is_base64(text), "rule.base64"),
        "xhtml" => return narrative::check(text).and_then(|()| xhtml::check(text)),
        _ => (false, "rule.primitive"),
    };
    if holds { Ok(()) } else { Err(rule) }
}

fn is_date(text: &str, form: Form) -> bool {
    DateTime::parse(text, form).is_some()
}

fn is_text(text: &str) -> bool {
    text.bytes().all(|b| b >= b' ' || matches!(b, b'\t' | b'\r' | b'\n'))
}

fn is_code(text: &str) -> bool {
    if text.is_ascii() {
        let edge = text.starts_with(' ') || text.ends_with(' ');
        return !edge
            && text.bytes().all(|b| b >= b' ' && b != 0x7F)
            && !text.as_bytes().windows(2).any(|pair| pair == b"  ");
    }
    let white = |c: char| c.is_whitespace() || c.is_control();
    text.split(' ').all(|word| !word.is_empty() && !word.contains(white))
}

/// What separates an address from other text; RFC 3986 would refuse more, R4 does not.
fn is_uri(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn is_oid(text: &str) -> bool {
    let Some(mut arcs) = text.strip_prefix("urn:oid:").map(|oid| oid.split('.')) else { return false };
    let root = arcs.next().is_some_and(|arc| matches!(arc, "0" | "1" | "2"));
    let arc =
        |arc: &str| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'));
    let mut count = 0;
    root && arcs.inspect(|_| count += 1).all(arc) && count > 0
}

fn is_uuid(text: &str) -> bool {
    let Some(uuid) = text.strip_prefix("urn:uuid:") else { return false };
    let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let fits = |(place, b): (usize, u8)| if matches!(place, 8 | 13 | 18 | 23) { b == b'-' } else { hex(b) };
    uuid.len() == 36 && uuid.bytes().enumerate().all(fits)
}

/// Groups of four; white space between characters is tolerated, as mail and XML break lines.
fn is_base64(text: &str) -> bool {
    let (mut digits, mut padding) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => digits += 1,
            _ => return false,
        }
    }
    digits > 0 && padding <= 2 && (digits + padding).is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::format::{Limits, parse_json};

    fn parse(json: &str) -> Option<Value> {
        parse_json(json.as_bytes(), &Limits::default()).ok()
    }

    #[test]
    fn values_by_type() {
        let run = |type_name: &str, good: &[&str], bad: &[&str]| {
            for (json, expected) in good.iter().map(|v| (*v, true)).chain(bad.iter().map(|v| (*v, false))) {
                let value = parse(json).expect(json);
                assert_eq!(check(type_name, &value, MAX_STRING).is_ok(), expected, "{type_name} {json}");
            }
        };
        run("boolean", &["true", "false"], &["\"true\"", "0", "null", "[]"]);
        run("integer", &["0", "-0", "2147483647", "-2147483648"], &["2147483648", "1.0", "1e2", "\"1\"", "true"]);
        run("unsignedInt", &["0", "2147483647"], &["-0", "-1", "2147483648", "\"0\""]);
        run("positiveInt", &["1"], &["0", "-1", "1.0"]);
        run("decimal", &["0", "-3.70", "1.0E2", "1e-7"], &["\"1\"", "true", "null"]);
        run("string", &["\" \"", "\"a\\tb\\r\\nñ\""], &["\"\"", "\"\\u0001\"", "\"\\u000b\"", "1"]);
        run("markdown", &["\"# a\"", "\" a\""], &["\"\"", "{}"]);
        run("id", &["\"a.B-1\""], &["\"a_b\"", "\"a b\"", "\"\"", "\"ñ\"", "1"]);
        run(
            "uri",
            &["\"http://a/b c\"".replace(' ', "%20").as_str(), "\"urn:x\"", "\"a\""],
            &["\"a b\"", "\" \"", "\"a\\u00a0\""],
        );
        run("canonical", &["\"http://a|1.0\""], &["\"http://a| 1\""]);
        run(
            "oid",
            &["\"urn:oid:1.2.3\"", "\"urn:oid:2.0\""],
            &["\"1.2.3\"", "\"urn:oid:3.1\"", "\"urn:oid:1\"", "\"urn:oid:1.02\"", "\"urn:oid:1.\""],
        );
        run(
            "uuid",
            &["\"urn:uuid:87e11d66-c137-458a-9754-fe6c4e445a6d\""],
            &[
                "\"87e11d66-c137-458a-9754-fe6c4e445a6d\"",
                "\"urn:uuid:87E11d66-c137-458a-9754-fe6c4e445a6d\"",
                "\"urn:uuid:87e11d66c137-458a-9754-fe6c4e445a6d0\"",
            ],
        );
        run(
            "code",
            &["\"a\"", "\"a b\"", "\"ñ b\""],
            &["\" a\"", "\"a \"", "\"a  b\"", "\"a\\tb\"", "\"ñ\\u00a0b\"", "\"\""],
        );
        run(
            "base64Binary",
            &["\"QUJD\"", "\"QUI=\"", "\"QQ==\"", "\"QU\\nJD QUJD\""],
            &["\"QUJ\"", "\"Q===\"", "\"QQ=A\"", "\"Q&JD\"", "\"\"", "\" \""],
        );
        run("date", &["\"2015\"", "\"2015-02-28\""], &["\"2015-02-29\"", "\"2015-02-28T00:00:00Z\"", "2015"]);
        run(
            "dateTime",
            &["\"2015\"", "\"2015-02-28T00:00:00.0-05:00\""],
            &["\"2015-02-28T00:00:00\"", "\"2015-02-28T24:00:00Z\""],
        );
        run("instant", &["\"2015-02-28T00:00:00Z\""], &["\"2015-02-28\""]);
        run("time", &["\"23:59:59\""], &["\"24:00:00\"", "\"23:59\""]);
        run("xhtml", &["\"<div>x</div>\""], &["\"x\"", "\"\"", "1"]);
        run("unknown", &[], &["\"x\"", "1"]);
    }

    #[test]
    fn strings_end_at_their_limit_and_base64_does_not() {
        let long = |text: &str| Value::String(text.repeat(100));
        assert_eq!(check("string", &long("ñ"), 100), Ok(()));
        assert_eq!(check("string", &Value::String("x".repeat(101)), 100), Err(Broken::Format("rule.long")));
        assert_eq!(check("base64Binary", &long("QUJD"), 100), Ok(()));
    }
}
