//! A resource as JSON with typed accessors (<https://hl7.org/fhir/R4/resource.html>).
//!
//! The JSON stays the truth: nothing is copied into structures, so nothing of it can be lost on the way. Whether it is
//! a valid resource is the business of `fhir::validate`.

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::reference::Id;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::fmt;

/// A place inside a resource, as a list of parents on the stack: walking costs no allocation, only showing does.
/// Shown as FHIRPath (`Patient.contact[1].name.family`).
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// The resource itself, by the name of its type (empty where the type is not known yet).
    Root(&'a str),
    Member(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    /// The name of the nearest member, without index.
    pub fn name(&self) -> &str {
        match self {
            Place::Root(name) | Place::Member(_, name) => name,
            Place::Item(parent, _) => parent.name(),
        }
    }
}

/// Longer member names are not names of elements, and are not shown.
const MAX_NAME: usize = 80;

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root(name) => f.write_str(shown(name)),
            Place::Member(Place::Root(""), name) => f.write_str(shown(name)),
            Place::Member(parent, name) => write!(f, "{parent}.{}", shown(name)),
            Place::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A member name as it may be shown: whatever does not look like the name of an element could be content.
fn shown(name: &str) -> &str {
    let plain = name.len() <= MAX_NAME && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { name } else { "?" }
}

/// The type of a resource; refused are: not an object, no `resourceType`, a type that R4 does not know.
pub fn resource_type(resource: &Value) -> Result<ResourceType> {
    let Some(members) = resource.as_object() else {
        return Err(Error::new(Kind::Structure, "a resource is a JSON object"));
    };
    let Some(name) = members.get("resourceType") else {
        return Err(Error::at(Kind::Structure, "resourceType", "resourceType is missing"));
    };
    name.as_str()
        .and_then(ResourceType::parse)
        .ok_or_else(|| Error::at(Kind::Structure, "resourceType", "is not a resource type of FHIR R4"))
}

/// The logical id, when there is one.
pub fn id(resource: &Value) -> Option<&str> {
    text(resource, "id")
}

/// A string member of the resource itself.
pub fn text<'a>(resource: &'a Value, name: &str) -> Option<&'a str> {
    resource.get(name).and_then(Value::as_str)
}

/// `meta.versionId` and `meta.lastUpdated` as they stand.
pub fn version_id(resource: &Value) -> Option<&str> {
    resource.get("meta").and_then(|meta| text(meta, "versionId"))
}

/// Sets the logical id, as second member after `resourceType`.
pub fn set_id(resource: &mut Value, id: &Id) {
    put_first(resource, |head| {
        head.insert("id".into(), Value::String(id.as_str().to_owned()));
    });
}

/// Sets `meta.versionId` and `meta.lastUpdated`, which the server owns
/// (<https://hl7.org/fhir/R4/resource.html#Meta>); the rest of `meta` stays. `resourceType`, `id` and `meta` come
/// first in the text, in this order.
pub fn set_meta(resource: &mut Value, version: u64, last_updated: Timestamp) {
    put_first(resource, |head| {
        let old = match head.get_mut("meta").map(Value::take) {
            Some(Value::Object(old)) => old,
            _ => Map::new(),
        };
        let mut meta = Map::with_capacity(old.len() + 2);
        meta.insert("versionId".into(), Value::String(version.to_string()));
        meta.insert("lastUpdated".into(), Value::String(format_instant(last_updated)));
        for (name, value) in old {
            if name != "versionId" && name != "lastUpdated" {
                meta.insert(name, value);
            }
        }
        head.insert("meta".into(), Value::Object(meta));
    });
}

/// Rebuilds the object with `resourceType`, `id`, `meta` in front; `change` sees these three.
fn put_first(resource: &mut Value, change: impl FnOnce(&mut Map<String, Value>)) {
    let Value::Object(members) = resource else { return };
    let mut head = Map::with_capacity(members.len() + 2);
    for name in ["resourceType", "id", "meta"] {
        if let Some(value) = members.get_mut(name) {
            head.insert(name.to_owned(), value.take());
        }
    }
    change(&mut head);
    // `change` may have added an id behind an existing meta.
    let meta = head.shift_remove("meta");
    let mut rest = std::mem::take(members).into_iter();
    let mut all = head;
    if let Some(meta) = meta {
        all.insert("meta".to_owned(), meta);
    }
    for (name, value) in &mut rest {
        if !matches!(name.as_str(), "resourceType" | "id" | "meta") {
            all.insert(name, value);
        }
    }
    *members = all;
}

/// An instant as this server writes it: UTC with milliseconds, `2026-11-24T08:31:11.123Z`.
pub fn format_instant(instant: Timestamp) -> String {
    format!("{instant:.3}")
}

/// Whether two resources say the same: the order of members and the spelling of an exponent (`1.0E2`, `1.0e+2`) do
/// not count, digits do (`72.50` is not `72.5`).
pub fn semantically_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let same =
                |(name, value): (&String, &Value)| b.get(name).is_some_and(|other| semantically_equal(value, other));
            a.len() == b.len() && a.iter().all(same)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| semantically_equal(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a == b || plain_exponent(a.as_str()) == plain_exponent(b.as_str()),
        _ => a == b,
    }
}

fn plain_exponent(number: &str) -> String {
    number.chars().filter(|c| *c != '+').map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn server_fields_come_first_and_the_rest_keeps_its_order() {
        let mut resource = json!({
            "active": true, "meta": {"profile": ["http://a/b"], "versionId": "99"}, "resourceType": "Patient", "name": []
        });
        set_id(&mut resource, &Id::parse("p-1").unwrap());
        set_meta(&mut resource, 7, at("2026-11-24T08:31:11.123Z"));
        assert_eq!(
            resource.to_string(),
            r#"{"resourceType":"Patient","id":"p-1","meta":{"versionId":"7","lastUpdated":"2026-11-24T08:31:11.123Z","profile":["http://a/b"]},"active":true,"name":[]}"#
        );
        assert_eq!(id(&resource), Some("p-1"));
        assert_eq!(version_id(&resource), Some("7"));
        let mut odd = json!({"resourceType": "Patient", "meta": "x"});
        set_meta(&mut odd, 1, at("2026-11-24T08:31:11Z"));
        assert_eq!(odd["meta"]["lastUpdated"], "2026-11-24T08:31:11.000Z");
    }

    #[test]
    fn the_type_is_refused_by_reason() {
        assert_eq!(resource_type(&json!({"resourceType": "Patient"})).unwrap().name(), "Patient");
        for bad in [json!([]), json!({}), json!({"resourceType": 1}), json!({"resourceType": "Ana"})] {
            let error = resource_type(&bad).unwrap_err();
            assert_eq!(error.kind, Kind::Structure);
            assert!(!error.to_string().contains("Ana"));
        }
    }

    #[test]
    fn a_place_is_fhirpath_and_hides_what_is_no_name() {
        let root = Place::Root("Patient");
        let (contact, strange) = (Place::Member(&root, "contact"), Place::Member(&root, "Ana Gómez"));
        let item = Place::Item(&contact, 1);
        assert_eq!(Place::Member(&item, "name").to_string(), "Patient.contact[1].name");
        assert_eq!(strange.to_string(), "Patient.?");
        assert_eq!(item.name(), "contact");
        assert_eq!(Place::Member(&Place::Root(""), "id").to_string(), "id");
    }

    #[test]
    fn equality_ignores_order_but_not_digits() {
        let check = |a: &str, b: &str, expected: bool| {
            let (a, b) = (serde_json::from_str(a).unwrap(), serde_json::from_str(b).unwrap());
            assert_eq!(semantically_equal(&a, &b), expected, "{a} {b}");
        };
        check(r#"{"a":1,"b":[1,2]}"#, r#"{"b":[1,2],"a":1}"#, true);
        check(r#"{"b":[2,1]}"#, r#"{"b":[1,2]}"#, false);
        check(r#"{"v":72.50}"#, r#"{"v":72.5}"#, false);
        check(r#"{"v":1.0E2}"#, r#"{"v":1.0e+2}"#, true);
        check(r#"{"a":1}"#, r#"{"a":1,"b":null}"#, false);
    }
}
