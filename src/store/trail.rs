//! The audit trail of one patient: who has done what with the record, without content.

use crate::error::Result;
use crate::store::pool::Conn;
use jiff::Timestamp;
use std::collections::HashMap;
use uuid::Uuid;

pub const STATEMENTS: &[&str] = &[OF_PATIENT, NAMES, WRITERS];

/// One thing that somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    pub recorded: Timestamp,
    pub action: String,
    pub actor: String,
    pub role: String,
    pub resource_type: Option<String>,
}

// The keys of the record lead: one shard each on Citus, and the primary key walked backwards.
const OF_PATIENT: &str = "\
select recorded, action, actor, role, resource_type from audit_event
where documento_id = any($1) and patient_id = $2 and actor <> $3 and outcome = 0
order by recorded desc, id desc limit $4";

/// The newest records of a patient that are not of `except`, at most `most`. `documents`: the keys under which they lie.
pub async fn of_patient(
    conn: &Conn,
    documents: &[String],
    patient: &str,
    except: &str,
    most: i64,
) -> Result<Vec<Sight>> {
    documents.iter().try_for_each(|documento_id| conn.reach(documento_id))?;
    let rows = conn.query(OF_PATIENT, &[&documents, &patient, &except, &most]).await?;
    let sight = |row: &tokio_postgres::Row| Sight {
        recorded: row.get(0),
        action: row.get(1),
        actor: row.get(2),
        role: row.get(3),
        resource_type: row.get(4),
    };
    Ok(rows.iter().map(sight).collect())
}

// A write and its record are of one commit: what is far from the versions' own times need not be looked through.
const WRITERS: &str = "\
select version, actor from audit_event
where documento_id = any($1) and recorded between $2::timestamptz - interval '10 minutes' and $3::timestamptz + interval '10 minutes'
  and resource_type = $4 and resource_id = $5 and version is not null and outcome = 0 and action in ('create', 'update', 'patch')";

/// Who wrote the versions of a resource that were saved from `first` to `last`.
pub async fn writers(
    conn: &Conn,
    documents: &[String],
    (resource_type, id): (&str, &str),
    (first, last): (Timestamp, Timestamp),
) -> Result<Vec<(i64, String)>> {
    let rows = conn.query(WRITERS, &[&documents, &first, &last, &resource_type, &id]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

const NAMES: &str = "select id, nombre from usuario where id = any($1)";

/// What accounts are called.
pub async fn names(conn: &Conn, ids: &[Uuid]) -> Result<HashMap<Uuid, String>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    conn.reach_all()?;
    let rows = conn.query(NAMES, &[&ids]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
