//! transaction (<https://hl7.org/fhir/R4/http.html#transaction>): many interactions in one unit, all or nothing.
//!
//! Every entry is parsed and checked before anything is done, so that all problems are told at once. Then, for the whole
//! Bundle: criteria by one query where they are one key, patches, conditional references, ids and places, links between
//! entries, and the entries in the order of the standard (DELETE, POST, PUT and PATCH, GET); their rows go out as sets at
//! the commit, or before the first GET.

mod conditions;
mod links;

use crate::access::{self, Access, Action};
use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::bundle::Writer;
use crate::fhir::definitions::ResourceType;
use crate::interaction::entry::{BundleEntry, entries, respond};
use crate::interaction::unit::{Place, Unit};
use crate::interaction::{Answer, Change, Interaction, Return, conditional, create, patch, update};
use crate::store::resource::{Found, Stored};
use serde_json::Value;
use std::collections::BTreeMap;

/// Problems that are listed before the rest is left out.
const MOST_ISSUES: usize = 100;
/// Entries between two chances for others to run.
const ENTRIES_AT_A_TIME: usize = 16;

/// One entry in work.
struct Item {
    n: usize,
    full_url: Option<String>,
    interaction: Interaction,
    placed: Option<Place>,
    /// What the criteria of the entry have picked.
    found: Vec<Stored>,
    /// The key of criteria that picked nothing, so that the entry creates.
    absent: Option<i64>,
    /// An update that was a patch.
    is_patch: bool,
    /// What a patch leaves as it is.
    same: Option<Stored>,
}

impl Item {
    fn place(&self) -> String {
        format!("Bundle.entry[{}]", self.n)
    }
}

pub(super) async fn run(unit: &mut Unit<'_>, bundle: &Value, returns: Option<Return>) -> Result<Answer> {
    let mut items = parsed(unit, bundle)?;
    unit.wants_body = returns == Some(Return::Representation);
    conditions::targets(unit, &mut items).await?;
    conditions::patches(unit, &mut items).await?;
    let references = conditions::references(unit, &items).await?;
    links::same_target(&items)?;
    links::place(unit, &mut items, references).await?;
    read_ahead(unit, &items).await?;

    let mut answers: Vec<(usize, Answer)> = Vec::with_capacity(items.len());
    items.sort_by_key(|item| order(&item.interaction));
    let mut writes = true;
    for done in 0..items.len() {
        if done % ENTRIES_AT_A_TIME == ENTRIES_AT_A_TIME - 1 {
            tokio::task::yield_now().await;
        }
        if writes && items.get(done).is_some_and(|item| order(&item.interaction) == READS) {
            writes = false;
            // What the entries before have written is what is read.
            unit.place = None;
            unit.flush_what_waits().await?;
            reads_ahead(unit, &items).await?;
        }
        let Some(item) = items.get_mut(done) else { continue };
        let place = item.place();
        unit.place = Some(format!("{place}.resource"));
        let answer = entry(unit, item).await.map_err(|error| error.within(&place))?;
        answers.push((item.n, answer));
    }
    unit.place = None;
    answers.sort_by_key(|(n, _)| *n);
    let mut out = Writer::new("transaction-response");
    for (_, answer) in &answers {
        respond(&mut out, answer, returns);
    }
    Ok(Answer::bundle(out.finish()))
}

async fn entry(unit: &mut Unit<'_>, item: &mut Item) -> Result<Answer> {
    let found = std::mem::take(&mut item.found);
    match &mut item.interaction {
        Interaction::Create { resource_type, resource, .. } => match found.into_iter().next() {
            Some(found) => {
                let found = whole(unit, *resource_type, found).await?;
                Ok(create::found(unit, *resource_type, found))
            }
            None => {
                let (resource_type, resource) = (*resource_type, resource.take());
                create::run(unit, resource_type, resource, None, item.placed.take()).await
            }
        },
        Interaction::Update { resource_type, id, resource, .. } if item.is_patch => {
            let access = access::authorize(unit.caller, Action::Update, *resource_type)?;
            let current = patch::current(unit, &access, id, None).await?;
            patch::keep(unit, &access, resource.take(), &current).await
        }
        Interaction::Update { resource_type, id, resource, if_match } => {
            let answer = update::run(unit, *resource_type, id, resource.take(), *if_match).await;
            answer.map_err(|error| if item.absent.is_some() { conditional::taken(error) } else { error })
        }
        Interaction::Patch { resource_type, .. } => {
            let same = item.same.take().ok_or_else(|| Error::internal("a patch without a version"))?;
            Ok(patch::unchanged(unit, *resource_type, &same))
        }
        Interaction::Conditional { resource_type, change: Change::Delete { if_match }, .. } => {
            conditional::all_deleted(unit, *resource_type, &found, *if_match).await
        }
        interaction => Box::pin(unit.run(interaction)).await,
    }
}

/// What criteria have picked may have come without its body.
async fn whole(unit: &mut Unit<'_>, resource_type: ResourceType, found: Stored) -> Result<Stored> {
    if !unit.wants_body || !found.body.is_empty() {
        return Ok(found);
    }
    let access = access::authorize(unit.caller, Action::Read, resource_type)?;
    match unit.find(&access, &found.id).await? {
        Found::Here(whole) => Ok(*whole),
        Found::Nothing | Found::Hidden => Ok(found),
    }
}

const READS: u8 = 3;

/// The order in which a transaction is done.
fn order(interaction: &Interaction) -> u8 {
    match interaction {
        Interaction::Delete { .. } | Interaction::Conditional { change: Change::Delete { .. }, .. } => 0,
        Interaction::Create { .. } => 1,
        Interaction::Update { .. }
        | Interaction::Patch { .. }
        | Interaction::MetaChange(_)
        | Interaction::Conditional { .. } => 2,
        _ => READS,
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
                found: Vec::new(),
                absent: None,
                is_patch: false,
                same: None,
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
    let mut interaction = entry.interaction(unit.app)?;
    let authorized = |action, ty| access::authorize(unit.caller, action, ty).map(drop);
    match &mut interaction {
        Interaction::Create { resource_type, resource, .. } => {
            authorized(Action::Create, *resource_type)?;
            resource.check(unit.app, *resource_type)?;
        }
        Interaction::Update { resource_type, resource, .. } => {
            authorized(Action::Update, *resource_type)?;
            resource.check(unit.app, *resource_type)?;
        }
        Interaction::Patch { resource_type, .. } => patch::authorized(unit, *resource_type).map(drop)?,
        Interaction::Delete { resource_type, .. } => authorized(Action::Delete, *resource_type)?,
        Interaction::MetaChange(change) => authorized(Action::Update, change.resource_type)?,
        Interaction::Conditional { resource_type, change, .. } => {
            conditional::authorized(unit, *resource_type, change)?;
        }
        Interaction::Transaction { .. } | Interaction::Batch { .. } => {
            return Err(Error::new(Kind::Invalid, "a transaction holds no Bundles to execute"));
        }
        _ => {}
    }
    Ok(interaction)
}

/// Current versions of what is replaced or deleted, and of what answers carry, as sets.
async fn read_ahead(unit: &mut Unit<'_>, items: &[Item]) -> Result<()> {
    let mut by_type: BTreeMap<(ResourceType, u8), (Action, Vec<&str>)> = BTreeMap::new();
    let mut want = |action, resource_type: ResourceType, id| {
        let key = (resource_type, order_of(action));
        by_type.entry(key).or_insert_with(|| (action, Vec::new())).1.push(id);
    };
    for item in items {
        match &item.interaction {
            Interaction::Update { resource_type, id, .. } => want(Action::Update, *resource_type, id.as_str()),
            Interaction::Delete { resource_type, id, .. } => want(Action::Delete, *resource_type, id),
            Interaction::Conditional { resource_type, .. } => {
                item.found.iter().for_each(|one| want(Action::Delete, *resource_type, &one.id));
            }
            Interaction::Create { resource_type, .. } if unit.wants_body => {
                item.found.iter().for_each(|one| want(Action::Read, *resource_type, &one.id));
            }
            _ => {}
        }
    }
    ahead(unit, by_type.into_iter().map(|((resource_type, _), (action, ids))| (resource_type, action, ids))).await
}

fn order_of(action: Action) -> u8 {
    match action {
        Action::Delete => 0,
        Action::Create => 1,
        Action::Update => 2,
        Action::Read | Action::Search => READS,
    }
}

/// What is read by id, as sets. What may not be read says so in its turn.
async fn reads_ahead(unit: &mut Unit<'_>, items: &[Item]) -> Result<()> {
    let mut by_type: BTreeMap<ResourceType, Vec<&str>> = BTreeMap::new();
    for item in items {
        if let Interaction::Read { resource_type, id, .. } = &item.interaction
            && access::may_read(unit.caller, *resource_type)
        {
            by_type.entry(*resource_type).or_default().push(id);
        }
    }
    ahead(unit, by_type.into_iter().map(|(resource_type, ids)| (resource_type, Action::Read, ids))).await
}

async fn ahead<'i>(
    unit: &mut Unit<'_>,
    wanted: impl Iterator<Item = (ResourceType, Action, Vec<&'i str>)>,
) -> Result<()> {
    for (resource_type, action, mut ids) in wanted {
        ids.sort_unstable();
        ids.dedup();
        let access: Access = access::authorize(unit.caller, action, resource_type)?;
        unit.read_ahead(&access, &ids).await?;
    }
    Ok(())
}
