//! `/resultados/{id}`: a preliminary result made final; a released one amended as a new version, with its reason.
//!
//! The notice of a critical value (whom, when, read back) and the reason of an amendment are notes of the Observation
//! (`note`: author and time), which every reader of it shows. The report of a result follows when none of it waits.

use super::enter::patient_of;
use super::{DESK, flag, status, words};
use crate::error::{Kind, Result};
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::view::conflict::{self, Other, Pair};
use crate::view::observation::{number, put};
use crate::view::page::{Badge, Flag, Link, Page};
use crate::view::patient::{self, Name};
use crate::view::record::words::{joined, list, text};
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
struct Model {
    page: Page,
    action: String,
    version: String,
    name: String,
    person: String,
    document: String,
    value: String,
    reference: String,
    notes: String,
    status: Badge,
    flag: Option<Flag>,
    critical: bool,
    released: bool,
    chart: Link,
    fields: Fields,
}

fn version(resource: &Value) -> &str {
    resource.get("meta").map(|meta| text(meta, "versionId")).unwrap_or_default()
}

fn is_released(resource: &Value) -> bool {
    matches!(text(resource, "status"), "final" | "amended" | "corrected" | "appended")
}

async fn result(visit: &Visit) -> Result<(Value, Value)> {
    visit
        .unit(async |unit| {
            let result = patient::read(unit, "Observation", visit.part("id")).await?;
            let person = patient::read(unit, "Patient", &patient_of(&result)?).await?;
            Ok((result, person))
        })
        .await
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let (result, person) = result(visit).await?;
    shown(visit, 200, &result, &person, visit.draft.as_ref(), Problems::default())
}

fn stored_value(visit: &Visit, result: &Value) -> String {
    match result.get("valueQuantity").and_then(|quantity| quantity.get("value")) {
        Some(Value::Number(number)) => visit.reader.number(number.as_str()),
        _ => text(result, "valueString").to_owned(),
    }
}

fn shown(
    visit: &Visit,
    code: u16,
    result: &Value,
    person: &Value,
    typed: Option<&Form>,
    problems: Problems,
) -> Result<Reply> {
    let words = words(visit);
    let released = is_released(result);
    let (flag, critical) = flag(&visit.reader, result);
    let measured = words.measured(result).unwrap_or_default();
    let mut sheet = Sheet::new(&visit.reader, typed, problems);
    sheet.line("valor", "lab.value", &stored_value(visit, result)).hint(visit.text("lab.value_hint"));
    if released {
        sheet.line("motivo", "lab.reason", "").hint(visit.text("lab.reason_hint"));
    }
    if critical && !released {
        sheet.line("aviso", "lab.told", "");
        sheet.line("hora", "lab.told_at", "").hint(visit.text("taken.time_hint"));
        sheet.check("repitio", "lab.read_back", false);
    }
    let page = visit
        .page(visit.text(if released { "lab.amend_title" } else { "lab.validate_title" }))
        .at(DESK)
        .inside(DESK, visit.text("lab.list"));
    let page = Page { message: sheet.summary().or(page.message.clone()), ..page };
    let range = list(result, "referenceRange").next();
    let model = Model {
        page,
        action: visit.path.clone(),
        version: typed
            .map(|form| form.typed("version"))
            .filter(|typed| !typed.is_empty())
            .unwrap_or(version(result))
            .to_owned(),
        name: words.concept(result.get("code")),
        person: Name::of(person).whole(),
        document: patient::document(visit, person).unwrap_or_default(),
        value: joined([measured.text, measured.unit], " "),
        reference: range.map(|range| words.range(range.get("low"), range.get("high"))).unwrap_or_default(),
        notes: words.notes(result),
        status: status(visit, text(result, "status"), false),
        flag,
        critical: critical && !released,
        released,
        chart: Link::new(format!("/paciente/{}", encoded(text(person, "id"))), visit.text("lab.chart")),
        fields: sheet.fields(),
    };
    visit.show_as(code, "lab-validate", &model)
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let (stored, person) = result(visit).await?;
    let mut problems = Problems::default();
    let mut result = stored.clone();
    apply(visit, &mut result, form, &mut problems);
    if !problems.is_empty() {
        return shown(visit, 422, &stored, &person, Some(form), problems);
    }
    let if_match = Some(form.typed("version").parse::<i64>().unwrap_or(0));
    let saved = visit.once(async |unit| {
        let resource_type = patient::named("Observation")?;
        let id = text(&stored, "id").to_owned();
        unit.run(&Interaction::Update {
            resource_type,
            id: id.clone(),
            resource: Content::new(result.clone()),
            if_match,
        })
        .await?;
        follow(unit, &id, text(&result, "status")).await?;
        Ok(DESK.to_owned())
    });
    match saved.await {
        Err(error) if error.kind == Kind::StaleVersion => conflicting(visit, &stored, form),
        done => Ok(Reply::said(done?, "said.saved")),
    }
}

fn apply(visit: &Visit, result: &mut Value, form: &Form, problems: &mut Problems) {
    let released = is_released(result);
    let changed = form.typed("valor") != stored_value(visit, result);
    // What has no value may be made final as it is: it says why.
    if form.typed("valor").is_empty() && changed {
        problems.add("valor", visit.text("form.missing"));
    } else if changed {
        change(visit, result, form, problems);
    }
    let mut note = String::new();
    if released {
        if form.typed("motivo").is_empty() {
            problems.add("motivo", visit.text("form.missing"));
        }
        note = visit.reader.fill("lab.reason_note", &[("text", form.typed("motivo"))]);
    } else if flag(&visit.reader, result).1 {
        for name in ["aviso", "hora"] {
            if form.typed(name).is_empty() {
                problems.add(name, visit.text("form.missing"));
            }
        }
        if form.typed("repitio") != "1" {
            problems.add("repitio", visit.text("lab.read_back_missing"));
        }
        note = visit.reader.fill("lab.notice_note", &[("who", form.typed("aviso")), ("time", form.typed("hora"))]);
    }
    if !note.is_empty() {
        let mut notes: Vec<Value> = list(result, "note").cloned().collect();
        notes.push(json!({"authorString": visit.name, "time": visit.reader.now.to_string(), "text": note}));
        put(result, "note", json!(notes));
    }
    put(result, "status", json!(if released { "corrected" } else { "final" }));
    put(result, "issued", json!(visit.reader.now.to_string()));
}

/// Another value: what was said of the old one goes unless the reference says it of the new one too.
fn change(visit: &Visit, result: &mut Value, form: &Form, problems: &mut Problems) {
    let coded = result.as_object().is_some_and(|members| {
        members
            .keys()
            .any(|name| name.starts_with("value") && !matches!(name.as_str(), "valueQuantity" | "valueString"))
    });
    if coded {
        return problems.add("valor", visit.text("lab.coded"));
    }
    if let Some(members) = result.as_object_mut() {
        members.remove("dataAbsentReason");
    }
    let Some(mut quantity) = result.get("valueQuantity").cloned() else {
        return put(result, "valueString", json!(form.typed("valor")));
    };
    let Ok(value) = number(form.typed("valor")) else { return problems.add("valor", visit.text("lab.number_wrong")) };
    let range = list(result, "referenceRange").next();
    let end = |name: &str| {
        range.and_then(|range| range.get(name)).and_then(|end| end.get("value")).map(crate::view::observation::float)
    };
    let n = crate::view::observation::float(&value);
    let code = match (end("low"), end("high")) {
        (Some(low), _) if n < low => Some("L"),
        (_, Some(high)) if n > high => Some("H"),
        (None, None) => None,
        _ => Some("N"),
    };
    put(&mut quantity, "value", value);
    put(result, "valueQuantity", quantity);
    if let Some(members) = result.as_object_mut() {
        members.remove("interpretation");
    }
    if let Some(code) = code {
        put(
            result,
            "interpretation",
            json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": code}]}]),
        );
    }
}

/// The reports that hold a result: final when none of their results waits, corrected when one was.
async fn follow(unit: &mut Unit<'_>, id: &str, now: &str) -> Result<()> {
    let query = format!("result=Observation/{}&_count=5", encoded(id));
    let found = patient::search(unit, "DiagnosticReport", &query).await?;
    let held = super::ids_of_results(&found.resources);
    if held.is_empty() {
        return Ok(());
    }
    let results = patient::search(unit, "Observation", &format!("_id={}&_count=200", encoded(&held))).await?;
    let status_of = |reference: &str| {
        let id = reference.rsplit_once('/').map_or(reference, |(_, id)| id);
        results.resources.iter().find(|r| text(r, "id") == id).map(|r| text(r, "status"))
    };
    for report in &found.resources {
        // A search may not see yet what this unit has written.
        let own = format!("/{id}");
        let state =
            |reference: &str| if format!("/{reference}").ends_with(&own) { Some(now) } else { status_of(reference) };
        let states: Vec<&str> = list(report, "result").filter_map(|result| state(text(result, "reference"))).collect();
        let waits = states.iter().any(|status| matches!(*status, "preliminary" | "registered"));
        let next = match text(report, "status") {
            "preliminary" | "partial" | "registered" if !waits => "final",
            "final" | "amended" if states.contains(&"corrected") => "corrected",
            _ => continue,
        };
        let mut report = report.clone();
        put(&mut report, "status", json!(next));
        let (id, if_match) = (text(&report, "id").to_owned(), version(&report).parse().ok());
        let resource_type = patient::named("DiagnosticReport")?;
        unit.run(&Interaction::Update { resource_type, id, resource: Content::new(report), if_match }).await?;
    }
    Ok(())
}

fn conflicting(visit: &Visit, stored: &Value, form: &Form) -> Result<Reply> {
    let value = stored_value(visit, stored);
    let typed = form.typed("valor").to_owned();
    let pair = Pair {
        name: "valor",
        label: visit.text("lab.value").to_owned(),
        stored_shown: value.clone(),
        stored: value,
        typed_shown: typed.clone(),
        typed,
    };
    let mut carried: Vec<(String, String)> = ["motivo", "aviso", "hora", "repitio"]
        .iter()
        .map(|name| ((*name).to_owned(), form.typed(name).to_owned()))
        .collect();
    carried.push(("version".to_owned(), version(stored).to_owned()));
    let at = stored.get("meta").map(|meta| visit.reader.fhir(text(meta, "lastUpdated"))).unwrap_or_default();
    let page = visit.page(visit.text("conflict.title")).at(DESK);
    conflict::page(visit, page, vec![pair], carried, &Other { who: None, at }, &visit.path)
}
