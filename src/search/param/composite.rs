//! Composite parameters: values that must stand together. <https://hl7.org/fhir/R4/search.html#composite>
//!
//! Where the parts are taken from the resource itself (`code-value-quantity`), each has one place, so the parts are asked
//! for one by one and nothing is indexed. Where they are taken from one of several elements (`component-code-value-quantity`),
//! a pair of exact values is one key, and a quantity beside a code is a row of `search_range` under that code.
//! `combo-` parameters are the two together. Not here: variant coordinates of MolecularSequence.

use super::{quantity, reference, token};
use crate::fhir::definitions::{Component, ResourceType, SearchKind, SearchParameter, TypeDef};
use crate::fhir::path::Node;
use crate::search::hash::{Form, Slot};
use crate::search::index::Range;
use serde_json::Value;

/// How a composite is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All parts, each by its own parameter.
    Apart,
    /// Either of two other composites.
    Combined,
    /// Pairs of keys of tokens and references.
    Pair,
    /// Rows of quantities beside a code.
    Quantity,
    Unsupported,
}

pub fn way(parameter: &SearchParameter, t: ResourceType) -> Way {
    let results = parameter.expression.as_ref().map_or(&[][..], |expression| expression.result_types());
    let kinds: Vec<SearchKind> = parameter.components.iter().map(kind).collect();
    match kinds.as_slice() {
        _ if results == [t.name()] || parameter.code.ends_with("-window-coordinate") => Way::Apart,
        _ if results.contains(&t.name()) => Way::Combined,
        [SearchKind::Token, SearchKind::Quantity] => Way::Quantity,
        [SearchKind::Token | SearchKind::Reference, SearchKind::Token | SearchKind::Reference] => Way::Pair,
        _ => Way::Unsupported,
    }
}

/// The two parameters that a parameter over an Observation and its components stands for.
pub fn combined(code: &str) -> Option<[&'static str; 2]> {
    Some(match code {
        "combo-code" => ["code", "component-code"],
        "combo-value-concept" => ["value-concept", "component-value-concept"],
        "combo-data-absent-reason" => ["data-absent-reason", "component-data-absent-reason"],
        "combo-value-quantity" => ["value-quantity", "component-value-quantity"],
        "combo-code-value-quantity" => ["code-value-quantity", "component-code-value-quantity"],
        "combo-code-value-concept" => ["code-value-concept", "component-code-value-concept"],
        _ => return None,
    })
}

/// The type of a part. `relationship` of DocumentReference names its two parts the wrong way round: what they point at counts.
pub fn kind(component: &Component) -> SearchKind {
    match (component.kind, component.expression.result_types()) {
        (SearchKind::Token, ["Reference"]) => SearchKind::Reference,
        (SearchKind::Reference, ["code"]) => SearchKind::Token,
        (kind, _) => kind,
    }
}

/// What a composite is indexed by: keys and rows.
pub struct Indexed<'a> {
    pub keys: &'a mut Vec<i64>,
    pub ranges: &'a mut Vec<Range>,
}

/// Indexes the nodes that the composite's own expression gives. True when one of them has all its parts.
pub fn index(
    slot: &Slot,
    parameter: &SearchParameter,
    t: ResourceType,
    nodes: &[Node<'_>],
    (def, resource, base): (&TypeDef, &Value, &str),
    out: &mut Indexed<'_>,
) -> bool {
    let way = way(parameter, t);
    let mut present = false;
    for node in nodes {
        let mut parts: Vec<Vec<Node<'_>>> = Vec::with_capacity(parameter.components.len());
        for component in &parameter.components {
            let mut part = Vec::new();
            component.expression.evaluate_on(*node, resource, &mut part);
            parts.push(part);
        }
        if parts.is_empty() || parts.iter().any(Vec::is_empty) {
            continue;
        }
        present = true;
        let [first, second] = parts.as_slice() else { continue };
        let codes = exact(first, def, resource, base);
        match way {
            Way::Pair => {
                for (form, parts) in &codes {
                    for (other, others) in exact(second, def, resource, base) {
                        out.keys.push(pair(slot, (*form, parts), (other, &others)));
                    }
                }
            }
            Way::Quantity => {
                let measures: Vec<_> = second.iter().filter_map(|node| quantity::Measure::of(*node)).collect();
                for measure in &measures {
                    beside(slot, &codes, measure, out.ranges);
                }
            }
            Way::Apart | Way::Combined | Way::Unsupported => {}
        }
    }
    present
}

type Exact<'a> = (Form, Vec<&'a str>);

fn exact<'a>(nodes: &[Node<'a>], def: &TypeDef, resource: &'a Value, base: &str) -> Vec<Exact<'a>> {
    let mut found: Vec<Exact<'a>> = Vec::new();
    for node in nodes {
        match node.fhir_type {
            "Reference" => {
                reference::forms(*node, base, &mut |form, parts| found.push((form, parts.to_vec())));
            }
            _ => token::forms(*node, def, resource, &mut |form, parts| found.push((form, parts.to_vec()))),
        }
    }
    found
}

/// The key of two exact values.
pub fn pair(slot: &Slot, first: (Form, &[&str]), second: (Form, &[&str])) -> i64 {
    let (one, two) = ((first.0 as u8).to_string(), (second.0 as u8).to_string());
    let mut parts = vec![one.as_str()];
    parts.extend(first.1);
    parts.push(&two);
    parts.extend(second.1);
    slot.key(Form::Pair, &parts)
}

/// The rows of a quantity under each code, whatever its system; the system is a mark.
fn beside(slot: &Slot, codes: &[Exact<'_>], measure: &quantity::Measure<'_>, ranges: &mut Vec<Range>) {
    let named = codes.iter().filter(|(form, _)| *form == Form::Code).filter_map(|(_, parts)| parts.first());
    for code in named {
        let of_code = codes
            .iter()
            .filter(|(form, parts)| matches!(form, Form::SystemCode | Form::Bare) && parts.last() == Some(code));
        let systems: Vec<i64> = of_code.map(|(form, parts)| slot.key(*form, parts)).collect();
        let mut marks = measure.marks(slot);
        marks.extend(&systems);
        ranges.push(Range { key: slot.key(Form::PairRanges, &[code]), lo: measure.lo, hi: measure.hi, marks });
        if let Some((dimension, lo, hi)) = &measure.canonical {
            let key = slot.key(Form::PairDimension, &[code, dimension]);
            ranges.push(Range { key, lo: *lo, hi: *hi, marks: systems });
        }
    }
}
