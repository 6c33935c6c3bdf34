//! Many at once (issue 3, Must show 6): one of the same, each version won once, no gap in a history.

use crate::harness::data::{bundle, entry, patient, patient_with, weight};
use crate::harness::hl7::Visit;
use crate::harness::mllp::Mllp;
use crate::harness::{Fhir, database, fhir, run, server, skip, unique};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

/// Runs `n` tasks at once.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    n: usize,
    task: impl Fn(usize) -> F,
) -> Vec<T> {
    let tasks: Vec<_> = (0..n).map(|number| tokio::spawn(task(number))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("a task"));
    }
    results
}

/// Versions of a history, newest first.
async fn versions(medico: &Fhir, path: &str) -> Vec<i64> {
    let pages = medico.all(&format!("{path}/_history?_count=1000")).await;
    pages.iter().flatten().map(|one| one["meta"]["versionId"].as_str().unwrap().parse().unwrap()).collect()
}

fn down_from(n: i64) -> Vec<i64> {
    (1..=n).rev().collect()
}

#[test]
fn r008_a_hundred_conditional_creates_of_one_identifier_leave_one() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let results = at_once(100, |_| {
            let (medico, number) = (medico.clone(), number.clone());
            async move {
                let criteria = format!("identifier=https://www.registraduria.gov.co|{number}");
                let reply = medico.post_with("Patient", &[("if-none-exist", &criteria)], &patient_with(&number)).await;
                (reply.status, reply.id())
            }
        })
        .await;
        assert_eq!(results.iter().filter(|(status, _)| *status == 201).count(), 1, "{results:?}");
        assert_eq!(results.iter().filter(|(status, _)| *status == 200).count(), 99);
        assert_eq!(results.iter().map(|(_, id)| id).collect::<BTreeSet<_>>().len(), 1);
        assert_eq!(medico.get(&format!("Patient?identifier={number}")).await.expect(200).ids().len(), 1);
    });
}

#[test]
fn a_hundred_conditional_updates_of_one_identifier_leave_one() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let results = at_once(100, |n| {
            let (medico, number) = (medico.clone(), number.clone());
            async move {
                let mut one = patient_with(&number);
                one["birthDate"] = format!("19{:02}-01-01", n).into();
                let target = format!("Patient?identifier=https://www.registraduria.gov.co|{number}");
                let reply = match n % 4 {
                    0 => medico.post("", &bundle("transaction", vec![entry("PUT", &target, None, Some(one))])).await,
                    _ => medico.put(&target, &one).await,
                };
                match (n % 4, reply.status) {
                    (0, 200) => reply.json()["entry"][0]["response"]["status"].as_str().unwrap()[..3].to_owned(),
                    (_, status) => status.to_string(),
                }
            }
        })
        .await;
        assert_eq!(results.iter().filter(|status| *status == "201").count(), 1, "{results:?}");
        assert_eq!(results.iter().filter(|status| *status == "200").count(), 99, "{results:?}");
        let ids = medico.get(&format!("Patient?identifier={number}")).await.expect(200).ids();
        assert_eq!(ids.len(), 1);
        assert_eq!(versions(&medico, &format!("Patient/{}", ids[0])).await, down_from(100));
    });
}

#[test]
fn patches_at_once_lose_nothing() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let one = medico.create(patient_with(&number)).await;
        let path = format!("Patient/{}", one["id"].as_str().unwrap());
        let statuses = at_once(60, |n| {
            let (medico, path, number) = (medico.clone(), path.clone(), number.clone());
            async move {
                let add = format!(r#"[{{"op":"add","path":"/name/-","value":{{"text":"{n}"}}}}]"#);
                let target = if n % 2 == 0 { path } else { format!("Patient?identifier={number}") };
                let media = [("content-type", "application/json-patch+json")];
                medico.send("PATCH", &target, &media, Some(add.into_bytes())).await.status
            }
        })
        .await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        let read = medico.get(&path).await.expect(200);
        assert_eq!(read.json()["name"].as_array().unwrap().len(), 61);
        assert_eq!(versions(&medico, &path).await, down_from(61));
    });
}

#[test]
fn r008_conditional_creates_in_transactions_leave_one_too() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let statuses = at_once(20, |n| {
            let (medico, number) = (medico.clone(), number.clone());
            async move {
                let url = "urn:uuid:11111111-1111-4111-8111-111111111111";
                let mut person = entry("POST", "Patient", Some(url), Some(patient_with(&number)));
                person["request"]["ifNoneExist"] = format!("identifier={number}").into();
                let observation =
                    entry("POST", "Observation", None, Some(weight(url, &format!("2024-01-{:02}", n + 1))));
                medico.post("", &bundle("transaction", vec![person, observation])).await.status
            }
        })
        .await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        let ids = medico.get(&format!("Patient?identifier={number}")).await.expect(200).ids();
        assert_eq!(ids.len(), 1);
        assert_eq!(medico.get(&format!("Observation?subject={}&_count=100", ids[0])).await.expect(200).ids().len(), 20);
    });
}

#[test]
fn r006_a_hundred_updates_with_if_match_win_each_version_once() {
    run(async {
        let medico = fhir("medico").await;
        let one = medico.create(patient()).await;
        let path = format!("Patient/{}", one["id"].as_str().unwrap());
        // All at version 1: one wins.
        let statuses = at_once(100, |_| {
            let (medico, path, one) = (medico.clone(), path.clone(), one.clone());
            async move { medico.put_with(&path, &[("if-match", "W/\"1\"")], &one).await.status }
        })
        .await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 99, "{statuses:?}");
        assert_eq!(versions(&medico, &path).await, [2, 1]);
        // Each with what it has read: whoever is told 200 for a version is the only one.
        let won = at_once(100, |n| {
            let (medico, path) = (medico.clone(), path.clone());
            async move {
                let mut won = Vec::new();
                for _ in 0..3 {
                    let mut read = medico.get(&path).await.expect(200).json();
                    let version = read["meta"]["versionId"].as_str().unwrap().to_owned();
                    read["birthDate"] = format!("19{:02}-01-01", n).into();
                    let reply = medico.put_with(&path, &[("if-match", &format!("W/\"{version}\""))], &read).await;
                    match reply.status {
                        200 => won.push((version.parse::<i64>().unwrap(), reply.version())),
                        412 => {}
                        other => panic!("{other}: {}", reply.text()),
                    }
                }
                won
            }
        })
        .await;
        let mut of_version: BTreeMap<i64, usize> = BTreeMap::new();
        for (read, written) in won.into_iter().flatten() {
            assert_eq!(written, read + 1);
            *of_version.entry(read).or_default() += 1;
        }
        assert!(!of_version.is_empty() && of_version.values().all(|n| *n == 1), "{of_version:?}");
        let last = of_version.keys().max().unwrap() + 1;
        assert_eq!(of_version.len() as i64, last - 2, "every version after the second was won");
        assert_eq!(versions(&medico, &path).await, down_from(last));
    });
}

#[test]
fn r005_fifty_plain_updates_all_succeed() {
    run(async {
        let medico = fhir("medico").await;
        let one = medico.create(patient()).await;
        let path = format!("Patient/{}", one["id"].as_str().unwrap());
        let results = at_once(50, |n| {
            let (medico, path, mut one) = (medico.clone(), path.clone(), one.clone());
            async move {
                one["birthDate"] = format!("19{:02}-01-01", 50 + n).into();
                let reply = medico.put(&path, &one).await.expect(200);
                (reply.version(), reply.json()["birthDate"].as_str().unwrap().to_owned())
            }
        })
        .await;
        let numbers: BTreeSet<i64> = results.iter().map(|(version, _)| *version).collect();
        assert_eq!(numbers, (2..=51).collect::<BTreeSet<i64>>());
        assert_eq!(versions(&medico, &path).await, down_from(51));
        // Each version is what its writer wrote.
        for (version, birth) in &results[..5] {
            let read: Value = medico.get(&format!("{path}/_history/{version}")).await.expect(200).json();
            assert_eq!(read["birthDate"], birth.as_str());
        }
    });
}

#[test]
fn r005_fifty_creates_of_one_id_make_one_history() {
    run(async {
        let medico = fhir("medico").await;
        let mut one = patient();
        one["id"] = format!("carrera-{}", unique()).into();
        let path = format!("Patient/{}", one["id"].as_str().unwrap());
        let statuses = at_once(50, |_| {
            let (medico, path, one) = (medico.clone(), path.clone(), one.clone());
            async move {
                let reply = medico.put(&path, &one).await;
                if reply.status >= 400 {
                    println!("{} {}", reply.status, reply.text());
                }
                reply.status
            }
        })
        .await;
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 49, "{statuses:?}");
        assert_eq!(versions(&medico, &path).await, down_from(50));
    });
}

#[test]
fn r005_deletes_and_updates_at_once_leave_a_whole_history() {
    run(async {
        let medico = fhir("medico").await;
        let one = medico.create(patient()).await;
        let path = format!("Patient/{}", one["id"].as_str().unwrap());
        let statuses = at_once(30, |n| {
            let (medico, path, one) = (medico.clone(), path.clone(), one.clone());
            async move {
                match n % 3 {
                    0 => medico.delete(&path).await.status,
                    _ => medico.put(&path, &one).await.status,
                }
            }
        })
        .await;
        assert!(statuses.iter().all(|status| matches!(status, 200 | 201 | 204)), "{statuses:?}");
        let history = medico.get(&format!("{path}/_history?_count=1000")).await.expect(200).json();
        let etags: Vec<String> = history["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["response"]["etag"].as_str().unwrap().to_owned())
            .collect();
        let expected: Vec<String> = down_from(etags.len() as i64).iter().map(|n| format!("W/\"{n}\"")).collect();
        assert_eq!(etags, expected);
    });
}

#[test]
fn h075_ten_messages_of_one_new_patient_at_once_make_one_patient() {
    run(async {
        let medico = fhir("medico").await;
        let visit = Visit::new();
        let address = server().mllp();
        at_once(10, |n| {
            let (mut visit, address) = (visit.clone(), address.clone());
            visit.visit = format!("{}-{n}", visit.visit);
            async move {
                let control = unique();
                let ack = Mllp::connect(&address).await.ask(visit.a01(&control).as_bytes()).await;
                crate::harness::hl7::accepted(&ack, &control);
            }
        })
        .await;
        let ids = medico.get(&format!("Patient?identifier={}", visit.document)).await.expect(200).ids();
        assert_eq!(ids.len(), 1);
        assert_eq!(medico.get(&format!("Encounter?patient={}", ids[0])).await.expect(200).ids().len(), 10);
    });
}

/// Single writes of many requests share a commit: one that cannot go on must neither hold up nor undo the others, and
/// what is repeated is there once.
#[test]
fn a_row_that_is_held_holds_up_only_who_wants_it() {
    run(async {
        let Some(mut client) = database::of_server().await else {
            return skip("a_row_that_is_held_holds_up_only_who_wants_it", "the database cannot be reached from here");
        };
        let medico = fhir("medico").await;
        let person = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        let subject = format!("Patient/{person}");
        let held = medico.create(weight(&subject, "2024-03-01")).await;
        let id = held["id"].as_str().unwrap().to_owned();
        let lies = "select documento_id from resource where resource_type = 'Observation' and id = $1";
        let document: String = client.query_one(lies, &[&id]).await.unwrap().get(0);
        let holder = client.transaction().await.unwrap();
        let hold =
            "select 1 from resource where documento_id = $1 and resource_type = 'Observation' and id = $2 for update";
        holder.query_one(hold, &[&document, &id]).await.unwrap();

        let update = {
            let (medico, held, path) = (medico.clone(), held.clone(), format!("Observation/{id}"));
            tokio::spawn(async move { medico.put_with(&path, &[("if-match", "W/\"1\"")], &held).await.status })
        };
        // More than one batch, so that some are sent with the update or behind it.
        let creates = at_once(60, |_| {
            let (medico, subject) = (medico.clone(), subject.clone());
            async move { medico.post("Observation", &weight(&subject, "2024-03-02")).await.status }
        });
        // Far below the statement timeout (30 s), far above what sixty creates take.
        let statuses = tokio::time::timeout(std::time::Duration::from_secs(15), creates).await;
        let statuses = statuses.expect("the creates wait for a row that is none of theirs");
        assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
        assert!(!update.is_finished(), "the update went through although its row is held");
        holder.rollback().await.unwrap();
        assert_eq!(update.await.unwrap(), 200);

        assert_eq!(versions(&medico, &format!("Observation/{id}")).await, [2, 1]);
        let stored = "select count(*) from resource where documento_id = $1 and resource_type = 'Observation'";
        assert_eq!(database::count(&client, stored, &[&document]).await, 61);
        let audited = "select count(*) from audit_event where documento_id = $1 and resource_type = 'Observation' and action = $2";
        assert_eq!(database::count(&client, audited, &[&document, &"create"]).await, 61);
        assert_eq!(database::count(&client, audited, &[&document, &"update"]).await, 1);
    });
}
