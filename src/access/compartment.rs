//! Whose record a resource is (`owner`), and what access judges by (`labels`). Pure.
//!
//! Owner is the subject or patient element (beneficiary of Coverage, actor of Appointment); a Patient owns itself.
//! Mention by link, performer, author, asserter, recipient or Group membership gives nothing. Only relative
//! references and those of our own base count. The *search* compartment, which is wider, is `search::index`'s.

use crate::access::RESULTS;
use crate::fhir::definitions::ResourceType;
use crate::fhir::reference::Reference;
use serde_json::Value;

/// Elements at the root whose Patient owns the resource.
const OWNING: [&str; 4] = ["subject", "patient", "beneficiary", "individual"];

/// The Patient ids whose record this is, in the order subject, patient, beneficiary, actor; without repeats.
pub fn owner(resource_type: ResourceType, resource: &Value, base: &str) -> Vec<String> {
    let mut owners = Vec::new();
    match resource_type.name() {
        "Patient" => owners.extend(resource.get("id").and_then(Value::as_str).map(str::to_owned)),
        "Group" | "Person" => {}
        "Appointment" => {
            let participants = resource.get("participant").and_then(Value::as_array).into_iter().flatten();
            participants.filter_map(|p| p.get("actor")).for_each(|actor| push(&mut owners, actor, base));
        }
        "AppointmentResponse" => resource.get("actor").into_iter().for_each(|actor| push(&mut owners, actor, base)),
        _ => OWNING.iter().filter_map(|name| resource.get(name)).for_each(|element| push(&mut owners, element, base)),
    }
    owners
}

/// Adds the Patient of one Reference, or of each in an array of them.
fn push(owners: &mut Vec<String>, element: &Value, base: &str) {
    match element {
        Value::Array(items) => items.iter().for_each(|item| push(owners, item, base)),
        Value::Object(_) => {
            let Some(text) = element.get("reference").and_then(Value::as_str) else { return };
            let Some(Reference::Relative { resource_type, id, .. }) = Reference::parse(text, base) else { return };
            if resource_type.name() == "Patient" && !owners.iter().any(|owner| owner == id) {
                owners.push(id.to_owned());
            }
        }
        _ => {}
    }
}

/// `status:<code>` of the types whose state access judges, and [`RESULTS`] for what belongs to the results column.
/// The category counts whatever its system is: hiding too much is the safe side.
pub fn labels(resource_type: ResourceType, resource: &Value) -> Vec<String> {
    let mut labels = Vec::new();
    let result = match resource_type.name() {
        "DiagnosticReport" => true,
        "Observation" => is_result(resource),
        _ => return labels,
    };
    if result {
        labels.push(RESULTS.to_owned());
    }
    if let Some(status) = resource.get("status").and_then(Value::as_str) {
        labels.push(format!("status:{status}"));
    }
    labels
}

fn is_result(observation: &Value) -> bool {
    let categories = observation.get("category").and_then(Value::as_array).into_iter().flatten();
    categories
        .filter_map(|category| category.get("coding").and_then(Value::as_array))
        .flatten()
        .filter_map(|coding| coding.get("code").and_then(Value::as_str))
        .any(|code| code.eq_ignore_ascii_case("laboratory") || code.eq_ignore_ascii_case("imaging"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(resource: Value, expected: &[&str]) {
        let ty = ResourceType::parse(resource["resourceType"].as_str().unwrap()).unwrap();
        assert_eq!(owner(ty, &resource, "http://h/fhir"), expected, "{resource}");
    }

    #[test]
    fn owner_is_subject_not_mention() {
        check(json!({"resourceType": "Patient", "id": "a", "link": [{"other": {"reference": "Patient/b"}}]}), &["a"]);
        check(
            json!({"resourceType": "Observation", "subject": {"reference": "Patient/a"}, "performer": [{"reference": "Patient/b"}]}),
            &["a"],
        );
        check(json!({"resourceType": "Observation", "subject": {"reference": "http://h/fhir/Patient/a"}}), &["a"]);
        check(json!({"resourceType": "Observation", "subject": {"reference": "http://elsewhere/fhir/Patient/a"}}), &[]);
        check(json!({"resourceType": "Observation", "subject": {"reference": "Group/a"}}), &[]);
        check(
            json!({"resourceType": "Coverage", "beneficiary": {"reference": "Patient/a"}, "subscriber": {"reference": "Patient/b"}}),
            &["a"],
        );
        check(
            json!({"resourceType": "Account", "subject": [{"reference": "Patient/a"}, {"reference": "Patient/b"}]}),
            &["a", "b"],
        );
        check(json!({"resourceType": "Appointment", "participant": [{"actor": {"reference": "Patient/a"}}]}), &["a"]);
        check(json!({"resourceType": "Group", "member": [{"entity": {"reference": "Patient/a"}}]}), &[]);
        check(json!({"resourceType": "Observation", "subject": {"identifier": {"value": "a"}}}), &[]);
    }

    #[test]
    fn labels_of_results() {
        let observation = |code: &str| json!({"resourceType": "Observation", "status": "preliminary", "category": [{"coding": [{"code": code}]}]});
        let ty = ResourceType::parse("Observation").unwrap();
        assert_eq!(labels(ty, &observation("laboratory")), [RESULTS, "status:preliminary"]);
        assert_eq!(labels(ty, &observation("vital-signs")), ["status:preliminary"]);
    }
}
