//! Token parameters: codes, identifiers, flags. <https://hl7.org/fhir/R4/search.html#token>
//!
//! A value is found by `system|code`, by `code` whatever its system, by `system|` whatever its code, and, when it has no
//! system, by `|code`. Codes are compared exactly, case included: the standard leaves it open, and most code systems in
//! use here tell case apart. A bare `code` element has the system of its required binding, when there is only one.
//!
//! Identifiers of Patient are also found from their beginning, while people type: `identifier:code-text=51.999`, the
//! modifier of R5 (<https://hl7.org/fhir/R5/search.html#modifiercodetext>); case and punctuation do not count.

use super::{bad_value, split_once, unescape};
use crate::error::Result;
use crate::fhir::definitions::TypeDef;
use crate::fhir::path::Node;
use crate::search::hash::{Form, Slot};
use serde_json::Value;

/// Where the comparison of beginnings ends, in characters.
const LONGEST_START: usize = 64;

/// Whether a parameter takes `:code-text`.
pub fn has_starts(t: &str, code: &str) -> bool {
    t == "Patient" && code == "identifier"
}

/// The keys of one node. `def` and `resource` are those the node was found in: they say the binding of a code.
pub fn index(slot: &Slot, node: Node<'_>, def: &TypeDef, resource: &Value, keys: &mut Vec<i64>) {
    match node.fhir_type {
        "CodeableConcept" => {
            for coding in node.value.get("coding").and_then(Value::as_array).into_iter().flatten() {
                put(slot, text(coding, "system"), text(coding, "code"), keys);
            }
        }
        "Coding" => put(slot, text(node.value, "system"), text(node.value, "code"), keys),
        "Identifier" | "ContactPoint" => put(slot, text(node.value, "system"), text(node.value, "value"), keys),
        "Quantity" => put(slot, text(node.value, "system"), text(node.value, "code"), keys),
        _ => match node.value {
            Value::String(code) => put(slot, system_of(node.value, def, resource), Some(code), keys),
            Value::Bool(flag) => put(slot, None, Some(if *flag { "true" } else { "false" }), keys),
            Value::Number(number) => put(slot, None, Some(number.as_str()), keys),
            _ => {}
        },
    }
}

fn put(slot: &Slot, system: Option<&str>, code: Option<&str>, keys: &mut Vec<i64>) {
    if let Some(system) = system {
        keys.push(slot.key(Form::System, &[system]));
    }
    let Some(code) = code else { return };
    keys.push(slot.key(Form::Code, &[code]));
    keys.push(match system {
        Some(system) => slot.key(Form::SystemCode, &[system, code]),
        None => slot.key(Form::Bare, &[code]),
    });
}

/// Rows of `search_string` for `:code-text`: the value of an identifier without anything but letters and digits.
pub fn start(slot: &Slot, node: Node<'_>, strings: &mut Vec<(i64, String)>) {
    if let Some(value) = text(node.value, "value").map(squeezed).filter(|value| !value.is_empty()) {
        strings.push((slot.key(Form::Strings, &[]), value));
    }
}

/// As beginnings of codes are compared: letters and digits alone, in lower case.
pub fn squeezed(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).take(LONGEST_START).flat_map(char::to_lowercase).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The one code system of the required binding of a `code` that stands at the top of the resource.
fn system_of(value: &Value, def: &TypeDef, resource: &Value) -> Option<&'static str> {
    let name = resource.as_object()?.iter().find_map(|(name, member)| match member {
        Value::Array(items) => items.iter().any(|item| std::ptr::eq(item, value)).then_some(name),
        _ => std::ptr::eq(member, value).then_some(name),
    })?;
    match def.element(name)?.0.binding?.systems() {
        [system] => Some(system),
        _ => None,
    }
}

/// The key that a query value (escapes still in it) asks for.
pub fn key(slot: &Slot, parameter: &str, value: &str) -> Result<i64> {
    let Some((system, code)) = split_once(value, '|') else {
        return Ok(slot.key(Form::Code, &[&unescape(value)]));
    };
    let (system, code) = (unescape(system), unescape(code));
    match (system.is_empty(), code.is_empty()) {
        (false, false) => Ok(slot.key(Form::SystemCode, &[&system, &code])),
        (false, true) => Ok(slot.key(Form::System, &[&system])),
        (true, false) => Ok(slot.key(Form::Bare, &[&code])),
        (true, true) => Err(bad_value(parameter, "code, system|code, system| or |code")),
    }
}
