//! What concerns one record goes to the node that holds it, and stays right while shards move and nodes leave.

use crate::harness::cluster::Cluster;
use crate::harness::data::{bundle, entry, patient, patient_with, weight};
use crate::harness::database::{connect, count, rows};
use crate::harness::fhir::signed_in;
use crate::harness::instance::command;
use crate::harness::{Fhir, Start, run, skip, unique};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// Statements of the server on a node itself that name a shard, and those that write.
async fn seen(node: &Client) -> (i64, i64) {
    let own =
        "select count(*) from pg_stat_activity where application_name = 'historia' and backend_type = 'client backend'";
    let reads = count(node, &format!("{own} and query ~ 'from resource_[0-9]+ where'"), &[]).await;
    let writes = count(node, &format!("{own} and query ~ 'groupid = [0-9]+; commit$'"), &[]).await;
    (reads, writes)
}

/// Where a document lies: (shard of `resource`, port).
async fn place(coordinator: &Client, number: &str) -> (i64, i64) {
    let sql = "select shardid, nodeport::int8 from citus_shards where table_name = 'resource'::regclass and shardid = get_shard_id_for_distribution_column('resource', 'CC-' || $1::text)";
    let row = &rows(coordinator, sql, &[&number]).await[0];
    (row.get(0), row.get(1))
}

/// Waits until the server goes to the node itself.
async fn until_direct(fhir: &Fhir, at: &str, node: &Client) {
    let started = Instant::now();
    while seen(node).await.0 == 0 {
        fhir.get(at).await.expect(200);
        assert!(started.elapsed() < Duration::from_secs(20), "the node itself is never asked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn work_on_one_record_goes_to_its_node() {
    let Some(cluster) = Cluster::own(2) else {
        return skip("work_on_one_record_goes_to_its_node", "extension not installed");
    };
    let instance = Start::dev().with("DATABASE_URL", &cluster.url).ready();
    run(async {
        let fhir = signed_in(&instance, "medico").await;
        let coordinator = connect(&cluster.url).await.unwrap();
        let number = unique();
        let ana = fhir.post("Patient", &patient_with(&number)).await.expect(201).id();
        let (shard, port) = place(&coordinator, &number).await;
        let at = format!("Patient/{ana}");
        let port = u16::try_from(port).unwrap();
        let node = connect(&format!("postgres://postgres@127.0.0.1:{port}/historia")).await.unwrap();
        until_direct(&fhir, &at, &node).await;
        let observation = fhir.post("Observation", &weight(&at, "2024-05-06")).await.expect(201).json();
        let one = format!("Observation/{}", observation["id"].as_str().unwrap());
        fhir.put(&one, &observation).await.expect(200);
        assert!(seen(&node).await.1 > 0, "writes go to the node itself");
        assert_eq!(fhir.get(&format!("Observation?patient={ana}")).await.expect(200).ids().len(), 1);
        assert_eq!(fhir.get(&format!("{one}/_history")).await.expect(200).ids().len(), 2);
        assert_eq!(fhir.get(&format!("{one}/_history/1")).await.expect(200).version(), 1);
        assert_eq!(fhir.get(&format!("{at}/$everything")).await.expect(200).resources().len(), 2);
        let six = vec![entry("POST", "Observation", None, Some(weight(&at, "2024-05-06"))); 6];
        fhir.post("", &bundle("transaction", six)).await.expect(200);
        assert_eq!(fhir.get(&format!("Observation?patient={ana}")).await.expect(200).ids().len(), 7);
        let trail = "select count(*) from audit_event where patient_id = $1 and action in ('create', 'update', 'search-type', 'history-instance', 'vread', 'operation')";
        assert_eq!(count(&coordinator, trail, &[&ana]).await, 1 + 1 + 1 + 6 + 5, "the trail is complete");

        // Two at once change what they read: one is told.
        let stale = fhir.put_with(&one, &[("If-Match", "W/\"1\"")], &observation).await;
        assert_eq!(stale.status, 412);
        // A chosen id, and the same one at once on both ways in.
        let mut chosen = patient();
        let id = format!("elegida-{}", unique());
        chosen["id"] = id.as_str().into();
        let path = format!("Patient/{id}");
        let both = tokio::join!(fhir.put(&path, &chosen), fhir.put(&path, &chosen));
        let mut statuses = [both.0.status, both.1.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201]);

        moving(&fhir, &cluster, &coordinator, (&ana, &one, &observation), (shard, port)).await;
        leaving(&fhir, &cluster, &coordinator, (&ana, &one, &observation)).await;
    });
}

/// The shard of a patient moves there and back while its rows are written and read: nobody sees what was before.
async fn moving(
    fhir: &Fhir,
    cluster: &Cluster,
    coordinator: &Client,
    (patient, one, observation): (&str, &str, &Value),
    (shard, port): (i64, u16),
) {
    let stop = Arc::new(AtomicBool::new(false));
    let (wrong, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let load = tokio::spawn({
        let (fhir, patient, one, observation) = (fhir.clone(), patient.to_owned(), one.to_owned(), observation.clone());
        let (stop, wrong, done) = (stop.clone(), wrong.clone(), done.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                let written = fhir.put(&one, &observation).await;
                let read = fhir.get(&one).await;
                let found = fhir.get(&format!("Observation?patient={patient}&_sort=-_lastUpdated&_count=1")).await;
                // The writes of a shard wait for the last moment of its move, and are then told to come again.
                if written.status != 200 {
                    assert_eq!(written.status, 503, "{}", written.text());
                    continue;
                }
                let version = written.version();
                let newest = found.resources()[0]["meta"]["versionId"].as_str().unwrap().parse::<i64>().unwrap();
                if read.version() != version || newest != version {
                    wrong.fetch_add(1, Ordering::Relaxed);
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let other = if cluster.port(1) == port { cluster.port(2) } else { cluster.port(1) };
    let mut ways = vec![(port, other), (other, port)];
    ways.extend(ways.clone());
    for (n, (from, to)) in ways.into_iter().enumerate() {
        let mode = if n < 2 { "force_logical" } else { "block_writes" };
        let go =
            format!("select citus_move_shard_placement({shard}, '127.0.0.1', {from}, '127.0.0.1', {to}, '{mode}')");
        coordinator.batch_execute(&go).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    assert_eq!(wrong.load(Ordering::Relaxed), 0, "what was written is what is read");
    assert!(done.load(Ordering::Relaxed) > 10, "{done:?} rounds");
}

/// A node is drained and leaves: what it is still asked for a moment it neither answers nor takes.
async fn leaving(
    fhir: &Fhir,
    cluster: &Cluster,
    coordinator: &Client,
    (patient, one, observation): (&str, &str, &Value),
) {
    let drain = std::thread::scope(|scope| {
        let address = cluster.address(1);
        let url = cluster.url.clone();
        let thread = scope.spawn(move || command(&["cluster", "drain-node", &address], &[("DATABASE_URL", &url)], ""));
        thread.join().unwrap()
    });
    assert!(drain.status.success(), "{}", String::from_utf8_lossy(&drain.stderr));
    let version = fhir.put(one, observation).await.expect(200).version();
    assert_eq!(fhir.get(one).await.expect(200).version(), version);
    let stored = "select max(version) from resource where documento_id = (select documento_id from record where patient_id = $1) and resource_type = 'Observation'";
    assert_eq!(count(coordinator, stored, &[&patient]).await, version);
    for _ in 0..20 {
        let number = unique();
        let id = fhir.post("Patient", &patient_with(&number)).await.expect(201).id();
        fhir.post("Observation", &weight(&format!("Patient/{id}"), "2024-05-06")).await.expect(201);
        let there = "select count(*) from resource where documento_id = 'CC-' || $1::text";
        assert_eq!(count(coordinator, there, &[&number]).await, 2, "what is acknowledged is there");
    }
}

#[test]
fn everything_may_go_through_the_coordinator() {
    let Some(cluster) = crate::harness::cluster::cluster() else {
        return skip("everything_may_go_through_the_coordinator", "extension not installed");
    };
    let instance = Start::dev().with("DATABASE_URL", &cluster.url).with("HISTORIA_CLUSTER__DIRECT", "off").ready();
    run(async {
        let fhir = signed_in(&instance, "medico").await;
        let ana = fhir.post("Patient", &patient()).await.expect(201).id();
        let about = format!("Patient/{ana}");
        let id = fhir.post("Observation", &weight(&about, "2024-05-06")).await.expect(201).id();
        fhir.get(&format!("Observation/{id}")).await.expect(200);
        assert_eq!(fhir.get(&format!("Observation?patient={ana}")).await.expect(200).ids().len(), 1);
    });
}
