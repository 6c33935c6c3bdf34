//! transaction (<https://hl7.org/fhir/R4/http.html#transaction>): many interactions in one unit, all or nothing.
//!
//! Every entry is parsed and checked before anything is done, so that all problems are told at once. Then, for the whole
//! Bundle: conditions and conditional references by one query, ids and places, links between entries, and the entries
//! in the order of the standard (DELETE, POST, PUT, GET); their rows go out as sets at the commit.

use crate::access::{self, Action};
use crate::app::App;
use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::bundle::{self, Response, Writer};
use crate::fhir::definitions::{self, ResourceType};
use crate::fhir::reference::{self, Reference};
use crate::interaction::batch::status_line;
use crate::interaction::request::{self, Conditions, Method};
use crate::interaction::unit::{Place, Unit};
use crate::interaction::{Answer, Content, Interaction, create, search};
use crate::store::resource::Stored;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Problems that are listed before the rest is left out.
const MOST_ISSUES: usize = 100;
/// Entries between two chances for others to run.
const ENTRIES_AT_A_TIME: usize = 16;

/// `Bundle.entry` of a transaction or batch, as it came.
pub(super) struct BundleEntry<'b> {
    value: &'b Value,
}

/// The entries, within their limit.
pub(super) fn entries<'b>(app: &App, bundle: &'b Value) -> Result<Vec<BundleEntry<'b>>> {
    let entries = match bundle.get("entry") {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(Error::at(Kind::Structure, "Bundle.entry", "must be an array")),
    };
    let limit = app.config.limits.bundle_entries;
    if entries.len() > limit {
        return Err(Error::at(
            Kind::TooCostly,
            "Bundle.entry",
            format!("more than {limit} entries (limits.bundle_entries)"),
        ));
    }
    Ok(entries.iter().map(|value| BundleEntry { value }).collect())
}

impl BundleEntry<'_> {
    fn request(&self, name: &str) -> Option<&str> {
        self.value.get("request").and_then(|request| request.get(name)).and_then(Value::as_str)
    }

    pub(super) fn method(&self) -> Option<&str> {
        self.request("method")
    }

    fn full_url(&self) -> Option<&str> {
        self.value.get("fullUrl").and_then(Value::as_str)
    }

    /// The interaction that the entry asks for, by the same rules as a request over HTTP.
    pub(super) fn interaction(&self, base: &str) -> Result<Interaction> {
        let method =
            self.method().ok_or_else(|| Error::at(Kind::Required, "request.method", "request.method is missing"))?;
        let url =
            self.request("url").ok_or_else(|| Error::at(Kind::Required, "request.url", "request.url is missing"))?;
        let method = Method::parse(method)
            .ok_or_else(|| Error::at(Kind::NotSupported, "request.method", "the method is not supported"))?;
        let relative = url.strip_prefix(base).map_or(url, |rest| rest.trim_start_matches('/'));
        if relative.contains("://") || relative.split('/').any(|part| part == ".." || part == ".") {
            return Err(Error::at(
                Kind::Value,
                "request.url",
                "the address must be one of this server, relative to its base",
            ));
        }
        let (path, query) = relative.split_once('?').unwrap_or((relative, ""));
        let conditions = Conditions {
            if_match: self.request("ifMatch").map(str::to_owned),
            if_none_exist: self.request("ifNoneExist").map(str::to_owned),
            if_none_match: self.request("ifNoneMatch").map(str::to_owned),
            if_modified_since: self.request("ifModifiedSince").map(str::to_owned),
            lenient: false,
        };
        request::parse(method, path.trim_start_matches('/'), query, &conditions, self.value.get("resource").cloned())
    }
}

/// The response of an entry.
pub(super) fn response(answer: &Answer) -> Response {
    Response {
        status: status_line(answer.status),
        location: answer.location.clone(),
        version: answer.version,
        updated: answer.updated,
        outcome: None,
    }
}

/// One entry in work.
struct Item {
    n: usize,
    full_url: Option<String>,
    interaction: Interaction,
    placed: Option<Place>,
    /// What If-None-Exist found.
    existing: Option<Stored>,
}

pub(super) async fn run(unit: &mut Unit<'_>, bundle: &Value) -> Result<Answer> {
    let mut items = parsed(unit, bundle)?;
    let conditionals = conditions(unit, &mut items).await?;
    place(unit, &mut items, conditionals).await?;
    read_ahead(unit, &items).await?;

    let mut answers: Vec<(usize, Answer)> = Vec::with_capacity(items.len());
    items.sort_by_key(|item| order(&item.interaction));
    unit.wants_body = false;
    for (done, item) in items.into_iter().enumerate() {
        if done % ENTRIES_AT_A_TIME == ENTRIES_AT_A_TIME - 1 {
            tokio::task::yield_now().await;
        }
        let place = format!("Bundle.entry[{}]", item.n);
        unit.place = Some(format!("{place}.resource"));
        let n = item.n;
        let answer = entry(unit, item).await.map_err(|error| error.within(&place))?;
        answers.push((n, answer));
    }
    unit.place = None;
    answers.sort_by_key(|(n, _)| *n);
    let mut out = Writer::new("transaction-response");
    for (_, answer) in &answers {
        out.entry(&bundle::Entry {
            resource: answer.body.as_deref(),
            response: Some(response(answer)),
            ..bundle::Entry::default()
        });
    }
    Ok(Answer::bundle(out.finish()))
}

async fn entry(unit: &mut Unit<'_>, item: Item) -> Result<Answer> {
    match item.interaction {
        Interaction::Create { resource_type, resource, .. } => match item.existing {
            Some(found) => Ok(create::found(unit, resource_type, found)),
            None => create::run(unit, resource_type, resource, None, item.placed).await,
        },
        interaction @ (Interaction::Update { .. } | Interaction::Delete { .. }) => {
            Box::pin(unit.run(&interaction)).await
        }
        interaction => {
            // A read sees what the entries before it have written.
            unit.flush().await?;
            Box::pin(unit.run(&interaction)).await
        }
    }
}

/// The order in which a transaction is done.
fn order(interaction: &Interaction) -> u8 {
    match interaction {
        Interaction::Delete { .. } => 0,
        Interaction::Create { .. } => 1,
        Interaction::Update { .. } | Interaction::MetaChange(_) => 2,
        _ => 3,
    }
}

/// Parses and checks every entry; all problems at once.
fn parsed(unit: &Unit<'_>, bundle: &Value) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut issues: Vec<Issue> = Vec::new();
    for (n, entry) in entries(unit.app, bundle)?.iter().enumerate() {
        match checked(unit, entry) {
            Ok(interaction) => items.push(Item {
                n,
                full_url: entry.full_url().map(str::to_owned),
                interaction,
                placed: None,
                existing: None,
            }),
            // Rights before content: a refusal tells nothing else.
            Err(error) if error.kind == Kind::Forbidden => return Err(error.within(&format!("Bundle.entry[{n}]"))),
            Err(error) => issues.extend(error.within(&format!("Bundle.entry[{n}]")).issues),
        }
        if issues.len() >= MOST_ISSUES {
            break;
        }
    }
    if issues.is_empty() { Ok(items) } else { Err(Error::all(issues)) }
}

fn checked(unit: &Unit<'_>, entry: &BundleEntry<'_>) -> Result<Interaction> {
    let mut interaction = entry.interaction(&unit.app.base)?;
    let authorized = |action, ty| access::authorize(unit.caller, action, ty).map(drop);
    match &mut interaction {
        Interaction::Create { resource_type, resource, .. } => {
            authorized(Action::Create, *resource_type)?;
            resource.check(*resource_type)?;
        }
        Interaction::Update { resource_type, resource, .. } => {
            authorized(Action::Update, *resource_type)?;
            resource.check(*resource_type)?;
        }
        Interaction::Delete { resource_type, .. } => authorized(Action::Delete, *resource_type)?,
        Interaction::MetaChange(change) => authorized(Action::Update, change.resource_type)?,
        Interaction::Transaction { .. } | Interaction::Batch { .. } => {
            return Err(Error::new(Kind::Invalid, "a transaction holds no Bundles to execute"));
        }
        _ => {}
    }
    Ok(interaction)
}

/// Answers every If-None-Exist and every conditional reference of the Bundle. What may be created is locked until the
/// commit. Returns conditional reference -> `Type/id`.
async fn conditions(unit: &mut Unit<'_>, items: &mut [Item]) -> Result<HashMap<String, String>> {
    let base = unit.app.base.clone();
    let mut creates: Vec<(usize, ResourceType, String)> = Vec::new();
    let mut references: BTreeMap<String, (ResourceType, String, usize)> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        let resource = match &item.interaction {
            Interaction::Create { resource_type, resource, if_none_exist } => {
                if let Some(criteria) = if_none_exist {
                    creates.push((at, *resource_type, criteria.clone()));
                }
                resource
            }
            Interaction::Update { resource, .. } => resource,
            _ => continue,
        };
        reference::walk_references(resource.value(), &mut |_, text| {
            if let Some(Reference::Conditional { resource_type, query }) = Reference::parse(text, &base) {
                references.entry(text.to_owned()).or_insert_with(|| (resource_type, query.to_owned(), item.n));
            }
        });
    }
    let mut asked: Vec<(ResourceType, &str)> =
        creates.iter().map(|(_, ty, criteria)| (*ty, criteria.as_str())).collect();
    asked.extend(references.values().map(|(ty, query, _)| (*ty, query.as_str())));
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let mut found = search::resolve(unit, &asked).await?;
    let absent: Vec<(ResourceType, &str)> =
        asked.iter().zip(&found).take(creates.len()).filter(|(_, f)| f.is_empty()).map(|(a, _)| *a).collect();
    if !absent.is_empty() {
        search::lock_criteria(unit, &absent).await?;
        let again = search::resolve(unit, &absent).await?;
        let mut again = again.into_iter();
        for slot in found.iter_mut().take(creates.len()).filter(|f| f.is_empty()) {
            *slot = again.next().unwrap_or_default();
        }
    }
    let mut found = found.into_iter();
    for ((at, ..), matches) in creates.iter().zip(found.by_ref()) {
        let Some(item) = items.get_mut(*at) else { continue };
        if matches.len() > 1 {
            let text = "several resources match the criteria";
            return Err(Error::at(Kind::MultipleMatches, "request.ifNoneExist", text)
                .within(&format!("Bundle.entry[{}]", item.n)));
        }
        item.existing = matches.into_iter().next();
    }
    let mut resolved = HashMap::new();
    for ((text, (ty, _, n)), matches) in references.iter().zip(found) {
        let place = format!("Bundle.entry[{n}].resource");
        match matches.as_slice() {
            [one] => drop(resolved.insert(text.clone(), format!("{ty}/{}", one.id))),
            [] => return Err(Error::at(Kind::BusinessRule, place, format!("a conditional reference matches no {ty}"))),
            _ => {
                return Err(Error::at(
                    Kind::MultipleMatches,
                    place,
                    format!("a conditional reference matches several {ty}"),
                ));
            }
        }
    }
    Ok(resolved)
}

/// Gives every new resource its id and place, and lets the entries point at each other.
async fn place(unit: &mut Unit<'_>, items: &mut [Item], mut links: HashMap<String, String>) -> Result<()> {
    same_target(items)?;
    // What is known at once: what exists, what has its id in the address, new Patients.
    for item in items.iter_mut() {
        let known = match (&item.interaction, &item.existing) {
            (Interaction::Create { resource_type, .. }, Some(found)) => Some(format!("{resource_type}/{}", found.id)),
            (Interaction::Create { resource_type, resource, .. }, None) if resource_type.name() == "Patient" => {
                let placed = unit.place(*resource_type, resource.value()).await?;
                let known = format!("{resource_type}/{}", placed.id);
                item.placed = Some(placed);
                Some(known)
            }
            (Interaction::Update { resource_type, id, .. }, _) => Some(format!("{resource_type}/{id}")),
            _ => None,
        };
        if let (Some(known), Some(full_url)) = (known, &item.full_url)
            && links.insert(full_url.clone(), known).is_some()
        {
            return Err(Error::at(
                Kind::Invalid,
                format!("Bundle.entry[{}].fullUrl", item.n),
                "the fullUrl stands twice in the Bundle",
            ));
        }
    }
    // The others lie where their patient does, so their links to Patients come first.
    for (done, item) in items.iter_mut().enumerate() {
        if done % ENTRIES_AT_A_TIME == ENTRIES_AT_A_TIME - 1 {
            tokio::task::yield_now().await;
        }
        rewrite(item, &links);
    }
    know_owners(unit, items).await?;
    let mut fresh: HashMap<String, String> = HashMap::new();
    for item in items.iter_mut() {
        if let Interaction::Create { resource_type, resource, .. } = &item.interaction
            && item.existing.is_none()
            && item.placed.is_none()
        {
            let placed = unit.place(*resource_type, resource.value()).await?;
            if let Some(full_url) = &item.full_url
                && (links.contains_key(full_url)
                    || fresh.insert(full_url.clone(), format!("{resource_type}/{}", placed.id)).is_some())
            {
                return Err(Error::at(
                    Kind::Invalid,
                    format!("Bundle.entry[{}].fullUrl", item.n),
                    "the fullUrl stands twice in the Bundle",
                ));
            }
            item.placed = Some(placed);
        }
    }
    if !fresh.is_empty() {
        for (done, item) in items.iter_mut().enumerate() {
            if done % ENTRIES_AT_A_TIME == ENTRIES_AT_A_TIME - 1 {
                tokio::task::yield_now().await;
            }
            rewrite(item, &fresh);
        }
    }
    Ok(())
}

/// Two entries with the same If-None-Exist would both create; two that write the same resource have no order.
fn same_target(items: &[Item]) -> Result<()> {
    let mut criteria = HashSet::new();
    let mut written = HashSet::new();
    for item in items {
        let place = |name: &str| format!("Bundle.entry[{}].request.{name}", item.n);
        match (&item.interaction, &item.existing) {
            (Interaction::Create { resource_type, if_none_exist: Some(wanted), .. }, None)
                if !criteria.insert((*resource_type, wanted)) =>
            {
                return Err(Error::at(
                    Kind::MultipleMatches,
                    place("ifNoneExist"),
                    "another entry of the Bundle has the same criteria",
                ));
            }
            (Interaction::Update { resource_type, id, .. } | Interaction::Delete { resource_type, id, .. }, _)
                if !written.insert((*resource_type, id)) =>
            {
                return Err(Error::at(
                    Kind::Invalid,
                    place("url"),
                    "another entry of the Bundle writes the same resource",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Replaces the links of a resource that point at entries. A relative reference inside an entry whose fullUrl is a REST
/// address is relative to the base of that address (<https://hl7.org/fhir/R4/bundle.html#references>).
fn rewrite(item: &mut Item, links: &HashMap<String, String>) {
    let (Interaction::Create { resource, .. } | Interaction::Update { resource, .. }) = &mut item.interaction else {
        return;
    };
    let root =
        item.full_url.as_deref().filter(|url| url.starts_with("http")).and_then(|url| url.rsplitn(3, '/').nth(2));
    let mut link = |text: &str| -> Option<String> {
        let (bare, fragment) =
            text.split_once('#').map_or((text, ""), |(bare, _)| (bare, text.get(bare.len()..).unwrap_or("")));
        let known = links.get(bare).or_else(|| links.get(&format!("{}/{bare}", root?)))?;
        Some(format!("{known}{fragment}"))
    };
    reference::rewrite_links(definitions::r4(), resource.value_mut(), &mut link);
}

/// The records of all owners, by one query.
async fn know_owners(unit: &mut Unit<'_>, items: &[Item]) -> Result<()> {
    let mut owners: Vec<String> = Vec::new();
    for item in items {
        if let (Interaction::Create { resource_type, resource, .. }, None) = (&item.interaction, &item.placed) {
            owners.extend(access::compartment::owner(*resource_type, resource.value(), &unit.app.base));
        }
    }
    owners.sort_unstable();
    owners.dedup();
    let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
    unit.know_records(&owners).await
}

/// Current versions of what is replaced or deleted, as sets.
async fn read_ahead(unit: &mut Unit<'_>, items: &[Item]) -> Result<()> {
    let mut by_type: BTreeMap<(ResourceType, bool), Vec<&str>> = BTreeMap::new();
    for item in items {
        match &item.interaction {
            Interaction::Update { resource_type, id, .. } => {
                by_type.entry((*resource_type, false)).or_default().push(id)
            }
            Interaction::Delete { resource_type, id, .. } => {
                by_type.entry((*resource_type, true)).or_default().push(id)
            }
            _ => {}
        }
    }
    for ((resource_type, deletes), ids) in by_type {
        let action = if deletes { Action::Delete } else { Action::Update };
        let access = access::authorize(unit.caller, action, resource_type)?;
        unit.read_ahead(&access, &ids).await?;
    }
    Ok(())
}

impl Content {
    /// Links are replaced by links: what was checked stays so.
    fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }
}
