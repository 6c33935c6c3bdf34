//! Reference parameters. <https://hl7.org/fhir/R4/search.html#reference>
//!
//! A reference to this server is found by `Type/id`, by `id`, by either with the server's address, and by
//! `Type/id/_history/version` when it names one; one to elsewhere by its address with and without version; a canonical
//! by url and `url|version`. References into the resource itself (`#id`) and logical ones (identifier) are not found.

use super::{bad_value, unescape, uri};
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{ResourceType, SearchParameter};
use crate::fhir::path::Node;
use crate::fhir::reference::{Reference, is_id};
use crate::search::hash::{Form, Slot};
use serde_json::Value;

/// The keys of one node; answers the id when it is a Patient of this server.
pub fn index<'a>(slot: &Slot, node: Node<'a>, base: &str, keys: &mut Vec<i64>) -> Option<&'a str> {
    let text = match node.value {
        Value::String(text) => text.as_str(),
        // Bundle.composition: the entry itself.
        Value::Object(members) if members.contains_key("resourceType") => {
            put_local(slot, text_of(node.value, "resourceType")?, text_of(node.value, "id")?, None, keys);
            return None;
        }
        value => text_of(value, "reference")?,
    };
    match Reference::parse(text, base) {
        Some(Reference::Relative { resource_type, id, version }) => {
            put_local(slot, resource_type.name(), id, version, keys);
            (resource_type.name() == "Patient").then_some(id)
        }
        Some(Reference::Absolute(address) | Reference::Urn(address)) => {
            uri::put(slot, address, keys);
            if let Some((unversioned, _)) = address.split_once("/_history/") {
                keys.push(slot.key(Form::Address, &[unversioned]));
            }
            None
        }
        Some(Reference::Fragment(_) | Reference::Conditional { .. }) => None,
        // A canonical that is no address, as some definitions have it.
        None => {
            keys.push(slot.key(if is_id(text) { Form::Untyped } else { Form::Address }, &[text]));
            None
        }
    }
}

fn put_local(slot: &Slot, name: &str, id: &str, version: Option<&str>, keys: &mut Vec<i64>) {
    keys.push(slot.key(Form::Typed, &[name, id]));
    keys.push(slot.key(Form::Untyped, &[id]));
    if let Some(version) = version {
        keys.push(slot.key(Form::Versioned, &[name, id, version]));
    }
}

fn text_of<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// The type that a modifier names (`subject:Patient`), which must be one that the parameter may point at.
pub fn modifier_type(parameter: &SearchParameter, modifier: &str) -> Option<ResourceType> {
    let named = ResourceType::parse(modifier)?;
    (parameter.targets.is_empty() || parameter.targets.contains(&named)).then_some(named)
}

/// What a query value asks for: the key, and the target when its type is known.
pub struct Target {
    pub key: i64,
    pub local: Option<(ResourceType, String)>,
}

/// Reads a query value (escapes still in it); `of_type` is that of the modifier.
pub fn target(
    slot: &Slot,
    parameter: &SearchParameter,
    of_type: Option<ResourceType>,
    value: &str,
    base: &str,
) -> Result<Target> {
    let value = unescape(value);
    let only = match parameter.targets.as_slice() {
        [one] => Some(*one),
        // One definition for many types (`clinical-patient`) lists the targets of all; what it says is a Patient.
        _ if parameter.code == "patient" => ResourceType::parse("Patient"),
        _ => None,
    };
    if is_id(&value) {
        return Ok(match of_type.or(only) {
            Some(t) => Target { key: slot.key(Form::Typed, &[t.name(), &value]), local: Some((t, value.into_owned())) },
            None => Target { key: slot.key(Form::Untyped, &[&value]), local: None },
        });
    }
    match Reference::parse(&value, base) {
        Some(Reference::Relative { resource_type, id, version }) => {
            if of_type.is_some_and(|t| t != resource_type) {
                return Err(Error::at(
                    Kind::Value,
                    parameter.code,
                    "the type of the value is not that of the modifier",
                ));
            }
            let key = match version {
                Some(version) => slot.key(Form::Versioned, &[resource_type.name(), id, version]),
                None => slot.key(Form::Typed, &[resource_type.name(), id]),
            };
            Ok(Target { key, local: Some((resource_type, id.to_owned())) })
        }
        Some(Reference::Absolute(address) | Reference::Urn(address)) => {
            Ok(Target { key: slot.key(Form::Address, &[address]), local: None })
        }
        Some(Reference::Fragment(_) | Reference::Conditional { .. }) | None => {
            Err(bad_value(parameter.code, "Type/id, an id or an absolute address"))
        }
    }
}
