//! Everything of a patient: `$everything`, `/paciente/{id}` as JSON and the PDF, for each role and with its trace.

use crate::access::ROLES;
use crate::harness::data::{encounter, patient_with, result, weight};
use crate::harness::fhir::as_patient;
use crate::harness::{Fhir, anonymous, database, fhir, run, skip, unique};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// A patient with a bit of everything; the id and the number of its document.
async fn someone(by: &Fhir) -> (String, String) {
    let number = unique();
    let mut person = patient_with(&number);
    person["name"][0]["family"] = "Ñúñez Güiza".into();
    let id = by.create(person).await["id"].as_str().unwrap().to_owned();
    let subject = format!("Patient/{id}");
    let doctor = fhir("integracion")
        .await
        .create(json!({"resourceType": "Practitioner", "name": [{"family": "Ávila Peña", "given": ["Íngrid"]}]}))
        .await;
    let mut visit = encounter(&subject);
    visit["participant"] =
        json!([{"individual": {"reference": format!("Practitioner/{}", doctor["id"].as_str().unwrap())}}]);
    by.create(visit).await;
    by.create(
        json!({"resourceType": "Condition", "subject": {"reference": subject}, "code": {"text": "Migraña crónica"}}),
    )
    .await;
    by.create(weight(&subject, "2024-05-06T07:08:09-05:00")).await;
    by.create(result(&subject, "final")).await;
    by.create(result(&subject, "preliminary")).await;
    (id, number)
}

/// How many resources of each type, matches only.
fn types(bundle: &Value) -> BTreeMap<String, usize> {
    let mut types = BTreeMap::new();
    for entry in bundle["entry"].as_array().into_iter().flatten().filter(|entry| entry["search"]["mode"] == "match") {
        *types.entry(entry["resource"]["resourceType"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    types
}

fn expected(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

#[test]
fn each_role_gets_what_it_may_see_and_no_more() {
    run(async {
        let (id, _) = someone(&fhir("medico").await).await;
        let all = expected(&[("Patient", 1), ("Encounter", 1), ("Condition", 1), ("Observation", 3)]);
        for role in ROLES {
            let caller = if role == "paciente" { as_patient(&id).await } else { fhir(role).await };
            let paths = [format!("Patient/{id}/$everything"), format!("/paciente/{id}")];
            for path in paths {
                let reply = caller.get(&path).await;
                let seen = match role {
                    "admin" => {
                        reply.refused(403, "forbidden");
                        continue;
                    }
                    "admisionista" => expected(&[("Patient", 1), ("Encounter", 1)]),
                    // Not the preliminary one.
                    "paciente" => expected(&[("Patient", 1), ("Encounter", 1), ("Condition", 1), ("Observation", 2)]),
                    _ => all.clone(),
                };
                let bundle = reply.expect(200).json();
                assert_eq!(types(&bundle), seen, "{role} {path}");
                assert_eq!(bundle["total"].as_u64(), Some(seen.values().sum::<usize>() as u64), "{role}");
                let included =
                    bundle["entry"].as_array().unwrap().iter().filter(|entry| entry["search"]["mode"] == "include");
                assert_eq!(
                    included.map(|entry| entry["resource"]["resourceType"].as_str().unwrap()).collect::<Vec<_>>(),
                    ["Practitioner"],
                    "{role}"
                );
            }
        }
    });
}

#[test]
fn a_patient_reaches_only_its_own() {
    run(async {
        let medico = fhir("medico").await;
        let ((own, _), (other, number)) = (someone(&medico).await, someone(&medico).await);
        let caller = as_patient(&own).await;
        let absent = caller.get("/paciente/no-such-id").await.refused(404, "not-found").text();
        for path in [format!("/paciente/{other}"), format!("/paciente/CC-{number}"), format!("/paciente/{number}")] {
            assert_eq!(caller.get(&path).await.refused(404, "not-found").text(), absent, "{path}");
        }
        assert_eq!(caller.get(&format!("/exportar_pdf/{other}")).await.refused(404, "not-found").text(), absent);
        caller.get(&format!("Patient/{other}/$everything")).await.refused(404, "not-found");
        caller.get(&format!("/exportar_pdf/{own}")).await.expect(200);
    });
}

#[test]
fn pages_hold_each_resource_once() {
    run(async {
        let medico = fhir("medico").await;
        let (id, _) = someone(&medico).await;
        let pages = medico.all(&format!("Patient/{id}/$everything?_count=2")).await;
        assert!(pages.len() >= 3, "{} pages", pages.len());
        assert_eq!(pages[0][0]["resourceType"], "Patient");
        let patients = pages.iter().flatten().filter(|resource| resource["resourceType"] != "Practitioner");
        let names: Vec<String> = patients.map(|r| format!("{}/{}", r["resourceType"], r["id"])).collect();
        assert_eq!((names.len(), names.iter().collect::<BTreeSet<_>>().len()), (6, 6), "{names:?}");

        let first = medico.get(&format!("Patient/{id}/$everything?_count=2")).await.expect(200);
        let next = first.link("next").expect("a next page");
        assert!(first.json().get("total").is_none());
        let (other, _) = someone(&medico).await;
        medico.get(&next.replace(&id, &other)).await.refused(400, "value");
        medico.get(&next.replace("_count=2", "_count=3")).await.refused(400, "value");
        let typed = medico.get(&format!("Patient/{id}/$everything?_type=Condition,Observation")).await.expect(200);
        assert_eq!(types(&typed.json()), expected(&[("Condition", 1), ("Observation", 3)]));
        let since = medico.get(&format!("Patient/{id}/$everything?_since=2100-01-01T00:00:00Z")).await.expect(200);
        assert_eq!(since.total(), Some(0));
        let body = json!({"resourceType": "Parameters", "parameter": [{"name": "_type", "valueCode": "Encounter"}]});
        let posted = medico.post(&format!("Patient/{id}/$everything"), &body).await.expect(200);
        assert_eq!(types(&posted.json()), expected(&[("Encounter", 1)]));
        medico.get(&format!("Patient/{id}/$everything?start=ayer")).await.refused(400, "value");
        medico.get(&format!("Patient/{id}/$everything?name=x")).await.refused(400, "value");
    });
}

#[test]
fn an_address_means_one_patient_or_none() {
    run(async {
        let medico = fhir("medico").await;
        let (id, number) = someone(&medico).await;
        let found = async |given: &str| {
            let reply = medico.get(&format!("/paciente/{given}")).await;
            if reply.status == 404 {
                None
            } else {
                Some(reply.expect(200).resources()[0]["id"].as_str().unwrap().to_owned())
            }
        };
        let pointed = format!("{}.{}.{}.{}", &number[..1], &number[1..4], &number[4..7], &number[7..]);
        for given in [id.clone(), format!("CC-{number}"), format!("cc-{pointed}"), number.clone(), pointed] {
            assert_eq!(found(&given).await.as_ref(), Some(&id), "{given}");
        }
        for given in [format!("TI-{number}"), format!("REG-{id}"), "CC-".to_owned(), "-".to_owned(), "%20".to_owned()] {
            assert_eq!(found(&given).await, None, "{given}");
        }
        // A second one with the same number: nobody is guessed. Another type of document tells them apart.
        let mut twin = patient_with(&number);
        twin["identifier"][0]["type"]["coding"][0]["code"] = "CE".into();
        let twin = medico.create(twin).await["id"].as_str().unwrap().to_owned();
        assert_eq!(found(&number).await, None);
        assert_eq!(
            (found(&format!("CC-{number}")).await, found(&format!("CE-{number}")).await),
            (Some(id.clone()), Some(twin))
        );
        // A document that is old no longer means its person; the key under which the record lies never did.
        let mut person = medico.get(&format!("Patient/{id}")).await.expect(200).json();
        person["identifier"][0]["use"] = "old".into();
        medico.put(&format!("Patient/{id}"), &person).await.expect(200);
        assert_eq!(found(&format!("CC-{number}")).await, None);
        assert_eq!(found(&id).await, Some(id.clone()));
        let deleted = someone_alone(&medico).await;
        medico.delete(&format!("Patient/{deleted}")).await.expect(204);
        assert_eq!(found(&deleted).await, None);
        medico.get(&format!("Patient/{deleted}/$everything")).await.refused(410, "deleted");
    });
}

async fn someone_alone(by: &Fhir) -> String {
    by.create(patient_with(&unique())).await["id"].as_str().unwrap().to_owned()
}

/// The text of a PDF, blanks made one; none where poppler is not installed.
fn text(bytes: &[u8]) -> Option<String> {
    let path = std::env::temp_dir().join(format!("historia-it-{}.pdf", unique()));
    std::fs::write(&path, bytes).unwrap();
    let run = Command::new("pdftotext").args(["-raw", &path.display().to_string(), "-"]).output();
    let _ = std::fs::remove_file(&path);
    Some(String::from_utf8(run.ok()?.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn the_pdf_is_for_those_who_may_export_and_leaves_its_trace() {
    run(async {
        let medico = fhir("medico").await;
        let (id, number) = someone(&medico).await;
        anonymous().get(&format!("/exportar_pdf/{id}")).await.expect(401);
        for role in ROLES {
            let caller = if role == "paciente" { as_patient(&id).await } else { fhir(role).await };
            let reply = caller.get(&format!("/exportar_pdf/{id}")).await;
            if !["paciente", "medico", "resultados"].contains(&role) {
                reply.refused(403, "forbidden");
                caller.get("/exportar_pdf/no-such-id").await.refused(403, "forbidden");
                continue;
            }
            let reply = reply.expect(200);
            assert_eq!(
                (reply.header("content-type"), reply.header("content-disposition")),
                ("application/pdf", "attachment; filename=\"historia-clinica.pdf\"")
            );
            assert!(reply.header("cache-control").contains("no-store") && reply.body.starts_with(b"%PDF-"), "{role}");
            let Some(text) = text(&reply.body) else {
                skip("the_pdf_is_for_those_who_may_export_and_leaves_its_trace", "pdftotext is not installed");
                return;
            };
            for wanted in [
                "Ñúñez Güiza, Ana María",
                "Migraña crónica",
                "Íngrid Ávila Peña",
                "72,5",
                "Documento reservado",
                "Página 1 de",
            ] {
                assert!(text.contains(wanted), "{role}: {wanted}: {text}");
            }
            assert_eq!(text.contains("preliminar"), role != "paciente", "{role}: {text}");
        }
        let Some(client) = database::of_server().await else { return };
        let request = format!("it-{}", unique());
        let headers = [("x-request-id", request.as_str())];
        let reply = medico.get_with(&format!("/exportar_pdf/CC-{number}"), &headers).await.expect(200);
        let sql = "select action, outcome, resource_id, patient_id, detail from audit_event where request_id = $1";
        let rows = database::rows(&client, sql, &[&request]).await;
        assert_eq!(rows.len(), 1, "one record");
        let (action, outcome, whose, detail): (String, i16, String, String) =
            (rows[0].get(0), rows[0].get(1), rows[0].get(3), rows[0].get(4));
        assert_eq!((action.as_str(), outcome, &whose), ("export", 0, &id));
        let code = detail.split("code=").nth(1).expect("a code");
        assert!(detail.starts_with("pdf pages=") && !detail.contains(&number), "{detail}");
        assert!(text(&reply.body).is_none_or(|text| text.contains(&format!("Código {code}"))));
    });
}

#[test]
fn what_is_written_into_a_record_stays_text_in_the_pdf() {
    run(async {
        let medico = fhir("medico").await;
        let (id, _) = someone(&medico).await;
        let payloads = [
            "<script>alert(1)</script>",
            "{{this}}",
            "(a) Tj ET Q",
            "\\)>>endobj",
            "${7*7}",
            "\u{202E}evil",
            "%PDF-1.4 << /JS >>",
            "'); drop table resource; --",
        ];
        for payload in payloads {
            medico.create(json!({"resourceType": "Condition", "subject": {"reference": format!("Patient/{id}")}, "code": {"text": payload}})).await;
        }
        let reply = medico.get(&format!("/exportar_pdf/{id}")).await.expect(200);
        let Some(text) = text(&reply.body) else { return };
        for payload in payloads {
            let shown = payload.replace('\u{202E}', "");
            assert!(text.contains(&shown), "{payload}: {text}");
        }
        let raw = String::from_utf8_lossy(&reply.body);
        assert!(!raw.contains("/JS ") && !raw.contains("/JavaScript"), "no script object");
    });
}
