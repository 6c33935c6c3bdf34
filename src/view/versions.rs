//! `/paciente/{id}/registro/{tipo}/{rid}`: one entry of a chart: its value over time, and every version of it that was
//! ever kept. `.../corregir`: a new version of an Observation or Condition; the old one stays readable.

use crate::error::{Error, Kind, Result};
use crate::fhir::format::{Limits, parse_json};
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::view::chart;
use crate::view::conflict::{self, Other, Pair};
use crate::view::observation::{float, judge, put, quantity};
use crate::view::observe::{numbered, rows};
use crate::view::page::{self, Badge, Link, Page};
use crate::view::patient::{named, read};
use crate::view::problem;
use crate::view::record::Record;
use crate::view::record::clinical::{Allergy, Item};
use crate::view::record::results::Row;
use crate::view::record::words::{Words, code_of, joined, list, text};
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::trend;
use crate::view::visit::{Reply, Visit};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Versions and earlier values of a page.
const MOST: usize = 50;
/// Types that have such a page.
const KINDS: [&str; 11] = [
    "Observation",
    "Condition",
    "AllergyIntolerance",
    "MedicationRequest",
    "MedicationStatement",
    "Encounter",
    "Procedure",
    "Immunization",
    "ServiceRequest",
    "DiagnosticReport",
    "DocumentReference",
];
/// Blood pressure, its systolic and its diastolic part (LOINC): the fields of their form.
const PARTS: [(&str, &str, &str); 2] =
    [("sistolica", "8480-6", "sign.8480-6"), ("diastolica", "8462-4", "sign.8462-4")];

#[derive(Serialize)]
struct Version {
    n: String,
    current: bool,
    value: String,
    lines: Vec<String>,
    saved: String,
    badge: Option<Badge>,
}

#[derive(Serialize)]
struct Earlier {
    href: String,
    when: String,
    value: String,
    unit: String,
    tone: Option<&'static str>,
    flag: Option<page::Flag>,
    reference: String,
    status: Option<Badge>,
    here: bool,
}

#[derive(Serialize)]
struct Model {
    page: Page,
    title: String,
    code: String,
    correct: Option<Link>,
    chart: Option<trend::Large>,
    earlier: Vec<Earlier>,
    versions: Vec<Version>,
    more: bool,
}

fn absent() -> Error {
    Error::new(Kind::NotFound, "there is no such resource")
}

/// Type and id of the address.
fn wanted(visit: &Visit) -> Result<(&'static str, String)> {
    let kind = KINDS.into_iter().find(|kind| *kind == visit.part("tipo")).ok_or_else(absent)?;
    Ok((kind, visit.part("rid").to_owned()))
}

/// Whether a resource is of this patient.
fn is_of(visit: &Visit, resource: &Value, patient: &str) -> bool {
    let subject = resource.get("subject").or(resource.get("patient")).map_or("", |subject| text(subject, "reference"));
    let relative = subject.strip_prefix(&format!("{}/", visit.app.base)).unwrap_or(subject);
    relative.strip_prefix("Patient/") == Some(patient)
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let (kind, id) = wanted(visit)?;
    let record = chart::of(visit).await?;
    let (resource_type, query) = (named(kind)?, format!("_count={MOST}"));
    let answer = visit
        .unit(async |unit| {
            unit.run(&Interaction::HistoryInstance { resource_type, id: id.clone(), query: query.clone() }).await
        })
        .await?;
    let bundle: Value = parse_json(answer.body.as_deref().unwrap_or_default(), &Limits::default())?;
    let kept: Vec<&Value> = list(&bundle, "entry").filter_map(|entry| entry.get("resource")).collect();
    let current = kept.first().filter(|resource| is_of(visit, resource, &record.id)).ok_or_else(absent)?;
    let base = format!("{}/", visit.app.base);
    let words = Words { reader: &visit.reader, systems: &visit.app.systems, base: &base, names: HashMap::new() };
    let versions: Vec<Version> =
        kept.iter().enumerate().map(|(n, resource)| version(&words, kind, resource, n == 0)).collect();
    let row = if kind == "Observation" {
        rows(&record).find(|row| row.last.id == id || row.earlier.iter().any(|reading| reading.id == id))
    } else {
        None
    };
    let title = row.map_or_else(|| described(&words, kind, current).what, |row| row.name.clone());
    let corrects = chart::writes(visit) && Edit::of(kind, current).is_some();
    let more = list(&bundle, "link").any(|link| text(link, "relation") == "next");
    let model = Model {
        page: chart::inner(visit, &record, title.clone()),
        code: described(&words, kind, current).code,
        title,
        correct: corrects.then(|| {
            Link::new(format!("{}/corregir", chart::entry(&record.id, kind, &id)), visit.text("versions.correct"))
        }),
        chart: row.and_then(|row| large(visit, row)),
        earlier: row.map(|row| earlier(visit, &record, row, &id)).unwrap_or_default(),
        versions,
        more,
    };
    visit.show("versions", &model)
}

fn large(visit: &Visit, row: &Row) -> Option<trend::Large> {
    let sentence = trend::sentence(&visit.reader, &row.name, &row.series, &row.last.unit);
    trend::large(&row.series, row.band, row.mark, row.ends.clone(), sentence)
}

fn earlier(visit: &Visit, record: &Record, row: &Row, here: &str) -> Vec<Earlier> {
    let readings = std::iter::once(&row.last).chain(&row.earlier).take(MOST);
    let line = |reading: &crate::view::record::results::Reading| Earlier {
        href: chart::entry(&record.id, "Observation", &reading.id),
        when: chart::moment(visit, reading),
        value: reading.value.clone(),
        unit: reading.unit.clone(),
        tone: chart::tone(reading.flag),
        flag: chart::flag(reading),
        reference: reading.reference.clone(),
        status: chart::status(reading),
        here: reading.id == here,
    };
    readings.map(line).collect()
}

fn version(words: &Words<'_>, kind: &'static str, resource: &Value, current: bool) -> Version {
    let meta = resource.get("meta").unwrap_or(&Value::Null);
    let item = described(words, kind, resource);
    let who = [
        words.people(resource, "performer", ""),
        words.named(resource.get("recorder")),
        words.named(resource.get("requester")),
    ];
    let value = if kind == "Observation" { measured(words, resource) } else { item.what.clone() };
    Version {
        n: text(meta, "versionId").to_owned(),
        current,
        value,
        lines: [joined([&item.code, &item.when.text, &item.status], " · "), item.detail.clone(), joined(who, ", ")]
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect(),
        saved: words.reader.fhir(text(meta, "lastUpdated")),
        badge: current.then(|| Badge::new("ok", Some("check"), words.say("versions.current"))),
    }
}

/// The values of an Observation and of its parts.
fn measured(words: &Words<'_>, resource: &Value) -> String {
    let amount = |holder: &Value| words.measured(holder).map(|m| joined([m.text, m.unit], " "));
    let parts = list(resource, "component")
        .filter_map(|part| Some(joined([words.concept(part.get("code")), amount(part)?], " ")));
    joined(amount(resource).into_iter().chain(parts), " · ")
}

/// An entry in words.
fn described(words: &Words<'_>, kind: &'static str, resource: &Value) -> Item {
    match kind {
        "Condition" => words.problem(resource),
        "AllergyIntolerance" => match words.allergy(resource) {
            Allergy::Known(item) => *item,
            Allergy::NoneKnown(when) => {
                Item { what: words.say("banner.no_allergies").to_owned(), when, ..Item::default() }
            }
            Allergy::NotAsked => Item { what: words.say("banner.allergies_unasked").to_owned(), ..Item::default() },
        },
        "MedicationRequest" | "MedicationStatement" => words.medicine(kind, resource),
        "Encounter" => words.visit(resource),
        "Procedure" => words.procedure(resource),
        "Immunization" => words.vaccine(resource),
        "ServiceRequest" => words.order(resource),
        "DiagnosticReport" => words.report(resource),
        "DocumentReference" => words.document(resource),
        _ => {
            let references =
                list(resource, "referenceRange").map(|range| words.range(range.get("low"), range.get("high")));
            let reference = joined(references, "; ");
            let reference =
                if reference.is_empty() { reference } else { format!("{} {reference}", words.say("result.ref")) };
            Item {
                what: words.concept(resource.get("code")),
                code: code_of(resource.get("code"), |system| system == "http://loinc.org"),
                when: words.when(resource, &["effective", "issued"]),
                status: words.word("status", text(resource, "status")),
                detail: joined([reference, words.notes(resource)], " · "),
                ..Item::default()
            }
        }
    }
}

/// What can be corrected here.
enum Edit {
    Condition,
    Number,
    Text,
    Pressure,
}

impl Edit {
    fn of(kind: &str, resource: &Value) -> Option<Edit> {
        if text(resource, "status") == "entered-in-error" {
            return None;
        }
        match kind {
            "Condition" => Some(Edit::Condition),
            "Observation" if resource.get("valueQuantity").is_some() => Some(Edit::Number),
            "Observation" if resource.get("valueString").is_some() => Some(Edit::Text),
            "Observation" => PARTS.iter().all(|(_, code, _)| part(resource, code).is_some()).then_some(Edit::Pressure),
            _ => None,
        }
    }
}

fn part<'v>(resource: &'v Value, code: &str) -> Option<&'v Value> {
    let is = |part: &&Value| {
        part.get("valueQuantity").is_some()
            && part
                .get("code")
                .is_some_and(|concept| list(concept, "coding").any(|coding| text(coding, "code") == code))
    };
    list(resource, "component").find(is)
}

#[derive(Serialize)]
struct Correction {
    page: Page,
    action: String,
    back: String,
    what: String,
    names: Vec<crate::view::sheet::Field>,
    version: String,
}

/// The fields of a correction, as they are stored: name, label, value, unit.
fn stored(visit: &Visit, edit: &Edit, resource: &Value) -> Vec<(&'static str, &'static str, String, String)> {
    let typed = |holder: &Value| {
        let amount = holder.get("valueQuantity").unwrap_or(&Value::Null);
        let digits = amount.get("value").map(Value::to_string).unwrap_or_default();
        (visit.reader.number(&digits), text(amount, "unit").to_owned())
    };
    match edit {
        Edit::Number => {
            let (value, unit) = typed(resource);
            vec![("valor", "observe.value", value, unit)]
        }
        Edit::Text => vec![("valor", "observe.value", text(resource, "valueString").to_owned(), String::new())],
        Edit::Pressure => {
            let each = |(field, code, label): &(&'static str, &'static str, &'static str)| {
                let (value, unit) = typed(part(resource, code).unwrap_or(&Value::Null));
                (*field, *label, value, unit)
            };
            PARTS.iter().map(each).collect()
        }
        Edit::Condition => {
            let kept = condition(resource);
            let field = |name, label, value: &str| (name, label, value.to_owned(), String::new());
            vec![
                field("texto", "problem.text", &kept.text),
                field("codigo", "problem.code", &kept.code),
                field("desde", "problem.onset", &kept.onset),
                field("estado", "problem.status", &kept.status),
                field("certeza", "problem.certainty", &kept.certainty),
            ]
        }
    }
}

fn condition(resource: &Value) -> problem::Stored {
    let status = |name: &str, other: &str, first: &str| {
        if code_of(resource.get(name), |_| true) == other { other.to_owned() } else { first.to_owned() }
    };
    let code = resource.get("code").unwrap_or(&Value::Null);
    let icd = list(code, "coding").find(|coding| text(coding, "system") == "http://hl7.org/fhir/sid/icd-10");
    let said = text(code, "text");
    let display = list(code, "coding").map(|coding| text(coding, "display")).find(|display| !display.is_empty());
    problem::Stored {
        code: icd.map(|coding| text(coding, "code")).unwrap_or_default().to_owned(),
        text: if said.is_empty() { display.unwrap_or_default() } else { said }.to_owned(),
        onset: problem::onset_field(text(resource, "onsetDateTime")),
        status: status("clinicalStatus", "resolved", "active"),
        certainty: status("verificationStatus", "provisional", "confirmed"),
    }
}

/// Reads the entry: it must be of this patient, and of those that can be corrected.
async fn entry(unit: &mut Unit<'_>, visit: &Visit, patient: &str, kind: &str, id: &str) -> Result<(Value, Edit)> {
    let resource = read(unit, kind, id).await?;
    if !is_of(visit, &resource, patient) {
        return Err(absent());
    }
    let edit = Edit::of(kind, &resource).ok_or_else(absent)?;
    Ok((resource, edit))
}

pub async fn correct_page(visit: &Visit) -> Result<Reply> {
    let (kind, id) = wanted(visit)?;
    let record = chart::of(visit).await?;
    let (resource, edit) = visit.unit(async |unit| entry(unit, visit, &record.id, kind, &id).await).await?;
    shown(visit, &record, &resource, &edit, visit.draft.as_ref(), Problems::default(), 200)
}

pub async fn correct(visit: &Visit, form: &Form) -> Result<Reply> {
    let (kind, id) = wanted(visit)?;
    let record = chart::of(visit).await?;
    let (resource, edit) = visit.unit(async |unit| entry(unit, visit, &record.id, kind, &id).await).await?;
    let mut problems = Problems::default();
    let version: i64 = form.typed("version").parse().map_err(|_| Error::at(Kind::Value, "version", "not a version"))?;
    let mut checked = resource.clone();
    apply(visit, &edit, &mut checked, form, &mut problems);
    if form.typed("motivo").is_empty() {
        problems.add("motivo", visit.text("form.missing"));
    }
    if !problems.is_empty() {
        return shown(visit, &record, &resource, &edit, Some(form), problems, 422);
    }
    let resource_type = named(kind)?;
    let saved = visit.once(async |unit| {
        let (mut current, edit) = entry(unit, visit, &record.id, kind, &id).await?;
        apply(visit, &edit, &mut current, form, &mut Problems::default());
        unit.run(&Interaction::Update {
            resource_type,
            id: id.clone(),
            resource: Content::new(current),
            if_match: Some(version),
        })
        .await?;
        Ok(chart::entry(&record.id, kind, &id))
    });
    match saved.await {
        Err(error) if error.kind == Kind::StaleVersion => conflicting(visit, &record, &resource, &edit, form),
        done => Ok(Reply::said(done?, "said.saved")),
    }
}

/// Puts what was typed into a resource.
fn apply(visit: &Visit, edit: &Edit, resource: &mut Value, form: &Form, problems: &mut Problems) {
    match edit {
        Edit::Condition => {
            let typed = problem::read(&visit.reader, form, problems);
            problem::apply(resource, &typed);
        }
        Edit::Text if form.typed("valor").is_empty() => problems.add("valor", visit.text("form.missing")),
        Edit::Text => put(resource, "valueString", json!(form.typed("valor"))),
        Edit::Number => number_into(visit, "valor", resource, form, problems),
        Edit::Pressure => {
            let parts = resource.get_mut("component").and_then(Value::as_array_mut).into_iter().flatten();
            for holder in parts {
                let is = |code: &str| {
                    holder
                        .get("code")
                        .is_some_and(|concept| list(concept, "coding").any(|coding| text(coding, "code") == code))
                };
                if let Some((field, ..)) = PARTS.iter().find(|(_, code, _)| is(code)) {
                    number_into(visit, field, holder, form, problems);
                }
            }
        }
    }
    if !matches!(edit, Edit::Condition) {
        put(resource, "status", json!("corrected"));
    }
    let note = json!({"authorString": visit.name, "time": visit.reader.now.display_with_offset(visit.reader.offset).to_string(), "text": form.typed("motivo")});
    let notes: Vec<Value> = list(resource, "note").cloned().chain([note]).collect();
    put(resource, "note", json!(notes));
}

/// Another number in the same unit, judged by the reference that is there.
fn number_into(visit: &Visit, field: &'static str, holder: &mut Value, form: &Form, problems: &mut Problems) {
    if form.typed(field).is_empty() {
        return problems.add(field, visit.text("form.missing"));
    }
    let Some(value) = numbered(visit, field, form.typed(field), problems) else { return };
    let old = holder.get("valueQuantity").cloned().unwrap_or(Value::Null);
    let (unit, code) = (text(&old, "unit").to_owned(), text(&old, "code").to_owned());
    let mut amount =
        if code.is_empty() { json!({"value": value, "unit": unit}) } else { quantity(&value, &unit, &code) };
    if !text(&old, "system").is_empty() {
        put(&mut amount, "system", json!(text(&old, "system")));
    }
    put(holder, "valueQuantity", amount);
    let range = list(holder, "referenceRange").next().cloned();
    let only = list(holder, "referenceRange").count() == 1;
    if let Some(members) = holder.as_object_mut() {
        members.shift_remove("interpretation");
    }
    if let Some(range) = range.filter(|_| only) {
        let end = |name: &str| range.get(name).and_then(|end| end.get("value")).cloned();
        let kept = holder.get("referenceRange").cloned();
        judge(holder, float(&value), (end("low"), end("high")), &unit, &code);
        // The reference stays as the laboratory wrote it.
        kept.into_iter().for_each(|kept| put(holder, "referenceRange", kept));
    }
}

fn shown(
    visit: &Visit,
    record: &Record,
    resource: &Value,
    edit: &Edit,
    typed: Option<&Form>,
    problems: Problems,
    status: u16,
) -> Result<Reply> {
    let reader = &visit.reader;
    let mut sheet = Sheet::new(reader, typed, problems);
    let kept = stored(visit, edit, resource);
    if matches!(edit, Edit::Condition) {
        problem::add_fields(&mut sheet, reader, &condition(resource));
    } else {
        for (name, label, value, unit) in &kept {
            let field = sheet.line(name, label, value);
            if matches!(edit, Edit::Number | Edit::Pressure) {
                field.unit(unit.clone());
            }
        }
    }
    sheet.line("motivo", "correct.reason", "").hint(reader.text("correct.reason_hint"));
    let base = format!("{}/", visit.app.base);
    let words = Words { reader, systems: &visit.app.systems, base: &base, names: HashMap::new() };
    let page = chart::inner(visit, record, reader.text("correct.title"));
    let page = match sheet.summary() {
        Some(summary) => page.says(summary),
        None => page,
    };
    let mut fields: Fields = sheet.fields();
    let names = kept.iter().map(|(name, ..)| *name).chain(["motivo"]).filter_map(|name| fields.remove(name)).collect();
    let (kind, id) = wanted(visit)?;
    // The version that was looked at, also when the form comes back with what was typed.
    let version = typed.map(|form| form.typed("version").to_owned()).filter(|version| !version.is_empty());
    let model = Correction {
        page,
        action: visit.path.clone(),
        back: chart::entry(&record.id, kind, &id),
        what: words.concept(resource.get("code")),
        names,
        version: version.unwrap_or_else(|| text(resource.get("meta").unwrap_or(&Value::Null), "versionId").to_owned()),
    };
    visit.show_as(status, "correct", &model)
}

/// Somebody was faster: both versions.
fn conflicting(visit: &Visit, record: &Record, resource: &Value, edit: &Edit, form: &Form) -> Result<Reply> {
    let reader = &visit.reader;
    let meta = resource.get("meta").unwrap_or(&Value::Null);
    let shown = |name: &str, value: &str, unit: &str| match value {
        "" => reader.text("correct.empty").to_owned(),
        "active" | "resolved" | "confirmed" | "provisional" if matches!(name, "estado" | "certeza") => {
            reader.text(&format!("problem.{value}")).to_owned()
        }
        value => joined([value, unit], " "),
    };
    let (mut pairs, mut carried) = (
        Vec::new(),
        vec![
            ("version".to_owned(), text(meta, "versionId").to_owned()),
            ("motivo".to_owned(), form.typed("motivo").to_owned()),
        ],
    );
    for (name, label, value, unit) in stored(visit, edit, resource) {
        let typed = form.typed(name).to_owned();
        if typed == value {
            carried.push((name.to_owned(), typed));
            continue;
        }
        let (stored_shown, typed_shown) = (shown(name, &value, &unit), shown(name, &typed, &unit));
        pairs.push(Pair {
            name,
            label: reader.text(label).to_owned(),
            stored: value,
            stored_shown,
            typed,
            typed_shown,
        });
    }
    let (kind, id) = wanted(visit)?;
    let other = Other { who: None, at: reader.fhir(text(meta, "lastUpdated")) };
    let page = chart::inner(visit, record, reader.text("correct.title"));
    conflict::page(visit, page, pairs, carried, &other, &chart::entry(&record.id, kind, &id))
}
