//! read and vread (<https://hl7.org/fhir/R4/http.html#read>).

use crate::access::{self, Access, Action};
use crate::audit::Event;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::interaction::Answer;
use crate::interaction::unit::Unit;
use crate::store;
use crate::store::resource::{Found, Stored};

pub(super) async fn read(unit: &mut Unit<'_>, resource_type: ResourceType, id: &str) -> Result<Answer> {
    let access = access::authorize(unit.caller, Action::Read, resource_type)?;
    let stored = visible(unit, &access, id).await?;
    shown(unit, &access, "read", stored)
}

pub(super) async fn vread(unit: &mut Unit<'_>, resource_type: ResourceType, id: &str, version: i64) -> Result<Answer> {
    let access = access::authorize(unit.caller, Action::Read, resource_type)?;
    let current = visible(unit, &access, id).await?;
    if current.version == version {
        return shown(unit, &access, "vread", current);
    }
    let found = unit
        .at(&current.documento_id, async |conn| {
            store::resource::version(conn, &access, &current.documento_id, id, version).await
        })
        .await?;
    match found {
        Found::Here(old) => shown(unit, &access, "vread", *old),
        Found::Nothing | Found::Hidden => Err(not_found(resource_type)),
    }
}

/// The current version, tombstones included; what is hidden is as what is not there.
pub(super) async fn visible(unit: &mut Unit<'_>, access: &Access, id: &str) -> Result<Stored> {
    match unit.find(access, id).await? {
        Found::Here(stored) => Ok(*stored),
        Found::Nothing | Found::Hidden => Err(not_found(access.resource_type())),
    }
}

pub(super) fn not_found(resource_type: ResourceType) -> Error {
    Error::new(Kind::NotFound, format!("there is no such {resource_type}"))
}

fn shown(unit: &mut Unit<'_>, access: &Access, action: &'static str, stored: Stored) -> Result<Answer> {
    let resource_type = access.resource_type();
    if stored.deleted {
        return Err(Error::new(Kind::Deleted, format!("this {resource_type} was deleted")));
    }
    let event = Event::new(unit.caller, action).of(resource_type).instance(&stored.id, Some(stored.version));
    unit.audit(event.record(&stored.documento_id, stored.whose()));
    let mut answer = Answer::of(200, resource_type, &stored.id, stored.version, stored.updated);
    answer.body = Some(stored.body);
    Ok(answer)
}
