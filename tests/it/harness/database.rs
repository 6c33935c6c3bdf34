//! The database behind the server under test, for what only psql could see: audit rows, statements.

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

/// A database of this run's own on the server of `url`, dropped by `drop_own`. A Citus database is used as it is: what makes
/// it a cluster is not made here.
pub fn own(url: &str) -> String {
    let url = url.to_owned();
    // The caller may be inside the runtime of the tests.
    let made = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let client = connect(&url).await.expect("HISTORIA_TEST_DATABASE_URL can be reached");
            if count(&client, "select count(*) from pg_extension where extname = 'citus'", &[]).await > 0 {
                return url;
            }
            sweep(&client).await;
            let name = format!("historia_it_{}_{}", std::process::id(), unique());
            client.batch_execute(&format!("create database {name}")).await.expect("the role may create databases");
            with_name(&url, &name)
        })
    });
    made.join().expect("a database")
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
