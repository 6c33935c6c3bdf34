//! Where a FHIRPath points inside a resource: places that can be changed, each with its definition.
//!
//! The evaluator of search parameters gives values and is compiled; this one walks the same grammar over places, primitives
//! without a value and their extensions included. Beside what that grammar has it knows `last()`, `single()`, `count()`,
//! `startsWith()`, `endsWith()`, `contains()`; what it does not know it refuses by name.

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{Definitions, ElementDef, ElementType, TypeDef, TypeKind};
use crate::fhir::path::parse::{Ast, Literal, parse, refused};
use serde_json::{Map, Value};
use std::rc::Rc;

/// Elements that one path may look at.
const MOST: usize = 1_000_000;

/// One element on the way from the resource to a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub element: &'static ElementDef,
    /// Its JSON name.
    pub key: &'static str,
    pub index: Option<usize>,
    pub is_primitive: bool,
}

/// An element that is there.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// None: the resource.
    up: Option<(Rc<Node<'a>>, Step)>,
    /// None: a primitive that has extensions only.
    value: Option<&'a Value>,
    /// What stands under `_name`: id and extensions of a primitive.
    extra: Option<&'a Value>,
    pub def: &'static TypeDef,
}

impl<'a> Node<'a> {
    /// From the resource to here.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut node = self;
        while let Some((up, step)) = &node.up {
            steps.push(*step);
            node = up;
        }
        steps.reverse();
        steps
    }

    fn members(&self) -> Option<&'a Map<String, Value>> {
        if self.def.kind == TypeKind::Primitive { self.extra } else { self.value }.and_then(Value::as_object)
    }
}

#[derive(Clone, Debug)]
enum Item<'a> {
    Node(Rc<Node<'a>>),
    Literal(Literal),
}

/// The elements that a path gives, and for a path that ends in a name where that element is or would be.
pub(super) struct Located<'a> {
    pub nodes: Vec<Rc<Node<'a>>>,
    /// The parents that the path gives without its last name, and that name.
    pub list: Option<(Vec<Rc<Node<'a>>>, String)>,
}

pub(super) fn locate<'a>(definitions: &'static Definitions, resource: &'a Value, path: &str) -> Result<Located<'a>> {
    let def = own_def(definitions, resource).ok_or_else(|| Error::internal("a resource of a known type"))?;
    let root = Rc::new(Node { up: None, value: Some(resource), extra: None, def });
    let mut walk = Walk { definitions, root: root.clone(), left: MOST };
    let ast = parse(path)?;
    let start = [Item::Node(root)];
    let list = match &ast {
        Ast::Member(source, name) => Some((nodes(walk.eval(source, &start)?)?, (*name).to_owned())),
        Ast::Name(name) if !walk.is_type(name) => Some((nodes(start.to_vec())?, (*name).to_owned())),
        _ => None,
    };
    Ok(Located { nodes: nodes(walk.eval(&ast, &start)?)?, list })
}

fn nodes(items: Vec<Item<'_>>) -> Result<Vec<Rc<Node<'_>>>> {
    let node = |item| match item {
        Item::Node(node) => Ok(node),
        Item::Literal(_) => Err(refused("the path gives a value, not an element of the resource")),
    };
    items.into_iter().map(node).collect()
}

fn own_def(definitions: &'static Definitions, resource: &Value) -> Option<&'static TypeDef> {
    let name = resource.get("resourceType")?.as_str()?;
    definitions.resource_type(name).map(|t| definitions.resource(t))
}

struct Walk<'a> {
    definitions: &'static Definitions,
    root: Rc<Node<'a>>,
    left: usize,
}

impl<'a> Walk<'a> {
    fn is_type(&self, name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_uppercase()) && self.definitions.type_def(name).is_some()
    }

    fn eval(&mut self, ast: &Ast<'_>, focus: &[Item<'a>]) -> Result<Vec<Item<'a>>> {
        Ok(match ast {
            Ast::This => focus.to_vec(),
            Ast::Resource => vec![Item::Node(self.root.clone())],
            Ast::Name(name) if self.is_type(name) => self.of_type(focus.to_vec(), name)?,
            Ast::Name(name) => self.members(focus, name)?,
            Ast::Literal(literal) => vec![Item::Literal(literal.clone())],
            Ast::Member(source, name) => {
                let source = self.eval(source, focus)?;
                self.members(&source, name)?
            }
            Ast::Index(source, n) => self.eval(source, focus)?.into_iter().nth(*n).into_iter().collect(),
            Ast::Union(arms) => {
                let mut all = Vec::new();
                for arm in arms {
                    all.extend(self.eval(arm, focus)?);
                }
                all
            }
            Ast::As(source, name) => {
                let source = self.eval(source, focus)?;
                self.of_type(source, name)?
            }
            Ast::Is(source, name) => {
                let source = self.eval(source, focus)?;
                let count = source.len();
                let same = self.of_type(source, name)?.len() == count;
                truth((count > 0).then_some(same))
            }
            Ast::Equal(left, right, unequal) => {
                let (left, right) = (self.eval(left, focus)?, self.eval(right, focus)?);
                let known = !left.is_empty() && !right.is_empty();
                let equal = left.len() == right.len() && left.iter().zip(&right).all(|(a, b)| is_equal(a, b));
                truth(known.then_some(equal != *unequal))
            }
            Ast::And(left, right) => truth(match (self.test(left, focus)?, self.test(right, focus)?) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            }),
            Ast::Or(left, right) => truth(match (self.test(left, focus)?, self.test(right, focus)?) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            }),
            Ast::Call(source, function, arguments) => {
                let source = self.eval(source, focus)?;
                self.call(source, function, arguments)?
            }
        })
    }

    /// What a condition says; a single element that is no boolean is true, as in FHIRPath.
    fn test(&mut self, ast: &Ast<'_>, focus: &[Item<'a>]) -> Result<Option<bool>> {
        let items = self.eval(ast, focus)?;
        match items.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(literal(one) != Some(Literal::Boolean(false)))),
            _ => Err(refused("a condition gives several items")),
        }
    }

    fn call(&mut self, source: Vec<Item<'a>>, function: &str, arguments: &[Ast<'_>]) -> Result<Vec<Item<'a>>> {
        let one = |items: Vec<Item<'a>>| match items.len() {
            0 | 1 => Ok(items),
            _ => Err(Error::new(Kind::BusinessRule, format!("FHIRPath: {function}() of several elements"))),
        };
        match (function, arguments) {
            ("where", [test]) => self.filtered(source, test),
            ("exists", [test]) => Ok(truth(Some(!self.filtered(source, test)?.is_empty()))),
            ("exists", []) => Ok(truth(Some(!source.is_empty()))),
            ("empty", []) => Ok(truth(Some(source.is_empty()))),
            ("count", []) => Ok(vec![Item::Literal(Literal::Integer(i64::try_from(source.len()).unwrap_or(i64::MAX)))]),
            ("first", []) => Ok(source.into_iter().take(1).collect()),
            ("last", []) => Ok(source.into_iter().last().into_iter().collect()),
            ("single", []) => one(source),
            ("not", []) => match one(source)?.first().and_then(literal) {
                Some(Literal::Boolean(value)) => Ok(truth(Some(!value))),
                _ => Ok(Vec::new()),
            },
            ("as" | "ofType", [Ast::Name(name)]) => self.of_type(source, name),
            ("as" | "ofType", [Ast::Member(system, name)]) if **system == Ast::Name("FHIR") => {
                self.of_type(source, name)
            }
            ("is", [Ast::Name(name)]) => {
                let count = source.len();
                let same = self.of_type(source, name)?.len() == count;
                Ok(truth((count > 0).then_some(same)))
            }
            ("extension", [Ast::Literal(Literal::Text(url))]) => {
                let all = self.members(&source, "extension")?;
                let is_it = |item: &Item<'a>| match item {
                    Item::Node(node) => node.members().and_then(|m| m.get("url")).is_some_and(|u| u == url.as_str()),
                    Item::Literal(_) => false,
                };
                Ok(all.into_iter().filter(is_it).collect())
            }
            ("startsWith" | "endsWith" | "contains", [Ast::Literal(Literal::Text(part))]) => {
                let text = one(source)?.first().and_then(literal);
                Ok(truth(match text {
                    Some(Literal::Text(text)) => Some(match function {
                        "startsWith" => text.starts_with(part.as_str()),
                        "endsWith" => text.ends_with(part.as_str()),
                        _ => text.contains(part.as_str()),
                    }),
                    _ => None,
                }))
            }
            _ => Err(refused(format_args!("{function}() with these arguments is not supported in a patch"))),
        }
    }

    fn filtered(&mut self, source: Vec<Item<'a>>, test: &Ast<'_>) -> Result<Vec<Item<'a>>> {
        let mut kept = Vec::new();
        for item in source {
            if self.test(test, std::slice::from_ref(&item))? == Some(true) {
                kept.push(item);
            }
        }
        Ok(kept)
    }

    fn of_type(&self, mut items: Vec<Item<'a>>, name: &str) -> Result<Vec<Item<'a>>> {
        if self.definitions.type_def(name).is_none() {
            return Err(refused(format_args!("{name} is not a type")));
        }
        items.retain(|item| match item {
            Item::Node(node) => self.definitions.is_a(node.def.name, name),
            Item::Literal(_) => false,
        });
        Ok(items)
    }

    /// The elements of this name of all items. A name that none of their types has is an error.
    fn members(&mut self, items: &[Item<'a>], name: &str) -> Result<Vec<Item<'a>>> {
        let mut found = Vec::new();
        let (mut known, mut unknown) = (false, None);
        for item in items {
            let Item::Node(node) = item else { return Err(refused("a value has no elements")) };
            let Some(element) = node.def.element_named(name) else {
                unknown = Some(node.def.name);
                continue;
            };
            known = true;
            for ty in element.types {
                self.element(node, element, ty, &mut found)?;
            }
        }
        match unknown {
            Some(type_name) if !known => Err(refused(format_args!("{type_name} has no element {name}"))),
            _ => Ok(found),
        }
    }

    fn element(
        &mut self,
        node: &Rc<Node<'a>>,
        element: &'static ElementDef,
        ty: &'static ElementType,
        found: &mut Vec<Item<'a>>,
    ) -> Result<()> {
        let Some(members) = node.members() else { return Ok(()) };
        let def = self.definitions.type_at(ty.def);
        let is_primitive = def.kind == TypeKind::Primitive;
        let value = members.get(ty.json_name);
        let extra = if is_primitive { members.get(&format!("_{}", ty.json_name)) } else { None };
        let count = if element.max.is_list() {
            let of = |list: Option<&Value>| list.and_then(Value::as_array).map_or(0, Vec::len);
            of(value).max(of(extra))
        } else {
            usize::from(value.is_some() || extra.is_some())
        };
        self.left =
            self.left.checked_sub(count + 1).ok_or_else(|| Error::new(Kind::TooCostly, "FHIRPath: too many steps"))?;
        for n in 0..count {
            let index = element.max.is_list().then_some(n);
            let at = |member: Option<&'a Value>| match index {
                Some(n) => member.and_then(|list| list.get(n)).filter(|item| !item.is_null()),
                None => member,
            };
            let value = at(value);
            let own = value.filter(|_| def.kind == TypeKind::Resource).and_then(|v| own_def(self.definitions, v));
            let step = Step { element, key: ty.json_name, index, is_primitive };
            let up = Some((node.clone(), step));
            found.push(Item::Node(Rc::new(Node { up, value, extra: at(extra), def: own.unwrap_or(def) })));
        }
        Ok(())
    }
}

fn truth<'a>(truth: Option<bool>) -> Vec<Item<'a>> {
    truth.map(|truth| Item::Literal(Literal::Boolean(truth))).into_iter().collect()
}

/// The value of an item as a literal of the grammar; decimals and complex elements have none.
fn literal(item: &Item<'_>) -> Option<Literal> {
    match item {
        Item::Literal(literal) => Some(literal.clone()),
        Item::Node(node) => match node.value? {
            Value::String(text) => Some(Literal::Text(text.clone())),
            Value::Bool(value) => Some(Literal::Boolean(*value)),
            Value::Number(number) => number.as_i64().map(Literal::Integer),
            _ => None,
        },
    }
}

fn is_equal(a: &Item<'_>, b: &Item<'_>) -> bool {
    match (a, b) {
        (Item::Node(a), Item::Node(b)) => a.value.is_some() && a.value == b.value,
        _ => matches!((literal(a), literal(b)), (Some(a), Some(b)) if a == b),
    }
}
