//! Rows one by one, for small units on a cluster.
//!
//! INSERT ... VALUES goes to its one shard as it is. INSERT ... SELECT FROM unnest is gathered by the coordinator and sent
//! as a copy, with a commit in two phases: twice the CPU for a few rows, less for many.

use super::{Step, UPDATE, Version, replacement};
use crate::error::{Error, Result};
use crate::store::audit::{Batch, Event, INSERT};
use crate::store::pool::Conn;

pub const STATEMENTS: &[&str] = &[CREATE, HISTORY, CLEAR_STRING, CLEAR_RANGE, STRING, RANGE, AUDIT];

/// Up to this many rows are sent one by one: they fit into one flight.
pub const FEW: usize = 24;

const CREATE: &str = "\
insert into resource (documento_id, resource_type, id, version, method, updated, deleted, patient, owner, labels, sort_date,
    date_lo, date_hi, num_lo, num_hi, raw_lo, raw_hi, keys, body)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, '-infinity'::timestamptz), $12, $13, $14, $15, $16, $17, $18, $19)
on conflict do nothing";
// By its key: as a set they would be joined with all rows of the patient.
const HISTORY: &str = "\
insert into resource_history (documento_id, resource_type, id, version, method, updated, deleted, patient, owner, labels, body, encoding)
select r.documento_id, r.resource_type, r.id, r.version, r.method, r.updated, r.deleted, r.patient, r.owner, r.labels, r.body, r.encoding
from resource r where r.documento_id = $1 and r.resource_type = $2 and r.id = $3 and r.version = $4
for no key update of r on conflict do nothing returning 1";
const CLEAR_STRING: &str = "delete from search_string where documento_id = $1 and resource_type = $2 and id = $3";
const CLEAR_RANGE: &str = "delete from search_range where documento_id = $1 and resource_type = $2 and id = $3";
const STRING: &str =
    "insert into search_string (documento_id, resource_type, id, key, value) values ($1, $2, $3, $4, $5)";
const RANGE: &str = "insert into search_range (documento_id, resource_type, id, key, lo, hi, marks) values ($1, $2, $3, $4, $5, $6, $7)";
pub const AUDIT: &str = "\
insert into audit_event (documento_id, recorded, id, action, outcome, actor, role, patient_id, resource_type, resource_id, version, request_id, detail)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// How many rows these are.
pub fn count<'a>(versions: impl Iterator<Item = &'a Version>, events: &[Event]) -> usize {
    let of = |v: &Version| {
        let own = if v.replaces.is_some() { 4 } else { 1 };
        own + v.columns.strings.len() + v.columns.ranges.len()
    };
    versions.map(of).sum::<usize>() + events.len()
}

/// The row of a new version.
pub(super) fn create(version: &Version) -> Step<'_> {
    let mut params = replacement(version);
    // It replaces none.
    params.pop();
    Step { sql: CREATE, params, rows: Some(1) }
}

/// As `replacing`, of one version.
pub(super) fn replace<'a>(v: &'a Version, steps: &mut Vec<Step<'a>>) {
    let key = || -> Vec<super::Param<'a>> {
        vec![Box::new(v.documento_id.as_str()), Box::new(v.resource_type.name()), Box::new(v.id.as_str())]
    };
    let mut before = key();
    before.push(Box::new(v.replaces));
    steps.push(Step { sql: HISTORY, params: before, rows: Some(1) });
    steps.push(Step { sql: UPDATE, params: replacement(v), rows: Some(1) });
    steps.push(Step { sql: CLEAR_STRING, params: key(), rows: None });
    steps.push(Step { sql: CLEAR_RANGE, params: key(), rows: None });
}

/// The search rows of versions.
pub(super) fn search<'a>(versions: impl Iterator<Item = &'a Version>, steps: &mut Vec<Step<'a>>) {
    for v in versions {
        let (documento_id, resource_type) = (v.documento_id.as_str(), v.resource_type.name());
        for (key, value) in &v.columns.strings {
            let params: Vec<super::Param<'a>> = vec![
                Box::new(documento_id),
                Box::new(resource_type),
                Box::new(v.id.as_str()),
                Box::new(key),
                Box::new(value.as_str()),
            ];
            steps.push(Step { sql: STRING, params, rows: Some(1) });
        }
        for range in &v.columns.ranges {
            let params: Vec<super::Param<'a>> = vec![
                Box::new(documento_id),
                Box::new(resource_type),
                Box::new(v.id.as_str()),
                Box::new(range.key),
                Box::new(range.lo),
                Box::new(range.hi),
                Box::new(&range.marks),
            ];
            steps.push(Step { sql: RANGE, params, rows: Some(1) });
        }
    }
}

pub(super) fn audit(event: &Event) -> Step<'_> {
    Step { sql: AUDIT, params: values(event), rows: Some(1) }
}

/// Records as one commit of a node itself, which `commit` ends: a few of them one by one, which is half of what a set costs.
pub async fn audits(conn: &Conn, events: &[&Event], commit: &str) -> Result<u64> {
    let steps: Vec<Step<'_>> = match events.len() <= FEW {
        true => events.iter().map(|event| audit(event)).collect(),
        false => vec![Step { sql: INSERT, params: Batch::of(events.iter().copied()).into_params(), rows: None }],
    };
    // Prepared first: a statement that still has to be prepared would be overtaken by those behind it.
    for step in &steps {
        conn.prepare(step.sql).await?;
    }
    // Polled in this order, and so sent in this order.
    let (begun, written, committed) =
        futures_util::future::join3(conn.batch("begin"), super::run(conn, &steps), conn.batch(commit)).await;
    begun?;
    // COMMIT of a failed transaction answers OK, so every answer counts.
    let written = written?;
    committed?;
    if written { Ok(events.len() as u64) } else { Err(Error::internal("an audit record was not written")) }
}

/// The columns of one record.
pub fn values(e: &Event) -> Vec<super::Param<'_>> {
    vec![
        Box::new(e.documento_id.as_str()),
        Box::new(e.recorded),
        Box::new(e.id),
        Box::new(e.action),
        Box::new(e.outcome.code()),
        Box::new(e.actor.as_str()),
        Box::new(e.role),
        Box::new(e.patient_id.as_deref()),
        Box::new(e.resource_type),
        Box::new(e.resource_id.as_deref()),
        Box::new(e.version),
        Box::new(e.request_id.as_str()),
        Box::new(e.detail.as_deref()),
    ]
}
