//! A search over several types: one query for each of them, of the parameters that all of them have.
//! <https://hl7.org/fhir/R4/search.html#searchcontexts>

use super::{Limits, pairs, parse_pairs};
use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::search::Context;
use crate::search::parse::known::{nearest, shown};
use crate::search::query::{Query, Sort, SortBy};
use jiff::Timestamp;

/// Resources a page: the matches of each type are at hand at once.
const COUNT_MAX: u32 = 200;

/// The types that were named, none when all are meant, and what is asked of each.
pub struct Several {
    pub named: Option<Vec<ResourceType>>,
    pairs: Vec<(String, String)>,
}

/// Reads the query of an address without a type.
pub fn several(raw: &str, limits: &Limits) -> Result<Several> {
    let mut pairs = pairs(raw, limits)?;
    let mut named: Option<Vec<ResourceType>> = None;
    for (_, value) in pairs.iter().filter(|(name, _)| name == "_type") {
        if named.is_some() {
            return Err(Error::at(Kind::Value, "_type", "is given more than once"));
        }
        let mut types = value.split(',').map(resource_type).collect::<Result<Vec<_>>>()?;
        types.sort_unstable_by_key(|t| t.name());
        types.dedup();
        named = Some(types);
    }
    pairs.retain(|(name, _)| name != "_type");
    Ok(Several { named, pairs })
}

fn resource_type(name: &str) -> Result<ResourceType> {
    ResourceType::parse(name).ok_or_else(|| {
        let nearest = nearest(name, ResourceType::all().map(|t| t.name())).join(", ");
        Error::at(Kind::Value, "_type", format!("is no list of resource types; the nearest of one are {nearest}"))
    })
}

impl Several {
    /// One query for each of `types`, all with the same parameters for the self link. What one of them does not have is
    /// an error, or is left out of all.
    pub fn queries(
        &self,
        context: &Context<'_>,
        types: &[ResourceType],
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Vec<Query>> {
        let gentle = Limits { lenient: true, count_max: limits.count_max.min(COUNT_MAX), ..*limits };
        let read = |pairs: &[(String, String)]| -> Result<Vec<Query>> {
            types.iter().map(|t| parse_pairs(context, *t, pairs.to_vec(), &gentle, now)).collect()
        };
        let mut queries = read(&self.pairs)?;
        let mut ignored: Vec<Issue> = Vec::new();
        for issue in queries.iter().flat_map(|query| &query.ignored) {
            if ignored.iter().all(|known| known.expression != issue.expression) {
                ignored.push(issue.clone());
            }
        }
        if !ignored.is_empty() && !limits.lenient {
            return Err(Error::all(ignored));
        }
        if !ignored.is_empty() {
            let taken = |name: &str, value: &str| {
                let is = |(n, v): &(String, String)| n == name && v == value;
                matches!(name, "_format" | "_pretty" | "_page" | "_count")
                    || queries.iter().all(|query| query.self_parameters.iter().any(is))
            };
            let kept: Vec<_> = self.pairs.iter().filter(|(name, value)| taken(name, value)).cloned().collect();
            queries = read(&kept)?;
        }
        if queries.iter().any(|query| !query.includes.is_empty()) {
            let text = "includes are supported in a search of one type";
            return Err(Error::at(Kind::NotSupported, "_include", text));
        }
        let sorted = self.pairs.iter().any(|(name, _)| name == "_sort");
        for query in &mut queries {
            query.ignored.clone_from(&ignored);
            ordered(query, sorted)?;
            if let Some(named) = &self.named {
                let names: Vec<&str> = named.iter().map(|t| t.name()).collect();
                query.self_parameters.insert(0, ("_type".to_owned(), names.join(",")));
            }
        }
        Ok(queries)
    }
}

/// The newest first, or by one of what all types have in columns.
fn ordered(query: &mut Query, sorted: bool) -> Result<()> {
    if !sorted {
        query.sort = vec![Sort { by: SortBy::Updated, descending: true }];
    }
    match query.sort.as_slice() {
        [Sort { by: SortBy::Updated | SortBy::Id, .. }] => Ok(()),
        _ => {
            let text = "a search over several types can be sorted by _lastUpdated or _id, each also with - before it";
            Err(Error::at(Kind::NotSupported, shown("_sort"), text))
        }
    }
}
