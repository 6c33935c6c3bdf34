//! `/resultados`: the worklist of the laboratory: what is critical first, then by the longest wait, then what is done today.
//!
//! * here: the list. [`enter`]: a result of an order, preliminary. [`validate`]: a result made final, or amended.

pub mod enter;
pub mod validate;

use crate::error::Result;
use crate::view::format::Reader;
use crate::view::page::{Badge, Empty, Flag, Page};
use crate::view::patient::{self, Name};
use crate::view::record::words::{Words, codes, joined, list, text};
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

pub const DESK: &str = "/resultados";
/// Lines of each kind.
const MOST: usize = 40;

#[derive(Serialize)]
struct Line {
    href: String,
    critical: bool,
    surnames: String,
    names: String,
    document: String,
    what: String,
    when: String,
    value: String,
    flag: Option<Flag>,
    status: Badge,
    act: &'static str,
    #[serde(skip)]
    since: String,
}

#[derive(Serialize)]
struct Model {
    page: Page,
    updated: String,
    todo: Vec<Line>,
    done: Vec<Line>,
    /// More than these lines wait.
    more: bool,
    empty: Option<Empty>,
}

pub async fn desk(visit: &Visit) -> Result<Reply> {
    let day = visit
        .reader
        .offset
        .to_timestamp(visit.reader.today().to_datetime(jiff::civil::Time::midnight()))
        .unwrap_or(visit.reader.now);
    let released = format!(
        "status=final,amended,corrected&category=laboratory&_lastUpdated=ge{}&_sort=-_lastUpdated&_count={MOST}",
        encoded(&day.to_string())
    );
    let (orders, waiting, released, answers, persons) = visit
        .unit(async |unit| {
            let orders = format!("status=active&category=laboratory&_sort=authored&_count={MOST}");
            let waiting = format!("status=preliminary&category=laboratory&_sort=date&_count={MOST}");
            let orders = patient::search(unit, "ServiceRequest", &orders).await?;
            let waiting = patient::search(unit, "Observation", &waiting).await?;
            let released = patient::search(unit, "Observation", &released).await?;
            let answers = match ids(&orders.resources, |order| Some(format!("ServiceRequest/{}", text(order, "id")))) {
                orders if orders.is_empty() => patient::Found::default(),
                orders => {
                    patient::search(unit, "Observation", &format!("based-on={}&_count=200", encoded(&orders))).await?
                }
            };
            let all: Vec<Value> =
                [&orders, &waiting, &released].iter().flat_map(|found| found.resources.iter().cloned()).collect();
            let persons = match ids(&all, |resource| enter::patient_of(resource).ok()) {
                ids if ids.is_empty() => patient::Found::default(),
                ids => patient::search(unit, "Patient", &format!("_id={}&_count=200", encoded(&ids))).await?,
            };
            Ok((orders, waiting, released, answers, persons))
        })
        .await?;
    let more = orders.more || waiting.more;
    let mut people: HashMap<String, Value> = HashMap::new();
    let mut answered: HashSet<String> = HashSet::new();
    for person in persons.resources {
        people.insert(text(&person, "id").to_owned(), person);
    }
    for result in &answers.resources {
        answered.extend(
            list(result, "basedOn")
                .filter_map(|order| text(order, "reference").rsplit_once('/'))
                .map(|(_, id)| id.to_owned()),
        );
    }
    let of = |found: &[Value], kind: &str| -> Vec<Line> {
        found.iter().filter(|r| text(r, "resourceType") == kind).map(|r| line(visit, &people, r)).collect()
    };
    let open: Vec<Value> = orders.resources.into_iter().filter(|order| !answered.contains(text(order, "id"))).collect();
    let mut todo = of(&open, "ServiceRequest");
    todo.extend(of(&waiting.resources, "Observation"));
    todo.sort_by(|a, b| (!a.critical, &a.since).cmp(&(!b.critical, &b.since)));
    let done = of(&released.resources, "Observation");
    let empty =
        Empty { icon: "flask", title: visit.text("lab.nothing"), text: visit.text("lab.nothing_help"), action: None };
    let empty = todo.is_empty().then_some(empty);
    let page = visit.page(visit.text("lab.list")).at(DESK);
    visit.show("lab", &Model { page, updated: visit.reader.time(visit.reader.now), todo, done, more, empty })
}

/// Each of some ids once, with commas between them.
fn ids(resources: &[Value], id: impl Fn(&Value) -> Option<String>) -> String {
    let mut ids: Vec<String> = resources.iter().filter_map(id).collect();
    ids.sort();
    ids.dedup();
    ids.join(",")
}

fn line(visit: &Visit, people: &HashMap<String, Value>, resource: &Value) -> Line {
    let is_order = text(resource, "resourceType") == "ServiceRequest";
    let person = enter::patient_of(resource).ok().and_then(|id| people.get(&id)).unwrap_or(&Value::Null);
    let name = Name::of(person);
    let words = words(visit);
    let when = words.when(resource, if is_order { &["authoredOn"] } else { &["effective", "issued"] });
    let measured = words.measured(resource).unwrap_or_default();
    let (flag, critical) = flag(&visit.reader, resource);
    let id = encoded(text(resource, "id"));
    let (href, act) = if is_order {
        (format!("{DESK}/orden/{id}"), "lab.enter")
    } else {
        (format!("{DESK}/{id}"), if text(resource, "status") == "preliminary" { "lab.validate" } else { "lab.amend" })
    };
    Line {
        href,
        critical,
        surnames: name.surnames,
        names: name.names,
        document: patient::document(visit, person).unwrap_or_default(),
        what: words.concept(resource.get("code")),
        since: visit
            .reader
            .day_of(&when.iso)
            .map(|_| when.at.to_string())
            .map_or_else(String::new, |at| format!("{at:>20}")),
        when: if when.iso.len() > 10 { visit.reader.fhir(&when.iso) } else { when.text },
        value: joined([measured.text, measured.unit], " "),
        flag,
        status: status(visit, text(resource, "status"), is_order),
        act: visit.text(act),
    }
}

/// Datatypes in words, without the directory.
pub(super) fn words(visit: &Visit) -> Words<'_> {
    Words { reader: &visit.reader, systems: &visit.app.systems, base: &visit.app.base, names: HashMap::new() }
}

/// What the interpretation says, and whether it is critical.
pub(super) fn flag(reader: &Reader, resource: &Value) -> (Option<Flag>, bool) {
    let found = codes(resource, "interpretation").find_map(|code| match code {
        "HH" | "HU" => Some(("octagon", "flag.critical_high", true)),
        "LL" | "LU" => Some(("octagon", "flag.critical_low", true)),
        "AA" => Some(("octagon", "flag.critical", true)),
        "H" => Some(("up", "flag.high", false)),
        "L" => Some(("down", "flag.low", false)),
        "A" => Some(("info", "flag.abnormal", false)),
        _ => None,
    });
    let critical = found.is_some_and(|(_, _, critical)| critical);
    (found.map(|(icon, key, crit)| Flag { crit, icon, label: reader.text(key).to_owned() }), critical)
}

pub(super) fn status(visit: &Visit, code: &str, is_order: bool) -> Badge {
    let (kind, icon, key) = match code {
        _ if is_order => ("plain", "pending", "lab.pending"),
        "preliminary" => ("warn", "half", "lab.preliminary"),
        "amended" | "corrected" => ("info", "pencil", "lab.corrected"),
        _ => ("ok", "check", "lab.final"),
    };
    Badge::new(kind, Some(icon), visit.text(key))
}

/// The ids of the results that reports hold.
pub(super) fn ids_of_results(reports: &[Value]) -> String {
    let results: Vec<Value> = reports.iter().flat_map(|report| list(report, "result").cloned()).collect();
    ids(&results, |result| text(result, "reference").rsplit_once('/').map(|(_, id)| id.to_owned()))
}
