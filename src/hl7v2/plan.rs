//! What a message changes: message + current state -> Patient and Encounter. Pure.
//!
//! ADT^A01, A03, A04, A08 (HL7 v2 chapter 3). The order of work for whoever holds the database:
//! [`accept`] -> [`identity`] -> load what is there -> [`plan`] -> write -> acknowledge. Ids are made by that caller:
//! a keyed hash of [`Identity::keys`] for a new Patient, of [`Identity::visit`] for a new Encounter.

use super::datatype::{Cx, cx};
use super::dtm::{Dtm, instant_of};
use super::irregular::{Irregularity, Kind, Location};
use super::message::{Field, Message};
pub(super) use super::patient::is_person;
use super::{patient, table, visit};
use crate::fhir::documento::{DocumentoId, Systems};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Versions of HL7 v2 that are read (table 0104).
pub const VERSIONS: [&str; 14] =
    ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1", "2.8.2", "2.9"];

/// When the source last said something about a resource (HL7's extensions pack, context Meta).
const LAST_SOURCE_SYNC: &str = "http://hl7.org/fhir/StructureDefinition/lastSourceSync";
/// Identifiers of one patient in one message: each may be a lock and a look-up.
const IDENTIFIERS: usize = 50;
/// No character of a message can be this one, so joined parts stay apart.
const JOINT: &str = "\u{1f}";

/// What a site says about its senders.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Accepted MSH-11: `P`, `T`, `D`.
    pub processing: Vec<String>,
    /// The zone of times that name none.
    pub offset: Offset,
    /// `identifier.system` of national documents.
    pub document_system: String,
    /// Identifier systems that stand for a type of document (`documento.systems`).
    pub systems: Systems,
    /// CX-4 names -> identifier systems.
    pub assigners: HashMap<String, String>,
    /// Whether XPN-1 holds two surnames; elsewhere the fifth part of FN is the partner's.
    pub two_surnames: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            processing: vec!["P".to_owned()],
            offset: Offset::constant(-5),
            document_system: "https://fhir.minsalud.gov.co/rda/NamingSystem/RNEC".to_owned(),
            systems: Systems::default(),
            assigners: HashMap::new(),
            two_surnames: true,
        }
    }
}

/// The trigger events that are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Admit,
    Discharge,
    Register,
    Update,
}

/// Who and which visit a message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The national document, when PID-3 has one that fits.
    pub documento: Option<DocumentoId>,
    /// Further documents and where they stand: none of them may be another patient's official one.
    pub others: Vec<(DocumentoId, Location)>,
    /// Every name the patient goes by, the strongest first (the document, then hospital numbers): what is hashed for a
    /// new record and what is locked. Never empty. Not for logs.
    pub keys: Vec<String>,
    /// The identifiers that can be searched by `system|value`. National documents of several types share one system.
    pub tokens: Vec<(String, String)>,
    /// The business key of the visit: PV1-19 with its assigner, else PV1-50.
    pub visit: Option<String>,
}

/// A stored resource and its version.
#[derive(Clone, Debug)]
pub struct Stored {
    pub resource: Value,
    pub version: i64,
}

/// What is there, and the ids of what is not.
#[derive(Clone, Debug)]
pub struct Current {
    pub patient: Option<Stored>,
    pub encounter: Option<Stored>,
    /// The id of the Patient when one is made: the record_id.
    pub patient_id: String,
    /// The id of the Encounter when one is made: `<record_id>.<26 characters>`.
    pub encounter_id: String,
    /// When the message was first received. An event cannot be later: one wrong clock would make all that follows old.
    pub received: Timestamp,
}

/// The place of a message in the order of events.
#[derive(Clone, Debug)]
struct Moment {
    instant: Timestamp,
    /// As FHIR dateTime, in the precision that was sent.
    text: String,
}

/// What happens to one resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Create { resource: Value },
    Update { resource: Value, version: i64 },
    None,
}

/// What happens, and what the sender should know all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub patient: Change,
    pub encounter: Change,
    pub warnings: Vec<Irregularity>,
}

impl Plan {
    /// The changes in the order in which they must be written: a visit refers to its patient.
    pub fn changes(self) -> [Change; 2] {
        [self.patient, self.encounter]
    }
}

impl Event {
    fn of(code: &str) -> Option<Self> {
        match code {
            "A01" => Some(Event::Admit),
            "A03" => Some(Event::Discharge),
            "A04" => Some(Event::Register),
            "A08" => Some(Event::Update),
            _ => None,
        }
    }
}

/// Whether the header asks for something that is done here; nothing else of the message is looked at.
pub fn accept(message: &Message, settings: &Settings) -> Result<Event, Irregularity> {
    let header = &message.header;
    for (number, longest) in [(3, 227), (4, 227), (10, 199)] {
        if header.raw(number).len() > longest {
            return Err(Irregularity::at(Kind::HeaderLength, Location::field("MSH", number)));
        }
    }
    let required: &[usize] = if dated(header.version()) { &[9, 10, 11, 12, 7] } else { &[9, 10, 11, 12] };
    for number in required.iter().copied() {
        if header.raw(number).trim_ascii().is_empty() {
            return Err(Irregularity::at(Kind::HeaderField, Location::field("MSH", number)));
        }
    }
    if !VERSIONS.contains(&header.version()) {
        return Err(Irregularity::at(Kind::Version, Location::field("MSH", 12)));
    }
    if !settings.processing.iter().any(|mode| mode == header.code(11, 1)) {
        return Err(Irregularity::at(Kind::Processing, Location::field("MSH", 11)));
    }
    if header.message_type() != "ADT" {
        return Err(Irregularity::at(Kind::MessageType, Location::field("MSH", 9).component(1, 1)));
    }
    // Before 2.3 the event may stand in EVN-1 alone.
    let told = header.event().to_owned();
    let event = if told.is_empty() { message.field("EVN", 1).text().unwrap_or_default() } else { told };
    Event::of(&event).ok_or(Irregularity::at(Kind::Event, Location::field("MSH", 9).component(1, 2)))
}

/// MSH-7 is required from version 2.4 on.
fn dated(version: &str) -> bool {
    !matches!(version, "2.1" | "2.2" | "2.3" | "2.3.1")
}

/// Who the message is about: PID-3, with PID-2 and PID-4 as further names.
pub fn identity(message: &Message, settings: &Settings) -> Result<Identity, Irregularity> {
    message.segment("PID").ok_or(Irregularity::at(Kind::Segment, Location::segment("PID")))?;
    let list = patient::identifiers(message, settings);
    if list.len() > IDENTIFIERS {
        return Err(Irregularity::at(Kind::TooLarge, Location::field("PID", 3)));
    }
    let mut documents = patient::documents(message, settings)?.into_iter();
    let documento = documents.next().map(|(documento, _)| documento);
    // The number of somebody who was not identified yet is no document of the person.
    let is_provisional =
        |other: &DocumentoId| other.parts().is_some_and(|(kind, _)| matches!(kind, "AS" | "MS" | "SI"));
    let is_other = |(other, _): &(DocumentoId, Location)| {
        !is_provisional(other) && documento.as_ref().is_some_and(|one| !one.is_same(other))
    };
    let others = documents.filter(is_other).collect();
    let mut found = Identity { documento, others, keys: Vec::new(), tokens: Vec::new(), visit: None };
    for cx in list.iter().filter(|cx| cx.documento.is_some()) {
        if let Some(documento) = &cx.documento {
            // Every spelling of one number is one lock.
            let (kind, number) = documento.parts().unwrap_or_default();
            let bare = documento.spellings().into_iter().min_by_key(String::len);
            let spelled = [Some(documento.as_str().to_owned()), bare.map(|bare| format!("{kind}-{bare}"))];
            for key in spelled.iter().flatten().map(|text| ["documento", text].join(JOINT)) {
                if !found.keys.contains(&key) {
                    found.keys.push(key);
                }
            }
            found.tokens.push((settings.document_system.clone(), number.to_owned()));
        }
    }
    for cx in list.iter().filter(|cx| cx.documento.is_none() && tells_apart(&cx.kind)) {
        found.keys.push(["identifier", &scope(message, cx), &cx.value].join(JOINT));
        found.tokens.extend(cx.system.clone().map(|system| (system, cx.value.clone())));
    }
    if found.keys.is_empty() {
        return Err(Irregularity::at(Kind::Identity, Location::field("PID", 3)));
    }
    let visit = visit_numbers(message, settings).into_iter().next();
    found.visit = visit.map(|cx| ["visit", &scope(message, &cx), &cx.value].join(JOINT));
    Ok(found)
}

/// Account, visit, licence numbers and the like name something else than the patient.
fn tells_apart(kind: &str) -> bool {
    kind.is_empty() || kind.starts_with("NN") || table::lists("identity", kind)
}

/// Within what a number is one number: its system, else its assigner's name within the sending facility.
fn scope(message: &Message, cx: &Cx) -> String {
    match &cx.system {
        Some(system) => system.clone(),
        None => {
            let facility = message.field("MSH", 4).text().unwrap_or_default();
            [facility.as_str(), cx.assigner.as_deref().unwrap_or_default()].join(JOINT)
        }
    }
}

/// PV1-19, then PV1-50.
pub(super) fn visit_numbers(message: &Message, settings: &Settings) -> Vec<Cx> {
    let fields: [Field<'_>; 2] = [message.field("PV1", 19), message.field("PV1", 50)];
    let parts = fields.iter().flat_map(Field::repetitions).map(|(_, part)| part);
    parts.filter_map(|part| cx(part, settings)).collect()
}

/// The changes that a message makes to what is there.
pub fn plan(message: &Message, current: &Current, settings: &Settings) -> Result<Plan, Irregularity> {
    let event = accept(message, settings)?;
    let identity = identity(message, settings)?;
    let moment = event_time(message, current.received, settings)?;
    let mut warnings = Vec::new();
    let patient = plan_patient(message, current, settings, moment.as_ref(), &mut warnings)?;
    let encounter = match (&identity.visit, event) {
        // An update of the person alone.
        (None, Event::Update) => Change::None,
        (None, _) if message.segment("PV1").is_none() => {
            return Err(Irregularity::at(Kind::Segment, Location::segment("PV1")));
        }
        (None, _) => return Err(Irregularity::at(Kind::Field, Location::field("PV1", 19))),
        (Some(_), _) => plan_visit(message, event, current, settings, moment.as_ref(), &mut warnings)?,
    };
    Ok(Plan { patient, encounter, warnings })
}

/// When it was recorded: EVN-2, else MSH-7; at the latest when it was received.
fn event_time(message: &Message, received: Timestamp, settings: &Settings) -> Result<Option<Moment>, Irregularity> {
    for (segment, number) in [("EVN", 2), ("MSH", 7)] {
        let Some(text) = message.field(segment, number).text() else { continue };
        let told = Dtm::parse(&text).ok_or(Irregularity::at(Kind::Date, Location::field(segment, number)))?;
        let past = told.instant(settings.offset).filter(|instant| *instant <= received);
        return Ok(Some(match past {
            Some(instant) => Moment { instant, text: told.date_time(settings.offset) },
            None => Moment { instant: received, text: received.to_string() },
        }));
    }
    Ok(None)
}

fn plan_patient(
    message: &Message,
    current: &Current,
    settings: &Settings,
    moment: Option<&Moment>,
    warnings: &mut Vec<Irregularity>,
) -> Result<Change, Irregularity> {
    let Some(stored) = &current.patient else {
        let mut resource = json!({"resourceType": "Patient", "id": current.patient_id, "active": true});
        patient::apply(message, settings, &mut resource, true, current.received, warnings)?;
        synchronised(&mut resource, moment);
        return Ok(Change::Create { resource });
    };
    if older(&stored.resource, moment, settings) {
        warnings.push(Irregularity::at(Kind::OlderEvent, Location::segment("PID")));
        return Ok(Change::None);
    }
    if patient::another_person(message, settings, &stored.resource) {
        return Err(Irregularity::at(Kind::OtherPerson, Location::segment("PID")));
    }
    let mut resource = stored.resource.clone();
    patient::apply(message, settings, &mut resource, false, current.received, warnings)?;
    synchronised(&mut resource, moment);
    Ok(update(stored, resource))
}

fn plan_visit(
    message: &Message,
    event: Event,
    current: &Current,
    settings: &Settings,
    moment: Option<&Moment>,
    warnings: &mut Vec<Irregularity>,
) -> Result<Change, Irregularity> {
    let patient_id =
        current.patient.as_ref().and_then(|stored| stored.resource.get("id")?.as_str()).unwrap_or(&current.patient_id);
    let subject = format!("Patient/{patient_id}");
    let Some(stored) = &current.encounter else {
        if event == Event::Update {
            warnings.push(Irregularity::at(Kind::UnknownVisit, Location::field("PV1", 19)));
            return Ok(Change::None);
        }
        let mut resource = visit::open(message, event, &current.encounter_id, &subject, settings, warnings)?;
        ahead(&resource, current.received, settings, warnings);
        synchronised(&mut resource, moment);
        return Ok(Change::Create { resource });
    };
    let reference = stored.resource.get("subject").and_then(|subject| subject.get("reference")?.as_str());
    if reference.is_some_and(|reference| reference != subject) {
        return Err(Irregularity::at(Kind::VisitOfAnother, Location::field("PV1", 19)));
    }
    let mut resource = stored.resource.clone();
    if older(&stored.resource, moment, settings) {
        warnings.push(Irregularity::at(Kind::OlderEvent, Location::segment("PV1")));
        visit::complete(message, event, &mut resource, settings)?;
        return Ok(update(stored, resource));
    }
    match visit::advance(message, event, &mut resource, settings, warnings)? {
        visit::Step::Done => {
            ahead(&resource, current.received, settings, warnings);
            synchronised(&mut resource, moment);
        }
        visit::Step::Repeated => return Ok(Change::None),
    }
    Ok(update(stored, resource))
}

/// A visit that begins more than a day after its message was received is said.
fn ahead(visit: &Value, received: Timestamp, settings: &Settings, warnings: &mut Vec<Irregularity>) {
    let start = visit.get("period").and_then(|period| instant_of(period.get("start")?.as_str()?, settings.offset));
    let limit = received.saturating_add(SignedDuration::from_hours(24)).unwrap_or(received);
    if start.is_some_and(|start| start > limit) {
        warnings.push(Irregularity::at(Kind::VisitFuture, Location::field("PV1", 44)));
    }
}

fn update(stored: &Stored, resource: Value) -> Change {
    if stored.resource == resource { Change::None } else { Change::Update { resource, version: stored.version } }
}

/// Whether the source has said something later about this resource.
fn older(resource: &Value, moment: Option<&Moment>, settings: &Settings) -> bool {
    let last = last_sync(resource, settings);
    matches!((last, moment), (Some(last), Some(moment)) if moment.instant < last)
}

fn last_sync(resource: &Value, settings: &Settings) -> Option<Timestamp> {
    let extensions = resource.get("meta")?.get("extension")?.as_array()?;
    let sync = extensions.iter().find(|extension| is_sync(extension))?;
    instant_of(sync.get("valueDateTime")?.as_str()?, settings.offset)
}

fn is_sync(extension: &Value) -> bool {
    extension.get("url").and_then(Value::as_str) == Some(LAST_SOURCE_SYNC)
}

/// Writes down when the source spoke.
fn synchronised(resource: &mut Value, moment: Option<&Moment>) {
    let (Some(moment), Some(resource)) = (moment, resource.as_object_mut()) else { return };
    let sync = json!({"url": LAST_SOURCE_SYNC, "valueDateTime": moment.text});
    let meta = resource.entry("meta").or_insert_with(|| json!({}));
    let Some(meta) = meta.as_object_mut() else { return };
    let extensions = meta.entry("extension").or_insert_with(|| json!([]));
    let Some(extensions) = extensions.as_array_mut() else { return };
    match extensions.iter_mut().find(|extension| is_sync(extension)) {
        Some(known) => *known = sync,
        None => extensions.push(sync),
    }
}

#[cfg(test)]
mod tests;
