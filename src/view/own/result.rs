//! `/mi-historia/resultados` and one result: a large number, its trend, and what it means in the words high, low, normal.
//!
//! A value is called normal only where its own reference says so. Nothing is advised.

use super::{RESULTS, back, moment, own, plain_name};
use crate::error::{Error, Kind, Result};
use crate::view::page::{Badge, Empty, Link, Page};
use crate::view::record::results::{Flag, Group, Reading, Row};
use crate::view::record::{Extent, Record};
use crate::view::trend;
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;

/// What a value means: shape, word and colour.
#[derive(Serialize)]
pub struct Meaning {
    icon: Option<&'static str>,
    /// Class of the style sheet.
    tone: &'static str,
    text: String,
}

/// One result in a list.
#[derive(Serialize)]
pub struct Line {
    href: String,
    name: String,
    recorded: Option<String>,
    value: String,
    unit: String,
    /// A number stands at the side; a text needs the line.
    number: bool,
    meaning: Option<Meaning>,
    trend: Option<trend::Small>,
}

#[derive(Serialize)]
struct Part {
    title: String,
    when: String,
    rows: Vec<Line>,
}

#[derive(Serialize)]
struct List {
    page: Page,
    parts: Vec<Part>,
    empty: Option<Empty>,
}

#[derive(Serialize)]
struct Earlier {
    when: String,
    value: String,
    unit: String,
    meaning: Option<Meaning>,
}

#[derive(Serialize)]
struct One {
    page: Page,
    back: Link,
    name: String,
    recorded: String,
    value: String,
    unit: String,
    number: bool,
    when: String,
    status: Option<Badge>,
    meaning: Option<Meaning>,
    chart: Option<trend::Large>,
    band: bool,
    sentences: Vec<String>,
    detail: String,
    earlier: Vec<Earlier>,
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let record = own(visit, Extent::Results).await?;
    let part = |group: &Group| Part {
        title: group.title.clone(),
        when: moment(visit, &group.when),
        rows: rows(visit, group.rows.iter()),
    };
    let mut parts: Vec<Part> = record.results.iter().map(part).collect();
    let signs = Part {
        title: visit.text("own.signs").to_owned(),
        when: record.signs.times.last().map(|when| moment(visit, when)).unwrap_or_default(),
        rows: rows(visit, record.signs.rows.iter()),
    };
    parts.push(signs);
    parts.extend(record.observations.iter().map(part));
    parts.retain(|part| !part.rows.is_empty());
    let empty = Empty {
        icon: "flask",
        title: visit.text("own.no_results"),
        text: visit.text("own.no_results_help"),
        action: None,
    };
    let page = visit.page(visit.text("own.results")).at(RESULTS);
    visit.show("own-results", &List { page, empty: parts.is_empty().then_some(empty), parts })
}

/// `/mi-historia/resultados/{id}/{n}`: the n-th examination that an observation holds.
pub async fn one(visit: &Visit) -> Result<Reply> {
    let record = own(visit, Extent::Results).await?;
    let n: usize = visit.part("n").parse().map_err(|_| absent())?;
    let row = all(&record).filter(|row| holds(row, visit.part("id"))).nth(n).ok_or_else(absent)?;
    let last = &row.last;
    let plain = plain_name(visit, &row.code);
    let name = plain.map_or_else(|| row.name.clone(), str::to_owned);
    let number = last.number.is_some();
    let sentence = trend::sentence(&visit.reader, &name, &row.series, &last.unit);
    let chart = trend::large(&row.series, row.band, row.mark, row.ends.clone(), sentence);
    let corrected = matches!(last.status_code.as_str(), "amended" | "corrected");
    let model = One {
        page: visit.page(name.clone()).at(RESULTS),
        back: back(visit, RESULTS, "own.results"),
        recorded: plain.map(|_| row.name.clone()).unwrap_or_default(),
        value: last.value.clone(),
        unit: last.unit.clone(),
        number,
        when: moment(visit, &last.when),
        status: corrected.then(|| Badge::new("info", Some("pencil"), last.status.clone())),
        meaning: meaning(visit, last, true),
        band: chart.as_ref().is_some_and(|chart| chart.band.is_some()),
        chart,
        sentences: sentences(visit, row),
        detail: last.detail.clone(),
        earlier: row.earlier.iter().map(|reading| earlier(visit, reading)).collect(),
        name,
    };
    visit.show("own-result", &model)
}

fn absent() -> Error {
    Error::new(Kind::NotFound, "there is no such resource")
}

fn all(record: &Record) -> impl Iterator<Item = &Row> {
    let groups = record.results.iter().chain(&record.observations);
    groups.flat_map(|group| &group.rows).chain(&record.signs.rows)
}

/// Whether there is no value at all.
pub fn is_empty(record: &Record) -> bool {
    all(record).next().is_none()
}

/// Whether the last or an earlier reading is of this observation: an address stays good when a newer value comes.
fn holds(row: &Row, id: &str) -> bool {
    row.last.id == id || row.earlier.iter().any(|reading| reading.id == id)
}

/// Results for the first page: one of each examination in turn, what is out of the expected before the rest.
pub fn first(visit: &Visit, groups: &[Group], most: usize) -> Vec<Line> {
    let ranked: Vec<Vec<&Row>> = groups
        .iter()
        .map(|group| {
            let mut rows: Vec<&Row> = group.rows.iter().collect();
            rows.sort_by_key(|row| row.last.flag == Flag::None);
            rows
        })
        .collect();
    let turns = ranked.iter().map(Vec::len).max().unwrap_or(0);
    let in_turn = (0..turns).flat_map(|turn| ranked.iter().filter_map(move |rows| rows.get(turn).copied()));
    let chosen: Vec<&Row> = in_turn.take(most).collect();
    // The address of a line counts the examinations of one observation: all are made, those chosen are shown.
    let all: Vec<&Row> = groups.iter().flat_map(|group| &group.rows).collect();
    let lines = rows(visit, all.iter().copied());
    let at = |row: &Row| chosen.iter().position(|one| std::ptr::eq(*one, row));
    let mut shown: Vec<(usize, Line)> =
        all.iter().zip(lines).filter_map(|(row, line)| Some((at(row)?, line))).collect();
    shown.sort_by_key(|(at, _)| *at);
    shown.into_iter().map(|(_, line)| line).collect()
}

fn rows<'r>(visit: &Visit, rows: impl Iterator<Item = &'r Row>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        let last = &row.last;
        let stem = format!("{RESULTS}/{}/", encoded(&last.id));
        // Several examinations of one observation are counted.
        let n = lines.iter().filter(|line| line.href.starts_with(&stem)).count();
        let plain = plain_name(visit, &row.code);
        let sentence = trend::sentence(&visit.reader, plain.unwrap_or(&row.name), &row.series, &last.unit);
        lines.push(Line {
            href: format!("{stem}{n}"),
            name: plain.map_or_else(|| row.name.clone(), str::to_owned),
            recorded: plain.filter(|plain| !plain.eq_ignore_ascii_case(&row.name)).map(|_| row.name.clone()),
            value: last.value.clone(),
            unit: last.unit.clone(),
            number: last.number.is_some(),
            meaning: meaning(visit, last, false),
            trend: trend::small(&row.series, row.band, row.mark, sentence),
        });
    }
    lines
}

fn earlier(visit: &Visit, reading: &Reading) -> Earlier {
    Earlier {
        when: moment(visit, &reading.when),
        value: reading.value.clone(),
        unit: reading.unit.clone(),
        meaning: meaning(visit, reading, false),
    }
}

/// The word of a value, with the reference behind it when `whole`.
fn meaning(visit: &Visit, reading: &Reading, whole: bool) -> Option<Meaning> {
    let (icon, tone, key) = match reading.flag {
        Flag::High => (Some("up"), "warnline", "own.high"),
        Flag::Low => (Some("down"), "warnline", "own.low"),
        Flag::CriticalHigh => (Some("octagon"), "wrong", "own.very_high"),
        Flag::CriticalLow => (Some("octagon"), "wrong", "own.very_low"),
        Flag::Critical => (Some("octagon"), "wrong", "own.very_abnormal"),
        Flag::Abnormal => (Some("info"), "warnline", "own.abnormal"),
        Flag::None if is_inside(reading) => (None, "second", "own.normal"),
        // What the laboratory says besides: positive, resistant.
        Flag::None if !reading.flag_text.is_empty() => {
            return Some(Meaning { icon: None, tone: "second", text: reading.flag_text.clone() });
        }
        Flag::None => return None,
    };
    let word = visit.text(key);
    let text = if whole && !reading.reference.is_empty() {
        format!("{word} ({})", reading.reference)
    } else {
        word.to_owned()
    };
    Some(Meaning { icon, tone, text })
}

/// A number that its own reference holds.
fn is_inside(reading: &Reading) -> bool {
    let (low, high) = (reading.band.low, reading.band.high);
    let within = |n: f64| low.is_none_or(|low| n >= low) && high.is_none_or(|high| n <= high);
    reading.flag_text.is_empty() && (low.is_some() || high.is_some()) && reading.number.is_some_and(within)
}

fn sentences(visit: &Visit, row: &Row) -> Vec<String> {
    let last = &row.last;
    let level = match last.flag {
        Flag::High | Flag::CriticalHigh => "own.means_high",
        Flag::Low | Flag::CriticalLow => "own.means_low",
        Flag::Critical | Flag::Abnormal => "own.means_abnormal",
        Flag::None if is_inside(last) => "own.means_normal",
        Flag::None => "own.means_unknown",
    };
    // What lies beyond (`> 5,1`) has a reference, but is no number of which it could be said.
    let is_beyond = last.flag == Flag::None && last.number.is_none() && !last.reference.is_empty();
    let mut sentences = if is_beyond { Vec::new() } else { vec![visit.text(level).to_owned()] };
    if last.number.is_none() {
        return sentences;
    }
    // Since the time before: a rise over years may hide that it falls now.
    if let [.., before, end] = row.series.as_slice() {
        let key = match end.number - before.number {
            rise if rise > before.number.abs() * 0.03 => "own.rose",
            rise if rise < -before.number.abs() * 0.03 => "own.fell",
            _ => "own.stayed",
        };
        sentences.push(visit.reader.fill(key, &[("from", &before.text), ("to", &end.text), ("date", &before.date)]));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::trend::Band;

    #[test]
    fn normal_is_said_only_by_the_own_reference() {
        let check = |number: Option<f64>, low: Option<f64>, high: Option<f64>, said: &str, expected: bool| {
            let reading =
                Reading { number, band: Band { low, high }, flag_text: said.to_owned(), ..Reading::default() };
            assert_eq!(is_inside(&reading), expected, "{number:?} {low:?} {high:?} {said}");
        };
        check(Some(5.0), Some(4.0), Some(6.0), "", true);
        check(Some(5.0), None, Some(6.0), "", true);
        check(Some(7.0), None, Some(6.0), "", false);
        check(Some(3.0), Some(4.0), None, "", false);
        check(Some(5.0), None, None, "", false);
        check(None, Some(4.0), Some(6.0), "", false);
        check(Some(5.0), Some(4.0), Some(6.0), "positivo", false);
    }
}
