//! Writes as sets: what a unit of work has gathered becomes rows, all of it or nothing.
//!
//! Two forms. One version with its audit record is a single statement of data-modifying CTEs, committed by itself
//! ([`one`]). Everything else is a handful of `unnest` statements per documento_id, pipelined inside a transaction
//! ([`all`]). Both compare-and-set: a version is replaced only while it is the one that was read. A create writes no
//! history row; `resource_history` holds superseded versions only.

pub mod again;
pub mod rows;

use crate::access::Access;
use crate::error::Result;
use crate::fhir::definitions::ResourceType;
use crate::search::Extraction;
use crate::search::index::{Columns, Range};
use crate::store::audit::{Batch, Event};
use crate::store::pool::Conn;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_postgres::types::ToSql;

pub const STATEMENTS: &[&str] = &[
    CREATE_ONE,
    UPDATE_ONE,
    CREATE,
    HISTORY,
    UPDATES,
    UPDATE,
    CLEAR_STRING,
    CLEAR_RANGE,
    STRINGS,
    RANGES,
    RECORDS,
    RECORD,
    DIRECTORY,
    RECORD_KEYS,
    KEYS_AT,
    SHAPES,
];

/// The statements of [`one`].
pub const SINGLE: &[&str] = &[CREATE_ONE, UPDATE_ONE];

/// Statements that are in flight at once: up to this many are surely sent in their order.
const PIPELINED: usize = 24;

/// A version ready to be stored.
#[derive(Debug)]
pub struct Version {
    pub documento_id: String,
    pub resource_type: ResourceType,
    pub id: String,
    pub version: i64,
    /// The version that this one replaces; none for a create.
    pub replaces: Option<i64>,
    pub method: &'static str,
    pub updated: Timestamp,
    pub deleted: bool,
    pub columns: Columns,
    pub owner: Vec<String>,
    pub labels: Vec<String>,
    /// The final JSON text, empty for a tombstone.
    pub body: Vec<u8>,
    /// What the columns were extracted by, held until they are stored.
    pub extraction: Arc<Extraction>,
}

/// A record that is opened.
#[derive(Clone, Debug)]
pub struct NewRecord {
    pub record_id: String,
    pub documento_id: String,
    pub patient_id: String,
    pub identity: Option<Vec<u8>>,
}

/// What a unit writes.
#[derive(Debug, Default)]
pub struct Set {
    pub versions: Vec<Version>,
    pub records: Vec<NewRecord>,
    /// Ids that clients chose: (type, id, documento_id).
    pub directory: Vec<(ResourceType, String, String)>,
    /// Patients some of whose data now lie under a further documento_id: (patient, its own documento_id, the further one).
    pub record_keys: Vec<(String, String, String)>,
}

impl Set {
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.records.is_empty() && self.directory.is_empty() && self.record_keys.is_empty()
    }

    /// Whether the single-statement form serves: one version, and no control table is written.
    pub fn is_one(&self) -> bool {
        self.versions.len() == 1 && self.records.is_empty() && self.directory.is_empty() && self.record_keys.is_empty()
    }
}

const CREATE_ONE: &str = "\
with r as (
  insert into resource (documento_id, resource_type, id, version, method, updated, deleted, patient, owner, labels, sort_date,
      date_lo, date_hi, num_lo, num_hi, raw_lo, raw_hi, keys, body)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, '-infinity'::timestamptz), $12, $13, $14, $15, $16, $17, $18, $19)
  on conflict do nothing returning 1),
s as (insert into search_string (documento_id, resource_type, id, key, value)
  select $1, $2, $3, k.key, k.value from r, unnest($20::int8[], $21::text[]) k(key, value)),
g as (insert into search_range (documento_id, resource_type, id, key, lo, hi, marks)
  select $1, $2, $3, k.key, k.lo, k.hi, k.marks::int8[] from r, unnest($22::int8[], $23::float8[], $24::float8[], $25::text[]) k(key, lo, hi, marks)),
a as (insert into audit_event (documento_id, recorded, id, action, outcome, actor, role, patient_id, resource_type, resource_id, version, request_id, detail)
  select k.* from r, unnest($26::text[], $27::timestamptz[], $28::uuid[], $29::text[], $30::int2[], $31::text[], $32::text[], $33::text[],
      $34::text[], $35::text[], $36::int8[], $37::text[], $38::text[]) k)
select count(*) from r";

// The row is locked before its history is written, as those lock it who read to write: with the key of the history first,
// the two would wait for each other. The second of two writers waits, then finds another version, writes no history, and
// everything after depends on that.
const UPDATE_ONE: &str = "\
with h as (
  insert into resource_history (documento_id, resource_type, id, version, method, updated, deleted, patient, owner, labels, body, encoding)
  select o.documento_id, o.resource_type, o.id, o.version, o.method, o.updated, o.deleted, o.patient, o.owner, o.labels, o.body, o.encoding
  from resource o where o.documento_id = $1 and o.resource_type = $2 and o.id = $3 and o.version = $39
  for no key update of o on conflict do nothing returning 1),
r as (
  update resource o set version = $4, method = $5, updated = $6, deleted = $7, patient = $8, owner = $9, labels = $10,
      sort_date = coalesce($11, '-infinity'::timestamptz), date_lo = $12, date_hi = $13, num_lo = $14, num_hi = $15, raw_lo = $16, raw_hi = $17, keys = $18, body = $19, encoding = 0
  from h where o.documento_id = $1 and o.resource_type = $2 and o.id = $3 and o.version = $39 returning 1),
ds as (delete from search_string o using r where o.documento_id = $1 and o.resource_type = $2 and o.id = $3),
dg as (delete from search_range o using r where o.documento_id = $1 and o.resource_type = $2 and o.id = $3),
s as (insert into search_string (documento_id, resource_type, id, key, value)
  select $1, $2, $3, k.key, k.value from r, unnest($20::int8[], $21::text[]) k(key, value)),
g as (insert into search_range (documento_id, resource_type, id, key, lo, hi, marks)
  select $1, $2, $3, k.key, k.lo, k.hi, k.marks::int8[] from r, unnest($22::int8[], $23::float8[], $24::float8[], $25::text[]) k(key, lo, hi, marks)),
a as (insert into audit_event (documento_id, recorded, id, action, outcome, actor, role, patient_id, resource_type, resource_id, version, request_id, detail)
  select k.* from r, unnest($26::text[], $27::timestamptz[], $28::uuid[], $29::text[], $30::int2[], $31::text[], $32::text[], $33::text[],
      $34::text[], $35::text[], $36::int8[], $37::text[], $38::text[]) k)
select count(*) from r";

/// Stores one version and its audit records in one statement. False: somebody else was faster, nothing was written.
pub async fn one(conn: &Conn, _: &Access, version: &Version, events: &[Event]) -> Result<bool> {
    let strings = Strings::of(version.columns.strings.iter());
    let ranges = Ranges::of(version.columns.ranges.iter());
    let audit = Batch::of(events);
    let resource_type = version.resource_type.name();
    let c = &version.columns;
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![
        &version.documento_id,
        &resource_type,
        &version.id,
        &version.version,
        &version.method,
        &version.updated,
        &version.deleted,
        &c.patient,
        &version.owner,
        &version.labels,
        &c.sort_date,
        &c.date_lo,
        &c.date_hi,
        &c.num_lo,
        &c.num_hi,
        &c.raw_lo,
        &c.raw_hi,
        &c.keys,
        &version.body,
        &strings.key,
        &strings.value,
        &ranges.key,
        &ranges.lo,
        &ranges.hi,
        &ranges.marks,
    ];
    params.extend(audit.params());
    let sql = match &version.replaces {
        None => CREATE_ONE,
        Some(replaces) => {
            params.push(replaces);
            UPDATE_ONE
        }
    };
    let row = conn.query_opt(sql, &params).await?;
    Ok(row.is_some_and(|row| row.get::<_, i64>(0) == 1))
}

// RETURNING: Citus counts the rows that it was given, not those that met nothing; what is returned it counts.
const CREATE: &str = "\
insert into resource (documento_id, resource_type, id, version, method, updated, deleted, patient, owner, labels, sort_date,
    date_lo, date_hi, num_lo, num_hi, raw_lo, raw_hi, keys, body)
select $1, k.resource_type, k.id, k.version, k.method, k.updated, k.deleted, k.patient::text[], k.owner::text[], k.labels::text[],
    coalesce(k.sort_date, '-infinity'::timestamptz), k.date_lo, k.date_hi, k.num_lo, k.num_hi, k.raw_lo, k.raw_hi, k.keys::int8[], k.body
from unnest($2::text[], $3::text[], $4::int8[], $5::text[], $6::timestamptz[], $7::bool[], $8::text[], $9::text[], $10::text[], $11::timestamptz[],
    $12::timestamptz[], $13::timestamptz[], $14::float8[], $15::float8[], $16::float8[], $17::float8[], $18::text[], $19::bytea[])
  k(resource_type, id, version, method, updated, deleted, patient, owner, labels, sort_date, date_lo, date_hi, num_lo, num_hi, raw_lo, raw_hi, keys, body)
on conflict do nothing returning 1";

const HISTORY: &str = "\
insert into resource_history (documento_id, resource_type, id, version, method, updated, deleted, patient, owner, labels, body, encoding)
select r.documento_id, r.resource_type, r.id, r.version, r.method, r.updated, r.deleted, r.patient, r.owner, r.labels, r.body, r.encoding
from resource r join unnest($2::text[], $3::text[], $4::int8[]) k(resource_type, id, replaces)
  on r.resource_type = k.resource_type and r.id = k.id and r.version = k.replaces
where r.documento_id = $1
for no key update of r on conflict do nothing returning 1";

const UPDATES: &str = "\
update resource r set version = k.version, method = k.method, updated = k.updated, deleted = k.deleted, patient = k.patient::text[], owner = k.owner::text[],
    labels = k.labels::text[], sort_date = coalesce(k.sort_date, '-infinity'::timestamptz), date_lo = k.date_lo, date_hi = k.date_hi,
    num_lo = k.num_lo, num_hi = k.num_hi, raw_lo = k.raw_lo, raw_hi = k.raw_hi, keys = k.keys::int8[], body = k.body, encoding = 0
from unnest($2::text[], $3::text[], $4::int8[], $5::text[], $6::timestamptz[], $7::bool[], $8::text[], $9::text[], $10::text[], $11::timestamptz[],
    $12::timestamptz[], $13::timestamptz[], $14::float8[], $15::float8[], $16::float8[], $17::float8[], $18::text[], $19::bytea[], $20::int8[])
  k(resource_type, id, version, method, updated, deleted, patient, owner, labels, sort_date, date_lo, date_hi, num_lo, num_hi, raw_lo, raw_hi, keys, body, replaces)
where r.documento_id = $1 and r.resource_type = k.resource_type and r.id = k.id and r.version = k.replaces";

// On a cluster one version a statement: Citus refuses an UPDATE that casts a column of its source to an array (a stable
// function), as the literals of patient, owner, labels and keys are. Pipelined it costs no more.
const UPDATE: &str = "\
update resource set version = $4, method = $5, updated = $6, deleted = $7, patient = $8, owner = $9, labels = $10,
    sort_date = coalesce($11, '-infinity'::timestamptz), date_lo = $12, date_hi = $13, num_lo = $14, num_hi = $15, raw_lo = $16, raw_hi = $17, keys = $18, body = $19, encoding = 0
where documento_id = $1 and resource_type = $2 and id = $3 and version = $20";

const CLEAR_STRING: &str = "\
delete from search_string s using unnest($2::text[], $3::text[]) k(resource_type, id)
where s.documento_id = $1 and s.resource_type = k.resource_type and s.id = k.id";

const CLEAR_RANGE: &str = "\
delete from search_range s using unnest($2::text[], $3::text[]) k(resource_type, id)
where s.documento_id = $1 and s.resource_type = k.resource_type and s.id = k.id";

const STRINGS: &str = "\
insert into search_string (documento_id, resource_type, id, key, value)
select $1, k.resource_type, k.id, k.key, k.value from unnest($2::text[], $3::text[], $4::int8[], $5::text[]) k(resource_type, id, key, value)";

const RANGES: &str = "\
insert into search_range (documento_id, resource_type, id, key, lo, hi, marks)
select $1, k.resource_type, k.id, k.key, k.lo, k.hi, k.marks::int8[]
from unnest($2::text[], $3::text[], $4::int8[], $5::float8[], $6::float8[], $7::text[]) k(resource_type, id, key, lo, hi, marks)";

const RECORDS: &str = "\
insert into record (record_id, documento_id, patient_id, identity)
select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) on conflict do nothing returning 1";

const RECORD: &str =
    "insert into record (record_id, documento_id, patient_id, identity) values ($1, $2, $3, $4) on conflict do nothing";

const DIRECTORY: &str = "\
insert into resource_directory (resource_type, id, documento_id)
select * from unnest($1::text[], $2::text[], $3::text[]) on conflict do nothing returning 1";

const RECORD_KEYS: &str = "\
insert into record_key (patient_id, documento_id) select * from unnest($1::text[], $2::text[]) on conflict do nothing returning 1";

const KEYS_AT: &str = "\
update resource set keys_at = array_append(keys_at, $3)
where documento_id = $1 and resource_type = 'Patient' and id = $2 and not keys_at @> array[$3]";

const SHAPES: &str = "insert into shape (resource_type, key, parameters) values ($1, $2, $3) on conflict do nothing";

/// Makes a set of parameters known before a row carries its key.
pub async fn shape(conn: &Conn, resource_type: ResourceType, key: i64, parameters: &[&str]) -> Result<()> {
    conn.execute(SHAPES, &[&resource_type.name(), &key, &parameters]).await.map(drop)
}

type Param<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// One statement of a set, and how many rows it must touch.
struct Step<'a> {
    sql: &'static str,
    params: Vec<Param<'a>>,
    rows: Option<u64>,
}

/// Stores a set inside the open transaction of `conn`. False: a version, id or record was taken by somebody else in
/// the meantime; the caller rolls back.
pub async fn all(conn: &Conn, set: &Set, events: &[Event]) -> Result<bool> {
    set.versions.iter().try_for_each(|version| conn.reach(&version.documento_id))?;
    let one_by_one = conn.is_citus() && rows::count(set.versions.iter(), events) <= rows::FEW;
    let mut steps = Vec::new();
    control(set, &mut steps);
    let mut by_documento: BTreeMap<&str, (Vec<&Version>, Vec<&Version>)> = BTreeMap::new();
    for version in &set.versions {
        let (creates, updates) = by_documento.entry(&version.documento_id).or_default();
        if version.replaces.is_none() { creates.push(version) } else { updates.push(version) }
    }
    for (documento_id, (creates, updates)) in &by_documento {
        if one_by_one {
            steps.extend(creates.iter().map(|version| rows::create(version)));
        } else if !creates.is_empty() {
            steps.push(Step { sql: CREATE, params: versions(documento_id, creates), rows: Some(creates.len() as u64) });
        }
        if one_by_one {
            updates.iter().for_each(|version| rows::replace(version, &mut steps));
        } else if !updates.is_empty() {
            replacing(documento_id, updates, !conn.is_citus(), &mut steps);
        }
        match one_by_one {
            true => rows::search(creates.iter().chain(updates).copied(), &mut steps),
            false => search_rows(documento_id, creates.iter().chain(updates).copied(), &mut steps),
        }
    }
    for (patient, own, further) in &set.record_keys {
        steps.push(Step {
            sql: KEYS_AT,
            params: vec![Box::new(own), Box::new(patient), Box::new(further)],
            rows: None,
        });
    }
    if one_by_one {
        steps.extend(events.iter().map(rows::audit));
    } else if !events.is_empty() {
        steps.push(Step {
            sql: crate::store::audit::INSERT,
            params: Batch::of(events).into_params(),
            rows: Some(events.len() as u64),
        });
    }
    run(conn, &steps).await
}

/// Makes records known as a commit of their own. False: one of them, or its patient, is known already.
pub async fn open_records(conn: &Conn, records: &[NewRecord]) -> Result<bool> {
    let mut opened = true;
    for record in records {
        let NewRecord { record_id, documento_id, patient_id, identity } = record;
        opened &= conn.execute(RECORD, &[record_id, documento_id, patient_id, identity]).await? == 1;
    }
    Ok(opened)
}

/// Rows of the control tables.
fn control<'a>(set: &'a Set, steps: &mut Vec<Step<'a>>) {
    if !set.records.is_empty() {
        let column = |f: fn(&NewRecord) -> &str| set.records.iter().map(f).collect::<Vec<&str>>();
        let identity: Vec<Option<&[u8]>> = set.records.iter().map(|r| r.identity.as_deref()).collect();
        steps.push(Step {
            sql: RECORDS,
            params: vec![
                Box::new(column(|r| &r.record_id)),
                Box::new(column(|r| &r.documento_id)),
                Box::new(column(|r| &r.patient_id)),
                Box::new(identity),
            ],
            rows: Some(set.records.len() as u64),
        });
    }
    if !set.directory.is_empty() {
        let types: Vec<&str> = set.directory.iter().map(|(ty, ..)| ty.name()).collect();
        let ids: Vec<&str> = set.directory.iter().map(|(_, id, _)| id.as_str()).collect();
        let documents: Vec<&str> = set.directory.iter().map(|(.., documento_id)| documento_id.as_str()).collect();
        steps.push(Step {
            sql: DIRECTORY,
            params: vec![Box::new(types), Box::new(ids), Box::new(documents)],
            rows: Some(set.directory.len() as u64),
        });
    }
    if !set.record_keys.is_empty() {
        let patients: Vec<&str> = set.record_keys.iter().map(|(patient, ..)| patient.as_str()).collect();
        let documents: Vec<&str> = set.record_keys.iter().map(|(.., further)| further.as_str()).collect();
        steps.push(Step { sql: RECORD_KEYS, params: vec![Box::new(patients), Box::new(documents)], rows: None });
    }
}

/// The columns of versions as arrays. Arrays inside a row travel as array literals: unnest flattens nested ones.
fn versions<'a>(documento_id: &'a str, rows: &[&'a Version]) -> Vec<Box<dyn ToSql + Sync + Send + 'a>> {
    fn column<'a, T>(rows: &[&'a Version], f: impl Fn(&'a Version) -> T) -> Vec<T> {
        rows.iter().map(|row| f(row)).collect()
    }
    vec![
        Box::new(documento_id),
        Box::new(column(rows, |r| r.resource_type.name())),
        Box::new(column(rows, |r| r.id.as_str())),
        Box::new(column(rows, |r| r.version)),
        Box::new(column(rows, |r| r.method)),
        Box::new(column(rows, |r| r.updated)),
        Box::new(column(rows, |r| r.deleted)),
        Box::new(column(rows, |r| texts_literal(&r.columns.patient))),
        Box::new(column(rows, |r| texts_literal(&r.owner))),
        Box::new(column(rows, |r| texts_literal(&r.labels))),
        Box::new(column(rows, |r| r.columns.sort_date)),
        Box::new(column(rows, |r| r.columns.date_lo)),
        Box::new(column(rows, |r| r.columns.date_hi)),
        Box::new(column(rows, |r| r.columns.num_lo)),
        Box::new(column(rows, |r| r.columns.num_hi)),
        Box::new(column(rows, |r| r.columns.raw_lo)),
        Box::new(column(rows, |r| r.columns.raw_hi)),
        Box::new(column(rows, |r| ints_literal(&r.columns.keys))),
        Box::new(column(rows, |r| r.body.as_slice())),
    ]
}

/// The columns of one version that replaces another.
fn replacement(v: &Version) -> Vec<Box<dyn ToSql + Sync + Send + '_>> {
    let c = &v.columns;
    vec![
        Box::new(v.documento_id.as_str()),
        Box::new(v.resource_type.name()),
        Box::new(v.id.as_str()),
        Box::new(v.version),
        Box::new(v.method),
        Box::new(v.updated),
        Box::new(v.deleted),
        Box::new(&c.patient),
        Box::new(&v.owner),
        Box::new(&v.labels),
        Box::new(c.sort_date),
        Box::new(c.date_lo),
        Box::new(c.date_hi),
        Box::new(c.num_lo),
        Box::new(c.num_hi),
        Box::new(c.raw_lo),
        Box::new(c.raw_hi),
        Box::new(&c.keys),
        Box::new(v.body.as_slice()),
        Box::new(v.replaces),
    ]
}

/// History, compare-and-set and the clearing of the search rows of versions that replace others.
/// `as_set`: in one statement.
fn replacing<'a>(documento_id: &'a str, updates: &[&'a Version], as_set: bool, steps: &mut Vec<Step<'a>>) {
    let count = Some(updates.len() as u64);
    let types = || Box::new(updates.iter().map(|v| v.resource_type.name()).collect::<Vec<_>>());
    let ids = || Box::new(updates.iter().map(|v| v.id.as_str()).collect::<Vec<_>>());
    let replaces = || Box::new(updates.iter().filter_map(|v| v.replaces).collect::<Vec<_>>());
    steps.push(Step { sql: HISTORY, params: vec![Box::new(documento_id), types(), ids(), replaces()], rows: count });
    if as_set {
        let mut params = versions(documento_id, updates);
        params.push(replaces());
        steps.push(Step { sql: UPDATES, params, rows: count });
    } else {
        let one = |version: &&'a Version| Step { sql: UPDATE, params: replacement(version), rows: Some(1) };
        steps.extend(updates.iter().map(one));
    }
    steps.push(Step { sql: CLEAR_STRING, params: vec![Box::new(documento_id), types(), ids()], rows: None });
    steps.push(Step { sql: CLEAR_RANGE, params: vec![Box::new(documento_id), types(), ids()], rows: None });
}

fn search_rows<'a>(documento_id: &'a str, rows: impl Iterator<Item = &'a Version> + Clone, steps: &mut Vec<Step<'a>>) {
    let strings = Strings::of(rows.clone().flat_map(|v| v.columns.strings.iter()));
    if !strings.key.is_empty() {
        let of = |f: fn(&'a Version) -> &'a str| -> Vec<&'a str> {
            rows.clone().flat_map(|v| v.columns.strings.iter().map(move |_| f(v))).collect()
        };
        let params: Vec<Box<dyn ToSql + Sync + Send + 'a>> = vec![
            Box::new(documento_id),
            Box::new(of(|v| v.resource_type.name())),
            Box::new(of(|v| &v.id)),
            Box::new(strings.key),
            Box::new(strings.value),
        ];
        steps.push(Step { sql: STRINGS, params, rows: None });
    }
    let ranges = Ranges::of(rows.clone().flat_map(|v| v.columns.ranges.iter()));
    if !ranges.key.is_empty() {
        let of = |f: fn(&'a Version) -> &'a str| -> Vec<&'a str> {
            rows.clone().flat_map(|v| v.columns.ranges.iter().map(move |_| f(v))).collect()
        };
        let params: Vec<Box<dyn ToSql + Sync + Send + 'a>> = vec![
            Box::new(documento_id),
            Box::new(of(|v| v.resource_type.name())),
            Box::new(of(|v| &v.id)),
            Box::new(ranges.key),
            Box::new(ranges.lo),
            Box::new(ranges.hi),
            Box::new(ranges.marks),
        ];
        steps.push(Step { sql: RANGES, params, rows: None });
    }
}

struct Strings<'a> {
    key: Vec<i64>,
    value: Vec<&'a str>,
}

impl<'a> Strings<'a> {
    fn of(rows: impl Iterator<Item = &'a (i64, String)>) -> Self {
        let (key, value) = rows.map(|(key, value)| (*key, value.as_str())).unzip();
        Strings { key, value }
    }
}

#[derive(Default)]
struct Ranges {
    key: Vec<i64>,
    lo: Vec<f64>,
    hi: Vec<f64>,
    /// As array literals.
    marks: Vec<String>,
}

impl Ranges {
    fn of<'a>(rows: impl Iterator<Item = &'a Range>) -> Self {
        let mut ranges = Ranges::default();
        for row in rows {
            ranges.key.push(row.key);
            ranges.lo.push(row.lo);
            ranges.hi.push(row.hi);
            ranges.marks.push(ints_literal(&row.marks));
        }
        ranges
    }
}

/// Sends the steps in their order without waiting between them, and looks at every answer.
async fn run(conn: &Conn, steps: &[Step<'_>]) -> Result<bool> {
    // Prepared first: a statement that still has to be prepared would be overtaken by those behind it.
    for step in steps {
        conn.prepare(step.sql).await?;
    }
    for chunk in steps.chunks(PIPELINED) {
        let sent = chunk.iter().map(|step| {
            let params: Vec<&(dyn ToSql + Sync)> = step.params.iter().map(|p| &**p as &(dyn ToSql + Sync)).collect();
            async move { conn.execute(step.sql, &params).await }
        });
        for (step, touched) in chunk.iter().zip(futures_util::future::join_all(sent).await) {
            let touched = touched?;
            if step.rows.is_some_and(|rows| rows != touched) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// `{"a","b"}`: PostgreSQL's array literal of texts.
pub(crate) fn texts_literal(items: &[String]) -> String {
    let mut text = String::from("{");
    for (n, item) in items.iter().enumerate() {
        text.push_str(if n > 0 { ",\"" } else { "\"" });
        for c in item.chars() {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push('"');
    }
    text.push('}');
    text
}

fn ints_literal(items: &[i64]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 + items.len() * 20);
    text.push('{');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        let _ = write!(text, "{item}");
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_literals() {
        assert_eq!(texts_literal(&[]), "{}");
        assert_eq!(texts_literal(&["a".into(), "b\"\\,{}".into()]), r#"{"a","b\"\\,{}"}"#);
        assert_eq!(ints_literal(&[-1, 2]), "{-1,2}");
    }
}
