//! FHIR JSON text to values (<https://hl7.org/fhir/R4/json.html>), strict and with every digit kept.
//!
//! A reader of our own, because serde_json rewrites exponents (`1.0E2` becomes `1.0e+2`) and lets the last of two equal
//! keys win; the precision of a decimal is part of its meaning (<https://hl7.org/fhir/R4/datatypes.html#decimal>).
//! Refused: duplicate keys, trailing data, a byte order mark, NUL, lone surrogates, invalid UTF-8, and whatever is over a
//! limit. Errors name line, column and path, never content. Stored bodies are read by it too, or a later write would
//! lose what the first one kept. It does not know FHIR's types: `fhir::validate` does.

use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::format::{Limits, position};
use crate::fhir::resource::Place;
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// Larger exponents have no medical meaning, and make comparison overflow.
const MAX_EXPONENT: i32 = 300;

/// The value of a JSON text. Kinds: `Structure` for what is not strict JSON, `TooCostly` for a limit; both are 400.
pub fn parse_json(bytes: &[u8], limits: &Limits) -> Result<Value> {
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(Error::new(Kind::Structure, "JSON must not start with a byte order mark"));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let (line, column) = position(bytes, e.valid_up_to());
        Error::new(Kind::Structure, format!("not UTF-8 at line {line}, column {column}"))
    })?;
    let mut reader = Reader { text, at: 0, values: 0, root: String::new(), limits };
    let result = reader.document();
    result.map_err(|fault| reader.error(fault))
}

/// The number of a text that is nothing else, with all its digits.
pub(super) fn number(text: &str, limits: &Limits) -> std::result::Result<Number, (Kind, String)> {
    let mut reader = Reader { text, at: 0, values: 0, root: String::new(), limits };
    match reader.number() {
        Ok(Value::Number(number)) if reader.at == text.len() => Ok(number),
        Err(fault) if fault.kind == Kind::TooCostly => Err((fault.kind, fault.text)),
        _ => Err((Kind::Structure, "must be a number".to_owned())),
    }
}

/// A fault at the current position; `path` is relative to the root, whose name may be known only later.
struct Fault {
    kind: Kind,
    text: String,
    path: Option<String>,
}

type Step<T> = std::result::Result<T, Fault>;

fn fault<T>(text: &str) -> Step<T> {
    Err(Fault { kind: Kind::Structure, text: text.to_owned(), path: None })
}

fn over<T>(text: String) -> Step<T> {
    Err(Fault { kind: Kind::TooCostly, text, path: None })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: usize,
    /// The resource type of the outermost object, once it has been read.
    root: String,
    limits: &'a Limits,
}

impl Reader<'_> {
    fn document(&mut self) -> Step<Value> {
        let place = Place::Root("");
        self.skip_space();
        let value = self.value(&place, 0)?;
        self.skip_space();
        match self.peek() {
            None => Ok(value),
            Some(_) => fault("data after the end of the JSON value"),
        }
    }

    fn value(&mut self, place: &Place, depth: usize) -> Step<Value> {
        self.values += 1;
        if self.values > self.limits.values {
            return over(format!("more than {} values in one JSON text", self.limits.values));
        }
        let result = match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => return self.object(place, depth + 1),
            Some(b'[') => return self.array(place, depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => fault("a JSON value is expected"),
            None => fault("the JSON text ends too early"),
        };
        result.map_err(|fault| located(fault, place))
    }

    fn object(&mut self, place: &Place, depth: usize) -> Step<Value> {
        self.enter(place, depth)?;
        let mut members = Map::new();
        if self.closes(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            let name = match self.peek() {
                Some(b'"') => self.string().map_err(|fault| located(fault, place))?,
                _ => return Err(located(self.unexpected("a member name in quotes is expected"), place)),
            };
            let member = Place::Member(place, &name);
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(located(self.unexpected("a colon is expected"), &member));
            }
            self.at += 1;
            self.skip_space();
            let value = self.value(&member, depth)?;
            if depth == 1 && name == "resourceType" {
                self.root = value.as_str().unwrap_or_default().to_owned();
            }
            match members.entry(name) {
                Entry::Vacant(free) => drop(free.insert(value)),
                Entry::Occupied(taken) => {
                    let member = Place::Member(place, taken.key());
                    return Err(located(self.unexpected("the member stands twice in its object"), &member));
                }
            }
            if !self.continues(b'}', place)? {
                return Ok(Value::Object(members));
            }
        }
    }

    fn array(&mut self, place: &Place, depth: usize) -> Step<Value> {
        self.enter(place, depth)?;
        let mut items = Vec::new();
        if self.closes(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            let item = Place::Item(place, items.len());
            let value = self.value(&item, depth)?;
            items.push(value);
            if !self.continues(b']', place)? {
                return Ok(Value::Array(items));
            }
        }
    }

    /// Steps over the opening bracket.
    fn enter(&mut self, place: &Place, depth: usize) -> Step<()> {
        if depth > self.limits.depth {
            return over(format!("more than {} levels of depth (limits.depth)", self.limits.depth))
                .map_err(|fault| located(fault, place));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn closes(&mut self, close: u8) -> bool {
        let closes = self.peek() == Some(close);
        self.at += usize::from(closes);
        closes
    }

    /// After a member or an item: true when another one follows.
    fn continues(&mut self, close: u8, place: &Place) -> Step<bool> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(located(self.unexpected("a comma or the closing bracket is expected"), place)),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Step<Value> {
        if !self.rest().starts_with(word.as_bytes()) {
            return fault("a JSON value is expected");
        }
        self.at += word.len();
        Ok(value)
    }

    /// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`, kept as it stands.
    fn number(&mut self) -> Step<Value> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let whole = self.digits();
        if whole == 0 {
            return fault("a number needs digits");
        }
        if whole > 1 && self.text.as_bytes().get(self.at - whole) == Some(&b'0') {
            return fault("a number must not start with a zero");
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return fault("a number needs digits after its point");
            }
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        let mut exponent_text = "";
        if exponent {
            self.at += 1;
            let from = self.at;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return fault("a number needs digits in its exponent");
            }
            exponent_text = self.text.get(from..self.at).unwrap_or_default();
        }
        if self.at - start > self.limits.number {
            return over(format!("a number of more than {} characters", self.limits.number));
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let finite = || text.parse::<f64>().is_ok_and(f64::is_finite);
        let small = || exponent_text.parse::<i32>().is_ok_and(|e| e.abs() <= MAX_EXPONENT);
        if exponent && !(small() && finite()) {
            return over(format!("a number with an exponent beyond {MAX_EXPONENT}"));
        }
        // The public constructors normalise the exponent; the grammar has just been checked.
        Ok(Value::Number(Number::from_string_unchecked(text.to_owned())))
    }

    fn digits(&mut self) -> usize {
        let count = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        count
    }

    /// A string after its opening quote is seen: mostly one slice without escapes.
    fn string(&mut self) -> Step<String> {
        self.at += 1;
        let mut out: Option<String> = None;
        loop {
            let length = self.rest().iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1F));
            let Some(length) = length else {
                return fault("a string is not closed");
            };
            // The bytes that stop the scan are ASCII: both ends are character boundaries.
            let piece = self.text.get(self.at..self.at + length).unwrap_or_default();
            self.at += length;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match out {
                        None => piece.to_owned(),
                        Some(mut text) => {
                            text.push_str(piece);
                            text
                        }
                    });
                }
                Some(b'\\') => {
                    let text = out.get_or_insert_with(String::new);
                    text.push_str(piece);
                    self.at += 1;
                    let character = self.escape()?;
                    text.push(character);
                }
                _ => return fault("a control character in a string must be escaped"),
            }
        }
    }

    fn escape(&mut self) -> Step<char> {
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => {
                self.at -= 1;
                return fault("an unknown escape in a string");
            }
        })
    }

    /// `\uXXXX`, or a pair of them for what is beyond the basic plane.
    fn unicode_escape(&mut self) -> Step<char> {
        let first = self.hex4()?;
        let code = match first {
            0xD800..=0xDBFF => {
                if !self.rest().starts_with(b"\\u") {
                    return fault("half of a surrogate pair in a string");
                }
                self.at += 2;
                let second = self.hex4()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return fault("half of a surrogate pair in a string");
                }
                0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            other => other,
        };
        match char::from_u32(code) {
            Some('\0') => fault("the character NUL in a string"),
            Some(character) => Ok(character),
            None => fault("half of a surrogate pair in a string"),
        }
    }

    fn hex4(&mut self) -> Step<u32> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|d| u32::from_str_radix(d, 16).ok()) else {
            return fault("an escape needs four hexadecimal digits");
        };
        self.at += 4;
        Ok(code)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &[u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn unexpected(&self, text: &str) -> Fault {
        let text = if self.peek().is_none() { "the JSON text ends too early" } else { text };
        Fault { kind: Kind::Structure, text: text.to_owned(), path: None }
    }

    fn error(&self, fault: Fault) -> Error {
        let (line, column) = position(self.text.as_bytes(), self.at);
        let text = format!("{} (line {line}, column {column})", fault.text);
        let mut issue = Issue::new(fault.kind, text);
        if let Some(path) = fault.path.filter(|path| !path.is_empty()) {
            let root = Place::Root(&self.root).to_string();
            issue.expression = Some(if root.is_empty() { path } else { format!("{root}.{path}") });
        }
        Error::all(vec![issue])
    }
}

/// Notes the innermost place of a fault; outer callers leave it as it is.
fn located(mut fault: Fault, place: &Place) -> Fault {
    if fault.path.is_none() {
        fault.path = Some(place.to_string());
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Value> {
        parse_json(bytes, &Limits::default())
    }

    #[test]
    fn numbers_keep_their_digits() {
        for number in
            ["1", "0", "-0", "-0.0", "1.10", "72.50", "1.0E2", "1.0e+2", "1e-7", "123456789012345678901234567890.5"]
        {
            let text = format!(r#"{{"v":{number}}}"#);
            assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn refused_with_line_and_path() {
        let check = |input: &[u8], kind: Kind, expected: &str| {
            let error = parse(input).expect_err(&String::from_utf8_lossy(input));
            assert_eq!(error.kind, kind, "{error}");
            assert_eq!(error.to_string(), expected, "{}", String::from_utf8_lossy(input));
        };
        let structure = |input: &[u8], expected: &str| check(input, Kind::Structure, expected);
        structure(b"", "the JSON text ends too early (line 1, column 1)");
        structure(b"\xEF\xBB\xBF{}", "JSON must not start with a byte order mark");
        structure(b"{\"a\":\n \"\xFF\"}", "not UTF-8 at line 2, column 3");
        structure(
            br#"{"resourceType":"Patient","name":[{"family":"x","family":"y"}]}"#,
            "Patient.name[0].family: the member stands twice in its object (line 1, column 61)",
        );
        structure(br#"{"a":1} x"#, "data after the end of the JSON value (line 1, column 9)");
        structure(br#"{"a":1,}"#, "a member name in quotes is expected (line 1, column 8)");
        structure(br#"{"a" 1}"#, "a: a colon is expected (line 1, column 6)");
        structure(br#"[1 2]"#, "a comma or the closing bracket is expected (line 1, column 4)");
        structure(br#"{"a":tru}"#, "a: a JSON value is expected (line 1, column 6)");
        structure(br#"{"a":NaN}"#, "a: a JSON value is expected (line 1, column 6)");
        structure(br#"{"a":01}"#, "a: a number must not start with a zero (line 1, column 8)");
        structure(br#"{"a":1.}"#, "a: a number needs digits after its point (line 1, column 8)");
        structure(br#"{"a":-}"#, "a: a number needs digits (line 1, column 7)");
        structure(br#"{"a":1e}"#, "a: a number needs digits in its exponent (line 1, column 8)");
        structure(br#"{"a":"\ud800x"}"#, "a: half of a surrogate pair in a string (line 1, column 13)");
        structure(br#"{"a":"\udc00"}"#, "a: half of a surrogate pair in a string (line 1, column 13)");
        structure(br#"{"a":"\u0000"}"#, "a: the character NUL in a string (line 1, column 13)");
        structure(b"{\"a\":\"\0\"}", "a: a control character in a string must be escaped (line 1, column 7)");
        structure(b"{\"a\":\"\n\"}", "a: a control character in a string must be escaped (line 1, column 7)");
        structure(br#"{"a":"\x"}"#, "a: an unknown escape in a string (line 1, column 8)");
        structure(br#"{"a":"\u12"}"#, "a: an escape needs four hexadecimal digits (line 1, column 9)");
        structure("{\"a\":\"\\u1€\"}".as_bytes(), "a: an escape needs four hexadecimal digits (line 1, column 9)");
        structure(br#"{"a":"x"#, "a: a string is not closed (line 1, column 7)");
        structure(br#"{"Ana Gomez":tru}"#, "?: a JSON value is expected (line 1, column 14)");
        let costly = |input: &[u8], expected: &str| check(input, Kind::TooCostly, expected);
        costly(br#"{"a":1e400000}"#, "a: a number with an exponent beyond 300 (line 1, column 14)");
        costly(br#"{"a":1e-400000}"#, "a: a number with an exponent beyond 300 (line 1, column 15)");
        let long = format!("[{}]", "9".repeat(65));
        costly(long.as_bytes(), "[0]: a number of more than 64 characters (line 1, column 67)");
    }

    #[test]
    fn depth_has_an_end_and_the_stack_is_safe() {
        let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(parse(&nested(64)).is_ok());
        assert_eq!(parse(&nested(65)).unwrap_err().kind, Kind::TooCostly);
        assert!(parse(&vec![b'['; 5_000_000]).is_err());
        assert!(parse(br#"{"a":"#.repeat(1_000_000).as_slice()).is_err());
    }

    #[test]
    fn the_number_of_values_has_an_end() {
        let limits = Limits { values: 3, ..Limits::default() };
        assert!(parse_json(b"[1,2]", &limits).is_ok());
        assert_eq!(parse_json(b"[1,2,3]", &limits).unwrap_err().kind, Kind::TooCostly);
    }

    /// serde_json as oracle: what both accept is equal, what it refuses is refused here too, on mutated texts.
    #[test]
    fn agrees_with_serde_json_on_mutated_texts() {
        let seed =
            r#" {"resourceType":"Patient","a":[1,-2.50,true,null,"x\n\u00e9\ud83d\ude00é"],"b":{"c":{},"d":[]}} "#;
        let alphabet = b"{}[]\",:\\u0a1e.-+ \xC3";
        let mut state = 42_u64;
        let mut next = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        let mut accepted = 0;
        for _ in 0..20_000 {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..=next(2) {
                let at = next(bytes.len());
                match next(3) {
                    0 => bytes[at] = alphabet[next(alphabet.len())],
                    1 => bytes.insert(at, alphabet[next(alphabet.len())]),
                    _ => drop(bytes.remove(at)),
                }
            }
            match (parse(&bytes), serde_json::from_slice::<Value>(&bytes)) {
                (Ok(ours), Ok(theirs)) => {
                    accepted += 1;
                    assert!(crate::fhir::resource::semantically_equal(&ours, &theirs), "{ours} {theirs}");
                }
                (Ok(ours), Err(e)) => panic!("accepted {ours}, serde_json: {e}"),
                (Err(_), _) => {}
            }
        }
        assert!(accepted > 1_000, "{accepted}");
    }
}
