//! Contained resources (<https://hl7.org/fhir/R4/references.html#contained>): dom-2 to dom-5.

use super::{Members, Walk};
use crate::error::Kind;
use crate::fhir::resource::Place;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

impl<'v> Walk<'v> {
    /// What a contained resource must not have.
    pub(super) fn contained_alone(&mut self, members: &Members, place: &Place) {
        if members.contains_key("contained") {
            self.issue(Kind::Invariant, &Place::Member(place, "contained"), "rule.dom2");
        }
        let Some(meta) = members.get("meta") else { return };
        let at = Place::Member(place, "meta");
        if meta.get("versionId").is_some() || meta.get("lastUpdated").is_some() {
            self.issue(Kind::Invariant, &at, "rule.dom4");
        }
        if meta.get("security").is_some() {
            self.issue(Kind::Invariant, &Place::Member(&at, "security"), "rule.dom5");
        }
    }

    /// Each contained resource is named by its container (or by another contained one), or names its container.
    pub(super) fn contained_together(&mut self, container: &'v Members, place: &Place) {
        let Some(contained) = container.get("contained").and_then(Value::as_array) else { return };
        let mut named = HashSet::new();
        container.values().for_each(|value| fragments(value, &mut |id| named.extend([id])));
        let list = Place::Member(place, "contained");
        for (n, resource) in contained.iter().enumerate().filter(|(_, resource)| resource.is_object()) {
            let id = resource.get("id").and_then(Value::as_str);
            let mut names_container = false;
            fragments(resource, &mut |id| names_container |= id.is_empty());
            if !names_container && !id.is_some_and(|id| named.contains(id)) {
                self.issue(Kind::Invariant, &Place::Item(&list, n), "rule.dom3");
            }
        }
    }
}

/// The contained resources of a resource by their ids; of two with one id the first.
pub(super) fn by_id(container: &Members) -> HashMap<&str, &Members> {
    let resources = container.get("contained").and_then(Value::as_array).into_iter().flatten();
    let mut found = HashMap::new();
    for resource in resources.filter_map(Value::as_object) {
        if let Some(id) = resource.get("id").and_then(Value::as_str) {
            found.entry(id).or_insert(resource);
        }
    }
    found
}

/// Every `#id` of a value, without its `#`: in references, and in elements of type canonical, uri and url.
fn fragments<'v>(value: &'v Value, f: &mut impl FnMut(&'v str)) {
    match value {
        Value::String(text) => text.strip_prefix('#').into_iter().for_each(f),
        Value::Array(items) => items.iter().for_each(|item| fragments(item, f)),
        Value::Object(members) => members.values().for_each(|member| fragments(member, f)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
