//! What a page of admission says of an Encounter, and the changes of a stay: transfer, discharge, cancellation. Pure.
//! <https://hl7.org/fhir/R4/encounter.html>

use crate::oauth::form::Form;
use crate::search::param::string::fold;
use crate::view::format::Reader;
use crate::view::page::Badge;
use serde_json::{Map, Value, json};

const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const DISPOSITION: &str = "http://terminology.hl7.org/CodeSystem/discharge-disposition";
/// What only HL7 v2 messages leave behind (`hl7v2::plan`).
const LAST_SOURCE_SYNC: &str = "http://hl7.org/fhir/StructureDefinition/lastSourceSync";
/// Statuses of a stay that goes on.
pub const OPEN: &str = "arrived,triaged,in-progress,onleave";
/// Codes of a stay, in emergency or in bed: a patient has one at a time. A visit goes beside it.
pub const STAY: &str = "EMER,IMP,ACUTE,NONAC,OBSENC,SS";

/// What kind of encounter, as the desk sorts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Emergency,
    Inpatient,
    Visit,
}

impl Class {
    pub const ALL: [Class; 3] = [Class::Emergency, Class::Inpatient, Class::Visit];

    pub fn of(encounter: &Value) -> Class {
        match text(encounter, &["class", "code"]) {
            "EMER" => Class::Emergency,
            "IMP" | "ACUTE" | "NONAC" | "OBSENC" | "SS" => Class::Inpatient,
            _ => Class::Visit,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Class::Emergency => "EMER",
            Class::Inpatient => "IMP",
            Class::Visit => "AMB",
        }
    }

    pub fn parse(code: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.code() == code)
    }

    /// The key of its text.
    pub fn label(self) -> &'static str {
        match self {
            Class::Emergency => "admission.emergency",
            Class::Inpatient => "admission.inpatient",
            Class::Visit => "admission.visit",
        }
    }

    fn display(self) -> &'static str {
        match self {
            Class::Emergency => "emergency",
            Class::Inpatient => "inpatient encounter",
            Class::Visit => "ambulatory",
        }
    }

    /// The criteria under which one more of this kind is not made: it is there already.
    pub fn same(self, patient: &str) -> String {
        let codes = if self == Class::Visit { "AMB" } else { STAY };
        format!("patient={patient}&status={OPEN}&class={codes}")
    }
}

/// How somebody left (<https://hl7.org/fhir/R4/valueset-encounter-discharge-disposition.html>): code, key of the text.
pub const DISPOSITIONS: [(&str, &str); 5] = [
    ("home", "admission.to_home"),
    ("other-hcf", "admission.to_hospital"),
    ("aadvice", "admission.to_own_will"),
    ("exp", "admission.to_death"),
    ("oth", "admission.to_other"),
];

fn text<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    path.iter().try_fold(value, |value, member| value.get(member)).and_then(Value::as_str).unwrap_or("")
}

fn list<'v>(value: &'v Value, member: &str) -> impl Iterator<Item = &'v Value> {
    value.get(member).and_then(Value::as_array).into_iter().flatten()
}

/// The text of a CodeableConcept: as it was said, else a display, else a code.
pub fn concept(value: &Value) -> Option<&str> {
    let said = Some(text(value, &["text"])).filter(|text| !text.is_empty());
    let coded =
        |member: &str| list(value, "coding").map(|coding| text(coding, &[member])).find(|text| !text.is_empty());
    said.or_else(|| coded("display")).or_else(|| coded("code"))
}

pub fn id(resource: &Value) -> &str {
    text(resource, &["id"])
}

pub fn version(resource: &Value) -> Option<i64> {
    text(resource, &["meta", "versionId"]).parse().ok()
}

/// The version that a form is about: that which was looked at when it comes back with what was typed, else the stored one.
pub fn seen(stored: &Value, typed: Option<&Form>) -> String {
    let looked_at = typed.and_then(|form| form.typed("version").parse().ok());
    looked_at.or_else(|| version(stored)).unwrap_or_default().to_string()
}

pub fn status(encounter: &Value) -> &str {
    text(encounter, &["status"])
}

pub fn is_open(encounter: &Value) -> bool {
    OPEN.split(',').any(|open| open == status(encounter))
}

pub fn start(encounter: &Value) -> &str {
    text(encounter, &["period", "start"])
}

pub fn end(encounter: &Value) -> &str {
    text(encounter, &["period", "end"])
}

/// The id of the patient whose it is.
pub fn patient(encounter: &Value) -> Option<&str> {
    let reference = text(encounter, &["subject", "reference"]);
    let (before, id) = reference.rsplit_once('/')?;
    (before == "Patient" || before.ends_with("/Patient")).then_some(id)
}

pub fn is_from_hl7(encounter: &Value) -> bool {
    let extensions = encounter.get("meta").map(|meta| list(meta, "extension"));
    extensions.into_iter().flatten().any(|extension| text(extension, &["url"]) == LAST_SOURCE_SYNC)
}

/// Service and bed as one line, each once: `Medicina interna · 412B`.
pub fn place(reader: &Reader, encounter: &Value) -> String {
    let mut parts: Vec<String> =
        vec![service(encounter).map_or_else(|| reader.text(Class::of(encounter).label()).to_owned(), str::to_owned)];
    let more = bed(encounter).or_else(|| encounter.get("priority").and_then(concept).map(str::to_owned));
    parts.extend(more.filter(|more| parts.iter().all(|part| part != more)));
    parts.join(" · ")
}

pub fn service(encounter: &Value) -> Option<&str> {
    encounter.get("serviceType").and_then(concept)
}

/// The last part of the place where the patient is: places are written `service / bed`.
pub fn bed(encounter: &Value) -> Option<String> {
    let current = list(encounter, "location").find(|place| text(place, &["status"]) == "active")?;
    let display = text(current, &["location", "display"]);
    let bed = display.rsplit(" / ").next().unwrap_or(display).trim();
    (!bed.is_empty()).then(|| bed.to_owned())
}

/// Whether somebody lies in this bed of this service, however the two are written.
pub fn is_in(encounter: &Value, service: &str, bed: &str) -> bool {
    let plain = |text: &str| fold(text).chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let wanted = plain(service) + &plain(bed);
    let current = places(encounter).into_iter().find(|place| place.active).map(|place| plain(place.display));
    let own = self::bed(encounter).map(|own| plain(self::service(encounter).unwrap_or("")) + &plain(&own));
    current.is_some_and(|current| current == wanted) || own.is_some_and(|own| own == wanted)
}

/// Where the patient went at the discharge.
pub fn destination(encounter: &Value) -> Option<&str> {
    encounter.get("hospitalization")?.get("dischargeDisposition").and_then(concept)
}

pub fn reason(encounter: &Value) -> Option<&str> {
    list(encounter, "reasonCode").find_map(concept)
}

/// One place of a stay.
pub struct Place<'v> {
    pub display: &'v str,
    pub start: &'v str,
    pub end: &'v str,
    /// The patient is there.
    pub active: bool,
}

/// The places one after the other.
pub fn places(encounter: &Value) -> Vec<Place<'_>> {
    let place = |item| Place {
        display: text(item, &["location", "display"]),
        start: text(item, &["period", "start"]),
        end: text(item, &["period", "end"]),
        active: text(item, &["status"]) == "active",
    };
    list(encounter, "location").map(place).filter(|place| !place.display.is_empty()).collect()
}

pub fn badge(reader: &Reader, encounter: &Value) -> Badge {
    let (kind, icon, key) = match status(encounter) {
        "planned" => ("plain", Some("pending"), "admission.expected"),
        "arrived" | "triaged" | "in-progress" | "onleave" => ("ok", Some("check"), "admission.admitted"),
        "finished" => ("info", Some("arrive"), "admission.discharged"),
        "cancelled" => ("off", None, "admission.cancelled"),
        "entered-in-error" => ("off", None, "admission.withdrawn"),
        _ => ("plain", None, "admission.unknown"),
    };
    Badge::new(kind, icon, reader.text(key))
}

/// What is typed at an admission.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'t> {
    pub class: Class,
    pub service: &'t str,
    pub bed: &'t str,
    pub reason: &'t str,
}

/// Puts an admission into an Encounter: a new one, or one that was expected.
pub fn admit(encounter: &mut Map<String, Value>, typed: Typed<'_>, patient: &str, now: &str) {
    let class = json!({"system": ACT_CODE, "code": typed.class.code(), "display": typed.class.display()});
    encounter.insert("resourceType".into(), json!("Encounter"));
    encounter.insert("status".into(), json!("in-progress"));
    encounter.insert("class".into(), class);
    encounter.insert("serviceType".into(), json!({"text": typed.service}));
    encounter.entry("subject").or_insert_with(|| json!({"reference": format!("Patient/{patient}")}));
    encounter.insert("period".into(), json!({"start": now}));
    if !typed.reason.is_empty()
        && encounter.get("reasonCode").and_then(|known| concept(known.get(0)?)) != Some(typed.reason)
    {
        encounter.insert("reasonCode".into(), json!([{"text": typed.reason}]));
    }
    encounter.shift_remove("location");
    move_to(encounter, typed.service, typed.bed, now);
}

/// The patient lies somewhere else from now on: the old place is completed, the new one is active.
pub fn transfer(encounter: &mut Map<String, Value>, service: &str, bed: &str, now: &str) {
    encounter.insert("serviceType".into(), json!({"text": service}));
    complete_places(encounter, now);
    move_to(encounter, service, bed, now);
}

fn move_to(encounter: &mut Map<String, Value>, service: &str, bed: &str, now: &str) {
    let display = if bed.is_empty() { service.to_owned() } else { format!("{service} / {bed}") };
    let place = json!({"location": {"display": display}, "status": "active", "period": {"start": now}});
    match encounter.get_mut("location").and_then(Value::as_array_mut) {
        Some(places) => places.push(place),
        None => drop(encounter.insert("location".into(), json!([place]))),
    }
}

fn complete_places(encounter: &mut Map<String, Value>, now: &str) {
    for place in encounter.get_mut("location").and_then(Value::as_array_mut).into_iter().flatten() {
        if text(place, &["status"]) != "active" {
            continue;
        }
        if let Some(place) = place.as_object_mut() {
            place.insert("status".into(), json!("completed"));
            let period = place.entry("period").or_insert_with(|| json!({}));
            if let Some(period) = period.as_object_mut() {
                period.insert("end".into(), json!(now));
            }
        }
    }
}

pub fn discharge(encounter: &mut Map<String, Value>, disposition: (&str, &str), now: &str) {
    let (code, label) = disposition;
    encounter.insert("status".into(), json!("finished"));
    end_period(encounter, now);
    complete_places(encounter, now);
    let stay = encounter.entry("hospitalization").or_insert_with(|| json!({}));
    if let Some(stay) = stay.as_object_mut() {
        stay.insert(
            "dischargeDisposition".into(),
            json!({"coding": [{"system": DISPOSITION, "code": code}], "text": label}),
        );
    }
}

pub fn cancel(encounter: &mut Map<String, Value>, now: &str) {
    encounter.insert("status".into(), json!("cancelled"));
    if encounter.contains_key("period") {
        end_period(encounter, now);
    }
    complete_places(encounter, now);
}

fn end_period(encounter: &mut Map<String, Value>, now: &str) {
    let period = encounter.entry("period").or_insert_with(|| json!({}));
    if let Some(period) = period.as_object_mut() {
        period.insert("end".into(), json!(now));
    }
}

/// Now, as FHIR writes it here.
pub fn now(reader: &Reader) -> String {
    let (at, seconds) = (reader.local(reader.now), reader.offset.seconds());
    let (sign, rest) = if seconds < 0 { ('-', -seconds) } else { ('+', seconds) };
    format!(
        "{}T{:02}:{:02}:{:02}{sign}{:02}:{:02}",
        at.date(),
        at.hour(),
        at.minute(),
        at.second(),
        rest / 3600,
        rest % 3600 / 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Language;
    use jiff::tz::Offset;

    const NOW: &str = "2026-11-23T14:05:09-05:00";

    fn reader() -> Reader {
        Reader {
            language: Language::Es,
            offset: Offset::from_seconds(-5 * 3600).unwrap(),
            now: "2026-11-23T19:05:09Z".parse().unwrap(),
        }
    }

    fn admitted() -> Map<String, Value> {
        let mut encounter = Map::new();
        let typed = Typed { class: Class::Inpatient, service: "Medicina interna", bed: "412B", reason: "Neumonía" };
        admit(&mut encounter, typed, "p1", NOW);
        encounter
    }

    #[test]
    fn an_admission_says_where_and_why() {
        let encounter = Value::Object(admitted());
        assert_eq!(place(&reader(), &encounter), "Medicina interna · 412B");
        assert_eq!((start(&encounter), reason(&encounter), patient(&encounter)), (NOW, Some("Neumonía"), Some("p1")));
        assert_eq!(
            (Class::of(&encounter), is_open(&encounter), is_from_hl7(&encounter)),
            (Class::Inpatient, true, false)
        );
        assert_eq!(now(&reader()), NOW);
    }

    #[test]
    fn a_transfer_keeps_the_old_place_as_completed() {
        let mut encounter = admitted();
        transfer(&mut encounter, "Cirugía", "305A", "2026-11-23T16:00:00-05:00");
        let places = encounter["location"].as_array().unwrap();
        let old = json!({"location": {"display": "Medicina interna / 412B"}, "status": "completed", "period": {"start": NOW, "end": "2026-11-23T16:00:00-05:00"}});
        assert_eq!((places.len(), &places[0]), (2, &old));
        assert_eq!(place(&reader(), &Value::Object(encounter)), "Cirugía · 305A");
    }

    #[test]
    fn a_bed_is_the_same_however_it_is_written() {
        let check = |display: &str, service: &str, bed: &str, same: bool| {
            let stay = json!({"serviceType": {"text": "Cirugía"}, "location": [{"location": {"display": display}, "status": "active"}]});
            assert_eq!(is_in(&stay, service, bed), same, "{display} {service} {bed}");
        };
        check("Cirugía / 305A", "cirugia", "305 a", true);
        check("Cirugía / 305 / A", "Cirugía", "305A", true);
        check("Piso 3 / 305A", "Cirugía", "305A", true);
        check("Piso 3 / 305A", "Piso 3", "305A", true);
        check("Cirugía / 305A", "Pediatría", "305A", false);
        check("Cirugía / 305A", "Cirugía", "305B", false);
        assert!(!is_in(&json!({}), "", ""));
    }

    #[test]
    fn a_discharge_and_a_cancellation_close_the_stay() {
        let check = |close: &dyn Fn(&mut Map<String, Value>), expected: &str| {
            let mut encounter = admitted();
            close(&mut encounter);
            let encounter = Value::Object(encounter);
            assert_eq!(
                (status(&encounter), is_open(&encounter), end(&encounter), bed(&encounter)),
                (expected, false, NOW, None)
            );
        };
        check(&|encounter| discharge(encounter, ("home", "Casa"), NOW), "finished");
        check(&|encounter| cancel(encounter, NOW), "cancelled");
    }

    #[test]
    fn a_line_says_each_thing_once() {
        let check = |encounter: Value, expected: &str| assert_eq!(place(&reader(), &encounter), expected);
        check(
            json!({"serviceType": {"text": "Urgencias"}, "priority": {"text": "Triage II"}}),
            "Urgencias · Triage II",
        );
        check(
            json!({"class": {"code": "EMER"}, "location": [{"location": {"display": "Urgencias"}, "status": "active"}]}),
            "Urgencias",
        );
        check(json!({"serviceType": {"coding": [{"code": "MED"}]}}), "MED");
    }
}
