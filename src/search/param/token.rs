//! Token parameters: codes, identifiers, flags. <https://hl7.org/fhir/R4/search.html#token>
//!
//! A value is found by `system|code`, by `code` whatever its system, by `system|` whatever its code, and, when it has no
//! system, by `|code`. Codes are compared exactly, case included: the standard leaves it open, and most code systems in
//! use here tell case apart. A bare `code` element has the system of its required binding, when there is only one.
//! `:text` looks into the texts and displays beside codes, `:of-type` at identifiers by type and value. `:in`, `:not-in`,
//! `:above` and `:below` ask for the codes that terminology says (`search::terminology`).
//!
//! Identifiers of Patient are also found from their beginning, while people type: `identifier:code-text=51.999`, the
//! modifier of R5 (<https://hl7.org/fhir/R5/search.html#modifiercodetext>); case and punctuation do not count.

use super::{bad_value, split, split_once, string, unescape};
use crate::error::Result;
use crate::fhir::definitions::{SearchParameter, TypeDef};
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
    forms(node, def, resource, &mut |form, parts| keys.push(slot.key(form, parts)));
}

/// The forms in which the values of a node are found.
pub fn forms<'a>(node: Node<'a>, def: &TypeDef, resource: &'a Value, put: &mut dyn FnMut(Form, &[&'a str])) {
    match node.fhir_type {
        "CodeableConcept" => {
            for coding in node.value.get("coding").and_then(Value::as_array).into_iter().flatten() {
                coded(text(coding, "system"), text(coding, "code"), put);
            }
        }
        "Coding" => coded(text(node.value, "system"), text(node.value, "code"), put),
        "ContactPoint" => coded(text(node.value, "system"), text(node.value, "value"), put),
        "Identifier" => {
            coded(text(node.value, "system"), text(node.value, "value"), put);
            typed(node.value, put);
        }
        "Quantity" => coded(text(node.value, "system"), text(node.value, "code"), put),
        _ => match node.value {
            Value::String(code) => coded(system_of(node.value, def, resource), Some(code), put),
            Value::Bool(flag) => coded(None, Some(if *flag { "true" } else { "false" }), put),
            Value::Number(number) => coded(None, Some(number.as_str()), put),
            _ => {}
        },
    }
}

/// The keys of a logical reference: a token under a slot of its own.
pub fn identifier(slot: &Slot, identifier: &Value, keys: &mut Vec<i64>) {
    coded(text(identifier, "system"), text(identifier, "value"), &mut |form, parts| keys.push(slot.key(form, parts)));
}

fn coded<'a>(system: Option<&'a str>, code: Option<&'a str>, put: &mut dyn FnMut(Form, &[&'a str])) {
    if let Some(system) = system {
        put(Form::System, &[system]);
    }
    let Some(code) = code else { return };
    put(Form::Code, &[code]);
    match system {
        Some(system) => put(Form::SystemCode, &[system, code]),
        None => put(Form::Bare, &[code]),
    }
}

/// <https://hl7.org/fhir/R4/search.html#token>: `:of-type` matches type and value of an identifier.
fn typed<'a>(identifier: &'a Value, put: &mut dyn FnMut(Form, &[&'a str])) {
    let Some(value) = text(identifier, "value") else { return };
    let codings = identifier.get("type").and_then(|of| of.get("coding")).and_then(Value::as_array);
    for coding in codings.into_iter().flatten() {
        if let (Some(system), Some(code)) = (text(coding, "system"), text(coding, "code")) {
            put(Form::OfType, &[system, code, value]);
        }
    }
}

/// Whether texts beside the codes of a parameter are indexed. Not those of categories, which say the same of thousands.
pub fn has_text(parameter: &SearchParameter) -> bool {
    parameter.code != "category" && gives(parameter, &["CodeableConcept", "Identifier"])
}

/// Whether some of its values are identifiers, which have a type.
pub fn has_identifier(parameter: &SearchParameter) -> bool {
    gives(parameter, &["Identifier"])
}

/// Whether its values are codes of code systems.
pub fn has_concepts(parameter: &SearchParameter) -> bool {
    gives(parameter, &["CodeableConcept", "Coding", "code"])
}

/// Whether its values are codes whose system only their definition says.
pub fn is_bare(parameter: &SearchParameter) -> bool {
    let results = parameter.expression.as_ref().map_or(&[][..], |expression| expression.result_types());
    !results.is_empty() && results.iter().all(|one| *one == "code")
}

fn gives(parameter: &SearchParameter, types: &[&str]) -> bool {
    let results = parameter.expression.as_ref().map_or(&[][..], |expression| expression.result_types());
    results.iter().any(|one| types.contains(one))
}

/// Rows of `search_string` for `:text`: what people read beside the code, folded, whole.
pub fn texts(slot: &Slot, node: Node<'_>, strings: &mut Vec<(i64, String)>) {
    let key = slot.key(Form::Text, &[]);
    let mut put = |text: Option<&str>| strings.extend(text.map(|text| (key, string::whole(text))));
    match node.fhir_type {
        "CodeableConcept" => {
            put(text(node.value, "text"));
            for coding in node.value.get("coding").and_then(Value::as_array).into_iter().flatten() {
                put(text(coding, "display"));
            }
        }
        "Identifier" => put(node.value.get("type").and_then(|of| text(of, "text"))),
        _ => {}
    }
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

/// What a query value (escapes still in it) asks for: its form and parts.
pub fn asked(parameter: &str, value: &str) -> Result<(Form, Vec<String>)> {
    let Some((system, code)) = split_once(value, '|') else {
        return Ok((Form::Code, vec![unescape(value).into_owned()]));
    };
    let (system, code) = (unescape(system).into_owned(), unescape(code).into_owned());
    match (system.is_empty(), code.is_empty()) {
        (false, false) => Ok((Form::SystemCode, vec![system, code])),
        (false, true) => Ok((Form::System, vec![system])),
        (true, false) => Ok((Form::Bare, vec![code])),
        (true, true) => Err(bad_value(parameter, "code, system|code, system| or |code")),
    }
}

/// The key that a query value asks for.
pub fn key(slot: &Slot, parameter: &str, value: &str) -> Result<i64> {
    let (form, parts) = asked(parameter, value)?;
    Ok(slot.key(form, &parts.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// The key of `identifier:of-type=system|code|value`.
pub fn of_type(slot: &Slot, parameter: &str, value: &str) -> Result<i64> {
    let parts: Vec<_> = split(value, '|').into_iter().map(unescape).collect();
    match parts.as_slice() {
        [system, code, value] if !system.is_empty() && !code.is_empty() && !value.is_empty() => {
            Ok(slot.key(Form::OfType, &[system, code, value]))
        }
        _ => Err(bad_value(parameter, "system|code|value: those of the identifier's type, and its value")),
    }
}
