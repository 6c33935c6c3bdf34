//! What a query names and only the store knows: the items of Lists (`_list`), the codes of value sets and code systems
//! (`:in`, `:not-in`, `:above`, `:below`). Each becomes a plain condition, or an error that names the parameter.
//!
//! Terminology is read in rounds: what a round needs, by one search of ValueSets and one of CodeSystems. It is directory,
//! which every role reads.

use crate::access::{self, Access, Action};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::reference::Reference;
use crate::interaction::search::limits;
use crate::interaction::unit::Unit;
use crate::search::hash::Form;
use crate::search::parse;
use crate::search::query::{Clause, Concepts, Query};
use crate::search::terminology::{Expander, Held, Wanted};
use crate::store;
use crate::store::resource::Found;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// Rounds of reading, and resources in all of them.
const ROUNDS: usize = 10;
const MOST: usize = 100;
/// Bytes of one definition that are read for a search.
const LARGEST: usize = 8 * 1024 * 1024;

pub(super) async fn resolve(unit: &mut Unit<'_>, query: &mut Query) -> Result<()> {
    let mut lists: BTreeSet<String> = BTreeSet::new();
    let mut concepts: Vec<(&'static str, Concepts)> = Vec::new();
    query.each(&mut |clause| match clause {
        Clause::Listed(ids) => lists.extend(ids.iter().cloned()),
        Clause::Concepts { code, asked, .. } => concepts.extend(asked.iter().map(|one| (*code, one.clone()))),
        _ => {}
    });
    let mut items: HashMap<String, Vec<String>> = HashMap::new();
    for id in lists {
        let listed = listed(unit, &id, query.resource_type).await?;
        items.insert(id, listed);
    }
    let held = held(unit, &concepts).await?;
    let context = unit.app.search_context();
    let t = query.resource_type;
    let mut failed = None;
    query.each(&mut |clause| {
        let known = match clause {
            Clause::Listed(ids) => {
                let mut all: Vec<String> = ids.iter().filter_map(|id| items.get(id)).flatten().cloned().collect();
                all.sort_unstable();
                all.dedup();
                if all.is_empty() { Clause::Never } else { Clause::Ids(all) }
            }
            Clause::Concepts { code, asked, not, bare } => {
                let slot = context.hasher.slot(t, code);
                let mut keys: BTreeSet<i64> = BTreeSet::new();
                for one in asked {
                    match Expander::new(context.definitions, &held).codes(one) {
                        Ok(codes) => {
                            for (system, code) in &codes {
                                keys.insert(slot.key(Form::SystemCode, &[system, code]));
                                if *bare {
                                    keys.insert(slot.key(Form::Bare, &[code]));
                                }
                            }
                        }
                        Err(error) => failed = Some(at(code, error)),
                    }
                }
                let keys: Vec<i64> = keys.into_iter().collect();
                match (*not, keys.is_empty()) {
                    (true, true) => Clause::All(Vec::new()),
                    (true, false) => Clause::Not(keys),
                    (false, true) => Clause::Never,
                    (false, false) => Clause::Any(keys),
                }
            }
            _ => return,
        };
        *clause = known;
    });
    failed.map_or(Ok(()), Err)
}

fn at(parameter: &str, mut error: Error) -> Error {
    error.issues.iter_mut().for_each(|issue| issue.expression = Some(parameter.to_owned()));
    error
}

// ---------------------------------------------------------------------- lists

/// The ids of a type that a List holds, as far as the caller sees the List.
async fn listed(unit: &mut Unit<'_>, id: &str, resource_type: &str) -> Result<Vec<String>> {
    let none = || Error::at(Kind::Value, "_list", "there is no such List");
    let access = access::authorize(unit.caller, Action::Read, named("List")?)?;
    let stored = match unit.find(&access, id).await? {
        Found::Here(stored) if !stored.deleted => stored,
        _ => return Err(none()),
    };
    let list = parsed(&stored.body)?;
    let entries = list.get("entry").and_then(Value::as_array).into_iter().flatten();
    let current = entries.filter(|entry| entry.get("deleted") != Some(&Value::Bool(true)));
    let references = current.filter_map(|entry| entry.get("item")?.get("reference")?.as_str());
    let of = |text| match Reference::parse(text, &unit.app.base) {
        Some(Reference::Relative { resource_type: t, id, .. }) if t.name() == resource_type => Some(id.to_owned()),
        _ => None,
    };
    Ok(references.filter_map(of).collect())
}

fn named(name: &str) -> Result<ResourceType> {
    ResourceType::parse(name).ok_or_else(|| Error::internal("a type of R4 is not known"))
}

fn parsed(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).map_err(Error::internal)
}

// ---------------------------------------------------------------------- terminology

/// All that the concepts need, as far as it is there.
async fn held(unit: &mut Unit<'_>, concepts: &[(&'static str, Concepts)]) -> Result<Held> {
    let mut held = Held::new();
    for _ in 0..ROUNDS {
        let mut expander = Expander::new(unit.app.search_context().definitions, &held);
        for (code, asked) in concepts {
            let told = expander.codes(asked);
            if expander.wanted.is_empty() {
                told.map_err(|error| at(code, error))?;
            }
        }
        let wanted = expander.wanted;
        if wanted.is_empty() {
            return Ok(held);
        }
        if held.len() + wanted.len() > MOST {
            break;
        }
        for name in ["ValueSet", "CodeSystem"] {
            let access = access::authorize(unit.caller, Action::Read, named(name)?)?;
            let of = |one: &&Wanted| matches!(one, Wanted::ValueSet(_)) == (name == "ValueSet");
            let wanted: Vec<&Wanted> = wanted.iter().filter(of).collect();
            let parameter = concepts.first().map_or("", |(code, _)| *code);
            read(unit, &access, &wanted, &mut held).await.map_err(|error| at(parameter, error))?;
        }
    }
    Err(Error::new(Kind::TooCostly, format!("the terminology asked for stands in more than {MOST} definitions")))
}

/// Looks for definitions of one type: by their canonical address, or `ValueSet/id`.
async fn read(unit: &mut Unit<'_>, access: &Access, wanted: &[&Wanted], held: &mut Held) -> Result<()> {
    let mut urls = Vec::new();
    for one in wanted {
        let (Wanted::ValueSet(canonical) | Wanted::CodeSystem(canonical)) = one;
        let local = match Reference::parse(canonical, &unit.app.base) {
            Some(Reference::Relative { resource_type, id, .. }) if resource_type == access.resource_type() => Some(id),
            _ => None,
        };
        match local {
            Some(id) => {
                let found = match unit.find(access, id).await? {
                    Found::Here(stored) if !stored.deleted => Some(definition(&stored.body)?),
                    _ => None,
                };
                held.insert((*one).clone(), found);
            }
            None => urls.push(*one),
        }
    }
    if urls.is_empty() {
        return Ok(());
    }
    let url = |one: &Wanted| -> String {
        let (Wanted::ValueSet(canonical) | Wanted::CodeSystem(canonical)) = one;
        canonical.split('|').next().unwrap_or_default().to_owned()
    };
    let escaped = |url: String| url.replace('\\', "\\\\").replace(',', "\\,").replace('$', "\\$");
    let value = urls.iter().map(|one| escaped(url(one))).collect::<Vec<_>>().join(",");
    let limits = limits(unit, "", false);
    let pairs = vec![("url".to_owned(), value)];
    let mut query =
        parse::parse_pairs(&unit.app.search_context(), access.resource_type(), pairs, &limits, clock::now())?;
    query.count = limits.count_max;
    let guard = access.guard(None);
    let page = unit.with_own(async |conn| store::search::page(conn, access, &guard, &query, &[]).await).await?;
    let mut found = Vec::with_capacity(page.rows.len());
    for row in &page.rows {
        found.push(definition(&row.body)?);
    }
    for one in urls {
        held.insert(one.clone(), chosen(one, &found)?);
    }
    Ok(())
}

fn definition(body: &[u8]) -> Result<Value> {
    if body.len() > LARGEST {
        let text = format!("a definition of more than {} MiB is not read for a search", LARGEST / 1024 / 1024);
        return Err(Error::new(Kind::TooCostly, text));
    }
    parsed(body)
}

/// The one with the address and, when it is named, the version; without a version the only one, or the only active one.
fn chosen(wanted: &Wanted, found: &[Value]) -> Result<Option<Value>> {
    let (Wanted::ValueSet(canonical) | Wanted::CodeSystem(canonical)) = wanted;
    let (url, version) =
        canonical.split_once('|').map_or((canonical.as_str(), None), |(url, version)| (url, Some(version)));
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let same = found.iter().filter(|one| text(one, "url").as_deref() == Some(url));
    let same: Vec<&Value> = match version {
        Some(version) => same.filter(|one| text(one, "version").as_deref() == Some(version)).collect(),
        None => same.collect(),
    };
    let active: Vec<&Value> =
        same.iter().copied().filter(|one| text(one, "status").as_deref() == Some("active")).collect();
    match (same.as_slice(), active.as_slice()) {
        ([], _) => Ok(None),
        ([one], _) | (_, [one]) => Ok(Some((*one).clone())),
        _ => Err(Error::new(Kind::MultipleMatches, "several definitions have this address: say which by |version")),
    }
}
