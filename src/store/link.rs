//! What chains and `_has` search for: all matches of a query up to its count, in no order.

use crate::access::Access;
use crate::error::Result;
use crate::search::query::{Cursor, Query};
use crate::search::sql::{self, Guard};
use crate::store::pool::Conn;
use crate::store::resource::Stored;
use crate::store::search::{Page, bound, hit, reach};
use tokio_postgres::Row;

pub const STATEMENTS: &[&str] = &[ELSEWHERE];

/// All matches; none when there are more than the query's count. `documents` as for a page, and then the rows lie there.
pub async fn found(
    conn: &Conn,
    access: &Access,
    guard: &Guard,
    query: &Query,
    documents: Option<&[String]>,
) -> Result<Option<Vec<Stored>>> {
    if query.is_hopeless() || documents.is_some_and(<[String]>::is_empty) {
        return Ok(Some(Vec::new()));
    }
    reach(conn, guard, documents)?;
    let statement = match documents {
        Some(documents) if documents.len() == 1 || !conn.is_citus() => sql::timeline(query, guard, documents),
        None if !conn.is_citus() => sql::pick(query, guard, conn.known().bounds.picked),
        _ => sql::found(query, guard, documents),
    };
    let fenced = !conn.is_citus() || documents.is_some_and(|documents| documents.len() == 1);
    let mut rows = conn.query_generated(&statement.sql, fenced, &bound(&statement)).await?;
    if rows.iter().any(|row| row.get::<_, bool>(11)) {
        let statement = sql::found(query, guard, documents);
        rows = conn.query_generated(&statement.sql, false, &bound(&statement)).await?;
    }
    if rows.len() > query.count as usize {
        return Ok(None);
    }
    let is_row = |row: &&Row| row.get::<_, Option<&str>>(1).is_some();
    rows.iter().filter(is_row).map(|row| hit(row, access)).collect::<Result<_>>().map(Some)
}

/// One page of the rows of many patients; see [`sql::each`].
pub async fn each(
    conn: &Conn,
    access: &Access,
    guard: &Guard,
    query: &Query,
    pairs: &[(String, i64)],
    at: usize,
) -> Result<Page> {
    pairs.iter().try_for_each(|(documento_id, _)| conn.reach(documento_id))?;
    let statement = sql::each(query, guard, pairs, at);
    let rows = conn.query_generated(&statement.sql, true, &bound(&statement)).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push((hit(row, access)?, row.get(4)));
    }
    let more = found.len() > query.count as usize;
    found.truncate(query.count as usize);
    let last =
        found.last().map(|(row, values): &(Stored, Vec<String>)| Cursor { values: values.clone(), id: row.id.clone() });
    Ok(Page { rows: found.into_iter().map(|(row, _)| row).collect(), next: last.clone().filter(|_| more), last })
}

const ELSEWHERE: &str = "select patient_id, documento_id from record_key limit $1";

/// The patients of whom rows lie under another key than their own, each with such a key; up to `limit`.
pub async fn elsewhere(conn: &Conn, limit: i64) -> Result<Vec<(String, String)>> {
    let rows = conn.query(ELSEWHERE, &[&limit]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
