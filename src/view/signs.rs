//! `/paciente/{id}/signos`: a set of vital signs in one form.
//!
//! What is impossible is refused, with the likely slip; what is unlikely for the age is shown once and then saved as it
//! is. Each sign is an Observation of the vital-signs profile (<https://hl7.org/fhir/R4/observation-vitalsigns.html>).

use crate::error::Result;
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::view::chart;
use crate::view::format::{NumberProblem, Reader, date_field};
use crate::view::observation::{self, Amount, Circumstances, concept, float, judge, moment_of, number, put, quantity};
use crate::view::page::{Message, Page, Tone};
use crate::view::patient::named;
use crate::view::record::words::joined;
use crate::view::record::{Extent, Record};
use crate::view::sheet::{Field, Fields, Problems, Sheet};
use crate::view::visit::{Reply, Visit};
use serde::Serialize;
use serde_json::{Value, json};

/// One sign: its field, codes, text, unit, and what is possible at all.
struct Sign {
    field: &'static str,
    codes: &'static [&'static str],
    label: &'static str,
    unit: &'static str,
    ucum: &'static str,
    possible: (f64, f64),
    /// Reference of adults, as digits.
    adult: Option<(&'static str, &'static str)>,
}

const fn sign(
    field: &'static str,
    codes: &'static [&'static str],
    label: &'static str,
    unit: (&'static str, &'static str),
    possible: (f64, f64),
    adult: Option<(&'static str, &'static str)>,
) -> Sign {
    Sign { field, codes, label, unit: unit.0, ucum: unit.1, possible, adult }
}

const MM_HG: (&str, &str) = ("mm Hg", "mm[Hg]");
const SYSTOLIC: Sign = sign("sistolica", &["8480-6"], "sign.8480-6", MM_HG, (40.0, 300.0), Some(("90", "139")));
const DIASTOLIC: Sign = sign("diastolica", &["8462-4"], "sign.8462-4", MM_HG, (20.0, 200.0), Some(("60", "89")));
/// Those that are a value each. The oximeter has both codes: the profile asks for the first.
const SINGLE: [Sign; 7] = [
    sign("cardiaca", &["8867-4"], "sign.8867-4", ("/min", "/min"), (20.0, 300.0), Some(("60", "100"))),
    sign("respiratoria", &["9279-1"], "sign.9279-1", ("/min", "/min"), (4.0, 120.0), Some(("12", "20"))),
    sign("temperatura", &["8310-5"], "sign.8310-5", ("°C", "Cel"), (25.0, 45.0), Some(("36.0", "37.5"))),
    sign("saturacion", &["2708-6", "59408-5"], "sign.2708-6", ("%", "%"), (30.0, 100.0), Some(("90", "100"))),
    sign("dolor", &["72514-3"], "sign.72514-3", ("/10", "{score}"), (0.0, 10.0), None),
    sign("peso", &["29463-7"], "sign.29463-7", ("kg", "kg"), (0.3, 400.0), None),
    sign("talla", &["8302-2"], "sign.8302-2", ("cm", "cm"), (20.0, 250.0), None),
];
const PRESSURE: &str = "85354-9";

/// What is likely at an age in years.
fn likely(field: &str, age: Option<i16>) -> Option<(f64, f64)> {
    let by_age = |infant, child, adult| match age {
        Some(0) => infant,
        Some(1..=11) => child,
        _ => adult,
    };
    Some(match field {
        "sistolica" => by_age((50.0, 120.0), (70.0, 140.0), (80.0, 180.0)),
        "diastolica" => by_age((25.0, 80.0), (35.0, 90.0), (40.0, 110.0)),
        "cardiaca" => by_age((90.0, 190.0), (60.0, 160.0), (45.0, 130.0)),
        "respiratoria" => by_age((20.0, 65.0), (14.0, 40.0), (10.0, 28.0)),
        "temperatura" => (35.0, 39.9),
        "saturacion" => (85.0, 100.0),
        "talla" => by_age((40.0, 85.0), (65.0, 165.0), (120.0, 205.0)),
        "peso" => by_age((1.5, 14.0), (6.0, 75.0), (30.0, 180.0)),
        _ => return None,
    })
}

/// A line of the form.
#[derive(Serialize)]
struct Line {
    label: String,
    unit: &'static str,
    before: Option<String>,
    fields: Vec<Field>,
    soft: Vec<Note>,
    errors: Vec<Note>,
}

#[derive(Serialize)]
struct Note {
    id: String,
    text: String,
}

#[derive(Serialize)]
struct Model {
    page: Page,
    action: String,
    back: String,
    lines: Vec<Line>,
    fields: Fields,
    seen: String,
}

/// What was typed, read.
#[derive(Default)]
struct Read {
    values: Vec<(&'static Sign, Value)>,
    problems: Problems,
    unlikely: Vec<(&'static str, String)>,
    at: String,
}

impl Read {
    fn value(&self, field: &str) -> Option<&Value> {
        self.values.iter().find(|(sign, _)| sign.field == field).map(|(_, value)| value)
    }

    /// The unlikely values, as the form carries them once they were shown.
    fn seen(&self) -> String {
        let shown = |(field, _): &(&'static str, String)| {
            format!("{field}={}", self.value(field).map(Value::to_string).unwrap_or_default())
        };
        self.unlikely.iter().map(shown).collect::<Vec<_>>().join(";")
    }
}

/// What is possible of a sign, by its LOINC code.
pub fn possible(code: &str) -> Option<(f64, f64)> {
    all().find(|sign| sign.codes.contains(&code)).map(|sign| sign.possible)
}

fn all() -> impl Iterator<Item = &'static Sign> {
    static PAIR: [Sign; 2] = [SYSTOLIC, DIASTOLIC];
    static REST: [Sign; 7] = SINGLE;
    PAIR.iter().chain(REST.iter())
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let record = chart::of(visit, Extent::Results).await?;
    shown(visit, &record, visit.draft.as_ref(), Read::default(), 200)
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let record = chart::of(visit, Extent::Results).await?;
    let read = read(visit, &record, form);
    if !read.problems.is_empty() || (!read.unlikely.is_empty() && form.typed("visto") != read.seen()) {
        return shown(visit, &record, Some(form), read, 422);
    }
    let to = visit.once(async |unit| keep(unit, visit, &record, &read).await).await?;
    Ok(Reply::said(to, "said.saved"))
}

fn years(visit: &Visit, record: &Record) -> Option<i16> {
    let born = visit.reader.day_of(&record.who.birth.iso)?;
    let today = visit.reader.today();
    let passed = (today.month(), today.day()) >= (born.month(), born.day());
    Some(today.year() - born.year() - i16::from(!passed))
}

fn read(visit: &Visit, record: &Record, form: &Form) -> Read {
    let (reader, age) = (&visit.reader, years(visit, record));
    let mut read = Read::default();
    for sign in all() {
        let typed = form.typed(sign.field);
        if typed.is_empty() {
            continue;
        }
        match number(typed, reader.language) {
            Ok(value) => judge_one(visit, record, age, sign, value, &mut read),
            Err(NumberProblem::Ambiguous) => read.problems.add(sign.field, reader.text("number.ambiguous")),
            Err(NumberProblem::NotANumber) => read.problems.add(sign.field, reader.text("number.none")),
        }
    }
    let pressure = (read.value("sistolica").map(float), read.value("diastolica").map(float));
    let typed = |field| !form.typed(field).is_empty();
    match pressure {
        (Some(high), Some(low)) if low >= high => read.problems.add("diastolica", reader.text("signs.pressure_order")),
        (Some(_), None) if !typed("diastolica") => read.problems.add("diastolica", reader.text("signs.pressure_both")),
        (None, Some(_)) if !typed("sistolica") => read.problems.add("sistolica", reader.text("signs.pressure_both")),
        _ => {}
    }
    if read.values.is_empty() && read.problems.is_empty() {
        read.problems.add("sistolica", reader.text("signs.none"));
    }
    match moment_of(reader, &record.who.birth.iso, form.typed("fecha"), form.typed("hora")) {
        Ok(at) => read.at = at,
        Err(problem) => {
            let (field, key) = problem.field();
            read.problems.add(field, reader.text(key));
        }
    }
    read
}

/// Takes a value, refuses it, or asks to look at it again.
fn judge_one(visit: &Visit, record: &Record, age: Option<i16>, sign: &'static Sign, value: Value, read: &mut Read) {
    let (reader, n) = (&visit.reader, float(&value));
    if let Some(problem) = impossible(reader, age, sign, &value) {
        return read.problems.add(sign.field, problem);
    }
    if sign.field == "dolor" && n.fract() != 0.0 {
        return read.problems.add(sign.field, reader.text("signs.whole"));
    }
    let before = before(record, sign).and_then(|row| row.number);
    read.unlikely.extend(unlikely(reader, age, sign, &value, before).map(|text| (sign.field, text)));
    read.values.push((sign, value));
}

/// Why a value cannot be, with the likely slip: `368 °C no es posible. ¿Quiso decir 36,8? Se acepta de 25 a 45.`
fn impossible(reader: &Reader, age: Option<i16>, sign: &Sign, value: &Value) -> Option<String> {
    let (n, (low, high)) = (float(value), sign.possible);
    if (low..=high).contains(&n) {
        return None;
    }
    let is_likely = |n: &f64| likely(sign.field, age).is_some_and(|(low, high)| (low..=high).contains(n));
    let slip = [10.0, 100.0].into_iter().map(|by| n / by).find(is_likely);
    let parts = [
        reader.fill("signs.impossible", &[("value", &reader.number(&value.to_string())), ("unit", sign.unit)]),
        slip.map(|n| reader.fill("signs.meant", &[("value", &written(reader, n))])).unwrap_or_default(),
        reader.fill("signs.accepted", &[("low", &written(reader, low)), ("high", &written(reader, high))]),
    ];
    Some(joined(parts, " "))
}

/// Why a value is unlikely: for the age, or after the last weight.
fn unlikely(reader: &Reader, age: Option<i16>, sign: &Sign, value: &Value, before: Option<f64>) -> Option<String> {
    let (n, shown) = (float(value), reader.number(&value.to_string()));
    match likely(sign.field, age) {
        Some((low, high)) if !(low..=high).contains(&n) => {
            let key = if n < low { "signs.low" } else { "signs.high" };
            let (low, high) = (written(reader, low), written(reader, high));
            Some(reader.fill(key, &[("value", &shown), ("low", &low), ("high", &high)]))
        }
        _ => {
            let before = before.filter(|before| sign.field == "peso" && (n - before).abs() > before * 0.1)?;
            Some(reader.fill("signs.jump", &[("value", &shown), ("before", &written(reader, before))]))
        }
    }
}

fn written(reader: &Reader, n: f64) -> String {
    reader.number(&n.to_string())
}

/// The last reading of a sign.
fn before<'r>(record: &'r Record, sign: &Sign) -> Option<&'r crate::view::record::results::Reading> {
    record.signs.rows.iter().find(|row| sign.codes.contains(&row.code.as_str())).map(|row| &row.last)
}

async fn keep(unit: &mut Unit<'_>, visit: &Visit, record: &Record, read: &Read) -> Result<String> {
    let of = Circumstances { patient: &record.id, encounter: encounter(record), at: &read.at, by: &visit.name };
    let resource_type = named("Observation")?;
    for made in made(visit, &of, read, years(visit, record).is_none_or(|age| age >= 18)) {
        unit.run(&Interaction::Create { resource_type, resource: Content::new(made), if_none_exist: None }).await?;
    }
    Ok(chart::address(&record.id))
}

/// The visit that goes on, when it is one.
pub fn encounter(record: &Record) -> Option<&str> {
    let mut open = record.visits.iter().filter(|visit| visit.active);
    match (open.next(), open.next()) {
        (Some(one), None) => Some(&one.id),
        _ => None,
    }
}

fn made(visit: &Visit, of: &Circumstances<'_>, read: &Read, is_adult: bool) -> Vec<Value> {
    let reader = &visit.reader;
    let valued = |holder: &mut Value, sign: &Sign, value: &Value| {
        put(holder, "valueQuantity", quantity(value, sign.unit, sign.ucum));
        let end = |digits: &str| serde_json::from_str(digits).ok();
        if let Some((low, high)) = sign.adult.filter(|_| is_adult) {
            judge(holder, Amount::exact(float(value)), (end(low), end(high)), sign.unit, sign.ucum);
        }
    };
    let mut all = Vec::new();
    if let (Some(high), Some(low)) = (read.value("sistolica"), read.value("diastolica")) {
        let part = |sign: &Sign, value: &Value| {
            let mut part = json!({"code": concept(sign.codes, reader.text(sign.label))});
            valued(&mut part, sign, value);
            part
        };
        let mut whole = observation::observation(of, "vital-signs", concept(&[PRESSURE], reader.text("sign.85354-9")));
        put(&mut whole, "component", json!([part(&SYSTOLIC, high), part(&DIASTOLIC, low)]));
        all.push(whole);
    }
    for (sign, value) in read.values.iter().filter(|(sign, _)| !matches!(sign.field, "sistolica" | "diastolica")) {
        let mut one = observation::observation(of, "vital-signs", concept(sign.codes, reader.text(sign.label)));
        valued(&mut one, sign, value);
        all.push(one);
    }
    all
}

fn shown(visit: &Visit, record: &Record, typed: Option<&Form>, read: Read, status: u16) -> Result<Reply> {
    let reader = &visit.reader;
    // Unlikely values count as seen only when nothing else is to be mended: then the next sending saves.
    let seen = if read.problems.is_empty() { read.seen() } else { String::new() };
    let unlikely = read.unlikely;
    let mut sheet = Sheet::new(reader, typed, read.problems);
    for sign in all() {
        let field = sheet.line(sign.field, sign.label, "").unit(sign.unit).longest(12);
        if let Some((_, text)) = unlikely.iter().find(|(name, _)| *name == sign.field) {
            field.soft(text.clone());
        }
    }
    let now = reader.local(reader.now);
    sheet.line("fecha", "taken.date", &date_field(reader.today())).hint(reader.text("taken.date_hint")).digits();
    sheet
        .line("hora", "taken.time", &format!("{:02}:{:02}", now.hour(), now.minute()))
        .hint(reader.text("taken.time_hint"))
        .digits();
    let look = || Message::new(Tone::Warn, reader.text("signs.look"), reader.text("signs.look_help"));
    let message = sheet.summary().or_else(|| (!unlikely.is_empty()).then(look));
    let mut fields = sheet.fields();
    let model = Model {
        page: chart::inner(visit, record, reader.text("signs.title")).with(message),
        action: visit.path.clone(),
        back: chart::address(&record.id),
        lines: lines(reader, record, &mut fields),
        fields,
        seen,
    };
    visit.show_as(status, "signs", &model)
}

/// The lines of the form: blood pressure with its two fields, then one field each. Takes them out of `fields`.
fn lines(reader: &Reader, record: &Record, fields: &mut Fields) -> Vec<Line> {
    let mut line = |label: &str, unit: &'static str, before: Option<String>, names: &[&'static str]| {
        let fields: Vec<Field> = names.iter().filter_map(|name| fields.remove(name)).collect();
        let notes = |of: fn(&Field) -> &Option<String>, part: &str| {
            let note = |field: &Field| Some(Note { id: format!("{}-{part}", field.id), text: of(field).clone()? });
            fields.iter().filter_map(note).collect()
        };
        let (soft, errors) = (notes(|field| &field.soft, "soft"), notes(|field| &field.error, "error"));
        Line { label: reader.text(label).to_owned(), unit, before, fields, soft, errors }
    };
    let last = |code: &str| record.signs.rows.iter().find(|row| row.code == code).map(|row| row.last.value.clone());
    let mut lines = vec![line("sign.85354-9", "mm Hg", last(PRESSURE), &["sistolica", "diastolica"])];
    lines.extend(SINGLE.iter().map(|sign| {
        line(sign.label, sign.unit, before(record, sign).map(|reading| reading.value.clone()), &[sign.field])
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_stand_in_order() {
        for sign in all() {
            let (low, high) = sign.possible;
            for age in [None, Some(0), Some(6), Some(40)] {
                if let Some((from, to)) = likely(sign.field, age) {
                    assert!(low <= from && from < to && to <= high, "{} {age:?}", sign.field);
                }
            }
            if let Some((from, to)) = sign.adult {
                let (from, to): (f64, f64) = (from.parse().unwrap(), to.parse().unwrap());
                let (least, most) = likely(sign.field, Some(40)).unwrap();
                assert!(least <= from && to <= most, "{}", sign.field);
            }
        }
    }
}
