//! Query + Guard -> statements, one function per [`plan`](super::plan). Values are always bound; nothing of a request is
//! ever part of the text.
//!
//! Every statement holds the whole guard before any limit, and every one but the counts answers the same twelve columns:
//! `documento_id text, id text, version int8, updated timestamptz, sort text[] (the values of the sort keys), body bytea,
//! encoding int2, owner text[], labels text[], patient text[], found int8, capped bool`, in the order of the query, at most
//! `count + 1` rows: the one too many says that there is a next page. `found` (plan P) is the number of matches; `capped` (W, P) on any row says that the cap was
//! reached, so that a page which is not full (W) or the order (P) is not to be trusted and the next plan must be tried.
//! A row whose `id` is null only carries `capped`, and of a walk the place where it stopped: `sort`, and the id in `documento_id`.

mod each;
mod include;
mod text;
mod versions;

pub use each::each;
pub use include::{Source, included};
pub use versions::{Kept, Span, versions};

use crate::search::query::{Clause, Cursor, FIRST_YEAR, LAST_YEAR, Query, SortBy};
use jiff::Timestamp;
use text::Text;

/// A statement ready to run: the text is one of few shapes, so it may be prepared and kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub sql: String,
    pub params: Vec<Bind>,
}

/// A bound value; each `$n` of the text carries its cast.
#[derive(Clone, Debug, PartialEq)]
pub enum Bind {
    Text(String),
    Texts(Vec<String>),
    Int(i64),
    Ints(Vec<i64>),
    Float(f64),
    Time(Timestamp),
    Bool(bool),
}

/// What access allows to be seen, as conditions on the row. Only `access` makes one from a caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// `owner @> array[..]`: a caller bound to one Patient.
    pub owner: Option<String>,
    /// `documento_id = any(..)`: where that caller's rows lie.
    pub documents: Option<Vec<String>>,
    pub label_rule: Option<LabelRule>,
}

/// A row with a label of `if_any` is seen only with a label of `then_any`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRule {
    pub if_any: Vec<String>,
    pub then_any: Vec<String>,
}

/// Documents that get an arm each in the union of T.
const ARMS: usize = 8;

const CAPPED_ROW: &str = "select null::text, null::text, null::int8, null::timestamptz, null::text[], null::bytea, null::int2, null::text[], null::text[], null::text[], null::int8, true";

/// [`CAPPED_ROW`] with the place where a walk stopped.
const STOPPED_ROW: &str = "select stop, null::text, null::int8, null::timestamptz, sort, null::bytea, null::int2, null::text[], null::text[], null::text[], null::int8, true";

/// T. `documents`: the keys under which the rows of `query.patient` (else of `query.ids()`) may lie. Complete; never GIN.
///
/// One arm for each document: only with equality is the index read in its order, and left when the page is full. `= any`
/// sorts the whole chart.
pub fn timeline(query: &Query, guard: &Guard, documents: &[String]) -> Statement {
    let mut text = Text::under(documents);
    let arms: Vec<&[String]> = if documents.len() > ARMS { vec![documents] } else { documents.chunks(1).collect() };
    text.row(query, "w").add(", null::int8 as found, false as capped from (");
    for (n, arm) in arms.iter().enumerate() {
        text.add(if n == 0 { "(" } else { " union all (" });
        text.rows_under(query, guard, arm).page(query).add(")");
    }
    text.add(") w").order(query, "w").page(query);
    text.finish()
}

/// W. The first `cap` rows of the type in the order of the sort; with a date range that bounds that order inside.
pub fn walk(query: &Query, guard: &Guard, cap: i64) -> Statement {
    let mut text = Text::default();
    // Read only when the page is not full: the arms of the union run one after the other. A CTE scan also keeps the
    // union from being run in parallel, which would lose the order.
    text.add("with beyond as materialized (select w.id as stop, array[w.").add(walked_by(query));
    text.add("::text] as sort from resource w where true");
    text.fence(query, guard).order(query, "w").add(" offset ").bind(Bind::Int(cap)).add(" limit 1) ");
    text.add("select * from ((")
        .row(query, "w")
        .add(", null::int8 as found, false as capped from (select * from resource w where true");
    text.fence(query, guard).order(query, "w").add(" limit ").bind(Bind::Int(cap));
    text.add(") w where not w.deleted").clauses(query, None).order(query, "w").page(query);
    text.add(") union all (").add(STOPPED_ROW).add(" from beyond)) u").page(query);
    text.finish()
}

fn walked_by(query: &Query) -> &'static str {
    match query.walk_order() {
        Some(sort) if sort.by == SortBy::Updated => "updated",
        _ => "sort_date",
    }
}

/// Y. The matches at or behind `stop` in the order of the main date, `limit` at the most: the arms of the union, each of
/// the rows of more years than the one before, run one after the other until the page is full. `year`: that of `stop`.
pub fn years(query: &Query, guard: &Guard, stop: &Cursor, year: i16, limit: i64) -> Statement {
    let mut text = Text::within_guard(guard, None);
    let descending = query.sort.first().is_some_and(|sort| sort.descending);
    // Read last: a CTE keeps the union from being run in parallel, which would lose the order.
    text.add("with none as materialized (select 1) select * from (");
    for arm in arms(&query.years, year, descending) {
        text.add("(")
            .row(query, "w")
            .add(", null::int8 as found, false as capped from (select w.* from resource w where not w.deleted");
        text.guard(guard).clauses(query, None).from(query, stop).cursor(query, "w").bounds(query);
        match arm {
            Arm::Years(keys) => text.add(" and w.keys && ").bind(Bind::Ints(keys.to_vec())),
            Arm::Before => text.add(" and w.sort_date < ").first_day(FIRST_YEAR),
            Arm::After => text.add(" and w.sort_date >= ").first_day(LAST_YEAR + 1),
        };
        text.add(" offset 0) w").order(query, "w").add(" limit ").bind(Bind::Int(limit)).add(") union all ");
    }
    text.add("(").add(CAPPED_ROW).add(" from none offset 1)) w limit ").bind(Bind::Int(limit));
    text.finish()
}

/// Rows that an arm of Y looks for.
#[derive(Debug, PartialEq)]
enum Arm<'a> {
    Years(&'a [i64]),
    /// Before the first year that has a key, or without a date.
    Before,
    /// After the last one.
    After,
}

/// One year, the next two, the next four, ...; `keys` are those of all years from the first.
fn arms(keys: &[i64], year: i16, descending: bool) -> Vec<Arm<'_>> {
    let count = i32::try_from(keys.len()).unwrap_or(0);
    let at = i32::from(year) - i32::from(FIRST_YEAR);
    let mut arms = Vec::new();
    let (outside, end) = if descending { (at >= count, Arm::Before) } else { (at < 0, Arm::After) };
    if outside {
        arms.push(if descending { Arm::After } else { Arm::Before });
    }
    // Years that are still to come, in the order of the search.
    let (mut low, mut high) = if descending { (0, (at + 1).clamp(0, count)) } else { (at.clamp(0, count), count) };
    let mut width = 1;
    while low < high {
        let block = if descending { (high - width).max(low)..high } else { low..(low + width).min(high) };
        if descending {
            high = block.start
        } else {
            low = block.end
        }
        width *= 2;
        let block = usize::try_from(block.start).unwrap_or(0)..usize::try_from(block.end).unwrap_or(0);
        arms.extend(keys.get(block).map(Arm::Years));
    }
    arms.push(end);
    arms
}

/// P. All matches of the key clauses by GIN, or, when there are none, those of the first text or range by its index, up to
/// `cap`, then sorted.
pub fn pick(query: &Query, guard: &Guard, cap: i64) -> Statement {
    let mut text = Text::within_guard(guard, None);
    // A computed sort key is known only outside of the statement that computes it.
    let computed = text::is_computed(query);
    let source = match query.clauses.iter().position(Clause::is_indexed) {
        Some(at) if !query.has_positive_key() => {
            text.candidates(query, at, cap);
            text.add("p as materialized (select w.documento_id, w.resource_type, w.id, w.sort_date, w.updated")
                .computed(query);
            text.add(" from (select distinct documento_id, resource_type, id from s) c ")
                .add("cross join lateral (select * from resource r where r.documento_id = c.documento_id and r.resource_type = c.resource_type and r.id = c.id limit 1) w ")
                .add("where not w.deleted");
            text.of_type(query).guard(guard).clauses(query, Some(at));
            "s"
        }
        _ => {
            text.add("with p as materialized (select w.documento_id, w.resource_type, w.id, w.sort_date, w.updated")
                .computed(query);
            text.add(" from resource w where not w.deleted");
            text.guard(guard).keyed_type(query).clauses(query, None);
            "p"
        }
    };
    if !computed {
        text.cursor(query, "w");
    }
    if source == "p" {
        text.add(" limit ").bind(Bind::Int(cap));
    }
    text.add("), t as (select * from p where true");
    if computed {
        text.cursor(query, "p");
    }
    text.order(query, "p").page(query).add(") ");
    text.add("select * from ((")
        .row(query, "t")
        .add(", (select count(*) from p) as found, (select count(*) from ")
        .add(source);
    text.add(") >= ")
        .bind(Bind::Int(cap))
        .add(" as capped from t cross join lateral (select * from resource r where r.documento_id = t.documento_id ");
    text.add("and r.resource_type = t.resource_type and r.id = t.id limit 1) w").order(query, "t").add(") union all (");
    text.add(CAPPED_ROW).add(" from ").add(source).add(" offset ").bind(Bind::Int(cap.saturating_sub(1)));
    text.add(" limit 1)) u").page(query);
    text.finish()
}

/// The planner's choice: right for every query, fast for most. `documents` as for [`count`].
pub fn plain(query: &Query, guard: &Guard, documents: Option<&[String]>) -> Statement {
    let mut text = Text::within_guard(guard, documents);
    text.row(query, "w").add(", null::int8 as found, false as capped from (select w.*").computed(query);
    text.add(" from resource w where not w.deleted");
    text.of_type(query).within(query, documents).guard(guard).clauses(query, None).bounds(query);
    text.add(") w where true").cursor(query, "w").order(query, "w").page(query);
    text.finish()
}

/// The first matches in no order, at most one more than a page: for chains and `_has`, where a pick was not complete.
/// Columns and `documents` as for [`plain`].
pub fn found(query: &Query, guard: &Guard, documents: Option<&[String]>) -> Statement {
    let mut text = Text::within_guard(guard, documents);
    text.row(query, "w").add(", null::int8 as found, false as capped from resource w where not w.deleted");
    text.of_type(query).within(query, documents).guard(guard).clauses(query, None).page(query);
    text.finish()
}

/// What makes a resource a member of a compartment.
#[derive(Clone, Copy, Debug)]
pub enum Member<'a> {
    /// The compartment of a Patient, whose rows lie under these documents.
    Patient(&'a str, &'a [String]),
    /// Any of these keys of references.
    Keys(&'a [i64]),
}

/// Which members are asked for.
#[derive(Clone, Debug, Default)]
pub struct Members<'a> {
    pub since: Option<Timestamp>,
    /// The main date meets this closed interval, or there is none, or the type is one of `undated`.
    pub during: Option<(Timestamp, Timestamp)>,
    pub undated: &'a [String],
    /// Type and id of the row before.
    pub after: Option<(&'a str, &'a str)>,
    pub limit: i64,
}

/// C. A compartment over all types, in the order of type and id, after `after`, at most `limit` rows.
/// `sights`: the types that the caller may see, each with its guard; what stands in none is not answered. The columns:
/// `resource_type text, documento_id text, id text, version int8, updated timestamptz, body bytea, encoding int2,
/// owner text[], labels text[], patient text[]`.
pub fn compartment(member: Member<'_>, sights: &[(Guard, Vec<String>)], members: &Members<'_>) -> Statement {
    let mut text = Text::default();
    text.add("select w.resource_type, w.documento_id, w.id, w.version, w.updated, w.body, w.encoding, w.owner, w.labels, w.patient ");
    text.add("from resource w where ");
    match member {
        Member::Patient(patient, documents) => {
            text.add("w.documento_id = any(").bind(Bind::Texts(documents.to_vec())).add(") and w.patient @> ");
            text.bind(Bind::Texts(vec![patient.to_owned()]));
        }
        Member::Keys(keys) => {
            text.add("w.keys && ").bind(Bind::Ints(keys.to_vec()));
        }
    }
    text.add(" and not w.deleted and (false");
    for (guard, types) in sights {
        text.add(" or (w.resource_type = any(").bind(Bind::Texts(types.clone())).add(")").guard(guard).add(")");
    }
    text.add(")");
    if let Some(since) = members.since {
        text.add(" and w.updated >= ").bind(Bind::Time(since));
    }
    if let Some((lo, hi)) = members.during {
        text.add(" and (w.date_lo is null or w.date_lo <= ").bind(Bind::Time(hi)).add(" and w.date_hi >= ");
        text.bind(Bind::Time(lo))
            .add(" or w.resource_type = any(")
            .bind(Bind::Texts(members.undated.to_vec()))
            .add("))");
    }
    if let Some((resource_type, id)) = members.after {
        text.add(" and (w.resource_type, w.id) > (").bind(Bind::Text(resource_type.to_owned())).add(", ");
        text.bind(Bind::Text(id.to_owned())).add(")");
    }
    text.add(" order by w.resource_type, w.id limit ").bind(Bind::Int(members.limit));
    text.finish()
}

/// Exact number of matches over all pages: one row, one int8. `documents` as for [`timeline`], `None` when the query is not
/// restricted to a patient or ids. `fenced`: the rows under the documents are read and then judged, never found by GIN,
/// which would go over the whole site; so the plan may be kept.
pub fn count(query: &Query, guard: &Guard, documents: Option<&[String]>, fenced: bool) -> Statement {
    let mut text = Text::default();
    text.add("select count(*) from ").matching(query, guard, documents, fenced);
    text.finish()
}

/// As [`count`], but stops at `cap`: an answer below it is exact.
pub fn count_up_to(query: &Query, guard: &Guard, documents: Option<&[String]>, fenced: bool, cap: i64) -> Statement {
    let mut text = Text::default();
    text.add("select count(*) from (select 1 from ").matching(query, guard, documents, fenced);
    text.add(" limit ").bind(Bind::Int(cap)).add(") c");
    text.finish()
}

#[cfg(test)]
mod tests;
