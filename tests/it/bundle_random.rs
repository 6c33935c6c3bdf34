//! The same requests one by one, as a batch, and as a transaction (issue 7, Must show 5): random sequences over a few ids,
//! each in a world of its own, which differ in their names alone.

use crate::harness::data::{bundle, entry};
use crate::harness::proof::{Proof, Random};
use crate::harness::{Fhir, Reply, fhir, run, unique};
use historia::error::{Error, Kind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Requests of one sequence.
const REQUESTS: usize = 60;
/// Ids of each type that they are about.
const IDS: usize = 4;

/// One request; `@` stands for the name of its world.
#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    url: String,
    /// Header, and its member in an entry.
    conditions: Vec<(&'static str, String)>,
    body: Option<Value>,
    /// The id it writes, so that a transaction has each once.
    key: String,
}

fn person(random: &mut Random, k: usize) -> Value {
    let mut person = json!({"resourceType": "Patient", "id": format!("@p{k}"),
        "identifier": [{"system": "http://x.example/n", "value": format!("@{k}")}],
        "birthDate": format!("19{}-01-01", 50 + random.below(40))});
    if random.below(3) == 0 {
        person["managingOrganization"] = json!({"reference": format!("Organization/@g{}", random.below(IDS))});
    }
    if random.below(4) == 0 {
        person["text"] = json!({"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"});
    }
    person
}

fn observation(random: &mut Random, k: usize) -> Value {
    json!({"resourceType": "Observation", "id": format!("@o{k}"), "status": random.of(&["final", "amended"]),
        "identifier": [{"system": "http://x.example/n", "value": format!("@{k}")}],
        "code": {"text": "x"}, "subject": {"reference": format!("Patient/@p{}", random.below(IDS))}})
}

fn organization(random: &mut Random, k: usize) -> Value {
    json!({"resourceType": "Organization", "id": format!("@g{k}"), "name": random.of(&["Norte", "Sur", "Centro"]),
        "identifier": [{"system": "http://x.example/n", "value": format!("@{k}")}]})
}

fn resource(random: &mut Random, k: usize) -> Value {
    let mut one = match random.below(3) {
        0 => person(random, k),
        1 => observation(random, k),
        _ => organization(random, k),
    };
    match random.below(14) {
        0 => one["apodo"] = "x".into(),
        1 => one["language"] = "no es".into(),
        _ => {}
    }
    one
}

fn parameters(kind: &str, path: &str, more: &[Value]) -> Value {
    let mut parts = vec![json!({"name": "type", "valueCode": kind}), json!({"name": "path", "valueString": path})];
    parts.extend_from_slice(more);
    json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]})
}

fn patch(random: &mut Random, resource_type: &str) -> Value {
    let language = random.of(&["es", "es-CO", "en"]).to_string();
    match random.below(7) {
        0 => json!([{"op": "add", "path": "/language", "value": language}]),
        1 => json!([{"op": "remove", "path": "/language"}]),
        2 => json!([{"op": "add", "path": "/apodo", "value": "x"}]),
        3 => parameters("delete", &format!("{resource_type}.language"), &[]),
        4 => parameters(
            "add",
            resource_type,
            &[json!({"name": "name", "valueString": "language"}), json!({"name": "value", "valueCode": language})],
        ),
        5 => parameters(
            "replace",
            &format!("{resource_type}.language"),
            &[json!({"name": "value", "valueCode": language})],
        ),
        _ => parameters("delete", &format!("{resource_type}.identifier"), &[]),
    }
}

fn asked(random: &mut Random) -> Asked {
    let k = random.below(IDS);
    let mut body = resource(random, k);
    let resource_type = body["resourceType"].as_str().unwrap().to_owned();
    let id = body["id"].as_str().unwrap().to_owned();
    let by_id = format!("{resource_type}/{id}");
    let by_criteria = format!("{resource_type}?identifier=http://x.example/n|@{k}");
    let mut conditions = Vec::new();
    let if_match = |random: &mut Random, conditions: &mut Vec<(&'static str, String)>| {
        if random.below(4) == 0 {
            conditions.push(("if-match", format!("W/\"{}\"", 1 + random.below(3))));
        }
    };
    let (method, url, body) = match random.below(20) {
        0..=3 => {
            match random.below(5) {
                0 => conditions.push(("if-none-match", "*".to_owned())),
                _ => if_match(random, &mut conditions),
            }
            ("PUT", by_id, Some(body))
        }
        4 | 5 => {
            if random.below(2) == 0 {
                body.as_object_mut().unwrap().remove("id");
            }
            if_match(random, &mut conditions);
            ("PUT", by_criteria, Some(body))
        }
        6 | 7 => {
            if random.below(3) > 0 {
                conditions.push(("if-none-exist", format!("identifier=http://x.example/n|@{k}")));
            }
            ("POST", resource_type.clone(), Some(body))
        }
        8 => {
            if_match(random, &mut conditions);
            ("DELETE", by_id, None)
        }
        9 => ("DELETE", by_criteria, None),
        10..=12 => {
            if_match(random, &mut conditions);
            ("PATCH", by_id, Some(patch(random, &resource_type)))
        }
        13 => ("PATCH", by_criteria, Some(patch(random, &resource_type))),
        14 | 15 => ("GET", by_id, None),
        16 => ("GET", format!("{by_id}/_history/{}", 1 + random.below(3)), None),
        17 => ("GET", by_criteria, None),
        18 => ("GET", format!("{by_id}/_history?_count=5"), None),
        _ => match random.below(4) {
            0 => ("GET", format!("{resource_type}?apodo=x"), None),
            1 => ("PUT", format!("{resource_type}/@otro"), Some(body)),
            2 => ("POST", format!("{resource_type}/@otro/x"), Some(body)),
            _ => ("GET", "Patient/@p0/$everything?_count=20".to_owned(), None),
        },
    };
    Asked { method, url, conditions, body, key: format!("{resource_type} {k}") }
}

/// One set of names, and the ids that the server gave in it, by what they are called in all worlds.
struct World {
    name: String,
    given: BTreeMap<String, String>,
}

/// What an answer says, whatever the world.
type Said = (String, String, Value);

impl World {
    fn new(name: &str) -> World {
        World { name: format!("{name}{}-", unique()), given: BTreeMap::new() }
    }

    fn named(&self, text: &str) -> String {
        text.replace('@', &self.name)
    }

    /// Without names, ids and times of this world.
    fn common(&self, value: &Value) -> Value {
        let mut text = value.to_string().replace(&self.name, "@");
        for (id, called) in &self.given {
            text = text.replace(id, called);
        }
        let mut value: Value = serde_json::from_str(&text).unwrap();
        timeless(&mut value);
        value
    }

    fn learn(&mut self, location: &str, n: usize) {
        let id = location.split("/_history").next().unwrap().rsplit('/').next().unwrap();
        if !id.is_empty() && !id.contains(&self.name) {
            self.given.entry(id.to_owned()).or_insert(format!("#{n}"));
        }
    }

    async fn one(&mut self, caller: &Fhir, asked: &Asked, n: usize) -> Said {
        let body = asked.body.as_ref().map(|body| self.named(&body.to_string()).into_bytes());
        let json_patch = asked.body.as_ref().is_some_and(Value::is_array);
        let media = if json_patch { "application/json-patch+json" } else { "application/fhir+json" };
        let mut headers = vec![("content-type".to_owned(), media.to_owned())];
        headers.extend(asked.conditions.iter().map(|(name, value)| ((*name).to_owned(), self.named(value))));
        let headers: Vec<(&str, &str)> = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let reply = caller.send(asked.method, &self.named(&asked.url), &headers, body).await;
        self.learn(reply.header("location"), n);
        self.said_alone(asked, &reply, n)
    }

    fn said_alone(&self, asked: &Asked, reply: &Reply, n: usize) -> Said {
        let body = if reply.body.is_empty() { Value::Null } else { reply.json() };
        let shown = match (asked.method, reply.status) {
            (_, 400..) => self.common(&in_bundle(&body, n)),
            ("GET", _) => self.common(&body),
            _ => Value::Null,
        };
        (reply.status.to_string(), reply.header("etag").to_owned(), shown)
    }

    fn entry(&self, asked: &Asked) -> Value {
        let resource = asked.body.as_ref().map(|body| match body {
            Value::Array(_) => {
                use base64::Engine as _;
                let data = base64::engine::general_purpose::STANDARD.encode(self.named(&body.to_string()));
                json!({"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data})
            }
            body => serde_json::from_str(&self.named(&body.to_string())).unwrap(),
        });
        let mut one = entry(asked.method, &self.named(&asked.url), None, resource);
        for (name, value) in &asked.conditions {
            let member = match *name {
                "if-match" => "ifMatch",
                "if-none-match" => "ifNoneMatch",
                _ => "ifNoneExist",
            };
            one["request"][member] = self.named(value).into();
        }
        one
    }

    fn said_in_bundle(&mut self, entry: &Value, n: usize) -> Said {
        let text = |name: &str| entry["response"][name].as_str().unwrap_or_default().to_owned();
        if text("status").starts_with("201") {
            self.learn(&text("location"), n);
        }
        let status = text("status").split(' ').next().unwrap().to_owned();
        let shown =
            if entry["response"]["outcome"].is_object() { &entry["response"]["outcome"] } else { &entry["resource"] };
        (status, text("etag"), self.common(shown))
    }
}

/// Times go, and members of Bundles whose order rests on the ids get one.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for name in ["lastUpdated", "lastModified"] {
                members.remove(name);
            }
            if members.get("type").is_some_and(|kind| kind == "searchset") {
                members.remove("link");
                if let Some(Value::Array(entries)) = members.get_mut("entry") {
                    entries.iter_mut().for_each(timeless);
                    entries.sort_by_key(Value::to_string);
                    return;
                }
            }
            members.values_mut().for_each(timeless);
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        _ => {}
    }
}

/// An outcome as it stands in a batch: its places begin with that of the entry.
fn in_bundle(outcome: &Value, n: usize) -> Value {
    let mut outcome = outcome.clone();
    for issue in outcome["issue"].as_array_mut().unwrap() {
        let place = issue["expression"][0].as_str().map(str::to_owned);
        let error = match &place {
            Some(place) => Error::at(Kind::Invalid, place.as_str(), ""),
            None => Error::new(Kind::Invalid, ""),
        };
        let within = error.within(&format!("Bundle.entry[{n}]"));
        issue["expression"] = json!([within.issues[0].expression]);
    }
    outcome
}

#[test]
fn proof_batch() {
    run(async {
        let mut proof = Proof::new("batch", 7, 3, 200);
        let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
        while proof.goes_on() {
            let caller = fhir("integracion").await;
            let mut random = Random(proof.seed.wrapping_add(proof.n()));
            let sequence: Vec<Asked> = (0..REQUESTS).map(|_| asked(&mut random)).collect();
            let (mut alone, mut together) = (World::new("a"), World::new("b"));
            let mut said = Vec::new();
            for (n, asked) in sequence.iter().enumerate() {
                said.push(alone.one(&caller, asked, n).await);
            }
            let entries = sequence.iter().map(|asked| together.entry(asked)).collect();
            let reply = caller.post("", &bundle("batch", entries)).await.expect(200).json();
            for (n, (asked, alone)) in sequence.iter().zip(&said).enumerate() {
                *statuses.entry(format!("{} {}", asked.method, alone.0)).or_default() += 1;
                let in_batch = together.said_in_bundle(&reply["entry"][n], n);
                if *alone != in_batch {
                    proof.failed(&format!("{n}: {asked:?}\nalone {alone:?}\nbatch {in_batch:?}"));
                    break;
                }
            }
            proof.done(1);
        }
        println!("{statuses:?}");
        assert!(statuses.len() > 12, "{statuses:?}");
        proof.ends(json!({"requests": REQUESTS, "statuses": statuses}));
    });
}

/// The order of the standard.
fn order(method: &str) -> usize {
    ["DELETE", "POST", "PUT", "PATCH"]
        .iter()
        .position(|m| *m == method)
        .unwrap_or(4)
        .min(3)
        .max(usize::from(method == "GET") * 4)
}

/// Requests that may stand in one transaction: each resource is written once. Deletes are of Observations, at which nothing
/// points: what a transaction deletes together may be deleted, while one by one the order of the deletes decides.
fn writes_once(random: &mut Random) -> Vec<Asked> {
    let mut keys = std::collections::BTreeSet::new();
    let mut sequence = Vec::new();
    for _ in 0..24 {
        let one = asked(random);
        let fits = match one.method {
            "GET" => true,
            "DELETE" => one.url.starts_with("Observation") && keys.insert(one.key.clone()),
            _ => keys.insert(one.key.clone()),
        };
        if fits {
            sequence.push(one);
        }
    }
    sequence
}

#[test]
fn proof_transaction() {
    run(async {
        let mut proof = Proof::new("transaction", 11, 20, 2_000);
        let (mut committed, mut refused) = (0, 0);
        while proof.goes_on() {
            let caller = fhir("integracion").await;
            let mut random = Random(proof.seed.wrapping_add(proof.n()));
            let before: Vec<Asked> = (0..25).map(|_| asked(&mut random)).filter(|one| one.method != "GET").collect();
            let sequence = writes_once(&mut random);
            let (mut alone, mut together) = (World::new("a"), World::new("b"));
            for world in [&mut alone, &mut together] {
                for (n, asked) in before.iter().enumerate() {
                    world.one(&caller, asked, 1000 + n).await;
                }
            }
            let mut by_order: Vec<usize> = (0..sequence.len()).collect();
            by_order.sort_by_key(|n| order(sequence[*n].method));
            let mut said: BTreeMap<usize, Said> = BTreeMap::new();
            for n in by_order {
                said.insert(n, alone.one(&caller, &sequence[n], n).await);
            }
            // Mostly what works alone, so that it is committed; else with what does not.
            if random.below(4) > 0 {
                said.retain(|_, said| said.0.starts_with('2'));
            }
            let entries = said.keys().map(|n| together.entry(&sequence[*n])).collect();
            let reply = caller.post("", &bundle("transaction", entries)).await;
            let failed: Vec<&str> = said.values().map(|s| s.0.as_str()).filter(|s| !s.starts_with('2')).collect();
            if reply.status == 200 {
                committed += 1;
                let answers = reply.json();
                // Reads may stand before what made the ids that they show.
                for (at, n) in said.keys().enumerate() {
                    together.said_in_bundle(&answers["entry"][at], *n);
                }
                for (at, (n, alone)) in said.iter().enumerate() {
                    let in_bundle = together.said_in_bundle(&answers["entry"][at], *n);
                    if *alone != in_bundle {
                        proof.failed(&format!("{n}: {:?}\nalone {alone:?}\ntogether {in_bundle:?}", sequence[*n]));
                        break;
                    }
                }
            } else {
                refused += 1;
                if !failed.contains(&reply.status.to_string().as_str()) {
                    proof.failed(&format!("{sequence:?}\nalone {failed:?}\ntogether {}", reply.text()));
                }
            }
            proof.done(1);
        }
        println!("committed {committed}, refused {refused}");
        assert!(committed > 0 && refused > 0, "{committed} {refused}");
        proof.ends(json!({"committed": committed, "refused": refused}));
    });
}
