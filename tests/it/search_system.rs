//! Searches over several types and within compartments (<https://hl7.org/fhir/R4/search.html#searchcontexts>,
//! <https://hl7.org/fhir/R4/compartmentdefinition.html>).

use crate::harness::data::{bundle, encounter, entry, patient, result, weight};
use crate::harness::fhir::as_patient;
use crate::harness::{Fhir, Reply, fhir, run, unique};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn tagged(mut one: Value, mark: &str) -> Value {
    one["meta"] = json!({"tag": [{"system": "urn:tag", "code": mark}]});
    one
}

async fn made(caller: &Fhir, resource: Value) -> String {
    let one = caller.create(resource).await;
    format!("{}/{}", one["resourceType"].as_str().unwrap(), one["id"].as_str().unwrap())
}

fn references(resources: &[Value]) -> Vec<String> {
    let of = |one: &Value| format!("{}/{}", one["resourceType"].as_str()?, one["id"].as_str()?).into();
    resources.iter().filter_map(|one: &Value| -> Option<String> { of(one) }).collect()
}

fn set(reply: &Reply) -> BTreeSet<String> {
    references(&reply.resources()).into_iter().collect()
}

async fn form(caller: &Fhir, path: &str, form: &str) -> Reply {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    caller.send("POST", path, &headers, Some(form.as_bytes().to_vec())).await
}

#[test]
fn several_types_are_searched_at_once() {
    run(async {
        let medico = fhir("medico").await;
        let mark = unique();
        let subject = made(&medico, tagged(patient(), &mark)).await;
        let mut expected = BTreeSet::from([subject.clone()]);
        for n in 0..7 {
            expected.insert(made(&medico, tagged(weight(&subject, &format!("2024-05-0{}", n + 1)), &mark)).await);
            expected.insert(made(&medico, tagged(encounter(&subject), &mark)).await);
        }
        let all = medico.get(&format!("?_tag={mark}&_count=50")).await.expect(200);
        assert_eq!(set(&all), expected);
        assert_eq!(all.total(), Some(15));
        assert!(all.link("self").unwrap().ends_with(&format!("/fhir?_tag={mark}&_count=50")));
        // GET [base]?_type=a,b: "only those types".
        let two = medico.get(&format!("?_type=Patient,Encounter&_tag={mark}")).await.expect(200);
        assert!(set(&two).iter().all(|one| !one.starts_with("Observation")) && two.ids().len() == 8);
        assert!(two.link("self").unwrap().contains("_type=Encounter,Patient"));
        // A parameter of both types, which is not one of all types.
        let of = medico.get(&format!("?_type=Observation,Encounter&patient={subject}&_tag={mark}")).await.expect(200);
        assert_eq!(of.ids().len(), 14);
        let posted = form(&medico, "_search", &format!("_type=Encounter&_tag={mark}")).await.expect(200);
        assert_eq!(posted.ids().len(), 7);
        let counted = medico.get(&format!("?_tag={mark}&_summary=count")).await.expect(200);
        assert_eq!((counted.total(), counted.ids().len()), (Some(15), 0));
        assert_eq!(medico.get(&format!("?_tag={mark}&_count=2&_total=accurate")).await.expect(200).total(), Some(15));

        // Every match once, in the order that was asked for.
        for (sort, key) in
            [("", "updated"), ("&_sort=_lastUpdated", "updated"), ("&_sort=_id", "id"), ("&_sort=-_id", "id")]
        {
            for size in [1, 4, 15] {
                let pages = medico.all(&format!("?_tag={mark}&_count={size}{sort}")).await;
                let rows: Vec<Value> = pages.into_iter().flatten().collect();
                assert_eq!(rows.len(), 15, "{sort} {size}");
                assert_eq!(references(&rows).into_iter().collect::<BTreeSet<_>>(), expected, "{sort} {size}");
                let keys: Vec<&str> = rows
                    .iter()
                    .map(|one| if key == "id" { &one["id"] } else { &one["meta"]["lastUpdated"] }.as_str().unwrap())
                    .collect();
                let mut sorted = keys.clone();
                sorted.sort_unstable();
                if matches!(sort, "" | "&_sort=-_id") {
                    sorted.reverse();
                }
                assert_eq!(keys, sorted, "{sort} {size}");
            }
        }
    });
}

/// Equal ids and equal times of several types: none is passed over, none comes twice.
#[test]
fn equals_of_several_types_are_paged_too() {
    run(async {
        let integracion = fhir("integracion").await;
        let mark = unique();
        let names = ["Organization", "Location", "Practitioner", "Group"];
        let entries = names.iter().flat_map(|name| (0..3).map(move |n| (*name, n))).map(|(name, n)| {
            let mut one = json!({"resourceType": name, "id": format!("s{n}-{mark}")});
            match name {
                "Organization" => one["name"] = "Sede".into(),
                "Group" => (one["type"], one["actual"]) = ("person".into(), true.into()),
                _ => {}
            }
            entry("PUT", &format!("{name}/s{n}-{mark}"), None, Some(tagged(one, &mark)))
        });
        integracion.post("", &bundle("transaction", entries.collect())).await.expect(200);
        for sort in ["_lastUpdated", "-_lastUpdated", "_id", "-_id"] {
            for size in 1..6 {
                let pages = integracion.all(&format!("?_tag={mark}&_count={size}&_sort={sort}")).await;
                let seen = references(&pages.into_iter().flatten().collect::<Vec<_>>());
                assert_eq!(seen.len(), 12, "{sort} {size}: {seen:?}");
                assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 12, "{sort} {size}: {seen:?}");
            }
        }
        // The token is of this address and these parameters.
        let next = integracion.get(&format!("?_tag={mark}&_count=5")).await.expect(200).link("next").unwrap();
        integracion.get(&next.replace("_count=5", "_count=6")).await.refused(400, "value");
        integracion.get(&next.replace("?_tag", "Organization?_tag")).await.expect(404);
        fhir("medico").await.get(&next).await.refused(400, "value");
    });
}

#[test]
fn what_not_all_types_have_is_refused_by_name() {
    run(async {
        let medico = fhir("medico").await;
        for (query, expression, text) in [
            ("?code=x", "code", "is no search parameter of"),
            ("?_type=Patient,Observation&code=x", "code", "is no search parameter of Patient"),
            ("?_type=Patient&_tag:exact=x", "_tag", "supported: :not, :in"),
            ("?_sort=birthdate&_type=Patient", "_sort", "_lastUpdated or _id"),
            ("Patient?_type=Patient", "_type", "several types"),
            ("?_type=Observation&_include=Observation:subject", "_include", "in a search of one type"),
        ] {
            let reply = medico.get(query).await.refused(400, "not-supported");
            assert_eq!(reply.expressions(), [expression], "{query}");
            assert!(reply.diagnostics().contains(text), "{query}: {}", reply.diagnostics());
        }
        let near = medico.get("?_type=Pacient").await.refused(400, "value");
        assert!(near.diagnostics().contains("Patient"), "{}", near.diagnostics());
        medico.get("?_type=Patient&_type=Encounter").await.refused(400, "value");
        medico.get("?_type=Patient,Group").await.refused(403, "forbidden");
        let mark = unique();
        made(&medico, tagged(patient(), &mark)).await;
        let gentle = [("prefer", "handling=lenient")];
        let reply = medico.get_with(&format!("?_type=Patient,Encounter&birthdate=1999&_tag={mark}"), &gentle).await;
        let reply = reply.expect(200);
        assert!(reply.link("self").unwrap().ends_with(&format!("?_type=Encounter,Patient&_tag={mark}")));
        let last = reply.json()["entry"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["search"]["mode"], "outcome");
        assert_eq!(last["resource"]["issue"][0]["expression"][0], "birthdate");
        // The page is bounded, and the self link says so.
        let large = medico.get(&format!("?_tag={mark}&_count=1000000000")).await.expect(200);
        assert!(large.link("self").unwrap().contains("_count=200"));
    });
}

#[test]
fn compartments_hold_what_their_definitions_say() {
    run(async {
        let integracion = fhir("integracion").await;
        let subject = made(&integracion, patient()).await;
        let other = made(&integracion, patient()).await;
        let mut linked = patient();
        linked["link"] = json!([{"other": {"reference": subject}, "type": "seealso"}]);
        let linked = made(&integracion, linked).await;
        let doctor = made(&integracion, json!({"resourceType": "Practitioner", "name": [{"family": "Rojas"}]})).await;
        let visit = made(&integracion, encounter(&subject)).await;
        let mut seen = weight(&subject, "2024-05-06");
        seen["encounter"] = json!({"reference": visit});
        seen["performer"] = json!([{"reference": doctor}]);
        let seen = made(&integracion, seen).await;
        let later = made(&integracion, weight(&subject, "2024-05-09")).await;
        // A performer is in its own compartment, whoever the subject is: "Observation: subject, performer".
        let mut by_other = weight(&other, "2024-05-07");
        by_other["performer"] = json!([{"reference": subject}]);
        let by_other = made(&integracion, by_other).await;
        let group = json!({"resourceType": "Group", "type": "person", "actual": true, "member": [{"entity": {"reference": subject}}]});
        let group = made(&integracion, group).await;

        let check = async |path: &str, expected: &[&String]| {
            let reply = integracion.get(path).await.expect(200);
            let expected: BTreeSet<String> = expected.iter().map(|one| (*one).clone()).collect();
            assert_eq!(set(&reply), expected, "{path}");
        };
        check(&format!("{subject}/Observation"), &[&seen, &later, &by_other]).await;
        check(&format!("{subject}/Observation?date=2024-05-06"), &[&seen]).await;
        check(&format!("{subject}/Observation?subject={other}"), &[&by_other]).await;
        check(&format!("{subject}/Encounter"), &[&visit]).await;
        check(&format!("{subject}/Group"), &[&group]).await;
        check(&format!("{subject}/Patient"), &[&subject, &linked]).await;
        check(&format!("{subject}/*"), &[&subject, &linked, &visit, &seen, &later, &by_other, &group]).await;
        check(&format!("{subject}/*?_type=Encounter,Group"), &[&visit, &group]).await;
        check(&format!("{visit}/Observation"), &[&seen]).await;
        check(&format!("{visit}/*"), &[&visit, &seen]).await;
        check(&format!("{doctor}/Observation"), &[&seen]).await;
        check(&format!("{doctor}/*"), &[&doctor, &seen]).await;
        check("Patient/nadie/Observation", &[]).await;
        // What else a search of the type can do: includes, chains.
        check(&format!("{visit}/Observation?_include=Observation:subject"), &[&seen, &subject]).await;
        check(&format!("{subject}/Observation?performer:Practitioner.family=rojas"), &[&seen]).await;
        let sorted = integracion.get(&format!("{subject}/Observation?_sort=-date&_count=1")).await.expect(200);
        assert_eq!(references(&sorted.resources()), std::slice::from_ref(&later));
        assert!(sorted.link("self").unwrap().contains(&format!("/fhir/{subject}/Observation?")));
        assert_eq!(integracion.all(&sorted.link("self").unwrap()).await.len(), 3);
        // The token is of the compartment.
        let next = sorted.link("next").unwrap();
        integracion.get(&next.replace(&subject, &other)).await.refused(400, "value");
        integracion.get(&next.replace(&format!("{subject}/"), "")).await.refused(400, "value");
        let posted = form(&integracion, &format!("{subject}/Observation/_search"), "date=2024-05-09").await.expect(200);
        assert_eq!(set(&posted), BTreeSet::from([later.clone()]));
        let posted = form(&integracion, &format!("{visit}/*/_search"), "_type=Observation").await.expect(200);
        assert_eq!(set(&posted), BTreeSet::from([seen]));
        for path in ["Patient/1/Location", "Encounter/1/Patient", "Organization/1/Location", "Patient/1/Nada"] {
            integracion.get(path).await.refused(404, "not-found");
        }
        integracion.get(&format!("{subject}/*?_type=Location")).await.refused(400, "value");
    });
}

#[test]
fn f002_several_types_show_a_patient_its_own_record_only() {
    run(async {
        let (medico, mark) = (fhir("medico").await, unique());
        let own = made(&medico, tagged(patient(), &mark)).await;
        let other = made(&medico, tagged(patient(), &mark)).await;
        let mut visible = BTreeSet::from([own.clone()]);
        for (subject, mine) in [(&own, true), (&other, false)] {
            for (one, shown) in [
                (encounter(subject), true),
                (weight(subject, "2024-05-06"), true),
                (result(subject, "final"), true),
                (result(subject, "preliminary"), false),
            ] {
                let one = made(&medico, tagged(one, &mark)).await;
                if mine && shown {
                    visible.insert(one);
                }
            }
        }
        let person = as_patient(own.split('/').nth(1).unwrap()).await;
        for path in [
            format!("?_tag={mark}"),
            format!("?_tag={mark}&_type=Observation,Encounter,Patient"),
            format!("{own}/*?_tag={mark}"),
        ] {
            let reply = person.get(&path).await.expect(200);
            assert_eq!(set(&reply), visible, "{path}");
            assert_eq!(reply.total(), Some(4), "{path}");
        }
        let counted = person.get(&format!("?_tag={mark}&_count=0")).await.expect(200);
        assert_eq!(counted.total(), Some(4));
        for path in [format!("{other}/*"), format!("{other}/Observation"), format!("{other}/Encounter")] {
            assert!(person.get(&path).await.expect(200).ids().is_empty(), "{path}");
        }
        person.get(&format!("{own}/Group")).await.refused(403, "forbidden");
        // What the role may not read at all is not there when no type is named, and refused when one is.
        let admin = fhir("admin").await;
        assert!(admin.get(&format!("?_tag={mark}")).await.expect(200).ids().is_empty());
        admin.get(&format!("?_type=Patient&_tag={mark}")).await.refused(403, "forbidden");
        admin.get(&format!("{own}/Observation")).await.refused(403, "forbidden");
    });
}
