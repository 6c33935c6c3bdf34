//! history-instance (<https://hl7.org/fhir/R4/http.html#history>): newest first, deletions included.
//!
//! Parameters: `_count` (as in search) and `_page`; others are refused by name.

use crate::access::{self, Action};
use crate::audit::Event;
use crate::error::{Error, Kind, Result};
use crate::fhir::bundle::{Entry, Writer};
use crate::fhir::definitions::ResourceType;
use crate::interaction::Answer;
use crate::interaction::read::visible;
use crate::interaction::request::pairs;
use crate::interaction::unit::Unit;
use crate::store;
use crate::store::resource::Stored;

struct Page {
    count: usize,
    before: Option<i64>,
}

fn page(unit: &Unit<'_>, query: &str) -> Result<Page> {
    let limits = &unit.app.config.limits;
    let mut page = Page { count: limits.count_default, before: None };
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "_count" => {
                let count: usize =
                    value.parse().map_err(|_| Error::at(Kind::Value, "_count", "_count is a whole number"))?;
                page.count = count.clamp(1, limits.count_max);
            }
            "_page" => {
                page.before =
                    Some(value.parse().map_err(|_| Error::at(Kind::Value, "_page", "not a page of this history"))?)
            }
            "_format" | "_pretty" => {}
            _ => return Err(Error::at(Kind::NotSupported, name, "not supported on history; known: _count, _page")),
        }
    }
    Ok(page)
}

pub(super) async fn instance(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    id: &str,
    query: &str,
) -> Result<Answer> {
    let access = access::authorize(unit.caller, Action::Read, resource_type)?;
    let page = page(unit, query)?;
    let current = visible(unit, &access, id).await?;
    let before = page.before.unwrap_or(i64::MAX);
    let mut versions: Vec<Stored> = if current.version < before { vec![current.clone()] } else { Vec::new() };
    let wanted = i64::try_from(page.count + 1 - versions.len().min(page.count)).unwrap_or(1);
    let older = unit
        .at(&current.documento_id, async |conn| {
            store::resource::history(conn, &access, &current.documento_id, id, before.min(current.version), wanted)
                .await
        })
        .await?;
    versions.extend(older);
    let more = versions.len() > page.count;
    versions.truncate(page.count);

    let base = &unit.app.base;
    let address = format!("{base}/{resource_type}/{id}");
    let mut bundle = Writer::new("history");
    // A patient does not see every version, so no number is told.
    if access.owner().is_none() {
        bundle.total(current.version);
    }
    bundle.link(
        "self",
        &format!(
            "{address}/_history?_count={}{}",
            page.count,
            page.before.map(|b| format!("&_page={b}")).unwrap_or_default()
        ),
    );
    if let (true, Some(last)) = (more, versions.last()) {
        bundle.link("next", &format!("{address}/_history?_count={}&_page={}", page.count, last.version));
    }
    for version in &versions {
        bundle.entry(&Entry::history(
            &address,
            resource_type,
            id,
            version.version,
            &version.method,
            version.updated,
            &version.body,
            version.deleted,
        ));
    }
    let event = Event::new(unit.caller, "history-instance").of(resource_type).instance(id, None);
    unit.audit(event.record(&current.documento_id, current.whose()));
    Ok(Answer::bundle(bundle.finish()))
}
