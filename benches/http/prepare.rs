//! The stage: records that are there before anything is measured, the same bytes in both databases.

use crate::options::Options;
use crate::server::{Floor, Historia, connect};
use crate::{Result, floor, load, sample};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

/// Bundles sent at once: `limits.bundles_at_once`.
const AT_ONCE: usize = 4;

/// An Observation that is there.
pub struct Seeded {
    /// Its id in historia.
    pub id: String,
    /// Its id in the floor, which begins with patient and code.
    pub floor_id: String,
    pub subject: String,
    pub encounter: String,
    pub code: (&'static str, &'static str),
}

/// What the records take in the database, in bytes per resource.
pub struct Bytes {
    pub resources: i64,
    pub body: f64,
    /// (what, table, indexes)
    pub parts: Vec<(&'static str, f64, f64)>,
    pub audit_record: f64,
}

pub struct Stage {
    pub historia: SocketAddr,
    pub historia_pid: u32,
    pub floor: SocketAddr,
    pub floor_pid: u32,
    pub postgres_pid: u32,
    pub authorization: String,
    /// In an order that mixes the patients.
    pub observations: Arc<Vec<Seeded>>,
    pub bytes: Bytes,
    pub database: tokio_postgres::Config,
    /// The number of the next Bundle that nobody has sent.
    pub next_bundle: std::cell::Cell<usize>,
}

impl Stage {
    pub async fn set(historia: &Historia, floor: &Floor, options: &Options) -> Result<Stage> {
        fill(historia, options.patients).await?;
        let database: tokio_postgres::Config = historia.database_url.parse()?;
        let client = connect(&database).await?;
        client.batch_execute("vacuum analyze").await?;
        let bytes = bytes(&client).await?;
        let observations = copy(&client, &database).await?;
        eprintln!("{} resources are there, {} of them Observations", bytes.resources, observations.len());
        Ok(Stage {
            historia: historia.address,
            historia_pid: historia.pid,
            floor: floor.address,
            floor_pid: floor.pid,
            postgres_pid: historia.postgres_pid,
            authorization: historia.authorization.clone(),
            observations: Arc::new(observations),
            bytes,
            database,
            next_bundle: std::cell::Cell::new(options.patients),
        })
    }

    /// Headers of a request to historia that sends a body.
    pub fn fhir_headers(&self) -> String {
        format!("{}content-type: application/fhir+json\r\n", self.authorization)
    }
}

/// Sends Bundles 0 to `patients`.
async fn fill(historia: &Historia, patients: usize) -> Result<()> {
    let headers = format!("{}content-type: application/fhir+json\r\n", historia.authorization);
    let numbers: Vec<usize> = (0..patients).collect();
    for chunk in numbers.chunks(AT_ONCE) {
        let sent = chunk.iter().map(|number| {
            let mut request = Vec::new();
            load::request("POST", "/fhir", &headers, &sample::bundle(*number), &mut request);
            async move { load::once(historia.address, &request).await }
        });
        for answered in futures_util::future::join_all(sent).await {
            let (status, body) = answered?;
            if status != 200 {
                return Err(format!("a Bundle was answered {status}: {}", String::from_utf8_lossy(&body)).into());
            }
        }
    }
    Ok(())
}

const SIZES: &str = "\
select relname::text, (pg_table_size(oid))::float8, (pg_indexes_size(oid))::float8
from pg_class where oid in ('resource'::regclass, 'search_string'::regclass, 'search_range'::regclass) order by relname";
const AUDIT: &str = "\
select (select sum(pg_total_relation_size(inhrelid))::float8 from pg_inherits where inhparent = 'audit_event'::regclass), (select count(*) from audit_event)";

async fn bytes(client: &tokio_postgres::Client) -> Result<Bytes> {
    let row = client.query_one("select count(*), avg(length(body))::float8 from resource", &[]).await?;
    let (resources, body): (i64, f64) = (row.get(0), row.get(1));
    let each = |bytes: f64| bytes / resources.max(1) as f64;
    let name = |table: &str| match table {
        "resource" => "resource",
        "search_string" => "search_string",
        _ => "search_range",
    };
    let parts = client.query(SIZES, &[]).await?;
    let parts = parts.iter().map(|row| (name(row.get(0)), each(row.get(1)), each(row.get(2)))).collect();
    let audit = client.query_one(AUDIT, &[]).await?;
    let audit_record = audit.get::<_, f64>(0) / audit.get::<_, i64>(1).max(1) as f64;
    Ok(Bytes { resources, body, parts, audit_record })
}

/// Gives the floor the Observations that historia has, byte for byte, and tells them.
async fn copy(client: &tokio_postgres::Client, database: &tokio_postgres::Config) -> Result<Vec<Seeded>> {
    let to = connect(database.clone().dbname(floor::DATABASE)).await?;
    let rows =
        client.query("select id, body from resource where resource_type = 'Observation' order by md5(id)", &[]).await?;
    let mut seeded = Vec::with_capacity(rows.len());
    for chunk in rows.chunks(1_000) {
        let mut ids = Vec::with_capacity(chunk.len());
        let mut bodies: Vec<&[u8]> = Vec::with_capacity(chunk.len());
        for row in chunk {
            let body: &[u8] = row.get(1);
            // The sample data of `dev` are of another form.
            let Some(one) = of(row.get(0), &serde_json::from_slice(body)?) else { continue };
            ids.push(one.floor_id.clone());
            bodies.push(body);
            seeded.push(one);
        }
        to.execute("insert into t (id, body) select * from unnest($1::text[], $2::bytea[])", &[&ids, &bodies]).await?;
    }
    to.batch_execute("vacuum analyze").await?;
    Ok(seeded)
}

fn of(id: &str, body: &Value) -> Option<Seeded> {
    let text = |path: &str| body.pointer(path)?.as_str();
    let code = text("/code/coding/0/code")?;
    let code = sample::CODES.iter().copied().find(|(known, _)| *known == code)?;
    let subject = text("/subject/reference")?;
    let encounter = text("/encounter/reference")?;
    let floor_id = format!("{}.{}.{}", subject.strip_prefix("Patient/")?, code.0, id.rsplit('.').next()?);
    Some(Seeded { id: id.to_owned(), floor_id, subject: subject.to_owned(), encounter: encounter.to_owned(), code })
}
