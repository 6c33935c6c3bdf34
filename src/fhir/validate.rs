//! Structural validation of a resource (<https://hl7.org/fhir/R4/validation.html>): one pass, all problems at once.
//!
//! Judged: unknown elements, JSON kinds, cardinality, choices, primitive formats and their `_name` siblings, extensions,
//! nested and contained resources, types of reference targets, codes of closed required bindings, the rules of Bundles.
//! Of the invariants: ext-1, ref-1, dom-2 to dom-5, bdl-1 to bdl-12, txt-1, txt-2. Not judged here: whether targets
//! exist, profiles, the other invariants (they need FHIRPath), open and non-required bindings.

mod bundle;
mod contained;

use crate::error::{Issue, Kind};
use crate::fhir::definitions::{Definitions, ElementDef, ElementType, Max, ResourceType, TypeDef, TypeKind, ValueSet};
use crate::fhir::primitive::{self, Broken};
use crate::fhir::reference::{Reference, rest_type};
use crate::fhir::resource::Place;
use crate::fhir::rule;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Further problems are not looked for: a person mends these first, and an outcome stays small.
pub const MAX_ISSUES: usize = 100;

/// What is wrong with a resource that must be a `t`; empty when nothing is. `longest`: characters of a string. Problems of
/// structure (400) come before those of content (422), so that the first tells the status.
pub fn validate(definitions: &Definitions, t: ResourceType, resource: &Value, longest: usize) -> Vec<Issue> {
    let mut walk = Walk::new(definitions, longest, false);
    walk.resource(Some(t), resource, &Place::Root(t.name()), false);
    walk.issues()
}

/// What is wrong with a Bundle to be executed, its entries aside: they are judged one by one ([`entry`]).
pub fn envelope(definitions: &Definitions, bundle: &Value, longest: usize) -> Vec<Issue> {
    let (Some(def), Some(members)) = (definitions.type_def("Bundle"), bundle.as_object()) else { return Vec::new() };
    let mut walk = Walk::new(definitions, longest, true);
    walk.members(def, members, &Place::Root("Bundle"));
    walk.issues()
}

/// What is wrong with an entry of a Bundle to be executed, its resource aside; places are those of `Bundle.entry`.
pub fn entry(definitions: &Definitions, entry: &Value, longest: usize) -> Vec<Issue> {
    let Some(def) = definitions.type_def("Bundle.entry") else { return Vec::new() };
    let mut walk = Walk::new(definitions, longest, true);
    let root = Place::Root("Bundle");
    let _ = walk.object(def, entry, &Place::Member(&root, "entry"));
    walk.issues()
}

type Members = Map<String, Value>;

struct Walk<'v> {
    definitions: &'v Definitions,
    /// Characters of a string.
    longest: usize,
    /// Only what is around the resources of a Bundle.
    envelope: bool,
    /// The resource whose `contained` a `#id` means, and these by their ids: looking through a list for each reference
    /// would cost a large resource minutes.
    container: Option<&'v Members>,
    inside: HashMap<&'v str, &'v Members>,
    issues: Vec<Issue>,
}

impl<'v> Walk<'v> {
    fn new(definitions: &'v Definitions, longest: usize, envelope: bool) -> Self {
        Walk { definitions, longest, envelope, container: None, inside: HashMap::new(), issues: Vec::new() }
    }

    fn issues(mut self) -> Vec<Issue> {
        let of_content = |kind| matches!(kind, Kind::CodeInvalid | Kind::BusinessRule | Kind::Invariant);
        self.issues.sort_by_key(|issue| of_content(issue.kind));
        self.issues
    }

    fn issue(&mut self, kind: Kind, place: &Place, key: &'static str) {
        self.issue_with(kind, place, key, &[]);
    }

    fn issue_with(&mut self, kind: Kind, place: &Place, key: &'static str, places: &[(&'static str, &str)]) {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(rule::issue(kind, place.to_string(), key, places));
        }
    }

    /// A resource by its own `resourceType`; `wanted` is what the address says it is.
    fn resource(&mut self, wanted: Option<ResourceType>, value: &'v Value, place: &Place, contained: bool) {
        let Value::Object(members) = value else {
            return self.issue(Kind::Structure, place, "rule.object");
        };
        let Some(name) = members.get("resourceType") else {
            return self.issue(Kind::Structure, place, "rule.type_missing");
        };
        let Some(t) = name.as_str().and_then(|name| self.definitions.resource_type(name)) else {
            return self.issue(Kind::Structure, place, "rule.type_unknown");
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != t) {
            return self.issue_with(Kind::Structure, place, "rule.type_other", &[("type", wanted.name())]);
        }
        if contained {
            self.contained_alone(members, place);
            return self.members(self.definitions.resource(t), members, place);
        }
        let outer = (self.container.replace(members), std::mem::replace(&mut self.inside, contained::by_id(members)));
        self.members(self.definitions.resource(t), members, place);
        self.contained_together(members, place);
        (self.container, self.inside) = outer;
    }

    /// An object that is no resource.
    fn object(&mut self, def: &'v TypeDef, value: &'v Value, place: &Place) -> Option<&'v Members> {
        let Value::Object(members) = value else {
            self.issue(Kind::Structure, place, "rule.object");
            return None;
        };
        if members.keys().all(|name| name == "id") {
            self.issue(Kind::Structure, place, "rule.empty");
            return None;
        }
        self.members(def, members, place);
        Some(members)
    }

    /// The `_name` of a primitive: beside a value, an id alone is something (ele-1).
    fn sibling(&mut self, def: &'v TypeDef, sibling: &'v Value, has_value: bool, place: &Place) {
        match sibling {
            Value::Object(members) if has_value && !members.is_empty() => self.members(def, members, place),
            _ => drop(self.object(def, sibling, place)),
        }
    }

    fn members(&mut self, def: &'v TypeDef, members: &'v Members, place: &Place) {
        let is_resource = def.kind == TypeKind::Resource;
        let has_siblings = members.keys().any(|name| name.starts_with('_'));
        let mut choices: Vec<&str> = Vec::new();
        for (name, value) in members {
            if is_resource && name == "resourceType" {
                continue;
            }
            let plain = name.strip_prefix('_');
            if self.envelope && is_resource && name == "entry" {
                continue;
            }
            let Some((element, element_type)) = def.member(plain.unwrap_or(name)) else {
                self.issue_with(Kind::Structure, &Place::Member(place, name), "rule.unknown", &[("type", def.name)]);
                continue;
            };
            let (value, sibling) = match plain {
                // Judged together with the value, when there is one.
                Some(plain) if members.contains_key(plain) => continue,
                Some(_) => (None, Some(value)),
                None if has_siblings => (Some(value), sibling_of(members, name)),
                None => (Some(value), None),
            };
            let place = Place::Member(place, element.name);
            if element.choice {
                if choices.contains(&element.name) {
                    self.issue(Kind::Structure, &place, "rule.one_type");
                }
                choices.push(element.name);
            }
            self.element(element, element_type, value, sibling, &place);
        }
        self.required(def, members, place);
        match def.name {
            "Extension" => self.extension(members, place),
            "Bundle" => self.bundle(members, place),
            "Bundle.entry" => self.bundle_entry(members, place),
            _ => {}
        }
    }

    /// Elements that must be there. One that has extensions only is there.
    fn required(&mut self, def: &TypeDef, members: &Members, place: &Place) {
        for element in def.elements.iter().filter(|element| element.min > 0) {
            let given =
                |t: &ElementType| members.contains_key(t.json_name) || sibling_of(members, t.json_name).is_some();
            if !element.types.iter().any(given) {
                self.issue(Kind::Required, &Place::Member(place, element.name), "rule.required");
            }
        }
    }

    /// <https://hl7.org/fhir/R4/extensibility.html#Extension>, invariant ext-1.
    fn extension(&mut self, members: &Members, place: &Place) {
        let nested = members.contains_key("extension");
        let value = members.keys().any(|name| name.trim_start_matches('_').starts_with("value"));
        if nested == value {
            self.issue(Kind::Invariant, place, "rule.ext1");
        }
    }

    /// One element with all its values.
    fn element(
        &mut self,
        element: &'v ElementDef,
        element_type: &'v ElementType,
        value: Option<&'v Value>,
        sibling: Option<&'v Value>,
        place: &Place,
    ) {
        let primitive = self.definitions.type_at(element_type.def).kind == TypeKind::Primitive;
        if sibling.is_some() && !primitive {
            return self.issue(Kind::Structure, place, "rule.not_primitive");
        }
        if element.max == Max::Zero {
            return self.issue(Kind::Structure, place, "rule.not_here");
        }
        if !element.max.is_list() {
            if matches!(value, Some(Value::Array(_))) || matches!(sibling, Some(Value::Array(_))) {
                return self.issue(Kind::Structure, place, "rule.array_not");
            }
            return self.one(element, element_type, value, sibling, place);
        }
        let (items, siblings) = match (value, sibling) {
            (None | Some(Value::Array(_)), None | Some(Value::Array(_))) => (array(value), array(sibling)),
            _ => return self.issue(Kind::Structure, place, "rule.array"),
        };
        let length = items.unwrap_or_default().len().max(siblings.unwrap_or_default().len());
        if length == 0 || items.is_some_and(<[Value]>::is_empty) || siblings.is_some_and(<[Value]>::is_empty) {
            return self.issue(Kind::Structure, place, "rule.empty");
        }
        if let (Some(items), Some(siblings)) = (items, siblings)
            && items.len() != siblings.len()
        {
            return self.issue(Kind::Structure, place, "rule.array_as_many");
        }
        if let Max::AtMost(max) = element.max
            && length > usize::from(max)
        {
            self.issue_with(Kind::Structure, place, "rule.at_most", &[("max", &max.to_string())]);
        }
        for n in 0..length {
            let place = Place::Item(place, n);
            // In arrays a null holds the place of a value that has only a sibling, or the other way round.
            let sibling = siblings.and_then(|siblings| siblings.get(n)).filter(|sibling| !sibling.is_null());
            let value = items
                .and_then(|items| items.get(n))
                .filter(|value| !(value.is_null() && primitive && sibling.is_some()));
            self.one(element, element_type, value, sibling, &place);
        }
    }

    /// One value of an element, or its sibling, or both.
    fn one(
        &mut self,
        element: &'v ElementDef,
        element_type: &'v ElementType,
        value: Option<&'v Value>,
        sibling: Option<&'v Value>,
        place: &Place,
    ) {
        let def = self.definitions.type_at(element_type.def);
        if matches!(value, Some(Value::Null)) || (value.is_none() && sibling.is_none_or(Value::is_null)) {
            return self.issue(Kind::Structure, place, "rule.null");
        }
        if let Some(sibling) = sibling {
            self.sibling(def, sibling, value.is_some(), place);
        }
        let Some(value) = value else { return };
        match def.kind {
            TypeKind::Primitive => self.primitive(element, def.name, value, place),
            TypeKind::Resource if self.envelope => {}
            TypeKind::Resource => self.resource(None, value, place, element.name == "contained"),
            TypeKind::Complex | TypeKind::Backbone => {
                let Some(members) = self.object(def, value, place) else { return };
                match def.name {
                    "Reference" => self.reference(element_type.targets, members, place),
                    "CodeableConcept" => self.coded(element, members, place),
                    _ => {}
                }
            }
        }
    }

    fn primitive(&mut self, element: &ElementDef, type_name: &str, value: &Value, place: &Place) {
        match primitive::check(type_name, value, self.longest) {
            Err(Broken::Kind(rule)) => self.issue(Kind::Structure, place, rule),
            Err(Broken::Format(rule)) => {
                self.issue_with(Kind::Value, place, rule, &[("limit", &self.longest.to_string())]);
            }
            Ok(()) => {
                if type_name == "code"
                    && let Some(set) = element.binding
                    && let Some(code) = value.as_str()
                    && !set.contains_code(code)
                {
                    self.not_in(set, place);
                }
            }
        }
    }

    fn not_in(&mut self, set: &ValueSet, place: &Place) {
        self.issue_with(Kind::CodeInvalid, place, "rule.value_set", &[("url", set.url)]);
    }

    /// A required binding of a CodeableConcept (<https://hl7.org/fhir/R4/terminologies.html#required>; no Coding has one):
    /// one of its codings must be in the set. A concept that says by extensions alone why it is absent is left alone.
    fn coded(&mut self, element: &ElementDef, concept: &Members, place: &Place) {
        let Some(set) = element.binding.filter(|set| !set.is_open()) else { return };
        let codings = concept.get("coding").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let inside = |coding: &Value| {
            let text = |name: &str| coding.get(name).and_then(Value::as_str);
            text("system").zip(text("code")).is_some_and(|(system, code)| set.contains(system, code))
        };
        let absent = concept.contains_key("extension") && codings.is_empty();
        if !absent && !codings.iter().any(inside) {
            self.not_in(set, place);
        }
    }

    /// The literal reference of a Reference (<https://hl7.org/fhir/R4/references.html#literal>).
    fn reference(&mut self, targets: &[ResourceType], members: &Members, place: &Place) {
        let Some(Value::String(text)) = members.get("reference") else { return };
        let place = Place::Member(place, "reference");
        let target = match Reference::parse(text, "") {
            // An empty or spaced text has its own issue from the primitive.
            None if text.is_empty() => return,
            None => return self.issue(Kind::Value, &place, "rule.reference"),
            Some(Reference::Relative { resource_type, .. } | Reference::Conditional { resource_type, .. }) => {
                Some(resource_type)
            }
            Some(Reference::Absolute(address)) => rest_type(address),
            Some(Reference::Urn(_)) => None,
            Some(Reference::Fragment(id)) => match self.contained(id) {
                None => return self.issue(Kind::Invariant, &place, "rule.ref1"),
                Some(resource) => resource.get("resourceType").and_then(Value::as_str).and_then(ResourceType::parse),
            },
        };
        if let Some(target) = target
            && !targets.is_empty()
            && !targets.contains(&target)
        {
            self.issue_with(Kind::Value, &place, "rule.target", &[("type", target.name())]);
        }
    }

    /// The contained resource that `#id` means; the container itself for `#`.
    fn contained(&self, id: &str) -> Option<&'v Members> {
        if id.is_empty() { self.container } else { self.inside.get(id).copied() }
    }
}

fn array(value: Option<&Value>) -> Option<&[Value]> {
    value.and_then(Value::as_array).map(Vec::as_slice)
}

/// `_name`, without making the name.
fn sibling_of<'v>(members: &'v Members, name: &str) -> Option<&'v Value> {
    members.iter().find(|(sibling, _)| sibling.strip_prefix('_') == Some(name)).map(|(_, value)| value)
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
