//! Resource -> search columns: everything that a stored version is found by.
//!
//! All parameters of the type that have an expression, as the definitions give them.

use crate::error::{Error, Kind, Result};
use crate::fhir::datetime;
use crate::fhir::definitions::{ResourceType, SearchKind, SearchParameter, TypeDef};
use crate::fhir::path::Node;
use crate::search::Context;
use crate::search::hash::{Form, Hasher, Slot};
use crate::search::main_date::{is_single, main_date};
use crate::search::param::{composite, date, near, number, quantity, reference, string, token, uri, words};
use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::Value;
use std::cmp::Ordering;

/// More values of one kind are refused rather than left out: what is not indexed would never be found.
const MOST: usize = 20_000;

/// The search columns of one version of one resource, as the tables of `storage.md` hold them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// `resource.keys`: sorted, without repetition.
    pub keys: Vec<i64>,
    /// Rows of `search_string`: (key, folded text from the start of a word on).
    pub strings: Vec<(i64, String)>,
    pub ranges: Vec<Range>,
    /// `None` is stored as `-infinity`.
    pub sort_date: Option<Timestamp>,
    /// Main date; an open end is [`date::BEGINNING`] or [`date::END`], so that intervals can be subtracted.
    pub date_lo: Option<Timestamp>,
    pub date_hi: Option<Timestamp>,
    /// Main quantity in base units, when its unit is known; open ends infinite.
    pub num_lo: Option<f64>,
    pub num_hi: Option<f64>,
    /// Main quantity as it was written.
    pub raw_lo: Option<f64>,
    pub raw_hi: Option<f64>,
    /// Ids of the Patients whose compartment it is in; of a Patient, its own id.
    pub patient: Vec<String>,
    /// Codes of the parameters that have a value, sorted.
    pub shape: Vec<&'static str>,
}

/// A row of `search_range`: a date in epoch seconds, a number or a quantity; open ends infinite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Range {
    pub key: i64,
    pub lo: f64,
    pub hi: f64,
    /// Keys of what else is said of the value: the unit as written, the system of a code. Sorted.
    pub marks: Vec<i64>,
}

impl Range {
    /// The order in which [`Columns`] holds them.
    pub fn order(a: &Range, b: &Range) -> Ordering {
        let ends = a.lo.total_cmp(&b.lo).then(a.hi.total_cmp(&b.hi));
        a.key.cmp(&b.key).then(ends).then_with(|| a.marks.cmp(&b.marks))
    }
}

/// The parameter whose one quantity stands in the columns of the row.
pub fn is_main_quantity(t: ResourceType, code: &str) -> bool {
    t.name() == "Observation" && code == "value-quantity"
}

/// The key of a shape: of the set of parameters that have a value, sorted. It stands in `keys` and in the table `shape`.
pub fn shape_key(hasher: &Hasher, t: ResourceType, shape: &[&str]) -> i64 {
    hasher.key(t.name(), "", Form::Shape, shape)
}

/// The key of the rows of a type whose sort_date is in a year.
pub fn year_key(hasher: &Hasher, t: ResourceType, year: i16) -> i64 {
    year_key_of(&hasher.slot(t.name(), ""), year)
}

/// As [`year_key`]; `slot`: of the type, of no parameter.
pub fn year_key_of(slot: &Slot, year: i16) -> i64 {
    slot.key(Form::Year, &[&year.to_string()])
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
    let place = Place { context, t, def, resource, main, gather: (!is_patient).then_some(compartment) };
    let mut nodes = Vec::new();
    for parameter in context.definitions.search_parameters(t) {
        let Some(expression) = &parameter.expression else { continue };
        if matches!(parameter.code, "_id" | "_lastUpdated") {
            continue;
        }
        nodes.clear();
        expression.evaluate(resource, &mut nodes);
        if !nodes.is_empty() && columns.parameter(&place, parameter, &nodes) {
            columns.shape.push(parameter.code);
        }
        columns.limited(parameter.code)?;
    }
    columns.words(context.hasher, t, resource)?;
    columns.finish(context.hasher, t);
    Ok(columns)
}

/// Where the nodes of a parameter were found.
struct Place<'a> {
    context: &'a Context<'a>,
    t: ResourceType,
    def: &'a TypeDef,
    resource: &'a Value,
    /// Code of the main date parameter.
    main: Option<&'static str>,
    /// The parameters that put the resource into the compartment of a Patient; none for a Patient.
    gather: Option<&'a [&'static str]>,
}

impl Columns {
    /// Puts what the nodes of a parameter are found by. False when they are no value of it.
    fn parameter(&mut self, place: &Place<'_>, parameter: &SearchParameter, nodes: &[Node<'_>]) -> bool {
        let Place { context, t, def, resource, .. } = *place;
        let slot = context.hasher.slot(t.name(), parameter.code);
        match parameter.kind {
            SearchKind::Token => {
                // A combined parameter asks those that it is made of for their texts.
                let texts = composite::combined(parameter.code).is_none() && token::has_text(parameter);
                for node in nodes {
                    token::index(&slot, *node, def, resource, &mut self.keys);
                    if texts {
                        token::texts(&slot, *node, &mut self.strings);
                    }
                    if token::has_starts(t.name(), parameter.code) {
                        token::start(&slot, *node, &mut self.strings);
                    }
                }
            }
            SearchKind::Uri => nodes.iter().for_each(|node| uri::index(&slot, parameter.code, *node, &mut self.keys)),
            SearchKind::String => {
                nodes.iter().for_each(|node| string::index(&slot, *node, &mut self.strings, &mut self.keys))
            }
            SearchKind::Reference => {
                let logical = reference::logical(context.hasher, t.name(), parameter.code);
                let gather = place.gather.is_some_and(|codes| codes.contains(&parameter.code));
                for node in nodes {
                    let patient = reference::index(&slot, &logical, *node, context.base, &mut self.keys);
                    self.patient.extend(patient.filter(|_| gather).map(str::to_owned));
                }
            }
            SearchKind::Date => {
                self.dates(&slot, nodes, context.local, place.main == Some(parameter.code), is_single(t))
            }
            SearchKind::Number => nodes.iter().for_each(|node| number::index(&slot, *node, &mut self.ranges)),
            SearchKind::Quantity if composite::combined(parameter.code).is_some() => {}
            SearchKind::Quantity if is_main_quantity(t, parameter.code) => self.main_quantity(&slot, nodes),
            SearchKind::Quantity => nodes.iter().for_each(|node| quantity::index(&slot, *node, &mut self.ranges)),
            SearchKind::Composite => {
                let mut out = composite::Indexed { keys: &mut self.keys, ranges: &mut self.ranges };
                return composite::index(&slot, parameter, t, nodes, (def, resource, context.base), &mut out);
            }
            SearchKind::Special => nodes.iter().for_each(|node| near::index(&slot, *node, &mut self.ranges)),
        }
        true
    }

    /// The words of `_content` and `_text`.
    fn words(&mut self, hasher: &Hasher, t: ResourceType, resource: &Value) -> Result<()> {
        let mut keys = Vec::new();
        words::index(&hasher.slot(t.name(), "_content"), &hasher.slot(t.name(), "_text"), resource, &mut keys);
        keys.sort_unstable();
        keys.dedup();
        self.keys.append(&mut keys);
        self.limited("_content")
    }

    fn limited(&self, code: &str) -> Result<()> {
        match self.keys.len().max(self.strings.len()).max(self.ranges.len()) {
            0..=MOST => Ok(()),
            _ => {
                let text = format!("the resource has more than {MOST} values to search by");
                Err(Error::at(Kind::TooCostly, code, text))
            }
        }
    }

    fn main_quantity(&mut self, slot: &Slot, nodes: &[Node<'_>]) {
        let Some(measure) = nodes.first().and_then(|node| quantity::Measure::of(*node)) else { return };
        self.keys.extend(measure.marks(slot));
        (self.raw_lo, self.raw_hi) = (Some(measure.lo), Some(measure.hi));
        if let Some((dimension, lo, hi)) = measure.canonical {
            self.keys.push(slot.key(Form::Dimension, &[&dimension]));
            (self.num_lo, self.num_hi) = (Some(lo), Some(hi));
        }
    }

    /// The main date goes to the columns, every other one to `search_range`, and there the main one too when it may have
    /// several values, which the columns enclose.
    fn dates(&mut self, slot: &Slot, nodes: &[Node<'_>], local: i32, main: bool, single: bool) {
        let of = |node: &Node<'_>| datetime::Range::of(node.fhir_type, node.value, local);
        let ranges: Vec<datetime::Range> = nodes.iter().filter_map(of).collect();
        if main && let Some(range) = ranges.iter().copied().reduce(datetime::Range::enclosing) {
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
            Range { key, lo, hi, marks: Vec::new() }
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
        for range in &mut self.ranges {
            range.marks.sort_unstable();
            range.marks.dedup();
        }
        self.ranges.sort_unstable_by(Range::order);
        self.ranges.dedup();
        self.patient.sort_unstable();
        self.patient.dedup();
    }
}

#[cfg(test)]
mod tests;
