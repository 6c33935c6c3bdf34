//! search-type (<https://hl7.org/fhir/R4/search.html>): parameters, modifiers, order, pages, refusals.

use crate::harness::data::{bundle, encounter, entry, patient, patient_with, weight};
use crate::harness::{Fhir, anonymous, fhir, run, server, unique};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A person with the given names and a family name of the test's own, which narrows searches to it.
async fn person(medico: &Fhir, family: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut one = patient();
    one["name"][0]["family"] = family.into();
    change(&mut one);
    medico.create(one).await["id"].as_str().unwrap().to_owned()
}

/// Whether each query finds the id, or does not.
async fn check(medico: &Fhir, resource_type: &str, id: &str, found: &[&str], not: &[&str]) {
    for (queries, expected) in [(found, true), (not, false)] {
        for query in queries {
            let reply = medico.get(&format!("{resource_type}?{query}&_count=1000")).await.expect(200);
            assert_eq!(reply.ids().iter().any(|one| one == id), expected, "{resource_type}?{query}");
        }
    }
}

#[test]
fn strings_are_found_by_the_start_of_words_without_accents() {
    run(async {
        let medico = fhir("medico").await;
        let family = format!("Núñez Güell{}", unique());
        let folded = family.to_lowercase().replace('ú', "u").replace('ñ', "n").replace('ü', "u").replace(' ', "%20");
        let id = person(&medico, &family, |one| one["name"][0]["given"] = json!(["José", "Íñigo"])).await;
        let second = family.split(' ').nth(1).unwrap();
        let own = format!("family={}", family.replace(' ', "%20"));
        check(
            &medico,
            "Patient",
            &id,
            &[
                &own,
                &format!("family={folded}"),
                &format!("family={second}"),
                &format!("family={}", second.to_uppercase()),
                &format!("name={second}&given=jose"),
                &format!("name={second}&given=JOSE%CC%81"),
                &format!("name={second}&given=I%C3%B1igo"),
                &format!("family:exact={}", family.replace(' ', "%20")),
                &format!("family=nada,{second}"),
            ],
            &[
                &format!("family={}", &second[1..]),
                &format!("family:exact={folded}"),
                &format!("family={second}x"),
                &format!("name={second}&given=pepe"),
            ],
        )
        .await;
    });
}

#[test]
fn tokens_are_found_with_and_without_their_system() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let id = medico.create(patient_with(&number)).await["id"].as_str().unwrap().to_owned();
        check(
            &medico,
            "Patient",
            &id,
            &[
                &format!("identifier={number}"),
                &format!("identifier=https://www.registraduria.gov.co|{number}"),
                &format!("identifier=x,{number}"),
                &format!("identifier={number}&gender=female"),
                &format!("identifier={number}&gender=http://hl7.org/fhir/administrative-gender|female"),
                &format!("identifier={number}&gender:not=male"),
                &format!("identifier={number}&gender:not=male,unknown"),
                &format!("identifier={number}&active=true"),
            ],
            &[
                &format!("identifier={number}0"),
                &format!("identifier=|{number}"),
                &format!("identifier=http://other|{number}"),
                &format!("identifier={number}&gender=male"),
                &format!("identifier={number}&gender:not=female"),
                &format!("identifier={number}&active=false"),
            ],
        )
        .await;
    });
}

#[test]
fn dates_are_compared_as_intervals() {
    run(async {
        let medico = fhir("medico").await;
        let one = medico.create(patient()).await;
        let subject = format!("Patient/{}", one["id"].as_str().unwrap());
        let made = medico.create(weight(&subject, "2024-05-06T10:30:00-05:00")).await;
        let id = made["id"].as_str().unwrap();
        let of = |date: &str| format!("subject={subject}&date={date}");
        let found = [
            "2024",
            "2024-05",
            "2024-05-06",
            "2024-05-06T10:30:00-05:00",
            "2024-05-06T15:30:00Z",
            "2024-05-06T15:30Z",
            "ge2024-05-06",
            "le2024-05-06",
            "gt2024-05-05",
            "lt2024-05-07",
            "sa2024-05-05",
            "eb2024-05-07",
            "ne2023",
            "2023,2024",
        ];
        let not = [
            "2023",
            "2024-06",
            "2024-05-06T10:30:00Z",
            "gt2024-05-06T15:30:00Z",
            "lt2024-05-06T15:30:00Z",
            "sa2024-05-06",
            "eb2024-05-06",
            "ne2024",
            "gt2024-05-07",
            "lt2024-05-06",
        ];
        check(
            &medico,
            "Observation",
            id,
            &found.map(of).iter().map(String::as_str).collect::<Vec<_>>(),
            &not.map(of).iter().map(String::as_str).collect::<Vec<_>>(),
        )
        .await;
        let both = format!("subject={subject}&date=ge2024-05-01&date=lt2024-06-01");
        check(&medico, "Observation", id, &[&both], &[&both.replace("2024-06-01", "2024-05-02")]).await;

        let mut visit = encounter(&subject);
        visit["period"] = json!({"start": "2024-01-10", "end": "2024-01-20"});
        let visit = medico.create(visit).await;
        let of = |date: &str| format!("patient={subject}&date={date}");
        check(
            &medico,
            "Encounter",
            visit["id"].as_str().unwrap(),
            &["ge2024-01-15", "le2024-01-15", "2024-01", "2024", "sa2024-01-09", "eb2024-01-21"]
                .map(of)
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>(),
            &["2024-01-15", "sa2024-01-10", "eb2024-01-20", "lt2024-01-10", "gt2024-01-20"]
                .map(of)
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>(),
        )
        .await;
    });
}

#[test]
fn references_are_found_by_their_target() {
    run(async {
        let medico = fhir("medico").await;
        let patient_id = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        let other = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        let visit = medico.create(encounter(&format!("Patient/{patient_id}"))).await["id"].as_str().unwrap().to_owned();
        let mut observation = weight(&format!("Patient/{patient_id}"), "2024-05-06");
        observation["encounter"] = json!({"reference": format!("Encounter/{visit}")});
        let id = medico.create(observation).await["id"].as_str().unwrap().to_owned();
        let root = server().http();
        check(
            &medico,
            "Observation",
            &id,
            &[
                &format!("subject=Patient/{patient_id}"),
                &format!("subject={patient_id}"),
                &format!("subject:Patient={patient_id}"),
                &format!("patient={patient_id}"),
                &format!("patient=Patient/{patient_id}"),
                &format!("subject={root}/fhir/Patient/{patient_id}"),
                &format!("encounter=Encounter/{visit}"),
                &format!("encounter={visit}"),
                &format!("subject=Patient/{other},Patient/{patient_id}"),
            ],
            &[
                &format!("subject=Patient/{other}"),
                &format!("subject=Group/{patient_id}"),
                &format!("subject=http://example.org/fhir/Patient/{patient_id}"),
                &format!("encounter=Encounter/{patient_id}"),
            ],
        )
        .await;
    });
}

#[test]
fn common_parameters() {
    run(async {
        let medico = fhir("medico").await;
        let mark = unique();
        let mut one = patient();
        one["meta"] = json!({
            "tag": [{"system": "urn:tag", "code": mark}],
            "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": format!("R{mark}")}],
            "profile": [format!("http://example.org/StructureDefinition/{mark}")],
            "source": format!("urn:source:{mark}")
        });
        let made = medico.create(one).await;
        let id = made["id"].as_str().unwrap();
        let updated = made["meta"]["lastUpdated"].as_str().unwrap();
        medico.told(updated).await;
        check(
            &medico,
            "Patient",
            id,
            &[
                &format!("_id={id}"),
                &format!("_id=otro,{id}"),
                &format!("_tag={mark}"),
                &format!("_tag=urn:tag|{mark}"),
                &format!("_security=R{mark}"),
                &format!("_profile=http://example.org/StructureDefinition/{mark}"),
                &format!("_id={id}&_lastUpdated=ge{updated}"),
                &format!("_id={id}&_lastUpdated=le{updated}"),
                &format!("_id={id}&_lastUpdated=ge2024"),
            ],
            &[
                &format!("_id={id}x"),
                &format!("_tag=urn:other|{mark}"),
                &format!("_tag={mark}x"),
                &format!("_profile=http://example.org/StructureDefinition/{mark}x"),
                &format!("_id={id}&_lastUpdated=lt2024"),
                &format!("_id={id}&_lastUpdated=gt{updated}"),
            ],
        )
        .await;
    });
}

#[test]
fn what_was_changed_or_deleted_is_found_as_it_is_now() {
    run(async {
        let medico = fhir("medico").await;
        let (before, after) = (unique(), unique());
        let mut one = medico.create(patient_with(&before)).await;
        let id = one["id"].as_str().unwrap().to_owned();
        one["identifier"][0]["value"] = after.as_str().into();
        one["name"][0]["family"] = format!("Otra{after}").into();
        medico.put(&format!("Patient/{id}"), &one).await.expect(200);
        check(
            &medico,
            "Patient",
            &id,
            &[&format!("identifier={after}"), &format!("family=otra{after}")],
            &[&format!("identifier={before}")],
        )
        .await;
        medico.delete(&format!("Patient/{id}")).await.expect(204);
        check(
            &medico,
            "Patient",
            &id,
            &[],
            &[&format!("identifier={after}"), &format!("family=otra{after}"), &format!("_id={id}")],
        )
        .await;
    });
}

/// Pages of a search: no gap, no duplicate, each of its size, in the order that `_sort` says.
async fn pages(medico: &Fhir, query: &str, size: usize, expected: &BTreeSet<String>, order: impl Fn(&Value) -> String) {
    let pages = medico.all(&format!("{query}&_count={size}")).await;
    let ids: Vec<String> = pages.iter().flatten().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    let set: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(ids.len(), set.len(), "{query}: duplicates");
    assert_eq!(&set, expected, "{query}");
    let full = pages.len().saturating_sub(1);
    assert!(
        pages[..full].iter().all(|page| page.len() == size),
        "{query}: {:?}",
        pages.iter().map(Vec::len).collect::<Vec<_>>()
    );
    let keys: Vec<String> = pages.iter().flatten().map(order).collect();
    let mut sorted = keys.clone();
    sorted.sort();
    if query.contains("_sort=-") {
        sorted.reverse();
    }
    assert_eq!(keys, sorted, "{query}: order");
}

#[test]
fn f031_pages_have_no_gaps_and_no_duplicates() {
    run(async {
        let medico = fhir("medico").await;
        let subject = format!("Patient/{}", medico.create(patient()).await["id"].as_str().unwrap());
        // Many equal dates: the id alone keeps the order.
        let entries = (0..47)
            .map(|n| entry("POST", "Observation", None, Some(weight(&subject, &format!("2024-05-0{}", n % 5 + 1)))))
            .collect();
        medico.post("", &bundle("transaction", entries)).await.expect(200);
        let all: BTreeSet<String> = medico
            .get(&format!("Observation?subject={subject}&_count=1000"))
            .await
            .expect(200)
            .ids()
            .into_iter()
            .collect();
        assert_eq!(all.len(), 47);
        let date = |one: &Value| one["effectiveDateTime"].as_str().unwrap().to_owned();
        let updated = |one: &Value| one["meta"]["lastUpdated"].as_str().unwrap().to_owned();
        let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
        for size in [1, 7, 20, 46, 47, 48] {
            pages(&medico, &format!("Observation?subject={subject}&_sort=date"), size, &all, date).await;
        }
        for sort in ["date", "-date"] {
            pages(&medico, &format!("Observation?subject={subject}&code=29463-7&_sort={sort}"), 10, &all, date).await;
            pages(&medico, &format!("Observation?subject={subject}&date=ge2024-05-01&_sort={sort}"), 10, &all, date)
                .await;
        }
        for sort in ["_lastUpdated", "-_lastUpdated"] {
            pages(&medico, &format!("Observation?subject={subject}&_sort={sort}"), 10, &all, updated).await;
        }
        pages(&medico, &format!("Observation?subject={subject}&_sort=_id"), 10, &all, id).await;
    });
}

#[test]
fn pages_over_all_patients_are_whole_too() {
    run(async {
        let medico = fhir("medico").await;
        let mark = unique();
        let entries = (0..53)
            .map(|n| {
                let mut one = patient();
                one["meta"] = json!({"tag": [{"system": "urn:tag", "code": mark}]});
                one["birthDate"] = format!("198{}-01-01", n % 4).into();
                entry("POST", "Patient", None, Some(one))
            })
            .collect();
        medico.post("", &bundle("transaction", entries)).await.expect(200);
        let all: BTreeSet<String> =
            medico.get(&format!("Patient?_tag={mark}&_count=1000")).await.expect(200).ids().into_iter().collect();
        assert_eq!(all.len(), 53);
        for sort in ["birthdate", "-birthdate"] {
            pages(&medico, &format!("Patient?_tag={mark}&_sort={sort}"), 10, &all, |one| {
                one["birthDate"].as_str().unwrap().to_owned()
            })
            .await;
        }
        for sort in ["_id", "-_id"] {
            pages(&medico, &format!("Patient?_tag={mark}&_sort={sort}"), 9, &all, |one| {
                one["id"].as_str().unwrap().to_owned()
            })
            .await;
        }
        pages(&medico, &format!("Patient?_tag={mark}&family=pena&_sort=-_lastUpdated"), 11, &all, |one| {
            one["meta"]["lastUpdated"].as_str().unwrap().to_owned()
        })
        .await;
        let first = medico.get(&format!("Patient?_tag={mark}&_total=accurate&_count=5")).await.expect(200);
        assert_eq!(first.total(), Some(53));
        let counted = medico.get(&format!("Patient?_tag={mark}&_summary=count")).await.expect(200);
        assert_eq!((counted.total(), counted.ids().len()), (Some(53), 0));
        assert_eq!(medico.get(&format!("Patient?_tag={mark}&_count=0")).await.expect(200).total(), Some(53));
        let entry = &first.json()["entry"][0];
        assert_eq!(entry["search"]["mode"], "match");
        assert_eq!(
            entry["fullUrl"],
            format!("{}/fhir/Patient/{}", server().http(), entry["resource"]["id"].as_str().unwrap())
        );
    });
}

#[test]
fn f042_the_next_link_belongs_to_its_search() {
    run(async {
        let medico = fhir("medico").await;
        let mark = unique();
        let tagged = || {
            let mut one = patient();
            one["meta"] = json!({"tag": [{"system": "urn:tag", "code": mark}]});
            entry("POST", "Patient", None, Some(one))
        };
        medico.post("", &bundle("transaction", (0..6).map(|_| tagged()).collect())).await.expect(200);
        let first = medico.get(&format!("Patient?_tag={mark}&_count=2")).await.expect(200);
        let next = first.link("next").unwrap();
        assert!(first.link("self").unwrap().contains(&format!("_tag={mark}")));
        assert_eq!(medico.get(&next).await.expect(200).ids().len(), 2);
        medico.get(&next.replace("_tag=", "_security=")).await.refused(400, "value");
        let tampered = format!("{}x", next);
        medico.get(&tampered).await.refused(400, "value");
        // It is no proof of rights: the same address asks again who asks.
        anonymous().get(&next).await.refused(401, "login");
        let admin = fhir("admin").await;
        admin.get(&next).await.refused(403, "forbidden");
    });
}

#[test]
fn what_is_not_known_is_refused_with_what_is_near() {
    run(async {
        let medico = fhir("medico").await;
        let near = |query: &'static str, text: &'static str| (query, text);
        for (query, text) in
            [near("famly=x", "family"), near("identifer=x", "identifier"), near("birthdat=2020", "birthdate")]
        {
            let reply = medico.get(&format!("Patient?{query}")).await.refused(400, "not-supported");
            assert!(reply.diagnostics().contains(text), "{}", reply.diagnostics());
        }
        for (query, code) in [
            ("Patient?name:above=x", "not-supported"),
            ("Patient?gender:in=x", "not-supported"),
            ("Patient?_query=x", "not-supported"),
            ("Patient?_list=nadie", "value"),
            ("Patient?_list=$current-allergies", "not-supported"),
            ("Patient?_filter=given eq", "value"),
            ("Patient?gender:below=x|y", "not-supported"),
            ("Patient?gender:missing=x", "value"),
            ("Patient?_sort=identifier", "not-supported"),
            ("Patient?_summary=todo", "value"),
            ("Patient?_elements=nombre", "value"),
            ("Patient?birthdate=ayer", "value"),
            ("Patient?_count=x", "value"),
            ("Patient?_count=2&_count=3", "value"),
            ("Patient?name=", "value"),
            ("Patient?name=%FF", "value"),
            ("Patient?_id=a_b", "value"),
            ("Patient?_page=x", "value"),
            ("Observation?value-quantity=mucho", "value"),
            ("Location?near=4.6", "value"),
        ] {
            let reply = medico.get(query).await.expect(400);
            assert!(reply.codes().iter().any(|c| c == code), "{query}: {}", reply.text());
        }
        let both = medico.get("Patient?famly=x&nombre=y").await.refused(400, "not-supported");
        assert_eq!(both.expressions(), ["famly", "nombre"]);
        let secret = medico.get("Patient?birthdate=Pe%C3%B1aSecreta").await.expect(400);
        assert!(!secret.text().contains("Secreta"), "{}", secret.text());
        let many =
            medico.get(&format!("Patient?identifier={}", vec!["x"; 501].join(","))).await.refused(400, "too-costly");
        assert!(many.diagnostics().contains("500"), "{}", many.diagnostics());
        // A larger page than the limit is served, and the self link says so.
        let large = medico.get("Patient?_count=5000&_tag=nada").await.expect(200);
        assert!(large.link("self").unwrap().contains("_count=1000"));
    });
}

#[test]
fn lenient_handling_tells_what_it_left_out() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let id = medico.create(patient_with(&number)).await["id"].as_str().unwrap().to_owned();
        let query = format!("Patient?identifier={number}&famly=x&gender:exact=y&_sort=identifier");
        medico.get(&query).await.refused(400, "not-supported");
        medico.get_with(&query, &[("prefer", "handling=strict")]).await.refused(400, "not-supported");
        let reply = medico.get_with(&query, &[("prefer", "return=minimal, handling=lenient")]).await.expect(200);
        let bundle = reply.json();
        assert_eq!(reply.ids(), [id]);
        assert_eq!(reply.total(), Some(1));
        assert_eq!(reply.link("self").unwrap().split('?').nth(1), Some(format!("identifier={number}").as_str()));
        let outcome = &bundle["entry"][1];
        assert_eq!(outcome["search"]["mode"], "outcome");
        assert_eq!(outcome["resource"]["resourceType"], "OperationOutcome");
        let told: Vec<&Value> =
            outcome["resource"]["issue"].as_array().unwrap().iter().map(|i| &i["expression"][0]).collect();
        assert_eq!(told, ["famly", "gender", "_sort"]);
        // A value that is wrong stays wrong.
        medico.get_with("Patient?birthdate=ayer", &[("prefer", "handling=lenient")]).await.refused(400, "value");
    });
}

#[test]
fn pages_are_for_one_caller_and_one_query() {
    run(async {
        let (medico, other) = (fhir("medico").await, fhir("integracion").await);
        let family = format!("Paginada{}", unique());
        for _ in 0..3 {
            person(&medico, &family, |_| {}).await;
        }
        let first = medico.get(&format!("Patient?family={family}&_sort=family&_count=1")).await.expect(200);
        let next = first.link("next").unwrap();
        assert!(!next.split("_page=").nth(1).unwrap().to_lowercase().contains("paginada"));
        assert_eq!(medico.get(&next).await.expect(200).ids().len(), 1);
        other.get(&next).await.refused(400, "value");
        medico.get(&next.replace("_sort=family", "_sort=-family")).await.refused(400, "value");
        medico.get(&next.replace("_count=1", "_count=2")).await.refused(400, "value");
        medico.get(&format!("{next}A")).await.refused(400, "value");
    });
}

#[test]
fn a_flag_is_true_or_false() {
    run(async {
        let clinic = fhir("integracion").await;
        clinic.get("Patient?active=true&_count=1").await.expect(200);
        clinic.get("Patient?active:not=false&_count=1").await.expect(200);
        let refused = clinic.get("Patient?active=maybe").await.expect(400);
        assert!(refused.text().contains("active"), "{}", refused.text());
        clinic.get("Patient?deceased=1").await.expect(400);
    });
}
