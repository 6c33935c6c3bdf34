//! Nodes that come, go, die and freeze. Each test has nodes of its own.

use crate::harness::cluster::Cluster;
use crate::harness::data::{bundle, entry, patient, patient_with, weight};
use crate::harness::database::{connect, count, rows};
use crate::harness::fhir::signed_in;
use crate::harness::hl7::{Visit, accepted, code};
use crate::harness::instance::{Instance, command};
use crate::harness::mllp::{Mllp, framed};
use crate::harness::proof::{Proof, Random};
use crate::harness::{Fhir, Start, run, skip, unique};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn on(cluster: &Cluster, arguments: &[&str]) -> (i32, String) {
    let all: Vec<&str> = ["cluster"].iter().chain(arguments).copied().collect();
    let output = command(&all, &[("DATABASE_URL", &cluster.url), ("HISTORIA_CLUSTER__PATIENCE", "5 s")], "");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().expect("an exit code"), text)
}

fn status(cluster: &Cluster) -> (i32, Value) {
    let (code, text) = on(cluster, &["status", "--json"]);
    (code, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
}

fn shards(status: &Value) -> Vec<i64> {
    status["nodes"].as_array().unwrap().iter().map(|node| node["shards"].as_i64().unwrap()).collect()
}

#[test]
fn commands_make_grow_and_shrink_a_cluster() {
    let Some(cluster) = Cluster::nodes(3) else {
        return skip("commands_make_grow_and_shrink_a_cluster", "extension not installed");
    };
    let nodes: Vec<String> = (0..4).map(|node| cluster.address(node)).collect();
    let (exit, text) = on(&cluster, &["init"]);
    assert_eq!(exit, 2, "{text}");
    assert!(text.contains("--worker"), "{text}");
    let (exit, text) = on(&cluster, &["rebalance"]);
    assert_eq!((exit, text.contains("cluster init")), (1, true), "{text}");
    // Two at once, then once more: one cluster.
    let init = ["init", "--worker", &nodes[1], "--worker", &nodes[2], "--json"];
    let both = std::thread::scope(|scope| {
        let two = [scope.spawn(|| on(&cluster, &init)), scope.spawn(|| on(&cluster, &init))];
        two.map(|thread| thread.join().unwrap())
    });
    for (exit, text) in both.iter().chain([&on(&cluster, &init)]) {
        assert_eq!(*exit, 0, "{text}");
        let made: Value = serde_json::from_str(text).unwrap();
        assert_eq!((&made["coordinator"], &made["shards"]), (&json!(nodes[0]), &json!(12)));
        assert_eq!(made["workers"], json!([nodes[1], nodes[2]]));
    }
    let (exit, found) = status(&cluster);
    assert_eq!((exit, shards(&found), &found["advice"]), (0, vec![0, 6, 6], &json!([])));
    run(async {
        let client = connect(&cluster.url).await.unwrap();
        client.batch_execute("insert into usuario select 'CC-' || n, gen_random_uuid(), n::text, 'X', 'medico', 'activo', null, now(), now() from generate_series(1, 500) n").await.unwrap();
    });
    for command in ["add-node", "drain-node", "add-node", "add-node"] {
        let (exit, text) = on(&cluster, &[command, &nodes[3]]);
        assert_eq!(exit, 0, "{command}: {text}");
    }
    let (_, found) = status(&cluster);
    assert!(found["advice"][0].as_str().unwrap().contains("cluster rebalance"), "{found}");
    let (exit, text) = on(&cluster, &["rebalance"]);
    assert_eq!((exit, text.contains("4 shards moved")), (0, true), "{text}");
    assert_eq!(shards(&status(&cluster).1), [0, 4, 4, 4]);
    for (arguments, expected) in [(["drain-node", &nodes[0]], 1), (["drain-node", "127.0.0.1:1"], 1)] {
        assert_eq!(on(&cluster, &arguments).0, expected, "{arguments:?}");
    }
    run(async {
        let client = connect(&cluster.url).await.unwrap();
        assert_eq!(count(&client, "select count(*) from usuario", &[]).await, 500);
    });
    cluster.signal(3, "KILL");
    let (exit, found) = status(&cluster);
    assert_eq!(exit, 5, "what does not answer is told: {found}");
    assert!(found["advice"][0].as_str().unwrap().contains(&nodes[3]), "{found}");
    cluster.signal(0, "KILL");
    assert_eq!(on(&cluster, &["status"]).0, 4);
}

#[test]
fn a_node_without_its_settings_is_named() {
    let Some(cluster) = Cluster::nodes(1) else {
        return skip("a_node_without_its_settings_is_named", "extension not installed");
    };
    run(async {
        let client = connect(&cluster.url.replace("/historia", "/postgres")).await.unwrap();
        client.batch_execute("alter system set wal_level = 'replica'").await.unwrap();
    });
    cluster.signal(0, "KILL");
    cluster.start(0);
    let (exit, text) = on(&cluster, &["init", "--worker", &cluster.address(1)]);
    assert_eq!(exit, 1, "{text}");
    assert!(text.contains(&cluster.address(0)) && text.contains("alter system set wal_level"), "{text}");
    assert!(!text.contains(&format!("{}: ", cluster.address(1))), "{text}");
}

// ------------------------------------------------------------------ under load

/// What was asked of which node, and what became of it.
#[derive(Default)]
struct Tally {
    counts: Mutex<BTreeMap<(&'static str, u16), usize>>,
    failures: Mutex<Vec<String>>,
    asked: AtomicUsize,
    /// Observations, and pairs of them in one transaction, that were acknowledged or not; and message control ids.
    observations: Mutex<Vec<String>>,
    pairs: Mutex<Vec<(String, bool)>>,
    messages: Mutex<Vec<(usize, String, bool)>>,
}

impl Tally {
    fn add(&self, what: &'static str, status: u16) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        *self.counts.lock().unwrap().entry((what, status)).or_default() += 1;
    }

    fn fail(&self, text: String) {
        self.failures.lock().unwrap().push(text);
    }
}

/// What is wrong with the nodes just now.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Weather {
    Fine,
    /// This worker is away, or was until a moment ago.
    Without(usize),
    /// The coordinator is, or was; or shards move.
    Rough,
}

struct Ground {
    fhir: Fhir,
    mllp: String,
    /// Patients with the node that holds each.
    patients: Vec<(String, usize)>,
    visits: Vec<Visit>,
    weather: Mutex<Weather>,
    stop: AtomicBool,
    tally: Tally,
}

async fn holder(cluster: &Cluster, documento: &str) -> usize {
    let client = connect(&cluster.url).await.unwrap();
    let port = "select nodeport::int8 from citus_shards where table_name = 'resource'::regclass and shardid = get_shard_id_for_distribution_column('resource', $1::text)";
    let port: i64 = rows(&client, port, &[&documento]).await[0].get(0);
    (0..4).find(|node| i64::from(cluster.port(*node)) == port).unwrap()
}

impl Ground {
    async fn of(cluster: &Cluster, instance: &Instance) -> Ground {
        let fhir = signed_in(instance, "medico").await;
        let mut patients = Vec::new();
        while [1, 2].iter().any(|node| patients.iter().filter(|(_, at)| at == node).count() < 4) {
            let number = unique();
            let id = fhir.post("Patient", &patient_with(&number)).await.expect(201).id();
            patients.push((id, holder(cluster, &format!("CC-{number}")).await));
        }
        let visits: Vec<Visit> = (0..6).map(|_| Visit::new()).collect();
        let mut mllp = Mllp::connect(&instance.mllp()).await;
        for visit in &visits {
            let control = unique();
            accepted(&mllp.ask(visit.a01(&control).as_bytes()).await, &control);
        }
        let (mllp, weather) = (instance.mllp(), Mutex::new(Weather::Fine));
        Ground { fhir, mllp, patients, visits, weather, stop: AtomicBool::new(false), tally: Tally::default() }
    }

    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap()
    }

    /// A request about patients of `nodes`: 503 is right only while one of those is away.
    async fn ask(&self, what: &'static str, nodes: &[usize], method: &str, path: &str, body: Option<&Value>) -> u16 {
        let before = self.weather();
        let body = body.map(|body| body.to_string().into_bytes());
        let reply = self.fhir.send(method, path, &[("content-type", "application/fhir+json")], body).await;
        let after = self.weather();
        self.tally.add(what, reply.status);
        let excused = |weather: Weather| match weather {
            Weather::Fine => false,
            Weather::Without(node) => nodes.contains(&node),
            Weather::Rough => true,
        };
        match reply.status {
            200 | 201 => {}
            503 if excused(before) || excused(after) => {
                if reply.header("retry-after").is_empty() {
                    self.tally.fail(format!("{what}: 503 without Retry-After"));
                }
            }
            status => {
                self.tally.fail(format!("{what} of {nodes:?}: {status} in {before:?}..{after:?}: {}", reply.text()))
            }
        }
        reply.status
    }

    async fn requests(&self, seed: u64) {
        let mut random = Random(seed);
        while !self.stop.load(Ordering::Relaxed) {
            // Load, not a race for the processor: others run beside this.
            tokio::time::sleep(Duration::from_millis(40)).await;
            let (one, at) = random.of(&self.patients).clone();
            match random.below(5) {
                0 => drop(self.ask("read", &[at], "GET", &format!("Patient/{one}"), None).await),
                1 => {
                    let path = format!("Observation?patient={one}&_count=3");
                    self.ask("search", &[at], "GET", &path, None).await;
                }
                2 => {
                    let tag = format!("o-{}", unique());
                    let observation = tagged(&one, &tag);
                    if self.ask("create", &[at], "POST", "Observation", Some(&observation)).await == 201 {
                        self.tally.observations.lock().unwrap().push(tag);
                    }
                }
                3 => drop(self.ask("new patient", &[1, 2, 3], "POST", "Patient", Some(&patient())).await),
                _ => {
                    let (other, beside) = random.of(&self.patients).clone();
                    let tag = format!("p-{}", unique());
                    let entries = [&one, &other].map(|of| entry("POST", "Observation", None, Some(tagged(of, &tag))));
                    let body = bundle("transaction", entries.to_vec());
                    let done = self.ask("pair", &[at, beside], "POST", "", Some(&body)).await == 200;
                    self.tally.pairs.lock().unwrap().push((tag, done));
                }
            }
        }
    }

    async fn messages(&self, seed: u64) {
        let mut random = Random(seed);
        let mut mllp = Mllp::connect(&self.mllp).await;
        while !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(40)).await;
            let (n, control) = (random.below(self.visits.len()), unique());
            mllp.packet(&framed(self.message(n, &control).as_bytes())).await;
            let answer = mllp.answer().await;
            let taken = answer.as_ref().is_some_and(|ack| code(ack) == ("AA".to_owned(), control.clone()));
            if answer.is_none() {
                mllp = Mllp::connect(&self.mllp).await;
            }
            self.tally.add(if taken { "message AA" } else { "message not AA" }, 0);
            if !taken && self.weather() == Weather::Fine {
                let text = answer.map(|ack| String::from_utf8_lossy(&ack).into_owned());
                self.tally.fail(format!("a message in fine weather: {text:?}"));
            }
            self.tally.messages.lock().unwrap().push((n, control, taken));
        }
    }

    fn message(&self, n: usize, control: &str) -> String {
        self.visits[n].a08(control, &format!("CALLE {control}"))
    }

    fn becomes(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    /// How many Observations carry each of these.
    async fn tagged(&self, tags: &[String]) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for some in tags.chunks(100) {
            let any: Vec<String> = some.iter().map(|tag| format!("urn:test|{tag}")).collect();
            let reply =
                self.fhir.get(&format!("Observation?_count=1000&identifier={}", any.join(","))).await.expect(200);
            for observation in reply.resources() {
                *found.entry(observation["identifier"][0]["value"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        found
    }

    /// What was acknowledged is there, and nothing is there by half.
    async fn check(&self, cluster: &Cluster) {
        let observations = self.tally.observations.lock().unwrap().clone();
        let found = self.tagged(&observations).await;
        for tag in &observations {
            if found.get(tag) != Some(&1) {
                self.tally.fail(format!("an acknowledged Observation is there {:?} times", found.get(tag)));
            }
        }
        let pairs = self.tally.pairs.lock().unwrap().clone();
        let found = self.tagged(&pairs.iter().map(|(tag, _)| tag.clone()).collect::<Vec<_>>()).await;
        for (tag, done) in pairs {
            let there = found.get(&tag).copied().unwrap_or(0);
            if there != 2 && (done || there != 0) {
                self.tally.fail(format!("a transaction of two, acknowledged {done}, is there {there} times"));
            }
        }
        let client = connect(&cluster.url).await.unwrap();
        let mut mllp = Mllp::connect(&self.mllp).await;
        let messages = self.tally.messages.lock().unwrap().clone();
        for (n, control, taken) in messages {
            if !taken {
                // The sender tries again until it is taken.
                accepted(&mllp.ask(self.message(n, &control).as_bytes()).await, &control);
            }
            let applied = "select count(*) from hl7_message where control_id = $1 and state = 'applied'";
            let applied = count(&client, applied, &[&control]).await;
            if applied != 1 {
                self.tally.fail(format!("a message, taken at once {taken}, was applied {applied} times"));
            }
        }
        let half =
            "select sum(result::int)::int8 from run_command_on_all_nodes('select count(*) from pg_prepared_xacts')";
        let half: i64 = rows(&client, half, &[]).await[0].get(0);
        if half != 0 {
            self.tally.fail(format!("{half} commits were left half-way"));
        }
    }
}

fn tagged(patient: &str, tag: &str) -> Value {
    let mut observation = weight(&format!("Patient/{patient}"), "2024-05-06");
    observation["identifier"] = json!([{"system": "urn:test", "value": tag}]);
    observation
}

/// Waits until everybody is served again; how long that took.
async fn served(ground: &Ground) -> Duration {
    let started = Instant::now();
    loop {
        let mut all = true;
        for (patient, _) in &ground.patients {
            all &= ground.fhir.get(&format!("Patient/{patient}")).await.status == 200;
        }
        if all {
            return started.elapsed();
        }
        assert!(started.elapsed() < Duration::from_secs(60), "not served again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A node goes away for a while, under load.
async fn storm(cluster: &Cluster, ground: &Ground, node: usize, signal: &str, away: Duration) -> Duration {
    ground.becomes(if node == 0 { Weather::Rough } else { Weather::Without(node) });
    cluster.signal(node, signal);
    tokio::time::sleep(away).await;
    if node > 0 {
        for (patient, at) in &ground.patients {
            let status = ground.fhir.get(&format!("Patient/{patient}")).await.status;
            if (*at == node) != (status == 503) {
                ground.tally.fail(format!("{signal} of {node}: {status} for a patient of {at}"));
            }
        }
    }
    match signal {
        "KILL" => cluster.start(node),
        _ => cluster.signal(node, "CONT"),
    }
    let back = served(ground).await;
    println!("{signal} of node {node}: served again after {back:?}");
    if back > Duration::from_secs(30) {
        ground.tally.fail(format!("{signal} of {node}: served again after {back:?}"));
    }
    // What began while it was away may still end.
    tokio::time::sleep(Duration::from_secs(3)).await;
    ground.becomes(Weather::Fine);
    tokio::time::sleep(Duration::from_secs(2)).await;
    back
}

/// kill -9 and SIGSTOP of each node in turn under mixed load, and in full a third worker that comes in.
#[test]
fn proof_cluster() {
    let mut proof = Proof::new("cluster", 1, 1, 3);
    let Some(cluster) = Cluster::own(2) else { return skip("proof_cluster", "extension not installed") };
    let joining = proof.full.then(|| Cluster::nodes(0)).flatten();
    let instance = Start::dev().with("DATABASE_URL", &cluster.url).ready();
    run(async {
        let ground = Arc::new(Ground::of(&cluster, &instance).await);
        let mut load = Vec::new();
        for n in 0..6 {
            let (ground, seed) = (ground.clone(), proof.seed * 100 + n);
            load.push(tokio::spawn(async move {
                if n < 5 { ground.requests(seed).await } else { ground.messages(seed).await }
            }));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let all = [(1, "KILL"), (2, "STOP"), (0, "KILL"), (1, "STOP"), (2, "KILL"), (0, "STOP")];
        let storms = if proof.full { &all[..] } else { &all[..3] };
        let away = Duration::from_secs(if proof.full { 12 } else { 6 });
        let mut back = BTreeMap::new();
        let mut rounds = 0;
        loop {
            for (node, signal) in storms {
                let took = storm(&cluster, &ground, *node, signal, away).await.as_secs_f64();
                let slowest = back.entry(format!("{signal} of node {node}")).or_insert(took);
                *slowest = took.max(*slowest);
            }
            rounds += 1;
            if !proof.full || proof.is_over() || rounds >= 3 {
                break;
            }
        }
        let mut moved = Value::Null;
        if let Some(joining) = &joining {
            ground.becomes(Weather::Rough);
            let node = joining.address(0);
            let (added, rebalanced) =
                tokio::task::block_in_place(|| (on(&cluster, &["add-node", &node]), on(&cluster, &["rebalance"])));
            for (exit, text) in [&added, &rebalanced] {
                if *exit != 0 {
                    ground.tally.fail(text.clone());
                }
            }
            moved = rebalanced.1.into();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        ground.stop.store(true, Ordering::Relaxed);
        for task in load {
            task.await.unwrap();
        }
        ground.becomes(Weather::Fine);
        ground.check(&cluster).await;
        let counts = ground.tally.counts.lock().unwrap();
        let counts: BTreeMap<String, usize> =
            counts.iter().map(|((what, status), n)| (format!("{what} {status}"), *n)).collect();
        let acknowledged = (ground.tally.observations.lock().unwrap().len(), ground.tally.pairs.lock().unwrap().len());
        let counts = json!({
            "answers": counts, "rounds": rounds, "slowest_return_seconds": back, "rebalance": moved,
            "observations_acknowledged": acknowledged.0, "transactions": acknowledged.1,
        });
        println!("{counts}");
        for failure in ground.tally.failures.lock().unwrap().iter() {
            proof.failed(failure);
        }
        proof.done(ground.tally.asked.load(Ordering::Relaxed) as u64);
        proof.ends(counts);
    });
}
