use super::*;
use std::path::PathBuf;
use std::process::Command;

const HEAD: &str = "MSH|^~\\&|HIS|HOSP|||20240101||ADT^A08|1|P|2.5||||||";

fn message(body: &str) -> Message {
    Message::parse(format!("{HEAD}\r{body}").as_bytes(), Charset::Utf8).unwrap()
}

#[test]
fn fields_are_counted_as_hl7_counts() {
    let message = message("PID|1||A^B&C~D|\"\"|");
    assert_eq!(message.field("MSH", 1).raw(), "|");
    assert_eq!(message.field("MSH", 2).raw(), "^~\\&");
    assert_eq!(message.field("MSH", 3).text().as_deref(), Some("HIS"));
    assert_eq!(message.field("MSH", 9).first().text(2).as_deref(), Some("A08"));
    let field = message.field("PID", 3);
    assert_eq!(field.first().component(2).text(2).as_deref(), Some("C"));
    assert_eq!(field.repetitions().map(|(n, part)| (n, part.text(1).unwrap())).last(), Some((2, "D".to_owned())));
    assert_eq!(message.field("PID", 4).value(), Value::Null);
    assert!(message.field("PID", 4).is_null());
    assert_eq!(message.field("PID", 5).value(), Value::Absent);
    assert_eq!(message.field("PID", 0).value(), Value::Absent);
    assert_eq!(message.field("PID", 99).value(), Value::Absent);
    assert_eq!(message.field("ZZZ", 1).value(), Value::Absent);
}

#[test]
fn the_truncation_mark_shifts_nothing_and_comes_back() {
    let raw = "MSH|^~\\&#|HIS|HOSP|||20240101||ADT^A08|1|P|2.7\rPV2\rPID|1\r";
    let message = Message::parse(raw.as_bytes(), Charset::Utf8).unwrap();
    assert_eq!(message.field("MSH", 3).raw(), "HIS");
    assert_eq!(message.field("PID", 1).raw(), "1");
    assert_eq!(message.encode(), raw.replace("PV2", "PV2|"));
}

#[test]
fn escapes_become_text() {
    let check = |raw: &str, expected: &str| {
        let message = message(&format!("PID|{raw}"));
        assert_eq!(message.field("PID", 1).text().as_deref(), Some(expected), "{raw}");
    };
    check(r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f");
    check(r"Ñ\.br\ñ", "Ñ\nñ");
    check(r"\XC391\o\XC3B1\o", "Ñoño");
    check(r"\H\á\N\", "á");
    check(r"caf\P\é", "caf#é");
    // Unknown, open, invalid: kept.
    check(r"\Zx\ é", r"\Zx\ é");
    check(r"a\b", r"a\b");
    check(r"é\", r"é\");
    check(r"\XC3\ \XZZ\ \X0\", r"\XC3\ \XZZ\ \X0\");
    check(r"a\X00\b", r"a\X00\b");
}

#[test]
fn other_delimiters_work() {
    let raw = b"MSH$%*!@$HIS$H$$$2024$$ADT%A01$1$P$2.5\rPID$$$A%B@C*D!S!E";
    let message = Message::parse(raw, Charset::Utf8).unwrap();
    assert_eq!(message.header.event(), "A01");
    let last = message.field("PID", 3).repetitions().last().unwrap().1;
    assert_eq!(last.text(1).as_deref(), Some("D%E"));
    assert_eq!(message.field("PID", 3).first().component(2).text(2).as_deref(), Some("C"));
}

#[test]
fn what_is_not_one_message_is_refused() {
    let check = |raw: &[u8], expected: Kind| {
        let found = Message::parse(raw, Charset::Utf8).map(|_| ()).map_err(|irregularity| irregularity.kind);
        assert_eq!(found, Err(expected), "{}", String::from_utf8_lossy(raw));
    };
    check(b"", Kind::NoHeader);
    check(b"PID|1", Kind::NoHeader);
    check(b"FHS|^~\\&|\rMSH|^~\\&|", Kind::NoHeader);
    check(b"MSH|^~|A", Kind::Delimiters);
    let with = |body: &[u8]| [HEAD.as_bytes(), b"\r", body].concat();
    check(&with(b"PID|1\rMSH|^~\\&|B"), Kind::SecondHeader);
    check(&with(b"PID|1\rPIDX|1\rPV1|1"), Kind::Structure);
    check(&with(b"PID|1\r1ID|1"), Kind::Structure);
    check(&with("PI\u{d1}|1".as_bytes()), Kind::Structure);
    check(&with(b"hello"), Kind::Structure);
    check(&with(b"OBX|1|TX|a\nb"), Kind::Structure);
    check(&with(b"PID|NU\xd1EZ"), Kind::Encoding);
    check(&with(b"PID|a\x00"), Kind::ControlCharacter);
    check(&with("PID|a\u{85}".as_bytes()), Kind::ControlCharacter);
    check(&with(format!("PID{}", "|".repeat(501)).as_bytes()), Kind::TooLarge);
    check(&with(format!("PID|{}", "&".repeat(300_001)).as_bytes()), Kind::TooLarge);
    check(&with(format!("PID|{}", "~".repeat(1_000)).as_bytes()), Kind::TooLarge);
    check(&with("ZZZ|1\r".repeat(10_000).as_bytes()), Kind::TooLarge);
    let declared = |charset: &str| format!("{HEAD}{charset}\rPID|NU\u{d1}EZ");
    check(declared("UNICODE UTF-16").as_bytes(), Kind::Charset);
    check(declared("ASCII").as_bytes(), Kind::Encoding);
}

#[test]
fn the_character_set_of_the_message_wins() {
    let check = |charset: &str, default: Charset, name: &[u8]| {
        let raw = [HEAD.as_bytes(), charset.as_bytes(), b"\rPID|", name, b"\r"].concat();
        let message = Message::parse(&raw, default).unwrap();
        assert_eq!(message.field("PID", 1).text().as_deref(), Some("Muñoz"), "{charset}");
    };
    check("8859/1", Charset::Utf8, b"Mu\xf1oz");
    check("8859/1", Charset::Utf8, b"Mu\\XF1\\oz");
    check("UNICODE UTF-8", Charset::Latin1, "Muñoz".as_bytes());
    check("", Charset::Latin1, b"Mu\xf1oz");
    check("", Charset::Utf8, "Muñoz".as_bytes());
}

/// The 113 messages of the data folder, unpacked into a folder of their own; `None` when they are not there.
fn real_messages(test: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let shared = std::env::var("HISTORIA_SHARED").unwrap_or_else(|_| "../shared".to_owned());
    let archive = PathBuf::from(shared).join("data/hl7v2-messages.tar.zst");
    let folder = std::env::temp_dir().join(format!("historia-hl7-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).ok()?;
    let unpacked = archive.is_file()
        && Command::new("tar")
            .args(["--zstd", "-xf"])
            .arg(&archive)
            .arg("-C")
            .arg(&folder)
            .status()
            .is_ok_and(|status| status.success());
    let mut messages = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).ok()?.flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|ext| ext == "hl7") => {
                    messages.push((path.display().to_string(), std::fs::read(&path).ok()?));
                }
                _ => {}
            }
        }
    }
    std::fs::remove_dir_all(&folder).ok();
    if !unpacked || messages.is_empty() {
        println!("SKIP {test}: no hl7v2-messages.tar.zst under HISTORIA_SHARED");
        return None;
    }
    Some(messages)
}

/// A fixed sequence of numbers, so that a failure comes back.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

#[test]
fn real_messages_parse_with_every_line_ending_and_come_back() {
    let Some(messages) = real_messages("real_messages_parse_with_every_line_ending_and_come_back") else { return };
    let mut count = 0;
    for (name, raw) in &messages {
        let text = String::from_utf8(raw.clone()).unwrap().replace("\r\n", "\r").replace('\n', "\r");
        let parsed: Vec<Message> = ["\r", "\n", "\r\n"]
            .map(|ending| {
                Message::parse(text.replace('\r', ending).as_bytes(), Charset::Utf8)
                    .unwrap_or_else(|e| panic!("{name}: {e:?}"))
            })
            .into();
        let encoded = parsed[0].encode();
        assert!(parsed.iter().all(|message| message.encode() == encoded), "{name}");
        let lines: Vec<&str> = text.split('\r').filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(encoded.trim_end_matches('\r').split('\r').collect::<Vec<_>>(), lines, "{name}");
        assert_eq!(Message::parse(encoded.as_bytes(), Charset::Utf8).unwrap().encode(), encoded, "{name}");
        count += 1;
    }
    println!("{count} real messages parsed with CR, LF and CRLF");
}

#[test]
fn broken_messages_never_panic() {
    let examples = [
        include_bytes!("../../../examples/hl7v2/01-ingreso-a01.hl7").as_slice(),
        include_bytes!("../../../examples/hl7v2/05-iso-8859-1-a04.hl7").as_slice(),
    ];
    let mut random = Sequence(7);
    let (mut read, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut raw = examples[round % examples.len()].to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(raw.len());
            match random.below(4) {
                0 => raw.truncate(at + 1),
                1 => raw[at] = random.below(256) as u8,
                2 => drop(raw.remove(at)),
                _ => raw.insert(at, *b"|^~\\&\r\n\"MSHX\xd1".get(random.below(13)).unwrap()),
            }
            if raw.is_empty() {
                raw.push(b'M');
            }
        }
        match Message::parse(&raw, Charset::Utf8) {
            Ok(message) => {
                read += 1;
                let encoded = message.encode();
                let again = Message::parse(&message.charset().encode(&encoded), message.charset()).unwrap();
                assert_eq!(again.encode(), encoded);
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
}
