//! The requests: made from a seed and from what both servers hold.

use crate::differential::compare::Order;
use crate::differential::content::{WRITTEN, change, day, document, moment, resource, spoil};
use crate::differential::world::{Rng, World};
use crate::differential::{scope, search};
use crate::harness::data::{bundle, entry};
use crate::harness::fhir::FHIR_JSON;
use crate::harness::hl7::Visit;
use serde_json::{Value, json};

/// One request to both, in the language of [`World`].
#[derive(Clone, Debug)]
pub struct Request {
    pub kind: &'static str,
    /// Empty: without a token.
    pub role: &'static str,
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
    pub order: Order,
}

impl Request {
    pub fn new(kind: &'static str, role: &'static str, method: &'static str, path: impl Into<String>) -> Request {
        let (path, headers) = (path.into(), Vec::new());
        Request { kind, role, method, path, headers, body: None, order: Order::Fixed }
    }

    pub fn body(mut self, body: &Value) -> Request {
        self.headers.push(("content-type", FHIR_JSON.to_owned()));
        self.body = Some(body.to_string());
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Request {
        self.headers.push((name, value.into()));
        self
    }
}

const KINDS: [(usize, &str); 18] = [
    (12, "create"),
    (9, "update"),
    (3, "update as create"),
    (3, "delete"),
    (5, "read"),
    (3, "vread"),
    (4, "history"),
    (5, "conditional create"),
    (8, "bundle"),
    (30, "search"),
    (8, "scope"),
    (4, "everything"),
    (4, "paciente"),
    (4, "hl7"),
    (2, "refused method"),
    (2, "broken"),
    (6, "conditional write"),
    (6, "patch"),
];

const ROLES: [(usize, &str); 7] = [
    (50, "medico"),
    (25, "integracion"),
    (6, "admisionista"),
    (6, "resultados"),
    (6, "paciente"),
    (3, "admin"),
    (1, ""),
];

/// Ids that clients choose: few, so that they meet; among them some of the server's form.
const CHOSEN: [&str; 8] =
    ["a", "uno.dos-3", "zzz", "0", "aaaaaaaaaa", "aaaaaaaaaa.01234567890123456789012345", "Mayor", "mayor"];

pub fn role(rng: &mut Rng) -> &'static str {
    let chosen = rng.weighted(&ROLES);
    ROLES.iter().map(|(_, role)| *role).find(|role| *role == chosen).unwrap_or("medico")
}

/// The visits of people that messages told of.
pub type Visits = Vec<Visit>;

pub fn next(rng: &mut Rng, world: &mut World, visits: &mut Visits) -> Vec<Request> {
    let who = role(rng);
    let one = match rng.weighted(&KINDS) {
        "create" => create(rng, world),
        "update" => update(rng, world),
        "update as create" => update_as_create(rng, world),
        "delete" => delete(rng, world, who),
        "vread" => {
            let known = rng.pick(&world.known);
            let last = usize::try_from(known.version).unwrap();
            let version =
                if rng.chance(80) { (1 + rng.below(last)).to_string() } else { rng.word(&["99", "0", "x"]).to_owned() };
            Request::new("vread", who, "GET", format!("{}/~{}~/_history/{version}", known.resource_type, known.slot))
        }
        "history" if rng.chance(25) => {
            // Ids that differ order what is of one time: what is told counts, not how.
            let place = *rng.pick(&["Patient/_history", "Observation/_history", "Encounter/_history", "_history"]);
            let path = format!("{place}?_count=200{}", rng.pick(&["", "&_summary=true", "&_elements=subject,name"]));
            Request { order: Order::Everything, ..Request::new("history of many", who, "GET", path) }
        }
        "history" => {
            let count = *rng.pick(&["", "?_count=1", "?_count=2", "?_count=0", "?_since=2020"]);
            Request::new("history", who, "GET", format!("{}/_history{count}", target(rng, world)))
        }
        "conditional create" => conditional_create(rng, world),
        "bundle" => bundled(rng, world),
        "search" => search::request(rng, world, who),
        "scope" => scope::request(rng, world, who),
        "everything" => everything(rng, world, who),
        "paciente" => paciente(rng, world, who),
        "hl7" => return message(rng, world, visits),
        "refused method" => refused_method(rng, world, who),
        "broken" => broken(rng, world),
        "conditional write" => conditional_write(rng, world, who),
        "patch" => {
            let target = target(rng, world);
            patch(rng, &target, who)
        }
        _ => {
            let part = *rng.pick(&["", "", "", "?_summary=text", "?_summary=true", "?_elements=status", "/$meta"]);
            let path = format!("{}{part}", target(rng, world));
            let read = Request::new("read", who, if rng.chance(20) { "HEAD" } else { "GET" }, path);
            if rng.chance(20) {
                read.header("if-none-match", *rng.pick(&["W/\"1\"", "*", "W/\"2\", \"3\""]))
            } else {
                read
            }
        }
    };
    vec![one]
}

/// `Type/id` of something that is or was there, sometimes not.
fn target(rng: &mut Rng, world: &World) -> String {
    match rng.below(20) {
        0 => format!("Patient/{}", rng.pick(&["nadie", "aaaaaaaaaa", "aaaaaaaaaa.98765432109876543210987654"])),
        1 => format!("Observation/~{}~", rng.pick(&world.known).slot),
        _ => {
            let known = rng.pick(&world.known);
            format!("{}/~{}~", known.resource_type, known.slot)
        }
    }
}

/// A patient; often the one whose account is used.
fn subject(rng: &mut Rng, world: &World) -> String {
    if rng.chance(10) {
        return "Patient/~0~".to_owned();
    }
    world.some(rng, "Patient").unwrap_or_else(|| "Patient/nadie".to_owned())
}

/// Who may write it, mostly.
fn writer(rng: &mut Rng, resource_type: &str) -> &'static str {
    match resource_type {
        _ if rng.chance(12) => role(rng),
        "Organization" | "Practitioner" | "ValueSet" | "Group" => "integracion",
        _ => "medico",
    }
}

fn preferring(rng: &mut Rng, request: Request) -> Request {
    match rng.below(10) {
        0 => request.header("prefer", "return=minimal"),
        1 => request.header("prefer", "return=OperationOutcome"),
        _ => request,
    }
}

fn create(rng: &mut Rng, world: &mut World) -> Request {
    let resource_type = *rng.pick(&WRITTEN);
    let subject = subject(rng, world);
    let mut one = resource(rng, world, resource_type, &subject);
    if rng.chance(15) {
        spoil(rng, &mut one);
    }
    let request = Request::new("create", writer(rng, resource_type), "POST", resource_type).body(&one);
    preferring(rng, request)
}

fn update(rng: &mut Rng, world: &World) -> Request {
    let with_body: Vec<usize> = (0..world.known.len()).filter(|n| world.known[*n].body.is_some()).collect();
    let known = &world.known[*rng.pick(&with_body)];
    let mut one = known.body.clone().unwrap();
    change(rng, &mut one);
    if rng.chance(10) {
        spoil(rng, &mut one);
    }
    let path = format!("{}/~{}~", known.resource_type, known.slot);
    let request = Request::new("update", writer(rng, &known.resource_type), "PUT", path).body(&one);
    let request = match rng.below(6) {
        0 => request.header("if-match", format!("W/\"{}\"", known.version)),
        1 => request.header("if-match", format!("W/\"{}\"", known.version + 1)),
        2 => request.header("if-match", *rng.pick(&["3", "W/\"x\"", "*", "\"1\""])),
        _ => request,
    };
    preferring(rng, request)
}

fn update_as_create(rng: &mut Rng, world: &mut World) -> Request {
    let resource_type = *rng.pick(&WRITTEN);
    let id = *rng.pick(&CHOSEN);
    let subject = subject(rng, world);
    let mut one = resource(rng, world, resource_type, &subject);
    one["id"] = if rng.chance(90) { id.into() } else { "another".into() };
    Request::new("update as create", writer(rng, resource_type), "PUT", format!("{resource_type}/{id}")).body(&one)
}

fn delete(rng: &mut Rng, world: &World, who: &'static str) -> Request {
    let path = match rng.chance(30) {
        true => format!("{}/{}", rng.pick(&WRITTEN), rng.pick(&CHOSEN)),
        false => target(rng, world),
    };
    let request = Request::new("delete", who, "DELETE", path);
    if rng.chance(15) { request.header("if-match", "W/\"2\"") } else { request }
}

fn conditional_create(rng: &mut Rng, world: &mut World) -> Request {
    let subject = subject(rng, world);
    let (resource_type, criteria) = match rng.below(6) {
        0 => ("Organization", format!("identifier=https://example.org/sedes|{}", 100 + rng.below(12))),
        1 => ("Practitioner", format!("identifier={}&family=ruiz", rng.below(60))),
        2 => ("Patient", format!("identifier={}", document(rng, world))),
        3 => ("Observation", format!("patient={subject}&code=http://loinc.org|29463-7")),
        4 => ("ValueSet", format!("url=https://example.org/vs/{}", rng.below(20))),
        _ => {
            ("Patient", (*rng.pick(&["", "_count=1", "nombre=x", "family:exact=Ruiz", "birthdate=lt1995"])).to_owned())
        }
    };
    let mut one = resource(rng, world, resource_type, &subject);
    if resource_type == "Organization" {
        one["identifier"][0]["value"] = criteria.rsplit('|').next().into();
    }
    let who = writer(rng, resource_type);
    Request::new("conditional create", who, "POST", resource_type).body(&one).header("if-none-exist", criteria)
}

/// A transaction or batch over one to four patients.
fn bundled(rng: &mut Rng, world: &mut World) -> Request {
    let mut entries = Vec::new();
    for n in 0..1 + rng.below(4) {
        let urn = format!("urn:uuid:00000000-0000-4000-8000-{:012}", 100 * n);
        let new = rng.chance(60);
        let subject = if new { urn.clone() } else { subject(rng, world) };
        if new {
            let mut one = resource(rng, world, "Patient", "");
            one.as_object_mut().unwrap().remove("link");
            let mut created = entry("POST", "Patient", Some(&urn), Some(one));
            if rng.chance(30) {
                created["request"]["ifNoneExist"] = format!("identifier={}", document(rng, world)).into();
            }
            entries.push(created);
        }
        for m in 0..1 + rng.below(3) {
            let resource_type = *rng.pick(&WRITTEN[1..14]);
            let one = resource(rng, world, resource_type, &subject);
            let urn = format!("urn:uuid:00000000-0000-4000-8000-{:012}", 100 * n + m + 1);
            entries.push(entry("POST", resource_type, Some(&urn), Some(one)));
        }
    }
    if rng.chance(30) {
        entries.push(entry("GET", &target(rng, world), None, None));
    }
    if rng.chance(20) {
        let about = subject(rng, world);
        entries.push(entry("GET", &format!("Observation?patient={about}&_sort=date&_count=3"), None, None));
    }
    if rng.chance(20) {
        entries.push(entry("DELETE", &target(rng, world), None, None));
    }
    if rng.chance(25) {
        let update = update(rng, world);
        let resource = update.body.and_then(|body| serde_json::from_str(&body).ok());
        entries.push(entry("PUT", &update.path, None, resource));
    }
    for _ in 0..rng.below(3) {
        let write = conditional_write(rng, world, "integracion");
        let json_patch = write.headers.iter().any(|(_, value)| value == "application/json-patch+json");
        if !json_patch {
            let resource = write.body.and_then(|body| serde_json::from_str(&body).ok());
            entries.push(entry(write.method, &write.path, None, resource));
        }
    }
    if rng.chance(20) {
        let reference = format!("Patient?identifier={}", document(rng, world));
        let one = resource(rng, world, "Observation", &reference);
        entries.push(entry("POST", "Observation", None, Some(one)));
    }
    if rng.chance(10)
        && let Some(one) = entries.last_mut().and_then(|entry| entry.get_mut("resource"))
    {
        spoil(rng, one);
    }
    let code = rng.weighted(&[(14, "transaction"), (5, "batch"), (1, "history")]);
    let kind = if code == "batch" { "batch" } else { "transaction" };
    let who = if rng.chance(85) { "integracion" } else { role(rng) };
    Request::new(kind, who, "POST", "").body(&bundle(code, entries))
}

fn everything(rng: &mut Rng, world: &World, who: &'static str) -> Request {
    let parameters = match rng.below(8) {
        0 => "?_count=3".to_owned(),
        1 => "?_type=Observation,Condition".to_owned(),
        2 => format!("?_since=~T{}~", rng.below(world.times.len())),
        3 => (*rng.pick(&["?start=2020", "?end=2010-06", "?start=2001&end=2015", "?_summary=true"])).to_owned(),
        4 => "?_count=2&_type=Encounter,Observation".to_owned(),
        _ => String::new(),
    };
    let visit = world.some(rng, "Encounter").filter(|_| rng.chance(25));
    let path = format!("{}/$everything{parameters}", visit.unwrap_or_else(|| subject(rng, world)));
    Request { order: Order::Everything, ..Request::new("everything", who, "GET", path) }
}

fn paciente(rng: &mut Rng, world: &World, who: &'static str) -> Request {
    let number = world.documents.last().map_or("1", |_| rng.pick(&world.documents).as_str());
    let given = match rng.below(8) {
        0 => format!("CC-{number}"),
        1 => number.to_owned(),
        2 => format!("TI-{number}"),
        3 => (*rng.pick(&["nadie", "CC-1", "%C3%B1", "a%20b"])).to_owned(),
        _ => subject(rng, world).replace("Patient/", ""),
    };
    let request = Request::new("paciente", who, "GET", format!("/paciente/{given}")).header("accept", FHIR_JSON);
    Request { order: Order::Everything, ..request }
}

/// A message, and the searches that show what it did.
fn message(rng: &mut Rng, world: &mut World, visits: &mut Visits) -> Vec<Request> {
    let fresh = visits.is_empty() || rng.chance(50);
    if fresh {
        let (document, visit) = (document(rng, world), format!("V-{}", rng.below(999_999_999)));
        visits.push(Visit { document, visit, family: "MUÑOZ PEÑA".to_owned(), facility: "HOSPITAL".to_owned() });
    }
    let visit = if fresh { visits.last().unwrap().clone() } else { rng.pick(visits).clone() };
    // Few of them: some are sent again.
    let control = format!("C{}", rng.below(400));
    let text = match rng.below(if fresh { 3 } else { 8 }) {
        0 | 1 => visit.a01(&control),
        2 => visit.a04(&control),
        3 | 4 => visit.a08(&control, "CARRERA 7 # 1-1"),
        5 | 6 => visit.a03(&control),
        _ => visit.a01(&control).replace(*rng.pick(&["PID|", "ADT^A01", "|P|2.5.1", "MSH|", "19840229"]), "ZZZ|"),
    };
    let who = if rng.chance(92) { "integracion" } else { role(rng) };
    let sent = Request::new("hl7", who, "POST", "/hl7v2").header("content-type", "application/hl7-v2");
    let see = |query: String| search::of("seen after hl7", "integracion", query);
    vec![
        Request { body: Some(text), ..sent },
        see(format!("Patient?identifier={}", visit.document)),
        see(format!("Encounter?identifier={}", visit.visit)),
    ]
}

fn refused_method(rng: &mut Rng, world: &World, who: &'static str) -> Request {
    let path = target(rng, world);
    match rng.below(4) {
        0 => Request::new("refused method", who, "PATCH", format!("{path}/_history/1")).body(&json!({})),
        1 => Request::new("refused method", who, "POST", path).body(&json!({"resourceType": "Patient"})),
        2 => Request::new("refused method", who, "PUT", format!("{path}/_history/1")).body(&json!({})),
        _ => Request::new("refused method", who, "DELETE", format!("{path}/_history")),
    }
}

/// By both documents, of what most types have and some have not.
fn patch(rng: &mut Rng, target: &str, who: &'static str) -> Request {
    let resource_type = target.split(['/', '?']).next().unwrap_or_default();
    let who = if who == "medico" { writer(rng, resource_type) } else { who };
    let language = *rng.pick(&["es", "es-CO", "no es"]);
    let request = Request::new("patch", who, "PATCH", target);
    let part = |name: &str, kind: &str, value: &str| json!({"name": name, kind: value});
    let parameters =
        |parts: Vec<Value>| json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]});
    let request = match rng.below(6) {
        0 | 1 => {
            let operations = json!([{"op": "add", "path": "/language", "value": language}]);
            Request {
                body: Some(operations.to_string()),
                ..request.header("content-type", "application/json-patch+json")
            }
        }
        2 => {
            let operations = json!([{"op": "replace", "path": "/status", "value": "final"}]);
            Request {
                body: Some(operations.to_string()),
                ..request.header("content-type", "application/json-patch+json")
            }
        }
        3 => request.body(&parameters(vec![
            part("type", "valueCode", "delete"),
            part("path", "valueString", &format!("{resource_type}.language")),
        ])),
        4 => request.body(&parameters(vec![
            part("type", "valueCode", "delete"),
            part("path", "valueString", &format!("{resource_type}.identifier")),
        ])),
        _ => request.body(&parameters(vec![
            part("type", "valueCode", "add"),
            part("path", "valueString", resource_type),
            part("name", "valueString", "language"),
            part("value", "valueCode", language),
        ])),
    };
    if rng.chance(15) { request.header("if-match", "W/\"1\"") } else { request }
}

fn conditional_write(rng: &mut Rng, world: &mut World, who: &'static str) -> Request {
    let number = document(rng, world);
    let subject = subject(rng, world);
    let path = match rng.below(4) {
        0 => format!("Patient?identifier={number}&birthdate=lt1995"),
        1 => format!("Observation?patient={subject}&code=http://loinc.org|29463-7"),
        _ => format!("Patient?identifier={number}"),
    };
    let resource_type = path.split('?').next().unwrap_or_default().to_owned();
    match rng.below(4) {
        0 => Request::new("conditional write", who, "DELETE", path),
        1 => Request { kind: "conditional write", ..patch(rng, &path, who) },
        _ => {
            let mut one = resource(rng, world, &resource_type, &subject);
            if resource_type == "Patient" {
                one["identifier"] = json!([{"value": number}]);
            }
            let request = Request::new("conditional write", writer(rng, &resource_type), "PUT", path).body(&one);
            if rng.chance(10) { request.header("if-none-match", "*") } else { request }
        }
    }
}

fn broken(rng: &mut Rng, world: &World) -> Request {
    let new = |method, path: &str| Request::new("broken", "medico", method, path);
    let raw = |request: Request, body: &str| Request { body: Some(body.to_owned()), ..request };
    let json = |request: Request| request.header("content-type", FHIR_JSON);
    let one = target(rng, world);
    match rng.below(14) {
        0 => new("GET", "Patiente"),
        1 => new("GET", "Patient/a%20b"),
        2 => raw(json(new("POST", "Patient")), "{\"resourceType\": \"Patient\","),
        3 => raw(json(new("POST", "Patient")), "{\"resourceType\":\"Patient\",\"active\":true,\"active\":false}"),
        4 => raw(new("POST", "Patient").header("content-type", "text/csv"), "a,b"),
        5 => raw(new("POST", "Patient").header("content-type", "text/turtle"), "<Patient/>"),
        6 => new("GET", &one).header("accept", "text/turtle"),
        7 => new("GET", "Patient/$nada"),
        8 => new("GET", "/nada"),
        9 => raw(json(new("POST", "")), "{\"resourceType\":\"Patient\"}"),
        10 => new("GET", "?code=x"),
        11 => raw(json(new("PUT", &one)), "null"),
        12 => raw(json(new("POST", "Observation")), &"[".repeat(200)),
        _ => {
            new("GET", &format!("Observation?date={}&date={}&nada={}", day(rng), moment(rng).replace('+', "%2B"), one))
        }
    }
}
