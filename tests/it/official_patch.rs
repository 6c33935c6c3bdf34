//! The official cases of JSON Patch, FHIRPath Patch and XML Patch (issue 7, Must show 2), which stand in the data folder.

use crate::harness::data::unpacked;
use crate::harness::skip;
use historia::fhir::definitions::ResourceType;
use historia::fhir::format::{self, parse_json, parse_xml};
use historia::fhir::patch::{Limits, Patch};
use serde_json::Value;

const LIMITS: Limits = Limits { operations: 1_000, depth: 64, bytes: 1 << 20 };

#[test]
fn json_patch_cases() {
    let Some(folder) = unpacked("fhir-test-cases-r4") else {
        return skip("json_patch_cases", "no fhir-test-cases-r4 in HISTORIA_SHARED");
    };
    let text = std::fs::read(folder.join("patch/json-patch-tests.json")).expect("the cases");
    let cases = parse_json(&text, &format::Limits::default()).expect("JSON");
    let cases = cases.as_array().unwrap();
    for case in cases {
        let name = case["comment"].as_str().unwrap();
        let patched =
            Patch::json(case["patch"].clone(), &LIMITS).and_then(|patch| patch.change(case["doc"].clone(), &LIMITS));
        match (&case["expected"], patched) {
            (Value::Null, Err(_)) => assert!(case["error"].is_string(), "{name}"),
            (expected, Ok(patched)) => assert_eq!(*expected, patched, "{name}"),
            (_, Err(error)) => panic!("{name}: {error}"),
        }
    }
    assert_eq!(cases.len(), 16);
}

/// The texts of the elements `<name ..>..</name>`, with their start tags.
fn elements<'t>(text: &'t str, name: &str) -> Vec<(&'t str, &'t str)> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let parts = text.split(open.as_str()).skip(1);
    parts
        .filter_map(|part| {
            let (tag, rest) = part.split_once('>')?;
            Some((tag, rest.split_once(close.as_str()).map_or("", |(inside, _)| inside)))
        })
        .collect()
}

fn of_case<'t>(case: &'t str, name: &str) -> Option<&'t str> {
    elements(case, name).first().map(|(_, inside)| inside.trim())
}

#[test]
fn fhirpath_patch_cases() {
    let Some(folder) = unpacked("fhir-test-cases-r4") else {
        return skip("fhirpath_patch_cases", "no fhir-test-cases-r4 in HISTORIA_SHARED");
    };
    let text = std::fs::read_to_string(folder.join("patch/fhir-patch-tests.xml")).expect("the cases");
    let patient = ResourceType::parse("Patient").unwrap();
    let read = |text: &str| parse_xml(text.as_bytes(), &format::Limits::default());
    let cases = elements(&text, "case");
    for (name, case) in &cases {
        let (input, diff) = (of_case(case, "input").unwrap(), of_case(case, "diff").unwrap());
        let resource = read(input).unwrap_or_else(|e| panic!("{name}: {e}"));
        let patched = read(diff)
            .and_then(|parameters| Patch::fhirpath(&parameters, &LIMITS))
            .and_then(|patch| patch.apply(patient, resource, &LIMITS));
        match (of_case(case, "output"), patched) {
            (Some(output), Ok(patched)) => {
                let expected = read(output).unwrap_or_else(|e| panic!("{name}: {e}"));
                // A div as text may spell its line ends and quotes otherwise than one as elements.
                let shown = |value: &Value| value.to_string().replace(r"\r\n", r"\n").replace("&quot;", r#"\""#);
                let shown = |value: &Value| serde_json::from_str::<Value>(&shown(value)).unwrap();
                assert_eq!(shown(&patched), shown(&expected), "{name}");
            }
            (None, Err(_)) => {}
            (None, Ok(patched)) => panic!("{name}: {patched}"),
            (Some(_), Err(error)) => panic!("{name}: {error}"),
        }
    }
    assert_eq!(cases.len(), 33);
}

/// Cases that select comments: a resource that is stored has none.
const COMMENTS: [&str; 2] = ["A.9.  Replacing a Comment Node", "A.15.  Removing a Comment Node"];

#[test]
fn xml_patch_cases() {
    let Some(folder) = unpacked("fhir-test-cases-r4") else {
        return skip("xml_patch_cases", "no fhir-test-cases-r4 in HISTORIA_SHARED");
    };
    let text = std::fs::read_to_string(folder.join("patch/xml-patch-tests.xml")).expect("the cases");
    // Cases that the file itself leaves out stand in comments.
    let mut kept = String::new();
    for (n, part) in text.split("<!--").enumerate() {
        let hidden = part.split_once("-->").filter(|(hidden, _)| hidden.contains("<case"));
        match (n, hidden) {
            (0, _) => kept.push_str(part),
            (_, Some((_, rest))) => kept.push_str(rest),
            (_, None) => {
                kept.push_str("<!--");
                kept.push_str(part);
            }
        }
    }
    // Without the white space between elements, which stays where something is removed.
    let plain = |text: &str| text.replace("<!-- comment -->", "").split('\n').map(str::trim).collect::<String>();
    let empty = Patch::xml(br#"<diff><add sel="*"></add></diff>"#, &LIMITS).unwrap();
    let cases = elements(&kept, "case");
    let mut refused = Vec::new();
    for (tag, case) in &cases {
        let name = tag.trim().trim_start_matches("name=\"").trim_end_matches('"');
        let (attributes, patch) = *elements(case, "patch").first().unwrap();
        let patch = format!("<patch{attributes}>{patch}</patch>");
        let target = of_case(case, "target").unwrap();
        let patched = Patch::xml(patch.as_bytes(), &LIMITS).and_then(|patch| patch.change_xml(target));
        match (of_case(case, "patched"), patched) {
            (Some(expected), Ok(patched)) => {
                let shown = |text: &str| empty.change_xml(&plain(text)).unwrap();
                assert_eq!(shown(&patched), shown(expected), "{name}");
            }
            (None, Err(_)) => {}
            (None, Ok(patched)) => panic!("{name}: {patched}"),
            (Some(_), Err(_)) => refused.push(name),
        }
    }
    assert_eq!(refused, COMMENTS);
    assert!(cases.len() > 20, "{}", cases.len());
}
