//! `/paciente/{id}/registro/{tipo}/{rid}`: one entry of a chart: its value over time, and every version of it that was
//! ever kept. What can be corrected is in [`super::correct`].

use crate::error::{Error, Kind, Result};
use crate::fhir::format::{Limits, parse_json};
use crate::interaction::Interaction;
use crate::view::chart;
use crate::view::correct::{Edit, can_void, writers};
use crate::view::observe::rows;
use crate::view::page::{self, Badge, Link, Page};
use crate::view::panels;
use crate::view::patient::named;
use crate::view::record::clinical::{Allergy, Item};
use crate::view::record::results::{Reading, Row};
use crate::view::record::words::{Words, code_of, joined, list, text};
use crate::view::record::{Extent, Record};
use crate::view::trend;
use crate::view::visit::{Reply, Visit};
use serde::Serialize;
use serde_json::Value;
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

#[derive(Serialize)]
struct Version {
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
    actions: Vec<Link>,
    chart: Option<trend::Large>,
    earlier: Vec<Earlier>,
    versions: Vec<Version>,
    more: bool,
}

pub fn absent() -> Error {
    Error::new(Kind::NotFound, "there is no such resource")
}

/// Type and id of the address.
pub fn wanted(visit: &Visit) -> Result<(&'static str, String)> {
    let kind = KINDS.into_iter().find(|kind| *kind == visit.part("tipo")).ok_or_else(absent)?;
    Ok((kind, visit.part("rid").to_owned()))
}

/// Whether a resource is of this patient.
pub fn is_of(visit: &Visit, resource: &Value, patient: &str) -> bool {
    let subject = resource.get("subject").or(resource.get("patient")).map_or("", |subject| text(subject, "reference"));
    let relative = subject.strip_prefix(&format!("{}/", visit.app.base)).unwrap_or(subject);
    relative.strip_prefix("Patient/") == Some(patient)
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let (kind, id) = wanted(visit)?;
    let record = chart::of(visit, if kind == "Observation" { Extent::Results } else { Extent::Banner }).await?;
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
    let words = words(visit, &base);
    let writers = writers(visit, &record.id, kind, &kept).await?;
    let versions: Vec<Version> =
        kept.iter().enumerate().map(|(n, resource)| version(&words, kind, resource, n == 0, &writers)).collect();
    let row = if kind == "Observation" {
        rows(&record).find(|row| row.last.id == id || row.earlier.iter().any(|reading| reading.id == id))
    } else {
        None
    };
    let title = row.map_or_else(|| described(&words, kind, current).what, |row| row.name.clone());
    let more = list(&bundle, "link").any(|link| text(link, "relation") == "next");
    let model = Model {
        page: chart::inner(visit, &record, title.clone()),
        code: described(&words, kind, current).code,
        title,
        actions: actions(visit, &chart::entry(&record.id, kind, &id), kind, current),
        chart: row.and_then(|row| large(visit, row)),
        earlier: row.map(|row| earlier(visit, &record, row, &id)).unwrap_or_default(),
        versions,
        more,
    };
    visit.show("versions", &model)
}

/// What can be done with an entry.
fn actions(visit: &Visit, entry: &str, kind: &str, current: &Value) -> Vec<Link> {
    let to = |part: &str, label: &str| Link::new(format!("{entry}/{part}"), visit.text(label));
    let ends = kind == "MedicationRequest" && matches!(text(current, "status"), "active" | "on-hold");
    let mut actions = Vec::new();
    if chart::writes(visit) && ends {
        actions.push(to("suspender", "prescribe.end"));
    }
    if chart::writes(visit) && Edit::of(kind, current).is_some() {
        actions.push(to("corregir", "versions.correct"));
    }
    if chart::writes(visit) && can_void(kind, current) {
        actions.push(to("anular", "versions.void"));
    }
    actions
}

/// What puts an entry into words; names of the directory are not read for it.
pub fn words<'w>(visit: &'w Visit, base: &'w str) -> Words<'w> {
    Words { reader: &visit.reader, systems: &visit.app.systems, base, names: HashMap::new() }
}

fn large(visit: &Visit, row: &Row) -> Option<trend::Large> {
    let sentence = trend::sentence(&visit.reader, &row.name, &row.series, &row.last.unit);
    trend::large(&row.series, row.band, row.mark, row.ends.clone(), sentence)
}

fn earlier(visit: &Visit, record: &Record, row: &Row, here: &str) -> Vec<Earlier> {
    let readings = std::iter::once(&row.last).chain(&row.earlier).take(MOST);
    let line = |reading: &Reading| Earlier {
        href: chart::entry(&record.id, "Observation", &reading.id),
        when: panels::moment(visit, reading),
        value: reading.value.clone(),
        unit: reading.unit.clone(),
        tone: panels::tone(reading.flag),
        flag: panels::flag(reading),
        reference: reading.reference.clone(),
        status: panels::status(reading),
        here: reading.id == here,
    };
    readings.map(line).collect()
}

fn version(
    words: &Words<'_>,
    kind: &'static str,
    resource: &Value,
    current: bool,
    writers: &HashMap<i64, String>,
) -> Version {
    let meta = resource.get("meta").unwrap_or(&Value::Null);
    let item = described(words, kind, resource);
    let who = [
        words.people(resource, "performer", ""),
        words.named(resource.get("recorder")),
        words.named(resource.get("requester")),
    ];
    let n = text(meta, "versionId");
    let by = n.parse().ok().and_then(|n: i64| writers.get(&n));
    let at = words.reader.fhir(text(meta, "lastUpdated"));
    let saved = match by {
        Some(by) => words.reader.fill("versions.saved_by", &[("n", n), ("date", &at), ("who", by)]),
        None => words.reader.fill("versions.saved", &[("n", n), ("date", &at)]),
    };
    let value = if kind == "Observation" { measured(words, resource) } else { item.what.clone() };
    Version {
        value,
        lines: [joined([&item.code, &item.when.text, &item.status], " · "), item.detail.clone(), joined(who, ", ")]
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect(),
        saved,
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
            Allergy::NoneKnown(when, holds) => Item {
                what: words.say("banner.no_allergies").to_owned(),
                when,
                status: words.word("status", if holds { "active" } else { "inactive" }),
                detail: words.notes(resource),
                ..Item::default()
            },
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
