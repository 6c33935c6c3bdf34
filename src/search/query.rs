//! What was asked, as values: the only thing that `sql` and the store know of a search.
//!
//! A Query is made by [`parse`](super::parse) (or compiled from a scope filter) and holds hashes and folded texts, not the words
//! of the request; those stand in `self_parameters` alone, for the self link.

use jiff::Timestamp;

/// One search of one resource type.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub resource_type: &'static str,
    /// All must hold (repeated parameters are "and"; the values inside one clause are "or").
    pub clauses: Vec<Clause>,
    /// Set when a compartment reference restricts the query to these Patients (ids, any of them), or `Patient?_id=`: plan T applies.
    pub patient: Option<Vec<String>>,
    /// Some clause is on an identifying parameter: few rows are to be expected, so plan P goes first.
    pub selective: bool,
    pub sort: Sort,
    /// Rows a page; 0 = only the total is wanted (`_count=0`, `_summary=count`).
    pub count: u32,
    pub total: Total,
    /// Where the page starts (after this row); `None` for the first page.
    pub cursor: Option<Cursor>,
    /// What is really executed, decoded, for the self link; `_page` last when there is one.
    pub self_parameters: Vec<(String, String)>,
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
    /// A row of `search_string` under `key` starts with one of these folded texts.
    Prefix { key: i64, any: Vec<String> },
    /// The main date (`date_lo`, `date_hi`).
    Date(Vec<Comparison>),
    /// Another date: a row of `search_range` under `key`.
    Range { key: i64, any: Vec<Comparison> },
    /// `_lastUpdated`.
    Updated(Vec<Comparison>),
}

/// A prefix with the closed interval of instants that the given value stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    pub prefix: Prefix,
    pub lo: Timestamp,
    pub hi: Timestamp,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    pub by: SortBy,
    pub descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// The main date of the type (`sort_date`); rows without it are the oldest. The default, descending.
    Date,
    /// `_lastUpdated`.
    Updated,
    /// `_id`.
    Id,
}

/// `_total`; `Unasked` when the parameter was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    Unasked,
    None,
    Estimate,
    Accurate,
}

/// The last row of the page before: its sort value (`sort_date` or `updated`; `None` for a row without date or a sort by id) and id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub at: Option<Timestamp>,
    pub id: String,
}

impl Query {
    /// The ids of an `_id` clause, when there is one: they say where the rows lie.
    pub fn ids(&self) -> Option<&[String]> {
        self.clauses.iter().find_map(|clause| match clause {
            Clause::Ids(ids) => Some(ids.as_slice()),
            _ => None,
        })
    }

    /// Whether some clause demands a key: GIN can find the rows.
    pub fn has_positive_key(&self) -> bool {
        self.clauses.iter().any(|clause| matches!(clause, Clause::Any(_)))
    }
}
