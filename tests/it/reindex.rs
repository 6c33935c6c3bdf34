//! Search parameters of an installation and `$reindex` (issue 6): refused until every resource was read, never too few.

use crate::harness::cluster::cluster;
use crate::harness::data::{patient, patient_with};
use crate::harness::database::{connect, count, empty, own};
use crate::harness::fhir::signed_in;
use crate::harness::{Fhir, Instance, Start, fhir, run, server, skip, unique};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const EPS: &str = "http://a.example/eps";
const PATIENCE: Duration = Duration::from_secs(90);

fn parameter(code: &str, kind: &str, expression: &str) -> Value {
    json!({"resourceType": "SearchParameter", "url": format!("http://a.example/sp/{code}"), "name": "eps", "status": "active",
        "description": "health insurer", "code": code, "base": ["Patient"], "type": kind, "expression": expression})
}

fn eps(url: &str) -> Value {
    parameter("eps", "token", &format!("Patient.extension('{url}').value"))
}

fn insured(code: &str) -> Value {
    let mut patient = patient();
    patient["extension"] = json!([{"url": EPS, "valueCode": code}]);
    patient
}

/// A database of a test's own, and a server that reads slowly.
fn start(url: &str) -> Start {
    Start::dev().with("DATABASE_URL", url).with("HISTORIA_TEST_FAILPOINT", "reindex-slow")
}

fn database(name: &str) -> Option<String> {
    match server().ready["database_url"].as_str() {
        Some(url) => Some(empty(url)),
        None => {
            skip(name, "the database cannot be reached from here");
            None
        }
    }
}

fn at(instance: &Instance, caller: &Fhir) -> Fhir {
    Fhir::new(&instance.http(), caller.token.clone())
}

/// Asks until `good`; panics with the latest answer.
async fn until<T>(what: &str, ask: impl AsyncFn() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(good) => return good,
            Err(other) => assert!(started.elapsed() < PATIENCE, "{what}: {other}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a search finds, or the refusal by name.
async fn asked(caller: &Fhir, query: &str) -> Result<BTreeSet<String>, String> {
    let (mut ids, mut next) = (BTreeSet::new(), Some(format!("{query}&_count=1000")));
    while let Some(path) = next {
        let reply = caller.get(&path).await;
        if reply.status != 200 {
            return Err(reply.refused(400, "not-supported").text());
        }
        ids.extend(reply.ids());
        // Links bear the address that a server believes to have.
        next = reply.link("next").and_then(|link| link.split_once("/fhir/").map(|(_, path)| path.to_owned()));
    }
    Ok(ids)
}

/// What a search finds, once it can be asked; before, each answer is a refusal by name.
async fn found(caller: &Fhir, query: &str) -> BTreeSet<String> {
    until(query, async || asked(caller, query).await).await
}

fn part<'a>(parts: &'a Value, name: &str) -> &'a Value {
    let one = parts.as_array().unwrap().iter().find(|part| part["name"] == name);
    let members = one.unwrap_or_else(|| panic!("no {name} in {parts}")).as_object().unwrap();
    members.iter().find(|(key, _)| key.starts_with("value")).unwrap().1
}

async fn ended(admin: &Fhir, job: &str) -> Value {
    until(job, async || {
        let told = admin.get(job).await.expect(200).json()["parameter"].clone();
        let open = ["waiting", "running"].contains(&part(&told, "state").as_str().unwrap());
        if open { Err(told.to_string()) } else { Ok(told) }
    })
    .await
}

async fn reindexed(admin: &Fhir, query: &str) -> Value {
    let reply = admin.send("POST", query, &[], None).await.expect(202);
    let job = reply.header("content-location").to_owned();
    assert!(job.contains("/fhir/$reindex/"), "{job}");
    let (_, job) = job.split_once("/fhir/").unwrap();
    let told = ended(admin, job).await;
    assert_eq!(part(&told, "state"), "done", "{told}");
    assert_eq!(part(&told, "done"), part(&told, "total"), "{told}");
    told
}

#[test]
fn a_parameter_is_refused_until_all_was_read_also_through_kill_9() {
    let Some(url) = database("a_parameter_is_refused_until_all_was_read_also_through_kill_9") else { return };
    let mut first = start(&url).ready();
    run(async {
        let (admin, integracion) = (signed_in(&first, "admin").await, signed_in(&first, "integracion").await);
        let mut of_one = BTreeSet::new();
        let mut others = Vec::new();
        for n in 0..40 {
            let id = integracion
                .post("Patient", &insured(if n % 2 == 0 { "EPS001" } else { "EPS002" }))
                .await
                .expect(201)
                .id();
            match n % 2 {
                0 => of_one.extend([id]),
                _ => others.push(id),
            }
        }
        integracion.get("Patient?eps=EPS001").await.refused(400, "not-supported");
        let posted = admin.post("SearchParameter", &eps(EPS)).await.expect(201).id();
        for query in [
            "Patient?eps=EPS001",
            "Patient?eps:missing=true",
            "Patient?_filter=eps eq EPS001",
            "Patient?_sort=eps",
            "Observation?subject:Patient.eps=EPS001",
            "Observation?subject.eps=EPS001",
            "Encounter?_has:Patient:eps:name=a",
        ] {
            until(query, async || {
                let told = integracion.get(query).await.refused(400, "not-supported").diagnostics();
                if query.contains("_has") || (told.contains("$reindex") && told.contains('%')) {
                    Ok(())
                } else {
                    Err(told)
                }
            })
            .await;
        }
        let capable = integracion.get("metadata").await.expect(200).text();
        assert!(!capable.contains("http://a.example/sp/eps"), "it cannot be asked yet");
        let job = until("a job that runs", async || {
            let told = admin.get("$reindex").await.expect(200).json()["parameter"][0]["part"].clone();
            let (state, done) = (part(&told, "state").clone(), part(&told, "done").as_i64().unwrap());
            if state == "running" && done > 0 {
                Ok(part(&told, "id").as_str().unwrap().to_owned())
            } else {
                Err(told.to_string())
            }
        })
        .await;
        // Who writes meanwhile wins.
        let (changed, gone) = (others.pop().unwrap(), of_one.pop_first().unwrap());
        let mut resource = integracion.get(&format!("Patient/{changed}")).await.expect(200).json();
        resource["extension"][0]["valueCode"] = "EPS001".into();
        integracion.put(&format!("Patient/{changed}"), &resource).await.expect(200);
        of_one.insert(changed);
        integracion.delete(&format!("Patient/{gone}")).await.expect(204);
        of_one.insert(integracion.post("Patient", &insured("EPS001")).await.expect(201).id());
        first.signal("KILL");
        first.ended(Duration::from_secs(20));
        let client = connect(&url).await.unwrap();
        let half = "select count(*) from reindex_job where state = 'running' and done > 0 and done < total";
        assert_eq!(count(&client, half, &[]).await, 1, "it was killed in the middle");

        // Until the lease of the dead one ends nothing goes on.
        let second = Start::serve(&url).ready();
        let (admin, integracion) = (at(&second, &admin), at(&second, &integracion));
        let told = integracion.get("Patient?eps=EPS001").await.refused(400, "not-supported").diagnostics();
        assert!(told.contains("$reindex"), "{told}");
        let told = ended(&admin, &format!("$reindex/{job}")).await;
        assert_eq!((part(&told, "state"), part(&told, "failed")), (&json!("done"), &json!(0)), "{told}");
        assert_eq!(found(&integracion, "Patient?eps=EPS001").await, of_one);
        assert_eq!(found(&integracion, "Patient?eps=EPS002").await, others.iter().cloned().collect());
        assert_eq!(found(&integracion, "Patient?eps=EPS003").await, BTreeSet::new());
        let missing = found(&integracion, "Patient?eps:missing=true").await;
        assert!(missing.is_disjoint(&of_one) && missing.is_disjoint(&others.into_iter().collect()));
        let capable = integracion.get("metadata").await.expect(200).text();
        assert!(capable.contains("http://a.example/sp/eps"));

        // Read once more, everything is as it was; what was damaged is mended.
        let again = reindexed(&admin, "$reindex").await;
        assert_eq!(part(&again, "changed"), &json!(0), "{again}");
        let all = found(&integracion, "Patient?name:missing=false").await;
        for damage in [
            "update resource set keys = '{}', date_lo = null, sort_date = '-infinity' where resource_type = 'Patient' and not deleted",
            "delete from search_string where resource_type = 'Patient'",
        ] {
            let hurt = client.execute(damage, &[]).await.unwrap();
            assert!(hurt > 0, "{damage}");
            let again = reindexed(&admin, "$reindex?type=Patient").await;
            assert_eq!(part(&again, "changed").as_u64().unwrap(), all.len() as u64, "{damage}: {again}");
            assert_eq!(found(&integracion, "Patient?name:missing=false").await, all);
            assert_eq!(found(&integracion, "Patient?eps=EPS001").await, of_one);
        }
        // Of no use to anybody any more: unknown again, and its traces go.
        admin.delete(&format!("SearchParameter/{posted}")).await.expect(204);
        until("unknown again", async || {
            let told = integracion.get("Patient?eps=EPS001").await;
            if told.status == 400 && told.diagnostics().contains("is no search parameter") {
                Ok(())
            } else {
                Err(told.text())
            }
        })
        .await;
        let told = admin.get("$reindex").await.expect(200).json()["parameter"][0]["part"].clone();
        let last = ended(&admin, &format!("$reindex/{}", part(&told, "id").as_str().unwrap())).await;
        assert!(part(&last, "changed").as_u64().unwrap() >= of_one.len() as u64, "{last}");
        assert_eq!(part(&reindexed(&admin, "$reindex?type=Patient").await, "changed"), &json!(0));
    });
}

/// Two instances, each of which is written to all the time: whatever is answered has every match that was there.
#[test]
fn two_instances_change_together() {
    let Some(url) = database("two_instances_change_together") else { return };
    let first = Start::dev().with("DATABASE_URL", &url).ready();
    let second = Start::serve(&url).ready();
    run(async {
        let (admin, integracion) = (signed_in(&first, "admin").await, signed_in(&first, "integracion").await);
        let both = [at(&first, &integracion), at(&second, &integracion)];
        let going = Arc::new(AtomicBool::new(true));
        let written = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let writers: Vec<_> = both
            .iter()
            .map(|caller| {
                let (caller, going, written) = (caller.clone(), going.clone(), written.clone());
                tokio::spawn(async move {
                    while going.load(Ordering::Relaxed) {
                        let mut resource = insured("EPS001");
                        resource["extension"]
                            .as_array_mut()
                            .unwrap()
                            .push(json!({"url": "http://a.example/b", "valueCode": "B1"}));
                        let id = caller.post("Patient", &resource).await.expect(201).id();
                        written.lock().unwrap().insert(id);
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                })
            })
            .collect();
        let whole = async |query: &str| {
            for caller in &both {
                let answered = until(query, async || {
                    let before = written.lock().unwrap().clone();
                    Ok((before, asked(caller, query).await?))
                })
                .await;
                let lost: Vec<_> = answered.0.difference(&answered.1).collect();
                assert!(lost.is_empty(), "{query}: {} of {} are missing", lost.len(), answered.0.len());
            }
        };
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut stored = admin.post("SearchParameter", &eps(EPS)).await.expect(201).json();
        whole("Patient?eps=EPS001").await;
        // Another definition, written at the other instance.
        stored["expression"] = "Patient.extension('http://a.example/b').value".into();
        let id = stored["id"].as_str().unwrap().to_owned();
        at(&second, &admin).put(&format!("SearchParameter/{id}"), &stored).await.expect(200);
        both[0].get("Patient?eps=B1").await.refused(400, "not-supported");
        whole("Patient?eps=B1").await;
        for caller in &both {
            assert_eq!(found(caller, "Patient?eps=EPS001").await, BTreeSet::new(), "what it was is not found any more");
        }
        // Retired it is none; active again it is read anew.
        stored["status"] = "retired".into();
        admin.put(&format!("SearchParameter/{id}"), &stored).await.expect(200);
        for caller in &both {
            until("retired", async || {
                let reply = caller.get("Patient?eps=B1").await;
                if reply.status == 400 { Ok(()) } else { Err(reply.text()) }
            })
            .await;
        }
        stored["status"] = "active".into();
        admin.put(&format!("SearchParameter/{id}"), &stored).await.expect(200);
        whole("Patient?eps=B1").await;
        going.store(false, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        let all = written.lock().unwrap().clone();
        assert!(all.len() > 50, "{} only", all.len());
        for caller in &both {
            assert_eq!(found(caller, "Patient?eps=B1").await, all);
        }
        assert_eq!(part(&reindexed(&admin, "$reindex?type=Patient").await, "changed"), &json!(0));
    });
}

#[test]
fn a_cluster_does_the_same() {
    let Some(cluster) = cluster() else { return skip("a_cluster_does_the_same", "extension not installed") };
    let url = own(&cluster.url);
    let first = Start::dev().with("DATABASE_URL", &url).ready();
    run(async {
        let (admin, integracion) = (signed_in(&first, "admin").await, signed_in(&first, "integracion").await);
        let mut ids = BTreeSet::new();
        for _ in 0..12 {
            ids.insert(integracion.post("Patient", &insured("EPS001")).await.expect(201).id());
        }
        let id = admin.post("SearchParameter", &eps(EPS)).await.expect(201).id();
        ids.insert(integracion.post("Patient", &insured("EPS001")).await.expect(201).id());
        assert_eq!(found(&integracion, "Patient?eps=EPS001").await, ids);
        assert_eq!(part(&reindexed(&admin, "$reindex?type=Patient,Observation").await, "changed"), &json!(0));
        let all = found(&integracion, "Patient?name:missing=false").await;
        let client = connect(&url).await.unwrap();
        client.execute("update resource set keys = '{}' where resource_type = 'Patient'", &[]).await.unwrap();
        client.execute("delete from search_string where resource_type = 'Patient'", &[]).await.unwrap();
        let told = reindexed(&admin, "$reindex?type=Patient").await;
        assert_eq!(part(&told, "changed").as_u64().unwrap(), all.len() as u64, "{told}");
        assert_eq!(found(&integracion, "Patient?eps=EPS001").await, ids);
        assert_eq!(found(&integracion, "Patient?name:missing=false").await, all);
        admin.delete(&format!("SearchParameter/{id}")).await.expect(204);
        until("unknown again", async || {
            let told = integracion.get("Patient?eps=EPS001").await.refused(400, "not-supported").diagnostics();
            if told.contains("is no search parameter") { Ok(()) } else { Err(told) }
        })
        .await;
    });
}

/// One that stands still for so long that the others go on without it must not store by what it knew.
#[test]
fn an_instance_that_was_taken_for_gone_learns_first() {
    let Some(url) = database("an_instance_that_was_taken_for_gone_learns_first") else { return };
    let first = Start::dev().with("DATABASE_URL", &url).ready();
    let second = Start::serve(&url).ready();
    run(async {
        let (admin, integracion) = (signed_in(&first, "admin").await, signed_in(&first, "integracion").await);
        let late = at(&second, &integracion);
        let mut ids = BTreeSet::from([late.post("Patient", &insured("EPS001")).await.expect(201).id()]);
        second.signal("STOP");
        admin.post("SearchParameter", &eps(EPS)).await.expect(201);
        // It is waited for.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let told = integracion.get("Patient?eps=EPS001").await.refused(400, "not-supported").diagnostics();
        assert!(told.contains("$reindex"), "{told}");
        assert_eq!(found(&integracion, "Patient?eps=EPS001").await, ids);
        let (caller, resource) = (late.clone(), insured("EPS001"));
        let write = tokio::spawn(async move { caller.post("Patient", &resource).await.expect(201).id() });
        tokio::time::sleep(Duration::from_millis(200)).await;
        second.signal("CONT");
        ids.insert(write.await.unwrap());
        for caller in [&integracion, &late] {
            assert_eq!(found(caller, "Patient?eps=EPS001").await, ids);
        }
    });
}

/// An old database: what was stored before the words were extracted is read again.
#[test]
fn a_migration_leaves_the_work_to_a_job() {
    let Some(url) = database("a_migration_leaves_the_work_to_a_job") else { return };
    let number = unique();
    {
        let first = Start::dev().with("DATABASE_URL", &url).ready();
        run(async {
            let integracion = signed_in(&first, "integracion").await;
            for n in 0..20 {
                let mut resource = patient_with(&format!("{number}{n}"));
                resource["contact"] = json!([{"name": {"text": "Acompañante Singular"}}]);
                integracion.post("Patient", &resource).await.expect(201);
            }
        });
    }
    run(async {
        let client = connect(&url).await.unwrap();
        client
            .batch_execute(
                "drop table search_generation, search_parameter, search_unfinished, reindex_job, instance;
                 delete from migration where name = '0008_reindex';
                 update resource set updated = '2020-01-01', keys = '{}' where resource_type = 'Patient'",
            )
            .await
            .unwrap();
        let second = start(&url).ready();
        let integracion = signed_in(&second, "integracion").await;
        let told = integracion.get("Patient?_content=singular").await.refused(400, "not-supported").diagnostics();
        assert!(told.contains("_content") && told.contains("$reindex"), "{told}");
        // What did not change is answered.
        integracion.get("Patient?family=a").await.expect(200);
        integracion.get("Practitioner?_content=singular").await.expect(200);
        assert_eq!(found(&integracion, "Patient?_content=singular").await.len(), 20);
        assert_eq!(found(&integracion, &format!("Patient?identifier={number}7")).await.len(), 1);
    });
}

#[test]
fn what_cannot_be_a_parameter_is_told_with_its_place() {
    run(async {
        let (admin, medico, paciente) = (fhir("admin").await, fhir("medico").await, fhir("paciente").await);
        let refused = async |resource: Value, status: u16, code: &str, place: &str| {
            let reply = admin.post("SearchParameter", &resource).await.refused(status, code);
            assert!(reply.expressions().iter().any(|one| one == place), "{place}: {}", reply.text());
        };
        refused(parameter("gender", "token", "Patient.gender"), 422, "business-rule", "SearchParameter.code").await;
        refused(parameter("a1", "token", "Patient.nome"), 400, "not-supported", "SearchParameter.expression").await;
        refused(parameter("a1", "date", "Patient.name"), 400, "value", "SearchParameter.expression").await;
        refused(parameter("a1", "composite", "Patient.name"), 400, "not-supported", "SearchParameter.type").await;
        refused(parameter("a1", "token", "Patient.name.where("), 400, "not-supported", "SearchParameter.expression")
            .await;
        refused(parameter("a.1", "token", "Patient.gender"), 400, "value", "SearchParameter.code").await;
        // In a Bundle the place begins with its entry.
        let entry = json!({"resource": parameter("a1", "date", "Patient.name"), "request": {"method": "POST", "url": "SearchParameter"}});
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry]});
        let reply = admin.post("", &bundle).await.refused(400, "value");
        assert!(reply.expressions()[0].contains("entry[0]"), "{}", reply.text());
        medico.post("SearchParameter", &parameter("a1", "token", "Patient.gender")).await.expect(403);
        for caller in [&medico, &paciente] {
            for (method, path) in
                [("POST", "$reindex"), ("GET", "$reindex"), ("GET", "$reindex/x"), ("DELETE", "$reindex/x")]
            {
                caller.send(method, path, &[], None).await.refused(403, "forbidden");
            }
        }
        admin.get("$reindex/x").await.refused(404, "not-found");
        admin.get("$reindex/00000000-0000-4000-8000-000000000000").await.refused(404, "not-found");
        admin.delete("$reindex/00000000-0000-4000-8000-000000000000").await.refused(404, "not-found");
        admin.send("POST", "$reindex?type=Nothing", &[], None).await.refused(400, "value");
        admin.send("POST", "$reindex?searchParameter=http://a.example/none", &[], None).await.refused(400, "value");
        admin.send("POST", "$reindex?tipe=Patient", &[], None).await.refused(400, "value");
        admin
            .send("PUT", "$reindex", &[("content-type", "application/fhir+json")], Some(b"{}".to_vec()))
            .await
            .expect(405);
        // What is of the standard is there already, and what is a draft changes nothing.
        let mut standard = parameter("gender", "token", "Patient.gender");
        standard["url"] = "http://hl7.org/fhir/SearchParameter/individual-gender".into();
        admin.post("SearchParameter", &standard).await.expect(201);
        let mut draft = parameter("gender", "token", "Patient.nome");
        draft["status"] = "draft".into();
        admin.post("SearchParameter", &draft).await.expect(201);
    });
}

#[test]
fn a_job_can_be_cancelled_and_another_finishes_its_work() {
    let Some(url) = database("a_job_can_be_cancelled_and_another_finishes_its_work") else { return };
    let first = start(&url).with("HISTORIA_LIMITS__SEARCH_PARAMETERS", "1").ready();
    run(async {
        let (admin, integracion) = (signed_in(&first, "admin").await, signed_in(&first, "integracion").await);
        let mut ids = BTreeSet::new();
        for _ in 0..30 {
            ids.insert(integracion.post("Patient", &insured("EPS001")).await.expect(201).id());
        }
        admin.post("SearchParameter", &eps(EPS)).await.expect(201);
        let full = admin.post("SearchParameter", &parameter("otro", "token", "Patient.gender")).await;
        assert!(full.refused(422, "business-rule").diagnostics().contains("limits.search_parameters"));
        let other = json!({"resourceType": "SearchParameter", "id": "otra", "url": "http://a.example/otra", "name": "otra", "status": "active",
            "description": "a", "code": "eps", "base": ["Patient"], "type": "token", "expression": "Patient.gender"});
        admin.put("SearchParameter/otra", &other).await.refused(422, "business-rule");
        let job = admin.get("$reindex").await.expect(200).json()["parameter"][0]["part"].clone();
        let job = format!("$reindex/{}", part(&job, "id").as_str().unwrap());
        admin.delete(&job).await.expect(204);
        admin.delete(&job).await.refused(409, "conflict");
        assert_eq!(part(&admin.get(&job).await.expect(200).json()["parameter"], "state"), "cancelled");
        tokio::time::sleep(Duration::from_secs(3)).await;
        integracion.get("Patient?eps=EPS001").await.refused(400, "not-supported");
        let parameters = json!({"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": "Patient"}]});
        admin.post("$reindex", &parameters).await.expect(202);
        assert_eq!(found(&integracion, "Patient?eps=EPS001").await, ids);
    });
}
