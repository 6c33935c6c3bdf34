//! A transaction of 5,000 entries: one commit, few statements, nothing left of one that fails (issue 7, Must show 4).

use crate::harness::data::{bundle, encounter, entry, patient, patient_with, weight};
use crate::harness::fhir::signed_in;
use crate::harness::instance::{Folder, Start};
use crate::harness::{Fhir, database, fhir, run, skip, unique};
use serde_json::{Value, json};
use std::time::Duration;

const ENTRIES: usize = 5_000;
/// Fewer than this, by the server's own counter.
const STATEMENTS: i64 = 40;
const SUM: &str =
    "select coalesce(sum(calls), 0)::int8 from pg_stat_statements where query not like '%pg_stat_statements%'";
const PATIENT: &str = "urn:uuid:11111111-1111-4111-8111-111111111111";

/// A patient with so many results that there are `entries` in all.
fn large(entries: usize) -> Vec<Value> {
    let day = |n: usize| format!("20{:02}-{:02}-{:02}", n / 336 % 25, n / 28 % 12 + 1, n % 28 + 1);
    let mut all = vec![entry("POST", "Patient", Some(PATIENT), Some(patient()))];
    all.extend((1..entries).map(|n| entry("POST", "Observation", None, Some(weight(PATIENT, &day(n))))));
    all
}

#[test]
fn five_thousand_entries_are_one_commit_of_few_statements() {
    run(async {
        const NAME: &str = "five_thousand_entries_are_one_commit_of_few_statements";
        let folder = Folder::new();
        let preload = "alter system set shared_preload_libraries = 'pg_stat_statements'";
        {
            let mut first = Start::dev().within(&folder.path).ready();
            let Some(client) = database::connect(&first.database_url()).await else {
                return skip(NAME, "the database cannot be reached from here");
            };
            let there = "select count(*) from pg_available_extensions where name = 'pg_stat_statements'";
            if database::count(&client, there, &[]).await == 0 || client.batch_execute(preload).await.is_err() {
                return skip(NAME, "this PostgreSQL has no pg_stat_statements");
            }
            drop(client);
            first.signal("TERM");
            first.ended(Duration::from_secs(60));
        }
        let server = Start::dev().within(&folder.path).ready();
        let medico = signed_in(&server, "medico").await;
        let client = database::connect(&server.database_url()).await.expect("the database answers");
        client.batch_execute("create extension if not exists pg_stat_statements").await.expect("the extension");
        // What is done once in the life of a server is done.
        medico.post("", &bundle("transaction", large(3))).await.expect(200);
        let mut counted = Vec::new();
        for entries in [100, ENTRIES] {
            client.batch_execute("select pg_stat_statements_reset()").await.expect("the counter starts anew");
            let made = medico.post("", &bundle("transaction", large(entries))).await.expect(200).json();
            counted.push(database::count(&client, SUM, &[]).await);
            assert_eq!(made["entry"].as_array().unwrap().len(), entries);
            let place = made["entry"][0]["response"]["location"].as_str().unwrap();
            let id = place.split('/').nth(1).unwrap();
            let rows = "select count(*) from resource where $1 = any(patient)";
            assert_eq!(database::count(&client, rows, &[&id]).await, entries as i64);
            let commits = "select count(distinct xmin::text) from resource where $1 = any(patient)";
            assert_eq!(database::count(&client, commits, &[&id]).await, 1);
        }
        // Updates, patches, deletes and reads as well: a thousand of each but for the deletes.
        let made = medico.post("", &bundle("transaction", large(3_101))).await.expect(200).json();
        let ids: Vec<String> = made["entry"].as_array().unwrap()[1..]
            .iter()
            .map(|entry| entry["response"]["location"].as_str().unwrap().split("/_history").next().unwrap().to_owned())
            .collect();
        let subject = made["entry"][0]["response"]["location"].as_str().unwrap().split("/_history").next().unwrap();
        let amended = json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
            {"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": "Observation.status"},
            {"name": "value", "valueCode": "amended"}]}]});
        let mut entries = Vec::new();
        for (n, id) in ids.iter().enumerate() {
            entries.push(match n {
                ..1_000 => {
                    let mut changed = weight(subject, "2001");
                    changed["id"] = id.split('/').nth(1).into();
                    entry("PUT", id, None, Some(changed))
                }
                1_000..2_000 => entry("PATCH", id, None, Some(amended.clone())),
                2_000..3_000 => entry("GET", id, None, None),
                _ => entry("DELETE", id, None, None),
            });
        }
        client.batch_execute("select pg_stat_statements_reset()").await.expect("the counter starts anew");
        let reply = medico.post("", &bundle("transaction", entries)).await.expect(200).json();
        let mixed = database::count(&client, SUM, &[]).await;
        for (n, status) in [(0, "200 OK"), (1_500, "200 OK"), (2_500, "200 OK"), (3_050, "204 No Content")] {
            assert_eq!(reply["entry"][n]["response"]["status"], status, "{n}");
        }
        assert_eq!(medico.get(&ids[1_500]).await.expect(200).json()["status"], "amended");
        println!("statements of 100 and of {ENTRIES} creates: {counted:?}, of {} others: {mixed}", ids.len());
        let most = "select calls, left(query, 150) from pg_stat_statements order by calls desc limit 4";
        let most: Vec<(i64, String)> =
            database::rows(&client, most, &[]).await.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert!(mixed < STATEMENTS, "{mixed}: {most:?}");
        assert!(counted[1] < STATEMENTS, "{counted:?}");
        // Upkeep may come between, but nothing that grows with the entries.
        assert!((counted[1] - counted[0]).abs() < 15, "{counted:?}");
    });
}

/// What is left of a patient with this number: rows, and matches of a search.
async fn rows(client: &tokio_postgres::Client, number: &str, medico: &Fhir) -> (i64, usize) {
    let sql = "select count(*) from resource where convert_from(body, 'UTF8') like '%' || $1::text || '%'";
    let found = medico.get(&format!("Patient?identifier={number}")).await.expect(200).ids().len();
    (database::count(client, sql, &[&number]).await, found)
}

#[test]
fn nothing_is_left_of_a_transaction_whose_last_entry_is_wrong() {
    run(async {
        let medico = fhir("medico").await;
        let client = database::of_server().await;
        let there = medico.create(patient()).await;
        let there = format!("Patient/{}", there["id"].as_str().unwrap());
        medico.create(encounter(&there)).await;
        let mut stale = entry("PUT", &there, None, Some(medico.get(&there).await.expect(200).json()));
        stale["request"]["ifMatch"] = "W/\"9\"".into();
        let mut invalid = weight(PATIENT, "2024");
        invalid["apodo"] = "x".into();
        let patch = json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
            {"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": "Patient.name.given"}]}]});
        let last = ENTRIES - 1;
        let at = |place: &str| format!("Bundle.entry[{last}]{place}");
        let cases = [
            (entry("POST", "Observation", None, Some(invalid)), 400, at(".resource.apodo")),
            (
                entry("POST", "Observation", None, Some(weight("Patient/no-such-id", "2024"))),
                422,
                at(".resource.subject.reference"),
            ),
            (
                entry("POST", "Observation", None, Some(weight("Patient?identifier=no-such-number", "2024"))),
                422,
                at(".resource.subject.reference"),
            ),
            (stale, 412, at(".request")),
            (entry("GET", "Patient/no-such-id", None, None), 404, at("")),
            (entry("PATCH", &there, None, Some(patch)), 422, at(".resource.parameter[0]")),
            (entry("DELETE", &there, None, None), 409, at("")),
        ];
        for (wrong, status, expression) in cases {
            let number = unique();
            let mut entries = large(ENTRIES - 1);
            entries[0]["resource"] = patient_with(&number);
            entries.push(wrong);
            let reply = medico.post("", &bundle("transaction", entries)).await.expect(status);
            assert!(reply.expressions().contains(&expression), "{expression}: {}", reply.text());
            match &client {
                Some(client) => assert_eq!(rows(client, &number, &medico).await, (0, 0), "{expression}"),
                None => {
                    assert_eq!(medico.get(&format!("Patient?identifier={number}")).await.expect(200).ids().len(), 0)
                }
            }
        }
        assert_eq!(medico.get(&there).await.expect(200).version(), 1);
    });
}
