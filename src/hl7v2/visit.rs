//! PV1, PV2 -> Encounter, and the states of a visit.
//!
//! Facts: segment map PV1[Encounter] of <https://build.fhir.org/ig/HL7/v2-to-fhir/>; states:
//! <https://hl7.org/fhir/R4/valueset-encounter-status.html>. A01 and A04 bring a visit in progress, A03 finishes it, A08
//! changes no state. A visit that is finished or cancelled is opened again by none of them. Places and people are text:
//! a message does not say that they have a resource here. Not read: PV1-5, 6, 11, 13, 15, 16, 20, 37, 38, 42.

use super::datatype::{Cx, code_text, cwe, pl, xcn};
use super::dtm::{Dtm, instant_of};
use super::irregular::{Irregularity, Kind, Location};
use super::message::{Field, Message};
use super::patient::{merge, restore, same_identifier, taken};
use super::plan::{Event, Settings, visit_numbers};
use super::table;
use crate::fhir::documento::V2_0203;
use serde_json::{Map, Value, json};

/// Whether an event did something to a visit that is there.
pub(super) enum Step {
    Done,
    /// The same admission once more: nothing to do.
    Repeated,
}

/// A visit that is not there yet.
pub(super) fn open(
    message: &Message,
    event: Event,
    id: &str,
    subject: &str,
    settings: &Settings,
    warnings: &mut Vec<Irregularity>,
) -> Result<Value, Irregularity> {
    if !message.field("PV1", 2).is_valued() || message.field("PV1", 2).is_null() {
        return Err(Irregularity::at(Kind::Field, Location::field("PV1", 2)));
    }
    let mut visit = Map::new();
    visit.insert("resourceType".into(), json!("Encounter"));
    visit.insert("id".into(), json!(id));
    visit.insert("identifier".into(), json!([]));
    visit.insert("status".into(), json!("in-progress"));
    visit.insert("class".into(), json!({}));
    visit.insert("subject".into(), json!({"reference": subject}));
    let told = Told::read(message, settings)?;
    told.warn(warnings);
    told.overwrite(&mut visit, settings);
    if event == Event::Discharge {
        warnings.push(Irregularity::at(Kind::DischargeFirst, Location::field("PV1", 19)));
        finish(message, &mut visit, settings, warnings)?;
    } else {
        ignore_discharge(message, warnings);
        if told.start.clone().flatten().is_none() {
            set_period(&mut visit, "start", happened(message, settings)?);
        }
    }
    Ok(Value::Object(visit))
}

/// An event that is not older than the last one, on a visit that is there.
pub(super) fn advance(
    message: &Message,
    event: Event,
    visit: &mut Value,
    settings: &Settings,
    warnings: &mut Vec<Irregularity>,
) -> Result<Step, Irregularity> {
    let Some(visit) = visit.as_object_mut() else { return Err(Irregularity::new(Kind::Internal)) };
    let told = Told::read(message, settings)?;
    let status = visit.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
    let cancelled = matches!(status.as_str(), "cancelled" | "entered-in-error");
    let closed = cancelled || status == "finished";
    match event {
        Event::Admit | Event::Register if closed => {
            let start = visit.get("period").and_then(|period| period.get("start")?.as_str()).map(str::to_owned);
            if status == "finished" && start.is_some() && told.start.clone().flatten() == start {
                warnings.push(Irregularity::at(Kind::RepeatedAdmission, Location::field("PV1", 44)));
                return Ok(Step::Repeated);
            }
            return Err(Irregularity::at(Kind::VisitClosed, Location::field("PV1", 19)));
        }
        Event::Discharge if cancelled => return Err(Irregularity::at(Kind::VisitClosed, Location::field("PV1", 19))),
        Event::Admit | Event::Register => {
            ignore_discharge(message, warnings);
            visit.insert("status".into(), json!("in-progress"));
        }
        // An update may correct the time of a discharge; it never makes one.
        Event::Update if status == "finished" => {
            if let Some(end) = moment(message.field("PV1", 45), 45, settings)? {
                set_period(visit, "end", Some(end));
            }
        }
        Event::Update => ignore_discharge(message, warnings),
        Event::Discharge => {}
    }
    told.warn(warnings);
    told.overwrite(visit, settings);
    if event == Event::Discharge {
        finish(message, visit, settings, warnings)?;
    }
    in_order(visit, settings)?;
    Ok(Step::Done)
}

/// An event older than the last one: it fills what is missing and changes nothing else.
pub(super) fn complete(
    message: &Message,
    event: Event,
    visit: &mut Value,
    settings: &Settings,
) -> Result<(), Irregularity> {
    let Some(visit) = visit.as_object_mut() else { return Err(Irregularity::new(Kind::Internal)) };
    let mut told = Told::read(message, settings)?;
    if told.start.is_none() && matches!(event, Event::Admit | Event::Register) {
        told.start = happened(message, settings)?.map(Some);
    }
    let mut filled = visit.clone();
    told.fill(&mut filled, settings);
    // A start that does not fit the end is not worth having.
    if in_order(&filled, settings).is_ok() {
        *visit = filled;
    }
    Ok(())
}

/// Status, end, disposition and places of a discharge.
fn finish(
    message: &Message,
    visit: &mut Map<String, Value>,
    settings: &Settings,
    warnings: &mut Vec<Irregularity>,
) -> Result<(), Irregularity> {
    visit.insert("status".into(), json!("finished"));
    let known = visit.get("period").is_some_and(|period| period.get("end").is_some());
    let end = match moment(message.field("PV1", 45), 45, settings)? {
        None if !known => happened(message, settings)?,
        end => end,
    };
    if end.is_none() && !known {
        warnings.push(Irregularity::at(Kind::NoDischargeTime, Location::field("PV1", 45)));
    }
    set_period(visit, "end", end);
    for place in visit.get_mut("location").and_then(Value::as_array_mut).into_iter().flatten() {
        if place.get("status").and_then(Value::as_str) == Some("active") {
            merge(place, json!({"status": "completed"}));
        }
    }
    in_order(visit, settings)
}

/// What PV1 and PV2 say about the visit, whatever the event. `None` says nothing; `Some(None)` deletes.
struct Told {
    numbers: Vec<Cx>,
    class: Option<(Value, bool)>,
    elements: Vec<(&'static str, Option<Value>)>,
    hospitalization: Vec<(&'static str, Option<Value>)>,
    participants: Vec<(&'static str, Vec<Value>)>,
    place: Option<Option<String>>,
    start: Option<Option<String>>,
}

impl Told {
    fn read(message: &Message, settings: &Settings) -> Result<Self, Irregularity> {
        let pv1 = |number: usize| message.field("PV1", number);
        let list = |concept: Value| json!([concept]);
        let mut elements = Vec::new();
        elements.extend(concept(pv1(4), "0007").map(|value| ("type", value.map(list))));
        elements.extend(concept(pv1(10), "0069").map(|value| ("serviceType", value)));
        elements.extend(concept(message.field("PV2", 3), "0129").map(|value| ("reasonCode", value.map(list))));
        let mut hospitalization = Vec::new();
        hospitalization.extend(concept(pv1(14), "0023").map(|value| ("admitSource", value)));
        hospitalization.extend(disposition(pv1(36)).map(|value| ("dischargeDisposition", value)));
        let people = [(7, "ATND"), (8, "REF"), (9, "CON"), (17, "ADM"), (52, "PART")];
        let participants = people.into_iter().filter(|(number, _)| pv1(*number).is_valued()).map(|(number, code)| {
            (code, pv1(number).repetitions().filter_map(|(_, part)| participant(xcn(part, settings)?, code)).collect())
        });
        Ok(Told {
            numbers: visit_numbers(message, settings),
            class: class(pv1(2)),
            elements,
            hospitalization,
            participants: participants.collect(),
            place: if pv1(3).is_null() { Some(None) } else { pl(pv1(3).first()).map(Some) },
            start: if pv1(44).is_null() { Some(None) } else { moment(pv1(44), 44, settings)?.map(Some) },
        })
    }

    fn warn(&self, warnings: &mut Vec<Irregularity>) {
        if matches!(self.class, Some((_, false))) {
            warnings.push(Irregularity::at(Kind::UnknownCode, Location::field("PV1", 2)));
        }
    }

    fn overwrite(&self, visit: &mut Map<String, Value>, settings: &Settings) {
        self.unite_numbers(visit, settings);
        if let Some((class, _)) = &self.class {
            visit.insert("class".into(), class.clone());
        }
        for (element, value) in &self.elements {
            set(visit, element, value.clone());
        }
        for (code, people) in &self.participants {
            let mut list = taken(visit, "participant");
            list.retain(|item| role_of(item) != Some(code));
            list.extend(people.iter().cloned());
            restore(visit, "participant", list);
        }
        match self.start.clone() {
            Some(None) => delete_start(visit),
            told => set_period(visit, "start", told.flatten()),
        }
        if !self.hospitalization.is_empty() {
            let mut stay = visit.get("hospitalization").and_then(Value::as_object).cloned().unwrap_or_default();
            for (element, value) in &self.hospitalization {
                set(&mut stay, element, value.clone());
            }
            set(visit, "hospitalization", (!stay.is_empty()).then_some(Value::Object(stay)));
        }
        self.move_to(visit);
    }

    /// Only what is missing.
    fn fill(mut self, visit: &mut Map<String, Value>, settings: &Settings) {
        self.unite_numbers(visit, settings);
        for (element, value) in std::mem::take(&mut self.elements) {
            if !visit.contains_key(element) {
                set(visit, element, value);
            }
        }
        let mut people = taken(visit, "participant");
        for (code, told) in std::mem::take(&mut self.participants) {
            if !people.iter().any(|item| role_of(item) == Some(code)) {
                people.extend(told);
            }
        }
        restore(visit, "participant", people);
        if visit.get("period").and_then(|period| period.get("start")).is_none() {
            set_period(visit, "start", self.start.take().flatten());
        }
        let mut stay = visit.get("hospitalization").and_then(Value::as_object).cloned().unwrap_or_default();
        for (element, value) in std::mem::take(&mut self.hospitalization) {
            if !stay.contains_key(element) {
                set(&mut stay, element, value);
            }
        }
        if !stay.is_empty() {
            set(visit, "hospitalization", Some(Value::Object(stay)));
        }
        if !visit.contains_key("location") {
            self.place = self.place.filter(Option::is_some);
            self.move_to(visit);
        }
    }

    /// The place where the patient is: the active one is corrected or deleted, past ones stay.
    fn move_to(&self, visit: &mut Map<String, Value>) {
        let Some(place) = &self.place else { return };
        let open = visit.get("status").and_then(Value::as_str) != Some("finished");
        let mut list = taken(visit, "location");
        let last = list.len().saturating_sub(1);
        let current = list.iter().enumerate().position(|(n, item)| match item.get("status").and_then(Value::as_str) {
            Some("active") => true,
            Some("completed") => !open && n == last,
            _ => false,
        });
        let entry = place
            .as_ref()
            .map(|place| json!({"location": {"display": place}, "status": if open { "active" } else { "completed" }}));
        match (current.and_then(|n| list.get_mut(n)), entry) {
            (Some(item), Some(entry)) => merge(item, entry),
            (None, Some(entry)) => list.push(entry),
            (_, None) => list.retain(|item| item.get("status").and_then(Value::as_str) != Some("active")),
        }
        restore(visit, "location", list);
    }

    fn unite_numbers(&self, visit: &mut Map<String, Value>, settings: &Settings) {
        let mut list = taken(visit, "identifier");
        for (n, cx) in self.numbers.iter().enumerate() {
            let mut identifier = cx.identifier.clone();
            if n == 0 {
                merge(&mut identifier, json!({"type": {"coding": [{"system": V2_0203, "code": "VN"}]}}));
            }
            let documento = cx.documento.as_ref().filter(|_| n > 0);
            match list.iter_mut().find(|stored| same_identifier(stored, &identifier, documento, settings)) {
                Some(stored) => merge(stored, identifier),
                None => list.push(identifier),
            }
        }
        restore(visit, "identifier", list);
    }
}

/// PV1-2, and whether the table has it. Encounter.class cannot be deleted.
fn class(field: Field<'_>) -> Option<(Value, bool)> {
    let code = field.text()?;
    Some(match table::lookup("0004", &code) {
        Some(target) => (json!({"system": target.system, "code": target.code, "display": target.display}), true),
        None => (json!({"system": table::system("0004"), "code": code_text(&code)}), false),
    })
}

fn disposition(field: Field<'_>) -> Option<Option<Value>> {
    let target = field.text().and_then(|code| table::lookup("0112", &code));
    let Some(target) = target else { return concept(field, "0112") };
    let mut known = json!([{"system": target.system, "code": target.code, "display": target.display}]);
    // The code of the site stays beside the mapped one.
    let own = cwe(field.first(), "0112").and_then(|mut own| own.get_mut("coding")?.as_array_mut().map(std::mem::take));
    if let Some(codings) = known.as_array_mut() {
        codings.extend(own.unwrap_or_default());
    }
    Some(Some(json!({"coding": known})))
}

fn concept(field: Field<'_>, home: &str) -> Option<Option<Value>> {
    if field.is_null() { Some(None) } else { cwe(field.first(), home).map(Some) }
}

fn participant(individual: Value, code: &str) -> Option<Value> {
    let target = table::lookup("0443", code)?;
    let role = json!([{"coding": [{"system": target.system, "code": target.code, "display": target.display}]}]);
    Some(json!({"type": role, "individual": individual}))
}

fn role_of(participant: &Value) -> Option<&str> {
    participant.get("type")?.as_array()?.first()?.get("coding")?.as_array()?.first()?.get("code")?.as_str()
}

fn set(map: &mut Map<String, Value>, element: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(map.insert(element.to_owned(), value)),
        None => drop(map.shift_remove(element)),
    }
}

fn set_period(visit: &mut Map<String, Value>, end: &str, moment: Option<String>) {
    let Some(moment) = moment else { return };
    let period = visit.entry("period").or_insert_with(|| json!({}));
    if let Some(period) = period.as_object_mut() {
        period.insert(end.to_owned(), json!(moment));
    }
}

fn delete_start(visit: &mut Map<String, Value>) {
    let Some(period) = visit.get_mut("period").and_then(Value::as_object_mut) else { return };
    period.shift_remove("start");
    if period.is_empty() {
        visit.shift_remove("period");
    }
}

fn moment(field: Field<'_>, number: usize, settings: &Settings) -> Result<Option<String>, Irregularity> {
    let Some(text) = field.text() else { return Ok(None) };
    let moment = Dtm::parse(&text).ok_or(Irregularity::at(Kind::Date, Location::field("PV1", number)))?;
    Ok(Some(moment.date_time(settings.offset)))
}

/// When the event happened: EVN-6, else when it was recorded, EVN-2.
fn happened(message: &Message, settings: &Settings) -> Result<Option<String>, Irregularity> {
    for number in [6, 2] {
        if let Some(text) = message.field("EVN", number).text() {
            let moment = Dtm::parse(&text).ok_or(Irregularity::at(Kind::Date, Location::field("EVN", number)))?;
            return Ok(Some(moment.date_time(settings.offset)));
        }
    }
    Ok(None)
}

/// PV1-45 outside a discharge is said, not done.
fn ignore_discharge(message: &Message, warnings: &mut Vec<Irregularity>) {
    if message.field("PV1", 45).text().is_some() {
        warnings.push(Irregularity::at(Kind::DischargeIgnored, Location::field("PV1", 45)));
    }
}

/// FHIR invariant per-1: a period ends when it starts or later.
fn in_order(visit: &Map<String, Value>, settings: &Settings) -> Result<(), Irregularity> {
    let period = visit.get("period");
    let end = |name: &str| period.and_then(|period| period.get(name)?.as_str());
    let instants = end("start")
        .zip(end("end"))
        .and_then(|(start, end)| Some((instant_of(start, settings.offset)?, instant_of(end, settings.offset)?)));
    match instants {
        Some((start, end)) if end < start && !same_day(visit) => {
            Err(Irregularity::at(Kind::Period, Location::field("PV1", 45)))
        }
        _ => Ok(()),
    }
}

/// A day without a time says nothing about the order within that day.
fn same_day(visit: &Map<String, Value>) -> bool {
    let day = |name: &str| visit.get("period").and_then(|period| period.get(name)?.as_str()?.get(..10));
    let bare = |name: &str| {
        visit.get("period").and_then(|period| Some(period.get(name)?.as_str()?.len() == 10)).unwrap_or(false)
    };
    day("start").is_some() && day("start") == day("end") && (bare("start") || bare("end"))
}
