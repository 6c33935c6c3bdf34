//! `historia copy`: the whole installation from one node to another place and back, interrupted and gone on with.

use crate::harness::cluster::cluster;
use crate::harness::database::{connect, count, empty, own, rows};
use crate::harness::fhir::signed_in;
use crate::harness::instance::command;
use crate::harness::{Fhir, Instance, Start, run, skip};
use serde_json::Value;
use std::process::Output;

/// The report of a copy that has to end with this code.
fn copied(from: &str, to: &str, code: i32) -> Value {
    let output = command(&["copy", "--to", to, "--json"], &[("DATABASE_URL", from)], "");
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a report")
}

fn refused(output: &Output, code: i32, word: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && text.contains(word), "{:?}: {text}", output.status);
}

/// What a caller of each role gets to many questions, as bytes.
async fn answers(instance: &Instance, ids: &[(String, String)]) -> Vec<(String, u16, String)> {
    let mut all = Vec::new();
    for role in ["medico", "paciente"] {
        let caller = signed_in(instance, role).await;
        for (name, id) in ids.iter().take(if role == "medico" { usize::MAX } else { 40 }) {
            for path in [format!("{name}/{id}"), format!("{name}/{id}/_history")] {
                let reply = caller.get(&path).await;
                all.push((format!("{role} {path}"), reply.status, answered(&reply.text())));
            }
        }
        for query in SEARCHES {
            let reply = caller.get(query).await;
            all.push((format!("{role} {query}"), reply.status, answered(&reply.text())));
        }
    }
    all
}

/// What was answered; the identity and the minute of a Bundle are its own.
fn answered(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(bundle) if bundle["resourceType"] == "Bundle" => bundle["entry"].to_string(),
        _ => text.to_owned(),
    }
}

const SEARCHES: [&str; 8] = [
    "Patient?family=muñoz&_sort=-_lastUpdated",
    "Observation?code=2823-3&_sort=-date&_count=50",
    "Observation?value-quantity=gt5&_count=50",
    "Condition?clinical-status=active",
    "Encounter?date=ge2026-01-01&_count=100",
    "MedicationRequest?status=active",
    "DiagnosticReport?_count=100",
    "AllergyIntolerance?_count=100",
];

/// Every resource that a médico finds.
async fn everything(caller: &Fhir) -> Vec<(String, String)> {
    let mut ids = Vec::new();
    for name in ["Patient", "Encounter", "Observation", "Condition", "MedicationRequest", "DiagnosticReport"] {
        for resource in caller.all(&format!("{name}?_count=200")).await.into_iter().flatten() {
            ids.push((name.to_owned(), resource["id"].as_str().unwrap().to_owned()));
        }
    }
    ids
}

/// One after the other: the servers serve, so nothing may write while rows are compared.
fn walk(source: &Instance, targets: &[String]) {
    run(async {
        let ids = everything(&signed_in(source, "medico").await).await;
        assert!(ids.len() > 300, "{} resources in the sample", ids.len());
        let expected = answers(source, &ids).await;
        let mut from = source.database_url();
        for to in targets {
            let report = copied(&from, to, 0);
            assert!(report["equal"] == true && report["resumed"] == false, "{report}");
            assert!(report["tables"]["resource"]["rows"].as_i64() >= Some(ids.len() as i64), "{report}");
            assert!(report["tables"]["audit_event"]["rows"].as_i64() > Some(100), "{report}");
            assert!(report["tables"]["resource_history"]["rows"].as_i64() > Some(0), "{report}");
            refused(&command(&["copy", "--to", to], &[("DATABASE_URL", &from)], ""), 1, "already holds records");
            // The accounts, the keys of the tokens and the hashes of the search values went over: the same questions get
            // the same answers, under the same sign-ins.
            let mut other = Start::serve(to).with("HISTORIA_HTTP__PUBLIC_URL", &source.http()).ready();
            other.ready["logins"] = source.ready["logins"].clone();
            let got = answers(&other, &ids).await;
            let differing: Vec<&String> =
                expected.iter().zip(&got).filter(|(a, b)| a != b).map(|((path, ..), _)| path).collect();
            let some = &differing[..differing.len().min(5)];
            assert!(differing.is_empty() && expected.len() == got.len(), "{} differ: {some:?}", differing.len());
            drop(other);
            from = to.clone();
        }
        println!("{} answers equal on {} copies", expected.len(), targets.len());
    });
}

#[test]
fn a_copy_answers_as_the_original() {
    let source = Start::dev().ready();
    let to = own(&source.database_url());
    walk(&source, &[to]);
}

#[test]
fn a_cluster_and_back() {
    let Some(cluster) = cluster() else { return skip("a_cluster_and_back", "extension not installed") };
    let source = Start::dev().ready();
    let there = own(&cluster.url);
    let back = own(&source.database_url());
    walk(&source, &[there.clone(), back]);
    run(async {
        // The shards that the copy counts are the cluster's.
        let client = connect(&there).await.unwrap();
        let shards: Vec<i64> = rows(
            &client,
            "select result::bigint from pg_dist_shard s
             join lateral (select * from run_command_on_shards('resource', 'select count(*) from %s')) r on r.shardid = s.shardid
             where logicalrelid = 'resource'::regclass order by shardminvalue::bigint",
            &[],
        )
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
        let own = own(&source.database_url());
        let report = copied(&there, &own, 0);
        let counted: Vec<i64> = serde_json::from_value(report["tables"]["resource"]["shards"].clone()).unwrap();
        assert!(report["by_shard"] == true && counted == shards, "{counted:?} {shards:?}");
    });
}

#[test]
fn an_interrupted_copy_goes_on() {
    let source = Start::dev().ready();
    let to = own(&source.database_url());
    run(async {
        let migrated = command(&["migrate"], &[("DATABASE_URL", &to)], "");
        assert!(migrated.status.success());
        let (mut blocker, watcher) = (connect(&to).await.unwrap(), connect(&to).await.unwrap());
        // It gets as far as this table, with the ones before it done and committed.
        let held = blocker.transaction().await.unwrap();
        held.batch_execute("lock table search_string in access exclusive mode").await.unwrap();
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_historia"))
            .args(["copy", "--to", &to])
            .env("DATABASE_URL", source.database_url())
            .spawn()
            .unwrap();
        let waiting = "select count(*) from pg_locks where not granted and relation = 'search_string'::regclass";
        for _ in 0..1200 {
            if count(&watcher, waiting, &[]).await > 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert!(count(&watcher, waiting, &[]).await > 0, "the copy has come to the table");
        child.kill().unwrap();
        child.wait().unwrap();
        held.rollback().await.unwrap();
        assert!(count(&watcher, "select count(*) from resource", &[]).await > 300);

        // A half range of the interrupted run, as a cluster may leave one.
        watcher
            .batch_execute(
                "insert into search_string select documento_id, resource_type, id, 1, 'x' from resource limit 7",
            )
            .await
            .unwrap();
        let report = copied(&source.database_url(), &to, 0);
        assert!(report["equal"] == true && report["resumed"] == true, "{report}");
        assert_eq!(count(&watcher, "select count(*) from pg_tables where tablename = 'copia'", &[]).await, 0);
    });
}

#[test]
fn what_is_in_the_way_is_named() {
    let source = crate::harness::server().database_url();
    run(async {
        let foreign = empty(&source);
        connect(&foreign).await.unwrap().batch_execute("create table clinic (id int)").await.unwrap();
        refused(&command(&["copy", "--to", &foreign], &[("DATABASE_URL", &source)], ""), 1, "not historia's");
        let tables = "select count(*) from pg_tables where schemaname = 'public'";
        assert_eq!(count(&connect(&foreign).await.unwrap(), tables, &[]).await, 1, "nothing was made in it");
        let nowhere = "postgres://nobody@127.0.0.1:1/x";
        refused(&command(&["copy", "--to", nowhere], &[("DATABASE_URL", &source)], ""), 4, "cannot be reached");
        refused(&command(&["copy", "--to", "no address"], &[("DATABASE_URL", &source)], ""), 3, "PostgreSQL address");
    });
}

#[test]
fn every_table_of_the_schema_is_copied() {
    run(async {
        let client = crate::harness::database::of_server().await.expect("the database answers");
        let all = "select relname::text from pg_class where relnamespace = 'public'::regnamespace
            and relkind in ('r', 'p') and not relispartition and relname not in ('migration', 'copia', 'instance') order by 1";
        let all: Vec<String> = rows(&client, all, &[]).await.iter().map(|row| row.get(0)).collect();
        let mut known: Vec<&str> = historia::store::copy::RECORDS.to_vec();
        known.extend(historia::store::copy::CONTROL);
        known.sort_unstable();
        assert_eq!(all, known);
    });
}
