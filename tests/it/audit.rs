//! Every interaction, denial, sign-in and message leaves its record, and no record holds a search value.

use crate::harness::data::{bundle, encounter, entry, patient, patient_with, weight};
use crate::harness::fhir::{Reply, as_patient};
use crate::harness::hl7::Visit;
use crate::harness::{Fhir, anonymous, database, fhir, run, server, skip, unique};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// The database of the shared server; tests that look into it are skipped where it cannot be reached.
async fn trail(name: &str) -> Option<Client> {
    let client = database::of_server().await;
    if client.is_none() {
        skip(name, "the database cannot be reached from here");
    }
    client
}

/// What the trail says of one request: action, outcome, role, type, id, patient, in the order of the records.
async fn records(client: &Client, request: &str) -> Vec<Value> {
    let sql = "select jsonb_build_object('action', action, 'outcome', outcome, 'role', role, 'type', resource_type, 'id', resource_id,
        'patient', patient_id, 'documento', documento_id, 'version', version, 'detail', detail, 'actor', actor)::text
        from audit_event where request_id = $1 order by recorded, id";
    let rows = database::rows(client, sql, &[&request]).await;
    rows.iter().map(|row| serde_json::from_str(row.get::<_, &str>(0)).unwrap()).collect()
}

/// Sends with a request id of its own.
async fn asked(caller: &Fhir, method: &str, path: &str, body: Option<&Value>) -> (Reply, String) {
    let id = format!("it-{}", unique());
    let headers = [("x-request-id", id.as_str()), ("content-type", "application/fhir+json")];
    let reply = caller.send(method, path, &headers, body.map(|body| body.to_string().into_bytes())).await;
    assert_eq!(reply.header("x-request-id"), id);
    (reply, id)
}

#[test]
fn whoever_is_shown_by_an_include_is_in_the_trail() {
    run(async {
        let Some(client) = trail("whoever_is_shown_by_an_include_is_in_the_trail").await else { return };
        let medico = fhir("medico").await;
        let integracion = fhir("integracion").await;
        let name = unique();
        let made = integracion.create(json!({"resourceType": "Practitioner", "name": [{"family": name}]})).await;
        let doctor = format!("Practitioner/{}", made["id"].as_str().unwrap());
        let mut people = Vec::new();
        for _ in 0..2 {
            let id = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
            let mut visit = encounter(&format!("Patient/{id}"));
            visit["participant"] = json!([{"individual": {"reference": doctor}}]);
            medico.create(visit).await;
            people.push(id);
        }
        people.sort();
        let shown = format!("Practitioner?family={name}&_revinclude=Encounter:participant");
        // What is only gone by is not shown.
        let gone_by = format!("Practitioner?_has:Encounter:participant:patient=Patient/{}", people[0]);
        for (path, expected) in [(shown, people.as_slice()), (gone_by, &[])] {
            let (reply, request) = asked(&medico, "GET", &path, None).await;
            assert!(reply.expect(200).text().contains(&doctor));
            let records = records(&client, &request).await;
            let mut patients: Vec<&str> = records.iter().filter_map(|one| one["patient"].as_str()).collect();
            patients.sort_unstable();
            assert_eq!(patients, expected, "{path}");
            assert!(!records.is_empty() && !records.iter().any(|one| one.to_string().contains(&name)), "{path}");
        }
    });
}

#[test]
fn f119_each_interaction_leaves_one_record() {
    run(async {
        let Some(client) = trail("f119_each_interaction_leaves_one_record").await else { return };
        let medico = fhir("medico").await;
        let number = unique();
        let made = asked(&medico, "POST", "Patient", Some(&patient_with(&number))).await;
        let id = made.0.id();
        let path = format!("Patient/{id}");
        let stored = made.0.json();
        let observation = weight(&path, "2024");
        let (other, _) = asked(&medico, "POST", "Observation", Some(&observation)).await;
        let of_other = format!("Observation/{}", other.id());
        let requests = [
            (made.1, "create", 0, Some("1")),
            (asked(&medico, "GET", &path, None).await.1, "read", 0, Some("1")),
            (asked(&medico, "GET", &format!("{path}/_history/1"), None).await.1, "vread", 0, Some("1")),
            (asked(&medico, "GET", &format!("{path}/_history"), None).await.1, "history-instance", 0, None),
            (asked(&medico, "PUT", &path, Some(&stored)).await.1, "update", 0, Some("2")),
            (asked(&medico, "GET", &of_other, None).await.1, "read", 0, None),
            (asked(&medico, "DELETE", &of_other, None).await.1, "delete", 0, Some("2")),
            (asked(&medico, "DELETE", &path, None).await.1, "delete", 0, Some("3")),
            (asked(&medico, "GET", &path, None).await.1, "read", 4, None),
        ];
        for (request, action, outcome, version) in requests {
            let found = records(&client, &request).await;
            assert_eq!(found.len(), 1, "{action}: {found:?}");
            let one = &found[0];
            assert_eq!(
                (one["action"].as_str(), one["outcome"].as_i64(), one["role"].as_str()),
                (Some(action), Some(outcome), Some("medico")),
                "{one}"
            );
            assert!(one["actor"].as_str().unwrap().starts_with("usuario/"), "{one}");
            if outcome == 0 {
                assert_eq!(
                    (one["patient"].as_str(), one["documento"].as_str()),
                    (Some(id.as_str()), Some(format!("CC-{number}").as_str())),
                    "{one}"
                );
            }
            if let Some(version) = version {
                assert_eq!(one["version"].to_string(), version, "{one}");
            }
        }
    });
}

#[test]
fn f114_a_search_tells_whose_records_were_shown_and_never_what_was_sought() {
    run(async {
        let Some(client) = trail("f114_a_search_tells_whose_records_were_shown_and_never_what_was_sought").await else {
            return;
        };
        let medico = fhir("medico").await;
        let family = format!("Secretísima{}", unique());
        let mut ids = Vec::new();
        for _ in 0..2 {
            let mut one = patient();
            one["name"][0]["family"] = family.as_str().into();
            ids.push(medico.create(one).await["id"].as_str().unwrap().to_owned());
        }
        ids.sort();
        let (reply, request) = asked(&medico, "GET", &format!("Patient?family={family}&_count=10"), None).await;
        assert_eq!(reply.expect(200).ids().len(), 2);
        let found = records(&client, &request).await;
        let mut shown: Vec<&str> = found.iter().map(|one| one["patient"].as_str().unwrap()).collect();
        shown.sort_unstable();
        assert_eq!(shown, ids, "one record for each patient who is shown");
        assert!(
            found
                .iter()
                .all(|one| one["action"] == "search-type" && one["detail"].as_str().unwrap().contains("family")),
            "{found:?}"
        );
        // Nothing found, and a refusal.
        let (_, nothing) = asked(&medico, "GET", &format!("Patient?family={family}x"), None).await;
        assert_eq!(records(&client, &nothing).await.len(), 1);
        let (_, wrong) = asked(&medico, "GET", &format!("Patient?famili={family}"), None).await;
        assert_eq!(records(&client, &wrong).await[0]["outcome"], 4);
        // POST _search too.
        let id = format!("it-{}", unique());
        let headers = [("x-request-id", id.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        medico
            .send("POST", "Patient/_search", &headers, Some(format!("family={family}").into_bytes()))
            .await
            .expect(200);
        assert_eq!(records(&client, &id).await.len(), 2);
        let held = database::count(
            &client,
            "select count(*) from audit_event a where strpos(lower(a::text), lower($1)) > 0",
            &[&family],
        )
        .await;
        assert_eq!(held, 0, "search values or names in the trail");
        if std::env::var("HISTORIA_TEST_URL").is_err() {
            assert!(!server().log().contains(&family), "search values or names in the log");
        }
    });
}

#[test]
fn f118_denials_leave_a_record_before_the_answer() {
    run(async {
        let Some(client) = trail("f118_denials_leave_a_record_before_the_answer").await else { return };
        let medico = fhir("medico").await;
        let own = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        let other = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        let caller = as_patient(&own).await;
        let (reply, hidden) = asked(&caller, "GET", &format!("Patient/{other}"), None).await;
        reply.expect(404);
        let (reply, denied) =
            asked(&caller, "POST", "Observation", Some(&weight(&format!("Patient/{own}"), "2024"))).await;
        reply.expect(403);
        let (reply, invalid) =
            asked(&medico, "POST", "Patient", Some(&json!({"resourceType": "Patient", "apodo": 1}))).await;
        reply.expect(400);
        for (request, action, role) in
            [(hidden, "read", "paciente"), (denied, "create", "paciente"), (invalid, "create", "medico")]
        {
            let found = records(&client, &request).await;
            assert_eq!(found.len(), 1, "{action}: {found:?}");
            assert_eq!(
                (found[0]["action"].as_str(), found[0]["outcome"].as_i64(), found[0]["role"].as_str()),
                (Some(action), Some(4), Some(role))
            );
        }
    });
}

#[test]
fn f117_a_bundle_leaves_one_record_an_entry_and_a_failed_one_a_denial() {
    run(async {
        let Some(client) = trail("f117_a_bundle_leaves_one_record_an_entry_and_a_failed_one_a_denial").await else {
            return;
        };
        let medico = fhir("medico").await;
        let url = "urn:uuid:11111111-1111-4111-8111-111111111111";
        let entries = || {
            vec![
                entry("POST", "Patient", Some(url), Some(patient())),
                entry("POST", "Encounter", None, Some(encounter(url))),
                entry("POST", "Observation", None, Some(weight(url, "2024"))),
            ]
        };
        let (reply, request) = asked(&medico, "POST", "", Some(&bundle("transaction", entries()))).await;
        reply.expect(200);
        let found = records(&client, &request).await;
        let mut types: Vec<&str> = found.iter().map(|one| one["type"].as_str().unwrap_or("-")).collect();
        types.sort_unstable();
        assert_eq!(types, ["Encounter", "Observation", "Patient"], "{found:?}");
        let mut bad = entries();
        bad.push(entry("GET", "Patient/no-such-id", None, None));
        let (reply, request) = asked(&medico, "POST", "", Some(&bundle("transaction", bad))).await;
        reply.expect(404);
        let found = records(&client, &request).await;
        assert!(found.iter().all(|one| one["outcome"] == 4) && !found.is_empty(), "{found:?}");
        let gets =
            bundle("batch", vec![entry("GET", "Patient/no-such-id", None, None), entry("GET", "Group/x", None, None)]);
        let (reply, request) = asked(&medico, "POST", "", Some(&gets)).await;
        reply.expect(200);
        let found = records(&client, &request).await;
        assert!(found.iter().filter(|one| one["action"] == "read" && one["outcome"] == 4).count() == 2, "{found:?}");
    });
}

#[test]
fn a120_sign_ins_and_sign_outs_leave_records() {
    run(async {
        let Some(client) = trail("a120_sign_ins_and_sign_outs_leave_records").await else { return };
        let (usuario, clave) = server().login("medico");
        let sign_in = async |clave: &str| {
            let id = format!("it-{}", unique());
            let body = json!({"usuario": usuario, "clave": clave}).to_string().into_bytes();
            let reply = anonymous()
                .send("POST", "/login", &[("content-type", "application/json"), ("x-request-id", &id)], Some(body))
                .await;
            (reply, id)
        };
        let (reply, good) = sign_in(&clave).await;
        let token = reply.expect(200).json()["access_token"].as_str().unwrap().to_owned();
        let (reply, wrong) = sign_in("no es esta").await;
        reply.expect(401);
        let (reply, out) = asked(&Fhir { token: Some(token), ..anonymous() }, "POST", "/logout", None).await;
        reply.expect(204);
        for (request, action, outcome) in [(good, "login", 0), (wrong, "login", 4), (out, "logout", 0)] {
            let found = records(&client, &request).await;
            assert_eq!(found.len(), 1, "{action}: {found:?}");
            assert_eq!(
                (found[0]["action"].as_str(), found[0]["outcome"].as_i64()),
                (Some(action), Some(outcome)),
                "{found:?}"
            );
        }
    });
}

#[test]
fn messages_leave_records_with_their_writes() {
    run(async {
        let Some(client) = trail("messages_leave_records_with_their_writes").await else { return };
        let integracion = fhir("integracion").await;
        let (visit, control) = (Visit::new(), unique());
        let send = async |message: String| {
            let id = format!("it-{}", unique());
            let headers = [("content-type", "application/hl7-v2"), ("x-request-id", id.as_str())];
            integracion.send("POST", "/hl7v2", &headers, Some(message.into_bytes())).await.expect(200);
            records(&client, &id).await
        };
        let first = send(visit.a01(&control)).await;
        let mut actions: Vec<&str> = first.iter().map(|one| one["action"].as_str().unwrap()).collect();
        actions.sort_unstable();
        assert_eq!(actions, ["create", "create", "message"], "{first:?}");
        assert!(first.iter().all(|one| one["documento"] == format!("CC-{}", visit.document)), "{first:?}");
        let repeated = send(visit.a01(&control)).await;
        assert_eq!(repeated.len(), 1, "{repeated:?}");
        let conflict = send(visit.a08(&control, "X")).await;
        assert_eq!((conflict.len(), conflict[0]["outcome"].as_i64()), (1, Some(4)), "{conflict:?}");
        // Each message is kept as it came, the repeated one once.
        let kept = "select state, count(*)::int8 from hl7_message where control_id = $1 group by state order by state";
        let rows = database::rows(&client, kept, &[&control]).await;
        let states: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(states, [("applied".to_owned(), 1), ("conflict".to_owned(), 1)]);
        let held = database::count(
            &client,
            "select count(*) from audit_event a where strpos(a::text, $1) > 0",
            &[&visit.family],
        )
        .await;
        assert_eq!(held, 0, "names in the trail");
    });
}

#[test]
fn usuario_shows_no_secret() {
    run(async {
        let Some(client) = trail("usuario_shows_no_secret").await else { return };
        let rows = database::rows(&client, "select u::text from usuario u", &[]).await;
        assert!(!rows.is_empty());
        for row in rows {
            let text: String = row.get(0);
            assert!(!text.contains("$argon2") && !text.contains(&server().login("medico").1), "a secret in usuario");
        }
    });
}
