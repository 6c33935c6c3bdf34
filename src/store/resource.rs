//! Versions of resources by their place: current, old, all.
//!
//! Each statement computes from the caller's [`Access`] whether a row is visible and gives the body only then, so that
//! what is hidden and what is not there take the same way. A version is visible only if it and the current row are.

use crate::access::Access;
use crate::error::{Error, Result};
use crate::fhir::definitions::ResourceType;
use crate::search::sql::Guard;
use crate::store::pool::Conn;
use jiff::Timestamp;
use std::collections::HashSet;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

pub const STATEMENTS: &[&str] = &[CURRENT, CURRENT_LOCKED, CURRENT_SET, VERSION, HISTORY, EXISTING];

/// A stored version.
#[derive(Clone, Debug)]
pub struct Stored {
    pub documento_id: String,
    pub id: String,
    pub version: i64,
    pub method: String,
    pub updated: Timestamp,
    pub deleted: bool,
    pub owner: Vec<String>,
    pub patient: Vec<String>,
    pub labels: Vec<String>,
    /// Empty when deleted.
    pub body: Vec<u8>,
}

impl Stored {
    /// Whose record it is, for the audit trail: its owner, else the first Patient whose compartment it is in.
    pub fn whose(&self) -> Option<&str> {
        self.owner.first().or(self.patient.first()).map(String::as_str)
    }
}

/// The guard of access on a row `r`: $4 = owner (null: anybody's), $5 = labels that bind, $6 = labels that release. It
/// stands in the columns, not beside the table: a read of one table by its key is one that Citus plans once.
macro_rules! visible {
    () => {
        "($4::text is null or r.owner @> array[$4::text]) and (not r.labels && $5::text[] or r.labels && $6::text[])"
    };
}

macro_rules! columns {
    ($from:literal) => {
        concat!(
            "select r.documento_id, r.id, r.version, r.method, r.updated, r.deleted, r.owner, r.patient, r.labels, case when ", visible!(),
            " then r.body end, r.encoding from ", $from
        )
    };
}

const CURRENT: &str =
    concat!(columns!("resource r"), " where r.documento_id = $1 and r.resource_type = $2 and r.id = $3");
const CURRENT_LOCKED: &str = concat!(
    columns!("resource r"),
    " where r.documento_id = $1 and r.resource_type = $2 and r.id = $3 for update of r"
);
// LIMIT keeps the look-up a look-up: without it a young table is read from end to end.
const CURRENT_SET: &str = columns!(
    "unnest($2::text[], $3::text[]) k(resource_type, id) cross join lateral (select * from resource o where o.documento_id = $1 and o.resource_type = k.resource_type and o.id = k.id limit 1) r"
);
const VERSION: &str = concat!(
    columns!("resource_history r"),
    " where r.documento_id = $1 and r.resource_type = $2 and r.id = $3 and r.version = $7"
);
const HISTORY: &str = concat!(
    columns!("resource_history r"),
    " where r.documento_id = $1 and r.resource_type = $2 and r.id = $3 and r.version < $7 and r.updated >= $9 and r.updated <= $10 and ",
    visible!(),
    " order by r.version desc limit $8"
);
const EXISTING: &str = "\
select k.resource_type, k.id, r.documento_id from unnest($2::text[], $3::text[]) k(resource_type, id) cross join lateral (
  select o.documento_id from resource o where o.documento_id = $1 and o.resource_type = k.resource_type and o.id = k.id and not o.deleted limit 1) r";

/// What was found at a place.
#[derive(Debug)]
pub enum Found {
    Nothing,
    /// There, but not for this caller: answered as if it were not.
    Hidden,
    Here(Box<Stored>),
}

/// The guard as three parameters.
struct Visible {
    owner: Option<String>,
    if_any: Vec<String>,
    then_any: Vec<String>,
}

impl Visible {
    fn of(access: &Access) -> Visible {
        let Guard { owner, label_rule, .. } = access.guard(None);
        let (if_any, then_any) = label_rule.map(|rule| (rule.if_any, rule.then_any)).unwrap_or_default();
        Visible { owner, if_any, then_any }
    }
}

/// A row of [`columns!`], and the second wall.
fn stored(row: &Row, access: &Access) -> Result<Found> {
    let Some(body) = row.try_get::<_, Option<Vec<u8>>>(9).map_err(Error::internal)? else { return Ok(Found::Hidden) };
    let encoding: i16 = row.get(10);
    if encoding != 0 {
        return Err(Error::internal("a body has an encoding that this version cannot read"));
    }
    let stored = Stored {
        documento_id: row.get(0),
        id: row.get(1),
        version: row.get(2),
        method: row.get(3),
        updated: row.get(4),
        deleted: row.get(5),
        owner: row.get(6),
        patient: row.get(7),
        labels: row.get(8),
        body,
    };
    if !access.sees(&stored.owner, &stored.labels) {
        tracing::error!(
            resource_type = access.resource_type().name(),
            "ALARM: a row passed the guard that the caller may not see"
        );
        return Err(Error::internal("a row passed the guard that the caller may not see"));
    }
    Ok(Found::Here(Box::new(stored)))
}

fn found(rows: &[Row], access: &Access) -> Result<Found> {
    rows.first().map_or(Ok(Found::Nothing), |row| stored(row, access))
}

/// The current version, tombstones included. `lock`: nobody else writes it until the transaction ends.
pub async fn current(conn: &Conn, access: &Access, documento_id: &str, id: &str, lock: bool) -> Result<Found> {
    conn.reach(documento_id)?;
    let v = Visible::of(access);
    let params: [&(dyn ToSql + Sync); 6] =
        [&documento_id, &access.resource_type().name(), &id, &v.owner, &v.if_any, &v.then_any];
    found(&conn.query(if lock { CURRENT_LOCKED } else { CURRENT }, &params).await?, access)
}

/// The current versions of several ids under one documento_id. What is missing or hidden is left out.
pub async fn current_set(conn: &Conn, access: &Access, documento_id: &str, ids: &[&str]) -> Result<Vec<Stored>> {
    conn.reach(documento_id)?;
    let v = Visible::of(access);
    let types: Vec<&str> = ids.iter().map(|_| access.resource_type().name()).collect();
    let rows = conn.query(CURRENT_SET, &[&documento_id, &types, &ids, &v.owner, &v.if_any, &v.then_any]).await?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Found::Here(version) = stored(row, access)? {
            versions.push(*version);
        }
    }
    Ok(versions)
}

/// A superseded version. The caller has seen that the current one is visible.
pub async fn version(conn: &Conn, access: &Access, documento_id: &str, id: &str, version: i64) -> Result<Found> {
    conn.reach(documento_id)?;
    let v = Visible::of(access);
    let params: [&(dyn ToSql + Sync); 7] =
        [&documento_id, &access.resource_type().name(), &id, &v.owner, &v.if_any, &v.then_any, &version];
    found(&conn.query(VERSION, &params).await?, access)
}

/// Superseded versions below `before` of a time from `since` to `until`, newest first. The caller has seen that the current
/// one is visible.
#[allow(clippy::too_many_arguments, reason = "the bounds of one statement")]
pub async fn history(
    conn: &Conn,
    access: &Access,
    documento_id: &str,
    id: &str,
    before: i64,
    (since, until): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<Stored>> {
    conn.reach(documento_id)?;
    let v = Visible::of(access);
    let name = access.resource_type().name();
    let params: [&(dyn ToSql + Sync); 10] =
        [&documento_id, &name, &id, &v.owner, &v.if_any, &v.then_any, &before, &limit, &since, &until];
    let mut versions = Vec::new();
    for row in conn.query(HISTORY, &params).await? {
        if let Found::Here(version) = stored(&row, access)? {
            versions.push(*version);
        }
    }
    Ok(versions)
}

/// Which of these live under a documento_id. Only for callers without a patient, who see every instance of what they may read.
pub async fn existing(
    conn: &Conn,
    _: &Access,
    documento_id: &str,
    ids: &[(ResourceType, &str)],
) -> Result<HashSet<(ResourceType, String)>> {
    conn.reach(documento_id)?;
    let types: Vec<&str> = ids.iter().map(|(ty, _)| ty.name()).collect();
    let names: Vec<&str> = ids.iter().map(|(_, id)| *id).collect();
    let rows = conn.query(EXISTING, &[&documento_id, &types, &names]).await?;
    Ok(rows.iter().filter_map(|row| Some((ResourceType::parse(row.get(0))?, row.get(1)))).collect())
}
