//! `_include` and `_revinclude` of a page: steps of a few statements each, however many rows.
//!
//! The first step starts from the matches, each further one (`:iterate`) from what the step before brought. What does not
//! fit into a page (`limits.includes`) is told, and reached by `next`: the order is that of step, type and id.

use crate::access::{self, Access, Action};
use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::definitions::{self, ResourceType};
use crate::interaction::unit::Unit;
use crate::search::include::{Asked, Include, Position};
use crate::search::link::is_called;
use crate::search::sql::Source;
use crate::store;
use crate::store::everything::Typed;
use crate::store::include::Wanted;
use crate::store::resource::Stored;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A step that is itself followed must be known whole; so many pages of it are.
const PAGES: usize = 10;
/// Keys of one statement: a wildcard asks for many of each match.
const KEYS: usize = 100_000;

/// What comes beside the matches of a page.
#[derive(Default)]
pub(super) struct Included {
    pub rows: Vec<Typed>,
    /// Where it goes on.
    pub next: Option<Position>,
    /// Whether `:iterate` would lead further than it goes.
    deeper: bool,
}

impl Included {
    /// What is told beside the answer.
    pub fn notes(&self, unit: &Unit<'_>) -> Vec<Issue> {
        let limits = &unit.app.config.limits;
        let mut notes = Vec::new();
        if self.next.is_some() {
            let text = format!(
                "more is included than the {} resources of a page (limits.includes): next goes on with them",
                limits.includes
            );
            notes.push(Issue::new(Kind::TooCostly, text));
        }
        if self.deeper {
            let text = format!(
                "more could be included by :iterate, which goes {} steps beyond the first (limits.iterate_depth)",
                limits.iterate_depth
            );
            notes.push(Issue::new(Kind::TooCostly, text));
        }
        notes
    }
}

/// Rows of one step; `until`: there may be more behind this type and id.
struct Step {
    rows: Vec<Typed>,
    until: Option<(String, String)>,
}

/// What the statements of all steps need.
struct Gathering<'q> {
    includes: &'q [Include],
    accesses: Vec<Access>,
    own: Option<Vec<String>>,
    /// `Type/id` of the matches and of all steps before.
    known: BTreeSet<String>,
    /// `Type/id` from which the step starts.
    from: BTreeSet<String>,
}

/// What is included beside `matches` (of type `t`), after `after` of the same page.
pub(super) async fn gather(
    unit: &mut Unit<'_>,
    t: ResourceType,
    includes: &[Include],
    matches: &[Stored],
    after: Option<&Position>,
) -> Result<Included> {
    let mut gathered = Included::default();
    if includes.is_empty() || matches.is_empty() {
        return Ok(gathered);
    }
    let mut asked = Asked::default();
    for row in matches {
        add(unit, &mut asked, includes, 1, t, row)?;
    }
    let from: BTreeSet<String> = matches.iter().map(|row| format!("{t}/{}", row.id)).collect();
    let mut gathering = Gathering { includes, own: None, accesses: Vec::new(), known: from.clone(), from };
    gathering.may_see(unit).await?;
    let iterates = includes.iter().any(|include| include.iterate);
    let limits = &unit.app.config.limits;
    let (mut room, last) = (limits.includes, 1 + if iterates { limits.iterate_depth } else { 0 });
    for level in 1..=last {
        if asked.is_empty() {
            return Ok(gathered);
        }
        let here = after.filter(|after| after.level == level);
        let (start, limit) = match iterates {
            true => (None, limits.includes.saturating_mul(PAGES) + 1),
            false => (here.map(|after| (after.resource_type.as_str(), after.id.as_str())), room + 1),
        };
        let mut step = gathering.step(unit, &asked, start, limit).await?;
        asked = Asked::default();
        if iterates {
            if step.until.is_some() {
                let text =
                    format!("leads to more than {} resources in one step; ask for fewer matches (_count)", limit - 1);
                return Err(Error::at(Kind::TooCostly, "_include:iterate", text));
            }
            for (ty, row) in &step.rows {
                add(unit, &mut asked, includes, level + 1, *ty, row)?;
            }
            gathering.from = step.rows.iter().map(|(ty, row)| format!("{ty}/{}", row.id)).collect();
            gathering.known.extend(gathering.from.iter().cloned());
        }
        // Told by the pages before.
        if after.is_some_and(|after| after.level > level) {
            continue;
        }
        if let Some(after) = here {
            let told = (after.resource_type.as_str(), after.id.as_str());
            step.rows.retain(|(ty, row)| (ty.name(), row.id.as_str()) > told);
        }
        if let Some((resource_type, id)) = step.cut(room) {
            gathered.rows.extend(step.rows);
            gathered.next = Some(Position { level, resource_type, id });
            return Ok(gathered);
        }
        room -= step.rows.len();
        gathered.rows.extend(step.rows);
    }
    gathered.deeper = iterates && !asked.is_empty() && !gathering.step(unit, &asked, None, 1).await?.rows.is_empty();
    Ok(gathered)
}

impl Step {
    /// Keeps `room` rows; answers after which one the next page goes on when that is not all.
    fn cut(&mut self, room: usize) -> Option<(String, String)> {
        if self.rows.len() <= room {
            return self.until.take();
        }
        self.rows.truncate(room);
        let last = self.rows.last();
        Some(last.map_or_else(Default::default, |(ty, row)| (ty.name().to_owned(), row.id.clone())))
    }
}

/// What a row asks for. It is read only when that stands in it.
fn add(
    unit: &Unit<'_>,
    asked: &mut Asked,
    includes: &[Include],
    level: usize,
    t: ResourceType,
    row: &Stored,
) -> Result<()> {
    let forward = |include: &Include| !include.reverse && include.source.is_none_or(|source| source == t);
    let is_read = is_called(definitions::r4(), t) || includes.iter().any(forward);
    let resource: Value = match is_read {
        true => serde_json::from_slice(&row.body).map_err(Error::internal)?,
        false => json!({"id": row.id}),
    };
    asked.add(&unit.app.search_context(), includes, level, t, &resource);
    Ok(())
}

impl Gathering<'_> {
    /// The types that the caller may see; of all others nothing is included.
    async fn may_see(&mut self, unit: &mut Unit<'_>) -> Result<()> {
        let types = ResourceType::all();
        self.accesses = types.filter_map(|ty| access::authorize(unit.caller, Action::Search, ty).ok()).collect();
        let owner = self.accesses.iter().find_map(Access::owner).map(str::to_owned);
        if let Some(owner) = owner {
            self.own = Some(unit.documents_of(&[&owner]).await?);
        }
        Ok(())
    }

    fn may(&self, t: ResourceType) -> bool {
        self.accesses.iter().any(|access| access.resource_type() == t)
    }

    /// The first `limit` rows that are asked for, or fewer with a place behind which there may be more.
    async fn step(
        &self,
        unit: &mut Unit<'_>,
        asked: &Asked,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Step> {
        let context = unit.app.search_context();
        let mut step = Step { rows: Vec::new(), until: None };
        let named = asked.named.iter().filter(|(ty, id)| self.may(*ty) && !self.known.contains(&format!("{ty}/{id}")));
        let places = unit.places_of(&named.cloned().collect::<Vec<_>>()).await?;
        self.bring(unit, &mut step, Source::Places(places), after, limit, |_, _| true).await?;
        let called = asked.called_keys(&context, |ty| self.may(ty));
        let is_called_so = |ty: ResourceType, body: &Value| asked.is_called_so(ty, body);
        self.bring(unit, &mut step, Source::Keys(called), after, limit, is_called_so).await?;
        let keys: Vec<i64> = asked.keys.iter().copied().collect();
        if keys.len() > KEYS {
            let text =
                format!("asks for more than {KEYS} references; name the type, or ask for fewer matches (_count)");
            return Err(Error::at(Kind::TooCostly, "_revinclude", text));
        }
        let context = unit.app.search_context();
        let is_meant = |ty: ResourceType, body: &Value| {
            !asked.loose || asked.is_meant(&context, self.includes, &self.from, ty, body)
        };
        self.bring(unit, &mut step, Source::Keys(keys), after, limit, is_meant).await?;
        step.rows.sort_by(|(a, x), (b, y)| (a.name(), &x.id).cmp(&(b.name(), &y.id)));
        step.rows.dedup_by(|(a, x), (b, y)| a == b && x.id == y.id);
        if let Some(until) = &step.until {
            step.rows.retain(|(ty, row)| (ty.name(), row.id.as_str()) <= (until.0.as_str(), until.1.as_str()));
        }
        Ok(step)
    }

    /// Adds the rows of one source that `is_meant` takes. A source that is not read to its end says how far it was.
    async fn bring(
        &self,
        unit: &mut Unit<'_>,
        step: &mut Step,
        source: Source,
        after: Option<(&str, &str)>,
        limit: usize,
        is_meant: impl Fn(ResourceType, &Value) -> bool,
    ) -> Result<()> {
        let judged = match &source {
            Source::Places(places) if places.is_empty() => return Ok(()),
            Source::Keys(keys) if keys.is_empty() => return Ok(()),
            Source::Places(_) => false,
            Source::Keys(_) => true,
        };
        let known: Vec<String> = if judged { self.known.iter().cloned().collect() } else { Vec::new() };
        let wanted = Wanted { source: &source, after, known: &known, limit };
        let own = self.own.as_deref();
        let rows = unit.with_own(async |conn| store::include::rows(conn, &self.accesses, own, &wanted).await).await?;
        if rows.len() >= limit
            && let Some((ty, row)) = rows.last()
        {
            let end = (ty.name().to_owned(), row.id.clone());
            step.until = Some(step.until.take().map_or(end.clone(), |until| until.min(end)));
        }
        for (ty, row) in rows {
            if !judged || is_meant(ty, &serde_json::from_slice(&row.body).map_err(Error::internal)?) {
                step.rows.push((ty, row));
            }
        }
        Ok(())
    }
}
