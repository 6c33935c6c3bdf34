//! Resources of invented people, and ways to spoil them.

use crate::differential::world::{Rng, World};
use crate::harness::data::{encounter, patient_with, result, weight};
use serde_json::{Value, json};

/// What is written: one or more of each column of the role table, with every supported kind of search parameter.
pub const WRITTEN: [&str; 17] = [
    "Patient",
    "Encounter",
    "Observation",
    "Condition",
    "Procedure",
    "AllergyIntolerance",
    "MedicationRequest",
    "DiagnosticReport",
    "ServiceRequest",
    "Immunization",
    "Coverage",
    "Appointment",
    "RelatedPerson",
    "Group",
    "Organization",
    "Practitioner",
    "ValueSet",
];

const FAMILIES: [&str; 8] =
    ["Peña Ruiz", "Núñez", "Güiza", "de la Torre", "Pena", "Ñáñez Ortiz", "Ruiz", "Álvarez-Gil"];
const GIVEN: [&str; 6] = ["Ana", "María José", "Íñigo", "Luz", "Andrés", "Zoé"];
const CODES: [&str; 4] = ["29463-7", "8302-2", "2345-7", "718-7"];
const CATEGORIES: [&str; 3] = ["vital-signs", "laboratory", "imaging"];

pub fn day(rng: &mut Rng) -> String {
    format!("{}-{:02}-{:02}", 1990 + rng.below(37), 1 + rng.below(12), 1 + rng.below(28))
}

/// A dateTime of any precision that FHIR allows.
pub fn moment(rng: &mut Rng) -> String {
    let day = day(rng);
    match rng.below(6) {
        0 => day[..4].to_owned(),
        1 => day[..7].to_owned(),
        2 => day,
        3 => format!("{day}T{:02}:30:00Z", rng.below(24)),
        4 => format!("{day}T{:02}:15:30.250-05:00", rng.below(24)),
        _ => format!("{day}T{:02}:00:00+02:00", rng.below(24)),
    }
}

fn coded(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

/// Ten digits that stand for a person; sometimes those of another.
pub fn document(rng: &mut Rng, world: &mut World) -> String {
    if rng.chance(8) && !world.documents.is_empty() {
        return rng.pick(&world.documents).clone();
    }
    let number = format!("{:010}", 1_000_000_000 + rng.below(8_999_999_999));
    world.documents.push(number.clone());
    number
}

fn patient(rng: &mut Rng, world: &mut World) -> Value {
    let number = document(rng, world);
    let mut one = patient_with(&number);
    one["name"][0]["family"] = (*rng.pick(&FAMILIES)).into();
    one["name"][0]["given"] = json!([rng.pick(&GIVEN), rng.pick(&GIVEN)]);
    one["gender"] = (*rng.pick(&["female", "male", "other", "unknown"])).into();
    let precision = *rng.pick(&[4, 7, 10]);
    one["birthDate"] = day(rng)[..precision].into();
    one["active"] = rng.chance(80).into();
    if rng.chance(40) {
        one["address"] =
            json!([{"city": rng.pick(&["Bogotá, D.C.", "Ibagué", "Cúcuta"]), "postalCode": "110111", "country": "CO"}]);
        one["telecom"] = json!([{"system": "phone", "value": format!("300{}", &number[..7])}, {"system": "email", "value": "a@example.org"}]);
    }
    if rng.chance(30) {
        one["meta"] = json!({"tag": [{"system": "https://example.org/tag", "code": rng.pick(&["a", "b"])}], "profile": ["https://example.org/p|1"]});
    }
    if rng.chance(10) {
        one.as_object_mut().unwrap().remove("identifier");
    }
    if let (true, Some(organization)) = (rng.chance(30), world.some(rng, "Organization")) {
        one["managingOrganization"] = json!({"reference": organization});
    }
    if let (true, Some(other)) = (rng.chance(10), world.some(rng, "Patient")) {
        one["link"] = json!([{"other": {"reference": other}, "type": "seealso"}]);
    }
    one
}

fn observation(rng: &mut Rng, world: &World, subject: &str) -> Value {
    let moment = moment(rng);
    let mut one = if rng.chance(50) {
        weight(subject, &moment)
    } else {
        result(subject, rng.word(&["preliminary", "final", "amended", "registered"]))
    };
    one["category"][0]["coding"][0]["code"] = (*rng.pick(&CATEGORIES)).into();
    one["code"]["coding"][0]["code"] = (*rng.pick(&CODES)).into();
    one["valueQuantity"]["value"] = rng.below(200).into();
    let members = one.as_object_mut().unwrap();
    match rng.below(6) {
        0 => {
            members.remove("effectiveDateTime");
            members.insert("effectivePeriod".into(), json!({"start": day(rng)}));
        }
        1 => drop(members.remove("effectiveDateTime")),
        2 => {
            members.remove("valueQuantity");
            members.insert("valueString".into(), "añejo, con | y \\".into());
        }
        3 => {
            members.remove("valueQuantity");
            members.insert("valueCodeableConcept".into(), coded("https://example.org/v", "x"));
        }
        _ => {}
    }
    if let (true, Some(visit)) = (rng.chance(30), world.some(rng, "Encounter")) {
        one["encounter"] = json!({"reference": visit});
    }
    if let (true, Some(who)) = (rng.chance(20), world.some(rng, "Practitioner")) {
        one["performer"] = json!([{"reference": who}]);
    }
    one
}

fn clinical(rng: &mut Rng, world: &World, resource_type: &str, subject: &str) -> Value {
    let who = json!({"reference": subject});
    let code = coded("http://snomed.info/sct", rng.word(&["38341003", "73211009", "44054006"]));
    let when = moment(rng);
    match resource_type {
        "Condition" => {
            json!({"resourceType": "Condition", "subject": who, "code": code, "onsetDateTime": when, "recordedDate": day(rng),
            "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", rng.word(&["active", "resolved"]))})
        }
        "Procedure" => {
            json!({"resourceType": "Procedure", "status": "completed", "subject": who, "code": code, "performedDateTime": when})
        }
        "AllergyIntolerance" => {
            json!({"resourceType": "AllergyIntolerance", "patient": who, "code": code, "criticality": "high", "recordedDate": when})
        }
        "MedicationRequest" => json!({"resourceType": "MedicationRequest", "status": rng.pick(&["active", "stopped"]),
            "intent": "order", "subject": who, "medicationCodeableConcept": {"text": "Losartán", "coding": code["coding"]}, "authoredOn": when}),
        "ServiceRequest" => {
            json!({"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": who, "code": code,
            "authoredOn": when, "identifier": [{"system": "https://example.org/pedidos", "value": rng.below(40).to_string()}]})
        }
        "Immunization" => {
            json!({"resourceType": "Immunization", "status": "completed", "patient": who, "vaccineCode": code,
            "occurrenceDateTime": when, "lotNumber": "L-1"})
        }
        "Encounter" => {
            let mut visit = encounter(subject);
            visit["status"] = (*rng.pick(&["in-progress", "finished", "planned"])).into();
            visit["period"] = json!({"start": day(rng)});
            visit
        }
        "Coverage" => {
            json!({"resourceType": "Coverage", "status": "active", "beneficiary": who, "payor": [who.clone()], "period": {"start": day(rng)}})
        }
        "RelatedPerson" => {
            json!({"resourceType": "RelatedPerson", "patient": who, "name": [{"family": rng.pick(&FAMILIES)}], "birthDate": day(rng)})
        }
        "DiagnosticReport" => {
            let results: Vec<Value> =
                world.some(rng, "Observation").into_iter().map(|one| json!({"reference": one})).collect();
            let mut report = json!({"resourceType": "DiagnosticReport", "status": rng.pick(&["preliminary", "final", "amended"]), "subject": who,
                "code": code, "effectiveDateTime": when, "issued": format!("{}T10:00:00-05:00", day(rng))});
            if !results.is_empty() {
                report["result"] = results.into();
            }
            report
        }
        "Appointment" => {
            let mut all = vec![json!({"actor": who, "status": "accepted"})];
            all.extend(
                world.some(rng, "Patient").map(|other| json!({"actor": {"reference": other}, "status": "tentative"})),
            );
            json!({"resourceType": "Appointment", "status": "booked", "participant": all,
                "start": format!("{}T10:00:00-05:00", day(rng)), "end": "2030-01-01T10:30:00-05:00"})
        }
        _ => observation(rng, world, subject),
    }
}

/// A resource of one of the written types; `subject` is whom it is about, where it is about somebody.
pub fn resource(rng: &mut Rng, world: &mut World, resource_type: &str, subject: &str) -> Value {
    match resource_type {
        "Patient" => patient(rng, world),
        "Organization" => {
            json!({"resourceType": "Organization", "name": rng.pick(&["Clínica del Norte", "Hospital Ñandú"]), "active": true,
            "identifier": [{"system": "https://example.org/sedes", "value": rng.below(60).to_string()}]})
        }
        "Practitioner" => {
            json!({"resourceType": "Practitioner", "name": [{"family": rng.pick(&FAMILIES), "given": [rng.pick(&GIVEN)]}],
            "identifier": [{"system": "https://example.org/rethus", "value": rng.below(60).to_string()}]})
        }
        "ValueSet" => {
            json!({"resourceType": "ValueSet", "url": format!("https://example.org/vs/{}", rng.below(20)), "status": "draft",
            "version": "1", "date": day(rng), "title": "Órdenes"})
        }
        "Group" => {
            let mut members = vec![json!({"entity": {"reference": subject}})];
            members.extend(world.some(rng, "Patient").map(|other| json!({"entity": {"reference": other}})));
            json!({"resourceType": "Group", "type": "person", "actual": true, "member": members})
        }
        _ => clinical(rng, world, resource_type, subject),
    }
}

/// Makes it wrong in one of the ways that are refused.
pub fn spoil(rng: &mut Rng, resource: &mut Value) {
    match rng.below(8) {
        0 => resource["colour"] = "blue".into(),
        1 => resource["status"] = "no-such-status".into(),
        2 => resource["subject"] = json!({"reference": "Patient/nadie"}),
        3 => resource["text"] = json!({"status": "generated", "div": "<div>no</div>"}),
        4 => resource["identifier"] = json!([{"period": {"start": "29/02/1988"}}]),
        5 => resource["language"] = json!(7),
        6 => resource["meta"] = json!([]),
        _ => drop(resource.as_object_mut().unwrap().remove("resourceType")),
    }
}

/// Another version of what is there.
pub fn change(rng: &mut Rng, resource: &mut Value) {
    resource["meta"] = json!({"tag": [{"system": "https://example.org/tag", "code": rng.pick(&["a", "b", "c"])}]});
    match resource["resourceType"].as_str().unwrap_or_default() {
        "Patient" => {
            resource["name"] = json!([{"family": rng.pick(&FAMILIES), "given": [rng.pick(&GIVEN)]}]);
            resource["birthDate"] = day(rng).into();
        }
        "Observation" => {
            resource["status"] = (*rng.pick(&["final", "amended", "entered-in-error"])).into();
            if resource.get("effectivePeriod").is_none() {
                resource["effectiveDateTime"] = moment(rng).into();
            }
        }
        "Condition" if resource.get("onsetPeriod").is_none() => resource["onsetDateTime"] = moment(rng).into(),
        "Encounter" => resource["period"] = json!({"start": day(rng)}),
        _ => {}
    }
}
