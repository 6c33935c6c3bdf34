//! The embedded PostgreSQL, really started: data kept, kills survived, sentences that help.

use super::*;
use nix::unistd::Uid;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A folder of a test, removed at its end.
struct TestFolder(PathBuf);

impl TestFolder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("historia-test-{}-{name}", crate::clock::record_id().unwrap()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        TestFolder(path)
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn path() -> Vec<PathBuf> {
    crate::config::Environment::of_process().path()
}

async fn available(test: &str) -> bool {
    let there = Program::find(&path(), Path::new("/nonexistent")).await.is_ok();
    if !there {
        println!("SKIP {test}: no PostgreSQL on this machine");
    }
    there
}

async fn open(folder: &Path) -> (DataFolder, Embedded) {
    let folder = DataFolder::open(folder, Tenant::PostgreSql).unwrap();
    let embedded = Embedded::start(&folder, &path()).await.unwrap();
    (folder, embedded)
}

/// A connection by the address that is given to people.
async fn client(embedded: &Embedded) -> Client {
    let (client, connection) = tokio_postgres::connect(&embedded.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn rows(embedded: &Embedded) -> i64 {
    client(embedded).await.query_one("select count(*) from kept", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn starts_stops_and_recovers() {
    if !available("starts_stops_and_recovers").await {
        return;
    }
    let test = TestFolder::new("life");
    let place = test.0.join("data");

    let (folder, embedded) = open(&place).await;
    client(&embedded).await.batch_execute("create table kept (n int); insert into kept values (1)").await.unwrap();
    let meta = std::fs::metadata(folder.path()).unwrap();
    assert_eq!(meta.mode() & 0o777, 0o700);
    assert_eq!(Uid::effective().is_root(), meta.uid() != Uid::effective().as_raw(), "root hands the folder over");

    // A second server on the same folder is told so.
    let second = DataFolder::open(&place, Tenant::PostgreSql).expect_err("locked");
    assert!(second.key == "data_dir" && second.sentence.contains(&std::process::id().to_string()), "{second}");

    // Values of a failing statement do not reach the log.
    let _ = client(&embedded).await.batch_execute("insert into kept values ('a secret value')").await;
    embedded.stop().await.unwrap();
    for entry in std::fs::read_dir(place.join("log")).unwrap().flatten() {
        assert!(!std::fs::read_to_string(entry.path()).unwrap().contains("insert into kept"), "a statement was logged");
    }
    assert!(!place.join("postgresql/postmaster.pid").exists(), "PostgreSQL was not stopped in order");
    drop(folder);

    // Stopped in order, then started: the data is there.
    let (folder, mut embedded) = open(&place).await;
    assert_eq!(rows(&embedded).await, 1);

    // Our server is killed: PostgreSQL goes on, and the next start replaces it.
    client(&embedded).await.batch_execute("insert into kept values (2)").await.unwrap();
    let orphan = embedded.pid();
    let forgotten = std::mem::replace(&mut embedded.child, Command::new("true").spawn().unwrap());
    drop((folder, embedded));
    let (folder, mut embedded) = open(&place).await;
    assert_ne!(embedded.pid(), orphan);
    assert_eq!(rows(&embedded).await, 2);
    drop(forgotten);

    // Both are killed, a connection open.
    let busy = client(&embedded).await;
    busy.batch_execute("insert into kept values (3)").await.unwrap();
    kill(Pid::from_raw(embedded.pid() as i32), Signal::SIGKILL).unwrap();
    assert!(embedded.exited().await.is_some());
    drop((folder, embedded));
    let (folder, embedded) = open(&place).await;
    assert_eq!(rows(&embedded).await, 3);
    embedded.stop().await.unwrap();

    // A postmaster.pid whose number was given to another program since.
    let parent = nix::unistd::getppid();
    let line = format!("{parent}\n{}\n0\n5432\n\n\n\n", place.join("postgresql").display());
    let sleeper = Command::new("sleep").arg("60").kill_on_drop(true).spawn().unwrap();
    let text = line.replacen(&parent.to_string(), &sleeper.id().unwrap().to_string(), 1);
    std::fs::write(place.join("postgresql/postmaster.pid"), text).unwrap();
    drop(folder);
    let (_folder, embedded) = open(&place).await;
    assert_eq!(rows(&embedded).await, 3);
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn long_paths_get_a_short_socket() {
    if !available("long_paths_get_a_short_socket").await {
        return;
    }
    let test = TestFolder::new("long");
    let place = test.0.join("ñ and 'quotes' ".repeat(6)).join("data");
    let (_folder, embedded) = open(&place).await;
    assert!(embedded.sockets.as_os_str().len() < 80, "{:?}", embedded.sockets);
    assert!(client(&embedded).await.simple_query("select 1").await.is_ok());
    let sockets = embedded.sockets.clone();
    embedded.stop().await.unwrap();
    assert!(!sockets.exists());
}

#[test]
fn a_closed_parent_is_explained() {
    if !Uid::effective().is_root() {
        println!("SKIP a_closed_parent_is_explained: not root");
        return;
    }
    let test = TestFolder::new("closed");
    std::fs::set_permissions(&test.0, std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = DataFolder::open(&test.0.join(".historia"), Tenant::PostgreSql).expect_err("closed");
    assert_eq!(error.key, "data_dir");
    let named = test.0.canonicalize().unwrap();
    assert!(error.sentence.contains(&format!("cannot enter {},", named.display())), "{error}");
    assert!(error.sentence.contains("HISTORIA_DATA_DIR=/var/lib/historia"), "{error}");
    assert!(!test.0.join(".historia").exists(), "nothing is left behind");
    // Without PostgreSQL inside, root's own folder will do.
    assert!(DataFolder::open(&test.0.join(".historia"), Tenant::OwnFiles).is_ok());
}

#[test]
fn folders_of_others_are_left_alone() {
    let test = TestFolder::new("foreign");
    std::fs::write(test.0.join("thesis.odt"), "").unwrap();
    let error = DataFolder::open(&test.0, Tenant::OwnFiles).expect_err("foreign");
    assert!(error.sentence.contains("not historia's"), "{error}");
    assert_eq!(std::fs::metadata(&test.0).unwrap().mode() & 0o777, 0o755);
    let file = test.0.join("thesis.odt");
    assert!(DataFolder::open(&file, Tenant::OwnFiles).expect_err("a file").sentence.contains("not a folder"));
}
