//! How many rows have which search key, as ANALYZE has found it: what [`plan`](crate::search::plan) goes by.
//!
//! Read at the start and then every minute (`job/upkeep`). PostgreSQL analyzes a table by itself when a tenth of it has
//! changed, an import does so at its end. On a cluster each shard has statistics of its own: one statement asks all of
//! them, and what they say is added up. The planner of each shard goes by its own in any case.

use crate::error::{Error, Result};
use crate::search::plan::{Bounds, Statistics};
use crate::store::cluster;
use crate::store::pool::Conn;
use serde_json::Value;
use std::sync::{Arc, PoisonError, RwLock};

pub const STATEMENTS: &[&str] = &[READ];

// As many rows as the pages of now hold, if they are as full as those that were analyzed: as the planner reckons.
// The frequencies of elements end with the least, the greatest and that of null.
const READ: &str = "\
select json_build_object('rows', c.reltuples / greatest(c.relpages, 1) * (pg_relation_size(c.oid) / 8192), 'keys', k.most_common_elems::text::int8[], 'shares', k.most_common_elem_freqs,
  'types', t.most_common_vals::text::text[], 'parts', t.most_common_freqs)::text
from pg_class c
left join pg_stats k on k.schemaname = c.relnamespace::regnamespace::text and k.tablename = c.relname and k.attname = 'keys' and not k.inherited
left join pg_stats t on t.schemaname = k.schemaname and t.tablename = c.relname and t.attname = 'resource_type' and not t.inherited
where c.oid = 'resource'::regclass";

/// What the searches of this process know, and what one of them may cost.
#[derive(Debug)]
pub struct Known {
    pub bounds: Bounds,
    latest: RwLock<Option<Arc<Statistics>>>,
}

impl Known {
    pub fn new(bounds: Bounds) -> Known {
        Known { bounds, latest: RwLock::default() }
    }

    /// None as long as nothing was analyzed.
    pub fn latest(&self) -> Option<Arc<Statistics>> {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads the statistics afresh.
pub async fn refresh(conn: &Conn) -> Result<()> {
    let sql = if conn.is_citus() { cluster::STATISTICS } else { READ };
    let rows = conn.query(sql, &[]).await?;
    let mut sum = Statistics::default();
    for row in &rows {
        let text: Option<&str> = row.get(0);
        let Some(text) = text else { continue };
        add(&mut sum, &serde_json::from_str(text).map_err(|_| Error::internal("the statistics cannot be read"))?);
    }
    let known = (!sum.keys.is_empty()).then(|| Arc::new(sum));
    *conn.known().latest.write().unwrap_or_else(PoisonError::into_inner) = known;
    Ok(())
}

/// Adds what one table says.
fn add(sum: &mut Statistics, one: &Value) {
    let rows = one.get("rows").and_then(Value::as_f64).unwrap_or(0.0).max(0.0);
    let array = |name: &str| one.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let shares = |name: &str| array(name).iter().map(|share| share.as_f64().unwrap_or(0.0) * rows);
    let keys: Vec<(i64, f64)> = array("keys").iter().filter_map(Value::as_i64).zip(shares("shares")).collect();
    sum.rows += rows;
    sum.floor += keys.iter().map(|(_, rows)| *rows).reduce(f64::min).unwrap_or(rows);
    for (key, rows) in keys {
        *sum.keys.entry(key).or_default() += rows;
    }
    for (name, rows) in array("types").iter().filter_map(Value::as_str).zip(shares("parts")) {
        *sum.types.entry(name.to_owned()).or_default() += rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_are_added_up() {
        let mut sum = Statistics::default();
        add(
            &mut sum,
            &json!({"rows": 1000.0, "keys": [7, -8], "shares": [0.5, 0.01, 0.01, 0.5, 0], "types": ["Patient"], "parts": [0.25]}),
        );
        add(&mut sum, &json!({"rows": 100.0, "keys": [7], "shares": [0.1, 0.1, 0.1, 0], "types": null, "parts": null}));
        add(&mut sum, &json!({"rows": -1.0, "keys": null, "shares": null}));
        assert_eq!((sum.rows, sum.floor), (1100.0, 20.0));
        assert_eq!((sum.keys[&7], sum.keys[&-8]), (510.0, 10.0));
        assert_eq!(sum.types["Patient"], 250.0);
    }
}
