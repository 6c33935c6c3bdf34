//! What stored versions are found by, stored once more: the versions themselves stay as they are.

use super::{CLEAR_RANGE, CLEAR_STRING, Param, Step, Version, run, search_rows};
use crate::error::Result;
use crate::store::pool::Conn;
use std::collections::BTreeMap;

pub const STATEMENTS: &[&str] = &[AGAIN];

/// A version with its new columns; only its key, number and columns count.
pub type Row = Version;

// Compare and set: who writes a newer version meanwhile wins.
const AGAIN: &str = "\
update resource set patient = $5, sort_date = coalesce($6, '-infinity'::timestamptz), date_lo = $7, date_hi = $8, num_lo = $9, num_hi = $10,
    raw_lo = $11, raw_hi = $12, keys = $13
where documento_id = $1 and resource_type = $2 and id = $3 and version = $4";

/// Inside the open transaction of `conn`. False: one of the versions is not the current one any more.
pub async fn store(conn: &Conn, rows: &[Row]) -> Result<bool> {
    let mut by_documento: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        by_documento.entry(&row.documento_id).or_default().push(row);
    }
    let mut steps = Vec::new();
    for (documento_id, rows) in &by_documento {
        for row in rows {
            steps.push(Step { sql: AGAIN, params: columns(row), rows: Some(1) });
        }
        let types = || Box::new(rows.iter().map(|row| row.resource_type.name()).collect::<Vec<_>>());
        let ids = || Box::new(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>());
        steps.push(Step { sql: CLEAR_STRING, params: vec![Box::new(*documento_id), types(), ids()], rows: None });
        steps.push(Step { sql: CLEAR_RANGE, params: vec![Box::new(*documento_id), types(), ids()], rows: None });
        search_rows(documento_id, rows.iter().copied(), &mut steps);
    }
    run(conn, &steps).await
}

fn columns(row: &Row) -> Vec<Param<'_>> {
    let c = &row.columns;
    vec![
        Box::new(row.documento_id.as_str()),
        Box::new(row.resource_type.name()),
        Box::new(row.id.as_str()),
        Box::new(row.version),
        Box::new(&c.patient),
        Box::new(c.sort_date),
        Box::new(c.date_lo),
        Box::new(c.date_hi),
        Box::new(c.num_lo),
        Box::new(c.num_hi),
        Box::new(c.raw_lo),
        Box::new(c.raw_hi),
        Box::new(&c.keys),
    ]
}
