//! PATCH and the conditional forms of update, patch and delete (<https://hl7.org/fhir/R4/http.html#patch>).

use crate::harness::data::{bundle, encounter, entry, patient, patient_with, weight};
use crate::harness::{Fhir, Reply, anonymous, fhir, run, unique};
use serde_json::{Value, json};

const JSON_PATCH: &str = "application/json-patch+json";

async fn json_patch(caller: &Fhir, path: &str, headers: &[(&str, &str)], operations: &Value) -> Reply {
    let mut all = vec![("content-type", JSON_PATCH)];
    all.extend_from_slice(headers);
    caller.send("PATCH", path, &all, Some(operations.to_string().into_bytes())).await
}

/// A FHIRPath Patch of one operation.
fn parameters(kind: &str, path: &str, more: &[Value]) -> Value {
    let mut parts = vec![json!({"name": "type", "valueCode": kind}), json!({"name": "path", "valueString": path})];
    parts.extend_from_slice(more);
    json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]})
}

async fn fhirpath_patch(caller: &Fhir, path: &str, headers: &[(&str, &str)], patch: &Value) -> Reply {
    caller.raw("PATCH", path, headers, &patch.to_string()).await
}

/// A Patient of a number of its own: its address, the criteria that pick it, what is stored.
async fn person(medico: &Fhir) -> (String, String, Value) {
    let number = unique();
    let one = medico.create(patient_with(&number)).await;
    (format!("Patient/{}", one["id"].as_str().unwrap()), format!("identifier={number}"), one)
}

#[test]
fn a_json_patch_makes_the_next_version() {
    run(async {
        let medico = fhir("medico").await;
        let (path, _, _) = person(&medico).await;
        let subject = path.clone();
        let text = weight(&subject, "2024").to_string().replace("72.5", "72.50");
        let observation = medico.raw("POST", "Observation", &[], &text).await.expect(201);
        let path = format!("Observation/{}", observation.id());
        let body = r#"[{"op":"test","path":"/valueQuantity/value","value":72.5},
            {"op":"replace","path":"/status","value":"amended"},{"op":"add","path":"/note","value":[{"text":"1.0E2"}]}]"#;
        let reply = medico.send("PATCH", &path, &[("content-type", JSON_PATCH)], Some(body.into())).await.expect(200);
        assert_eq!(reply.version(), 2);
        assert!(reply.header("location").ends_with(&format!("{path}/_history/2")), "{}", reply.header("location"));
        let read = medico.get(&path).await.expect(200);
        assert_eq!((read.version(), read.text()), (2, reply.text()));
        assert!(read.text().contains("\"value\":72.50,") && read.json()["status"] == "amended", "{}", read.text());
        let history = medico.get(&format!("{path}/_history")).await.expect(200).json();
        assert_eq!(history["entry"][0]["request"]["method"], "PATCH");
        assert_eq!(history["entry"][0]["response"]["status"], "200 OK");
        // Found by what it says now, not by what it said.
        let found = |status: &str| format!("Observation?subject={subject}&status={status}");
        assert_eq!(medico.get(&found("amended")).await.expect(200).ids().len(), 1);
        assert_eq!(medico.get(&found("final")).await.expect(200).ids().len(), 0);
        let minimal = [("prefer", "return=minimal")];
        let again = json!([{"op": "replace", "path": "/status", "value": "final"}]);
        let reply = json_patch(&medico, &path, &minimal, &again).await.expect(200);
        assert_eq!((reply.version(), reply.text()), (3, String::new()));
    });
}

#[test]
fn a_fhirpath_patch_makes_the_next_version() {
    run(async {
        let medico = fhir("medico").await;
        let (path, _, _) = person(&medico).await;
        let add = parameters(
            "add",
            "Patient",
            &[
                json!({"name": "name", "valueString": "maritalStatus"}),
                json!({"name": "value", "valueCodeableConcept": {"text": "Casada"}}),
            ],
        );
        let reply = fhirpath_patch(&medico, &path, &[], &add).await.expect(200);
        assert_eq!((reply.version(), &reply.json()["maritalStatus"]["text"]), (2, &json!("Casada")));
        let given = parameters("delete", "Patient.name.where(use = 'official').given[1]", &[]);
        let reply = fhirpath_patch(&medico, &path, &[], &given).await.expect(200);
        assert_eq!(reply.json()["name"][0]["given"], json!(["Ana"]));
        let reply = fhirpath_patch(&medico, &path, &[], &add).await.refused(422, "business-rule");
        assert_eq!(reply.expressions(), ["Parameters.parameter[0]"]);
        let unknown = parameters("delete", "Patient.apodo", &[]);
        fhirpath_patch(&medico, &path, &[], &unknown).await.refused(400, "not-supported");
        assert_eq!(medico.get(&path).await.expect(200).version(), 3);
    });
}

#[test]
fn what_changes_nothing_writes_nothing() {
    run(async {
        let medico = fhir("medico").await;
        let (path, _, one) = person(&medico).await;
        let same = json!([{"op": "replace", "path": "/gender", "value": "female"}]);
        let reply = json_patch(&medico, &path, &[], &same).await.expect(200);
        assert_eq!((reply.version(), reply.json()), (1, one));
        let nothing = parameters("delete", "Patient.maritalStatus", &[]);
        assert_eq!(fhirpath_patch(&medico, &path, &[], &nothing).await.expect(200).version(), 1);
        json_patch(&medico, &path, &[], &json!([])).await.expect(200);
        assert_eq!(medico.get(&format!("{path}/_history")).await.expect(200).resources().len(), 1);
    });
}

#[test]
fn patches_that_cannot_be_done_are_refused() {
    run(async {
        let medico = fhir("medico").await;
        let (path, _, _) = person(&medico).await;
        let replace = |path: &str, value: Value| json!([{"op": "replace", "path": path, "value": value}]);
        let cases = [
            (replace("/apellido", "x".into()), 422, "business-rule"),
            (json!([{"op": "test", "path": "/gender", "value": "male"}]), 422, "business-rule"),
            (replace("/id", "otro".into()), 422, "business-rule"),
            (replace("/resourceType", "Person".into()), 422, "business-rule"),
            (replace("/gender", "F".into()), 422, "code-invalid"),
            (json!([{"op": "add", "path": "/apodo", "value": "x"}]), 400, "structure"),
            (replace("/birthDate", "ayer".into()), 400, "value"),
            (
                json!([{"op": "add", "path": "/managingOrganization", "value": {"reference": "Organization/no-such"}}]),
                422,
                "business-rule",
            ),
            (json!([{"op": "quitar", "path": "/gender"}]), 400, "invalid"),
            (json!({"op": "remove", "path": "/gender"}), 400, "invalid"),
        ];
        for (patch, status, code) in cases {
            let reply = json_patch(&medico, &path, &[], &patch).await;
            assert_eq!((reply.status, reply.codes()), (status, vec![code.to_owned()]), "{patch}: {}", reply.text());
        }
        // What the server owns is not the client's to set.
        let meta = json!([{"op": "add", "path": "/meta/versionId", "value": "77"}]);
        let reply = json_patch(&medico, &path, &[], &meta).await.expect(200);
        assert_eq!(reply.json()["meta"]["versionId"], "2");
        let remove = json!([{"op": "remove", "path": "/gender"}]);
        json_patch(&medico, "Patient/no-such-id", &[], &remove).await.refused(404, "not-found");
        json_patch(&medico, "Patient", &[], &remove).await.refused(400, "invalid");
        json_patch(&medico, "", &[], &remove).await.refused(405, "not-supported");
        json_patch(&medico, &format!("{path}/_history/1"), &[], &remove).await.refused(405, "not-supported");
        json_patch(&anonymous(), &path, &[], &remove).await.refused(401, "login");
        medico
            .send("PATCH", &path, &[("content-type", "text/plain")], Some(b"[]".to_vec()))
            .await
            .refused(415, "not-supported");
        medico.raw("PATCH", &path, &[], "{\"resourceType\":\"Patient\"}").await.refused(400, "invalid");
        medico.delete(&path).await.expect(204);
        json_patch(&medico, &path, &[], &remove).await.refused(410, "deleted");
    });
}

/// F063: what a patch makes is judged like any update, and only who may write may patch.
#[test]
fn f063_a_patch_is_judged_by_its_result() {
    run(async {
        let (medico, resultados) = (fhir("medico").await, fhir("resultados").await);
        let (subject, _, _) = person(&medico).await;
        let result = crate::harness::data::result(&subject, "final");
        let path = format!("Observation/{}", resultados.create(result).await["id"].as_str().unwrap());
        let clinical = json!([{"op": "replace", "path": "/category/0/coding/0/code", "value": "vital-signs"}]);
        json_patch(&resultados, &path, &[], &clinical).await.refused(403, "forbidden");
        let amended = json!([{"op": "replace", "path": "/status", "value": "amended"}]);
        json_patch(&resultados, &path, &[], &amended).await.expect(200);
        json_patch(&resultados, &subject, &[], &amended).await.refused(403, "forbidden");
        json_patch(&fhir("admin").await, &path, &[], &amended).await.refused(403, "forbidden");
    });
}

#[test]
fn if_match_and_if_none_match_are_heeded() {
    run(async {
        let medico = fhir("medico").await;
        let (path, criteria, mut one) = person(&medico).await;
        let remove = json!([{"op": "remove", "path": "/gender"}]);
        for target in [path.clone(), format!("Patient?{criteria}")] {
            json_patch(&medico, &target, &[("if-match", "W/\"7\"")], &remove).await.refused(412, "conflict");
            medico.send("DELETE", &target, &[("if-match", "W/\"7\"")], None).await.refused(412, "conflict");
            medico.put_with(&target, &[("if-match", "W/\"7\"")], &one).await.refused(412, "conflict");
            medico.put_with(&target, &[("if-none-match", "*")], &one).await.refused(412, "conflict");
        }
        json_patch(&medico, &path, &[("if-match", "W/\"1\"")], &remove).await.expect(200);
        medico.put_with(&path, &[("if-none-match", "W/\"1\"")], &one).await.refused(400, "not-supported");
        medico.put_with(&path, &[("if-match", "W/\"2\""), ("if-none-match", "*")], &one).await.refused(400, "invalid");
        medico.send("DELETE", &path, &[("if-match", "W/\"2\"")], None).await.expect(204);
        // What was deleted is not there: it is made again, with its history.
        assert_eq!(medico.put_with(&path, &[("if-none-match", "*")], &one).await.expect(201).version(), 4);
        let etags = medico.get(&format!("{path}/_history")).await.expect(200).json();
        let methods: Vec<&str> =
            etags["entry"].as_array().unwrap().iter().map(|e| e["request"]["method"].as_str().unwrap()).collect();
        assert_eq!(methods, ["PUT", "DELETE", "PATCH", "POST"]);
        let new = format!("nuevo-{}", unique());
        one["id"] = new.as_str().into();
        medico.put_with(&format!("Patient/{new}"), &[("if-match", "W/\"1\"")], &one).await.refused(412, "conflict");
        medico.put_with(&format!("Patient/{new}"), &[("if-none-match", "*")], &one).await.expect(201);
        medico.put_with(&format!("Patient/{new}"), &[("if-none-match", "*")], &one).await.refused(412, "conflict");
    });
}

#[test]
fn a_conditional_update_creates_or_replaces() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let target = format!("Patient?identifier={number}");
        let created = medico.put(&target, &patient_with(&number)).await.expect(201);
        assert_eq!(created.version(), 1);
        let mut other = patient_with(&number);
        other["birthDate"] = "1990-01-01".into();
        let updated = medico.put(&target, &other).await.expect(200);
        assert_eq!((updated.id(), updated.version()), (created.id(), 2));
        other["id"] = created.id().into();
        assert_eq!(medico.put_with(&target, &[("if-match", "W/\"2\"")], &other).await.expect(200).version(), 3);
        other["id"] = "otro".into();
        let reply = medico.put(&target, &other).await.refused(400, "value");
        assert_eq!(reply.expressions(), ["Patient.id"]);
        // With an id of its own: an update as create, unless that id is there without matching.
        let (number, id) = (unique(), format!("propio-{}", unique()));
        let mut own = patient_with(&number);
        own["id"] = id.as_str().into();
        let target = format!("Patient?identifier={number}");
        assert_eq!(medico.put(&target, &own).await.expect(201).id(), id);
        let absent = format!("Patient?identifier={}", unique());
        medico.put(&absent, &own).await.refused(409, "conflict");
        assert_eq!(medico.get(&format!("Patient/{id}")).await.expect(200).version(), 1);
        medico.create(patient_with(&number)).await;
        medico.put(&target, &own).await.refused(412, "multiple-matches");
        medico.put("Patient", &own).await.refused(400, "invalid");
        medico.put("Patient?nombre=x", &own).await.refused(400, "not-supported");
        medico.put("Patient?_sort=name", &own).await.refused(400, "invalid");
        fhir("resultados").await.put(&target, &own).await.refused(403, "forbidden");
    });
}

#[test]
fn a_conditional_patch_and_delete_act_on_the_one_match() {
    run(async {
        let medico = fhir("medico").await;
        let (path, criteria, _) = person(&medico).await;
        let target = format!("Patient?{criteria}");
        let remove = json!([{"op": "remove", "path": "/gender"}]);
        assert_eq!(json_patch(&medico, &target, &[], &remove).await.expect(200).version(), 2);
        let birth = parameters("replace", "Patient.birthDate", &[json!({"name": "value", "valueDate": "1990-01-01"})]);
        assert_eq!(fhirpath_patch(&medico, &target, &[], &birth).await.expect(200).version(), 3);
        let absent = format!("Patient?identifier={}", unique());
        json_patch(&medico, &absent, &[], &remove).await.refused(404, "not-found");
        medico.delete(&absent).await.expect(204);
        medico.create(encounter(&path)).await;
        medico.delete(&target).await.refused(409, "conflict");
        medico.delete(&format!("Encounter?subject={path}")).await.expect(204);
        medico.delete(&target).await.expect(204);
        medico.get(&path).await.refused(410, "deleted");
        json_patch(&medico, &target, &[], &remove).await.refused(404, "not-found");
        let number = unique();
        for _ in 0..2 {
            medico.create(patient_with(&number)).await;
        }
        let target = format!("Patient?identifier={number}");
        json_patch(&medico, &target, &[], &remove).await.refused(412, "multiple-matches");
        medico.delete(&target).await.refused(412, "multiple-matches");
        assert_eq!(medico.get(&target).await.expect(200).ids().len(), 2);
        medico.delete("Patient").await.refused(400, "invalid");
    });
}

#[test]
fn entries_of_bundles_patch_and_have_criteria() {
    run(async {
        let medico = fhir("medico").await;
        let encoded = |operations: &Value| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(operations.to_string())
        };
        let binary = |operations: Value| json!({"resourceType": "Binary", "contentType": JSON_PATCH, "data": encoded(&operations)});
        for kind in ["transaction", "batch"] {
            let ((first, _, _), (second, criteria, _), (third, gone, _)) =
                (person(&medico).await, person(&medico).await, person(&medico).await);
            let absent = unique();
            let url = "urn:uuid:11111111-1111-4111-8111-111111111111";
            let visit =
                encounter(if kind == "batch" { &third } else { "urn:uuid:22222222-2222-4222-8222-222222222222" });
            let link = json!({"reference": if kind == "batch" { third.as_str() } else { "urn:uuid:22222222-2222-4222-8222-222222222222" }});
            let patch = json!([{"op": "add", "path": "/link", "value": [{"other": link, "type": "seealso"}]}]);
            let mut other = patient_with(&criteria["identifier=".len()..]);
            other["birthDate"] = "1991-01-01".into();
            let mut entries = vec![
                entry("PATCH", &first, None, Some(binary(patch))),
                entry("PATCH", &format!("Patient?{gone}"), None, Some(parameters("delete", "Patient.gender", &[]))),
                entry("PUT", &format!("Patient?{criteria}"), None, Some(other)),
                entry(
                    "PUT",
                    &format!("Patient?identifier={absent}"),
                    Some("urn:uuid:22222222-2222-4222-8222-222222222222"),
                    Some(patient_with(&absent)),
                ),
                entry("DELETE", &format!("Patient?identifier={}", unique()), None, None),
                entry("POST", "Encounter", Some(url), Some(visit)),
            ];
            entries[1]["request"]["ifMatch"] = "W/\"1\"".into();
            let reply = medico.post("", &bundle(kind, entries)).await.expect(200).json();
            let of = |name: &str| -> Vec<String> {
                let all = reply["entry"].as_array().unwrap().iter();
                all.map(|e| e["response"][name].as_str().unwrap_or("-").to_owned()).collect()
            };
            let statuses = ["200 OK", "200 OK", "200 OK", "201 Created", "204 No Content", "201 Created"];
            assert_eq!(of("status"), statuses, "{kind}: {reply}");
            assert_eq!(of("etag"), ["W/\"2\"", "W/\"2\"", "W/\"2\"", "W/\"1\"", "-", "W/\"1\""], "{kind}");
            assert_eq!(medico.get(&second).await.expect(200).json()["birthDate"], "1991-01-01");
            assert!(medico.get(&third).await.expect(200).json()["gender"].is_null());
            let linked = medico.get(&first).await.expect(200).json()["link"][0]["other"]["reference"].clone();
            let made = of("location")[3].split("/_history").next().unwrap().to_owned();
            assert_eq!(linked, if kind == "batch" { third } else { made }, "{kind}");
            let history = medico.get(&format!("{first}/_history")).await.expect(200).json();
            assert_eq!(history["entry"][0]["request"]["method"], "PATCH", "{kind}");
        }
        let plain = entry("PATCH", "Patient/x", None, Some(patient()));
        medico.post("", &bundle("transaction", vec![plain])).await.refused(400, "invalid");
    });
}

#[test]
fn a_merge_patch_replaces_what_it_names() {
    run(async {
        let medico = fhir("medico").await;
        let made = medico.create(patient()).await;
        let path = format!("Patient/{}", made["id"].as_str().unwrap());
        let send = async |media: &str, patch: &str| {
            let headers = [("content-type", media)];
            medico.send("PATCH", &path, &headers, Some(patch.as_bytes().to_vec())).await
        };
        let merged = send(
            "application/merge-patch+json",
            r#"{"birthDate": "1984", "gender": null, "name": [{"family": "Ruiz"}]}"#,
        );
        let merged = merged.await.expect(200).json();
        assert_eq!((merged["birthDate"].as_str(), merged["gender"].as_str()), (Some("1984"), None));
        assert_eq!(merged["name"], serde_json::json!([{"family": "Ruiz"}]));
        assert_eq!(merged["identifier"], made["identifier"]);
        // As some clients say it; valid or refused; neither type nor id.
        assert_eq!(send("application/json", r#"{"gender": "male"}"#).await.expect(200).json()["gender"], "male");
        send("application/json", r#"{"gender": "masculino"}"#).await.refused(422, "code-invalid");
        send("application/merge-patch+json", r#"{"id": "other"}"#).await.refused(422, "business-rule");
        send("application/merge-patch+json", r#"{"resourceType": null}"#).await.refused(422, "business-rule");
        send("application/merge-patch+json", "[]").await.refused(400, "structure");
        send("application/fhir+json", r#"{"gender": "male"}"#).await.expect(400);
        assert_eq!(medico.get(&path).await.expect(200).version(), 3);
    });
}

#[test]
fn an_xml_patch_makes_the_next_version() {
    run(async {
        let medico = fhir("medico").await;
        let (path, criteria, _) = person(&medico).await;
        let media = [("content-type", "application/xml-patch+xml")];
        let send = async |target: &str, operations: &str| {
            let patch = format!("<diff xmlns:f=\"http://hl7.org/fhir\">{operations}</diff>");
            medico.send("PATCH", target, &media, Some(patch.into_bytes())).await
        };
        let reply =
            send(&path, r#"<replace sel="f:Patient/f:birthDate/@value">1990-01-01</replace>"#).await.expect(200);
        assert_eq!((reply.version(), &reply.json()["birthDate"]), (2, &json!("1990-01-01")));
        let target = format!("Patient?{criteria}");
        let add = r#"<add sel="f:Patient/f:birthDate" pos="after"><maritalStatus xmlns="http://hl7.org/fhir"><text value="Casada"/></maritalStatus></add>"#;
        assert_eq!(send(&target, add).await.expect(200).json()["maritalStatus"]["text"], "Casada");
        assert_eq!(send(&path, r#"<remove sel="f:Patient/f:maritalStatus"/>"#).await.expect(200).version(), 4);
        send(&path, r#"<remove sel="f:Patient/f:maritalStatus"/>"#).await.refused(422, "business-rule");
        send(&path, r#"<remove sel="f:Patient/f:name/f:given"/>"#).await.refused(422, "business-rule");
        send(&path, r#"<replace sel="f:Patient/f:gender/@value">F</replace>"#).await.refused(422, "code-invalid");
        send(&path, r#"<add sel="f:Patient"><apodo value="x"/></add>"#).await.refused(400, "structure");
        send(&path, "").await.refused(400, "invalid");
        send(&path, "<!DOCTYPE x>").await.refused(400, "structure");
        // The same from a Bundle, and a FHIRPath Patch as XML.
        use base64::Engine as _;
        let patch = r#"<diff><replace sel="Patient/gender/@value">other</replace></diff>"#;
        let data = base64::engine::general_purpose::STANDARD.encode(patch);
        let binary = json!({"resourceType": "Binary", "contentType": "application/xml-patch+xml", "data": data});
        medico.post("", &bundle("transaction", vec![entry("PATCH", &path, None, Some(binary))])).await.expect(200);
        assert_eq!(medico.get(&path).await.expect(200).json()["gender"], "other");
        let parameters = r#"<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/><part><name value="type"/><valueCode value="delete"/></part>
            <part><name value="path"/><valueString value="Patient.gender"/></part></parameter></Parameters>"#;
        let media = [("content-type", "application/fhir+xml"), ("accept", "application/fhir+json")];
        let reply = medico.send("PATCH", &path, &media, Some(parameters.into())).await.expect(200);
        assert!(reply.json()["gender"].is_null(), "{}", reply.text());
    });
}
