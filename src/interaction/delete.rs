//! delete (<https://hl7.org/fhir/R4/http.html#delete>): the history stays readable, the current version is a tombstone.
//!
//! What is referenced elsewhere is not deleted (409) unless `fhir.references = off`: the unit looks for that when all that
//! it does is done. References are known by the reference parameters of the search index: an element that no parameter
//! covers does not hold its target.

use crate::access::{self, Action};
use crate::audit::Event;
use crate::clock;
use crate::error::Result;
use crate::fhir::definitions::ResourceType;
use crate::interaction::read::not_found;
use crate::interaction::unit::Unit;
use crate::interaction::update::stale;
use crate::interaction::{Answer, custom};
use crate::store;
use crate::store::resource::Found;
use crate::store::session::Holder;

pub(super) async fn run(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    id: &str,
    if_match: Option<i64>,
) -> Result<Answer> {
    let access = access::authorize(unit.caller, Action::Delete, resource_type)?;
    let current = match unit.find_to_write(&access, id).await? {
        Found::Here(current) => *current,
        Found::Hidden => return Err(not_found(resource_type)),
        Found::Nothing => return Ok(nothing(unit, resource_type, Some(id))),
    };
    stale(if_match, current.version)?;
    if current.deleted {
        unit.audit(
            Event::new(unit.caller, "delete")
                .of(resource_type)
                .instance(id, Some(current.version))
                .record(&current.documento_id, current.whose()),
        );
        let mut answer = Answer::of(204, resource_type, id, current.version, current.updated);
        answer.location = None;
        return Ok(answer);
    }
    if resource_type.name() == "Patient" {
        close_accounts(unit, id).await?;
    }
    custom::kept(unit, resource_type, id, None).await?;
    unit.bury(&access, &current)
}

/// The answer of a delete of what is not there.
pub(super) fn nothing(unit: &mut Unit<'_>, resource_type: ResourceType, id: Option<&str>) -> Answer {
    let event = Event::new(unit.caller, "delete").of(resource_type);
    unit.audit(match id {
        Some(id) => event.instance(id, None),
        None => event,
    });
    Answer { status: 204, ..Answer::default() }
}

/// Who was bound to a Patient that is deleted may not sign in any more, and is signed out everywhere with the commit.
async fn close_accounts(unit: &mut Unit<'_>, patient: &str) -> Result<()> {
    let now = clock::now();
    let mut ended = Vec::new();
    let conn = unit.transaction().await?;
    for usuario in store::account::disable_of_patient(conn, patient, now).await? {
        ended.extend(store::session::end_all(conn, &Holder::Usuario(usuario), now).await?);
    }
    unit.ends_sessions(ended);
    Ok(())
}
