//! PATCH (<https://hl7.org/fhir/R4/http.html#patch>): the patch documents of R4 as pure changes of a resource.
//!
//! What is malformed is 400; what does not fit the resource (no such place, a test that fails, a place that is taken) is
//! 422. Nothing is half done: a patch gives a whole new value or an error. Errors name the number of the operation, never
//! what stands in it.

mod fhirpath;
mod json;
mod locate;
mod merge;
mod select;
mod tree;
mod xml;

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use serde_json::Value;

/// What a patch may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub operations: usize,
    /// Objects and arrays inside each other, in the result.
    pub depth: usize,
    /// Bytes that `copy` may add.
    pub bytes: usize,
}

/// A patch that was read and whose form is right.
#[derive(Clone, Debug)]
pub enum Patch {
    Json(json::Operations),
    FhirPath(fhirpath::Operations),
    Merge(merge::Members),
    Xml(xml::Operations),
}

impl Patch {
    /// A JSON Patch (RFC 6902).
    pub fn json(document: Value, limits: &Limits) -> Result<Patch> {
        json::parse(document, limits).map(Patch::Json)
    }

    /// A FHIRPath Patch: a Parameters resource (<https://hl7.org/fhir/R4/fhirpatch.html>).
    pub fn fhirpath(parameters: &Value, limits: &Limits) -> Result<Patch> {
        fhirpath::parse(parameters, limits).map(Patch::FhirPath)
    }

    /// A merge patch (RFC 7396).
    pub fn merge(document: Value) -> Result<Patch> {
        merge::parse(document).map(Patch::Merge)
    }

    /// An XML Patch (RFC 5261).
    pub fn xml(document: &[u8], limits: &Limits) -> Result<Patch> {
        xml::parse(document, limits).map(Patch::Xml)
    }

    /// An XML text as an XML Patch leaves it, whatever the text is of.
    pub fn change_xml(&self, text: &str) -> Result<String> {
        match self {
            Patch::Xml(operations) => xml::apply_to_text(operations, text),
            Patch::Json(_) | Patch::FhirPath(_) | Patch::Merge(_) => {
                Err(Error::new(Kind::Invalid, "only an XML Patch changes XML"))
            }
        }
    }

    /// The document as the operations leave it, by their own rules alone.
    pub fn change(&self, document: Value, limits: &Limits) -> Result<Value> {
        match self {
            Patch::Json(operations) => json::apply(operations, document, limits),
            Patch::FhirPath(operations) => fhirpath::apply(operations, document, limits),
            Patch::Merge(members) => Ok(merge::apply(members, document)),
            Patch::Xml(operations) => xml::apply(operations, &document, limits),
        }
    }

    /// The resource as the patch leaves it: without elements that became empty, which FHIR does not have, and of the same
    /// type and id. Whether it is valid is for `validate`.
    pub fn apply(&self, resource_type: ResourceType, resource: Value, limits: &Limits) -> Result<Value> {
        let id = resource.get("id").cloned();
        let mut patched = self.change(resource, limits)?;
        for (name, expected) in [("resourceType", Some(Value::from(resource_type.name()))), ("id", id)] {
            if patched.get(name) != expected.as_ref() {
                let text = format!("a patch does not change the {name} of a resource");
                return Err(Error::at(Kind::BusinessRule, format!("{resource_type}.{name}"), text));
            }
        }
        let root = patched.as_object_mut().ok_or_else(|| Error::internal("a resource is an object"))?;
        root.retain(|name, member| !drop_empty(member, name.starts_with('_')));
        Ok(patched)
    }
}

/// Takes away what says nothing; true when that is all of `value`. `extra`: a member `_x`, whose list is aligned with that
/// of the values.
fn drop_empty(value: &mut Value, extra: bool) -> bool {
    match value {
        Value::Object(members) => {
            members.retain(|name, member| !drop_empty(member, name.starts_with('_')));
            members.is_empty()
        }
        Value::Array(items) if extra => {
            for item in items.iter_mut() {
                if drop_empty(item, false) {
                    *item = Value::Null;
                }
            }
            items.iter().all(Value::is_null)
        }
        Value::Array(items) => {
            items.retain_mut(|item| !drop_empty(item, false));
            items.is_empty()
        }
        _ => false,
    }
}

/// An error of one operation, counted from one.
fn failed(kind: Kind, n: usize, text: &str) -> Error {
    Error::new(kind, format!("operation {} of the patch: {text}", n + 1))
}

/// Levels of objects and arrays in a value.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn too_deep(n: usize, limits: &Limits) -> Error {
    failed(Kind::TooCostly, n, &format!("more than {} levels of depth (limits.depth)", limits.depth))
}

fn too_many(limits: &Limits) -> Error {
    let text = format!("a patch has at most {} operations (limits.patch_operations)", limits.operations);
    Error::new(Kind::TooCostly, text)
}

#[cfg(test)]
mod tests;
