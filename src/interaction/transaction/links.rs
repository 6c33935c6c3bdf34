//! The entries of a Bundle point at each other (<https://hl7.org/fhir/R4/bundle.html#references>): ids and places of what is
//! new, and links that become those of this server.

use super::{ENTRIES_AT_A_TIME, Item};
use crate::access;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{self, ResourceType};
use crate::fhir::reference;
use crate::interaction::unit::Unit;
use crate::interaction::{Content, Interaction};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// What a link means here.
struct Known {
    /// `Type/id`
    place: String,
    /// Created by this Bundle: its only version is the first.
    is_new: bool,
}

/// Two entries with the same criteria would both create; two that write the same resource have no order.
pub(super) fn same_target(items: &[Item]) -> Result<()> {
    let mut criteria = HashSet::new();
    let mut written: HashSet<(ResourceType, &str)> = HashSet::new();
    for item in items {
        let place = |name: &str| format!("{}.request.{name}", item.place());
        if item.absent.is_some_and(|key| !criteria.insert(key)) {
            let name = if matches!(item.interaction, Interaction::Create { if_none_exist: Some(_), .. }) {
                "ifNoneExist"
            } else {
                "url"
            };
            let text = "another entry of the Bundle has the same criteria";
            return Err(Error::at(Kind::MultipleMatches, place(name), text));
        }
        let mut is_new = true;
        match &item.interaction {
            Interaction::Update { resource_type, id, .. }
            | Interaction::Patch { resource_type, id, .. }
            | Interaction::Delete { resource_type, id, .. } => is_new = written.insert((*resource_type, id)),
            Interaction::Conditional { resource_type, .. } => {
                for found in &item.found {
                    is_new &= written.insert((*resource_type, &found.id));
                }
            }
            _ => {}
        }
        if !is_new {
            let text = "another entry of the Bundle writes the same resource";
            return Err(Error::at(Kind::Invalid, place("url"), text));
        }
    }
    Ok(())
}

/// Gives every new resource its id and place, and lets the entries point at each other. `references`: conditional ones,
/// which are known already.
pub(super) async fn place(unit: &mut Unit<'_>, items: &mut [Item], references: HashMap<String, String>) -> Result<()> {
    let known = |(text, place)| (text, Known { place, is_new: false });
    let mut links: HashMap<String, Known> = references.into_iter().map(known).collect();
    // What is known at once: what exists, what has its id in the address, new Patients.
    for item in items.iter_mut() {
        let known = match (&item.interaction, item.found.first()) {
            (Interaction::Create { resource_type, .. }, Some(found)) => {
                Some(Known { place: format!("{resource_type}/{}", found.id), is_new: false })
            }
            (Interaction::Create { resource_type, resource, .. }, None) if resource_type.name() == "Patient" => {
                let placed = unit.place(*resource_type, resource.value()).await?;
                let place = format!("{resource_type}/{}", placed.id);
                item.placed = Some(placed);
                Some(Known { place, is_new: true })
            }
            (Interaction::Update { resource_type, id, .. } | Interaction::Patch { resource_type, id, .. }, _) => {
                Some(Known { place: format!("{resource_type}/{id}"), is_new: false })
            }
            _ => None,
        };
        if let (Some(known), Some(full_url)) = (known, &item.full_url)
            && links.insert(full_url.clone(), known).is_some()
        {
            return Err(twice(item));
        }
    }
    // The others lie where their patient does, so their links to Patients come first.
    rewrite_all(unit, items, &links).await;
    know_owners(unit, items).await?;
    open_records(unit, items)?;
    let mut fresh: HashMap<String, Known> = HashMap::new();
    for item in items.iter_mut() {
        if let Interaction::Create { resource_type, resource, .. } = &item.interaction
            && item.found.is_empty()
            && item.placed.is_none()
        {
            let placed = unit.place(*resource_type, resource.value()).await?;
            let known = Known { place: format!("{resource_type}/{}", placed.id), is_new: true };
            if let Some(full_url) = &item.full_url
                && (links.contains_key(full_url) || fresh.insert(full_url.clone(), known).is_some())
            {
                return Err(twice(item));
            }
            item.placed = Some(placed);
        }
    }
    if !fresh.is_empty() {
        rewrite_all(unit, items, &fresh).await;
    }
    Ok(())
}

fn twice(item: &Item) -> Error {
    Error::at(Kind::Invalid, format!("{}.fullUrl", item.place()), "the fullUrl stands twice in the Bundle")
}

async fn rewrite_all(unit: &Unit<'_>, items: &mut [Item], links: &HashMap<String, Known>) {
    for (done, item) in items.iter_mut().enumerate() {
        if done % ENTRIES_AT_A_TIME == ENTRIES_AT_A_TIME - 1 {
            tokio::task::yield_now().await;
        }
        rewrite(item, links, &unit.app.base);
    }
}

/// Replaces the links of a resource that point at entries. A relative reference means the entry whose fullUrl it is behind
/// the base of the own fullUrl, when that is a REST address, else behind `base`, the address of this server. A link to a
/// version keeps it, unless the entry is created here: then there is the first only.
fn rewrite(item: &mut Item, links: &HashMap<String, Known>, base: &str) {
    let (Interaction::Create { resource, .. } | Interaction::Update { resource, .. }) = &mut item.interaction else {
        return;
    };
    let root =
        item.full_url.as_deref().filter(|url| url.starts_with("http")).and_then(|url| url.rsplitn(3, '/').nth(2));
    let behind = |root: &str, bare: &str| links.get(&format!("{root}/{bare}"));
    let mut link = |text: &str| -> Option<String> {
        let at = text.find('#').unwrap_or(text.len());
        let (address, fragment) = text.split_at_checked(at)?;
        let (bare, version) = match address.split_once("/_history/") {
            Some((bare, version)) => (bare, Some(version)),
            None => (address, None),
        };
        let known = match links.get(bare) {
            Some(known) => known,
            None if bare.is_empty() || bare.contains(':') => return None,
            None => root.and_then(|root| behind(root, bare)).or_else(|| behind(base, bare))?,
        };
        let version = match version {
            None => String::new(),
            Some(_) if known.is_new => "/_history/1".to_owned(),
            Some(version) => format!("/_history/{version}"),
        };
        Some(format!("{}{version}{fragment}", known.place))
    };
    reference::rewrite_links(definitions::r4(), resource.value_mut(), &mut link);
}

/// Opens the records of Patients that come with an id of the client's and are new, before anything looks for its place.
fn open_records(unit: &mut Unit<'_>, items: &[Item]) -> Result<()> {
    for item in items {
        if let Interaction::Update { resource_type, id, resource, .. } = &item.interaction
            && resource_type.name() == "Patient"
            && unit.record(id).is_none()
        {
            unit.open_record(resource.value(), Some(id))?;
        }
    }
    Ok(())
}

/// The records of all owners, and of all Patients that are written, by one query.
async fn know_owners(unit: &mut Unit<'_>, items: &[Item]) -> Result<()> {
    let mut owners: Vec<String> = Vec::new();
    for item in items {
        if let Interaction::Update { resource_type, id, .. } = &item.interaction
            && resource_type.name() == "Patient"
        {
            owners.push(id.clone());
        }
        if let (
            Interaction::Create { resource_type, resource, .. } | Interaction::Update { resource_type, resource, .. },
            None,
        ) = (&item.interaction, &item.placed)
        {
            owners.extend(access::compartment::owner(*resource_type, resource.value(), &unit.app.base));
        }
    }
    owners.sort_unstable();
    owners.dedup();
    let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
    unit.know_records(&owners).await
}

impl Content {
    /// Links are replaced by links: what was checked stays so.
    fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }
}
