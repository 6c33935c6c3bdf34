//! The life of a server (issue 3, Must show 1): start, stop, kill, start again; the database going away.

use crate::harness::data::patient;
use crate::harness::fhir::signed_in;
use crate::harness::instance::{Folder, Instance, Start, alive, command, kill};
use crate::harness::{Fhir, anonymous, run, server, skip};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(40);

/// Writes patients until the server is gone. Returns the ids that were acknowledged.
async fn write_until_it_dies(medico: Fhir) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let id = format!("vivo-{}", crate::harness::unique());
        let mut one = patient();
        one["id"] = id.as_str().into();
        match medico.try_send("PUT", &format!("Patient/{id}"), Some(one.to_string().into_bytes())).await {
            Some(201) => acknowledged.push(id),
            Some(status) if status < 500 => panic!("{status}"),
            _ => return acknowledged,
        }
    }
}

async fn all_there(medico: &Fhir, ids: &[String]) {
    for id in ids {
        medico.get(&format!("Patient/{id}")).await.expect(200);
    }
}

/// Waits for a condition.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < SOON, "{what} takes too long");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn r001_what_was_acknowledged_survives_kill_9_of_both() {
    run(async {
        let folder = Folder::new();
        let mut instance = Start::dev().within(&folder.path).ready();
        let medico = signed_in(&instance, "medico").await;
        let postgres = instance.ready["postgres_pid"].as_u64().unwrap();
        let writers: Vec<_> = (0..8).map(|_| tokio::spawn(write_until_it_dies(medico.clone()))).collect();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        // The database first: whatever the server was told after that must not be acknowledged.
        kill(postgres, "KILL");
        kill(instance.pid(), "KILL");
        let mut ids = Vec::new();
        for writer in writers {
            ids.extend(writer.await.expect("a writer"));
        }
        assert!(ids.len() > 20, "{} writes only", ids.len());
        assert!(!instance.ended(SOON).success());
        let logins = instance.ready["logins"].clone();
        drop(instance);

        let again = Start::dev().within(&folder.path).ready();
        assert_eq!(again.ready["logins"], logins);
        let medico = signed_in(&again, "medico").await;
        all_there(&medico, &ids).await;
        println!("{} acknowledged writes, all there after kill -9 of server and PostgreSQL", ids.len());
    });
}

#[test]
fn r001_a_killed_server_leaves_its_postgresql_to_the_next_start() {
    run(async {
        let folder = Folder::new();
        let mut instance = Start::dev().within(&folder.path).ready();
        let medico = signed_in(&instance, "medico").await;
        let postgres = instance.ready["postgres_pid"].as_u64().unwrap();
        let id = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        instance.signal("KILL");
        instance.ended(SOON);
        drop(instance);
        let again = Start::dev().within(&folder.path).ready();
        assert_ne!(again.ready["postgres_pid"].as_u64().unwrap(), postgres);
        assert!(!alive(postgres), "the orphan still runs");
        signed_in(&again, "medico").await.get(&format!("Patient/{id}")).await.expect(200);
    });
}

#[test]
fn r030_sigterm_and_sigint_end_all_of_it() {
    run(async {
        let folder = Folder::new();
        for signal in ["TERM", "INT"] {
            let mut instance = Start::dev().within(&folder.path).ready();
            let (pid, postgres) = (instance.pid(), instance.ready["postgres_pid"].as_u64().unwrap());
            let medico = signed_in(&instance, "medico").await;
            let writers: Vec<_> = (0..4).map(|_| tokio::spawn(write_until_it_dies(medico.clone()))).collect();
            tokio::time::sleep(Duration::from_millis(500)).await;
            let started = Instant::now();
            instance.signal(signal);
            let status = instance.ended(SOON);
            assert_eq!(status.code(), Some(0), "{signal}: {}", instance.log());
            assert!(started.elapsed() < Duration::from_secs(20), "{signal}: {:?}", started.elapsed());
            assert!(!alive(pid) && !alive(postgres), "{signal}: something still runs");
            assert!(!folder.path.join("ready.json").exists(), "{signal}");
            let mut ids = Vec::new();
            for writer in writers {
                ids.extend(writer.await.expect("a writer"));
            }
            drop(instance);
            let again = Start::dev().within(&folder.path).ready();
            all_there(&signed_in(&again, "medico").await, &ids).await;
        }
    });
}

#[test]
fn a_second_instance_on_the_same_folder_is_refused() {
    if std::env::var("HISTORIA_TEST_URL").is_ok() {
        return skip(
            "a_second_instance_on_the_same_folder_is_refused",
            "HISTORIA_TEST_URL: the folder is not this run's",
        );
    }
    let mut second = Start::dev().within(&server().data_dir).spawn();
    let status = second.ended(SOON);
    assert_eq!(status.code(), Some(3), "{}", second.log());
    assert!(second.log().contains("data_dir"), "{}", second.log());
    // And the first is as well as before.
    run(async { anonymous().get("/readyz").await.expect(200) });
    assert!(server().data_dir.join("ready.json").exists());
}

#[test]
fn a_port_in_use_is_exit_3_and_names_the_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (variable, key) in [
        ("HISTORIA_HTTP__LISTEN", "http.listen"),
        ("HISTORIA_MLLP__LISTEN", "mllp.listen"),
        ("HISTORIA_OPS__LISTEN", "ops.listen"),
    ] {
        let folder = Folder::new();
        let mut instance = Start::dev().within(&folder.path).with(variable, &address).spawn();
        let status = instance.ended(SOON);
        assert!(status.code() == Some(3) && instance.log().contains(key), "{key}: {status} {}", instance.log());
    }
}

/// A server in front of a database that another one keeps.
fn in_front(database: &Instance) -> Instance {
    Start::serve(&database.database_url()).with("HISTORIA_MLLP__LISTEN", "off").ready()
}

#[test]
fn r034_without_its_database_a_server_says_so_and_comes_back() {
    run(async {
        let folder = Folder::new();
        let keeper = Start::dev().within(&folder.path).ready();
        let front = in_front(&keeper);
        let (usuario, clave) = keeper.login("medico");
        let medico = crate::harness::fhir::login(&front.http(), &usuario, &clave).await;
        let id = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        drop(keeper);
        let nobody = Fhir::new(&front.http(), None);
        until("the loss of the database", async || nobody.get("/readyz").await.status == 503).await;
        assert!(!nobody.get("/readyz").await.header("retry-after").is_empty());
        nobody.get("/livez").await.expect(200);
        let reply = medico.get(&format!("Patient/{id}")).await;
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert!(!reply.header("retry-after").is_empty());
        assert_eq!(reply.json()["resourceType"], "OperationOutcome");
        medico.post("Patient", &patient()).await.expect(503);
        assert_eq!(command(&["health", "--url", &front.http()], &[], "").status.code(), Some(1));

        let _keeper = Start::dev().within(&folder.path).ready();
        until("the way back", async || nobody.get("/readyz").await.status == 200).await;
        medico.get(&format!("Patient/{id}")).await.expect(200);
        medico.create(patient()).await;
    });
}

#[test]
fn r033_a_postgresql_that_ends_by_itself_is_started_again() {
    run(async {
        let folder = Folder::new();
        let instance = Start::dev().within(&folder.path).ready();
        let medico = signed_in(&instance, "medico").await;
        let id = medico.create(patient()).await["id"].as_str().unwrap().to_owned();
        kill(instance.ready["postgres_pid"].as_u64().unwrap(), "KILL");
        until("the new PostgreSQL", async || medico.get(&format!("Patient/{id}")).await.status == 200).await;
        // R033: writes come back by themselves; until then each is answered 503 and has no effect.
        until("writes", async || medico.post("Patient", &patient()).await.status == 201).await;
    });
}

#[test]
fn serve_refuses_a_database_that_was_not_migrated() {
    run(async {
        let folder = Folder::new();
        let keeper = Start::dev().within(&folder.path).ready();
        let url = keeper.database_url();
        let client = crate::harness::database::connect(&url).await.expect("the database");
        client.batch_execute("create database vacia").await.unwrap();
        let empty = url.replacen("/historia?", "/vacia?", 1);
        assert_ne!(empty, url);
        let mut refused = Start::serve(&empty).spawn();
        let status = refused.ended(SOON);
        assert!(!status.success() && refused.log().contains("migrate"), "{status}: {}", refused.log());
        drop(refused);
        // Several migrate at once: each ends well.
        let children: Vec<_> = (0..3)
            .map(|_| {
                let empty = empty.clone();
                std::thread::spawn(move || command(&["migrate"], &[("DATABASE_URL", &empty)], ""))
            })
            .collect();
        for child in children {
            let output = child.join().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        }
        drop(Start::serve(&empty).with("HISTORIA_MLLP__LISTEN", "off").ready());
    });
}

#[test]
fn the_logins_of_dev_are_the_same_after_a_restart() {
    let folder = Folder::new();
    let first = Start::dev().within(&folder.path).ready();
    let (logins, client) = (first.ready["logins"].clone(), first.ready["client"].clone());
    drop(first);
    let second = Start::dev().within(&folder.path).ready();
    assert_eq!((&second.ready["logins"], &second.ready["client"]), (&logins, &client));
    let names: BTreeSet<&str> =
        logins.as_array().unwrap().iter().map(|login| login["clave"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 5, "passwords are each its own");
}
