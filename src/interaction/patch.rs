//! patch (<https://hl7.org/fhir/R4/http.html#patch>): what it makes of the current version is written as an update.
//!
//! A patch that changes nothing writes nothing: the answer is the current version.

use crate::access::{self, Access, Action};
use crate::audit::Event;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::format::{self, parse_json};
use crate::fhir::patch::{self, Patch};
use crate::interaction::read::not_found;
use crate::interaction::unit::{Place, Unit};
use crate::interaction::update::stale;
use crate::interaction::{Answer, Content};
use crate::store::resource::{Found, Stored};

pub(super) async fn run(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    id: &str,
    patch: &Patch,
    if_match: Option<i64>,
) -> Result<Answer> {
    let access = authorized(unit, resource_type)?;
    let current = current(unit, &access, id, if_match).await?;
    match patched(unit, resource_type, &current, patch)? {
        Some(content) => keep(unit, &access, content, &current).await,
        None => Ok(unchanged(unit, resource_type, &current)),
    }
}

/// A patch tells of what is there by whether it fits, so who patches must also be one who reads.
pub(super) fn authorized(unit: &Unit<'_>, resource_type: ResourceType) -> Result<Access> {
    access::authorize(unit.caller, Action::Read, resource_type)?;
    access::authorize(unit.caller, Action::Update, resource_type)
}

/// The version that is patched: it must be there, and be the one of If-Match.
pub(super) async fn current(unit: &mut Unit<'_>, access: &Access, id: &str, if_match: Option<i64>) -> Result<Stored> {
    let resource_type = access.resource_type();
    let current = match unit.find_to_write(access, id).await? {
        Found::Here(current) => *current,
        Found::Hidden | Found::Nothing => return Err(not_found(resource_type)),
    };
    if current.deleted {
        return Err(Error::new(Kind::Deleted, format!("this {resource_type} was deleted")));
    }
    stale(if_match, current.version)?;
    Ok(current)
}

/// The limits of patches.
pub(super) fn limits(config: &crate::config::Limits) -> patch::Limits {
    patch::Limits { operations: config.patch_operations, depth: config.depth, bytes: config.body }
}

/// What a patch makes of a version, valid; none when it changes nothing.
pub(super) fn patched(
    unit: &Unit<'_>,
    resource_type: ResourceType,
    current: &Stored,
    patch: &Patch,
) -> Result<Option<Content>> {
    let config = &unit.app.config.limits;
    let before = parse_json(&current.body, &format::Limits { depth: config.depth, ..format::Limits::default() })?;
    let after = patch.apply(resource_type, before.clone(), &limits(config))?;
    if after == before {
        return Ok(None);
    }
    let mut content = Content::new(after);
    content.check(unit.app, resource_type)?;
    Ok(Some(content))
}

/// Writes what a patch made.
pub(super) async fn keep(unit: &mut Unit<'_>, access: &Access, content: Content, current: &Stored) -> Result<Answer> {
    let place = Place { id: current.id.clone(), documento_id: current.documento_id.clone() };
    unit.keep(access, "PATCH", place, content, Some(current)).await
}

/// The answer of a patch that changes nothing.
pub(super) fn unchanged(unit: &mut Unit<'_>, resource_type: ResourceType, current: &Stored) -> Answer {
    let event = Event::new(unit.caller, "patch").of(resource_type).instance(&current.id, Some(current.version));
    unit.audit(event.record(&current.documento_id, current.whose()));
    let mut answer = Answer::of(200, resource_type, &current.id, current.version, current.updated);
    answer.is_write = true;
    answer.body = unit.wants_body.then(|| current.body.clone());
    answer
}
