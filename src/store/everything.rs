//! Everything of one patient: the rows of its compartment in one statement, and what they name of the directory.

use crate::access::Access;
use crate::error::{Error, Result};
use crate::fhir::definitions::ResourceType;
use crate::search::sql::{self, Guard, Member, Members};
use crate::store::placement::NOBODY;
use crate::store::pool::Conn;
use crate::store::resource::Stored;
use crate::store::search::bound;
use std::collections::HashMap;
use tokio_postgres::Row;

pub const STATEMENTS: &[&str] = &[DIRECTORY];

/// A current version and its type.
pub type Typed = (ResourceType, Stored);

/// The rows of a compartment of the types that `accesses` allow, in the order of type and id. `own`: where the rows of a
/// caller lie who sees one record.
pub async fn compartment(
    conn: &Conn,
    accesses: &[Access],
    member: Member<'_>,
    own: Option<&[String]>,
    members: &Members<'_>,
) -> Result<Vec<Typed>> {
    match (member, own) {
        (Member::Patient(_, documents), _) | (Member::Keys(_), Some(documents)) => {
            documents.iter().try_for_each(|documento_id| conn.reach(documento_id))?;
        }
        (Member::Keys(_), None) => conn.reach_all()?,
    }
    let own = own.filter(|_| matches!(member, Member::Keys(_)));
    let statement = sql::compartment(member, &sights(accesses, own), members);
    // By keys it is planned for its values: a kept plan would not know how rare they are.
    let fenced = matches!(member, Member::Patient(..));
    let rows = conn.query_generated(&statement.sql, fenced, &bound(&statement)).await?;
    let by_type: HashMap<&str, &Access> =
        accesses.iter().map(|access| (access.resource_type().name(), access)).collect();
    rows.iter().map(|row| seen(row, &by_type)).collect()
}

/// The types that are allowed, by their guard.
pub(super) fn sights(accesses: &[Access], own: Option<&[String]>) -> Vec<(Guard, Vec<String>)> {
    let mut sights: Vec<(Guard, Vec<String>)> = Vec::new();
    for access in accesses {
        let own = own.filter(|_| access.owner().is_some()).map(<[String]>::to_vec);
        let (guard, name) = (access.guard(own), access.resource_type().name().to_owned());
        match sights.iter_mut().find(|(known, _)| *known == guard) {
            Some((_, types)) => types.push(name),
            None => sights.push((guard, vec![name])),
        }
    }
    sights
}

const DIRECTORY: &str = "\
select r.resource_type, r.documento_id, r.id, r.version, r.updated, r.body, r.encoding, r.owner, r.labels, r.patient
from unnest($2::text[], $3::text[]) k(resource_type, id) cross join lateral (
  select * from resource o where o.documento_id = $1 and o.resource_type = k.resource_type and o.id = k.id and not o.deleted limit 1) r";

/// The resources of the directory among these ids. A type whose access is bound to a patient or to a state is not asked for.
pub async fn directory(conn: &Conn, accesses: &[Access], ids: &[(ResourceType, String)]) -> Result<Vec<Typed>> {
    let by_type: HashMap<&str, &Access> = accesses
        .iter()
        .filter(|access| access.guard(None) == Guard::default())
        .map(|access| (access.resource_type().name(), access))
        .collect();
    let wanted = || ids.iter().filter(|(ty, _)| by_type.contains_key(ty.name()));
    let types: Vec<&str> = wanted().map(|(ty, _)| ty.name()).collect();
    let names: Vec<&str> = wanted().map(|(_, id)| id.as_str()).collect();
    if types.is_empty() {
        return Ok(Vec::new());
    }
    conn.reach(NOBODY)?;
    let rows = conn.query(DIRECTORY, &[&NOBODY, &types, &names]).await?;
    rows.iter().map(|row| seen(row, &by_type)).collect()
}

/// A row, and the second wall: it is judged once more by the access of its type.
pub(super) fn seen(row: &Row, accesses: &HashMap<&str, &Access>) -> Result<Typed> {
    let name: &str = row.get(0);
    let (Some(access), Some(resource_type)) = (accesses.get(name), ResourceType::parse(name)) else {
        return Err(Error::internal("a row of a type came that was not asked for"));
    };
    if row.get::<_, i16>(6) != 0 {
        return Err(Error::internal("a body has an encoding that this version cannot read"));
    }
    let stored = Stored {
        documento_id: row.get(1),
        id: row.get(2),
        version: row.get(3),
        method: String::new(),
        updated: row.get(4),
        deleted: false,
        owner: row.get(7),
        labels: row.get(8),
        patient: row.get(9),
        body: row.get(5),
    };
    if !access.sees(&stored.owner, &stored.labels) {
        tracing::error!(resource_type = name, "ALARM: a row passed the guard that the caller may not see");
        return Err(Error::internal("a row passed the guard that the caller may not see"));
    }
    Ok((resource_type, stored))
}
