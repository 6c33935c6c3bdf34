//! Registering a patient: the form, what is wrong or unlikely, who it might be already, and the one create.
//!
//! Nobody is registered twice: who has the same document is found before, and the create is conditional on it, so that of
//! two clerks at once one creates and both arrive at the same patient. Rules of documents by age are warnings: they are
//! said once, and sending the form again saves.

use crate::error::{Error, Kind, Result};
use crate::fhir::documento::{DocumentoId, V2_0203};
use crate::fhir::primitive::is_hidden;
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::search::param::string::fold;
use crate::view::admission::years;
use crate::view::affiliation::{self, Insurers};
use crate::view::contact;
use crate::view::duplicate::{self, Match, Typed, Why};
use crate::view::encounter;
use crate::view::find::{escaped, spellings};
use crate::view::format::typed_date;
use crate::view::municipality;
use crate::view::page::{Link, Message, Page, Tone};
use crate::view::patient::{self, Name, named, search};
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::stay::Fact;
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The Colombian list of identity documents and its numbers, as the HL7 entrance writes them too.
const DOCUMENT_TYPES: &str = "https://fhir.minsalud.gov.co/rda/CodeSystem/ColombianPersonIdentifier";
const DOCUMENTS: &str = "https://fhir.minsalud.gov.co/rda/NamingSystem/RNEC";
pub(super) const FATHERS_FAMILY: &str = "http://hl7.org/fhir/StructureDefinition/humanname-fathers-family";
pub(super) const MOTHERS_FAMILY: &str = "http://hl7.org/fhir/StructureDefinition/humanname-mothers-family";

/// The types that a desk registers, the frequent ones first.
const KINDS: [&str; 15] = ["CC", "TI", "RC", "CE", "PPT", "PA", "PT", "PE", "CN", "CD", "SC", "DE", "AS", "MS", "SI"];
/// Those of somebody who is not known yet.
const UNKNOWN: [&str; 3] = ["AS", "MS", "SI"];
const GENDERS: [&str; 3] = ["female", "male", "other"];
const LONGEST: usize = 60;
/// Nobody is older.
const OLDEST: i16 = 130;
/// Possible duplicates that are shown.
const SHOWN: usize = 3;
const CANDIDATES: usize = 100;

#[derive(Serialize)]
pub(super) struct Possible {
    id: String,
    name: Name,
    line: String,
    why: Vec<Why>,
    open: Link,
    compare: String,
}

/// The template: a new Patient, or (with `version`) one that is corrected.
#[derive(Serialize)]
pub(super) struct Model {
    pub page: Page,
    pub title: &'static str,
    pub save: &'static str,
    pub action: String,
    pub back: String,
    pub version: Option<String>,
    /// Id and version of its Coverage.
    pub cover: String,
    /// What is stored by now, when somebody else was first.
    pub stored: Vec<Fact>,
    pub fields: Fields,
    pub possible: Vec<Possible>,
    /// The number is what the likeliest has in common: said beside it.
    pub by_number: bool,
    /// Ids of those of whom the clerk says that they are others.
    pub others: String,
    /// Of whom that was said before, when nobody else is in question.
    pub settled: String,
    /// Whether "another person" may be said: never with the same document.
    pub may_go_on: bool,
    /// What was warned of already.
    pub warned: String,
}

/// `/admision/registrar`.
pub async fn page(visit: &Visit) -> Result<Reply> {
    let insurers = visit.unit(async |unit| affiliation::insurers(unit).await).await?;
    shown(visit, 200, visit.draft.as_ref(), Problems::default(), &Likely::default(), Vec::new(), &insurers)
}

/// `/admision/municipios?q=`: suggestions for the field.
pub async fn municipalities(visit: &Visit) -> Result<Reply> {
    let found = municipality::search(visit.query.typed("q"));
    let labels: Vec<String> = found.iter().map(|known| known.label()).collect();
    Ok(Reply::Json { status: 200, body: json!(labels).to_string() })
}

// ------------------------------------------------------------------ what was typed

fn kind(form: &Form) -> &'static str {
    KINDS.into_iter().find(|kind| *kind == form.typed("tipo")).unwrap_or("")
}

fn joined(form: &Form, names: [&str; 2]) -> String {
    let parts: Vec<&str> = names.iter().map(|name| form.typed(name)).filter(|text| !text.is_empty()).collect();
    parts.join(" ")
}

pub(super) fn typed(form: &Form) -> Typed {
    Typed {
        documento: DocumentoId::from_parts(kind(form), form.typed("numero")),
        surnames: joined(form, ["apellido1", "apellido2"]),
        names: joined(form, ["nombre1", "nombre2"]),
        birth: typed_date(form.typed("nacimiento")),
        gender: form.typed("sexo").to_owned(),
        city: municipality::read(form.typed("municipio"))
            .map_or_else(|_| form.typed("municipio"), |known| known.name)
            .to_owned(),
    }
}

/// What is wrong, in the order of the form. `stored_city`: what the field showed of a stored address, which may stay.
pub(super) fn problems(visit: &Visit, form: &Form, typed: &Typed, stored_city: &str) -> Problems {
    let mut problems = Problems::default();
    document_problems(visit, form, typed, &mut problems);
    person_problems(visit, form, typed, &mut problems);
    let city = form.typed("municipio");
    if city != stored_city && !(city.is_empty() && UNKNOWN.contains(&kind(form))) {
        city_problem(visit, city, &mut problems);
    }
    let phone = contact::mobile(form.typed("celular"));
    if !form.typed("celular").is_empty() && phone.len() != 10 {
        let n = i64::try_from(phone.len()).unwrap_or(0);
        problems.add("celular", visit.reader.count("register_patient.phone_wrong", n));
    }
    for name in ["apellido1", "apellido2", "nombre1", "nombre2", "direccion"] {
        if form.typed(name).chars().count() > LONGEST {
            problems.add(name, visit.reader.fill("admission.too_long", &[("n", &LONGEST.to_string())]));
        }
    }
    contact::problems(visit, form, &mut problems);
    affiliation::problems(visit, form, &mut problems);
    problems
}

fn missing(visit: &Visit, form: &Form, name: &'static str, problems: &mut Problems) {
    if form.typed(name).is_empty() {
        problems.add(name, visit.text("form.missing"));
    }
}

/// A municipality of the list; of several that it may be the choice is told.
fn city_problem(visit: &Visit, city: &str, problems: &mut Problems) {
    let Err(several) = municipality::read(city) else { return };
    let labels: Vec<String> = several.iter().map(|known| known.label()).collect();
    match (city.is_empty(), labels.is_empty()) {
        (true, _) => problems.add("municipio", visit.text("form.missing")),
        (_, true) => problems.add("municipio", visit.text("register_patient.city_unknown")),
        _ => problems
            .add("municipio", visit.reader.fill("register_patient.city_several", &[("list", &labels.join("; "))])),
    }
}

fn document_problems(visit: &Visit, form: &Form, typed: &Typed, problems: &mut Problems) {
    let kind = kind(form);
    if kind.is_empty() {
        problems.add("tipo", visit.text("register_patient.choose_kind"));
    }
    missing(visit, form, "numero", problems);
    let number: String = form.typed("numero").chars().filter(|c| !c.is_whitespace() && *c != '.').collect();
    let digits = number.chars().all(|c| c.is_ascii_digit());
    if !kind.is_empty() && typed.documento.is_none() {
        problems.add("numero", visit.text("register_patient.number_wrong"));
    } else if matches!(kind, "CC" | "TI" | "RC") && !digits {
        problems.add("numero", visit.text("register_patient.digits_only"));
    } else if kind == "CC" && (number.len() > 10 || number.chars().all(|c| c == '0')) && !number.is_empty() {
        problems.add("numero", visit.text("register_patient.cc_digits"));
    }
}

/// A name has a letter, and nothing that is not seen or turns what stands beside it.
fn is_name(text: &str) -> bool {
    text.chars().any(char::is_alphabetic) && !text.chars().any(is_hidden)
}

fn person_problems(visit: &Visit, form: &Form, typed: &Typed, problems: &mut Problems) {
    let reader = &visit.reader;
    missing(visit, form, "apellido1", problems);
    missing(visit, form, "nombre1", problems);
    for name in ["apellido1", "apellido2", "nombre1", "nombre2"] {
        let typed = form.typed(name);
        if !typed.is_empty() && !is_name(typed) {
            problems.add(name, visit.text("register_patient.no_name"));
        }
    }
    let born = form.typed("nacimiento");
    if !(born.is_empty() && UNKNOWN.contains(&kind(form))) {
        missing(visit, form, "nacimiento", problems);
        match typed.birth {
            None => problems.add("nacimiento", visit.text("register_patient.birth_wrong")),
            Some(date) if date > reader.today() => {
                problems.add("nacimiento", visit.text("register_patient.birth_future"))
            }
            Some(date) if years(reader, date).is_none_or(|years| years > OLDEST) => {
                problems.add("nacimiento", visit.text("register_patient.birth_old"))
            }
            Some(_) => {}
        }
    }
    if !GENDERS.contains(&typed.gender.as_str()) {
        problems.add("sexo", visit.text("form.missing"));
    }
}

/// What is unlikely: the type of document and the age do not go together (rules of the Colombian registry).
pub(super) fn unlikely(visit: &Visit, form: &Form, typed: &Typed) -> Option<(&'static str, String)> {
    let reader = &visit.reader;
    let age = years(reader, typed.birth?)?;
    let key = match (kind(form), age) {
        ("CC", ..18) => "register_patient.cc_age",
        ("TI", ..7 | 18..) => "register_patient.ti_age",
        ("RC" | "CN", 7..) => "register_patient.rc_age",
        ("MS", 18..) => "register_patient.ms_age",
        ("AS", ..18) => "register_patient.as_age",
        _ => return None,
    };
    let age = reader.age(typed.birth?).unwrap_or_default();
    Some((key, reader.fill(key, &[("age", &age)])))
}

// ------------------------------------------------------------------ who it might be

/// The stored Patients that may be this one, the likeliest first.
async fn possible(unit: &mut Unit<'_>, visit: &Visit, typed: &Typed) -> Result<Vec<(Match, Value)>> {
    let reader = &visit.reader;
    let mut queries = Vec::new();
    if let Some(documento) = &typed.documento {
        queries.push(format!("identifier={}&_count={CANDIDATES}", spellings(reader, documento)));
    }
    let first = |text: &str| text.split(' ').next().map(|word| encoded(&escaped(word))).unwrap_or_default();
    if let Some(birth) = typed.birth {
        // A letter may be another, so the day is asked for and the names are compared here.
        queries.push(format!("birthdate={birth}&_count={CANDIDATES}"));
    }
    if !fold(&typed.surnames).is_empty() && !fold(&typed.names).is_empty() {
        queries.push(format!("family={}&given={}&_count={CANDIDATES}", first(&typed.surnames), first(&typed.names)));
    }
    let mut known: BTreeMap<String, (Match, Value)> = BTreeMap::new();
    for query in queries {
        for patient in search(unit, "Patient", &query).await?.resources {
            if let Some(found) = duplicate::compare(reader, &visit.app.systems, typed, &patient) {
                known.insert(encounter::id(&patient).to_owned(), (found, patient));
            }
        }
    }
    let mut all: Vec<(Match, Value)> = known.into_values().collect();
    all.sort_by_key(|(found, _)| std::cmp::Reverse(found.weight));
    all.truncate(SHOWN);
    Ok(all)
}

fn described(visit: &Visit, form: &Form, found: &Match, patient: &Value, last: Option<&str>) -> Possible {
    let reader = &visit.reader;
    let parts = [
        patient::document(visit, patient),
        patient::age(reader, patient),
        patient::sex(reader, patient).map(str::to_owned),
        last.map(|day| reader.fill("duplicate.last_visit", &[("date", day)])),
    ];
    let id = encounter::id(patient).to_owned();
    let address = format!("/admision/paciente/{}", encoded(&id));
    // The same number under another type: the person has a new document.
    let stored = DocumentoId::of_patient(patient, &visit.app.systems);
    let former = stored.as_ref().and_then(DocumentoId::parts).map(|(kind, _)| kind);
    let open = match kind(form) {
        new if found.same_number && former != Some(new) && !new.is_empty() => {
            let who = match patient.get("gender").and_then(Value::as_str) {
                Some("female") => "duplicate.is_her",
                Some("male") => "duplicate.is_him",
                _ => "duplicate.is_person",
            };
            Link::new(format!("{address}/datos?tipo={new}"), reader.fill(who, &[("kind", new)]))
        }
        _ => Link::new(address.clone(), reader.text("duplicate.is_this")),
    };
    let line = parts.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    Possible { name: Name::of(patient), line, why: found.why.clone(), open, compare: address, id }
}

/// The day of the last Encounter of each patient.
async fn last_visits(unit: &mut Unit<'_>, found: &[(Match, Value)]) -> Result<Vec<Value>> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = found.iter().map(|(_, patient)| encounter::id(patient)).collect();
    let query = format!("patient={}&_sort=-date&_count=50", ids.join(","));
    Ok(search(unit, "Encounter", &query).await?.resources)
}

// ------------------------------------------------------------------ the form

/// Who it may be, and their encounters.
#[derive(Default)]
struct Likely {
    found: Vec<(Match, Value)>,
    encounters: Vec<Value>,
}

fn shown(
    visit: &Visit,
    status: u16,
    form: Option<&Form>,
    problems: Problems,
    likely: &Likely,
    warnings: Vec<(&'static str, String)>,
    insurers: &Insurers,
) -> Result<Reply> {
    let (reader, found) = (&visit.reader, &likely.found);
    let mut sheet = Sheet::new(reader, form, problems);
    fill(visit, &mut sheet, insurers, &warnings);
    let mut page = visit
        .page(visit.text("register_patient.title"))
        .at("/admision/registrar")
        .inside("/admision", visit.text("admission.patients"));
    let is_same = found.iter().any(|(found, _)| found.same_document);
    if let Some(summary) = sheet.summary() {
        page = page.says(summary);
    } else if is_same {
        page = page.says(Message::new(
            Tone::Crit,
            reader.text("duplicate.registered"),
            reader.text("duplicate.registered_help"),
        ));
    } else if !found.is_empty() {
        page = page.says(Message::new(Tone::Warn, reader.text("duplicate.look"), reader.text("duplicate.look_help")));
    } else if let Some((_, text)) = warnings.first() {
        page = page.says(Message::new(Tone::Warn, text.clone(), reader.text("register_patient.save_again")));
    }
    let last = |patient: &Value| {
        let of = likely.encounters.iter().find(|one| encounter::patient(one) == Some(encounter::id(patient)))?;
        reader.day_of(encounter::start(of)).map(|day| reader.date(day))
    };
    let empty = Form::default();
    let typed = form.unwrap_or(&empty);
    let possible: Vec<Possible> = found
        .iter()
        .map(|(found, patient)| described(visit, typed, found, patient, last(patient).as_deref()))
        .collect();
    let said = form.map_or("", |form| form.typed("otra"));
    let settled = if possible.is_empty() { said.to_owned() } else { String::new() };
    let all = said.split(' ').chain(possible.iter().map(|one| one.id.as_str()));
    let others = all.filter(|id| !id.is_empty()).collect::<Vec<_>>().join(" ");
    let model = Model {
        title: reader.text("register_patient.title"),
        save: reader.text("register_patient.save"),
        action: visit.path.clone(),
        back: "/admision".to_owned(),
        version: None,
        cover: String::new(),
        stored: Vec::new(),
        fields: sheet.fields(),
        by_number: found.first().is_some_and(|(found, _)| found.same_number),
        possible,
        others,
        settled,
        may_go_on: !is_same,
        warned: warnings.first().map_or("", |(key, _)| key).to_owned(),
        page,
    };
    visit.show_as(status, "register-patient", &model)
}

pub(super) fn fill(visit: &Visit, sheet: &mut Sheet<'_>, insurers: &Insurers, warnings: &[(&'static str, String)]) {
    let text = |key: &str| visit.text(key);
    let names: Vec<String> = KINDS.iter().map(|kind| format!("{kind} {}", text(&format!("document.{kind}")))).collect();
    let mut kinds = vec![("", text("admission.choose"))];
    kinds.extend(KINDS.iter().zip(&names).map(|(kind, name)| (*kind, name.as_str())));
    let field = sheet.choice("tipo", "register_patient.kind", "CC", &kinds);
    if let Some((_, warning)) = warnings.first() {
        field.soft(warning.clone());
    }
    sheet.line("numero", "register_patient.number", "").hint(text("register_patient.number_hint")).plain().longest(24);
    for (name, label) in [("apellido1", "register_patient.surname1"), ("nombre1", "register_patient.name1")] {
        sheet.line(name, label, "").longest(LONGEST);
    }
    for (name, label) in [("apellido2", "register_patient.surname2"), ("nombre2", "register_patient.name2")] {
        sheet.line(name, label, "").optional().longest(LONGEST);
    }
    let birth = sheet.line("nacimiento", "admission.birth", "").digits().longest(10);
    let age = typed_date(&birth.value).and_then(|date| visit.reader.age(date));
    let hint = [Some(text("register_patient.birth_hint").to_owned()), age];
    birth.hint(hint.into_iter().flatten().collect::<Vec<_>>().join(" · "));
    let genders = [("female", text("sex.female")), ("male", text("sex.male")), ("other", text("sex.other"))];
    sheet.segments("sexo", "admission.sex", "", &genders);
    let city = sheet.line("municipio", "admission.municipality", "").longest(LONGEST);
    if let Err(several) = municipality::read(&city.value) {
        city.suggest(several.iter().map(|known| known.label()).collect());
    }
    city.hint(text("register_patient.city_hint")).ask("/admision/municipios");
    sheet
        .line("celular", "admission.phone", "")
        .optional()
        .hint(text("register_patient.phone_hint"))
        .digits()
        .longest(20);
    sheet.line("direccion", "admission.street", "").optional().longest(LONGEST);
    contact::fields(visit, sheet);
    affiliation::fields(visit, sheet, insurers);
}

/// Registers, or says what keeps it from being done.
pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let typed = typed(form);
    let said: Vec<&str> = form.typed("otra").split(' ').collect();
    let (likely, insurers) = visit
        .unit(async |unit| {
            let mut found = possible(unit, visit, &typed).await?;
            found.retain(|(found, patient)| found.same_document || !said.contains(&encounter::id(patient)));
            let encounters = last_visits(unit, &found).await?;
            Ok((Likely { found, encounters }, affiliation::insurers(unit).await?))
        })
        .await?;
    // A page that asks while somebody types: who it may be, and nothing is done.
    if form.typed("mirar") == "1" {
        return shown(visit, 200, Some(form), Problems::default(), &likely, Vec::new(), &insurers);
    }
    let problems = problems(visit, form, &typed, "");
    let warnings: Vec<(&'static str, String)> = unlikely(visit, form, &typed).into_iter().collect();
    let warned = warnings.first().is_none_or(|(key, _)| *key == form.typed("avisado"));
    if !problems.is_empty() || !likely.found.is_empty() || !warned {
        return shown(visit, 422, Some(form), problems, &likely, warnings, &insurers);
    }
    let to = visit.once(async |unit| create(unit, form, &typed, &insurers).await).await?;
    Ok(if to.ends_with("?ya=registro") { Reply::see(to) } else { Reply::said(to, "said.registered") })
}

/// Creates the Patient and its Coverage, or finds who has the document already.
async fn create(unit: &mut Unit<'_>, form: &Form, typed: &Typed, insurers: &Insurers) -> Result<String> {
    let address = |id: &str| format!("/admision/paciente/{}", encoded(id));
    let documento =
        typed.documento.as_ref().ok_or_else(|| Error::at(Kind::Required, "numero", "the document of the patient"))?;
    let (_, number) = documento.parts().ok_or_else(|| Error::internal("a typed document has no number"))?;
    let mut criteria = format!("identifier={}", encoded(&format!("{DOCUMENTS}|{number}")));
    // Another person has the number under another type: then the names are part of the condition.
    if !form.typed("otra").is_empty() {
        criteria = format!(
            "{criteria}&family={}&given={}",
            encoded(&escaped(&typed.surnames)),
            encoded(&escaped(&typed.names))
        );
    }
    let create = Interaction::Create {
        resource_type: named("Patient")?,
        resource: Content::new(resource(form, typed, number)),
        if_none_exist: Some(criteria),
    };
    let answer = unit.run(&create).await?;
    let id = answer
        .location
        .as_deref()
        .and_then(|location| location.split('/').nth(1))
        .ok_or_else(|| Error::internal("a create has no location"))?;
    if answer.status != 201 {
        return Ok(format!("{}?ya=registro", address(id)));
    }
    affiliation::save(unit, form, id, insurers, None).await?;
    Ok(address(id))
}

/// The Patient (<https://hl7.org/fhir/R4/patient.html>), as the HL7 entrance and the samples write one.
pub(super) fn resource(form: &Form, typed: &Typed, number: &str) -> Value {
    let mut patient = Map::new();
    let coding = json!([{"system": V2_0203, "code": "PN"}, {"system": DOCUMENT_TYPES, "code": kind(form)}]);
    patient.insert("resourceType".into(), json!("Patient"));
    patient.insert(
        "identifier".into(),
        json!([{"use": "official", "type": {"coding": coding}, "system": DOCUMENTS, "value": number}]),
    );
    patient.insert("active".into(), json!(true));
    let surname = |url: &str, name: &str| {
        (!form.typed(name).is_empty()).then(|| json!({"url": url, "valueString": form.typed(name)}))
    };
    let surnames: Vec<Value> =
        [surname(FATHERS_FAMILY, "apellido1"), surname(MOTHERS_FAMILY, "apellido2")].into_iter().flatten().collect();
    let given: Vec<&str> =
        ["nombre1", "nombre2"].iter().map(|name| form.typed(name)).filter(|name| !name.is_empty()).collect();
    patient.insert(
        "name".into(),
        json!([{"use": "official", "family": typed.surnames, "_family": {"extension": surnames}, "given": given}]),
    );
    let phone = contact::mobile(form.typed("celular"));
    if !phone.is_empty() {
        patient.insert("telecom".into(), json!([{"system": "phone", "value": phone, "use": "mobile"}]));
    }
    patient.insert("gender".into(), json!(typed.gender));
    if let Some(birth) = typed.birth {
        patient.insert("birthDate".into(), json!(birth.to_string()));
    }
    let mut address = Map::new();
    address.insert("use".into(), json!("home"));
    if let Ok(city) = municipality::read(form.typed("municipio")) {
        for (member, text) in [("city", city.name), ("district", city.code), ("state", city.department)] {
            address.insert(member.into(), json!(text));
        }
    }
    if !form.typed("direccion").is_empty() {
        address.insert("line".into(), json!([form.typed("direccion")]));
    }
    if address.len() > 1 {
        address.insert("country".into(), json!("COL"));
        patient.insert("address".into(), json!([address]));
    }
    if let Some(contact) = contact::merged(None, form) {
        patient.insert("contact".into(), json!([contact]));
    }
    Value::Object(patient)
}
