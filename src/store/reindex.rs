//! Jobs that read stored resources again, and the rows they read (`$reindex`, docs/adr/0019).
//!
//! A job is done by the instance that holds its lease, one job at a time in the order they were asked for. No `Access`
//! here: rows are read and written as they are, and none is shown to anybody.

use crate::error::{Error, Result};
use crate::fhir::definitions::ResourceType;
use crate::search::index::{Columns, Range};
use crate::store::extraction;
use crate::store::pool::{Conn, Tx};
use crate::store::write::again::{self, Row};
use jiff::Timestamp;
use std::collections::HashMap;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

pub const STATEMENTS: &[&str] =
    &[ADD, ALL, ONE, CANCEL, CLAIM, CHOOSE, BEGIN, TOTAL, ADVANCE, END, STAYS, BATCH, STRINGS, RANGES];

/// Finished jobs that are told.
const TOLD: i64 = 50;

const ADD: &str = "insert into reindex_job (id, cause, types) values ($1, $2, $3)";
const ALL: &str = "\
select id, cause, types, state, total, done, changed, failed, asked, started, ended from reindex_job order by asked desc limit $1";
const ONE: &str = "\
select id, cause, types, state, total, done, changed, failed, asked, started, ended from reindex_job where id = $1";
const CANCEL: &str = "\
update reindex_job set state = 'cancelled', ended = now() where id = $1 and state in ('waiting', 'running')";
// The oldest that is open, unless another instance holds it.
const CLAIM: &str = "\
update reindex_job set lease = $1, lease_until = now() + interval '10 s'
where id = (select id from reindex_job where state in ('waiting', 'running') order by asked, id limit 1)
  and (lease is null or lease = $1 or lease_until < now())
returning id, types, state, generation, at";
const CHOOSE: &str = "update reindex_job set generation = $2 where id = $1";
const BEGIN: &str = "\
update reindex_job set state = 'running', started = now(), total = $2 where id = $1 and state = 'waiting'";
const TOTAL: &str = "select count(*) from resource where resource_type = any($1) and not deleted";
const ADVANCE: &str = "\
update reindex_job set at = $3, done = done + $4, changed = changed + $5, failed = failed + $6, lease_until = now() + interval '10 s'
where id = $1 and lease = $2 and state = 'running'";
// Resources that came or went meanwhile were written with the new extraction: all is done.
const END: &str = "\
update reindex_job set state = case when failed = 0 then 'done' else 'failed' end, ended = now(), total = done, lease = null
where id = $1 and lease = $2 and state = 'running' returning failed";
const STAYS: &str = "\
update reindex_job set lease_until = now() + interval '10 s' where id = $1 and lease = $2 and state = 'running'";

const BATCH: &str = "\
select documento_id, resource_type, id, version, patient, nullif(sort_date, '-infinity'::timestamptz), date_lo, date_hi, num_lo, num_hi,
    raw_lo, raw_hi, keys, body, encoding
from resource
where (documento_id, resource_type, id) > ($1, $2, $3) and resource_type = any($4) and not deleted
order by documento_id, resource_type, id limit $5";
const STRINGS: &str = "\
select s.documento_id, s.resource_type, s.id, s.key, s.value
from search_string s join unnest($1::text[], $2::text[], $3::text[]) k(documento_id, resource_type, id)
  on s.documento_id = k.documento_id and s.resource_type = k.resource_type and s.id = k.id";
const RANGES: &str = "\
select s.documento_id, s.resource_type, s.id, s.key, s.lo, s.hi, s.marks
from search_range s join unnest($1::text[], $2::text[], $3::text[]) k(documento_id, resource_type, id)
  on s.documento_id = k.documento_id and s.resource_type = k.resource_type and s.id = k.id";

/// A job as it is told.
pub struct Job {
    pub id: Uuid,
    pub cause: String,
    pub types: Vec<String>,
    pub state: String,
    pub total: i64,
    pub done: i64,
    pub changed: i64,
    pub failed: i64,
    pub asked: Timestamp,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

/// A job in the hands of this instance.
pub struct Held {
    pub id: Uuid,
    pub types: Vec<String>,
    pub is_running: bool,
    pub generation: Option<i64>,
    pub at: Vec<String>,
}

/// A stored row: its key, its body and what it is found by.
pub struct Found {
    pub documento_id: String,
    pub resource_type: String,
    pub id: String,
    pub version: i64,
    /// None in a form that this version does not read.
    pub body: Option<Vec<u8>>,
    /// Without the shape, which stands in the keys.
    pub columns: Columns,
}

pub async fn add(conn: &Conn, id: Uuid, cause: &str, types: &[&str]) -> Result<()> {
    conn.execute(ADD, &[&id, &cause, &types]).await.map(drop)
}

pub async fn all(conn: &Conn) -> Result<Vec<Job>> {
    Ok(conn.query(ALL, &[&TOLD]).await?.iter().map(job).collect())
}

pub async fn one(conn: &Conn, id: Uuid) -> Result<Option<Job>> {
    Ok(conn.query_opt(ONE, &[&id]).await?.as_ref().map(job))
}

/// False when it has ended already.
pub async fn cancel(conn: &Conn, id: Uuid) -> Result<bool> {
    Ok(conn.execute(CANCEL, &[&id]).await? == 1)
}

fn job(row: &tokio_postgres::Row) -> Job {
    Job {
        id: row.get(0),
        cause: row.get(1),
        types: row.get(2),
        state: row.get(3),
        total: row.get(4),
        done: row.get(5),
        changed: row.get(6),
        failed: row.get(7),
        asked: row.get(8),
        started: row.get(9),
        ended: row.get(10),
    }
}

/// Takes or keeps the lease of the job that is next.
pub async fn claim(conn: &Conn, instance: Uuid) -> Result<Option<Held>> {
    let row = conn.query_opt(CLAIM, &[&instance]).await?;
    Ok(row.map(|row| Held {
        id: row.get(0),
        types: row.get(1),
        is_running: row.get::<_, &str>(2) == "running",
        generation: row.get(3),
        at: row.get(4),
    }))
}

/// Chooses the extraction of a job, once nobody searches by what it changes any more. False: not yet.
pub async fn choose(tx: Tx, job: &Held) -> Result<bool> {
    extraction::lock(tx.conn()).await?;
    let now = extraction::generation(tx.conn()).await?;
    if !extraction::all_announced(tx.conn(), now).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    let types: Vec<ResourceType> = job.types.iter().filter_map(|name| ResourceType::parse(name)).collect();
    let generation = extraction::promote(tx.conn(), job.id, &types).await?;
    tx.conn().execute(CHOOSE, &[&job.id, &generation]).await?;
    tx.commit().await.map(|()| true)
}

/// Starts a job once everybody writes by its extraction. False: not yet.
pub async fn begin(conn: &Conn, job: &Held, generation: i64) -> Result<bool> {
    if !extraction::all_announced(conn, generation).await? {
        return Ok(false);
    }
    let total: i64 = conn.query_opt(TOTAL, &[&job.types]).await?.map_or(0, |row| row.get(0));
    Ok(conn.execute(BEGIN, &[&job.id, &total]).await? == 1)
}

/// Whether the job is still this instance's to do.
pub async fn stays(conn: &Conn, job: &Held, instance: Uuid) -> Result<bool> {
    Ok(conn.execute(STAYS, &[&job.id, &instance]).await? == 1)
}

/// What was done of a batch that ends at `at`. False when the job is not this instance's any more, or was cancelled.
pub async fn advance(conn: &Conn, job: &Held, instance: Uuid, at: &[String], figures: [i64; 3]) -> Result<bool> {
    let [done, changed, failed] = figures;
    let params: [&(dyn ToSql + Sync); 6] = [&job.id, &instance, &at, &done, &changed, &failed];
    Ok(conn.execute(ADVANCE, &params).await? == 1)
}

/// Ends a job that has read all; what waited for it can be asked, unless resources could not be read.
pub async fn end(tx: Tx, job: &Held, instance: Uuid) -> Result<()> {
    extraction::lock(tx.conn()).await?;
    let failed = tx.conn().query_opt(END, &[&job.id, &instance]).await?.map(|row| row.get::<_, i64>(0));
    if failed == Some(0) {
        extraction::finish(tx.conn(), job.id, &job.types).await?;
    }
    tx.commit().await
}

/// The next rows after `at`, in the order of their keys.
pub async fn batch(conn: &Conn, types: &[String], at: &[String], most: i64) -> Result<Vec<Found>> {
    let [documento_id, resource_type, id] = at else { return Err(Error::internal("a job without its place")) };
    let rows = conn.query(BATCH, &[documento_id, resource_type, id, &types, &most]).await?;
    let mut found: Vec<Found> = rows.iter().map(row).collect();
    let key = |one: &Found| (one.documento_id.clone(), one.resource_type.clone(), one.id.clone());
    let places: HashMap<_, usize> = found.iter().map(key).zip(0..).collect();
    let documents: Vec<String> = found.iter().map(|one| one.documento_id.clone()).collect();
    let names: Vec<String> = found.iter().map(|one| one.resource_type.clone()).collect();
    let ids: Vec<String> = found.iter().map(|one| one.id.clone()).collect();
    let (strings, ranges) = (
        conn.query(STRINGS, &[&documents, &names, &ids]).await?,
        conn.query(RANGES, &[&documents, &names, &ids]).await?,
    );
    for row in &strings {
        let place = places.get(&(row.get(0), row.get(1), row.get(2)));
        if let Some(one) = place.and_then(|place| found.get_mut(*place)) {
            one.columns.strings.push((row.get(3), row.get(4)));
        }
    }
    for row in &ranges {
        let place = places.get(&(row.get(0), row.get(1), row.get(2)));
        if let Some(one) = place.and_then(|place| found.get_mut(*place)) {
            one.columns.ranges.push(Range { key: row.get(3), lo: row.get(4), hi: row.get(5), marks: row.get(6) });
        }
    }
    for one in &mut found {
        one.columns.strings.sort_unstable();
        one.columns.ranges.sort_unstable_by(Range::order);
    }
    Ok(found)
}

fn row(row: &tokio_postgres::Row) -> Found {
    Found {
        documento_id: row.get(0),
        resource_type: row.get(1),
        id: row.get(2),
        version: row.get(3),
        body: (row.get::<_, i16>(14) == 0).then(|| row.get(13)),
        columns: Columns {
            patient: row.get(4),
            sort_date: row.get(5),
            date_lo: row.get(6),
            date_hi: row.get(7),
            num_lo: row.get(8),
            num_hi: row.get(9),
            raw_lo: row.get(10),
            raw_hi: row.get(11),
            keys: row.get(12),
            ..Columns::default()
        },
    }
}

/// What became of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    All,
    /// One of them was written by somebody else; nothing was stored.
    Taken,
    /// One of them is held by somebody else; nothing was stored.
    Busy,
}

/// Stores the columns of rows that are still of their version, all of them in one transaction.
pub async fn store(tx: Tx, rows: &[Row]) -> Result<Stored> {
    // Who works on the same rows goes first: this yields before the database looks for a deadlock.
    tx.conn().batch("set local lock_timeout = '300ms'").await?;
    let stored = match again::store(tx.conn(), rows).await {
        Ok(true) => Stored::All,
        Ok(false) => Stored::Taken,
        Err(error) if crate::store::has_state(&error, "55P03") || crate::store::is_race(&error) => Stored::Busy,
        Err(error) => return Err(error),
    };
    if stored == Stored::All {
        tx.commit().await?
    } else {
        tx.rollback().await?
    }
    Ok(stored)
}
