//! Validation as its callers see it: languages, `$validate`, Bundles, limits by their keys.

use crate::harness::data::{bundle, encounter, entry, patient, patient_with, weight};
use crate::harness::fhir::{account, login, signed_in};
use crate::harness::{Reply, Start, fhir, run, unique};
use serde_json::{Value, json};

/// Severity, code, expression of each issue.
fn issues(outcome: &Value) -> Vec<String> {
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
    let shown = |issue: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text(&issue["severity"]), text(&issue["code"]), text(&issue["expression"][0]))
    };
    outcome["issue"].as_array().unwrap().iter().map(shown).collect()
}

fn told(reply: &Reply) -> Vec<String> {
    issues(&reply.json())
}

fn wrong() -> Value {
    json!({"resourceType": "Patient", "birthDate": "1984-02-30", "nombre": "x", "gender": "femenino"})
}

#[test]
fn problems_are_told_in_the_language_of_the_caller() {
    run(async {
        let medico = fhir("medico").await;
        for (language, expected) in [
            (None, "must be a date"),
            (Some("en-US,en;q=0.9"), "must be a date"),
            (Some("fr"), "must be a date"),
            (Some("es-CO"), "debe ser una fecha"),
            (Some("en;q=0.3, es;q=0.9"), "debe ser una fecha"),
        ] {
            let mut headers = vec![("content-type", "application/fhir+json")];
            headers.extend(language.map(|language| ("accept-language", language)));
            let sent = Some(wrong().to_string().into_bytes());
            let reply = medico.send("POST", "Patient", &headers, sent).await.expect(400);
            assert!(reply.diagnostics().contains(expected), "{language:?}: {}", reply.text());
            let places = [
                "error value Patient.birthDate",
                "error structure Patient.nombre",
                "error code-invalid Patient.gender",
            ];
            assert_eq!(told(&reply), places);
            // The same of a batch entry, of $validate, and of a reference.
            let sent = bundle("batch", vec![entry("POST", "Patient", None, Some(wrong()))]).to_string();
            let answer = medico.send("POST", "", &headers, Some(sent.into_bytes())).await.expect(200);
            assert!(answer.text().contains(expected), "{}", answer.text());
            let sent = Some(wrong().to_string().into_bytes());
            let answer = medico.send("POST", "Patient/$validate", &headers, sent).await.expect(200);
            assert!(answer.diagnostics().contains(expected), "{}", answer.text());
            let absent = weight("Patient/no-such-patient", "2024").to_string();
            let reply = medico.send("POST", "Observation", &headers, Some(absent.into_bytes())).await.expect(422);
            let spanish = reply.diagnostics().contains("no existe");
            assert_eq!(spanish, expected.starts_with("debe"), "{}", reply.text());
        }
    });
}

#[test]
fn no_value_of_a_record_stands_in_a_refusal() {
    run(async {
        let medico = fhir("medico").await;
        let secret = "Zacarías-Oculto-1020304050";
        let mut cases = Vec::new();
        for pointer in
            ["/name/0/family", "/birthDate", "/gender", "/identifier/0/value", "/active", "/name/0/use", "/id"]
        {
            let mut one = patient();
            one["id"] = "x".into();
            *one.pointer_mut(pointer).unwrap() = json!({secret: secret});
            cases.push(one.to_string());
            *one.pointer_mut(pointer).unwrap() = json!([secret]);
            cases.push(one.to_string());
            if !matches!(pointer, "/name/0/family" | "/identifier/0/value") {
                *one.pointer_mut(pointer).unwrap() = secret.into();
                cases.push(one.to_string());
            }
        }
        cases.push(json!({"resourceType": secret}).to_string());
        cases.push(json!({"resourceType": "Patient", secret: 1}).to_string());
        cases.push(format!(r#"{{"resourceType":"Patient","{secret}":1,"{secret}":2}}"#));
        cases.push(format!(r#"{{"resourceType":"Patient","birthDate":"{secret}"#));
        cases.push(json!({"resourceType": "Patient", "managingOrganization": {"reference": secret}}).to_string());
        cases.push(json!({"resourceType": "Patient", "text": {"status": "generated", "div": secret}}).to_string());
        cases.push(
            json!({"resourceType": "Patient", "managingOrganization": {"reference": "Organization/Zacarias-Oculto"}})
                .to_string(),
        );
        for text in cases {
            // The id of the body is not looked at by a create: the update sees it.
            for (method, path) in [("POST", "Patient"), ("PUT", "Patient/y"), ("POST", "Patient/$validate")] {
                let reply = medico.raw(method, path, &[], &text).await;
                let shown = reply.text();
                assert!(
                    reply.status >= 400 || path.contains('$') || text.contains("\"id\""),
                    "{text}: {}",
                    reply.status
                );
                if reply.status >= 400 || path.contains('$') {
                    assert!(!shown.contains("Oculto"), "{method} {path} {text}\n{shown}");
                }
            }
        }
    });
}

#[test]
fn validate_says_what_a_write_would() {
    run(async {
        let medico = fhir("medico").await;
        let good = medico.create(patient()).await;
        let id = good["id"].as_str().unwrap().to_owned();
        let wrong_places =
            ["error value Patient.birthDate", "error structure Patient.nombre", "error code-invalid Patient.gender"];
        let no_narrative = "warning invariant Patient.text";
        let fine = [no_narrative, "information informational -"];
        let parameters = |resource: Option<Value>, rest: &[(&str, &str, &str)]| {
            let mut all: Vec<Value> = Vec::new();
            all.extend(resource.map(|resource| json!({"name": "resource", "resource": resource})));
            all.extend(rest.iter().map(|(name, kind, value)| json!({"name": name, *kind: value})));
            json!({"resourceType": "Parameters", "parameter": all})
        };
        let at = |path: &str| format!("Patient{path}/$validate");
        // Bare, in Parameters, of an instance, stored.
        assert_eq!(told(&medico.post(&at(""), &patient()).await.expect(200)), fine);
        let mut invalid = told(&medico.post(&at(""), &wrong()).await.expect(200));
        assert_eq!(invalid.pop().as_deref(), Some(no_narrative));
        assert_eq!(invalid, wrong_places);
        let reply = medico.post(&at(""), &parameters(Some(wrong()), &[("mode", "valueCode", "create")])).await;
        assert_eq!(told(&reply.expect(200))[..3], wrong_places);
        assert_eq!(told(&medico.get(&at(&format!("/{id}"))).await.expect(200)), fine);
        assert_eq!(told(&medico.post(&at(&format!("/{id}")), &parameters(None, &[])).await.expect(200)), fine);
        let other = medico.post(&at(""), &encounter("Patient/1")).await.expect(200);
        assert_eq!(told(&other)[0], "error structure Patient");
        let mut narrated = patient();
        narrated["text"] = json!({"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"});
        assert_eq!(told(&medico.post(&at(""), &narrated).await.expect(200)), ["information informational -"]);

        // What only a write would find: references, identity.
        let absent = weight("Patient/no-such-patient", "2024");
        let plain = medico.post("Observation/$validate", &absent).await.expect(200);
        assert_eq!(told(&plain)[1], "information informational -");
        let tried = medico.post("Observation/$validate?mode=create", &absent).await.expect(200);
        assert_eq!(told(&tried)[0], "error business-rule Observation.subject.reference");
    });
}

#[test]
fn validate_by_mode() {
    run(async {
        let medico = fhir("medico").await;
        let good = medico.create(patient()).await;
        let id = good["id"].as_str().unwrap().to_owned();
        let mine = format!("Patient/{id}");
        let update = |body: Value| {
            let (medico, path) = (medico.clone(), format!("{mine}/$validate?mode=update"));
            async move { told(&medico.post(&path, &body).await.expect(200)) }
        };
        assert_eq!(update(good.clone()).await[1], "information informational -");
        assert_eq!(update(patient()).await[0], "error value Patient.id");
        let reply = medico.post("Patient/$validate?mode=update", &patient()).await.expect(200);
        assert_eq!(told(&reply)[0], "error required Patient.id");
        // Nothing was written.
        assert_eq!(medico.get(&mine).await.expect(200).version(), 1);

        let delete = format!("{mine}/$validate?mode=delete");
        assert_eq!(told(&medico.get(&delete).await.expect(200)), ["information informational -"]);
        medico.create(weight(&mine, "2024")).await;
        assert_eq!(told(&medico.get(&delete).await.expect(200)), ["error conflict -"]);
        medico.get(&mine).await.expect(200);
        medico.get("Patient/no-such-id/$validate").await.refused(404, "not-found");
        medico.get("Patient/no-such-id/$validate?mode=delete").await.refused(404, "not-found");
        let gone = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        medico.delete(&format!("Patient/{gone}")).await.expect(204);
        medico.get(&format!("Patient/{gone}/$validate")).await.refused(410, "deleted");

        medico.get(&format!("{mine}/$validate?mode=destroy")).await.refused(400, "value");
        medico.get(&format!("{mine}/$validate?nombre=x")).await.refused(400, "not-supported");
        medico.post("Patient/$validate?mode=delete", &patient()).await.refused(400, "required");
        medico.raw("POST", "Patient/$validate", &[], "").await.refused(400, "required");
        medico.get("Patient/$validate").await.refused(405, "not-supported");
        medico.raw("POST", "Patient/$validate", &[], "{").await.refused(400, "structure");
        // Rights before content.
        fhir("admisionista")
            .await
            .post("Observation/$validate", &weight(&mine, "2024"))
            .await
            .refused(403, "forbidden");
        fhir("resultados").await.post("Patient/$validate?mode=create", &patient()).await.refused(403, "forbidden");
    });
}

#[test]
fn validate_knows_base_definitions_only_and_says_so() {
    run(async {
        let medico = fhir("medico").await;
        let of = |profile: &str| {
            json!({"resourceType": "Parameters", "parameter": [
                {"name": "resource", "resource": patient()}, {"name": "mode", "valueCode": "profile"},
                {"name": "profile", "valueUri": profile}]})
        };
        const BASE: &str = "http://hl7.org/fhir/StructureDefinition";
        const CORE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient";
        for known in [format!("{BASE}/Patient"), format!("{BASE}/Patient|4.0.1"), format!("{BASE}/DomainResource")] {
            let reply = medico.post("Patient/$validate", &of(&known)).await.expect(200);
            assert_eq!(told(&reply), ["warning invariant Patient.text", "information informational -"], "{known}");
        }
        let reply = medico.post("Patient/$validate", &of(CORE)).await.expect(200);
        assert_eq!(told(&reply)[0], "error not-supported profile");
        assert!(reply.diagnostics().contains(CORE));
        let reply = medico.post("Patient/$validate", &of(&format!("{BASE}/Observation"))).await.expect(200);
        assert_eq!(told(&reply)[0], "error value profile");
        let mut claims = patient();
        claims["meta"] = json!({"profile": [format!("{BASE}/Patient"), CORE]});
        let reply = medico.post("Patient/$validate", &claims).await.expect(200);
        assert_eq!(told(&reply)[0], "warning not-supported Patient.meta.profile[1]");
        let stored = medico.create(claims).await["id"].as_str().unwrap().to_owned();
        let reply = medico.get(&format!("Patient/{stored}/$validate?profile={CORE}")).await.expect(200);
        assert_eq!(told(&reply)[0], "error not-supported profile");
    });
}

#[test]
fn validate_is_an_entry_as_well() {
    run(async {
        let medico = fhir("medico").await;
        let id = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        for kind in ["batch", "transaction"] {
            let entries = vec![
                entry("POST", "Patient/$validate", None, Some(wrong())),
                entry("GET", &format!("Patient/{id}/$validate"), None, None),
            ];
            let answer = medico.post("", &bundle(kind, entries)).await.expect(200).json();
            assert_eq!(answer["entry"][0]["response"]["status"], "200 OK", "{answer}");
            assert_eq!(issues(&answer["entry"][0]["resource"])[0], "error value Patient.birthDate");
            assert_eq!(issues(&answer["entry"][1]["resource"])[1], "information informational -");
        }
    });
}

#[test]
fn what_is_around_the_entries_is_judged_too() {
    run(async {
        let medico = fhir("medico").await;
        let number = unique();
        let good = || entry("POST", "Patient", None, Some(patient_with(&number)));
        let mut odd = good();
        odd["resouce"] = json!({});
        for kind in ["transaction", "batch"] {
            let mut whole = bundle(kind, vec![good()]);
            whole["nombre"] = "x".into();
            let reply = medico.post("", &whole).await.refused(400, "structure");
            assert_eq!(told(&reply), ["error structure Bundle.nombre"]);
            let mut whole = bundle(kind, vec![good()]);
            whole["total"] = 1.into();
            assert_eq!(
                told(&medico.post("", &whole).await.refused(422, "invariant")),
                ["error invariant Bundle.total"]
            );
        }
        let reply = medico.post("", &bundle("transaction", vec![good(), odd.clone()])).await.refused(400, "structure");
        assert_eq!(told(&reply), ["error structure Bundle.entry[1].resouce"]);
        assert_eq!(medico.get(&format!("Patient?identifier={number}")).await.expect(200).total(), Some(0));
        let answer = medico.post("", &bundle("batch", vec![good(), odd])).await.expect(200).json();
        assert_eq!(answer["entry"][0]["response"]["status"], "201 Created");
        assert_eq!(issues(&answer["entry"][1]["response"]["outcome"]), ["error structure Bundle.entry[1].resouce"]);
        // A Bundle that is only stored is judged by the rules of its type.
        let integracion = fhir("integracion").await;
        let document = json!({"resourceType": "Bundle", "type": "document", "entry": [{"resource": patient()}]});
        let reply = integracion.post("Bundle", &document).await.refused(422, "invariant");
        assert_eq!(
            told(&reply),
            ["error invariant Bundle.identifier", "error invariant Bundle.timestamp", "error invariant Bundle.entry"]
        );
    });
}

#[test]
fn limits_are_those_of_their_keys() {
    run(async {
        let start = Start::serve_alone().with("HISTORIA_LIMITS__STRING", "100 B").with("HISTORIA_LIMITS__DEPTH", "10");
        let start = start.with("HISTORIA_LIMITS__BODY", "20 kB").with("HISTORIA_LIMITS__BUNDLE_ENTRIES", "3");
        let instance = start.with("HISTORIA_LIMITS__URL", "300 B").with("HISTORIA_LIMITS__HEADERS", "2 kB").ready();
        let (usuario, clave) = account(&instance, "medico", "CC-1020304050", None);
        let medico = login(&instance.http(), &usuario, &clave).await;
        let named = |length: usize| {
            let mut one = patient();
            one["name"][0]["family"] = "ñ".repeat(length).into();
            one
        };
        medico.post("Patient", &named(100)).await.expect(201);
        let reply = medico.post("Patient", &named(101)).await.refused(400, "value");
        assert_eq!(told(&reply), ["error value Patient.name[0].family"]);
        assert!(reply.diagnostics().contains("100 characters (limits.string)"), "{}", reply.text());
        let reply = medico.post("", &bundle("batch", vec![entry("POST", "Patient", None, Some(named(101)))])).await;
        assert!(reply.expect(200).text().contains("limits.string"));
        // base64Binary is held to the body.
        let mut pictured = patient();
        pictured["photo"] = json!([{"data": "QUJD".repeat(100)}]);
        medico.post("Patient", &pictured).await.expect(201);
        pictured["photo"] = json!([{"data": "QUJD".repeat(6000)}]);
        let reply = medico.post("Patient", &pictured).await.refused(413, "too-long");
        assert!(reply.diagnostics().contains("limits.body"), "{}", reply.text());

        let nested = |levels: usize| {
            let mut inner = json!({"url": "http://example.org/x", "valueString": "y"});
            // Each extension is an array and an object.
            for _ in 1..levels {
                inner = json!({"url": "http://example.org/x", "extension": [inner]});
            }
            let mut one = patient();
            one["extension"] = json!([inner]);
            one
        };
        medico.post("Patient", &nested(4)).await.expect(201);
        let reply = medico.post("Patient", &nested(5)).await.refused(400, "too-costly");
        assert!(reply.diagnostics().contains("10 levels of depth (limits.depth)"), "{}", reply.text());

        let three = |n: usize| bundle("batch", vec![entry("GET", "Patient/x", None, None); n]);
        medico.post("", &three(3)).await.expect(200);
        let reply = medico.post("", &three(4)).await.refused(400, "too-costly");
        assert!(reply.diagnostics().contains("limits.bundle_entries"), "{}", reply.text());
        let long = "a".repeat(2_100);
        let reply = medico.get_with("Patient/x", &[("x-padding", &long)]).await.refused(431, "too-long");
        assert!(reply.diagnostics().contains("limits.headers"), "{}", reply.text());
        let reply = medico.get(&format!("Patient?family={}", "a".repeat(300))).await.refused(400, "too-costly");
        assert!(reply.diagnostics().contains("limits.url"), "{}", reply.text());
    });
}

/// Ten thousand and a million levels, in objects and in arrays: refused at once, in constant memory, by a server that goes on.
#[test]
fn what_is_deeper_than_any_record_is_refused_in_constant_memory() {
    run(async {
        let instance = Start::dev().ready();
        let medico = signed_in(&instance, "medico").await;
        let memory = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", instance.pid())).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("VmHWM:")).map(str::to_owned);
            line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0)
        };
        medico.get("Patient?_count=1").await.expect(200);
        for (open, close) in [("{\"extension\":[", "]}"), ("[", "]"), ("{\"a\":", "}")] {
            let mut before = memory();
            for levels in [10_000, 1_000_000] {
                let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
                let text = format!("{{\"resourceType\":\"Patient\",\"extension\":{deep}}}");
                let started = std::time::Instant::now();
                let reply = medico.raw("POST", "Patient", &[], &text).await.refused(400, "too-costly");
                assert!(reply.diagnostics().contains("limits.depth"), "{}", reply.text());
                assert!(started.elapsed().as_secs() < 5, "{levels}: {:?}", started.elapsed());
                let size = u64::try_from(text.len()).unwrap() / 1024;
                let grown = memory().saturating_sub(before);
                // The body itself, twice while its buffer grows, and no more for its depth.
                assert!(grown < 3 * size + 20_000, "{open} {levels}: {grown} kB for {size} kB");
                before = memory();
            }
        }
        medico.post("Patient", &patient()).await.expect(201);
    });
}
