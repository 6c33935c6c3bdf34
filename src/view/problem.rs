//! `/paciente/{id}/problema`: a condition, by its CIE-10 code and in words (<https://hl7.org/fhir/R4/condition.html>).

use crate::error::Result;
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::search::param::string::fold;
use crate::view::chart;
use crate::view::format::{Reader, typed_date};
use crate::view::observation::put;
use crate::view::page::{Message, Page, Tone};
use crate::view::patient::{named, search};
use crate::view::record::words::{code_of, text};
use crate::view::record::{Extent, Record};
use crate::view::sheet::{Fields, Options, Problems, Sheet};
use crate::view::signs::encounter;
use crate::view::visit::{Reply, SURE, Visit, encoded};
use serde::Serialize;
use serde_json::{Value, json};

/// The choices of the form, by field.
pub const OPTIONS: &Options = &[
    ("estado", &[("active", "problem.active"), ("resolved", "problem.resolved")]),
    ("certeza", &[("confirmed", "problem.confirmed"), ("provisional", "problem.provisional")]),
];
const CIE10: &str = "http://hl7.org/fhir/sid/icd-10";
/// Characters of its words.
const LONGEST: usize = 200;
/// Active problems that are looked through for the same one.
const MOST: usize = 200;

#[derive(Serialize)]
struct Model {
    page: Page,
    action: String,
    back: String,
    fields: Fields,
    /// The problem that is there already, when one may go on.
    sure: Option<String>,
}

/// The fields of a condition, read.
pub struct Typed {
    pub code: Option<String>,
    pub text: String,
    pub onset: Option<String>,
    pub is_active: bool,
    pub is_confirmed: bool,
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let record = chart::of(visit, Extent::Banner).await?;
    shown(visit, &record, visit.draft.as_ref(), Problems::default(), 200)
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let record = chart::of(visit, Extent::Banner).await?;
    let mut problems = Problems::default();
    let typed = read(&visit.reader, &record.who.birth.iso, form, &mut problems);
    if !problems.is_empty() {
        return shown(visit, &record, Some(form), problems, 422);
    }
    let same = visit.unit(async |unit| same(unit, &record.id, &typed).await).await?;
    if let Some(same) = same.filter(|same| form.typed(SURE) != text(same, "id")) {
        return twice(visit, &record, &same, form);
    }
    let mut made = json!({
        "resourceType": "Condition",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-category", "code": "problem-list-item"}]}],
        "subject": {"reference": format!("Patient/{}", record.id)},
        "recordedDate": visit.reader.now.display_with_offset(visit.reader.offset).to_string(),
        "recorder": {"display": visit.name},
    });
    if let Some(encounter) = encounter(&record) {
        put(&mut made, "encounter", json!({"reference": format!("Encounter/{encounter}")}));
    }
    apply(&mut made, &typed);
    let resource_type = named("Condition")?;
    let done = visit.once(async |unit| {
        unit.run(&Interaction::Create { resource_type, resource: Content::new(made.clone()), if_none_exist: None })
            .await?;
        Ok(chart::address(&record.id))
    });
    Ok(Reply::said(done.await?, "said.saved"))
}

/// An active problem with the same code, or without one with the same words.
async fn same(unit: &mut Unit<'_>, patient: &str, typed: &Typed) -> Result<Option<Value>> {
    if !typed.is_active {
        return Ok(None);
    }
    let query = format!("patient={}&clinical-status=active&_count={MOST}", encoded(patient));
    let found = search(unit, "Condition", &query).await?;
    let is_same = |one: &Value| match (&typed.code, code_of(one.get("code"), |system| system == CIE10).as_str()) {
        (Some(code), stored) if !stored.is_empty() => code == stored,
        _ => one.get("code").is_some_and(|code| fold(text(code, "text")) == fold(&typed.text)),
    };
    Ok(found.resources.into_iter().find(is_same))
}

/// It stands there already: said, with the way to it, and the way to go on.
fn twice(visit: &Visit, record: &Record, same: &Value, form: &Form) -> Result<Reply> {
    let reader = &visit.reader;
    let since = ["onsetDateTime", "recordedDate"].map(|name| text(same, name)).into_iter().find(|at| !at.is_empty());
    let name = same.get("code").map(|code| text(code, "text")).unwrap_or_default();
    let says = reader.fill("problem.twice", &[("name", name), ("date", &reader.fhir(since.unwrap_or_default()))]);
    let message = Message::new(Tone::Warn, says, reader.text("problem.twice_help"))
        .link(chart::entry(&record.id, "Condition", text(same, "id")), reader.text("problem.see"));
    let sure = text(same, "id").to_owned();
    show(visit, record, Some(form), Problems::default(), Some((Message { alert: true, ..message }, sure)), 422)
}

/// Reads the fields of somebody born on a day; what is wrong goes to the problems.
pub fn read(reader: &Reader, born: &str, form: &Form, problems: &mut Problems) -> Typed {
    let text = form.typed("texto").to_owned();
    let n = text.chars().count();
    if text.is_empty() {
        problems.add("texto", reader.text("form.missing"));
    } else if n > LONGEST {
        let places = [("n", n.to_string()), ("most", LONGEST.to_string())];
        let places = places.each_ref().map(|(name, value)| (*name, value.as_str()));
        problems.add("texto", reader.fill("form.too_long", &places));
    }
    let code = match code(form.typed("codigo")) {
        Ok(code) => code,
        Err(()) => {
            problems.add("codigo", reader.text("problem.code_wrong"));
            None
        }
    };
    let onset = match onset(form.typed("desde")) {
        Ok(onset) => onset,
        Err(NoDate) => {
            problems.add("desde", reader.text("problem.onset_wrong"));
            None
        }
    };
    if let Some(wrong) = onset.as_deref().and_then(|onset| out_of_life(reader, born, onset)) {
        problems.add("desde", reader.text(wrong));
    }
    Typed {
        code,
        text,
        onset,
        is_active: form.typed("estado") != "resolved",
        is_confirmed: form.typed("certeza") != "provisional",
    }
}

/// Puts what was typed into a Condition, which keeps everything else.
pub fn apply(condition: &mut Value, typed: &Typed) {
    let status = |system: &str, code: &str| json!({"coding": [{"system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code}]});
    put(condition, "clinicalStatus", status("condition-clinical", if typed.is_active { "active" } else { "resolved" }));
    put(
        condition,
        "verificationStatus",
        status("condition-ver-status", if typed.is_confirmed { "confirmed" } else { "provisional" }),
    );
    let others: Vec<Value> = condition
        .get("code")
        .and_then(|code| code.get("coding"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|coding| coding.get("system").and_then(Value::as_str) != Some(CIE10))
        .cloned()
        .collect();
    let own = typed.code.iter().map(|code| json!({"system": CIE10, "code": code}));
    let coding: Vec<Value> = own.chain(others).collect();
    put(
        condition,
        "code",
        if coding.is_empty() { json!({"text": typed.text}) } else { json!({"coding": coding, "text": typed.text}) },
    );
    if let Some(members) = condition.as_object_mut() {
        members.retain(|name, _| {
            !name.starts_with("onset")
                && !name.starts_with("_onset")
                && (!typed.is_active || !name.starts_with("abatement"))
        });
    }
    if let Some(onset) = &typed.onset {
        put(condition, "onsetDateTime", json!(onset));
    }
}

/// A CIE-10 code as it is kept here: without its point, and with the X of those that have no fourth place.
fn code(typed: &str) -> Result<Option<String>, ()> {
    let code: String = typed.chars().filter(|c| !matches!(c, '.' | ' ')).collect::<String>().to_ascii_uppercase();
    if code.is_empty() {
        return Ok(None);
    }
    let bytes = code.as_bytes();
    let fits = matches!(bytes, [letter, tens, ones, rest @ ..] if letter.is_ascii_uppercase() && tens.is_ascii_digit() && ones.is_ascii_digit()
        && rest.len() <= 2 && rest.iter().all(|b| b.is_ascii_digit() || *b == b'X'));
    if fits { Ok(Some(code)) } else { Err(()) }
}

/// What is wrong with an onset, as precise as it is known: still to come, or before the birth.
pub fn out_of_life(reader: &Reader, born: &str, onset: &str) -> Option<&'static str> {
    let today = reader.today().to_string();
    let cut = |day: &str| day.get(..onset.len().min(day.len())).unwrap_or_default().to_owned();
    if onset > cut(&today).as_str() {
        return Some("taken.future");
    }
    let known = born.len().min(onset.len());
    (onset.get(..known) < born.get(..known)).then_some("taken.unborn")
}

/// What was typed is no date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDate;

/// `12/03/2011`, `03/2011` or `2011`.
pub fn onset(typed: &str) -> Result<Option<String>, NoDate> {
    if typed.is_empty() {
        return Ok(None);
    }
    let year =
        |text: &str| text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit()) && ("1880".."2200").contains(&text);
    if year(typed) {
        return Ok(Some(typed.to_owned()));
    }
    if let Some(date) = typed_date(typed).filter(|date| year(&date.year().to_string())) {
        return Ok(Some(date.to_string()));
    }
    let (month, rest) = typed.split_once(['/', '-', '.']).ok_or(NoDate)?;
    let month: u8 = month.parse().map_err(|_| NoDate)?;
    if year(rest) && (1..=12).contains(&month) { Ok(Some(format!("{rest}-{month:02}"))) } else { Err(NoDate) }
}

/// The stored value of a date as the field writes it.
pub fn onset_field(iso: &str) -> String {
    let mut parts = iso.get(..iso.len().min(10)).unwrap_or(iso).split('-').collect::<Vec<_>>();
    parts.reverse();
    parts.join("/")
}

/// What the fields show at first.
#[derive(Default)]
pub struct Stored {
    pub code: String,
    pub text: String,
    pub onset: String,
    pub status: String,
    pub certainty: String,
}

pub fn add_fields(sheet: &mut Sheet<'_>, reader: &Reader, stored: &Stored) {
    sheet.line("texto", "problem.text", &stored.text).hint(reader.text("problem.text_hint")).longest(LONGEST);
    sheet
        .line("codigo", "problem.code", &stored.code)
        .hint(reader.text("problem.code_hint"))
        .optional()
        .plain()
        .longest(8);
    sheet.line("desde", "problem.onset", &stored.onset).hint(reader.text("problem.onset_hint")).optional().digits();
    let is = |value: &str, first: &'static str, other: &'static str| if value == other { other } else { first };
    sheet.choose(OPTIONS, "estado", "problem.status", is(&stored.status, "active", "resolved"));
    sheet.choose(OPTIONS, "certeza", "problem.certainty", is(&stored.certainty, "confirmed", "provisional"));
}

fn shown(visit: &Visit, record: &Record, typed: Option<&Form>, problems: Problems, status: u16) -> Result<Reply> {
    show(visit, record, typed, problems, None, status)
}

/// `asks`: what is asked first, and what is sent by somebody who is sure.
fn show(
    visit: &Visit,
    record: &Record,
    typed: Option<&Form>,
    problems: Problems,
    asks: Option<(Message, String)>,
    status: u16,
) -> Result<Reply> {
    let (message, sure) = asks.unzip();
    let reader = &visit.reader;
    let mut sheet = Sheet::new(reader, typed, problems);
    add_fields(&mut sheet, reader, &Stored::default());
    let page = chart::inner(visit, record, reader.text("problem.title")).with(sheet.summary().or(message));
    let back = chart::address(&record.id);
    visit.show_as(status, "problem", &Model { page, action: visit.path.clone(), back, fields: sheet.fields(), sure })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lose_their_point() {
        let check = |typed: &str, expected: Result<Option<&str>, ()>| {
            assert_eq!(code(typed).as_ref().map(Option::as_deref), expected.as_ref().map(|c| *c), "{typed}")
        };
        check("J18.9", Ok(Some("J189")));
        check("i10x", Ok(Some("I10X")));
        check("N18", Ok(Some("N18")));
        check("", Ok(None));
        for bad in ["J1", "189", "J18.999", "J1A", "<b>", "É12"] {
            check(bad, Err(()));
        }
    }

    #[test]
    fn nobody_has_a_problem_before_the_birth_or_after_today() {
        let now = "2026-11-24T15:00:00Z".parse().unwrap();
        let reader = Reader { language: crate::i18n::Language::Es, offset: jiff::tz::Offset::UTC, now };
        let check = |onset: &str, expected: Option<&str>| {
            assert_eq!(out_of_life(&reader, "1991-06-15", onset), expected, "{onset}");
        };
        for fine in ["1991", "1991-06", "1991-06-15", "2026", "2026-11", "2026-11-24"] {
            check(fine, None);
        }
        for unborn in ["1990", "1991-05", "1991-06-14"] {
            check(unborn, Some("taken.unborn"));
        }
        for future in ["2027", "2026-12", "2026-11-25"] {
            check(future, Some("taken.future"));
        }
        assert_eq!(out_of_life(&reader, "", "1700"), None);
        assert_eq!(out_of_life(&reader, "1991", "1991-01-01"), None);
    }

    #[test]
    fn onsets_are_as_precise_as_they_are_known() {
        let check = |typed: &str, expected: Result<Option<&str>, NoDate>| {
            assert_eq!(onset(typed).as_ref().map(Option::as_deref), expected.as_ref().map(|c| *c), "{typed}")
        };
        check("2011", Ok(Some("2011")));
        check("3/2011", Ok(Some("2011-03")));
        check("02/03/2011", Ok(Some("2011-03-02")));
        check("", Ok(None));
        for bad in ["13/2011", "31/02/2011", "11", "ayer", "0011"] {
            check(bad, Err(NoDate));
        }
        assert_eq!(
            ["2011", "2011-03", "2011-03-02", "2011-03-02T10:00:00Z"].map(onset_field),
            ["2011", "03/2011", "02/03/2011", "02/03/2011"]
        );
    }

    #[test]
    fn a_correction_keeps_what_it_does_not_know() {
        let mut condition = json!({"onsetAge": {"value": 3}, "abatementDateTime": "2020", "note": [{"text": "n"}], "code": {"coding": [{"system": "s", "code": "c"}, {"system": CIE10, "code": "A00"}]}});
        let typed = Typed {
            code: Some("J189".to_owned()),
            text: "Neumonía".to_owned(),
            onset: Some("2026".to_owned()),
            is_active: true,
            is_confirmed: true,
        };
        apply(&mut condition, &typed);
        assert_eq!(
            condition["code"],
            json!({"coding": [{"system": CIE10, "code": "J189"}, {"system": "s", "code": "c"}], "text": "Neumonía"})
        );
        assert_eq!(
            (condition["onsetDateTime"].as_str(), condition["note"][0]["text"].as_str()),
            (Some("2026"), Some("n"))
        );
        assert!(condition.get("onsetAge").is_none() && condition.get("abatementDateTime").is_none());
    }
}
