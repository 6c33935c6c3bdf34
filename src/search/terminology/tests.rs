//! Value sets and hierarchies, each expectation from the words of R4 (<https://hl7.org/fhir/R4/valueset.html#compositions>).

use super::*;
use crate::fhir::definitions::r4;
use serde_json::json;

fn held() -> Held {
    let animals = json!({"resourceType": "CodeSystem", "url": "urn:animals", "content": "complete", "concept": [
        {"code": "mammal", "concept": [{"code": "dog", "concept": [{"code": "poodle"}]}, {"code": "cat"}]},
        {"code": "bird"},
        {"code": "parrot", "property": [{"code": "parent", "valueCode": "bird"}]}
    ]});
    let part =
        json!({"resourceType": "CodeSystem", "url": "urn:part", "content": "fragment", "concept": [{"code": "a"}]});
    let places = json!({"resourceType": "CodeSystem", "url": "urn:places", "content": "complete", "hierarchyMeaning": "part-of",
        "concept": [{"code": "house", "concept": [{"code": "room"}]}]});
    let set = |compose: Value| Some(json!({"resourceType": "ValueSet", "compose": compose}));
    Held::from([
        (Wanted::CodeSystem("urn:animals".into()), Some(animals)),
        (Wanted::CodeSystem("urn:part".into()), Some(part)),
        (Wanted::CodeSystem("urn:places".into()), Some(places)),
        (Wanted::CodeSystem("urn:none".into()), None),
        (Wanted::ValueSet("urn:none".into()), None),
        (
            Wanted::ValueSet("listed".into()),
            set(
                json!({"include": [{"system": "urn:x", "concept": [{"code": "1"}, {"code": "2"}]}, {"system": "urn:y", "concept": [{"code": "1"}]}]}),
            ),
        ),
        (Wanted::ValueSet("whole".into()), set(json!({"include": [{"system": "urn:animals"}]}))),
        (
            Wanted::ValueSet("dogs".into()),
            set(
                json!({"include": [{"system": "urn:animals", "filter": [{"property": "concept", "op": "is-a", "value": "dog"}]}]}),
            ),
        ),
        (
            Wanted::ValueSet("under".into()),
            set(
                json!({"include": [{"system": "urn:animals", "filter": [{"property": "concept", "op": "descendent-of", "value": "mammal"}]}],
            "exclude": [{"system": "urn:animals", "concept": [{"code": "cat"}]}]}),
            ),
        ),
        (
            Wanted::ValueSet("both".into()),
            set(json!({"include": [{"valueSet": ["whole", "dogs"]}, {"valueSet": ["listed"]}]})),
        ),
        (Wanted::ValueSet("circle".into()), set(json!({"include": [{"valueSet": ["circle"]}]}))),
        (
            Wanted::ValueSet("regex".into()),
            set(
                json!({"include": [{"system": "urn:animals", "filter": [{"property": "code", "op": "regex", "value": "d.*"}]}]}),
            ),
        ),
        (Wanted::ValueSet("fragment".into()), set(json!({"include": [{"system": "urn:part"}]}))),
        (Wanted::ValueSet("missing".into()), set(json!({"include": [{"system": "urn:none"}]}))),
        (Wanted::ValueSet("outside".into()), set(json!({"include": [{"valueSet": ["urn:none"]}]}))),
        (
            Wanted::ValueSet("expanded".into()),
            Some(
                json!({"expansion": {"total": 2, "contains": [{"system": "s", "code": "a", "abstract": true, "contains": [{"system": "s", "code": "b"}]}]}}),
            ),
        ),
        (
            Wanted::ValueSet("paged".into()),
            Some(json!({"expansion": {"total": 9, "contains": [{"system": "s", "code": "a"}]}})),
        ),
        (Wanted::ValueSet("empty".into()), Some(json!({}))),
    ])
}

fn codes(asked: &Concepts) -> Result<Vec<String>> {
    let held = held();
    let mut expander = Expander::new(r4(), &held);
    let codes = expander.codes(asked)?;
    assert!(expander.wanted.is_empty(), "{:?}", expander.wanted);
    Ok(codes.into_iter().map(|(system, code)| format!("{}|{code}", system.trim_start_matches("urn:"))).collect())
}

#[test]
fn value_sets_are_enumerated_whole() {
    let check = |url: &str, expected: &[&str]| assert_eq!(codes(&Concepts::In(url.into())).unwrap(), expected, "{url}");
    // "include: one or more codes from a code system or other value set(s)"
    check("listed", &["x|1", "x|2", "y|1"]);
    check(
        "whole",
        &["animals|bird", "animals|cat", "animals|dog", "animals|mammal", "animals|parrot", "animals|poodle"],
    );
    // is-a: "all concept ids that have a transitive is-a relationship with the concept id provided as the value, including the provided concept itself"
    check("dogs", &["animals|dog", "animals|poodle"]);
    // descendent-of: "excluding the provided concept itself"
    check("under", &["animals|dog", "animals|poodle"]);
    // "Within an include, all the criteria apply"; "include elements are cumulative"
    check("both", &["animals|dog", "animals|poodle", "x|1", "x|2", "y|1"]);
    check("expanded", &["s|b"]);
    let gender = codes(&Concepts::In("http://hl7.org/fhir/ValueSet/administrative-gender".into())).unwrap();
    assert_eq!(gender.len(), 4);
}

#[test]
fn what_cannot_be_enumerated_is_refused_by_name() {
    let check = |url: &str, expected: &str| {
        let error = codes(&Concepts::In(url.into())).unwrap_err();
        assert!(error.to_string().contains(expected), "{url}: {error}");
        assert!(matches!(error.kind, Kind::NotSupported | Kind::TooCostly), "{url}");
    };
    check("urn:none", "the value set is not held here");
    check("outside", "the value set urn:none is not held here");
    check("missing", "the code system urn:none is not held here");
    check("fragment", "the code system urn:part is not held whole");
    check("regex", "the filter code regex");
    check("circle", "inside each other");
    check("paged", "is a part of it");
    check("empty", "neither");
}

#[test]
fn codes_above_and_below() {
    let below = |code: &str| codes(&Concepts::Below { system: "urn:animals".into(), code: code.into() });
    let above = |code: &str| codes(&Concepts::Above { system: "urn:animals".into(), code: code.into() });
    // ":below: tests whether the coding in a resource is subsumed by the specified search code"
    assert_eq!(below("mammal").unwrap(), ["animals|cat", "animals|dog", "animals|mammal", "animals|poodle"]);
    assert_eq!(below("bird").unwrap(), ["animals|bird", "animals|parrot"]);
    // ":above: tests whether the coding in a resource subsumes the specified search code"
    assert_eq!(above("poodle").unwrap(), ["animals|dog", "animals|mammal", "animals|poodle"]);
    assert_eq!(above("parrot").unwrap(), ["animals|bird", "animals|parrot"]);
    assert!(below("fish").unwrap_err().to_string().contains("does not have the code"));
    let places = Concepts::Below { system: "urn:places".into(), code: "house".into() };
    assert!(codes(&places).unwrap_err().to_string().contains("does not mean"));
}

#[test]
fn what_is_wanted_is_told() {
    let empty = Held::new();
    let mut expander = Expander::new(r4(), &empty);
    assert!(expander.codes(&Concepts::In("urn:a|2".into())).unwrap().is_empty());
    expander.codes(&Concepts::Below { system: "urn:b".into(), code: "c".into() }).unwrap();
    let wanted: Vec<Wanted> = expander.wanted.into_iter().collect();
    assert_eq!(wanted, [Wanted::ValueSet("urn:a|2".into()), Wanted::CodeSystem("urn:b".into())]);
}
