//! Which search parameters are extracted and which can be asked, for all instances (docs/adr/0019).
//!
//! The generation grows with each change. An instance announces a generation when nothing of it writes or searches by an
//! older one any more; what has to wait for all asks [`all_announced`].

use crate::error::Result;
use crate::fhir::definitions::ResourceType;
use crate::store::pool::Conn;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

pub const STATEMENTS: &[&str] = &[
    BEAT, LEAVE, GENERATION, GROW, LOCK, PARAMETERS, UNFINISHED, OF_ID, PUT, TAKEN, GOING, ANNOUNCED, ADOPT, PROMOTE,
    REMOVE, READY, FINISHED, COUNT,
];

/// Chosen once, as that of the migrations.
const LOCK: &str = "select pg_advisory_xact_lock(7166215)";
const BEAT: &str = "\
insert into instance (id, generation, seen) values ($1, $2, now())
on conflict (id) do update set generation = excluded.generation, seen = excluded.seen";
const LEAVE: &str = "delete from instance where id = $1 or seen < now() - interval '1 hour'";
const GENERATION: &str = "select coalesce(max(value), 0) from search_generation";
const GROW: &str = "\
insert into search_generation (only_one, value) values (true, 1)
on conflict (only_one) do update set value = search_generation.value + 1 returning value";
const PARAMETERS: &str = "\
select p.definition, p.coming, p.state, p.leaving, p.base, p.code, j.done, j.total
from search_parameter p left join reindex_job j on j.id = p.job order by p.id";
// Whatever job reads the type now.
const UNFINISHED: &str = "\
select u.resource_type, u.code, j.done, j.total
from search_unfinished u left join reindex_job j on j.state = 'running' and u.resource_type = any(j.types)
order by u.resource_type, u.code";
const OF_ID: &str = "select definition, coming, base, leaving from search_parameter where id = $1";
const PUT: &str = "\
insert into search_parameter (id, base, code, coming, state, generation, job) values ($1, $2, $3, $4, 'announced', $5, $6)
on conflict (id) do update set base = excluded.base, code = excluded.code, coming = excluded.coming, state = 'announced',
    leaving = false, generation = excluded.generation, job = excluded.job";
const TAKEN: &str = "select base from search_parameter where id <> $1 and code = $2 and base && $3::text[]";
const COUNT: &str = "select count(*) from search_parameter where id <> $1";
const GOING: &str = "update search_parameter set leaving = true, coming = null, state = 'announced', generation = $2, job = $3 where id = $1";
/// An instance that was not seen for this long is gone; it takes itself for gone earlier (`app`).
const ANNOUNCED: &str =
    "select not exists (select 1 from instance where seen > now() - interval '20 s' and generation < $1)";
const ADOPT: &str = "update search_parameter set job = $1 where job <> $1 and state <> 'ready' and base <@ $2::text[]";
const PROMOTE: &str = "\
update search_parameter set definition = coming, coming = null, state = 'building' where job = $1 and state = 'announced' and not leaving";
const REMOVE: &str = "delete from search_parameter where job = $1 and leaving";
const READY: &str = "update search_parameter set state = 'ready' where job = $1 and state = 'building'";
const FINISHED: &str = "delete from search_unfinished where resource_type = any($1)";

/// A custom parameter as all instances see it.
pub struct Parameter {
    /// What is extracted.
    pub definition: Option<String>,
    pub base: Vec<String>,
    pub code: String,
    /// Hundredths of the work done; none when it can be asked.
    pub unfinished: Option<u8>,
    pub leaving: bool,
}

/// What is known of the extraction.
pub struct Known {
    pub generation: i64,
    pub parameters: Vec<Parameter>,
    /// Parameters of the standard that cannot be asked, with the hundredths done.
    pub unfinished: Vec<(String, String, u8)>,
}

/// Says that an instance lives and writes by this generation; gives the latest one.
pub async fn beat(conn: &Conn, instance: Uuid, announced: i64) -> Result<i64> {
    conn.execute(BEAT, &[&instance, &announced]).await?;
    generation(conn).await
}

/// An instance that ends holds nobody up.
pub async fn leave(conn: &Conn, instance: Uuid) -> Result<()> {
    conn.execute(LEAVE, &[&instance]).await.map(drop)
}

pub async fn generation(conn: &Conn) -> Result<i64> {
    Ok(conn.query_opt(GENERATION, &[]).await?.map_or(0, |row| row.get(0)))
}

/// Reads all. The generation is read first: what is read with it may be newer, never older.
pub async fn read(conn: &Conn) -> Result<Known> {
    let generation = generation(conn).await?;
    let parameters = conn.query(PARAMETERS, &[]).await?;
    let unfinished = conn.query(UNFINISHED, &[]).await?;
    let parameters = parameters.iter().map(|row| {
        let state: &str = row.get(2);
        Parameter {
            definition: row.get(0),
            base: row.get(4),
            code: row.get(5),
            unfinished: (state != "ready").then(|| percent(row.get(6), row.get(7))),
            leaving: row.get(3),
        }
    });
    Ok(Known {
        generation,
        parameters: parameters.collect(),
        unfinished: unfinished.iter().map(|row| (row.get(0), row.get(1), percent(row.get(2), row.get(3)))).collect(),
    })
}

fn percent(done: Option<i64>, total: Option<i64>) -> u8 {
    let (done, total) = (done.unwrap_or(0).max(0), total.unwrap_or(0).max(1));
    u8::try_from(done.saturating_mul(100) / total).unwrap_or(99).min(99)
}

// ---------------------------------------------------------------------- changes, inside the transaction of a write

/// One change at a time, until the transaction ends.
pub async fn lock(conn: &Conn) -> Result<()> {
    conn.query(LOCK, &[]).await.map(drop)
}

/// What is known of a SearchParameter resource: its definition (the coming one first) and its types; none when it is not
/// active.
pub async fn of_id(conn: &Conn, id: &str) -> Result<Option<(String, Vec<String>)>> {
    let row = conn.query_opt(OF_ID, &[&id]).await?;
    let of = |row: tokio_postgres::Row| {
        let (definition, coming): (Option<String>, Option<String>) = (row.get(0), row.get(1));
        let leaving: bool = row.get(3);
        (!leaving).then(|| (coming.or(definition).unwrap_or_default(), row.get(2)))
    };
    Ok(row.and_then(of))
}

/// A type in which another parameter has this code already.
pub async fn taken(conn: &Conn, id: &str, code: &str, base: &[String]) -> Result<Option<String>> {
    let rows = conn.query(TAKEN, &[&id, &code, &base]).await?;
    let theirs = rows.iter().flat_map(|row| row.get::<_, Vec<String>>(0));
    Ok(theirs.into_iter().find(|name| base.contains(name)))
}

/// How many others there are.
pub async fn count_others(conn: &Conn, id: &str) -> Result<i64> {
    Ok(conn.query_opt(COUNT, &[&id]).await?.map_or(0, |row| row.get(0)))
}

/// A definition that is new or has changed; `job` will read the resources for it.
pub async fn put(conn: &Conn, id: &str, base: &[String], code: &str, coming: &str, job: Uuid) -> Result<()> {
    let generation = grow(conn).await?;
    let params: [&(dyn ToSql + Sync); 6] = [&id, &base, &code, &coming, &generation, &job];
    conn.execute(PUT, &params).await.map(drop)
}

/// A parameter that is none any more.
pub async fn going(conn: &Conn, id: &str, job: Uuid) -> Result<()> {
    let generation = grow(conn).await?;
    conn.execute(GOING, &[&id, &generation, &job]).await.map(drop)
}

async fn grow(conn: &Conn) -> Result<i64> {
    let row = conn.query_opt(GROW, &[]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

// ---------------------------------------------------------------------- steps of a job, each in one transaction

/// Whether every living instance writes and searches by `generation` or a later one.
pub async fn all_announced(conn: &Conn, generation: i64) -> Result<bool> {
    Ok(conn.query_opt(ANNOUNCED, &[&generation]).await?.is_some_and(|row| row.get(0)))
}

/// From now on the parameters of this job are extracted, and those that are none any more are not. Gives the generation of
/// that.
pub async fn promote(conn: &Conn, job: Uuid, types: &[ResourceType]) -> Result<i64> {
    let types: Vec<&str> = types.iter().map(|t| t.name()).collect();
    conn.execute(ADOPT, &[&job, &types]).await?;
    let promoted = conn.execute(PROMOTE, &[&job]).await?;
    let removed = conn.execute(REMOVE, &[&job]).await?;
    if promoted + removed > 0 { grow(conn).await } else { generation(conn).await }
}

/// Everything of these types was read: what waited for that can be asked.
pub async fn finish(conn: &Conn, job: Uuid, types: &[String]) -> Result<()> {
    let ready = conn.execute(READY, &[&job]).await?;
    let finished = conn.execute(FINISHED, &[&types]).await?;
    if ready + finished > 0 {
        grow(conn).await?;
    }
    Ok(())
}
