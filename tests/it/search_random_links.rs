//! Random chains, `_has` and includes over a random graph of resources: what the server finds and includes is what a slow
//! matcher in memory does, which follows one reference after the other. The same as a patient, over what it may see.

use crate::harness::data::patient;
use crate::harness::fhir::{account, login, signed_in};
use crate::harness::proof::{Proof, Random};
use crate::harness::{Fhir, Instance, Start, run, unique};
use crate::search_cases::{encoded, stored};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Queries over one graph, and the whole of a proof.
const QUERIES: u64 = 150;
const FULL: u64 = 50_000;
/// Steps of a chain, and of `:iterate` beyond the first.
const DEPTH: usize = 4;
const ITERATED: usize = 3;

struct Dice(Random);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0.below(sides)
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        self.0.of(all).clone()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.roll(100) < percent
    }
}

// ---------------------------------------------------------------------- the graph

const NAMES: [&str; 3] = ["Ruiz", "Ríos", "Rueda"];
const GENDERS: [&str; 2] = ["female", "male"];
const DAYS: [&str; 3] = ["1980-01-02", "1990-03-04", "2000-05-06"];
const CODES: [&str; 3] = ["a", "b", "c"];

struct Graph {
    word: String,
    all: Vec<Value>,
}

fn reference_of(one: &Value) -> String {
    format!("{}/{}", one["resourceType"].as_str().unwrap(), one["id"].as_str().unwrap())
}

fn type_of(one: &Value) -> &str {
    one["resourceType"].as_str().unwrap()
}

impl Graph {
    async fn add(&mut self, integracion: &Fhir, resource: Value) {
        let reference = stored(integracion, vec![(self.word.clone(), resource.clone())]).await.remove(0);
        let mut resource = resource;
        resource["id"] = reference.split('/').nth(1).unwrap().into();
        self.all.push(resource);
    }

    /// A reference to some resource of one of these types, if there is one.
    fn some(&self, dice: &mut Dice, types: &[&str]) -> Option<Value> {
        let all: Vec<&Value> = self.all.iter().filter(|one| types.contains(&type_of(one))).collect();
        (!all.is_empty() && dice.chance(80)).then(|| json!({"reference": reference_of(dice.of(&all))}))
    }

    fn several(&self, dice: &mut Dice, types: &[&str]) -> Vec<Value> {
        (0..dice.roll(3)).filter_map(|_| self.some(dice, types)).collect()
    }

    async fn grow(integracion: &Fhir, dice: &mut Dice) -> Graph {
        let mut graph = Graph { word: unique(), all: Vec::new() };
        let kinds = [
            ("Organization", 4),
            ("Location", 2),
            ("Practitioner", 3),
            ("Patient", 14),
            ("Encounter", 10),
            ("Observation", 24),
            ("Provenance", 5),
        ];
        for (kind, many) in kinds {
            for _ in 0..many {
                let one = graph.one(dice, kind);
                graph.add(integracion, one).await;
            }
        }
        graph
    }

    fn one(&self, dice: &mut Dice, kind: &str) -> Value {
        let mut one = json!({"resourceType": kind});
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                one[name] = value;
            }
        };
        let list = |all: Vec<Value>, wrap: fn(Value) -> Value| {
            (!all.is_empty()).then(|| Value::Array(all.into_iter().map(wrap).collect()))
        };
        let name = json!([{"family": dice.of(&NAMES)}]);
        match kind {
            "Organization" => {
                put("name", Some(dice.of(&NAMES).into()));
                put("partOf", self.some(dice, &["Organization"]));
            }
            "Location" => put("name", Some(dice.of(&NAMES).into())),
            "Practitioner" => {
                put("name", Some(name));
                put("gender", dice.chance(70).then(|| dice.of(&GENDERS).into()));
            }
            "Patient" => {
                put("identifier", Some(patient()["identifier"].clone()));
                put("name", Some(name));
                put("gender", Some(dice.of(&GENDERS).into()));
                put("birthDate", dice.chance(80).then(|| dice.of(&DAYS).into()));
                put("generalPractitioner", list(self.several(dice, &["Practitioner", "Organization"]), |one| one));
                put("managingOrganization", self.some(dice, &["Organization"]));
                put("link", list(self.several(dice, &["Patient"]), |other| json!({"other": other, "type": "seealso"})));
            }
            "Encounter" => {
                put("status", Some(dice.of(&["finished", "planned"]).into()));
                put("class", Some(json!({"code": "AMB"})));
                put("subject", self.some(dice, &["Patient"]));
                put("participant", list(self.several(dice, &["Practitioner"]), |who| json!({"individual": who})));
                put("serviceProvider", self.some(dice, &["Organization"]));
                put("partOf", self.some(dice, &["Encounter"]));
            }
            "Observation" => {
                put("status", Some(dice.of(&["final", "amended"]).into()));
                put("code", Some(json!({"coding": [{"code": format!("{}{}", dice.of(&CODES), self.word)}]})));
                put("subject", self.some(dice, &["Patient", "Patient", "Location"]));
                put("encounter", self.some(dice, &["Encounter"]));
                put("performer", list(self.several(dice, &["Practitioner", "Organization", "Patient"]), |one| one));
                put("hasMember", list(self.several(dice, &["Observation"]), |one| one));
            }
            _ => {
                let targets = (0..3)
                    .filter_map(|_| self.some(dice, &["Observation", "Encounter", "Patient"]))
                    .collect::<Vec<_>>();
                let targets =
                    if targets.is_empty() { vec![json!({"reference": reference_of(&self.all[0])})] } else { targets };
                put("target", Some(targets.into()));
                put("recorded", Some("2024-01-01T00:00:00Z".into()));
                let who = self.some(dice, &["Practitioner"]).unwrap_or_else(|| json!({"display": "alguien"}));
                put("agent", Some(json!([{"who": who}])));
            }
        }
        one
    }

    /// What a patient may see: the directory, and what is its own.
    fn seen_by(&self, patient: &str) -> Graph {
        let own = |one: &&Value| match type_of(one) {
            "Organization" | "Location" | "Practitioner" => true,
            "Patient" => reference_of(one) == patient,
            "Encounter" | "Observation" => one["subject"]["reference"] == patient,
            _ => false,
        };
        Graph { word: self.word.clone(), all: self.all.iter().filter(own).cloned().collect() }
    }
}

// ---------------------------------------------------------------------- the matcher

/// The reference parameters: holder, code, types it may point at.
const REFERENCES: [(&str, &str, &[&str]); 17] = [
    ("Organization", "partof", &["Organization"]),
    ("Patient", "general-practitioner", &["Practitioner", "Organization"]),
    ("Patient", "organization", &["Organization"]),
    ("Patient", "link", &["Patient"]),
    ("Encounter", "subject", &["Patient"]),
    ("Encounter", "patient", &["Patient"]),
    ("Encounter", "participant", &["Practitioner"]),
    ("Encounter", "service-provider", &["Organization"]),
    ("Encounter", "part-of", &["Encounter"]),
    ("Observation", "subject", &["Patient", "Location"]),
    ("Observation", "patient", &["Patient"]),
    ("Observation", "encounter", &["Encounter"]),
    ("Observation", "performer", &["Practitioner", "Organization", "Patient"]),
    ("Observation", "has-member", &["Observation"]),
    ("Provenance", "target", &["Observation", "Encounter", "Patient", "Organization"]),
    ("Provenance", "patient", &["Patient"]),
    ("Provenance", "agent", &["Practitioner"]),
];

/// The other parameters of a type.
fn plain(kind: &str) -> &'static [&'static str] {
    match kind {
        "Organization" | "Location" => &["name", "_id"],
        "Practitioner" => &["name", "family", "gender", "_id"],
        "Patient" => &["name", "family", "gender", "birthdate", "_id"],
        "Encounter" => &["status", "_id"],
        "Observation" => &["status", "code", "_id"],
        _ => &["_id"],
    }
}

fn points(one: &Value, code: &str) -> Vec<String> {
    let all: Vec<&Value> = match (type_of(one), code) {
        (_, "partof" | "part-of") => vec![&one["partOf"]],
        (_, "general-practitioner") => one["generalPractitioner"].as_array().into_iter().flatten().collect(),
        (_, "organization") => vec![&one["managingOrganization"]],
        (_, "link") => one["link"].as_array().into_iter().flatten().map(|link| &link["other"]).collect(),
        ("Provenance", "target" | "patient") => one["target"].as_array().into_iter().flatten().collect(),
        (_, "agent") => one["agent"].as_array().into_iter().flatten().map(|agent| &agent["who"]).collect(),
        (_, "subject" | "patient") => vec![&one["subject"]],
        (_, "participant") => {
            one["participant"].as_array().into_iter().flatten().map(|one| &one["individual"]).collect()
        }
        (_, "service-provider") => vec![&one["serviceProvider"]],
        (_, "encounter") => vec![&one["encounter"]],
        (_, "performer") => one["performer"].as_array().into_iter().flatten().collect(),
        (_, "has-member") => one["hasMember"].as_array().into_iter().flatten().collect(),
        other => panic!("{other:?}"),
    };
    let all = all.into_iter().filter_map(|one| one["reference"].as_str());
    all.filter(|to| code != "patient" || to.starts_with("Patient/")).map(str::to_owned).collect()
}

#[derive(Clone)]
enum Condition {
    Plain { code: &'static str, modifier: &'static str, values: Vec<String> },
    Chain { code: &'static str, named: Option<&'static str>, inner: Box<Condition> },
    Has { holder: &'static str, code: &'static str, inner: Box<Condition> },
}

impl Condition {
    /// Name and value.
    fn text(&self) -> (String, String) {
        match self {
            Condition::Plain { code, modifier, values } => (format!("{code}{modifier}"), values.join(",")),
            Condition::Chain { code, named, inner } => {
                let (name, value) = inner.text();
                (format!("{code}{}.{name}", named.map_or_else(String::new, |named| format!(":{named}"))), value)
            }
            Condition::Has { holder, code, inner } => {
                let (name, value) = inner.text();
                (format!("_has:{holder}:{code}:{name}"), value)
            }
        }
    }

    fn is_of(&self, kind: &str) -> bool {
        match self {
            Condition::Plain { code, .. } => plain(kind).contains(code),
            Condition::Chain { code, .. } => REFERENCES.iter().any(|(holder, own, _)| *holder == kind && own == code),
            Condition::Has { holder, code, .. } => {
                REFERENCES.iter().any(|(own, known, to)| own == holder && known == code && to.contains(&kind))
            }
        }
    }

    fn holds(&self, graph: &Graph, one: &Value) -> bool {
        match self {
            Condition::Plain { code, modifier, values } => {
                let own = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
                let has = match *code {
                    "name" | "family" => {
                        one["name"].as_str().or(one["name"][0]["family"].as_str()).unwrap_or_default().to_owned()
                    }
                    "birthdate" => own("birthDate"),
                    "code" => one["code"]["coding"][0]["code"].as_str().unwrap_or_default().to_owned(),
                    "_id" => own("id"),
                    name => own(name),
                };
                match *modifier {
                    ":missing" => has.is_empty() == (values[0] == "true"),
                    ":not" => !values.contains(&has),
                    _ => values.contains(&has),
                }
            }
            Condition::Chain { code, named, inner } => points(one, code).iter().any(|to| {
                let to = graph.all.iter().find(|one| reference_of(one) == *to);
                to.is_some_and(|to| {
                    named.is_none_or(|named| named == type_of(to)) && inner.is_of(type_of(to)) && inner.holds(graph, to)
                })
            }),
            Condition::Has { holder, code, inner } => graph.all.iter().any(|other| {
                type_of(other) == *holder
                    && points(other, code).contains(&reference_of(one))
                    && inner.holds(graph, other)
            }),
        }
    }

    fn random(dice: &mut Dice, graph: &Graph, kind: &'static str, depth: usize) -> Condition {
        let forward: Vec<_> = REFERENCES.iter().filter(|(holder, ..)| *holder == kind).collect();
        let back: Vec<_> = REFERENCES.iter().filter(|(.., to)| to.contains(&kind)).collect();
        match dice.roll(if depth == 0 { 1 } else { 5 }) {
            1 | 2 if !forward.is_empty() => {
                let (_, code, to) = dice.of(&forward);
                let to = dice.of(to);
                let inner = Box::new(Condition::random(dice, graph, to, depth - 1));
                // What is not there is not of any type: only of one that is named.
                let negative = matches!(&*inner, Condition::Plain { modifier, .. } if !modifier.is_empty());
                // `target` may point at anything, which is too much to ask for.
                let named = if negative || *code == "target" || dice.chance(60) { Some(to) } else { None };
                Condition::Chain { code, named, inner }
            }
            3 | 4 if !back.is_empty() => {
                let (holder, code, _) = dice.of(&back);
                Condition::Has { holder, code, inner: Box::new(Condition::random(dice, graph, holder, depth - 1)) }
            }
            _ => Condition::plain(dice, graph, kind),
        }
    }

    fn plain(dice: &mut Dice, graph: &Graph, kind: &'static str) -> Condition {
        let code = dice.of(plain(kind));
        let missing = matches!(code, "gender" | "birthdate") && dice.chance(20);
        if missing {
            return Condition::Plain {
                code,
                modifier: ":missing",
                values: vec![dice.of(&["true", "false"]).to_owned()],
            };
        }
        let modifier = if matches!(code, "gender" | "status" | "code") && dice.chance(25) { ":not" } else { "" };
        let own: Vec<String> = graph
            .all
            .iter()
            .filter(|one| type_of(one) == kind)
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        let values = (0..1 + dice.roll(2)).map(|_| match code {
            "name" | "family" => dice.of(&NAMES).to_owned(),
            "gender" => dice.of(&GENDERS).to_owned(),
            "birthdate" => dice.of(&DAYS).to_owned(),
            "code" => format!("{}{}", dice.of(&CODES), graph.word),
            "_id" if own.is_empty() => "nadie".to_owned(),
            "_id" => dice.of(&own),
            _ if kind == "Encounter" => dice.of(&["finished", "planned"]).to_owned(),
            _ => dice.of(&["final", "amended"]).to_owned(),
        });
        Condition::Plain { code, modifier, values: values.collect() }
    }
}

struct Include {
    reverse: bool,
    iterate: bool,
    holder: &'static str,
    code: &'static str,
    target: Option<&'static str>,
}

impl Include {
    fn random(dice: &mut Dice, kind: &str) -> Include {
        let (reverse, iterate) = (dice.chance(50), dice.chance(40));
        let fits: Vec<_> = REFERENCES
            .iter()
            .filter(|(holder, _, to)| iterate || if reverse { to.contains(&kind) } else { *holder == kind })
            .collect();
        // A type at which nothing points, or that points at nothing.
        let Some((holder, code, to)) = (!fits.is_empty()).then(|| dice.of(&fits)) else {
            return Include { reverse: true, iterate: true, holder: "Provenance", code: "target", target: None };
        };
        let target = (dice.chance(30) && (iterate || !reverse)).then(|| dice.of(to));
        Include { reverse, iterate, holder, code, target }
    }

    fn text(&self) -> (String, String) {
        let name =
            format!("_{}include{}", if self.reverse { "rev" } else { "" }, if self.iterate { ":iterate" } else { "" });
        let target = self.target.map_or_else(String::new, |target| format!(":{target}"));
        (name, format!("{}:{}{target}", self.holder, self.code))
    }

    /// What it brings beside these.
    fn brings(&self, graph: &Graph, from: &BTreeSet<String>) -> BTreeSet<String> {
        let of_target =
            |reference: &String| self.target.is_none_or(|target| reference.starts_with(&format!("{target}/")));
        let holders = graph.all.iter().filter(|one| type_of(one) == self.holder);
        match self.reverse {
            false => holders
                .filter(|one| from.contains(&reference_of(one)))
                .flat_map(|one| points(one, self.code))
                .filter(|to| of_target(to) && graph.all.iter().any(|one| reference_of(one) == *to))
                .collect(),
            true => holders
                .filter(|one| points(one, self.code).iter().any(|to| from.contains(to) && of_target(to)))
                .map(reference_of)
                .collect(),
        }
    }
}

fn included(graph: &Graph, includes: &[Include], matches: &BTreeSet<String>) -> BTreeSet<String> {
    let (mut all, mut from) = (matches.clone(), matches.clone());
    for step in 0..=ITERATED {
        let due = includes.iter().filter(|include| step == 0 || include.iterate);
        let brought: BTreeSet<String> = due.flat_map(|include| include.brings(graph, &from)).collect();
        from = brought.difference(&all).cloned().collect();
        all.extend(from.iter().cloned());
    }
    all.difference(matches).cloned().collect()
}

// ---------------------------------------------------------------------- queries

fn of_mode(bundle: &Value, mode: &str) -> Vec<String> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    entries.filter(|entry| entry["search"]["mode"] == mode).map(|entry| reference_of(&entry["resource"])).collect()
}

async fn round(instance: &Instance, integracion: &Fhir, small: bool, dice: &mut Dice, proof: &mut Proof) {
    let whole = Graph::grow(integracion, dice).await;
    let patients: Vec<String> = whole.all.iter().filter(|one| type_of(one) == "Patient").map(reference_of).collect();
    let person = dice.of(&patients);
    let seen = whole.seen_by(&person);
    let documento = format!("CC-{}", unique());
    let (usuario, clave) = account(instance, "paciente", &documento, person.split('/').nth(1));
    let own = login(&instance.http(), &usuario, &clave).await;
    for _ in 0..QUERIES {
        let (caller, graph) = if dice.chance(25) { (&own, &seen) } else { (integracion, &whole) };
        let kind =
            dice.of(&["Organization", "Practitioner", "Patient", "Patient", "Encounter", "Observation", "Observation"]);
        let conditions: Vec<Condition> = (0..dice.roll(3))
            .map(|_| {
                let depth = dice.roll(DEPTH + 1);
                Condition::random(dice, &whole, kind, depth)
            })
            .collect();
        let includes: Vec<Include> = (0..dice.roll(3)).map(|_| Include::random(dice, kind)).collect();
        let matched =
            |one: &&Value| type_of(one) == kind && conditions.iter().all(|condition| condition.holds(graph, one));
        let matches: BTreeSet<String> = graph.all.iter().filter(matched).map(reference_of).collect();
        let expected = included(graph, &includes, &matches);

        let pairs = conditions.iter().map(Condition::text).chain(includes.iter().map(Include::text));
        let text = pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let path = format!("{kind}?_tag={}&_count=1000&{}", whole.word, encoded(&text));
        let reply = caller.get(path.trim_end_matches(['&', '='])).await;
        let bundle = reply.json();
        let found = |mode: &str| of_mode(&bundle, mode).into_iter().collect::<BTreeSet<String>>();
        let once = of_mode(&bundle, "match").len() + of_mode(&bundle, "include").len()
            == found("match").len() + found("include").len();
        proof.done(1);
        // Too many to name, and no way beside the row, or chains that lead to too many types: told so.
        let too_many =
            |what: &str| reply.status == 400 && reply.codes() == ["too-costly"] && reply.text().contains(what);
        if too_many("name the type") || small && too_many("limits.linked") {
            continue;
        }
        if reply.status != 200 || found("match") != matches || found("include") != expected || !once {
            let told = if reply.status == 200 { String::new() } else { reply.text() };
            let who = if std::ptr::eq(graph, &whole) { "integracion" } else { &person };
            let differs = |mode: &str, own: &BTreeSet<String>| format!("{mode}: found {:?}, not {own:?}", found(mode));
            proof.failed(&format!(
                "{who}: {kind}?{text}: {told} {}; {}",
                differs("match", &matches),
                differs("include", &expected)
            ));
        }
    }
}

/// Half of the graphs are on a server where a proof meets no limit of what a chain goes by, half on one whose chains go by three resources at most; both of
/// their own, for a chain goes by what others wrote too.
#[test]
fn proof_links() {
    let mut proof = Proof::new("links", 20_261_124, 2 * QUERIES, FULL);
    let usual = Start::dev().with("HISTORIA_LIMITS__LINKED", "10000").ready();
    let narrow = Start::dev().with("HISTORIA_LIMITS__LINKED", "3").ready();
    run(async {
        let mut dice = Dice(Random(proof.seed));
        while proof.goes_on() && proof.failures() < 20 {
            for (instance, small) in [(&usual, false), (&narrow, true)] {
                let integracion = signed_in(instance, "integracion").await;
                round(instance, &integracion, small, &mut dice, &mut proof).await;
            }
        }
        proof.ends(json!({}));
    });
}
