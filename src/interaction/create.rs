//! create and conditional create (<https://hl7.org/fhir/R4/http.html#create>). An id in the body is not looked at.

use crate::access::{self, Action};
use crate::audit::Event;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::interaction::unit::{Place, Unit};
use crate::interaction::{Answer, Content, search};
use crate::store::resource::Stored;

/// `placed`: a transaction has made id and place before, so that its other entries can point at it.
pub(super) async fn run(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    mut resource: Content,
    if_none_exist: Option<&str>,
    placed: Option<Place>,
) -> Result<Answer> {
    let access = access::authorize(unit.caller, Action::Create, resource_type)?;
    resource.check(unit.app, resource_type)?;
    if let Some(criteria) = if_none_exist {
        let readable = access::authorize(unit.caller, Action::Search, resource_type)?;
        if let Some(answer) = existing(unit, &readable, criteria).await? {
            return Ok(answer);
        }
    }
    let place = match placed {
        Some(place) => place,
        None => unit.place(resource_type, resource.value()).await?,
    };
    let mut answer = unit.keep(&access, "POST", place, resource, None).await?;
    answer.status = 201;
    Ok(answer)
}

/// The one match of If-None-Exist, as the answer; none: go on and create, holding the lock of the criteria.
async fn existing(unit: &mut Unit<'_>, readable: &access::Access, criteria: &str) -> Result<Option<Answer>> {
    // Looked for without the lock first: what is there stays there, and most repeated creates find it.
    let mut matches = search::matches(unit, readable, criteria, search::PICKS).await?;
    if matches.is_empty() {
        search::lock_criteria(unit, &[(readable.resource_type(), criteria)]).await?;
        matches = search::matches(unit, readable, criteria, search::PICKS).await?;
    }
    let one = match matches.len() {
        0 => return Ok(None),
        1 => matches.pop(),
        n => {
            return Err(Error::at(Kind::MultipleMatches, "If-None-Exist", format!("{n} resources match the criteria")));
        }
    };
    Ok(one.map(|one| found(unit, readable.resource_type(), one)))
}

/// The answer of a conditional create that found its resource.
pub(super) fn found(unit: &mut Unit<'_>, resource_type: ResourceType, one: Stored) -> Answer {
    let event = Event::new(unit.caller, "create").of(resource_type).instance(&one.id, Some(one.version));
    unit.audit(event.record(&one.documento_id, one.whose()));
    let mut answer = Answer::of(200, resource_type, &one.id, one.version, one.updated);
    answer.is_write = true;
    answer.body = unit.wants_body.then_some(one.body);
    answer
}
