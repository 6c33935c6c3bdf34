//! The same requests to a plain PostgreSQL and to a cluster: the same answers. Statuses, bodies, order and totals are
//! compared; ids that a server makes are matched where they first appear and must stay matched.

use crate::harness::cluster::Cluster;
use crate::harness::data::{bundle, encounter, entry, patient_with, weight};
use crate::harness::fhir::{account, client_credentials, login};
use crate::harness::hl7::{Visit, refusal};
use crate::harness::ids::Ids;
use crate::harness::instance::command;
use crate::harness::proof::{Proof, Random};
use crate::harness::{Fhir, Instance, Reply, Start, run, skip};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Requests as a part of `make test`, and of the proof.
const SHORT: usize = 300;
const FULL: usize = 5_000;
/// Tokens of clients live five minutes.
const SIGNED_IN: Duration = Duration::from_secs(200);
const PAGES: usize = 4;

/// One caller at both servers.
#[derive(Clone)]
struct Both(Fhir, Fhir);

struct Session {
    servers: [Instance; 2],
    secrets: [String; 2],
    medico: Both,
    integracion: Both,
    since: Instant,
    ids: Ids,
    random: Random,
    /// (type, id at the first server), deleted ones included.
    known: Vec<(&'static str, String)>,
    numbers: Vec<String>,
    visits: Vec<(Visit, u64)>,
    serial: u64,
    asked: usize,
    statuses: BTreeMap<String, usize>,
    failures: Vec<String>,
}

const SYSTEM: &str = "https://www.registraduria.gov.co";

impl Session {
    async fn of(servers: [Instance; 2], seed: u64) -> Session {
        let secret = |server: &Instance| {
            let arguments =
                ["client", "add", "--id", "espejo", "--tipo", "confidential", "--rol", "integracion", "--json"];
            let url = server.database_url();
            let output = command(&arguments, &[("DATABASE_URL", &url)], "");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
            let made: Value = serde_json::from_str(&text).expect("JSON");
            made["secret"].as_str().expect("a secret").to_owned()
        };
        let secrets = [secret(&servers[0]), secret(&servers[1])];
        let [one, other] = [0, 1].map(|n| account(&servers[n], "medico", "CC-700700700", None));
        let medico =
            Both(login(&servers[0].http(), &one.0, &one.1).await, login(&servers[1].http(), &other.0, &other.1).await);
        let integracion = clients(&servers, &secrets).await;
        Session {
            servers,
            secrets,
            medico,
            integracion,
            since: Instant::now(),
            ids: Ids::default(),
            random: Random(seed),
            known: Vec::new(),
            numbers: Vec::new(),
            visits: Vec::new(),
            serial: 0,
            asked: 0,
            statuses: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    /// A number that no other has, the same on both servers.
    fn number(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A moment that no other resource has: order must not hang on ids that servers make.
    fn moment(&mut self) -> String {
        let n = self.number();
        format!(
            "20{:02}-{:02}-{:02}T{:02}:{:02}:00-05:00",
            10 + n % 15,
            1 + n / 15 % 12,
            1 + n / 180 % 28,
            n / 5040 % 24,
            n / 120_960 % 60
        )
    }

    /// `text` of the first server as the other one knows it.
    fn there(&self, text: &str) -> String {
        let mut out = String::new();
        let mut word = String::new();
        for c in text.chars().chain(std::iter::once('\0')) {
            if c.is_alphanumeric() || matches!(c, '-' | '.') {
                word.push(c);
            } else {
                out.push_str(self.ids.there.get(&word).unwrap_or(&word));
                word.clear();
                out.push(c);
            }
        }
        out.pop();
        out
    }

    async fn ask(
        &mut self,
        who: &Both,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Reply {
        self.both(who, method, path, headers, body).await.0
    }

    async fn both(
        &mut self,
        who: &Both,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> (Reply, Reply) {
        let (mirrored, other_body) = (self.there(path), body.map(|body| self.there(body)));
        let mut all = vec![("content-type", "application/fhir+json"), ("accept", "application/fhir+json")];
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend(headers);
        let other_headers: Vec<(&str, String)> = all.iter().map(|(name, value)| (*name, self.there(value))).collect();
        let other_headers: Vec<(&str, &str)> =
            other_headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let (one, other) = tokio::join!(
            who.0.send(method, path, &all, body.map(|b| b.as_bytes().to_vec())),
            who.1.send(method, &mirrored, &other_headers, other_body.map(String::into_bytes))
        );
        self.asked += 1;
        let kind = path.split(['?', '/']).find(|part| !part.is_empty()).unwrap_or("Bundle");
        *self.statuses.entry(format!("{method} {kind} {}", one.status)).or_default() += 1;
        if let Some(difference) = self.compare(&one, &other) {
            self.failures.push(format!("{method} {path} {headers:?}: {difference}"));
        }
        (one, other)
    }

    fn compare(&mut self, one: &Reply, other: &Reply) -> Option<String> {
        if one.status != other.status {
            return Some(format!("{} and {}: {} | {}", one.status, other.status, one.text(), other.text()));
        }
        if one.header("etag") != other.header("etag") {
            return Some(format!("ETag {} and {}", one.header("etag"), other.header("etag")));
        }
        let end = |reply: &Reply| reply.header("location").split("/fhir/").last().unwrap_or_default().to_owned();
        if !self.ids.text(&end(one), &end(other)) {
            return Some(format!("Location {} and {}", end(one), end(other)));
        }
        let body = |reply: &Reply| {
            let root = reply.asked.split("/fhir").next().and_then(|asked| asked.split(' ').nth(1)).unwrap_or_default();
            let text = reply.text().replace(root, "");
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        let (a, mut b): (Value, Value) = (body(one), body(other));
        if a["resourceType"].is_null() {
            return None;
        }
        // Everything of a patient is in the order of ids; which of several referrers a 409 names is nobody's promise.
        if one.asked.contains("$everything") || one.asked.contains("/paciente/") {
            self.ids.reorder(&a, &mut b);
        }
        if one.status == 409 {
            b["issue"][0]["diagnostics"] = a["issue"][0]["diagnostics"].clone();
        }
        self.ids.differ("", &a, &b)
    }

    // ------------------------------------------------------------------ what is asked

    async fn step(&mut self) {
        if self.since.elapsed() > SIGNED_IN {
            self.integracion = clients(&self.servers, &self.secrets).await;
            self.since = Instant::now();
        }
        match self.random.below(20) {
            0 | 1 => self.patient().await,
            2..=4 => self.clinical().await,
            5 => self.directory().await,
            6 | 7 => self.update().await,
            8 => self.delete().await,
            9 | 10 => self.read().await,
            11 => self.conditional().await,
            12 => self.transaction().await,
            13 => self.record().await,
            14 => self.message().await,
            15 => self.wrong().await,
            _ => self.search().await,
        }
    }

    fn some(&mut self, kinds: &[&str]) -> Option<(&'static str, String)> {
        let fit: Vec<_> = self.known.iter().filter(|(kind, _)| kinds.contains(kind)).cloned().collect();
        (!fit.is_empty()).then(|| self.random.of(&fit).clone())
    }

    fn person(&mut self) -> Value {
        let n = self.number();
        let number = format!("{}", 5_000_000 + n);
        self.numbers.push(number.clone());
        let mut person = patient_with(&number);
        let family = *self.random.of(&["Peña", "Ruiz", "Muñoz", "Díaz"]);
        let given = *self.random.of(&["Ana", "Luz", "Zoé", "Íngrid", "Eva", "Sol", "Inés"]);
        person["name"][0]["family"] = family.into();
        person["name"][0]["given"] = json!([given]);
        person["gender"] = (*self.random.of(&["male", "female", "other"])).into();
        person["birthDate"] = json!(format!("19{:02}-{:02}-{:02}", 10 + n % 90, 1 + n / 90 % 12, 1 + n / 1080 % 28));
        person
    }

    async fn patient(&mut self) {
        let (who, mut person) = (self.integracion.clone(), self.person());
        if self.random.below(4) == 0 {
            let id = format!("persona-{}", self.number());
            person["id"] = id.as_str().into();
            self.ask(&who, "PUT", &format!("Patient/{id}"), &[], Some(&person.to_string())).await;
            self.known.push(("Patient", id));
            return;
        }
        let made = self.ask(&who, "POST", "Patient", &[], Some(&person.to_string())).await;
        self.keep("Patient", &made);
    }

    fn keep(&mut self, kind: &'static str, reply: &Reply) {
        if reply.status == 201 {
            self.known.push((kind, reply.id()));
        }
    }

    fn about(&mut self, patient: &str) -> (&'static str, Value) {
        let (subject, when) = (format!("Patient/{patient}"), self.moment());
        match self.random.below(3) {
            0 => {
                let mut visit = encounter(&subject);
                visit["period"]["start"] = when.into();
                visit["status"] = (*self.random.of(&["in-progress", "finished"])).into();
                ("Encounter", visit)
            }
            1 => {
                let code = *self.random.of(&["38341003", "73211009", "195967001"]);
                (
                    "Condition",
                    json!({"resourceType": "Condition", "subject": {"reference": subject}, "recordedDate": when, "onsetDateTime": when,
                    "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]},
                    "code": {"coding": [{"system": "http://snomed.info/sct", "code": code}]}}),
                )
            }
            _ => {
                let mut observation = weight(&subject, &when);
                observation["code"]["coding"][0]["code"] = (*self.random.of(&["29463-7", "8302-2", "8867-4"])).into();
                observation["valueQuantity"]["value"] = json!(40 + self.random.below(60));
                observation["status"] = (*self.random.of(&["final", "preliminary", "amended"])).into();
                ("Observation", observation)
            }
        }
    }

    async fn clinical(&mut self) {
        let Some((_, patient)) = self.some(&["Patient"]) else { return };
        let (kind, resource) = self.about(&patient);
        let who = self.medico.clone();
        let made = self.ask(&who, "POST", kind, &[], Some(&resource.to_string())).await;
        self.keep(kind, &made);
    }

    async fn directory(&mut self) {
        let name = format!("{} {}", self.random.of(&["Hospital", "Clínica", "Laboratorio"]), self.number());
        let body = json!({"resourceType": "Organization", "active": true, "name": name}).to_string();
        let who = self.integracion.clone();
        let made = self.ask(&who, "POST", "Organization", &[], Some(&body)).await;
        self.keep("Organization", &made);
    }

    async fn update(&mut self) {
        let Some((kind, id)) = self.some(&["Patient", "Observation", "Condition", "Encounter", "Organization"]) else {
            return;
        };
        let (who, path) = (self.integracion.clone(), format!("{kind}/{id}"));
        let current = self.ask(&who, "GET", &path, &[], None).await;
        if current.status != 200 {
            return;
        }
        let mut resource = current.json();
        resource["language"] = (*self.random.of(&["es", "es-CO", "en"])).into();
        let etag = current.header("etag").to_owned();
        let headers: Vec<(&str, &str)> = match self.random.below(3) {
            0 => vec![("if-match", etag.as_str())],
            1 => vec![("if-match", "W/\"77\"")],
            _ => Vec::new(),
        };
        self.ask(&who, "PUT", &path, &headers, Some(&resource.to_string())).await;
    }

    async fn delete(&mut self) {
        if let Some((kind, id)) = self.some(&["Patient", "Observation", "Condition", "Encounter", "Organization"]) {
            let (who, path) = (self.integracion.clone(), format!("{kind}/{id}"));
            self.ask(&who, "DELETE", &path, &[], None).await;
        }
    }

    async fn read(&mut self) {
        let Some((kind, id)) = self.some(&["Patient", "Observation", "Condition", "Encounter", "Organization"]) else {
            return;
        };
        let tail =
            *self.random.of(&["", "", "/_history", "/_history?_count=1", "/_history/1", "/_history/2", "/_history/99"]);
        let who = self.medico.clone();
        self.ask(&who, "GET", &format!("{kind}/{id}{tail}"), &[], None).await;
    }

    async fn conditional(&mut self) {
        let who = self.integracion.clone();
        let person = self.person();
        let number = match self.random.below(2) {
            0 if self.numbers.len() > 1 => self.random.of(&self.numbers.clone()).clone(),
            _ => person["identifier"][0]["value"].as_str().unwrap().to_owned(),
        };
        let criteria = format!("identifier={SYSTEM}|{number}");
        let made = self.ask(&who, "POST", "Patient", &[("if-none-exist", &criteria)], Some(&person.to_string())).await;
        self.keep("Patient", &made);
    }

    /// A resource under an id that grows: those of one commit may have one time, and then their ids order them.
    fn chosen(&mut self, subject: &str) -> Value {
        let (kind, mut about) = self.about("x");
        let id = format!("hecho-{:06}", self.number());
        about["subject"]["reference"] = subject.into();
        about["id"] = id.as_str().into();
        entry("PUT", &format!("{kind}/{id}"), None, Some(about))
    }

    async fn transaction(&mut self) {
        let who = self.integracion.clone();
        let (kind, urn) = (*self.random.of(&["transaction", "batch"]), "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a");
        let person = self.person();
        let mut entries = vec![entry("POST", "Patient", Some(urn), Some(person))];
        if kind == "transaction" {
            entries.push(self.chosen(urn));
        }
        for _ in 0..self.random.below(3) {
            if let Some((_, patient)) = self.some(&["Patient"]) {
                entries.push(self.chosen(&format!("Patient/{patient}")));
                entries.push(entry("GET", &format!("Patient/{patient}"), None, None));
            }
        }
        if let (0, Some((_, of))) = (self.random.below(3), self.some(&["Observation"])) {
            entries.push(entry("DELETE", &format!("Observation/{of}"), None, None));
        }
        if self.random.below(4) == 0 {
            let criteria = format!("Patient?identifier={SYSTEM}|{}", self.numbers[0]);
            entries.push(self.chosen(&criteria));
        }
        let text = bundle(kind, entries).to_string();
        let done = self.ask(&who, "POST", "", &[], Some(&text)).await;
        if done.status != 200 {
            return;
        }
        for answer in done.json()["entry"].as_array().cloned().unwrap_or_default() {
            let location = answer["response"]["location"].as_str().unwrap_or_default().to_owned();
            let parts: Vec<&str> = location.split('/').collect();
            let made = answer["response"]["status"].as_str().unwrap_or_default().starts_with("201");
            let kinds = ["Patient", "Observation", "Condition", "Encounter"];
            let at = parts.iter().position(|part| kinds.contains(part));
            if let (true, Some(at)) = (made, at) {
                let kind = kinds.into_iter().find(|kind| *kind == parts[at]).unwrap();
                self.known.push((kind, parts[at + 1].to_owned()));
            }
        }
    }

    async fn record(&mut self) {
        let Some((_, patient)) = self.some(&["Patient"]) else { return };
        let who = self.medico.clone();
        let path = match self.random.below(3) {
            0 => format!("/paciente/{patient}"),
            1 => format!("/paciente/CC-{}", self.random.of(&self.numbers.clone())),
            _ => format!("Patient/{patient}/$everything"),
        };
        self.pages(&who, &path).await;
    }

    async fn message(&mut self) {
        let who = self.integracion.clone();
        if self.visits.len() < 3 || self.random.below(4) == 0 {
            let n = self.number();
            let mut visit = Visit::new();
            (visit.document, visit.visit) = (format!("{}", 8_000_000 + n), format!("V-{n}"));
            self.numbers.push(visit.document.clone());
            self.visits.push((visit, 0));
        }
        let n = self.random.below(self.visits.len());
        let (visit, sent) = self.visits[n].clone();
        // Sometimes the same control id again: with the same bytes, or with others.
        let sent = if sent > 0 && self.random.below(5) == 0 { sent } else { sent + 1 };
        self.visits[n].1 = sent;
        let control = format!("{}-{sent}", visit.visit);
        let text = match sent {
            1 => visit.a01(&control),
            _ if self.random.below(5) == 0 => visit.a03(&control),
            _ => visit.a08(&control, &format!("CALLE {}", self.random.below(3))),
        };
        // A birthday of one's own, so that order does not hang on ids.
        let text = text.replace("20240301081000", &format!("20240301{:06}", n / 60 * 100 + n % 60));
        let text = text.replace("19840229", &format!("{}", 19_000_101 + n / 28 * 100 + n % 28));
        let headers = [("content-type", "application/hl7-v2"), ("accept", "*/*")];
        let send = async |fhir: &Fhir| fhir.send("POST", "/hl7v2", &headers, Some(text.clone().into_bytes())).await;
        let (one, other) = tokio::join!(send(&who.0), send(&who.1));
        self.asked += 1;
        let (a, b) = (refusal(&one.body), refusal(&other.body));
        *self.statuses.entry(format!("message {}", a.0)).or_default() += 1;
        if (one.status, &a) != (other.status, &b) {
            self.failures.push(format!("message {control}: {a:?} and {b:?}"));
        }
        let found = format!("Patient?identifier={}", visit.document);
        self.ask(&who, "GET", &found, &[], None).await;
    }

    async fn wrong(&mut self) {
        let who = self.medico.clone();
        let (method, path, body) = *self.random.of(&[
            ("GET", "Patient/nobody-at-all", None),
            ("GET", "Observation/0123456789.0123456789abcdefghjkmnpqrs", None),
            ("GET", "Patient?apodo=x", None),
            ("GET", "Patient?birthdate=ayer", None),
            ("GET", "Observation?patient=nobody-at-all", None),
            ("GET", "Observation?_count=0", None),
            ("GET", "Group?_count=5", None),
            ("POST", "Observation", Some(r#"{"resourceType":"Observation","status":"nunca"}"#)),
            ("POST", "Observation", Some(r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/nobody-at-all"}}"#)),
            ("POST", "Patient", Some("{")),
            ("DELETE", "Patient/nobody-at-all", None),
        ]);
        self.ask(&who, method, path, &[], body).await;
    }

    async fn search(&mut self) {
        let who = if self.random.below(4) == 0 { self.integracion.clone() } else { self.medico.clone() };
        let patient = self.some(&["Patient"]).map_or_else(|| "x".to_owned(), |(_, id)| id);
        let other = self.some(&["Patient"]).map_or_else(|| "x".to_owned(), |(_, id)| id);
        let number =
            if self.numbers.is_empty() { "1".to_owned() } else { self.random.of(&self.numbers.clone()).clone() };
        let year = 2010 + self.random.below(15);
        let clauses: &[(&str, String)] = &[
            ("Patient", format!("identifier={SYSTEM}|{number}")),
            ("Patient", format!("identifier={number},{SYSTEM}|")),
            ("Patient", format!("_id={patient},{other}")),
            ("Patient", "name=pe".into()),
            ("Patient", "family=Muñoz&gender=female".into()),
            ("Patient", "name:exact=Ana".into()),
            ("Patient", "gender:not=male".into()),
            ("Patient", "gender=other,male".into()),
            ("Patient", format!("birthdate=ge19{}", 10 + self.random.below(90))),
            ("Patient", "birthdate=lt1950-06&gender=male".into()),
            ("Patient", "active=true&language=es-CO".into()),
            ("Patient", "language:missing=true".into()),
            ("Patient", "_lastUpdated=gt2020-01-01".into()),
            ("Observation", format!("patient={patient}")),
            ("Observation", format!("patient={patient}&code=http://loinc.org|29463-7")),
            ("Observation", format!("subject=Patient/{patient},Patient/{other}")),
            ("Observation", format!("code=8302-2&date=ge{year}")),
            ("Observation", format!("date={year}")),
            ("Observation", format!("date=ap{year}-06&status=final")),
            ("Observation", "status=preliminary,amended".into()),
            ("Observation", "value-quantity=gt70".into()),
            ("Observation", "value-quantity=le55||kg".into()),
            ("Observation", "category=vital-signs&code:not=8302-2".into()),
            ("Condition", format!("patient={patient}")),
            ("Condition", "code=http://snomed.info/sct|73211009".into()),
            ("Condition", format!("recorded-date=sa{year}&clinical-status=active")),
            ("Encounter", format!("subject=Patient/{patient}")),
            ("Encounter", "status=finished".into()),
            ("Encounter", format!("date=lt{year}-07-01&class=AMB")),
            ("Organization", "name=hosp".into()),
            ("Organization", "name=Cl".into()),
            ("Organization", "active=true".into()),
        ];
        let (kind, clause) = self.random.of(clauses).clone();
        let sorts: &[&str] = match kind {
            "Observation" => &["", "", "&_sort=date", "&_sort=-date", "&_sort=_lastUpdated", "&_sort=-_lastUpdated"],
            _ => &["", "", "&_sort=_lastUpdated", "&_sort=-_lastUpdated"],
        };
        let sort = *self.random.of(sorts);
        let extra = *self.random.of(&[
            "",
            "",
            "&_count=3",
            "&_count=5",
            "&_total=accurate",
            "&_summary=count",
            "&_elements=id",
            "&_total=none",
        ]);
        let path = format!("{kind}?{clause}{sort}{extra}");
        self.pages(&who, &path).await;
    }

    /// The pages of an answer, one after the other; each server's cursors are its own.
    async fn pages(&mut self, who: &Both, path: &str) {
        let (mut one, mut other) = self.both(who, "GET", path, &[], None).await;
        for page in 1..=PAGES {
            if one.status != 200 || other.status != 200 || !one.header("content-type").contains("json") {
                return;
            }
            // Under the address of the site, which is not the one that the test asks.
            let next = |reply: &Reply| Some(reply.link("next")?.split_once("/fhir/")?.1.to_owned());
            (one, other) = match (next(&one), next(&other)) {
                (Some(here), Some(there)) => tokio::join!(who.0.get(&here), who.1.get(&there)),
                (None, None) => return,
                (here, there) => {
                    self.failures.push(format!(
                        "page {page} of {path}: next {} and {}",
                        here.is_some(),
                        there.is_some()
                    ));
                    return;
                }
            };
            self.asked += 1;
            if let Some(difference) = self.compare(&one, &other) {
                self.failures.push(format!("page {} of {path}: {difference}", page + 1));
                return;
            }
        }
    }
}

async fn clients(servers: &[Instance; 2], secrets: &[String; 2]) -> Both {
    let one = client_credentials(&servers[0].http(), "espejo", &secrets[0]).await;
    Both(one, client_credentials(&servers[1].http(), "espejo", &secrets[1]).await)
}

#[test]
fn proof_differential() {
    let proof = Proof::of("differential");
    let Some(cluster) = Cluster::own(2) else { return skip("proof_differential", "extension not installed") };
    let servers = [Start::serve_alone().ready(), Start::serve(&cluster.url).ready()];
    run(async {
        let mut session = Session::of(servers, proof.seed).await;
        for _ in 0..3 {
            session.patient().await;
        }
        let wanted = if proof.full { FULL } else { SHORT };
        while session.asked < wanted && !proof.is_over() && session.failures.len() < 20 {
            session.step().await;
        }
        let counts = json!({"answers": session.statuses, "ids_matched": session.ids.there.len()});
        proof.end(session.asked, &session.failures, counts);
    });
}
