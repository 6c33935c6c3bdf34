//! Reference parameters. <https://hl7.org/fhir/R4/search.html#reference>
//!
//! A reference to this server is found by `Type/id`, by `id`, by either with the server's address, and by
//! `Type/id/_history/version` when it names one; one to elsewhere by its address with and without version; a canonical
//! by url and `url|version`; a logical one by its identifier (`:identifier`). References into the resource itself (`#id`)
//! are not found.

use super::{bad_value, token, unescape, uri};
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{ResourceType, SearchParameter};
use crate::fhir::path::Node;
use crate::fhir::reference::{Reference, is_id};
use crate::search::hash::{Form, Hasher, Slot};
use serde_json::Value;

/// The keys of one node; answers the id when it is a Patient of this server. `logical`: the slot of `:identifier`.
pub fn index<'a>(slot: &Slot, logical: &Slot, node: Node<'a>, base: &str, keys: &mut Vec<i64>) -> Option<&'a str> {
    if let Some(identifier) = node.value.get("identifier").filter(|_| node.fhir_type == "Reference") {
        token::identifier(logical, identifier, keys);
    }
    forms(node, base, &mut |form, parts| keys.push(slot.key(form, parts)))
}

/// The slot of the logical references (`:identifier`) of a parameter.
pub fn logical(hasher: &Hasher, resource_type: &str, code: &str) -> Slot {
    hasher.slot(resource_type, &format!("{code}:identifier"))
}

/// The forms in which a node is found; answers the id when it is a Patient of this server.
pub fn forms<'a>(node: Node<'a>, base: &str, put: &mut dyn FnMut(Form, &[&'a str])) -> Option<&'a str> {
    let text = match node.value {
        Value::String(text) => text.as_str(),
        // Bundle.composition: the entry itself.
        Value::Object(members) if members.contains_key("resourceType") => {
            local(text_of(node.value, "resourceType")?, text_of(node.value, "id")?, None, put);
            return None;
        }
        value => text_of(value, "reference")?,
    };
    match Reference::parse(text, base) {
        Some(Reference::Relative { resource_type, id, version }) => {
            local(resource_type.name(), id, version, put);
            (resource_type.name() == "Patient").then_some(id)
        }
        Some(Reference::Absolute(address) | Reference::Urn(address)) => {
            uri::forms(address, put);
            if let Some((unversioned, _)) = address.split_once("/_history/") {
                put(Form::Address, &[unversioned]);
            }
            None
        }
        Some(Reference::Fragment(_) | Reference::Conditional { .. }) => None,
        // A canonical that is no address, as some definitions have it.
        None => {
            put(if is_id(text) { Form::Untyped } else { Form::Address }, &[text]);
            None
        }
    }
}

/// What a node points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointed<'a> {
    /// A resource of this server.
    Here(ResourceType, &'a str),
    /// What has this address as its `url`, whatever its version when none is named.
    Canonical(&'a str, Option<&'a str>),
}

/// What a node of a reference parameter points at; none when it is no resource that this server could have.
pub fn pointed<'a>(node: Node<'a>, base: &str) -> Option<Pointed<'a>> {
    let (text, canonical) = match node.value {
        Value::String(text) => (text.as_str(), true),
        Value::Object(members) if members.contains_key("resourceType") => return None,
        value => (text_of(value, "reference")?, false),
    };
    match Reference::parse(text, base) {
        Some(Reference::Relative { resource_type, id, .. }) => Some(Pointed::Here(resource_type, id)),
        Some(Reference::Absolute(_) | Reference::Urn(_)) | None if canonical => Some(match text.split_once('|') {
            Some((url, version)) => Pointed::Canonical(url, Some(version)),
            None => Pointed::Canonical(text, None),
        }),
        _ => None,
    }
}

/// Whether the values of a parameter may be addresses by which resources are called rather than places where they lie.
pub fn is_canonical(parameter: &SearchParameter) -> bool {
    let results = parameter.expression.as_ref().map_or(&[][..], |expression| expression.result_types());
    results.iter().any(|name| matches!(*name, "canonical" | "uri"))
}

/// Whether a parameter may point at a type.
pub fn points_at(parameter: &SearchParameter, t: ResourceType) -> bool {
    match parameter.code {
        // One definition for many types (`clinical-patient`) lists the targets of all; what it says is a Patient.
        "patient" => t.name() == "Patient",
        _ => parameter.targets.is_empty() || parameter.targets.contains(&t),
    }
}

fn local<'a>(name: &'a str, id: &'a str, version: Option<&'a str>, put: &mut dyn FnMut(Form, &[&'a str])) {
    put(Form::Typed, &[name, id]);
    put(Form::Untyped, &[id]);
    if let Some(version) = version {
        put(Form::Versioned, &[name, id, version]);
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

/// What a query value asks for: form and parts of the key, and the target when its type is known.
pub struct Target {
    pub form: Form,
    pub parts: Vec<String>,
    pub local: Option<(ResourceType, String)>,
}

impl Target {
    pub fn key(&self, slot: &Slot) -> i64 {
        slot.key(self.form, &self.parts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn new(form: Form, parts: &[&str], local: Option<(ResourceType, String)>) -> Target {
        Target { form, parts: parts.iter().map(|part| (*part).to_owned()).collect(), local }
    }
}

/// Reads a query value (escapes still in it); `of_type` is that of the modifier, `targets` those of the parameter `code`.
pub fn target(
    code: &str,
    targets: &[ResourceType],
    of_type: Option<ResourceType>,
    value: &str,
    base: &str,
) -> Result<Target> {
    let value = unescape(value);
    let only = match targets {
        [one] => Some(*one),
        // One definition for many types (`clinical-patient`) lists the targets of all; what it says is a Patient.
        _ if code == "patient" => ResourceType::parse("Patient"),
        _ => None,
    };
    if is_id(&value) {
        return Ok(match of_type.or(only) {
            Some(t) => Target::new(Form::Typed, &[t.name(), &value], Some((t, value.clone().into_owned()))),
            None => Target::new(Form::Untyped, &[&value], None),
        });
    }
    match Reference::parse(&value, base) {
        Some(Reference::Relative { resource_type, id, version }) => {
            if of_type.is_some_and(|t| t != resource_type) {
                return Err(Error::at(Kind::Value, code, "the type of the value is not that of the modifier"));
            }
            let local = Some((resource_type, id.to_owned()));
            Ok(match version {
                Some(version) => Target::new(Form::Versioned, &[resource_type.name(), id, version], local),
                None => Target::new(Form::Typed, &[resource_type.name(), id], local),
            })
        }
        Some(Reference::Absolute(address) | Reference::Urn(address)) => {
            Ok(Target::new(Form::Address, &[address], None))
        }
        Some(Reference::Fragment(_) | Reference::Conditional { .. }) | None => {
            Err(bad_value(code, "Type/id, an id or an absolute address"))
        }
    }
}
