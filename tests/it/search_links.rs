//! Chains, `_has`, `_include` and `_revinclude` (<https://hl7.org/fhir/R4/search.html>): the cases of `search_links.tsv`, each
//! with the words of R4 that say what is found; pages of includes; what a role must not learn by them; refusals.

use crate::harness::data::{encounter, patient, result, weight};
use crate::harness::fhir::as_patient;
use crate::harness::{Fhir, Reply, fhir, run, server, unique};
use crate::search_cases::{encoded, stored};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/search_links.tsv");
const TAG: &str = "urn:historia:test";

/// Ids of the entries of a Bundle with this `search.mode`.
fn of_mode(bundle: &Value, mode: &str) -> Vec<String> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    let entries = entries.filter(|entry| entry["search"]["mode"] == mode);
    entries.map(|entry| entry["resource"]["id"].as_str().unwrap_or("?").to_owned()).collect()
}

/// The texts of what is told beside matches.
fn told(bundle: &Value) -> String {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    let outcomes = entries.filter(|entry| entry["search"]["mode"] == "outcome");
    outcomes.map(|entry| entry["resource"]["issue"].to_string()).collect()
}

#[test]
fn every_link_leads_where_the_standard_says() {
    run(async {
        let integracion = fhir("integracion").await;
        let word = unique();
        let mut known =
            vec![("@u@".to_owned(), word.clone()), ("@root@".to_owned(), format!("{}/fhir", server().http()))];
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let filled = |known: &[(String, String)], text: &str| {
            known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
        };
        let text = std::fs::read_to_string(CASES).unwrap();
        let lines: Vec<Vec<&str>> =
            text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect();
        for line in lines.iter().filter(|line| line[0] == "resource") {
            let resource =
                serde_json::from_str(&filled(&known, line[2])).unwrap_or_else(|e| panic!("{}: {e}", line[2]));
            let reference = stored(&integracion, vec![(word.clone(), resource)]).await.remove(0);
            let id = reference.split('/').nth(1).unwrap();
            names.insert(id.to_owned(), line[1].to_owned());
            known.push((format!("@{}#@", line[1]), id.to_owned()));
            known.push((format!("@{}@", line[1]), reference));
        }
        let mut wrong = Vec::new();
        let mut count = 0;
        for line in lines.iter().filter(|line| line[0] == "case") {
            let (resource_type, query) = line[1].split_once('?').unwrap();
            let query = encoded(&filled(&known, query));
            let reply = integracion.get(&format!("{resource_type}?{query}&_tag={TAG}%7C{word}&_count=1000")).await;
            let bundle = reply.json();
            for (mode, expected) in [("match", line[2]), ("include", line[3])] {
                let named = |id: String| names.get(&id).cloned().unwrap_or(id);
                let mut found: Vec<String> = of_mode(&bundle, mode).into_iter().map(named).collect();
                found.sort();
                let expected: Vec<&str> = expected.split(' ').filter(|name| *name != "-").collect();
                if found != expected || reply.status != 200 {
                    let told = if reply.status == 200 { String::new() } else { reply.diagnostics() };
                    wrong.push(format!(
                        "{mode}: {}\n  expected {expected:?}\n  found    {found:?} {told}\n  {}",
                        line[1], line[4]
                    ));
                }
            }
            count += 1;
        }
        assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
        assert!(count >= 100, "{count}");
    });
}

/// All pages: of each its matches and includes.
async fn pages(caller: &Fhir, path: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let reply = caller.get(&path).await.expect(200);
        next = reply.link("next");
        let bundle = reply.json();
        let (matches, included) = (of_mode(&bundle, "match"), of_mode(&bundle, "include"));
        assert!(included.len() <= 1000, "{path}: {}", included.len());
        assert_eq!(told(&bundle).contains("limits.includes"), included.len() == 1000 && next.is_some(), "{path}");
        pages.push((matches, included));
        assert!(pages.len() < 100, "{path}: the pages do not end");
    }
    pages
}

#[test]
fn what_does_not_fit_into_a_page_is_reached_by_next() {
    run(async {
        let integracion = fhir("integracion").await;
        let family = format!("Ancha{}", unique());
        let mut people = Vec::new();
        for _ in 0..3 {
            let mut one = patient();
            one["name"][0]["family"] = family.as_str().into();
            people.push(integracion.create(one).await["id"].as_str().unwrap().to_owned());
        }
        let mut expected: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (person, many) in people.iter().zip([1250, 0, 1100]) {
            let entry = |n: usize| {
                let at = format!("2024-01-{:02}T00:00:00Z", 1 + n % 28);
                json!({"request": {"method": "POST", "url": "Observation"}, "resource": weight(&format!("Patient/{person}"), &at)})
            };
            if many > 0 {
                let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": (0..many).map(entry).collect::<Vec<_>>()});
                let answer = integracion.post("", &bundle).await.expect(200).json();
                let ids =
                    answer["entry"].as_array().unwrap().iter().map(|entry| {
                        entry["response"]["location"].as_str().unwrap().split('/').nth(1).unwrap().to_owned()
                    });
                expected.insert(person, ids.collect());
            }
        }
        for (query, matches) in [("&_count=20", 1), ("&_count=1", 3), ("&_count=2", 2)] {
            let path = format!("Patient?family={family}{query}&_revinclude=Observation:patient");
            let pages = pages(&integracion, &path).await;
            let shown: Vec<&String> = pages.iter().flat_map(|(matches, _)| matches).collect();
            assert_eq!(shown.len(), 3, "{path}: {shown:?}");
            assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), 3);
            assert_eq!(pages.iter().filter(|(matches, _)| !matches.is_empty()).count(), matches, "{path}");
            let included: Vec<&String> = pages.iter().flat_map(|(_, included)| included).collect();
            let all: BTreeSet<&String> = included.iter().copied().collect();
            assert_eq!(included.len(), all.len(), "{path}: told twice");
            assert_eq!(all, expected.values().flatten().collect(), "{path}");
        }
        // The same with a step that follows: each Encounter and Patient once, whatever page it is on.
        let path =
            format!("Patient?family={family}&_revinclude=Observation:patient&_include:iterate=Observation:subject");
        let iterated = pages(&integracion, &path).await;
        assert_eq!(iterated.iter().map(|(_, included)| included.len()).sum::<usize>(), 2350);
        // A person who came between the two halves of a page changes nothing of it.
        let first =
            integracion.get(&format!("Patient?family={family}&_revinclude=Observation:patient")).await.expect(200);
        let mut one = patient();
        (one["name"][0]["family"], one["birthDate"]) = (family.as_str().into(), "2024-01-01".into());
        integracion.create(one).await;
        let before = of_mode(&first.json(), "include").len();
        let after = pages(&integracion, &first.link("next").unwrap()).await;
        assert_eq!(before + after.iter().map(|(_, included)| included.len()).sum::<usize>(), 2350);
        assert!(after.iter().all(|(matches, _)| matches.is_empty()));
        // Only for this query and caller.
        let next = first.link("next").unwrap();
        integracion.get(&next.replace("Observation%3Apatient", "Observation:subject")).await;
        fhir("medico").await.get(&next).await.refused(400, "value");
    });
}

#[test]
fn iterating_ends_and_says_so() {
    run(async {
        let integracion = fhir("integracion").await;
        let name = format!("Escalera{}", unique());
        let mut above: Option<String> = None;
        let mut ids = Vec::new();
        for n in 0..7 {
            let mut one = json!({"resourceType": "Location", "name": format!("{name}-{n}")});
            if let Some(above) = &above {
                one["partOf"] = json!({"reference": format!("Location/{above}")});
            }
            let id = integracion.create(one).await["id"].as_str().unwrap().to_owned();
            ids.push(id.clone());
            above = Some(id);
        }
        let reply =
            integracion.get(&format!("Location?name={name}-6&_include:iterate=Location:partof")).await.expect(200);
        let bundle = reply.json();
        let expected: BTreeSet<String> = ids[2..6].iter().cloned().collect();
        assert_eq!(of_mode(&bundle, "include").into_iter().collect::<BTreeSet<_>>(), expected);
        assert!(told(&bundle).contains("limits.iterate_depth"), "{}", told(&bundle));
        let short =
            integracion.get(&format!("Location?name={name}-4&_include:iterate=Location:partof")).await.expect(200);
        assert_eq!(of_mode(&short.json(), "include").len(), 4);
        assert_eq!(told(&short.json()), "");
        // A circle has an end.
        let first = json!({"resourceType": "Location", "id": ids[0], "name": format!("{name}-0"), "partOf": {"reference": format!("Location/{}", ids[1])}});
        integracion.put(&format!("Location/{}", ids[0]), &first).await.expect(200);
        let round =
            integracion.get(&format!("Location?name={name}-1&_include:iterate=Location:partof")).await.expect(200);
        assert_eq!(of_mode(&round.json(), "include"), [ids[0].clone()]);
        assert_eq!(told(&round.json()), "");
    });
}

async fn found(caller: &Fhir, path: &str) -> BTreeSet<String> {
    caller.get(path).await.expect(200).ids().into_iter().collect()
}

#[test]
fn nobody_learns_by_a_link_what_they_may_not_see() {
    run(async {
        let (medico, integracion) = (fhir("medico").await, fhir("integracion").await);
        let (mine, other) = (integracion.create(patient()).await, integracion.create(patient()).await);
        let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
        let (mine, other) = (id(&mine), id(&other));
        let own = as_patient(&mine).await;
        let word = unique();
        let doctor = id(&integracion
            .create(json!({"resourceType": "Practitioner", "name": [{"family": format!("Doc{word}")}]}))
            .await);
        let mut seen = BTreeMap::new();
        for person in [&mine, &other] {
            for status in ["final", "preliminary"] {
                let mut one = result(&format!("Patient/{person}"), status);
                one["performer"] =
                    json!([{"reference": format!("Practitioner/{doctor}")}, {"reference": format!("Patient/{mine}")}]);
                one["code"]["coding"][0]["code"] = format!("{status}{word}").into();
                seen.insert((person.clone(), status), id(&medico.create(one).await));
            }
        }
        let released = BTreeSet::from([seen[&(mine.clone(), "final")].clone()]);
        // By chain, by `_has`, by include: what is hidden counts for nothing.
        let chain = format!("Observation?performer:Practitioner.family=doc{word}");
        assert_eq!(found(&own, &chain).await, released);
        assert_eq!(found(&medico, &chain).await.len(), 4);
        for (code, expected) in [("final", vec![doctor.clone()]), ("preliminary", vec![])] {
            let has = format!("Practitioner?_has:Observation:performer:code={code}{word}");
            assert_eq!(found(&own, &has).await, expected.into_iter().collect(), "{has}");
            assert_eq!(found(&medico, &has).await.len(), 1, "{has}");
        }
        let has = format!("Practitioner?_has:Observation:performer:patient={other}&family=doc{word}");
        assert!(found(&own, &has).await.is_empty());
        let has = format!("Practitioner?_has:Observation:performer:patient._id={other}&family=doc{word}");
        assert!(found(&own, &has).await.is_empty());
        let include = format!("Practitioner?family=doc{word}&_revinclude=Observation:performer");
        assert_eq!(of_mode(&own.get(&include).await.expect(200).json(), "include"), Vec::from_iter(released.clone()));
        assert_eq!(of_mode(&medico.get(&include).await.expect(200).json(), "include").len(), 4);
        let everything =
            format!("Practitioner?family=doc{word}&_revinclude=*&_include:iterate=*&_revinclude:iterate=*");
        let reply = own.get(&everything).await.expect(200);
        let shown: BTreeSet<String> = reply.ids().into_iter().filter(|id| *id != doctor).collect();
        assert!(shown.contains(&mine) && shown.is_superset(&released), "{shown:?}");
        assert!(!reply.text().contains(&other) && !reply.text().contains("preliminary"), "{}", reply.text());

        // A role that may not see a type: none of it by include, 403 by chain and `_has`; without type, the others.
        let (admisionista, admin) = (fhir("admisionista").await, fhir("admin").await);
        let visit = id(&admisionista.create(encounter(&format!("Patient/{mine}"))).await);
        let mut one = weight(&format!("Patient/{mine}"), "2024-05-06");
        one["encounter"] = json!({"reference": format!("Encounter/{visit}")});
        medico.create(one).await;
        let reply = admisionista
            .get(&format!("Patient?_id={mine}&_revinclude=Observation:patient&_revinclude=Encounter:patient"))
            .await;
        assert_eq!(of_mode(&reply.expect(200).json(), "include"), [visit.as_str()]);
        admisionista.get(&format!("Patient?_has:Observation:patient:code=final{word}")).await.refused(403, "forbidden");
        admisionista
            .get(&format!("Encounter?patient._has:Observation:patient:code=final{word}"))
            .await
            .refused(403, "forbidden");
        admisionista.get("Encounter?reason-reference:Observation.code=x").await.refused(403, "forbidden");
        admisionista.get("Encounter?reason-reference.code=x").await.refused(403, "forbidden");
        admin.get(&format!("Practitioner?_has:Encounter:participant:patient={mine}")).await.refused(403, "forbidden");
        let reply = admin.get(&format!("Practitioner?family=doc{word}&_revinclude=*")).await.expect(200);
        assert!(of_mode(&reply.json(), "include").is_empty());
    });
}

#[test]
fn what_was_deleted_or_changed_is_linked_no_more() {
    run(async {
        let medico = fhir("medico").await;
        let word = unique();
        let mut one = patient();
        one["name"][0]["family"] = format!("Ida{word}").into();
        let mut one = medico.create(one).await;
        let id = one["id"].as_str().unwrap().to_owned();
        let visit = medico.create(encounter(&format!("Patient/{id}"))).await["id"].as_str().unwrap().to_owned();
        let mut seen = weight(&format!("Patient/{id}"), "2024-05-06");
        seen["encounter"] = json!({"reference": format!("Encounter/{visit}")});
        let seen = medico.create(seen).await["id"].as_str().unwrap().to_owned();
        let (chain, has) =
            (format!("Encounter?patient.family=ida{word}"), format!("Patient?_has:Encounter:patient:_id={visit}"));
        let both = format!("Encounter?_id={visit}&_include=Encounter:patient&_revinclude=Observation:encounter");
        assert_eq!(found(&medico, &chain).await, BTreeSet::from([visit.clone()]));
        assert_eq!(found(&medico, &has).await, BTreeSet::from([id.clone()]));
        assert_eq!(found(&medico, &both).await, BTreeSet::from([visit.clone(), id.clone(), seen.clone()]));
        one["name"][0]["family"] = "Vuelta".into();
        medico.put(&format!("Patient/{id}"), &one).await.expect(200);
        assert!(found(&medico, &chain).await.is_empty());
        medico.delete(&format!("Observation/{seen}")).await.expect(204);
        assert_eq!(found(&medico, &both).await, BTreeSet::from([visit.clone(), id.clone()]));
        medico.delete(&format!("Encounter/{visit}")).await.expect(204);
        assert!(found(&medico, &has).await.is_empty());
    });
}

#[test]
fn a_chain_to_many_patients_is_in_order_and_pages() {
    run(async {
        let integracion = fhir("integracion").await;
        let word = unique();
        let mut expected = Vec::new();
        let mut people = Vec::new();
        for n in 0..30 {
            let mut one = patient();
            one["name"][0]["family"] = format!("Muchas{word}").into();
            let id = integracion.create(one).await["id"].as_str().unwrap().to_owned();
            for m in 0..3 {
                let at = format!("2024-{:02}-{:02}T08:00:00Z", 1 + (n * 7 + m * 5) % 12, 1 + (n * 11 + m) % 28);
                let made = integracion.create(weight(&format!("Patient/{id}"), &at)).await;
                expected.push((at, made["id"].as_str().unwrap().to_owned()));
            }
            people.push(id);
        }
        // Of two of them: once, though it lies under the keys of both.
        let account = json!({"resourceType": "Account", "status": "active", "servicePeriod": {"start": "2024-01-01"},
            "subject": [{"reference": format!("Patient/{}", people[3])}, {"reference": format!("Patient/{}", people[1])}]});
        let account = integracion.create(account).await["id"].as_str().unwrap().to_owned();
        assert_eq!(integracion.get(&format!("Account?patient.family=muchas{word}")).await.expect(200).ids(), [account]);
        expected.sort();
        let ids = |pages: Vec<Vec<Value>>| -> Vec<String> {
            pages.iter().flatten().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
        };
        let ascending: Vec<String> = expected.iter().map(|(_, id)| id.clone()).collect();
        let descending: Vec<String> = ascending.iter().rev().cloned().collect();
        for (sort, expected) in [("date", &ascending), ("-date", &descending)] {
            let path = format!("Observation?patient.family=muchas{word}&code=29463-7&_sort={sort}&_count=7");
            assert_eq!(&ids(integracion.all(&path).await), expected, "{path}");
        }
        let total = integracion.get(&format!("Observation?patient.family=muchas{word}&_total=accurate&_count=5")).await;
        assert_eq!(total.total(), Some(90));
    });
}

#[test]
fn dense_links_are_answered_beside_the_patient_or_refused_by_name() {
    run(async {
        let integracion = fhir("integracion").await;
        let word = unique();
        // More people than a chain may go by, all with a weight; the last one's lies under the document of another.
        let people = 1010;
        let mut entries = Vec::new();
        for n in 0..people {
            let mut one = patient();
            (one["name"][0]["family"], one["gender"]) =
                (format!("Densa{word}").into(), if n % 2 == 0 { "male" } else { "female" }.into());
            let url = format!("urn:uuid:{:08x}-0000-4000-8000-000000000000", n);
            let mut kilos = weight(&url, "2024-05-06");
            kilos["code"]["coding"][0]["code"] = format!("kilos{word}").into();
            entries.push(json!({"fullUrl": url, "request": {"method": "POST", "url": "Patient"}, "resource": one}));
            entries.push(json!({"request": {"method": "POST", "url": "Observation"}, "resource": kilos}));
        }
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
        integracion.post("", &bundle).await.expect(200);
        let (one, two) = (integracion.create(patient()).await, integracion.create(patient()).await);
        let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
        let account = json!({"resourceType": "Account", "status": "active", "name": word,
            "subject": [{"reference": format!("Patient/{}", id(&one))}, {"reference": format!("Patient/{}", id(&two))}]});
        integracion.create(account).await;
        let total = async |path: String| integracion.get(&format!("{path}&_summary=count")).await.expect(200).total();
        let chain = |rest: &str| format!("Observation?subject:Patient.family=densa{word}&code=kilos{word}{rest}");
        assert_eq!(total(chain("")).await, Some(people));
        assert_eq!(total(format!("Observation?patient.gender=male&code=kilos{word}")).await, Some(people / 2));
        assert_eq!(total(format!("Patient?_has:Observation:patient:code=kilos{word}")).await, Some(people));
        assert_eq!(
            total(format!("Patient?_has:Observation:patient:code=kilos{word}&gender=male")).await,
            Some(people / 2)
        );
        let pages = integracion.all(&format!("{}&_count=400", chain(""))).await;
        let ids: BTreeSet<String> = pages.iter().flatten().map(id).collect();
        assert_eq!((pages.len(), ids.len() as u64), (3, people));
        // Of two patients: it lies with the first, and is found by the second.
        for person in [&one, &two] {
            let has = format!("Patient?_has:Account:patient:name={word}&_id={}", id(person));
            assert_eq!(found(&integracion, &has).await, BTreeSet::from([id(person)]), "{has}");
        }
        assert_eq!(total(format!("Account?patient.gender=female&name={word}")).await, Some(1));
        // By other references there is no way beside the row.
        let reply = integracion
            .get(&format!("Observation?performer:Patient.family=densa{word}"))
            .await
            .refused(400, "too-costly");
        assert!(reply.diagnostics().contains("limits.linked"), "{}", reply.diagnostics());
        let reply = integracion.get(&format!("Encounter?_has:Observation:encounter:code=kilos{word}")).await;
        assert!(matches!(reply.status, 200 | 400), "{}", reply.text());
    });
}

#[test]
fn what_cannot_be_linked_is_refused_by_name() {
    run(async {
        let medico = fhir("medico").await;
        let check = async |path: &str, code: &str, text: &str| {
            let reply: Reply = medico.get(path).await.refused(400, code);
            let said = format!("{} {}", reply.expressions().join(" "), reply.diagnostics());
            assert!(said.contains(text), "{path}: {said}");
            assert!(!said.contains("secret"), "{path}: {said}");
        };
        let deep = format!("Observation?subject:Patient.{}name=secret", "link:Patient.".repeat(19));
        check(&deep, "too-costly", "limits.chain_depth").await;
        let deep = format!("Patient?{}name=secret", "_has:Patient:link:".repeat(20));
        check(&deep, "too-costly", "limits.chain_depth").await;
        check("Observation?subjet.name=secret", "not-supported", "the nearest are subject").await;
        check("Observation?code.name=secret", "not-supported", "code is no reference parameter of Observation").await;
        check("Observation?subject.nmae=secret", "not-supported", "nothing that subject may point at").await;
        check("Observation?subject:Patient.nmae=secret", "not-supported", "the nearest are name").await;
        check("Observation?subject:Medication.code=secret", "not-supported", "subject:Medication.code").await;
        check("Observation?subject:Patient.birthdate=secret", "value", "subject:Patient.birthdate").await;
        check("Observation?subject:Patient.name=", "value", "subject:Patient.name").await;
        check("Provenance?target._tag=secret", "too-costly", "name the type").await;
        check("Patient?_has=secret", "not-supported", "_has:Type:reference:parameter").await;
        check("Patient?_has:Observation:patient=secret", "not-supported", "_has:Type:reference:parameter").await;
        check("Patient?_has:Nada:patient:code=secret", "not-supported", "_has:Type:reference:parameter").await;
        check("Patient?_has:Observation:encounter:code=secret", "not-supported", "does not point at Patient").await;
        check("Patient?_has:Observation:patient:cod=secret", "not-supported", "the nearest are code").await;
        check("Observation?_sort=subject.name", "not-supported", "_sort a chained parameter gives no order").await;
        check("Observation?_include=secret", "not-supported", "_include is written Type:reference").await;
        check("Observation?_include=Nada:subject", "not-supported", "a type that is none of R4").await;
        check("Observation?_include=Observation:code", "not-supported", "no reference parameter of Observation").await;
        check("Observation?_include=Observation:subject:Medication", "not-supported", "does not point at Medication")
            .await;
        check("Observation?_include=Patient:organization", "not-supported", "with :iterate").await;
        check("Observation?_revinclude=Encounter:patient", "not-supported", "does not point at Observation").await;
        check("Observation?_include:recurse=Observation:subject", "not-supported", ":iterate").await;
        // With lenient handling what is not known is left out and told.
        let lenient = [("prefer", "handling=lenient")];
        let reply =
            medico.get_with("Patient?_id=nadie&_include=Patient:nada&_has:Nada:x:y=1", &lenient).await.expect(200);
        assert!(told(&reply.json()).contains("_include") && told(&reply.json()).contains("_has"));
        assert_eq!(reply.link("self").unwrap().split('?').nth(1), Some("_id=nadie"));
        // What is done stands in the self link.
        let reply = medico
            .get("Patient?_id=nadie&_include=Patient:organization&_has:Observation:patient:code=x")
            .await
            .expect(200);
        let shown = reply.link("self").unwrap();
        assert!(
            shown.contains("_include=Patient:organization") && shown.contains("_has:Observation:patient:code=x"),
            "{shown}"
        );
    });
}
