//! Query + Guard -> statements. Values are always bound; nothing of a request is ever part of the text.

use crate::search::query::Query;
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
    /// P: the first matches of GIN, up to a cap.
    Pick,
    /// The planner's choice; complete, needs `force_custom_plan`.
    Plain,
}

/// Which plans to try, in this order, until one is complete.
pub fn plans(_query: &Query) -> &'static [Plan] {
    todo!()
}

/// T. `documents`: the keys under which the rows of `query.patient` (else of `query.ids()`) may lie.
/// Columns of every statement: `documento_id, id, version, updated, sort_date (null when absent), body, encoding`.
/// Every statement returns up to `count + 1` rows: the one too many says that there is a next page.
pub fn timeline(_query: &Query, _guard: &Guard, _documents: &[String]) -> Statement {
    todo!()
}

/// W. One column more, `capped bool`: when the page is not full and the cap was reached, the last row is all null but `capped = true`
/// (the answer is then incomplete: try the next plan); otherwise `capped` is false.
pub fn walk(_query: &Query, _guard: &Guard, _cap: i64) -> Statement {
    todo!()
}

/// P. One column more, `found int8`: how many matches were gathered; fewer than `cap` (or no row at all) = complete.
pub fn pick(_query: &Query, _guard: &Guard, _cap: i64) -> Statement {
    todo!()
}

/// The planner's choice.
pub fn plain(_query: &Query, _guard: &Guard) -> Statement {
    todo!()
}

/// Exact number of matches, one row, one column int8. `documents` as for [`timeline`], `None` when the query is not so restricted.
pub fn count(_query: &Query, _guard: &Guard, _documents: Option<&[String]>) -> Statement {
    todo!()
}
