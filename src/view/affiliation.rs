//! Who pays for a patient: the two fields EPS and regime of the desk, and the Coverage behind them.
//! <https://hl7.org/fhir/R4/coverage.html>

use crate::error::Result;
use crate::i18n::{self, Language};
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::search::param::string::fold;
use crate::view::admission::insurer;
use crate::view::encounter;
use crate::view::patient::{named, search};
use crate::view::sheet::{Problems, Sheet};
use crate::view::visit::Visit;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Codes of the form; `ninguno` is nobody's insurance.
const REGIMES: [&str; 5] = ["contributivo", "subsidiado", "especial", "particular", NONE];
const PRIVATE: &str = "particular";
const NONE: &str = "ninguno";
const LONGEST: usize = 60;

/// The insurers of the directory: id by name.
pub type Insurers = BTreeMap<String, String>;

pub async fn insurers(unit: &mut Unit<'_>) -> Result<Insurers> {
    let found = search(unit, "Organization", "type=ins&_count=200").await?;
    let pair = |one: &Value| Some((one.get("name")?.as_str()?.to_owned(), encounter::id(one).to_owned()));
    Ok(found.resources.iter().filter_map(pair).collect())
}

/// The Coverage that holds now.
pub async fn active(unit: &mut Unit<'_>, patient: &str) -> Result<Option<Value>> {
    let found = search(unit, "Coverage", &format!("patient={patient}&status=active&_count=1")).await?;
    Ok(found.resources.into_iter().next())
}

/// Which version of which Coverage a form was made from.
pub fn tag(cover: Option<&Value>) -> String {
    let version = |cover| encounter::version(cover).unwrap_or_default();
    cover.map(|cover| format!("{}/{}", encounter::id(cover), version(cover))).unwrap_or_default()
}

/// As it is stored: Spanish, whatever the reader's language.
fn long(regime: &str) -> &'static str {
    i18n::text(Language::Es, &format!("register_patient.{regime}_long"))
}

pub fn fields(visit: &Visit, sheet: &mut Sheet<'_>, insurers: &Insurers) {
    sheet.line("eps", "admission.insurer", "").optional().longest(LONGEST).suggest(insurers.keys().cloned().collect());
    let mut regimes = vec![("", visit.text("admission.choose"))];
    let labels: Vec<String> = REGIMES.iter().map(|regime| format!("register_patient.{regime}")).collect();
    regimes.extend(REGIMES.iter().zip(&labels).map(|(regime, label)| (*regime, visit.text(label))));
    sheet.choice("regimen", "register_patient.regime", "", &regimes).optional();
}

pub fn problems(visit: &Visit, form: &Form, problems: &mut Problems) {
    let needs = !matches!(form.typed("regimen"), "" | PRIVATE | NONE);
    if form.typed("eps").is_empty() && needs {
        problems.add("eps", visit.text("register_patient.eps_missing"));
    }
    if form.typed("eps").chars().count() > LONGEST {
        problems.add("eps", visit.reader.fill("admission.too_long", &[("n", &LONGEST.to_string())]));
    }
}

/// What the form shows of a Coverage: EPS and regime.
pub fn stored(cover: Option<&Value>) -> (&str, &'static str) {
    let name = cover.and_then(insurer).unwrap_or_default();
    let kind = cover.and_then(|cover| cover.get("type")).and_then(encounter::concept).unwrap_or_default();
    let regime = REGIMES.into_iter().find(|regime| fold(long(regime)) == fold(kind)).unwrap_or_default();
    (if fold(name) == fold(long(PRIVATE)) { "" } else { name }, regime)
}

/// What was typed, in place of what a Coverage said; none when nobody pays.
fn typed(form: &Form, patient: &str, insurers: &Insurers, mut cover: Map<String, Value>) -> Option<Value> {
    let regime = REGIMES.into_iter().find(|known| *known == form.typed("regimen"));
    let name = match form.typed("eps") {
        "" if regime == Some(PRIVATE) => long(PRIVATE),
        name => name,
    };
    if name.is_empty() {
        return None;
    }
    let payor = match insurers.iter().find(|(known, _)| fold(known) == fold(name)) {
        Some((known, id)) => json!({"reference": format!("Organization/{id}"), "display": known}),
        None => json!({"display": name}),
    };
    cover.insert("resourceType".into(), json!("Coverage"));
    cover.insert("status".into(), json!("active"));
    match regime.filter(|regime| *regime != NONE) {
        Some(regime) => drop(cover.insert("type".into(), json!({"text": long(regime)}))),
        None => drop(cover.shift_remove("type")),
    }
    cover.entry("beneficiary").or_insert_with(|| json!({"reference": format!("Patient/{patient}")}));
    cover.insert("payor".into(), json!([payor]));
    Some(Value::Object(cover))
}

/// Creates, changes or ends the Coverage, as the form says; nothing when it says what is stored.
pub async fn save(
    unit: &mut Unit<'_>,
    form: &Form,
    patient: &str,
    insurers: &Insurers,
    cover: Option<Value>,
) -> Result<()> {
    if stored(cover.as_ref()) == (form.typed("eps"), form.typed("regimen")) {
        return Ok(());
    }
    let resource_type = named("Coverage")?;
    let Some(Value::Object(before)) = cover else {
        if let Some(new) = typed(form, patient, insurers, Map::new()) {
            let resource = Content::new(new);
            unit.run(&Interaction::Create { resource_type, resource, if_none_exist: None }).await?;
        }
        return Ok(());
    };
    let text = |cover: &Value| (encounter::id(cover).to_owned(), encounter::version(cover));
    let (id, version) = text(&Value::Object(before.clone()));
    let ended = || {
        let mut ended = before.clone();
        ended.insert("status".into(), json!("cancelled"));
        Value::Object(ended)
    };
    let resource = Content::new(typed(form, patient, insurers, before.clone()).unwrap_or_else(ended));
    unit.run(&Interaction::Update { resource_type, id, resource, if_match: version }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coverage_is_what_the_form_shows_of_it() {
        let insurers = Insurers::from([("EPS Ejemplo Uno".to_owned(), "o1".to_owned())]);
        let check = |eps: &str, regime: &str, shown: Option<(&str, &str)>, payor: Value| {
            let form = Form::of([("eps", eps), ("regimen", regime)]);
            let made = typed(&form, "p1", &insurers, Map::new());
            assert_eq!(made.as_ref().map(|made| stored(Some(made))), shown, "{eps} {regime}");
            assert_eq!(made.map_or(Value::Null, |made| made["payor"][0].clone()), payor, "{eps} {regime}");
        };
        let one = json!({"reference": "Organization/o1", "display": "EPS Ejemplo Uno"});
        check("eps ejemplo uno", "subsidiado", Some(("EPS Ejemplo Uno", "subsidiado")), one.clone());
        check("EPS Ejemplo Uno", "", Some(("EPS Ejemplo Uno", "")), one);
        check("Otra", "contributivo", Some(("Otra", "contributivo")), json!({"display": "Otra"}));
        check("", "particular", Some(("", "particular")), json!({"display": "Particular"}));
        check("", "ninguno", None, Value::Null);
        check("", "", None, Value::Null);
    }
}
