//! Runs searches: the statements of `search::plan`, one after the other until one is complete.

use crate::access::Access;
use crate::error::{Error, Result};
use crate::search::plan::{self, Bounds, Guess, Plan};
use crate::search::query::{Cursor, Query};
use crate::search::sql::{self, Bind, Guard, Statement};
use crate::store::pool::Conn;
use crate::store::resource::Stored;
use crate::store::{cluster, statistics};
use std::collections::HashSet;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

pub const STATEMENTS: &[&str] = &[BY_KEYS, SHAPES, TYPES, HOLDERS, ADVISORY_LOCKS, CLEAN_PENDING, BYTES];

/// Matches of a set of keys that are looked at; more is no condition that picks one.
const BY_KEYS_MOST: usize = 10_000;

/// A page of matches.
pub struct Page {
    pub rows: Vec<Stored>,
    /// The last row, when there are more behind it.
    pub next: Option<Cursor>,
    /// The last row.
    pub last: Option<Cursor>,
}

impl Page {
    pub fn empty() -> Page {
        Page { rows: Vec::new(), next: None, last: None }
    }
}

pub(super) fn bound(statement: &Statement) -> Vec<(&(dyn ToSql + Sync), Type)> {
    fn one(bind: &Bind) -> (&(dyn ToSql + Sync), Type) {
        match bind {
            Bind::Text(value) => (value, Type::TEXT),
            Bind::Texts(value) => (value, Type::TEXT_ARRAY),
            Bind::Int(value) => (value, Type::INT8),
            Bind::Ints(value) => (value, Type::INT8_ARRAY),
            Bind::Float(value) => (value, Type::FLOAT8),
            Bind::Time(value) => (value, Type::TIMESTAMPTZ),
            Bind::Bool(value) => (value, Type::BOOL),
        }
    }
    statement.params.iter().map(one).collect()
}

/// Fails when a node is lost that a search needs: those of its documents, or of what the guard lets through, else all.
pub(super) fn reach(conn: &Conn, guard: &Guard, documents: Option<&[String]>) -> Result<()> {
    match documents.or(guard.documents.as_deref()) {
        Some(documents) => documents.iter().try_for_each(|documento_id| conn.reach(documento_id)),
        None => conn.reach_all(),
    }
}

/// The statements of one search, one after the other, and what they have found so far.
pub(super) struct Search<'a> {
    query: &'a Query,
    guard: &'a Guard,
    documents: &'a [String],
    bounds: Bounds,
    rows: Vec<Row>,
    /// Where a walk stopped before its page was full.
    stop: Option<Cursor>,
}

impl<'a> Search<'a> {
    /// `documents`: where the rows lie, for queries of one patient or of given ids.
    pub fn new(query: &'a Query, guard: &'a Guard, documents: &'a [String], bounds: Bounds) -> Search<'a> {
        Search { query, guard, documents, bounds, rows: Vec::new(), stop: None }
    }

    fn within(&self) -> Option<&'a [String]> {
        (!self.documents.is_empty()).then_some(self.documents)
    }

    pub fn statement(&self, plan: Plan) -> Statement {
        let Search { query, guard, .. } = *self;
        match plan {
            Plan::Timeline => sql::timeline(query, guard, self.documents),
            Plan::Walk => sql::walk(query, guard, plan::cap(query, &self.bounds)),
            Plan::Pick => sql::pick(query, guard, self.bounds.picked),
            Plan::Years => {
                let start = Cursor { values: vec![self.start().to_owned()], id: String::new() };
                let stop = self.stop.as_ref().unwrap_or(&start);
                let limit = i64::from(query.count) + 1 - i64::try_from(self.rows.len()).unwrap_or(0);
                sql::years(query, guard, stop, year(stop), limit)
            }
            Plan::Plain => sql::plain(query, guard, self.within()),
        }
    }

    /// Before everything in the order of the query.
    fn start(&self) -> &'static str {
        if self.query.sort.first().is_some_and(|sort| sort.descending) { "infinity" } else { "-infinity" }
    }

    /// Takes the answer of a statement; true when the search is done. A walk that filled its page is complete, whatever
    /// lies behind its cap; one that did not tells where to go on.
    pub fn takes(&mut self, plan: Plan, mut rows: Vec<Row>) -> bool {
        let capped = rows.iter().any(|row| row.get::<_, bool>(11));
        let last = rows.pop_if(|row| row.get::<_, Option<&str>>(1).is_none());
        if plan == Plan::Years {
            // What was changed in between may come again.
            let known: HashSet<String> = self.rows.iter().map(|row| row.get(1)).collect();
            self.rows.extend(rows.into_iter().filter(|row| !known.contains(row.get::<_, &str>(1))));
            return true;
        }
        let done = match plan {
            Plan::Walk => !capped || rows.len() > self.query.count as usize,
            Plan::Pick => !capped,
            Plan::Timeline | Plan::Plain | Plan::Years => true,
        };
        if plan == Plan::Walk && !done {
            self.stop = last.map(|row| Cursor { values: row.get(4), id: row.get(0) });
        }
        // What a pick has found of too many is in no order.
        if done || plan == Plan::Walk {
            self.rows = rows;
        }
        done
    }
}

/// The year of a place; before or after all years when it has none.
fn year(stop: &Cursor) -> i16 {
    match stop.values.first().map(String::as_str) {
        Some("infinity") => i16::MAX,
        Some(text) if !text.ends_with("BC") => text.get(..4).and_then(|year| year.parse().ok()).unwrap_or(i16::MIN),
        _ => i16::MIN,
    }
}

/// One page. `documents`: where the rows lie, for queries of one patient or of given ids.
pub async fn page(conn: &Conn, access: &Access, guard: &Guard, query: &Query, documents: &[String]) -> Result<Page> {
    let (known, bounds, citus) = (conn.known().latest(), conn.known().bounds, conn.is_citus());
    let mut search = Search::new(query, guard, documents, bounds);
    reach(conn, guard, search.within())?;
    for plan in plan::choose(query, documents, citus, known.as_deref()) {
        plan::afford(query, plan, citus, known.as_deref(), bounds.rows)?;
        let statement = search.statement(plan);
        let rows = conn.query_generated(&statement.sql, plan != Plan::Plain, &bound(&statement)).await?;
        if search.takes(plan, rows) {
            break;
        }
    }
    let wanted = query.count as usize;
    let mut found: Vec<(Stored, Vec<String>)> = Vec::with_capacity(search.rows.len());
    for row in &search.rows {
        found.push((hit(row, access)?, row.get(4)));
    }
    let more = found.len() > wanted;
    found.truncate(wanted);
    let last = found.last().map(|(row, values)| Cursor { values: values.clone(), id: row.id.clone() });
    let next = last.clone().filter(|_| more);
    Ok(Page { rows: found.into_iter().map(|(row, _)| row).collect(), next, last })
}

pub(super) fn hit(row: &Row, access: &Access) -> Result<Stored> {
    if row.get::<_, i16>(6) != 0 {
        return Err(Error::internal("a body has an encoding that this version cannot read"));
    }
    let stored = Stored {
        documento_id: row.get(0),
        id: row.get(1),
        version: row.get(2),
        method: String::new(),
        updated: row.get(3),
        deleted: false,
        owner: row.get(7),
        patient: row.get(9),
        labels: row.get(8),
        body: row.get(5),
    };
    if !access.sees(&stored.owner, &stored.labels) {
        tracing::error!(
            resource_type = access.resource_type().name(),
            "ALARM: a row passed the guard that the caller may not see"
        );
        return Err(Error::internal("a row passed the guard that the caller may not see"));
    }
    Ok(stored)
}

/// The exact number of matches; with `cap`, that many at the most.
pub async fn count(
    conn: &Conn,
    _: &Access,
    guard: &Guard,
    query: &Query,
    documents: Option<&[String]>,
    cap: Option<i64>,
) -> Result<i64> {
    if documents.is_some_and(<[String]>::is_empty) || query.is_hopeless() {
        return Ok(0);
    }
    reach(conn, guard, documents)?;
    let known = conn.known().latest();
    if documents.is_none() {
        match (plan::afford_count(query, known.as_deref(), conn.known().bounds.rows), cap, known.as_deref()) {
            (Ok(()), ..) => {}
            // An estimate need not look at any row.
            (Err(_), Some(_), Some(known)) => return Ok(Guess::of(query, known).matches.round() as i64),
            (Err(error), ..) => return Err(error),
        }
    }
    let (statement, fenced) = counting(conn, guard, query, documents, cap);
    let rows = conn.query_generated(&statement.sql, fenced, &bound(&statement)).await?;
    rows.first().map(|row| row.get(0)).ok_or_else(|| Error::internal("no count"))
}

/// The statement of a count, and whether it is fenced: Citus takes a fence on one node only.
pub(super) fn counting(
    conn: &Conn,
    guard: &Guard,
    query: &Query,
    documents: Option<&[String]>,
    cap: Option<i64>,
) -> (Statement, bool) {
    let fenced = documents.is_some_and(|documents| documents.len() == 1 || !conn.is_citus());
    let statement = match cap {
        Some(cap) => sql::count_up_to(query, guard, documents, fenced, cap),
        None => sql::count(query, guard, documents, fenced),
    };
    (statement, fenced)
}

const SHAPES: &str = "select key, parameters from shape where resource_type = $1";

/// The sets of parameters that occur in a type: (key, parameters that have a value).
pub async fn shapes(conn: &Conn, access: &Access) -> Result<Vec<(i64, Vec<String>)>> {
    let rows = conn.query(SHAPES, &[&access.resource_type().name()]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

const TYPES: &str = "select distinct resource_type from shape";

/// The types of which anything was ever stored.
pub async fn types(conn: &Conn, _: &[Access]) -> Result<Vec<String>> {
    Ok(conn.query(TYPES, &[]).await?.iter().map(|row| row.get(0)).collect())
}

const BY_KEYS: &str = "\
select r.resource_type, r.documento_id, r.id, r.version, r.updated, r.owner, r.patient, r.labels, array(select k from unnest(r.keys) k where k = any($1))
from resource r where r.keys && $1 and not r.deleted limit $2";

/// Current resources that carry one of several keys, without their bodies: (type, resource, the keys).
pub async fn by_keys(conn: &Conn, _: &[Access], keys: &[i64]) -> Result<Vec<(String, Stored, Vec<i64>)>> {
    conn.reach_all()?;
    let most = i64::try_from(BY_KEYS_MOST).unwrap_or(i64::MAX);
    let rows = conn.query(BY_KEYS, &[&keys, &most]).await?;
    let of = |row: &Row| Stored {
        documento_id: row.get(1),
        id: row.get(2),
        version: row.get(3),
        method: String::new(),
        updated: row.get(4),
        deleted: false,
        owner: row.get(5),
        patient: row.get(6),
        labels: row.get(7),
        body: Vec::new(),
    };
    Ok(rows.iter().map(|row| (row.get(0), of(row), row.get(8))).collect())
}

// A look-up for each key: as one overlap thousands of keys are guessed to match so much that the whole table is read.
const HOLDERS: &str = "\
select w.key, r.resource_type from unnest($1::int8[]) w(key) join resource r on r.keys @> array[w.key]
where not r.deleted and (r.resource_type || '/' || r.id) <> all($2) limit 1000";

/// What points at resources, but for these themselves: keys and types; `keys` are those of all references to them. A
/// thousand: so that the first is the same one wherever the rows lie, and yet not all of what points at a hospital is read.
pub async fn holders(conn: &Conn, _: &Access, keys: &[i64], own: &[String]) -> Result<Vec<(i64, String)>> {
    conn.reach_all()?;
    let rows = conn.query(HOLDERS, &[&keys, &own]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

// In the order of the keys, so that two units never wait for each other.
const ADVISORY_LOCKS: &str = "select pg_advisory_xact_lock(k) from unnest($1::int8[]) k";

/// Holds locks of the coordinator until the transaction ends: conditional requests of the same criteria go one by one.
pub async fn advisory_locks(conn: &Conn, keys: &mut Vec<i64>) -> Result<()> {
    keys.sort_unstable();
    keys.dedup();
    conn.query(ADVISORY_LOCKS, &[&*keys]).await.map(drop)
}

const CLEAN_PENDING: &str = "select gin_clean_pending_list('resource_keys'::regclass)";

/// Moves what waits in the pending list of the GIN index into the index, on every node.
pub async fn clean_pending(conn: &Conn) -> Result<()> {
    match conn.is_citus() {
        true => conn.batch(cluster::CLEAN_PENDING).await,
        false => conn.query(CLEAN_PENDING, &[]).await.map(drop),
    }
}

const ANALYZE: &str = "analyze resource, search_string, search_range";

/// Statistics after a load: the planner's, and the frequencies of the search plans.
pub async fn analyze(conn: &Conn) -> Result<()> {
    conn.batch(ANALYZE).await?;
    statistics::refresh(conn).await
}

const BYTES: &str = "\
select pg_total_relation_size('resource') + pg_total_relation_size('resource_history') + pg_total_relation_size('search_string')
  + pg_total_relation_size('search_range'), (select reltuples from pg_class where oid = 'resource'::regclass)::float8";

/// Bytes of tables and indexes for each current resource; none where the tables lie on other nodes.
pub async fn bytes_per_resource(conn: &Conn) -> Result<Option<f64>> {
    let Some(row) = conn.query_opt(BYTES, &[]).await? else { return Ok(None) };
    let (bytes, rows): (i64, f64) = (row.get(0), row.get(1));
    Ok((rows >= 1.0 && bytes > 1_000_000).then(|| bytes as f64 / rows))
}
