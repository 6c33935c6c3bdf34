//! References between resources (<https://hl7.org/fhir/R4/references.html>): what a literal reference points at, and
//! where the references of a resource are.
//!
//! It only reads text: whether the target exists is for `store`, whether its type is allowed for `fhir::validate`.

use crate::fhir::definitions::{Definitions, ResourceType, TypeDef, TypeKind};
use crate::fhir::narrative;
use crate::fhir::resource::Place;
use serde_json::{Map, Value};
use std::fmt;

/// A logical id (<https://hl7.org/fhir/R4/datatypes.html#id>): 1 to 64 of `A-Z a-z 0-9 - .`
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(String);

impl Id {
    pub fn parse(text: &str) -> Option<Self> {
        is_id(text).then(|| Id(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Id {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

/// What a literal reference points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// `Type/id` or `Type/id/_history/version`, also when written with the base address of this server.
    Relative { resource_type: ResourceType, id: &'a str, version: Option<&'a str> },
    /// `Type?criteria`, in transactions only; the criteria are still encoded.
    Conditional { resource_type: ResourceType, query: &'a str },
    /// `#id`, a contained resource; empty for the resource that contains.
    Fragment(&'a str),
    /// `urn:uuid:...`, `urn:oid:...`: an entry of the same Bundle.
    Urn(&'a str),
    /// An address of another server.
    Absolute(&'a str),
}

impl<'a> Reference<'a> {
    /// Reads `Reference.reference`; `base` is the address of this server (`https://host/fhir`). None: it is none of these.
    pub fn parse(text: &'a str, base: &str) -> Option<Self> {
        if let Some(fragment) = text.strip_prefix('#') {
            return (fragment.is_empty() || is_id(fragment)).then_some(Reference::Fragment(fragment));
        }
        if text.is_empty() || text.bytes().any(|b| b <= b' ' || b == 0x7F) {
            return None;
        }
        if let Some(own) = strip_base(text, base) {
            return relative(own);
        }
        match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) && !rest.is_empty() => Some(match scheme {
                "urn" => Reference::Urn(text),
                _ => Reference::Absolute(text),
            }),
            _ => relative(text),
        }
    }
}

fn strip_base<'a>(text: &'a str, base: &str) -> Option<&'a str> {
    let base = base.strip_suffix('/').unwrap_or(base);
    if base.is_empty() {
        return None;
    }
    text.strip_prefix(base)?.strip_prefix('/')
}

/// The scheme of an address (RFC 3986, 3.1); a resource type followed by `?` or `/` holds no colon before them.
fn is_scheme(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(letters)
}

fn relative(text: &str) -> Option<Reference<'_>> {
    if let Some((name, query)) = text.split_once('?') {
        let resource_type = ResourceType::parse(name)?;
        return (!query.is_empty()).then_some(Reference::Conditional { resource_type, query });
    }
    let mut parts = text.split('/');
    let resource_type = ResourceType::parse(parts.next()?)?;
    let id = parts.next().filter(|id| is_id(id))?;
    let version = match parts.next() {
        None => None,
        Some("_history") => Some(parts.next().filter(|version| is_id(version))?),
        Some(_) => return None,
    };
    match parts.next() {
        None => Some(Reference::Relative { resource_type, id, version }),
        Some(_) => None,
    }
}

/// The type that an address of a FHIR server names by its last parts (`.../Type/id[/_history/version]`).
pub fn rest_type(address: &str) -> Option<ResourceType> {
    let mut parts = address.strip_prefix("http")?.rsplit('/');
    let (mut id, mut name) = (parts.next()?, parts.next()?);
    if name == "_history" {
        (id, name) = (parts.next()?, parts.next()?);
    }
    ResourceType::parse(name).filter(|_| is_id(id))
}

/// Calls `f` with the place and the text of each literal reference in a resource, contained resources included.
///
/// The entries of a Bundle are resources of their own: their references are resolved inside the Bundle
/// (<https://hl7.org/fhir/R4/bundle.html#references>) and are not references of the Bundle.
pub fn walk_references(resource: &Value, f: &mut impl FnMut(&Place, &str)) {
    let name = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
    walk(resource, &Place::Root(name), f);
}

fn walk(value: &Value, place: &Place, f: &mut impl FnMut(&Place, &str)) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get("reference")
                && is_reference(members)
            {
                f(&Place::Member(place, "reference"), text);
            }
            let bundle = is_bundle(members);
            for (name, member) in members {
                if !(bundle && name == "entry") {
                    walk(member, &Place::Member(place, name), f);
                }
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                walk(item, &Place::Item(place, n), f);
            }
        }
        _ => {}
    }
}

/// Calls `f` with each literal reference of a resource to change it in place.
pub fn walk_references_mut(value: &mut Value, f: &mut impl FnMut(&mut String)) {
    match value {
        Value::Object(members) => {
            if is_reference(members)
                && let Some(Value::String(text)) = members.get_mut("reference")
            {
                f(text);
            }
            let bundle = is_bundle(members);
            for (name, member) in members.iter_mut() {
                if !(bundle && name == "entry") {
                    walk_references_mut(member, f);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk_references_mut(item, f)),
        _ => {}
    }
}

/// Replaces the links that `f` knows another text for, wherever the rules of a transaction say so
/// (<https://hl7.org/fhir/R4/http.html#trules>): Reference.reference, elements of type uri, url, oid and uuid, `href` and
/// `src` in narratives. Elements of type canonical, and strings such as Identifier.value, are not links.
/// `f` is asked for every text of these types, known namespaces included, so it should be a quick look-up.
pub fn rewrite_links(definitions: &Definitions, resource: &mut Value, f: &mut impl FnMut(&str) -> Option<String>) {
    if let Value::Object(members) = resource
        && let Some(t) =
            members.get("resourceType").and_then(Value::as_str).and_then(|name| definitions.resource_type(name))
    {
        rewrite_members(definitions, definitions.resource(t), members, f);
    }
}

fn rewrite_members(
    definitions: &Definitions,
    def: &TypeDef,
    members: &mut Map<String, Value>,
    f: &mut impl FnMut(&str) -> Option<String>,
) {
    for (name, value) in members.iter_mut() {
        let Some((_, element)) = def.member(name.strip_prefix('_').unwrap_or(name)) else { continue };
        let code = if def.name == "Reference" && name == "reference" { "uri" } else { element.code };
        rewrite_value(definitions, definitions.type_at(element.def), code, value, f);
    }
}

fn rewrite_value(
    definitions: &Definitions,
    def: &TypeDef,
    code: &str,
    value: &mut Value,
    f: &mut impl FnMut(&str) -> Option<String>,
) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite_value(definitions, def, code, item, f)),
        Value::Object(_) if def.kind == TypeKind::Resource => rewrite_links(definitions, value, f),
        Value::Object(members) => rewrite_members(definitions, def, members, f),
        Value::String(text) => {
            let new = match code {
                "uri" | "url" | "oid" | "uuid" => f(text),
                "xhtml" => narrative::rewrite_links(text, f),
                _ => None,
            };
            if let Some(new) = new {
                *text = new;
            }
        }
        _ => {}
    }
}

fn is_bundle(members: &Map<String, Value>) -> bool {
    members.get("resourceType").is_some_and(|name| name == "Bundle")
}

/// Whether an object with a member `reference` is a Reference: three elements of R4 have the name with type uri
/// (Expression, DetectedIssue, Immunization.education), and each of them has members that a Reference has not.
fn is_reference(members: &Map<String, Value>) -> bool {
    const ELEMENTS: [&str; 9] =
        ["reference", "type", "identifier", "display", "id", "extension", "_reference", "_type", "_display"];
    members.keys().all(|name| ELEMENTS.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::definitions::r4;
    use serde_json::json;

    const BASE: &str = "https://h.example/fhir";

    fn shown(text: &str) -> String {
        match Reference::parse(text, BASE) {
            None => "-".into(),
            Some(Reference::Relative { resource_type, id, version }) => {
                format!("rel {} {id} {}", resource_type.name(), version.unwrap_or("-"))
            }
            Some(Reference::Conditional { resource_type, query }) => format!("if {} {query}", resource_type.name()),
            Some(Reference::Fragment(id)) => format!("# {id}"),
            Some(Reference::Urn(text)) => format!("urn {text}"),
            Some(Reference::Absolute(text)) => format!("abs {text}"),
        }
    }

    #[test]
    fn literal_references_by_form() {
        let check = |text: &str, expected: &str| assert_eq!(shown(text), expected, "{text}");
        check("Patient/1", "rel Patient 1 -");
        check("Patient/1/_history/3", "rel Patient 1 3");
        check("https://h.example/fhir/Patient/a.b-C", "rel Patient a.b-C -");
        check("https://h.example/fhir/Patient?identifier=s|1", "if Patient identifier=s|1");
        check("https://h.example/fhirx/Patient/1", "abs https://h.example/fhirx/Patient/1");
        check("http://other/fhir/Patient/1", "abs http://other/fhir/Patient/1");
        check("urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a", "urn urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a");
        check("Patient?identifier=http://s|1", "if Patient identifier=http://s|1");
        check("#p1", "# p1");
        check("#", "# ");
        for bad in [
            "",
            "Patient",
            "Patient/",
            "Patient/a b",
            "Patient/a_b",
            "Foo/1",
            "Patient/1/2",
            "Patient/1/_history",
            "Patient/1/_history/",
            "Patient/1/_history/2/3",
            "Patient?",
            "Foo?a=b",
            "# x",
            "/Patient/1",
            "patient/1",
            "https://h.example/fhir/Patient",
            "http:",
            "urn:",
            "Patient/ñ",
        ] {
            check(bad, "-");
        }
        let long = format!("Patient/{}", "a".repeat(65));
        check(&long, "-");
    }

    #[test]
    fn an_own_base_may_end_in_a_slash() {
        let parsed = Reference::parse("http://a/fhir/Patient/1", "http://a/fhir/");
        assert!(matches!(parsed, Some(Reference::Relative { .. })));
        assert_eq!(Reference::parse("/Patient/1", ""), None);
    }

    #[test]
    fn references_are_found_where_they_are() {
        let mut resource = json!({
            "resourceType": "DetectedIssue",
            "reference": "http://not/a/reference",
            "patient": {"reference": "Patient/1", "display": "x"},
            "contained": [{"resourceType": "Observation", "performer": [{"reference": "Practitioner/2"}, {"reference": "#c"}]}],
            "extension": [{"url": "u", "valueExpression": {"language": "text/cql", "reference": "http://nor/this"}},
                          {"url": "u", "valueReference": {"reference": "Group/3"}}]
        });
        let mut found = Vec::new();
        walk_references(&resource, &mut |place, text| found.push(format!("{place}={text}")));
        assert_eq!(
            found,
            [
                "DetectedIssue.patient.reference=Patient/1",
                "DetectedIssue.contained[0].performer[0].reference=Practitioner/2",
                "DetectedIssue.contained[0].performer[1].reference=#c",
                "DetectedIssue.extension[1].valueReference.reference=Group/3",
            ]
        );
        walk_references_mut(&mut resource, &mut |text| *text = "X/9".into());
        assert_eq!(resource["contained"][0]["performer"][1]["reference"], "X/9");
        assert_eq!(resource["reference"], "http://not/a/reference");
    }

    #[test]
    fn links_of_a_transaction_are_replaced_by_type() {
        let uuid = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a";
        let mut resource = json!({
            "resourceType": "DocumentReference", "status": "current",
            "text": {"status": "generated", "div": format!("<div><a href=\"{uuid}\">{uuid}</a></div>")},
            "identifier": [{"system": "urn:ietf:rfc:3986", "value": uuid}],
            "meta": {"profile": [uuid], "source": uuid},
            "contained": [{"resourceType": "Basic", "code": {"text": uuid}, "subject": {"reference": uuid}}],
            "extension": [{"url": "u", "valueUuid": uuid}, {"url": "u", "valueCanonical": uuid}],
            "_status": {"extension": [{"url": "u", "valueReference": {"reference": uuid}}]},
            "subject": {"reference": uuid, "display": uuid},
            "content": [{"attachment": {"url": uuid}}]
        });
        rewrite_links(r4(), &mut resource, &mut |text| (text == uuid).then(|| "Patient/7".to_owned()));
        let text = resource.to_string();
        assert_eq!(text.matches("Patient/7").count(), 7, "{text}");
        let kept = [
            "/identifier/0/value",
            "/meta/profile/0",
            "/contained/0/code/text",
            "/extension/1/valueCanonical",
            "/subject/display",
        ];
        assert!(kept.iter().all(|place| resource.pointer(place).is_some_and(|v| v == uuid)), "{text}");
        assert!(text.contains(&format!("<a href=\\\"Patient/7\\\">{uuid}</a>")), "{text}");
    }

    #[test]
    fn entries_of_a_bundle_keep_their_references() {
        let bundle =
            json!({"resourceType": "Bundle", "entry": [{"resource": {"subject": {"reference": "Patient/1"}}}]});
        let mut count = 0;
        walk_references(&bundle, &mut |_, _| count += 1);
        assert_eq!(count, 0);
    }
}
