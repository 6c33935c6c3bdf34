//! Conditional update, patch and delete (<https://hl7.org/fhir/R4/http.html#cond-update>): the criteria pick a resource, and
//! what is done to it is the same as by its id.
//!
//! Only current resources that the caller may see are picked. Who may write a type reads all of it (`access::role`), so
//! nothing is made a second time because the first was hidden.

use crate::access::{self, Action};
use crate::config::ConditionalDelete;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::reference::Id;
use crate::fhir::resource;
use crate::interaction::read::not_found;
use crate::interaction::unit::Unit;
use crate::interaction::update::stale;
use crate::interaction::{Answer, Change, Content, NO_VERSION, create, delete, patch, search, update};
use crate::store::resource::Stored;

pub(super) async fn run(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    criteria: &str,
    change: &Change,
) -> Result<Answer> {
    let mut change = change.clone();
    authorized(unit, resource_type, &mut change)?;
    let creates = matches!(change, Change::Update { .. });
    let found = pick(unit, resource_type, criteria, most(unit, &change), creates).await?;
    match change {
        Change::Update { resource, if_match } => {
            let found = single(found)?;
            match updated(resource_type, resource, if_match, found.as_ref())? {
                Updated::Replace { id, resource } => update::run(unit, resource_type, &id, resource, if_match).await,
                Updated::Create(resource) => create::run(unit, resource_type, resource, None, None).await,
                Updated::CreateAs { id, resource } => {
                    update::run(unit, resource_type, &id, resource, Some(NO_VERSION)).await.map_err(taken)
                }
            }
        }
        Change::Patch { patch, if_match } => {
            let found = single(found)?.ok_or_else(|| not_found(resource_type))?;
            patch::run(unit, resource_type, &found.id, &patch, if_match).await
        }
        Change::Delete { if_match } => all_deleted(unit, resource_type, &found, if_match).await,
    }
}

/// Rights and content before anything is looked for.
pub(super) fn authorized(unit: &Unit<'_>, resource_type: ResourceType, change: &mut Change) -> Result<()> {
    access::authorize(unit.caller, Action::Search, resource_type)?;
    match change {
        Change::Update { resource, .. } => {
            access::authorize(unit.caller, Action::Update, resource_type)?;
            access::authorize(unit.caller, Action::Create, resource_type)?;
            resource.check(unit.app, resource_type)
        }
        Change::Patch { .. } => patch::authorized(unit, resource_type).map(drop),
        Change::Delete { .. } => access::authorize(unit.caller, Action::Delete, resource_type).map(drop),
    }
}

/// How many matches are wanted: one more than there may be.
pub(super) fn most(unit: &Unit<'_>, change: &Change) -> u32 {
    let config = &unit.app.config;
    match (change, config.fhir.conditional_delete) {
        (Change::Delete { .. }, ConditionalDelete::Multiple) => {
            u32::try_from(config.limits.conditional_deletes + 1).unwrap_or(u32::MAX)
        }
        _ => search::PICKS,
    }
}

/// What matches now and, when nothing does and so something is created, still when the lock of the criteria is held: of
/// several requests that would create the same one does.
async fn pick(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    criteria: &str,
    most: u32,
    creates: bool,
) -> Result<Vec<Stored>> {
    let readable = access::authorize(unit.caller, Action::Search, resource_type)?;
    let locks = unit.locks();
    if locks {
        search::lock_criteria(unit, &[(resource_type, criteria)]).await?;
    }
    let mut found = search::matches(unit, &readable, criteria, most).await?;
    if locks && !found.is_empty() {
        // Held, they change no more: what matches now is what is written.
        for one in &found {
            unit.find_to_write(&readable, &one.id).await?;
        }
        found = search::matches(unit, &readable, criteria, most).await?;
    }
    if found.is_empty() && creates && !locks {
        search::lock_criteria(unit, &[(resource_type, criteria)]).await?;
        found = search::matches(unit, &readable, criteria, most).await?;
    }
    for one in &found {
        unit.pin(resource_type, one);
        unit.remember(&readable, one.clone());
    }
    Ok(found)
}

/// The one match.
pub(super) fn single(mut found: Vec<Stored>) -> Result<Option<Stored>> {
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => Err(many()),
    }
}

fn many() -> Error {
    Error::new(Kind::MultipleMatches, "several resources match the criteria")
}

/// What a conditional update is.
pub(super) enum Updated {
    Replace {
        id: String,
        resource: Content,
    },
    Create(Content),
    /// With the id that the resource has; nothing is there under it, or it is an error.
    CreateAs {
        id: String,
        resource: Content,
    },
}

pub(super) fn updated(
    resource_type: ResourceType,
    mut resource: Content,
    if_match: Option<i64>,
    found: Option<&Stored>,
) -> Result<Updated> {
    let own = resource::id(resource.value()).map(str::to_owned);
    match (found, own) {
        (Some(found), Some(own)) if own != found.id => {
            Err(Error::at(Kind::Value, format!("{resource_type}.id"), "the criteria match a resource with another id"))
        }
        (Some(found), _) => {
            if let Some(id) = Id::parse(&found.id) {
                resource.identify(&id);
            }
            Ok(Updated::Replace { id: found.id.clone(), resource })
        }
        (None, _) if if_match.is_some_and(|wanted| wanted != NO_VERSION) => {
            Err(Error::at(Kind::StaleVersion, "If-Match", "there is no version to match"))
        }
        (None, Some(id)) => Ok(Updated::CreateAs { id, resource }),
        (None, None) => Ok(Updated::Create(resource)),
    }
}

/// A conditional update that would create what is there already with other content than its criteria say.
pub(super) fn taken(error: Error) -> Error {
    match error.kind {
        Kind::StaleVersion => {
            Error::new(Kind::Conflict, "the resource with this id is there and does not match the criteria")
        }
        _ => error,
    }
}

/// All matches, when so many may be deleted at once.
pub(super) async fn all_deleted(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    found: &[Stored],
    if_match: Option<i64>,
) -> Result<Answer> {
    let config = &unit.app.config;
    match (found, config.fhir.conditional_delete) {
        ([], _) => Ok(delete::nothing(unit, resource_type, None)),
        ([one], _) => delete::run(unit, resource_type, &one.id, if_match).await,
        (_, ConditionalDelete::Single) => Err(many()),
        (all, ConditionalDelete::Multiple) if all.len() > config.limits.conditional_deletes => {
            let most = config.limits.conditional_deletes;
            let text = format!("more than {most} resources match the criteria (limits.conditional_deletes)");
            Err(Error::new(Kind::MultipleMatches, text))
        }
        (all, ConditionalDelete::Multiple) => {
            for one in all {
                stale(if_match, one.version)?;
                delete::run(unit, resource_type, &one.id, None).await?;
            }
            Ok(Answer { status: 204, ..Answer::default() })
        }
    }
}
