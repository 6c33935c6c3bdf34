//! Who looked at one's own record: what a patient sees of the audit trail. Asking is itself audited.

use crate::access::{Caller, Role};
use crate::app::App;
use crate::audit::{Event, Outcome};
use crate::error::{Error, Kind, Result};
use crate::fhir::outcome;
use crate::store;
use crate::store::trail::Sight;
use jiff::Timestamp;
use std::collections::HashMap;
use uuid::Uuid;

/// Records that are read; older ones are told by the administrator.
pub const MOST: i64 = 1000;
const ACTION: &str = "audit";

/// What others did with the record of the caller, newest first, and what their accounts are called.
pub struct Sights {
    pub done: Vec<Sight>,
    names: HashMap<Uuid, String>,
    /// Whether there is more than was read.
    pub more: bool,
}

impl Sights {
    /// The name of the person of an actor; none when it is no person's account.
    pub fn name(&self, actor: &str) -> Option<&str> {
        account(actor).and_then(|id| self.names.get(&id)).map(String::as_str)
    }
}

fn account(actor: &str) -> Option<Uuid> {
    actor.strip_prefix("usuario/").and_then(|id| Uuid::try_parse(id).ok())
}

/// The one Patient of a patient's account.
pub fn own(caller: &Caller) -> Result<&str> {
    let own = caller.patient.as_deref().filter(|_| caller.role == Role::Paciente);
    own.ok_or_else(|| Error::new(Kind::Forbidden, "the role has no record of its own"))
}

pub async fn of_own(app: &App, caller: &Caller) -> Result<Sights> {
    let patient = match own(caller) {
        Ok(patient) => patient,
        Err(error) => {
            app.audit
                .record(vec![Event::new(caller, ACTION).ended(Outcome::Minor, outcome::issue_code(error.kind))])
                .await?;
            return Err(error);
        }
    };
    let (documento_id, mut sights) = app.pool.within(read(app, caller, patient)).await?;
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    sights.more = sights.done.len() >= most;
    let event = Event { patient_id: Some(patient.to_owned()), documento_id, ..Event::new(caller, ACTION) };
    app.audit.record(vec![event]).await?;
    Ok(sights)
}

/// What the people are called who wrote the versions of a resource which the caller has just read, by version; a version
/// of no person's account is not among them. `times`: when the first and the last of them were saved.
pub async fn writers(
    app: &App,
    patient: &str,
    of: (&str, &str),
    times: (Timestamp, Timestamp),
) -> Result<HashMap<i64, String>> {
    app.pool
        .within(async {
            let conn = app.pool.lane().await?;
            let documents = documents(app, &conn, patient).await?;
            let wrote = store::trail::writers(&conn, &documents, of, times).await?;
            let wrote: Vec<(i64, Uuid)> = wrote.iter().filter_map(|(n, actor)| Some((*n, account(actor)?))).collect();
            let people: Vec<Uuid> = wrote.iter().map(|(_, id)| *id).collect();
            let names = store::trail::names(&conn, &people).await?;
            Ok(wrote.into_iter().filter_map(|(n, id)| Some((n, names.get(&id)?.clone()))).collect())
        })
        .await
}

/// The keys under which the record of a patient lies, its present one last.
async fn documents(app: &App, conn: &store::pool::Conn, patient: &str) -> Result<Vec<String>> {
    let records = app.placement.records_of(conn, &[patient]).await?;
    let record = records.get(patient).ok_or_else(|| Error::new(Kind::NotFound, "there is no such resource"))?;
    let mut documents = store::placement::further_keys(conn, patient).await?;
    documents.push(record.documento_id.clone());
    Ok(documents)
}

async fn read(app: &App, caller: &Caller, patient: &str) -> Result<(String, Sights)> {
    let conn = app.pool.lane().await?;
    let documents = documents(app, &conn, patient).await?;
    let done = store::trail::of_patient(&conn, &documents, patient, &caller.actor, MOST).await?;
    let mut people: Vec<Uuid> = done.iter().filter_map(|sight| account(&sight.actor)).collect();
    people.sort();
    people.dedup();
    let names = store::trail::names(&conn, &people).await?;
    Ok((documents.last().cloned().unwrap_or_default(), Sights { done, names, more: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_patient_has_a_record_of_its_own() {
        let check = |role, patient: Option<&str>, expected: Option<&str>| {
            let caller = Caller { role, patient: patient.map(Into::into), ..Caller::system("x", "r".into()) };
            assert_eq!(own(&caller).ok(), expected, "{role:?}");
        };
        check(Role::Paciente, Some("p"), Some("p"));
        check(Role::Paciente, None, None);
        check(Role::Medico, Some("p"), None);
        check(Role::Admin, None, None);
    }
}
