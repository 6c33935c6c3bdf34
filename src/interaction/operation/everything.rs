//! `Patient/{id}/$everything` (<https://hl7.org/fhir/R4/operation-patient-everything.html>) and `Encounter/{id}/$everything`:
//! the resource, everything of its compartment that the caller may see, and what that names of the directory (Practitioner,
//! Organization, ...); with an Encounter its Patient.
//!
//! Whole by default, paged by `_count` with a `next` link in the order of type and id. `_type` and `_since` restrict it; so
//! do, for a Patient, `start` and `end`: the main date of a resource meets the days from start to end, or it has none. Types
//! that the role may not read are left out, rows by the same guard as in a search. One audit record, of the Patient.

use crate::access::{self, Access, Action, Column, role};
use crate::audit::Event;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::bundle::{Entry, Writer};
use crate::fhir::datetime::{DateTime, Form};
use crate::fhir::definitions::{self, ResourceType};
use crate::fhir::reference::Reference;
use crate::interaction::history::own_documents;
use crate::interaction::request::pairs;
use crate::interaction::unit::Unit;
use crate::interaction::{Answer, read, search};
use crate::search::compartment::Compartment;
use crate::search::main_date::main_date;
use crate::search::page;
use crate::search::param::date::{self, BEGINNING, END};
use crate::search::query::Cursor;
use crate::search::sql::{Member, Members};
use crate::store::Conn;
use crate::store::everything::{self, Typed};
use crate::store::placement::NOBODY;
use crate::store::resource::Stored;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// What names somebody who is named in turn: a PractitionerRole its Practitioner.
const ROUNDS: usize = 2;

/// The parameters, as they are understood.
#[derive(Debug, Default)]
struct Parameters {
    count: Option<usize>,
    types: Option<Vec<ResourceType>>,
    since: Option<Timestamp>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    page: Option<String>,
    /// For the self link and the signature of page tokens.
    shown: Vec<(String, String)>,
}

pub(in crate::interaction) async fn run(
    unit: &mut Unit<'_>,
    kind: ResourceType,
    id: &str,
    query: &str,
) -> Result<Answer> {
    let access = access::authorize(unit.caller, Action::Read, kind)?;
    let limits = &unit.app.config.limits;
    let parameters = parameters(query, kind, limits.count_max, unit.app.local)?;
    let place = format!("{kind}/{id}/$everything");
    let after = match &parameters.page {
        None => None,
        Some(token) => {
            let cursor = binding(unit, &place, &parameters).read(token);
            let cursor = cursor.ok_or_else(|| {
                Error::at(Kind::Value, "_page", "is not a page of this request, or is older than a day")
            })?;
            Some(cursor.id)
        }
    };
    let limit = parameters.count.unwrap_or(limits.everything);
    let subject = read::visible(unit, &access, id).await?;
    if subject.deleted {
        return Err(Error::new(Kind::Deleted, format!("this {kind} was deleted")));
    }
    let first =
        after.is_none() && parameters.wants(kind) && parameters.since.is_none_or(|since| subject.updated >= since);
    let mut rows = Vec::new();
    if first {
        rows.push((kind, subject.clone()));
    }
    let room = (limit + 1).saturating_sub(rows.len());
    rows.extend(compartment(unit, &parameters, (kind, id), after.as_deref(), room).await?);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let mut included = included(unit, &rows).await?;
    if after.is_none() {
        included.splice(0..0, patients(unit, kind, &subject).await?);
    }

    let url = format!("{}/{place}", unit.app.base);
    let next = rows.last().filter(|_| more).map(|(ty, row)| {
        // The subject stands before all types.
        let id = if *ty == kind && row.id == id { String::new() } else { format!("{ty}/{}", row.id) };
        let token = binding(unit, &place, &parameters).token(&Cursor { values: Vec::new(), id });
        search::address(&url, &parameters.shown, token.as_deref())
    });
    let whole = after.is_none() && next.is_none();
    tell(unit, kind, &subject, &parameters);
    Ok(Answer::bundle(bundle(
        &unit.app.base,
        &search::address(&url, &parameters.shown, None),
        next.as_deref(),
        whole,
        &rows,
        &included,
    )))
}

/// The Patients of an Encounter, as far as the caller may see them.
async fn patients(unit: &mut Unit<'_>, kind: ResourceType, subject: &Stored) -> Result<Vec<Typed>> {
    let patient_type = ResourceType::parse("Patient").ok_or_else(|| Error::internal("no type Patient"))?;
    let mut patients = Vec::new();
    if kind != patient_type
        && let Ok(access) = access::authorize(unit.caller, Action::Read, patient_type)
    {
        let ids: Vec<&str> = subject.patient.iter().map(String::as_str).collect();
        unit.read_ahead(&access, &ids).await?;
        for id in ids {
            match read::visible(unit, &access, id).await {
                Ok(patient) if !patient.deleted => patients.push((patient_type, patient)),
                Ok(_) => {}
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(patients)
}

fn binding<'a>(unit: &'a Unit<'_>, place: &'a str, parameters: &'a Parameters) -> page::Binding<'a> {
    let (hasher, actor) = (&unit.app.hasher, unit.caller.actor.as_str());
    page::Binding { hasher, actor, place, parameters: &parameters.shown, now: clock::now() }
}

impl Parameters {
    fn wants(&self, resource_type: ResourceType) -> bool {
        self.types.as_ref().is_none_or(|types| types.contains(&resource_type))
    }
}

fn parameters(query: &str, kind: ResourceType, count_max: usize, local: i32) -> Result<Parameters> {
    let mut read = Parameters::default();
    for (name, value) in pairs(query)? {
        let twice = |there: bool| {
            if there { Err(Error::at(Kind::Value, name.clone(), "is given more than once")) } else { Ok(()) }
        };
        match name.as_str() {
            "_format" | "_pretty" => continue,
            "_page" => {
                twice(read.page.is_some())?;
                read.page = Some(value);
                continue;
            }
            "_count" => {
                twice(read.count.is_some())?;
                let count: usize =
                    value.parse().ok().filter(|_| value.bytes().all(|b| b.is_ascii_digit())).unwrap_or(0);
                if count == 0 {
                    return Err(Error::at(Kind::Value, "_count", "must be a whole number above 0"));
                }
                read.count = Some(count.min(count_max));
                read.shown.push((name, count.min(count_max).to_string()));
                continue;
            }
            "_type" => {
                let types = value.split(',').map(|name| ResourceType::parse(name.trim())).collect::<Option<Vec<_>>>();
                let types = types
                    .ok_or_else(|| Error::at(Kind::Value, "_type", "must name resource types, separated by commas"))?;
                read.types.get_or_insert_default().extend(types);
            }
            "_since" => {
                twice(read.since.is_some())?;
                let since = DateTime::parse(&value, Form::Search).and_then(|date| date.range(local).lo_timestamp());
                read.since = Some(since.ok_or_else(|| Error::at(Kind::Value, "_since", "must be an instant"))?);
            }
            "start" | "end" if kind.name() == "Patient" => {
                twice(if name == "start" { read.start } else { read.end }.is_some())?;
                let day = DateTime::parse(&value, Form::Search).map(|date| date::timestamps(date.range(local)));
                let (lo, hi) = day.ok_or_else(|| Error::at(Kind::Value, name.clone(), "must be a date"))?;
                if name == "start" { read.start = Some(lo) } else { read.end = Some(hi) }
            }
            // Of what is shown of each resource: `refined` has read them.
            "_summary" | "_elements" => {}
            _ => {
                let shown: String = name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
                return Err(Error::at(Kind::Value, shown, "is no parameter of $everything"));
            }
        }
        read.shown.push((name, value));
    }
    Ok(read)
}

/// The rows after the subject itself: one statement over all types that the role may read.
async fn compartment(
    unit: &mut Unit<'_>,
    parameters: &Parameters,
    (kind, id): (ResourceType, &str),
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Typed>> {
    let compartment =
        Compartment::new(kind, id.to_owned()).ok_or_else(|| Error::internal("a type without compartment"))?;
    let accesses: Vec<Access> = ResourceType::all()
        .filter(|ty| *ty != kind && compartment.holds(definitions::r4(), *ty) && parameters.wants(*ty))
        .filter_map(|ty| access::authorize(unit.caller, Action::Read, ty).ok())
        .collect();
    if accesses.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let undated: Vec<String> = accesses
        .iter()
        .map(Access::resource_type)
        // A birthday is no date of care.
        .filter(|ty| main_date(definitions::r4(), *ty).is_some_and(|main| main.code == "birthdate"))
        .map(|ty| ty.name().to_owned())
        .collect();
    let dated = parameters.start.is_some() || parameters.end.is_some();
    let members = Members {
        since: parameters.since,
        during: dated.then_some((parameters.start.unwrap_or(BEGINNING), parameters.end.unwrap_or(END))),
        undated: &undated,
        after: after.and_then(|after| after.split_once('/')),
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
    };
    if kind.name() == "Patient" {
        let documents = unit.documents_of(&[id]).await?;
        let member = Member::Patient(id, &documents);
        let read = async |conn: &Conn| everything::compartment(conn, &accesses, member, None, &members).await;
        return unit.search_at(Some(&documents), read).await;
    }
    let keys = compartment.keys(&unit.app.search_context());
    let own = own_documents(unit, &accesses).await?;
    let member = Member::Keys(&keys);
    unit.with_own(async |conn| everything::compartment(conn, &accesses, member, own.as_deref(), &members).await).await
}

/// What the rows name of the directory, one query a round.
async fn included(unit: &mut Unit<'_>, rows: &[Typed]) -> Result<Vec<Typed>> {
    let accesses: Vec<Access> = ResourceType::all()
        .filter(|ty| role::column(*ty) == Column::Directory)
        .filter_map(|ty| access::authorize(unit.caller, Action::Read, ty).ok())
        .collect();
    let mut included: Vec<Typed> = Vec::new();
    let mut known = BTreeSet::new();
    for round in 0..ROUNDS {
        let source = if round == 0 { rows } else { &included };
        let mut named = BTreeSet::new();
        source.iter().for_each(|(_, row)| directory_references(&row.body, &unit.app.base, &mut named));
        let wanted: Vec<(ResourceType, String)> =
            named.difference(&known).take(unit.app.config.limits.everything).cloned().collect();
        if wanted.is_empty() {
            break;
        }
        let found = unit.at(NOBODY, async |conn| everything::directory(conn, &accesses, &wanted).await).await?;
        known.extend(wanted);
        included.extend(found);
    }
    included.sort_by(|(a, x), (b, y)| (a.name(), &x.id).cmp(&(b.name(), &y.id)));
    Ok(included)
}

/// Adds the references of a stored body that point into the directory. Bodies are compact JSON, and inside a string a
/// quotation mark has a backslash before it, so the text of the member is found only where it is one.
fn directory_references(body: &[u8], base: &str, named: &mut BTreeSet<(ResourceType, String)>) {
    let Ok(text) = std::str::from_utf8(body) else { return };
    let texts = text.split("\"reference\":\"").skip(1).filter_map(|rest| rest.split_once('"'));
    for (reference, _) in texts {
        // Nearly all name the patient.
        if reference.starts_with("Patient/") {
            continue;
        }
        if let Some(Reference::Relative { resource_type, id, .. }) = Reference::parse(reference, base)
            && role::column(resource_type) == Column::Directory
        {
            named.insert((resource_type, id.to_owned()));
        }
    }
}

fn tell(unit: &mut Unit<'_>, kind: ResourceType, subject: &Stored, parameters: &Parameters) {
    let names: BTreeSet<&str> = parameters.shown.iter().map(|(name, _)| name.as_str()).collect();
    let mut detail = "$everything".to_owned();
    for name in names {
        detail.push(' ');
        detail.push_str(name);
    }
    let event = Event::new(unit.caller, "operation").of(kind).instance(&subject.id, Some(subject.version));
    let whose = if kind.name() == "Patient" { Some(subject.id.as_str()) } else { subject.whose() };
    let event = event.record(&subject.documento_id, whose);
    unit.audit(Event { detail: Some(detail), ..event });
}

fn bundle(base: &str, own: &str, next: Option<&str>, whole: bool, rows: &[Typed], included: &[Typed]) -> Vec<u8> {
    let mut bundle = Writer::new("searchset");
    if whole {
        bundle.total(i64::try_from(rows.len()).unwrap_or(i64::MAX));
    }
    bundle.link("self", own);
    if let Some(next) = next {
        bundle.link("next", next);
    }
    for (resource_type, row) in rows {
        bundle.entry(&Entry::found(base, *resource_type, &row.id, &row.body));
    }
    for (resource_type, row) in included {
        bundle.entry(&Entry { mode: Some("include"), ..Entry::found(base, *resource_type, &row.id, &row.body) });
    }
    bundle.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_or_refused_by_name() {
        let check = |query: &str, expected: &str| {
            let kind = ResourceType::parse(if query.contains("Encounter=") { "Encounter" } else { "Patient" }).unwrap();
            let shown = match parameters(query.trim_start_matches("Encounter="), kind, 1000, -18_000) {
                Ok(read) => format!(
                    "{:?} {:?} {:?}",
                    read.count,
                    read.types.map(|t| t.len()),
                    read.since.or(read.start).or(read.end).map(|t| t.to_string())
                ),
                Err(error) => error.issues[0].expression.clone().unwrap_or_default(),
            };
            assert_eq!(shown, expected, "{query}");
        };
        check("", "None None None");
        check("_count=5000&_format=json", "Some(1000) None None");
        check("_type=Observation,Condition&_type=Encounter", "None Some(3) None");
        check("_since=2026-11-24", "None None Some(\"2026-11-24T05:00:00Z\")");
        check("_count=0", "_count");
        check("_count=%2B5", "_count");
        check("_count=5&_count=6", "_count");
        check("_type=Paciente", "_type");
        check("start=2026-01-01", "None None Some(\"2026-01-01T05:00:00Z\")");
        check("end=2026-01", "None None Some(\"2026-02-01T04:59:59.999999Z\")");
        check("Encounter=start=2026-01-01", "start");
        check("start=2026&start=2025", "start");
        check("end=ayer", "end");
        check("name=ana", "name");
    }

    #[test]
    fn the_directory_is_found_in_stored_text() {
        let body = serde_json::json!({"resourceType": "Encounter", "id": "e", "subject": {"reference": "Patient/p"},
            "serviceProvider": {"reference": "Organization/o"}, "participant": [{"individual": {"reference": "http://h/fhir/Practitioner/d"}}],
            "text": {"div": "a \"reference\":\"Location/no\" b"}, "extension": [{"valueReference": {"reference": "http://elsewhere/Location/x"}}]});
        let mut named = BTreeSet::new();
        directory_references(body.to_string().as_bytes(), "http://h/fhir", &mut named);
        let named: BTreeSet<String> = named.iter().map(|(ty, id)| format!("{ty}/{id}")).collect();
        assert_eq!(named.into_iter().collect::<Vec<_>>(), ["Organization/o", "Practitioner/d"]);
    }
}
