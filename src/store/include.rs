//! Rows of several types that come beside matches: by their place, or by keys that they have.

use crate::access::Access;
use crate::error::Result;
use crate::search::sql::{self, Guard, Source};
use crate::store::everything::{Typed, seen};
use crate::store::pool::Conn;
use crate::store::search::bound;
use std::collections::HashMap;

/// Which rows are wanted.
pub struct Wanted<'a> {
    pub source: &'a Source,
    /// Type and id of the row before.
    pub after: Option<(&'a str, &'a str)>,
    /// `Type/id` of what is there already.
    pub known: &'a [String],
    pub limit: usize,
}

/// Rows of the types that `accesses` allow, in the order of type and id. `own`: where the rows of a caller lie who is bound
/// to a patient.
pub async fn rows(conn: &Conn, accesses: &[Access], own: Option<&[String]>, wanted: &Wanted<'_>) -> Result<Vec<Typed>> {
    match wanted.source {
        Source::Places(places) => places.iter().try_for_each(|[documento_id, ..]| conn.reach(documento_id))?,
        Source::Keys(_) => conn.reach_all()?,
    }
    let mut sights: Vec<(Guard, Vec<String>)> = Vec::new();
    for access in accesses {
        let documents = own.filter(|_| access.owner().is_some()).map(<[String]>::to_vec);
        let (guard, name) = (access.guard(documents), access.resource_type().name().to_owned());
        match sights.iter_mut().find(|(known, _)| *known == guard) {
            Some((_, types)) => types.push(name),
            None => sights.push((guard, vec![name])),
        }
    }
    let limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX);
    let statement = sql::included(wanted.source, &sights, wanted.after, wanted.known, limit, conn.is_citus());
    let rows = conn.query_generated(&statement.sql, !conn.is_citus(), &bound(&statement)).await?;
    let by_type: HashMap<&str, &Access> =
        accesses.iter().map(|access| (access.resource_type().name(), access)).collect();
    rows.iter().map(|row| seen(row, &by_type)).collect()
}
