//! Observations: the readings of each examination over time, the groups of the last results, the table of vital signs.
//!
//! Readings are of the same examination when they have the same code (of a component: also that of the whole). A value
//! is high or low when the laboratory says so, else when it lies outside its own reference; critical only when the
//! laboratory says so.

use crate::view::record::clinical::has_category;
use crate::view::record::words::{Measured, When, Words, clean, code_of, codes, joined, list, text};
use crate::view::trend::{Band, Mark, Value as Point};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// What a value means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    #[default]
    None,
    High,
    Low,
    CriticalHigh,
    CriticalLow,
    Critical,
    Abnormal,
}

impl Flag {
    /// Codes of ObservationInterpretation (<http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation>).
    fn of_code(code: &str) -> Option<Flag> {
        Some(match code {
            "HH" | "HU" => Flag::CriticalHigh,
            "LL" | "LU" => Flag::CriticalLow,
            "AA" => Flag::Critical,
            "H" => Flag::High,
            "L" => Flag::Low,
            "A" => Flag::Abnormal,
            _ => return None,
        })
    }

    pub fn is_critical(self) -> bool {
        matches!(self, Flag::CriticalHigh | Flag::CriticalLow | Flag::Critical)
    }

    pub fn mark(self) -> Mark {
        match self {
            Flag::High => Mark::High,
            Flag::Low => Mark::Low,
            Flag::CriticalHigh | Flag::CriticalLow | Flag::Critical => Mark::Crit,
            Flag::None | Flag::Abnormal => Mark::Normal,
        }
    }

    /// The key of its word.
    pub fn key(self) -> &'static str {
        match self {
            Flag::None => "flag.none",
            Flag::High => "flag.high",
            Flag::Low => "flag.low",
            Flag::CriticalHigh => "flag.critical_high",
            Flag::CriticalLow => "flag.critical_low",
            Flag::Critical => "flag.critical",
            Flag::Abnormal => "flag.abnormal",
        }
    }
}

/// One result of one examination.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reading {
    pub id: String,
    pub when: When,
    /// As it is read; empty only when nothing at all is said of the value.
    pub value: String,
    pub unit: String,
    pub flag: Flag,
    /// The word of the flag, or of an interpretation that is none of the flags (positive, resistant, ...).
    pub flag_text: String,
    /// The reference in words.
    pub reference: String,
    pub status: String,
    pub status_code: String,
    /// Method, specimen site, notes.
    pub detail: String,
    /// The notes alone, each with its time, and who measured.
    #[serde(skip)]
    pub notes: String,
    #[serde(skip)]
    pub by: String,
    #[serde(skip)]
    pub number: Option<f64>,
    #[serde(skip)]
    pub band: Band,
    #[serde(skip)]
    pub ends: Ends,
}

impl Reading {
    /// The value whatever the reader's language: what [`super::clinical::Seen`] compares.
    pub fn mark(&self) -> String {
        let value = self.number.map_or_else(|| self.value.clone(), |number| number.to_string());
        joined([value.as_str(), &self.unit], " ")
    }
}

/// How the ends of a reference are written: low, high.
type Ends = (Option<String>, Option<String>);

/// An examination: its last reading and those before.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    pub name: String,
    pub code: String,
    pub last: Reading,
    /// Newest first.
    pub earlier: Vec<Reading>,
    /// The values of the unit of the last one, oldest first.
    #[serde(skip)]
    pub series: Vec<Point>,
    #[serde(skip)]
    pub band: Band,
    #[serde(skip)]
    pub mark: Mark,
    /// How the ends of the reference are written beside a large chart.
    #[serde(skip)]
    pub ends: Ends,
}

/// Last results that belong together: those of one report, of one day, or of one category.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Group {
    /// The DiagnosticReport that it is of.
    pub report: Option<String>,
    pub title: String,
    pub when: When,
    pub rows: Vec<Row>,
}

/// The vital signs of the last times.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Signs {
    /// Oldest first, at most [`TIMES`].
    pub times: Vec<When>,
    pub rows: Vec<Row>,
}

impl Signs {
    /// The reading of a row at one of the times.
    pub fn at<'r>(&self, row: &'r Row, time: &When) -> Option<&'r Reading> {
        std::iter::once(&row.last).chain(&row.earlier).find(|reading| reading.when.at == time.at)
    }
}

/// Columns of the table of vital signs.
pub const TIMES: usize = 4;
/// Blood pressure and its two parts (LOINC).
const SYSTOLIC: &str = "8480-6";
const DIASTOLIC: &str = "8462-4";
/// The order in which vital signs are read, by LOINC code.
const SIGNS: [&str; 13] = [
    "85354-9", "8480-6", "8462-4", "8867-4", "9279-1", "8310-5", "59408-5", "2708-6", "72514-3", "29463-7", "8302-2",
    "39156-5", "9843-4",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Result,
    Sign,
    Other,
}

/// A reading on its way to its row.
struct Taken {
    kind: Kind,
    /// What makes it the same examination as another reading.
    key: String,
    name: String,
    code: String,
    category: String,
    /// The Observation that it is of.
    of: String,
    reading: Reading,
}

/// A DiagnosticReport as a bracket around results.
struct Report {
    id: String,
    title: String,
    when: When,
    results: Vec<String>,
}

/// Gathers observations and reports.
#[derive(Default)]
pub struct Gathered {
    taken: Vec<Taken>,
    reports: Vec<Report>,
}

/// What becomes of them.
#[derive(Default)]
pub struct Sorted {
    pub results: Vec<Group>,
    pub signs: Signs,
    pub observations: Vec<Group>,
}

impl Gathered {
    pub fn report(&mut self, words: &Words<'_>, resource: &Value) {
        let base = words.base;
        let target = |reference: &Value| {
            let target = text(reference, "reference");
            target.strip_prefix(base).unwrap_or(target).strip_prefix("Observation/").map(str::to_owned)
        };
        self.reports.push(Report {
            id: text(resource, "id").to_owned(),
            title: words.concept(resource.get("code")),
            when: words.when(resource, &["effective", "issued"]),
            results: list(resource, "result").filter_map(target).collect(),
        });
    }

    pub fn observation(&mut self, words: &Words<'_>, resource: &Value) {
        let code = code_of(resource.get("code"), |system| system == "http://loinc.org");
        let kind = if has_category(resource, &["laboratory", "imaging"]) {
            Kind::Result
        } else if has_category(resource, &["vital-signs"]) || SIGNS.contains(&code.as_str()) {
            Kind::Sign
        } else {
            Kind::Other
        };
        let category = list(resource, "category").next();
        let category = match words.word("category", &code_of(category, |_| true)) {
            word if word.is_empty() => words.say("rec.observations").to_owned(),
            word => word,
        };
        let name = named(words, resource, &code);
        let key = if code.is_empty() { name.to_lowercase() } else { code.clone() };
        let id = text(resource, "id").to_owned();
        let mut push = |key: String, name: String, code: String, reading: Reading| {
            self.taken.push(Taken { kind, key, name, code, category: category.clone(), of: id.clone(), reading });
        };
        if let Some(reading) = blood_pressure(words, resource) {
            let rest = list(resource, "component").filter(|part| !is_pressure(part));
            push(key.clone(), name.clone(), code.clone(), reading);
            rest.for_each(|part| component(words, resource, part, &key, &name, &mut push));
            return;
        }
        let own = words.measured(resource);
        let parts = list(resource, "component").count();
        let panel = list(resource, "hasMember").next().is_some();
        // A bracket around other observations is shown by them.
        if own.is_some() || (parts == 0 && !panel) {
            push(key.clone(), name.clone(), code.clone(), reading(words, resource, resource, own));
        }
        list(resource, "component").for_each(|part| component(words, resource, part, &key, &name, &mut push));
    }

    /// Rows by examination, grouped.
    pub fn sorted(mut self, words: &Words<'_>) -> Sorted {
        self.reports.sort_by_key(|report| report.when.at);
        let mut of_report: HashMap<&str, usize> = HashMap::new();
        for (n, report) in self.reports.iter().enumerate() {
            // The latest report that holds a result is the one it stands under.
            of_report.extend(report.results.iter().map(|id| (id.as_str(), n)));
        }
        // What a report of the laboratory holds is a result, also without a category.
        for taken in
            self.taken.iter_mut().filter(|taken| taken.kind == Kind::Other && of_report.contains_key(taken.of.as_str()))
        {
            taken.kind = Kind::Result;
        }
        let mut rows: Vec<(Kind, String, String, Row)> = Vec::new();
        let mut places: HashMap<(u8, String), usize> = HashMap::new();
        self.taken.sort_by_key(|taken| taken.reading.when.at);
        for taken in self.taken {
            let place = *places.entry((taken.kind as u8, taken.key)).or_insert(rows.len());
            match rows.get_mut(place) {
                Some((_, of, category, row)) => {
                    row.earlier.push(std::mem::replace(&mut row.last, taken.reading));
                    (*of, *category, row.name) = (taken.of, taken.category, taken.name);
                }
                None => {
                    let row = Row { name: taken.name, code: taken.code, last: taken.reading, ..Row::default() };
                    rows.push((taken.kind, taken.of, taken.category, row));
                }
            }
        }
        let mut sorted = Sorted::default();
        let mut results: Vec<Placed> = Vec::new();
        for (kind, of, category, mut row) in rows {
            finish(words, &mut row);
            match kind {
                Kind::Sign => sorted.signs.rows.push(row),
                Kind::Other => push_by_title(&mut sorted.observations, category, row),
                Kind::Result => {
                    let report = of_report.get(of.as_str()).copied();
                    let at = report
                        .and_then(|n| self.reports.get(n))
                        .and_then(|r| r.results.iter().position(|id| *id == of));
                    results.push(Placed { report, at: at.unwrap_or(0), row });
                }
            }
        }
        sorted.results = by_report(words, &self.reports, results);
        arrange(&mut sorted.signs);
        sorted
    }
}

/// A row and where it stands: its report, and the place in it.
struct Placed {
    report: Option<usize>,
    at: usize,
    row: Row,
}

fn push_by_title(groups: &mut Vec<Group>, title: String, row: Row) {
    match groups.iter_mut().find(|group| group.title == title) {
        Some(group) => group.rows.push(row),
        None => groups.push(Group { report: None, title, when: Words::never(), rows: vec![row] }),
    }
}

/// Results under their report in its order, those of none with what else was measured on the same day; newest first.
fn by_report(words: &Words<'_>, reports: &[Report], mut results: Vec<Placed>) -> Vec<Group> {
    results.sort_by(|a, b| (a.at, &a.row.name).cmp(&(b.at, &b.row.name)));
    let mut groups: HashMap<(Option<usize>, Option<String>), Group> = HashMap::new();
    for Placed { report, row, .. } in results {
        // What is in no report stands under its own time.
        let moment = report.is_none().then(|| row.last.when.iso.clone());
        let group = groups.entry((report, moment)).or_insert_with(|| match report.and_then(|n| reports.get(n)) {
            Some(report) => Group {
                report: Some(report.id.clone()),
                title: report.title.clone(),
                when: report.when.clone(),
                rows: Vec::new(),
            },
            None => Group {
                report: None,
                title: words.say("rec.other_results").to_owned(),
                when: row.last.when.clone(),
                rows: Vec::new(),
            },
        });
        group.rows.push(row);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    // Of one moment: what is critical first, what is in no report last.
    let rank = |group: &Group| {
        let critical = group.rows.iter().any(|row| row.last.flag.is_critical());
        (
            std::cmp::Reverse(group.when.at),
            !critical,
            group.title == words.say("rec.other_results"),
            group.title.clone(),
        )
    };
    groups.sort_by_cached_key(rank);
    groups
}

/// The last times as columns, the signs in the order in which they are read.
fn arrange(signs: &mut Signs) {
    let rank = |row: &Row| (SIGNS.iter().position(|code| *code == row.code).unwrap_or(SIGNS.len()), row.name.clone());
    signs.rows.sort_by_key(rank);
    let mut times: Vec<When> = signs
        .rows
        .iter()
        .flat_map(|row| std::iter::once(&row.last).chain(&row.earlier))
        .map(|reading| reading.when.clone())
        .collect();
    times.sort_by_key(|when| when.at);
    times.dedup_by_key(|when| when.at);
    signs.times = times.split_off(times.len().saturating_sub(TIMES));
}

/// Series, band and mark of a row whose readings came oldest first.
fn finish(words: &Words<'_>, row: &mut Row) {
    row.band = row.last.band;
    row.mark = row.last.flag.mark();
    let readings = row.earlier.iter().chain(std::iter::once(&row.last));
    let same: Vec<&Reading> =
        readings.filter(|r| r.number.is_some() && r.unit == row.last.unit && !r.when.iso.is_empty()).collect();
    let years = same.iter().filter_map(|r| words.reader.day_of(&r.when.iso)).map(|day| (day.year(), day.month()));
    let (first, last) = (years.clone().min(), years.max());
    let long = first.zip(last).is_some_and(|(first, last)| {
        (i32::from(last.0) - i32::from(first.0)) * 12 + i32::from(last.1) - i32::from(first.1) > 6
    });
    row.series = same
        .iter()
        .filter_map(|reading| {
            let day = words.reader.day_of(&reading.when.iso)?;
            let date = if long { month_of(day) } else { words.reader.short_date(day) };
            Some(Point { number: reading.number?, text: reading.value.clone(), date })
        })
        .collect();
    row.ends = row.last.ends.clone();
    row.earlier.reverse();
}

/// `11/2026`: months stand close to each other under a trend.
fn month_of(day: jiff::civil::Date) -> String {
    format!("{:02}/{}", day.month(), day.year())
}

/// What an observation is called: vital signs by their short name.
fn named(words: &Words<'_>, holder: &Value, code: &str) -> String {
    let short = words.word("sign", code);
    let name = words.concept(holder.get("code"));
    match (short == code, name.is_empty()) {
        (false, _) if SIGNS.contains(&code) => short,
        (_, true) => words.say("rec.unnamed").to_owned(),
        _ => name,
    }
}

fn component(
    words: &Words<'_>,
    whole: &Value,
    part: &Value,
    key: &str,
    name: &str,
    push: &mut impl FnMut(String, String, String, Reading),
) {
    let code = code_of(part.get("code"), |system| system == "http://loinc.org");
    let own = named(words, part, &code);
    let measured = words.measured(part);
    let reading = reading(words, whole, part, measured);
    let id = if code.is_empty() { own.to_lowercase() } else { code.clone() };
    push(format!("{key}/{id}"), joined([name, &own], ": "), code, reading);
}

fn is_pressure(part: &Value) -> bool {
    part.get("code")
        .is_some_and(|code| list(code, "coding").any(|coding| matches!(text(coding, "code"), SYSTOLIC | DIASTOLIC)))
}

/// `118/70`: the two parts of one blood pressure as one reading; the trend is that of the systolic one.
fn blood_pressure(words: &Words<'_>, whole: &Value) -> Option<Reading> {
    let part = |wanted: &str| {
        list(whole, "component").find(|part| {
            part.get("code").is_some_and(|code| list(code, "coding").any(|coding| text(coding, "code") == wanted))
        })
    };
    let (high, low) = (part(SYSTOLIC)?, part(DIASTOLIC)?);
    let (upper, lower) = (words.measured(high)?, words.measured(low)?);
    let measured = Measured {
        text: format!("{}/{}", upper.text, lower.text),
        unit: upper.unit.clone(),
        number: upper.number,
        absent: false,
    };
    let mut reading = reading(words, whole, high, Some(measured));
    let other = self::reading(words, whole, low, Some(lower));
    if reading.flag == Flag::None {
        (reading.flag, reading.flag_text) = (other.flag, other.flag_text);
    }
    reading.reference = joined([reading.reference, other.reference], " / ");
    Some(reading)
}

/// One reading: value, flag and reference of `holder`, the rest of the whole observation.
fn reading(words: &Words<'_>, whole: &Value, holder: &Value, measured: Option<Measured>) -> Reading {
    let measured = measured.unwrap_or_else(|| Measured {
        text: words.say("rec.no_value").to_owned(),
        absent: true,
        ..Measured::default()
    });
    let (reference, band, ends) = references(words, holder);
    let own: Vec<&Value> = list(holder, "interpretation").collect();
    let flag = codes(holder, "interpretation").find_map(Flag::of_code);
    let says_normal = codes(holder, "interpretation").any(|code| code == "N");
    let outside = measured
        .number
        .filter(|_| flag.is_none() && !says_normal && own.is_empty())
        .map_or(Flag::None, |n| outside(n, band));
    let flag = flag.unwrap_or(outside);
    let flag_text = match flag {
        Flag::None if says_normal => String::new(),
        Flag::None => joined(own.iter().map(|concept| interpretation(words, concept)), ", "),
        flag => words.say(flag.key()).to_owned(),
    };
    let status = text(whole, "status");
    let detail = [words.concept(whole.get("method")), words.concept(whole.get("bodySite")), words.notes(whole)];
    Reading {
        id: text(whole, "id").to_owned(),
        when: words.when(whole, &["effective", "issued"]),
        value: measured.text,
        unit: measured.unit,
        flag,
        flag_text,
        reference,
        status: words.word("status", status),
        status_code: status.to_owned(),
        detail: joined(detail, " · "),
        notes: joined(list(whole, "note").map(|note| noted(words, note)), " "),
        by: words.people(whole, "performer", ""),
        number: measured.number,
        band,
        ends,
    }
}

/// A note with the time it was written at, for those who read it today.
fn noted(words: &Words<'_>, note: &Value) -> String {
    let said = clean(text(note, "text"));
    match text(note, "time").parse() {
        Ok(at) => format!("{said} ({})", words.reader.short_moment(at)),
        Err(_) => said,
    }
}

fn interpretation(words: &Words<'_>, concept: &Value) -> String {
    let code = code_of(Some(concept), |_| true);
    let word = words.word("interpretation", &code);
    if word == code { words.concept(Some(concept)) } else { word }
}

fn outside(number: f64, band: Band) -> Flag {
    match band {
        Band { high: Some(high), .. } if number > high => Flag::High,
        Band { low: Some(low), .. } if number < low => Flag::Low,
        _ => Flag::None,
    }
}

/// All references in words, and the one for everybody (else the only one) as a band.
fn references(words: &Words<'_>, holder: &Value) -> (String, Band, Ends) {
    let all: Vec<&Value> = list(holder, "referenceRange").collect();
    let mut texts = Vec::new();
    for range in &all {
        let ends = words.range(range.get("low"), range.get("high"));
        let said = if ends.is_empty() { clean(text(range, "text")) } else { ends };
        let age = range.get("age").map(|age| words.range(age.get("low"), age.get("high"))).unwrap_or_default();
        let kind = code_of(range.get("type"), |_| true);
        let kind = if kind == "normal" { String::new() } else { words.concept(range.get("type")) };
        let whom = joined([kind, words.concepts(range, "appliesTo"), age], ", ");
        texts.push(joined([whom, said], ": "));
    }
    let general = |range: &&&Value| {
        range.get("appliesTo").is_none()
            && range.get("age").is_none()
            && matches!(code_of(range.get("type"), |_| true).as_str(), "" | "normal")
    };
    let chosen = all.iter().find(general).or_else(|| all.first().filter(|_| all.len() == 1));
    let end = |name: &str| {
        let value = chosen.and_then(|range| range.get(name)).and_then(|quantity| quantity.get("value"));
        match value {
            Some(Value::Number(number)) => {
                let shown = words.reader.number(number.as_str());
                number.as_str().parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| (n, shown))
            }
            _ => None,
        }
    };
    let (low, high) = (end("low"), end("high"));
    let ends = (low.as_ref().map(|(_, shown)| shown.clone()), high.as_ref().map(|(_, shown)| shown.clone()));
    (joined(texts, "; "), Band { low: low.map(|(n, _)| n), high: high.map(|(n, _)| n) }, ends)
}
