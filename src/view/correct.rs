//! `/paciente/{id}/registro/{tipo}/{rid}/corregir`: a new version of an entry; the old one stays readable.
//! `.../suspender`: the version that ends an order of a medicine. Somebody who was faster is named, and both are shown.

use crate::error::{Error, Kind, Result};
use crate::interaction::sight;
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::view::allergy;
use crate::view::chart;
use crate::view::conflict::{self, Other, Pair};
use crate::view::lab::exam::Reference;
use crate::view::lab::value::{Measure, amount, code, interpreted};
use crate::view::loinc;
use crate::view::observation::{field_of, float, put};
use crate::view::observe;
use crate::view::page::Page;
use crate::view::patient::{named, read};
use crate::view::prescribe;
use crate::view::problem;
use crate::view::record::clinical::states_none;
use crate::view::record::words::{code_of, joined, list, text};
use crate::view::record::{Extent, Record};
use crate::view::sheet::{Field, Fields, Options, Problems, Sheet, options_of};
use crate::view::versions::{absent, is_of, wanted, words};
use crate::view::visit::{Reply, Visit};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Blood pressure, its systolic and its diastolic part (LOINC): the fields of their form.
const PARTS: [(&str, &str, &str); 2] =
    [("sistolica", "8480-6", "sign.8480-6"), ("diastolica", "8462-4", "sign.8462-4")];
/// The last part of the address of an order that is to end.
const END: &str = "/suspender";
/// And of an observation that is taken back: of somebody else, never made.
const VOID: &str = "/anular";

/// What can be corrected here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    Condition,
    Number,
    Text,
    Pressure,
    Allergy,
    /// The statement that no allergy is known.
    Statement,
    Medicine,
    /// How an order ends.
    End,
    /// It was entered in error.
    Void,
}

impl Edit {
    pub fn of(kind: &str, resource: &Value) -> Option<Edit> {
        let status = text(resource, "status");
        if status == "entered-in-error" || code_of(resource.get("verificationStatus"), |_| true) == "entered-in-error" {
            return None;
        }
        match kind {
            "Condition" => Some(Edit::Condition),
            "AllergyIntolerance" if states_none(resource) => Some(Edit::Statement),
            "AllergyIntolerance" => Some(Edit::Allergy),
            // Several dosages, or steps of one, are more than the form can say.
            "MedicationRequest" => (list(resource, "dosageInstruction").count() <= 1).then_some(Edit::Medicine),
            // What the laboratory has not released is the laboratory's.
            "Observation" if waits(resource) => None,
            "Observation" if resource.get("valueQuantity").is_some() => Some(Edit::Number),
            "Observation" if resource.get("valueString").is_some() => Some(Edit::Text),
            "Observation" => PARTS.iter().all(|(_, code, _)| part(resource, code).is_some()).then_some(Edit::Pressure),
            _ => None,
        }
    }

    /// The choices among its fields.
    fn options(self) -> &'static Options {
        match self {
            Edit::Condition => problem::OPTIONS,
            Edit::Allergy | Edit::Statement => allergy::OPTIONS,
            Edit::Medicine | Edit::End => prescribe::OPTIONS,
            Edit::Number | Edit::Text | Edit::Pressure | Edit::Void => &[],
        }
    }

    /// Its title, the label and the hint of its reason, its help, its button.
    fn words(self) -> [&'static str; 5] {
        match self {
            Edit::End => {
                ["prescribe.end", "prescribe.why", "prescribe.why_hint", "prescribe.end_help", "prescribe.end_save"]
            }
            Edit::Void => ["void.title", "void.reason", "void.reason_hint", "void.help", "void.save"],
            _ => ["correct.title", "correct.reason", "correct.reason_hint", "correct.help", "correct.save"],
        }
    }
}

/// Whether a result of the laboratory is not released yet.
fn waits(resource: &Value) -> bool {
    let is_laboratory = list(resource, "category").any(|category| code_of(Some(category), |_| true) == "laboratory");
    is_laboratory && matches!(text(resource, "status"), "registered" | "preliminary")
}

/// What can be taken back: an observation that is not taken back yet, and is not the laboratory's to judge.
pub fn can_void(kind: &str, resource: &Value) -> bool {
    kind == "Observation" && !waits(resource) && !matches!(text(resource, "status"), "entered-in-error" | "cancelled")
}

fn has_code(holder: &Value, code: &str) -> bool {
    holder.get("code").is_some_and(|concept| list(concept, "coding").any(|coding| text(coding, "code") == code))
}

fn part<'v>(resource: &'v Value, code: &str) -> Option<&'v Value> {
    list(resource, "component").find(|part| part.get("valueQuantity").is_some() && has_code(part, code))
}

#[derive(Serialize)]
struct Model {
    page: Page,
    action: String,
    back: String,
    what: String,
    help: &'static str,
    save: &'static str,
    fields: Vec<Field>,
    version: String,
}

/// A field as it is stored: the value as the form writes it, its unit.
struct Kept {
    name: &'static str,
    label: &'static str,
    value: String,
    unit: String,
}

impl Kept {
    fn new(name: &'static str, label: &'static str, value: impl Into<String>) -> Kept {
        Kept { name, label, value: value.into(), unit: String::new() }
    }

    fn measured(visit: &Visit, name: &'static str, label: &'static str, holder: &Value) -> Kept {
        let amount = holder.get("valueQuantity").unwrap_or(&Value::Null);
        let digits = field_of(&visit.reader, amount);
        Kept { unit: text(amount, "unit").to_owned(), ..Kept::new(name, label, digits) }
    }
}

/// The fields of a correction, as they are stored.
fn stored(visit: &Visit, edit: Edit, resource: &Value) -> Vec<Kept> {
    let all = |fields: &[(&'static str, &'static str, String)]| {
        fields.iter().map(|(name, label, value)| Kept::new(name, label, value.clone())).collect()
    };
    match edit {
        Edit::Number => vec![Kept::measured(visit, "valor", "observe.value", resource)],
        Edit::Text => vec![Kept::new("valor", "observe.value", text(resource, "valueString"))],
        Edit::Pressure => {
            let each = |(field, code, label): &(&'static str, &'static str, &'static str)| {
                Kept::measured(visit, field, label, part(resource, code).unwrap_or(&Value::Null))
            };
            PARTS.iter().map(each).collect()
        }
        Edit::Condition => {
            let kept = condition(resource);
            vec![
                Kept::new("texto", "problem.text", kept.text),
                Kept::new("codigo", "problem.code", kept.code),
                Kept::new("desde", "problem.onset", kept.onset),
                Kept::new("estado", "problem.status", kept.status),
                Kept::new("certeza", "problem.certainty", kept.certainty),
            ]
        }
        Edit::Allergy => all(&allergy::Entry::of(resource).stored()),
        Edit::Statement => vec![Kept::new("estado", "problem.status", allergy::Entry::of(resource).status)],
        Edit::Medicine => all(&order(visit, resource).stored()),
        Edit::End => {
            let status = text(resource, "status");
            vec![Kept::new("fin", "prescribe.how", if status == "active" { "stopped" } else { status })]
        }
        Edit::Void => Vec::new(),
    }
}

fn order(visit: &Visit, resource: &Value) -> prescribe::Entry {
    let base = format!("{}/", visit.app.base);
    prescribe::Entry::of(&words(visit, &base), resource)
}

fn condition(resource: &Value) -> problem::Stored {
    let status = |name: &str, other: &str, first: &str| {
        if code_of(resource.get(name), |_| true) == other { other.to_owned() } else { first.to_owned() }
    };
    let code = resource.get("code").unwrap_or(&Value::Null);
    let icd = list(code, "coding").find(|coding| text(coding, "system") == "http://hl7.org/fhir/sid/icd-10");
    let said = text(code, "text");
    let display = list(code, "coding").map(|coding| text(coding, "display")).find(|display| !display.is_empty());
    problem::Stored {
        code: icd.map(|coding| text(coding, "code")).unwrap_or_default().to_owned(),
        text: if said.is_empty() { display.unwrap_or_default() } else { said }.to_owned(),
        onset: problem::onset_field(text(resource, "onsetDateTime")),
        status: status("clinicalStatus", "resolved", "active"),
        certainty: status("verificationStatus", "provisional", "confirmed"),
    }
}

/// Reads the entry: it must be of this patient, and of those that can be corrected.
async fn entry(unit: &mut Unit<'_>, visit: &Visit, patient: &str, kind: &str, id: &str) -> Result<(Value, Edit)> {
    let resource = read(unit, kind, id).await?;
    if !is_of(visit, &resource, patient) {
        return Err(absent());
    }
    let edit = match (kind, &visit.path) {
        ("MedicationRequest", path) if path.ends_with(END) => Edit::of(kind, &resource).map(|_| Edit::End),
        (_, path) if path.ends_with(VOID) => can_void(kind, &resource).then_some(Edit::Void),
        (_, path) if path.ends_with(END) => None,
        _ => Edit::of(kind, &resource),
    };
    Ok((resource, edit.ok_or_else(absent)?))
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let (kind, id) = wanted(visit)?;
    let record = chart::of(visit, Extent::Banner).await?;
    let (resource, edit) = visit.unit(async |unit| entry(unit, visit, &record.id, kind, &id).await).await?;
    shown(visit, &record, &resource, edit, visit.draft.as_ref(), Problems::default(), 200)
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let (kind, id) = wanted(visit)?;
    let record = chart::of(visit, Extent::Banner).await?;
    let (resource, edit) = visit.unit(async |unit| entry(unit, visit, &record.id, kind, &id).await).await?;
    let mut problems = Problems::default();
    let version: i64 = form.typed("version").parse().map_err(|_| Error::at(Kind::Value, "version", "not a version"))?;
    apply(visit, &record, edit, &mut resource.clone(), form, &mut problems);
    if form.typed("motivo").is_empty() {
        problems.add("motivo", visit.text("form.missing"));
    }
    if !problems.is_empty() {
        return shown(visit, &record, &resource, edit, Some(form), problems, 422);
    }
    let resource_type = named(kind)?;
    let saved = visit.once(async |unit| {
        let (mut current, edit) = entry(unit, visit, &record.id, kind, &id).await?;
        apply(visit, &record, edit, &mut current, form, &mut Problems::default());
        unit.run(&Interaction::Update {
            resource_type,
            id: id.clone(),
            resource: Content::new(current),
            if_match: Some(version),
        })
        .await?;
        Ok(chart::entry(&record.id, kind, &id))
    });
    match saved.await {
        Err(error) if error.kind == Kind::StaleVersion => conflicting(visit, &record, &resource, edit, form).await,
        done => Ok(Reply::said(done?, "said.saved")),
    }
}

/// Puts what was typed into a resource.
fn apply(visit: &Visit, record: &Record, edit: Edit, resource: &mut Value, form: &Form, problems: &mut Problems) {
    let reader = &visit.reader;
    match edit {
        Edit::Condition => {
            let typed = problem::read(reader, &record.who.birth.iso, form, problems);
            problem::apply(resource, &typed);
        }
        Edit::Allergy => allergy::Entry::read(reader, &record.who.birth.iso, form, problems).apply(resource),
        Edit::Statement => allergy::withdraw(resource, form.typed("estado")),
        Edit::Medicine => {
            let typed = prescribe::Entry::read(reader, form, problems);
            typed.apply(reader, &order(visit, resource), resource);
        }
        Edit::Void => put(resource, "status", json!("entered-in-error")),
        Edit::End => prescribe::end(reader, resource, form.typed("fin"), form.typed("motivo")),
        Edit::Text if form.typed("valor").is_empty() => problems.add("valor", reader.text("form.missing")),
        Edit::Text => put(resource, "valueString", json!(form.typed("valor"))),
        Edit::Number => number_into(visit, record, "valor", resource, form, problems),
        Edit::Pressure => {
            let parts = resource.get_mut("component").and_then(Value::as_array_mut).into_iter().flatten();
            for holder in parts {
                if let Some((field, ..)) = PARTS.iter().find(|(_, code, _)| has_code(holder, code)) {
                    number_into(visit, record, field, holder, form, problems);
                }
            }
            let number = |code: &str| Some(float(part(resource, code)?.get("valueQuantity")?.get("value")?));
            if let (Some(high), Some(low)) = (number("8480-6"), number("8462-4"))
                && low >= high
            {
                problems.add("diastolica", reader.text("signs.pressure_order"));
            }
        }
    }
    let released = !matches!(text(resource, "status"), "registered" | "preliminary");
    if matches!(edit, Edit::Number | Edit::Text | Edit::Pressure) && released {
        put(resource, "status", json!("corrected"));
    }
    // Of an order that ends the reason has its own place.
    if edit != Edit::End {
        let note = json!({"authorString": visit.name, "time": reader.now.display_with_offset(reader.offset).to_string(), "text": form.typed("motivo")});
        let notes: Vec<Value> = list(resource, "note").cloned().chain([note]).collect();
        put(resource, "note", json!(notes));
    }
}

/// Another number in the same unit, judged by the reference that is there, and by where it is critical.
fn number_into(
    visit: &Visit,
    record: &Record,
    field: &'static str,
    holder: &mut Value,
    form: &Form,
    problems: &mut Problems,
) {
    if form.typed(field).is_empty() {
        return problems.add(field, visit.text("form.missing"));
    }
    let old = holder.get("valueQuantity").cloned().unwrap_or(Value::Null);
    let (unit, ucum) = (text(&old, "unit").to_owned(), text(&old, "code").to_owned());
    let of = Measure { unit: &unit, ucum: &ucum, limits: limits_of(visit, record, holder, &ucum) };
    let Some(value) = amount(visit, holder, field, form.typed(field), of, problems) else { return };
    if let (Some(system), Some(quantity)) = (old.get("system"), holder.get_mut("valueQuantity")) {
        put(quantity, "system", system.clone());
    }
    let ranges: Vec<&Value> = list(holder, "referenceRange").collect();
    let judged = match ranges.as_slice() {
        [range] => {
            let end = |name: &str| range.get(name).and_then(|end| end.get("value")).map(float);
            code(value, (end("low"), end("high")), of.limits, false)
        }
        _ => code(value, (None, None), of.limits, false),
    };
    interpreted(holder, judged);
}

/// What the laboratory's table says of an examination in its unit.
fn limits_of(visit: &Visit, record: &Record, holder: &Value, ucum: &str) -> Option<&'static Reference> {
    let loinc = code_of(holder.get("code"), |system| system == "http://loinc.org");
    let common = loinc::find(&loinc).filter(|common| common.ucum == ucum)?;
    observe::limits_of(visit, record, common)
}

fn shown(
    visit: &Visit,
    record: &Record,
    resource: &Value,
    edit: Edit,
    typed: Option<&Form>,
    problems: Problems,
    status: u16,
) -> Result<Reply> {
    let reader = &visit.reader;
    let mut sheet = Sheet::new(reader, typed, problems);
    let kept = stored(visit, edit, resource);
    match edit {
        Edit::Condition => problem::add_fields(&mut sheet, reader, &condition(resource)),
        Edit::Allergy => allergy::add_fields(&mut sheet, reader, &allergy::Entry::of(resource), true),
        Edit::Medicine => prescribe::add_fields(&mut sheet, reader, &order(visit, resource), None),
        Edit::Void => {}
        Edit::Statement | Edit::End => {
            for field in &kept {
                let options = options_of(edit.options(), field.name).get(..2).unwrap_or_default();
                let options: Vec<_> = options.iter().map(|(code, key)| (*code, reader.text(key))).collect();
                sheet.segments(field.name, field.label, &field.value, &options);
            }
        }
        Edit::Number | Edit::Pressure | Edit::Text => {
            for field in &kept {
                let line = sheet.line(field.name, field.label, &field.value);
                if edit != Edit::Text {
                    line.unit(field.unit.clone());
                }
            }
        }
    }
    let [title, reason, hint, help, save] = edit.words();
    sheet.line("motivo", reason, "").hint(reader.text(hint));
    let base = format!("{}/", visit.app.base);
    let words = words(visit, &base);
    let what = match edit {
        Edit::Medicine | Edit::End => words.concept_or_named(resource, "medication"),
        _ => words.concept(resource.get("code")),
    };
    let page = chart::inner(visit, record, reader.text(title)).with(sheet.summary());
    let mut fields: Fields = sheet.fields();
    let fields = kept.iter().map(|field| field.name).chain(["motivo"]).filter_map(|name| fields.remove(name)).collect();
    let (kind, id) = wanted(visit)?;
    // The version that was looked at, also when the form comes back with what was typed.
    let version = typed.map(|form| form.typed("version").to_owned()).filter(|version| !version.is_empty());
    let model = Model {
        page,
        action: visit.path.clone(),
        back: chart::entry(&record.id, kind, &id),
        what,
        help: reader.text(help),
        save: reader.text(save),
        fields,
        version: version.unwrap_or_else(|| text(resource.get("meta").unwrap_or(&Value::Null), "versionId").to_owned()),
    };
    visit.show_as(status, "correct", &model)
}

/// Somebody was faster: both versions, and who it was.
async fn conflicting(visit: &Visit, record: &Record, resource: &Value, edit: Edit, form: &Form) -> Result<Reply> {
    let reader = &visit.reader;
    let meta = resource.get("meta").unwrap_or(&Value::Null);
    let shown = |name: &str, value: &str, unit: &str| {
        let option = options_of(edit.options(), name).iter().find(|(code, _)| *code == value);
        match (option, name, value) {
            (Some((_, key)), ..) => reader.text(key).to_owned(),
            (None, "si_necesario", "1") => reader.text("rec.yes").to_owned(),
            (None, "si_necesario", _) => reader.text("rec.no").to_owned(),
            (None, _, "") => reader.text("correct.empty").to_owned(),
            _ => joined([value, unit], " "),
        }
    };
    let (mut pairs, mut carried) = (
        Vec::new(),
        vec![
            ("version".to_owned(), text(meta, "versionId").to_owned()),
            ("motivo".to_owned(), form.typed("motivo").to_owned()),
        ],
    );
    for Kept { name, label, value, unit } in stored(visit, edit, resource) {
        let typed = form.typed(name).to_owned();
        if typed == value {
            carried.push((name.to_owned(), typed));
            continue;
        }
        let (stored_shown, typed_shown) = (shown(name, &value, &unit), shown(name, &typed, &unit));
        pairs.push(Pair {
            name,
            label: reader.text(label).to_owned(),
            stored: value,
            stored_shown,
            typed,
            typed_shown,
        });
    }
    let (kind, id) = wanted(visit)?;
    let other = other(visit, &record.id, kind, resource).await?;
    let [title, ..] = edit.words();
    let page = chart::inner(visit, record, reader.text(title));
    conflict::page(visit, page, pairs, carried, &other, &chart::entry(&record.id, kind, &id))
}

/// Who wrote the version that is stored, and when.
pub async fn other(visit: &Visit, patient: &str, kind: &str, resource: &Value) -> Result<Other> {
    let meta = resource.get("meta").unwrap_or(&Value::Null);
    let version: Option<i64> = text(meta, "versionId").parse().ok();
    let mut writers = writers(visit, patient, kind, &[resource]).await?;
    Ok(Other { who: version.and_then(|n| writers.remove(&n)), at: visit.reader.fhir(text(meta, "lastUpdated")) })
}

/// Who wrote these versions of one resource.
pub async fn writers(visit: &Visit, patient: &str, kind: &str, versions: &[&Value]) -> Result<HashMap<i64, String>> {
    let saved = |version: &&Value| text(version.get("meta")?, "lastUpdated").parse::<Timestamp>().ok();
    let times = versions.iter().filter_map(saved);
    let (Some(first), Some(last), Some(one)) = (times.clone().min(), times.max(), versions.first()) else {
        return Ok(HashMap::new());
    };
    sight::writers(&visit.app, patient, (kind, text(one, "id")), (first, last)).await
}
