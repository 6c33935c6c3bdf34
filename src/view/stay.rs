//! One patient at the desk: who it is, admission, transfer, discharge, cancellation. Each change names the version that it
//! was made from; when somebody else was first, the form is shown again beside what is stored by then.

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::view::admission::{self, beneficiary, insurer, review};
use crate::view::contact;
use crate::view::encounter::{self, Class, DISPOSITIONS, Typed};
use crate::view::municipality;
use crate::view::page::{Badge, Empty, Link, Message, Page, Tone};
use crate::view::patient::{self, Banner, named, search};
use crate::view::record::words::joined;
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;
use serde_json::{Map, Value};

/// Past encounters that the page lists.
const PAST: usize = 20;
const LONGEST: usize = 120;

// ------------------------------------------------------------------ the page of a patient

#[derive(Serialize)]
pub struct Fact {
    term: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Stay {
    place: String,
    class: &'static str,
    reason: Option<String>,
    start: String,
    end: Option<String>,
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

#[derive(Serialize)]
struct PatientModel {
    page: Page,
    id: String,
    facts: Vec<Fact>,
    open: Vec<Stay>,
    past: Vec<Stay>,
    past_more: bool,
    empty: Option<Empty>,
    admit: Link,
    edit: Link,
}

fn address(patient: &str) -> String {
    format!("/admision/paciente/{}", encoded(patient))
}

/// `/admision/paciente/{id}`.
pub async fn page(visit: &Visit) -> Result<Reply> {
    let (patient, encounters, covers, more) = visit
        .unit(async |unit| {
            let patient = patient::resolve(unit, visit.part("id")).await?;
            let id = encounter::id(&patient).to_owned();
            let open = search(unit, "Encounter", &format!("patient={id}&status=planned,{}&_count=50", encounter::OPEN))
                .await?;
            let past =
                search(unit, "Encounter", &format!("patient={id}&status=finished,cancelled&_sort=-date&_count={PAST}"))
                    .await?;
            let covers = search(unit, "Coverage", &format!("patient={id}&status=active&_count=10")).await?;
            Ok((patient, [open.resources, past.resources], covers.resources, past.more))
        })
        .await?;
    let reader = &visit.reader;
    let id = encounter::id(&patient).to_owned();
    let [open, past] = &encounters;
    let current = open
        .iter()
        .find(|one| encounter::is_open(one) && Class::of(one) != Class::Visit)
        .or_else(|| open.iter().find(|one| encounter::is_open(one)));
    let cover = covers.iter().find(|cover| beneficiary(cover) == Some(&id));
    let admit = Link::new(format!("{}/ingresar", address(&id)), reader.text("admission.admit"));
    let mut banner = Banner::new(
        visit,
        &patient,
        current.map(|one| encounter::place(reader, one)).as_deref(),
        cover.and_then(insurer),
        None,
    );
    banner = match current {
        Some(one) => banner.action(of(one, "trasladar"), reader.text("admission.transfer"), Some("bed")).action(
            of(one, "egresar"),
            reader.text("admission.discharge"),
            None,
        ),
        None => banner.action(admit.href.clone(), admit.label.clone(), Some("arrive")),
    };
    let title = patient::Name::of(&patient).whole();
    let mut page = visit.page(title).inside("/admision", visit.text("admission.patients")).about(banner);
    // What this address has to say goes before what an earlier form has left to be said.
    if page.message.is_none() || !visit.query.typed("ya").is_empty() {
        page.message = notice(visit, &patient, current).or(page.message);
    }
    let model = PatientModel {
        facts: facts(visit, &patient, cover),
        open: open.iter().map(|one| stay(visit, one)).collect(),
        past: past.iter().map(|one| stay(visit, one)).collect(),
        past_more: more,
        empty: (open.is_empty() && past.is_empty()).then(|| Empty {
            icon: "bed",
            title: reader.text("admission.no_encounters"),
            text: reader.text("admission.no_encounters_help"),
            action: None,
        }),
        edit: Link::new(format!("{}/datos", address(&id)), reader.text("admission.edit")),
        admit,
        id,
        page,
    };
    visit.show("admission-patient", &model)
}

/// What the page before found out: it was there already.
fn notice(visit: &Visit, patient: &Value, current: Option<&Value>) -> Option<Message> {
    let reader = &visit.reader;
    match (visit.query.typed("ya"), current) {
        ("ingreso", Some(one)) => {
            let (place, start) = (encounter::place(reader, one), reader.fhir(encounter::start(one)));
            Some(Message::new(
                Tone::Info,
                reader.text("admission.already_admitted"),
                reader.fill("admission.already_admitted_at", &[("place", &place), ("time", &start)]),
            ))
        }
        ("registro", _) => Some(Message::new(
            Tone::Info,
            reader.text("admission.already_registered"),
            reader.text("admission.already_registered_help"),
        )),
        _ => review(reader, &visit.app.systems, patient).map(|text| Message::new(Tone::Warn, text, "")),
    }
}

fn of(encounter: &Value, what: &str) -> String {
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

fn stay(visit: &Visit, one: &Value) -> Stay {
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
enum Change {
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
fn problems(visit: &Visit, change: Change, form: &Form) -> Problems {
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

/// Shows a form: `stored` is the Encounter as it is now, `conflict` that somebody changed it meanwhile.
fn shown(
    visit: &Visit,
    change: Change,
    patient: &Value,
    stored: Option<&Value>,
    typed: Option<&Form>,
    problems: Problems,
    conflict: bool,
) -> Result<Reply> {
    let (title, save, _) = change.texts();
    let has_problems = !problems.is_empty();
    let mut sheet = Sheet::new(&visit.reader, typed, problems);
    let order = fields(visit, &mut sheet, change, stored);
    let back = address(encounter::id(patient));
    let banner =
        Banner::new(visit, patient, stored.map(|one| encounter::place(&visit.reader, one)).as_deref(), None, None);
    let mut page = visit.page(visit.text(title)).inside(back.clone(), visit.text("admission.patient")).about(banner);
    if let Some(summary) = sheet.summary() {
        page = page.says(summary);
    } else if conflict {
        page =
            page.says(Message::new(Tone::Warn, visit.text("admission.changed"), visit.text("admission.changed_help")));
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
        version: stored.map(|stored| encounter::seen(stored, typed.filter(|_| !conflict))),
        first: conflict,
        stored_title: visit.text(if conflict { "admission.stored_now" } else { "admission.stored" }),
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
    let status = if conflict {
        409
    } else if has_problems {
        422
    } else {
        200
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
    shown(visit, change, &patient, Some(&encounter), visit.draft.as_ref(), Problems::default(), false)
}

async fn save(visit: &Visit, form: &Form, change: Change) -> Result<Reply> {
    let problems = problems(visit, change, form);
    if !problems.is_empty() {
        let (encounter, patient) = visit.unit(async |unit| read(unit, visit).await).await?;
        return shown(visit, change, &patient, Some(&encounter), Some(form), problems, false);
    }
    let version: i64 = form
        .typed("version")
        .parse()
        .map_err(|_| Error::at(Kind::Required, "version", "the form names the version that it changes"))?;
    let done = visit.once(async |unit| change_it(unit, visit, form, change, version).await).await;
    match done {
        Ok(to) => Ok(Reply::said(to, change.texts().2)),
        Err(error) if error.kind == Kind::StaleVersion => {
            let (encounter, patient) = visit.unit(async |unit| read(unit, visit).await).await?;
            if !change.fits(&encounter) {
                return closed(visit, &patient, &encounter, 409);
            }
            shown(visit, change, &patient, Some(&encounter), Some(form), Problems::default(), true)
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
        back,
        page,
    };
    visit.show_as(status, "admission-form", &model)
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
    Ok(address(encounter::id(&patient)))
}

fn kind() -> Result<ResourceType> {
    named("Encounter")
}

fn typed(form: &Form) -> Result<Typed<'_>> {
    let class = Class::parse(form.typed("clase"))
        .ok_or_else(|| Error::at(Kind::Required, "clase", "the class of the encounter"))?;
    Ok(Typed { class, service: form.typed("servicio"), bed: form.typed("cama"), reason: form.typed("motivo") })
}

// ------------------------------------------------------------------ a new admission

/// `/admision/paciente/{id}/ingresar`.
pub async fn admission(visit: &Visit) -> Result<Reply> {
    let patient = visit.unit(async |unit| patient::resolve(unit, visit.part("id")).await).await?;
    shown(visit, Change::Receive, &patient, None, visit.draft.as_ref(), Problems::default(), false)
}

/// Admits: one stay a patient. Of two clerks at once the second is led to the stay that the first one made.
pub async fn admit(visit: &Visit, form: &Form) -> Result<Reply> {
    let problems = problems(visit, Change::Receive, form);
    if !problems.is_empty() {
        let patient = visit.unit(async |unit| patient::resolve(unit, visit.part("id")).await).await?;
        return shown(visit, Change::Receive, &patient, None, Some(form), problems, false);
    }
    let to = visit
        .once(async |unit| {
            let patient = patient::resolve(unit, visit.part("id")).await?;
            let id = encounter::id(&patient);
            let (typed, mut resource) = (typed(form)?, Map::new());
            encounter::admit(&mut resource, typed, id, &encounter::now(&visit.reader));
            let resource = Content::new(Value::Object(resource));
            let create =
                Interaction::Create { resource_type: kind()?, resource, if_none_exist: Some(typed.class.same(id)) };
            match unit.run(&create).await {
                Ok(answer) if answer.status == 201 => Ok(address(id)),
                Ok(_) => Ok(format!("{}?ya=ingreso", address(id))),
                Err(error) if error.kind == Kind::MultipleMatches => Ok(format!("{}?ya=ingreso", address(id))),
                Err(error) => Err(error),
            }
        })
        .await?;
    Ok(if to.ends_with("?ya=ingreso") { Reply::see(to) } else { Reply::said(to, "said.admitted") })
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
