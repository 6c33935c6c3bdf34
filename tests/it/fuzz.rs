//! Mutated texts at everything that reads what others send (issue 7, Must show 8), in process: `make proof NAME=fuzz-fhir`.
//!
//! Failures: a panic, an error that is ours (5xx), and a text that says something else after it went through the other
//! format. What is refused is refused.

use crate::harness::proof::{Proof, Random};
use actix_web::test::TestRequest;
use historia::error::Error;
use historia::fhir::definitions::{ResourceType, r4};
use historia::fhir::format::{Format, Limits, media, parse_json, parse_xml, pretty_json, to_xml, xhtml};
use historia::fhir::outcome;
use historia::fhir::resource::semantically_equal;
use historia::fhir::validate::validate;
use historia::http::negotiate;
use historia::http::shape::Shape;
use historia::interaction::request::{self, Conditions, Method};
use historia::search::hash::Hasher;
use historia::search::page::Binding;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

const PATIENT: &str = r##"{"resourceType":"Patient","id":"p1","meta":{"versionId":"1","tag":[{"code":"a&b"}]},"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">a <b>ñ</b> &lt;<br/></div>"},"contained":[{"resourceType":"Organization","id":"o","name":"x"}],"extension":[{"url":"urn:e","valueDecimal":1.10},{"extension":[{"url":"i","valueBoolean":true}],"url":"urn:n"}],"name":[{"id":"n1","family":"Gómez\n\t😀","given":["Ana",null],"_given":[null,{"extension":[{"url":"urn:a","valueCode":"masked"}]}]}],"gender":"female","_birthDate":{"extension":[{"url":"urn:b","valueDateTime":"1970-01-02T03:04:05.6-05:00"}]},"managingOrganization":{"reference":"#o"}}"##;
const OBSERVATION: &str = r#"{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"29463-7"}]},"subject":{"reference":"Patient/1"},"effectivePeriod":{"start":"2026-01-02","end":"2026-01"},"valueQuantity":{"value":72.50,"unit":"kg","system":"http://unitsofmeasure.org","code":"kg"},"referenceRange":[{"low":{"value":-1.0E-2}}]}"#;
const BUNDLE: &str = r#"{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:8f9d6f5e-6d0d-4d6a-a3b4-1d2e3f405162","resource":{"resourceType":"Basic","code":{"text":"x"}},"request":{"method":"POST","url":"Basic","ifNoneExist":"code=x"}},{"request":{"method":"GET","url":"Patient/1/Observation?code=a%7Cb&_count=5"}},{"request":{"method":"DELETE","url":"Basic/1"}},{"resource":{"resourceType":"Basic","id":"1","code":{"text":"y"}},"request":{"method":"PUT","url":"Basic/1","ifMatch":"W/\"3\""}}]}"#;

/// Pieces that readers stumble over.
const PIECES: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "true",
    "-0",
    "1e999",
    "1E+2",
    "0.10",
    "\\u0000",
    "\\ud800",
    "\\uD83D\\uDE00",
    "\"resourceType\":\"Patient\"",
    "\"_id\":{}",
    "\"id\":\"x\"",
    "<",
    ">",
    "/>",
    "</",
    "<!--",
    "-->",
    "--",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE x [<!ENTITY a \"b\">]>",
    "<?xml version=\"1.0\"?>",
    "<?x ?>",
    "&amp;",
    "&lt;",
    "&#0;",
    "&#x1F600;",
    "&nbsp;",
    "&",
    ";",
    "xmlns=\"http://hl7.org/fhir\"",
    "xmlns=\"http://www.w3.org/1999/xhtml\"",
    "xmlns:f=\"http://hl7.org/fhir\"",
    "f:",
    " id=\"a\"",
    " value=\"a\"",
    " url=\"u\"",
    "<extension url=\"u\"><valueString value=\"v\"/></extension>",
    "<given value=\"x\"/>",
    "\u{FEFF}",
    "\u{FFFE}",
    "\u{0}",
    "\u{1}",
    "é",
    "😀",
    "\r\n",
    "\t",
    " ",
    "%",
    "%00",
    "%C3",
    "+",
    "=",
    "?",
    "|",
    "$",
    "\\",
    "/",
    "../",
    "_history",
    "$everything",
    "_search",
    "*",
    "W/\"1\"",
    "\"",
    "q=0.5",
    "q=",
    "application/fhir+xml",
    "*/*",
    "fhirVersion=4.0",
    "charset=utf-8",
    "return=minimal",
    "handling=lenient",
    "9223372036854775808",
    "-1",
    "2026-02-30",
    "2026-13",
    "T24:00:00Z",
];

/// A mutated copy: a few changes of bytes, pieces, parts and repetitions.
fn mutated(random: &mut Random, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut text = seed.to_vec();
    let most = random.below(4);
    for _ in 0..=random.below(most + 1) {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(24)).min(text.len());
        match random.below(9) {
            0 if at < text.len() => text[at] = (random.next() & 0xFF) as u8,
            1 | 2 => drop(text.splice(at..at, random.of(PIECES).bytes())),
            3 => drop(text.splice(at..end, random.of(PIECES).bytes())),
            4 => drop(text.drain(at..end)),
            5 => {
                let part = text[at..end].to_vec();
                drop(text.splice(end..end, part));
            }
            6 => {
                let from = random.below(other.len() + 1);
                let to = (from + random.below(60)).min(other.len());
                drop(text.splice(at..at, other[from..to].iter().copied()));
            }
            7 if random.below(40) == 0 => {
                let piece = *random.of(&["[", "{\"a\":", "<name>", "<extension url=\"u\">", "<b>", "9", "&amp;"]);
                drop(text.splice(at..at, piece.repeat(300).bytes()));
            }
            8 if random.below(4) == 0 => text.truncate(at),
            _ => {}
        }
    }
    text
}

/// What a reader said, judged: only an error of ours is a failure.
fn told<T>(result: Result<T, Error>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if outcome::status(error.kind) < 500 => {
            outcome::to_bytes(&error);
            Ok(None)
        }
        Err(error) => Err(format!("{:?}: {error}", error.kind)),
    }
}

/// A resource that was read says the same in the other format; a valid one can be said in it.
fn in_both(world: &World, value: &Value) -> Result<(), String> {
    let limits = &world.limits;
    world.read.fetch_add(1, Ordering::Relaxed);
    let Some(t) = value["resourceType"].as_str().and_then(ResourceType::parse) else { return Ok(()) };
    let valid = validate(r4(), t, value, 1 << 20).is_empty();
    world.valid.fetch_add(u64::from(valid), Ordering::Relaxed);
    let text = value.to_string();
    parse_json(&pretty_json(text.as_bytes()), limits).map_err(|e| format!("its pretty form: {e}"))?;
    let written = match told(to_xml(text.as_bytes(), false))? {
        Some(written) => written,
        None if valid => return Err(format!("valid, and not to be written as XML: {text}")),
        None => return Ok(()),
    };
    match parse_xml(&written, limits) {
        Ok(back) if !valid || semantically_equal(&back, &declared(value)) => Ok(()),
        Ok(_) => Err(format!("something else in XML: {text}")),
        Err(e) if valid => Err(format!("valid, and its XML is refused: {e}: {text}")),
        Err(_) => Ok(()),
    }
}

/// A resource whose narratives declare their namespace: what XML wants, and adds.
fn declared(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let div = value.as_str().filter(|_| name == "div").and_then(|div| xhtml::in_xml(div).ok());
                (name.clone(), div.map_or_else(|| declared(value), |div| Value::String(div.into_owned())))
            };
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(declared).collect()),
        other => other.clone(),
    }
}

/// What a worker holds.
struct World {
    json: Vec<Vec<u8>>,
    xml: Vec<Vec<u8>>,
    hasher: Hasher,
    token: String,
    limits: Limits,
    /// Texts that were read in spite of their mutations, and those of valid resources.
    read: AtomicU64,
    valid: AtomicU64,
}

const HEADERS: &[&str] = &[
    "application/fhir+xml;q=0.9, application/fhir+json; fhirVersion=4.0, */*;q=0.1",
    "application/fhir+json; charset=\"utf-8\"",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "return=representation; handling=lenient, respond-async",
    "W/\"3\", \"x\"",
    "Tue, 24 Nov 2026 18:00:00 GMT",
    "code=http://loinc.org|29463-7&date=ge2026",
];
const PATHS: &[&str] = &[
    "Patient/1/_history/2",
    "Patient?name:exact=a%20b&birthdate=ge1970-01&_sort=-_id&_count=5",
    "Patient/1/$everything?_since=2026-01-01T00:00:00Z&_type=Observation",
    "Observation/_search",
    "Encounter/1/*?_page=abc",
    "",
    "_history?_since=2026&_at=2026",
];

impl World {
    fn new() -> World {
        let json: Vec<Vec<u8>> = [PATIENT, OBSERVATION, BUNDLE].map(|text| text.as_bytes().to_vec()).to_vec();
        let xml = json.iter().map(|text| to_xml(text, false).unwrap()).collect();
        let hasher = Hasher::new([7; 16]);
        let mut world = World {
            json,
            xml,
            hasher,
            token: String::new(),
            limits: Limits::default(),
            read: AtomicU64::new(0),
            valid: AtomicU64::new(0),
        };
        let last = historia::search::query::Cursor { values: vec!["a".to_owned()], id: "b".to_owned() };
        world.token = world.binding().token(&last).unwrap();
        world
    }

    fn binding(&self) -> Binding<'_> {
        Binding {
            hasher: &self.hasher,
            actor: "a",
            place: "Patient",
            parameters: &[],
            now: Timestamp::constant(1_790_000_000, 0),
        }
    }

    /// One input; what is wrong with what became of it.
    fn one(&self, random: &mut Random) -> Result<(), String> {
        match random.below(10) {
            0..=2 => self.json(random),
            3..=5 => self.xml(random),
            6 => self.bundle(random),
            7 => self.narrative(random),
            8 => self.address(random),
            _ => self.headers(random),
        }
    }

    fn json(&self, random: &mut Random) -> Result<(), String> {
        let (seed, other) = (random.of(&self.json), random.of(&self.xml));
        let text = mutated(random, seed, other);
        match told(parse_json(&text, &self.limits))? {
            Some(value) => in_both(self, &value),
            None => Ok(()),
        }
    }

    fn xml(&self, random: &mut Random) -> Result<(), String> {
        let (seed, other) = (random.of(&self.xml), random.of(&self.json));
        let text = mutated(random, seed, other);
        match told(parse_xml(&text, &self.limits))? {
            Some(value) => in_both(self, &value),
            None => Ok(()),
        }
    }

    fn bundle(&self, random: &mut Random) -> Result<(), String> {
        let other = random.of(&self.json);
        let text = mutated(random, BUNDLE.as_bytes(), other);
        let Some(value) = told(parse_json(&text, &self.limits))? else { return Ok(()) };
        for entry in value["entry"].as_array().into_iter().flatten() {
            let request = &entry["request"];
            let Some(method) = request["method"].as_str().and_then(Method::parse) else { continue };
            let text = |name: &str| request[name].as_str().map(str::to_owned);
            let conditions = Conditions {
                if_match: text("ifMatch"),
                if_none_exist: text("ifNoneExist"),
                if_none_match: text("ifNoneMatch"),
                ..Conditions::default()
            };
            let url = request["url"].as_str().unwrap_or_default();
            let (path, query) = url.split_once('?').unwrap_or((url, ""));
            told(request::parse(method, path, query, &conditions, entry.get("resource").cloned()))?;
        }
        told(request::parse(Method::Post, "", "", &Conditions::default(), Some(value)))?;
        Ok(())
    }

    fn narrative(&self, random: &mut Random) -> Result<(), String> {
        let seed: &[u8] = b"<div xmlns=\"http://www.w3.org/1999/xhtml\" lang='es'><p>a &lt; b&amp;&#160;<a href=\"#x\">c</a><br/></p></div>";
        let other = random.of(&self.xml);
        let text = String::from_utf8_lossy(&mutated(random, seed, other)).into_owned();
        if xhtml::check(&text).is_err() {
            return Ok(());
        }
        let resource = json!({"resourceType": "Basic", "text": {"status": "generated", "div": text}});
        let xml = to_xml(resource.to_string().as_bytes(), false).map_err(|e| format!("{e}: {text}"))?;
        parse_xml(&xml, &self.limits).map(drop).map_err(|e| format!("{e}: {text}"))
    }

    fn address(&self, random: &mut Random) -> Result<(), String> {
        let (seed, other) = (random.of(PATHS), random.of(HEADERS));
        let address = mutated(random, seed.as_bytes(), other.as_bytes());
        let address = String::from_utf8_lossy(&address).into_owned();
        let (path, query) = address.split_once('?').unwrap_or((&address, ""));
        let method = *random.of(&[Method::Get, Method::Post, Method::Put, Method::Delete]);
        let body = (random.below(2) == 0).then(|| json!({"resourceType": "Patient"}));
        told(request::parse(method, path, query, &Conditions::default(), body))?;
        if let Some(pairs) = told(request::pairs(query))?
            && let Some((_, token)) = pairs.iter().find(|(name, _)| name == "_page")
        {
            self.binding().read(token);
        }
        let token = mutated(random, self.token.as_bytes(), b"AAAA");
        self.binding().read(&String::from_utf8_lossy(&token));
        Ok(())
    }

    fn headers(&self, random: &mut Random) -> Result<(), String> {
        let (seed, other) = (random.of(HEADERS), random.of(PIECES));
        let text = mutated(random, seed.as_bytes(), other.as_bytes());
        let text = String::from_utf8_lossy(&text).into_owned();
        told(media::named(&text))?;
        told(media::accepted(&text))?;
        let sent = told(media::sent(&text))?;
        if sent == Some(Format::Xml) && !text.to_ascii_lowercase().contains("xml") {
            return Err(format!("no XML: {text}"));
        }
        let condition =
            Conditions { if_match: Some(text.clone()), if_none_exist: Some(text.clone()), ..Conditions::default() };
        told(request::parse(Method::Delete, "Patient/1", "", &condition, None))?;
        told(request::parse(Method::Post, "Patient", "", &condition, Some(json!({"resourceType": "Patient"}))))?;
        let condition = Conditions { if_none_match: Some(text.clone()), ..Conditions::default() };
        told(request::parse(Method::Get, "Patient/1", "", &condition, None))?;
        // Only what a header can hold reaches those that read it.
        let plain: String = text.chars().filter(|c| matches!(c, ' '..='~')).collect();
        let mut request = TestRequest::default();
        for name in ["accept", "prefer", "content-type", "accept-encoding"] {
            request = request.insert_header((name, plain.as_str()));
        }
        let request = request.to_http_request();
        told(Shape::wanted(&request, &[]))?;
        told(negotiate::sends(&request))?;
        negotiate::is_lenient(&request);
        negotiate::prefers(&request);
        Ok(())
    }
}

/// Inputs of one worker between two looks at the clock.
const ROUND: u64 = 2_000;

#[test]
fn proof_fuzz_fhir() {
    let mut proof = Proof::new("fuzz-fhir", 20_261_124, 20_000, 10_000_000);
    let workers = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let world = World::new();
    let mut rounds = 0;
    while proof.goes_on() && proof.failures() < 20 {
        let seed = proof.seed ^ (rounds << 32);
        let failures: Vec<String> = std::thread::scope(|scope| {
            let work = |worker: u64| {
                let world = &world;
                scope.spawn(move || {
                    let mut random = Random(seed.wrapping_add(worker.wrapping_mul(0x1234_5678_9abc_def1)));
                    let mut failures = Vec::new();
                    for _ in 0..ROUND {
                        // The input of a failure can be made again from its state.
                        let state = random.0;
                        let result = catch_unwind(AssertUnwindSafe(|| world.one(&mut random)));
                        if let Err(what) = result.unwrap_or_else(|_| Err("a panic".to_owned())) {
                            failures.push(format!("state {state}: {what}"));
                        }
                    }
                    failures
                })
            };
            let threads: Vec<_> = (0..workers).map(work).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        failures.iter().for_each(|what| proof.failed(what));
        proof.done(ROUND * workers);
        rounds += 1;
    }
    let (read, valid) = (world.read.into_inner(), world.valid.into_inner());
    // Mutations that nothing survives would prove nothing.
    assert!(read > proof.n() / 20 && valid > proof.n() / 50, "{read} read, {valid} valid");
    let mix = "JSON 3/10, XML 3/10, Bundles, narratives, addresses and page tokens, headers 1/10 each";
    proof.ends(json!({"inputs": mix, "read": read, "valid": valid}));
}
