//! The same requests to an instance on plain PostgreSQL and to one on a Citus cluster: the answers are the same.
//!
//! `make test` sends 300 requests of a fixed seed, `make proof NAME=differential` 5,000 or more. Statuses, headers, ids (by
//! the order in which they were made), order, totals, pages and bodies are compared; what each server makes for itself
//! (ids, times, tokens of pages) is put into one language first (`world`). What is added to the server is compared by
//! itself as far as the registry of search parameters knows it; a new interaction is one more kind in `request`.

mod compare;
mod content;
mod request;
mod scope;
mod search;
mod tables;
mod world;

use crate::harness::cluster::cluster;
use crate::harness::data::{json_files, json_of, patient};
use crate::harness::database::{empty, own};
use crate::harness::fhir::{account, client_credentials, login};
use crate::harness::proof::Proof;
use crate::harness::{Fhir, Instance, Reply, Start, run, server, skip};
use compare::{BASE, Pages, difference};
use request::{Request, Visits};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};
use world::{Rng, SIDES, World};

/// Requests of `make test`.
const FEW: u64 = 300;
/// Requests of the proof, when nobody says how long it may take.
const MANY: u64 = 5_000;
/// Pages that are followed of one search.
const PAGES: usize = 12;
/// Differences that are told; then it ends.
const TOLD: usize = 10;
/// Younger than this a token is good.
const FRESH: Duration = Duration::from_secs(150);

/// One of the two servers.
struct Side {
    instance: Instance,
    logins: HashMap<&'static str, (String, String)>,
    callers: HashMap<&'static str, Fhir>,
    signed_in: Instant,
}

impl Side {
    /// A server on an empty database, with one caller of each role; the patient's is bound to the one given back.
    async fn on(url: &str) -> (Side, Value) {
        // Small limits: so that links and includes meet them with the few resources there are.
        let start = Start::serve(url).with("HISTORIA_HTTP__PUBLIC_URL", BASE).with("HISTORIA_LIMITS__LINKED", "6");
        let start = start.with("HISTORIA_LIMITS__INCLUDES", "25");
        let instance = start.with("HISTORIA_DATABASE__MIGRATE", "true").ready();
        let output = instance.command(&[
            "client",
            "add",
            "--id",
            "integracion",
            "--tipo",
            "confidential",
            "--rol",
            "integracion",
            "--json",
        ]);
        let client: Value = serde_json::from_slice(&output.stdout).expect("a client");
        let secret = client["secret"].as_str().expect("a secret").to_owned();
        let integration = client_credentials(&instance.http(), "integracion", &secret).await;
        let mut person = patient();
        person["identifier"][0]["value"] = "1000000001".into();
        let person = integration.create(person).await;
        let mut logins = HashMap::from([("integracion", ("integracion".to_owned(), secret))]);
        for (n, role) in ["medico", "admisionista", "resultados", "admin", "paciente"].into_iter().enumerate() {
            let bound = person["id"].as_str().filter(|_| role == "paciente");
            logins.insert(role, account(&instance, role, &format!("CC-100000000{n}"), bound));
        }
        let mut side = Side { instance, logins, callers: HashMap::new(), signed_in: Instant::now() };
        side.sign_in().await;
        (side, person)
    }

    async fn sign_in(&mut self) {
        let root = self.instance.http();
        self.callers = HashMap::from([("", Fhir::new(&root, None))]);
        for (role, (name, secret)) in &self.logins {
            let caller = match *role {
                "integracion" => client_credentials(&root, name, secret).await,
                _ => login(&root, name, secret).await,
            };
            self.callers.insert(role, caller);
        }
        self.signed_in = Instant::now();
    }

    /// Sends it and follows the pages.
    async fn answer(&self, side: usize, world: &World, request: &Request) -> Pages {
        let caller = &self.callers[request.role];
        let path = world.rendered(side, &request.path);
        let headers: Vec<(&str, String)> =
            request.headers.iter().map(|(name, value)| (*name, world.rendered(side, value))).collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = request.body.as_ref().map(|body| world.rendered(side, body).into_bytes());
        let mut replies = vec![caller.send(request.method, &path, &headers, body).await];
        let next = |reply: &Reply| match reply.status {
            200 if request.method != "HEAD" && reply.header("content-type").contains("json") => reply.link("next"),
            _ => None,
        };
        let mut complete = true;
        while let Some(next) = replies.last().and_then(next) {
            if replies.len() == PAGES {
                complete = false;
                break;
            }
            let path = next.strip_prefix(BASE).unwrap_or(&next).to_owned();
            replies.push(caller.get(&path).await);
        }
        Pages { replies, complete }
    }
}

/// Both servers, and what is known of them.
struct Pair {
    sides: [Side; 2],
    world: World,
    /// How often what was answered how: kind and status.
    counts: BTreeMap<(&'static str, u16), u64>,
    /// Searches that found something; that had several pages.
    found: [u64; 2],
}

impl Pair {
    async fn on(urls: [&str; 2]) -> Pair {
        let ((one, a), (other, b)) = tokio::join!(Side::on(urls[0]), Side::on(urls[1]));
        let mut world = World::default();
        world.learn("Patient", [&a, &b].map(|person| person["id"].as_str().expect("an id")));
        world.saw([&a, &b], true);
        Pair { sides: [one, other], world, counts: BTreeMap::new(), found: [0; 2] }
    }

    /// Sends a request to both; what differs, when something does.
    async fn ask(&mut self, request: &Request) -> Option<String> {
        for side in &mut self.sides {
            if side.signed_in.elapsed() > FRESH {
                side.sign_in().await;
            }
        }
        let [one, other] = &self.sides;
        let (a, b) = tokio::join!(one.answer(0, &self.world, request), other.answer(1, &self.world, request));
        for (a, b) in a.replies.iter().zip(&b.replies) {
            learn(&mut self.world, [a, b]);
        }
        if request.kind == "search" && a.replies[0].status == 200 {
            self.found[0] += u64::from(a.replies.iter().any(|reply| !reply.resources().is_empty()));
            self.found[1] += u64::from(a.replies.len() > 1);
        }
        *self.counts.entry((request.kind, a.replies[0].status)).or_default() += 1;
        difference(&self.world, request.order, &[a, b])
    }

    /// The composed histories, as transactions.
    async fn load(&mut self, proof: &mut Proof) {
        let files = json_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fhir/muestra"));
        for file in &files[..if proof.full { files.len() } else { 3 }] {
            let request = Request::new("sample", "integracion", "POST", "").body(&json_of(file));
            self.told(proof, &request).await;
        }
    }

    async fn told(&mut self, proof: &mut Proof, request: &Request) {
        proof.done(1);
        if let Some(difference) = self.ask(request).await {
            let body: String = request.body.iter().flat_map(|body| body.chars()).take(600).collect();
            let Request { kind, role, method, path, headers, .. } = request;
            proof.failed(&format!("{kind} as {role}: {method} {path} {headers:?} {body}\n  {difference}"));
        }
    }
}

/// Takes over what both have made, and the versions that both have shown.
fn learn(world: &mut World, replies: [&Reply; 2]) {
    let bodies = replies.map(|reply| serde_json::from_slice::<Value>(&reply.body).unwrap_or_default());
    let locations = replies.map(|reply| reply.header("location"));
    pair(world, locations);
    let entries = SIDES.map(|side| bodies[side]["entry"].as_array().cloned().unwrap_or_default());
    for (a, b) in entries[0].iter().zip(&entries[1]) {
        pair(world, [a, b].map(|entry| entry["response"]["location"].as_str().unwrap_or_default()));
    }
    let resources = SIDES.map(|side| -> Vec<&Value> {
        entries[side]
            .iter()
            .map(|entry| &entry["resource"])
            .chain([&bodies[side]])
            .filter(|one| one["id"].is_string())
            .collect()
    });
    // What neither knows came by a message; one of its type on each side is the same.
    let unknown = SIDES.map(|side| {
        let mut of_type: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for one in &resources[side] {
            let (Some(resource_type), Some(id)) = (one["resourceType"].as_str(), one["id"].as_str()) else { continue };
            if resource_type != "Bundle" && !world.is_known(side, id) {
                of_type.entry(resource_type).or_default().push(id);
            }
        }
        of_type
    });
    for (resource_type, ids) in &unknown[0] {
        if let ([a], Some([b])) = (ids.as_slice(), unknown[1].get(resource_type).map(Vec::as_slice)) {
            world.learn(resource_type, [a, b]);
        }
    }
    for (a, b) in resources[0].iter().zip(&resources[1]) {
        let [known_a, known_b] =
            [(0, a), (1, b)].map(|(side, one)| world.canonical(side, one["id"].as_str().unwrap_or("")));
        if known_a == known_b {
            world.saw([a, b], entries[0].is_empty() && !locations[0].is_empty());
        }
    }
}

/// `[base/]Type/id/_history/n` of both sides.
fn pair(world: &mut World, locations: [&str; 2]) {
    let parts = locations
        .map(|location| location.trim_start_matches(BASE).trim_start_matches("/fhir/").split('/').collect::<Vec<_>>());
    if let ([a, id_a, ..], [b, id_b, ..]) = (parts[0].as_slice(), parts[1].as_slice())
        && a == b
    {
        world.learn(a, [id_a, id_b]);
    }
}

/// Kinds and statuses without which the comparison would have compared little; the first ones in `make test` too.
const MUST: [(&str, u16); 24] = [
    ("create", 201),
    ("update", 200),
    ("delete", 204),
    ("read", 200),
    ("history", 200),
    ("transaction", 200),
    ("search", 200),
    ("everything", 200),
    ("hl7", 200),
    ("create", 422),
    ("create", 403),
    ("update", 412),
    ("update as create", 201),
    ("delete", 409),
    ("read", 404),
    ("conditional create", 201),
    ("conditional create", 200),
    ("search", 400),
    ("scope", 200),
    ("scope", 400),
    ("patch", 200),
    ("patch", 422),
    ("conditional write", 201),
    ("conditional write", 200),
];
const MUST_SOON: usize = 9;

#[test]
fn proof_differential() {
    let Some(cluster) = cluster() else { return skip("citus", "extension not installed") };
    let mut proof = Proof::new("differential", 20_261_124, FEW, MANY);
    run(async {
        let (plain, many) = (empty(&server().database_url()), own(&cluster.url));
        let mut pair = Pair::on([&plain, &many]).await;
        pair.load(&mut proof).await;
        let (mut rng, mut visits) = (Rng(proof.seed), Visits::new());
        while proof.goes_on() && proof.failures() < TOLD {
            for request in request::next(&mut rng, &mut pair.world, &mut visits) {
                pair.told(&mut proof, &request).await;
            }
        }
        let differing = tables::differing([&plain, &many]).await;
        if proof.failures() < TOLD && !differing.is_empty() {
            proof.failed(&format!("other rows at the end:\n  {}", differing.join("\n  ")));
        }
        for ((kind, status), n) in &pair.counts {
            println!("{kind} {status}: {n}");
        }
        let resources = pair.world.known.len();
        let [found, paged] = pair.found;
        println!(
            "{resources} resources on each side, {} requests; {found} searches found something, {paged} had several pages",
            proof.n()
        );
        let missing: Vec<_> = MUST[..if proof.full { MUST.len() } else { MUST_SOON }]
            .iter()
            .filter(|must| !pair.counts.contains_key(*must))
            .collect();
        if proof.failures() < TOLD && !missing.is_empty() {
            proof.failed(&format!("no request was answered so: {missing:?}"));
        }
    });
    proof.ends(serde_json::Value::Null);
}
