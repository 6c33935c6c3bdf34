//! The parts that statements are made of. Everything added is a constant of this file or a `$n`.

use super::{Bind, Guard, Statement};
use crate::search::link::{Joined, Way};
use crate::search::param::near;
use crate::search::query::{
    Amount, Circle, Clause, Comparison, Cursor, Interval, Place, Prefix, Query, Sort, SortBy, Term,
};

/// The column of the sort key at place `n` of a row source.
fn column(n: usize, by: &SortBy) -> &'static str {
    match (by, n) {
        (SortBy::Date, _) => ".sort_date",
        (SortBy::Updated, _) => ".updated",
        (SortBy::Id, _) => ".id",
        (_, 0) => ".k1",
        (_, 1) => ".k2",
        (_, 2) => ".k3",
        _ => ".k4",
    }
}

/// Whether some sort key is no column of the row.
pub(super) fn is_computed(query: &Query) -> bool {
    query.sort.iter().any(|sort| !matches!(sort.by, SortBy::Date | SortBy::Updated | SortBy::Id))
}

/// A statement in the making.
#[derive(Default)]
pub(super) struct Text {
    sql: String,
    params: Vec<Bind>,
    /// Where the rows lie. Citus must be told so of each table: `= any` does not go over from one to the other.
    documents: Option<Vec<String>>,
}

impl Text {
    pub fn under(documents: &[String]) -> Text {
        Text { documents: Some(documents.to_vec()), ..Text::default() }
    }

    /// `documents`, else those of the guard.
    pub fn within_guard(guard: &Guard, documents: Option<&[String]>) -> Text {
        Text { documents: documents.map(<[String]>::to_vec).or_else(|| guard.documents.clone()), ..Text::default() }
    }

    pub fn add(&mut self, sql: &'static str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    pub fn bind(&mut self, value: Bind) -> &mut Self {
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
        self.add("exists (").belonging("select 1", from)
    }

    /// As `select` from the rows of a search table that belong to the row `w`.
    fn belonging(&mut self, select: &'static str, from: &'static str) -> &mut Self {
        self.add(select).add(" from ").add(from);
        self.add(" s where s.documento_id = w.documento_id and s.resource_type = w.resource_type and s.id = w.id");
        if let Some(documents) = self.documents.clone() {
            self.add(" and s.documento_id = any(").bind(Bind::Texts(documents)).add(")");
        }
        self
    }

    pub fn finish(self) -> Statement {
        Statement { sql: self.sql, params: self.params }
    }

    pub fn of_type(&mut self, query: &Query) -> &mut Self {
        self.add(" and w.resource_type = ").bind(Bind::Text(query.resource_type.to_owned()))
    }

    /// The type is part of each key: beside `keys @>` its own condition would halve the planner's estimate.
    pub fn keyed_type(&mut self, query: &Query) -> &mut Self {
        if query.has_positive_key() { self } else { self.of_type(query) }
    }

    pub fn guard(&mut self, guard: &Guard) -> &mut Self {
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
    pub fn within(&mut self, query: &Query, documents: Option<&[String]>) -> &mut Self {
        if let Some(documents) = documents {
            self.documents = Some(documents.to_vec());
            self.add(" and w.documento_id = any(").bind(Bind::Texts(documents.to_vec())).add(")");
        }
        self.of_patient(query)
    }

    /// The rows that a walk passes over.
    pub fn fence(&mut self, query: &Query, guard: &Guard) -> &mut Self {
        self.of_type(query).guard(guard).bounds(query).cursor(query, "w")
    }

    /// What a count counts, after `from`.
    pub fn matching(&mut self, query: &Query, guard: &Guard, documents: Option<&[String]>, fenced: bool) -> &mut Self {
        match documents {
            Some(documents) if fenced => {
                self.documents = Some(documents.to_vec());
                self.add("(select * from resource w where w.documento_id = any(");
                self.bind(Bind::Texts(documents.to_vec())).add(")").of_type(query).guard(guard);
                self.add(" offset 0) w where not w.deleted").of_patient(query)
            }
            Some(_) => self.add("resource w where not w.deleted").of_type(query).within(query, documents).guard(guard),
            None => self.add("resource w where not w.deleted").keyed_type(query).guard(guard),
        };
        self.clauses(query, None)
    }

    /// The first rows under one document, or under several, in the order of the query.
    pub fn rows_under(&mut self, query: &Query, guard: &Guard, documents: &[String]) -> &mut Self {
        self.add("select * from (select w.*").computed(query).add(" from resource w where w.documento_id = ");
        match documents {
            [one] => self.bind(Bind::Text(one.clone())),
            _ => self.add("any(").bind(Bind::Texts(documents.to_vec())).add(")"),
        };
        self.of_type(query).guard(guard);
        if let Some(ids) = query.ids() {
            self.add(" and w.id = any(").bind(Bind::Texts(ids.to_vec())).add(")");
        }
        if query.walk_order().is_some_and(|sort| sort.by == SortBy::Date) {
            self.order(query, "w");
        }
        // The fence: without it the planner would intersect the patient with the key over the whole site.
        self.add(" offset 0) w where not w.deleted").of_patient(query);
        self.clauses(query, None).cursor(query, "w").order(query, "w")
    }

    fn of_patient(&mut self, query: &Query) -> &mut Self {
        match &query.patient {
            Some(patients) => self.add(" and w.patient && ").bind(Bind::Texts(patients.clone())),
            None => self,
        }
    }

    /// The twelve columns of an answer but the last two; the values of the sort keys are those of `source`.
    pub fn row(&mut self, query: &Query, source: &'static str) -> &mut Self {
        self.add("select w.documento_id, w.id, w.version, w.updated, array[");
        for (n, sort) in query.sort.iter().enumerate() {
            self.add(if n == 0 { "" } else { ", " }).add(source).add(column(n, &sort.by)).add("::text");
        }
        self.add(match query.bare {
            true => "]::text[] as sort, ''::bytea as body, 0::int2 as encoding, w.owner, w.labels, w.patient",
            false => "]::text[] as sort, w.body, w.encoding, w.owner, w.labels, w.patient",
        })
    }

    /// The sort keys that are no columns of the row, as `k1` to `k4`.
    pub fn computed(&mut self, query: &Query) -> &mut Self {
        for (n, sort) in query.sort.iter().enumerate() {
            match &sort.by {
                SortBy::Date | SortBy::Updated | SortBy::Id => continue,
                SortBy::Text { key } => {
                    let select = if sort.descending { "select max(s.value)" } else { "select min(s.value)" };
                    self.add(", coalesce((").belonging(select, "search_string").add(" and s.key = ");
                    self.bind(Bind::Int(*key)).add("), '')")
                }
                SortBy::Range { key } => {
                    let select = if sort.descending { "select max(s.hi)" } else { "select min(s.lo)" };
                    self.add(", coalesce((").belonging(select, "search_range").add(" and s.key = ");
                    self.bind(Bind::Int(*key)).add("), '-infinity'::float8)")
                }
                SortBy::Code { keys } => {
                    self.add(", case");
                    for (rank, key) in (1..).zip(keys) {
                        self.add(" when w.keys @> ").bind(Bind::Ints(vec![*key]));
                        self.add(" then ").bind(Bind::Int(rank));
                    }
                    self.add(" else 0 end")
                }
            };
            self.add(" as ").add(column(n, &sort.by).trim_start_matches('.'));
        }
        self
    }

    /// What stands behind the cursor in the order of the query.
    pub fn cursor(&mut self, query: &Query, source: &'static str) -> &mut Self {
        if let Some(cursor) = &query.cursor {
            self.add(" and ").behind(query, cursor, source);
        }
        if let Some(until) = &query.until {
            self.add(" and not ").behind(query, until, source);
        }
        self
    }

    fn behind(&mut self, query: &Query, cursor: &Cursor, source: &'static str) -> &mut Self {
        let keys: Vec<(usize, &Sort, &String)> =
            query.sort.iter().enumerate().zip(&cursor.values).map(|((n, sort), value)| (n, sort, value)).collect();
        let descends = query.sort.first().is_some_and(|sort| sort.descending);
        let behind = |descending| if descending { " < " } else { " > " };
        if query.sort.iter().all(|sort| sort.descending == descends) {
            // One comparison of rows, from which an index can start.
            self.add("(");
            for (n, sort, _) in &keys {
                self.add(source).add(column(*n, &sort.by)).add(", ");
            }
            self.add(source).add(".id)").add(behind(descends)).add("(");
            for (_, sort, value) in &keys {
                self.sort_value(&sort.by, value).add(", ");
            }
            return self.bind(Bind::Text(cursor.id.clone())).add(")");
        }
        for (n, sort, value) in &keys {
            self.add("(").add(source).add(column(*n, &sort.by)).add(behind(sort.descending));
            self.sort_value(&sort.by, value).add(" or (");
            self.add(source).add(column(*n, &sort.by)).add(" = ").sort_value(&sort.by, value).add(" and ");
        }
        self.add(source).add(".id").add(behind(descends)).bind(Bind::Text(cursor.id.clone()));
        keys.iter().for_each(|_| {
            self.add("))");
        });
        self
    }

    /// What stands at `stop` or behind it in the order of a walk.
    pub fn from(&mut self, query: &Query, stop: &Cursor) -> &mut Self {
        let Some(sort) = query.walk_order() else { return self };
        let column = column(0, &sort.by);
        self.add(" and (w").add(column).add(", w.id)").add(if sort.descending { " <= (" } else { " >= (" });
        for value in &stop.values {
            self.sort_value(&sort.by, value).add(", ");
        }
        self.bind(Bind::Text(stop.id.clone())).add(")")
    }

    /// The first moment of a year.
    pub fn first_day(&mut self, year: i16) -> &mut Self {
        let day = jiff::civil::date(year, 1, 1).to_zoned(jiff::tz::TimeZone::UTC).map(|day| day.timestamp());
        self.bind(Bind::Time(day.unwrap_or(jiff::Timestamp::MIN)))
    }

    fn sort_value(&mut self, by: &SortBy, value: &str) -> &mut Self {
        self.bind(Bind::Text(value.to_owned())).add(match by {
            SortBy::Date | SortBy::Updated => "::timestamptz",
            SortBy::Range { .. } => "::float8",
            SortBy::Code { .. } => "::int8",
            SortBy::Id | SortBy::Text { .. } => "",
        })
    }

    /// `order by` of the query on a row source that has the sort keys.
    pub fn order(&mut self, query: &Query, source: &'static str) -> &mut Self {
        let direction = |descending| if descending { " desc" } else { " asc" };
        self.add(" order by ");
        for (n, sort) in query.sort.iter().enumerate().filter(|(_, sort)| sort.by != SortBy::Id) {
            self.add(source).add(column(n, &sort.by)).add(direction(sort.descending)).add(", ");
        }
        let by_id = query.sort.iter().find(|sort| sort.by == SortBy::Id).or(query.sort.first());
        self.add(source).add(".id").add(direction(by_id.is_some_and(|sort| sort.descending)))
    }

    pub fn page(&mut self, query: &Query) -> &mut Self {
        self.add(" limit ").bind(Bind::Int(i64::from(query.count) + 1))
    }

    /// Conditions implied by the clauses that bound the column of the sort, so that an index in that order can start or
    /// stop early. `le` and `lt` bound nothing: a period without start has its end as sort_date.
    pub fn bounds(&mut self, query: &Query) -> &mut Self {
        let Some(sort) = query.walk_order() else { return self };
        for clause in &query.clauses {
            match (clause, &sort.by) {
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
    pub fn clauses(&mut self, query: &Query, except: Option<usize>) -> &mut Self {
        let mut all = Vec::new();
        for (_, clause) in query.clauses.iter().enumerate().filter(|(at, _)| Some(*at) != except) {
            match clause {
                Clause::Any(keys) if keys.len() == 1 => all.extend(keys),
                _ => {
                    // The keys of a lone quantity are asked for with the others, by one look into the index.
                    if let Clause::Number(any) = clause
                        && let [one] = any.as_slice()
                    {
                        all.extend(&one.keys);
                    }
                    self.add(" and ").condition(clause);
                }
            }
        }
        if !all.is_empty() {
            self.add(" and w.keys @> ").bind(Bind::Ints(all));
        }
        self
    }

    fn condition(&mut self, clause: &Clause) -> &mut Self {
        match clause {
            Clause::Any(keys) if keys.len() == 1 => self.add("w.keys @> ").bind(Bind::Ints(keys.clone())),
            Clause::Any(keys) => self.add("w.keys && ").bind(Bind::Ints(keys.clone())),
            Clause::Not(keys) => self.add("not w.keys && ").bind(Bind::Ints(keys.clone())),
            Clause::Ids(ids) => self.add("w.id = any(").bind(Bind::Texts(ids.clone())).add(")"),
            Clause::Text { keys, place, any } => self.exists("search_string").holds(keys, *place, any).add(")"),
            Clause::Date(any) => self.any(any, |text, one| text.date(one)),
            Clause::Range(any) => {
                self.exists("search_range").add(" and ");
                self.any(any, |text, term| text.term(term)).add(")")
            }
            Clause::Number(any) => self.any(any, |text, amount| text.amount(amount)),
            Clause::Updated(any) => self.any(any, |text, one| text.updated(one)),
            Clause::Near(any) => {
                self.exists("search_range").add(" and ");
                self.any(any, |text, circle| text.near(circle)).add(")")
            }
            // What is not known is not fulfilled.
            Clause::Without(inner) => self.add("(").condition(inner).add(") is not true"),
            Clause::All(all) => {
                self.add("(true");
                for clause in all {
                    self.add(" and ").condition(clause);
                }
                self.add(")")
            }
            Clause::Either(any) => self.any(any, |text, clause| {
                text.condition(clause);
            }),
            // What only the store knows was not asked for: nobody knows, so nothing is shown.
            Clause::Never
            | Clause::Missing { .. }
            | Clause::Linked(_)
            | Clause::Listed(_)
            | Clause::Concepts { .. } => self.add("false"),
            Clause::Joined(joined) => self.joined(joined),
        }
    }

    /// A row of the record beside `w`, of another type, that `w` points at or that points at it as its owner.
    fn joined(&mut self, joined: &Joined) -> &mut Self {
        self.add("(exists (select 1 from resource p where p.documento_id = w.documento_id and ").add(
            match joined.way {
                Way::Chain => "p.id = any(w.owner)",
                Way::Has => "p.owner @> array[w.id]",
            },
        );
        let from = self.sql.len();
        self.add(" and not w.deleted").of_type(&joined.query).guard(&joined.guard).clauses(&joined.query, None);
        // The conditions of a row are written of `w`; no value is part of the text.
        let inner = self.sql.split_off(from).replace("w.", "p.");
        self.sql.push_str(&inner);
        self.add(") or ").condition(&joined.elsewhere).add(")")
    }

    /// The rows of `search_string` or `search_range` that the clause at `at` picks, up to `cap`, as CTE `s`.
    pub fn candidates(&mut self, query: &Query, at: usize, cap: i64) {
        self.add("with s as materialized (select s.documento_id, s.resource_type, s.id from ");
        match query.clauses.get(at) {
            Some(Clause::Text { keys, place, any }) => {
                self.add("search_string s where true").holds(keys, *place, any);
            }
            Some(Clause::Range(any)) => {
                self.add("search_range s where ").any(any, |text, term| text.term(term));
            }
            _ => {
                self.add("search_string s where false");
            }
        }
        self.add(" limit ").bind(Bind::Int(cap)).add("), ");
    }

    fn holds(&mut self, keys: &[i64], place: Place, any: &[String]) -> &mut Self {
        match keys {
            [key] => self.add(" and s.key = ").bind(Bind::Int(*key)),
            _ => self.add(" and s.key = any(").bind(Bind::Ints(keys.to_vec())).add(")"),
        };
        self.add(" and ").any(any, |text, one| text.holds_one(place, one))
    }

    fn holds_one(&mut self, place: Place, one: &str) {
        match place {
            // Collation "C" orders by bytes, and no stored text holds the last code point.
            Place::Start => self
                .add("(s.value >= ")
                .bind(Bind::Text(one.to_owned()))
                .add(" and s.value < ")
                .bind(Bind::Text(format!("{one}\u{10FFFF}")))
                .add(")"),
            Place::Word => self.add("strpos(' ' || s.value, ").bind(Bind::Text(format!(" {one}"))).add(") > 0"),
            Place::Anywhere => self.add("strpos(s.value, ").bind(Bind::Text(one.to_owned())).add(") > 0"),
            Place::Whole => self.add("s.value = ").bind(Bind::Text(one.to_owned())),
            Place::Differs => self.add("s.value <> ").bind(Bind::Text(one.to_owned())),
            Place::End => {
                let length = i64::try_from(one.chars().count()).unwrap_or(i64::MAX);
                self.add("right(s.value, ").bind(Bind::Int(length)).add("::int4) = ").bind(Bind::Text(one.to_owned()))
            }
        };
    }

    fn any<T>(&mut self, any: &[T], mut one: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.add("(false");
        for alternative in any {
            self.add(" or ");
            one(self, alternative);
        }
        self.add(")")
    }

    fn term(&mut self, term: &Term) {
        self.add("(s.key = ").bind(Bind::Int(term.key));
        if !term.marks.is_empty() {
            self.add(" and s.marks @> ").bind(Bind::Ints(term.marks.clone()));
        }
        let Interval { prefix, lo, hi } = term.interval;
        self.add(" and ").compare(prefix, "s.lo", "s.hi", Bind::Float(lo), Bind::Float(hi));
        self.add(")");
    }

    /// The box that the circle stands in, then the distance on the sphere (haversine).
    fn near(&mut self, circle: &Circle) {
        let ((south, north), longitudes) = circle.bounds();
        self.add("(s.key = ").bind(Bind::Int(circle.key));
        self.add(" and s.lo >= ").bind(Bind::Float(south)).add(" and s.lo <= ").bind(Bind::Float(north));
        if !longitudes.is_empty() {
            self.add(" and ").any(&longitudes, |text, (west, east)| {
                text.add("(s.hi >= ").bind(Bind::Float(*west)).add(" and s.hi <= ").bind(Bind::Float(*east)).add(")");
            });
        }
        let angle = |text: &mut Self, column: &'static str, at: f64| {
            text.add("sin(radians(").add(column).add(" - ").bind(Bind::Float(at)).add(") / 2) ^ 2");
        };
        self.add(" and asin(least(1, sqrt(");
        angle(self, "s.lo", circle.latitude);
        self.add(" + cos(radians(s.lo)) * cos(radians(").bind(Bind::Float(circle.latitude)).add(")) * ");
        angle(self, "s.hi", circle.longitude);
        self.add("))) <= ").bind(Bind::Float(circle.metres / (2.0 * near::RADIUS))).add(")");
    }

    fn amount(&mut self, amount: &Amount) {
        let (low, high) = if amount.canonical { ("w.num_lo", "w.num_hi") } else { ("w.raw_lo", "w.raw_hi") };
        let Interval { prefix, lo, hi } = amount.interval;
        self.add("(");
        if !amount.keys.is_empty() {
            self.add("w.keys @> ").bind(Bind::Ints(amount.keys.clone())).add(" and ");
        }
        self.compare(prefix, low, high, Bind::Float(lo), Bind::Float(hi));
        self.add(")");
    }

    fn date(&mut self, one: &Comparison) {
        self.compare(one.prefix, "w.date_lo", "w.date_hi", Bind::Time(one.lo), Bind::Time(one.hi));
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
            // The middle condition follows from the other two; it says where an index on the lower end can stop.
            Prefix::Eq => {
                self.add("(").add(lo).add(" >= ").bind(from).add(" and ").add(lo).add(" <= ").bind(to.clone());
                self.add(" and ").add(hi).add(" <= ").bind(to).add(")")
            }
            Prefix::Ne => self.add("(").add(lo).add(" < ").bind(from).add(" or ").add(hi).add(" > ").bind(to).add(")"),
            // Contained or reaching above: then it begins within, or ends above.
            Prefix::Ge => self.add("(").add(lo).add(" >= ").bind(from).add(" or ").add(hi).add(" > ").bind(to).add(")"),
            Prefix::Le => self.add("(").add(hi).add(" <= ").bind(to).add(" or ").add(lo).add(" < ").bind(from).add(")"),
            Prefix::Lt => self.add(lo).add(" < ").bind(from),
            Prefix::Gt => self.add(hi).add(" > ").bind(to),
            Prefix::Sa => self.add(lo).add(" > ").bind(to),
            Prefix::Eb => {
                self.add("(").add(lo).add(" < ").bind(from.clone()).add(" and ").add(hi).add(" < ").bind(from).add(")")
            }
            Prefix::Ap => {
                self.add("(").add(lo).add(" <= ").bind(to).add(" and ").add(hi).add(" >= ").bind(from).add(")")
            }
        };
    }
}
