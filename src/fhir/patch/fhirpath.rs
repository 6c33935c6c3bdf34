//! FHIRPath Patch: a Parameters resource of operations (<https://hl7.org/fhir/R4/fhirpatch.html>).

use super::locate::{Located, Step, locate};
use super::{Limits, depth, too_deep, too_many};
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{Definitions, ElementDef, ElementType, TypeDef, TypeKind, r4};
use serde_json::{Map, Value};

#[derive(Clone, Debug)]
pub struct Operations(Vec<Operation>);

#[derive(Clone, Debug)]
struct Operation {
    path: String,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Add { name: String, value: Part },
    Insert { index: usize, value: Part },
    Delete,
    Replace { value: Part },
    Move { source: usize, destination: usize },
}

/// A `part` that carries a value, as it stands in the Parameters.
type Part = Value;

/// An item of a list, or what is single: its value, and what stands under `_name`. Null: not there.
#[derive(Clone, Debug, Default)]
struct Content {
    value: Value,
    extra: Value,
}

// ---------------------------------------------------------------------- reading

pub(super) fn parse(parameters: &Value, limits: &Limits) -> Result<Operations> {
    if parameters.get("resourceType").and_then(Value::as_str) != Some("Parameters") {
        return Err(Error::at(Kind::Invalid, "Parameters", "a FHIRPath Patch is a Parameters resource"));
    }
    let all = parameters.get("parameter").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if all.len() > limits.operations {
        return Err(too_many(limits));
    }
    all.iter().enumerate().map(|(n, parameter)| operation(n, parameter)).collect::<Result<_>>().map(Operations)
}

fn place(n: usize) -> String {
    format!("Parameters.parameter[{n}]")
}

fn invalid(n: usize, text: impl Into<String>) -> Error {
    Error::at(Kind::Invalid, place(n), text)
}

fn operation(n: usize, parameter: &Value) -> Result<Operation> {
    if parameter.get("name").and_then(Value::as_str) != Some("operation") {
        return Err(invalid(n, "each parameter of a FHIRPath Patch has the name operation"));
    }
    let parts = parameter.get("part").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let named = |name: &str| parts.iter().find(|part| part.get("name").and_then(Value::as_str) == Some(name));
    let missing = |name: &str| invalid(n, format!("the part {name} is missing"));
    let text = |name: &str| {
        let value = value_of(named(name).ok_or_else(|| missing(name))?).map(|(_, value, _)| value);
        value.and_then(Value::as_str).ok_or_else(|| invalid(n, format!("the part {name} is a text")))
    };
    let number = |name: &str| {
        let value = value_of(named(name).ok_or_else(|| missing(name))?).and_then(|(_, value, _)| value.as_u64());
        let value = value.and_then(|value| usize::try_from(value).ok());
        value.ok_or_else(|| invalid(n, format!("the part {name} is a whole number from 0")))
    };
    let value = || named("value").cloned().ok_or_else(|| missing("value"));
    let change = match text("type")? {
        "add" => Change::Add { name: text("name")?.to_owned(), value: value()? },
        "insert" => Change::Insert { index: number("index")?, value: value()? },
        "delete" => Change::Delete,
        "replace" => Change::Replace { value: value()? },
        "move" => Change::Move { source: number("source")?, destination: number("destination")? },
        _ => return Err(invalid(n, "the type is one of add, insert, delete, replace, move")),
    };
    Ok(Operation { path: text("path")?.to_owned(), change })
}

/// `value[x]` of a part: the name of its type as the member says it, the value, and what stands under `_value[x]`.
fn value_of(part: &Value) -> Option<(&str, &Value, &Value)> {
    let members = part.as_object()?;
    let name = members.keys().map(|key| key.strip_prefix('_').unwrap_or(key)).find(|key| key.starts_with("value"))?;
    let member = |name: &str| members.get(name).unwrap_or(&Value::Null);
    Some((name.strip_prefix("value")?, member(name), member(&format!("_{name}"))))
}

// ---------------------------------------------------------------------- applying

pub(super) fn apply(operations: &Operations, mut resource: Value, limits: &Limits) -> Result<Value> {
    for (n, operation) in operations.0.iter().enumerate() {
        let run = Run { definitions: r4(), n, limits };
        run.one(operation, &mut resource).map_err(|mut error| {
            for issue in &mut error.issues {
                issue.expression.get_or_insert_with(|| place(n));
            }
            error
        })?;
    }
    Ok(resource)
}

struct Run<'l> {
    definitions: &'static Definitions,
    n: usize,
    limits: &'l Limits,
}

/// A place that is to be changed: the way to its parent, the element there, and its number in a list.
struct Target {
    parent: Vec<Step>,
    element: &'static ElementDef,
    key: &'static str,
    index: Option<usize>,
}

impl Run<'_> {
    fn rule(&self, text: impl Into<String>) -> Error {
        Error::at(Kind::BusinessRule, place(self.n), text)
    }

    fn one(&self, operation: &Operation, resource: &mut Value) -> Result<()> {
        match &operation.change {
            Change::Add { name, value } => self.add(&operation.path, name, value, resource),
            Change::Insert { index, value } => {
                let (parent, def, name) = self.list(locate(self.definitions, resource, &operation.path)?)?;
                let (element, key, content) = self.content(def, &name, value, depth_of(&parent))?;
                let list = self.list_key(element, key)?;
                let holder = self.holder(resource, &parent)?;
                let mut items = read(holder, list);
                if *index > items.len() {
                    return Err(self.rule("the index is beyond the end of the list"));
                }
                items.insert(*index, content);
                write(holder, list, items);
                Ok(())
            }
            Change::Move { source, destination } => {
                let (parent, def, name) = self.list(locate(self.definitions, resource, &operation.path)?)?;
                let element = def.element_named(&name).ok_or_else(|| self.rule("the path is no list"))?;
                let list = self.list_key(element, element.types.first().map_or("", |ty| ty.json_name))?;
                let holder = self.holder(resource, &parent)?;
                let mut items = read(holder, list);
                if *source >= items.len() || *destination >= items.len() {
                    return Err(self.rule("source and destination must be places of the list"));
                }
                let item = items.remove(*source);
                items.insert(*destination, item);
                write(holder, list, items);
                Ok(())
            }
            Change::Delete => {
                let located = locate(self.definitions, resource, &operation.path)?;
                // What is not there is deleted already.
                let Some(target) = self.target(&located)? else { return Ok(()) };
                let holder = self.holder(resource, &target.parent)?;
                match target.index {
                    Some(index) => {
                        let mut items = read(holder, target.key);
                        if index < items.len() {
                            items.remove(index);
                        }
                        write(holder, target.key, items);
                    }
                    None => take(holder, target.key),
                }
                Ok(())
            }
            Change::Replace { value } => {
                let located = locate(self.definitions, resource, &operation.path)?;
                let target = self.target(&located)?.ok_or_else(|| self.rule("the path gives no element"))?;
                let (key, content) = self.converted(target.element, value, depth_of(&target.parent))?;
                let holder = self.holder(resource, &target.parent)?;
                match target.index {
                    Some(index) => {
                        let mut items = read(holder, target.key);
                        if let Some(item) = items.get_mut(index) {
                            *item = content;
                        }
                        write(holder, target.key, items);
                    }
                    None if key == target.key => put(holder, key, content),
                    // A choice that becomes one of another type.
                    None => {
                        take(holder, target.key);
                        put(holder, key, content);
                    }
                }
                Ok(())
            }
        }
    }

    fn add(&self, path: &str, name: &str, value: &Part, resource: &mut Value) -> Result<()> {
        let located = locate(self.definitions, resource, path)?;
        let [node] = located.nodes.as_slice() else {
            let many = if located.nodes.is_empty() { "no element" } else { "several elements" };
            return Err(self.rule(format!("the path gives {many}")));
        };
        let parent = node.steps();
        let (element, key, content) = self.content(node.def, name, value, depth_of(&parent))?;
        let holder = self.holder(resource, &parent)?;
        if element.max.is_list() {
            let mut items = read(holder, key);
            items.push(content);
            write(holder, key, items);
            return Ok(());
        }
        if element.types.iter().any(|ty| is_there(holder, ty.json_name)) {
            return Err(self.rule("the element is there already, and there can be only one: replace it"));
        }
        put(holder, key, content);
        Ok(())
    }

    /// The parent, its type and the name of a list that a path names.
    fn list(&self, located: Located<'_>) -> Result<(Vec<Step>, &'static TypeDef, String)> {
        let Some((parents, name)) = located.list else {
            return Err(self.rule("the path of insert and move ends in the name of a list"));
        };
        let [parent] = parents.as_slice() else {
            return Err(self.rule("the path must be that of one list"));
        };
        Ok((parent.steps(), parent.def, name))
    }

    fn list_key(&self, element: &ElementDef, key: &'static str) -> Result<&'static str> {
        if element.max.is_list() { Ok(key) } else { Err(self.rule("the element is no list")) }
    }

    /// The one element of a path; several are an error.
    fn target(&self, located: &Located<'_>) -> Result<Option<Target>> {
        let node = match located.nodes.as_slice() {
            [] => return Ok(None),
            [node] => node,
            _ => return Err(self.rule("the path gives several elements")),
        };
        let mut parent = node.steps();
        let Some(step) = parent.pop() else {
            return Err(self.rule("the path is the resource itself: a patch changes its elements"));
        };
        Ok(Some(Target { parent, element: step.element, key: step.key, index: step.index }))
    }

    /// The element `name` of `def`, and a part as a value of it.
    fn content(
        &self,
        def: &'static TypeDef,
        name: &str,
        part: &Part,
        deep: usize,
    ) -> Result<(&'static ElementDef, &'static str, Content)> {
        let name = name.strip_suffix("[x]").unwrap_or(name);
        let element = def.element_named(name).ok_or_else(|| self.rule(format!("{} has no such element", def.name)))?;
        let (key, content) = self.converted(element, part, deep)?;
        Ok((element, key, content))
    }

    /// A part as content of an element: its JSON name there and the value.
    fn converted(&self, element: &ElementDef, part: &Part, deep: usize) -> Result<(&'static str, Content)> {
        let wrong = || self.rule("the value is of another type than the element");
        let (ty, content) = if let Some(resource) = part.get("resource") {
            let ty = element.types.iter().find(|ty| self.def(ty).kind == TypeKind::Resource).ok_or_else(wrong)?;
            (ty, Content { value: resource.clone(), extra: Value::Null })
        } else if let Some(parts) = part.get("part").and_then(Value::as_array) {
            let [ty] = element.types else { return Err(wrong()) };
            (ty, Content { value: self.built(ty, parts, deep + 1)?, extra: Value::Null })
        } else {
            let (type_name, value, extra) = value_of(part).ok_or_else(|| self.rule("the part value has no value"))?;
            let ty = element.types.iter().find(|ty| self.takes(element, ty, type_name, value)).ok_or_else(wrong)?;
            (ty, Content { value: value.clone(), extra: extra.clone() })
        };
        if deep + 2 + depth(&content.value).max(depth(&content.extra)) > self.limits.depth {
            return Err(too_deep(self.n, self.limits));
        }
        Ok((ty.json_name, content))
    }

    fn def(&self, ty: &ElementType) -> &'static TypeDef {
        self.definitions.type_at(ty.def)
    }

    /// Whether an element takes a value that stands under `value<type_name>`. A choice takes what it names. Elsewhere the
    /// text of one primitive may stand for another (`valueString` for a code): whether it is one says validation.
    fn takes(&self, element: &ElementDef, ty: &ElementType, type_name: &str, value: &Value) -> bool {
        let same = capital(ty.code) == type_name;
        if element.choice {
            return same;
        }
        let def = self.def(ty);
        let is_quantity = |name: &str| self.definitions.is_a(name, "Quantity");
        match def.kind {
            TypeKind::Primitive => !value.is_object() && !value.is_array(),
            TypeKind::Complex => same || (is_quantity(ty.code) && is_quantity(type_name)),
            TypeKind::Backbone | TypeKind::Resource => false,
        }
    }

    /// An element without a type of its own, made from its parts.
    fn built(&self, ty: &ElementType, parts: &[Value], deep: usize) -> Result<Value> {
        let def = self.def(ty);
        if !matches!(def.kind, TypeKind::Backbone | TypeKind::Complex) {
            return Err(self.rule("the value is of another type than the element"));
        }
        if deep > self.limits.depth {
            return Err(too_deep(self.n, self.limits));
        }
        let mut members = Map::new();
        for part in parts {
            let name = part.get("name").and_then(Value::as_str).unwrap_or_default();
            let (element, key, content) = self.content(def, name, part, deep)?;
            if element.max.is_list() {
                let mut items = read(&mut members, key);
                items.push(content);
                write(&mut members, key, items);
            } else if is_there(&members, key) {
                return Err(self.rule("a single element of the value stands twice"));
            } else {
                put(&mut members, key, content);
            }
        }
        Ok(Value::Object(members))
    }

    /// The object that the members of an element stand in, which for a primitive is that under `_name`, made when needed.
    fn holder<'v>(&self, resource: &'v mut Value, steps: &[Step]) -> Result<&'v mut Map<String, Value>> {
        let lost = || Error::internal("a place that was found is not there");
        let mut members = resource.as_object_mut().ok_or_else(lost)?;
        for step in steps {
            let key = if step.is_primitive { format!("_{}", step.key) } else { step.key.to_owned() };
            let member = members.entry(key).or_insert(Value::Null);
            let mut place = member;
            if let Some(index) = step.index {
                if place.is_null() {
                    *place = Value::Array(Vec::new());
                }
                let items = place.as_array_mut().ok_or_else(lost)?;
                if items.len() <= index {
                    items.resize(index + 1, Value::Null);
                }
                place = items.get_mut(index).ok_or_else(lost)?;
            }
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            members = place.as_object_mut().ok_or_else(lost)?;
        }
        Ok(members)
    }
}

/// Objects and arrays on the way to the members of an element.
fn depth_of(steps: &[Step]) -> usize {
    steps.iter().map(|step| 1 + usize::from(step.index.is_some())).sum::<usize>() + 1
}

fn capital(code: &str) -> String {
    let mut characters = code.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

fn is_there(holder: &Map<String, Value>, key: &str) -> bool {
    holder.contains_key(key) || holder.contains_key(&format!("_{key}"))
}

/// Takes the items of a list out, values and extras side by side; [`write`] puts them where they were.
fn read(holder: &mut Map<String, Value>, key: &str) -> Vec<Content> {
    let mut list = |name: &str| match holder.get_mut(name).map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let (values, extras) = (list(key), list(&format!("_{key}")));
    let count = values.len().max(extras.len());
    let (mut values, mut extras) = (values.into_iter(), extras.into_iter());
    (0..count)
        .map(|_| Content { value: values.next().unwrap_or_default(), extra: extras.next().unwrap_or_default() })
        .collect()
}

fn write(holder: &mut Map<String, Value>, key: &str, items: Vec<Content>) {
    let (values, extras): (Vec<Value>, Vec<Value>) = items.into_iter().map(|item| (item.value, item.extra)).unzip();
    for (name, list) in [(key.to_owned(), values), (format!("_{key}"), extras)] {
        if list.iter().all(Value::is_null) {
            holder.shift_remove(&name);
        } else {
            holder.insert(name, Value::Array(list));
        }
    }
}

fn put(holder: &mut Map<String, Value>, key: &str, content: Content) {
    for (name, value) in [(key.to_owned(), content.value), (format!("_{key}"), content.extra)] {
        if value.is_null() {
            holder.shift_remove(&name);
        } else {
            holder.insert(name, value);
        }
    }
}

fn take(holder: &mut Map<String, Value>, key: &str) {
    holder.shift_remove(key);
    holder.shift_remove(&format!("_{key}"));
}
