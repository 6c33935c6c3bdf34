//! `/resultados/orden/{id}`: a result of an order, preliminary until somebody validates it.

use super::{DESK, words};
use crate::error::{Error, Kind, Result};
use crate::interaction::{Content, Interaction};
use crate::oauth::form::Form;
use crate::view::loinc::{self, Common};
use crate::view::observation::{Circumstances, concept, float, judge, number, observation, put, quantity};
use crate::view::page::Page;
use crate::view::patient::{self, Name};
use crate::view::record::words::{joined, list, text};
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::visit::{Reply, Visit};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
struct Model {
    page: Page,
    action: String,
    order: String,
    person: String,
    document: String,
    fields: Fields,
}

/// The order and its patient.
async fn order(visit: &Visit) -> Result<(Value, Value)> {
    visit
        .unit(async |unit| {
            let order = patient::read(unit, "ServiceRequest", visit.part("id")).await?;
            let person = patient::read(unit, "Patient", &patient_of(&order)?).await?;
            Ok((order, person))
        })
        .await
}

pub(super) fn patient_of(resource: &Value) -> Result<String> {
    let reference = resource.get("subject").map(|subject| text(subject, "reference")).unwrap_or_default();
    let id = reference.rsplit_once("Patient/").map(|(_, id)| id.to_owned());
    id.ok_or_else(|| Error::new(Kind::NotFound, "there is no such resource"))
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let (order, person) = order(visit).await?;
    shown(visit, 200, &order, &person, visit.draft.as_ref(), Problems::default())
}

/// What the order asks for, when it is one examination of the list.
fn asked(order: &Value) -> Option<&'static Common> {
    order.get("code").and_then(|code| list(code, "coding").find_map(|coding| loinc::find(text(coding, "code"))))
}

fn shown(
    visit: &Visit,
    code: u16,
    order: &Value,
    person: &Value,
    typed: Option<&Form>,
    problems: Problems,
) -> Result<Reply> {
    let known = asked(order);
    let mut sheet = Sheet::new(&visit.reader, typed, problems);
    sheet
        .line("examen", "lab.test", known.map_or("", |known| known.name(visit.reader.language)))
        .hint(visit.text("lab.test_hint"));
    sheet.line("valor", "lab.value", "").hint(visit.text("lab.value_hint"));
    sheet.line("desde", "lab.low", "").optional();
    sheet.line("hasta", "lab.high", "").optional();
    sheet.check("critico", "lab.is_critical", false);
    let page = visit.page(visit.text("lab.enter_title")).at(DESK).inside(DESK, visit.text("lab.list"));
    let page = Page { message: sheet.summary().or(page.message.clone()), ..page };
    let model = Model {
        page,
        action: visit.path.clone(),
        order: joined([words(visit).concept(order.get("code")), words(visit).when(order, &["authoredOn"]).text], " · "),
        person: Name::of(person).whole(),
        document: patient::document(visit, person).unwrap_or_default(),
        fields: sheet.fields(),
    };
    visit.show_as(code, "lab-enter", &model)
}

/// The one examination that was typed: by code, by its whole name, or the only one that fits.
fn chosen(visit: &Visit, typed: &str) -> Option<&'static Common> {
    let found = loinc::search(typed);
    let same = found.iter().find(|known| known.name(visit.reader.language).eq_ignore_ascii_case(typed));
    loinc::find(typed)
        .or_else(|| same.copied())
        .or_else(|| if let [one] = found.as_slice() { Some(*one) } else { None })
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let (order, person) = order(visit).await?;
    let mut problems = Problems::default();
    let test = chosen(visit, form.typed("examen")).filter(|known| known.category == "laboratory");
    if test.is_none() {
        problems.add("examen", visit.text("lab.test_wrong"));
    }
    let id = patient_of(&order)?;
    let at = visit.reader.now.to_string();
    let made = test.map(|test| {
        let by = Circumstances { patient: &id, encounter: None, at: &at, by: &visit.name };
        let mut made = observation(&by, "laboratory", concept(&[test.code], test.name(visit.reader.language)));
        put(&mut made, "status", json!("preliminary"));
        put(&mut made, "issued", json!(at));
        put(&mut made, "basedOn", json!([{"reference": format!("ServiceRequest/{}", text(&order, "id"))}]));
        if let Some(encounter) = order.get("encounter") {
            put(&mut made, "encounter", encounter.clone());
        }
        value_into(visit, &mut made, form, test.is_text(), (test.unit, test.ucum), &mut problems);
        made
    });
    let Some(made) = made.filter(|_| problems.is_empty()) else {
        return shown(visit, 422, &order, &person, Some(form), problems);
    };
    let resource_type = patient::named("Observation")?;
    let to = visit
        .once(async |unit| {
            let create =
                Interaction::Create { resource_type, resource: Content::new(made.clone()), if_none_exist: None };
            unit.run(&create).await?;
            Ok(DESK.to_owned())
        })
        .await?;
    Ok(Reply::said(to, "said.saved"))
}

/// Value, reference and interpretation of what was typed.
pub(super) fn value_into(
    visit: &Visit,
    made: &mut Value,
    form: &Form,
    is_text: bool,
    (unit, ucum): (&str, &str),
    problems: &mut Problems,
) {
    let typed = form.typed("valor");
    if typed.is_empty() {
        return problems.add("valor", visit.text("form.missing"));
    }
    if is_text {
        return put(made, "valueString", json!(typed));
    }
    let Ok(value) = number(typed) else { return problems.add("valor", visit.text("lab.number_wrong")) };
    let mut end = |name: &'static str| match form.typed(name) {
        "" => None,
        typed => number(typed).map_err(|_| problems.add(name, visit.text("lab.number_wrong"))).ok(),
    };
    let (low, high) = (end("desde"), end("hasta"));
    if let (Some(low), Some(high)) = (&low, &high)
        && float(low) > float(high)
    {
        problems.add("hasta", visit.text("lab.range_wrong"));
    }
    put(made, "valueQuantity", quantity(&value, unit, ucum));
    judge(made, float(&value), (low.clone(), high.clone()), unit, ucum);
    if form.typed("critico") == "1" {
        let code = match (low.map(|low| float(&low)), high.map(|high| float(&high))) {
            (Some(low), _) if float(&value) < low => "LL",
            (_, Some(high)) if float(&value) > high => "HH",
            _ => "AA",
        };
        put(
            made,
            "interpretation",
            json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": code}]}]),
        );
    }
}
