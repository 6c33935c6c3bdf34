//! The history of a type and of everything, what is seen of it, and pollers who miss nothing (docs/adr/0018).

use crate::harness::cluster::cluster;
use crate::harness::data::{bundle, encounter, entry, patient, result, weight};
use crate::harness::fhir::{Fhir, Reply, as_patient, signed_in};
use crate::harness::instance::Start;
use crate::harness::{anonymous, database, fhir, run, skip, unique};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Type, id, version and method of each entry.
fn entries(reply: &Reply) -> Vec<(String, String, String)> {
    let bundle = reply.json();
    assert_eq!(bundle["type"], "history", "{}", reply.asked);
    let of = |entry: &Value| {
        let (_, reference) = entry["fullUrl"].as_str().unwrap().split_once("/fhir/").unwrap();
        let etag = entry["response"]["etag"].as_str().unwrap();
        let method = entry["request"]["method"].as_str().unwrap();
        assert_eq!(entry["resource"].is_object(), method != "DELETE", "{entry}");
        assert!(entry["response"]["lastModified"].is_string(), "{entry}");
        (reference.to_owned(), etag.trim_start_matches("W/").trim_matches('"').to_owned(), method.to_owned())
    };
    bundle["entry"].as_array().into_iter().flatten().map(of).collect()
}

fn known(reply: &Reply) -> String {
    reply.json()["meta"]["lastUpdated"].as_str().unwrap_or_else(|| panic!("{}: no time", reply.asked)).to_owned()
}

/// The history from a time on, once it is whole up to `until`: others write in the same server.
async fn since(caller: &Fhir, place: &str, since: &str, until: &str) -> Vec<(String, String, String)> {
    caller.told(until).await;
    let mut all = Vec::new();
    let mut next = Some(format!("{place}?_since={since}&_count=50"));
    while let Some(path) = next {
        let page = caller.get(&path).await.expect(200);
        all.extend(entries(&page));
        next = page.link("next");
    }
    all
}

fn updated(resource: &Value) -> String {
    resource["meta"]["lastUpdated"].as_str().unwrap().to_owned()
}

#[test]
fn a_type_and_everything_tell_each_version_once_newest_first() {
    run(async {
        let medico = fhir("medico").await;
        let mut one = medico.create(patient()).await;
        let start = updated(&one);
        let subject = format!("Patient/{}", one["id"].as_str().unwrap());
        one["gender"] = "male".into();
        medico.put(&subject, &one).await.expect(200);
        let visit = medico.create(encounter(&subject)).await;
        let visit = format!("Encounter/{}", visit["id"].as_str().unwrap());
        medico.delete(&visit).await.expect(204);
        let last = medico.create(weight(&subject, "2024-01-02")).await;
        let ours = |all: &[(String, String, String)], path: &str| -> Vec<String> {
            all.iter()
                .filter(|(one, ..)| one == path)
                .map(|(_, version, method)| format!("{method} {version}"))
                .collect()
        };
        let of_type = since(&medico, "Patient/_history", &start, &updated(&last)).await;
        assert!(of_type.iter().all(|(path, ..)| path.starts_with("Patient/")));
        assert_eq!(ours(&of_type, &subject), ["PUT 2", "POST 1"]);
        let of_visits = since(&medico, "Encounter/_history", &start, &updated(&last)).await;
        assert_eq!(ours(&of_visits, &visit), ["DELETE 2", "POST 1"]);
        let of_all = since(&medico, "_history", &start, &updated(&last)).await;
        assert_eq!(of_all.iter().collect::<BTreeSet<_>>().len(), of_all.len(), "nothing comes twice");
        let order: Vec<String> = of_all
            .iter()
            .filter(|(path, ..)| *path == subject || *path == visit)
            .map(|(path, version, _)| format!("{} {version}", path.split('/').next().unwrap()))
            .collect();
        assert_eq!(order, ["Encounter 2", "Encounter 1", "Patient 2", "Patient 1"]);
        let some = since(&medico, "_history", &format!("{start}&_type=Encounter,Observation"), &updated(&last)).await;
        assert!(some.iter().all(|(path, ..)| path.starts_with("Encounter/") || path.starts_with("Observation/")));
        assert_eq!(ours(&some, &visit).len(), 2);

        // Pages of one are the same as one page.
        let mut paged = Vec::new();
        let mut next = Some(format!("_history?_since={start}&_at={}&_count=1", updated(&last)));
        while let Some(path) = next {
            let page = medico.get(&path).await.expect(200);
            let of_page = entries(&page);
            assert!(of_page.len() <= 1);
            paged.extend(of_page);
            next = page.link("next");
        }
        assert_eq!(paged.iter().collect::<BTreeSet<_>>().len(), paged.len());
        assert_eq!(ours(&paged, &visit), ["DELETE 2"], "the tombstone was current then");
        assert_eq!(ours(&paged, &subject), ["PUT 2"]);
    });
}

#[test]
fn what_was_current_at_a_time_is_told() {
    run(async {
        let medico = fhir("medico").await;
        let mut one = medico.create(patient()).await;
        let path = format!("Patient/{}", one["id"].as_str().unwrap());
        let mut times = vec![updated(&one)];
        for n in 2..=4 {
            one["birthDate"] = format!("1980-01-{n:02}").into();
            one = medico.put(&path, &one).await.expect(200).json();
            times.push(updated(&one));
        }
        medico.told(&times[3]).await;
        let ours = |reply: Reply| -> Vec<String> {
            entries(&reply).into_iter().filter(|(one, ..)| *one == path).map(|(_, version, _)| version).collect()
        };
        let instance = async |query: String| ours(medico.get(&format!("{path}/_history?{query}")).await.expect(200));
        assert_eq!(instance(format!("_at={}", times[1])).await, ["2"]);
        assert_eq!(instance(format!("_since={}", times[1])).await, ["4", "3", "2"]);
        assert_eq!(instance(format!("_since={}&_count=2", times[1])).await, ["4", "3"]);
        assert_eq!(instance("_at=2020".to_owned()).await, [""; 0]);
        assert_eq!(instance(format!("_at={}", &times[3][..10])).await.len(), 4);
        let of_type = async |n: usize| {
            let at = &times[n];
            let reply = medico.get(&format!("Patient/_history?_at={at}&_since={}&_count=1000", times[0])).await;
            ours(reply.expect(200))
        };
        assert_eq!((of_type(0).await, of_type(1).await), (vec!["1".to_owned()], vec!["2".to_owned()]));
        assert_eq!(of_type(3).await, ["4"]);
    });
}

#[test]
fn what_is_no_history_is_refused_by_name() {
    run(async {
        let medico = fhir("medico").await;
        for (path, code, at) in [
            ("_history?_list=1", "not-supported", "_list"),
            ("Patient/_history?_sort=_lastUpdated", "not-supported", "_sort"),
            ("Patient/_history?_type=Patient", "not-supported", "_type"),
            ("Patient/_history?name=ana", "not-supported", "name"),
            ("_history?_since=ayer", "value", "_since"),
            ("_history?_at=", "value", "_at"),
            ("_history?_count=x", "value", "_count"),
            ("_history?_type=Paciente", "value", "_type"),
            ("_history?_page=abc", "value", "_page"),
        ] {
            let reply = medico.get(path).await.refused(400, code);
            assert_eq!(reply.expressions(), [at], "{path}");
        }
        medico.get("Paciente/_history").await.refused(404, "not-found");
        medico.post("_history", &patient()).await.refused(405, "not-supported");
        anonymous().get("_history").await.refused(401, "login");
        // A page belongs to who was given it.
        medico.create(patient()).await;
        medico.create(patient()).await;
        let next = medico.get("Patient/_history?_count=1").await.expect(200).link("next").unwrap();
        medico.get(&next).await.expect(200);
        fhir("integracion").await.get(&next).await.refused(400, "value");
        medico.get(&next.replace("Patient/_history", "Encounter/_history")).await.refused(400, "value");
    });
}

#[test]
fn f080_a_history_shows_what_the_role_may_see() {
    run(async {
        let medico = fhir("medico").await;
        let (own, other) = (medico.create(patient()).await, medico.create(patient()).await);
        let (own, other) = (own["id"].as_str().unwrap().to_owned(), other["id"].as_str().unwrap().to_owned());
        let subject = format!("Patient/{own}");
        let shown = medico.create(result(&subject, "final")).await;
        let hidden = medico.create(result(&subject, "preliminary")).await;
        // Once released, now not any more: with the current version the old ones are hidden.
        let mut taken = medico.create(result(&subject, "final")).await;
        taken["status"] = "entered-in-error".into();
        let taken =
            medico.put(&format!("Observation/{}", taken["id"].as_str().unwrap()), &taken).await.expect(200).json();
        let foreign = medico.create(weight(&format!("Patient/{other}"), "2024-01-02")).await;
        let start = "2020";
        let caller = as_patient(&own).await;
        for place in ["_history", "Observation/_history"] {
            let all = since(&caller, place, start, &updated(&foreign)).await;
            let seen = |resource: &Value| {
                let path = format!("Observation/{}", resource["id"].as_str().unwrap());
                all.iter().filter(|(one, ..)| *one == path).count()
            };
            assert_eq!((seen(&shown), seen(&hidden), seen(&taken), seen(&foreign)), (1, 0, 0, 0), "{place}: {all:?}");
        }
        let persons = since(&caller, "Patient/_history", start, &updated(&foreign)).await;
        assert_eq!(persons.iter().map(|(path, ..)| path.as_str()).collect::<Vec<_>>(), [subject.as_str()]);
        // Who saw it is known: one record of each history for each patient who was shown.
        if let Some(client) = database::of_server().await {
            for action in ["history-type", "history-system"] {
                let sql = "select count(*) from audit_event where patient_id = $1 and action = $2 and outcome = 0 and role = 'paciente'";
                assert!(database::count(&client, sql, &[&own, &action]).await > 0, "{action}");
            }
        }
        // By type and by rule of each role.
        let clerk = fhir("admisionista").await;
        clerk.get("Observation/_history").await.refused(403, "forbidden");
        clerk.get("_history?_type=Observation").await.refused(403, "forbidden");
        let seen = since(&clerk, "_history", &updated(&shown), &updated(&foreign)).await;
        assert!(seen.iter().all(|(path, ..)| !path.starts_with("Observation/")), "{seen:?}");
        fhir("admin").await.get("Patient/_history").await.refused(403, "forbidden");
    });
}

#[test]
fn histories_are_entries_of_bundles_too() {
    run(async {
        let medico = fhir("medico").await;
        let id = format!("hist-{}", unique());
        let mut person = patient();
        person["id"] = id.as_str().into();
        let asked = ["_history?_count=3", "Patient/_history?_count=3", &format!("Patient/{id}/_history")];
        let gets = asked.iter().map(|url| entry("GET", url, None, None));
        let written = entry("PUT", &format!("Patient/{id}"), None, Some(person));
        let all: Vec<Value> = std::iter::once(written).chain(gets).collect();
        for kind in ["transaction", "batch"] {
            let started = Instant::now();
            let answer = medico.post("", &bundle(kind, all.clone())).await.expect(200).json();
            for n in 1..=3 {
                let history = &answer["entry"][n]["resource"];
                assert_eq!(history["type"], "history", "{kind} {n}: {answer}");
                // A transaction sees what it has written itself.
                let newest = &history["entry"][0]["resource"]["id"];
                assert!(kind == "batch" || n == 1 || *newest == *id, "{kind} {n}: {history}");
            }
            assert!(started.elapsed() < Duration::from_secs(30));
        }
    });
}

/// What a poller knows: each version by its path, and from when it goes on.
struct Poller<'f> {
    caller: &'f Fhir,
    since: String,
    seen: BTreeSet<(String, String)>,
}

impl Poller<'_> {
    /// Asks once, and goes on from the youngest that it has seen.
    async fn poll(&mut self) {
        let history = self.caller.get(&format!("_history?_since={}&_count=1000", self.since)).await.expect(200);
        assert_eq!(history.link("next"), None);
        for one in history.json()["entry"].as_array().into_iter().flatten() {
            let path = one["fullUrl"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            self.seen.insert((path, one["response"]["etag"].as_str().unwrap().to_owned()));
            self.since = self.since.clone().max(one["response"]["lastModified"].as_str().unwrap().to_owned());
        }
    }

    fn has(&self, resource: &Value, version: usize) -> bool {
        self.seen.contains(&(resource["id"].as_str().unwrap().to_owned(), format!("W/\"{version}\"")))
    }
}

/// A write that is slow on `writer`, a fast one on `other` meanwhile, and who polls `reader`.
async fn slow_write(writer: &Fhir, other: &Fhir, reader: &Fhir, url: &str) {
    let mut slow = writer.create(patient()).await;
    let path = format!("Patient/{}", slow["id"].as_str().unwrap());
    slow["gender"] = "male".into();
    let mut poller = Poller { caller: reader, since: updated(&slow), seen: BTreeSet::new() };
    let holder = database::connect(url).await.expect("the database");
    let id = slow["id"].as_str().unwrap();
    let place = "select documento_id from resource where resource_type = 'Patient' and id = $1";
    let place: String = database::rows(&holder, place, &[&id]).await[0].get(0);
    holder.batch_execute("begin").await.unwrap();
    let held = "select 1 from resource where documento_id = $1 and resource_type = 'Patient' and id = $2 for update";
    assert_eq!(database::rows(&holder, held, &[&place, &id]).await.len(), 1);
    let waits = tokio::spawn({
        let (writer, path, slow) = (writer.clone(), path.clone(), slow.clone());
        async move { writer.put(&path, &slow).await.expect(200).json() }
    });
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let fast = other.create(patient()).await;
    let searched = format!("Patient?_lastUpdated=gt{}&_count=1000", poller.since);
    // Read by its id it is there at once; a poller is told of it when nothing older can come.
    reader.get(&format!("Patient/{}", fast["id"].as_str().unwrap())).await.expect(200);
    for _ in 0..3 {
        poller.poll().await;
        assert!(!poller.has(&fast, 1), "younger than a write in work");
        let found = reader.get(&searched).await.expect(200).ids();
        assert!(!found.iter().any(|id| *id == fast["id"]), "younger than a write in work: {found:?}");
    }
    holder.batch_execute("rollback").await.unwrap();
    let written = waits.await.unwrap();
    assert!(updated(&written) < updated(&fast), "its time is older than that of what was known before");
    let started = Instant::now();
    while !(poller.has(&slow, 2) && poller.has(&fast, 1)) {
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", poller.seen);
        tokio::time::sleep(Duration::from_millis(100)).await;
        poller.poll().await;
    }
    let found = reader.get(&searched).await.expect(200);
    assert!(found.ids().iter().any(|id| *id == slow["id"]) && found.ids().iter().any(|id| *id == fast["id"]));
    assert!(known(&found) >= updated(&fast));
    let filtered = format!("Patient?_filter=_lastUpdated%20gt%20{}&_count=1", updated(&slow));
    assert!(!known(&reader.get(&filtered).await.expect(200)).is_empty());
}

#[test]
fn a_poller_misses_no_slow_write() {
    const NAME: &str = "history::a_poller_misses_no_slow_write";
    if std::env::var("HISTORIA_TEST_URL").is_ok() {
        return skip(NAME, "the server is not ours");
    }
    run(async {
        // On one node, or on the cluster that the suite runs on.
        let wanted = std::env::var("HISTORIA_TEST_CITUS").is_ok_and(|wanted| wanted == "1");
        let start = match cluster().filter(|_| wanted) {
            Some(cluster) => Start::dev().with("DATABASE_URL", &database::own(&cluster.url)),
            None => Start::dev(),
        };
        let instance = start.ready();
        let medico = signed_in(&instance, "medico").await;
        slow_write(&medico, &medico, &medico, &instance.database_url()).await;
        // Another process on the same database: its writes are promised there.
        let second = Start::serve(&instance.database_url()).ready();
        let there = Fhir::new(&second.http(), medico.token.clone());
        slow_write(&there, &medico, &medico, &instance.database_url()).await;
        slow_write(&medico, &there, &there, &instance.database_url()).await;
        // What is gone promises nothing any more.
        drop(second);
        let one = medico.create(patient()).await;
        medico.told(&updated(&one)).await;
    });
}

#[test]
fn every_version_is_told_to_who_polls_while_many_write() {
    run(async {
        let medico = fhir("medico").await;
        let start = updated(&medico.create(patient()).await);
        let mark = unique();
        let writers = (0..8).map(|_| {
            let (medico, mark) = (medico.clone(), mark.clone());
            tokio::spawn(async move {
                let mut made = Vec::new();
                for _ in 0..12 {
                    let mut one = patient();
                    one["meta"] = json!({"tag": [{"system": "urn:poll", "code": mark}]});
                    made.push(medico.create(one).await);
                }
                made
            })
        });
        let writers: Vec<_> = writers.collect();
        let mut since = start;
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut last_round = false;
        let started = Instant::now();
        loop {
            let path = format!("Patient?_lastUpdated=gt{since}&_tag=urn:poll|{mark}&_sort=_lastUpdated&_count=1000");
            let found = medico.get(&path).await.expect(200);
            // It never asks again for what is older than what it has seen.
            for one in found.resources() {
                since = since.max(updated(&one));
                seen.insert(one["id"].as_str().unwrap().to_owned());
            }
            if last_round && (seen.len() >= 96 || started.elapsed() > Duration::from_secs(60)) {
                break;
            }
            last_round = writers.iter().all(tokio::task::JoinHandle::is_finished);
        }
        let mut made = BTreeSet::new();
        for writer in writers {
            made.extend(writer.await.unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        }
        // Those of one millisecond may come again or not with gt; none that is missing is younger than the last one seen.
        let missing: Vec<&String> = made.difference(&seen).collect();
        assert!(missing.is_empty(), "{missing:?}");
    });
}
