//! Where a thing lives: which documento_id a resource lies under (docs/storage, "Placement").
//!
//! Ids carry their record: `<record_id>.<tail>` inside a record, the record_id for a server-made Patient, a UUID v7 for
//! what belongs to nobody. Client-chosen ids stand in the directory. What is found is immutable and cached; a miss never is.

use crate::error::Result;
use crate::fhir::definitions::ResourceType;
use crate::store::pool::Conn;
use moka::sync::Cache;
use std::collections::HashMap;
use std::sync::Arc;

pub const STATEMENTS: &[&str] =
    &[RECORDS_BY_ID, RECORDS_BY_PATIENT, RECORD_BY_IDENTITY, DIRECTORY, FURTHER_KEYS, FURTHER_KEYS_OF, LOCK_RECORD];

/// The documento_id of what belongs to no patient.
pub const NOBODY: &str = "-";

/// Records kept in memory (about 150 bytes each).
const RECORDS: u64 = 200_000;
const DIRECTORY_ROWS: u64 = 200_000;

/// A patient record.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    pub record_id: String,
    pub documento_id: String,
    pub patient_id: String,
}

const RECORDS_BY_ID: &str = "select record_id, documento_id, patient_id from record where record_id = any($1)";
const RECORDS_BY_PATIENT: &str = "select record_id, documento_id, patient_id from record where patient_id = any($1)";
const RECORD_BY_IDENTITY: &str = "select record_id, documento_id, patient_id from record where identity = $1";
const DIRECTORY: &str = "\
select d.resource_type, d.id, d.documento_id
from unnest($1::text[], $2::text[]) k(resource_type, id) join resource_directory d on d.resource_type = k.resource_type and d.id = k.id";
const FURTHER_KEYS: &str = "select documento_id from record_key where patient_id = $1";
const FURTHER_KEYS_OF: &str = "select patient_id, documento_id from record_key where patient_id = any($1)";
const LOCK_RECORD: &str = "select 1 from record where record_id = $1 for update";

/// What an id says about where its resource lies.
#[derive(Debug, PartialEq, Eq)]
enum Form<'a> {
    /// `<record_id>.<tail>`
    Inside(&'a str),
    /// A Patient, by its id.
    Patient,
    /// A UUID v7: of nobody.
    Shared,
    /// A client's own.
    Foreign,
}

fn form(resource_type: ResourceType, id: &str) -> Form<'_> {
    let base32 = |text: &str| {
        text.bytes().all(|b| b.is_ascii_digit() || (b.is_ascii_lowercase() && !matches!(b, b'i' | b'l' | b'o' | b'u')))
    };
    if resource_type.name() == "Patient" {
        return Form::Patient;
    }
    if let Some((record, tail)) = id.split_once('.')
        && record.len() == 10
        && tail.len() == 26
        && base32(record)
        && base32(tail)
    {
        return Form::Inside(record);
    }
    match uuid::Uuid::try_parse(id) {
        Ok(uuid) if uuid.get_version_num() == 7 => Form::Shared,
        _ => Form::Foreign,
    }
}

/// The caches of placement.
pub struct Placement {
    by_id: Cache<String, Arc<Record>>,
    by_patient: Cache<String, Arc<Record>>,
    directory: Cache<(ResourceType, String), Arc<str>>,
}

impl Default for Placement {
    fn default() -> Self {
        Placement { by_id: Cache::new(RECORDS), by_patient: Cache::new(RECORDS), directory: Cache::new(DIRECTORY_ROWS) }
    }
}

impl Placement {
    /// Where ids lead without asking the directory: one query for the records that are not cached.
    pub async fn candidates(&self, conn: &Conn, ids: &[(ResourceType, &str)]) -> Result<Vec<Option<String>>> {
        let of = |wanted: fn(&Form<'_>) -> bool| ids.iter().filter(move |(ty, id)| wanted(&form(*ty, id)));
        let patients: Vec<&str> = of(|f| *f == Form::Patient).map(|(_, id)| *id).collect();
        let inside: Vec<&str> = ids
            .iter()
            .filter_map(|(ty, id)| if let Form::Inside(r) = form(*ty, id) { Some(r) } else { None })
            .collect();
        let patients = self.records_of(conn, &patients).await?;
        let inside = self.records(conn, &inside).await?;
        Ok(ids
            .iter()
            .map(|(ty, id)| match form(*ty, id) {
                Form::Inside(record) => inside.get(record).map(|r| r.documento_id.clone()),
                Form::Patient => patients.get(*id).map(|r| r.documento_id.clone()),
                Form::Shared => Some(NOBODY.to_owned()),
                Form::Foreign => None,
            })
            .collect())
    }

    /// Where the directory says that ids lie.
    pub async fn directory(&self, conn: &Conn, ids: &[(ResourceType, &str)]) -> Result<Vec<Option<String>>> {
        let key = |(ty, id): &(ResourceType, &str)| (*ty, (*id).to_owned());
        let mut found: Vec<Option<String>> =
            ids.iter().map(|id| self.directory.get(&key(id)).map(|d| d.to_string())).collect();
        let missing: Vec<&(ResourceType, &str)> =
            ids.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(id, _)| id).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let types: Vec<&str> = missing.iter().map(|(ty, _)| ty.name()).collect();
        let names: Vec<&str> = missing.iter().map(|(_, id)| *id).collect();
        let mut rows = HashMap::new();
        for row in conn.query(DIRECTORY, &[&types, &names]).await? {
            if let Some(ty) = ResourceType::parse(row.get(0)) {
                let documento_id: String = row.get(2);
                if !conn.is_in_transaction() {
                    self.directory.insert((ty, row.get(1)), documento_id.as_str().into());
                }
                rows.insert((ty, row.get::<_, String>(1)), documento_id);
            }
        }
        for (id, slot) in ids.iter().zip(&mut found) {
            if slot.is_none() {
                *slot = rows.get(&key(id)).cloned();
            }
        }
        Ok(found)
    }

    /// Records by the ids of their Patients.
    pub async fn records_of(&self, conn: &Conn, patients: &[&str]) -> Result<HashMap<String, Arc<Record>>> {
        self.cached(conn, &self.by_patient, RECORDS_BY_PATIENT, patients, |r| &r.patient_id).await
    }

    async fn records(&self, conn: &Conn, record_ids: &[&str]) -> Result<HashMap<String, Arc<Record>>> {
        self.cached(conn, &self.by_id, RECORDS_BY_ID, record_ids, |r| &r.record_id).await
    }

    async fn cached(
        &self,
        conn: &Conn,
        cache: &Cache<String, Arc<Record>>,
        sql: &'static str,
        names: &[&str],
        name: fn(&Record) -> &String,
    ) -> Result<HashMap<String, Arc<Record>>> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for wanted in names {
            match cache.get(*wanted) {
                Some(record) => drop(found.insert((*wanted).to_owned(), record)),
                None => missing.push(*wanted),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        for row in conn.query(sql, &[&missing]).await? {
            let record = Arc::new(Record { record_id: row.get(0), documento_id: row.get(1), patient_id: row.get(2) });
            if !conn.is_in_transaction() {
                self.by_id.insert(record.record_id.clone(), record.clone());
                self.by_patient.insert(record.patient_id.clone(), record.clone());
            }
            found.insert(name(&record).clone(), record);
        }
        Ok(found)
    }

    /// The record that HL7 v2 opened for an identity.
    pub async fn record_of_identity(&self, conn: &Conn, identity: &[u8]) -> Result<Option<Record>> {
        let row = conn.query_opt(RECORD_BY_IDENTITY, &[&identity]).await?;
        Ok(row.map(|row| Record { record_id: row.get(0), documento_id: row.get(1), patient_id: row.get(2) }))
    }
}

/// The further documento_ids under which data of a patient lie.
pub async fn further_keys(conn: &Conn, patient: &str) -> Result<Vec<String>> {
    Ok(conn.query(FURTHER_KEYS, &[&patient]).await?.iter().map(|row| row.get(0)).collect())
}

/// The same of many patients: (patient, documento_id).
pub async fn further_keys_of(conn: &Conn, patients: &[&str]) -> Result<Vec<(String, String)>> {
    Ok(conn.query(FURTHER_KEYS_OF, &[&patients]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Holds a record until the transaction ends: messages of one patient are applied one at a time.
pub async fn lock_record(conn: &Conn, record_id: &str) -> Result<()> {
    conn.query(LOCK_RECORD, &[&record_id]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_where() {
        let check = |ty: &str, id: &str, expected: Form<'_>| {
            assert_eq!(form(ResourceType::parse(ty).unwrap(), id), expected, "{id}")
        };
        check("Observation", "0123456789.0123456789abcdefghjkmnpqrs", Form::Inside("0123456789"));
        check("Observation", "0123456789.0123456789abcdefghjkmnpqrl", Form::Foreign);
        check("Observation", "0123456789", Form::Foreign);
        check("Patient", "anything", Form::Patient);
        check("Organization", "01890a5d-ac96-774b-bcce-b302099a8057", Form::Shared);
        check("Organization", "f81d4fae-7dec-41d0-a765-00a0c91e6bf6", Form::Foreign);
    }
}
