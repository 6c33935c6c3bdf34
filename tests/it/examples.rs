//! What `examples/` shows runs: every script, every request of the Postman collection, every message, the sample.

use crate::harness::fhir::signed_in;
use crate::harness::mllp::Mllp;
use crate::harness::{Instance, Start, database, fhir, hl7, run, server, skip};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const MARK: &str = "_security=http://terminology.hl7.org/CodeSystem/v3-ActReason|HTEST";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The files of a folder whose names end so, in the order of their numbers.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(examples().join(folder)).expect("a folder").map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut found: Vec<PathBuf> =
        entries.filter(|path| name(path).ends_with(end) && name(path).as_bytes()[0].is_ascii_digit()).collect();
    found.sort();
    assert!(!found.is_empty(), "examples/{folder} has no *{end}");
    found
}

fn ready_file(instance: &Instance) -> PathBuf {
    std::env::var("HISTORIA_TEST_READY").map_or_else(|_| instance.data_dir.join("ready.json"), PathBuf::from)
}

/// Whether the server has the sample: `dev` has, another server that is tested may not have.
async fn has_sample(test: &str) -> bool {
    let found = fhir("integracion").await.get(&format!("Patient?{MARK}&_count=0")).await.expect(200).json();
    let there = found["total"].as_u64().unwrap_or(0) > 0;
    if !there {
        skip(test, "the server under test has no sample");
    }
    there
}

#[test]
fn every_script_runs() {
    for tool in ["bash", "curl", "python3"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return skip("every_script_runs", &format!("there is no {tool}"));
        }
    }
    if !run(has_sample("every_script_runs")) {
        return;
    }
    for script in files("http", ".sh") {
        let mut command = Command::new("bash");
        let output = command.arg(&script).env("HISTORIA_READY", ready_file(server())).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}: {}{}", script.display(), text(&output.stdout), text(&output.stderr));
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{} says nothing", script.display());
    }
}

#[test]
fn every_request_of_the_postman_collection_answers_as_it_says() {
    run(async {
        if !has_sample("every_request_of_the_postman_collection_answers_as_it_says").await {
            return;
        }
        let text = std::fs::read_to_string(examples().join("http/historia.postman_collection.json")).unwrap();
        let collection: Value = serde_json::from_str(&text).unwrap();
        assert!(collection["info"]["schema"].as_str().unwrap().contains("v2.1.0"));
        let mut postman = Postman::of(&collection, server());
        let mut sent = 0;
        for folder in collection["item"].as_array().unwrap() {
            for item in folder["item"].as_array().unwrap() {
                postman.send(item, &collection["auth"]).await;
                sent += 1;
            }
        }
        assert!(sent >= 20, "{sent} requests");
    });
}

/// As much of Postman as the collection uses: variables, three kinds of authorization, the test lines below.
struct Postman {
    variables: BTreeMap<String, String>,
    client: crate::harness::Fhir,
}

impl Postman {
    fn of(collection: &Value, instance: &Instance) -> Postman {
        let listed = collection["variable"].as_array().unwrap().iter();
        let mut variables: BTreeMap<String, String> =
            listed.map(|v| (v["key"].as_str().unwrap().to_owned(), v["value"].as_str().unwrap().to_owned())).collect();
        let ((client_id, client_secret), (usuario, clave)) = (instance.client(), instance.login("medico"));
        let values = [
            ("http", instance.http()),
            ("fhir", format!("{}/fhir", instance.http())),
            ("client_id", client_id),
            ("client_secret", client_secret),
        ];
        for (name, value) in values.into_iter().chain([("usuario", usuario), ("clave", clave)]) {
            assert!(variables.insert(name.to_owned(), value).is_some(), "the collection has no variable {name}");
        }
        Postman { variables, client: crate::harness::anonymous() }
    }

    fn filled(&self, text: &str) -> String {
        let mut out = text.replace("{{$guid}}", &historia::clock::uuid().to_string());
        for (name, value) in &self.variables {
            out = out.replace(&format!("{{{{{name}}}}}"), value);
        }
        assert!(!out.contains("{{"), "a variable is not known: {out}");
        out
    }

    async fn send(&mut self, item: &Value, inherited: &Value) {
        let request = &item["request"];
        let mut headers: Vec<(String, String)> = Vec::new();
        for header in request["header"].as_array().unwrap() {
            headers.push((header["key"].as_str().unwrap().to_owned(), self.filled(header["value"].as_str().unwrap())));
        }
        headers.extend(self.authorization(request.get("auth").unwrap_or(inherited)));
        let body = request.get("body").map(|body| match body["mode"].as_str().unwrap() {
            "raw" => self.filled(body["raw"].as_str().unwrap()),
            "urlencoded" => {
                headers.push(("content-type".into(), "application/x-www-form-urlencoded".into()));
                let pairs = body["urlencoded"].as_array().unwrap().iter();
                pairs
                    .map(|p| format!("{}={}", p["key"].as_str().unwrap(), p["value"].as_str().unwrap()))
                    .collect::<Vec<_>>()
                    .join("&")
            }
            other => panic!("body mode {other}"),
        });
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (method, url) = (request["method"].as_str().unwrap(), self.filled(request["url"]["raw"].as_str().unwrap()));
        let reply = self.client.send(method, &url, &headers, body.map(String::into_bytes)).await;
        let tests = item["event"][0]["script"]["exec"].as_array().unwrap();
        assert!(!tests.is_empty(), "{} has no test", item["name"]);
        for line in tests {
            self.judge(line.as_str().unwrap(), reply.status, &reply.text(), &item["name"]);
        }
    }

    fn authorization(&self, auth: &Value) -> Option<(String, String)> {
        let value = |kind: &str, key: &str| {
            let list = auth[kind].as_array().unwrap();
            self.filled(list.iter().find(|v| v["key"] == key).unwrap()["value"].as_str().unwrap())
        };
        let text = match auth["type"].as_str().unwrap() {
            "noauth" => return None,
            "bearer" => format!("Bearer {}", value("bearer", "token")),
            "basic" => format!(
                "Basic {}",
                STANDARD.encode(format!("{}:{}", value("basic", "username"), value("basic", "password")))
            ),
            other => panic!("auth {other}"),
        };
        Some(("authorization".to_owned(), text))
    }

    /// One line of a test script. A form that is not known fails.
    fn judge(&mut self, line: &str, status: u16, body: &str, name: &Value) {
        let between = |start: &str, end: &str| Some(line.split_once(start)?.1.split_once(end)?.0.to_owned());
        if let Some(code) = between("() => pm.response.to.have.status(", "));") {
            assert_eq!(status.to_string(), code, "{name}: {body}");
        } else if let Some(codes) = between("() => pm.expect([", "]).to.include(pm.response.code));") {
            assert!(codes.split(", ").any(|code| code == status.to_string()), "{name}: {status} {body}");
        } else if let Some(text) = between("() => pm.expect(pm.response.text()).to.include(\"", "\"));") {
            assert!(body.contains(&text), "{name}: {body}");
        } else if let Some(kept) = between("pm.collectionVariables.set(\"", ");") {
            let (variable, path) = kept.split_once("\", pm.response.json().").unwrap();
            let json: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{name}: {e}: {body}"));
            let pointer = format!("/{}", path.replace('[', ".").replace(']', "").replace('.', "/"));
            let value =
                json.pointer(&pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{name}: no {path} in {body}"));
            self.variables.insert(variable.to_owned(), value.to_owned());
        } else {
            panic!("{name}: a line that this test does not know: {line}");
        }
    }
}

#[test]
fn the_messages_of_a_day_are_accepted_and_land_where_they_should() {
    run(async {
        let mut mllp = Mllp::connect(&server().mllp()).await;
        for file in files("hl7v2", ".hl7") {
            let message = std::fs::read(&file).unwrap();
            let ack = mllp.ask(&message).await;
            assert_eq!(hl7::code(&ack).0, "AA", "{}: {}", file.display(), String::from_utf8_lossy(&ack));
        }
        let clinic = fhir("integracion").await;
        let visit = async |number: &str| {
            let found = clinic.get(&format!("Encounter?identifier=V-20261123-{number}")).await.expect(200).resources();
            assert_eq!(found.len(), 1, "visit {number}");
            found[0].clone()
        };
        let [admitted, consulted, home] = [visit("10").await, visit("12").await, visit("15").await];
        assert_eq!((&admitted["status"], &admitted["class"]["code"]), (&"in-progress".into(), &"IMP".into()));
        assert_eq!(admitted["location"][0]["location"]["display"], "Medicina interna / 414A");
        assert_eq!((&consulted["status"], &home["status"]), (&"finished".into(), &"finished".into()));
        assert_eq!(home["hospitalization"]["dischargeDisposition"]["coding"][0]["code"], "home");
        // The person of 19 became known by 21: one record.
        let known = clinic.get("Patient?identifier=52999871").await.expect(200).resources();
        let before = clinic.get("Patient?identifier=000319").await.expect(200).resources();
        assert_eq!((known.len(), &known[0]["id"]), (1, &before[0]["id"]));
        assert_eq!(known[0]["address"][0]["district"], "11001");
    });
}

#[test]
fn the_sample_of_dev_is_there_once_and_moved_to_today() {
    run(async {
        if !has_sample("the_sample_of_dev_is_there_once_and_moved_to_today").await {
            return;
        }
        let clinic = fhir("integracion").await;
        let patients = clinic.get(&format!("Patient?{MARK}&_count=100")).await.expect(200).resources();
        assert_eq!(patients.len(), files("fhir/muestra", ".json").len() - 2);
        // A corrected result: the older version stays readable, digits as they were.
        let history = clinic.get("Observation/muestra-pcr-gloria/_history").await.expect(200);
        assert!(
            history.text().contains("\"value\":96.0") && history.text().contains("\"value\":86.0"),
            "{}",
            history.text()
        );
        // The paciente reads the own record, with results over months, none of them preliminary.
        let paciente = signed_in(server(), "paciente").await;
        let own = paciente.get("Patient").await.expect(200).resources();
        assert_eq!(own.len(), 1);
        let results = paciente.get("Observation?category=laboratory&_count=500").await.expect(200).resources();
        assert!(results.len() > 40, "{}", results.len());
        assert!(results.iter().all(|r| r["status"] != "preliminary"));
        let days: std::collections::BTreeSet<&str> =
            results.iter().map(|r| &r["effectiveDateTime"].as_str().unwrap()[..7]).collect();
        assert!(days.len() >= 5, "{days:?}");
    });
}

#[test]
fn the_sample_can_be_imported() {
    if std::env::var("HISTORIA_TEST_URL").is_ok() {
        return skip("the_sample_can_be_imported", "the server under test is not ours to make databases beside");
    }
    let url = database::own(&server().database_url());
    if url == server().database_url() {
        return skip("the_sample_can_be_imported", "a Citus database has no other beside it");
    }
    let instance = Start::serve(&url).with("HISTORIA_DATABASE__MIGRATE", "true").ready();
    let folder = examples().join("fhir/muestra");
    let output = instance.command(&["import", "--json", folder.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    assert!(output.status.success(), "{report}");
    assert_eq!(report["failed"], Value::Array(Vec::new()));
    assert_eq!(report["bundles"].as_u64().unwrap() as usize, files("fhir/muestra", ".json").len());
    assert_eq!(report["created"]["Patient"].as_u64().unwrap() as usize, files("fhir/muestra", ".json").len() - 2);
}
