//! What was asked, as values: the only thing that `sql` and the store know of a search.
//!
//! A Query is made by [`parse`](super::parse) (or compiled from a scope filter) and holds hashes and folded texts, not the words
//! of the request; those stand in `self_parameters` alone, for the self link.

use crate::error::Issue;
use crate::search::include::Include;
use crate::search::link::{Each, Joined, Link};
use jiff::Timestamp;

/// The first and the last year that has a key in [`Query::years`].
pub const FIRST_YEAR: i16 = 1900;
pub const LAST_YEAR: i16 = 2050;

/// One search of one resource type.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub resource_type: &'static str,
    /// All must hold (repeated parameters are "and"; the values inside one clause are "or").
    pub clauses: Vec<Clause>,
    /// Set when a compartment reference restricts the query to these Patients (ids, any of them), or `Patient?_id=`: plan T applies.
    pub patient: Option<Vec<String>>,
    /// The matches are of one of many Patients, who may be asked one by one.
    pub each: Option<Each>,
    /// Some clause is on an identifying parameter: few rows are to be expected, so plan P goes first.
    pub selective: bool,
    /// Never empty; the id is always the last key of the order, in the direction of the first.
    pub sort: Vec<Sort>,
    /// The keys of the years from [`FIRST_YEAR`] on, for a search that may have to go year by year (plan Y); else empty.
    pub years: Vec<i64>,
    /// Rows a page; 0 = only the total is wanted (`_count=0`, `_summary=count`).
    pub count: u32,
    pub total: Total,
    /// The page token that was given; whoever knows the caller reads it into `cursor` ([`page`](super::page)).
    pub page: Option<String>,
    /// Where the page starts (after this row); `None` for the first page.
    pub cursor: Option<Cursor>,
    /// Where it ends at the latest (with this row): a page whose includes are told in several parts.
    pub until: Option<Cursor>,
    /// What comes beside the matches.
    pub includes: Vec<Include>,
    /// Only where the rows lie and whose they are is wanted, not their bodies.
    pub bare: bool,
    /// What is really executed, decoded, for the self link; `_page` last when there is one.
    pub self_parameters: Vec<(String, String)>,
    /// What was left out because the caller asked for lenient handling.
    pub ignored: Vec<Issue>,
}

/// One condition. The values inside are alternatives.
#[derive(Clone, Debug, PartialEq)]
pub enum Clause {
    /// The row has at least one of these keys.
    Any(Vec<i64>),
    /// The row has none of these keys (`:not`).
    Not(Vec<i64>),
    /// The row's id is one of these.
    Ids(Vec<String>),
    /// A row of `search_string` under one of `keys` holds one of these folded texts.
    Text {
        keys: Vec<i64>,
        place: Place,
        any: Vec<String>,
    },
    /// The main date (`date_lo`, `date_hi`).
    Date(Vec<Comparison>),
    /// Another date, a number, a quantity: a row of `search_range` fulfils one of these.
    Range(Vec<Term>),
    /// The main quantity, in the columns of the row.
    Number(Vec<Amount>),
    /// `_lastUpdated`.
    Updated(Vec<Comparison>),
    /// `:missing`: whether the parameter has a value. Answered by the shapes that the type has: [`Query::know_shapes`].
    Missing {
        code: &'static str,
        missing: bool,
    },
    /// The position of the row is in one of these circles.
    Near(Vec<Circle>),
    /// The row is an item of one of these Lists. Answered by whoever reads them: [`Query::each`].
    Listed(Vec<String>),
    /// The row has (or, with `not`, lacks) a code that terminology says. Answered by whoever reads it: [`Query::each`].
    /// `bare`: the codes stand without their system.
    Concepts {
        code: &'static str,
        asked: Vec<Concepts>,
        not: bool,
        bare: bool,
    },
    /// The row does not fulfil this.
    Without(Box<Clause>),
    All(Vec<Clause>),
    Either(Vec<Clause>),
    /// A chain or `_has`: answered by other searches before the rows are looked for ([`link`](super::link)).
    Linked(Box<Link>),
    /// The same, where those searches find too many to name: each row looks for itself.
    Joined(Box<Joined>),
    /// What no row fulfils.
    Never,
}

/// Where in a value a text must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Start,
    /// At the start or after a blank.
    Word,
    Anywhere,
    /// It is the value.
    Whole,
    End,
    /// The value is another one.
    Differs,
}

/// A place on the earth, in degrees, and how far from it; `key` is that of the positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circle {
    pub key: i64,
    pub latitude: f64,
    pub longitude: f64,
    pub metres: f64,
}

/// Codes that terminology says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concepts {
    /// Those of a value set: its canonical address, perhaps `|version`, or `ValueSet/id`.
    In(String),
    /// A code and what it subsumes.
    Below { system: String, code: String },
    /// A code and what subsumes it.
    Above { system: String, code: String },
}

/// A prefix with the closed interval of instants that the given value stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    pub prefix: Prefix,
    pub lo: Timestamp,
    pub hi: Timestamp,
}

/// A prefix with the closed interval of numbers (or of epoch seconds) that the given value stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub prefix: Prefix,
    pub lo: f64,
    pub hi: f64,
}

/// A row of `search_range` with this key and all these marks.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    pub key: i64,
    pub marks: Vec<i64>,
    pub interval: Interval,
}

/// The main quantity of a row that has all these keys: as it was written, or in base units.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    pub canonical: bool,
    pub keys: Vec<i64>,
    pub interval: Interval,
}

/// <https://hl7.org/fhir/R4/search.html#prefix>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    Eq,
    Ne,
    Lt,
    Gt,
    Ge,
    Le,
    /// Starts after.
    Sa,
    /// Ends before.
    Eb,
    /// Approximately: the intervals overlap; the given one is already widened.
    Ap,
}

impl Prefix {
    /// Splits a query value into its prefix, `eq` when there is none, and the rest.
    pub fn split(value: &str) -> (Prefix, &str) {
        let prefix = match value.get(..2) {
            Some("eq") => Prefix::Eq,
            Some("ne") => Prefix::Ne,
            Some("lt") => Prefix::Lt,
            Some("gt") => Prefix::Gt,
            Some("ge") => Prefix::Ge,
            Some("le") => Prefix::Le,
            Some("sa") => Prefix::Sa,
            Some("eb") => Prefix::Eb,
            Some("ap") => Prefix::Ap,
            _ => return (Prefix::Eq, value),
        };
        (prefix, value.get(2..).unwrap_or_default())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    pub by: SortBy,
    pub descending: bool,
}

/// What has no value stands before all that have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// The main date of the type (`sort_date`); rows without it are the oldest. The default, descending.
    Date,
    /// `_lastUpdated`.
    Updated,
    /// `_id`.
    Id,
    /// The whole values of a string parameter, folded: the first of them, descending the last.
    Text { key: i64 },
    /// The numbers or further dates under a key of `search_range`: the lowest, descending the highest.
    Range { key: i64 },
    /// A code of a closed list: these keys, in the order of the codes.
    Code { keys: Vec<i64> },
}

/// `_total`; `Unasked` when the parameter was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    Unasked,
    None,
    Estimate,
    Accurate,
}

/// The last row of the page before: the values of its sort keys, as PostgreSQL writes them (`_id` excepted), and its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub values: Vec<String>,
    pub id: String,
}

impl Clause {
    /// Whether it demands a key, so that GIN can find the rows and their type.
    pub fn demands_key(&self) -> bool {
        match self {
            Clause::Any(_) => true,
            Clause::Number(any) => any.iter().all(|amount| !amount.keys.is_empty()),
            Clause::All(all) => all.iter().any(Clause::demands_key),
            Clause::Either(any) => any.iter().all(Clause::demands_key),
            _ => false,
        }
    }

    /// Whether an index of `search_string` or `search_range` can answer it.
    pub fn is_indexed(&self) -> bool {
        matches!(self, Clause::Text { .. } | Clause::Range(_))
    }

    fn asks_for_shapes(&self) -> bool {
        match self {
            Clause::Missing { .. } => true,
            Clause::Without(inner) => inner.asks_for_shapes(),
            Clause::All(inner) | Clause::Either(inner) => inner.iter().any(Clause::asks_for_shapes),
            _ => false,
        }
    }

    /// The first chain or `_has` in it that is not answered.
    fn unanswered(&mut self) -> Option<&mut Clause> {
        match self {
            Clause::Linked(_) => Some(self),
            Clause::All(inner) | Clause::Either(inner) => inner.iter_mut().find_map(Clause::unanswered),
            _ => None,
        }
    }

    fn each(&mut self, change: &mut impl FnMut(&mut Clause)) {
        change(self);
        match self {
            Clause::All(inner) | Clause::Either(inner) => inner.iter_mut().for_each(|clause| clause.each(change)),
            Clause::Without(inner) => inner.each(change),
            _ => {}
        }
    }
}

impl Query {
    /// The ids of an `_id` clause, when there is one: they say where the rows lie.
    pub fn ids(&self) -> Option<&[String]> {
        self.clauses.iter().find_map(|clause| match clause {
            Clause::Ids(ids) => Some(ids.as_slice()),
            _ => None,
        })
    }

    /// The first chain or `_has` that is not answered.
    pub fn unanswered(&mut self) -> Option<&mut Clause> {
        self.clauses.iter_mut().find_map(Clause::unanswered)
    }

    /// Whether no row can be found.
    pub fn is_hopeless(&self) -> bool {
        self.clauses.contains(&Clause::Never)
    }

    /// Whether some clause demands a key: GIN can find the rows.
    pub fn has_positive_key(&self) -> bool {
        self.clauses.iter().any(Clause::demands_key)
    }

    /// The first clause that an index of `search_string` or `search_range` can answer.
    pub fn index_source(&self) -> Option<&Clause> {
        self.clauses.iter().find(|clause| clause.is_indexed())
    }

    /// The only sort key, when the order is that of an index.
    pub fn walk_order(&self) -> Option<&Sort> {
        match self.sort.as_slice() {
            [one] if matches!(one.by, SortBy::Date | SortBy::Updated) => Some(one),
            _ => None,
        }
    }

    /// Changes every clause, those inside of others too.
    pub fn each(&mut self, change: &mut impl FnMut(&mut Clause)) {
        self.clauses.iter_mut().for_each(|clause| clause.each(change));
    }

    /// Whether [`Self::know_shapes`] is due before the query can be run.
    pub fn asks_for_shapes(&self) -> bool {
        self.clauses.iter().any(Clause::asks_for_shapes)
    }

    /// Answers `:missing` by the shapes of the type: (key, parameters that have a value). They are read afresh for each
    /// search: a shape is committed before the first row that has it.
    pub fn know_shapes(&mut self, shapes: &[(i64, Vec<String>)]) {
        let mut answer = |clause: &mut Clause| {
            if let Clause::Missing { code, missing } = clause {
                let absent = |parameters: &[String]| !parameters.iter().any(|one| one == code);
                let keys: Vec<i64> = shapes
                    .iter()
                    .filter(|(_, parameters)| absent(parameters) == *missing)
                    .map(|(key, _)| *key)
                    .collect();
                *clause = if keys.is_empty() { Clause::Never } else { Clause::Any(keys) };
            }
        };
        self.each(&mut answer);
    }
}
