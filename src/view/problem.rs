//! `/paciente/{id}/problema`: a condition, by its CIE-10 code and in words (<https://hl7.org/fhir/R4/condition.html>).

use crate::error::Result;
use crate::interaction::{Content, Interaction};
use crate::oauth::form::Form;
use crate::view::chart;
use crate::view::format::{Reader, typed_date};
use crate::view::observation::put;
use crate::view::page::Page;
use crate::view::patient::named;
use crate::view::record::{Extent, Record};
use crate::view::sheet::{Fields, Options, Problems, Sheet};
use crate::view::signs::encounter;
use crate::view::visit::{Reply, Visit};
use serde::Serialize;
use serde_json::{Value, json};

/// The choices of the form, by field.
pub const OPTIONS: &Options = &[
    ("estado", &[("active", "problem.active"), ("resolved", "problem.resolved")]),
    ("certeza", &[("confirmed", "problem.confirmed"), ("provisional", "problem.provisional")]),
];
const CIE10: &str = "http://hl7.org/fhir/sid/icd-10";

#[derive(Serialize)]
struct Model {
    page: Page,
    action: String,
    back: String,
    fields: Fields,
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
    let typed = read(&visit.reader, form, &mut problems);
    if !problems.is_empty() {
        return shown(visit, &record, Some(form), problems, 422);
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

/// Reads the fields; what is wrong goes to the problems.
pub fn read(reader: &Reader, form: &Form, problems: &mut Problems) -> Typed {
    let text = form.typed("texto").to_owned();
    if text.is_empty() {
        problems.add("texto", reader.text("form.missing"));
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
    if onset.as_deref().and_then(|onset| reader.day_of(onset)).is_some_and(|day| day > reader.today()) {
        problems.add("desde", reader.text("taken.future"));
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
    sheet.line("texto", "problem.text", &stored.text).hint(reader.text("problem.text_hint"));
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
    let reader = &visit.reader;
    let mut sheet = Sheet::new(reader, typed, problems);
    add_fields(&mut sheet, reader, &Stored::default());
    let page = chart::inner(visit, record, reader.text("problem.title")).with(sheet.summary());
    visit.show_as(
        status,
        "problem",
        &Model { page, action: visit.path.clone(), back: chart::address(&record.id), fields: sheet.fields() },
    )
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
