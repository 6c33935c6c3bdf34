//! PID -> Patient, onto what is stored: a field that is empty keeps, `""` deletes, a value replaces.
//!
//! Facts: segment map PID[Patient] of <https://build.fhir.org/ig/HL7/v2-to-fhir/>. Identifiers are united. Names,
//! addresses and telecoms replace the stored ones of the same use and leave the others. Not read: PID-9 (alias), PID-15,
//! PID-17 to 23, PID-26 to 28, next of kin.

use super::datatype::{Cx, cwe, cx, xad, xpn, xtn};
use super::dtm::Dtm;
use super::irregular::{Irregularity, Kind, Location};
use super::message::{Field, Message, Value as Said};
use super::plan::Settings;
use super::table;
use crate::fhir::documento::DocumentoId;
use crate::fhir::primitive::is_hidden;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use unicode_normalization::UnicodeNormalization;

const BIRTH_TIME: &str = "http://hl7.org/fhir/StructureDefinition/patient-birthTime";
/// Characters of one part of a name.
const LONGEST_NAME: usize = 200;
/// What a sender's clock may be ahead of ours.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
const MOTHERS_MAIDEN_NAME: &str = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName";

/// The identifiers of PID-3, then PID-2 and PID-4.
pub(super) fn identifiers(message: &Message, settings: &Settings) -> Vec<Cx> {
    let fields: [Field<'_>; 3] = [3, 2, 4].map(|number| message.field("PID", number));
    let parts = fields.iter().flat_map(Field::repetitions).map(|(_, part)| part);
    let mut all: Vec<Cx> = parts.filter_map(|part| cx(part, settings)).collect();
    // What no longer holds is nobody's first document.
    let day = day_of(message);
    all.sort_by_key(|cx| is_past(cx, day.as_deref()));
    all
}

/// The day on which a message was made: MSH-7.
fn day_of(message: &Message) -> Option<String> {
    Some(Dtm::parse(&message.field("MSH", 7).text()?)?.date())
}

/// Whether an identifier has ended (CX-8) before a day.
fn is_past(cx: &Cx, day: Option<&str>) -> bool {
    let end = cx.identifier.get("period").and_then(|period| period.get("end")?.as_str());
    // An end that is a month or a year holds until it is over.
    matches!((end, day), (Some(end), Some(day)) if day.get(..end.len()).is_some_and(|day| end < day))
}

/// The documents of PID-3, PID-2 and PID-4 and where they stand. Two numbers of one type that both hold are an error: one
/// of them is another person's.
pub(super) fn documents(message: &Message, settings: &Settings) -> Result<Vec<(DocumentoId, Location)>, Irregularity> {
    let day = day_of(message);
    let (mut current, mut past): (Vec<(DocumentoId, Location)>, Vec<_>) = (Vec::new(), Vec::new());
    for number in [3, 2, 4] {
        for (repetition, part) in message.field("PID", number).repetitions() {
            let Some(cx) = cx(part, settings) else { continue };
            let Some(documento) = cx.documento.clone() else { continue };
            let at = Location::field("PID", number).component(repetition, 1);
            if is_past(&cx, day.as_deref()) {
                past.push((documento, at));
                continue;
            }
            let kind = |documento: &DocumentoId| documento.parts().map(|(kind, _)| kind.to_owned());
            let other = |known: &DocumentoId| kind(known) == kind(&documento) && !known.is_same(&documento);
            if current.iter().any(|(known, _)| other(known)) {
                return Err(Irregularity::at(Kind::Documents, at));
            }
            current.push((documento, at));
        }
    }
    current.append(&mut past);
    Ok(current)
}

/// Applies PID to a Patient. A new one must have a name.
pub(super) fn apply(
    message: &Message,
    settings: &Settings,
    patient: &mut Value,
    new: bool,
    received: Timestamp,
    warnings: &mut Vec<Irregularity>,
) -> Result<(), Irregularity> {
    name_parts(message)?;
    let Some(patient) = patient.as_object_mut() else { return Err(Irregularity::new(Kind::Internal)) };
    unite_identifiers(patient, identifiers(message, settings), day_of(message).as_deref(), settings);
    let names: Vec<Value> = message.field("PID", 5).repetitions().filter_map(|(_, part)| xpn(part, settings)).collect();
    if new && names.is_empty() {
        return Err(Irregularity::at(Kind::Field, Location::field("PID", 5)));
    }
    replace_alike(patient, "name", names, &["use"]);
    gender(patient, message.field("PID", 8), new, warnings);
    birth_date(patient, message.field("PID", 7), settings, received)?;
    telecom(patient, message);
    let address = message.field("PID", 11);
    if address.is_null() {
        patient.shift_remove("address");
    }
    replace_alike(
        patient,
        "address",
        address.repetitions().filter_map(|(_, part)| xad(part)).collect(),
        &["use", "type"],
    );
    marital_status(patient, message.field("PID", 16), warnings);
    mothers_maiden_name(patient, message.field("PID", 6));
    multiple_birth(patient, message);
    deceased(patient, message, settings)
}

/// Whether birth date and name of the message are those that are stored.
pub(super) fn is_person(message: &Message, settings: &Settings, stored: &Value) -> bool {
    let birth = message.field("PID", 7).text().and_then(|text| Dtm::parse(&text)).map(|moment| moment.date());
    let name = message.field("PID", 5).repetitions().find_map(|(_, part)| xpn(part, settings));
    let mut known = stored.get("name").and_then(Value::as_array).into_iter().flatten();
    birth.is_some()
        && birth.as_deref() == stored.get("birthDate").and_then(Value::as_str)
        && name.is_some_and(|name| known.any(|known| folded(known) == folded(&name)))
}

/// Whether birth date, name and sex of the message all contradict what is stored (a wrong patient overwritten).
pub(super) fn another_person(message: &Message, settings: &Settings, stored: &Value) -> bool {
    let birth = message.field("PID", 7).text().and_then(|text| Dtm::parse(&text)).map(|moment| moment.date());
    let sex = message.field("PID", 8).text().and_then(|code| table::lookup("0001", &code)).map(|target| target.code);
    let name = message.field("PID", 5).repetitions().find_map(|(_, part)| xpn(part, settings));
    let text = |element: &str| stored.get(element).and_then(Value::as_str);
    let differs = |told: Option<&str>, stored: Option<&str>| matches!((told, stored), (Some(told), Some(stored)) if told != stored);
    let names = stored.get("name").and_then(Value::as_array);
    let unknown_name = match (name, names) {
        (Some(name), Some(names)) => names.iter().all(|known| folded(known) != folded(&name)),
        _ => false,
    };
    differs(birth.as_deref(), text("birthDate")) && differs(sex, text("gender")) && unknown_name
}

/// Surnames and given names without case and accents.
fn folded(name: &Value) -> String {
    let given = name.get("given").and_then(Value::as_array).into_iter().flatten();
    let words = name.get("family").into_iter().chain(given).filter_map(Value::as_str);
    let text = words.collect::<Vec<_>>().join(" ");
    text.nfd().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect()
}

/// Adds the identifiers that are not there. The first national document is the official one from now on; one that is
/// no longer official is kept as `old`, further ones are secondary.
fn unite_identifiers(patient: &mut Map<String, Value>, told: Vec<Cx>, day: Option<&str>, settings: &Settings) {
    let mut list = taken(patient, "identifier");
    let official = told.iter().find_map(|cx| cx.documento.clone());
    for stored in &mut list {
        let document = DocumentoId::of_identifier(stored, &settings.systems);
        let was_official = stored.get("use").and_then(Value::as_str) == Some("official");
        let other = |(document, official): (&DocumentoId, &DocumentoId)| !document.is_same(official);
        if was_official && document.as_ref().zip(official.as_ref()).is_some_and(other) {
            merge(stored, json!({"use": "old"}));
        }
    }
    for mut cx in told {
        let is_official = cx.documento.as_ref().zip(official.as_ref()).is_some_and(|(one, other)| one.is_same(other));
        let usage = match is_official {
            true => "official",
            false if is_past(&cx, day) => "old",
            false => "secondary",
        };
        let known =
            list.iter_mut().find(|stored| same_identifier(stored, &cx.identifier, cx.documento.as_ref(), settings));
        match (known, cx.documento.is_some()) {
            // The stored one stays as it was made, under whatever system; only its use may change.
            (Some(stored), true) => merge(stored, json!({"use": usage})),
            (Some(stored), false) => merge(stored, cx.identifier),
            (None, true) => {
                merge(&mut cx.identifier, json!({"use": usage}));
                list.push(cx.identifier);
            }
            (None, false) => list.push(cx.identifier),
        }
    }
    restore(patient, "identifier", list);
}

/// Whether a stored identifier is the told one: the same document, or the same value of the same system or assigner.
pub(super) fn same_identifier(
    stored: &Value,
    told: &Value,
    documento: Option<&DocumentoId>,
    settings: &Settings,
) -> bool {
    if let Some(documento) = documento {
        return DocumentoId::of_identifier(stored, &settings.systems).is_some_and(|known| known.is_same(documento));
    }
    let kind = |identifier: &Value| {
        let coding = identifier.get("type")?.get("coding")?.as_array()?.first()?.get("code")?.as_str()?.to_owned();
        Some(coding)
    };
    let assigner = |identifier: &Value| identifier.get("assigner").and_then(|a| a.get("display")).cloned();
    let same_kind = match (kind(stored), kind(told)) {
        (Some(stored), Some(told)) => stored == told,
        _ => true,
    };
    let same_assigner = told.get("system").is_some() || assigner(stored) == assigner(told);
    stored.get("value") == told.get("value") && stored.get("system") == told.get("system") && same_kind && same_assigner
}

/// Members of `told` replace those of `stored`; the rest stays.
pub(super) fn merge(stored: &mut Value, told: Value) {
    if let (Some(stored), Value::Object(told)) = (stored.as_object_mut(), told) {
        stored.extend(told);
    }
}

fn gender(patient: &mut Map<String, Value>, field: Field<'_>, new: bool, warnings: &mut Vec<Irregularity>) {
    match field.value() {
        Said::Absent => {}
        Said::Null => drop(patient.shift_remove("gender")),
        Said::Text(code) => match table::lookup("0001", &code) {
            Some(target) => drop(patient.insert("gender".into(), json!(target.code))),
            None => {
                warnings.push(Irregularity::at(Kind::UnknownCode, Location::field("PID", 8)));
                if new {
                    patient.insert("gender".into(), json!("unknown"));
                }
            }
        },
    }
}

/// Names and the mother's maiden name: a part that is longer than any name is something else, and so is what is not seen or
/// turns what stands beside it.
fn name_parts(message: &Message) -> Result<(), Irregularity> {
    for number in [5, 6] {
        for (repetition, part) in message.field("PID", number).repetitions() {
            let long =
                |component: &usize| part.text(*component).is_some_and(|text| text.chars().count() > LONGEST_NAME);
            if let Some(component) = (1..=6).find(long) {
                let at = Location::field("PID", number).component(repetition, component);
                return Err(Irregularity::at(Kind::NameLength, at));
            }
            let hidden = |component: &usize| part.text(*component).is_some_and(|text| text.chars().any(is_hidden));
            if let Some(component) = (1..=6).find(hidden) {
                let at = Location::field("PID", number).component(repetition, component);
                return Err(Irregularity::at(Kind::ControlCharacter, at));
            }
        }
    }
    Ok(())
}

/// The date, and the time of birth as its extension.
fn birth_date(
    patient: &mut Map<String, Value>,
    field: Field<'_>,
    settings: &Settings,
    received: Timestamp,
) -> Result<(), Irregularity> {
    let text = match field.value() {
        Said::Absent => return Ok(()),
        Said::Null => {
            patient.shift_remove("birthDate");
            patient.shift_remove("_birthDate");
            return Ok(());
        }
        Said::Text(text) => text,
    };
    let moment = Dtm::parse(&text).ok_or(Irregularity::at(Kind::Date, Location::field("PID", 7)))?;
    if moment.instant(settings.offset).is_some_and(|born| born > received.saturating_add(AHEAD).unwrap_or(received)) {
        return Err(Irregularity::at(Kind::BirthFuture, Location::field("PID", 7)));
    }
    let same = patient.get("birthDate").and_then(Value::as_str) == Some(moment.date().as_str());
    patient.insert("birthDate".into(), json!(moment.date()));
    if moment.has_time() {
        let time = json!({"url": BIRTH_TIME, "valueDateTime": moment.date_time(settings.offset)});
        patient.insert("_birthDate".into(), json!({"extension": [time]}));
    } else if !same {
        patient.shift_remove("_birthDate");
    }
    Ok(())
}

/// PID-13 home, PID-14 work, PID-40 any.
fn telecom(patient: &mut Map<String, Value>, message: &Message) {
    let mut told: Vec<Value> = Vec::new();
    for (number, usage, deleted) in
        [(13, Some("home"), ["home", "mobile"]), (14, Some("work"), ["work", "work"]), (40, None, ["", ""])]
    {
        let field = message.field("PID", number);
        if field.is_null() {
            let mut list = taken(patient, "telecom");
            list.retain(|point| {
                !point.get("use").and_then(Value::as_str).is_some_and(|usage| deleted.contains(&usage))
            });
            restore(patient, "telecom", list);
        }
        for point in field.repetitions().filter_map(|(_, part)| xtn(part, usage)) {
            if !told.contains(&point) {
                told.push(point);
            }
        }
    }
    replace_alike(patient, "telecom", told, &["system", "use"]);
}

fn marital_status(patient: &mut Map<String, Value>, field: Field<'_>, warnings: &mut Vec<Irregularity>) {
    if field.is_null() {
        patient.shift_remove("maritalStatus");
    }
    let Some(code) = field.text() else { return };
    let concept = match table::lookup("0002", &code) {
        Some(target) => {
            Some(json!({"coding": [{"system": target.system, "code": target.code, "display": target.display}]}))
        }
        None => {
            warnings.push(Irregularity::at(Kind::UnknownCode, Location::field("PID", 16)));
            cwe(field.first(), "0002")
        }
    };
    if let Some(concept) = concept {
        patient.insert("maritalStatus".into(), concept);
    }
}

fn mothers_maiden_name(patient: &mut Map<String, Value>, field: Field<'_>) {
    if !field.is_valued() {
        return;
    }
    let mut list = taken(patient, "extension");
    list.retain(|extension| extension.get("url").and_then(Value::as_str) != Some(MOTHERS_MAIDEN_NAME));
    if let Some(name) = field.text() {
        list.push(json!({"url": MOTHERS_MAIDEN_NAME, "valueString": name}));
    }
    restore(patient, "extension", list);
}

/// PID-25 (birth order), else PID-24 (yes or no).
fn multiple_birth(patient: &mut Map<String, Value>, message: &Message) {
    let order = message.field("PID", 25).text().and_then(|text| text.parse::<u8>().ok());
    let told = order
        .map(|n| ("multipleBirthInteger", json!(n)))
        .or_else(|| Some(("multipleBirthBoolean", json!(yes_or_no(message.field("PID", 24))?))));
    if told.is_some() || message.field("PID", 24).is_null() || message.field("PID", 25).is_null() {
        patient.shift_remove("multipleBirthInteger");
        patient.shift_remove("multipleBirthBoolean");
    }
    if let Some((element, value)) = told {
        patient.insert(element.to_owned(), value);
    }
}

/// PID-29 (when), else PID-30 (whether). A known time of death is not reduced to a yes.
fn deceased(patient: &mut Map<String, Value>, message: &Message, settings: &Settings) -> Result<(), Irregularity> {
    let (when, whether) = (message.field("PID", 29), message.field("PID", 30));
    let known = patient.contains_key("deceasedDateTime") && !when.is_null();
    let told = match (when.text(), yes_or_no(whether)) {
        (Some(text), _) => {
            let moment = Dtm::parse(&text).ok_or(Irregularity::at(Kind::Date, Location::field("PID", 29)))?;
            Some(("deceasedDateTime", json!(moment.date_time(settings.offset))))
        }
        (None, Some(true)) if known => return Ok(()),
        (None, Some(dead)) => Some(("deceasedBoolean", json!(dead))),
        (None, None) => None,
    };
    if told.is_some() || when.is_null() || whether.is_null() {
        patient.shift_remove("deceasedDateTime");
        patient.shift_remove("deceasedBoolean");
    }
    if let Some((element, value)) = told {
        patient.insert(element.to_owned(), value);
    }
    Ok(())
}

fn yes_or_no(field: Field<'_>) -> Option<bool> {
    match field.text()?.as_str() {
        "Y" | "S" => Some(true),
        "N" => Some(false),
        _ => None,
    }
}

/// Puts `told` before the stored items, less those that are alike in `members`.
fn replace_alike(resource: &mut Map<String, Value>, element: &str, told: Vec<Value>, members: &[&str]) {
    if told.is_empty() {
        return;
    }
    let stored = taken(resource, element);
    let alike = |one: &Value, other: &Value| members.iter().all(|member| one.get(*member) == other.get(*member));
    let kept: Vec<Value> = stored.into_iter().filter(|item| !told.iter().any(|new| alike(new, item))).collect();
    restore(resource, element, told.into_iter().chain(kept).collect());
}

/// The list of an element, empty when there is none.
pub(super) fn taken(resource: &mut Map<String, Value>, element: &str) -> Vec<Value> {
    resource.get_mut(element).and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
}

/// Puts a list back, keeping the place of the element; an empty list is no element.
pub(super) fn restore(resource: &mut Map<String, Value>, element: &str, list: Vec<Value>) {
    if list.is_empty() {
        resource.shift_remove(element);
    } else {
        resource.insert(element.to_owned(), Value::Array(list));
    }
}
