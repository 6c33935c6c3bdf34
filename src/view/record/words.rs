//! FHIR datatypes -> words for people (<https://hl7.org/fhir/R4/datatypes.html>). Pure.
//!
//! Numbers keep the digits that were stored, dates their precision. What has neither text nor display shows its code:
//! nothing is translated by guess, nothing is dropped.

use crate::fhir::datetime::{DateTime, Form};
use crate::fhir::documento::Systems;
use crate::i18n;
use crate::view::format::Reader;
use crate::view::loinc;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// A date as it is sorted and as it is read; both empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct When {
    /// As stored: the beginning of a period.
    pub iso: String,
    pub text: String,
    /// Microseconds since 1970; what has no date is the oldest.
    #[serde(skip)]
    pub at: i64,
}

/// A value with its unit; `number` when it is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    pub text: String,
    pub unit: String,
    pub number: Option<f64>,
    /// Nothing was measured: the text says why.
    pub absent: bool,
}

/// What is needed to put a resource into words.
pub struct Words<'a> {
    pub reader: &'a Reader,
    pub systems: &'a Systems,
    /// Base of our own addresses, with a slash at the end.
    pub base: &'a str,
    /// What the resources of the directory are called, by `Type/id`.
    pub names: HashMap<String, String>,
}

/// The text of a member.
pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a member that repeats.
pub fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// One line: blanks and control characters become one blank.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// The parts that say something, with a separator between them.
pub fn joined<S: AsRef<str>>(parts: impl IntoIterator<Item = S>, separator: &str) -> String {
    let mut out = String::new();
    for part in parts {
        let part = part.as_ref();
        if !part.is_empty() {
            if !out.is_empty() {
                out.push_str(separator);
            }
            out.push_str(part);
        }
    }
    out
}

/// The code of the first coding of a CodeableConcept whose system `fits`, else of its first coding.
pub fn code_of(concept: Option<&Value>, fits: impl Fn(&str) -> bool) -> String {
    let Some(concept) = concept else { return String::new() };
    let chosen =
        list(concept, "coding").find(|coding| fits(text(coding, "system")) && !text(coding, "code").is_empty());
    chosen.or_else(|| list(concept, "coding").next()).map(|coding| clean(text(coding, "code"))).unwrap_or_default()
}

/// All codes of a list of CodeableConcepts.
pub fn codes<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v str> {
    list(value, name).flat_map(|concept| list(concept, "coding")).map(|coding| text(coding, "code"))
}

impl Words<'_> {
    pub fn say(&self, key: &str) -> &'static str {
        self.reader.text(key)
    }

    /// The word for a code of the standard; the code itself when the catalogue has none.
    pub fn word(&self, group: &str, code: &str) -> String {
        if code.is_empty() {
            return String::new();
        }
        i18n::find(self.reader.language, &format!("{group}.{code}")).map_or_else(|| clean(code), str::to_owned)
    }

    /// A CodeableConcept: its text, else the first display, else the first code. A common observation without words is
    /// named in the language of the reader.
    pub fn concept(&self, concept: Option<&Value>) -> String {
        let Some(concept) = concept else { return String::new() };
        if let Some(common) = loinc::named(concept) {
            return common.name(self.reader.language).to_owned();
        }
        let own = clean(text(concept, "text"));
        if !own.is_empty() {
            return own;
        }
        let display =
            list(concept, "coding").map(|coding| clean(text(coding, "display"))).find(|display| !display.is_empty());
        display.unwrap_or_else(|| {
            list(concept, "coding").map(|c| clean(text(c, "code"))).find(|c| !c.is_empty()).unwrap_or_default()
        })
    }

    /// A list of CodeableConcepts.
    pub fn concepts(&self, value: &Value, name: &str) -> String {
        joined(list(value, name).map(|concept| self.concept(Some(concept))), ", ")
    }

    /// A Coding: its display, else its code.
    pub fn coding(&self, coding: Option<&Value>) -> String {
        let Some(coding) = coding else { return String::new() };
        let display = clean(text(coding, "display"));
        if display.is_empty() { clean(text(coding, "code")) } else { display }
    }

    /// Whom or what a Reference means: what the directory calls it, else its display, else its identifier.
    pub fn named(&self, reference: Option<&Value>) -> String {
        let Some(reference) = reference else { return String::new() };
        let target = text(reference, "reference");
        let target = target.strip_prefix(self.base).unwrap_or(target);
        if let Some(name) = self.names.get(target) {
            return name.clone();
        }
        let display = clean(text(reference, "display"));
        if display.is_empty() {
            reference.get("identifier").map(|id| clean(text(id, "value"))).unwrap_or_default()
        } else {
            display
        }
    }

    /// A `[x]` that is a CodeableConcept or a Reference, also to something contained.
    pub fn concept_or_named(&self, resource: &Value, stem: &str) -> String {
        let concept = self.concept(resource.get(format!("{stem}CodeableConcept")));
        if !concept.is_empty() {
            return concept;
        }
        let reference = resource.get(format!("{stem}Reference"));
        let local = reference.map(|r| text(r, "reference")).and_then(|r| r.strip_prefix('#'));
        let contained = local.and_then(|id| list(resource, "contained").find(|inner| text(inner, "id") == id));
        match contained {
            Some(inner) => joined([self.concept(inner.get("code")), clean(text(inner, "name"))], " "),
            None => self.named(reference),
        }
    }

    /// Names of the people in a list whose members refer to them.
    pub fn people(&self, resource: &Value, name: &str, member: &str) -> String {
        let mut names: Vec<String> = Vec::new();
        for item in list(resource, name) {
            let reference = if member.is_empty() { Some(item) } else { item.get(member) };
            let name = self.named(reference);
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        joined(names, ", ")
    }

    pub fn notes(&self, resource: &Value) -> String {
        joined(list(resource, "note").map(|note| clean(text(note, "text"))), " / ")
    }

    // ------------------------------------------------------------------ numbers

    /// A number of the JSON with the digits it was written with.
    fn digits(&self, value: Option<&Value>) -> Option<(String, Option<f64>)> {
        match value? {
            Value::Number(number) => Some((self.reader.number(number.as_str()), number.as_str().parse().ok())),
            _ => None,
        }
    }

    /// A Quantity as value and unit.
    pub fn quantity(&self, quantity: &Value) -> Option<Measured> {
        let (digits, number) = self.digits(quantity.get("value"))?;
        let comparator = match text(quantity, "comparator") {
            "<=" => "≤ ",
            ">=" => "≥ ",
            "<" => "< ",
            ">" => "> ",
            _ => "",
        };
        let exact = comparator.is_empty();
        Some(Measured {
            text: format!("{comparator}{digits}"),
            unit: unit(quantity),
            number: number.filter(|_| exact),
            absent: false,
        })
    }

    /// The unit of a Quantity as it is shown.
    pub fn unit_of(&self, quantity: &Value) -> String {
        unit(quantity)
    }

    /// Value and unit in one text.
    pub fn amount(&self, quantity: Option<&Value>) -> String {
        quantity.and_then(|quantity| self.quantity(quantity)).map(|m| joined([m.text, m.unit], " ")).unwrap_or_default()
    }

    /// A Range or the two ends of one.
    pub fn range(&self, low: Option<&Value>, high: Option<&Value>) -> String {
        let end =
            |quantity: Option<&Value>| quantity.and_then(|q| self.digits(q.get("value"))).map(|(digits, _)| digits);
        match (end(low), end(high)) {
            (Some(low), Some(high)) => self.reader.fill("rec.range", &[("low", &low), ("high", &high)]),
            (Some(low), None) => self.reader.fill("rec.above", &[("low", &low)]),
            (None, Some(high)) => self.reader.fill("rec.below", &[("high", &high)]),
            (None, None) => String::new(),
        }
    }

    /// The `value[x]` of an observation or of a component; without one, why.
    pub fn measured(&self, holder: &Value) -> Option<Measured> {
        let plain = |text: String| Measured { text, ..Measured::default() };
        let members = holder.as_object()?;
        for (name, value) in members.iter().filter(|(name, _)| name.starts_with("value")) {
            let found = match name.as_str() {
                "valueQuantity" => self.quantity(value),
                "valueCodeableConcept" => Some(plain(self.concept(Some(value)))),
                "valueString" => Some(plain(clean(value.as_str()?))),
                "valueBoolean" => Some(plain(self.say(if value.as_bool()? { "rec.yes" } else { "rec.no" }).to_owned())),
                "valueInteger" => self.digits(Some(value)).map(|(text, number)| Measured { number, ..plain(text) }),
                "valueRange" => {
                    let unit = value.get("high").or(value.get("low")).map(unit).unwrap_or_default();
                    Some(Measured { unit, ..plain(self.range(value.get("low"), value.get("high"))) })
                }
                "valueRatio" => Some(plain(format!(
                    "{} : {}",
                    self.amount(value.get("numerator")),
                    self.amount(value.get("denominator"))
                ))),
                "valueSampledData" => Some(plain(self.say("rec.sampled").to_owned())),
                "valueTime" => Some(plain(clean(value.as_str()?))),
                "valueDateTime" => Some(plain(self.moment(value.as_str()?))),
                "valuePeriod" => Some(plain(self.period(value).text)),
                _ => None,
            };
            if found.as_ref().is_some_and(|found| !found.text.is_empty()) {
                return found;
            }
        }
        let reason = holder.get("dataAbsentReason")?;
        let reason = self.concept(Some(reason));
        let text = joined([self.say("rec.no_value"), &reason], ": ");
        Some(Measured { text, absent: true, ..Measured::default() })
    }

    // ------------------------------------------------------------------ time

    /// A date or instant, never "today": what is printed is read on another day.
    pub fn moment(&self, text: &str) -> String {
        match text.parse::<Timestamp>() {
            Ok(at) if text.len() > 10 => {
                format!("{}, {}", self.reader.date(self.reader.local(at).date()), self.reader.time(at))
            }
            _ => self.reader.fhir(text),
        }
    }

    fn at(&self, text: &str) -> i64 {
        DateTime::parse(text, Form::Search).map_or(i64::MIN, |date| date.range(self.reader.offset.seconds()).lo)
    }

    /// No date at all.
    pub fn never() -> When {
        When { at: i64::MIN, ..When::default() }
    }

    pub fn date(&self, text: &str) -> When {
        if text.is_empty() {
            Self::never()
        } else {
            When { iso: text.to_owned(), text: self.moment(text), at: self.at(text) }
        }
    }

    /// A Period; one that lies in one day or in one month is short.
    pub fn period(&self, period: &Value) -> When {
        let (start, end) = (text(period, "start"), text(period, "end"));
        let written = match (start.is_empty(), end.is_empty()) {
            (true, true) => return self.date(""),
            (false, true) => self.moment(start),
            (true, false) => self.reader.fill("rec.until", &[("end", &self.moment(end))]),
            (false, false) => self.span(start, end),
        };
        When { iso: start.to_owned(), text: written, at: self.at(if start.is_empty() { end } else { start }) }
    }

    fn span(&self, start: &str, end: &str) -> String {
        let to = |start: &str, end: &str| self.reader.fill("rec.range", &[("low", start), ("high", end)]);
        let days = (self.reader.day_of(start), self.reader.day_of(end));
        match days {
            (Some(first), Some(last)) if first == last => {
                match (start.parse::<Timestamp>(), end.parse::<Timestamp>()) {
                    (Ok(from), Ok(until)) if from != until => {
                        format!(
                            "{}, {}",
                            self.reader.date(first),
                            to(&self.reader.time(from), &self.reader.time(until))
                        )
                    }
                    _ => self.moment(start),
                }
            }
            (Some(first), Some(last)) if start.len() > 7 && end.len() > 7 => {
                if (first.year(), first.month()) == (last.year(), last.month()) {
                    to(&format!("{:02}", first.day()), &self.reader.date(last))
                } else {
                    to(&self.reader.date(first), &self.reader.date(last))
                }
            }
            _ => to(&self.moment(start), &self.moment(end)),
        }
    }

    /// The first of these members that says when, whatever its type: `onset` stands for `onsetDateTime`, `onsetAge`, ...
    pub fn when(&self, resource: &Value, stems: &[&str]) -> When {
        stems
            .iter()
            .map(|stem| self.when_of(resource, stem))
            .find(|when| !when.text.is_empty())
            .unwrap_or_else(|| self.date(""))
    }

    fn when_of(&self, resource: &Value, stem: &str) -> When {
        let worded = |text: String| When { iso: String::new(), text, at: i64::MIN };
        let Some(members) = resource.as_object() else { return self.date("") };
        for (name, value) in members {
            let Some(form) = name.strip_prefix(stem) else { continue };
            let when = match (form, value) {
                ("" | "DateTime" | "Date" | "Instant", Value::String(text)) => self.date(text),
                ("" | "Period", Value::Object(_)) => self.period(value),
                ("Age", _) => worded(self.amount(Some(value))),
                ("Range", _) => worded(self.range(value.get("low"), value.get("high"))),
                ("String", Value::String(text)) => worded(clean(text)),
                ("Timing", _) => worded(self.timing(Some(value))),
                _ => continue,
            };
            if !when.text.is_empty() {
                return when;
            }
        }
        self.date("")
    }

    // ------------------------------------------------------------------ dosage

    /// Dosages (<https://hl7.org/fhir/R4/dosage.html>): the text as written, else dose, frequency and route.
    pub fn dosages(&self, resource: &Value, name: &str) -> String {
        joined(list(resource, name).map(|dosage| self.dosage(dosage)), "; ")
    }

    pub fn dosage(&self, dosage: &Value) -> String {
        let own = clean(text(dosage, "text"));
        if !own.is_empty() {
            return own;
        }
        let doses = list(dosage, "doseAndRate").map(|rate| {
            let range =
                rate.get("doseRange").map(|range| self.range(range.get("low"), range.get("high"))).unwrap_or_default();
            joined([self.amount(rate.get("doseQuantity")), range, self.amount(rate.get("rateQuantity"))], " ")
        });
        let dose = joined(doses.chain([self.amount(dosage.get("doseQuantity"))]), " + ");
        let needed = match dosage.get("asNeededBoolean").and_then(Value::as_bool) {
            Some(true) => self.say("dose.as_needed").to_owned(),
            _ => joined(
                dosage
                    .get("asNeededCodeableConcept")
                    .map(|c| format!("{}: {}", self.say("dose.as_needed"), self.concept(Some(c)))),
                "",
            ),
        };
        let what = joined([dose, self.timing(dosage.get("timing"))], " ");
        joined([what, self.concept(dosage.get("route")), needed, clean(text(dosage, "patientInstruction"))], ", ")
    }

    /// A Timing in words: how often.
    pub fn timing(&self, timing: Option<&Value>) -> String {
        let Some(timing) = timing else { return String::new() };
        let code = self.concept(timing.get("code"));
        if !code.is_empty() {
            return code;
        }
        let Some(repeat) = timing.get("repeat") else {
            return joined(list(timing, "event").filter_map(Value::as_str).map(|event| self.moment(event)), ", ");
        };
        let whole = |name: &str| repeat.get(name).and_then(|n| self.digits(Some(n))).map(|(digits, _)| digits);
        let unit = self.word("dose.unit", text(repeat, "periodUnit"));
        match (whole("frequency"), whole("period")) {
            (Some(times), Some(period)) if times == "1" => {
                self.reader.fill("dose.every", &[("n", &period), ("unit", &unit)])
            }
            (Some(times), Some(period)) => {
                self.reader.fill("dose.times", &[("times", &times), ("n", &period), ("unit", &unit)])
            }
            (None, Some(period)) => self.reader.fill("dose.every", &[("n", &period), ("unit", &unit)]),
            _ => String::new(),
        }
    }
}

/// The unit of a Quantity as it is written: its text, else its UCUM code, a few of which have a nicer form.
fn unit(quantity: &Value) -> String {
    let (written, code) = (clean(text(quantity, "unit")), clean(text(quantity, "code")));
    let unit = if written.is_empty() { code } else { written };
    match unit.as_str() {
        "mm[Hg]" => "mm Hg".to_owned(),
        "Cel" => "°C".to_owned(),
        "[degF]" => "°F".to_owned(),
        "[pH]" | "{score}" | "{count}" | "{#}" | "1" => String::new(),
        "10*3/uL" => "10³/µL".to_owned(),
        "10*6/uL" => "10⁶/µL".to_owned(),
        "kg/m2" => "kg/m²".to_owned(),
        _ => unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Language;
    use jiff::tz::Offset;
    use serde_json::json;

    fn check(expected: &str, shown: impl Fn(&Words<'_>) -> String) {
        let offset = Offset::from_seconds(-5 * 3600).unwrap();
        let reader = Reader { language: Language::Es, offset, now: "2026-11-23T19:05:00Z".parse().unwrap() };
        let names = HashMap::from([("Practitioner/d".to_owned(), "Julián Ñáñez".to_owned())]);
        let systems = Systems::default();
        assert_eq!(shown(&Words { reader: &reader, systems: &systems, base: "http://h/fhir/", names }), expected);
    }

    #[test]
    fn values_keep_their_digits_and_units() {
        let value = |value: Value| {
            move |words: &Words<'_>| {
                words.measured(&value).map(|m| format!("{}|{}|{:?}", m.text, m.unit, m.number)).unwrap_or_default()
            }
        };
        check(
            "72,50|kg|Some(72.5)",
            value(serde_json::from_str(r#"{"valueQuantity": {"value": 72.50, "unit": "kg"}}"#).unwrap()),
        );
        check(
            "< 0,010|ng/mL|None",
            value(
                serde_json::from_str(r#"{"valueQuantity": {"value": 0.010, "comparator": "<", "unit": "ng/mL"}}"#)
                    .unwrap(),
            ),
        );
        check("13,8|10³/µL|Some(13.8)", value(json!({"valueQuantity": {"value": 13.8, "code": "10*3/uL"}})));
        check(
            "Positivo||None",
            value(json!({"valueCodeableConcept": {"coding": [{"code": "x", "display": "Positivo"}]}})),
        );
        check("sí||None", value(json!({"valueBoolean": true})));
        check(
            "1 : 128||None",
            value(json!({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}})),
        );
        check("sin resultado: hemólisis||None", value(json!({"dataAbsentReason": {"text": "hemólisis"}})));
        check("", value(json!({"status": "final"})));
    }

    #[test]
    fn times_keep_their_precision() {
        let when = |resource: Value| move |words: &Words<'_>| words.when(&resource, &["onset", "recordedDate"]).text;
        check("mar 2011", when(json!({"onsetDateTime": "2011-03"})));
        check("23 nov 2026, 12:48", when(json!({"onsetDateTime": "2026-11-23T12:48:00-05:00"})));
        check("3 años", when(json!({"onsetAge": {"value": 3, "unit": "años"}})));
        check(
            "14 a 19 ene 2025",
            when(json!({"onsetPeriod": {"start": "2025-01-14", "end": "2025-01-19T10:00:00-05:00"}})),
        );
        check(
            "20 nov 2026, 03:12 a 12:32",
            when(json!({"onsetPeriod": {"start": "2026-11-20T03:12:00-05:00", "end": "2026-11-20T12:32:00-05:00"}})),
        );
        check("2009", when(json!({"recordedDate": "2009"})));
        check("en la infancia", when(json!({"onsetString": "en la infancia"})));
    }

    #[test]
    fn dosages_and_references() {
        let dose = |value: Value| move |words: &Words<'_>| words.dosage(&value);
        check("una tableta al acostarse", dose(json!({"text": "una tableta\n al acostarse"})));
        let composed = json!({"doseAndRate": [{"doseQuantity": {"value": 750, "unit": "mg"}}], "route": {"text": "oral"},
            "timing": {"repeat": {"frequency": 1, "period": 48, "periodUnit": "h"}}});
        check("750 mg cada 48 h, oral", dose(composed));
        let named = |reference: Value| move |words: &Words<'_>| words.named(Some(&reference));
        check("Julián Ñáñez", named(json!({"reference": "http://h/fhir/Practitioner/d", "display": "otro"})));
        check("Dra. Ruiz", named(json!({"reference": "Practitioner/x", "display": "Dra. Ruiz"})));
    }
}
