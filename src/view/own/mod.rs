//! `/mi-historia`: the record of the patient who is signed in, in plain words; read only.
//!
//! It is the same [`Record`] as the chart and the PDF; only what has been released is in it (`access`). The names of
//! common examinations are plain ones of the catalogue (`own.name.<LOINC>`), the name as recorded stands small under it.
//!
//! * here: the first page, and the visits. [`result`]: results. [`seen`]: who looked.

pub mod result;
pub mod seen;

use crate::error::Result;
use crate::i18n;
use crate::interaction::sight;
use crate::view::page::{Badge, Empty, Link, Message, Page, Tone};
use crate::view::record::clinical::{AllergyState, Item};
use crate::view::record::words::{When, joined};
use crate::view::record::{self, Extent, Record};
use crate::view::visit::{Reply, Visit, encoded};
use result::Line;
use serde::Serialize;

pub const HOME: &str = "/mi-historia";
pub const RESULTS: &str = "/mi-historia/resultados";
pub const VISITS: &str = "/mi-historia/visitas";
pub const SEEN: &str = "/mi-historia/accesos";

/// Results on the first page.
const FIRST: usize = 5;
/// Classes of visits in which somebody lies in the hospital (<http://terminology.hl7.org/CodeSystem/v3-ActCode>).
const INSIDE: [&str; 6] = ["IMP", "ACUTE", "NONAC", "OBSENC", "SS", "EMER"];

/// A panel of lines.
#[derive(Serialize)]
struct Lines {
    id: &'static str,
    title: &'static str,
    items: Vec<Entry>,
    none: &'static str,
}

#[derive(Serialize)]
struct Entry {
    what: String,
    second: Vec<String>,
    badge: Option<Badge>,
}

#[derive(Serialize)]
struct Home {
    page: Page,
    greeting: String,
    updated: String,
    allergies: Lines,
    results: Vec<Line>,
    lists: Vec<Lines>,
    facts: Vec<record::who::Fact>,
    pdf: String,
}

#[derive(Serialize)]
struct Visits {
    page: Page,
    visits: Lines,
    empty: Option<Empty>,
}

/// What a page needs of the record of the caller.
pub(super) async fn own(visit: &Visit, extent: Extent) -> Result<Record> {
    let id = sight::own(&visit.caller)?;
    record::page(&visit.app, &visit.caller, &visit.reader, id, extent).await
}

/// When it was: `hoy 12:48` for an instant of today.
pub(super) fn moment(visit: &Visit, when: &When) -> String {
    if when.iso.len() > 10 { visit.reader.fhir(&when.iso) } else { when.text.clone() }
}

pub async fn home(visit: &Visit) -> Result<Reply> {
    let record = own(visit, Extent::Whole).await?;
    let who = &record.who;
    let name = if who.names.is_empty() { &who.surnames } else { &who.names };
    let page = visit.page(visit.text("own.title")).at(HOME);
    let page = match hospital(visit, &record).or_else(|| new(visit, &record)) {
        Some(message) if page.message.is_none() => page.says(message),
        _ => page,
    };
    let institution = &visit.app.config.institution.name;
    let model = Home {
        greeting: visit.reader.fill("own.hello", &[("name", name)]),
        updated: visit
            .reader
            .fill("own.updated", &[("institution", institution), ("time", &visit.reader.moment(visit.reader.now))]),
        allergies: allergies(visit, &record),
        results: result::first(visit, &record.results, FIRST),
        lists: lists(visit, &record),
        facts: facts(visit, &record),
        pdf: format!("/exportar_pdf/{}", encoded(&record.id)),
        page,
    };
    visit.show("own", &model)
}

pub async fn visits(visit: &Visit) -> Result<Reply> {
    let record = own(visit, Extent::Banner).await?;
    let empty = Empty {
        icon: "page",
        title: visit.text("own.no_visits"),
        text: visit.text("own.no_visits_help"),
        action: None,
    };
    let visits = list(visit, "visitas", "own.visits", "own.no_visits", &record.visits, false);
    let model = Visits {
        page: visit.page(visit.text("own.visits")).at(VISITS),
        empty: visits.items.is_empty().then_some(empty),
        visits,
    };
    visit.show("own-visits", &model)
}

/// That one is in the hospital now, since when and where.
fn hospital(visit: &Visit, record: &Record) -> Option<Message> {
    let stay = record.visits.iter().find(|item| item.active && INSIDE.contains(&item.code.as_str()))?;
    let since = visit.reader.day_of(&stay.when.iso).map(|day| visit.reader.date(day)).unwrap_or_default();
    let since = if since.is_empty() { since } else { visit.reader.fill("own.since", &[("date", &since)]) };
    let place = if record.who.place.is_empty() { String::new() } else { format!("{}.", record.who.place) };
    Some(Message::new(Tone::Info, visit.text("own.inside"), joined([since, place], " ")))
}

/// That the record is open and nothing is in it yet.
fn new(visit: &Visit, record: &Record) -> Option<Message> {
    let lists = [&record.visits, &record.problems, &record.medication, &record.allergies.items];
    let empty = lists.iter().all(|list| list.is_empty()) && result::is_empty(record);
    empty.then(|| Message::new(Tone::Info, visit.text("own.new"), visit.text("own.new_help")))
}

fn allergies(visit: &Visit, record: &Record) -> Lines {
    let none = match record.allergies.state {
        AllergyState::NoneKnown => "own.allergies_none",
        _ => "own.allergies_unasked",
    };
    let active: Vec<Item> = record.allergies.items.iter().filter(|item| item.active).cloned().collect();
    let mut lines = list(visit, "alergias", "own.allergies", none, &active, false);
    for (entry, item) in lines.items.iter_mut().zip(&active) {
        // What it does matters here, not since when.
        entry.second = vec![item.detail.clone()];
        entry.badge = None;
    }
    lines
}

fn lists(visit: &Visit, record: &Record) -> Vec<Lines> {
    let mut lists = vec![
        list(visit, "enfermedades", "own.problems", "own.no_problems", &record.problems, true),
        list(visit, "medicinas", "own.medication", "own.no_medication", &record.medication, true),
    ];
    let further = [
        list(visit, "vacunas", "own.vaccines", "own.no_problems", &record.vaccines, false),
        list(visit, "procedimientos", "own.procedures", "own.no_problems", &record.procedures, false),
        list(visit, "informes", "own.reports", "own.no_problems", &record.reports, false),
        list(visit, "ordenes", "own.orders", "own.no_problems", &record.orders, true),
        list(visit, "documentos", "own.documents", "own.no_problems", &record.documents, false),
    ];
    lists.extend(further.into_iter().filter(|list| !list.items.is_empty()));
    lists
}

/// `ends`: whether things of this kind end, so that those that hold no more say so.
fn list(visit: &Visit, id: &'static str, title: &'static str, none: &'static str, items: &[Item], ends: bool) -> Lines {
    let entry = |item: &Item| {
        let over = ends && !item.active;
        let badge = (over && !item.status.is_empty()).then(|| Badge::new("plain", None, item.status.clone()));
        let badge = if !ends && item.active && item.kind == "Encounter" {
            Some(Badge::new("info", Some("bed"), visit.text("own.now")))
        } else {
            badge
        };
        let when = joined([item.since(), item.until.text.as_str()], " – ");
        // What the line is called is not said again under it.
        let detail = item.detail.strip_prefix(&item.what).map(|rest| rest.trim_start_matches(" · "));
        let second =
            [when, detail.unwrap_or(&item.detail).to_owned()].into_iter().filter(|line| !line.is_empty()).collect();
        Entry { what: item.what.clone(), second, badge }
    };
    Lines { id, title: visit.text(title), items: items.iter().map(entry).collect(), none: visit.text(none) }
}

fn facts(visit: &Visit, record: &Record) -> Vec<record::who::Fact> {
    let who = &record.who;
    let fact = |term: &str, text: String| record::who::Fact { term: visit.text(term).to_owned(), text };
    let known = [
        fact("own.name", joined([&who.names, &who.surnames], " ")),
        fact("banner.document", who.document().to_owned()),
        fact("banner.born", joined([&who.birth.text, &who.age], " · ")),
        fact("banner.insurer", who.insurance.join("; ")),
        fact("own.telephone", who.telephones.join(", ")),
        fact("own.address", joined([&who.address, &who.municipality], ", ")),
    ];
    known.into_iter().filter(|fact| !fact.text.is_empty()).collect()
}

/// What an examination is called among people; none when the catalogue has no word.
pub(super) fn plain_name(visit: &Visit, code: &str) -> Option<&'static str> {
    if code.is_empty() { None } else { i18n::find(visit.reader.language, &format!("own.name.{code}")) }
}

/// The link back to a list.
pub(super) fn back(visit: &Visit, href: &str, key: &str) -> Link {
    Link::new(href, visit.text(key))
}
