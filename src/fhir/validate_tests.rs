//! Bad resources with what is said about each, and good ones that look odd.

use super::*;
use crate::fhir::definitions::r4;
use crate::fhir::format::{Limits, parse_json};
use crate::fhir::primitive::MAX_STRING as LONGEST;

fn issues(json: &str) -> Vec<String> {
    let value = parse_json(json.as_bytes(), &Limits::default()).expect(json);
    let t = crate::fhir::resource::resource_type(&value).expect(json);
    validate(r4(), t, &value, LONGEST).iter().map(shown).collect()
}

fn shown(issue: &Issue) -> String {
    format!("{:?} {}: {}", issue.kind, issue.expression.as_deref().unwrap_or("-"), issue.text)
}

/// `{"resourceType": TYPE, REST}`
fn of(t: &str, rest: &str) -> String {
    format!(r#"{{"resourceType":"{t}"{}{rest}}}"#, if rest.is_empty() { "" } else { "," })
}

fn check(json: &str, expected: &[&str]) {
    let found = issues(json);
    assert_eq!(found.len(), expected.len(), "{json}\n{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{json}\n{found}\n{expected}");
    }
}

fn patient(rest: &str, expected: &str) {
    check(&of("Patient", rest), &[expected]);
}

#[test]
fn unknown_elements_and_json_kinds() {
    patient(r#""nombre":"x""#, "Structure Patient.nombre: is not an element of Patient");
    patient(r#""name":[{"first":"x"}]"#, "Structure Patient.name[0].first: is not an element of HumanName");
    patient(
        r#""contact":[{"gender":"male"},{"name":{"familia":"x"}}]"#,
        "Structure Patient.contact[1].name.familia: is not",
    );
    patient(r#""fhir_comments":["x"]"#, "Structure Patient.fhir_comments: is not an element");
    patient(r#""name":{"family":"x"}"#, "Structure Patient.name: must be an array");
    patient(r#""birthDate":["2015"]"#, "Structure Patient.birthDate: must not be an array");
    patient(r#""name":["x"]"#, "Structure Patient.name[0]: must be a JSON object");
    patient(r#""maritalStatus":"M""#, "Structure Patient.maritalStatus: must be a JSON object");
    patient(r#""active":"true""#, "Structure Patient.active: must be true or false");
    patient(r#""gender":1"#, "Structure Patient.gender: must be a string");
    patient(r#""name":[{"given":"x"}]"#, "Structure Patient.name[0].given: must be an array");
    patient(r#""text":{"status":"generated","div":["<div/>"]}"#, "Structure Patient.text.div: must not be an array");
    patient(r#""_contact":[{"id":"x"}]"#, "Structure Patient.contact: is not primitive");
    patient(r#""_nombre":{"id":"x"}"#, "Structure Patient._nombre: is not an element");
    patient(r#""name":[{"resourceType":"HumanName","family":"x"}]"#, "Structure Patient.name[0].resourceType: is not");
    let wrong = validate(
        r4(),
        ResourceType::parse("Observation").unwrap(),
        &serde_json::json!({"resourceType": "Patient"}),
        LONGEST,
    );
    assert_eq!(
        wrong.iter().map(shown).collect::<Vec<_>>(),
        ["Structure Observation: resourceType must be Observation"]
    );
}

#[test]
fn cardinality_and_emptiness() {
    patient(r#""link":[{"type":"seealso"}]"#, "Required Patient.link[0].other: is required");
    patient(r#""communication":[{"preferred":true}]"#, "Required Patient.communication[0].language: is required");
    check(&of("Observation", r#""valueString":"x""#), &["Required Observation.status", "Required Observation.code"]);
    check(
        &of("MedicationRequest", r#""status":"active","intent":"order","subject":{"display":"x"}"#),
        &["Required MedicationRequest.medication: is required"],
    );
    patient(r#""name":[]"#, "Structure Patient.name: must not be empty");
    patient(r#""name":[{"given":[]}]"#, "Structure Patient.name[0].given: must not be empty");
    patient(r#""name":[{}]"#, "Structure Patient.name[0]: must not be empty");
    patient(r#""maritalStatus":{}"#, "Structure Patient.maritalStatus: must not be empty");
    patient(r#""maritalStatus":{"id":"x"}"#, "Structure Patient.maritalStatus: must not be empty");
    patient(r#""birthDate":null"#, "Structure Patient.birthDate: must not be null");
    patient(r#""name":[null]"#, "Structure Patient.name[0]: must not be null");
    patient(r#""name":null"#, "Structure Patient.name: must be an array");
    check(&of("Patient", r#""birthDate":"1984","_birthDate":{"id":"x"}"#), &[]);
    patient(r#""birthDate":"1984","_birthDate":{}"#, "Structure Patient.birthDate: must not be empty");
    patient(r#""_birthDate":{"id":"x"}"#, "Structure Patient.birthDate: must not be empty");
    patient(r#""name":[{"family":""}]"#, "Value Patient.name[0].family: must not be empty");
}

#[test]
fn primitive_formats() {
    patient(r#""id":"no_good""#, "Value Patient.id: must be an id");
    patient(r#""birthDate":"1990-02-30""#, "Value Patient.birthDate: must be a date");
    patient(r#""birthDate":"1990-02-03T00:00:00Z""#, "Value Patient.birthDate: must be a date");
    patient(r#""deceasedDateTime":"2015-02-07T13:28:17""#, "Value Patient.deceased: must be a dateTime");
    patient(r#""meta":{"lastUpdated":"2015-02-07"}"#, "Value Patient.meta.lastUpdated: must be an instant");
    patient(r#""meta":{"profile":["http://a/b c"]}"#, "Value Patient.meta.profile[0]: must hold no white space");
    patient(
        r#""identifier":[{"system":"a b","value":"1"}]"#,
        "Value Patient.identifier[0].system: must hold no white space",
    );
    patient(r#""multipleBirthInteger":1.5"#, "Value Patient.multipleBirth: must be a whole number");
    patient(r#""telecom":[{"rank":0}]"#, "Value Patient.telecom[0].rank: must be a whole number from 1");
    patient(r#""language":" es""#, "Value Patient.language: must be a code");
    patient(r#""photo":[{"data":"a&b="}]"#, "Value Patient.photo[0].data: must be base64");
    patient(
        r#""text":{"status":"empty","div":"<p/>"}"#,
        "Value Patient.text.div: must be XHTML that starts with <div>",
    );
    patient(
        r#""text":{"status":"empty","div":"<div><script>x</script></div>"}"#,
        "Value Patient.text.div: must hold only the elements",
    );
    check(
        &of("Observation", r#""status":"final","code":{"text":"x"},"valueQuantity":{"value":"1"}"#),
        &["Structure Observation.value.value: must be a number"],
    );
}

#[test]
fn siblings_of_primitives() {
    let extension = r#"{"extension":[{"url":"http://a","valueString":"b"}]}"#;
    check(&of("Patient", &format!(r#""_birthDate":{extension}"#)), &[]);
    check(&of("Patient", &format!(r#""birthDate":"1990","_birthDate":{extension}"#)), &[]);
    check(&of("Patient", &format!(r#""name":[{{"given":["a",null],"_given":[null,{extension}]}}]"#)), &[]);
    check(&of("Patient", &format!(r#""link":[{{"other":{{"display":"x"}},"_type":{extension}}}]"#)), &[]);
    patient(r#""name":[{"given":["a",null]}]"#, "Structure Patient.name[0].given[1]: must not be null");
    patient(
        r#""name":[{"given":["a",null],"_given":[null,null]}]"#,
        "Structure Patient.name[0].given[1]: must not be null",
    );
    patient(r#""name":[{"_given":[null]}]"#, "Structure Patient.name[0].given[0]: must not be null");
    patient(r#""_birthDate":{}"#, "Structure Patient.birthDate: must not be empty");
    patient(r#""_birthDate":null"#, "Structure Patient.birthDate: must not be null");
    patient(r#""_birthDate":"x""#, "Structure Patient.birthDate: must be a JSON object");
    patient(r#""_birthDate":{"value":"x"}"#, "Structure Patient.birthDate.value: is not an element of date");
    patient(
        &format!(r#""name":[{{"given":["a"],"_given":[null,{extension}]}}]"#),
        "Structure Patient.name[0].given: must have as many items",
    );
    patient(
        &format!(r#""name":[{{"given":["a"],"_given":{extension}}}]"#),
        "Structure Patient.name[0].given: must be an array",
    );
    patient(
        &format!(r#""birthDate":"1990","_birthDate":[{extension}]"#),
        "Structure Patient.birthDate: must not be an array",
    );
}

#[test]
fn choices() {
    patient(
        r#""deceasedBoolean":true,"deceasedDateTime":"2015""#,
        "Structure Patient.deceased: must have one type only",
    );
    patient(
        r#""deceasedBoolean":true,"_deceasedDateTime":{"extension":[{"url":"u","valueCode":"x"}]}"#,
        "Structure Patient.deceased: must have one type only",
    );
    patient(r#""deceasedString":"x""#, "Structure Patient.deceasedString: is not an element of Patient");
    patient(r#""deceased":true"#, "Structure Patient.deceased: is not an element of Patient");
    patient(r#""deceased[x]":true"#, "Structure Patient.?: is not an element of Patient");
    let both = r#""status":"final","code":{"text":"x"},"valueString":"x","valueInteger":1"#;
    check(&of("Observation", both), &["Structure Observation.value: must have one type only"]);
}

#[test]
fn extensions() {
    patient(r#""extension":[{"valueString":"x"}]"#, "Required Patient.extension[0].url: is required");
    patient(r#""extension":[{"url":"u"}]"#, "Invariant Patient.extension[0]: must have either");
    patient(
        r#""extension":[{"url":"u","valueString":"x","extension":[{"url":"v","valueCode":"y"}]}]"#,
        "Invariant Patient.extension[0]: must have either",
    );
    patient(
        r#""extension":[{"url":"u","valueFoo":"x"}]"#,
        "Structure Patient.extension[0].valueFoo: is not an element",
    );
    patient(r#""extension":[{"url":"u","value":"x"}]"#, "Structure Patient.extension[0].value: is not an element");
    patient(r#""extension":{"url":"u","valueString":"x"}"#, "Structure Patient.extension: must be an array");
    check(
        &of(
            "Patient",
            r#""extension":[{"url":"u","extension":[{"url":"v","_valueCode":{"extension":[{"url":"w","valueTime":"10:00:00"}]}}]}]"#,
        ),
        &[],
    );
}

#[test]
fn references_by_the_type_of_their_target() {
    let subject = |text: &str, expected: &[&str]| {
        let rest = format!(r#""status":"final","code":{{"text":"x"}},"encounter":{{"reference":"{text}"}}"#);
        check(&of("Observation", &rest), expected);
    };
    subject("Encounter/1", &[]);
    subject("Encounter/1/_history/2", &[]);
    subject("http://other/fhir/Encounter/1", &[]);
    subject("urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a", &[]);
    subject("Encounter?identifier=http://a|b", &[]);
    subject("Patient/1", &["Value Observation.encounter.reference: must not refer to Patient"]);
    subject(
        "http://other/fhir/Patient/1/_history/3",
        &["Value Observation.encounter.reference: must not refer to Patient"],
    );
    subject("Patient?identifier=1", &["Value Observation.encounter.reference: must not refer to Patient"]);
    subject("Encounter/bad_id", &["Value Observation.encounter.reference: must be Type/id"]);
    subject("Besuch/1", &["Value Observation.encounter.reference: must be Type/id"]);
    subject("#e", &["Invariant Observation.encounter.reference: must name a contained resource"]);
    subject("", &["Value Observation.encounter.reference: must not be empty"]);
    patient(
        r#""generalPractitioner":[{"reference":"Patient/1"}]"#,
        "Value Patient.generalPractitioner[0].reference: must not refer to",
    );
    let contained = r##""contained":[{"resourceType":"Patient","id":"p"}],"status":"final","code":{"text":"x"},"encounter":{"reference":"#p"}"##;
    check(&of("Observation", contained), &["Value Observation.encounter.reference: must not refer to Patient"]);
}

#[test]
fn nested_resources() {
    let contained = |contained: &str, expected: &[&str]| {
        let rest = format!(r##""contained":[{contained}],"managingOrganization":{{"reference":"#o"}}"##);
        check(&of("Patient", &rest), expected);
    };
    contained(r#"{"resourceType":"Organization","id":"o"}"#, &[]);
    contained(
        r#"{"resourceType":"Organization","id":"o","nombre":"x"}"#,
        &["Structure Patient.contained[0].nombre: is not"],
    );
    let unnamed = "Invariant Patient.managingOrganization.reference: must name a contained resource (ref-1)";
    contained(r#""x""#, &["Structure Patient.contained[0]: must be a JSON object", unnamed]);
    contained(
        r#"{"resourceType":"Foo","id":"o"}"#,
        &["Structure Patient.contained[0]: resourceType is not a resource type"],
    );
    contained(r#"{"id":"o"}"#, &["Structure Patient.contained[0]: resourceType is missing"]);
    contained(
        r#"{"resourceType":"Organization","id":"o","contained":[{"resourceType":"Basic","code":{"text":"x"}}]}"#,
        &["Invariant Patient.contained[0].contained: a contained resource must not contain"],
    );
    let entry = r#""type":"collection","entry":[{"resource":{"resourceType":"Patient","gender":"F"}}]"#;
    check(&of("Bundle", entry), &["CodeInvalid Bundle.entry[0].resource.gender: must have a code of the value set"]);
    let parameter = r#""parameter":[{"name":"a","resource":{"resourceType":"Patient","active":1}}]"#;
    check(&of("Parameters", parameter), &["Structure Parameters.parameter[0].resource.active: must be true or false"]);
    check(
        &of("Binary", r#""contentType":"text/plain","extension":[{"url":"u","valueCode":"x"}]"#),
        &["Structure Binary.extension: is not"],
    );
}

#[test]
fn contained_resources_hang_together() {
    let of_list = |contained: &str, item: &str, expected: &[&str]| {
        let rest = format!(
            r##""status":"current","mode":"working","contained":[{contained}],"entry":[{{"item":{{"reference":"{item}"}}}}]"##
        );
        check(&of("List", &rest), expected);
    };
    const A: &str = r#"{"resourceType":"Basic","id":"a","code":{"text":"x"}}"#;
    let unnamed = "Invariant List.contained[0]: a contained resource must be referred to";
    of_list(A, "#a", &[]);
    of_list(A, "Basic/a", &[unnamed]);
    // Named by another contained one; naming the container; named as a canonical.
    let b = r##"{"resourceType":"Basic","id":"b","code":{"text":"x"},"subject":{"reference":"#a"}}"##;
    of_list(&format!("{A},{b}"), "#b", &[]);
    of_list(&A.replace("\"code\"", r##""subject":{"reference":"#"},"code""##), "Basic/1", &[]);
    of_list(&A.replace("\"id\":\"a\",", ""), "Basic/1", &[unnamed]);
    check(
        &of(
            "CarePlan",
            r##""status":"active","intent":"plan","subject":{"display":"x"},"contained":[{"resourceType":"PlanDefinition","id":"p","status":"draft"}],"instantiatesCanonical":["#p"]"##,
        ),
        &[],
    );
    let meta = |meta: &str| A.replace("\"code\"", &format!(r#""meta":{meta},"code""#));
    of_list(&meta(r#"{"profile":["http://a"]}"#), "#a", &[]);
    of_list(
        &meta(r#"{"versionId":"1"}"#),
        "#a",
        &["Invariant List.contained[0].meta: a contained resource must have neither"],
    );
    of_list(
        &meta(r#"{"lastUpdated":"2020-01-01T00:00:00Z"}"#),
        "#a",
        &["Invariant List.contained[0].meta: a contained"],
    );
    of_list(
        &meta(r#"{"security":[{"code":"R"}]}"#),
        "#a",
        &["Invariant List.contained[0].meta.security: a contained resource must have no security label"],
    );
}

#[test]
fn bundles_by_their_type() {
    let of_type = |kind: &str, rest: &str, expected: &[&str]| {
        check(&of("Bundle", &format!(r#""type":"{kind}"{}{rest}"#, if rest.is_empty() { "" } else { "," })), expected);
    };
    const P: &str = r#""resource":{"resourceType":"Patient","id":"a"}"#;
    const REQUEST: &str = r#""request":{"method":"GET","url":"Patient"}"#;
    const RESPONSE: &str = r#""response":{"status":"200"}"#;
    let entries = |entries: &[&str]| {
        format!(r#""entry":[{}]"#, entries.iter().map(|e| format!("{{{e}}}")).collect::<Vec<_>>().join(","))
    };
    of_type("searchset", r#""total":1"#, &[]);
    of_type("collection", r#""total":1"#, &["Invariant Bundle.total: must not have a total"]);
    of_type("searchset", &entries(&[&format!(r#"{P},"search":{{"mode":"match"}}"#)]), &[]);
    of_type(
        "collection",
        &entries(&[&format!(r#"{P},"search":{{"mode":"match"}}"#)]),
        &["Invariant Bundle.entry[0].search: must not have a search"],
    );
    of_type("batch", &entries(&[&format!("{P},{REQUEST}")]), &[]);
    of_type("batch", &entries(&[P]), &["Invariant Bundle.entry[0]: must have a request"]);
    of_type("collection", &entries(&[&format!("{P},{REQUEST}")]), &["Invariant Bundle.entry[0].request: must not"]);
    of_type("batch-response", &entries(&[RESPONSE]), &[]);
    of_type("batch-response", &entries(&[P]), &["Invariant Bundle.entry[0]: must have a response"]);
    of_type("collection", &entries(&[&format!("{P},{RESPONSE}")]), &["Invariant Bundle.entry[0].response: must not"]);
    of_type("history", &entries(&[&format!("{P},{REQUEST},{RESPONSE}")]), &[]);
    of_type(
        "collection",
        &entries(&[r#""fullUrl":"http://a/Patient/1""#]),
        &["Invariant Bundle.entry[0]: must have a resource"],
    );
    let twice = format!(r#""fullUrl":"http://a/Patient/a",{P}"#);
    of_type("collection", &entries(&[&twice, &twice]), &["Invariant Bundle.entry[1].fullUrl: must not be the fullUrl"]);
    let second = twice.replace(r#""id":"a""#, r#""id":"a","meta":{"versionId":"2"}"#);
    of_type("collection", &entries(&[&twice, &second]), &[]);
    of_type(
        "collection",
        &entries(&[&format!(r#""fullUrl":"http://a/Patient/a/_history/1",{P}"#)]),
        &["Invariant Bundle.entry[0].fullUrl: must not name a version"],
    );
    of_type(
        "document",
        "",
        &[
            "Invariant Bundle.identifier: a document must have an identifier",
            "Invariant Bundle.timestamp: a document must have a timestamp",
            "Invariant Bundle.entry: the first resource of a document",
        ],
    );
    of_type("message", &entries(&[P]), &["Invariant Bundle.entry: the first resource of a message"]);
    let header =
        r##""resource":{"resourceType":"MessageHeader","eventUri":"http://a","source":{"endpoint":"http://b"}}"##;
    of_type("message", &entries(&[header]), &[]);
}

#[test]
fn what_is_around_the_resources_of_a_bundle() {
    let json = |text: &str| parse_json(text.as_bytes(), &Limits::default()).unwrap();
    let around = |text: &str| envelope(r4(), &json(text), LONGEST).iter().map(shown).collect::<Vec<_>>();
    let bundle = r#"{"resourceType":"Bundle","type":"batch","nombre":1,"total":1,"entry":[{"resource":{"x":1}}]}"#;
    let found = around(bundle);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("Structure Bundle.nombre: is not") && found[1].starts_with("Invariant Bundle.total"));
    assert_eq!(around(r#"{"resourceType":"Bundle","type":"batch","entry":[]}"#), [""; 0]);
    let one = |text: &str| entry(r4(), &json(text), LONGEST).iter().map(shown).collect::<Vec<_>>();
    let request = r#""request":{"method":"POST","url":"Patient"}"#;
    assert_eq!(one(&format!(r#"{{"resource":{{"x":1}},{request}}}"#)), [""; 0]);
    let found = one(&format!(r#"{{"resouce":{{}},{request}}}"#));
    assert!(found.len() == 1 && found[0].starts_with("Structure Bundle.entry.resouce: is not"), "{found:?}");
    let found = one(r#"{"request":{"method":"BREW"}}"#);
    assert!(found.len() == 2 && found[0].starts_with("Required Bundle.entry.request.url"), "{found:?}");
    assert!(one("1")[0].starts_with("Structure Bundle.entry: must be a JSON object"));
}

#[test]
fn a_local_reference_means_the_nearest_container() {
    let inner = r##"{"resourceType":"Patient","managingOrganization":{"reference":"#o"},"contained":[{"resourceType":"Organization","id":"o","partOf":{"reference":"#"}}]}"##;
    check(
        &of("Bundle", &format!(r#""type":"collection","entry":[{{"resource":{inner}}}]"#)),
        &["Value Bundle.entry[0].resource.contained[0].partOf.reference: must not refer to Patient"],
    );
    let outside = inner.replace("\"#\"", "\"#o\"");
    check(&of("Bundle", &format!(r#""type":"collection","entry":[{{"resource":{outside}}}]"#)), &[]);
}

#[test]
fn codes_of_closed_required_bindings() {
    patient(
        r#""gender":"F""#,
        "CodeInvalid Patient.gender: must have a code of the value set http://hl7.org/fhir/ValueSet/administrative-gender",
    );
    patient(r#""name":[{"use":"nickname-x"}]"#, "CodeInvalid Patient.name[0].use: must have a code");
    let account = |currency: &str, expected: &[&str]| {
        check(
            &of("Invoice", &format!(r#""status":"issued","totalNet":{{"value":1,"currency":"{currency}"}}"#)),
            expected,
        );
    };
    account("COP", &[]);
    account("pesos", &["CodeInvalid Invoice.totalNet.currency: must have a code of the value set"]);
    let condition = |coding: &str, expected: &[&str]| {
        check(&of("Condition", &format!(r#""subject":{{"display":"x"}},"clinicalStatus":{coding}"#)), expected);
    };
    const ACTIVE: &str = r#"{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}"#;
    condition(&format!(r#"{{"coding":[{ACTIVE}]}}"#), &[]);
    condition(&format!(r#"{{"coding":[{{"system":"http://own","code":"a"}},{ACTIVE}]}}"#), &[]);
    condition(r#"{"extension":[{"url":"u","valueCode":"unknown"}]}"#, &[]);
    condition(r#"{"text":"active"}"#, &["CodeInvalid Condition.clinicalStatus: must"]);
    condition(r#"{"coding":[{"code":"active"}]}"#, &["CodeInvalid Condition.clinicalStatus: must"]);
    condition(
        &format!(r#"{{"coding":[{}]}}"#, ACTIVE.replace("active", "aktiv")),
        &["CodeInvalid Condition.clinicalStatus: must"],
    );
    condition(r#"{"coding":[{"system":"http://own","code":"a"}]}"#, &["CodeInvalid Condition.clinicalStatus: must"]);
}

#[test]
fn all_problems_at_once_structure_first_and_bounded() {
    check(
        &of("Patient", r#""gender":"F","extension":[{"url":"u"}],"birthDate":"x","nombre":1"#),
        &[
            "Value Patient.birthDate",
            "Structure Patient.nombre",
            "CodeInvalid Patient.gender",
            "Invariant Patient.extension[0]",
        ],
    );
    let many = format!(r#""name":[{}]"#, vec![r#"{"x":1}"#; 500].join(","));
    assert_eq!(issues(&of("Patient", &many)).len(), MAX_ISSUES);
}

#[test]
fn texts_hold_no_values() {
    let bad = of(
        "Patient",
        r#""id":"Ana_1","gender":"Ana","birthDate":"Ana","Ana Ruiz":1,"generalPractitioner":[{"reference":"Ana"}],"name":["Ana"]"#,
    );
    let found = issues(&bad);
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(found.iter().all(|text| !text.contains("Ana")), "{found:#?}");
}

/// Every node of a good resource replaced by values that do not belong there: judged, and nearly always refused.
#[test]
fn any_node_may_be_anything() {
    let good = of(
        "Patient",
        r##""id":"a","active":true,"name":[{"given":["x",null],"_given":[null,{"extension":[{"url":"u","valueString":"y"}]}]}],"contact":[{"period":{"start":"2015"}}],"deceasedBoolean":false,"contained":[{"resourceType":"Organization","id":"o"}],"managingOrganization":{"reference":"#o"},"text":{"status":"generated","div":"<div>x</div>"}"##,
    );
    check(&good, &[]);
    let good = parse_json(good.as_bytes(), &Limits::default()).unwrap();
    let mut places = Vec::new();
    pointers(&good, String::new(), &mut places);
    let (mut runs, mut refused) = (0, 0);
    for place in &places {
        for odd in
            ["null", "[]", "{}", "\"_\"", "-1", "[null]", "[[{}]]", r#"{"resourceType":"Patient"}"#, r#"{"_id":null}"#]
        {
            let mut resource = good.clone();
            *resource.pointer_mut(place).unwrap() = serde_json::from_str(odd).unwrap();
            runs += 1;
            refused +=
                usize::from(!validate(r4(), ResourceType::parse("Patient").unwrap(), &resource, LONGEST).is_empty());
        }
    }
    // The rest: a string where any string will do, a Patient without content as the resource itself.
    assert!(runs - refused <= 8, "{refused} of {runs}");
}

fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| pointers(value, format!("{at}/{name}"), out)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| pointers(value, format!("{at}/{n}"), out))
        }
        _ => {}
    }
    out.push(at);
}
