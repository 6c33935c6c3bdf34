//! Parts of resources: `_summary` and `_elements` (<https://hl7.org/fhir/R4/search.html#summary>, `#elements`).
//!
//! What is left always has `resourceType`, `id`, `meta` (with the tag SUBSETTED), what must be there, and what changes the
//! meaning of the rest (modifiers). `_summary=true` goes down into elements, the others judge the top level alone. A
//! resource inside a resource stays whole.

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{Definitions, ResourceType, TypeDef, TypeKind};
use serde_json::{Map, Value, json};

const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
const CODE: &str = "SUBSETTED";

/// Which part is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subset {
    Summary,
    Text,
    Data,
    /// Names of elements of the top level, each perhaps of one type only.
    Elements(Vec<(Option<ResourceType>, String)>),
}

/// Reads the parameters among the decoded pairs of a query. `_summary=count` and `false` ask for no part. `of`: the one
/// type that is asked for, whose elements are known.
pub fn parse(
    definitions: &Definitions,
    of: Option<ResourceType>,
    pairs: &[(String, String)],
) -> Result<Option<Subset>> {
    let once = |name: &'static str| {
        let mut all = pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (all.next(), all.next()) {
            (value, None) => Ok(value),
            _ => Err(Error::at(Kind::Value, name, "is given more than once")),
        }
    };
    let summary = match once("_summary")? {
        None | Some("false" | "count") => None,
        Some("true") => Some(Subset::Summary),
        Some("text") => Some(Subset::Text),
        Some("data") => Some(Subset::Data),
        Some(_) => return Err(Error::at(Kind::Value, "_summary", "must be true, text, data, count or false")),
    };
    let Some(elements) = once("_elements")? else { return Ok(summary) };
    if summary.is_some() {
        return Err(Error::at(Kind::Invalid, "_elements", "_elements and _summary exclude each other"));
    }
    elements
        .split(',')
        .map(|name| element(definitions, of, name.trim()))
        .collect::<Result<_>>()
        .map(|all| Some(Subset::Elements(all)))
}

/// One name of `_elements`: `name`, `value` or `value[x]` for a choice, `Patient.name`.
fn element(definitions: &Definitions, of: Option<ResourceType>, text: &str) -> Result<(Option<ResourceType>, String)> {
    let (of_type, name) = match text.split_once('.') {
        Some((resource_type, name)) => {
            let resource_type = definitions.resource_type(resource_type);
            let wrong = || Error::at(Kind::Value, "_elements", "only elements of the top level can be named");
            (Some(resource_type.ok_or_else(wrong)?), name)
        }
        None => (None, text),
    };
    let name = name.strip_suffix("[x]").unwrap_or(name);
    let there = |t: ResourceType| named(definitions.resource(t), name);
    let known = match of_type.or(of) {
        Some(t) => there(t),
        None => definitions.resource_types().any(there),
    };
    if !known {
        let of = of_type.or(of).map_or_else(|| "any type".to_owned(), |t| t.to_string());
        return Err(Error::at(Kind::Value, "_elements", format!("names something that is no element of {of}")));
    }
    Ok((of_type, name.to_owned()))
}

fn named(def: &TypeDef, name: &str) -> bool {
    def.element_named(name).is_some() || def.member(name).is_some()
}

/// Whether it leaves nothing out of included resources.
fn spares_included(subset: &Subset) -> bool {
    matches!(subset, Subset::Elements(_))
}

/// The part of a resource.
pub fn of_resource(definitions: &Definitions, subset: &Subset, resource: &mut Value) {
    let Value::Object(members) = resource else { return };
    let resource_type = members.get("resourceType").and_then(Value::as_str).and_then(|t| definitions.resource_type(t));
    let Some(resource_type) = resource_type else { return };
    let def = definitions.resource(resource_type);
    members.retain(|name, _| {
        let name = name.strip_prefix('_').unwrap_or(name);
        let Some((element, element_type)) = def.member(name) else { return name == "resourceType" };
        matches!(element.name, "id" | "meta")
            || element.min > 0
            || match subset {
                Subset::Summary => element.summary || element.modifier,
                Subset::Text => element.name == "text",
                Subset::Data => element.name != "text",
                Subset::Elements(names) => {
                    element.modifier
                        || names.iter().any(|(of, wanted)| {
                            of.is_none_or(|of| of == resource_type)
                                && (element.name == wanted || element_type.json_name == wanted)
                        })
                }
            }
    });
    if *subset == Subset::Summary {
        for (name, value) in members.iter_mut().filter(|(name, _)| *name != "meta") {
            if let Some((_, element_type)) = def.member(name) {
                summarize(definitions, definitions.type_at(element_type.def), value);
            }
        }
    }
    tag(members);
}

/// Leaves the summary of an element's value.
fn summarize(definitions: &Definitions, def: &TypeDef, value: &mut Value) {
    if !matches!(def.kind, TypeKind::Complex | TypeKind::Backbone) || def.is_abstract {
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| summarize(definitions, def, item)),
        Value::Object(members) => {
            // Types that mark nothing (Dosage does, Narrative does not) are whole.
            if !def.elements.iter().any(|element| element.summary) {
                return;
            }
            members.retain(|name, _| {
                let name = name.strip_prefix('_').unwrap_or(name);
                let found = def.member(name);
                found.is_some_and(|(element, _)| element.summary || element.modifier || element.min > 0)
            });
            for (name, value) in members.iter_mut() {
                if let Some((_, element_type)) = def.member(name) {
                    summarize(definitions, definitions.type_at(element_type.def), value);
                }
            }
        }
        _ => {}
    }
}

/// Marks a resource as a part: who writes it back would lose the rest.
fn tag(members: &mut Map<String, Value>) {
    let meta = members.entry("meta").or_insert_with(|| json!({}));
    let Value::Object(meta) = meta else { return };
    let tags = meta.entry("tag").or_insert_with(|| json!([]));
    if let Value::Array(tags) = tags
        && !tags.iter().any(is_mark)
    {
        tags.push(json!({"system": SYSTEM, "code": CODE}));
    }
}

fn is_mark(tag: &Value) -> bool {
    tag.get("system").and_then(Value::as_str) == Some(SYSTEM) && tag.get("code").and_then(Value::as_str) == Some(CODE)
}

/// Whether a resource says of itself that it is a part.
pub fn is_part(resource: &Value) -> bool {
    let tags = resource.get("meta").and_then(|meta| meta.get("tag")).and_then(Value::as_array);
    tags.is_some_and(|tags| tags.iter().any(is_mark))
}

/// The parts of what stands in a searchset or history.
pub fn of_bundle(definitions: &Definitions, subset: &Subset, bundle: &mut Value) {
    let entries = bundle.get_mut("entry").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten() {
        let mode = entry.get("search").and_then(|search| search.get("mode")).and_then(Value::as_str);
        if mode == Some("outcome") || (mode == Some("include") && spares_included(subset)) {
            continue;
        }
        if let Some(resource) = entry.get_mut("resource") {
            of_resource(definitions, subset, resource);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::definitions::r4;

    fn read(of: Option<&str>, pairs: &[(&str, &str)]) -> Result<Option<Subset>> {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        parse(r4(), of.and_then(ResourceType::parse), &pairs)
    }

    fn patient() -> Value {
        json!({"resourceType": "Patient", "id": "p", "meta": {"versionId": "1"}, "language": "es",
            "text": {"status": "generated", "div": "<div/>"}, "contained": [{"resourceType": "Organization", "id": "o"}],
            "extension": [{"url": "urn:x", "valueCode": "a"}], "modifierExtension": [{"url": "urn:m", "valueCode": "a"}],
            "active": true, "_active": {"id": "a"},
            "name": [{"family": "Peña", "extension": [{"url": "urn:x", "valueCode": "a"}]}],
            "photo": [{"contentType": "image/png", "data": "AA=="}],
            "contact": [{"gender": "male"}], "link": [{"other": {"reference": "Patient/q"}, "type": "seealso"}],
            "deceasedBoolean": false})
    }

    fn part(subset: &Subset, resource: Value) -> String {
        let mut resource = resource;
        of_resource(r4(), subset, &mut resource);
        assert!(is_part(&resource), "{resource}");
        let members = resource.as_object().unwrap().keys().map(String::as_str);
        members.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_part_has_what_it_must() {
        let of = |pairs: &[(&str, &str)]| part(&read(Some("Patient"), pairs).unwrap().unwrap(), patient());
        assert_eq!(
            of(&[("_summary", "true")]),
            "resourceType id meta modifierExtension active _active name link deceasedBoolean"
        );
        assert_eq!(of(&[("_summary", "text")]), "resourceType id meta text");
        let data = of(&[("_summary", "data")]);
        assert!(!data.contains("text") && data.contains("contact") && data.contains("contained"), "{data}");
        // Modifiers are always told: active, deceased, link of a Patient.
        let kept = "resourceType id meta modifierExtension active _active link deceasedBoolean";
        assert_eq!(of(&[("_elements", "active")]), kept);
        assert!(of(&[("_elements", "name, contact")]).contains("name contact"));
        assert!(of(&[("_elements", "Patient.photo,Observation.code")]).contains("photo"));
        let observation = json!({"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"},
            "valueQuantity": {"value": 1}, "issued": "2026-01-01T00:00:00Z"});
        for name in ["value", "value[x]", "valueQuantity"] {
            let subset = read(Some("Observation"), &[("_elements", name)]).unwrap().unwrap();
            assert_eq!(part(&subset, observation.clone()), "resourceType id status code valueQuantity meta");
        }
    }

    #[test]
    fn a_summary_goes_down() {
        let mut resource = patient();
        of_resource(r4(), &Subset::Summary, &mut resource);
        assert_eq!(resource["name"], json!([{"family": "Peña"}]));
        let mut media = json!({"resourceType": "Media", "status": "completed",
            "content": {"contentType": "image/png", "data": "AA==", "title": "x"}});
        of_resource(r4(), &Subset::Summary, &mut media);
        // Media.content is mandatory; the bytes in it are no summary.
        assert_eq!(media["content"], json!({"contentType": "image/png", "title": "x"}));
    }

    #[test]
    fn parameters_are_read_or_refused_by_name() {
        assert_eq!(read(None, &[("_summary", "count")]).unwrap(), None);
        assert_eq!(read(None, &[("_summary", "false"), ("name", "x")]).unwrap(), None);
        assert!(matches!(read(None, &[("_elements", "name")]), Ok(Some(Subset::Elements(_)))));
        for (of, pairs, at) in [
            (None, &[("_summary", "yes")][..], "_summary"),
            (None, &[("_summary", "true"), ("_summary", "text")], "_summary"),
            (None, &[("_summary", "true"), ("_elements", "name")], "_elements"),
            (Some("Patient"), &[("_elements", "nombre")], "_elements"),
            (Some("Patient"), &[("_elements", "name.family")], "_elements"),
            (None, &[("_elements", "nombre")], "_elements"),
        ] {
            let error = read(of, pairs).unwrap_err();
            assert_eq!(error.issues[0].expression.as_deref(), Some(at), "{pairs:?}");
        }
    }

    #[test]
    fn a_bundle_keeps_its_outcomes_and_what_was_included() {
        let include = json!({"resource": {"resourceType": "Organization", "id": "o", "name": "x"}, "search": {"mode": "include"}});
        let outcome =
            json!({"resource": {"resourceType": "OperationOutcome", "issue": [{}]}, "search": {"mode": "outcome"}});
        let mut bundle = json!({"resourceType": "Bundle", "type": "searchset",
            "entry": [{"resource": patient(), "search": {"mode": "match"}}, include, outcome, {"request": {"method": "DELETE"}}]});
        of_bundle(r4(), &Subset::Elements(vec![(None, "gender".into())]), &mut bundle);
        assert!(is_part(&bundle["entry"][0]["resource"]));
        assert_eq!((&bundle["entry"][1], &bundle["entry"][2]), (&include, &outcome));
    }
}
