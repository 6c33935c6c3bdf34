//! The database behind the server under test, for what only psql could see: audit rows, statements.

use crate::harness::instance::command;
use crate::harness::{server, unique};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

pub async fn connect(url: &str) -> Option<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// The database of the shared server; none when it cannot be reached from here.
pub async fn of_server() -> Option<Client> {
    connect(server().ready["database_url"].as_str()?).await
}

pub async fn rows(client: &Client, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
    client.query(sql, values).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"))
}

pub async fn count(client: &Client, sql: &str, values: &[&(dyn ToSql + Sync)]) -> i64 {
    let rows = rows(client, sql, values).await;
    rows.first().map_or(0, |row| row.get(0))
}

/// A database of this run's own on the server of `url`; of a Citus database, one on all its nodes, migrated and distributed.
pub fn own(url: &str) -> String {
    made(url, true)
}

/// An empty one, without Citus wherever it lies.
pub fn empty(url: &str) -> String {
    made(url, false)
}

fn made(url: &str, alike: bool) -> String {
    let url = url.to_owned();
    // The caller may be inside the runtime of the tests.
    let made = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let client = connect(&url).await.expect("HISTORIA_TEST_DATABASE_URL can be reached");
            let name = format!("historia_it_{}_{}", std::process::id(), unique());
            let citus = "select count(*) from pg_extension where extname = 'citus'";
            if alike && count(&client, citus, &[]).await > 0 {
                return on_all_nodes(&client, &url, &name).await;
            }
            sweep(&client).await;
            client.batch_execute(&format!("create database {name}")).await.expect("the role may create databases");
            with_name(&url, &name)
        })
    });
    made.join().expect("a database")
}

/// A new database on every node of the cluster, joined, migrated and distributed.
async fn on_all_nodes(client: &Client, url: &str, name: &str) -> String {
    let nodes = rows(client, "select nodename, nodeport, groupid from pg_dist_node order by groupid", &[]).await;
    let mut join = String::new();
    for node in &nodes {
        let (host, port, group): (String, i32, i32) = (node.get(0), node.get(1), node.get(2));
        let at = at_node(url, &host, port);
        let server = connect(&with_name(&at, "postgres")).await.expect("the node answers");
        sweep(&server).await;
        server.batch_execute(&format!("create database {name}")).await.expect("the role may create databases");
        let database = connect(&with_name(&at, name)).await.expect("the node answers");
        database.batch_execute("create extension citus").await.expect("the extension");
        let register = if group == 0 { "citus_set_coordinator_host" } else { "citus_add_node" };
        join.push_str(&format!("select {register}('{host}', {port});"));
    }
    let own = with_name(url, name);
    let coordinator = connect(&own).await.expect("the coordinator answers");
    coordinator.batch_execute(&join).await.expect("the nodes are joined");
    let migrated = command(&["migrate"], &[("DATABASE_URL", &own)], "");
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    coordinator
        .batch_execute(include_str!("../../../sql/citus/distribute.sql"))
        .await
        .expect("sql/citus/distribute.sql");
    own
}

/// The same role on another node.
fn at_node(url: &str, host: &str, port: i32) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let rest = &url[start..];
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
    format!("{}{user}{host}:{port}/{path}", &url[..start])
}

/// Databases of runs whose process is gone: libtest has no hook at its exit, so the next run tidies up.
async fn sweep(client: &Client) {
    let all = rows(client, "select datname from pg_database where datname like 'historia\\_it\\_%'", &[]).await;
    for row in all {
        let name: String = row.get(0);
        let pid = name.split('_').nth(2).and_then(|pid| pid.parse().ok()).unwrap_or(0);
        if !crate::harness::instance::alive(pid) {
            let _ = client.batch_execute(&format!("drop database if exists {name} with (force)")).await;
        }
    }
}

/// The same address with another database name.
fn with_name(url: &str, name: &str) -> String {
    let (head, query) = url.split_once('?').map_or((url, None), |(head, query)| (head, Some(query)));
    let after_scheme = head.find("://").map_or(0, |at| at + 3);
    let end = head[after_scheme..].find('/').map_or(head.len(), |at| after_scheme + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", &head[..end])
}
