//! `/medico`: finding a patient; before anything is typed, those who are here now. `/medico/hospitalizados`: those who
//! have a bed, in its order.

use crate::error::Result;
use crate::interaction::Unit;
use crate::view::find::{self, Asked, Row, marked};
use crate::view::page::{Badge, Empty, Page};
use crate::view::patient::{self, Name, search};
use crate::view::record::words::{clean, joined, list, text};
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// Encounters that go on.
const OPEN: &str = "arrived,triaged,in-progress,onleave";
/// Classes of those who stay overnight.
const STAYING: &str = "IMP,ACUTE,NONAC,OBSENC,SS";
const INPATIENTS: &str = "/medico/hospitalizados";
/// Beds of one page.
const BEDS: usize = 200;
/// As many as are looked through.
const MOST: usize = 50;
/// Characters of a badge.
const WIDEST: usize = 42;

#[derive(Serialize)]
struct Model {
    page: Page,
    q: String,
    title: String,
    rows: Vec<Row>,
    more: bool,
    empty: Option<Empty>,
}

pub async fn desk(visit: &Visit) -> Result<Reply> {
    let q = visit.query.typed("q").to_owned();
    let asked = Asked::read(&q);
    let (rows, more) = visit
        .unit(async |unit| match &asked {
            Some(asked) => found(unit, visit, asked).await,
            None => admitted(unit, visit).await,
        })
        .await?;
    let n = i64::try_from(rows.len()).unwrap_or(0);
    let title = match (&asked, more) {
        (Some(_), true) => visit.text("medico.many").to_owned(),
        (Some(_), false) => visit.reader.count("medico.found", n),
        (None, _) => visit.reader.count("medico.admitted", n),
    };
    let nobody = if asked.is_some() {
        ("medico.nobody", "medico.nobody_help")
    } else {
        ("medico.none_admitted", "medico.none_admitted_help")
    };
    let empty = rows.is_empty().then(|| Empty {
        icon: "search",
        title: visit.text(nobody.0),
        text: visit.text(nobody.1),
        action: None,
    });
    let model = Model { page: visit.page(visit.text("medico.patients")).at("/medico"), q, title, rows, more, empty };
    visit.show("medico", &model)
}

async fn found(unit: &mut Unit<'_>, visit: &Visit, asked: &Asked) -> Result<(Vec<Row>, bool)> {
    let found = find::find(unit, asked).await?;
    let ids: Vec<&str> = found.resources.iter().map(|patient| text(patient, "id")).collect();
    if ids.is_empty() {
        return Ok((Vec::new(), false));
    }
    let stays = search(unit, "Encounter", &format!("patient={}&status={OPEN}&_count=100", ids.join(","))).await?;
    let places: HashMap<&str, &Value> = stays.resources.iter().map(|stay| (whose(stay), stay)).collect();
    let rows = found
        .resources
        .iter()
        .enumerate()
        .map(|(n, patient)| row(visit, patient, places.get(text(patient, "id")).copied(), asked, n == 0));
    Ok((rows.collect(), found.more))
}

/// Those who are here, the last who came first.
async fn admitted(unit: &mut Unit<'_>, visit: &Visit) -> Result<(Vec<Row>, bool)> {
    let stays = search(unit, "Encounter", &format!("status={OPEN}&_sort=-date&_count={MOST}")).await?;
    let mut ids: Vec<&str> = Vec::new();
    for id in stays.resources.iter().map(whose).filter(|id| !id.is_empty()) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.is_empty() {
        return Ok((Vec::new(), false));
    }
    let patients = search(unit, "Patient", &format!("_id={}&_count={MOST}", ids.join(","))).await?;
    let known: HashMap<&str, &Value> =
        patients.resources.iter().map(|patient| (text(patient, "id"), patient)).collect();
    let stay = |id: &str| stays.resources.iter().find(|stay| whose(stay) == id);
    let nothing = Asked::default();
    let rows = ids.iter().filter_map(|id| Some(row(visit, known.get(id)?, stay(id), &nothing, false)));
    Ok((rows.collect(), stays.more))
}

/// Somebody in a bed.
#[derive(Serialize)]
struct Inpatient {
    href: String,
    bed: String,
    surnames: String,
    names: String,
    who: String,
    reason: String,
    since: String,
}

#[derive(Serialize)]
struct Ward {
    page: Page,
    title: String,
    rows: Vec<Inpatient>,
    more: bool,
    empty: Option<Empty>,
}

pub async fn inpatients(visit: &Visit) -> Result<Reply> {
    let (rows, more) = visit
        .unit(async |unit| {
            let query = format!("class={STAYING}&status={OPEN}&_sort=-date&_count={BEDS}");
            let stays = search(unit, "Encounter", &query).await?;
            let ids: Vec<&str> = stays.resources.iter().map(whose).filter(|id| !id.is_empty()).collect();
            if ids.is_empty() {
                return Ok((Vec::new(), false));
            }
            let patients = search(unit, "Patient", &format!("_id={}&_count={BEDS}", ids.join(","))).await?;
            let known: HashMap<&str, &Value> =
                patients.resources.iter().map(|patient| (text(patient, "id"), patient)).collect();
            let row = |stay: &Value| Some(inpatient(visit, known.get(whose(stay))?, stay));
            let mut rows: Vec<Inpatient> = stays.resources.iter().filter_map(row).collect();
            rows.sort_by(|a, b| (&a.bed, &a.surnames).cmp(&(&b.bed, &b.surnames)));
            Ok((rows, stays.more))
        })
        .await?;
    let empty = rows.is_empty().then(|| Empty {
        icon: "bed",
        title: visit.text("medico.none_admitted"),
        text: visit.text("medico.none_admitted_help"),
        action: None,
    });
    let title = visit.reader.count("medico.in_bed", i64::try_from(rows.len()).unwrap_or(0));
    let page = visit.page(visit.text("medico.inpatients")).at(INPATIENTS);
    visit.show("inpatients", &Ward { page, title, rows, more, empty })
}

fn inpatient(visit: &Visit, patient: &Value, stay: &Value) -> Inpatient {
    let (reader, name) = (&visit.reader, Name::of(patient));
    let start = stay.get("period").map(|period| text(period, "start")).unwrap_or_default();
    let who = [
        patient::age(reader, patient).unwrap_or_default(),
        patient::sex(reader, patient).unwrap_or_default().to_owned(),
        patient::document(visit, patient).unwrap_or_default(),
    ];
    let reason = |reason: &Value| clean(text(reason, "text"));
    Inpatient {
        href: format!("/paciente/{}", encoded(text(patient, "id"))),
        bed: place(visit, stay),
        surnames: name.surnames,
        names: name.names,
        who: joined(who, " · "),
        reason: joined(list(stay, "reasonCode").map(reason), ", "),
        since: if start.is_empty() { String::new() } else { reader.fhir(start) },
    }
}

/// Patient.id of an Encounter.
fn whose(stay: &Value) -> &str {
    stay.get("subject").map_or("", |subject| text(subject, "reference")).rsplit('/').next().unwrap_or_default()
}

fn row(visit: &Visit, patient: &Value, stay: Option<&Value>, asked: &Asked, first: bool) -> Row {
    let (reader, name) = (&visit.reader, Name::of(patient));
    let born = patient.get("birthDate").and_then(Value::as_str).map(|date| format!("({})", reader.fhir(date)));
    let age = joined([patient::age(reader, patient).unwrap_or_default(), born.unwrap_or_default()], " ");
    let sex = patient::sex(reader, patient).unwrap_or_default().to_owned();
    let mut lines = vec![joined([patient::document(visit, patient).unwrap_or_default(), age, sex], " · ")];
    lines.extend(find::otherwise(visit, patient, asked.number.as_deref()));
    let since =
        stay.and_then(|stay| stay.get("period")).map(|period| text(period, "start")).filter(|start| !start.is_empty());
    lines.extend(since.map(|start| reader.fill("medico.since", &[("date", &reader.fhir(start))])));
    Row {
        href: format!("/paciente/{}", encoded(text(patient, "id"))),
        first,
        surnames: marked(&name.surnames, &asked.words),
        names: marked(&name.names, &asked.words),
        lines: lines.into_iter().map(find::plain).collect(),
        badge: stay.map(|stay| Badge::new("plain", Some("bed"), place(visit, stay))),
        act: None,
    }
}

/// Where somebody is: service and bed, else the kind of visit.
fn place(visit: &Visit, stay: &Value) -> String {
    let service = stay.get("serviceType").map(|service| text(service, "text")).unwrap_or_default();
    let open = list(stay, "location").find(|place| matches!(text(place, "status"), "active" | ""));
    let bed =
        open.and_then(|place| place.get("location")).map(|location| text(location, "display")).unwrap_or_default();
    // What does not fit a phone is said by the place alone.
    let long = service.chars().count() + bed.chars().count() > WIDEST;
    let place = if bed.starts_with(service) || (long && !bed.is_empty()) {
        bed.to_owned()
    } else {
        joined([service, bed], " · ")
    };
    let class = stay.get("class").map(|class| text(class, "code")).unwrap_or_default();
    let word = crate::i18n::find(visit.reader.language, &format!("class.{class}"))
        .unwrap_or_else(|| visit.text("medico.here"));
    if place.is_empty() { word.to_owned() } else { place }
}
