//! Walks the steps of a compiled expression over JSON.

use super::parse::Literal;
use super::{Access, Node, Step, Test};
use crate::fhir::definitions::ResourceType;
use serde_json::Value;

static TRUE: Value = Value::Bool(true);
static FALSE: Value = Value::Bool(false);

/// One evaluation.
pub(super) struct Run<'a> {
    pub resource: &'a Value,
}

impl<'a> Run<'a> {
    /// Hands every node that `path` gives to `visit`.
    ///
    /// Depth first, so that no collection is made between two steps. Recursion is as deep as the expression is long.
    pub fn walk(&self, path: &[Step], node: Node<'a>, visit: &mut dyn FnMut(Node<'a>)) {
        let Some((step, rest)) = path.split_first() else { return visit(node) };
        match step {
            Step::Access(accesses) => self.access(accesses, rest, node, visit),
            Step::Root(fhir_type) => self.walk(rest, Node { value: self.resource, fhir_type }, visit),
            Step::Only(types) => {
                if types.contains(&node.fhir_type) {
                    self.walk(rest, node, visit);
                }
            }
            Step::Where(test) => {
                if self.test(test, node) == Some(true) {
                    self.walk(rest, node, visit);
                }
            }
            Step::Nth(inner, index) => {
                let (mut count, mut chosen) = (0_usize, None);
                self.walk(inner, node, &mut |found| {
                    if count == *index {
                        chosen = Some(found);
                    }
                    count += 1;
                });
                if let Some(found) = chosen {
                    self.walk(rest, found, visit);
                }
            }
            Step::Union(paths) => {
                for path in paths {
                    self.walk(path, node, &mut |found| self.walk(rest, found, visit));
                }
            }
            Step::Truth(test) => {
                if let Some(truth) = self.test(test, node) {
                    let value = if truth { &TRUE } else { &FALSE };
                    self.walk(rest, Node { value, fhir_type: "boolean" }, visit);
                }
            }
        }
    }

    fn access(&self, accesses: &[Access], rest: &[Step], node: Node<'a>, visit: &mut dyn FnMut(Node<'a>)) {
        let Value::Object(members) = node.value else { return };
        for access in accesses {
            if access.from.is_some_and(|from| from != node.fhir_type) {
                continue;
            }
            match members.get(access.key) {
                Some(Value::Array(items)) => {
                    for item in items {
                        self.enter(access, rest, item, visit);
                    }
                }
                Some(value) => self.enter(access, rest, value, visit),
                None => {}
            }
        }
    }

    fn enter(&self, access: &Access, rest: &[Step], value: &'a Value, visit: &mut dyn FnMut(Node<'a>)) {
        // null keeps a place for an extension; an array here is not FHIR and validation says so.
        if matches!(value, Value::Null | Value::Array(_)) {
            return;
        }
        let own = if access.is_resource { own_type(value) } else { None };
        self.walk(rest, Node { value, fhir_type: own.map_or(access.fhir_type, ResourceType::name) }, visit);
    }

    fn test(&self, test: &Test, node: Node<'a>) -> Option<bool> {
        match test {
            Test::Exists(path) => Some(self.exists(path, node)),
            Test::Equal(path, literal) => {
                let (mut count, mut equal) = (0_usize, false);
                self.walk(path, node, &mut |found| {
                    count += 1;
                    equal = is_equal(found.value, literal);
                });
                (count > 0).then_some(count == 1 && equal)
            }
            Test::Resolves(path, wanted) => {
                let mut answer = None;
                self.walk(path, node, &mut |found| {
                    if let Some(target) = self.target(found.value) {
                        answer = Some(answer == Some(true) || target == *wanted);
                    }
                });
                // A target of unknown type is no item of the wanted type.
                Some(answer.unwrap_or(false))
            }
            Test::Is(all, of_type) => self.exists(all, node).then(|| self.exists(of_type, node)),
            Test::Not(inner) => self.test(inner, node).map(|truth| !truth),
            Test::And(sides) => match (self.test(&sides.0, node), self.test(&sides.1, node)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Test::Or(sides) => match (self.test(&sides.0, node), self.test(&sides.1, node)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }

    fn exists(&self, path: &[Step], node: Node<'a>) -> bool {
        let mut exists = false;
        self.walk(path, node, &mut |_| exists = true);
        exists
    }

    /// The type that a Reference points at, as far as it can be told without looking anything up
    /// (<https://hl7.org/fhir/R4/references.html>).
    fn target(&self, reference: &'a Value) -> Option<&'static str> {
        let literal = reference.get("reference").and_then(Value::as_str);
        if let Some(id) = literal.and_then(|literal| literal.strip_prefix('#')) {
            // "#" is the containing resource itself.
            let found = if id.is_empty() { Some(self.resource) } else { self.contained(id) };
            return found.and_then(own_type).map(ResourceType::name);
        }
        let said = || {
            let name = reference.get("type")?.as_str()?;
            ResourceType::parse(name.strip_prefix("http://hl7.org/fhir/StructureDefinition/").unwrap_or(name))
        };
        literal.and_then(type_of_address).or_else(said).map(ResourceType::name)
    }

    fn contained(&self, id: &str) -> Option<&'a Value> {
        let contained = self.resource.get("contained")?.as_array()?;
        contained.iter().find(|resource| resource.get("id").and_then(Value::as_str) == Some(id))
    }
}

fn own_type(resource: &Value) -> Option<ResourceType> {
    ResourceType::parse(resource.get("resourceType")?.as_str()?)
}

/// `Patient/1`, `https://a.example/fhir/Patient/1/_history/2`, `Patient?identifier=x` -> Patient.
fn type_of_address(address: &str) -> Option<ResourceType> {
    if address.starts_with("urn:") {
        return None;
    }
    let (address, is_query) = match address.split_once('?') {
        Some((before, _)) => (before, true),
        None => (address, false),
    };
    let mut parts = address.split('#').next().unwrap_or("").rsplit('/');
    let last = parts.next()?;
    if is_query {
        return ResourceType::parse(last);
    }
    let before = parts.next()?;
    // .../Type/id/_history/version
    let type_name = if before == "_history" { parts.nth(1)? } else { before };
    ResourceType::parse(type_name)
}

/// Values of different types are unequal: `deceasedDateTime != false`.
fn is_equal(value: &Value, literal: &Literal) -> bool {
    match (value, literal) {
        (Value::String(text), Literal::Text(expected)) => text == expected,
        (Value::Bool(truth), Literal::Boolean(expected)) => truth == expected,
        (Value::Number(number), Literal::Integer(expected)) => number.as_i64() == Some(*expected),
        _ => false,
    }
}
