//! Query + Guard -> statements, one function per plan of `search.md`. Values are always bound; nothing of a request is
//! ever part of the text.
//!
//! Every statement holds the whole guard before any limit, and every one but the counts answers the same twelve columns:
//! `documento_id text, id text, version int8, updated timestamptz, sort_date timestamptz (null when absent), body bytea,
//! encoding int2, owner text[], labels text[], patient text[], found int8, capped bool`, in the order of the query, at most `count + 1` rows: the one too many says that
//! there is a next page. `found` (plan P) is the number of matches; `capped` (W, P) on any row says that the cap was
//! reached, so that a page which is not full (W) or the order (P) is not to be trusted and the next plan must be tried.
//! A row whose `id` is null only carries `capped`.

use crate::search::param::date;
use crate::search::query::{Clause, Comparison, Prefix, Query, SortBy};
use jiff::Timestamp;

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

/// The plans of `search.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// T: the rows under given documento_ids. Complete.
    Timeline,
    /// W: the newest rows of the type, up to a cap.
    Walk,
    /// P: the first matches of an index, up to a cap.
    Pick,
    /// The planner's choice; complete, needs `force_custom_plan`.
    Plain,
}

/// Which plans to try, in this order, until one is complete. Without statistics yet: a clause is taken as rare by its
/// parameter alone (`Query::selective`). A walk needs an index in the order of the sort, which `_id` has not.
///
/// `documents` as for [`timeline`]. `distributed`: the rows lie on several nodes. Citus sends a plain statement to each of
/// them, order and limit included; what stands behind a fence it would gather on the coordinator first, or refuse.
pub fn plans(query: &Query, documents: &[String], distributed: bool) -> &'static [Plan] {
    match query.patient.is_some() || query.ids().is_some() {
        // A patient or id that nobody knows.
        true if documents.is_empty() => return &[],
        true if distributed && documents.len() > 1 => return &[Plan::Plain],
        true => return &[Plan::Timeline],
        false if distributed => return &[Plan::Plain],
        false => {}
    }
    let prefix = query.clauses.iter().any(|clause| matches!(clause, Clause::Prefix { .. }));
    let walks = query.sort.by != SortBy::Id;
    match (query.has_positive_key() || prefix, walks) {
        (true, true) if query.selective || !query.has_positive_key() => &[Plan::Pick, Plan::Walk, Plan::Plain],
        (true, true) => &[Plan::Walk, Plan::Pick, Plan::Plain],
        (true, false) => &[Plan::Pick, Plan::Plain],
        (false, true) => &[Plan::Walk, Plan::Plain],
        (false, false) => &[Plan::Plain],
    }
}

const ROW: &str = "select w.documento_id, w.id, w.version, w.updated, nullif(w.sort_date, '-infinity') as sort_date, w.body, w.encoding, w.owner, w.labels, w.patient";
const CAPPED_ROW: &str = "select null::text, null::text, null::int8, null::timestamptz, null::timestamptz, null::bytea, null::int2, null::text[], null::text[], null::text[], null::int8, true";

/// T. `documents`: the keys under which the rows of `query.patient` (else of `query.ids()`) may lie. Complete; never GIN.
pub fn timeline(query: &Query, guard: &Guard, documents: &[String]) -> Statement {
    let mut text = Text { documents: Some(documents.to_vec()), ..Text::default() };
    text.add(ROW)
        .add(", null::int8 as found, false as capped from (select * from resource w where w.documento_id = any(");
    text.bind(Bind::Texts(documents.to_vec())).add(")");
    text.of_type(query).guard(guard);
    if query.sort.by == SortBy::Date {
        text.order(query, "w");
    }
    // The fence: without it the planner would intersect the patient with the key over the whole site.
    text.add(" offset 0) w where not w.deleted");
    if let Some(patients) = &query.patient {
        text.add(" and w.patient && ").bind(Bind::Texts(patients.clone()));
    }
    text.clauses(query, None).cursor(query).order(query, "w").page(query);
    text.finish()
}

/// W. The first `cap` rows of the type in the order of the sort; with a date range that bounds that order inside.
pub fn walk(query: &Query, guard: &Guard, cap: i64) -> Statement {
    let mut text = Text::default();
    // Read only when the page is not full: the arms of the union run one after the other. A CTE scan also keeps the
    // union from being run in parallel, which would lose the order.
    text.add("with beyond as materialized (select 1 from resource w where true");
    text.fence(query, guard).order(query, "w").add(" offset ").bind(Bind::Int(cap)).add(" limit 1) ");
    text.add("select * from ((")
        .add(ROW)
        .add(", null::int8 as found, false as capped from (select * from resource w where true");
    text.fence(query, guard).order(query, "w").add(" limit ").bind(Bind::Int(cap));
    text.add(") w where not w.deleted").clauses(query, None).order(query, "w").page(query);
    text.add(") union all (").add(CAPPED_ROW).add(" from beyond)) u").page(query);
    text.finish()
}

/// P. All matches of the key clauses by GIN, or, when there are none, those of the first string clause by its index, up to
/// `cap`, then sorted.
pub fn pick(query: &Query, guard: &Guard, cap: i64) -> Statement {
    let mut text = Text::default();
    let by_text = query.clauses.iter().position(|clause| matches!(clause, Clause::Prefix { .. }));
    let source = match by_text {
        Some(at) if !query.has_positive_key() => {
            text.candidates(query, at, cap);
            text.add("p as materialized (select w.documento_id, w.resource_type, w.id, w.sort_date, w.updated from (select distinct documento_id, resource_type, id from s) c ")
                .add("cross join lateral (select * from resource r where r.documento_id = c.documento_id and r.resource_type = c.resource_type and r.id = c.id limit 1) w ")
                .add("where not w.deleted");
            text.of_type(query).guard(guard).clauses(query, Some(at)).cursor(query).add(")");
            "s"
        }
        _ => {
            text.add("with p as materialized (select w.documento_id, w.resource_type, w.id, w.sort_date, w.updated from resource w where not w.deleted");
            text.guard(guard).keyed_type(query).clauses(query, None).cursor(query);
            text.add(" limit ").bind(Bind::Int(cap)).add(")");
            "p"
        }
    };
    text.add(", t as (select * from p").order(query, "p").page(query).add(") ");
    text.add("select * from ((")
        .add(ROW)
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
    let mut text = Text::default();
    text.add(ROW).add(", null::int8 as found, false as capped from resource w where not w.deleted");
    text.of_type(query)
        .within(query, documents)
        .guard(guard)
        .clauses(query, None)
        .bounds(query)
        .cursor(query)
        .order(query, "w")
        .page(query);
    text.finish()
}

/// C. The compartment of one Patient over all types, in the order of type and id, after `after`, at most `limit` rows.
/// `sights`: the types that the caller may see, each with its guard; what stands in none is not answered. The columns:
/// `resource_type text, documento_id text, id text, version int8, updated timestamptz, body bytea, encoding int2,
/// owner text[], labels text[], patient text[]`.
pub fn compartment(
    patient: &str,
    sights: &[(Guard, Vec<String>)],
    documents: &[String],
    since: Option<Timestamp>,
    after: Option<(&str, &str)>,
    limit: i64,
) -> Statement {
    let mut text = Text::default();
    text.add("select w.resource_type, w.documento_id, w.id, w.version, w.updated, w.body, w.encoding, w.owner, w.labels, w.patient ");
    text.add("from resource w where w.documento_id = any(")
        .bind(Bind::Texts(documents.to_vec()))
        .add(") and not w.deleted");
    text.add(" and w.patient @> ").bind(Bind::Texts(vec![patient.to_owned()])).add(" and (false");
    for (guard, types) in sights {
        text.add(" or (w.resource_type = any(").bind(Bind::Texts(types.clone())).add(")").guard(guard).add(")");
    }
    text.add(")");
    if let Some(since) = since {
        text.add(" and w.updated >= ").bind(Bind::Time(since));
    }
    if let Some((resource_type, id)) = after {
        text.add(" and (w.resource_type, w.id) > (").bind(Bind::Text(resource_type.to_owned())).add(", ");
        text.bind(Bind::Text(id.to_owned())).add(")");
    }
    text.add(" order by w.resource_type, w.id limit ").bind(Bind::Int(limit));
    text.finish()
}

/// Exact number of matches over all pages: one row, one int8. `documents` as for [`timeline`], `None` when the query is not
/// restricted to a patient or ids.
pub fn count(query: &Query, guard: &Guard, documents: Option<&[String]>) -> Statement {
    let mut text = Text::default();
    text.add("select count(*) from resource w where not w.deleted").matching(query, guard, documents);
    text.finish()
}

/// As [`count`], but stops at `cap`: an answer below it is exact.
pub fn count_up_to(query: &Query, guard: &Guard, documents: Option<&[String]>, cap: i64) -> Statement {
    let mut text = Text::default();
    text.add("select count(*) from (select 1 from resource w where not w.deleted").matching(query, guard, documents);
    text.add(" limit ").bind(Bind::Int(cap)).add(") c");
    text.finish()
}

/// A statement in the making. Everything added is a constant of this file or a `$n`.
#[derive(Default)]
struct Text {
    sql: String,
    params: Vec<Bind>,
    /// Where the rows lie. Citus must be told so of each table: `= any` does not go over from one to the other.
    documents: Option<Vec<String>>,
}

impl Text {
    fn add(&mut self, sql: &'static str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    fn bind(&mut self, value: Bind) -> &mut Self {
        let cast = match &value {
            Bind::Text(_) => "text",
            Bind::Texts(_) => "text[]",
            Bind::Int(_) => "int8",
            Bind::Ints(_) => "int8[]",
            Bind::Float(_) => "float8",
            Bind::Time(_) => "timestamptz",
            Bind::Bool(_) => "bool",
        };
        self.params.push(value);
        self.sql.push_str(&format!("${}::{cast}", self.params.len()));
        self
    }

    /// The rows of a search table that belong to the row `w`, without the closing parenthesis.
    fn exists(&mut self, from: &'static str) -> &mut Self {
        self.add(" and exists (select 1 from ").add(from);
        self.add(" s where s.documento_id = w.documento_id and s.resource_type = w.resource_type and s.id = w.id");
        if let Some(documents) = self.documents.clone() {
            self.add(" and s.documento_id = any(").bind(Bind::Texts(documents)).add(")");
        }
        self
    }

    fn finish(self) -> Statement {
        Statement { sql: self.sql, params: self.params }
    }

    fn of_type(&mut self, query: &Query) -> &mut Self {
        self.add(" and w.resource_type = ").bind(Bind::Text(query.resource_type.to_owned()))
    }

    /// The type is part of each key: beside `keys @>` its own condition would halve the planner's estimate.
    fn keyed_type(&mut self, query: &Query) -> &mut Self {
        if query.has_positive_key() { self } else { self.of_type(query) }
    }

    fn guard(&mut self, guard: &Guard) -> &mut Self {
        if let Some(documents) = &guard.documents {
            self.documents.get_or_insert_with(|| documents.clone());
            self.add(" and w.documento_id = any(").bind(Bind::Texts(documents.clone())).add(")");
        }
        if let Some(owner) = &guard.owner {
            self.add(" and w.owner @> ").bind(Bind::Texts(vec![owner.clone()]));
        }
        if let Some(rule) = &guard.label_rule {
            self.add(" and (not w.labels && ").bind(Bind::Texts(rule.if_any.clone()));
            self.add(" or w.labels && ").bind(Bind::Texts(rule.then_any.clone())).add(")");
        }
        self
    }

    /// The rows of the patient, or of the ids, that a query is about.
    fn within(&mut self, query: &Query, documents: Option<&[String]>) -> &mut Self {
        if let Some(documents) = documents {
            self.documents = Some(documents.to_vec());
            self.add(" and w.documento_id = any(").bind(Bind::Texts(documents.to_vec())).add(")");
        }
        if let Some(patients) = &query.patient {
            self.add(" and w.patient && ").bind(Bind::Texts(patients.clone()));
        }
        self
    }

    /// The rows that a walk passes over.
    fn fence(&mut self, query: &Query, guard: &Guard) -> &mut Self {
        self.of_type(query).guard(guard).bounds(query).cursor(query)
    }

    /// What a count counts.
    fn matching(&mut self, query: &Query, guard: &Guard, documents: Option<&[String]>) -> &mut Self {
        if documents.is_some() {
            self.of_type(query)
        } else {
            self.keyed_type(query)
        };
        self.within(query, documents);
        self.guard(guard).clauses(query, None)
    }

    fn cursor(&mut self, query: &Query) -> &mut Self {
        let Some(cursor) = &query.cursor else { return self };
        self.add(match query.sort.by {
            SortBy::Date => " and (w.sort_date, w.id) ",
            SortBy::Updated => " and (w.updated, w.id) ",
            SortBy::Id => " and w.id ",
        });
        self.add(if query.sort.descending { "< " } else { "> " });
        if query.sort.by == SortBy::Id {
            return self.bind(Bind::Text(cursor.id.clone()));
        }
        self.add("(");
        match cursor.at {
            Some(at) => self.bind(Bind::Time(at)),
            None => self.add("'-infinity'::timestamptz"),
        };
        self.add(", ").bind(Bind::Text(cursor.id.clone())).add(")")
    }

    /// `order by` of the query on a row source that has `sort_date, updated, id`.
    fn order(&mut self, query: &Query, source: &'static str) -> &mut Self {
        let direction = if query.sort.descending { " desc" } else { " asc" };
        self.add(" order by ");
        if query.sort.by != SortBy::Id {
            let column = if query.sort.by == SortBy::Date { ".sort_date" } else { ".updated" };
            self.add(source).add(column).add(direction).add(", ");
        }
        self.add(source).add(".id").add(direction)
    }

    fn page(&mut self, query: &Query) -> &mut Self {
        self.add(" limit ").bind(Bind::Int(i64::from(query.count) + 1))
    }

    /// Conditions implied by the clauses that bound the column of the sort, so that an index in that order can start or
    /// stop early. `le` and `lt` bound nothing: a period without start has its end as sort_date.
    fn bounds(&mut self, query: &Query) -> &mut Self {
        for clause in &query.clauses {
            match (clause, query.sort.by) {
                (Clause::Date(any), SortBy::Date) => {
                    let [one] = any.as_slice() else { continue };
                    match one.prefix {
                        Prefix::Eq => self
                            .add(" and w.sort_date >= ")
                            .bind(Bind::Time(one.lo))
                            .add(" and w.sort_date <= ")
                            .bind(Bind::Time(one.hi)),
                        Prefix::Sa => self.add(" and w.sort_date > ").bind(Bind::Time(one.hi)),
                        _ => self,
                    };
                }
                (Clause::Updated(any), SortBy::Updated) => {
                    let [one] = any.as_slice() else { continue };
                    if one.prefix != Prefix::Ne {
                        self.add(" and ").updated(one);
                    }
                }
                _ => {}
            }
        }
        self
    }

    /// All clauses but the one at `except`.
    fn clauses(&mut self, query: &Query, except: Option<usize>) -> &mut Self {
        let mut all = Vec::new();
        for (at, clause) in query.clauses.iter().enumerate() {
            match clause {
                _ if Some(at) == except => continue,
                Clause::Any(keys) => match keys.as_slice() {
                    [key] => {
                        all.push(*key);
                        continue;
                    }
                    _ => self.add(" and w.keys && ").bind(Bind::Ints(keys.clone())),
                },
                Clause::Not(keys) => self.add(" and not w.keys && ").bind(Bind::Ints(keys.clone())),
                Clause::Ids(ids) => self.add(" and w.id = any(").bind(Bind::Texts(ids.clone())).add(")"),
                Clause::Prefix { key, any } => {
                    self.exists("search_string");
                    self.starts(*key, any).add(")")
                }
                Clause::Date(any) => self.any(any, |text, one| text.date(one)),
                Clause::Range { key, any } => {
                    self.exists("search_range").add(" and s.key = ");
                    self.bind(Bind::Int(*key)).any(any, |text, one| text.range(one)).add(")")
                }
                Clause::Updated(any) => self.any(any, |text, one| text.updated(one)),
            };
        }
        if !all.is_empty() {
            self.add(" and w.keys @> ").bind(Bind::Ints(all));
        }
        self
    }

    /// The rows of `search_string` that match the string clause at `at`, up to `cap`, as CTE `s`.
    fn candidates(&mut self, query: &Query, at: usize, cap: i64) {
        self.add(
            "with s as materialized (select s.documento_id, s.resource_type, s.id from search_string s where true",
        );
        if let Some(Clause::Prefix { key, any }) = query.clauses.get(at) {
            self.starts(*key, any);
        }
        self.add(" limit ").bind(Bind::Int(cap)).add("), ");
    }

    fn starts(&mut self, key: i64, any: &[String]) -> &mut Self {
        self.add(" and s.key = ").bind(Bind::Int(key)).add(" and (false");
        for prefix in any {
            // Collation "C" orders by bytes, and no stored text holds the last code point.
            self.add(" or (s.value >= ").bind(Bind::Text(prefix.clone()));
            self.add(" and s.value < ").bind(Bind::Text(format!("{prefix}\u{10FFFF}"))).add(")");
        }
        self.add(")")
    }

    fn any(&mut self, any: &[Comparison], mut one: impl FnMut(&mut Self, &Comparison)) -> &mut Self {
        self.add(" and (false");
        for comparison in any {
            self.add(" or ");
            one(self, comparison);
        }
        self.add(")")
    }

    fn date(&mut self, one: &Comparison) {
        self.compare(one.prefix, "w.date_lo", "w.date_hi", Bind::Time(one.lo), Bind::Time(one.hi));
    }

    fn range(&mut self, one: &Comparison) {
        let (lo, hi) = date::seconds(one.lo, one.hi);
        self.compare(one.prefix, "s.lo", "s.hi", Bind::Float(lo), Bind::Float(hi));
    }

    /// `updated` is a point: each comparison is one that an index can start from.
    fn updated(&mut self, one: &Comparison) {
        match one.prefix {
            Prefix::Ge => self.add("w.updated >= ").bind(Bind::Time(one.lo)),
            Prefix::Le => self.add("w.updated <= ").bind(Bind::Time(one.hi)),
            prefix => {
                self.compare(prefix, "w.updated", "w.updated", Bind::Time(one.lo), Bind::Time(one.hi));
                self
            }
        };
    }

    /// <https://hl7.org/fhir/R4/search.html#prefix> between the interval of the row (`lo`..`hi`) and that of the request
    /// (`from`..`to`), both closed.
    fn compare(&mut self, prefix: Prefix, lo: &'static str, hi: &'static str, from: Bind, to: Bind) {
        match prefix {
            Prefix::Eq => {
                self.add("(").add(lo).add(" >= ").bind(from).add(" and ").add(hi).add(" <= ").bind(to).add(")")
            }
            Prefix::Ne => self.add("(").add(lo).add(" < ").bind(from).add(" or ").add(hi).add(" > ").bind(to).add(")"),
            // Contained or reaching above: then it begins within, or ends above.
            Prefix::Ge => self.add("(").add(lo).add(" >= ").bind(from).add(" or ").add(hi).add(" > ").bind(to).add(")"),
            Prefix::Le => self.add("(").add(hi).add(" <= ").bind(to).add(" or ").add(lo).add(" < ").bind(from).add(")"),
            Prefix::Lt => self.add(lo).add(" < ").bind(from),
            Prefix::Gt => self.add(hi).add(" > ").bind(to),
            Prefix::Sa => self.add(lo).add(" > ").bind(to),
            Prefix::Eb => self.add(hi).add(" < ").bind(from),
            Prefix::Ap => {
                self.add("(").add(lo).add(" <= ").bind(to).add(" and ").add(hi).add(" >= ").bind(from).add(")")
            }
        };
    }
}

#[cfg(test)]
mod tests;
