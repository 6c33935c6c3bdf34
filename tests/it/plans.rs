//! How searches are carried out: what `$explain` tells, and what is refused because it would cost too much
//! (docs/operations/search.md).

use crate::harness::data::{patient_with, result};
use crate::harness::fhir::signed_in;
use crate::harness::instance::{Folder, Start};
use crate::harness::{Reply, database, fhir, run, skip, unique};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

fn explain(search: &str, analyze: bool) -> String {
    format!("$explain?analyze={analyze}&url={}", utf8_percent_encode(search, NON_ALPHANUMERIC))
}

/// The statements of an answer, each with its parts by their names.
fn statements(reply: &Reply) -> Vec<Value> {
    let told = reply.json();
    let all = told["parameter"].as_array().unwrap().iter().filter(|one| one["name"] == "statement");
    all.map(|one| {
        let parts = one["part"].as_array().unwrap().iter();
        let value = |part: &Value| {
            part.as_object().unwrap().iter().find(|(name, _)| name.starts_with("value")).unwrap().1.clone()
        };
        parts
            .map(|part| (part["name"].as_str().unwrap().to_owned(), value(part)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    })
    .collect()
}

#[test]
fn a_search_is_explained_without_a_word_of_a_record() {
    run(async {
        let (clinic, admin) = (fhir("integracion").await, fhir("admin").await);
        let number = unique();
        let id = clinic.create(patient_with(&number)).await["id"].as_str().unwrap().to_owned();
        for _ in 0..3 {
            clinic.create(result(&format!("Patient/{id}"), "final")).await;
        }
        // What is only planned is not run.
        let reply = admin.get(&explain("Observation?code=a|b&status=final", false)).await.expect(200);
        let planned = statements(&reply);
        assert!(!planned.is_empty() && planned.iter().all(|one| one["visited"].is_null()), "{}", reply.text());
        for one in &planned {
            assert!(one["sql"].as_str().unwrap().contains("$1::"), "{one}");
            assert!(one["tree"].as_str().unwrap().contains("Node Type"), "{one}");
        }
        // One patient, one statement; figures in tens, and the place of the record stays inside.
        let reply = admin.get(&explain(&format!("Observation?patient={id}&_sort=-date"), true)).await.expect(200);
        let run = statements(&reply);
        if run.len() == 1 {
            assert_eq!((&run[0]["plan"], &run[0]["complete"]), (&json!("timeline"), &json!(true)), "{}", reply.text());
            assert_eq!(run[0]["visited"].as_u64().unwrap() % 10, 0);
        }
        assert!(!reply.text().contains(&number) && reply.text().contains(&id), "{}", reply.text());
        assert!(reply.text().contains("\"parse\"") && reply.text().contains("\"place\""), "{}", reply.text());
        // A type of the directory, of nobody.
        admin.get(&explain("/fhir/Organization?name=x", true)).await.expect(200);

        admin.get("$explain").await.refused(400, "required");
        admin.get(&explain("Observation?apodo=x", true)).await.refused(400, "not-supported");
        admin.get(&explain("Apodo?name=x", true)).await.refused(400, "value");
        admin.get("$explain?url=Patient&verbose=true").await.refused(400, "value");
        admin.send("POST", "/fhir/$explain", &[], None).await.expect(405);
        clinic.get("$explain").await.refused(403, "forbidden");
        let Some(client) = database::of_server().await else {
            return skip(
                "a_search_is_explained_without_a_word_of_a_record",
                "the database cannot be reached from here",
            );
        };
        let sql = "select detail from audit_event where action = 'operation' and role = 'admin' and resource_type = 'Observation'
            and detail like '$explain%' order by recorded desc limit 20";
        let details: Vec<String> = database::rows(&client, sql, &[]).await.iter().map(|row| row.get(0)).collect();
        assert!(details.iter().any(|detail| detail == "$explain _sort&patient"), "{details:?}");
    });
}

#[test]
fn what_would_look_at_too_many_rows_is_refused_by_name() {
    run(async {
        let folder = Folder::new();
        let first = Start::dev().within(&folder.path).ready();
        let clinic = signed_in(&first, "integracion").await;
        let patient = format!("Patient/{}", clinic.create(patient_with(&unique())).await["id"].as_str().unwrap());
        for n in 0..40 {
            let mut one = result(&patient, "final");
            one["code"] = json!({"coding": [{"system": "urn:plans", "code": format!("c{}", n % 2)}]});
            clinic.create(one).await;
        }
        let Some(client) = database::connect(&first.database_url()).await else {
            return skip(
                "what_would_look_at_too_many_rows_is_refused_by_name",
                "the database cannot be reached from here",
            );
        };
        client.batch_execute("analyze resource").await.unwrap();
        drop((client, first));

        let small = Start::dev().within(&folder.path).with("HISTORIA_LIMITS__SEARCH_ROWS", "15").ready();
        let (clinic, admin) = (signed_in(&small, "integracion").await, signed_in(&small, "admin").await);
        let told = admin.get(&explain("Observation?code=urn:plans|c1", false)).await.expect(200);
        assert!(told.text().contains("\"statistics\""), "{}", told.text());
        // Keys and a date, or a walk: as ever.
        assert_eq!(clinic.get("Observation?code=urn:plans|c1&_count=50").await.expect(200).ids().len(), 20);
        clinic.get("Observation?status:not=final").await.expect(200);
        clinic.get(&format!("Observation?patient={patient}&_summary=count")).await.expect(200);
        // All of the type, or the values of another table for each.
        for costly in
            ["Observation?_sort=_id", "Observation?status:not=final&_sort=value-date", "Observation?_summary=count"]
        {
            let reply = clinic.get(costly).await.refused(400, "too-costly");
            assert!(reply.text().contains("limits.search_rows"), "{costly}: {}", reply.text());
        }
        admin.get(&explain("Observation?_sort=_id", true)).await.refused(400, "too-costly");
        // An estimate is one.
        let total =
            clinic.get("Observation?_total=estimate&_count=0").await.expect(200).json()["total"].as_i64().unwrap();
        assert!(total >= 40, "{total}");
    });
}
