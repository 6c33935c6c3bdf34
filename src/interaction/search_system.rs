//! search-system (<https://hl7.org/fhir/R4/http.html#vsearch>): one search for each type that is asked for, that the caller
//! may see, and of which there is anything; the answers are merged in the order of the search.
//!
//! Sorted by `_lastUpdated` or `_id`; among equals by the name of the type, then by id. How many statements it takes depends
//! on the number of types, not on the rows.

use crate::access::{self, Access, Action};
use crate::audit::Event;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::bundle::{Entry, Writer};
use crate::fhir::definitions::ResourceType;
use crate::interaction::Answer;
use crate::interaction::search::{address, audit, bounds, count, known_until, limits, page_of, tell};
use crate::interaction::unit::Unit;
use crate::search::compartment::Compartment;
use crate::search::page::Binding;
use crate::search::parse;
use crate::search::query::{Cursor, Query, SortBy};
use crate::store;
use crate::store::resource::Stored;
use jiff::Timestamp;
use std::cmp::Ordering;

/// Stands behind every id.
const LAST: &str = "~";

type Match = (ResourceType, Stored);

pub(super) async fn run(unit: &mut Unit<'_>, within: Option<&Compartment>, raw: &str, lenient: bool) -> Result<Answer> {
    let limits = limits(unit, raw, lenient);
    let asked = parse::several(raw, &limits)?;
    let accesses = accesses(unit, within, asked.named.as_deref())?;
    let types: Vec<ResourceType> = accesses.iter().map(Access::resource_type).collect();
    let context = unit.app.search_context();
    let mut queries = asked.queries(&context, &types, &limits, clock::now())?;
    let Some(shown) = queries.first_mut() else {
        return Err(Error::new(Kind::Forbidden, "the role may not search any type here"));
    };
    let place = within.map_or_else(String::new, |compartment| format!("{}/*", compartment.address()));
    if page_of(unit, &place, shown)?.is_some() {
        return Err(Error::internal("a page of includes where there are none"));
    }
    let shown = shown.clone();
    let until = known_until(unit, &mut queries).await?;
    unit.flush_what_waits().await?;
    let there = unit.with(async |conn| store::search::types(conn, &accesses).await).await?;

    let mut rows: Vec<Match> = Vec::new();
    let mut total = Some(0);
    let mut more = false;
    for (access, mut query) in accesses.iter().zip(queries) {
        let t = access.resource_type();
        if !there.iter().any(|name| name == t.name()) {
            continue;
        }
        if let Some(compartment) = within {
            compartment.restrict(&context, t, &mut query);
        }
        query.cursor = shown.cursor.as_ref().map(|cursor| from(cursor, t, descends(&shown)));
        let (guard, documents) = bounds(unit, access, &mut query).await?;
        let documents = documents.as_deref();
        if query.count > 0 {
            let page = unit
                .with_own(async |conn| {
                    store::search::page(conn, access, &guard, &query, documents.unwrap_or_default()).await
                })
                .await?;
            more |= page.next.is_some();
            rows.extend(page.rows.into_iter().map(|row| (t, row)));
            rows.sort_by(|a, b| order(&shown, a, b));
            more |= rows.len() > shown.count as usize;
            rows.truncate(shown.count as usize);
        }
        let counted = count(unit, access, &guard, &Query { cursor: None, ..query.clone() }, documents).await?;
        total = total.zip(counted).map(|(total, counted)| total + counted);
    }
    if shown.cursor.is_none() && !more && shown.count > 0 {
        total = i64::try_from(rows.len()).ok();
    }
    let event = Event::new(unit.caller, "search-system");
    audit(unit, &event, &shown, rows.iter().map(|(_, row)| row));
    Ok(Answer::bundle(bundle(unit, &place, &shown, &rows, (more, total, until))))
}

/// The proofs for the types that are named, each of which the caller must be allowed; without names for all that it is.
fn accesses(unit: &Unit<'_>, within: Option<&Compartment>, named: Option<&[ResourceType]>) -> Result<Vec<Access>> {
    let definitions = unit.app.search_context().definitions;
    let holds = |t: ResourceType| within.is_none_or(|compartment| compartment.holds(definitions, t));
    match named {
        None => {
            let all = ResourceType::all().filter(|t| holds(*t));
            Ok(all.filter_map(|t| access::authorize(unit.caller, Action::Search, t).ok()).collect())
        }
        Some(named) => named
            .iter()
            .map(|t| match holds(*t) {
                true => access::authorize(unit.caller, Action::Search, *t),
                false => Err(Error::at(Kind::Value, "_type", format!("{t} is not in this compartment"))),
            })
            .collect(),
    }
}

fn descends(query: &Query) -> bool {
    query.sort.first().is_some_and(|sort| sort.descending)
}

fn order(query: &Query, (t, a): &Match, (u, b): &Match) -> Ordering {
    let directed = |order: Ordering| if descends(query) { order.reverse() } else { order };
    let key = match query.sort.first().map(|sort| &sort.by) {
        Some(SortBy::Updated) => a.updated.cmp(&b.updated),
        _ => a.id.cmp(&b.id),
    };
    directed(key).then_with(|| t.name().cmp(u.name())).then_with(|| directed(a.id.cmp(&b.id)))
}

/// Where the rows of type `t` go on after the last row of the page before, whose place is `Type/id`: among equals the
/// types come by their names.
fn from(cursor: &Cursor, t: ResourceType, descends: bool) -> Cursor {
    let (last, id) = cursor.id.split_once('/').unwrap_or(("", &cursor.id));
    let id = match t.name().cmp(last) {
        Ordering::Equal => id,
        // All equals were shown, or none was.
        Ordering::Less if descends => "",
        Ordering::Less => LAST,
        Ordering::Greater if descends => LAST,
        Ordering::Greater => "",
    };
    Cursor { values: cursor.values.clone(), id: id.to_owned() }
}

/// The last: whether there is more, how many there are, and up to when all is told.
fn bundle(
    unit: &Unit<'_>,
    place: &str,
    query: &Query,
    rows: &[Match],
    (more, total, until): (bool, Option<i64>, Option<Timestamp>),
) -> Vec<u8> {
    let base = &unit.app.base;
    let url = if place.is_empty() { base.clone() } else { format!("{base}/{place}") };
    let mut bundle = Writer::new("searchset");
    if let Some(total) = total {
        bundle.total(total);
    }
    if let Some(until) = until {
        bundle.last_updated(until);
    }
    bundle.link("self", &address(&url, &query.self_parameters, None));
    if let Some((t, last)) = rows.last().filter(|_| more) {
        let value = match query.sort.first().map(|sort| &sort.by) {
            Some(SortBy::Updated) => last.updated.to_string(),
            _ => last.id.clone(),
        };
        let next = Cursor { values: vec![value], id: format!("{t}/{}", last.id) };
        let token = Binding::of(&unit.app.hasher, &unit.caller.actor, place, query, clock::now()).token(&next);
        if let Some(token) = token {
            bundle.link("next", &address(&url, &query.self_parameters, Some(&token)));
        }
    }
    for (t, row) in rows {
        bundle.entry(&Entry::found(base, *t, &row.id, &row.body));
    }
    tell(&mut bundle, &query.ignored, &[]);
    bundle.finish()
}
