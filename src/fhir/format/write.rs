//! JSON text of a resource to the FHIR XML that says the same (<https://hl7.org/fhir/R4/xml.html>).
//!
//! The text is walked as it is: an object is the list of its members with their texts, so nothing is built but the answer.
//! What the definitions do not know, and characters that XML does not have, end it with the place: such a resource was
//! not accepted by this version, and is served as JSON only.

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{Definitions, ElementDef, ElementType, ResourceType, TypeDef, TypeKind, r4};
use crate::fhir::format::{FHIR, pretty, token, xhtml};
use crate::fhir::resource::Place;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The XML text of the JSON text of a resource; `pretty` puts each element on a line of its own.
pub fn to_xml(json: &[u8], pretty: bool) -> Result<Vec<u8>> {
    let unreadable = || Error::new(Kind::NotAcceptable, "the resource cannot be written as XML: its text is not JSON");
    let text = std::str::from_utf8(json).map_err(|_| unreadable())?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|_| unreadable())?;
    let mut writer = Writer { definitions: r4(), out: Vec::with_capacity(json.len() * 5 / 4 + 64), pretty, depth: 0 };
    writer.out.extend_from_slice(br#"<?xml version="1.0" encoding="UTF-8"?>"#);
    if !pretty {
        writer.out.push(b'\n');
    }
    writer.resource(raw, None)?;
    if pretty {
        writer.out.push(b'\n');
    }
    Ok(writer.out)
}

/// An object as its members, in the order of the text.
struct Members<'a>(Vec<(Name<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Walk)
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// One element of an object: its value, its `_` sibling, or both.
struct Part<'d, 'a> {
    index: usize,
    element: &'d ElementDef,
    element_type: &'static ElementType,
    value: Option<&'a RawValue>,
    sibling: Option<&'a RawValue>,
}

struct Writer {
    definitions: &'static Definitions,
    out: Vec<u8>,
    pretty: bool,
    depth: usize,
}

impl Writer {
    /// A resource: the whole text, or what an element holds.
    fn resource(&mut self, raw: &RawValue, parent: Option<&Place>) -> Result<()> {
        let unknown = Place::Root("");
        let members = members(raw, parent.unwrap_or(&unknown))?;
        let named = members.iter().find(|(name, _)| name.0 == "resourceType").map(|(_, raw)| string(raw));
        let Some(t) = named.flatten().and_then(|name| ResourceType::parse(&name)) else {
            return Err(cannot(parent.unwrap_or(&unknown), "is not a resource of FHIR R4"));
        };
        let def = self.definitions.resource(t);
        let root = Place::Root(t.name());
        let place = parent.unwrap_or(&root);
        let parts = parts(def, &members, place)?;
        self.line();
        self.text("<");
        self.text(def.name);
        if parent.is_none() {
            self.text(" xmlns=\"");
            self.text(FHIR);
            self.text("\"");
        }
        self.content(def, def.name, &parts, place)
    }

    /// The rest of an element after its name: attributes, elements, end tag.
    fn content(&mut self, def: &TypeDef, name: &str, parts: &[Part<'_, '_>], place: &Place) -> Result<()> {
        for part in parts.iter().filter(|part| def.is_attribute(part.element)) {
            if let Some(value) = part.value {
                self.attribute(part.element.name, value, &Place::Member(place, part.element.name))?;
            }
        }
        let mut elements = parts.iter().filter(|part| !def.is_attribute(part.element)).peekable();
        if elements.peek().is_none() {
            self.text("/>");
            return Ok(());
        }
        self.text(">");
        self.depth += 1;
        for part in elements {
            self.part(part, place)?;
        }
        self.depth -= 1;
        self.line();
        self.close(name);
        Ok(())
    }

    /// One element, once for each of its values.
    fn part<'a>(&mut self, part: &Part<'_, 'a>, place: &Place) -> Result<()> {
        let place = Place::Member(place, part.element.name);
        if !part.element.max.is_list() {
            return self.one(part, part.value, part.sibling, &place);
        }
        let values = items(part.value, &place)?;
        let siblings = items(part.sibling, &place)?;
        for n in 0..values.len().max(siblings.len()) {
            let given = |items: &[&'a RawValue]| items.get(n).copied().filter(|raw| !is_null(raw));
            let (value, sibling) = (given(&values), given(&siblings));
            self.one(part, value, sibling, &Place::Item(&place, n))?;
        }
        Ok(())
    }

    fn one(
        &mut self,
        part: &Part<'_, '_>,
        value: Option<&RawValue>,
        sibling: Option<&RawValue>,
        place: &Place,
    ) -> Result<()> {
        let def = self.definitions.type_at(part.element_type.def);
        let name = part.element_type.json_name;
        let Some(given) = value.or(sibling) else {
            return Err(cannot(place, "has no value"));
        };
        if def.name == "xhtml" {
            return self.narrative(given, place);
        }
        self.line();
        self.text("<");
        self.text(name);
        match def.kind {
            TypeKind::Primitive => {
                let members = sibling.map(|raw| members(raw, place)).transpose()?.unwrap_or_default();
                let parts = parts(def, &members, place)?;
                if let Some(value) = value {
                    self.attribute("value", value, place)?;
                }
                self.content(def, name, &parts, place)
            }
            TypeKind::Resource => {
                self.text(">");
                self.depth += 1;
                self.resource(given, Some(place))?;
                self.depth -= 1;
                self.line();
                self.close(name);
                Ok(())
            }
            TypeKind::Complex | TypeKind::Backbone => {
                let members = members(given, place)?;
                let parts = parts(def, &members, place)?;
                self.content(def, name, &parts, place)
            }
        }
    }

    fn narrative(&mut self, raw: &RawValue, place: &Place) -> Result<()> {
        let text = string(raw).ok_or_else(|| cannot(place, "is no text"))?;
        let div = xhtml::in_xml(&text).map_err(|rule| cannot(place, rule))?;
        self.line();
        self.text(&div);
        Ok(())
    }

    /// ` name="value"` of a primitive value.
    fn attribute(&mut self, name: &str, raw: &RawValue, place: &Place) -> Result<()> {
        let text = match raw.get().as_bytes().first() {
            Some(b'"') => string(raw).ok_or_else(|| cannot(place, "is no text"))?,
            Some(b'{' | b'[' | b'n') | None => return Err(cannot(place, "is no primitive value")),
            // Numbers keep their digits.
            Some(_) => Cow::Borrowed(raw.get()),
        };
        if token::not_xml(&text).is_some() {
            return Err(cannot(place, "holds a character that XML does not have"));
        }
        self.text(" ");
        self.text(name);
        self.text("=\"");
        let mut rest = text.as_ref();
        while let Some(at) = rest.find(['&', '<', '>', '"', '\t', '\n', '\r']) {
            let (before, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
            self.text(before);
            self.text(match after.as_bytes().first() {
                Some(b'&') => "&amp;",
                Some(b'<') => "&lt;",
                Some(b'>') => "&gt;",
                Some(b'"') => "&quot;",
                // Unescaped they would be read as spaces.
                Some(b'\t') => "&#9;",
                Some(b'\n') => "&#10;",
                _ => "&#13;",
            });
            rest = after.get(1..).unwrap_or_default();
        }
        self.text(rest);
        self.text("\"");
        Ok(())
    }

    fn close(&mut self, name: &str) {
        self.text("</");
        self.text(name);
        self.text(">");
    }

    fn line(&mut self) {
        if self.pretty {
            pretty::line(&mut self.out, self.depth);
        }
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

/// The members of an object as elements, in the order of the specification.
fn parts<'d, 'a>(def: &'d TypeDef, members: &[(Name<'a>, &'a RawValue)], place: &Place) -> Result<Vec<Part<'d, 'a>>> {
    let mut parts: Vec<Part<'d, 'a>> = Vec::with_capacity(members.len());
    for (name, raw) in members.iter().filter(|(_, raw)| !is_null(raw)) {
        if def.kind == TypeKind::Resource && name.0 == "resourceType" {
            continue;
        }
        let plain = name.0.strip_prefix('_');
        let Some((index, element, element_type)) = def.place(plain.unwrap_or(&name.0)) else {
            return Err(cannot(&Place::Member(place, &name.0), "is not an element of FHIR R4"));
        };
        let known = parts.iter_mut().find(|part| part.index == index && part.element_type == element_type);
        let part = match known {
            Some(part) => part,
            None => {
                parts.push(Part { index, element, element_type, value: None, sibling: None });
                match parts.last_mut() {
                    Some(part) => part,
                    None => continue,
                }
            }
        };
        match plain {
            Some(_) => part.sibling = Some(raw),
            None => part.value = Some(raw),
        }
    }
    parts.sort_by_key(|part| part.index);
    Ok(parts)
}

fn members<'a>(raw: &'a RawValue, place: &Place) -> Result<Vec<(Name<'a>, &'a RawValue)>> {
    serde_json::from_str::<Members<'a>>(raw.get()).map(|members| members.0).map_err(|_| cannot(place, "is no object"))
}

fn items<'a>(raw: Option<&'a RawValue>, place: &Place) -> Result<Vec<&'a RawValue>> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    serde_json::from_str(raw.get()).map_err(|_| cannot(place, "is no array"))
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

/// The text of a JSON string.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    let plain = text.strip_prefix('"')?.strip_suffix('"')?;
    if plain.contains('\\') { serde_json::from_str(text).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(plain)) }
}

fn cannot(place: &Place, rule: &str) -> Error {
    let text = format!("the resource cannot be written as XML: this {rule}");
    match place.to_string() {
        root if root.is_empty() => Error::new(Kind::NotAcceptable, text),
        place => Error::at(Kind::NotAcceptable, place, text),
    }
}
