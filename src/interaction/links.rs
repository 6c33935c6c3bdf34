//! Chains and `_has` of a search: the other resources are searched for first, with the access of the caller to their type,
//! and what was found becomes a clause of the query (`search::link`). One search for each step and type, however many rows.

use crate::access::{self, Access, Action};
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{self, ResourceType};
use crate::interaction::search::bounds;
use crate::interaction::unit::Unit;
use crate::search::hash::Form;
use crate::search::link::{self, Each, Found, Joined, Link, Way};
use crate::search::param::reference;
use crate::search::query::{Clause, Query, SortBy};
use crate::search::sql::{Guard, Source};
use crate::store;
use crate::store::include::Wanted;
use crate::store::resource::Stored;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;

/// Patients whose rows are looked for one by one, newest first, rather than by their keys over the whole site.
const FEW: usize = 8;
/// Rows that are read of many patients for one page.
const ROWS: usize = 50_000;

/// What became of a link.
struct Answered {
    clause: Clause,
    /// The Patients in whose compartment the rows are.
    patients: Option<Vec<String>>,
}

/// What was found of one type.
struct Arm {
    t: ResourceType,
    rows: Vec<Stored>,
    bodies: Vec<Value>,
    /// Url and version of what has the same urls.
    all: Vec<(String, Option<String>)>,
}

impl Unit<'_> {
    /// Answers the chains and `_has` of a query of type `t`.
    pub(super) async fn follow(&mut self, t: ResourceType, query: &mut Query) -> Result<()> {
        for (at, clause) in query.clauses.iter_mut().enumerate() {
            if !matches!(clause, Clause::Linked(_)) {
                continue;
            }
            if let Clause::Linked(link) = std::mem::replace(clause, Clause::Never) {
                let slot = self.app.hasher.slot(t.name(), link.code);
                let answered = self.answer(t, *link).await?;
                *clause = answered.clause;
                match answered.patients {
                    Some(few) if few.len() <= FEW => {
                        query.selective = true;
                        query.patient.get_or_insert(few);
                    }
                    Some(many) if query.each.is_none() => {
                        let key = |id: String| (id.clone(), slot.key(Form::Typed, &["Patient", &id]));
                        query.each = Some(Each { at, patients: many.into_iter().map(key).collect() });
                    }
                    _ => {}
                }
            }
        }
        while let Some(clause) = query.unanswered() {
            if let Clause::Linked(link) = std::mem::replace(clause, Clause::Never) {
                *clause = self.answer(t, *link).await?.clause;
            }
        }
        Ok(())
    }

    /// Where the rows of many patients lie, with the key that they have, when they are better asked one by one: the newest
    /// of each, and not so many rows a page that nearly all would be read.
    pub(super) async fn pairs(&mut self, query: &Query) -> Result<Option<Vec<(String, i64)>>> {
        let by_date = query.walk_order().is_some_and(|sort| sort.by == SortBy::Date);
        let each = query.each.as_ref().filter(|_| by_date && query.patient.is_none() && query.ids().is_none());
        let Some(each) = each.filter(|each| each.patients.len() * query.count as usize <= ROWS) else {
            return Ok(None);
        };
        let patients: Vec<&str> = each.patients.iter().map(|(id, _)| id.as_str()).collect();
        let keys: HashMap<&str, i64> = each.patients.iter().map(|(id, key)| (id.as_str(), *key)).collect();
        let placement = &self.app.placement;
        self.with(async |conn| {
            let records = placement.records_of(conn, &patients).await?;
            let further = store::placement::further_keys_of(conn, &patients).await?;
            let own = records.iter().map(|(id, record)| (id.as_str(), record.documento_id.clone()));
            let all = own.chain(further.iter().map(|(id, documento_id)| (id.as_str(), documento_id.clone())));
            let pairs: BTreeSet<(String, i64)> =
                all.filter_map(|(id, documento_id)| Some((documento_id, *keys.get(id)?))).collect();
            Ok(Some(pairs.into_iter().collect()))
        })
        .await
    }

    // A chain may hold a chain: the future is as deep as `limits.chain_depth` and must be boxed.
    fn answer<'f>(
        &'f mut self,
        t: ResourceType,
        link: Link,
    ) -> Pin<Box<dyn Future<Output = Result<Answered>> + Send + 'f>> {
        Box::pin(async move {
            let mut denied = None;
            let mut clauses = Vec::new();
            let mut arms = Vec::new();
            for query in link.arms.iter().cloned() {
                let of = ResourceType::parse(query.resource_type).ok_or_else(|| Error::internal("no such type"))?;
                match access::authorize(self.caller, Action::Search, of) {
                    Ok(access) => match self.arm(t, &link, &access, query).await? {
                        Ok(arm) => arms.push(arm),
                        Err(joined) => clauses.push(Clause::Joined(Box::new(joined))),
                    },
                    Err(error) if link.typed => return Err(error),
                    // Of all types that it could lead to, those that the caller may not search are as if they were not.
                    Err(error) => denied = Some(error),
                }
            }
            if let (true, true, Some(error)) = (arms.is_empty(), clauses.is_empty(), denied) {
                return Err(error);
            }
            let patients = if clauses.is_empty() { patients(t, &link, &arms) } else { None };
            clauses.extend(self.settled(t, &link, &arms).filter(|clause| *clause != Clause::Never));
            let clause = match clauses.len() {
                0 => Clause::Never,
                1 => clauses.pop().unwrap_or(Clause::Never),
                _ => Clause::Either(clauses),
            };
            Ok(Answered { clause, patients })
        })
    }

    /// The clause on the row itself that says what the arms found.
    fn settled(&self, t: ResourceType, link: &Link, arms: &[Arm]) -> Option<Clause> {
        let context = self.app.search_context();
        if link.way == Way::Has {
            let arm = arms.first()?;
            if arm.bodies.is_empty() {
                let mut ids: Vec<String> = arm.rows.iter().flat_map(|row| row.owner.iter().cloned()).collect();
                ids.sort_unstable();
                ids.dedup();
                return (!ids.is_empty()).then_some(Clause::Ids(ids));
            }
            return Some(link::held(&context, t, (arm.t, link.code), arm.bodies.iter()));
        }
        let owned = |(url, version): (&str, Option<&str>)| (url.to_owned(), version.map(str::to_owned));
        let found: Vec<Found<'_>> = arms
            .iter()
            .map(|arm| Found {
                t: arm.t,
                ids: arm.rows.iter().map(|row| row.id.as_str()).collect(),
                called: arm.bodies.iter().filter_map(link::canonical).map(owned).collect(),
                all: arm.all.clone(),
            })
            .collect();
        Some(link::chained(&context, t, link.code, &found))
    }

    /// What one search of a link finds; more than can be named is left to each row, where that can be.
    async fn arm(
        &mut self,
        t: ResourceType,
        link: &Link,
        access: &Access,
        mut query: Query,
    ) -> Result<std::result::Result<Arm, Joined>> {
        let of = access.resource_type();
        let definitions = definitions::r4();
        let beside = match link.way {
            Way::Chain => of.name() == "Patient" && link::is_owner(definitions, t, link.code),
            Way::Has => t.name() == "Patient" && link::is_owner(definitions, of, link.code),
        };
        let holder = if link.way == Way::Chain { t } else { of };
        let parameter = definitions.search_parameter(holder, link.code);
        let called = link.way == Way::Chain
            && parameter.is_some_and(reference::is_canonical)
            && link::is_called(definitions, of);
        query.bare = if link.way == Way::Chain { !called } else { beside };
        let (guard, documents) = bounds(self, access, &mut query).await?;
        let found = self
            .with_own(async |conn| store::link::found(conn, access, &guard, &query, documents.as_deref()).await)
            .await?;
        let Some(rows) = found else {
            let nested = query.clauses.iter().any(|clause| matches!(clause, Clause::Joined(_)));
            if !beside || nested {
                return Err(too_many(link, of, query.count));
            }
            let elsewhere = self.elsewhere(t, link, access, &query).await?;
            return Ok(Err(Joined { way: link.way, query, guard, elsewhere }));
        };
        let mut bodies = Vec::new();
        if !query.bare {
            for row in &rows {
                bodies.push(serde_json::from_slice(&row.body).map_err(Error::internal)?);
            }
        }
        let all = if called { self.called(link, access, &bodies, query.count).await? } else { Vec::new() };
        Ok(Ok(Arm { t: of, rows, bodies, all }))
    }

    /// Url and version of everything that has the url of one of these.
    async fn called(
        &mut self,
        link: &Link,
        access: &Access,
        bodies: &[Value],
        limit: u32,
    ) -> Result<Vec<(String, Option<String>)>> {
        let slot = self.app.hasher.slot(access.resource_type().name(), "url");
        let urls = bodies.iter().filter_map(link::canonical).map(|(url, _)| url);
        let keys: Vec<i64> = urls.map(|url| slot.key(Form::Address, &[url])).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let (source, accesses) = (Source::Keys(keys), [access.clone()]);
        let limit = limit as usize;
        let wanted = Wanted { source: &source, after: None, known: &[], limit: limit + 1 };
        let rows = self.with_own(async |conn| store::include::rows(conn, &accesses, None, &wanted).await).await?;
        if rows.len() > limit {
            return Err(too_many(link, access.resource_type(), u32::try_from(limit).unwrap_or(u32::MAX)));
        }
        let mut all = Vec::with_capacity(rows.len());
        for (_, row) in &rows {
            let body: Value = serde_json::from_slice(&row.body).map_err(Error::internal)?;
            all.extend(link::canonical(&body).map(|(url, version)| (url.to_owned(), version.map(str::to_owned))));
        }
        Ok(all)
    }

    /// The answer for the patients of whom something lies under another key than their own; a join beside the row would
    /// miss it.
    async fn elsewhere(&mut self, t: ResourceType, link: &Link, access: &Access, query: &Query) -> Result<Clause> {
        let limit = i64::from(query.count);
        let mut further = self.with(async |conn| store::link::elsewhere(conn, limit + 1).await).await?;
        further.retain(|(patient, _)| access.owner().is_none_or(|own| own == patient));
        if further.is_empty() {
            return Ok(Clause::Never);
        }
        if i64::try_from(further.len()).unwrap_or(i64::MAX) > limit {
            return Err(too_many(link, access.resource_type(), query.count));
        }
        let (patients, mut documents): (Vec<String>, Vec<String>) = further.into_iter().unzip();
        let mut query = query.clone();
        let (guard, documents) = match link.way {
            Way::Chain => {
                query.clauses.push(Clause::Ids(patients));
                bounds(self, access, &mut query).await?
            }
            Way::Has => {
                documents.sort_unstable();
                documents.dedup();
                let own = bounds(self, access, &mut query).await?.0.documents;
                (Guard { documents: own, ..access.guard(None) }, Some(documents))
            }
        };
        let found = self
            .with_own(async |conn| store::link::found(conn, access, &guard, &query, documents.as_deref()).await)
            .await?;
        let rows = found.ok_or_else(|| too_many(link, access.resource_type(), query.count))?;
        let arm = Arm { t: access.resource_type(), rows, bodies: Vec::new(), all: Vec::new() };
        Ok(self.settled(t, link, &[arm]).unwrap_or(Clause::Never))
    }
}

fn too_many(link: &Link, of: ResourceType, most: u32) -> Error {
    let text = format!("goes by more than {most} resources of type {of} (limits.linked); say more of them");
    Error::at(Kind::TooCostly, link.name.clone(), text)
}

/// The Patients that a chain leads to, when the rows lie with them.
fn patients(t: ResourceType, link: &Link, arms: &[Arm]) -> Option<Vec<String>> {
    let ids: Vec<String> = arms.iter().flat_map(|arm| arm.rows.iter().map(|row| row.id.clone())).collect();
    let of_patients = arms.iter().all(|arm| arm.t.name() == "Patient");
    let leads = link.way == Way::Chain && link::leads_to_record(definitions::r4(), t, link.code);
    (of_patients && leads && !ids.is_empty()).then_some(ids)
}
