//! Transactions and batches (<https://hl7.org/fhir/R4/http.html#transaction>).

use crate::harness::data::{bundle, encounter, entry, patient, patient_with, weight};
use crate::harness::{Reply, fhir, run, server, unique};
use serde_json::{Value, json};

/// `Type/id` of each entry's response.
fn places(reply: &Reply) -> Vec<String> {
    let location = |entry: &Value| {
        let location = entry["response"]["location"].as_str().unwrap_or_default().to_owned();
        location.split("/_history").next().unwrap_or_default().to_owned()
    };
    reply.json()["entry"].as_array().unwrap().iter().map(location).collect()
}

fn statuses(reply: &Reply) -> Vec<String> {
    let status = |entry: &Value| {
        entry["response"]["status"].as_str().unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
    };
    reply.json()["entry"].as_array().unwrap().iter().map(status).collect()
}

#[test]
fn references_between_entries_become_those_of_the_server() {
    run(async {
        let medico = fhir("medico").await;
        let (p, e) = ("urn:uuid:11111111-1111-4111-8111-111111111111", "urn:uuid:22222222-2222-4222-8222-222222222222");
        let mut visit = encounter(p);
        visit["text"] = json!({"status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"{p}\">Ana</a></div>")});
        let mut observation = weight(p, "2024-05-06");
        observation["encounter"] = json!({"reference": e});
        // What refers stands before what is referred to.
        let sent = bundle(
            "transaction",
            vec![
                entry("POST", "Observation", None, Some(observation)),
                entry("POST", "Encounter", Some(e), Some(visit)),
                entry("POST", "Patient", Some(p), Some(patient())),
            ],
        );
        let reply = medico.post("", &sent).await.expect(200);
        assert_eq!(reply.json()["type"], "transaction-response");
        assert_eq!(statuses(&reply), ["201", "201", "201"]);
        let places = places(&reply);
        let observation = medico.get(&places[0]).await.expect(200).json();
        assert_eq!(observation["subject"]["reference"], places[2]);
        assert_eq!(observation["encounter"]["reference"], places[1]);
        let visit = medico.get(&places[1]).await.expect(200).json();
        assert_eq!(visit["subject"]["reference"], places[2]);
        assert!(
            visit["text"]["div"].as_str().unwrap().contains(&format!("href=\"{}\"", places[2])),
            "{}",
            visit["text"]["div"]
        );
        let entry = &reply.json()["entry"][0]["response"];
        assert_eq!(entry["etag"], "W/\"1\"");
        assert!(entry["lastModified"].is_string());
    });
}

#[test]
fn two_patients_in_one_bundle_have_each_their_own() {
    run(async {
        let medico = fhir("medico").await;
        let urls = ["urn:uuid:11111111-1111-4111-8111-111111111111", "urn:uuid:22222222-2222-4222-8222-222222222222"];
        let mut entries: Vec<Value> =
            urls.iter().map(|url| entry("POST", "Patient", Some(url), Some(patient()))).collect();
        for n in 0..6 {
            entries.push(entry("POST", "Observation", None, Some(weight(urls[n % 2], &format!("2024-05-0{}", n + 1)))));
        }
        let places = places(&medico.post("", &bundle("transaction", entries)).await.expect(200));
        for (n, patient) in places[..2].iter().enumerate() {
            let found = medico.get(&format!("Observation?subject={patient}")).await.expect(200);
            let mut ids = found.ids();
            ids.sort();
            let mut expected: Vec<String> =
                places[2..].iter().skip(n).step_by(2).map(|place| place.replace("Observation/", "")).collect();
            expected.sort();
            assert_eq!(ids, expected);
        }
    });
}

/// What stands before its Patient in the Bundle lies where the Patient does, also when the Patient brings its id.
#[test]
fn data_of_a_patient_with_its_own_id_are_found_with_it() {
    run(async {
        let medico = fhir("medico").await;
        for method in ["POST", "PUT"] {
            let id = format!("propio-{}", unique());
            let mut person = patient();
            person["id"] = id.as_str().into();
            let subject = format!("Patient/{id}");
            let mut observation = weight(&subject, "2024-05-06");
            let mut url = "Observation".to_owned();
            if method == "PUT" {
                url = format!("Observation/{id}");
                observation["id"] = id.as_str().into();
            }
            let sent = bundle(
                "transaction",
                vec![entry(method, &url, None, Some(observation)), entry("PUT", &subject, None, Some(person))],
            );
            let reply = medico.post("", &sent).await.expect(200);
            assert_eq!(statuses(&reply), ["201", "201"]);
            assert_eq!(
                medico.get(&format!("Observation?subject={subject}")).await.expect(200).ids().len(),
                1,
                "{method}"
            );
            assert_eq!(medico.get(&format!("{subject}/$everything")).await.expect(200).ids().len(), 2, "{method}");
        }
    });
}

#[test]
fn entries_are_found_by_every_form_of_their_full_url() {
    run(async {
        let medico = fhir("medico").await;
        let base = format!("{}/fhir", server().http());
        let check = async |full_url: &str, own: Option<&str>, reference: &str, expected: &str| {
            let observation = entry("POST", "Observation", own, Some(weight(reference, "2024")));
            let person = entry("POST", "Patient", Some(full_url), Some(patient()));
            let reply = medico.post("", &bundle("transaction", vec![observation, person])).await.expect(200);
            let places = places(&reply);
            let stored = medico.get(&places[0]).await.expect(200).json();
            assert_eq!(stored["subject"]["reference"], expected.replace('@', &places[1]), "{full_url} {reference}");
        };
        check("urn:oid:1.2.3.4", None, "urn:oid:1.2.3.4", "@").await;
        check("http://x.example/fhir/Patient/7", None, "http://x.example/fhir/Patient/7", "@").await;
        check("http://x.example/fhir/Patient/7", Some("http://x.example/fhir/Observation/1"), "Patient/7", "@").await;
        check(&format!("{base}/Patient/7"), None, "Patient/7", "@").await;
        check(&format!("{base}/Patient/7"), Some("urn:uuid:11111111-1111-4111-8111-111111111111"), "Patient/7", "@")
            .await;
        // The version that was somewhere else is the first here.
        let versioned = "http://x.example/fhir/Patient/7/_history/4";
        check("http://x.example/fhir/Patient/7", None, versioned, "@/_history/1").await;
        let there = medico.create(patient()).await;
        let address = format!("Patient/{}", there["id"].as_str().unwrap());
        let sent = |reference: &str| {
            let put = entry("PUT", &address, Some("http://x.example/Patient/9"), Some(there.clone()));
            bundle("transaction", vec![put, entry("POST", "Observation", None, Some(weight(reference, "2024")))])
        };
        let reply = medico.post("", &sent("http://x.example/Patient/9/_history/1")).await.expect(200);
        let stored = medico.get(&places(&reply)[1]).await.expect(200).json();
        assert_eq!(stored["subject"]["reference"], format!("{address}/_history/1"));
        medico.post("", &sent("http://y.example/Patient/9")).await.expect(200);
    });
}

#[test]
fn responses_carry_what_is_preferred() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let there = medico.create(patient_with(&number)).await;
        let address = format!("Patient/{}", there["id"].as_str().unwrap());
        for kind in ["transaction", "batch"] {
            for (preferred, resource, outcome) in [
                (None, false, false),
                (Some("return=minimal"), false, false),
                (Some("return=representation"), true, false),
                (Some("return=OperationOutcome"), false, true),
            ] {
                let mut same = entry("POST", "Patient", None, Some(patient_with(&number)));
                same["request"]["ifNoneExist"] = format!("identifier={number}").into();
                let entries = vec![
                    entry("POST", "Patient", None, Some(patient())),
                    same,
                    entry("PUT", "Patient?identifier=no-such-number", None, Some(patient())),
                    entry("GET", &address, None, None),
                ];
                let headers: Vec<(&str, &str)> = preferred.map(|value| ("prefer", value)).into_iter().collect();
                let reply = medico.post_with("", &headers, &bundle(kind, entries)).await.expect(200).json();
                for (n, entry) in reply["entry"].as_array().unwrap().iter().enumerate() {
                    let is = (entry["resource"].is_object(), entry["response"]["outcome"].is_object());
                    assert_eq!(
                        is,
                        if n == 3 { (true, false) } else { (resource, outcome) },
                        "{kind} {preferred:?} {n}: {entry}"
                    );
                    if resource {
                        assert_eq!(entry["resource"]["name"][0]["family"], "Peña Ruiz", "{kind} {n}");
                    }
                }
            }
        }
    });
}

#[test]
fn entries_that_write_one_resource_are_refused_however_they_name_it() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let there = medico.create(patient_with(&number)).await;
        let address = format!("Patient/{}", there["id"].as_str().unwrap());
        let criteria = format!("Patient?identifier={number}");
        let absent = format!("Patient?identifier={}", unique());
        let twice = |a: &str, b: &str, method: &str| {
            let body = |url: &str| if url.contains('?') { patient_with(&number) } else { there.clone() };
            let first = entry("PUT", a, None, Some(body(a)));
            let second = entry(method, b, None, (method == "PUT").then(|| body(b)));
            bundle("transaction", vec![first, second])
        };
        let at = "Bundle.entry[1].request.url".to_owned();
        for (a, b, method) in [
            (&address, &criteria, "PUT"),
            (&criteria, &address, "DELETE"),
            (&criteria, &criteria, "DELETE"),
            (&criteria, &criteria, "PUT"),
        ] {
            let reply = medico.post("", &twice(a, b, method)).await.refused(400, "invalid");
            assert_eq!(reply.expressions(), std::slice::from_ref(&at), "{a} {b}");
        }
        let reply = medico.post("", &twice(&absent, &absent, "PUT")).await;
        assert_eq!((reply.status, reply.expressions()), (412, vec![at]), "{}", reply.text());
        assert_eq!(medico.get(&address).await.expect(200).version(), 1);
    });
}

#[test]
fn what_is_deleted_together_may_point_at_each_other() {
    run(async {
        let medico = fhir("medico").await;
        let person = medico.create(patient()).await;
        let subject = format!("Patient/{}", person["id"].as_str().unwrap());
        let visit = medico.create(encounter(&subject)).await;
        let visit = format!("Encounter/{}", visit["id"].as_str().unwrap());
        let gone = |more: Vec<Value>| {
            let mut entries = vec![entry("DELETE", &subject, None, None), entry("DELETE", &visit, None, None)];
            entries.extend(more);
            bundle("transaction", entries)
        };
        let new = entry("POST", "Observation", None, Some(weight(&subject, "2024")));
        let reply = medico.post("", &gone(vec![new])).await.refused(422, "business-rule");
        assert_eq!(reply.expressions(), ["Bundle.entry[2].resource.subject.reference"]);
        medico.post("", &gone(vec![])).await.expect(200);
        medico.get(&subject).await.refused(410, "deleted");
        medico.get(&visit).await.refused(410, "deleted");
    });
}

#[test]
fn conditional_entries_and_references_are_resolved() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let criteria = format!("identifier=https://www.registraduria.gov.co|{number}");
        let url = "urn:uuid:11111111-1111-4111-8111-111111111111";
        let sent = |when: &str| {
            let mut person = entry("POST", "Patient", Some(url), Some(patient_with(&number)));
            person["request"]["ifNoneExist"] = criteria.as_str().into();
            bundle("transaction", vec![person, entry("POST", "Observation", None, Some(weight(url, when)))])
        };
        let first = medico.post("", &sent("2024-01-01")).await.expect(200);
        let second = medico.post("", &sent("2024-01-02")).await.expect(200);
        assert_eq!(
            (statuses(&first), statuses(&second)),
            (vec!["201".into(), "201".into()], vec!["200".into(), "201".into()])
        );
        assert_eq!(places(&first)[0], places(&second)[0]);
        let by_reference = bundle(
            "transaction",
            vec![entry("POST", "Observation", None, Some(weight(&format!("Patient?{criteria}"), "2024-01-03")))],
        );
        let third = medico.post("", &by_reference).await.expect(200);
        let observation = medico.get(&places(&third)[0]).await.expect(200).json();
        assert_eq!(observation["subject"]["reference"], places(&first)[0]);
        assert_eq!(medico.get(&format!("Observation?subject={}", places(&first)[0])).await.expect(200).ids().len(), 3);

        let absent = format!("Patient?identifier=https://www.registraduria.gov.co|{}", unique());
        let sent = bundle("transaction", vec![entry("POST", "Observation", None, Some(weight(&absent, "2024-01-03")))]);
        medico.post("", &sent).await.refused(422, "business-rule");
        medico.create(patient_with(&number)).await;
        medico.post("", &by_reference).await.refused(412, "multiple-matches");
        let mut person = entry("POST", "Patient", None, Some(patient_with(&number)));
        person["request"]["ifNoneExist"] = criteria.as_str().into();
        medico.post("", &bundle("transaction", vec![person])).await.refused(412, "multiple-matches");
    });
}

#[test]
fn entries_are_done_in_the_order_of_the_standard() {
    run(async {
        let medico = fhir("medico").await;
        let one = medico.create(patient()).await;
        let subject = format!("Patient/{}", one["id"].as_str().unwrap());
        let gone =
            format!("Observation/{}", medico.create(weight(&subject, "2024-01-01")).await["id"].as_str().unwrap());
        let mut changed = one.clone();
        changed["birthDate"] = "1990-01-01".into();
        let sent = bundle(
            "transaction",
            vec![
                entry("GET", &format!("Observation?subject={subject}"), None, None),
                entry("GET", &subject, None, None),
                entry("PUT", &subject, None, Some(changed)),
                entry("POST", "Observation", None, Some(weight(&subject, "2024-01-02"))),
                entry("DELETE", &gone, None, None),
            ],
        );
        let reply = medico.post("", &sent).await.expect(200);
        assert_eq!(statuses(&reply), ["200", "200", "200", "201", "204"]);
        let entries = reply.json()["entry"].as_array().unwrap().clone();
        // The reads stand first and see what the others did.
        let found = entries[0]["resource"]["entry"].as_array().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(format!("Observation/{}", found[0]["resource"]["id"].as_str().unwrap()), places(&reply)[3]);
        assert_eq!(entries[1]["resource"]["birthDate"], "1990-01-01");
        medico.get(&gone).await.refused(410, "deleted");
    });
}

#[test]
fn f068_one_bad_entry_and_nothing_is_written() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let url = "urn:uuid:11111111-1111-4111-8111-111111111111";
        let person = || entry("POST", "Patient", Some(url), Some(patient_with(&number)));
        let mut invalid = weight(url, "2024-01-01");
        invalid["valueQuantity"]["value"] = "72".into();
        let mut unknown_code = weight(url, "2024-01-01");
        unknown_code["status"] = "definitivo".into();
        let stale = {
            let one = medico.create(patient()).await;
            let mut stale = entry("PUT", &format!("Patient/{}", one["id"].as_str().unwrap()), None, Some(one));
            stale["request"]["ifMatch"] = "W/\"7\"".into();
            stale
        };
        let cases = [
            (
                entry("POST", "Observation", None, Some(invalid)),
                400,
                "structure",
                "Bundle.entry[1].resource.value.value",
            ),
            (
                entry("POST", "Observation", None, Some(unknown_code)),
                422,
                "code-invalid",
                "Bundle.entry[1].resource.status",
            ),
            (
                entry("POST", "Observation", None, Some(weight("Patient/no-such-patient", "2024"))),
                422,
                "business-rule",
                "Bundle.entry[1].resource.subject.reference",
            ),
            (
                entry(
                    "POST",
                    "Observation",
                    None,
                    Some(weight("urn:uuid:33333333-3333-4333-8333-333333333333", "2024")),
                ),
                422,
                "business-rule",
                "Bundle.entry[1].resource.subject.reference",
            ),
            (stale, 412, "conflict", "Bundle.entry[1].request"),
            (entry("GET", "Patient/no-such-patient", None, None), 404, "not-found", "Bundle.entry[1]"),
            (entry("GET", "Patient?nombre=x", None, None), 400, "not-supported", "Bundle.entry[1].request"),
            (entry("PATCH", "Patient/x", None, None), 400, "invalid", "Bundle.entry[1].resource.contentType"),
            (entry("TRACE", "Patient/x", None, None), 422, "code-invalid", "Bundle.entry[1].request.method"),
            (json!({"request": {"url": "Patient"}}), 400, "required", "Bundle.entry[1].request.method"),
            (entry("POST", "Patient", None, None), 400, "invalid", "Bundle.entry[1]"),
        ];
        for (bad, status, code, expression) in cases {
            let reply = medico.post("", &bundle("transaction", vec![person(), bad])).await.refused(status, code);
            let expressions = reply.expressions();
            assert!(
                expressions.iter().any(|e| e == expression),
                "{expression} is not among {expressions:?}: {}",
                reply.text()
            );
            assert_eq!(
                medico.get(&format!("Patient?identifier={number}")).await.expect(200).ids(),
                [""; 0],
                "{expression}: something was written"
            );
        }
    });
}

#[test]
fn problems_of_all_entries_are_told_at_once() {
    run(async {
        let medico = fhir("medico").await;
        let mut bad = patient();
        bad["apodo"] = "x".into();
        let sent = bundle("transaction", (0..3).map(|_| entry("POST", "Patient", None, Some(bad.clone()))).collect());
        let reply = medico.post("", &sent).await.refused(400, "structure");
        assert_eq!(
            reply.expressions(),
            ["Bundle.entry[0].resource.apodo", "Bundle.entry[1].resource.apodo", "Bundle.entry[2].resource.apodo"]
        );
    });
}

#[test]
fn f070_entries_that_are_none_are_refused() {
    run(async {
        let integracion = fhir("integracion").await;
        let inner = bundle("transaction", vec![]);
        let cases = [
            entry("POST", "/", None, Some(inner.clone())),
            entry("POST", "", None, Some(inner)),
            entry("GET", "http://example.org/fhir/Patient/1", None, None),
            entry("GET", "Patient/../Patient", None, None),
            entry("GET", "../metadata", None, None),
            entry("GET", "Patient/1/$everything/x", None, None),
        ];
        for case in cases {
            let reply = integracion.post("", &bundle("transaction", vec![case.clone()])).await;
            assert!((400..500).contains(&reply.status), "{case}: {}", reply.status);
        }
        let own = format!("{}/fhir/metadata", server().http());
        integracion.post("", &bundle("batch", vec![entry("GET", &own, None, None)])).await.expect(200);
        integracion.post("", &bundle("collection", vec![])).await.refused(400, "invalid");
        integracion.post("", &patient()).await.refused(400, "invalid");
        let url = "urn:uuid:11111111-1111-4111-8111-111111111111";
        let twice = vec![
            entry("POST", "Patient", Some(url), Some(patient())),
            entry("POST", "Patient", Some(url), Some(patient())),
        ];
        integracion.post("", &bundle("transaction", twice)).await.refused(400, "invalid");
        let one = integracion.create(patient()).await;
        let put = entry("PUT", &format!("Patient/{}", one["id"].as_str().unwrap()), None, Some(one));
        integracion.post("", &bundle("transaction", vec![put.clone(), put])).await.refused(400, "invalid");
        integracion.post("", &bundle("transaction", vec![])).await.expect(200);
    });
}

#[test]
fn f068_a_batch_does_each_entry_for_itself() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let mut bad = patient();
        bad["apodo"] = "x".into();
        let sent = bundle(
            "batch",
            vec![
                entry("POST", "Patient", None, Some(patient_with(&number))),
                entry("POST", "Patient", None, Some(bad)),
                entry("GET", "Patient/no-such-id", None, None),
                entry("GET", &format!("Patient?identifier={number}"), None, None),
                entry("POST", "Group", None, Some(json!({"resourceType": "Group", "type": "person", "actual": true}))),
            ],
        );
        let reply = medico.post("", &sent).await.expect(200);
        assert_eq!(reply.json()["type"], "batch-response");
        assert_eq!(statuses(&reply), ["201", "400", "404", "200", "403"]);
        let entries = reply.json()["entry"].as_array().unwrap().clone();
        assert_eq!(entries[1]["response"]["outcome"]["issue"][0]["expression"][0], "Bundle.entry[1].resource.apodo");
        assert_eq!(entries[3]["resource"]["entry"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn a_transaction_is_the_same_requests_one_by_one() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let (a, b) = (medico.create(patient_with(&number)).await, patient());
        let made = medico
            .post("", &bundle("transaction", vec![entry("POST", "Patient", None, Some(b.clone()))]))
            .await
            .expect(200);
        let read = medico.get(&places(&made)[0]).await.expect(200).json();
        let strip = |resource: &Value| {
            let mut content = crate::harness::data::content(resource);
            content["identifier"][0]["value"] = "".into();
            content
        };
        assert_eq!(strip(&read), strip(&a));
        let text = weight(&places(&made)[0], "2024").to_string().replace("72.5", "1.0E2");
        let sent = format!(
            "{{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{{\"request\":{{\"method\":\"POST\",\"url\":\"Observation\"}},\"resource\":{text}}}]}}"
        );
        let made = medico.raw("POST", "", &[], &sent).await.expect(200);
        let back = medico.get(&places(&made)[0]).await.expect(200).text();
        assert!(back.contains("\"value\":1.0E2,"), "{back}");
    });
}
