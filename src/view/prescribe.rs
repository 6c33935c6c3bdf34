//! `/paciente/{id}/medicacion`: an order of a medicine (<https://hl7.org/fhir/R4/medicationrequest.html>). Dose, route,
//! frequency and days are kept as they were typed, and structured as far as they are understood.
//!
//! What the patient is allergic to, and what is ordered already, is shown once; who sends the form again means it.

use crate::error::Result;
use crate::i18n::Language;
use crate::interaction::{Content, Interaction};
use crate::oauth::form::Form;
use crate::search::param::string::fold;
use crate::view::chart;
use crate::view::format::{NumberProblem, Reader, date_field, typed_date};
use crate::view::observation::{field_of, number, put, quantity};
use crate::view::page::{Message, Page, Tone};
use crate::view::patient::named;
use crate::view::record::words::{Words, joined, list, text};
use crate::view::record::{Extent, Record};
use crate::view::sheet::{Field, Options, Problems, Sheet, in_order, options_of};
use crate::view::signs::encounter;
use crate::view::suggestion::{self, MEDICINES};
use crate::view::visit::{Reply, Visit};
use jiff::Span;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::{Value, json};

/// Routes by their SNOMED CT code.
pub const OPTIONS: &Options = &[
    (
        "via",
        &[
            ("26643006", "route.oral"),
            ("47625008", "route.intravenous"),
            ("34206005", "route.subcutaneous"),
            ("78421000", "route.intramuscular"),
            ("447694001", "route.inhaled"),
            ("37839007", "route.sublingual"),
            ("6064005", "route.topical"),
            ("54485002", "route.ophthalmic"),
            ("46713006", "route.nasal"),
            ("37161004", "route.rectal"),
        ],
    ),
    // How an order ends.
    ("fin", &[("stopped", "prescribe.stopped"), ("completed", "prescribe.completed")]),
];
const FIELDS: [&str; 8] = ["medicamento", "dosis", "via", "frecuencia", "si_necesario", "inicio", "dias", "indicacion"];
/// Units as they are typed, and their UCUM code.
const UNITS: [(&str, &str); 12] = [
    ("mg", "mg"),
    ("g", "g"),
    ("mcg", "ug"),
    ("µg", "ug"),
    ("ug", "ug"),
    ("ml", "mL"),
    ("ui", "[IU]"),
    ("iu", "[IU]"),
    ("meq", "meq"),
    ("mmol", "mmol"),
    ("mg/kg", "mg/kg"),
    ("ml/h", "mL/h"),
];
const MOST_DAYS: i64 = 366;

#[derive(Serialize)]
struct Model {
    page: Page,
    action: String,
    back: String,
    fields: Vec<Field>,
    seen: String,
}

/// The fields of an order, as they are typed and as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub medicine: String,
    pub dose: String,
    /// SNOMED CT code of the route, or what else is stored as its text.
    pub route: String,
    pub frequency: String,
    pub as_needed: bool,
    /// `24/11/2026`
    pub start: String,
    pub days: String,
    pub reason: String,
}

impl Entry {
    pub fn of(words: &Words<'_>, resource: &Value) -> Entry {
        let dosage = list(resource, "dosageInstruction").next().unwrap_or(&Value::Null);
        let route = dosage.get("route").unwrap_or(&Value::Null);
        let known = |code: &str| options_of(OPTIONS, "via").iter().any(|(known, _)| *known == code);
        let coded = list(route, "coding").map(|coding| text(coding, "code")).find(|code| known(code));
        let named =
            options_of(OPTIONS, "via").iter().find(|(_, key)| fold(words.say(key)) == fold(text(route, "text")));
        let dose = list(dosage, "doseAndRate").next().and_then(|rate| rate.get("doseQuantity"));
        let dose = dose.map(|dose| joined([field_of(words.reader, dose), words.unit_of(dose)], " "));
        let days = words.days(resource, dosage);
        let length = days.and_then(|(first, last)| Some(first.until(last).ok()?.get_days() + 1));
        let bounds = dosage.get("timing").and_then(|timing| timing.get("repeat")?.get("boundsPeriod"));
        let start = bounds.map(|bounds| text(bounds, "start")).filter(|start| !start.is_empty());
        let start = words.reader.day_of(start.unwrap_or_else(|| text(resource, "authoredOn")));
        let line = text(dosage, "text");
        let dose = dose.filter(|dose| !dose.is_empty());
        // As it was written, when the line is made like ours; else as it is structured.
        let own = dosage.get("timing").map(|timing| words.concept(timing.get("code"))).unwrap_or_default();
        let after = dose.as_ref().and_then(|dose| line.strip_prefix(dose.as_str()));
        let after = after.and_then(|rest| rest.split(", ").next()).map(str::trim).filter(|rest| !rest.is_empty());
        let frequency = match (own.is_empty(), after) {
            (true, Some(after)) => after.to_owned(),
            _ => words.timing(dosage.get("timing")),
        };
        Entry {
            medicine: words.concept_or_named(resource, "medication"),
            // What has no dose of its own is what the text says.
            dose: dose.unwrap_or_else(|| {
                let end = if frequency.is_empty() { None } else { line.find(&format!(" {frequency}")) };
                end.and_then(|end| line.get(..end)).unwrap_or(line).to_owned()
            }),
            route: coded.or(named.map(|(code, _)| *code)).unwrap_or_default().to_owned(),
            frequency,
            as_needed: dosage.get("asNeededBoolean").and_then(Value::as_bool) == Some(true),
            start: start.map(date_field).unwrap_or_default(),
            days: length.map(|days| days.to_string()).unwrap_or_default(),
            reason: words.concepts(resource, "reasonCode"),
        }
    }

    /// Under the names of the form: name, label, value.
    pub fn stored(&self) -> [(&'static str, &'static str, String); 8] {
        let needed = if self.as_needed { "1" } else { "" };
        [
            ("medicamento", "prescribe.medicine", self.medicine.clone()),
            ("dosis", "prescribe.dose", self.dose.clone()),
            ("via", "prescribe.route", self.route.clone()),
            ("frecuencia", "prescribe.frequency", self.frequency.clone()),
            ("si_necesario", "prescribe.as_needed", needed.to_owned()),
            ("inicio", "prescribe.start", self.start.clone()),
            ("dias", "prescribe.days", self.days.clone()),
            ("indicacion", "prescribe.reason", self.reason.clone()),
        ]
    }

    /// Reads the form; what is wrong goes to the problems.
    pub fn read(reader: &Reader, form: &Form, problems: &mut Problems) -> Entry {
        let typed = |name: &str| form.typed(name).to_owned();
        for name in ["medicamento", "dosis", "frecuencia"] {
            if form.typed(name).is_empty() {
                problems.add(name, reader.text("form.missing"));
            }
        }
        if amount(form.typed("dosis"), reader.language) == Err(NumberProblem::Ambiguous) {
            problems.add("dosis", reader.text("number.ambiguous"));
        }
        if amount(form.typed("dosis"), reader.language)
            .is_ok_and(|amount| amount.is_some_and(|(_, unit)| unit.is_empty()))
        {
            problems.add("dosis", reader.text("prescribe.unit_missing"));
        }
        let route = options_of(OPTIONS, "via").iter().find(|(code, _)| *code == form.typed("via"));
        if route.is_none() {
            problems.add("via", reader.text("form.missing"));
        }
        if start(form.typed("inicio")).is_none() {
            problems.add("inicio", reader.text("taken.date_wrong"));
        }
        if !form.typed("dias").is_empty() && days(form.typed("dias")).is_none() {
            problems.add("dias", reader.text("prescribe.days_wrong"));
        }
        Entry {
            medicine: typed("medicamento"),
            dose: typed("dosis"),
            route: route.map(|(code, _)| *code).unwrap_or_default().to_owned(),
            frequency: typed("frecuencia"),
            as_needed: form.typed("si_necesario") == "1",
            start: start(form.typed("inicio")).map(date_field).unwrap_or_default(),
            days: days(form.typed("dias")).map(|days| days.to_string()).unwrap_or_default(),
            reason: typed("indicacion"),
        }
    }

    /// Puts what differs from `old` into a MedicationRequest, which keeps everything else.
    pub fn apply(&self, reader: &Reader, old: &Entry, resource: &mut Value) {
        if self.medicine != old.medicine {
            let known = suggestion::find(&MEDICINES, &self.medicine);
            if let Some(members) = resource.as_object_mut() {
                members.shift_remove("medicationReference");
            }
            put(resource, "medicationCodeableConcept", suggestion::concept(&self.medicine, known));
        }
        if self.reason != old.reason {
            let reasons = if self.reason.is_empty() { Vec::new() } else { vec![json!({"text": self.reason})] };
            match (reasons.is_empty(), resource.as_object_mut()) {
                (true, Some(members)) => drop(members.shift_remove("reasonCode")),
                _ => put(resource, "reasonCode", json!(reasons)),
            }
        }
        let other = Entry { medicine: old.medicine.clone(), reason: old.reason.clone(), ..self.clone() };
        if other != *old {
            put(resource, "dosageInstruction", json!([self.dosage(reader)]));
        }
    }

    /// As people read it: `750 mg cada 48 h, oral, por 7 días`.
    fn line(&self, reader: &Reader) -> String {
        let route = options_of(OPTIONS, "via").iter().find(|(code, _)| *code == self.route);
        let route = route.map(|(_, key)| reader.text(key).to_lowercase()).unwrap_or_default();
        let needed = if self.as_needed { reader.text("dose.as_needed") } else { "" };
        joined([&format!("{} {}", self.dose, self.frequency), &route, needed], ", ")
    }

    fn dosage(&self, reader: &Reader) -> Value {
        let mut timing = json!({"code": {"text": self.frequency}});
        let mut repeat = repeat(&self.frequency).unwrap_or_else(|| json!({}));
        if let Some(first) = start(&self.start) {
            let last = days(&self.days).and_then(|days| first.checked_add(Span::new().days(days - 1)).ok());
            let period = match last {
                Some(last) => json!({"start": first.to_string(), "end": last.to_string()}),
                None => json!({"start": first.to_string()}),
            };
            put(&mut repeat, "boundsPeriod", period);
        }
        put(&mut timing, "repeat", repeat);
        let mut dosage = json!({"text": self.line(reader), "timing": timing});
        if self.as_needed {
            put(&mut dosage, "asNeededBoolean", json!(true));
        }
        if let Some((code, key)) = options_of(OPTIONS, "via").iter().find(|(code, _)| *code == self.route) {
            let route = json!({"coding": [{"system": "http://snomed.info/sct", "code": code}], "text": reader.text(key).to_lowercase()});
            put(&mut dosage, "route", route);
        }
        if let Ok(Some((value, unit))) = amount(&self.dose, reader.language) {
            let ucum = UNITS.iter().find(|(known, _)| *known == unit.to_lowercase());
            let quantity =
                ucum.map_or_else(|| json!({"value": value, "unit": unit}), |(_, ucum)| quantity(&value, unit, ucum));
            put(&mut dosage, "doseAndRate", json!([{"doseQuantity": quantity}]));
        }
        dosage
    }
}

/// `750 mg` as number and unit; none when it is not a number and a unit (`media tableta`, `1/2 tableta`, `875/125 mg`).
fn amount(dose: &str, language: Language) -> std::result::Result<Option<(Value, &str)>, NumberProblem> {
    let end = dose.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',')).unwrap_or(dose.len());
    let (digits, unit) = dose.split_at_checked(end).unwrap_or((dose, ""));
    let unit = unit.trim();
    let is_word = !unit.chars().any(|c| c.is_ascii_digit()) && unit.chars().next().is_none_or(char::is_alphabetic);
    if digits.is_empty() || !is_word {
        return Ok(None);
    }
    match number(digits, language) {
        Ok(value) => Ok(Some((value, unit))),
        Err(NumberProblem::Ambiguous) => Err(NumberProblem::Ambiguous),
        Err(NumberProblem::NotANumber) => Ok(None),
    }
}

/// `cada 8 horas`, `every 12 h`, `cada día`, `3 veces al día` as Timing.repeat; none when it is not understood.
fn repeat(frequency: &str) -> Option<Value> {
    let folded = fold(frequency);
    let words: Vec<&str> = folded.split(' ').filter(|word| !word.is_empty()).collect();
    let unit = |word: &str| match word {
        "h" | "hora" | "horas" | "hour" | "hours" => Some("h"),
        "d" | "dia" | "dias" | "day" | "days" | "noche" | "night" | "manana" | "morning" => Some("d"),
        "semana" | "semanas" | "week" | "weeks" => Some("wk"),
        _ => None,
    };
    let whole = |word: &str| word.parse::<u16>().ok().filter(|n| *n > 0);
    let made =
        |times: u16, period: u16, unit: &str| Some(json!({"frequency": times, "period": period, "periodUnit": unit}));
    match words.as_slice() {
        ["cada" | "every", n, word] => made(1, whole(n)?, unit(word)?),
        ["cada" | "every", word] => made(1, 1, unit(word)?),
        [n, "veces" | "vez" | "times", "al" | "por" | "a" | "per", word] => made(whole(n)?, 1, unit(word)?),
        _ => None,
    }
}

fn start(typed: &str) -> Option<Date> {
    typed_date(typed).filter(|date| (1900..2200).contains(&date.year()))
}

fn days(typed: &str) -> Option<i64> {
    typed.parse().ok().filter(|days| (1..=MOST_DAYS).contains(days))
}

/// Ends an order: its status, why, and the day as the end of its dosage.
pub fn end(reader: &Reader, resource: &mut Value, status: &str, why: &str) {
    put(resource, "status", json!(if status == "completed" { "completed" } else { "stopped" }));
    if !why.is_empty() {
        put(resource, "statusReason", json!({"text": why}));
    }
    let authored = text(resource, "authoredOn").to_owned();
    let today = reader.today();
    let dosages = resource.get_mut("dosageInstruction").and_then(Value::as_array_mut).into_iter().flatten();
    for repeat in dosages.filter_map(|dosage| dosage.get_mut("timing")?.get_mut("repeat")) {
        let start = repeat.get("boundsPeriod").map(|period| text(period, "start")).filter(|start| !start.is_empty());
        let Some(first) = reader.day_of(start.unwrap_or(&authored)).filter(|first| *first <= today) else { continue };
        if let Some(members) = repeat.as_object_mut() {
            members.retain(|name, _| !name.starts_with("bounds"));
        }
        put(repeat, "boundsPeriod", json!({"start": first.to_string(), "end": today.to_string()}));
    }
}

pub fn add_fields(sheet: &mut Sheet<'_>, reader: &Reader, stored: &Entry, warning: Option<String>) {
    let [medicine, dose, route, frequency, needed, start, days, reason] = stored.stored();
    let often = [
        "prescribe.every8",
        "prescribe.every12",
        "prescribe.daily",
        "prescribe.nightly",
        "prescribe.every6",
        "prescribe.once",
    ];
    let field = sheet.line("medicamento", medicine.1, &medicine.2).hint(reader.text("prescribe.medicine_hint"));
    field.suggest(suggestion::names(&MEDICINES, reader.language)).soft = warning;
    sheet.line("dosis", dose.1, &dose.2).hint(reader.text("prescribe.dose_hint")).plain();
    let none = ("", reader.text("form.choose"));
    let routes = options_of(OPTIONS, "via").iter().map(|(code, key)| (*code, reader.text(key)));
    let routes: Vec<_> = std::iter::once(none).chain(routes).collect();
    sheet.choice("via", route.1, &route.2, &routes);
    sheet
        .line("frecuencia", frequency.1, &frequency.2)
        .hint(reader.text("prescribe.frequency_hint"))
        .suggest(often.map(|key| reader.text(key).to_owned()).to_vec());
    sheet.check("si_necesario", needed.1, stored.as_needed);
    sheet.line("inicio", start.1, &start.2).hint(reader.text("taken.date_hint")).digits();
    sheet.line("dias", days.1, &days.2).hint(reader.text("prescribe.days_hint")).optional().digits().longest(3);
    sheet.line("indicacion", reason.1, &reason.2).optional();
}

/// What speaks against an order: an allergy, or the same medicine already ordered.
fn against(visit: &Visit, record: &Record, medicine: &str) -> Option<String> {
    let reader = &visit.reader;
    let allergic = record.allergies.items.iter().filter(|item| item.active);
    let allergic = allergic.filter(|item| suggestion::is_alike(medicine, &item.what)).map(|item| {
        reader.fill(
            "prescribe.allergic",
            &[("substance", &joined([item.what.as_str(), &chart::reaction(&item.detail)], ", "))],
        )
    });
    let ordered = record.medication.iter().filter(|item| item.active && fold(&item.what) == fold(medicine));
    let ordered = ordered.map(|item| reader.fill("prescribe.ordered", &[("detail", &item.detail)]));
    Some(joined(allergic.chain(ordered), " · ")).filter(|text| !text.is_empty())
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let record = chart::of(visit, Extent::Medication).await?;
    shown(visit, &record, visit.draft.as_ref(), Problems::default(), 200)
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let record = chart::of(visit, Extent::Medication).await?;
    let reader = &visit.reader;
    let mut problems = Problems::default();
    let entry = Entry::read(reader, form, &mut problems);
    let unseen = against(visit, &record, &entry.medicine).is_some() && form.typed("visto") != fold(&entry.medicine);
    if !problems.is_empty() || unseen {
        return shown(visit, &record, Some(form), problems, 422);
    }
    let mut made = json!({
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": format!("Patient/{}", record.id)},
        "authoredOn": reader.now.display_with_offset(reader.offset).to_string(),
        "requester": {"display": visit.name},
    });
    if let Some(encounter) = encounter(&record) {
        put(&mut made, "encounter", json!({"reference": format!("Encounter/{encounter}")}));
    }
    entry.apply(reader, &Entry::default(), &mut made);
    let resource_type = named("MedicationRequest")?;
    let done = visit.once(async |unit| {
        unit.run(&Interaction::Create { resource_type, resource: Content::new(made.clone()), if_none_exist: None })
            .await?;
        Ok(chart::address(&record.id))
    });
    Ok(Reply::said(done.await?, "said.saved"))
}

fn shown(visit: &Visit, record: &Record, typed: Option<&Form>, problems: Problems, status: u16) -> Result<Reply> {
    let reader = &visit.reader;
    let is_wrong = !problems.is_empty();
    let mut sheet = Sheet::new(reader, typed, problems);
    let medicine = typed.map(|form| form.typed("medicamento")).unwrap_or_default();
    let against = against(visit, record, medicine);
    let fresh = Entry { start: date_field(reader.today()), ..Entry::default() };
    add_fields(&mut sheet, reader, &fresh, against.clone());
    let look = || Message::new(Tone::Warn, reader.text("prescribe.look"), reader.text("prescribe.look_help"));
    let message = sheet.summary().or_else(|| against.is_some().then(look));
    // It counts as seen only when nothing else is to be mended: then the next sending saves.
    let seen = if against.is_some() && !is_wrong { fold(medicine) } else { String::new() };
    let model = Model {
        page: chart::inner(visit, record, reader.text("prescribe.title")).with(message),
        action: visit.path.clone(),
        back: chart::address(&record.id),
        fields: in_order(sheet.fields(), &FIELDS),
        seen,
    };
    visit.show_as(status, "prescribe", &model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doses_are_never_guessed() {
        let check = |dose: &str, expected: Option<(&str, &str)>| {
            let found = amount(dose, Language::Es).unwrap();
            assert_eq!(
                found.as_ref().map(|(n, unit)| (n.to_string(), *unit)),
                expected.map(|(n, unit)| (n.to_owned(), unit)),
                "{dose}"
            );
        };
        check("750 mg", Some(("750", "mg")));
        check("0,5mg", Some(("0.5", "mg")));
        check("1 tableta", Some(("1", "tableta")));
        check("500", Some(("500", "")));
        check("media tableta", None);
        for text in ["1/2 tableta", "1-2 tabletas", "875/125 mg", "500 mg + 125 mg"] {
            check(text, None);
        }
        assert_eq!(amount("1.000 mg", Language::Es), Err(NumberProblem::Ambiguous));
        assert_eq!(amount("5,000 IU", Language::En), Err(NumberProblem::Ambiguous));
    }

    #[test]
    fn frequencies_are_understood_or_left_as_text() {
        let check = |typed: &str, expected: Option<(u16, u16, &str)>| {
            let expected =
                expected.map(|(times, period, unit)| json!({"frequency": times, "period": period, "periodUnit": unit}));
            assert_eq!(repeat(typed), expected, "{typed}");
        };
        check("cada 8 horas", Some((1, 8, "h")));
        check("Cada 48 h", Some((1, 48, "h")));
        check("cada día", Some((1, 1, "d")));
        check("cada noche", Some((1, 1, "d")));
        check("3 veces al día", Some((3, 1, "d")));
        check("every 12 hours", Some((1, 12, "h")));
        for text in ["dosis única", "cada 0 h", "cada rato", "lunes y jueves", ""] {
            check(text, None);
        }
    }
}
