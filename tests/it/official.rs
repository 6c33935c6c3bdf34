//! The 738 official examples of R4 (issue 3, Must show 3), and the requests of the folder `examples/`.

use crate::harness::data::{content, json_files, json_of, unpacked};
use crate::harness::fhir::signed_in;
use crate::harness::{Fhir, Instance, Start, fhir, run, skip};
use futures_util::stream::{self, StreamExt};
use historia::fhir::definitions::{self, ResourceType, SearchKind, SearchParameter};
use historia::fhir::path::Node;
use historia::search::param::composite::{self, Way};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Entries of one batch.
const BATCH: usize = 200;

/// Examples that the standard itself forbids, and the place that says why.
pub const REFUSED: &[(&str, &str)] = &[
    (
        "ActivityDefinition-blood-tubes-supply.json",
        "ActivityDefinition.text.div must have some text or an image (txt-2)",
    ),
    (
        "ActivityDefinition-heart-valve-replacement.json",
        "ActivityDefinition.text.div must have some text or an image (txt-2)",
    ),
    ("DeviceMetric-example.json", "DeviceMetric.parent.reference must not refer to DeviceDefinition"),
    ("DeviceUseStatement-example.json", "DeviceUseStatement.reasonReference[0].reference must not refer to Procedure"),
    ("EventDefinition-example.json", "EventDefinition.text.div must have some text or an image (txt-2)"),
    ("ImplementationGuide-fhir.json", "ImplementationGuide.name ImplementationGuide.status"),
    (
        "MedicationRequest-medrx0301.json",
        "MedicationRequest.dispenseRequest.performer.reference must not refer to Practitioner",
    ),
    ("Observation-clinical-gender.json", "Observation.performer[0].reference must not refer to Encounter"),
    ("Questionnaire-qs1.json", "Questionnaire.item[0].item[0].linkId"),
    (
        "Questionnaire-zika-virus-exposure-assessment.json",
        "Questionnaire.text.div must have some text or an image (txt-2)",
    ),
    ("ig-r4.json", "ImplementationGuide.name ImplementationGuide.status"),
];

/// An example as it is stored.
struct Stored {
    file: String,
    resource: Value,
}

/// Sends every example; each is accepted, or refused for a reason of [`REFUSED`].
async fn send(integracion: &Fhir, admin: &Fhir, folder: &Path) -> Vec<Stored> {
    let reasons: BTreeMap<&str, &str> = REFUSED.iter().copied().collect();
    // The archive holds the package's own description as well.
    let files: Vec<PathBuf> =
        json_files(folder).into_iter().filter(|file| json_of(file)["resourceType"].is_string()).collect();
    let answers: Vec<(String, Result<Stored, String>)> = stream::iter(files)
        .map(|file| async move {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&file).unwrap();
            let sent = json_of(&file);
            let resource_type = sent["resourceType"].as_str().unwrap().to_owned();
            let reply = integracion.raw("POST", &resource_type, &[], &text).await;
            if reply.status != 201 {
                return (
                    name.clone(),
                    Err(format!(
                        "{} {} {}",
                        reply.status,
                        reply.expressions().join(" "),
                        reply.diagnostics().replace('\n', "; ")
                    )),
                );
            }
            let reader = if resource_type == "AuditEvent" { admin } else { integracion };
            let resource = reader.get(&format!("{resource_type}/{}", reply.id())).await.expect(200).json();
            assert_eq!(content(&resource), content(&sent), "{name} is not what was sent");
            (name.clone(), Ok(Stored { file: name, resource }))
        })
        .buffer_unordered(4)
        .collect()
        .await;
    let mut wrong = Vec::new();
    let mut stored = Vec::new();
    for (name, answer) in answers {
        match (answer, reasons.get(name.as_str())) {
            (Ok(one), None) => stored.push(one),
            (Ok(_), Some(_)) => wrong.push(format!("{name} is accepted by now")),
            (Err(told), Some(reason)) if told.contains(reason) => {}
            (Err(told), _) => wrong.push(format!("{name}: {told}")),
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    stored
}

/// A query that must find a resource, and one that must not.
struct Asked {
    parameter: &'static str,
    own: String,
    other: String,
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

/// Escapes of search values.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if matches!(c, '\\' | '|' | ',' | '$') { vec!['\\', c] } else { vec![c] }).collect()
}

/// The values by which a node is found, each with a changed one, written as a client would, not as the index does.
fn values(kind: SearchKind, node: Node<'_>) -> Vec<(String, String)> {
    let value = node.value;
    let coded = |system: Option<&str>, code: Option<&str>| -> Vec<(String, String)> {
        let Some(code) = code.map(escaped) else { return Vec::new() };
        match system.map(escaped) {
            Some(system) => vec![
                (format!("{system}|{code}"), format!("{system}|{code}-x")),
                (code.clone(), format!("{code}-x")),
                (format!("{system}|{code}"), format!("{system}-x|{code}")),
            ],
            None => vec![(code.clone(), format!("{code}-x")), (format!("|{code}"), format!("urn:x|{code}"))],
        }
    };
    match (kind, node.fhir_type) {
        (SearchKind::Token, "CodeableConcept") => {
            let codings = value["coding"].as_array().into_iter().flatten();
            codings.flat_map(|coding| coded(text(coding, "system"), text(coding, "code"))).collect()
        }
        (SearchKind::Token, "Coding") => coded(text(value, "system"), text(value, "code")),
        (SearchKind::Token, "Identifier" | "ContactPoint") => coded(text(value, "system"), text(value, "value")),
        (SearchKind::Token, _) => match value {
            Value::String(code) => vec![(escaped(code), format!("{}-x", escaped(code)))],
            Value::Bool(flag) => vec![(flag.to_string(), (!flag).to_string())],
            _ => Vec::new(),
        },
        (SearchKind::Reference, _) => {
            let target = value.as_str().or_else(|| text(value, "reference"));
            let plain = target
                .filter(|target| !target.starts_with('#') && !target.contains("/_history/") && !target.contains('#'));
            plain.map(|target| (escaped(target), format!("{}x", escaped(target)))).into_iter().collect()
        }
        (SearchKind::String, fhir_type) => {
            let parts: &[&str] = match fhir_type {
                "HumanName" => &["family", "given", "text", "prefix", "suffix"],
                "Address" => &["city", "line", "state", "postalCode", "country", "district", "text"],
                _ => &[],
            };
            let texts: Vec<&str> = match parts {
                [] => value.as_str().into_iter().collect(),
                _ => parts
                    .iter()
                    .flat_map(|part| match &value[*part] {
                        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
                        one => one.as_str().into_iter().collect(),
                    })
                    .collect(),
            };
            let worth = texts.into_iter().filter(|text| text.chars().any(char::is_alphanumeric));
            worth
                .map(|text| {
                    let start: String = text.chars().take(100).collect();
                    (escaped(&start), escaped(&format!("zzqx{start}")))
                })
                .collect()
        }
        (SearchKind::Date, "Period") => {
            let start = text(value, "start").map(|start| format!("ge{start}"));
            let end = text(value, "end").map(|end| format!("le{end}"));
            start.into_iter().chain(end).map(|own| (own, "1801".to_owned())).collect()
        }
        (SearchKind::Date, "date" | "dateTime" | "instant") => {
            value.as_str().map(|date| (date.to_owned(), "1801".to_owned())).into_iter().collect()
        }
        (SearchKind::Uri, _) => {
            value.as_str().map(|uri| (escaped(uri), format!("{}x", escaped(uri)))).into_iter().collect()
        }
        (SearchKind::Number, _) => match value {
            Value::Number(number) => vec![(number.to_string(), ELSEWHERE.to_owned())],
            _ => Vec::new(),
        },
        (SearchKind::Quantity, "Range") => {
            let high = value["high"]["value"].as_number().map(|high| format!("le{high}"));
            high.map(|own| (own, ELSEWHERE.to_owned())).into_iter().collect()
        }
        (SearchKind::Quantity, fhir_type) => {
            let (Some(number), None) = (value["value"].as_number(), text(value, "comparator")) else {
                return Vec::new();
            };
            let (system, code) = match fhir_type {
                "Money" => (Some("urn:iso:std:iso:4217"), text(value, "currency")),
                _ => (text(value, "system"), text(value, "code")),
            };
            let mut own = vec![number.to_string()];
            own.extend(text(value, "unit").map(|unit| format!("{number}||{}", escaped(unit))));
            if let (Some(system), Some(code)) = (system, code) {
                own.push(format!("{number}|{}|{}", escaped(system), escaped(code)));
            }
            own.into_iter().map(|own| (own.clone(), own.replacen(&number.to_string(), ELSEWHERE, 1))).collect()
        }
        _ => Vec::new(),
    }
}

/// A number that no example has.
const ELSEWHERE: &str = "-98765.5";

/// The first values of the parts of a composite, with the last of them changed as the other.
fn together(parameter: &SearchParameter, node: Node<'_>, resource: &Value) -> Option<(String, String)> {
    let mut own = Vec::new();
    let mut last = String::new();
    for component in &parameter.components {
        let mut found = Vec::new();
        component.expression.evaluate_on(node, resource, &mut found);
        let (value, other) = found.into_iter().flat_map(|part| values(composite::kind(component), part)).next()?;
        last = other;
        own.push(value);
    }
    let before = own.split_last()?.1.join("$");
    Some((own.join("$"), format!("{before}${last}")))
}

/// Everything that a resource is to be found by.
fn asked(resource: &Value) -> Vec<Asked> {
    let resource_type = ResourceType::parse(resource["resourceType"].as_str().unwrap()).unwrap();
    let mut all = Vec::new();
    for parameter in definitions::r4().search_parameters(resource_type) {
        let found = nodes(parameter, resource).into_iter();
        let own: Vec<(String, String)> = match parameter.kind {
            SearchKind::Composite if composite::way(parameter, resource_type) == Way::Unsupported => continue,
            SearchKind::Composite => found.filter_map(|node| together(parameter, node, resource)).collect(),
            kind => found.flat_map(|node| values(kind, node)).collect(),
        };
        let present: BTreeSet<String> = own.iter().map(|(own, _)| own.clone()).collect();
        for (own, other) in own {
            // A changed value may be another one of the same resource.
            let other = if present.contains(&other) { "nada-de-eso-1801".to_owned() } else { other };
            all.push(Asked { parameter: parameter.code, own, other });
        }
    }
    all
}

fn nodes<'v>(parameter: &SearchParameter, resource: &'v Value) -> Vec<Node<'v>> {
    let mut nodes = Vec::new();
    if let Some(expression) =
        parameter.expression.as_ref().filter(|_| !parameter.code.starts_with("_id") && parameter.code != "_lastUpdated")
    {
        expression.evaluate(resource, &mut nodes);
    }
    nodes
}

/// Asks for totals, many in a batch.
async fn totals(caller: &Fhir, queries: &[String]) -> Vec<Result<u64, String>> {
    let answers: Vec<Vec<Result<u64, String>>> = stream::iter(queries.chunks(BATCH).map(<[String]>::to_vec))
        .map(|some| async move {
            let entries: Vec<Value> =
                some.iter().map(|query| json!({"request": {"method": "GET", "url": query}})).collect();
            let answer = caller
                .post("", &json!({"resourceType": "Bundle", "type": "batch", "entry": entries}))
                .await
                .expect(200)
                .json();
            let total =
                |entry: &Value| entry["resource"]["total"].as_u64().ok_or_else(|| entry["response"].to_string());
            answer["entry"].as_array().unwrap().iter().map(total).collect()
        })
        .buffered(3)
        .collect()
        .await;
    answers.into_iter().flatten().collect()
}

async fn found_by_their_values(caller: &Fhir, stored: &[&Stored]) -> (usize, Vec<String>) {
    let mut queries = Vec::new();
    let mut about = Vec::new();
    for one in stored {
        let (resource_type, id) =
            (one.resource["resourceType"].as_str().unwrap(), one.resource["id"].as_str().unwrap());
        let mut known: BTreeSet<(&str, String)> = BTreeSet::new();
        for asked in asked(&one.resource) {
            for (value, expected) in [(asked.own, 1), (asked.other, 0)] {
                if !known.insert((asked.parameter, value.clone())) {
                    continue;
                }
                let value = utf8_percent_encode(&value, NON_ALPHANUMERIC);
                queries.push(format!("{resource_type}?_id={id}&{}={value}&_summary=count", asked.parameter));
                about.push((expected, &one.file));
            }
        }
    }
    let answers = totals(caller, &queries).await;
    let mut wrong = Vec::new();
    for ((query, (expected, file)), answer) in queries.iter().zip(about).zip(answers) {
        // "nada-de-eso" is no date and no flag: a refusal finds nothing as well.
        if answer.as_ref().map_or(0, |total| *total) != expected || (answer.is_err() && expected == 1) {
            wrong.push(format!("{file}: {query}: {answer:?}, not {expected}"));
        }
    }
    (queries.len(), wrong)
}

#[test]
fn official_examples_are_kept_and_found_by_their_own_values() {
    let Some(folder) = unpacked("r4-examples-instances") else {
        return skip(
            "official_examples_are_kept_and_found_by_their_own_values",
            "no r4-examples-instances in HISTORIA_SHARED",
        );
    };
    run(async {
        let instance: Instance =
            Start::dev().with("HISTORIA_FHIR__REFERENCES", "off").with("HISTORIA_TOKENS__CLIENT", "1 h").ready();
        let (integracion, admin) = (signed_in(&instance, "integracion").await, signed_in(&instance, "admin").await);
        let stored = send(&integracion, &admin, &folder).await;
        assert!(stored.len() > 600, "{} accepted", stored.len());
        let (trails, others): (Vec<&Stored>, Vec<&Stored>) =
            stored.iter().partition(|one| one.resource["resourceType"] == "AuditEvent");
        let (asked, mut wrong) = found_by_their_values(&integracion, &others).await;
        wrong.extend(found_by_their_values(&admin, &trails).await.1);
        println!("{} examples, {asked} queries", stored.len());
        assert!(asked > 5000, "{asked} queries");
        assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
    });
}

/// The requests of `examples/http`: a request line, headers, an empty line, a body; `###` between two; `# -> 201` says what
/// is answered.
#[test]
fn the_requests_of_the_repository_work() {
    run(async {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/http");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "http"))
            .collect();
        files.sort();
        assert!(!files.is_empty());
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let mut values: BTreeMap<String, String> = BTreeMap::new();
            for request in text.split("###") {
                one_request(&file.display().to_string(), request, &mut values).await;
            }
        }
    });
}

/// `# -> 201 patient=Patient/{id}` keeps the id of the answer under a name.
async fn one_request(file: &str, request: &str, values: &mut BTreeMap<String, String>) {
    let mut request = request.trim().to_owned();
    for (name, value) in values.iter() {
        request = request.replace(&format!("{{{{{name}}}}}"), value);
    }
    // Remarks stand before the request line, the body after the first empty line behind it.
    let is_remark = |line: &&str| line.starts_with('#') || line.trim().is_empty();
    let remarks: Vec<&str> = request.lines().take_while(is_remark).collect();
    let rest: Vec<&str> = request.lines().skip(remarks.len()).collect();
    let Some(first) = rest.first() else { return };
    let said = |prefix: &str| remarks.iter().find_map(|line| line.strip_prefix(prefix)).map(str::trim);
    let expected = said("# -> ").unwrap_or_else(|| panic!("{file}: {first}: no line # -> STATUS"));
    let role = said("# role: ").unwrap_or("medico");
    let head: Vec<&str> = rest.iter().skip(1).take_while(|line| !line.trim().is_empty()).copied().collect();
    let body = rest[1 + head.len()..].join("\n");
    let (method, address) = first.split_once(' ').unwrap();
    let headers: Vec<(&str, &str)> =
        head.iter().filter_map(|line| line.split_once(": ")).filter(|(name, _)| *name != "Authorization").collect();
    let path = address.trim().replace("{{base}}", "").trim_start_matches('/').to_owned();
    let body = (!body.trim().is_empty()).then(|| body.trim().as_bytes().to_vec());
    let reply = fhir(role).await.send(method, &path, &headers, body).await;
    let mut words = expected.split_whitespace();
    let status: u16 = words.next().unwrap().parse().unwrap();
    assert_eq!(reply.status, status, "{file}: {first}: {}", reply.text());
    for name in words {
        values.insert(name.to_owned(), reply.id());
    }
}

/// The resources of `examples/fhir` are taken as they are, by a server that has none of them yet.
#[test]
fn the_resources_of_the_repository_are_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fhir");
    let instance = Start::serve_alone().ready();
    let output = instance.command(&["import", "--json", folder.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert!(report["bundles"].as_u64().unwrap() >= 1 && report["failed"] == json!([]), "{report}");
}
