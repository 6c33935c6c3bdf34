//! The panels of a chart, from the record: critical values, results, signs, lists of lines, what happened last. Pure.
//!
//! On one screen stands what matters now: of the latest panels every value that is out of its reference and as many
//! others as fit, the problems that are active, the orders that go on. Everything else is one link away, and counted.

use crate::view::chart::{address, entry, writes};
use crate::view::page::{self, Badge, Link};
use crate::view::record::Record;
use crate::view::record::clinical::Item;
use crate::view::record::results::{Flag, Group, Reading, Row, Signs};
use crate::view::record::words::joined;
use crate::view::trend;
use crate::view::visit::{Visit, encoded};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

/// Lines of a panel, rows of results, and lines of activity before "see all".
const LINES: usize = 6;
const ROWS: usize = 9;
const LAST: usize = 3;
/// The query parameter that shows everything.
pub const WHOLE: &str = "todo";

/// A panel of lines.
#[derive(Serialize)]
pub struct Lines {
    pub id: &'static str,
    pub title: String,
    count: Option<String>,
    items: Vec<Line>,
    add: Option<Link>,
    more: Option<Link>,
    none: &'static str,
}

#[derive(Serialize)]
struct Line {
    href: String,
    what: String,
    code: String,
    second: String,
    /// Of an encounter: where.
    third: String,
    badge: Option<Badge>,
    now: bool,
}

/// The partial `result`.
#[derive(Serialize)]
pub struct ResultRow {
    critical: bool,
    href: String,
    name: String,
    value: String,
    unit: String,
    tone: Option<&'static str>,
    flag: Option<page::Flag>,
    reference: String,
    trend: Option<trend::Small>,
    status: Option<Badge>,
}

#[derive(Serialize)]
pub struct Results {
    title: String,
    when: String,
    rows: Vec<ResultRow>,
}

#[derive(Serialize)]
struct SignRow {
    href: String,
    name: String,
    unit: String,
    earlier: Vec<String>,
    last: String,
    before: Option<String>,
    tone: Option<&'static str>,
    flag: Option<page::Flag>,
    trend: Option<trend::Small>,
}

/// A sign that was not measured at any of the times: its last value, and when.
#[derive(Serialize)]
struct Older {
    href: String,
    name: String,
    value: String,
    when: String,
}

#[derive(Serialize)]
pub struct SignTable {
    times: Vec<String>,
    last: String,
    rows: Vec<SignRow>,
    older: Vec<Older>,
}

/// A critical value: what, since when, who was told, who saw it.
#[derive(Serialize)]
pub struct Critical {
    href: String,
    strong: String,
    text: String,
    seen: Option<String>,
    /// Where it is marked as seen.
    mark: Option<String>,
}

/// Something that happened.
#[derive(Serialize)]
pub struct Event {
    href: String,
    what: String,
    second: String,
    #[serde(skip)]
    at: i64,
}

/// Makes the panels.
pub struct Panels<'a> {
    pub visit: &'a Visit,
    pub record: &'a Record,
    pub whole: bool,
}

pub fn value_of(reading: &Reading) -> String {
    joined([&reading.value, &reading.unit], " ")
}

pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// When it was, `hoy 12:48` when it was today.
pub fn moment(visit: &Visit, reading: &Reading) -> String {
    if reading.when.iso.len() > 10 { visit.reader.fhir(&reading.when.iso) } else { reading.when.text.clone() }
}

/// `hoy 05:31`, else `20 nov, 12:48`.
fn short(visit: &Visit, at: Timestamp) -> String {
    let reader = &visit.reader;
    if reader.local(at).date() == reader.today() { reader.moment(at) } else { reader.short_moment(at) }
}

/// A date or instant of FHIR in short.
fn short_of(visit: &Visit, iso: &str, text: &str) -> String {
    iso.parse::<Timestamp>().map_or_else(|_| text.to_owned(), |at| short(visit, at))
}

pub fn small(visit: &Visit, row: &Row) -> Option<trend::Small> {
    let sentence = trend::sentence(&visit.reader, &row.name, &row.series, &row.last.unit);
    trend::small(&row.series, row.band, row.mark, sentence)
}

pub fn tone(flag: Flag) -> Option<&'static str> {
    match flag {
        Flag::None | Flag::Abnormal => None,
        Flag::High => Some("high"),
        Flag::Low => Some("low"),
        _ => Some("crit"),
    }
}

pub fn flag(reading: &Reading) -> Option<page::Flag> {
    if reading.flag_text.is_empty() {
        return None;
    }
    let icon = match reading.flag {
        Flag::High => "up",
        Flag::Low => "down",
        Flag::None | Flag::Abnormal => "info",
        _ => "octagon",
    };
    Some(page::Flag { crit: reading.flag.is_critical(), icon, label: reading.flag_text.clone() })
}

/// The status as a badge; final is the rule and carries none.
pub fn status(reading: &Reading) -> Option<Badge> {
    let (kind, icon) = match reading.status_code.as_str() {
        "final" | "" => return None,
        "preliminary" | "partial" => ("warn", "half"),
        "amended" | "corrected" | "appended" => ("info", "pencil"),
        "cancelled" | "entered-in-error" => ("off", "off"),
        _ => ("plain", "pending"),
    };
    Some(Badge::new(kind, Some(icon), capital(&reading.status)))
}

/// How long a critical value that nobody has marked as seen stays in sight behind newer ones, in seconds.
const UNSEEN: i64 = 72 * 3600;

/// Critical values: of each examination the last, and those of the last three days that nobody has marked as seen.
pub fn criticals(record: &Record, now: Timestamp) -> Vec<(&Row, &Reading)> {
    let recent = |reading: &Reading| {
        let age = |at: Timestamp| now.as_second() - at.as_second();
        reading.when.iso.parse().is_ok_and(|at: Timestamp| age(at) <= UNSEEN)
    };
    let unseen =
        |reading: &Reading| !record.seen.iter().any(|seen| seen.of == reading.id && seen.mark == reading.mark());
    let rows = record.results.iter().chain(&record.observations).flat_map(|group| &group.rows);
    rows.flat_map(|row| {
        let earlier = row.earlier.iter().filter(|reading| recent(reading) && unseen(reading));
        std::iter::once(&row.last).chain(earlier).filter(|one| one.flag.is_critical()).map(move |one| (row, one))
    })
    .collect()
}

/// `Potasio 6,3 mmol/L, crítico alto`
pub fn said(row: &Row, reading: &Reading) -> String {
    format!("{} {}, {}", row.name, value_of(reading), reading.flag_text)
}

impl Panels<'_> {
    fn see_all(&self, part: &str, label: String) -> Link {
        Link::new(format!("{}?{WHOLE}=1#{part}", address(&self.record.id)), label)
    }

    /// "Potasio 6,3 mmol/L, crítico alto. Preliminar, hoy 12:48. Avisado a ...".
    pub fn critical(&self, row: &Row, last: &Reading) -> Critical {
        let reader = &self.visit.reader;
        let mark = last.mark();
        let seen = self.record.seen.iter().find(|seen| seen.of == last.id && seen.mark == mark);
        let seen = seen.map(|seen| {
            let at = short_of(self.visit, &seen.when.iso, &seen.when.text);
            reader.fill("chart.seen_by", &[("who", &seen.who), ("time", &at)])
        });
        let may_mark = seen.is_none() && writes(self.visit);
        let told = if last.notes.is_empty() { reader.text("chart.not_told") } else { last.notes.as_str() };
        Critical {
            href: entry(&self.record.id, "Observation", &last.id),
            strong: format!("{}.", said(row, last)),
            text: format!("{}, {}. {told}", capital(&last.status), moment(self.visit, last)),
            seen,
            mark: may_mark.then(|| format!("{}/visto/{}", address(&self.record.id), encoded(&last.id))),
        }
    }

    /// The latest panels: what is flagged always, the rest as far as there is room. The link leads to all of them.
    pub fn results(&self) -> (Vec<Results>, Option<Link>) {
        let all: usize = self.record.results.iter().map(|group| group.rows.len()).sum();
        let (mut room, mut shown, mut panels) = (ROWS, 0, Vec::new());
        for group in &self.record.results {
            if room == 0 && !self.whole {
                break;
            }
            let flagged = group.rows.iter().filter(|row| row.last.flag != Flag::None).count();
            let mut plain = if self.whole { usize::MAX } else { room.saturating_sub(flagged) };
            let mut keep = |row: &&Row| {
                let keep = row.last.flag != Flag::None || plain > 0;
                if row.last.flag == Flag::None {
                    plain = plain.saturating_sub(1);
                }
                keep
            };
            let rows: Vec<&Row> = group.rows.iter().filter(|row| keep(row)).collect();
            (room, shown) = (room.saturating_sub(rows.len()), shown + rows.len());
            panels.push(self.group(group, &rows));
        }
        let label = || self.visit.reader.fill("chart.see_all", &[("n", &all.to_string())]);
        (panels, (shown < all).then(|| self.see_all("resultados", label())))
    }

    pub fn observations(&self) -> Vec<Results> {
        self.record.observations.iter().map(|group| self.group(group, &group.rows.iter().collect::<Vec<_>>())).collect()
    }

    fn group(&self, group: &Group, rows: &[&Row]) -> Results {
        let when = short_of(self.visit, &group.when.iso, &group.when.text);
        let places = [("n", rows.len().to_string()), ("all", group.rows.len().to_string())];
        let places = places.each_ref().map(|(name, text)| (*name, text.as_str()));
        let some =
            if rows.len() < group.rows.len() { self.visit.reader.fill("chart.some", &places) } else { String::new() };
        Results {
            title: group.title.clone(),
            when: joined([when, some], " · "),
            rows: rows.iter().map(|row| self.result(row)).collect(),
        }
    }

    fn result(&self, row: &Row) -> ResultRow {
        let last = &row.last;
        ResultRow {
            critical: last.flag.is_critical(),
            href: entry(&self.record.id, "Observation", &last.id),
            name: row.name.clone(),
            value: last.value.clone(),
            unit: last.unit.clone(),
            tone: tone(last.flag),
            flag: flag(last),
            reference: last.reference.clone(),
            trend: small(self.visit, row),
            status: status(last),
        }
    }

    pub fn signs(&self) -> SignTable {
        let signs = &self.record.signs;
        let mut times = self.times(signs);
        let last = times.pop().unwrap_or_default();
        let measured = |row: &&Row| signs.times.iter().any(|when| signs.at(row, when).is_some());
        let (now, before): (Vec<&Row>, Vec<&Row>) = signs.rows.iter().partition(measured);
        let older = |row: &Row| Older {
            href: entry(&self.record.id, "Observation", &row.last.id),
            name: row.name.clone(),
            value: value_of(&row.last),
            when: self
                .visit
                .reader
                .day_of(&row.last.when.iso)
                .map_or_else(String::new, |day| self.visit.reader.short_date(day)),
        };
        SignTable {
            times,
            last,
            rows: now.into_iter().map(|row| self.sign(signs, row)).collect(),
            older: before.into_iter().map(older).collect(),
        }
    }

    /// The heads of the columns: the day where it changes, then hours.
    fn times(&self, signs: &Signs) -> Vec<String> {
        let (visit, mut day) = (self.visit, None);
        let mut times = Vec::new();
        for when in &signs.times {
            let at = when.iso.parse::<Timestamp>().ok();
            let date = at.map(|at| visit.reader.local(at).date());
            times.push(match at {
                Some(at) if date == day => visit.reader.time(at),
                Some(at) => short(visit, at),
                None => when.text.clone(),
            });
            day = date;
        }
        times
    }

    fn sign(&self, signs: &Signs, row: &Row) -> SignRow {
        let value = |when| signs.at(row, when).map_or_else(|| "–".to_owned(), |reading| reading.value.clone());
        let (newest, earlier) = signs
            .times
            .split_last()
            .map_or((None, Vec::new()), |(last, before)| (signs.at(row, last), before.iter().map(value).collect()));
        let before = match newest {
            Some(_) => row.earlier.first().map(|reading| reading.value.clone()),
            None => Some(format!("{} · {}", row.last.value, moment(self.visit, &row.last))),
        };
        SignRow {
            href: entry(&self.record.id, "Observation", &row.last.id),
            name: row.name.clone(),
            unit: row.last.unit.clone(),
            earlier,
            last: newest.map_or_else(|| "–".to_owned(), |reading| reading.value.clone()),
            before,
            tone: newest.and_then(|reading| tone(reading.flag)),
            flag: newest.and_then(flag),
            trend: small(self.visit, row),
        }
    }

    pub fn problems(&self) -> Lines {
        let items = &self.record.problems;
        let active: Vec<&Item> = items.iter().filter(|item| item.active).collect();
        let past = items.len() - active.len();
        let shown = if self.whole { items.iter().collect() } else { active.clone() };
        let more = (past > 0 && !self.whole).then(|| self.all("problemas", items.len()));
        let none = if past > 0 { "chart.no_active" } else { "chart.no_problems" };
        let count = self.count("chart.problems_active", active.len());
        Lines {
            count,
            more,
            ..self.panel("problemas", "chart.problems", none, shown, Some(("problema", "chart.add_problem")))
        }
    }

    /// The orders that go on, and the last ones that ended as far as there is room.
    pub fn medication(&self) -> Lines {
        let items = &self.record.medication;
        let active = items.iter().filter(|item| item.active).count();
        let shown = if self.whole { items.len() } else { LINES.max(active) };
        let more = (items.len() > shown).then(|| self.all("medicacion", items.len()));
        let shown = items.iter().take(shown).collect();
        let add = Some(("medicacion", "chart.add_medication"));
        Lines {
            count: self.count("chart.active", active),
            more,
            ..self.panel("medicacion", "chart.medication", "chart.no_medication", shown, add)
        }
    }

    pub fn visits(&self) -> Lines {
        self.lines("encuentros", "chart.visits", "chart.no_visits", &self.record.visits, None)
    }

    /// Everything else that has lines.
    pub fn others(&self) -> Vec<Lines> {
        let record = self.record;
        let add = Some(("alergia", "chart.add_allergy"));
        let named: [(&'static str, &'static str, &[Item], _); 6] = [
            ("alergias", "chart.allergies", &record.allergies.items, add),
            ("ordenes", "chart.orders", &record.orders, None),
            ("informes", "chart.reports", &record.reports, None),
            ("procedimientos", "chart.procedures", &record.procedures, None),
            ("vacunas", "chart.vaccines", &record.vaccines, None),
            ("documentos", "chart.documents", &record.documents, None),
        ];
        let named = named
            .into_iter()
            .filter(|(_, _, items, _)| !items.is_empty())
            .map(|(id, title, items, add)| self.lines(id, title, "chart.nothing", items, add));
        let rest = record.others.iter().filter(|section| section.kind != "Specimen").map(|section| Lines {
            title: section.title.clone(),
            ..self.lines(section.kind, "chart.nothing", "chart.nothing", &section.items, None)
        });
        named.chain(rest).collect()
    }

    fn all(&self, part: &str, n: usize) -> Link {
        self.see_all(part, self.visit.reader.fill("chart.all", &[("n", &n.to_string())]))
    }

    fn count(&self, key: &str, n: usize) -> Option<String> {
        (n > 0).then(|| self.visit.reader.count(key, i64::try_from(n).unwrap_or(0)))
    }

    fn lines(&self, id: &'static str, title: &str, none: &str, items: &[Item], add: Option<(&str, &str)>) -> Lines {
        let active = items.iter().filter(|item| item.active).count();
        let shown = if self.whole { items.len() } else { LINES.max(active.min(2 * LINES)) };
        let more = (items.len() > shown).then(|| self.all(id, items.len()));
        Lines { more, ..self.panel(id, title, none, items.iter().take(shown).collect(), add) }
    }

    fn panel(&self, id: &'static str, title: &str, none: &str, items: Vec<&Item>, add: Option<(&str, &str)>) -> Lines {
        let add = add.filter(|_| writes(self.visit));
        Lines {
            id,
            title: self.visit.text(title).to_owned(),
            count: None,
            items: items.into_iter().map(|item| self.line(id, item)).collect(),
            add: add
                .map(|(part, label)| Link::new(format!("{}/{part}", address(&self.record.id)), self.visit.text(label))),
            more: None,
            none: self.visit.text(none),
        }
    }

    fn line(&self, list: &str, item: &Item) -> Line {
        let when = match list {
            "problemas" if !item.when.text.is_empty() => {
                self.visit.reader.fill("chart.since", &[("date", &item.when.text)])
            }
            "medicacion" => String::new(),
            _ => item.when.text.clone(),
        };
        let short = list == "encuentros" && !self.whole;
        let mut detail = item.detail.clone();
        // What the badge says in days.
        if let Some((_, last)) = item.days.filter(|_| item.active || item.status_code == "stopped") {
            let until = self.visit.reader.fill("rec.until", &[("end", &self.visit.reader.date(last))]);
            detail = joined(detail.split(" · ").filter(|part| *part != until), " · ");
        }
        Line {
            href: entry(&self.record.id, item.kind, &item.id),
            what: item.what.clone(),
            code: if list == "problemas" { item.code.clone() } else { String::new() },
            third: if short { self.place(item) } else { String::new() },
            second: if short { when } else { joined([when.as_str(), &detail], " · ") },
            badge: self.badge(list, item),
            now: item.active,
        }
    }

    /// Of an encounter where it is or was, on the chart; the rest stands on its own page.
    fn place(&self, item: &Item) -> String {
        if item.active && !self.record.who.place.is_empty() {
            return self.record.who.place.clone();
        }
        joined(item.detail.split(" · ").filter(|part| *part != item.what).take(2), " · ")
    }

    /// That something holds no more; of an order for some days, which of them it is.
    fn badge(&self, list: &str, item: &Item) -> Option<Badge> {
        if !matches!(list, "problemas" | "medicacion" | "alergias") {
            return None;
        }
        let reader = &self.visit.reader;
        match (item.active, item.days) {
            (true, Some((first, last))) => Some(self.day(first, last)),
            (true, None) => None,
            (false, _) if item.status.is_empty() => None,
            (false, Some((_, last))) if item.status_code == "stopped" => {
                let day = if last == reader.today() {
                    reader.text("chart.today").to_owned()
                } else {
                    reader.short_date(last)
                };
                Some(Badge::new("plain", None, joined([item.status.as_str(), &day], " ")))
            }
            (false, _) => Some(Badge::new("plain", None, item.status.clone())),
        }
    }

    fn day(&self, first: Date, last: Date) -> Badge {
        let (reader, today) = (&self.visit.reader, self.visit.reader.today());
        let days = |to: Date| first.until(to).map_or(1, |span| span.get_days() + 1).to_string();
        if today < first {
            Badge::new("plain", None, reader.fill("chart.begins", &[("date", &reader.short_date(first))]))
        } else if today > last {
            Badge::new("warn", Some("triangle"), reader.fill("chart.was_until", &[("date", &reader.short_date(last))]))
        } else {
            Badge::new("plain", None, reader.fill("chart.day", &[("n", &days(today)), ("all", &days(last))]))
        }
    }

    /// What happened last: corrected results, the last signs, the last order and the last medicine.
    pub fn activity(&self) -> Vec<Event> {
        let record = self.record;
        let href = |kind: &str, id: &str| entry(&record.id, kind, id);
        let of = |row: &Row, what: String| Event {
            href: href("Observation", &row.last.id),
            what,
            second: joined(
                [moment(self.visit, &row.last), row.last.by.split(", ").next().unwrap_or_default().to_owned()],
                " · ",
            ),
            at: row.last.when.at,
        };
        let corrected = record.results.iter().flat_map(|group| &group.rows);
        let corrected = corrected.filter(|row| matches!(row.last.status_code.as_str(), "corrected" | "amended"));
        let mut events: Vec<Event> =
            corrected.map(|row| of(row, self.visit.reader.fill("chart.corrected", &[("name", &row.name)]))).collect();
        let newest = record.signs.rows.iter().max_by_key(|row| row.last.when.at);
        events.extend(newest.map(|row| of(row, self.visit.text("chart.signs").to_owned())));
        let lists = [("chart.ordered", &record.orders), ("chart.prescribed", &record.medication)];
        events.extend(lists.into_iter().filter_map(|(key, items)| {
            let item = items.iter().max_by_key(|item| item.when.at)?;
            Some(Event {
                href: href(item.kind, &item.id),
                what: self.visit.reader.fill(key, &[("name", &item.what)]),
                second: short_of(self.visit, &item.when.iso, &item.when.text),
                at: item.when.at,
            })
        }));
        events.sort_by_key(|event| std::cmp::Reverse(event.at));
        events.truncate(LAST);
        events
    }
}
