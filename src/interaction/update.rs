//! update, also as create (<https://hl7.org/fhir/R4/http.html#update>).

use crate::access::{self, Action};
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::{resource, rule};
use crate::interaction::read::not_found;
use crate::interaction::unit::{Place, Unit};
use crate::interaction::{Answer, Content, NO_VERSION};
use crate::store::placement::NOBODY;
use crate::store::resource::Found;

pub(super) async fn run(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    id: &str,
    mut resource: Content,
    if_match: Option<i64>,
) -> Result<Answer> {
    let access = access::authorize(unit.caller, Action::Update, resource_type)?;
    resource.check(unit.app, resource_type)?;
    if resource::id(resource.value()) != Some(id) {
        return Err(Error::all(vec![rule::issue(Kind::Value, format!("{resource_type}.id"), "rule.id_address", &[])]));
    }
    let current = match unit.find_to_write(&access, id).await? {
        Found::Here(current) => *current,
        // Not even the existence is told, and nothing is overwritten.
        Found::Hidden => return Err(not_found(resource_type)),
        Found::Nothing => return create(unit, resource_type, id, resource, if_match).await,
    };
    // What was deleted has no version that could be in the way of a new one.
    if !(current.deleted && if_match == Some(NO_VERSION)) {
        stale(if_match, current.version)?;
    }
    let place = Place { id: current.id.clone(), documento_id: current.documento_id.clone() };
    let mut answer = unit.keep(&access, "PUT", place, resource, Some(&current)).await?;
    answer.status = if current.deleted { 201 } else { 200 };
    Ok(answer)
}

async fn create(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    id: &str,
    resource: Content,
    if_match: Option<i64>,
) -> Result<Answer> {
    let access = access::authorize(unit.caller, Action::Create, resource_type)?;
    if if_match.is_some_and(|wanted| wanted != NO_VERSION) {
        return Err(Error::at(Kind::StaleVersion, "If-Match", "there is no version to match"));
    }
    let place = if resource_type.name() == "Patient" {
        // The record may have been opened by a mention; a Patient's id is unique by its record, not by the directory.
        unit.know_records(&[id]).await?;
        let record = match unit.record(id) {
            Some(record) => record,
            None => unit.open_record(resource.value(), Some(id))?,
        };
        Place { id: id.to_owned(), documento_id: record.documento_id.clone() }
    } else {
        let documento_id = match unit.record_of_owner(resource_type, resource.value()).await? {
            Some(record) => record.documento_id.clone(),
            None => NOBODY.to_owned(),
        };
        let place = Place { id: id.to_owned(), documento_id };
        unit.register(resource_type, &place);
        place
    };
    let mut answer = unit.keep(&access, "PUT", place, resource, None).await?;
    answer.status = 201;
    Ok(answer)
}

/// If-Match against the current version.
pub(super) fn stale(if_match: Option<i64>, current: i64) -> Result<()> {
    match if_match {
        Some(NO_VERSION) => Err(Error::at(Kind::StaleVersion, "If-None-Match", "the resource is there already")),
        Some(wanted) if wanted != current => {
            Err(Error::at(Kind::StaleVersion, "If-Match", "the resource has another version by now"))
        }
        _ => Ok(()),
    }
}
