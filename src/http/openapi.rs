//! `/openapi.json`: the FHIR API as OpenAPI 3 (<https://spec.openapis.org/oas/v3.0.3>), made once from the registry.
//!
//! Each type has its search with its own parameters; everything else is the same for all types and stands once, with the
//! type in the address. The bodies are FHIR resources, which FHIR's own definitions describe.

use crate::fhir::definitions::{ResourceType, SearchKind, r4};
use crate::http::State;
use crate::search::parse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

const FHIR: &str = "application/fhir+json";
const XML: &str = "application/fhir+xml";

pub fn routes(config: &mut web::ServiceConfig) {
    let only = || async { HttpResponse::MethodNotAllowed().insert_header(("allow", "GET, HEAD")).finish() };
    config.service(
        web::resource("/openapi.json")
            .route(web::get().to(serve))
            .route(web::head().to(serve))
            .default_service(web::route().to(only)),
    );
}

async fn serve(state: web::Data<State>) -> HttpResponse {
    // The address of a process does not change.
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = TEXT.get_or_init(|| Bytes::from(description(state.app.public_url()).to_string()));
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(text.clone())
}

/// The description. `root`: the address of the server.
fn description(root: &str) -> Value {
    let mut parameters = result_parameters();
    let mut paths = generic();
    for t in ResourceType::all() {
        let own = parse::supported(r4(), t).into_iter().map(|parameter| {
            let name = format!("{}.{}", kind(parameter.kind), parameter.code);
            let value = json!({"name": parameter.code, "in": "query", "description": kind(parameter.kind), "schema": {"type": "string"}});
            parameters.entry(name.clone()).or_insert(value);
            name
        });
        let all: Vec<String> = own.chain(RESULT.iter().map(|(name, _)| (*name).to_owned())).collect();
        let references: Vec<Value> = all.iter().map(|name| reference("parameters", name)).collect();
        let mut path = Map::new();
        path.insert("get".into(), operation(&format!("search{t}"), t.name(), "search-type", &references, None));
        let create = operation(
            &format!("create{t}"),
            t.name(),
            "create",
            &[parameter("IfNoneExist"), parameter("Prefer")],
            Some(FHIR),
        );
        path.insert("post".into(), create);
        paths.insert(format!("/fhir/{t}"), Value::Object(path));
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "historia",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "FHIR R4 (4.0.1). What a role may do to a type is in /fhir/metadata and docs/contract.md; the resources are those of https://hl7.org/fhir/R4/."
        },
        "externalDocs": {"url": "https://hl7.org/fhir/R4/http.html"},
        "servers": [{"url": root}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "parameters": parameters,
            "responses": responses(),
            "schemas": schemas()
        }
    })
}

/// The parameters that every search takes beside those of its type.
const RESULT: [(&str, &str); 14] = [
    ("_content", "words of the resource"),
    ("_count", "resources of a page"),
    ("_elements", "elements of the top level, separated by commas"),
    ("_filter", "a filter expression"),
    ("_format", "media type of the answer"),
    ("_include", "Type:parameter of what matches name"),
    ("_list", "ids of Lists"),
    ("_page", "token of a page, from link next"),
    ("_revinclude", "Type:parameter of what names the matches"),
    ("_sort", "parameters, with - before one that descends"),
    ("_summary", "true, text, data, count or false"),
    ("_text", "words of the narrative"),
    ("_total", "none, estimate or accurate"),
    ("_type", "resource types, separated by commas"),
];

fn result_parameters() -> Map<String, Value> {
    let query = |(name, text): &(&str, &str)| {
        ((*name).to_owned(), json!({"name": name, "in": "query", "description": text, "schema": {"type": "string"}}))
    };
    let mut all: Map<String, Value> = RESULT.iter().map(query).collect();
    let further = [("_since", "versions of this instant or later"), ("_at", "versions that were current then")];
    all.extend(further.iter().map(query));
    let further = [
        ("start", "care from this day on"),
        ("end", "care up to this day"),
        ("mode", "full, normative or terminology"),
    ];
    all.extend(further.iter().map(query));
    let types: Vec<&str> = ResourceType::all().map(ResourceType::name).collect();
    let path = |name: &str, schema: Value| json!({"name": name, "in": "path", "required": true, "schema": schema});
    all.insert("type".into(), path("type", json!({"type": "string", "enum": types})));
    all.insert("id".into(), path("id", json!({"type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$"})));
    all.insert("version".into(), path("version", json!({"type": "string", "pattern": "^[0-9]+$"})));
    for name in ["If-Match", "If-None-Match", "If-Modified-Since", "If-None-Exist", "Prefer"] {
        let value = json!({"name": name, "in": "header", "schema": {"type": "string"}});
        all.insert(name.replace('-', ""), value);
    }
    all
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

fn parameter(name: &str) -> Value {
    reference("parameters", name)
}

/// One operation: what it answers follows from its interaction.
fn operation(id: &str, tag: &str, interaction: &str, parameters: &[Value], body: Option<&str>) -> Value {
    let mut answers = Map::new();
    let ok = match interaction {
        "create" => "201",
        "delete" => "204",
        _ => "200",
    };
    answers.insert(ok.into(), reference("responses", if ok == "204" { "Nothing" } else { "Resource" }));
    if interaction == "update" {
        answers.insert("201".into(), reference("responses", "Resource"));
    }
    if interaction == "read" {
        answers.insert("304".into(), reference("responses", "Nothing"));
    }
    answers.insert("default".into(), reference("responses", "Outcome"));
    let mut operation = json!({"operationId": id, "tags": [tag], "summary": interaction, "parameters": parameters, "responses": answers});
    if let (Some(media), Value::Object(members)) = (body, &mut operation) {
        let schema = match media {
            FHIR => reference("schemas", "Resource"),
            JSON_PATCH => json!({"type": "array", "items": {"type": "object"}}),
            _ => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        };
        let mut content = Map::new();
        if media == FHIR {
            content.insert(XML.into(), json!({"schema": schema}));
        }
        content.insert(media.into(), json!({"schema": schema}));
        members.insert("requestBody".into(), json!({"required": media != FORM, "content": content}));
    }
    operation
}

/// One address with one method.
struct Address {
    path: &'static str,
    method: &'static str,
    id: &'static str,
    interaction: &'static str,
    parameters: &'static [&'static [&'static str]],
    body: Option<&'static str>,
}

const fn get(
    path: &'static str,
    id: &'static str,
    interaction: &'static str,
    parameters: &'static [&'static [&'static str]],
) -> Address {
    Address { path, method: "get", id, interaction, parameters, body: None }
}

const fn send(
    (method, path): (&'static str, &'static str),
    id: &'static str,
    interaction: &'static str,
    parameters: &'static [&'static [&'static str]],
    body: Option<&'static str>,
) -> Address {
    Address { path, method, id, interaction, parameters, body }
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON_PATCH: &str = "application/json-patch+json";
const OF_TYPE: &[&str] = &["type"];
const OF_ID: &[&str] = &["type", "id"];
const OF_VERSION: &[&str] = &["type", "id", "version"];
const PART: &[&str] = &["_elements", "_summary", "_format"];
const UNCHANGED: &[&str] = &["IfNoneMatch", "IfModifiedSince"];
const VERSIONS: &[&str] = &["_since", "_at", "_count", "_page"];
const EVERYTHING: &[&str] = &["id", "_since", "_type", "_count", "_page"];
const SEARCH: &[&str] = &["_content", "_count", "_filter", "_list", "_page", "_sort", "_text", "_total", "_type"];

/// The addresses that are the same for all types.
const ADDRESSES: &[Address] = &[
    get("/fhir/metadata", "metadata", "capabilities", &[&["mode"], PART]),
    get("/fhir", "searchAll", "search-system", &[SEARCH, PART]),
    send(("post", "/fhir"), "bundle", "transaction or batch", &[&["Prefer"]], Some(FHIR)),
    send(("post", "/fhir/_search"), "searchAllByForm", "search-system", &[], Some(FORM)),
    get("/fhir/_history", "historyAll", "history-system", &[VERSIONS, &["_type"], PART]),
    get("/fhir/$meta", "metaAll", "operation", &[]),
    send(("post", "/fhir/{type}/_search"), "searchByForm", "search-type", &[OF_TYPE], Some(FORM)),
    get("/fhir/{type}/_history", "historyType", "history-type", &[OF_TYPE, VERSIONS, PART]),
    get("/fhir/{type}/$meta", "metaType", "operation", &[OF_TYPE]),
    get("/fhir/{type}/{id}", "read", "read", &[OF_ID, UNCHANGED, PART]),
    send(("put", "/fhir/{type}/{id}"), "update", "update", &[OF_ID, &["IfMatch", "Prefer"]], Some(FHIR)),
    send(("patch", "/fhir/{type}/{id}"), "patch", "patch", &[OF_ID, &["IfMatch", "Prefer"]], Some(JSON_PATCH)),
    send(("put", "/fhir/{type}"), "updateBy", "update", &[OF_TYPE, &["IfMatch", "Prefer"]], Some(FHIR)),
    send(("patch", "/fhir/{type}"), "patchBy", "patch", &[OF_TYPE, &["IfMatch", "Prefer"]], Some(JSON_PATCH)),
    send(("delete", "/fhir/{type}"), "deleteBy", "delete", &[OF_TYPE, &["IfMatch"]], None),
    send(("post", "/fhir/{type}/$validate"), "validate", "operation", &[OF_TYPE], Some(FHIR)),
    send(("post", "/fhir/{type}/{id}/$validate"), "validateOne", "operation", &[OF_ID], Some(FHIR)),
    send(("delete", "/fhir/{type}/{id}"), "delete", "delete", &[OF_ID, &["IfMatch"]], None),
    get("/fhir/{type}/{id}/_history", "historyInstance", "history-instance", &[OF_ID, VERSIONS, PART]),
    get("/fhir/{type}/{id}/_history/{version}", "vread", "read", &[OF_VERSION, UNCHANGED, PART]),
    get("/fhir/{type}/{id}/$meta", "meta", "operation", &[OF_ID]),
    send(("post", "/fhir/{type}/{id}/$meta-add"), "metaAdd", "operation", &[OF_ID, &["IfMatch"]], Some(FHIR)),
    send(("post", "/fhir/{type}/{id}/$meta-delete"), "metaDelete", "operation", &[OF_ID, &["IfMatch"]], Some(FHIR)),
    get("/fhir/Patient/{id}/$everything", "everythingPatient", "operation", &[EVERYTHING, &["start", "end"], PART]),
    get("/fhir/Encounter/{id}/$everything", "everythingEncounter", "operation", &[EVERYTHING, PART]),
];

fn generic() -> Map<String, Value> {
    let mut paths: Map<String, Value> = Map::new();
    for Address { path, method, id, interaction, parameters, body } in ADDRESSES {
        let parameters: Vec<Value> = parameters.iter().copied().flatten().map(|name| parameter(name)).collect();
        let mut operation = operation(id, "all types", interaction, &parameters, *body);
        if let (Value::Object(members), "capabilities") = (&mut operation, *interaction) {
            // Open to all.
            members.insert("security".into(), json!([]));
        }
        if let Value::Object(place) = paths.entry(*path).or_insert_with(|| json!({})) {
            place.insert((*method).into(), operation);
        }
    }
    paths
}

fn responses() -> Value {
    let content = |schema: &str| {
        let schema = json!({"schema": reference("schemas", schema)});
        json!({FHIR: schema, XML: schema})
    };
    let text = |name: &str| json!({"schema": {"type": "string"}, "description": name});
    json!({
        "Resource": {
            "description": "a resource, or a Bundle of resources",
            "headers": {"ETag": text("the version"), "Last-Modified": text("when it was written"), "Location": text("of what was written"), "Content-Location": text("of what is in the body")},
            "content": content("Resource")
        },
        "Nothing": {"description": "no body"},
        "Outcome": {"description": "what went wrong, and where", "content": content("OperationOutcome")}
    })
}

fn schemas() -> Value {
    json!({
        "Resource": {
            "type": "object",
            "required": ["resourceType"],
            "properties": {"resourceType": {"type": "string"}, "id": {"type": "string"}, "meta": {"type": "object"}},
            "additionalProperties": true
        },
        "OperationOutcome": {
            "type": "object",
            "required": ["resourceType", "issue"],
            "properties": {
                "resourceType": {"type": "string", "enum": ["OperationOutcome"]},
                "issue": {"type": "array", "items": {
                    "type": "object",
                    "required": ["severity", "code"],
                    "properties": {"severity": {"type": "string"}, "code": {"type": "string"}, "diagnostics": {"type": "string"},
                        "expression": {"type": "array", "items": {"type": "string"}}}
                }}
            }
        }
    })
}

fn kind(kind: SearchKind) -> &'static str {
    match kind {
        SearchKind::Number => "number",
        SearchKind::Date => "date",
        SearchKind::String => "string",
        SearchKind::Token => "token",
        SearchKind::Reference => "reference",
        SearchKind::Composite => "composite",
        SearchKind::Quantity => "quantity",
        SearchKind::Uri => "uri",
        SearchKind::Special => "special",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` of a value.
    fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn the_description_is_whole_and_of_a_sane_size() {
        let description = description("http://h");
        let mut all = Vec::new();
        references(&description, &mut all);
        for reference in all {
            let pointer = reference.trim_start_matches('#');
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
        let paths = description["paths"].as_object().unwrap();
        assert!(paths.len() > ResourceType::all().count() + 10);
        let mut ids: Vec<&str> = Vec::new();
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().unwrap() {
                ids.push(operation["operationId"].as_str().unwrap());
                // Each part of an address in braces is a parameter of it.
                let of_path = operation["parameters"].as_array().unwrap().iter();
                let names: Vec<&str> = of_path.filter_map(|one| one["$ref"].as_str()?.rsplit('/').next()).collect();
                for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                    assert!(names.contains(&part), "{method} {path}: {part}");
                }
            }
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "an operationId stands twice");
        let size = description.to_string().len();
        assert!((100_000..1_000_000).contains(&size), "{size}");
    }
}
