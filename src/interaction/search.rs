//! search-type (<https://hl7.org/fhir/R4/http.html#search>), also within a compartment, and the criteria of conditional
//! requests.

use crate::access::{self, Access, Action};
use crate::audit::Event;
use crate::clock;
use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::bundle::{Entry, Writer};
use crate::fhir::definitions::ResourceType;
use crate::fhir::outcome;
use crate::interaction::includes::{self, Included};
use crate::interaction::unit::Unit;
use crate::interaction::{Answer, resolve};
use crate::search::compartment::Compartment;
use crate::search::hash::Form;
use crate::search::include::Resume;
use crate::search::page::Binding;
use crate::search::parse;
use crate::search::query::{Clause, Comparison, Cursor, Prefix, Query, Total};
use crate::search::sql::Guard;
use crate::store;
use crate::store::resource::Stored;
use crate::store::search::Page;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::collections::{BTreeSet, HashMap};

/// Two matches are as many as more: the condition picks no one.
pub(super) const PICKS: u32 = 2;
/// What a total counts up to when it was not asked to be exact.
const ESTIMATE: i64 = 10_000;

pub(super) async fn run(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    within: Option<&Compartment>,
    raw: &str,
    lenient: bool,
) -> Result<Answer> {
    let access = access::authorize(unit.caller, Action::Search, resource_type)?;
    let mut query = parsed(unit, resource_type, raw, lenient)?;
    let mut place = resource_type.to_string();
    if let Some(compartment) = within {
        compartment.restrict(&unit.app.search_context(), resource_type, &mut query);
        place = format!("{}/{place}", compartment.address());
    }
    let resume = page_of(unit, &place, &mut query)?;
    let until = known_until(unit, std::slice::from_mut(&mut query)).await?;
    unit.flush_what_waits().await?;
    let (guard, documents) = bounds(unit, &access, &mut query).await?;
    let page = match query.count {
        0 => Page::empty(),
        _ => {
            let each = query.each.as_ref().map(|each| each.at).zip(unit.pairs(&query).await?);
            // What an each asks for may lie with others.
            let near = near(&guard, documents.as_deref()).filter(|_| each.is_none());
            unit.search_at(near, async |conn| {
                if let Some((at, pairs)) = each.as_ref().filter(|_| !conn.is_citus()) {
                    return store::link::each(conn, &access, &guard, &query, pairs, *at).await;
                }
                store::search::page(conn, &access, &guard, &query, documents.as_deref().unwrap_or_default()).await
            })
            .await?
        }
    };
    let after = resume.as_ref().map(|resume| &resume.after);
    let included = includes::gather(unit, resource_type, &query.includes, &page.rows, after).await?;
    let more = resume.as_ref().map_or(page.next.is_some(), |resume| resume.more);
    let whole = query.cursor.is_none() && !more && query.count > 0;
    let total = match whole {
        true => i64::try_from(page.rows.len()).ok(),
        false => count(unit, &access, &guard, &query, documents.as_deref()).await?,
    };
    // The matches of a page that goes on were told with its first part.
    let matches = if resume.is_some() { &[] } else { page.rows.as_slice() };
    let end = resume.map(|resume| resume.end).or(page.last);
    let next = match (&included.next, end) {
        (Some(after), Some(end)) => {
            Some(Resume { start: query.cursor.clone(), end, more, after: after.clone() }.written())
        }
        (_, end) => end.filter(|_| more),
    };
    let event = Event::new(unit.caller, "search-type").of(resource_type);
    audit(unit, &event, &query, matches.iter().chain(included.rows.iter().map(|(_, row)| row)));
    let shown = Shown { matches, included: &included, next: next.as_ref(), total, until };
    Ok(Answer::bundle(bundle(unit, resource_type, &place, &query, &shown)))
}

/// The limits of a query text.
pub(super) fn limits(unit: &Unit<'_>, raw: &str, lenient: bool) -> parse::Limits {
    let limits = &unit.app.config.limits;
    parse::Limits {
        length: limits.url.max(raw.len().min(limits.body)),
        parameters: limits.parameters,
        terms: limits.or_terms,
        count: u32::try_from(limits.count_default).unwrap_or(20),
        count_max: u32::try_from(limits.count_max).unwrap_or(1000),
        chain_depth: limits.chain_depth,
        linked: u32::try_from(limits.linked).unwrap_or(1000),
        lenient,
    }
}

pub(super) fn parsed(unit: &Unit<'_>, resource_type: ResourceType, raw: &str, lenient: bool) -> Result<Query> {
    let limits = limits(unit, raw, lenient);
    parse::parse(&unit.app.search_context(), resource_type, raw, &limits, clock::now())
}

/// Who asks for what is younger than some time polls, and is told of nothing younger than the oldest write in work
/// (docs/adr/0018). Gives that time.
pub(super) async fn known_until(unit: &Unit<'_>, queries: &mut [Query]) -> Result<Option<Timestamp>> {
    let is_open = |one: &Comparison| matches!(one.prefix, Prefix::Gt | Prefix::Ge | Prefix::Sa);
    let mut polls = false;
    for query in queries.iter_mut() {
        query.each(&mut |clause| polls |= matches!(clause, Clause::Updated(any) if any.iter().any(is_open)));
    }
    if !polls {
        return Ok(None);
    }
    let until = unit.known_until().await?;
    for query in queries {
        query.clauses.push(Clause::Updated(vec![Comparison { prefix: Prefix::Le, lo: until, hi: until }]));
    }
    Ok(Some(until))
}

/// Reads the page token, which is good for this caller, place and query: where its matches begin, or how the includes of a
/// page go on.
pub(super) fn page_of(unit: &Unit<'_>, place: &str, query: &mut Query) -> Result<Option<Resume>> {
    let Some(token) = query.page.take() else { return Ok(None) };
    let read = Binding::of(&unit.app.hasher, &unit.caller.actor, place, query, clock::now()).read(&token);
    query.self_parameters.push(("_page".to_owned(), token));
    let wrong = || Error::at(Kind::Value, "_page", "is not a page of this search, or is older than a day");
    let read = read.ok_or_else(wrong)?;
    if read.values.len() == query.sort.len() {
        query.cursor = Some(read);
        return Ok(None);
    }
    let resume = Resume::read(&read, query.sort.len()).ok_or_else(wrong)?;
    (query.cursor, query.until) = (resume.start.clone(), Some(resume.end.clone()));
    // What came between the matches meanwhile does not push the last of them out.
    query.count = query.count.saturating_mul(2);
    Ok(Some(resume))
}

/// The guard of the caller, and where the rows lie when the query says so. Answers what is asked about shapes and about
/// other resources.
pub(super) async fn bounds(
    unit: &mut Unit<'_>,
    access: &Access,
    query: &mut Query,
) -> Result<(Guard, Option<Vec<String>>)> {
    resolve::resolve(unit, query).await?;
    unit.follow(access.resource_type(), query).await?;
    if query.asks_for_shapes() {
        let shapes = unit.with(async |conn| store::search::shapes(conn, access).await).await?;
        query.know_shapes(&shapes);
    }
    let own = match access.owner().map(str::to_owned) {
        Some(owner) => Some(unit.documents_of(&[&owner]).await?),
        None => None,
    };
    let documents = match (&query.patient, query.ids()) {
        (Some(patients), _) => {
            let patients: Vec<&str> = patients.iter().map(String::as_str).collect();
            Some(unit.documents_of(&patients).await?)
        }
        (None, Some(ids)) => Some(unit.documents_of_ids(access.resource_type(), ids).await?),
        (None, None) => None,
    };
    Ok((access.guard(own), documents))
}

/// The documents that bound a search: those of its patients or ids, else those of the caller.
fn near<'d>(guard: &'d Guard, documents: Option<&'d [String]>) -> Option<&'d [String]> {
    documents.or(guard.documents.as_deref())
}

/// The number of matches, when it is asked for.
pub(super) async fn count(
    unit: &Unit<'_>,
    access: &Access,
    guard: &Guard,
    query: &Query,
    documents: Option<&[String]>,
) -> Result<Option<i64>> {
    let cap = match query.total {
        Total::Accurate => None,
        Total::Estimate => Some(ESTIMATE),
        // To count what is not shown reads it all: a whole chart for the newest 20.
        Total::None | Total::Unasked => return Ok(None),
    };
    let near = near(guard, documents);
    unit.search_at(near, async |conn| store::search::count(conn, access, guard, query, documents, cap).await)
        .await
        .map(Some)
}

pub(super) fn audit<'r>(unit: &mut Unit<'_>, event: &Event, query: &Query, rows: impl Iterator<Item = &'r Stored>) {
    audit_of(unit, event, &query.self_parameters, rows);
}

/// One record like `event` for each patient who is shown, so that "who saw me" is complete; else one under the actor.
pub(super) fn audit_of<'r>(
    unit: &mut Unit<'_>,
    event: &Event,
    parameters: &[(String, String)],
    rows: impl Iterator<Item = &'r Stored>,
) {
    let names: BTreeSet<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    let detail = names.into_iter().collect::<Vec<_>>().join("&");
    let whose = |row: &Stored| row.whose().map(|patient| (patient.to_owned(), row.documento_id.clone()));
    let shown: BTreeSet<(String, String)> = rows.filter_map(whose).collect();
    // Each record has an id of its own.
    let event = |unit: &Unit<'_>| {
        let mut one = Event::new(unit.caller, event.action);
        (one.resource_type, one.detail) = (event.resource_type, Some(detail.clone()));
        one
    };
    if shown.is_empty() {
        let event = event(unit);
        unit.audit(event);
    }
    let mut last: Option<String> = None;
    for (patient, documento_id) in shown {
        if last.as_ref() != Some(&patient) {
            let event = event(unit).record(&documento_id, Some(&patient));
            unit.audit(event);
        }
        last = Some(patient);
    }
}

/// What a query value may hold unencoded (RFC 3986, and what FHIR values use).
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'>')
    .add(b'=')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'\\')
    .add(b'^');

/// The address `url` with these parameters, and with the token of a page.
pub(super) fn address(url: &str, parameters: &[(String, String)], page: Option<&str>) -> String {
    let mut url = url.to_owned();
    let page = page.map(|token| ("_page", token));
    let all = parameters
        .iter()
        .filter(|(name, _)| page.is_none() || name != "_page")
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (n, (name, value)) in all.chain(page).enumerate() {
        url.push(if n == 0 { '?' } else { '&' });
        url.extend(utf8_percent_encode(name, QUERY));
        url.push('=');
        url.extend(utf8_percent_encode(value, QUERY));
    }
    url
}

/// What stands in a page.
struct Shown<'r> {
    matches: &'r [Stored],
    included: &'r Included,
    next: Option<&'r Cursor>,
    total: Option<i64>,
    /// Up to when all is told, to who polls.
    until: Option<Timestamp>,
}

fn bundle(unit: &Unit<'_>, resource_type: ResourceType, place: &str, query: &Query, shown: &Shown<'_>) -> Vec<u8> {
    let base = &unit.app.base;
    let url = format!("{base}/{place}");
    let mut bundle = Writer::new("searchset");
    if let Some(total) = shown.total {
        bundle.total(total);
    }
    if let Some(until) = shown.until {
        bundle.last_updated(until);
    }
    bundle.link("self", &address(&url, &query.self_parameters, None));
    if let Some(next) = shown.next {
        let token = Binding::of(&unit.app.hasher, &unit.caller.actor, place, query, clock::now()).token(next);
        if let Some(token) = token {
            bundle.link("next", &address(&url, &query.self_parameters, Some(&token)));
        }
    }
    for row in shown.matches {
        bundle.entry(&Entry::found(base, resource_type, &row.id, &row.body));
    }
    for (ty, row) in &shown.included.rows {
        bundle.entry(&Entry { mode: Some("include"), ..Entry::found(base, *ty, &row.id, &row.body) });
    }
    tell(&mut bundle, &query.ignored, &shown.included.notes(unit));
    bundle.finish()
}

/// What was left out, and what is to be known, stands at the end of the Bundle.
pub(super) fn tell(bundle: &mut Writer, ignored: &[Issue], notes: &[Issue]) {
    if !ignored.is_empty() || !notes.is_empty() {
        let told = outcome::told(ignored, notes).to_string();
        bundle.entry(&Entry { resource: Some(told.as_bytes()), mode: Some("outcome"), ..Entry::default() });
    }
}

// ---------------------------------------------------------------------- criteria

/// The query of If-None-Exist or of a conditional reference: it must pick something.
fn criteria(unit: &Unit<'_>, resource_type: ResourceType, raw: &str) -> Result<Query> {
    let mut query = parsed(unit, resource_type, raw, false)?;
    if query.clauses.is_empty() {
        return Err(Error::new(Kind::Invalid, "the criteria have no search parameter"));
    }
    query.count = 1;
    query.page = None;
    Ok(query)
}

/// Up to `most` current matches.
pub(super) async fn matches(unit: &mut Unit<'_>, access: &Access, raw: &str, most: u32) -> Result<Vec<Stored>> {
    matches_at(unit, access, raw, most, None).await
}

/// The same, of those that lie under one documento_id.
pub(super) async fn matches_at(
    unit: &mut Unit<'_>,
    access: &Access,
    raw: &str,
    most: u32,
    place: Option<&str>,
) -> Result<Vec<Stored>> {
    let mut query = Query { count: most, ..criteria(unit, access.resource_type(), raw)? };
    let (guard, documents) = bounds(unit, access, &mut query).await?;
    let documents = place.map(|place| vec![place.to_owned()]).or(documents);
    let page = unit
        .search_at(near(&guard, documents.as_deref()), async |conn| {
            store::search::page(conn, access, &guard, &query, documents.as_deref().unwrap_or_default()).await
        })
        .await?;
    Ok(page.rows)
}

/// Holds the locks of criteria until the commit: of several units that would create the same, one does.
pub(super) async fn lock_criteria(unit: &mut Unit<'_>, all: &[(ResourceType, &str)]) -> Result<()> {
    let mut keys = Vec::with_capacity(all.len());
    for (resource_type, raw) in all {
        keys.push(criteria_key(unit, *resource_type, raw)?);
    }
    unit.transaction().await?;
    unit.with(async |conn| store::search::advisory_locks(conn, &mut keys).await).await
}

/// The key of what criteria ask for, not of how they are written: two spellings of one condition are one.
pub(super) fn criteria_key(unit: &Unit<'_>, resource_type: ResourceType, raw: &str) -> Result<i64> {
    let mut canonical: Vec<String> =
        criteria(unit, resource_type, raw)?.clauses.iter().map(|clause| format!("{clause:?}")).collect();
    canonical.sort();
    let parts: Vec<&str> = canonical.iter().map(String::as_str).collect();
    Ok(unit.app.hasher.key(resource_type.name(), "criteria", Form::Exact, &parts))
}

/// The matches (up to `most` or more) of many criteria: those that are one key are answered by one query together.
pub(super) async fn resolve(unit: &mut Unit<'_>, all: &[(ResourceType, &str)], most: u32) -> Result<Vec<Vec<Stored>>> {
    let mut answers: Vec<Vec<Stored>> = all.iter().map(|_| Vec::new()).collect();
    let mut keyed: Vec<(usize, i64)> = Vec::new();
    let mut accesses = Vec::new();
    for (n, (resource_type, raw)) in all.iter().enumerate() {
        let access = access::authorize(unit.caller, Action::Search, *resource_type)?;
        let query = criteria(unit, *resource_type, raw)?;
        match (query.clauses.as_slice(), access.owner()) {
            ([Clause::Any(keys)], None) if keys.len() == 1 && query.patient.is_none() => {
                keyed.extend(keys.first().map(|key| (n, *key)));
                accesses.push(access);
            }
            _ => {
                let found = matches(unit, &access, raw, most).await?;
                if let Some(slot) = answers.get_mut(n) {
                    *slot = found;
                }
            }
        }
    }
    if keyed.is_empty() {
        return Ok(answers);
    }
    let keys: Vec<i64> = keyed.iter().map(|(_, key)| *key).collect();
    let rows = unit.with_own(async |conn| store::search::by_keys(conn, &accesses, &keys).await).await?;
    let mut askers: HashMap<i64, Vec<usize>> = HashMap::new();
    for (n, key) in &keyed {
        askers.entry(*key).or_default().push(*n);
    }
    for (_, row, carried) in &rows {
        for n in carried.iter().filter_map(|key| askers.get(key)).flatten() {
            if let Some(slot) = answers.get_mut(*n) {
                slot.push(row.clone());
            }
        }
    }
    Ok(answers)
}

impl Unit<'_> {
    /// Where these ids may lie.
    async fn documents_of_ids(&mut self, resource_type: ResourceType, ids: &[String]) -> Result<Vec<String>> {
        let typed: Vec<(ResourceType, &str)> = ids.iter().map(|id| (resource_type, id.as_str())).collect();
        let placement = &self.app.placement;
        self.with(async |conn| {
            let mut documents: BTreeSet<String> =
                placement.candidates(conn, &typed).await?.into_iter().flatten().collect();
            documents.extend(placement.directory(conn, &typed).await?.into_iter().flatten());
            Ok(documents.into_iter().collect())
        })
        .await
    }

    /// Place, type and id of each of these, once for each place where it may lie.
    pub(super) async fn places_of(&mut self, ids: &[(ResourceType, String)]) -> Result<Vec<[String; 3]>> {
        let typed: Vec<(ResourceType, &str)> = ids.iter().map(|(ty, id)| (*ty, id.as_str())).collect();
        let placement = &self.app.placement;
        self.with(async |conn| {
            let mut places = BTreeSet::new();
            for found in [placement.candidates(conn, &typed).await?, placement.directory(conn, &typed).await?] {
                let of = |((ty, id), place): (&(ResourceType, String), Option<String>)| {
                    Some([place?, ty.name().to_owned(), id.clone()])
                };
                places.extend(ids.iter().zip(found).filter_map(of));
            }
            Ok(places.into_iter().collect())
        })
        .await
    }
}
