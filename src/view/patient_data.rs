//! Correcting the data of a patient at the desk: a new version, the former document kept as an old one.

use crate::error::{Error, Kind, Result};
use crate::fhir::documento::{DocumentoId, Systems};
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::view::encounter;
use crate::view::find::spellings;
use crate::view::format::date_field;
use crate::view::new_patient::{self, FATHERS_FAMILY, MOTHERS_FAMILY, Model};
use crate::view::page::{Message, Tone};
use crate::view::patient::{self, Banner, named, search};
use crate::view::sheet::{Problems, Sheet};
use crate::view::stay;
use crate::view::visit::{Reply, Visit, encoded};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

fn address(id: &str) -> String {
    format!("/admision/paciente/{}", encoded(id))
}

fn list<'v>(resource: &'v Value, element: &str) -> impl Iterator<Item = &'v Value> {
    resource.get(element).and_then(Value::as_array).into_iter().flatten()
}

fn is(item: &Value, member: &str, wanted: &str) -> bool {
    item.get(member).and_then(Value::as_str) == Some(wanted)
}

/// What is stored, as the form writes it.
fn stored_form(visit: &Visit, patient: &Value) -> Form {
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
    let of_home = |member: &str| home.and_then(|home| home.get(member)?.as_str()).unwrap_or("");
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
        ("municipio", of_home("city")),
        ("municipio_codigo", of_home("district")),
        ("celular", phone.unwrap_or("")),
        ("direccion", street),
    ])
}

/// What is shown of a form, and why.
enum State {
    Fresh,
    Wrong(Problems, Vec<(&'static str, String)>),
    /// Somebody else was first.
    Stale,
}

fn shown(visit: &Visit, patient: &Value, form: &Form, state: State) -> Result<Reply> {
    let reader = &visit.reader;
    let (status, problems, warnings, stale) = match state {
        State::Fresh => (200, Problems::default(), Vec::new(), false),
        State::Wrong(problems, warnings) => (422, problems, warnings, false),
        State::Stale => (409, Problems::default(), Vec::new(), true),
    };
    let mut sheet = Sheet::new(reader, Some(form), problems);
    new_patient::fill(visit, &mut sheet, &BTreeMap::new(), &warnings);
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
        stored: if stale { stay::facts(visit, patient, None) } else { Vec::new() },
        fields: sheet.fields(),
        possible: Vec::new(),
        others: String::new(),
        settled: String::new(),
        may_go_on: false,
        warned: warnings.first().map_or("", |(key, _)| key).to_owned(),
    };
    visit.show_as(status, "register-patient", &model)
}

/// `/admision/paciente/{id}/datos`.
pub async fn page(visit: &Visit) -> Result<Reply> {
    let patient = visit.unit(async |unit| patient::read(unit, "Patient", visit.part("id")).await).await?;
    match &visit.draft {
        Some(draft) => shown(visit, &patient, draft, State::Fresh),
        None => shown(visit, &patient, &stored_form(visit, &patient), State::Fresh),
    }
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let typed = new_patient::typed(form);
    let mut problems = new_patient::problems(visit, form, &typed);
    let (patient, taken) = visit
        .unit(async |unit| {
            let patient = patient::read(unit, "Patient", visit.part("id")).await?;
            let taken = is_taken(unit, visit, typed.documento.as_ref(), encounter::id(&patient)).await?;
            Ok((patient, taken))
        })
        .await?;
    if taken {
        problems.add("numero", visit.text("register_patient.document_taken"));
    }
    let warnings: Vec<(&'static str, String)> = new_patient::unlikely(visit, form, &typed).into_iter().collect();
    let warned = warnings.first().is_none_or(|(key, _)| *key == form.typed("avisado"));
    if !problems.is_empty() || !warned {
        return shown(visit, &patient, form, State::Wrong(problems, warnings));
    }
    let version: i64 = form
        .typed("version")
        .parse()
        .map_err(|_| Error::at(Kind::Required, "version", "the form names the version that it changes"))?;
    let done = visit.once(async |unit| update(unit, visit, form, version).await).await;
    match done {
        Ok(to) => Ok(Reply::said(to, "said.corrected")),
        Err(error) if error.kind == Kind::StaleVersion => {
            let patient = visit.unit(async |unit| patient::read(unit, "Patient", visit.part("id")).await).await?;
            shown(visit, &patient, form, State::Stale)
        }
        Err(error) => Err(error),
    }
}

/// Whether somebody else has the document.
async fn is_taken(unit: &mut Unit<'_>, visit: &Visit, documento: Option<&DocumentoId>, id: &str) -> Result<bool> {
    let Some((_, number)) = documento.and_then(DocumentoId::parts) else { return Ok(false) };
    let found = search(unit, "Patient", &format!("identifier={}&_count=100", spellings(&visit.reader, number))).await?;
    let same = |other: &Value| {
        encounter::id(other) != id && DocumentoId::of_patient(other, &visit.app.systems).as_ref() == documento
    };
    Ok(found.resources.iter().any(same))
}

async fn update(unit: &mut Unit<'_>, visit: &Visit, form: &Form, version: i64) -> Result<String> {
    let stored = patient::read(unit, "Patient", visit.part("id")).await?;
    let id = encounter::id(&stored).to_owned();
    let resource = corrected(&visit.app.systems, stored, form)?;
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
    let state = patient
        .get("address")
        .and_then(Value::as_array)
        .and_then(|all| all.iter().find(|one| home(one)))
        .and_then(|one| Some((one.get("district")?.clone(), one.get("state")?.clone())));
    // The department goes with the municipality.
    if let (Some((district, state)), Some(address)) =
        (state, new.get_mut("address").and_then(|all| all.get_mut(0)).and_then(Value::as_object_mut))
        && address.get("district") == Some(&district)
    {
        address.insert("state".into(), state);
    }
    put_first(&mut patient, &mut new, "address", home);
    for element in ["gender", "birthDate"] {
        match new.get(element) {
            Some(value) => drop(patient.insert(element.to_owned(), value.clone())),
            None => drop(patient.shift_remove(element)),
        }
    }
    Ok(Value::Object(patient))
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
            ("municipio_codigo", "25175"),
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
