//! (method, path, headers, body) -> [`Interaction`], for HTTP requests and Bundle entries alike
//! (<https://hl7.org/fhir/R4/http.html#summary>).

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{ResourceType, r4};
use crate::fhir::patch::Patch;
use crate::fhir::reference::is_id;
use crate::interaction::{Change, Content, Interaction, Mode, NO_VERSION, Return, operation, refined};
use crate::search::compartment::Compartment;
use percent_encoding::percent_decode_str;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub fn parse(text: &str) -> Option<Method> {
        match text {
            "GET" => Some(Method::Get),
            "POST" => Some(Method::Post),
            "PUT" => Some(Method::Put),
            "PATCH" => Some(Method::Patch),
            "DELETE" => Some(Method::Delete),
            _ => None,
        }
    }
}

/// The headers that change what is done, or their members in `Bundle.entry.request`.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    pub if_match: Option<String>,
    pub if_none_exist: Option<String>,
    pub if_none_match: Option<String>,
    /// An HTTP date, in an entry an instant.
    pub if_modified_since: Option<String>,
    /// `Prefer: handling=lenient` (<https://hl7.org/fhir/R4/search.html#errors>).
    pub lenient: bool,
    /// `Prefer: return=...` of a Bundle: what the responses of its entries carry.
    pub returns: Option<Return>,
}

/// `path` is relative to the base, without a slash at its start; `query` without its question mark, undecoded.
pub fn parse(
    method: Method,
    path: &str,
    query: &str,
    conditions: &Conditions,
    body: Option<Value>,
) -> Result<Interaction> {
    refined::refine(plain(method, path, query, conditions, body)?, query, conditions)
}

fn plain(method: Method, path: &str, query: &str, conditions: &Conditions, body: Option<Value>) -> Result<Interaction> {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    if let ["$reindex", job] = segments.as_slice() {
        return operation::job(method, job);
    }
    if let [place @ .., operation] = segments.as_slice()
        && operation.starts_with('$')
    {
        return operation::parse(method, place, operation, query, conditions, body);
    }
    match (method, segments.as_slice()) {
        (Method::Get, ["metadata"]) => Ok(Interaction::Capabilities { mode: Mode::parse(query)? }),
        (Method::Post, []) => bundle(required(body)?, conditions.returns),
        (Method::Get, []) | (Method::Post, ["_search"]) => {
            Ok(Interaction::SearchSystem { query: query.to_owned(), lenient: conditions.lenient })
        }
        (Method::Get, ["_history"]) => Ok(Interaction::HistoryMany { resource_type: None, query: query.to_owned() }),
        (_, [name, rest @ ..]) if !matches!(*name, "_history" | "metadata" | "_search") => {
            typed(method, resource_type(name)?, rest, query, conditions, body)
        }
        _ => Err(wrong_method()),
    }
}

fn wrong_method() -> Error {
    Error::new(Kind::MethodNotAllowed, "the address does not have this method")
}

fn typed(
    method: Method,
    resource_type: ResourceType,
    rest: &[&str],
    query: &str,
    conditions: &Conditions,
    body: Option<Value>,
) -> Result<Interaction> {
    if conditions.if_none_match.is_some() && !matches!(method, Method::Get | Method::Put) {
        let text = "If-None-Match is supported on reads and updates only";
        return Err(Error::at(Kind::NotSupported, "If-None-Match", text));
    }
    match (method, rest) {
        (Method::Get, []) | (Method::Post, ["_search"]) => {
            Ok(Interaction::SearchType { resource_type, query: query.to_owned(), lenient: conditions.lenient })
        }
        (Method::Post, []) => Ok(Interaction::Create {
            resource_type: without_criteria(query).map(|()| resource_type)?,
            resource: content(resource_type, body)?,
            if_none_exist: conditions.if_none_exist.clone(),
        }),
        (Method::Put, []) => {
            let change = Change::Update { resource: content(resource_type, body)?, if_match: expected(conditions)? };
            conditional(resource_type, query, change)
        }
        (Method::Delete, []) => conditional(resource_type, query, Change::Delete { if_match: if_match(conditions)? }),
        (Method::Get, ["_history"]) => {
            Ok(Interaction::HistoryMany { resource_type: Some(resource_type), query: query.to_owned() })
        }
        (_, ["_history" | "_search"]) => Err(wrong_method()),
        (Method::Get, [id]) => Ok(Interaction::Read { resource_type, id: checked(id)? }),
        (Method::Put, [id]) => Ok(Interaction::Update {
            resource_type,
            id: checked(id)?,
            resource: content(resource_type, body)?,
            if_match: expected(conditions)?,
        }),
        (Method::Delete, [id]) => {
            Ok(Interaction::Delete { resource_type, id: checked(id)?, if_match: if_match(conditions)? })
        }
        (Method::Get, [id, "_history"]) => {
            Ok(Interaction::HistoryInstance { resource_type, id: checked(id)?, query: query.to_owned() })
        }
        (Method::Get, [id, name]) | (Method::Post, [id, name, "_search"]) if *name != "_history" => {
            compartment(resource_type, id, name, query, conditions.lenient)
        }
        (Method::Get, [id, "_history", version]) => {
            // A version id that is none of ours is a version that is not there.
            let version = version.parse().ok().filter(|v| *v > 0 && !version.starts_with('+'));
            let version = version.ok_or_else(|| Error::new(Kind::NotFound, "there is no such version"))?;
            Ok(Interaction::Vread { resource_type, id: checked(id)?, version })
        }
        (_, [_] | [_, "_history"] | [_, "_history", _]) => {
            Err(Error::new(Kind::MethodNotAllowed, "the address does not have this method"))
        }
        _ => Err(Error::new(Kind::NotFound, "there is no such address")),
    }
}

/// `PATCH Type/id` and `PATCH Type?criteria`.
pub fn patch(path: &str, query: &str, conditions: &Conditions, patch: Patch) -> Result<Interaction> {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    if conditions.if_none_match.is_some() {
        return Err(Error::at(Kind::NotSupported, "If-None-Match", "If-None-Match is not supported on a patch"));
    }
    let if_match = if_match(conditions)?;
    match segments.as_slice() {
        [name] if *name != "metadata" && !name.starts_with(['$', '_']) => {
            conditional(resource_type(name)?, query, Change::Patch { patch, if_match })
        }
        [name, id] if !id.starts_with(['$', '_']) => {
            Ok(Interaction::Patch { resource_type: resource_type(name)?, id: checked(id)?, patch, if_match })
        }
        _ => Err(Error::new(Kind::MethodNotAllowed, "the address does not have this method")),
    }
}

fn conditional(resource_type: ResourceType, query: &str, change: Change) -> Result<Interaction> {
    if query.is_empty() {
        return Err(Error::new(Kind::Invalid, "the address needs an id or criteria (Type/id, Type?criteria)"));
    }
    Ok(Interaction::Conditional { resource_type, criteria: query.to_owned(), change })
}

/// `Patient/{id}/Observation`, `Encounter/{id}/*` (<https://hl7.org/fhir/R4/http.html#vsearch>).
fn compartment(kind: ResourceType, id: &str, name: &str, query: &str, lenient: bool) -> Result<Interaction> {
    let there_is_none = || Error::new(Kind::NotFound, "there is no such address");
    let compartment = Compartment::new(kind, checked(id)?).ok_or_else(there_is_none)?;
    let resource_type = match name {
        "*" => None,
        name => Some(resource_type(name)?),
    };
    if resource_type.is_some_and(|t| !compartment.holds(r4(), t)) {
        return Err(Error::new(Kind::NotFound, format!("no {name} is in the compartment of a {kind}")));
    }
    Ok(Interaction::SearchCompartment { compartment, resource_type, query: query.to_owned(), lenient })
}

fn bundle(body: Value, returns: Option<Return>) -> Result<Interaction> {
    if body.get("resourceType").and_then(Value::as_str) != Some("Bundle") {
        return Err(Error::at(Kind::Invalid, "Bundle", "a Bundle is expected here"));
    }
    match body.get("type").and_then(Value::as_str) {
        Some("transaction") => Ok(Interaction::Transaction { bundle: body, returns }),
        Some("batch") => Ok(Interaction::Batch { bundle: body, returns }),
        _ => Err(Error::at(Kind::Invalid, "Bundle.type", "the type must be transaction or batch")),
    }
}

fn required(body: Option<Value>) -> Result<Value> {
    body.ok_or_else(|| Error::new(Kind::Invalid, "a resource is expected in the body"))
}

fn content(resource_type: ResourceType, body: Option<Value>) -> Result<Content> {
    let body = required(body)?;
    match body.get("resourceType").and_then(Value::as_str) {
        Some(name) if name == resource_type.name() => Ok(Content::new(body)),
        Some(_) => Err(Error::at(
            Kind::Invalid,
            "resourceType",
            format!("the address is that of a {resource_type}, the body is another type"),
        )),
        None => Err(Error::at(Kind::Structure, "resourceType", "the body is not a resource: resourceType is missing")),
    }
}

/// A create takes no parameters: criteria that were meant as a condition would be lost, and a twin be made.
fn without_criteria(query: &str) -> Result<()> {
    let format = ["_format", "_pretty", "_summary", "_elements"];
    match pairs(query)?.into_iter().find(|(name, _)| !format.contains(&name.as_str())) {
        None => Ok(()),
        Some((name, _)) => {
            let text = "a create has no parameters: the criteria of a conditional create stand in If-None-Exist";
            Err(Error::at(Kind::NotSupported, shown(&name), text))
        }
    }
}

/// The name of a parameter as it may be shown.
pub(super) fn shown(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect()
}

pub(super) fn resource_type(name: &str) -> Result<ResourceType> {
    ResourceType::parse(name).ok_or_else(|| Error::new(Kind::NotFound, "there is no such resource type"))
}

pub(super) fn checked(id: &str) -> Result<String> {
    if is_id(id) {
        Ok(id.to_owned())
    } else {
        Err(Error::at(Kind::Value, "id", "not a FHIR id: 1 to 64 of A-Z a-z 0-9 - ."))
    }
}

/// `W/"n"`; a version that is none of ours matches nothing.
pub(super) fn if_match(conditions: &Conditions) -> Result<Option<i64>> {
    let Some(text) = conditions.if_match.as_deref().map(str::trim) else { return Ok(None) };
    let opaque = text.strip_prefix("W/").unwrap_or(text);
    let inner = opaque.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let inner = inner.ok_or_else(|| Error::at(Kind::Value, "If-Match", "If-Match must be an ETag such as W/\"1\""))?;
    Ok(Some(inner.parse().ok().filter(|version| *version > NO_VERSION).unwrap_or(-1)))
}

/// What an update expects: the version of If-Match, or with `If-None-Match: *` none.
fn expected(conditions: &Conditions) -> Result<Option<i64>> {
    match (conditions.if_none_match.as_deref().map(str::trim), if_match(conditions)?) {
        (None, wanted) => Ok(wanted),
        (Some("*"), None) => Ok(Some(NO_VERSION)),
        (Some("*"), Some(_)) => Err(Error::at(Kind::Invalid, "If-None-Match", "goes with no If-Match")),
        (Some(_), _) => Err(Error::at(Kind::NotSupported, "If-None-Match", "of an update is * only")),
    }
}

/// The decoded pairs of a query, in order (`application/x-www-form-urlencoded`).
pub fn pairs(query: &str) -> Result<Vec<(String, String)>> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .map(|t| t.into_owned())
            .map_err(|_| Error::new(Kind::Value, "the query is not UTF-8"))
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| Ok((decode(name)?, decode(value)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::patch;
    use serde_json::json;

    fn check(method: &str, path: &str, expected: &str) {
        let body = matches!(method, "POST" | "PUT").then(|| json!({"resourceType": "Patient"}));
        let method_of = Method::parse(method).unwrap();
        let patch = Patch::json(json!([]), &patch::Limits { operations: 1, depth: 1, bytes: 1 }).unwrap();
        let parsed = match method_of {
            Method::Patch => super::patch(path, "", &Conditions::default(), patch),
            _ => parse(method_of, path, "", &Conditions::default(), body),
        };
        let shown = match parsed {
            Ok(interaction) => interaction.code().to_owned(),
            Err(error) => format!("{:?}", error.kind),
        };
        assert_eq!(shown, expected, "{method} {path}");
    }

    #[test]
    fn addresses() {
        check("GET", "metadata", "capabilities");
        check("GET", "Patient", "search-type");
        check("POST", "Patient/_search", "search-type");
        check("GET", "", "search-system");
        check("POST", "_search", "search-system");
        check("GET", "Patient/1/Observation", "search-type");
        check("POST", "Patient/1/Observation/_search", "search-type");
        check("GET", "Encounter/1/*", "search-system");
        check("POST", "Device/1/*/_search", "search-system");
        check("GET", "Patient/1/Location", "NotFound");
        check("GET", "Patient/1/Observatio", "NotFound");
        check("GET", "Organization/1/Location", "NotFound");
        check("GET", "Patient/a%20b/Observation", "Value");
        check("PUT", "Patient/1/Observation", "NotFound");
        check("POST", "Patient", "create");
        check("GET", "Patient/1", "read");
        check("PUT", "Patient/1", "update");
        check("DELETE", "Patient/1", "delete");
        check("PUT", "Patient", "Invalid");
        check("DELETE", "Patient", "Invalid");
        check("PATCH", "Patient/1/_history/1", "MethodNotAllowed");
        check("PATCH", "metadata", "MethodNotAllowed");
        check("PATCH", "", "MethodNotAllowed");
        check("GET", "Patient/1/_history", "history-instance");
        check("GET", "Patient/1/_history/2", "vread");
        check("GET", "Patient/1/_history/x", "NotFound");
        check("GET", "Patient/a%20b", "Value");
        check("GET", "Patient/..", "read");
        check("GET", "Patiente/1", "NotFound");
        check("POST", "Patient/1", "MethodNotAllowed");
        check("PUT", "Patient/1/_history/1", "MethodNotAllowed");
        check("GET", "Patient/1/$everything", "operation");
        check("POST", "Patient/1/$everything", "Invalid");
        check("PUT", "Patient/1/$everything", "MethodNotAllowed");
        check("GET", "Patient/a%20b/$everything", "Value");
        check("POST", "Patient/$validate", "operation");
        check("GET", "Patient/1/$validate", "operation");
        check("GET", "Patient/$validate", "MethodNotAllowed");
        check("DELETE", "Patient/1/$validate", "MethodNotAllowed");
        check("POST", "Patiente/$validate", "NotFound");
        check("POST", "Patient/a%20b/$validate", "Value");
        check("POST", "$validate", "NotFound");
        check("GET", "$explain", "operation");
        check("POST", "$explain", "MethodNotAllowed");
        check("GET", "Patient/$explain", "NotFound");
        check("GET", "$reindex", "operation");
        check("GET", "$reindex/1", "operation");
        check("DELETE", "$reindex/1", "operation");
        check("DELETE", "$reindex", "MethodNotAllowed");
        check("GET", "$reindex/1/2", "NotFound");
        check("GET", "Encounter/1/$everything", "operation");
        check("GET", "Observation/1/$everything", "NotFound");
        check("GET", "Patient/1/$everything/x", "NotFound");
        check("GET", "$meta", "operation");
        check("GET", "Patient/$meta", "operation");
        check("GET", "Patient/1/$meta", "operation");
        check("GET", "Patient/1/_history/2/$meta", "operation");
        check("PUT", "Patient/1/$meta", "MethodNotAllowed");
        check("GET", "Patient/1/$meta-add", "MethodNotAllowed");
        check("POST", "Patient/1/$meta-add", "Invalid");
        check("POST", "Patient/$meta-add", "NotFound");
        check("POST", "Patient/1/_history/2/$meta-delete", "NotFound");
        check("GET", "_history", "history-system");
        check("GET", "Patient/_history", "history-type");
        check("POST", "_history", "MethodNotAllowed");
        check("DELETE", "Patient/_history", "MethodNotAllowed");
        check("GET", "Patient/_search", "MethodNotAllowed");
        check("POST", "metadata", "MethodNotAllowed");
        check("GET", "Paciente/_history", "NotFound");
        check("POST", "Observation", "Invalid");
    }

    #[test]
    fn operations_take_parameters() {
        let body = json!({"resourceType": "Parameters", "parameter": [
            {"name": "_count", "valueInteger": 5}, {"name": "_since", "valueInstant": "2026-01-01T00:00:00-05:00"}]});
        let parsed =
            parse(Method::Post, "Patient/1/$everything", "_type=Observation", &Conditions::default(), Some(body))
                .unwrap();
        let Interaction::Everything { query, .. } = parsed else { panic!("another interaction") };
        let expected = [("_type", "Observation"), ("_count", "5"), ("_since", "2026-01-01T00:00:00-05:00")];
        assert_eq!(pairs(&query).unwrap(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(parse(Method::Post, "Patient/1/$everything", "", &Conditions::default(), None).is_ok());
    }

    #[test]
    fn a_create_has_no_criteria_in_its_address() {
        let create = |query: &str| {
            let body = json!({"resourceType": "Patient"});
            parse(Method::Post, "Patient", query, &Conditions::default(), Some(body))
                .map(|interaction| interaction.code())
        };
        assert_eq!(create("_format=json&_pretty=true").unwrap(), "create");
        assert_eq!(create("identifier=x").unwrap_err().kind, Kind::NotSupported);
    }

    #[test]
    fn if_match_forms() {
        let of = |text: &str| if_match(&Conditions { if_match: Some(text.into()), ..Conditions::default() });
        assert_eq!(of("W/\"3\"").unwrap(), Some(3));
        assert_eq!(of("\"3\"").unwrap(), Some(3));
        assert_eq!(of("W/\"abc\"").unwrap(), Some(-1));
        assert_eq!(of("W/\"0\"").unwrap(), Some(-1));
        assert!(of("3").is_err());
        let none = |text: &str| expected(&Conditions { if_none_match: Some(text.into()), ..Conditions::default() });
        assert_eq!(none("*").unwrap(), Some(NO_VERSION));
        assert!(none("W/\"1\"").is_err());
    }
}
