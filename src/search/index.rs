//! Resource -> search columns: everything that a stored version is found by.
//!
//! Token, reference, string, date and uri parameters of the type, as the definitions give them. Number, quantity,
//! composite and special parameters are not extracted yet, and `parse` refuses them.

use crate::error::{Error, Kind, Result};
use crate::fhir::datetime::Range;
use crate::fhir::definitions::{ResourceType, SearchKind};
use crate::fhir::path::Node;
use crate::search::Context;
use crate::search::hash::{Form, Hasher, Slot};
use crate::search::main_date::{is_single, main_date};
use crate::search::param::{date, reference, string, token, uri};
use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::Value;

/// More values of one kind are refused rather than left out: what is not indexed would never be found.
const MOST: usize = 20_000;

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
    /// Main date; an open end is [`date::BEGINNING`] or [`date::END`], so that intervals can be subtracted.
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

/// The key of a shape: of the set of parameters that have a value, sorted. It stands in `keys` and in the table `shape`.
pub fn shape_key(hasher: &Hasher, t: ResourceType, shape: &[&str]) -> i64 {
    hasher.key(t.name(), "", Form::Shape, shape)
}

/// The key of the rows of a type whose sort_date is in a year.
pub fn year_key(hasher: &Hasher, t: ResourceType, year: i16) -> i64 {
    hasher.key(t.name(), "", Form::Year, &[&year.to_string()])
}

/// The keys under which anything that points at `t/id` by one of its reference parameters is found, whatever its type.
pub fn reference_keys(context: &Context<'_>, t: ResourceType, id: &str) -> Vec<i64> {
    let mut keys = Vec::new();
    for holder in ResourceType::all() {
        for parameter in context.definitions.search_parameters(holder) {
            if parameter.kind == SearchKind::Reference
                && (parameter.targets.is_empty() || parameter.targets.contains(&t))
            {
                keys.push(context.hasher.slot(holder.name(), parameter.code).key(Form::Typed, &[t.name(), id]));
            }
        }
    }
    keys
}

/// The search columns of a valid resource of type `t`.
pub fn columns(context: &Context<'_>, t: ResourceType, resource: &Value) -> Result<Columns> {
    let mut columns = Columns::default();
    let main = main_date(context.definitions, t).map(|parameter| parameter.code);
    let def = context.definitions.resource(t);
    let compartment = context.definitions.compartment("Patient", t);
    let is_patient = t.name() == "Patient";
    if is_patient {
        columns.patient.extend(resource.get("id").and_then(Value::as_str).map(str::to_owned));
    }
    let mut nodes = Vec::new();
    for parameter in context.definitions.search_parameters(t) {
        let Some(expression) = &parameter.expression else { continue };
        if matches!(parameter.code, "_id" | "_lastUpdated") {
            continue;
        }
        nodes.clear();
        expression.evaluate(resource, &mut nodes);
        if nodes.is_empty() {
            continue;
        }
        columns.shape.push(parameter.code);
        let slot = context.hasher.slot(t.name(), parameter.code);
        match parameter.kind {
            SearchKind::Token => {
                nodes.iter().for_each(|node| token::index(&slot, *node, def, resource, &mut columns.keys));
                if token::has_starts(t.name(), parameter.code) {
                    nodes.iter().for_each(|node| token::start(&slot, *node, &mut columns.strings));
                }
            }
            SearchKind::Uri => nodes.iter().for_each(|node| uri::index(&slot, *node, &mut columns.keys)),
            SearchKind::String => {
                nodes.iter().for_each(|node| string::index(&slot, *node, &mut columns.strings, &mut columns.keys))
            }
            SearchKind::Reference => {
                let gather = !is_patient && compartment.contains(&parameter.code);
                columns.references(&slot, &nodes, context.base, gather);
            }
            SearchKind::Date => columns.dates(&slot, &nodes, context.local, main == Some(parameter.code), is_single(t)),
            SearchKind::Number | SearchKind::Quantity | SearchKind::Composite | SearchKind::Special => {}
        }
        if columns.keys.len().max(columns.strings.len()).max(columns.ranges.len()) > MOST {
            return Err(Error::at(
                Kind::TooCostly,
                parameter.code,
                format!("the resource has more than {MOST} values to search by"),
            ));
        }
    }
    columns.finish(context.hasher, t);
    Ok(columns)
}

impl Columns {
    fn references(&mut self, slot: &Slot, nodes: &[Node<'_>], base: &str, gather: bool) {
        for node in nodes {
            if let Some(patient) = reference::index(slot, *node, base, &mut self.keys)
                && gather
            {
                self.patient.push(patient.to_owned());
            }
        }
    }

    /// The main date goes to the columns, every other one to `search_range`, and there the main one too when it may have
    /// several values, which the columns enclose.
    fn dates(&mut self, slot: &Slot, nodes: &[Node<'_>], local: i32, main: bool, single: bool) {
        let ranges: Vec<Range> = nodes.iter().filter_map(|node| Range::of(node.fhir_type, node.value, local)).collect();
        if main && let Some(range) = ranges.iter().copied().reduce(Range::enclosing) {
            let (lo, hi) = date::timestamps(range);
            (self.date_lo, self.date_hi, self.sort_date) = (Some(lo), Some(hi), date::sort_date(range));
            if single {
                return;
            }
        }
        let key = slot.key(Form::Ranges, &[]);
        self.ranges.extend(ranges.into_iter().map(|range| {
            let (lo, hi) = date::timestamps(range);
            let (lo, hi) = date::seconds(lo, hi);
            (key, lo, hi)
        }));
    }

    fn finish(&mut self, hasher: &Hasher, t: ResourceType) {
        if let Some(at) = self.sort_date {
            self.keys.push(year_key(hasher, t, Offset::UTC.to_datetime(at).year()));
        }
        self.keys.push(shape_key(hasher, t, &self.shape));
        self.keys.sort_unstable();
        self.keys.dedup();
        self.strings.sort_unstable();
        self.strings.dedup();
        self.ranges.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2)));
        self.ranges.dedup();
        self.patient.sort_unstable();
        self.patient.dedup();
    }
}

#[cfg(test)]
mod tests;
