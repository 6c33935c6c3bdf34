//! Which statements a search tries, in which order, by what the statistics say of its clauses. docs/operations/search.md
//! gives the algorithm, its figures, and what stays unbounded.
//!
//! A guess that is wrong costs time, never an answer: each statement tells whether what it found is all, and the last of a
//! list always is.

use crate::error::{Error, Kind, Result};
use crate::search::query::{Clause, Place, Prefix, Query, Sort, SortBy};
use std::collections::HashMap;

/// How far the statements of a search go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Rows that a walk looks at.
    pub walked: f64,
    /// Matches that a pick gathers; one more than are trusted.
    pub picked: i64,
    /// Rows that a search may look at which no index answers (`limits.search_rows`).
    pub rows: f64,
}

impl Bounds {
    pub fn new(rows: f64) -> Bounds {
        Bounds { walked: WALKED, picked: 2_001, rows }
    }
}

/// Rows of a usual walk.
const WALKED: f64 = 3_000.0;
/// What a pick gathers, as an estimate.
const FEW: f64 = 2_000.0;
/// A pick of a commoner key takes longer than a walk.
const COMMON: f64 = 60_000.0;
/// Matches among the rows of a walk that promise a page.
const PAGE: f64 = 10.0;
/// What a row costs whose sort key is asked of another table, against one that is only looked at.
const COMPUTED: f64 = 10.0;

/// The plans of docs/operations/search.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// T: the rows under given documento_ids. Complete.
    Timeline,
    /// W: the first rows of the type in the order of the sort, up to a cap.
    Walk,
    /// P: the first matches of an index, up to a cap.
    Pick,
    /// Y: from where a walk stopped, the matches of the keys year by year. Complete.
    Years,
    /// The planner's choice; complete, needs `force_custom_plan`.
    Plain,
}

impl Plan {
    /// As it is told to people.
    pub fn name(self) -> &'static str {
        match self {
            Plan::Timeline => "timeline",
            Plan::Walk => "walk",
            Plan::Pick => "pick",
            Plan::Years => "years",
            Plan::Plain => "plain",
        }
    }
}

/// How many rows have which key: what ANALYZE has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Rows of all types, deleted ones included.
    pub rows: f64,
    /// The most that a key may have which is not in `keys`.
    pub floor: f64,
    pub keys: HashMap<i64, f64>,
    pub types: HashMap<String, f64>,
}

impl Statistics {
    fn of_type(&self, name: &str) -> f64 {
        self.types.get(name).copied().unwrap_or(self.floor)
    }

    fn of_key(&self, key: i64) -> f64 {
        self.keys.get(&key).copied().unwrap_or(self.floor)
    }

    /// Rows that fulfil a clause, at the most; none when keys do not tell.
    fn most(&self, clause: &Clause) -> Option<f64> {
        let of = |keys: &[i64]| keys.iter().map(|key| self.of_key(*key)).sum::<f64>();
        let least = |keys: &[i64]| keys.iter().map(|key| self.of_key(*key)).reduce(f64::min);
        match clause {
            Clause::Any(keys) => Some(of(keys)),
            Clause::Number(any) => any.iter().map(|amount| least(&amount.keys)).sum(),
            Clause::Ids(ids) => Some(ids.len() as f64),
            Clause::All(all) => all.iter().filter_map(|clause| self.most(clause)).reduce(f64::min),
            Clause::Either(any) => any.iter().map(|clause| self.most(clause)).sum(),
            Clause::Never => Some(0.0),
            _ => None,
        }
    }
}

/// What the statistics say of a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// Rows of the type.
    pub rows: f64,
    /// Rows that fulfil its rarest clause; those of the type when no clause tells.
    pub most: f64,
    /// Matches, if the clauses are independent.
    pub matches: f64,
}

impl Guess {
    pub fn of(query: &Query, statistics: &Statistics) -> Guess {
        let rows = statistics.of_type(query.resource_type);
        let known = query.clauses.iter().filter_map(|clause| statistics.most(clause));
        let share = |most: f64| if rows > 0.0 { (most / rows).min(1.0) } else { 1.0 };
        let (most, matches) =
            known.fold((rows, rows), |(least, matches), most| (least.min(most), matches * share(most)));
        Guess { rows, most, matches }
    }

    /// What the last statement of a search would look at, in rows.
    fn cost(&self, query: &Query) -> f64 {
        let each = if query.sort.iter().all(is_column) { 1.0 } else { COMPUTED };
        self.most * each
    }
}

fn is_column(sort: &Sort) -> bool {
    matches!(sort.by, SortBy::Date | SortBy::Updated | SortBy::Id)
}

/// How many rows a walk looks at: fewer when each is compared with a long list, more for a large page.
pub fn cap(query: &Query, bounds: &Bounds) -> i64 {
    let listed: usize = query.clauses.iter().map(values).sum();
    let page = f64::from(query.count.max(20));
    let cap = bounds.walked * (20.0 / (20.0 + listed as f64)).max(1.0 / 15.0);
    // Whole numbers far below what an f64 holds exactly.
    (cap * (page / 20.0).clamp(1.0, 5.0)) as i64
}

/// Keys of lists.
fn values(clause: &Clause) -> usize {
    match clause {
        Clause::Any(keys) | Clause::Not(keys) if keys.len() > 1 => keys.len(),
        Clause::All(inner) | Clause::Either(inner) => inner.iter().map(values).sum(),
        _ => 0,
    }
}

/// The plans to try, in this order, until one is complete; none: nothing can be found.
///
/// `documents`: where the rows lie, for queries of one patient or of given ids. `distributed`: the rows lie on several
/// nodes. Citus sends a plain statement to each of them, order and limit included, and each plans it by its own statistics;
/// what stands behind a fence it would gather on the coordinator first, or refuse.
pub fn choose(query: &Query, documents: &[String], distributed: bool, statistics: Option<&Statistics>) -> Vec<Plan> {
    if query.is_hopeless() {
        return Vec::new();
    }
    match query.patient.is_some() || query.ids().is_some() {
        // A patient or id that nobody knows.
        true if documents.is_empty() => return Vec::new(),
        true if distributed && documents.len() > 1 => return vec![Plan::Plain],
        true => return vec![Plan::Timeline],
        false if distributed => return vec![Plan::Plain],
        false => {}
    }
    let walks = query.walk_order();
    let positive = query.has_positive_key();
    let source = query.index_source();
    if !positive && source.is_none() {
        return if walks.is_some() { vec![Plan::Walk, Plan::Plain] } else { vec![Plan::Plain] };
    }
    let guess = statistics.filter(|_| positive).map(|statistics| (Guess::of(query, statistics), statistics.floor));
    let several = query.clauses.len() > 1;
    // Few rows have the rarest key: a pick finds them all. Or so few that a walk would not meet them.
    let first = match guess {
        Some((guess, floor)) => {
            let met = guess.matches * WALKED / guess.rows.max(1.0);
            guess.most <= FEW.max(floor) || several && met < PAGE && guess.most < COMMON
        }
        None => query.selective || !positive && source.is_some_and(is_narrow),
    };
    // The only clause, and more rows have it than a pick gathers.
    let vain = !several && !first && guess.is_some();
    let Some(sort) = walks else {
        return if vain { vec![Plan::Plain] } else { vec![Plan::Pick, Plan::Plain] };
    };
    let last = if positive && sort.by == SortBy::Date && !query.years.is_empty() { Plan::Years } else { Plan::Plain };
    match (first, vain) {
        (true, _) => vec![Plan::Pick, Plan::Walk, last],
        (false, true) => vec![Plan::Walk, last],
        (false, false) => vec![Plan::Walk, Plan::Pick, last],
    }
}

/// What an index answers at once, and few rows have.
fn is_narrow(clause: &Clause) -> bool {
    match clause {
        Clause::Text { place, .. } => matches!(place, Place::Start | Place::Whole),
        Clause::Range(any) => any.iter().all(|term| term.interval.prefix == Prefix::Eq),
        _ => false,
    }
}

/// Refuses what would look at more than `limit` rows. `distributed` as for [`choose`]: there each node walks by itself.
pub fn afford(query: &Query, plan: Plan, distributed: bool, statistics: Option<&Statistics>, limit: f64) -> Result<()> {
    let walks = distributed && query.walk_order().is_some();
    match statistics.map(|statistics| Guess::of(query, statistics).cost(query)) {
        Some(cost) if plan == Plan::Plain && !walks && cost > limit => Err(too_costly(limit)),
        _ => Ok(()),
    }
}

/// Refuses to count what would mean to look at more than `limit` rows.
pub fn afford_count(query: &Query, statistics: Option<&Statistics>, limit: f64) -> Result<()> {
    match statistics.map(|statistics| Guess::of(query, statistics)) {
        Some(guess) if guess.most > limit => Err(too_costly(limit)),
        _ => Ok(()),
    }
}

fn too_costly(limit: f64) -> Error {
    let text = format!(
        "this search would look at more than {limit} rows (limits.search_rows): add a parameter that few resources fulfil, \
         or sort by date"
    );
    Error::new(Kind::TooCostly, text)
}

#[cfg(test)]
mod tests;
