//! `/resultados`: the worklist, alone or beside a form. What it holds: orders without a result, preliminary results, and
//! what was validated today, which is what was issued today.

use super::notice::{self, Notice};
use super::{DESK, Judged, RELEASED, id_of, is_critical, patient_of, place, status, words};
use crate::error::Result;
use crate::interaction::Unit;
use crate::view::encounter;
use crate::view::page::{Badge, Empty, Flag, Link, Page};
use crate::view::patient::{self, Found, Name, search};
use crate::view::record::words::{joined, list, text};
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Lines of each kind that are read; more are counted as "more than".
const MOST: usize = 200;
/// Lines that are shown at once: alone, and beside a form. "More" adds as many again.
const SHOWN: usize = 30;
const BESIDE: usize = 12;

/// The partial `lab-list`.
#[derive(Serialize)]
pub struct List {
    /// Beside a form, which on a phone is the page.
    beside: bool,
    day: String,
    at: String,
    tabs: Vec<Tab>,
    rows: Vec<Row>,
    shown: String,
    rest: Option<Link>,
    empty: Option<Empty>,
}

#[derive(Serialize)]
struct Tab {
    link: Link,
    count: String,
    current: bool,
}

/// The partial `lab-row`.
#[derive(Serialize)]
pub struct Row {
    time: String,
    surnames: String,
    names: String,
    second: String,
    exam: String,
    value: String,
    unit: String,
    is_number: bool,
    tone: &'static str,
    flag: Option<Flag>,
    /// Of a critical value: whether somebody was told.
    notice: Option<String>,
    untold: bool,
    reference: String,
    status: Badge,
    act: Link,
    critical: bool,
    selected: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Order,
    Waiting,
    Done,
}

/// A line before it is written.
pub struct Entry {
    resource: Value,
    kind: Kind,
    notice: Option<Notice>,
    critical: bool,
    /// Microseconds since 1970.
    at: i64,
}

impl Entry {
    pub fn new(visit: &Visit, resource: Value, kind: Kind) -> Entry {
        let dates: &[&str] = if kind == Kind::Order { &["authoredOn"] } else { &["effective", "issued"] };
        let at = words(visit).when(&resource, dates).at;
        let notice = notice::of(&resource);
        Entry { notice, critical: kind != Kind::Order && is_critical(&resource), resource, kind, at }
    }

    /// Critical first, also a final one that nobody was told of; then the longest wait; then the last done.
    fn rank(&self) -> (u8, i64) {
        match self.kind {
            Kind::Done if self.critical && self.notice.is_none() => (0, self.at),
            Kind::Done => (2, self.at.saturating_neg()),
            _ if self.critical => (0, self.at),
            _ => (1, self.at),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Filter {
    All,
    Critical,
    Of(Kind),
}

impl Filter {
    const EACH: [(Filter, &'static str, &'static str); 5] = [
        (Filter::All, "", "lab.all"),
        (Filter::Critical, "criticos", "lab.critical"),
        (Filter::Of(Kind::Order), "pendientes", "lab.pending_many"),
        (Filter::Of(Kind::Waiting), "preliminares", "lab.preliminary_many"),
        (Filter::Of(Kind::Done), "finales", "lab.final_many"),
    ];

    fn of(visit: &Visit) -> Result<(Filter, &'static str)> {
        let wanted = visit.one_of("filtro", &Filter::EACH.map(|(_, name, _)| name))?;
        let known = Filter::EACH.iter().find(|(_, name, _)| *name == wanted);
        Ok(known.map_or((Filter::All, ""), |(filter, name, _)| (*filter, *name)))
    }

    fn fits(self, entry: &Entry) -> bool {
        match self {
            Filter::All => true,
            Filter::Critical => entry.critical,
            Filter::Of(kind) => entry.kind == kind,
        }
    }
}

#[derive(Serialize)]
struct Model {
    page: Page,
    list: List,
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let list = visit.unit(async |unit| of(unit, visit, None).await).await?;
    visit.show("lab", &Model { page: visit.page(visit.text("lab.list")).at(DESK), list })
}

/// The list; `selected`: the id of the line whose form stands beside it.
pub async fn of(unit: &mut Unit<'_>, visit: &Visit, selected: Option<&str>) -> Result<List> {
    let (mut entries, more) = gathered(unit, visit).await?;
    entries.sort_by_key(Entry::rank);
    let (filter, name) = Filter::of(visit)?;
    let reader = &visit.reader;
    let number = |n: usize| reader.whole(i64::try_from(n).unwrap_or(0));
    let is_more = |filter: Filter| match filter {
        Filter::Of(Kind::Order) => more.orders,
        Filter::Of(Kind::Waiting) => more.waiting,
        Filter::Of(Kind::Done) => more.done,
        _ => more.orders || more.waiting || more.done,
    };
    let counted = |filter: Filter, n: usize| format!("{}{}", number(n), if is_more(filter) { "+" } else { "" });
    let tabs = Filter::EACH.iter().map(|(of, name, label)| Tab {
        link: Link::new(address(name, 0), reader.text(label)),
        count: counted(*of, entries.iter().filter(|entry| of.fits(entry)).count()),
        current: *of == filter,
    });
    let tabs = tabs.collect();
    let fitting: Vec<Entry> = entries.into_iter().filter(|entry| filter.fits(entry)).collect();
    let all = fitting.len();
    let least = if selected.is_some() { BESIDE } else { SHOWN };
    let shown = visit.query.typed("ver").parse().unwrap_or(least).clamp(least, 3 * MOST).min(all);
    let rows = rows(unit, visit, fitting.get(..shown).unwrap_or_default(), selected).await?;
    let nothing = ("lab.nothing", "lab.nothing_help");
    let (title, text) = if name.is_empty() { nothing } else { ("lab.none_of_these", "lab.none_of_these_help") };
    Ok(List {
        beside: selected.is_some(),
        day: reader.weekday(reader.today()),
        at: reader.time(reader.now),
        tabs,
        shown: reader.fill("lab.shown", &[("n", &number(shown)), ("all", &counted(filter, all))]),
        rest: (shown < all).then(|| Link::new(address(name, shown + SHOWN), reader.text("lab.see_more"))),
        empty: rows.is_empty().then(|| Empty {
            icon: "flask",
            title: reader.text(title),
            text: reader.text(text),
            action: None,
        }),
        rows,
    })
}

fn address(filter: &str, shown: usize) -> String {
    let shown = if shown == 0 { String::new() } else { shown.to_string() };
    let parts = [("filtro", filter), ("ver", &shown)];
    let parts: Vec<String> =
        parts.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={value}")).collect();
    if parts.is_empty() { DESK.to_owned() } else { format!("{DESK}?{}", parts.join("&")) }
}

/// Whether there are more than were read.
struct More {
    orders: bool,
    waiting: bool,
    done: bool,
}

async fn gathered(unit: &mut Unit<'_>, visit: &Visit) -> Result<(Vec<Entry>, More)> {
    let reader = &visit.reader;
    let midnight = reader.today().to_datetime(jiff::civil::Time::midnight());
    let day = reader.offset.to_timestamp(midnight).unwrap_or(reader.now);
    let orders = format!("status=active&category=laboratory&_sort=authored&_count={MOST}");
    let orders = search(unit, "ServiceRequest", &orders).await?;
    let waiting = format!("status=preliminary&category=laboratory&_sort=date&_count={MOST}");
    let waiting = search(unit, "Observation", &waiting).await?;
    // What was validated today was saved today; not the other way round.
    let done = format!(
        "status={RELEASED}&category=laboratory&_lastUpdated=ge{}&_sort=-_lastUpdated&_count={MOST}",
        encoded(&day.to_string())
    );
    let done = search(unit, "Observation", &done).await?;
    let answered = answered(unit, &orders.resources).await?;
    let of_today = |resource: &Value| {
        let issued = Some(text(resource, "issued")).filter(|issued| !issued.is_empty());
        reader.day_of(issued.unwrap_or_else(|| text(resource, "effectiveDateTime"))) == Some(reader.today())
    };
    // The rest was saved earlier; whether it was issued today, the last that was read tells.
    let more = More {
        orders: orders.more,
        waiting: waiting.more,
        done: done.more && done.resources.last().is_some_and(of_today),
    };
    let orders = orders.resources.into_iter().filter(|order| !answered.contains(text(order, "id")));
    let entries = orders.map(|order| Entry::new(visit, order, Kind::Order));
    let entries = entries.chain(waiting.resources.into_iter().map(|one| Entry::new(visit, one, Kind::Waiting)));
    let done = done.resources.into_iter().filter(of_today).map(|one| Entry::new(visit, one, Kind::Done));
    Ok((entries.chain(done).collect(), more))
}

/// The orders that wait for nothing more: they have results, and no report of them is partial.
async fn answered(unit: &mut Unit<'_>, orders: &[Value]) -> Result<HashSet<String>> {
    let ids: Vec<String> = orders.iter().map(|order| format!("ServiceRequest/{}", text(order, "id"))).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let ids = encoded(&ids.join(","));
    let results = format!("based-on={ids}&status={RELEASED},preliminary,registered&_count=1000");
    let results = search(unit, "Observation", &results).await?;
    let partial = search(unit, "DiagnosticReport", &format!("based-on={ids}&status=partial&_count=1000")).await?;
    let orders = |found: &Found| -> HashSet<String> {
        found.resources.iter().flat_map(|one| list(one, "basedOn").map(|order| id_of(order).to_owned())).collect()
    };
    Ok(&orders(&results) - &orders(&partial))
}

/// The lines of some entries, with their people and where these are.
pub async fn rows(unit: &mut Unit<'_>, visit: &Visit, entries: &[Entry], selected: Option<&str>) -> Result<Vec<Row>> {
    let ids: BTreeSet<String> = entries.iter().filter_map(|entry| patient_of(&entry.resource).ok()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = ids.into_iter().collect();
    // As many as a search takes; of more the names are missing, never the results.
    let ids = encoded(&ids.get(..ids.len().min(500)).unwrap_or_default().join(","));
    let people = search(unit, "Patient", &format!("_id={ids}&_count=500")).await?;
    let stays = format!("patient={ids}&status={}&_count=1000", encounter::OPEN);
    let stays = search(unit, "Encounter", &stays).await?;
    let people: HashMap<&str, &Value> = people.resources.iter().map(|person| (text(person, "id"), person)).collect();
    let stays: HashMap<&str, &Value> =
        stays.resources.iter().filter_map(|stay| Some((encounter::patient(stay)?, stay))).collect();
    let row = |entry: &Entry| {
        let id = patient_of(&entry.resource).unwrap_or_default();
        let person = people.get(id.as_str()).copied().unwrap_or(&Value::Null);
        row(visit, entry, person, stays.get(id.as_str()).copied(), selected)
    };
    Ok(entries.iter().map(row).collect())
}

fn row(visit: &Visit, entry: &Entry, person: &Value, stay: Option<&Value>, selected: Option<&str>) -> Row {
    let (reader, words, resource) = (&visit.reader, words(visit), &entry.resource);
    let name = Name::of(person);
    let dates: &[&str] = if entry.kind == Kind::Order { &["authoredOn"] } else { &["effective", "issued"] };
    let when = words.when(resource, dates);
    let measured = words.measured(resource).unwrap_or_default();
    let judged = Judged::of(resource);
    let range = list(resource, "referenceRange").next();
    let id = text(resource, "id");
    let (part, label) = match entry.kind {
        Kind::Order => ("/orden", "lab.enter"),
        Kind::Waiting => ("", "lab.validate"),
        Kind::Done => ("", "lab.see"),
    };
    let filter = match visit.query.typed("filtro") {
        "" => String::new(),
        filter => format!("?filtro={filter}"),
    };
    Row {
        time: when.iso.parse().map_or(when.text, |at| reader.short_moment(at)),
        surnames: name.surnames,
        names: name.names,
        second: joined([patient::document(visit, person).unwrap_or_default(), place(reader, stay)], " · "),
        exam: words.concept(resource.get("code")),
        is_number: measured.number.is_some() || !measured.unit.is_empty(),
        value: measured.text,
        unit: measured.unit,
        tone: judged.map_or("", |judged| judged.tone),
        flag: judged.map(|judged| judged.flag(reader)),
        notice: entry.critical.then(|| match &entry.notice {
            Some(notice) => notice.short(reader),
            None => reader.text("lab.untold").to_owned(),
        }),
        untold: !entry.notice.as_ref().is_some_and(Notice::is_told),
        reference: range.map(|range| words.range(range.get("low"), range.get("high"))).unwrap_or_default(),
        status: status(visit, resource),
        act: Link::new(format!("{DESK}{part}/{}{filter}", encoded(id)), reader.text(label)),
        critical: entry.critical && entry.rank().0 == 0,
        selected: selected == Some(id),
    }
}
