//! Structural validation of a resource (<https://hl7.org/fhir/R4/validation.html>): one pass, all problems at once.
//!
//! Judged: unknown elements, JSON kinds, cardinality, choices, primitive formats and their `_name` siblings, extensions,
//! nested resources, types of reference targets, codes of closed required bindings. Not judged here: whether targets
//! exist, profiles, the invariants that need FHIRPath (of them only ext-1, dom-2, ref-1), open and non-required bindings.

use crate::error::{Issue, Kind};
use crate::fhir::definitions::{Definitions, ElementDef, ElementType, Max, ResourceType, TypeDef, TypeKind, ValueSet};
use crate::fhir::primitive::{self, Broken};
use crate::fhir::reference::{Reference, rest_type};
use crate::fhir::resource::Place;
use serde_json::{Map, Value};

/// Further problems are not looked for: a person mends these first, and an outcome stays small.
pub const MAX_ISSUES: usize = 100;

/// What is wrong with a resource that must be a `t`; empty when nothing is. Problems of structure (400) come before
/// those of content (422), so that the first tells the status.
pub fn validate(definitions: &Definitions, t: ResourceType, resource: &Value) -> Vec<Issue> {
    let mut walk = Walk { definitions, container: None, issues: Vec::new() };
    walk.resource(Some(t), resource, &Place::Root(t.name()), false);
    walk.issues.sort_by_key(|issue| matches!(issue.kind, Kind::CodeInvalid | Kind::BusinessRule));
    walk.issues
}

type Members = Map<String, Value>;

struct Walk<'v> {
    definitions: &'v Definitions,
    /// The resource whose `contained` a `#id` means.
    container: Option<&'v Members>,
    issues: Vec<Issue>,
}

impl<'v> Walk<'v> {
    fn issue(&mut self, kind: Kind, place: &Place, text: impl Into<String>) {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(Issue::at(kind, place.to_string(), text));
        }
    }

    /// A resource by its own `resourceType`; `wanted` is what the address says it is.
    fn resource(&mut self, wanted: Option<ResourceType>, value: &'v Value, place: &Place, contained: bool) {
        let Value::Object(members) = value else {
            return self.issue(Kind::Structure, place, "must be a JSON object");
        };
        let Some(name) = members.get("resourceType") else {
            return self.issue(Kind::Structure, place, "resourceType is missing");
        };
        let Some(t) = name.as_str().and_then(|name| self.definitions.resource_type(name)) else {
            return self.issue(Kind::Structure, place, "resourceType is not a resource type of FHIR R4");
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != t) {
            return self.issue(Kind::Structure, place, format!("resourceType must be {wanted}"));
        }
        let outer = self.container;
        if contained {
            if members.contains_key("contained") {
                let place = Place::Member(place, "contained");
                self.issue(Kind::BusinessRule, &place, "a contained resource must not contain resources (dom-2)");
            }
        } else {
            self.container = Some(members);
        }
        self.members(self.definitions.resource(t), members, place);
        self.container = outer;
    }

    /// An object that is no resource.
    fn object(&mut self, def: &'v TypeDef, value: &'v Value, place: &Place) -> Option<&'v Members> {
        let Value::Object(members) = value else {
            self.issue(Kind::Structure, place, "must be a JSON object");
            return None;
        };
        if members.keys().all(|name| name == "id") {
            self.issue(Kind::Structure, place, "must not be empty");
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
            let Some((element, element_type)) = def.member(plain.unwrap_or(name)) else {
                let text = format!("is not an element of {}", def.name);
                self.issue(Kind::Structure, &Place::Member(place, name), text);
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
                    self.issue(Kind::Structure, &place, "must have one type only");
                }
                choices.push(element.name);
            }
            self.element(element, element_type, value, sibling, &place);
        }
        self.required(def, members, place);
        if def.name == "Extension" {
            self.extension(members, place);
        }
    }

    /// Elements that must be there. One that has extensions only is there.
    fn required(&mut self, def: &TypeDef, members: &Members, place: &Place) {
        for element in def.elements.iter().filter(|element| element.min > 0) {
            let given =
                |t: &ElementType| members.contains_key(t.json_name) || sibling_of(members, t.json_name).is_some();
            if !element.types.iter().any(given) {
                self.issue(Kind::Required, &Place::Member(place, element.name), "is required");
            }
        }
    }

    /// <https://hl7.org/fhir/R4/extensibility.html#Extension>, invariant ext-1.
    fn extension(&mut self, members: &Members, place: &Place) {
        let nested = members.contains_key("extension");
        let value = members.keys().any(|name| name.trim_start_matches('_').starts_with("value"));
        if nested == value {
            self.issue(Kind::BusinessRule, place, "must have either a value or extensions, not both (ext-1)");
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
            return self.issue(Kind::Structure, place, "is not primitive: '_' does not apply to it");
        }
        if element.max == Max::Zero {
            return self.issue(Kind::Structure, place, "is not allowed here");
        }
        if !element.max.is_list() {
            if matches!(value, Some(Value::Array(_))) || matches!(sibling, Some(Value::Array(_))) {
                return self.issue(Kind::Structure, place, "must not be an array: it has at most one value");
            }
            return self.one(element, element_type, value, sibling, place);
        }
        let (items, siblings) = match (value, sibling) {
            (None | Some(Value::Array(_)), None | Some(Value::Array(_))) => (array(value), array(sibling)),
            _ => return self.issue(Kind::Structure, place, "must be an array"),
        };
        let length = items.unwrap_or_default().len().max(siblings.unwrap_or_default().len());
        if length == 0 || items.is_some_and(<[Value]>::is_empty) || siblings.is_some_and(<[Value]>::is_empty) {
            return self.issue(Kind::Structure, place, "must not be empty");
        }
        if let (Some(items), Some(siblings)) = (items, siblings)
            && items.len() != siblings.len()
        {
            return self.issue(Kind::Structure, place, "must have as many items as its '_' array");
        }
        if let Max::AtMost(max) = element.max
            && length > usize::from(max)
        {
            self.issue(Kind::Structure, place, format!("must have at most {max} values"));
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
            return self.issue(Kind::Structure, place, "must not be null");
        }
        if let Some(sibling) = sibling {
            self.sibling(def, sibling, value.is_some(), place);
        }
        let Some(value) = value else { return };
        match def.kind {
            TypeKind::Primitive => self.primitive(element, def.name, value, place),
            TypeKind::Resource => self.resource(None, value, place, element.name == "contained"),
            TypeKind::Complex | TypeKind::Backbone => {
                let Some(members) = self.object(def, value, place) else { return };
                match def.name {
                    "Reference" => self.reference(element_type.targets, members, place),
                    "Coding" | "CodeableConcept" => self.coded(element, value, place),
                    _ => {}
                }
            }
        }
    }

    fn primitive(&mut self, element: &ElementDef, type_name: &str, value: &Value, place: &Place) {
        match primitive::check(type_name, value) {
            Err(Broken::Kind(rule)) => self.issue(Kind::Structure, place, rule),
            Err(Broken::Format(rule)) => self.issue(Kind::Value, place, rule),
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
        self.issue(Kind::CodeInvalid, place, format!("must have a code of the value set {}", set.url));
    }

    /// A required binding of a Coding or CodeableConcept (<https://hl7.org/fhir/R4/terminologies.html#required>): one of
    /// its codings must be in the set. A concept without any coding that has both system and code is left alone.
    fn coded(&mut self, element: &ElementDef, value: &Value, place: &Place) {
        let Some(set) = element.binding.filter(|set| !set.is_open()) else { return };
        let codings = value.get("coding").and_then(Value::as_array);
        let codings = codings.map_or(std::slice::from_ref(value), Vec::as_slice);
        let parts = |coding: &'_ Value| -> Option<bool> {
            Some(set.contains(coding.get("system")?.as_str()?, coding.get("code")?.as_str()?))
        };
        let mut judged = codings.iter().filter_map(parts).peekable();
        if judged.peek().is_some() && !judged.any(|inside| inside) {
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
            None => return self.issue(Kind::Value, &place, "must be Type/id, an absolute address or #id"),
            Some(Reference::Relative { resource_type, .. } | Reference::Conditional { resource_type, .. }) => {
                Some(resource_type)
            }
            Some(Reference::Absolute(address)) => rest_type(address),
            Some(Reference::Urn(_)) => None,
            Some(Reference::Fragment(id)) => match self.contained(id) {
                None => return self.issue(Kind::BusinessRule, &place, "must name a contained resource (ref-1)"),
                Some(resource) => resource.get("resourceType").and_then(Value::as_str).and_then(ResourceType::parse),
            },
        };
        if let Some(target) = target
            && !targets.is_empty()
            && !targets.contains(&target)
        {
            self.issue(Kind::Value, &place, format!("must not refer to {target}"));
        }
    }

    /// The contained resource that `#id` means; the container itself for `#`.
    fn contained(&self, id: &str) -> Option<&'v Members> {
        let container = self.container?;
        if id.is_empty() {
            return Some(container);
        }
        let resources = container.get("contained")?.as_array()?.iter().filter_map(Value::as_object);
        resources.into_iter().find(|resource| resource.get("id").is_some_and(|own| own == id))
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
