//! The official cases of JSON Patch and FHIRPath Patch (issue 7, Must show 2), which stand in the data folder.

use crate::harness::data::unpacked;
use crate::harness::skip;
use historia::fhir::format::{self, parse_json};
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
