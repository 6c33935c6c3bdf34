//! What a Bundle asks for by criteria: addresses, If-None-Exist, conditional references; and what patches make of what is
//! there. All is answered from before the Bundle, none of its entries is seen.

use super::Item;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::reference::{self, Reference};
use crate::fhir::rule;
use crate::interaction::conditional::{self, Updated};
use crate::interaction::read::not_found;
use crate::interaction::unit::Unit;
use crate::interaction::{Change, Interaction, NO_VERSION, patch, search};
use crate::store::resource::Stored;
use std::collections::{BTreeMap, HashMap};

/// The criteria of one entry.
struct Asked {
    at: usize,
    resource_type: ResourceType,
    criteria: String,
    /// Whether it creates when nothing matches.
    creates: bool,
    /// Where the criteria stand.
    place: &'static str,
}

/// Answers the criteria of addresses and If-None-Exist. What may be created is locked until the commit. Conditional
/// updates and patches become those of an id, or creates.
pub(super) async fn targets(unit: &mut Unit<'_>, items: &mut [Item]) -> Result<()> {
    let mut most = search::PICKS;
    let mut asked: Vec<Asked> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match &item.interaction {
            Interaction::Create { resource_type, if_none_exist: Some(criteria), .. } => asked.push(Asked {
                at,
                resource_type: *resource_type,
                criteria: criteria.clone(),
                creates: true,
                place: "request.ifNoneExist",
            }),
            Interaction::Conditional { resource_type, criteria, change } => {
                most = most.max(conditional::most(unit, change));
                asked.push(Asked {
                    at,
                    resource_type: *resource_type,
                    criteria: criteria.clone(),
                    creates: matches!(change, Change::Update { .. }),
                    place: "request.url",
                });
            }
            _ => {}
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    let found = picked(unit, &asked, most).await?;
    for (asked, found) in asked.iter().zip(found) {
        if asked.creates && found.is_empty() {
            let key = search::criteria_key(unit, asked.resource_type, &asked.criteria)?;
            if let Some(item) = items.get_mut(asked.at) {
                item.absent = Some(key);
            }
        }
        let Some(item) = items.get_mut(asked.at) else { continue };
        take(unit, item, asked, found).map_err(|error| error.within(&format!("Bundle.entry[{}]", item.n)))?;
    }
    Ok(())
}

async fn picked(unit: &mut Unit<'_>, asked: &[Asked], most: u32) -> Result<Vec<Vec<Stored>>> {
    let all: Vec<(ResourceType, &str)> = asked.iter().map(|a| (a.resource_type, a.criteria.as_str())).collect();
    if unit.locks() {
        search::lock_criteria(unit, &all).await?;
        return search::resolve(unit, &all, most).await;
    }
    let mut found = search::resolve(unit, &all, most).await?;
    let is_absent = |(asked, found): (&Asked, &Vec<Stored>)| asked.creates && found.is_empty();
    let absent: Vec<(ResourceType, &str)> = all
        .iter()
        .zip(asked.iter().zip(&found))
        .filter(|(_, pair)| is_absent(*pair))
        .map(|(criteria, _)| *criteria)
        .collect();
    if absent.is_empty() {
        return Ok(found);
    }
    search::lock_criteria(unit, &absent).await?;
    let mut again = search::resolve(unit, &absent, most).await?.into_iter();
    for (asked, slot) in asked.iter().zip(found.iter_mut()) {
        if is_absent((asked, slot)) {
            *slot = again.next().unwrap_or_default();
        }
    }
    Ok(found)
}

/// Gives an entry what its criteria have picked.
fn take(unit: &mut Unit<'_>, item: &mut Item, asked: &Asked, mut found: Vec<Stored>) -> Result<()> {
    let resource_type = asked.resource_type;
    let deletes = matches!(item.interaction, Interaction::Conditional { change: Change::Delete { .. }, .. });
    if found.len() > 1 && !deletes {
        return Err(Error::at(Kind::MultipleMatches, asked.place, "several resources match the criteria"));
    }
    match &mut item.interaction {
        Interaction::Conditional { change: Change::Update { resource, if_match }, .. } => {
            found.iter().for_each(|one| unit.pin(resource_type, one));
            let if_match = *if_match;
            item.interaction = match conditional::updated(resource_type, resource.take(), if_match, found.first())? {
                Updated::Replace { id, resource } => Interaction::Update { resource_type, id, resource, if_match },
                Updated::CreateAs { id, resource } => {
                    Interaction::Update { resource_type, id, resource, if_match: Some(NO_VERSION) }
                }
                Updated::Create(resource) => Interaction::Create { resource_type, resource, if_none_exist: None },
            };
        }
        Interaction::Conditional { change: Change::Patch { patch, if_match }, .. } => {
            found.iter().for_each(|one| unit.pin(resource_type, one));
            let id = found.pop().ok_or_else(|| not_found(resource_type))?.id;
            item.interaction = Interaction::Patch { resource_type, id, patch: patch.clone(), if_match: *if_match };
        }
        _ => {
            if deletes {
                found.iter().for_each(|one| unit.pin(resource_type, one));
            }
            item.found = found;
        }
    }
    Ok(())
}

/// Patches become updates with what they make of the version that is there, so that links in it are those of any update.
pub(super) async fn patches(unit: &mut Unit<'_>, items: &mut [Item]) -> Result<()> {
    let mut by_type: BTreeMap<ResourceType, Vec<&str>> = BTreeMap::new();
    for item in items.iter() {
        if let Interaction::Patch { resource_type, id, .. } = &item.interaction {
            by_type.entry(*resource_type).or_default().push(id);
        }
    }
    for (resource_type, ids) in by_type {
        let access = patch::authorized(unit, resource_type)?;
        unit.read_ahead(&access, &ids).await?;
    }
    for item in items.iter_mut() {
        let Interaction::Patch { resource_type, id, patch, if_match } = &item.interaction else { continue };
        let (resource_type, id) = (*resource_type, id.clone());
        let access = patch::authorized(unit, resource_type)?;
        let place = format!("Bundle.entry[{}]", item.n);
        let current = patch::current(unit, &access, &id, *if_match).await.map_err(|error| error.within(&place))?;
        let patched = patch::patched(unit, resource_type, &current, patch).map_err(|error| error.within(&place))?;
        unit.pin(resource_type, &current);
        match patched {
            Some(resource) => {
                unit.remember(&access, current);
                item.interaction = Interaction::Update { resource_type, id, resource, if_match: None };
                item.is_patch = true;
            }
            None => item.same = Some(current),
        }
    }
    Ok(())
}

/// Conditional reference -> `Type/id`, for all resources of the Bundle.
pub(super) async fn references(unit: &mut Unit<'_>, items: &[Item]) -> Result<HashMap<String, String>> {
    let base = unit.app.base.clone();
    let mut references: BTreeMap<String, (ResourceType, String, String)> = BTreeMap::new();
    for item in items {
        let (Interaction::Create { resource, .. } | Interaction::Update { resource, .. }) = &item.interaction else {
            continue;
        };
        reference::walk_references(resource.value(), &mut |place, text| {
            if let Some(Reference::Conditional { resource_type, query }) = Reference::parse(text, &base) {
                references.entry(text.to_owned()).or_insert_with(|| {
                    let place = place.to_string();
                    let inside = place.split_once('.').map_or("", |(_, inside)| inside);
                    (resource_type, query.to_owned(), format!("{}.resource.{inside}", item.place()))
                });
            }
        });
    }
    let asked: Vec<(ResourceType, &str)> = references.values().map(|(ty, query, _)| (*ty, query.as_str())).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let found = search::resolve(unit, &asked, search::PICKS).await?;
    let mut resolved = HashMap::new();
    for ((text, (ty, _, place)), matches) in references.iter().zip(found) {
        let (kind, key) = match matches.as_slice() {
            [one] => {
                resolved.insert(text.clone(), format!("{ty}/{}", one.id));
                continue;
            }
            [] => (Kind::BusinessRule, "rule.target_matches_none"),
            _ => (Kind::MultipleMatches, "rule.target_matches_many"),
        };
        return Err(Error::all(vec![rule::issue(kind, place.as_str(), key, &[("type", ty.name())])]));
    }
    Ok(resolved)
}
