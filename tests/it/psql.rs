//! sql/README.md: what it shows to people at psql runs on the migrated schema.

use crate::harness::cluster::cluster;
use crate::harness::database::{connect, of_server, rows};
use crate::harness::{run, skip};
use tokio_postgres::Client;

const README: &str = include_str!("../../sql/README.md");

/// The text of the blocks that are marked so.
fn blocks(mark: &str) -> Vec<&'static str> {
    let opening = format!("```{mark}\n");
    README.split(opening.as_str()).skip(1).map(|rest| rest.split("```").next().expect("a closed block")).collect()
}

async fn run_all(client: &Client, mark: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for block in blocks(mark) {
        if let Err(error) = client.simple_query(block).await {
            let cause = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
            wrong.push(format!("{cause}\n{block}"));
        }
    }
    wrong
}

#[test]
fn every_query_for_people_runs() {
    assert!(blocks("sql").len() >= 15 && blocks("sql citus").len() >= 4, "the blocks of sql/README.md are found");
    run(async {
        let Some(client) = of_server().await else {
            return skip("every_query_for_people_runs", "the database cannot be reached from here");
        };
        let wrong = run_all(&client, "sql").await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    });
}

#[test]
fn every_query_for_people_runs_on_a_cluster() {
    let Some(cluster) = cluster() else {
        return skip("every_query_for_people_runs_on_a_cluster", "extension not installed");
    };
    run(async {
        let client = connect(&cluster.url).await.expect("the coordinator answers");
        let mut wrong = run_all(&client, "sql").await;
        wrong.extend(run_all(&client, "sql citus").await);
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    });
}

/// `select * from usuario` is shown to whoever asks: a new column has to be thought of.
#[test]
fn usuario_shows_no_secret() {
    run(async {
        let Some(client) = of_server().await else {
            return skip("usuario_shows_no_secret", "the database cannot be reached from here");
        };
        let sql = "select column_name::text from information_schema.columns where table_schema = 'public' and table_name = 'usuario' order by ordinal_position";
        let columns: Vec<String> = rows(&client, sql, &[]).await.iter().map(|row| row.get(0)).collect();
        assert_eq!(
            columns,
            ["documento_id", "id", "usuario", "nombre", "rol", "estado", "paciente_id", "creado", "actualizado"]
        );
    });
}
