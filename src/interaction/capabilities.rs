//! capabilities (<https://hl7.org/fhir/R4/http.html#capabilities>): made from the registry, exact to what works.
//!
//! `mode=full` is the whole CapabilityStatement, `normative` the same without the elements that R4 marks as trial use,
//! `terminology` the code systems that are held, as TerminologyCapabilities.

use crate::access::Column;
use crate::access::role;
use crate::config::{ConditionalDelete, Fhir, References};
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{self, Definitions, ResourceType, SearchKind};
use crate::interaction::Answer;
use crate::interaction::request::pairs;
use crate::interaction::unit::Unit;
use crate::search::compartment::KINDS;
use crate::search::{include, parse};
use serde_json::{Value, json};

/// Media types of patches.
const PATCHES: [&str; 5] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/xml-patch+xml",
    "application/fhir+json",
    "application/fhir+xml",
];
/// The date of the statement's content: when what it says changed.
const DATE: &str = "2026-11-24";

/// `mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Full,
    Normative,
    Terminology,
}

impl Mode {
    pub(super) fn parse(query: &str) -> Result<Mode> {
        match pairs(query)?.iter().find(|(name, _)| name == "mode").map(|(_, value)| value.as_str()) {
            None | Some("full") => Ok(Mode::Full),
            Some("normative") => Ok(Mode::Normative),
            Some("terminology") => Ok(Mode::Terminology),
            Some(_) => Err(Error::at(Kind::Value, "mode", "must be full, normative or terminology")),
        }
    }
}

pub(super) fn run(unit: &Unit<'_>, mode: Mode) -> Result<Answer> {
    let statement = match mode {
        Mode::Full => statement(unit),
        Mode::Normative => normative(statement(unit)),
        Mode::Terminology => terminology(unit),
    };
    Ok(Answer { status: 200, body: Some(statement.to_string().into_bytes()), ..Answer::default() })
}

/// Members of `rest.resource` that are trial use in R4; `rest.security` is too.
const TRIAL_USE: [&str; 11] = [
    "supportedProfile",
    "versioning",
    "readHistory",
    "updateCreate",
    "conditionalCreate",
    "conditionalRead",
    "conditionalUpdate",
    "conditionalDelete",
    "referencePolicy",
    "searchInclude",
    "searchRevInclude",
];

fn normative(mut statement: Value) -> Value {
    for rest in statement.get_mut("rest").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(rest) = rest.as_object_mut() {
            rest.shift_remove("security");
        }
        let resources = rest.get_mut("resource").and_then(Value::as_array_mut);
        for resource in resources.into_iter().flatten().filter_map(Value::as_object_mut) {
            TRIAL_USE.iter().for_each(|name| drop(resource.shift_remove(*name)));
        }
    }
    statement
}

/// The code systems of R4's required bindings; what is stored as CodeSystem and ValueSet comes with each installation.
fn terminology(unit: &Unit<'_>) -> Value {
    let app = unit.app;
    let systems: Vec<Value> = definitions::r4().code_systems().into_iter().map(|uri| json!({"uri": uri})).collect();
    json!({
        "resourceType": "TerminologyCapabilities",
        "url": format!("{}/metadata?mode=terminology", app.base),
        "name": "historia",
        "title": "historia",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "historia", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "historia: health-record server", "url": app.base},
        "codeSystem": systems
    })
}

fn statement(unit: &Unit<'_>) -> Value {
    let app = unit.app;
    let definitions = app.search_context().definitions;
    let resources: Vec<Value> = ResourceType::all().map(|ty| resource(definitions, ty, &app.config.fhir)).collect();
    json!({
        "resourceType": "CapabilityStatement",
        "url": format!("{}/metadata", app.base),
        "name": "historia",
        "title": "historia",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "historia", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "historia: health-record server", "url": app.base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        // Those of FHIR itself are FHIRPath Patch: a Parameters resource.
        "patchFormat": PATCHES,
        "rest": [{
            "mode": "server",
            "security": {
                "cors": !app.config.http.cors.is_empty(),
                "service": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "OAuth"}]}],
                "extension": [{
                    "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                    "extension": [{"url": "token", "valueUri": format!("{}/oauth/token", app.public_url())}]
                }],
                "description": "Bearer tokens of POST /login or of client_credentials at the token endpoint. The role decides what is allowed."
            },
            "resource": resources,
            "searchParam": everywhere(),
            "interaction": [{"code": "transaction"}, {"code": "batch"}, {"code": "search-system"}, {"code": "history-system"}],
            "operation": [operation("meta", "Resource-meta")],
            "compartment": KINDS.map(|kind| format!("http://hl7.org/fhir/CompartmentDefinition/{}", kind.to_ascii_lowercase()))
        }]
    })
}

/// What every type can be searched by beside its own parameters.
fn everywhere() -> Vec<Value> {
    let all = [("_content", "string"), ("_filter", "special"), ("_list", "string"), ("_text", "string")];
    all.map(|(name, kind)| json!({"name": name, "type": kind})).to_vec()
}

fn resource(definitions: &'static Definitions, ty: ResourceType, fhir: &Fhir) -> Value {
    let create_only = role::column(ty) == Column::Audit;
    let codes: &[&str] = if create_only {
        &["read", "vread", "history-instance", "history-type", "create", "search-type"]
    } else {
        &["read", "vread", "history-instance", "history-type", "create", "update", "patch", "delete", "search-type"]
    };
    let interactions: Vec<Value> = codes.iter().map(|code| json!({"code": code})).collect();
    let policy: &[&str] = match fhir.references {
        References::Enforce => &["literal", "enforced"],
        References::Off => &["literal"],
    };
    let parameters: Vec<Value> = parse::supported(definitions, ty)
        .iter()
        .map(|parameter| json!({"name": parameter.code, "definition": parameter.url, "type": kind(parameter.kind)}))
        .collect();
    let mut operations = vec![operation("meta", "Resource-meta"), operation("validate", "Resource-validate")];
    if !create_only {
        operations.push(operation("meta-add", "Resource-meta-add"));
        operations.push(operation("meta-delete", "Resource-meta-delete"));
    }
    match ty.name() {
        "Patient" => operations.push(operation("everything", "Patient-everything")),
        "Encounter" => operations.push(operation("everything", "Encounter-everything")),
        _ => {}
    }
    let mut resource = json!({
        "type": ty.name(),
        "interaction": interactions,
        "conditionalUpdate": !create_only,
        "conditionalDelete": match (create_only, fhir.conditional_delete) {
            (true, _) => "not-supported",
            (false, ConditionalDelete::Single) => "single",
            (false, ConditionalDelete::Multiple) => "multiple",
        },
        "versioning": if create_only { "versioned" } else { "versioned-update" },
        "readHistory": true,
        "updateCreate": !create_only,
        "conditionalCreate": true,
        "conditionalRead": "full-support",
        "referencePolicy": policy,
        "operation": operations,
    });
    if let (false, Value::Object(members)) = (parameters.is_empty(), &mut resource) {
        let (forward, reverse) = (include::forward_paths(definitions, ty), include::reverse_paths(definitions, ty));
        if !forward.is_empty() {
            members.insert("searchInclude".to_owned(), forward.into());
        }
        members.insert("searchRevInclude".to_owned(), reverse.into());
        members.insert("searchParam".to_owned(), Value::Array(parameters));
    }
    resource
}

/// An operation of R4 by the id of its definition.
fn operation(name: &str, id: &str) -> Value {
    json!({"name": name, "definition": format!("http://hl7.org/fhir/OperationDefinition/{id}")})
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
