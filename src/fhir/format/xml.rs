//! FHIR XML text to the JSON that says the same (<https://hl7.org/fhir/R4/xml.html>), led by the definitions.
//!
//! Elements stand in the order of the specification, and so do the members that they become. Decimals keep their digits, a
//! narrative its text. Everything that has no place in JSON is refused, but for comments, white space between elements,
//! and the address of a schema. What is wrong with elements and attributes is told all at once, each with its place; what
//! is no XML ends the reading.

use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::definitions::{Definitions, ElementDef, ResourceType, TypeDef, TypeKind, r4};
use crate::fhir::format::token::{self, Fault, Step, Tag, Token, Tokens, is_space};
use crate::fhir::format::{FHIR, Limits, XHTML, json, position, xhtml};
use crate::fhir::resource::Place;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Further problems are not listed.
const MAX_ISSUES: usize = 100;
/// Namespaces that may be declared at one place.
const MAX_NAMESPACES: usize = 64;
/// Where schemas are: the one thing of others that FHIR XML may carry, and that means nothing.
const SCHEMA: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The JSON value of an XML text. Kinds: `Structure` and `Value` for what is not FHIR XML, `TooCostly` for a limit.
pub fn parse_xml(bytes: &[u8], limits: &Limits) -> Result<Value> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let refused = |text: &str, at: usize| {
        let (line, column) = position(bytes, at);
        Error::new(Kind::Structure, format!("{text} (line {line}, column {column})"))
    };
    let text = std::str::from_utf8(bytes).map_err(|e| refused("not UTF-8", e.valid_up_to()))?;
    if let Some(at) = token::not_xml(text) {
        return Err(refused("a character that XML does not have", at));
    }
    let definitions = r4();
    let tokens = Tokens::new(text);
    let mut reader =
        Reader { definitions, text, tokens, scope: Vec::new(), issues: Vec::new(), values: 0, limits, path: None };
    match reader.document() {
        Ok(value) if reader.issues.is_empty() => Ok(value),
        Ok(_) => Err(Error::all(reader.issues)),
        Err(fault) => {
            let mut issue = Issue::new(fault.kind, reader.told(&fault.text, reader.tokens.at));
            issue.expression = reader.path.filter(|path| !path.is_empty());
            reader.issues.push(issue);
            Err(Error::all(reader.issues))
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Fhir,
    Xhtml,
    Other,
}

struct Reader<'a> {
    definitions: &'static Definitions,
    text: &'a str,
    tokens: Tokens<'a>,
    /// Prefixes in force and what they mean, the innermost last.
    scope: Vec<(&'a str, Cow<'a, str>)>,
    issues: Vec<Issue>,
    values: usize,
    limits: &'a Limits,
    /// Where the reading ended.
    path: Option<String>,
}

/// The attributes of an element that mean something.
#[derive(Default)]
struct Attributes {
    id: Option<String>,
    url: Option<String>,
    value: Option<String>,
}

/// The values of one element, gathered while its repetitions come.
struct Slot {
    index: usize,
    json_name: &'static str,
    list: bool,
    values: Vec<Value>,
    siblings: Vec<Value>,
}

impl Slot {
    fn keep(self, members: &mut Map<String, Value>) {
        let mut put = |name: String, mut values: Vec<Value>| {
            if self.list && values.iter().any(|value| !value.is_null()) {
                members.insert(name, Value::Array(values));
            } else if let Some(value) = values.pop().filter(|value| !self.list && !value.is_null()) {
                members.insert(name, value);
            }
        };
        put(self.json_name.to_owned(), self.values);
        put(format!("_{}", self.json_name), self.siblings);
    }
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Step<Value> {
        let place = Place::Root("");
        self.tokens.declaration()?;
        let tag = loop {
            match self.next(&place)? {
                Token::Text(text) if is_space(text) => {}
                Token::Open(tag) => break tag,
                _ => return self.fatal(Kind::Structure, &place, "an XML element is expected"),
            }
        };
        let value = self.resource(&tag, None, 1)?;
        loop {
            match self.next(&place)? {
                Token::Text(text) if is_space(text) => {}
                Token::End => return Ok(value),
                _ => return self.fatal(Kind::Structure, &place, "data after the end of the resource"),
            }
        }
    }

    /// A resource: the whole text, or what an element of another holds.
    fn resource(&mut self, tag: &Tag<'a>, parent: Option<&Place>, depth: usize) -> Step<Value> {
        let mark = self.scope.len();
        let unknown = Place::Root("");
        let (namespace, name) = self.enter(tag, parent.unwrap_or(&unknown))?;
        if namespace != Namespace::Fhir {
            let text = format!("a resource must be in the namespace {FHIR}");
            return self.fatal(Kind::Structure, parent.unwrap_or(&unknown), &text);
        }
        let Some(t) = ResourceType::parse(name) else {
            return self.fatal(
                Kind::Structure,
                parent.unwrap_or(&unknown),
                "the name is that of no resource type of FHIR R4",
            );
        };
        let root = Place::Root(t.name());
        let place = parent.unwrap_or(&root);
        self.deep(depth, place)?;
        let def = self.definitions.resource(t);
        self.attributes(def, tag, place)?;
        let mut members = Map::new();
        members.insert("resourceType".to_owned(), Value::String(t.name().to_owned()));
        self.children(def, place, depth, &mut members)?;
        self.scope.truncate(mark);
        Ok(Value::Object(members))
    }

    /// An element with elements of its own.
    fn object(&mut self, def: &TypeDef, tag: &Tag<'a>, place: &Place, depth: usize) -> Step<Value> {
        self.deep(depth, place)?;
        let attributes = self.attributes(def, tag, place)?;
        let mut members = Map::new();
        if let Some(id) = attributes.id {
            members.insert("id".to_owned(), Value::String(id));
        }
        self.children(def, place, depth, &mut members)?;
        if let Some(url) = attributes.url {
            let before = members.keys().take_while(|name| matches!(name.as_str(), "id" | "extension")).count();
            members.shift_insert(before, "url".to_owned(), Value::String(url));
        }
        Ok(Value::Object(members))
    }

    /// The elements inside one, up to its end tag.
    fn children(&mut self, def: &TypeDef, place: &Place, depth: usize, members: &mut Map<String, Value>) -> Step<()> {
        let mut slot: Option<Slot> = None;
        loop {
            match self.next(place)? {
                Token::Open(tag) => {
                    let mark = self.scope.len();
                    self.child(def, &tag, place, depth, &mut slot, members)?;
                    self.scope.truncate(mark);
                }
                Token::Text(text) if is_space(text) => {}
                Token::Text(text) => {
                    self.issue(Kind::Structure, place, "must hold no text", self.tokens.at - text.len())
                }
                Token::Close | Token::End => break,
            }
        }
        if let Some(slot) = slot {
            slot.keep(members);
        }
        Ok(())
    }

    /// One element: it goes into the slot of its name, the one before into the members.
    fn child(
        &mut self,
        def: &TypeDef,
        tag: &Tag<'a>,
        place: &Place,
        depth: usize,
        slot: &mut Option<Slot>,
        members: &mut Map<String, Value>,
    ) -> Step<()> {
        let (namespace, name) = self.enter(tag, place)?;
        let Some((index, element, element_type)) = def.place(name) else {
            let text = format!("is not an element of {}", def.name);
            return self.skip(tag, &Place::Member(place, name), &text);
        };
        let inner = self.definitions.type_at(element_type.def);
        let member = Place::Member(place, element.name);
        let wanted = if inner.name == "xhtml" { (Namespace::Xhtml, XHTML) } else { (Namespace::Fhir, FHIR) };
        if namespace != wanted.0 {
            return self.skip(tag, &member, &format!("must be in the namespace {}", wanted.1));
        }
        if def.is_attribute(element) {
            return self.skip(tag, &member, "is an attribute in XML");
        }
        if let Some(rule) = misplaced(def, slot.as_ref(), index, element, element_type.json_name) {
            return self.skip(tag, &member, &rule);
        }
        let list = element.max.is_list();
        if slot.as_ref().is_none_or(|open| open.index != index) {
            let json_name = element_type.json_name;
            let next = Slot { index, json_name, list, values: Vec::new(), siblings: Vec::new() };
            if let Some(full) = slot.replace(next) {
                full.keep(members);
            }
        }
        let Some(open) = slot else { return Ok(()) };
        let item = Place::Item(&member, open.values.len());
        let (value, sibling) =
            self.value(inner, tag, if list { &item } else { &member }, depth + usize::from(list) + 1)?;
        open.values.push(value.unwrap_or_default());
        open.siblings.push(sibling.unwrap_or_default());
        Ok(())
    }

    /// The value of an element, and its `_` sibling. `depth` is that of an object at its place in JSON.
    fn value(
        &mut self,
        def: &TypeDef,
        tag: &Tag<'a>,
        place: &Place,
        depth: usize,
    ) -> Step<(Option<Value>, Option<Value>)> {
        self.values += 1;
        if self.values > self.limits.values {
            let text = format!("more than {} values in one XML text", self.limits.values);
            return self.fatal(Kind::TooCostly, place, &text);
        }
        self.deep(depth - 1, place)?;
        match def.kind {
            TypeKind::Primitive if def.name == "xhtml" => Ok((Some(self.narrative(tag, place)?), None)),
            TypeKind::Primitive => self.primitive(def, tag, place, depth),
            TypeKind::Resource => Ok((self.nested(def, tag, place, depth)?, None)),
            TypeKind::Complex | TypeKind::Backbone => Ok((Some(self.object(def, tag, place, depth)?), None)),
        }
    }

    fn primitive(
        &mut self,
        def: &TypeDef,
        tag: &Tag<'a>,
        place: &Place,
        depth: usize,
    ) -> Step<(Option<Value>, Option<Value>)> {
        let attributes = self.attributes(def, tag, place)?;
        let mut sibling = Map::new();
        if let Some(id) = attributes.id {
            sibling.insert("id".to_owned(), Value::String(id));
        }
        self.children(def, place, depth, &mut sibling)?;
        if !sibling.is_empty() {
            self.deep(depth, place)?;
        }
        let value = attributes.value.map(|text| self.converted(def.name, text, tag, place));
        if value.is_none() && !sibling.contains_key("extension") {
            self.issue(Kind::Structure, place, "must have a value or extensions", tag.start);
        }
        Ok((value, (!sibling.is_empty()).then_some(Value::Object(sibling))))
    }

    /// The text of a value as JSON writes it. Its format is judged with everything else of the resource.
    fn converted(&mut self, type_name: &str, text: String, tag: &Tag<'a>, place: &Place) -> Value {
        let (kind, rule) = match (type_name, text.as_str()) {
            ("boolean", "true") => return Value::Bool(true),
            ("boolean", "false") => return Value::Bool(false),
            ("boolean", _) => (Kind::Structure, "must be true or false".to_owned()),
            ("decimal" | "integer" | "unsignedInt" | "positiveInt", _) => match json::number(&text, self.limits) {
                Ok(number) => return Value::Number(number),
                Err(told) => told,
            },
            _ => return Value::String(text),
        };
        self.issue(kind, place, &rule, tag.start);
        Value::Null
    }

    /// The div of a narrative, as it stands.
    fn narrative(&mut self, tag: &Tag<'a>, place: &Place) -> Step<Value> {
        let div = match self.tokens.rest_of(tag) {
            Ok(div) => div,
            Err(fault) => return self.fatal(fault.kind, place, &fault.text),
        };
        if let Err(rule) = xhtml::check(div) {
            self.issue(Kind::Value, place, rule, tag.start);
        }
        Ok(Value::String(div.to_owned()))
    }

    /// An element that holds a resource.
    fn nested(&mut self, def: &TypeDef, tag: &Tag<'a>, place: &Place, depth: usize) -> Step<Option<Value>> {
        self.attributes(def, tag, place)?;
        let mut resource = None;
        loop {
            match self.next(place)? {
                Token::Open(inner) if resource.is_none() => {
                    resource = Some(self.resource(&inner, Some(place), depth)?)
                }
                Token::Open(inner) => self.skip(&inner, place, "must hold one resource only")?,
                Token::Text(text) if is_space(text) => {}
                Token::Text(_) => self.issue(Kind::Structure, place, "must hold no text", tag.start),
                Token::Close | Token::End => break,
            }
        }
        if resource.is_none() {
            self.issue(Kind::Structure, place, "must hold a resource", tag.start);
        }
        Ok(resource)
    }

    /// Takes the namespaces that an element declares; its own namespace and its name without prefix.
    fn enter(&mut self, tag: &Tag<'a>, place: &Place) -> Step<(Namespace, &'a str)> {
        for (name, raw) in &tag.attributes {
            let prefix = match name.split_once(':') {
                None if *name == "xmlns" => "",
                Some(("xmlns", prefix)) => prefix,
                _ => continue,
            };
            let namespace = self.decoded(raw, place)?;
            if prefix.starts_with("xml") || (namespace.is_empty() && !prefix.is_empty()) {
                return self.fatal(Kind::Structure, place, "a namespace is declared that cannot be");
            }
            if self.scope.len() >= MAX_NAMESPACES {
                let text = format!("more than {MAX_NAMESPACES} namespaces");
                return self.fatal(Kind::TooCostly, place, &text);
            }
            self.scope.push((prefix, namespace));
        }
        let (prefix, name) = tag.name.split_once(':').unwrap_or(("", tag.name));
        match self.meant(prefix) {
            Some(FHIR) => Ok((Namespace::Fhir, name)),
            Some(XHTML) => Ok((Namespace::Xhtml, name)),
            None if !prefix.is_empty() => self.fatal(Kind::Structure, place, "the prefix of a name is not declared"),
            _ => Ok((Namespace::Other, name)),
        }
    }

    fn meant(&self, prefix: &str) -> Option<&str> {
        self.scope.iter().rev().find(|(known, _)| *known == prefix).map(|(_, namespace)| namespace.as_ref())
    }

    fn attributes(&mut self, def: &TypeDef, tag: &Tag<'a>, place: &Place) -> Step<Attributes> {
        let mut found = Attributes::default();
        for (name, raw) in &tag.attributes {
            let place_of = match *name {
                "id" if def.kind != TypeKind::Resource => &mut found.id,
                "url" if def.name == "Extension" => &mut found.url,
                "value" if def.kind == TypeKind::Primitive => &mut found.value,
                _ => {
                    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
                    let schema = matches!(local, "schemaLocation" | "noNamespaceSchemaLocation")
                        && !prefix.is_empty()
                        && self.meant(prefix) == Some(SCHEMA);
                    if !schema && *name != "xmlns" && prefix != "xmlns" {
                        let text = format!("is not an attribute of {}", def.name);
                        self.issue(Kind::Structure, &Place::Member(place, name), &text, tag.start);
                    }
                    continue;
                }
            };
            *place_of = Some(self.decoded(raw, place)?.into_owned());
        }
        Ok(found)
    }

    fn decoded(&mut self, raw: &'a str, place: &Place) -> Step<Cow<'a, str>> {
        token::attribute(raw).or_else(|fault| self.fatal(fault.kind, place, &fault.text))
    }

    /// Steps over an element that is not read, and says why.
    fn skip(&mut self, tag: &Tag<'a>, place: &Place, rule: &str) -> Step<()> {
        self.issue(Kind::Structure, place, rule, tag.start);
        match self.tokens.rest_of(tag) {
            Ok(_) => Ok(()),
            Err(fault) => self.fatal(fault.kind, place, &fault.text),
        }
    }

    fn deep(&mut self, depth: usize, place: &Place) -> Step<()> {
        if depth <= self.limits.depth {
            return Ok(());
        }
        let text = format!("more than {} levels of depth (limits.depth)", self.limits.depth);
        self.fatal(Kind::TooCostly, place, &text)
    }

    fn next(&mut self, place: &Place) -> Step<Token<'a>> {
        self.tokens.next().or_else(|fault| self.fatal(fault.kind, place, &fault.text))
    }

    /// Ends the reading.
    fn fatal<T>(&mut self, kind: Kind, place: &Place, text: &str) -> Step<T> {
        self.path.get_or_insert_with(|| place.to_string());
        Err(Fault { kind, text: text.to_owned() })
    }

    fn issue(&mut self, kind: Kind, place: &Place, text: &str, at: usize) {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(Issue::at(kind, place.to_string(), self.told(text, at)));
        }
    }

    fn told(&self, text: &str, at: usize) -> String {
        let (line, column) = position(self.text.as_bytes(), at);
        format!("{text} (line {line}, column {column})")
    }
}

/// Why an element must not follow what came before it.
fn misplaced(
    def: &TypeDef,
    slot: Option<&Slot>,
    index: usize,
    element: &ElementDef,
    json_name: &str,
) -> Option<String> {
    let open = slot.filter(|open| open.index >= index)?;
    if open.index > index {
        let before = def.elements.get(open.index).map_or("others", |element| element.name);
        return Some(format!("must stand before {before}: XML has the order of the specification"));
    }
    if open.json_name != json_name {
        return Some("must have one type only".to_owned());
    }
    (!element.max.is_list()).then(|| "must not stand twice: it has at most one value".to_owned())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
