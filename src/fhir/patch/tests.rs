use super::*;
use crate::fhir::format::{self, parse_json};
use serde_json::json;

const LIMITS: Limits = Limits { operations: 100, depth: 16, bytes: 1000 };

fn parse(text: &str) -> Value {
    parse_json(text.as_bytes(), &format::Limits::default()).expect(text)
}

/// The document, or the kind of the error.
fn json_patched(document: &str, patch: &str) -> String {
    match Patch::json(parse(patch), &LIMITS).and_then(|patch| patch.change(parse(document), &LIMITS)) {
        Ok(changed) => changed.to_string(),
        Err(error) => format!("{:?}", error.kind),
    }
}

#[test]
fn json_operations_do_what_the_rfc_says() {
    let check = |document: &str, patch: &str, expected: &str| {
        assert_eq!(json_patched(document, patch), expected, "{document} {patch}");
    };
    check(r#"{"a":1.10}"#, r#"[{"op":"add","path":"/b","value":1.0E2}]"#, r#"{"a":1.10,"b":1.0E2}"#);
    check(r#"{"a":[1,3]}"#, r#"[{"op":"add","path":"/a/1","value":2}]"#, r#"{"a":[1,2,3]}"#);
    check(r#"{"a":[1]}"#, r#"[{"op":"add","path":"/a/-","value":2}]"#, r#"{"a":[1,2]}"#);
    check(r#"{"a":[1]}"#, r#"[{"op":"add","path":"/a/2","value":2}]"#, "BusinessRule");
    check(r#"{"a":[1]}"#, r#"[{"op":"add","path":"/a/00","value":2}]"#, "BusinessRule");
    check(r#"{"a":[1]}"#, r#"[{"op":"add","path":"/a/+1","value":2}]"#, "BusinessRule");
    check(r#"{"a":1}"#, r#"[{"op":"add","path":"/a","value":2}]"#, r#"{"a":2}"#);
    check(r#"{"a":1}"#, r#"[{"op":"add","path":"","value":2}]"#, "2");
    check(r#"{"a":1}"#, r#"[{"op":"add","path":"/b/c","value":2}]"#, "BusinessRule");
    check(r#"{"a":1,"b":2,"c":3}"#, r#"[{"op":"remove","path":"/a"}]"#, r#"{"b":2,"c":3}"#);
    check(r#"{"a":1}"#, r#"[{"op":"remove","path":"/b"}]"#, "BusinessRule");
    check(r#"{"a":[1]}"#, r#"[{"op":"remove","path":"/a/-"}]"#, "BusinessRule");
    check(r#"{"a":1}"#, r#"[{"op":"replace","path":"/b","value":2}]"#, "BusinessRule");
    check(r#"{"a":{"b":1},"c":{}}"#, r#"[{"op":"move","from":"/a/b","path":"/c/d"}]"#, r#"{"a":{},"c":{"d":1}}"#);
    check(r#"{"a":{"b":1}}"#, r#"[{"op":"move","from":"/a","path":"/a/b"}]"#, "BusinessRule");
    check(r#"{"a":{"b":1}}"#, r#"[{"op":"move","from":"/a","path":"/a"}]"#, r#"{"a":{"b":1}}"#);
    check(r#"{"a":[1,2,3]}"#, r#"[{"op":"move","from":"/a/0","path":"/a/2"}]"#, r#"{"a":[2,3,1]}"#);
    check(r#"{"a":[1]}"#, r#"[{"op":"copy","from":"/a","path":"/b"}]"#, r#"{"a":[1],"b":[1]}"#);
    check(r#"{"a~/b":1}"#, r#"[{"op":"replace","path":"/a~0~1b","value":2}]"#, r#"{"a~/b":2}"#);
    check(r#"{"":1}"#, r#"[{"op":"replace","path":"/","value":2}]"#, r#"{"":2}"#);
    check(r#"{"a":1}"#, r#"[]"#, r#"{"a":1}"#);
}

#[test]
fn json_tests_compare_values() {
    let holds = |document: &str, value: &str| {
        let patch = format!(r#"[{{"op":"test","path":"/v","value":{value}}}]"#);
        json_patched(&format!(r#"{{"v":{document}}}"#), &patch) != "BusinessRule"
    };
    for (a, b) in [("1", "1.0"), ("100", "1e2"), ("-0", "0.00"), ("1.50", "15E-1"), ("0.001", "1e-3"), ("null", "null")]
    {
        assert!(holds(a, b) && holds(b, a), "{a} {b}");
    }
    assert!(holds(r#"{"a":1,"b":[2]}"#, r#"{"b":[2.0],"a":1}"#));
    for (a, b) in [("1", "\"1\""), ("1", "10"), ("-1", "1"), ("[1,2]", "[2,1]"), ("null", "false"), ("{}", "[]")] {
        assert!(!holds(a, b), "{a} {b}");
    }
}

#[test]
fn malformed_json_patches_are_refused_before_anything_is_done() {
    for patch in [
        r#"{}"#,
        r#"[1]"#,
        r#"[{"op":"add","path":"/a"}]"#,
        r#"[{"op":"add","value":1}]"#,
        r#"[{"op":"add","path":"a","value":1}]"#,
        r#"[{"op":"add","path":"/~2","value":1}]"#,
        r#"[{"op":"add","path":"/a~","value":1}]"#,
        r#"[{"op":"ADD","path":"/a","value":1}]"#,
        r#"[{"path":"/a","value":1}]"#,
        r#"[{"op":"move","path":"/a"}]"#,
        r#"[{"op":"remove","path":7}]"#,
    ] {
        assert_eq!(Patch::json(parse(patch), &LIMITS).unwrap_err().kind, Kind::Invalid, "{patch}");
    }
    let many = Value::Array(vec![json!({"op": "remove", "path": "/a"}); 101]);
    assert_eq!(Patch::json(many, &LIMITS).unwrap_err().kind, Kind::TooCostly);
}

#[test]
fn a_patch_cannot_grow_without_end() {
    let double = |n: usize| format!(r#"{{"op":"copy","from":"/a","path":"/a/x{n}"}}"#);
    let patch = |n: usize| format!("[{}]", (0..n).map(double).collect::<Vec<_>>().join(","));
    assert_eq!(json_patched(r#"{"a":{"b":1}}"#, &patch(12)), "TooCostly");
    assert!(json_patched(r#"{"a":{"b":1}}"#, &patch(3)).len() > 60);
    let copies: Vec<String> = (0..99).map(|n| format!(r#"{{"op":"copy","from":"/a","path":"/b{n}"}}"#)).collect();
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(100));
    assert_eq!(json_patched(&long, &format!("[{}]", copies.join(","))), "TooCostly");
    let deep = format!(r#"[{{"op":"add","path":"/a","value":{}1{}}}]"#, "[".repeat(17), "]".repeat(17));
    assert_eq!(json_patched("{}", &deep), "TooCostly");
}

/// An operation as Parameters: its type, path and further parts.
fn operation(kind: &str, path: &str, more: &[Value]) -> Value {
    let mut parts = vec![json!({"name": "type", "valueCode": kind}), json!({"name": "path", "valueString": path})];
    parts.extend_from_slice(more);
    json!({"name": "operation", "part": parts})
}

fn add(path: &str, name: &str, value: Value) -> Value {
    operation("add", path, &[json!({"name": "name", "valueString": name}), value])
}

fn number(name: &str, value: u64) -> Value {
    json!({"name": name, "valueInteger": value})
}

fn check(resource: Value, operations: &[Value], expected: &Value) {
    let t = ResourceType::parse(resource["resourceType"].as_str().unwrap()).unwrap();
    let parameters = json!({"resourceType": "Parameters", "parameter": operations});
    let patched = Patch::fhirpath(&parameters, &LIMITS).and_then(|patch| patch.apply(t, resource, &LIMITS));
    let shown = match patched {
        Ok(patched) => patched,
        Err(error) => Value::from(format!("{:?}", error.kind)),
    };
    assert_eq!(&shown, expected, "{parameters}");
}

fn person() -> Value {
    json!({
        "resourceType": "Patient", "id": "p",
        "name": [{"use": "official", "given": ["Ana", "María"], "_given": [null, {"id": "g"}]}, {"use": "usual"}],
        "_birthDate": {"extension": [{"url": "http://x/a", "valueCode": "unknown"}]},
        "contact": [{"name": {"text": "Luz"}}],
        "deceasedBoolean": false
    })
}

/// The person with one member changed; null: without it.
fn with(name: &str, value: Value) -> Value {
    let mut person = person();
    let members = person.as_object_mut().unwrap();
    if value.is_null() {
        drop(members.shift_remove(name))
    } else {
        drop(members.insert(name.to_owned(), value))
    }
    person
}

#[test]
fn fhirpath_adds() {
    let gender = json!({"name": "value", "valueCode": "female"});
    check(person(), &[add("Patient", "gender", gender.clone())], &with("gender", "female".into()));
    let contact = json!([{"name": {"text": "Luz"}, "gender": "female"}]);
    check(person(), &[add("Patient.contact[0]", "gender", gender.clone())], &with("contact", contact));
    // At the end of a list, with what an extension of a primitive keeps aligned.
    let given = json!({"name": "value", "valueString": "Paz", "_valueString": {"id": "n"}});
    let name = json!([{"use": "official", "given": ["Ana", "María", "Paz"], "_given": [null, {"id": "g"}, {"id": "n"}]}, {"use": "usual"}]);
    check(person(), &[add("Patient.name.where(use = 'official')", "given", given)], &with("name", name));
    // Made of parts, lists among them.
    let parts = json!({"name": "value", "part": [
        {"name": "name", "valueHumanName": {"text": "Eva"}},
        {"name": "telecom", "valueContactPoint": {"value": "1"}}, {"name": "telecom", "valueContactPoint": {"value": "2"}}]});
    let contact =
        json!([{"name": {"text": "Luz"}}, {"name": {"text": "Eva"}, "telecom": [{"value": "1"}, {"value": "2"}]}]);
    check(person(), &[add("Patient", "contact", parts)], &with("contact", contact));
    // To a primitive that has no value, and one that has no extension.
    let extension = json!({"name": "value", "valueExtension": {"url": "http://x/b", "valueCode": "c"}});
    let both =
        json!({"extension": [{"url": "http://x/a", "valueCode": "unknown"}, {"url": "http://x/b", "valueCode": "c"}]});
    check(person(), &[add("Patient.birthDate", "extension", extension.clone())], &with("_birthDate", both));
    let deceased = json!({"extension": [{"url": "http://x/b", "valueCode": "c"}]});
    check(person(), &[add("Patient.deceased", "extension", extension)], &with("_deceasedBoolean", deceased));
    check(
        person(),
        &[add("Patient", "maritalStatus", json!({"name": "value", "valueCodeableConcept": {"text": "x"}}))],
        &with("maritalStatus", json!({"text": "x"})),
    );
}

#[test]
fn fhirpath_refuses_to_add() {
    let rule = Value::from("BusinessRule");
    let code = json!({"name": "value", "valueCode": "x"});
    check(person(), &[add("Patient.name", "family", code.clone())], &rule);
    check(person(), &[add("Patient.photo", "title", code.clone())], &rule);
    check(person(), &[add("Patient", "apodo", code.clone())], &rule);
    check(person(), &[add("Patient", "deceased", json!({"name": "value", "valueDateTime": "2024"}))], &rule);
    check(person(), &[add("Patient", "birthDate", json!({"name": "value", "valueDate": "2024"}))], &rule);
    check(person(), &[add("Patient", "name", json!({"name": "value", "valueAddress": {"text": "x"}}))], &rule);
    check(person(), &[add("Patient", "name", code.clone())], &rule);
    check(person(), &[add("Patient", "gender", json!({"name": "value", "valueHumanName": {}}))], &rule);
    check(person(), &[add("Patient", "multipleBirth", json!({"name": "value", "valueCode": "x"}))], &rule);
    check(person(), &[add("Patient", "id", code.clone())], &rule);
    check(person(), &[add("Patient.apodo", "x", code.clone())], &"NotSupported".into());
    check(person(), &[add("Patient.managingOrganization.resolve()", "name", code.clone())], &"NotSupported".into());
    check(person(), &[operation("add", "Patient", &[code])], &"Invalid".into());
}

#[test]
fn fhirpath_deletes() {
    let delete = |path: &str| operation("delete", path, &[]);
    check(person(), &[delete("Patient.birthDate")], &with("_birthDate", Value::Null));
    check(person(), &[delete("Patient.birthDate.extension('http://x/a')")], &with("_birthDate", Value::Null));
    check(person(), &[delete("Patient.gender")], &person());
    // What became empty is no element.
    check(person(), &[delete("Patient.contact.name.text")], &with("contact", Value::Null));
    check(person(), &[delete("Patient.deceased.ofType(boolean)")], &with("deceasedBoolean", Value::Null));
    check(person(), &[delete("deceased as boolean")], &with("deceasedBoolean", Value::Null));
    let name = json!([{"use": "official", "given": ["Ana"]}, {"use": "usual"}]);
    check(person(), &[delete("Patient.name[0].given[1]")], &with("name", name));
    let name = json!([{"use": "official", "given": ["María"], "_given": [{"id": "g"}]}, {"use": "usual"}]);
    check(person(), &[delete("Patient.name.first().given.where($this = 'Ana')")], &with("name", name));
    check(person(), &[delete("Patient.name")], &"BusinessRule".into());
    check(person(), &[delete("Patient.name.given.single()")], &"BusinessRule".into());
    check(person(), &[delete("Patient.id")], &"BusinessRule".into());
    check(person(), &[delete("Patient")], &"BusinessRule".into());
    check(person(), &[delete("1 + 1")], &"NotSupported".into());
    check(person(), &[delete("'x'")], &"NotSupported".into());
}

#[test]
fn fhirpath_replaces() {
    let replace = |path: &str, value: Value| operation("replace", path, &[value]);
    let date = json!({"name": "value", "valueDateTime": "2024-01-01"});
    let mut dead = with("deceasedBoolean", Value::Null);
    dead["deceasedDateTime"] = "2024-01-01".into();
    check(person(), &[replace("Patient.deceased", date.clone())], &dead);
    check(person(), &[replace("Patient.multipleBirth", date.clone())], &"BusinessRule".into());
    check(person(), &[replace("Patient.name[1]", date.clone())], &"BusinessRule".into());
    check(person(), &[replace("Patient.name.use", date)], &"BusinessRule".into());
    let text = json!({"name": "value", "valueString": "Sol"});
    check(
        person(),
        &[replace("Patient.contact.name.text", text.clone())],
        &with("contact", json!([{"name": {"text": "Sol"}}])),
    );
    let name = json!([{"use": "official", "given": ["Ana", "Sol"]}, {"use": "usual"}]);
    check(person(), &[replace("Patient.name[0].given.last()", text)], &with("name", name));
    let value = |unit: &str| json!({"value": 1.5, "unit": unit});
    let observation = |key: &str, value: Value| json!({"resourceType": "Observation", "component": [{"code": {"coding": [{"code": "a"}]}, key: value}]});
    check(
        observation("valueQuantity", value("kg")),
        &[replace(
            "Observation.component.where(code.coding.exists(code = 'a')).value",
            json!({"name": "value", "valueQuantity": value("g")}),
        )],
        &observation("valueQuantity", value("g")),
    );
}

#[test]
fn fhirpath_inserts_and_moves() {
    let insert = |path: &str, index: u64| {
        let value = json!({"name": "value", "valueHumanName": {"use": "old"}});
        operation("insert", path, &[number("index", index), value])
    };
    let official = person()["name"][0].clone();
    let (usual, old) = (json!({"use": "usual"}), json!({"use": "old"}));
    check(person(), &[insert("Patient.name", 0)], &with("name", json!([old, official, usual])));
    check(person(), &[insert("Patient.name", 2)], &with("name", json!([official, usual, old])));
    check(person(), &[insert("Patient.name", 3)], &"BusinessRule".into());
    check(with("name", Value::Null), &[insert("Patient.name", 0)], &with_name_last(json!([old])));
    check(person(), &[insert("Patient.maritalStatus", 0)], &"BusinessRule".into());
    check(person(), &[insert("Patient.name[0]", 0)], &"BusinessRule".into());
    let moved = |path: &str, source: u64, destination: u64| {
        operation("move", path, &[number("source", source), number("destination", destination)])
    };
    check(person(), &[moved("Patient.name", 1, 0)], &with("name", json!([usual, official])));
    check(person(), &[moved("Patient.name", 0, 0)], &person());
    check(person(), &[moved("Patient.name", 2, 0)], &"BusinessRule".into());
    check(person(), &[moved("Patient.name", 0, 2)], &"BusinessRule".into());
    check(person(), &[moved("Patient.photo", 0, 0)], &"BusinessRule".into());
    let given =
        json!([{"use": "official", "given": ["María", "Ana"], "_given": [{"id": "g"}, null]}, {"use": "usual"}]);
    check(person(), &[moved("Patient.name[0].given", 1, 0)], &with("name", given));
}

fn with_name_last(name: Value) -> Value {
    let mut person = with("name", Value::Null);
    person["name"] = name;
    person
}

#[test]
fn operations_of_a_patch_see_each_other_and_type_and_id_stay() {
    let female = add("Patient", "gender", json!({"name": "value", "valueCode": "female"}));
    let male = operation("replace", "Patient.gender", &[json!({"name": "value", "valueCode": "male"})]);
    check(person(), &[female, male], &with("gender", "male".into()));
    let id = |path: &str| format!(r#"[{{"op":"replace","path":"/{path}","value":"Group"}}]"#);
    for path in ["id", "resourceType"] {
        let patch = Patch::json(parse(&id(path)), &LIMITS).unwrap();
        let patient = ResourceType::parse("Patient").unwrap();
        assert_eq!(patch.apply(patient, person(), &LIMITS).unwrap_err().kind, Kind::BusinessRule, "{path}");
    }
}

#[test]
fn a_path_cannot_walk_for_ever() {
    let names: Vec<Value> = (0..200).map(|_| json!({"use": "usual"})).collect();
    let path =
        "Patient.name.where(%resource.name.where(%resource.name.where(%resource.name.exists()).exists()).exists())";
    let delete = operation("delete", path, &[]);
    check(with("name", Value::Array(names)), &[delete], &"TooCostly".into());
}

#[test]
fn a_place_of_a_problem_is_that_of_the_operation() {
    let patch = json!({"resourceType": "Parameters", "parameter": [
        operation("delete", "Patient.gender", &[]), operation("delete", "Patient.name", &[])]});
    let patient = ResourceType::parse("Patient").unwrap();
    let error = Patch::fhirpath(&patch, &LIMITS).unwrap().apply(patient, person(), &LIMITS).unwrap_err();
    assert_eq!(error.issues[0].expression.as_deref(), Some("Parameters.parameter[1]"));
}

/// The XML that a patch of one operation leaves, or the kind of the error.
fn xml_patched(document: &str, operation: &str) -> String {
    let patch =
        format!(r#"<diff xmlns="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml">{operation}</diff>"#);
    match Patch::xml(patch.as_bytes(), &LIMITS).and_then(|patch| patch.change_xml(document)) {
        Ok(changed) => changed.replace(r#" xmlns="http://hl7.org/fhir""#, ""),
        Err(error) => format!("{:?}", error.kind),
    }
}

#[test]
fn xml_patches_change_what_their_selector_picks() {
    let document = r#"<d><n value="a"/><n value="b" id="2"><x/></n><t>one<b/>two</t></d>"#;
    let check = |operation: &str, expected: &str| assert_eq!(xml_patched(document, operation), expected, "{operation}");
    check(r#"<remove sel="d/n[1]"/>"#, r#"<d><n value="b" id="2"><x/></n><t>one<b/>two</t></d>"#);
    check(
        r#"<remove sel="/f:d/fhir:n[@id='2']/@value"/>"#,
        r#"<d><n value="a"/><n id="2"><x/></n><t>one<b/>two</t></d>"#,
    );
    check(
        r#"<replace sel="*/n[x]/@value">c&amp;"d"</replace>"#,
        r#"<d><n value="a"/><n value="c&amp;&quot;d&quot;" id="2"><x/></n><t>one<b/>two</t></d>"#,
    );
    check(
        r#"<replace sel="d/t/text()[2]">2</replace>"#,
        r#"<d><n value="a"/><n value="b" id="2"><x/></n><t>one<b/>2</t></d>"#,
    );
    check(r#"<replace sel="d[n/@value='b']/n[.='']['x']"/>"#, "NotSupported");
    check(
        r#"<replace sel="d/t[.='onetwo']"> <u/> </replace>"#,
        r#"<d><n value="a"/><n value="b" id="2"><x/></n><u/></d>"#,
    );
    check(
        r#"<add sel="d/n[1]"><y/></add>"#,
        r#"<d><n value="a"><y/></n><n value="b" id="2"><x/></n><t>one<b/>two</t></d>"#,
    );
    check(
        r#"<add sel="d/n[1]" pos="before"><y/></add>"#,
        r#"<d><y/><n value="a"/><n value="b" id="2"><x/></n><t>one<b/>two</t></d>"#,
    );
    check(
        r#"<add sel="d/n[1]" pos="after"><y/></add>"#,
        r#"<d><n value="a"/><y/><n value="b" id="2"><x/></n><t>one<b/>two</t></d>"#,
    );
    check(
        r#"<add sel="d/n[2]" pos="prepend"><y/></add>"#,
        r#"<d><n value="a"/><n value="b" id="2"><y/><x/></n><t>one<b/>two</t></d>"#,
    );
    check(
        r#"<add sel="d/n[1]" type="@id">7</add>"#,
        r#"<d><n value="a" id="7"/><n value="b" id="2"><x/></n><t>one<b/>two</t></d>"#,
    );
    check(
        r#"<add sel="d"><h:p>x</h:p></add>"#,
        r#"<d><n value="a"/><n value="b" id="2"><x/></n><t>one<b/>two</t><p xmlns="http://www.w3.org/1999/xhtml">x</p></d>"#,
    );
    for (operation, kind) in [
        (r#"<remove sel="d/n"/>"#, "BusinessRule"),
        (r#"<remove sel="d/n[3]"/>"#, "BusinessRule"),
        (r#"<remove sel="h:d"/>"#, "BusinessRule"),
        (r#"<remove sel="d"/>"#, "BusinessRule"),
        (r#"<remove sel="d/n/comment()"/>"#, "NotSupported"),
        (r#"<remove sel="q:d/n"/>"#, "NotSupported"),
        (r#"<remove sel="d//n"/>"#, "NotSupported"),
        (r#"<remove sel="d/n[1"/>"#, "NotSupported"),
        (r#"<remove sel="d/n[a[b[c[e[f]]]]]"/>"#, "NotSupported"),
        (r#"<add sel="d" pos="after"><y/></add>"#, "BusinessRule"),
        (r#"<add sel="d/n[2]" type="@id">7</add>"#, "BusinessRule"),
        (r#"<add sel="d/n[1]/@value"><y/></add>"#, "BusinessRule"),
        (r#"<replace sel="d/n[1]">x</replace>"#, "BusinessRule"),
        (r#"<add sel="d" pos="first"/>"#, "Invalid"),
        (r#"<add sel="d" type="id">x</add>"#, "Invalid"),
        (r#"<add><y/></add>"#, "Invalid"),
        (r#"<move sel="d"/>"#, "Invalid"),
        ("", "Invalid"),
        ("<add", "Structure"),
    ] {
        check(operation, kind);
    }
}

#[test]
fn an_xml_patch_changes_a_resource_and_leaves_its_narrative() {
    let div = r#"<div xmlns="http://www.w3.org/1999/xhtml"  lang='es'>a<br/><p></p>&#233;</div>"#;
    let mut resource = person();
    resource["text"] = json!({"status": "generated", "div": div});
    let patient = ResourceType::parse("Patient").unwrap();
    let limits = Limits { depth: 32, ..LIMITS };
    let patched = |operations: &str| {
        let patch = format!(r#"<diff xmlns:fhir="http://hl7.org/fhir">{operations}</diff>"#);
        Patch::xml(patch.as_bytes(), &limits).and_then(|patch| patch.apply(patient, resource.clone(), &limits))
    };
    let after = patched(
        r#"<replace sel="fhir:Patient/fhir:name[fhir:use/@value='official']/fhir:given[1]/@value">Eva</replace>
        <add sel="Patient"><maritalStatus><text value="x"/></maritalStatus></add><remove sel="Patient/contact/name/text"/>"#,
    )
    .unwrap();
    let mut expected = resource.clone();
    expected["name"][0]["given"][0] = "Eva".into();
    expected["maritalStatus"] = json!({"text": "x"});
    expected.as_object_mut().unwrap().shift_remove("contact");
    assert_eq!(after, expected);
    let touched = patched(r#"<remove sel="Patient/text/h:div/h:br"/>"#).unwrap();
    assert!(!touched["text"]["div"].as_str().unwrap().contains("<br/>"));
    let error = patched(r#"<replace sel="Patient/id/@value">otro</replace>"#).unwrap_err();
    assert_eq!(error.kind, Kind::BusinessRule);
}

#[test]
fn xml_patches_end() {
    let deep = format!("{}{}", "<n>".repeat(100), "</n>".repeat(100));
    let nested = |n: usize| format!(r#"<add sel="d{}">{deep}</add>"#, "/n".repeat(n * 100));
    let operations: String = (0..3).map(nested).collect();
    assert_eq!(xml_patched("<d/>", &operations), "TooCostly");
    let many: String = (0..101).map(|_| r#"<remove sel="d/n"/>"#).collect();
    assert_eq!(xml_patched("<d/>", &many), "TooCostly");
    for bad in ["<!DOCTYPE d><d/>", "<d>&x;</d>", "<?a?><d/>", "<d/><d/>"] {
        assert_eq!(
            Patch::xml(bad.as_bytes(), &LIMITS).unwrap_err().kind,
            if bad.contains("&x") { Kind::Invalid } else { Kind::Structure },
            "{bad}"
        );
    }
}
