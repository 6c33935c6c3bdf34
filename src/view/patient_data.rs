//! Correcting the data of a patient at the desk: a new version, the former document kept as an old one.

use crate::error::{Error, Kind, Result};
use crate::fhir::documento::{DocumentoId, Systems};
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::view::affiliation::{self, Insurers};
use crate::view::contact;
use crate::view::encounter;
use crate::view::find::spellings;
use crate::view::format::date_field;
use crate::view::municipality;
use crate::view::new_patient::{self, FATHERS_FAMILY, MOTHERS_FAMILY, Model};
use crate::view::page::{Message, Tone};
use crate::view::patient::{self, Banner, named, search};
use crate::view::sheet::{Problems, SAVED, Sheet};
use crate::view::stay;
use crate::view::visit::{Reply, Visit, encoded};
use serde_json::{Map, Value, json};

fn address(id: &str) -> String {
    format!("/admision/paciente/{}", encoded(id))
}

fn list<'v>(resource: &'v Value, element: &str) -> impl Iterator<Item = &'v Value> {
    resource.get(element).and_then(Value::as_array).into_iter().flatten()
}

fn is(item: &Value, member: &str, wanted: &str) -> bool {
    item.get(member).and_then(Value::as_str) == Some(wanted)
}

/// What is stored of one patient.
struct Stored {
    patient: Value,
    cover: Option<Value>,
    insurers: Insurers,
}

async fn stored(unit: &mut Unit<'_>, visit: &Visit) -> Result<Stored> {
    let patient = patient::read(unit, "Patient", visit.part("id")).await?;
    let cover = affiliation::active(unit, encounter::id(&patient)).await?;
    Ok(Stored { patient, cover, insurers: affiliation::insurers(unit).await? })
}

/// The municipality as the field shows it: with department and code when it is one of the list.
fn stored_city(patient: &Value) -> String {
    let Some(home) = list(patient, "address").next() else { return String::new() };
    let of_home = |member: &str| home.get(member).and_then(Value::as_str).unwrap_or("");
    let known = municipality::find(of_home("district"));
    known.map_or_else(|| of_home("city").to_owned(), municipality::Municipality::label)
}

/// What is stored, as the form writes it.
fn stored_form(visit: &Visit, stored: &Stored) -> Form {
    let patient = &stored.patient;
    let documento = DocumentoId::of_patient(patient, &visit.app.systems);
    let (kind, number) = documento.as_ref().and_then(DocumentoId::parts).unwrap_or(("", ""));
    let name = list(patient, "name").find(|name| is(name, "use", "official")).or_else(|| list(patient, "name").next());
    let family = name.and_then(|name| name.get("family")?.as_str()).unwrap_or("");
    let extension = |url: &str| {
        let family = name.and_then(|name| name.get("_family"));
        family
            .into_iter()
            .flat_map(|family| list(family, "extension"))
            .find(|one| is(one, "url", url))
            .and_then(|one| one.get("valueString")?.as_str())
    };
    let (first, second) = family.split_once(' ').unwrap_or((family, ""));
    let (first, second) = match extension(FATHERS_FAMILY) {
        Some(fathers) => (fathers, extension(MOTHERS_FAMILY).unwrap_or("")),
        None => (first, second),
    };
    let given: Vec<&str> = name.into_iter().flat_map(|name| list(name, "given")).filter_map(Value::as_str).collect();
    let others = given.get(1..).unwrap_or_default().join(" ");
    let home = list(patient, "address").next();
    let city = stored_city(patient);
    let (eps, regime) = affiliation::stored(stored.cover.as_ref());
    let [contact_name, kin, contact_phone] = contact::stored(list(patient, "contact").next());
    let street = home.and_then(|home| home.get("line")?.get(0)?.as_str()).unwrap_or("");
    let phone = list(patient, "telecom")
        .find(|point| is(point, "system", "phone"))
        .and_then(|point| point.get("value")?.as_str());
    let birth = patient
        .get("birthDate")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .map(date_field)
        .unwrap_or_default();
    Form::of([
        ("tipo", kind),
        ("numero", number),
        ("apellido1", first),
        ("apellido2", second),
        ("nombre1", given.first().copied().unwrap_or("")),
        ("nombre2", others.as_str()),
        ("nacimiento", birth.as_str()),
        ("sexo", patient.get("gender").and_then(Value::as_str).unwrap_or("")),
        ("municipio", city.as_str()),
        ("celular", phone.unwrap_or("")),
        ("direccion", street),
        ("contacto_nombre", contact_name.as_str()),
        ("contacto_parentesco", kin.as_str()),
        ("contacto_celular", contact_phone.as_str()),
        ("eps", eps),
        ("regimen", regime),
    ])
}

/// What is shown of a form, and why.
enum State {
    Fresh,
    Wrong(Problems, Vec<(&'static str, String)>),
    /// Somebody else was first.
    Stale,
}

fn shown(visit: &Visit, stored: &Stored, form: &Form, state: State) -> Result<Reply> {
    let (reader, patient) = (&visit.reader, &stored.patient);
    let (status, problems, warnings, stale) = match state {
        State::Fresh => (200, Problems::default(), Vec::new(), false),
        State::Wrong(problems, warnings) => (422, problems, warnings, false),
        State::Stale => (409, Problems::default(), Vec::new(), true),
    };
    let mut sheet = Sheet::new(reader, Some(form), problems);
    new_patient::fill(visit, &mut sheet, &stored.insurers, &warnings);
    let back = address(encounter::id(patient));
    let mut page =
        visit.page(visit.text("register_patient.edit_title")).inside(back.clone(), visit.text("admission.patient"));
    page = page.about(Banner::new(visit, patient, None, None, None));
    let warning = warnings
        .first()
        .map(|(_, text)| Message::new(Tone::Warn, text.clone(), reader.text("register_patient.save_again")));
    let conflict = stale.then(|| {
        Message::new(Tone::Warn, reader.text("register_patient.changed"), reader.text("admission.changed_help"))
    });
    if let Some(message) = sheet.summary().or(warning).or(conflict) {
        page = page.says(message);
    }
    let model = Model {
        page,
        title: reader.text("register_patient.edit_title"),
        save: reader.text("register_patient.edit_save"),
        action: visit.path.clone(),
        back,
        version: Some(encounter::seen(patient, Some(form).filter(|_| !stale))),
        stored: if stale { stay::facts(visit, patient, stored.cover.as_ref()) } else { Vec::new() },
        fields: sheet.fields(),
        possible: Vec::new(),
        by_number: false,
        cover: match form.get("version").filter(|_| !stale) {
            Some(_) => form.typed("cobertura").to_owned(),
            None => affiliation::tag(stored.cover.as_ref()),
        },
        others: String::new(),
        settled: String::new(),
        may_go_on: false,
        warned: warnings.first().map_or("", |(key, _)| key).to_owned(),
    };
    visit.show_as(status, "register-patient", &model)
}

/// `/admision/paciente/{id}/datos`; `?tipo=CC`: the document has another type by now.
pub async fn page(visit: &Visit) -> Result<Reply> {
    let stored = visit.unit(async |unit| stored(unit, visit).await).await?;
    if let Some(draft) = &visit.draft {
        return shown(visit, &stored, draft, State::Fresh);
    }
    let form = stored_form(visit, &stored);
    let Some(kind) = visit.query.get("tipo") else { return shown(visit, &stored, &form, State::Fresh) };
    let pairs = form.pairs().map(|(name, value)| (name, if name == "tipo" { kind } else { value }));
    shown(visit, &stored, &Form::of(pairs), State::Fresh)
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let typed = new_patient::typed(form);
    let (stored, taken) = visit
        .unit(async |unit| {
            let stored = stored(unit, visit).await?;
            let taken = is_taken(unit, visit, typed.documento.as_ref(), &stored.patient).await?;
            Ok((stored, taken))
        })
        .await?;
    let mut problems = new_patient::problems(visit, form, &typed, &stored_city(&stored.patient));
    if taken {
        problems.add("numero", visit.text("register_patient.document_taken"));
    }
    let warnings: Vec<(&'static str, String)> = new_patient::unlikely(visit, form, &typed).into_iter().collect();
    let warned = warnings.first().is_none_or(|(key, _)| *key == form.typed("avisado"));
    if !problems.is_empty() || !warned {
        return shown(visit, &stored, form, State::Wrong(problems, warnings));
    }
    let version: i64 = form
        .typed("version")
        .parse()
        .map_err(|_| Error::at(Kind::Required, "version", "the form names the version that it changes"))?;
    let done = visit.once(async |unit| update(unit, visit, form, version).await).await;
    match done {
        Ok(to) => Ok(Reply::said(to, "said.corrected")),
        Err(error) if error.kind == Kind::StaleVersion => {
            let (stored, base) = visit
                .unit(async |unit| {
                    let stored = self::stored(unit, visit).await?;
                    let base = looked_at(unit, visit, form, version).await?;
                    Ok((stored, base))
                })
                .await?;
            let pairs = merged(form, &base, &stored_form(visit, &stored));
            let form = Form::of(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            shown(visit, &stored, &form, State::Stale)
        }
        Err(error) => Err(error),
    }
}

/// The form as it was looked at: the version of the Patient, and that of the Coverage, from which it was made.
async fn looked_at(unit: &mut Unit<'_>, visit: &Visit, form: &Form, version: i64) -> Result<Form> {
    let patient = patient::version(unit, "Patient", visit.part("id"), &version.to_string()).await?;
    let cover = match form.typed("cobertura").rsplit_once('/') {
        Some((id, version)) => Some(patient::version(unit, "Coverage", id, version).await?),
        None => None,
    };
    Ok(stored_form(visit, &Stored { patient, cover, insurers: Insurers::default() }))
}

/// What was typed on top of what is stored by now, datum by datum: what was not changed here takes the stored value; of what
/// both changed the typed value is shown, and beside it the stored one.
fn merged(form: &Form, base: &Form, stored: &Form) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (name, now) in stored.pairs() {
        let (typed, before) = (form.typed(name), base.typed(name));
        let is_ours = typed != before;
        pairs.push((name.to_owned(), if is_ours { typed } else { now }.to_owned()));
        if is_ours && now != before && now != typed {
            pairs.push((format!("{SAVED}.{name}"), now.to_owned()));
        }
    }
    pairs
}

/// Whether somebody else has the document; with other zeros before it, when it is a new one here.
async fn is_taken(unit: &mut Unit<'_>, visit: &Visit, documento: Option<&DocumentoId>, own: &Value) -> Result<bool> {
    let Some(documento) = documento else { return Ok(false) };
    let query = format!("identifier={}&_count=100", spellings(&visit.reader, documento));
    let found = search(unit, "Patient", &query).await?;
    let of = |patient: &Value| DocumentoId::of_patient(patient, &visit.app.systems);
    let is_new = of(own).as_ref() != Some(documento);
    let same = |other: &Value| {
        let is_theirs = |theirs: DocumentoId| theirs == *documento || (is_new && theirs.is_same(documento));
        encounter::id(other) != encounter::id(own) && of(other).is_some_and(is_theirs)
    };
    Ok(found.resources.iter().any(same))
}

async fn update(unit: &mut Unit<'_>, visit: &Visit, form: &Form, version: i64) -> Result<String> {
    let Stored { patient, cover, insurers } = stored(unit, visit).await?;
    let id = encounter::id(&patient).to_owned();
    if form.typed("cobertura") != affiliation::tag(cover.as_ref()) {
        return Err(Error::at(Kind::StaleVersion, "cobertura", "the coverage has another version by now"));
    }
    affiliation::save(unit, form, &id, &insurers, cover).await?;
    let resource = corrected(&visit.app.systems, patient, form)?;
    unit.run(&Interaction::Update {
        resource_type: named("Patient")?,
        id: id.clone(),
        resource: Content::new(resource),
        if_match: Some(version),
    })
    .await?;
    Ok(address(&id))
}

/// The stored Patient with what was typed; everything that the form does not show stays.
fn corrected(systems: &Systems, stored: Value, form: &Form) -> Result<Value> {
    let typed = new_patient::typed(form);
    let former = DocumentoId::of_patient(&stored, systems);
    let documento =
        typed.documento.clone().ok_or_else(|| Error::at(Kind::Required, "numero", "the document of the patient"))?;
    let (_, number) = documento.parts().ok_or_else(|| Error::internal("a typed document has no number"))?;
    let Value::Object(mut new) = new_patient::resource(form, &typed, number) else {
        return Err(Error::internal("a Patient is no object"));
    };
    let former_address = json!({"address": stored.get("address")});
    let Value::Object(mut patient) = stored else { return Err(Error::internal("a Patient is no object")) };
    if former.as_ref() != Some(&documento) {
        for identifier in patient.get_mut("identifier").and_then(Value::as_array_mut).into_iter().flatten() {
            let is_former = DocumentoId::of_identifier(identifier, systems) == former && former.is_some();
            if let Some(identifier) = identifier.as_object_mut().filter(|_| is_former) {
                identifier.insert("use".into(), json!("old"));
            }
        }
        put_first(&mut patient, &mut new, "identifier", |_| false);
    }
    let same_name = |name: &Value| {
        is(name, "family", &typed.surnames) && list(name, "given").filter_map(Value::as_str).eq(typed.names.split(' '))
    };
    if !patient.get("name").is_some_and(|names| names.as_array().is_some_and(|names| names.iter().any(same_name))) {
        put_first(&mut patient, &mut new, "name", |name| is(name, "use", "official"));
    }
    put_first(&mut patient, &mut new, "telecom", |point| {
        is(point, "system", "phone") && !is(point, "use", "work") && !is(point, "use", "old")
    });
    let home = |address: &Value| is(address, "use", "home") || address.get("use").is_none();
    // A municipality that is not in the list stays as long as nobody types another.
    let before = list(&former_address, "address").find(|one| home(one)).and_then(Value::as_object);
    if municipality::read(form.typed("municipio")).is_err() && before.is_some() {
        let address = new.entry("address").or_insert_with(|| json!([{"use": "home"}]));
        for member in ["city", "district", "state", "country"] {
            if let (Some(value), Some(address)) =
                (before.and_then(|before| before.get(member)), address.get_mut(0).and_then(Value::as_object_mut))
            {
                address.insert(member.to_owned(), value.clone());
            }
        }
    }
    put_first(&mut patient, &mut new, "address", home);
    contacts(&mut patient, form);
    for element in ["gender", "birthDate"] {
        match new.get(element) {
            Some(value) => drop(patient.insert(element.to_owned(), value.clone())),
            None => drop(patient.shift_remove(element)),
        }
    }
    Ok(Value::Object(patient))
}

/// The first contact with what was typed; the others stay.
fn contacts(patient: &mut Map<String, Value>, form: &Form) {
    let mut all = patient.get_mut("contact").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    let first = contact::merged(all.first(), form);
    if !all.is_empty() {
        all.remove(0);
    }
    let all: Vec<Value> = first.into_iter().chain(all).collect();
    match all.is_empty() {
        true => drop(patient.shift_remove("contact")),
        false => drop(patient.insert("contact".to_owned(), Value::Array(all))),
    }
}

/// The new items of a list before the stored ones, less those that they replace.
fn put_first(
    patient: &mut Map<String, Value>,
    new: &mut Map<String, Value>,
    element: &str,
    replaced: impl Fn(&Value) -> bool,
) {
    let mut items = new.get_mut(element).and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    let stored = patient.get_mut(element).and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    items.extend(stored.into_iter().filter(|item| !replaced(item)));
    match items.is_empty() {
        true => drop(patient.shift_remove(element)),
        false => drop(patient.insert(element.to_owned(), Value::Array(items))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_changed_is_put_together_datum_by_datum() {
        let form = |name: &'static str, phone: &'static str, city: &'static str| {
            Form::of([("nombre1", name), ("celular", phone), ("municipio", city)])
        };
        let base = form("Ana", "3000000001", "Chía");
        let pairs = merged(&form("Anna", "3000000001", "Cota"), &base, &form("Ana", "3000000002", "Soacha"));
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            pairs,
            [("nombre1", "Anna"), ("celular", "3000000002"), ("municipio", "Cota"), ("guardado.municipio", "Soacha")]
        );
    }

    #[test]
    fn a_new_document_makes_the_former_one_old_and_the_rest_stays() {
        let coding = json!([{"system": "urn:types", "code": "TI"}]);
        let stored = json!({
            "resourceType": "Patient", "id": "p1", "birthDate": "2008-02-02", "gender": "female", "maritalStatus": {"text": "S"},
            "identifier": [{"use": "official", "type": {"coding": coding}, "value": "1099999412"}, {"system": "urn:mrn", "value": "7"}],
            "name": [{"use": "official", "family": "Ibáñez Güiza", "given": ["María", "José"]}],
            "telecom": [{"system": "phone", "value": "1", "use": "mobile"}, {"system": "email", "value": "a@example.org"}],
            "address": [{"use": "home", "city": "Chía", "district": "25175", "state": "Cundinamarca"}]
        });
        let form = Form::of([
            ("tipo", "CC"),
            ("numero", "1.099.999.412"),
            ("apellido1", "Ibáñez"),
            ("apellido2", "Güiza"),
            ("nombre1", "María"),
            ("nombre2", "José"),
            ("nacimiento", "02/02/2008"),
            ("sexo", "female"),
            ("municipio", "Chía"),
            ("celular", "3009994120"),
        ]);
        let patient = corrected(&Systems::default(), stored.clone(), &form).unwrap();
        assert_eq!(DocumentoId::of_patient(&patient, &Systems::default()).unwrap().as_str(), "CC-1099999412");
        assert_eq!(
            (&patient["identifier"][1]["use"], &patient["identifier"][2]),
            (&json!("old"), &stored["identifier"][1])
        );
        assert_eq!((&patient["name"], &patient["maritalStatus"]), (&stored["name"], &stored["maritalStatus"]));
        assert_eq!(
            (&patient["telecom"][0]["value"], &patient["telecom"][1]),
            (&json!("3009994120"), &stored["telecom"][1])
        );
        assert_eq!(patient["address"][0]["state"], "Cundinamarca");
    }
}
