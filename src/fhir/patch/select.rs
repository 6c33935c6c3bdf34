//! The XPath of XML Patch (RFC 5261, 4.1): steps from the document down, with predicates.
//!
//! `f:Patient/f:contact[2]/f:name[@id='a']`, `f:identifier[f:system/@value='x']/f:value/@value`, `text()`, `*`. Names
//! without a prefix are those of the default namespace; `f`, `fhir` and `h`, `xhtml` need no declaration.

use super::tree::{Element, Node, Scope, meaning};
use crate::error::{Error, Kind, Result};
use crate::fhir::format::{FHIR, XHTML, token};
use std::sync::Arc;

const MAX_TEXT: usize = 4_096;
/// Predicates inside each other.
const MAX_DEPTH: usize = 4;
/// Nodes that one selector may look at.
const MOST: usize = 1_000_000;

pub(super) type Selector = Vec<Step>;

#[derive(Clone, Debug)]
pub(super) struct Step {
    what: What,
    predicates: Vec<Predicate>,
}

#[derive(Clone, Debug)]
enum What {
    Element { namespace: Arc<str>, name: String },
    AnyElement,
    Attribute(String),
    Text,
    This,
}

#[derive(Clone, Debug)]
enum Predicate {
    Nth(usize),
    Exists(Selector),
    Equals(Selector, String),
}

/// What a selector picks: the way to an element by its children, and what of it.
#[derive(Clone, Debug)]
pub(super) struct Picked {
    pub place: Vec<usize>,
    pub part: Part,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Element,
    Attribute(String),
    /// A text among its children.
    Text(usize),
}

// ---------------------------------------------------------------------- reading

pub(super) fn parse(text: &str, scope: &Scope) -> Result<Selector> {
    let text = text.trim();
    if text.len() > MAX_TEXT {
        return Err(refused("the selector is longer than 4 kB"));
    }
    steps(text.strip_prefix('/').unwrap_or(text), scope, 0)
}

fn refused(text: &str) -> Error {
    Error::new(Kind::NotSupported, format!("XPath: {text}"))
}

fn steps(text: &str, scope: &Scope, depth: usize) -> Result<Selector> {
    if depth > MAX_DEPTH {
        return Err(refused("nested too deeply"));
    }
    split(text, '/').into_iter().map(|part| step(part.trim(), scope, depth)).collect()
}

/// Splits outside of quotes and brackets.
fn split(text: &str, at: char) -> Vec<&str> {
    let (mut parts, mut start, mut brackets, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (place, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => brackets += 1,
            (None, ']') => brackets = brackets.saturating_sub(1),
            (None, _) if c == at && brackets == 0 => {
                parts.push(text.get(start..place).unwrap_or_default());
                start = place + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

fn step(text: &str, scope: &Scope, depth: usize) -> Result<Step> {
    let (head, mut rest) = text.split_at_checked(text.find('[').unwrap_or(text.len())).unwrap_or((text, ""));
    let mut predicates = Vec::new();
    while let Some(inside) = rest.trim_start().strip_prefix('[') {
        let Some(end) = closing(inside) else { return Err(refused("a bracket is not closed")) };
        let (inside, after) = inside.split_at_checked(end).unwrap_or((inside, ""));
        predicates.push(predicate(inside.trim(), scope, depth)?);
        rest = after.get(1..).unwrap_or_default();
    }
    if !rest.trim().is_empty() {
        return Err(refused("a step is a name, an attribute, text(), or *"));
    }
    let head = head.trim();
    let what = match head {
        "." => What::This,
        "*" => What::AnyElement,
        "text()" => What::Text,
        _ => match head.strip_prefix('@') {
            Some(name) if is_name(name) => What::Attribute(name.to_owned()),
            Some(_) => return Err(refused("the name of an attribute is expected")),
            None => {
                let (prefix, name) = head.split_once(':').unwrap_or(("", head));
                if !is_name(name) {
                    return Err(refused("a step is a name, an attribute, text(), or *"));
                }
                let namespace = match (meaning(scope, prefix), prefix) {
                    (Some(known), _) => known,
                    (None, "f" | "fhir") => Arc::from(FHIR),
                    (None, "h" | "xhtml") => Arc::from(XHTML),
                    (None, _) => return Err(refused("a prefix is not declared")),
                };
                What::Element { namespace, name: name.to_owned() }
            }
        },
    };
    Ok(Step { what, predicates })
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The place of the bracket that closes.
fn closing(text: &str) -> Option<usize> {
    let (mut open, mut quote) = (1_usize, None);
    for (place, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => open += 1,
            (None, ']') => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(place);
        }
    }
    None
}

fn predicate(text: &str, scope: &Scope, depth: usize) -> Result<Predicate> {
    if let Ok(n) = text.parse::<usize>() {
        return Ok(Predicate::Nth(n));
    }
    match split(text, '=').as_slice() {
        [path] => Ok(Predicate::Exists(steps(path.trim(), scope, depth + 1)?)),
        [path, literal] => {
            let literal = literal.trim();
            let inside = |quote| literal.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
            let literal = inside('\'').or_else(|| inside('"'));
            let literal = literal.ok_or_else(|| refused("a text in quotes is expected after ="))?;
            Ok(Predicate::Equals(steps(path.trim(), scope, depth + 1)?, literal.to_owned()))
        }
        _ => Err(refused("a predicate is a number, a path, or a path = 'text'")),
    }
}

// ---------------------------------------------------------------------- picking

/// The nodes of a document that a selector picks.
pub(super) fn pick(root: &Element, selector: &[Step]) -> Result<Vec<Picked>> {
    let mut left = MOST;
    let Some((first, rest)) = selector.split_first() else { return Ok(Vec::new()) };
    let is_root = match &first.what {
        What::Element { namespace, name } => root.name == *name && root.namespace == *namespace,
        What::AnyElement => true,
        _ => false,
    };
    let start = if is_root { vec![Here { element: root, place: Vec::new(), part: Part::Element }] } else { Vec::new() };
    let start = kept(start, &first.predicates, &mut left)?;
    let found = walk(start, rest, &mut left)?;
    Ok(found.into_iter().map(|here| Picked { place: here.place, part: here.part }).collect())
}

#[derive(Clone)]
struct Here<'t> {
    element: &'t Element,
    place: Vec<usize>,
    part: Part,
}

fn walk<'t>(mut here: Vec<Here<'t>>, steps: &[Step], left: &mut usize) -> Result<Vec<Here<'t>>> {
    for step in steps {
        let mut next = Vec::new();
        for one in here {
            // Predicates count among the children of one element.
            next.extend(kept(below(&one, &step.what, left)?, &step.predicates, left)?);
        }
        here = next;
    }
    Ok(here)
}

fn below<'t>(here: &Here<'t>, what: &What, left: &mut usize) -> Result<Vec<Here<'t>>> {
    if !matches!(here.part, Part::Element) {
        return Ok(Vec::new());
    }
    *left = left
        .checked_sub(here.element.children.len() + 1)
        .ok_or_else(|| Error::new(Kind::TooCostly, "XPath: too many steps"))?;
    let part = |part| Here { element: here.element, place: here.place.clone(), part };
    match what {
        What::This => return Ok(vec![here.clone()]),
        What::Attribute(name) => {
            let there = here.element.attribute(name).map(|_| part(Part::Attribute(name.clone())));
            return Ok(there.into_iter().collect());
        }
        What::Element { .. } | What::AnyElement | What::Text => {}
    }
    let mut found = Vec::new();
    for (n, child) in here.element.children.iter().enumerate() {
        match (child, what) {
            (Node::Text(_), What::Text) => found.push(part(Part::Text(n))),
            (Node::Element(element), What::Element { namespace, name })
                if element.name != *name || element.namespace != *namespace => {}
            (Node::Element(element), What::Element { .. } | What::AnyElement) => {
                let mut place = here.place.clone();
                place.push(n);
                found.push(Here { element, place, part: Part::Element });
            }
            _ => {}
        }
    }
    Ok(found)
}

fn kept<'t>(mut found: Vec<Here<'t>>, predicates: &[Predicate], left: &mut usize) -> Result<Vec<Here<'t>>> {
    for predicate in predicates {
        let mut next = Vec::new();
        for (n, here) in found.into_iter().enumerate() {
            let holds = match predicate {
                Predicate::Nth(wanted) => n + 1 == *wanted,
                Predicate::Exists(path) => !walk(vec![here.clone()], path, left)?.is_empty(),
                Predicate::Equals(path, text) => {
                    walk(vec![here.clone()], path, left)?.iter().any(|one| value(one) == *text)
                }
            };
            if holds {
                next.push(here);
            }
        }
        found = next;
    }
    Ok(found)
}

fn value(here: &Here<'_>) -> String {
    let raw = match &here.part {
        Part::Element => return here.element.text(),
        Part::Attribute(name) => here.element.attribute(name),
        Part::Text(n) => here.element.children.get(*n).and_then(|child| match child {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        }),
    };
    token::attribute(raw.unwrap_or_default()).map(std::borrow::Cow::into_owned).unwrap_or_default()
}
