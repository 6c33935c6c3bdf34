//! A stay at the desk: admission, transfer, discharge, cancellation. Each change names the version that it
//! was made from; when somebody else was first, the form is shown again beside what is stored by then.

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::view::admission;
use crate::view::admission::insurer;
use crate::view::bed::{self, Taken};
use crate::view::contact;
use crate::view::encounter::{self, Class, DISPOSITIONS, Typed};
use crate::view::municipality;
use crate::view::page::{Badge, Link, Message, Page, Tone};
use crate::view::patient::{self, Banner, named};
use crate::view::record::words::joined;
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::visit::{Reply, SURE, Visit, encoded};
use serde::Serialize;
use serde_json::Value;

const LONGEST: usize = 120;

// ------------------------------------------------------------------ what a stay says

#[derive(Serialize)]
pub struct Fact {
    term: &'static str,
    text: String,
}

#[derive(Serialize)]
pub(super) struct Stay {
    place: String,
    class: &'static str,
    reason: Option<String>,
    start: String,
    end: Option<String>,
    /// Where the patient went.
    destination: Option<String>,
    state: Badge,
    hl7: Option<Badge>,
    places: Vec<Where>,
    acts: Vec<Act>,
}

#[derive(Serialize)]
struct Where {
    text: String,
    since: Option<String>,
    now: bool,
}

#[derive(Serialize)]
struct Act {
    link: Link,
    danger: bool,
}

pub(super) fn address(patient: &str) -> String {
    format!("/admision/paciente/{}", encoded(patient))
}

pub(super) fn of(encounter: &Value, what: &str) -> String {
    format!("/admision/encuentro/{}/{what}", encoded(encounter::id(encounter)))
}

pub fn facts(visit: &Visit, patient: &Value, cover: Option<&Value>) -> Vec<Fact> {
    let reader = &visit.reader;
    let mut facts = Vec::new();
    let mut put = |key: &str, text: Option<String>| {
        facts.push(Fact {
            term: reader.text(key),
            text: text.filter(|text| !text.is_empty()).unwrap_or_else(|| reader.text("admission.unknown").to_owned()),
        });
    };
    let first = |list: &str, member: &str| {
        let items = patient.get(list).and_then(Value::as_array).into_iter().flatten();
        items
            .filter_map(|item| item.get(member))
            .find_map(|value| value.as_str().or_else(|| value.get(0)?.as_str()))
            .map(str::to_owned)
    };
    put("admission.document", patient::document(visit, patient));
    put("admission.birth", patient.get("birthDate").and_then(Value::as_str).map(|date| reader.fhir(date)));
    put("admission.sex", patient::sex(reader, patient).map(str::to_owned));
    let district = first("address", "district").unwrap_or_default();
    let known = municipality::find(&district).map(municipality::Municipality::label);
    put("admission.municipality", known.or_else(|| admission::municipality(patient).map(str::to_owned)));
    put("admission.street", first("address", "line"));
    put("admission.phone", first("telecom", "value"));
    let kind = cover
        .and_then(|cover| cover.get("type"))
        .and_then(encounter::concept)
        .map(|kind| format!(" · {kind}"))
        .unwrap_or_default();
    let contact = contact::stored(patient.get("contact").and_then(|all| all.get(0)));
    put("register_patient.contact_person", Some(joined(contact, " · ")));
    put("admission.insurer", cover.and_then(insurer).map(|name| format!("{name}{kind}")));
    facts
}

pub(super) fn stay(visit: &Visit, one: &Value) -> Stay {
    let reader = &visit.reader;
    let moment = |text: &str| (!text.is_empty()).then(|| reader.fhir(text));
    let places = encounter::places(one);
    let act = |what: &str, key: &str, danger: bool| Act { link: Link::new(of(one, what), reader.text(key)), danger };
    let acts = match encounter::status(one) {
        "planned" => vec![act("ingresar", "admission.admit", false), act("cancelar", "admission.cancel", true)],
        _ if encounter::is_open(one) => vec![
            act("trasladar", "admission.transfer", false),
            act("egresar", "admission.discharge", false),
            act("cancelar", "admission.cancel", true),
        ],
        _ => Vec::new(),
    };
    Stay {
        place: encounter::place(reader, one),
        class: reader.text(Class::of(one).label()),
        reason: encounter::reason(one).map(str::to_owned),
        start: moment(encounter::start(one)).unwrap_or_else(|| reader.text("admission.unknown").to_owned()),
        end: moment(encounter::end(one)),
        destination: encounter::destination(one).map(str::to_owned),
        state: encounter::badge(reader, one),
        hl7: encounter::is_from_hl7(one).then(|| Badge::new("origin", Some("arrive"), "HL7")),
        places: places
            .iter()
            .map(|place| Where { text: place.display.to_owned(), since: moment(place.start), now: place.active })
            .collect(),
        acts,
    }
}

// ------------------------------------------------------------------ the forms

/// What a form does with an Encounter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// An expected one arrives.
    Receive,
    Transfer,
    Discharge,
    Cancel,
}

impl Change {
    /// Title, text of the button, what is said when it is done.
    fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Change::Receive => ("admission.admit_title", "admission.admit_save", "said.admitted"),
            Change::Transfer => ("admission.transfer_title", "admission.transfer_save", "said.transferred"),
            Change::Discharge => ("admission.discharge_title", "admission.discharge_save", "said.discharged"),
            Change::Cancel => ("admission.cancel_title", "admission.cancel_save", "said.cancelled"),
        }
    }

    fn fits(self, encounter: &Value) -> bool {
        let planned = encounter::status(encounter) == "planned";
        match self {
            Change::Receive => planned,
            Change::Cancel => planned || encounter::is_open(encounter),
            Change::Transfer | Change::Discharge => encounter::is_open(encounter),
        }
    }
}

#[derive(Serialize)]
struct FormModel {
    page: Page,
    action: String,
    title: &'static str,
    save: &'static str,
    danger: bool,
    /// Of the stored Encounter; none for a new one.
    version: Option<String>,
    stored: Option<Stay>,
    stored_title: &'static str,
    /// What is stored goes before the form: somebody has changed it.
    first: bool,
    order: Vec<crate::view::sheet::Field>,
    notes: Vec<&'static str>,
    /// What was asked, when one may go on, and the text of the button for that: the stay that has the bed, a death.
    sure: Option<String>,
    sure_label: &'static str,
    back: String,
}

/// The fields of a form in their order.
fn fields(visit: &Visit, sheet: &mut Sheet<'_>, change: Change, stored: Option<&Value>) -> Vec<&'static str> {
    let text = |found: Option<&str>| found.unwrap_or("").to_owned();
    let (service, bed) =
        (text(stored.and_then(encounter::service)), stored.and_then(encounter::bed).unwrap_or_default());
    match change {
        Change::Receive => {
            let options: Vec<(&str, &str)> =
                Class::ALL.iter().map(|class| (class.code(), visit.text(class.label()))).collect();
            let class = stored.map_or("", |stored| Class::of(stored).code());
            sheet.segments("clase", "admission.class", class, &options);
            sheet
                .line("servicio", "admission.service", &service)
                .hint(visit.text("admission.service_hint"))
                .longest(LONGEST);
            sheet.line("cama", "admission.bed", &bed).optional().longest(40);
            sheet.line("motivo", "admission.reason", &text(stored.and_then(encounter::reason))).longest(LONGEST);
            vec!["clase", "servicio", "cama", "motivo"]
        }
        Change::Transfer => {
            sheet.line("servicio", "admission.service_to", &service).longest(LONGEST);
            sheet.line("cama", "admission.bed_to", "").longest(40);
            vec!["servicio", "cama"]
        }
        Change::Discharge => {
            let mut options = vec![("", visit.text("admission.choose"))];
            options.extend(DISPOSITIONS.iter().map(|(code, key)| (*code, visit.text(key))));
            sheet.choice("destino", "admission.disposition", "", &options);
            vec!["destino"]
        }
        Change::Cancel => Vec::new(),
    }
}

/// What is missing in a form.
pub(super) fn problems(visit: &Visit, change: Change, form: &Form) -> Problems {
    let mut problems = Problems::default();
    let mut needed = |names: &[&'static str]| {
        for name in names.iter().filter(|name| form.typed(name).is_empty()) {
            problems.add(name, visit.text("form.missing"));
        }
    };
    match change {
        Change::Receive => needed(&["clase", "servicio", "motivo"]),
        Change::Transfer => needed(&["servicio", "cama"]),
        Change::Discharge => needed(&["destino"]),
        Change::Cancel => {}
    }
    let long = |name: &str| form.typed(name).chars().count() > LONGEST;
    for name in ["servicio", "cama", "motivo"].into_iter().filter(|name| long(name)) {
        problems.add(name, visit.reader.fill("admission.too_long", &[("n", &LONGEST.to_string())]));
    }
    if change == Change::Receive && Class::parse(form.typed("clase")).is_none() {
        problems.add("clase", visit.text("form.missing"));
    }
    if change == Change::Discharge && !DISPOSITIONS.iter().any(|(code, _)| *code == form.typed("destino")) {
        problems.add("destino", visit.text("form.missing"));
    }
    problems
}

/// What there is to say of a form that is shown.
pub(super) enum Why {
    /// Nothing but the problems, which may be none.
    Asked(Problems),
    /// Somebody changed the stay meanwhile.
    Changed,
    /// The patient is here already, with this to be said; whether something was typed that is not saved.
    Here { message: Message, lost: bool },
    /// Another stay has the bed.
    Taken(Taken),
    /// The discharge says that the patient died.
    Dies,
    /// Who is to be admitted is recorded as dead.
    Dead,
}

/// What [`SURE`] names of a death.
pub(super) const DEATH: &str = "exp";

/// Whether the form goes on with what was asked.
pub(super) fn is_sure(form: &Form, asked: &str) -> bool {
    form.typed(SURE).split(' ').any(|said| said == asked)
}

/// The same, as a form says it.
struct Said {
    problems: Problems,
    message: Option<Message>,
    /// See [`FormModel`].
    sure: Option<String>,
    status: u16,
}

fn said(visit: &Visit, why: Why) -> Said {
    let mut said = Said { problems: Problems::default(), message: None, sure: None, status: 200 };
    match why {
        Why::Asked(problems) if problems.is_empty() => said,
        Why::Asked(problems) => Said { problems, status: 422, ..said },
        Why::Changed => {
            let (text, help) = (visit.text("admission.changed"), visit.text("admission.changed_help"));
            Said { message: Some(Message::new(Tone::Warn, text, help)), status: 409, ..said }
        }
        Why::Here { message, lost } => Said { message: Some(message), status: if lost { 409 } else { 200 }, ..said },
        Why::Dies | Why::Dead => {
            let (text, help) = match why {
                Why::Dies => (visit.text("admission.dies"), visit.text("admission.dies_help")),
                _ => (visit.text("admission.is_dead"), visit.text("admission.is_dead_help")),
            };
            let message = Message { alert: true, ..Message::new(Tone::Warn, text, help) };
            Said { message: Some(message), sure: Some(DEATH.to_owned()), status: 422, ..said }
        }
        Why::Taken(taken) => {
            said.problems.add("cama", taken.says);
            Said { sure: Some(taken.stay), status: 422, ..said }
        }
    }
}

/// Shows a form: `stored` is the Encounter as it is now.
pub(super) fn shown(
    visit: &Visit,
    change: Change,
    patient: &Value,
    stored: Option<&Value>,
    typed: Option<&Form>,
    why: Why,
) -> Result<Reply> {
    let here = matches!(why, Why::Here { .. });
    let sure_label = visit.text(match why {
        Why::Dies => "admission.dies_save",
        Why::Dead => "admission.is_dead_save",
        _ => "admission.bed_share",
    });
    let Said { problems, message, sure, status } = said(visit, why);
    let conflict = status == 409;
    let (title, save, _) = change.texts();
    let mut sheet = Sheet::new(&visit.reader, typed, problems);
    // What is there of another stay is none of this one's.
    let order = fields(visit, &mut sheet, change, stored.filter(|_| !here));
    let back = address(encounter::id(patient));
    let banner =
        Banner::new(visit, patient, stored.map(|one| encounter::place(&visit.reader, one)).as_deref(), None, None);
    let mut page = visit.page(visit.text(title)).inside(back.clone(), visit.text("admission.patient")).about(banner);
    if let Some(summary) = sheet.summary() {
        page = page.says(summary);
    } else if let Some(message) = message {
        page = page.says(message);
    }
    if change == Change::Cancel {
        page = page.class("dialog");
    }
    let mut fields = sheet.fields();
    let stale = stored.map(|stored| Stay { acts: Vec::new(), ..stay(visit, stored) });
    let model = FormModel {
        action: visit.path.clone(),
        title: visit.text(title),
        save: visit.text(save),
        danger: change == Change::Cancel,
        version: stored.filter(|_| !here).map(|stored| encounter::seen(stored, typed.filter(|_| !conflict))),
        first: conflict,
        sure,
        sure_label,
        stored_title: visit.text(if conflict || here { "admission.stored_now" } else { "admission.stored" }),
        stored: stale,
        order: taken(&mut fields, &order),
        notes: if change == Change::Cancel {
            vec![visit.text("admission.cancel_1"), visit.text("admission.cancel_2"), visit.text("admission.cancel_3")]
        } else {
            Vec::new()
        },
        back,
        page,
    };
    visit.show_as(status, "admission-form", &model)
}

fn taken(fields: &mut Fields, order: &[&'static str]) -> Vec<crate::view::sheet::Field> {
    order.iter().filter_map(|name| fields.remove(name)).collect()
}

/// The Encounter of the address, and whose it is.
async fn read(unit: &mut Unit<'_>, visit: &Visit) -> Result<(Value, Value)> {
    let encounter = patient::read(unit, "Encounter", visit.part("id")).await?;
    let whose =
        encounter::patient(&encounter).ok_or_else(|| Error::new(Kind::NotFound, "there is no such resource"))?;
    let patient = patient::read(unit, "Patient", whose).await?;
    Ok((encounter, patient))
}

async fn show(visit: &Visit, change: Change) -> Result<Reply> {
    let (encounter, patient) = visit.unit(async |unit| read(unit, visit).await).await?;
    if !change.fits(&encounter) {
        return closed(visit, &patient, &encounter, 200);
    }
    shown(visit, change, &patient, Some(&encounter), visit.draft.as_ref(), Why::Asked(Problems::default()))
}

async fn save(visit: &Visit, form: &Form, change: Change) -> Result<Reply> {
    let mut problems = problems(visit, change, form);
    let version: i64 = form
        .typed("version")
        .parse()
        .map_err(|_| Error::at(Kind::Required, "version", "the form names the version that it changes"))?;
    if !problems.is_empty() || matches!(change, Change::Receive | Change::Transfer) {
        let to = (form.typed("servicio"), form.typed("cama"));
        let fine = problems.is_empty();
        let (encounter, patient, taken) = visit
            .unit(async |unit| {
                let (encounter, patient) = read(unit, visit).await?;
                let looked_at = fine && change.fits(&encounter) && encounter::version(&encounter) == Some(version);
                let taken = match looked_at {
                    true => bed::taken(unit, visit, to, encounter::id(&patient)).await?,
                    false => None,
                };
                Ok((encounter, patient, taken))
            })
            .await?;
        let same = encounter::version(&encounter) == Some(version) && encounter::is_in(&encounter, to.0, to.1);
        if change == Change::Transfer && same {
            problems.add("cama", visit.text("admission.bed_same"));
        }
        let why = match taken.filter(|taken| !is_sure(form, &taken.stay)) {
            Some(taken) if problems.is_empty() => Some(Why::Taken(taken)),
            _ => (!problems.is_empty()).then_some(Why::Asked(problems)),
        };
        if let Some(why) = why {
            return shown(visit, change, &patient, Some(&encounter), Some(form), why);
        }
    }
    if change == Change::Discharge && form.typed("destino") == DEATH && !is_sure(form, DEATH) {
        let (encounter, patient) = visit.unit(async |unit| read(unit, visit).await).await?;
        if change.fits(&encounter) {
            return shown(visit, change, &patient, Some(&encounter), Some(form), Why::Dies);
        }
    }
    let done = visit.once(async |unit| change_it(unit, visit, form, change, version).await).await;
    match done {
        Ok(to) => Ok(Reply::said(to, change.texts().2)),
        Err(error) if error.kind == Kind::StaleVersion => {
            let (encounter, patient) = visit.unit(async |unit| read(unit, visit).await).await?;
            if !change.fits(&encounter) {
                return closed(visit, &patient, &encounter, 409);
            }
            shown(visit, change, &patient, Some(&encounter), Some(form), Why::Changed)
        }
        Err(error) => Err(error),
    }
}

/// What is asked for cannot be done to the stay as it is: closed meanwhile, admitted already, or not come yet. What is
/// stored, and the way back.
fn closed(visit: &Visit, patient: &Value, encounter: &Value, status: u16) -> Result<Reply> {
    let back = address(encounter::id(patient));
    let banner = Banner::new(visit, patient, None, None, None);
    let (title, help) = match encounter::status(encounter) {
        "planned" => ("admission.not_yet", "admission.not_yet_help"),
        _ if encounter::is_open(encounter) => ("admission.here_already", "admission.here_already_help"),
        _ => ("admission.closed", if status == 409 { "admission.closed_help" } else { "admission.closed_before" }),
    };
    let message = Message::new(Tone::Warn, visit.text(title), visit.text(help));
    let page =
        visit.page(visit.text(title)).inside(back.clone(), visit.text("admission.patient")).about(banner).says(message);
    let model = FormModel {
        action: String::new(),
        title: visit.text(title),
        save: "",
        danger: false,
        version: None,
        stored: Some(stay(visit, encounter)),
        stored_title: visit.text("admission.stored_now"),
        first: true,
        order: Vec::new(),
        notes: Vec::new(),
        sure: None,
        sure_label: "",
        back,
        page,
    };
    visit.show_as(status, "admission-form", &model)
}

/// When somebody died: the time of the discharge, in the unit that writes the discharge too. What is recorded stays.
async fn record_death(unit: &mut Unit<'_>, mut patient: Value, now: &str) -> Result<()> {
    if patient.get("deceasedDateTime").is_some() {
        return Ok(());
    }
    let (id, if_match) = (encounter::id(&patient).to_owned(), encounter::version(&patient));
    if let Some(members) = patient.as_object_mut() {
        members.shift_remove("deceasedBoolean");
        members.insert("deceasedDateTime".into(), Value::String(now.to_owned()));
    }
    let (resource_type, resource) = (named("Patient")?, Content::new(patient));
    unit.run(&Interaction::Update { resource_type, id, resource, if_match }).await?;
    Ok(())
}

async fn change_it(unit: &mut Unit<'_>, visit: &Visit, form: &Form, change: Change, version: i64) -> Result<String> {
    let (stored, patient) = read(unit, visit).await?;
    let stale = || Error::at(Kind::StaleVersion, "If-Match", "the resource has another version by now");
    if encounter::version(&stored) != Some(version) || !change.fits(&stored) {
        return Err(stale());
    }
    let id = encounter::id(&stored).to_owned();
    let Value::Object(mut resource) = stored else { return Err(Error::internal("an Encounter is no object")) };
    let now = encounter::now(&visit.reader);
    match change {
        Change::Receive => encounter::admit(&mut resource, typed(form)?, encounter::id(&patient), &now),
        Change::Transfer => encounter::transfer(&mut resource, form.typed("servicio"), form.typed("cama"), &now),
        Change::Discharge => {
            let known = DISPOSITIONS.iter().find(|(code, _)| *code == form.typed("destino"));
            let (code, key) = known.ok_or_else(|| Error::at(Kind::Required, "destino", "where the patient goes"))?;
            encounter::discharge(&mut resource, (code, visit.text(key)), &now);
        }
        Change::Cancel => encounter::cancel(&mut resource, &now),
    }
    let resource = Content::new(Value::Object(resource));
    unit.run(&Interaction::Update { resource_type: kind()?, id, resource, if_match: Some(version) }).await?;
    let to = address(encounter::id(&patient));
    if change == Change::Discharge && form.typed("destino") == DEATH {
        record_death(unit, patient, &now).await?;
    }
    Ok(to)
}

pub(super) fn kind() -> Result<ResourceType> {
    named("Encounter")
}

pub(super) fn typed(form: &Form) -> Result<Typed<'_>> {
    let class = Class::parse(form.typed("clase"))
        .ok_or_else(|| Error::at(Kind::Required, "clase", "the class of the encounter"))?;
    Ok(Typed { class, service: form.typed("servicio"), bed: form.typed("cama"), reason: form.typed("motivo") })
}

pub async fn receive(visit: &Visit) -> Result<Reply> {
    show(visit, Change::Receive).await
}

pub async fn save_receive(visit: &Visit, form: &Form) -> Result<Reply> {
    save(visit, form, Change::Receive).await
}

pub async fn transfer(visit: &Visit) -> Result<Reply> {
    show(visit, Change::Transfer).await
}

pub async fn save_transfer(visit: &Visit, form: &Form) -> Result<Reply> {
    save(visit, form, Change::Transfer).await
}

pub async fn discharge(visit: &Visit) -> Result<Reply> {
    show(visit, Change::Discharge).await
}

pub async fn save_discharge(visit: &Visit, form: &Form) -> Result<Reply> {
    save(visit, form, Change::Discharge).await
}

pub async fn cancel(visit: &Visit) -> Result<Reply> {
    show(visit, Change::Cancel).await
}

pub async fn save_cancel(visit: &Visit, form: &Form) -> Result<Reply> {
    save(visit, form, Change::Cancel).await
}
