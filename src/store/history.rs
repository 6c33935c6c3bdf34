//! Versions of resources of many types, the newest first.
//!
//! Current and superseded versions are two tables and two statements, the current ones first: on a cluster parts of one
//! statement see different moments, and a version that is superseded in between must come twice rather than never.

use crate::access::Access;
use crate::error::{Error, Result};
use crate::fhir::definitions::ResourceType;
use crate::search::sql::{self, Kept, Span};
use crate::store::everything::{Typed, sights};
use crate::store::pool::Conn;
use crate::store::resource::Stored;
use crate::store::search::bound;
use std::collections::HashMap;
use tokio_postgres::Row;

/// At most `span.limit` versions of the types that `accesses` allow. `own`: where the rows of a caller lie who sees one
/// record.
pub async fn versions(conn: &Conn, accesses: &[Access], own: Option<&[String]>, span: &Span<'_>) -> Result<Vec<Typed>> {
    let mut versions = read(conn, Kept::Current, accesses, own, span).await?;
    versions.extend(read(conn, Kept::Superseded, accesses, own, span).await?);
    versions.sort_by(|(t, a), (u, b)| {
        b.updated.cmp(&a.updated).then_with(|| t.name().cmp(u.name())).then_with(|| b.id.cmp(&a.id))
    });
    versions.dedup_by(|(t, a), (u, b)| t == u && a.id == b.id && a.version == b.version);
    versions.truncate(usize::try_from(span.limit).unwrap_or(usize::MAX));
    Ok(versions)
}

/// The current versions that are not deleted, the newest first.
pub async fn newest(conn: &Conn, accesses: &[Access], own: Option<&[String]>, span: &Span<'_>) -> Result<Vec<Typed>> {
    read(conn, Kept::Living, accesses, own, span).await
}

async fn read(
    conn: &Conn,
    kept: Kept,
    accesses: &[Access],
    own: Option<&[String]>,
    span: &Span<'_>,
) -> Result<Vec<Typed>> {
    match own.filter(|_| accesses.iter().all(|access| access.owner().is_some())) {
        Some(documents) => documents.iter().try_for_each(|documento_id| conn.reach(documento_id))?,
        None => conn.reach_all()?,
    }
    let sights = sights(accesses, own);
    if sights.is_empty() {
        return Ok(Vec::new());
    }
    let statement = sql::versions(kept, &sights, span);
    let rows = conn.query_generated(&statement.sql, true, &bound(&statement)).await?;
    let by_type: HashMap<&str, &Access> =
        accesses.iter().map(|access| (access.resource_type().name(), access)).collect();
    rows.iter().map(|row| seen(row, &by_type)).collect()
}

/// A row, and the second wall: it is judged once more by the access of its type.
fn seen(row: &Row, accesses: &HashMap<&str, &Access>) -> Result<Typed> {
    let name: &str = row.get(0);
    let (Some(access), Some(resource_type)) = (accesses.get(name), ResourceType::parse(name)) else {
        return Err(Error::internal("a row of a type came that was not asked for"));
    };
    if row.get::<_, i16>(11) != 0 {
        return Err(Error::internal("a body has an encoding that this version cannot read"));
    }
    let stored = Stored {
        documento_id: row.get(1),
        id: row.get(2),
        version: row.get(3),
        method: row.get(4),
        updated: row.get(5),
        deleted: row.get(6),
        owner: row.get(7),
        patient: row.get(8),
        labels: row.get(9),
        body: row.get(10),
    };
    if !access.sees(&stored.owner, &stored.labels) {
        tracing::error!(resource_type = name, "ALARM: a row passed the guard that the caller may not see");
        return Err(Error::internal("a row passed the guard that the caller may not see"));
    }
    Ok((resource_type, stored))
}
