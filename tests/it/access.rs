//! Who may see and do what: the table of roles in docs/contract.md, and everything by which somebody else's record could
//! show through.

use crate::contract::table_after;
use crate::harness::data::{bundle, encounter, entry, patient, patient_with, result, weight};
use crate::harness::fhir::as_patient;
use crate::harness::{Fhir, Reply, anonymous, fhir, run, unique};
use historia::fhir::definitions::{self, ResourceType};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const ROLES: [&str; 6] = ["paciente", "admisionista", "medico", "resultados", "admin", "integracion"];

/// The contract names the kinds ("definitional, terminology and conformance types"); these are R4's.
const DIRECTORY: &str = "Organization OrganizationAffiliation Practitioner PractitionerRole Location HealthcareService Endpoint Medication Substance \
    ActivityDefinition CapabilityStatement CatalogEntry ChargeItemDefinition CodeSystem CompartmentDefinition ConceptMap DeviceDefinition \
    EffectEvidenceSynthesis EventDefinition Evidence EvidenceVariable ExampleScenario GraphDefinition ImplementationGuide InsurancePlan Library \
    Measure MedicationKnowledge MessageDefinition NamingSystem ObservationDefinition OperationDefinition PlanDefinition Questionnaire \
    ResearchDefinition ResearchElementDefinition RiskEvidenceSynthesis SearchParameter SpecimenDefinition StructureDefinition StructureMap \
    TerminologyCapabilities TestScript ValueSet";

/// read, create, change (update, delete).
type Rights = (bool, bool, bool);

/// The table of the contract: role -> column -> cell. Columns: Patient, admission, clinical, results.
fn cells() -> (BTreeMap<String, Vec<String>>, Vec<Vec<String>>) {
    let (header, rows) = table_after("## Roles", "Patient");
    // "results: DiagnosticReport, ServiceRequest, ..." -> its types
    let types = |cell: &String| {
        cell.split_once(':')
            .map_or(cell.as_str(), |(_, types)| types)
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect()
    };
    (rows.into_iter().map(|row| (row[0].clone(), row[1..].to_vec())).collect(), header[1..].iter().map(types).collect())
}

fn expected(role: &str, ty: ResourceType, cells: &BTreeMap<String, Vec<String>>, columns: &[Vec<String>]) -> Rights {
    let name = ty.name();
    if name == "AuditEvent" {
        return (role == "admin", role == "integracion", false);
    }
    if role == "integracion" {
        return (true, true, true);
    }
    if DIRECTORY.split_whitespace().any(|one| one == name) {
        let write = role == "admin";
        return (true, write, write);
    }
    let in_column = |n: usize| columns[n].iter().any(|one| one == name);
    let of_cell = |n: usize| {
        let cell = &cells[role][n];
        let write = cell.contains("write");
        (cell.contains("read"), write, write)
    };
    let compartment = !definitions::r4().compartment("Patient", ty).is_empty();
    match name {
        "Group" | "Person" => (false, false, false),
        // Results by their category: the role may at least ask.
        "Observation" if role == "resultados" => (true, true, true),
        "Patient" => of_cell(0),
        _ if in_column(1) => of_cell(1),
        _ if in_column(3) => of_cell(3),
        _ if compartment => of_cell(2),
        _ => (false, false, false),
    }
}

/// A body that no role can store: whoever may write gets 400.
fn unstorable(name: &str) -> Value {
    json!({"resourceType": name, "id": "no-such-id", "noSuchElement": true})
}

#[test]
fn f001_f005_each_role_may_do_to_each_type_what_the_contract_says() {
    run(async {
        let (cells, columns) = cells();
        assert_eq!(cells.keys().collect::<Vec<_>>().len(), 6);
        for role in ROLES {
            let caller = fhir(role).await;
            let mut entries = Vec::new();
            for ty in ResourceType::all() {
                let name = ty.name();
                entries.push(entry("GET", &format!("{name}/no-such-id"), None, None));
                entries.push(entry("GET", &format!("{name}/no-such-id/_history/1"), None, None));
                entries.push(entry("GET", &format!("{name}/no-such-id/_history"), None, None));
                entries.push(entry("GET", &format!("{name}?_id=no-such-id"), None, None));
                entries.push(entry("POST", name, None, Some(unstorable(name))));
                entries.push(entry("PUT", &format!("{name}/no-such-id"), None, Some(unstorable(name))));
                entries.push(entry("DELETE", &format!("{name}/no-such-id"), None, None));
            }
            assert_eq!(entries.len(), 146 * 7);
            let answer = caller.post("", &bundle("batch", entries)).await.expect(200).json();
            let statuses: Vec<String> = answer["entry"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| e["response"]["status"].as_str().unwrap()[..3].to_owned())
                .collect();
            let mut wrong = Vec::new();
            for (ty, got) in ResourceType::all().zip(statuses.chunks(7)) {
                let (read, create, change) = expected(role, ty, &cells, &columns);
                let say = |allowed: bool, status: &str| if allowed { status.to_owned() } else { "403".to_owned() };
                let mut want = [
                    say(read, "404"),
                    say(read, "404"),
                    say(read, "404"),
                    say(read, "200"),
                    say(create, "400"),
                    say(change, "400"),
                    say(change, "204"),
                ];
                if ty.name() == "AuditEvent" {
                    // Nobody changes them: no method for it.
                    want[5..].fill("405".to_owned());
                }
                if got != want {
                    wrong.push(format!("{role} {ty}: {got:?}, the contract says {want:?}"));
                }
            }
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        }
    });
}

#[test]
fn f021_a_denial_by_type_is_403_over_http_and_in_a_transaction() {
    run(async {
        let resultados = fhir("resultados").await;
        let condition = json!({"resourceType": "Condition", "subject": {"reference": "Patient/x"}});
        resultados.post("Condition", &condition).await.refused(403, "forbidden");
        resultados
            .post("", &bundle("transaction", vec![entry("POST", "Condition", None, Some(condition))]))
            .await
            .refused(403, "forbidden");
        let admin = fhir("admin").await;
        admin.get("Patient/x").await.refused(403, "forbidden");
        admin.get("Patient?name=x").await.refused(403, "forbidden");
        admin.get("Patient/x/_history").await.refused(403, "forbidden");
        admin.get("Patient/x/_history/1").await.refused(403, "forbidden");
        admin.delete("Patient/x").await.refused(403, "forbidden");
        anonymous().get("Patient?name=x").await.refused(401, "login");
        anonymous().post("Patient", &patient()).await.refused(401, "login");
        anonymous().post("", &bundle("batch", vec![])).await.refused(401, "login");
        anonymous().delete("Patient/x").await.refused(401, "login");
        anonymous().get("metadata").await.expect(200);
    });
}

/// What an absent instance answers, to be the same for a hidden one.
fn shape(reply: &Reply) -> (u16, String, Vec<String>) {
    let mut names: Vec<String> = reply.headers.keys().map(ToString::to_string).collect();
    names.sort();
    (reply.status, reply.text(), names)
}

/// Two people, each with data; the first has an account.
struct Two {
    medico: Fhir,
    own: String,
    other: String,
    caller: Fhir,
}

async fn two() -> Two {
    let medico = fhir("medico").await;
    let own = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
    let other = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
    let caller = as_patient(&own).await;
    Two { medico, own, other, caller }
}

async fn made(medico: &Fhir, resource: Value) -> String {
    let name = resource["resourceType"].as_str().unwrap().to_owned();
    format!("{name}/{}", medico.create(resource).await["id"].as_str().unwrap())
}

#[test]
fn f020_another_record_is_as_if_it_were_not_there() {
    run(async {
        let Two { medico, own, other, caller } = two().await;
        let of_own = [
            made(&medico, weight(&format!("Patient/{own}"), "2024")).await,
            made(&medico, encounter(&format!("Patient/{own}"))).await,
        ];
        let of_other = [
            made(&medico, weight(&format!("Patient/{other}"), "2024")).await,
            made(&medico, encounter(&format!("Patient/{other}"))).await,
        ];
        for path in of_own.iter().chain([&format!("Patient/{own}")]) {
            caller.get(path).await.expect(200);
            caller.get(&format!("{path}/_history/1")).await.expect(200);
            assert_eq!(caller.get(&format!("{path}/_history")).await.expect(200).resources().len(), 1);
        }
        for path in of_other.iter().chain([&format!("Patient/{other}")]) {
            let name = path.split('/').next().unwrap();
            for (suffix, headers) in
                [("", &[][..]), ("/_history", &[]), ("/_history/1", &[]), ("", &[("if-none-match", "W/\"1\"")])]
            {
                let hidden = caller.get_with(&format!("{path}{suffix}"), headers).await.refused(404, "not-found");
                let absent = caller.get_with(&format!("{name}/no-such-id{suffix}"), headers).await;
                assert_eq!(shape(&hidden), shape(&absent), "{path}{suffix}");
            }
            let head = caller.send("HEAD", path, &[], None).await;
            assert_eq!((head.status, head.header("etag")), (404, ""));
            // In Bundles, too.
            let get = || vec![entry("GET", path, None, None)];
            let batch = caller.post("", &bundle("batch", get())).await.expect(200).json();
            assert_eq!(batch["entry"][0]["response"]["status"], "404 Not Found");
            caller.post("", &bundle("transaction", get())).await.refused(404, "not-found");
        }
        // Deleted: 410 for those who could read it, else 404.
        medico.delete(&of_other[0]).await.expect(204);
        medico.delete(&of_own[0]).await.expect(204);
        caller.get(&of_other[0]).await.refused(404, "not-found");
        caller.get(&of_own[0]).await.refused(410, "deleted");
    });
}

#[test]
fn f030_f041_searches_hold_the_own_record_only_totals_included() {
    run(async {
        let Two { medico, own, other, caller } = two().await;
        let of_own = made(&medico, weight(&format!("Patient/{own}"), "2024-05-06")).await;
        let of_other = made(&medico, weight(&format!("Patient/{other}"), "2024-05-06")).await;
        medico.told(medico.get(&of_other).await.json()["meta"]["lastUpdated"].as_str().unwrap()).await;
        let id = |path: &str| path.split('/').nth(1).unwrap().to_owned();
        let queries = [
            "Observation".to_owned(),
            format!("Observation?subject=Patient/{own},Patient/{other}"),
            format!("Observation?_id={},{}", id(&of_own), id(&of_other)),
            "Observation?code=29463-7".to_owned(),
            "Observation?code:not=nada".to_owned(),
            "Observation?date=2024-05-06".to_owned(),
            "Observation?status=final&_sort=_lastUpdated".to_owned(),
            "Observation?_lastUpdated=ge2020".to_owned(),
        ];
        for query in &queries {
            let mark = if query.contains('?') { '&' } else { '?' };
            for tail in ["_total=accurate", "_total=estimate", "_count=1&_total=accurate"] {
                let reply = caller.get(&format!("{query}{mark}{tail}")).await.expect(200);
                assert_eq!((reply.ids(), reply.total()), (vec![id(&of_own)], Some(1)), "{query}{mark}{tail}");
            }
            assert_eq!(
                caller.get(&format!("{query}{mark}_summary=count")).await.expect(200).total(),
                Some(1),
                "{query}"
            );
        }
        for query in [
            format!("Observation?subject=Patient/{other}"),
            format!("Observation?patient={other}"),
            format!("Observation?_id={}", id(&of_other)),
        ] {
            let reply = caller.get(&query).await.expect(200);
            assert_eq!((reply.ids().len(), reply.total()), (0, Some(0)), "{query}");
        }
        assert_eq!(caller.get("Patient").await.expect(200).ids(), [own.as_str()]);
        assert_eq!(caller.get("Patient?family=pena&_total=accurate").await.expect(200).total(), Some(1));
        assert_eq!(caller.get(&format!("Patient?_id={other}")).await.expect(200).total(), Some(0));
        let batch = bundle("batch", vec![entry("GET", &format!("Observation?subject=Patient/{other}"), None, None)]);
        let answer = caller.post("", &batch).await.expect(200).json();
        assert_eq!(answer["entry"][0]["resource"]["total"], 0);
    });
}

#[test]
fn f062_a_patient_writes_nothing() {
    run(async {
        let Two { medico, own, caller, .. } = two().await;
        let mut one = medico.get(&format!("Patient/{own}")).await.json();
        one["birthDate"] = "2000-01-01".into();
        caller.put(&format!("Patient/{own}"), &one).await.refused(403, "forbidden");
        caller.delete(&format!("Patient/{own}")).await.refused(403, "forbidden");
        caller.post("Observation", &weight(&format!("Patient/{own}"), "2024")).await.refused(403, "forbidden");
        let change = bundle(
            "transaction",
            vec![entry("POST", "Observation", None, Some(weight(&format!("Patient/{own}"), "2024")))],
        );
        caller.post("", &change).await.refused(403, "forbidden");
        assert_eq!(medico.get(&format!("Patient/{own}")).await.expect(200).version(), 1);
        caller.get("Group/x").await.refused(403, "forbidden");
        caller.get("AuditEvent").await.refused(403, "forbidden");
        let hl7 = caller
            .send(
                "POST",
                "/hl7v2",
                &[("content-type", "application/hl7-v2")],
                Some(b"MSH|^~\\&|A|B|C|D|20240101||ADT^A01|1|P|2.5\r".to_vec()),
            )
            .await;
        assert_eq!(hl7.status, 403);
    });
}

#[test]
fn f022_f060_what_moved_to_another_record_is_gone_with_its_past() {
    run(async {
        let Two { medico, own, other, caller } = two().await;
        let path = made(&medico, weight(&format!("Patient/{own}"), "2024")).await;
        let mut moved = medico.get(&path).await.json();
        moved["subject"]["reference"] = format!("Patient/{other}").into();
        let reply = medico.put(&path, &moved).await;
        if reply.status != 200 {
            // F061 allows to refuse the move altogether.
            reply.refused(422, "business-rule");
            return;
        }
        for suffix in ["", "/_history", "/_history/1", "/_history/2"] {
            caller.get(&format!("{path}{suffix}")).await.refused(404, "not-found");
        }
        assert_eq!(caller.get("Observation").await.expect(200).total(), Some(0));
        let second = as_patient(&other).await;
        second.get(&path).await.expect(200);
        assert_eq!(second.get("Observation").await.expect(200).total(), Some(1));
        // The past was another person's.
        second.get(&format!("{path}/_history/1")).await.refused(404, "not-found");
        let history = second.get(&format!("{path}/_history")).await.expect(200);
        assert_eq!(history.resources().len(), 1, "{}", history.text());
        assert!(history.total().is_none_or(|total| total == 1), "{}", history.text());
    });
}

#[test]
fn a_patient_sees_results_only_when_they_are_released() {
    run(async {
        let Two { medico, own, caller, .. } = two().await;
        let subject = format!("Patient/{own}");
        let path = made(&medico, result(&subject, "preliminary")).await;
        let report = made(&medico, json!({
            "resourceType": "DiagnosticReport", "status": "registered", "code": {"text": "Hemograma"}, "subject": {"reference": subject}
        })).await;
        caller.get(&path).await.refused(404, "not-found");
        caller.get(&report).await.refused(404, "not-found");
        assert_eq!(caller.get("Observation?status=preliminary&_total=accurate").await.expect(200).total(), Some(0));
        let mut last = medico.get(&path).await.json();
        for (status, seen) in [("final", true), ("corrected", true), ("entered-in-error", false), ("amended", true)] {
            last["status"] = status.into();
            last = medico.put(&path, &last).await.expect(200).json();
            assert_eq!(caller.get(&path).await.status, if seen { 200 } else { 404 }, "{status}");
        }
        // Versions 2, 3 and 5 of five were released.
        caller.get(&format!("{path}/_history/1")).await.refused(404, "not-found");
        caller.get(&format!("{path}/_history/2")).await.expect(200);
        caller.get(&format!("{path}/_history/4")).await.refused(404, "not-found");
        let versions: Vec<String> = caller
            .get(&format!("{path}/_history"))
            .await
            .expect(200)
            .resources()
            .iter()
            .map(|r| r["meta"]["versionId"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(versions, ["5", "3", "2"]);
        // What is no result is seen in any state.
        let mut vital = weight(&subject, "2024");
        vital["status"] = "preliminary".into();
        caller.get(&made(&medico, vital).await).await.expect(200);
    });
}

#[test]
fn f044_a_mention_opens_nothing() {
    run(async {
        let Two { medico, own, other, caller } = two().await;
        let integracion = fhir("integracion").await;
        let (own_ref, other_ref) = (json!({"reference": format!("Patient/{own}")}), format!("Patient/{other}"));
        let mut linked = medico.get(&other_ref).await.json();
        linked["link"] = json!([{"other": own_ref, "type": "seealso"}]);
        medico.put(&other_ref, &linked).await.expect(200);
        let mut performed = weight(&other_ref, "2024");
        performed["performer"] = json!([own_ref]);
        performed["focus"] = json!([own_ref]);
        let mentions = [
            made(&medico, performed).await,
            made(&medico, json!({"resourceType": "Coverage", "status": "active", "beneficiary": {"reference": other_ref}, "payor": [own_ref], "subscriber": own_ref})).await,
            made(&medico, json!({"resourceType": "Condition", "subject": {"reference": other_ref}, "asserter": own_ref, "recorder": {"display": "x"}})).await,
            made(&medico, json!({"resourceType": "Communication", "status": "completed", "subject": {"reference": other_ref}, "recipient": [own_ref], "sender": own_ref})).await,
            other_ref.clone(),
        ];
        for path in &mentions {
            caller.get(path).await.refused(404, "not-found");
            caller.get(&format!("{path}/_history")).await.refused(404, "not-found");
        }
        for query in [
            "Observation",
            "Coverage",
            "Condition",
            "Communication",
            &format!("Observation?performer=Patient/{own}"),
            &format!("Patient?link=Patient/{own}"),
            &format!("Coverage?payor=Patient/{own}"),
        ] {
            let reply = caller.get(query).await.expect(200);
            assert_eq!((reply.ids().len(), reply.total()), (0, Some(0)), "{query}");
        }
        // Group membership is a list, not a record.
        let group = json!({"resourceType": "Group", "type": "person", "actual": true, "member": [{"entity": own_ref}]});
        let group = made(&integracion, group).await;
        caller.get(&group).await.refused(403, "forbidden");
        // What belongs to both is seen by both.
        let appointment = json!({"resourceType": "Appointment", "status": "booked", "participant": [
            {"actor": own_ref, "status": "accepted"}, {"actor": {"reference": other_ref}, "status": "accepted"}]});
        caller.get(&made(&medico, appointment).await).await.expect(200);
    });
}

#[test]
fn two_people_under_one_mistyped_document_do_not_meet() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let mut people = Vec::new();
        for _ in 0..2 {
            let id = medico.create(patient_with(&number)).await["id"].as_str().unwrap().to_owned();
            let subject = format!("Patient/{id}");
            let observation = made(&medico, weight(&subject, "2024")).await;
            let visit = made(&medico, encounter(&subject)).await;
            people.push((subject, observation, visit, as_patient(&id).await));
        }
        for (me, you) in [(0, 1), (1, 0)] {
            let (subject, observation, _, caller) = &people[me];
            let (other_subject, other_observation, other_visit, _) = &people[you];
            for path in [other_subject, other_observation, other_visit] {
                for suffix in ["", "/_history", "/_history/1"] {
                    caller.get(&format!("{path}{suffix}")).await.refused(404, "not-found");
                }
            }
            for (query, path) in [
                ("Observation", observation),
                ("Patient", subject),
                (&format!("Patient?identifier={number}")[..], subject),
            ] {
                let reply = caller.get(query).await.expect(200);
                assert_eq!(
                    (reply.ids(), reply.total()),
                    (vec![path.split('/').nth(1).unwrap().to_owned()], Some(1)),
                    "{query}"
                );
            }
            assert_eq!(caller.get(&format!("Observation?subject={other_subject}")).await.expect(200).total(), Some(0));
        }
    });
}

#[test]
fn f060_results_are_written_as_results_only() {
    run(async {
        let (medico, resultados) = (fhir("medico").await, fhir("resultados").await);
        let subject = format!("Patient/{}", medico.create(patient()).await["id"].as_str().unwrap());
        resultados.post("Observation", &weight(&subject, "2024")).await.refused(403, "forbidden");
        let own = made(&resultados, result(&subject, "final")).await;
        let mut disguised = resultados.get(&own).await.json();
        disguised["category"][0]["coding"][0]["code"] = "vital-signs".into();
        resultados.put(&own, &disguised).await.refused(403, "forbidden");
        let vital = made(&medico, weight(&subject, "2024")).await;
        let mut taken = medico.get(&vital).await.json();
        taken["category"][0]["coding"][0]["code"] = "laboratory".into();
        resultados.put(&vital, &taken).await.refused(403, "forbidden");
        resultados.delete(&vital).await.refused(403, "forbidden");
        resultados.delete(&own).await.expect(204);
    });
}

#[test]
fn f026_a_reference_tells_nothing_of_what_the_role_may_not_read() {
    run(async {
        let (medico, admisionista) = (fhir("medico").await, fhir("admisionista").await);
        let subject = format!("Patient/{}", medico.create(patient()).await["id"].as_str().unwrap());
        let condition = made(&medico, json!({"resourceType": "Condition", "subject": {"reference": subject}})).await;
        let visit = |condition: &str| {
            let mut visit = encounter(&subject);
            visit["diagnosis"] = json!([{"condition": {"reference": condition}}]);
            visit
        };
        let hidden = admisionista.post("Encounter", &visit(&condition)).await.refused(422, "business-rule");
        let absent = admisionista.post("Encounter", &visit("Condition/no-such-id")).await.refused(422, "business-rule");
        assert_eq!(hidden.text(), absent.text());
        medico.post("Encounter", &visit(&condition)).await.expect(201);
        admisionista.get(&condition).await.refused(403, "forbidden");
    });
}

#[test]
fn f120_audit_events_are_made_once_and_never_changed() {
    run(async {
        let (integracion, admin) = (fhir("integracion").await, fhir("admin").await);
        let event = json!({
            "resourceType": "AuditEvent", "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110100"},
            "recorded": "2024-01-01T00:00:00Z", "agent": [{"requestor": true}], "source": {"observer": {"display": "x"}}
        });
        let path = made(&integracion, event.clone()).await;
        integracion.get(&path).await.refused(403, "forbidden");
        integracion.delete(&path).await.refused(405, "not-supported");
        let mut changed = event;
        changed["id"] = path.split('/').nth(1).unwrap().into();
        integracion.put(&path, &changed).await.refused(405, "not-supported");
        admin.get(&path).await.expect(200);
        admin.delete(&path).await.refused(405, "not-supported");
    });
}
