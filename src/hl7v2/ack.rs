//! The acknowledgement of a message, in original mode (HL7 v2 chapter 2.9; ERR: chapter 2.14.5).
//!
//! What is echoed is echoed byte for byte, in the sender's delimiters, version and character set. Enhanced mode (MSH-15,
//! MSH-16) is answered as original mode: one application acknowledgement. An ACK is never acknowledged.

use super::charset::Charset;
use super::dtm::stamp;
use super::header::{Delimiters, Header};
use super::irregular::{Effect, Irregularity, Location};
use jiff::Timestamp;
use jiff::tz::Offset;

/// Longest MSH-10 of ours before version 2.7.
const CONTROL_ID: usize = 20;

/// What an acknowledgement is made of, beside what was found.
#[derive(Clone, Copy, Debug)]
pub struct Ack<'h> {
    pub header: &'h Header,
    /// The character set when MSH-18 is empty.
    pub charset: Charset,
    /// Our MSH-10, unique (`clock::tail`).
    pub control_id: &'h str,
    pub sent: Timestamp,
    pub offset: Offset,
}

/// MSA-1 and the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: &'static str,
    pub bytes: Vec<u8>,
}

impl Ack<'_> {
    /// The answer: AA when there are only warnings, AR when the message was not even looked into, else AE.
    /// `None` when the message is itself an acknowledgement.
    pub fn answer(&self, found: &[Irregularity]) -> Option<Answer> {
        if matches!(self.header.message_type(), "ACK" | "MCF") {
            return None;
        }
        let code = match found.iter().map(|irregularity| irregularity.kind.effect()).max() {
            None | Some(Effect::Warning) => "AA",
            Some(Effect::Error) => "AE",
            Some(Effect::Reject) => "AR",
        };
        let spelling = Spelling::of(self.header, self.charset);
        let mut lines = vec![self.msh(&spelling), self.msa(&spelling, code, found)];
        lines.extend(errors(&spelling, found));
        let mut bytes = lines.join(&b'\r');
        bytes.push(b'\r');
        Some(Answer { code, bytes })
    }

    fn msh(&self, spelling: &Spelling) -> Vec<u8> {
        let longest = if spelling.version < (2, 7) { CONTROL_ID } else { 199 };
        let control_id: String = self.control_id.chars().take(longest).collect();
        let echo = |number: usize| spelling.echo(self.header.raw(number));
        let or = |bytes: Vec<u8>, default: &str| if bytes.is_empty() { default.as_bytes().to_vec() } else { bytes };
        let mut fields = vec![spelling.encoding.clone(), echo(5), echo(6), echo(3), echo(4)];
        fields.push(stamp(self.sent, self.offset).into_bytes());
        fields.extend([Vec::new(), self.message_type(spelling), control_id.into_bytes()]);
        fields.extend([or(echo(11), "P"), or(echo(12), "2.5.1")]);
        let charset = echo(18);
        if !charset.is_empty() {
            fields.extend(std::iter::repeat_n(Vec::new(), 5));
            fields.push(charset);
        }
        spelling.segment("MSH", &fields)
    }

    /// MSH-9: the event from version 2.3 on, the structure from 2.3.1 on.
    fn message_type(&self, spelling: &Spelling) -> Vec<u8> {
        let event = self.header.event();
        let component = spelling.marks.component;
        let plain = !event.is_empty() && event.len() <= 3 && event.bytes().all(|b| b.is_ascii_alphanumeric());
        let text = match spelling.version {
            version if !plain || version < (2, 3) => "ACK".to_owned(),
            (2, 3) if self.header.version() == "2.3" => format!("ACK{component}{event}"),
            _ => format!("ACK{component}{event}{component}ACK"),
        };
        text.into_bytes()
    }

    /// MSA-2 is their MSH-10. Before 2.5, where ERR has no text, MSA-3 has it.
    fn msa(&self, spelling: &Spelling, code: &str, found: &[Irregularity]) -> Vec<u8> {
        let mut fields = vec![code.as_bytes().to_vec(), spelling.echo(self.header.raw(10))];
        if let (false, Some(first)) = (spelling.detailed(), found.first()) {
            fields.push(spelling.text(first.kind.text()));
        }
        spelling.segment("MSA", &fields)
    }
}

/// ERR: from 2.5 on one segment for each irregularity; before, one with repetitions, which knows no warnings.
fn errors(spelling: &Spelling, found: &[Irregularity]) -> Vec<Vec<u8>> {
    if spelling.detailed() {
        return found.iter().map(|irregularity| spelling.segment("ERR", &detailed(spelling, irregularity))).collect();
    }
    let serious = found.iter().filter(|irregularity| irregularity.kind.effect() != Effect::Warning);
    let repetitions: Vec<Vec<u8>> = serious.map(|irregularity| brief(spelling, irregularity)).collect();
    if repetitions.is_empty() {
        return Vec::new();
    }
    vec![spelling.segment("ERR", &[repetitions.join(&(spelling.marks.repetition as u8))])]
}

/// ERR-2 location, ERR-3 code, ERR-4 severity, ERR-7 our name of it, ERR-8 text for people.
fn detailed(spelling: &Spelling, irregularity: &Irregularity) -> Vec<Vec<u8>> {
    let kind = irregularity.kind;
    let component = spelling.marks.component;
    let code =
        [kind.code().to_string(), kind.code_text().to_owned(), "HL70357".to_owned()].join(&component.to_string());
    let severity = if kind.effect() == Effect::Warning { "W" } else { "E" };
    let place = irregularity.at.map_or_else(String::new, |at| erl(at, component));
    let unnamed = irregularity.at.filter(|at| at.segment.is_empty());
    let diagnostic =
        unnamed.map_or_else(|| kind.name().to_owned(), |at| format!("{} (segment {})", kind.name(), at.sequence));
    let texts = [String::new(), place, code, severity.to_owned(), String::new(), String::new()];
    let mut fields: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    fields.extend([spelling.text(&diagnostic), spelling.text(kind.text())]);
    fields
}

/// ERR-1 up to 2.4: segment, sequence, field, and the code as subcomponents.
fn brief(spelling: &Spelling, irregularity: &Irregularity) -> Vec<u8> {
    let kind = irregularity.kind;
    let at = irregularity.at.unwrap_or_default();
    let number = |n: usize| if n == 0 { String::new() } else { n.to_string() };
    let code = [kind.code().to_string(), kind.code_text().to_owned(), "HL70357".to_owned()];
    let code = code.join(&spelling.marks.subcomponent.to_string());
    let parts = [at.segment.to_owned(), number(at.sequence), number(at.field), code];
    parts.join(&spelling.marks.component.to_string()).into_bytes()
}

/// ERL; without a segment name there is nothing to point at.
fn erl(at: Location, component: char) -> String {
    if at.segment.is_empty() {
        return String::new();
    }
    let numbers = [at.sequence, at.field, at.repetition, at.component];
    let last = numbers.iter().rposition(|n| *n != 0).map_or(0, |n| n + 1);
    let mut text = at.segment.to_owned();
    for number in numbers.iter().take(last) {
        text.push(component);
        if *number != 0 {
            text.push_str(&number.to_string());
        }
    }
    text
}

/// How the sender writes.
struct Spelling {
    marks: Delimiters,
    encoding: Vec<u8>,
    charset: Charset,
    /// Major and minor; a version that cannot be read counts as a late one.
    version: (u32, u32),
    /// Whether the sender's own delimiters are used.
    own: bool,
}

impl Spelling {
    fn of(header: &Header, default: Charset) -> Self {
        let standard = Delimiters { field: '|', component: '^', repetition: '~', escape: '\\', subcomponent: '&' };
        let own = header.delimiters().ok();
        let encoding = if own.is_some() { header.raw(2).to_vec() } else { br"^~\&".to_vec() };
        let mut numbers = header.version().split('.').map(|part| part.parse().ok());
        let version = numbers.next().flatten().zip(numbers.next().flatten()).unwrap_or((2, 5));
        let charset = header.charset(default).unwrap_or(Charset::Ascii);
        Spelling { marks: own.unwrap_or(standard), encoding, charset, version, own: own.is_some() }
    }

    fn detailed(&self) -> bool {
        self.version >= (2, 5)
    }

    /// Bytes of the sender; when its delimiters cannot be used, only what ours do not break.
    fn echo(&self, raw: &[u8]) -> Vec<u8> {
        if self.own || !raw.contains(&b'|') { raw.to_vec() } else { Vec::new() }
    }

    /// A text of ours, escaped and encoded.
    fn text(&self, text: &str) -> Vec<u8> {
        let Delimiters { field, component, repetition, escape, subcomponent } = self.marks;
        let mut escaped = String::with_capacity(text.len());
        for c in text.chars() {
            let letter = [(field, 'F'), (component, 'S'), (repetition, 'R'), (escape, 'E'), (subcomponent, 'T')];
            match letter.iter().find(|(mark, _)| *mark == c) {
                Some((_, letter)) => escaped.extend([escape, *letter, escape]),
                None => escaped.push(c),
            }
        }
        self.charset.encode(&escaped)
    }

    fn segment(&self, name: &str, fields: &[Vec<u8>]) -> Vec<u8> {
        let separator = self.marks.field as u8;
        let mut bytes = name.as_bytes().to_vec();
        for field in fields {
            bytes.push(separator);
            bytes.extend(field);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::irregular::Kind;
    use super::super::message::Message;
    use super::*;

    fn answer(raw: &[u8], found: &[Irregularity]) -> Option<(String, String)> {
        let header = Header::read(raw).unwrap();
        let ack = Ack {
            header: &header,
            charset: Charset::Utf8,
            control_id: "0123456789abcdefghjkmnpqrs",
            sent: "2024-03-01T13:15:00Z".parse().unwrap(),
            offset: Offset::constant(-5),
        };
        let answer = ack.answer(found)?;
        if header.delimiters().is_ok() {
            Message::parse(&answer.bytes, Charset::Utf8).expect("our own answer parses");
        }
        Some((
            answer.code.to_owned(),
            answer.bytes.iter().map(|b| char::from(*b)).collect::<String>().replace('\r', "\n"),
        ))
    }

    fn check(raw: &[u8], found: &[Irregularity], code: &str, expected: &str) {
        assert_eq!(answer(raw, found), Some((code.to_owned(), expected.to_owned())));
    }

    const EARLY: &[u8] = b"MSH|^~\\&|HIS|H|RED|R|202403010810||ADT^A04|C-7|P|2.3\rPID|1";
    const LATE: &[u8] =
        b"MSH|^~\\&|HIS|H|RED|R|202403010810||ADT^A01^ADT_A01|\xd1-7|T^A|2.5.1^COL|||||COL|8859/1\rPID|1";

    #[test]
    fn accepted() {
        check(
            EARLY,
            &[],
            "AA",
            "MSH|^~\\&|RED|R|HIS|H|20240301081500-0500||ACK^A04|0123456789abcdefghjk|P|2.3\nMSA|AA|C-7\n",
        );
        check(
            LATE,
            &[],
            "AA",
            "MSH|^~\\&|RED|R|HIS|H|20240301081500-0500||ACK^A01^ACK|0123456789abcdefghjk|T^A|2.5.1^COL||||||8859/1\nMSA|AA|\u{d1}-7\n",
        );
    }

    #[test]
    fn errors_say_where_and_what_in_the_form_of_the_version() {
        let missing = Irregularity::at(Kind::Field, Location::field("PV1", 19));
        let event = Irregularity::at(Kind::Event, Location::field("MSH", 9).component(1, 2));
        let warning = Irregularity::new(Kind::OlderEvent);
        let msh = "MSH|^~\\&|RED|R|HIS|H|20240301081500-0500||ACK^A04|0123456789abcdefghjk|P|2.3\n";
        check(
            EARLY,
            &[missing, event],
            "AR",
            &format!(
                "{msh}MSA|AR|C-7|Falta un campo obligatorio.\n\
            ERR|PV1^1^19^101&Required field missing&HL70357~MSH^1^9^201&Unsupported event code&HL70357\n"
            ),
        );
        check(
            EARLY,
            &[warning],
            "AA",
            &format!("{msh}MSA|AA|C-7|El evento es anterior al \u{c3}\u{ba}ltimo aplicado; no se retrocede.\n"),
        );
        let (code, text) =
            answer(LATE, &[missing, event, Irregularity::at(Kind::Structure, Location::line(7)), warning]).unwrap();
        assert_eq!(code, "AR");
        let errors: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            errors,
            [
                "ERR||PV1^1^19|101^Required field missing^HL70357|E|||field|Falta un campo obligatorio.",
                "ERR||MSH^1^9^1^2|201^Unsupported event code^HL70357|E|||event|El evento no est\u{e1} admitido.",
                "ERR|||100^Segment sequence error^HL70357|E|||structure (segment 7)|Una l\u{ed}nea del mensaje no es un segmento.",
                "ERR|||0^Message accepted^HL70357|W|||older-event|El evento es anterior al \u{fa}ltimo aplicado; no se retrocede.",
            ]
        );
    }

    #[test]
    fn headers_that_are_hardly_headers() {
        let error = [Irregularity::new(Kind::Delimiters)];
        let check = |raw: &[u8], start: &str, msa: &str| {
            let (_, text) = answer(raw, &error).unwrap();
            assert!(text.starts_with(start) && text.contains(msa), "{text}");
        };
        check(b"MSH|^^^^|A", "MSH|^~\\&|||A||", "\nMSA|AR||\n".trim_end_matches("|\n"));
        check(b"MSH|", "MSH|^~\\&|||||20240301081500-0500||ACK|", "\nMSA|AR|\n");
        check(b"MSH$%*!@$A$B$C$D$$$ADT%A01$id|7$P$2.5", "MSH$%*!@$C$D$A$B$", "MSA$AR$id|7\n");
        check(b"MSH;:~\\&;A;;;;;;;9;P;2.5", "MSH;:~\\&;;;A;;", "ERR;;;102:Data type error:HL70357;E;;;delimiters;");
        assert_eq!(answer(b"MSH|^~\\&|A|B|C|D|||ACK^A01^ACK|1|P|2.5\rMSA|AA|9", &[]), None);
    }
}
