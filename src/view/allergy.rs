//! `/paciente/{id}/alergia`: an allergy; `/paciente/{id}/sin-alergias`: that somebody asked and none is known
//! (<https://hl7.org/fhir/R4/allergyintolerance.html>, 9.1.3 on negation: a code that says so, never an empty list).

use crate::error::Result;
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::search::param::string::fold;
use crate::view::chart;
use crate::view::format::{Reader, date_field, typed_date};
use crate::view::observation::put;
use crate::view::page::{Link, Message, Page, Tone};
use crate::view::patient::{named, search};
use crate::view::problem::{onset, onset_field, out_of_life};
use crate::view::record::clinical::{AllergyState, states_none};
use crate::view::record::words::{code_of, joined, list, text};
use crate::view::record::{Extent, Record};
use crate::view::sheet::{Field, Options, Problems, Sheet, in_order, options_of};
use crate::view::substance::Substance;
use crate::view::suggestion::{self, REACTIONS};
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;
use serde_json::{Value, json};

const TERMINOLOGY: &str = "http://terminology.hl7.org/CodeSystem";
const NONE_KNOWN: &str = "716186003";

/// The choices of the form, by field.
pub const OPTIONS: &Options = &[
    ("gravedad", &[("mild", "allergy.mild"), ("moderate", "allergy.moderate"), ("severe", "allergy.severe")]),
    ("riesgo", &[("low", "allergy.low"), ("high", "allergy.high"), ("unable-to-assess", "allergy.unable")]),
    ("certeza", &[("confirmed", "allergy.confirmed"), ("unconfirmed", "allergy.unconfirmed")]),
    ("estado", &[("active", "allergy.active"), ("inactive", "allergy.inactive"), ("refuted", "allergy.refuted")]),
];
const FIELDS: [&str; 7] = ["sustancia", "reaccion", "gravedad", "riesgo", "desde", "certeza", "estado"];

#[derive(Serialize)]
struct Model {
    page: Page,
    action: String,
    back: String,
    other: Option<Link>,
    intro: Option<&'static str>,
    save: &'static str,
    fields: Vec<Field>,
    /// The substance of which was said that an order meets it.
    seen: String,
}

/// The fields of an allergy, as they are typed and as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub substance: String,
    pub reaction: String,
    pub severity: String,
    pub criticality: String,
    /// A date of FHIR.
    pub onset: String,
    pub certainty: String,
    pub status: String,
}

impl Entry {
    pub fn of(resource: &Value) -> Entry {
        let first = list(resource, "reaction").next().unwrap_or(&Value::Null);
        let code = |name: &str| code_of(resource.get(name), |_| true);
        let verification = code("verificationStatus");
        Entry {
            substance: said(resource.get("code").unwrap_or(&Value::Null)),
            reaction: joined(list(first, "manifestation").map(said), ", "),
            severity: text(first, "severity").to_owned(),
            criticality: text(resource, "criticality").to_owned(),
            onset: text(resource, "onsetDateTime").to_owned(),
            status: match (verification.as_str(), code("clinicalStatus").as_str()) {
                ("refuted", _) => "refuted".to_owned(),
                (_, "" | "active") => "active".to_owned(),
                _ => "inactive".to_owned(),
            },
            certainty: if verification == "unconfirmed" { verification } else { "confirmed".to_owned() },
        }
    }

    /// Under the names of the form.
    pub fn stored(&self) -> [(&'static str, &'static str, String); 7] {
        [
            ("sustancia", "allergy.substance", self.substance.clone()),
            ("reaccion", "allergy.reaction", self.reaction.clone()),
            ("gravedad", "allergy.severity", self.severity.clone()),
            ("riesgo", "allergy.criticality", self.criticality.clone()),
            ("desde", "problem.onset", onset_field(&self.onset)),
            ("certeza", "problem.certainty", self.certainty.clone()),
            ("estado", "problem.status", self.status.clone()),
        ]
    }

    /// Reads the form; what is wrong goes to the problems.
    pub fn read(reader: &Reader, born: &str, form: &Form, problems: &mut Problems) -> Entry {
        let typed = |name: &str| form.typed(name).to_owned();
        let chosen = |name: &str| {
            options_of(OPTIONS, name)
                .iter()
                .map(|(code, _)| *code)
                .find(|code| *code == form.typed(name))
                .unwrap_or_default()
                .to_owned()
        };
        let entry = Entry {
            substance: typed("sustancia"),
            reaction: typed("reaccion"),
            severity: chosen("gravedad"),
            criticality: chosen("riesgo"),
            onset: String::new(),
            certainty: chosen("certeza"),
            status: chosen("estado"),
        };
        if entry.substance.is_empty() {
            problems.add("sustancia", reader.text("form.missing"));
        }
        problems.long(reader, form, &["sustancia", "reaccion"]);
        if entry.reaction.is_empty() && !entry.severity.is_empty() {
            problems.add("reaccion", reader.text("allergy.reaction_missing"));
        }
        match onset(form.typed("desde")) {
            Ok(onset) => {
                let onset = onset.unwrap_or_default();
                if let Some(wrong) = out_of_life(reader, born, &onset).filter(|_| !onset.is_empty()) {
                    problems.add("desde", reader.text(wrong));
                }
                Entry { onset, ..entry }
            }
            Err(_) => {
                problems.add("desde", reader.text("problem.onset_wrong"));
                entry
            }
        }
    }

    /// Puts what differs into an AllergyIntolerance, which keeps everything else.
    pub fn apply(&self, resource: &mut Value) {
        let old = Entry::of(resource);
        set(
            resource,
            "clinicalStatus",
            "allergyintolerance-clinical",
            if self.status == "active" { "active" } else { "inactive" },
        );
        let verified = match (self.status.as_str(), self.certainty.as_str()) {
            ("refuted", _) => "refuted",
            (_, "unconfirmed") => "unconfirmed",
            _ => "confirmed",
        };
        set(resource, "verificationStatus", "allergyintolerance-verification", verified);
        if self.substance != old.substance {
            let known = suggestion::substance(&self.substance);
            put(resource, "code", suggestion::concept(&self.substance, known));
            put_or_remove(resource, "category", known.map(|known| json!([known.category])));
        }
        put_or_remove(
            resource,
            "criticality",
            Some(&self.criticality).filter(|code| !code.is_empty()).map(|code| json!(code)),
        );
        if self.onset != old.onset {
            if let Some(members) = resource.as_object_mut() {
                members.retain(|name, _| !name.starts_with("onset") && !name.starts_with("_onset"));
            }
            if !self.onset.is_empty() {
                put(resource, "onsetDateTime", json!(self.onset));
            }
        }
        if (&self.reaction, &self.severity) != (&old.reaction, &old.severity) {
            self.react(resource, &old);
        }
    }

    /// The first reaction; further ones stay.
    fn react(&self, resource: &mut Value, old: &Entry) {
        let mut all: Vec<Value> = list(resource, "reaction").cloned().collect();
        let mut first = if all.is_empty() { json!({}) } else { all.remove(0) };
        if self.reaction != old.reaction {
            let manifestation = suggestion::concept(&self.reaction, suggestion::find(&REACTIONS, &self.reaction));
            put(&mut first, "manifestation", json!([manifestation]));
        }
        put_or_remove(
            &mut first,
            "severity",
            Some(&self.severity).filter(|code| !code.is_empty()).map(|code| json!(code)),
        );
        if !self.reaction.is_empty() {
            all.insert(0, first);
        }
        put_or_remove(resource, "reaction", Some(json!(all)).filter(|_| !all.is_empty()));
    }
}

/// What a concept is called, also without our words.
fn said(concept: &Value) -> String {
    let own = text(concept, "text");
    let display = || list(concept, "coding").map(|coding| text(coding, "display")).find(|display| !display.is_empty());
    if own.is_empty() { display().unwrap_or_default() } else { own }.to_owned()
}

fn set(resource: &mut Value, member: &str, system: &str, code: &str) {
    put(resource, member, json!({"coding": [{"system": format!("{TERMINOLOGY}/{system}"), "code": code}]}));
}

fn put_or_remove(resource: &mut Value, name: &str, value: Option<Value>) {
    match (value, resource.as_object_mut()) {
        (Some(value), _) => put(resource, name, value),
        (None, Some(members)) => {
            members.shift_remove(name);
        }
        (None, None) => {}
    }
}

/// The status of the statement that none is known: all that can be corrected of it.
pub fn withdraw(resource: &mut Value, status: &str) {
    set(
        resource,
        "clinicalStatus",
        "allergyintolerance-clinical",
        if status == "active" { "active" } else { "inactive" },
    );
}

/// `corrects`: with the status, which a new one does not have yet.
pub fn add_fields(sheet: &mut Sheet<'_>, reader: &Reader, stored: &Entry, corrects: bool) {
    let [substance, reaction, severity, criticality, onset, certainty, status] = stored.stored();
    sheet
        .line("sustancia", substance.1, &substance.2)
        .hint(reader.text("allergy.substance_hint"))
        .suggest(suggestion::substances(reader.language));
    sheet.line("reaccion", reaction.1, &reaction.2).optional().suggest(suggestion::names(&REACTIONS, reader.language));
    sheet.perhaps(OPTIONS, "gravedad", severity.1, &severity.2);
    sheet.perhaps(OPTIONS, "riesgo", criticality.1, &criticality.2).hint(reader.text("allergy.criticality_hint"));
    sheet.line("desde", onset.1, &onset.2).hint(reader.text("problem.onset_hint")).optional().digits();
    sheet.choose(OPTIONS, "certeza", certainty.1, &certainty.2);
    if corrects {
        sheet.choose(OPTIONS, "estado", status.1, &status.2);
    }
}

fn fresh() -> Entry {
    Entry { certainty: "confirmed".to_owned(), status: "active".to_owned(), ..Entry::default() }
}

/// The orders that go on and do not go with an allergy.
fn meets(visit: &Visit, record: &Record, substance: &str) -> Option<String> {
    let allergy = Substance::of(substance);
    let orders = record.medication.iter().filter(|item| item.active && !substance.is_empty());
    let orders = orders.filter(|item| Substance::of(&item.what).meets(&allergy));
    let all = joined(orders.map(|item| item.what.as_str()), ", ");
    (!all.is_empty()).then(|| visit.reader.fill("allergy.meets", &[("list", &all)]))
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let record = chart::of(visit, Extent::Medication).await?;
    shown(visit, &record, visit.draft.as_ref(), Problems::default(), 200)
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let record = chart::of(visit, Extent::Medication).await?;
    let (reader, mut problems) = (&visit.reader, Problems::default());
    let entry =
        Entry { status: "active".to_owned(), ..Entry::read(reader, &record.who.birth.iso, form, &mut problems) };
    let same = |what: &str| fold(what) == fold(&entry.substance);
    if record.allergies.items.iter().any(|item| item.active && same(&item.what)) {
        problems.add("sustancia", reader.text("allergy.already"));
    }
    let unseen = meets(visit, &record, &entry.substance).is_some() && form.typed("visto") != fold(&entry.substance);
    if !problems.is_empty() || unseen {
        return shown(visit, &record, Some(form), problems, 422);
    }
    let mut made = blank(visit, &record, &visit.reader.now.display_with_offset(reader.offset).to_string());
    put(&mut made, "type", json!("allergy"));
    entry.apply(&mut made);
    let resource_type = named("AllergyIntolerance")?;
    let done = visit.once(async |unit| {
        // "None known" ends where one is known.
        if record.allergies.state == AllergyState::NoneKnown {
            for mut statement in statements(unit, &record.id).await? {
                withdraw(&mut statement, "inactive");
                update(unit, statement).await?;
            }
        }
        unit.run(&Interaction::Create { resource_type, resource: Content::new(made.clone()), if_none_exist: None })
            .await?;
        Ok(chart::address(&record.id))
    });
    Ok(Reply::said(done.await?, "said.saved"))
}

fn blank(visit: &Visit, record: &Record, recorded: &str) -> Value {
    json!({
        "resourceType": "AllergyIntolerance",
        "patient": {"reference": format!("Patient/{}", record.id)},
        "recordedDate": recorded,
        "recorder": {"display": visit.name},
    })
}

/// What says of this patient that no allergy is known, and holds.
async fn statements(unit: &mut Unit<'_>, patient: &str) -> Result<Vec<Value>> {
    let found = search(unit, "AllergyIntolerance", &format!("patient={}&_count=200", encoded(patient))).await?;
    let holds = |one: &Value| {
        states_none(one) && matches!(code_of(one.get("clinicalStatus"), |_| true).as_str(), "" | "active")
    };
    Ok(found.resources.into_iter().filter(holds).collect())
}

async fn update(unit: &mut Unit<'_>, resource: Value) -> Result<()> {
    let meta = resource.get("meta").unwrap_or(&Value::Null);
    let (id, if_match) = (text(&resource, "id").to_owned(), text(meta, "versionId").parse().ok());
    let resource_type = named("AllergyIntolerance")?;
    unit.run(&Interaction::Update { resource_type, id, resource: Content::new(resource), if_match }).await?;
    Ok(())
}

fn shown(visit: &Visit, record: &Record, typed: Option<&Form>, problems: Problems, status: u16) -> Result<Reply> {
    let reader = &visit.reader;
    let is_wrong = !problems.is_empty();
    let mut sheet = Sheet::new(reader, typed, problems);
    add_fields(&mut sheet, reader, &fresh(), false);
    let substance = typed.map(|form| form.typed("sustancia")).unwrap_or_default();
    let meets = meets(visit, record, substance);
    let asks =
        meets.filter(|_| !is_wrong).map(|text| Message::new(Tone::Warn, text, reader.text("allergy.meets_help")));
    let none = format!("{}/sin-alergias", chart::address(&record.id));
    let is_known = record.allergies.state == AllergyState::Known;
    let model = Model {
        seen: if asks.is_some() { fold(substance) } else { String::new() },
        page: chart::inner(visit, record, reader.text("allergy.title")).with(sheet.summary().or(asks)),
        action: visit.path.clone(),
        back: chart::address(&record.id),
        other: (!is_known).then(|| Link::new(none, reader.text("allergy.none"))),
        intro: (!is_known).then(|| reader.text("allergy.none_help")),
        save: reader.text("allergy.save"),
        fields: in_order(sheet.fields(), &FIELDS),
    };
    visit.show_as(status, "entry", &model)
}

pub async fn none_page(visit: &Visit) -> Result<Reply> {
    let record = chart::of(visit, Extent::Banner).await?;
    none_shown(visit, &record, visit.draft.as_ref(), Problems::default(), 200)
}

pub async fn none_save(visit: &Visit, form: &Form) -> Result<Reply> {
    let record = chart::of(visit, Extent::Banner).await?;
    let (reader, mut problems) = (&visit.reader, Problems::default());
    let asked = typed_date(form.typed("fecha")).filter(|date| date.year() >= 1900);
    match asked {
        None => problems.add("fecha", reader.text("taken.date_wrong")),
        Some(date) if date > reader.today() => problems.add("fecha", reader.text("taken.future")),
        Some(_) if record.allergies.state == AllergyState::Known => {
            problems.add("fecha", reader.text("allergy.none_but_known"));
        }
        Some(_) => {}
    }
    let (Some(asked), true) = (asked, problems.is_empty()) else {
        return none_shown(visit, &record, Some(form), problems, 422);
    };
    let asked = if asked == reader.today() {
        reader.now.display_with_offset(reader.offset).to_string()
    } else {
        asked.to_string()
    };
    let mut made = blank(visit, &record, &asked);
    let code = json!({"coding": [{"system": "http://snomed.info/sct", "code": NONE_KNOWN, "display": "No known allergy"}], "text": reader.text("banner.no_allergies")});
    put(&mut made, "code", code);
    withdraw(&mut made, "active");
    set(&mut made, "verificationStatus", "allergyintolerance-verification", "confirmed");
    let resource_type = named("AllergyIntolerance")?;
    let done = visit.once(async |unit| {
        // Asked again: a new version of what was said before.
        match statements(unit, &record.id).await?.into_iter().next() {
            Some(mut stated) => {
                for name in ["recordedDate", "recorder"] {
                    put(&mut stated, name, made.get(name).cloned().unwrap_or(Value::Null));
                }
                update(unit, stated).await?;
            }
            None => {
                let resource = Content::new(made.clone());
                unit.run(&Interaction::Create { resource_type, resource, if_none_exist: None }).await?;
            }
        }
        Ok(chart::address(&record.id))
    });
    Ok(Reply::said(done.await?, "said.saved"))
}

fn none_shown(visit: &Visit, record: &Record, typed: Option<&Form>, problems: Problems, status: u16) -> Result<Reply> {
    let reader = &visit.reader;
    let mut sheet = Sheet::new(reader, typed, problems);
    sheet.line("fecha", "allergy.asked", &date_field(reader.today())).hint(reader.text("taken.date_hint")).digits();
    let model = Model {
        seen: String::new(),
        page: chart::inner(visit, record, reader.text("banner.no_allergies")).with(sheet.summary()),
        action: visit.path.clone(),
        back: chart::address(&record.id),
        other: Some(Link::new(format!("{}/alergia", chart::address(&record.id)), reader.text("allergy.has_one"))),
        intro: Some(reader.text("allergy.none_meaning")),
        save: reader.text("allergy.none_save"),
        fields: in_order(sheet.fields(), &["fecha"]),
    };
    visit.show_as(status, "entry", &model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_changes_what_differs_and_keeps_the_rest() {
        let mut resource = json!({"code": {"coding": [{"system": "s", "code": "c"}], "text": "Penicilina"}, "category": ["medication"], "criticality": "high",
            "onsetAge": {"value": 9}, "note": [{"text": "n"}],
            "reaction": [{"manifestation": [{"text": "Anafilaxia"}], "severity": "severe", "description": "d"}, {"manifestation": [{"text": "Urticaria"}]}]});
        let old = Entry::of(&resource);
        old.apply(&mut resource);
        assert_eq!(resource["code"]["coding"][0]["code"], "c");
        assert_eq!(resource["onsetAge"]["value"], 9);
        let new = Entry { severity: "moderate".into(), criticality: String::new(), status: "refuted".into(), ..old };
        new.apply(&mut resource);
        assert_eq!(
            resource["reaction"][0],
            json!({"manifestation": [{"text": "Anafilaxia"}], "severity": "moderate", "description": "d"})
        );
        assert_eq!((resource["reaction"].as_array().unwrap().len(), resource.get("criticality")), (2, None));
        assert_eq!(resource["verificationStatus"]["coding"][0]["code"], "refuted");
        assert_eq!(resource["clinicalStatus"]["coding"][0]["code"], "inactive");
        assert_eq!(Entry::of(&resource), new);
        let other = Entry { substance: "Látex".into(), reaction: String::new(), severity: String::new(), ..new };
        other.apply(&mut resource);
        assert_eq!(
            (&resource["category"], resource["reaction"].as_array().unwrap().len()),
            (&json!(["environment"]), 1)
        );
    }
}
