//! capabilities (<https://hl7.org/fhir/R4/http.html#capabilities>): made from the registry, exact to what works.

use crate::access::Column;
use crate::access::role;
use crate::config::References;
use crate::error::Result;
use crate::fhir::definitions::{Definitions, ResourceType, SearchKind};
use crate::interaction::Answer;
use crate::interaction::unit::Unit;
use crate::search::compartment::KINDS;
use crate::search::{include, parse};
use serde_json::{Value, json};

/// The date of the statement's content: when what it says changed.
const DATE: &str = "2026-11-24";
const EVERYTHING: &str = "http://hl7.org/fhir/OperationDefinition/Patient-everything";

pub(super) fn run(unit: &Unit<'_>) -> Result<Answer> {
    let app = unit.app;
    let definitions = app.search_context().definitions;
    let resources: Vec<Value> =
        ResourceType::all().map(|ty| resource(definitions, ty, app.config.fhir.references)).collect();
    let statement = json!({
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
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "security": {
                "cors": false,
                "service": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "OAuth"}]}],
                "extension": [{
                    "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                    "extension": [{"url": "token", "valueUri": format!("{}/oauth/token", app.public_url())}]
                }],
                "description": "Bearer tokens of POST /login or of client_credentials at the token endpoint. The role decides what is allowed."
            },
            "resource": resources,
            "searchParam": everywhere(),
            "interaction": [{"code": "transaction"}, {"code": "batch"}, {"code": "search-system"}],
            "compartment": KINDS.map(|kind| format!("http://hl7.org/fhir/CompartmentDefinition/{}", kind.to_ascii_lowercase()))
        }]
    });
    Ok(Answer { status: 200, body: Some(statement.to_string().into_bytes()), ..Answer::default() })
}

/// What every type can be searched by beside its own parameters.
fn everywhere() -> Vec<Value> {
    let all = [("_content", "string"), ("_filter", "special"), ("_list", "string"), ("_text", "string")];
    all.map(|(name, kind)| json!({"name": name, "type": kind})).to_vec()
}

fn resource(definitions: &'static Definitions, ty: ResourceType, references: References) -> Value {
    let create_only = role::column(ty) == Column::Audit;
    let codes: &[&str] = if create_only {
        &["read", "vread", "history-instance", "create", "search-type"]
    } else {
        &["read", "vread", "history-instance", "create", "update", "delete", "search-type"]
    };
    let interactions: Vec<Value> = codes.iter().map(|code| json!({"code": code})).collect();
    let policy: &[&str] = match references {
        References::Enforce => &["literal", "enforced"],
        References::Off => &["literal"],
    };
    let parameters: Vec<Value> = parse::supported(definitions, ty)
        .iter()
        .map(|parameter| json!({"name": parameter.code, "definition": parameter.url, "type": kind(parameter.kind)}))
        .collect();
    let mut resource = json!({
        "type": ty.name(),
        "interaction": interactions,
        "versioning": if create_only { "versioned" } else { "versioned-update" },
        "readHistory": true,
        "updateCreate": !create_only,
        "conditionalCreate": true,
        "conditionalUpdate": false,
        "conditionalDelete": "not-supported",
        "referencePolicy": policy,
    });
    if let (true, Value::Object(members)) = (ty.name() == "Patient", &mut resource) {
        members.insert("operation".to_owned(), json!([{"name": "everything", "definition": EVERYTHING}]));
    }
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
