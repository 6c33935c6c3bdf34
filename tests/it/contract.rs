//! docs/contract.md, read: what its tables promise in delivered rows must hold; what is not delivered is refused.

use crate::harness::data::{bundle, encounter, patient, patient_with, weight};
use crate::harness::instance::{Folder, command};
use crate::harness::{Fhir, anonymous, fhir, run, server, unique};
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONTRACT: &str = include_str!("../../docs/contract.md");

type Rows = Vec<Vec<String>>;

/// The table under a heading whose head has this cell.
pub fn table_after(heading: &str, cell: &str) -> (Vec<String>, Rows) {
    let section = CONTRACT.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading}")).1;
    let section = section.split("\n## ").next().unwrap();
    let lines: Vec<&str> = section.lines().collect();
    for (n, line) in lines.iter().enumerate() {
        let header = cells(line);
        let is_head = lines.get(n + 1).is_some_and(|next| next.starts_with("|---"));
        if is_head && header.iter().any(|one| one == cell) {
            let rows = lines[n + 2..].iter().take_while(|line| line.starts_with('|')).map(|line| cells(line)).collect();
            return (header, rows);
        }
    }
    panic!("no table with {cell} under {heading}");
}

/// Cells of a line, without code marks; `\|` is no border.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{1}");
    line.split('|').map(|cell| cell.replace('\u{1}', "|").replace('`', "").trim().to_owned()).collect()
}

/// Rows of issues that are delivered, and the others.
fn delivered(rows: Rows, issue: usize) -> (Rows, Rows) {
    let said = CONTRACT.split_once("Delivered so far:").expect("what is delivered").1.lines().next().unwrap();
    let done: BTreeSet<String> =
        said.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).map(str::to_owned).collect();
    let ahead = |row: &Vec<String>| row.iter().any(|cell| cell.ends_with("delivered ahead of the rest of its issue"));
    rows.into_iter().partition(|row| done.contains(&row[issue]) || ahead(row))
}

/// Sends bytes as they are to the HTTP listener and reads to the end.
pub async fn raw_http(request: &str) -> String {
    let address = server().http().trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn commands() {
    let (_, rows) = table_after("## Commands", "command");
    let (done, later) = delivered(rows, 1);
    assert!(done.len() >= 13, "{}", done.len());
    let words = |name: &str| {
        name.split_whitespace()
            .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for row in done {
        let mut arguments = words(&row[0]);
        arguments.push("--help".to_owned());
        let output = command(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[], "");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        // Each command has an example; of those with subcommands the parent has it.
        let parent = command(&[&arguments[0], "--help"], &[], "");
        let parent = String::from_utf8_lossy(&parent.stdout);
        assert!(text.contains("Example") || parent.contains("Example"), "{arguments:?}: {text}");
        for option in row[2].split_whitespace().filter(|word| word.starts_with("--") || word.starts_with("[--")) {
            let option = option.trim_matches(['[', ']', ';', '.', ',', '(', ')', '`']);
            let option = option.split([']', '|']).next().unwrap();
            assert!(text.contains(option), "{arguments:?}: --help does not tell of {option}");
        }
    }
    for row in later {
        let arguments = words(&row[0]);
        let output = command(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[], "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?} is not delivered");
    }
}

#[test]
fn exit_codes() {
    let (_, rows) = table_after("## Commands", "exit");
    let (done, _) = delivered(rows, 1);
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.path).unwrap();
    let (good, bad) = (folder.path.join("good.json"), folder.path.join("bad.json"));
    std::fs::write(&good, patient().to_string()).unwrap();
    std::fs::write(&bad, "{\"resourceType\":\"Patient\",\"apodo\":1}").unwrap();
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let running = server().data_dir.to_str().unwrap().to_owned();
    let nowhere = "postgres://nobody@127.0.0.1:1/none";
    for row in done {
        let (code, output) = match row[0].as_str() {
            "0" => (0, command(&["config"], &[], "")),
            "1" => (1, command(&["health", "--url", "http://127.0.0.1:1"], &[], "")),
            "2" => (2, command(&["no-such-command"], &[], "")),
            "3" => (3, command(&["config", "--for", "dev"], &[("HISTORIA_HTTP__LISTEM", "127.0.0.1:0")], "")),
            "4" => (4, command(&["migrate"], &[("DATABASE_URL", nowhere)], "")),
            "5" => (5, command(&["import", good, bad], &[("HISTORIA_DATA_DIR", &running)], "")),
            other => panic!("exit code {other} of the contract is not known here"),
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{}: {stderr}", row[2]);
        if code == 3 {
            assert!(stderr.contains("http.listem") && stderr.contains("http.listen"), "{stderr}");
        }
    }
    // More of 3: each names the key.
    for (arguments, env, key) in [
        (&["config", "--for", "serve"][..], &[][..], "http.tls_cert"),
        (&["config", "--for", "serve"], &[("HISTORIA_HTTP__TLS_LISTEN", "off")], "http.public_url"),
        (&["config", "--for", "dev"], &[("HISTORIA_LIMITS__BODY", "mucho")], "limits.body"),
        (&["config", "--for", "dev"], &[("HISTORIA_MLLP__LISTEN", "2575")], "mllp.listen"),
        (&["config", "--config", "/no/such/file.toml"], &[], "file.toml"),
    ] {
        let output = command(arguments, env, "");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(3) && stderr.contains(key),
            "{arguments:?} {env:?}: {:?} {stderr}",
            output.status.code()
        );
    }
}

/// How a default of the contract is written, of a value as it is in JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[test]
fn configuration_keys_and_their_defaults() {
    let (_, rows) = table_after("## Configuration", "key");
    let (done, later) = delivered(rows.clone(), 1);
    assert!(done.len() > 40, "{}", done.len());
    for (n, command_name) in [(2, "dev"), (3, "serve")] {
        let output = command(&["config", "--for", command_name, "--json"], &[], "");
        let config: Value = serde_json::from_slice(&output.stdout).expect("JSON before the check");
        for row in &done {
            let value = &config[&row[0]]["value"];
            assert!(!value.is_null(), "{command_name}: there is no key {}", row[0]);
            assert_eq!(shown(value), row[n], "{command_name}: {}", row[0]);
            assert_eq!(config[&row[0]]["origin"], "default", "{}", row[0]);
        }
        for key in config.as_object().unwrap().keys() {
            assert!(done.iter().chain(&later).any(|row| &row[0] == key), "{key} is not in the contract");
        }
    }
    let secret = command(&["config", "--json"], &[("DATABASE_URL", "postgres://ana:muysecreta@127.0.0.1/x")], "");
    assert!(!String::from_utf8_lossy(&secret.stdout).contains("muysecreta"));
}

/// Whether an address exists for whoever is signed in.
async fn exists(caller: &Fhir, method: &str, path: &str) -> u16 {
    let json = [("content-type", "application/fhir+json")];
    let body = matches!(method, "POST" | "PUT" | "PATCH").then(|| b"{}".to_vec());
    caller.send(method, path, &json, body).await.status
}

#[test]
fn f005_routes_are_open_closed_or_not_there() {
    run(async {
        let (_, rows) = table_after("## Routes", "route");
        let paths: BTreeSet<String> = delivered(rows.clone(), 3).0.into_iter().map(|row| row[1].clone()).collect();
        let (done, later) = delivered(rows, 3);
        assert!(done.len() > 20, "{}", done.len());
        let concrete =
            |route: &str| route.replace("{type}", "Patient").replace("{id}", "no-such-id").replace("{version}", "1");
        let (nobody, medico) = (anonymous(), fhir("medico").await);
        let ops = Fhir::new(&server().ops(), None);
        for row in done {
            let (method, path) = (row[0].as_str(), concrete(&row[1]));
            let status = exists(&nobody, method, &path).await;
            match row[2].as_str() {
                // Wrong credentials of POST /login would be 401 as well: it is asked with none at all.
                "open" => assert!(!matches!(status, 401 | 403 | 404 | 405), "{method} {path}: {status}"),
                "closed" => {
                    let reply = nobody
                        .send(method, &path, &[("content-type", "application/fhir+json")], Some(b"{}".to_vec()))
                        .await
                        .expect(401);
                    assert!(
                        reply.header("www-authenticate").starts_with("Bearer"),
                        "{method} {path}: {}",
                        reply.header("www-authenticate")
                    );
                    let bad = Fhir { token: Some("x.y.z".to_owned()), ..nobody.clone() };
                    let reply = bad
                        .send(method, &path, &[("content-type", "application/fhir+json")], Some(b"{}".to_vec()))
                        .await
                        .expect(401);
                    assert!(
                        reply.header("www-authenticate").contains("invalid_token"),
                        "{method} {path}: {}",
                        reply.header("www-authenticate")
                    );
                }
                "ops" => {
                    ops.send(method, &path, &[], None).await.expect(200);
                    assert_eq!(exists(&medico, method, &path).await, 404, "{method} {path} is for ops.listen only");
                }
                other => panic!("access {other} is not known here"),
            }
        }
        for row in later {
            let reached = if paths.contains(&row[1]) { 405 } else { 404 };
            for route in row[1].split(", ") {
                let status = exists(&medico, &row[0], &concrete(route)).await;
                assert!(
                    status == reached || (reached == 404 && status == 405),
                    "{} {route} is not delivered: {status}",
                    row[0]
                );
            }
        }
        for path in ["/livez", "/readyz"] {
            ops.get(path).await.expect(200);
            nobody.get(path).await.expect(200);
        }
        // For people the sign-in form is the body of the 401, not a redirect.
        for path in ["/paciente/x", "/exportar_pdf/x"] {
            let page = nobody.get_with(path, &[("accept", "text/html")]).await.expect(401);
            assert!(page.header("content-type").starts_with("text/html") && page.text().contains("<form"), "{path}");
            medico.get(path).await.expect(404);
        }
        medico.get("/no-such-address").await.expect(404);
        ops.get("/fhir/metadata").await.expect(404);
    });
}

#[test]
fn statuses_and_their_cases() {
    run(async {
        let (_, rows) = table_after("## Routes", "status");
        let (done, _) = delivered(rows, 1);
        let (medico, admin) = (fhir("medico").await, fhir("admin").await);
        let one = medico.create(patient()).await;
        let subject = format!("Patient/{}", one["id"].as_str().unwrap());
        let number = unique();
        for _ in 0..2 {
            medico.create(patient_with(&number)).await;
        }
        for row in done {
            let reply = match (row[0].as_str(), row[2].as_str()) {
                ("400", case) if case.starts_with("not JSON") => medico.raw("POST", "Patient", &[], "{").await,
                ("400", case) if case.starts_with("over a cost limit") => {
                    let reply = medico.get(&format!("Patient?identifier={}", vec!["x"; 600].join(","))).await;
                    assert_eq!(reply.codes(), ["too-costly"]);
                    reply
                }
                ("304", _) => {
                    let same = medico.get_with(&subject, &[("if-none-match", "*")]).await.expect(304);
                    assert!(same.body.is_empty());
                    continue;
                }
                ("401", _) => anonymous().get("Patient").await,
                ("403", _) => admin.get("Patient").await,
                ("404", _) => medico.get("Patient/no-such-id").await,
                ("405", _) => medico.post(&subject, &one).await,
                ("406", _) => medico.get_with(&subject, &[("accept", "image/png")]).await,
                ("409", _) => {
                    let person = medico.create(patient()).await;
                    let person = format!("Patient/{}", person["id"].as_str().unwrap());
                    medico.create(encounter(&person)).await;
                    medico.delete(&person).await
                }
                ("410", _) => {
                    let person = medico.create(patient()).await;
                    let person = format!("Patient/{}", person["id"].as_str().unwrap());
                    medico.delete(&person).await.expect(204);
                    medico.get(&person).await
                }
                ("412", _) => medico.put_with(&subject, &[("if-match", "W/\"9\"")], &one).await,
                ("413", _) => {
                    let long = vec![b' '; 65 << 20];
                    medico.send("POST", "Patient", &[("content-type", "application/fhir+json")], Some(long)).await
                }
                ("415", _) => {
                    medico.send("POST", "Patient", &[("content-type", "text/plain")], Some(b"{}".to_vec())).await
                }
                ("422", case) if case.starts_with("an invariant") => {
                    let mut lonely = patient();
                    lonely["contained"] = serde_json::json!([{"resourceType": "Organization", "id": "o", "name": "x"}]);
                    let reply = medico.post("Patient", &lonely).await;
                    assert_eq!(reply.codes(), ["invariant"]);
                    reply
                }
                ("431", _) => medico.get_with(&subject, &[("x-padding", &"x".repeat(33_000))]).await,
                ("422", _) => medico.post("Observation", &weight("Patient/no-such-id", "2024")).await,
                // A database that is gone: the tests of the life of a server.
                ("503", _) => continue,
                other => panic!("{other:?} of the contract is not known here"),
            };
            assert_eq!(reply.status.to_string(), row[0], "{}: {}", row[2], reply.text());
            let outcome = reply.json();
            assert_eq!(outcome["resourceType"], "OperationOutcome", "{}", row[2]);
            assert!(outcome["issue"].as_array().is_some_and(|issues| !issues.is_empty()));
        }
        let several = [("if-none-exist", format!("identifier={number}"))];
        let several: Vec<(&str, &str)> = several.iter().map(|(name, value)| (*name, value.as_str())).collect();
        medico.post_with("Patient", &several, &patient_with(&number)).await.refused(412, "multiple-matches");
    });
}

#[test]
fn ready_json_has_the_members_of_the_contract() {
    let ready = &server().ready;
    for (name, prefix) in [
        ("http", "http://"),
        ("fhir", "http://"),
        ("mllp", "mllp://"),
        ("ops", "http://"),
        ("database_url", "postgres"),
    ] {
        assert!(ready[name].as_str().is_some_and(|address| address.starts_with(prefix)), "{name}: {}", ready[name]);
    }
    assert!(ready["https"].is_null() && ready["pid"].is_u64());
    let roles: BTreeSet<&str> =
        ready["logins"].as_array().unwrap().iter().map(|login| login["rol"].as_str().unwrap()).collect();
    assert_eq!(roles, BTreeSet::from(["paciente", "admisionista", "medico", "resultados", "admin"]));
    for login in ready["logins"].as_array().unwrap() {
        assert!(["usuario", "clave", "documento_id"].iter().all(|name| login[name].is_string()), "{login}");
    }
    assert!(ready["client"]["id"].is_string() && ready["client"]["secret"].is_string());
    if std::env::var("HISTORIA_TEST_URL").is_err() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| std::fs::metadata(server().data_dir.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("ready.json"), mode("")), (0o600, 0o700));
    }
}

#[test]
fn health_tells_whether_the_server_is_ready() {
    let output = server().command(&["health"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let output = command(&["health", "--url", &server().http()], &[], "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn an_empty_batch_is_answered() {
    run(async {
        let reply = fhir("medico").await.post("", &bundle("batch", vec![])).await.expect(200);
        assert_eq!(reply.json()["type"], "batch-response");
    });
}
