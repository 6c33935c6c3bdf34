//! What pages write: Observations and their parts as FHIR JSON, with the digits that were typed. Pure.

use crate::i18n::Language;
use crate::view::format::{NumberProblem, Reader, typed_date, typed_number};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde_json::{Value, json};

/// The units of UCUM.
const UCUM: &str = "http://unitsofmeasure.org";
const LOINC: &str = "http://loinc.org";
/// What is typed a little ahead of our clock is now.
const AHEAD: i64 = 300;

/// Of whom, when, in which encounter and by whom something was observed.
pub struct Circumstances<'a> {
    pub patient: &'a str,
    /// Encounter.id.
    pub encounter: Option<&'a str>,
    /// An instant with its offset.
    pub at: &'a str,
    /// The person who writes.
    pub by: &'a str,
}

/// The number of a field: its digits as JSON.
pub fn number(typed: &str, language: Language) -> Result<Value, NumberProblem> {
    let digits = typed_number(typed, language)?;
    serde_json::from_str(&digits).map_err(|_| NumberProblem::NotANumber)
}

/// What a number is compared by.
pub fn float(number: &Value) -> f64 {
    number.to_string().parse().unwrap_or(f64::NAN)
}

pub fn quantity(number: &Value, unit: &str, ucum: &str) -> Value {
    let unit = if unit.is_empty() { ucum } else { unit };
    json!({"value": number, "unit": unit, "system": UCUM, "code": ucum})
}

pub fn concept(codes: &[&str], name: &str) -> Value {
    let coding: Vec<Value> = codes.iter().map(|code| json!({"system": LOINC, "code": code, "display": name})).collect();
    json!({"coding": coding, "text": name})
}

/// A final observation, without its value.
pub fn observation(of: &Circumstances<'_>, category: &str, code: Value) -> Value {
    let mut made = json!({
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": category}]}],
        "code": code,
        "subject": {"reference": format!("Patient/{}", of.patient)},
        "effectiveDateTime": of.at,
        "performer": [{"display": of.by}],
    });
    if let Some(encounter) = of.encounter {
        put(&mut made, "encounter", json!({"reference": format!("Encounter/{encounter}")}));
    }
    made
}

/// Sets a member.
pub fn put(resource: &mut Value, name: &str, value: Value) {
    if let Some(members) = resource.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// A measured number as what it says: itself, or that it lies beyond (`> 5,1`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amount {
    pub number: f64,
    /// Code of Quantity.comparator.
    pub comparator: Option<&'static str>,
}

impl Amount {
    pub fn exact(number: f64) -> Amount {
        Amount { number, comparator: None }
    }

    /// The comparator of a Quantity with its number.
    pub fn of(quantity: &Value) -> Option<Amount> {
        let said = quantity.get("comparator").and_then(Value::as_str).unwrap_or_default();
        let comparator = ["<", "<=", ">", ">="].into_iter().find(|known| *known == said);
        Some(Amount { number: float(quantity.get("value")?), comparator })
    }

    /// Surely below: the whole of what it may be.
    pub fn is_below(self, end: f64) -> bool {
        match self.comparator {
            Some(">" | ">=") => false,
            Some("<") => self.number <= end,
            _ => self.number < end,
        }
    }

    pub fn is_above(self, end: f64) -> bool {
        match self.comparator {
            Some("<" | "<=") => false,
            Some(">") => self.number >= end,
            _ => self.number > end,
        }
    }

    /// Surely at the end or below it.
    pub fn is_at_most(self, end: f64) -> bool {
        !matches!(self.comparator, Some(">" | ">=")) && self.number <= end
    }

    pub fn is_at_least(self, end: f64) -> bool {
        !matches!(self.comparator, Some("<" | "<=")) && self.number >= end
    }

    /// Surely inside; an open end holds everything, and nothing is less than none.
    pub fn is_within(self, (low, high): (Option<f64>, Option<f64>)) -> bool {
        low.is_none_or(|low| self.is_at_least(low) || (low <= 0.0 && self.number >= 0.0))
            && high.is_none_or(|high| self.is_at_most(high))
    }
}

/// A quantity as a field writes it: its comparator and its digits.
pub fn field_of(reader: &Reader, quantity: &Value) -> String {
    let said = quantity.get("comparator").and_then(Value::as_str).unwrap_or_default();
    let digits = quantity.get("value").map(|value| reader.field(&value.to_string())).unwrap_or_default();
    if said.is_empty() { digits } else { format!("{said} {digits}") }
}

/// Why a value cannot be, when it is outside of what is possible.
pub fn impossible(reader: &Reader, value: &Value, unit: &str, (low, high): (f64, f64)) -> Option<String> {
    if (low..=high).contains(&float(value)) {
        return None;
    }
    let shown = |n: f64| reader.number(&n.to_string());
    let value = reader.number(&value.to_string());
    let parts = [
        reader.fill("signs.impossible", &[("value", &value), ("unit", unit)]),
        reader.fill("signs.accepted", &[("low", &shown(low)), ("high", &shown(high))]),
    ];
    Some(parts.join(" "))
}

/// The reference range of a holder of a value, and the interpretation that follows from it.
pub fn judge(holder: &mut Value, amount: Amount, (low, high): (Option<Value>, Option<Value>), unit: &str, ucum: &str) {
    let ends = [("low", &low), ("high", &high)];
    let range: serde_json::Map<String, Value> =
        ends.iter().filter_map(|(name, end)| Some(((*name).to_owned(), quantity(end.as_ref()?, unit, ucum)))).collect();
    if range.is_empty() {
        return;
    }
    put(holder, "referenceRange", json!([range]));
    let (low, high) = (low.as_ref().map(float), high.as_ref().map(float));
    let (code, display) = match (low, high) {
        (Some(low), _) if amount.is_below(low) => ("L", "Low"),
        (_, Some(high)) if amount.is_above(high) => ("H", "High"),
        ends if amount.is_within(ends) => ("N", "Normal"),
        // `> 4`, when 5 is the end: it may be either.
        _ => return,
    };
    put(
        holder,
        "interpretation",
        json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": code, "display": display}]}]),
    );
}

/// What is wrong with a typed date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MomentProblem {
    Date,
    Time,
    Future,
    /// Before the patient was born.
    Unborn,
}

impl MomentProblem {
    /// Its field, and the key of its text.
    pub fn field(self) -> (&'static str, &'static str) {
        match self {
            MomentProblem::Date => ("fecha", "taken.date_wrong"),
            MomentProblem::Time => ("hora", "taken.time_wrong"),
            MomentProblem::Future => ("fecha", "taken.future"),
            MomentProblem::Unborn => ("fecha", "taken.unborn"),
        }
    }
}

/// The same of somebody born on a day that is known.
pub fn moment_of(reader: &Reader, born: &str, date: &str, time: &str) -> Result<String, MomentProblem> {
    let at = moment(reader, date, time)?;
    match (reader.day_of(born), typed_date(date)) {
        (Some(born), Some(day)) if day < born => Err(MomentProblem::Unborn),
        _ => Ok(at),
    }
}

/// `24/11/2026` and `14:05` as an instant of here.
pub fn moment(reader: &Reader, date: &str, time: &str) -> Result<String, MomentProblem> {
    let date: Date = typed_date(date).filter(|date| date.year() >= 1900).ok_or(MomentProblem::Date)?;
    let time = typed_time(time).ok_or(MomentProblem::Time)?;
    let at: Timestamp = reader.offset.to_timestamp(date.to_datetime(time)).map_err(|_| MomentProblem::Date)?;
    if at.as_second() > reader.now.as_second().saturating_add(AHEAD) {
        return Err(MomentProblem::Future);
    }
    let seconds = reader.offset.seconds();
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    Ok(format!("{date}T{:02}:{:02}:00{sign}{:02}:{:02}", time.hour(), time.minute(), minutes / 60, minutes % 60))
}

/// A time as people write it: `14:05`, `14.05`, `14h05`, `1405`, `14 h`, `2:05 p. m.`, `9 am`. A bare number is none.
fn typed_time(text: &str) -> Option<Time> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
    let halves = [("a.m.", 0), ("am", 0), ("p.m.", 12), ("pm", 12)];
    let half = halves.iter().find_map(|(end, add)| Some((text.strip_suffix(end)?, *add)));
    let text = half.map_or(text.as_str(), |(rest, _)| rest);
    let hours = text.strip_suffix("hs").or_else(|| text.strip_suffix('h'));
    // A keypad of digits has no colon: 905, 1405.
    let apart = |at: usize| Some((text.get(..at)?, text.get(at..)?)).filter(|(hour, _)| !hour.is_empty());
    let (hour, minute) = match hours.unwrap_or(text) {
        whole if whole.len() <= 2 && (hours.is_some() || half.is_some()) => (whole, "00"),
        text => text.split_once([':', '.', 'h']).or_else(|| apart(text.len().checked_sub(2)?))?,
    };
    let digits =
        |part: &str, least: usize| (least..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour, 1) || !digits(minute, 2) {
        return None;
    }
    let hour: i8 = hour.parse().ok()?;
    let hour = match half {
        Some((_, add)) if (1..=12).contains(&hour) => hour % 12 + add,
        Some(_) => return None,
        None => hour,
    };
    Time::new(hour, minute.parse().ok()?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;

    #[test]
    fn what_lies_beyond_is_judged_by_all_that_it_may_be() {
        let judged = |comparator: Option<&'static str>, number: f64| {
            let mut holder = json!({});
            judge(&mut holder, Amount { number, comparator }, (Some(json!(3.5)), Some(json!(5.1))), "", "1");
            holder["interpretation"][0]["coding"][0]["code"].as_str().unwrap_or("").to_owned()
        };
        assert_eq!(judged(Some(">"), 5.1), "H");
        assert_eq!(judged(Some(">="), 5.1), "");
        assert_eq!(judged(Some("<"), 3.5), "L");
        assert_eq!(judged(Some("<="), 3.5), "");
        assert_eq!(judged(Some(">"), 4.0), "");
        assert_eq!(judged(Some("<"), 4.0), "");
        assert_eq!((judged(None, 3.4), judged(None, 3.5), judged(None, 5.2)), ("L".into(), "N".into(), "H".into()));
        let below = Amount { number: 5.0, comparator: Some("<") };
        assert!(below.is_within((None, Some(5.0))) && below.is_within((Some(0.0), Some(5.0))));
    }

    #[test]
    fn moments_are_of_here_and_not_of_the_future() {
        let reader = Reader {
            language: Language::Es,
            offset: Offset::from_seconds(-18_000).unwrap(),
            now: "2026-11-24T15:00:00Z".parse().unwrap(),
        };
        let check = |date: &str, time: &str, expected: Result<&str, MomentProblem>| {
            assert_eq!(moment(&reader, date, time).as_deref().map_err(|e| *e), expected, "{date} {time}");
        };
        check("24/11/2026", "9:05", Ok("2026-11-24T09:05:00-05:00"));
        check("24/11/2026", "10:04", Ok("2026-11-24T10:04:00-05:00"));
        check("24/11/2026", "10:06", Err(MomentProblem::Future));
        check("25/11/2026", "09:00", Err(MomentProblem::Future));
        check("31/11/2026", "09:00", Err(MomentProblem::Date));
        check("24/11/2026", "24:00", Err(MomentProblem::Time));
        check("24112026", "905", Ok("2026-11-24T09:05:00-05:00"));
        check("24/11/2026", "7", Err(MomentProblem::Time));
        assert_eq!(moment_of(&reader, "1991-02-03", "02/02/1991", "09:00"), Err(MomentProblem::Unborn));
        assert!(moment_of(&reader, "1991-02-03", "03/02/1991", "09:00").is_ok());
        check("24/11/2026", "", Err(MomentProblem::Time));
        check("", "09:00", Err(MomentProblem::Date));
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let check = |typed: &str, expected: Option<(i8, i8)>| {
            assert_eq!(typed_time(typed).map(|time| (time.hour(), time.minute())), expected, "{typed}");
        };
        for nine in [
            "9:00",
            "09:00",
            "9.00",
            "9:00 am",
            "9 am",
            "9 a. m.",
            "9:00 A.M.",
            "9h",
            "9 h",
            "9h00",
            "900",
            "0900",
            "09:00 h",
        ] {
            check(nine, Some((9, 0)));
        }
        check("21h30", Some((21, 30)));
        check("9:30 p. m.", Some((21, 30)));
        check("12 am", Some((0, 0)));
        check("12:15 pm", Some((12, 15)));
        for bad in ["9", "21", "9:5", "25:00", "14:05 pm", "0 am", "pm", "h", "9:00 x", "nueve", "é5", ""] {
            check(bad, None);
        }
    }

    #[test]
    fn digits_stay_and_values_are_judged() {
        let typed = number("36,80", Language::Es).unwrap();
        assert_eq!(typed.to_string(), "36.80");
        assert_eq!(number("007", Language::Es), Err(NumberProblem::NotANumber));
        let check = |value: f64, expected: &str| {
            let mut holder = json!({});
            judge(&mut holder, Amount::exact(value), (Some(json!(36.0)), Some(json!(37.5))), "°C", "Cel");
            assert_eq!(holder["interpretation"][0]["coding"][0]["code"], expected, "{value}");
        };
        check(35.9, "L");
        check(36.0, "N");
        check(37.5, "N");
        check(37.6, "H");
        let mut open = json!({});
        judge(&mut open, Amount::exact(1.0), (None, None), "", "%");
        assert_eq!(open, json!({}));
    }
}
