//! history of an instance, of a type, of everything (<https://hl7.org/fhir/R4/http.html#history>): newest first, deletions
//! included.
//!
//! Parameters: `_since`, `_at`, `_count` (as in search), `_page`; of everything also `_type`. Others are refused by name.
//! The histories of a type and of everything tell up to which time they are whole (`Bundle.meta.lastUpdated`) and nothing
//! younger, so that who goes on from there misses nothing (docs/adr/0018).

use crate::access::{self, Access, Action};
use crate::audit::Event;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::bundle::{Entry, Writer};
use crate::fhir::datetime::{DateTime, Form, Range};
use crate::fhir::definitions::ResourceType;
use crate::interaction::Answer;
use crate::interaction::read::visible;
use crate::interaction::request::pairs;
use crate::interaction::search::{address, audit_of};
use crate::interaction::unit::Unit;
use crate::search::page::Binding;
use crate::search::param::date::{self, BEGINNING, END};
use crate::search::query::Cursor;
use crate::search::sql::Span;
use crate::store;
use crate::store::everything::Typed;
use crate::store::resource::Stored;
use jiff::Timestamp;

/// The parameters, as they are understood.
#[derive(Debug, Default)]
struct Parameters {
    count: usize,
    since: Option<Timestamp>,
    /// The closed interval in which a version was current.
    at: Option<(Timestamp, Timestamp)>,
    types: Option<Vec<ResourceType>>,
    page: Option<String>,
    /// For the self link and the signature of page tokens.
    shown: Vec<(String, String)>,
}

const OF_TYPE: &str = "not supported on this history; known: _since, _at, _count";
const OF_ALL: &str = "not supported on this history; known: _since, _at, _count, _type";

impl Parameters {
    fn read(unit: &Unit<'_>, query: &str, of_all: bool) -> Result<Parameters> {
        let limits = &unit.app.config.limits;
        Parameters::parse(query, of_all, (limits.count_default, limits.count_max), unit.app.local)
    }

    fn parse(query: &str, of_all: bool, (count, most): (usize, usize), local: i32) -> Result<Parameters> {
        let mut read = Parameters { count, ..Parameters::default() };
        for (name, value) in pairs(query)? {
            let wrong = |text| Error::at(Kind::Value, name.clone(), text);
            if !matches!(name.as_str(), "_format" | "_pretty") && read.shown.iter().any(|(known, _)| *known == name) {
                return Err(wrong("is given more than once"));
            }
            let instants = |text: &str| DateTime::parse(text, Form::Search).map(|date| date.range(local));
            let not_a_time = || wrong("must be a date, or a time with its offset");
            match name.as_str() {
                "_format" | "_pretty" => continue,
                "_page" => {
                    read.page = Some(value);
                    continue;
                }
                "_count" => {
                    let count: usize = value.parse().map_err(|_| wrong("is a whole number"))?;
                    read.count = count.clamp(1, most);
                    read.shown.push((name, read.count.to_string()));
                    continue;
                }
                "_since" => {
                    let since = instants(&value).ok_or_else(not_a_time)?;
                    read.since = Some(date::timestamps(since).0);
                }
                "_at" => {
                    let at: Range = instants(&value).ok_or_else(not_a_time)?;
                    read.at = Some(date::timestamps(at));
                }
                "_type" if of_all => {
                    let types = value.split(',').map(|name| ResourceType::parse(name.trim()));
                    let types = types.collect::<Option<Vec<_>>>();
                    read.types = Some(types.ok_or_else(|| wrong("must name resource types, separated by commas"))?);
                }
                // Of what is shown of each version: `refined` has read them.
                "_summary" | "_elements" => {}
                _ => {
                    let shown: String = name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
                    return Err(Error::at(Kind::NotSupported, shown, if of_all { OF_ALL } else { OF_TYPE }));
                }
            }
            read.shown.push((name, value));
        }
        Ok(read)
    }

    fn binding<'a>(&'a self, unit: &'a Unit<'_>, place: &'a str) -> Binding<'a> {
        let (hasher, actor) = (&unit.app.hasher, unit.caller.actor.as_str());
        Binding { hasher, actor, place, parameters: &self.shown, now: clock::now() }
    }

    /// Where the page starts.
    fn cursor(&self, unit: &Unit<'_>, place: &str) -> Result<Option<Cursor>> {
        let Some(token) = &self.page else { return Ok(None) };
        self.binding(unit, place).read(token).map(Some).ok_or_else(no_page)
    }

    fn next(&self, unit: &Unit<'_>, place: &str, last: &Cursor) -> Option<String> {
        let token = self.binding(unit, place).token(last)?;
        Some(address(&format!("{}/{place}", unit.app.base), &self.shown, Some(&token)))
    }
}

fn no_page() -> Error {
    Error::at(Kind::Value, "_page", "is not a page of this history, or is older than a day")
}

pub(super) async fn instance(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    id: &str,
    query: &str,
) -> Result<Answer> {
    let access = access::authorize(unit.caller, Action::Read, resource_type)?;
    let parameters = Parameters::read(unit, query, false)?;
    let place = format!("{resource_type}/{id}/_history");
    let before = match parameters.cursor(unit, &place)? {
        Some(cursor) => cursor.id.parse::<i64>().map_err(|_| no_page())?,
        None => i64::MAX,
    };
    let current = visible(unit, &access, id).await?;
    let until = parameters.at.map_or(END, |(_, hi)| hi);
    let bounds = (parameters.since.unwrap_or(BEGINNING), until);
    let fits =
        |version: &Stored| version.version < before && version.updated >= bounds.0 && version.updated <= bounds.1;
    let mut versions: Vec<Stored> = if fits(&current) { vec![current.clone()] } else { Vec::new() };
    let wanted = i64::try_from(parameters.count + 1 - versions.len().min(parameters.count)).unwrap_or(1);
    let older = unit
        .at(&current.documento_id, async |conn| {
            let place = &current.documento_id;
            store::resource::history(conn, &access, place, id, before.min(current.version), bounds, wanted).await
        })
        .await?;
    versions.extend(older);
    if let Some((lo, _)) = parameters.at
        && let Some(first) = versions.iter().position(|version| version.updated <= lo)
    {
        // It was current when the interval began; those before it were not any more.
        versions.truncate(first + 1);
    }
    let more = versions.len() > parameters.count;
    versions.truncate(parameters.count);

    let mut bundle = Writer::new("history");
    // A patient does not see every version, so no number is told.
    if access.owner().is_none() && parameters.since.is_none() && parameters.at.is_none() {
        bundle.total(current.version);
    }
    let last = versions.last().filter(|_| more);
    let last = last.map(|last| Cursor { values: Vec::new(), id: last.version.to_string() });
    link(unit, &mut bundle, &place, &parameters, last.as_ref());
    for version in &versions {
        entry(unit, &mut bundle, resource_type, version);
    }
    let event = Event::new(unit.caller, "history-instance").of(resource_type).instance(id, None);
    unit.audit(event.record(&current.documento_id, current.whose()));
    Ok(Answer::bundle(bundle.finish()))
}

/// The history of one type, or of all that the caller may read.
pub(super) async fn of_many(unit: &mut Unit<'_>, resource_type: Option<ResourceType>, query: &str) -> Result<Answer> {
    let parameters = Parameters::read(unit, query, resource_type.is_none())?;
    let accesses = accesses(unit, resource_type, parameters.types.as_deref()).await?;
    let place = resource_type.map_or_else(|| "_history".to_owned(), |t| format!("{t}/_history"));
    let cursor = parameters.cursor(unit, &place)?;
    let after = cursor.as_ref().map(read_cursor).transpose()?;
    // The pages that follow go back in time from the first.
    let until = match after {
        Some((time, ..)) => time,
        None => unit.known_until().await?,
    };
    let own = own_documents(unit, &accesses).await?;
    let limit = i64::try_from(parameters.count + 1).unwrap_or(i64::MAX);
    let span = Span { until, since: parameters.since, at: parameters.at, after, limit };
    let mut versions: Vec<Typed> = unit
        .search_at(own.as_deref().filter(|_| all_own(&accesses)), async |conn| {
            store::history::versions(conn, &accesses, own.as_deref(), &span).await
        })
        .await?;
    let more = versions.len() > parameters.count;
    versions.truncate(parameters.count);

    let mut bundle = Writer::new("history");
    if after.is_none() {
        bundle.last_updated(until);
    }
    let last = versions.last().filter(|_| more);
    let last = last.map(|(t, row)| Cursor { values: vec![row.updated.to_string()], id: format!("{t}/{}", row.id) });
    link(unit, &mut bundle, &place, &parameters, last.as_ref());
    for (t, version) in &versions {
        entry(unit, &mut bundle, *t, version);
    }
    let mut event = Event::new(unit.caller, if resource_type.is_some() { "history-type" } else { "history-system" });
    event.resource_type = resource_type.map(|t| t.name());
    audit_of(unit, &event, &parameters.shown, versions.iter().map(|(_, row)| row));
    Ok(Answer::bundle(bundle.finish()))
}

/// Whether nothing is asked for that lies elsewhere.
fn all_own(accesses: &[Access]) -> bool {
    accesses.iter().all(|access| access.owner().is_some())
}

fn read_cursor(cursor: &Cursor) -> Result<(Timestamp, &str, &str)> {
    let time = cursor.values.first().and_then(|text| text.parse().ok()).ok_or_else(no_page)?;
    let (resource_type, id) = cursor.id.split_once('/').ok_or_else(no_page)?;
    Ok((time, resource_type, id))
}

/// The proofs for one type, for those that are named, or for all that the caller may read and of which there is anything.
pub(super) async fn accesses(
    unit: &Unit<'_>,
    resource_type: Option<ResourceType>,
    named: Option<&[ResourceType]>,
) -> Result<Vec<Access>> {
    let allowed = |t: ResourceType| access::authorize(unit.caller, Action::Search, t);
    let accesses: Vec<Access> = match (resource_type, named) {
        (Some(one), _) => return Ok(vec![allowed(one)?]),
        (None, Some(named)) => named.iter().map(|t| allowed(*t)).collect::<Result<_>>()?,
        (None, None) => ResourceType::all().filter_map(|t| allowed(t).ok()).collect(),
    };
    if accesses.is_empty() {
        return Err(Error::new(Kind::Forbidden, "the role may not read any type here"));
    }
    let there = unit.with(async |conn| store::search::types(conn, &accesses).await).await?;
    Ok(accesses.into_iter().filter(|one| there.iter().any(|name| name == one.resource_type().name())).collect())
}

/// Where the rows of a caller lie who sees one record, as far as types are of records.
pub(super) async fn own_documents(unit: &mut Unit<'_>, accesses: &[Access]) -> Result<Option<Vec<String>>> {
    match accesses.iter().find_map(Access::owner).map(str::to_owned) {
        Some(owner) => unit.documents_of(&[&owner]).await.map(Some),
        None => Ok(None),
    }
}

fn link(unit: &Unit<'_>, bundle: &mut Writer, place: &str, parameters: &Parameters, last: Option<&Cursor>) {
    let url = format!("{}/{place}", unit.app.base);
    let mut own = parameters.shown.clone();
    own.extend(parameters.page.iter().map(|page| ("_page".to_owned(), page.clone())));
    bundle.link("self", &address(&url, &own, None));
    if let Some(next) = last.and_then(|last| parameters.next(unit, place, last)) {
        bundle.link("next", &next);
    }
}

fn entry(unit: &Unit<'_>, bundle: &mut Writer, resource_type: ResourceType, version: &Stored) {
    bundle.entry(&Entry::history(
        &format!("{}/{resource_type}/{}", unit.app.base, version.id),
        resource_type,
        &version.id,
        version.version,
        &version.method,
        version.updated,
        &version.body,
        version.deleted,
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_or_refused_by_name() {
        let check = |query: &str, of_all: bool, expected: &str| {
            let shown = match Parameters::parse(query, of_all, (20, 1000), -18_000) {
                Ok(read) => {
                    let time = |time: Timestamp| time.to_string();
                    format!(
                        "{} {:?} {:?} {:?}",
                        read.count,
                        read.since.map(time),
                        read.at.map(|(lo, hi)| (time(lo), time(hi))),
                        read.types.map(|t| t.len())
                    )
                }
                Err(error) => error.issues[0].expression.clone().unwrap_or_default(),
            };
            assert_eq!(shown, expected, "{query}");
        };
        check("", false, "20 None None None");
        check("_count=5000&_format=json", false, "1000 None None None");
        check("_count=0", false, "1 None None None");
        check("_since=2026-11-24", false, "20 Some(\"2026-11-24T05:00:00Z\") None None");
        check("_since=2026-11-24T10:00:00.5Z", false, "20 Some(\"2026-11-24T10:00:00.5Z\") None None");
        check("_at=2026", false, "20 None Some((\"2026-01-01T05:00:00Z\", \"2027-01-01T04:59:59.999999Z\")) None");
        check("_type=Patient,Encounter", true, "20 None None Some(2)");
        check("_type=Patient", false, "_type");
        check("_type=Paciente", true, "_type");
        check("_since=ayer", false, "_since");
        check("_since=2026&_since=2027", false, "_since");
        check("_count=x", false, "_count");
        check("_list=1", false, "_list");
        check("_sort=-_lastUpdated", false, "_sort");
    }
}
