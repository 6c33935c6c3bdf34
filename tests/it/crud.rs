//! create, read, vread, update, delete, history of the instance, and every way to be refused
//! (<https://hl7.org/fhir/R4/http.html>).

use crate::harness::data::{content, encounter, patient, patient_with, weight};
use crate::harness::fhir::{Fhir, Reply};
use crate::harness::{anonymous, fhir, run, server, unique};
use serde_json::{Value, json};

#[test]
fn a_resource_is_created_read_changed_and_deleted() {
    run(async {
        let medico = fhir("medico").await;
        let made = medico.post("Patient", &patient()).await.expect(201);
        let id = made.id();
        assert_eq!(made.version(), 1);
        assert_eq!(made.header("location"), format!("{}/fhir/Patient/{id}/_history/1", server().http()));
        assert!(made.header("content-type").starts_with("application/fhir+json"), "{}", made.header("content-type"));
        assert!(!made.header("last-modified").is_empty());
        assert!(!made.header("x-request-id").is_empty());

        let read = medico.get(&format!("Patient/{id}")).await.expect(200);
        assert_eq!(read.json(), made.json());
        assert_eq!(read.json()["meta"]["versionId"], "1");

        let mut changed = read.json();
        changed["birthDate"] = "1985-03-01".into();
        let updated = medico.put(&format!("Patient/{id}"), &changed).await.expect(200);
        assert_eq!(updated.version(), 2);
        assert_eq!(updated.json()["birthDate"], "1985-03-01");
        assert_eq!(medico.get(&format!("Patient/{id}/_history/1")).await.expect(200).json(), made.json());
        assert_eq!(medico.get(&format!("Patient/{id}/_history/2")).await.expect(200).json(), updated.json());
        medico.get(&format!("Patient/{id}/_history/3")).await.refused(404, "not-found");
        medico.get(&format!("Patient/{id}/_history/x")).await.refused(404, "not-found");

        let deleted = medico.delete(&format!("Patient/{id}")).await.expect(204);
        assert!(deleted.body.is_empty());
        medico.get(&format!("Patient/{id}")).await.refused(410, "deleted");
        medico.get(&format!("Patient/{id}/_history/3")).await.refused(410, "deleted");
        medico.get(&format!("Patient/{id}/_history/1")).await.expect(200);
        medico.delete(&format!("Patient/{id}")).await.expect(204);
        let again = medico.put(&format!("Patient/{id}"), &changed).await.expect(201);
        assert_eq!(again.version(), 4);
    });
}

#[test]
fn the_history_of_an_instance_is_whole_and_newest_first() {
    run(async {
        let medico = fhir("medico").await;
        let mut one = medico.create(patient()).await;
        let id = one["id"].as_str().unwrap().to_owned();
        for n in 2..=5 {
            one["birthDate"] = format!("1980-01-{n:02}").into();
            one = medico.put(&format!("Patient/{id}"), &one).await.expect(200).json();
        }
        medico.delete(&format!("Patient/{id}")).await.expect(204);
        let history = medico.get(&format!("Patient/{id}/_history")).await.expect(200);
        let bundle = history.json();
        assert_eq!(bundle["type"], "history");
        assert_eq!(history.total(), Some(6));
        let methods: Vec<&str> =
            bundle["entry"].as_array().unwrap().iter().map(|e| e["request"]["method"].as_str().unwrap()).collect();
        assert_eq!(methods, ["DELETE", "PUT", "PUT", "PUT", "PUT", "POST"]);
        let etags: Vec<&str> =
            bundle["entry"].as_array().unwrap().iter().map(|e| e["response"]["etag"].as_str().unwrap()).collect();
        assert_eq!(etags, ["W/\"6\"", "W/\"5\"", "W/\"4\"", "W/\"3\"", "W/\"2\"", "W/\"1\""]);
        assert_eq!(bundle["entry"][0]["resource"], Value::Null);

        let pages = medico.all(&format!("Patient/{id}/_history?_count=4")).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
        medico.get(&format!("Patient/{id}/_history?_sort=_id")).await.refused(400, "not-supported");
        medico.get("Patient/no-such-id/_history").await.refused(404, "not-found");
    });
}

#[test]
fn update_creates_where_nothing_is() {
    run(async {
        let medico = fhir("medico").await;
        let id = format!("prueba-{}", unique());
        let mut one = patient();
        medico.put(&format!("Patient/{id}"), &one).await.refused(400, "value");
        one["id"] = "otro".into();
        medico.put(&format!("Patient/{id}"), &one).await.refused(400, "value");
        one["id"] = id.as_str().into();
        let made = medico.put(&format!("Patient/{id}"), &one).await.expect(201);
        assert_eq!((made.id(), made.version()), (id.clone(), 1));
        assert_eq!(medico.put(&format!("Patient/{id}"), &one).await.expect(200).version(), 2);
        let observation = format!("peso-{}", unique());
        let mut weight = weight(&format!("Patient/{id}"), "2024-01-02");
        weight["id"] = observation.as_str().into();
        medico.put(&format!("Observation/{observation}"), &weight).await.expect(201);
        medico.get(&format!("Observation/{observation}")).await.expect(200);
        // An id belongs to a type.
        medico.get(&format!("Encounter/{observation}")).await.refused(404, "not-found");
    });
}

#[test]
fn if_match_guards_update_and_delete() {
    run(async {
        let medico = fhir("medico").await;
        let one = medico.create(patient()).await;
        let path = format!("Patient/{}", one["id"].as_str().unwrap());
        medico.put_with(&path, &[("if-match", "W/\"1\"")], &one).await.expect(200);
        medico.put_with(&path, &[("if-match", "W/\"1\"")], &one).await.refused(412, "conflict");
        medico.put_with(&path, &[("if-match", "W/\"abc\"")], &one).await.refused(412, "conflict");
        medico.put_with(&path, &[("if-match", "2")], &one).await.refused(400, "value");
        medico.send("DELETE", &path, &[("if-match", "W/\"1\"")], None).await.refused(412, "conflict");
        medico.send("DELETE", &path, &[("if-match", "W/\"2\"")], None).await.expect(204);
        let mut absent = patient();
        absent["id"] = format!("no-{}", unique()).into();
        let path = format!("Patient/{}", absent["id"].as_str().unwrap());
        medico.put_with(&path, &[("if-match", "W/\"1\"")], &absent).await.refused(412, "conflict");
        medico.get(&path).await.refused(404, "not-found");
    });
}

#[test]
fn prefer_decides_what_a_write_gives_back() {
    run(async {
        let medico = fhir("medico").await;
        let minimal = medico.post_with("Patient", &[("prefer", "return=minimal")], &patient()).await.expect(201);
        assert!(minimal.body.is_empty() && !minimal.header("location").is_empty());
        let outcome =
            medico.post_with("Patient", &[("prefer", "return=OperationOutcome")], &patient()).await.expect(201);
        assert_eq!(outcome.json()["resourceType"], "OperationOutcome");
        let whole = medico.post_with("Patient", &[("prefer", "return=representation")], &patient()).await.expect(201);
        assert_eq!(whole.json()["resourceType"], "Patient");
    });
}

#[test]
fn a_conditional_create_makes_one() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let criteria = format!("identifier=https://www.registraduria.gov.co|{number}");
        let header = [("if-none-exist", criteria.as_str())];
        let made = medico.post_with("Patient", &header, &patient_with(&number)).await.expect(201);
        let found = medico.post_with("Patient", &header, &patient_with(&number)).await.expect(200);
        assert_eq!(found.id(), made.id());
        assert_eq!(found.header("location"), made.header("location"));
        medico.create(patient_with(&number)).await;
        medico.post_with("Patient", &header, &patient_with(&number)).await.refused(412, "multiple-matches");
        medico
            .post_with("Patient", &[("if-none-exist", "identificador=1")], &patient())
            .await
            .refused(400, "not-supported");
        medico.post_with("Patient", &[("if-none-exist", "_count=1")], &patient()).await.refused(400, "invalid");
    });
}

/// Stores the text and gives back the text of what is read.
async fn round(medico: &Fhir, text: &str) -> String {
    let resource_type = serde_json::from_str::<Value>(text).unwrap()["resourceType"].as_str().unwrap().to_owned();
    let id = medico.raw("POST", &resource_type, &[], text).await.expect(201).id();
    medico.get(&format!("{resource_type}/{id}")).await.expect(200).text()
}

#[test]
fn digits_and_offsets_are_kept() {
    run(async {
        let medico = fhir("medico").await;
        let one = medico.create(patient()).await;
        let subject = format!("Patient/{}", one["id"].as_str().unwrap());
        for digits in ["72.50", "1.0E2", "1.0e-3", "0.10", "-0.0", "100", "12345678901234567.8901", "1E+3"] {
            let text = weight(&subject, "2024-05-06T07:08:09.120-05:00").to_string().replace("72.5", digits);
            let back = round(&medico, &text).await;
            assert!(back.contains(&format!("\"value\":{digits},")), "{digits}: {back}");
        }
        for time in [
            "2024",
            "2024-05",
            "2024-05-06",
            "2024-05-06T07:08:09-05:00",
            "2024-05-06T07:08:09.120+05:30",
            "2024-05-06T12:08:09Z",
        ] {
            let back = round(&medico, &weight(&subject, time).to_string()).await;
            assert!(back.contains(&format!("\"effectiveDateTime\":\"{time}\"")), "{time}: {back}");
        }
    });
}

#[test]
fn what_is_stored_is_what_was_sent() {
    run(async {
        let medico = fhir("medico").await;
        let mut one = patient();
        one["id"] = "ignored".into();
        one["meta"] = json!({"versionId": "77", "lastUpdated": "1999-01-01T00:00:00Z", "tag": [{"system": "urn:x", "code": "t"}], "profile": ["http://example.org/p"]});
        one["text"] = json!({"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Ana &amp; María ñ</div>"});
        one["_birthDate"] = json!({"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime", "valueDateTime": "1984-02-29T10:00:00-05:00"}]});
        one["name"][0]["_given"] = json!([null, {"id": "g2"}]);
        let made = medico.post("Patient", &one).await.expect(201);
        assert_ne!(made.id(), "ignored");
        assert_eq!(made.version(), 1);
        assert_eq!(content(&made.json()), content(&one));
        assert!(made.json()["meta"]["lastUpdated"].as_str().unwrap() > "2020");
    });
}

#[test]
fn all_problems_of_a_resource_are_told_at_once() {
    run(async {
        let medico = fhir("medico").await;
        let wrong = json!({
            "resourceType": "Patient",
            "nombre": "x",
            "active": "yes",
            "birthDate": "1984-02-30",
            "gender": "femenino",
            "name": {"family": "Peña"},
            "contact": [{"gender": "male", "apodo": "y"}],
            "link": [{"type": "seealso"}],
            "multipleBirthBoolean": true,
            "multipleBirthInteger": 2
        });
        let reply = medico.post("Patient", &wrong).await.expect(400);
        let expressions = reply.expressions();
        for expected in [
            "Patient.nombre",
            "Patient.active",
            "Patient.birthDate",
            "Patient.name",
            "Patient.contact[0].apodo",
            "Patient.link[0].other",
        ] {
            assert!(expressions.iter().any(|e| e == expected), "{expected} is not among {expressions:?}");
        }
        let text = reply.text();
        assert!(
            !text.contains("femenino") && !text.contains("1984-02-30") && !text.contains("Peña"),
            "values in {text}"
        );
    });
}

/// POST of a text and the refusal that is expected.
async fn refused(medico: &Fhir, path: &str, text: &str, status: u16, code: &str, expression: &str) {
    let reply: Reply = medico.raw("POST", path, &[], text).await.refused(status, code);
    let expressions = reply.expressions();
    assert!(
        expression.is_empty() || expressions.iter().any(|e| e == expression),
        "{text}: {expression} is not among {expressions:?}"
    );
}

#[test]
fn what_is_wrong_is_refused_by_its_place() {
    run(async {
        let medico = fhir("medico").await;
        let one = medico.create(patient()).await;
        let subject = format!("Patient/{}", one["id"].as_str().unwrap());
        refused(&medico, "Patient", "{\"resourceType\":\"Patient\"", 400, "structure", "").await;
        refused(&medico, "Patient", "[]", 400, "structure", "").await;
        refused(&medico, "Patient", "{\"active\":true}", 400, "structure", "resourceType").await;
        refused(
            &medico,
            "Patient",
            "{\"resourceType\":\"Patient\",\"active\":true,\"active\":false}",
            400,
            "structure",
            "",
        )
        .await;
        refused(&medico, "Patient", "{\"resourceType\":\"Observation\"}", 400, "invalid", "resourceType").await;
        refused(&medico, "Patient", "{\"resourceType\":\"Patient\",\"name\":[]}", 400, "structure", "Patient.name")
            .await;
        refused(
            &medico,
            "Patient",
            "{\"resourceType\":\"Patient\",\"active\":null}",
            400,
            "structure",
            "Patient.active",
        )
        .await;
        refused(
            &medico,
            "Patient",
            "{\"resourceType\":\"Patient\",\"gender\":\"x\"}",
            422,
            "code-invalid",
            "Patient.gender",
        )
        .await;
        let mut no_status = weight(&subject, "2024-01-02");
        no_status.as_object_mut().unwrap().remove("status");
        refused(&medico, "Observation", &no_status.to_string(), 400, "required", "Observation.status").await;
        let absent = weight("Patient/no-such-patient", "2024-01-02");
        refused(&medico, "Observation", &absent.to_string(), 422, "business-rule", "Observation.subject.reference")
            .await;
        let kind = weight("Encounter/x", "2024-01-02");
        refused(&medico, "Observation", &kind.to_string(), 400, "value", "Observation.subject.reference").await;
    });
}

#[test]
fn what_is_referenced_is_not_deleted() {
    run(async {
        let medico = fhir("medico").await;
        let one = medico.create(patient()).await;
        let subject = format!("Patient/{}", one["id"].as_str().unwrap());
        let made = medico.create(encounter(&subject)).await;
        medico.delete(&subject).await.refused(409, "conflict");
        // Of several types the first is named, wherever their rows lie.
        let weighed = medico.create(weight(&subject, "2024-01-02")).await;
        let also = medico.create(json!({"resourceType": "Condition", "subject": {"reference": subject}})).await;
        let refusal = medico.delete(&subject).await.refused(409, "conflict");
        assert!(refusal.diagnostics().ends_with("by a Condition"), "{}", refusal.diagnostics());
        for gone in [weighed, also] {
            let path = format!("{}/{}", gone["resourceType"].as_str().unwrap(), gone["id"].as_str().unwrap());
            medico.delete(&path).await.expect(204);
        }
        medico.delete(&format!("Encounter/{}", made["id"].as_str().unwrap())).await.expect(204);
        medico.delete(&subject).await.expect(204);
    });
}

#[test]
fn addresses_methods_and_media_types_are_refused_by_their_status() {
    run(async {
        let medico = fhir("medico").await;
        let one = medico.create(patient()).await;
        let path = format!("Patient/{}", one["id"].as_str().unwrap());
        let body = patient().to_string();
        medico.get("Paciente/1").await.refused(404, "not-found");
        medico.get("Patient/no-such-id").await.refused(404, "not-found");
        medico.get("Patient/a_b").await.refused(400, "value");
        medico.get(&format!("{path}/$everything/x")).await.refused(404, "not-found");
        medico.raw("POST", &path, &[], &body).await.refused(405, "not-supported");
        let allow = medico
            .send(
                "PATCH",
                &format!("{path}/_history/1"),
                &[("content-type", "application/json-patch+json")],
                Some(b"[]".to_vec()),
            )
            .await
            .expect(405);
        assert!(allow.header("allow").contains("GET"), "{}", allow.header("allow"));
        medico.send("TRACE", &path, &[], None).await.expect(405);
        medico.get_with(&path, &[("accept", "text/turtle")]).await.refused(406, "not-supported");
        medico.get(&format!("{path}?_format=ttl")).await.refused(406, "not-supported");
        medico.get(&format!("{path}?_format=json")).await.expect(200);
        medico.get_with(&path, &[("accept", "application/json")]).await.expect(200);
        medico
            .send("POST", "Patient", &[("content-type", "text/plain")], Some(body.clone().into_bytes()))
            .await
            .refused(415, "not-supported");
        medico.send("POST", "Patient", &[], Some(body.clone().into_bytes())).await.refused(415, "not-supported");
        let packed = [("content-type", "application/fhir+json"), ("content-encoding", "br")];
        medico.send("POST", "Patient", &packed, Some(body.into_bytes())).await.refused(415, "not-supported");
        medico.get("nada/nada/nada/nada/nada").await.refused(404, "not-found");
        // HEAD is GET without its body.
        let head = medico.send("HEAD", &path, &[], None).await.expect(200);
        assert!(head.body.is_empty() && head.version() == 1);
    });
}

#[test]
fn limits_are_named_in_their_refusals() {
    run(async {
        let medico = fhir("medico").await;
        let long = "x".repeat(20_000);
        let reply = medico.get(&format!("Patient?name={long}")).await;
        assert!(matches!(reply.status, 400 | 414), "{}", reply.status);
        let mut deep = json!({"url": "http://example.org/x", "valueString": "y"});
        for _ in 0..80 {
            deep = json!({"url": "http://example.org/x", "extension": [deep]});
        }
        let mut one = patient();
        one["extension"] = json!([deep]);
        let reply = medico.post("Patient", &one).await.expect(400);
        assert!(reply.diagnostics().contains("limits.depth"), "{}", reply.text());
        let mut one = patient();
        one["name"][0]["family"] = "x".repeat(1_100_000).into();
        let reply = medico.post("Patient", &one).await.expect(400);
        assert!(reply.diagnostics().contains("limits.string"), "{}", reply.text());
        // Told by its head alone: nothing of the body is sent.
        let size = (65 * 1024 * 1024).to_string();
        let answer = crate::contract::raw_http(&format!(
            "POST /fhir/Patient HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/fhir+json\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n",
            medico.token.clone().unwrap()
        ))
        .await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("limits.body"), "{answer}");
    });
}

#[test]
fn every_refusal_is_an_outcome_with_the_request_id() {
    run(async {
        let nobody = anonymous();
        let reply = nobody.get_with("Patient/1", &[("x-request-id", "prueba-77")]).await.refused(401, "login");
        assert_eq!(reply.header("x-request-id"), "prueba-77");
        assert!(reply.header("www-authenticate").starts_with("Bearer"));
        assert!(reply.header("content-type").starts_with("application/fhir+json"));
        let strange = nobody.get_with("Patient/1", &[("x-request-id", "a b<script>")]).await;
        assert!(!strange.header("x-request-id").contains('<'));
    });
}

#[test]
fn the_capability_statement_says_what_works() {
    run(async {
        let statement = anonymous().get("metadata").await.expect(200).json();
        assert_eq!(statement["resourceType"], "CapabilityStatement");
        assert_eq!(statement["fhirVersion"], "4.0.1");
        let resources = statement["rest"][0]["resource"].as_array().unwrap();
        assert_eq!(resources.len(), 146);
        let patient = resources.iter().find(|r| r["type"] == "Patient").unwrap();
        let codes: Vec<&str> =
            patient["interaction"].as_array().unwrap().iter().filter_map(|i| i["code"].as_str()).collect();
        for code in ["read", "vread", "update", "patch", "delete", "history-instance", "create", "search-type"] {
            assert!(codes.contains(&code), "{code}");
        }
        assert_eq!((&patient["conditionalUpdate"], &patient["conditionalDelete"]), (&json!(true), &json!("single")));
        assert_eq!(
            statement["patchFormat"],
            json!([
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/xml-patch+xml",
                "application/fhir+json",
                "application/fhir+xml"
            ])
        );
        let medico = fhir("medico").await;
        // Every include that it names, of a few types.
        for name in ["Patient", "Observation", "Location"] {
            let resource = resources.iter().find(|r| r["type"] == name).unwrap();
            for (parameter, named) in [("_include", "searchInclude"), ("_revinclude", "searchRevInclude")] {
                let values: Vec<&str> = resource[named].as_array().unwrap().iter().filter_map(|v| v.as_str()).collect();
                let limits =
                    values.chunks(90).map(|some| some.iter().map(|v| format!("&{parameter}={v}")).collect::<String>());
                for query in limits {
                    medico.get(&format!("{name}?_id=nadie{query}")).await.expect(200);
                }
                assert!(values.contains(&"*"), "{name} {named}");
            }
            assert!(!resource["searchRevInclude"].to_string().contains("Medication:manufacturer"));
        }
        // Every parameter that it names is taken, for a few types with many.
        for name in ["Patient", "Observation", "Encounter", "DiagnosticReport"] {
            let resource = resources.iter().find(|r| r["type"] == name).unwrap();
            for parameter in resource["searchParam"].as_array().unwrap() {
                let value = match parameter["type"].as_str().unwrap() {
                    "date" => "2020",
                    "reference" => "Patient/1",
                    _ => "x",
                };
                let code = parameter["name"].as_str().unwrap();
                let reply = medico.get(&format!("{name}?{code}={value}&_count=1")).await;
                assert!(
                    reply.status == 200 || reply.codes() == ["value"],
                    "{name}?{code}: {} {}",
                    reply.status,
                    reply.text()
                );
            }
        }
    });
}
