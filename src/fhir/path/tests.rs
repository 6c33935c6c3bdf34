//! Expressions over small resources.

use super::*;
use crate::fhir::definitions::{ResourceType, SearchKind, r4};
use serde_json::json;

fn compile(text: &str, type_name: &str) -> Result<Expression> {
    let name = r4().type_def(type_name).unwrap().name;
    Expression::compile(r4(), text, name, &[name])
}

/// `type value` of each node; objects by their type alone.
fn run(text: &str, resource: &Value) -> Vec<String> {
    let expression = compile(text, resource["resourceType"].as_str().unwrap()).unwrap();
    let mut nodes = Vec::new();
    expression.evaluate(resource, &mut nodes);
    for node in &nodes {
        let declared = expression.result_types();
        assert!(declared.contains(&node.fhir_type) || declared.contains(&"Resource"), "{text}: {}", node.fhir_type);
    }
    let show = |node: &Node<'_>| match node.value {
        Value::Object(_) => node.fhir_type.to_owned(),
        value => format!("{} {value}", node.fhir_type),
    };
    nodes.iter().map(show).collect()
}

fn patient() -> Value {
    json!({"resourceType": "Patient", "id": "p1", "active": true,
        "name": [{"family": "García", "given": ["Ana", null, "María"]}, {"family": "Ruiz"}],
        "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}, {"value": "3"}],
        "birthDate": "1980-02-03", "_gender": {"extension": [{"url": "x"}]},
        "contact": [{"name": {"family": "Paz"}}],
        "extension": [{"url": "http://a", "valueString": "uno"}, {"url": "http://b", "valueCode": "dos"}],
        "link": [{"other": {"reference": "RelatedPerson/9"}, "type": "seealso"}]})
}

#[test]
fn paths_choices_and_filters() {
    let check = |text: &str, expected: &[&str]| assert_eq!(run(text, &patient()), expected, "{text}");
    check("Patient.id", &["id \"p1\""]);
    check("Resource.id", &["id \"p1\""]);
    check("Patient.name", &["HumanName", "HumanName"]);
    check("Patient.name.given", &["string \"Ana\"", "string \"María\""]);
    check("name[1].family", &["string \"Ruiz\""]);
    check("Patient.name.given[1]", &["string \"María\""]);
    check("Patient.name.first().family", &["string \"García\""]);
    check("Patient.name[7]", &[]);
    check("Patient.gender", &[]);
    check("Patient.active", &["boolean true"]);
    check("Patient.contact", &["Patient.contact"]);
    check("Patient.contact.name.family", &["string \"Paz\""]);
    check("Patient.telecom.where(system='email').value", &["string \"2\""]);
    check("Patient.telecom.where(system != 'email').value", &["string \"1\""]);
    check("Patient.telecom.where(system.empty()).value", &["string \"3\""]);
    check("Patient.telecom.where(system='email' or system='phone').value", &["string \"1\"", "string \"2\""]);
    check("Patient.telecom.where($this.system.exists() and value = '1')", &["ContactPoint"]);
    check("Patient.name.where(given = 'Ana')", &[]);
    check("Patient.extension('http://b').value", &["code \"dos\""]);
    check("Patient.extension('http://b').value.as(string)", &["code \"dos\""]);
    check("Patient.extension('http://c').value", &[]);
    check("Patient.extension.value.ofType(Quantity)", &[]);
    check(
        "Patient.birthDate | Patient.name.family | Practitioner.name",
        &["date \"1980-02-03\"", "string \"García\"", "string \"Ruiz\""],
    );
    check("(Patient.name | Patient.contact.name).family", &["string \"García\"", "string \"Ruiz\"", "string \"Paz\""]);
    check("Practitioner.name", &[]);
    check("Practitioner.name.exists()", &["boolean false"]);
    check("name.exists(family = 'Ruiz')", &["boolean true"]);
    check("name.exists(family = 'Rui')", &["boolean false"]);
    check("active = true", &["boolean true"]);
    check("active = 'true'", &["boolean false"]);
    check("gender = 'male'", &[]);
    check("active is boolean", &["boolean true"]);
    check("active is string", &["boolean false"]);
    check("(gender is code).not()", &[]);
    check("%resource.name.family", &["string \"García\"", "string \"Ruiz\""]);
    check("Patient.link.other.where(resolve() is RelatedPerson)", &["Reference"]);
}

#[test]
fn deceased_is_a_boolean_whatever_it_holds() {
    let text = r4().search_parameter(ResourceType::parse("Patient").unwrap(), "deceased").unwrap();
    let check = |member: Value, expected: bool| {
        let mut resource = json!({"resourceType": "Patient"});
        resource.as_object_mut().unwrap().extend(member.as_object().unwrap().clone());
        let mut nodes = Vec::new();
        text.expression.as_ref().unwrap().evaluate(&resource, &mut nodes);
        assert_eq!(nodes, [Node { value: &json!(expected), fhir_type: "boolean" }], "{resource}");
    };
    check(json!({}), false);
    check(json!({"deceasedBoolean": false}), false);
    check(json!({"deceasedBoolean": true}), true);
    check(json!({"deceasedDateTime": "2020"}), true);
}

#[test]
fn as_chooses_the_json_key() {
    let check = |member: &str, value: Value, text: &str, expected: &[&str]| {
        let resource = json!({"resourceType": "Observation", "code": {"text": "c"}, member: value});
        assert_eq!(run(text, &resource), expected, "{member} {text}");
    };
    check("valueQuantity", json!({"value": 1}), "(Observation.value as Quantity)", &["Quantity"]);
    check("valueQuantity", json!({"value": 1}), "Observation.value", &["Quantity"]);
    check("valueQuantity", json!({"value": 1}), "(Observation.value as string)", &[]);
    check(
        "valueString",
        json!("a"),
        "(Observation.value as string) | (Observation.value as CodeableConcept).text",
        &["string \"a\""],
    );
    check(
        "valueCodeableConcept",
        json!({"text": "b"}),
        "(Observation.value as CodeableConcept).text",
        &["string \"b\""],
    );
    check(
        "valueDateTime",
        json!("2020"),
        "Observation.value.as(DateTime) | Observation.value.as(Period)",
        &["dateTime \"2020\""],
    );
    check("value", json!("2020"), "Observation.value", &[]);
    check(
        "component",
        json!([{"valueInteger": 3}, {"valueInteger": 4}]),
        "Observation.component.where(value = 4).value",
        &["integer 4"],
    );
    check(
        "component",
        json!([{"code": {}}]),
        "(Observation | Observation.component).code",
        &["CodeableConcept", "CodeableConcept"],
    );
    check(
        "component",
        json!([{"interpretation": []}]),
        "(Observation | Observation.component)",
        &["Observation", "Observation.component"],
    );
}

#[test]
fn resolve_is_judged_by_the_reference() {
    let check = |subject: Value, expected: bool| {
        let resource = json!({"resourceType": "Observation", "subject": subject,
            "contained": [{"resourceType": "Patient", "id": "a"}, {"resourceType": "Group", "id": "b"}]});
        let found = run("Observation.subject.where(resolve() is Patient)", &resource);
        assert_eq!(!found.is_empty(), expected, "{subject}");
    };
    check(json!({"reference": "Patient/1"}), true);
    check(json!({"reference": "Patient/1/_history/3"}), true);
    check(json!({"reference": "http://a.example/fhir/Patient/1"}), true);
    check(json!({"reference": "https://a.example/fhir/Patient/1/_history/2"}), true);
    check(json!({"reference": "Patient?identifier=x|1/2"}), true);
    check(json!({"reference": "#a"}), true);
    check(json!({"reference": "#b"}), false);
    check(json!({"reference": "#c"}), false);
    check(json!({"reference": "#"}), false);
    check(json!({"reference": "Group/1"}), false);
    check(json!({"reference": "Group/1", "type": "Patient"}), false);
    check(json!({"reference": "Patient"}), false);
    check(json!({"reference": ""}), false);
    check(json!({"reference": "Patients/1"}), false);
    check(json!({"reference": "urn:uuid:1", "type": "Patient"}), true);
    check(json!({"reference": "urn:uuid:Patient/1"}), false);
    check(json!({"identifier": {"value": "1"}, "type": "Patient"}), true);
    check(json!({"identifier": {"value": "1"}, "type": "http://hl7.org/fhir/StructureDefinition/Patient"}), true);
    check(json!({"display": "Ana"}), false);
    check(json!({"reference": 7}), false);
    check(json!(null), false);
}

#[test]
fn nested_resources_say_their_type() {
    let bundle = json!({"resourceType": "Bundle", "entry": [{"fullUrl": "x"},
        {"resource": {"resourceType": "Composition", "id": "c"}}, {"resource": {"resourceType": "Patient", "id": "p"}}]});
    let check = |text: &str, expected: &[&str]| assert_eq!(run(text, &bundle), expected, "{text}");
    check("Bundle.entry[1].resource", &["Composition"]);
    check("Bundle.entry[0].resource", &[]);
    check("Bundle.entry.resource.ofType(Patient).id", &["id \"p\""]);
    check("Bundle.entry.resource.id", &["id \"c\"", "id \"p\""]);
}

#[test]
fn broken_json_gives_nothing_and_does_not_panic() {
    for resource in [
        json!(null),
        json!(1),
        json!([]),
        json!({"name": 1}),
        json!({"name": [[{"given": "a"}]]}),
        json!({"name": {"given": null}}),
    ] {
        let mut nodes = Vec::new();
        compile("Patient.name.given", "Patient").unwrap().evaluate(&resource, &mut nodes);
        assert_eq!(nodes, [], "{resource}");
    }
}

#[test]
fn the_longest_expressions_fit_the_stack() {
    for (start, step) in [
        ("name", ".first()"),
        ("name", "[0]"),
        ("active", ".not()"),
        ("name", ".where(family = 'García')"),
        ("active", " and active"),
    ] {
        let long = format!("{start}{}", step.repeat(150));
        assert!(!run(&long, &patient()).is_empty(), "{step}");
    }
    assert_eq!(run(&format!("name{}", ".first()".repeat(500)), &patient()), ["HumanName"]);
}

#[test]
fn unknown_things_are_refused_when_compiled() {
    for text in [
        "Patient.nome",
        "Patient.name.value",
        "Patient.name.as(Nothing)",
        "Patient.link.other.resolve()",
        "Patient.name.count()",
        "Patient.name.where(given)",
        "name = name",
        "'a'",
        "Patient.birthDate.year",
        "Bundle.entry",
        "name.is()",
    ] {
        let result = compile(text, "Patient");
        // Another type's path gives nothing: not an error.
        assert_eq!(result.is_err(), text != "Bundle.entry", "{text}");
    }
    assert!(compile("Bundle.entry.resource.ofType(DomainResource)", "Bundle").is_err());
    let long = format!("Patient{}", ".where(name.exists())".repeat(400));
    assert!(compile(&long, "Patient").is_err());
    assert!(compile(&"active and ".repeat(1_000), "Patient").is_err());
}

/// Every expression of every type compiles; nothing is dropped on the way to the registry.
#[test]
fn every_search_parameter_of_r4_compiles() {
    let facts: Vec<Value> =
        serde_json::from_str(include_str!("../../../fhir-profiles/r4/search-parameters.json")).unwrap();
    let (mut expressions, mut without, mut parts) = (0, 0, 0);
    let mut refused = Vec::new();
    for fact in &facts {
        for t in ResourceType::all() {
            let bases = fact["base"].as_array().unwrap();
            if !bases.iter().any(|base| r4().is_a(t.name(), base.as_str().unwrap())) {
                continue;
            }
            let Some(text) = fact["expression"].as_str() else {
                without += 1;
                continue;
            };
            expressions += 1;
            match Expression::compile(r4(), text, t.name(), &[t.name()]) {
                Err(error) => refused.push(format!("{t} {}: {text}: {error}", fact["code"])),
                Ok(expression) if expression.result_types().is_empty() => {
                    refused.push(format!("{t} {}: nothing: {text}", fact["code"]))
                }
                Ok(_) => {
                    let parameter = r4().search_parameters(t).iter().find(|p| p.url == fact["url"]).unwrap();
                    assert!(parameter.expression.is_some());
                    let expected = fact["component"].as_array().map_or(0, Vec::len);
                    parts += expected;
                    if parameter.components.len() != expected
                        || parameter.components.iter().any(|c| c.expression.result_types().is_empty())
                    {
                        refused.push(format!("{t} {}: a part is missing", fact["code"]));
                    }
                }
            }
        }
    }
    println!(
        "{} search parameters: {expressions} expressions and {parts} parts compiled, {without} without expression",
        facts.len()
    );
    assert_eq!(refused, Vec::<String>::new());
    assert!(facts.len() == 1_376 && expressions > 2_000 && parts > 80);
    let composite = r4().search_parameters(ResourceType::parse("Observation").unwrap());
    assert!(composite.iter().filter(|p| p.kind == SearchKind::Composite).all(|p| p.components.len() == 2));
}

/// A part of a composite parameter is seen from each node of the whole.
#[test]
fn parts_of_a_composite_parameter() {
    let observation = json!({"resourceType": "Observation", "code": {"text": "a"}, "valueQuantity": {"value": 1},
        "component": [{"code": {"text": "b"}, "valueQuantity": {"value": 2}}, {"code": {"text": "c"}, "valueString": "x"}]});
    let parameter =
        r4().search_parameter(ResourceType::parse("Observation").unwrap(), "combo-code-value-quantity").unwrap();
    let mut nodes = Vec::new();
    parameter.expression.as_ref().unwrap().evaluate(&observation, &mut nodes);
    let counts: Vec<Vec<usize>> = nodes
        .iter()
        .map(|node| {
            let count = |part: &crate::fhir::definitions::Component| {
                let mut found = Vec::new();
                part.expression.evaluate_on(*node, &observation, &mut found);
                found.len()
            };
            parameter.components.iter().map(count).collect()
        })
        .collect();
    assert_eq!(counts, [[1, 1], [1, 1], [1, 0]]);
    let sequence = json!({"resourceType": "MolecularSequence", "referenceSeq": {"referenceSeqId": {"text": "r"}}, "variant": [{"start": 1, "end": 2}]});
    let parameter = r4()
        .search_parameter(ResourceType::parse("MolecularSequence").unwrap(), "referenceseqid-variant-coordinate")
        .unwrap();
    let mut nodes = Vec::new();
    parameter.expression.as_ref().unwrap().evaluate(&sequence, &mut nodes);
    let mut parts = Vec::new();
    parameter.components.iter().for_each(|part| part.expression.evaluate_on(nodes[0], &sequence, &mut parts));
    assert_eq!(parts.iter().map(|node| node.fhir_type).collect::<Vec<_>>(), ["CodeableConcept", "integer", "integer"]);
}
