//! An XML text as a tree that can be changed: elements by namespace and name, attributes and texts as they are written.
//!
//! Comments are not in it. A narrative that nobody touches stays as it was to the byte.

use crate::error::{Error, Kind, Result};
use crate::fhir::format::token::{self, Fault, Step, Tag, Token, Tokens};
use crate::fhir::format::{FHIR, XHTML};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Element(Element),
    /// As it stands, entities and all.
    Text(String),
}

#[derive(Clone, Debug)]
pub(super) struct Element {
    pub namespace: Arc<str>,
    pub name: String,
    /// Names with their prefix; values as they stand. Declarations of prefixes are among them, of the default not.
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Node>,
    /// The text of an untouched narrative.
    raw: Option<String>,
    /// What prefixes mean here; the empty one is the default.
    pub scope: Scope,
}

/// Prefixes and what they mean, the innermost last.
pub(super) type Scope = Arc<Vec<(String, Arc<str>)>>;

/// Reads a text; names without a prefix and a declaration are FHIR's.
pub(super) fn read(text: &str) -> Result<Element> {
    let refused = |fault: Fault| Error::new(fault.kind, format!("XML: {}", fault.text));
    if token::not_xml(text).is_some() {
        return Err(Error::new(Kind::Structure, "XML: a character that XML does not have"));
    }
    let mut tokens = Tokens::new(text);
    document(&mut tokens, text).map_err(refused)
}

fn document(tokens: &mut Tokens<'_>, text: &str) -> Step<Element> {
    tokens.declaration()?;
    let root = loop {
        match tokens.next()? {
            Token::Text(text) if token::is_space(text) => {}
            Token::Open(tag) => {
                break element(tokens, text, &tag, &Arc::new(vec![(String::new(), Arc::from(FHIR))]), FHIR)?;
            }
            _ => return token::fault("an element is expected"),
        }
    };
    loop {
        match tokens.next()? {
            Token::Text(text) if token::is_space(text) => {}
            Token::End => return Ok(root),
            _ => return token::fault("data after the end of the document"),
        }
    }
}

/// Recursion is as deep as the tokens let elements be.
fn element(tokens: &mut Tokens<'_>, text: &str, tag: &Tag<'_>, outer: &Scope, parent: &str) -> Step<Element> {
    let mut scope = outer.clone();
    let mut attributes = Vec::new();
    for (name, value) in &tag.attributes {
        if *name == "xmlns" {
            Arc::make_mut(&mut scope).push((String::new(), Arc::from(&*token::attribute(value)?)));
            continue;
        }
        if let Some(prefix) = name.strip_prefix("xmlns:") {
            Arc::make_mut(&mut scope).push((prefix.to_owned(), Arc::from(&*token::attribute(value)?)));
        }
        attributes.push(((*name).to_owned(), (*value).to_owned()));
    }
    let (prefix, name) = tag.name.split_once(':').unwrap_or(("", tag.name));
    let Some(namespace) = meaning(&scope, prefix) else { return token::fault("a prefix is not declared") };
    let mut made =
        Element { namespace, name: name.to_owned(), attributes, children: Vec::new(), raw: None, scope: outer.clone() };
    loop {
        match tokens.next()? {
            Token::Open(tag) => {
                let child = element(tokens, text, &tag, &scope, &made.namespace)?;
                made.children.push(Node::Element(child));
            }
            Token::Text(text) => made.children.push(Node::Text(text.to_owned())),
            Token::Close => break,
            Token::End => return token::fault("the XML text ends too early"),
        }
    }
    // One that needs no declaration from around it can stand anywhere.
    let alone = tag.attributes.iter().any(|(name, _)| *name == "xmlns") && prefix.is_empty();
    if &*made.namespace == XHTML && parent != XHTML && alone {
        made.raw = text.get(tag.start..tokens.at).map(str::to_owned);
    }
    made.scope = scope;
    Ok(made)
}

pub(super) fn meaning(scope: &Scope, prefix: &str) -> Option<Arc<str>> {
    scope.iter().rev().find(|(known, _)| known == prefix).map(|(_, meaning)| meaning.clone())
}

impl Element {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What stands in it and in its elements, entities resolved.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.gather(&mut out);
        out
    }

    fn gather(&self, out: &mut String) {
        for child in &self.children {
            match child {
                Node::Element(element) => element.gather(out),
                Node::Text(text) => out.push_str(&token::attribute(text).unwrap_or_default()),
            }
        }
    }

    /// The element at a place; it counts as touched, and so does all around it.
    pub fn touch(&mut self, place: &[usize]) -> Option<&mut Element> {
        self.raw = None;
        let Some((first, rest)) = place.split_first() else { return Some(self) };
        match self.children.get_mut(*first)? {
            Node::Element(element) => element.touch(rest),
            Node::Text(_) => None,
        }
    }

    /// Elements inside each other.
    pub fn depth(&self) -> usize {
        let deepest = self.children.iter().map(|child| match child {
            Node::Element(element) => element.depth(),
            Node::Text(_) => 0,
        });
        1 + deepest.max().unwrap_or(0)
    }

    /// Takes away elements of FHIR that say nothing.
    pub fn drop_empty(&mut self) {
        self.children.retain_mut(|child| match child {
            Node::Element(element) if &*element.namespace == FHIR => {
                element.drop_empty();
                !(element.attributes.is_empty() && element.children.iter().all(is_blank))
            }
            _ => true,
        });
    }

    pub fn write(&self, out: &mut String, outer: &str) {
        if let Some(raw) = &self.raw {
            out.push_str(raw);
            return;
        }
        out.push('<');
        out.push_str(&self.name);
        if &*self.namespace != outer {
            attribute(out, "xmlns", &self.namespace);
        }
        self.attributes.iter().for_each(|(name, value)| attribute(out, name, value));
        if self.children.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for child in &self.children {
            match child {
                Node::Element(element) => element.write(out, &self.namespace),
                Node::Text(text) => out.push_str(text),
            }
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

pub(super) fn is_blank(node: &Node) -> bool {
    matches!(node, Node::Text(text) if token::is_space(text))
}

fn attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    out.push_str(&value.replace('"', "&quot;"));
    out.push('"');
}
