//! XML Patch (RFC 5261) on the XML of a resource: add, replace and remove what an XPath picks.
//!
//! White space between elements means nothing in FHIR, so the attribute `ws` of a removal is not looked at. There are no
//! comments and processing instructions in a resource that is stored: what selects one is refused.

use super::select::{Part, Picked, Selector, parse as selector, pick};
use super::tree::{Element, Node, is_blank, read};
use super::{Limits, failed, too_many};
use crate::error::{Error, Kind, Result};
use crate::fhir::format::{self, parse_xml, to_xml};
use serde_json::Value;

/// Elements inside each other, of what is read again: those of a resource and of a narrative in it.
const DEEPEST: usize = 256;

#[derive(Clone, Debug)]
pub struct Operations(Vec<Operation>);

#[derive(Clone, Debug)]
struct Operation {
    selector: Selector,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Add(Position, Vec<Node>),
    /// An attribute and its value.
    AddAttribute(String, String),
    Replace(Vec<Node>),
    Remove,
}

#[derive(Clone, Copy, Debug)]
enum Position {
    Append,
    Prepend,
    Before,
    After,
}

pub(super) fn parse(document: &[u8], limits: &Limits) -> Result<Operations> {
    let text = std::str::from_utf8(document).map_err(|_| Error::new(Kind::Structure, "XML: not UTF-8"))?;
    let root = read(text)?;
    let elements = root.children.into_iter().filter_map(|child| match child {
        Node::Element(element) => Some(element),
        Node::Text(_) => None,
    });
    let all = elements.enumerate().map(|(n, element)| operation(n, element)).collect::<Result<Vec<_>>>()?;
    match all.len() {
        0 => Err(Error::new(Kind::Invalid, "an XML Patch holds add, replace or remove")),
        n if n > limits.operations => Err(too_many(limits)),
        _ => Ok(Operations(all)),
    }
}

fn operation(n: usize, element: Element) -> Result<Operation> {
    let invalid = |text: &str| failed(Kind::Invalid, n, text);
    let text = element.attribute("sel").ok_or_else(|| invalid("the attribute sel is missing"))?;
    let text = crate::fhir::format::token::attribute(text).map_err(|_| invalid("the attribute sel is no text"))?;
    let selector = selector(&text, &element.scope)?;
    let position = match element.attribute("pos") {
        None => Position::Append,
        Some("prepend") => Position::Prepend,
        Some("before") => Position::Before,
        Some("after") => Position::After,
        Some(_) => return Err(invalid("pos is one of prepend, before, after")),
    };
    let change = match (element.name.as_str(), element.attribute("type")) {
        ("add", None) => Change::Add(position, element.children),
        ("add", Some(name)) => {
            let name = match name.strip_prefix("namespace::") {
                Some(prefix) => format!("xmlns:{prefix}"),
                None => name.strip_prefix('@').unwrap_or_default().to_owned(),
            };
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
            if name.is_empty() || name == "xmlns" || !name.chars().all(good) {
                return Err(invalid("type is @ and the name of an attribute"));
            }
            Change::AddAttribute(name, plain(n, &element.children)?)
        }
        ("replace", _) => Change::Replace(element.children),
        ("remove", _) => Change::Remove,
        _ => return Err(invalid("an operation is one of add, replace, remove")),
    };
    Ok(Operation { selector, change })
}

/// Text alone.
fn plain(n: usize, content: &[Node]) -> Result<String> {
    let text = |node: &Node| match node {
        Node::Text(text) => Ok(text.clone()),
        Node::Element(_) => Err(failed(Kind::Invalid, n, "a text is expected, not elements")),
    };
    content.iter().map(text).collect()
}

/// The resource as its XML says it after the operations.
pub(super) fn apply(operations: &Operations, resource: &Value, limits: &Limits) -> Result<Value> {
    let xml = to_xml(resource.to_string().as_bytes(), false)?;
    let xml = String::from_utf8(xml).map_err(Error::internal)?;
    let mut root = read(&xml)?;
    change(operations, &mut root)?;
    root.drop_empty();
    let mut out = String::with_capacity(xml.len());
    root.write(&mut out, "");
    parse_xml(out.as_bytes(), &format::Limits { depth: limits.depth, ..format::Limits::default() })
}

/// An XML text, whatever it is of, after the operations.
pub(super) fn apply_to_text(operations: &Operations, xml: &str) -> Result<String> {
    let mut root = read(xml)?;
    change(operations, &mut root)?;
    let mut out = String::new();
    root.write(&mut out, "");
    Ok(out)
}

fn change(operations: &Operations, root: &mut Element) -> Result<()> {
    for (n, operation) in operations.0.iter().enumerate() {
        let picked = match pick(root, &operation.selector)?.as_slice() {
            [one] => one.clone(),
            [] => return Err(failed(Kind::BusinessRule, n, "there is no such place")),
            _ => return Err(failed(Kind::BusinessRule, n, "the selector picks several places")),
        };
        one(n, &operation.change, picked, root)?;
    }
    Ok(())
}

fn one(n: usize, change: &Change, picked: Picked, root: &mut Element) -> Result<()> {
    let refused = |text: &str| failed(Kind::BusinessRule, n, text);
    let lost = || Error::internal("a place that was picked is not there");
    let Picked { mut place, part } = picked;
    let deepest = place.len() + 1 + depth(change);
    if deepest > DEEPEST {
        return Err(failed(Kind::TooCostly, n, "more elements inside each other than a resource may have"));
    }
    match (change, part) {
        (Change::Add(Position::Append, content), Part::Element) => {
            root.touch(&place).ok_or_else(lost)?.children.extend(content.iter().cloned());
        }
        (Change::Add(Position::Prepend, content), Part::Element) => {
            drop(root.touch(&place).ok_or_else(lost)?.children.splice(0..0, content.iter().cloned()));
        }
        (Change::Add(position, content), Part::Element) => {
            let at = place.pop().ok_or_else(|| refused("nothing stands beside the resource"))?;
            let at = if matches!(position, Position::After) { at + 1 } else { at };
            drop(root.touch(&place).ok_or_else(lost)?.children.splice(at..at, content.iter().cloned()));
        }
        (Change::AddAttribute(name, value), Part::Element) => {
            let element = root.touch(&place).ok_or_else(lost)?;
            if element.attribute(name).is_some() {
                return Err(refused("the attribute is there already: replace it"));
            }
            element.attributes.push((name.clone(), value.clone()));
        }
        (Change::Add(..) | Change::AddAttribute(..), _) => return Err(refused("only elements are added to")),
        (Change::Replace(content), Part::Element) => {
            let mut elements = content.iter().filter(|node| !is_blank(node));
            let (Some(new @ Node::Element(_)), None) = (elements.next(), elements.next()) else {
                return Err(refused("an element is replaced by one element"));
            };
            match place.pop() {
                Some(at) => {
                    let parent = root.touch(&place).ok_or_else(lost)?;
                    *parent.children.get_mut(at).ok_or_else(lost)? = new.clone();
                }
                None => {
                    if let Node::Element(new) = new {
                        *root = new.clone();
                    }
                }
            }
        }
        (Change::Replace(content), Part::Attribute(name)) => {
            let value = plain(n, content)?;
            let element = root.touch(&place).ok_or_else(lost)?;
            element
                .attributes
                .iter_mut()
                .filter(|(known, _)| *known == name)
                .for_each(|slot| slot.1.clone_from(&value));
        }
        (Change::Replace(content), Part::Text(at)) => {
            let text = plain(n, content)?;
            *root.touch(&place).ok_or_else(lost)?.children.get_mut(at).ok_or_else(lost)? = Node::Text(text);
        }
        (Change::Remove, Part::Element) => {
            let at = place.pop().ok_or_else(|| refused("the resource itself is not removed by a patch"))?;
            drop(root.touch(&place).ok_or_else(lost)?.children.remove(at));
        }
        (Change::Remove, Part::Attribute(name)) => {
            root.touch(&place).ok_or_else(lost)?.attributes.retain(|(known, _)| *known != name);
        }
        (Change::Remove, Part::Text(at)) => drop(root.touch(&place).ok_or_else(lost)?.children.remove(at)),
    }
    Ok(())
}

fn depth(change: &Change) -> usize {
    let (Change::Add(_, content) | Change::Replace(content)) = change else { return 0 };
    let of = |node: &Node| match node {
        Node::Element(element) => element.depth(),
        Node::Text(_) => 0,
    };
    content.iter().map(of).max().unwrap_or(0)
}
