//! One message, from its bytes to its acknowledgement: receipt, lock, current state, plan, writes, audit, ACK - one commit.
//!
//! Exactly once in effect: the key of a message is the configured sender, MSH-3, MSH-4 and MSH-10. The same bytes again
//! get the stored acknowledgement, byte for byte, and change nothing. Other bytes under a key that was used are kept,
//! answered AE 205 and never applied. A transient failure stores no acknowledgement, so that a resend is a first try.

use super::ack::Ack;
use super::charset::Charset;
use super::header::Header;
use super::irregular::{Irregularity, Kind};
use super::message::Message;
use super::plan::{self, Change, Current, Identity, Plan, Settings};
use crate::access::{self, Access, Action, Caller};
use crate::app::App;
use crate::audit::{Event, Outcome};
use crate::clock;
use crate::error::{Error, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::documento::DocumentoId;
use crate::fhir::format::{Limits, parse_json};
use crate::interaction::Unit;
use crate::store::message::{Key, Message as Kept};
use crate::store::placement::{NOBODY, Record};
use crate::store::resource::Stored;
use crate::store::write::NewRecord;
use crate::store::{self};
use crate::telemetry::metric;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A unit that lost a race is done again; the locks let few happen.
const ATTEMPTS: usize = 5;
/// Patients with one number that are looked at: a number stands for few people, of several types of document.
const NAMESAKES: u32 = 20;
/// A record id that is taken by another identity takes the next one.
const CLASHES: u8 = 8;

/// Who sends: as configured, not by socket or instance.
#[derive(Clone, Debug)]
pub struct Sender {
    pub name: String,
    pub charset: Charset,
}

/// A message in work.
struct Incoming<'m> {
    app: &'m Arc<App>,
    caller: &'m Caller,
    settings: &'m Settings,
    sender: &'m Sender,
    raw: &'m [u8],
    hash: Vec<u8>,
    header: &'m Header,
    key: Key,
}

/// What became of a message.
struct Done {
    ack: Vec<u8>,
    code: &'static str,
}

/// Receives one message. `None`: there is no MSH, so nobody to answer; or it was itself an acknowledgement.
/// An error is a transient failure: the message was not stored, and the answer to it is not kept.
pub async fn receive(
    app: &Arc<App>,
    caller: &Caller,
    settings: &Settings,
    sender: &Sender,
    raw: &[u8],
) -> Option<Vec<u8>> {
    let header = Header::read(raw)?;
    let [sending_application, sending_facility, control_id] = header.key(sender.charset);
    let key = Key { sender: sender.name.clone(), sending_application, sending_facility, control_id };
    let incoming =
        Incoming { app, caller, settings, sender, raw, hash: Sha256::digest(raw).to_vec(), header: &header, key };
    for attempt in 0..ATTEMPTS {
        match incoming.once().await {
            Ok(done) => {
                failpoint(app);
                let done = done?;
                metrics::counter!(metric::HL7_MESSAGES, "code" => done.code).increment(1);
                return Some(done.ack);
            }
            Err(error) if store::is_race(&error) && attempt + 1 < ATTEMPTS => {}
            Err(error) => {
                let source = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
                tracing::error!(sender = %sender.name, request_id = %caller.request_id, error = %source, "a message was not stored: {error}");
                metrics::counter!(metric::HL7_MESSAGES, "code" => "transient").increment(1);
                return incoming.answer(&[Irregularity::of(&error)]).map(|answer| answer.ack);
            }
        }
    }
    incoming.answer(&[Irregularity::new(Kind::Locked)]).map(|answer| answer.ack)
}

/// Between the commit and the acknowledgement: a test build can be told to die here.
fn failpoint(app: &App) {
    if app.config.failpoint.as_deref() == Some("hl7v2-committed") {
        std::process::abort();
    }
}

impl Incoming<'_> {
    fn answer(&self, found: &[Irregularity]) -> Option<Done> {
        let ack = Ack {
            header: self.header,
            charset: self.sender.charset,
            control_id: &clock::tail(),
            sent: clock::now(),
            offset: self.settings.offset,
        };
        ack.answer(found).map(|answer| Done { ack: answer.bytes, code: answer.code })
    }

    /// One try: everything in one transaction, or nothing.
    async fn once(&self) -> Result<Option<Done>> {
        let mut unit = Unit::begin(self.app, self.caller);
        unit.lock_what_is_read();
        // Without a control id there is nothing to know a resend by: each is refused and kept.
        if !self.key.control_id.is_empty() {
            let conn = unit.transaction().await?;
            if let Some(receipt) = store::message::receipt(conn, &self.key).await? {
                if receipt.hash != self.hash {
                    return self
                        .keep(unit, NOBODY, None, "conflict", &[Irregularity::new(Kind::ControlIdReused)])
                        .await;
                }
                unit.note(self.event(NOBODY, None, Outcome::Success, "repeated"));
                unit.commit().await?;
                let code = if receipt.ack.windows(8).any(|w| w.starts_with(b"\rMSA") && w.ends_with(b"AA")) {
                    "AA"
                } else {
                    "AE"
                };
                return Ok(Some(Done { ack: receipt.ack, code }));
            }
        }
        let (unit, outcome) = self.apply(unit).await;
        match outcome {
            Ok((documento_id, patient, warnings)) => {
                self.keep(unit, &documento_id, Some(&patient), "applied", &warnings).await
            }
            Err(failure) => {
                unit.abandon().await;
                match failure {
                    Failure::Irregular(found) => self.refuse(found).await,
                    Failure::Fault(error) if error.is_transient() || error.kind == crate::error::Kind::Exception => {
                        Err(error)
                    }
                    Failure::Fault(error) => self.refuse(Irregularity::of(&error)).await,
                }
            }
        }
    }

    /// What is wrong for good is kept and answered, in a unit of its own: nothing of the message is applied.
    async fn refuse(&self, found: Irregularity) -> Result<Option<Done>> {
        let unit = Unit::begin(self.app, self.caller);
        let state = match found.kind.effect() {
            super::irregular::Effect::Reject => "rejected",
            _ => "error",
        };
        self.keep(unit, NOBODY, None, state, &[found]).await
    }

    /// Keeps message, receipt, audit record and acknowledgement with what the unit writes, and commits.
    async fn keep(
        &self,
        mut unit: Unit<'_>,
        documento_id: &str,
        patient: Option<&str>,
        state: &'static str,
        found: &[Irregularity],
    ) -> Result<Option<Done>> {
        let Some(done) = self.answer(found) else { return Ok(None) };
        let worst = found.iter().max_by_key(|i| i.kind.effect()).map(|i| i.kind.code().to_string());
        let event = format!("{}^{}", self.header.message_type(), self.header.event());
        let kept = Kept {
            documento_id,
            received: clock::now(),
            id: clock::uuid(),
            key: &self.key,
            event: &event,
            state,
            code: worst.as_deref(),
            hash: &self.hash,
            raw: self.raw,
            ack: &done.ack,
        };
        let conn = unit.transaction().await?;
        if state != "conflict" && !self.key.control_id.is_empty() && !store::message::add_receipt(conn, &kept).await? {
            // The same message is being answered on another connection: try again, and find its receipt.
            return Err(store::race());
        }
        store::message::add(conn, &kept).await?;
        let outcome = if state == "applied" { Outcome::Success } else { Outcome::Minor };
        unit.note(self.event(documento_id, patient, outcome, state));
        unit.commit().await?;
        Ok(Some(done))
    }

    fn event(&self, documento_id: &str, patient: Option<&str>, outcome: Outcome, what: &str) -> Event {
        let detail = format!("{}^{} {what}", self.header.message_type(), self.header.event());
        Event::new(self.caller, "message").record(documento_id, patient).ended(outcome, detail)
    }

    /// Writes what the message says into the unit. Gives the unit back, because what it did may have to be thrown away.
    async fn apply<'u>(
        &self,
        mut unit: Unit<'u>,
    ) -> (Unit<'u>, std::result::Result<(String, String, Vec<Irregularity>), Failure>) {
        let result = self.write(&mut unit).await;
        (unit, result)
    }

    async fn write(&self, unit: &mut Unit<'_>) -> std::result::Result<(String, String, Vec<Irregularity>), Failure> {
        let message = Message::parse(self.raw, self.sender.charset)?;
        plan::accept(&message, self.settings)?;
        let identity = plan::identity(&message, self.settings)?;
        let rights = Rights::of(self.caller)?;
        self.lock(unit, &identity).await?;
        let patient = self.patient(unit, &rights, &identity).await?;
        let patient = self.nothing_of_another(unit, &rights, &message, &identity, patient).await?;
        let record = self.record(unit, &identity, patient.as_ref()).await?;
        let encounter_id = match &identity.visit {
            Some(visit) => format!(
                "{}.{}",
                record.record.record_id,
                self.hashed(&["encounter", &record.record.patient_id, visit], 26)
            ),
            None => String::new(),
        };
        let encounter = match encounter_id.is_empty() {
            true => None,
            false => unit.current(&rights.encounter, &encounter_id).await?,
        };
        let current = Current {
            patient: patient.as_ref().map(planned).transpose()?,
            encounter: encounter.as_ref().filter(|e| !e.deleted).map(planned).transpose()?,
            patient_id: record.record.patient_id.clone(),
            encounter_id,
            received: clock::now(),
        };
        let Plan { patient: patient_change, encounter: visit_change, warnings } =
            plan::plan(&message, &current, self.settings)?;
        if let (true, Some(new)) = (matches!(patient_change, Change::Create { .. }), record.new) {
            unit.open(new)?;
        }
        let documento_id = record.record.documento_id.clone();
        apply_change(unit, &rights.patient, patient_change, &documento_id, None).await?;
        apply_change(unit, &rights.encounter, visit_change, &documento_id, encounter.as_ref().filter(|e| e.deleted))
            .await?;
        Ok((documento_id, record.record.patient_id.clone(), warnings))
    }

    /// Messages of one patient are applied one at a time: each name that the patient goes by is locked, in one order.
    async fn lock(&self, unit: &mut Unit<'_>, identity: &Identity) -> Result<()> {
        let lock = |key: &String| {
            i64::from_be_bytes(
                self.app.hasher.signature(&[b"hl7v2", key.as_bytes()]).first_chunk::<8>().copied().unwrap_or_default(),
            )
        };
        let mut keys: Vec<i64> = identity.keys.iter().map(lock).collect();
        let conn = unit.transaction().await?;
        store::search::advisory_locks(conn, &mut keys).await
    }

    /// The one active Patient with the identity; several are for people to decide.
    async fn patient(
        &self,
        unit: &mut Unit<'_>,
        rights: &Rights,
        identity: &Identity,
    ) -> std::result::Result<Option<Stored>, Failure> {
        if unit.is_degraded() {
            return self.patient_in_part(unit, rights, identity).await;
        }
        let mut by_document = Vec::new();
        let mut others: Vec<Stored> = Vec::new();
        if let Some(numbers) = identity.documento.as_ref().map(DocumentoId::spellings) {
            // Whatever system the document was registered under elsewhere: the type and the number make it the same.
            for one in unit.patients_by_identifier(&rights.patient, None, &numbers, NAMESAKES, None).await? {
                if self.fit(&one, identity)? == Fit::Same {
                    by_document.push(one);
                }
            }
        }
        if by_document.is_empty() {
            for (system, value) in &identity.tokens {
                let value = std::slice::from_ref(value);
                for one in unit.patients_by_identifier(&rights.patient, Some(system), value, NAMESAKES, None).await? {
                    // Another document: another person, whatever the hospital number says.
                    let fits = self.fit(&one, identity)? == Fit::Unknown || identity.documento.is_none();
                    if fits && !others.iter().any(|other| other.id == one.id) {
                        others.push(one);
                    }
                }
            }
            others.retain(|one| self.is_active(one));
        }
        by_document.retain(|one| self.is_active(one));
        self.owners_first(&mut by_document, identity);
        let mut candidates = if by_document.is_empty() { others } else { by_document };
        match candidates.len() {
            0 => self.patient_of_record(unit, rights, identity).await,
            1 => Ok(candidates.pop()),
            _ => Err(Failure::Irregular(Irregularity::new(Kind::SeveralPatients))),
        }
    }

    /// While a node of the cluster is lost: who is found without it, where the document leads or an earlier message did.
    /// Who is not found may lie on the lost node, so nobody is made: the message is to be sent again.
    async fn patient_in_part(
        &self,
        unit: &mut Unit<'_>,
        rights: &Rights,
        identity: &Identity,
    ) -> std::result::Result<Option<Stored>, Failure> {
        let mut found = Vec::new();
        if let Some(documento) = &identity.documento {
            let (place, numbers) = (Some(documento.as_str()), documento.spellings());
            for one in unit.patients_by_identifier(&rights.patient, None, &numbers, NAMESAKES, place).await? {
                if self.fit(&one, identity)? == Fit::Same && self.is_active(&one) {
                    found.push(one);
                }
            }
        }
        if found.is_empty() {
            found.extend(self.patient_of_record(unit, rights, identity).await?.filter(|one| self.is_active(one)));
        }
        match found.len() {
            0 => Err(Failure::Fault(Error::new(crate::error::Kind::Transient, "a node of the database is lost"))),
            1 => Ok(found.pop()),
            _ => Err(Failure::Irregular(Irregularity::new(Kind::SeveralPatients))),
        }
    }

    /// Of several with a document those are left whose official one it is, then those who write it so: somebody else may
    /// have it as a former or a second one.
    fn owners_first(&self, candidates: &mut Vec<Stored>, identity: &Identity) {
        let Some(documento) = &identity.documento else { return };
        let owned =
            |one: &Stored, fits: &dyn Fn(&DocumentoId) -> bool| self.official(one).is_some_and(|own| fits(&own));
        let stages: [&dyn Fn(&DocumentoId) -> bool; 2] = [&|own| own.is_same(documento), &|own| own == documento];
        for fits in stages {
            if candidates.len() > 1 && candidates.iter().any(|one| owned(one, fits)) {
                candidates.retain(|one| owned(one, fits));
            }
        }
    }

    fn official(&self, patient: &Stored) -> Option<DocumentoId> {
        let value = parse_json(&patient.body, &Limits::default()).ok()?;
        DocumentoId::of_patient(&value, &self.settings.systems)
    }

    /// A further document of the message must be nobody else's official one. When nobody has the first one, and the person
    /// of the further one is called so and was born then, it is this person, with a new document.
    async fn nothing_of_another(
        &self,
        unit: &mut Unit<'_>,
        rights: &Rights,
        message: &Message,
        identity: &Identity,
        patient: Option<Stored>,
    ) -> std::result::Result<Option<Stored>, Failure> {
        let numbers: Vec<String> = identity.others.iter().flat_map(|(other, _)| other.spellings()).collect();
        if numbers.is_empty() {
            return Ok(patient);
        }
        let mut found = patient;
        for one in unit.patients_by_identifier(&rights.patient, None, &numbers, NAMESAKES, None).await? {
            let Some(own) = self.official(&one).filter(|_| self.is_active(&one)) else { continue };
            let Some((_, at)) = identity.others.iter().find(|(other, _)| other.is_same(&own)) else { continue };
            let is_found = found.as_ref().is_some_and(|known| known.id == one.id);
            if is_found && self.fit(&one, identity)? == Fit::Same {
                continue;
            }
            // Somebody else was found by the first document; or this one, by the further one only.
            let value = parse_json(&one.body, &Limits::default())?;
            if (found.is_some() && !is_found) || !plan::is_person(message, self.settings, &value) {
                return Err(Failure::Irregular(Irregularity::at(Kind::DocumentOfAnother, *at)));
            }
            found = Some(one);
        }
        Ok(found)
    }

    fn is_active(&self, patient: &Stored) -> bool {
        parse_json(&patient.body, &Limits::default())
            .is_ok_and(|value| value.get("active").and_then(Value::as_bool) != Some(false))
    }

    fn fit(&self, patient: &Stored, identity: &Identity) -> Result<Fit> {
        let value = parse_json(&patient.body, &Limits::default())?;
        let identifiers = value.get("identifier").and_then(Value::as_array).into_iter().flatten();
        let documents: Vec<DocumentoId> =
            identifiers.filter_map(|i| DocumentoId::of_identifier(i, &self.settings.systems)).collect();
        let same = identity.documento.as_ref().is_some_and(|one| documents.iter().any(|known| known.is_same(one)));
        Ok(match (documents.is_empty(), same) {
            (true, _) => Fit::Unknown,
            (false, true) => Fit::Same,
            (false, false) => Fit::Other,
        })
    }

    /// The Patient of a record that HL7 v2 opened before, for identities whose identifiers are not searchable.
    async fn patient_of_record(
        &self,
        unit: &mut Unit<'_>,
        rights: &Rights,
        identity: &Identity,
    ) -> std::result::Result<Option<Stored>, Failure> {
        let Some(record) = self.opened_record(unit, identity).await? else { return Ok(None) };
        let stored = unit.current(&rights.patient, &record.patient_id).await?;
        Ok(stored.filter(|stored| !stored.deleted))
    }

    async fn opened_record(&self, unit: &mut Unit<'_>, identity: &Identity) -> Result<Option<Record>> {
        let app = self.app;
        for key in &identity.keys {
            let hash = self.identity_hash(key);
            let conn = unit.transaction().await?;
            if let Some(record) = app.placement.record_of_identity(conn, &hash).await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The record of the patient, or the one that is opened with it.
    async fn record(&self, unit: &mut Unit<'_>, identity: &Identity, patient: Option<&Stored>) -> Result<Opened> {
        if let Some(patient) = patient {
            unit.know(&[&patient.id]).await?;
            let record = unit.known_record(&patient.id).ok_or_else(|| Error::internal("a Patient without a record"))?;
            return Ok(Opened { record, new: None });
        }
        // A record whose Patient was deleted keeps its identity: the new one is opened without.
        let free = self.opened_record(unit, identity).await?.is_none();
        let strongest = identity.keys.first().map(String::as_str).unwrap_or_default();
        for clash in 0..CLASHES {
            let record_id = match free {
                true => self.hashed(&["record", strongest, &clash.to_string()], 10),
                false => clock::record_id()?,
            };
            unit.know(&[&record_id]).await?;
            if unit.known_record(&record_id).is_some() {
                continue;
            }
            let documento = identity.documento.clone().unwrap_or_else(|| DocumentoId::of_record(&record_id));
            let new = NewRecord {
                record_id: record_id.clone(),
                documento_id: documento.as_str().to_owned(),
                patient_id: record_id.clone(),
                identity: free.then(|| self.identity_hash(strongest)),
            };
            let record = Arc::new(Record {
                record_id: record_id.clone(),
                documento_id: new.documento_id.clone(),
                patient_id: record_id,
            });
            return Ok(Opened { record, new: Some(new) });
        }
        Err(store::race())
    }

    fn identity_hash(&self, key: &str) -> Vec<u8> {
        self.app.hasher.signature(&[b"identity", key.as_bytes()]).to_vec()
    }

    /// A keyed hash as base32, so that ids tell nothing of what they were made from.
    fn hashed(&self, parts: &[&str], length: usize) -> String {
        let bytes: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        clock::base32(&self.app.hasher.signature(&bytes), length)
    }
}

/// A record, and what opens it when it is not there yet.
struct Opened {
    record: Arc<Record>,
    new: Option<NewRecord>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Same,
    Other,
    Unknown,
}

/// Why a message was not applied.
enum Failure {
    Irregular(Irregularity),
    Fault(Error),
}

impl From<Irregularity> for Failure {
    fn from(found: Irregularity) -> Self {
        Failure::Irregular(found)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Fault(error)
    }
}

/// What the sender may do.
struct Rights {
    patient: Access,
    encounter: Access,
}

impl Rights {
    fn of(caller: &Caller) -> std::result::Result<Rights, Failure> {
        let of = |name: &str| {
            let resource_type = ResourceType::parse(name).ok_or_else(|| Error::internal("a type is missing"))?;
            access::authorize(caller, Action::Create, resource_type)?;
            access::authorize(caller, Action::Update, resource_type)
        };
        Ok(Rights { patient: of("Patient")?, encounter: of("Encounter")? })
    }
}

fn planned(stored: &Stored) -> Result<plan::Stored> {
    Ok(plan::Stored { resource: parse_json(&stored.body, &Limits::default())?, version: stored.version })
}

/// `buried`: the tombstone of a resource that is made again.
async fn apply_change(
    unit: &mut Unit<'_>,
    access: &Access,
    change: Change,
    documento_id: &str,
    buried: Option<&Stored>,
) -> Result<()> {
    match change {
        Change::None => Ok(()),
        Change::Create { resource } => unit.make(access, resource, documento_id, buried).await.map(drop),
        Change::Update { resource, .. } => unit.replace(access, resource).await.map(drop),
    }
}
