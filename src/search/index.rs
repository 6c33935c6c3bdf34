//! Resource -> search columns: everything that a stored version is found by.

use jiff::Timestamp;

/// The search columns of one version of one resource, as the tables of `storage.md` hold them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// `resource.keys`: sorted, without repetition.
    pub keys: Vec<i64>,
    /// Rows of `search_string`: (key, folded text from the start of a word on).
    pub strings: Vec<(i64, String)>,
    /// Rows of `search_range`: (key, lo, hi) in epoch seconds, open ends infinite.
    pub ranges: Vec<(i64, f64, f64)>,
    /// `None` is stored as `-infinity`.
    pub sort_date: Option<Timestamp>,
    /// Main date; an open end is [`BEGINNING`] or [`END`], so that intervals can be subtracted.
    pub date_lo: Option<Timestamp>,
    pub date_hi: Option<Timestamp>,
    /// Main quantity: not extracted yet, always `None`.
    pub num_lo: Option<f64>,
    pub num_hi: Option<f64>,
    /// Ids of the Patients whose compartment it is in; of a Patient, its own id.
    pub patient: Vec<String>,
    /// Codes of the parameters that have a value, sorted.
    pub shape: Vec<&'static str>,
}
