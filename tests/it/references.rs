//! References point at something (`fhir.references`): judged for a whole Bundle by one set of statements, all misses at once.

use crate::harness::data::{bundle, encounter, entry, patient, weight};
use crate::harness::fhir::signed_in;
use crate::harness::instance::{Folder, Start};
use crate::harness::{Fhir, database, fhir, run, skip};
use serde_json::{Value, json};
use std::time::Duration;

/// Practitioners that are there, as references.
async fn practitioners(integracion: &Fhir, count: usize) -> Vec<String> {
    let one = || entry("POST", "Practitioner", None, Some(json!({"resourceType": "Practitioner", "active": true})));
    let made =
        integracion.post("", &bundle("transaction", (0..count).map(|_| one()).collect())).await.expect(200).json();
    let location = |entry: &Value| {
        let location = entry["response"]["location"].as_str().unwrap();
        location.split("/_history").next().unwrap().to_owned()
    };
    made["entry"].as_array().unwrap().iter().map(location).collect()
}

/// A visit of a patient with one of each practitioner.
fn visits(subject: &str, practitioners: &[String]) -> Value {
    let visit = |practitioner: &String| {
        let mut visit = encounter(subject);
        visit["participant"] = json!([{"individual": {"reference": practitioner}}]);
        entry("POST", "Encounter", None, Some(visit))
    };
    bundle("transaction", practitioners.iter().map(visit).collect())
}

#[test]
fn the_references_of_a_bundle_are_judged_together() {
    run(async {
        let integracion = fhir("integracion").await;
        let subject = format!("Patient/{}", integracion.create(patient()).await["id"].as_str().unwrap());
        let mut named = practitioners(&integracion, 30).await;
        integracion.post("", &visits(&subject, &named)).await.expect(200);
        for n in [3, 11, 29] {
            named[n] = format!("Practitioner/no-such-{n}");
        }
        let reply = integracion.post("", &visits(&subject, &named)).await.refused(422, "business-rule");
        let mut places = reply.expressions();
        places.sort();
        let at = |n: usize| format!("Bundle.entry[{n}].resource.participant[0].individual.reference");
        assert_eq!(places, [at(11), at(29), at(3)]);
        let total = integracion.get(&format!("Encounter?subject={subject}&_summary=count")).await.expect(200).total();
        assert_eq!(total, Some(30));
    });
}

#[test]
fn the_statements_of_a_bundle_do_not_grow_with_its_references() {
    run(async {
        const NAME: &str = "the_statements_of_a_bundle_do_not_grow_with_its_references";
        let folder = Folder::new();
        {
            let mut first = Start::dev().within(&folder.path).ready();
            let Some(client) = database::connect(&first.database_url()).await else {
                return skip(NAME, "the database cannot be reached from here");
            };
            let there = "select count(*) from pg_available_extensions where name = 'pg_stat_statements'";
            let preload = "alter system set shared_preload_libraries = 'pg_stat_statements'";
            if database::count(&client, there, &[]).await == 0 || client.batch_execute(preload).await.is_err() {
                return skip(NAME, "this PostgreSQL has no pg_stat_statements");
            }
            drop(client);
            first.signal("TERM");
            first.ended(Duration::from_secs(60));
        }
        let server = Start::dev().within(&folder.path).ready();
        let integracion = signed_in(&server, "integracion").await;
        let client = database::connect(&server.database_url()).await.expect("the database answers");
        client.batch_execute("create extension if not exists pg_stat_statements").await.expect("the extension");
        let subject = format!("Patient/{}", integracion.create(patient()).await["id"].as_str().unwrap());
        let named = practitioners(&integracion, 500).await;
        // What is done once in the life of a server is done.
        integracion.post("", &visits(&subject, &named[..2])).await.expect(200);
        let mut counted = Vec::new();
        for references in [10, 500] {
            client.batch_execute("select pg_stat_statements_reset()").await.expect("the counter starts anew");
            integracion.post("", &visits(&subject, &named[..references])).await.expect(200);
            let sum = "select coalesce(sum(calls), 0)::int8 from pg_stat_statements where query not like '%pg_stat_statements%'";
            counted.push(database::count(&client, sum, &[]).await);
        }
        println!("statements of 10 and of 500 references: {counted:?}");
        // Upkeep may come between.
        assert!(counted[1] < 40 && (counted[1] - counted[0]).abs() < 15, "{counted:?}");
    });
}

#[test]
fn references_that_are_off_are_not_judged() {
    run(async {
        let instance = Start::dev().with("HISTORIA_FHIR__REFERENCES", "off").ready();
        let medico = signed_in(&instance, "medico").await;
        let absent = weight("Patient/not-there-yet", "2024");
        medico.post("Observation", &absent).await.expect(201);
        medico
            .post("", &bundle("transaction", vec![entry("POST", "Observation", None, Some(absent))]))
            .await
            .expect(200);
        let subject = format!("Patient/{}", medico.create(patient()).await["id"].as_str().unwrap());
        medico.create(weight(&subject, "2024")).await;
        medico.delete(&subject).await.expect(204);
        // What is no reference at all stays refused.
        medico.post("Observation", &weight("Encounter/x", "2024")).await.refused(400, "value");
        let statement = medico.get("metadata").await.expect(200).json();
        let policy = &statement["rest"][0]["resource"][0]["referencePolicy"];
        assert_eq!(policy, &json!(["literal"]));
    });
}
