//! What a search names and only the store knows: Lists, value sets, code systems
//! (<https://hl7.org/fhir/R4/search.html#list>, <https://hl7.org/fhir/R4/search.html#token>).

use crate::harness::data::{patient, weight};
use crate::harness::fhir::as_patient;
use crate::harness::{Fhir, fhir, run, unique};
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn made(caller: &Fhir, resource: Value) -> String {
    let one = caller.create(resource).await;
    format!("{}/{}", one["resourceType"].as_str().unwrap(), one["id"].as_str().unwrap())
}

fn id(reference: &str) -> &str {
    reference.split('/').nth(1).unwrap()
}

#[test]
fn lists_restrict_a_search_to_their_items() {
    run(async {
        let medico = fhir("medico").await;
        let subject = made(&medico, patient()).await;
        let other = made(&medico, patient()).await;
        let mut all = Vec::new();
        for (whose, date) in
            [(&subject, "2024-05-01"), (&subject, "2024-05-02"), (&subject, "2024-05-03"), (&other, "2024-05-04")]
        {
            all.push(made(&medico, weight(whose, date)).await);
        }
        let list = json!({"resourceType": "List", "status": "current", "mode": "working", "subject": {"reference": subject}, "entry": [
            {"item": {"reference": all[0]}}, {"item": {"reference": all[1]}, "deleted": true}, {"item": {"reference": all[3]}},
            {"item": {"reference": subject}}]});
        let mut list = list;
        list["mode"] = "changes".into();
        let list = made(&medico, list).await;
        let empty =
            json!({"resourceType": "List", "status": "current", "mode": "working", "subject": {"reference": subject}});
        let empty = made(&medico, empty).await;
        let check = async |caller: &Fhir, query: &str, expected: &[&String]| {
            let reply = caller.get(query).await.expect(200);
            let expected: BTreeSet<&str> = expected.iter().map(|one| id(one)).collect();
            let found = reply.ids();
            assert_eq!(found.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{query}");
        };
        let (list, empty) = (id(&list).to_owned(), id(&empty).to_owned());
        check(&medico, &format!("Observation?_list={list}"), &[&all[0], &all[3]]).await;
        check(&medico, &format!("Observation?_list={list}&date=2024-05-04"), &[&all[3]]).await;
        check(&medico, &format!("Observation?_list={list}&subject={subject}"), &[&all[0]]).await;
        check(&medico, &format!("Patient?_list={list}"), &[&subject]).await;
        check(&medico, &format!("Observation?_list={empty}"), &[]).await;
        check(&medico, &format!("Observation?_list={empty},{list}"), &[&all[0], &all[3]]).await;
        check(&medico, &format!("{subject}/Observation?_list={list}"), &[&all[0]]).await;
        check(&medico, &format!("?_type=Observation,Patient&_list={list}"), &[&all[0], &all[3], &subject]).await;
        let counted = medico.get(&format!("Observation?_list={list}&_summary=count")).await.expect(200);
        assert_eq!(counted.total(), Some(2));
        // Of its own List a patient sees what is its own; the List of somebody else is not there.
        let own = as_patient(id(&subject)).await;
        check(&own, &format!("Observation?_list={list}"), &[&all[0]]).await;
        let stranger = as_patient(id(&other)).await;
        for query in [format!("Observation?_list={list}"), "Observation?_list=nadie".to_owned()] {
            let reply = stranger.get(&query).await.refused(400, "value");
            assert_eq!(
                (reply.expressions(), reply.diagnostics()),
                (vec!["_list".to_owned()], "there is no such List".to_owned())
            );
        }
        // Who may read no List.
        fhir("admisionista").await.get(&format!("Patient?_list={list}")).await.refused(403, "forbidden");
    });
}

#[test]
fn a_value_set_that_cannot_be_enumerated_is_an_error_by_name() {
    run(async {
        let (admin, medico) = (fhir("admin").await, fhir("medico").await);
        let mark = unique();
        let set = |name: &str, version: &str, compose: Value| {
            json!({"resourceType": "ValueSet", "url": format!("http://example.org/vs/{name}-{mark}"),
            "version": version, "status": "active", "compose": compose})
        };
        made(&admin, set("foreign", "1", json!({"include": [{"system": "http://snomed.info/sct"}]}))).await;
        made(&admin, set("nested", "1", json!({"include": [{"valueSet": ["http://example.org/vs/none"]}]}))).await;
        for version in ["1", "2"] {
            made(
                &admin,
                set("twice", version, json!({"include": [{"system": "urn:x", "concept": [{"code": version}]}]})),
            )
            .await;
        }
        for (name, status, code, text) in [
            ("none", 400, "not-supported", "the value set is not held here"),
            ("foreign", 400, "not-supported", "the code system http://snomed.info/sct is not held here"),
            ("nested", 400, "not-supported", "the value set http://example.org/vs/none is not held here"),
            ("twice", 412, "multiple-matches", "say which by |version"),
            ("twice|3", 400, "not-supported", "the value set is not held here"),
        ] {
            let (name, version) =
                name.split_once('|').map_or((name, String::new()), |(name, v)| (name, format!("%7C{v}")));
            let query = format!("Observation?code:in=http://example.org/vs/{name}-{mark}{version}");
            let reply = medico.get(&query).await.refused(status, code);
            assert_eq!(reply.expressions(), ["code"], "{query}");
            assert!(reply.diagnostics().contains(text), "{query}: {}", reply.diagnostics());
        }
        medico.get(&format!("Observation?code:in=http://example.org/vs/twice-{mark}%7C2")).await.expect(200);
        let local = made(
            &admin,
            set("local", "1", json!({"include": [{"system": "http://loinc.org", "concept": [{"code": "29463-7"}]}]})),
        )
        .await;
        let subject = made(&medico, patient()).await;
        let one = made(&medico, weight(&subject, "2024-05-06")).await;
        let found = medico.get(&format!("Observation?subject={subject}&code:in={local}")).await.expect(200);
        assert_eq!(found.ids(), [id(&one)]);
        let reply =
            medico.get("Observation?code:below=http://snomed.info/sct%7C404684003").await.refused(400, "not-supported");
        assert!(reply.diagnostics().contains("the code system is not held here"), "{}", reply.diagnostics());
    });
}

/// Must show 5: what is too much, or not meant well, is a clear 4xx in a short time.
#[test]
fn extremes_are_answered_in_bounds() {
    run(async {
        let medico = fhir("medico").await;
        let start = std::time::Instant::now();
        let many = vec!["x"; 10_000].join(",");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let form = async |body: String| medico.send("POST", "Patient/_search", &headers, Some(body.into_bytes())).await;
        form(format!("identifier={many}")).await.refused(400, "too-costly");
        form(format!("_filter={}", vec!["given eq x"; 10_000].join(" or "))).await.refused(400, "too-costly");
        form(format!("_filter={}given eq x{}", "(".repeat(100_000), ")".repeat(100_000)))
            .await
            .refused(400, "too-costly");
        form(format!("_filter={}given eq x", "not (".repeat(100_000))).await.refused(400, "too-costly");
        medico
            .get(&format!("Patient?_filter={}given%20eq%20x{}", "(".repeat(20), ")".repeat(20)))
            .await
            .refused(400, "too-costly");
        form(vec!["name=x"; 10_000].join("&")).await.refused(400, "too-costly");
        medico.get(&format!("Patient?identifier={many}")).await.refused(400, "too-costly");
        for query in ["name=%00", "_filter=given%20eq%20%22%5Cu0000%22", "identifier=a%00b", "_list=%00", "_id=%00"] {
            medico.get(&format!("Patient?{query}")).await.refused(400, "value");
        }
        for value in ["'; drop table resource; --", "x') or 1=1 --", "\\", "%27", "$1", "\u{10FFFF}", "{}", "'"] {
            let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
            medico.get(&format!("Patient?name:contains={value}")).await.expect(200);
            for name in ["name:exact", "identifier", "_tag"] {
                assert!(
                    medico.get(&format!("Patient?{name}={value}")).await.expect(200).ids().is_empty(),
                    "{name} {value}"
                );
            }
            let filter = format!("Patient?_filter=given%20eq%20{value}x%20or%20name%20co%20{value}x");
            assert!(matches!(medico.get(&filter).await.status, 200 | 400));
            medico.get(&format!("Patient?{value}x=y")).await.refused(400, "not-supported");
        }
        let large = medico.get("Patient?_count=1000000000&_tag=nada").await.expect(200);
        assert!(large.link("self").unwrap().contains("_count=1000"), "{:?}", large.link("self"));
        let none = medico.get("Patient?_count=0&_tag=nada").await.expect(200);
        assert_eq!((none.total(), none.ids().len()), (Some(0), 0));
        assert_eq!(medico.get("Patient?_summary=count&_tag=nada").await.expect(200).total(), Some(0));
        let estimate = medico.get("Patient?_total=estimate&_count=1").await.expect(200);
        assert!(estimate.total().is_some_and(|total| total <= 10_000));
        assert_eq!(
            medico.get("Patient?_total=none&_count=1").await.expect(200).total().filter(|total| *total > 1),
            None
        );
        assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    });
}
