//! The primitive types over HTTP (issue 7, Must show 3): every valid value of `primitives.tsv` is stored and read back as it
//! was written, every invalid one refused at its place. The values of the data folder are judged the same way.

use crate::harness::data::unpacked;
use crate::harness::{Fhir, fhir, run, skip};
use serde_json::Value;
use std::collections::BTreeSet;

const CASES: &str = include_str!("primitives.tsv");

/// A value of a type, as JSON text.
struct Case {
    kind: String,
    valid: bool,
    literal: String,
}

fn cases() -> Vec<Case> {
    let lines = CASES.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let mut cells = line.splitn(3, '\t');
        let mut cell = || cells.next().expect("three cells").to_owned();
        Case { kind: cell(), valid: cell() == "valid", literal: cell() }
    };
    lines.map(read).collect()
}

/// A Patient that holds the value, as text, and the place of the value. Every type but xhtml may stand in an extension.
fn host(case: &Case) -> (String, String) {
    let literal = &case.literal;
    if case.kind == "xhtml" {
        let text =
            format!(r#"{{"resourceType":"Patient","active":true,"text":{{"status":"generated","div":{literal}}}}}"#);
        return (text, "Patient.text.div".to_owned());
    }
    let (first, rest) = case.kind.split_at(1);
    let name = format!("value{}{rest}", first.to_uppercase());
    let extension = format!(r#"{{"url":"http://example.org/x","{name}":{literal}}}"#);
    let text = format!(r#"{{"resourceType":"Patient","active":true,"extension":[{extension}]}}"#);
    (text, "Patient.extension[0].value".to_owned())
}

/// The issues of an outcome of which one is at the place of the value.
fn is_at(outcome: &Value, place: &str) -> bool {
    let issues = outcome["issue"].as_array().into_iter().flatten();
    issues.filter_map(|issue| issue["expression"][0].as_str()).any(|expression| expression == place)
}

/// Sends the values, many in a batch: what is wrong with the answers.
async fn judged(integracion: &Fhir, cases: &[Case]) -> Vec<String> {
    let mut wrong = Vec::new();
    for some in cases.chunks(200) {
        let entries: Vec<String> = some
            .iter()
            .map(|case| format!(r#"{{"resource":{},"request":{{"method":"POST","url":"Patient"}}}}"#, host(case).0))
            .collect();
        let text = format!(r#"{{"resourceType":"Bundle","type":"batch","entry":[{}]}}"#, entries.join(","));
        let answer = integracion.raw("POST", "", &[], &text).await.expect(200).json();
        for (n, (case, entry)) in some.iter().zip(answer["entry"].as_array().unwrap()).enumerate() {
            let status = entry["response"]["status"].as_str().unwrap();
            let place = host(case).1.replacen("Patient", &format!("Bundle.entry[{n}].resource"), 1);
            let told = match (case.valid, status) {
                (true, "201 Created") => {
                    let location = entry["response"]["location"].as_str().unwrap();
                    let kept = integracion.get(location).await.expect(200).text();
                    // Serialized anew, a string may be escaped otherwise: the value counts; of numbers each digit does.
                    let again: Value = serde_json::from_str(&kept).unwrap();
                    let sent: Value = serde_json::from_str(&host(case).0).unwrap();
                    let same = again["extension"] == sent["extension"] && again["text"] == sent["text"];
                    let digits = case.literal.starts_with('"') || kept.contains(&format!(":{}}}", case.literal));
                    (!(same && digits)).then(|| format!("is not kept: {kept}"))
                }
                (false, "400 Bad Request") if is_at(&entry["response"]["outcome"], &place) => None,
                _ => Some(format!("{status} {}", entry["response"]["outcome"])),
            };
            wrong.extend(told.map(|told| format!("{} {} {}: {told}", case.kind, case.valid, case.literal)));
        }
    }
    wrong
}

#[test]
fn every_value_of_every_primitive_type_is_judged() {
    run(async {
        let cases = cases();
        let types: BTreeSet<&str> = cases.iter().map(|case| case.kind.as_str()).collect();
        assert_eq!(types.len(), 20, "R4 has 20 primitive types: {types:?}");
        for kind in types {
            for valid in [true, false] {
                assert!(cases.iter().any(|case| case.kind == kind && case.valid == valid), "{kind} {valid}");
            }
        }
        assert!(cases.len() > 250, "{}", cases.len());
        let wrong = judged(&fhir("integracion").await, &cases).await;
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
        println!("{} values of {} types", cases.len(), 20);
    });
}

/// What is no JSON can stand in no batch.
#[test]
fn what_is_no_json_is_refused_at_the_place_of_the_value() {
    run(async {
        let integracion = fhir("integracion").await;
        for literal in
            ["+1", "01", ".5", "1.", "0x1", "NaN", "Infinity", "-", "1e", "1_000", "'a'", "TRUE", "undefined"]
        {
            let case = Case { kind: "decimal".to_owned(), valid: false, literal: literal.to_owned() };
            let (text, _) = host(&case);
            let reply = integracion.raw("POST", "Patient", &[], &text).await.refused(400, "structure");
            let places = reply.expressions();
            assert!(places.iter().any(|place| place.starts_with("Patient.extension[0]")), "{literal}: {places:?}");
        }
    });
}

/// Values that the folder calls valid and R4 does not, or that say nothing without their place.
const NO_VALUES: [(&str, &str); 2] = [
    // A property that is null is not in the JSON of R4: null holds a place in an array whose sibling has extensions.
    ("", "null"),
    // "Attributes SHALL never be empty", and txt-2.
    ("xhtml", "\"\""),
];

#[test]
fn the_values_of_others_are_judged_as_they_say() {
    run(async {
        let Some(folder) = unpacked("primitive-values") else {
            return skip("the_values_of_others_are_judged_as_they_say", "the data folder is not there");
        };
        let mut cases = Vec::new();
        let mut no_json = Vec::new();
        for kind in cases_types() {
            let snake: String = kind
                .chars()
                .flat_map(|c| if c.is_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] })
                .collect();
            let file = if kind == "base64Binary" { "base64_binary".to_owned() } else { snake };
            for valid in [true, false] {
                let path = folder.join(format!("validation/{file}.{}.ndjson", if valid { "valid" } else { "invalid" }));
                let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                for literal in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                    let is_none = |(of, value): &(&str, &str)| (of.is_empty() || *of == kind) && *value == literal;
                    if valid && NO_VALUES.iter().any(is_none) {
                        continue;
                    }
                    let case = Case { kind: kind.clone(), valid, literal: literal.to_owned() };
                    match serde_json::from_str::<Value>(literal) {
                        Ok(_) => cases.push(case),
                        Err(_) => no_json.push(case),
                    }
                }
            }
        }
        let integracion = fhir("integracion").await;
        let wrong = judged(&integracion, &cases).await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for case in &no_json {
            assert!(!case.valid, "{} {}", case.kind, case.literal);
            integracion.raw("POST", "Patient", &[], &host(case).0).await.refused(400, "structure");
        }
        assert!(cases.len() > 90, "{}", cases.len());
        println!("{} values of the data folder", cases.len() + no_json.len());
    });
}

fn cases_types() -> BTreeSet<String> {
    cases().into_iter().map(|case| case.kind).collect()
}
