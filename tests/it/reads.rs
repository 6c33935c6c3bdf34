//! Reads whole, in part, or not at all because nothing has changed; labels; an Encounter's everything; browsers of other
//! origins; what the server says of itself.

use crate::access::ROLES;
use crate::harness::data::{bundle, encounter, entry, patient, weight};
use crate::harness::fhir::{Fhir, Reply, as_patient};
use crate::harness::{anonymous, fhir, run, server, skip, unique};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

async fn made(by: &Fhir, resource: Value) -> (String, Value) {
    let made = by.create(resource).await;
    (format!("{}/{}", made["resourceType"].as_str().unwrap(), made["id"].as_str().unwrap()), made)
}

#[test]
fn a_read_is_answered_only_when_something_has_changed() {
    run(async {
        let medico = fhir("medico").await;
        let (path, mut one) = made(&medico, patient()).await;
        one["gender"] = "male".into();
        let put = medico.put(&path, &one).await.expect(200);
        let modified = put.header("last-modified").to_owned();
        for address in [path.clone(), format!("{path}/_history/2")] {
            let whole = medico.get(&address).await.expect(200);
            let location = format!("{}/fhir/{path}/_history/2", server().http());
            assert_eq!((whole.header("etag"), whole.header("content-location")), ("W/\"2\"", location.as_str()));
            assert_eq!(whole.header("last-modified"), modified);
            assert_eq!(whole.header("cache-control"), "private, no-cache");
            assert!(whole.header("vary").contains("Accept") && whole.header("location").is_empty());
            for tag in ["W/\"2\"", "\"2\"", "W/\"1\", W/\"2\"", "*"] {
                let same = medico.get_with(&address, &[("if-none-match", tag)]).await.expect(304);
                assert!(same.body.is_empty() && same.header("etag") == "W/\"2\"", "{tag}");
                assert!(!same.header("last-modified").is_empty() && !same.header("vary").is_empty());
            }
            medico.get_with(&address, &[("if-none-match", "W/\"1\"")]).await.expect(200);
            medico.get_with(&address, &[("if-modified-since", &modified)]).await.expect(304);
            medico.get_with(&address, &[("if-modified-since", "Mon, 01 Jan 2024 00:00:00 GMT")]).await.expect(200);
            medico.get_with(&address, &[("if-modified-since", "ayer")]).await.expect(200);
            // The tag outweighs the date.
            let both = [("if-none-match", "W/\"1\""), ("if-modified-since", modified.as_str())];
            medico.get_with(&address, &both).await.expect(200);
            let wrong = medico.get_with(&address, &[("if-none-match", "2")]).await.refused(400, "value");
            assert_eq!(wrong.expressions(), ["If-None-Match"]);
        }
        medico.get_with(&format!("{path}/_history/1"), &[("if-none-match", "W/\"2\"")]).await.expect(200);
        // F024: of what is not to be seen nothing is told.
        let (other, _) = made(&medico, patient()).await;
        let caller = as_patient(path.trim_start_matches("Patient/")).await;
        caller.get_with(&path, &[("if-none-match", "*")]).await.expect(304);
        for header in [("if-none-match", "*"), ("if-modified-since", modified.as_str())] {
            caller.get_with(&other, &[header]).await.refused(404, "not-found");
        }
        medico.delete(&other).await.expect(204);
        medico.get_with(&other, &[("if-none-match", "*")]).await.refused(410, "deleted");
    });
}

#[test]
fn a_head_is_a_get_without_its_body() {
    run(async {
        let medico = fhir("medico").await;
        let (path, _) = made(&medico, patient()).await;
        for (address, status) in [
            (path.clone(), 200),
            (format!("{path}/_history/1"), 200),
            (format!("{path}/_history"), 200),
            ("Patient/_history?_count=1".to_owned(), 200),
            (format!("Patient?_id={}", &path[8..]), 200),
            (format!("{path}/$everything"), 200),
            (format!("{path}/$meta"), 200),
            ("metadata".to_owned(), 200),
            ("/openapi.json".to_owned(), 200),
            ("Patient/no-such-id".to_owned(), 404),
        ] {
            let (get, head) = (medico.get(&address).await, medico.send("HEAD", &address, &[], None).await);
            assert_eq!((get.status, head.status), (status, status), "{address}");
            assert!(head.body.is_empty() && !get.body.is_empty(), "{address}");
            for name in ["etag", "last-modified", "content-type", "content-location", "cache-control"] {
                assert_eq!(get.header(name), head.header(name), "{address}: {name}");
            }
        }
        let same = medico.send("HEAD", &path, &[("if-none-match", "W/\"1\"")], None).await;
        assert_eq!(same.status, 304);
    });
}

fn subsetted(resource: &Value) -> bool {
    resource["meta"]["tag"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag["code"] == "SUBSETTED"))
}

fn names(resource: &Value) -> BTreeSet<&str> {
    resource.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_part_of_a_resource_is_given_wherever_one_is_read() {
    run(async {
        let medico = fhir("medico").await;
        let mut person = patient();
        person["text"] = json!({"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Ana</div>"});
        person["contact"] = json!([{"gender": "male"}]);
        let (path, _) = made(&medico, person).await;
        let id = &path[8..];
        let mut measured = weight(&path, "2024-01-02");
        measured["valueQuantity"]["value"] = serde_json::from_str("72.50").unwrap();
        medico.create(measured).await;
        let places = [
            path.clone(),
            format!("{path}/_history/1"),
            format!("{path}/_history"),
            format!("Patient?_id={id}"),
            format!("?_type=Patient&_id={id}"),
            format!("{path}/$everything"),
        ];
        for place in &places {
            let ask = async |parameter: &str| -> Reply {
                let mark = if place.contains('?') { '&' } else { '?' };
                medico.get(&format!("{place}{mark}{parameter}")).await
            };
            let person = |reply: Reply| -> Value {
                let body = reply.expect(200).json();
                let entry = body["entry"].as_array().and_then(|entries| entries.first()).cloned();
                entry.map_or(body, |entry| entry["resource"].clone())
            };
            let text = person(ask("_summary=text").await);
            assert_eq!(names(&text), BTreeSet::from(["resourceType", "id", "meta", "text"]), "{place}");
            let summary = person(ask("_summary=true").await);
            assert!(summary["name"].is_array() && summary["contact"].is_null() && summary["text"].is_null(), "{place}");
            let data = person(ask("_summary=data").await);
            assert!(data["contact"].is_array() && data["text"].is_null(), "{place}");
            let elements = person(ask("_elements=birthDate,Patient.contact").await);
            assert!(elements["birthDate"].is_string() && elements["contact"].is_array() && elements["name"].is_null());
            for part in [&text, &summary, &data, &elements] {
                assert!(subsetted(part) && part["id"] == *id && part["meta"]["versionId"] == "1", "{place}: {part}");
            }
            let whole = person(ask("_summary=false").await);
            assert!(!subsetted(&whole) && whole["contact"].is_array() && whole["text"].is_object(), "{place}");
            for (parameter, at) in [
                ("_summary=todo", "_summary"),
                ("_elements=nombre", "_elements"),
                ("_summary=true&_elements=name", "_elements"),
            ] {
                let reply = ask(parameter).await.expect(400);
                assert_eq!(reply.expressions(), [at], "{place} {parameter}");
            }
        }
        // Digits stay, the link to itself says what was asked, and what is included is whole with _elements.
        let found =
            medico.get(&format!("Observation?subject={path}&_elements=value&_include=Observation:subject")).await;
        let found = found.expect(200);
        assert!(found.text().contains("72.50"), "{}", found.text());
        assert!(found.link("self").unwrap().contains("_elements=value"));
        let resources = found.resources();
        assert!(subsetted(&resources[0]) && resources[0]["code"].is_object() && resources[0]["category"].is_null());
        assert!(!subsetted(&resources[1]) && resources[1]["name"].is_array());
        medico.get(&format!("Observation?subject={path}&_summary=text&_include=*")).await.refused(400, "invalid");
        medico.get(&format!("{path}?_summary=count")).await.refused(400, "value");
        // A part is not written back.
        let part = medico.get(&format!("{path}?_elements=name")).await.expect(200).json();
        medico.put(&path, &part).await.refused(422, "business-rule");
        // Pages keep what was asked.
        let first = medico.get("Patient/_history?_count=1&_elements=name").await.expect(200);
        let second = medico.get(&first.link("next").unwrap()).await.expect(200);
        assert!(second.resources().iter().all(|one| one.is_null() || subsetted(one)));
    });
}

fn meta_of(reply: &Reply) -> Value {
    let body = reply.json();
    assert_eq!(body["resourceType"], "Parameters", "{body}");
    assert_eq!(body["parameter"][0]["name"], "return");
    body["parameter"][0]["valueMeta"].clone()
}

fn labels(meta: Value) -> Value {
    json!({"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]})
}

#[test]
fn labels_are_told_added_and_taken_away() {
    run(async {
        let medico = fhir("medico").await;
        let (path, one) = made(&medico, patient()).await;
        let mark = unique();
        let tag = json!({"system": "urn:lote", "code": mark});
        assert_eq!(meta_of(&medico.get(&format!("{path}/$meta")).await.expect(200)), one["meta"]);
        let added = labels(
            json!({"tag": [tag], "security": [{"system": "urn:s", "code": "R"}], "profile": ["http://example.org/p"]}),
        );
        let reply = medico.post(&format!("{path}/$meta-add"), &added).await.expect(200);
        let meta = meta_of(&reply);
        assert_eq!((reply.version(), &meta["versionId"], &meta["tag"][0]["code"]), (2, &json!("2"), &json!(mark)));
        assert_eq!(medico.get(&path).await.json()["meta"], meta);
        assert_eq!(medico.get(&format!("Patient?_tag=urn:lote|{mark}")).await.expect(200).ids(), [&path[8..]]);
        // Once more changes nothing, and makes no version.
        assert_eq!(medico.post(&format!("{path}/$meta-add"), &added).await.expect(200).version(), 2);
        let of_type = meta_of(&medico.get("Patient/$meta").await.expect(200));
        assert!(
            of_type["tag"].as_array().unwrap().iter().any(|one| one["code"] == *mark),
            "among the newest: {of_type}"
        );
        assert!(of_type["versionId"].is_null());
        assert!(meta_of(&medico.get("$meta").await.expect(200)).is_object());
        let stale = [("if-match", "W/\"1\"")];
        medico.post_with(&format!("{path}/$meta-delete"), &stale, &added).await.refused(412, "conflict");
        let gone = labels(json!({"tag": [{"system": "urn:lote", "code": mark, "display": "x"}]}));
        let reply = medico.post(&format!("{path}/$meta-delete"), &gone).await.expect(200);
        assert!(meta_of(&reply)["tag"].is_null() && meta_of(&reply)["profile"].is_array());
        assert_eq!(
            meta_of(&medico.get(&format!("{path}/_history/2/$meta")).await.expect(200))["tag"][0]["code"],
            *mark
        );
        // What is no meta, not there, or not allowed.
        for body in [json!({"resourceType": "Patient"}), labels(json!("x")), json!({"resourceType": "Parameters"})] {
            medico.post(&format!("{path}/$meta-add"), &body).await.refused(400, "invalid");
        }
        let bad = labels(json!({"tag": [{"sistema": "x"}]}));
        medico.post(&format!("{path}/$meta-add"), &bad).await.refused(400, "structure");
        medico.post("Patient/no-such-id/$meta-add", &added).await.refused(404, "not-found");
        medico.get("Patient/no-such-id/$meta").await.refused(404, "not-found");
        medico.get(&format!("{path}/$meta-add")).await.refused(405, "not-supported");
        medico.post("Patient/$meta-add", &added).await.refused(404, "not-found");
        let reader = fhir("resultados").await;
        reader.get(&format!("{path}/$meta")).await.expect(200);
        reader.post(&format!("{path}/$meta-add"), &added).await.refused(403, "forbidden");
        as_patient(&path[8..]).await.get("Patient/$meta").await.expect(200);
        fhir("admin").await.get("Patient/$meta").await.refused(403, "forbidden");
        // As entries of Bundles, of both kinds.
        for (kind, version) in [("batch", "4"), ("transaction", "5")] {
            let label = labels(json!({"tag": [{"system": "urn:k", "code": kind}]}));
            let entries = vec![
                entry("POST", &format!("{path}/$meta-add"), None, Some(label)),
                entry("GET", &format!("{path}/$meta"), None, None),
            ];
            let answer = medico.post("", &bundle(kind, entries)).await.expect(200).json();
            let told = &answer["entry"][1]["resource"]["parameter"][0]["valueMeta"];
            assert_eq!(told["versionId"], version, "{kind}: {answer}");
            assert!(told["tag"].to_string().contains(kind), "{kind}: {answer}");
        }
    });
}

fn references(reply: &Reply, mode: &str) -> BTreeSet<String> {
    let bundle = reply.json();
    let entries = bundle["entry"].as_array().into_iter().flatten().filter(|entry| entry["search"]["mode"] == mode);
    entries.map(|entry| entry["fullUrl"].as_str().unwrap().split_once("/fhir/").unwrap().1.to_owned()).collect()
}

#[test]
fn everything_of_an_encounter_and_within_dates() {
    run(async {
        let medico = fhir("medico").await;
        let (person, _) = made(&medico, patient()).await;
        let (doctor, _) = made(&fhir("integracion").await, json!({"resourceType": "Practitioner"})).await;
        let mut visit = encounter(&person);
        visit["participant"] = json!([{"individual": {"reference": doctor}}]);
        let (visit, _) = made(&medico, visit).await;
        let at = |when: &str, of: Option<&str>| {
            let mut one = weight(&person, when);
            if let Some(of) = of {
                one["encounter"] = json!({"reference": of});
            }
            one
        };
        let (inside, _) = made(&medico, at("2024-05-06T08:00:00-05:00", Some(&visit))).await;
        let (before, _) = made(&medico, at("2023-02-03", None)).await;
        let (later, _) = made(&medico, at("2025-01-01", None)).await;
        let (undated, _) =
            made(&medico, json!({"resourceType": "AllergyIntolerance", "patient": {"reference": person}})).await;
        let relative =
            json!({"resourceType": "RelatedPerson", "patient": {"reference": person}, "birthDate": "1950-01-01"});
        let (relative, _) = made(&medico, relative).await;

        let path = format!("{visit}/$everything");
        let all = medico.get(&path).await.expect(200);
        assert_eq!(references(&all, "match"), BTreeSet::from([visit.clone(), inside.clone()]));
        assert_eq!(references(&all, "include"), BTreeSet::from([person.clone(), doctor.clone()]));
        assert_eq!(all.total(), Some(2));
        let paged: Vec<usize> = medico.all(&format!("{path}?_count=1")).await.iter().map(Vec::len).collect();
        assert_eq!(paged, [3, 1], "the Encounter with what it names, then the rest");
        let typed = medico.get(&format!("{path}?_type=Observation")).await.expect(200);
        assert_eq!(references(&typed, "match"), BTreeSet::from([inside.clone()]));
        let parameters =
            json!({"resourceType": "Parameters", "parameter": [{"name": "_type", "valueCode": "Encounter"}]});
        let posted = medico.post(&path, &parameters).await.expect(200);
        assert_eq!(references(&posted, "match"), BTreeSet::from([visit.clone()]));
        medico.get(&format!("{path}?start=2024-01-01")).await.refused(400, "value");
        medico.get("Encounter/no-such-id/$everything").await.refused(404, "not-found");
        medico.get("Encounter/$everything").await.refused(400, "not-supported");
        for role in ROLES {
            let caller = if role == "paciente" { as_patient(&person[8..]).await } else { fhir(role).await };
            match role {
                "admin" => drop(caller.get(&path).await.refused(403, "forbidden")),
                "admisionista" => {
                    let seen = caller.get(&path).await.expect(200);
                    assert_eq!(references(&seen, "match"), BTreeSet::from([visit.clone()]), "{role}");
                }
                _ => {
                    let seen = caller.get(&path).await.expect(200);
                    assert_eq!(references(&seen, "match"), references(&all, "match"), "{role}");
                    assert_eq!(references(&seen, "include"), references(&all, "include"), "{role}");
                }
            }
        }
        let (stranger, _) = made(&medico, patient()).await;
        as_patient(&stranger[8..]).await.get(&path).await.refused(404, "not-found");

        let within = async |query: &str| {
            let reply = medico.get(&format!("{person}/$everything?{query}")).await.expect(200);
            let mut found = references(&reply, "match");
            // What has no date of care is always told.
            for one in [&person, &undated, &relative] {
                assert!(found.remove(one), "{query}: {one}");
            }
            found
        };
        let set = |all: &[&String]| all.iter().map(|one| (*one).clone()).collect::<BTreeSet<String>>();
        assert_eq!(within("start=2024-05-06&end=2024-05-06").await, set(&[&visit, &inside]));
        assert_eq!(within("start=2024").await, set(&[&visit, &inside, &later]));
        assert_eq!(within("end=2023-12-31").await, set(&[&before]));
        medico.get(&format!("{person}/$everything?start=ayer")).await.refused(400, "value");
    });
}

#[test]
fn pages_of_other_origins_are_served_without_cookies() {
    run(async {
        let medico = fhir("medico").await;
        let (path, _) = made(&medico, patient()).await;
        let origin = ("origin", "https://app.example.org");
        // What is open to all is open to every page, whatever is configured.
        let open = anonymous().get_with("metadata", &[origin]).await.expect(200);
        assert_eq!(open.header("access-control-allow-origin"), "*");
        let read = medico.get_with(&path, &[origin]).await.expect(200);
        assert_eq!(read.header("access-control-allow-origin"), "*", "`dev` takes any origin");
        assert!(read.header("access-control-allow-credentials").is_empty());
        for name in ["ETag", "Location", "Content-Location", "Last-Modified", "X-Request-Id", "WWW-Authenticate"] {
            assert!(read.header("access-control-expose-headers").contains(name), "{name}");
        }
        let refused = anonymous().get_with(&path, &[origin]).await.expect(401);
        assert!(
            !refused.header("access-control-allow-origin").is_empty() && !refused.header("x-request-id").is_empty()
        );
        let asks = [origin, ("access-control-request-method", "PUT"), ("access-control-request-headers", "if-match")];
        let asked = anonymous().send("OPTIONS", &path, &asks, None).await.expect(204);
        assert!(asked.header("access-control-allow-methods").contains("PUT"));
        assert!(asked.header("access-control-allow-headers").contains("If-Match"));
        assert_eq!(asked.header("access-control-max-age"), "600");
        let token = anonymous().send("OPTIONS", "/oauth/token", &asks, None).await.expect(204);
        assert_eq!(token.header("access-control-allow-origin"), "*");
        // Pages and the sign-in are not for others.
        let login = anonymous().get_with("/login", &[origin]).await.expect(200);
        assert!(login.header("access-control-allow-origin").is_empty());
        let plain = anonymous().send("OPTIONS", &path, &[], None).await.expect(204);
        assert!(plain.header("allow").contains("PUT") && plain.header("allow").contains("OPTIONS"));
    });
}

#[test]
fn cors_is_for_the_configured_origins_alone() {
    if std::env::var("HISTORIA_TEST_URL").is_ok() {
        return skip("reads::cors_is_for_the_configured_origins_alone", "the server is not ours");
    }
    run(async {
        let start = crate::harness::instance::Start::serve(&server().database_url());
        let instance = start.with("HISTORIA_HTTP__CORS", "[\"https://app.example.org\"]").ready();
        let nobody = Fhir::new(&instance.http(), None);
        for (origin, allowed) in
            [("https://app.example.org", true), ("https://app.example.org.evil", false), ("null", false)]
        {
            let asks = [("origin", origin), ("access-control-request-method", "GET")];
            for reply in [
                nobody.send("OPTIONS", "Patient/1", &asks, None).await.expect(204),
                nobody.get_with("Patient/1", &[("origin", origin)]).await.expect(401),
            ] {
                let expected = if allowed { origin } else { "" };
                assert_eq!(reply.header("access-control-allow-origin"), expected, "{origin}");
                assert!(reply.headers.get_all("vary").iter().any(|value| value == "Origin"), "{origin}");
            }
        }
    });
}

#[test]
fn each_status_of_a_wrong_request() {
    run(async {
        let medico = fhir("medico").await;
        let (path, _) = made(&medico, patient()).await;
        for (method, address, allow) in [
            ("PUT", "Patient/_history", "GET, HEAD, OPTIONS"),
            ("DELETE", "metadata", "GET, HEAD, OPTIONS"),
            ("GET", "Patient/_search", "POST, OPTIONS"),
            ("DELETE", &format!("{path}/$meta"), "GET, HEAD, POST, OPTIONS"),
            ("PUT", &format!("{path}/_history/1"), "GET, HEAD, OPTIONS"),
            ("POST", "_history", "GET, HEAD, OPTIONS"),
        ] {
            let body = matches!(method, "PUT" | "POST").then(|| patient().to_string().into_bytes());
            let reply = medico.send(method, address, &[("content-type", "application/fhir+json")], body).await;
            assert_eq!(reply.refused(405, "not-supported").header("allow"), allow, "{method} {address}");
        }
        for (address, status) in
            [("Paciente", 404), ("Paciente/_history", 404), ("Paciente/$meta", 404), ("Patient/1/x", 404)]
        {
            medico.get(address).await.refused(status, "not-found");
        }
        medico.get_with(&format!("{path}/_history"), &[("accept", "image/png")]).await.refused(406, "not-supported");
        let text = [("content-type", "text/plain")];
        medico
            .send("POST", &format!("{path}/$meta-add"), &text, Some(b"x".to_vec()))
            .await
            .refused(415, "not-supported");
    });
}

#[test]
fn metadata_in_each_mode() {
    run(async {
        let nobody = anonymous();
        let full = nobody.get("metadata").await.expect(200).json();
        assert_eq!(nobody.get("metadata?mode=full").await.expect(200).json(), full);
        let normative = nobody.get("metadata?mode=normative").await.expect(200).json();
        assert!(normative["rest"][0]["security"].is_null() && full["rest"][0]["security"].is_object());
        assert!(normative["rest"][0]["resource"][0]["versioning"].is_null());
        assert_eq!(normative["rest"][0]["resource"][0]["interaction"], full["rest"][0]["resource"][0]["interaction"]);
        let terminology = nobody.get("metadata?mode=terminology").await.expect(200).json();
        assert_eq!(terminology["resourceType"], "TerminologyCapabilities");
        let systems = terminology["codeSystem"].as_array().unwrap();
        assert!(systems.iter().any(|one| one["uri"] == "http://hl7.org/fhir/administrative-gender"), "{systems:?}");
        nobody.get("metadata?mode=todo").await.refused(400, "value");
        let short = nobody.get("metadata?_summary=true").await.expect(200).json();
        let searches = &short["rest"][0]["resource"][0]["searchParam"];
        assert!(subsetted(&short) && short["rest"].is_array() && searches.is_null(), "{searches}");
        // The statements are resources that this server itself accepts.
        let integracion = fhir("integracion").await;
        for statement in [full, normative, terminology] {
            integracion.create(statement).await;
        }
    });
}

/// Exercises each interaction and operation that the statement names, for every type.
#[test]
fn the_capability_statement_is_exact() {
    run(async {
        let statement = anonymous().get("metadata").await.expect(200).json();
        let rest = &statement["rest"][0];
        let integracion = fhir("integracion").await;
        let json = [("content-type", "application/fhir+json")];
        for resource in rest["resource"].as_array().unwrap() {
            let name = resource["type"].as_str().unwrap();
            let codes: BTreeSet<&str> =
                resource["interaction"].as_array().unwrap().iter().filter_map(|one| one["code"].as_str()).collect();
            let body = json!({"resourceType": name, "id": "no-such-id"}).to_string().into_bytes();
            for (code, method, path, there) in [
                ("read", "GET", format!("{name}/no-such-id"), 404),
                ("vread", "GET", format!("{name}/no-such-id/_history/1"), 404),
                ("history-instance", "GET", format!("{name}/no-such-id/_history"), 404),
                ("history-type", "GET", format!("{name}/_history?_count=1"), 200),
                ("search-type", "GET", format!("{name}?_id=no-such-id"), 200),
                ("delete", "DELETE", format!("{name}/no-such-id"), 204),
            ] {
                let status = integracion.send(method, &path, &json, None).await.status;
                // AuditEvent: created by clients, read by the administrator.
                let expected = if !codes.contains(code) {
                    405
                } else if name == "AuditEvent" {
                    403
                } else {
                    there
                };
                assert_eq!(status, expected, "{method} {path}");
            }
            if !codes.contains("update") {
                let status = integracion.send("PUT", &format!("{name}/no-such-id"), &json, Some(body)).await.status;
                assert_eq!(status, 405, "PUT {name}");
            }
            let known: BTreeSet<&str> =
                resource["operation"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
            for operation in ["everything", "meta", "meta-add", "meta-delete"] {
                let path = format!("{name}/no-such-id/${operation}");
                let label = labels(json!({"tag": [{"code": "x"}]}));
                let reply = match operation {
                    "everything" | "meta" => integracion.get(&path).await,
                    _ => integracion.post(&path, &label).await,
                };
                let is_there = !reply.diagnostics().contains("operation") && reply.status != 405;
                assert_eq!(is_there, known.contains(operation), "{path}: {} {}", reply.status, reply.text());
            }
        }
        let codes: BTreeSet<&str> =
            rest["interaction"].as_array().unwrap().iter().filter_map(|one| one["code"].as_str()).collect();
        assert_eq!(codes, BTreeSet::from(["batch", "history-system", "search-system", "transaction"]));
        integracion.get("_history?_count=1").await.expect(200);
        integracion.get("$meta").await.expect(200);
    });
}

#[test]
fn the_openapi_description_is_valid() {
    run(async {
        let reply = anonymous().get("/openapi.json").await.expect(200);
        assert!(reply.header("content-type").starts_with("application/json"));
        let description = reply.json();
        assert_eq!(description["servers"][0]["url"], server().http());
        println!("openapi.json: {} bytes, {} paths", reply.body.len(), description["paths"].as_object().unwrap().len());
        anonymous().post("/openapi.json", &json!({})).await.expect(405);
        // Every address without braces answers.
        let medico = fhir("medico").await;
        for (path, methods) in description["paths"].as_object().unwrap().iter().filter(|(path, _)| !path.contains('{'))
        {
            if methods["get"].is_object() {
                let status = medico.get(&format!("{path}?_count=1")).await.status;
                assert!(matches!(status, 200 | 403), "{path}: {status}");
            }
        }
        const NAME: &str = "reads::the_openapi_description_is_valid";
        let file = std::env::temp_dir().join(format!("historia-openapi-{}.json", std::process::id()));
        std::fs::write(&file, &reply.body).unwrap();
        let validated = Command::new("python3").args(["-m", "openapi_spec_validator"]).arg(&file).output();
        let _ = std::fs::remove_file(&file);
        match validated {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let text =
                    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
                assert!(text.contains("No module named"), "{text}");
                skip(NAME, "openapi-spec-validator is not installed");
            }
            Err(_) => skip(NAME, "there is no python3"),
        }
    });
}
